/*
 * fold.c
 *		Rows of eiot.live_delta become fewer again.
 *
 * There are as many rows for a tenant as transactions ever added to it at the
 * same time, and every commit of the tenant reads them.  They are folded into one
 * by a transaction that is about to commit: it deletes those that no other holds,
 * and adds their sum to the one that it leaves.  No lock is needed for that.  In
 * each snapshot the sum is what it was, before and after, so that (I) of commit.c
 * stays as it is; a row that is held, or newer than our snapshot, is passed over;
 * and whoever finds its row gone takes another one, as always.  A transaction
 * that reads all from one older snapshot goes on to see the rows that were
 * deleted, and does not add to the one that was changed; see ledger.c.
 */
#include "watch.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "common/int.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "storage/procarray.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* So few rows are as good as one. */
#define FEW_DELTAS 16

/* Are there more rows than sessions could need at once? */
bool
too_many_deltas(const LiveTenant *live)
{
	return live->ndeltas > FEW_DELTAS && live->ndeltas > 2 * CountDBBackends(MyDatabaseId);
}

static void
fold_watch(const pg_uuid_t *id, const LiveCount *count)
{
	const LiveRelations *live = live_relations(false);
	Relation	delta = table_open(live->delta, RowExclusiveLock);
	Relation	pkey = index_open(live->delta_pkey, RowExclusiveLock);
	TupleTableSlot *slot = table_slot_create(delta, NULL);
	TenantCount tenant = {.key = {.watch_id = count->watch_id, .tenant = *id}, .count = *count};
	int64		devices = 0;
	int64		counted = 0;
	TimestampTz oldest = NEVER_SILENT;
	int			nfree = 0;
	int			ndeleted = 0;
	ScanKeyData keys[2];
	IndexScanDesc scan;

	CommandCounterIncrement();
	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_UUID_EQ, UUIDPGetDatum(id));
	ScanKeyInit(&keys[1], 2, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(count->watch_id));
	PushActiveSnapshot(GetLatestSnapshot());
	scan = eiot_index_beginscan(delta, pkey, GetActiveSnapshot(), 2);
	index_rescan(scan, keys, 2, NULL, 0);
	while (index_getnext_slot(scan, ForwardScanDirection, slot))
	{
		DeltaValues row;
		int64		more_devices;
		int64		more_counted;
		TM_FailureData failure;

		/* The first one stays. */
		if (!free_delta(slot, &row) || nfree++ == 0)
			continue;
		if (pg_add_s64_overflow(devices, row.devices, &more_devices) ||
			pg_add_s64_overflow(counted, row.counted, &more_counted) ||
			heap_delete(delta, &slot->tts_tid, GetCurrentCommandId(true), InvalidSnapshot, false,
						&failure, false) != TM_Ok)
			continue;
		devices = more_devices;
		counted = more_counted;
		if (row.oldest >= count->active_since)
			oldest = Min(oldest, row.oldest);
		ndeleted++;
	}
	index_endscan(scan);
	PopActiveSnapshot();
	ExecDropSingleTupleTableSlot(slot);
	index_close(pkey, NoLock);
	table_close(delta, NoLock);

	if (ndeleted > 0)
	{
		Ledger	   *ledger = open_ledger(RowExclusiveLock);

		CommandCounterIncrement();
		write_delta(ledger, &tenant, devices, counted, oldest);
		close_ledger(ledger);
		CommandCounterIncrement();
	}
}

/* Folds a tenant's rows, at the end of the transaction. */
void
fold_deltas(const pg_uuid_t *tenant, const LiveTenant *live)
{
	/* Where it might be why somebody's transaction fails, it can wait. */
	if (IsolationIsSerializable())
		return;
	for (int i = 0; i < live->ncounts; i++)
		fold_watch(tenant, &live->counts[i]);
}
