/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * Chunks: random runs of every length and alignment against a shadow that
 * knows only which pages are taken and looks at all of them, and, for runs of
 * 2^k pages, against Netty's tree written down once more. Nothing lies behind
 * the pages.
 */
#include "child.h"
#include "chunk.h"
#include "rng.h"
#include "tap.h"

#include <signal.h>
#include <stdlib.h>

#define ORDERS 15

struct run {
	uint32_t first, n;
};

/* A chunk, and what should be true of it. */
struct shadow {
	struct np_classes classes;
	struct np_chunk *chunk;
	uint8_t *sight;
	uint32_t npages, nfree, nruns;
	uint32_t *entry;	/* a page: what the page table should say */
	bool *dirty, *aged;	/* a page */
	struct run *runs;	/* all that are taken, in no order */
	struct rng rng;
};

static void *zeroed(size_t n, size_t size)
{
	void *p = calloc(n, size);

	if (!p)
		bail_out("no memory");
	return p;
}

/* A chunk in exactly as much memory as it asks for. */
static struct np_chunk *make_chunk(const struct np_classes *t)
{
	size_t size = np_chunk_meta_size(t);
	void *meta = NULL;

	if (posix_memalign(&meta, NP_LINE, size))
		bail_out("no memory");
	memset(meta, 0, size);
	return np_chunk_init(meta, t,
			     zeroed((size_t)1 << t->max_order,
				    sizeof(uint32_t)));
}

static void free_chunk(struct np_chunk *c)
{
	free(c->pages);
	free(c);
}

static void shadow_init(struct shadow *s, unsigned shift, unsigned order)
{
	enum np_class_table which = order % 2 ? NP_NETTY : NP_FINE;

	if (np_classes_init(&s->classes, which, shift, order))
		bail_out("no classes for order %u", order);
	s->chunk = make_chunk(&s->classes);
	s->npages = s->nfree = (uint32_t)1 << order;
	s->nruns = 0;
	s->sight = zeroed(s->npages, sizeof *s->sight);
	s->chunk->sight = s->sight;
	s->entry = zeroed(s->npages, sizeof *s->entry);
	s->dirty = zeroed(s->npages, sizeof *s->dirty);
	s->aged = zeroed(s->npages, sizeof *s->aged);
	s->runs = zeroed(s->npages, sizeof *s->runs);
	s->rng = rng_seed(order);
}

static void shadow_free(struct shadow *s)
{
	free_chunk(s->chunk);
	free(s->sight);
	free(s->entry);
	free(s->dirty);
	free(s->aged);
	free(s->runs);
}

/* --- what the shadow expects ------------------------------------------ */

static bool all_free(const struct shadow *s, uint32_t first, uint32_t n)
{
	for (uint32_t i = first; i < first + n; i++)
		if (s->entry[i])
			return false;
	return true;
}

/* The leftmost aligned place where the whole covering node is free. */
static uint32_t expected_fit(const struct shadow *s, uint32_t n,
			     unsigned align_order)
{
	uint32_t cover = 1;

	while (cover < n || cover < 1u << align_order)
		cover *= 2;
	for (uint32_t i = 0; i + cover <= s->npages; i += cover)
		if (all_free(s, i, cover))
			return i;
	return NP_NO_PAGE;
}

static bool any_of(const bool *map, uint32_t first, uint32_t n)
{
	for (uint32_t i = first; i < first + n; i++)
		if (map[i])
			return true;
	return false;
}

/* As np_chunk_next_dirty. */
static uint32_t expected_dirty(const struct shadow *s, bool all, uint32_t unit,
			       uint32_t *first)
{
	uint32_t n = 0;

	for (uint32_t i = *first; i + unit <= s->npages; i += unit) {
		uint32_t young = 0;
		bool due = all_free(s, i, unit) && any_of(s->dirty, i, unit);

		for (uint32_t k = i; k < i + unit; k++)
			young += s->dirty[k] && !s->aged[k];
		due = due && (all || !young);
		if (due && !n)
			*first = i;
		if (due)
			n += unit;
		else if (n)
			break;
	}
	return n;
}

/* --- operations on both ----------------------------------------------- */

static bool table_says(const struct shadow *s, uint32_t first, uint32_t n)
{
	for (uint32_t i = first; i < first + n; i++)
		if (s->chunk->pages[i] != s->entry[i] ||
		    s->sight[i] != (s->entry[i] & NP_PAGE_CLASS))
			return false;
	return true;
}

