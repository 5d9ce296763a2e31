/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * arena: see arena.h.
 */
#include "arena.h"
#include "decay.h"
#include "memcheck.h"
#include "meta.h"
#include "os.h"
#include "probe.h"
#include "spill.h"
#include "trace.h"

#include <errno.h>
#include <limits.h> /* UINT_MAX */
#include <string.h>

#define BATCH 64 /* elements taken from a bitmap at a time */

void np_arena_init(struct np_arena *a, const struct np_classes *classes,
		   const struct np_owner *owner, unsigned index,
		   unsigned policies, int64_t decay_ms)
{
	np_lock_init(&a->lock, NP_RANK_ARENA);
	a->classes = classes;
	a->owner = *owner;
	a->index = (uint16_t)index;
	a->policies = policies;
	a->decay_ms = decay_ms;
	a->count = &a->early;
	np_chunklists_init(a->lists, classes->chunk_size);
	np_chunklists_index(a->lists, np_owner_home(owner));
	for (unsigned i = 0; i < NP_MAX_CLASSES; i++)
		np_ring_init(&a->pools[i]);
}

/* --- counting --------------------------------------------------------- */

static void count_node(np_count_t *now, np_count_t *peak, uint64_t change)
{
	uint64_t value = change + atomic_fetch_add_explicit(
		now, change, memory_order_relaxed);

	/* Two arenas may race here: the lower of two peaks may win. */
	if ((int64_t)change > 0)
		np_count_peak(peak, value);
}

static void count_taken(struct np_arena *a, const struct np_class *row,
			unsigned n)
{
	struct np_segment_arena *count = a->count;
	uint64_t bytes = (uint64_t)row->size * n;

	np_count_add(&count->allocs[row->kind], n);
	np_count_add(&count->taken, bytes);
	np_count_peak(&count->peak_taken, np_count_get(&count->taken));
	if (a->node)
		count_node(&a->node->taken, &a->node->peak_taken, bytes);
}

static void count_put(struct np_arena *a, const struct np_class *row)
{
	uint64_t bytes = row->size;

	np_count_add(&a->count->frees[row->kind], 1);
	np_count_add(&a->count->taken, -bytes);
	if (a->node)
		count_node(&a->node->taken, &a->node->peak_taken, -bytes);
}

/* n chunks more (or, -1, one less). */
static void count_chunks(struct np_arena *a, int n)
{
	uint64_t bytes = (uint64_t)((int64_t)n *
				    (int64_t)a->classes->chunk_size);

	np_count_add(&a->count->chunks, (uint64_t)(int64_t)n);
	np_count_peak(&a->count->peak_chunks,
		      np_count_get(&a->count->chunks));
	np_count_add(&a->count->reserved, bytes);
	if (a->node)
		count_node(&a->node->reserved, &a->node->peak_reserved,
			   bytes);
}

/* Whether a region got the huge pages that it was to have: with its first
 * chunk. */
static void count_hugetlb(struct np_arena *a, const struct np_region *r)
{
	if (a->owner.pages != NP_PAGES_HUGETLB || r->used != 1 || !a->node)
		return;
	np_count_add_shared(r->hugetlb ? &a->node->hugetlb_got
				       : &a->node->hugetlb_missed, 1);
}

/* --- limits ------------------------------------------------------------ */

static size_t bytes_of(const struct np_arena *a, uint32_t npages)
{
	return (size_t)npages << a->classes->page_shift;
}

/* Of a run that was taken the clean pages are charged anew; a populated chunk
 * is charged whole as long as it is there. */
static bool charge_run(struct np_arena *a, const struct np_chunk *c,
		       uint32_t nclean)
{
	return c->populated ||
	       np_limits_charge(&a->owner.limits, bytes_of(a, nclean));
}

static void refund(struct np_arena *a, const struct np_chunk *c,
		   uint32_t npages)
{
	if (!c->populated && npages)
		np_limits_refund(&a->owner.limits, bytes_of(a, npages));
}

/* --- spare chunks ------------------------------------------------------ */

static void push_spare(struct np_arena *a, struct np_chunk *c)
{
	c->next = a->spares;
	a->spares = c;
	np_count_add(&a->count->spare, 1);
}

