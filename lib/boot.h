/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * boot: what malloc returns before the default pool can start. With the malloc
 * face the constructors of other libraries allocate before ours has run,
 * libnuma's among them. That little comes from a stretch of the library's own
 * data; so a process that asks for nothing else has nothing mapped.
 *
 *	| size self  piece ... | size self  piece ... | free |
 *
 * A piece that is given back is used again if it is the last one; else it is
 * lost. What does not fit here starts the pool early (start.h).
 *
 * Invariant: `self` of a live piece is its address, of any other 0.
 *
 * Owner: `used` is atomic; a piece belongs to who holds it. Pieces may be given
 * back at any time, by any thread.
 */
#ifndef NP_BOOT_H
#define NP_BOOT_H

#include "base.h"

/* A piece of size bytes at a multiple of align (a power of two; at least 16 is
 * given), or NULL: it does not fit. Its contents are anything. */
void *np_boot_alloc(size_t size, size_t align);

/* Is p in that stretch? */
bool np_boot_owns(const void *p);

/* The bytes of a piece. Ends the process if p is no live one; what: the call
 * that is to be named. */
size_t np_boot_size(const void *p, const char *what);

/* Takes a piece back, likewise. */
void np_boot_free(void *p);

/* Has anybody allocated here? Then malloc is ours. */
bool np_boot_used(void);

#endif
