/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * huge-pages: which pools lie in huge pages, on which node, and how these come
 * back, by the kernel's word: smaps for how many, numa_maps and move_pages for
 * where, and what each node says of its reserve.
 *
 * The settings of the machine are set here, and set back.
 *
 * Source: transhuge and hugetlbpage in the kernel's Documentation/admin-guide/
 * mm; npool_numa(7), HUGE PAGES.
 */
#include "../child.h"
#include "../pages.h"
#include "nodes.h"
#include "npool.h"
#include "pool.h"

#include <signal.h>

#define THP "/sys/kernel/mm/transparent_hugepage/enabled"
#define HUGE NP_HUGE_PAGE
#define CHUNK ((size_t)16 << 20)
#define IN_CHUNK (CHUNK / HUGE)

/* --- the machine ------------------------------------------------------ */

static char thp_before[32];

/* What it is set to: "always [madvise] never". Returns false if it cannot be
 * set. */
static bool look_at_thp(void)
{
	char line[128];
	const char *at = nodes_line(THP, "", line, sizeof line)
		? strchr(line, '[') : NULL;

	return at && sscanf(at, "[%31[a-z]]", thp_before) == 1 &&
	       nodes_write(THP, thp_before);
}

static void set_thp(const char *word)
{
	if (!nodes_write(THP, word))
		bail_out("%s cannot be set to %s", THP, word);
}

static const char *reserve_path(int node, const char *what)
{
	static char path[128];

	snprintf(path, sizeof path, "/sys/devices/system/node/node%d/"
		 "hugepages/hugepages-2048kB/%s", node, what);
	return path;
}

static void set_reserve(int node, unsigned n)
{
	char text[16];

	snprintf(text, sizeof text, "%u", n);
	if (!nodes_write(reserve_path(node, "nr_hugepages"), text))
		bail_out("node %d takes no reserve", node);
}

static unsigned free_reserve(int node)
{
	char line[64];

	if (!nodes_line(reserve_path(node, "free_hugepages"), "", line,
			sizeof line))
		bail_out("node %d does not tell of its reserve", node);
	return (unsigned)atoi(line);
}

/* --- pools ------------------------------------------------------------ */

/* Without caches and ticks: what happens is what is called for. */
static npool_t *create(enum npool_huge_pages huge_pages)
{
	struct npool_attr a = NPOOL_ATTR_INIT;
	npool_t *pool;

	a.huge_pages = huge_pages;
	a.cache_pieces = 0;
	a.arenas = 1;
	a.decay_ms = -1;
	if (npool_create(&pool, &a))
		bail_out("no pool");
	return pool;
}

/* Of this node, and written to. */
static char *take(npool_t *pool, int node, size_t size)
{
	char *p = npool_alloc(pool, size, NPOOL_NODE(node));

	if (!p)
		bail_out("no memory");
	touch(p, size);
	return p;
}

/* Bytes that the mapping of p has in transparent huge pages. */
static size_t in_huge_pages(const void *p)
{
	char line[128];
	size_t kib;

	if (!pages_smaps(p, "AnonHugePages:", line, sizeof line) ||
	    sscanf(line, "AnonHugePages: %zu kB", &kib) != 1)
		bail_out("smaps does not tell of huge pages");
	return kib << 10;
}

/* The size of the kernel's pages there, in bytes. */
static size_t page_size_at(const void *p)
{
	char line[128];
	size_t kib = 0;

	if (pages_smaps(p, "KernelPageSize:", line, sizeof line))
		sscanf(line, "KernelPageSize: %zu kB", &kib);
	return kib << 10;
}

static void is_on(const void *p, size_t size, int node, const char *what)
{
	struct lies lies = { 0 };

	lies_add(&lies, p, size);
	lies_all_on(&lies, node, what);
}

/* --- transparent ones ------------------------------------------------- */

