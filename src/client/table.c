/*
 * table.c
 *		A result as an aligned table, CSV, JSON or an HTML page.
 */
#include "client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void
add_cell(Text *out, const PGresult *result, int row, int column)
{
	text_add_printable(out, PQgetvalue(result, row, column), PQgetlength(result, row, column));
}

/*
 * Columns that it takes on a terminal.
 */
static int
display_width(const char *text, int encoding)
{
	int			width = 0;

	while (*text != '\0')
	{
		int			w = PQdsplen(text, encoding);

		if (w > 0)
			width += w;
		for (int n = PQmblen(text, encoding); n > 0 && *text != '\0'; n--)
			text++;
	}
	return width;
}

static void
add_padding(Text *out, int n)
{
	while (n-- > 0)
		text_add_byte(out, ' ');
}

static void
make_table(Text *out, const PGresult *result, const Column *columns, int ncolumns)
{
	int			encoding = pg_char_to_encoding("UTF8");
	int			nrows = PQntuples(result);
	int		   *widths = allocate(sizeof(int) * ncolumns);
	Text		cell = {0};

	for (int c = 0; c < ncolumns; c++)
	{
		widths[c] = strlen(columns[c].title);
		for (int r = 0; r < nrows; r++)
		{
			int			width;

			cell.length = 0;
			add_cell(&cell, result, r, c);
			width = display_width(cell.data, encoding);
			if (width > widths[c])
				widths[c] = width;
		}
	}
	for (int r = -1; r < nrows; r++)
	{
		for (int c = 0; c < ncolumns; c++)
		{
			int			padding;

			cell.length = 0;
			if (r < 0)
				text_add_string(&cell, columns[c].title);
			else
				add_cell(&cell, result, r, c);
			padding = widths[c] - display_width(cell.data, encoding);
			if (c > 0)
				text_add_string(out, "  ");
			if (columns[c].kind == NUMBER)
				add_padding(out, padding);
			text_add(out, cell.data, cell.length);
			if (columns[c].kind != NUMBER && c < ncolumns - 1)
				add_padding(out, padding);
		}
		while (out->length > 0 && out->data[out->length - 1] == ' ')
			out->length--;
		text_add_byte(out, '\n');
		for (int c = 0; r < 0 && c < ncolumns; c++)
		{
			if (c > 0)
				text_add_string(out, "  ");
			for (int i = 0; i < widths[c]; i++)
				text_add_byte(out, '-');
			if (c == ncolumns - 1)
				text_add_byte(out, '\n');
		}
	}
	free(cell.data);
	free(widths);
}

static void
make_csv(Text *out, const PGresult *result, const Column *columns, int ncolumns)
{
	for (int r = -1; r < PQntuples(result); r++)
	{
		for (int c = 0; c < ncolumns; c++)
		{
			if (c > 0)
				text_add_byte(out, ',');
			if (r < 0)
				text_add_string(out, columns[c].name);
			else if (columns[c].kind == TRUTH && !PQgetisnull(result, r, c))
				text_add_string(out, *PQgetvalue(result, r, c) == 't' ? "true" : "false");
			else
				text_add_csv(out, PQgetvalue(result, r, c), PQgetlength(result, r, c), columns[c].kind == TEXT);
		}
		/* RFC 4180 has CRLF, but every reader takes a plain newline */
		text_add_byte(out, '\n');
	}
}

static void
make_json(Text *out, const PGresult *result, const Column *columns, int ncolumns)
{
	text_add_byte(out, '[');
	for (int r = 0; r < PQntuples(result); r++)
	{
		text_add_string(out, r ? ",\n {" : "{");
		for (int c = 0; c < ncolumns; c++)
		{
			const char *value = PQgetvalue(result, r, c);

			if (c > 0)
				text_add_string(out, ", ");
			text_add_json_string(out, columns[c].name, strlen(columns[c].name));
			text_add_string(out, ": ");
			if (PQgetisnull(result, r, c))
				text_add_string(out, "null");
			else if (columns[c].kind == TRUTH)
				text_add_string(out, *value == 't' ? "true" : "false");
			else if (columns[c].kind == NUMBER && *value != '\0' && value[strspn(value, "0123456789.-")] == '\0')
				text_add_string(out, value);
			else
				text_add_json_string(out, value, PQgetlength(result, r, c));
		}
		text_add_byte(out, '}');
	}
	text_add_string(out, "]\n");
}

static void
make_html(Text *out, const char *title, const PGresult *result, const Column *columns, int ncolumns)
{
	text_add_string(out,
					"<!DOCTYPE html>\n"
					"<html lang=\"en\">\n"
					"<head>\n"
					"<meta charset=\"utf-8\">\n"
					"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
					"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
					"<meta name=\"color-scheme\" content=\"light dark\">\n"
					"<title>");
	text_add_html(out, title, strlen(title));
	text_add_string(out,
					"</title>\n"
					"<style>\n"
					"body { font: 1rem/1.4 system-ui, sans-serif; margin: 1.5rem; }\n"
					"div { overflow-x: auto; }\n"
					"table { border-collapse: collapse; }\n"
					"caption { font-weight: bold; text-align: left; padding-bottom: .5rem; }\n"
					"th, td { padding: .25rem .75rem; border-bottom: 1px solid #8888; text-align: left; }\n"
					".n { text-align: right; font-variant-numeric: tabular-nums; }\n"
					"</style>\n"
					"</head>\n"
					"<body>\n"
					"<div><table>\n<caption>");
	text_add_html(out, title, strlen(title));
	text_add_string(out, "</caption>\n<thead><tr>");
	for (int c = 0; c < ncolumns; c++)
	{
		text_add_string(out, columns[c].kind == NUMBER ? "<th scope=\"col\" class=\"n\">" : "<th scope=\"col\">");
		text_add_html(out, columns[c].title, strlen(columns[c].title));
		text_add_string(out, "</th>");
	}
	text_add_string(out, "</tr></thead>\n<tbody>\n");
	for (int r = 0; r < PQntuples(result); r++)
	{
		text_add_string(out, "<tr>");
		for (int c = 0; c < ncolumns; c++)
		{
			text_add_string(out, c == 0 ? "<th scope=\"row\">" : columns[c].kind == NUMBER ? "<td class=\"n\">" : "<td>");
			text_add_html(out, PQgetvalue(result, r, c), PQgetlength(result, r, c));
			text_add_string(out, c == 0 ? "</th>" : "</td>");
		}
		text_add_string(out, "</tr>\n");
	}
	text_add_string(out, "</tbody>\n</table></div>\n</body>\n</html>\n");
}

void
print_result(FILE *file, const char *format, const char *title, const PGresult *result, const Column *columns,
			 int ncolumns)
{
	Text		out = {0};

	if (PQnfields(result) < ncolumns)
		die(EXIT_SERVER, "the server gave %d columns instead of %d", PQnfields(result), ncolumns);
	if (strcmp(format, "csv") == 0)
		make_csv(&out, result, columns, ncolumns);
	else if (strcmp(format, "json") == 0)
		make_json(&out, result, columns, ncolumns);
	else if (strcmp(format, "html") == 0)
		make_html(&out, title, result, columns, ncolumns);
	else
		make_table(&out, result, columns, ncolumns);
	if (fwrite(out.data, 1, out.length, file) != out.length)
	{
		if (file == stdout)
			check_stdout();
		die(EXIT_SERVER, "could not write: %s", strerror(errno));
	}
	free(out.data);
}
