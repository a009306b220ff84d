/*
 * bodies.c
 *		eiot import licenses, fingerprints and oui: whole files for functions of the extension.
 */
#include "client.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What a value of the server can be, and room for its escapes */
#define MAX_BODY_BYTES ((size_t) 200 * 1024 * 1024)

int
import_licenses(Options *options)
{
	static const Column columns[] = {
		{"part_number", "part number", TEXT}, {"change", "change", TEXT}, {"enabled", "enabled", NUMBER},
		{"warning", "warning", NUMBER}, {"suspended", "suspended", NUMBER}, {"locked_out", "locked out", NUMBER},
		{"assigned", "assigned", NUMBER}, {"note", "note", TEXT}
	};
	char	   *body = read_whole(options->files[0], MAX_BODY_BYTES);
	PGconn	   *conn = connect_server(options);
	Tenant		tenant;
	const char *params[3] = {NULL, body, options->as_of};
	PGresult   *result;

	find_tenant(conn, options->tenant, &tenant);
	params[0] = tenant.id;
	result = run_on_file(conn, options->files[0],
						 "SELECT i.part_number, i.change, i.enabled, i.warning, i.suspended, i.locked_out, i.assigned, i.note"
						 "  FROM eiot.import_subscribed_skus($1::pg_catalog.uuid, $2::pg_catalog.jsonb,"
						 "                                   COALESCE($3::pg_catalog.timestamptz, pg_catalog.now())) i", 3, params);
	if (!options->quiet)
	{
		if (PQntuples(result) == 0)
			printf("nothing changed\n");
		else
			print_result(stdout, "table", "", result, columns, lengthof(columns));
	}
	PQclear(result);
	PQfinish(conn);
	return EXIT_FINE;
}

int
import_fingerprints(Options *options)
{
	PGconn	   *conn;
	PGresult   *result;

	if (options->kind != NULL && options->nfiles > 1)
		die(EXIT_USAGE, "--kind is that of one file, and there are %d", options->nfiles);
	for (int i = 0; i < options->nfiles; i++)
		if (strcmp(options->files[i], "-") != 0 && access(options->files[i], R_OK) != 0)
			free(read_whole(options->files[i], MAX_BODY_BYTES));
	conn = connect_server(options);
	PQclear(run(conn, "BEGIN", 0, NULL));
	for (int i = 0; i < options->nfiles; i++)
	{
		char	   *body = read_whole(options->files[i], MAX_BODY_BYTES);
		const char *params[2] = {body, options->kind};

		result = run_on_file(conn, options->files[i], "SELECT eiot.load_fingerprints($1::pg_catalog.xml, $2)", 2, params);
		if (!options->quiet)
			printf("%s: %s fingerprints\n", options->files[i], PQgetvalue(result, 0, 0));
		PQclear(result);
	}
	PQclear(run(conn, "COMMIT", 0, NULL));
	PQfinish(conn);
	return EXIT_FINE;
}

/*
 * The registry that a file of IEEE is of stands at the beginning of each line
 * behind the header.
 */
static const char *
registry_of(const char *path, const char *body)
{
	static const char *const registries[] = {"MA-L", "MA-M", "MA-S", "IAB"};
	const char *line = strchr(body, '\n');

	for (size_t i = 0; line != NULL && i < lengthof(registries); i++)
	{
		size_t		length = strlen(registries[i]);

		if (strncmp(line + 1, registries[i], length) == 0 && line[1 + length] == ',')
			return registries[i];
	}
	die(EXIT_USAGE, "\"%s\" is not a registry of IEEE in CSV: expected \"Registry,Assignment,Organization Name,Organization "
		"Address\" and lines of MA-L, MA-M, MA-S or IAB", path);
}

int
import_oui(Options *options)
{
	static char *const debian[] = {
		"/usr/share/ieee-data/oui.csv", "/usr/share/ieee-data/mam.csv", "/usr/share/ieee-data/oui36.csv",
		"/usr/share/ieee-data/iab.csv"
	};
	char	  **files = options->nfiles > 0 ? options->files : (char **) debian;
	int			nfiles = options->nfiles > 0 ? options->nfiles : (int) lengthof(debian);
	char	  **bodies = allocate(sizeof(char *) * nfiles);
	PGconn	   *conn;

	if (options->nfiles == 0 && access(debian[0], R_OK) != 0)
		die(EXIT_USAGE, "there is no \"%s\": install Debian's package ieee-data, or name the files", debian[0]);
	for (int i = 0; i < nfiles; i++)
		bodies[i] = read_whole(files[i], MAX_BODY_BYTES);
	conn = connect_server(options);
	PQclear(run(conn, "BEGIN", 0, NULL));
	for (int i = 0; i < nfiles; i++)
	{
		const char *params[2] = {registry_of(files[i], bodies[i]), bodies[i]};
		PGresult   *result = run_on_file(conn, files[i], "SELECT eiot.load_oui($1, $2)", 2, params);

		if (!options->quiet)
			printf("%s: %s blocks of %s\n", files[i], PQgetvalue(result, 0, 0), params[0]);
		PQclear(result);
	}
	PQclear(run(conn, "COMMIT", 0, NULL));
	PQfinish(conn);
	return EXIT_FINE;
}
