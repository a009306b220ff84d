/*
 * import_devices.c
 *		eiot import devices: files through COPY into a staging table, and one statement that merges it.
 *
 * The staging table is the session's own.  What others see is one transaction,
 * the merge: whatever breaks before its commit has changed nothing.
 */
#include "client.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define STAGING "pg_temp.eiot_staged_device"
#define FLUSH_BYTES (128 * 1024)
#define REJECTS_AT_ONCE "5000"
/* Rows are sorted in memory up to this; a session that has more keeps it */
#define MAX_SORT_MEMORY_KB (512 * 1024)

struct DeviceSink
{
	PGconn	   *conn;
	Text		out;			/* on its way to the server */
	Text		scratch;
	int64_t		rows;
	int64_t		bytes;			/* that the server has got */
	bool		columns[N_MEMBERS];
	Input	   *input;
	int			nfiles;
	char	  **files;
	int64_t    *first_rows;		/* of each file */
	int			file;
	FILE	   *rejects;
	int64_t		rejected;
	Progress	progress;
};

/* In the inventory; those that every row brings have none here */
static const char *const inventory_columns[N_MEMBERS] = {
	[DEVICE_NAME] = "name", [DEVICE_CATEGORY] = "category", [DEVICE_TYPE] = "type", [DEVICE_SUBTYPE] = "subtype",
	[VENDOR] = "vendor", [MODEL] = "model", [OS_PLATFORM] = "os_platform", [ONBOARDING_STATUS] = "onboarding_status",
	[MAC_ADDRESS] = "mac", [IP_ADDRESS] = "ip", [MERGED_TO_DEVICE_ID] = "merged_into", [IS_EXCLUDED] = "excluded",
	[IS_TRANSIENT] = "transient", [DISCOVERY_SOURCES] = "discovery_sources", [SITE] = "site", [MANUAL_TAGS] = "tags",
	[DYNAMIC_TAGS] = "tags"
};

void
sink_column(DeviceSink *sink, Member member)
{
	sink->columns[member] = true;
}

static const char *
file_name(const char *path)
{
	return strcmp(path, "-") == 0 ? "standard input" : path;
}

static void
write_reject(DeviceSink *sink, const char *file, const char *line, const char *reason, Value row)
{
	static Text out;
	Text		printable = {0};

	out.length = 0;
	text_add_csv(&out, file, strlen(file), true);
	text_add_byte(&out, ',');
	text_add_string(&out, line);
	text_add_byte(&out, ',');
	text_add_csv(&out, reason, strlen(reason), true);
	text_add_byte(&out, ',');
	/* whatever bytes the file had, this one is text */
	text_add_printable(&printable, row.data, row.length);
	text_add_csv(&out, printable.data, printable.length, true);
	text_add_byte(&out, '\n');
	free(printable.data);
	if (fwrite(out.data, 1, out.length, sink->rejects) != out.length)
		die(EXIT_SERVER, "could not write the reject file: %s", strerror(errno));
	sink->rejected++;
}

static void
copy_failed(DeviceSink *sink)
{
	PGresult   *result = PQgetResult(sink->conn);

	die_of_result(sink->conn, result);
}

static void
flush(DeviceSink *sink)
{
	if (PQputCopyData(sink->conn, sink->out.data, sink->out.length) != 1)
		copy_failed(sink);
	sink->bytes += sink->out.length;
	sink->out.length = 0;
}

void
sink_row(DeviceSink *sink, Row *row)
{
	sink->rows++;
	if (row->problem != NULL)
	{
		char		line[24];

		if (sink->rejects == NULL)
			die(EXIT_USAGE, "\"%s\", line %" PRId64 ": %s; nothing was imported: mend the row, or import the others with "
				"--rejects=FILE", sink->input->name, row->line, row->problem);
		snprintf(line, sizeof(line), "%" PRId64, row->line);
		write_reject(sink, sink->input->name, line, row->problem, row->raw);
		return;
	}
	encode_row(&sink->out, sink->rows, row, &sink->scratch);
	if (sink->out.length >= FLUSH_BYTES)
	{
		if (interrupted)
			die(EXIT_SERVER, "interrupted: nothing was imported");
		flush(sink);
		progress_rows(&sink->progress, sink->rows, sink->nfiles == 1 ? input_fraction(sink->input) : -1);
	}
}

