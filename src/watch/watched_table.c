/*
 * watched_table.c
 *		Which tables are watched, and what this backend keeps of them.
 *
 * Names change and OIDs are others after a restore, so nothing but the triggers
 * and the index that eiot.watch() made says what is watched, and how: the
 * triggers name the watch, by a number; the index has the columns that matter,
 * and the count key in its condition.  PostgreSQL keeps both right through
 * renames, ATTACH PARTITION, dump and restore.
 */
#include "watch.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xlog.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "common/hashfn.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/ruleutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "coverage/counting.h"

PG_FUNCTION_INFO_V1(eiot_live_changed);
PG_FUNCTION_INFO_V1(eiot_countable);
PG_FUNCTION_INFO_V1(eiot_watched_relation);
PG_FUNCTION_INFO_V1(eiot_watch_epoch);
PG_FUNCTION_INFO_V1(eiot_watch_shape);

typedef struct KnownWatch
{
	int64		watch_id;		/* hash key */
	Oid			root;
	int64		epoch;
} KnownWatch;

static LiveRelations live;
static bool live_known = false;
static uint64 generation = 1;
static HTAB *tables = NULL;
static HTAB *watches = NULL;
static bool only_known = false;
static int64 only;

/* The shortest inactive_after of all counting rules. */
static bool shortest_known = false;
static bool shortest_exists;
static Interval shortest;
static Oid	counting_rule = InvalidOid;

static void
relation_changed(Datum arg, Oid relid)
{
	(void) arg;
	if (OidIsValid(relid) && relid == live.change)
	{
		generation++;
		return;
	}
	only_known = false;
	if (!OidIsValid(relid) || relid == live.tenant || relid == live.count ||
		relid == live.delta || relid == live.coverage)
	{
		live_known = false;
		generation++;
	}
	if (!OidIsValid(relid) || relid == counting_rule)
		shortest_known = false;
	if (tables != NULL)
	{
		HASH_SEQ_STATUS status;
		WatchedTable *table;

		if (OidIsValid(relid))
		{
			table = hash_search(tables, &relid, HASH_FIND, NULL);
			if (table != NULL)
				table->valid = false;
		}
		else
		{
			hash_seq_init(&status, tables);
			while ((table = hash_seq_search(&status)) != NULL)
				table->valid = false;
		}
	}
	if (watches != NULL)
	{
		HASH_SEQ_STATUS status;
		KnownWatch *watch;

		hash_seq_init(&status, watches);
		while ((watch = hash_seq_search(&status)) != NULL)
		{
			if (!OidIsValid(relid) || watch->root == relid)
				hash_search(watches, &watch->watch_id, HASH_REMOVE, NULL);
		}
	}
}

static void
listen_once(void)
{
	static bool registered = false;

	if (registered)
		return;
	CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
	registered = true;
}

/*
 * The bookkeeping's relations; NULL, where that is no error, if the extension is
 * not there.
 */
const LiveRelations *
live_relations(bool missing_ok)
{
	Oid			namespace;

	if (likely(live_known))
		return &live;
	listen_once();
	namespace = get_namespace_oid("eiot", missing_ok);
	if (!OidIsValid(namespace))
		return NULL;
	live.tenant = get_relname_relid("live_tenant", namespace);
	live.tenant_pkey = get_relname_relid("live_tenant_pkey", namespace);
	live.count = get_relname_relid("live_count", namespace);
	live.count_pkey = get_relname_relid("live_count_pkey", namespace);
	live.delta = get_relname_relid("live_delta", namespace);
	live.delta_pkey = get_relname_relid("live_delta_pkey", namespace);
	live.coverage = get_relname_relid("tenant_coverage", namespace);
	live.change = get_relname_relid("live_change", namespace);
	if (!OidIsValid(live.tenant) || !OidIsValid(live.tenant_pkey) ||
		!OidIsValid(live.count) || !OidIsValid(live.count_pkey) ||
		!OidIsValid(live.delta) || !OidIsValid(live.delta_pkey) ||
		!OidIsValid(live.coverage) || !OidIsValid(live.change))
	{
		if (missing_ok)
			return NULL;
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("tables of live coverage are missing in schema eiot"),
				 errhint("The library and the extension's SQL differ; run ALTER EXTENSION eiot UPDATE.")));
	}
	live_known = true;
	return &live;
}

