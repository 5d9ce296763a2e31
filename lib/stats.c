/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * stats: see stats.h.
 */
#include "stats.h"
#include "meta.h"
#include "pool.h"
#include "segment.h"

static void add_block(struct npool_figures *s, const struct np_block *b)
{
	uint64_t allocs = 0, frees = 0;
	int64_t bytes = 0; /* of frees, less those of allocs */

	for (unsigned c = 0; c < np_segment.layout.classes.n; c++) {
		uint64_t a = np_count_get(&b->class[c].allocs);
		uint64_t f = np_count_get(&b->class[c].frees);
		uint32_t size = c ? np_pool.classes.row[c].size : 0;

		allocs += a;
		frees += f;
		bytes += (int64_t)(f - a) * (int64_t)size;
	}
	s->allocs += allocs;
	s->frees += frees;
	s->hits += allocs - np_count_get(&b->misses);
	s->depot_gets += np_count_get(&b->depot_gets);
	s->depot_puts += np_count_get(&b->depot_puts);
	s->foreign_frees += np_count_get(&b->foreign_frees);
	s->cached += (uint64_t)bytes + np_count_get(&b->in_bytes) -
		     np_count_get(&b->out_bytes) -
		     np_count_get(&b->foreign_bytes) +
		     np_count_get(&b->outgoing_bytes);
}

static void add_node(struct npool_figures *s,
		     const struct np_segment_node *node)
{
	s->used += np_count_get(&node->taken);
	s->cached += np_count_get(&node->depot_bytes);
	s->reserved += np_count_get(&node->reserved);
	s->peak_taken += np_count_get(&node->peak_taken);
	s->huge_blocks += np_count_get(&node->huge_blocks);
}

static void add_arena(struct npool_figures *s,
		      const struct np_segment_arena *arena)
{
	s->chunks += np_count_get(&arena->chunks);
	s->spare_chunks += np_count_get(&arena->spare);
}

void np_stats_collect(struct npool_figures *s)
{
	const struct np_segment_header *l = &np_segment.layout;
	size_t size = s->size;

	*s = (struct npool_figures){ .size = size };
	np_pool_wake();
	s->metadata = np_meta_mapped();
	if (!np_segment.header)
		return;
	for (unsigned i = 0; i < l->nodes.n; i++)
		add_node(s, np_segment_node(i));
	for (unsigned i = 0; i < l->arenas.n; i++)
		add_arena(s, np_segment_arena(i));
	for (unsigned i = 0; i < np_segment.blocks_used; i++)
		add_block(s, np_segment_block(i));
	/* Taken is used or cached; counters of other threads may lag. */
	s->used = s->used > s->cached ? s->used - s->cached : 0;
	s->threads = np_count_get(&np_segment.header->threads);
	s->nodes = l->nodes.n;
	s->arenas = l->arenas.n;
	s->chunk_size = np_pool.classes.chunk_size;
}
