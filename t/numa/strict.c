/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * strict: pools whose pieces lie on their node or are refused. All but some
 * memory of a node is taken away; then a strict pool gives out what is left,
 * every page of it on the node, and then NULL with ENOMEM, its owner being
 * asked before. Nothing of it lies elsewhere when it has refused, nor after
 * pages went back to the kernel and came again; a node that is full of page
 * cache is made room on. What the kernel says counts.
 *
 * Source: move_pages(2); HACKING: NUMA rule 6.
 */
#include "fill.h"

#define HEADROOM ((size_t)160 << 20)
#define LEAST (HEADROOM / 4) /* a part of it is the kernel's reserve */
#define MOST 60000	     /* pieces */
#define SMALL 4000
#define PIECE ((size_t)1 << 20)
#define SLOT ((size_t)16 << 20)
#define HUGE ((size_t)20 << 20)

static void *pieces[MOST];

static npool_t *strict_pool(int64_t decay_ms)
{
	struct npool_attr a = NPOOL_ATTR_INIT;
	npool_t *pool;

	a.flags = NPOOL_STRICT;
	a.decay_ms = decay_ms;
	a.pressure = pressed;
	must(npool_create(&pool, &a) == 0);
	return pool;
}

struct slots {
	unsigned n;
	uintptr_t slot[2 * HEADROOM / SLOT];
};

static void add_slot(struct slots *slots, uintptr_t slot)
{
	unsigned i = 0;

	while (i < slots->n && slots->slot[i] != slot)
		i++;
	must(i < sizeof slots->slot / sizeof *slots->slot);
	if (i == slots->n)
		slots->slot[slots->n++] = slot;
}

/* All pages of the slots of 16 MiB that n pieces of size bytes lie in, those
 * of runs that were refused too. */
static void all_is_there(const char *what, size_t n, size_t size)
{
	struct slots slots = { .n = 0 };
	struct lies l = { 0 };
	char text[256];

	for (size_t i = 0; i < n; i++)
		for (size_t at = 0; at < size; at += SLOT)
			add_slot(&slots, ((uintptr_t)pieces[i] + at) / SLOT);
	for (unsigned i = 0; i < slots.n; i++)
		lies_add(&l, (void *)(slots.slot[i] * SLOT), SLOT);
	fprintf(stderr, "%s: %s\n", what, lies_text(&l, text, sizeof text));
	must(l.pages * (size_t)sysconf(_SC_PAGESIZE) >= n * size);
	must(l.on[full] == l.pages);
}

static size_t until_refused(npool_t *pool, size_t size)
{
	size_t n = 0;

	for (; n < MOST; n++) {
		errno = 0;
		pieces[n] = npool_alloc(pool, size, 0);
		if (!pieces[n])
			break;
		touch(pieces[n], size);
	}
	must(n < MOST && errno == ENOMEM);
	return n;
}

static void give_back(size_t n)
{
	for (size_t i = 0; i < n; i++)
		npool_free(pieces[i]);
}

/* Twice the same, with what was given back in between. */
static void fill_twice(npool_t *pool, size_t size)
{
	size_t n = until_refused(pool, size), again;

	fprintf(stderr, "%zu pieces of %zu bytes\n", n, size);
	must(n * size >= LEAST && n * size < HEADROOM);
	all_is_there("until it was refused", n, size);
	must(nasked && asked.hard && asked.node == full && !asked.limit);
	give_back(n / 2);
	memmove(pieces, pieces + n / 2, (n - n / 2) * sizeof *pieces);
	npool_pool_trim(pool);
	give_back(n - n / 2);
	again = until_refused(pool, size);
	all_is_there("and again", again, size);
	must(again >= n / 8 * 7);
	give_back(again);
	npool_destroy(pool);
}

static void *fill_pieces(void *arg)
{
	fill_twice(strict_pool(10000), *(size_t *)arg);
	return NULL;
}

static void fill(size_t size)
{
	nodes_run(full, fill_pieces, &size);
}

static void part_small(void)
{
	fill(SMALL);
}

static void part_runs(void)
{
	fill(PIECE);
}

static void part_huge(void)
{
	fill(HUGE);
}

/* Pages that decay at once come again with each piece. */
static void *fill_fleeting(void *arg)
{
	npool_t *pool = strict_pool(0);
	size_t n = until_refused(pool, PIECE);

	(void)arg;
	for (size_t i = 0; i < n; i++) {
		npool_free(pieces[i]);
		must(pieces[i] = npool_alloc(pool, PIECE, NPOOL_ZERO));
	}
	all_is_there("each once more", n, PIECE);
	npool_destroy(pool);
	return NULL;
}

static void part_fleeting(void)
{
	nodes_run(full, fill_fleeting, NULL);
}

