/*
 * commit.c
 *		Flags, decided at the commit of the transaction that causes them.
 *
 * What is kept.  For each tenant and watched inventory eiot.live_count has a
 * count, and the rule (counted_keys, inactive_after) and the instant
 * (active_since) that it was made for; eiot.live_delta has what committed
 * transactions added since, judged by the same rule and instant.  So, in every
 * snapshot,
 *
 *	(I)	counted + sum of deltas = rows with one of counted_keys that were last
 *		seen at active_since or later.
 *
 * Readers need no more: what fell silent between active_since and their own
 * instant is looked up where "oldest", a bound below the last_seen of all that
 * counts, says that there is any.
 *
 * Why (I) holds.  A statement trigger judges old and new rows by what its
 * backend last read of rule and instant, and adds the difference to a delta row
 * that no other transaction holds.  MVCC makes that visible, and takes it back,
 * together with the rows.  Before the transaction commits it takes the tenant's
 * lock, shared, and reads live_count anew, or knows that it is as it was; who
 * changes rule or instant holds the lock exclusively.  Either they are what the
 * trigger used; or the instant has moved to one that no row that counted lies
 * below, so that all rows are judged the same; or the transaction takes the lock
 * exclusively and counts the tenant's rows, its own included, less the sum of the
 * deltas in the same snapshot.  It does not matter for that what other
 * transactions have added and not committed: the snapshot has neither their rows
 * nor their deltas.  Who folds rows of deltas into one leaves their sum as it is,
 * in every snapshot; see fold.c.
 *
 * Heartbeats.  A statement that leaves a tenant as many rows with each count key
 * as before, all of them seen so lately that no instant can have moved beyond
 * them, adds nothing under any rule, and needs no lock.  "So lately": later than
 * the cut-off by the shortest inactive_after of all rules, and by a margin (a day
 * or a quarter of inactive_after) more, which is how long the commit may take from
 * here to its end.  "Oldest" never lies beyond that either, so they do not change
 * it.  Whoever changes the rules waits for all writers first.  An UPDATE without
 * transition tables leaves out single rows like that, by the clock of its start
 * (see changes.c).  Of those nothing is known here, so if half of the margin has
 * passed since, the inventory is counted anew.
 *
 * Flags.  A tenant's flag is raised when its count in all inventories exceeds
 * raise_above, cleared when it is clear_at or less.  A transaction that holds the
 * lock shared reads what has been committed, and its own.  Of what others may
 * commit at the same time it knows that they hold the lock as well, and that who
 * holds it shared has changed the count by at most SHARED_CHANGE.  If the count
 * cannot reach the limit even so, there is no crossing: for were there one, take
 * the last of those that were let in before it: all others were either committed
 * and read, or held the lock, and were allowed for.  The lock is kept until the
 * transaction has ended, so that the next one does the same.
 * Otherwise it lets go of the shared lock and takes it exclusively.  Then all that
 * went before have committed and are read, nobody else is between here and the end
 * of its commit, and the decision is exact: whoever completes a crossing sees it
 * completed, and nobody else does.  Two transactions that each take the last free
 * place queue up here, and the second one raises the flag.
 *
 * What is known.  live_tenant and live_count are written under the exclusive lock
 * alone, and their triggers tell all backends so when the transaction commits, before
 * it lets go of that lock.  So who has the lock and has heard of nothing need not
 * read them again; see live_generation().  Nothing tells of deltas.
 *
 * Deadlocks.  Locks are taken in the order of their keys, at the end of the
 * transaction, and no other lock is waited for while they are held: tables are
 * opened before, and where one that is not turns out to be needed all locks are let
 * go of first; deltas are written where nobody else writes, the other tables under
 * the exclusive lock alone, without foreign keys, and an inventory that cannot be
 * locked at once is looked into another time.  (One that has to be counted is waited
 * for: whoever locks an inventory or partition against writers, as TRUNCATE does,
 * may meet another one doing that to what he has to count.)
 * refresh() is no exception.  A lock taken when it is called would be held while
 * the rest of its transaction waits for rows, whose holders may wait for that lock
 * at their commit; and there is no way to let go of it before the flags that it
 * wrote are committed.  So it asks its own commit, and says what that would do as
 * things stand.
 *
 * Many tenants.  The shared lock table is bounded, so whoever touches very many
 * tenants takes one lock for all of them.  It is the lock of the view
 * eiot.tenant_coverage, in the modes that such hierarchies have: RowShare and
 * RowExclusive for who goes on to lock tenants shared and exclusively, Share and
 * Exclusive for who locks all at once.  The first two are taken without the
 * shared lock table, so that they cost next to nothing.
 *
 * Serializable and repeatable read transactions decide by what is committed, not
 * by their snapshot, and take no predicate locks for it; see ledger.c.
 */
