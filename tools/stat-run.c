/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * run: the command, and the private folder that its segments lie in.
 */
#include "stat.h"
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define POLL_MS 200 /* between two looks at the pages */

/* --- the folder ------------------------------------------------------- */

static struct run *to_remove;

/* At the latest when npool-stat exits, for whatever reason. */
static void remove_dir(void)
{
	struct segment_name *names;
	struct run *run = to_remove;
	ssize_t n;

	if (!run)
		return;
	to_remove = NULL;
	n = segment_names(run->dir_fd, &names);
	for (ssize_t i = 0; i < n; i++)
		unlinkat(run->dir_fd, names[i].text, 0);
	free(names);
	if (rmdir(run->dir) != 0)
		complain("%s stays behind: %s", run->dir, strerror(errno));
	close(run->dir_fd);
	free(run->dir);
}

/* Makes a folder below parent that NPOOL_CONF can name. NULL: cannot. */
static char *make_dir(const char *parent)
{
	char *path = format_text("%s/npool-stat.XXXXXX", parent);

	if (strlen(path) < NP_CONFIG_PATH_MAX && mkdtemp(path))
		return path;
	free(path);
	return NULL;
}

void run_prepare(struct run *run)
{
	const char *parent;
	unsigned i = 0;

	while (!run->dir && (parent = command_folder(&i)))
		run->dir = make_dir(parent);
	if (!run->dir)
		give_up(EXIT_SELF, "no folder for the segments in "
			"$XDG_RUNTIME_DIR, /dev/shm, $TMPDIR or /tmp: %s",
			strerror(errno));
	run->dir_fd = open(run->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (run->dir_fd < 0)
		give_up(EXIT_SELF, "%s: %s", run->dir, strerror(errno));
	to_remove = run;
	atexit(remove_dir);
}

/* --- the command ------------------------------------------------------ */

struct polled {
	struct samples *samples;
	int dir;
};

static unsigned poll_samples(void *arg)
{
	struct polled *p = arg;

	samples_poll(p->samples, p->dir);
	return POLL_MS;
}

void run_command(struct run *run, char **command, const char *face,
		 struct samples *samples)
{
	struct polled polled = { samples, run->dir_fd };
	char *option = format_text("segment:%s", run->dir);

	command_run(&run->command, command, face, option, poll_samples,
		    &polled);
	free(option);
}

void run_finish(struct run *run)
{
	remove_dir();
	command_finish(&run->command);
}
