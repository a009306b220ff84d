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
#include "storage/smgr.h"
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
	LIVE_TENANT_SINCE,
	LIVE_TENANT_COUNT_WARNING_UNITS
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
	LIVE_COUNT_EPOCH,
	LIVE_MAX_COLUMNS = LIVE_COUNT_EPOCH
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

/* A table of the bookkeeping with the index of its key. */
typedef struct LedgerTable
{
	Oid			relid;
	Oid			pkey_relid;
	LOCKMODE	lockmode;
	Relation	heap;			/* NULL: not open yet */
	Relation	pkey;
} LedgerTable;

struct Ledger
{
	LedgerTable tenant;
	LedgerTable count;
	LedgerTable delta;
	bool		deltas_only;	/* no other table may be opened now */
};

static void
describe_table(LedgerTable *table, Oid relid, Oid pkey_relid, LOCKMODE lockmode)
{
	table->relid = relid;
	table->pkey_relid = pkey_relid;
	table->lockmode = lockmode;
}

static Relation
open_heap(LedgerTable *table)
{
	if (table->heap == NULL)
		table->heap = table_open(table->relid, table->lockmode);
	return table->heap;
}

static Relation
open_pkey(LedgerTable *table)
{
	if (table->pkey == NULL)
		table->pkey = index_open(table->pkey_relid, table->lockmode);
	return table->pkey;
}

static void
open_ledger_table(LedgerTable *table)
{
	open_heap(table);
	open_pkey(table);
}

/* Keeps the locks until the transaction ends. */
static void
close_ledger_table(LedgerTable *table)
{
	if (table->pkey != NULL)
		index_close(table->pkey, NoLock);
	if (table->heap != NULL)
		table_close(table->heap, NoLock);
}

/*
 * The tables are opened when somebody looks into them: what this backend knows
 * saves most of that.  Who locks a tenant opens them before.
 */
Ledger *
open_ledger(LOCKMODE deltas)
{
	const LiveRelations *live = live_relations(false);
	Ledger	   *ledger = palloc0(sizeof(Ledger));

	describe_table(&ledger->tenant, live->tenant, live->tenant_pkey, AccessShareLock);
	describe_table(&ledger->count, live->count, live->count_pkey, AccessShareLock);
	describe_table(&ledger->delta, live->delta, live->delta_pkey, deltas);
	return ledger;
}

/* All that has to be read of tenants whose rows are known. */
void
open_deltas(Ledger *ledger)
{
	open_ledger_table(&ledger->delta);
	ledger->deltas_only = true;
}

bool
only_deltas_are_open(const Ledger *ledger)
{
	return ledger->deltas_only;
}

void
open_all_tables(Ledger *ledger)
{
	ledger->deltas_only = false;
	open_ledger_table(&ledger->tenant);
	open_ledger_table(&ledger->count);
	open_ledger_table(&ledger->delta);
}

void
close_ledger(Ledger *ledger)
{
	close_ledger_table(&ledger->tenant);
	close_ledger_table(&ledger->count);
	close_ledger_table(&ledger->delta);
	pfree(ledger);
}

/*
 * A row that is being looked at, in the page that it lies in.
 */
typedef struct LedgerRow
{
	Buffer		buffer;
	ItemPointerData root;		/* where its index entry leads, and its versions in that page begin */
	HeapTupleData tuple;
	Datum		values[LIVE_MAX_COLUMNS];
	bool		nulls[LIVE_MAX_COLUMNS];
} LedgerRow;

/*
 * A scan by key.  In a serializable transaction our own reading must not count
 * as the user's: nobody would know why transactions that share nothing but a
 * tenant fail.  PostgreSQL takes no predicate locks for snapshots that are none,
 * so there the tuples are all fetched, and judged here.
 */
typedef struct LedgerScan
{
	Relation	heap;
	IndexScanDesc scan;
	TupleTableSlot *slot;		/* where tuples are judged here */
	Snapshot	snapshot;
	LedgerRow	row;

	TenantEntries *found;		/* NULL: nobody asks what entries there are */
} LedgerScan;