/*
 * A number that is another one after anybody has committed a change of
 * eiot.live_tenant or eiot.live_count, or undone his own.  Their triggers say so by
 * way of the relation cache, of a relation that nobody has in it: PostgreSQL tells
 * all backends before the transaction lets go of its locks, and those who have one
 * of them after it hear of it here.
 */
uint64
live_generation(void)
{
	(void) live_relations(false);
	AcceptInvalidationMessages();
	return generation;
}

/* live_changed(): AFTER any statement that writes eiot.live_tenant or eiot.live_count */
Datum
eiot_live_changed(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function eiot.live_changed must be called by a trigger")));
	CacheInvalidateRelcacheByRelid(live_relations(false)->change);
	return PointerGetDatum(NULL);
}

/*
 * Counters are right for the table that they were counted of, in the database
 * where that was done.  Restored ones, and those of a copied database, name
 * another epoch and are counted anew.
 */
int64
watch_epoch(Oid root)
{
	struct
	{
		uint64		system;
		Oid			database;
		Oid			root;
	}			place;

	place.system = GetSystemIdentifier();
	place.database = MyDatabaseId;
	place.root = root;
	/* 0 marks counters as out of date. */
	return (int64) (hash_bytes_extended((unsigned char *) &place, sizeof(place), 0) | 1);
}

/* ---- the triggers */

/* The watch that a trigger's argument names, 0 if it names none. */
static int64
watch_of_argument(const char *argument)
{
	char	   *end;
	int64		watch_id = strtoll(argument, &end, 10);

	return *end == '\0' && watch_id > 0 ? watch_id : 0;
}

static Oid
trigger_function(void)
{
	Oid			namespace = get_namespace_oid("eiot", true);
	oidvector  *no_arguments;

	if (!OidIsValid(namespace))
		return InvalidOid;
	no_arguments = buildoidvector(NULL, 0);
	return GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid,
						   CStringGetDatum("watch_changed"),
						   PointerGetDatum(no_arguments),
						   ObjectIdGetDatum(namespace));
}

static void
find_watch_of_trigger(Relation pg_trigger, Oid oid, Oid function)
{
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_trigger_oid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(oid));
	scan = systable_beginscan(pg_trigger, TriggerOidIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_trigger trigger = (Form_pg_trigger) GETSTRUCT(tuple);
		Datum		arguments;
		bool		isnull;
		int64		watch_id;
		KnownWatch *watch;

		if (trigger->tgfoid != function || trigger->tgnargs != 1 ||
			get_rel_relispartition(trigger->tgrelid))
			continue;
		arguments = heap_getattr(tuple, Anum_pg_trigger_tgargs, RelationGetDescr(pg_trigger), &isnull);
		if (isnull)
			continue;
		watch_id = watch_of_argument(VARDATA_ANY(DatumGetByteaPP(arguments)));
		if (watch_id == 0)
			continue;
		watch = hash_search(watches, &watch_id, HASH_ENTER, NULL);
		watch->root = trigger->tgrelid;
		watch->epoch = watch_epoch(watch->root);
	}
	systable_endscan(scan);
}

/* Finds the inventories by their triggers: whatever has ours and is no partition. */
static void
find_watches(void)
{
	Oid			function = trigger_function();
	Relation	pg_trigger;
	Relation	pg_depend;
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	if (watches == NULL)
	{
		HASHCTL		ctl = {.keysize = sizeof(int64), .entrysize = sizeof(KnownWatch)};

		listen_once();
		watches = hash_create("watched inventories", 16, &ctl, HASH_ELEM | HASH_BLOBS);
	}
	if (!OidIsValid(function))
		return;

	/* By what depends on the function: pg_trigger has no index for it. */
	pg_trigger = table_open(TriggerRelationId, AccessShareLock);
	pg_depend = table_open(DependRelationId, AccessShareLock);
	ScanKeyInit(&keys[0], Anum_pg_depend_refclassid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(ProcedureRelationId));
	ScanKeyInit(&keys[1], Anum_pg_depend_refobjid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(function));
	scan = systable_beginscan(pg_depend, DependReferenceIndexId, true, NULL, 2, keys);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_depend depend = (Form_pg_depend) GETSTRUCT(tuple);

		if (depend->classid == TriggerRelationId)
			find_watch_of_trigger(pg_trigger, depend->objid, function);
	}
	systable_endscan(scan);
	table_close(pg_depend, AccessShareLock);
	table_close(pg_trigger, AccessShareLock);
}

/*
 * The watch, if there is exactly one, else 0.  Any change of a table may have
 * made it two.
 */
