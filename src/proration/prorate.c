/*
 * prorate.c
 *		eiot.prorate(): what a price comes to for the time used of a cycle.
 */
#include "proration.h"

#include "common/int.h"
#include "datatype/timestamp.h"
#include "pgtime.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/rangetypes.h"
#include "utils/timestamp.h"

#include "decimal.h"

PG_FUNCTION_INFO_V1(eiot_prorate_dates);
PG_FUNCTION_INFO_V1(eiot_prorate_timestamps);
PG_FUNCTION_INFO_V1(eiot_round_total);

/* A range taken apart, in days or microseconds. */
typedef struct Bounds
{
	bool		empty;
	bool		endless;		/* one bound or both are missing or infinite */
	bool		to_inclusive;	/* of a tstzrange alone: a daterange is made half-open */
	Span		span;			/* the smallest and the largest int64 for infinity */
} Bounds;

/*
 * Reads a range without the type cache and without copying it: these ranges are
 * an OID, the bounds that there are, and a byte of flags.
 */
static void
read_bounds(Datum datum, int width, Bounds *bounds)
{
	struct varlena *range = PG_DETOAST_DATUM_PACKED(datum);
	const char *p = VARDATA_ANY(range);
	uint8		flags = (uint8) p[VARSIZE_ANY_EXHDR(range) - 1];
	int64		values[2] = {PG_INT64_MIN, PG_INT64_MAX};
	bool		has[2];

	has[0] = RANGE_HAS_LBOUND(flags);
	has[1] = RANGE_HAS_UBOUND(flags);
	p += sizeof(Oid);
	for (int i = 0; i < 2; i++)
	{
		if (!has[i])
			continue;
		if (width == sizeof(DateADT))
		{
			DateADT		date;

			memcpy(&date, p, sizeof(date));
			values[i] = DATE_IS_NOBEGIN(date) ? PG_INT64_MIN : DATE_IS_NOEND(date) ? PG_INT64_MAX : date;
		}
		else
			memcpy(&values[i], p, sizeof(int64));
		p += width;
	}
	bounds->empty = (flags & RANGE_EMPTY) != 0;
	bounds->to_inclusive = (flags & RANGE_UB_INC) != 0;
	bounds->span.from = values[0];
	bounds->span.to = values[1];
	bounds->endless = values[0] == PG_INT64_MIN || values[0] == PG_INT64_MAX ||
		values[1] == PG_INT64_MIN || values[1] == PG_INT64_MAX;
}

static void
cut(Bounds *used, const Bounds *cycle)
{
	if (used->span.from < cycle->span.from)
		used->span.from = cycle->span.from;
	if (used->span.to > cycle->span.to)
	{
		used->span.to = cycle->span.to;
		used->to_inclusive = cycle->to_inclusive;
	}
	else if (used->span.to == cycle->span.to && !cycle->to_inclusive)
		used->to_inclusive = false;
	if (used->span.from > used->span.to ||
		(used->span.from == used->span.to && !used->to_inclusive))
		used->empty = true;
}

typedef enum Verdict
{
	MEASURE,
	NOTHING,
	WHOLE_PRICE
} Verdict;

/* What the policy says of ranges that are empty or have no end; cuts the used one. */
static Verdict
check_bounds(const ProrationPolicy *policy, Bounds *used, const Bounds *cycle)
{
	if (used->empty)
	{
		if (policy->empty == EMPTY_ERROR)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("used range is empty"),
					 errhint("Policies with \"empty=zero\" or \"empty=full\" have an answer.")));
		return policy->empty == EMPTY_FULL ? WHOLE_PRICE : NOTHING;
	}
	if (cycle->empty)
	{
		if (policy->empty_cycle == EMPTY_ERROR)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("cycle is empty"),
					 errhint("Policies with \"empty_cycle=zero\" or \"empty_cycle=full\" have an answer.")));
		return policy->empty_cycle == EMPTY_FULL ? WHOLE_PRICE : NOTHING;
	}
	if (cycle->endless)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("cycle has no beginning or no end"),
				 errhint("eiot.billing_cycles() tells the cycle that a day lies in.")));
	if (policy->outside == OUTSIDE_CUT)
	{
		cut(used, cycle);
		if (used->empty)
			return NOTHING;
	}
	else if (used->endless)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("used range has no beginning or no end"),
				 errdetail("The policy counts what lies outside of the cycle.")));
	return MEASURE;
}

