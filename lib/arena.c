/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * arena: see arena.h.
 */
#include "arena.h"
#include "decay.h"
#include "meta.h"
#include "os.h"

#include <errno.h>

#define BATCH 64 /* elements taken from a bitmap at a time */

void np_arena_init(struct np_arena *a, const struct np_classes *classes,
		   np_home_t home, int bind_node, unsigned index,
		   unsigned policies, int64_t decay_ms)
{
	np_lock_init(&a->lock, NP_RANK_ARENA);
	a->classes = classes;
	a->home = home;
	a->bind_node = bind_node;
	a->index = (uint16_t)index;
	a->policies = policies;
	a->decay_ms = decay_ms;
	a->count = &a->early;
	np_chunklists_init(a->lists, classes->chunk_size);
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

static void set_spare(struct np_arena *a, struct np_chunk *c)
{
	a->spare = c;
	np_count_set(&a->count->spare, c != NULL);
}

/* --- chunks come ------------------------------------------------------ */

static void link_region(struct np_arena *a, struct np_region *r)
{
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

	while (r && r->used == r->nchunks)
		r = r->next;
	return r;
}

static void show_chunk(struct np_arena *a, struct np_chunk *c)
{
	c->sight_entry = np_segment_enter(c->base, a->classes->chunk_size,
					  a->home, a->index, &c->sight);
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
	if (r->unclean)
		np_chunk_mark_dirty(c, 0, npages);
	c->region = r;
	c->base = (char *)r->base + ((size_t)i << r->chunk_shift);
	r->used++;
	count_chunks(a, 1);
	show_chunk(a, c);
	/* Release: pairs with the acquire in np_region_chunk. */
	atomic_store_explicit(&r->chunks[i], c, memory_order_release);
	return c;
}

static void move_region(struct np_arena *a, struct np_region *r)
{
	atomic_store_explicit(&r->home, a->home, memory_order_relaxed);
	np_os_bind((void *)r->base, r->size, a->bind_node);
}

/* A new chunk, in no list; drops the lock while the kernel is asked for
 * memory. NULL: there is none. */
static struct np_chunk *new_chunk(struct np_arena *a)
{
	size_t size = np_chunk_meta_size(a->classes);
	struct np_region *r = region_with_room(a);
	np_home_t home = a->home;
	int bind_node = a->bind_node;
	void *meta;

	if (r) {
		meta = np_meta_alloc(home, size);
		return meta ? place_chunk(a, r, meta) : NULL;
	}
	np_unlock(&a->lock);
	r = np_region_create(a, a->index, home, bind_node, a->classes);
	meta = r ? np_meta_alloc(home, size) : NULL;
	if (r && !meta)
		np_region_destroy(r);
	np_lock(&a->lock);
	if (!meta)
		return NULL;
	link_region(a, r);
	if (a->home != home)
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
	if (a->policies & NP_KEEP_SPARE && !a->spare)
		set_spare(a, c);
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

		np_segment_leave(c->sight_entry);
		np_meta_free(a->home, c, size);
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
		retire_chunk(a, c);
	} else if (a->policies & NP_RELEASE_QINIT &&
		   c->free_bytes == a->classes->chunk_size) {
		np_chunklist_remove(c);
		retire_chunk(a, c);
	}
}

/* --- taking ----------------------------------------------------------- */

static struct np_chunk *run_from_lists(struct np_arena *a,
				       struct np_run_request *run)
{
	/* A chunk that is three quarters full will hardly hold the run: q075
	 * comes last. */
	static const enum np_chunklist_name order[] = {
		NP_Q050, NP_Q025, NP_Q000, NP_QINIT, NP_Q075,
	};
	struct np_chunk *c = NULL;

	for (size_t i = 0; !c && i < sizeof order / sizeof *order; i++)
		c = np_chunklist_take(&a->lists[order[i]], run);
	return c;
}

