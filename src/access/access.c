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
 * What the current user has is kept until eiot.access or the membership of roles
 * changes.  So are plans that the constant went into; for another user they are
 * made anew like any plan with row-level security.
 */
#include "eiot.h"

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
#include "utils/memutils.h"
#include "utils/plancache.h"
#include "utils/syscache.h"
#include "utils/uuid.h"

#include "kept.h"

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

#define NUM_LEVELS (LEVEL_MANAGER + 1)

/* What a user has at a level; a manager has all that a reader has. */
typedef struct Access
{
	bool		all;			/* for all tenants */
	pg_uuid_t  *tenants;		/* one by one, sorted, each once */
	int			ntenants;
	int			size;
} Access;

static MemoryContext access_context = NULL;
static Access user_access[NUM_LEVELS];
static Oid	access_user = InvalidOid;
static Kept kept_access = {.tables = {"access"}};
static bool changed_in_transaction = false;

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

static void
membership_changed(Datum arg, SyscacheId cacheid, uint32 hashvalue)
{
	(void) arg;
	(void) cacheid;
	(void) hashvalue;
	kept_access.changed = true;
	changed_in_transaction = true;
	/* Not every server's plan cache follows the membership of roles by itself. */
	ResetPlanCache();
}

static void
access_changed(Datum arg, Oid relid)
{
	(void) arg;
	if (relid == InvalidOid || relid == kept_access.relids[0])
		changed_in_transaction = true;
}

/*
 * A change that was heard of between the folding of access_to_all() and the end
 * of planning found no plan to invalidate yet.
 */
static void
end_of_transaction(XactEvent event, void *arg)
{
	(void) event;
	(void) arg;
	if (changed_in_transaction)
		ResetPlanCache();
	changed_in_transaction = false;
}

static int
compare_tenants(const void *a, const void *b)
{
	return memcmp(a, b, UUID_LEN);
}

static void
add_tenant(Access *access, const pg_uuid_t *tenant)
{
	if (access->ntenants >= access->size)
	{
		access->size = Max(16, access->size * 2);
		access->tenants = access->tenants ?
			repalloc(access->tenants, sizeof(pg_uuid_t) * access->size) :
			palloc(sizeof(pg_uuid_t) * access->size);
	}
	access->tenants[access->ntenants++] = *tenant;
}

static void
sort_tenants(Access *access)
{
	int			n = 0;

	if (access->ntenants == 0)
		return;
	qsort(access->tenants, access->ntenants, sizeof(pg_uuid_t), compare_tenants);
	for (int i = 1; i < access->ntenants; i++)
		if (compare_tenants(&access->tenants[n], &access->tenants[i]) != 0)
			access->tenants[++n] = access->tenants[i];
	access->ntenants = n + 1;
}

/*
 * Reads the rows of roles that the user has the rights of.  Those of a role that
 * was dropped or renamed are nobody's.
 */
static void
read_access(Oid user)
{
	static bool callbacks_registered = false;
	KeptRows	rows;
	Datum		values[Natts_access];
	bool		nulls[Natts_access];
	MemoryContext context;
	Access		found[NUM_LEVELS] = {0};
	NameData	last_grantee;
	bool		last_verdict = false;

	if (!callbacks_registered)
	{
		CacheRegisterSyscacheCallback(AUTHMEMROLEMEM, membership_changed, (Datum) 0);
		CacheRegisterSyscacheCallback(AUTHOID, membership_changed, (Datum) 0);
		CacheRegisterRelcacheCallback(access_changed, (Datum) 0);
		RegisterXactCallback(end_of_transaction, NULL);
		callbacks_registered = true;
	}

	MemSet(&last_grantee, 0, sizeof(last_grantee));
	start_keeping(&kept_access);
	context = AllocSetContextCreate(CurrentMemoryContext, "eiot access", ALLOCSET_SMALL_SIZES);
	open_rows(&rows, &kept_access, 0, Natts_access);
	while (next_row(&rows, values, nulls))
	{
		Name		grantee = DatumGetName(values[Anum_access_grantee - 1]);
		AccessLevel granted = parse_level(DatumGetTextPP(values[Anum_access_level - 1]));
		MemoryContext old_context;

		if (namestrcmp(grantee, NameStr(last_grantee)) != 0)
		{
			Oid			role = get_role_oid(NameStr(*grantee), true);

			last_verdict = OidIsValid(role) && has_privs_of_role(user, role);
			last_grantee = *grantee;
		}
		if (!last_verdict)
			continue;

		old_context = MemoryContextSwitchTo(context);
		for (AccessLevel level = LEVEL_READER; level <= granted; level++)
		{
			if (nulls[Anum_access_tenant_id - 1])
				found[level].all = true;
			else
				add_tenant(&found[level], DatumGetUUIDP(values[Anum_access_tenant_id - 1]));
		}
		MemoryContextSwitchTo(old_context);
	}
	close_rows(&rows);
	for (AccessLevel level = LEVEL_READER; level < NUM_LEVELS; level++)
		sort_tenants(&found[level]);

	if (access_context)
		MemoryContextDelete(access_context);
	MemoryContextSetParent(context, TopMemoryContext);
	access_context = context;
	memcpy(user_access, found, sizeof(user_access));
	access_user = user;
	finish_keeping(&kept_access);
}

static const Access *
current_access(AccessLevel level)
{
	Oid			user = GetUserId();

	if (!is_current(&kept_access) || access_user != user)
		read_access(user);
	return &user_access[level];
}

/* eiot.access_to_all(level text) */
Datum
eiot_access_to_all(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(current_access(parse_level(PG_GETARG_TEXT_PP(0)))->all);
}

/* Folds access_to_all() while a query is planned. */
Datum
eiot_access_to_all_support(PG_FUNCTION_ARGS)
{
	Node	   *request = (Node *) PG_GETARG_POINTER(0);
	SupportRequestSimplify *simplify;
	Const	   *level;
	bool		all;

	if (!IsA(request, SupportRequestSimplify))
		PG_RETURN_POINTER(NULL);
	simplify = (SupportRequestSimplify *) request;

	/*
	 * While workers run an old snapshot may be all there is to read by, and a
	 * plan may outlive it: the call is left to the executor.
	 */
	level = linitial(simplify->fcall->args);
	if (simplify->root == NULL || simplify->root->glob == NULL || IsInParallelMode() ||
		!IsA(level, Const) || level->constisnull)
		PG_RETURN_POINTER(NULL);

	all = current_access(parse_level(DatumGetTextPP(level->constvalue)))->all;
	simplify->root->glob->relationOids =
		list_append_unique_oid(simplify->root->glob->relationOids, kept_access.relids[0]);
	PG_RETURN_POINTER(makeBoolConst(all, false));
}

/* eiot.accessible_tenants(level text) */
Datum
eiot_accessible_tenants(PG_FUNCTION_ARGS)
{
	const Access *access = current_access(parse_level(PG_GETARG_TEXT_PP(0)));
	Datum	   *elements;

	if (access->ntenants == 0)
		PG_RETURN_ARRAYTYPE_P(construct_empty_array(UUIDOID));
	elements = palloc(sizeof(Datum) * access->ntenants);
	for (int i = 0; i < access->ntenants; i++)
		elements[i] = UUIDPGetDatum(&access->tenants[i]);
	PG_RETURN_ARRAYTYPE_P(construct_array(elements, access->ntenants, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR));
}
