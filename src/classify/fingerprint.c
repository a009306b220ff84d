/*
 * fingerprint.c
 *		Identifies evidence by the rules of eiot.fingerprint.
 *
 * The rules of a kind are read when the first evidence of that kind comes, and
 * kept in the backend until eiot.fingerprint or eiot.device_type changes (their
 * triggers invalidate the tables' relcache entries).  Patterns are compiled when
 * the prefilter first lets an evidence through to them.  Patterns come from
 * people: match, depth and heap limits are always set, a pattern that exceeds
 * them is reported and taken as not matching, and interrupts are looked at
 * between any two patterns and within long searches.
 *
 * Matching is done in UTF-8 whatever the server's encoding.
 */
#include "eiot.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "portability/instr_time.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/inval.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/snapmgr.h"

#include "prefilter.h"

PG_FUNCTION_INFO_V1(eiot_capture_count);
PG_FUNCTION_INFO_V1(eiot_identify);
PG_FUNCTION_INFO_V1(eiot_match_fingerprint);
PG_FUNCTION_INFO_V1(eiot_match_fingerprint_bytes);

/*
 * Steps, recursion and memory of one match.  A pattern that explodes is stopped
 * after some 0.3 s: one of Recog's own takes over 60 million steps for its example.
 * Without JIT a step takes ten times as long.
 */
#define MATCH_LIMIT_JIT 100000000
#define MATCH_LIMIT 10000000
#define DEPTH_LIMIT 50000
#define HEAP_LIMIT_KIB 4096

/*
 * A search is cut into so many starting positions, to look at interrupts and at
 * the clock between them: what each position costs can grow with the evidence.
 */
#define SLICE 1024
#define MAX_SEARCH_MS 1000

#define JIT_STACK_MIN (32 * 1024)
#define JIT_STACK_MAX (1024 * 1024)

/* What the rules of all kinds may take in a backend before others are dropped. */
#define MAX_RULES_MEMORY ((Size) 24 * 1024 * 1024)

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

/* An attribute that a rule sets: a constant, a capture, or a template. */
typedef struct Attribute
{
	char	   *name;			/* UTF-8, as value */
	int			capture;		/* 0: value is the text, or the template */
	char	   *value;
	bool		is_template;	/* value names other attributes in braces */
	Datum		constant;		/* value as text in the server's encoding */
} Attribute;

typedef struct Rule
{
	int64		fingerprint_id;
	char	   *pattern;		/* UTF-8 */
	uint32		options;
	bool		broken;			/* reported once, not tried again */
	bool		limit_reported;
	bool		anchored;		/* can match at the start alone */
	pcre2_code *code;			/* NULL until first needed */
	int			nattributes;
	Attribute  *attributes;
	/* Indexes into attributes, or -1. */
	int			device_type;
	int			vendor;
	int			product;
	DeviceClass device_class;	/* where the device type is a constant */
	Datum		certainty;
} Rule;

typedef struct Kind
{
	char		name[NAMEDATALEN];	/* hash key, must be first */
	MemoryContext context;
	int			nrules;
	Rule	   *rules;
	Prefilter  *prefilter;
	uint64_t   *candidates;
	Size		compiled_size;	/* of the patterns, outside of context */
	uint64		last_used;
} Kind;

typedef struct DeviceType
{
	char		folded[LABEL_SIZE]; /* hash key, must be first */
	DeviceClass device_class;
} DeviceType;

static HTAB *kinds = NULL;
static HTAB *device_types = NULL;
static Oid	fingerprint_relid = InvalidOid;
static Oid	device_type_relid = InvalidOid;
static bool rules_stale = true;
static bool rules_for_this_transaction = false;
static uint64 use_counter = 0;

static TupleDesc identity_desc = NULL;
static pcre2_general_context *pcre_memory = NULL;
static pcre2_compile_context *compile_context = NULL;
static pcre2_match_context *match_context = NULL;
static pcre2_jit_stack *jit_stack = NULL;
static pcre2_match_data *match_data = NULL;

/* ---- the library */

