/*
 * access.c
 *		Which tenants the current user may read or manage, by eiot.access, for
 *		the policies of row-level security.
 *
 * Two functions, so that a policy is an index condition: access_to_all() is
 * folded into a constant while the query is planned, and what is left of
 *
 *		access_to_all('reader') OR tenant_id = ANY ((SELECT accessible_tenants('reader')))
 *
 * is nothing for who reads all tenants, and for the others an array that is
 * found once a query.  eiot.access is read here and not by SQL in the policies:
 * they would need a right on it, and a policy of its own could not be written.
 *
 * A plan that the constant went into is made anew after eiot.access or the
 * membership of roles has changed, and for another user, as any plan with
 * row-level security is.
 */
#include "eiot.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/pathnodes.h"
#include "nodes/supportnodes.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/plancache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/uuid.h"

PG_FUNCTION_INFO_V1(eiot_access_to_all);
PG_FUNCTION_INFO_V1(eiot_access_to_all_support);
PG_FUNCTION_INFO_V1(eiot_accessible_tenants);

/* Columns of eiot.access. */
#define Natts_access 6
#define Anum_access_grantee 2
#define Anum_access_level 3
#define Anum_access_tenant_id 4

typedef enum AccessLevel
{
	LEVEL_READER,
	LEVEL_MANAGER
} AccessLevel;

/* What a pass over eiot.access is for: the answer for all tenants, or the others. */
typedef struct AccessScan
{
	AccessLevel level;
	bool		for_all;
	bool		all;			/* found: a row for all tenants */
	pg_uuid_t  *tenants;		/* found: tenants named one by one */
	int			ntenants;
	int			size;
} AccessScan;

static AccessLevel
parse_level(const text *name)
{
	char	   *level = text_to_cstring(name);

	if (strcmp(level, "reader") == 0)
		return LEVEL_READER;
	if (strcmp(level, "manager") == 0)
		return LEVEL_MANAGER;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unknown level of access: \"%s\"", level),
			 errhint("Levels are reader and manager.")));
}

static Oid
access_relid(void)
{
	Oid			relid = get_relname_relid("access", get_namespace_oid("eiot", false));

	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("table eiot.access does not exist"),
				 errhint("The library and the extension's SQL differ; run ALTER EXTENSION eiot UPDATE.")));
	return relid;
}

/*
 * Rows of roles that the current user has the rights of.  Those of a role that
 * was dropped or renamed are nobody's.
 */
