/*
 * encode.c
 *		Rows of devices in the binary format of COPY, for a table OF eiot.staged_device.
 *
 * Values in their usual form are sent in the types of the inventory.  What is
 * right and what is wrong decides the server: a row with any other value goes to
 * it as an object of DeviceInfo, which is read there like one of a body.
 */
#include "client.h"

#include <arpa/inet.h>
#include <math.h>
#include <string.h>

/* OID of type text, and how inet's families are numbered in its binary format */
#define TEXT_OID 25
#define INET_FAMILY 2
#define INET6_FAMILY 3

/* 2000-01-01, where PostgreSQL's timestamps begin, in days since 1970 */
#define EPOCH_DAYS 10957

/* Longer fields are for the server to judge */
#define MAX_FIELD_BYTES 32768

const char *const staged_columns =
"ordinal, line, device_id, last_seen, first_seen, name, category, type, subtype, vendor, model, os_platform, "
"onboarding_status, merged_into, discovery_sources, site, mac, ip, excluded, transient, tags, irregular";
#define N_COLUMNS 22

/* The members that are text as they are, in that order */
static const Member texts[] = {
	DEVICE_NAME, DEVICE_CATEGORY, DEVICE_TYPE, DEVICE_SUBTYPE, VENDOR, MODEL, OS_PLATFORM, ONBOARDING_STATUS,
	MERGED_TO_DEVICE_ID, DISCOVERY_SOURCES, SITE
};

static inline void
put16(Text *out, uint16_t value)
{
	value = htons(value);
	memcpy(out->data + out->length, &value, 2);
	out->length += 2;
}

static inline void
put32(Text *out, uint32_t value)
{
	value = htonl(value);
	memcpy(out->data + out->length, &value, 4);
	out->length += 4;
}

static inline void
put64(Text *out, uint64_t value)
{
	put32(out, value >> 32);
	put32(out, value);
}

static inline void
put_null(Text *out)
{
	put32(out, UINT32_MAX);
}

static inline void
put_bytes(Text *out, const void *data, size_t length)
{
	put32(out, length);
	memcpy(out->data + out->length, data, length);
	out->length += length;
}

static inline void
put_text(Text *out, Value value)
{
	if (value.length == 0)
		put_null(out);
	else
		put_bytes(out, value.data, value.length);
}

static inline int
digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : -1;
}

static int
two_digits(const char *s)
{
	int			tens = digit(s[0]),
				ones = digit(s[1]);

	return tens < 0 || ones < 0 ? -1 : 10 * tens + ones;
}

/*
 * Days since 1970, of the Gregorian calendar.
 */
