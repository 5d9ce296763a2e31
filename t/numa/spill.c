/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * spill: what a full node has spilled into another one. All but some memory of
 * a node is taken away, so that a part of what its threads are given lies
 * elsewhere. The pool finds that by looking, to the byte that the kernel says;
 * shows how long it is known; hands it out last; and brings it home, with what
 * it holds, when there is room, and says why not when there is none, when the
 * memory is pinned or when a forked child has it too.
 *
 * Source: move_pages(2); HACKING: NUMA rule 6.
 */
#include "fill.h"

#include <signal.h>
#include <sys/wait.h>

/* The kernel makes huge pages of pages on several nodes, on one of them. So
 * that they stay where they were put, it must not. */
#define HUGE_PAGES "/sys/kernel/mm/transparent_hugepage/enabled"

#define HEADROOM ((size_t)80 << 20)
#define PIECE ((size_t)1 << 20)
#define SMALL ((size_t)3000)
#define SLOT ((size_t)16 << 20)
#define HUGE ((size_t)40 << 20)
#define NPIECES 40
#define NSMALL 2000
#define NHUGE 2

static struct nodes_hog hog;

/* What a thread of the full node holds: each byte of a piece says which. */
static struct held {
	npool_t *pool;
	void *huge[NHUGE], *piece[NPIECES], *small[NSMALL];
} held;

static void each(void (*call)(void *p, size_t size, int number, void *arg),
		 void *arg)
{
	for (int i = 0; i < NHUGE; i++)
		call(held.huge[i], HUGE, i, arg);
	for (int i = 0; i < NPIECES; i++)
		call(held.piece[i], PIECE, i, arg);
	for (int i = 0; i < NSMALL; i++)
		call(held.small[i], SMALL, i, arg);
}

static void write_number(void *p, size_t size, int number, void *unused)
{
	(void)unused;
	must(p);
	memset(p, number % 251 + 1, size);
}

static void check_number(void *p, size_t size, int number, void *unused)
{
	(void)unused;
	for (size_t i = 0; i < size; i += 64)
		must(((unsigned char *)p)[i] == number % 251 + 1);
}

static void give_back(void *p, size_t size, int number, void *unused)
{
	(void)size;
	(void)number;
	(void)unused;
	npool_free(p);
}

static void *fill(void *unused)
{
	(void)unused;
	for (int i = 0; i < NHUGE; i++)
		held.huge[i] = npool_alloc(held.pool, HUGE, 0);
	for (int i = 0; i < NPIECES; i++)
		held.piece[i] = npool_alloc(held.pool, PIECE, 0);
	for (int i = 0; i < NSMALL; i++)
		held.small[i] = npool_alloc(held.pool, SMALL, 0);
	each(write_number, NULL);
	npool_flush_thread();
	return NULL;
}

/* Pages of all chunks and blocks: what is free in them counts as well. */
static size_t away(void)
{
	uintptr_t last = 0;
	struct lies l = { 0 };
	void *const *p = held.piece;
	char text[256];

	for (int i = 0; i < NHUGE; i++)
		lies_add(&l, held.huge[i], HUGE);
	for (int i = 0; i < NPIECES + NSMALL; i++) {
		uintptr_t slot;

		if (i == NPIECES)
			p = held.small - NPIECES;
		slot = (uintptr_t)p[i] / SLOT;
		if (slot == last || !p[i])
			continue;
		last = slot;
		lies_add(&l, (void *)(slot * SLOT), SLOT);
	}
	fprintf(stderr, "  the kernel: %s\n", lies_text(&l, text, sizeof text));
	must(!l.unknown && l.on[near] + l.on[full] == l.pages);
	return l.on[near] * (size_t)sysconf(_SC_PAGESIZE);
}

static struct npool_figures figures(void)
{
	struct npool_figures f = { .size = sizeof f };

