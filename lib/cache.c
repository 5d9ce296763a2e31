/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * cache: see cache.h.
 */
#include "cache.h"
#include "meta.h"

#include <errno.h>

#define FIRST_BYTES (4 * NP_KIB) /* a first magazine holds no more */
#define REFILLS_TO_GROW 2	 /* refilled so often, it doubles */
#define SLOW_TO_SEND 64		 /* visits until outgoing pieces are sent */

struct np_cache np_cache_none = {
	.cpu_now = &np_cache_none.cpu,
	.first_large = NP_MAX_CLASSES,
	.home = NP_NO_NODE,
	.loaded = { [0 ... NP_MAX_CLASSES - 1] = &np_mag_none },
	.second = { [0 ... NP_MAX_CLASSES - 1] = &np_mag_none },
};

static const struct np_class *row_of(const struct np_cache *c, unsigned class)
{
	return &c->nodes->classes->row[class];
}

static bool is_large(const struct np_class *row)
{
	return row->size > NP_SMALL_MAX;
}

int np_cache_init(struct np_cache *c, const struct np_nodes *nodes,
		  struct np_node *node, struct np_arena *arena,
		  struct np_thread *thread)
{
	c->count = np_block_get(node->home, arena->index);
	c->outgoing = np_meta_alloc(node->home, nodes->n *
				    (sizeof *c->outgoing +
				     sizeof *c->outgoing_bytes));
	if (!c->count || !c->outgoing) {
		if (c->count)
			np_block_put(c->count);
		return ENOMEM;
	}
	c->outgoing_bytes = (size_t *)(void *)(c->outgoing + nodes->n);
	c->cpu_now = &c->cpu;
	c->home = node->home;
	for (unsigned i = 0; i < NP_MAX_CLASSES; i++)
		c->loaded[i] = c->second[i] = &np_mag_none;
	c->nodes = nodes;
	c->first_large = np_class_of(nodes->classes, NP_SMALL_MAX);
	c->first_large = c->first_large ? c->first_large + 1 : NP_MAX_CLASSES;
	c->node = node;
	c->arena = arena;
	c->thread = thread;
	return 0;
}

/* --- magazines grow --------------------------------------------------- */

static uint32_t clamp(size_t n, uint32_t least, uint32_t most)
{
	return n < least ? least : n > most ? most : (uint32_t)n;
}

/* The most pieces of the class that one magazine may hold. */
static uint32_t most_pieces(const struct np_class *row)
{
	/* Netty's tiny, small and normal cache sizes. */
	static const uint32_t entries[NP_KINDS] = { NP_MAG_MOST, 256, 64, 1 };

	if (is_large(row))
		return clamp(NP_LARGE_BYTES / row->size, 1, 64);
	return clamp(NP_LOADED_BYTES / row->size, 1, entries[row->kind]);
}

static uint32_t first_pieces(const struct np_class *row)
{
	return clamp(FIRST_BYTES / row->size, 1, NP_MAG_FIRST);
}

/* Puts another magazine into loaded[class]. */
static void load(struct np_cache *c, unsigned class, struct np_mag *mag)
{
	size_t size = row_of(c, class)->size;

	c->loaded_bytes += mag->cap * size;
	c->loaded_bytes -= c->loaded[class]->cap * size;
	c->loaded[class] = mag;
}

/* The loaded magazine is empty and was refilled often: a larger one takes its
 * place, if the budget allows. */
static void grow(struct np_cache *c, unsigned class)
{
	const struct np_class *row = row_of(c, class);
	struct np_mag *old = c->loaded[class], *mag;
	uint32_t cap = clamp(2 * (size_t)old->cap, 1, most_pieces(row));
	size_t more = (cap - old->cap) * (size_t)row->size;

	np_assert(!old->n);
	if (++c->refills[class] < REFILLS_TO_GROW || cap <= old->cap ||
	    c->loaded_bytes + more > NP_LOADED_BYTES)
		return;
	mag = np_mag_create(c->node->home, cap);
	if (!mag)
		return;
	c->refills[class] = 0;
	load(c, class, mag);
	np_mag_destroy(c->node->home, old);
}

/* Makes sure that the class has a loaded magazine of its own. */
static bool have_loaded(struct np_cache *c, unsigned class)
{
	struct np_mag *mag;

	if (c->loaded[class] != &np_mag_none)
		return true;
	mag = np_mag_create(c->node->home, first_pieces(row_of(c, class)));
	if (mag)
		load(c, class, mag);
	return mag != NULL;
}