static void *
pcre_allocate(PCRE2_SIZE size, void *arg)
{
	(void) arg;
	return MemoryContextAllocExtended(TopMemoryContext, size, MCXT_ALLOC_NO_OOM | MCXT_ALLOC_HUGE);
}

static void
pcre_free(void *pointer, void *arg)
{
	(void) arg;
	if (pointer)
		pfree(pointer);
}

static void
start_pcre(void)
{
	uint32		has_jit = 0;

	if (jit_stack)
		return;
	if (!pcre_memory)
		pcre_memory = pcre2_general_context_create(pcre_allocate, pcre_free, NULL);
	if (pcre_memory && !compile_context)
		compile_context = pcre2_compile_context_create(pcre_memory);
	if (compile_context && !match_context)
		match_context = pcre2_match_context_create(pcre_memory);
	if (match_context && !match_data)
		match_data = pcre2_match_data_create(64, pcre_memory);
	if (match_data)
		jit_stack = pcre2_jit_stack_create(JIT_STACK_MIN, JIT_STACK_MAX, pcre_memory);
	if (!jit_stack)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	(void) pcre2_config(PCRE2_CONFIG_JIT, &has_jit);
	pcre2_set_match_limit(match_context, has_jit ? MATCH_LIMIT_JIT : MATCH_LIMIT);
	pcre2_set_depth_limit(match_context, DEPTH_LIMIT);
	pcre2_set_heap_limit(match_context, HEAP_LIMIT_KIB);
	pcre2_jit_stack_assign(match_context, NULL, jit_stack);
}

/* Recog's flags.  Its examples want lines to count under REG_MULTILINE alone. */
static uint32
flags_to_options(ArrayType *flags)
{
	uint32		options = PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C | PCRE2_USE_OFFSET_LIMIT;
	Datum	   *elements;
	bool	   *nulls;
	int			count;

	deconstruct_array(flags, TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &count);
	for (int i = 0; i < count; i++)
	{
		char	   *flag;

		if (nulls[i])
			continue;
		flag = TextDatumGetCString(elements[i]);
		if (strcmp(flag, "REG_ICASE") == 0)
			options |= PCRE2_CASELESS;
		else if (strcmp(flag, "REG_DOT_NEWLINE") == 0)
			options |= PCRE2_DOTALL;
		else if (strcmp(flag, "REG_MULTILINE") == 0)
			options |= PCRE2_DOTALL | PCRE2_MULTILINE;
		else
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("unknown flag of a fingerprint: \"%s\"", flag),
					 errhint("Known flags are REG_ICASE, REG_DOT_NEWLINE and REG_MULTILINE.")));
	}
	return options;
}

/* Room for the captures of a pattern; rules have few, so this is rarely called for. */
static void
make_room_for_captures(uint32 captures)
{
	pcre2_match_data *larger;

	if (captures < pcre2_get_ovector_count(match_data))
		return;
	larger = pcre2_match_data_create(captures + 1, pcre_memory);
	if (!larger)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	pcre2_match_data_free(match_data);
	match_data = larger;
}

/* Compiles, without JIT; NULL with the message in buffer. */
static pcre2_code *
compile_pattern(const char *pattern, uint32 options, char *buffer, Size size)
{
	int			error;
	PCRE2_SIZE	offset;
	pcre2_code *code;

	start_pcre();
	code = pcre2_compile((PCRE2_SPTR) pattern, strlen(pattern), options, &error, &offset, compile_context);
	if (!code)
	{
		char		message[200];

		pcre2_get_error_message(error, (PCRE2_UCHAR *) message, sizeof(message));
		snprintf(buffer, size, "%s at character %zu", message, (size_t) offset + 1);
	}
	return code;
}

static char *
to_utf8(const char *string, int length)
{
	return pg_server_to_any(string, length, PG_UTF8);
}

static char *
from_utf8(const char *string, int length)
{
	return pg_any_to_server(string, length, PG_UTF8);
}

