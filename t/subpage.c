/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * Subpages: against a model that is Netty's three rules written down once
 * more (one bool a slot, the last free remembered, else the lowest), single
 * takes against batches, the ring, which pages have a taken element on them,
 * and what np_subpage_valid notices.
 */
#include "child.h"
#include "rng.h"
#include "subpage.h"
#include "tap.h"

#include <signal.h>
#include <stdlib.h>

#define MOST_ELEMS 4096
#define NONE NP_NO_ELEMENT

static struct np_class row_of(uint32_t nelems)
{
	return (struct np_class){ .size = 16, .npages = 1, .nelems = nelems };
}

/* A subpage of nelems elements at the front of the ring. The memory is dirty,
 * as it is when a page serves its second class. */
static struct np_subpage *make(struct np_ring *head, uint32_t nelems)
{
	struct np_class row = row_of(nelems);
	struct np_subpage *sp = malloc(np_subpage_size(nelems));

	if (!sp)
		bail_out("no memory");
	memset(sp, 0xa5, np_subpage_size(nelems));
	np_subpage_init(sp, head, NULL, 7, 3, &row);
	return sp;
}

static uint32_t take_one(struct np_subpage *sp)
{
	uint32_t slot;

	return np_subpage_take(sp, 1, &slot) ? slot : NONE;
}

/* --- the model -------------------------------------------------------- */

struct model {
	bool taken[MOST_ELEMS];
	uint32_t max, avail, next;
};

static void model_init(struct model *m, uint32_t nelems)
{
	memset(m, 0, sizeof *m);
	m->max = m->avail = nelems;
}

static uint32_t model_take(struct model *m)
{
	uint32_t slot = m->next;

	if (!m->avail)
		return NONE;
	m->next = NONE;
	if (slot == NONE)
		for (slot = 0; m->taken[slot]; slot++)
			;
	m->taken[slot] = true;
	m->avail--;
	return slot;
}

static void model_put(struct model *m, uint32_t slot)
{
	m->taken[slot] = false;
	m->next = slot;
	m->avail++;
}

/* A slot that is taken, or NONE. */
static uint32_t model_any_taken(const struct model *m, struct rng *rng)
{
	uint32_t slot = (uint32_t)rng_below(rng, m->max);

	for (uint32_t i = 0; i < m->max; i++, slot = (slot + 1) % m->max)
		if (m->taken[slot])
			return slot;
	return NONE;
}

static bool agrees(const struct np_subpage *sp, const struct model *m)
{
	if (sp->avail != m->avail || sp->next_avail != m->next ||
	    sp->linked != (m->avail > 0) || !np_subpage_valid(sp))
		return false;
	for (uint32_t i = 0; i < m->max; i++)
		if (np_subpage_is_taken(sp, i) != m->taken[i])
			return false;
	return !np_subpage_is_taken(sp, m->max) &&
	       !np_subpage_is_taken(sp, NONE);
}

/* --- single, batch and model ------------------------------------------ */

/* Three that shall never differ: `one` is asked for one element at a time,
 * `all` for several at once. Each ring has a second subpage, so that what
 * becomes empty leaves. */
struct trio {
	struct np_ring one_ring, all_ring;
	struct np_subpage *one, *all, *others[2];
	struct model model;
};

static void trio_init(struct trio *t, uint32_t nelems)
{
	np_ring_init(&t->one_ring);
	np_ring_init(&t->all_ring);
	t->others[0] = make(&t->one_ring, 8);
	t->others[1] = make(&t->all_ring, 8);
	t->one = make(&t->one_ring, nelems);
	t->all = make(&t->all_ring, nelems);
	model_init(&t->model, nelems);
}

static void trio_free(struct trio *t)
{
	free(t->one);
	free(t->all);
	free(t->others[0]);
	free(t->others[1]);
}

static bool trio_take(struct trio *t, uint32_t n)
{
	static uint32_t slots[MOST_ELEMS + 8];
	uint32_t got = np_subpage_take(t->all, n, slots);

	if (got > n || (got < n && t->all->avail))
		return false;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t wanted = model_take(&t->model);

		if (take_one(t->one) != wanted ||
		    (i < got ? slots[i] : NONE) != wanted)
			return false;
	}
	return true;
}

static bool trio_put(struct trio *t, uint32_t slot)
{
	struct np_class row = row_of(t->model.max);
	enum np_put one = np_subpage_put(t->one, &t->one_ring, slot);
	enum np_put all = np_subpage_put(t->all, &t->all_ring, slot);

	model_put(&t->model, slot);
	if (one != all || (one == NP_PUT_EMPTY) !=
			  (t->model.avail == t->model.max))
		return false;
	if (one == NP_PUT_EMPTY) { /* both have left: begin anew */
		if (t->one->linked || t->all->linked)
			return false;
		np_subpage_init(t->one, &t->one_ring, NULL, 7, 3, &row);
		np_subpage_init(t->all, &t->all_ring, NULL, 7, 3, &row);
		model_init(&t->model, t->model.max);
	}
	return true;
}

