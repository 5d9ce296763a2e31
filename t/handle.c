/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * npool_chunk.h, one chunk: random runs and elements against a shadow that
 * knows, for each 16 bytes, whose they are; the same chunk built up again from
 * what was live; every number that names nothing, and every shape and size
 * that cannot be. Nothing lies behind the offsets.
 */
#include "handle.h"
#include "rng.h"
#include "tap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define GRAIN 16
#define OPS 6000
#define NONE UINT32_MAX

struct piece {
	npool_handle_t handle;
	size_t offset, length;
};

struct shadow {
	struct npool_shape shape;
	npool_chunk_t *chunk;
	size_t size;
	uint32_t *owner;     /* by grain: index of a piece, or NONE */
	struct piece *live;  /* in no order */
	uint32_t nlive;
	struct rng rng;
	const char *wrong;   /* what did not hold first; NULL: nothing */
};

static void *zeroed(size_t n, size_t size)
{
	void *p = calloc(n, size);

	if (!p)
		bail_out("no memory");
	return p;
}

static npool_chunk_t *make(const struct npool_shape *shape)
{
	npool_chunk_t *c = NULL;

	if (npool_chunk_create(&c, shape, NULL, 0))
		bail_out("no chunk");
	return c;
}

static void expect(struct shadow *s, bool held, const char *what)
{
	if (!held && !s->wrong)
		s->wrong = what;
}

static void shadow_init(struct shadow *s, const struct npool_shape *shape)
{
	*s = (struct shadow){ .shape = *shape, .rng = rng_seed(7) };
	s->chunk = make(shape);
	s->size = npool_chunk_size(s->chunk);
	s->owner = zeroed(s->size / GRAIN, sizeof *s->owner);
	s->live = zeroed(s->size / GRAIN, sizeof *s->live);
	memset(s->owner, 0xff, s->size / GRAIN * sizeof *s->owner);
}

static void shadow_free(struct shadow *s)
{
	npool_chunk_destroy(s->chunk);
	free(s->owner);
	free(s->live);
}

/* --- what is taken, and given back ------------------------------------ */

static void enter(struct shadow *s, npool_handle_t handle)
{
	struct piece *p = &s->live[s->nlive];
	ptrdiff_t offset = npool_chunk_offset(s->chunk, handle);

	p->handle = handle;
	p->length = npool_chunk_length(s->chunk, handle);
	p->offset = (size_t)offset;
	expect(s, offset >= 0 && p->length && p->length % GRAIN == 0 &&
	       p->offset % GRAIN == 0 && p->offset + p->length <= s->size,
	       "a piece lies in the chunk, at a multiple of 16");
	if (s->wrong)
		return;
	for (size_t i = 0; i < p->length; i += GRAIN) {
		uint32_t *owner = &s->owner[(p->offset + i) / GRAIN];

		expect(s, *owner == NONE, "no byte is handed out twice");
		*owner = s->nlive;
	}
	s->nlive++;
}

static void leave(struct shadow *s, uint32_t i)
{
	const struct piece *last = &s->live[--s->nlive], gone = s->live[i];

	for (size_t k = 0; k < last->length; k += GRAIN)
		s->owner[(last->offset + k) / GRAIN] = i;
	s->live[i] = *last;
	for (size_t k = 0; k < gone.length; k += GRAIN)
		s->owner[(gone.offset + k) / GRAIN] = NONE;
}