/* eiot.capture_count(pattern text, flags text[]): also the check that it compiles */
Datum
eiot_capture_count(PG_FUNCTION_ARGS)
{
	char	   *pattern = text_to_cstring(PG_GETARG_TEXT_PP(0));
	uint32		options = flags_to_options(PG_GETARG_ARRAYTYPE_P(1));
	char		message[256];
	uint32		count;
	pcre2_code *code = compile_pattern(to_utf8(pattern, strlen(pattern)), options,
									   message, sizeof(message));

	if (!code)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_REGULAR_EXPRESSION),
				 errmsg("pattern does not compile: %s", message),
				 errdetail("The pattern is %s", pattern)));
	pcre2_pattern_info(code, PCRE2_INFO_CAPTURECOUNT, &count);
	pcre2_code_free(code);
	PG_RETURN_INT32(count);
}

/* ---- the copy of the rules */

static void
forget_rules(Datum arg, Oid relid)
{
	(void) arg;
	if (relid == InvalidOid || relid == fingerprint_relid || relid == device_type_relid)
		rules_stale = true;
}

/* What an old snapshot saw must not outlive its transaction. */
static void
end_of_transaction(XactEvent event, void *arg)
{
	(void) event;
	(void) arg;
	if (rules_for_this_transaction)
		rules_stale = true;
	rules_for_this_transaction = false;
}

static void
drop_kind(Kind *kind)
{
	for (int i = 0; i < kind->nrules; i++)
	{
		if (kind->rules[i].code)
			pcre2_code_free(kind->rules[i].code);
	}
	if (kind->context)
		MemoryContextDelete(kind->context);
	hash_search(kinds, kind->name, HASH_REMOVE, NULL);
}

static void
drop_all_kinds(void)
{
	HASH_SEQ_STATUS status;
	Kind	   *kind;

	hash_seq_init(&status, kinds);
	while ((kind = hash_seq_search(&status)) != NULL)
		drop_kind(kind);
}

/* Keeps memory within bounds: the kinds used longest ago go first. */
static void
drop_unused_kinds(Kind *in_use)
{
	for (;;)
	{
		HASH_SEQ_STATUS status;
		Kind	   *kind;
		Kind	   *oldest = NULL;
		Size		total = 0;

		hash_seq_init(&status, kinds);
		while ((kind = hash_seq_search(&status)) != NULL)
		{
			total += MemoryContextMemAllocated(kind->context, true) + kind->compiled_size;
			if (kind != in_use && (!oldest || kind->last_used < oldest->last_used))
				oldest = kind;
		}
		if (total <= MAX_RULES_MEMORY || !oldest)
			return;
		drop_kind(oldest);
	}
}

/* SPI with the newest committed rows; only while workers run that is not to be had. */
static void
begin_reading(void)
{
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (IsInParallelMode())
	{
		rules_for_this_transaction = true;
		PushActiveSnapshot(GetActiveSnapshot());
	}
	else
		PushActiveSnapshot(GetLatestSnapshot());
}

static void
end_reading(void)
{
	PopActiveSnapshot();
	SPI_finish();
}

