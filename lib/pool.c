/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * pool: see pool.h.
 */
#include "pool.h"
#include "fork.h"
#include "huge.h"
#include "meta.h"
#include "os.h"

#include <errno.h>
#include <string.h>

struct np_pool np_pool;

/* Guards the first step of the start, and keeps two trims apart. */
static struct np_lock pool_lock = NP_LOCK_INIT(NP_RANK_POOL);

static int stage(void)
{
	return atomic_load_explicit(&np_pool.stage, memory_order_acquire);
}

static void set_stage(enum np_pool_stage stage)
{
	atomic_store_explicit(&np_pool.stage, stage, memory_order_release);
}

/* --- counting without a cache ----------------------------------------- */

/* What was counted before there was a segment to count in. */
static struct np_class_count early[NP_MAX_CLASSES];

static void add_shared(unsigned class, uint64_t allocs, uint64_t frees)
{
	struct np_block *b = np_block_shared();
	uint64_t size = class ? np_pool.classes.row[class].size : 0;

	np_count_add_shared(&b->class[class].allocs, allocs);
	np_count_add_shared(&b->class[class].frees, frees);
	np_count_add_shared(&b->misses, allocs);
	np_count_add_shared(&b->in_bytes, allocs * size);
	np_count_add_shared(&b->out_bytes, frees * size);
}

static void count_shared(unsigned class, bool is_free)
{
	if (stage() == NP_AWAKE)
		add_shared(class, !is_free, is_free);
	else
		np_count_add_shared(is_free ? &early[class].frees
					    : &early[class].allocs, 1);
}

static void count_early(void)
{
	for (unsigned class = 0; class <= np_pool.classes.n; class++)
		add_shared(class, np_count_get(&early[class].allocs),
			   np_count_get(&early[class].frees));
}

/* --- the start -------------------------------------------------------- */

/* NP_ASLEEP to NP_EARLY: asks nobody but the kernel and the environment. */
static bool start_early(void)
{
	struct np_pool *pool = &np_pool;
	bool started = false;

	np_lock(&pool_lock);
	if (stage() == NP_ASLEEP && np_map_init() == 0) {
		np_meta_init(NULL);
		np_config_load(&pool->config);
		np_classes_init(&pool->classes,
				(enum np_class_table)pool->config.class_table,
				np_log2((size_t)pool->config.page_size),
				(unsigned)pool->config.max_order);
		np_arena_init(&pool->first, &pool->classes, 0, -1, 0,
			      NP_ALL_POLICIES, pool->config.decay_ms);
		pool->check = pool->config.check;
		pool->caching = pool->config.cache && !pool->check;
		set_stage(NP_EARLY);
		started = true;
	}
	np_unlock(&pool_lock);
	/* As early as can be: handlers that are registered later run while
	 * we do not hold our locks. */
	if (started && np_fork_init() != 0)
		np_warn("no memory for fork handlers; a child of several "
			"threads may hang");
	return stage() != NP_ASLEEP;
}

static unsigned count_arenas(const struct np_topology *topology,
			     unsigned wanted)
{
	unsigned n = 0;

	for (unsigned i = 0; i < topology->nnodes; i++)
		n += np_node_narenas(topology, (np_home_t)i, wanted);
	return n;
}

/* NP_EARLY to NP_AWAKE. What this calls may call malloc: no lock is held. */
static bool wake(void)
{
	struct np_pool *pool = &np_pool;
	unsigned arenas = (unsigned)pool->config.arenas;
	np_home_t here;

	np_topology_init(&pool->topology, (unsigned)pool->config.nodes);
	here = np_topology_home(&pool->topology, np_os_cpu());
	np_meta_init(&pool->topology);
	if (np_threads_init() != 0 ||
	    np_segment_create(&pool->config, &pool->classes, &pool->topology,
			      count_arenas(&pool->topology, arenas)) != 0 ||
	    np_nodes_create(&pool->nodes, &pool->topology, &pool->classes,
			    arenas, pool->config.decay_ms, &pool->first,
			    here) != 0)
		return false;
	count_early();
	/* The fork handlers hold this lock, and go by the stage. */
	np_lock(&pool_lock);
	set_stage(NP_AWAKE);
	np_unlock(&pool_lock);
	return true;
}