static bool take(struct shadow *s, uint32_t n, unsigned align_order)
{
	uint32_t entry = 1 + (uint32_t)rng_below(&s->rng, 511);
	uint32_t first = expected_fit(s, n, align_order), seen;
	bool ask = rng_chance(&s->rng, 90), clean;

	entry += !(entry & NP_PAGE_CLASS);
	seen = np_chunk_take_run(s->chunk, n, align_order, entry,
				 ask ? &clean : NULL);
	if (seen != first)
		return diag("run of %u pages at %u, wanted at %u", n, seen,
			    first), false;
	if (first == NP_NO_PAGE)
		return true;
	if (ask && clean == any_of(s->dirty, first, n))
		return diag("page %u said to be %s", first,
			    clean ? "clean" : "dirty"), false;
	for (uint32_t i = 0; i < n; i++) {
		s->entry[first + i] = entry + (i << 9);
		s->dirty[first + i] = s->aged[first + i] = false;
	}
	s->runs[s->nruns++] = (struct run){ first, n };
	s->nfree -= n;
	return table_says(s, first, n);
}

static bool give(struct shadow *s)
{
	uint32_t which = (uint32_t)rng_below(&s->rng, s->nruns);
	struct run r = s->runs[which];

	s->runs[which] = s->runs[--s->nruns];
	np_chunk_give_run(s->chunk, r.first, r.n);
	for (uint32_t i = r.first; i < r.first + r.n; i++) {
		s->entry[i] = 0;
		s->dirty[i] = true;
	}
	s->nfree += r.n;
	return table_says(s, r.first, r.n);
}

static void age(struct shadow *s)
{
	np_chunk_age(s->chunk);
	memcpy(s->aged, s->dirty, s->npages * sizeof *s->aged);
}

/* Walks over all stretches, and cleans every other one. */
static bool purge(struct shadow *s, bool all, uint32_t unit)
{
	uint32_t from = (uint32_t)rng_below(&s->rng, s->npages) / unit * unit;

	if (rng_chance(&s->rng, 50))
		from = 0;
	for (;;) {
		uint32_t seen = from, wanted = from;
		uint32_t n = np_chunk_next_dirty(s->chunk, all, unit, &seen);
		uint32_t m = expected_dirty(s, all, unit, &wanted);

		if (n != m || (n && seen != wanted))
			return diag("%u dirty pages at %u, wanted %u at %u",
				    n, seen, m, wanted), false;
		if (!n)
			return true;
		if (rng_chance(&s->rng, 50)) {
			np_chunk_mark_clean(s->chunk, seen, n);
			memset(s->dirty + seen, 0, n * sizeof *s->dirty);
			memset(s->aged + seen, 0, n * sizeof *s->aged);
		}
		from = seen + n;
	}
}

static bool step(struct shadow *s, bool filling)
{
	unsigned dice = (unsigned)rng_below(&s->rng, 100);

	if (dice < 3)
		return age(s), true;
	if (dice < 8)
		return purge(s, rng_chance(&s->rng, 50),
			     1u << (const int[]){ 0, 1, 2, 4 }[dice % 4]);
	if (s->nruns && !rng_chance(&s->rng, filling ? 65 : 35))
		return give(s);
	return take(s, (uint32_t)rng_log(&s->rng, s->npages),
		    rng_chance(&s->rng, 75) ? 0 :
		    (unsigned)rng_below(&s->rng, s->classes.max_order + 2u));
}

static bool agrees(const struct shadow *s)
{
	return np_chunk_valid(s->chunk) && table_says(s, 0, s->npages) &&
	       s->chunk->free_bytes ==
		       (size_t)s->nfree << s->classes.page_shift;
}

/* --- random runs ------------------------------------------------------ */

static bool is_fresh(const struct np_chunk *c)
{
	for (uint32_t i = 1; i < 2 * np_chunk_npages(c); i++)
		if (c->tree[i] != np_log2(i))
			return false;
	return true;
}

