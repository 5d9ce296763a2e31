/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * background: its thread starts when it is wanted and the program has two
 * threads, or some time has passed; takes no signals; gives back what an idle
 * program left; sleeps when nothing is left, and wakes at a visit; ends when
 * it is not wanted; a forked child wants one of its own.
 *
 * The thread is found by its name in /proc.
 *
 * Source: proc(5).
 */
#include "background.h"
#include "conf.h"
#include "npool.h"
#include "os.h"
#include "pages.h"
#include "pool.h"
#include "start.h"
#include "tap.h"

#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <time.h> /* nanosleep */

#define CONF "background:0,decay_ms:-1"
#define PATIENCE_MS 20000 /* until what must come is said not to come */

static void sleep_ms(long ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000 };

	nanosleep(&t, NULL);
}

static int state(void)
{
	return atomic_load(&np_background_state);
}

/* --- the process's threads -------------------------------------------- */

/* Reads /proc/self/task/TID/name. Returns false if it is not there. */
static bool read_task(const char *tid, const char *name, char *text,
		      size_t size)
{
	char path[300];
	FILE *f;
	size_t n;

	snprintf(path, sizeof path, "/proc/self/task/%s/%s", tid, name);
	f = fopen(path, "r");
	n = f ? fread(text, 1, size - 1, f) : 0;
	text[n] = '\0';
	if (f)
		fclose(f);
	return n > 0;
}

/* How many threads of the library's there are. tid: one of them. */
static unsigned threads(char tid[32])
{
	DIR *dir = opendir("/proc/self/task");
	struct dirent *d;
	unsigned n = 0;
	char name[64];

	while (dir && (d = readdir(dir)))
		if (read_task(d->d_name, "comm", name, sizeof name) &&
		    !strcmp(name, "npool\n")) {
			snprintf(tid, 32, "%.30s", d->d_name);
			n++;
		}
	if (dir)
		closedir(dir);
	return n;
}

/* Waits until there are n of them. A thread has its name a moment after it
 * began. */
static bool wait_for_threads(unsigned n)
{
	char tid[32];

	for (int ms = 0; ms < PATIENCE_MS; ms += 2) {
		if (threads(tid) == n)
			return true;
		sleep_ms(2);
	}
	return false;
}

static bool wait_for_state(int wanted)
{
	for (int ms = 0; ms < PATIENCE_MS && state() != wanted; ms += 2)
		sleep_ms(2);
	return state() == wanted;
}

/* --- starting --------------------------------------------------------- */

static void test_off(void)
{
	char tid[32];

	is_int(state(), NP_BACKGROUND_OFF, "at first it is not wanted");
	np_background_notice();
	np_background_act();
	is_int(state(), NP_BACKGROUND_OFF, "visits do not change that");
	np_background_set(false);
	ok(state() == NP_BACKGROUND_OFF && !threads(tid),
	   "nor does who does not want it");
}

static void test_after_a_while(void)
{
	uint64_t wanted_at = np_os_now_ms();
	char tid[32];

	np_background_set(true);
	np_background_notice();
	if (np_os_now_ms() < wanted_at + NP_BACKGROUND_AFTER_MS)
		ok(state() == NP_BACKGROUND_WANTED && !threads(tid),
		   "wanted, it does not start at once in a program of one "
		   "thread");
	else
		skip(1, "needs a machine that is less busy");
	sleep_ms(NP_BACKGROUND_AFTER_MS + 10);
	if (state() == NP_BACKGROUND_WANTED)
		ok(!threads(tid), "nor of itself");
	else
		skip(1, "needs a machine that is less busy");
	np_background_notice();
	ok(state() > NP_BACKGROUND_WANTED && wait_for_threads(1),
	   "but at the first visit when some time has passed");
	np_background_set(true);
	np_background_act();
	np_background_act();
	sleep_ms(20);
	is_uint(threads(tid), 1, "there is one, however often it is asked for");
	np_background_set(false);
	is_int(state(), NP_BACKGROUND_OFF, "set to off it is off");
	ok(wait_for_threads(0), "and the thread ends");
}

static void *use_and_wait(void *barrier)
{
	npool_free(npool_malloc(1));
	pthread_barrier_wait(barrier);
	pthread_barrier_wait(barrier);
	return NULL;
}

