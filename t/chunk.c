/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * Chunks: random runs of every length and alignment, cut into elements or not,
 * against a shadow that knows only which pages are taken and how many elements
 * lie on them and looks at all of them, and, for runs of 2^k pages, against
 * Netty's tree written down once more. Nothing lies behind the pages.
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
	bool is_subpage;
};

#define WHOSE 0xfeed0000u /* all that is above a class in the page map */

/* A chunk, and what should be true of it. */
struct shadow {
	struct np_classes classes;
	struct np_chunk *chunk;
	uint8_t *sight;
	_Atomic uint32_t *known;
	uint32_t npages, nfree, nruns;
	uint32_t nsubpages, most_subpages; /* now, and since the last reset */
	uint32_t *entry;	/* a page: what the page table should say */
	uint32_t *users;	/* a page: taken elements that lie on it */
	bool *dirty, *aged;	/* a page */
	struct np_ring *rings;	/* a page: of the one subpage there */
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
	memset(meta, 0xa5, size);
	memset(meta, 0, np_chunk_zero_size(t));
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
	s->nruns = s->nsubpages = s->most_subpages = 0;
	s->sight = zeroed(s->npages, sizeof *s->sight);
	s->chunk->sight.map = s->sight;
	s->known = zeroed(s->npages, sizeof *s->known);
	s->chunk->known = (struct np_known){ s->known, WHOSE };
	s->entry = zeroed(s->npages, sizeof *s->entry);
	s->users = zeroed(s->npages, sizeof *s->users);
	s->dirty = zeroed(s->npages, sizeof *s->dirty);
	s->aged = zeroed(s->npages, sizeof *s->aged);
	s->rings = zeroed(s->npages, sizeof *s->rings);
	s->runs = zeroed(s->npages, sizeof *s->runs);
	s->rng = rng_seed(order);
}

