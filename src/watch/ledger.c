/*
 * ledger.c
 *		The bookkeeping's tables, read and written without the executor.
 *
 * eiot.live_count has a row for each tenant in each watched inventory: what was
 * counted when somebody last counted.  eiot.live_delta has what was added since,
 * in a few rows for each, so that transactions that add side by side write
 * different rows: each takes the first that no other one holds, and makes a new
 * one if there is none.  Nobody ever waits for a row.
 */
#include "watch.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/relscan.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/pg_type.h"
#include "common/int.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/procarray.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* Columns, in the order of sql/watch.sql. */
enum
{
	LIVE_TENANT_ID = 1,
	LIVE_TENANT_CAPACITY,
	LIVE_TENANT_CAPACITY_FROM,
	LIVE_TENANT_DUE_AT,
	LIVE_TENANT_RAISE_ABOVE,
	LIVE_TENANT_CLEAR_AT,
	LIVE_TENANT_FLAGGED,
	LIVE_TENANT_SINCE
};

enum
{
	LIVE_COUNT_TENANT = 1,
	LIVE_COUNT_WATCH,
	LIVE_COUNT_DEVICES,
	LIVE_COUNT_COUNTED,
	LIVE_COUNT_COUNTED_KEYS,
	LIVE_COUNT_INACTIVE_AFTER,
	LIVE_COUNT_ACTIVE_SINCE,
	LIVE_COUNT_OLDEST,
	LIVE_COUNT_DUE_AT,
	LIVE_COUNT_EPOCH
};

enum
{
	LIVE_DELTA_TENANT = 1,
	LIVE_DELTA_WATCH,
	LIVE_DELTA_SLOT,
	LIVE_DELTA_DEVICES,
	LIVE_DELTA_COUNTED,
	LIVE_DELTA_OLDEST,
	LIVE_DELTA_COLUMNS = LIVE_DELTA_OLDEST
};

struct Ledger
{
	Relation	tenant;
	Relation	tenant_pkey;
	Relation	count;
	Relation	count_pkey;
	Relation	delta;
	Relation	delta_pkey;
};

/*
 * Opens what a statement needs, which may read counts and write deltas, or what
 * the commit needs, which reads all three.
 */
Ledger *
open_ledger(bool for_commit)
{
	const LiveRelations *live = live_relations(false);
	Ledger	   *ledger = palloc0(sizeof(Ledger));

	if (for_commit)
	{
		ledger->tenant = table_open(live->tenant, AccessShareLock);
		ledger->tenant_pkey = index_open(live->tenant_pkey, AccessShareLock);
	}
	ledger->count = table_open(live->count, AccessShareLock);
	ledger->count_pkey = index_open(live->count_pkey, AccessShareLock);
	ledger->delta = table_open(live->delta, for_commit ? AccessShareLock : RowExclusiveLock);
	ledger->delta_pkey = index_open(live->delta_pkey, for_commit ? AccessShareLock : RowExclusiveLock);
	return ledger;
}

/* Keeps the locks until the transaction ends. */
void
close_ledger(Ledger *ledger)
{
	if (ledger->tenant != NULL)
	{
		index_close(ledger->tenant_pkey, NoLock);
		table_close(ledger->tenant, NoLock);
	}
	index_close(ledger->count_pkey, NoLock);
	table_close(ledger->count, NoLock);
	index_close(ledger->delta_pkey, NoLock);
	table_close(ledger->delta, NoLock);
	pfree(ledger);
}

/*
 * A scan by key.  In a serializable transaction our own reading must not count
 * as the user's: nobody would know why transactions that share nothing but a
 * tenant fail.  PostgreSQL takes no predicate locks for snapshots that are none,
 * so there the tuples are all fetched, and judged here.
 */
typedef struct LedgerScan
{
	IndexScanDesc scan;
	TupleTableSlot *slot;
	Snapshot	snapshot;
	bool		judge;
} LedgerScan;

