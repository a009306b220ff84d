/*
 * changes.c
 *		The statement triggers: what a statement did to whose counts.
 *
 * A trigger knows no clock.  It judges old and new rows by the instant that the
 * tenant's devices were last counted for (active_since), so that a heartbeat of
 * a device that counts adds nothing and writes nothing.  What time alone changes
 * is found by whoever reads; see commit.c.
 *
 * What a statement does to a partitioned inventory, or to a partition, comes in
 * transition tables: rows that an UPDATE moves are in them as what they are.  Other
 * tables have none, as copying each row is most of what watching would cost.  There
 * triggers for rows collect what counting depends on, and of updated rows only
 * those that may count otherwise than before, which the trigger's condition tells;
 * the trigger for the statement counts them.
 */
#include "watch.h"

#include "access/table.h"
#include "access/twophase.h"
#include "access/xact.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "replication/logicalworker.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "coverage/counting.h"

PG_FUNCTION_INFO_V1(eiot_watch_changed);
PG_FUNCTION_INFO_V1(eiot_watch_row_changed);
PG_FUNCTION_INFO_V1(eiot_may_count_otherwise);
PG_FUNCTION_INFO_V1(eiot_watch_applied);
PG_FUNCTION_INFO_V1(eiot_watch_truncated);
PG_FUNCTION_INFO_V1(eiot_tenant_changed);

/* More tenants than this are forgotten when a transaction ends. */
#define MAX_KNOWN_TENANTS 100000

/* So many devices that were collected are counted before the statement ends. */
#define MAX_COLLECTED 262144

static HTAB *counts = NULL;
static uint64 statement_number = 0;

/*
 * Where the server mixes up what a MERGE updates and inserts: the statement, if
 * it was the last, that updated a partitioned table.  Its trigger for INSERT
 * comes right after that for UPDATE.  Which rows were mixed up nobody can tell,
 * but their tenants, which the commit then counts anew.
 */
static uint64 updated_partitions = 0;

static bool
merge_mixes_up_rows(void)
{
	static int	version = 0;

	if (unlikely(version == 0))
		version = pg_strtoint32(GetConfigOption("server_version_num", false, false));
	return MERGE_MIXES_UP_ROWS(version);
}

/* What this backend knows of a tenant; a new entry knows nothing. */
TenantCount *
tenant_count(int64 watch_id, const pg_uuid_t *tenant)
{
	TenantKey	key;
	TenantCount *count;
	bool		found;

	if (counts == NULL)
	{
		HASHCTL		ctl = {.keysize = sizeof(TenantKey), .entrysize = sizeof(TenantCount)};

		counts = hash_create("tenants of watched inventories", 128, &ctl, HASH_ELEM | HASH_BLOBS);
	}
	key.watch_id = watch_id;
	key.tenant = *tenant;
	count = hash_search(counts, &key, HASH_ENTER, &found);
	if (!found)
		memset((char *) count + sizeof(TenantKey), 0, sizeof(TenantCount) - sizeof(TenantKey));
	return count;
}

/* To be called where no transaction uses them. */
void
forget_counts(void)
{
	if (counts != NULL && hash_get_num_entries(counts) > MAX_KNOWN_TENANTS)
	{
		hash_destroy(counts);
		counts = NULL;
	}
}

/* ---- one statement */

typedef struct Statement
{
	WatchedTable *table;
	int64		watch_id;
	ExprState  *count_key;
	ExprContext *econtext;
	Ledger	   *ledger;
	TenantCount *last;			/* the row before was of this one, most likely */
	TenantCount *tenants;
} Statement;

static void
learn(Statement *statement, TenantCount *tenant)
{
	if (statement->ledger == NULL)
		statement->ledger = open_ledger(RowExclusiveLock);
	PushActiveSnapshot(GetLatestSnapshot());
	tenant->known = read_count(statement->ledger, tenant, GetActiveSnapshot(), &tenant->count) &&
		tenant->count.epoch == statement->table->epoch;
	PopActiveSnapshot();
}