/* From the spare chunk or a new one. */
static struct np_chunk *run_from_new(struct np_arena *a,
				     struct np_run_request *run)
{
	struct np_chunk *c = a->spare, *other;

	if (c) {
		set_spare(a, NULL);
	} else {
		c = new_chunk(a);
		/* The lock was dropped: somebody may have been quicker. */
		other = run_from_lists(a, run);
		if (other && c)
			retire_chunk(a, c);
		if (other)
			return other;
		if (!c && a->spare) {
			c = a->spare;
			set_spare(a, NULL);
		}
		if (!c)
			return NULL;
	}
	c->serial = a->nchunks_made++;
	run->first = np_chunk_take_run(c, run->npages, run->align_order,
				       run->entry, &run->clean);
	np_chunklist_add(&a->lists[NP_QINIT], c);
	return c;
}

static struct np_chunk *take_run(struct np_arena *a,
				 struct np_run_request *run)
{
	struct np_chunk *c = run_from_lists(a, run);

	return c ? c : run_from_new(a, run);
}

static void *address_of(const struct np_chunk *c, uint32_t first)
{
	return c->base + ((size_t)first << c->classes->page_shift);
}

/* The first subpage of the pool, or a new one. */
static struct np_subpage *find_subpage(struct np_arena *a, unsigned class)
{
	const struct np_class *row = &a->classes->row[class];
	struct np_subpage *sp = np_ring_first(&a->pools[class]);
	struct np_run_request run = {
		.piece = row->size,
		.npages = row->npages,
		.entry = class | NP_PAGE_SUBPAGE,
	};
	struct np_chunk *c;

	if (sp)
		return sp;
	c = take_run(a, &run);
	if (!c)
		return NULL;
	sp = np_chunk_subpage(c, run.first);
	np_subpage_init(sp, &a->pools[class], c, run.first, class, row);
	return sp;
}

static unsigned take_elements(struct np_arena *a, unsigned class, unsigned n,
			      void **pieces)
{
	uint32_t slots[BATCH];
	unsigned got = 0;

	while (got < n) {
		unsigned want = n - got < BATCH ? n - got : BATCH, k;
		struct np_subpage *sp = find_subpage(a, class);
		char *run;

		if (!sp)
			break;
		run = address_of(sp->chunk, sp->first);
		k = np_subpage_take(sp, want, slots);
		for (unsigned i = 0; i < k; i++)
			pieces[got++] = run + (size_t)slots[i] * sp->elem_size;
	}
	return got;
}

static unsigned take_runs(struct np_arena *a, unsigned class, unsigned n,
			  void **pieces)
{
	const struct np_class *row = &a->classes->row[class];
	unsigned got = 0;

	for (; got < n; got++) {
		struct np_run_request run = {
			.piece = row->size,
			.npages = row->npages,
			.entry = class,
		};
		struct np_chunk *c = take_run(a, &run);

		if (!c)
			break;
		pieces[got] = address_of(c, run.first);
	}
	return got;
}

unsigned np_arena_take(struct np_arena *a, unsigned class, unsigned n,
		       void **pieces)
{
	const struct np_class *row = &a->classes->row[class];
	unsigned got;

	np_lock(&a->lock);
	got = row->nelems ? take_elements(a, class, n, pieces)
			  : take_runs(a, class, n, pieces);
	count_taken(a, row, got);
	np_decay_visit(a);
	unlock_and_bury(a);
	if (got < n)
		errno = ENOMEM;
	return got;
}

void *np_arena_take_run(struct np_arena *a, unsigned class, size_t align,
			bool *zero)
{
	const struct np_class *row = &a->classes->row[class];
	size_t page = (size_t)1 << a->classes->page_shift;
	struct np_run_request run = {
		.piece = row->size > align ? row->size : align,
		.npages = row->npages,
		.align_order = align > page ? np_log2(align / page) : 0,
		.entry = class,
	};
	struct np_chunk *c;

	np_assert(!row->nelems);
	np_lock(&a->lock);
	c = take_run(a, &run);
	if (c)
		count_taken(a, row, 1);
	np_decay_visit(a);
	unlock_and_bury(a);
	if (!c)
		return errno = ENOMEM, NULL;
	*zero = run.clean;
	return address_of(c, run.first);
}