/* A block that grows, in place or not, until there is no room. */
static void *grow(void *unused)
{
	npool_t *pool = strict_pool(10000);
	size_t size = HUGE;
	void *p = npool_alloc(pool, size, 0), *q;

	(void)unused;
	must(p);
	while ((q = npool_realloc(p, size + PIECE))) {
		p = q;
		size += PIECE;
		must(size < HEADROOM);
	}
	must(errno == ENOMEM && npool_usable_size(p) == size);
	must(size > HUGE);
	pieces[0] = p;
	all_is_there("a block that grew", 1, size);
	npool_free(p);
	npool_destroy(pool);
	return NULL;
}

static void part_grow(void)
{
	nodes_run(full, grow, NULL);
}

static void *reserve(void *unused)
{
	npool_t *pool = strict_pool(10000);
	size_t n = 0;

	(void)unused;
	while (npool_reserve(pool, full, 1, NPOOL_POPULATE) == 0)
		must(++n < HEADROOM / SLOT);
	must(n >= LEAST / SLOT);
	for (size_t i = 0; i < n; i++) /* which fill a chunk each */
		must(pieces[i] = npool_alloc(pool, SLOT, 0));
	must(!npool_alloc(pool, SLOT, 0));
	all_is_there("chunks that were reserved", n, SLOT);
	npool_destroy(pool);
	return NULL;
}

static void part_reserve(void)
{
	nodes_run(full, reserve, NULL);
}

/* --- page cache ------------------------------------------------------- */

#define SCARCE ((size_t)60 << 20)
#define BYTES ((size_t)64 << 20)

/* The kernel itself would go to the next node. */
static void *fill_full_of_cache(void *path)
{
	npool_t *pool = strict_pool(10000);
	size_t n = BYTES / PIECE;

	nodes_fill_cache(full, path, SCARCE);
	fprintf(stderr, "%zu MiB are free\n", nodes_free(full) >> 20);
	must(nodes_free(full) <= SCARCE);
	for (size_t i = 0; i < n; i++)
		must(pieces[i] = npool_alloc(pool, PIECE, 0));
	all_is_there("instead of page cache", n, PIECE);
	npool_destroy(pool);
	return NULL;
}

static void part_cache(void)
{
	char *path = getenv("NPOOL_NUMA_FILE");

	must(path);
	nodes_run(full, fill_full_of_cache, path);
}

/* --- the default pool ------------------------------------------------- */

static void *fill_default(void *unused)
{
	size_t n = until_refused(npool_default(), PIECE);

	(void)unused;
	must(n * PIECE >= LEAST);
	all_is_there("the default pool", n, PIECE);
	give_back(n);
	return NULL;
}

static void part_default(void)
{
	nodes_run(full, fill_default, NULL);
}

/* --- limits ----------------------------------------------------------- */

static void part_limit(void)
{
	struct npool_attr a = NPOOL_ATTR_INIT;
	npool_t *pool;
	size_t n;

	a.flags = NPOOL_STRICT;
	a.node_hard_limit = HEADROOM / 8;
	a.pressure = pressed;
	must(npool_create(&pool, &a) == 0);
	nodes_sit(full);
	n = until_refused(pool, PIECE);
	must(n * PIECE <= HEADROOM / 8 && n);
	must(asked.node == full && asked.limit == HEADROOM / 8);
	all_is_there("up to a limit", n, PIECE);
	npool_destroy(pool);
}

/* --- all -------------------------------------------------------------- */

static const struct part parts[] = {
	{ "small", "", "elements until the node is full, then NULL, all on it",
	  part_small },
	{ "runs", "", "runs likewise", part_runs },
	{ "huge", "", "huge blocks likewise", part_huge },
	{ "fleeting", "", "pages that decayed come again on the node",
	  part_fleeting },
	{ "grow", "", "a block grows as long as there is room", part_grow },
	{ "reserve", "", "chunks are reserved as long as there is room",
	  part_reserve },
	{ "default", "strict:1", "the default pool can be strict",
	  part_default },
	{ "limit", "", "a node's limit comes first", part_limit },
	{ "cache", "", "page cache makes room", part_cache },
};

#define NPARTS (sizeof parts / sizeof *parts)

int main(int argc, char **argv)
{
	if (argc > 1)
		return fill_run(parts, NPARTS, argv[1]);
	conf_restart(argv, "");
	nodes_need(2);
	nodes_nearest(&full, &near);
	if (nodes_free(full) < HEADROOM / 8 * 9 ||
	    nodes_free(full) > (size_t)1 << 30)
		skip_all("needs a node of 180 to 1024 MiB of free memory");
	plan(NPARTS);
	nodes_hog(full, nodes_free(full) - HEADROOM);
	diag("%zu MiB are free on node %d", nodes_free(full) >> 20, full);
	fill_test(parts, NPARTS);
	return done();
}
