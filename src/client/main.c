/*
 * main.c
 *		eiot: device coverage from the command line.
 */
#include "client.h"

#include <locale.h>
#include <signal.h>

int
main(int argc, char **argv)
{
	Options		options = {0};
	Command		command;
	int			status;

	setlocale(LC_CTYPE, "");
	/* a reader that went away is an error of write(), not the end */
	signal(SIGPIPE, SIG_IGN);
	command = parse_options(argc, argv, &options);
	status = command(&options);
	check_stdout();
	return status;
}