/*
 * What it is shows the first byte that is no blank.
 */
static void
read_file(DeviceSink *sink, Input *input)
{
	int64_t		rows = sink->rows;
	int			c;

	if (input_peek(input) < 0)
		die(EXIT_USAGE, "\"%s\" is empty", input->name);
	if (input->end - input->next >= 3 && memcmp(input->next, "\xEF\xBB\xBF", 3) == 0)
		input->next += 3;
	else if (input->end - input->next >= 2 &&
			 (memcmp(input->next, "\xFF\xFE", 2) == 0 || memcmp(input->next, "\xFE\xFF", 2) == 0))
		die(EXIT_USAGE, "\"%s\" is UTF-16: convert it with iconv -f UTF-16 -t UTF-8", input->name);
	else if (input->end - input->next >= 2 && memcmp(input->next, "\x1F\x8B", 2) == 0)
		die(EXIT_USAGE, "\"%s\" is compressed by gzip, but its name does not end in .gz", input->name);
	while ((c = input_peek(input)) == ' ' || c == '\t' || c == '\r' || c == '\n')
	{
		input->next++;
		if (c == '\n')
			input->line++;
	}
	if (c < 0)
		die(EXIT_USAGE, "\"%s\" is empty", input->name);
	if (c == '{' || c == '[')
		read_json(input, sink);
	else
		read_csv(input, sink);
	if (sink->rows == rows)
		die(EXIT_USAGE, "\"%s\" has no rows", input->name);
	if (!sink->columns[DEVICE_ID])
		die(EXIT_USAGE, "\"%s\" is no export of DeviceInfo: none of its rows has a member \"DeviceId\"", input->name);
}

/*
 * Waits for a statement, and shows that it runs.
 */
static PGresult *
wait_for_result(DeviceSink *sink, const char *doing)
{
	PGresult   *result,
			   *next;

	while (PQisBusy(sink->conn))
	{
		struct pollfd fd = {PQsocket(sink->conn), POLLIN, 0};

		poll(&fd, 1, 200);
		progress_waiting(&sink->progress, doing);
		if (!PQconsumeInput(sink->conn))
			break;
	}
	result = PQgetResult(sink->conn);
	while ((next = PQgetResult(sink->conn)) != NULL)
		PQclear(next);
	return result;
}

static const char *
file_of_row(const DeviceSink *sink, int64_t ordinal)
{
	int			i = sink->nfiles - 1;

	while (i > 0 && sink->first_rows[i] > ordinal)
		i--;
	return file_name(sink->files[i]);
}

static void
stage(DeviceSink *sink)
{
	char	   *copy = format_string("COPY " STAGING " (%s) FROM STDIN (FORMAT binary, FREEZE)", staged_columns);
	PGresult   *result;

	PQclear(run(sink->conn, "BEGIN", 0, NULL));
	PQclear(run(sink->conn, "CREATE TEMP TABLE eiot_staged_device OF eiot.staged_device", 0, NULL));
	result = PQexec(sink->conn, copy);
	if (PQresultStatus(result) != PGRES_COPY_IN)
		die_of_result(sink->conn, result);
	PQclear(result);
	free(copy);
	encode_header(&sink->out);
	for (sink->file = 0; sink->file < sink->nfiles; sink->file++)
	{
		Input		input;

		sink->first_rows[sink->file] = sink->rows + 1;
		input_open(&input, sink->files[sink->file]);
		sink->input = &input;
		read_file(sink, &input);
		input_close(&input);
	}
	encode_trailer(&sink->out);
	flush(sink);
	if (interrupted)
		die(EXIT_SERVER, "interrupted: nothing was imported");
	if (PQputCopyEnd(sink->conn, NULL) != 1)
		copy_failed(sink);
	result = wait_for_result(sink, "staging");
	if (PQresultStatus(result) != PGRES_COMMAND_OK)
		die_of_result(sink->conn, result);
	PQclear(result);
	PQclear(run(sink->conn, "COMMIT", 0, NULL));
}

