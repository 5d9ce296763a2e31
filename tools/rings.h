/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * rings: the tool's side of the rings that a process writes (trace.h): makes
 * their file, and empties them into a recording, round by round.
 *
 *	a round   now = the time; then, of each ring, what is in it and is not
 *	          later than now
 *
 * What another event depends on was to be seen in its ring before that one was
 * written; so it is in the same round or in one before.
 */
#ifndef NP_TOOLS_RINGS_H
#define NP_TOOLS_RINGS_H

#include "recording.h"

#include <sys/types.h> /* uid_t */

struct rings;

struct rings_options {
	uint64_t ring_size;	     /* bytes; a power of two */
	unsigned nrings;
	uint64_t size_min, size_max; /* bytes of pieces */
	unsigned stack_every;
	uint32_t pid;	/* whom they are for; 0: the first that comes */
	uid_t owner;	/* who shall be able to write them, if that can be */
};

/* Makes the file at path. Exits if it cannot. */
struct rings *rings_create(const char *path,
			   const struct rings_options *options);

/* How full is the fullest, in percent? */
unsigned rings_fullest(const struct rings *rings);

/* Writes what is there as a round. Returns how many events. */
uint64_t rings_drain(struct rings *rings, struct writer *w);

/* The time of the last round, in ns since the file was made. */
uint64_t rings_now_ns(const struct rings *rings);

/* Were there stacks in the last round that had not been seen before? */
bool rings_have_new_stacks(const struct rings *rings);

/* What the process said at first about its mappings, to be freed; "" if
 * nothing. */
char *rings_maps(const struct rings *rings);

/* Has a process begun to write them? Has it ended that? */
bool rings_are_used(const struct rings *rings);
bool rings_are_over(const struct rings *rings);

/* Calls call(arg, slot, class table, page shift, max order) for each POOL event
 * of a round. */
typedef void rings_pool_call(void *arg, unsigned slot, unsigned table,
			     unsigned page_shift, unsigned max_order);
void rings_on_pool(struct rings *rings, rings_pool_call *call, void *arg);

/* Removes the file. */
void rings_destroy(struct rings *rings);

#endif