int64
only_watch(void)
{
	if (unlikely(!only_known))
	{
		HASH_SEQ_STATUS status;
		KnownWatch *watch;

		only_known = true;
		find_watches();
		only = 0;
		if (hash_get_num_entries(watches) == 1)
		{
			hash_seq_init(&status, watches);
			while ((watch = hash_seq_search(&status)) != NULL)
				only = watch->watch_id;
		}
	}
	return only;
}

static KnownWatch *
known_watch(int64 watch_id)
{
	KnownWatch *watch = NULL;

	if (watches != NULL)
		watch = hash_search(watches, &watch_id, HASH_FIND, NULL);
	if (watch == NULL)
	{
		find_watches();
		watch = hash_search(watches, &watch_id, HASH_FIND, NULL);
	}
	return watch;
}

/* The inventory of a watch; InvalidOid if no table has its triggers. */
Oid
watched_root(int64 watch_id)
{
	KnownWatch *watch = known_watch(watch_id);

	return watch == NULL ? InvalidOid : watch->root;
}

/* The epoch in which a watch's counters are right, 0 if nothing has its triggers. */
int64
epoch_of_watch(int64 watch_id)
{
	KnownWatch *watch = known_watch(watch_id);

	return watch == NULL ? 0 : watch->epoch;
}

/* The watch of an inventory, 0 if it has no triggers of ours. */
int64
watch_of_relation(Oid relid)
{
	HASH_SEQ_STATUS status;
	KnownWatch *watch;
	int64		watch_id = 0;

	find_watches();
	hash_seq_init(&status, watches);
	while ((watch = hash_seq_search(&status)) != NULL)
	{
		if (watch->root == relid)
			watch_id = watch->watch_id;
	}
	return watch_id;
}

/* ---- the index */

/*
 * The count key is a column, or made of columns by eiot.count_key().  Nothing
 * else is evaluated: the commit does it with the rights of the bookkeeping's
 * owner.
 */
static bool
is_count_key(Node *node)
{
	FuncExpr   *call;
	ListCell   *lc;
	char	   *name;

	if (IsA(node, Var))
		return true;
	if (!IsA(node, FuncExpr))
		return false;
	call = castNode(FuncExpr, node);
	name = get_func_name(call->funcid);
	if (get_func_namespace(call->funcid) != get_namespace_oid("eiot", true) ||
		name == NULL || strcmp(name, "count_key") != 0)
		return false;
	foreach(lc, call->args)
	{
		Node	   *argument = lfirst(lc);

		if (IsA(argument, RelabelType))
			argument = (Node *) castNode(RelabelType, argument)->arg;
		if (!IsA(argument, Var) && !IsA(argument, Const))
			return false;
	}
	return true;
}

/*
 * If the index is the one that eiot.watch() made, the call of eiot.countable()
 * that is its condition.
 */
static FuncExpr *
watch_condition(Relation index)
{
	List	   *predicate = RelationGetIndexPredicate(index);
	FuncExpr   *call;
	char	   *name;
	Oid			namespace;

	if (list_length(predicate) != 1 || !IsA(linitial(predicate), FuncExpr))
		return NULL;
	call = linitial_node(FuncExpr, predicate);
	namespace = get_namespace_oid("eiot", true);
	if (list_length(call->args) != 2 || get_func_namespace(call->funcid) != namespace ||
		!IsA(lsecond(call->args), Const))
		return NULL;
	name = get_func_name(call->funcid);
	return name != NULL && strcmp(name, "countable") == 0 &&
		is_count_key(linitial(call->args)) && index->rd_index->indkey.values[0] != 0 ? call : NULL;
}

static void
check_column(Relation rel, AttrNumber column, Oid type, const char *what)
{
	Form_pg_attribute attribute = TupleDescAttr(RelationGetDescr(rel), column - 1);

	if (attribute->atttypid != type)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of watched inventory \"%s\" is of type %s",
						NameStr(attribute->attname), RelationGetRelationName(rel),
						format_type_be(attribute->atttypid)),
				 errdetail("Its %s must be of type %s.", what, format_type_be(type)),
				 errhint("Call eiot.unwatch() first.")));
}