#include "decide.h"

#include "access/twophase.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/event_trigger.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "coverage/counting.h"
#include "coverage/coverage.h"

PG_FUNCTION_INFO_V1(eiot_refresh);
PG_FUNCTION_INFO_V1(eiot_recount);
PG_FUNCTION_INFO_V1(eiot_watch_dropped);
PG_FUNCTION_INFO_V1(eiot_limits_are_pending);

/* Advisory locks of users have 1 or 2 here. */
#define LOCK_CLASS 0xE107

/* What a transaction may have changed a count by to hold the lock shared. */
#define SHARED_CHANGE(live) (1 + (live)->limits.capacity / 4096)

/* What this transaction has to see to before it commits. */
static uint64 transaction_number = 1;
static TenantCount *touched_counts = NULL;
static pg_uuid_t *touched_tenants = NULL;
static int	ntouched_tenants = 0;
static int	maxtouched_tenants = 0;
static bool touched_everything = false;
static List *touched_watches = NIL; /* of pointers to int64 */
static List *heartbeat_watches = NIL;	/* of pointers to int64, in the transaction's memory */
static TimestampTz first_heartbeat;
static bool refresh_wanted = false;
static TimestampTz refresh_as_of;	/* 0: the present */

static void forget_transaction(void);

static void settle(bool preparing);

static void
at_xact_event(XactEvent event, void *arg)
{
	(void) arg;
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
			settle(false);
			break;
		case XACT_EVENT_PRE_PREPARE:
			settle(true);
			break;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			forget_transaction();
			break;
		default:
			break;
	}
}

static void
listen_to_transactions(void)
{
	static bool registered = false;

	if (likely(registered))
		return;
	RegisterXactCallback(at_xact_event, NULL);
	registered = true;
}

static void
forget_transaction(void)
{
	transaction_number++;
	touched_counts = NULL;
	ntouched_tenants = 0;
	touched_everything = false;
	heartbeat_watches = NIL;
	refresh_wanted = false;
	if (touched_watches != NIL)
	{
		list_free_deep(touched_watches);
		touched_watches = NIL;
	}
	forget_counts();
}

/* ---- what statements say */

/* Adds what a statement did to what the transaction did. */
void
touch_count(TenantCount *tenant)
{
	bool		still = tenant->devices == 0 && tenant->counted == 0 && tenant->keys_moved == 0;

	listen_to_transactions();
	if (tenant->transaction != transaction_number)
	{
		tenant->transaction = transaction_number;
		tenant->still = true;
		tenant->recount = false;
		tenant->change = 0;
		tenant->lowest_active_since = DT_NOEND;
		tenant->highest_active_since = DT_NOBEGIN;
		tenant->xact_oldest_row = NEVER_SILENT;
		tenant->xact_oldest_counted = NEVER_SILENT;
		tenant->xact_oldest_new = NEVER_SILENT;
		tenant->next_in_transaction = touched_counts;
		touched_counts = tenant;
		tenant->used_counted_keys = tenant->count.counted_keys;
	}
	tenant->still = tenant->still && still;
	tenant->xact_oldest_row = Min(tenant->xact_oldest_row, tenant->oldest_row);
	if (!tenant->known || tenant->used_counted_keys != tenant->count.counted_keys)
	{
		tenant->recount = true;
		return;
	}
	tenant->change += tenant->counted < 0 ? -tenant->counted : tenant->counted;
	tenant->lowest_active_since = Min(tenant->lowest_active_since, tenant->count.active_since);
	tenant->highest_active_since = Max(tenant->highest_active_since, tenant->count.active_since);
	tenant->xact_oldest_counted = Min(tenant->xact_oldest_counted, tenant->oldest_counted);
	tenant->xact_oldest_new = Min(tenant->xact_oldest_new, tenant->oldest_new);
}