static void test_two_threads(void)
{
	pthread_barrier_t step;
	pthread_t t;

	npool_free(npool_malloc(1));
	pthread_barrier_init(&step, NULL, 2);
	if (pthread_create(&t, NULL, use_and_wait, &step))
		bail_out("no thread");
	pthread_barrier_wait(&step);
	np_background_set(true);
	np_background_notice();
	ok(state() > NP_BACKGROUND_WANTED && wait_for_threads(1),
	   "where two threads use the pool it starts at once");
	pthread_barrier_wait(&step);
	pthread_join(t, NULL);
	pthread_barrier_destroy(&step);
}

static void test_signals(void)
{
	char tid[32], status[4096];
	unsigned long long blocked = 0;
	const char *line;
	sigset_t own;

	if (threads(tid) != 1 ||
	    !read_task(tid, "status", status, sizeof status) ||
	    !(line = strstr(status, "SigBlk:")) ||
	    sscanf(line, "SigBlk: %llx", &blocked) != 1)
		bail_out("no thread to look at");
	/* Not to be blocked are SIGKILL, SIGSTOP and the C library's 32 and
	 * 33. */
	is_hex(blocked | 1ull << 8 | 1ull << 18 | 3ull << 31, ~0ull,
	       "all signals are blocked in it");
	pthread_sigmask(SIG_SETMASK, NULL, &own);
	ok(!sigismember(&own, SIGTERM) && !sigismember(&own, SIGCHLD),
	   "but not in who started it");
}

/* --- at work ---------------------------------------------------------- */

static npool_t *make_pool(int64_t decay_ms)
{
	struct npool_attr attr = NPOOL_ATTR_INIT;
	npool_t *pool;

	attr.decay_ms = decay_ms;
	if (npool_create(&pool, &attr) != 0)
		bail_out("no pool");
	return pool;
}

static bool wait_until_gone(const void *p, size_t size)
{
	for (int ms = 0; ms < PATIENCE_MS && pages_resident(p, size); ms += 2)
		sleep_ms(2);
	return pages_resident(p, size) == 0;
}

/* The thread is there. */
static void test_gives_back(npool_t *pool)
{
	void *keep = npool_alloc(pool, NP_MIB, NPOOL_NOCACHE);
	void *p = npool_alloc(pool, NP_MIB, NPOOL_NOCACHE);

	memset(p, 1, NP_MIB);
	npool_free_many(&p, 1);
	ok(wait_until_gone(p, NP_MIB),
	   "what an idle program does not use goes back to the kernel");
	npool_free(keep);
}

static void test_sleeps(npool_t *pool)
{
	uint64_t next;

	ok(wait_for_state(NP_BACKGROUND_ASLEEP),
	   "when nothing is left it falls asleep");
	next = atomic_load(&pool->next_tick_ms);
	sleep_ms(100);
	ok(state() == NP_BACKGROUND_ASLEEP &&
	   atomic_load(&pool->next_tick_ms) == next,
	   "and does not tick then");
	np_background_notice();
	ok(state() == NP_BACKGROUND_BUSY || state() == NP_BACKGROUND_AWAKE,
	   "a visit wakes it");
	for (int ms = 0; ms < PATIENCE_MS &&
	     atomic_load(&pool->next_tick_ms) == next; ms += 2)
		sleep_ms(2);
	ok(atomic_load(&pool->next_tick_ms) != next, "and it ticks again");
	ok(wait_for_state(NP_BACKGROUND_ASLEEP), "until it is asleep again");
	test_gives_back(pool);
}

static void test_is_busy(npool_t *pool)
{
	wait_for_state(NP_BACKGROUND_ASLEEP);
	npool_free(npool_alloc(pool, 5000, NPOOL_NOCACHE));
	ok(state() == NP_BACKGROUND_BUSY || state() == NP_BACKGROUND_AWAKE,
	   "calls that go past the cache are visits");
	for (int i = 0; i < 20; i++) {
		np_background_notice();
		sleep_ms(5);
	}
	ok(state() != NP_BACKGROUND_ASLEEP,
	   "while somebody comes it does not sleep");
}

/* Ended while it sleeps for long. */
static void test_ends_asleep(void)
{
	wait_for_state(NP_BACKGROUND_ASLEEP);
	is_int(npool_option_set(npool_default(), "background", "0"), 0,
	       "the option background");
	is_int(state(), NP_BACKGROUND_OFF, "turns it off");
	ok(wait_for_threads(0), "the thread ends, also from its sleep");
	npool_option_set(npool_default(), "background", "1");
	is_int(state(), NP_BACKGROUND_WANTED, "and on: it is wanted");
	sleep_ms(NP_BACKGROUND_AFTER_MS + 10);
	np_background_notice();
	ok(wait_for_threads(1), "and starts again");
}

