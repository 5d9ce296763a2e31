/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * shadow: four threads make every call in random order, on pieces of 0 bytes
 * to 20 MiB which they share, so that a piece is freed and resized by
 * whoever comes first. A model beside the pool knows who has which addresses
 * and what stands there: no two pieces overlap, each lies where it was asked
 * to, keeps what was written, and is zero if zeros were asked for. Then all
 * is freed, and the pool says that it has nothing.
 *
 * Each configuration is a run of its own.
 */
#include "conf.h"
#include "npool.h"
#include "pool.h"
#include "rng.h"
#include "start.h"
#include "tap.h"

#include <errno.h>
#include <pthread.h>
#include <search.h> /* tsearch */
#include <stdatomic.h>

#define NTHREADS 4
#define NSLOTS 600
#define SIZE_MOST (20 * NP_MIB)
#define LIVE_MOST (192 * NP_MIB) /* bytes of all pieces */
#define STEP 509 /* of large pieces not each byte is looked at */

/* A piece, and who uses it. */
struct slot {
	atomic_flag busy; /* the rest is its holder's */
	unsigned char *p; /* NULL: none */
	size_t size, usable;
	unsigned char seed;
};

static struct slot slots[NSLOTS];
static atomic_size_t live;

/* All pieces by address. A tree of intervals that may not overlap. */
static pthread_mutex_t tree_lock = PTHREAD_MUTEX_INITIALIZER;
static void *tree; /* guarded by tree_lock */

/* --- the model -------------------------------------------------------- */

/* Two pieces that overlap are equal. */
static int by_place(const void *a, const void *b)
{
	const struct slot *x = a, *y = b;

	if (x->p + x->usable <= y->p)
		return -1;
	return y->p + y->usable <= x->p ? 1 : 0;
}

static void enter(struct slot *s)
{
	struct slot **found;

	pthread_mutex_lock(&tree_lock);
	found = tsearch(s, &tree, by_place);
	must(found && *found == s); /* else it overlaps with *found */
	pthread_mutex_unlock(&tree_lock);
	atomic_fetch_add(&live, s->usable);
}

static void leave(struct slot *s)
{
	pthread_mutex_lock(&tree_lock);
	must(tdelete(s, &tree, by_place));
	pthread_mutex_unlock(&tree_lock);
	atomic_fetch_sub(&live, s->usable);
}

static size_t step_of(size_t size)
{
	return size <= 4096 ? 1 : STEP;
}

static void fill(struct slot *s)
{
	for (size_t i = 0; i < s->usable; i += step_of(s->usable))
		s->p[i] = (unsigned char)(s->seed + i);
	if (s->usable)
		s->p[s->usable - 1] = s->seed;
}

/* The first n bytes are as they were filled when the piece was `usable`. */
static bool is_filled(const struct slot *s, size_t usable, size_t n)
{
	for (size_t i = 0; i < n; i += step_of(usable))
		if (i != usable - 1 &&
		    s->p[i] != (unsigned char)(s->seed + i))
			return false;
	return n < usable || s->p[usable - 1] == s->seed;
}

static bool is_zero(const unsigned char *p, size_t size)
{
	if (size <= 256 * NP_KIB)
		return !size || (!p[0] && !memcmp(p, p + 1, size - 1));
	for (size_t i = 0; i < size; i += STEP)
		if (p[i])
			return false;
	return !p[size - 1];
}

/* --- operations ------------------------------------------------------- */

static void take_over(struct slot *s, void *p, size_t size, struct rng *rng)
{
	must(p);
	must((uintptr_t)p % 16 == 0);
	s->p = p;
	s->size = size;
	s->usable = npool_usable_size(p);
	s->seed = (unsigned char)rng_next(rng);
	must(s->usable >= size && npool_owns(p));
	enter(s);
	fill(s);
}

/* 0 bytes to 20 MiB; large ones are rarer, they cost page faults. */
static size_t any_size(struct rng *rng)
{
	if (rng_chance(rng, 1))
		return 0;
	return rng_log(rng, rng_chance(rng, 4) ? SIZE_MOST : 64 * NP_KIB);
}

/* A huge block that was kept may be larger than need be. */
static bool is_good_size(size_t usable, size_t size)
{
	size_t good = npool_good_size(size);

	return usable == good || (size > np_pool.classes.chunk_size &&
				  usable > good && usable - good <= good / 8);
}

