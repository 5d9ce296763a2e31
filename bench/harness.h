/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * harness.h: one sample of one row of the bench, in a process of its own.
 *
 *	harness [OPTION...] ROW
 *
 * does what the row says on the malloc that the process was given (by
 * LD_PRELOAD), on npool.h, or on no allocator at all, and prints what a pair
 * took and how much memory the process had at most. bench/bench starts it for
 * each contestant in turn; comparing is done there.
 *
 *	row	kind, size, threads, ...: one line of the bench's table
 *	kind	a function that does the work of its rows, and says which real
 *		program it stands for
 *	face	the calls of the contestant, through pointers: the same price
 *		for everyone
 *	meter	counts pairs and time, and says when it is enough
 *
 * The harness itself never allocates while a meter runs, and before it only
 * what the C library does for a thread.
 */
#ifndef BENCH_HARNESS_H
#define BENCH_HARNESS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h> /* clockid_t */

/* ---- The contestant ---- */

struct face {
	void *(*alloc)(size_t size);
	void *(*zalloc)(size_t n, size_t size);
	void *(*resize)(void *p, size_t size);
	void (*release)(void *p);
};

extern struct face face;

/* Buffers that are counted: npool_buf.h's, or plain ones on the face. */
struct buf_face {
	void *(*make)(void *pool, size_t initial, size_t max);
	void *(*retain)(void *buf);
	int (*release)(void *buf);
};

extern struct buf_face bufs;

/* Writes where a program would: a page that was never touched costs nobody
 * anything. Atomic, as a plain store is: of the null allocator a piece that was
 * handed to another thread is the next one, too. */
static inline void touch(void *p)
{
	atomic_store_explicit((volatile _Atomic char *)p, 1,
			      memory_order_relaxed);
}

/* ---- The rows ---- */

enum order { SAME, REVERSE, RANDOM };

struct meter;
struct row;
typedef void work_fn(const struct row *row, struct meter *m);

struct row {
	char name[40];
	const char *kind;
	const char *unit; /* what is counted: a pair if nothing is said */
	work_fn *work;
	size_t size;	  /* bytes; of mix and larson the smallest */
	size_t largest;	  /* bytes; of mix and larson */
	unsigned threads; /* that run at once */
	unsigned count;	  /* pieces, slots or threads in all */
	enum order order; /* in which a batch is freed */
	bool quick;	  /* is run by --quick too */
	bool pages;	  /* touch every page, for the memory that it takes */
	bool once;	  /* a fixed amount of work: no second lap */
};

/* Where the rows are made: each adds those of its file. */
struct row *row_add(const char *kind, work_fn *work);
void rows_single(void);
void rows_buf(void);
void rows_mix(void);
void rows_threads(void);

/* Writes "64", "4K", "16M" into text, which holds 8 bytes. Returns text. */
char *size_text(char *text, size_t size);

/* ---- Time ---- */

struct meter {
	double budget_ns; /* CPU time to measure; a quarter of it before */
	clockid_t clock;  /* of the thread, or of the process */
	double cpu_share; /* what one of cpu_ns is worth, so that cpu and wall
			     are the same on an idle machine */
	double wall_share;
	double cpu_start, wall_start; /* of this part */
	uint64_t stride;  /* pairs between two looks at the clock */
	uint64_t next;	  /* pairs at the next look */
	uint64_t pairs;
	double cpu_ns, wall_ns;
	bool warm;
};

/* A meter for the calling thread, or for all threads of the process. */
void meter_init(struct meter *m, clockid_t clock, double budget_ns);

/* Between laps: n more pairs are done. Starts the time at its first call.
 * Returns: whether there is to be another lap. */
bool meter_lap(struct meter *m, uint64_t n);

/* Around an amount of work that is done once. */
void meter_start(struct meter *m);
void meter_stop(struct meter *m, uint64_t n);

/* Runs work on n threads, which start together, each with a meter of its own;
 * *m is their sum. */
void meter_threads(struct meter *m, unsigned n, const struct row *row,
		   work_fn *work);

/* ---- Chance, the same in each run ---- */

static inline uint32_t chance(uint64_t *state)
{
	uint64_t x = *state;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	*state = x;
	return (uint32_t)(x >> 32);
}

/* A number below n; n is at most 2^32. */
static inline uint32_t chance_below(uint64_t *state, uint64_t n)
{
	return (uint32_t)(chance(state) * n >> 32);
}

#define SEED 0x9e3779b97f4a7c15u

/* Sizes, drawn in advance. */
#define NSIZES 65536u
extern uint32_t sizes[NSIZES];

/* Log-uniform: each doubling is as likely as any other. */
void sizes_log(size_t smallest, size_t largest);
void sizes_even(size_t smallest, size_t largest);

/* By frequency, from a file of lines "size<TAB>count". */
void sizes_file(const char *path);
extern const char *sizes_path;

_Noreturn void fail(const char *what, const char *which);

/* ---- Other programs (command.c) ---- */

/* Runs argv with preload before it (NULL: none), and prints its CPU time and
 * peak memory and that of its children. Returns the exit status for main. */
int command_run(char **argv, const char *preload);

#endif