static int64_t
days_of(int year, int month, int day)
{
	int			y = month <= 2 ? year - 1 : year;
	int			era = y / 400;
	int			of_era = y - era * 400;
	int			of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

	return (int64_t) era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

/*
 * 2026-08-11T22:40:03.5510092Z, with a blank for the T, another zone or none
 * (then UTC), and a fraction or none.
 */
static bool
parse_timestamp(Value value, int64_t *timestamp)
{
	static const int month_days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	static const double powers[] = {1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9};
	const char *s = value.data;
	const char *end = s + value.length;
	int			year,
				month,
				day,
				hour,
				minute,
				second;
	int64_t		offset = 0,
				micros = 0;
	bool		leap;

	if (value.length < 19 || value.length > 40 || s[4] != '-' || s[7] != '-' || (s[10] != 'T' && s[10] != ' ') ||
		s[13] != ':' || s[16] != ':')
		return false;
	year = two_digits(s) * 100 + two_digits(s + 2);
	month = two_digits(s + 5);
	day = two_digits(s + 8);
	hour = two_digits(s + 11);
	minute = two_digits(s + 14);
	second = two_digits(s + 17);
	if (two_digits(s) < 0 || two_digits(s + 2) < 0 || year < 1900 || year > 2999 || month < 1 || month > 12 || day < 1 ||
		hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59)
		return false;
	leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
	if (day > month_days[month - 1] + (month == 2 && leap))
		return false;
	s += 19;
	if (s < end && *s == '.')
	{
		int64_t		fraction = 0;
		int			n = 0;

		for (s++; s < end && digit(*s) >= 0; s++)
		{
			if (++n > 9)
				return false;
			fraction = fraction * 10 + digit(*s);
		}
		if (n == 0)
			return false;
		/* rounded as the server does */
		micros = (int64_t) rint((double) fraction / powers[n] * 1000000);
	}
	if (s < end && *s == 'Z')
		s++;
	else if (s < end && (*s == '+' || *s == '-'))
	{
		int			sign = *s == '+' ? 1 : -1;
		int			hours,
					minutes = 0;

		if (end - s < 3 || (hours = two_digits(s + 1)) < 0 || hours > 14)
			return false;
		s += 3;
		if (end - s == 3 && *s == ':')
			s++;
		if (end - s == 2)
		{
			if ((minutes = two_digits(s)) < 0 || minutes > 59)
				return false;
			s += 2;
		}
		offset = sign * (hours * 3600 + minutes * 60);
	}
	if (s != end)
		return false;
	*timestamp = ((days_of(year, month, day) - EPOCH_DAYS) * 86400 + hour * 3600 + minute * 60 + second - offset) *
		INT64_C(1000000) + micros;
	return true;
}

/*
 * 00:07:4D:11:22:33, with hyphens, or without anything in between.
 */
static bool
parse_mac(Value value, unsigned char mac[6])
{
	size_t		step = value.length == 17 ? 3 : 2;

	if (value.length != 17 && value.length != 12)
		return false;
	for (int i = 0; i < 6; i++)
	{
		const char *s = value.data + i * step;
		int			byte = 0;

		for (int j = 0; j < 2; j++)
		{
			char		c = s[j] | 0x20;

			if (s[j] >= '0' && s[j] <= '9')
				byte = byte * 16 + s[j] - '0';
			else if (c >= 'a' && c <= 'f')
				byte = byte * 16 + c - 'a' + 10;
			else
				return false;
		}
		if (step == 3 && i < 5 && (s[2] != value.data[2] || (s[2] != ':' && s[2] != '-')))
			return false;
		mac[i] = byte;
	}
	return true;
}

/*
 * An address without a netmask.  Returns its length, 0 where it is none.
 */
static int
parse_ip(Value value, unsigned char ip[16])
{
	char		text[INET6_ADDRSTRLEN];

	if (value.length >= sizeof(text))
		return 0;
	memcpy(text, value.data, value.length);
	text[value.length] = '\0';
	if (inet_pton(AF_INET, text, ip) == 1)
		return 4;
	return inet_pton(AF_INET6, text, ip) == 1 ? 16 : 0;
}

/*
 * Missing is false, as the server has it.
 */
static bool
parse_truth(Value value, char *truth)
{
	static const struct
	{
		const char *word;
		char		truth;
	}			words[] = {{"false", 0}, {"true", 1}, {"no", 0}, {"yes", 1}, {"0", 0}, {"1", 1}, {"f", 0}, {"t", 1}};

	*truth = 0;
	if (value.length == 0)
		return true;
	for (size_t i = 0; i < lengthof(words); i++)
		if (strlen(words[i].word) == value.length && strncasecmp(words[i].word, value.data, value.length) == 0)
		{
			*truth = words[i].truth;
			return true;
		}
	return false;
}

/*
 * Tags are a JSON array of strings in a string, or one tag.  Adds them to an
 * array's elements; false for anything but plain strings.
 */
static bool
add_tags(Text *elements, int *n, Value value)
{
	const char *s = value.data;
	const char *end = s + value.length;

	if (value.length == 0 || (value.length == 2 && memcmp(s, "[]", 2) == 0))
		return true;
	if (*s != '[')
	{
		text_reserve(elements, value.length + 4);
		put_bytes(elements, s, value.length);
		(*n)++;
		return true;
	}
	for (s++; s < end;)
	{
		const char *start;

		if (*s++ != '"')
			return false;
		for (start = s; s < end && *s != '"'; s++)
			if (*s == '\\' || (unsigned char) *s < 0x20)
				return false;
		if (s >= end)
			return false;
		text_reserve(elements, s - start + 4);
		put_bytes(elements, start, s - start);
		(*n)++;
		s++;
		if (s < end && *s == ',')
		{
			s++;
			while (s < end && *s == ' ')
				s++;
		}
		else
			return s == end - 1 && *s == ']';
	}
	return false;
}

static void
encode_irregular(Text *out, int64_t ordinal, const Row *row, Text *scratch)
{
	bool		first = true;

	scratch->length = 0;
	/* the version of jsonb's binary format */
	text_add_byte(scratch, 1);
	text_add_byte(scratch, '{');
	for (int m = 0; m < N_MEMBERS; m++)
	{
		if (row->values[m].data == NULL)
			continue;
		text_add_string(scratch, first ? "\"" : ", \"");
		text_add_string(scratch, member_name(m));
		text_add_string(scratch, "\": ");
		text_add_json_string(scratch, row->values[m].data, row->values[m].length);
		first = false;
	}
	text_add_byte(scratch, '}');

	text_reserve(out, 2 + N_COLUMNS * 12 + scratch->length);
	put16(out, N_COLUMNS);
	put32(out, 8);
	put64(out, ordinal);
	put32(out, 8);
	put64(out, row->line);
	for (int i = 2; i < N_COLUMNS - 1; i++)
		put_null(out);
	put_bytes(out, scratch->data, scratch->length);
}

void
encode_row(Text *out, int64_t ordinal, const Row *row, Text *scratch)
{
	const Value *v = row->values;
	int64_t		last_seen,
				first_seen = 0;
	unsigned char mac[6],
				ip[20];
	int			ip_length = 0;
	char		excluded,
				transient;
	int			ntags = 0;
	size_t		total = 0;
	bool		regular = true;

	for (int m = 0; m < N_MEMBERS; m++)
	{
		regular &= v[m].length <= MAX_FIELD_BYTES;
		total += v[m].length;
	}
	scratch->length = 0;
	regular = regular && v[DEVICE_ID].length > 0 && parse_timestamp(v[TIMESTAMP], &last_seen) &&
		(v[FIRST_SEEN].length == 0 || parse_timestamp(v[FIRST_SEEN], &first_seen)) &&
		(v[MAC_ADDRESS].length == 0 || parse_mac(v[MAC_ADDRESS], mac)) &&
		(v[IP_ADDRESS].length == 0 || (ip_length = parse_ip(v[IP_ADDRESS], ip + 4)) > 0) &&
		parse_truth(v[IS_EXCLUDED], &excluded) && parse_truth(v[IS_TRANSIENT], &transient) &&
		add_tags(scratch, &ntags, v[MANUAL_TAGS]) && add_tags(scratch, &ntags, v[DYNAMIC_TAGS]);
	if (!regular)
	{
		encode_irregular(out, ordinal, row, scratch);
		return;
	}

	text_reserve(out, 2 + N_COLUMNS * 24 + total + scratch->length);
	put16(out, N_COLUMNS);
	put32(out, 8);
	put64(out, ordinal);
	put32(out, 8);
	put64(out, row->line);
	put_text(out, v[DEVICE_ID]);
	put32(out, 8);
	put64(out, last_seen);
	if (v[FIRST_SEEN].length == 0)
		put_null(out);
	else
	{
		put32(out, 8);
		put64(out, first_seen);
	}
	for (size_t i = 0; i < lengthof(texts); i++)
		put_text(out, v[texts[i]]);
	if (v[MAC_ADDRESS].length == 0)
		put_null(out);
	else
		put_bytes(out, mac, sizeof(mac));
	if (ip_length == 0)
		put_null(out);
	else
	{
		ip[0] = ip_length == 4 ? INET_FAMILY : INET6_FAMILY;
		ip[1] = ip_length * 8;	/* bits */
		ip[2] = 0;				/* no cidr */
		ip[3] = ip_length;
		put_bytes(out, ip, 4 + ip_length);
	}
	put_bytes(out, &excluded, 1);
	put_bytes(out, &transient, 1);
	if (ntags == 0)
		put_null(out);
	else
	{
		put32(out, 20 + scratch->length);
		put32(out, 1);			/* dimension */
		put32(out, 0);			/* no nulls */
		put32(out, TEXT_OID);
		put32(out, ntags);
		put32(out, 1);			/* lower bound */
		memcpy(out->data + out->length, scratch->data, scratch->length);
		out->length += scratch->length;
	}
	put_null(out);
}

void
encode_header(Text *out)
{
	text_add(out, "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0", 19);
}

void
encode_trailer(Text *out)
{
	text_reserve(out, 2);
	put16(out, UINT16_MAX);
}