static void do_alloc(struct slot *s, struct rng *rng)
{
	size_t size = any_size(rng);
	size_t align = (size_t)1 << rng_below(rng, 15);
	void *p;

	if (atomic_load(&live) + size > LIVE_MOST)
		size %= 1000;
	switch (rng_below(rng, 4)) {
	case 0:
		p = npool_calloc(size % 7 ? 1 : 7, size % 7 ? size : size / 7);
		must(p && is_zero(p, size));
		break;
	case 1:
		p = npool_aligned_alloc(align, size);
		must((uintptr_t)p % align == 0);
		break;
	default:
		p = npool_malloc(size);
		must(is_good_size(npool_usable_size(p), size));
	}
	take_over(s, p, size, rng);
}

static void do_free(struct slot *s, struct rng *rng)
{
	must(is_filled(s, s->usable, s->usable));
	leave(s);
	errno = 77;
	if (rng_chance(rng, 30))
		npool_free_sized(s->p, s->size);
	else
		npool_free(s->p);
	must(errno == 77);
	s->p = NULL;
}

static void do_realloc(struct slot *s, struct rng *rng)
{
	size_t size = 1 + any_size(rng), usable = s->usable;
	size_t both;

	if (atomic_load(&live) + size > LIVE_MOST)
		size = size % 1000 + 1;
	both = usable < size ? usable : size;
	must(is_filled(s, usable, usable));
	leave(s);
	s->p = npool_realloc(s->p, size);
	must(s->p && is_filled(s, usable, both));
	take_over(s, s->p, size, rng);
}

static void do_other(struct rng *rng)
{
	switch (rng_below(rng, 20)) {
	case 0:
		npool_trim();
		break;
	case 1:
		npool_flush_thread();
		break;
	default:
		if (np_pool.caching)
			np_thread_set_home(&np_topology, (int)
				rng_below(rng, np_pool.nodes.n + 1) - 1);
	}
}

struct work {
	unsigned seed, nops;
};

static void *churn(void *arg)
{
	const struct work *w = arg;
	struct rng rng = rng_seed(w->seed);

	for (unsigned op = 0; op < w->nops; op++) {
		struct slot *s = &slots[rng_below(&rng, NSLOTS)];

		if (atomic_flag_test_and_set(&s->busy))
			continue;
		if (!s->p)
			do_alloc(s, &rng);
		else if (rng_chance(&rng, 70))
			do_free(s, &rng);
		else
			do_realloc(s, &rng);
		atomic_flag_clear(&s->busy);
		if (rng_chance(&rng, 1))
			do_other(&rng);
	}
	return NULL;
}

/* --- a run ------------------------------------------------------------ */

static bool arenas_valid(void)
{
	for (unsigned i = 0; i < np_pool.nodes.n; i++)
		for (unsigned k = 0; k < np_pool.nodes.node[i].narenas; k++)
			if (!np_arena_valid(np_pool.nodes.node[i].arenas[k]))
				return false;
	return true;
}

static void nothing_is_left(void)
{
	struct npool_figures f = { .size = sizeof f };

	must(arenas_valid());
	must(!npool_stats(&f) && f.used == 0);
	must(f.allocs == f.frees && f.threads == 0 && f.huge_blocks == 0);
	npool_trim();
	must(!npool_stats(&f) && f.cached == 0);
	must(f.chunks == 0 && f.reserved == 0);
	must(arenas_valid());
}

static int run(unsigned nops)
{
	struct work w[NTHREADS];
	pthread_t t[NTHREADS];
	struct rng rng = rng_seed(0);

	must(np_start());
	for (unsigned i = 0; i < NTHREADS; i++) {
		w[i] = (struct work){ i + 1, nops / NTHREADS };
		must(!pthread_create(&t[i], NULL, churn, &w[i]));
	}
	for (unsigned i = 0; i < NTHREADS; i++)
		must(!pthread_join(t[i], NULL));
	for (unsigned i = 0; i < NSLOTS; i++)
		if (slots[i].p)
			do_free(&slots[i], &rng);
	must(!tree && !live);
	npool_flush_thread();
	nothing_is_left();
	return 0;
}

int main(int argc, char **argv)
{
	static const char *const confs[] = {
		"",
		"nodes:3,arenas:2",
		"classes:netty",
		"page_size:4096,max_order:0",
		"page_size:4096,max_order:3,nodes:2",
		"page_size:65536,max_order:6",
		"page_size:1048576,max_order:10",
		"cache_pieces:0",
		"decay_ms:0",
		"decay_ms:1,nodes:2",
		"decay_ms:-1",
		"check:1",
	};
	const char *nops = conf_by_level(0, 0, 1) ? "200000" : "10000";

	if (argc > 1)
		return run((unsigned)atoi(argv[1]));
	plan(sizeof confs / sizeof *confs);
	for (unsigned i = 0; i < sizeof confs / sizeof *confs; i++)
		conf_ok(confs[i], nops, "%s random calls of %d threads, "
			"NPOOL_CONF=%s", nops, NTHREADS, confs[i]);
	(void)argv;
	return done();
}
