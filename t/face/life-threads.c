/*
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * life-threads.c - malloc at the end of threads.
 *
 * Run by face-life.t.  A key's destructor may set its key again and is
 * then called in the next of PTHREAD_DESTRUCTOR_ITERATIONS rounds.  The
 * library's own destructor runs somewhere in the first; the keys here are
 * older (made before any library's constructor) and younger than its key,
 * so memory is asked for before and after it in every round.
 */
#include "life.h"
#include <pthread.h>

enum { OLD_KEYS = 3, KEYS = 24, ROUNDS = PTHREAD_DESTRUCTOR_ITERATIONS };
static pthread_key_t key[KEYS];
static int destroyed;

struct holding {
	size_t which, round;
	unsigned char *piece;
};

static size_t size_of(const struct holding *holding)
{
	return 1 + holding->which * 37 * (holding->round + 1);
}

static struct holding *new_holding(size_t which, size_t round)
{
	struct holding *holding = take(sizeof(*holding));

	holding->which = which;
	holding->round = round;
	holding->piece = take(size_of(holding));
	fill(holding->piece, size_of(holding), which);
	return holding;
}

static void destroy(void *arg)
{
	struct holding *holding = arg;
	size_t which = holding->which, round = holding->round;

	CHECK(holds(holding->piece, size_of(holding), which) ==
		      size_of(holding),
	      "round %zu: a key's memory changed", round);
	exercise(5, which);
	free(holding->piece);
	free(holding);
	__atomic_add_fetch(&destroyed, 1, __ATOMIC_RELAXED);
	if (round + 1 < ROUNDS)
		pthread_setspecific(key[which], new_holding(which, round + 1));
}

static void before_libraries(int argc, char **argv, char **envp)
{
	(void)argc, (void)argv, (void)envp;
	for (size_t i = 0; i < OLD_KEYS; i++)
		if (pthread_key_create(&key[i], destroy) != 0)
			abort();
}

__attribute__((section(".preinit_array"), used))
static life_early *const first = before_libraries;

static void *set_keys(void *arg)
{
	size_t seed = (size_t)(uintptr_t)arg;

	exercise(200, seed);
	for (size_t i = 0; i < KEYS; i++)
		CHECK(pthread_setspecific(key[i], new_holding(i, 0)) == 0,
		      "setspecific");
	return NULL;
}

static void run_threads(size_t count, size_t at_once, void *(*work)(void *))
{
	pthread_t thread[32];

	for (size_t i = 0; i < count; i += at_once) {
		for (size_t k = 0; k < at_once; k++)
			CHECK(pthread_create(&thread[k], NULL, work,
					     (void *)(uintptr_t)(i + k + 1)) ==
				      0,
			      "no thread %zu", i + k);
		for (size_t k = 0; k < at_once; k++)
			CHECK(pthread_join(thread[k], NULL) == 0, "no join");
	}
}

static void every_round(void)
{
	enum { TIMES = 200 };

	for (size_t i = OLD_KEYS; i < KEYS; i++)
		CHECK(pthread_key_create(&key[i], destroy) == 0, "no key");
	run_threads(TIMES, 8, set_keys);
	CHECK(destroyed == TIMES * KEYS * ROUNDS,
	      "destructors ran %d times, not %d", destroyed,
	      TIMES * KEYS * ROUNDS);
}