	must(npool_pool_stats(held.pool, &f) == 0);
	fprintf(stderr, "  the pool: %llu bytes away, known for %llu ms\n",
		(unsigned long long)f.spilled,
		(unsigned long long)f.spilled_ms);
	return f;
}

static void make_pool(unsigned flags, int64_t decay_ms)
{
	struct npool_attr a = NPOOL_ATTR_INIT;

	a.flags = flags;
	a.decay_ms = decay_ms;
	a.arenas = 1;
	must(npool_create(&held.pool, &a) == 0);
}

/* Takes memory away, and lets a thread spill. Returns the bytes. */
static size_t spill(unsigned flags)
{
	size_t bytes;

	make_pool(flags, 10000);
	hog = nodes_hog(full, nodes_free(full) - HEADROOM);
	nodes_run(full, fill, NULL);
	bytes = away();
	must(bytes > HUGE / 2);
	return bytes;
}

static void make_room(void)
{
	munmap(hog.p, hog.size);
}

/* --- found and counted ------------------------------------------------ */

static void part_counted(void)
{
	size_t bytes = spill(0);
	struct npool_figures f;

	must(!figures().spilled);
	npool_pool_trim(held.pool);
	f = figures();
	must(f.spilled == bytes && f.spilled_ms < 10000);
	usleep(300000);
	npool_pool_trim(held.pool);
	f = figures();
	must(f.spilled == bytes && f.spilled_ms >= 300);
	each(give_back, NULL);
	npool_pool_trim(held.pool);
	must(!figures().spilled);
	npool_destroy(held.pool);
}

/* Ticks find it, by samples: what a chunk has little of may take many. */
static void part_ticks(void)
{
	size_t bytes = spill(0);

	must(npool_option_set(held.pool, "decay_ms", "100") == 0);
	for (int i = 0; i < 50; i++) {
		for (int k = 0; k < 100; k++) /* calls drive them */
			npool_free(npool_alloc(held.pool, SMALL,
					       NPOOL_NOCACHE));
		usleep(20000);
	}
	must(figures().spilled >= bytes / 10 * 9);
	npool_destroy(held.pool);
}

/* --- brought home ----------------------------------------------------- */

static void part_home(void)
{
	size_t bytes = spill(0), moved, left;

	make_room();
	must(npool_migrate_home(held.pool, &moved, &left) == 0);
	fprintf(stderr, "  %zu bytes moved, %zu left\n", moved, left);
	must(moved == bytes && !left && !away());
	each(check_number, NULL);
	must(!figures().spilled && figures().brought_home == bytes);
	must(npool_migrate_home(held.pool, NULL, &left) == 0 && !left);
	npool_destroy(held.pool);
}

/* Also when the pages are huge ones, of which the kernel makes more meanwhile,
 * where it likes. */
static void part_home_huge(void)
{
	size_t moved, left;

	must(nodes_write(HUGE_PAGES, "always"));
	spill(0);
	make_room();
	must(npool_migrate_home(held.pool, &moved, &left) == 0);
	fprintf(stderr, "  %zu bytes moved, %zu left\n", moved, left);
	must(moved >= HUGE / 2 && !left && !away());
	each(check_number, NULL);
	nodes_write(HUGE_PAGES, "never");
}

static void part_no_room(void)
{
	size_t bytes = spill(0), moved, left;

	must(npool_migrate_home(held.pool, &moved, &left) == ENOMEM);
	fprintf(stderr, "  %zu bytes moved, %zu left\n", moved, left);
	must(left && moved + left == bytes && away() == left);
	must(figures().spilled == left);
	each(check_number, NULL);
}

static void part_pinned(void)
{
	size_t bytes = spill(NPOOL_PINNED), moved, left;

	make_room();
	must(npool_migrate_home(held.pool, &moved, &left) == EBUSY);
	must(!moved && left == bytes && away() == bytes);
	must(figures().spilled == bytes);
}

