/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * thread: see thread.h.
 */
#include "thread.h"
#include "meta.h"
#include "os.h"

#include <errno.h>
#include <unistd.h> /* gettid */

enum life { LIFE_NEW, LIFE_BUSY, LIFE_LIVE, LIFE_ENDED };

_Thread_local struct np_cache *np_self
	__attribute__((tls_model("initial-exec"))) = &np_cache_none;

static _Thread_local enum life life
	__attribute__((tls_model("initial-exec")));

/* Differs from any CPU that a cache has seen: without rseq every call of a
 * thread takes the slow path, which counts calls. */
static const volatile uint32_t always_moved = UINT32_MAX;

/* Guards the list, and the arenas' thread counts. */
static struct np_lock list_lock = NP_LOCK_INIT(NP_RANK_THREADS);
static struct np_thread *threads;
static pthread_key_t key;

static size_t thread_size(const struct np_nodes *nodes)
{
	return sizeof(struct np_thread) +
	       nodes->n * sizeof(struct np_cache *);
}

/* --- one cache -------------------------------------------------------- */

static struct np_cache *make_cache(struct np_thread *t, np_home_t home)
{
	struct np_node *node = &t->nodes->node[home];
	struct np_cache *c = np_meta_alloc(home, sizeof *c);
	struct np_arena *arena;

	if (!c)
		return NULL;
	np_lock(&list_lock);
	arena = np_node_join(node);
	np_unlock(&list_lock);
	if (np_cache_init(c, t->nodes, node, arena, t) != 0) {
		np_lock(&list_lock);
		np_node_leave(arena);
		np_unlock(&list_lock);
		np_meta_free(home, c, sizeof *c);
		return NULL;
	}
	return c;
}

static void free_cache(struct np_thread *t, np_home_t home)
{
	struct np_cache *c = t->cache[home];

	if (!c)
		return;
	t->cache[home] = NULL;
	np_cache_fini(c);
	np_lock(&list_lock);
	np_node_leave(c->arena);
	np_unlock(&list_lock);
	np_meta_free(home, c, sizeof *c);
}

/* The thread's cache for this home, made if need be. */
static struct np_cache *cache_for(struct np_thread *t, np_home_t home)
{
	if (!t->cache[home])
		t->cache[home] = make_cache(t, home);
	return t->cache[home];
}

/* --- which home ------------------------------------------------------- */

static uint32_t cpu_of(const struct np_thread *t)
{
	return t->cpu_word ? *t->cpu_word : np_os_cpu();
}

static np_home_t home_now(const struct np_thread *t, uint32_t cpu)
{
	if (t->fixed_home >= 0)
		return (np_home_t)t->fixed_home;
	return np_topology_home(t->nodes->topology, cpu);
}

/* Where the fast path shall look whether the thread has moved. */
static const volatile uint32_t *word_to_watch(const struct np_thread *t,
					      const struct np_cache *c)
{
	if (t->nodes->n == 1 || t->fixed_home >= 0)
		return &c->cpu; /* never */
	return t->cpu_word ? t->cpu_word : &always_moved;
}

static void settle_on(struct np_thread *t, struct np_cache *c, uint32_t cpu)
{
	c->cpu = cpu;
	c->cpu_now = word_to_watch(t, c);
	t->visits = 0;
	np_self = c;
}

/* Its other caches have not been used for a while: they go home. */
static void leave_others(struct np_thread *t, const struct np_cache *here)
{
	for (unsigned home = 0; home < t->nodes->n; home++)
		if (t->cache[home] != here)
			free_cache(t, (np_home_t)home);
}

static struct np_cache *rehome(struct np_thread *t, struct np_cache *c,
			       np_home_t home, uint32_t cpu)
{
	struct np_cache *there = cache_for(t, home);

	if (!there)
		return c; /* no memory: on with the old one */
	np_cache_send_all(c);
	np_count_add(&there->count->rehomes, 1);
	settle_on(t, there, cpu);
	return there;
}

struct np_cache *np_thread_follow(struct np_cache *c)
{
	struct np_thread *t = c->thread;
	uint32_t cpu;
	np_home_t home;

	if (!t)
		return c; /* np_cache_none */
	if (!t->cpu_word && ++t->calls % NP_CALLS_A_LOOK)
		return c;
	cpu = cpu_of(t);
	home = home_now(t, cpu);
	if (home != c->home)
		return rehome(t, c, home, cpu);
	c->cpu = cpu;
	return c;
}

/* --- life ------------------------------------------------------------- */

static void link_thread(struct np_thread *t)
{
	np_lock(&list_lock);
	t->next = threads;
	if (t->next)
		t->next->prev = t;
	threads = t;
	np_unlock(&list_lock);
	np_count_add_shared(&np_segment.header->threads, 1);
	np_count_peak(&np_segment.header->peak_threads,
		      np_count_get(&np_segment.header->threads));
}

