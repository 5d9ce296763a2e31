/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * eight: eight pools at once, of all kinds, used by four threads whose caches
 * are full when the pools are emptied by npool_reset, and again when they are
 * ended by npool_destroy. Both give everything back, and the threads go on
 * with new pools in the same places: what their caches held is not seen
 * again.
 */
#include "conf.h"
#include "figures.h"
#include "npool.h"
#include "pages.h"
#include "pool.h"
#include "rng.h"
#include "tap.h"

#include <pthread.h>

#define NPOOLS 8
#define NTHREADS 4
#define NPIECES 400
#define NROUNDS 4
#define META_BLOCK (256 * NP_KIB) /* in which meta.c maps its memory */
#define SIZE_MOST (3 * NP_MIB)

static npool_t *pools[NPOOLS];
static pthread_barrier_t barrier; /* the threads, and main */
static atomic_uint nbad;

/* Takes pieces of a pool, looks that nobody else writes to them, and frees
 * two of three: the caches are full, and pieces are left. */
static void use(npool_t *pool, struct rng *rng)
{
	unsigned char *p[NPIECES];
	size_t size[NPIECES];

	for (unsigned i = 0; i < NPIECES; i++) {
		size[i] = rng_log(rng, i % 50 ? 16 * NP_KIB : SIZE_MOST);
		p[i] = npool_alloc(pool, size[i], 0);
		if (!p[i]) {
			nbad++;
			size[i] = 0;
			continue;
		}
		memset(p[i], (int)i, size[i] < 4096 ? size[i] : 4096);
	}
	for (unsigned i = 0; i < NPIECES; i++) {
		if (!p[i])
			continue;
		nbad += p[i][0] != (unsigned char)i;
		if (i % 3)
			npool_free(p[i]);
	}
}

static void *work(void *arg)
{
	struct rng rng = rng_seed((uintptr_t)arg);

	for (unsigned round = 0; round < NROUNDS; round++) {
		for (unsigned step = 0; step < 2; step++) {
			pthread_barrier_wait(&barrier); /* pools are there */
			for (unsigned i = 0; i < NPOOLS; i++)
				use(pools[i], &rng);
			pthread_barrier_wait(&barrier); /* caches are full */
		}
	}
	return NULL;
}

static int create(unsigned i)
{
	static const size_t page_sizes[] = { 4096, 8192, 65536, 1 << 20 };
	struct npool_attr a = NPOOL_ATTR_INIT;
	char name[16];

	snprintf(name, sizeof name, "pool %u", i);
	a.name = name;
	a.classes = i & 1 ? NPOOL_NETTY : NPOOL_FINE;
	a.page_size = page_sizes[i / 2 % 4];
	a.max_order = i < 6 ? 8 : 4;
	a.flags = i == 3 ? NPOOL_ZERO_ON_FREE : i == 4 ? NPOOL_PINNED : 0;
	a.policy = i == 5 ? NPOOL_INTERLEAVE : NPOOL_LOCAL;
	a.cache_pieces = i == 6 ? 0 : 512;
	a.arenas = i == 7 ? 1 : 0;
	return npool_create(&pools[i], &a);
}

/* What eight pools have in pieces and in caches. */
static void add_up(uint64_t *used, uint64_t *cached, uint64_t *charged)
{
	*used = *cached = *charged = 0;
	for (unsigned i = 0; i < NPOOLS; i++) {
		struct npool_figures f = figures_of(pools[i]);

		*used += f.used;
		*cached += f.cached;
		*charged += np_limit_charged(&pools[i]->limit);
	}
}

static void test_reset(unsigned round)
{
	uint64_t used, cached, charged;
	size_t before;

	add_up(&used, &cached, &charged);
	ok(used > 8 * NP_MIB && cached > NP_MIB, "round %u: %llu KiB used, "
	   "%llu KiB cached by threads that are there still", round,
	   (unsigned long long)used / 1024, (unsigned long long)cached / 1024);
	for (unsigned i = 0; i < NPOOLS; i++)
		npool_reset(pools[i]);
	add_up(&used, &cached, &charged);
	is_uint(used + cached, 0, "after npool_reset nothing is used or "
		"cached");
	before = pages_rss();
	for (unsigned i = 0; i < NPOOLS; i++)
		npool_pool_trim(pools[i]);
	add_up(&used, &cached, &charged);
	ok(charged == 0 && pages_rss() < before, "its pages can be given "
	   "back: %zu KiB", (before - pages_rss()) / 1024);
}

static void test_destroy(unsigned round, size_t start)
{
	size_t metadata;

	for (unsigned i = 0; i < NPOOLS; i++)
		npool_destroy(pools[i]);
	metadata = figures().metadata;
	diag("round %u: metadata %zu KiB, RSS +%zd KiB", round,
	     metadata / 1024, ((ssize_t)pages_rss() - (ssize_t)start) / 1024);
}

/* Lines of /proc/self/maps that the pools' chunks and blocks have. */
static unsigned mapped(void)
{
	unsigned n = 0;
	char line[512];
	FILE *maps = fopen("/proc/self/maps", "re");

	while (maps && fgets(line, sizeof line, maps))
		n += strstr(line, "npool memory") || strstr(line, "npool node");
	if (maps)
		fclose(maps);
	return n;
}

/* Bytes of regions that the chunk map knows. */
static size_t in_map(void)
{
	size_t bytes = 0, n = np_map.nslots;

	for (size_t i = 0; i < n; i++)
		bytes += np_map.slots[i] ? NP_SLOT_SIZE : 0;
	return bytes;
}

static void run(void)
{
	size_t rss = 0, metadata = 0;

	for (unsigned round = 0; round < NROUNDS; round++) {
		unsigned made = 0;

		for (unsigned i = 0; i < NPOOLS; i++)
			made += create(i) == 0;
		is_uint(made, NPOOLS, "round %u: %d pools", round, NPOOLS);
		pthread_barrier_wait(&barrier);
		pthread_barrier_wait(&barrier);
		test_reset(round);
		pthread_barrier_wait(&barrier);
		pthread_barrier_wait(&barrier);
		test_destroy(round, rss);
		is_size(in_map(), 0, "nothing of them is in the map");
		is_uint(mapped(), 0, "nor mapped");
		if (!round) {
			rss = pages_rss();
			metadata = figures().metadata;
		}
	}
	/* What it needs at most depends on who runs when. */
	ok(figures().metadata <= metadata + META_BLOCK,
	   "metadata is not more than after the first round, but for a block");
	if (CONF_SANITIZED)
		skip(1, "needs a process without a sanitizer's own memory");
	else
		ok(pages_rss() <= rss + NP_MIB,
		   "nor is the process larger, but for a MiB");
}

int main(int argc, char **argv)
{
	pthread_t t[NTHREADS];

	(void)argc;
	conf_restart(argv, "");
	plan(NROUNDS * 6 + 3);
	if (pthread_barrier_init(&barrier, NULL, NTHREADS + 1))
		bail_out("no barrier");
	for (uintptr_t i = 0; i < NTHREADS; i++)
		if (pthread_create(&t[i], NULL, work, (void *)i))
			bail_out("no thread");
	run();
	for (unsigned i = 0; i < NTHREADS; i++)
		pthread_join(t[i], NULL);
	is_uint(nbad, 0, "every piece was there, and kept what was written");
	return done();
}
