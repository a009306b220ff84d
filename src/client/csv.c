/*
 * csv.c
 *		A device export in CSV (RFC 4180, and what others make of it).
 */
#include "client.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define MAX_FIELDS 4096

typedef struct Csv
{
	Input	   *input;
	char		separator;
	Text		record;			/* the fields, one behind the other */
	size_t		starts[MAX_FIELDS + 1];
	int			nfields;
	int64_t		line;			/* on which the record begins */
	const char *problem;
} Csv;

static void
add_part(Csv *csv, const char *data, size_t length)
{
	if (csv->record.length + length > MAX_ROW_BYTES)
		die(EXIT_USAGE, "\"%s\", line %" PRId64 ": the row is longer than %d MB; a quote may be missing, or it is no CSV export",
			csv->input->name, csv->line, MAX_ROW_BYTES >> 20);
	text_add(&csv->record, data, length);
}

static void
add_quoted(Csv *csv)
{
	Input	   *input = csv->input;

	input->next++;
	for (;;)
	{
		char	   *quote;
		char	   *part = input->next;

		if (input_peek(input) < 0)
			die(EXIT_USAGE, "\"%s\", line %" PRId64 ": a quoted field is not closed", input->name, csv->line);
		part = input->next;
		quote = memchr(part, '"', input->end - part);
		input->next = quote ? quote : input->end;
		add_part(csv, part, input->next - part);
		for (char *p = part; (p = memchr(p, '\n', input->next - p)) != NULL; p++)
			input->line++;
		if (quote == NULL)
			continue;
		input->next++;
		if (input_peek(input) != '"')
			return;
		add_part(csv, "\"", 1);
		input->next++;
	}
}

static void
add_unquoted(Csv *csv)
{
	Input	   *input = csv->input;
	const char	separator = csv->separator;

	while (input_peek(input) >= 0)
	{
		char	   *part = input->next;
		char	   *p = part;

		while (p < input->end && *p != separator && *p != '\n' && *p != '\r')
			p++;
		input->next = p;
		add_part(csv, part, p - part);
		if (p < input->end)
			return;
	}
}

/*
 * Reads a record; false at the end of the file.
 */
static bool
read_record(Csv *csv)
{
	Input	   *input = csv->input;
	int			c;

	csv->record.length = 0;
	csv->nfields = 0;
	csv->problem = NULL;
	csv->line = input->line;
	if (input_peek(input) < 0)
		return false;
	for (;;)
	{
		if (csv->nfields == MAX_FIELDS)
			die(EXIT_USAGE, "\"%s\", line %" PRId64 ": more than %d fields", input->name, csv->line, MAX_FIELDS);
		csv->starts[csv->nfields++] = csv->record.length;
		if (input_peek(input) == '"')
		{
			add_quoted(csv);
			c = input_peek(input);
			if (c >= 0 && c != csv->separator && c != '\n' && c != '\r')
				csv->problem = "there is text behind a closing quote";
		}
		add_unquoted(csv);
		c = input_peek(input);
		if (c >= 0)
			input->next++;
		if (c != csv->separator)
			break;
	}
	csv->starts[csv->nfields] = csv->record.length;
	if (c == '\r' && input_peek(input) == '\n')
		input->next++;
	input->line++;
	return true;
}

static inline Value
field(const Csv *csv, int i)
{
	return (Value) {csv->record.data + csv->starts[i], csv->starts[i + 1] - csv->starts[i]};
}

/*
 * Spreadsheets of some countries write semicolons or tabs.  Decides by the first
 * line, as far as it is in the buffer.
 */
static char
find_separator(Input *input)
{
	static const char separators[] = ",;\t";
	int			counts[3] = {0};
	bool		quoted = false;
	int			best = 0;

	for (char *p = input->next; p < input->end && (quoted || (*p != '\n' && *p != '\r')); p++)
	{
		if (*p == '"')
			quoted = !quoted;
		for (int i = 0; i < 3 && !quoted; i++)
			counts[i] += *p == separators[i];
	}
	for (int i = 1; i < 3; i++)
		if (counts[i] > counts[best])
			best = i;
	return separators[best];
}

/*
 * Which column has which member: the one called as in DeviceInfo, else the first
 * that is known under another name.
 */
