/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * sizeclass: see sizeclass.h.
 */
#include "sizeclass.h"

#include <errno.h>
#include <string.h>

#define QUANTUM 16	      /* every piece is aligned for any C object */
#define NETTY_LINEAR_MAX 512  /* Netty: multiples of 16 below, doubling above */
#define FINE_LINEAR_MAX 128
#define FINE_STEPS_SHIFT 3    /* 8 rows a doubling: at most 1/8 is rounding */
#define FINE_WASTE_SHIFT 6    /* a subpage's tail: 1/64 of its run is little */
#define FINE_ELEMS_MIN 8      /* fewer elements than this are not worth it */
#define CHUNK_SIZE_MAX ((size_t)1 << 30)

static uint8_t trailing_zeros(size_t x)
{
	return (uint8_t)__builtin_ctzll(x);
}

static size_t run_waste(size_t run, size_t size)
{
	return run - run / size * size;
}

/* The pages of a `fine` subpage: the fewest that leave a small tail and hold
 * enough elements; if none does, those that waste the smallest share. */
static unsigned fine_pages(const struct np_classes *t, size_t size)
{
	size_t page = (size_t)1 << t->page_shift;
	unsigned most = 1u << t->max_order;
	unsigned best = 0;

	if (most > NP_RUN_PAGES_MAX)
		most = NP_RUN_PAGES_MAX;
	for (unsigned k = 1; k <= most; k++) {
		size_t run = k * page, waste = run_waste(run, size);

		if (run / size > NP_FINE_ELEMS_MAX && k > 1)
			break;
		if (run < size)
			continue;
		if (!best || waste * best * page <
			     run_waste(best * page, size) * run)
			best = k;
		if (waste <= run >> FINE_WASTE_SHIFT &&
		    (run / size >= FINE_ELEMS_MIN ||
		     most * page / size < FINE_ELEMS_MIN))
			return k;
	}
	return best;
}

/* Are pieces of this size runs? Whole pages are, if the tree can align them;
 * the rest up to half a subpage's longest run are elements. */
static bool is_run(const struct np_classes *t, size_t size)
{
	size_t page = (size_t)1 << t->page_shift;
	size_t longest = page << t->max_order;

	if (longest > NP_RUN_PAGES_MAX * page)
		longest = NP_RUN_PAGES_MAX * page;
	return size % page == 0 || size > longest / 2;
}

static uint8_t kind_of(const struct np_classes *t, size_t size)
{
	if (size < NETTY_LINEAR_MAX)
		return NP_TINY;
	return size >> t->page_shift ? NP_NORMAL : NP_SMALL;
}

static void add_run(struct np_classes *t, size_t size)
{
	struct np_class *c = &t->row[++t->n];
	size_t page = (size_t)1 << t->page_shift;
	size_t npages = (size + page - 1) >> t->page_shift;

	c->size = (uint32_t)(npages << t->page_shift);
	c->npages = (uint16_t)npages;
	c->nelems = 0;
	c->align_shift = (uint8_t)(t->page_shift + np_log2_up(npages));
	c->kind = NP_NORMAL;
}

static void add_elems(struct np_classes *t, size_t size, unsigned npages)
{
	struct np_class *c = &t->row[++t->n];
	unsigned in_page = t->page_shift;

	c->size = (uint32_t)size;
	c->npages = (uint16_t)npages;
	c->nelems = (uint32_t)(((size_t)npages << t->page_shift) / size);
	c->align_shift = trailing_zeros(size);
	if (c->align_shift > in_page)
		c->align_shift = (uint8_t)in_page;
	c->kind = kind_of(t, size);
	if (c->nelems > t->max_elems)
		t->max_elems = c->nelems;
}

static void add_size(struct np_classes *t, enum np_class_table table,
		     size_t size)
{
	if (is_run(t, size))
		add_run(t, size);
	else
		add_elems(t, size, table == NP_FINE ? fine_pages(t, size) : 1);
}

/* Netty's zero-length requests: a page of which nothing can be handed out
 * twice, because it holds nothing. */
static void add_zero(struct np_classes *t)
{
	struct np_class *c = &t->row[t->n + 1];

	*c = (struct np_class){ .npages = 1, .nelems = 1,
				.align_shift = t->page_shift,
				.kind = NP_TINY };
	t->zero = (uint8_t)(t->n + 1);
}

