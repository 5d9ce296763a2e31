/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * decay: free pages of an arena return to the kernel.
 *
 * A tick comes every half of decay_ms (tick.c). Pages that nobody has used
 * for a whole one ("aged") are purged, and those that were used since become
 * aged; so a page returns between decay_ms / 2 and decay_ms after its last
 * use. With decay_ms 0 a run is purged when it comes back, and ticks do the
 * rest: pages of subpages on which no element is taken. -1: never.
 *
 * The address range stays. What is purged is whole system pages; pinned and
 * populated chunks are left alone. The kernel is called with the arena's lock
 * held, since a page that could be handed out meanwhile must not lose its
 * contents; between two regions the lock is dropped, so that nobody waits for
 * more than one region's pages.
 *
 * Owner: the arena's lock; who takes it is said below.
 */
#ifndef NP_DECAY_H
#define NP_DECAY_H

#include "base.h"

struct np_arena;
struct np_chunk;

/* A tick: purges what is aged, ages what is dirty, releases subpages and
 * unmaps chunks that are empty. Takes the arena's lock. Returns the bytes given
 * back. */
size_t np_decay_tick(struct np_arena *arena);

/* Purges every page that nobody uses, now. Takes the arena's lock. Returns the
 * bytes given back. */
size_t np_decay_all(struct np_arena *arena);

/* The same of one chunk, with the lock held. */
size_t np_decay_chunk(struct np_arena *arena, struct np_chunk *chunk);

/* Purges n free pages that have just come back; where the system's are larger,
 * with the free ones beside them. The lock must be held. */
void np_decay_run(struct np_arena *arena, struct np_chunk *chunk,
		  uint32_t first, uint32_t n);

#endif
