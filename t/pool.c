/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * pool: it serves before it knows its nodes, and what it handed out then is
 * like any piece later; the ways past the loaded magazine; trims at once.
 * Three nodes are invented, so that the first arena has to move.
 */
#include "boot.h"
#include "conf.h"
#include "figures.h"
#include "meta.h"
#include "npool.h"
#include "pages.h"
#include "piece.h"
#include "pool.h"
#include "rng.h"
#include "start.h"
#include "tap.h"

#include <errno.h>
#include <pthread.h>

#define CONF "nodes:3,arenas:2,decay_ms:-1"

static bool is_zero(const char *p, size_t size)
{
	return !p[0] && !memcmp(p, p + 1, size - 1);
}

/* --- before main ------------------------------------------------------ */

#define NEARLY 6

static const size_t early_size[NEARLY] = {
	10, 1000, 20000, 100000, 5 * NP_MIB, 20 * NP_MIB,
};
static char *early[NEARLY];
static int stage_seen;
static void *freed_early;

/* Before libnuma may be asked: the first calls of all, but for those that fit
 * into boot.c's stretch. */
__attribute__((constructor(101))) static void call_early(void)
{
	while (np_boot_alloc(early_size[0], 1))
		;
	for (int i = 0; i < NEARLY; i++) {
		early[i] = npool_malloc(early_size[i]);
		if (early[i])
			memset(early[i], 'e', early_size[i]);
	}
	freed_early = npool_malloc(500);
	npool_free(freed_early);
	stage_seen = atomic_load(&np_pool.stage);
}

static void test_early(void)
{
	size_t bytes = 0;
	bool intact = true;

	ok(stage_seen == NP_EARLY || stage_seen == NP_AWAKE,
	   "a constructor of high priority gets memory (stage %d)",
	   stage_seen);
	ok(np_start(), "in main the pool is awake");
	for (int i = 0; i < NEARLY; i++) {
		size_t usable = npool_usable_size(early[i]);

		intact = intact && usable >= early_size[i] &&
			 early[i][0] == 'e' &&
			 !memcmp(early[i], early[i] + 1, early_size[i] - 1);
		bytes += usable;
	}
	ok(intact, "the pieces are there still");
	is_uint(figures().used, bytes, "they count as used, the huge one too");
}

static void test_early_goes_home(void)
{
	np_home_t home = np_owner_home(&np_pool.first.owner);
	bool at_home = true;

	for (int i = 0; i < NEARLY - 1; i++)
		at_home = at_home && np_region_home(np_map_find(early[i])) ==
			home;
	ok(at_home, "they belong to the home where the process started");
	is_ptr(np_pool.nodes.node[home].arenas[0], &np_pool.first,
	       "and their arena is its first");
	early[1] = npool_realloc(early[1], 30000);
	ok(early[1] && early[1][999] == 'e', "they can be resized");
	early[5] = npool_realloc(early[5], 40 * NP_MIB);
	ok(early[5] && early[5][20 * NP_MIB - 1] == 'e', "the huge one too");
	for (int i = 0; i < NEARLY; i++)
		npool_free(early[i]);
	npool_flush_thread();
	npool_trim();
	is_uint(figures().used, 0, "and freed: nothing is used");
	is_uint(figures().reserved, 0, "nor any address space");
}

/* --- pools of a program ------------------------------------------------ */

static void test_geometry(void)
{
	struct npool_attr attr = { .size = sizeof attr };
	struct np_config config;
	struct np_pool *pool;

	np_config_preset(&config);
	config.page_size = NP_MIB;
	config.max_order = 14;
	is_int(np_pool_create(&pool, &config, &attr), EINVAL,
	       "a pool of chunks of 16 GiB cannot be");
	config.max_order = 4;
	is_int(np_pool_create(&pool, &config, &attr), 0,
	       "one of 16 MiB can, in its place");
	np_pool_destroy(pool);
}

/* --- ways in ---------------------------------------------------------- */

static void test_zero(void)
{
	static const size_t sizes[] = { 1, 100, 5000, 40000, 70000, NP_MIB,
					6 * NP_MIB, 18 * NP_MIB };
	bool zero = true;

	for (int round = 0; round < 3; round++)
		for (unsigned i = 0; i < 8; i++) {
			char *p = npool_alloc(&np_pool, sizes[i], NPOOL_ZERO);

			zero = zero && p && is_zero(p, sizes[i]);
			memset(p, 0xff, sizes[i]);
			npool_free(p);
		}
	ok(zero, "zero is zero, also when it was used before");
}

/* A fresh run is zero without being touched. */
static void test_zero_untouched(void)
{
	size_t size = 12 * NP_MIB;
	char *p;

	npool_flush_thread();
	npool_trim();
	p = npool_alloc(&np_pool, size, NPOOL_ZERO);
	ok(pages_resident(p, size) * np_os_page_size() <= 2 * NP_MIB,
	   "12 MiB of zeros that nobody reads take no memory");
	npool_free(p);
}

