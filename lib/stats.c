/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * stats: see stats.h.
 */
#include "stats.h"
#include "meta.h"
#include "os.h"
#include "pool.h"
#include "segment.h"

#include <inttypes.h>
#include <stdio.h> /* snprintf */
#include <string.h>

/* --- adding up --------------------------------------------------------- */

static void add_block(struct npool_figures *s, const struct np_pool *pool,
		      const struct np_block *b)
{
	uint64_t allocs = 0;

	for (unsigned c = 0; c < pool->segment.layout.classes.n; c++) {
		allocs += np_count_get(&b->class[c].allocs);
		s->frees += np_count_get(&b->class[c].frees);
	}
	s->allocs += allocs;
	s->hits += allocs - np_count_get(&b->misses);
	s->depot_gets += np_count_get(&b->depot_gets);
	s->depot_puts += np_count_get(&b->depot_puts);
	s->foreign_frees += np_count_get(&b->foreign_frees);
	s->cached += (uint64_t)np_block_cached(&pool->segment, &pool->classes,
					       b);
}

static void add_node(struct npool_figures *s,
		     const struct np_segment_node *node)
{
	s->used += np_count_get(&node->taken);
	s->cached += np_count_get(&node->depot_bytes);
	s->reserved += np_count_get(&node->reserved);
	s->peak_taken += np_count_get(&node->peak_taken);
	s->huge_blocks += np_count_get(&node->huge_blocks);
	s->spilled += np_count_get(&node->spilled);
	s->brought_home += np_count_get(&node->brought_home);
}

static void add_arena(struct npool_figures *s,
		      const struct np_segment_arena *arena)
{
	s->chunks += np_count_get(&arena->chunks);
	s->spare_chunks += np_count_get(&arena->spare);
}

void np_stats_collect(struct np_pool *pool, struct npool_figures *s)
{
	const struct np_segment *seg = &pool->segment;
	size_t size = s->size;

	*s = (struct npool_figures){ .size = size };
	s->metadata = np_meta_mapped();
	if (np_pool_stage(pool) != NP_AWAKE)
		return;
	for (unsigned i = 0; i < seg->layout.nodes.n; i++)
		add_node(s, np_segment_node(seg, i));
	for (unsigned i = 0; i < seg->layout.arenas.n; i++)
		add_arena(s, np_segment_arena(seg, i));
	for (unsigned i = 0; i < seg->blocks_used; i++)
		add_block(s, pool, np_segment_block(seg, i));
	/* Taken is used or cached; counters of other threads may lag. */
	s->used = s->used > s->cached ? s->used - s->cached : 0;
	s->charged = np_limit_charged(&pool->limit);
	s->refused = np_count_get(&seg->header->refused);
	s->threads = np_count_get(&seg->header->threads);
	s->nodes = seg->layout.nodes.n;
	s->arenas = seg->layout.arenas.n;
	s->chunk_size = pool->classes.chunk_size;
	s->spilled_ms = np_segment_spill_age(seg);
}

/* --- for people -------------------------------------------------------- */

struct print {
	int fd, error;
};

static void write_all(struct print *out, const char *text, size_t n)
{
	if (!out->error)
		out->error = np_os_write(out->fd, text, n);
}

static void print_line(struct print *out, const char *name, uint64_t value,
		       const char *unit)
{
	char line[80];
	int n = snprintf(line, sizeof line, "  %-22s %20" PRIu64 "%s%s\n",
			 name, value, *unit ? " " : "", unit);

	write_all(out, line, (size_t)n);
}

static void print_hidden(struct print *out, int error)
{
	char line[160];
	int n = snprintf(line, sizeof line,
			 "  npool-stat does not see it: %s\n",
			 strerrordesc_np(error));

	write_all(out, line, (size_t)n);
}

/* Of one pool, taken with the pools' lock held and written without: whoever
 * reads it may be slow. */
struct shown {
	bool is_there;
	int hidden; /* errno: npool-stat does not see it, and should */
	char name[NP_POOL_NAME_SIZE];
	size_t soft, hard;
	struct npool_figures f;
};

static void look(struct np_pool *pool, void *arg)
{
	struct shown *s = arg;

	s->is_there = true;
	if (np_pool_stage(pool) == NP_AWAKE)
		s->hidden = pool->segment.hidden;
	memcpy(s->name, pool->name, sizeof s->name);
	s->soft = atomic_load_explicit(&pool->limit.soft,
				       memory_order_relaxed);
	s->hard = atomic_load_explicit(&pool->limit.hard,
				       memory_order_relaxed);
	np_stats_collect(pool, &s->f);
}

static void print_pool(struct print *out, const struct shown *s)
{
	const struct npool_figures *f = &s->f;
	char line[80];
	int n = snprintf(line, sizeof line, "pool %s\n", s->name);

	write_all(out, line, (size_t)n);
	print_line(out, "used", f->used, "bytes");
	print_line(out, "cached", f->cached, "bytes");
	print_line(out, "reserved", f->reserved, "bytes");
	print_line(out, "peak taken", f->peak_taken, "bytes");
	print_line(out, "charged", f->charged, "bytes");
	if (s->soft)
		print_line(out, "soft limit", s->soft, "bytes");
	if (s->hard)
		print_line(out, "hard limit", s->hard, "bytes");
	print_line(out, "refused", f->refused, "");
	print_line(out, "chunks", f->chunks, "");
	print_line(out, "spare chunks", f->spare_chunks, "");
	print_line(out, "huge blocks", f->huge_blocks, "");
	print_line(out, "allocations", f->allocs, "");
	print_line(out, "frees", f->frees, "");
	print_line(out, "cache hits", f->hits, "");
	print_line(out, "depot exchanges", f->depot_gets + f->depot_puts, "");
	print_line(out, "freed to other nodes", f->foreign_frees, "");
	print_line(out, "on another node", f->spilled, "bytes");
	print_line(out, "brought home", f->brought_home, "bytes");
	print_line(out, "threads", f->threads, "");
	print_line(out, "nodes", f->nodes, "");
	print_line(out, "arenas", f->arenas, "");
	if (s->hidden)
		print_hidden(out, s->hidden);
}

int np_stats_print(int fd)
{
	struct print out = { .fd = fd };

	for (unsigned slot = 0; slot < NP_MAX_POOLS; slot++) {
		struct shown s = { .f.size = sizeof s.f };

		np_pools_at(slot, look, &s);
		if (s.is_there)
			print_pool(&out, &s);
	}
	write_all(&out, "all pools\n", strlen("all pools\n"));
	print_line(&out, "metadata", np_meta_mapped(), "bytes");
	return out.error;
}
