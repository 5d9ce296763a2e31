/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * pool: see pool.h.
 */
#include "pool.h"
#include "background.h"
#include "leak.h"
#include "memcheck.h"
#include "meta.h"
#include "os.h"
#include "record.h"
#include "start.h"
#include "tick.h"

#include <errno.h>
#include <stdlib.h> /* strtol */
#include <string.h>

struct np_pool np_pool = { .lock = NP_LOCK_INIT(NP_RANK_POOL) };
struct np_pool *_Atomic np_pools[NP_MAX_POOLS] = { &np_pool };
struct np_topology np_topology;

/* Guards which pools there are. */
static struct np_lock pools_lock = NP_LOCK_INIT(NP_RANK_POOLS);

static struct np_pool *pool_in(unsigned slot)
{
	return atomic_load_explicit(&np_pools[slot], memory_order_acquire);
}

/* --- without a cache -------------------------------------------------- */

struct np_cache *np_pool_cache(struct np_pool *pool)
{
	if (pool == &np_pool && !np_start())
		return NULL;
	return pool->caching ? np_thread_cache(&pool->nodes) : NULL;
}

static void count_pieces(struct np_pool *pool, unsigned class, bool is_free,
			 unsigned n)
{
	uint64_t bytes = n * (uint64_t)pool->classes.row[class].size;
	struct np_block *b = np_block_shared(&pool->segment);

	np_count_add_shared(is_free ? &b->class[class].frees
				    : &b->class[class].allocs, n);
	if (class) /* huge blocks are in no cache */
		np_count_add_shared(is_free ? &b->out_bytes : &b->in_bytes,
				    bytes);
	if (!is_free)
		np_count_add_shared(&b->misses, n);
}

/* Whose memory the caller's node has got; bytes wrap round below 0. */
static void count_flow(struct np_pool *pool, const struct np_cache *c,
		       np_home_t home, unsigned class, uint64_t bytes)
{
	if (c && class)
		np_segment_flow_cross(&pool->segment, c->home, home, bytes);
	else
		np_segment_flow(&pool->segment,
				c ? c->home : np_thread_home(&pool->nodes),
				home, bytes);
}

void np_pool_count_taken(struct np_pool *pool, struct np_cache *c,
			 np_home_t home, unsigned class, unsigned n,
			 size_t bytes)
{
	if (np_pool_stage(pool) != NP_AWAKE) {
		np_start_count(class, false, n);
		return;
	}
	if (c)
		np_cache_count_taken(c, class, n);
	else
		count_pieces(pool, class, false, n);
	count_flow(pool, c, home, class, bytes);
}

void np_pool_count_given(struct np_pool *pool, struct np_cache *c,
			 np_home_t home, unsigned class, unsigned n,
			 size_t bytes)
{
	if (np_pool_stage(pool) != NP_AWAKE) {
		np_start_count(class, true, n);
		return;
	}
	if (c)
		np_cache_count_given(c, class, n);
	else
		count_pieces(pool, class, true, n);
	count_flow(pool, c, home, class, -(uint64_t)bytes);
}

void np_pool_count_resized(struct np_pool *pool, np_home_t home, size_t bytes)
{
	if (np_pool_stage(pool) == NP_AWAKE)
		count_flow(pool, np_pool_cache(pool), home, 0, bytes);
}

void np_pool_count_refused(struct np_pool *pool)
{
	if (np_pool_stage(pool) == NP_AWAKE)
		np_count_add_shared(&pool->segment.header->refused, 1);
}

/* --- which pools there are -------------------------------------------- */

static void call_locked(unsigned slot, np_pool_call *call, void *arg)
{
	struct np_pool *pool = pool_in(slot);

	if (pool && np_pool_stage(pool) == NP_AWAKE)
		call(pool, arg);
}

static void each_locked(np_pool_call *call, void *arg)
{
	for (unsigned i = 0; i < NP_MAX_POOLS; i++)
		call_locked(i, call, arg);
}

