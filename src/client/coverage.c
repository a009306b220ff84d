/*
 * coverage.c
 *		eiot coverage, explain and check.
 */
#include "client.h"

#include <stdlib.h>
#include <string.h>

static const char *
check_format(const char *format)
{
	static const char *const formats[] = {"table", "csv", "json", "html"};

	if (format == NULL)
		return "table";
	for (size_t i = 0; i < lengthof(formats); i++)
		if (strcmp(format, formats[i]) == 0)
			return format;
	die(EXIT_USAGE, "unknown format \"%s\": table, csv, json or html", format);
}

/* Read by people: what there is no number for is a word or nothing */
static bool
for_people(const char *format)
{
	return strcmp(format, "table") == 0 || strcmp(format, "html") == 0;
}

/*
 * To standard output, or to the file of --output when all of it is there.
 */
static void
print_to(const Options *options, const char *format, const char *title, const PGresult *result, const Column *columns,
		 int ncolumns)
{
	Scratch		scratch;

	if (options->output == NULL || strcmp(options->output, "-") == 0)
	{
		print_result(stdout, format, title, result, columns, ncolumns);
		check_stdout();
		return;
	}
	scratch_open(&scratch, options->output);
	print_result(scratch.file, format, title, result, columns, ncolumns);
	scratch_keep(&scratch);
}

/* The instant to count at: $2, or now */
#define AS_OF "COALESCE($2::pg_catalog.timestamptz, pg_catalog.now())"

#define COVERAGE_FROM \
	"  FROM eiot.coverage_at($1::pg_catalog.regclass, " AS_OF ") c" \
	" WHERE $3::pg_catalog.uuid IS NULL OR c.tenant_id OPERATOR(pg_catalog.=) $3::pg_catalog.uuid" \
	" ORDER BY c.gap DESC NULLS LAST, c.tenant, c.tenant_id"

int
show_coverage(Options *options)
{
	static const Column people[] = {
		{"tenant", "tenant", TEXT}, {"devices", "devices", NUMBER}, {"counted", "counted", NUMBER},
		{"capacity", "capacity", NUMBER}, {"gap", "gap", NUMBER}, {"surplus", "surplus", NUMBER},
		{"used", "used", NUMBER}
	};
	static const Column machines[] = {
		{"tenant_id", "tenant_id", TEXT}, {"tenant", "tenant", TEXT}, {"devices", "devices", NUMBER},
		{"counted", "counted", NUMBER}, {"capacity", "capacity", NUMBER}, {"unlimited", "unlimited", TRUTH},
		{"gap", "gap", NUMBER}, {"surplus", "surplus", NUMBER}, {"utilization", "utilization", NUMBER}
	};
	const char *format = check_format(options->format);
	PGconn	   *conn = connect_server(options);
	const char *params[3] = {NULL, options->as_of, NULL};
	Tenant		tenant;
	PGresult   *result;
	char	   *title;

	params[0] = find_inventory(conn, options->inventory, "SELECT");
	if (options->tenant != NULL)
	{
		find_tenant(conn, options->tenant, &tenant);
		params[2] = tenant.id;
	}
	title = format_string("License coverage of %s%s%s", params[0], options->as_of ? " as of " : "",
						  options->as_of ? options->as_of : "");
	if (for_people(format))
	{
		result = run(conn,
					 "SELECT CASE WHEN pg_catalog.count(*) OVER (PARTITION BY c.tenant) OPERATOR(pg_catalog.=) 1 THEN c.tenant"
					 "            ELSE pg_catalog.concat(c.tenant, ' (', c.tenant_id, ')') END, c.devices, c.counted,"
					 "       CASE WHEN c.unlimited THEN 'unlimited' ELSE c.capacity::pg_catalog.text END,"
					 "       c.gap, CASE WHEN c.unlimited THEN 'unlimited' ELSE c.surplus::pg_catalog.text END,"
					 "       pg_catalog.round(c.utilization OPERATOR(pg_catalog.*) 100, 1)::pg_catalog.text OPERATOR(pg_catalog.||) '%'"
					 COVERAGE_FROM, 3, params);
		print_to(options, format, title, result, people, lengthof(people));
	}
	else
	{
		result = run(conn,
					 "SELECT c.tenant_id, c.tenant, c.devices, c.counted, c.capacity, c.unlimited, c.gap, c.surplus,"
					 "       pg_catalog.round(c.utilization, 6)"
					 COVERAGE_FROM, 3, params);
		print_to(options, format, title, result, machines, lengthof(machines));
	}
	PQclear(result);
	PQfinish(conn);
	return EXIT_FINE;
}

