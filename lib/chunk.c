/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * chunk: see chunk.h.
 */
#include "chunk.h"

#include <string.h>

#define WORD_BITS 64

static unsigned depth_of(uint32_t node)
{
	return (unsigned)np_log2(node);
}

static uint32_t pages_below(const struct np_chunk *c, uint32_t node)
{
	return np_chunk_npages(c) >> depth_of(node);
}

static uint8_t unusable(const struct np_chunk *c)
{
	return (uint8_t)(c->classes->max_order + 1);
}

static uint8_t min_depth(uint8_t a, uint8_t b)
{
	return a < b ? a : b;
}

static size_t bitmap_words(const struct np_classes *t)
{
	size_t npages = (size_t)1 << t->max_order;

	return (npages + WORD_BITS - 1) / WORD_BITS;
}

/* --- making one ------------------------------------------------------- */

size_t np_chunk_zero_size(const struct np_classes *t)
{
	return np_round_up(sizeof(struct np_chunk), NP_LINE) +
	       2 * bitmap_words(t) * sizeof(uint64_t);
}

size_t np_chunk_meta_size(const struct np_classes *t)
{
	size_t npages = (size_t)1 << t->max_order;

	return np_chunk_zero_size(t) +
	       npages * np_subpage_size(t->max_elems) +
	       npages * sizeof(uint16_t) + 2 * npages;
}

/* All free: every node says its own depth. */
static void set_fresh(struct np_chunk *c)
{
	for (uint32_t i = 1; i < 2 * np_chunk_npages(c); i++)
		c->tree[i] = (uint8_t)depth_of(i);
}

struct np_chunk *np_chunk_init(void *meta, const struct np_classes *t,
			       uint32_t *pages)
{
	struct np_chunk *c = meta;
	size_t npages = (size_t)1 << t->max_order;
	char *p = (char *)meta + np_round_up(sizeof *c, NP_LINE);

	c->classes = t;
	c->pages = pages;
	c->free_bytes = t->chunk_size;
	c->sight.entry = -1;
	c->dirty = (uint64_t *)(void *)p;
	c->aged = c->dirty + bitmap_words(t);
	c->subpages = (char *)(c->aged + bitmap_words(t));
	c->subpage_stride = np_subpage_size(t->max_elems);
	p = c->subpages + npages * c->subpage_stride;
	c->subpage_of = (uint16_t *)(void *)p;
	c->free_subpage = NP_NO_PAGE;
	c->tree = (uint8_t *)(c->subpage_of + npages);
	set_fresh(c);
	np_assert(np_chunk_valid(c));
	return c;
}

/* --- the tree --------------------------------------------------------- */

static void update_parents_of_taken(struct np_chunk *c, uint32_t node)
{
	for (; node > 1; node /= 2)
		c->tree[node / 2] = min_depth(c->tree[node],
					      c->tree[node ^ 1]);
}

static void update_parents_of_given(struct np_chunk *c, uint32_t node)
{
	for (unsigned depth = depth_of(node); node > 1; node /= 2, depth--) {
		uint8_t l = c->tree[node], r = c->tree[node ^ 1];

		c->tree[node / 2] = l == depth && r == depth
			? (uint8_t)(depth - 1) : min_depth(l, r);
	}
}

static bool give_node(struct np_chunk *c, uint32_t node)
{
	c->tree[node] = (uint8_t)depth_of(node);
	update_parents_of_given(c, node);
	return true;
}

static bool take_node(struct np_chunk *c, uint32_t node)
{
	c->tree[node] = unusable(c);
	update_parents_of_taken(c, node);
	return true;
}

/* Is all of it free? Below a node that was taken whole the values are fresh,
 * but that node's own is not. */
static bool node_is_free(struct np_chunk *c, uint32_t node)
{
	unsigned depth = depth_of(node);

	for (; node; node /= 2)
		if (c->tree[node] > depth)
			return false;
	return true;
}

/* Leftmost free node at this depth, taken whole; 0: none. */
static uint32_t take_leftmost(struct np_chunk *c, unsigned depth)
{
	uint32_t node = 1;

	if (c->tree[1] > depth)
		return 0;
	for (unsigned d = 0; d < depth; d++) {
		node *= 2;
		if (c->tree[node] > depth)
			node ^= 1;
	}
	take_node(c, node);
	return node;
}

/* Of a node that was just taken whole only the first n pages are wanted: the
 * nodes behind them, fresh still, become free. */
