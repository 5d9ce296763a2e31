/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * tick: each tick gives back what nobody needed since the last, of each place
 * that has something; ticks come when half of decay_ms has passed and not
 * before, driven by visits to any pool, and never twice.
 *
 * Two nodes are invented. The default pool does not decay; the pools of the
 * tests are made here.
 */
#include "conf.h"
#include "figures.h"
#include "npool.h"
#include "os.h"
#include "pages.h"
#include "pool.h"
#include "start.h"
#include "tap.h"
#include "thread.h"
#include "tick.h"

#include <pthread.h>
#include <time.h> /* nanosleep */

#define CONF "nodes:2,arenas:1,decay_ms:-1"
#define VISITS_A_LOOK 31 /* as in tick.c: a look at the clock in so many */
#define LONG_MS 1000000	 /* no tick comes of itself */

static npool_t *make_pool(int64_t decay_ms)
{
	struct npool_attr attr = NPOOL_ATTR_INIT;
	npool_t *pool;

	attr.decay_ms = decay_ms;
	attr.arenas = 1;
	if (npool_create(&pool, &attr) != 0)
		bail_out("no pool");
	return pool;
}

static uint64_t next_tick(const npool_t *pool)
{
	return atomic_load(&pool->next_tick_ms);
}

/* Makes the next tick due. */
static void make_due(npool_t *pool)
{
	atomic_store(&pool->next_tick_ms, 0);
}

static bool is_due_no_more(const npool_t *pool)
{
	return next_tick(pool) > np_os_now_ms();
}

static void sleep_ms(long ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000 };

	nanosleep(&t, NULL);
}

/* --- the pace --------------------------------------------------------- */

static void test_pace(npool_t *pool)
{
	static const struct {
		int64_t decay_ms;
		uint32_t tick_ms;
	} pace[] = { { 10000, 5000 }, { 3, 2 }, { 1, 1 }, { 0, 100 },
		     { -1, 0 } };
	uint64_t now, next;

	for (unsigned i = 0; i < 5; i++) {
		np_tick_set(pool, pace[i].decay_ms);
		is_uint(pool->tick_ms, pace[i].tick_ms,
			"decay_ms %d: a tick every %u ms",
			(int)pace[i].decay_ms, pace[i].tick_ms);
	}
	now = np_os_now_ms();
	np_tick_set(pool, 10000);
	next = next_tick(pool);
	ok(next >= now + 5000 && next <= np_os_now_ms() + 5000,
	   "the first comes when that time has passed");
	atomic_store(&pool->next_tick_ms, next - 1);
	np_tick_set(pool, 10000);
	is_uint(next_tick(pool), next - 1, "the same pace puts it off no more");
	is_int(npool_option_set(pool, "decay_ms", "60000"), 0,
	       "the option decay_ms");
	is_uint(pool->tick_ms, 30000, "is that pace");
	npool_option_set(pool, "cache_bytes", "1M");
	next = next_tick(pool);
	npool_option_set(pool, "cache_bytes", "2M");
	is_uint(next_tick(pool), next, "other options put no tick off");
}

static void test_if_due(npool_t *pool)
{
	size_t bytes = 12345;

	np_tick_set(pool, 2000);
	atomic_store(&pool->next_tick_ms, 7000);
	ok(!np_tick_if_due(pool, 6999, &bytes) && bytes == 12345,
	   "before its time there is no tick");
	ok(np_tick_if_due(pool, 7000, &bytes) && !bytes,
	   "then there is, and it says what it gave back");
	is_uint(next_tick(pool), 8000, "the next is a pace later");
	ok(!np_tick_if_due(pool, 7999, &bytes), "not before that");
	ok(np_tick_if_due(pool, 20000, &bytes), "late it comes once");
	is_uint(next_tick(pool), 21000, "and not again for those left out");
	np_tick_set(pool, -1);
	ok(!np_tick_if_due(pool, UINT64_MAX / 2, &bytes),
	   "with decay_ms -1 none ever comes");
}

/* --- what it does ----------------------------------------------------- */