/* Takes out the one that *link points to. */
static struct np_chunk *take_spare(struct np_arena *a, struct np_chunk **link)
{
	struct np_chunk *c = *link;

	if (c) {
		*link = c->next;
		np_count_add(&a->count->spare, (uint64_t)-1);
	}
	return c;
}

/* --- chunks come ------------------------------------------------------ */

static void link_region(struct np_arena *a, struct np_region *r)
{
	r->pass = a->pass;
	r->prev = NULL;
	r->next = a->regions;
	if (r->next)
		r->next->prev = r;
	a->regions = r;
}

static void unlink_region(struct np_arena *a, struct np_region *r)
{
	if (r->prev)
		r->prev->next = r->next;
	else
		a->regions = r->next;
	if (r->next)
		r->next->prev = r->prev;
}

static struct np_region *region_with_room(struct np_arena *a)
{
	struct np_region *r = a->regions;

	if (a->classes->chunk_size >= NP_SLOT_SIZE)
		return NULL; /* one chunk a region: all are full */
	while (r && r->used == r->nchunks)
		r = r->next;
	return r;
}

static void show_chunk(struct np_arena *a, struct np_chunk *c)
{
	np_segment_enter(a->owner.segment, c->base, a->classes->chunk_size,
			 np_owner_home(&a->owner), a->index, &c->sight);
	np_chunklist_show(c);
}

/* Shows other processes how many elements of the subpage are taken. */
static void show_fill(const struct np_subpage *sp)
{
	_Atomic uint16_t *fill = sp->chunk->sight.fill;
	uint32_t taken = sp->max_elems - sp->avail;

	if (fill)
		atomic_store_explicit(&fill[sp->first],
				      taken < UINT16_MAX ? (uint16_t)taken
							 : UINT16_MAX,
				      memory_order_relaxed);
}

/* Makes a chunk in a free place of the region. */
static struct np_chunk *place_chunk(struct np_arena *a, struct np_region *r,
				    void *meta)
{
	uint32_t npages = 1u << a->classes->max_order, i = 0;
	struct np_chunk *c;

	while (atomic_load_explicit(&r->chunks[i], memory_order_relaxed))
		i++;
	c = np_chunk_init(meta, a->classes, r->pages + (size_t)i * npages);
	if (r->unclean || r->hugetlb)
		np_chunk_mark_dirty(c, 0, npages);
	if (r->unclean)
		np_limits_force(&a->owner.limits, a->classes->chunk_size);
	c->pinned = a->owner.pinned;
	c->region = r;
	c->base = (char *)r->base + ((size_t)i << r->chunk_shift);
	c->known = np_region_known(r, i);
	r->used++;
	count_chunks(a, 1);
	count_hugetlb(a, r);
	show_chunk(a, c);
	NP_TELL_BYTES(NP_TRACE_MAP, map, a->owner.tag, c->base,
		      a->classes->chunk_size);
	/* Release: pairs with the acquire in np_region_chunk. */
	atomic_store_explicit(&r->chunks[i], c, memory_order_release);
	return c;
}

static void move_region(struct np_arena *a, struct np_region *r)
{
	np_region_set_tag(r, a->owner.tag);
	np_os_bind((void *)r->base, r->size, a->owner.bind_node);
}

/* A new chunk, in no list; drops the lock while the kernel is asked for
 * memory. NULL: there is none. */
static struct np_chunk *new_chunk(struct np_arena *a)
{
	size_t size = np_chunk_meta_size(a->classes);
	struct np_region *r = region_with_room(a);
	struct np_owner owner = a->owner;
	np_home_t home = np_owner_home(&owner);
	void *meta;

	if (r) {
		meta = np_meta_alloc(home, size);
		return meta ? place_chunk(a, r, meta) : NULL;
	}
	np_unlock(&a->lock);
	r = np_region_create(a, a->index, &owner, a->classes);
	meta = r ? np_meta_alloc(home, size) : NULL;
	if (r && !meta) {
		if (r->hugetlb) /* it was charged */
			np_limits_refund(&owner.limits, r->size);
		np_region_destroy(r);
	}
	np_lock(&a->lock);
	if (!meta)
		return NULL;
	link_region(a, r);
	if (a->owner.tag != owner.tag)
		move_region(a, r); /* it has learnt its node meanwhile */
	return place_chunk(a, r, meta);
}

