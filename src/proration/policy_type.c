/*
 * policy_type.c
 *		Type eiot.proration_policy: input and output, equality.
 */
#include "proration.h"

#include "common/hashfn.h"
#include "lib/stringinfo.h"
#include "libpq/pqformat.h"
#include "pgtime.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(eiot_proration_policy_in);
PG_FUNCTION_INFO_V1(eiot_proration_policy_out);
PG_FUNCTION_INFO_V1(eiot_proration_policy_recv);
PG_FUNCTION_INFO_V1(eiot_proration_policy_send);
PG_FUNCTION_INFO_V1(eiot_proration_policy_eq);
PG_FUNCTION_INFO_V1(eiot_proration_policy_ne);
PG_FUNCTION_INFO_V1(eiot_proration_policy_hash);
PG_FUNCTION_INFO_V1(eiot_proration_policy_hash_extended);
PG_FUNCTION_INFO_V1(eiot_policy_scale);

/* Stored values are of this size, and hashed byte by byte. */
StaticAssertDecl(sizeof(ProrationPolicy) == 64, "eiot.proration_policy has 64 bytes");

#define POLICY_WIRE_VERSION 1

static char *
names(const char *(*name_of) (int n))
{
	StringInfoData list;

	initStringInfo(&list);
	for (int n = 0; name_of(n) != NULL; n++)
		appendStringInfo(&list, n > 0 ? ", %s" : "%s", name_of(n));
	return list.data;
}

static void
report_problem(const PolicyProblem *problem, const char *text, Node *escontext)
{
	char	   *key = pnstrdup(problem->key, problem->key_length);
	char	   *value = pnstrdup(problem->value, problem->value_length);

	switch (problem->fault)
	{
		case POLICY_EMPTY_TEXT:
			errsave(escontext,
					(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
					 errmsg("proration policy is empty"),
					 errhint("Name a preset: %s.", names(policy_preset))));
			break;
		case POLICY_UNKNOWN_PRESET:
			errsave(escontext,
					(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
					 errmsg("unknown proration preset: \"%s\"", key),
					 errhint("Known presets are %s; keys are %s, each with = and a value.",
							 names(policy_preset), names(policy_key))));
			break;
		case POLICY_UNKNOWN_KEY:
			errsave(escontext,
					(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
					 errmsg("unknown key in proration policy: \"%s\"", key),
					 errhint("Known keys are %s; a preset can only come first.", names(policy_key))));
			break;
		case POLICY_REPEATED_KEY:
			errsave(escontext,
					(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
					 errmsg("key \"%s\" stands twice in proration policy \"%s\"", key, text),
					 errhint("Give each key once; it overrides that of a preset.")));
			break;
		case POLICY_MISSING_VALUE:
			errsave(escontext,
					(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
					 errmsg("key \"%s\" has no value in proration policy \"%s\"", key, text),
					 errhint("It takes %s.", problem->expected)));
			break;
		case POLICY_UNKNOWN_VALUE:
			errsave(escontext,
					(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
					 errmsg("invalid value of key \"%s\" in proration policy: \"%s\"", key, value),
					 errhint("It takes %s.", problem->expected)));
			break;
		case POLICY_OUT_OF_RANGE:
			errsave(escontext,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("value of key \"%s\" in proration policy is out of range: %s", key, value),
					 errhint("It takes %s.", problem->expected)));
			break;
		case POLICY_CONFLICT:
			errsave(escontext,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("keys of proration policy \"%s\" contradict each other", text),
					 errdetail("%s", problem->expected)));
			break;
	}
}

/* NULL after a soft error. */
static ProrationPolicy *
read_policy(const char *text, Node *escontext)
{
	ProrationPolicy *policy = palloc(sizeof(ProrationPolicy));
	PolicyProblem problem;
	pg_tz	   *zone;
	const char *zone_name;

	if (!parse_policy(text, policy, &problem))
	{
		report_problem(&problem, text, escontext);
		return NULL;
	}

	/* As the server spells it, so that equal policies are the same bytes. */
	zone = pg_tzset(policy->zone);
	if (zone == NULL || !pg_tz_acceptable(zone))
		ereturn(escontext, NULL,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown time zone in proration policy: \"%s\"", policy->zone),
				 errhint("The view pg_timezone_names lists those that are known.")));
	zone_name = pg_get_timezone_name(zone);
	if (strlen(zone_name) < POLICY_ZONE_SIZE)
	{
		memset(policy->zone, 0, POLICY_ZONE_SIZE);
		strcpy(policy->zone, zone_name);
	}
	return policy;
}

Datum
eiot_proration_policy_in(PG_FUNCTION_ARGS)
{
	ProrationPolicy *policy = read_policy(PG_GETARG_CSTRING(0), ESCONTEXT(fcinfo));

	if (policy == NULL)
		PG_RETURN_NULL();
	PG_RETURN_POINTER(policy);
}

Datum
eiot_proration_policy_out(PG_FUNCTION_ARGS)
{
	char	   *text = palloc(POLICY_TEXT_SIZE);

	print_policy(PG_GETARG_POLICY_P(0), text);
	PG_RETURN_CSTRING(text);
}

/* A version and the full form: what the type has room for may change, the form only grows. */
Datum
eiot_proration_policy_recv(PG_FUNCTION_ARGS)
{
	StringInfo	buf = (StringInfo) PG_GETARG_POINTER(0);
	int			version = pq_getmsgbyte(buf);
	char	   *text;
	int			length;

	if (version != POLICY_WIRE_VERSION)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("unsupported version of type %s: %d", "eiot.proration_policy", version)));
	text = pq_getmsgtext(buf, buf->len - buf->cursor, &length);
	PG_RETURN_POINTER(read_policy(text, NULL));
}

Datum
eiot_proration_policy_send(PG_FUNCTION_ARGS)
{
	char		text[POLICY_TEXT_SIZE];
	StringInfoData buf;

	print_policy(PG_GETARG_POLICY_P(0), text);
	pq_begintypsend(&buf);
	pq_sendbyte(&buf, POLICY_WIRE_VERSION);
	pq_sendtext(&buf, text, strlen(text));
	PG_RETURN_BYTEA_P(pq_endtypsend(&buf));
}

Datum
eiot_proration_policy_eq(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(memcmp(PG_GETARG_POLICY_P(0), PG_GETARG_POLICY_P(1),
						  sizeof(ProrationPolicy)) == 0);
}

Datum
eiot_proration_policy_ne(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(memcmp(PG_GETARG_POLICY_P(0), PG_GETARG_POLICY_P(1),
						  sizeof(ProrationPolicy)) != 0);
}

Datum
eiot_proration_policy_hash(PG_FUNCTION_ARGS)
{
	PG_RETURN_UINT32(hash_bytes((const unsigned char *) PG_GETARG_POLICY_P(0),
								sizeof(ProrationPolicy)));
}

Datum
eiot_proration_policy_hash_extended(PG_FUNCTION_ARGS)
{
	PG_RETURN_UINT64(hash_bytes_extended((const unsigned char *) PG_GETARG_POLICY_P(0),
										 sizeof(ProrationPolicy), PG_GETARG_INT64(1)));
}

/* eiot.scale(policy): decimals of the amounts that it gives in the end */
Datum
eiot_policy_scale(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(PG_GETARG_POLICY_P(0)->scale);
}
