/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * chunkset: the functions of npool_chunk.h for several chunks: six lists and
 * the pools of subpages that their chunks share. What it decides is what an
 * arena without policies of ours decides, by the same code (chunklist.c); what
 * an arena has more is memory, a lock and counters.
 *
 * Invariants (npool_chunklist_valid): those of chunklist.h; each chunk is
 * valid, knows its set and uses its pools.
 *
 * Owner: the caller; nothing is guarded.
 */
#include "handle.h"

#include <errno.h>
#include <string.h>

struct npool_chunklist {
	struct np_classes classes;
	enum np_class_table table;
	struct np_chunklist lists[NP_NLISTS];
	struct np_ring rings[NP_MAX_CLASSES];
	struct npool_supply supply;
	void *block; /* our piece of memory; NULL: the caller's */
};

_Static_assert((int)NPOOL_QINIT == (int)NP_QINIT &&
	       (int)NPOOL_Q000 == (int)NP_Q000 &&
	       (int)NPOOL_Q025 == (int)NP_Q025 &&
	       (int)NPOOL_Q050 == (int)NP_Q050 &&
	       (int)NPOOL_Q075 == (int)NP_Q075 &&
	       (int)NPOOL_Q100 == (int)NP_Q100, "six lists, two names");
_Static_assert(sizeof(struct npool_chunklist) <= NPOOL_CHUNKLIST_META - 1024,
	       "NPOOL_CHUNKLIST_META has room to spare");

int npool_chunklist_create(npool_chunklist_t **set,
			   const struct npool_shape *shape,
			   const struct npool_supply *supply, void *meta,
			   size_t meta_size)
{
	struct npool_chunklist *s;
	struct np_classes t;
	void *block;

	if (np_shape_classes(shape, &t))
		return EINVAL;
	s = np_shape_room(meta, meta_size, sizeof *s, &block);
	if (!s)
		return ENOMEM;
	memset(s, 0, sizeof *s);
	s->classes = t;
	s->table = (enum np_class_table)shape->classes;
	s->block = block;
	if (supply)
		s->supply = *supply;
	np_chunklists_init(s->lists, t.chunk_size);
	for (unsigned i = 0; i < NP_MAX_CLASSES; i++)
		np_ring_init(&s->rings[i]);
	*set = s;
	return 0;
}

/* --- chunks come and go ----------------------------------------------- */

/* Can the set have this chunk? */
static int fits(const struct npool_chunklist *s, const struct npool_chunk *c)
{
	if (c->table != s->table ||
	    c->classes.page_shift != s->classes.page_shift ||
	    c->classes.max_order != s->classes.max_order)
		return EINVAL;
	return c->set ? EBUSY : 0;
}

/* The set has the chunk, but in no list. */
static void attach(struct npool_chunklist *s, struct npool_chunk *c)
{
	c->set = s;
	np_handle_move_subpages(c, s->rings);
}

/* The chunk is in no list any more, and on its own again. */
static void detach(struct npool_chunk *c)
{
	c->set = NULL;
	np_handle_move_subpages(c, c->own);
}

int npool_chunklist_add(npool_chunklist_t *s, npool_chunk_t *c)
{
	int error = fits(s, c);

	if (error)
		return error;
	attach(s, c);
	np_chunklist_add(&s->lists[NP_QINIT], c->chunk);
	return 0;
}

int npool_chunklist_remove(npool_chunk_t *c)
{
	if (!c->set)
		return EINVAL;
	np_chunklist_remove(c->chunk);
	detach(c);
	return 0;
}

void np_chunkset_settle(struct npool_chunk *c)
{
	struct npool_chunklist *s = c->set;

	if (np_chunklist_settle(c->chunk))
		return;
	if (s->supply.less) {
		detach(c);
		s->supply.less(c, s->supply.arg);
	} else {
		np_chunklist_add(&s->lists[NP_QINIT], c->chunk);
	}
}

void npool_chunklist_destroy(npool_chunklist_t *s)
{
	if (!s)
		return;
	for (int i = 0; i < NP_NLISTS; i++)
		while (s->lists[i].head)
			npool_chunklist_remove(
				np_handle_owner(s->lists[i].head));
	npool_free(s->block);
}