/* Half a chunk of each node, in so many bytes of huge pages. */
static void test_thp(const char *machine, enum npool_huge_pages wanted,
		     size_t bytes, const char *name)
{
	npool_t *pool = create(wanted);
	char what[80];

	set_thp(machine);
	for (unsigned i = 0; i < numa.n; i++) {
		char *p = take(pool, numa.id[i], CHUNK / 2);

		is_size(in_huge_pages(p), bytes, "the machine says %s, the "
			"pool %s: in huge pages on node %d", machine, name,
			numa.id[i]);
		snprintf(what, sizeof what, "half a chunk, %s and %s",
			 machine, name);
		is_on(p, CHUNK / 2, numa.id[i], what);
	}
	npool_destroy(pool);
}

static void test_thp_decay(void)
{
	npool_t *pool = create(NPOOL_HUGE_THP);
	int node = numa.id[1];
	char *p[IN_CHUNK / 2], *half[2];

	set_thp("madvise");
	for (unsigned i = 0; i < IN_CHUNK / 2; i++)
		p[i] = take(pool, node, HUGE);
	half[0] = take(pool, node, HUGE / 2);
	half[1] = take(pool, node, HUGE / 2);
	is_size(in_huge_pages(p[0]), CHUNK / 2 + HUGE, "five huge pages");
	npool_free(half[1]);
	npool_pool_trim(pool);
	is_size(in_huge_pages(p[0]), CHUNK / 2 + HUGE,
		"one of which half is free stays whole");
	npool_free(p[2]);
	npool_pool_trim(pool);
	is_size(in_huge_pages(p[0]), CHUNK / 2, "one that is free goes whole");
	is_size(pages_resident(p[2], HUGE), 0, "and nothing of it stays");
	npool_free(half[0]);
	npool_pool_trim(pool);
	is_size(in_huge_pages(p[0]), CHUNK / 2 - HUGE,
		"and the other one once it is free");
	p[2] = take(pool, node, HUGE);
	is_size(in_huge_pages(p[0]), CHUNK / 2, "what comes anew is huge");
	is_on(p[2], HUGE, node, "what comes anew");
	npool_destroy(pool);
}

/* --- those of a reserve ----------------------------------------------- */

static uint64_t counted(npool_t *pool, int node, bool got)
{
	const struct np_segment_node *n = np_segment_node(
		&pool->segment, np_topology_find(&np_topology, node));

	return np_count_get(got ? &n->hugetlb_got : &n->hugetlb_missed);
}

/* Of node a, which has one chunk's worth and two pages, and node b, which has
 * two chunks' worth and four: what a lacks it does not take from b. */
static void test_reserve(int a, int b)
{
	npool_t *pool = create(NPOOL_HUGE_HUGETLB);
	char *p, *q, *r;

	set_thp("madvise");
	set_reserve(a, IN_CHUNK + 2);
	set_reserve(b, 2 * IN_CHUNK + 4);
	p = take(pool, b, CHUNK);
	is_size(page_size_at(p), HUGE, "a chunk of node %d is of 2 MiB pages",
		b);
	is_on(p, CHUNK, b, "it");
	is_uint(free_reserve(b), IN_CHUNK + 4, "of that node's reserve");
	is_uint(free_reserve(a), IN_CHUNK + 2, "not of the other's");
	q = take(pool, a, CHUNK);
	is_on(q, CHUNK, a, "a chunk of the other node");
	is_uint(free_reserve(a), 2, "has two pages left there");
	r = take(pool, a, CHUNK);
	is_size(page_size_at(r), np_os_page_size(),
		"the next chunk lies in others, whose advice is for huge ones");
	ok(pages_flag(r, " hg"), "as can be seen");
	is_on(r, CHUNK, a, "that chunk");
	is_uint(free_reserve(a), 2, "the two are left");
	is_uint(free_reserve(b), IN_CHUNK + 4, "and those of the other node");
	is_uint(counted(pool, a, true), 1, "it got one");
	is_uint(counted(pool, a, false), 1, "and missed one");
	is_uint(counted(pool, b, false), 0, "the other missed none");
	npool_destroy(pool);
	is_uint(free_reserve(b), 2 * IN_CHUNK + 4, "with the pool they return");
}

