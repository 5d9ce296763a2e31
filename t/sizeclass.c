/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * Size classes: both tables in every geometry that a pool can have, held
 * against models that look at all rows and know no shortcut.
 */
#include "rng.h"
#include "sizeclass.h"
#include "tap.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define EXHAUSTIVE_MAX ((size_t)65536)

static struct np_classes table;

static const char *name_of(enum np_class_table which)
{
	return which == NP_NETTY ? "netty" : "fine";
}

static size_t page_size(const struct np_classes *t)
{
	return (size_t)1 << t->page_shift;
}

/* Says where and for what a claim about all tables broke. */
static bool broken(const struct np_classes *t, const char *what, size_t at)
{
	diag("%s: page %zu, max order %u, at %zu", what, page_size(t),
	     t->max_order, at);
	return false;
}

/* Does check hold for the table in each geometry of up to 1 GiB? */
static bool in_all(enum np_class_table which,
		   bool (*check)(const struct np_classes *))
{
	for (unsigned shift = 12; shift <= 20; shift++)
		for (unsigned order = 0; order <= 14 && shift + order <= 30;
		     order++)
			if (np_classes_init(&table, which, shift, order) ||
			    !check(&table))
				return false;
	return true;
}

/* --- the words of base.h that sizes are made with --------------------- */

static void test_base(void)
{
	bool good = true;

	for (size_t x = 1; x < 5000; x++) {
		unsigned down = 0, up = 0;

		while (x >> (down + 1))
			down++;
		while ((size_t)1 << up < x)
			up++;
		good = good && np_log2(x) == down && np_log2_up(x) == up &&
		       np_is_pow2(x) == (up == down) &&
		       np_round_up(x, 64) == (x + 63) / 64 * 64;
	}
	ok(good, "logarithms, powers of two and rounding agree with counting");
	is_uint(np_log2(SIZE_MAX), 63, "the logarithm of all bits is 63");
	is_uint(np_log2_up(SIZE_MAX), 64, "and rounded up 64");
	ok(!np_is_pow2(0), "0 is no power of two");
}

/* --- geometries ------------------------------------------------------- */

static void test_geometries(void)
{
	bool inside = true, outside = true;

	for (unsigned shift = 0; shift <= 40; shift++)
		for (unsigned order = 0; order <= 40; order++) {
			bool fits = shift >= 12 && shift <= 20 &&
				    order <= 14 && shift + order <= 30;
			int a = np_classes_init(&table, NP_NETTY, shift,
						order);
			int b = np_classes_init(&table, NP_FINE, shift,
						order);

			if (fits)
				inside = inside && a == 0 && b == 0 &&
					 table.chunk_size ==
						 (size_t)1 << (shift + order);
			else
				outside = outside && a == EINVAL &&
					  b == EINVAL;
		}
	ok(inside, "pages of 4 KiB to 1 MiB and orders 0 to 14 are accepted");
	ok(outside, "other pages, orders and chunks over 1 GiB are EINVAL");
}

/* --- lookup ----------------------------------------------------------- */

/* The size of the smallest row that holds size bytes; 0: huge. */
static size_t naive_size(const struct np_classes *t, size_t size)
{
	size_t best = 0;

	for (unsigned c = 1; c <= t->n; c++)
		if (t->row[c].size >= size &&
		    (!best || t->row[c].size < best))
			best = t->row[c].size;
	return best;
}

static bool finds(const struct np_classes *t, size_t size, size_t wanted)
{
	unsigned c = np_class_of(t, size);

	if (c > t->n || (c ? t->row[c].size : 0) != wanted)
		return broken(t, "class of", size);
	return true;
}

static bool lookup_is_smallest(const struct np_classes *t)
{
	size_t wanted = naive_size(t, 1);

	for (size_t size = 1; size <= EXHAUSTIVE_MAX; size++) {
		if (size > wanted && wanted)
			wanted = naive_size(t, size);
		if (!finds(t, size, wanted))
			return false;
	}
	for (unsigned c = 1; c <= t->n; c++)
		for (size_t d = 0; d < 3; d++) {
			size_t size = t->row[c].size + d - 1;

			if (!finds(t, size, naive_size(t, size)))
				return false;
		}
	return true;
}

