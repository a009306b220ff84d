/*
 * json.c
 *		Rows of DeviceInfo in JSON: an array, an object with one as "Results" or "value", or an object a line.  Read row
 *		by row, so that a file may be of any size.
 */
#include "client.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define MAX_DEPTH 1000
#define MAX_KEYS 64

typedef struct Json
{
	Input	   *input;
	DeviceSink *sink;
	int64_t		line;			/* of the row */
	size_t		row_bytes;		/* that were read of it */
	Text		values;			/* of the row, one behind the other */
	Text		key;
	Text		skipped;
	size_t		starts[N_MEMBERS];
	size_t		lengths[N_MEMBERS];
	bool		present[N_MEMBERS];
	const char *problem;
	/* the n-th key of the row before: mostly the n-th one of this row */
	struct
	{
		Text		name;
		int			member;
	}			keys[MAX_KEYS];
} Json;

static void fail(Json *json, const char *what) __attribute__((noreturn));

static void
fail(Json *json, const char *what)
{
	if (input_peek(json->input) < 0)
		die(EXIT_USAGE, "\"%s\" is cut off: it ends in line %" PRId64 ", in the middle of a value", json->input->name,
			json->input->line);
	die(EXIT_USAGE, "\"%s\", line %" PRId64 ": not JSON: %s", json->input->name, json->input->line, what);
}

static inline int
next_byte(Json *json)
{
	int			c = input_peek(json->input);

	if (c < 0)
		fail(json, "");
	json->input->next++;
	if (++json->row_bytes > MAX_ROW_BYTES)
		die(EXIT_USAGE, "\"%s\", line %" PRId64 ": a row is longer than %d MB", json->input->name, json->line,
			MAX_ROW_BYTES >> 20);
	return c;
}

/*
 * The next byte that is no blank, unread; -1 at the end.
 */
static int
skip_blanks(Json *json)
{
	for (;;)
	{
		int			c = input_peek(json->input);

		if (c == '\n')
			json->input->line++;
		else if (c != ' ' && c != '\t' && c != '\r')
			return c;
		json->input->next++;
	}
}

static void
expect(Json *json, char wanted, const char *what)
{
	if (skip_blanks(json) != wanted)
		fail(json, what);
	next_byte(json);
}

static int
four_hex(Json *json)
{
	int			value = 0;

	for (int i = 0; i < 4; i++)
	{
		int			c = next_byte(json);

		if (c >= '0' && c <= '9')
			value = value * 16 + c - '0';
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			value = value * 16 + (c | 0x20) - 'a' + 10;
		else
			fail(json, "\\u wants four hexadecimal digits");
	}
	return value;
}

static void
add_character(Text *out, uint32_t c)
{
	if (c < 0x80)
		text_add_byte(out, c);
	else if (c < 0x800)
	{
		text_add_byte(out, 0xC0 | c >> 6);
		text_add_byte(out, 0x80 | (c & 0x3F));
	}
	else if (c < 0x10000)
	{
		text_add_byte(out, 0xE0 | c >> 12);
		text_add_byte(out, 0x80 | (c >> 6 & 0x3F));
		text_add_byte(out, 0x80 | (c & 0x3F));
	}
	else
	{
		text_add_byte(out, 0xF0 | c >> 18);
		text_add_byte(out, 0x80 | (c >> 12 & 0x3F));
		text_add_byte(out, 0x80 | (c >> 6 & 0x3F));
		text_add_byte(out, 0x80 | (c & 0x3F));
	}
}

static void
read_escape(Json *json, Text *out)
{
	static const char from[] = "\"\\/bfnrt";
	static const char to[] = "\"\\/\b\f\n\r\t";
	int			c = next_byte(json);
	const char *found = c ? strchr(from, c) : NULL;
	uint32_t	character;

	if (found != NULL)
	{
		text_add_byte(out, to[found - from]);
		return;
	}
	if (c != 'u')
		fail(json, "an unknown escape in a string");
	character = four_hex(json);
	if (character == 0)
		json->problem = "a field contains a NUL character";
	else if (character >= 0xD800 && character < 0xE000)
	{
		int			low = 0;

		if (character < 0xDC00 && input_peek(json->input) == '\\')
		{
			next_byte(json);
			if (next_byte(json) == 'u')
				low = four_hex(json);
		}
		if (low < 0xDC00 || low > 0xDFFF)
		{
			json->problem = "a field contains half a character (an unpaired \\u surrogate)";
			return;
		}
		character = 0x10000 + ((character - 0xD800) << 10) + (low - 0xDC00);
	}
	add_character(out, character);
}