static void move_pieces(struct np_mag *to, struct np_mag *from)
{
	while (from->n && to->n < to->cap)
		to->slot[to->n++] = from->slot[--from->n];
}

/* One of the two magazines is empty (or cannot serve), the other one not:
 * they change places. If loading second[class] would pass the budget, only
 * pieces change places, as many as there is room for. */
static void exchange(struct np_cache *c, unsigned class)
{
	struct np_mag *mag = c->loaded[class], *other = c->second[class];
	size_t size = row_of(c, class)->size;

	if (other->cap <= mag->cap ||
	    c->loaded_bytes + (other->cap - mag->cap) * size <=
	    NP_LOADED_BYTES || mag == &np_mag_none) {
		load(c, class, other);
		c->second[class] = mag;
	} else if (mag->n) {
		move_pieces(other, mag);
	} else {
		move_pieces(mag, other);
	}
}

/* --- counting --------------------------------------------------------- */

static void count_in(struct np_cache *c, size_t bytes)
{
	np_count_add(&c->count->in_bytes, bytes);
}

static void count_out(struct np_cache *c, size_t bytes)
{
	np_count_add(&c->count->out_bytes, bytes);
}

/* --- back to the arenas ----------------------------------------------- */

static void flush_mag(struct np_cache *c, struct np_mag *mag, size_t size)
{
	if (!mag->n)
		return;
	np_count_add(&c->count->flushes, 1);
	count_out(c, mag->n * size);
	np_arenas_put(mag->slot, mag->n);
	mag->n = 0;
}

static void flush_piece(struct np_cache *c, void *p, size_t size)
{
	np_count_add(&c->count->flushes, 1);
	count_out(c, size);
	np_arenas_put(&p, 1);
}

/* --- taking: small ---------------------------------------------------- */

static void *pop(struct np_mag *mag)
{
	return mag->slot[--mag->n];
}

/* The depot's full magazine for our empty one. */
static bool refill_from_depot(struct np_cache *c, unsigned class)
{
	size_t size = row_of(c, class)->size;
	struct np_mag *empty = c->second[class], *mag;

	mag = np_depot_get(c->node->depot, class, size,
			   empty == &np_mag_none ? NULL : empty);
	if (!mag)
		return false;
	np_count_add(&c->count->depot_gets, 1);
	count_in(c, mag->n * size);
	c->second[class] = mag;
	have_loaded(c, class);
	exchange(c, class);
	return true;
}

static bool refill_from_arena(struct np_cache *c, unsigned class)
{
	struct np_mag *mag;

	if (!have_loaded(c, class))
		return false;
	grow(c, class);
	mag = c->loaded[class];
	mag->n = np_arena_take(c->arena, class, mag->cap, mag->slot);
	np_count_add(&c->count->fills, 1);
	count_in(c, mag->n * (size_t)row_of(c, class)->size);
	return mag->n > 0;
}

/* Without memory for a magazine there may still be a piece. */
static void *take_bare(struct np_cache *c, unsigned class)
{
	void *p;

	if (np_arena_take(c->arena, class, 1, &p) != 1)
		return NULL;
	count_in(c, row_of(c, class)->size);
	return p;
}

static void receive(struct np_cache *c);

static void *take_small(struct np_cache *c, unsigned class)
{
	if (!c->loaded[class]->n) {
		np_count_add(&c->count->misses, 1);
		receive(c);
	}
	if (!c->loaded[class]->n && c->second[class]->n)
		exchange(c, class);
	if (!c->loaded[class]->n && !refill_from_depot(c, class) &&
	    !refill_from_arena(c, class))
		return take_bare(c, class);
	return pop(c->loaded[class]);
}

/* --- taking: large ---------------------------------------------------- */

static void *take_large(struct np_cache *c, unsigned class)
{
	void *p = np_cache_pop_large(c, class);

	if (!p) {
		receive(c);
		p = np_cache_pop_large(c, class);
	}
	if (p)
		return p;
	p = take_bare(c, class);
	if (!p)
		return NULL;
	np_count_add(&c->count->misses, 1);
	np_count_add(&c->count->fills, 1);
	np_count_add(&c->count->class[class].allocs, 1);
	return p;
}

/* Pieces of other homes do not wait for ever. */
static void count_visit(struct np_cache *c)
{
	if (++c->nslow % SLOW_TO_SEND == 0)
		np_cache_send_all(c);
}

