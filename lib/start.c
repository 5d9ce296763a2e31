/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * start: see start.h.
 */
#include "start.h"
#include "background.h"
#include "boot.h"
#include "fork.h"
#include "leak.h"
#include "meta.h"
#include "os.h"
#include "record.h"

#include <errno.h>
#include <stdlib.h> /* secure_getenv */
#include <string.h>

static int stage(void)
{
	return np_pool_stage(&np_pool);
}

/* --- what is counted early --------------------------------------------- */

static struct np_class_count early[NP_MAX_CLASSES];

void np_start_count(unsigned class, bool is_free, unsigned n)
{
	np_count_add_shared(is_free ? &early[class].frees
				    : &early[class].allocs, n);
}

static void count_early(void)
{
	np_home_t home = np_owner_home(&np_pool.first.owner);
	struct np_block *b = np_block_shared(&np_pool.segment);
	uint64_t bytes = 0;

	for (unsigned class = 0; class <= np_pool.classes.n; class++) {
		uint64_t size = class ? np_pool.classes.row[class].size : 0;
		uint64_t allocs = np_count_get(&early[class].allocs);
		uint64_t frees = np_count_get(&early[class].frees);

		np_count_add_shared(&b->class[class].allocs, allocs);
		np_count_add_shared(&b->class[class].frees, frees);
		np_count_add_shared(&b->misses, allocs);
		np_count_add_shared(&b->in_bytes, allocs * size);
		np_count_add_shared(&b->out_bytes, frees * size);
		bytes += (allocs - frees) * size;
	}
	np_segment_flow(&np_pool.segment, home, home, bytes);
}

/* --- the first step ---------------------------------------------------- */

/* Asks nobody but the kernel and the environment. */
static void init_early(struct np_pool *pool)
{
	struct np_owner owner = {
		.bind_node = NP_ANYWHERE,
		.pool = pool->name,
		.limits = { .pool = &pool->limit },
	};

	np_record_prepare();
	np_meta_init(NULL);
	np_config_load(&pool->config);
	strcpy(pool->name, "default");
	np_classes_init(&pool->classes,
			(enum np_class_table)pool->config.class_table,
			np_log2((size_t)pool->config.page_size),
			(unsigned)pool->config.max_order);
	np_huge_init(&pool->huge, (size_t)pool->config.huge_bytes,
		     pool->config.decay_ms >= 0);
	pool->check = pool->config.check;
	pool->zero_on_free = pool->config.zero_on_free;
	owner.pinned = pool->config.pinned;
	owner.pages = (enum np_huge_pages)pool->config.huge_pages;
	/* Whose reserve they shall come from is not known yet. */
	if (owner.pages == NP_PAGES_HUGETLB)
		owner.pages = NP_PAGES_THP;
	np_arena_init(&pool->first, &pool->classes, &owner, 0,
		      NP_ALL_POLICIES, pool->config.decay_ms);
}

/* errno is the caller's, here and below: malloc that succeeds leaves it. */
bool np_start_early(void)
{
	int saved = errno;

	if (stage() != NP_ASLEEP)
		return true;
	np_lock(&np_pool.lock);
	if (stage() == NP_ASLEEP && np_map_init() == 0) {
		init_early(&np_pool);
		np_pool_set_stage(&np_pool, NP_EARLY);
	}
	np_unlock(&np_pool.lock);
	errno = saved;
	return stage() != NP_ASLEEP;
}

/* With the first call of all, or the first constructor: handlers that are
 * registered later run while we do not hold our locks, and in a child when it
 * has its own segment; what others take there is counted in the parent's. */
static void handle_forks(void)
{
	static NP_USED_AT_START _Atomic bool done;

	if (!atomic_load_explicit(&done, memory_order_relaxed) &&
	    !atomic_exchange_explicit(&done, true, memory_order_relaxed) &&
	    np_fork_init() != 0)
		np_warn("no memory for fork handlers; a child of several "
			"threads may hang");
}

/* --- the second step --------------------------------------------------- */

/* What this calls may call malloc: no lock is held. */
static bool wake(void)
{
	np_topology_init(&np_topology, (unsigned)np_pool.config.nodes);
	np_meta_init(&np_topology);
	if (np_threads_init() != 0 ||
	    np_pool_wake_up(&np_pool, &np_pool.first) != 0)
		return false;
	np_huge_settle(&np_pool.huge);
	count_early();
	/* The fork handlers hold this lock, and go by the stage. */
	np_lock(&np_pool.lock);
	np_pool_set_stage(&np_pool, NP_AWAKE);
	np_pool_apply_to_process();
	np_unlock(&np_pool.lock);
	if (*np_pool.config.trace)
		np_record_start(np_pool.config.trace);
	return true;
}

/* One thread wakes the pool, once. */
static _Atomic bool waking;

/* Out of line: who comes later only asks whether it is done. */
__attribute__((noinline)) static bool start_now(void)
{
	int cancel, saved = errno;

	handle_forks();
	/* Nobody can be asked for the nodes yet. */
	if (!np_topology_ready())
		return false;
	if (!np_start_early() ||
	    atomic_exchange_explicit(&waking, true, memory_order_relaxed))
		return false;
	/* Reading files is a cancellation point; malloc is none. */
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	if (!wake())
		np_warn("no memory to start with; going on without caches");
	pthread_setcancelstate(cancel, NULL);
	errno = saved;
	return stage() == NP_AWAKE;
}

bool np_start(void)
{
	return np_likely(stage() == NP_AWAKE) || start_now();
}

void np_start_forked(void)
{
	np_pool.segment.header = NULL;
	np_pool.first.count = &np_pool.first.early;
	np_pool.first.node = NULL;
	np_pool.first.owner.segment = NULL;
	np_pool.first.owner.limits.node = NULL;
	atomic_store_explicit(&waking, false, memory_order_relaxed);
}

/* --- the library's beginning and end ----------------------------------- */

#define BEFORE_OTHERS 101 /* the first that is not reserved */

__attribute__((constructor(BEFORE_OTHERS))) static void constructed_first(void)
{
	handle_forks();
	np_record_prepare();
}

/* Where malloc is ours, the pool can wait for the first call behind the
 * constructors: no thread comes into being without one (pthread_create
 * allocates), so none is served before the nodes are known. Many processes end
 * without it. */
static bool can_wait(void)
{
	return np_boot_used() && !secure_getenv(NP_CONFIG_ENV);
}

__attribute__((constructor)) static void constructed(void)
{
	if (!can_wait())
		np_start();
}

static void say_ended(struct np_pool *pool, void *unused)
{
	(void)unused;
	np_count_set(&pool->segment.header->charged,
		     np_limit_charged(&pool->limit));
	np_segment_ended(&pool->segment);
}

__attribute__((destructor)) static void destructed(void)
{
	if (stage() == NP_AWAKE)
		np_pools_each(say_ended, NULL);
}
