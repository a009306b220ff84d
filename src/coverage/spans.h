/*
 * spans.h
 *		Sets of time spans, kept as the instants at which they begin and end.
 *
 * A span is half open in whole microseconds, which every other form can be
 * brought to.  Beginnings and ends lie apart, in any order: to sweep over them
 * each list is sorted, and the two are merged.  Both are plain timestamps then,
 * so nothing has to be packed beside them, and half as long as one list.
 */
#ifndef EIOT_SPANS_H
#define EIOT_SPANS_H

#include "eiot.h"

#include "utils/rangetypes.h"
#include "utils/timestamp.h"

typedef struct Instants
{
	TimestampTz *at;
	int64		n;
	int64		size;
} Instants;

typedef struct Spans
{
	Instants	starts;
	Instants	ends;			/* of the spans that end at all */
} Spans;

extern void init_spans(Spans *spans, MemoryContext context);
extern Spans *make_spans(MemoryContext context);
extern void add_instants(Instants *list, const TimestampTz *at, int64 n);
extern void sort_instants(Instants *list);
extern bool range_to_span(TypeCacheEntry *typcache, const RangeType *range,
						  TimestampTz *start, TimestampTz *end);

static inline void
add_instant(Instants *list, TimestampTz at)
{
	if (likely(list->n < list->size))
		list->at[list->n++] = at;
	else
		add_instants(list, &at, 1);
}

/* An end of DT_NOEND is none. */
static inline void
add_span(Spans *spans, TimestampTz start, TimestampTz end)
{
	if (start >= end && end != DT_NOEND)
		return;
	add_instant(&spans->starts, start);
	if (end != DT_NOEND)
		add_instant(&spans->ends, end);
}

#endif							/* EIOT_SPANS_H */