void np_pools_each(np_pool_call *call, void *arg)
{
	np_lock(&pools_lock);
	each_locked(call, arg);
	np_unlock(&pools_lock);
}

void np_pools_at(unsigned slot, np_pool_call *call, void *arg)
{
	np_lock(&pools_lock);
	call_locked(slot, call, arg);
	np_unlock(&pools_lock);
}

void np_pools_try(unsigned slot, np_pool_call *call, void *arg)
{
	if (!np_trylock(&pools_lock))
		return;
	call_locked(slot, call, arg);
	np_unlock(&pools_lock);
}

/* A slot that no pool uses, or 0. The pools' lock is held. */
static unsigned free_slot(void)
{
	for (unsigned i = 1; i < NP_MAX_POOLS; i++) {
		const struct np_pool *pool = pool_in(i);

		if (!pool || np_pool_stage(pool) == NP_ASLEEP)
			return i;
	}
	return 0;
}

/* --- the set of nodes ------------------------------------------------- */

/* Reads a number at *at and moves on. Returns -1 if there is none. */
static int read_number(const char **at)
{
	char *end;
	long n;

	if (**at < '0' || **at > '9')
		return -1;
	n = strtol(*at, &end, 10);
	*at = end;
	return n < NP_MAX_NODES ? (int)n : -1;
}

static bool read_range(const char **at, int *first, int *last)
{
	*first = *last = read_number(at);
	if (**at == '-') {
		++*at;
		*last = read_number(at);
	}
	return *first >= 0 && *last >= *first;
}

bool np_pool_read_nodes(const char *list, bool in_set[NP_MAX_NODES])
{
	int first, last;

	memset(in_set, 0, NP_MAX_NODES * sizeof *in_set);
	do {
		if (!read_range(&list, &first, &last))
			return false;
		for (int n = first; n <= last; n++) {
			np_home_t home = np_topology_find(&np_topology, n);

			if (home == NP_NO_NODE)
				return false;
			in_set[home] = true;
		}
	} while ((*list == ',' || *list == '+') && list++);
	return !*list;
}

/* Tells the kernel's policy which nodes an interleaved pool has. */
static void interleave(const struct np_pool *pool, const bool *in_set)
{
	struct np_os_nodes nodes = { { 0 } };

	for (unsigned i = 0; i < np_topology.nnodes; i++)
		if (np_topology.kernel_node[i] >= 0 &&
		    (in_set ? in_set[i]
			    : !np_topology_named_only(&np_topology, i)))
			np_os_nodes_add(&nodes,
					(unsigned)np_topology.kernel_node[i]);
	np_os_interleave(pool->slot, &nodes);
}

/* --- the start -------------------------------------------------------- */

static void set_limits(struct np_limit *limit, int64_t soft, int64_t hard)
{
	atomic_store_explicit(&limit->soft, (size_t)soft,
			      memory_order_relaxed);
	atomic_store_explicit(&limit->hard, (size_t)hard,
			      memory_order_relaxed);
}

static void set_arena_decay(struct np_arena *arena, void *decay_ms)
{
	np_arena_set_decay(arena, *(int64_t *)decay_ms);
}

/* Makes the live options true. */
static void apply_config(struct np_pool *pool)
{
	const struct np_config *k = &pool->config;
	int64_t decay_ms = k->decay_ms;

	atomic_store_explicit(&pool->nodes.cache_bytes,
			      (size_t)k->cache_bytes, memory_order_relaxed);
	np_huge_set(&pool->huge, (size_t)k->huge_bytes, decay_ms >= 0);
	set_limits(&pool->limit, k->soft_limit, k->hard_limit);
	/* An interleaved pool is on no node: it has the pool's limit alone. */
	for (unsigned i = 0; i < pool->nodes.n && !pool->interleaved; i++)
		set_limits(&pool->nodes.node[i].limit, k->node_soft_limit,
			   k->node_hard_limit);
	/* They may be passed already. */
	for (unsigned i = 0; i < pool->nodes.n; i++)
		np_limits_force(&pool->nodes.node[i].owner.limits, 0);
	np_nodes_each_arena(&pool->nodes, set_arena_decay, &decay_ms);
	np_tick_set(pool, decay_ms);
}

