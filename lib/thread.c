/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * thread: see thread.h.
 */
#include "thread.h"
#include "memcheck.h"
#include "meta.h"
#include "os.h"
#include "trace.h"

#include <errno.h>
#include <string.h>
#include <unistd.h> /* gettid */

enum life { LIFE_NEW, LIFE_BUSY, LIFE_LIVE, LIFE_ENDED };

_Thread_local struct np_cache *np_self
	__attribute__((tls_model("initial-exec"))) = &np_cache_none;

_Thread_local struct np_thread *np_me
	__attribute__((tls_model("initial-exec")));

static _Thread_local enum life life
	__attribute__((tls_model("initial-exec")));

struct np_lock np_threads_list_lock = NP_LOCK_INIT(NP_RANK_THREADS);

static struct np_thread *threads; /* guarded by np_threads_list_lock */
/* Seats of each pool that nobody finds any more and whose caches are being
 * given up. Guarded by np_threads_list_lock. */
static unsigned leaving[NP_MAX_POOLS];
static pthread_cond_t left = PTHREAD_COND_INITIALIZER;
static pthread_key_t key;
static bool can_reclaim;	  /* written at the start, and in a child */

uint32_t np_thread_cpu(const struct np_thread *t)
{
	return t->cpu_word ? *t->cpu_word : np_os_cpu();
}

uint32_t np_thread_cpu_now(void)
{
	const struct np_thread *t = np_me;

	if (t && t->cpu_word)
		return *t->cpu_word;
	return t && t->seat[0] ? t->seat[0]->now->cpu : np_os_cpu();
}

void np_thread_sits(struct np_thread *t, const struct np_seat *s)
{
	if (t->seat[0] == s)
		np_self = s->now;
}

/* --- seats ------------------------------------------------------------ */

static void count_seats(const struct np_nodes *nodes, int n)
{
	struct np_segment_header *h = nodes->segment->header;

	np_count_add_shared(&h->threads, (uint64_t)(int64_t)n);
	if (n > 0)
		np_count_peak(&h->peak_threads, np_count_get(&h->threads));
}

static struct np_seat *sit_down(struct np_thread *t,
				const struct np_nodes *nodes)
{
	struct np_seat *s = np_seat_create(t, nodes);

	if (!s)
		return NULL;
	np_lock(&np_threads_list_lock);
	np_seat_hide(s, np_watched());
	t->seat[nodes->slot] = s;
	np_unlock(&np_threads_list_lock);
	np_thread_sits(t, s);
	count_seats(nodes, 1);
	return s;
}

/* Gives up a seat that nobody finds any more; whoever ends its pool waits for
 * that. */
static void get_up(struct np_seat *s)
{
	unsigned slot = s->nodes->slot;

	count_seats(s->nodes, -1);
	np_seat_destroy(s, false);
	np_lock(&np_threads_list_lock);
	if (--leaving[slot] == 0)
		pthread_cond_broadcast(&left);
	np_unlock(&np_threads_list_lock);
}

/* --- life ------------------------------------------------------------- */

static void link_thread(struct np_thread *t)
{
	np_lock(&np_threads_list_lock);
	t->next = threads;
	if (t->next)
		t->next->prev = t;
	threads = t;
	np_unlock(&np_threads_list_lock);
}

static void unlink_thread(struct np_thread *t)
{
	np_lock(&np_threads_list_lock);
	if (t->prev)
		t->prev->next = t->next;
	else
		threads = t->next;
	if (t->next)
		t->next->prev = t->prev;
	np_unlock(&np_threads_list_lock);
}

/* Calls made meanwhile go uncached. */
static void leave_seats(struct np_thread *t)
{
	struct np_seat *seat[NP_MAX_POOLS];

	np_self = &np_cache_none;
	life = LIFE_BUSY;
	np_lock(&np_threads_list_lock);
	for (unsigned slot = 0; slot < NP_MAX_POOLS; slot++) {
		seat[slot] = t->seat[slot];
		t->seat[slot] = NULL;
		leaving[slot] += seat[slot] != NULL;
	}
	np_unlock(&np_threads_list_lock);
	for (unsigned slot = 0; slot < NP_MAX_POOLS; slot++)
		if (seat[slot])
			get_up(seat[slot]);
}

static void free_thread(struct np_thread *t)
{
	leave_seats(t);
	np_me = NULL;
	unlink_thread(t);
	np_meta_free(t->made_on, t, sizeof *t);
}

