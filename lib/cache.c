/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * cache: see cache.h.
 */
#include "cache.h"
#include "meta.h"

#include <errno.h>
#include <string.h>

#define FIRST_BYTES NP_KIB    /* a first magazine holds no more */
#define REFILLS_TO_GROW 2     /* refilled so often lately, it doubles */
#define SLOW_TO_SEND 64	      /* visits until outgoing pieces are sent */
#define SLOW_TO_FORGET 1024   /* visits that are "lately" */
#define LARGE_PIECES 64	      /* of one class */

struct np_cache np_cache_none = {
	.cpu_now = &np_cache_none.cpu,
	.tag = NP_NO_TAG,
	.first_large = NP_MAX_CLASSES,
	.home = NP_NO_NODE,
	.by_size = { [0 ... NP_LOOKUP_MAX / 16] = &np_mag_none },
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
		  struct np_seat *seat)
{
	c->count = np_block_get(nodes->segment, node->home, arena->index);
	c->outgoing = np_meta_alloc(node->home,
				    nodes->n * sizeof *c->outgoing);
	if (!c->count || !c->outgoing) {
		if (c->count)
			np_block_put(nodes->segment, c->count);
		return ENOMEM;
	}
	for (unsigned i = 0; i < nodes->n; i++)
		c->outgoing[i].mag = &np_mag_none;
	c->cpu_now = &c->cpu;
	c->home = node->home;
	c->tag = nodes->no_fast_path ? NP_NO_TAG : node->owner.tag;
	for (unsigned i = 0; i < NP_MAX_CLASSES; i++)
		c->loaded[i] = c->second[i] = &np_mag_none;
	for (unsigned i = 0; i <= NP_LOOKUP_MAX / 16; i++)
		c->by_size[i] = &np_mag_none;
	c->nodes = nodes;
	c->first_large = np_class_of(nodes->classes, NP_SMALL_MAX);
	c->first_large = c->first_large ? c->first_large + 1 : NP_MAX_CLASSES;
	c->node = node;
	c->arena = arena;
	c->seat = seat;
	return 0;
}

/* --- entering --------------------------------------------------------- */

struct np_lock np_claim_lock = NP_LOCK_INIT(NP_RANK_CLAIM);

void np_cache_wait(void)
{
	np_lock(&np_claim_lock);
	np_unlock(&np_claim_lock);
}