/*
 * A string behind its opening quote, decoded.
 */
static void
read_string(Json *json, Text *out)
{
	for (;;)
	{
		Input	   *input = json->input;
		char	   *start,
				   *p;
		int			c;

		if (input_peek(input) < 0)
			fail(json, "");
		start = p = input->next;
		while (p < input->end && *p != '"' && *p != '\\' && (unsigned char) *p >= 0x20)
			p++;
		text_add(out, start, p - start);
		input->next = p;
		json->row_bytes += p - start;
		if (p == input->end)
			continue;
		c = next_byte(json);
		if (c == '"')
			return;
		if (c == '\\')
			read_escape(json, out);
		else
			fail(json, "a control character in a string");
	}
}

/*
 * A number, true, false or null, as it stands.
 */
static void
read_word(Json *json, Text *out)
{
	static const char *const words[] = {"true", "false", "null"};
	size_t		start = out->length;
	const char *word;
	char	   *end;

	for (;;)
	{
		int			c = input_peek(json->input);

		if (c < 0 || !((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == 'E' || c == '-' || c == '+' || c == '.'))
			break;
		text_add_byte(out, next_byte(json));
		if (out->length - start > 400)
			fail(json, "a number of over 400 digits");
	}
	text_add(out, "", 0);
	word = out->data + start;
	for (size_t i = 0; i < lengthof(words); i++)
		if (strcmp(word, words[i]) == 0)
			return;
	strtod(word, &end);
	if (*word == '\0' || *end != '\0' || strchr("in+.", *word) != NULL || strpbrk(word, "xn") != NULL)
		fail(json, "expected a value");
}

/*
 * An array or object in its text, with the strings as they are escaped there.
 */
static void
read_container(Json *json, Text *out)
{
	char		closers[MAX_DEPTH];
	int			depth = 0;
	/* what may come: a value, a key, the end of the container */
	bool		value_may = true,
				key_may = false,
				end_may = false;

	do
	{
		int			c = skip_blanks(json);

		if (c < 0)
			fail(json, "");
		if (end_may && c == closers[depth - 1])
		{
			text_add_byte(out, next_byte(json));
			depth--;
			value_may = key_may = false;
		}
		else if (key_may)
		{
			if (c != '"')
				fail(json, "expected a key");
			text_add_byte(out, next_byte(json));
			for (;;)
			{
				c = next_byte(json);
				text_add_byte(out, c);
				if (c == '"')
					break;
				if (c == '\\')
					text_add_byte(out, next_byte(json));
				else if (c < 0x20)
					fail(json, "a control character in a string");
			}
			expect(json, ':', "expected a colon");
			text_add_byte(out, ':');
			key_may = end_may = false;
			value_may = true;
			continue;
		}
		else if (!value_may)
			fail(json, "expected a comma or the end");
		else if (c == '{' || c == '[')
		{
			if (depth == MAX_DEPTH)
				fail(json, "nested too deeply");
			text_add_byte(out, next_byte(json));
			closers[depth++] = c == '{' ? '}' : ']';
			key_may = c == '{';
			value_may = c == '[';
			end_may = true;
			continue;
		}
		else if (c == '"')
		{
			text_add_byte(out, next_byte(json));
			for (;;)
			{
				c = next_byte(json);
				text_add_byte(out, c);
				if (c == '"')
					break;
				if (c == '\\')
					text_add_byte(out, next_byte(json));
				else if (c < 0x20)
					fail(json, "a control character in a string");
			}
		}
		else
			read_word(json, out);

		/* a value has ended */
		value_may = key_may = false;
		end_may = true;
		if (depth > 0 && skip_blanks(json) == ',')
		{
			text_add_byte(out, next_byte(json));
			key_may = closers[depth - 1] == '}';
			value_may = !key_may;
			end_may = false;
		}
	} while (depth > 0);
}

/*
 * Any value, as text: a string decoded, null as nothing.  False for null.
 */
static bool
read_value(Json *json, Text *out)
{
	size_t		start = out->length;
	int			c = skip_blanks(json);

	if (c == '"')
	{
		next_byte(json);
		read_string(json, out);
	}
	else if (c == '{' || c == '[')
		read_container(json, out);
	else
	{
		read_word(json, out);
		if (out->length - start == 4 && memcmp(out->data + start, "null", 4) == 0)
		{
			out->length = start;
			return false;
		}
	}
	return true;
}

static int
member_of_key(Json *json, int n)
{
	bool		exact;
	int			member;

	if (n < MAX_KEYS && json->keys[n].name.length == json->key.length && json->key.length > 0 &&
		memcmp(json->keys[n].name.data, json->key.data, json->key.length) == 0)
		return json->keys[n].member;
	member = member_by_name(json->key.data, json->key.length, &exact);
	if (!exact)
		member = -1;
	if (n < MAX_KEYS)
	{
		json->keys[n].name.length = 0;
		text_add(&json->keys[n].name, json->key.data, json->key.length);
		json->keys[n].member = member;
	}
	return member;
}

static void
start_row(Json *json)
{
	json->line = json->input->line;
	json->row_bytes = 0;
	json->values.length = 0;
	json->problem = NULL;
	memset(json->present, 0, sizeof(json->present));
}

static void
emit_row(Json *json)
{
	Row			row = {.line = json->line, .problem = json->problem};
	Text		raw = {0};

	for (int m = 0; m < N_MEMBERS; m++)
		if (json->present[m])
			row.values[m] = (Value) {json->values.data + json->starts[m], json->lengths[m]};
	if (row.problem == NULL && json->values.length > 0 && !valid_utf8(json->values.data, json->values.length))
		row.problem = "a field is not UTF-8";
	if (row.problem != NULL)
	{
		text_add_byte(&raw, '{');
		for (int m = 0; m < N_MEMBERS; m++)
		{
			if (!json->present[m])
				continue;
			text_add_string(&raw, raw.length > 1 ? ", \"" : "\"");
			text_add_string(&raw, member_name(m));
			text_add_string(&raw, "\": ");
			text_add_json_string(&raw, row.values[m].data, row.values[m].length);
		}
		text_add(&raw, "}", 1);
		row.raw = (Value) {raw.data, raw.length};
	}
	sink_row(json->sink, &row);
	free(raw.data);
}

static void read_rows(Json *json);

/*
 * An object behind its brace.  The first one of a file may be what the rows come
 * in; then they are read as well, and that is returned.
 */
static bool
read_object(Json *json, bool first)
{
	bool		wrapper = false;
	bool		any = false;

	if (skip_blanks(json) == '}')
		next_byte(json);
	else
		for (int n = 0;; n++)
		{
			int			member;
			int			c;

			if (skip_blanks(json) != '"')
				fail(json, "expected a key");
			next_byte(json);
			json->key.length = 0;
			read_string(json, &json->key);
			text_add(&json->key, "", 0);
			expect(json, ':', "expected a colon");
			c = skip_blanks(json);
			if (first && c == '[' && (strcmp(json->key.data, "Results") == 0 || strcmp(json->key.data, "value") == 0))
			{
				wrapper = true;
				read_rows(json);
				start_row(json);
			}
			else if ((member = member_of_key(json, n)) >= 0)
			{
				sink_column(json->sink, member);
				any = true;
				json->starts[member] = json->values.length;
				json->present[member] = read_value(json, &json->values);
				json->lengths[member] = json->values.length - json->starts[member];
			}
			else
			{
				const char *problem = json->problem;
				bool		there;

				json->skipped.length = 0;
				there = read_value(json, &json->skipped);
				text_add(&json->skipped, "", 0);
				/* what nobody wants may be as it is */
				json->problem = problem;
				if (first && there && json->skipped.length > 0 && strcmp(json->key.data, "@odata.nextLink") == 0)
					die(EXIT_USAGE, "\"%s\" is one page of several (it has \"@odata.nextLink\"): fetch and import all",
						json->input->name);
				if (first && c == '{' && strcmp(json->key.data, "error") == 0)
					die(EXIT_USAGE, "\"%s\" is an error message, no export: %.300s", json->input->name, json->skipped.data);
			}
			c = skip_blanks(json);
			if (c != ',' && c != '}')
				fail(json, "expected a comma or the end of an object");
			next_byte(json);
			if (c == '}')
				break;
		}
	if (wrapper)
		return true;
	if (first && !any)
		die(EXIT_USAGE, "\"%s\" is no export of DeviceInfo: an object without an array \"Results\" or \"value\"",
			json->input->name);
	emit_row(json);
	return false;
}

/*
 * An array of rows.
 */
static void
read_rows(Json *json)
{
	int			c;

	next_byte(json);
	if (skip_blanks(json) == ']')
	{
		next_byte(json);
		return;
	}
	do
	{
		c = skip_blanks(json);
		start_row(json);
		if (c == '{')
		{
			next_byte(json);
			read_object(json, false);
		}
		else
		{
			Row			row = {.line = json->line};

			json->skipped.length = 0;
			read_value(json, &json->skipped);
			row.problem = c == '"' ? "it is a JSON string, not an object" : c == '[' ? "it is a JSON array, not an object" :
				"it is a JSON number or word, not an object";
			row.raw = (Value) {json->skipped.data, json->skipped.length};
			sink_row(json->sink, &row);
		}
		c = skip_blanks(json);
		if (c != ',' && c != ']')
			fail(json, "expected a comma or the end of an array");
		next_byte(json);
	} while (c == ',');
}

void
read_json(Input *input, DeviceSink *sink)
{
	Json	   *json = allocate(sizeof(Json));
	int			c;

	memset(json, 0, sizeof(*json));
	json->input = input;
	json->sink = sink;
	start_row(json);
	c = skip_blanks(json);
	if (c == '[')
		read_rows(json);
	else
	{
		next_byte(json);
		if (!read_object(json, true))
		{
			/* an object a line, or one behind the other */
			while ((c = skip_blanks(json)) >= 0)
			{
				start_row(json);
				if (c != '{')
					fail(json, "expected a row, an object");
				next_byte(json);
				read_object(json, false);
			}
		}
	}
	if (skip_blanks(json) >= 0)
		fail(json, "there is something behind the end");
	for (int i = 0; i < MAX_KEYS; i++)
		free(json->keys[i].name.data);
	free(json->values.data);
	free(json->key.data);
	free(json->skipped.data);
	free(json);
}

/*
 * Is a text one JSON object, and nothing else?  By the rules of strings and
 * brackets alone: it only must not break the line it is printed in.
 */
bool
json_is_object(const char *text)
{
	char		closers[MAX_DEPTH];
	int			depth = 0;

	text += strspn(text, " \t\r\n");
	if (*text != '{')
		return false;
	for (; *text != '\0'; text++)
	{
		if (*text == '"')
		{
			for (text++; *text != '"'; text++)
			{
				if ((unsigned char) *text < 0x20)
					return false;
				if (*text == '\\' && *++text == '\0')
					return false;
			}
		}
		else if (*text == '{' || *text == '[')
		{
			if (depth == MAX_DEPTH)
				return false;
			closers[depth++] = *text == '{' ? '}' : ']';
		}
		else if (*text == '}' || *text == ']')
		{
			if (closers[--depth] != *text)
				return false;
			if (depth == 0)
				return text[1 + strspn(text + 1, " \t\r\n")] == '\0';
		}
		else if ((unsigned char) *text < 0x20 && strchr("\t\r\n", *text) == NULL)
			return false;
	}
	return false;
}