static void take(struct shadow *s)
{
	size_t size = rng_log(&s->rng, s->size), page = s->shape.page_size;
	struct npool_class row = { 0, 0, 0 };
	unsigned class = npool_subpage_class_of(s->chunk, size);
	npool_handle_t h;

	expect(s, !npool_subpage_class(s->chunk, class, &row) &&
	       row.size >= size, "a class holds what it serves");
	errno = 0;
	switch (rng_below(&s->rng, 4)) {
	case 0:
		h = npool_page_alloc_bytes(s->chunk, size);
		expect(s, !h || npool_chunk_length(s->chunk, h) >= size,
		       "a run holds its bytes");
		if (s->shape.classes == NPOOL_FINE)
			expect(s, !h || npool_chunk_length(s->chunk, h) ==
			       (size + page - 1) / page * page,
			       "a fine run has just the pages asked for");
		break;
	case 1:
		h = npool_subpage_alloc(s->chunk, class);
		expect(s, row.nelems || (!h && errno == EINVAL),
		       "no elements of a run's class");
		errno = h ? 0 : ENOSPC;
		break;
	default:
		h = npool_chunk_alloc(s->chunk, size);
		expect(s, !h || npool_chunk_length(s->chunk, h) == row.size,
		       "a piece is as long as its class says");
	}
	expect(s, h || errno == ENOSPC, "no handle: no space");
	if (h)
		enter(s, h);
}

static void give(struct shadow *s)
{
	uint32_t i = (uint32_t)rng_below(&s->rng, s->nlive);
	struct piece p = s->live[i];

	expect(s, !npool_chunk_free(s->chunk, p.handle), "a live handle");
	expect(s, npool_chunk_free(s->chunk, p.handle) == EINVAL,
	       "a handle that was freed names nothing");
	expect(s, npool_chunk_offset(s->chunk, p.handle) == -1 &&
	       !npool_chunk_length(s->chunk, p.handle),
	       "a freed handle has no place and no length");
	if (rng_chance(&s->rng, 20)) {
		expect(s, !npool_chunk_claim(s->chunk, p.handle, p.length),
		       "what was just freed can be claimed");
		expect(s, npool_chunk_claim(s->chunk, p.handle, p.length) ==
		       EEXIST, "but not twice");
		return;
	}
	leave(s, i);
}

/* --- what is looked at ------------------------------------------------ */

static void look_at_offset(struct shadow *s)
{
	size_t offset = rng_below(&s->rng, s->size);
	uint32_t i = s->owner[offset / GRAIN];
	npool_handle_t h;

	errno = 0;
	h = npool_chunk_handle(s->chunk, offset);
	expect(s, h == (i == NONE ? 0 : s->live[i].handle),
	       "a byte is its piece's");
	expect(s, h || errno == ENOENT, "or nobody's");
}

/* A number that is no live handle changes nothing. */
static void try_nonsense(struct shadow *s)
{
	npool_handle_t h = s->live[rng_below(&s->rng, s->nlive + 1)].handle;
	size_t before = npool_chunk_free_bytes(s->chunk);
	ptrdiff_t offset;

	h ^= (npool_handle_t)1 << rng_below(&s->rng, 64);
	if (rng_chance(&s->rng, 30))
		h = rng_next(&s->rng) >> rng_below(&s->rng, 64);
	offset = npool_chunk_offset(s->chunk, h);
	if (offset >= 0) {
		uint32_t i = s->owner[(size_t)offset / GRAIN];

		expect(s, i != NONE && s->live[i].handle == h,
		       "a handle that names something is live");
		return;
	}
	expect(s, npool_chunk_free(s->chunk, h) == EINVAL &&
	       npool_chunk_free_bytes(s->chunk) == before,
	       "what names nothing frees nothing");
}

struct sum {
	const struct shadow *s;
	size_t free_bytes, used, next;
	bool right;
};

