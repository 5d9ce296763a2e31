/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * request: see request.h.
 */
#include "request.h"
#include "boot.h"
#include "memcheck.h"
#include "os.h"
#include "pressure.h"
#include "record.h"
#include "start.h"
#include "tick.h"

#include <errno.h>
#include <string.h>

#define ALIGNED_ANYWAY 16 /* every piece is, at least */

/* What the request comes down to in its pool's terms. */
struct need {
	unsigned class;	/* 0: a huge block */
	size_t align;	/* of a run or a huge block that is placed for it; 0:
			   any piece of the class will do */
	bool zero;	/* out: the piece reads as zero already */
};

/* Who serves it. */
struct source {
	struct np_cache *cache;	 /* the caller's; NULL: it has none */
	struct np_node *node;	 /* the arena's; NULL: not known yet */
	struct np_arena *arena;
	bool uses_cache;
};

/* --- what is needed ---------------------------------------------------- */

/* A run whose place is chosen for its alignment. */
static struct need need_placed(const struct np_classes *t, size_t size,
			       size_t align)
{
	size_t page = (size_t)1 << t->page_shift;
	struct need n = { .align = align < page ? page : align };

	if (size > t->chunk_size || n.align > t->chunk_size)
		return n;
	/* The smallest run that holds size: pages are taken whole. */
	n.class = np_class_of(t, np_round_up(size, page));
	while (t->row[n.class].nelems)
		n.class++;
	return n;
}

static struct need need_of(const struct np_request *r)
{
	const struct np_classes *t = &r->pool->classes;
	size_t size = r->size ? r->size : 1;
	struct need n = { 0 };

	if (r->align <= ALIGNED_ANYWAY) {
		n.class = np_class_of(t, size);
		n.align = n.class ? 0 : NP_SLOT_SIZE;
	} else {
		n.class = np_class_aligned(t, size, r->align);
		if (!n.class)
			n = need_placed(t, size, r->align);
	}
	/* A large run that nobody has touched need not be cleared. */
	if (r->zero && size > NP_SMALL_MAX && !n.align &&
	    !t->row[n.class].nelems)
		n.align = 1;
	return n;
}

size_t np_request_good_size(const struct np_pool *pool, size_t size)
{
	size_t zone = np_memcheck_redzone(), all = size + zone;
	unsigned class = np_class_of(&pool->classes, all ? all : 1);

	return (class ? pool->classes.row[class].size
		      : np_round_up(all, np_os_page_size())) - zone;
}

/* --- who serves it ----------------------------------------------------- */

/* Any arena, of this home if one is meant. */
static void find_arena(struct np_pool *pool, int home, struct source *s)
{
	unsigned cpu = np_os_cpu();

	s->node = NULL;
	s->arena = &pool->first;
	if (np_pool_stage(pool) != NP_AWAKE)
		return;
	if (home == NP_ANY_HOME)
		home = np_thread_home(&pool->nodes);
	s->node = &pool->nodes.node[home];
	s->arena = np_node_any_arena(s->node, cpu);
}

static struct source find_source(const struct np_request *r)
{
	struct source s = { .cache = np_pool_cache(r->pool) };
	bool is_near = s.cache &&
		(r->home == NP_ANY_HOME || r->home == s.cache->home);

	s.uses_cache = is_near && !r->nocache;
	if (is_near) {
		s.node = s.cache->node;
		s.arena = s.cache->arena;
	} else {
		find_arena(r->pool, r->home, &s);
	}
	return s;
}

static void count_taken(const struct np_request *r, const struct source *s,
			unsigned class, unsigned n, size_t bytes)
{
	np_pool_count_taken(r->pool, s->cache, np_owner_home(&s->arena->owner),
			    class, n, bytes);
}

/* --- one piece --------------------------------------------------------- */

static void *from_arena(const struct source *s, struct need *n)
{
	void *p;

	if (n->align)
		return np_node_take_run(s->node, s->arena, n->class,
					n->align, &n->zero);
	return np_node_take(s->node, s->arena, n->class, 1, &p) ? p : NULL;
}

static size_t piece_size(const struct np_pool *pool, const struct need *n,
			 const void *p)
{
	return n->class ? pool->classes.row[n->class].size
			: np_map_find(p)->block_size;
}

static void *from_source(const struct np_request *r, struct need *n,
			 const struct source *s)
{
	void *p;

	n->zero = false;
	if (!n->class)
		p = np_huge_alloc(&r->pool->huge, &s->arena->owner,
				  r->size + !r->size, n->align, &n->zero);
	else if (s->uses_cache && !n->align)
		return np_cache_take(s->cache, n->class);
	else if (s->uses_cache && n->align == 1 &&
		 (p = np_cache_hit(s->cache, n->class, true)))
		return p;
	else
		p = from_arena(s, n);
	if (p)
		count_taken(r, s, n->class, 1, piece_size(r->pool, n, p));
	return p;
}

/* From any arena of the node. */
static void *from_node(const struct np_request *r, struct need *n,
		       const struct np_node *node)
{
	struct source s = { .cache = NULL };
	void *p = NULL;

	for (unsigned i = 0; !p && i < node->narenas; i++) {
		s.arena = node->arenas[i];
		p = from_source(r, n, &s);
	}
	return p;
}

/* From every arena that may serve it: those of this home, then, unless the
 * home was asked for or the pool is strict, of the nearest ones. */
