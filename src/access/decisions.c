/*
 * decisions.c
 *		What somebody decides about devices, and what else makes them count
 *		otherwise, for the audit: triggers of inventories, one that collects rows
 *		and one that writes them down at the end of the statement.
 *
 * An import may change a million rows, so that what is written is one entry for
 * each statement, tenant and action: how many devices, and of the first
 * thousand the columns that changed.  The triggers' WHEN and list of columns
 * keep everything else away from here.
 */
#include "eiot.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

PG_FUNCTION_INFO_V1(eiot_collect_decision);
PG_FUNCTION_INFO_V1(eiot_note_departure);
PG_FUNCTION_INFO_V1(eiot_is_arrival);
PG_FUNCTION_INFO_V1(eiot_record_decisions);

/* Devices that are told one by one, of all tenants that a statement touches. */
#define MAX_LISTED 1000

/* Of a longer value there is only its length. */
#define MAX_VALUE 4096

/* Columns that people decide on, beside tenant_id; the first is the key. */
static const char *const decision_columns[] = {
	"device_id", "class_override", "excluded", "merged_into", "site", "tags"
};

/* What else makes a device count or not: told where it now does otherwise. */
static const char *const counting_columns[] = {
	"category", "type", "subtype", "os_platform", "onboarding_status", "transient", "ip", "identified_class", "class"
};

/* Changes of one kind, by one statement as a rule. */
typedef struct ChangesKey
{
	Oid			relid;			/* the table that has the row: an inventory or a partition of one */
	SubTransactionId subid;
	char		action;			/* i, u, d */
	pg_uuid_t	tenant;
} ChangesKey;

typedef struct Changes
{
	ChangesKey	key;
	int64		rows;
	StringInfo	before;			/* members of a JSON object: device_id and what it had */
	StringInfo	after;
} Changes;

/*
 * A row that an UPDATE moves to another partition is deleted from one and inserted
 * into the other right after that, and no trigger for UPDATE sees it.  The
 * conditions of the triggers for rows are evaluated at those moments: that for
 * DELETE notes here that a row went, that for INSERT asks whether one did.
 */
static Oid	departed_from = InvalidOid; /* the inventory */
static TransactionId departed_in;
static CommandId departed_by;

static MemoryContext decisions_context = NULL;
static HTAB *all_changes = NULL;
static List *changes_in_order = NIL;
static int	listed = 0;

static void
forget_decisions(void)
{
	if (decisions_context)
		MemoryContextDelete(decisions_context);
	decisions_context = NULL;
	all_changes = NULL;
	changes_in_order = NIL;
	listed = 0;
}

static void
end_of_transaction(XactEvent event, void *arg)
{
	(void) arg;
	if (event != XACT_EVENT_PRE_COMMIT && event != XACT_EVENT_PRE_PREPARE && event != XACT_EVENT_PARALLEL_PRE_COMMIT)
		forget_decisions();
}

/* What an aborted subtransaction, or one within it, collected has not happened. */
static void
end_of_subtransaction(SubXactEvent event, SubTransactionId subid, SubTransactionId parent, void *arg)
{
	ListCell   *cell;

	(void) parent;
	(void) arg;
	if (event != SUBXACT_EVENT_ABORT_SUB)
		return;
	departed_from = InvalidOid;
	foreach(cell, changes_in_order)
	{
		Changes    *changes = (Changes *) lfirst(cell);

		if (changes->key.subid >= subid)
		{
			hash_search(all_changes, &changes->key, HASH_REMOVE, NULL);
			changes_in_order = foreach_delete_current(changes_in_order, cell);
		}
	}
}

static void
listen_to_transactions(void)
{
	static bool listening = false;

	if (likely(listening))
		return;
	RegisterXactCallback(end_of_transaction, NULL);
	RegisterSubXactCallback(end_of_subtransaction, NULL);
	listening = true;
}

