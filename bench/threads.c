/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * Rows that are about threads: handoff, threads and first.
 */
#include "harness.h"

#include <pthread.h>
#include <sched.h> /* sched_yield */
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define KIB ((size_t)1 << 10)

#define LAP 64

/* ---- handoff ---- */

#define RING 1024u	  /* pieces on their way; a power of two */
#define SPINS 200u	  /* looks at the ring before the CPU is given away */
#define LINE 64

/* One writer, one reader. Each reads the other's index only when what it
 * knows of it does not suffice. */
static struct {
	_Alignas(LINE) _Atomic size_t head; /* written by the producer */
	size_t known_tail;		    /* producer only */
	_Alignas(LINE) _Atomic size_t tail; /* written by the consumer */
	size_t known_head;		    /* consumer only */
	_Alignas(LINE) void *piece[RING];
} ring;

static void wait_a_little(unsigned *spins)
{
	if (++*spins < SPINS) {
		__builtin_ia32_pause();
		return;
	}
	*spins = 0;
	sched_yield();
}

static void ring_put(void *p)
{
	size_t head = atomic_load_explicit(&ring.head, memory_order_relaxed);
	unsigned spins = 0;

	while (head - ring.known_tail == RING) {
		ring.known_tail = atomic_load_explicit(&ring.tail,
						       memory_order_acquire);
		if (head - ring.known_tail == RING)
			wait_a_little(&spins);
	}
	ring.piece[head % RING] = p;
	atomic_store_explicit(&ring.head, head + 1, memory_order_release);
}

static void *ring_get(void)
{
	size_t tail = atomic_load_explicit(&ring.tail, memory_order_relaxed);
	unsigned spins = 0;
	void *p;

	while (ring.known_head == tail) {
		ring.known_head = atomic_load_explicit(&ring.head,
						       memory_order_acquire);
		if (ring.known_head == tail)
			wait_a_little(&spins);
	}
	p = ring.piece[tail % RING];
	atomic_store_explicit(&ring.tail, tail + 1, memory_order_release);
	return p;
}

static void *consume(void *arg)
{
	void *p;

	(void)arg;
	while ((p = ring_get())) {
		touch(p);
		face.release(p);
	}
	return NULL;
}

/* A thread that reads requests and another that answers and frees them: a
 * pipeline, a logger, a message broker. */
static void handoff(const struct row *row, struct meter *m)
{
	pthread_t consumer;

	m->cpu_share = 0.5; /* two threads work on one pair */
	if (pthread_create(&consumer, NULL, consume, NULL))
		fail("pthread_create", row->name);
	while (meter_lap(m, LAP))
		for (unsigned i = 0; i < LAP; i++) {
			void *p = face.alloc(row->size);

			touch(p);
			ring_put(p);
		}
	ring_put(NULL);
	pthread_join(consumer, NULL);
}

/* ---- threads ---- */

#define LIFE_PIECES 32u /* of a thread that is soon gone */
#define FIRST_SIZE 64u
#define MANY_SLOTS 200u /* of one of many threads */

static void *short_life(void *arg)
{
	void *piece[LIFE_PIECES];
	uint64_t state = (uintptr_t)arg + SEED;

	for (unsigned i = 0; i < LIFE_PIECES; i++) {
		piece[i] = face.alloc(sizes[chance(&state) % NSIZES]);
		touch(piece[i]);
	}
	for (unsigned i = 0; i < LIFE_PIECES; i++)
		face.release(piece[i]);
	return NULL;
}

/* A server with a thread for each connection: to come and to go has to be
 * cheap, and nothing may stay behind. Counted in threads. */
static void short_threads(const struct row *row, struct meter *m)
{
	pthread_t thread;

	sizes_log(row->size, row->largest);
	meter_start(m);
	for (uintptr_t i = 0; i < row->count; i++) {
		if (pthread_create(&thread, NULL, short_life, (void *)i))
			fail("pthread_create", row->name);
		pthread_join(thread, NULL);
	}
	meter_stop(m, row->count);
}

static void *first_piece(void *arg)
{
	struct meter *sum = arg, mine;
	void *p;

	meter_init(&mine, CLOCK_THREAD_CPUTIME_ID, 0);
	meter_start(&mine);
	p = face.alloc(FIRST_SIZE);
	meter_stop(&mine, 1);
	touch(p);
	face.release(p);
	sum->pairs++;
	sum->cpu_ns += mine.cpu_ns;
	sum->wall_ns += mine.wall_ns;
	return NULL;
}

/* What a thread waits for its first piece, while the allocator gets to know
 * it: one after another, as a server starts them again and again. */
static void first_pieces(const struct row *row, struct meter *m)
{
	pthread_t thread;

	for (unsigned i = 0; i < row->count; i++) {
		if (pthread_create(&thread, NULL, first_piece, m))
			fail("pthread_create", row->name);
		pthread_join(thread, NULL);
	}
}

static void one_of_many(const struct row *row, struct meter *m)
{
	void *mine[MANY_SLOTS] = { NULL };
	uint64_t state = (uintptr_t)&mine | 1;

	(void)row;
	while (meter_lap(m, LAP))
		for (unsigned i = 0; i < LAP; i++) {
			void **slot = &mine[chance_below(&state, MANY_SLOTS)];

			face.release(*slot);
			*slot = face.alloc(sizes[chance(&state) % NSIZES]);
			touch(*slot);
		}
	for (unsigned i = 0; i < MANY_SLOTS; i++)
		face.release(mine[i]);
}

/* A pool of workers that is larger than the machine: a JVM, a database with a
 * thread for each client. */
static void many_threads(const struct row *row, struct meter *m)
{
	sizes_log(row->size, row->largest);
	meter_threads(m, row->threads, row, one_of_many);
}

/* ---- rows ---- */

void rows_threads(void)
{
	static const size_t handed[] = { 256, 4 * KIB, 32 * KIB };
	struct row *r;
	char text[8];

	for (size_t i = 0; i < sizeof handed / sizeof *handed; i++) {
		r = row_add("handoff", handoff);
		r->size = handed[i];
		r->threads = 2;
		r->quick = true;
		snprintf(r->name, sizeof r->name, "handoff %s",
			 size_text(text, r->size));
	}
	r = row_add("threads", short_threads);
	r->unit = "thread";
	r->size = 16;
	r->largest = 4 * KIB;
	r->count = 1000;
	r->once = r->quick = true;
	strcpy(r->name, "threads 1000");
	r = row_add("first", first_pieces);
	r->unit = "thread";
	r->count = 1000;
	r->once = r->quick = true;
	strcpy(r->name, "first");
	r = row_add("threads", many_threads);
	r->size = 16;
	r->largest = 4 * KIB;
	r->threads = 64;
	r->quick = true;
	strcpy(r->name, "threads 64");
}