static void thread_ended(void *thread)
{
	free_thread(thread);
	np_trace_thread_ended();
	life = LIFE_ENDED;
}

void np_thread_leave(void)
{
	if (np_me) {
		leave_seats(np_me);
		life = LIFE_LIVE;
	}
}

static struct np_thread *new_thread(const struct np_topology *topology,
				    unsigned cpu,
				    const volatile uint32_t *cpu_word)
{
	np_home_t home = np_topology_home(topology, cpu);
	struct np_thread *t = np_meta_alloc(home, sizeof *t);

	if (!t)
		return NULL;
	t->cpu_word = cpu_word;
	t->fixed_home = -1;
	t->made_on = home;
	return t;
}

/* Makes the caller known. */
static struct np_thread *make_thread(const struct np_topology *topology)
{
	struct np_thread *t = new_thread(topology, np_os_cpu(),
					 np_os_cpu_word());

	if (!t)
		return NULL;
	/* The key's destructor is what empties the caches: no key, no cache.
	 * This may call malloc, which goes uncached meanwhile. */
	if (pthread_setspecific(key, t) == 0) {
		link_thread(t);
		np_trace_thread_begins();
		return t;
	}
	np_meta_free(t->made_on, t, sizeof *t);
	return NULL;
}

int np_threads_init(void)
{
	can_reclaim = np_os_barrier_init();
	return pthread_key_create(&key, thread_ended);
}

struct np_thread *np_thread_create(const struct np_topology *topology,
				   const volatile uint32_t *cpu_word)
{
	struct np_thread *t = new_thread(topology, *cpu_word, cpu_word);

	if (t)
		link_thread(t);
	return t;
}

void np_thread_become(struct np_thread *t)
{
	np_me = t;
	np_self = t && t->seat[0] ? t->seat[0]->now : &np_cache_none;
	life = t ? LIFE_LIVE : LIFE_NEW;
}

void np_thread_destroy(struct np_thread *t)
{
	np_thread_become(t);
	free_thread(t);
	np_thread_become(NULL);
}

/* The caller, made known if need be. */
static struct np_thread *find_thread(const struct np_topology *topology)
{
	if (life != LIFE_NEW && life != LIFE_LIVE)
		return NULL;
	life = LIFE_BUSY;
	if (!np_me)
		np_me = make_thread(topology);
	life = np_me ? LIFE_LIVE : LIFE_NEW;
	return np_me;
}

struct np_cache *np_thread_cache(const struct np_nodes *nodes)
{
	struct np_thread *t = np_me;
	struct np_seat *s = t ? t->seat[nodes->slot] : NULL;

	if (np_likely(s != NULL))
		return np_seat_visit(s);
	if (np_unlikely(np_memcheck_on))
		return NULL;
	t = find_thread(nodes->topology);
	s = t ? sit_down(t, nodes) : NULL;
	return s ? s->now : NULL;
}

np_home_t np_thread_home(const struct np_nodes *nodes)
{
	const struct np_thread *t = np_me;
	np_home_t home = t && t->fixed_home >= 0
		? (np_home_t)t->fixed_home
		: np_topology_home(nodes->topology, np_os_cpu());

	return nodes->home_for[home];
}

/* Puts all seats where fixed_home says. */
static int settle_seats(struct np_thread *t)
{
	int error = 0;

	for (unsigned slot = 0; !error && slot < NP_MAX_POOLS; slot++)
		if (t->seat[slot])
			error = np_seat_settle(t->seat[slot]);
	return error;
}

int np_thread_set_home(const struct np_topology *topology, int home)
{
	struct np_thread *t = find_thread(topology);
	int old_home, error;

	if (!t)
		return ENOMEM;
	old_home = t->fixed_home;
	t->fixed_home = home;
	error = settle_seats(t);
	if (error) {
		t->fixed_home = old_home;
		settle_seats(t);
	}
	return error;
}

void np_thread_flush(unsigned slot, bool to_depot)
{
	if (np_me && np_me->seat[slot])
		np_seat_flush(np_me->seat[slot], to_depot);
}

void np_threads_hide(bool hidden)
{
	np_lock(&np_threads_list_lock);
	for (struct np_thread *t = threads; t; t = t->next)
		for (unsigned slot = 0; slot < NP_MAX_POOLS; slot++)
			if (t->seat[slot])
				np_seat_hide(t->seat[slot], hidden);
	np_unlock(&np_threads_list_lock);
}