/* --- taking ----------------------------------------------------------- */

/* Takes the run from a chunk that was just given. */
static npool_handle_t take_from_new(struct npool_chunklist *s,
				    struct npool_chunk *c, unsigned class,
				    const struct np_run_request *run,
				    struct npool_chunk **chunk)
{
	npool_handle_t handle = 0;
	uint32_t first;
	int error = fits(s, c);

	if (error)
		return errno = error, 0;
	attach(s, c);
	first = np_chunk_take_run(c->chunk, run->npages, 0, run->entry, NULL);
	if (first != NP_NO_PAGE) {
		handle = np_handle_of_run(c, class, first, run->npages);
		*chunk = c;
	} else {
		errno = ENOSPC; /* it was not empty */
	}
	np_chunklist_add(&s->lists[NP_QINIT], c->chunk);
	return handle;
}

/* Takes the run from the lists, or from a new chunk; where there is none, it
 * is not the time to keep empty subpages. */
static npool_handle_t take_run(struct npool_chunklist *s, unsigned class,
			       struct np_run_request *run,
			       struct npool_chunk **chunk)
{
	struct np_chunk *c = np_chunklists_take(s->lists, run);
	struct npool_chunk *fresh = NULL;

	if (!c && s->supply.more)
		fresh = s->supply.more(s->supply.arg);
	if (fresh)
		return take_from_new(s, fresh, class, run, chunk);
	if (!c && npool_chunklist_trim(s))
		c = np_chunklists_take(s->lists, run);
	if (!c)
		return errno = ENOSPC, 0;
	*chunk = np_handle_owner(c);
	return np_handle_of_run(*chunk, class, run->first, run->npages);
}

npool_handle_t npool_chunklist_alloc(npool_chunklist_t *s, size_t size,
				     npool_chunk_t **chunk)
{
	unsigned class = size ? np_class_of(&s->classes, size) : 0;
	struct np_run_request run = np_run_request_for(&s->classes, class);
	npool_handle_t handle = 0;

	if (!class)
		return errno = EINVAL, 0;
	if (run.entry & NP_PAGE_SUBPAGE)
		handle = np_handle_from_ring(s->rings, class, chunk);
	return handle ? handle : take_run(s, class, &run, chunk);
}

size_t npool_chunklist_trim(npool_chunklist_t *s)
{
	return np_handle_trim(s->rings, s->classes.n, NULL);
}

/* --- looking ---------------------------------------------------------- */

int npool_chunklist_of(const npool_chunk_t *c)
{
	return c->set ? (int)(c->chunk->list - c->set->lists) : -1;
}

static npool_chunk_t *owner_or_null(const struct np_chunk *c)
{
	return c ? np_handle_owner(c) : NULL;
}

npool_chunk_t *npool_chunklist_first(const npool_chunklist_t *s, unsigned list)
{
	return list < NP_NLISTS ? owner_or_null(s->lists[list].head) : NULL;
}

npool_chunk_t *npool_chunklist_next(const npool_chunk_t *c)
{
	return owner_or_null(c->chunk->next);
}

static bool ring_valid(const struct npool_chunklist *s, unsigned class)
{
	const struct np_ring *head = &s->rings[class];

	for (const struct np_ring *l = head->next; l != head; l = l->next) {
		const struct np_subpage *sp = (const void *)l;

		if (l->prev->next != l || sp->class != class ||
		    np_handle_owner(sp->chunk)->set != s)
			return false;
	}
	return true;
}

int npool_chunklist_valid(const npool_chunklist_t *s)
{
	if (!np_chunklists_valid(s->lists))
		return 0;
	for (int i = 0; i < NP_NLISTS; i++)
		for (struct np_chunk *c = s->lists[i].head; c; c = c->next) {
			struct npool_chunk *owner = np_handle_owner(c);

			if (owner->set != s || owner->rings != s->rings ||
			    !npool_chunk_valid(owner))
				return 0;
		}
	for (unsigned class = 1; class < NP_MAX_CLASSES; class++)
		if (!ring_valid(s, class))
			return 0;
	return 1;
}