static bool random_runs(unsigned order)
{
	unsigned nops = order < 10 ? 6000 : 2500;
	bool filling = true, good = true;
	struct shadow s;

	shadow_init(&s, 12 + order % 5, order);
	for (unsigned op = 0; good && op < nops; op++) {
		if (rng_chance(&s.rng, 1))
			filling = !filling;
		good = step(&s, filling) && (op % 50 || agrees(&s));
		if (!good)
			diag("order %u, operation %u", order, op);
	}
	while (good && s.nruns)
		good = give(&s);
	good = good && agrees(&s) && is_fresh(s.chunk) &&
	       s.nfree == s.npages && np_chunk_usage(s.chunk) == 0;
	shadow_free(&s);
	return good;
}

static void test_random_runs(void)
{
	for (unsigned order = 0; order < ORDERS; order++)
		ok(random_runs(order), "max order %u: runs of any length and "
		   "alignment lie leftmost, and table, dirt and sight are "
		   "as they should be", order);
}

/* Too many for a careful shadow: nobody gets what somebody has. */
static void test_million(void)
{
	struct shadow s;
	bool good = true;
	unsigned long ntaken = 0;

	shadow_init(&s, 13, 11);
	for (unsigned op = 0; good && op < 1000000; op++) {
		uint32_t n = (uint32_t)rng_log(&s.rng, 128), first;

		if (s.nruns && rng_chance(&s.rng, 50)) {
			good = give(&s);
			continue;
		}
		first = np_chunk_take_run(s.chunk, n, 0, 5, NULL);
		if (first == NP_NO_PAGE)
			continue;
		good = first + n <= s.npages && all_free(&s, first, n);
		for (uint32_t i = 0; good && i < n; i++)
			s.entry[first + i] = 5 + (i << 9);
		s.runs[s.nruns++] = (struct run){ first, n };
		s.nfree -= n;
		ntaken++;
	}
	ok(good, "a million operations hand no page out twice");
	ok(ntaken > 400000, "most of them found a place");
	ok(agrees(&s), "and leave a valid chunk");
	shadow_free(&s);
}

/* --- Netty's tree ----------------------------------------------------- */

struct netty {
	unsigned max_order;
	int map[2 << ORDERS];
};

static void netty_init(struct netty *t, unsigned max_order)
{
	t->max_order = max_order;
	for (uint32_t i = 1; i < 2u << max_order; i++)
		t->map[i] = (int)np_log2(i);
}

static uint32_t netty_take(struct netty *t, int depth)
{
	uint32_t i = 1;

	if (t->map[1] > depth)
		return 0;
	while ((int)np_log2(i) < depth) {
		i *= 2;
		if (t->map[i] > depth)
			i ^= 1;
	}
	t->map[i] = (int)t->max_order + 1;
	for (uint32_t p = i; p > 1; p /= 2)
		t->map[p / 2] = t->map[p] < t->map[p ^ 1] ? t->map[p]
							  : t->map[p ^ 1];
	return i;
}

static void netty_give(struct netty *t, uint32_t i)
{
	t->map[i] = (int)np_log2(i);
	for (uint32_t p = i; p > 1; p /= 2) {
		int k = (int)np_log2(p), l = t->map[p], r = t->map[p ^ 1];

		t->map[p / 2] = l == k && r == k ? k - 1 : l < r ? l : r;
	}
}

static bool same_tree(const struct np_chunk *c, const struct netty *t)
{
	for (uint32_t i = 1; i < 2u << t->max_order; i++)
		if (c->tree[i] != t->map[i])
			return false;
	return true;
}

/* Gives back a random run of both. */
static void give_both(struct shadow *s, struct netty *t)
{
	uint32_t which = (uint32_t)rng_below(&s->rng, s->nruns);
	struct run r = s->runs[which];

	s->runs[which] = s->runs[--s->nruns];
	netty_give(t, (uint32_t)np_handle_run(s->chunk, r.first, r.n));
	np_chunk_give_run(s->chunk, r.first, r.n);
}

static bool is_netty(unsigned order)
{
	static struct netty t;
	struct shadow s;
	bool good = true;

	shadow_init(&s, 13, order);
	netty_init(&t, order);
	for (unsigned op = 0; good && op < 4000; op++) {
		unsigned k = (unsigned)rng_below(&s.rng, order + 1u);
		uint32_t first, node;

		if (s.nruns && rng_chance(&s.rng, 48)) {
			give_both(&s, &t);
			continue;
		}
		node = netty_take(&t, (int)(order - k));
		first = np_chunk_take_run(s.chunk, 1u << k, 0, 1, NULL);
		good = first == NP_NO_PAGE ? !node :
			np_handle_run(s.chunk, first, 1u << k) == node;
		if (first != NP_NO_PAGE)
			s.runs[s.nruns++] = (struct run){ first, 1u << k };
		good = good && (op % 20 || same_tree(s.chunk, &t));
	}
	good = good && same_tree(s.chunk, &t);
	shadow_free(&s);
	return good;
}

