/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * soak: for as long as NPOOL_TEST_SOAK_SECONDS says (5 at the level quick, 15
 * at check, 180 at all), threads are born and die, pools are created, emptied
 * and destroyed, and pieces of 1 byte to 64 MiB go from hand to hand, with a
 * fast decay, three invented nodes and the thread in the background.
 *
 * Now and then all stop: everything is freed then, every counter has to say
 * so, and the process may not be larger than it was in the beginning.
 */
#include "conf.h"
#include "npool.h"
#include "os.h"
#include "pages.h"
#include "pool.h"
#include "rng.h"
#include "tap.h"

#include <pthread.h>

#define NTHREADS 6	/* at a time */
#define LIFE 3000	/* calls of a thread */
#define NSLOTS 512
#define NPOOLS 5
#define SIZE_MOST (64 * NP_MIB)
#define LIVE_MOST (256 * NP_MIB) /* bytes of all pieces */
#define ALLOWED (2 * NP_MIB)

/* A piece; whoever has emptied the place with an exchange owns it. */
struct piece {
	size_t size;
	unsigned char mark;
};

static struct piece *_Atomic slots[NSLOTS];
static npool_t *pools[NPOOLS];
static atomic_size_t live;
static atomic_uint nbad, born;
static atomic_bool stopping;
static uint64_t calls;

static unsigned seconds(void)
{
	return conf_number("NPOOL_TEST_SOAK_SECONDS",
			   conf_by_level(5, 15, 180));
}

/* --- pieces ----------------------------------------------------------- */

static void fill(struct piece *p, struct rng *rng)
{
	unsigned char *bytes = (unsigned char *)p;

	p->mark = (unsigned char)rng_next(rng);
	for (size_t i = sizeof *p; i < p->size; i += 4093)
		bytes[i] = p->mark;
	if (p->size > sizeof *p)
		bytes[p->size - 1] = p->mark;
}

static void drop(struct piece *p)
{
	const unsigned char *bytes = (const unsigned char *)p;

	for (size_t i = sizeof *p; i < p->size; i += 4093)
		nbad += bytes[i] != p->mark;
	atomic_fetch_sub(&live, p->size);
	npool_free(p);
}

static size_t any_size(struct rng *rng)
{
	size_t most = rng_chance(rng, 1) ? SIZE_MOST
		: rng_chance(rng, 10) ? NP_MIB : 16 * NP_KIB;

	return sizeof(struct piece) + rng_log(rng, most - sizeof(struct piece));
}

static struct piece *make(struct rng *rng)
{
	npool_t *pool = pools[rng_below(rng, NPOOLS)];
	size_t size = any_size(rng);
	struct piece *p;

	if (atomic_load(&live) + size > LIVE_MOST)
		size = sizeof *p + size % 1000;
	switch (rng_below(rng, 8)) {
	case 0:
		p = npool_alloc(pool, size, NPOOL_ZERO);
		break;
	case 1:
		p = npool_alloc(pool, size, NPOOL_ALIGN(256));
		break;
	case 2:
		p = npool_realloc(npool_alloc(pool, size / 3 + 1, 0), size);
		break;
	case 3:
		p = npool_malloc(size);
		break;
	default:
		p = npool_alloc(pool, size, 0);
	}
	if (!p) {
		nbad++;
		return NULL;
	}
	p->size = size;
	atomic_fetch_add(&live, size);
	fill(p, rng);
	return p;
}

/* --- threads ---------------------------------------------------------- */

static void churn(struct rng *rng)
{
	for (unsigned i = 0; i < LIFE && !stopping; i++) {
		unsigned k = (unsigned)rng_below(rng, NSLOTS);
		struct piece *p = rng_chance(rng, 50) ? make(rng) : NULL;

		p = atomic_exchange(&slots[k], p);
		if (p)
			drop(p);
		if (rng_below(rng, 500) == 0)
			npool_thread_set_node((int)rng_below(rng, 4) - 1);
		if (rng_below(rng, 5000) == 0)
			npool_pool_trim(pools[rng_below(rng, NPOOLS)]);
	}
}

/* One life after the other. */
static void *live_once(void *seed)
{
	struct rng rng = rng_seed((uintptr_t)seed);

	churn(&rng);
	return NULL;
}

static void *keep_alive(void *number)
{
	while (!stopping) {
		uintptr_t seed = atomic_fetch_add(&born, 1);
		pthread_t t;

		if (pthread_create(&t, NULL, live_once, (void *)seed)) {
			nbad++;
			break;
		}
		pthread_join(t, NULL);
	}
	(void)number;
	return NULL;
}

