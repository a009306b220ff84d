/*
 * connect.c
 *		The connection: options and environment of psql, a session that nothing in the database can mislead, and the
 *		handshake with the extension.  Statements, their errors, and what interrupts them.
 */
#include "client.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

volatile int interrupted = 0;

/* What the signal handler cancels */
static PGcancel *volatile cancel = NULL;

static void
on_signal(int signal_number)
{
	int			save_errno = errno;
	char		error[256];
	PGcancel   *what = cancel;

	interrupted = signal_number;
	if (what != NULL)
		PQcancel(what, error, sizeof(error));
	errno = save_errno;
}

/*
 * SIGINT and SIGTERM cancel what the server is doing, and leave it to the
 * program to end in good order.  System calls are not restarted: a read from a
 * terminal or a pipe ends as well.
 */
void
catch_signals(void)
{
	struct sigaction action = {.sa_handler = on_signal};

	sigemptyset(&action.sa_mask);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
}

static void
set_cancel(PGconn *conn)
{
	PGcancel   *old = cancel;

	cancel = NULL;
	if (old != NULL)
		PQfreeCancel(old);
	if (conn != NULL)
		cancel = PQgetCancel(conn);
}

/*
 * Nothing is left to cancel.
 */
void
forget_cancel(void)
{
	set_cancel(NULL);
}

/*
 * A password on the command line can be read by everybody on the machine.
 */
static void
refuse_password(const char *dbname)
{
	PQconninfoOption *found;
	char	   *error = NULL;

	if (dbname == NULL || (strchr(dbname, '=') == NULL && strncmp(dbname, "postgresql://", 13) != 0 &&
						   strncmp(dbname, "postgres://", 11) != 0))
		return;
	found = PQconninfoParse(dbname, &error);
	if (found == NULL)
		die(EXIT_USAGE, "invalid connection string: %s", error ? error : "out of memory");
	for (PQconninfoOption *o = found; o->keyword != NULL; o++)
		if (o->val != NULL && o->val[0] != '\0' &&
			(strcmp(o->keyword, "password") == 0 || strcmp(o->keyword, "sslpassword") == 0))
			die(EXIT_USAGE, "no password on the command line, where others can read it: use a password file (~/.pgpass), "
				"a service file, or let the program ask for it");
	PQconninfoFree(found);
}

/*
 * NULL where there is no terminal to ask at.
 */
static char *
ask_password(void)
{
	static char password[1024];
	struct termios before,
				silent;
	int			fd = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
	size_t		length = 0;
	ssize_t		n = 0;
	char		c;

	if (fd < 0)
		return NULL;
	if (tcgetattr(fd, &before) == 0)
	{
		silent = before;
		silent.c_lflag &= ~(tcflag_t) ECHO;
		tcsetattr(fd, TCSAFLUSH, &silent);
		if (write(fd, "Password: ", 10) == 10)
			while ((n = read(fd, &c, 1)) == 1 && c != '\n')
				if (length < sizeof(password) - 1)
					password[length++] = c;
		tcsetattr(fd, TCSAFLUSH, &before);
		if (write(fd, "\n", 1) != 1)
			n = -1;
	}
	close(fd);
	password[length] = '\0';
	return n == 1 ? password : NULL;
}

static void
print_notice(void *arg, const PGresult *result)
{
	const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	char	   *message;

	(void) arg;
	/* a server that goes down: the error that follows says so */
	if (state != NULL && strncmp(state, "57P", 3) == 0)
		return;
	message = server_message(result);
	say("%s: %s", PQresultErrorField(result, PG_DIAG_SEVERITY) ? PQresultErrorField(result, PG_DIAG_SEVERITY) : "NOTICE",
		message);
	free(message);
}

