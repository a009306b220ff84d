/*
 * count_reason.c
 *		Why a device counts or does not.
 *
 * Three functions share one set of tests: count_reason() names the reason,
 * count_key() packs all of it that time and rule do not change into a small
 * number for the inventory's index, and counts() reads that number back.
 */
#include "counting.h"

#include <sys/socket.h>

#include "catalog/pg_type.h"
#include "common/int.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/inet.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(eiot_count_reason);
PG_FUNCTION_INFO_V1(eiot_count_key);
PG_FUNCTION_INFO_V1(eiot_counted_keys);
PG_FUNCTION_INFO_V1(eiot_counts);
PG_FUNCTION_INFO_V1(eiot_active_since);
PG_FUNCTION_INFO_V1(eiot_count_devices_accum);
PG_FUNCTION_INFO_V1(eiot_count_devices_combine);
PG_FUNCTION_INFO_V1(eiot_count_devices_final);

/*
 * A count key: the class in the low bits, then what a rule may forgive, then
 * one bit for what none forgives (managed, merged, not a device).  It stays
 * below 64, so that a rule is one bigint with a bit for each key it counts.
 */
#define KEY_CLASS		0x07
#define KEY_EXCLUDED	0x08
#define KEY_TRANSIENT	0x10
#define KEY_NEVER		0x20

static bool
is_managed(const text *onboarding_status)
{
	char		folded[LABEL_SIZE];

	return fold_label(onboarding_status, folded) && strcmp(folded, "onboarded") == 0;
}

/* An IPv4 address as a device may have it: private, shared, link-local, loopback. */
static bool
is_local_ipv4(const unsigned char *a)
{
	return a[0] == 10 ||
		a[0] == 127 ||
		(a[0] == 172 && (a[1] & 0xf0) == 16) ||
		(a[0] == 192 && a[1] == 168) ||
		(a[0] == 100 && (a[1] & 0xc0) == 64) ||
		(a[0] == 169 && a[1] == 254) ||
		(a[0] == 0 && a[1] == 0 && a[2] == 0 && a[3] == 0);	/* none assigned */
}

/* The same for IPv6: unique local, link-local, loopback, unspecified. */
static bool
is_local_ipv6(const unsigned char *a)
{
	static const unsigned char zeros[15] = {0};

	return (a[0] & 0xfe) == 0xfc ||
		(a[0] == 0xfe && (a[1] & 0xc0) == 0x80) ||
		(memcmp(a, zeros, 15) == 0 && a[15] <= 1);
}

/*
 * Public, multicast and broadcast addresses show up in inventories, but are
 * never devices.  An address that is not local is one of the three.
 */
static bool
is_no_device_address(const inet *address)
{
	static const unsigned char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
	const unsigned char *a = ip_addr(address);
	int			bits = ip_bits(address);

	if (ip_family(address) == PGSQL_AF_INET6)
	{
		if (memcmp(a, mapped, sizeof(mapped)) != 0)
			return !is_local_ipv6(a);
		a += sizeof(mapped);
		bits -= 96;
	}
	if (!is_local_ipv4(a))
		return true;

	/* The broadcast address of the network that the mask tells. */
	if (bits > 0 && bits < 31)
	{
		uint32		host = ((uint32) a[0] << 24) | ((uint32) a[1] << 16) |
			((uint32) a[2] << 8) | a[3];
		uint32		host_bits = PG_UINT32_MAX >> bits;

		return (host & host_bits) == host_bits;
	}
	return false;
}

/*
 * The cut-off in microseconds; false where it is longer than a timestamp can
 * count, which is for ever.  A day is 24 hours and a month 30 days whatever the
 * time zone, so that the same row counts the same everywhere.
 */
static bool
find_cut_off(const Interval *inactive_after, int64 *span)
{
	/* Months and days fit. */
	int64		days = (int64) inactive_after->month * DAYS_PER_MONTH + inactive_after->day;

	if (pg_mul_s64_overflow(days, USECS_PER_DAY, span) ||
		pg_add_s64_overflow(*span, inactive_after->time, span))
	{
		if (days > 0)
			return false;
		*span = -1;
	}
	if (*span < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("devices cannot be inactive after a negative interval"),
				 errhint("Use NULL for a rule under which no device becomes inactive.")));
	return true;
}

/*
 * The instant before which a device was last seen too long ago; false where
 * nothing is.
 */