/*
 * The merge failed.  If it was for a row, say which one stood where.
 */
static void
die_of_bad_row(DeviceSink *sink, const PGresult *merge)
{
	const char *state = PQresultErrorField(merge, PG_DIAG_SQLSTATE);
	PGresult   *result;
	const char *more;

	if (interrupted || state == NULL || strcmp(state, "22023") != 0)
		die_of_result(sink->conn, merge);
	PQclear(run(sink->conn, "ROLLBACK", 0, NULL));
	PQclear(run(sink->conn, "SELECT eiot.judge_staged_devices('" STAGING "'::pg_catalog.regclass)", 0, NULL));
	result = run(sink->conn, "SELECT s.ordinal, s.line, s.problem, pg_catalog.count(*) OVER () OPERATOR(pg_catalog.-) 1"
				 "  FROM " STAGING " s WHERE s.problem IS NOT NULL ORDER BY s.ordinal LIMIT 1", 0, NULL);
	if (PQntuples(result) == 0)
		die_of_result(sink->conn, merge);
	more = PQgetvalue(result, 0, 3);
	die(EXIT_USAGE, "\"%s\", line %s: %s%s%s%s; nothing was imported: mend the row, or import the others with --rejects=FILE",
		file_of_row(sink, strtoll(PQgetvalue(result, 0, 0), NULL, 10)), PQgetvalue(result, 0, 1), PQgetvalue(result, 0, 2),
		strcmp(more, "0") == 0 ? "" : " (and ", strcmp(more, "0") == 0 ? "" : more,
		strcmp(more, "0") == 0 ? "" : " rows more)");
}

static void
write_server_rejects(DeviceSink *sink)
{
	PGresult   *result;
	int			n;

	PQclear(run(sink->conn,
				"DECLARE reject CURSOR FOR"
				" SELECT s.ordinal, s.line, s.problem,"
				"        COALESCE(s.irregular, pg_catalog.jsonb_strip_nulls(pg_catalog.to_jsonb(s) OPERATOR(pg_catalog.-)"
				"                 '{ordinal,line,problem}'::pg_catalog.text[]))"
				"   FROM " STAGING " s WHERE s.problem IS NOT NULL ORDER BY s.ordinal", 0, NULL));
	do
	{
		result = run(sink->conn, "FETCH " REJECTS_AT_ONCE " FROM reject", 0, NULL);
		n = PQntuples(result);
		for (int i = 0; i < n; i++)
			write_reject(sink, file_of_row(sink, strtoll(PQgetvalue(result, i, 0), NULL, 10)), PQgetvalue(result, i, 1),
						 PQgetvalue(result, i, 2), (Value) {PQgetvalue(result, i, 3), PQgetlength(result, i, 3)});
		PQclear(result);
	} while (n > 0);
}

static void
commit(DeviceSink *sink)
{
	PGresult   *result;

	if (interrupted)
		die(EXIT_SERVER, "interrupted: nothing was imported");
	result = PQexec(sink->conn, "COMMIT");
	if (PQresultStatus(result) != PGRES_COMMAND_OK && PQstatus(sink->conn) == CONNECTION_BAD)
		die(EXIT_SERVER, "the connection broke during the commit, so that nobody knows whether the rows were imported; "
			"run it again: what is there already is not imported twice");
	if (PQresultStatus(result) != PGRES_COMMAND_OK)
		die_of_result(sink->conn, result);
	if (strcmp(PQcmdStatus(result), "COMMIT") != 0)
		die(EXIT_SERVER, "the server did not commit: nothing was imported");
	PQclear(result);
}

