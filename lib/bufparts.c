/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * bufparts: composite buffers (buf.h): one buffer that is made of others, which
 * are not copied.
 *
 *	composite   |0        |5    |8              |20 = capacity
 *	part[i]      offset 0  5     8
 *	its buffer  ..|hello..|...  |at start, `offset` of the next one less ...
 *
 * A part ends where the next one begins, the last one at the capacity. So a
 * part has no length, and to shrink is to have a smaller capacity.
 *
 * Invariants
 *	part[0].offset = 0; part[i].offset <= part[i + 1].offset <= capacity
 *	each part holds one reference to its buffer
 *
 * Owner: as the buffer; but `last`, which functions on const buffers write, is
 * atomic.
 *
 * Source: Netty 4.1.48, CompositeByteBuf.
 */
#include "buf.h"

#include <errno.h>
#include <string.h>

#define FIRST_ROOM 8 /* parts for which there is room at first */

struct part {
	npool_buf_t *buf;
	uint32_t start;	 /* of its bytes in buf */
	uint32_t offset; /* in the composite buffer */
};

struct np_parts {
	size_t n, room, max;
	_Atomic size_t last; /* looked at last; a hint, so relaxed */
	struct part part[];
};

/* --- finding ---------------------------------------------------------- */

static size_t end_of(const npool_buf_t *b, size_t i)
{
	const struct np_parts *p = b->parts;

	return i + 1 < p->n ? p->part[i + 1].offset : b->capacity;
}

static bool is_in(const npool_buf_t *b, size_t i, size_t index)
{
	return b->parts->part[i].offset <= index && index < end_of(b, i);
}

/* The part that has this byte; index is below the capacity. */
static size_t find(const npool_buf_t *b, size_t index)
{
	struct np_parts *p = b->parts;
	size_t low = atomic_load_explicit(&p->last, memory_order_relaxed);
	size_t high = p->n;

	if (low < p->n && is_in(b, low, index))
		return low;
	low = 0;
	while (high - low > 1) { /* the last that begins at index or before */
		size_t middle = low + (high - low) / 2;

		if (p->part[middle].offset <= index)
			low = middle;
		else
			high = middle;
	}
	atomic_store_explicit(&p->last, low, memory_order_relaxed);
	return low;
}

bool np_parts_have(const npool_buf_t *b, size_t index, size_t n)
{
	if (index > b->capacity || n > b->capacity - index)
		return false;
	for (size_t i = n ? find(b, index) : 0; n; i++) {
		const struct part *p = &b->parts->part[i];
		size_t some = end_of(b, i) - index;

		some = some < n ? some : n;
		if (!np_buf_has(p->buf, p->start + index - p->offset, some))
			return false;
		index += some, n -= some;
	}
	return true;
}

uint8_t *np_parts_span(const npool_buf_t *b, size_t index, size_t *n)
{
	size_t i = find(b, index), here = end_of(b, i) - index;
	const struct part *p = &b->parts->part[i];

	if (*n > here)
		*n = here;
	return np_buf_span(p->buf, p->start + index - p->offset, n);
}

/* --- changing --------------------------------------------------------- */

/* Room for one part more. */
static int make_room(npool_buf_t *b)
{
	struct np_parts *p = b->parts;
	size_t room = p->room * 2, size;

	if (p->n < p->room)
		return 0;
	if (__builtin_mul_overflow(room, sizeof *p->part, &size) ||
	    __builtin_add_overflow(size, sizeof *p, &size) ||
	    !(p = npool_realloc(p, size)))
		return ENOMEM;
	p->room = room;
	b->parts = p;
	return 0;
}

/* Puts in a part of size bytes; there is room, and it is not too large. */
static void insert(npool_buf_t *b, size_t at, npool_buf_t *buf, uint32_t start,
		   uint32_t size)
{
	struct np_parts *p = b->parts;
	uint32_t offset = at < p->n ? p->part[at].offset : b->capacity;

	memmove(&p->part[at + 1], &p->part[at],
		(p->n - at) * sizeof *p->part);
	p->part[at] = (struct part){ buf, start, offset };
	p->n++;
	b->capacity += size;
	for (size_t i = at + 1; i < p->n; i++)
		p->part[i].offset += size;
}

