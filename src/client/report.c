/*
 * report.c
 *		eiot report: the page that eiot.report_html makes, in a file.
 */
#include "client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/*
 * 2026-10, 2026-10-03 or 2026-10-01..2026-10-31 as bounds of a daterange that
 * contains both ends; the server checks the dates.
 */
static void
parse_period(const char *period, char **first, char **last)
{
	const char *dots = strstr(period, "..");
	size_t		length = strlen(period);

	*first = *last = NULL;
	if (dots != NULL)
	{
		*first = copy_string(period);
		(*first)[dots - period] = '\0';
		*last = copy_string(dots + 2);
	}
	else if (length == 7 && strspn(period, "0123456789") == 4 && period[4] == '-' && strspn(period + 5, "0123456789") == 2)
		*first = format_string("%s-01", period);
	else
	{
		*first = copy_string(period);
		*last = copy_string(period);
	}
	if (dots != NULL && strlen(*first) == strlen(*last) && strcmp(*first, *last) > 0)
		die(EXIT_USAGE, "the period \"%s\" ends before it begins", period);
	if (length < 7 || **first == '\0' || (*last != NULL && **last == '\0'))
		die(EXIT_USAGE, "not a period: \"%s\"; a month (2026-10), a day (2026-10-03) or FIRST..LAST", period);
}

int
report(Options *options)
{
	bool		to_stdout = strcmp(options->output, "-") == 0;
	const char *params[4] = {NULL};
	char	   *first,
			   *last;
	PGconn	   *conn;
	Tenant		tenant;
	PGresult   *result;
	Scratch		scratch;
	FILE	   *file = stdout;

	if (options->period != NULL)
	{
		parse_period(options->period, &first, &last);
		params[2] = first;
		params[3] = last;
	}
	conn = connect_server(options);
	if (!to_stdout)
	{
		scratch_open(&scratch, options->output);
		file = scratch.file;
	}
	params[0] = find_inventory(conn, options->inventory, "SELECT");
	if (options->tenant != NULL)
	{
		find_tenant(conn, options->tenant, &tenant);
		params[1] = tenant.id;
	}
	if (options->period != NULL)
		result = run(conn,
					 "SELECT eiot.report_html($1::pg_catalog.regclass, $2::pg_catalog.uuid,"
					 "         pg_catalog.daterange($3::pg_catalog.date,"
					 "           COALESCE($4::pg_catalog.date, ($3::pg_catalog.date OPERATOR(pg_catalog.+)"
					 "             '1 month - 1 day'::pg_catalog.interval)::pg_catalog.date), '[]'))", 4, params);
	else
		result = run(conn, "SELECT eiot.report_html($1::pg_catalog.regclass, $2::pg_catalog.uuid)", 2, params);
	if (PQgetisnull(result, 0, 0))
		die(EXIT_SERVER, "the server made no report");
	if (fwrite(PQgetvalue(result, 0, 0), 1, PQgetlength(result, 0, 0), file) != (size_t) PQgetlength(result, 0, 0) && !to_stdout)
		die(EXIT_SERVER, "could not write \"%s\": %s", options->output, strerror(errno));
	if (to_stdout)
		check_stdout();
	else
		scratch_keep(&scratch);
	PQclear(result);
	PQfinish(conn);
	return EXIT_FINE;
}
