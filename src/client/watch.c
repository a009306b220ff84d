/*
 * watch.c
 *		eiot watch: notifications as JSON lines, over any number of connections.
 */
#include "client.h"

#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_WAIT_SECONDS 60
/* Ask a silent server so often whether it is still there */
#define PING_EVERY_MS 30000

/*
 * The events printed last.  What was flagged while the connection was broken is
 * read from eiot.flag_event afterwards, looking back this far, because numbers
 * are given before they are committed.
 */
#define REMEMBERED 1024
static int64_t seen[REMEMBERED];
static int	nseen = 0;
static int64_t highest = -1;	/* -1: the table may not be read */
static int64_t first_id;		/* what was there before is not told */

static bool
is_new(int64_t id)
{
	for (int i = 0; i < nseen && i < REMEMBERED; i++)
		if (seen[i] == id)
			return false;
	seen[nseen++ % REMEMBERED] = id;
	/* only how many there are up to the size matters */
	if (nseen == 2 * REMEMBERED)
		nseen = REMEMBERED;
	if (highest >= 0 && id > highest)
		highest = id;
	return true;
}

/*
 * The number of an event, 0 where a payload has none.
 */
static int64_t
event_id(const char *payload)
{
	static const char key[] = "\"flag_event_id\"";
	const char *found = strstr(payload, key);

	if (found == NULL)
		return 0;
	found += sizeof(key) - 1;
	found += strspn(found, " :");
	return strtoll(found, NULL, 10);
}

/*
 * A payload that is a JSON object is passed on as it is; what somebody else sent
 * over the channel comes as a string.
 */
static void
print_event(const char *payload)
{
	Text		line = {0};
	size_t		length = strlen(payload);

	if (valid_utf8(payload, length) && json_is_object(payload))
	{
		int64_t		id = event_id(payload);

		if (id > 0 && !is_new(id))
			return;
		/* between its tokens there may be line breaks, within its strings there are none */
		for (size_t i = 0; i < length; i++)
			text_add_byte(&line, payload[i] == '\n' || payload[i] == '\r' ? ' ' : payload[i]);
	}
	else
	{
		text_add_string(&line, "{\"payload\": ");
		text_add_json_string(&line, payload, length);
		text_add_byte(&line, '}');
	}
	text_add_byte(&line, '\n');
	fwrite(line.data, 1, line.length, stdout);
	free(line.data);
	check_stdout();
}

/*
 * What was flagged since the last connection; the first time, where to go on
 * from.  Somebody who may not read the table gets the notifications alone.
 */
static void
catch_up(PGconn *conn, bool first)
{
	char		from[24];
	const char *params[] = {from};
	PGresult   *result;

	if (first)
	{
		result = PQexec(conn, "SELECT COALESCE(pg_catalog.max(e.flag_event_id), 0) FROM eiot.flag_event e");
		if (PQresultStatus(result) == PGRES_TUPLES_OK)
			highest = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
	}
	else if (highest < 0)
		return;
	else
	{
		snprintf(from, sizeof(from), "%" PRId64, first_id > highest - REMEMBERED / 2 ? first_id : highest - REMEMBERED / 2);
		result = PQexecParams(conn,
							  "SELECT pg_catalog.json_build_object('flag_event_id', e.flag_event_id, 'tenant_id', e.tenant_id,"
							  "         'at', e.at, 'kind', e.kind, 'devices', e.devices, 'capacity', e.capacity, 'gap', e.gap)"
							  "  FROM eiot.flag_event e WHERE e.flag_event_id OPERATOR(pg_catalog.>) $1::pg_catalog.int8"
							  " ORDER BY e.flag_event_id", 1, NULL, params, NULL, NULL, 0);
		if (PQresultStatus(result) == PGRES_TUPLES_OK)
			for (int i = 0; i < PQntuples(result); i++)
				print_event(PQgetvalue(result, i, 0));
	}
	if (first)
		first_id = highest;
	PQclear(result);
}