/* --- chunks go -------------------------------------------------------- */

/* Takes the chunk out of its region, for bury to free. */
static void kill_chunk(struct np_arena *a, struct np_chunk *c)
{
	struct np_region *r = c->region;
	size_t i = ((uintptr_t)c->base - r->base) >> r->chunk_shift;

	count_chunks(a, -1);
	np_spill_note_chunk(a, c, 0);
	NP_TELL_BYTES(NP_TRACE_UNMAP, unmap, a->owner.tag, c->base,
		      a->classes->chunk_size);
	refund(a, c, np_chunk_ndirty(c));
	atomic_store_explicit(&r->chunks[i], NULL, memory_order_relaxed);
	c->next = a->dead_chunks;
	a->dead_chunks = c;
	if (--r->used == 0) {
		unlink_region(a, r);
		r->next = a->dead_regions;
		a->dead_regions = r;
	} else if (np_os_purge(c->base, a->classes->chunk_size) != 0) {
		r->unclean = true;
	}
}

/* An empty chunk that is in no list: spare, or dead. */
static void retire_chunk(struct np_arena *a, struct np_chunk *c)
{
	if (a->policies & NP_KEEP_SPARE)
		push_spare(a, c);
	else
		kill_chunk(a, c);
}

/* Drops the lock and frees what died under it. */
static void unlock_and_bury(struct np_arena *a)
{
	struct np_chunk *c = a->dead_chunks;
	struct np_region *r = a->dead_regions;
	size_t size = np_chunk_meta_size(a->classes);

	a->dead_chunks = NULL;
	a->dead_regions = NULL;
	np_unlock(&a->lock);
	while (c) {
		struct np_chunk *next = c->next;

		np_segment_leave(a->owner.segment, c->sight.entry);
		np_meta_free(np_owner_home(&a->owner), c, size);
		c = next;
	}
	while (r) {
		struct np_region *next = r->next;

		np_region_destroy(r);
		r = next;
	}
}

/* A run of c was given back: c moves down, or out. */
static void settle_chunk(struct np_arena *a, struct np_chunk *c)
{
	if (!np_chunklist_settle(c)) {
		if (c->reserved)
			np_chunklist_add(&a->lists[NP_QINIT], c);
		else
			retire_chunk(a, c);
	} else if (a->policies & NP_RELEASE_QINIT && !c->reserved &&
		   c->free_bytes == a->classes->chunk_size) {
		np_chunklist_remove(c);
		retire_chunk(a, c);
	}
}

/* --- all regions ------------------------------------------------------ */

/* A region that this pass has not seen. */
static struct np_region *next_region(const struct np_arena *a,
				     struct np_region *r)
{
	while (r && r->pass == a->pass)
		r = r->next;
	return r;
}

size_t np_arena_pass(struct np_arena *a, np_arena_visit *visit, void *arg)
{
	struct np_region *r;
	size_t sum = 0, n;

	np_lock(&a->lock);
	a->pass++;
	r = a->regions;
	while ((r = next_region(a, r))) {
		r->pass = a->pass;
		n = visit(a, r, arg);
		sum += n;
		if (!n)
			continue;
		np_unlock(&a->lock);
		np_lock(&a->lock);
		r = a->regions;
	}
	np_unlock(&a->lock);
	return sum;
}

/* --- taking ----------------------------------------------------------- */

/* From a chunk that is in a list: if it can be, from one without a spill. */
static struct np_chunk *take_listed(struct np_arena *a,
				    struct np_run_request *run)
{
	struct np_chunk *c;

	run->not_spilled = a->spilled && a->policies & NP_SPILLED_LAST;
	c = np_chunklists_take(a->lists, run);
	if (c || !run->not_spilled)
		return c;
	run->not_spilled = false;
	return np_chunklists_take(a->lists, run);
}