static size_t resident(void)
{
	size_t pages = 0;
	FILE *file = fopen("/proc/self/statm", "r");

	CHECK(file && fscanf(file, "%*u %zu", &pages) == 1,
	      "cannot read statm");
	fclose(file);
	return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static void by_the_thousand(void)
{
	size_t start, end;

	for (size_t i = OLD_KEYS; i < KEYS; i++)
		CHECK(pthread_key_create(&key[i], destroy) == 0, "no key");
	run_threads(320, 32, set_keys);
	start = resident();
	run_threads(1600, 32, set_keys);
	end = resident();
	CHECK(end <= start + 8 * MIB,
	      "1600 threads left %zu bytes more than "
	      "320 did",
	      end - start);
}

/* A piece that each thread leaves behind, for others to check and free. */
static unsigned char *left[512];

static void *leave(void *arg)
{
	size_t i = (size_t)(uintptr_t)arg - 1;
	size_t n = 1 + i * 61;

	left[i] = take(n);
	fill(left[i], n, i);
	return NULL;
}

static void *collect(void *arg)
{
	size_t i = COUNT(left) - (size_t)(uintptr_t)arg;
	size_t n = 1 + i * 61;

	CHECK(holds(left[i], n, i) == n, "a dead thread's %zu bytes changed",
	      n);
	left[i] = keep(realloc(left[i], hide(2 * n)));
	CHECK(left[i] && holds(left[i], n, i) == n, "realloc lost %zu bytes",
	      n);
	free(left[i]);
	return NULL;
}

static void outlives_its_thread(void)
{
	run_threads(COUNT(left), 16, leave);
	exercise(5000, 1);
	run_threads(COUNT(left), 16, collect);
}

/* Its first memory is asked for in a destructor, its last in the last round:
 * the library has long thought it gone. Each time it frees what another
 * thread took, and leaves something. */
static pthread_key_t late_key;
static int came_late;

static void leave_late(void *arg)
{
	size_t i = (size_t)(uintptr_t)arg, round = i % ROUNDS;
	size_t n = 1 + i * 61;

	CHECK(holds(left[i], n, i) == n, "round %zu: %zu bytes changed", round,
	      n);
	free(left[i]);
	left[i] = take(2 * n);
	fill(left[i], 2 * n, i);
	left[i] = keep(realloc(left[i], hide(3 * n)));
	CHECK(left[i] && holds(left[i], 2 * n, i) == 2 * n,
	      "realloc lost %zu bytes", 2 * n);
	free(keep(calloc(hide(7), 300)));
	__atomic_add_fetch(&came_late, 1, __ATOMIC_RELAXED);
	if (round + 1 < ROUNDS)
		pthread_setspecific(late_key, (void *)(uintptr_t)(i + 1));
}

static void *come_late(void *arg)
{
	size_t i = (size_t)(uintptr_t)arg * ROUNDS;

	/* Of the first keys: nothing is allocated for the value. */
	CHECK(pthread_setspecific(late_key, (void *)(uintptr_t)i) == 0,
	      "setspecific");
	return NULL;
}

static void first_in_destructor(void)
{
	enum { THREADS = COUNT(left) / ROUNDS };

	CHECK(pthread_key_create(&late_key, leave_late) == 0, "no key");
	for (size_t i = 0; i < COUNT(left); i++)
		leave((void *)(uintptr_t)(i + 1));
	run_threads(THREADS - 1, 1, come_late);
	CHECK(came_late == (THREADS - 1) * ROUNDS, "destructors ran %d times",
	      came_late);
	exercise(5000, 1);
	for (size_t i = ROUNDS; i < COUNT(left); i++) {
		size_t n = 2 * (1 + i * 61);

		CHECK(holds(left[i], n, i) == n,
		      "%zu bytes of a thread's end changed", n);
		free(left[i]);
	}
	for (size_t i = 0; i < ROUNDS; i++)
		free(left[i]);
}

static void *sleep_for_ever(void *piece)
{
	void *own = take(10000);

	free(piece);
	pthread_setspecific(key[0], new_holding(0, 0));
	pthread_cleanup_push(free, own);
	for (;;)
		pause();
	pthread_cleanup_pop(1);
	return NULL;
}

/* A cancelled thread's end is an end as well. */
static void cancelled(void)
{
	pthread_t thread[16];

	for (size_t i = OLD_KEYS; i < KEYS; i++)
		CHECK(pthread_key_create(&key[i], destroy) == 0, "no key");
	for (int round = 0; round < 20; round++) {
		for (size_t i = 0; i < COUNT(thread); i++)
			CHECK(pthread_create(&thread[i], NULL, sleep_for_ever,
					     take(i * 100)) == 0,
			      "no thread");
		for (size_t i = 0; i < COUNT(thread); i++) {
			void *end;

			pthread_cancel(thread[i]);
			CHECK(pthread_join(thread[i], &end) == 0 &&
				      end == PTHREAD_CANCELED,
			      "not cancelled");
		}
	}
}

static const struct claim claims[] = {
	{ "key destructors allocate in every round", every_round },
	{ "threads by the thousand leave nothing behind", by_the_thousand },
	{ "memory outlives its thread and is freed by another",
	  outlives_its_thread },
	{ "a thread's first memory is taken in a destructor, and outlives it",
	  first_in_destructor },
	{ "cancelled threads end well", cancelled },
};

int main(int argc, char **argv)
{
	return life_main(argc, argv, claims, COUNT(claims));
}