/* Pages that a child has too stay where they are, until it has ended. */
static void part_shared(void)
{
	size_t bytes = spill(0), moved, left;
	pid_t pid = fork();

	if (pid == 0)
		for (;;)
			pause();
	make_room();
	must(npool_migrate_home(held.pool, &moved, &left) == EBUSY);
	fprintf(stderr, "  %zu bytes moved, %zu left\n", moved, left);
	must(left && moved + left == bytes && away() == left);
	kill(pid, SIGKILL);
	must(waitpid(pid, NULL, 0) == pid);
	must(npool_migrate_home(held.pool, &moved, &left) == 0);
	must(moved + left && !left && !away());
	each(check_number, NULL);
}

/* --- used last -------------------------------------------------------- */

#define NCHUNK (SLOT / PIECE)

static bool is_away(void *p)
{
	struct lies l = { 0 };

	lies_add(&l, p, PIECE);
	return l.on[near] > 0;
}

/* A chunk at home and one that spilled, both three quarters full: Netty's
 * order takes the one that was freed to last. */
static void *use(void *unused)
{
	void *home[NCHUNK], *spilled[NCHUNK], *p;

	(void)unused;
	for (unsigned i = 0; i < NCHUNK; i++) {
		must(home[i] = npool_alloc(held.pool, PIECE, NPOOL_NOCACHE));
		touch(home[i], PIECE);
	}
	hog = nodes_hog(full, nodes_free(full));
	for (unsigned i = 0; i < NCHUNK; i++) {
		must(spilled[i] = npool_alloc(held.pool, PIECE,
					      NPOOL_NOCACHE));
		touch(spilled[i], PIECE);
	}
	must(!is_away(home[0]) && is_away(spilled[1]));
	for (unsigned i = 0; i < NCHUNK; i += 4)
		npool_free(home[i]);
	for (unsigned i = 0; i < NCHUNK; i += 4)
		npool_free(spilled[i]);
	npool_flush_thread();
	npool_pool_trim(held.pool);
	must(figures().spilled);
	for (unsigned i = 0; i < 2 * NCHUNK / 4; i++) {
		must(p = npool_alloc(held.pool, PIECE, NPOOL_NOCACHE));
		must((uintptr_t)p / SLOT ==
		     (uintptr_t)(i < NCHUNK / 4 ? home : spilled)[1] / SLOT);
	}
	return NULL;
}

static void part_last(void)
{
	make_pool(0, 10000);
	nodes_run(full, use, NULL);
}

/* --- all -------------------------------------------------------------- */

static const struct part parts[] = {
	{ "counted", "", "what spilled is counted, to the byte, with its age",
	  part_counted },
	{ "ticks", "", "and found without a call", part_ticks },
	{ "home", "", "it is brought home, with what it holds", part_home },
	{ "home-huge", "", "so are huge pages", part_home_huge },
	{ "no-room", "", "as far as there is room", part_no_room },
	{ "pinned", "", "not what is pinned", part_pinned },
	{ "shared", "", "nor what a child has too", part_shared },
	{ "last", "", "a chunk that spilled is used last", part_last },
};

#define NPARTS (sizeof parts / sizeof *parts)

int main(int argc, char **argv)
{
	if (argc > 1)
		return fill_run(parts, NPARTS, argv[1]);
	conf_restart(argv, "");
	nodes_need(2);
	nodes_nearest(&full, &near);
	if (nodes_free(full) < HEADROOM * 3 / 2 ||
	    nodes_free(full) > (size_t)1 << 30 ||
	    nodes_free(near) < HEADROOM * 2)
		skip_all("needs a node of 120 to 1024 MiB of free memory");
	if (!nodes_write(HUGE_PAGES, "never"))
		skip_all("needs to switch huge pages off: root");
	plan(NPARTS);
	nodes_write("/proc/sys/vm/drop_caches", "3"); /* room, if dropped later */
	fill_test(parts, NPARTS);
	return done();
}