/* A chunk that is there and empty, in no list any more: a spare one, the last
 * that came first, or one of qInit that was reserved or reset. Netty has the
 * latter too, and does not use them for a piece of a whole chunk, which no
 * list serves. NULL: none. */
static struct np_chunk *empty_chunk(struct np_arena *a)
{
	struct np_chunk *c = take_spare(a, &a->spares);

	if (c)
		return c;
	if (a->policies & NP_RELEASE_QINIT)
		c = a->lists[NP_QINIT].head;
	while (c && c->free_bytes < a->classes->chunk_size)
		c = c->next;
	if (c)
		np_chunklist_remove(c);
	return c;
}

/* From an empty chunk or a new one. */
static struct np_chunk *run_from_new(struct np_arena *a,
				     struct np_run_request *run)
{
	struct np_chunk *c = empty_chunk(a), *other;

	if (!c) {
		if (run->held)
			return NULL;
		c = new_chunk(a);
		/* The lock was dropped: somebody may have been quicker. */
		other = take_listed(a, run);
		if (other && c)
			retire_chunk(a, c);
		if (other)
			return other;
		if (!c)
			c = empty_chunk(a);
		if (!c)
			return NULL;
	}
	c->serial = a->nchunks_made++;
	run->first = np_chunk_take_run(c, run->npages, run->align_order,
				       run->entry, &run->nclean);
	np_chunklist_add(&a->lists[NP_QINIT], c);
	return c;
}

/* A limit refuses the run that was found: back with it. */
static void take_back(struct np_arena *a, struct np_chunk *c,
		      const struct np_run_request *run)
{
	np_chunk_give_run(c, run->first, run->npages);
	if (run->nclean == run->npages) {
		np_chunk_mark_clean(c, run->first, run->npages);
	} else if (!(run->entry & NP_PAGE_SUBPAGE)) {
		/* Which pages were clean is forgotten: they are all dirty,
		 * and better purged. */
		np_limits_force(&a->owner.limits, bytes_of(a, run->nclean));
		np_decay_run(a, c, run->first, run->npages);
	}
	settle_chunk(a, c);
}

static void *address_of(const struct np_chunk *c, uint32_t first)
{
	return c->base + ((size_t)first << c->classes->page_shift);
}

/* Of a strict pool: brings the run into memory. What is dirty lies on its node
 * already. A subpage stays in memory whole until its run is given back, as if
 * each of its pages had an element that is taken. Returns false if its node
 * has no room. */
static bool place_run(struct np_arena *a, struct np_chunk *c,
		      const struct np_run_request *run)
{
	if (run->nclean && np_os_place(address_of(c, run->first),
				       bytes_of(a, run->npages),
				       a->owner.bind_node) != 0)
		return false;
	if (run->entry & NP_PAGE_SUBPAGE)
		np_chunk_mark_clean(c, run->first, run->npages);
	return true;
}

/* The node has no room for a run that was charged: back with it, and with what
 * came into memory. */
static void roll_back(struct np_arena *a, struct np_chunk *c,
		      const struct np_run_request *run)
{
	np_chunk_give_run(c, run->first, run->npages);
	np_chunk_mark_dirty(c, run->first, run->npages);
	np_decay_run(a, c, run->first, run->npages);
	settle_chunk(a, c);
}

static struct np_chunk *take_run(struct np_arena *a,
				 struct np_run_request *run)
{
	struct np_chunk *c = take_listed(a, run);

	if (!c)
		c = run_from_new(a, run);
	if (!c)
		return NULL;
	if (!charge_run(a, c, run->nclean))
		take_back(a, c, run);
	else if (a->owner.strict && !place_run(a, c, run))
		roll_back(a, c, run);
	else
		return c;
	return NULL;
}

/* The first subpage of the pool, or a new one. */
static struct np_subpage *find_subpage(struct np_arena *a, unsigned class,
				       struct np_run_request *run)
{
	struct np_subpage *sp = np_ring_first(&a->pools[class]);
	struct np_chunk *c;

	if (sp)
		return sp;
	c = take_run(a, run);
	if (!c)
		return NULL;
	sp = np_chunk_subpage(c, run->first);
	np_subpage_init(sp, &a->pools[class], c, run->first, class,
			&a->classes->row[class]);
	return sp;
}