static void fill_rows(struct np_classes *t, enum np_class_table table)
{
	size_t linear = table == NP_FINE ? FINE_LINEAR_MAX : NETTY_LINEAR_MAX;
	size_t size;

	for (size = QUANTUM; size <= linear; size += QUANTUM)
		add_size(t, table, size);
	t->base_shift = (uint8_t)np_log2(linear);
	t->base_class = (uint8_t)(t->n + 1);
	for (size = linear; size < t->chunk_size; size *= 2)
		for (size_t i = 1; i <= (size_t)1 << t->steps_shift; i++)
			add_size(t, table,
				 size + (size >> t->steps_shift) * i);
}

/* The first class from `least` on that holds size bytes, or 0. */
static unsigned class_from(const struct np_classes *t, unsigned least,
			   size_t size)
{
	unsigned c = least ? least : 1;

	while (c <= t->n && t->row[c].size < size)
		c++;
	return c <= t->n ? c : 0;
}

static void fill_lookup(struct np_classes *t)
{
	unsigned c = 1;

	t->lookup[0] = t->zero ? t->zero : 1;
	for (size_t i = 1; i <= NP_LOOKUP_MAX / QUANTUM; i++) {
		c = class_from(t, c, i * QUANTUM);
		t->lookup[i] = (uint8_t)c;
	}
	for (size_t i = NP_LOOKUP_MAX / NP_LOOKUP_LARGE_STEP;
	     i < NP_LOOKUP_LARGE_MAX / NP_LOOKUP_LARGE_STEP; i++) {
		c = class_from(t, c, (i + 1) * NP_LOOKUP_LARGE_STEP);
		t->lookup_large[i] = (uint8_t)c;
	}
}

int np_classes_init(struct np_classes *t, enum np_class_table table,
		    unsigned page_shift, unsigned max_order)
{
	memset(t, 0, sizeof *t);
	if (page_shift < 12 || page_shift > 20 || max_order > 14 ||
	    (size_t)1 << (page_shift + max_order) > CHUNK_SIZE_MAX)
		return EINVAL;
	t->page_shift = (uint8_t)page_shift;
	t->max_order = (uint8_t)max_order;
	t->chunk_size = (size_t)1 << (page_shift + max_order);
	t->steps_shift = table == NP_FINE ? FINE_STEPS_SHIFT : 0;
	t->max_elems = 1;
	fill_rows(t, table);
	if (table == NP_NETTY)
		add_zero(t);
	fill_lookup(t);
	np_assert(np_classes_valid(t));
	return 0;
}

unsigned np_class_aligned(const struct np_classes *t, size_t size,
			  size_t align)
{
	size_t page = (size_t)1 << t->page_shift;
	unsigned c = np_class_of(t, size ? size : 1);
	unsigned shift = np_log2(align);

	if (!c)
		return 0;
	while (c <= t->n && t->row[c].align_shift < shift)
		c++;
	return c <= t->n && t->row[c].size <= np_round_up(size + !size, page)
		? c : 0;
}

/* Is it the class for all sizes of the step above this one? */
static bool serves_step(const struct np_classes *t, unsigned c, size_t size)
{
	if (size + NP_LOOKUP_LARGE_STEP > t->chunk_size)
		return !c;
	return c && t->row[c].size >= size + NP_LOOKUP_LARGE_STEP &&
	       t->row[c - 1].size <= size;
}

static bool lookup_valid(const struct np_classes *t)
{
	for (size_t i = 1; i <= NP_LOOKUP_MAX / QUANTUM; i++) {
		size_t size = i * QUANTUM;
		unsigned c = t->lookup[i];

		if (size > t->chunk_size ? c != 0
		    : !c || c > t->n || t->row[c].size < size ||
		      t->row[c - 1].size >= size)
			return false;
	}
	for (size_t i = NP_LOOKUP_MAX / NP_LOOKUP_LARGE_STEP;
	     i < NP_LOOKUP_LARGE_MAX / NP_LOOKUP_LARGE_STEP; i++)
		if (!serves_step(t, t->lookup_large[i],
				 i * NP_LOOKUP_LARGE_STEP))
			return false;
	return t->lookup[0] == (t->zero ? t->zero : 1);
}

bool np_classes_valid(const struct np_classes *t)
{
	for (unsigned c = 1; c <= t->n; c++) {
		const struct np_class *r = &t->row[c];
		size_t run = (size_t)r->npages << t->page_shift;

		if (r->size % QUANTUM || r->size < t->row[c - 1].size ||
		    (size_t)r->nelems * r->size > run ||
		    (!r->nelems && r->size != run))
			return false;
		if (t->row[np_class_of(t, r->size)].size != r->size)
			return false;
		if (t->row[c - 1].size < r->size &&
		    np_class_of(t, t->row[c - 1].size + 1) != c)
			return false;
	}
	return t->row[t->n].size == t->chunk_size && lookup_valid(t);
}
