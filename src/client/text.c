/*
 * text.c
 *		A buffer that grows, and text in it that is safe where it will be read.
 */
#include "client.h"

#include <stdlib.h>
#include <string.h>

#define MAX_TEXT_BYTES (1024UL * 1024 * 1024)

void
text_reserve(Text *text, size_t more)
{
	size_t		size = text->size ? text->size : 256;

	if (more > MAX_TEXT_BYTES || text->length + more + 1 > MAX_TEXT_BYTES)
		die(EXIT_SERVER, "out of memory: a text of over 1 GB");
	if (text->length + more + 1 <= text->size)
		return;
	while (size < text->length + more + 1)
		size *= 2;
	text->data = reallocate(text->data, size);
	text->size = size;
}

void
text_add(Text *text, const char *data, size_t length)
{
	text_reserve(text, length);
	if (length > 0)
		memcpy(text->data + text->length, data, length);
	text->length += length;
	text->data[text->length] = '\0';
}

void
text_add_string(Text *text, const char *string)
{
	text_add(text, string, strlen(string));
}

/*
 * A JSON string, in quotes.  data is valid UTF-8.
 */
void
text_add_json_string(Text *text, const char *data, size_t length)
{
	text_add_byte(text, '"');
	for (size_t i = 0; i < length; i++)
	{
		unsigned char c = data[i];

		if (c == '"' || c == '\\')
		{
			text_add_byte(text, '\\');
			text_add_byte(text, c);
		}
		else if (c < 0x20 || c == 0x7F)
		{
			char		escape[8];

			snprintf(escape, sizeof(escape), "\\u%04x", c);
			text_add_string(text, escape);
		}
		else
			text_add_byte(text, c);
	}
	text_add(text, "\"", 1);
}

/*
 * The character at data, and how many bytes it has; bytes that are none stand
 * for themselves.
 */
static uint32_t
decode(const unsigned char *data, size_t length, int *bytes)
{
	uint32_t	c = data[0];
	int			n = c < 0x80 ? 1 : c < 0xC2 ? 0 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : c < 0xF5 ? 4 : 0;

	*bytes = 1;
	if (n < 2 || (size_t) n > length || !valid_utf8((const char *) data, n))
		return n == 1 ? c : 0xDC00 + c;
	c &= 0xFF >> (n + 1);
	for (int i = 1; i < n; i++)
		c = c << 6 | (data[i] & 0x3F);
	*bytes = n;
	return c;
}

/*
 * One line that a terminal shows and does not obey: line breaks become blanks,
 * control characters, marks that turn the direction of text and bytes that are
 * not UTF-8 become \x.. or \u....
 */
void
text_add_printable(Text *text, const char *data, size_t length)
{
	for (size_t i = 0; i < length;)
	{
		int			bytes;
		uint32_t	c = decode((const unsigned char *) data + i, length - i, &bytes);
		char		escape[16];

		if (c == '\n' || c == '\r' || c == '\t')
		{
			if (text->length > 0 && text->data[text->length - 1] != ' ')
				text_add_byte(text, ' ');
		}
		else if (c >= 0xDC00 && c <= 0xDCFF)
		{
			snprintf(escape, sizeof(escape), "\\x%02X", (unsigned) (c - 0xDC00));
			text_add_string(text, escape);
		}
		else if (c < 0x20 || (c >= 0x7F && c < 0xA0))
		{
			snprintf(escape, sizeof(escape), "\\x%02X", (unsigned) c);
			text_add_string(text, escape);
		}
		else if (c == 0x061C || c == 0x200E || c == 0x200F || c == 0x2028 || c == 0x2029 ||
				 (c >= 0x202A && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069))
		{
			snprintf(escape, sizeof(escape), "\\u%04X", (unsigned) c);
			text_add_string(text, escape);
		}
		else
			text_add(text, data + i, bytes);
		i += bytes;
	}
	text_add(text, "", 0);
}

/*
 * Text of HTML, or of a quoted attribute.
 */
void
text_add_html(Text *text, const char *data, size_t length)
{
	for (size_t i = 0; i < length; i++)
	{
		unsigned char c = data[i];

		switch (c)
		{
			case '&':
				text_add_string(text, "&amp;");
				break;
			case '<':
				text_add_string(text, "&lt;");
				break;
			case '>':
				text_add_string(text, "&gt;");
				break;
			case '"':
				text_add_string(text, "&quot;");
				break;
			case '\'':
				text_add_string(text, "&#39;");
				break;
			default:
				if (c >= 0x20 && c != 0x7F)
					text_add_byte(text, c);
				else
					text_add_byte(text, ' ');
		}
	}
	text_add(text, "", 0);
}

/*
 * A field of CSV (RFC 4180).  Text that a spreadsheet would calculate gets an
 * apostrophe in front.
 */
void
text_add_csv(Text *text, const char *data, size_t length, bool guard_formulas)
{
	bool		guard = guard_formulas && length > 0 && strchr("=+-@\t\r", data[0]) != NULL;
	bool		quote = guard;

	for (size_t i = 0; i < length && !quote; i++)
		quote = data[i] == '"' || data[i] == ',' || data[i] == '\n' || data[i] == '\r';
	if (quote)
		text_add_byte(text, '"');
	if (guard)
		text_add_byte(text, '\'');
	for (size_t i = 0; i < length; i++)
	{
		if (data[i] == '"')
			text_add_byte(text, '"');
		text_add_byte(text, data[i]);
	}
	if (quote)
		text_add_byte(text, '"');
	text_add(text, "", 0);
}