static unsigned take_elements(struct np_arena *a, unsigned class,
			      struct np_run_request *run, unsigned n,
			      void **pieces)
{
	uint32_t slots[BATCH];
	unsigned got = 0;

	while (got < n) {
		unsigned want = n - got < BATCH ? n - got : BATCH, k;
		struct np_subpage *sp = find_subpage(a, class, run);
		char *start;

		if (!sp)
			break;
		start = address_of(sp->chunk, sp->first);
		k = np_subpage_take(sp, want, slots);
		show_fill(sp);
		for (unsigned i = 0; i < k; i++)
			pieces[got++] = start +
					(size_t)slots[i] * sp->elem_size;
	}
	return got;
}

static unsigned take_runs(struct np_arena *a, struct np_run_request *run,
			  unsigned n, void **pieces)
{
	unsigned got = 0;

	for (; got < n; got++) {
		struct np_chunk *c = take_run(a, run);

		if (!c)
			break;
		pieces[got] = address_of(c, run->first);
	}
	return got;
}

static unsigned take(struct np_arena *a, unsigned class, unsigned n,
		     void **pieces, bool held)
{
	const struct np_class *row = &a->classes->row[class];
	struct np_run_request run = np_run_request_for(a->classes, class);
	unsigned got;

	run.held = held;
	np_lock(&a->lock);
	got = row->nelems ? take_elements(a, class, &run, n, pieces)
			  : take_runs(a, &run, n, pieces);
	count_taken(a, row, got);
	unlock_and_bury(a);
	if (got < n && !held)
		errno = ENOMEM;
	return got;
}

unsigned np_arena_take(struct np_arena *a, unsigned class, unsigned n,
		       void **pieces)
{
	return take(a, class, n, pieces, false);
}

unsigned np_arena_take_held(struct np_arena *a, unsigned class, unsigned n,
			    void **pieces)
{
	return take(a, class, n, pieces, true);
}

static void *take_placed(struct np_arena *a, unsigned class, size_t align,
			 bool *zero, bool held)
{
	const struct np_class *row = &a->classes->row[class];
	size_t page = (size_t)1 << a->classes->page_shift;
	struct np_run_request run = np_run_request_for(a->classes, class);
	struct np_chunk *c;

	np_assert(!row->nelems);
	run.held = held;
	if (run.piece < align)
		run.piece = align;
	if (align > page)
		run.align_order = np_log2(align / page);
	np_lock(&a->lock);
	c = take_run(a, &run);
	if (c)
		count_taken(a, row, 1);
	unlock_and_bury(a);
	if (!c) {
		if (!held)
			errno = ENOMEM;
		return NULL;
	}
	*zero = run.nclean == row->npages;
	return address_of(c, run.first);
}

void *np_arena_take_run(struct np_arena *a, unsigned class, size_t align,
			bool *zero)
{
	return take_placed(a, class, align, zero, false);
}

void *np_arena_take_run_held(struct np_arena *a, unsigned class, size_t align,
			     bool *zero)
{
	return take_placed(a, class, align, zero, true);
}

/* --- putting ---------------------------------------------------------- */

/* A run comes back: to the tree, and what it no longer holds off the bill. */
static void give_run(struct np_arena *a, struct np_chunk *c, uint32_t first,
		     uint32_t npages)
{
	if (a->owner.strict && c->pages[first] & NP_PAGE_SUBPAGE)
		np_chunk_touch(c, first, npages); /* see place_run */
	refund(a, c, np_chunk_give_run(c, first, npages));
	if (!a->decay_ms && a->policies & NP_DECAY)
		np_decay_run(a, c, first, npages);
	settle_chunk(a, c);
}

