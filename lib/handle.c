/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * handle: see handle.h. The functions of npool_chunk.h for one chunk.
 */
#include "handle.h"

#include <errno.h>
#include <string.h>

#define META_ALIGN ((size_t)16)
#define ELEMENT_BIT ((npool_handle_t)1 << 62)
#define SLOT_SHIFT 32
#define SLOT_MASK 0x3fffffffu
#define HANDLE_BITS 63 /* the highest one is never set */

_Static_assert((int)NPOOL_NETTY == (int)NP_NETTY &&
	       (int)NPOOL_FINE == (int)NP_FINE, "one table, two names");
_Static_assert(sizeof(struct npool_chunk) + sizeof(struct np_chunk) <=
	       NPOOL_CHUNK_META(4096, 0) - 1024,
	       "NPOOL_CHUNK_META has room to spare");

/* --- making one ------------------------------------------------------- */

int np_shape_classes(const struct npool_shape *shape,
		     struct np_classes *classes)
{
	if (!np_is_pow2(shape->page_size) || shape->classes > NPOOL_FINE)
		return EINVAL;
	return np_classes_init(classes, (enum np_class_table)shape->classes,
			       np_log2(shape->page_size), shape->max_order);
}

void *np_shape_room(void *meta, size_t meta_size, size_t size, void **block)
{
	size_t skip = -(uintptr_t)meta % META_ALIGN;

	*block = NULL;
	if (!meta)
		return *block = npool_malloc(size);
	if (meta_size < skip || meta_size - skip < size)
		return NULL;
	return (char *)meta + skip;
}

static size_t head_size(void)
{
	return np_round_up(sizeof(struct npool_chunk), NP_LINE);
}

static size_t table_size(const struct np_classes *t)
{
	return np_round_up(sizeof(uint32_t) << t->max_order, META_ALIGN);
}

/* Without what the caller's alignment may cost. */
static size_t size_for(const struct np_classes *t)
{
	return head_size() + table_size(t) + np_chunk_meta_size(t);
}

size_t npool_chunk_meta_size(const struct npool_shape *shape)
{
	struct np_classes t;

	return np_shape_classes(shape, &t) ? 0
					   : size_for(&t) + META_ALIGN - 1;
}

int npool_chunk_create(npool_chunk_t **chunk, const struct npool_shape *shape,
		       void *meta, size_t meta_size)
{
	struct np_classes t;
	struct npool_chunk *c;
	void *block;
	char *p;

	if (np_shape_classes(shape, &t))
		return EINVAL;
	c = np_shape_room(meta, meta_size, size_for(&t), &block);
	if (!c)
		return ENOMEM;
	p = (char *)c + head_size();
	memset(c, 0, head_size() + table_size(&t) + np_chunk_zero_size(&t));
	c->classes = t;
	c->table = (enum np_class_table)shape->classes;
	c->block = block;
	c->rings = c->own;
	for (unsigned i = 0; i < NP_MAX_CLASSES; i++)
		np_ring_init(&c->own[i]);
	c->chunk = np_chunk_init(p + table_size(&t), &c->classes,
				 (uint32_t *)(void *)p);
	*chunk = c;
	return 0;
}

void npool_chunk_destroy(npool_chunk_t *c)
{
	if (!c)
		return;
	if (c->set)
		npool_chunklist_remove(c);
	npool_free(c->block);
}

/* --- what a number names ---------------------------------------------- */

/* Pages of the run that begins at this page. Their entries count up; whatever
 * lies behind them has begun later, and says less. */
static uint32_t run_length(const struct np_chunk *c, uint32_t first)
{
	uint32_t entry = c->pages[first], low = 1;
	uint32_t high = np_chunk_npages(c) - first + 1;

	while (high - low > 1) {
		uint32_t mid = low + (high - low) / 2;
		uint32_t i = mid - 1;

		if (c->pages[first + i] == (entry | i << NP_PAGE_OFFSET_SHIFT))
			low = mid;
		else
			high = mid;
	}
	return low;
}

/* What begins at this page, which must be the first of something. */
static struct np_named name_first(const struct npool_chunk *c, uint32_t first)
{
	uint32_t entry = c->chunk->pages[first];
	struct np_named named = {
		.first = first,
		.class = entry & NP_PAGE_CLASS,
	};