static Changes *
find_changes(Oid relid, char action, const pg_uuid_t *tenant)
{
	ChangesKey	key;
	Changes    *changes;
	bool		found;

	listen_to_transactions();
	if (decisions_context == NULL)
	{
		HASHCTL		control = {0};

		decisions_context = AllocSetContextCreate(TopTransactionContext, "eiot decisions", ALLOCSET_DEFAULT_SIZES);
		control.keysize = sizeof(ChangesKey);
		control.entrysize = sizeof(Changes);
		control.hcxt = decisions_context;
		all_changes = hash_create("eiot decisions", 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}

	memset(&key, 0, sizeof(key));
	key.relid = relid;
	key.subid = GetCurrentSubTransactionId();
	key.action = action;
	key.tenant = *tenant;
	changes = (Changes *) hash_search(all_changes, &key, HASH_ENTER, &found);
	if (!found)
	{
		MemoryContext old_context = MemoryContextSwitchTo(decisions_context);

		changes->rows = 0;
		changes->before = makeStringInfo();
		changes->after = makeStringInfo();
		changes_in_order = lappend(changes_in_order, changes);
		MemoryContextSwitchTo(old_context);
	}
	return changes;
}

/* A column of a row as JSON; null where the table has none of that name. */
static char *
column_json(HeapTuple tuple, TupleDesc desc, const char *column)
{
	int			attnum = SPI_fnumber(desc, column);
	static const int utc = 0;
	StringInfoData json;
	Datum		value;
	bool		isnull;
	Oid			type;
	Oid			output;
	bool		varlena;

	if (attnum <= 0)
		return pstrdup("null");
	value = heap_getattr(tuple, attnum, desc, &isnull);
	if (isnull)
		return pstrdup("null");
	type = TupleDescAttr(desc, attnum - 1)->atttypid;
	if (type == BOOLOID)
		return pstrdup(DatumGetBool(value) ? "true" : "false");
	if (type == TIMESTAMPTZOID)
	{
		char		time[MAXDATELEN + 1];

		return psprintf("\"%s\"", JsonEncodeDateTime(time, value, TIMESTAMPTZOID, &utc));
	}
	if (type == TEXTARRAYOID)
		return TextDatumGetCString(DirectFunctionCall1(array_to_json, value));
	getTypeOutputInfo(type, &output, &varlena);
	initStringInfo(&json);
	escape_json(&json, OidOutputFunctionCall(output, value));
	return json.data;
}

static void
open_device(StringInfo devices, const char *device_id)
{
	appendStringInfo(devices, "%s%s: {", devices->len > 0 ? ", " : "", device_id);
}

static void
append_member(StringInfo devices, const char *column, const char *value)
{
	const char *separator = devices->data[devices->len - 1] == '{' ? "" : ", ";

	if (strlen(value) > MAX_VALUE)
		appendStringInfo(devices, "%s\"%s\": \"%zu bytes\"", separator, column, strlen(value));
	else
		appendStringInfo(devices, "%s\"%s\": %s", separator, column, value);
}

static bool
differs(HeapTuple before, HeapTuple after, TupleDesc desc, const char *column)
{
	return strcmp(column_json(before, desc, column), column_json(after, desc, column)) != 0;
}

static void
list_column(Changes *changes, HeapTuple before, HeapTuple after, TupleDesc desc, const char *column)
{
	char	   *was = column_json(before, desc, column);
	char	   *is = column_json(after, desc, column);

	if (strcmp(was, is) == 0)
		return;
	append_member(changes->before, column, was);
	append_member(changes->after, column, is);
}

/* Nobody is seen earlier than before, but by a hand that wants a device to fall silent. */
static bool
was_put_back(HeapTuple before, HeapTuple after, TupleDesc desc)
{
	int			attnum = SPI_fnumber(desc, "last_seen");
	bool		null_before;
	bool		null_after;
	Datum		seen_before;
	Datum		seen_after;

	if (attnum <= 0 || TupleDescAttr(desc, attnum - 1)->atttypid != TIMESTAMPTZOID)
		return false;
	seen_before = heap_getattr(before, attnum, desc, &null_before);
	seen_after = heap_getattr(after, attnum, desc, &null_after);
	return !null_before && (null_after || DatumGetTimestampTz(seen_after) < DatumGetTimestampTz(seen_before));
}

/* Of an update the columns that differ, else those that hold a decision. */
static void
list_device(Changes *changes, HeapTuple before, HeapTuple after, TupleDesc desc)
{
	char	   *device_id = column_json(before ? before : after, desc, decision_columns[0]);

	if (before)
		open_device(changes->before, device_id);
	if (after)
		open_device(changes->after, device_id);
	for (size_t i = 0; i < lengthof(decision_columns); i++)
	{
		HeapTuple	only = before ? before : after;
		char	   *value;

		if (before && after)
		{
			list_column(changes, before, after, desc, decision_columns[i]);
			continue;
		}
		value = column_json(only, desc, decision_columns[i]);
		if (i > 0 && strcmp(value, "null") != 0 && strcmp(value, "false") != 0)
			append_member(before ? changes->before : changes->after, decision_columns[i], value);
	}
	if (before && after && differs(before, after, desc, "count_key"))
	{
		for (size_t i = 0; i < lengthof(counting_columns); i++)
			list_column(changes, before, after, desc, counting_columns[i]);
	}
	if (before && after && was_put_back(before, after, desc))
		list_column(changes, before, after, desc, "last_seen");
	if (before)
		appendStringInfoChar(changes->before, '}');
	if (after)
		appendStringInfoChar(changes->after, '}');
}

static void
collect(Relation rel, char action, HeapTuple before, HeapTuple after)
{
	TupleDesc	desc = RelationGetDescr(rel);
	int			attnum = SPI_fnumber(desc, "tenant_id");
	Datum		tenant;
	bool		isnull;
	Changes    *changes;

	if (attnum <= 0 || TupleDescAttr(desc, attnum - 1)->atttypid != UUIDOID)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" has no column tenant_id of type uuid", RelationGetRelationName(rel))));
	tenant = heap_getattr(after ? after : before, attnum, desc, &isnull);
	if (isnull)
		return;
	changes = find_changes(RelationGetRelid(rel), action, DatumGetUUIDP(tenant));
	changes->rows++;
	if (listed < MAX_LISTED)
	{
		listed++;
		list_device(changes, before, after, desc);
	}
}