static void
begin_ledger_scan(LedgerScan *scan, Relation heap, Relation index, Snapshot snapshot,
				  const pg_uuid_t *tenant, const int64 *watch_id)
{
	ScanKeyData keys[2];
	int			nkeys = 1;

	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_UUID_EQ, UUIDPGetDatum(tenant));
	if (watch_id != NULL)
	{
		ScanKeyInit(&keys[1], 2, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(*watch_id));
		nkeys = 2;
	}
	scan->snapshot = snapshot;
	scan->judge = IsolationIsSerializable();
	scan->slot = table_slot_create(heap, NULL);
	scan->scan = eiot_index_beginscan(heap, index, scan->judge ? SnapshotAny : snapshot, nkeys);
	index_rescan(scan->scan, keys, nkeys, NULL, 0);
}

static HeapTuple
next_in_ledger(LedgerScan *scan)
{
	while (index_getnext_slot(scan->scan, ForwardScanDirection, scan->slot))
	{
		BufferHeapTupleTableSlot *slot = (BufferHeapTupleTableSlot *) scan->slot;

		if (scan->judge)
		{
			bool		visible;

			LockBuffer(slot->buffer, BUFFER_LOCK_SHARE);
			visible = HeapTupleSatisfiesVisibility(slot->base.tuple, scan->snapshot, slot->buffer);
			LockBuffer(slot->buffer, BUFFER_LOCK_UNLOCK);
			if (!visible)
				continue;
		}
		slot_getallattrs(scan->slot);
		return slot->base.tuple;
	}
	return NULL;
}

static void
end_ledger_scan(LedgerScan *scan)
{
	index_endscan(scan->scan);
	ExecDropSingleTupleTableSlot(scan->slot);
}

#define COLUMN(scan, column) ((scan).slot->tts_values[(column) - 1])

static void
fill_count(LedgerScan *scan, LiveCount *count)
{
	count->watch_id = DatumGetInt64(COLUMN(*scan, LIVE_COUNT_WATCH));
	count->devices = DatumGetInt64(COLUMN(*scan, LIVE_COUNT_DEVICES));
	count->counted = DatumGetInt64(COLUMN(*scan, LIVE_COUNT_COUNTED));
	count->counted_keys = DatumGetInt64(COLUMN(*scan, LIVE_COUNT_COUNTED_KEYS));
	count->expires = !scan->slot->tts_isnull[LIVE_COUNT_INACTIVE_AFTER - 1];
	if (count->expires)
		count->inactive_after = *DatumGetIntervalP(COLUMN(*scan, LIVE_COUNT_INACTIVE_AFTER));
	count->active_since = DatumGetTimestampTz(COLUMN(*scan, LIVE_COUNT_ACTIVE_SINCE));
	count->oldest = DatumGetTimestampTz(COLUMN(*scan, LIVE_COUNT_OLDEST));
	count->due_at = DatumGetTimestampTz(COLUMN(*scan, LIVE_COUNT_DUE_AT));
	count->epoch = DatumGetInt64(COLUMN(*scan, LIVE_COUNT_EPOCH));
}

/* The row of eiot.live_count; false if there is none. */
bool
read_count(Ledger *ledger, const TenantKey *key, Snapshot snapshot, LiveCount *count)
{
	LedgerScan	scan;
	bool		found;

	begin_ledger_scan(&scan, ledger->count, ledger->count_pkey, snapshot, &key->tenant, &key->watch_id);
	found = next_in_ledger(&scan) != NULL;
	if (found)
		fill_count(&scan, count);
	end_ledger_scan(&scan);
	return found;
}

static int64
add_up(int64 a, int64 b)
{
	int64		sum;

	if (unlikely(pg_add_s64_overflow(a, b, &sum)))
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("number of devices out of range")));
	return sum;
}