/* Phases of filling and of emptying, so that both ends are met. */
static bool never_differ(uint32_t nelems, unsigned nops)
{
	struct rng rng = rng_seed(nelems);
	static struct trio t;
	bool good = true, filling = true;

	trio_init(&t, nelems);
	for (unsigned op = 0; good && op < nops; op++) {
		uint32_t slot = model_any_taken(&t.model, &rng);

		if (rng_chance(&rng, 2))
			filling = !filling;
		if (slot == NONE || rng_chance(&rng, filling ? 70 : 30))
			good = trio_take(&t, (uint32_t)rng_log(&rng,
							       nelems + 3));
		else
			for (uint64_t n = rng_log(&rng, nelems);
			     good && n && slot != NONE; n--) {
				good = trio_put(&t, slot);
				slot = model_any_taken(&t.model, &rng);
			}
		good = good && agrees(t.one, &t.model) &&
		       agrees(t.all, &t.model);
	}
	trio_free(&t);
	return good;
}

static void test_batches(void)
{
	static const uint32_t sizes[] = { 1, 2, 3, 8, 63, 64, 65, 127, 128,
					  129, 170, 512, MOST_ELEMS };

	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
		ok(never_differ(sizes[i], sizes[i] > 1000 ? 400 : 3000),
		   "%u elements: a batch gives the slots of single takes, in "
		   "their order, and both what the model gives", sizes[i]);
}

/* --- one subpage ------------------------------------------------------ */

static void test_fresh(void)
{
	struct np_ring ring;
	struct np_subpage *sp;
	uint32_t slot = 5;

	np_ring_init(&ring);
	ok(!np_ring_first(&ring), "an empty ring has no first");
	sp = make(&ring, 65);
	ok(np_ring_first(&ring) == sp && sp->linked, "a new subpage is the "
	   "first of its ring");
	ok(sp->first == 7 && sp->class == 3 && sp->elem_size == 16 &&
	   sp->max_elems == 65 && sp->avail == 65, "it is what it was made as");
	ok(np_subpage_valid(sp), "it is valid in memory that was dirty");
	is_uint(np_subpage_take(sp, 0, &slot), 0, "nothing asked, none taken");
	is_uint(slot, 5, "and nothing written");
	free(sp);
	is_size(np_subpage_size(64), sizeof(struct np_subpage) + 8,
		"64 elements have one word of bits");
	is_size(np_subpage_size(65), sizeof(struct np_subpage) + 16,
		"65 elements have two");
}

/* Quirk Q7: only the last free is remembered. */
static void test_last_freed(void)
{
	static const uint32_t wanted[] = { 3, 1, 4 };
	struct np_ring ring;
	struct np_subpage *sp;
	uint32_t slots[4];

	np_ring_init(&ring);
	sp = make(&ring, 512);
	np_subpage_take(sp, 4, slots);
	np_subpage_put(sp, &ring, 1);
	np_subpage_put(sp, &ring, 3);
	for (int i = 0; i < 3; i++)
		is_uint(take_one(sp), wanted[i], "of 0..3, 1 and 3 came back: "
			"take %d gives slot %u", i + 1, wanted[i]);
	free(sp);
}

/* Quirk Q1: there is always room for nothing. */
/* An element of one's choice. */
static void test_slot(void)
{
	struct np_ring head, other;
	struct np_subpage *sp;
	uint32_t slots[70];

	np_ring_init(&head);
	np_ring_init(&other);
	sp = make(&head, 70);
	ok(np_subpage_take_slot(sp, 69), "the last element can be taken");
	ok(!np_subpage_take_slot(sp, 69), "once");
	ok(!np_subpage_take_slot(sp, 70) && !np_subpage_take_slot(sp, NONE),
	   "those behind it cannot");
	ok(np_subpage_take_slot(sp, 0), "the one that comes next can");
	is_uint(take_one(sp), 1, "then the lowest comes next");
	np_subpage_move(sp, &other);
	ok(!np_ring_first(&head) && np_ring_first(&other) == sp && sp->linked,
	   "a subpage moves to another ring");
	is_uint(np_subpage_take(sp, 66, slots), 66, "all but one are taken");
	ok(np_subpage_take_slot(sp, 68) && !np_ring_first(&other) &&
	   !sp->linked, "with the last of them it leaves its ring");
	ok(np_subpage_valid(sp), "it is valid");
	free(sp);
}

