/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * seat: see seat.h.
 */
#include "seat.h"
#include "meta.h"
#include "probe.h"
#include "thread.h"
#include "trace.h"

#include <errno.h>

static size_t seat_size(const struct np_nodes *nodes)
{
	return sizeof(struct np_seat) + nodes->n * sizeof(struct np_cache *);
}

/* --- one cache -------------------------------------------------------- */

static void leave_arena(struct np_arena *arena)
{
	np_lock(&np_threads_list_lock);
	np_node_leave(arena);
	np_unlock(&np_threads_list_lock);
}

static struct np_cache *make_cache(struct np_seat *s, np_home_t home)
{
	struct np_node *node = &s->nodes->node[home];
	struct np_cache *c = np_meta_alloc(home, sizeof *c);
	struct np_arena *arena;

	if (!c)
		return NULL;
	np_lock(&np_threads_list_lock);
	arena = np_node_join(node);
	np_unlock(&np_threads_list_lock);
	if (np_cache_init(c, s->nodes, node, arena, s) == 0)
		return c;
	leave_arena(arena);
	np_meta_free(home, c, sizeof *c);
	return NULL;
}

static void set_cache(struct np_seat *s, np_home_t home, struct np_cache *c)
{
	np_lock(&np_threads_list_lock);
	s->cache[home] = c;
	np_unlock(&np_threads_list_lock);
}

static void free_cache(struct np_seat *s, np_home_t home, bool forget)
{
	struct np_cache *c = s->cache[home];

	if (!c)
		return;
	set_cache(s, home, NULL);
	if (forget)
		np_cache_forget(c);
	else
		np_cache_fini(c);
	leave_arena(c->arena);
	np_meta_free(home, c, sizeof *c);
}

/* The seat's cache for this home, made if need be. */
static struct np_cache *cache_for(struct np_seat *s, np_home_t home)
{
	if (!s->cache[home]) {
		struct np_cache *c = make_cache(s, home);

		if (c)
			set_cache(s, home, c);
	}
	return s->cache[home];
}

/* --- which home ------------------------------------------------------- */

static np_home_t home_now(const struct np_seat *s, uint32_t cpu)
{
	int fixed = s->thread->fixed_home;
	np_home_t home = fixed >= 0
		? (np_home_t)fixed
		: np_topology_home(s->nodes->topology, cpu);

	return s->nodes->home_for[home];
}

/* Where the fast path shall look whether the thread has moved. For the thread
 * itself, here and below. */
static const volatile uint32_t *word_to_watch(const struct np_seat *s,
					      const struct np_cache *c)
{
	const struct np_thread *t = s->thread;

	if (s->nodes->n == 1 || t->fixed_home >= 0)
		return &c->cpu; /* never */
	/* Without rseq every call takes the slow path, which counts calls. */
	return t->cpu_word ? t->cpu_word : &np_cpu_none;
}

static void set_word(const struct np_seat *s, struct np_cache *c, bool hidden)
{
	np_cache_watch(c, word_to_watch(s, c), hidden);
}

void np_seat_hide(struct np_seat *s, bool hidden)
{
	for (unsigned home = 0; home < s->nodes->n; home++)
		if (s->cache[home])
			np_cache_watch(s->cache[home],
				       s->cache[home]->cpu_word, hidden);
}

struct np_cache *np_seat_hidden(const struct np_seat *s)
{
	struct np_cache *c = s->now;

	return *word_to_watch(s, c) == c->cpu ? c : NULL;
}

/* The lock: whether a recording is on does not change meanwhile. */
static void settle_on(struct np_seat *s, struct np_cache *c, uint32_t cpu)
{
	c->cpu = cpu;
	np_lock(&np_threads_list_lock);
	set_word(s, c, np_watched());
	np_unlock(&np_threads_list_lock);
	s->visits = 0;
	s->now = c;
	np_thread_sits(s->thread, s);
}

/* Its other caches have not been used for a while: they go home. */
static void leave_others(struct np_seat *s)
{
	for (unsigned home = 0; home < s->nodes->n; home++)
		if (s->cache[home] != s->now)
			free_cache(s, (np_home_t)home, false);
}

static struct np_cache *rehome(struct np_seat *s, np_home_t home,
			       uint32_t cpu)
{
	struct np_cache *there = cache_for(s, home);

	if (!there)
		return s->now; /* no memory: on with the old one */
	np_cache_send_all(s->now);
	np_count_add(&there->count->rehomes, 1);
	np_trace_bytes(NP_TRACE_REHOME, there->node->owner.tag, 0, 0);
	NP_PROBE(rehome, s->nodes->slot, home);
	settle_on(s, there, cpu);
	return there;
}

struct np_cache *np_seat_follow(struct np_cache *c)
{
	struct np_seat *s = c->seat;
	uint32_t cpu;
	np_home_t home;

	if (!s)
		return c; /* np_cache_none */
	if (!s->thread->cpu_word && ++s->calls % NP_CALLS_A_LOOK)
		return c;
	cpu = np_thread_cpu(s->thread);
	home = home_now(s, cpu);
	if (home != c->home)
		return rehome(s, home, cpu);
	c->cpu = cpu;
	return c;
}

struct np_cache *np_seat_visit(struct np_seat *s)
{
	struct np_cache *c = s->now;

	if (np_unlikely(np_cache_moved(c)))
		c = np_seat_follow(c);
	if (np_unlikely(s->nodes->n > 1 && ++s->visits == NP_STAY))
		leave_others(s);
	return c;
}

int np_seat_settle(struct np_seat *s)
{
	uint32_t cpu = np_thread_cpu(s->thread);
	struct np_cache *there = cache_for(s, home_now(s, cpu));

	if (!there)
		return ENOMEM;
	if (there != s->now)
		np_cache_send_all(s->now);
	settle_on(s, there, cpu);
	return 0;
}

/* --- life ------------------------------------------------------------- */

struct np_seat *np_seat_create(struct np_thread *thread,
			       const struct np_nodes *nodes)
{
	uint32_t cpu = np_thread_cpu(thread);
	np_home_t home = np_topology_home(nodes->topology, cpu);
	struct np_seat *s = np_meta_alloc(home, seat_size(nodes));
	struct np_cache *c;

	if (!s)
		return NULL;
	s->nodes = nodes;
	s->thread = thread;
	s->made_on = home;
	c = cache_for(s, home_now(s, cpu));
	if (c) {
		c->cpu = cpu;
		set_word(s, c, false);
		s->now = c;
		return s;
	}
	np_meta_free(home, s, seat_size(nodes));
	return NULL;
}

void np_seat_destroy(struct np_seat *s, bool forget)
{
	for (unsigned home = 0; home < s->nodes->n; home++)
		free_cache(s, (np_home_t)home, forget);
	np_meta_free(s->made_on, s, seat_size(s->nodes));
}

void np_seat_flush(struct np_seat *s, bool to_depot)
{
	for (unsigned home = 0; home < s->nodes->n; home++)
		if (s->cache[home])
			np_cache_flush(s->cache[home], to_depot);
}