/* --- pools ------------------------------------------------------------ */

static void create_pools(struct rng *rng)
{
	for (unsigned i = 0; i < NPOOLS; i++) {
		struct npool_attr a = NPOOL_ATTR_INIT;

		a.decay_ms = 20;
		a.page_size = (size_t)4096 << rng_below(rng, 3);
		a.max_order = 8 + (unsigned)rng_below(rng, 4);
		a.classes = rng_chance(rng, 50) ? NPOOL_FINE : NPOOL_NETTY;
		a.flags = rng_chance(rng, 20) ? NPOOL_ZERO_ON_FREE : 0;
		a.cache_pieces = rng_chance(rng, 20) ? 0 : 512;
		if (npool_create(&pools[i], &a))
			bail_out("no pool");
	}
}

/* What a tick has in its hands is in no figure: none may run meanwhile. */
static bool is_empty(npool_t *pool)
{
	struct npool_figures f = { .size = sizeof f };

	np_lock(&pool->lock);
	npool_pool_stats(pool, &f);
	np_unlock(&pool->lock);
	return f.used == 0 && f.allocs == f.frees;
}

/* All was freed: trims, and looks. */
static bool is_spotless(npool_t *pool)
{
	struct npool_figures f = { .size = sizeof f };

	npool_pool_trim(pool);
	npool_pool_stats(pool, &f);
	return f.used == 0 && f.cached == 0 && f.huge_blocks == 0 &&
	       f.reserved == 0 && np_limit_charged(&pool->limit) == 0;
}

static unsigned end_pools(struct rng *rng)
{
	unsigned ill = 0;

	for (unsigned i = 0; i < NPOOLS; i++) {
		ill += !is_empty(pools[i]);
		/* What a destroyed pool leaves in caches nobody sees again. */
		if (rng_chance(rng, 50))
			nbad += !npool_alloc(pools[i], 100000, NPOOL_NOCACHE);
		else
			ill += !is_spotless(pools[i]);
		npool_destroy(pools[i]);
	}
	return ill;
}

/* --- rounds ----------------------------------------------------------- */

/* Returns how many pools were ill at its end. */
static unsigned run_round(struct rng *rng, unsigned ms)
{
	uint64_t end = np_os_now_ms() + ms;
	pthread_t t[NTHREADS];

	create_pools(rng);
	stopping = false;
	for (uintptr_t i = 0; i < NTHREADS; i++)
		if (pthread_create(&t[i], NULL, keep_alive, (void *)i))
			bail_out("no thread");
	while (np_os_now_ms() < end)
		churn(rng);
	stopping = true;
	for (unsigned i = 0; i < NTHREADS; i++)
		pthread_join(t[i], NULL);
	for (unsigned i = 0; i < NSLOTS; i++) {
		struct piece *p = atomic_exchange(&slots[i], NULL);

		if (p)
			drop(p);
	}
	npool_flush_thread();
	return end_pools(rng) + !is_spotless(npool_default());
}

int main(int argc, char **argv)
{
	struct rng rng = rng_seed(11);
	uint64_t end, start, warm;
	unsigned ill = 0, nrounds = 0, ms;
	size_t first = 0, last;

	(void)argc;
	conf_restart(argv, "nodes:3,arenas:2,decay_ms:20,background:1");
	plan(5);
	start = np_os_now_ms();
	end = start + seconds() * UINT64_C(1000);
	/* By then it is as large as it will be. */
	warm = start + (end - start) / 3;
	ms = (unsigned)((end - start) / 12);
	for (; np_os_now_ms() < end || !nrounds; nrounds++) {
		ill += run_round(&rng, ms < 5000 ? ms : 5000);
		if (np_os_now_ms() < warm || !nrounds)
			first = pages_rss() > first ? pages_rss() : first;
	}
	last = pages_rss();
	calls = born;
	diag("%u rounds, %llu threads; %zu KiB in the first third, %zu KiB "
	     "in the end", nrounds, (unsigned long long)calls, first / 1024,
	     last / 1024);
	ok(calls > nrounds, "%u rounds with %llu threads",
	   nrounds, (unsigned long long)calls);
	is_uint(nbad, 0, "no request failed, no piece lost its contents");
	is_uint(ill, 0, "after each round every counter balances");
	is_size(atomic_load(&live), 0, "all was freed");
	if (CONF_SANITIZED)
		skip(1, "needs a process without a sanitizer's own memory");
	else
		ok(last <= first + ALLOWED, "it is no larger than in the "
		   "first third, but for 2 MiB");
	return done();
}