static void test_netty(void)
{
	for (unsigned order = 0; order <= 11; order++)
		ok(is_netty(order), "max order %u: runs of 2^k pages get the "
		   "node that Netty gives, and leave its tree", order);
}

/* The first trace of netty's reference, and the handles it names. */
static void test_handles(void)
{
	struct np_classes t;
	struct np_chunk *c;
	uint32_t page;

	np_classes_init(&t, NP_NETTY, 13, 11);
	c = make_chunk(&t);
	page = np_chunk_take_run(c, 1, 0, 1, NULL);
	is_hex(np_handle_run(c, page, 1), 0x800, "page 0 as a run");
	is_hex(np_handle_element(c, page, 1, 0), 0x4000000000000800,
	       "a A 256: slot 0 of page 0");
	is_hex(np_handle_element(c, page, 1, 1), 0x4000000100000800,
	       "slot 1 of page 0");
	page = np_chunk_take_run(c, 1, 0, 1, NULL);
	is_hex(np_handle_run(c, page, 1), 0x801, "a B 8192");
	is_hex(np_handle_run(c, np_chunk_take_run(c, 2, 0, 1, NULL), 2), 0x401,
	       "a C 16384");
	is_hex(np_handle_run(c, np_chunk_take_run(c, 1, 0, 1, NULL), 1), 0x804,
	       "a D 8192");
	np_chunk_give_run(c, page, 1);
	is_hex(np_handle_run(c, np_chunk_take_run(c, 1, 0, 1, NULL), 1), 0x801,
	       "f B, a E 8192: where B was");
	is_size(c->free_bytes, 16736256, "free bytes as Netty counts them");
	is_uint(np_chunk_usage(c), 1, "usage as Netty counts it");
	is_hex(np_handle_run(c, 0, 2048), 1, "the whole chunk");
	is_hex(np_handle_run(c, 4, 3), 0x201, "3 pages: their covering node");
	free_chunk(c);
}

/* --- runs by hand ----------------------------------------------------- */

static void test_by_hand(void)
{
	struct np_classes t;
	struct np_chunk *c;
	uint8_t tree[32];

	np_classes_init(&t, NP_FINE, 13, 4);
	c = make_chunk(&t);
	is_uint(np_chunk_take_run(c, 5, 0, 1, NULL), 0, "5 pages: at 0");
	is_uint(np_chunk_take_run(c, 1, 0, 1, NULL), 5, "their tail is free: "
		"the next page is behind them");
	is_uint(np_chunk_take_run(c, 2, 0, 1, NULL), 6, "and two more");
	is_uint(np_chunk_take_run(c, 1, 3, 1, NULL), 8,
		"1 page at a multiple of 8");
	is_uint(np_chunk_take_run(c, 1, 2, 1, NULL), 12,
		"1 page at a multiple of 4: 8 is taken");
	memcpy(tree, c->tree, sizeof tree);
	is_uint(np_chunk_take_run(c, 4, 0, 1, NULL), NP_NO_PAGE,
		"no 4 free pages stand together");
	is_uint(np_chunk_take_run(c, 1, 3, 1, NULL), NP_NO_PAGE,
		"no 8 do");
	is_uint(np_chunk_take_run(c, 17, 0, 1, NULL), NP_NO_PAGE,
		"17 pages of 16");
	is_uint(np_chunk_take_run(c, UINT32_MAX, 0, 1, NULL), NP_NO_PAGE,
		"nor as many as there are numbers");
	is_uint(np_chunk_take_run(c, 1, 5, 1, NULL), NP_NO_PAGE,
		"an alignment above the chunk");
	ok(!memcmp(tree, c->tree, sizeof tree) && np_chunk_valid(c),
	   "what was refused has changed nothing");
	np_chunk_give_run(c, 0, 5);
	is_uint(np_chunk_take_run(c, 4, 0, 1, NULL), 0,
		"5 pages came back: 4 of them serve");
	is_uint(np_chunk_take_run(c, 1, 0, 1, NULL), 4, "and then the fifth");
	free_chunk(c);
}

