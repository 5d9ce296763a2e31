/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * command: see command.h.
 */
#include "command.h"
#include "config.h"
#include "tool.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h> /* dirname */
#include <signal.h>
#include <stdio.h> /* fflush */
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef NPOOL_FACE_PATH
#define NPOOL_FACE_PATH "/usr/local/lib/libnpool-malloc.so"
#endif
#define FACE_NAME "libnpool-malloc.so"

/* --- the face -------------------------------------------------------- */

/* In a build tree the tool is tools/npool-stat, or tools/.libs/npool-stat
 * when libtool put a script before it. NULL: there is no face there. */
static char *face_of_build(void)
{
	static const char *const up[] = { "..", "../.." };
	char exe[4096], *path = NULL;
	ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);

	if (n < 0)
		return NULL;
	exe[n] = '\0';
	dirname(exe);
	for (size_t i = 0; !path && i < sizeof up / sizeof *up; i++) {
		path = format_text("%s/%s/lib/.libs/%s", exe, up[i],
				   FACE_NAME);
		if (access(path, R_OK) != 0) {
			free(path);
			path = NULL;
		}
	}
	return path;
}

static char *face_candidate(const char *option)
{
	const char *env = getenv("NPOOL_FACE");
	char *built;

	if (option || (env && *env))
		return format_text("%s", option ? option : env);
	built = face_of_build();
	return built ? built : format_text("%s", NPOOL_FACE_PATH);
}

char *face_find(const char *option)
{
	char *path = face_candidate(option);
	char *real = realpath(path, NULL);

	if (!real || access(real, R_OK) != 0)
		give_up(EXIT_SELF, "no malloc face at %s: %s; install libnpool,"
			" or name its " FACE_NAME " by --face or NPOOL_FACE",
			path, strerror(errno));
	/* They separate the names in LD_PRELOAD. */
	if (strpbrk(real, " :"))
		give_up(EXIT_SELF, "the malloc face at '%s' cannot be "
			"preloaded: its path has a blank or a colon", real);
	free(path);
	return real;
}

/* --- folders --------------------------------------------------------- */

const char *command_folder(unsigned *i)
{
	const char *folders[] = { getenv("XDG_RUNTIME_DIR"), "/dev/shm",
				  getenv("TMPDIR"), "/tmp" };

	while (*i < sizeof folders / sizeof *folders) {
		const char *folder = folders[(*i)++];

		/* A comma ends an option. */
		if (folder && *folder == '/' && !strchr(folder, ','))
			return folder;
	}
	return NULL;
}

/* --- the child ------------------------------------------------------- */

/* Puts value, before or behind what the variable has, into the environment. */
static void add_to_environment(const char *name, const char *value,
			       char separator, bool in_front)
{
	const char *old = getenv(name);
	char *all;

	if (!old || !*old)
		all = format_text("%s", value);
	else if (in_front)
		all = format_text("%s%c%s", value, separator, old);
	else
		all = format_text("%s%c%s", old, separator, value);
	if (setenv(name, all, 1) != 0)
		give_up(EXIT_SELF, "%s: %s", name, strerror(errno));
	free(all);
}

/* Blocks the signals that the loop takes. */
static void keep_signals(struct command *c)
{
	static const int taken[] = {
		SIGCHLD, SIGINT, SIGQUIT, SIGHUP, SIGTERM, SIGUSR1, SIGUSR2,
	};
	struct sigaction standard = { .sa_handler = SIG_DFL };

	sigemptyset(&c->taken);
	for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
		sigaddset(&c->taken, taken[i]);
	sigprocmask(SIG_BLOCK, &c->taken, &c->mask);
	/* Were it ignored, the kernel would not keep the exit code. */
	sigaction(SIGCHLD, &standard, &c->chld);
}

static _Noreturn void become(const struct command *c, char **argv,
			     int report)
{
	int error;
	ssize_t n;

	sigaction(SIGCHLD, &c->chld, NULL);
	sigprocmask(SIG_SETMASK, &c->mask, NULL);
	execvp(argv[0], argv);
	error = errno;
	n = write(report, &error, sizeof error);
	_exit(n < 0 ? EXIT_SELF : EXIT_NOT_RUN);
}

/* What the child had to say: the errno of its exec, or 0. */
static int hear(int report)
{
	int error = 0;
	ssize_t n;

	do
		n = read(report, &error, sizeof error);
	while (n < 0 && errno == EINTR);
	close(report);
	return n == sizeof error ? error : 0;
}

static pid_t start(const struct command *c, char **argv)
{
	int report[2], error;
	pid_t pid;

	fflush(NULL);
	if (pipe2(report, O_CLOEXEC) != 0)
		give_up(EXIT_SELF, "pipe: %s", strerror(errno));
	pid = fork();
	if (pid < 0)
		give_up(EXIT_SELF, "fork: %s", strerror(errno));
	if (pid == 0)
		become(c, argv, report[1]);
	close(report[1]);
	error = hear(report[0]);
	if (error) {
		waitpid(pid, NULL, 0);
		give_up(error == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_RUN,
			"%s: %s", argv[0], strerror(error));
	}
	return pid;
}

/* --- waiting --------------------------------------------------------- */

/* Takes one signal, or the time until `due` to pass. */
static void take_signal(const struct command *c, uint64_t due)
{
	uint64_t left = sub_u64(due, now_ms());
	struct timespec timeout = { .tv_sec = (time_t)(left / 1000),
				    .tv_nsec = (long)(left % 1000) * 1000000 };
	siginfo_t info;
	int sig = sigtimedwait(&c->taken, &info, &timeout);

	if (sig <= 0 || sig == SIGCHLD || sig == SIGINT || sig == SIGQUIT)
		return;
	if (info.si_code <= 0) /* sent by a process */
		kill(c->pid, sig);
}

static void wait_for_end(struct command *c, command_poll *poll, void *arg)
{
	uint64_t due = now_ms() + poll(arg);

	while (waitpid(c->pid, &c->status, WNOHANG) == 0) {
		take_signal(c, due);
		if (now_ms() >= due)
			due = now_ms() + poll(arg);
	}
}

void command_run(struct command *c, char **argv, const char *face,
		 const char *option, command_poll *poll, void *arg)
{
	uint64_t start_ms;

	add_to_environment("LD_PRELOAD", face, ':', true);
	add_to_environment(NP_CONFIG_ENV, option, ',', false);
	keep_signals(c);
	start_ms = now_ms();
	c->pid = start(c, argv);
	wait_for_end(c, poll, arg);
	c->elapsed_ms = now_ms() - start_ms;
}

void command_finish(struct command *c)
{
	struct timespec none = { 0 };

	/* What came for the command while it ended is not for us. */
	while (sigtimedwait(&c->taken, NULL, &none) > 0)
		;
	sigprocmask(SIG_SETMASK, &c->mask, NULL);
}

int command_exit_code(const struct command *c)
{
	if (WIFSIGNALED(c->status))
		return EXIT_SIGNAL + WTERMSIG(c->status);
	return WEXITSTATUS(c->status);
}