static void
read_rows(const char *query, int nargs, Oid *types, Datum *values)
{
	if (SPI_execute_with_args(query, nargs, types, values, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not execute: %s", query);
}

static void
read_device_types(void)
{
	HASHCTL		info;

	if (device_types)
		hash_destroy(device_types);
	device_types = NULL;
	memset(&info, 0, sizeof(info));
	info.keysize = LABEL_SIZE;
	info.entrysize = sizeof(DeviceType);
	info.hcxt = TopMemoryContext;
	device_types = hash_create("eiot device types", 256, &info,
							   HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
	read_rows("SELECT device_type, class FROM eiot.device_type", 0, NULL, NULL);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[i];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		bool		isnull;
		char		folded[LABEL_SIZE];

		if (fold_label(DatumGetTextPP(SPI_getbinval(tuple, desc, 1, &isnull)), folded))
		{
			DeviceType *type = hash_search(device_types, folded, HASH_ENTER, NULL);

			type->device_class = device_class_from_oid(DatumGetObjectId(SPI_getbinval(tuple, desc, 2, &isnull)));
		}
	}
}

/* Makes sure that what is kept is not older than the tables. */
static void
check_rules(void)
{
	static bool callbacks_registered = false;

	hear_of_changes();
	if (likely(!rules_stale))
		return;
	if (!callbacks_registered)
	{
		CacheRegisterRelcacheCallback(forget_rules, (Datum) 0);
		RegisterXactCallback(end_of_transaction, NULL);
		callbacks_registered = true;
	}
	start_pcre();
	if (kinds)
		drop_all_kinds();
	else
	{
		HASHCTL		info;

		memset(&info, 0, sizeof(info));
		info.keysize = NAMEDATALEN;
		info.entrysize = sizeof(Kind);
		info.hcxt = TopMemoryContext;
		kinds = hash_create("eiot fingerprint kinds", 64, &info,
							HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
	}
	if (identity_desc)
	{
		FreeTupleDesc(identity_desc);
		identity_desc = NULL;
	}

	fingerprint_relid = get_relname_relid("fingerprint", get_namespace_oid("eiot", false));
	device_type_relid = get_relname_relid("device_type", get_namespace_oid("eiot", false));

	/* What changes from here on makes the copy stale again. */
	rules_stale = false;
	PG_TRY();
	{
		begin_reading();
		read_device_types();
		end_reading();
	}
	PG_CATCH();
	{
		rules_stale = true;
		PG_RE_THROW();
	}
	PG_END_TRY();
}

static DeviceClass
class_of_device_type(const char *device_type, int length)
{
	text	   *label = cstring_to_text_with_len(device_type, length);
	char		folded[LABEL_SIZE];
	DeviceType *type = NULL;

	if (fold_label(label, folded))
		type = hash_search(device_types, folded, HASH_FIND, NULL);
	pfree(label);
	return type ? type->device_class : CLASS_UNKNOWN;
}

static char *
get_string(Jsonb *object, const char *key)
{
	JsonbValue	buffer;
	JsonbValue *value = getKeyJsonValueFromContainer(&object->root, key, strlen(key), &buffer);

	if (!value || value->type == jbvNull)
		return NULL;
	if (value->type == jbvString)
	{
		char	   *string = pnstrdup(value->val.string.val, value->val.string.len);

		return to_utf8(string, value->val.string.len);
	}
	if (value->type == jbvNumeric)
		return DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric)));
	return NULL;
}

/* The attribute with the first of these names that the rule sets, or -1. */
static int
find_attribute(const Rule *rule, const char *const *names, int nnames)
{
	for (int i = 0; i < nnames; i++)
	{
		for (int j = 0; j < rule->nattributes; j++)
		{
			if (strcmp(rule->attributes[j].name, names[i]) == 0)
				return j;
		}
	}
	return -1;
}

static const char *const device_type_names[] = {"hw.device", "os.device"};
static const char *const vendor_names[] = {"hw.vendor", "os.vendor", "service.vendor"};
static const char *const product_names[] = {"hw.product", "hw.model", "os.product", "service.product"};
static const char *const certainty_names[] = {"hw.certainty", "os.certainty", "service.certainty"};

/* In the kind's context: the attributes of a rule from its column params. */
static void
read_attributes(Rule *rule, Jsonb *params)
{
	int			count = JB_ROOT_COUNT(params);

	rule->attributes = palloc0(sizeof(Attribute) * (count + 1));
	for (int i = 0; i < count; i++)
	{
		JsonbValue *element = getIthJsonbValueFromContainer(&params->root, i);
		Attribute  *attribute = &rule->attributes[rule->nattributes];
		Jsonb	   *object;
		char	   *position;

		if (!element || element->type != jbvBinary)
			continue;
		object = JsonbValueToJsonb(element);
		attribute->name = get_string(object, "name");
		position = get_string(object, "pos");
		if (!attribute->name || !position)
			continue;
		attribute->capture = atoi(position);
		attribute->value = get_string(object, "value");
		if (attribute->capture == 0 && !attribute->value)
			continue;
		attribute->is_template = attribute->capture == 0 && strchr(attribute->value, '{') != NULL;
		if (attribute->capture == 0 && !attribute->is_template)
			attribute->constant = CStringGetTextDatum(from_utf8(attribute->value, strlen(attribute->value)));
		rule->nattributes++;
	}
}