/* One thread wakes the pool, once. */
static _Atomic bool waking;

bool np_pool_wake(void)
{
	int cancel;

	if (np_likely(stage() == NP_AWAKE))
		return true;
	if (stage() == NP_ASLEEP && !start_early())
		return false;
	if (!np_topology_ready() ||
	    atomic_exchange_explicit(&waking, true, memory_order_relaxed))
		return false;
	/* Reading files is a cancellation point; malloc is none. */
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	if (!wake())
		np_warn("no memory to start with; going on without caches");
	pthread_setcancelstate(cancel, NULL);
	return stage() == NP_AWAKE;
}

__attribute__((constructor)) static void constructed(void)
{
	np_pool_wake();
}

__attribute__((destructor)) static void destructed(void)
{
	if (stage() == NP_AWAKE)
		np_segment_ended();
}

/* --- without a cache -------------------------------------------------- */

/* The caller's cache; NULL: it has to do without. */
static struct np_cache *my_cache(void)
{
	if (!np_pool_wake() || !np_pool.caching)
		return NULL;
	return np_thread_cache(&np_pool.nodes);
}

static struct np_arena *any_arena(void)
{
	unsigned cpu = np_os_cpu();
	np_home_t home;

	if (stage() != NP_AWAKE)
		return &np_pool.first;
	home = np_topology_home(&np_pool.topology, cpu);
	return np_node_any_arena(&np_pool.nodes.node[home], cpu);
}

/* --- allocating ------------------------------------------------------- */

static void *alloc_huge(const struct np_cache *c, size_t size, size_t align)
{
	const struct np_arena *a = c ? c->arena : any_arena();
	void *p = np_huge_alloc(a->home, a->bind_node, size, align);

	if (!p && np_pool_trim() > 0)
		p = np_huge_alloc(a->home, a->bind_node, size, align);
	if (!p)
		return NULL;
	if (c) {
		np_count_add(&c->count->class[0].allocs, 1);
		np_count_add(&c->count->misses, 1);
	} else {
		count_shared(0, false);
	}
	return p;
}

/* Gives back what nobody uses, and looks for a piece in every arena. align:
 * 0, or that of a run. */
static void *alloc_elsewhere(unsigned class, size_t align, bool *zero)
{
	struct np_nodes *nodes = &np_pool.nodes;
	void *p = NULL;

	if (stage() != NP_AWAKE)
		return NULL;
	np_pool_trim();
	for (unsigned i = 0; !p && i < nodes->n; i++)
		for (unsigned k = 0; !p && k < nodes->node[i].narenas; k++) {
			struct np_arena *a = nodes->node[i].arenas[k];

			if (align)
				p = np_arena_take_run(a, class, align, zero);
			else if (np_arena_take(a, class, 1, &p) != 1)
				p = NULL;
		}
	if (p)
		count_shared(class, false);
	return p;
}

static void *alloc_class(struct np_cache *c, unsigned class)
{
	void *p;

	if (c)
		p = np_cache_take(c, class);
	else if (np_arena_take(any_arena(), class, 1, &p) == 1)
		count_shared(class, false);
	else
		p = NULL;
	return p ? p : alloc_elsewhere(class, 0, NULL);
}

static void *alloc_run(struct np_cache *c, unsigned class, size_t align,
		       bool *zero)
{
	void *p;

	if (c) {
		p = np_cache_take_run(c, class, align, zero);
	} else {
		p = np_arena_take_run(any_arena(), class, align, zero);
		if (p)
			count_shared(class, false);
	}
	return p ? p : alloc_elsewhere(class, align, zero);
}

/* The class that serves a request of size bytes; 0: huge. No request is
 * served by Netty's class of zero bytes here. */
static unsigned class_for(size_t size)
{
	return np_class_of(&np_pool.classes, size ? size : 1);
}