	if (entry & NP_PAGE_SUBPAGE) {
		named.subpage = np_chunk_subpage(c->chunk, first);
		named.npages = c->classes.row[named.class].npages;
	} else {
		named.npages = run_length(c->chunk, first);
	}
	return named;
}

/* Takes a handle apart; false: it cannot be one of this chunk. */
static bool parse(const struct np_chunk *c, npool_handle_t handle,
		  unsigned *order, uint32_t *first, uint32_t *slot)
{
	uint32_t node = (uint32_t)handle;

	*slot = (uint32_t)(handle >> SLOT_SHIFT) & SLOT_MASK;
	if (handle >> HANDLE_BITS || !node || node / 2 >= np_chunk_npages(c) ||
	    (*slot && !(handle & ELEMENT_BIT)))
		return false;
	*order = c->classes->max_order - np_log2(node);
	*first = (node << *order) - np_chunk_npages(c);
	return true;
}

static bool find(const struct npool_chunk *c, npool_handle_t handle,
		 struct np_named *named)
{
	bool is_element = handle & ELEMENT_BIT;
	uint32_t first, slot, entry;
	unsigned order;

	if (!parse(c->chunk, handle, &order, &first, &slot))
		return false;
	entry = c->chunk->pages[first];
	if (!entry || entry >> NP_PAGE_OFFSET_SHIFT ||
	    is_element != !!(entry & NP_PAGE_SUBPAGE))
		return false;
	*named = name_first(c, first);
	named->slot = slot;
	return np_log2_up(named->npages) == order &&
	       (!is_element || np_subpage_is_taken(named->subpage, slot));
}

static npool_handle_t refuse(int error)
{
	errno = error;
	return 0;
}

ptrdiff_t npool_chunk_offset(const npool_chunk_t *c, npool_handle_t handle)
{
	struct np_named named;
	size_t offset;

	if (!find(c, handle, &named))
		return errno = EINVAL, -1;
	offset = (size_t)named.first << c->classes.page_shift;
	if (named.subpage)
		offset += (size_t)named.slot * named.subpage->elem_size;
	return (ptrdiff_t)offset;
}

size_t npool_chunk_length(const npool_chunk_t *c, npool_handle_t handle)
{
	struct np_named named;

	if (!find(c, handle, &named))
		return errno = EINVAL, 0;
	return named.subpage ? named.subpage->elem_size
			     : (size_t)named.npages << c->classes.page_shift;
}

npool_handle_t npool_chunk_handle(const npool_chunk_t *c, size_t offset)
{
	unsigned shift = c->classes.page_shift;
	struct np_named named;
	uint32_t page, entry;
	size_t slot;

	if (offset >= c->classes.chunk_size)
		return refuse(EINVAL);
	page = (uint32_t)(offset >> shift);
	entry = c->chunk->pages[page];
	if (!entry)
		return refuse(ENOENT);
	named = name_first(c, page - (entry >> NP_PAGE_OFFSET_SHIFT));
	if (!named.subpage)
		return np_handle_run(c->chunk, named.first, named.npages);
	slot = (offset - ((size_t)named.first << shift)) /
	       named.subpage->elem_size;
	if (!np_subpage_is_taken(named.subpage, (uint32_t)slot))
		return refuse(ENOENT);
	return np_handle_element(c->chunk, named.first, named.npages,
				 (uint32_t)slot);
}

/* --- taking ----------------------------------------------------------- */

npool_handle_t np_handle_from_ring(struct np_ring *rings, unsigned class,
				   struct npool_chunk **owner)
{
	struct np_subpage *sp = np_ring_first(&rings[class]);
	uint32_t slot;

	if (!sp)
		return 0;
	*owner = np_handle_owner(sp->chunk);
	np_subpage_take(sp, 1, &slot);
	return np_handle_element(sp->chunk, sp->first,
				 (*owner)->classes.row[class].npages, slot);
}

npool_handle_t np_handle_of_run(struct npool_chunk *c, unsigned class,
				uint32_t first, uint32_t npages)
{
	const struct np_class *row = &c->classes.row[class];

	if (!(c->chunk->pages[first] & NP_PAGE_SUBPAGE))
		return np_handle_run(c->chunk, first, npages);
	np_subpage_init(np_chunk_subpage(c->chunk, first), &c->rings[class],
			c->chunk, first, class, row);
	return np_handle_from_ring(c->rings, class, &c);
}