static PGconn *
open_connection(const Options *options, const char *password)
{
	/* what stands before dbname, a connection string in it may change */
	const char *keywords[] = {
		"connect_timeout", "tcp_user_timeout",
		"host", "port", "user", "password", "dbname",
		"fallback_application_name", "client_encoding", NULL
	};
	const char *values[] = {
		getenv("PGCONNECT_TIMEOUT") ? NULL : "30", "60000",
		options->host, options->port, options->user, password, options->dbname,
		"eiot", "UTF8", NULL
	};

	return PQconnectdbParams(keywords, values, 1);
}

/*
 * Sets the session up, or returns why it cannot be used.
 */
static char *
prepare_session(PGconn *conn, const Options *options)
{
	const char *settings[] = {options->statement_timeout, options->lock_timeout};
	PGresult   *result;
	char	   *problem = NULL;

	/* before anything else: no name but ours and pg_catalog's is found by it */
	result = PQexec(conn, "SELECT pg_catalog.set_config('search_path', '', false)");
	if (PQresultStatus(result) == PGRES_TUPLES_OK)
	{
		PQclear(result);
		result = PQexecParams(conn,
							  "SELECT pg_catalog.set_config('statement_timeout', $1, false),"
							  "       pg_catalog.set_config('lock_timeout', $2, false),"
							  "       pg_catalog.set_config('idle_in_transaction_session_timeout', '0', false),"
							  "       pg_catalog.set_config('client_min_messages', 'warning', false),"
							  "       pg_catalog.set_config('datestyle', 'ISO, YMD', false),"
							  "       pg_catalog.set_config('standard_conforming_strings', 'on', false)",
							  2, NULL, settings, NULL, NULL, 0);
	}
	if (PQresultStatus(result) == PGRES_TUPLES_OK)
	{
		PQclear(result);
		result = PQexec(conn, "SELECT x.extversion FROM pg_catalog.pg_extension x"
						" WHERE x.extname OPERATOR(pg_catalog.=) 'eiot'");
	}
	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		problem = server_message(result);
	else if (PQntuples(result) == 0)
		problem = format_string("database \"%s\" has no extension eiot: CREATE EXTENSION eiot CASCADE there, or name another "
								"database with -d", PQdb(conn));
	else if (strcmp(PQgetvalue(result, 0, 0), EIOT_VERSION) != 0)
		problem = format_string("extension eiot in database \"%s\" is version %s, this program is %s: ALTER EXTENSION eiot "
								"UPDATE, or use the program of that version", PQdb(conn), PQgetvalue(result, 0, 0),
								EIOT_VERSION);
	PQclear(result);
	return problem;
}

/*
 * A connection that is ready for work, or NULL and why not.
 */
PGconn *
try_connect(const Options *options, char **error)
{
	static char *password = NULL;
	PGconn	   *conn;

	if (password == NULL && options->force_prompt)
		password = ask_password();
	conn = open_connection(options, password);
	if (conn != NULL && PQstatus(conn) == CONNECTION_BAD && PQconnectionNeedsPassword(conn) &&
		password == NULL && !options->never_prompt && (password = ask_password()) != NULL)
	{
		PQfinish(conn);
		conn = open_connection(options, password);
	}
	*error = NULL;
	if (conn == NULL)
		*error = copy_string("out of memory");
	else if (PQstatus(conn) != CONNECTION_OK)
		*error = copy_string(PQerrorMessage(conn));
	else
	{
		PQsetNoticeReceiver(conn, print_notice, NULL);
		*error = prepare_session(conn, options);
	}
	if (*error != NULL)
	{
		PQfinish(conn);
		return NULL;
	}
	set_cancel(conn);
	return conn;
}

PGconn *
connect_server(const Options *options)
{
	char	   *error;
	PGconn	   *conn;

	refuse_password(options->dbname);
	catch_signals();
	conn = try_connect(options, &error);
	if (conn == NULL)
		die(EXIT_SERVER, "%s", interrupted ? "interrupted" : error);
	return conn;
}

/*
 * Message, detail and hint of a result in one piece.
 */