/* As a walk sees it: the shadow agrees with each page. */
static int add_up(const struct npool_page *page, void *arg)
{
	struct sum *sum = arg;
	size_t size = sum->s->shape.page_size;
	uint64_t words[80];
	struct npool_page same;
	uint32_t owner = sum->s->owner[page->first * size / GRAIN];
	size_t used = 0;

	sum->right &= page->first == sum->next;
	sum->next += page->npages;
	sum->right &= !npool_page_look(sum->s->chunk, page->first, &same) &&
		      same.state == page->state && same.node == page->node &&
		      same.first == page->first && same.used == page->used &&
		      same.npages == page->npages && same.size == page->size;
	switch (page->state) {
	case NPOOL_PAGE_FREE:
		sum->free_bytes += page->npages * size;
		sum->right &= owner == NONE && !page->node;
		return 0;
	case NPOOL_PAGE_RUN:
		sum->right &= owner != NONE &&
			sum->s->live[owner].handle == page->node &&
			sum->s->live[owner].length == page->size;
		sum->used++;
		return 0;
	}
	sum->right &= npool_subpage_bitmap(sum->s->chunk, sum->next - 1, words,
					   80) == page->nelems;
	for (size_t i = 0; i < page->nelems; i++) {
		size_t grain = (page->first * size + i * page->size) / GRAIN;
		bool taken = sum->s->owner[grain] != NONE;

		used += taken;
		sum->right &= taken == (words[i / 64] >> i % 64 & 1);
	}
	sum->right &= used == page->used && !words[79];
	sum->used += used;
	return 0;
}

static void look_at_pages(struct shadow *s)
{
	struct sum sum = { .s = s, .right = true };

	expect(s, !npool_page_walk(s->chunk, add_up, &sum), "a whole walk");
	expect(s, sum.right, "page by page, a walk sees what the shadow has");
	expect(s, sum.next * s->shape.page_size == s->size,
	       "a walk sees every page once");
	expect(s, sum.used == s->nlive, "a walk sees every piece");
	expect(s, sum.free_bytes == npool_chunk_free_bytes(s->chunk),
	       "free pages are the free bytes");
	expect(s, npool_chunk_valid(s->chunk), "the chunk is valid");
}

/* The value of each node from those of its children, or of its pages. */
static void look_at_tree(struct shadow *s)
{
	uint32_t npages = (uint32_t)1 << s->shape.max_order;
	int none = (int)s->shape.max_order + 1;
	struct npool_page page;

	for (uint32_t i = 1; i < 2 * npages; i++) {
		int value = npool_chunk_node(s->chunk, i);
		int depth = (int)np_log2(i);

		expect(s, value >= depth && value <= none, "a value in range");
		if (i < npages || value == depth)
			continue;
		expect(s, !npool_page_look(s->chunk, i - npages, &page) &&
		       page.state != NPOOL_PAGE_FREE && value == none,
		       "a leaf that is not free has a page that is taken");
	}
}

/* --- the whole -------------------------------------------------------- */

static void run_ops(struct shadow *s, unsigned nops)
{
	for (unsigned i = 0; i < nops && !s->wrong; i++) {
		unsigned want = i / 500 % 2 ? 40 : 60;

		if (!s->nlive || rng_chance(&s->rng, want))
			take(s);
		else
			give(s);
		look_at_offset(s);
		try_nonsense(s);
		if (i % 97 == 0)
			npool_chunk_trim(s->chunk);
		if (i % 50 == 0) {
			look_at_pages(s);
			look_at_tree(s);
		}
	}
}

/* A second chunk in which the live handles are claimed, in any order. */
static void rebuild(struct shadow *s)
{
	npool_chunk_t *copy = make(&s->shape), *old = s->chunk;

	npool_chunk_trim(s->chunk); /* no piece names an empty subpage */
	for (uint32_t i = s->nlive; i-- > 0; )
		expect(s, !npool_chunk_claim(copy, s->live[i].handle,
					     s->live[i].length),
		       "a live handle can be claimed in a fresh chunk");
	s->chunk = copy;
	expect(s, npool_chunk_free_bytes(copy) == npool_chunk_free_bytes(old),
	       "built up again it has as many free bytes");
	look_at_pages(s);
	for (size_t i = 0; i < s->size; i += GRAIN)
		expect(s, npool_chunk_handle(copy, i) ==
		       npool_chunk_handle(old, i), "the same handles");
	for (uint32_t i = 1; i < 2u << s->shape.max_order; i++)
		expect(s, npool_chunk_node(copy, i) ==
		       npool_chunk_node(old, i) ||
		       npool_chunk_node(copy, i / 2) > (int)np_log2(i / 2),
		       "the same values");
	npool_chunk_destroy(old);
	run_ops(s, OPS / 10);
}