void *np_pool_alloc(size_t size)
{
	struct np_cache *c = my_cache();
	unsigned class;

	if (stage() == NP_ASLEEP)
		return errno = ENOMEM, NULL;
	class = class_for(size);
	return class ? alloc_class(c, class)
		     : alloc_huge(c, size, NP_SLOT_SIZE);
}

void *np_pool_alloc_zero(size_t size)
{
	struct np_cache *c = my_cache();
	bool zero = false;
	unsigned class;
	void *p;

	if (stage() == NP_ASLEEP)
		return errno = ENOMEM, NULL;
	class = class_for(size);
	if (!class)
		return alloc_huge(c, size, NP_SLOT_SIZE);
	/* A large run that nobody has touched need not be cleared. */
	if (np_pool.classes.row[class].nelems || size <= NP_SMALL_MAX ||
	    (c && c->second[class]->n))
		p = alloc_class(c, class);
	else
		p = alloc_run(c, class, 1, &zero);
	return p && !zero ? memset(p, 0, size) : p;
}

/* A run whose place is chosen for its alignment. */
static void *alloc_placed(struct np_cache *c, size_t size, size_t align)
{
	size_t page = (size_t)1 << np_pool.classes.page_shift;
	unsigned class;
	bool zero;

	if (align < page)
		align = page;
	if (size > np_pool.classes.chunk_size ||
	    align > np_pool.classes.chunk_size)
		return alloc_huge(c, size + !size, align);
	/* The smallest run that holds size: pages are taken whole. */
	class = class_for(np_round_up(size ? size : 1, page));
	while (np_pool.classes.row[class].nelems)
		class++;
	return alloc_run(c, class, align, &zero);
}

void *np_pool_alloc_aligned(size_t size, size_t align)
{
	struct np_cache *c = my_cache();
	unsigned class;

	if (stage() == NP_ASLEEP)
		return errno = ENOMEM, NULL;
	class = np_class_aligned(&np_pool.classes, size, align);
	return class ? alloc_class(c, class) : alloc_placed(c, size, align);
}

/* --- freeing ---------------------------------------------------------- */

static void free_huge(struct np_cache *c, struct np_region *r, const void *p)
{
	struct np_place place = { .region = r,
				  .offset = (uintptr_t)p - r->base };

	if (place.offset)
		np_place_die(p, &place, "free");
	if (c)
		np_count_add(&c->count->class[0].frees, 1);
	else
		count_shared(0, true);
	np_huge_free(r);
}

void np_pool_free(void *p)
{
	struct np_region *r = np_map_find(p);
	int saved = errno;
	struct np_cache *c;
	unsigned class;

	if (!r || np_pool.check)
		np_arena_check(p, "free");
	c = my_cache();
	class = np_region_entry(r, p) & NP_PAGE_CLASS;
	if (r->is_huge) {
		free_huge(c, r, p);
	} else if (!class) {
		np_arena_check(p, "free"); /* a free page: says so and ends */
	} else if (c) {
		np_cache_give(c, p, class, r);
	} else {
		count_shared(class, true);
		np_arena_put(r->arena, &p, 1);
	}
	errno = saved;
}

/* --- sizes ------------------------------------------------------------ */

/* `what` wants to know: its name stands in the message if p is none. */
static size_t usable_for(const void *p, const char *what)
{
	struct np_place place = np_place_of(p);

	if (np_pool.check)
		np_arena_check(p, what);
	if (place.region && place.region->is_huge && !place.offset)
		return place.region->block_size;
	if (!place.chunk || !place.entry || place.offset)
		np_place_die(p, &place, what);
	return np_pool.classes.row[place.class].size;
}

size_t np_pool_usable(const void *p)
{
	return usable_for(p, "usable_size");
}

size_t np_pool_good_size(size_t size)
{
	unsigned class;

	if (stage() == NP_ASLEEP && !start_early())
		return size;
	class = class_for(size);
	return class ? np_pool.classes.row[class].size
		     : np_round_up(size, np_os_page_size());
}

