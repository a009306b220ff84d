/*
 * options.c
 *		The command line: commands, options, help.
 */
#include "client.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

enum
{
	OPT_HELP = 256,
	OPT_VERSION,
	OPT_TENANT,
	OPT_INVENTORY,
	OPT_AS_OF,
	OPT_FORMAT,
	OPT_REJECTS,
	OPT_KIND,
	OPT_PERIOD,
	OPT_LOCK_TIMEOUT,
	OPT_STATEMENT_TIMEOUT
};

static const struct option long_options[] = {
	{"host", required_argument, NULL, 'h'},
	{"port", required_argument, NULL, 'p'},
	{"username", required_argument, NULL, 'U'},
	{"dbname", required_argument, NULL, 'd'},
	{"no-password", no_argument, NULL, 'w'},
	{"password", no_argument, NULL, 'W'},
	{"lock-timeout", required_argument, NULL, OPT_LOCK_TIMEOUT},
	{"statement-timeout", required_argument, NULL, OPT_STATEMENT_TIMEOUT},
	{"tenant", required_argument, NULL, OPT_TENANT},
	{"inventory", required_argument, NULL, OPT_INVENTORY},
	{"as-of", required_argument, NULL, OPT_AS_OF},
	{"format", required_argument, NULL, OPT_FORMAT},
	{"output", required_argument, NULL, 'o'},
	{"rejects", required_argument, NULL, OPT_REJECTS},
	{"kind", required_argument, NULL, OPT_KIND},
	{"period", required_argument, NULL, OPT_PERIOD},
	{"quiet", no_argument, NULL, 'q'},
	{"help", no_argument, NULL, OPT_HELP},
	{"version", no_argument, NULL, OPT_VERSION},
	{NULL, 0, NULL, 0}
};

static const char connection_help[] =
"Connection (as psql takes it, environment variables PG* included):\n"
"  -h, --host=HOST           server host or socket directory\n"
"  -p, --port=PORT           server port\n"
"  -U, --username=NAME       database user\n"
"  -d, --dbname=DBNAME       database name, URI or connection string, without a password\n"
"  -w, --no-password         never ask for a password\n"
"  -W, --password            ask for a password before connecting\n"
"      --lock-timeout=SECONDS       wait so long for a lock (default 60; 0: for ever)\n"
"      --statement-timeout=SECONDS  let a statement run so long (default 0: for ever)\n";

static const char exit_help[] =
"Exit status: 0 fine, 1 under-licensed tenants found by \"check\", 2 wrong use or input,\n"
"3 connection or server error.\n";

typedef struct Description
{
	const char *group;
	const char *name;
	Command		command;
	/* options that it takes, and of these the one that it must be given */
	int			takes[8];
	int			needs;
	/* how many files */
	int			min_files;
	int			max_files;
	const char *summary;
	const char *help;
} Description;

#define MANY 1000000