/* --- putting ---------------------------------------------------------- */

static void put_piece(struct np_arena *a, void *p)
{
	struct np_place place = np_place_of(p);
	const struct np_class *row;
	enum np_put put = NP_PUT_EMPTY;

	if (!place.region || !place.entry || place.offset ||
	    !np_place_is_taken(&place))
		np_place_die(p, &place, "free");
	row = &a->classes->row[place.class];
	count_put(a, row);
	if (row->nelems)
		put = np_subpage_put(np_chunk_subpage(place.chunk,
						      place.first),
				     &a->pools[place.class], place.slot);
	if (put == NP_PUT_KEPT)
		return;
	np_chunk_give_run(place.chunk, place.first, row->npages);
	settle_chunk(a, place.chunk);
}

void np_arena_put(struct np_arena *a, void *const *pieces, unsigned n)
{
	np_lock(&a->lock);
	for (unsigned i = 0; i < n; i++)
		put_piece(a, pieces[i]);
	np_decay_visit(a);
	unlock_and_bury(a);
}

static struct np_arena *arena_of(const void *p)
{
	struct np_region *r = np_map_find(p);

	return r ? r->arena : NULL;
}

void np_arenas_put(void **pieces, unsigned n)
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

static void release_empty_of(struct np_arena *a, unsigned class)
{
	struct np_ring *link = a->pools[class].next, *next;

	for (; link != &a->pools[class]; link = next) {
		struct np_subpage *sp = (struct np_subpage *)(void *)link;
		struct np_chunk *c = sp->chunk;

		next = link->next;
		if (sp->avail < sp->max_elems || !sp->elem_size)
			continue;
		np_subpage_unlink(sp);
		np_chunk_give_run(c, sp->first,
				  a->classes->row[class].npages);
		settle_chunk(a, c);
	}
}

void np_arena_release_empty(struct np_arena *a)
{
	for (unsigned class = 1; class < NP_MAX_CLASSES; class++)
		release_empty_of(a, class);
}

size_t np_arena_trim(struct np_arena *a)
{
	size_t before, after, purged;

	np_lock(&a->lock);
	before = np_count_get(&a->count->reserved);
	np_arena_release_empty(a);
	if (a->spare) {
		struct np_chunk *c = a->spare;

		set_spare(a, NULL);
		kill_chunk(a, c);
	}
	purged = np_decay_all(a);
	after = np_count_get(&a->count->reserved);
	unlock_and_bury(a);
	return purged + (before - after);
}

void np_arena_fini(struct np_arena *a)
{
	np_lock(&a->lock);
	a->policies = 0;
	if (a->spare)
		kill_chunk(a, a->spare);
	set_spare(a, NULL);
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

	if (c->sight_entry >= 0)
		return;
	show_chunk(a, c);
	for (uint32_t p = 0; c->sight && p < npages; p++)
		c->sight[p] = (uint8_t)(c->pages[p] & NP_PAGE_CLASS);
}

static void show_chunks(struct np_arena *a)
{
	for (int i = 0; i < NP_NLISTS; i++)
		for (struct np_chunk *c = a->lists[i].head; c; c = c->next)
			show_late(a, c);
	if (a->spare)
		show_late(a, a->spare);
}

void np_arena_settle(struct np_arena *a, np_home_t home, int bind_node)
{
	struct np_segment_arena *count = np_segment_arena(a->index);

	np_lock(&a->lock);
	a->home = home;
	a->bind_node = bind_node;
	a->node = np_segment_node(home);
	for (struct np_region *r = a->regions; r; r = r->next)
		move_region(a, r);
	*count = a->early;
	count->home = home;
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
	return !a->spare || a->spare->free_bytes == a->classes->chunk_size;
}