/* 100 only when full, else the share rounded up, at most 99. */
static void test_usage(void)
{
	struct np_classes t;
	struct np_chunk *c;
	bool good = true;

	np_classes_init(&t, NP_NETTY, 13, 11);
	c = make_chunk(&t);
	for (unsigned used = 0; used <= 2048; used++) {
		unsigned wanted = (used * 100 + 2047) / 2048;

		if (used < 2048 && wanted > 99)
			wanted = 99;
		good = good && np_chunk_usage(c) == wanted;
		np_chunk_take_run(c, 1, 0, 1, NULL);
	}
	ok(good, "usage is the taken share rounded up; 100 is full only");
	free_chunk(c);
}

static void test_clean(void)
{
	struct np_classes t;
	struct np_chunk *c;
	uint32_t at = 0;
	bool clean = false;

	np_classes_init(&t, NP_FINE, 13, 7);
	c = make_chunk(&t);
	np_chunk_take_run(c, 128, 0, 1, &clean);
	ok(clean, "a new chunk reads as zero");
	np_chunk_give_run(c, 0, 128);
	is_uint(np_chunk_next_dirty(c, false, 1, &at), 0,
		"what came back just now is not aged");
	at = 0;
	is_uint(np_chunk_next_dirty(c, true, 1, &at), 128, "but dirty");
	np_chunk_mark_clean(c, 62, 4);
	np_chunk_take_run(c, 64, 0, 1, &clean);
	ok(!clean, "a run with one dirty page is not clean");
	np_chunk_age(c);
	at = 0;
	is_uint(np_chunk_next_dirty(c, false, 4, &at), 64,
		"a tick later whole units are aged");
	is_uint(at, 64, "also one with clean pages in it");
	np_chunk_mark_clean(c, 64, 64);
	np_chunk_take_run(c, 64, 0, 1, &clean);
	ok(clean, "what was purged reads as zero");
	at = 0;
	is_uint(np_chunk_next_dirty(c, true, 1, &at), 0,
		"what is taken is not dirty");
	free_chunk(c);
}

/* Subpages, tree and bitmaps share one block and must not touch. */
static bool parts_are_apart(unsigned shift, unsigned order)
{
	struct np_classes t;
	struct np_chunk *c;
	size_t size, npages = (size_t)1 << order;
	bool good;

	if (np_classes_init(&t, NP_FINE, shift, order))
		return false;
	c = make_chunk(&t);
	size = np_subpage_size(t.max_elems);
	for (uint32_t i = 0; i < npages; i++)
		memset((void *)np_chunk_subpage(c, i), (int)i, size);
	good = np_chunk_valid(c) && is_fresh(c) && !c->dirty[0] &&
	       (uintptr_t)c->subpages % _Alignof(struct np_subpage) == 0 &&
	       c->subpage_stride % _Alignof(struct np_subpage) == 0 &&
	       c->tree + 2 * npages <= (uint8_t *)c + np_chunk_meta_size(&t);
	for (uint32_t i = 0; i < npages; i++) {
		const uint8_t *p = (uint8_t *)np_chunk_subpage(c, i);

		good = good && p[0] == (uint8_t)i &&
		       p[size - 1] == (uint8_t)i;
	}
	free_chunk(c);
	return good;
}

static void test_layout(void)
{
	bool good = true;

	for (unsigned shift = 12; shift <= 20; shift += 2)
		for (unsigned order = 0; order <= 9; order++)
			good = good && parts_are_apart(shift, order);
	ok(good, "a chunk's data are apart and within what it asks for");
}

/* --- damage ----------------------------------------------------------- */

static bool notices_tree(struct np_chunk *c)
{
	for (uint32_t i = 1; i < 2 * np_chunk_npages(c); i++) {
		uint8_t whole = c->tree[i];

		for (unsigned v = 0; v < c->classes->max_order + 3u; v++) {
			c->tree[i] = (uint8_t)v;
			if (np_chunk_valid(c) != (v == whole))
				return diag("tree[%u] = %u for %u", i, v,
					    whole), false;
		}
		c->tree[i] = whole;
	}
	return true;
}

