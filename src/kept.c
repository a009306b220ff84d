/*
 * kept.c
 *		What a backend keeps of tables of the extension, and whether it still holds.
 *
 * A copy is read when it is first used and again after one of its tables
 * changed: their trigger invalidates the table's relcache entry, which every
 * backend hears of as soon as the change is committed.  A copy is of the newest
 * committed rows, not of those that the transaction's snapshot sees: it stays.
 * While workers run no new snapshot can be taken; what is read then is forgotten
 * when the transaction ends.
 *
 * Rows are read without SPI.  A worker reads its own copy, and to it the parser,
 * the planner and their catalogs are as new as the rows.
 */
#include "kept.h"

#include "access/htup_details.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(eiot_table_changed);

static Kept *all_kept = NULL;

static void
table_changed(Datum arg, Oid relid)
{
	(void) arg;
	for (Kept *kept = all_kept; kept; kept = kept->next)
	{
		for (int i = 0; i < MAX_KEPT_TABLES && kept->tables[i]; i++)
		{
			if (relid == InvalidOid || relid == kept->relids[i])
				kept->changed = true;
		}
	}
}

static void
end_of_transaction(XactEvent event, void *arg)
{
	(void) event;
	(void) arg;
	for (Kept *kept = all_kept; kept; kept = kept->next)
	{
		if (kept->for_this_transaction)
			kept->changed = true;
		kept->for_this_transaction = false;
	}
}

/*
 * Other sessions' changes of a table are heard of when a relation is locked,
 * which a statement that only calls functions on constants never does.  So that
 * each statement sees what was committed before it, listen once in each.
 */
static void
hear_of_changes(void)
{
	static TimestampTz last_statement = 0;
	TimestampTz statement = GetCurrentStatementStartTimestamp();

	if (likely(statement == last_statement))
		return;
	last_statement = statement;
	AcceptInvalidationMessages();
}

/* To be called each time before the copy is used; if false, it is to be read. */
bool
is_current(const Kept *kept)
{
	hear_of_changes();
	return likely(kept->complete && !kept->changed);
}

/* What changes from here on makes the copy out of date again. */
void
start_keeping(Kept *kept)
{
	Oid			namespace = get_namespace_oid("eiot", false);
	bool		known = false;

	if (!all_kept)
	{
		CacheRegisterRelcacheCallback(table_changed, (Datum) 0);
		RegisterXactCallback(end_of_transaction, NULL);
	}
	for (Kept *other = all_kept; other; other = other->next)
		known |= other == kept;
	if (!known)
	{
		kept->next = all_kept;
		all_kept = kept;
	}

	kept->complete = false;
	for (int i = 0; i < MAX_KEPT_TABLES && kept->tables[i]; i++)
	{
		kept->relids[i] = get_relname_relid(kept->tables[i], namespace);
		if (!OidIsValid(kept->relids[i]))
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_TABLE),
					 errmsg("table eiot.%s does not exist", kept->tables[i]),
					 errhint("The library and the extension's SQL differ; run ALTER EXTENSION eiot UPDATE.")));
	}
	kept->changed = false;
}

void
finish_keeping(Kept *kept)
{
	kept->complete = true;
}

/* The rows of one of the copy's tables; where the attribute has this value, by an index if there is one. */
void
open_rows_where(KeptRows *rows, Kept *kept, int table, int natts,
				const char *index, AttrNumber attribute, text *value)
{
	ScanKeyData key;
	Oid			index_oid = InvalidOid;

	rows->rel = table_open(kept->relids[table], AccessShareLock);
	if (RelationGetNumberOfAttributes(rows->rel) != natts)
		elog(ERROR, "eiot.%s has %d columns", kept->tables[table], RelationGetNumberOfAttributes(rows->rel));
	if (value)
	{
		index_oid = get_relname_relid(index, RelationGetNamespace(rows->rel));
		ScanKeyEntryInitialize(&key, 0, attribute, BTEqualStrategyNumber, InvalidOid,
							   TupleDescAttr(RelationGetDescr(rows->rel), attribute - 1)->attcollation,
							   F_TEXTEQ, PointerGetDatum(value));
	}
	if (IsInParallelMode())
	{
		kept->for_this_transaction = true;
		rows->snapshot = RegisterSnapshot(GetActiveSnapshot());
	}
	else
		rows->snapshot = RegisterSnapshot(GetLatestSnapshot());
	rows->scan = systable_beginscan(rows->rel, index_oid, OidIsValid(index_oid), rows->snapshot,
									value ? 1 : 0, &key);
}

void
open_rows(KeptRows *rows, Kept *kept, int table, int natts)
{
	open_rows_where(rows, kept, table, natts, NULL, InvalidAttrNumber, NULL);
}

/* The next row, in no order; false after the last.  Its values are gone with the next call. */
bool
next_row(KeptRows *rows, Datum *values, bool *nulls)
{
	HeapTuple	tuple = systable_getnext(rows->scan);

	CHECK_FOR_INTERRUPTS();
	if (!HeapTupleIsValid(tuple))
		return false;
	heap_deform_tuple(tuple, RelationGetDescr(rows->rel), values, nulls);
	return true;
}

void
close_rows(KeptRows *rows)
{
	systable_endscan(rows->scan);
	UnregisterSnapshot(rows->snapshot);
	table_close(rows->rel, AccessShareLock);
}

/* eiot.table_changed(), trigger */
Datum
eiot_table_changed(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) ||
		!TRIGGER_FIRED_AFTER(trigdata->tg_event) ||
		!TRIGGER_FIRED_FOR_STATEMENT(trigdata->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" must be fired after a statement by the trigger manager",
						"eiot.table_changed")));
	CacheInvalidateRelcacheByRelid(RelationGetRelid(trigdata->tg_relation));
	PG_RETURN_POINTER(NULL);
}