/* Turned off and on faster than it can follow. */
static void test_off_and_on(void)
{
	for (int i = 0; i < 200; i++) {
		np_background_set(i % 2);
		np_background_act();
	}
	ok(state() >= NP_BACKGROUND_WANTED, "turned on and off 200 times it is "
	   "on");
	sleep_ms(NP_BACKGROUND_AFTER_MS + 10);
	np_background_act();
	ok(wait_for_threads(1), "and one thread is there");
}

/* --- fork ------------------------------------------------------------- */

static void in_child(void *arg)
{
	uint64_t forked_at = np_os_now_ms();
	char tid[32];

	(void)arg;
	must(state() == NP_BACKGROUND_WANTED && !threads(tid));
	if (CHILD_STARTS) /* on a slow machine this may be late enough */
		np_background_notice();
	must(state() == NP_BACKGROUND_WANTED ||
	     np_os_now_ms() >= forked_at + NP_BACKGROUND_AFTER_MS);
	if (!CHILD_STARTS)
		return;
	sleep_ms(NP_BACKGROUND_AFTER_MS + 10);
	np_background_notice();
	must(wait_for_threads(1));
	np_background_set(false);
	must(wait_for_threads(0));
}

static void in_child_of_off(void *arg)
{
	(void)arg;
	must(state() == NP_BACKGROUND_OFF);
	sleep_ms(NP_BACKGROUND_AFTER_MS + 10);
	np_background_act();
	must(state() == NP_BACKGROUND_OFF);
}

static void child_ok(void (*body)(void *), const char *claim)
{
	struct child c = child_run(body, NULL);

	if (!ok(child_exited(&c, 0), "%s", claim))
		diag("status 0x%x: %s", (unsigned)c.status, c.text);
}

static void test_fork(void)
{
	char tid[32];

	child_ok(in_child, "a forked child has none, wants one, and starts it "
		 "after a while");
	is_uint(threads(tid), 1, "its parent's goes on");
	np_background_set(false);
	wait_for_threads(0);
	child_ok(in_child_of_off, "where it is off it is off in a child");
}

/* --- no thread to be had ---------------------------------------------- */

/* In a process that has no address space left for a stack, and no old one to
 * use again. */
static int without_room(void)
{
	struct rlimit before, none = { 1, 1 };
	char tid[32];

	getrlimit(RLIMIT_AS, &before);
	none.rlim_max = before.rlim_max;
	must(np_start());
	np_background_set(true);
	threads(tid); /* what it calls has its memory then */
	sleep_ms(NP_BACKGROUND_AFTER_MS + 10);
	setrlimit(RLIMIT_AS, &none);
	np_background_notice();
	setrlimit(RLIMIT_AS, &before);
	must(state() == NP_BACKGROUND_WANTED && !threads(tid));
	np_background_notice();
	must(state() == NP_BACKGROUND_WANTED); /* not again so soon */
	sleep_ms(1100);
	np_background_notice();
	must(wait_for_threads(1));
	return 0;
}

static void test_no_room(void)
{
	if (CONF_SANITIZED)
		skip(1, "sanitizers need address space to start a thread");
	else
		conf_ok(CONF, "without room",
			"if it cannot start it tries again later");
}

/* --- from the start ---------------------------------------------------- */

/* In a child with background:1. */
static int from_the_start(void)
{
	char tid[32];
	void *p;

	must(np_start() && state() >= NP_BACKGROUND_WANTED);
	sleep_ms(NP_BACKGROUND_AFTER_MS + 10);
	must(!threads(tid));
	p = npool_malloc(NP_MIB);
	must(wait_for_threads(1));
	memset(p, 1, NP_MIB);
	npool_free(p);
	npool_flush_thread();
	must(wait_until_gone(p, NP_MIB));
	must(wait_for_state(NP_BACKGROUND_ASLEEP));
	return 0;
}

int main(int argc, char **argv)
{
	npool_t *pool;

	if (argc > 1)
		return strcmp(argv[1], "without room") ? from_the_start()
						       : without_room();
	conf_restart(argv, CONF);
	plan(33);
	if (!np_start())
		bail_out("the pool does not wake");
	test_off();
	test_after_a_while();
	test_two_threads();
	test_signals();
	pool = make_pool(20);
	test_gives_back(pool);
	test_sleeps(pool);
	test_is_busy(pool);
	test_ends_asleep();
	test_off_and_on();
	test_fork();
	npool_destroy(pool);
	test_no_room();
	conf_ok("background:1,decay_ms:40", "from the start",
		"wanted from the start it begins with the first visit");
	return done();
}