static void unlink_thread(struct np_thread *t)
{
	np_lock(&list_lock);
	if (t->prev)
		t->prev->next = t->next;
	else
		threads = t->next;
	if (t->next)
		t->next->prev = t->prev;
	np_unlock(&list_lock);
	np_count_add_shared(&np_segment.header->threads, (uint64_t)-1);
}

/* Gives everything back. Calls made meanwhile go uncached. */
static void end_thread(struct np_thread *t, enum life after)
{
	np_self = &np_cache_none;
	life = LIFE_BUSY;
	leave_others(t, NULL);
	unlink_thread(t);
	np_meta_free(t->made_on, t, thread_size(t->nodes));
	life = after;
}

static void thread_ended(void *thread)
{
	end_thread(thread, LIFE_ENDED);
}

static struct np_thread *make_thread(const struct np_nodes *nodes)
{
	uint32_t cpu = np_os_cpu();
	np_home_t home = np_topology_home(nodes->topology, cpu);
	struct np_thread *t = np_meta_alloc(home, thread_size(nodes));
	struct np_cache *c;

	if (!t)
		return NULL;
	t->nodes = nodes;
	t->cpu_word = np_os_cpu_word();
	t->fixed_home = -1;
	t->made_on = home;
	c = cache_for(t, home);
	/* The key's destructor is what empties the cache: no key, no cache.
	 * This may call malloc, which goes uncached meanwhile. */
	if (c && pthread_setspecific(key, t) == 0) {
		link_thread(t);
		settle_on(t, c, cpu);
		return t;
	}
	free_cache(t, home);
	np_meta_free(home, t, thread_size(nodes));
	return NULL;
}

int np_threads_init(void)
{
	return pthread_key_create(&key, thread_ended);
}

struct np_cache *np_thread_cache(const struct np_nodes *nodes)
{
	struct np_cache *c = np_self;
	struct np_thread *t = c->thread;

	if (np_likely(t)) {
		if (np_unlikely(np_cache_moved(c)))
			c = np_thread_follow(c);
		if (np_unlikely(nodes->n > 1 && ++t->visits == NP_STAY))
			leave_others(t, c);
		return c;
	}
	if (life != LIFE_NEW)
		return NULL;
	life = LIFE_BUSY;
	life = make_thread(nodes) ? LIFE_LIVE : LIFE_NEW;
	return life == LIFE_LIVE ? np_self : NULL;
}

int np_thread_set_home(const struct np_nodes *nodes, int home)
{
	struct np_cache *c = np_thread_cache(nodes), *there;
	struct np_thread *t;
	int old_home;

	if (home < -1 || home >= (int)nodes->n)
		return EINVAL;
	if (!c)
		return ENOMEM;
	t = c->thread;
	old_home = t->fixed_home;
	t->fixed_home = home;
	there = cache_for(t, home_now(t, cpu_of(t)));
	if (!there) {
		t->fixed_home = old_home;
		return ENOMEM;
	}
	np_cache_send_all(c);
	settle_on(t, there, cpu_of(t));
	return 0;
}

void np_thread_flush(bool to_depot, bool end)
{
	struct np_thread *t = np_self->thread;

	if (!t)
		return;
	if (end) {
		pthread_setspecific(key, NULL);
		end_thread(t, LIFE_NEW);
		return;
	}
	for (unsigned home = 0; home < t->nodes->n; home++)
		if (t->cache[home])
			np_cache_flush(t->cache[home], to_depot);
}

/* --- fork ------------------------------------------------------------- */

void np_threads_lock(void)
{
	np_lock_for_fork(&list_lock);
}

void np_threads_unlock(void)
{
	np_unlock_for_fork(&list_lock);
}

/* How many caches the arenas count; they count none any more. */
static unsigned forget_caches(const struct np_nodes *nodes)
{
	unsigned n = 0;

	for (unsigned i = 0; i < nodes->n; i++)
		for (unsigned k = 0; k < nodes->node[i].narenas; k++) {
			struct np_arena *a = nodes->node[i].arenas[k];

			n += a->nthreads;
			a->nthreads = 0;
			np_count_set(&a->count->threads, 0);
		}
	return n;
}

/* Counts the caller's caches again; returns how many it has. */
static unsigned count_caches(const struct np_thread *t)
{
	unsigned n = 0;

	for (unsigned home = 0; home < t->nodes->n; home++)
		if (t->cache[home]) {
			struct np_arena *a = t->cache[home]->arena;

			np_count_set(&a->count->threads, ++a->nthreads);
			t->cache[home]->count->tid = (uint32_t)gettid();
			n++;
		}
	return n;
}

unsigned np_threads_forked(const struct np_nodes *nodes)
{
	struct np_thread *self = np_self->thread;
	unsigned all = forget_caches(nodes);

	threads = self;
	if (self)
		self->prev = self->next = NULL;
	np_count_set(&np_segment.header->threads, self != NULL);
	return all - (self ? count_caches(self) : 0);
}
