/*
 * spans.c
 *		Sets of time spans: growing and sorting them, ranges as spans.
 */
#include "spans.h"

#include "miscadmin.h"
#include "utils/memutils.h"

/* Most groups are small, and there can be a million of them. */
#define INITIAL_SIZE	8

/* Below this the passes over a radix's counters cost more than comparing. */
#define RADIX_FROM		256

#define ST_SORT sort_by_comparing
#define ST_ELEMENT_TYPE TimestampTz
#define ST_COMPARE(a, b) (*(a) < *(b) ? -1 : *(a) > *(b))
#define ST_SCOPE static
#define ST_DEFINE
#include "lib/sort_template.h"

/* Empties a set, to be kept in a context that may outlive the caller's. */
void
init_spans(Spans *spans, MemoryContext context)
{
	spans->starts.n = spans->ends.n = 0;
	spans->starts.size = spans->ends.size = INITIAL_SIZE;
	spans->starts.at = MemoryContextAlloc(context, INITIAL_SIZE * sizeof(TimestampTz));
	spans->ends.at = MemoryContextAlloc(context, INITIAL_SIZE * sizeof(TimestampTz));
}

Spans *
make_spans(MemoryContext context)
{
	Spans	   *spans = MemoryContextAlloc(context, sizeof(Spans));

	init_spans(spans, context);
	return spans;
}

/* A list at least doubles, so that a row costs the same however many there are. */
void
add_instants(Instants *list, const TimestampTz *at, int64 n)
{
	if (list->n + n > list->size)
	{
		list->size = Max(list->size * 2, list->n + n);
		list->at = repalloc_huge(list->at, list->size * sizeof(TimestampTz));
	}
	memcpy(list->at + list->n, at, n * sizeof(TimestampTz));
	list->n += n;
}

/* The order of signed numbers as that of unsigned ones. */
static inline uint64
radix_key(TimestampTz at)
{
	return (uint64) at ^ (UINT64CONST(1) << 63);
}

/* Byte by byte from the lowest, leaving out bytes that all have in common. */
static void
sort_by_radix(Instants *list, uint64 differing)
{
	TimestampTz *from = list->at;
	TimestampTz *spare = MemoryContextAllocHuge(CurrentMemoryContext,
												list->n * sizeof(TimestampTz));
	TimestampTz *to = spare;

	for (int shift = 0; shift < 64; shift += 8)
	{
		int64		place[256] = {0};
		int64		sum = 0;
		TimestampTz *swap;

		if ((differing >> shift & 0xff) == 0)
			continue;
		CHECK_FOR_INTERRUPTS();
		for (int64 i = 0; i < list->n; i++)
			place[radix_key(from[i]) >> shift & 0xff]++;
		for (int i = 0; i < 256; i++)
		{
			int64		count = place[i];

			place[i] = sum;
			sum += count;
		}
		for (int64 i = 0; i < list->n; i++)
			to[place[radix_key(from[i]) >> shift & 0xff]++] = from[i];
		swap = from;
		from = to;
		to = swap;
	}
	if (from != list->at)
		memcpy(list->at, from, list->n * sizeof(TimestampTz));
	pfree(spare);
}

/* Sorts in place, which changes nothing about what the list holds. */
void
sort_instants(Instants *list)
{
	uint64		differing = 0;
	bool		sorted = true;

	for (int64 i = 1; i < list->n; i++)
	{
		differing |= (uint64) list->at[i] ^ (uint64) list->at[0];
		sorted &= list->at[i - 1] <= list->at[i];
	}
	if (sorted)
		return;
	if (list->n < RADIX_FROM)
		sort_by_comparing(list->at, list->n);
	else
		sort_by_radix(list, differing);
}

/*
 * A tstzrange as a span; false where it holds no instant, which the range
 * between two neighboring microseconds does not either, though not empty().
 * An infinite bound is like none, so that "since ever" begins at -infinity.
 */
bool
range_to_span(TypeCacheEntry *typcache, const RangeType *range,
			  TimestampTz *start, TimestampTz *end)
{
	RangeBound	lower;
	RangeBound	upper;
	bool		empty;

	range_deserialize(typcache, range, &lower, &upper, &empty);
	if (empty)
		return false;

	*start = lower.infinite ? DT_NOBEGIN : DatumGetTimestampTz(lower.val);
	if (!TIMESTAMP_NOT_FINITE(*start) && !lower.inclusive)
		(*start)++;
	*end = upper.infinite ? DT_NOEND : DatumGetTimestampTz(upper.val);
	if (*end != DT_NOEND && upper.inclusive)
		(*end)++;
	return *start < *end || *end == DT_NOEND;
}