/* Fills what the index says.  An error if there is no such index. */
static void
read_index(Relation rel, WatchedTable *table)
{
	List	   *indexes = RelationGetIndexList(rel);
	ListCell   *lc;
	bool		found = false;

	foreach(lc, indexes)
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);
		FuncExpr   *condition = watch_condition(index);

		if (condition != NULL)
		{
			Node	   *count_key = linitial(condition->args);
			Const	   *countable = lsecond_node(Const, condition->args);
			Form_pg_index form = index->rd_index;

			found = true;
			table->index = RelationGetRelid(index);
			table->tenant_column = form->indkey.values[form->indnatts - 1];
			table->last_seen_column = form->indnatts > 1 ? form->indkey.values[0] : 0;
			table->countable_keys = DatumGetInt64(countable->constvalue);
			if (IsA(count_key, Var))
			{
				table->count_key_column = castNode(Var, count_key)->varattno;
				table->count_key = NULL;
			}
			else
			{
				MemoryContext old = MemoryContextSwitchTo(table->context);

				table->count_key_column = 0;
				table->count_key = copyObject(count_key);
				MemoryContextSwitchTo(old);
			}
		}
		index_close(index, AccessShareLock);
		if (found)
			break;
	}
	list_free(indexes);
	if (!found)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("watched inventory \"%s\" has lost its index", RelationGetRelationName(rel)),
				 errdetail("The index that eiot.watch() makes says which columns are counted."),
				 errhint("Call eiot.unwatch() and eiot.watch() again.")));
	check_column(rel, table->tenant_column, UUIDOID, "tenant");
	if (table->last_seen_column != 0)
		check_column(rel, table->last_seen_column, TIMESTAMPTZOID, "time of last activity");
}

/* What this backend keeps of a table with our triggers. */
WatchedTable *
watched_table(Relation rel)
{
	Oid			relid = RelationGetRelid(rel);
	WatchedTable *table;
	bool		found;

	if (tables == NULL)
	{
		HASHCTL		ctl = {.keysize = sizeof(Oid), .entrysize = sizeof(WatchedTable)};

		listen_once();
		tables = hash_create("watched tables", 16, &ctl, HASH_ELEM | HASH_BLOBS);
	}
	table = hash_search(tables, &relid, HASH_FIND, NULL);
	if (likely(table != NULL && table->valid))
		return table;

	table = hash_search(tables, &relid, HASH_ENTER, &found);
	if (!found)
		table->context = NULL;
	table->valid = false;
	if (table->context != NULL)
		MemoryContextReset(table->context);
	else
		table->context = AllocSetContextCreate(CacheMemoryContext, "watched table", ALLOCSET_SMALL_SIZES);

	table->root = relid;
	if (rel->rd_rel->relispartition)
		table->root = llast_oid(get_partition_ancestors(relid));
	table->epoch = watch_epoch(table->root);
	read_index(rel, table);
	table->valid = true;
	return table;
}

/* ---- the rules */

/*
 * The shortest inactive_after of all counting rules, whichever is in force;
 * false if there is none.  A trigger on eiot.counting_rule tells when it may
 * have become another.
 */
bool
shortest_inactivity(Interval *inactive_after)
{
	if (unlikely(!shortest_known))
	{
		Oid			namespace = get_namespace_oid("eiot", false);
		Relation	rel;
		TableScanDesc scan;
		TupleTableSlot *slot;
		AttrNumber	column;

		listen_once();
		counting_rule = get_relname_relid("counting_rule", namespace);
		column = get_attnum(counting_rule, "inactive_after");
		rel = table_open(counting_rule, AccessShareLock);
		slot = table_slot_create(rel, NULL);
		shortest_exists = false;
		shortest_known = true;
		PushActiveSnapshot(GetLatestSnapshot());
		scan = table_beginscan(rel, GetActiveSnapshot(), 0, NULL);
		while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
		{
			bool		isnull;
			Datum		value = slot_getattr(slot, column, &isnull);

			if (isnull)
				continue;
			if (!shortest_exists ||
				DatumGetBool(DirectFunctionCall2(interval_lt, value, IntervalPGetDatum(&shortest))))
				shortest = *DatumGetIntervalP(value);
			shortest_exists = true;
		}
		table_endscan(scan);
		PopActiveSnapshot();
		ExecDropSingleTupleTableSlot(slot);
		table_close(rel, AccessShareLock);
	}
	*inactive_after = shortest;
	return shortest_exists;
}

/* Is what shortest_inactivity() said last still right? */
bool
inactivity_is_known(void)
{
	return shortest_known;
}

