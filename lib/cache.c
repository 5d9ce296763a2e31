/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * cache: see cache.h.
 */
#include "cache.h"
#include "meta.h"
#include "probe.h"
#include "trace.h"

#include <errno.h>
#include <string.h>

#define REFILLS_TO_GROW 2     /* refilled so often lately, it doubles */
#define SLOW_TO_SEND 64	      /* visits until outgoing pieces are sent */
#define SLOW_TO_FORGET 1024   /* visits that are "lately" */
#define SMALL_MAGS 16	      /* of pieces up to NP_LOOKUP_MAX, and above: */
#define LARGE_MAGS 8	      /* so many of the largest have room */
#define AT_ONCE (64 * NP_KIB) /* bytes, the most that an arena is asked for */

static void *no_pieces[1];

/* No magazine. */
#define LOADED_NONE { no_pieces, no_pieces, no_pieces, NULL }

/* Not what the kernel writes where a thread has none: -1 and -2. */
const volatile uint32_t np_cpu_none = INT32_MAX;

/* All fast paths leave it alone. In a line of its own: who has no cache writes
 * there with each call that he is busy. It has no tables: of 1300 pointers each
 * process would pay for relocating them, and for the four pages that they are
 * in. */
_Alignas(NP_LINE) struct np_cache np_cache_none = {
	.cpu_now = &np_cpu_none,
	.hidden = true,
	.tag = NP_NO_TAG,
	.home = NP_NO_NODE,
};

static const struct np_class *row_of(const struct np_cache *c, unsigned class)
{
	return &c->nodes->classes->row[class];
}

static void know_pages(struct np_cache *c)
{
	if (c->nodes->classes->page_shift != NP_PRESET_PAGE_SHIFT)
		return;
	c->known = np_map.known;
	c->first_page = np_map.first_page;
	c->npages = np_map.npages;
	c->known_tag = np_known_tag(c->tag);
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
			np_block_put(nodes->segment, c->count, node->home);
		if (c->outgoing)
			np_meta_free(node->home, c->outgoing,
				     nodes->n * sizeof *c->outgoing);
		return ENOMEM;
	}
	for (unsigned i = 0; i < nodes->n; i++)
		c->outgoing[i].mag = &np_mag_none;
	np_cache_watch(c, &c->cpu, false);
	c->nodes = nodes;
	c->home = node->home;
	c->tag = nodes->no_fast_path ? NP_NO_TAG : node->owner.tag;
	if (c->tag != NP_NO_TAG)
		know_pages(c);
	for (unsigned i = 0; i < NP_MAX_CLASSES; i++) {
		c->loaded[i] = (struct np_loaded)LOADED_NONE;
		c->mag[i] = c->second[i] = &np_mag_none;
	}
	for (unsigned i = 0; i <= NP_LOOKUP_MAX / 16; i++)
		c->by_size[i] = &c->loaded[nodes->classes->lookup[i]];
	c->node = node;
	c->arena = arena;
	c->seat = seat;
	c->most = np_cache_most(c);
	c->second_room = (ptrdiff_t)c->most;
	return 0;
}

/* --- entering --------------------------------------------------------- */

struct np_lock np_claim_lock = NP_LOCK_INIT(NP_RANK_CLAIM);

void np_cache_wait(void)
{
	np_lock(&np_claim_lock);
	np_unlock(&np_claim_lock);
}

