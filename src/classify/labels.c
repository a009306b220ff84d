/*
 * labels.c
 *		Device class from the labels of an inventory.
 *
 * The category decides where it says something; then the subtype, which is the
 * narrower label, then the type; at last the operating system, for whatever runs
 * a desktop or mobile one is listed under "Computers & mobile".
 */
#include "eiot.h"

#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(eiot_classify);

typedef struct LabelClass
{
	const char *label;			/* as fold_label() makes it */
	DeviceClass device_class;
} LabelClass;

/* Each table is sorted by label, which find_label() relies on. */

static const LabelClass categories[] = {
	{"bms", CLASS_BMS},
	{"building", CLASS_BMS},
	{"computers&mobile", CLASS_ENDPOINT},
	{"computersandmobile", CLASS_ENDPOINT},
	{"endpoint", CLASS_ENDPOINT},
	{"endpointdevices", CLASS_ENDPOINT},
	{"energyandresources", CLASS_OT},
	{"enterprise", CLASS_IOT},
	{"healthcare", CLASS_MEDICAL},
	{"iot", CLASS_IOT},
	{"iotdevice", CLASS_IOT},
	{"iotdevices", CLASS_IOT},
	{"manufacturing", CLASS_OT},
	{"medical", CLASS_MEDICAL},
	{"networkdevice", CLASS_NETWORK},
	{"networkdevices", CLASS_NETWORK},
	{"ot", CLASS_OT},
	{"otdevice", CLASS_OT},
	{"otdevices", CLASS_OT},
	{"retail", CLASS_IOT},
	{"transportation/utilities", CLASS_OT},
};

static const LabelClass types[] = {
	{"accesspoint", CLASS_NETWORK},
	{"audioandvideo", CLASS_IOT},
	{"camera", CLASS_IOT},
	{"communication", CLASS_IOT},
	{"conferencingsystem", CLASS_IOT},
	{"desktop", CLASS_ENDPOINT},
	{"firewall", CLASS_NETWORK},
	{"gamingconsole", CLASS_IOT},
	{"hmi", CLASS_OT},
	{"industrial", CLASS_OT},
	{"laptop", CLASS_ENDPOINT},
	{"mobile", CLASS_ENDPOINT},
	{"networkdevice", CLASS_NETWORK},
	{"plc", CLASS_OT},
	{"printer", CLASS_IOT},
	{"router", CLASS_NETWORK},
	{"scanner", CLASS_IOT},
	{"server", CLASS_ENDPOINT},
	{"smarttv", CLASS_IOT},
	{"speaker", CLASS_IOT},
	{"switch", CLASS_NETWORK},
	{"videoconference", CLASS_IOT},
	{"videoconferencing", CLASS_IOT},
	{"voip", CLASS_IOT},
	{"voipphone", CLASS_IOT},
	{"workstation", CLASS_ENDPOINT},
};

static const LabelClass subtypes[] = {
	{"accesspoint", CLASS_NETWORK},
	{"camera", CLASS_IOT},
	{"firewall", CLASS_NETWORK},
	{"ipcamera", CLASS_IOT},
	{"plc", CLASS_OT},
	{"printer", CLASS_IOT},
	{"router", CLASS_NETWORK},
	{"smartphone", CLASS_ENDPOINT},
	{"smarttv", CLASS_IOT},
	{"speaker", CLASS_IOT},
	{"switch", CLASS_NETWORK},
	{"tablet", CLASS_ENDPOINT},
	{"videoconference", CLASS_IOT},
	{"videoconferencing", CLASS_IOT},
	{"voipphone", CLASS_IOT},
};

static const char *const endpoint_platforms[] = {
	"android", "chromeos", "ios", "ipados", "linux", "macos"
};

/* Is the folded label in the table?  The class goes to *device_class. */
static bool
find_label(const LabelClass *table, int size, const text *label, DeviceClass *device_class)
{
	char		folded[LABEL_SIZE];
	int			low = 0;
	int			high = size;

	if (!fold_label(label, folded))
		return false;
	while (low < high)
	{
		int			middle = (low + high) / 2;
		int			order = strcmp(folded, table[middle].label);

		if (order == 0)
		{
			*device_class = table[middle].device_class;
			return true;
		}
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return false;
}

/*
 * "macOS", "Android 14", "WindowsServer2022": a name, perhaps with a version,
 * which only Windows begins with a word.  Not "IOS XE", which runs routers.
 */
static bool
is_endpoint_platform(const text *os_platform)
{
	char		folded[LABEL_SIZE];

	if (!fold_label(os_platform, folded))
		return false;
	if (strncmp(folded, "windows", 7) == 0)
		return true;
	for (int i = 0; i < (int) lengthof(endpoint_platforms); i++)
	{
		size_t		len = strlen(endpoint_platforms[i]);

		if (strncmp(folded, endpoint_platforms[i], len) == 0 &&
			(folded[len] == '\0' || (folded[len] >= '0' && folded[len] <= '9')))
			return true;
	}
	return false;
}

/*
 * Both OT and IoT devices stand in the tab "IoT/OT devices"; a device of which
 * no narrower label is known counts as IoT there.
 */
static bool
is_shared_tab(const text *category)
{
	char		folded[LABEL_SIZE];

	return fold_label(category, folded) &&
		(strcmp(folded, "iot/ot") == 0 || strcmp(folded, "iot/otdevices") == 0);
}

/* eiot.classify(category text, type text, subtype text, os_platform text) */
Datum
eiot_classify(PG_FUNCTION_ARGS)
{
	const text *category = PG_ARGISNULL(0) ? NULL : PG_GETARG_TEXT_PP(0);
	const text *type = PG_ARGISNULL(1) ? NULL : PG_GETARG_TEXT_PP(1);
	const text *subtype = PG_ARGISNULL(2) ? NULL : PG_GETARG_TEXT_PP(2);
	const text *os_platform = PG_ARGISNULL(3) ? NULL : PG_GETARG_TEXT_PP(3);
	DeviceClass result = CLASS_UNKNOWN;

	if (category && find_label(categories, lengthof(categories), category, &result))
		 /* decided */ ;
	else if (subtype && find_label(subtypes, lengthof(subtypes), subtype, &result))
		 /* decided */ ;
	else if (type && find_label(types, lengthof(types), type, &result))
		 /* decided */ ;
	else if (category && is_shared_tab(category))
		result = CLASS_IOT;
	else if (os_platform && is_endpoint_platform(os_platform))
		result = CLASS_ENDPOINT;

	PG_RETURN_OID(device_class_oid(result));
}