static void test_zero(void)
{
	struct np_class row = { .size = 0, .npages = 1, .nelems = 1 };
	uint32_t slots[4] = { 9, 9, 9, 9 };
	struct np_ring ring;
	struct np_subpage *sp = malloc(np_subpage_size(1));

	if (!sp)
		bail_out("no memory");
	np_ring_init(&ring);
	np_subpage_init(sp, &ring, NULL, 0, 9, &row);
	is_uint(np_subpage_take(sp, 3, slots), 3, "zero bytes: three pieces");
	ok(!slots[0] && !slots[1] && !slots[2], "all of them are slot 0");
	is_uint(slots[3], 9, "and no more than three were written");
	is_uint(take_one(sp), 0, "and there is a fourth");
	for (int i = 0; i < 6; i++)
		np_subpage_put(sp, &ring, 0);
	ok(np_ring_first(&ring) == sp && sp->linked && np_subpage_valid(sp),
	   "however often one comes back, the subpage stays");
	ok(!np_subpage_page_is_free(sp, 0, 13),
	   "nobody knows of its page that it is free");
	free(sp);
}

/* --- pages ------------------------------------------------------------ */

/* Looks at each byte's element, in steps that meet every element. */
static bool is_free(const struct np_subpage *sp, uint32_t page,
		    unsigned shift)
{
	size_t from = (size_t)page << shift, size = (size_t)1 << shift;

	for (size_t at = from; at < from + size; at += 16)
		if (np_subpage_is_taken(sp, (uint32_t)(at / sp->elem_size)))
			return false;
	return true;
}

/* Of a run of 1 << order pages; sizes are multiples of 16, as of classes. */
static bool pages_are_right(unsigned shift, unsigned order, struct rng *rng)
{
	static uint32_t slots[MOST_ELEMS];
	uint32_t run = 1u << (shift + order);
	uint32_t size = 16 * (uint32_t)rng_log(rng, run / 16);
	uint32_t nelems = run / size < MOST_ELEMS ? run / size : MOST_ELEMS;
	struct np_class row = { .size = size, .npages = (uint16_t)(1u << order),
				.nelems = nelems };
	struct np_subpage *sp = malloc(np_subpage_size(nelems));
	struct np_ring ring;
	bool good = sp;

	np_ring_init(&ring);
	if (sp)
		np_subpage_init(sp, &ring, NULL, 0, 3, &row);
	for (int round = 0; good && round < 4; round++) {
		uint32_t n = np_subpage_take(sp, nelems, slots), keep;

		for (keep = (uint32_t)rng_below(rng, 4); n > keep; n--) {
			uint32_t i = (uint32_t)rng_below(rng, n);

			np_subpage_put(sp, &ring, slots[i]);
			slots[i] = slots[n - 1];
		}
		for (uint32_t page = 0; good && page < 1u << order; page++)
			good = np_subpage_page_is_free(sp, page, shift) ==
			       is_free(sp, page, shift);
		while (n)
			np_subpage_put(sp, &ring, slots[--n]);
	}
	if (!good)
		diag("%u elements of %u bytes in %u pages of %u", nelems,
		     size, 1u << order, 1u << shift);
	free(sp);
	return good;
}

static void test_pages(void)
{
	for (unsigned order = 0; order <= 5; order++) {
		struct rng rng = rng_seed(order);
		bool good = true;

		for (int i = 0; good && i < 200; i++)
			good = pages_are_right(12 + (unsigned)i % 3, order,
					       &rng);
		ok(good, "%u pages: one is free if no taken element lies on "
		   "it, to the last byte", 1u << order);
	}
}

/* --- the ring --------------------------------------------------------- */

static void test_ring(void)
{
	struct np_ring ring;
	struct np_subpage *a, *b;
	uint32_t slots[2];

	np_ring_init(&ring);
	a = make(&ring, 2);
	b = make(&ring, 2);
	ok(np_ring_first(&ring) == b && ring.prev == &a->ring,
	   "a new subpage goes before the older one");
	np_subpage_take(b, 2, slots);
	ok(np_ring_first(&ring) == a && !b->linked,
	   "a full subpage leaves the ring");
	is_uint(take_one(b), NONE, "and gives nothing more");
	is_int(np_subpage_put(b, &ring, 1), NP_PUT_KEPT,
	       "one element of it comes back: it lives on");
	ok(np_ring_first(&ring) == b && ring.prev == &a->ring,
	   "and is the first of the ring again");
	is_int(np_subpage_put(b, &ring, 0), NP_PUT_EMPTY,
	       "the last one comes back: its run can go");
	ok(np_ring_first(&ring) == a && ring.prev == &a->ring && !b->linked,
	   "and it has left the ring");
	np_subpage_take(a, 1, slots);
	is_int(np_subpage_put(a, &ring, slots[0]), NP_PUT_KEPT,
	       "the only subpage of a ring stays although empty");
	ok(np_ring_first(&ring) == a && a->avail == 2, "in the ring");
	free(b);
	b = make(&ring, 2);
	np_subpage_defer(b, &ring);
	ok(np_ring_first(&ring) == a && ring.prev == &b->ring &&
	   a->ring.next == &b->ring && b->ring.prev == &a->ring && b->linked,
	   "one that is deferred is the last");
	np_subpage_defer(b, &ring);
	ok(np_ring_first(&ring) == a && ring.prev == &b->ring,
	   "and stays so");
	np_subpage_unlink(b);
	np_subpage_unlink(a);
	ok(!np_ring_first(&ring), "unless it is taken out by hand");
	free(a);
	free(b);
}