static void
read_rule(Rule *rule, PatternLiterals *literals, HeapTuple tuple, TupleDesc desc)
{
	bool		isnull;
	char	   *pattern;
	int			certainty;
	const char *certainty_value = "0.85";

	rule->fingerprint_id = DatumGetInt64(SPI_getbinval(tuple, desc, 1, &isnull));
	pattern = TextDatumGetCString(SPI_getbinval(tuple, desc, 2, &isnull));
	rule->pattern = to_utf8(pattern, strlen(pattern));
	rule->options = flags_to_options(DatumGetArrayTypeP(SPI_getbinval(tuple, desc, 3, &isnull)));
	read_attributes(rule, DatumGetJsonbP(SPI_getbinval(tuple, desc, 4, &isnull)));
	find_literals(rule->pattern, strlen(rule->pattern), (rule->options & PCRE2_MULTILINE) != 0, literals);

	rule->device_type = find_attribute(rule, device_type_names, lengthof(device_type_names));
	rule->vendor = find_attribute(rule, vendor_names, lengthof(vendor_names));
	rule->product = find_attribute(rule, product_names, lengthof(product_names));
	certainty = find_attribute(rule, certainty_names, lengthof(certainty_names));
	if (certainty >= 0 && rule->attributes[certainty].capture == 0)
		certainty_value = rule->attributes[certainty].value;
	rule->certainty = DirectFunctionCall3(numeric_in, CStringGetDatum(certainty_value),
										  ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
	rule->device_class = CLASS_UNKNOWN;
	if (rule->device_type >= 0 && rule->attributes[rule->device_type].capture == 0)
		rule->device_class = class_of_device_type(rule->attributes[rule->device_type].value,
												  strlen(rule->attributes[rule->device_type].value));
}

static void *
allocate_zeroed(size_t size)
{
	return palloc0(size);
}

/* Reads the rules of a kind; one without rules is remembered, too. */
static Kind *
read_kind(const char *name)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "eiot fingerprints of a kind",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old_context;
	Oid			types[1] = {TEXTOID};
	Datum		values[1] = {CStringGetTextDatum(name)};
	Rule	   *rules;
	PatternLiterals *literals;
	Prefilter  *prefilter;
	uint64_t   *candidates;
	int			nrules;
	Kind	   *kind;

	begin_reading();
	read_rows("SELECT fingerprint_id, pattern, flags, params FROM eiot.fingerprint_in_use"
			  " WHERE kind OPERATOR(pg_catalog.=) $1"
			  " ORDER BY shipped, ordinal, fingerprint_id", 1, types, values);
	nrules = SPI_processed;
	literals = palloc0(sizeof(PatternLiterals) * (nrules + 1));
	old_context = MemoryContextSwitchTo(context);
	rules = palloc0(sizeof(Rule) * (nrules + 1));
	for (int i = 0; i < nrules; i++)
	{
		CHECK_FOR_INTERRUPTS();
		read_rule(&rules[i], &literals[i], SPI_tuptable->vals[i], SPI_tuptable->tupdesc);
	}
	prefilter = make_prefilter(literals, nrules, allocate_zeroed);
	candidates = palloc0(sizeof(uint64_t) * (prefilter_words(prefilter) + 1));
	MemoryContextSwitchTo(old_context);
	end_reading();

	kind = hash_search(kinds, name, HASH_ENTER, NULL);
	MemoryContextSetParent(context, TopMemoryContext);
	kind->context = context;
	kind->nrules = nrules;
	kind->rules = rules;
	kind->prefilter = prefilter;
	kind->candidates = candidates;
	kind->compiled_size = 0;
	kind->last_used = ++use_counter;
	drop_unused_kinds(kind);
	return kind;
}