static void test_arenas(void)
{
	npool_t *pool = make_pool(LONG_MS);
	void *keep = npool_alloc(pool, NP_MIB, NPOOL_NOCACHE);
	void *p = npool_alloc(pool, NP_MIB, NPOOL_NOCACHE);

	memset(p, 1, NP_MIB);
	npool_free_many(&p, 1);
	is_uint(np_tick(pool), 0, "a tick finds free pages young");
	ok(pages_resident(p, NP_MIB) > 0, "they are there");
	is_uint(np_tick(pool), NP_MIB, "the next gives them back");
	is_size(pages_resident(p, NP_MIB), 0, "they are gone");
	is_uint(np_count_get(&pool->segment.header->charged),
		np_limit_charged(&pool->limit), "it notes what is charged");
	npool_free(keep);
	npool_destroy(pool);
}

static void test_huge(void)
{
	npool_t *pool = make_pool(LONG_MS);
	void *p = npool_alloc(pool, 20 * NP_MIB, 0);

	npool_free(p);
	is_uint(figures_of(pool).reserved, 32 * NP_MIB, "a huge block is kept");
	is_uint(np_tick(pool), 0, "also by a tick");
	is_uint(np_tick(pool), 32 * NP_MIB, "the next unmaps it");
	is_uint(figures_of(pool).reserved, 0, "it is gone");
	npool_destroy(pool);
}

static uint64_t in_depot(npool_t *pool, unsigned home)
{
	return np_count_get(&pool->nodes.node[home].depot->node->depot_bytes);
}

static void test_depots(void)
{
	npool_t *pool = make_pool(LONG_MS);
	static void *p[2000];

	for (int i = 0; i < 2000; i++)
		p[i] = npool_alloc(pool, 100, 0);
	for (int i = 0; i < 2000; i++)
		npool_free(p[i]);
	npool_flush_thread();
	ok(in_depot(pool, 0) + in_depot(pool, 1) > 0,
	   "magazines are in a depot");
	np_tick(pool);
	ok(in_depot(pool, 0) + in_depot(pool, 1) > 0,
	   "a tick leaves them if they have just come");
	np_tick(pool);
	is_uint(in_depot(pool, 0) + in_depot(pool, 1), 0, "the next does not");
	is_uint(figures_of(pool).cached, 0, "nothing is cached");
	np_tick(pool);
	np_tick(pool);
	is_uint(figures_of(pool).chunks, 0, "and the chunk goes in time");
	npool_destroy(pool);
}

static void test_inboxes(void)
{
	npool_t *pool = make_pool(LONG_MS);
	void *p;

	np_thread_set_home(&np_topology, 0);
	p = npool_alloc(pool, 100, 0);
	npool_flush_thread();
	np_tick(pool);
	np_tick(pool);
	np_thread_set_home(&np_topology, 1);
	npool_free(p);
	np_thread_set_home(&np_topology, 0);
	ok(in_depot(pool, 0) > 0, "mail waits that nobody fetches");
	np_tick(pool);
	is_uint(in_depot(pool, 0), 0, "a tick takes it home");
	np_thread_set_home(&np_topology, -1);
	npool_destroy(pool);
}

static pthread_barrier_t step;

/* Fills its cache and idles. */
static void *idle(void *arg)
{
	static void *p[500];

	for (int i = 0; i < 500; i++)
		p[i] = npool_alloc(arg, 500, 0);
	for (int i = 0; i < 500; i++)
		npool_free(p[i]);
	npool_free(npool_alloc(arg, NP_MIB, 0));
	pthread_barrier_wait(&step);
	pthread_barrier_wait(&step);
	return NULL;
}

static void test_idle_caches(void)
{
	npool_t *pool = make_pool(LONG_MS);
	const np_count_t *reclaims = &pool->segment.header->reclaims;
	uint64_t before;
	pthread_t t;

	if (!np_threads_can_reclaim()) {
		skip(5, "needs membarrier(2)");
		npool_destroy(pool);
		return;
	}
	pthread_barrier_init(&step, NULL, 2);
	if (pthread_create(&t, NULL, idle, pool))
		bail_out("no thread");
	pthread_barrier_wait(&step);
	before = figures_of(pool).cached;
	np_tick(pool);
	ok(before > NP_MIB && np_count_get(reclaims) == 0,
	   "a tick leaves a cache that was just used");
	np_tick(pool);
	is_uint(np_count_get(reclaims), 1, "the next one empties it");
	np_tick(pool);
	is_uint(np_count_get(reclaims), 1, "once");
	is_uint(figures_of(pool).cached,
		in_depot(pool, 0) + in_depot(pool, 1), "of all that it had");
	pthread_barrier_wait(&step);
	pthread_join(t, NULL);
	is_uint(figures_of(pool).used, 0, "nothing is lost");
	npool_destroy(pool);
	pthread_barrier_destroy(&step);
}

