/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * decay: free pages of an arena return to the kernel.
 *
 * Slow-path visits drive it: every so often one looks at the clock, and when
 * half of decay_ms has passed since the last tick, pages that were free for
 * that whole time ("aged") are purged and those freed since become aged. So a
 * page returns between decay_ms / 2 and decay_ms after its last use, if the
 * arena is visited at all. decay_ms 0 purges at once, -1 never.
 *
 * The address range stays. What is purged is whole system pages; pinned
 * chunks are left alone. The kernel is called under the arena's lock, since a
 * page that could be handed out meanwhile must not lose its contents.
 *
 * Owner: the arena's lock is held by the caller of each function.
 */
#ifndef NP_DECAY_H
#define NP_DECAY_H

#include "base.h"

struct np_arena;
struct np_chunk;

/* A visit to the arena: purges what is due. */
void np_decay_visit(struct np_arena *arena);

/* Purges every free page now. Returns the bytes given back. */
size_t np_decay_all(struct np_arena *arena);

#endif