bool
find_active_since(TimestampTz as_of, const Interval *inactive_after, TimestampTz *since)
{
	int64		span;

	if (!find_cut_off(inactive_after, &span))
		return false;
	if (TIMESTAMP_NOT_FINITE(as_of))
	{
		*since = as_of;
		return true;
	}
	return !pg_sub_s64_overflow(as_of, span, since) && IS_VALID_TIMESTAMP(*since);
}

/*
 * The same the other way round: the first instant at which a device is inactive
 * unless it is seen again; DT_NOEND where it never is.
 */
TimestampTz
active_until(TimestampTz last_seen, const Interval *inactive_after)
{
	int64		span;
	TimestampTz until;

	if (!find_cut_off(inactive_after, &span))
		return DT_NOEND;
	if (TIMESTAMP_NOT_FINITE(last_seen))
		return last_seen;
	/* At the cut-off itself it still is active. */
	if (pg_add_s64_overflow(last_seen, span, &until) || !IS_VALID_TIMESTAMP(until))
		return DT_NOEND;
	return until + 1;
}

/*
 * count_reason(class, onboarding_status, last_seen, as_of, inactive_after,
 *				merged_into, excluded, transient, ip)
 *
 * The first reason that applies in the order of the enum's values.
 */
Datum
eiot_count_reason(PG_FUNCTION_ARGS)
{
	CountReason reason = REASON_COUNTED;
	TimestampTz since;

	if (PG_ARGISNULL(0) || device_class_from_oid(PG_GETARG_OID(0)) != CLASS_IOT)
		reason = REASON_NOT_IOT;
	else if (!PG_ARGISNULL(1) && is_managed(PG_GETARG_TEXT_PP(1)))
		reason = REASON_MANAGED;
	else
	{
		/* Never seen is not silent: nothing says that the device left. */
		if (!PG_ARGISNULL(2) && !PG_ARGISNULL(4))
		{
			if (PG_ARGISNULL(3))
				PG_RETURN_NULL();
			if (find_active_since(PG_GETARG_TIMESTAMPTZ(3), PG_GETARG_INTERVAL_P(4), &since) &&
				PG_GETARG_TIMESTAMPTZ(2) < since)
				reason = REASON_INACTIVE;
		}
		if (reason != REASON_COUNTED)
			 /* inactive */ ;
		else if (!PG_ARGISNULL(5) && VARSIZE_ANY_EXHDR(PG_GETARG_TEXT_PP(5)) > 0)
			reason = REASON_MERGED;
		else if (!PG_ARGISNULL(6) && PG_GETARG_BOOL(6))
			reason = REASON_EXCLUDED;
		else if (!PG_ARGISNULL(7) && PG_GETARG_BOOL(7))
			reason = REASON_TRANSIENT;
		else if (!PG_ARGISNULL(8) && is_no_device_address(PG_GETARG_INET_PP(8)))
			reason = REASON_NOT_A_DEVICE;
	}
	PG_RETURN_OID(count_reason_oid(reason));
}

/* count_key(class, onboarding_status, merged_into, excluded, transient, ip) */
Datum
eiot_count_key(PG_FUNCTION_ARGS)
{
	int			key = PG_ARGISNULL(0) ? CLASS_UNKNOWN :
		(int) device_class_from_oid(PG_GETARG_OID(0));

	if ((!PG_ARGISNULL(1) && is_managed(PG_GETARG_TEXT_PP(1))) ||
		(!PG_ARGISNULL(2) && VARSIZE_ANY_EXHDR(PG_GETARG_TEXT_PP(2)) > 0) ||
		(!PG_ARGISNULL(5) && is_no_device_address(PG_GETARG_INET_PP(5))))
		key |= KEY_NEVER;
	if (!PG_ARGISNULL(3) && PG_GETARG_BOOL(3))
		key |= KEY_EXCLUDED;
	if (!PG_ARGISNULL(4) && PG_GETARG_BOOL(4))
		key |= KEY_TRANSIENT;
	PG_RETURN_INT16(key);
}

void
refuse_count_key(int16 key)
{
	ereport(ERROR,
			(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
			 errmsg("count key out of range: %d", key),
			 errhint("Take the key from the inventory's column count_key.")));
}