static void
begin_ledger_scan(LedgerScan *scan, LedgerTable *table, Snapshot snapshot,
				  const pg_uuid_t *tenant, const int64 *watch_id)
{
	Relation	heap = open_heap(table);
	ScanKeyData keys[2];
	int			nkeys = 1;
	bool		judge = IsolationIsSerializable();

	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_UUID_EQ, UUIDPGetDatum(tenant));
	if (watch_id != NULL)
	{
		ScanKeyInit(&keys[1], 2, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(*watch_id));
		nkeys = 2;
	}
	Assert(RelationGetDescr(heap)->natts <= LIVE_MAX_COLUMNS);
	scan->heap = heap;
	scan->snapshot = snapshot;
	scan->slot = judge ? table_slot_create(heap, NULL) : NULL;
	scan->row.buffer = InvalidBuffer;
	scan->found = NULL;
	scan->scan = eiot_index_beginscan(heap, open_pkey(table), judge ? SnapshotAny : snapshot, nkeys);
	index_rescan(scan->scan, keys, nkeys, NULL, 0);
}

static void
release_row(LedgerRow *row)
{
	if (BufferIsValid(row->buffer))
		ReleaseBuffer(row->buffer);
	row->buffer = InvalidBuffer;
}

/* Fills in the version of a row that the snapshot sees, in the page that is pinned; false if it sees none. */
static bool
see_row(LedgerRow *row, Relation heap, ItemPointer root, Snapshot snapshot, bool *all_dead)
{
	ItemPointerData at = *root;
	bool		found;

	row->root = *root;
	LockBuffer(row->buffer, BUFFER_LOCK_SHARE);
	found = heap_hot_search_buffer(&at, heap, row->buffer, snapshot, &row->tuple, all_dead, true);
	LockBuffer(row->buffer, BUFFER_LOCK_UNLOCK);
	if (!found)
		return false;
	row->tuple.t_self = at;
	heap_deform_tuple(&row->tuple, RelationGetDescr(heap), row->values, row->nulls);
	return true;
}

/*
 * An ordinary index scan prunes a page whenever it is fuller than the fillfactor,
 * which pages of live_delta always are; here that waits until there is little room.
 */
static void
prune_full_page(Relation heap, Buffer buffer)
{
	if (PageGetHeapFreeSpace(BufferGetPage(buffer)) < BLCKSZ / 4)
		heap_page_prune_opt(heap, buffer);
}

static HeapTuple
judge_next(LedgerScan *scan)
{
	while (index_getnext_slot(scan->scan, ForwardScanDirection, scan->slot))
	{
		BufferHeapTupleTableSlot *slot = (BufferHeapTupleTableSlot *) scan->slot;
		bool		visible;

		LockBuffer(slot->buffer, BUFFER_LOCK_SHARE);
		visible = HeapTupleSatisfiesVisibility(slot->base.tuple, scan->snapshot, slot->buffer);
		LockBuffer(slot->buffer, BUFFER_LOCK_UNLOCK);
		if (visible)
			return slot->base.tuple;
	}
	return NULL;
}

/* The next row; its values are good until the one after it. */
static HeapTuple
next_in_ledger(LedgerScan *scan)
{
	LedgerRow  *row = &scan->row;
	ItemPointer tid;
	HeapTuple	tuple;

	if (scan->slot != NULL)
	{
		tuple = judge_next(scan);
		if (tuple != NULL)
		{
			row->root = tuple->t_self;
			heap_deform_tuple(tuple, RelationGetDescr(scan->heap), row->values, row->nulls);
		}
		return tuple;
	}
	while ((tid = index_getnext_tid(scan->scan, ForwardScanDirection)) != NULL)
	{
		bool		all_dead;

		if (scan->found != NULL)
			note_entry(scan->found, scan->scan, tid);
		row->buffer = ReleaseAndReadBuffer(row->buffer, scan->heap, ItemPointerGetBlockNumber(tid));
		prune_full_page(scan->heap, row->buffer);
		if (see_row(row, scan->heap, tid, scan->snapshot, &all_dead))
			return &row->tuple;
		if (!scan->scan->xactStartedInRecovery)
			scan->scan->kill_prior_tuple = all_dead;
	}
	return NULL;
}

static void
end_ledger_scan(LedgerScan *scan)
{
	release_row(&scan->row);
	index_endscan(scan->scan);
	if (scan->slot != NULL)
		ExecDropSingleTupleTableSlot(scan->slot);
}

/*
 * Is a block there?  Tables get shorter under a lock alone that keeps us out, and
 * what is known of their size is forgotten by who takes a lock after that.
 */
static bool
has_block(Relation rel, BlockNumber block)
{
	BlockNumber known = RelationGetSmgr(rel)->smgr_cached_nblocks[MAIN_FORKNUM];

	return (known != InvalidBlockNumber && block < known) || block < RelationGetNumberOfBlocks(rel);
}