/* The amount in numeric's own arithmetic, for what amount.c has no room for. */
static Datum
prorate_numeric(const ProrationPolicy *policy, Datum price, uint64 units, const Share *share)
{
#define INTEGER(value) NumericGetDatum(int64_to_numeric(value))
	PolicyRound how = (PolicyRound) policy->round;
	int			scale = amount_scale(policy);
	Datum		count = make_decimal(units, false, 0);
	Datum		dividend = price;
	Datum		divisor = INTEGER(1);

	if (policy->at == AT_RATE)
	{
		dividend = DirectFunctionCall2(numeric_mul, dividend, INTEGER(share->base_parts));
		dividend = numeric_quotient(dividend, INTEGER(share->base), policy->rate_scale, how);
		dividend = DirectFunctionCall2(numeric_mul, dividend, INTEGER(share->used));
		divisor = INTEGER(share->used_parts);
	}
	else if (share->used != share->base || share->used_parts != share->base_parts)
	{
		Datum		numerator = DirectFunctionCall2(numeric_mul, INTEGER(share->used),
													INTEGER(share->base_parts));
		Datum		denominator = DirectFunctionCall2(numeric_mul, INTEGER(share->base),
													  INTEGER(share->used_parts));

		if (policy->factor_scale != POLICY_EXACT)
			numerator = numeric_quotient(numerator, denominator, policy->factor_scale, how);
		else
			divisor = denominator;
		dividend = DirectFunctionCall2(numeric_mul, dividend, numerator);
	}
	if (policy->at == AT_UNIT)
		return DirectFunctionCall2(numeric_mul, numeric_quotient(dividend, divisor, scale, how), count);
	return numeric_quotient(DirectFunctionCall2(numeric_mul, dividend, count), divisor, scale,
							amount_round(policy));
#undef INTEGER
}

static void
check_price(Datum price)
{
	if (!numeric_is_finite(price))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("price must be a number: %s",
						DatumGetCString(DirectFunctionCall1(numeric_out, price)))));
	if (numeric_is_negative(price))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("price must not be negative: %s",
						DatumGetCString(DirectFunctionCall1(numeric_out, price))),
				 errhint("A credit has a negative number of units.")));
}

static Datum
amount_of(const ProrationPolicy *policy, Datum price, int64 units, const Share *share)
{
	Decimal		decimal;
	bool		negative_price;
	bool		credit = units < 0;
	uint64		magnitude = credit ? 0 - (uint64) units : (uint64) units;
	Wide		amount;
	Datum		result;

	if (likely(read_decimal(price, &decimal, &negative_price)))
	{
		if (unlikely(negative_price))
			check_price(price);
		if (likely(prorate_amount(policy, decimal, magnitude, share, &amount)))
			return make_decimal(amount, credit, amount_scale(policy));
	}
	else
		check_price(price);

	result = prorate_numeric(policy, price, magnitude, share);
	return credit ? DirectFunctionCall1(numeric_uminus, result) : result;
}

static Datum
settle(Verdict verdict, const ProrationPolicy *policy, Datum price, int64 units, Share *share)
{
	if (verdict != MEASURE)
	{
		share->used = verdict == WHOLE_PRICE;
		share->used_parts = share->base = share->base_parts = 1;
	}
	return amount_of(policy, price, units, share);
}

/* A cycle may have no day that counts: a 31st where months have 30. */
static void
require_length(bool has_length)
{
	if (!has_length)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("cycle has no day that counts under the policy"),
				 errhint("With \"month=N\" the days of a month beyond N count nothing, with \"ends=half_open\" the day on which a tstzrange ends.")));
}

/* eiot.prorate(price numeric, units bigint, used daterange, cycle daterange, policy) */
Datum
eiot_prorate_dates(PG_FUNCTION_ARGS)
{
	Datum		price = PG_GETARG_DATUM(0);
	int64		units = PG_GETARG_INT64(1);
	const ProrationPolicy *policy = PG_GETARG_POLICY_P(4);
	Bounds		used;
	Bounds		cycle;
	Share		share;
	Verdict		verdict;

	read_bounds(PG_GETARG_DATUM(2), sizeof(DateADT), &used);
	read_bounds(PG_GETARG_DATUM(3), sizeof(DateADT), &cycle);
	verdict = check_bounds(policy, &used, &cycle);
	if (verdict == MEASURE)
		require_length(share_of_days(policy, used.span, cycle.span, &share));
	return settle(verdict, policy, price, units, &share);
}