/* As np_segment_create takes it. Who names a directory wants files. */
static const char *segment_place(void)
{
	const struct np_config *k = &np_pool.config;

	return *k->segment || k->stats ? k->segment : NULL;
}

static int make_nodes(struct np_pool *pool, struct np_arena *first,
		      const bool *in_set)
{
	const struct np_config *k = &pool->config;
	struct np_nodes_plan plan = {
		.topology = &np_topology,
		.classes = &pool->classes,
		.segment = &pool->segment,
		.limit = &pool->limit,
		.name = pool->name,
		.slot = pool->slot,
		.arenas = (unsigned)k->arenas,
		.policies = NP_ALL_POLICIES,
		.decay_ms = k->decay_ms,
		.pages = (enum np_huge_pages)k->huge_pages,
		.pinned = k->pinned,
		.strict = pool->strict,
		.interleaved = pool->interleaved,
		.in_set = in_set,
		.first = first,
	};
	struct np_segment_pool shown = {
		.name = pool->name,
		.slot = pool->slot,
		.config = k,
		.classes = &pool->classes,
		.topology = &np_topology,
	};
	int error;

	plan.first_home = np_nodes_home_of(&plan, np_os_cpu());
	shown.narenas = np_nodes_count_arenas(&plan);
	error = np_segment_create(&pool->segment, segment_place(), &shown);
	return error ? error : np_nodes_create(&pool->nodes, &plan);
}

/* Can the pool keep what the option strict promises? */
static int check_strict(const struct np_pool *pool)
{
	if (!pool->config.strict)
		return 0;
	if (pool->interleaved) {
		np_warn("pool %s: strict: an interleaved pool is on no node",
			pool->name);
		return EINVAL;
	}
	if (np_topology_is_sure(&np_topology))
		return 0;
	np_warn("pool %s: strict: where memory lies cannot be promised: %s",
		pool->name, np_topology.note);
	return ENOTSUP;
}

int np_pool_wake_up(struct np_pool *pool, struct np_arena *first)
{
	const struct np_config *k = &pool->config;
	bool set[NP_MAX_NODES];
	const bool *in_set = *k->node_set ? set : NULL;
	int error;

	if (in_set && !np_pool_read_nodes(k->node_set, set)) {
		np_warn("pool %s: '%s' is no list of nodes of this machine "
			"(as 0-3+8)", pool->name, k->node_set);
		if (!first)
			return EINVAL;
		in_set = NULL;
	}
	pool->interleaved = k->policy == NP_INTERLEAVE;
	error = check_strict(pool);
	if (error && !first)
		return error;
	pool->strict = k->strict && !error;
	pool->zero_on_free = k->zero_on_free;
	pool->check = np_pool.config.check;
	pool->caching = k->cache_pieces && !pool->check;
	pool->nodes.cache_pieces = (uint32_t)k->cache_pieces;
	pool->nodes.no_fast_path = pool->zero_on_free;
	interleave(pool, in_set);
	error = make_nodes(pool, first, in_set);
	if (!error)
		apply_config(pool);
	return error;
}

/* Returns 0, or EINVAL: there is no such geometry. */
static int set_up(struct np_pool *pool, unsigned slot,
		  const struct np_config *config,
		  const struct npool_attr *attr)
{
	memset(pool, 0, sizeof *pool);
	pool->slot = slot;
	pool->config = *config;
	strncpy(pool->name, attr->name ? attr->name : "pool",
		sizeof pool->name - 1);
	pool->pressure = attr->pressure;
	pool->pressure_arg = attr->pressure_arg;
	np_lock_init(&pool->lock, NP_RANK_POOL);
	np_huge_init(&pool->huge, (size_t)config->huge_bytes,
		     config->decay_ms >= 0);
	return np_classes_init(&pool->classes,
			       (enum np_class_table)config->class_table,
			       np_log2((size_t)config->page_size),
			       (unsigned)config->max_order);
}

