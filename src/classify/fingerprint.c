/*
 * fingerprint.c
 *		Identifies evidence by the rules of eiot.fingerprint.
 *
 * Patterns are compiled when the prefilter first lets an evidence through to
 * them.  One that exceeds the limits of a match is reported and taken as not
 * matching.  Interrupts are looked at between any two patterns.
 *
 * Matching is done in UTF-8 whatever the server's encoding.
 */
#include "eiot.h"

#include "access/htup_details.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/jsonb.h"

#include "rules.h"

PG_FUNCTION_INFO_V1(eiot_identify);
PG_FUNCTION_INFO_V1(eiot_match_fingerprint);
PG_FUNCTION_INFO_V1(eiot_match_fingerprint_bytes);

/* Nothing useful of an evidence comes behind its first megabyte. */
#define MAX_EVIDENCE (1024 * 1024)

/* Fields of eiot.identity. */
enum
{
	IDENTITY_CLASS,
	IDENTITY_DEVICE_TYPE,
	IDENTITY_VENDOR,
	IDENTITY_PRODUCT,
	IDENTITY_CERTAINTY,
	IDENTITY_FINGERPRINT,
	NUM_IDENTITY
};

static void
compile_rule(Kind *kind, Rule *rule)
{
	char		message[256];

	rule->code = compile_pattern(rule->pattern, rule->options, message, sizeof(message));
	if (!rule->code)
	{
		rule->broken = true;
		ereport(WARNING,
				(errcode(ERRCODE_INVALID_REGULAR_EXPRESSION),
				 errmsg("fingerprint %lld is left out: its pattern does not compile: %s",
						(long long) rule->fingerprint_id, message)));
		return;
	}
	kind->compiled_size += prepare_pattern(rule->code, &rule->anchored);
}

/* Tells once that a rule costs more than it may. */
static void
report_limit(Rule *rule, const char *message, size_t length)
{
	if (rule->limit_reported)
		return;
	rule->limit_reported = true;
	ereport(WARNING,
			(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			 errmsg("fingerprint %lld is taken as not matching: %s",
					(long long) rule->fingerprint_id, message),
			 errdetail("The evidence has %zu bytes.", length),
			 errhint("Rewrite its pattern so that it does not try the same text over and over.")));
}

static bool
rule_matches(Kind *kind, Rule *rule, const char *evidence, size_t length)
{
	int			result;
	bool		too_long;
	char		message[200];

	if (unlikely(!rule->code))
	{
		if (rule->broken)
			return false;
		compile_rule(kind, rule);
		if (!rule->code)
			return false;
	}
	result = search_pattern(rule->code, rule->anchored, evidence, length, &too_long);
	if (unlikely(too_long))
		report_limit(rule, "search takes too long", length);
	else if (unlikely(result < 0 && result != PCRE2_ERROR_NOMATCH))
	{
		pcre2_get_error_message(result, (PCRE2_UCHAR *) message, sizeof(message));
		report_limit(rule, message, length);
	}
	return result > 0;
}

/*
 * With PCRE2_CASELESS an ASCII letter also matches U+017F (s) and U+212A (k),
 * which the prefilter knows nothing of.
 */
static bool
has_folding_letters(const unsigned char *evidence, size_t length)
{
	for (size_t i = 0; i + 1 < length; i++)
	{
		if ((evidence[i] == 0xc5 && evidence[i + 1] == 0xbf) ||
			(evidence[i] == 0xe2 && evidence[i + 1] == 0x84 && i + 2 < length && evidence[i + 2] == 0xaa))
			return true;
	}
	return false;
}

/* The first rule of the kind that matches, its captures in match_data; or NULL. */
static Rule *
first_match(Kind *kind, const char *evidence, size_t length)
{
	int			words = prefilter_words(kind->prefilter);

	if (prefilter_scan(kind->prefilter, (const unsigned char *) evidence, length, kind->candidates) &&
		has_folding_letters((const unsigned char *) evidence, length))
		memset(kind->candidates, 0xff, sizeof(uint64_t) * words);
	for (int word = 0; word < words; word++)
	{
		uint64_t	left = kind->candidates[word];

		while (left != 0)
		{
			int			number = word * 64 + __builtin_ctzll(left);

			left &= left - 1;
			if (number >= kind->nrules)
				break;
			CHECK_FOR_INTERRUPTS();
			if (rule_matches(kind, &kind->rules[number], evidence, length))
				return &kind->rules[number];
		}
	}
	return NULL;
}

/* Templates within templates; a rule may name itself. */
#define MAX_EXPANSIONS 100

static bool append_attribute(StringInfo buffer, const Rule *rule, int number, const char *evidence,
							 int *expansions);