static void test_aligned(void)
{
	struct rng rng = rng_seed(6);
	unsigned wrong = 0;

	for (int i = 0; i < 5000; i++) {
		size_t align = (size_t)1 << rng_below(&rng, 27);
		size_t size = rng_log(&rng, 20 * NP_MIB);
		char *p = npool_aligned_alloc(align, size);

		wrong += !p || (uintptr_t)p % align ||
			 npool_usable_size(p) < size;
		p[0] = p[size - 1] = 1;
		npool_free(p);
	}
	is_uint(wrong, 0, "5000 pieces lie at multiples of up to 64 MiB");
	is_uint(figures().used, 0, "and all go back");
}

static bool resizes(void *p, size_t size, void **moved)
{
	return np_piece_resize(p, np_piece_usable(p, "realloc"), size, moved);
}

static void test_resize(void)
{
	void *p = npool_malloc(3000), *q = NULL;
	size_t usable = npool_usable_size(p);

	ok(resizes(p, usable, &q) && q == p &&
	   resizes(p, usable / 2 + 1, &q) && q == p,
	   "a piece stays in place while half of it is used");
	ok(!resizes(p, usable + 1, &q), "not if it must be larger");
	ok(!resizes(p, usable / 2, &q), "or half of it would be wasted");
	npool_free(p);
	p = npool_malloc(10);
	ok(resizes(p, 1, &q) && q == p, "the smallest stay anyway");
	npool_free(p);
	p = npool_malloc(20 * NP_MIB);
	ok(!resizes(p, 1000, &q), "a huge block does not become small");
	ok(resizes(p, 50 * NP_MIB, &q) && q, "but may move and grow");
	npool_free(q);
}

/* A huge block that was kept may be larger than need be. */
static bool is_good_size(size_t usable, size_t size)
{
	size_t good = npool_good_size(size);

	return usable == good || (size > np_pool.classes.chunk_size &&
				  usable > good && usable - good <= good / 8);
}

static void test_good_size(void)
{
	bool same = true;

	for (size_t size = 0; size < 40 * NP_MIB; size += size / 20 + 1) {
		void *p = npool_malloc(size);

		same = same && is_good_size(npool_usable_size(p), size);
		npool_free(p);
	}
	ok(same, "a request gets what good_size says, up to 40 MiB");
}

/* --- trims ------------------------------------------------------------ */

static void *trim_often(void *arg)
{
	uintptr_t bytes = 0;

	(void)arg;
	for (int i = 0; i < 300; i++) {
		void *p[10];

		for (int k = 0; k < 10; k++)
			p[k] = npool_malloc((size_t)k * 10000 + 1);
		for (int k = 0; k < 10; k++)
			npool_free(p[k]);
		bytes += npool_trim();
	}
	return (void *)bytes;
}

static void test_trims(void)
{
	uintptr_t bytes = 0;
	pthread_t t[4];
	void *p;

	for (int i = 0; i < 4; i++)
		if (pthread_create(&t[i], NULL, trim_often, NULL))
			bail_out("no thread");
	for (int i = 0; i < 4; i++) {
		void *b;

		pthread_join(t[i], &b);
		bytes += (uintptr_t)b;
	}
	ok(bytes > 0, "four threads trim at once");
	npool_trim();
	is_uint(figures().used, 0, "nothing is lost");
	is_uint(figures().reserved, 0, "nothing is kept");
	p = npool_malloc(NP_MIB);
	memset(p, 1, NP_MIB);
	npool_free(p);
	is_uint(npool_trim(), np_pool.classes.chunk_size,
		"a trim says what it gave back: a chunk");
	is_uint(npool_trim(), 0, "then nothing");
}

/* --- without caches --------------------------------------------------- */

/* In a child with cache_pieces:0 or check:1. */
static int without_caches(void)
{
	struct rng rng = rng_seed(2);
	void *p[100] = { 0 };

	for (int i = 0; i < 20000; i++) {
		unsigned k = (unsigned)rng_below(&rng, 100);

		npool_free(p[k]);
		p[k] = npool_malloc(rng_log(&rng, 500000));
		must(p[k] && np_self == &np_cache_none);
	}
	for (int i = 0; i < 100; i++)
		npool_free(p[i]);
	must(figures().used == 0 && figures().cached == 0);
	must(figures().threads == 0 && figures().hits == 0);
	npool_trim();
	must(figures().reserved == 0);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc > 1) {
		for (int i = 0; i < NEARLY; i++)
			npool_free(early[i]);
		return without_caches();
	}
	conf_restart(argv, CONF);
	plan(31);
	test_early();
	test_early_goes_home();
	test_geometry();
	test_zero();
	test_zero_untouched();
	test_aligned();
	test_resize();
	test_good_size();
	test_trims();
	conf_ok("cache_pieces:0", "none", "cache_pieces:0: nobody has a cache");
	conf_ok("check:1", "none", "nor with check:1");
	conf_ok("cache_pieces:0,nodes:3", "none", "nor on three nodes");
	return done();
}