static void *from_anywhere(const struct np_request *r, struct need *n,
			   np_home_t home)
{
	struct np_node *node = r->pool->nodes.node;
	bool is_bound = r->home != NP_ANY_HOME || r->pool->strict;
	unsigned nhomes = is_bound ? 1 : r->pool->nodes.n;
	void *p = NULL;

	if (np_pool_stage(r->pool) != NP_AWAKE)
		return NULL;
	for (unsigned i = 0; !p && i < nhomes; i++) {
		struct np_node *next = &node[node[home].by_distance[i]];

		if (!i || !next->named_only)
			p = from_node(r, n, next);
	}
	return p;
}

/* What limits count of it. */
static size_t bytes_of(const struct np_request *r, const struct need *n)
{
	const struct np_classes *t = &r->pool->classes;

	return n->class ? (size_t)t->row[n->class].npages << t->page_shift
			: np_round_up(r->size, np_os_page_size());
}

/* Nothing was left: makes room, as often as the pool's owner says so. */
static void *serve_pressed(const struct np_request *r, struct need *n)
{
	struct source s;
	void *p;

	do {
		np_pool_trim(r->pool);
		s = find_source(r);
		p = from_source(r, n, &s);
		if (!p)
			p = from_anywhere(r, n, np_owner_home(&s.arena->owner));
	} while (!p && np_pressure_ask(r->pool, &s.arena->owner.limits,
				       r->size, bytes_of(r, n)));
	if (!p)
		np_pool_count_refused(r->pool);
	return p;
}

static void *serve(const struct np_request *r)
{
	struct source s = find_source(r);
	struct need n;
	void *p;

	if (np_unlikely(np_pool_stage(r->pool) == NP_ASLEEP)) {
		p = np_boot_alloc(r->size, r->align);
		if (p)
			return r->zero ? memset(p, 0, r->size) : p;
		if (!np_start_early())
			return errno = ENOMEM, NULL;
		if (np_memcheck_on) /* as is known now */
			return np_request_serve(r);
	}
	n = need_of(r);
	p = from_source(r, &n, &s);
	if (np_unlikely(!p))
		p = serve_pressed(r, &n);
	np_tick_visit(r->pool);
	np_pressure_look(r->pool);
	if (np_unlikely(np_is_probed()))
		np_record_probed();
	if (np_unlikely(!p))
		return errno = ENOMEM, NULL;
	return r->zero && !n.zero ? memset(p, 0, r->size) : p;
}

/* While a recording is on, the fast path has found nothing (record.h): what it
 * would have found. */
static void *from_hidden(const struct np_request *r)
{
	struct np_cache *c = np_thread_cache_hidden(r->pool->slot);
	void *p = c ? np_cache_hit(c, np_class_of(&r->pool->classes,
						  r->size ? r->size : 1), true)
		    : NULL;

	return p && r->zero ? memset(p, 0, r->size) : p;
}

/* For Valgrind: with a redzone, and cleared when it is known to be a piece. */
static void *serve_checked(const struct np_request *r)
{
	struct np_request wide = *r;
	struct need n = { 0 };
	void *p;

	wide.zero = false;
	wide.size += NP_REDZONE; /* it was PTRDIFF_MAX at most */
	if (wide.size > PTRDIFF_MAX)
		return errno = ENOMEM, NULL;
	p = serve(&wide);
	if (p && !np_boot_owns(p)) {
		n.class = np_region_entry(np_map_find(p), p) & NP_PAGE_CLASS;
		np_memcheck_take(np_pool_anchor(r->pool), p,
				 piece_size(r->pool, &n, p));
	}
	return p && r->zero ? memset(p, 0, r->size) : p;
}

/* It may be over by then: where all calls hit, nobody else would look. Told at
 * one place, so that what differs between stacks is the caller's. */
static void *serve_recorded(const struct np_request *r)
{
	void *p = r->fast && !np_memcheck_on ? from_hidden(r) : NULL;
	bool hit = p != NULL;

	if (!hit)
		p = np_memcheck_on ? serve_checked(r) : serve(r);
	if (p)
		np_record_piece(NP_TRACE_ALLOC, p, r->size, hit);
	else
		np_record_refused(r->pool->slot, r->size);
	np_record_look();
	return p;
}

void *np_request_serve(const struct np_request *r)
{
	return np_unlikely(np_watched()) ? serve_recorded(r) : serve(r);
}

/* --- many -------------------------------------------------------------- */

/* As many as one arena gives at once. */
static size_t take_many(const struct np_request *r, unsigned class,
			void **pieces, size_t n)
{
	struct source s = find_source(r);
	unsigned most = n < UINT16_MAX ? (unsigned)n : UINT16_MAX;
	unsigned got = np_node_take(s.node, s.arena, class, most, pieces);

	if (got)
		count_taken(r, &s, class, got, got *
			    (size_t)r->pool->classes.row[class].size);
	for (unsigned i = 0; r->zero && i < got; i++)
		memset(pieces[i], 0, r->size);
	for (unsigned i = 0; np_unlikely(np_watched()) && i < got; i++)
		np_record_piece(NP_TRACE_ALLOC, pieces[i], r->size, false);
	return got;
}

size_t np_request_serve_many(const struct np_request *r, void **pieces,
			     size_t n)
{
	size_t done = 0;

	while (done < n) {
		struct need need = { 0 };
		size_t got = 0;

		if (np_pool_stage(r->pool) != NP_ASLEEP)
			need = need_of(r);
		if (need.class && !need.align && !np_memcheck_on)
			got = take_many(r, need.class, pieces + done,
					n - done);
		/* What no batch can give, or the arena has not got. */
		if (!got && (pieces[done] = np_request_serve(r)))
			got = 1;
		if (!got)
			break;
		done += got;
	}
	np_tick_visit(r->pool);
	np_pressure_look(r->pool);
	if (done < n)
		errno = ENOMEM;
	return done;
}