/* The commit counts the tenants anew that a statement touched last; 0: of none. */
void
recount_tenants_of(uint64 statement)
{
	if (statement == 0)
		return;
	for (TenantCount *tenant = touched_counts; tenant != NULL; tenant = tenant->next_in_transaction)
	{
		if (tenant->statement == statement)
		{
			tenant->still = false;
			tenant->recount = true;
		}
	}
}

/* The commit looks at a tenant's capacity and rule. */
void
touch_tenant(const pg_uuid_t *tenant)
{
	listen_to_transactions();
	if (ntouched_tenants > 0 &&
		memcmp(&touched_tenants[ntouched_tenants - 1], tenant, sizeof(pg_uuid_t)) == 0)
		return;
	if (ntouched_tenants == maxtouched_tenants)
	{
		int			more = Max(64, maxtouched_tenants * 2);

		if (touched_tenants == NULL)
			touched_tenants = MemoryContextAllocHuge(TopMemoryContext, sizeof(pg_uuid_t) * more);
		else
			touched_tenants = repalloc_huge(touched_tenants, sizeof(pg_uuid_t) * more);
		maxtouched_tenants = more;
	}
	touched_tenants[ntouched_tenants++] = *tenant;
}

void
touch_everything(void)
{
	listen_to_transactions();
	touched_everything = true;
}

/* A statement may have left out heartbeats. */
void
touch_heartbeats(int64 watch_id)
{
	MemoryContext old;
	int64	   *copy;
	ListCell   *lc;

	if (max_prepared_xacts > 0)
		return;
	listen_to_transactions();
	if (heartbeat_watches == NIL)
		first_heartbeat = GetCurrentStatementStartTimestamp();
	foreach(lc, heartbeat_watches)
	{
		if (*(int64 *) lfirst(lc) == watch_id)
			return;
	}
	old = MemoryContextSwitchTo(TopTransactionContext);
	copy = palloc(sizeof(int64));
	*copy = watch_id;
	heartbeat_watches = lappend(heartbeat_watches, copy);
	MemoryContextSwitchTo(old);
}

/* The commit sees to what is due, or to everybody if it is to decide for another instant. */
static void
touch_due(TimestampTz as_of)
{
	listen_to_transactions();
	refresh_wanted = true;
	refresh_as_of = as_of;
}

/* ---- whom a commit sees to */

static LiveQuery all_tenants = {
	.text = "SELECT t.tenant_id FROM eiot.tenant t UNION SELECT l.tenant_id FROM eiot.live_tenant l"
};

static LiveQuery due_tenants = {
	.text = "SELECT l.tenant_id FROM eiot.live_tenant l WHERE l.due_at OPERATOR(pg_catalog.<=) $1"
	" UNION SELECT b.tenant_id FROM eiot.live_count b WHERE b.due_at OPERATOR(pg_catalog.<=) $1",
	.nargs = 1, .types = {TIMESTAMPTZOID}
};

