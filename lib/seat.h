/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * seat: a thread's caches in one pool, one for each home that it has been on,
 * and which of them it uses now.
 *
 *	thread --seat[pool]--> seat --now--> cache for this home
 *	                            --cache[home]
 *
 * A thread that is found on another node is rehomed: it goes on with its
 * cache for that node, and keeps the old one for NP_STAY visits to the slow
 * path, so that bouncing is cheap; then the old one goes home.
 *
 * Owner: the thread; cache[] and its thread's list of seats are written with
 * the lock of the thread list held, so that reclaimers, who hold it, may read
 * them.
 *
 * Source: rseq(2) for the CPU's number; HACKING: NUMA rules 2 to 5.
 */
#ifndef NP_SEAT_H
#define NP_SEAT_H

#include "base.h"
#include "cache.h"
#include "node.h"

#define NP_STAY 64	    /* visits before old caches go home */
#define NP_CALLS_A_LOOK 64  /* calls between two getcpu, without rseq */

struct np_thread;

struct np_seat {
	const struct np_nodes *nodes;
	struct np_thread *thread;
	struct np_cache *now;	  /* of the home that the thread is on */
	unsigned calls;		  /* since the last getcpu */
	unsigned visits;	  /* slow ones since it was rehomed */
	np_home_t made_on;	  /* whose memory this is */
	struct np_cache *cache[]; /* [nodes->n], by home; NULL: none */
};

/* A seat with a cache for the node that the thread is on; NULL: no memory.
 * Nobody else knows it yet. */
struct np_seat *np_seat_create(struct np_thread *thread,
			       const struct np_nodes *nodes);

/* Gives up its caches, and frees it. forget: the pieces in them are nobody's
 * any more. Nobody else knows it any more. */
void np_seat_destroy(struct np_seat *seat, bool forget);

/* The CPU has changed: the cache to go on with, which may be the same. */
struct np_cache *np_seat_follow(struct np_cache *cache);

/* A visit to the slow path: the cache to use. */
struct np_cache *np_seat_visit(struct np_seat *seat);

/* The thread has been put on a node, or follows its CPU again. Returns 0, or
 * ENOMEM: nothing has changed. */
int np_seat_settle(struct np_seat *seat);

/* While a recording is on, the fast paths see every cache as one that has moved
 * (record.h). Makes it so, or not, of all caches of the seat. The lock of the
 * thread list is held. */
void np_seat_hide(struct np_seat *seat, bool hidden);

/* The cache that they would have used; NULL: it has moved indeed. */
struct np_cache *np_seat_hidden(const struct np_seat *seat);

/* Empties its caches. */
void np_seat_flush(struct np_seat *seat, bool to_depot);

#endif
