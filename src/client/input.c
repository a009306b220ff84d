/*
 * input.c
 *		Bytes out of a file, standard input or gzip, in a buffer of fixed size.
 */
#include "client.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#define BUFFER_BYTES (256 * 1024)

/*
 * Opens "-" or a file; one that cannot be read is the caller's mistake.
 */
void
input_open(Input *input, const char *path)
{
	struct stat status;
	size_t		length = strlen(path);

	memset(input, 0, sizeof(*input));
	input->size = -1;
	input->line = 1;
	if (strcmp(path, "-") == 0)
	{
		input->name = "standard input";
		input->fd = STDIN_FILENO;
	}
	else
	{
		input->name = path;
		input->fd = open(path, O_RDONLY | O_CLOEXEC);
		if (input->fd < 0)
			die(EXIT_USAGE, "could not open \"%s\": %s", path, strerror(errno));
	}
	if (fstat(input->fd, &status) != 0)
		die(EXIT_USAGE, "could not open \"%s\": %s", path, strerror(errno));
	if (S_ISDIR(status.st_mode))
		die(EXIT_USAGE, "could not read \"%s\": %s", path, strerror(EISDIR));
	if (S_ISREG(status.st_mode))
		input->size = status.st_size;
	input->gzipped = length > 3 && strcmp(path + length - 3, ".gz") == 0;
	if (input->gzipped)
	{
		input->gz = gzdopen(input->fd, "rb");
		if (input->gz == NULL)
			die(EXIT_SERVER, "out of memory");
		gzbuffer(input->gz, BUFFER_BYTES);
	}
	input->buffer = allocate(BUFFER_BYTES);
	input->next = input->end = input->buffer;
}

void
input_close(Input *input)
{
	if (input->gzipped)
		gzclose(input->gz);
	else if (input->fd != STDIN_FILENO)
		close(input->fd);
	free(input->buffer);
}

/*
 * Reads on; false at the end.
 */
bool
input_fill(Input *input)
{
	ssize_t		n;

	if (input->at_end)
		return false;
	for (;;)
	{
		if (interrupted)
			die(EXIT_SERVER, "interrupted: nothing was changed");
		if (input->gzipped)
		{
			int			error = Z_OK;
			const char *message;

			n = gzread(input->gz, input->buffer, BUFFER_BYTES);
			message = gzerror(input->gz, &error);
			if (n < 0 || (error != Z_OK && error != Z_STREAM_END))
			{
				if (error == Z_ERRNO && errno == EINTR)
					continue;
				if (error == Z_BUF_ERROR)
					message = "it is cut off";
				else if (error == Z_DATA_ERROR)
					message = "it is damaged";
				die(EXIT_USAGE, "could not read \"%s\": %s", input->name, error == Z_ERRNO ? strerror(errno) : message);
			}
		}
		else
		{
			n = read(input->fd, input->buffer, BUFFER_BYTES);
			if (n < 0 && errno == EINTR)
				continue;
			if (n < 0)
				die(EXIT_USAGE, "could not read \"%s\": %s", input->name, strerror(errno));
		}
		break;
	}
	input->next = input->buffer;
	input->end = input->buffer + n;
	input->at_end = n == 0;
	return n > 0;
}

/*
 * How much of it is read, 0 to 1; -1 where nobody knows.
 */
double
input_fraction(const Input *input)
{
	off_t		at;

	if (input->size <= 0)
		return -1;
	at = input->gzipped ? gzoffset(input->gz) : lseek(input->fd, 0, SEEK_CUR);
	return at < 0 ? -1 : (double) at / input->size;
}

/*
 * A whole file, for bodies that the server reads in one piece.
 */
char *
read_whole(const char *path, size_t limit)
{
	Input		input;
	Text		text = {0};
	size_t		start = 0;

	input_open(&input, path);
	while (input_fill(&input))
	{
		if (text.length + (input.end - input.next) > limit)
			die(EXIT_USAGE, "\"%s\" is larger than %zu MB", input.name, limit >> 20);
		text_add(&text, input.next, input.end - input.next);
	}
	if (text.length == 0)
		die(EXIT_USAGE, "\"%s\" is empty", input.name);
	if (text.length >= 2 && (memcmp(text.data, "\xFF\xFE", 2) == 0 || memcmp(text.data, "\xFE\xFF", 2) == 0))
		die(EXIT_USAGE, "\"%s\" is UTF-16: convert it with iconv -f UTF-16 -t UTF-8", input.name);
	if (memchr(text.data, '\0', text.length) != NULL)
		die(EXIT_USAGE, "\"%s\" contains a NUL byte: it is not text", input.name);
	if (!valid_utf8(text.data, text.length))
		die(EXIT_USAGE, "\"%s\" is not UTF-8: convert it, for instance with iconv -f WINDOWS-1252 -t UTF-8", input.name);
	if (text.length >= 3 && memcmp(text.data, "\xEF\xBB\xBF", 3) == 0)
		start = 3;
	input_close(&input);
	return text.data + start;
}

bool
valid_utf8(const char *text, size_t length)
{
	const unsigned char *s = (const unsigned char *) text;
	const unsigned char *end = s + length;

	while (s < end)
	{
		/* mostly eight at once */
		while (end - s >= 8)
		{
			uint64_t	eight;

			memcpy(&eight, s, 8);
			if (eight & UINT64_C(0x8080808080808080))
				break;
			s += 8;
		}
		if (s >= end)
			break;
		if (*s < 0x80)
			s++;
		else if (*s < 0xC2)
			return false;
		else if (*s < 0xE0)
		{
			if (end - s < 2 || (s[1] & 0xC0) != 0x80)
				return false;
			s += 2;
		}
		else if (*s < 0xF0)
		{
			if (end - s < 3 || (s[1] & 0xC0) != 0x80 || (s[2] & 0xC0) != 0x80 ||
				(*s == 0xE0 && s[1] < 0xA0) || (*s == 0xED && s[1] > 0x9F))
				return false;
			s += 3;
		}
		else if (*s < 0xF5)
		{
			if (end - s < 4 || (s[1] & 0xC0) != 0x80 || (s[2] & 0xC0) != 0x80 || (s[3] & 0xC0) != 0x80 ||
				(*s == 0xF0 && s[1] < 0x90) || (*s == 0xF4 && s[1] > 0x8F))
				return false;
			s += 4;
		}
		else
			return false;
	}
	return true;
}
