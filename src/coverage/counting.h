/*
 * counting.h
 *		What counting devices and counting them over time have in common.
 */
#ifndef EIOT_COUNTING_H
#define EIOT_COUNTING_H

#include "eiot.h"

#include "utils/timestamp.h"

#define NUM_KEYS		0x40

extern bool find_active_since(TimestampTz as_of, const Interval *inactive_after, TimestampTz *since);
extern TimestampTz active_until(TimestampTz last_seen, const Interval *inactive_after);
pg_noreturn extern void refuse_count_key(int16 key);

/* Does a rule, as the set of keys it counts, count the key? */
static inline bool
is_counted_key(int64 counted_keys, int16 key)
{
	if (unlikely(key < 0 || key >= NUM_KEYS))
		refuse_count_key(key);
	return ((uint64) counted_keys >> key & 1) != 0;
}

#endif							/* EIOT_COUNTING_H */