static void give_tail(struct np_chunk *c, uint32_t node, uint32_t n)
{
	for (uint32_t len = pages_below(c, node); n < len; ) {
		len /= 2;
		node *= 2;
		if (n > len) {
			c->tree[node] = unusable(c);
			n -= len;
			node++;
		}
	}
	take_node(c, node);
}

/* Visits the nodes that make up the first n pages of a node, until one says
 * false. Returns whether none did. */
static inline bool visit_head(struct np_chunk *c, uint32_t node, uint32_t n,
			      bool (*visit)(struct np_chunk *, uint32_t))
{
	for (uint32_t len = pages_below(c, node); n < len; ) {
		len /= 2;
		node *= 2;
		if (n > len) {
			if (!visit(c, node))
				return false;
			n -= len;
			node++;
		}
	}
	return visit(c, node);
}

/* --- page table and bitmaps ------------------------------------------- */

static void set_pages(struct np_chunk *c, uint32_t first, uint32_t n,
		      uint32_t entry)
{
	if (!entry)
		memset(c->pages + first, 0, n * sizeof *c->pages);
	for (uint32_t i = 0; entry && i < n; i++)
		c->pages[first + i] = entry | i << NP_PAGE_OFFSET_SHIFT;
	if (c->sight.map)
		memset(c->sight.map + first, (int)(entry & NP_PAGE_CLASS), n);
}

/* What the page map has of a page: no piece begins behind the first one of a
 * run that is no subpage. */
static uint32_t known_of(const struct np_chunk *c, uint32_t page)
{
	uint32_t e = c->pages[page];

	if (!e || (!(e & NP_PAGE_SUBPAGE) && e >> NP_PAGE_OFFSET_SHIFT))
		return 0;
	return c->known.whose | (e & NP_PAGE_CLASS) << NP_KNOWN_CLASS_SHIFT;
}

/* Relaxed: as with the page table, whoever has a piece there has seen it
 * written; atomic for those who free what they do not have. */
static void know_pages(struct np_chunk *c, uint32_t first, uint32_t n)
{
	for (uint32_t i = first; c->known.pages && i < first + n; i++)
		atomic_store_explicit(&c->known.pages[i], known_of(c, i),
				      memory_order_relaxed);
}

void np_chunk_set_whose(struct np_chunk *c, uint32_t whose)
{
	c->known.whose = whose;
	know_pages(c, 0, np_chunk_npages(c));
}

/* The bits of [first, first + n) that lie in the word of `first`; *taken says
 * how many they are. */
static uint64_t word_mask(uint32_t first, uint32_t n, uint32_t *taken)
{
	uint32_t bit = first % WORD_BITS, room = WORD_BITS - bit;

	*taken = n < room ? n : room;
	return (*taken == WORD_BITS ? ~(uint64_t)0
				    : ((uint64_t)1 << *taken) - 1) << bit;
}

void np_chunk_mark_dirty(struct np_chunk *c, uint32_t first, uint32_t n)
{
	for (uint32_t taken; n; first += taken, n -= taken)
		c->dirty[first / WORD_BITS] |= word_mask(first, n, &taken);
}

static uint32_t count_dirty(const struct np_chunk *c, uint32_t first,
			    uint32_t n)
{
	uint32_t ndirty = 0;

	for (uint32_t taken; n; first += taken, n -= taken)
		ndirty += (uint32_t)__builtin_popcountll(
			c->dirty[first / WORD_BITS] &
			word_mask(first, n, &taken));
	return ndirty;
}

uint32_t np_chunk_ndirty(const struct np_chunk *c)
{
	return count_dirty(c, 0, np_chunk_npages(c));
}

void np_chunk_mark_clean(struct np_chunk *c, uint32_t first, uint32_t n)
{
	for (uint32_t taken; n; first += taken, n -= taken) {
		uint64_t mask = word_mask(first, n, &taken);

		c->dirty[first / WORD_BITS] &= ~mask;
		c->aged[first / WORD_BITS] &= ~mask;
	}
}

void np_chunk_touch(struct np_chunk *c, uint32_t first, uint32_t n)
{
	for (uint32_t taken; n; first += taken, n -= taken) {
		uint64_t mask = word_mask(first, n, &taken);

		c->dirty[first / WORD_BITS] |= mask;
		c->aged[first / WORD_BITS] &= ~mask;
	}
}

void np_chunk_age(struct np_chunk *c)
{
	memcpy(c->aged, c->dirty,
	       bitmap_words(c->classes) * sizeof *c->aged);
}

bool np_chunk_is_aged(const struct np_chunk *c)
{
	for (uint32_t i = 0; i < bitmap_words(c->classes); i++)
		if (c->dirty[i] & ~c->aged[i])
			return false;
	return true;
}