static void end(struct shadow *s)
{
	while (s->nlive)
		expect(s, !npool_chunk_free(s->chunk,
					    s->live[--s->nlive].handle),
		       "every piece can be freed at the end");
	npool_chunk_trim(s->chunk);
	expect(s, npool_chunk_free_bytes(s->chunk) == s->size,
	       "then all of the chunk is free");
	for (uint32_t i = 1; i < 2u << s->shape.max_order; i++)
		expect(s, npool_chunk_node(s->chunk, i) == (int)np_log2(i),
		       "then each node says its depth");
}

static void test_shadow(size_t page_size, unsigned order, unsigned classes)
{
	struct npool_shape shape = { page_size, order, classes };
	struct shadow s;

	shadow_init(&s, &shape);
	run_ops(&s, OPS);
	if (!s.wrong)
		rebuild(&s);
	if (!s.wrong)
		end(&s);
	is_str(s.wrong, NULL, "pages of %zu, order %u, %s: as the shadow says",
	       page_size, order, classes == NPOOL_FINE ? "fine" : "netty");
	shadow_free(&s);
}

/* --- shapes and metadata ---------------------------------------------- */

static const struct npool_shape usual = { 8192, 11, NPOOL_NETTY };
static const struct npool_shape small = { 4096, 3, NPOOL_NETTY };

static void test_shapes(void)
{
	static const struct npool_shape bad[] = {
		{ 0, 3, NPOOL_NETTY }, { 4095, 3, NPOOL_NETTY },
		{ 2048, 3, NPOOL_FINE }, { 6144, 3, NPOOL_FINE },
		{ (size_t)2 << 20, 1, NPOOL_FINE },
		{ 4096, 15, NPOOL_FINE }, { 4096, UINT32_MAX, NPOOL_FINE },
		{ (size_t)1 << 20, 11, NPOOL_FINE },
		{ 4096, 3, 2 }, { 4096, 3, UINT32_MAX },
		{ (size_t)1 << 63, 3, NPOOL_NETTY },
	};
	npool_chunk_t *c = NULL;
	npool_chunklist_t *set = NULL;
	bool refused = true, unset = true;

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		refused &= !npool_chunk_meta_size(&bad[i]);
		refused &= npool_chunk_create(&c, &bad[i], NULL, 0) == EINVAL;
		refused &= npool_chunklist_create(&set, &bad[i], NULL, NULL,
						  0) == EINVAL;
		unset &= !c && !set;
	}
	ok(refused, "shapes that cannot be are refused");
	ok(unset, "and nothing is made then");
}

static void test_meta_bounds(void)
{
	size_t worst = 0, least = SIZE_MAX;

	for (unsigned classes = NPOOL_NETTY; classes <= NPOOL_FINE; classes++)
		for (unsigned shift = 12; shift <= 20; shift++)
			for (unsigned order = 0; order < 15; order++) {
				struct npool_shape shape = {
					(size_t)1 << shift, order, classes,
				};
				size_t need = npool_chunk_meta_size(&shape);
				size_t room = NPOOL_CHUNK_META(shape.page_size,
							       order);

				if (!need)
					continue;
				if (need > room && need - room > worst)
					worst = need - room;
				if (room - need < least)
					least = room - need;
			}
	is_size(worst, 0, "NPOOL_CHUNK_META is enough for each shape");
	ok(least >= 1024, "and has 1 KiB or more to spare");
	ok(NPOOL_CHUNK_META(8192, 11) < (size_t)16 * NP_MIB / 50,
	   "the usual chunk's metadata is below 2 %% of it");
}

static char fixed[NPOOL_CHUNK_META(8192, 11)];

