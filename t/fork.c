/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * fork: a process forks again and again while its other threads allocate,
 * free, trim, change their node and fork too. Each child finds every arena
 * valid and what it held unharmed; it allocates, frees, trims, starts a
 * thread, forks itself. Fork handlers that allocate stand before and behind
 * the pool's own.
 */
#include "conf.h"
#include "figures.h"
#include "meta.h"
#include "npool.h"
#include "pool.h"
#include "rng.h"
#include "start.h"
#include "tap.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#define CONF "nodes:2,arenas:2,decay_ms:1"
#define NTHREADS 3
#define NPIECES 40
#define NKEPT 200

static _Atomic bool stop;

/* What the main thread holds when it forks: filled with its index. */
static struct {
	unsigned char *p;
	size_t size;
} kept[NKEPT];

static npool_t *own; /* a second pool, used by all */

/* Allocates and frees until n operations are done or it is told to stop.
 * Returns how many pieces were not as it left them. */
static unsigned churn(uint64_t seed, unsigned n)
{
	struct rng rng = rng_seed(seed);
	unsigned char *p[NPIECES] = { 0 };
	size_t size[NPIECES];
	unsigned lost = 0;

	for (unsigned op = 0; op < n && !stop; op++) {
		unsigned i = (unsigned)rng_below(&rng, NPIECES);

		if (p[i]) {
			lost += p[i][0] != i || p[i][size[i] - 1] != i;
			npool_free(p[i]);
			p[i] = NULL;
		} else {
			size[i] = rng_log(&rng, 200000);
			p[i] = rng_chance(&rng, 20)
				? npool_alloc(own, size[i], 0)
				: npool_malloc(size[i]);
			p[i][0] = p[i][size[i] - 1] = (unsigned char)i;
		}
		if (op % 512 == 511)
			npool_trim();
		if (op % 100 == 99)
			np_thread_set_home(&np_topology,
					   (int)rng_below(&rng, 3) - 1);
	}
	for (unsigned i = 0; i < NPIECES; i++)
		npool_free(p[i]);
	return lost;
}

/* --- handlers --------------------------------------------------------- */

/* How often handlers were called. Two threads may fork at once. */
static struct {
	_Atomic unsigned prepared, in_parent, in_child;
} of_early, of_late;

/* What they left for those after the fork. */
static _Thread_local void *of_early_left, *of_late_left;

static void *use_memory(void)
{
	char *p = npool_malloc(100), *q = npool_malloc(100000);

	p = npool_realloc(p, 5000);
	if (!p || !q)
		abort();
	p[4999] = q[99999] = 1;
	npool_free(q);
	return p;
}