/* Pins the page, most likely where it lay before; false if it has to be looked for. */
static bool
pin_where_it_was(Relation rel, const RowHint *hint)
{
	return BufferIsValid(hint->buffer) &&
		eiot_read_recent_buffer(rel, ItemPointerGetBlockNumber(&hint->root), hint->buffer);
}

/* Pins the page that a hint leads to; InvalidBuffer if there is none. */
Buffer
follow_hint(Relation rel, RowHint *hint)
{
	BlockNumber block;

	if (!ItemPointerIsValid(&hint->root))
		return InvalidBuffer;
	block = ItemPointerGetBlockNumber(&hint->root);
	if (!pin_where_it_was(rel, hint))
		hint->buffer = has_block(rel, block) ? ReadBuffer(rel, block) : InvalidBuffer;
	return hint->buffer;
}

static void
remember_row(RowHint *hint, const LedgerRow *row)
{
	hint->root = row->root;
	hint->buffer = row->buffer;
}

/* The row begins with this tuple, in a page that nobody pinned. */
static void
remember_place(RowHint *hint, HeapTuple tuple)
{
	hint->root = tuple->t_self;
	hint->buffer = InvalidBuffer;
}

/*
 * A row whose root was found before, without a look at the index: false if none
 * of the versions there is one that the snapshot sees.  It may be another row by
 * now, so callers compare the key; if that is right so is the row, as no snapshot
 * sees two of one key.
 */
static bool
fetch_row(LedgerRow *row, Relation heap, RowHint *hint, Snapshot snapshot)
{
	if (IsolationIsSerializable())
		return false;
	row->buffer = follow_hint(heap, hint);
	if (BufferIsInvalid(row->buffer))
		return false;
	if (see_row(row, heap, &hint->root, snapshot, NULL))
		return true;
	ReleaseBuffer(row->buffer);
	return false;
}

#define VALUE(row, column) ((row).values[(column) - 1])
#define COLUMN(scan, column) VALUE((scan).row, column)

static void
fill_count(const LedgerRow *row, LiveCount *count)
{
	count->watch_id = DatumGetInt64(VALUE(*row, LIVE_COUNT_WATCH));
	count->devices = DatumGetInt64(VALUE(*row, LIVE_COUNT_DEVICES));
	count->counted = DatumGetInt64(VALUE(*row, LIVE_COUNT_COUNTED));
	count->counted_keys = DatumGetInt64(VALUE(*row, LIVE_COUNT_COUNTED_KEYS));
	count->expires = !row->nulls[LIVE_COUNT_INACTIVE_AFTER - 1];
	if (count->expires)
		count->inactive_after = *DatumGetIntervalP(VALUE(*row, LIVE_COUNT_INACTIVE_AFTER));
	count->active_since = DatumGetTimestampTz(VALUE(*row, LIVE_COUNT_ACTIVE_SINCE));
	count->oldest = DatumGetTimestampTz(VALUE(*row, LIVE_COUNT_OLDEST));
	count->oldest_delta = NEVER_SILENT;
	count->due_at = DatumGetTimestampTz(VALUE(*row, LIVE_COUNT_DUE_AT));
	count->epoch = DatumGetInt64(VALUE(*row, LIVE_COUNT_EPOCH));
}

