/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * Locks: they exclude, debug builds know their order, and a thread that forks
 * owns them all.
 */
#include "child.h"
#include "lock.h"
#include "tap.h"

#include <errno.h>
#include <signal.h>

#define NTHREADS 4
#define NCOUNTS 50000

static struct np_lock pool = NP_LOCK_INIT(NP_RANK_POOL);
static struct np_lock arena = NP_LOCK_INIT(NP_RANK_ARENA);
static struct np_lock meta, meta2;

/* --- exclusion -------------------------------------------------------- */

static unsigned long counter; /* Guarded by arena. */

static void *count(void *arg)
{
	for (int i = 0; i < NCOUNTS; i++) {
		np_lock(&arena);
		counter++;
		np_unlock(&arena);
	}
	return arg;
}

static void test_counting(void)
{
	pthread_t threads[NTHREADS];

	for (int i = 0; i < NTHREADS; i++)
		if (pthread_create(&threads[i], NULL, count, NULL))
			bail_out("no thread");
	for (int i = 0; i < NTHREADS; i++)
		pthread_join(threads[i], NULL);
	is_uint(counter, NTHREADS * NCOUNTS, "%d threads count under a lock "
		"and lose nothing", NTHREADS);
}

static bool is_free(struct np_lock *lock)
{
	int error = pthread_mutex_trylock(&lock->mutex);

	if (!error)
		pthread_mutex_unlock(&lock->mutex);
	return error != EBUSY;
}

static void test_lock(void)
{
	is_int(meta.rank, NP_RANK_META, "np_lock_init sets the rank");
	np_lock(&pool);
	np_lock(&meta);
	ok(!is_free(&pool) && !is_free(&meta), "two locks are held at once");
	np_unlock(&pool);
	ok(is_free(&pool) && !is_free(&meta),
	   "the one that was taken first may be dropped first");
	np_unlock(&meta);
	ok(is_free(&meta), "and then the other");
	np_lock(&pool);
	ok(!is_free(&pool), "after that a lower one may be taken");
	np_unlock(&pool);
}

static void *hold_until_told(void *told)
{
	np_lock(&arena);
	pthread_barrier_wait(told);
	pthread_barrier_wait(told);
	np_unlock(&arena);
	return NULL;
}

static void test_trylock(void)
{
	pthread_barrier_t told;
	pthread_t thread;

	ok(np_trylock(&arena) && !is_free(&arena), "a free lock can be tried");
	np_unlock(&arena);
	ok(is_free(&arena), "and is dropped like any");
	pthread_barrier_init(&told, NULL, 2);
	if (pthread_create(&thread, NULL, hold_until_told, &told))
		bail_out("no thread");
	pthread_barrier_wait(&told);
	ok(!np_trylock(&arena), "one that another thread holds cannot be had");
	np_lock(&pool);
	ok(!is_free(&pool), "and does not count as held: a lower one can");
	np_unlock(&pool);
	pthread_barrier_wait(&told);
	pthread_join(thread, NULL);
	ok(np_trylock(&arena), "later it can");
	np_unlock(&arena);
	pthread_barrier_destroy(&told);
}

/* --- order: debug builds ---------------------------------------------- */

#ifdef NP_DEBUG
static void descend(void *arg)
{
	(void)arg;
	np_lock(&arena);
	np_lock(&pool);
}

static void take_equals(void *arg)
{
	(void)arg;
	np_lock(&meta);
	np_lock(&meta2);
}

static void take_twice(void *arg)
{
	(void)arg;
	np_lock(&arena);
	np_lock(&arena);
}

static void descend_after_drop(void *arg)
{
	(void)arg;
	np_lock(&pool);
	np_lock(&arena);
	np_lock(&meta);
	np_unlock(&arena);
	np_lock(&arena);
}

static void try_descend(void *arg)
{
	(void)arg;
	np_lock(&arena);
	np_trylock(&pool);
}

static void drop_free(void *arg)
{
	(void)arg;
	np_lock(&pool);
	np_unlock(&arena);
}