static enum np_put put_element(struct np_arena *a,
			       const struct np_place *place)
{
	struct np_chunk *c = place->chunk;
	struct np_subpage *sp = np_chunk_subpage(c, place->first);
	unsigned shift = c->classes->page_shift;
	size_t start = (size_t)place->slot * sp->elem_size;
	uint32_t page = (uint32_t)(start >> shift);
	uint32_t last = (uint32_t)((start + sp->elem_size - 1) >> shift);
	enum np_put put;

	if (sp->elem_size && !a->owner.strict)
		np_chunk_touch(c, place->first + page, last - page + 1);
	put = np_subpage_put(sp, &a->pools[place->class], place->slot);
	show_fill(sp);
	if (c->spill.bytes && put == NP_PUT_KEPT)
		np_spill_defer(a, sp);
	return put;
}

static void put_piece(struct np_arena *a, void *p)
{
	struct np_place place = np_place_of(p);
	const struct np_class *row;

	if (!place.region || !place.entry || place.offset ||
	    !np_place_is_taken(&place))
		np_place_die(p, &place, "free");
	row = &a->classes->row[place.class];
	count_put(a, row);
	if (row->nelems && put_element(a, &place) == NP_PUT_KEPT)
		return;
	give_run(a, place.chunk, place.first, row->npages);
}

void np_arena_put(struct np_arena *a, void *const *pieces, unsigned n)
{
	np_lock(&a->lock);
	for (unsigned i = 0; i < n; i++)
		put_piece(a, pieces[i]);
	unlock_and_bury(a);
}

static struct np_arena *arena_of(const void *p)
{
	struct np_region *r = np_map_find(p);

	return r ? r->arena : NULL;
}

void np_arenas_put(void **pieces, size_t n)
{
	while (n) {
		struct np_arena *a = arena_of(pieces[0]);
		unsigned same = 1;

		if (!a) {
			np_arena_check(pieces[0], "free");
			np_die("free(%p): double free: a huge block lies "
			       "there now", pieces[0]);
		}
		/* Those of the first one's arena come to the front. */
		for (unsigned i = 1; i < n; i++)
			if (arena_of(pieces[i]) == a) {
				void *p = pieces[i];

				pieces[i] = pieces[same];
				pieces[same++] = p;
			}
		np_arena_put(a, pieces, same);
		pieces += same;
		n -= same;
	}
}

/* --- trimming --------------------------------------------------------- */

static void release_empty_of(struct np_arena *a, unsigned class,
			     unsigned most)
{
	struct np_ring *link = a->pools[class].next, *next;

	for (; most-- && link != &a->pools[class]; link = next) {
		struct np_subpage *sp = (struct np_subpage *)(void *)link;

		next = link->next;
		if (sp->avail < sp->max_elems || !sp->elem_size)
			continue;
		np_subpage_unlink(sp);
		give_run(a, sp->chunk, sp->first,
			 a->classes->row[class].npages);
	}
}

void np_arena_release_empty(struct np_arena *a, unsigned most)
{
	for (unsigned class = 1; class < NP_MAX_CLASSES; class++) {
		np_lock(&a->lock);
		release_empty_of(a, class, most);
		unlock_and_bury(a);
	}
}

/* May the chunk be unmapped: is it empty, and all or nothing in it younger
 * than the last tick? */
static bool may_kill(const struct np_chunk *c, bool all)
{
	return !c->reserved && c->free_bytes == c->classes->chunk_size &&
	       (all || np_chunk_is_aged(c));
}

size_t np_arena_release_chunks(struct np_arena *a, bool all)
{
	struct np_chunk **link = &a->spares, *c, *next;
	uint64_t before, after;

	np_lock(&a->lock);
	before = np_count_get(&a->count->reserved);
	while (*link) {
		if (may_kill(*link, all))
			kill_chunk(a, take_spare(a, link));
		else
			link = &(*link)->next;
	}
	c = a->policies & NP_RELEASE_QINIT ? a->lists[NP_QINIT].head : NULL;
	for (; c; c = next) {
		next = c->next;
		if (!may_kill(c, all))
			continue;
		np_chunklist_remove(c);
		kill_chunk(a, c);
	}
	after = np_count_get(&a->count->reserved);
	unlock_and_bury(a);
	return before - after;
}

size_t np_arena_trim(struct np_arena *a)
{
	size_t bytes;

	np_arena_release_empty(a, UINT_MAX);
	bytes = np_arena_release_chunks(a, true);
	return bytes + np_decay_all(a);
}

