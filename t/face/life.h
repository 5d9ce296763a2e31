/*
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * life.h - what the programs of face-life.t share.
 *
 * Each of them is an ordinary program that knows nothing of libnpool: it
 * is linked to libc alone and holds a table of claims about malloc.
 * Without an argument it prints the claims, one a line; with a number it
 * checks that claim and exits:
 *
 *	0	the claim holds
 *	1	it does not; a line on standard output says why
 *	77	this C library lacks the function the claim is about
 *	99	malloc does not come from the library that $FACE names
 *
 * face-life.t runs every claim without and with the face.  So what the
 * programs ask for is known to be what the C library itself gives.
 */
#ifndef LIFE_H
#define LIFE_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* dladdr, RTLD_DEFAULT, reallocarray, mallinfo2 */
#endif
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { LIFE_LACKS = 77, LIFE_ELSEWHERE = 99 };

struct claim {
	const char *says;
	void (*check)(void);
};

/* What stands in .preinit_array and is called before any constructor. */
typedef void life_early(int argc, char **argv, char **envp);

#define FAIL(...) \
	do { \
		printf("%s:%d: ", __FILE__, __LINE__); \
		printf(__VA_ARGS__); \
		printf("\n"); \
		fflush(stdout); \
		_exit(1); \
	} while (0)

#define CHECK(truth, ...) \
	do { \
		if (!(truth)) \
			FAIL(__VA_ARGS__); \
	} while (0)

/* The compiler knows malloc: these keep it from knowing better. */
static inline void *keep(void *p)
{
	__asm__ volatile("" : "+r"(p) : : "memory");
	return p;
}

static inline size_t hide(size_t n)
{
	__asm__ volatile("" : "+r"(n));
	return n;
}

/* A pattern that differs at every offset and for every seed. */
static inline unsigned char mark(size_t at, size_t seed)
{
	return (unsigned char)((at * 131 + (at >> 8) * 17 + seed) & 0xff);
}

static inline void fill(void *p, size_t n, size_t seed)
{
	unsigned char *byte = (unsigned char *)p;

	for (size_t at = 0; at < n; at++)
		byte[at] = mark(at, seed);
}

/* Is the pattern there?  Returns n, or the first offset that differs. */
static inline size_t holds(const void *p, size_t n, size_t seed)
{
	const unsigned char *byte = (const unsigned char *)p;
	size_t start = 0, end = 0;

	while (end < n) { /* by blocks without a branch: many MB pass here */
		unsigned differs = 0;

		start = end;
		end = n - start < 4096 ? n : start + 4096;
		for (size_t at = start; at < end; at++)
			differs |= (unsigned)(byte[at] ^ mark(at, seed));
		for (size_t at = start; differs && at < end; at++)
			if (byte[at] != mark(at, seed))
				return at;
	}
	return n;
}

static inline void *take(size_t n)
{
	void *p = keep(malloc(hide(n)));

	CHECK(p, "malloc(%zu): %s", n, strerror(errno));
	return p;
}

/* Take, mark, check and give back pieces of many sizes. */
static inline void exercise(size_t rounds, size_t seed)
{
	void *piece[32] = { NULL };
	size_t size[32] = { 0 }, state = seed * 2654435761U + 1;

	for (size_t i = 0; i < rounds; i++) {
		size_t slot = (state >> 7) % COUNT(piece);

		if (piece[slot])
			CHECK(holds(piece[slot], size[slot], slot) ==
				      size[slot],
			      "a piece of %zu bytes at %p changed", size[slot],
			      piece[slot]);
		free(piece[slot]);
		size[slot] = 1 + (state >> 12) % ((size_t)1 << (state % 15));
		piece[slot] = take(size[slot]);
		fill(piece[slot], size[slot], slot);
		state = state * 6364136223846793005U + 1442695040888963407U;
	}
	for (size_t slot = 0; slot < COUNT(piece); slot++)
		free(piece[slot]);
}

/* The library that malloc comes from. */
static inline const char *malloc_home(void)
{
	Dl_info info;

	CHECK(dladdr(dlsym(RTLD_DEFAULT, "malloc"), &info),
	      "malloc has no home");
	return info.dli_fname;
}

static inline int on_face(void)
{
	return getenv("FACE") != NULL;
}

static inline int life_main(int argc, char **argv, const struct claim *claims,
			    size_t nclaims)
{
	if (argc < 2) {
		for (size_t i = 0; i < nclaims; i++)
			puts(claims[i].says);
		return 0;
	}
	char *face = getenv("FACE");
	char home[PATH_MAX];

	if (!realpath(malloc_home(), home) || (face && strcmp(home, face))) {
		printf("malloc comes from %s\n", malloc_home());
		return LIFE_ELSEWHERE;
	}
	size_t number = strtoul(argv[1], NULL, 10);

	CHECK(number < nclaims, "no claim %s", argv[1]);
	claims[number].check();
	return 0;
}

#endif