/* Takes n parts out, and releases them. */
static void take_out(npool_buf_t *b, size_t first, size_t n)
{
	struct np_parts *p = b->parts;
	uint32_t size;

	if (!n)
		return;
	size = (uint32_t)end_of(b, first + n - 1) - p->part[first].offset;
	for (size_t i = first; i < first + n; i++)
		npool_buf_release(p->part[i].buf);
	p->n -= n;
	memmove(&p->part[first], &p->part[first + n],
		(p->n - first) * sizeof *p->part);
	b->capacity -= size;
	for (size_t i = first; i < p->n; i++)
		p->part[i].offset -= size;
}

/* Adds `size` bytes of nobody's at the end. */
static int pad(npool_buf_t *b, size_t size)
{
	npool_buf_t *padding = npool_buf_new(b->pool, size, size);
	int error = padding ? make_room(b) : errno;

	if (!error)
		insert(b, b->parts->n, padding, 0, (uint32_t)size);
	else if (padding)
		npool_buf_release(padding);
	return error;
}

int np_parts_resize(npool_buf_t *b, size_t capacity)
{
	struct np_parts *p = b->parts;
	size_t n = p->n;

	if (capacity > b->capacity)
		return pad(b, capacity - b->capacity);
	while (n && p->part[n - 1].offset >= capacity)
		n--;
	take_out(b, n, p->n - n);
	b->capacity = (uint32_t)capacity;
	return 0;
}

void np_parts_discard(npool_buf_t *b, size_t n)
{
	struct np_parts *p = b->parts;
	uint32_t gone = b->capacity;
	size_t whole = 0, rest;

	while (whole < p->n && end_of(b, whole) <= n)
		whole++;
	take_out(b, 0, whole);
	gone -= b->capacity;
	rest = n - gone;
	if (!rest)
		return;
	p->part[0].start += (uint32_t)rest;
	for (size_t i = 1; i < p->n; i++)
		p->part[i].offset -= (uint32_t)rest;
	b->capacity -= (uint32_t)rest;
}

void np_parts_free(npool_buf_t *b)
{
	for (size_t i = 0; i < b->parts->n; i++)
		npool_buf_release(b->parts->part[i].buf);
	npool_free(b->parts);
}

/* --- npool_buf.h ------------------------------------------------------ */

npool_buf_t *npool_buf_composite(npool_t *pool, size_t max_parts)
{
	struct np_parts *p;
	npool_buf_t *b;

	if (!max_parts)
		return errno = EINVAL, NULL;
	b = np_buf_take_header(NP_BUF_COMPOSITE, 0, NPOOL_BUF_MAX);
	if (!b)
		return NULL;
	p = npool_malloc(sizeof *p + FIRST_ROOM * sizeof *p->part);
	if (!p) {
		np_buf_put_header(b);
		return errno = ENOMEM, NULL;
	}
	p->n = 0;
	p->room = FIRST_ROOM;
	p->max = max_parts;
	atomic_init(&p->last, 0);
	b->pool = pool;
	b->parts = p;
	return b;
}

/* Why not so; 0: it may be. */
static int refuse(const npool_buf_t *b, size_t at, const npool_buf_t *part)
{
	if (b->kind != NP_BUF_COMPOSITE || np_buf_root(part) == b)
		return EINVAL;
	if (at > b->parts->n ||
	    npool_buf_readable(part) > b->max - b->capacity ||
	    !np_buf_has(part, part->reader, npool_buf_readable(part)))
		return ERANGE;
	return 0;
}

/* Too many parts become one, if there is memory for it; if not, it works with
 * many as well. */
static void keep_few(npool_buf_t *b)
{
	if (b->parts->n > b->parts->max)
		(void)npool_buf_consolidate(b, 0, b->parts->n);
}

int npool_buf_add_part(npool_buf_t *buf, size_t at, npool_buf_t *part,
		       int advance)
{
	size_t size;
	int error;

	NP_BUF_CHECK(buf);
	NP_BUF_CHECK(part);
	error = refuse(buf, at, part);
	if (!error)
		error = make_room(buf);
	if (error) {
		npool_buf_release(part);
		return error;
	}
	size = npool_buf_readable(part);
	insert(buf, at, part, part->reader, (uint32_t)size);
	if (advance)
		buf->writer += (uint32_t)size;
	keep_few(buf);
	return 0;
}

