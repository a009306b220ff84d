/*
 * timeline.c
 *		Coverage over time: when devices count, and the gap at and between steps.
 *
 * Two passes with a set of instants between them: the aggregate active_spans()
 * turns a tenant's devices into the instants at which they begin and cease to
 * count under the rules of the time, and coverage_steps() sweeps over these and
 * the changes of capacity.  No device is looked at once a step.
 */
#include "counting.h"
#include "coverage.h"
#include "spans.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(eiot_step_bounds);
PG_FUNCTION_INFO_V1(eiot_active_spans_accum);
PG_FUNCTION_INFO_V1(eiot_active_spans_final);
PG_FUNCTION_INFO_V1(eiot_coverage_steps);

#define MAX_STEPS		1000000

/* From one bound to the next one rule is in force, or none (no keys). */
typedef struct RulePeriod
{
	TimestampTz since;
	TimestampTz until;
	int64		counted_keys;
	Interval	inactive_after;
} RulePeriod;

/* State of active_spans(); what was combined or sent is only its spans. */
typedef struct ActiveSpans
{
	Spans		spans;			/* must be first */
	int			nperiods;
	RulePeriod *periods;
} ActiveSpans;

/* The capacity changes by these.  In two halves, so that no sum overflows. */
typedef struct CapacityChange
{
	TimestampTz at;
	int64		low;
	int64		high;
	int64		unlimited;
} CapacityChange;

#define ST_SORT sort_changes
#define ST_ELEMENT_TYPE CapacityChange
#define ST_COMPARE(a, b) ((a)->at < (b)->at ? -1 : (a)->at > (b)->at)
#define ST_SCOPE static
#define ST_DEFINE
#include "lib/sort_template.h"

/* How far the sweep has come, and what is in effect there. */
typedef struct Sweep
{
	Instants	starts;
	Instants	ends;
	int64		nstarted;
	int64		nended;
	CapacityChange *changes;
	int64		nchanges;
	int64		nchanged;
	CapacityChange capacity;	/* all changes so far */
	const TimestampTz *bounds;	/* of the rules' periods, one more than these */
	const bool *ruled;			/* is there a rule? */
	int			nperiods;
	int			nbegun;
} Sweep;

/*
 * Elements of an array of a type of fixed length, where they lie.
 */
static void *
fixed_elements(ArrayType *array, Oid type, const char *name, int *n)
{
	if (ARR_ELEMTYPE(array) != type || ARR_NDIM(array) > 1 || array_contains_nulls(array))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be a list without nulls", name)));
	*n = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	return ARR_DATA_PTR(array);
}

static void
check_ascending(const TimestampTz *at, int n, const char *name)
{
	for (int i = 1; i < n; i++)
	{
		if (at[i - 1] >= at[i])
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("%s must ascend", name)));
	}
}

static void
check_same_length(int n, int wanted, const char *name)
{
	if (n != wanted)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("%s has %d elements instead of %d", name, n, wanted)));
}

static ArrayType *
make_timestamps(const TimestampTz *at, int64 n)
{
	Size		size = ARR_OVERHEAD_NONULLS(1) + n * sizeof(TimestampTz);
	ArrayType  *array;

	if (n == 0)
		return construct_empty_array(TIMESTAMPTZOID);
	array = palloc0(size);
	SET_VARSIZE(array, size);
	array->ndim = 1;
	array->elemtype = TIMESTAMPTZOID;
	ARR_DIMS(array)[0] = (int) n;
	ARR_LBOUND(array)[0] = 1;
	memcpy(ARR_DATA_PTR(array), at, n * sizeof(TimestampTz));
	return array;
}

/*
 * step_bounds(from, to, step): from, from + step, from + 2 * step ... and to
 *
 * Each is counted from the first, not from the one before: months from the 31st
 * end on the last day of shorter ones, and come back to the 31st.
 */