char *
server_message(const PGresult *result)
{
	const char *primary = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
	const char *detail = PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL);
	const char *hint = PQresultErrorField(result, PG_DIAG_MESSAGE_HINT);

	/* the program's own setting, under which times are read in one way alone; written so since 18 */
	if (hint != NULL && (strstr(hint, "\"datestyle\"") != NULL || strstr(hint, "\"DateStyle\"") != NULL))
		hint = "Times are written as 2026-08-12 or 2026-08-12T15:00:00Z.";
	/* libpq's own, as of a lost connection */
	if (primary == NULL)
		return copy_string(PQresultErrorMessage(result));
	return format_string("%s%s%s%s%s", primary, detail || hint ? ". " : "", detail ? detail : "",
						 detail && hint ? " " : "", hint ? hint : "");
}

/* What is wrong with the input is wrong with this file */
static const char *file_in_question = NULL;

/*
 * Ends the program as the failed statement says: what was handed in was wrong,
 * or the server could not.
 */
void
die_of_result(PGconn *conn, const PGresult *result)
{
	static const char *const wrong_input[] = {
		"23503",				/* a tenant that does not exist */
		"42809",				/* a relation that is no inventory */
		"21000",				/* a SKU twice */
		"2201B",				/* a pattern that does not compile */
		"55000",				/* older than what was imported */
		"P0002",				/* no rule at that time */
	};
	const char *state = result ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;
	char	   *message;
	int			status = EXIT_SERVER;

	if (interrupted)
		die(EXIT_SERVER, "interrupted: nothing was changed");
	if (result == NULL || PQstatus(conn) == CONNECTION_BAD)
		die(EXIT_SERVER, "the connection broke: %s", PQerrorMessage(conn)[0] ? PQerrorMessage(conn) : "out of memory");
	message = server_message(result);
	if (state != NULL && strncmp(state, "22", 2) == 0)
		status = EXIT_USAGE;
	for (size_t i = 0; state != NULL && i < lengthof(wrong_input); i++)
		if (strcmp(state, wrong_input[i]) == 0)
			status = EXIT_USAGE;
	if (status == EXIT_USAGE && file_in_question != NULL)
		die(status, "\"%s\": %s", file_in_question, message);
	die(status, "%s", message);
}

/*
 * Runs a statement that must succeed.
 */
PGresult *
run(PGconn *conn, const char *sql, int nparams, const char *const *params)
{
	PGresult   *result;

	if (interrupted)
		die(EXIT_SERVER, "interrupted: nothing was changed");
	result = PQexecParams(conn, sql, nparams, NULL, params, NULL, NULL, 0);
	if (PQresultStatus(result) != PGRES_TUPLES_OK && PQresultStatus(result) != PGRES_COMMAND_OK &&
		PQresultStatus(result) != PGRES_COPY_IN)
		die_of_result(conn, result);
	return result;
}

/*
 * The same for a statement that is handed the contents of a file.
 */
PGresult *
run_on_file(PGconn *conn, const char *path, const char *sql, int nparams, const char *const *params)
{
	PGresult   *result;

	file_in_question = strcmp(path, "-") == 0 ? "standard input" : path;
	result = run(conn, sql, nparams, params);
	file_in_question = NULL;
	return result;
}

/*
 * By id or by name.
 */
void
find_tenant(PGconn *conn, const char *wanted, Tenant *tenant)
{
	PGresult   *result = run(conn,
							 "SELECT t.tenant_id, t.name FROM eiot.tenant t"
							 " WHERE t.tenant_id::pg_catalog.text OPERATOR(pg_catalog.=) pg_catalog.lower($1)"
							 "    OR t.name OPERATOR(pg_catalog.=) $1"
							 " ORDER BY t.tenant_id::pg_catalog.text OPERATOR(pg_catalog.=) pg_catalog.lower($1) DESC, t.tenant_id"
							 " LIMIT 2", 1, &wanted);

	if (PQntuples(result) == 0)
		die(EXIT_USAGE, "tenant \"%s\" does not exist: add it with INSERT INTO eiot.tenant (tenant_id, name)", wanted);
	if (PQntuples(result) > 1 && strcmp(PQgetvalue(result, 0, 1), wanted) == 0)
		die(EXIT_USAGE, "several tenants are called \"%s\", %s and %s among them: name the one by its id", wanted,
			PQgetvalue(result, 0, 0), PQgetvalue(result, 1, 0));
	if (PQgetlength(result, 0, 0) != 36)
		die(EXIT_SERVER, "not the id of a tenant: \"%s\"", PQgetvalue(result, 0, 0));
	memcpy(tenant->id, PQgetvalue(result, 0, 0), 37);
	tenant->name = copy_string(PQgetvalue(result, 0, 1));
	PQclear(result);
}

