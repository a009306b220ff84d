/*
 * entries.c
 *		A tenant's entries in the index of eiot.live_delta, as this backend found
 *		them last, so that most commits need not search the index.
 *
 * Entries come and go far less often than rows change: an update leaves them as
 * they are.  Where all entries of a tenant lie in one leaf, with a smaller key or
 * nothing to their left and a larger one to their right, any that comes or goes
 * changes that leaf, and whatever changes a page moves its LSN on.  So if the LSN
 * is the same before a search and after it, the search found all of them, and as
 * long as it stays the same there are no others, whoever has written since.
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

/* LSN of the leaf; InvalidXLogRecPtr if none is known. */
XLogRecPtr
entries_lsn(Relation index, TenantEntries *entries)
{
	Buffer		buffer;
	XLogRecPtr	lsn;

	/* Without WAL, as in the transaction that makes the index, pages have no LSN of their own. */
	if (!RelationNeedsWAL(index))
		return InvalidXLogRecPtr;
	buffer = follow_hint(index, &entries->leaf);
	if (BufferIsInvalid(buffer))
		return InvalidXLogRecPtr;
	lsn = BufferGetLSNAtomic(buffer);
	ReleaseBuffer(buffer);
	return lsn;
}

void
begin_search(EntrySearch *search)
{
	search->leaf = InvalidBlockNumber;
	search->n = 0;
}

/* Every entry that a search comes upon, whether or not there is a row to see. */
void
note_entry(EntrySearch *search, IndexScanDesc scan, ItemPointer root)
{
	search->leaf = ((BTScanOpaque) scan->opaque)->currPos.currPage;
	if (search->n < MAX_ENTRIES)
		search->roots[search->n] = *root;
	search->n++;
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

/*
 * Keeps what a search found, if the leaf was known by its LSN before it.  If not,
 * the leaf is looked at, for the next time.
 */
void
keep_entries(Relation index, TenantEntries *entries, const pg_uuid_t *tenant, XLogRecPtr before,
			 const EntrySearch *search)
{
	Buffer		buffer;

	if (search->n == 0 || search->n > MAX_ENTRIES || !RelationNeedsWAL(index))
		return;
	if (before != InvalidXLogRecPtr && before == entries->enclosed_at)
	{
		if (entries_lsn(index, entries) != before)
			return;
		entries->n = search->n;
		memcpy(entries->roots, search->roots, sizeof(ItemPointerData) * search->n);
		entries->complete_at = before;
		return;
	}

	ItemPointerSet(&entries->leaf.root, search->leaf, FirstOffsetNumber);
	entries->leaf.buffer = InvalidBuffer;
	entries->enclosed_at = InvalidXLogRecPtr;
	buffer = follow_hint(index, &entries->leaf);
	if (BufferIsInvalid(buffer))
		return;
	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	if (encloses(index, BufferGetPage(buffer), tenant))
		entries->enclosed_at = BufferGetLSNAtomic(buffer);
	UnlockReleaseBuffer(buffer);
}