static void enter(struct np_cache *c)
{
	while (!np_cache_enter(c))
		np_cache_wait();
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

void np_cache_count_taken(struct np_cache *c, unsigned class, unsigned n)
{
	np_count_add(&c->count->misses, n);
	np_count_add(&c->count->class[class].allocs, n);
	if (!class)
		return;
	np_count_add(&c->count->fills, 1);
	count_in(c, n * np_cache_size_of(c, class));
}

void np_cache_count_given(struct np_cache *c, unsigned class, unsigned n)
{
	np_count_add(&c->count->class[class].frees, n);
	if (!class)
		return;
	np_count_add(&c->count->flushes, 1);
	count_out(c, n * np_cache_size_of(c, class));
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

/* --- how many pieces -------------------------------------------------- */

static uint32_t clamp(size_t n, uint32_t least, uint32_t most)
{
	return n < least ? least : n > most ? most : (uint32_t)n;
}

/* The most pieces of the class that one magazine may hold. */
static uint32_t most_pieces(const struct np_cache *c,
			    const struct np_class *row)
{
	/* Netty's tiny, small and normal cache sizes. */
	static const uint32_t entries[NP_KINDS] = { NP_MAG_MOST, 256, 64, 1 };
	uint32_t most = c->nodes->cache_pieces;

	if (is_large(row))
		return clamp(np_cache_most(c) / row->size, 1,
			     most < LARGE_PIECES ? most : LARGE_PIECES);
	if (most > entries[row->kind])
		most = entries[row->kind];
	return clamp(NP_LOADED_BYTES / row->size, 1, most);
}

static uint32_t first_pieces(const struct np_cache *c,
			     const struct np_class *row)
{
	uint32_t most = c->nodes->cache_pieces;

	return clamp(FIRST_BYTES / row->size, 1,
		     most < NP_MAG_FIRST ? most : NP_MAG_FIRST);
}

/* --- places of magazines ---------------------------------------------- */

/* For all sizes that the class serves. */
static void set_by_size(struct np_cache *c, unsigned class,
			struct np_mag *mag)
{
	const uint8_t *lookup = c->nodes->classes->lookup;
	size_t end = row_of(c, class)->size / 16 + 1;

	if (end > NP_LOOKUP_MAX / 16 + 1)
		end = NP_LOOKUP_MAX / 16 + 1;
	while (end-- > 0 && lookup[end] == class)
		c->by_size[end] = mag;
}

static void load(struct np_cache *c, unsigned class, struct np_mag *mag)
{
	size_t size = row_of(c, class)->size;

	c->loaded_bytes += mag->cap * size;
	c->loaded_bytes -= c->loaded[class]->cap * size;
	c->loaded[class] = mag;
	set_by_size(c, class, mag);
	if (mag != &np_mag_none) /* which is never written */
		mag->count = &c->count->class[class];
}

/* Of a class of small pieces. */
static void set_second(struct np_cache *c, unsigned class, struct np_mag *mag)
{
	size_t size = row_of(c, class)->size;

	c->shared_bytes += mag->cap * size;
	c->shared_bytes -= c->second[class]->cap * size;
	c->second[class] = mag;
}

static void move_pieces(struct np_mag *to, struct np_mag *from)
{
	while (from->n && to->n < to->cap)
		to->slot[to->n++] = from->slot[--from->n];
}

/* --- room in the shared part ------------------------------------------ */

/* second[class] has left for the depot if it would take it; else it is empty
 * now. */
static void unload_second(struct np_cache *c, unsigned class)
{
	struct np_mag *full = c->second[class], *empty;
	size_t size = row_of(c, class)->size, bytes = full->n * size;

	/* Let go of it first: in the depot it is not ours. */
	set_second(c, class, &np_mag_none);
	if (!np_depot_put(c->node->depot, class, size, full, &empty)) {
		flush_mag(c, full, size);
		set_second(c, class, full);
		return;
	}
	np_count_add(&c->count->depot_puts, 1);
	count_out(c, bytes);
	/* It may be larger than the one that left. */
	if (empty && c->shared_bytes + empty->cap * size <= np_cache_most(c))
		set_second(c, class, empty);
	else
		np_mag_destroy(empty);
}

static void push_out(struct np_cache *c, unsigned class)
{
	const struct np_class *row = row_of(c, class);
	struct np_mag *mag = c->second[class];

	if (is_large(row)) {
		c->shared_bytes -= mag->n * (size_t)row->size;
		flush_mag(c, mag, row->size);
		return;
	}
	if (mag->n)
		unload_second(c, class);
	mag = c->second[class];
	set_second(c, class, &np_mag_none);
	np_mag_destroy(mag);
}

/* Pushes other classes out until there is room for so many bytes. */
static bool make_shared_room(struct np_cache *c, unsigned class, size_t bytes)
{
	unsigned n = c->nodes->classes->n;
	size_t most = np_cache_most(c);

	for (unsigned tries = 0; tries < n && c->shared_bytes + bytes > most;
	     tries++) {
		unsigned k = c->shared_hand = c->shared_hand % n + 1;

		if (k != class && k != c->in_use &&
		    c->second[k] != &np_mag_none)
			push_out(c, k);
	}
	return c->shared_bytes + bytes <= most;
}

/* Makes sure that the class of small pieces has a second magazine. */
static bool have_second(struct np_cache *c, unsigned class)
{
	uint32_t cap = c->loaded[class]->cap;
	struct np_mag *mag;

	if (c->second[class] != &np_mag_none)
		return true;
	if (!make_shared_room(c, class, cap * np_cache_size_of(c, class)))
		return false;
	mag = np_mag_create(c->node->home, cap);
	if (mag)
		set_second(c, class, mag);
	return mag != NULL;
}

/* --- room in the private part ----------------------------------------- */

/* The class makes room: its magazine goes to the shared part, or its pieces
 * to the arenas. */
static void unload(struct np_cache *c, unsigned class)
{
	struct np_mag *mag = c->loaded[class];
	size_t size = row_of(c, class)->size;

	load(c, class, &np_mag_none);
	if (c->second[class] == &np_mag_none && mag->n &&
	    make_shared_room(c, class, mag->cap * size)) {
		set_second(c, class, mag);
		return;
	}
	move_pieces(c->second[class], mag);
	flush_mag(c, mag, size);
	np_mag_destroy(mag);
}

/* Unloads other classes until there is room for so many bytes: those not
 * refilled lately; if that is not enough, and any_class, whichever. */
static bool make_private_room(struct np_cache *c, unsigned class,
			      size_t bytes, bool any_class)
{
	unsigned n = c->first_large - 1, laps = any_class ? 2 : 1;

	if (n > c->nodes->classes->n)
		n = c->nodes->classes->n;
	for (unsigned tries = 0; tries < laps * n &&
	     c->loaded_bytes + bytes > NP_LOADED_BYTES; tries++) {
		unsigned k = c->private_hand = c->private_hand % n + 1;

		if (k != class && c->loaded[k] != &np_mag_none &&
		    (!c->refills[k] || tries >= n))
			unload(c, k);
	}
	return c->loaded_bytes + bytes <= NP_LOADED_BYTES;
}

/* Makes sure that the class has a loaded magazine of its own. */
static bool have_loaded(struct np_cache *c, unsigned class)
{
	uint32_t cap = first_pieces(c, row_of(c, class));
	struct np_mag *mag;

	if (c->loaded[class] != &np_mag_none)
		return true;
	if (!make_private_room(c, class, cap * np_cache_size_of(c, class),
			       true))
		return false;
	mag = np_mag_create(c->node->home, cap);
	if (mag)
		load(c, class, mag);
	return mag != NULL;
}

/* The loaded magazine is empty and was refilled often: a larger one takes its
 * place, if there is room. */
static void grow(struct np_cache *c, unsigned class)
{
	const struct np_class *row = row_of(c, class);
	struct np_mag *old = c->loaded[class], *mag;
	uint32_t cap = clamp(2 * (size_t)old->cap, 1, most_pieces(c, row));

	np_assert(!old->n);
	if (c->refills[class] < REFILLS_TO_GROW || cap <= old->cap ||
	    !make_private_room(c, class, (cap - old->cap) * (size_t)row->size,
			       false))
		return;
	mag = np_mag_create(c->node->home, cap);
	if (!mag)
		return;
	c->refills[class] = 1;
	load(c, class, mag);
	np_mag_destroy(old);
}

/* The class was refilled, or spilled over. */
static void count_refill(struct np_cache *c, unsigned class)
{
	if (c->refills[class] < UINT8_MAX)
		c->refills[class]++;
}

/* May the magazines change places, or would one of them, which is the larger,
 * pass the bound of its new part? */
static bool may_exchange(struct np_cache *c, unsigned class)
{
	uint32_t in = c->second[class]->cap, out = c->loaded[class]->cap;
	size_t size = row_of(c, class)->size;

	if (in > out)
		return make_private_room(c, class, (in - out) * size, false);
	return in == out || make_shared_room(c, class, (out - in) * size);
}

/* One of the two magazines is empty (or cannot serve), the other one not:
 * they change places. If they may not, only pieces do, as many as there is
 * room for. */
static void exchange(struct np_cache *c, unsigned class)
{
	struct np_mag *mag = c->loaded[class], *other = c->second[class];

	NP_YIELD(c);
	if (may_exchange(c, class)) {
		load(c, class, other);
		set_second(c, class, mag);
	} else if (mag->n) {
		move_pieces(other, mag);
	} else {
		move_pieces(mag, other);
	}
}

/* --- taking: small ---------------------------------------------------- */

static void *pop(struct np_mag *mag)
{
	return mag->slot[--mag->n];
}

/* The depot's full magazine for our empty one. What the bounds leave no room
 * for goes on to the arenas. */
static bool refill_from_depot(struct np_cache *c, unsigned class)
{
	size_t size = row_of(c, class)->size;
	struct np_mag *empty = c->second[class], *mag;
	size_t room = empty->cap * size;

	mag = np_depot_get(c->node->depot, class, size,
			   empty == &np_mag_none ? NULL : empty);
	if (!mag)
		return false;
	np_count_add(&c->count->depot_gets, 1);
	count_in(c, mag->n * size);
	/* The depot has it now: it may be gone already. */
	c->shared_bytes -= room;
	c->second[class] = &np_mag_none;
	if (make_shared_room(c, class, mag->cap * size)) {
		set_second(c, class, mag);
		exchange(c, class);
	} else {
		move_pieces(c->loaded[class], mag);
		flush_mag(c, mag, size);
		np_mag_destroy(mag);
	}
	return true;
}

static bool refill_from_arena(struct np_cache *c, unsigned class)
{
	struct np_mag *mag;

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
		count_refill(c, class);
		receive(c);
	}
	c->in_use = class;
	if (!have_loaded(c, class))
		return c->second[class]->n ? pop(c->second[class])
					   : take_bare(c, class);
	if (!c->loaded[class]->n && c->second[class]->n)
		exchange(c, class);
	if (!c->loaded[class]->n && !refill_from_depot(c, class) &&
	    !refill_from_arena(c, class))
		return take_bare(c, class);
	return pop(c->loaded[class]);
}

/* --- taking: large ---------------------------------------------------- */

static void *pop_large(struct np_cache *c, unsigned class)
{
	struct np_mag *mag = c->second[class];

	NP_YIELD(c);
	if (!mag->n)
		return NULL;
	c->shared_bytes -= row_of(c, class)->size;
	return pop(mag);
}

static void *take_large(struct np_cache *c, unsigned class)
{
	void *p = pop_large(c, class);

	if (!p) {
		receive(c);
		p = pop_large(c, class);
	}
	if (p)
		return p;
	p = take_bare(c, class);
	if (p) {
		np_count_add(&c->count->misses, 1);
		np_count_add(&c->count->fills, 1);
	}
	return p;
}

static void send_all(struct np_cache *c);

/* Pieces of other homes do not wait for ever, and what was refilled once is
 * not in use for ever. */
static void count_visit(struct np_cache *c)
{
	if (++c->nslow % SLOW_TO_SEND == 0)
		send_all(c);
	if (c->nslow % SLOW_TO_FORGET == 0)
		memset(c->refills, 0, sizeof c->refills);
}

void *np_cache_take(struct np_cache *c, unsigned class)
{
	void *p;

	enter(c);
	count_visit(c);
	p = class >= c->first_large ? take_large(c, class)
				    : take_small(c, class);
	np_cache_leave(c);
	if (p)
		np_count_add(&c->count->class[class].allocs, 1);
	return p;
}

/* --- giving: small ---------------------------------------------------- */

static void push(struct np_mag *mag, void *p)
{
	mag->slot[mag->n++] = p;
}

/* loaded[class] is full: makes room in it. */
static void make_room(struct np_cache *c, unsigned class)
{
	count_refill(c, class);
	if (c->second[class]->n)
		unload_second(c, class);
	if (!have_second(c, class)) {
		flush_mag(c, c->loaded[class], row_of(c, class)->size);
		return;
	}
	exchange(c, class);
	if (!c->loaded[class]->n)
		grow(c, class);
}

/* Into the cache, however it came here; not counted yet. */
static void keep_small(struct np_cache *c, void *p, unsigned class)
{
	struct np_mag *mag;

	c->in_use = class;
	if (!have_loaded(c, class)) {
		flush_piece(c, p, row_of(c, class)->size);
		return;
	}
	mag = c->loaded[class];
	if (mag->n == mag->cap)
		make_room(c, class);
	push(c->loaded[class], p);
}

/* --- giving: large ---------------------------------------------------- */

static void keep_large(struct np_cache *c, void *p, unsigned class)
{
	const struct np_class *row = row_of(c, class);

	if (row->size > NP_LARGE_PIECE_MAX || row->size > np_cache_most(c)) {
		flush_piece(c, p, row->size);
		return;
	}
	if (c->second[class] == &np_mag_none) {
		struct np_mag *mag = np_mag_create(c->node->home,
						   most_pieces(c, row));

		if (mag)
			c->second[class] = mag;
	}
	if (c->second[class]->n == c->second[class]->cap ||
	    !make_shared_room(c, class, row->size)) {
		flush_piece(c, p, row->size);
		return;
	}
	NP_YIELD(c);
	push(c->second[class], p);
	c->shared_bytes += row->size;
}

static void keep(struct np_cache *c, void *p, unsigned class)
{
	if (is_large(row_of(c, class)))
		keep_large(c, p, class);
	else
		keep_small(c, p, class);
}

/* --- other homes ------------------------------------------------------ */

static void count_sent(struct np_cache *c, uint32_t n, size_t bytes)
{
	np_count_add(&c->count->foreign_frees, n);
	np_count_add(&c->count->foreign_bytes, bytes);
}

static void send(struct np_cache *c, np_home_t home)
{
	struct np_outgoing *out = &c->outgoing[home];
	struct np_mag *mag = out->mag;
	size_t bytes = out->bytes;

	if (!mag->n)
		return;
	count_sent(c, mag->n, bytes);
	*out = (struct np_outgoing){ .mag = &np_mag_none };
	if (np_depot_send(c->nodes->node[home].depot, mag, bytes))
		return;
	np_count_add(&c->count->flushes, 1);
	np_arenas_put(mag->slot, mag->n);
	np_mag_destroy(mag);
}

static void send_all(struct np_cache *c)
{
	for (unsigned home = 0; home < c->nodes->n; home++)
		send(c, (np_home_t)home);
}

void np_cache_send_all(struct np_cache *c)
{
	enter(c);
	send_all(c);
	np_cache_leave(c);
}

static void give_foreign(struct np_cache *c, void *p, unsigned class,
			 np_home_t home)
{
	struct np_outgoing *out = &c->outgoing[home];
	size_t size = row_of(c, class)->size;
	struct np_mag *mag = out->mag;

	if (mag == &np_mag_none)
		mag = np_mag_create(home, NP_OUTGOING_PIECES);
	if (!mag) {
		np_count_add(&c->count->flushes, 1);
		count_sent(c, 1, size);
		np_arenas_put(&p, 1);
		return;
	}
	NP_YIELD(c);
	push(mag, p);
	out->mag = mag;
	out->bytes += size;
	if (mag->n == NP_OUTGOING_PIECES || out->bytes >= NP_OUTGOING_BYTES)
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
		np_mag_destroy(mag);
	}
}

