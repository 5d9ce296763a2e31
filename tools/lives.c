/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * lives: see lives.h.
 */
#include "lives.h"
#include "tool.h"

#include <stdlib.h>
#include <string.h>

#define ROOM_FIRST ((size_t)1024)
#define HUGE_UNIT 4096 /* bytes that huge blocks are rounded to, at least */
#define SUBPAGE_BIT ((uint64_t)1 << 62)

void lives_init(struct lives *l)
{
	*l = (struct lives){ .room = ROOM_FIRST, .regions_room = ROOM_FIRST };
	l->table = get_memory(l->room, sizeof *l->table);
	l->regions = get_memory(l->regions_room, sizeof *l->regions);
}

void lives_free(struct lives *l)
{
	free(l->table);
	free(l->regions);
	for (unsigned i = 0; i < NP_MAX_POOLS; i++)
		free(l->classes[i]);
}

/* --- a table by address ---------------------------------------------- */

static size_t hash_of(uint64_t addr)
{
	return (size_t)((addr >> 4) * UINT64_C(0x9e3779b97f4a7c15) >> 20);
}

/* Where the piece is, or would be. */
static size_t place_of(const struct lives *l, uint64_t addr)
{
	size_t i = hash_of(addr) & (l->room - 1);

	while (l->table[i].addr && l->table[i].addr != addr)
		i = (i + 1) & (l->room - 1);
	return i;
}

/* Moves those that live to a table of twice the room, if they need it. */
static void make_room(struct lives *l)
{
	struct piece *old = l->table;
	size_t n = l->room;

	if (2 * l->n > l->room)
		l->room *= 2;
	l->table = get_memory(l->room, sizeof *l->table);
	l->filled = l->n;
	for (size_t i = 0; i < n; i++)
		if (lives_has(l, &old[i]))
			l->table[place_of(l, old[i].addr)] = old[i];
	free(old);
}

/* One more, or with -1 one less. */
static void count(struct lives *l, const struct piece *p, int64_t by)
{
	struct sum *s = &l->of_pool[p->pool];
	uint64_t bytes = p->size * (uint64_t)by;
	uint64_t usable = p->usable * (uint64_t)by;

	l->n += (size_t)by;
	l->bytes += bytes;
	l->usable += usable;
	s->n += (size_t)by;
	s->bytes += bytes;
	s->usable += usable;
}

/* None that lives is there. */
static struct piece *insert(struct lives *l, const struct piece *p)
{
	struct piece *place;

	if (4 * (l->filled + 1) > 3 * l->room)
		make_room(l);
	place = &l->table[place_of(l, p->addr)];
	l->filled += !place->addr;
	*place = *p;
	place->epoch = l->epoch[p->pool];
	count(l, p, 1);
	return place;
}

/* Those behind it that it kept from their places move up. */
static void close_gap(struct lives *l, size_t gap)
{
	size_t mask = l->room - 1;

	for (size_t i = (gap + 1) & mask; l->table[i].addr;
	     i = (i + 1) & mask) {
		size_t wanted = hash_of(l->table[i].addr) & mask;

		if (((i - wanted) & mask) < ((i - gap) & mask))
			continue;
		l->table[gap] = l->table[i];
		gap = i;
	}
	l->table[gap].addr = 0;
}

/* Returns false: there is no such piece. */
static bool take_out(struct lives *l, uint64_t addr, struct piece *p)
{
	size_t i = place_of(l, addr);

	*p = l->table[i];
	if (!lives_has(l, p))
		return false;
	close_gap(l, i);
	l->filled--;
	count(l, p, -1);
	return true;
}

/* All of a pool. A program may reset one for each of its requests, beside
 * millions of pieces of others: the table is not gone through. */
static void forget(struct lives *l, unsigned pool)
{
	struct sum *s = &l->of_pool[pool];

	l->n -= s->n;
	l->bytes -= s->bytes;
	l->usable -= s->usable;
	l->gone += s->n;
	*s = (struct sum){ 0 };
	l->epoch[pool]++;
}

static void forget_all(struct lives *l)
{
	for (unsigned pool = 0; pool < NP_MAX_POOLS; pool++)
		forget(l, pool);
}

/* --- regions --------------------------------------------------------- */