static bool
same_tenant(HeapTuple one, HeapTuple other, TupleDesc desc)
{
	int			attnum = SPI_fnumber(desc, "tenant_id");
	bool		null_one;
	bool		null_other;
	Datum		tenant_one;
	Datum		tenant_other;

	if (attnum <= 0)
		return true;
	tenant_one = heap_getattr(one, attnum, desc, &null_one);
	tenant_other = heap_getattr(other, attnum, desc, &null_other);
	if (null_one || null_other)
		return null_one == null_other;
	return memcmp(DatumGetUUIDP(tenant_one), DatumGetUUIDP(tenant_other), UUID_LEN) == 0;
}

/* eiot.note_departure(inventory): true; the condition of the trigger for deleted rows */
Datum
eiot_note_departure(PG_FUNCTION_ARGS)
{
	listen_to_transactions();
	departed_from = PG_GETARG_OID(0);
	departed_in = GetTopTransactionIdIfAny();
	departed_by = GetCurrentCommandId(false);
	PG_RETURN_BOOL(true);
}

/* eiot.is_arrival(inventory): has the command that inserts a row just deleted one? */
Datum
eiot_is_arrival(PG_FUNCTION_ARGS)
{
	bool		departed = departed_from == PG_GETARG_OID(0) && departed_by == GetCurrentCommandId(false) &&
		departed_in == GetTopTransactionIdIfAny();

	departed_from = InvalidOid;
	PG_RETURN_BOOL(departed);
}

/* eiot.collect_decision(): trigger, after any change, for each row */
Datum
eiot_collect_decision(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;
	Relation	rel;

	if (!CALLED_AS_TRIGGER(fcinfo) ||
		!TRIGGER_FIRED_AFTER(trigdata->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigdata->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" must be fired after a row by the trigger manager",
						"eiot.collect_decision")));

	/* As in eiot.record_change(). */
	if (!row_security)
		PG_RETURN_POINTER(NULL);

	rel = trigdata->tg_relation;
	if (TRIGGER_FIRED_BY_INSERT(trigdata->tg_event))
		collect(rel, 'i', NULL, trigdata->tg_trigtuple);
	else if (TRIGGER_FIRED_BY_DELETE(trigdata->tg_event))
		collect(rel, 'd', trigdata->tg_trigtuple, NULL);
	else if (same_tenant(trigdata->tg_trigtuple, trigdata->tg_newtuple, RelationGetDescr(rel)))
		collect(rel, 'u', trigdata->tg_trigtuple, trigdata->tg_newtuple);
	else
	{
		collect(rel, 'd', trigdata->tg_trigtuple, NULL);
		collect(rel, 'i', NULL, trigdata->tg_newtuple);
	}
	PG_RETURN_POINTER(NULL);
}