static bool notices_entries(struct np_chunk *c)
{
	for (uint32_t i = 0; i < np_chunk_npages(c); i++) {
		uint32_t whole = c->pages[i];

		c->pages[i] = whole ? 0 : 1;
		if (np_chunk_valid(c))
			return diag("page %u, taken or free", i), false;
		c->pages[i] = (i + 1) << NP_PAGE_OFFSET_SHIFT | 1;
		if (np_chunk_valid(c))
			return diag("page %u, offset", i), false;
		c->pages[i] = whole;
	}
	return true;
}

/* As many entries as free leaves, but not of the same pages. */
static bool notices_swaps(struct np_chunk *c)
{
	for (uint32_t i = 0; i < np_chunk_npages(c); i++)
		for (uint32_t j = 0; j < i; j++) {
			uint32_t a = c->pages[i], b = c->pages[j];

			if (!a == !b)
				continue;
			c->pages[i] = b ? 1 : 0;
			c->pages[j] = a ? 1 : 0;
			if (np_chunk_valid(c))
				return diag("pages %u and %u", i, j), false;
			c->pages[i] = a;
			c->pages[j] = b;
		}
	return true;
}

static bool notices_bitmaps(struct np_chunk *c)
{
	for (uint32_t i = 0; i < np_chunk_npages(c); i++) {
		uint64_t bit = (uint64_t)1 << i % 64;
		bool aged = c->aged[i / 64] & bit;

		if (c->pages[i]) {
			c->dirty[i / 64] ^= bit;
			if (np_chunk_valid(c))
				return diag("page %u dirty", i), false;
			c->dirty[i / 64] ^= bit;
		} else if (!(c->dirty[i / 64] & bit) || aged) {
			c->dirty[i / 64] &= ~bit;
			c->aged[i / 64] |= bit;
			if (np_chunk_valid(c))
				return diag("page %u aged", i), false;
			c->dirty[i / 64] |= aged ? bit : 0;
			c->aged[i / 64] ^= aged ? 0 : bit;
		}
	}
	return true;
}

static void test_damage(void)
{
	struct shadow s;

	shadow_init(&s, 13, 7);
	for (int i = 0; i < 300 || s.nruns < 8 || s.nfree < 32; i++)
		if (!step(&s, i % 40 < 20))
			bail_out("random runs go wrong");
	age(&s);
	purge(&s, true, 1);
	for (int i = 0; i < 3; i++)
		give(&s);
	ok(agrees(&s), "a used chunk is valid");
	ok(notices_tree(s.chunk), "any other value in its tree is noticed");
	ok(notices_entries(s.chunk), "a wrong entry of its table is noticed");
	ok(notices_swaps(s.chunk), "two that changed places are noticed");
	ok(notices_bitmaps(s.chunk), "a taken dirty page, or an aged page "
	   "that is not dirty, is noticed");
	s.chunk->free_bytes -= (size_t)1 << 13;
	ok(!np_chunk_valid(s.chunk), "a page too few is noticed");
	s.chunk->free_bytes += (size_t)1 << 13;
	ok(agrees(&s), "mended, it is valid again");
	shadow_free(&s);
}

#ifdef NP_DEBUG
static void give_twice(void *arg)
{
	struct np_classes t;
	struct np_chunk *c;

	(void)arg;
	np_classes_init(&t, NP_FINE, 13, 5);
	c = make_chunk(&t);
	np_chunk_take_run(c, 3, 0, 1, NULL);
	np_chunk_take_run(c, 3, 0, 1, NULL);
	np_chunk_give_run(c, 0, 3);
	np_chunk_give_run(c, 0, 3);
}
#endif

static void test_misuse(void)
{
#ifdef NP_DEBUG
	struct child c = child_run(give_twice, NULL);

	ok(child_killed(&c, SIGABRT) && strstr(c.text, "broken invariant"),
	   "a debug build dies of a run that comes back twice");
#else
	skip(1, "needs a debug build");
#endif
}

int main(void)
{
	plan(ORDERS + 3 + 12 + 11 + 13 + 1 + 8 + 1 + 7 + 1);
	test_random_runs();
	test_million();
	test_netty();
	test_handles();
	test_by_hand();
	test_usage();
	test_clean();
	test_layout();
	test_damage();
	test_misuse();
	return done();
}