static TenantCount *
tenant_of_row(Statement *statement, const pg_uuid_t *id)
{
	TenantCount *tenant = statement->last;

	if (tenant != NULL && memcmp(&tenant->key.tenant, id, sizeof(pg_uuid_t)) == 0)
		return tenant;
	tenant = tenant_count(statement->watch_id, id);
	if (tenant->statement != statement_number)
	{
		if (!tenant->known)
			learn(statement, tenant);
		tenant->statement = statement_number;
		tenant->devices = 0;
		tenant->counted = 0;
		tenant->keys_moved = 0;
		tenant->oldest_row = NEVER_SILENT;
		tenant->oldest_counted = NEVER_SILENT;
		tenant->oldest_new = NEVER_SILENT;
		tenant->outdated = false;
		tenant->next_in_statement = statement->tenants;
		statement->tenants = tenant;
	}
	statement->last = tenant;
	return tenant;
}

/* What of a row counting depends on. */
typedef struct Device
{
	pg_uuid_t	tenant;
	int16		key;
	int8		sign;			/* 1: there is one more, -1: one less */
	TimestampTz last_seen;
} Device;

/* False for a device of no tenant. */
static bool
read_device(const WatchedTable *table, ExprState *count_key, ExprContext *econtext, TupleTableSlot *slot,
			Device *device)
{
	Datum		value;
	bool		isnull;

	value = slot_getattr(slot, table->tenant_column, &isnull);
	if (isnull)
		return false;
	device->tenant = *DatumGetUUIDP(value);
	if (count_key == NULL)
		value = slot_getattr(slot, table->count_key_column, &isnull);
	else
	{
		econtext->ecxt_scantuple = slot;
		value = ExecEvalExprSwitchContext(count_key, econtext, &isnull);
		ResetExprContext(econtext);
	}
	device->key = isnull ? -1 : DatumGetInt16(value);
	device->last_seen = NEVER_SILENT;
	if (table->last_seen_column != 0)
	{
		value = slot_getattr(slot, table->last_seen_column, &isnull);
		if (!isnull)
			device->last_seen = DatumGetTimestampTz(value);
	}
	return true;
}

static void
count_device(Statement *statement, const Device *device, int sign)
{
	TenantCount *tenant = tenant_of_row(statement, &device->tenant);
	TimestampTz last_seen = device->last_seen;
	int			key = device->key;

	tenant->devices += sign;
	tenant->keys_moved += sign * (int64) (((uint64) key + 3) * UINT64CONST(0x9E3779B97F4A7C15) >> 8);
	tenant->oldest_row = Min(tenant->oldest_row, last_seen);
	if (key < 0 || key >= NUM_KEYS || !tenant->known ||
		((uint64) tenant->count.counted_keys >> key & 1) == 0 || last_seen < tenant->count.active_since)
		return;
	tenant->counted += sign;
	tenant->oldest_counted = Min(tenant->oldest_counted, last_seen);
	if (sign > 0)
		tenant->oldest_new = Min(tenant->oldest_new, last_seen);
}

static void
count_row(Statement *statement, TupleTableSlot *slot, int sign)
{
	Device		device;

	if (read_device(statement->table, statement->count_key, statement->econtext, slot, &device))
		count_device(statement, &device, sign);
}

static void
count_rows(Statement *statement, Tuplestorestate *rows, TupleTableSlot *slot, int sign)
{
	if (rows == NULL)
		return;
	/* Another trigger may have read them before. */
	tuplestore_select_read_pointer(rows, 0);
	tuplestore_rescan(rows);
	while (tuplestore_gettupleslot(rows, true, false, slot))
	{
		CHECK_FOR_INTERRUPTS();
		count_row(statement, slot, sign);
	}
	ExecClearTuple(slot);
}

/* ---- rows that are collected */

/*
 * What a trigger for rows collected of a table, until the trigger for the
 * statement comes, or that of another statement within this one.  What an aborted
 * subtransaction collected has not happened.
 */
typedef struct ChangedRows
{
	MemoryContext context;
	Oid			relid;
	SubTransactionId subid;
	ExprState  *count_key;
	ExprContext *econtext;
	int64		ndevices;
	int64		maxdevices;
	Device	   *devices;
	struct ChangedRows *next;
} ChangedRows;

