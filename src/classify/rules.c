/*
 * rules.c
 *		The backend's copy of the rules of eiot.fingerprint.
 *
 * The rules of a kind are read when the first evidence of that kind comes, and
 * kept until eiot.fingerprint or eiot.device_type changes.
 */
#include "rules.h"

#include "catalog/namespace.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/numeric.h"

#include "kept.h"

/* What the rules of all kinds may take in a backend before others are dropped. */
#define MAX_RULES_MEMORY ((Size) 24 * 1024 * 1024)

/* Columns of eiot.fingerprint ... */
#define Natts_fingerprint 10
#define Anum_fingerprint_id 1
#define Anum_fingerprint_kind 2
#define Anum_fingerprint_ordinal 3
#define Anum_fingerprint_pattern 4
#define Anum_fingerprint_flags 5
#define Anum_fingerprint_params 7
#define Anum_fingerprint_origin 9
#define Anum_fingerprint_shipped 10

/* ... and of eiot.device_type. */
#define Natts_device_type 5
#define Anum_device_type_device_type 1
#define Anum_device_type_class 2

typedef struct DeviceType
{
	char		folded[LABEL_SIZE]; /* hash key, must be first */
	DeviceClass device_class;
} DeviceType;

static HTAB *kinds = NULL;
static HTAB *device_types = NULL;
static uint64 use_counter = 0;

enum
{
	KEPT_FINGERPRINT,
	KEPT_DEVICE_TYPE
};
static Kept kept_rules = {.tables = {"fingerprint", "device_type"}};

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

/* Without SPI nobody else asks whether the caller may read them. */
static void
check_right_to_read(const char *name)
{
	Oid			relid = get_relname_relid(name, get_namespace_oid("eiot", false));
	AclResult	result = pg_class_aclcheck(relid, GetUserId(), ACL_SELECT);

	if (result != ACLCHECK_OK)
		aclcheck_error(result, get_relkind_objtype(get_rel_relkind(relid)), name);
}

