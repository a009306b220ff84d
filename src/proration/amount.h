/*
 * amount.h
 *		From spans of time to a share of the cycle, and from there to money.
 *
 * Plain C without the backend, so that it also builds for fuzzing.  Everything
 * is an integer; what does not fit is refused, not rounded.
 */
#ifndef EIOT_AMOUNT_H
#define EIOT_AMOUNT_H

#include "policy.h"

/* The widest integers there are, at places where the server allocates. */
#ifdef __SIZEOF_INT128__
__extension__ typedef unsigned __int128 Wide __attribute__((aligned(8)));
#else
typedef uint64_t Wide;
#endif

/* From the first to before the second; days, or microseconds. */
typedef struct Span
{
	int64_t		from;
	int64_t		to;
} Span;

/* used / used_parts of base / base_parts, each in the policy's unit of time. */
typedef struct Share
{
	int64_t		used;
	int64_t		used_parts;
	int64_t		base;
	int64_t		base_parts;
} Share;

/* digits / 10^scale */
typedef struct Decimal
{
	Wide		digits;
	int			scale;
} Decimal;

/*
 * Lines that are to be rounded in total keep so many decimals more than the
 * policy's, and at least so many: what they lack is less than a sum can show.
 */
#define TOTAL_EXTRA_SCALE	12
#define TOTAL_LEAST_SCALE	20

extern bool share_of_days(const ProrationPolicy *policy, Span used, Span cycle, Share *share);
extern bool share_of_microseconds(const ProrationPolicy *policy, Span used, Span cycle,
								  int64_t start_month_days, Share *share);
extern int64_t days_of_start_months(const ProrationPolicy *policy, Span cycle);
extern int	amount_scale(const ProrationPolicy *policy);
extern PolicyRound amount_round(const ProrationPolicy *policy);
extern bool prorate_amount(const ProrationPolicy *policy, Decimal price, uint64_t units,
						   const Share *share, Wide *amount);
extern bool divide_rounded(Wide dividend, Wide divisor, PolicyRound how, Wide *quotient);

#endif							/* EIOT_AMOUNT_H */