static bool beyond_is_huge(const struct np_classes *t)
{
	static const size_t far[] = { 1, 15, 16, 4096, (size_t)1 << 31,
				      PTRDIFF_MAX };

	for (size_t i = 0; i < sizeof far / sizeof *far; i++)
		if (np_class_of(t, t->chunk_size + far[i]) != 0)
			return broken(t, "not huge", t->chunk_size + far[i]);
	return np_class_of(t, SIZE_MAX) == 0 &&
	       t->row[np_class_of(t, t->chunk_size)].size == t->chunk_size;
}

static void test_lookup(enum np_class_table which)
{
	ok(in_all(which, lookup_is_smallest), "%s: a request gets the "
	   "smallest class that holds it (all to 64 KiB, edges above)",
	   name_of(which));
	ok(in_all(which, beyond_is_huge), "%s: a chunk is the last class, "
	   "what is larger is huge", name_of(which));
}

/* --- rows ------------------------------------------------------------- */

static bool rows_make_sense(const struct np_classes *t)
{
	uint32_t most = 1;

	for (unsigned c = 1; c <= t->n; c++) {
		const struct np_class *r = &t->row[c];
		size_t run = r->npages * page_size(t);

		if (r->size % 16 || r->size < t->row[c - 1].size)
			return broken(t, "size of row", c);
		if (r->npages < 1 || r->npages > 1u << t->max_order)
			return broken(t, "pages of row", c);
		if (r->nelems ? r->nelems != run / r->size : r->size != run)
			return broken(t, "elements of row", c);
		if (r->nelems && r->npages > NP_RUN_PAGES_MAX)
			return broken(t, "long subpage of row", c);
		if (r->npages > 1 && r->nelems > NP_FINE_ELEMS_MAX)
			return broken(t, "many elements of row", c);
		if (r->nelems > most)
			most = r->nelems;
	}
	if (most != t->max_elems)
		return broken(t, "max_elems", most);
	return t->n < NP_MAX_CLASSES - 1;
}

/* Elements lie side by side from the run's first byte, runs at multiples of
 * the node that covers them. */
static bool alignment_is_true(const struct np_classes *t)
{
	for (unsigned c = 1; c <= t->n; c++) {
		const struct np_class *r = &t->row[c];
		size_t align = (size_t)1 << r->align_shift;
		size_t cover = page_size(t) << np_log2_up(r->npages);

		if (cover % align)
			return broken(t, "alignment of run", c);
		for (size_t k = 0; k < r->nelems; k++)
			if (k * r->size % align)
				return broken(t, "alignment of element", c);
		if (align < 16)
			return broken(t, "below 16", c);
	}
	return true;
}

static void test_rows(enum np_class_table which)
{
	ok(in_all(which, np_classes_valid), "%s: valid in all geometries",
	   name_of(which));
	ok(in_all(which, rows_make_sense), "%s: rows ascend, and each cuts "
	   "its run into as many pieces as fit", name_of(which));
	ok(in_all(which, alignment_is_true), "%s: every piece lies at a "
	   "multiple of what align_shift says", name_of(which));
}

/* --- fine ------------------------------------------------------------- */

/* At most an eighth, or, in chunks of few pages, what whole pages ask for. */
static bool rounding_is_fine(const struct np_classes *t)
{
	size_t size = 0;

	for (unsigned c = 1; c <= t->n; c++) {
		const struct np_class *r = &t->row[c];
		size_t least = size + 1; /* the smallest request that gets c */
		size_t most = least + least / 8;

		size = r->size;
		if (r->size == t->row[c - 1].size)
			continue;
		if (least <= 128)
			most = least + 15;
		else if (t->max_order < 4 && !r->nelems)
			most = np_round_up(most, page_size(t));
		if (r->size > most)
			return broken(t, "rounding up of", least);
	}
	return true;
}

/* Of the lengths that a run may have none leaves a smaller share over. */
static bool is_best_length(const struct np_classes *t,
			   const struct np_class *r)
{
	size_t run = r->npages * page_size(t), tail = run % r->size;

	for (size_t k = 1; k <= NP_RUN_PAGES_MAX && k <= 1u << t->max_order;
	     k++) {
		size_t other = k * page_size(t);

		if (other < r->size ||
		    (k > 1 && other / r->size > NP_FINE_ELEMS_MAX))
			continue;
		if (other % r->size * run < tail * other)
			return false;
	}
	return true;
}