/* On the way the bound is looked at. */
static void enter(struct np_cache *c)
{
	size_t most = np_cache_most(c);

	while (!np_cache_enter(c, true))
		np_cache_wait();
	c->second_room += (ptrdiff_t)(most - c->most);
	c->most = most;
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

/* --- recording --------------------------------------------------------- */

/* A REFILL or FLUSH of n pieces, from or to the depot or an arena; kind is a
 * constant. */
static inline void trace(const struct np_cache *c, enum np_trace_kind kind,
			 unsigned class, size_t n, bool depot)
{
	if (np_unlikely(np_trace_on()))
		np_trace_write(&(struct np_trace_fields){
			.kind = kind, .pool = c->nodes->slot, .class = class,
			.first = depot, .size = n });
	if (kind == NP_TRACE_REFILL)
		NP_PROBE(refill, c->nodes->slot, class, n, depot);
	else
		NP_PROBE(flush, c->nodes->slot, class, n, depot);
}

/* --- back to the arenas ----------------------------------------------- */

static void flush_mag(struct np_cache *c, struct np_mag *mag, unsigned class)
{
	size_t size = np_cache_size_of(c, class);

	if (!mag->n)
		return;
	trace(c, NP_TRACE_FLUSH, class, mag->n, false);
	np_count_add(&c->count->flushes, 1);
	count_out(c, mag->n * size);
	np_arenas_put(mag->slot, mag->n);
	mag->n = 0;
}

static void flush_piece(struct np_cache *c, void *p, unsigned class)
{
	np_count_add(&c->count->flushes, 1);
	count_out(c, np_cache_size_of(c, class));
	trace(c, NP_TRACE_FLUSH, class, 1, false);
	np_arenas_put(&p, 1);
}

/* --- how many pieces -------------------------------------------------- */

static uint32_t clamp(size_t n, uint32_t least, uint32_t most)
{
	return n < least ? least : n > most ? most : (uint32_t)n;
}

/* How many pieces of this size an arena is asked for at once, if so many at
 * most are wanted. */
static uint32_t at_once(size_t size, size_t most)
{
	return clamp(AT_ONCE / size, 1, (uint32_t)most);
}

/* The most bytes that loaded magazines may have room for. */
static size_t loaded_most(const struct np_cache *c)
{
	return c->most < NP_LOADED_LEAST ? NP_LOADED_LEAST : c->most;
}

/* The most pieces of the class that one magazine may hold. */
static uint32_t most_pieces(const struct np_cache *c,
			    const struct np_class *row)
{
	/* Netty's tiny, small and normal cache sizes. */
	static const uint32_t entries[NP_KINDS] = { NP_MAG_MOST, 256, 64, 1 };
	size_t bytes = loaded_most(c) /
		       (row->size <= NP_LOOKUP_MAX ? SMALL_MAGS : LARGE_MAGS);
	uint32_t most = c->nodes->cache_pieces;

	if (most > entries[row->kind])
		most = entries[row->kind];
	return clamp(bytes / row->size, 1, most);
}

static uint32_t first_pieces(const struct np_cache *c,
			     const struct np_class *row)
{
	uint32_t most = most_pieces(c, row);

	return at_once(row->size, most < NP_MAG_FIRST ? most : NP_MAG_FIRST);
}

/* The class was refilled, or spilled over. */
static void count_refill(struct np_cache *c, unsigned class)
{
	if (c->refills[class] < UINT8_MAX)
		c->refills[class]++;
}

/* How many the next magazine of the class shall hold, after one of cap: twice
 * as many, if it was refilled often. */
static size_t next_pieces(struct np_cache *c, unsigned class, size_t cap)
{
	const struct np_class *row = row_of(c, class);

	if (!cap)
		return first_pieces(c, row);
	if (c->refills[class] < REFILLS_TO_GROW)
		return cap;
	return clamp(2 * cap, 1, most_pieces(c, row));
}

/* --- places of magazines ---------------------------------------------- */

/* The loaded magazine, or np_mag_none, whose n is right until the fast path
 * is left to it. */
static struct np_mag *loaded(const struct np_cache *c, unsigned class)
{
	struct np_mag *mag = c->mag[class];

	if (mag != &np_mag_none)
		mag->n = (size_t)(c->loaded[class].top - mag->slot);
	return mag;
}

static bool has_loaded(const struct np_cache *c, unsigned class)
{
	return np_loaded_has_place(&c->loaded[class]);
}

/* The fast path goes on with what the loaded magazine has now. */
static void show_loaded(struct np_cache *c, unsigned class)
{
	struct np_mag *mag = c->mag[class];

	if (mag == &np_mag_none)
		c->loaded[class] = (struct np_loaded)LOADED_NONE;
	else
		c->loaded[class] = (struct np_loaded){
			.top = mag->slot + mag->n, .base = mag->slot,
			.end = mag->slot + mag->cap, .count = mag->count };
}

static void adopt(const struct np_cache *c, unsigned class,
		  struct np_mag *mag)
{
	if (mag == &np_mag_none) /* which is never written */
		return;
	mag->count = &c->count->class[class];
	mag->size = row_of(c, class)->size;
}

static void load(struct np_cache *c, unsigned class, struct np_mag *mag)
{
	size_t size = row_of(c, class)->size;

	c->loaded_bytes += mag->cap * size;
	c->loaded_bytes -= c->mag[class]->cap * size;
	c->mag[class] = mag;
	adopt(c, class, mag);
	show_loaded(c, class);
}

/* Second magazines hold so many bytes more, or less. */
static void hold_more(struct np_cache *c, size_t bytes)
{
	c->second_room -= (ptrdiff_t)bytes;
}

static void hold_less(struct np_cache *c, size_t bytes)
{
	c->second_room += (ptrdiff_t)bytes;
}

static bool has_room(const struct np_cache *c, size_t bytes)
{
	return c->second_room >= 0 && bytes <= (size_t)c->second_room;
}

static void set_second(struct np_cache *c, unsigned class, struct np_mag *mag)
{
	size_t size = row_of(c, class)->size;

	hold_more(c, mag->n * size);
	hold_less(c, c->second[class]->n * size);
	c->second[class] = mag;
	adopt(c, class, mag);
}

static void push_second(struct np_cache *c, unsigned class, void *p)
{
	struct np_mag *mag = c->second[class];

	NP_YIELD(c);
	mag->slot[mag->n++] = p;
	hold_more(c, row_of(c, class)->size);
}

static void *pop_second(struct np_cache *c, unsigned class)
{
	struct np_mag *mag = c->second[class];

	NP_YIELD(c);
	hold_less(c, row_of(c, class)->size);
	return mag->slot[--mag->n];
}

static bool is_full(const struct np_mag *mag)
{
	return mag->n == mag->cap;
}

/* --- room in second magazines ------------------------------------------ */

/* A magazine that has no place in the cache any more gives its pieces to the
 * depot, whole, or to the arenas. Returns an empty one, which may be
 * np_mag_none. */
static struct np_mag *part_with(struct np_cache *c, unsigned class,
				struct np_mag *mag, bool to_depot)
{
	size_t bytes = mag->n * row_of(c, class)->size;
	size_t n = mag->n;
	struct np_mag *empty;

	if (mag->n && to_depot &&
	    np_depot_put(c->node->depot, class, mag, &empty)) {
		np_count_add(&c->count->depot_puts, 1);
		trace(c, NP_TRACE_FLUSH, class, n, true);
		count_out(c, bytes);
		return empty ? empty : &np_mag_none;
	}
	flush_mag(c, mag, class);
	return mag;
}

/* second[class] holds nothing then, but may be a magazine. */
static void empty_second(struct np_cache *c, unsigned class, bool to_depot)
{
	struct np_mag *mag = c->second[class];

	/* Let go of it first: in the depot it is not ours. */
	set_second(c, class, &np_mag_none);
	set_second(c, class, part_with(c, class, mag, to_depot));
}

static void drop_second(struct np_cache *c, unsigned class)
{
	empty_second(c, class, true);
	np_mag_destroy(c->second[class]);
	c->second[class] = &np_mag_none;
}

/* Pushes other classes out until there is room for so many bytes. */
static bool make_second_room(struct np_cache *c, unsigned class, size_t bytes)
{
	unsigned n = c->nodes->classes->n;

	for (unsigned tries = 0; tries < n && !has_room(c, bytes); tries++) {
		unsigned k = c->second_hand = c->second_hand % n + 1;

		if (k != class && k != c->in_use && c->second[k]->n)
			drop_second(c, k);
	}
	return has_room(c, bytes);
}

/* Makes sure that the class has a second magazine, which is empty or stays as
 * it is: one as large as the loaded one, or one that grows by itself. */
static bool have_second(struct np_cache *c, unsigned class)
{
	struct np_mag *old = c->second[class], *mag;
	size_t cap = c->mag[class]->cap;

	if (!cap)
		cap = next_pieces(c, class, old->cap);
	if (old->n || old->cap >= cap)
		return true;
	mag = np_mag_create(c->node->home, cap);
	if (!mag)
		return old->cap > 0;
	c->refills[class] = 1;
	set_second(c, class, mag);
	np_mag_destroy(old);
	return true;
}

/* --- room in loaded magazines ------------------------------------------ */

/* The class makes room: its magazine becomes the second one, or goes from the
 * cache. */
static void unload(struct np_cache *c, unsigned class)
{
	struct np_mag *mag = loaded(c, class), *empty = c->second[class];

	load(c, class, &np_mag_none);
	if (!empty->n && mag->n &&
	    make_second_room(c, class, mag->n * np_cache_size_of(c, class))) {
		set_second(c, class, mag);
		np_mag_destroy(empty);
	} else {
		np_mag_destroy(part_with(c, class, mag, true));
	}
}

/* Unloads classes that were not refilled lately, until there is room for so
 * many bytes. What a class has more than a first magazine leaves a quarter of
 * the room to those that have none yet. */
static bool make_loaded_room(struct np_cache *c, unsigned class, size_t bytes)
{
	unsigned n = c->nodes->classes->n;
	size_t most = loaded_most(c);

	if (has_loaded(c, class))
		most = most / 4 * 3;
	for (unsigned tries = 0; tries < n &&
	     c->loaded_bytes + bytes > most; tries++) {
		unsigned k = c->loaded_hand = c->loaded_hand % n + 1;

		if (k != class && has_loaded(c, k) && !c->refills[k])
			unload(c, k);
	}
	return c->loaded_bytes + bytes <= most;
}

static void unload_all(struct np_cache *c)
{
	unsigned n = c->nodes->classes->n;

	for (unsigned k = 1; k <= n; k++)
		if (has_loaded(c, k))
			unload(c, k);
}

/* Replaces the loaded magazine, which is empty, by one for cap pieces, if
 * there is room. */
static void load_new(struct np_cache *c, unsigned class, size_t cap)
{
	struct np_mag *old = loaded(c, class), *mag;

	np_assert(!old->n);
	if (!make_loaded_room(c, class, (cap - old->cap) *
			      np_cache_size_of(c, class))) {
		if (!old->cap) { /* more classes than there is room for */
			c->crowded = true;
			unload_all(c);
		}
		return;
	}
	mag = np_mag_create(c->node->home, cap);
	if (!mag)
		return;
	c->refills[class] = 1;
	load(c, class, mag);
	np_mag_destroy(old);
}

/* Makes sure that the class has a loaded magazine, if it may have one. */
static bool have_loaded(struct np_cache *c, unsigned class)
{
	const struct np_class *row = row_of(c, class);

	if (!has_loaded(c, class) && !c->crowded &&
	    row->size <= NP_LOADED_MAX &&
	    row->size <= loaded_most(c) / LARGE_MAGS)
		load_new(c, class, first_pieces(c, row));
	return has_loaded(c, class);
}

/* The loaded magazine is empty: a larger one takes its place, if it was
 * refilled often. */
static void grow(struct np_cache *c, unsigned class)
{
	size_t cap = next_pieces(c, class, c->mag[class]->cap);

	if (cap > c->mag[class]->cap)
		load_new(c, class, cap);
}

static uint32_t move_pieces(struct np_mag *to, struct np_mag *from)
{
	uint32_t n = 0;

	for (; from->n && !is_full(to); n++)
		to->slot[to->n++] = from->slot[--from->n];
	return n;
}

/* One of the two magazines is empty, the other one not: they change places. If
 * the second is the larger one, for which there may be no room here, only
 * pieces do, as many as fit. Returns false if there is no room there for what
 * the loaded one holds. */
static bool exchange(struct np_cache *c, unsigned class)
{
	struct np_mag *mag = loaded(c, class), *other = c->second[class];
	size_t size = row_of(c, class)->size;

	NP_YIELD(c);
	if (!make_second_room(c, class, mag->n * size))
		return false;
	if (other->cap <= mag->cap) {
		set_second(c, class, mag);
		load(c, class, other);
	} else if (mag->n) {
		hold_more(c, move_pieces(other, mag) * size);
	} else {
		hold_less(c, move_pieces(mag, other) * size);
	}
	show_loaded(c, class);
	return true;
}

/* --- taking ----------------------------------------------------------- */

/* The depot's full magazine for our empty one. What the bounds leave no room
 * for goes on to the arenas. */
static bool refill_from_depot(struct np_cache *c, unsigned class)
{
	size_t size = row_of(c, class)->size;
	struct np_mag *empty = c->second[class], *mag;

	np_assert(!empty->n);
	mag = np_depot_get(c->node->depot, class,
			   empty == &np_mag_none ? NULL : empty);
	if (!mag)
		return false;
	np_count_add(&c->count->depot_gets, 1);
	trace(c, NP_TRACE_REFILL, class, mag->n, true);
	count_in(c, mag->n * size);
	/* The depot has the empty one now: it may be gone already. */
	c->second[class] = &np_mag_none;
	if (make_second_room(c, class, mag->n * size)) {
		set_second(c, class, mag);
		if (has_loaded(c, class))
			exchange(c, class);
		return true;
	}
	move_pieces(loaded(c, class), mag);
	show_loaded(c, class);
	flush_mag(c, mag, class);
	np_mag_destroy(mag);
	return c->mag[class]->n;
}

/* Both places of the class are empty then, and hold no magazine. */
static void flush_class(struct np_cache *c, unsigned class, bool to_depot)
{
	struct np_mag *mag = loaded(c, class), *other = c->second[class];

	load(c, class, &np_mag_none);
	set_second(c, class, &np_mag_none);
	np_mag_destroy(part_with(c, class, mag, to_depot));
	np_mag_destroy(part_with(c, class, other, to_depot));
}

/* The node is about to grow: classes that nobody has asked for since it last
 * did, keep nothing. */
static void give_up_idle(struct np_cache *c)
{
	for (unsigned k = 1; k <= c->nodes->classes->n; k++) {
		uint64_t allocs = np_count_get(&c->count->class[k].allocs);

		if (k != c->in_use && allocs == c->allocs_then[k])
			flush_class(c, k, false);
		c->allocs_then[k] = allocs;
	}
}

static unsigned take_from_arena(struct np_cache *c, unsigned class, size_t n,
				void **pieces)
{
	unsigned got;

	if (np_node_grows(c->node))
		give_up_idle(c);
	got = np_node_take(c->node, c->arena, class, (unsigned)n, pieces);

	np_count_add(&c->count->fills, 1);
	count_in(c, got * np_cache_size_of(c, class));
	trace(c, NP_TRACE_REFILL, class, got, false);
	return got;
}

static bool refill_loaded(struct np_cache *c, unsigned class)
{
	struct np_mag *mag = c->mag[class];

	mag->n = take_from_arena(c, class, at_once(mag->size, mag->cap),
				 mag->slot);
	show_loaded(c, class);
	return mag->n;
}

/* Not with large pieces, which are taken one by one. */
static bool refill_second(struct np_cache *c, unsigned class)
{
	size_t size = row_of(c, class)->size;
	struct np_mag *mag;
	size_t n;

	if (size > NP_SMALL_MAX || !have_second(c, class))
		return false;
	mag = c->second[class];
	n = at_once(size, mag->cap);
	if (!make_second_room(c, class, n * size))
		return false;
	mag->n = take_from_arena(c, class, n, mag->slot);
	hold_more(c, mag->n * size);
	return mag->n;
}

/* Without a magazine, or memory for one, there may still be a piece. */
static void *take_bare(struct np_cache *c, unsigned class)
{
	void *p;

	return take_from_arena(c, class, 1, &p) ? p : NULL;
}

static void *take_second(struct np_cache *c, unsigned class)
{
	if (!c->second[class]->n && !refill_from_depot(c, class) &&
	    !refill_second(c, class))
		return take_bare(c, class);
	return pop_second(c, class);
}

static void *take_loaded(struct np_cache *c, unsigned class)
{
	struct np_loaded *l = &c->loaded[class];

	/* Where the bound was lowered there may be no room to exchange. */
	if (l->top == l->base && c->second[class]->n && !exchange(c, class))
		empty_second(c, class, true);
	if (l->top == l->base && !refill_from_depot(c, class)) {
		grow(c, class);
		if (!refill_loaded(c, class))
			return take_bare(c, class);
	}
	return *--l->top;
}

static void receive(struct np_cache *c);

static void *take_piece(struct np_cache *c, unsigned class)
{
	if (c->loaded[class].top == c->loaded[class].base &&
	    !c->second[class]->n) {
		np_count_add(&c->count->misses, 1);
		count_refill(c, class);
		receive(c);
	}
	c->in_use = class;
	return have_loaded(c, class) ? take_loaded(c, class)
				     : take_second(c, class);
}

static void send_all(struct np_cache *c);

/* Pieces of other homes do not wait for ever, what was refilled once is not in
 * use for ever, a crowd goes, and the bound may have been lowered. */
static void count_visit(struct np_cache *c)
{
	if (++c->nslow % SLOW_TO_SEND == 0)
		send_all(c);
	if (c->nslow % SLOW_TO_FORGET == 0) {
		memset(c->refills, 0, sizeof c->refills);
		c->crowded = false;
	}
	if (c->loaded_bytes > loaded_most(c))
		unload_all(c);
}

void *np_cache_take(struct np_cache *c, unsigned class)
{
	void *p;

	enter(c);
	count_visit(c);
	p = take_piece(c, class);
	np_cache_leave(c);
	if (p)
		np_count_add(&c->count->class[class].allocs, 1);
	return p;
}

/* --- giving ----------------------------------------------------------- */

/* loaded[class] is full: makes room in it. */
static void unload_full(struct np_cache *c, unsigned class)
{
	count_refill(c, class);
	if (c->second[class]->n)
		empty_second(c, class, true);
	if (!have_second(c, class) || !exchange(c, class)) {
		flush_mag(c, loaded(c, class), class);
		show_loaded(c, class);
	}
	if (c->loaded[class].top == c->loaded[class].base)
		grow(c, class);
}

static bool have_room_in_second(struct np_cache *c, unsigned class)
{
	if (is_full(c->second[class])) {
		count_refill(c, class);
		empty_second(c, class, true);
		if (!have_second(c, class))
			return false;
	}
	return make_second_room(c, class, np_cache_size_of(c, class));
}

/* Into the cache, however it came here; not counted yet. */
static void keep(struct np_cache *c, void *p, unsigned class)
{
	struct np_loaded *l = &c->loaded[class];

	c->in_use = class;
	if (have_loaded(c, class) && l->top == l->end)
		unload_full(c, class);
	if (has_loaded(c, class)) {
		*l->top++ = p;
	} else if (np_cache_size_of(c, class) <= NP_LARGE_PIECE_MAX &&
		   have_room_in_second(c, class)) {
		push_second(c, class, p);
	} else {
		flush_piece(c, p, class);
	}
}

/* --- other homes ------------------------------------------------------ */

static void count_sent(struct np_cache *c, np_home_t home, size_t n,
		       size_t bytes)
{
	np_segment_sent(c->nodes->segment, c->home, home, n, bytes);
	if (np_unlikely(np_trace_on()))
		np_trace_write(&(struct np_trace_fields){
			.kind = NP_TRACE_HOME, .pool = c->nodes->slot,
			.class = home & 0xff, .first = home >> 8,
			.size = n });
	NP_PROBE(home, c->nodes->slot, home, n);
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
	count_sent(c, home, mag->n, bytes);
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
		count_sent(c, home, 1, size);
		np_arenas_put(&p, 1);
		return;
	}
	NP_YIELD(c);
	mag->slot[mag->n++] = p;
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
			void *p = mag->slot[--mag->n];
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

void np_cache_flush(struct np_cache *c, bool to_depot)
{
	enter(c);
	for (unsigned class = 1; class <= c->nodes->classes->n; class++)
		flush_class(c, class, to_depot);
	send_all(c);
	np_cache_leave(c);
}

static void free_parts(struct np_cache *c)
{
	for (unsigned i = 0; i < c->nodes->n; i++)
		np_mag_destroy(c->outgoing[i].mag);
	np_meta_free(c->home, c->outgoing,
		     c->nodes->n * sizeof *c->outgoing);
	np_block_put(c->nodes->segment, c->count, c->home);
}

void np_cache_fini(struct np_cache *c)
{
	np_cache_flush(c, true);
	free_parts(c);
}

void np_cache_forget(struct np_cache *c)
{
	for (unsigned class = 1; class <= c->nodes->classes->n; class++) {
		np_mag_destroy(c->mag[class]);
		np_mag_destroy(c->second[class]);
	}
	free_parts(c);
}

/* --- reclaiming ------------------------------------------------------- */

/* Release: pairs with the acquire of np_cache_enter. */
static void show(struct np_cache *c)
{
	bool hidden = c->watched || atomic_load_explicit(
		&c->claimed, memory_order_relaxed);

	atomic_store_explicit(&c->cpu_now,
			      hidden ? &np_cpu_none : c->cpu_word,
			      memory_order_release);
	atomic_store_explicit(&c->hidden, hidden, memory_order_release);
}

void np_cache_watch(struct np_cache *c, const volatile uint32_t *cpu_word,
		    bool watched)
{
	c->cpu_word = cpu_word;
	c->watched = watched;
	show(c);
}

bool np_cache_claim(struct np_cache *c, bool only_idle)
{
	uint32_t busy = NP_CACHE_LEFT;

	NP_YIELD(c);
	/* The owner's plain stores come before this or behind it; none is
	 * lost. */
	atomic_compare_exchange_strong_explicit(&c->busy, &busy, NP_CACHE_SEEN,
						memory_order_relaxed,
						memory_order_relaxed);
	if (busy == NP_CACHE_EMPTY || (only_idle && busy != NP_CACHE_SEEN))
		return false;
	atomic_store_explicit(&c->claimed, true, memory_order_relaxed);
	show(c);
	return true;
}

static void loot_mag(struct np_cache *c, struct np_mag *mag, size_t bytes,
		     struct np_mag **loot)
{
	np_count_add(&c->count->reclaimed_bytes, bytes);
	mag->next = *loot;
	*loot = mag;
}

static void loot_class(struct np_cache *c, unsigned class,
		       struct np_mag **loot)
{
	struct np_mag *mag = loaded(c, class), *other = c->second[class];
	size_t size = row_of(c, class)->size;

	if (mag->n) {
		load(c, class, &np_mag_none);
		loot_mag(c, mag, mag->n * size, loot);
	}
	if (other->n) {
		set_second(c, class, &np_mag_none);
		loot_mag(c, other, other->n * size, loot);
	}
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

static void loot_all(struct np_cache *c, struct np_mag **loot)
{
	uint32_t seen = NP_CACHE_SEEN;

	for (unsigned k = 1; k <= c->nodes->classes->n; k++)
		loot_class(c, k, loot);
	for (unsigned i = 0; i < c->nodes->n; i++)
		loot_outgoing(c, i, loot);
	/* Its owner may have tried to enter it: then this is LEFT or BUSY. */
	atomic_compare_exchange_strong_explicit(&c->busy, &seen, NP_CACHE_EMPTY,
						memory_order_relaxed,
						memory_order_relaxed);
}

bool np_cache_steal(struct np_cache *c, bool fenced, struct np_mag **loot)
{
	struct np_mag *before = *loot;

	NP_YIELD(c);
	/* Acquire: pairs with the release of np_cache_leave. */
	if (fenced && atomic_load_explicit(&c->busy, memory_order_acquire) !=
		      NP_CACHE_BUSY) {
		NP_YIELD(c);
		loot_all(c, loot);
	}
	NP_YIELD(c);
	/* Release: pairs with the acquire of np_cache_enter. */
	atomic_store_explicit(&c->claimed, false, memory_order_release);
	show(c);
	return *loot != before;
}