/* The trace of 4096-byte elements in netty's reference, two to a page. */
static void test_golden(void)
{
	struct np_ring ring;
	struct np_subpage *p0, *p1;

	np_ring_init(&ring);
	p0 = make(&ring, 2);
	ok(take_one(p0) == 0 && take_one(p0) == 1, "a A, B: slots 0, 1");
	p1 = make(&ring, 2);
	is_uint(take_one(p1), 0, "a C: slot 0 of the next page");
	is_int(np_subpage_put(p0, &ring, 0), NP_PUT_KEPT, "f A: kept");
	is_int(np_subpage_put(p0, &ring, 1), NP_PUT_EMPTY,
	       "f B: the first page goes, the ring has another");
	ok(np_ring_first(&ring) == p1 && take_one(p1) == 1,
	   "a D: slot 1 of the other page");
	ok(!np_ring_first(&ring), "which is then full");
	np_subpage_init(p0, &ring, NULL, 0, 3, &(struct np_class){
			.size = 16, .npages = 1, .nelems = 2 });
	ok(take_one(p0) == 0 && take_one(p0) == 1, "a E, F: slots 0, 1");
	is_int(np_subpage_put(p1, &ring, 0), NP_PUT_KEPT, "f C: kept");
	is_int(np_subpage_put(p1, &ring, 1), NP_PUT_KEPT,
	       "f D: kept, it is the only one in the ring");
	is_int(np_subpage_put(p0, &ring, 0), NP_PUT_KEPT, "f E: kept");
	is_int(np_subpage_put(p0, &ring, 1), NP_PUT_EMPTY, "f F: goes");
	free(p0);
	free(p1);
}

/* --- damage ----------------------------------------------------------- */

static bool notices_bits(struct np_subpage *sp)
{
	for (uint32_t bit = 0; bit < 128; bit++) {
		sp->bitmap[bit / 64] ^= (uint64_t)1 << bit % 64;
		if (np_subpage_valid(sp)) {
			diag("flipped bit %u is not noticed", bit);
			return false;
		}
		sp->bitmap[bit / 64] ^= (uint64_t)1 << bit % 64;
	}
	return true;
}

static void test_damage(void)
{
	struct np_ring ring;
	struct np_subpage *sp;
	uint32_t slots[40];

	np_ring_init(&ring);
	sp = make(&ring, 100);
	np_subpage_take(sp, 40, slots);
	np_subpage_put(sp, &ring, 17);
	ok(np_subpage_valid(sp), "a used subpage is valid");
	ok(notices_bits(sp), "a flipped bit is not, wherever it is");
	sp->avail++;
	ok(!np_subpage_valid(sp), "one element too many is noticed");
	sp->avail--;
	sp->next_avail = 18;
	ok(!np_subpage_valid(sp), "a taken element as the next is noticed");
	sp->next_avail = 100;
	ok(!np_subpage_valid(sp), "one behind the last as the next is noticed");
	sp->next_avail = 17;
	sp->linked = false;
	ok(!np_subpage_valid(sp), "to be out of the ring is noticed");
	sp->linked = true;
	ok(np_subpage_valid(sp), "mended, it is valid again");
	free(sp);
}

#ifdef NP_DEBUG
static void put_free_slot(void *arg)
{
	struct np_ring ring;

	(void)arg;
	np_ring_init(&ring);
	np_subpage_put(make(&ring, 8), &ring, 2);
}
#endif

static void test_misuse(void)
{
#ifdef NP_DEBUG
	struct child c = child_run(put_free_slot, NULL);

	ok(child_killed(&c, SIGABRT) && strstr(c.text, "broken invariant"),
	   "a debug build dies of an element that comes back twice");
#else
	skip(1, "needs a debug build");
#endif
}

int main(void)
{
	plan(13 + 8 + 3 + 9 + 6 + 6 + 12 + 11 + 7 + 1);
	test_batches();
	test_fresh();
	test_last_freed();
	test_slot();
	test_zero();
	test_pages();
	test_ring();
	test_golden();
	test_damage();
	test_misuse();
	return done();
}