/* Chunks and huge blocks, by their base; few, but looked up often. */
static size_t region_place(const struct lives *l, uint64_t base)
{
	size_t i = hash_of(base) & (l->regions_room - 1);

	while (l->regions[i].base && l->regions[i].base != base)
		i = (i + 1) & (l->regions_room - 1);
	return i;
}

static void grow_regions(struct lives *l)
{
	struct region *old = l->regions;
	size_t n = l->regions_room;

	l->regions_room *= 2;
	l->regions = get_memory(l->regions_room, sizeof *l->regions);
	for (size_t i = 0; i < n; i++)
		if (old[i].base)
			l->regions[region_place(l, old[i].base)] = old[i];
	free(old);
}

static uint64_t bytes_of(const struct event *e)
{
	return e->size << NP_TRACE_UNIT_SHIFT;
}

static uint64_t in_slots(const struct event *e, uint64_t size)
{
	return e->kind == NP_TRACE_HUGE_MAP || e->kind == NP_TRACE_HUGE_UNMAP
		? np_round_up(size, NP_SLOT_SIZE) : size;
}

/* A base stays in the table when it is unmapped, with size 0. */
static void set_region(struct lives *l, const struct event *e, uint64_t size)
{
	struct region *r = &l->regions[region_place(l, e->addr)];

	if (!e->addr)
		return;
	if (!r->base) {
		if (2 * ++l->nregions > l->regions_room) {
			grow_regions(l);
			r = &l->regions[region_place(l, e->addr)];
		}
		r->base = e->addr;
	}
	l->reserved += size - r->size;
	l->in_slots += in_slots(e, size) - in_slots(e, r->size);
	r->size = size;
	r->home = e->home;
}

static void forget_regions(struct lives *l)
{
	memset(l->regions, 0, l->regions_room * sizeof *l->regions);
	l->nregions = 0;
	l->reserved = l->in_slots = 0;
}

static uint64_t base_of(const struct lives *l, const struct event *e)
{
	const struct np_classes *t = l->classes[e->pool];

	return !e->class || !t ? e->addr : e->addr & ~(t->chunk_size - 1);
}

struct region *lives_region(const struct lives *l, const struct event *e)
{
	struct region *r = &l->regions[region_place(l, base_of(l, e))];

	return r->base ? r : NULL;
}

int lives_home(const struct lives *l, const struct event *e)
{
	const struct region *r = lives_region(l, e);

	return r ? r->home : -1;
}

/* --- chunk and handle ------------------------------------------------ */

static void set_classes(struct lives *l, const struct event *e)
{
	struct np_classes *t = l->classes[e->pool];

	if (!t)
		t = l->classes[e->pool] = get_memory(1, sizeof *t);
	if (e->size > NP_FINE ||
	    np_classes_init(t, (enum np_class_table)e->size, e->class,
			    e->first) != 0) {
		free(t);
		l->classes[e->pool] = NULL;
	}
}

uint64_t lives_usable(const struct lives *l, const struct event *e)
{
	const struct np_classes *t = l->classes[e->pool];

	if (e->class && t && e->class <= t->n + 1u)
		return t->row[e->class].size;
	return e->size > UINT64_MAX - HUGE_UNIT
		? e->size : np_round_up(e->size, HUGE_UNIT);
}

uint64_t lives_chunk(const struct lives *l, const struct event *e)
{
	return e->class && l->classes[e->pool] ? base_of(l, e) : 0;
}

uint64_t lives_handle(const struct lives *l, const struct event *e)
{
	const struct np_classes *t = l->classes[e->pool];
	const struct np_class *row;
	uint64_t offset, page, slot;
	unsigned order;

	if (!e->class || !t || e->class > t->n + 1u)
		return 0;
	row = &t->row[e->class];
	offset = e->addr & (t->chunk_size - 1);
	page = (offset >> t->page_shift) - e->first;
	order = np_log2_up(row->npages);
	page = page >> order | (uint64_t)1 << (t->max_order - order);
	if (!row->nelems || !row->size)
		return page;
	slot = (offset & ((1u << t->page_shift) - 1)) +
	       ((uint64_t)e->first << t->page_shift);
	return SUBPAGE_BIT | slot / row->size << 32 | page;
}

/* --- what is cached --------------------------------------------------- */

