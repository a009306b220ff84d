/*
 * coverage.c
 *		Type eiot.coverage: input and output, accessors, equality, addition.
 */
#include "coverage.h"

#include "common/hashfn.h"
#include "libpq/pqformat.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

PG_FUNCTION_INFO_V1(eiot_coverage_in);
PG_FUNCTION_INFO_V1(eiot_coverage_out);
PG_FUNCTION_INFO_V1(eiot_coverage_recv);
PG_FUNCTION_INFO_V1(eiot_coverage_send);
PG_FUNCTION_INFO_V1(eiot_coverage);
PG_FUNCTION_INFO_V1(eiot_devices);
PG_FUNCTION_INFO_V1(eiot_capacity);
PG_FUNCTION_INFO_V1(eiot_gap);
PG_FUNCTION_INFO_V1(eiot_surplus);
PG_FUNCTION_INFO_V1(eiot_utilization);
PG_FUNCTION_INFO_V1(eiot_coverage_eq);
PG_FUNCTION_INFO_V1(eiot_coverage_ne);
PG_FUNCTION_INFO_V1(eiot_coverage_hash);
PG_FUNCTION_INFO_V1(eiot_coverage_hash_extended);
PG_FUNCTION_INFO_V1(eiot_coverage_add);
PG_FUNCTION_INFO_V1(eiot_round_devices);

static const struct
{
	const char *word;
	int64		capacity;
}			capacity_words[] = {
	{"unlimited", CAPACITY_UNLIMITED},
	{"none", CAPACITY_NONE},
	{"too_large", CAPACITY_TOO_LARGE},
};

/* A new value in the current memory context. */
Coverage *
make_coverage(int64 devices, int64 capacity)
{
	Coverage   *coverage = palloc(sizeof(Coverage));

	coverage->devices = devices;
	coverage->capacity = capacity;
	return coverage;
}

int64
add_devices(int64 a, int64 b)
{
	int64		sum;

	if (unlikely(pg_add_s64_overflow(a, b, &sum)))
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("number of devices out of range"),
				 errdetail("%lld plus %lld is more than a bigint holds.",
						   (long long) a, (long long) b)));
	return sum;
}

/* The capacity of two pools together: unlimited stays so, no order matters. */
int64
pool_capacity(int64 a, int64 b)
{
	int64		sum;

	if (a == CAPACITY_UNLIMITED || b == CAPACITY_UNLIMITED)
		return CAPACITY_UNLIMITED;
	if (a == CAPACITY_NONE)
		return b;
	if (b == CAPACITY_NONE)
		return a;
	if (a == CAPACITY_TOO_LARGE || b == CAPACITY_TOO_LARGE ||
		pg_add_s64_overflow(a, b, &sum) || sum == CAPACITY_UNLIMITED)
		return CAPACITY_TOO_LARGE;
	return sum;
}

/* The capacity as a number: 0 where no row named one, an error beyond bigint. */
int64
coverage_stated_capacity(const Coverage *coverage)
{
	if (coverage->capacity == CAPACITY_TOO_LARGE)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("capacity out of range"),
				 errdetail("The capacities of the pool add up to more than a bigint holds."),
				 errhint("Use eiot.unlimited() for a capacity that nothing exceeds.")));
	return coverage->capacity == CAPACITY_NONE ? 0 : coverage->capacity;
}

/* The gap: devices that no license covers. */
int64
coverage_devices_missing(const Coverage *coverage)
{
	int64		capacity = coverage_stated_capacity(coverage);

	/* An unlimited capacity is the largest bigint, so it needs no case here. */
	return coverage->devices > capacity ? coverage->devices - capacity : 0;
}

/* Refuses a capacity that is no count; used wherever SQL hands one over. */
void
check_capacity(int64 capacity)
{
	if (unlikely(capacity < 0))
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("capacity must not be negative: %lld", (long long) capacity),
				 errhint("Use 0 for no capacity and eiot.unlimited() for one that nothing exceeds.")));
}

static void
check_devices(int64 devices)
{
	if (devices < 0)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("number of devices must not be negative: %lld", (long long) devices)));
}

/*
 * Reads decimal digits.  False, with *end where it stopped, if there is none or
 * the number does not fit; *overflow tells the two apart.
 */