static ChangedRows *changed_rows = NULL;

static void
forget_changed_rows(XactEvent event, void *arg)
{
	(void) arg;
	/* They lie in the transaction's memory. */
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
		changed_rows = NULL;
}

static void
forget_undone_rows(SubXactEvent event, SubTransactionId subid, SubTransactionId parent, void *arg)
{
	ChangedRows **link = &changed_rows;

	(void) parent;
	(void) arg;
	if (event != SUBXACT_EVENT_ABORT_SUB)
		return;
	while (*link != NULL)
	{
		ChangedRows *rows = *link;

		if (rows->subid >= subid)
		{
			*link = rows->next;
			MemoryContextDelete(rows->context);
		}
		else
			link = &rows->next;
	}
}

static ChangedRows *
changed_rows_of(Relation rel, const WatchedTable *table)
{
	static bool listening = false;
	Oid			relid = RelationGetRelid(rel);
	SubTransactionId subid = GetCurrentSubTransactionId();
	ChangedRows *rows;
	MemoryContext context;
	MemoryContext old;

	for (rows = changed_rows; rows != NULL; rows = rows->next)
	{
		if (rows->relid == relid && rows->subid == subid)
			return rows;
	}
	if (!listening)
	{
		RegisterXactCallback(forget_changed_rows, NULL);
		RegisterSubXactCallback(forget_undone_rows, NULL);
		listening = true;
	}
	context = AllocSetContextCreate(TopTransactionContext, "changed rows", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	rows = palloc0(sizeof(ChangedRows));
	rows->context = context;
	rows->relid = relid;
	rows->subid = subid;
	rows->maxdevices = 64;
	rows->devices = palloc(sizeof(Device) * rows->maxdevices);
	if (table->count_key != NULL)
	{
		EState	   *estate = CreateExecutorState();

		rows->econtext = GetPerTupleExprContext(estate);
		rows->count_key = ExecPrepareExpr((Expr *) table->count_key, estate);
	}
	MemoryContextSwitchTo(old);
	rows->next = changed_rows;
	changed_rows = rows;
	return rows;
}

static void
add_device(ChangedRows *rows, const WatchedTable *table, TupleTableSlot *slot, int sign)
{
	Device	   *device;

	if (rows->ndevices == rows->maxdevices)
	{
		rows->maxdevices *= 2;
		rows->devices = repalloc_huge(rows->devices, sizeof(Device) * rows->maxdevices);
	}
	device = &rows->devices[rows->ndevices];
	if (!read_device(table, rows->count_key, rows->econtext, slot, device))
		return;
	device->sign = sign;
	rows->ndevices++;
}

/*
 * Takes what was collected of a table, but for what a statement around this one
 * did whose subtransaction may outlive ours.
 */
static ChangedRows *
take_changed_rows(Oid relid)
{
	ChangedRows **link = &changed_rows;
	ChangedRows *taken = NULL;

	while (*link != NULL)
	{
		ChangedRows *rows = *link;

		if (rows->relid == relid && rows->subid >= GetCurrentSubTransactionId())
		{
			*link = rows->next;
			rows->next = taken;
			taken = rows;
		}
		else
			link = &rows->next;
	}
	return taken;
}

/*
 * may_count_otherwise(old_tenant, new_tenant, old_key, new_key, old_seen, new_seen)
 *
 * False for a heartbeat, as commit.c has it.  The commit sees that it comes soon
 * enough after the statement.  A transaction that is prepared may last, and nobody
 * knows before its end whether it will be.
 */
Datum
eiot_may_count_otherwise(PG_FUNCTION_ARGS)
{
	static TimestampTz as_of = 0;
	static TimestampTz lately;
	TimestampTz now = GetCurrentStatementStartTimestamp();

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_BOOL(!PG_ARGISNULL(0) || !PG_ARGISNULL(1));
	if (max_prepared_xacts > 0 ||
		memcmp(PG_GETARG_UUID_P(0), PG_GETARG_UUID_P(1), sizeof(pg_uuid_t)) != 0 ||
		PG_ARGISNULL(2) != PG_ARGISNULL(3) ||
		(!PG_ARGISNULL(2) && PG_GETARG_INT16(2) != PG_GETARG_INT16(3)))
		PG_RETURN_BOOL(true);
	if (now != as_of || !inactivity_is_known())
	{
		lately = seen_lately(now);
		as_of = now;
	}
	PG_RETURN_BOOL((!PG_ARGISNULL(4) && PG_GETARG_TIMESTAMPTZ(4) < lately) ||
				   (!PG_ARGISNULL(5) && PG_GETARG_TIMESTAMPTZ(5) < lately));
}

/* ---- the statement */

/*
 * The instant counted for is taken from what was read some time ago.  Where a
 * row lies below what it may have become since, it is worth another look: else
 * the commit would find out, and count all of the tenant's devices.
 */
static bool
learn_again(Statement *statement)
{
	bool		changed = false;

	for (TenantCount *tenant = statement->tenants; tenant != NULL; tenant = tenant->next_in_statement)
	{
		TimestampTz known = tenant->count.active_since;
		TimestampTz since;

		if (!tenant->known || !tenant->count.expires || tenant->outdated ||
			!find_active_since(GetCurrentStatementStartTimestamp(), &tenant->count.inactive_after, &since) ||
			tenant->oldest_counted >= since)
			continue;
		tenant->outdated = true;
		learn(statement, tenant);
		if (!tenant->known || tenant->count.active_since != known)
			changed = true;
	}
	return changed;
}

static void
reset_statement(Statement *statement)
{
	statement_number++;
	statement->tenants = NULL;
	statement->last = NULL;
}

static void
count_changes(Statement *statement, Tuplestorestate *old_rows, Tuplestorestate *new_rows, TupleTableSlot *slot,
			  const ChangedRows *collected)
{
	reset_statement(statement);
	count_rows(statement, old_rows, slot, -1);
	count_rows(statement, new_rows, slot, 1);
	for (; collected != NULL; collected = collected->next)
	{
		for (int64 i = 0; i < collected->ndevices; i++)
		{
			CHECK_FOR_INTERRUPTS();
			count_device(statement, &collected->devices[i], collected->devices[i].sign);
		}
	}
}

static bool
is_empty(Tuplestorestate *rows)
{
	return rows == NULL || tuplestore_tuple_count(rows) == 0;
}

/* Counts what comes in transition tables, and what was collected. */
static void
count_statement(Relation rel, int64 watch_id, Tuplestorestate *old_rows, Tuplestorestate *new_rows,
				const ChangedRows *collected)
{
	Statement	statement = {.watch_id = watch_id,.table = watched_table(rel)};
	TupleTableSlot *slot = NULL;
	EState	   *estate = NULL;
	bool		wrote = false;

	if (old_rows != NULL || new_rows != NULL)
	{
		slot = MakeSingleTupleTableSlot(RelationGetDescr(rel), &TTSOpsMinimalTuple);
		if (statement.table->count_key != NULL)
		{
			estate = CreateExecutorState();
			statement.econtext = GetPerTupleExprContext(estate);
			statement.count_key = ExecPrepareExpr((Expr *) statement.table->count_key, estate);
		}
	}

	count_changes(&statement, old_rows, new_rows, slot, collected);
	if (learn_again(&statement))
		count_changes(&statement, old_rows, new_rows, slot, collected);

	for (TenantCount *tenant = statement.tenants; tenant != NULL; tenant = tenant->next_in_statement)
	{
		bool		lowers;

		touch_count(tenant);
		if (!tenant->known)
			continue;
		/* A device may fall silent earlier than anybody knows of. */
		lowers = tenant->count.expires &&
			tenant->oldest_new < look_again_at(tenant->count.active_since, &tenant->count.inactive_after);
		if (tenant->devices == 0 && tenant->counted == 0 && !lowers)
			continue;
		if (statement.ledger == NULL)
			statement.ledger = open_ledger(RowExclusiveLock);
		write_delta(statement.ledger, tenant, tenant->devices, tenant->counted,
					lowers ? tenant->oldest_new : NEVER_SILENT);
		wrote = true;
	}

	if (statement.ledger != NULL)
		close_ledger(statement.ledger);
	if (estate != NULL)
		FreeExecutorState(estate);
	if (slot != NULL)
		ExecDropSingleTupleTableSlot(slot);
	/* What follows in this transaction reads the counts as they are now. */
	if (wrote)
		CommandCounterIncrement();
}

static int64
watch_of_trigger(const TriggerData *trigger)
{
	return strtoll(trigger->tg_trigger->tgargs[0], NULL, 10);
}

/*
 * watch_changed(watch_id): AFTER INSERT, UPDATE or DELETE FOR EACH STATEMENT
 */
Datum
eiot_watch_changed(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	ChangedRows *collected = NULL;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_AFTER(trigger->tg_event) ||
		!TRIGGER_FIRED_FOR_STATEMENT(trigger->tg_event) || trigger->tg_trigger->tgnargs != 1)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function eiot.watch_changed must be called by the triggers that eiot.watch() makes")));

	if (trigger->tg_newtable == NULL && trigger->tg_oldtable == NULL)
	{
		if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
			touch_heartbeats(watch_of_trigger(trigger));
		collected = take_changed_rows(RelationGetRelid(trigger->tg_relation));
	}
	/* Most triggers of an upsert have nothing to see. */
	if (collected == NULL && is_empty(trigger->tg_newtable) && is_empty(trigger->tg_oldtable))
		return PointerGetDatum(NULL);

	if (merge_mixes_up_rows() && TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
		recount_tenants_of(updated_partitions);
	count_statement(trigger->tg_relation, watch_of_trigger(trigger), trigger->tg_oldtable, trigger->tg_newtable,
					collected);
	if (merge_mixes_up_rows())
		updated_partitions =
			TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) &&
			trigger->tg_relation->rd_rel->relkind == RELKIND_PARTITIONED_TABLE ? statement_number : 0;

	while (collected != NULL)
	{
		ChangedRows *next = collected->next;

		MemoryContextDelete(collected->context);
		collected = next;
	}
	return PointerGetDatum(NULL);
}