Datum
eiot_step_bounds(PG_FUNCTION_ARGS)
{
	TimestampTz from = PG_GETARG_TIMESTAMPTZ(0);
	TimestampTz to = PG_GETARG_TIMESTAMPTZ(1);
	const Interval *step = PG_GETARG_INTERVAL_P(2);
	Instants	list = {NULL, 0, 16};
	double		shortest;

	if (TIMESTAMP_NOT_FINITE(from) || TIMESTAMP_NOT_FINITE(to))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a timeline must not be infinite"),
				 errhint("Name the instants from which and until which it goes.")));
	if (from > to)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a timeline cannot end before it begins"),
				 errdetail("It goes from %s to %s.",
						   pstrdup(timestamptz_to_str(from)), pstrdup(timestamptz_to_str(to)))));
	if (step->month < 0 || step->day < 0 || step->time < 0 ||
		(step->month == 0 && step->day == 0 && step->time == 0))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("step must be positive: %s",
						DatumGetCString(DirectFunctionCall1(interval_out, PG_GETARG_DATUM(2)))),
				 errhint("Use an interval such as \"1 day\" or \"1 month\", none of whose parts is negative.")));

	/* No month has less than 28 days, and a day hardly ever less than 23 hours. */
	shortest = (step->month * 28.0 + step->day) * 23 * USECS_PER_HOUR + step->time;
	list.at = palloc(list.size * sizeof(TimestampTz));
	for (int64 i = 0;; i++)
	{
		Interval	ahead;
		TimestampTz at;

		/* Far beyond the end there may be no timestamp any more. */
		if (shortest * i >= (double) to - (double) from ||
			pg_mul_s64_overflow(step->time, i, &ahead.time))
			break;
		ahead.month = step->month * (int32) i;
		ahead.day = step->day * (int32) i;
		at = DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval,
													 TimestampTzGetDatum(from),
													 PointerGetDatum(&ahead)));
		if (at >= to)
			break;
		/* Days of local time, where clocks were put back by a whole day. */
		if (list.n > 0 && at <= list.at[list.n - 1])
			continue;
		if (list.n == MAX_STEPS)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("a timeline of more than %d steps", MAX_STEPS),
					 errhint("Use a longer step, or ask for parts of the time one after the other.")));
		if ((i & 0xfff) == 0)
			CHECK_FOR_INTERRUPTS();
		add_instant(&list, at);
	}
	if (from < to)
		add_instant(&list, to);
	PG_RETURN_ARRAYTYPE_P(make_timestamps(list.at, list.n));
}

/* The rules' periods, out of parallel lists; once a group, in its memory. */
static ActiveSpans *
make_active_spans(FunctionCallInfo fcinfo)
{
	MemoryContext context;
	ActiveSpans *state;
	const TimestampTz *bounds;
	const int64 *counted_keys;
	const Interval *inactive_after;
	int			nbounds;
	int			n;

	if (!AggCheckCallContext(fcinfo, &context))
		elog(ERROR, "aggregate support function called outside an aggregate");
	if (PG_ARGISNULL(4) || PG_ARGISNULL(5) || PG_ARGISNULL(6))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("the rules' periods must not be null")));
	bounds = fixed_elements(PG_GETARG_ARRAYTYPE_P(4), TIMESTAMPTZOID, "bounds", &nbounds);
	counted_keys = fixed_elements(PG_GETARG_ARRAYTYPE_P(5), INT8OID, "counted_keys", &n);
	check_same_length(n, Max(nbounds - 1, 0), "counted_keys");
	inactive_after = fixed_elements(PG_GETARG_ARRAYTYPE_P(6), INTERVALOID, "inactive_after", &n);
	check_same_length(n, Max(nbounds - 1, 0), "inactive_after");
	check_ascending(bounds, nbounds, "bounds");

	state = MemoryContextAlloc(context, sizeof(ActiveSpans));
	init_spans(&state->spans, context);
	state->nperiods = n;
	state->periods = MemoryContextAlloc(context, Max(n, 1) * sizeof(RulePeriod));
	for (int i = 0; i < n; i++)
	{
		state->periods[i].since = bounds[i];
		state->periods[i].until = bounds[i + 1];
		state->periods[i].counted_keys = counted_keys[i];
		state->periods[i].inactive_after = inactive_after[i];
	}
	return state;
}

