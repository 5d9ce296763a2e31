/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * tick: see tick.h.
 */
#include "tick.h"
#include "background.h"
#include "decay.h"
#include "os.h"
#include "record.h"

#define AT_ONCE_MS 100	 /* between ticks if decay_ms is 0 */
#define VISITS_A_LOOK 31 /* the clock costs about as much as a visit */

void np_tick_set(struct np_pool *pool, int64_t decay_ms)
{
	uint32_t tick_ms = decay_ms < 0 ? 0
		: decay_ms == 0 ? AT_ONCE_MS
		: (uint32_t)((decay_ms + 1) / 2);

	/* Who sets other options shall not put ticks off. */
	if (tick_ms == atomic_load_explicit(&pool->tick_ms,
					    memory_order_relaxed))
		return;
	atomic_store_explicit(&pool->tick_ms, tick_ms, memory_order_relaxed);
	atomic_store_explicit(&pool->next_tick_ms, np_os_now_ms() + tick_ms,
			      memory_order_relaxed);
}

/* --- one tick --------------------------------------------------------- */

static void tick_depot(struct np_pool *pool, struct np_depot *d)
{
	np_pool_empty_inbox(pool, d);
	for (unsigned class = 1; class < d->nclasses; class++)
		np_mags_to_arenas(np_depot_tick(d, class));
}

static void tick_arena(struct np_arena *arena, void *bytes)
{
	*(size_t *)bytes += np_decay_tick(arena);
}

size_t np_tick(struct np_pool *pool)
{
	struct np_segment_header *h = pool->segment.header;
	size_t bytes;

	np_lock(&pool->lock);
	np_count_add(&h->reclaims, np_threads_reclaim(&pool->nodes, true));
	for (unsigned i = 0; i < pool->nodes.n; i++)
		if (pool->nodes.node[i].depot)
			tick_depot(pool, pool->nodes.node[i].depot);
	bytes = np_huge_trim(&pool->huge, false);
	np_nodes_each_arena(&pool->nodes, tick_arena, &bytes);
	np_pool_look(pool);
	np_count_set(&h->charged, np_limit_charged(&pool->limit));
	np_unlock(&pool->lock);
	return bytes;
}

/* --- when ------------------------------------------------------------- */

static bool is_due(const struct np_pool *pool, uint64_t now_ms)
{
	return atomic_load_explicit(&pool->tick_ms, memory_order_relaxed) &&
	       now_ms >= atomic_load_explicit(&pool->next_tick_ms,
					      memory_order_relaxed);
}

bool np_tick_if_due(struct np_pool *pool, uint64_t now_ms, size_t *bytes)
{
	uint64_t next = atomic_load_explicit(&pool->next_tick_ms,
					     memory_order_relaxed);
	uint32_t tick_ms = atomic_load_explicit(&pool->tick_ms,
						memory_order_relaxed);

	if (!tick_ms || now_ms < next ||
	    !atomic_compare_exchange_strong_explicit(
		    &pool->next_tick_ms, &next, now_ms + tick_ms,
		    memory_order_relaxed, memory_order_relaxed))
		return false;
	*bytes = np_tick(pool);
	return true;
}

static void tick_other(struct np_pool *pool, void *now_ms)
{
	size_t bytes;

	np_tick_if_due(pool, *(uint64_t *)now_ms, &bytes);
}

/* The struct of a pool that has ended is there still, and asleep. */
static void tick_others(const struct np_pool *own, uint64_t now_ms)
{
	for (unsigned slot = 0; slot < NP_MAX_POOLS; slot++) {
		const struct np_pool *pool = atomic_load_explicit(
			&np_pools[slot], memory_order_acquire);

		if (pool && pool != own && np_pool_stage(pool) == NP_AWAKE &&
		    is_due(pool, now_ms))
			np_pools_try(slot, tick_other, &now_ms);
	}
}

void np_tick_visit(struct np_pool *pool)
{
	static _Thread_local unsigned visits
		__attribute__((tls_model("initial-exec")));
	uint64_t now_ms;
	size_t bytes;

	np_background_notice();
	np_record_look();
	if (++visits % VISITS_A_LOOK)
		return;
	now_ms = np_os_now_ms();
	if (np_pool_stage(pool) == NP_AWAKE)
		np_tick_if_due(pool, now_ms, &bytes);
	tick_others(pool, now_ms);
}
