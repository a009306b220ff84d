/*
 * progress.c
 *		How far an import is: one line that is written over on a terminal, now and then a plain line elsewhere.
 */
#include "client.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Seconds between two lines that stay */
#define LINE_EVERY 10.0
/* and between two that are written over */
#define REDRAW_EVERY 0.1

static Progress *open_progress;

double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

/*
 * 1234567 as 1,234,567; of the last few calls.
 */
char *
grouped(int64_t number)
{
	static char buffers[4][32];
	static int	turn;
	char	   *buffer = buffers[turn++ % 4];
	char		digits[24];
	int			n = snprintf(digits, sizeof(digits), "%" PRId64, number);
	char	   *to = buffer;

	for (int i = 0; i < n; i++)
	{
		*to++ = digits[i];
		if ((n - i) % 3 == 1 && i < n - 1 && digits[i] != '-')
			*to++ = ',';
	}
	*to = '\0';
	return buffer;
}

void
progress_start(Progress *progress, bool quiet)
{
	memset(progress, 0, sizeof(*progress));
	progress->shown = !quiet;
	progress->terminal = isatty(STDERR_FILENO);
	progress->started = progress->last = now();
	open_progress = progress;
}

static bool
due(Progress *progress, double at)
{
	if (!progress->shown || at - progress->last < (progress->terminal ? REDRAW_EVERY : LINE_EVERY))
		return false;
	progress->last = at;
	return true;
}

/*
 * So many rows are read, which are that fraction of all bytes; below 0: nobody
 * knows.
 */
void
progress_rows(Progress *progress, int64_t rows, double fraction)
{
	double		at = now();
	double		elapsed = at - progress->started;
	double		left = fraction > 0 ? elapsed / fraction * (1 - fraction) : 0;
	char		bar[31] = "";

	if (!due(progress, at) || elapsed <= 0)
		return;
	if (!progress->terminal)
	{
		if (fraction < 0)
			say("%s rows, %s rows/s", grouped(rows), grouped(rows / elapsed));
		else
			say("%s rows, %.0f%%, %s rows/s, %.0f s left", grouped(rows), 100 * fraction, grouped(rows / elapsed), left);
		return;
	}
	if (fraction >= 0)
	{
		memset(bar, ' ', 30);
		memset(bar, '#', (size_t) (30 * (fraction < 1 ? fraction : 1)));
		bar[30] = '\0';
		fprintf(stderr, "\r[%s] %3.0f%%  %s rows  %s rows/s  %d:%02d left \033[K", bar, 100 * fraction, grouped(rows),
				grouped(rows / elapsed), (int) left / 60, (int) left % 60);
	}
	else
		fprintf(stderr, "\r%s rows  %s rows/s \033[K", grouped(rows), grouped(rows / elapsed));
	progress->line_open = true;
}

void
progress_waiting(Progress *progress, const char *doing)
{
	double		at = now();

	if (!due(progress, at))
		return;
	if (progress->terminal)
	{
		fprintf(stderr, "\r%s  %d s \033[K", doing, (int) (at - progress->started));
		progress->line_open = true;
	}
	else
		say("%s, %d s", doing, (int) (at - progress->started));
}

/*
 * Makes room for a line that stays.
 */
void
progress_clear(void)
{
	if (open_progress != NULL && open_progress->line_open)
	{
		fputs("\r\033[K", stderr);
		open_progress->line_open = false;
	}
}

void
progress_end(Progress *progress)
{
	(void) progress;
	progress_clear();
	open_progress = NULL;
}