/*
 * active_spans_accum(state, count_key, first_seen, last_seen,
 *					  bounds, counted_keys, inactive_after)
 *
 * One more device.  Under each rule it counts from its first being seen until
 * the rule's cut-off after the last; where two rules agree, through from one to
 * the next.  Beyond the outer bounds nothing is kept.
 */
Datum
eiot_active_spans_accum(PG_FUNCTION_ARGS)
{
	ActiveSpans *state = PG_ARGISNULL(0) ? make_active_spans(fcinfo) :
		(ActiveSpans *) PG_GETARG_POINTER(0);
	TimestampTz from = DT_NOBEGIN;	/* open span, if before until */
	TimestampTz until = DT_NOBEGIN;
	int16		key;

	if (PG_ARGISNULL(1))
		PG_RETURN_POINTER(state);
	key = PG_GETARG_INT16(1);
	for (int i = 0; i < state->nperiods; i++)
	{
		const RulePeriod *period = &state->periods[i];
		TimestampTz start = period->since;
		TimestampTz end = period->until;

		if (!is_counted_key(period->counted_keys, key))
			continue;
		/* Never seen first or last: nothing says that it came or left. */
		if (!PG_ARGISNULL(2))
			start = Max(start, PG_GETARG_TIMESTAMPTZ(2));
		if (!PG_ARGISNULL(3))
			end = Min(end, active_until(PG_GETARG_TIMESTAMPTZ(3), &period->inactive_after));
		if (start >= end)
			continue;
		if (start > until)
		{
			add_span(&state->spans, from, until);
			from = start;
		}
		until = end;
	}
	if (from < until)
		add_span(&state->spans, from,
				 until == state->periods[state->nperiods - 1].until ? DT_NOEND : until);
	PG_RETURN_POINTER(state);
}

/* active_spans_final(state): both lists, sorted */
Datum
eiot_active_spans_final(PG_FUNCTION_ARGS)
{
	Spans	   *spans = (Spans *) PG_GETARG_POINTER(0);
	TupleDesc	tupdesc;
	Datum		values[2];
	bool		nulls[2] = {false, false};

	if ((spans->starts.n + spans->ends.n) * sizeof(TimestampTz) > MaxAllocSize - 1024)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("too many devices in one group: %lld", (long long) spans->starts.n),
				 errdetail("What begins and ends within the time must fit into 1 GB.")));
	if (get_call_result_type(fcinfo, NULL, &tupdesc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	sort_instants(&spans->starts);
	sort_instants(&spans->ends);
	values[0] = PointerGetDatum(make_timestamps(spans->starts.at, spans->starts.n));
	values[1] = PointerGetDatum(make_timestamps(spans->ends.at, spans->ends.n));
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(tupdesc), values, nulls)));
}

/* A list of instants, sorted; a null one is empty.  The argument stays as it is. */
static Instants
get_instants(FunctionCallInfo fcinfo, int argno, const char *name)
{
	Instants	list = {NULL, 0, 0};
	int			n;

	if (PG_ARGISNULL(argno))
		return list;
	list.at = fixed_elements(PG_GETARG_ARRAYTYPE_P(argno), TIMESTAMPTZOID, name, &n);
	list.n = list.size = n;
	for (int i = 1; i < n; i++)
	{
		if (list.at[i - 1] > list.at[i])
		{
			TimestampTz *copy = MemoryContextAllocHuge(CurrentMemoryContext,
													   n * sizeof(TimestampTz));

			list.at = memcpy(copy, list.at, n * sizeof(TimestampTz));
			sort_instants(&list);
			break;
		}
	}
	return list;
}

