/*
 * silence.c
 *		When devices fall silent, when to look for those that did, and which they
 *		are.
 */
#include "watch.h"

#include "access/genam.h"
#include "access/relscan.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "common/int.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "coverage/counting.h"

PG_FUNCTION_INFO_V1(eiot_look_again_at);
PG_FUNCTION_INFO_V1(eiot_silent_at);
PG_FUNCTION_INFO_V1(eiot_watch_index_serves);
PG_FUNCTION_INFO_V1(eiot_silent_in_index);
PG_FUNCTION_INFO_V1(eiot_silent_now);

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

/* ---- which devices fell silent */

/* A tenant that is asked about, and the answer. */
typedef struct SilentTenant
{
	pg_uuid_t	tenant;			/* hash key */
	int64		counted_keys;
	TimestampTz since;
	TimestampTz until;
	TimestampTz ahead;
	int64		silent;
	TimestampTz next;			/* DT_NOEND: none */
} SilentTenant;

/* May the active snapshot use an index?  As the planner judges it. */
static bool
is_usable(Relation index)
{
	return index->rd_index->indisvalid &&
		(!index->rd_index->indcheckxmin ||
		 TransactionIdPrecedes(HeapTupleHeaderGetXmin(index->rd_indextuple->t_data), TransactionXmin));
}

/* The inventory and its partitions, locked. */
static List *
tables_of(Oid root)
{
	return find_all_inheritors(root, AccessShareLock, NULL);
}

/* May the caller read the table, and is no row kept from him? */
static bool
sees_all(Oid relid)
{
	return pg_class_aclcheck(relid, GetUserId(), ACL_SELECT) == ACLCHECK_OK &&
		check_enable_rls(relid, InvalidOid, true) != RLS_ENABLED;
}

/*
 * Has the index of one table all that has one of these keys?  Where it has more
 * than some of the rules count, the key must be a column.  A table that knows no
 * time has nothing to search for.
 */
static bool
table_serves(Oid relid, int64 any_key, int64 all_keys)
{
	Relation	rel = table_open(relid, NoLock);
	bool		serves = true;

	if (rel->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
	{
		WatchedTable *table = watched_table(rel);
		Relation	index = index_open(table->index, AccessShareLock);

		serves = table->last_seen_column == 0 ||
			((any_key & ~table->countable_keys) == 0 &&
			 ((table->countable_keys & ~all_keys) == 0 || table->count_key_column != 0) &&
			 is_usable(index));
		index_close(index, NoLock);
	}
	table_close(rel, NoLock);
	return serves;
}

static bool
index_serves(int64 watch_id, const Datum *counted_keys, int n)
{
	Oid			root = watched_root(watch_id);
	int64		any_key = 0;
	int64		all_keys = -1;
	ListCell   *lc;

	if (!OidIsValid(root) || !sees_all(root))
		return false;
	for (int i = 0; i < n; i++)
	{
		any_key |= DatumGetInt64(counted_keys[i]);
		all_keys &= DatumGetInt64(counted_keys[i]);
	}
	foreach(lc, tables_of(root))
	{
		if (!table_serves(lfirst_oid(lc), any_key, all_keys))
			return false;
	}
	return true;
}

/* The elements of an argument; an error unless there are n, in one dimension and none of them null. */
static Datum *
elements(FunctionCallInfo fcinfo, int argument, Oid type, int length, bool byval, char align, int *n)
{
	ArrayType  *array = PG_GETARG_ARRAYTYPE_P(argument);
	Datum	   *values;
	int			found;

	if (ARR_ELEMTYPE(array) != type || ARR_NDIM(array) > 1 || array_contains_nulls(array))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("array must have one dimension and no nulls")));
	deconstruct_array(array, type, length, byval, align, &values, NULL, &found);
	if (*n >= 0 && found != *n)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("arrays must be of one length, not %d and %d", *n, found)));
	*n = found;
	return values;
}

#define BIGINTS(argument, n) elements(fcinfo, argument, INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE, n)
#define INSTANTS(argument, n) elements(fcinfo, argument, TIMESTAMPTZOID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE, n)