/* What np_pool_wake_up made, or as far as it came. */
static void tear_down(struct np_pool *pool)
{
	np_huge_fini(&pool->huge);
	np_nodes_destroy(&pool->nodes);
	if (pool->segment.header)
		np_segment_destroy(&pool->segment);
}

static int create_in(unsigned slot, const struct np_config *config,
		     const struct npool_attr *attr, struct np_pool **out)
{
	struct np_pool *pool = pool_in(slot);
	int error;

	if (!pool)
		pool = np_meta_alloc(0, sizeof *pool);
	if (!pool)
		return ENOMEM;
	error = set_up(pool, slot, config, attr);
	/* Release: who finds it finds a pool that is asleep. */
	atomic_store_explicit(&np_pools[slot], pool, memory_order_release);
	if (!error)
		error = np_pool_wake_up(pool, NULL);
	if (error) {
		tear_down(pool);
		return error;
	}
	np_memcheck_pool(pool);
	np_pool_set_stage(pool, NP_AWAKE);
	np_record_pool(pool);
	*out = pool;
	return 0;
}

int np_pool_create(struct np_pool **pool, const struct np_config *config,
		   const struct npool_attr *attr)
{
	unsigned slot;
	int error = EAGAIN;

	np_lock(&pools_lock);
	slot = free_slot();
	if (slot)
		error = create_in(slot, config, attr, pool);
	np_unlock(&pools_lock);
	return error;
}

/* --- the end ---------------------------------------------------------- */

void np_pool_destroy(struct np_pool *pool)
{
	np_lock(&pools_lock);
	np_threads_forget(&pool->nodes);
	np_pool_set_stage(pool, NP_ASLEEP);
	tear_down(pool);
	np_memcheck_pool_ends(pool);
	np_record_reset(pool, true);
	np_unlock(&pools_lock);
}

static void reset_arena(struct np_arena *arena, void *unused)
{
	(void)unused;
	np_arena_reset(arena);
}

static void clear_arena(struct np_arena *arena, void *unused)
{
	(void)unused;
	np_arena_clear(arena);
}

void np_pool_reset(struct np_pool *pool)
{
	np_lock(&pools_lock);
	np_lock(&pool->lock);
	np_threads_forget(&pool->nodes);
	for (unsigned i = 0; i < pool->nodes.n; i++)
		if (pool->nodes.node[i].depot)
			np_depot_forget(pool->nodes.node[i].depot);
	np_huge_fini(&pool->huge);
	np_nodes_each_arena(&pool->nodes, reset_arena, NULL);
	if (pool->zero_on_free)
		np_nodes_each_arena(&pool->nodes, clear_arena, NULL);
	np_segment_forget(&pool->segment, &pool->classes);
	np_memcheck_pool_ends(pool);
	np_memcheck_pool(pool);
	np_record_reset(pool, false);
	np_unlock(&pool->lock);
	np_unlock(&pools_lock);
}

/* --- giving back ------------------------------------------------------ */

static size_t bytes_in(const struct np_classes *t, const struct np_mag *mag)
{
	size_t bytes = 0;

	for (; mag; mag = mag->next)
		for (uint32_t i = 0; i < mag->n; i++)
			bytes += t->row[np_place_of(mag->slot[i]).class].size;
	return bytes;
}

void np_pool_empty_inbox(struct np_pool *pool, struct np_depot *depot)
{
	struct np_mag *mail = np_depot_receive(depot);
	size_t bytes = bytes_in(&pool->classes, mail);

	np_mags_to_arenas(mail);
	np_depot_received(depot, bytes);
}

static void trim_arena(struct np_arena *arena, void *bytes)
{
	*(size_t *)bytes += np_arena_trim(arena);
}