/* NULL for UTC, which is quick. */
static pg_tz *
zone_of(const ProrationPolicy *policy)
{
	/* Time zones stay where they are for as long as the backend lives. */
	static char name[POLICY_ZONE_SIZE] = "UTC";
	static pg_tz *zone = NULL;

	if (unlikely(strcmp(name, policy->zone) != 0))
	{
		pg_tz	   *found = NULL;

		if (strcmp(policy->zone, "UTC") != 0)
		{
			found = pg_tzset(policy->zone);
			if (found == NULL)
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("unknown time zone in proration policy: \"%s\"", policy->zone)));
		}
		zone = found;
		strcpy(name, policy->zone);
	}
	return zone;
}

/* The day of an instant in the time zone; without one in UTC. */
static int64
local_day(TimestampTz at, pg_tz *zone)
{
	struct pg_tm tm;
	fsec_t		fsec;
	int			tz;

	if (zone == NULL)
		return at / USECS_PER_DAY - (at % USECS_PER_DAY < 0);
	if (timestamp2tm(at, &tz, &tm, &fsec, NULL, zone) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("timestamp out of range")));
	return date2j(tm.tm_year, tm.tm_mon, tm.tm_mday) - POSTGRES_EPOCH_JDATE;
}

/* From the day of the first instant to that of the end, or to after that of the last instant. */
static Span
local_days(const ProrationPolicy *policy, const Bounds *bounds, pg_tz *zone)
{
	Span		result;

	result.from = local_day(bounds->span.from, zone);
	if (policy->ends == ENDS_INCLUSIVE)
		result.to = local_day(bounds->span.to - !bounds->to_inclusive, zone) + 1;
	else
		result.to = local_day(bounds->span.to, zone);
	return result;
}

/* The same with tstzrange */
Datum
eiot_prorate_timestamps(PG_FUNCTION_ARGS)
{
	Datum		price = PG_GETARG_DATUM(0);
	int64		units = PG_GETARG_INT64(1);
	const ProrationPolicy *policy = PG_GETARG_POLICY_P(4);
	Bounds		used;
	Bounds		cycle;
	Share		share;
	Verdict		verdict;

	read_bounds(PG_GETARG_DATUM(2), sizeof(TimestampTz), &used);
	read_bounds(PG_GETARG_DATUM(3), sizeof(TimestampTz), &cycle);
	verdict = check_bounds(policy, &used, &cycle);
	if (verdict == MEASURE)
	{
		pg_tz	   *zone = zone_of(policy);
		bool		has_length;

		if (policy->unit == UNIT_SECOND)
		{
			int64		start_month_days = 0;
			int64		length;

			if (pg_sub_s64_overflow(used.span.to, used.span.from, &length) ||
				pg_sub_s64_overflow(cycle.span.to, cycle.span.from, &length))
				ereport(ERROR,
						(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
						 errmsg("range is longer than can be measured in microseconds")));
			if (policy->denominator == DENOMINATOR_START_MONTH)
				start_month_days = days_of_start_months(policy, local_days(policy, &cycle, zone));
			has_length = share_of_microseconds(policy, used.span, cycle.span, start_month_days,
											   &share);
		}
		else if (policy->unit == UNIT_CYCLE)
			has_length = share_of_days(policy, used.span, cycle.span, &share);
		else
			has_length = share_of_days(policy, local_days(policy, &used, zone),
									   local_days(policy, &cycle, zone), &share);
		require_length(has_length);
	}
	return settle(verdict, policy, price, units, &share);
}

/*
 * eiot.round_total(total numeric, policy): the sum of lines that are rounded in
 * total.
 *
 * What each of them lacks adds up to less than TOTAL_EXTRA_SCALE decimals show,
 * so those that come so close to a number are taken for it first: three thirds
 * are a whole, truncated or not.
 */
Datum
eiot_round_total(PG_FUNCTION_ARGS)
{
	Datum		total = PG_GETARG_DATUM(0);
	const ProrationPolicy *policy = PG_GETARG_POLICY_P(1);
	bool		negative;
	Datum		result;

	if (!numeric_is_finite(total))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("total must be a number: %s",
						DatumGetCString(DirectFunctionCall1(numeric_out, total)))));
	negative = numeric_is_negative(total);
	total = DirectFunctionCall1(numeric_abs, total);
	total = DirectFunctionCall2(numeric_round, total,
								Int32GetDatum(policy->scale + TOTAL_EXTRA_SCALE));
	result = numeric_quotient(total, NumericGetDatum(int64_to_numeric(1)), policy->scale,
							  (PolicyRound) policy->round);
	return negative ? DirectFunctionCall1(numeric_uminus, result) : result;
}
