/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * buf: the buffers of npool_buf.h. A buffer is a header, which the recycler
 * gives, and bytes.
 *
 *	NP_BUF_POOLED   bytes: a piece of a pool; NULL while the capacity is 0
 *	NP_BUF_WRAPPED  bytes: somebody else's
 *	NP_BUF_COMPOSITE  no bytes: those of its parts (bufparts.c)
 *	NP_BUF_VIEW     no bytes: those of root, from offset on; a count of its
 *	                own, and one reference to owner
 *	NP_BUF_SHARED   likewise, but the count is owner's, in whose list of
 *	                views it is: it ends with owner
 *
 *	slice --root--> buffer          views of views lead to the buffer that
 *	slice --owner--> retained slice --owner--> buffer    has the bytes
 *
 * The count is stored above some marks: that it is dead, that another one
 * counts, that it is watched (leak.h). So adding a reference is one addition,
 * after which it is seen whether that was allowed, all by one test; what must
 * be looked at closer is undone first. (Netty has the first mark, and so stores
 * it doubled.) Headers are recycled last in, first out, and so a dead one says
 * so until it is used again.
 *
 * Bytes are reached through np_buf_has, which says whether they are there, and
 * np_buf_span, which says where. A view asks its root anew each time, and a
 * composite buffer its parts: they may have grown, and lie elsewhere, or have
 * shrunk.
 *
 * Invariants
 *	reader <= writer <= capacity <= max <= NPOOL_BUF_MAX
 *	root is no view; owner is not NP_BUF_SHARED
 *	a SHARED header's own count says whether it is alive, and whether its
 *	owner is watched, nothing more
 *
 * Owner: refs and views are atomic; all else is guarded by the contract: one
 * thread at a time.
 *
 * Source: Netty 4.1.48: AbstractByteBuf, ReferenceCountUpdater,
 * AbstractByteBufAllocator.calculateNewCapacity, PooledByteBuf.capacity.
 */
#ifndef NP_BUF_H
#define NP_BUF_H

#include "base.h"
#include "npool_buf.h"

#include <stdatomic.h>

enum np_buf_kind {
	NP_BUF_POOLED,
	NP_BUF_WRAPPED,
	NP_BUF_COMPOSITE,
	NP_BUF_VIEW,
	NP_BUF_SHARED,
};

#define NP_BUF_DEAD 1u
#define NP_BUF_SHARES 2u /* its owner's count is meant */
#define NP_BUF_WATCHED 4u /* of a view that shares: its owner is */
#define NP_BUF_MARKS 7u
#define NP_BUF_ONE 8u /* a reference */

struct npool_buf {
	_Atomic uint32_t refs; /* times NP_BUF_ONE, and marks */
	uint8_t kind;	       /* enum np_buf_kind */
	union {
		uint8_t *bytes;	  /* POOLED, WRAPPED */
		npool_buf_t *root; /* VIEW, SHARED */
	};
	uint32_t reader, writer, capacity, max;
	uint32_t marked_reader, marked_writer;
	/* Of who has a count: the SHARED views that end with it; of these: the
	 * next one. Pushed with release, taken as a whole with acquire. */
	npool_buf_t *_Atomic views;
	union {
		struct {
			npool_t *pool; /* POOLED, COMPOSITE */
			struct np_parts *parts; /* COMPOSITE */
		};
		struct {
			npool_buf_done_fn *done; /* WRAPPED */
			void *arg;
		};
		struct {
			npool_buf_t *owner; /* VIEW, SHARED */
			uint32_t offset;
		};
	};
};

_Static_assert(sizeof(struct npool_buf) <= NP_LINE,
	       "a header is a cache line at most");

/* What calculateNewCapacity says: the capacity for at least min bytes, at most
 * max. min <= max. */
size_t np_buf_growth(size_t min, size_t max);

static inline bool np_buf_is_view(const npool_buf_t *buf)
{
	return buf->kind >= NP_BUF_VIEW;
}

/* The buffer that has the bytes. */
static inline const npool_buf_t *np_buf_root(const npool_buf_t *buf)
{
	return np_buf_is_view(buf) ? buf->root : buf;
}

_Noreturn void np_buf_die(const npool_buf_t *buf, const char *function,
			  const char *what) __attribute__((cold));

/* Of one with a mark: ends the process if it is dead; if it is watched, this
 * function is remembered as a use. */
void np_buf_look(const npool_buf_t *buf, const char *function,
		 const char *hint) __attribute__((cold));

/* Ends the process if the buffer is dead. What it reads may be out of date: it
 * is looked at to find errors, and not to rely on. */
static inline void np_buf_check(const npool_buf_t *buf, const char *function)
{
	if (np_unlikely(atomic_load_explicit(&buf->refs,
					     memory_order_relaxed) &
			(NP_BUF_DEAD | NP_BUF_WATCHED)))
		np_buf_look(buf, function, NULL);
}

#define NP_BUF_CHECK(buf) np_buf_check(buf, __func__)

/* A composite buffer's side of the two below, and of what buf.c does to the
 * others: np_parts_resize changes the capacity and returns 0 or ENOMEM;
 * np_parts_discard drops the first n bytes; np_parts_free releases all. */
bool np_parts_have(const npool_buf_t *buf, size_t index, size_t n);
uint8_t *np_parts_span(const npool_buf_t *buf, size_t index, size_t *n);
int np_parts_resize(npool_buf_t *buf, size_t capacity);
void np_parts_discard(npool_buf_t *buf, size_t n);
void np_parts_free(npool_buf_t *buf);

/* A header of this kind with one reference, without bytes, or NULL with errno;
 * and its end, before anybody else knows it. */
npool_buf_t *np_buf_take_header(enum np_buf_kind kind, size_t capacity,
				size_t max);
void np_buf_put_header(npool_buf_t *buf);

/* Indices that are beyond the end are moved there. */
void np_buf_clip(npool_buf_t *buf);

/* Are n bytes from index there? */
static inline bool np_buf_has(const npool_buf_t *buf, size_t index, size_t n)
{
	const npool_buf_t *root = np_buf_root(buf);

	if (index > buf->capacity || n > buf->capacity - index)
		return false;
	if (np_buf_is_view(buf))
		index += buf->offset;
	if (np_unlikely(root->kind == NP_BUF_COMPOSITE))
		return np_parts_have(root, index, n);
	return index + n <= root->capacity;
}

/* The address of the byte at index; *n is how many are wanted, and then how
 * many of them lie there in one. np_buf_has must hold for them. */
static inline uint8_t *np_buf_span(const npool_buf_t *buf, size_t index,
				   size_t *n)
{
	const npool_buf_t *root = np_buf_root(buf);

	if (np_buf_is_view(buf))
		index += buf->offset;
	if (np_unlikely(root->kind == NP_BUF_COMPOSITE))
		return np_parts_span(root, index, n);
	return root->bytes ? root->bytes + index : NULL;
}

#endif