static bool tails_are_small(const struct np_classes *t)
{
	for (unsigned c = 1; c <= t->n; c++) {
		const struct np_class *r = &t->row[c];
		size_t run = r->npages * page_size(t);

		if (r->nelems && run % r->size * 64 > run &&
		    !is_best_length(t, r))
			return broken(t, "tail of row", c);
	}
	return true;
}

static void test_fine(void)
{
	size_t worst = 0;

	ok(in_all(NP_FINE, rounding_is_fine), "fine: above 128 bytes rounding "
	   "costs at most an eighth");
	ok(in_all(NP_FINE, tails_are_small), "fine: a subpage's tail is at "
	   "most 1/64 of its run, or no run would leave less");
	np_classes_init(&table, NP_FINE, 13, 11);
	for (unsigned c = 1; c <= table.n; c++) {
		const struct np_class *r = &table.row[c];
		size_t run = r->npages * page_size(&table);

		if (r->nelems && run % r->size * 1024 / run > worst)
			worst = run % r->size * 1024 / run;
	}
	ok(worst <= 16, "fine: in the default geometry no tail is over 1/64");
	is_uint(np_class_of(&table, 0), 1, "fine: no bytes are served as one");
	is_uint(table.zero, 0, "fine: has no class of zero bytes");
}

/* --- netty ------------------------------------------------------------ */

/* Netty's normalisation without alignment, for requests up to a chunk. */
static size_t normal_size(size_t request)
{
	size_t size = 512;

	if (request < 512)
		return (request + 15) / 16 * 16;
	while (size < request)
		size *= 2;
	return size;
}

static enum np_kind kind_of(const struct np_classes *t, size_t size)
{
	if (size < 512)
		return NP_TINY;
	return size < page_size(t) ? NP_SMALL : NP_NORMAL;
}

static bool is_netty_row(const struct np_classes *t, size_t request)
{
	const struct np_class *r = &t->row[np_class_of(t, request)];
	size_t size = normal_size(request), page = page_size(t);

	if (r->size != size || r->kind != kind_of(t, size))
		return broken(t, "normal size or kind of", request);
	if (size < page ? r->npages != 1 || r->nelems != page / size
			: r->npages != size / page || r->nelems)
		return broken(t, "pages or elements of", request);
	return true;
}

static bool rows_are_netty(const struct np_classes *t)
{
	for (size_t request = 1; request <= EXHAUSTIVE_MAX; request++)
		if (request <= t->chunk_size && !is_netty_row(t, request))
			return false;
	for (size_t size = 512; size <= t->chunk_size; size *= 2)
		if (!is_netty_row(t, size - 1) || !is_netty_row(t, size) ||
		    (size < t->chunk_size && !is_netty_row(t, size + 1)))
			return false;
	return true;
}

static bool zero_is_a_page(const struct np_classes *t)
{
	const struct np_class *r = &t->row[t->zero];

	return t->zero == t->n + 1 && np_class_of(t, 0) == t->zero &&
	       r->size == 0 && r->npages == 1 && r->nelems == 1 &&
	       r->kind == NP_TINY;
}

/* Counts as Netty's metrics: 31 tiny and (page shift - 9) small sizes. */
static bool counts_are_netty(const struct np_classes *t)
{
	unsigned count[NP_KINDS] = { 0 };

	for (unsigned c = 1; c <= t->n; c++)
		count[t->row[c].kind]++;
	return count[NP_TINY] == 31 && count[NP_SMALL] == t->page_shift - 9u &&
	       count[NP_NORMAL] == t->max_order + 1u && !count[NP_HUGE];
}

