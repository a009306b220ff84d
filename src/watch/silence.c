/*
 * silence.c
 *		When devices fall silent, and when to look for those that did.
 */
#include "watch.h"

#include "common/int.h"
#include "utils/timestamp.h"

#include "coverage/counting.h"

PG_FUNCTION_INFO_V1(eiot_look_again_at);
PG_FUNCTION_INFO_V1(eiot_silent_at);

/* An interval in microseconds; false where it is for ever. */
static bool
span_of(const Interval *inactive_after, int64 *span)
{
	TimestampTz since;

	if (!find_active_since(0, inactive_after, &since))
		return false;
	*span = -since;
	return true;
}

static TimestampTz
add_span(TimestampTz instant, int64 span)
{
	TimestampTz result;

	if (TIMESTAMP_NOT_FINITE(instant))
		return instant;
	if (pg_add_s64_overflow(instant, span, &result) || !IS_VALID_TIMESTAMP(result))
		return DT_NOEND;
	return result;
}

/*
 * However new all devices of a tenant are, somebody looks again before this: so
 * a row that is newer than that never changes when.
 */
TimestampTz
look_again_at(TimestampTz active_since, const Interval *inactive_after)
{
	int64		span;

	if (TIMESTAMP_NOT_FINITE(active_since) || !span_of(inactive_after, &span))
		return DT_NOEND;
	return add_span(active_since, Min(USECS_PER_DAY, span / 4));
}

/* look_again_at(active_since, inactive_after) */
Datum
eiot_look_again_at(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_TIMESTAMPTZ(DT_NOEND);
	PG_RETURN_TIMESTAMPTZ(look_again_at(PG_GETARG_TIMESTAMPTZ(0), PG_GETARG_INTERVAL_P(1)));
}

/* silent_at(last_seen, inactive_after) */
Datum
eiot_silent_at(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_TIMESTAMPTZ(DT_NOEND);
	PG_RETURN_TIMESTAMPTZ(active_until(PG_GETARG_TIMESTAMPTZ(0), PG_GETARG_INTERVAL_P(1)));
}
