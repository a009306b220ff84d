/*
 * devices.c
 *		The members of a row of DeviceInfo, and under which names files have them.
 */
#include "client.h"

#include <string.h>

/* In the order of Member */
static const char *const names[N_MEMBERS] = {
	"DeviceId", "Timestamp", "FirstSeen", "DeviceName", "DeviceCategory", "DeviceType", "DeviceSubtype", "Vendor", "Model",
	"OSPlatform", "OnboardingStatus", "MacAddress", "IPAddress", "MergedToDeviceId", "IsExcluded", "IsTransient",
	"DiscoverySources", "Site", "DeviceManualTags", "DeviceDynamicTags"
};

/*
 * Small letters and digits of the names that the portals show.  The header of
 * their CSV files is not published; these are the columns of their tables.
 */
static const struct
{
	const char *name;
	Member		member;
}			aliases[] = {
	{"machineid", DEVICE_ID},
	{"lastdeviceupdate", TIMESTAMP}, {"lastseen", TIMESTAMP}, {"lastactivity", TIMESTAMP}, {"lastupdate", TIMESTAMP},
	{"name", DEVICE_NAME},
	{"category", DEVICE_CATEGORY},
	{"type", DEVICE_TYPE},
	{"subtype", DEVICE_SUBTYPE},
	{"mac", MAC_ADDRESS}, {"macaddresses", MAC_ADDRESS},
	{"ip", IP_ADDRESS}, {"ips", IP_ADDRESS}, {"deviceips", IP_ADDRESS}, {"deviceip", IP_ADDRESS},
	{"ipaddresses", IP_ADDRESS}, {"ipv4address", IP_ADDRESS},
	{"exclusionstate", IS_EXCLUDED}, {"excluded", IS_EXCLUDED},
	{"transient", IS_TRANSIENT}, {"transientdevice", IS_TRANSIENT},
	{"tags", MANUAL_TAGS}, {"manualtags", MANUAL_TAGS}, {"devicetags", MANUAL_TAGS}, {"dynamictags", DYNAMIC_TAGS}
};

const char *
member_name(Member member)
{
	return names[member];
}

/*
 * The member of that name, whatever its case, blanks and punctuation; -1 for
 * another.  Is it the name that DeviceInfo has?
 */
int
member_by_name(const char *name, size_t length, bool *exact)
{
	char		plain[32];
	size_t		n = 0;

	for (size_t i = 0; i < length; i++)
	{
		char		c = name[i];

		if (c >= 'A' && c <= 'Z')
			c += 'a' - 'A';
		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')))
			continue;
		if (n == sizeof(plain) - 1)
			return -1;
		plain[n++] = c;
	}
	plain[n] = '\0';
	*exact = true;
	for (int m = 0; m < N_MEMBERS; m++)
		if (strcasecmp(plain, names[m]) == 0)
			return m;
	*exact = false;
	for (size_t i = 0; i < lengthof(aliases); i++)
		if (strcmp(plain, aliases[i].name) == 0)
			return aliases[i].member;
	return -1;
}