static void test_netty(void)
{
	static const struct {
		size_t request, normal;
	} known[] = { { 0, 0 }, { 15, 16 }, { 510, 512 }, { 1023, 1024 },
		      { 1024, 1024 }, { 1025, 2048 }, { 636, 1024 },
		      { 16639, 32768 }, { 8447, 16384 },
		      { (8 << 20) + 1, 16 << 20 } };

	ok(in_all(NP_NETTY, rows_are_netty), "netty: sizes, kinds, pages and "
	   "elements are those of its normalisation");
	ok(in_all(NP_NETTY, zero_is_a_page), "netty: no bytes are a class of "
	   "their own, a page with one element");
	ok(in_all(NP_NETTY, counts_are_netty), "netty: 31 tiny sizes, page "
	   "shift - 9 small ones, max order + 1 normal ones");
	np_classes_init(&table, NP_NETTY, 13, 11);
	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		is_size(table.row[np_class_of(&table, known[i].request)].size,
			known[i].normal, "netty: %zu becomes %zu",
			known[i].request, known[i].normal);
	is_uint(table.row[np_class_of(&table, 48)].nelems, 170,
		"netty: a page holds 170 elements of 48 bytes");
}

/* --- aligned requests ------------------------------------------------- */

/* The first that fits, unless whole pages would be less. */
static unsigned naive_aligned(const struct np_classes *t, size_t size,
			      unsigned shift)
{
	size_t page = (size_t)1 << t->page_shift;
	size_t pages = size ? (size + page - 1) / page * page : page;

	for (unsigned c = 1; c <= t->n; c++)
		if (t->row[c].size >= size && t->row[c].align_shift >= shift)
			return t->row[c].size <= pages ? c : 0;
	return 0;
}

static bool aligned_is_smallest(const struct np_classes *t)
{
	struct rng rng = rng_seed(t->chunk_size + t->page_shift);

	for (unsigned shift = 0; shift < 63; shift++)
		for (int i = 0; i < 150; i++) {
			size_t size = i ? rng_log(&rng, 2 * t->chunk_size) : 0;
			size_t align = (size_t)1 << shift;
			unsigned c = np_class_aligned(t, size, align);
			unsigned d = naive_aligned(t, size, shift);

			if (c > t->n || t->row[c].size != t->row[d].size ||
			    (c && t->row[c].align_shift < shift))
				return broken(t, "aligned class of", size);
		}
	return true;
}

/* --- damage ----------------------------------------------------------- */

static bool notices_rows(struct np_classes *t)
{
	for (unsigned c = 1; c <= t->n; c++) {
		struct np_class *r = &t->row[c], whole = *r;

		r->size += 8;
		if (np_classes_valid(t))
			return broken(t, "odd size unnoticed in row", c);
		*r = whole;
		r->size = t->row[c - 1].size - 16;
		if (np_classes_valid(t))
			return broken(t, "descent unnoticed at row", c);
		*r = whole;
		r->nelems += whole.nelems ? 1 : 2;
		if (np_classes_valid(t))
			return broken(t, "overlap unnoticed in row", c);
		*r = whole;
	}
	return true;
}

static bool notices_lookup(struct np_classes *t)
{
	for (size_t i = 1; i <= NP_LOOKUP_MAX / 16; i++) {
		t->lookup[i]++;
		if (np_classes_valid(t))
			return broken(t, "wrong lookup unnoticed for", 16 * i);
		t->lookup[i] = (uint8_t)(t->lookup[i] - 2);
		if (np_classes_valid(t))
			return broken(t, "wrong lookup unnoticed for", 16 * i);
		t->lookup[i]++;
	}
	return true;
}

static void test_damage(enum np_class_table which)
{
	np_classes_init(&table, which, 13, 11);
	ok(notices_rows(&table), "%s: np_classes_valid notices a damaged row",
	   name_of(which));
	ok(notices_lookup(&table), "%s: np_classes_valid notices a wrong "
	   "entry of the lookup table", name_of(which));
	ok(np_classes_valid(&table), "%s: mended, the table is valid again",
	   name_of(which));
}

int main(void)
{
	plan(4 + 2 + 2 * (2 + 3 + 1 + 3) + 5 + 14);
	test_base();
	test_geometries();
	for (int which = NP_NETTY; which <= NP_FINE; which++) {
		test_lookup((enum np_class_table)which);
		test_rows((enum np_class_table)which);
		ok(in_all((enum np_class_table)which, aligned_is_smallest),
		   "%s: an aligned request gets the smallest class that is "
		   "large and aligned enough",
		   name_of((enum np_class_table)which));
		test_damage((enum np_class_table)which);
	}
	test_fine();
	test_netty();
	return done();
}