/* $1 tenants, $2 as_of, $3 count_warning_units */
static LiveQuery flags_due = {
	.text = "SELECT pg_catalog.count(*) FROM eiot.live_limits($1, $2, $3) n"
	" LEFT JOIN eiot.live_tenant l ON l.tenant_id OPERATOR(pg_catalog.=) n.tenant_id"
	" CROSS JOIN LATERAL eiot.live_now(n.tenant_id, $2) c"
	" WHERE CASE WHEN l.flagged THEN c.counted OPERATOR(pg_catalog.<=) n.clear_at ELSE c.counted OPERATOR(pg_catalog.>) n.raise_above END",
	.nargs = 3, .types = {UUIDARRAYOID, TIMESTAMPTZOID, BOOLOID}
};

static LiveQuery watch_is_stale = {
	.text = "UPDATE eiot.watched w SET stale = true WHERE w.watch_id OPERATOR(pg_catalog.=) $1 AND NOT w.stale",
	.nargs = 1, .types = {INT8OID}
};

/* Can a tenant's flag stay as it is whatever others commit besides? */
static bool
is_far(const LiveItem *item, const LiveTenant *live, TimestampTz now, int64 others)
{
	int64		change = 0;
	int64		reach;

	for (int i = 0; i < item->ncounts; i++)
	{
		if (item[i].count != NULL)
			change += item[i].count->change;
	}
	if (change > SHARED_CHANGE(live) || live->counted < 0)
		return false;
	reach = others * SHARED_CHANGE(live);
	if (!live->limits.flagged)
		/* What fell silent makes it less. */
		return live->limits.raise_above == CAPACITY_UNLIMITED || live->counted + reach <= live->limits.raise_above;
	return !is_due(live, now) && live->counted - reach > live->limits.clear_at;
}

static int64
others_at_most(void)
{
	return MaxBackends + max_prepared_xacts;
}

/* How many other transactions are where this one is. */
static int64
others_now(void)
{
	LOCKTAG		tag;
	int			n;
	VirtualTransactionId *others;

	SET_LOCKTAG_RELATION(tag, MyDatabaseId, live_relations(false)->coverage);
	others = GetLockConflicts(&tag, ExclusiveLock, &n);
	pfree(others);
	return n;
}

/* ---- locks */

static uint64
lock_key(const pg_uuid_t *tenant)
{
	return hash_bytes_extended(tenant->data, UUID_LEN, 0);
}

static void
tenant_tag(LOCKTAG *tag, const LiveItem *item)
{
	SET_LOCKTAG_ADVISORY(*tag, MyDatabaseId, (uint32) (item->lock >> 32), (uint32) item->lock, LOCK_CLASS);
}

/* More tenants than this take the lock for all of them. */
static int
max_tenant_locks(void)
{
	return Max(16, max_locks_per_xact * (MaxBackends + max_prepared_xacts) / 16);
}

static int
compare_items(const void *a, const void *b)
{
	const LiveItem *left = a;
	const LiveItem *right = b;

	if (left->lock != right->lock)
		return left->lock < right->lock ? -1 : 1;
	return memcmp(&left->tenant, &right->tenant, sizeof(pg_uuid_t));
}

/* Sorts by lock, and puts the items of a tenant together. */
static void
sort_items(LiveItem *items, int nitems)
{
	if (nitems > 1)
		qsort(items, nitems, sizeof(LiveItem), compare_items);
	for (int i = 0, first = 0; i < nitems; i++)
	{
		if (i > 0 && memcmp(&items[i].tenant, &items[first].tenant, sizeof(pg_uuid_t)) != 0)
			first = i;
		items[i].ncounts = 1;
		if (i > first)
		{
			items[first].ncounts++;
			items[first].look = items[first].look || items[i].look;
		}
	}
}

/* Lets go of the first tenants, that were locked shared. */
static void
unlock_items(const LiveItem *items, int nlocked)
{
	for (int i = 0; i < nlocked; i += items[i].ncounts)
	{
		LOCKTAG		tag;

		tenant_tag(&tag, &items[i]);
		(void) LockRelease(&tag, ShareLock, false);
	}
}

/* Can all tenants most likely be decided on by the rows that are known and the deltas? */
static bool
most_likely_known(const LiveItem *items, int nitems)
{
	for (int i = 0; i < nitems; i++)
	{
		if (items[i].look || items[i].ncounts > 1 || !rows_are_known(items[i].count))
			return false;
	}
	return true;
}

