/*
 * scratch.c
 *		Files that are written under another name, and take their own when they are complete.
 */
#include "client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <fcntl.h>
#include <sys/stat.h>

static Scratch *open_scratch;

/*
 * A command opens one at most.
 */
void
scratch_open(Scratch *scratch, const char *path)
{
	struct stat status;
	int			fd;

	scratch->path = copy_string(path);
	scratch->temporary = NULL;
	/* a pipe or a terminal cannot be renamed to */
	if (stat(path, &status) == 0 && !S_ISREG(status.st_mode))
	{
		if (S_ISDIR(status.st_mode))
			die(EXIT_USAGE, "could not write \"%s\": %s", path, strerror(EISDIR));
		scratch->file = fopen(path, "w");
	}
	else
	{
		scratch->temporary = format_string("%s.%ld.part", path, (long) getpid());
		fd = open(scratch->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
		scratch->file = fd < 0 ? NULL : fdopen(fd, "w");
	}
	if (scratch->file == NULL)
		die(EXIT_USAGE, "could not write \"%s\": %s", path, strerror(errno));
	open_scratch = scratch;
}

/*
 * All of it is on the disk after this.
 */
void
scratch_sync(Scratch *scratch)
{
	if (fflush(scratch->file) != 0 || ferror(scratch->file) ||
		(scratch->temporary != NULL && fsync(fileno(scratch->file)) != 0))
		die(EXIT_SERVER, "could not write \"%s\": %s", scratch->path, strerror(errno));
}

void
scratch_keep(Scratch *scratch)
{
	scratch_sync(scratch);
	if (fclose(scratch->file) != 0 ||
		(scratch->temporary != NULL && rename(scratch->temporary, scratch->path) != 0))
		die(EXIT_SERVER, "could not write \"%s\": %s", scratch->path, strerror(errno));
	open_scratch = NULL;
	free(scratch->temporary);
	free(scratch->path);
}

/*
 * Before the program ends for another reason.
 */
void
scratch_discard_all(void)
{
	if (open_scratch != NULL && open_scratch->temporary != NULL)
		unlink(open_scratch->temporary);
	open_scratch = NULL;
}
