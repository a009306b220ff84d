/*
 * entries.c
 *		A tenant's entries in the index of eiot.live_delta, as this backend found
 *		them last, so that most commits need not search the index.
 *
 * Entries come and go far less often than rows change: an update leaves them as
 * they are.  Where all entries of a tenant lie in one leaf, with a smaller key or
 * nothing to their left and a larger one to their right, any that comes or goes
 * changes that leaf, and whatever changes a page moves its LSN on.  A search
 * remembers the LSN of the leaf as it read it; as long as that stays the same there
 * are no other entries, whoever has written since.
 *
 * Nothing else has to be watched for.  A page that was split, emptied, used anew
 * or made anew by REINDEX has another LSN; rows are not removed before their
 * entries.  Who calls has a snapshot already: what that sees had its entries
 * before it was visible.
 */
#include "watch.h"

#include "access/nbtree.h"
#include "access/relscan.h"
#include "storage/bufmgr.h"
#include "utils/rel.h"

/* Every entry that a search comes upon, whether or not there is a row to see. */
void
note_entry(TenantEntries *found, IndexScanDesc scan, ItemPointer root)
{
	BTScanPos	position = &((BTScanOpaque) scan->opaque)->currPos;

	/* A scan that keeps no pin keeps the LSN, to see later whether the page is what it was. */
	ItemPointerSet(&found->leaf.root, position->currPage, FirstOffsetNumber);
	found->lsn = BTScanPosIsPinned(*position) ? InvalidXLogRecPtr : position->lsn;
	if (found->n < MAX_ENTRIES)
		found->rows[found->n] = (RowHint) {.root = *root};
	found->n++;
}

static int
compare_entry(Relation index, Page page, OffsetNumber offset, const pg_uuid_t *tenant)
{
	IndexTuple	entry = (IndexTuple) PageGetItem(page, PageGetItemId(page, offset));
	bool		isnull;
	Datum		id = index_getattr(entry, 1, RelationGetDescr(index), &isnull);

	return memcmp(DatumGetUUIDP(id), tenant, sizeof(pg_uuid_t));
}

/* Can entries of the tenant lie nowhere but in this leaf? */
static bool
encloses(Relation index, Page page, const pg_uuid_t *tenant)
{
	BTPageOpaque opaque = BTPageGetOpaque(page);

	if (!P_ISLEAF(opaque) || P_IGNORE(opaque) ||
		PageGetMaxOffsetNumber(page) < P_FIRSTDATAKEY(opaque))
		return false;
	return (P_LEFTMOST(opaque) || compare_entry(index, page, P_FIRSTDATAKEY(opaque), tenant) < 0) &&
		(P_RIGHTMOST(opaque) || compare_entry(index, page, P_HIKEY, tenant) > 0);
}

/* Keeps what a search found, if it found all. */
void
keep_entries(Relation index, TenantEntries *entries, const pg_uuid_t *tenant, TenantEntries *found)
{
	Buffer		buffer;

	if (found->n == 0 || found->n > MAX_ENTRIES || found->lsn == InvalidXLogRecPtr ||
		!RelationNeedsWAL(index))
		return;
	buffer = follow_hint(index, &found->leaf);
	if (BufferIsInvalid(buffer))
		return;
	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	if (BufferGetLSNAtomic(buffer) == found->lsn && encloses(index, BufferGetPage(buffer), tenant))
		*entries = *found;
	UnlockReleaseBuffer(buffer);
}

/* Are the entries that are kept all that there are? */
bool
entries_are_known(Relation index, TenantEntries *entries)
{
	Buffer		buffer;
	XLogRecPtr	lsn;

	/* Without WAL, as in the transaction that makes the index, pages have no LSN of their own. */
	if (entries->lsn == InvalidXLogRecPtr || !RelationNeedsWAL(index))
		return false;
	buffer = follow_hint(index, &entries->leaf);
	if (BufferIsInvalid(buffer))
		return false;
	lsn = BufferGetLSNAtomic(buffer);
	ReleaseBuffer(buffer);
	return lsn == entries->lsn;
}