/* The rules of a kind; NULL for one that cannot have any. */
static Kind *
find_kind(const text *name)
{
	Kind	   *kind;
	char		key[NAMEDATALEN];
	int			length = VARSIZE_ANY_EXHDR(name);

	/* Longer ones than the tables take have no rules. */
	if (length >= NAMEDATALEN)
		return NULL;
	check_rules();
	memcpy(key, VARDATA_ANY(name), length);
	key[length] = '\0';
	kind = hash_search(kinds, key, HASH_FIND, NULL);
	if (unlikely(!kind))
		kind = read_kind(key);
	kind->last_used = ++use_counter;
	return kind;
}

/* ---- matching */

static void
compile_rule(Kind *kind, Rule *rule)
{
	char		message[256];
	size_t		size = 0;
	size_t		jit_size = 0;
	uint32		captures = 0;
	uint32		all_options = 0;

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
	pcre2_pattern_info(rule->code, PCRE2_INFO_ALLOPTIONS, &all_options);
	rule->anchored = (all_options & PCRE2_ANCHORED) != 0;
	pcre2_pattern_info(rule->code, PCRE2_INFO_CAPTURECOUNT, &captures);
	make_room_for_captures(captures);
	/* Where the machine has no JIT the library interprets. */
	(void) pcre2_jit_compile(rule->code, PCRE2_JIT_COMPLETE);
	pcre2_pattern_info(rule->code, PCRE2_INFO_SIZE, &size);
	pcre2_pattern_info(rule->code, PCRE2_INFO_JITSIZE, &jit_size);
	kind->compiled_size += size + jit_size;
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

/* pcre2_match(), slice by slice. */
static int
search(const Rule *rule, const char *evidence, size_t length, bool *too_long)
{
	size_t		start = 0;
	instr_time	began;

	*too_long = false;
	if (length <= SLICE || rule->anchored)
	{
		pcre2_set_offset_limit(match_context, PCRE2_UNSET);
		return pcre2_match(rule->code, (PCRE2_SPTR) evidence, length, 0, PCRE2_NO_UTF_CHECK,
						   match_data, match_context);
	}
	INSTR_TIME_SET_CURRENT(began);
	for (;;)
	{
		instr_time	now;
		size_t		next = start + SLICE;
		int			result;

		/* To the start of a character. */
		while (next < length && ((unsigned char) evidence[next] & 0xc0) == 0x80)
			next++;
		pcre2_set_offset_limit(match_context, next < length ? next - 1 : PCRE2_UNSET);
		result = pcre2_match(rule->code, (PCRE2_SPTR) evidence, length, start, PCRE2_NO_UTF_CHECK,
							 match_data, match_context);
		if (result != PCRE2_ERROR_NOMATCH || next >= length)
			return result;
		start = next;
		CHECK_FOR_INTERRUPTS();
		INSTR_TIME_SET_CURRENT(now);
		INSTR_TIME_SUBTRACT(now, began);
		if (INSTR_TIME_GET_MILLISEC(now) > MAX_SEARCH_MS)
		{
			*too_long = true;
			return PCRE2_ERROR_NOMATCH;
		}
	}
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
	result = search(rule, evidence, length, &too_long);
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

	prefilter_scan(kind->prefilter, (const unsigned char *) evidence, length, kind->candidates);
	if (unlikely(has_folding_letters((const unsigned char *) evidence, length)))
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

/* Where capture n of the last match lies in the evidence; false if unset. */
static bool
get_capture(int n, const char *evidence, const char **start, int *length)
{
	PCRE2_SIZE *offsets = pcre2_get_ovector_pointer(match_data);

	if (n >= (int) pcre2_get_ovector_count(match_data) || offsets[2 * n] == PCRE2_UNSET)
		return false;
	*start = evidence + offsets[2 * n];
	*length = offsets[2 * n + 1] - offsets[2 * n];
	return true;
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
	if (unlikely(!identity_desc))
	{
		TupleDesc	desc;
		MemoryContext old_context;

		if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE || desc->natts != NUM_IDENTITY)
			elog(ERROR, "eiot.identify must return eiot.identity");
		old_context = MemoryContextSwitchTo(TopMemoryContext);
		identity_desc = CreateTupleDescCopy(desc);
		MemoryContextSwitchTo(old_context);
	}
	return identity_desc;
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