/* "{os.version}" in a template is that attribute; of a CPE 2.3 name "-" where it has none. */
static void
append_template(StringInfo buffer, const Rule *rule, const Attribute *attribute, const char *evidence,
				int *expansions)
{
	const char *p = attribute->value;
	size_t		name_length = strlen(attribute->name);
	bool		is_cpe = name_length > 5 && strcmp(attribute->name + name_length - 5, "cpe23") == 0;

	while (*p)
	{
		const char *close = *p == '{' ? strchr(p, '}') : NULL;
		int			found = -1;

		if (!close)
		{
			appendStringInfoChar(buffer, *p++);
			continue;
		}
		for (int i = 0; i < rule->nattributes && found < 0; i++)
		{
			const char *name = rule->attributes[i].name;

			if (strlen(name) == (size_t) (close - p - 1) && strncmp(name, p + 1, close - p - 1) == 0)
				found = i;
		}
		if (found < 0 || ++*expansions > MAX_EXPANSIONS ||
			!append_attribute(buffer, rule, found, evidence, expansions))
		{
			if (is_cpe)
				appendStringInfoChar(buffer, '-');
		}
		p = close + 1;
	}
}

/* Appends an attribute of the rule that just matched, in UTF-8; false if it has no value. */
static bool
append_attribute(StringInfo buffer, const Rule *rule, int number, const char *evidence,
				 int *expansions)
{
	const Attribute *attribute = &rule->attributes[number];
	const char *start;
	int			length;

	if (attribute->capture > 0)
	{
		if (!get_capture(attribute->capture, evidence, &start, &length) || length == 0)
			return false;
		appendBinaryStringInfo(buffer, start, length);
	}
	else if (attribute->is_template)
		append_template(buffer, rule, attribute, evidence, expansions);
	else
		appendStringInfoString(buffer, attribute->value);
	return true;
}

static Datum
attribute_text(const Rule *rule, int number, const char *evidence, bool *isnull)
{
	const Attribute *attribute;
	const char *start;
	int			length;
	StringInfoData buffer;
	char	   *converted;

	*isnull = true;
	if (number < 0)
		return (Datum) 0;
	attribute = &rule->attributes[number];
	if (attribute->is_template)
	{
		int			expansions = 0;

		initStringInfo(&buffer);
		append_template(&buffer, rule, attribute, evidence, &expansions);
		start = buffer.data;
		length = buffer.len;
	}
	else if (attribute->capture == 0)
	{
		/* A copy: the rules may be read anew before the caller is done. */
		*isnull = false;
		return datumCopy(attribute->constant, false, -1);
	}
	else if (!get_capture(attribute->capture, evidence, &start, &length) || length == 0)
		return (Datum) 0;
	*isnull = false;
	/* Text ends where a byte 0 stands. */
	length = strnlen(start, length);
	converted = from_utf8(start, length);
	if (converted != start)
		length = strlen(converted);
	return PointerGetDatum(cstring_to_text_with_len(converted, length));
}

/* Is it UTF-8, but for bytes 0, which text cannot hold and evidence may? */
static bool
is_utf8_with_nul(const unsigned char *data, int size)
{
	for (int i = 0; i < size;)
	{
		int			part = data[i] == '\0' ? 1 : strnlen((const char *) data + i, size - i);

		if (data[i] != '\0' && !pg_verify_mbstr(PG_UTF8, (const char *) data + i, part, true))
			return false;
		i += part;
	}
	return true;
}

/*
 * Bytes as they came over the wire: UTF-8 if they are, else each a character of
 * its number, which is what patterns mean by \\xHH.
 */
static const char *
bytes_to_utf8(const bytea *evidence, size_t *length)
{
	const unsigned char *data = (const unsigned char *) VARDATA_ANY(evidence);
	int			size = Min((int) VARSIZE_ANY_EXHDR(evidence), MAX_EVIDENCE);
	char	   *utf8;
	char	   *p;

	*length = size;
	if (is_utf8_with_nul(data, size))
		return (const char *) data;
	p = utf8 = palloc(2 * (Size) size);
	for (int i = 0; i < size; i++)
	{
		if (data[i] < 0x80)
			*p++ = data[i];
		else
		{
			*p++ = 0xc0 | (data[i] >> 6);
			*p++ = 0x80 | (data[i] & 0x3f);
		}
	}
	*length = p - utf8;
	return utf8;
}

/* The evidence in UTF-8, as far as it is looked at. */
static const char *
evidence_to_utf8(const text *evidence, size_t *length)
{
	const char *data = VARDATA_ANY(evidence);
	int			size = VARSIZE_ANY_EXHDR(evidence);
	const char *utf8;

	/* Without an encoding of its own the server does not know what the bytes mean. */
	if (GetDatabaseEncoding() == PG_SQL_ASCII)
		return bytes_to_utf8((const bytea *) evidence, length);
	if (size > MAX_EVIDENCE)
		size = pg_mbcliplen(data, size, MAX_EVIDENCE);
	utf8 = to_utf8(data, size);
	*length = utf8 == data ? (size_t) size : strlen(utf8);
	return utf8;
}