/*
 * watch_row_changed(watch_id): AFTER INSERT or DELETE FOR EACH ROW, and AFTER
 * UPDATE FOR EACH ROW WHEN may_count_otherwise(...)
 */
Datum
eiot_watch_row_changed(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	const WatchedTable *table;
	ChangedRows *rows;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_AFTER(trigger->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigger->tg_event) || trigger->tg_trigger->tgnargs != 1)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function eiot.watch_row_changed must be called by the triggers that eiot.watch() makes")));
	/* Nor does the trigger for the statement come there; see watch_applied. */
	if (IsLogicalWorker())
		return PointerGetDatum(NULL);

	table = watched_table(trigger->tg_relation);
	rows = changed_rows_of(trigger->tg_relation, table);
	add_device(rows, table, trigger->tg_trigslot, TRIGGER_FIRED_BY_INSERT(trigger->tg_event) ? 1 : -1);
	if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
		add_device(rows, table, trigger->tg_newslot, 1);
	if (rows->ndevices >= MAX_COLLECTED)
	{
		ChangedRows alone = *rows;

		alone.next = NULL;
		count_statement(trigger->tg_relation, watch_of_trigger(trigger), NULL, NULL, &alone);
		rows->ndevices = 0;
	}
	return PointerGetDatum(NULL);
}