/* watch_index_serves(watch_id, counted_keys) */
Datum
eiot_watch_index_serves(PG_FUNCTION_ARGS)
{
	int			n = -1;
	Datum	   *counted_keys = BIGINTS(1, &n);

	PG_RETURN_BOOL(index_serves(PG_GETARG_INT64(0), counted_keys, n));
}

/* Looks for all tenants at once, in the order of time; or for one among the others. */
static void
search_table(Relation rel, HTAB *tenants, SilentTenant *only, TimestampTz low, TimestampTz high)
{
	WatchedTable *table = watched_table(rel);
	Relation	index = index_open(table->index, AccessShareLock);
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	ScanKeyData keys[2];
	IndexScanDesc scan;

	ScanKeyInit(&keys[0], 1, BTGreaterEqualStrategyNumber, F_TIMESTAMPTZ_GE, TimestampTzGetDatum(low));
	ScanKeyInit(&keys[1], 1, BTLessStrategyNumber, F_TIMESTAMPTZ_LT, TimestampTzGetDatum(high));
	scan = eiot_index_beginscan(rel, index, GetActiveSnapshot(), lengthof(keys));
	scan->xs_want_itup = true;
	index_rescan(scan, keys, lengthof(keys), NULL, 0);
	while (index_getnext_tid(scan, ForwardScanDirection) != NULL)
	{
		SilentTenant *tenant;
		pg_uuid_t  *id;
		TimestampTz last_seen;
		bool		isnull;

		CHECK_FOR_INTERRUPTS();
		last_seen = DatumGetTimestampTz(index_getattr(scan->xs_itup, 1, scan->xs_itupdesc, &isnull));
		id = DatumGetUUIDP(index_getattr(scan->xs_itup, 2, scan->xs_itupdesc, &isnull));
		if (isnull)
			continue;
		if (only == NULL)
			tenant = hash_search(tenants, id, HASH_FIND, NULL);
		else
			tenant = memcmp(&only->tenant, id, sizeof(pg_uuid_t)) == 0 ? only : NULL;
		if (tenant == NULL || last_seen < tenant->since || last_seen >= Max(tenant->until, tenant->ahead) ||
			(last_seen >= tenant->until && last_seen >= tenant->next) ||
			!index_fetch_heap(scan, slot))
			continue;
		if ((table->countable_keys & ~tenant->counted_keys) != 0)
		{
			int			key = DatumGetInt16(slot_getattr(slot, table->count_key_column, &isnull));

			if (isnull || key < 0 || key >= NUM_KEYS || ((uint64) tenant->counted_keys >> key & 1) == 0)
				continue;
		}
		if (last_seen < tenant->until)
		{
			tenant->silent++;
			continue;
		}
		tenant->next = last_seen;
		if (only != NULL)
			break;
	}
	index_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	index_close(index, NoLock);
}

/* Looks for all tenants at once, or for one, in the inventory and its partitions. */
static void
search_inventory(Oid root, HTAB *tenants, SilentTenant *only, TimestampTz low, TimestampTz high)
{
	ListCell   *lc;

	foreach(lc, tables_of(root))
	{
		Relation	rel = table_open(lfirst_oid(lc), NoLock);

		if (rel->rd_rel->relkind != RELKIND_PARTITIONED_TABLE && watched_table(rel)->last_seen_column != 0)
			search_table(rel, tenants, only, low, high);
		table_close(rel, NoLock);
	}
}

