/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * trace: what happens in a process, event by event, in rings that another
 * process empties. Nothing of it is there until somebody asks (record.h).
 *
 * The rings lie in a file that the other process, the tool, has made, and that
 * both map:
 *
 *	header | ring 0 | ring 1 | ...        a ring: head line | events
 *
 *	       tail                 head
 *	         v                    v
 *	|........|e|e|e|e|e|e|e|e|e|e|........|   positions only grow; the place
 *	          not read yet                    is the position & (size - 1)
 *
 * A thread has a ring of its own; ring 0 is for those that have none (there
 * are no more, or the thread has ended), under a lock. What does not fit is
 * lost: it is counted, and the next event that fits says how many. Nobody
 * waits for the tool.
 *
 * An event is 16 bytes, two words:
 *
 *	a  kind 5 bits | pool slot 6 | class 8 | address / 16, 45 bits
 *	b  time 29 bits | pages since the run's first 5 | size 30
 *
 * The time is that of np_trace_ticks, its low bits; TIME events have all of
 * it, one at least each 1 << NP_TRACE_GAP_SHIFT ticks. A size that does not
 * fit stands in a WIDE event before. Other kinds use the fields as enum
 * np_trace_kind says. A STACK event is followed by its return addresses, two
 * to a place, and then by the event that it belongs to.
 *
 * An event that gives something up is written before that is done, and one
 * that gets something after: so what one thread writes before another sees the
 * memory has an earlier time than what that one writes then, and is to be seen
 * in its ring.
 *
 * The file's text is never read back but for each ring's tail, which may say
 * anything: then events are lost. Pages are allocated before they are used.
 *
 * Owner: see the fields. This header is all that a reader needs.
 */
#ifndef NP_TRACE_H
#define NP_TRACE_H

#include "base.h"

#include <stdatomic.h>
#include <time.h> /* clock_gettime */

/* The file of a process that is asked to record while it runs; its process id
 * follows, as the process knows it. */
#define NP_TRACE_FILE_OF "/dev/shm/npool-trace."

#define NP_TRACE_MAGIC UINT64_C(0x31676e69726e0a0d) /* "\r\nring1" */
#define NP_TRACE_VERSION 1

enum np_trace_kind {
	NP_TRACE_NONE,	 /* nothing was written here */
	/* Calls: pool, class (0: huge), address, pages since the first of its
	 * run, size asked for. */
	NP_TRACE_ALLOC,
	NP_TRACE_FREE,	 /* size 0 */
	NP_TRACE_MOVE,	 /* realloc of this piece. The thread's next call is
			    RESIZE; or ALLOC, and then FREE of this one; or
			    REFUSE */
	NP_TRACE_RESIZE, /* here the piece is now, of this size */
	NP_TRACE_REFUSE, /* no memory; no address */
	/* About the ring. */
	NP_TRACE_START,	 /* the process begins; size: its id */
	NP_TRACE_THREAD, /* whose events follow; size: tid, or 0: he has
			    ended, and none follow */
	NP_TRACE_CPU,	 /* it runs on; size: the CPU; address: home */
	NP_TRACE_TIME,	 /* word a >> 5: all bits of the time */
	NP_TRACE_LOST,	 /* so many events (word a >> 5) */
	NP_TRACE_WIDE,	 /* size of the next event (word a >> 5) */
	NP_TRACE_STACK,	 /* size: frames */
	/* Slow ways. Where a home is, it is class | first << 8; bytes are in
	 * units of 1 << NP_TRACE_UNIT_SHIFT. */
	NP_TRACE_REFILL, /* pool, class; size: pieces; first: from the depot? */
	NP_TRACE_FLUSH,	 /* pool, class; size: pieces; first: to the depot? */
	NP_TRACE_HOME,	 /* pool, home; size: pieces sent there */
	NP_TRACE_REHOME, /* pool, home */
	NP_TRACE_MAP,	 /* pool, home; a chunk's address, bytes */
	NP_TRACE_UNMAP,	 /* the same */
	NP_TRACE_LIST,	 /* a chunk's address; size: from | to << 4, by enum
			    np_chunklist_name */
	NP_TRACE_DECAY,	 /* pool, address, bytes given back */
	NP_TRACE_SPILL,	 /* pool, home, chunk or block; bytes found elsewhere */
	NP_TRACE_HUGE_MAP, /* as MAP, of a huge block; of one that is there:
			      it has this size now */
	NP_TRACE_HUGE_UNMAP,
	NP_TRACE_POOL,	 /* pool begins; class: log2 of its page; first: max
			    order; size: enum np_class_table */
	NP_TRACE_RESET,	 /* pool: all pieces are gone; size 1: it ends */
	NP_TRACE_TAKEN,	 /* pool; bytes (not units) of its pieces: held by the
			    program, or cached */
	NP_TRACE_NODE,	 /* home; size: its CPUs. Of each, behind START */
	NP_TRACE_OPTION, /* pool; class: which of np_options, one that is no
			    text; size: its value + 1. Of each, behind POOL,
			    and when it changes */
	NP_TRACE_KINDS,
};

#define NP_TRACE_KIND_BITS 5
#define NP_TRACE_POOL_SHIFT 5
#define NP_TRACE_CLASS_SHIFT 11
#define NP_TRACE_ADDR_SHIFT 19
#define NP_TRACE_TIME_BITS 29
#define NP_TRACE_FIRST_SHIFT 29
#define NP_TRACE_SIZE_SHIFT 34
#define NP_TRACE_SIZE_MAX (((uint64_t)1 << 30) - 1) /* fits in an event */
#define NP_TRACE_GAP_SHIFT 28
#define NP_TRACE_UNIT_SHIFT 12

