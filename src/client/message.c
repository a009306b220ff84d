/*
 * message.c
 *		One line on standard error for each thing that somebody should know, and the end that follows an error.
 */
#include "client.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/*
 * Writes "eiot: " and the text as one line, whatever is in it.
 */
static void
print_line(const char *format, va_list arguments)
{
	static Text line;
	char	   *text;
	size_t		length;

	line.length = 0;
	if (vasprintf(&text, format, arguments) < 0)
		return;
	/* libpq's messages end with a line break, and may have sentences on lines of their own */
	length = strlen(text);
	while (length > 0 && (text[length - 1] == '\n' || text[length - 1] == ' '))
		length--;
	for (char *from = text; from < text + length;)
	{
		char	   *end = memchr(from, '\n', text + length - from);
		size_t		piece = (end ? end : text + length) - from;

		text_add_printable(&line, from, piece);
		if (end && piece > 0 && strchr(".:;,", from[piece - 1]) == NULL)
			text_add_byte(&line, '.');
		if (end)
			text_add_byte(&line, ' ');
		from += piece + (end ? 1 : 0);
		from += strspn(from, " \t\r\n");
	}
	free(text);
	progress_clear();
	fflush(stdout);
	fprintf(stderr, "eiot: %.*s\n", (int) line.length, line.data);
}

void
say(const char *format,...)
{
	va_list		arguments;

	va_start(arguments, format);
	print_line(format, arguments);
	va_end(arguments);
}

void
die(int status, const char *format,...)
{
	va_list		arguments;

	va_start(arguments, format);
	print_line(format, arguments);
	va_end(arguments);
	scratch_discard_all();
	exit(status);
}

void *
allocate(size_t size)
{
	return reallocate(NULL, size);
}

void *
reallocate(void *old, size_t size)
{
	void	   *new = realloc(old, size);

	if (new == NULL)
	{
		fputs("eiot: out of memory\n", stderr);
		scratch_discard_all();
		exit(EXIT_SERVER);
	}
	return new;
}

char *
copy_string(const char *string)
{
	size_t		size = strlen(string) + 1;

	return memcpy(allocate(size), string, size);
}

char *
format_string(const char *format,...)
{
	va_list		arguments;
	char	   *text;

	va_start(arguments, format);
	if (vasprintf(&text, format, arguments) < 0)
		text = NULL;
	va_end(arguments);
	if (text == NULL)
		die(EXIT_SERVER, "out of memory");
	return text;
}

/*
 * What was printed must have arrived: a full disk is no success.  That nobody
 * reads on, as head(1) behind its lines, is not worth a word.
 */
void
check_stdout(void)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return;
	if (errno == EPIPE)
	{
		scratch_discard_all();
		exit(EXIT_SERVER);
	}
	die(EXIT_SERVER, "could not write to standard output: %s", strerror(errno));
}