static Oid
owner_of_audit(void)
{
	Oid			relid = get_relname_relid("audit", get_namespace_oid("eiot", false));

	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation \"%s\" does not exist", "eiot.audit")));
	return relation_owner(relid);
}

static Datum
entry_text(int64 rows, StringInfo devices)
{
	return CStringGetTextDatum(psprintf("{\"rows\": " INT64_FORMAT ", \"devices\": {%s}}", rows, devices->data));
}

static void
write_entry(const Changes *changes, const char *who, const char *table)
{
	Oid			types[] = {TEXTOID, UUIDOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID};
	Datum		values[6];
	char		nulls[] = "      ";
	char		action = changes->key.action;

	values[0] = CStringGetTextDatum(who);
	values[1] = UUIDPGetDatum(&changes->key.tenant);
	values[2] = CStringGetTextDatum(table);
	values[3] = CStringGetTextDatum(action == 'd' ? "DELETE" : action == 'i' ? "INSERT" : "UPDATE");
	values[4] = entry_text(changes->rows, changes->before);
	values[5] = entry_text(changes->rows, changes->after);
	if (action == 'i')
		nulls[4] = 'n';
	if (action == 'd')
		nulls[5] = 'n';
	if (SPI_execute_with_args("INSERT INTO eiot.audit (who, tenant_id, table_name, action, before, after)"
							  " VALUES ($1::pg_catalog.name, $2, $3, $4, $5::pg_catalog.jsonb, $6::pg_catalog.jsonb)",
							  6, types, values, nulls, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not write into eiot.audit");
}

/* eiot.record_decisions(): trigger, after any change, for each statement */
Datum
eiot_record_decisions(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;
	Oid			relid;
	List	   *mine = NIL;
	ListCell   *cell;
	const char *role;
	char	   *table;
	Oid			user;
	int			security_context;

	if (!CALLED_AS_TRIGGER(fcinfo) ||
		!TRIGGER_FIRED_AFTER(trigdata->tg_event) ||
		!TRIGGER_FIRED_FOR_STATEMENT(trigdata->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" must be fired after a statement by the trigger manager",
						"eiot.record_decisions")));
	if (changes_in_order == NIL)
		PG_RETURN_POINTER(NULL);

	relid = RelationGetRelid(trigdata->tg_relation);
	foreach(cell, changes_in_order)
	{
		Changes    *changes = (Changes *) lfirst(cell);

		/* What a statement around this one noted, whose subtransaction is not to be undone with ours, is left to it. */
		if (changes->key.subid < GetCurrentSubTransactionId())
			continue;
		if (changes->key.relid == relid ||
			(get_rel_relispartition(changes->key.relid) &&
			 list_member_oid(get_partition_ancestors(changes->key.relid), relid)))
			mine = lappend(mine, changes);
	}
	if (mine == NIL)
		PG_RETURN_POINTER(NULL);

	role = GetConfigOption("role", false, false);
	if (strcmp(role, "none") == 0)
		role = GetUserNameFromId(GetSessionUserId(), false);
	table = quote_qualified_identifier(get_namespace_name(RelationGetNamespace(trigdata->tg_relation)),
									   RelationGetRelationName(trigdata->tg_relation));

	/* Nobody but its owner may write to eiot.audit. */
	GetUserIdAndSecContext(&user, &security_context);
	SetUserIdAndSecContext(owner_of_audit(), security_context | SECURITY_LOCAL_USERID_CHANGE);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	foreach(cell, mine)
	{
		Changes    *changes = (Changes *) lfirst(cell);

		write_entry(changes, role, table);
		changes_in_order = list_delete_ptr(changes_in_order, changes);
		hash_search(all_changes, &changes->key, HASH_REMOVE, NULL);
	}
	SPI_finish();
	SetUserIdAndSecContext(user, security_context);
	if (changes_in_order == NIL)
		forget_decisions();
	PG_RETURN_POINTER(NULL);
}