/* A huge block that stays huge. */
static bool resize_huge(struct np_region *r, size_t size, void **moved)
{
	int bind_node = stage() == NP_AWAKE
		? np_pool.nodes.node[np_region_home(r)].bind_node : -1;

	if (class_for(size))
		return false;
	*moved = np_huge_resize(r, bind_node, size);
	return *moved != NULL;
}

bool np_pool_resize(void *p, size_t size, void **moved)
{
	size_t usable = usable_for(p, "realloc"); /* checks p */
	struct np_region *r = np_map_find(p);

	if (r->is_huge)
		return resize_huge(r, size, moved);
	*moved = p;
	/* In place while it fits, and at least half of it is used. */
	return size <= usable && (size > usable / 2 || usable <= NP_LINE);
}

/* --- giving back ------------------------------------------------------ */

/* Frees magazines that are in nobody's cache. */
static void put_mags(np_home_t home, struct np_mag *mag)
{
	while (mag) {
		struct np_mag *next = mag->next;

		np_arenas_put(mag->slot, mag->n);
		np_mag_destroy(home, mag);
		mag = next;
	}
}

static size_t bytes_in(const struct np_mag *mag)
{
	size_t bytes = 0;

	for (; mag; mag = mag->next)
		for (uint32_t i = 0; i < mag->n; i++)
			bytes += np_pool_usable(mag->slot[i]);
	return bytes;
}

static void empty_depot(struct np_depot *d)
{
	struct np_mag *mail = np_depot_receive(d);
	size_t bytes = bytes_in(mail);

	put_mags(d->home, mail);
	np_depot_received(d, bytes);
	for (unsigned class = 1; class < d->nclasses; class++)
		put_mags(d->home, np_depot_drain(d, class));
}

size_t np_pool_trim(void)
{
	size_t bytes = 0;

	if (!np_pool_wake())
		return stage() == NP_EARLY ? np_arena_trim(&np_pool.first) : 0;
	np_thread_flush(false, false);
	np_lock(&pool_lock);
	for (unsigned i = 0; i < np_pool.nodes.n; i++) {
		struct np_node *node = &np_pool.nodes.node[i];

		empty_depot(node->depot);
		for (unsigned k = 0; k < node->narenas; k++)
			bytes += np_arena_trim(node->arenas[k]);
	}
	np_unlock(&pool_lock);
	return bytes;
}

/* --- fork ------------------------------------------------------------- */

static void for_each_arena(void (*call)(struct np_lock *lock))
{
	if (stage() != NP_AWAKE) {
		call(&np_pool.first.lock);
		return;
	}
	for (unsigned i = 0; i < np_pool.nodes.n; i++)
		for (unsigned k = 0; k < np_pool.nodes.node[i].narenas; k++)
			call(&np_pool.nodes.node[i].arenas[k]->lock);
}

static void for_each_depot(void (*call)(struct np_depot *depot))
{
	if (stage() == NP_AWAKE)
		for (unsigned i = 0; i < np_pool.nodes.n; i++)
			call(np_pool.nodes.node[i].depot);
}

void np_pool_lock(void)
{
	np_lock_for_fork(&pool_lock);
	np_threads_lock();
	for_each_depot(np_depot_lock_all);
	for_each_arena(np_lock_for_fork);
	np_map_lock();
	np_segment_lock();
	np_meta_lock_all();
}

void np_pool_unlock(void)
{
	np_meta_unlock_all();
	np_segment_unlock();
	np_map_unlock();
	for_each_arena(np_unlock_for_fork);
	for_each_depot(np_depot_unlock_all);
	np_threads_unlock();
	np_unlock_for_fork(&pool_lock);
}

void np_pool_forked(void)
{
	unsigned abandoned;

	if (stage() == NP_AWAKE) {
		np_segment_forked();
		abandoned = np_threads_forked(&np_pool.nodes);
		np_count_add(&np_segment.header->abandoned, abandoned);
		return;
	}
	/* The thread that was waking the pool is not here: from the start. */
	np_segment.header = NULL;
	np_pool.first.count = &np_pool.first.early;
	np_pool.first.node = NULL;
	atomic_store_explicit(&waking, false, memory_order_relaxed);
}