static npool_handle_t take_run(struct npool_chunk *c, unsigned class,
			       uint32_t npages, uint32_t entry)
{
	uint32_t first = np_chunk_take_run(c->chunk, npages, 0, entry, NULL);

	/* Nowhere else can it come from: not the time to keep anything. */
	if (first == NP_NO_PAGE && npool_chunk_trim(c))
		first = np_chunk_take_run(c->chunk, npages, 0, entry, NULL);
	if (first == NP_NO_PAGE)
		return refuse(ENOSPC);
	return np_handle_of_run(c, class, first, npages);
}

static npool_handle_t take_class(struct npool_chunk *c, unsigned class)
{
	const struct np_run_request run = np_run_request_for(&c->classes,
							     class);
	npool_handle_t handle = 0;

	if (c->set)
		return refuse(EBUSY);
	if (run.entry & NP_PAGE_SUBPAGE)
		handle = np_handle_from_ring(c->rings, class, &c);
	return handle ? handle : take_run(c, class, run.npages, run.entry);
}

npool_handle_t npool_chunk_alloc(npool_chunk_t *c, size_t size)
{
	unsigned class = npool_subpage_class_of(c, size);

	return class ? take_class(c, class) : refuse(EINVAL);
}

npool_handle_t npool_subpage_alloc(npool_chunk_t *c, unsigned class)
{
	if (!class || class > c->classes.n || !c->classes.row[class].nelems)
		return refuse(EINVAL);
	return take_class(c, class);
}

npool_handle_t npool_page_alloc(npool_chunk_t *c, size_t npages)
{
	unsigned class;

	if (!npages || npages > np_chunk_npages(c->chunk))
		return refuse(EINVAL);
	if (c->set)
		return refuse(EBUSY);
	/* Whole pages are no elements in either table. */
	class = np_class_of(&c->classes, npages << c->classes.page_shift);
	np_assert(!c->classes.row[class].nelems);
	if (c->table == NP_NETTY)
		npages = c->classes.row[class].npages;
	return take_run(c, class, (uint32_t)npages, class);
}

npool_handle_t npool_page_alloc_bytes(npool_chunk_t *c, size_t size)
{
	size_t page = (size_t)1 << c->classes.page_shift;

	if (size > c->classes.chunk_size)
		return refuse(EINVAL);
	return npool_page_alloc(c, (size + page - 1) / page);
}

/* --- claiming --------------------------------------------------------- */

static int claim_run(struct npool_chunk *c, unsigned order, uint32_t first,
		     size_t length)
{
	size_t npages = length >> c->classes.page_shift;
	unsigned class;

	if (npages << c->classes.page_shift != length || !npages ||
	    np_log2_up(npages) != order ||
	    (c->table == NP_NETTY && !np_is_pow2(npages)))
		return EINVAL;
	class = np_class_of(&c->classes, length);
	return np_chunk_take_run_at(c->chunk, first, (uint32_t)npages, class)
		? 0 : EEXIST;
}

static int claim_element(struct npool_chunk *c, unsigned order, uint32_t first,
			 uint32_t slot, size_t length)
{
	unsigned class = npool_subpage_class_of(c, length);
	const struct np_class *row = &c->classes.row[class];
	uint32_t entry = class | NP_PAGE_SUBPAGE;
	struct np_subpage *sp;

	if (!class || row->size != length || slot >= row->nelems ||
	    np_log2_up(row->npages) != order)
		return EINVAL;
	if (c->chunk->pages[first] != entry) {
		if (!np_chunk_take_run_at(c->chunk, first, row->npages, entry))
			return EEXIST;
		np_subpage_init(np_chunk_subpage(c->chunk, first),
				&c->rings[class], c->chunk, first, class, row);
	}
	sp = np_chunk_subpage(c->chunk, first);
	return np_subpage_take_slot(sp, slot) ? 0 : EEXIST;
}

static int claim(struct npool_chunk *c, npool_handle_t handle, size_t length)
{
	uint32_t first, slot;
	unsigned order;

	if (!parse(c->chunk, handle, &order, &first, &slot))
		return EINVAL;
	return handle & ELEMENT_BIT
		? claim_element(c, order, first, slot, length)
		: claim_run(c, order, first, length);
}