size_t np_pool_trim(struct np_pool *pool)
{
	size_t bytes = 0;

	if (np_pool_stage(pool) != NP_AWAKE)
		return pool == &np_pool && np_pool_stage(pool) == NP_EARLY
			? np_arena_trim(&pool->first) : 0;
	np_thread_flush(pool->slot, false);
	np_lock(&pool->lock);
	np_count_add(&pool->segment.header->reclaims,
		     np_threads_reclaim(&pool->nodes, false));
	for (unsigned i = 0; i < pool->nodes.n; i++) {
		struct np_depot *d = pool->nodes.node[i].depot;

		if (!d)
			continue;
		np_pool_empty_inbox(pool, d);
		for (unsigned class = 1; class < d->nclasses; class++)
			np_mags_to_arenas(np_depot_drain(d, class));
	}
	bytes = np_huge_trim(&pool->huge, true);
	np_nodes_each_arena(&pool->nodes, trim_arena, &bytes);
	np_pool_look(pool);
	np_unlock(&pool->lock);
	return bytes;
}

/* --- spills ----------------------------------------------------------- */

static void look_at_arena(struct np_arena *arena, void *unused)
{
	(void)unused;
	np_spill_look_arena(arena);
}

static void note_look(struct np_pool *pool)
{
	np_count_set(&pool->segment.header->looked_ms, np_os_now_ms());
}

void np_pool_look(struct np_pool *pool)
{
	np_huge_look(&pool->huge);
	np_nodes_each_arena(&pool->nodes, look_at_arena, NULL);
	note_look(pool);
}

static void fetch_arena(struct np_arena *arena, void *brought)
{
	np_spill_fetch_arena(arena, brought);
}

void np_pool_migrate_home(struct np_pool *pool, struct np_brought *brought)
{
	np_lock(&pool->lock);
	np_huge_fetch(&pool->huge, brought);
	np_nodes_each_arena(&pool->nodes, fetch_arena, brought);
	note_look(pool);
	np_unlock(&pool->lock);
}

/* --- reserving -------------------------------------------------------- */

int np_pool_reserve(struct np_pool *pool, np_home_t home, size_t bytes,
		    unsigned flags)
{
	const struct np_node *node = &pool->nodes.node[home];
	const struct np_cache *c = np_pool_cache(pool);
	size_t chunk = pool->classes.chunk_size;
	unsigned i = 0;
	int error = 0;

	/* The caller's arena comes first: he will use it. */
	while (c && i < node->narenas && node->arenas[i] != c->arena)
		i++;
	for (; !error && bytes; i++) {
		error = np_arena_reserve(node->arenas[i % node->narenas],
					 flags & NPOOL_POPULATE,
					 flags & NPOOL_LOCK);
		bytes -= bytes < chunk ? bytes : chunk;
	}
	return error;
}

/* --- options ---------------------------------------------------------- */

static bool of_process(const struct np_option *o)
{
	return o->scope == NP_OPT_PROCESS || o->scope == NP_OPT_PROCESS_LIVE;
}

void np_pool_apply_to_process(void)
{
	np_background_set(np_pool.config.background);
	np_leak_set_level((enum np_leak_level)np_pool.config.leaks);
}

int np_pool_set_option(struct np_pool *pool, const char *name,
		       const char *value)
{
	const struct np_option *o = np_config_find(name);
	bool good;

	if (!o)
		return ENOENT;
	if (o->scope == NP_OPT_FIXED || o->scope == NP_OPT_PROCESS)
		return EPERM;
	if (of_process(o))
		pool = &np_pool;
	np_lock(&pool->lock);
	good = np_config_set(&pool->config, o, value);
	if (good) {
		apply_config(pool);
		if (of_process(o))
			np_pool_apply_to_process();
		np_record_option(pool, o);
	}
	np_unlock(&pool->lock);
	return good ? 0 : EINVAL;
}

int np_pool_get_option(struct np_pool *pool, const char *name, char *text,
		       size_t size)
{
	const struct np_option *o = np_config_find(name);
	char value[NP_CONFIG_PATH_MAX];

	if (!o)
		return ENOENT;
	if (of_process(o))
		pool = &np_pool;
	np_lock(&pool->lock);
	np_config_show(&pool->config, o, value, sizeof value);
	np_unlock(&pool->lock);
	if (strlen(value) >= size)
		return ERANGE;
	strcpy(text, value);
	return 0;
}