int
explain(Options *options)
{
	static const Column columns[] = {
		{"reason", "reason", TEXT}, {"devices", "devices", NUMBER}
	};
	const char *format = check_format(options->format);
	PGconn	   *conn = connect_server(options);
	const char *params[3] = {NULL, options->as_of, NULL};
	Tenant		tenant;
	PGresult   *result;
	char	   *title;

	params[0] = find_inventory(conn, options->inventory, "SELECT");
	find_tenant(conn, options->tenant, &tenant);
	params[2] = tenant.id;
	title = format_string("Devices of %s by reason%s%s", tenant.name, options->as_of ? " as of " : "",
						  options->as_of ? options->as_of : "");
	/* people get the total; a program can add */
	result = run(conn, for_people(format) ?
				 "SELECT COALESCE(e.reason::pg_catalog.text, 'total'), COALESCE(pg_catalog.sum(e.devices), 0)"
				 "  FROM eiot.explain_count($1::pg_catalog.regclass, $3::pg_catalog.uuid, " AS_OF ") e"
				 " GROUP BY ROLLUP (e.reason) ORDER BY e.reason NULLS LAST" :
				 "SELECT e.reason, e.devices"
				 "  FROM eiot.explain_count($1::pg_catalog.regclass, $3::pg_catalog.uuid, " AS_OF ") e"
				 " ORDER BY e.reason", 3, params);
	print_to(options, format, title, result, columns, lengthof(columns));
	PQclear(result);
	PQfinish(conn);
	return EXIT_FINE;
}

/*
 * The form that Nagios and its kin read: one line, text before "|", performance
 * data behind it.
 */
int
check(Options *options)
{
	PGconn	   *conn = connect_server(options);
	const char *params[3] = {NULL, options->as_of, NULL};
	const int	max_named = 5;
	Tenant		tenant;
	PGresult   *result;
	Text		line = {0};
	int			tenants,
				short_of_licenses = 0,
				uncounted = 0;
	long long	gap = 0,
				total = 0;

	params[0] = find_inventory(conn, options->inventory, "SELECT");
	if (options->tenant != NULL)
	{
		find_tenant(conn, options->tenant, &tenant);
		params[2] = tenant.id;
	}
	result = run(conn, "SELECT c.tenant, c.gap" COVERAGE_FROM, 3, params);
	tenants = PQntuples(result);
	for (int r = 0; r < tenants; r++)
	{
		if (PQgetisnull(result, r, 1))
		{
			uncounted++;
			continue;
		}
		gap = strtoll(PQgetvalue(result, r, 1), NULL, 10);
		if (gap == 0)
			continue;
		/* the largest gap comes first */
		text_add_string(&line, short_of_licenses == 0 ? ": " : short_of_licenses < max_named ? ", " :
						short_of_licenses == max_named ? ", ..." : "");
		if (short_of_licenses < max_named)
		{
			text_add_printable(&line, PQgetvalue(result, r, 0), PQgetlength(result, r, 0));
			text_add_byte(&line, ' ');
			text_add_string(&line, PQgetvalue(result, r, 1));
		}
		short_of_licenses++;
		if (__builtin_add_overflow(total, gap, &total))
			total = INT64_MAX;
	}
	for (size_t i = 0; i < line.length; i++)
		if (line.data[i] == '|')
			line.data[i] = '/';
	if (short_of_licenses > 0)
		printf("EIOT WARNING - %d of %d tenants under-licensed, %lld licenses missing%s", short_of_licenses, tenants, total,
			   line.data);
	else if (tenants == 0)
		printf("EIOT UNKNOWN - there is no tenant, or none that user \"%s\" has access to", PQuser(conn));
	else
		printf("EIOT %s - none of %d tenants under-licensed", uncounted > 0 ? "UNKNOWN" : "OK", tenants);
	if (uncounted > 0)
		printf("; %d not counted, no rule is in force", uncounted);
	printf(" | tenants=%d under_licensed=%d;0 gap=%lld\n", tenants, short_of_licenses, total);
	PQclear(result);
	PQfinish(conn);
	if (short_of_licenses > 0)
		return EXIT_UNDER_LICENSED;
	/* no news of what was not counted is no good news */
	return tenants == 0 || uncounted > 0 ? EXIT_SERVER : EXIT_FINE;
}