static TupleDesc
get_identity_desc(FunctionCallInfo fcinfo)
{
	FmgrInfo   *flinfo = fcinfo->flinfo;

	if (unlikely(!flinfo->fn_extra))
	{
		MemoryContext old_context = MemoryContextSwitchTo(flinfo->fn_mcxt);
		TupleDesc	desc;

		if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE || desc->natts != NUM_IDENTITY)
			elog(ERROR, "eiot.identify must return eiot.identity");
		MemoryContextSwitchTo(old_context);
		flinfo->fn_extra = desc;
	}
	return flinfo->fn_extra;
}

/* eiot.identify(kind text, evidence text) */
Datum
eiot_identify(PG_FUNCTION_ARGS)
{
	Kind	   *kind = find_kind(PG_GETARG_TEXT_PP(0));
	size_t		length;
	const char *evidence;
	Rule	   *rule;
	Datum		values[NUM_IDENTITY];
	bool		nulls[NUM_IDENTITY] = {false};
	DeviceClass device_class;

	if (!kind || kind->nrules == 0)
		PG_RETURN_NULL();
	evidence = evidence_to_utf8(PG_GETARG_TEXT_PP(1), &length);
	rule = first_match(kind, evidence, length);
	if (!rule)
		PG_RETURN_NULL();

	device_class = rule->device_class;
	values[IDENTITY_DEVICE_TYPE] = attribute_text(rule, rule->device_type, evidence,
												  &nulls[IDENTITY_DEVICE_TYPE]);
	if (!nulls[IDENTITY_DEVICE_TYPE] && rule->attributes[rule->device_type].capture > 0)
		device_class = class_of_device_type(VARDATA_ANY(DatumGetTextPP(values[IDENTITY_DEVICE_TYPE])),
											VARSIZE_ANY_EXHDR(DatumGetTextPP(values[IDENTITY_DEVICE_TYPE])));
	values[IDENTITY_CLASS] = ObjectIdGetDatum(device_class_oid(device_class));
	values[IDENTITY_VENDOR] = attribute_text(rule, rule->vendor, evidence, &nulls[IDENTITY_VENDOR]);
	values[IDENTITY_PRODUCT] = attribute_text(rule, rule->product, evidence, &nulls[IDENTITY_PRODUCT]);
	values[IDENTITY_CERTAINTY] = rule->certainty;
	values[IDENTITY_FINGERPRINT] = Int64GetDatum(rule->fingerprint_id);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(get_identity_desc(fcinfo), values, nulls)));
}

/* The first match and its attributes as a row; NULL where there is none. */
static Datum
match_to_row(FunctionCallInfo fcinfo, Kind *kind, const char *evidence, size_t length)
{
	Rule	   *rule = kind ? first_match(kind, evidence, length) : NULL;
	JsonbParseState *state = NULL;
	TupleDesc	desc;
	Datum		values[2];
	bool		nulls[2] = {false, false};

	if (!rule)
		PG_RETURN_NULL();
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE || desc->natts != 2)
		elog(ERROR, "eiot.match_fingerprint must return a fingerprint and its attributes");
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < rule->nattributes; i++)
	{
		JsonbValue	key;
		JsonbValue	value;
		bool		isnull;
		Datum		found = attribute_text(rule, i, evidence, &isnull);

		if (isnull)
			continue;
		key.type = jbvString;
		key.val.string.val = from_utf8(rule->attributes[i].name, strlen(rule->attributes[i].name));
		key.val.string.len = strlen(key.val.string.val);
		pushJsonbValue(&state, WJB_KEY, &key);
		value.type = jbvString;
		value.val.string.val = VARDATA_ANY(DatumGetTextPP(found));
		value.val.string.len = VARSIZE_ANY_EXHDR(DatumGetTextPP(found));
		pushJsonbValue(&state, WJB_VALUE, &value);
	}
	values[0] = Int64GetDatum(rule->fingerprint_id);
	values[1] = JsonbPGetDatum(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL)));
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

/* eiot.match_fingerprint(kind text, evidence text, OUT fingerprint bigint, OUT attributes jsonb) */
Datum
eiot_match_fingerprint(PG_FUNCTION_ARGS)
{
	Kind	   *kind = find_kind(PG_GETARG_TEXT_PP(0));
	size_t		length;
	const char *evidence = evidence_to_utf8(PG_GETARG_TEXT_PP(1), &length);

	return match_to_row(fcinfo, kind, evidence, length);
}

/* The same of bytes, which may hold what text cannot. */
Datum
eiot_match_fingerprint_bytes(PG_FUNCTION_ARGS)
{
	Kind	   *kind = find_kind(PG_GETARG_TEXT_PP(0));
	size_t		length;
	const char *evidence = bytes_to_utf8(PG_GETARG_BYTEA_PP(1), &length);

	return match_to_row(fcinfo, kind, evidence, length);
}
