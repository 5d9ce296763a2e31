/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * Rows of buffers that are counted: buf, retain. Of npool.h they are
 * npool_buf.h's; of a malloc they are what a server in C writes for itself, a
 * header with a count and bytes, and no more: no indices that are checked, no
 * growth, no views. What the header costs is a row beside the pair of its size.
 */
#include "harness.h"

#include <stdio.h>

#define LAP 64 /* pairs between two questions to the meter */

/* What a server has that writes it for itself. */
struct plain {
	_Atomic unsigned refs;
	unsigned reader, writer, capacity;
	char *bytes;
};

static void *plain_new(void *pool, size_t initial, size_t max)
{
	struct plain *b = face.alloc(sizeof *b);

	(void)pool, (void)max;
	atomic_store_explicit(&b->refs, 1, memory_order_relaxed);
	b->reader = b->writer = 0;
	b->capacity = (unsigned)initial;
	b->bytes = face.alloc(initial);
	return b;
}

static void *plain_retain(void *buf)
{
	struct plain *b = buf;

	atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
	return b;
}

/* As one that finds a release too many: it compares before it changes. */
static int plain_release(void *buf)
{
	struct plain *b = buf;
	unsigned refs = atomic_load_explicit(&b->refs, memory_order_relaxed);

	while (!atomic_compare_exchange_weak_explicit(
		&b->refs, &refs, refs - 1, memory_order_acq_rel,
		memory_order_relaxed))
		;
	if (refs > 1)
		return 0;
	face.release(b->bytes);
	face.release(b);
	return 1;
}

struct buf_face bufs = { plain_new, plain_retain, plain_release };

/* A message that comes, is looked at and goes. */
static void life(const struct row *row, struct meter *m)
{
	size_t size = row->size;

	while (meter_lap(m, LAP))
		for (unsigned i = 0; i < LAP; i++)
			bufs.release(bufs.make(NULL, size, size));
}

/* One that is handed on to somebody who lets go of it: of a plain buffer an
 * addition, and a compare and swap. */
static void hand_on(const struct row *row, struct meter *m)
{
	void *b = bufs.make(NULL, row->size, row->size);

	while (meter_lap(m, LAP))
		for (unsigned i = 0; i < LAP; i++) {
			bufs.retain(b);
			bufs.release(b);
		}
	bufs.release(b);
}

static void add(work_fn *work, const char *unit, const char *name, size_t size,
		bool quick)
{
	struct row *r = row_add("buf", work);

	r->size = size;
	r->unit = unit;
	r->quick = quick;
	snprintf(r->name, sizeof r->name, "buf %s", name);
}

void rows_buf(void)
{
	add(life, "life", "64", 64, false);
	add(life, "life", "256", 256, true);
	add(life, "life", "4K", 4 << 10, false);
	add(life, "life", "64K", 64 << 10, false);
	add(hand_on, "pair", "retain", 256, true);
}
