/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * Runs a program and says what it took. A small process must do this: a child
 * inherits the peak of memory of the process that began it, and the driver is
 * large.
 */
#include "harness.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static double seconds(struct timeval t)
{
	return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

/* In the child: only here is the contestant in the environment. */
static _Noreturn void become(char **argv, const char *preload)
{
	if (preload)
		setenv("LD_PRELOAD", preload, 1);
	execvp(argv[0], argv);
	fail(argv[0], strerror(errno));
}

int command_run(char **argv, const char *preload)
{
	struct rusage used;
	struct timespec start, end;
	int status;
	pid_t child;

	clock_gettime(CLOCK_MONOTONIC, &start);
	child = fork();
	if (child < 0)
		fail("fork", strerror(errno));
	if (child == 0)
		become(argv, preload);
	if (waitpid(child, &status, 0) != child || !WIFEXITED(status))
		fail(argv[0], "did not end by itself");
	clock_gettime(CLOCK_MONOTONIC, &end);
	getrusage(RUSAGE_CHILDREN, &used);
	dprintf(STDERR_FILENO, "took cpu %.6f wall %.6f rss %ld\n",
		seconds(used.ru_utime) + seconds(used.ru_stime),
		(double)(end.tv_sec - start.tv_sec) +
			(double)(end.tv_nsec - start.tv_nsec) / 1e9,
		used.ru_maxrss);
	return WEXITSTATUS(status);
}
