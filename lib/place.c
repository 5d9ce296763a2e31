/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * place: see place.h.
 */
#include "place.h"

#include <stdio.h> /* snprintf */
#include <string.h>

static void find_in_run(struct np_place *place, uintptr_t p)
{
	const struct np_chunk *c = place->chunk;
	uintptr_t offset = p - (uintptr_t)c->base;
	uint32_t page = (uint32_t)(offset >> c->classes->page_shift);
	uint32_t size;

	place->class = place->entry & NP_PAGE_CLASS;
	place->first = page - (place->entry >> NP_PAGE_OFFSET_SHIFT);
	size = c->classes->row[place->class].size;
	offset -= (uintptr_t)place->first << c->classes->page_shift;
	if (place->entry & NP_PAGE_SUBPAGE && size) {
		place->slot = (uint32_t)offset / size;
		place->offset = (uint32_t)offset % size;
	} else {
		place->offset = offset;
	}
}

struct np_place np_place_of(const void *p)
{
	struct np_place place = { .region = np_map_find(p) };

	if (!place.region)
		return place;
	if (place.region->is_huge) {
		place.offset = (uintptr_t)p - place.region->base;
		return place;
	}
	place.chunk = np_region_chunk(place.region, p);
	place.entry = np_region_entry(place.region, p);
	if (place.chunk && place.entry)
		find_in_run(&place, (uintptr_t)p);
	return place;
}

bool np_place_is_taken(const struct np_place *place)
{
	if (!place->chunk || !place->entry)
		return false;
	return !(place->entry & NP_PAGE_SUBPAGE) ||
	       np_subpage_is_taken(np_chunk_subpage(place->chunk,
						    place->first),
				   place->slot);
}

/* "double free" for who wanted to free, else what led to it. */
static const char *freed_before(const char *what)
{
	return strncmp(what, "free", 4) ? "already freed" : "double free";
}

/* What p is, if it lies in a run that is taken. */
static _Noreturn void die_in_run(const void *p, const struct np_place *place,
				 const char *what)
{
	const struct np_chunk *c = place->chunk;
	const struct np_class *row = &c->classes->row[place->class];
	const char *fault = place->offset ? "interior pointer"
					  : freed_before(what);
	char piece[64];

	if (row->nelems)
		snprintf(piece, sizeof piece, "element %u of the subpage",
			 place->slot);
	else
		snprintf(piece, sizeof piece, "the run of %u pages",
			 (unsigned)row->npages);
	np_die("%s(%p): %s: %zu bytes into %s at page %u of chunk %p (class "
	       "%u, arena %u, node %u, pool %s)", what, p, fault,
	       place->offset, piece, place->first, (void *)c->base,
	       (unsigned)row->size, place->region->arena_index,
	       np_region_home(place->region), place->region->pool);
}

_Noreturn void np_place_die(const void *p, const struct np_place *place,
			    const char *what)
{
	const struct np_region *r = place->region;
	const struct np_chunk *c = place->chunk;
	uintptr_t page;

	if (!r)
		np_die("%s(%p): not a pointer of any pool", what, p);
	if (r->is_huge)
		np_die("%s(%p): %s: %zu bytes into the huge block at %p of "
		       "%zu bytes (pool %s)", what, p,
		       place->offset ? "interior pointer"
				     : freed_before(what), place->offset,
		       (void *)r->base, r->block_size, r->pool);
	if (!c)
		np_die("%s(%p): %s: its chunk is unmapped", what, p,
		       freed_before(what));
	page = ((uintptr_t)p - (uintptr_t)c->base) >> c->classes->page_shift;
	if (!place->entry)
		np_die("%s(%p): %s: page %u of chunk %p is free (arena %u, "
		       "node %u, pool %s)", what, p, freed_before(what),
		       (unsigned)page, (void *)c->base, r->arena_index,
		       np_region_home(r), r->pool);
	die_in_run(p, place, what);
}