/* Adds what lies in part i between two indices. */
static int add_range(npool_buf_t *b, const npool_buf_t *from, size_t i,
		     size_t low, size_t high)
{
	const struct part *p = &from->parts->part[i];
	size_t begin = p->offset < low ? low : p->offset;
	size_t end = end_of(from, i) < high ? end_of(from, i) : high;
	npool_buf_t *slice;

	if (begin >= end)
		return 0;
	slice = npool_buf_retained_slice(p->buf, p->start + begin - p->offset,
					 end - begin);
	return slice ? npool_buf_add_part(b, b->parts->n, slice, 0) : errno;
}

static int add_each(npool_buf_t *b, const npool_buf_t *from)
{
	size_t n = b->parts->n, size = b->capacity, max = b->parts->max;
	int error = 0;

	b->parts->max = SIZE_MAX; /* until all are there */
	for (size_t i = 0; !error && i < from->parts->n; i++)
		error = add_range(b, from, i, from->reader, from->writer);
	b->parts->max = max;
	if (error) /* what was added goes again */
		take_out(b, n, b->parts->n - n);
	np_assert(!error || b->capacity == size);
	(void)size;
	keep_few(b);
	return error;
}

int npool_buf_add_flattened(npool_buf_t *buf, npool_buf_t *from, int advance)
{
	size_t size = npool_buf_readable(from);
	int error;

	NP_BUF_CHECK(buf);
	NP_BUF_CHECK(from);
	if (from->kind != NP_BUF_COMPOSITE || buf->kind != NP_BUF_COMPOSITE)
		return npool_buf_add_part(buf, npool_buf_nparts(buf), from,
					  advance);
	error = refuse(buf, buf->parts->n, from);
	if (!error)
		error = add_each(buf, from);
	if (!error && advance)
		buf->writer += (uint32_t)size;
	npool_buf_release(from);
	return error;
}

/* Are there n parts from `first` on? Returns 0, EINVAL or ERANGE. */
static int check_parts(const npool_buf_t *b, size_t first, size_t n)
{
	if (b->kind != NP_BUF_COMPOSITE)
		return EINVAL;
	return first > b->parts->n || n > b->parts->n - first ? ERANGE : 0;
}

int npool_buf_remove_parts(npool_buf_t *buf, size_t first, size_t n)
{
	int error;

	NP_BUF_CHECK(buf);
	error = check_parts(buf, first, n);
	if (error)
		return error;
	take_out(buf, first, n);
	np_buf_clip(buf);
	return 0;
}

int npool_buf_consolidate(npool_buf_t *buf, size_t first, size_t n)
{
	size_t begin, size;
	npool_buf_t *one;
	int error;

	NP_BUF_CHECK(buf);
	error = check_parts(buf, first, n);
	if (error || n < 2)
		return error;
	begin = buf->parts->part[first].offset;
	size = end_of(buf, first + n - 1) - begin;
	one = npool_buf_copy(buf, begin, size);
	if (!one)
		return errno;
	take_out(buf, first, n); /* so there is room for one */
	insert(buf, first, one, 0, (uint32_t)size);
	return 0;
}

size_t npool_buf_nparts(const npool_buf_t *buf)
{
	NP_BUF_CHECK(buf);
	return buf->kind == NP_BUF_COMPOSITE ? buf->parts->n : 0;
}

npool_buf_t *npool_buf_part(const npool_buf_t *buf, size_t i)
{
	if (i >= npool_buf_nparts(buf))
		return errno = ERANGE, NULL;
	return buf->parts->part[i].buf;
}

ptrdiff_t npool_buf_find_part(const npool_buf_t *buf, size_t index)
{
	NP_BUF_CHECK(buf);
	if (buf->kind != NP_BUF_COMPOSITE || index >= buf->capacity)
		return errno = ERANGE, -1;
	return (ptrdiff_t)find(buf, index);
}
