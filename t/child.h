/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * child: what a test says on standard error, caught; and functions that are
 * run in a forked child, because they end it or change what a process has
 * only one of.
 *
 *	struct child c = child_run(take_two_locks, NULL);
 *
 *	ok(child_killed(&c, SIGABRT) && strstr(c.text, "lock order"),
 *	   "a lower rank under a higher one aborts");
 *
 * A child makes no claims (tap.h): it says what it saw by its exit status.
 * Threads: only while there is one.
 */
#ifndef CHILD_H
#define CHILD_H

#include "tap.h"

#include <stdio.h> /* fflush */
#include <string.h>
#include <sys/mman.h> /* memfd_create */
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHILD_TEXT_MAX 8192

/* The thread sanitizer lets no thread start in the child of a process of
 * several. */
#if defined __SANITIZE_THREAD__
#define CHILD_STARTS 0
#elif defined __has_feature
#if __has_feature(thread_sanitizer)
#define CHILD_STARTS 0
#endif
#endif
#ifndef CHILD_STARTS
#define CHILD_STARTS 1
#endif

/* Standard error, caught since catch_begin. */
struct catch {
	int file, saved;
};

static inline struct catch catch_begin(void)
{
	struct catch c = { memfd_create("caught", 0), dup(STDERR_FILENO) };

	if (c.file < 0 || c.saved < 0 || dup2(c.file, STDERR_FILENO) < 0)
		bail_out("standard error cannot be caught");
	return c;
}

/* Standard error is again what it was; text, of CHILD_TEXT_MAX bytes, is what
 * was said. */
static inline void catch_end(struct catch *c, char *text)
{
	ssize_t n;

	dup2(c->saved, STDERR_FILENO);
	close(c->saved);
	n = pread(c->file, text, CHILD_TEXT_MAX - 1, 0);
	text[n > 0 ? n : 0] = '\0';
	close(c->file);
}

struct child {
	int status;		   /* as of waitpid */
	char text[CHILD_TEXT_MAX]; /* what it said on standard error */
};

/* Runs body in a child, which ends with status 0 if body returns. No core is
 * left behind. */
static inline struct child child_run(void (*body)(void *), void *arg)
{
	struct rlimit no_core = { 0, 0 };
	struct child c = { 0 };
	struct catch caught;
	pid_t pid;

	fflush(stdout);
	caught = catch_begin();
	pid = fork();
	if (pid == 0) {
		setrlimit(RLIMIT_CORE, &no_core);
		body(arg);
		_exit(0);
	}
	while (pid > 0 && waitpid(pid, &c.status, 0) < 0)
		;
	catch_end(&caught, c.text);
	if (pid < 0)
		bail_out("fork failed");
	return c;
}

static inline bool child_exited(const struct child *c, int status)
{
	return WIFEXITED(c->status) && WEXITSTATUS(c->status) == status;
}

static inline bool child_killed(const struct child *c, int signal)
{
	return WIFSIGNALED(c->status) && WTERMSIG(c->status) == signal;
}

#endif