/* All rows of a tenant, and their sums.  live->counts is kept and grows. */
void
read_tenant(Ledger *ledger, const pg_uuid_t *tenant, Snapshot snapshot, LiveTenant *live)
{
	LedgerScan	scan;

	begin_ledger_scan(&scan, ledger->tenant, ledger->tenant_pkey, snapshot, tenant, NULL);
	live->exists = next_in_ledger(&scan) != NULL;
	if (live->exists)
	{
		live->capacity = DatumGetInt64(COLUMN(scan, LIVE_TENANT_CAPACITY));
		live->capacity_from = DatumGetTimestampTz(COLUMN(scan, LIVE_TENANT_CAPACITY_FROM));
		live->due_at = DatumGetTimestampTz(COLUMN(scan, LIVE_TENANT_DUE_AT));
		live->raise_above = DatumGetInt64(COLUMN(scan, LIVE_TENANT_RAISE_ABOVE));
		live->clear_at = DatumGetInt64(COLUMN(scan, LIVE_TENANT_CLEAR_AT));
		live->flagged = DatumGetBool(COLUMN(scan, LIVE_TENANT_FLAGGED));
	}
	end_ledger_scan(&scan);

	live->ncounts = 0;
	live->devices = 0;
	live->counted = 0;
	begin_ledger_scan(&scan, ledger->count, ledger->count_pkey, snapshot, tenant, NULL);
	while (next_in_ledger(&scan) != NULL)
	{
		LiveCount  *count;

		/* Left behind by an inventory that is gone; the next to count clears it away. */
		if (epoch_of_watch(DatumGetInt64(COLUMN(scan, LIVE_COUNT_WATCH))) == 0)
			continue;
		if (live->ncounts == live->maxcounts)
		{
			live->maxcounts = Max(4, live->maxcounts * 2);
			live->counts = live->counts == NULL ?
				palloc(sizeof(LiveCount) * live->maxcounts) :
				repalloc(live->counts, sizeof(LiveCount) * live->maxcounts);
		}
		count = &live->counts[live->ncounts++];
		fill_count(&scan, count);
		live->devices = add_up(live->devices, count->devices);
		live->counted = add_up(live->counted, count->counted);
	}
	end_ledger_scan(&scan);

	begin_ledger_scan(&scan, ledger->delta, ledger->delta_pkey, snapshot, tenant, NULL);
	while (next_in_ledger(&scan) != NULL)
	{
		int64		watch_id = DatumGetInt64(COLUMN(scan, LIVE_DELTA_WATCH));

		for (int i = 0; i < live->ncounts; i++)
		{
			if (live->counts[i].watch_id != watch_id)
				continue;
			live->devices = add_up(live->devices, DatumGetInt64(COLUMN(scan, LIVE_DELTA_DEVICES)));
			live->counted = add_up(live->counted, DatumGetInt64(COLUMN(scan, LIVE_DELTA_COUNTED)));
			break;
		}
	}
	end_ledger_scan(&scan);
}

static void
insert_index_entry(Ledger *ledger, HeapTuple tuple, Datum *values)
{
	bool		nulls[3] = {false};
	IndexInfo  *info = BuildIndexInfo(ledger->delta_pkey);

	index_insert(ledger->delta_pkey, values, nulls, &tuple->t_self, ledger->delta,
				 UNIQUE_CHECK_YES, false, info);
	pfree(info);
}

/*
 * Does another running transaction hold the tuple?  A hint only, to save the
 * attempt to update it.
 */
static bool
held_by_another(HeapTuple tuple)
{
	TransactionId xmax;

	if (tuple->t_data->t_infomask & (HEAP_XMAX_INVALID | HEAP_XMAX_IS_MULTI))
		return false;
	xmax = HeapTupleHeaderGetRawXmax(tuple->t_data);
	return TransactionIdIsValid(xmax) && !TransactionIdIsCurrentTransactionId(xmax) &&
		TransactionIdIsInProgress(xmax);
}

/*
 * May this transaction add to a version of a row?  Where it reads all from one
 * snapshot, a version that is newer than that would bring others' work along.
 */
static bool
seen_by_transaction(HeapTuple tuple)
{
	TransactionId xmin;

	if (!IsolationUsesXactSnapshot())
		return true;
	xmin = HeapTupleHeaderGetXmin(tuple->t_data);
	return TransactionIdIsCurrentTransactionId(xmin) ||
		!XidInMVCCSnapshot(xmin, GetTransactionSnapshot());
}