static void test_reserve_decay(int node)
{
	npool_t *pool = create(NPOOL_HUGE_HUGETLB);
	char *p[IN_CHUNK];

	set_reserve(node, IN_CHUNK);
	p[0] = take(pool, node, HUGE);
	is_uint(free_reserve(node), 0, "a chunk takes its reserve at once");
	npool_pool_trim(pool);
	is_uint(free_reserve(node), IN_CHUNK - 1,
		"a trim brings back all but the one in use");
	for (unsigned i = 1; i < IN_CHUNK; i++)
		p[i] = take(pool, node, HUGE);
	is_uint(free_reserve(node), IN_CHUNK - 1,
		"what came back is not taken again");
	is_on(p[0], HUGE, node, "the one that stayed");
	is_on(p[1], CHUNK - HUGE, node, "those that took their place");
	for (unsigned i = 1; i < IN_CHUNK; i++)
		npool_free(p[i]);
	npool_pool_trim(pool);
	is_size(pages_resident(p[1], CHUNK - HUGE), 0,
		"these decay like any others");
	npool_free(p[0]);
	npool_pool_trim(pool);
	is_uint(free_reserve(node), IN_CHUNK, "the last one returns too");
	npool_destroy(pool);
}

/* --- fork ------------------------------------------------------------- */

static int go[2];

/* Waits until its parent has written, and looks. */
static void look_late(void *arg)
{
	char byte;

	if (read(go[0], &byte, 1) == 1)
		_exit(*(volatile char *)arg != 'p');
	_exit(2);
}

/* A child shares huge pages with its parent until one of them writes. */
static void test_fork(enum npool_huge_pages huge_pages, int status)
{
	npool_t *pool;
	char *p;
	int seen;
	pid_t pid;

	set_reserve(numa.id[0], IN_CHUNK);
	pool = create(huge_pages);
	p = take(pool, numa.id[0], CHUNK);
	memset(p, 'p', CHUNK);
	if (pipe(go) || (pid = fork()) < 0)
		bail_out("no child");
	if (!pid)
		look_late(p);
	memset(p, 'w', CHUNK);
	ok(p[0] == 'w' && p[CHUNK - 1] == 'w',
	   "a parent writes after a fork%s", status ? ", with an empty "
	   "reserve" : "");
	if (write(go[1], "", 1) != 1 || waitpid(pid, &seen, 0) != pid)
		bail_out("the child is gone");
	is_int(seen, status, status ? "the child lost what the parent wrote "
	       "to: SIGBUS" : "the child has what was there before");
	is_on(p, CHUNK, numa.id[0], "what the parent wrote");
	close(go[0]);
	close(go[1]);
	npool_destroy(pool);
}

int main(void)
{
	nodes_need(2);
	if (!look_at_thp())
		skip_all("needs root, and transparent huge pages");
	plan(4 * 5 + 7 + 15 + 7 + 6);
	nodes_sit(numa.id[0]);
	test_thp("madvise", NPOOL_HUGE_THP, CHUNK / 2, "thp");
	test_thp("madvise", NPOOL_HUGE_DEFAULT, 0, "default");
	test_thp("always", NPOOL_HUGE_DEFAULT, CHUNK / 2, "default");
	test_thp("always", NPOOL_HUGE_OFF, 0, "off");
	test_thp("never", NPOOL_HUGE_THP, 0, "thp");
	test_thp_decay();
	test_reserve(numa.id[0], numa.id[1]);
	test_reserve_decay(numa.id[1]);
	test_fork(NPOOL_HUGE_THP, 0);
	test_fork(NPOOL_HUGE_HUGETLB, SIGBUS);
	for (unsigned i = 0; i < numa.n; i++)
		set_reserve(numa.id[i], 0);
	set_thp(thp_before);
	return done();
}