static void dies(void (*body)(void *), const char *words, const char *claim)
{
	struct child c = child_run(body, NULL);

	if (!ok(child_killed(&c, SIGABRT) && strstr(c.text, words), "%s",
		claim))
		diag("status %d: %s", c.status, c.text);
}

static void *is_held(void *lock)
{
	return np_lock_held(lock) ? lock : NULL;
}

static void test_held(void)
{
	pthread_t thread;
	void *seen;

	ok(!np_lock_held(&arena), "a free lock is not held");
	np_lock(&pool);
	np_lock(&arena);
	ok(np_lock_held(&arena) && np_lock_held(&pool), "taken ones are");
	if (pthread_create(&thread, NULL, is_held, &arena))
		bail_out("no thread");
	pthread_join(thread, &seen);
	ok(!seen, "not by another thread");
	np_unlock(&pool);
	ok(np_lock_held(&arena) && !np_lock_held(&pool),
	   "nor is the one that was dropped");
	np_unlock(&arena);
}
#endif

static void climb(void *arg)
{
	static struct np_lock all[NP_RANKS];

	(void)arg;
	for (int i = 0; i < NP_RANKS; i++) {
		np_lock_init(&all[i], (enum np_lock_rank)i);
		np_lock(&all[i]);
	}
	for (int i = 0; i < NP_RANKS; i++)
		np_unlock(&all[i]);
}

static void test_order(void)
{
	struct child c = child_run(climb, NULL);

	if (!ok(child_exited(&c, 0), "one of each rank may be held, "
		"taken in order"))
		diag("%s", c.text);
#ifdef NP_DEBUG
	dies(descend, "lock order", "a lower rank under a higher one aborts");
	dies(take_equals, "lock order", "two of one rank abort");
	dies(take_twice, "lock order", "to take a lock twice aborts");
	dies(descend_after_drop, "lock order",
	     "the highest rank counts, not the last one taken");
	dies(try_descend, "lock order", "nor may a lower one be tried");
	dies(drop_free, "not held", "to drop what is not held aborts");
	test_held();
#else
	skip(10, "needs a debug build");
#endif
}

/* --- fork ------------------------------------------------------------- */

static void use_in_child(void *arg)
{
	(void)arg;
	np_unlock_for_fork(&meta);
	np_unlock_for_fork(&meta2);
	np_lock(&meta);
	if (!is_free(&meta2) || is_free(&meta))
		_exit(1);
	np_unlock(&meta);
}

static void test_fork(void)
{
	struct child c;

	np_lock_for_fork(&meta);
	np_lock_for_fork(&meta2);
	ok(!is_free(&meta) && !is_free(&meta2),
	   "who forks may hold two locks of one rank");
	np_lock_forking(true);
	np_lock(&meta2);
	np_lock(&pool);
	ok(is_free(&pool) && !is_free(&meta2),
	   "from then on to take a lock does nothing");
	ok(np_trylock(&pool) && is_free(&pool), "nor does trying one");
	ok(np_lock_held(&meta) && np_lock_held(&pool),
	   "and the thread holds them all");
	np_unlock(&pool);
	np_unlock(&meta2);
	ok(!is_free(&meta2), "nor does dropping one");
	np_lock_forking(false);
	c = child_run(use_in_child, NULL);
	ok(child_exited(&c, 0), "the child drops and uses them");
	np_unlock_for_fork(&meta2);
	np_unlock_for_fork(&meta);
	ok(is_free(&meta) && is_free(&meta2), "and so does the parent");
	np_lock(&meta);
	ok(!is_free(&meta), "whose locks work again");
	np_unlock(&meta);
}

int main(void)
{
	plan(1 + 5 + 5 + 11 + 8);
	np_lock_init(&meta, NP_RANK_META);
	np_lock_init(&meta2, NP_RANK_META);
	test_counting();
	test_lock();
	test_trylock();
	test_order();
	test_fork();
	return done();
}