/* What the ranges valid[] and their capacities change, and when. */
static void
get_capacity_changes(FunctionCallInfo fcinfo, int argno, Sweep *sweep)
{
	ArrayType  *valid;
	ArrayType  *capacity;
	Datum	   *ranges;
	bool	   *nulls;
	const int64 *capacities;
	int			nranges;
	int			n;

	sweep->changes = NULL;
	sweep->nchanges = 0;
	if (PG_ARGISNULL(argno) && PG_ARGISNULL(argno + 1))
		return;
	if (PG_ARGISNULL(argno) || PG_ARGISNULL(argno + 1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("valid and capacity must both be null or neither")));
	valid = PG_GETARG_ARRAYTYPE_P(argno);
	capacity = PG_GETARG_ARRAYTYPE_P(argno + 1);
	if (ARR_ELEMTYPE(valid) != TSTZRANGEOID || ARR_NDIM(valid) > 1 || array_contains_nulls(valid))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be a list without nulls", "valid")));
	deconstruct_array(valid, TSTZRANGEOID, -1, false, TYPALIGN_DOUBLE, &ranges, &nulls, &nranges);
	capacities = fixed_elements(capacity, INT8OID, "capacity", &n);
	check_same_length(n, nranges, "capacity");

	sweep->changes = MemoryContextAllocHuge(CurrentMemoryContext,
											Max(2 * (Size) n, 1) * sizeof(CapacityChange));
	for (int i = 0; i < n; i++)
	{
		CapacityChange change;
		TimestampTz end;

		check_capacity(capacities[i]);
		if (!range_to_span(range_get_typcache(fcinfo, TSTZRANGEOID),
						   DatumGetRangeTypeP(ranges[i]), &change.at, &end))
			continue;
		change.unlimited = capacities[i] == CAPACITY_UNLIMITED;
		change.low = change.unlimited ? 0 : capacities[i] & 0xffffffff;
		change.high = change.unlimited ? 0 : capacities[i] >> 32;
		sweep->changes[sweep->nchanges++] = change;
		if (end == DT_NOEND)
			continue;
		change.at = end;
		change.unlimited = -change.unlimited;
		change.low = -change.low;
		change.high = -change.high;
		sweep->changes[sweep->nchanges++] = change;
	}
	sort_changes(sweep->changes, sweep->nchanges);
}

/* The next instant at which anything changes. */
static inline TimestampTz
next_change(const Sweep *sweep)
{
	TimestampTz next = DT_NOEND;

	if (sweep->nstarted < sweep->starts.n)
		next = Min(next, sweep->starts.at[sweep->nstarted]);
	if (sweep->nended < sweep->ends.n)
		next = Min(next, sweep->ends.at[sweep->nended]);
	if (sweep->nchanged < sweep->nchanges)
		next = Min(next, sweep->changes[sweep->nchanged].at);
	if (sweep->nbegun <= sweep->nperiods)
		next = Min(next, sweep->bounds[sweep->nbegun]);
	return next;
}

/* All that changes until then, that instant included. */
static inline void
sweep_to(Sweep *sweep, TimestampTz now)
{
	while (sweep->nstarted < sweep->starts.n && sweep->starts.at[sweep->nstarted] <= now)
		sweep->nstarted++;
	while (sweep->nended < sweep->ends.n && sweep->ends.at[sweep->nended] <= now)
		sweep->nended++;
	while (sweep->nchanged < sweep->nchanges && sweep->changes[sweep->nchanged].at <= now)
	{
		const CapacityChange *change = &sweep->changes[sweep->nchanged++];

		sweep->capacity.low += change->low;
		sweep->capacity.high += change->high;
		sweep->capacity.unlimited += change->unlimited;
	}
	while (sweep->nbegun <= sweep->nperiods && sweep->bounds[sweep->nbegun] <= now)
		sweep->nbegun++;
}