static const Description commands[] = {
	{
		"import", "devices", import_devices,
		{OPT_TENANT, OPT_INVENTORY, OPT_REJECTS, 'q'}, OPT_TENANT, 1, MANY,
		"devices of a tenant: Defender's CSV export, or DeviceInfo as JSON",
		"Usage: eiot import devices [OPTION]... --tenant=TENANT FILE...\n"
		"Imports devices of a tenant into an inventory, all of them or, on any error, none.\n"
		"\n"
		"A FILE is a CSV export of Defender's device inventory, or rows of advanced hunting's\n"
		"DeviceInfo: a JSON array, an object with one as \"Results\" or \"value\", or JSON lines.\n"
		"\"-\" is standard input. Compressed files end in .gz.\n"
		"\n"
		"      --tenant=TENANT       id or name of the tenant\n"
		"      --inventory=NAME      inventory to import into; needed where there are several\n"
		"      --rejects=FILE        import the good rows, and write the bad ones with line number\n"
		"                            and reason into FILE (CSV); without it a bad row stops the import\n"
		"  -q, --quiet               no progress, no summary\n"
	},
	{
		"import", "licenses", import_licenses,
		{OPT_TENANT, OPT_AS_OF, 'q'}, OPT_TENANT, 1, 1,
		"licenses of a tenant: the body of Microsoft Graph's GET /subscribedSkus",
		"Usage: eiot import licenses [OPTION]... --tenant=TENANT FILE\n"
		"Brings a tenant's entitlements to the body of Microsoft Graph's GET /subscribedSkus,\n"
		"and prints what changed. \"-\" is standard input.\n"
		"\n"
		"      --tenant=TENANT       id or name of the tenant\n"
		"      --as-of=TIME          when the body was fetched (default: now)\n"
		"  -q, --quiet               print nothing\n"
	},
	{
		"import", "fingerprints", import_fingerprints,
		{OPT_KIND, 'q'}, 0, 1, MANY,
		"rules that tell a device by its answers: files of Recog",
		"Usage: eiot import fingerprints [OPTION]... FILE...\n"
		"Replaces the loaded fingerprints of each FILE's kind by those of the file (Recog XML),\n"
		"all files or, on any error, none.\n"
		"\n"
		"      --kind=KIND           kind of evidence, for one file that does not name it itself\n"
		"  -q, --quiet               print nothing\n"
	},
	{
		"import", "oui", import_oui,
		{'q'}, 0, 0, MANY,
		"vendors by MAC address: registries of IEEE",
		"Usage: eiot import oui [OPTION]... [FILE]...\n"
		"Replaces registries of MAC addresses by the CSV files that IEEE publishes, all files or,\n"
		"on any error, none. Without FILE: those of Debian's package ieee-data in\n"
		"/usr/share/ieee-data.\n"
		"\n"
		"  -q, --quiet               print nothing\n"
	},
	{
		NULL, "coverage", show_coverage,
		{OPT_TENANT, OPT_INVENTORY, OPT_AS_OF, OPT_FORMAT, 'o'}, 0, 0, 0,
		"show devices, capacity and gap of each tenant",
		"Usage: eiot coverage [OPTION]...\n"
		"Shows for each tenant the devices, those that count, what its licenses cover, and how\n"
		"many standalone licenses are missing (gap); the largest gap first.\n"
		"\n"
		"      --tenant=TENANT       this tenant alone, by id or name\n"
		"      --inventory=NAME      inventory to count; needed where there are several\n"
		"      --as-of=TIME          at another instant (default: now)\n"
		"      --format=FORMAT       table (default), csv, json or html\n"
		"  -o, --output=FILE         write to FILE\n"
	},
	{
		NULL, "explain", explain,
		{OPT_TENANT, OPT_INVENTORY, OPT_AS_OF, OPT_FORMAT, 'o'}, OPT_TENANT, 0, 0,
		"show why a tenant's devices count or do not",
		"Usage: eiot explain [OPTION]... --tenant=TENANT\n"
		"Shows a tenant's devices by the reason for which they count or do not.\n"
		"\n"
		"      --tenant=TENANT       id or name of the tenant\n"
		"      --inventory=NAME      inventory to count; needed where there are several\n"
		"      --as-of=TIME          at another instant (default: now)\n"
		"      --format=FORMAT       table (default), csv, json or html\n"
		"  -o, --output=FILE         write to FILE\n"
	},
	{
		NULL, "check", check,
		{OPT_TENANT, OPT_INVENTORY, OPT_AS_OF}, 0, 0, 0,
		"one line for a monitoring system; status 1 where licenses are missing",
		"Usage: eiot check [OPTION]...\n"
		"Prints one line, with performance data behind \"|\", and ends with status 1 where a tenant\n"
		"has more devices that count than its licenses cover, 3 where that could not be told.\n"
		"\n"
		"      --tenant=TENANT       this tenant alone, by id or name\n"
		"      --inventory=NAME      inventory to count; needed where there are several\n"
		"      --as-of=TIME          at another instant (default: now)\n"
	},
	{
		NULL, "watch", watch,
		{'q'}, 0, 0, 0,
		"follow the notifications of watched inventories",
		"Usage: eiot watch [OPTION]...\n"
		"Prints a JSON line for each notification on channel eiot_coverage, until SIGINT or\n"
		"SIGTERM, or until nobody reads it. Connects again when the connection breaks, after 1\n"
		"second, then 2, up to 60.\n"
		"\n"
		"  -q, --quiet               no word about broken connections and where nothing is watched\n"
	},
	{
		NULL, "report", report,
		{OPT_TENANT, OPT_INVENTORY, OPT_PERIOD, 'o'}, 'o', 0, 0,
		"write a report as an HTML page",
		"Usage: eiot report [OPTION]... --output=FILE\n"
		"Writes a self-contained HTML page about the coverage in a period.\n"
		"\n"
		"  -o, --output=FILE         file to write; \"-\" is standard output\n"
		"      --tenant=TENANT       this tenant alone, by id or name\n"
		"      --inventory=NAME      inventory to report on; needed where there are several\n"
		"      --period=PERIOD       a month (2026-10), a day, or FIRST..LAST (default: last month)\n"
	},
};