/* Reads a tenant, and tells whether it is far from its limit with so many others. */
static bool
reads_far(Ledger *ledger, LiveItem *item, LiveTenant *live, TimestampTz now, int64 others)
{
	bool		far;

	PushActiveSnapshot(GetLatestSnapshot());
	far = read_tenant(ledger, &item->tenant, item->count, GetActiveSnapshot(), live) &&
		is_up_to_date(item, live, now) && is_far(item, live, now, others);
	PopActiveSnapshot();
	return far;
}

/* Can the flag of a tenant that is locked shared stay as it is? */
static bool
may_stay(Ledger *ledger, LiveItem *item, LiveTenant *live)
{
	TimestampTz now = GetCurrentTimestamp();

	if (reads_far(ledger, item, live, now, others_at_most()))
		return true;
	/* Count those that there are, and only then read again what they did before. */
	return is_up_to_date(item, live, now) && is_far(item, live, now, 0) &&
		reads_far(ledger, item, live, now, others_now());
}

/*
 * Locks the tenants one by one, shared where that is enough.  Where the deltas
 * alone are open and that does not do, it lets go of all that it has locked, and
 * returns false.
 */
static bool
lock_items(Ledger *ledger, LiveItem *items, int nitems, bool preparing)
{
	const LiveRelations *live_rels = live_relations(false);
	LiveTenant	live = {0};
	bool		may_write = false;

	for (int i = 0; i < nitems; i += items[i].ncounts)
	{
		LiveItem   *item = &items[i];
		LOCKTAG		tag;

		tenant_tag(&tag, item);
		if (!item->look)
		{
			bool		stays;

			(void) LockAcquire(&tag, ShareLock, false, false);
			stays = may_stay(ledger, item, &live);
			if (item->count != NULL)
				keep_rows(item->count, stays ? &live : NULL);
			if (stays)
			{
				if (too_many_deltas(&live) && !preparing)
					fold_deltas(&item->tenant, &live);
				continue;
			}
			if (only_deltas_are_open(ledger))
			{
				unlock_items(items, i + item->ncounts);
				return false;
			}
			(void) LockRelease(&tag, ShareLock, false);
		}
		if (!may_write)
		{
			LockRelationOid(live_rels->coverage, RowExclusiveLock);
			may_write = true;
		}
		(void) LockAcquire(&tag, ExclusiveLock, false, false);
		item->exclusive = true;
	}
	return true;
}

/*
 * Locks the tenants, and sees to those whose flags may not stay as they are.
 */
static void
settle_items(LiveItem *items, int nitems, TimestampTz as_of, bool all_of_them, bool preparing)
{
	const LiveRelations *live_rels = live_relations(false);
	Ledger	   *ledger = open_ledger(AccessShareLock);
	int			nexclusive = 0;

	sort_items(items, nitems);

	if (all_of_them || nitems > max_tenant_locks())
	{
		open_all_tables(ledger);
		if (!all_of_them)
		{
			LiveTenant	live = {0};
			bool		far = true;

			LockRelationOid(live_rels->coverage, ShareLock);
			PushActiveSnapshot(GetLatestSnapshot());
			for (int i = 0; far && i < nitems; i += items[i].ncounts)
			{
				TimestampTz now = GetCurrentTimestamp();

				CHECK_FOR_INTERRUPTS();
				far = read_tenant(ledger, &items[i].tenant, items[i].count, GetActiveSnapshot(), &live) &&
					is_up_to_date(&items[i], &live, now) &&
					is_far(&items[i], &live, now, others_at_most());
			}
			PopActiveSnapshot();
			if (far)
			{
				close_ledger(ledger);
				return;
			}
			UnlockRelationOid(live_rels->coverage, ShareLock);
		}
		close_ledger(ledger);
		LockRelationOid(live_rels->coverage, ExclusiveLock);
		decide(items, nitems, as_of, all_of_them, preparing);
		return;
	}

	LockRelationOid(live_rels->coverage, RowShareLock);
	if (most_likely_known(items, nitems))
		open_deltas(ledger);
	else
		open_all_tables(ledger);
	while (!lock_items(ledger, items, nitems, preparing))
		open_all_tables(ledger);
	close_ledger(ledger);

	for (int i = 0; i < nitems;)
	{
		int			ncounts = items[i].ncounts;

		if (items[i].exclusive)
		{
			memmove(&items[nexclusive], &items[i], sizeof(LiveItem) * ncounts);
			nexclusive += ncounts;
		}
		i += ncounts;
	}
	if (nexclusive > 0)
		decide(items, nexclusive, as_of, false, preparing);
}