/* --- reclaiming ------------------------------------------------------- */

bool np_threads_can_reclaim(void)
{
	return can_reclaim;
}

/* Calls call(cache) for every cache in the pool of this slot. */
static void each_cache(unsigned slot,
		       void (*call)(struct np_cache *c, void *arg), void *arg)
{
	for (struct np_thread *t = threads; t; t = t->next) {
		struct np_seat *s = t->seat[slot];

		for (unsigned i = 0; s && i < s->nodes->n; i++)
			if (s->cache[i])
				call(s->cache[i], arg);
	}
}

struct reclaim {
	bool only_idle;
	bool fenced; /* membarrier(2) has succeeded */
	unsigned claimed, emptied;
	struct np_mag *loot;
};

static void claim(struct np_cache *c, void *arg)
{
	struct reclaim *r = arg;

	r->claimed += np_cache_claim(c, r->only_idle);
}

static void steal(struct np_cache *c, void *arg)
{
	struct reclaim *r = arg;

	if (atomic_load_explicit(&c->claimed, memory_order_relaxed))
		r->emptied += np_cache_steal(c, r->fenced, &r->loot);
}

unsigned np_threads_reclaim(const struct np_nodes *nodes, bool only_idle)
{
	struct reclaim r = { .only_idle = only_idle };

	if (!can_reclaim)
		return 0;
	np_lock(&np_threads_list_lock);
	np_lock(&np_claim_lock);
	each_cache(nodes->slot, claim, &r);
	if (r.claimed) {
		r.fenced = np_os_barrier();
		each_cache(nodes->slot, steal, &r);
	}
	np_unlock(&np_claim_lock);
	np_unlock(&np_threads_list_lock);
	np_mags_to_arenas(r.loot);
	return r.emptied;
}

/* --- pools that end --------------------------------------------------- */

static struct np_seat *take_seat(unsigned slot)
{
	struct np_thread *t;
	struct np_seat *s = NULL;

	np_lock(&np_threads_list_lock);
	for (t = threads; t && !t->seat[slot]; )
		t = t->next;
	if (t) {
		s = t->seat[slot];
		t->seat[slot] = NULL;
	}
	np_unlock(&np_threads_list_lock);
	return s;
}

void np_threads_forget(const struct np_nodes *nodes)
{
	struct np_seat *s;

	while ((s = take_seat(nodes->slot))) {
		count_seats(nodes, -1);
		np_seat_destroy(s, true);
	}
	/* Threads that were ending as we came. */
	np_lock(&np_threads_list_lock);
	while (leaving[nodes->slot])
		pthread_cond_wait(&left, &np_threads_list_lock.mutex);
	np_unlock(&np_threads_list_lock);
}

/* --- fork ------------------------------------------------------------- */

void np_threads_lock(void)
{
	np_lock_for_fork(&np_threads_list_lock);
	np_lock_for_fork(&np_claim_lock);
}

void np_threads_unlock(void)
{
	np_unlock_for_fork(&np_claim_lock);
	np_unlock_for_fork(&np_threads_list_lock);
}

void np_threads_forked(void)
{
	threads = np_me;
	memset(leaving, 0, sizeof leaving);
	pthread_cond_init(&left, NULL);
	if (np_me)
		np_me->prev = np_me->next = NULL;
	can_reclaim = can_reclaim && np_os_barrier_init();
}

static void forget_threads(struct np_arena *a, void *ncaches)
{
	*(unsigned *)ncaches += a->nthreads;
	a->nthreads = 0;
	np_count_set(&a->count->threads, 0);
}

/* Counts the caller's caches again; returns how many it has. */
static unsigned count_own(const struct np_seat *s)
{
	unsigned n = 0;

	for (unsigned home = 0; home < s->nodes->n; home++)
		if (s->cache[home]) {
			struct np_arena *a = s->cache[home]->arena;

			np_count_set(&a->count->threads, ++a->nthreads);
			atomic_store_explicit(&s->cache[home]->count->tid,
					      (uint32_t)gettid(),
					      memory_order_relaxed);
			n++;
		}
	return n;
}

unsigned np_threads_abandon(const struct np_nodes *nodes)
{
	const struct np_seat *s = np_me ? np_me->seat[nodes->slot] : NULL;
	unsigned all = 0;

	np_nodes_each_arena(nodes, forget_threads, &all);
	np_count_set(&nodes->segment->header->threads, s != NULL);
	return all - (s ? count_own(s) : 0);
}