int
import_devices(Options *options)
{
	DeviceSink	sink = {.nfiles = options->nfiles, .files = options->files};
	Tenant		tenant;
	Scratch		rejects = {0};
	const char *params[6];
	bool		standard_input = false;
	bool		with_tags = false;
	Text		columns = {0};
	PGresult   *result;
	double		started = now();
	int64_t		sort_memory;

	/* what cannot be read is said before anything begins */
	for (int i = 0; i < options->nfiles; i++)
	{
		Input		input;

		if (strcmp(options->files[i], "-") == 0)
		{
			if (standard_input)
				die(EXIT_USAGE, "standard input can be read once");
			standard_input = true;
			continue;
		}
		input_open(&input, options->files[i]);
		input_close(&input);
	}
	sink.conn = connect_server(options);
	find_tenant(sink.conn, options->tenant, &tenant);
	params[1] = find_inventory(sink.conn, options->inventory, "INSERT");
	if (options->rejects != NULL)
	{
		scratch_open(&rejects, options->rejects);
		sink.rejects = rejects.file;
		fputs("file,line,reason,row\n", sink.rejects);
	}
	sink.first_rows = allocate(sizeof(int64_t) * sink.nfiles);
	progress_start(&sink.progress, options->quiet);
	stage(&sink);

	text_add_byte(&columns, '{');
	for (int m = 0; m < N_MEMBERS; m++)
	{
		bool		tags = m == MANUAL_TAGS || m == DYNAMIC_TAGS;

		if (!sink.columns[m] || inventory_columns[m] == NULL || (tags && with_tags))
			continue;
		text_add_string(&columns, columns.length > 1 ? "," : "");
		text_add_string(&columns, inventory_columns[m]);
		with_tags |= tags;
	}
	text_add(&columns, "}", 1);

	PQclear(run(sink.conn, "BEGIN", 0, NULL));
	/* in memory a row is half as large again */
	sort_memory = sink.bytes / 1024 * 3 / 2;
	params[0] = format_string("%" PRId64, sort_memory < MAX_SORT_MEMORY_KB ? sort_memory : MAX_SORT_MEMORY_KB);
	PQclear(run(sink.conn,
				"SELECT pg_catalog.set_config('work_mem', GREATEST(s.setting::pg_catalog.int4, $1::pg_catalog.int4)::pg_catalog.text, true)"
				"  FROM pg_catalog.pg_settings s WHERE s.name OPERATOR(pg_catalog.=) 'work_mem'", 1, params));
	params[0] = STAGING;
	params[2] = tenant.id;
	params[3] = columns.data;
	params[4] = sink.rejects ? "reject" : "abort";
	params[5] = format_string("%" PRId64, sink.rejected);
	if (!PQsendQueryParams(sink.conn,
						   "SELECT m.rows_read, m.devices, m.stored, m.rejected"
						   "  FROM eiot.merge_staged_devices($1::pg_catalog.regclass, $2::pg_catalog.regclass, $3::pg_catalog.uuid,"
						   "                                 $4::pg_catalog.text[], $5, $6::pg_catalog.int8) m", 6, NULL, params, NULL, NULL, 0))
		die_of_result(sink.conn, NULL);
	result = wait_for_result(&sink, "merging");
	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		die_of_bad_row(&sink, result);
	if (sink.rejects != NULL)
	{
		write_server_rejects(&sink);
		scratch_sync(&rejects);
	}
	commit(&sink);
	if (sink.rejects != NULL)
		scratch_keep(&rejects);
	progress_end(&sink.progress);
	if (!options->quiet)
	{
		printf("%s: %" PRId64 " rows read, %s devices, %s stored, %" PRId64 " rejected\n", tenant.name, sink.rows,
			   PQgetvalue(result, 0, 1), PQgetvalue(result, 0, 2), sink.rejected);
		if (sink.progress.terminal)
			say("%.1f s, %s rows/s", now() - started, grouped(sink.rows / (now() - started + 1e-9)));
	}
	PQclear(result);
	PQfinish(sink.conn);
	return EXIT_FINE;
}
