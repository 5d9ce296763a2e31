/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * pressure: see pressure.h.
 */
#include "pressure.h"
#include "os.h"

/* The thread is in the function of some pool's owner. */
static _Thread_local bool asking __attribute__((tls_model("initial-exec")));

/* --- the pool's owner --------------------------------------------------- */

static bool call_owner(struct np_pool *pool,
		       const struct npool_pressure *pressure)
{
	bool again;

	if (!pool->pressure || asking)
		return false;
	asking = true;
	np_count_add_shared(&pool->segment.header->pressures, 1);
	again = pool->pressure(pool, pressure, pool->pressure_arg) != 0;
	asking = false;
	return again;
}

/* The kernel's number of the node that has this limit, or -1. */
static int node_of(const struct np_pool *pool, const struct np_limit *limit)
{
	for (unsigned i = 0; i < pool->nodes.n; i++)
		if (limit == &pool->nodes.node[i].limit)
			return np_topology_number(&np_topology, (np_home_t)i);
	return -1;
}

bool np_pressure_ask(struct np_pool *pool, const struct np_limits *limits,
		     size_t wanted, size_t charged)
{
	const struct np_limit *node = limits->node;
	bool is_full = pool->strict && !np_limit_is_hit(&pool->limit, charged);
	const struct np_limit *hit = node && (is_full ||
					      np_limit_is_hit(node, charged))
					     ? node : &pool->limit;
	struct npool_pressure p = {
		.wanted = wanted,
		.used = np_limit_charged(hit),
		.node = node_of(pool, hit),
		.hard = 1,
	};

	if (np_limit_is_hit(hit, charged))
		p.limit = atomic_load_explicit(&hit->hard,
					       memory_order_relaxed);
	return call_owner(pool, &p);
}

/* --- soft limits -------------------------------------------------------- */

/* Is it passed, and not told yet? The first who finds it so tells. */
static bool is_news(struct np_limit *limit)
{
	return np_limit_is_over(limit) &&
	       !atomic_exchange_explicit(&limit->told, true,
					 memory_order_relaxed);
}

static void tell_about(struct np_pool *pool, struct np_limit *limit)
{
	struct npool_pressure p = {
		.used = np_limit_charged(limit),
		.limit = atomic_load_explicit(&limit->soft,
					      memory_order_relaxed),
		.node = node_of(pool, limit),
	};

	if (is_news(limit))
		call_owner(pool, &p);
}

/* Not again for a while. */
static bool may_trim(struct np_pool *pool)
{
	uint64_t now = np_os_now_ms();

	if (now < atomic_load_explicit(&pool->no_soft_trim_before_ms,
				       memory_order_relaxed))
		return false;
	atomic_store_explicit(&pool->no_soft_trim_before_ms,
			      now + NP_PRESSURE_PAUSE_MS,
			      memory_order_relaxed);
	return true;
}

void np_pressure_tell(struct np_pool *pool)
{
	/* Not within the owner's function: he is told behind it. */
	if (asking || np_pool_stage(pool) != NP_AWAKE ||
	    !atomic_exchange_explicit(&pool->limit.over, false,
				      memory_order_relaxed))
		return;
	if (may_trim(pool))
		np_pool_trim(pool);
	tell_about(pool, &pool->limit);
	for (unsigned i = 0; i < pool->nodes.n; i++)
		tell_about(pool, &pool->nodes.node[i].limit);
}
