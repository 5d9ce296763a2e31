/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * request: how a piece is found when the loaded magazine does not serve it.
 *
 *	the caller's cache      and behind it depot, inbox and arena
 *	an arena of its node    no cache, or past it; a run whose place or whose
 *	                        contents matter; of another node if asked
 *	a huge block            larger than a chunk
 *	nothing                 what is cached and kept goes back; then any arena
 *	                        of the pool; then the pressure function is asked
 *	                        (pressure.h)
 *
 * Owner: a request is a plain value of its caller, who holds no lock.
 */
#ifndef NP_REQUEST_H
#define NP_REQUEST_H

#include "base.h"
#include "pool.h"

#define NP_ANY_HOME (-1)

struct np_request {
	struct np_pool *pool;
	size_t size;	/* bytes, at most PTRDIFF_MAX; 0 is served as 1 */
	size_t align;	/* a power of two; 0 or 1: any */
	int home;	/* of the pool; NP_ANY_HOME: the caller's */
	bool zero;	/* the piece shall read as zero */
	bool nocache;
	bool fast;	/* the fast path serves it, if it can; the caller's
			   home, no alignment, zero only if it is small */
};

/* A piece, or NULL with ENOMEM. */
void *np_request_serve(const struct np_request *request);

/* n pieces of one request, as so many single ones past the cache would get.
 * Returns how many; fewer with ENOMEM. */
size_t np_request_serve_many(const struct np_request *request, void **pieces,
			     size_t n);

/* What a piece of size bytes of this pool would have. */
size_t np_request_good_size(const struct np_pool *pool, size_t size);

#endif