static void
map_columns(Csv *csv, DeviceSink *sink, int columns[N_MEMBERS])
{
	bool		exacts[N_MEMBERS] = {false};
	Text		found = {0};

	for (int m = 0; m < N_MEMBERS; m++)
		columns[m] = -1;
	for (int i = 0; i < csv->nfields; i++)
	{
		Value		name = field(csv, i);
		bool		exact;
		int			m = member_by_name(name.data, name.length, &exact);

		text_add_string(&found, i ? ", " : "");
		text_add(&found, name.data, name.length < 40 ? name.length : 40);
		if (m < 0)
			continue;
		if (exact && exacts[m])
			die(EXIT_USAGE, "\"%s\" has the column \"%.*s\" twice", csv->input->name, (int) name.length, name.data);
		if (columns[m] < 0 || exact)
			columns[m] = i;
		exacts[m] |= exact;
	}
	if (found.length > 300)
	{
		found.length = 300;
		text_add_string(&found, " ...");
	}
	if (columns[DEVICE_ID] < 0 || columns[TIMESTAMP] < 0)
		die(EXIT_USAGE, "\"%s\" is no export of devices: it has no column \"%s\", but %s", csv->input->name,
			columns[DEVICE_ID] < 0 ? "Device ID" : "Last device update", found.data);
	for (int m = 0; m < N_MEMBERS; m++)
		if (columns[m] >= 0)
			sink_column(sink, m);
	free(found.data);
}

/*
 * A cell that holds several addresses gives the first one.
 */
static Value
first_of_list(Value value)
{
	size_t		n = 0;

	while (value.length > 0 && *value.data == ' ')
		value.data++, value.length--;
	while (n < value.length && strchr(",; \n\r", value.data[n]) == NULL)
		n++;
	value.length = n;
	return value;
}

/*
 * The portal's words for a truth.
 */
static Value
exclusion(Value value)
{
	if (value.length == 8 && strncasecmp(value.data, "excluded", 8) == 0)
		return (Value) {"true", 4};
	if (value.length == 12 && strncasecmp(value.data, "not excluded", 12) == 0)
		return (Value) {"false", 5};
	return value;
}

void
read_csv(Input *input, DeviceSink *sink)
{
	Csv			csv = {.input = input, .separator = find_separator(input)};
	Text		raw = {0};
	char		wrong_count[80];
	int			columns[N_MEMBERS];
	int			nheader;
	Row			row;

	do
	{
		if (!read_record(&csv))
			die(EXIT_USAGE, "\"%s\" is empty", input->name);
	} while (csv.nfields == 1 && csv.record.length == 0);
	if (csv.problem != NULL || memchr(csv.record.data, '\0', csv.record.length) != NULL ||
		!valid_utf8(csv.record.data, csv.record.length))
		die(EXIT_USAGE, "\"%s\" is neither CSV nor JSON in UTF-8", input->name);
	map_columns(&csv, sink, columns);
	nheader = csv.nfields;

	while (read_record(&csv))
	{
		bool		valid;

		/* an empty line is no row */
		if (csv.nfields == 1 && csv.record.length == 0)
			continue;
		row.line = csv.line;
		row.problem = csv.problem;
		if (row.problem == NULL && csv.nfields != nheader)
		{
			snprintf(wrong_count, sizeof(wrong_count), "it has %d fields, the header has %d", csv.nfields, nheader);
			row.problem = wrong_count;
		}
		valid = csv.record.length == 0 ||
			(valid_utf8(csv.record.data, csv.record.length) && memchr(csv.record.data, '\0', csv.record.length) == NULL);
		for (int m = 0; m < N_MEMBERS && row.problem == NULL; m++)
		{
			Value		value = {NULL, 0};

			if (columns[m] >= 0)
				value = field(&csv, columns[m]);
			if (!valid && value.data != NULL)
			{
				if (memchr(value.data, '\0', value.length) != NULL)
					row.problem = "a field contains a NUL byte";
				else if (!valid_utf8(value.data, value.length))
					row.problem = "a field is not UTF-8; convert the file, for instance with iconv -f WINDOWS-1252 -t UTF-8";
			}
			if (m == MAC_ADDRESS || m == IP_ADDRESS)
				value = first_of_list(value);
			else if (m == IS_EXCLUDED)
				value = exclusion(value);
			row.values[m] = value;
		}
		if (row.problem != NULL)
		{
			raw.length = 0;
			for (int i = 0; i < csv.nfields; i++)
			{
				Value		value = field(&csv, i);

				if (i > 0)
					text_add_byte(&raw, csv.separator);
				text_add_csv(&raw, value.data, value.length, false);
			}
			row.raw = (Value) {raw.data, raw.length};
		}
		sink_row(sink, &row);
	}
	free(csv.record.data);
	free(raw.data);
}
