/*
 * client.h
 *		What the files of the program eiot share.
 */
#ifndef EIOT_CLIENT_H
#define EIOT_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <libpq-fe.h>

/* The exit codes that docs/client.md and eiot(1) promise */
#define EXIT_FINE 0
#define EXIT_UNDER_LICENSED 1
#define EXIT_USAGE 2
#define EXIT_SERVER 3

#define lengthof(array) (sizeof(array) / sizeof((array)[0]))

#define like_printf(fmt, arguments) __attribute__((format(printf, fmt, arguments)))

/* ---- options.c */

typedef struct Options
{
	/* connection */
	const char *host;
	const char *port;
	const char *user;
	const char *dbname;
	bool		never_prompt;
	bool		force_prompt;
	const char *lock_timeout;
	const char *statement_timeout;
	/* command */
	const char *tenant;
	const char *inventory;
	const char *as_of;
	const char *format;
	const char *output;
	const char *rejects;
	const char *kind;
	const char *period;
	bool		quiet;
	int			nfiles;
	char	  **files;
} Options;

typedef int (*Command)(Options *options);

extern Command parse_options(int argc, char **argv, Options *options);

/* ---- message.c */

extern void say(const char *format, ...) like_printf(1, 2);
extern void die(int status, const char *format, ...) like_printf(2, 3) __attribute__((noreturn));
extern void *allocate(size_t size);
extern void *reallocate(void *old, size_t size);
extern char *copy_string(const char *string);
extern char *format_string(const char *format, ...) like_printf(1, 2);
extern void check_stdout(void);

/* ---- scratch.c: a file that takes its name when it is complete */

typedef struct Scratch
{
	FILE	   *file;
	char	   *path;
	char	   *temporary;
} Scratch;

extern void scratch_open(Scratch *scratch, const char *path);
extern void scratch_sync(Scratch *scratch);
extern void scratch_keep(Scratch *scratch);
extern void scratch_discard_all(void);

/* ---- connect.c */

typedef struct Tenant
{
	char		id[37];
	char	   *name;
} Tenant;

extern volatile int interrupted;	/* signal number */

extern void catch_signals(void);
extern PGconn *connect_server(const Options *options);
extern PGconn *try_connect(const Options *options, char **error);
extern void forget_cancel(void);
extern PGresult *run(PGconn *conn, const char *sql, int nparams, const char *const *params);
extern PGresult *run_on_file(PGconn *conn, const char *path, const char *sql, int nparams, const char *const *params);
extern void die_of_result(PGconn *conn, const PGresult *result) __attribute__((noreturn));
extern char *server_message(const PGresult *result);
extern void find_tenant(PGconn *conn, const char *wanted, Tenant *tenant);
extern char *find_inventory(PGconn *conn, const char *wanted, const char *privilege);

/* ---- input.c: bytes out of a file, a pipe, gzip */

typedef struct Input
{
	const char *name;			/* for messages */
	void	   *gz;
	int			fd;
	bool		gzipped;
	int64_t		size;			/* of the file, -1: not known */
	char	   *buffer;
	char	   *next;			/* unread bytes: next up to end */
	char	   *end;
	bool		at_end;
	int64_t		line;			/* of the next byte, from 1 */
} Input;

extern void input_open(Input *input, const char *path);
extern void input_close(Input *input);
extern bool input_fill(Input *input);
extern double input_fraction(const Input *input);
extern char *read_whole(const char *path, size_t limit);
extern bool valid_utf8(const char *text, size_t length);

/* The next byte, or -1 at the end */
static inline int
input_peek(Input *input)
{
	if (input->next == input->end && !input_fill(input))
		return -1;
	return (unsigned char) *input->next;
}

/* ---- text.c: a buffer that grows */

typedef struct Text
{
	char	   *data;
	size_t		length;
	size_t		size;
} Text;

