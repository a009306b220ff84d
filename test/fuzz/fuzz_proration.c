/*
 * fuzz_proration.c
 *		libFuzzer's part for proration: the policy's text, day counts, amounts.
 *
 * An input is the text of a policy up to a byte 0x1e, then numbers of eight bytes
 * each: the used span and the cycle, the price's digits (two), its decimals, the
 * units.  Missing ones are 0.
 *
 * - What is read is printed and read back as the same policy.
 * - Days: nothing is negative, a split span is its parts, a whole cycle is whole.
 * - Amounts: whatever is not refused is the exact fraction, by an arithmetic of
 *   its own below that is slow and has room for all of it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "amount.h"
#include "calendar.h"

int			LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SEPARATOR 0x1e

/* Dates that the server has. */
#define FIRST_DAY	INT64_C(-2451545)
#define LAST_DAY	INT64_C(2145031948)

static const char *policy_text;

static void
finding(const char *what)
{
	printf("FINDING %s\n  policy %s\n", what, policy_text);
	abort();
}

static void
require(bool holds, const char *what)
{
	if (!holds)
		finding(what);
}

/* ---- natural numbers without a limit that matters */

#define LIMBS 400

typedef struct Natural
{
	uint32_t	limb[LIMBS];	/* the least first */
} Natural;

static Natural
natural(Wide value)
{
	Natural		n = {{0}};

	for (int i = 0; value > 0; i++, value >>= 32)
		n.limb[i] = (uint32_t) value;
	return n;
}

static int
limbs(const Natural *n)
{
	int			i = LIMBS;

	while (i > 0 && n->limb[i - 1] == 0)
		i--;
	return i;
}

static int
compare_limbs(const Natural *a, const Natural *b, int n)
{
	for (int i = n - 1; i >= 0; i--)
	{
		if (a->limb[i] != b->limb[i])
			return a->limb[i] < b->limb[i] ? -1 : 1;
	}
	return 0;
}

static int
compare(const Natural *a, const Natural *b)
{
	return compare_limbs(a, b, LIMBS);
}

static Natural
product(const Natural *a, const Natural *b)
{
	Natural		n = {{0}};
	int			na = limbs(a);
	int			nb = limbs(b);

	require(na + nb <= LIMBS, "the reference has too little room");
	for (int i = 0; i < na; i++)
	{
		uint64_t	carry = 0;

		for (int j = 0; j < nb || carry > 0; j++)
		{
			carry += n.limb[i + j] + (uint64_t) a->limb[i] * (j < nb ? b->limb[j] : 0);
			n.limb[i + j] = (uint32_t) carry;
			carry >>= 32;
		}
	}
	return n;
}

static Natural
times(Natural a, Wide by)
{
	Natural		b = natural(by);

	return product(&a, &b);
}

static Natural
times_power(Natural a, int decimals)
{
	for (; decimals > 8; decimals -= 9)
		a = times(a, 1000000000);
	for (; decimals > 0; decimals--)
		a = times(a, 10);
	return a;
}

static void
subtract(Natural *a, const Natural *b, int n)
{
	int64_t		borrow = 0;

	for (int i = 0; i < n; i++)
	{
		borrow += (int64_t) a->limb[i] - b->limb[i];
		a->limb[i] = (uint32_t) borrow;
		borrow >>= 32;
	}
}

static void
double_and_add(Natural *a, uint32_t bit, int n)
{
	for (int i = 0; i < n; i++)
	{
		uint32_t	top = a->limb[i] >> 31;

		a->limb[i] = a->limb[i] << 1 | bit;
		bit = top;
	}
}

