/*
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * life-misuse.c - frees what it must not.
 *
 * Run by face-life.t: "life-misuse WHAT" prints the address it is about
 * to misuse, does it, and exits 0 if it is still alive.
 */
#include "life.h"
#include <pthread.h>
#include <sys/mman.h>

static char global[64];

/* Before the piece is freed: printf's buffer might be put in its place. */
static void announce(void *p)
{
	printf("%p\n", p);
	fflush(stdout);
}

static void misuse(void *p)
{
	announce(p);
	free(keep(p));
}

static void stack_address(void)
{
	char local[64];

	misuse(keep(local));
}

static void function_address(void)
{
	misuse((void *)(uintptr_t)hide((uintptr_t)&stack_address));
}

static void global_address(void)
{
	misuse(keep(global + 16));
}

static void mapped_address(void)
{
	void *p = mmap(NULL, MIB, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(p != MAP_FAILED, "mmap");
	misuse((char *)p + 64);
}

static void wild_address(void)
{
	misuse((void *)(uintptr_t)hide(0xdead00beef0010));
}

static void foreign_realloc(void)
{
	char local[64];
	void *p = keep(local);

	announce(p);
	CHECK(!keep(realloc(p, hide(100))), "realloc moved the stack");
}

static void interior_small(void)
{
	misuse((char *)take(300) + 16);
}

static void interior_run(void)
{
	misuse((char *)take(100000) + 32768);
}

static void interior_huge(void)
{
	misuse((char *)take(40 * MIB) + 20 * MIB);
}

static void twice(size_t n)
{
	void *p = take(n), *again = keep(p);

	announce(p);
	free(p);
	free(again);
}

static void twice_small(void)
{
	twice(100);
}

static void twice_run(void)
{
	twice(100000);
}

static void twice_huge(void)
{
	twice(40 * MIB);
}

static void *free_it(void *p)
{
	free(p);
	return NULL;
}

static void twice_other_thread(void)
{
	pthread_t thread;
	void *p = take(100), *again = keep(p);

	announce(p);
	CHECK(pthread_create(&thread, NULL, free_it, p) == 0 &&
		      pthread_join(thread, NULL) == 0,
	      "no thread");
	free(again);
}

static void twice_apart(void)
{
	void *p = take(100), *again = keep(p), *other[10];

	for (size_t i = 0; i < COUNT(other); i++)
		other[i] = take(100);
	announce(p);
	free(p);
	for (size_t i = 0; i < COUNT(other); i++)
		free(other[i]);
	free(again);
}

static const struct {
	const char *name;
	void (*act)(void);
} misuses[] = {
	{ "stack", stack_address },
	{ "function", function_address },
	{ "global", global_address },
	{ "mapped", mapped_address },
	{ "wild", wild_address },
	{ "realloc", foreign_realloc },
	{ "interior-small", interior_small },
	{ "interior-run", interior_run },
	{ "interior-huge", interior_huge },
	{ "twice-small", twice_small },
	{ "twice-run", twice_run },
	{ "twice-huge", twice_huge },
	{ "twice-other-thread", twice_other_thread },
	{ "twice-apart", twice_apart },
};

int main(int argc, char **argv)
{
	for (size_t i = 0; argc == 2 && i < COUNT(misuses); i++)
		if (!strcmp(argv[1], misuses[i].name)) {
			misuses[i].act();
			return 0;
		}
	fprintf(stderr, "usage: life-misuse WHAT\n");
	return 2;
}
