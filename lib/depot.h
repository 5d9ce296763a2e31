/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * depot: where thread caches of one home exchange magazines whole, a shelf
 * for each class; and the home's inbox, where other homes leave magazines of
 * mixed classes.
 *
 *	get   take a full magazine, leave an empty one
 *	put   leave a full magazine, take an empty one
 *
 * A shelf of elements holds NP_DEPOT_BYTES and NP_DEPOT_PIECES at most, or one
 * magazine if that is larger; what is over goes back to its arenas. A shelf of
 * runs has no bound: they return before the pool grows (np_node_take), and till
 * then a free run is the same memory here or there. All of a depot goes back
 * when it is drained. A tick takes what the last interval had no need of: of
 * the working set (Bonwick & Adams, section 3.5) only what lay there untouched
 * all the time, `low`.
 *
 * Owner: each shelf and each inbox has a lock.
 */
#ifndef NP_DEPOT_H
#define NP_DEPOT_H

#include "base.h"
#include "lock.h"
#include "magazine.h"
#include "segment.h"
#include "sizeclass.h"

#define NP_DEPOT_BYTES (16 * NP_MIB)
#define NP_DEPOT_PIECES ((size_t)32768) /* 64 of the largest magazines */
#define NP_INBOX_MAGS 16 /* then the sender does the work itself */
#define NP_INBOX_BYTES NP_MIB

struct np_shelf {
	_Alignas(NP_LINE) struct np_lock lock;
	struct np_mag *full;  /* guarded by lock, like the rest */
	struct np_mag *empty;
	size_t bytes;	      /* of pieces in full ones */
	size_t low;	      /* the least of it since the last tick */
	size_t size;	      /* bytes of a piece; written once, as is: */
	size_t most;	      /* bytes that it may hold */
	bool runs;	      /* is a piece a run of its own? */
};

struct np_depot {
	np_home_t home;		       /* written once */
	unsigned nclasses;	       /* written once: shelves, with [0] */
	struct np_segment_node *node;  /* written once: where it counts */
	_Alignas(NP_LINE) struct np_lock inbox_lock;
	struct np_mag *inbox;	       /* guarded by inbox_lock, as is: */
	size_t inbox_bytes;
	_Atomic unsigned ninbox;       /* written under it; read to see
					  whether to look, relaxed */
	_Atomic size_t run_bytes;      /* on all shelves of runs; the same */
	struct np_shelf shelf[];       /* by class */
};

/* A depot for these classes in home's memory, that counts at node; NULL with
 * ENOMEM. */
struct np_depot *np_depot_create(np_home_t home,
				 const struct np_classes *classes,
				 struct np_segment_node *node);

/* Frees the depot's magazines; their pieces are nobody's. */
void np_depot_forget(struct np_depot *depot);

/* The same, and the depot. */
void np_depot_destroy(struct np_depot *depot);

/* Takes a full magazine of the class, and leaves *empty if it is not NULL.
 * Returns NULL, and leaves nothing, if there is none. */
struct np_mag *np_depot_get(struct np_depot *depot, unsigned class,
			    struct np_mag *empty);

/* Leaves a magazine with pieces. *empty: an empty one in exchange, or NULL if
 * there is none. Returns false, and takes nothing, if the shelf is full. */
bool np_depot_put(struct np_depot *depot, unsigned class,
		  struct np_mag *full, struct np_mag **empty);

/* Leaves a mixed magazine of `bytes` of pieces. Returns false, and takes
 * nothing, if the inbox would hold more than NP_INBOX_MAGS magazines or
 * NP_INBOX_BYTES. */
bool np_depot_send(struct np_depot *depot, struct np_mag *mag, size_t bytes);

/* Takes everything out of the inbox, linked by next. */
struct np_mag *np_depot_receive(struct np_depot *depot);

/* Is a run on any of its shelves? Others may come and go meanwhile. */
static inline bool np_depot_has_runs(const struct np_depot *depot)
{
	return atomic_load_explicit(&depot->run_bytes, memory_order_relaxed);
}

/* Takes every full magazine of the class, linked by next, and frees the empty
 * ones. */
struct np_mag *np_depot_drain(struct np_depot *depot, unsigned class);

/* A tick: takes the magazines of the class that nobody has needed since the
 * last one, linked by next. */
struct np_mag *np_depot_tick(struct np_depot *depot, unsigned class);

/* The pieces of a mixed magazine have gone elsewhere. */
void np_depot_received(struct np_depot *depot, size_t bytes);

/* Fork: every lock of the depot, in order. */
void np_depot_lock_all(struct np_depot *depot);
void np_depot_unlock_all(struct np_depot *depot);

#endif