/* Bit by bit. */
static Natural
quotient_rounded(const Natural *dividend, const Natural *divisor, PolicyRound how)
{
	Natural		result = {{0}};
	Natural		rest = {{0}};
	int			order;
	bool		up = false;
	int			n = limbs(divisor) + 1; /* of the rest, doubled */

	require(n < LIMBS, "the reference has too little room");
	for (int bit = limbs(dividend) * 32 - 1; bit >= 0; bit--)
	{
		double_and_add(&rest, dividend->limb[bit / 32] >> bit % 32 & 1, n);
		if (compare_limbs(&rest, divisor, n) >= 0)
		{
			subtract(&rest, divisor, n);
			result.limb[bit / 32] |= UINT32_C(1) << bit % 32;
		}
	}
	if (how == ROUND_CEILING)
		up = limbs(&rest) > 0;
	double_and_add(&rest, 0, n);
	order = compare_limbs(&rest, divisor, n);
	if (how == ROUND_HALF_UP)
		up = order >= 0;
	else if (how == ROUND_HALF_EVEN)
		up = order > 0 || (order == 0 && (result.limb[0] & 1) != 0);
	if (up)
	{
		for (int i = 0; i < LIMBS && ++result.limb[i] == 0; i++)
			;
	}
	return result;
}

/* dividend / divisor with so many decimals, of a dividend that has some already */
static Natural
rounded(Natural dividend, Natural divisor, int have, int want, PolicyRound how)
{
	if (want >= have)
		dividend = times_power(dividend, want - have);
	else
		divisor = times_power(divisor, have - want);
	return quotient_rounded(&dividend, &divisor, how);
}

/* The amount as it is defined, in the order in which it is. */
static Natural
expected_amount(const ProrationPolicy *policy, Decimal price, uint64_t units, const Share *share)
{
	PolicyRound how = (PolicyRound) policy->round;
	int			scale = amount_scale(policy);
	Natural		used = times(natural((Wide) share->used), (Wide) share->base_parts);
	Natural		base = times(natural((Wide) share->base), (Wide) share->used_parts);
	Natural		cost = natural(price.digits);
	Natural		one = natural(1);

	if (policy->at == AT_RATE)
	{
		cost = rounded(times(cost, (Wide) share->base_parts), natural((Wide) share->base),
					   price.scale, policy->rate_scale, how);
		cost = times(times(cost, (Wide) share->used), units);
		return rounded(cost, natural((Wide) share->used_parts), policy->rate_scale, scale, how);
	}
	if (policy->factor_scale != POLICY_EXACT && compare(&used, &base) != 0)
	{
		used = rounded(used, base, 0, policy->factor_scale, how);
		base = times_power(one, policy->factor_scale);
	}
	cost = product(&cost, &used);
	if (policy->at == AT_UNIT)
		return times(rounded(cost, base, price.scale, scale, how), units);
	return rounded(times(cost, units), base, price.scale, scale,
				   policy->at == AT_TOTAL ? ROUND_HALF_EVEN : how);
}

/* ---- properties */

static void
check_days(const ProrationPolicy *policy, Span used, Span cycle, int64_t split, Share *share)
{
	Span		first = {used.from, split};
	Span		second = {split, used.to};
	Share		part;
	Share		rest;

	if (!share_of_days(policy, used, cycle, share))
	{
		/* Then no day of the cycle counts. */
		require(share->base == 0 && policy->month_days != 0, "a cycle has no length");
		share->used = share->used_parts = share->base = share->base_parts = 1;
		return;
	}
	require(share->used >= 0 && share->used_parts > 0 && share->base_parts > 0,
			"a share is negative");
	if (policy->unit == UNIT_CYCLE)
		return;
	(void) share_of_days(policy, first, cycle, &part);
	(void) share_of_days(policy, second, cycle, &rest);
	require(part.used >= 0 && rest.used >= 0, "a part is negative");
	/* In common parts: months of 28 to 31 days. */
	require((Wide) part.used * (Wide) rest.used_parts * (Wide) share->used_parts +
			(Wide) rest.used * (Wide) part.used_parts * (Wide) share->used_parts ==
			(Wide) share->used * (Wide) part.used_parts * (Wide) rest.used_parts,
			"the parts are not the whole");
	if (policy->denominator == DENOMINATOR_CYCLE)
	{
		Share		whole;

		(void) share_of_days(policy, cycle, cycle, &whole);
		require((Wide) whole.used * (Wide) whole.base_parts ==
				(Wide) whole.base * (Wide) whole.used_parts, "a whole cycle is not whole");
	}
}