static void test_meta(void)
{
	size_t need = npool_chunk_meta_size(&small);
	npool_chunk_t *c = NULL;
	bool all = true;

	memset(fixed, 0xa5, sizeof fixed);
	is_int(npool_chunk_create(&c, &usual, fixed, sizeof fixed), 0,
	       "a chunk can lie in static memory, whatever it holds");
	ok((char *)c >= fixed && (char *)c < fixed + sizeof fixed &&
	   npool_chunk_valid(c), "it does, and is valid");
	npool_chunk_destroy(c);
	for (size_t shift = 0; shift < 16; shift++) {
		char *p = malloc(need + shift);

		all &= p && !npool_chunk_create(&c, &small, p + shift, need);
		if (!all)
			break;
		while (npool_chunk_alloc(c, 16))
			;
		all &= !npool_chunk_free_bytes(c) && npool_chunk_valid(c);
		npool_chunk_destroy(c);
		free(p);
	}
	ok(all, "metadata of the size that is told may lie at any address");
	c = NULL;
	is_int(npool_chunk_create(&c, &small, fixed, need - 16), ENOMEM,
	       "too little metadata is refused");
	is_int(npool_chunk_create(&c, &small, fixed + 1, 3), ENOMEM,
	       "less than its alignment too");
	ok(!c, "and nothing is made then");
	npool_chunk_destroy(NULL);
}

/* --- numbers that name nothing ---------------------------------------- */

#define ELEMENT ((npool_handle_t)1 << 62)

static void names_nothing(npool_chunk_t *c, npool_handle_t h, const char *what)
{
	errno = 0;
	ok(npool_chunk_free(c, h) == EINVAL && npool_chunk_offset(c, h) == -1 &&
	   errno == EINVAL && !npool_chunk_length(c, h),
	   "it names nothing: %s", what);
}

static void test_handles(void)
{
	npool_chunk_t *c = make(&usual);
	npool_handle_t small_one = npool_chunk_alloc(c, 256);
	npool_handle_t page = npool_chunk_alloc(c, 8192);
	npool_handle_t two = npool_chunk_alloc(c, 16384);

	is_hex(small_one, 0x4000000000000800, "256 bytes: slot 0 of page 0");
	is_hex(page, 0x801, "8 KiB: page 1");
	is_hex(two, 0x401, "16 KiB: the second pair");
	is_hex(npool_chunk_alloc(c, 256), 0x4000000100000800, "slot 1");
	is_int(npool_chunk_offset(c, two), 16384, "where the pair lies");
	is_int(npool_chunk_offset(c, 0x4000000100000800), 256, "slot 1 too");
	names_nothing(c, 0, "no handle");
	names_nothing(c, 1, "the root, while only parts are taken");
	names_nothing(c, 0x1000, "a node beyond the tree");
	names_nothing(c, UINT32_MAX, "the largest node");
	names_nothing(c, 0x800, "a subpage as a run");
	names_nothing(c, ELEMENT | page, "a run as an element");
	names_nothing(c, page | (npool_handle_t)1 << 32, "a run with a slot");
	names_nothing(c, page | (npool_handle_t)1 << 63, "bit 63");
	names_nothing(c, 0x802, "the first page of a pair");
	names_nothing(c, 0x803, "the second page of a pair");
	names_nothing(c, 0x200, "the parent of what is taken");
	names_nothing(c, ELEMENT | 0x400, "the parent of a subpage");
	names_nothing(c, ELEMENT | 0x4000000800, "a free slot");
	names_nothing(c, ELEMENT | (npool_handle_t)32 << 32 | 0x800,
		      "the first slot that is not there");
	names_nothing(c, ELEMENT | (npool_handle_t)0x3fffffff << 32 | 0x800,
		      "the last slot of all");
	names_nothing(c, 0x804, "a free page");
	ok(npool_chunk_valid(c), "nothing came of it");
	npool_chunk_destroy(c);
}

static npool_handle_t failed; /* what a call returned */