/*
 * watch_applied(watch_id): AFTER INSERT, UPDATE or DELETE FOR EACH ROW
 *
 * The apply worker of a subscription fires triggers of rows alone.  Rows come one
 * by one, and what subtransactions take back is not told, so the commit counts the
 * tenants anew, but for heartbeats.  (The initial copy fires both kinds; that the
 * other one has counted does no harm.)
 */
Datum
eiot_watch_applied(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	Statement	statement = {0};
	EState	   *estate = NULL;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_AFTER(trigger->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigger->tg_event) || trigger->tg_trigger->tgnargs != 1)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function eiot.watch_applied must be called by the trigger that eiot.watch() makes")));
	if (!IsLogicalWorker())
		return PointerGetDatum(NULL);

	statement.table = watched_table(trigger->tg_relation);
	statement.watch_id = watch_of_trigger(trigger);
	if (statement.table->count_key != NULL)
	{
		estate = CreateExecutorState();
		statement.econtext = GetPerTupleExprContext(estate);
		statement.count_key = ExecPrepareExpr((Expr *) statement.table->count_key, estate);
	}
	reset_statement(&statement);
	count_row(&statement, trigger->tg_trigslot, TRIGGER_FIRED_BY_INSERT(trigger->tg_event) ? 1 : -1);
	if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
		count_row(&statement, trigger->tg_newslot, 1);
	for (TenantCount *tenant = statement.tenants; tenant != NULL; tenant = tenant->next_in_statement)
	{
		touch_count(tenant);
		if (tenant->devices != 0 || tenant->counted != 0 || tenant->keys_moved != 0)
			tenant->recount = true;
	}
	if (statement.ledger != NULL)
		close_ledger(statement.ledger);
	if (estate != NULL)
		FreeExecutorState(estate);
	return PointerGetDatum(NULL);
}