/* silent_in_index(watch_id, tenants, counted_keys, since, until, ahead) */
Datum
eiot_silent_in_index(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	int64		watch_id = PG_GETARG_INT64(0);
	int			n = -1;
	Datum	   *ids = elements(fcinfo, 1, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR, &n);
	Datum	   *counted_keys = BIGINTS(2, &n);
	Datum	   *since = INSTANTS(3, &n);
	Datum	   *until = INSTANTS(4, &n);
	Datum	   *ahead = INSTANTS(5, &n);
	HASHCTL		ctl = {.keysize = UUID_LEN, .entrysize = sizeof(SilentTenant), .hcxt = CurrentMemoryContext};
	HTAB	   *tenants = hash_create("tenants with silent devices", Max(n, 1), &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	SilentTenant *tenant = NULL;
	TimestampTz low = DT_NOEND;
	TimestampTz high = DT_NOBEGIN;
	HASH_SEQ_STATUS status;

	if (!index_serves(watch_id, counted_keys, n))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the index of watch %lld does not serve", (long long) watch_id),
				 errhint("Call eiot.live_silent(), which does without.")));
	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < n; i++)
	{
		tenant = hash_search(tenants, DatumGetUUIDP(ids[i]), HASH_ENTER, NULL);
		tenant->counted_keys = DatumGetInt64(counted_keys[i]);
		tenant->since = DatumGetTimestampTz(since[i]);
		tenant->until = DatumGetTimestampTz(until[i]);
		tenant->ahead = DatumGetTimestampTz(ahead[i]);
		tenant->silent = 0;
		tenant->next = DT_NOEND;
		low = Min(low, tenant->since);
		high = Max(high, Max(tenant->until, tenant->ahead));
	}
	if (low < high)
		search_inventory(watched_root(watch_id), tenants, n == 1 ? tenant : NULL, low, high);

	hash_seq_init(&status, tenants);
	while ((tenant = hash_seq_search(&status)) != NULL)
	{
		Datum		values[3];
		bool		nulls[3] = {false};

		values[0] = UUIDPGetDatum(&tenant->tenant);
		values[1] = Int64GetDatum(tenant->silent);
		values[2] = TimestampTzGetDatum(tenant->next);
		nulls[2] = tenant->next == DT_NOEND;
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/*
 * How many of a tenant's counted devices in one inventory have fallen silent by an
 * instant; false if the index cannot tell.
 */
static bool
find_silent(const pg_uuid_t *id, const LiveCount *count, TimestampTz as_of, int64 *silent)
{
	SilentTenant tenant = {.tenant = *id, .counted_keys = count->counted_keys, .next = DT_NOEND};
	Datum		counted_keys = Int64GetDatum(count->counted_keys);

	*silent = 0;
	if (!count->expires || !find_active_since(as_of, &count->inactive_after, &tenant.until))
		return true;
	if (tenant.until < count->active_since)
		return false;
	tenant.since = Max(count->active_since, Min(count->oldest, count->oldest_delta));
	tenant.ahead = tenant.until;
	if (tenant.since >= tenant.until)
		return true;
	if (!index_serves(count->watch_id, &counted_keys, 1))
		return false;
	search_inventory(watched_root(count->watch_id), NULL, &tenant, tenant.since, tenant.until);
	*silent = tenant.silent;
	return true;
}

static void
check_readable(Oid relid)
{
	AclResult	result = pg_class_aclcheck(relid, GetUserId(), ACL_SELECT);

	if (result != ACLCHECK_OK)
		aclcheck_error(result, OBJECT_TABLE, get_rel_name(relid));
}

/* silent_now(tenant_id, as_of) */
Datum
eiot_silent_now(PG_FUNCTION_ARGS)
{
	pg_uuid_t  *tenant = PG_GETARG_UUID_P(0);
	TimestampTz as_of = PG_GETARG_TIMESTAMPTZ(1);
	const LiveRelations *relations = live_relations(false);
	LiveTenant	live = {0};
	Ledger	   *ledger;
	int64		sum = 0;

	check_readable(relations->count);
	check_readable(relations->delta);
	if (!sees_all(relations->count) || !sees_all(relations->delta))
		PG_RETURN_NULL();
	ledger = open_ledger(AccessShareLock);
	(void) read_tenant(ledger, tenant, NULL, GetActiveSnapshot(), &live);
	close_ledger(ledger);
	for (int i = 0; i < live.ncounts; i++)
	{
		int64		silent;

		if (live.counts[i].epoch != epoch_of_watch(live.counts[i].watch_id) ||
			!find_silent(tenant, &live.counts[i], as_of, &silent))
			PG_RETURN_NULL();
		sum += silent;
	}
	PG_RETURN_INT64(sum);
}