static void shadow_free(struct shadow *s)
{
	free_chunk(s->chunk);
	free(s->sight);
	free((void *)s->known);
	free(s->entry);
	free(s->users);
	free(s->dirty);
	free(s->aged);
	free(s->rings);
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

static uint32_t count_of(const bool *map, uint32_t first, uint32_t n)
{
	uint32_t count = 0;

	for (uint32_t i = first; i < first + n; i++)
		count += map[i];
	return count;
}

/* Is nobody on these pages: no run, and no element of a subpage? */
static bool all_idle(const struct shadow *s, uint32_t first, uint32_t n)
{
	for (uint32_t i = first; i < first + n; i++)
		if (s->entry[i] &&
		    (!(s->entry[i] & NP_PAGE_SUBPAGE) || s->users[i]))
			return false;
	return true;
}

/* As np_chunk_next_dirty. */
static uint32_t expected_dirty(const struct shadow *s, bool all, uint32_t unit,
			       uint32_t *first)
{
	uint32_t n = 0;

	for (uint32_t i = *first; i + unit <= s->npages; i += unit) {
		uint32_t young = 0;
		bool due = all_idle(s, i, unit) &&
			   count_of(s->dirty, i, unit);

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

/* What the page map says: of the pages on which pieces may begin, their class;
 * of others nothing. */
static bool is_known(const struct shadow *s, uint32_t i, uint32_t whose)
{
	uint32_t e = s->entry[i], class = e & NP_PAGE_CLASS;
	bool begins = e & NP_PAGE_SUBPAGE || !(e >> NP_PAGE_OFFSET_SHIFT);

	return s->known[i] == (class && begins ? whose + class * 32 : 0);
}

static bool table_says(const struct shadow *s, uint32_t first, uint32_t n)
{
	for (uint32_t i = first; i < first + n; i++)
		if (s->chunk->pages[i] != s->entry[i] ||
		    s->sight[i] != (s->entry[i] & NP_PAGE_CLASS) ||
		    !is_known(s, i, WHOSE))
			return false;
	return true;
}

/* Cuts a run that was taken for a subpage into elements of some size, with
 * some tail. */
static void cut(struct shadow *s, uint32_t first, uint32_t n)
{
	size_t bytes = (size_t)n << s->classes.page_shift;
	uint32_t nelems = (uint32_t)rng_log(&s->rng, s->classes.max_elems);
	size_t size = bytes / nelems >> rng_below(&s->rng, 3);
	struct np_class row = { .size = size < 16 ? 16 : (uint32_t)size & ~15u,
				.npages = (uint16_t)n, .nelems = nelems };

	np_ring_init(&s->rings[first]);
	np_subpage_init(np_chunk_subpage(s->chunk, first), &s->rings[first],
			s->chunk, first, 1, &row);
	if (++s->nsubpages > s->most_subpages)
		s->most_subpages = s->nsubpages;
}

static bool take(struct shadow *s, uint32_t n, unsigned align_order)
{
	uint32_t entry = 1 + (uint32_t)rng_below(&s->rng, 511);
	uint32_t first = expected_fit(s, n, align_order), seen, nclean = 0;
	bool ask = rng_chance(&s->rng, 90), is_subpage;

	entry += !(entry & NP_PAGE_CLASS);
	is_subpage = entry & NP_PAGE_SUBPAGE;
	seen = np_chunk_take_run(s->chunk, n, align_order, entry,
				 ask ? &nclean : NULL);
	if (seen != first)
		return diag("run of %u pages at %u, wanted at %u", n, seen,
			    first), false;
	if (first == NP_NO_PAGE)
		return true;
	if (ask && nclean != n - count_of(s->dirty, first, n))
		return diag("%u of %u pages at %u said to be clean", nclean,
			    n, first), false;
	for (uint32_t i = 0; i < n; i++) {
		s->entry[first + i] = entry + (i << 9);
		if (!is_subpage)
			s->dirty[first + i] = s->aged[first + i] = false;
	}
	s->runs[s->nruns++] = (struct run){ first, n, is_subpage };
	s->nfree -= n;
	if (is_subpage)
		cut(s, first, n);
	return table_says(s, first, n);
}

/* An element comes (1) or goes (-1): who went leaves dirty, young pages. */
static void count_element(struct shadow *s, const struct np_subpage *sp,
			  uint32_t slot, int by)
{
	size_t start = (size_t)slot * sp->elem_size;
	uint32_t page = (uint32_t)(start >> s->classes.page_shift);
	uint32_t last = (uint32_t)((start + sp->elem_size - 1) >>
				   s->classes.page_shift);

	for (uint32_t i = sp->first + page; i <= sp->first + last; i++) {
		s->users[i] += (uint32_t)by;
		if (by < 0) {
			s->dirty[i] = true;
			s->aged[i] = false;
		}
	}
	if (by < 0)
		np_chunk_touch(s->chunk, sp->first + page, last - page + 1);
}

static void take_elements(struct shadow *s, struct np_subpage *sp)
{
	static uint32_t slots[1 << 16];
	uint32_t n = np_subpage_take(sp, (uint32_t)rng_log(&s->rng,
							   sp->max_elems),
				     slots);

	for (uint32_t i = 0; i < n; i++)
		count_element(s, sp, slots[i], 1);
}

/* Up to n of those from `slot` on that are taken. */
static void put_elements(struct shadow *s, struct np_subpage *sp,
			 uint32_t slot, uint32_t n)
{
	for (; n && slot < sp->max_elems; slot++)
		if (np_subpage_is_taken(sp, slot)) {
			np_subpage_put(sp, &s->rings[sp->first], slot);
			count_element(s, sp, slot, -1);
			n--;
		}
}

/* Takes or puts elements of any subpage; of a run there are none. */
static void use(struct shadow *s)
{
	const struct run *r = &s->runs[rng_below(&s->rng, s->nruns)];
	struct np_subpage *sp;

	if (!r->is_subpage)
		return;
	sp = np_chunk_subpage(s->chunk, r->first);
	if (rng_chance(&s->rng, 50))
		take_elements(s, sp);
	else
		put_elements(s, sp, (uint32_t)rng_below(&s->rng,
							sp->max_elems),
			     (uint32_t)rng_log(&s->rng, sp->max_elems));
}

static bool give(struct shadow *s)
{
	uint32_t which = (uint32_t)rng_below(&s->rng, s->nruns), nclean;
	struct run r = s->runs[which];

	s->runs[which] = s->runs[--s->nruns];
	if (r.is_subpage) {
		struct np_subpage *sp = np_chunk_subpage(s->chunk, r.first);

		put_elements(s, sp, 0, UINT32_MAX);
		np_subpage_unlink(sp);
		s->nsubpages--;
	}
	nclean = np_chunk_give_run(s->chunk, r.first, r.n);
	for (uint32_t i = r.first; i < r.first + r.n; i++) {
		s->entry[i] = 0;
		s->dirty[i] = s->dirty[i] || !r.is_subpage;
	}
	s->nfree += r.n;
	if (nclean != r.n - count_of(s->dirty, r.first, r.n))
		return diag("%u of %u pages at %u come back clean", nclean,
			    r.n, r.first), false;
	return table_says(s, r.first, r.n);
}

/* All runs are gone, and whoever was on a page was there just now. */
static void reset(struct shadow *s)
{
	np_chunk_reset(s->chunk);
	for (uint32_t i = 0; i < s->npages; i++)
		if (s->entry[i]) {
			s->dirty[i] = true;
			s->aged[i] = false;
			s->entry[i] = s->users[i] = 0;
		}
	s->nruns = s->nsubpages = s->most_subpages = 0;
	s->nfree = s->npages;
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

	if (dice < 1 && rng_chance(&s->rng, 20))
		return reset(s), true;
	if (dice < 3)
		return age(s), true;
	if (dice < 8)
		return purge(s, rng_chance(&s->rng, 50),
			     1u << (const int[]){ 0, 1, 2, 4 }[dice % 4]);
	if (dice < 30 && s->nruns)
		return use(s), true;
	if (s->nruns && !rng_chance(&s->rng, filling ? 65 : 35))
		return give(s);
	return take(s, (uint32_t)rng_log(&s->rng, s->npages),
		    rng_chance(&s->rng, 75) ? 0 :
		    (unsigned)rng_below(&s->rng, s->classes.max_order + 2u));
}

/* Each has room of its own, in as much as was needed at some time. */
static bool subpages_agree(const struct shadow *s)
{
	for (uint32_t i = 0; i < s->nruns; i++) {
		const struct run *r = &s->runs[i];
		const struct np_subpage *sp;

		if (!r->is_subpage)
			continue;
		sp = np_chunk_subpage(s->chunk, r->first);
		if (sp->first != r->first || !np_subpage_valid(sp) ||
		    s->chunk->subpage_of[r->first] >= s->chunk->nsubpages)
			return false;
	}
	return s->chunk->nsubpages == s->most_subpages;
}

static bool bitmaps_agree(const struct shadow *s)
{
	uint32_t ndirty = count_of(s->dirty, 0, s->npages);

	for (uint32_t i = 0; i < s->npages; i++)
		if (np_chunk_is_dirty(s->chunk, i) != s->dirty[i])
			return false;
	return np_chunk_ndirty(s->chunk) == ndirty &&
	       np_chunk_is_aged(s->chunk) ==
		       (count_of(s->aged, 0, s->npages) == ndirty);
}

static bool agrees(const struct shadow *s)
{
	return np_chunk_valid(s->chunk) && table_says(s, 0, s->npages) &&
	       bitmaps_agree(s) && subpages_agree(s) &&
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
	/* Its arena has learned its node. */
	np_chunk_set_whose(s.chunk, 0xbeef0000u);
	for (uint32_t i = 0; good && i < s.npages; i++)
		good = is_known(&s, i, 0xbeef0000u);
	np_chunk_set_whose(s.chunk, WHOSE);
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
		   "alignment lie leftmost, and table, dirt, subpages, "
		   "sight and page map are as they should be", order);
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
		memset(s.dirty + first, 0, n * sizeof *s.dirty);
		s.runs[s.nruns++] = (struct run){ first, n, false };
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
			s.runs[s.nruns++] = (struct run){ first, 1u << k,
							 false };
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
/* A run at a place of one's choice. */
static void test_at(void)
{
	struct np_classes t;
	struct np_chunk *c;

	if (np_classes_init(&t, NP_FINE, 12, 3))
		bail_out("no classes");
	c = make_chunk(&t);
	ok(np_chunk_take_run_at(c, 4, 3, 1), "pages 4 to 6 can be taken");
	is_size(c->free_bytes, 5 * 4096, "three pages less");
	is_uint(c->tree[3], 3, "the node that covers them has a page left");
	ok(np_chunk_take_run_at(c, 7, 1, 1), "that one can be taken");
	is_uint(c->tree[3], 4, "and it has none");
	ok(!np_chunk_take_run_at(c, 4, 2, 1) &&
	   !np_chunk_take_run_at(c, 7, 1, 1) &&
	   !np_chunk_take_run_at(c, 0, 6, 1) &&
	   !np_chunk_take_run_at(c, 0, 8, 1),
	   "what is taken, in part or whole, cannot be");
	is_size(c->free_bytes, 4 * 4096, "and nothing came of it");
	is_uint(np_chunk_take_run(c, 4, 0, 1, NULL), 0, "the other half whole");
	ok(!np_chunk_take_run_at(c, 1, 1, 1),
	   "below a node that was taken whole nothing can be taken");
	np_chunk_give_run(c, 4, 3);
	ok(np_chunk_take_run_at(c, 4, 2, 1) && np_chunk_take_run_at(c, 6, 1, 1),
	   "what was given back can be, in parts too");
	np_chunk_give_run(c, 6, 1);
	np_chunk_give_run(c, 7, 1);
	np_chunk_give_run(c, 0, 4);
	np_chunk_give_run(c, 4, 2);
	is_uint(c->tree[1], 0, "all given back, the root is free");
	ok(np_chunk_valid(c), "and the chunk valid");
	free_chunk(c);
}

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
	uint32_t at = 0, nclean = 0;

	np_classes_init(&t, NP_FINE, 13, 7);
	c = make_chunk(&t);
	np_chunk_take_run(c, 128, 0, 1, &nclean);
	is_uint(nclean, 128, "a new chunk reads as zero");
	is_uint(np_chunk_give_run(c, 0, 128), 0, "what was a run does not");
	is_uint(np_chunk_next_dirty(c, false, 1, &at), 0,
		"what came back just now is not aged");
	ok(!np_chunk_is_aged(c), "nor is the chunk");
	at = 0;
	is_uint(np_chunk_next_dirty(c, true, 1, &at), 128, "but dirty");
	np_chunk_mark_clean(c, 62, 4);
	is_uint(np_chunk_ndirty(c), 124, "4 pages of 128 are purged");
	ok(np_chunk_is_dirty(c, 61) && !np_chunk_is_dirty(c, 62) &&
	   !np_chunk_is_dirty(c, 65) && np_chunk_is_dirty(c, 66),
	   "just those");
	np_chunk_take_run(c, 64, 0, 1, &nclean);
	is_uint(nclean, 2, "a run over two of them has two clean pages");
	np_chunk_age(c);
	ok(np_chunk_is_aged(c), "a tick later the chunk is aged");
	at = 0;
	is_uint(np_chunk_next_dirty(c, false, 4, &at), 64,
		"and whole units are");
	is_uint(at, 64, "also one with clean pages in it");
	np_chunk_mark_clean(c, 64, 64);
	np_chunk_take_run(c, 64, 0, 1, &nclean);
	is_uint(nclean, 64, "what was purged reads as zero");
	at = 0;
	is_uint(np_chunk_next_dirty(c, true, 1, &at), 0,
		"what is taken is not dirty");
	is_uint(np_chunk_ndirty(c), 0, "none of it");
	free_chunk(c);
}

/* --- subpages --------------------------------------------------------- */

/* Takes a subpage of npages, an element a page, on a ring of its own. */
static struct np_subpage *take_subpage(struct np_chunk *c, uint32_t npages,
				       struct np_ring *ring)
{
	struct np_class row = { .size = 1u << c->classes->page_shift,
				.npages = (uint16_t)npages,
				.nelems = npages };
	uint32_t first = np_chunk_take_run(c, npages, 0, NP_PAGE_SUBPAGE | 1,
					   NULL);
	struct np_subpage *sp = np_chunk_subpage(c, first);

	np_ring_init(ring);
	np_subpage_init(sp, ring, c, first, 1, &row);
	return sp;
}

/* Room is used again before there is more of it. */
static void test_room(void)
{
	struct np_subpage *sp[4], *old;
	struct np_ring ring[4];
	struct np_classes t;
	struct np_chunk *c;

	np_classes_init(&t, NP_FINE, 13, 5);
	c = make_chunk(&t);
	np_chunk_take_run(c, 7, 0, 1, NULL);
	is_uint(c->nsubpages, 0, "a run has no room for elements");
	for (int i = 0; i < 3; i++)
		sp[i] = take_subpage(c, 2, &ring[i]);
	ok((char *)sp[0] == c->subpages &&
	   (char *)sp[1] == c->subpages + c->subpage_stride &&
	   (char *)sp[2] == c->subpages + 2 * c->subpage_stride,
	   "three subpages, wherever they lie: side by side from the start");
	np_subpage_unlink(sp[0]);
	np_chunk_give_run(c, sp[0]->first, 2);
	np_subpage_unlink(sp[1]);
	np_chunk_give_run(c, sp[1]->first, 2);
	old = sp[1];
	sp[1] = take_subpage(c, 5, &ring[1]);
	is_ptr(sp[1], old, "the next one gets the room of the last that went");
	old = sp[0];
	sp[0] = take_subpage(c, 1, &ring[0]);
	is_ptr(sp[0], old, "and the one behind it that of the one before");
	is_uint(c->nsubpages, 3, "so there are no more than three");
	sp[3] = take_subpage(c, 1, &ring[3]);
	ok((char *)sp[3] == c->subpages + 3 * c->subpage_stride,
	   "for a fourth at a time there is more");
	ok(sp[2]->first == 12 && np_subpage_valid(sp[2]),
	   "the one that stayed is as it was");
	np_chunk_reset(c);
	ok(c->nsubpages == 0 && c->free_subpage == NP_NO_PAGE,
	   "a reset gives all room back");
	free_chunk(c);
}

/* Of a subpage the pages matter that elements were on. */
static void test_touch(void)
{
	uint32_t slots[8], at = 0, nclean = 0;
	struct np_ring ring;
	struct np_subpage *sp;
	struct np_classes t;
	struct np_chunk *c;

	np_classes_init(&t, NP_FINE, 13, 4);
	c = make_chunk(&t);
	sp = take_subpage(c, 8, &ring);
	np_subpage_take(sp, 4, slots);
	is_uint(np_chunk_ndirty(c), 0, "a subpage in use is not dirty");
	np_subpage_put(sp, &ring, 1);
	np_subpage_put(sp, &ring, 2);
	np_chunk_touch(c, 1, 2);
	is_uint(np_chunk_next_dirty(c, true, 1, &at), 2,
		"elements came back from two pages: they are dirty");
	is_uint(at, 1, "those two");
	ok(!np_chunk_is_aged(c), "and young");
	np_chunk_age(c);
	at = 0;
	is_uint(np_chunk_next_dirty(c, false, 1, &at), 2, "a tick later aged");
	np_chunk_touch(c, 2, 1);
	at = 0;
	is_uint(np_chunk_next_dirty(c, false, 1, &at), 1,
		"one was used again: only the other is");
	np_subpage_take(sp, 1, slots);
	at = 0;
	is_uint(np_chunk_next_dirty(c, true, 1, &at), 1,
		"a page that is used is not to be purged");
	is_uint(at, 1, "the other is");
	at = 0;
	is_uint(np_chunk_next_dirty(c, true, 2, &at), 0,
		"in units of two there is none without a user");
	for (uint32_t i = 0; i < 4; i++)
		if (np_subpage_is_taken(sp, i))
			np_subpage_put(sp, &ring, i);
	np_chunk_touch(c, 0, 4);
	np_subpage_unlink(sp);
	is_uint(np_chunk_give_run(c, 0, 8), 4,
		"4 of 8 pages had no element: they come back clean");
	sp = take_subpage(c, 8, &ring);
	is_uint(np_chunk_ndirty(c), 4, "a new subpage there keeps the dirt");
	np_subpage_unlink(sp);
	np_chunk_give_run(c, 0, 8);
	np_chunk_take_run(c, 6, 0, 1, &nclean);
	is_uint(nclean, 2, "a run over 4 dirty pages and two clean ones");
	is_uint(np_chunk_ndirty(c), 0, "has no dirt");
	free_chunk(c);
}

static void test_reset(void)
{
	uint32_t slots[4], at = 0;
	struct np_subpage *sp;
	struct np_ring ring;
	struct np_classes t;
	struct np_chunk *c;
	_Atomic uint32_t known[16] = { 0 };
	uint8_t sight[16];

	np_classes_init(&t, NP_FINE, 13, 4);
	c = make_chunk(&t);
	memset(sight, 0, sizeof sight);
	c->sight.map = sight;
	c->known.pages = known;
	sp = take_subpage(c, 4, &ring);
	np_subpage_take(sp, 4, slots);
	np_chunk_touch(c, 0, 2);
	np_chunk_age(c);
	np_chunk_take_run(c, 3, 0, 9, NULL);
	np_chunk_reset(c);
	ok(np_chunk_valid(c) && is_fresh(c) && np_chunk_usage(c) == 0,
	   "a reset frees all at once");
	is_uint(np_chunk_next_dirty(c, true, 1, &at), 7,
		"what was taken is dirty, nothing else");
	is_uint(at, 0, "from its first page on");
	at = 0;
	is_uint(np_chunk_next_dirty(c, false, 1, &at), 0,
		"and young, although some of it was aged");
	ok(!sight[0] && !sight[6] && !known[0] && !known[4],
	   "nobody sees or knows anything there");
	is_uint(np_chunk_take_run(c, 16, 0, 1, NULL), 0,
		"all of it serves again");
	free_chunk(c);
}

/* --- layout ----------------------------------------------------------- */

/* Subpages, their numbers, tree and bitmaps share one block and must not
 * touch. */
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
	good = c->subpage_stride >= size;
	for (size_t i = 0; i < npages; i++)
		memset(c->subpages + i * c->subpage_stride, (int)i, size);
	good = good && np_chunk_valid(c) && is_fresh(c) && !c->dirty[0] &&
	       (uintptr_t)c->subpages % _Alignof(struct np_subpage) == 0 &&
	       c->subpage_stride % _Alignof(struct np_subpage) == 0 &&
	       c->tree + 2 * npages <= (uint8_t *)c + np_chunk_meta_size(&t);
	for (uint32_t i = 0; i < npages; i++) {
		good = good && c->subpage_of[i] == 0xa5a5; /* untouched */
		c->subpage_of[i] = (uint16_t)~i;
	}
	good = good && is_fresh(c);
	for (size_t i = 0; i < npages; i++) {
		const uint8_t *p = (uint8_t *)c->subpages +
				   i * c->subpage_stride;

		good = good && p[0] == (uint8_t)i &&
		       p[size - 1] == (uint8_t)i &&
		       c->subpage_of[i] == (uint16_t)~i;
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

		if (c->pages[i] && !(c->pages[i] & NP_PAGE_SUBPAGE)) {
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
	ok(notices_bitmaps(s.chunk), "a dirty page of a run, or an aged page "
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
	plan(ORDERS + 3 + 12 + 11 + 13 + 12 + 1 + 14 + 8 + 13 + 6 + 1 + 7 + 1);
	test_random_runs();
	test_million();
	test_netty();
	test_handles();
	test_by_hand();
	test_at();
	test_usage();
	test_clean();
	test_room();
	test_touch();
	test_reset();
	test_layout();
	test_damage();
	test_misuse();
	return done();
}