void np_arena_set_decay(struct np_arena *a, int64_t decay_ms)
{
	np_lock(&a->lock);
	a->decay_ms = decay_ms;
	np_unlock(&a->lock);
}

/* --- reserving -------------------------------------------------------- */

/* Brings the new chunk's pages into memory. */
static int warm_up(const struct np_arena *a, const struct np_chunk *c,
		   bool lock)
{
	size_t size = c->classes->chunk_size;
	int error = a->owner.strict
		? np_os_place(c->base, size, a->owner.bind_node)
		: np_os_warm(c->base, size);

	return error || !lock ? error : np_os_lock(c->base, size);
}

int np_arena_reserve(struct np_arena *a, bool populate, bool lock)
{
	size_t size = a->classes->chunk_size;
	struct np_chunk *c;
	int error = 0;

	populate = populate || lock;
	if (populate && !np_limits_charge(&a->owner.limits, size))
		return ENOMEM;
	np_lock(&a->lock);
	c = new_chunk(a);
	np_unlock(&a->lock);
	/* It is in no list yet: nobody gets a piece of it. */
	if (c && populate)
		error = warm_up(a, c, lock);
	np_lock(&a->lock);
	if (c && !error) {
		if (populate) /* its dirty pages have been charged already */
			refund(a, c, np_chunk_ndirty(c));
		c->reserved = true;
		c->populated = populate;
		c->serial = a->nchunks_made++;
		np_chunklist_add(&a->lists[NP_QINIT], c);
	} else if (c) {
		kill_chunk(a, c);
	}
	unlock_and_bury(a);
	if (!c)
		error = ENOMEM;
	if (error && populate)
		np_limits_refund(&a->owner.limits, size);
	return error == EFAULT || error == EAGAIN || error == EBUSY ? ENOMEM
								    : error;
}

/* --- the end ---------------------------------------------------------- */

/* Forgets the pieces that were out. */
static void count_none(struct np_arena *a)
{
	uint64_t taken = np_count_get(&a->count->taken);

	np_count_set(&a->count->taken, 0);
	if (a->node)
		count_node(&a->node->taken, &a->node->peak_taken, -taken);
}

void np_arena_reset(struct np_arena *a)
{
	np_lock(&a->lock);
	count_none(a);
	for (unsigned class = 0; class < NP_MAX_CLASSES; class++)
		np_ring_init(&a->pools[class]);
	for (int i = NP_Q000; i < NP_NLISTS; i++)
		while (a->lists[i].head) {
			struct np_chunk *c = a->lists[i].head;

			np_chunklist_remove(c);
			np_chunk_reset(c);
			np_chunklist_add(&a->lists[NP_QINIT], c);
		}
	for (struct np_chunk *c = a->lists[NP_QINIT].head; c; c = c->next) {
		np_chunk_reset(c);
		np_chunklist_settle(c);
	}
	np_unlock(&a->lock);
}

static void zero(void *p, size_t size)
{
	if (np_unlikely(np_memcheck_on))
		np_memcheck_own(p, size);
	memset(p, 0, size);
}

static void clear_chunk(const struct np_chunk *c)
{
	size_t page = (size_t)1 << c->classes->page_shift;

	for (uint32_t i = 0; i < np_chunk_npages(c); i++)
		if (!c->pages[i] && np_chunk_is_dirty(c, i))
			zero(c->base + i * page, page);
}

void np_arena_clear(struct np_arena *a)
{
	np_decay_all(a);
	np_lock(&a->lock);
	/* What could not be purged: pinned chunks, say. */
	for (int i = 0; i < NP_NLISTS; i++)
		for (struct np_chunk *c = a->lists[i].head; c; c = c->next)
			clear_chunk(c);
	for (struct np_chunk *c = a->spares; c; c = c->next)
		clear_chunk(c);
	np_unlock(&a->lock);
}

void np_arena_fini(struct np_arena *a)
{
	np_lock(&a->lock);
	a->policies = 0;
	while (a->spares)
		kill_chunk(a, take_spare(a, &a->spares));
	for (int i = 0; i < NP_NLISTS; i++)
		while (a->lists[i].head) {
			struct np_chunk *c = a->lists[i].head;

			np_chunklist_remove(c);
			kill_chunk(a, c);
		}
	unlock_and_bury(a);
}