/* --- fork ------------------------------------------------------------- */

typedef void lock_call(struct np_lock *lock);

static void arena_lock(struct np_arena *arena, void *call)
{
	(*(lock_call **)call)(&arena->lock);
}

static void pool_lock(struct np_pool *pool, void *call)
{
	(*(lock_call **)call)(&pool->lock);
}

static void huge_lock(struct np_pool *pool, void *call)
{
	(*(lock_call **)call)(&pool->huge.lock);
}

static void segment_lock(struct np_pool *pool, void *call)
{
	(*(lock_call **)call)(&pool->segment.lock);
}

static void arena_locks(struct np_pool *pool, void *call)
{
	np_nodes_each_arena(&pool->nodes, arena_lock, call);
}

static void depot_locks(struct np_pool *pool, void *call)
{
	for (unsigned i = 0; i < pool->nodes.n; i++)
		if (pool->nodes.node[i].depot)
			(*(void (**)(struct np_depot *))call)(
				pool->nodes.node[i].depot);
}

/* The default pool before it is awake has these. */
static bool is_early(void)
{
	return np_pool_stage(&np_pool) == NP_EARLY;
}

void np_pools_lock(void)
{
	lock_call *call = np_lock_for_fork;
	void (*depot)(struct np_depot *) = np_depot_lock_all;

	np_lock_for_fork(&pools_lock);
	if (np_pool_stage(&np_pool) != NP_AWAKE)
		np_lock_for_fork(&np_pool.lock);
	each_locked(pool_lock, &call);
	np_threads_lock();
	each_locked(depot_locks, &depot);
	if (is_early())
		np_lock_for_fork(&np_pool.huge.lock);
	each_locked(huge_lock, &call);
	if (is_early())
		np_lock_for_fork(&np_pool.first.lock);
	each_locked(arena_locks, &call);
	np_map_lock();
	each_locked(segment_lock, &call);
	np_meta_lock_all();
	np_background_lock();
	np_trace_lock();
}

void np_pools_unlock(void)
{
	lock_call *call = np_unlock_for_fork;
	void (*depot)(struct np_depot *) = np_depot_unlock_all;

	np_trace_unlock();
	np_background_unlock();
	np_meta_unlock_all();
	each_locked(segment_lock, &call);
	np_map_unlock();
	each_locked(arena_locks, &call);
	if (is_early())
		np_unlock_for_fork(&np_pool.first.lock);
	each_locked(huge_lock, &call);
	if (is_early())
		np_unlock_for_fork(&np_pool.huge.lock);
	each_locked(depot_locks, &depot);
	np_threads_unlock();
	each_locked(pool_lock, &call);
	if (np_pool_stage(&np_pool) != NP_AWAKE)
		np_unlock_for_fork(&np_pool.lock);
	np_unlock_for_fork(&pools_lock);
}

static void fork_begins(struct np_pool *pool, void *unused)
{
	(void)unused;
	np_segment_fork_begins(&pool->segment);
}

static void fork_ends(struct np_pool *pool, void *unused)
{
	(void)unused;
	np_segment_fork_ends(&pool->segment);
}

void np_pools_fork_begins(void)
{
	each_locked(fork_begins, NULL);
}

void np_pools_fork_ends(void)
{
	each_locked(fork_ends, NULL);
}

static void forked(struct np_pool *pool, void *unused)
{
	(void)unused;
	np_segment_forked(&pool->segment);
	np_count_add(&pool->segment.header->abandoned,
		     np_threads_abandon(&pool->nodes));
}

void np_pools_forked(void)
{
	np_threads_forked();
	np_background_forked();
	np_record_forked();
	each_locked(forked, NULL);
	if (np_pool_stage(&np_pool) != NP_AWAKE)
		np_start_forked();
}
