/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * meta: memory for the pool's own data, on the node that the data is about.
 * It never comes from the pool itself, so no piece lies beside it.
 *
 *	below 16 KiB   cut from blocks of 256 KiB; what is given back is kept
 *	               in a list of its size and used again
 *	from 16 KiB    a mapping of its own, unmapped when given back; but up
 *	               to 64 KiB eight of a home are kept and used again, as
 *	               caches of threads that come and go
 *
 * Sizes are rounded up to a power of two or the middle between two. All of it
 * is aligned to a cache line and reads as zero when handed out.
 *
 * Owner: each home has a lock (rank NP_RANK_META); any thread may call.
 */
#ifndef NP_META_H
#define NP_META_H

#include "base.h"

struct np_topology;

/* Whose nodes memory is bound to; NULL: one home, bound to nothing. Called
 * when the pool starts, and again when it knows its nodes. */
void np_meta_init(const struct np_topology *topology);

/* Returns size bytes, zero, or NULL with errno (ENOMEM). */
void *np_meta_alloc(np_home_t home, size_t size);

/* Takes back what np_meta_alloc(home, size) returned. */
void np_meta_free(np_home_t home, void *p, size_t size);

/* Bytes mapped for metadata so far, all nodes. */
size_t np_meta_mapped(void);

/* Fork: all of meta's locks, in order. */
void np_meta_lock_all(void);
void np_meta_unlock_all(void);

#endif
