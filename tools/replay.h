/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * replay: runs a text trace through one arena and says what it decides.
 *
 * The arena is the library's own, with the policies that Netty does not have
 * switched off by name, so that what is compared with the real Netty is what
 * runs in production. What is added is only what stands above an arena in
 * Netty: buffers with a capacity, in place or moved; the grammar of traces
 * (npool-trace(1)); and the numbers by which chunks are called.
 *
 *	replay_open
 *	replay_read    a line is an operation that can be done
 *	replay_take    its first half: memory is taken
 *	replay_give    its second half: memory is given back
 *	replay_print   its line of output
 *	replay_close
 *
 * Between two of these nothing changes: explain.c looks at the arena before
 * and after each half.
 */
#ifndef NPOOL_REPLAY_H
#define NPOOL_REPLAY_H

#include "arena.h"
#include "buffers.h"
#include "huge.h"
#include "trace-read.h"

#include <stdio.h>

/* What npool-trace exits with, and beyond. */
enum {
	REPLAY_OK = 0,
	REPLAY_FAILED = 1,
	REPLAY_MALFORMED = 2,
	REPLAY_END = 3, /* of the trace */
};

struct replay_options {
	unsigned page_shift, max_order;
	bool quiet; /* nothing is printed but what is wrong */
};

struct replay {
	struct trace trace;
	struct np_classes classes;
	struct np_owner owner;
	struct np_arena *arena;
	struct np_huge huge;
	struct buffers buffers;
	uint64_t nseen;	    /* chunks, huge ones too */
	uint64_t huge_allocs, huge_frees, huge_bytes;
	bool has_cache;	    /* somebody has allocated */
};

/* One line. */
struct replay_op {
	char kind;	  /* a, c, f, t, l or s */
	bool takes, gives; /* memory; both if a buffer moves */
	char *id;	  /* good until the next line is read */
	uint32_t size, limit; /* of a; size of c */
	uint32_t number;  /* the buffer's */
	struct buffer old; /* what is given back */
};

/* Begins to replay what fd holds; name: in messages. Returns an exit code.
 * To be closed in any case. */
int replay_open(struct replay *r, int fd, const char *name,
		const struct replay_options *options);

/* Reads a line. Returns REPLAY_END behind the last one. */
int replay_read(struct replay *r, struct replay_op *op);

/* Does it. */
int replay_take(struct replay *r, const struct replay_op *op);
void replay_give(struct replay *r, const struct replay_op *op);

/* Says what Netty's driver would have said, before an f loses its name. */
void replay_print(const struct replay *r, const struct replay_op *op,
		  FILE *out);

/* Forgets the buffer of an f. */
void replay_done(struct replay *r, const struct replay_op *op);

void replay_close(struct replay *r);

/* Says what is wrong in which line. Returns code. */
int replay_complain(const struct replay *r, int code, const char *what,
		    const char *which);

/* The handle of a buffer that is not huge. */
uint64_t replay_handle(const struct replay *r, const struct buffer *b);

/* The chunk's number, counted in the order in which they were seen. */
static inline uint64_t replay_ordinal(const struct np_chunk *c)
{
	return c->serial;
}

extern const char *const replay_list_names[NP_NLISTS];

/* All of it, to standard output. Returns an exit code; what went before an
 * error has been printed. */
int replay_netty(int fd, const char *name,
		 const struct replay_options *options);

#endif