int npool_chunk_claim(npool_chunk_t *c, npool_handle_t handle, size_t length)
{
	int error;

	if (c->set)
		return EBUSY;
	error = claim(c, handle, length);
	/* Perhaps by a subpage that nobody uses. */
	if (error == EEXIST && npool_chunk_trim(c))
		error = claim(c, handle, length);
	return error;
}

/* --- giving back ------------------------------------------------------ */

int npool_chunk_free(npool_chunk_t *c, npool_handle_t handle)
{
	struct np_named named;

	if (!find(c, handle, &named))
		return EINVAL;
	if (named.subpage &&
	    np_subpage_put(named.subpage, &c->rings[named.class],
			   named.slot) == NP_PUT_KEPT)
		return 0;
	np_chunk_give_run(c->chunk, named.first, named.npages);
	if (c->set)
		np_chunkset_settle(c);
	return 0;
}

/* The next subpage whose run begins at or behind *page; NULL: there is none.
 * *page is then behind its run. */
static struct np_subpage *next_subpage(const struct npool_chunk *c,
				       uint32_t *page)
{
	for (; *page < np_chunk_npages(c->chunk); ++*page) {
		uint32_t entry = c->chunk->pages[*page];
		struct np_subpage *sp;

		if (!(entry & NP_PAGE_SUBPAGE))
			continue;
		sp = np_chunk_subpage(c->chunk, *page);
		*page += c->classes.row[entry & NP_PAGE_CLASS].npages;
		return sp;
	}
	return NULL;
}

/* The run of a subpage that has left its ring; returns its bytes. */
static size_t give_subpage(struct np_subpage *sp)
{
	struct npool_chunk *c = np_handle_owner(sp->chunk);
	uint32_t npages = c->classes.row[sp->class].npages;
	size_t bytes = (size_t)npages << c->classes.page_shift;

	np_chunk_give_run(c->chunk, sp->first, npages);
	if (c->set)
		np_chunkset_settle(c);
	return bytes;
}

size_t np_handle_trim(struct np_ring *rings, unsigned nclasses,
		      const struct np_chunk *only)
{
	size_t freed = 0;

	for (unsigned class = 1; class <= nclasses; class++) {
		struct np_ring *head = &rings[class], *next;

		for (struct np_ring *l = head->next; l != head; l = next) {
			struct np_subpage *sp = (void *)l;

			next = l->next;
			if (sp->avail != sp->max_elems ||
			    (only && sp->chunk != only))
				continue;
			/* With its last subpage a chunk may end, but the
			 * next one is then another chunk's. */
			np_subpage_unlink(sp);
			freed += give_subpage(sp);
		}
	}
	return freed;
}

size_t npool_chunk_trim(npool_chunk_t *c)
{
	return np_handle_trim(c->rings, c->classes.n, c->chunk);
}

void np_handle_move_subpages(struct npool_chunk *c, struct np_ring *rings)
{
	struct np_subpage *sp;

	for (uint32_t page = 0; (sp = next_subpage(c, &page)); )
		if (sp->linked)
			np_subpage_move(sp, &rings[sp->class]);
	c->rings = rings;
}

/* --- looking ---------------------------------------------------------- */

size_t npool_chunk_size(const npool_chunk_t *c)
{
	return c->classes.chunk_size;
}

size_t npool_chunk_free_bytes(const npool_chunk_t *c)
{
	return c->chunk->free_bytes;
}

unsigned npool_chunk_usage(const npool_chunk_t *c)
{
	return np_chunk_usage(c->chunk);
}

int npool_chunk_node(const npool_chunk_t *c, uint32_t node)
{
	if (!node || node / 2 >= np_chunk_npages(c->chunk))
		return errno = EINVAL, -1;
	return c->chunk->tree[node];
}

void npool_chunk_set_user(npool_chunk_t *c, void *user)
{
	c->user = user;
}

void *npool_chunk_user(const npool_chunk_t *c)
{
	return c->user;
}

/* Free pages from this one on. */
static struct npool_page look_at_free(const struct np_chunk *c, uint32_t page)
{
	uint32_t end = page + 1;

	while (end < np_chunk_npages(c) && !c->pages[end])
		end++;
	return (struct npool_page){ .state = NPOOL_PAGE_FREE, .first = page,
				    .npages = end - page };
}