/* Waits for all writers of all watched inventories, and keeps others out until the transaction ends. */
void
lock_watched_inventories(void)
{
	HASH_SEQ_STATUS status;
	KnownWatch *watch;
	List	   *roots = NIL;
	ListCell   *lc;

	find_watches();
	hash_seq_init(&status, watches);
	while ((watch = hash_seq_search(&status)) != NULL)
		roots = lappend_oid(roots, watch->root);
	list_sort(roots, list_oid_cmp);
	foreach(lc, roots)
		find_all_inheritors(lfirst_oid(lc), ShareLock, NULL);
	foreach(lc, roots)
		LockRelationOid(lfirst_oid(lc), ShareLock);
	list_free(roots);
}

/*
 * An error if one of the watched inventories has lost what the counts need.  Has
 * those that have partitions counted anew, if one may have been dropped.
 */
void
check_watched_inventories(bool recount_partitioned)
{
	HASH_SEQ_STATUS status;
	KnownWatch *watch;
	List	   *known = NIL;
	ListCell   *lc;

	if (watches == NULL || recount_partitioned)
		find_watches();
	hash_seq_init(&status, watches);
	while ((watch = hash_seq_search(&status)) != NULL)
	{
		KnownWatch *copy = palloc(sizeof(KnownWatch));

		*copy = *watch;
		known = lappend(known, copy);
	}
	foreach(lc, known)
	{
		Relation	rel;

		watch = lfirst(lc);
		rel = try_relation_open(watch->root, AccessShareLock);
		if (rel == NULL)
			continue;
		(void) watched_table(rel);
		if (recount_partitioned && rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE)
			touch_watch(watch->watch_id);
		relation_close(rel, NoLock);
	}
	list_free_deep(known);
}

/* May the inventory and its partitions be read without waiting? */
bool
try_lock_inventory(Oid root)
{
	List	   *relations;
	ListCell   *lc;
	bool		locked = true;

	if (!ConditionalLockRelationOid(root, AccessShareLock))
		return false;
	relations = find_all_inheritors(root, NoLock, NULL);
	foreach(lc, relations)
	{
		if (lfirst_oid(lc) != root && !ConditionalLockRelationOid(lfirst_oid(lc), AccessShareLock))
		{
			locked = false;
			break;
		}
	}
	list_free(relations);
	return locked;
}

/* ---- what SQL asks */

/* countable(count_key, counted_keys): the condition of the index of eiot.watch() */
Datum
eiot_countable(PG_FUNCTION_ARGS)
{
	int16		key = PG_GETARG_INT16(0);

	PG_RETURN_BOOL(key >= 0 && key < NUM_KEYS &&
				   ((uint64) PG_GETARG_INT64(1) >> key & 1) != 0);
}

/* watched_relation(watch_id): the inventory, NULL if no table has its triggers */
Datum
eiot_watched_relation(PG_FUNCTION_ARGS)
{
	Oid			root = watched_root(PG_GETARG_INT64(0));

	if (!OidIsValid(root))
		PG_RETURN_NULL();
	PG_RETURN_OID(root);
}

/* watch_epoch(watch_id): NULL if no table has its triggers */
Datum
eiot_watch_epoch(PG_FUNCTION_ARGS)
{
	int64		epoch = epoch_of_watch(PG_GETARG_INT64(0));

	if (epoch == 0)
		PG_RETURN_NULL();
	PG_RETURN_INT64(epoch);
}

/*
 * watch_shape(watched): the columns of a watched table as its index has them, as
 * SQL behind the alias d.  An error if the index is gone or not what it was.
 */
Datum
eiot_watch_shape(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(0);
	Relation	rel = try_relation_open(relid, AccessShareLock);
	WatchedTable *table;
	Node	   *count_key;
	List	   *context;
	TupleDesc	desc;
	Datum		values[4];
	bool		nulls[4] = {false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	if (rel == NULL)
		PG_RETURN_NULL();

	table = watched_table(rel);
	context = deparse_context_for("d", relid);
	count_key = table->count_key;
	if (count_key == NULL)
		count_key = (Node *) makeVar(1, table->count_key_column, INT2OID, -1, InvalidOid, 0);
	values[0] = CStringGetTextDatum(quote_identifier(get_attname(relid, table->tenant_column, false)));
	if (table->last_seen_column != 0)
		values[1] = CStringGetTextDatum(quote_identifier(get_attname(relid, table->last_seen_column, false)));
	else
		nulls[1] = true;
	values[2] = CStringGetTextDatum(deparse_expression(count_key, context, true, false));
	values[3] = Int64GetDatum(table->countable_keys);
	relation_close(rel, AccessShareLock);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}
