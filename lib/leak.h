/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * leak: buffers that are watched, so that one that nobody releases can be told,
 * with the place where it was made and those where it was used last: the option
 * `leaks`. What a buffer is, is buf.h's; here it has an address and a size.
 *
 *	oldest -> np_leak -> np_leak -> newest     those that are alive
 *	             |
 *	             made, touch[]                 each a stack of return addresses
 *
 * A watched buffer has its np_leak behind its header, so that to watch takes no
 * memory of its own, and nothing is allocated with the lock held.
 *
 * Nothing is paid while the level is disabled: who makes a buffer takes its
 * header from np_leak_unwatched, and asks here only if that is NULL; a count
 * has a mark if it is of a watched one, beside the mark of the dead, and both
 * are looked at at once.
 *
 *	np_leak_set_level            np_leak_let_pass
 *	  level = ...                  level disabled? then
 *	  np_leak_unwatched = NULL       np_leak_unwatched = op
 *	                                 level not disabled any more? then
 *	                                   np_leak_unwatched = NULL
 *
 * All of these are sequentially consistent: either the one sees the new level,
 * or the other's NULL comes last.
 *
 * Owner: the list and all of an np_leak are guarded by the lock of the file.
 * Stacks are taken before it is, and printed behind it: whoever reads a report
 * may be slow.
 *
 * Source: Netty 4.1.48, ResourceLeakDetector: the levels, the interval, how
 * many records. It waits for the garbage collector, and tells what that found
 * when it tracks the next one; here who is alive is known.
 */
#ifndef NP_LEAK_H
#define NP_LEAK_H

#include "base.h"
#include "config.h"

#include <stdatomic.h>

#define NP_LEAK_INTERVAL 128 /* one of so many is watched */
#define NP_LEAK_TOUCHES 4    /* that are remembered */
#define NP_LEAK_FRAMES 16    /* of a stack */
#define NP_LEAK_HINT_SIZE 48

struct npool_objpool;

/* A moment in the life of a buffer. */
struct np_leak_record {
	const char *what; /* function, or kind of buffer; a literal */
	uint64_t ms;	  /* when */
	uint32_t times;	  /* one after the other from the same stack */
	int tid, nframes;
	void *frame[NP_LEAK_FRAMES];
	char hint[NP_LEAK_HINT_SIZE];
};

struct np_leak {
	struct np_leak *prev, *next;
	const void *buf;
	size_t size;
	uint64_t place;	   /* a hash of where it was made */
	uint64_t ntouches; /* the last one is touch[(ntouches - 1) % ...] */
	struct np_leak_record made, touch[NP_LEAK_TOUCHES];
};

/* Where headers come from that are not watched; NULL: ask np_leak_wanted
 * first. Acquire by who uses it. */
extern struct npool_objpool *_Atomic np_leak_unwatched;

void np_leak_set_level(enum np_leak_level level);

/* Headers may come from there unasked, as long as nothing is watched. */
void np_leak_let_pass(struct npool_objpool *op);

/* Is the buffer that is being made to be watched? */
bool np_leak_wanted(void);

/* A buffer of this kind begins; it is used by this function; it ends. hint: of
 * the program, or NULL. */
void np_leak_begin(struct np_leak *leak, const void *buf, const char *kind,
		   size_t size);
void np_leak_touch(struct np_leak *leak, const char *function,
		   const char *hint);
void np_leak_end(struct np_leak *leak);

/* Watched buffers that are alive, and older than so many milliseconds: how many
 * there are; and a report of them, place by place, the oldest first. Returns 0
 * or a positive errno. */
size_t np_leak_count(uint64_t age_ms);
int np_leak_print(int fd, uint64_t age_ms);

/* Fork: the lock; in the child no buffer is watched any more that was made
 * before. */
void np_leaks_lock(void);
void np_leaks_unlock(void);
void np_leaks_forked(void);

#endif