static void
check_calendar(int64_t day)
{
	CivilDate	date = civil_date(day);

	require(date.day >= 1 && date.day <= days_of_month(date.month) &&
			first_of_month(date.month) + date.day - 1 == day, "a date is another day");
	require(first_of_month(date.month + 1) - first_of_month(date.month) ==
			days_of_month(date.month), "a month has another length");
	for (int months = -14; months <= 14; months++)
	{
		int64_t		clamped = anniversary(date, months);
		int64_t		kept = month_end_anniversary(date, months);

		require(civil_date(clamped).month == date.month + months &&
				civil_date(kept).month == date.month + months, "an anniversary is in another month");
		require(whole_months(date, clamped) == months && whole_months(date, clamped - 1) < months,
				"months are counted wrong");
		require(month_end_anniversary(civil_date(kept), -months) == day ||
				days_of_month(date.month) - date.day >= 3, "a month's end is lost");
	}
}

static int64_t
next_number(const uint8_t **data, size_t *size)
{
	int64_t		number = 0;
	size_t		length = *size < sizeof(number) ? *size : sizeof(number);

	memcpy(&number, *data, length);
	*data += length;
	*size -= length;
	return number;
}

static int64_t
day_of(int64_t number)
{
	int64_t		range = LAST_DAY - FIRST_DAY - 100;

	/* Mostly of this century. */
	if (number % 4 != 0)
		return (number >> 8) % 40000;
	return FIRST_DAY + 50 + (int64_t) ((uint64_t) number % (uint64_t) range);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *separator = memchr(data, SEPARATOR, size);
	size_t		length = separator ? (size_t) (separator - data) : size;
	char	   *text = malloc(length + 1);
	char		printed[POLICY_TEXT_SIZE];
	char		again[POLICY_TEXT_SIZE];
	ProrationPolicy policy;
	ProrationPolicy copy;
	PolicyProblem problem;
	Span		used;
	Span		cycle;
	int64_t		split;
	Decimal		price;
	uint64_t	units;
	Share		share;
	Wide		amount;

	memcpy(text, data, length);
	text[length] = '\0';
	policy_text = text;
	if (!parse_policy(text, &policy, &problem))
	{
		require(problem.key_length >= 0 && problem.value_length >= 0 &&
				problem.key_length <= (int) length && problem.value_length <= (int) length,
				"a problem lies outside of the text");
		free(text);
		return 0;
	}
	print_policy(&policy, printed);
	require(strlen(printed) < POLICY_TEXT_SIZE, "the full form has no room");
	require(parse_policy(printed, &copy, &problem), "the full form is not read");
	require(memcmp(&policy, &copy, sizeof(policy)) == 0, "the full form is another policy");
	print_policy(&copy, again);
	require(strcmp(printed, again) == 0, "the full form is not the same twice");
	if (separator == NULL)
	{
		free(text);
		return 0;
	}

	data = separator + 1;
	size -= length + 1;
	used.from = day_of(next_number(&data, &size));
	used.to = used.from + (int64_t) ((uint64_t) next_number(&data, &size) % 1000);
	cycle.from = day_of(next_number(&data, &size));
	cycle.to = cycle.from + 1 + (int64_t) ((uint64_t) next_number(&data, &size) % 800);
	split = used.from;
	if (used.to > used.from)
		split += (int64_t) ((uint64_t) next_number(&data, &size) % (uint64_t) (used.to - used.from));
	check_calendar(cycle.from);
	check_days(&policy, used, cycle, split, &share);

	price.digits = (Wide) (uint64_t) next_number(&data, &size);
	if (sizeof(Wide) > sizeof(uint64_t))
		price.digits = price.digits << (next_number(&data, &size) & 63);
	price.scale = (int) ((uint64_t) next_number(&data, &size) % 32);
	units = (uint64_t) next_number(&data, &size);
	units >>= (uint64_t) next_number(&data, &size) & 63;
	if (prorate_amount(&policy, price, units, &share, &amount))
	{
		Natural		expected = expected_amount(&policy, price, units, &share);
		Natural		got = natural(amount);

		require(compare(&expected, &got) == 0, "an amount is not the fraction, rounded");
	}
	free(text);
	return 0;
}