struct np_trace_event {
	uint64_t a, b;
};

/* Before the events of each ring. Zero at first. */
struct np_trace_ring {
	_Atomic uint64_t head; /* bytes ever written; release: the events
				  below it are there. By its thread */
	_Atomic uint64_t lost; /* events, relaxed: a statistic. The same */
	_Alignas(NP_LINE) _Atomic uint64_t tail; /* bytes ever read; release:
				  they may be overwritten. By the tool */
};

/* Written by the tool before the process knows the file, but for the fields
 * said otherwise. */
struct np_trace_header {
	uint64_t magic;
	uint32_t version;
	uint32_t nrings;	/* 2 at least */
	uint64_t ring_offset;	/* bytes, of the first one */
	uint64_t ring_stride;	/* from one to the next */
	uint64_t ring_size;	/* bytes of events in one; a power of two */
	uint64_t maps_offset;	/* bytes; where the process writes what it has
				   mapped, as /proc/self/maps says, if there
				   are to be stacks */
	uint64_t maps_room;	/* bytes */
	uint64_t size_min, size_max; /* bytes of a piece: others are left out */
	uint32_t stack_every;	/* each n-th ALLOC of a thread has a stack; 0:
				   none has */
	uint32_t by_clock;	/* the time is CLOCK_MONOTONIC's */
	_Atomic uint32_t pid;	/* whom it is for; 0: the first that comes,
				   which enters its own */
	_Atomic uint32_t state;	/* enum np_trace_state; by the process */
	_Atomic uint32_t maps_size;  /* bytes of that; release: they are there.
				   The same */
	_Atomic uint32_t rings_used; /* the others were never touched; the
				   same. Release: those are there */
};

enum np_trace_state {
	NP_TRACE_WAITS, NP_TRACE_RECORDS, NP_TRACE_STOPPED,
};

#define NP_TRACE_EVENTS_AT (2 * NP_LINE) /* in a ring */
#define NP_TRACE_RINGS_MAX 1024
#define NP_TRACE_STACK_MAX 30 /* frames: with all that may come along an event
				 takes less than 1 KiB */

/* A CPU reads its ticks ahead of what precedes: not beyond this. */
static inline void np_trace_fence(void)
{
#if defined __x86_64__
	__builtin_ia32_lfence();
#elif defined __aarch64__
	__asm__ volatile("isb" : : : "memory");
#endif
}

/* Ticks of the machine, the same on each of its CPUs, where it has them; the
 * tool finds out how long one is. by_clock: it was seen that it has not. */
static inline uint64_t np_trace_ticks(bool by_clock)
{
	struct timespec ts;

	if (!by_clock) {
#if defined __x86_64__
		return __builtin_ia32_rdtsc() >> 2;
#elif defined __aarch64__
		uint64_t t;

		__asm__ volatile("mrs %0, cntvct_el0" : "=r"(t) : : "memory");
		return t;
#endif
	}
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* --- the process's own side ------------------------------------------ */

/* Are events written? Atomic, relaxed: who learns it late writes a few more or
 * less. Changed by record.c. */
extern _Atomic bool np_trace_is_on;

static inline bool np_trace_on(void)
{
	return atomic_load_explicit(&np_trace_is_on, memory_order_relaxed);
}

/* Does anybody look at each call: a recording, or a tracer at its probe? Then
 * all caches are hidden (record.h). The same. */
extern _Atomic bool np_is_watched;

static inline bool np_watched(void)
{
	return atomic_load_explicit(&np_is_watched, memory_order_relaxed);
}

/* What an event says, but for its time. */
struct np_trace_fields {
	enum np_trace_kind kind;
	unsigned pool;
	unsigned class;
	unsigned first;
	uint64_t addr;
	uint64_t size;
};

/* Maps the file behind fd. Returns 0 or a positive errno: EINVAL, it is none;
 * EPERM, it is another process's. One caller at a time; not while np_trace_on.
 */
int np_trace_attach(int fd);

/* Events that are still being written go nowhere from here on. The same. */
void np_trace_detach(void);

/* Writes one. Does nothing if there is no file. */
void np_trace_write(const struct np_trace_fields *fields);

/* The same for a call, with the CPU that it was made on, and a stack if it is
 * an ALLOC's turn. hit: of what the thread's own cache had. That came there
 * before the thread's last event, or with it, so the time of no other thread's
 * is to be waited for. */
void np_trace_call(const struct np_trace_fields *fields, uint32_t cpu,
		   np_home_t home, bool hit);

/* Are calls about pieces of some sizes left out? Those of so many bytes, as
 * rounded, not? The first is written by np_trace_attach. */
extern bool np_trace_picks;
bool np_trace_is_picked(size_t piece_size);

static inline void np_trace_bytes(enum np_trace_kind kind, np_tag_t tag,
				  uint64_t addr, size_t bytes)
{
	np_home_t home = np_tag_home(tag);

	if (np_unlikely(np_trace_on()))
		np_trace_write(&(struct np_trace_fields){
			.kind = kind, .pool = np_tag_slot(tag),
			.class = home & 0xff, .first = home >> 8,
			.addr = addr, .size = bytes >> NP_TRACE_UNIT_SHIFT });
}

/* The caller will have a ring of its own, which another one can have when it
 * has ended. */
void np_trace_thread_begins(void);
void np_trace_thread_ended(void);

/* Fork: the lock; and, in the child, np_trace_detach. */
void np_trace_lock(void);
void np_trace_unlock(void);
void np_trace_forked(void);

#endif