static void fails(npool_handle_t h, int error, const char *what)
{
	int seen = errno;

	failed = h;
	if (!is_hex(h, 0, "no handle: %s", what) || seen != error)
		is_int(seen, error, "errno");
}

static void test_sizes(void)
{
	npool_chunk_t *c = make(&small);
	size_t size = npool_chunk_size(c);
	struct npool_class row;
	uint64_t word;
	struct npool_page page;

	is_size(size, 32768, "8 pages of 4 KiB");
	fails(npool_chunk_alloc(c, 0), EINVAL, "no bytes");
	fails(npool_chunk_alloc(c, size + 1), EINVAL, "more than a chunk");
	fails(npool_chunk_alloc(c, SIZE_MAX), EINVAL, "far more");
	fails(npool_page_alloc(c, 0), EINVAL, "no pages");
	fails(npool_page_alloc(c, 9), EINVAL, "a page more than there are");
	fails(npool_page_alloc(c, SIZE_MAX), EINVAL, "far more pages");
	fails(npool_page_alloc_bytes(c, 0), EINVAL, "a run of no bytes");
	fails(npool_page_alloc_bytes(c, size + 1), EINVAL, "a run too long");
	fails(npool_page_alloc_bytes(c, SIZE_MAX), EINVAL, "far too long");
	fails(npool_subpage_alloc(c, 0), EINVAL, "class 0");
	fails(npool_subpage_alloc(c, 255), EINVAL, "a class too many");
	fails(npool_subpage_alloc(c, UINT32_MAX), EINVAL, "far too many");
	fails(npool_subpage_alloc(c, npool_subpage_class_of(c, size)), EINVAL,
	      "the class of a whole chunk");
	fails(npool_chunk_handle(c, size), EINVAL, "an offset beyond it");
	fails(npool_chunk_handle(c, SIZE_MAX), EINVAL, "far beyond it");
	fails(npool_chunk_handle(c, 0), ENOENT, "an offset in a free page");
	is_uint(npool_subpage_class_of(c, 0), 0, "0 bytes have no class");
	is_int(npool_subpage_class(c, 0, &row), EINVAL, "class 0 is none");
	is_int(npool_subpage_class(c, 255, &row), EINVAL, "255 is none here");
	is_int(npool_chunk_node(c, 0), -1, "the tree has no node 0");
	is_int(npool_chunk_node(c, 16), -1, "nor a node behind its leaves");
	is_int(npool_chunk_node(c, UINT32_MAX), -1, "nor one far behind");
	is_int(npool_page_look(c, 8, &page), EINVAL, "no page behind the last");
	is_size(npool_subpage_bitmap(c, 8, &word, 1), 0, "nor its bitmap");
	is_size(npool_subpage_bitmap(c, 0, &word, 1), 0,
		"a free page has no bitmap");

	is_hex(npool_page_alloc(c, 3), 2, "netty: 3 pages take 4");
	is_size(npool_chunk_length(c, 2), 16384, "and have them");
	fails(npool_chunk_alloc(c, size), ENOSPC, "a whole chunk, half used");
	is_hex(npool_chunk_alloc(c, 16384), 3, "the other half");
	is_uint(npool_chunk_usage(c), 100, "it is full");
	is_size(npool_chunk_free_bytes(c), 0, "to the byte");
	fails(npool_chunk_alloc(c, 16), ENOSPC, "16 bytes of a full chunk");
	fails(npool_page_alloc(c, 1), ENOSPC, "a page of a full chunk");
	fails(npool_subpage_alloc(c, 1), ENOSPC, "an element of it");
	ok(!failed && npool_chunk_valid(c), "nothing came of it");
	is_size(npool_subpage_bitmap(c, 0, &word, 1), 0, "a run has no bitmap");
	npool_chunk_set_user(c, &page);
	is_ptr(npool_chunk_user(c), &page, "a chunk keeps its user's pointer");
	npool_chunk_destroy(c);
}

/* --- claims ----------------------------------------------------------- */

