/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * conf: a test whose pool starts with options of its own. The pool reads its
 * environment before main() does, so the program starts itself anew:
 *
 *	int main(int argc, char **argv)
 *	{
 *		conf_restart(argv, "nodes:4");	once for the whole test, or
 *
 *		if (argc > 1)
 *			return churn();		what a child does
 *		c = conf_run("nodes:3", "churn");	a child like that
 *		ok(child_exited(&c, 0), "churn on three nodes");
 *
 * A child says what is wrong on standard error and exits with 1: must().
 *
 * Threads: only while there is one; must() any.
 */
#ifndef CONF_H
#define CONF_H

#include "child.h"
#include "tap.h"

#include <stdio.h>
#include <stdlib.h> /* setenv */
#include <string.h>
#include <unistd.h> /* execv */

#define CONF_ENV "NPOOL_CONF"

/* Returns in a process whose pool has these options, and only these. */
static inline void conf_restart(char **argv, const char *conf)
{
	const char *now = getenv(CONF_ENV);

	if (now && !strcmp(now, conf))
		return;
	setenv(CONF_ENV, conf, 1);
	execv("/proc/self/exe", argv);
	bail_out("the test cannot start itself");
}

struct conf_start {
	const char *conf, *part;
};

static inline void conf_start(void *arg)
{
	struct conf_start *s = arg;

	setenv(CONF_ENV, s->conf, 1);
	dup2(STDERR_FILENO, STDOUT_FILENO);
	execl("/proc/self/exe", "conf_run", s->part, (char *)NULL);
	_exit(127);
}

/* Runs this program anew, with these options and one argument. */
static inline struct child conf_run(const char *conf, const char *part)
{
	struct conf_start s = { conf, part };

	return child_run(conf_start, &s);
}

/* Claims that it ended well; says what it said if not. */
#define conf_ok(conf, part, ...)                                          \
	do {                                                              \
		struct child c_ = conf_run(conf, part);                   \
									  \
		if (!ok(child_exited(&c_, 0), __VA_ARGS__))               \
			diag("status 0x%x: %s", (unsigned)c_.status,      \
			     c_.text);                                    \
	} while (0)

/* In a child: goes on only if it holds. */
#define must(held)                                                        \
	do {                                                              \
		if (!(held)) {                                            \
			fprintf(stderr, "%s:%d: does not hold: %s\n",     \
				__FILE__, __LINE__, #held);               \
			_exit(1);                                         \
		}                                                         \
	} while (0)

/* Sanitizers want address space without end. */
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#define CONF_SANITIZED 1
#elif defined __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define CONF_SANITIZED 1
#endif
#endif
#ifndef CONF_SANITIZED
#define CONF_SANITIZED 0
#endif

/* A child that goes wrong shall not take the machine with it: 4 GiB of
 * address space and a minute. */
static inline void conf_limit_memory(void)
{
	struct rlimit limit = { (rlim_t)4 << 30, (rlim_t)4 << 30 };

	if (!CONF_SANITIZED)
		setrlimit(RLIMIT_AS, &limit);
	alarm(60);
}

/* How much to try, by NPOOL_TEST_LEVEL: quick (when nothing is said), check
 * or all. */
static inline unsigned conf_by_level(unsigned quick, unsigned check,
				     unsigned all)
{
	const char *level = getenv("NPOOL_TEST_LEVEL");

	if (!level || !strcmp(level, "quick"))
		return quick;
	return strcmp(level, "all") ? check : all;
}

/* The same for one that has a variable of its own. */
static inline unsigned conf_number(const char *variable, unsigned otherwise)
{
	const char *text = getenv(variable);

	return text ? (unsigned)atoi(text) : otherwise;
}

#endif