/* counted_keys(classes eiot.device_class[], count_excluded, count_transient) */
Datum
eiot_counted_keys(PG_FUNCTION_ARGS)
{
	ArrayType  *classes = PG_GETARG_ARRAYTYPE_P(0);
	bool		count_excluded = PG_GETARG_BOOL(1);
	bool		count_transient = PG_GETARG_BOOL(2);
	bool		counted[KEY_CLASS + 1] = {false};
	Datum	   *elements;
	bool	   *nulls;
	int			nelements;
	uint64		keys = 0;

	deconstruct_array(classes, ARR_ELEMTYPE(classes), sizeof(Oid), true, TYPALIGN_INT,
					  &elements, &nulls, &nelements);
	for (int i = 0; i < nelements; i++)
	{
		if (!nulls[i])
			counted[device_class_from_oid(DatumGetObjectId(elements[i]))] = true;
	}

	for (int key = 0; key < NUM_KEYS; key++)
	{
		if (counted[key & KEY_CLASS] &&
			!(key & KEY_NEVER) &&
			(count_excluded || !(key & KEY_EXCLUDED)) &&
			(count_transient || !(key & KEY_TRANSIENT)))
			keys |= UINT64CONST(1) << key;
	}
	PG_RETURN_INT64((int64) keys);
}

/*
 * counts(count_key smallint, last_seen, counted_keys bigint, active_since)
 *
 * The same verdict as count_reason() = 'counted', from an index tuple alone.
 */
Datum
eiot_counts(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(0) || PG_ARGISNULL(2))
		PG_RETURN_NULL();
	PG_RETURN_BOOL(is_counted_key(PG_GETARG_INT64(2), PG_GETARG_INT16(0)) &&
				   (PG_ARGISNULL(1) || PG_ARGISNULL(3) ||
					PG_GETARG_TIMESTAMPTZ(1) >= PG_GETARG_TIMESTAMPTZ(3)));
}

/*
 * count_devices_accum(state bigint, count_key, last_seen, counted_keys, active_since)
 *
 * For a tenant's coverage two numbers are wanted, and two aggregates with a
 * filter cost twice as much as this one.  All devices are counted in the upper
 * half of the state, those that count in the lower: a number passed by value is
 * what an aggregate is fastest with.
 */
#define ONE_DEVICE		(INT64CONST(1) << 32)
#define MAX_DEVICES		PG_INT32_MAX

static int64
add_counts(int64 a, int64 b)
{
	int64		sum;

	if (unlikely(pg_add_s64_overflow(a, b, &sum)))
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("more than %d devices in one group", MAX_DEVICES)));
	return sum;
}

Datum
eiot_count_devices_accum(PG_FUNCTION_ARGS)
{
	int64		one = ONE_DEVICE;

	/* Which devices count is as good as random, so nothing branches on it. */
	if (likely(!PG_ARGISNULL(1) && !PG_ARGISNULL(3)))
		one += (int) is_counted_key(PG_GETARG_INT64(3), PG_GETARG_INT16(1)) &
			((int) PG_ARGISNULL(2) | (int) PG_ARGISNULL(4) |
			 (int) (PG_GETARG_TIMESTAMPTZ(2) >= PG_GETARG_TIMESTAMPTZ(4)));
	PG_RETURN_INT64(add_counts(PG_GETARG_INT64(0), one));
}

/* count_devices_combine(state, part) */
Datum
eiot_count_devices_combine(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(add_counts(PG_GETARG_INT64(0), PG_GETARG_INT64(1)));
}

/* count_devices_final(state): {devices, counted} */
Datum
eiot_count_devices_final(PG_FUNCTION_ARGS)
{
	int64		state = PG_GETARG_INT64(0);
	Datum		counts[2];

	counts[0] = Int64GetDatum(state / ONE_DEVICE);
	counts[1] = Int64GetDatum(state % ONE_DEVICE);
	PG_RETURN_ARRAYTYPE_P(construct_array(counts, 2, INT8OID, sizeof(int64), FLOAT8PASSBYVAL,
										  TYPALIGN_DOUBLE));
}

/* active_since(as_of, inactive_after): NULL where no device is inactive */
Datum
eiot_active_since(PG_FUNCTION_ARGS)
{
	TimestampTz since;

	if (!find_active_since(PG_GETARG_TIMESTAMPTZ(0), PG_GETARG_INTERVAL_P(1), &since))
		PG_RETURN_NULL();
	PG_RETURN_TIMESTAMPTZ(since);
}