/* --- visits ----------------------------------------------------------- */

static void visit(npool_t *pool, unsigned n)
{
	while (n--)
		np_tick_visit(pool);
}

static void test_visits(void)
{
	npool_t *pool = make_pool(LONG_MS);
	uint64_t next = next_tick(pool);
	unsigned nticks = 0;

	visit(pool, 3 * VISITS_A_LOOK);
	is_uint(next_tick(pool), next, "visits before its time make no tick");
	make_due(pool);
	visit(pool, VISITS_A_LOOK);
	ok(is_due_no_more(pool), "one of %d finds that it is due",
	   VISITS_A_LOOK);
	for (int i = 0; i < 10 * VISITS_A_LOOK; i++) {
		make_due(pool);
		visit(pool, 1);
		nticks += is_due_no_more(pool);
	}
	is_uint(nticks, 10, "and only one of so many looks at the clock");
	make_due(pool);
	visit(&np_pool, VISITS_A_LOOK);
	ok(is_due_no_more(pool), "a visit to another pool does it too");
	make_due(pool);
	for (int i = 0; i < 2 * VISITS_A_LOOK; i++)
		npool_free(npool_alloc(pool, 100, NPOOL_NOCACHE));
	ok(is_due_no_more(pool), "calls that go past the cache are visits");
	make_due(pool);
	for (int i = 0; i < 100 * VISITS_A_LOOK; i++)
		npool_free(npool_malloc(100));
	ok(!is_due_no_more(pool), "calls that the cache serves are none");
	npool_destroy(pool);
}

/* Whoever moves next_tick_ms on does it: two at once make one tick. */
static void *tick_at(void *pool)
{
	uintptr_t n = 0;
	size_t bytes;

	for (uint64_t ms = 1; ms <= 2000; ms++)
		n += np_tick_if_due(pool, ms, &bytes);
	return (void *)n;
}

static void test_at_once(void)
{
	enum { NTHREADS = 3 };
	npool_t *pool = make_pool(2);
	pthread_t t[NTHREADS];
	uintptr_t n = 0;

	make_due(pool);
	for (int i = 0; i < NTHREADS; i++)
		if (pthread_create(&t[i], NULL, tick_at, pool))
			bail_out("no thread");
	for (int i = 0; i < NTHREADS; i++) {
		void *ticks;

		pthread_join(t[i], &ticks);
		n += (uintptr_t)ticks;
	}
	is_uint(n, 2000, "three threads that come at once make one tick each "
		"time");
	npool_destroy(pool);
}

/* --- the real clock --------------------------------------------------- */

#define DECAY_MS 80

static void test_clock(void)
{
	npool_t *pool = make_pool(DECAY_MS);
	void *keep = npool_alloc(pool, NP_MIB, NPOOL_NOCACHE);
	void *p = npool_alloc(pool, NP_MIB, NPOOL_NOCACHE);
	uint64_t freed, looked;
	size_t there;

	memset(p, 1, NP_MIB);
	freed = np_os_now_ms();
	npool_free_many(&p, 1);
	visit(pool, VISITS_A_LOOK);
	there = pages_resident(p, NP_MIB) * np_os_page_size();
	looked = np_os_now_ms();
	if (looked - freed < DECAY_MS / 2)
		is_size(there, NP_MIB, "a page stays for decay_ms / 2");
	else
		skip(1, "needs a machine that is less busy");
	for (int i = 0; i < 200 && pages_resident(p, NP_MIB); i++) {
		sleep_ms(DECAY_MS / 16);
		visit(&np_pool, VISITS_A_LOOK);
	}
	is_size(pages_resident(p, NP_MIB), 0,
		"then it goes, without any trim, by visits to another pool");
	ok(np_os_now_ms() - freed >= DECAY_MS / 2,
	   "not before decay_ms / 2 have passed");
	npool_free(keep);
	npool_destroy(pool);
}

int main(int argc, char **argv)
{
	npool_t *pool;

	(void)argc;
	conf_restart(argv, CONF);
	plan(48);
	if (!np_start())
		bail_out("the pool does not wake");
	pool = make_pool(LONG_MS);
	test_pace(pool);
	test_if_due(pool);
	npool_destroy(pool);
	test_arenas();
	test_huge();
	test_depots();
	test_inboxes();
	test_idle_caches();
	test_visits();
	test_at_once();
	test_clock();
	return done();
}