/*
 * Waits for so long, until something comes in at the socket (-1: none), which is
 * told, or until a signal comes; the signals are blocked but here, so that none
 * is missed before the wait begins.  Where nobody reads what is printed any
 * more, the program ends, without waiting for something to print.
 */
static bool
wait_for(int socket, int milliseconds)
{
	struct timespec timeout = {milliseconds / 1000, milliseconds % 1000 * 1000000L};
	struct pollfd fds[] = {{STDOUT_FILENO, 0, 0}, {socket, POLLIN, 0}};
	sigset_t	none;

	sigemptyset(&none);
	if (ppoll(fds, lengthof(fds), &timeout, &none) <= 0)
		return false;
	if (fds[0].revents != 0)
		exit(EXIT_SERVER);
	return fds[1].revents != 0;
}

/*
 * Somebody who waits for events of inventories that nobody watches waits for
 * ever.
 */
static void
warn_if_nothing_is_watched(PGconn *conn)
{
	PGresult   *result = PQexec(conn, "SELECT EXISTS (SELECT FROM eiot.watched)");

	if (PQresultStatus(result) == PGRES_TUPLES_OK && *PQgetvalue(result, 0, 0) == 'f')
		say("no inventory is watched in database \"%s\", so nothing will be flagged: SELECT eiot.watch('asset.device')", PQdb(conn));
	PQclear(result);
}

/*
 * Follows one connection until it breaks or a signal comes.
 */
static void
follow(PGconn *conn, bool first)
{
	PGresult   *result;
	int			silent_ms = 0;

	result = PQexec(conn, "LISTEN eiot_coverage");
	if (PQresultStatus(result) != PGRES_COMMAND_OK && PQstatus(conn) == CONNECTION_OK && !interrupted)
		die_of_result(conn, result);
	PQclear(result);
	if (PQstatus(conn) == CONNECTION_OK && !interrupted)
		catch_up(conn, first);
	while (!interrupted && PQstatus(conn) == CONNECTION_OK)
	{
		PGnotify   *event;
		const int	wait_ms = 1000;

		while ((event = PQnotifies(conn)) != NULL)
		{
			print_event(event->extra);
			PQfreemem(event);
		}
		if (wait_for(PQsocket(conn), wait_ms))
			silent_ms = 0;
		else if ((silent_ms += wait_ms) >= PING_EVERY_MS && !interrupted)
		{
			PQclear(PQexec(conn, ""));
			silent_ms = 0;
		}
		if (!PQconsumeInput(conn))
			return;
	}
}

int
watch(Options *options)
{
	PGconn	   *conn = connect_server(options);
	sigset_t	signals;
	char	   *error;
	int			seconds = 1;
	bool		first = true;

	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGHUP);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	if (!options->quiet)
		warn_if_nothing_is_watched(conn);
	while (!interrupted)
	{
		if (conn != NULL)
		{
			follow(conn, first);
			first = false;
			if (interrupted)
				break;
			error = copy_string(PQerrorMessage(conn));
			for (size_t n = strlen(error); n > 0 && error[n - 1] == '\n';)
				error[--n] = '\0';
			forget_cancel();
			PQfinish(conn);
			conn = NULL;
			if (!options->quiet)
				say("the connection broke (%s); connecting again", error);
			free(error);
			seconds = 1;
		}
		wait_for(-1, seconds * 1000);
		if (interrupted)
			break;
		/* a server that does not answer must not hold the end up either */
		sigprocmask(SIG_UNBLOCK, &signals, NULL);
		conn = try_connect(options, &error);
		sigprocmask(SIG_BLOCK, &signals, NULL);
		if (conn == NULL)
		{
			seconds = seconds * 2 < MAX_WAIT_SECONDS ? seconds * 2 : MAX_WAIT_SECONDS;
			if (!options->quiet && !interrupted)
				say("%s; trying again in %d s", error, seconds);
			free(error);
		}
		else if (!options->quiet)
			say("connected again");
	}
	if (conn != NULL)
		PQfinish(conn);
	return EXIT_FINE;
}
