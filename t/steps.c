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
 * What it costs to look at the CPU is the difference to steps-blind: this
 * program with the fast path of a build without libnuma, which does not look.
 * What it costs to count is the difference to steps-uncounted, and what it
 * costs to be seen that to stats:off.
 *
 * Source: ptrace(2), PTRACE_SINGLESTEP.
 */
#include "conf.h"
#include "npool.h"
#include "npool_buf.h"
#include "pool.h"
#include "start.h"
#include "stay.h"
#include "tap.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/ptrace.h>
#include <sys/user.h>

#define CONF "nodes:2,arenas:1,decay_ms:-1"
#define HIDDEN CONF ",stats:off"
#define NPIECES 128
#define TRIES 2 /* the least counts: a thread may be moved to another CPU */
#define GOLDEN "t/golden/steps"

/* Code of the caller is in a section of its own, and is not counted. */
#define CALLER __attribute__((noinline, section("steps_caller")))
extern char __start_steps_caller[], __stop_steps_caller[];

/* --- what is measured ------------------------------------------------- */

static npool_t *own;
static void *pieces[NPIECES];
static npool_buf_t *buf;

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

static void make_buf(size_t size)
{
	buf = buf ? buf : npool_buf_new(NULL, size, size);
	must(buf != NULL);
}

static CALLER void buf_lives(size_t size)
{
	for (unsigned i = 0; i < NPIECES; i++)
		npool_buf_release(npool_buf_new(NULL, size, size));
}

static CALLER void buf_hand_on(size_t size)
{
	(void)size;
	for (unsigned i = 0; i < NPIECES; i++)
		npool_buf_release(npool_buf_retain(buf));
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
	unsigned calls; /* of an operation */
	size_t size;
	void (*prepare)(size_t size); /* not counted */
	void (*run)(size_t size);     /* NPIECES operations */
} works[] = {
	{ "batch-64", 2, 64, NULL, batch },
	{ "pair-64", 2, 64, NULL, pairs },
	{ "pair-4096", 2, 4096, NULL, pairs },
	{ "pair-65536", 2, 65536, NULL, pairs },
	{ "pair-of-own-pool-64", 2, 64, NULL, pairs_of_own },
	{ "buf-256", 2, 256, NULL, buf_lives },
	{ "buf-retain", 2, 8, make_buf, buf_hand_on },
	{ "remote-free-64", 1, 64, take_elsewhere, free_all },
	{ "remote-free-4096", 1, 4096, take_elsewhere, free_all },
};

#define NWORKS (sizeof works / sizeof *works)
#define NPAIRS 5 /* the first are pairs of malloc and free */

/* --- counting --------------------------------------------------------- */

/* The child: warms up, then waits to be stepped through. The CPU is looked at
 * by each call; it shall not change. */
static _Noreturn void be_stepped(const struct work *w)
{
	stay_begin();
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

/* The figure of this name among lines "name figure", or 0. */
static double figure_in(FILE *lines, const char *name)
{
	char line[200], word[100];
	double figure = 0, n;

	while (lines && fgets(line, sizeof line, lines))
		if (sscanf(line, "%99s %lf", word, &n) == 2 &&
		    !strcmp(word, name))
			figure = n;
	return figure;
}

/* How many there may be, or 0: it does not say. */
static double golden(const char *name)
{
	const char *top = getenv("top_srcdir");
	char path[4096];
	double most;
	FILE *file;

	snprintf(path, sizeof path, "%s/" GOLDEN, top ? top : "..");
	file = fopen(path, "re");
	most = figure_in(file, name);
	if (file)
		fclose(file);
	return most;
}

/* How many it takes in another such program, with an argument or "", or 0: it
 * does not say. */
static double elsewhere(const char *program, const char *name,
			const char *argument)
{
	char path[4096], command[4200];
	ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
	double figure;
	FILE *says;

	path[n > 0 ? n : 0] = '\0';
	*(strrchr(path, '/') ? strrchr(path, '/') : path) = '\0';
	snprintf(command, sizeof command, "'%s/%s' %s %s", path, program, name,
		 argument);
	says = popen(command, "r");
	figure = figure_in(says, name);
	if (says)
		pclose(says);
	return figure;
}

/* n: what it takes. */
static void test_counting(const struct work *w, double n)
{
	double without = elsewhere("steps-uncounted", w->name, "");
	double hidden = elsewhere("steps.t", w->name, "hidden"), most;
	char name[64];

	snprintf(name, sizeof name, "count-%s", w->name);
	most = golden(name);
	diag("%s: %.2f of them count", w->name, n - without);
	ok(without > 0 && n - without <= most + 0.005, "%s: at most %.2f of "
	   "them count", w->name, most);
	ok(hidden > n - 0.005 && hidden < n + 0.005, "%s: as many where nobody "
	   "can see the counts (%.2f)", w->name, hidden);
}

static void test(const struct work *w)
{
	double n = least(w), most = golden(w->name), without, look;
	bool is_pair = w < works + NPAIRS;
	char name[64];

	snprintf(name, sizeof name, "look-%s", w->name);
	diag("%s: %.2f instructions", w->name, n);
	if (!is_comparable()) {
		skip(is_pair ? 4 : 2, "another compiler, or other flags, than "
		     GOLDEN " is of");
		return;
	}
	ok(n > 0 && n <= most + 0.005, "%s: at most %.2f instructions",
	   w->name, most);
	without = elsewhere("steps-blind", w->name, "");
	look = (n - without) / w->calls;
	most = golden(name);
	diag("%s: %.2f of them a call look at the CPU", w->name, look);
	ok(without > 0 && look <= most + 0.005, "%s: at most %.2f of them a "
	   "call look at the CPU", w->name, most);
	if (is_pair)
		test_counting(w, n);
}

/* For `steps NAME [hidden]`: prints its figure. */
static int print(const char *name)
{
	for (unsigned i = 0; i < NWORKS; i++)
		if (!strcmp(works[i].name, name))
			printf("%s %.4f\n", name, least(&works[i]));
	return 0;
}

int main(int argc, char **argv)
{
#ifndef __x86_64__
	skip_all("needs x86_64: counts its instructions");
#endif
	if (CONF_SANITIZED)
		skip_all("needs code as it is: a sanitizer adds to it");
	conf_restart(argv, argc > 2 ? HIDDEN : CONF);
	if (!np_start() || npool_create(&own, NULL) != 0)
		bail_out("nothing to start with");
	if (argc > 1)
		return print(argv[1]);
	if (!count(&works[0]))
		skip_all("needs ptrace(2)");
	plan(2 * NWORKS + 2 * NPAIRS);
	for (unsigned i = 0; i < NWORKS; i++)
		test(&works[i]);
	return done();
}