static char *
command_name(const Description *command)
{
	return format_string("%s%s%s", command->group ? command->group : "", command->group ? " " : "", command->name);
}

static void
print_help(const Description *command)
{
	if (command != NULL)
		printf("%s\n%s\n%s", command->help, connection_help, exit_help);
	else
	{
		printf("Usage: eiot [CONNECTION OPTION]... COMMAND [OPTION]...\n"
			   "License coverage of IoT devices, from the PostgreSQL extension eiot.\n"
			   "\n"
			   "Commands (\"eiot COMMAND --help\" says more of each):\n");
		for (size_t i = 0; i < lengthof(commands); i++)
		{
			char	   *name = command_name(&commands[i]);

			printf("  %-20s %s\n", name, commands[i].summary);
			free(name);
		}
		printf("\n%s\n"
			   "  -?, --help                this text, or that of a command\n"
			   "  -V, --version             version of the program\n"
			   "\n%s", connection_help, exit_help);
	}
	check_stdout();
	exit(EXIT_FINE);
}

static const char *
option_name(int code)
{
	for (const struct option *o = long_options; o->name != NULL; o++)
		if (o->val == code)
			return o->name;
	return "?";
}

static const char *
number(const char *option, const char *text)
{
	char	   *end;
	long		seconds = strtol(text, &end, 10);

	if (*text == '\0' || *end != '\0' || seconds < 0 || seconds > 1000000)
		die(EXIT_USAGE, "--%s takes seconds from 0 to 1000000: \"%s\"", option, text);
	return format_string("%lds", seconds);
}

/*
 * Options may stand anywhere; the first words that are none name the command,
 * the others are files.
 */