static void test_claims(void)
{
	struct npool_shape fine = { 4096, 3, NPOOL_FINE };
	npool_chunk_t *c = make(&small), *f = make(&fine);
	npool_handle_t e = ELEMENT | 9; /* slot 0 of page 1 */

	is_int(npool_chunk_claim(c, 0, 4096), EINVAL, "claim: no handle");
	is_int(npool_chunk_claim(c, 8, 0), EINVAL, "claim: no length");
	is_int(npool_chunk_claim(c, 8, 4095), EINVAL, "claim: half a page");
	is_int(npool_chunk_claim(c, 8, 8192), EINVAL, "claim: too long");
	is_int(npool_chunk_claim(c, 4, 4096), EINVAL, "claim: too short");
	is_int(npool_chunk_claim(c, 2, 12288), EINVAL, "claim: not of netty");
	is_int(npool_chunk_claim(c, 8, SIZE_MAX), EINVAL, "claim: far too long");
	is_int(npool_chunk_claim(c, e, 100), EINVAL, "claim: no element's size");
	is_int(npool_chunk_claim(c, e, 0), EINVAL, "claim: of no bytes");
	is_int(npool_chunk_claim(c, e, 4096), EINVAL, "claim: a run's size");
	is_int(npool_chunk_claim(c, ELEMENT | 4, 256), EINVAL,
	       "claim: an element of a pair");
	is_int(npool_chunk_claim(c, e | (npool_handle_t)16 << 32, 256), EINVAL,
	       "claim: a slot that is not there");
	is_int(npool_chunk_claim(c, e | (npool_handle_t)15 << 32, 256), 0,
	       "claim: the last slot");
	is_int(npool_chunk_claim(c, e | (npool_handle_t)0 << 32, 256), 0,
	       "claim: and the first");
	is_int(npool_chunk_claim(c, e, 256), EEXIST, "claim: again");
	is_int(npool_chunk_claim(c, e, 512), EEXIST, "claim: of another size");
	is_int(npool_chunk_claim(c, 9, 4096), EEXIST, "claim: the page whole");
	is_int(npool_chunk_claim(c, 1, 32768), EEXIST, "claim: the chunk");
	is_int(npool_chunk_claim(c, 8, 4096), 0, "claim: the page beside it");
	is_int(npool_chunk_claim(c, 3, 16384), 0, "claim: the other half");
	is_int(npool_chunk_claim(c, 14, 4096), EEXIST, "claim: a part of that");
	is_hex(npool_chunk_alloc(c, 256), e | (npool_handle_t)1 << 32,
	       "the lowest slot that is left comes next");
	ok(npool_chunk_valid(c), "the chunk is valid");

	is_int(npool_chunk_claim(f, 11, 4096), 0, "fine: the fourth page");
	is_int(npool_chunk_claim(f, 2, 12288), 0, "fine: the three before it");
	is_int(npool_chunk_claim(f, 1, 20480), EEXIST, "fine: all five is not");
	is_size(npool_chunk_length(f, 2), 12288, "fine: as long as claimed");
	is_hex(npool_chunk_handle(f, 12287), 2, "fine: its last byte is its");
	is_hex(npool_chunk_handle(f, 12288), 11, "fine: the next is not");
	ok(npool_chunk_valid(f), "the fine chunk is valid");
	npool_chunk_free(f, npool_chunk_alloc(f, 100));
	is_int(npool_chunk_claim(f, 3, 16384), 0,
	       "an empty subpage in its way is released");
	npool_chunk_destroy(c);
	npool_chunk_destroy(f);
}

/* --- walks, trims, damage --------------------------------------------- */

static int stop_at_second(const struct npool_page *page, void *arg)
{
	unsigned *calls = arg;

	return ++*calls == 2 ? (int)page->first + 40 : 0;
}