void np_cache_give(struct np_cache *c, void *p, unsigned class,
		   const struct np_region *region)
{
	np_home_t home = np_region_home(region);

	np_count_add(&c->count->class[class].frees, 1);
	enter(c);
	if (home == c->node->home)
		keep(c, p, class);
	else
		give_foreign(c, p, class, home);
	count_visit(c);
	np_cache_leave(c);
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

/* Both places of the class are empty then, and hold no magazine. */
static void flush_class(struct np_cache *c, unsigned class, bool to_depot)
{
	struct np_mag *mag = c->loaded[class], *other = c->second[class];

	load(c, class, &np_mag_none);
	c->second[class] = &np_mag_none;
	np_mag_destroy(flush_place(c, class, mag, to_depot));
	np_mag_destroy(flush_place(c, class, other, to_depot));
}

void np_cache_flush(struct np_cache *c, bool to_depot)
{
	enter(c);
	for (unsigned class = 1; class <= c->nodes->classes->n; class++)
		flush_class(c, class, to_depot);
	c->shared_bytes = 0;
	send_all(c);
	np_cache_leave(c);
}

static void free_parts(struct np_cache *c)
{
	for (unsigned i = 0; i < c->nodes->n; i++)
		np_mag_destroy(c->outgoing[i].mag);
	np_meta_free(c->home, c->outgoing,
		     c->nodes->n * sizeof *c->outgoing);
	np_block_put(c->nodes->segment, c->count);
}

void np_cache_fini(struct np_cache *c)
{
	np_cache_flush(c, true);
	free_parts(c);
}

void np_cache_forget(struct np_cache *c)
{
	for (unsigned class = 1; class <= c->nodes->classes->n; class++) {
		np_mag_destroy(c->loaded[class]);
		np_mag_destroy(c->second[class]);
	}
	free_parts(c);
}

/* --- reclaiming ------------------------------------------------------- */

bool np_cache_claim(struct np_cache *c, bool only_idle)
{
	uint32_t busy;
	bool idle;

	NP_YIELD(c);
	busy = atomic_load_explicit(&c->busy, memory_order_relaxed);
	idle = busy == c->busy_seen;
	c->busy_seen = busy;
	if (only_idle && !idle)
		return false;
	atomic_store_explicit(&c->claimed, true, memory_order_relaxed);
	return true;
}

static void loot_mag(struct np_cache *c, struct np_mag *mag, size_t bytes,
		     struct np_mag **loot)
{
	np_count_add(&c->count->reclaimed_bytes, bytes);
	mag->next = *loot;
	*loot = mag;
}

static void loot_second(struct np_cache *c, unsigned class,
			struct np_mag **loot)
{
	struct np_mag *mag = c->second[class];
	size_t size = row_of(c, class)->size;

	if (!mag->n)
		return;
	if (is_large(row_of(c, class)))
		c->shared_bytes -= mag->n * size;
	else
		c->shared_bytes -= mag->cap * size;
	c->second[class] = &np_mag_none;
	loot_mag(c, mag, mag->n * size, loot);
}

static void loot_outgoing(struct np_cache *c, unsigned home,
			  struct np_mag **loot)
{
	struct np_outgoing *out = &c->outgoing[home];

	if (!out->mag->n)
		return;
	loot_mag(c, out->mag, out->bytes, loot);
	*out = (struct np_outgoing){ .mag = &np_mag_none };
}

bool np_cache_steal(struct np_cache *c, struct np_mag **loot)
{
	struct np_mag *before = *loot;

	NP_YIELD(c);
	/* Acquire: pairs with the release of np_cache_leave. */
	if (!(atomic_load_explicit(&c->busy, memory_order_acquire) & 1)) {
		NP_YIELD(c);
		for (unsigned k = 1; k <= c->nodes->classes->n; k++)
			loot_second(c, k, loot);
		for (unsigned i = 0; i < c->nodes->n; i++)
			loot_outgoing(c, i, loot);
	}
	NP_YIELD(c);
	/* Release: pairs with the acquire of np_cache_enter. */
	atomic_store_explicit(&c->claimed, false, memory_order_release);
	return *loot != before;
}
