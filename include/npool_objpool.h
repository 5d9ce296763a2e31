/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * npool_objpool.h: a recycler: objects of one size that are made once and used
 * again and again, constructed as they are. npool_objpool(3) is the reference.
 *
 *	get   from the thread's own, the last one that it put first; else 30
 *	      at once from its node's; else a new one is made
 *	put   to the thread's own; those that it has had for longest go on to
 *	      the node's, 30 at once; an object of another node goes home, with
 *	      others
 *
 * An object that was put is not lost, whichever thread put it: it is handed out
 * again, or, above the bound, destroyed.
 *
 * Threads: get and put may be called by any thread at any time, also in a
 * forked child and in destructors of thread-local storage; not by a signal
 * handler that may have interrupted another call. What a thread keeps goes to
 * its node's when it ends. Hooks are called without any lock held.
 *
 * Source: J. Bonwick and J. Adams, "Magazines and Vmem", USENIX 2001; the
 * contract is that of Netty's Recycler, without its drops.
 */
#ifndef NPOOL_OBJPOOL_H
#define NPOOL_OBJPOOL_H

#include <npool.h>

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct npool_objpool npool_objpool_t;

/* Called with an object that was just made, its bytes undefined.
 * Returns: 0, or a positive errno: there is no object then, and that is the
 * errno of npool_objpool_get. */
typedef int npool_construct_fn(void *object, void *arg);

/* Called before the object's memory is freed. */
typedef void npool_destruct_fn(void *object, void *arg);

/* What a recycler shall be like. Start from NPOOL_OBJPOOL_ATTR_INIT. */
struct npool_objpool_attr {
	size_t size;	    /* sizeof(struct npool_objpool_attr) */
	const char *name;   /* for errors: copied, up to 31 bytes; NULL:
			       "objects" */
	npool_t *pool;	    /* whose memory it is; NULL: the default pool */
	size_t object_size; /* bytes: 1 .. PTRDIFF_MAX - 16 */
	size_t max_kept;    /* objects of each node, beside at most 60 that a
			       thread keeps; 0: each is destroyed when it is
			       put */
	npool_construct_fn *construct; /* NULL: none */
	npool_destruct_fn *destruct;   /* NULL: none */
	void *arg;	    /* of both */
};

#define NPOOL_OBJPOOL_ATTR_INIT                                      \
	{ sizeof(struct npool_objpool_attr), NULL, NULL, 0, 4096,    \
	  NULL, NULL, NULL }

/* Figures of a recycler, in objects. While threads run they may be of slightly
 * different moments. */
struct npool_objpool_figures {
	size_t size;	    /* in: sizeof(struct npool_objpool_figures) */
	uint64_t gets;	    /* objects handed out since the start */
	uint64_t puts;	    /* objects that came back */
	uint64_t made;
	uint64_t destroyed;
	uint64_t kept;	    /* for the next get; in a forked child also what
			       threads had that are not there */
};

/* Makes a recycler. At most 256 can be there at once.
 * Returns: 0 and the recycler in *objpool; EINVAL: a field is out of its
 * range; E2BIG: attr->size is larger than this library knows, and what it does
 * not know is not zero; EAGAIN: there are 256 already, or the program is still
 * being loaded; ENOMEM.
 * Threads: any. */
NPOOL_API int npool_objpool_create(npool_objpool_t **objpool,
				   const struct npool_objpool_attr *attr);

/* Destroys what it keeps, and ends it. NULL is allowed.
 * Returns: 0, or EBUSY: an object has not come back; nothing was changed.
 * Threads: no other call on the recycler may run, or come. */
NPOOL_API int npool_objpool_destroy(npool_objpool_t *objpool);

/* Returns an object at a multiple of 16, as it was when it was put, or fresh
 * from `construct`; NULL with errno: ENOMEM, or what `construct` said.
 * Threads: any; takes no lock while the thread has objects of its own. */
NPOOL_API void *npool_objpool_get(npool_objpool_t *objpool);

/* Gives an object back. NULL is allowed. Keeps errno. An object that is not
 * out, or not of this recycler, ends the process, with a message; of two
 * threads that put the same one at the same instant this is not promised.
 * Threads: any, whoever got it; also after that thread's end. */
NPOOL_API void npool_objpool_put(npool_objpool_t *objpool, void *object);

/* Destroys what the caller's thread keeps, and what the nodes do.
 * Returns: how many objects.
 * Threads: any. */
NPOOL_API size_t npool_objpool_trim(npool_objpool_t *objpool);

/* Fills in the first stats->size bytes of *stats.
 * Returns: 0, or EINVAL: stats->size is below that of the first release. */
NPOOL_API int npool_objpool_stats(npool_objpool_t *objpool,
				  struct npool_objpool_figures *stats);

#ifdef __cplusplus
}
#endif

#endif