static void
read_device_types(void)
{
	HASHCTL		info;
	KeptRows	rows;
	Datum		values[Natts_device_type];
	bool		nulls[Natts_device_type];

	if (device_types)
		hash_destroy(device_types);
	device_types = NULL;
	memset(&info, 0, sizeof(info));
	info.keysize = LABEL_SIZE;
	info.entrysize = sizeof(DeviceType);
	info.hcxt = TopMemoryContext;
	device_types = hash_create("eiot device types", 256, &info,
							   HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
	check_right_to_read("device_type");
	open_rows(&rows, &kept_rules, KEPT_DEVICE_TYPE, Natts_device_type);
	while (next_row(&rows, values, nulls))
	{
		char		folded[LABEL_SIZE];

		if (fold_label(DatumGetTextPP(values[Anum_device_type_device_type - 1]), folded))
		{
			DeviceType *type = hash_search(device_types, folded, HASH_ENTER, NULL);

			type->device_class = device_class_from_oid(DatumGetObjectId(values[Anum_device_type_class - 1]));
		}
	}
	close_rows(&rows);
}

/* Makes sure that what is kept is not older than the tables. */
static void
check_rules(void)
{
	if (is_current(&kept_rules))
		return;
	start_keeping(&kept_rules);
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
	read_device_types();
	finish_keeping(&kept_rules);
}

DeviceClass
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
get_string(const JsonbContainer *object, const char *key)
{
	JsonbValue	buffer;
	JsonbValue *value = getKeyJsonValueFromContainer((JsonbContainer *) object, key, strlen(key), &buffer);

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
		const JsonbContainer *object;
		char	   *position;

		if (!element || element->type != jbvBinary)
			continue;
		object = element->val.binary.data;
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

/* A row of eiot.fingerprint; what is kept of it is allocated in context. */
static void
read_rule(Rule *rule, const Datum *values, MemoryContext context)
{
	char	   *pattern = TextDatumGetCString(values[Anum_fingerprint_pattern - 1]);
	Jsonb	   *params = DatumGetJsonbP(values[Anum_fingerprint_params - 1]);
	const char *certainty_value = "0.85";
	int			certainty;
	MemoryContext old_context;

	memset(rule, 0, sizeof(Rule));
	rule->fingerprint_id = DatumGetInt64(values[Anum_fingerprint_id - 1]);
	rule->ordinal = DatumGetInt32(values[Anum_fingerprint_ordinal - 1]);
	rule->shipped = DatumGetBool(values[Anum_fingerprint_shipped - 1]);
	rule->starter = strcmp(TextDatumGetCString(values[Anum_fingerprint_origin - 1]), "starter") == 0;
	rule->options = flags_to_options(DatumGetArrayTypeP(values[Anum_fingerprint_flags - 1]));

	old_context = MemoryContextSwitchTo(context);
	rule->pattern = pstrdup(to_utf8(pattern, strlen(pattern)));
	read_attributes(rule, params);
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
	MemoryContextSwitchTo(old_context);
}

/* The order in which rules are tried. */
static int
compare_rules(const void *a, const void *b)
{
	const Rule *x = a;
	const Rule *y = b;

	if (x->shipped != y->shipped)
		return x->shipped ? 1 : -1;
	if (x->ordinal != y->ordinal)
		return x->ordinal < y->ordinal ? -1 : 1;
	return x->fingerprint_id < y->fingerprint_id ? -1 : x->fingerprint_id > y->fingerprint_id;
}

/* The rules of a kind that are in use, as view eiot.fingerprint_in_use has them. */
static Rule *
read_rules(const char *name, MemoryContext context, int *nrules)
{
	KeptRows	rows;
	Datum		values[Natts_fingerprint];
	bool		nulls[Natts_fingerprint];
	Rule	   *rules;
	int			size = 64;
	int			count = 0;
	bool		any_loaded = false;

	check_right_to_read("fingerprint_in_use");
	rules = MemoryContextAlloc(context, sizeof(Rule) * size);
	open_rows_where(&rows, &kept_rules, KEPT_FINGERPRINT, Natts_fingerprint,
					"fingerprint_kind_order", Anum_fingerprint_kind, cstring_to_text(name));
	while (next_row(&rows, values, nulls))
	{
		if (count == size)
		{
			size *= 2;
			rules = repalloc(rules, sizeof(Rule) * size);
		}
		read_rule(&rules[count], values, context);
		any_loaded |= rules[count].shipped && !rules[count].starter;
		count++;
	}
	close_rows(&rows);

	*nrules = 0;
	for (int i = 0; i < count; i++)
	{
		if (!any_loaded || !rules[i].starter)
			rules[(*nrules)++] = rules[i];
	}
	qsort(rules, *nrules, sizeof(Rule), compare_rules);
	return rules;
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
	MemoryContext reading = AllocSetContextCreate(CurrentMemoryContext, "eiot fingerprints being read",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old_context = MemoryContextSwitchTo(reading);
	MemoryContext context = AllocSetContextCreate(reading, "eiot fingerprints of a kind",
												  ALLOCSET_DEFAULT_SIZES);
	int			nrules;
	Rule	   *rules = read_rules(name, context, &nrules);
	PatternLiterals *literals = palloc0(sizeof(PatternLiterals) * (nrules + 1));
	Prefilter  *prefilter;
	uint64_t   *candidates;
	Kind	   *kind;

	for (int i = 0; i < nrules; i++)
		find_literals(rules[i].pattern, strlen(rules[i].pattern),
					  (rules[i].options & PCRE2_MULTILINE) != 0, &literals[i]);
	MemoryContextSwitchTo(context);
	prefilter = make_prefilter(literals, nrules, allocate_zeroed);
	candidates = palloc0(sizeof(uint64_t) * (prefilter_words(prefilter) + 1));
	MemoryContextSwitchTo(old_context);

	kind = hash_search(kinds, name, HASH_ENTER, NULL);
	MemoryContextSetParent(context, TopMemoryContext);
	kind->context = context;
	kind->nrules = nrules;
	kind->rules = rules;
	kind->prefilter = prefilter;
	kind->candidates = candidates;
	kind->compiled_size = 0;
	kind->last_used = ++use_counter;
	MemoryContextDelete(reading);
	drop_unused_kinds(kind);
	return kind;
}

/* The rules of a kind; NULL for one that cannot have any. */
Kind *
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
