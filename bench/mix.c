/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * Rows in which many pieces of many sizes live at once: mix, larson, and what
 * memory they take.
 */
#include "harness.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)

#define PAGE 4096u /* of the kernel, to be touched */
#define LAP 64
#define SLOTS 10000u
#define LARGE_SLOTS 500u /* of 64 KiB .. 1 MiB: else it would be gigabytes */
#define WARM 20u /* replacements of each slot until all is as it stays */

static void *slots[2 * SLOTS];

/* Puts a new piece into one of the n slots; once more for each of steps. */
static void replace(void **mine, unsigned n, uint64_t *state, unsigned steps)
{
	while (steps-- > 0) {
		void **slot = &mine[chance_below(state, n)];

		face.release(*slot);
		*slot = face.alloc(sizes[chance(state) % NSIZES]);
		touch(*slot);
	}
}

/* The same, and every page of the piece is written to. */
static void replace_pages(void **mine, unsigned n, uint64_t *state,
			  unsigned steps)
{
	while (steps-- > 0) {
		void **slot = &mine[chance_below(state, n)];
		size_t size = sizes[chance(state) % NSIZES];

		face.release(*slot);
		*slot = face.alloc(size);
		for (size_t at = 0; at < size; at += PAGE)
			touch((char *)*slot + at);
		touch((char *)*slot + size - 1);
	}
}

static void draw_sizes(const struct row *row)
{
	if (row->largest == 0)
		sizes_file(sizes_path);
	else
		sizes_log(row->size, row->largest);
}

static void empty(void **mine, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		face.release(mine[i]);
		mine[i] = NULL;
	}
}

/* A server in its steady state: sessions, cached objects, strings and buffers
 * that end in no order. By the sizes of a web socket proxy: the messages that
 * Netty's own allocator benchmark was given. */
static void mix(const struct row *row, struct meter *m)
{
	uint64_t state = SEED;

	draw_sizes(row);
	replace(slots, row->count, &state, WARM * row->count);
	while (meter_lap(m, LAP))
		replace(slots, row->count, &state, LAP);
	empty(slots, row->count);
}

/* The same work, so much of it and no more, and the program uses all that it
 * asks for: for the peak of memory. */
static void mix_pages(const struct row *row, struct meter *m)
{
	uint64_t state = SEED;
	unsigned steps = WARM * row->count;

	draw_sizes(row);
	meter_start(m);
	replace_pages(slots, row->count, &state, steps);
	meter_stop(m, steps);
	empty(slots, row->count);
}

/* ---- larson ---- */

#define LARSON_SLOTS 5000u
#define LARSON_THREADS 2u
#define LARSON_STEPS 20000u /* of one thread's life */

struct larson {
	void **slots;
	uint64_t state;
};

static void *larson_life(void *arg)
{
	struct larson *l = arg;

	replace(l->slots, LARSON_SLOTS, &l->state, LARSON_STEPS);
	return NULL;
}

/* One generation: two threads at once, on the slots of those before them. */
static void larson_threads(struct larson *l)
{
	pthread_t threads[LARSON_THREADS];

	for (unsigned t = 0; t < LARSON_THREADS; t++)
		if (pthread_create(&threads[t], NULL, larson_life, &l[t]))
			fail("pthread_create", "larson");
	for (unsigned t = 0; t < LARSON_THREADS; t++)
		pthread_join(threads[t], NULL);
}

/* Larson and Krishnan's server ("Memory allocation for long-running server
 * applications", 1998): connections outlive the thread that took them, and the
 * next thread frees what the last one allocated. */
static void larson(const struct row *row, struct meter *m)
{
	struct larson l[LARSON_THREADS];

	sizes_even(row->size, row->largest);
	for (unsigned t = 0; t < LARSON_THREADS; t++) {
		l[t].slots = slots + t * LARSON_SLOTS;
		l[t].state = SEED + t;
	}
	m->wall_share = LARSON_THREADS;
	while (meter_lap(m, LARSON_THREADS * LARSON_STEPS)) {
		void **first = l[0].slots;

		larson_threads(l);
		l[0].slots = l[1].slots;
		l[1].slots = first;
	}
	empty(slots, LARSON_THREADS * LARSON_SLOTS);
}

/* ---- rows ---- */

static const struct {
	const char *name;
	size_t smallest, largest; /* 0: by the file of sizes */
	unsigned count;
	bool quick;
} mixes[] = {
	{ "16..512", 16, 512, SLOTS, true },
	{ "16..4K", 16, 4 * KIB, SLOTS, true },
	{ "1K..64K", KIB, 64 * KIB, SLOTS, true },
	{ "64K..1M", 64 * KIB, MIB, LARGE_SLOTS, true },
	{ "websocket", 0, 0, SLOTS, true },
};

static void add_mixes(bool pages)
{
	for (size_t i = 0; i < sizeof mixes / sizeof *mixes; i++) {
		struct row *r = row_add(pages ? "memory" : "mix",
					pages ? mix_pages : mix);

		r->size = mixes[i].smallest;
		r->largest = mixes[i].largest;
		r->count = mixes[i].count;
		r->quick = mixes[i].quick;
		r->pages = r->once = pages;
		snprintf(r->name, sizeof r->name, "%s %s",
			 pages ? "memory mix" : "mix", mixes[i].name);
	}
}

void rows_mix(void)
{
	struct row *r;

	add_mixes(false);
	r = row_add("larson", larson);
	r->size = 10;
	r->largest = 500;
	r->threads = LARSON_THREADS;
	r->quick = true;
	strcpy(r->name, "larson");
	add_mixes(true);
}
