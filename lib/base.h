/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * base: the few words that every file of lib/ uses.
 */
#ifndef NP_BASE_H
#define NP_BASE_H

#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define np_likely(x) __builtin_expect(!!(x), 1)
#define np_unlikely(x) __builtin_expect(!!(x), 0)

#define NP_LINE 64		 /* a cache line; what two CPUs fight over */
#define NP_KIB ((size_t)1 << 10)
#define NP_MIB ((size_t)1 << 20)
#define NP_SLOT_SHIFT 24	 /* address space is dealt with in 16 MiB slots */
#define NP_SLOT_SIZE ((size_t)1 << NP_SLOT_SHIFT)
#define NP_MAX_CLASSES 256	 /* class 0 is "none", so 255 rows */

/* Index of a node in the topology, dense from 0: not the kernel's number. */
typedef uint16_t np_home_t;

#define NP_MAX_NODES 1024	 /* what the kernel itself can be built for */
#define NP_NO_NODE ((np_home_t)0xffff)

/* Whose memory it is: pool slot << 10 | home. Compared whole by free(). */
typedef uint16_t np_tag_t;

#define NP_MAX_POOLS 64		 /* the default one too */
#define NP_NO_TAG UINT16_MAX	 /* the last home of the last pool has it too,
				    which does without what needs a tag */

/* Rounds x up to a multiple of the power of two a; the caller made sure that
 * this does not overflow. */
static inline size_t np_round_up(size_t x, size_t a)
{
	return (x + a - 1) & ~(a - 1);
}

static inline bool np_is_pow2(size_t x)
{
	return x && !(x & (x - 1));
}

/* floor(log2 x), x > 0. */
static inline unsigned np_log2(size_t x)
{
	return 63u - (unsigned)__builtin_clzll(x);
}

/* ceil(log2 x), x > 0. */
static inline unsigned np_log2_up(size_t x)
{
	return x < 2 ? 0 : np_log2(x - 1) + 1;
}

static inline np_tag_t np_tag(unsigned slot, np_home_t home)
{
	return (np_tag_t)(slot << 10 | home);
}

static inline np_home_t np_tag_home(np_tag_t tag)
{
	return tag & (NP_MAX_NODES - 1);
}

static inline unsigned np_tag_slot(np_tag_t tag)
{
	return tag >> 10;
}

/* For a variable that every process reads or writes at its start: among data
 * that the loader has written to already, not in a page of zeros that it alone
 * touches. (A process that does little has few pages, each takes a fault.) */
#define NP_USED_AT_START __attribute__((section(".data")))

/* For libnpool.so and the malloc face alone: t/symbols.t, libnpool.map. */
#define NP_FOR_FACE __attribute__((visibility("default")))

/* Invariants run in debug builds only (configure --enable-debug). */
#ifdef NP_DEBUG
#define np_assert(x) \
	((x) ? (void)0 : np_die("%s:%d: broken invariant: %s", __FILE__, \
			     __LINE__, #x))
#else
#define np_assert(x) ((void)0)
#endif

/* Where a test may let another thread run (t/interleave.c); what: the thing
 * that the next step looks at or changes. Nothing in the library. */
#ifndef NP_YIELD
#define NP_YIELD(what) ((void)0)
#endif

/* Says "libnpool: ..." on standard error and aborts. Never allocates. */
_Noreturn void np_die(const char *fmt, ...)
	__attribute__((format(printf, 1, 2), cold));

/* Says "libnpool: ..." on standard error. Keeps errno; never allocates. */
void np_warn(const char *fmt, ...)
	__attribute__((format(printf, 1, 2), cold));

#endif