static bool bit_is_set(const uint64_t *map, uint32_t i)
{
	return map[i / WORD_BITS] >> i % WORD_BITS & 1;
}

/* Does nobody use this page? */
static bool is_idle(const struct np_chunk *c, uint32_t page)
{
	uint32_t entry = c->pages[page];
	uint32_t offset = entry >> NP_PAGE_OFFSET_SHIFT;

	if (!entry)
		return true;
	return entry & NP_PAGE_SUBPAGE &&
	       np_subpage_page_is_free(np_chunk_subpage(c, page - offset),
				       offset, c->classes->page_shift);
}

/* May the unit at `first` be purged, and is it worth it? All of its pages must
 * be free, and those that hold something be as old as asked for. */
static bool unit_is_due(const struct np_chunk *c, bool all, uint32_t first,
			uint32_t unit)
{
	bool any = false;

	for (uint32_t i = first; i < first + unit; i++) {
		if (!is_idle(c, i))
			return false;
		if (!bit_is_set(c->dirty, i))
			continue;
		if (!all && !bit_is_set(c->aged, i))
			return false;
		any = true;
	}
	return any;
}

uint32_t np_chunk_next_dirty(const struct np_chunk *c, bool all,
			     uint32_t unit, uint32_t *first)
{
	const uint64_t *map = all ? c->dirty : c->aged;
	uint32_t npages = np_chunk_npages(c), i = *first, n = 0;

	for (; i + unit <= npages; i += unit) {
		if (i % WORD_BITS == 0 && unit == 1 && !map[i / WORD_BITS])
			i += WORD_BITS - unit;
		else if (unit_is_due(c, all, i, unit))
			break;
	}
	for (*first = i; i + unit <= npages && unit_is_due(c, all, i, unit);
	     i += unit)
		n += unit;
	return n;
}

/* --- runs ------------------------------------------------------------- */

#ifdef NP_DEBUG
/* Checking 2048 pages at each change would make debug builds useless for
 * long runs: small chunks are checked at each change, large ones now and
 * then. */
static bool valid_enough(struct np_chunk *c)
{
	enum { SMALL = 64, PACE = 256 };

	if (np_chunk_npages(c) > SMALL && ++c->changes % PACE)
		return true;
	return np_chunk_valid(c);
}
#endif

/* Room for the subpage that begins at this page. */
static void take_subpage(struct np_chunk *c, uint32_t first)
{
	uint32_t i = c->free_subpage;

	if (i == NP_NO_PAGE)
		i = c->nsubpages++;
	c->subpage_of[first] = (uint16_t)i;
	if (i == c->free_subpage)
		c->free_subpage = np_chunk_subpage(c, first)->first;
}

static void give_subpage(struct np_chunk *c, uint32_t first)
{
	np_chunk_subpage(c, first)->first = c->free_subpage;
	c->free_subpage = c->subpage_of[first];
}

/* The tree has given these pages: the rest that is to be noted. */
static void enter_run(struct np_chunk *c, uint32_t first, uint32_t npages,
		      uint32_t entry)
{
	c->free_bytes -= (size_t)npages << c->classes->page_shift;
	if (entry & NP_PAGE_SUBPAGE)
		take_subpage(c, first);
	else
		np_chunk_mark_clean(c, first, npages);
	set_pages(c, first, npages, entry);
	know_pages(c, first, entry & NP_PAGE_SUBPAGE ? npages : 1);
	np_assert(valid_enough(c));
}

uint32_t np_chunk_take_run(struct np_chunk *c, uint32_t npages,
			   unsigned align_order, uint32_t entry,
			   uint32_t *nclean)
{
	unsigned order = np_log2_up(npages);
	uint32_t node, first;

	if (order < align_order)
		order = align_order;
	if (order > c->classes->max_order)
		return NP_NO_PAGE;
	node = take_leftmost(c, c->classes->max_order - order);
	if (!node)
		return NP_NO_PAGE;
	first = (node << order) - np_chunk_npages(c);
	if (npages < 1u << order)
		give_tail(c, node, npages);
	if (nclean)
		*nclean = npages - count_dirty(c, first, npages);
	enter_run(c, first, npages, entry);
	return first;
}

/* The node that covers a run. */
static uint32_t cover_of(const struct np_chunk *c, uint32_t first,
			 uint32_t npages)
{
	return (first + np_chunk_npages(c)) >> np_log2_up(npages);
}

