/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * memcheck: what Valgrind is told of pieces, in a process that runs under it.
 *
 *	| piece, which the program may touch | NP_REDZONE: nobody may |
 *
 * Such a process is not in a hurry. Its threads have no caches, so all calls
 * take the slow way, and no magazine holds the address of a piece that would
 * then not be a leak; each piece has a redzone behind it; and a realloc always
 * moves, so that the old place can be told from the new one. Pieces are cleared
 * when they are handed out, not when they are freed: nobody can read them then.
 *
 * Pieces of the default pool are blocks as those of malloc. Those of another
 * pool are of a "memory pool" in Valgrind's words, and all gone when that is
 * reset or destroyed.
 *
 * Elsewhere this is a flag that is false, off the fast path.
 *
 * Owner: np_memcheck_on is written once, before there is a second thread.
 *
 * Source: valgrind/memcheck.h, and the manual of Valgrind, section 4.7 and 4.8.
 */
#ifndef NP_MEMCHECK_H
#define NP_MEMCHECK_H

#include "base.h"

#define NP_REDZONE 16

extern bool np_memcheck_on;

/* Looks whether Valgrind is there. */
void np_memcheck_init(void);

/* What is taken off the usable bytes of each piece, and asked for in
 * addition. */
static inline size_t np_memcheck_redzone(void)
{
	return np_unlikely(np_memcheck_on) ? NP_REDZONE : 0;
}

/* A pool begins, or ends, with all of its pieces. */
void np_memcheck_pool(const void *pool);
void np_memcheck_pool_ends(const void *pool);

/* A piece is handed out; size: with its redzone. Its contents are undefined.
 * Or it comes back. pool: as above; NULL: the default one. If
 * np_memcheck_on. */
void np_memcheck_take(const void *pool, void *p, size_t size);
void np_memcheck_give(const void *pool, const void *p);

/* The pool itself is going to write there. The same. */
void np_memcheck_own(void *p, size_t size);

#endif