extern void text_reserve(Text *text, size_t more);
extern void text_add(Text *text, const char *data, size_t length);
extern void text_add_string(Text *text, const char *string);
extern void text_add_json_string(Text *text, const char *data, size_t length);
extern void text_add_printable(Text *text, const char *data, size_t length);
extern void text_add_html(Text *text, const char *data, size_t length);
extern void text_add_csv(Text *text, const char *data, size_t length, bool guard_formulas);

static inline void
text_add_byte(Text *text, char byte)
{
	if (text->length + 1 >= text->size)
		text_reserve(text, 1);
	text->data[text->length++] = byte;
}

/* ---- devices.c: rows of devices on their way into a staging table */

typedef enum Member
{
	DEVICE_ID,
	TIMESTAMP,
	FIRST_SEEN,
	DEVICE_NAME,
	DEVICE_CATEGORY,
	DEVICE_TYPE,
	DEVICE_SUBTYPE,
	VENDOR,
	MODEL,
	OS_PLATFORM,
	ONBOARDING_STATUS,
	MAC_ADDRESS,
	IP_ADDRESS,
	MERGED_TO_DEVICE_ID,
	IS_EXCLUDED,
	IS_TRANSIENT,
	DISCOVERY_SOURCES,
	SITE,
	MANUAL_TAGS,
	DYNAMIC_TAGS,
	N_MEMBERS
} Member;

typedef struct Value
{
	const char *data;			/* NULL: not there */
	size_t		length;
} Value;

typedef struct Row
{
	int64_t		line;
	Value		values[N_MEMBERS];
	Value		irregular;		/* JSON to be read by the server instead of the values */
	const char *problem;		/* why the row cannot even be sent */
	Value		raw;			/* what was read, where there is a problem */
} Row;

typedef struct DeviceSink DeviceSink;

extern const char *member_name(Member member);
extern int	member_by_name(const char *name, size_t length, bool *exact);
extern void sink_row(DeviceSink *sink, Row *row);
extern void sink_column(DeviceSink *sink, Member member);

/* Longest row of a file: a row of an export has some 3 kB */
#define MAX_ROW_BYTES (8 * 1024 * 1024)

/* ---- csv.c, json.c */

extern void read_csv(Input *input, DeviceSink *sink);
extern void read_json(Input *input, DeviceSink *sink);
extern bool json_is_object(const char *text);

/* ---- encode.c: rows in the binary format of COPY */

extern void encode_header(Text *out);
extern void encode_row(Text *out, int64_t ordinal, const Row *row, Text *scratch);
extern void encode_trailer(Text *out);
extern const char *const staged_columns;

/* ---- progress.c */

typedef struct Progress
{
	bool		shown;
	bool		terminal;
	bool		line_open;
	double		started;
	double		last;
	int64_t		last_rows;
} Progress;

extern double now(void);
extern void progress_start(Progress *progress, bool quiet);
extern void progress_rows(Progress *progress, int64_t rows, double fraction);
extern void progress_waiting(Progress *progress, const char *doing);
extern void progress_end(Progress *progress);
extern void progress_clear(void);
extern char *grouped(int64_t number);

/* ---- table.c: results as text, CSV, JSON and HTML */

typedef struct Column
{
	const char *name;			/* in CSV and JSON */
	const char *title;			/* in tables */
	enum
	{
		TEXT,
		NUMBER,
		TRUTH
	}			kind;
} Column;

extern void print_result(FILE *file, const char *format, const char *title, const PGresult *result,
						 const Column *columns, int ncolumns);

/* ---- the commands, a file each */

extern int	import_devices(Options *options);
extern int	import_licenses(Options *options);
extern int	import_fingerprints(Options *options);
extern int	import_oui(Options *options);
extern int	show_coverage(Options *options);
extern int	explain(Options *options);
extern int	check(Options *options);
extern int	watch(Options *options);
extern int	report(Options *options);

#endif							/* EIOT_CLIENT_H */
