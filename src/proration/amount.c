/*
 * amount.c
 *		From spans of time to a share of the cycle, and from there to money.
 */
#include "amount.h"

#include "calendar.h"

#define SECONDS_OF_DAY		86400
#define MICROSECONDS		1000000

/*
 * ---- time
 *
 * A share is a difference of two places on one ruler, so the parts of a split
 * span add up to the whole, and a longer span is never less.
 */

/* Days since the start of 2000, with months of the length that the policy takes them to have. */
static int64_t
day_ruler(const ProrationPolicy *policy, int64_t day)
{
	CivilDate	date;

	if (policy->month_days == 0)
		return day;
	date = civil_date(day);
	return date.month * policy->month_days +
		(date.day - 1 < policy->month_days ? date.day - 1 : policy->month_days);
}

static int64_t
counted_days(const ProrationPolicy *policy, Span span)
{
	return day_ruler(policy, span.to) - day_ruler(policy, span.from);
}

/*
 * Months from the start of the cycle, as a fraction.  The days beyond an
 * anniversary are a part of the days to the next one.
 */
static void
month_ruler(const ProrationPolicy *policy, CivilDate anchor, int64_t day, int64_t *months,
			int64_t *parts)
{
	int64_t		whole = whole_months(anchor, day);
	int64_t		since = anniversary(anchor, whole);
	int64_t		rest = day - since;

	*parts = policy->month_days;
	if (*parts == 0)
		*parts = anniversary(anchor, whole + 1) - since;
	if (rest > *parts)
		rest = *parts;
	*months = whole * *parts + rest;
}

static void
count_months(const ProrationPolicy *policy, CivilDate anchor, Span span, int64_t *count,
			 int64_t *parts)
{
	int64_t		from;
	int64_t		from_parts;
	int64_t		to;
	int64_t		to_parts;

	month_ruler(policy, anchor, span.from, &from, &from_parts);
	month_ruler(policy, anchor, span.to, &to, &to_parts);
	*parts = from_parts * to_parts;
	/* Months of dates, times 31 squared: far from overflow. */
	*count = to * from_parts - from * to_parts;
}

/*
 * How many months is the cycle meant to have?  The number that comes closest:
 * at month ends it may be some days longer or shorter than the calendar says.
 */
static int64_t
nominal_months(CivilDate start, Span cycle)
{
	int64_t		months;

	/* Two months have 59 days at least. */
	if (cycle.to - cycle.from <= 40)
		return 1;
	months = whole_months(start, cycle.to);
	if (anniversary(start, months + 1) - cycle.to < cycle.to - anniversary(start, months))
		months++;
	return months;
}

/* Days of the month in which the cycle starts; of as many months as it is meant to have. */
int64_t
days_of_start_months(const ProrationPolicy *policy, Span cycle)
{
	CivilDate	start = civil_date(cycle.from);
	int64_t		months = nominal_months(start, cycle);

	if (policy->month_days != 0)
		return months * policy->month_days;
	if (months == 1)
		return days_of_month(start.month);
	return first_of_month(start.month + months) - first_of_month(start.month);
}

/*
 * The share of a cycle that is given in days.  False if the cycle has no length,
 * which happens where all of it is a 31st of months that have 30 days.
 */
bool
share_of_days(const ProrationPolicy *policy, Span used, Span cycle, Share *share)
{
	int64_t		per_day = policy->unit == UNIT_SECOND ? SECONDS_OF_DAY : 1;

	share->used_parts = 1;
	share->base_parts = 1;
	switch ((PolicyUnit) policy->unit)
	{
		case UNIT_DAY:
		case UNIT_SECOND:
			share->used = counted_days(policy, used) * per_day;
			if (policy->denominator == DENOMINATOR_CYCLE)
				share->base = counted_days(policy, cycle) * per_day;
			else if (policy->denominator == DENOMINATOR_START_MONTH)
				share->base = days_of_start_months(policy, cycle) * per_day;
			else
				share->base = policy->number;
			break;

		case UNIT_MONTH:
			{
				CivilDate	anchor = civil_date(cycle.from);

				count_months(policy, anchor, used, &share->used, &share->used_parts);
				if (policy->denominator == DENOMINATOR_NUMBER)
					share->base = policy->number;
				else
					count_months(policy, anchor, cycle, &share->base, &share->base_parts);
			}
			break;

		case UNIT_CYCLE:
			share->used = 1;
			share->base = 1;
			break;
	}
	return share->base > 0;
}

/* The share of a cycle that is given in microseconds, for UNIT_SECOND; spans that fit in 63 bits. */
bool
share_of_microseconds(const ProrationPolicy *policy, Span used, Span cycle,
					  int64_t start_month_days, Share *share)
{
	share->used = used.to - used.from;
	share->used_parts = MICROSECONDS;
	share->base_parts = 1;
	if (policy->denominator == DENOMINATOR_CYCLE)
	{
		share->base = cycle.to - cycle.from;
		share->base_parts = MICROSECONDS;
	}
	else if (policy->denominator == DENOMINATOR_START_MONTH)
		share->base = start_month_days * SECONDS_OF_DAY;
	else
		share->base = policy->number;
	return share->base > 0;
}