static void
scan_access(AccessScan *result, Snapshot snapshot)
{
	Relation	rel = table_open(access_relid(), AccessShareLock);
	SysScanDesc scan;
	HeapTuple	tuple;
	NameData	last_grantee;
	bool		last_verdict = false;
	Oid			user = GetUserId();

	if (RelationGetNumberOfAttributes(rel) != Natts_access)
		elog(ERROR, "eiot.access has %d columns", RelationGetNumberOfAttributes(rel));
	MemSet(&last_grantee, 0, sizeof(last_grantee));

	scan = systable_beginscan(rel, InvalidOid, false, snapshot, 0, NULL);
	while (!result->all && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Datum		values[Natts_access];
		bool		nulls[Natts_access];
		Name		grantee;

		CHECK_FOR_INTERRUPTS();
		heap_deform_tuple(tuple, RelationGetDescr(rel), values, nulls);
		if (result->for_all != nulls[Anum_access_tenant_id - 1])
			continue;
		if (result->level == LEVEL_MANAGER &&
			parse_level(DatumGetTextPP(values[Anum_access_level - 1])) != LEVEL_MANAGER)
			continue;

		grantee = DatumGetName(values[Anum_access_grantee - 1]);
		if (namestrcmp(grantee, NameStr(last_grantee)) != 0)
		{
			Oid			role = get_role_oid(NameStr(*grantee), true);

			last_verdict = OidIsValid(role) && has_privs_of_role(user, role);
			last_grantee = *grantee;
		}
		if (!last_verdict)
			continue;

		if (result->for_all)
			result->all = true;
		else
		{
			if (result->ntenants >= result->size)
			{
				result->size = Max(16, result->size * 2);
				result->tenants = result->tenants ?
					repalloc(result->tenants, sizeof(pg_uuid_t) * result->size) :
					palloc(sizeof(pg_uuid_t) * result->size);
			}
			result->tenants[result->ntenants++] =
				*DatumGetUUIDP(values[Anum_access_tenant_id - 1]);
		}
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
}

/* eiot.access_to_all(level text) */
Datum
eiot_access_to_all(PG_FUNCTION_ARGS)
{
	AccessScan	access = {.level = parse_level(PG_GETARG_TEXT_PP(0)),.for_all = true};

	scan_access(&access, GetActiveSnapshot());
	PG_RETURN_BOOL(access.all);
}

static void
forget_plans(Datum arg, SyscacheId cacheid, uint32 hashvalue)
{
	(void) arg;
	(void) cacheid;
	(void) hashvalue;
	ResetPlanCache();
}

/*
 * Folds access_to_all() while a query is planned.
 *
 * The newest committed rows are asked, not those of the transaction's snapshot:
 * a change that is not among them invalidates the plan when it is committed,
 * while one that an old snapshot does not see may have been heard of already.
 */
Datum
eiot_access_to_all_support(PG_FUNCTION_ARGS)
{
	Node	   *request = (Node *) PG_GETARG_POINTER(0);
	SupportRequestSimplify *simplify;
	Const	   *level;
	Snapshot	snapshot;
	AccessScan	access = {.for_all = true};
	static bool callbacks_registered = false;

	if (!IsA(request, SupportRequestSimplify))
		PG_RETURN_POINTER(NULL);
	simplify = (SupportRequestSimplify *) request;

	/* While workers run no new snapshot can be taken: the call is left to the executor. */
	level = linitial(simplify->fcall->args);
	if (simplify->root == NULL || simplify->root->glob == NULL || IsInParallelMode() ||
		!IsA(level, Const) || level->constisnull)
		PG_RETURN_POINTER(NULL);

	/* Not every server's plan cache follows the membership of roles by itself. */
	if (!callbacks_registered)
	{
		CacheRegisterSyscacheCallback(AUTHMEMROLEMEM, forget_plans, (Datum) 0);
		CacheRegisterSyscacheCallback(AUTHOID, forget_plans, (Datum) 0);
		callbacks_registered = true;
	}
	simplify->root->glob->relationOids =
		list_append_unique_oid(simplify->root->glob->relationOids, access_relid());

	access.level = parse_level(DatumGetTextPP(level->constvalue));
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	scan_access(&access, snapshot);
	UnregisterSnapshot(snapshot);
	PG_RETURN_POINTER(makeBoolConst(access.all, false));
}

static int
compare_tenants(const void *a, const void *b)
{
	return memcmp(a, b, UUID_LEN);
}

/* eiot.accessible_tenants(level text) */
Datum
eiot_accessible_tenants(PG_FUNCTION_ARGS)
{
	AccessScan	access = {.level = parse_level(PG_GETARG_TEXT_PP(0)),.for_all = false};
	Datum	   *elements;
	int			n = 0;

	scan_access(&access, GetActiveSnapshot());
	if (access.ntenants == 0)
		PG_RETURN_ARRAYTYPE_P(construct_empty_array(UUIDOID));

	qsort(access.tenants, access.ntenants, sizeof(pg_uuid_t), compare_tenants);
	elements = palloc(sizeof(Datum) * access.ntenants);
	for (int i = 0; i < access.ntenants; i++)
		if (i == 0 || compare_tenants(&access.tenants[i - 1], &access.tenants[i]) != 0)
			elements[n++] = UUIDPGetDatum(&access.tenants[i]);
	PG_RETURN_ARRAYTYPE_P(construct_array(elements, n, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR));
}