#define HANDLERS(name)                                                    \
	static void name##_prepare(void)                                  \
	{                                                                 \
		name.prepared++;                                          \
		name##_left = use_memory();                                 \
	}                                                                 \
	static void name##_parent(void)                                   \
	{                                                                 \
		name.in_parent++;                                         \
		npool_free(use_memory());                                 \
		npool_free(name##_left);                                    \
	}                                                                 \
	static void name##_child(void)                                    \
	{                                                                 \
		name.in_child++;                                          \
		npool_free(use_memory());                                 \
		npool_free(name##_left);                                    \
	}

HANDLERS(of_early)
HANDLERS(of_late)

/* As early as a program can; the pool is not awake yet. t/segment.c has one
 * that is before ours. */
__attribute__((constructor(102))) static void register_first(void)
{
	if (pthread_atfork(of_early_prepare, of_early_parent,
			   of_early_child))
		abort();
}

/* --- a child ---------------------------------------------------------- */

static unsigned caches(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < np_pool.nodes.n; i++)
		for (unsigned k = 0; k < np_pool.nodes.node[i].narenas; k++)
			n += np_pool.nodes.node[i].arenas[k]->nthreads;
	return n;
}

static unsigned my_caches(void)
{
	const struct np_seat *seat = np_me ? np_me->seat[0] : NULL;
	unsigned n = 0;

	for (unsigned i = 0; seat && i < np_pool.nodes.n; i++)
		n += seat->cache[i] != NULL;
	return n;
}

static bool arenas_valid(void)
{
	for (unsigned i = 0; i < np_pool.nodes.n; i++)
		for (unsigned k = 0; k < np_pool.nodes.node[i].narenas; k++)
			if (!np_arena_valid(np_pool.nodes.node[i].arenas[k]))
				return false;
	return true;
}

static bool keeps(unsigned i)
{
	const unsigned char *p = kept[i].p;

	return p[0] == (unsigned char)i &&
	       !memcmp(p, p + 1, kept[i].size - 1);
}

static void *thread_of_child(void *seed)
{
	return (void *)(uintptr_t)churn(*(uint64_t *)seed, 100);
}

/* Not with a sanitizer: its own locks do not stand a fork of threads. */
static void start_thread(uint64_t seed)
{
	pthread_t t;
	void *lost;

	if (CONF_SANITIZED)
		return;
	must(!pthread_create(&t, NULL, thread_of_child, &seed));
	must(!pthread_join(t, &lost));
	must(!lost);
}

static void in_child(uint64_t seed, bool nested)
{
	int status;
	pid_t pid;

	alarm(60); /* as in main */
	must(caches() == my_caches());
	must(figures().threads == (my_caches() ? 1 : 0));
	must(arenas_valid());
	for (unsigned i = 0; i < NKEPT; i++) {
		must(keeps(i));
		if (i % 2)
			npool_free(kept[i].p);
	}
	stop = false;
	must(churn(seed, 200) == 0);
	start_thread(seed);
	npool_trim();
	must(arenas_valid());
	if (nested)
		_exit(0);
	pid = fork();
	must(pid >= 0);
	if (!pid) {
		must(caches() == my_caches() && arenas_valid());
		must(churn(seed + 1, 100) == 0);
		_exit(0);
	}
	must(waitpid(pid, &status, 0) == pid && status == 0);
	_exit(0);
}

/* Forks n times; returns how many children ended well. */
static unsigned fork_often(unsigned n, uint64_t seed)
{
	unsigned good = 0;

	for (unsigned i = 0; i < n; i++) {
		int status;
		pid_t pid = fork();

		if (!pid)
			in_child(seed + i, i % 8);
		if (pid > 0 && waitpid(pid, &status, 0) == pid) {
			good += status == 0;
			if (status)
				diag("a child ended with 0x%x",
				     (unsigned)status);
		}
	}
	return good;
}

/* --- threads of the parent -------------------------------------------- */

static void *churn_on(void *arg)
{
	return (void *)(uintptr_t)churn((uintptr_t)arg, UINT32_MAX);
}

/* Holds the locks below the arenas' most of the time: metadata, chunk map,
 * segment. */
static void *hammer(void *arg)
{
	while (!stop) {
		for (int i = 0; i < 2000; i++)
			np_meta_free(0, np_meta_alloc(0, 100), 100);
		npool_free(npool_malloc(17 * NP_MIB));
	}
	return arg;
}

/* A thread that forks too, and has no cache at first. */
static void *fork_too(void *arg)
{
	return (void *)(uintptr_t)fork_often(*(unsigned *)arg, 1000000);
}

static void keep_some(void)
{
	struct rng rng = rng_seed(7);

	for (unsigned i = 0; i < NKEPT; i++) {
		kept[i].size = rng_log(&rng, 100000);
		kept[i].p = npool_malloc(kept[i].size);
		memset(kept[i].p, (int)i, kept[i].size);
	}
}

static void test_forks(unsigned n)
{
	pthread_t t[NTHREADS], forker, hammerer;
	unsigned few = n / 10, lost = 0;
	void *result;

	for (uintptr_t i = 0; i < NTHREADS; i++)
		if (pthread_create(&t[i], NULL, churn_on, (void *)(i + 50)))
			bail_out("no thread");
	if (pthread_create(&hammerer, NULL, hammer, NULL) ||
	    pthread_create(&forker, NULL, fork_too, &few))
		bail_out("no thread");
	is_uint(fork_often(n, 0), n, "%u children of a process with %d "
		"threads work", n, NTHREADS + 3);
	pthread_join(forker, &result);
	is_uint((uintptr_t)result, few, "so do %u that another thread forks "
		"meanwhile", few);
	stop = true;
	pthread_join(hammerer, NULL);
	for (unsigned i = 0; i < NTHREADS; i++) {
		pthread_join(t[i], &result);
		lost += (unsigned)(uintptr_t)result;
	}
	stop = false;
	is_uint(lost, 0, "the parent's threads lose nothing by it");
}

/* What the segment says of children. */
static void test_counts(void)
{
	pthread_t t[NTHREADS];
	uint64_t forks = np_count_get(&np_pool.segment.header->forks);
	int status;
	pid_t pid;

	for (uintptr_t i = 0; i < NTHREADS; i++)
		if (pthread_create(&t[i], NULL, churn_on, (void *)(i + 9)))
			bail_out("no thread");
	while (figures().threads < NTHREADS + 1)
		sched_yield();
	pid = fork();
	if (!pid) {
		must(np_count_get(&np_pool.segment.header->abandoned) >= NTHREADS);
		must(np_count_get(&np_pool.segment.header->forks) == 0);
		must(np_pool.segment.header->pid == (uint32_t)getpid());
		must(np_pool.segment.header->parent == (uint32_t)getppid());
		_exit(0);
	}
	ok(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0,
	   "a child counts the caches of threads that it has not");
	is_uint(np_count_get(&np_pool.segment.header->forks), forks + 1,
		"its parent counts the child");
	is_uint(np_count_get(&np_pool.segment.header->abandoned), 0,
		"and has abandoned nothing");
	stop = true;
	for (unsigned i = 0; i < NTHREADS; i++)
		pthread_join(t[i], NULL);
}

static void test_handlers(void)
{
	ok(of_early.prepared && of_early.in_parent ==
	   of_early.prepared && !of_early.in_child,
	   "early handlers had memory each time (%u)",
	   of_early.prepared);
	ok(of_late.prepared && of_late.in_parent ==
	   of_late.prepared && !of_late.in_child,
	   "and late ones (%u)", of_late.prepared);
}

/* All the parent has is as it was, and goes back. */
static void test_parent(void)
{
	bool intact = true;

	for (unsigned i = 0; i < NKEPT; i++) {
		intact = intact && keeps(i);
		npool_free(kept[i].p);
	}
	ok(intact, "what the parent held is as it was");
	ok(arenas_valid(), "its arenas are valid");
	npool_flush_thread();
	npool_trim();
	is_uint(figures().used, 0, "all is freed");
	is_uint(figures().cached, 0, "nothing is cached");
	is_uint(caches(), 0, "no arena has a thread");
}

/* 100000 of them are NPOOL_TEST_FORKS=100000, and half an hour. */
static unsigned nforks(void)
{
	return conf_number("NPOOL_TEST_FORKS",
			   conf_by_level(200, CONF_SANITIZED ? 200 : 1000,
					 5000));
}

int main(int argc, char **argv)
{
	(void)argc;
	conf_restart(argv, CONF);
	plan(13);
	if (!np_start() ||
	    pthread_atfork(of_late_prepare, of_late_parent,
			   of_late_child))
		bail_out("nothing to start with");
	if (npool_create(&own, NULL))
		bail_out("no second pool");
	alarm(120 + nforks() / 5); /* a lock that nobody drops */
	keep_some();
	test_forks(nforks());
	test_counts();
	test_handlers();
	test_parent();
	return done();
}