/*
 * The inventory that is named, with or without its schema, or the only one that
 * there is and that the user may use.  Returns its name as the server quotes it.
 */
char *
find_inventory(PGconn *conn, const char *wanted, const char *privilege)
{
	const char *params[] = {wanted, privilege};
	PGresult   *result;
	Text		names = {0};
	int			nusable = 0;
	char	   *found = NULL;

	result = run(conn,
				 "SELECT pg_catalog.format('%I.%I', n.nspname, c.relname),"
				 "       pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND pg_catalog.has_table_privilege(c.oid, $2::pg_catalog.text)"
				 "  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace"
				 " WHERE c.relkind OPERATOR(pg_catalog.=) ANY ('{r,p}'::pg_catalog.\"char\"[]) AND NOT c.relispartition"
				 "   AND EXISTS (SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid OPERATOR(pg_catalog.=) c.oid"
				 "                AND a.attname OPERATOR(pg_catalog.=) 'class'"
				 "                AND a.atttypid OPERATOR(pg_catalog.=) 'eiot.device_class'::pg_catalog.regtype)"
				 "   AND (SELECT pg_catalog.count(*) FROM pg_catalog.pg_attribute a WHERE a.attrelid OPERATOR(pg_catalog.=) c.oid"
				 "           AND a.attname OPERATOR(pg_catalog.=) ANY ('{tenant_id,device_id,last_seen,count_key}'::pg_catalog.name[])"
				 "           AND NOT a.attisdropped) OPERATOR(pg_catalog.=) 4"
				 "   AND ($1::pg_catalog.text IS NULL OR c.relname OPERATOR(pg_catalog.=) $1::pg_catalog.name"
				 "        OR pg_catalog.concat(n.nspname, '.', c.relname) OPERATOR(pg_catalog.=) $1::pg_catalog.text"
				 "        OR pg_catalog.format('%I.%I', n.nspname, c.relname) OPERATOR(pg_catalog.=) $1::pg_catalog.text)"
				 " ORDER BY 1", 2, params);
	for (int i = 0; i < PQntuples(result); i++)
	{
		/* one that is named is for the server to refuse */
		if (wanted == NULL && *PQgetvalue(result, i, 1) != 't')
			continue;
		text_add_string(&names, nusable++ ? ", " : "");
		text_add_string(&names, PQgetvalue(result, i, 0));
		if (found == NULL)
			found = copy_string(PQgetvalue(result, i, 0));
	}
	if (found == NULL && wanted != NULL)
		die(EXIT_USAGE, "inventory \"%s\" does not exist", wanted);
	if (found == NULL && PQntuples(result) > 0)
		die(EXIT_SERVER, "permission denied: user \"%s\" may not %s any inventory; ask its owner for the right", PQuser(conn),
			strcmp(privilege, "SELECT") == 0 ? "read" : "import into");
	if (found == NULL)
		die(EXIT_USAGE, "database \"%s\" has no inventory: make one with SELECT eiot.create_inventory('asset.device')", PQdb(conn));
	if (nusable > 1)
		die(EXIT_USAGE, "there are %d inventories%s%s%s: name one with --inventory (%s)", nusable, wanted ? " called \"" : "",
			wanted ? wanted : "", wanted ? "\"" : "", names.data);
	free(names.data);
	PQclear(result);
	return found;
}