static void test_walk(void)
{
	npool_chunk_t *c = make(&small);
	unsigned calls = 0;
	struct npool_page page;

	npool_page_alloc(c, 2);
	npool_chunk_alloc(c, 1000);
	is_int(npool_page_walk(c, stop_at_second, &calls), 42,
	       "a walk returns what stopped it");
	is_uint(calls, 2, "and goes no further");
	npool_page_look(c, 1, &page);
	ok(page.state == NPOOL_PAGE_RUN && page.first == 0 &&
	   page.npages == 2 && page.size == 8192 && page.node == 4,
	   "a page in a run says which");
	npool_page_look(c, 2, &page);
	ok(page.state == NPOOL_PAGE_SUBPAGE && page.size == 1024 &&
	   page.nelems == 4 && page.used == 1 && page.node == 10,
	   "a page in a subpage says how full it is");
	npool_page_look(c, 4, &page);
	ok(page.state == NPOOL_PAGE_FREE && page.first == 4 &&
	   page.npages == 4 && !page.size_class && !page.size,
	   "a free page says how many follow");
	npool_chunk_destroy(c);
}

static void test_trim(void)
{
	npool_chunk_t *c = make(&small);
	npool_handle_t a = npool_chunk_alloc(c, 64);
	npool_handle_t b = npool_chunk_alloc(c, 2048);

	is_size(npool_chunk_trim(c), 0, "what is used is not trimmed");
	npool_chunk_free(c, a);
	is_size(npool_chunk_free_bytes(c), 32768 - 8192,
		"the last subpage of a class stays");
	is_size(npool_chunk_trim(c), 4096, "a trim releases it");
	npool_chunk_free(c, b);
	is_size(npool_chunk_trim(c), 4096, "the other one too, when it is empty");
	is_uint(npool_chunk_usage(c), 0, "then nothing is used");
	npool_chunk_free(c, npool_chunk_alloc(c, 64));
	is_hex(npool_page_alloc(c, 8), 1,
	       "a request that finds no space has the kept subpage released");
	npool_chunk_destroy(c);
}

static void test_damage(void)
{
	npool_chunk_t *c = make(&small);
	npool_handle_t h = npool_chunk_alloc(c, 64);
	struct np_chunk *chunk = c->chunk;
	struct np_subpage *sp = np_chunk_subpage(chunk, 0);

	ok(npool_chunk_valid(c), "a chunk is valid");
	chunk->tree[15] = 4;
	ok(!npool_chunk_valid(c), "not with a wrong value in the tree");
	chunk->tree[15] = 3;
	sp->avail--;
	ok(!npool_chunk_valid(c), "not with a wrong count of elements");
	sp->avail++;
	sp->class++;
	ok(!npool_chunk_valid(c), "not with a wrong class");
	sp->class--;
	sp->elem_size++;
	ok(!npool_chunk_valid(c), "not with a wrong size");
	sp->elem_size--;
	sp->max_elems--;
	ok(!npool_chunk_valid(c), "not with a wrong number of elements");
	sp->max_elems++;
	sp->first++;
	ok(!npool_chunk_valid(c), "not with a wrong first page");
	sp->first--;
	sp->chunk = NULL;
	ok(!npool_chunk_valid(c), "not with another chunk's subpage");
	sp->chunk = chunk;
	ok(npool_chunk_valid(c), "put right it is valid again");
	is_int(npool_chunk_free(c, h), 0, "and works");
	npool_chunk_destroy(c);
}

int main(void)
{
	plan(17 + 2 + 3 + 6 + 23 + 38 + 31 + 5 + 6 + 10);
	for (unsigned order = 0; order < 8; order++)
		for (unsigned table = NPOOL_NETTY; table <= NPOOL_FINE; table++)
			test_shadow(order % 2 ? 4096 : 8192, order, table);
	test_shadow((size_t)1 << 16, 2, NPOOL_FINE);
	test_shapes();
	test_meta_bounds();
	test_meta();
	test_handles();
	test_sizes();
	test_claims();
	test_walk();
	test_trim();
	test_damage();
	return done();
}
