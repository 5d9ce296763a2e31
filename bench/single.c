/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * Rows in which each thread works for itself: pair, batch, calloc, realloc.
 */
#include "harness.h"

#include <stdio.h>
#include <string.h>

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)

#define LAP 64		       /* pairs between two questions to the meter */
#define BATCH_PIECES 1000u
#define BATCH_BYTES (256 * MIB) /* a batch of large pieces ends here */

static const size_t all_sizes[] = {
	16, 64, 256, KIB, 4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB,
	MIB, 4 * MIB,
};

#define N(array) (sizeof(array) / sizeof *(array))

/* Those that a quick run looks at: small, a page, a buffer, a large one. */
static bool is_quick(size_t size)
{
	return size == 64 || size == 4 * KIB || size == 64 * KIB || size == MIB;
}

/* A request that comes and goes: the reply of a web server, the frame of a
 * protocol parser, the temporary of a C++ program. The piece is hot. */
static void pair(const struct row *row, struct meter *m)
{
	size_t size = row->size;

	while (meter_lap(m, LAP))
		for (unsigned i = 0; i < LAP; i++) {
			void *p = face.alloc(size);

			touch(p);
			face.release(p);
		}
}

static void pair_threads(const struct row *row, struct meter *m)
{
	meter_threads(m, row->threads, row, pair);
}

static void *pieces[BATCH_PIECES];
static unsigned order[BATCH_PIECES];

static void make_order(enum order how, unsigned n)
{
	uint64_t state = SEED;

	for (unsigned i = 0; i < n; i++)
		order[i] = how == REVERSE ? n - 1 - i : i;
	for (unsigned i = n - 1; how == RANDOM && i > 0; i--) {
		unsigned j = chance_below(&state, i + 1), held = order[i];

		order[i] = order[j];
		order[j] = held;
	}
}

/* A job that builds something and drops it: a compiler's function, a query's
 * rows, a page of a browser, a burst of packets in a queue. Freed in the order
 * of a queue, of a stack, or of a hash table. */
static void batch(const struct row *row, struct meter *m)
{
	unsigned n = row->count;

	make_order(row->order, n);
	while (meter_lap(m, n)) {
		for (unsigned i = 0; i < n; i++) {
			pieces[i] = face.alloc(row->size);
			touch(pieces[i]);
		}
		for (unsigned i = 0; i < n; i++)
			face.release(pieces[order[i]]);
	}
}

/* A zeroed buffer that comes and goes: a hash table's first buckets, a request
 * object, the scratch space of a codec. */
static void zero_pair(const struct row *row, struct meter *m)
{
	size_t size = row->size;

	while (meter_lap(m, LAP))
		for (unsigned i = 0; i < LAP; i++) {
			void *p = face.zalloc(1, size);

			touch(p);
			face.release(p);
		}
}

/* Tables that a server makes as it starts and keeps: the kernel has zeroed
 * these pages, and to zero them again would also make them resident. */
static void zero_fresh(const struct row *row, struct meter *m)
{
	meter_start(m);
	for (unsigned i = 0; i < row->count; i++) {
		pieces[i] = face.zalloc(1, row->size);
		touch(pieces[i]);
	}
	meter_stop(m, row->count);
	for (unsigned i = 0; i < row->count; i++)
		face.release(pieces[i]);
}

/* A buffer that grows by half whenever it is full, and is filled: a string
 * builder, a vector, the body of an upload. Huge ones can grow by mremap,
 * without a copy. */
static void grow(const struct row *row, struct meter *m)
{
	uint64_t steps = 0;

	while (meter_lap(m, steps)) {
		size_t size = row->size, filled = 0;
		char *p = face.alloc(size);

		for (steps = 1; size <= row->largest; steps++) {
			memset(p + filled, 1, size - filled);
			filled = size;
			size += size / 2;
			p = face.resize(p, size);
		}
		face.release(p);
	}
}

static void add_pairs(void)
{
	char text[8];

	for (unsigned threads = 1; threads <= 2; threads++)
		for (size_t i = 0; i < N(all_sizes); i++) {
			struct row *r = row_add("pair", pair_threads);

			r->size = all_sizes[i];
			r->threads = threads;
			r->quick = is_quick(r->size);
			snprintf(r->name, sizeof r->name, "pair %s%s",
				 size_text(text, r->size),
				 threads == 2 ? " x2" : "");
		}
}

static void add_batches(void)
{
	static const char *const orders[] = { "same", "reverse", "random" };
	char text[8];

	for (enum order o = SAME; o <= RANDOM; o++)
		for (size_t i = 0; i < N(all_sizes); i++) {
			struct row *r = row_add("batch", batch);
			size_t n = BATCH_BYTES / all_sizes[i];

			r->size = all_sizes[i];
			r->count = n < BATCH_PIECES ? (unsigned)n
						    : BATCH_PIECES;
			r->order = o;
			r->quick = o == RANDOM && is_quick(r->size);
			snprintf(r->name, sizeof r->name, "batch %s %s",
				 size_text(text, r->size), orders[o]);
		}
}

static void add_zero(size_t size, unsigned fresh, bool quick)
{
	struct row *r = row_add("calloc", fresh ? zero_fresh : zero_pair);
	char text[8];

	r->size = size;
	r->count = fresh;
	r->once = fresh > 0;
	r->quick = quick;
	r->unit = fresh ? "call" : "pair";
	snprintf(r->name, sizeof r->name, "calloc %s%s", size_text(text, size),
		 fresh ? " fresh" : "");
}

static void add_grow(size_t smallest, size_t largest, bool quick)
{
	struct row *r = row_add("realloc", grow);
	char from[8], to[8];

	r->size = smallest;
	r->largest = largest;
	r->quick = quick;
	r->unit = "call";
	snprintf(r->name, sizeof r->name, "realloc %s..%s",
		 size_text(from, smallest), size_text(to, largest));
}

void rows_single(void)
{
	add_pairs();
	add_batches();
	add_zero(64, 0, true);
	add_zero(4 * KIB, 0, false);
	add_zero(64 * KIB, 0, false);
	add_zero(MIB, 0, true);
	add_zero(64 * KIB, 1000, true);
	add_zero(MIB, 256, true);
	add_grow(16, 64 * KIB, true);
	add_grow(MIB, 64 * MIB, true);
}