/* watch_truncated(watch_id): AFTER TRUNCATE FOR EACH STATEMENT */
Datum
eiot_watch_truncated(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_AFTER(trigger->tg_event) ||
		!TRIGGER_FIRED_FOR_STATEMENT(trigger->tg_event) || trigger->tg_trigger->tgnargs != 1)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function eiot.watch_truncated must be called by the trigger that eiot.watch() makes")));
	touch_watch(watch_of_trigger(trigger));
	return PointerGetDatum(NULL);
}

static void
touch_row(TupleTableSlot *slot, AttrNumber column)
{
	bool		isnull;
	Datum		tenant = slot_getattr(slot, column, &isnull);

	if (!isnull)
		touch_tenant(DatumGetUUIDP(tenant));
}

static void
touch_rows(Tuplestorestate *rows, TupleTableSlot *slot, AttrNumber column)
{
	if (rows == NULL)
		return;
	tuplestore_select_read_pointer(rows, 0);
	tuplestore_rescan(rows);
	while (tuplestore_gettupleslot(rows, true, false, slot))
	{
		CHECK_FOR_INTERRUPTS();
		touch_row(slot, column);
	}
	ExecClearTuple(slot);
}

/*
 * tenant_changed(): AFTER any statement on a table of the extension's, FOR EACH
 * STATEMENT, and FOR EACH ROW that a subscription applies.  A statement without
 * transition tables concerns all tenants.  With argument 'lock' it waits for the
 * writers of watched inventories, and keeps others out: the commit relies on what
 * it knows of the rules; see commit.c.
 */
Datum
eiot_tenant_changed(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	TupleTableSlot *slot;
	AttrNumber	column;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_AFTER(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function eiot.tenant_changed must be called by a trigger that fires after each statement or row")));

	if (trigger->tg_trigger->tgnargs > 0)
	{
		CacheInvalidateRelcache(trigger->tg_relation);
		lock_watched_inventories();
	}
	if (TRIGGER_FIRED_FOR_STATEMENT(trigger->tg_event) &&
		trigger->tg_newtable == NULL && trigger->tg_oldtable == NULL)
	{
		touch_everything();
		return PointerGetDatum(NULL);
	}
	column = get_attnum(RelationGetRelid(trigger->tg_relation), "tenant_id");
	if (column == InvalidAttrNumber)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("table \"%s\" has no column tenant_id",
						RelationGetRelationName(trigger->tg_relation))));
	if (TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
	{
		touch_row(trigger->tg_trigslot, column);
		if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
			touch_row(trigger->tg_newslot, column);
		return PointerGetDatum(NULL);
	}
	slot = MakeSingleTupleTableSlot(RelationGetDescr(trigger->tg_relation), &TTSOpsMinimalTuple);
	touch_rows(trigger->tg_oldtable, slot, column);
	touch_rows(trigger->tg_newtable, slot, column);
	ExecDropSingleTupleTableSlot(slot);
	return PointerGetDatum(NULL);
}