/* ---- the commit */

/* Did a transaction do nothing but heartbeats, of devices that were seen lately? */
static bool
is_heartbeat(const TenantCount *change, TimestampTz lately)
{
	return change->still && change->xact_oldest_row >= lately;
}

TimestampTz
seen_lately(TimestampTz now)
{
	Interval	shortest;
	TimestampTz since;

	if (!shortest_inactivity(&shortest) || !find_active_since(now, &shortest, &since))
		return DT_NOBEGIN;
	return look_again_at(since, &shortest);
}

/* Has the commit come so late that the heartbeats left out may be none any more? */
static bool
heartbeats_are_late(void)
{
	Interval	shortest;
	TimestampTz since;
	TimestampTz now = GetCurrentTimestamp();

	if (heartbeat_watches == NIL || !shortest_inactivity(&shortest) ||
		!find_active_since(now, &shortest, &since))
		return false;
	return now - first_heartbeat > (look_again_at(since, &shortest) - since) / 2;
}

static void
add_item(LiveItem **items, int *nitems, int *maxitems, const pg_uuid_t *tenant, TenantCount *count, bool look)
{
	LiveItem	   *item;

	if (*nitems == *maxitems)
	{
		*maxitems = Max(16, *maxitems * 2);
		*items = *items == NULL ? MemoryContextAllocHuge(CurrentMemoryContext, sizeof(LiveItem) * *maxitems) :
			repalloc_huge(*items, sizeof(LiveItem) * *maxitems);
	}
	item = &(*items)[(*nitems)++];
	memset(item, 0, sizeof(LiveItem));
	item->tenant = *tenant;
	item->lock = lock_key(tenant);
	item->count = count;
	item->look = look;
}

/* Adds the tenants that a query finds. */
static void
add_found(LiveItem **items, int *nitems, int *maxitems, LiveQuery *query, Datum *values)
{
	MemoryContext outside = CurrentMemoryContext;
	Office		office;
	uint64		n;

	enter_office(&office);
	n = run_query(query, values);
	for (uint64 i = 0; i < n; i++)
	{
		bool		isnull;
		Datum		tenant = result_value(i, 1, &isnull);
		MemoryContext inside = MemoryContextSwitchTo(outside);

		add_item(items, nitems, maxitems, DatumGetUUIDP(tenant), NULL, true);
		MemoryContextSwitchTo(inside);
	}
	leave_office(&office);
}

/* Adds those that are due; another instant than now, which is 0, has a verdict of its own on everybody. */
static void
add_due(LiveItem **items, int *nitems, int *maxitems, TimestampTz as_of)
{
	Datum		values[1];

	values[0] = TimestampTzGetDatum(GetCurrentTimestamp());
	if (as_of == 0)
		add_found(items, nitems, maxitems, &due_tenants, values);
	else
		add_found(items, nitems, maxitems, &all_tenants, NULL);
}