void *np_cache_take(struct np_cache *c, unsigned class)
{
	void *p;

	count_visit(c);
	if (class >= c->first_large)
		return take_large(c, class);
	p = take_small(c, class);
	if (p)
		np_count_add(&c->count->class[class].allocs, 1);
	return p;
}

void *np_cache_take_run(struct np_cache *c, unsigned class, size_t align,
			bool *zero)
{
	void *p = np_arena_take_run(c->arena, class, align, zero);

	if (!p)
		return NULL;
	np_count_add(&c->count->misses, 1);
	np_count_add(&c->count->fills, 1);
	np_count_add(&c->count->class[class].allocs, 1);
	count_in(c, row_of(c, class)->size);
	return p;
}

/* --- giving: small ---------------------------------------------------- */

static void push(struct np_mag *mag, void *p)
{
	mag->slot[mag->n++] = p;
}

/* second[class] is full: to the depot with it, an empty one in its place. */
static void unload_second(struct np_cache *c, unsigned class)
{
	struct np_mag *full = c->second[class], *empty;
	size_t size = row_of(c, class)->size, bytes = full->n * size;

	if (!np_depot_put(c->node->depot, class, size, full, &empty)) {
		flush_mag(c, full, size);
		return;
	}
	np_count_add(&c->count->depot_puts, 1);
	count_out(c, bytes);
	c->second[class] = empty ? empty : &np_mag_none;
}

/* loaded[class] is full: makes room in it. */
static bool make_room(struct np_cache *c, unsigned class)
{
	struct np_mag *mag;

	if (c->second[class]->n)
		unload_second(c, class);
	if (c->second[class] == &np_mag_none) {
		mag = np_mag_create(c->node->home, c->loaded[class]->cap);
		if (!mag)
			return false;
		c->second[class] = mag;
	}
	exchange(c, class);
	grow(c, class);
	return true;
}

/* Into the cache, however it came here; not counted yet. */
static void keep_small(struct np_cache *c, void *p, unsigned class)
{
	struct np_mag *mag;

	if (!have_loaded(c, class)) {
		flush_piece(c, p, row_of(c, class)->size);
		return;
	}
	mag = c->loaded[class];
	if (mag->n == mag->cap && !make_room(c, class))
		flush_piece(c, p, row_of(c, class)->size);
	else
		push(c->loaded[class], p);
}

/* --- giving: large ---------------------------------------------------- */

/* Pushes large pieces of other classes out until there is room. */
static void make_large_room(struct np_cache *c, unsigned class, size_t size)
{
	unsigned n = c->nodes->classes->n;

	for (unsigned tries = 0; tries < n &&
	     c->large_bytes + size > NP_LARGE_BYTES; tries++) {
		unsigned k = c->large_hand = c->large_hand % n + 1;
		size_t other = row_of(c, k)->size;

		if (k == class || !is_large(row_of(c, k)))
			continue;
		c->large_bytes -= c->second[k]->n * other;
		flush_mag(c, c->second[k], other);
	}
}

static void keep_large(struct np_cache *c, void *p, unsigned class)
{
	const struct np_class *row = row_of(c, class);

	if (row->size > NP_LARGE_PIECE_MAX) {
		flush_piece(c, p, row->size);
		return;
	}
	if (c->second[class] == &np_mag_none) {
		struct np_mag *mag = np_mag_create(c->node->home,
						   most_pieces(row));

		if (mag)
			c->second[class] = mag;
	}
	make_large_room(c, class, row->size);
	if (c->second[class]->n == c->second[class]->cap ||
	    c->large_bytes + row->size > NP_LARGE_BYTES) {
		flush_piece(c, p, row->size);
		return;
	}
	push(c->second[class], p);
	c->large_bytes += row->size;
}

static void keep(struct np_cache *c, void *p, unsigned class)
{
	if (is_large(row_of(c, class)))
		keep_large(c, p, class);
	else
		keep_small(c, p, class);
}

/* --- other homes ------------------------------------------------------ */

static void send(struct np_cache *c, np_home_t home)
{
	struct np_mag *mag = c->outgoing[home];
	size_t bytes = c->outgoing_bytes[home];

	if (!mag || !mag->n)
		return;
	np_count_add(&c->count->outgoing_bytes, -bytes);
	c->outgoing_bytes[home] = 0;
	c->outgoing[home] = NULL;
	if (np_depot_send(c->nodes->node[home].depot, mag, bytes))
		return;
	np_count_add(&c->count->flushes, 1);
	np_arenas_put(mag->slot, mag->n);
	np_mag_destroy(home, mag);
}