static bool
parse_count(const char *str, int64 *count, const char **end, bool *overflow)
{
	int64		value = 0;
	const char *p = str;

	*overflow = false;
	for (; *p >= '0' && *p <= '9'; p++)
	{
		if (pg_mul_s64_overflow(value, 10, &value) ||
			pg_add_s64_overflow(value, *p - '0', &value))
			*overflow = true;
	}
	*count = value;
	*end = p;
	return p > str && !*overflow;
}

static bool
parse_capacity(const char *str, int64 *capacity, const char **end, bool *overflow)
{
	*overflow = false;
	for (int i = 0; i < (int) lengthof(capacity_words); i++)
	{
		size_t		len = strlen(capacity_words[i].word);

		if (strncmp(str, capacity_words[i].word, len) == 0)
		{
			*capacity = capacity_words[i].capacity;
			*end = str + len;
			return true;
		}
	}
	return parse_count(str, capacity, end, overflow);
}

Datum
eiot_coverage_in(PG_FUNCTION_ARGS)
{
	const char *str = PG_GETARG_CSTRING(0);
	const char *p = str;
	int64		devices;
	int64		capacity;
	bool		overflow;

	while (*p == ' ')
		p++;
	if (parse_count(p, &devices, &p, &overflow) && *p == '/' &&
		parse_capacity(p + 1, &capacity, &p, &overflow))
	{
		while (*p == ' ')
			p++;
		if (*p == '\0')
			PG_RETURN_COVERAGE_P(make_coverage(devices, capacity));
	}

	if (overflow)
		ereturn(ESCONTEXT(fcinfo), (Datum) 0,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("value \"%s\" is out of range for type %s", str, "eiot.coverage")));
	ereturn(ESCONTEXT(fcinfo), (Datum) 0,
			(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
			 errmsg("invalid input syntax for type %s: \"%s\"", "eiot.coverage", str),
			 errdetail("Expected counted devices, a slash and the capacity or \"unlimited\", as in \"1204/1200\".")));
}

Datum
eiot_coverage_out(PG_FUNCTION_ARGS)
{
	const Coverage *coverage = PG_GETARG_COVERAGE_P(0);

	for (int i = 0; i < (int) lengthof(capacity_words); i++)
	{
		if (coverage->capacity == capacity_words[i].capacity)
			PG_RETURN_CSTRING(psprintf("%lld/%s", (long long) coverage->devices,
									   capacity_words[i].word));
	}
	PG_RETURN_CSTRING(psprintf("%lld/%lld", (long long) coverage->devices,
							   (long long) coverage->capacity));
}

Datum
eiot_coverage_recv(PG_FUNCTION_ARGS)
{
	StringInfo	buf = (StringInfo) PG_GETARG_POINTER(0);
	int64		devices = pq_getmsgint64(buf);
	int64		capacity = pq_getmsgint64(buf);

	if (devices < 0 || capacity < CAPACITY_TOO_LARGE)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("invalid binary value for type %s", "eiot.coverage"),
				 errdetail("Devices are %lld and capacity is %lld.",
						   (long long) devices, (long long) capacity)));
	PG_RETURN_COVERAGE_P(make_coverage(devices, capacity));
}

Datum
eiot_coverage_send(PG_FUNCTION_ARGS)
{
	const Coverage *coverage = PG_GETARG_COVERAGE_P(0);
	StringInfoData buf;

	pq_begintypsend(&buf);
	pq_sendint64(&buf, coverage->devices);
	pq_sendint64(&buf, coverage->capacity);
	PG_RETURN_BYTEA_P(pq_endtypsend(&buf));
}

/* eiot.coverage(devices bigint, capacity bigint) */
Datum
eiot_coverage(PG_FUNCTION_ARGS)
{
	int64		devices = PG_GETARG_INT64(0);
	int64		capacity = PG_GETARG_INT64(1);

	check_devices(devices);
	check_capacity(capacity);
	PG_RETURN_COVERAGE_P(make_coverage(devices, capacity));
}

Datum
eiot_devices(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(PG_GETARG_COVERAGE_P(0)->devices);
}

Datum
eiot_capacity(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(coverage_stated_capacity(PG_GETARG_COVERAGE_P(0)));
}

/* eiot.gap(eiot.coverage), also the final function of both gap aggregates */
Datum
eiot_gap(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(coverage_devices_missing(PG_GETARG_COVERAGE_P(0)));
}