/*
 * ---- money
 */

static bool
multiply(Wide *value, Wide by)
{
	return !__builtin_mul_overflow(*value, by, value);
}

static bool
shift(Wide *value, int decimals)
{
	static const uint64_t powers[] = {
		1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000, 1000000000
	};

	for (; decimals > 9; decimals -= 9)
	{
		if (*value == 0)
			return true;
		if (!multiply(value, powers[9]))
			return false;
	}
	return multiply(value, powers[decimals]);
}

/* Magnitudes are rounded, so a credit is its charge with another sign. */
bool
divide_rounded(Wide dividend, Wide divisor, PolicyRound how, Wide *quotient)
{
	Wide		result;
	Wide		rest;
	bool		up = false;

	if ((dividend | divisor) <= UINT64_MAX)
	{
		result = (uint64_t) dividend / (uint64_t) divisor;
		rest = (uint64_t) dividend % (uint64_t) divisor;
	}
	else
	{
		result = dividend / divisor;
		rest = dividend - result * divisor;
	}
	switch (how)
	{
		case ROUND_HALF_UP:
			up = rest >= divisor - rest;
			break;
		case ROUND_HALF_EVEN:
			up = rest > divisor - rest || (rest == divisor - rest && (result & 1) != 0);
			break;
		case ROUND_TRUNCATE:
			break;
		case ROUND_CEILING:
			up = rest > 0;
			break;
	}
	*quotient = result;
	return !up || !__builtin_add_overflow(result, 1, quotient);
}

/* dividend / divisor * 10^by, rounded to an integer */
static bool
scaled_quotient(Wide dividend, Wide divisor, int by, PolicyRound how, Wide *quotient)
{
	if (by >= 0 ? !shift(&dividend, by) : !shift(&divisor, -by))
		return false;
	return divide_rounded(dividend, divisor, how, quotient);
}

/* Decimals of the result. */
int
amount_scale(const ProrationPolicy *policy)
{
	if (policy->at != AT_TOTAL)
		return policy->scale;
	return policy->scale + TOTAL_EXTRA_SCALE > TOTAL_LEAST_SCALE ?
		policy->scale + TOTAL_EXTRA_SCALE : TOTAL_LEAST_SCALE;
}

/* How the result is rounded to these. */
PolicyRound
amount_round(const ProrationPolicy *policy)
{
	return policy->at == AT_TOTAL ? ROUND_HALF_EVEN : (PolicyRound) policy->round;
}

/*
 * The price of so many units for a share of the cycle, as an integer with
 * amount_scale() decimals.  False if anything on the way does not fit.
 */
bool
prorate_amount(const ProrationPolicy *policy, Decimal price, uint64_t units, const Share *share,
			   Wide *amount)
{
	PolicyRound how = (PolicyRound) policy->round;
	int			scale = amount_scale(policy);
	int			decimals = price.scale; /* that the quotient has too many */
	Wide		dividend = price.digits;
	Wide		divisor = 1;
	Wide		result;

	if (share->used == 0 || units == 0 || price.digits == 0)
	{
		*amount = 0;
		return true;
	}

	if (policy->at == AT_RATE)
	{
		if (!multiply(&dividend, (Wide) share->base_parts) ||
			!scaled_quotient(dividend, (Wide) share->base, policy->rate_scale - decimals, how,
							 &dividend) ||
			!multiply(&dividend, (Wide) share->used))
			return false;
		divisor = (Wide) share->used_parts;
		decimals = policy->rate_scale;
	}
	else if (share->used == share->base && share->used_parts == share->base_parts)
	{
		/* A whole cycle is its price, whatever the factor's decimals. */
	}
	else
	{
		Wide		numerator = (Wide) share->used;
		Wide		denominator = (Wide) share->base;

		if (share->used_parts != share->base_parts &&
			(!multiply(&numerator, (Wide) share->base_parts) ||
			 !multiply(&denominator, (Wide) share->used_parts)))
			return false;
		if (policy->factor_scale != POLICY_EXACT)
		{
			if (!scaled_quotient(numerator, denominator, policy->factor_scale, how, &numerator))
				return false;
			denominator = 1;
			decimals += policy->factor_scale;
		}
		if (!multiply(&dividend, numerator))
			return false;
		divisor = denominator;
	}

	if (policy->at == AT_UNIT)
	{
		if (!scaled_quotient(dividend, divisor, scale - decimals, how, &result) ||
			!multiply(&result, units))
			return false;
	}
	else
	{
		if (!multiply(&dividend, units) ||
			!scaled_quotient(dividend, divisor, scale - decimals, amount_round(policy), &result))
			return false;
	}
	*amount = result;
	return true;
}
