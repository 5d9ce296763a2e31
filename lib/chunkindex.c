/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * chunkindex: see chunkindex.h.
 */
#include "chunkindex.h"
#include "meta.h"

#include <errno.h>

#define GROUP 64u      /* places: their bests are one cache line */
#define SIZE_MIN 128u  /* places of the smallest index */

/* --- memory ----------------------------------------------------------- */

static size_t bytes_of(uint32_t size)
{
	return size * (sizeof(struct np_chunk *) + sizeof(uint8_t)) +
	       size / GROUP;
}

/* An empty index. Keeps errno: a list can do without. */
static bool make(struct np_chunkindex *ix, uint32_t size, np_home_t home)
{
	int saved = errno;
	char *p = np_meta_alloc(home, bytes_of(size));

	errno = saved;
	*ix = (struct np_chunkindex){ .home = home };
	if (!p)
		return false;
	ix->size = ix->front = size;
	ix->chunk = (struct np_chunk **)(void *)p;
	ix->best = (uint8_t *)(ix->chunk + size);
	ix->most = ix->best + size;
	return true;
}

void np_chunkindex_destroy(struct np_chunkindex *ix)
{
	if (ix->size)
		np_meta_free(ix->home, ix->chunk, bytes_of(ix->size));
	ix->size = 0;
}

/* --- the two bounds --------------------------------------------------- */

static uint8_t most_of(const uint8_t *best)
{
	uint8_t most = 0;

	for (uint32_t i = 0; i < GROUP; i++)
		most = best[i] > most ? best[i] : most;
	return most;
}

static void set_best(struct np_chunkindex *ix, uint32_t place, uint8_t best)
{
	uint8_t *most = &ix->most[place / GROUP], before = ix->best[place];

	ix->best[place] = best;
	if (best >= *most)
		*most = best;
	else if (before == *most)
		*most = most_of(&ix->best[place / GROUP * GROUP]);
}

/* The first of bounds[from .. to - 1] that is at least `wanted`, or to. */
static uint32_t first_of(const uint8_t *bounds, uint32_t from, uint32_t to,
			 unsigned wanted)
{
	while (from < to && bounds[from] < wanted)
		from++;
	return from;
}

/* --- chunks come and go ----------------------------------------------- */

static void put_front(struct np_chunkindex *ix, struct np_chunk *c,
		      uint8_t best)
{
	c->place = --ix->front;
	ix->chunk[c->place] = c;
	set_best(ix, c->place, best);
}

/* Room for n chunks, and for as many again that enter. */
static uint32_t size_for(uint32_t n)
{
	uint32_t size = SIZE_MIN;

	while (size / 2 < n)
		size *= 2;
	return size;
}

void np_chunkindex_create(struct np_chunkindex *ix, struct np_chunk *head,
			  uint32_t n, np_home_t home)
{
	struct np_chunk *c = head;

	if (!make(ix, size_for(n), home))
		return;
	while (c->next)
		c = c->next;
	for (; c; c = c->prev)
		put_front(ix, c, np_chunk_best(c));
}

/* Goes by the old index: chunks themselves are far apart in memory. */
static void move_together(struct np_chunkindex *ix, uint32_t n)
{
	struct np_chunkindex old = *ix;

	if (make(ix, size_for(n), old.home))
		for (uint32_t i = old.size; i-- > old.front; )
			if (old.chunk[i])
				put_front(ix, old.chunk[i], old.best[i]);
	np_chunkindex_destroy(&old);
}

void np_chunkindex_add(struct np_chunkindex *ix, struct np_chunk *head,
		       uint32_t n)
{
	if (!ix->front)
		move_together(ix, n);
	if (ix->size)
		put_front(ix, head, np_chunk_best(head));
}

void np_chunkindex_remove(struct np_chunkindex *ix, const struct np_chunk *c)
{
	set_best(ix, c->place, 0);
	ix->chunk[c->place] = NULL;
}

void np_chunkindex_update(struct np_chunkindex *ix, const struct np_chunk *c)
{
	set_best(ix, c->place, np_chunk_best(c));
}

struct np_chunk *np_chunkindex_find(const struct np_chunkindex *ix,
				    const struct np_chunk *from,
				    unsigned order)
{
	unsigned wanted = order + 1;
	uint32_t group = from->place / GROUP, i;

	i = first_of(ix->best, from->place, (group + 1) * GROUP, wanted);
	if (i == (group + 1) * GROUP) {
		group = first_of(ix->most, group + 1, ix->size / GROUP,
				 wanted);
		if (group == ix->size / GROUP)
			return NULL;
		i = first_of(ix->best, group * GROUP, (group + 1) * GROUP,
			     wanted);
	}
	return ix->chunk[i];
}

/* --- invariants ------------------------------------------------------- */

bool np_chunkindex_valid(const struct np_chunkindex *ix,
			 const struct np_chunk *head)
{
	uint32_t n = 0, found = 0, place = ix->front;

	for (const struct np_chunk *c = head; c; c = c->next, n++) {
		if (c->place < place || c->place >= ix->size ||
		    ix->chunk[c->place] != c ||
		    ix->best[c->place] < np_chunk_best(c))
			return false;
		place = c->place + 1;
	}
	for (uint32_t i = 0; i < ix->size; i++) {
		found += ix->chunk[i] != NULL;
		if (!ix->chunk[i] && ix->best[i])
			return false;
		if (i % GROUP == 0 &&
		    ix->most[i / GROUP] != most_of(&ix->best[i]))
			return false;
	}
	return found == n;
}
