/*
 * eiot.c
 *		Module entry, the GUCs, the enums' OIDs and the folding of labels.
 */
#include "eiot.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_enum.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/syscache.h"

EIOT_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(eiot_count_warning_units);

static bool count_warning_units = true;

static const char *const class_labels[NUM_CLASSES] = {
	"endpoint", "network", "iot", "ot", "bms", "medical", "unknown"
};

static const char *const reason_labels[NUM_REASONS] = {
	"counted", "not_iot", "managed", "inactive",
	"merged", "excluded", "transient", "not_a_device"
};

/*
 * OIDs of the enums' values.  They change only when the extension is dropped
 * and created again, which the syscache callback below notices.
 */
static bool enums_known = false;
static Oid	class_oids[NUM_CLASSES];
static Oid	reason_oids[NUM_REASONS];

void		_PG_init(void);

static void
forget_enums(Datum arg, SyscacheId cacheid, uint32 hashvalue)
{
	(void) arg;
	(void) cacheid;
	(void) hashvalue;
	enums_known = false;
}

void
_PG_init(void)
{
	DefineCustomBoolVariable("eiot.count_warning_units",
							 "Counts units whose subscription is in its grace period as capacity.",
							 "Graph reports them as \"warning\". Off: only enabled units cover devices.",
							 &count_warning_units,
							 true,
							 PGC_USERSET,
							 0,
							 NULL, NULL, NULL);
	MarkGUCPrefixReserved("eiot");

	CacheRegisterSyscacheCallback(ENUMOID, forget_enums, (Datum) 0);
	CacheRegisterSyscacheCallback(TYPEOID, forget_enums, (Datum) 0);
}

static void
look_up_enum(Oid namespace, const char *type_name, const char *const *labels,
			 int nlabels, Oid *oids)
{
	Oid			type_oid = GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid,
										   CStringGetDatum(type_name),
										   ObjectIdGetDatum(namespace));

	for (int i = 0; i < nlabels; i++)
	{
		oids[i] = GetSysCacheOid2(ENUMTYPOIDNAME, Anum_pg_enum_oid,
								  ObjectIdGetDatum(type_oid),
								  CStringGetDatum(labels[i]));
		if (!OidIsValid(oids[i]))
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_OBJECT),
					 errmsg("type eiot.%s has no value \"%s\"", type_name, labels[i]),
					 errhint("The library and the extension's SQL differ; run ALTER EXTENSION eiot UPDATE.")));
	}
}

/* Fills both OID tables unless they are known to be right. */
static void
know_enums(void)
{
	Oid			namespace;

	if (likely(enums_known))
		return;

	namespace = get_namespace_oid("eiot", false);
	look_up_enum(namespace, "device_class", class_labels, NUM_CLASSES, class_oids);
	look_up_enum(namespace, "count_reason", reason_labels, NUM_REASONS, reason_oids);
	enums_known = true;
}

/* The C value of an eiot.device_class; an error for any other enum's value. */
DeviceClass
device_class_from_oid(Oid value)
{
	know_enums();
	for (int i = 0; i < NUM_CLASSES; i++)
	{
		if (class_oids[i] == value)
			return (DeviceClass) i;
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("OID %u is not a value of eiot.device_class", value)));
}

Oid
device_class_oid(DeviceClass device_class)
{
	know_enums();
	return class_oids[device_class];
}

Oid
count_reason_oid(CountReason reason)
{
	know_enums();
	return reason_oids[reason];
}

/*
 * Defender spells one label several ways: "NetworkDevice", "Network device",
 * "network_device".  The folded form has ASCII letters in lower case and no
 * blanks, hyphens or underscores.  False if it does not fit into LABEL_SIZE
 * bytes: no label that anybody compares with is that long.
 */
bool
fold_label(const text *label, char *folded)
{
	const char *data = VARDATA_ANY(label);
	int			len = VARSIZE_ANY_EXHDR(label);
	int			n = 0;

	for (int i = 0; i < len; i++)
	{
		char		c = data[i];

		if (c == ' ' || c == '\t' || c == '-' || c == '_')
			continue;
		if (n == LABEL_SIZE - 1)
			return false;
		folded[n++] = (c >= 'A' && c <= 'Z') ? c + ('a' - 'A') : c;
	}
	folded[n] = '\0';
	return true;
}

/* eiot.count_warning_units(): the GUC, and a reason for SQL to load the library. */
Datum
eiot_count_warning_units(PG_FUNCTION_ARGS)
{
	(void) fcinfo;
	PG_RETURN_BOOL(count_warning_units);
}