void np_cache_send_all(struct np_cache *c)
{
	for (unsigned home = 0; home < c->nodes->n; home++)
		send(c, (np_home_t)home);
}

static void give_foreign(struct np_cache *c, void *p, unsigned class,
			 np_home_t home)
{
	size_t size = row_of(c, class)->size;

	np_count_add(&c->count->foreign_frees, 1);
	np_count_add(&c->count->foreign_bytes, size);
	if (!c->outgoing[home])
		c->outgoing[home] = np_mag_create(home, NP_OUTGOING_PIECES);
	if (!c->outgoing[home]) {
		np_count_add(&c->count->flushes, 1);
		np_arenas_put(&p, 1);
		return;
	}
	push(c->outgoing[home], p);
	c->outgoing_bytes[home] += size;
	np_count_add(&c->count->outgoing_bytes, size);
	if (c->outgoing[home]->n == NP_OUTGOING_PIECES ||
	    c->outgoing_bytes[home] >= NP_OUTGOING_BYTES)
		send(c, home);
}

/* The class of a piece that another thread has freed; a second free of it may
 * have come first. */
static unsigned class_of_sent(const void *p)
{
	const struct np_region *r = np_map_find(p);
	unsigned class = r ? np_region_entry(r, p) & NP_PAGE_CLASS : 0;

	if (!class) {
		np_arena_check(p, "free");
		np_die("free(%p): double free: another piece lies there now",
		       p);
	}
	return class;
}

/* Sorts what other homes have sent into our magazines. */
static void receive(struct np_cache *c)
{
	struct np_mag *mag = np_depot_receive(c->node->depot), *next;

	for (; mag; mag = next) {
		size_t bytes = 0;

		next = mag->next;
		while (mag->n) {
			void *p = pop(mag);
			unsigned class = class_of_sent(p);

			bytes += row_of(c, class)->size;
			count_in(c, row_of(c, class)->size);
			keep(c, p, class);
		}
		np_depot_received(c->node->depot, bytes);
		np_mag_destroy(c->node->home, mag);
	}
}

void np_cache_give(struct np_cache *c, void *p, unsigned class,
		   const struct np_region *region)
{
	np_home_t home = np_region_home(region);

	np_count_add(&c->count->class[class].frees, 1);
	if (home == c->node->home)
		keep(c, p, class);
	else
		give_foreign(c, p, class, home);
	count_visit(c);
}

/* --- the end ---------------------------------------------------------- */

/* Empties one place of a class; returns the magazine if it is still ours. */
static struct np_mag *flush_place(struct np_cache *c, unsigned class,
				  struct np_mag *mag, bool to_depot)
{
	size_t size = row_of(c, class)->size, bytes = mag->n * size;
	struct np_mag *empty;

	if (mag->n && to_depot && !is_large(row_of(c, class)) &&
	    np_depot_put(c->node->depot, class, size, mag, &empty)) {
		np_count_add(&c->count->depot_puts, 1);
		count_out(c, bytes);
		return empty ? empty : &np_mag_none;
	}
	flush_mag(c, mag, size);
	return mag;
}

void np_cache_flush(struct np_cache *c, bool to_depot)
{
	for (unsigned class = 1; class <= c->nodes->classes->n; class++) {
		struct np_mag *mag = c->loaded[class];

		/* Let go of it first: in the depot it is not ours. */
		load(c, class, &np_mag_none);
		load(c, class, flush_place(c, class, mag, to_depot));
		c->second[class] = flush_place(c, class, c->second[class],
					       to_depot);
	}
	c->large_bytes = 0;
	np_cache_send_all(c);
}

void np_cache_fini(struct np_cache *c)
{
	np_home_t home = c->node->home;

	np_cache_flush(c, true);
	for (unsigned class = 1; class <= c->nodes->classes->n; class++) {
		np_mag_destroy(home, c->loaded[class]);
		np_mag_destroy(home, c->second[class]);
	}
	for (unsigned i = 0; i < c->nodes->n; i++)
		np_mag_destroy((np_home_t)i, c->outgoing[i]);
	np_meta_free(home, c->outgoing, c->nodes->n *
		     (sizeof *c->outgoing + sizeof *c->outgoing_bytes));
	np_block_put(c->count);
}