/* Is anything watched?  Then also whether counts of all tenants have to be made anew. */
static bool
anything_watched(bool *unknown_epoch)
{
	Office		office;
	uint64		n;

	*unknown_epoch = false;
	enter_office(&office);
	n = run_query(&all_watches, NULL);
	for (uint64 i = 0; i < n; i++)
	{
		int64		epoch = epoch_of_watch(result_int64(i, 1));

		bool		isnull;

		if (epoch != 0 &&
			(epoch != result_int64(i, 2) || DatumGetBool(result_value(i, 3, &isnull))))
			*unknown_epoch = true;
	}
	leave_office(&office);
	return n > 0;
}

static void
settle(bool preparing)
{
	MemoryContext context;
	MemoryContext old;
	LiveItem	   *items = NULL;
	int			nitems = 0;
	int			maxitems = 0;
	TimestampTz lately;
	bool		all_of_them;
	bool		unknown_epoch;
	bool		late = heartbeats_are_late();
	ListCell   *lc;

	if (likely(touched_counts == NULL && ntouched_tenants == 0 && !touched_everything &&
			   touched_watches == NIL && !refresh_wanted && !late))
		return;
	if (live_relations(true) == NULL)
		return;

	/*
	 * What pg_dump and pg_restore write turns row_security off, and comes in the
	 * order that they like.  Restored counts and flags are left as they are until
	 * all is there: everybody reads past counts of another epoch.
	 */
	if (!row_security && !refresh_wanted && (!anything_watched(&unknown_epoch) || unknown_epoch))
		return;

	if (late)
	{
		foreach(lc, heartbeat_watches)
			touch_watch(*(int64 *) lfirst(lc));
	}
	all_of_them = touched_everything || touched_watches != NIL;

	context = AllocSetContextCreate(TopTransactionContext, "live coverage", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);

	/* A prepared transaction may last. */
	lately = preparing || touched_counts == NULL ? DT_NOEND : seen_lately(GetCurrentTimestamp());
	for (TenantCount *change = touched_counts; change != NULL; change = change->next_in_transaction)
	{
		if (all_of_them || !is_heartbeat(change, lately))
			add_item(&items, &nitems, &maxitems, &change->key.tenant, change, false);
	}
	if (ntouched_tenants > 0 || all_of_them || refresh_wanted)
	{
		/* Without a watch nothing is kept, so there is nothing to see to. */
		if (anything_watched(&unknown_epoch) || touched_watches != NIL)
		{
			all_of_them = all_of_them || (refresh_wanted && unknown_epoch);
			if (all_of_them)
				add_found(&items, &nitems, &maxitems, &all_tenants, NULL);
			else if (refresh_wanted)
				add_due(&items, &nitems, &maxitems, refresh_as_of);
			for (int i = 0; i < ntouched_tenants; i++)
				add_item(&items, &nitems, &maxitems, &touched_tenants[i], NULL, true);
		}
		else
			all_of_them = false;
	}
	if (nitems > 0 || all_of_them)
		settle_items(items, nitems, refresh_wanted ? refresh_as_of : 0, all_of_them, preparing);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

/* ---- what SQL asks for */

/* The commit counts an inventory anew; until then the transaction reads it itself. */
void
touch_watch(int64 watch_id)
{
	MemoryContext old;
	int64	   *copy;
	Office		office;
	Datum		values[1];

	listen_to_transactions();
	old = MemoryContextSwitchTo(TopMemoryContext);
	copy = palloc(sizeof(int64));
	*copy = watch_id;
	touched_watches = lappend(touched_watches, copy);
	MemoryContextSwitchTo(old);

	enter_office(&office);
	values[0] = Int64GetDatum(watch_id);
	run_query(&watch_is_stale, values);
	leave_office(&office);
	CommandCounterIncrement();
}

/* limits_are_pending() */
Datum
eiot_limits_are_pending(PG_FUNCTION_ARGS)
{
	(void) fcinfo;
	PG_RETURN_BOOL(ntouched_tenants > 0 || touched_everything || touched_watches != NIL);
}

/* recount(inventory) */
Datum
eiot_recount(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(0);
	int64		watch_id;

	if (!eiot_owns_relation(relid, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, get_rel_name(relid));
	watch_id = watch_of_relation(relid);
	if (watch_id == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("%s is not watched",
						DatumGetCString(DirectFunctionCall1(regclassout, ObjectIdGetDatum(relid)))),
				 errhint("Watch it with eiot.watch(inventory).")));
	touch_watch(watch_id);
	PG_RETURN_VOID();
}

static LiveQuery dropped_objects = {
	.text = "SELECT d.object_type OPERATOR(pg_catalog.=) 'trigger' AS is_trigger FROM pg_catalog.pg_event_trigger_dropped_objects() d"
	" WHERE d.object_type OPERATOR(pg_catalog.=) ANY ('{index,table column}'::text[])"
	"  OR d.object_type OPERATOR(pg_catalog.=) 'trigger' AND pg_catalog.starts_with(d.address_names[pg_catalog.array_upper(d.address_names, 1)], 'eiot_watch_')"
	" GROUP BY 1"
};

/*
 * watch_dropped(): ON sql_drop.  A partition that is gone took rows along, and
 * nobody knows any more of which inventory; an index may be the one we need.
 */
Datum
eiot_watch_dropped(PG_FUNCTION_ARGS)
{
	Office		office;
	uint64		n;
	bool		any_trigger = false;

	if (!CALLED_AS_EVENT_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function eiot.watch_dropped must be called by an event trigger")));
	/* The extension itself may be what was dropped; and a restore knows what it does. */
	if (live_relations(true) == NULL || !row_security)
		PG_RETURN_NULL();

	enter_office(&office);
	n = run_query(&dropped_objects, NULL);
	for (uint64 i = 0; i < n; i++)
	{
		bool		isnull;

		any_trigger = any_trigger || DatumGetBool(result_value(i, 1, &isnull));
	}
	leave_office(&office);
	if (n == 0)
		PG_RETURN_NULL();

	if (any_trigger)
		touch_everything();
	check_watched_inventories(any_trigger);
	PG_RETURN_NULL();
}

/* refresh(as_of): what the commit would do, as things stand */
Datum
eiot_refresh(PG_FUNCTION_ARGS)
{
	TimestampTz as_of = PG_GETARG_TIMESTAMPTZ(0);
	TimestampTz clock = GetCurrentTimestamp();
	const LiveRelations *live = live_relations(false);
	AclResult	allowed = pg_class_aclcheck(live->tenant, GetUserId(), ACL_UPDATE);
	LiveItem   *items = NULL;
	int			nitems = 0;
	int			maxitems = 0;
	int64		nflags = 0;
	bool		unknown_epoch;
	Office		office;
	Datum		values[3];

	if (allowed != ACLCHECK_OK)
		aclcheck_error(allowed, OBJECT_TABLE, "live_tenant");
	if (TIMESTAMP_NOT_FINITE(as_of))
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("as_of must be an instant")));
	PreventCommandIfReadOnly("eiot.refresh()");
	PreventCommandDuringRecovery("eiot.refresh()");
	if (!anything_watched(&unknown_epoch))
		PG_RETURN_INT64(0);

	/* Within this transaction it is now. */
	if (as_of <= clock && as_of >= GetCurrentTransactionStartTimestamp())
		as_of = 0;
	touch_due(as_of);

	if (unknown_epoch)
		add_found(&items, &nitems, &maxitems, &all_tenants, NULL);
	else
		add_due(&items, &nitems, &maxitems, as_of);
	if (nitems == 0)
		PG_RETURN_INT64(0);
	sort_items(items, nitems);
	enter_office(&office);
	values[0] = uuid_array(items, nitems, false);
	values[1] = TimestampTzGetDatum(as_of == 0 ? clock : as_of);
	for (int units = 0; units < 2; units++)
	{
		set_count_warning_units(units != 0);
		values[2] = BoolGetDatum(units != 0);
		run_query(&flags_due, values);
		nflags += result_int64(0, 1);
	}
	leave_office(&office);
	pfree(items);
	PG_RETURN_INT64(nflags);
}