/* The row of eiot.live_count; false if there is none.  The commit will find it where it was. */
bool
read_count(Ledger *ledger, TenantCount *tenant, Snapshot snapshot, LiveCount *count)
{
	LedgerScan	scan;
	bool		found;

	begin_ledger_scan(&scan, &ledger->count, snapshot, &tenant->key.tenant, &tenant->key.watch_id);
	found = next_in_ledger(&scan) != NULL;
	if (found)
	{
		fill_count(&scan.row, count);
		remember_row(&tenant->count_row, &scan.row);
	}
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

static void
fill_limits(const LedgerRow *row, LiveLimits *limits)
{
	limits->capacity = DatumGetInt64(VALUE(*row, LIVE_TENANT_CAPACITY));
	limits->capacity_from = DatumGetTimestampTz(VALUE(*row, LIVE_TENANT_CAPACITY_FROM));
	limits->due_at = DatumGetTimestampTz(VALUE(*row, LIVE_TENANT_DUE_AT));
	limits->raise_above = DatumGetInt64(VALUE(*row, LIVE_TENANT_RAISE_ABOVE));
	limits->clear_at = DatumGetInt64(VALUE(*row, LIVE_TENANT_CLEAR_AT));
	limits->flagged = DatumGetBool(VALUE(*row, LIVE_TENANT_FLAGGED));
}

static void
add_count(LiveTenant *live, const LiveCount *count)
{
	if (live->ncounts == live->maxcounts)
	{
		live->maxcounts = Max(4, live->maxcounts * 2);
		live->counts = live->counts == NULL ?
			palloc(sizeof(LiveCount) * live->maxcounts) :
			repalloc(live->counts, sizeof(LiveCount) * live->maxcounts);
	}
	live->counts[live->ncounts++] = *count;
	live->devices = add_up(live->devices, count->devices);
	live->counted = add_up(live->counted, count->counted);
}

/* Adds a row of the deltas to the sums, if it is of an inventory that is watched. */
static void
add_delta(LiveTenant *live, const LedgerRow *row)
{
	int64		watch_id = DatumGetInt64(VALUE(*row, LIVE_DELTA_WATCH));

	for (int i = 0; i < live->ncounts; i++)
	{
		LiveCount  *count = &live->counts[i];
		TimestampTz oldest = DatumGetTimestampTz(VALUE(*row, LIVE_DELTA_OLDEST));

		if (count->watch_id != watch_id)
			continue;
		live->ndeltas++;
		live->devices = add_up(live->devices, DatumGetInt64(VALUE(*row, LIVE_DELTA_DEVICES)));
		live->counted = add_up(live->counted, DatumGetInt64(VALUE(*row, LIVE_DELTA_COUNTED)));
		if (oldest >= count->active_since)
			count->oldest_delta = Min(count->oldest_delta, oldest);
		break;
	}
}

/* The deltas that the entries lead to, without a look at the index. */
static void
add_known_deltas(Relation delta, TenantCount *known, Snapshot snapshot, LiveTenant *live)
{
	LedgerRow	row;

	for (int i = 0; i < known->entries.n; i++)
	{
		RowHint    *hint = &known->entries.rows[i];

		if (!pin_where_it_was(delta, hint))
			hint->buffer = ReadBuffer(delta, ItemPointerGetBlockNumber(&hint->root));
		row.buffer = hint->buffer;
		prune_full_page(delta, row.buffer);
		if (see_row(&row, delta, &hint->root, snapshot, NULL))
			add_delta(live, &row);
		release_row(&row);
	}
}

static void
read_deltas(Ledger *ledger, const pg_uuid_t *tenant, TenantCount *known, Snapshot snapshot, LiveTenant *live)
{
	Relation	delta = open_heap(&ledger->delta);
	Relation	pkey = open_pkey(&ledger->delta);
	LedgerScan	scan;
	TenantEntries found = {0};

	if (IsolationIsSerializable())
		known = NULL;
	if (known != NULL && entries_are_known(pkey, &known->entries))
	{
		add_known_deltas(delta, known, snapshot, live);
		return;
	}
	begin_ledger_scan(&scan, &ledger->delta, snapshot, tenant, NULL);
	if (known != NULL)
	{
		scan.found = &found;
		scan.row.buffer = follow_hint(delta, &known->delta_row);
	}
	while (next_in_ledger(&scan) != NULL)
		add_delta(live, &scan.row);
	end_ledger_scan(&scan);
	if (known != NULL)
		keep_entries(pkey, &known->entries, tenant, &found);
}

static void
read_limits(Ledger *ledger, const pg_uuid_t *tenant, TenantCount *known, Snapshot snapshot, LiveTenant *live)
{
	LedgerScan	scan;
	LedgerRow	row;

	if (known != NULL && fetch_row(&row, open_heap(&ledger->tenant), &known->tenant_row, snapshot))
	{
		live->exists = memcmp(DatumGetUUIDP(VALUE(row, LIVE_TENANT_ID)), tenant, sizeof(pg_uuid_t)) == 0;
		if (live->exists)
			fill_limits(&row, &live->limits);
		release_row(&row);
	}
	if (live->exists)
		return;
	begin_ledger_scan(&scan, &ledger->tenant, snapshot, tenant, NULL);
	live->exists = next_in_ledger(&scan) != NULL;
	if (live->exists)
	{
		fill_limits(&scan.row, &live->limits);
		if (known != NULL)
			remember_row(&known->tenant_row, &scan.row);
	}
	end_ledger_scan(&scan);
}

static void
read_counts(Ledger *ledger, const pg_uuid_t *tenant, TenantCount *known, Snapshot snapshot, LiveTenant *live)
{
	LedgerScan	scan;
	LedgerRow	row;
	LiveCount	count;

	/* Where there is one inventory only, there is no other row to look for. */
	if (known != NULL && known->key.watch_id == only_watch() &&
		fetch_row(&row, open_heap(&ledger->count), &known->count_row, snapshot))
	{
		if (DatumGetInt64(VALUE(row, LIVE_COUNT_WATCH)) == known->key.watch_id &&
			memcmp(DatumGetUUIDP(VALUE(row, LIVE_COUNT_TENANT)), tenant, sizeof(pg_uuid_t)) == 0)
		{
			fill_count(&row, &count);
			add_count(live, &count);
		}
		release_row(&row);
	}
	if (live->ncounts > 0)
		return;
	begin_ledger_scan(&scan, &ledger->count, snapshot, tenant, NULL);
	while (next_in_ledger(&scan) != NULL)
	{
		int64		watch_id = DatumGetInt64(COLUMN(scan, LIVE_COUNT_WATCH));

		/* Left behind by an inventory that is gone; the next to count clears it away. */
		if (epoch_of_watch(watch_id) == 0)
			continue;
		fill_count(&scan.row, &count);
		add_count(live, &count);
		if (known != NULL && known->key.watch_id == watch_id)
			remember_row(&known->count_row, &scan.row);
	}
	end_ledger_scan(&scan);
}

/*
 * Are a tenant's rows of live_tenant and live_count what this backend knows of
 * them?  Certain for who has locked the tenant: those who wrote them have ended,
 * and said so before they let go of it.  For others it is a guess.
 */
bool
rows_are_known(const TenantCount *known)
{
	return known != NULL && known->rows_generation == live_generation() &&
		known->key.watch_id == only_watch();
}

/* Keeps what was read of a tenant that is locked, and whose count is kept; NULL: nothing. */
void
keep_rows(TenantCount *known, const LiveTenant *live)
{
	known->rows_generation = 0;
	if (live == NULL || !live->exists || live->ncounts != 1 || live->counts[0].watch_id != known->key.watch_id)
		return;
	known->limits = live->limits;
	known->rows_generation = live->generation;
}

/*
 * All rows of a tenant, and their sums.  live->counts is kept and grows.  What
 * this backend knows of it, if anything, says what its rows are, or where they
 * were.  False if it does not, and the deltas alone are open.
 */
bool
read_tenant(Ledger *ledger, const pg_uuid_t *tenant, TenantCount *known, Snapshot snapshot, LiveTenant *live)
{
	live->generation = live_generation();
	live->exists = false;
	live->ncounts = 0;
	live->ndeltas = 0;
	live->devices = 0;
	live->counted = 0;
	if (rows_are_known(known))
	{
		live->exists = true;
		live->limits = known->limits;
		add_count(live, &known->count);
	}
	else if (ledger->deltas_only)
		return false;
	else
	{
		read_limits(ledger, tenant, known, snapshot, live);
		read_counts(ledger, tenant, known, snapshot, live);
	}
	read_deltas(ledger, tenant, known, snapshot, live);
	return true;
}

static void
insert_index_entry(Ledger *ledger, HeapTuple tuple, Datum *values)
{
	bool		nulls[3] = {false};
	Relation	pkey = open_pkey(&ledger->delta);
	IndexInfo  *info = BuildIndexInfo(pkey);

	index_insert(pkey, values, nulls, &tuple->t_self, ledger->delta.heap,
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

/* Reads a row of the deltas; false if another transaction holds it. */
bool
free_delta(TupleTableSlot *slot, DeltaValues *row)
{
	if (held_by_another(((BufferHeapTupleTableSlot *) slot)->base.tuple))
		return false;
	slot_getallattrs(slot);
	row->devices = DatumGetInt64(slot->tts_values[LIVE_DELTA_DEVICES - 1]);
	row->counted = DatumGetInt64(slot->tts_values[LIVE_DELTA_COUNTED - 1]);
	row->oldest = DatumGetTimestampTz(slot->tts_values[LIVE_DELTA_OLDEST - 1]);
	return true;
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

/* Adds to a row of the tenant's deltas; false if somebody else got there first. */
static bool
add_to_delta(Ledger *ledger, TenantCount *tenant, LedgerRow *row, HeapTuple old, int64 devices, int64 counted,
			 TimestampTz oldest)
{
	TimestampTz old_oldest = DatumGetTimestampTz(VALUE(*row, LIVE_DELTA_OLDEST));
	Datum		values[LIVE_DELTA_COLUMNS];
	bool		nulls[LIVE_DELTA_COLUMNS] = {false};
	HeapTuple	tuple;
	Relation	delta = ledger->delta.heap;
	TM_FailureData failure;
	bool		done;

	if (held_by_another(old) || !seen_by_transaction(old))
		return false;
	values[LIVE_DELTA_TENANT - 1] = UUIDPGetDatum(&tenant->key.tenant);
	values[LIVE_DELTA_WATCH - 1] = Int64GetDatum(tenant->key.watch_id);
	values[LIVE_DELTA_SLOT - 1] = VALUE(*row, LIVE_DELTA_SLOT);
	values[LIVE_DELTA_DEVICES - 1] =
		Int64GetDatum(add_up(DatumGetInt64(VALUE(*row, LIVE_DELTA_DEVICES)), devices));
	values[LIVE_DELTA_COUNTED - 1] =
		Int64GetDatum(add_up(DatumGetInt64(VALUE(*row, LIVE_DELTA_COUNTED)), counted));
	values[LIVE_DELTA_OLDEST - 1] =
		TimestampTzGetDatum(old_oldest < tenant->count.active_since ? oldest : Min(old_oldest, oldest));
	tuple = heap_form_tuple(RelationGetDescr(delta), values, nulls);
	done = eiot_heap_update(delta, &old->t_self, tuple, GetCurrentCommandId(true), &failure) == TM_Ok;
	if (done)
	{
		/* Its index entry leads to the new version as well, if that lies in the same page. */
		remember_row(&tenant->delta_row, row);
		if (!HeapTupleIsHeapOnly(tuple))
		{
			insert_index_entry(ledger, tuple, values);
			remember_place(&tenant->delta_row, tuple);
		}
	}
	heap_freetuple(tuple);
	return done;
}

/* Adds to the row that was written last, without a look at the index. */
static bool
add_to_last_delta(Ledger *ledger, TenantCount *tenant, int64 devices, int64 counted, TimestampTz oldest)
{
	LedgerRow	row;
	bool		done = false;

	if (!fetch_row(&row, ledger->delta.heap, &tenant->delta_row, GetActiveSnapshot()))
		return false;
	if (DatumGetInt64(VALUE(row, LIVE_DELTA_WATCH)) == tenant->key.watch_id &&
		memcmp(DatumGetUUIDP(VALUE(row, LIVE_DELTA_TENANT)), &tenant->key.tenant, sizeof(pg_uuid_t)) == 0)
		done = add_to_delta(ledger, tenant, &row, &row.tuple, devices, counted, oldest);
	release_row(&row);
	return done;
}

/* Adds to the deltas of a tenant, in a row that no other transaction holds. */
void
write_delta(Ledger *ledger, TenantCount *tenant, int64 devices, int64 counted, TimestampTz oldest)
{
	Relation	delta = open_heap(&ledger->delta);
	CommandId	command = GetCurrentCommandId(true);
	Datum		values[LIVE_DELTA_COLUMNS];
	bool		nulls[LIVE_DELTA_COLUMNS] = {false};
	HeapTuple	tuple;
	LedgerScan	scan;
	bool		done;
	bool		taken = false;
	int64		slot = (int64) U64FromFullTransactionId(GetTopFullTransactionId());

	/* First the row that was written last, then any. */
	PushActiveSnapshot(GetLatestSnapshot());
	done = add_to_last_delta(ledger, tenant, devices, counted, oldest);
	if (!done)
	{
		begin_ledger_scan(&scan, &ledger->delta, GetActiveSnapshot(),
						  &tenant->key.tenant, &tenant->key.watch_id);
		while (!done && (tuple = next_in_ledger(&scan)) != NULL)
		{
			if (DatumGetInt64(COLUMN(scan, LIVE_DELTA_SLOT)) == slot)
				taken = true;
			done = add_to_delta(ledger, tenant, &scan.row, tuple, devices, counted, oldest);
		}
		end_ledger_scan(&scan);
	}
	PopActiveSnapshot();
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
	tuple = heap_form_tuple(RelationGetDescr(delta), values, nulls);
	heap_insert(delta, tuple, command, 0, NULL);
	insert_index_entry(ledger, tuple, values);
	remember_place(&tenant->delta_row, tuple);
	heap_freetuple(tuple);
}
