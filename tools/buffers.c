/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * buffers: see buffers.h.
 */
#include "buffers.h"

#include <stdlib.h>
#include <string.h>

#define SLOTS_MIN 64

struct buffer_slot {
	uint32_t hash;
	uint32_t number; /* 0: empty */
};

static uint32_t hash_of(const char *name, size_t *size)
{
	uint64_t h = 0xcbf29ce484222325; /* FNV-1a, and a last mixing */
	size_t n = 0;

	for (; name[n]; n++)
		h = (h ^ (unsigned char)name[n]) * 0x100000001b3;
	*size = n;
	return (uint32_t)((h ^ h >> 29) * 0x9e3779b97f4a7c15 >> 32);
}

/* Where the name is, or the empty slot where it would be. */
static uint32_t slot_of(const struct buffers *all, const char *name,
			size_t size, uint32_t hash)
{
	uint32_t mask = all->nslots - 1, i = hash & mask;

	for (; all->slots[i].number; i = (i + 1) & mask) {
		const struct buffer *b = buffers_at(all, all->slots[i].number);

		if (all->slots[i].hash == hash && b->name_size == size &&
		    !memcmp(buffer_name(b), name, size))
			break;
	}
	return i;
}

uint32_t buffers_find(const struct buffers *all, const char *name)
{
	size_t size;
	uint32_t hash;

	if (!all->nlive)
		return 0;
	hash = hash_of(name, &size);
	return all->slots[slot_of(all, name, size, hash)].number;
}

static bool grow_slots(struct buffers *all)
{
	uint32_t n = all->nslots ? 2 * all->nslots : SLOTS_MIN, mask = n - 1;
	struct buffer_slot *more = calloc(n, sizeof *more);

	if (!more)
		return false;
	for (uint32_t i = 0; i < all->nslots; i++) {
		uint32_t to = all->slots[i].hash & mask;

		if (!all->slots[i].number)
			continue;
		while (more[to].number)
			to = (to + 1) & mask;
		more[to] = all->slots[i];
	}
	free(all->slots);
	all->slots = more;
	all->nslots = n;
	return true;
}

static bool grow_buffers(struct buffers *all)
{
	uint32_t room = all->room ? all->room + all->room / 2 : SLOTS_MIN;
	struct buffer *more = realloc(all->buffers, room * sizeof *more);

	if (!more)
		return false;
	all->buffers = more;
	all->room = room;
	return true;
}

static uint32_t take_number(struct buffers *all)
{
	uint32_t number = all->free;

	if (number) {
		all->free = buffers_at(all, number)->length;
		return number;
	}
	if (all->used + 1 >= all->room && !grow_buffers(all))
		return 0;
	return ++all->used;
}

static void free_number(struct buffers *all, uint32_t number)
{
	buffers_at(all, number)->length = all->free;
	all->free = number;
}

static bool set_name(struct buffer *b, const char *name, size_t size,
		     uint32_t hash)
{
	char *to = b->name.inside;

	if (size > UINT32_MAX)
		return false;
	*b = (struct buffer){ .name_size = (uint32_t)size, .hash = hash };
	if (size >= BUFFER_NAME_INSIDE)
		to = b->name.apart = malloc(size + 1);
	return to && memcpy(to, name, size + 1);
}

uint32_t buffers_add(struct buffers *all, const char *name, bool *is_there)
{
	size_t size;
	uint32_t hash = hash_of(name, &size), number;
	struct buffer_slot *slot;

	/* Three quarters full: twice as many. */
	if (all->nlive >= all->nslots - all->nslots / 4 && !grow_slots(all))
		return 0;
	slot = &all->slots[slot_of(all, name, size, hash)];
	*is_there = slot->number != 0;
	if (slot->number)
		return slot->number;
	number = take_number(all);
	if (!number)
		return 0;
	if (!set_name(buffers_at(all, number), name, size, hash)) {
		free_number(all, number);
		return 0;
	}
	*slot = (struct buffer_slot){ .hash = hash, .number = number };
	all->nlive++;
	return number;
}

/* Empties slot i. What stands behind it, and would not be found any more, is
 * moved there; then that slot is the empty one. */
static void empty_slot(struct buffers *all, uint32_t i)
{
	uint32_t mask = all->nslots - 1;

	for (uint32_t j = (i + 1) & mask; all->slots[j].number;
	     j = (j + 1) & mask) {
		uint32_t home = all->slots[j].hash & mask;

		if (((j - home) & mask) >= ((j - i) & mask)) {
			all->slots[i] = all->slots[j];
			i = j;
		}
	}
	all->slots[i].number = 0;
}

void buffers_remove(struct buffers *all, uint32_t number)
{
	struct buffer *b = buffers_at(all, number);
	uint32_t mask = all->nslots - 1, i = b->hash & mask;

	while (all->slots[i].number != number)
		i = (i + 1) & mask;
	empty_slot(all, i);
	all->nlive--;
	if (b->name_size >= BUFFER_NAME_INSIDE)
		free(b->name.apart);
	free_number(all, number);
}

uint32_t buffers_each(const struct buffers *all, uint32_t *i)
{
	uint32_t number = 0;

	while (!number && *i < all->nslots)
		number = all->slots[(*i)++].number;
	return number;
}

void buffers_fini(struct buffers *all)
{
	uint32_t i = 0, number;

	while ((number = buffers_each(all, &i)) != 0)
		if (buffers_at(all, number)->name_size >= BUFFER_NAME_INSIDE)
			free(buffers_at(all, number)->name.apart);
	free(all->slots);
	free(all->buffers);
}
