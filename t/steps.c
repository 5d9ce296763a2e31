/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * steps: how many instructions a call takes in the steady state, counted one
 * by one: the program runs itself under ptrace(2), step by step. They are
 * the library's own, from the entry of each call to its return; not those of
 * the caller, nor of a procedure linkage table.
 *
 * t/golden/steps has how many there may be, for the compiler and the flags
 * that it names; elsewhere they are printed, and compared with nothing.
 *
 * Source: ptrace(2), PTRACE_SINGLESTEP.
 */
#include "conf.h"
#include "npool.h"
#include "pool.h"
#include "start.h"
#include "tap.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/ptrace.h>
#include <sys/user.h>

#define CONF "nodes:2,arenas:1,decay_ms:-1"
#define NPIECES 128
#define TRIES 2 /* the least counts: a thread may be moved to another CPU */
#define GOLDEN "t/golden/steps"

/* Code of the caller is in a section of its own, and is not counted. */
#define CALLER __attribute__((noinline, section("steps_caller")))
extern char __start_steps_caller[], __stop_steps_caller[];

/* --- what is measured ------------------------------------------------- */

static npool_t *own;
static void *pieces[NPIECES];

static CALLER void begin(void)
{
	__asm__ volatile("");
}

static CALLER void end(void)
{
	__asm__ volatile("");
}

static CALLER void pairs(size_t size)
{
	for (unsigned i = 0; i < NPIECES; i++)
		npool_free(npool_malloc(size));
}

static CALLER void pairs_of_own(size_t size)
{
	for (unsigned i = 0; i < NPIECES; i++)
		npool_free(npool_alloc(own, size, 0));
}

static CALLER void batch(size_t size)
{
	for (unsigned i = 0; i < NPIECES; i++)
		pieces[i] = npool_malloc(size);
	for (unsigned i = 0; i < NPIECES; i++)
		npool_free(pieces[i]);
}

static CALLER void free_all(size_t size)
{
	(void)size;
	for (unsigned i = 0; i < NPIECES; i++)
		npool_free(pieces[i]);
}

static void *take_on_node_0(void *size)
{
	np_thread_set_home(&np_topology, 0);
	for (unsigned i = 0; i < NPIECES; i++)
		pieces[i] = npool_malloc(*(size_t *)size);
	return NULL;
}

/* A thread on another node has all pieces. */
static void take_elsewhere(size_t size)
{
	pthread_t t;

	np_thread_set_home(&np_topology, 1);
	must(!pthread_create(&t, NULL, take_on_node_0, &size));
	pthread_join(t, NULL);
}

static const struct work {
	const char *name;
	size_t size;
	void (*prepare)(size_t size); /* not counted */
	void (*run)(size_t size);     /* NPIECES operations */
} works[] = {
	{ "pair-64", 64, NULL, pairs },
	{ "pair-4096", 4096, NULL, pairs },
	{ "pair-65536", 65536, NULL, pairs },
	{ "pair-of-own-pool-64", 64, NULL, pairs_of_own },
	{ "batch-64", 64, NULL, batch },
	{ "remote-free-64", 64, take_elsewhere, free_all },
	{ "remote-free-4096", 4096, take_elsewhere, free_all },
};

#define NWORKS (sizeof works / sizeof *works)

/* --- counting --------------------------------------------------------- */

/* The CPU is looked at by each call; it shall not change. */
static void stay_on_cpu(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((unsigned)sched_getcpu(), &set);
	sched_setaffinity(0, sizeof set, &set);
}

/* The child: warms up, then waits to be stepped through. */
static _Noreturn void be_stepped(const struct work *w)
{
	stay_on_cpu();
	for (int i = 0; i < 3; i++) {
		if (w->prepare)
			w->prepare(w->size);
		w->run(w->size);
	}
	if (w->prepare)
		w->prepare(w->size);
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
		_exit(1);
	raise(SIGSTOP);
	begin();
	w->run(w->size);
	end();
	_exit(0);
}

/* One step; returns where the child is now, or 0: it has ended. */
static uintptr_t step(pid_t pid)
{
	int status;

	if (ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) != 0 ||
	    waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
		return 0;
	return (uintptr_t)ptrace(PTRACE_PEEKUSER, pid,
				 (void *)offsetof(struct user, regs.rip),
				 NULL);
}

static bool is_caller(uintptr_t at)
{
	return at >= (uintptr_t)__start_steps_caller &&
	       at < (uintptr_t)__stop_steps_caller;
}

/* Steps between begin() and end() outside of the caller; 0: cannot count. */
static unsigned long count_steps(pid_t pid)
{
	unsigned long n = 0;
	uintptr_t at;

	do
		at = step(pid);
	while (at && at != (uintptr_t)begin);
	while (at && at != (uintptr_t)end) {
		at = step(pid);
		n += at && !is_caller(at);
	}
	return at ? n : 0;
}

static unsigned long count(const struct work *w)
{
	unsigned long n = 0;
	int status;
	pid_t pid = fork();

	if (!pid)
		be_stepped(w);
	if (pid > 0 && waitpid(pid, &status, 0) == pid &&
	    WIFSTOPPED(status)) {
		n = count_steps(pid);
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
	}
	return n;
}

/* For one operation. */
static double least(const struct work *w)
{
	unsigned long best = 0;

	for (int i = 0; i < TRIES; i++) {
		unsigned long n = count(w);

		if (n && (!best || n < best))
			best = n;
	}
	return (double)best / NPIECES;
}

/* --- comparing -------------------------------------------------------- */

/* Does the golden file speak of this compiler and these flags? */
static bool is_comparable(void)
{
#if defined(__clang__) || __GNUC__ != 12 || !defined(__OPTIMIZE__) || \
	defined(NP_DEBUG)
	return false;
#else
	return !CONF_SANITIZED;
#endif
}

/* How many there may be, or 0: it does not say. */
static double golden(const char *name)
{
	const char *top = getenv("top_srcdir");
	char path[4096], line[200], word[100];
	double most = 0, n;
	FILE *file;

	snprintf(path, sizeof path, "%s/" GOLDEN, top ? top : "..");
	file = fopen(path, "re");
	while (file && fgets(line, sizeof line, file))
		if (sscanf(line, "%99s %lf", word, &n) == 2 &&
		    !strcmp(word, name))
			most = n;
	if (file)
		fclose(file);
	return most;
}

static void test(const struct work *w)
{
	double n = least(w), most = golden(w->name);

	diag("%s: %.2f instructions", w->name, n);
	if (!is_comparable())
		skip(1, "another compiler, or other flags, than " GOLDEN
		     " is of");
	else
		ok(n > 0 && n <= most + 0.005, "%s: at most %.2f instructions",
		   w->name, most);
}

int main(int argc, char **argv)
{
	(void)argc;
#ifndef __x86_64__
	skip_all("needs x86_64: counts its instructions");
#endif
	if (CONF_SANITIZED)
		skip_all("needs code as it is: a sanitizer adds to it");
	conf_restart(argv, CONF);
	if (!np_start() || npool_create(&own, NULL) != 0)
		bail_out("nothing to start with");
	if (!count(&works[0]))
		skip_all("needs ptrace(2)");
	plan(NWORKS);
	for (unsigned i = 0; i < NWORKS; i++)
		test(&works[i]);
	return done();
}