static void set_taken(struct lives *l, unsigned pool, uint64_t bytes)
{
	l->taken += bytes - l->taken_of[pool];
	l->taken_of[pool] = bytes;
}

static void forget_taken(struct lives *l)
{
	memset(l->taken_of, 0, sizeof l->taken_of);
	l->taken = 0;
}

uint64_t lives_cached(const struct lives *l)
{
	return sub_u64(l->taken, l->usable);
}

/* --- events ---------------------------------------------------------- */

/* The piece that the thread has begun to resize and that this one takes the
 * place of; NULL: none is known. One of another pool is not: between them
 * something was lost. */
static const struct piece *moving(const struct lives *l, const struct event *e)
{
	uint64_t from = l->moving[e->ring];
	const struct piece *p = from ? &l->table[place_of(l, from)] : NULL;

	return p && lives_has(l, p) && p->pool == e->pool ? p : NULL;
}

static struct change born(struct lives *l, const struct event *e)
{
	const struct piece *from = moving(l, e);
	struct change c = {
		.kind = CHANGE_BORN,
		.piece = { .addr = e->addr, .size = e->size,
			   .usable = lives_usable(l, e),
			   .born_ns = e->time_ns,
			   .number = from ? from->number : l->nborn + 1,
			   .stack = e->stack,
			   .tid = e->tid, .home = e->home,
			   .class = (uint8_t)e->class, .pool = e->pool },
		.moves = l->moving[e->ring] != 0,
		.from = from ? from->mark : 0,
	};
	struct piece old;

	if (!e->addr)
		return (struct change){ .kind = CHANGE_NONE };
	l->nborn += !from;
	if (take_out(l, e->addr, &old)) {
		l->replaced++;
		c.old_size = old.size;
		c.old_usable = old.usable;
		c.lost = old.mark;
	}
	c.mark = &insert(l, &c.piece)->mark;
	return c;
}

static struct change died(struct lives *l, const struct event *e)
{
	struct change c = { .moves = l->moving[e->ring] == e->addr };

	l->moving[e->ring] = 0;
	if (e->addr && take_out(l, e->addr, &c.piece))
		c.kind = CHANGE_DIED;
	else
		l->strangers++;
	return c;
}

static struct change resized(struct lives *l, const struct event *e)
{
	struct change c = { .kind = CHANGE_RESIZED };
	uint64_t from = l->moving[e->ring];
	struct piece other;

	l->moving[e->ring] = 0;
	if (!e->addr || !take_out(l, from ? from : e->addr, &c.piece)) {
		l->strangers++;
		return (struct change){ .kind = CHANGE_NONE };
	}
	c.old_size = c.piece.size;
	c.old_usable = c.piece.usable;
	if (from != e->addr && take_out(l, e->addr, &other)) {
		l->replaced++;
		c.lost = other.mark;
	}
	c.piece.addr = e->addr;
	c.piece.size = e->size;
	c.piece.usable = lives_usable(l, e);
	c.mark = &insert(l, &c.piece)->mark;
	return c;
}

struct change lives_apply(struct lives *l, const struct event *e)
{
	switch (e->kind) {
	case NP_TRACE_ALLOC:
		return born(l, e);
	case NP_TRACE_FREE:
		return died(l, e);
	case NP_TRACE_RESIZE:
		return resized(l, e);
	case NP_TRACE_MOVE:
		l->moving[e->ring] = e->addr;
		break;
	case NP_TRACE_REFUSE:
		l->moving[e->ring] = 0;
		break;
	case NP_TRACE_START:
		forget_all(l);
		forget_regions(l);
		forget_taken(l);
		break;
	case NP_TRACE_RESET:
		forget(l, e->pool);
		set_taken(l, e->pool, 0);
		break;
	case NP_TRACE_TAKEN:
		set_taken(l, e->pool, e->size);
		l->knows_taken = true;
		break;
	case NP_TRACE_POOL:
		set_classes(l, e);
		break;
	case NP_TRACE_MAP:
	case NP_TRACE_HUGE_MAP:
		set_region(l, e, bytes_of(e));
		break;
	case NP_TRACE_UNMAP:
	case NP_TRACE_HUGE_UNMAP:
		set_region(l, e, 0);
		break;
	default:
		break;
	}
	return (struct change){ .kind = CHANGE_NONE };
}
