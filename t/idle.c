/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * idle: 1000 threads fill their caches and go to sleep. These, and the depots,
 * are empty at the second tick from then, whether a thread that still runs does
 * it or, with background:1, nobody but the pool itself.
 */
#include "conf.h"
#include "npool.h"
#include "os.h"
#include "pool.h"
#include "rng.h"
#include "tap.h"

#include <pthread.h>
#include <time.h>

#define NTHREADS 1000
#define NPIECES 300
#define SIZE_MOST (128 * NP_KIB)
#define PATIENCE_MS 60000

static pthread_barrier_t all_full; /* the threads, and main */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t over_cond = PTHREAD_COND_INITIALIZER;
static bool over; /* guarded by lock */

static void *fill_and_sleep(void *arg)
{
	struct rng rng = rng_seed((uintptr_t)arg);
	void *p[NPIECES];

	for (unsigned i = 0; i < NPIECES; i++) {
		p[i] = npool_malloc(rng_log(&rng, SIZE_MOST));
		must(p[i]);
	}
	for (unsigned i = 0; i < NPIECES; i++)
		npool_free(p[i]);
	pthread_barrier_wait(&all_full);
	pthread_mutex_lock(&lock);
	while (!over)
		pthread_cond_wait(&over_cond, &lock);
	pthread_mutex_unlock(&lock);
	return NULL;
}

/* The most that one thread's cache holds, and what the depots do. */
static size_t most_cached(void)
{
	int64_t most = 0;

	for (unsigned i = 1; i < np_pool.segment.blocks_used; i++) {
		int64_t n = np_block_cached(&np_pool.segment, &np_pool.classes,
					    np_segment_block(&np_pool.segment,
							     i));

		if (n > most)
			most = n;
	}
	return (size_t)most;
}

static size_t in_depots(void)
{
	size_t bytes = 0;

	for (unsigned i = 0; i < np_pool.nodes.n; i++)
		bytes += np_count_get(
			&np_segment_node(&np_pool.segment, i)->depot_bytes);
	return bytes;
}

static bool is_empty(void)
{
	return !most_cached() && !in_depots();
}

/* A visit to the slow path that leaves nothing in a cache. */
static void call(void)
{
	void *p;

	must(npool_alloc_many(npool_default(), 100, 0, &p, 1) == 1);
	npool_free_many(&p, 1);
}

/* calls: this thread goes on and makes some. */
static void wait_until_empty(bool calls)
{
	uint64_t end = np_os_now_ms() + PATIENCE_MS;
	struct timespec t = { 0, 5000000 };

	while (!is_empty() && np_os_now_ms() < end) {
		for (unsigned i = 0; calls && i < 100; i++)
			call();
		nanosleep(&t, NULL);
	}
}

static int run(bool calls)
{
	static pthread_t t[NTHREADS];
	pthread_attr_t attr;

	must(!pthread_barrier_init(&all_full, NULL, NTHREADS + 1));
	must(!pthread_attr_init(&attr));
	must(!pthread_attr_setstacksize(&attr, 128 * NP_KIB));
	for (uintptr_t i = 0; i < NTHREADS; i++)
		must(!pthread_create(&t[i], &attr, fill_and_sleep, (void *)i));
	pthread_barrier_wait(&all_full);
	fprintf(stderr, "%zu bytes in a cache at most, %zu in depots\n",
		most_cached(), in_depots());
	wait_until_empty(calls);
	fprintf(stderr, "then %zu and %zu\n", most_cached(), in_depots());
	must(!most_cached());
	must(!in_depots());
	pthread_mutex_lock(&lock);
	over = true;
	pthread_cond_broadcast(&over_cond);
	pthread_mutex_unlock(&lock);
	for (unsigned i = 0; i < NTHREADS; i++)
		must(!pthread_join(t[i], NULL));
	return 0;
}

static void test(const char *conf, const char *how, const char *what)
{
	struct child c = conf_run(conf, how);

	ok(child_exited(&c, 0), "%d idle threads keep nothing, nor do depots: "
	   "%s", NTHREADS, what);
	diag("%s", c.text);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		return run(!strcmp(argv[1], "calls"));
	plan(2);
	test("decay_ms:100", "calls", "one thread still calls");
	test("decay_ms:100,background:1", "rests", "with background:1");
	return done();
}