Command
parse_options(int argc, char **argv, Options *options)
{
	const Description *command = NULL;
	char	  **words = allocate((argc + 1) * sizeof(char *));
	int			nwords = 0;
	int			taken = 0;
	bool		given[OPT_STATEMENT_TIMEOUT + 1] = {false};
	bool		help = false;
	char	   *name;
	int			c;

	options->lock_timeout = "60s";
	options->statement_timeout = "0s";
	opterr = 0;
	/* the leading minus gives words as option 1, whatever POSIXLY_CORRECT says */
	while ((c = getopt_long(argc, argv, "-:h:p:U:d:wWo:q?V", long_options, NULL)) != -1)
	{
		if (c > 0 && c <= OPT_STATEMENT_TIMEOUT)
			given[c] = true;
		switch (c)
		{
			case 1:
				words[nwords++] = optarg;
				break;
			case 'h':
				options->host = optarg;
				break;
			case 'p':
				options->port = optarg;
				break;
			case 'U':
				options->user = optarg;
				break;
			case 'd':
				options->dbname = optarg;
				break;
			case 'w':
				options->never_prompt = true;
				break;
			case 'W':
				options->force_prompt = true;
				break;
			case 'o':
				options->output = optarg;
				break;
			case 'q':
				options->quiet = true;
				break;
			case OPT_TENANT:
				options->tenant = optarg;
				break;
			case OPT_INVENTORY:
				options->inventory = optarg;
				break;
			case OPT_AS_OF:
				options->as_of = optarg;
				break;
			case OPT_FORMAT:
				options->format = optarg;
				break;
			case OPT_REJECTS:
				options->rejects = optarg;
				break;
			case OPT_KIND:
				options->kind = optarg;
				break;
			case OPT_PERIOD:
				options->period = optarg;
				break;
			case OPT_LOCK_TIMEOUT:
				options->lock_timeout = number("lock-timeout", optarg);
				break;
			case OPT_STATEMENT_TIMEOUT:
				options->statement_timeout = number("statement-timeout", optarg);
				break;
			case OPT_HELP:
				help = true;
				break;
			case 'V':
			case OPT_VERSION:
				printf("eiot %s\n", EIOT_VERSION);
				check_stdout();
				exit(EXIT_FINE);
			case ':':
				die(EXIT_USAGE, "option %s needs a value; try \"eiot --help\"", argv[optind - 1]);
			default:
				/* -? is asked for; anything else is not known */
				if (optopt == '?' || (optopt == 0 && strcmp(argv[optind - 1], "-?") == 0))
				{
					help = true;
					break;
				}
				die(EXIT_USAGE, "unknown option %s; try \"eiot --help\"", argv[optind - 1]);
		}
	}
	while (optind < argc)
		words[nwords++] = argv[optind++];

	/* "eiot help report" is "eiot report --help" */
	if (nwords > 0 && strcmp(words[0], "help") == 0)
	{
		help = true;
		words++;
		nwords--;
	}
	for (size_t i = 0; i < lengthof(commands) && nwords > 0; i++)
	{
		int			n = commands[i].group ? 2 : 1;

		if (nwords >= n && strcmp(words[n - 1], commands[i].name) == 0 &&
			(n == 1 || strcmp(words[0], commands[i].group) == 0))
		{
			command = &commands[i];
			taken = n;
			break;
		}
	}
	if (help)
		print_help(command);
	if (nwords == 0)
		die(EXIT_USAGE, "no command given; try \"eiot --help\"");
	if (command == NULL)
	{
		if (strcmp(words[0], "import") == 0 && nwords > 1)
			die(EXIT_USAGE, "import no \"%s\", but devices, licenses, fingerprints or oui; try \"eiot --help\"", words[1]);
		if (strcmp(words[0], "import") == 0)
			die(EXIT_USAGE, "import what? devices, licenses, fingerprints or oui; try \"eiot --help\"");
		die(EXIT_USAGE, "unknown command \"%s\"; try \"eiot --help\"", words[0]);
	}

	name = command_name(command);
	for (int code = 0; code <= OPT_STATEMENT_TIMEOUT; code++)
	{
		bool		takes = code == 1 || (code < 128 && strchr("hpUdwW?", code) != NULL) || code >= OPT_LOCK_TIMEOUT;

		for (size_t i = 0; i < lengthof(command->takes) && !takes; i++)
			takes = command->takes[i] == code;
		if (given[code] && !takes)
			die(EXIT_USAGE, "\"%s\" takes no option --%s; try \"eiot %s --help\"", name, option_name(code), name);
	}
	if (command->needs != 0 && !given[command->needs])
		die(EXIT_USAGE, "\"%s\" needs the option --%s; try \"eiot %s --help\"", name, option_name(command->needs), name);
	options->files = words + taken;
	options->nfiles = nwords - taken;
	if (options->nfiles < command->min_files)
		die(EXIT_USAGE, "no file to import; \"-\" is standard input");
	if (options->nfiles > command->max_files)
		die(EXIT_USAGE, "one argument too many: \"%s\"", options->files[command->max_files]);
	return command->command;
}