/* Adds to the deltas of a tenant, in a row that no other transaction holds. */
void
write_delta(Ledger *ledger, TenantCount *tenant, int64 devices, int64 counted, TimestampTz oldest)
{
	TupleDesc	desc = RelationGetDescr(ledger->delta);
	CommandId	command = GetCurrentCommandId(true);
	Datum		values[LIVE_DELTA_COLUMNS];
	bool		nulls[LIVE_DELTA_COLUMNS] = {false};
	HeapTuple	tuple;
	LedgerScan	scan;
	bool		done = false;
	bool		taken = false;
	int64		slot = (int64) U64FromFullTransactionId(GetTopFullTransactionId());

	/* First the row that was written last, then any. */
	for (int pass = 0; pass < 2 && !done; pass++)
	{
		HeapTuple	old;

		if (pass == 0 && tenant->last_slot == 0)
			continue;
		PushActiveSnapshot(GetLatestSnapshot());
		begin_ledger_scan(&scan, ledger->delta, ledger->delta_pkey, GetActiveSnapshot(),
						  &tenant->key.tenant, &tenant->key.watch_id);
		while (!done && (old = next_in_ledger(&scan)) != NULL)
		{
			int64		this_slot = DatumGetInt64(COLUMN(scan, LIVE_DELTA_SLOT));
			TimestampTz old_oldest;
			TM_FailureData failure;

			if (pass == 0 && this_slot != tenant->last_slot)
				continue;
			if (this_slot == slot)
				taken = true;
			if (held_by_another(old) || !seen_by_transaction(old))
				continue;

			old_oldest = DatumGetTimestampTz(COLUMN(scan, LIVE_DELTA_OLDEST));
			values[LIVE_DELTA_TENANT - 1] = UUIDPGetDatum(&tenant->key.tenant);
			values[LIVE_DELTA_WATCH - 1] = Int64GetDatum(tenant->key.watch_id);
			values[LIVE_DELTA_SLOT - 1] = Int64GetDatum(this_slot);
			values[LIVE_DELTA_DEVICES - 1] =
				Int64GetDatum(add_up(DatumGetInt64(COLUMN(scan, LIVE_DELTA_DEVICES)), devices));
			values[LIVE_DELTA_COUNTED - 1] =
				Int64GetDatum(add_up(DatumGetInt64(COLUMN(scan, LIVE_DELTA_COUNTED)), counted));
			values[LIVE_DELTA_OLDEST - 1] =
				TimestampTzGetDatum(old_oldest < tenant->active_since ? oldest : Min(old_oldest, oldest));
			tuple = heap_form_tuple(desc, values, nulls);
			if (eiot_heap_update(ledger->delta, &old->t_self, tuple, command, &failure) == TM_Ok)
			{
				/* Its index entry leads to the new version as well, if that lies in the same page. */
				if (!HeapTupleIsHeapOnly(tuple))
					insert_index_entry(ledger, tuple, values);
				tenant->last_slot = this_slot;
				done = true;
			}
			heap_freetuple(tuple);
		}
		end_ledger_scan(&scan);
		PopActiveSnapshot();
	}
	if (done)
		return;

	/*
	 * A new row.  No number but ours can be inserted at the same time; a restored
	 * database may have it from another cluster.
	 */
	if (taken)
		slot = (int64) (((uint64) MyProcPid << 32 | command) | UINT64CONST(1) << 62);
	values[LIVE_DELTA_TENANT - 1] = UUIDPGetDatum(&tenant->key.tenant);
	values[LIVE_DELTA_WATCH - 1] = Int64GetDatum(tenant->key.watch_id);
	values[LIVE_DELTA_SLOT - 1] = Int64GetDatum(slot);
	values[LIVE_DELTA_DEVICES - 1] = Int64GetDatum(devices);
	values[LIVE_DELTA_COUNTED - 1] = Int64GetDatum(counted);
	values[LIVE_DELTA_OLDEST - 1] = TimestampTzGetDatum(oldest);
	tuple = heap_form_tuple(desc, values, nulls);
	heap_insert(ledger->delta, tuple, command, 0, NULL);
	insert_index_entry(ledger, tuple, values);
	heap_freetuple(tuple);
	tenant->last_slot = slot;
}
