/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * run: the command, from its environment to its end.
 *
 * npool-stat stands between the command and whoever started it, and must not
 * be felt: the command gets the signal mask and dispositions that npool-stat
 * was given. npool-stat itself keeps the signals that it cares for blocked
 * and takes them one by one, between two samples, so nothing here runs in a
 * signal handler.
 *
 *	SIGINT, SIGQUIT           left to the command: a terminal sends them
 *	                          to both
 *	SIGHUP, SIGTERM, SIGUSR1, passed on, but if the kernel sent them (a
 *	SIGUSR2                   terminal that hangs up tells both)
 *	SIGCHLD                   looks whether the command has ended
 */
#include "stat.h"
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h> /* dirname */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef NPOOL_FACE_PATH
#define NPOOL_FACE_PATH "/usr/local/lib/libnpool-malloc.so"
#endif
#define FACE_NAME "libnpool-malloc.so"

#define POLL_MS 200 /* between two looks at the pages */

/* --- the face --------------------------------------------------------- */

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
	char *path;

	if (!parent || *parent != '/' || strchr(parent, ','))
		return NULL;
	path = format_text("%s/npool-stat.XXXXXX", parent);
	if (strlen(path) < NP_CONFIG_PATH_MAX && mkdtemp(path))
		return path;
	free(path);
	return NULL;
}

void run_prepare(struct run *run)
{
	const char *parents[] = {
		getenv("XDG_RUNTIME_DIR"), "/dev/shm", getenv("TMPDIR"), "/tmp",
	};

	for (size_t i = 0; !run->dir && i < sizeof parents / sizeof *parents;
	     i++)
		run->dir = make_dir(parents[i]);
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

/* --- the child -------------------------------------------------------- */

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
static void keep_signals(struct run *run)
{
	static const int taken[] = {
		SIGCHLD, SIGINT, SIGQUIT, SIGHUP, SIGTERM, SIGUSR1, SIGUSR2,
	};
	struct sigaction standard = { .sa_handler = SIG_DFL };

	sigemptyset(&run->taken);
	for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
		sigaddset(&run->taken, taken[i]);
	sigprocmask(SIG_BLOCK, &run->taken, &run->mask);
	/* Were it ignored, the kernel would not keep the exit code. */
	sigaction(SIGCHLD, &standard, &run->chld);
}

static _Noreturn void become(const struct run *run, char **command,
			     int report)
{
	int error;
	ssize_t n;

	sigaction(SIGCHLD, &run->chld, NULL);
	sigprocmask(SIG_SETMASK, &run->mask, NULL);
	execvp(command[0], command);
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

static pid_t start(const struct run *run, char **command)
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
		become(run, command, report[1]);
	close(report[1]);
	error = hear(report[0]);
	if (error) {
		waitpid(pid, NULL, 0);
		give_up(error == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_RUN,
			"%s: %s", command[0], strerror(error));
	}
	return pid;
}

/* --- waiting ---------------------------------------------------------- */

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* Takes one signal, or the time until `due` to pass. */
static void take_signal(const struct run *run, uint64_t due)
{
	uint64_t left = sub_u64(due, now_ms());
	struct timespec timeout = { .tv_sec = (time_t)(left / 1000),
				    .tv_nsec = (long)(left % 1000) * 1000000 };
	siginfo_t info;
	int sig = sigtimedwait(&run->taken, &info, &timeout);

	if (sig <= 0 || sig == SIGCHLD || sig == SIGINT || sig == SIGQUIT)
		return;
	if (info.si_code <= 0) /* sent by a process */
		kill(run->pid, sig);
}

static void wait_for_end(struct run *run, struct samples *samples)
{
	uint64_t due = now_ms() + POLL_MS;

	while (waitpid(run->pid, &run->status, WNOHANG) == 0) {
		take_signal(run, due);
		if (now_ms() < due)
			continue;
		samples_poll(samples, run->dir_fd);
		due = now_ms() + POLL_MS;
	}
}

void run_command(struct run *run, char **command, const char *face,
		 struct samples *samples)
{
	char *segment = format_text("segment:%s", run->dir);
	uint64_t start_ms;

	add_to_environment("LD_PRELOAD", face, ':', true);
	add_to_environment(NP_CONFIG_ENV, segment, ',', false);
	free(segment);
	keep_signals(run);
	start_ms = now_ms();
	run->pid = start(run, command);
	wait_for_end(run, samples);
	run->elapsed_ms = now_ms() - start_ms;
}

void run_finish(struct run *run)
{
	struct timespec none = { 0 };

	remove_dir();
	/* What came for the command while it ended is not for us. */
	while (sigtimedwait(&run->taken, NULL, &none) > 0)
		;
	sigprocmask(SIG_SETMASK, &run->mask, NULL);
}

int run_exit_code(const struct run *run)
{
	if (WIFSIGNALED(run->status))
		return EXIT_SIGNAL + WTERMSIG(run->status);
	return WEXITSTATUS(run->status);
}
