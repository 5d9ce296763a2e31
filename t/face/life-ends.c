/*
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * life-ends.c - malloc before main and after exit.
 *
 * Run by face-life.t.  The order of a program's life, as far as it goes
 * through here:
 *
 *	preinit_array	before the constructors of any library
 *	constructor	priority 101, the first of the program's own
 *	main		the claims
 *	atexit, on_exit	last registered first
 *	destructor	priority 101, the last of the program's own
 *
 * Memory taken at each of these points is checked and freed at later ones.
 * What happens after main prints a line, so that face-life.t, comparing
 * the output with that of the C library, sees that it did happen.
 */
#include "life.h"
#include <pthread.h>

enum { PIECES = 200 };
struct held {
	unsigned char *piece[PIECES];
	size_t size[PIECES];
};
static struct held preinit, constructed, running;
static int checks_end;

static void hold(struct held *held)
{
	for (size_t i = 0; i < PIECES; i++) {
		held->size[i] = i < 150 ? 1 + i * 3 : (i - 149) * 3000;
		held->piece[i] = take(held->size[i]);
		fill(held->piece[i], held->size[i], i);
	}
}

static void check_held(struct held *held, const char *when)
{
	for (size_t i = 0; i < PIECES; i++)
		CHECK(held->piece[i] && holds(held->piece[i], held->size[i],
					      i) == held->size[i],
		      "%zu bytes taken %s changed", held->size[i], when);
}

static void release(struct held *held, const char *when)
{
	check_held(held, when);
	for (size_t i = 0; i < PIECES; i++) {
		free(held->piece[i]);
		held->piece[i] = NULL;
	}
}

static void before_libraries(int argc, char **argv, char **envp)
{
	(void)argc, (void)argv, (void)envp;
	hold(&preinit);
	exercise(2000, 1);
	preinit.piece[0] = keep(realloc(preinit.piece[0], hide(50000)));
	preinit.size[0] = 50000;
	fill(preinit.piece[0], 50000, 0);
}

__attribute__((section(".preinit_array"), used))
static life_early *const first = before_libraries;

__attribute__((constructor(101))) static void before_main(void)
{
	check_held(&preinit, "before the libraries' constructors");
	hold(&constructed);
	exercise(2000, 2);
}

__attribute__((destructor(101))) static void after_all(void)
{
	if (!checks_end)
		return;
	release(&running, "in main");
	release(&constructed, "in a constructor");
	exercise(5000, 3);
	hold(&running);
	release(&running, "in a destructor");
	/* stdio may be gone: say it plainly. */
	if (write(STDOUT_FILENO, "destructor done\n", 16) != 16)
		_exit(1);
}

static void at_exit(void)
{
	check_held(&running, "in main");
	exercise(5000, 4);
	release(&preinit, "before the libraries' constructors");
	hold(&preinit);
	puts("atexit done");
}

static void on_exit_too(int status, void *piece)
{
	CHECK(holds(piece, 30000, 9) == 30000, "on_exit's piece changed");
	free(piece);
	exercise(1000, 5);
	printf("on_exit done, %d\n", status);
}

static void before(void)
{
	check_held(&preinit, "before the libraries' constructors");
	check_held(&constructed, "in a constructor");
	for (size_t i = 0; i < PIECES; i++) {
		size_t more = preinit.size[i] * 2;
		unsigned char *p = keep(realloc(preinit.piece[i], hide(more)));

		CHECK(p && holds(p, more / 2, i) == more / 2,
		      "realloc lost bytes taken before main");
		free(p);
	}
	release(&constructed, "in a constructor");
}

static void after(void)
{
	void *piece = take(30000);

	fill(piece, 30000, 9);
	hold(&running);
	CHECK(atexit(at_exit) == 0, "atexit");
	CHECK(on_exit(on_exit_too, piece) == 0, "on_exit");
	checks_end = 1;
	exit(0);
}

static void at_quick_exit_too(void)
{
	release(&running, "in main");
	exercise(5000, 6);
	hold(&running);
	release(&running, "in a handler of quick_exit");
	if (write(STDOUT_FILENO, "at_quick_exit done\n", 19) != 19)
		_exit(1);
}

static void after_quickly(void)
{
	hold(&running);
	CHECK(at_quick_exit(at_quick_exit_too) == 0, "at_quick_exit");
	quick_exit(0);
}

/* A handler registers another, which runs next. */
static void at_exit_again(void)
{
	free(take(70000));
	exercise(1000, 8);
	CHECK(atexit(at_exit) == 0, "atexit in a handler");
	puts("handler done");
}

static void after_again(void)
{
	hold(&running);
	for (int i = 0; i < 100; i++) /* more than there is room for at once */
		CHECK(atexit(i ? at_exit_again : at_exit) == 0, "atexit");
	checks_end = 1;
	exit(0);
}

static void *never_ending(void *arg)
{
	for (size_t round = 0;; round++)
		exercise(500, (size_t)(uintptr_t)arg + round);
	return NULL;
}

/* exit() runs handlers while other threads go on. */
static void after_among_threads(void)
{
	pthread_t thread;

	for (size_t i = 0; i < 4; i++) {
		CHECK(pthread_create(&thread, NULL, never_ending,
				     (void *)(uintptr_t)(i + 10)) == 0,
		      "no thread");
		pthread_detach(thread);
	}
	usleep(20000);
	after();
}

static void *exits(void *arg)
{
	(void)arg;
	exercise(1000, 7);
	after();
	return NULL;
}

static void after_from_thread(void)
{
	pthread_t thread;

	CHECK(pthread_create(&thread, NULL, exits, NULL) == 0, "no thread");
	pthread_exit(NULL);
}

static const struct claim claims[] = {
	{ "memory taken before main holds and can be resized and freed",
	  before },
	{ "malloc works in exit handlers and destructors", after },
	{ "malloc works in exit handlers while other threads go on",
	  after_among_threads },
	{ "malloc works in handlers that handlers registered", after_again },
	{ "malloc works in handlers of quick_exit", after_quickly },
	{ "malloc works when a thread exits the process after main's end",
	  after_from_thread },
};

int main(int argc, char **argv)
{
	return life_main(argc, argv, claims, COUNT(claims));
}