/* eiot.surplus(eiot.coverage): devices that the licenses could still take */
Datum
eiot_surplus(PG_FUNCTION_ARGS)
{
	const Coverage *coverage = PG_GETARG_COVERAGE_P(0);
	int64		capacity = coverage_stated_capacity(coverage);

	if (capacity == CAPACITY_UNLIMITED)
		PG_RETURN_INT64(CAPACITY_UNLIMITED);
	PG_RETURN_INT64(capacity > coverage->devices ? capacity - coverage->devices : 0);
}

/* Devices by capacity, as numeric divides; NULL where nothing can be divided by. */
Datum
eiot_utilization(PG_FUNCTION_ARGS)
{
	const Coverage *coverage = PG_GETARG_COVERAGE_P(0);
	int64		capacity = coverage_stated_capacity(coverage);

	if (capacity == 0 || capacity == CAPACITY_UNLIMITED)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(DirectFunctionCall2(numeric_div,
										NumericGetDatum(int64_to_numeric(coverage->devices)),
										NumericGetDatum(int64_to_numeric(capacity))));
}

/*
 * What makes two values equal: "0/none" equals "0/0", for both mean that
 * nothing is counted and nothing covers it.
 */
static Coverage
comparable(const Coverage *coverage)
{
	Coverage	result = *coverage;

	if (result.capacity == CAPACITY_NONE)
		result.capacity = 0;
	return result;
}

static bool
coverage_equal(const Coverage *a, const Coverage *b)
{
	return a->devices == b->devices &&
		comparable(a).capacity == comparable(b).capacity;
}

Datum
eiot_coverage_eq(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(coverage_equal(PG_GETARG_COVERAGE_P(0), PG_GETARG_COVERAGE_P(1)));
}

Datum
eiot_coverage_ne(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(!coverage_equal(PG_GETARG_COVERAGE_P(0), PG_GETARG_COVERAGE_P(1)));
}

Datum
eiot_coverage_hash(PG_FUNCTION_ARGS)
{
	Coverage	value = comparable(PG_GETARG_COVERAGE_P(0));

	PG_RETURN_UINT32(hash_bytes((const unsigned char *) &value, sizeof(value)));
}

Datum
eiot_coverage_hash_extended(PG_FUNCTION_ARGS)
{
	Coverage	value = comparable(PG_GETARG_COVERAGE_P(0));

	PG_RETURN_UINT64(hash_bytes_extended((const unsigned char *) &value, sizeof(value),
										 PG_GETARG_INT64(1)));
}

/* Operator +: two pools as one. */
Datum
eiot_coverage_add(PG_FUNCTION_ARGS)
{
	const Coverage *a = PG_GETARG_COVERAGE_P(0);
	const Coverage *b = PG_GETARG_COVERAGE_P(1);
	Coverage   *sum = make_coverage(add_devices(a->devices, b->devices),
									pool_capacity(a->capacity, b->capacity));

	(void) coverage_stated_capacity(sum);
	PG_RETURN_COVERAGE_P(sum);
}

/*
 * eiot.round_devices(n bigint, step int, mode text): the multiple of step that
 * Microsoft's revisions print.  Presentation only; no gap is computed from it.
 */
Datum
eiot_round_devices(PG_FUNCTION_ARGS)
{
	int64		devices = PG_GETARG_INT64(0);
	int64		step = PG_GETARG_INT32(1);
	char	   *mode = text_to_cstring(PG_GETARG_TEXT_PP(2));
	int64		rest;
	bool		up;

	check_devices(devices);
	if (step <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("rounding step must be positive: %lld", (long long) step)));

	rest = devices % step;
	if (strcmp(mode, "down") == 0)
		up = false;
	else if (strcmp(mode, "up") == 0)
		up = rest > 0;
	else if (strcmp(mode, "nearest") == 0)
		up = rest >= step - rest;	/* a half goes up */
	else if (strcmp(mode, "none") == 0)
		PG_RETURN_INT64(devices);
	else
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown rounding mode: \"%s\"", mode),
				 errhint("Use \"up\", \"down\", \"nearest\" or \"none\".")));

	PG_RETURN_INT64(up ? add_devices(devices - rest, step) : devices - rest);
}