static struct npool_page look(const struct npool_chunk *c, uint32_t page)
{
	uint32_t entry = c->chunk->pages[page];
	const struct np_subpage *sp;
	struct npool_page seen;
	struct np_named named;

	if (!entry)
		return look_at_free(c->chunk, page);
	named = name_first(c, page - (entry >> NP_PAGE_OFFSET_SHIFT));
	seen = (struct npool_page){
		.state = NPOOL_PAGE_RUN,
		.size_class = named.class,
		.first = named.first,
		.npages = named.npages,
		.size = (size_t)named.npages << c->classes.page_shift,
		.node = (uint32_t)np_handle_run(c->chunk, named.first,
						named.npages),
	};
	sp = named.subpage;
	if (sp) {
		seen.state = NPOOL_PAGE_SUBPAGE;
		seen.size = sp->elem_size;
		seen.nelems = sp->max_elems;
		seen.used = sp->max_elems - sp->avail;
	}
	return seen;
}

int npool_page_look(const npool_chunk_t *c, size_t page,
		    struct npool_page *seen)
{
	if (page >= np_chunk_npages(c->chunk))
		return EINVAL;
	*seen = look(c, (uint32_t)page);
	return 0;
}

int npool_page_walk(const npool_chunk_t *c, npool_page_fn *fn, void *arg)
{
	size_t npages = np_chunk_npages(c->chunk);
	struct npool_page seen;
	int said = 0;

	for (size_t i = 0; i < npages && !said; i = seen.first + seen.npages) {
		seen = look(c, (uint32_t)i);
		said = fn(&seen, arg);
	}
	return said;
}

unsigned npool_subpage_class_of(const npool_chunk_t *c, size_t size)
{
	return size ? np_class_of(&c->classes, size) : 0;
}

int npool_subpage_class(const npool_chunk_t *c, unsigned class,
			struct npool_class *row)
{
	if (!class || class > c->classes.n)
		return EINVAL;
	*row = (struct npool_class){
		.size = c->classes.row[class].size,
		.npages = c->classes.row[class].npages,
		.nelems = c->classes.row[class].nelems,
	};
	return 0;
}

size_t npool_subpage_bitmap(const npool_chunk_t *c, size_t page,
			    uint64_t *words, size_t nwords)
{
	const struct np_subpage *sp;
	uint32_t entry;
	size_t have;

	if (page >= np_chunk_npages(c->chunk))
		return errno = EINVAL, 0;
	entry = c->chunk->pages[page];
	if (!(entry & NP_PAGE_SUBPAGE))
		return errno = EINVAL, 0;
	sp = np_chunk_subpage(c->chunk, (uint32_t)page -
			      (entry >> NP_PAGE_OFFSET_SHIFT));
	have = np_subpage_words(sp->max_elems);
	for (size_t i = 0; i < nwords; i++)
		words[i] = i < have ? sp->bitmap[i] : 0;
	return sp->max_elems;
}

/* --- invariants ------------------------------------------------------- */

/* Does what the page table says of these pages agree with the subpage? */
static bool subpage_agrees(const struct npool_chunk *c,
			   const struct np_subpage *sp, uint32_t first)
{
	unsigned class = c->chunk->pages[first] & NP_PAGE_CLASS;

	return sp->chunk == c->chunk && sp->first == first &&
	       sp->class == class &&
	       sp->elem_size == c->classes.row[class].size &&
	       sp->max_elems == c->classes.row[class].nelems &&
	       np_subpage_valid(sp);
}

int npool_chunk_valid(const npool_chunk_t *c)
{
	size_t taken = 0;

	if (!np_chunk_valid(c->chunk))
		return 0;
	for (uint32_t i = 0; i < np_chunk_npages(c->chunk); ) {
		struct npool_page seen = look(c, i);

		if (seen.state == NPOOL_PAGE_SUBPAGE &&
		    !subpage_agrees(c, np_chunk_subpage(c->chunk, i), i))
			return 0;
		if (seen.state != NPOOL_PAGE_FREE)
			taken += seen.npages << c->classes.page_shift;
		i += (uint32_t)seen.npages;
	}
	return taken + c->chunk->free_bytes == c->classes.chunk_size;
}