/* --- learning the nodes ----------------------------------------------- */

/* A chunk that is older than the segment. */
static void show_late(struct np_arena *a, struct np_chunk *c)
{
	uint32_t npages = np_chunk_npages(c);

	if (c->sight.entry >= 0)
		return;
	show_chunk(a, c);
	for (uint32_t p = 0; c->sight.map && p < npages; p++) {
		uint32_t entry = c->pages[p];

		c->sight.map[p] = (uint8_t)(entry & NP_PAGE_CLASS);
		if (entry & NP_PAGE_SUBPAGE && !(entry >> NP_PAGE_OFFSET_SHIFT))
			show_fill(np_chunk_subpage(c, p));
	}
}

static void show_chunks(struct np_arena *a)
{
	for (int i = 0; i < NP_NLISTS; i++)
		for (struct np_chunk *c = a->lists[i].head; c; c = c->next)
			show_late(a, c);
	for (struct np_chunk *c = a->spares; c; c = c->next)
		show_late(a, c);
}

/* Pages that limits count: taken, or dirty. */
static size_t charged_pages(const struct np_chunk *c)
{
	size_t n = 0;

	for (uint32_t i = 0; i < np_chunk_npages(c); i++)
		n += c->pages[i] || np_chunk_is_dirty(c, i);
	return n;
}

/* What was charged to the pool alone, its node being unknown. */
static void charge_node(struct np_arena *a)
{
	struct np_limits node = { .node = a->owner.limits.node };
	size_t npages = 0;

	for (struct np_chunk *c = a->spares; c; c = c->next)
		npages += charged_pages(c);
	for (int i = 0; i < NP_NLISTS; i++)
		for (struct np_chunk *c = a->lists[i].head; c; c = c->next)
			npages += charged_pages(c);
	np_limits_force(&node, npages << a->classes->page_shift);
}

void np_arena_settle(struct np_arena *a, const struct np_owner *owner)
{
	struct np_segment_arena *count = np_segment_arena(owner->segment,
							  a->index);

	np_lock(&a->lock);
	a->owner = *owner;
	np_chunklists_index(a->lists, np_owner_home(owner));
	a->node = np_segment_node(owner->segment, np_owner_home(owner));
	for (struct np_region *r = a->regions; r; r = r->next)
		move_region(a, r);
	charge_node(a);
	*count = a->early;
	count->home = np_owner_home(owner);
	a->count = count;
	count_node(&a->node->taken, &a->node->peak_taken,
		   np_count_get(&count->taken));
	count_node(&a->node->reserved, &a->node->peak_reserved,
		   np_count_get(&count->reserved));
	show_chunks(a);
	np_unlock(&a->lock);
}

/* --- checking --------------------------------------------------------- */

void np_arena_check(const void *p, const char *what)
{
	struct np_place place = np_place_of(p);
	struct np_arena *a;

	if (!place.region)
		np_place_die(p, &place, what);
	a = place.region->arena;
	if (!a) {
		if (place.offset)
			np_place_die(p, &place, what);
		return;
	}
	np_lock(&a->lock);
	place = np_place_of(p);
	if (place.offset || !np_place_is_taken(&place))
		np_place_die(p, &place, what);
	np_unlock(&a->lock);
}

/* --- invariants ------------------------------------------------------- */

bool np_arena_valid(const struct np_arena *a)
{
	if (!np_chunklists_valid(a->lists))
		return false;
	for (int i = 0; i < NP_NLISTS; i++)
		for (struct np_chunk *c = a->lists[i].head; c; c = c->next)
			if (!np_chunk_valid(c))
				return false;
	for (unsigned k = 1; k < NP_MAX_CLASSES; k++)
		for (const struct np_ring *l = a->pools[k].next;
		     l != &a->pools[k]; l = l->next)
			if (!np_subpage_valid((const void *)l))
				return false;
	for (struct np_chunk *c = a->spares; c; c = c->next)
		if (c->free_bytes != a->classes->chunk_size)
			return false;
	return true;
}