bool np_chunk_take_run_at(struct np_chunk *c, uint32_t first,
			  uint32_t npages, uint32_t entry)
{
	uint32_t cover = cover_of(c, first, npages);

	np_assert(first + npages <= np_chunk_npages(c));
	if (!visit_head(c, cover, npages, node_is_free))
		return false;
	visit_head(c, cover, npages, take_node);
	enter_run(c, first, npages, entry);
	return true;
}

uint32_t np_chunk_give_run(struct np_chunk *c, uint32_t first,
			   uint32_t npages)
{
	bool is_subpage = c->pages[first] & NP_PAGE_SUBPAGE;

	np_assert(first + npages <= np_chunk_npages(c));
	set_pages(c, first, npages, 0);
	know_pages(c, first, is_subpage ? npages : 1);
	if (is_subpage)
		give_subpage(c, first);
	else
		np_chunk_mark_dirty(c, first, npages);
	c->free_bytes += (size_t)npages << c->classes->page_shift;
	visit_head(c, cover_of(c, first, npages), npages, give_node);
	np_assert(valid_enough(c));
	return npages - count_dirty(c, first, npages);
}

void np_chunk_reset(struct np_chunk *c)
{
	for (uint32_t i = 0; i < np_chunk_npages(c); i++)
		if (c->pages[i])
			np_chunk_touch(c, i, 1);
	set_pages(c, 0, np_chunk_npages(c), 0);
	know_pages(c, 0, np_chunk_npages(c));
	c->nsubpages = 0;
	c->free_subpage = NP_NO_PAGE;
	c->free_bytes = c->classes->chunk_size;
	set_fresh(c);
	np_assert(np_chunk_valid(c));
}

/* --- invariants ------------------------------------------------------- */

static bool is_fresh(const struct np_chunk *c, uint32_t node)
{
	uint32_t end = 2 * np_chunk_npages(c);

	for (uint32_t width = 1; node < end; node *= 2, width *= 2)
		for (uint32_t i = 0; i < width; i++)
			if (c->tree[node + i] != depth_of(node))
				return false;
	return true;
}

/* Does the page table say of all pages below node that they are free, or that
 * none is? */
static bool table_says(const struct np_chunk *c, uint32_t node, bool is_free)
{
	uint32_t n = pages_below(c, node);
	uint32_t first = node * n - np_chunk_npages(c);

	for (uint32_t i = first; i < first + n; i++)
		if (!c->pages[i] != is_free)
			return false;
	return true;
}

/* Checks the subtree and adds up its free pages. */
static bool subtree_valid(const struct np_chunk *c, uint32_t node,
			  uint32_t *nfree)
{
	uint32_t l = 2 * node, npages = np_chunk_npages(c);
	unsigned depth = depth_of(node);
	uint8_t value = c->tree[node];

	if (value == depth) {
		*nfree += pages_below(c, node);
		return is_fresh(c, node) && table_says(c, node, true);
	}
	if (value == unusable(c) &&
	    (node >= npages || (is_fresh(c, l) && is_fresh(c, l + 1))))
		return table_says(c, node, false);
	if (node >= npages ||
	    value != min_depth(c->tree[l], c->tree[l + 1]) ||
	    (c->tree[l] == depth + 1 && c->tree[l + 1] == depth + 1))
		return false;
	return subtree_valid(c, l, nfree) && subtree_valid(c, l + 1, nfree);
}

/* Does the entry go on with the run that the one before it is of? */
static bool entry_valid(const struct np_chunk *c, uint32_t i)
{
	uint32_t step = 1u << NP_PAGE_OFFSET_SHIFT, e = c->pages[i];

	return e < step || (i > 0 && c->pages[i - 1] == e - step);
}

static bool known_valid(const struct np_chunk *c, uint32_t i)
{
	return !c->known.pages ||
	       atomic_load_explicit(&c->known.pages[i],
				    memory_order_relaxed) == known_of(c, i);
}

static bool pages_valid(const struct np_chunk *c)
{
	for (uint32_t i = 0; i < np_chunk_npages(c); i++) {
		if (bit_is_set(c->dirty, i) && c->pages[i] &&
		    !(c->pages[i] & NP_PAGE_SUBPAGE))
			return false;
		if (bit_is_set(c->aged, i) && !bit_is_set(c->dirty, i))
			return false;
		if (!entry_valid(c, i) || !known_valid(c, i))
			return false;
	}
	return true;
}

bool np_chunk_valid(const struct np_chunk *c)
{
	uint32_t nfree = 0;

	return subtree_valid(c, 1, &nfree) && pages_valid(c) &&
	       (size_t)nfree << c->classes->page_shift == c->free_bytes;
}