/* Coverage where the sweep is; false where no rule is in force. */
static inline bool
coverage_here(const Sweep *sweep, Coverage *coverage)
{
	int64		high = sweep->capacity.high + (sweep->capacity.low >> 32);
	int64		low = sweep->capacity.low & 0xffffffff;

	coverage->devices = sweep->nstarted - sweep->nended;
	if (sweep->capacity.unlimited > 0)
		coverage->capacity = CAPACITY_UNLIMITED;
	else if (high > PG_INT32_MAX || (high == PG_INT32_MAX && low == 0xffffffff))
		coverage->capacity = CAPACITY_TOO_LARGE;
	else
		coverage->capacity = (high << 32) | low;
	(void) coverage_stated_capacity(coverage);
	return sweep->nbegun > 0 && sweep->nbegun <= sweep->nperiods &&
		sweep->ruled[sweep->nbegun - 1];
}

/*
 * coverage_steps(starts, ends, bounds, ruled, valid, capacity, steps)
 *
 * For each step but the last bound: coverage at its beginning, and the largest
 * gap until the next one begins.
 */
Datum
eiot_coverage_steps(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Sweep		sweep = {0};
	const TimestampTz *steps;
	int			nsteps;
	int			nbounds;
	int64		seen = 0;

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 2; i < 7; i++)
	{
		if (PG_ARGISNULL(i) && i != 4 && i != 5)
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("bounds, ruled and steps must not be null")));
	}
	sweep.starts = get_instants(fcinfo, 0, "starts");
	sweep.ends = get_instants(fcinfo, 1, "ends");
	sweep.bounds = fixed_elements(PG_GETARG_ARRAYTYPE_P(2), TIMESTAMPTZOID, "bounds", &nbounds);
	check_ascending(sweep.bounds, nbounds, "bounds");
	sweep.ruled = fixed_elements(PG_GETARG_ARRAYTYPE_P(3), BOOLOID, "ruled", &sweep.nperiods);
	if (nbounds == 0)
		sweep.nbegun = 1;		/* so that no bound is looked at */
	check_same_length(sweep.nperiods, Max(nbounds - 1, 0), "ruled");
	get_capacity_changes(fcinfo, 4, &sweep);
	steps = fixed_elements(PG_GETARG_ARRAYTYPE_P(6), TIMESTAMPTZOID, "steps", &nsteps);
	check_ascending(steps, nsteps, "steps");

	for (int i = 0; i < nsteps - 1; i++)
	{
		Coverage	coverage;
		Coverage	later;
		TimestampTz next;
		int64		gap = 0;
		int64		max_gap = 0;
		TimestampTz max_gap_at = 0;
		bool		ruled;
		bool		ever_ruled;
		Datum		values[7];
		bool		nulls[7] = {false};

		CHECK_FOR_INTERRUPTS();
		sweep_to(&sweep, steps[i]);
		ruled = ever_ruled = coverage_here(&sweep, &coverage);
		if (ruled)
		{
			max_gap = gap = coverage_devices_missing(&coverage);
			max_gap_at = steps[i];
		}
		while ((next = next_change(&sweep)) < steps[i + 1])
		{
			if (unlikely((++seen & 0xffff) == 0))
				CHECK_FOR_INTERRUPTS();
			sweep_to(&sweep, next);
			if (!coverage_here(&sweep, &later))
				continue;
			ever_ruled = true;
			if (coverage_devices_missing(&later) > max_gap)
			{
				max_gap = coverage_devices_missing(&later);
				max_gap_at = next;
			}
		}

		values[0] = TimestampTzGetDatum(steps[i]);
		values[1] = Int64GetDatum(coverage.devices);
		values[2] = Int64GetDatum(coverage.capacity);
		values[3] = BoolGetDatum(coverage.capacity == CAPACITY_UNLIMITED);
		values[4] = Int64GetDatum(gap);
		values[5] = Int64GetDatum(max_gap);
		values[6] = TimestampTzGetDatum(max_gap_at);
		nulls[1] = nulls[4] = !ruled;
		nulls[2] = coverage.capacity == CAPACITY_UNLIMITED;
		nulls[5] = !ever_ruled;
		nulls[6] = max_gap == 0;
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}
