/*
 * watch.c
 *		eiot watch: notifications as JSON lines, over any number of connections.
 */
#include "client.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define MAX_WAIT_SECONDS 60
/* Ask a silent server so often whether it is still there */
#define PING_EVERY_MS 30000

/*
 * A payload that is a JSON object is passed on as it is; what somebody else sent
 * over the channel comes as a string.
 */
static void
print_event(const PGnotify *event)
{
	Text		line = {0};
	size_t		length = strlen(event->extra);

	if (valid_utf8(event->extra, length) && json_is_object(event->extra))
	{
		/* between its tokens there may be line breaks, within its strings there are none */
		for (size_t i = 0; i < length; i++)
			text_add_byte(&line, event->extra[i] == '\n' || event->extra[i] == '\r' ? ' ' : event->extra[i]);
	}
	else
	{
		text_add_string(&line, "{\"payload\": ");
		text_add_json_string(&line, event->extra, length);
		text_add_byte(&line, '}');
	}
	text_add_byte(&line, '\n');
	fwrite(line.data, 1, line.length, stdout);
	free(line.data);
	check_stdout();
}

/*
 * Waits for so long, or until a signal comes; the signals are blocked but here,
 * so that none is missed before the wait begins.
 */
static int
wait_for(struct pollfd *fds, int nfds, int milliseconds)
{
	struct timespec timeout = {milliseconds / 1000, milliseconds % 1000 * 1000000L};
	sigset_t	none;
	int			n;

	sigemptyset(&none);
	n = ppoll(fds, nfds, &timeout, &none);
	return n < 0 && errno == EINTR ? 0 : n;
}

/*
 * Follows one connection until it breaks or a signal comes.
 */
static void
follow(PGconn *conn)
{
	PGresult   *result;
	int			silent_ms = 0;

	result = PQexec(conn, "LISTEN eiot_coverage");
	if (PQresultStatus(result) != PGRES_COMMAND_OK && PQstatus(conn) == CONNECTION_OK && !interrupted)
		die_of_result(conn, result);
	PQclear(result);
	while (!interrupted && PQstatus(conn) == CONNECTION_OK)
	{
		struct pollfd fd = {PQsocket(conn), POLLIN, 0};
		PGnotify   *event;
		const int	wait_ms = 1000;

		while ((event = PQnotifies(conn)) != NULL)
		{
			print_event(event);
			PQfreemem(event);
		}
		if (wait_for(&fd, 1, wait_ms) > 0)
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

	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGHUP);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	while (!interrupted)
	{
		if (conn != NULL)
		{
			follow(conn);
			if (interrupted)
				break;
			error = copy_string(PQerrorMessage(conn));
			forget_cancel();
			PQfinish(conn);
			conn = NULL;
			if (!options->quiet)
				say("the connection broke (%s); connecting again", error);
			free(error);
			seconds = 1;
		}
		wait_for(NULL, 0, seconds * 1000);
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
