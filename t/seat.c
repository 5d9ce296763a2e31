/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * seat: a thread that is found on another node goes on with a cache for that
 * node; bouncing it keeps those that it has, staying it gives up the others;
 * what it has goes home, or is forgotten; without memory it stays as it is.
 *
 * The thread is made by hand, and its CPU number stands in a variable: four
 * nodes are invented, and CPU n is on node n % 4.
 */
#include "config.h"
#include "meta.h"
#include "os.h"
#include "seat.h"
#include "tap.h"
#include "thread.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h> /* MAP_FAILED */

#define NHOMES 4
#define SIZE 100

static struct np_topology topology;
static struct np_classes classes;
static struct np_segment segment;
static struct np_nodes nodes, one_node; /* of all; of home 2 alone */
static unsigned class;

static volatile uint32_t cpu;
static struct np_thread thread;

static void make_nodes(struct np_nodes *n, const bool *in_set)
{
	struct np_nodes_plan plan = { .topology = &topology,
				      .classes = &classes,
				      .segment = &segment,
				      .name = "test",
				      .arenas = 1,
				      .policies = NP_ALL_POLICIES,
				      .decay_ms = -1,
				      .in_set = in_set };

	if (np_nodes_create(n, &plan))
		bail_out("no nodes");
	n->cache_pieces = NP_MAG_MOST;
	n->cache_bytes = NP_MIB;
}

static void make_world(void)
{
	static const bool only_two[NHOMES] = { [2] = true };
	static struct np_config config;
	struct np_segment_pool shown = { .name = "test",
					 .config = &config,
					 .classes = &classes,
					 .topology = &topology,
					 .narenas = NHOMES };

	np_config_preset(&config);
	np_topology_init(&topology, NHOMES);
	topology.ncpus = 16; /* more than the machine may have */
	for (unsigned i = 0; i < topology.ncpus; i++)
		topology.home_of_cpu[i] = (np_home_t)(i % NHOMES);
	np_meta_init(&topology);
	if (np_map_init() || np_classes_init(&classes, NP_FINE, 13, 4) ||
	    np_segment_create(&segment, NULL, &shown))
		bail_out("nothing to start with");
	make_nodes(&nodes, NULL);
	make_nodes(&one_node, only_two);
	class = np_class_of(&classes, SIZE);
}

/* The thread sits down on the node of this CPU. */
static struct np_seat *sit(const struct np_nodes *n, uint32_t on)
{
	struct np_seat *s;

	cpu = on;
	thread.cpu_word = &cpu;
	thread.fixed_home = -1;
	s = np_seat_create(&thread, n);
	if (!s)
		bail_out("no seat");
	thread.seat[0] = s;
	np_thread_sits(&thread, s);
	return s;
}

static void get_up(struct np_seat *s)
{
	thread.seat[0] = NULL;
	np_self = &np_cache_none;
	np_seat_destroy(s, false);
}

/* As the fast path: looks whether the CPU has changed. */
static struct np_cache *look(const struct np_seat *s)
{
	return np_cache_moved(s->now) ? np_seat_follow(s->now) : s->now;
}

static unsigned threads_on(unsigned home)
{
	return nodes.node[home].arenas[0]->nthreads;
}

static unsigned threads_on_any(void)
{
	unsigned n = 0;

	for (unsigned home = 0; home < NHOMES; home++)
		n += threads_on(home);
	return n;
}

static uint64_t taken(unsigned home)
{
	return np_count_get(&nodes.node[home].arenas[0]->count->taken);
}

static uint64_t in_depot(unsigned home)
{
	return np_count_get(&nodes.node[home].depot->node->depot_bytes);
}

static void empty_depots(void)
{
	for (unsigned i = 0; i < NHOMES; i++) {
		struct np_depot *d = nodes.node[i].depot;
		size_t bytes = d->inbox_bytes;

		np_mags_to_arenas(np_depot_receive(d));
		np_depot_received(d, bytes);
		for (unsigned k = 1; k < d->nclasses; k++)
			np_mags_to_arenas(np_depot_drain(d, k));
	}
}

static void *take(struct np_seat *s)
{
	void *p = np_cache_take(s->now, class);

	if (!p)
		bail_out("no piece");
	return p;
}

static void give(struct np_seat *s, void *p)
{
	np_cache_give(s->now, p, class, np_map_find(p));
}

/* --- following the CPU ------------------------------------------------- */

static void test_create(void)
{
	struct np_seat *s = sit(&nodes, 6);

	ok(s->now && s->now->home == 2 && s->now->seat == s,
	   "a seat has a cache for the node of the thread's CPU");
	ok(s->cache[2] == s->now && !s->cache[0] && !s->cache[1] &&
	   !s->cache[3], "and no other");
	is_ptr(np_self, s->now, "in the default pool that is np_self");
	is_uint(threads_on(2), 1, "its arena counts a thread");
	is_uint(s->made_on, 2, "it lies on that node itself");
	ok(!np_cache_moved(s->now), "it has not moved");
	get_up(s);
	is_uint(threads_on_any(), 0, "when it is given up no arena does");
}

static void test_follow(void)
{
	struct np_seat *s = sit(&nodes, 0);
	struct np_cache *first = s->now, *c;
	bool same = true;

	cpu = 4;
	ok(np_cache_moved(first), "the thread is on another CPU");
	ok(look(s) == first && !np_cache_moved(first),
	   "of the same node: it goes on with its cache");
	is_uint(np_count_get(&first->count->rehomes), 0,
		"which is no change of home");
	cpu = 1;
	c = look(s);
	ok(c != first && c->home == 1 && s->now == c && np_self == c,
	   "of another node: with one for that node");
	is_uint(np_count_get(&c->count->rehomes), 1, "it was rehomed");
	ok(!np_cache_moved(c), "and has not moved since");
	is_ptr(s->cache[0], first, "it keeps the other");
	is_uint(threads_on(0) + threads_on(1), 2, "both arenas count it");
	for (int i = 0; i < 1000; i++) {
		cpu = i % 2 ? 5 : 8;
		same = same && look(s) == (i % 2 ? c : first);
	}
	ok(same, "bouncing it goes on with the two that it has");
	is_uint(threads_on_any(), 2, "and has no others");
	get_up(s);
	is_uint(threads_on_any(), 0, "both are given up");
}

static void test_stay(void)
{
	struct np_seat *s = sit(&nodes, 0);
	struct np_cache *first = s->now, *now;

	give(s, take(s));
	ok(taken(0), "a cache has pieces");
	cpu = 3;
	now = np_seat_visit(s);
	is_uint(now->home, 3, "a visit follows the thread too");
	for (int i = 2; i < NP_STAY; i++)
		np_seat_visit(s);
	is_ptr(s->cache[0], first, "for some visits the old cache is kept");
	is_ptr(np_seat_visit(s), now, "then it is given up");
	ok(!s->cache[0] && s->cache[3] == now, "but not the one in use");
	is_uint(threads_on_any(), 1, "whose arena alone counts the thread");
	is_uint(in_depot(0), taken(0), "its pieces are in their depot");
	cpu = 0;
	ok(np_seat_visit(s)->home == 0, "it can come back");
	for (int i = 0; i < NP_STAY / 2; i++)
		np_seat_visit(s);
	cpu = 3;
	is_ptr(np_seat_visit(s), now, "and go again in time");
	for (int i = 0; i < NP_STAY / 2; i++)
		np_seat_visit(s);
	is_uint(threads_on_any(), 2, "visits count anew then");
	for (int i = 0; i < NP_STAY; i++)
		np_seat_visit(s);
	is_uint(threads_on_any(), 1, "until it has stayed again");
	get_up(s);
	empty_depots();
	is_uint(taken(0), 0, "nothing is lost");
}

static void test_sends(void)
{
	struct np_seat *s = sit(&nodes, 0);
	void *p = take(s);

	cpu = 1;
	look(s);
	give(s, p);
	ok(s->now->outgoing[0].mag->n == 1,
	   "a piece of another home waits");
	cpu = 2;
	look(s);
	ok(!s->cache[1]->outgoing[0].mag->n && nodes.node[0].depot->ninbox == 1,
	   "a thread that moves on sends it home");
	get_up(s);
	empty_depots();
	is_uint(taken(0), 0, "where it is found");
}

/* --- where it need not look ------------------------------------------- */

static void test_none(void)
{
	is_ptr(np_seat_follow(&np_cache_none), &np_cache_none,
	       "who has no cache is not followed");
}

static void test_one_home(void)
{
	struct np_seat *s = sit(&one_node, 0);

	is_uint(s->now->home, 2, "in a pool of one node the cache is for that");
	cpu = 1;
	ok(look(s) == s->now && s->now->home == 2, "wherever the thread goes");
	get_up(s);
}

static unsigned nlooks; /* calls of getcpu */

static int getcpu_counted(unsigned *on, unsigned *node)
{
	(void)node;
	nlooks++;
	*on = cpu;
	return 0;
}

/* No word of the kernel's tells the CPU. */
static void test_without_word(void)
{
	struct np_os os = np_os_linux;
	struct np_seat *s = sit(&nodes, 0);
	struct np_cache *first = s->now;
	bool same = true;

	os.getcpu = getcpu_counted;
	np_os = &os;
	thread.cpu_word = NULL;
	is_int(np_seat_settle(s), 0, "a thread that the kernel keeps no word "
	       "for settles");
	ok(np_cache_moved(first), "its fast path always asks");
	nlooks = 0;
	cpu = 1;
	for (int i = 1; i < NP_CALLS_A_LOOK; i++)
		same = same && look(s) == first;
	ok(same && !nlooks, "but few calls look");
	ok(look(s)->home == 1 && nlooks == 1, "one of %d does, and follows",
	   NP_CALLS_A_LOOK);
	for (int i = 0; i < 10 * NP_CALLS_A_LOOK; i++)
		look(s);
	is_uint(nlooks, 11, "and so on");
	get_up(s);
	np_os = &np_os_linux;
}

static void test_settle(void)
{
	struct np_seat *s = sit(&nodes, 0);
	void *p = take(s);

	thread.fixed_home = 3;
	is_int(np_seat_settle(s), 0, "a thread is put on a node");
	ok(s->now->home == 3 && np_self == s->now,
	   "and has a cache for that one");
	give(s, p);
	cpu = 1;
	ok(!np_cache_moved(s->now) && np_seat_visit(s)->home == 3,
	   "its CPU is of no matter then");
	thread.fixed_home = -1;
	is_int(np_seat_settle(s), 0, "it follows it again");
	is_uint(s->now->home, 1, "and is where it runs");
	is_uint(nodes.node[0].depot->ninbox, 1, "what waited was sent home");
	cpu = 2;
	is_uint(look(s)->home, 2, "and moves with it");
	get_up(s);
	empty_depots();
}

/* --- flushing and the end --------------------------------------------- */

/* Two caches with pieces in them. */
static struct np_seat *sit_on_two(void)
{
	struct np_seat *s = sit(&nodes, 0);
	void *p[2];

	p[0] = take(s);
	p[1] = take(s);
	give(s, p[0]);
	give(s, p[1]);
	cpu = 1;
	look(s);
	give(s, take(s));
	return s;
}

static void test_flush(void)
{
	struct np_seat *s = sit_on_two();

	ok(taken(0) && taken(1), "two caches have pieces");
	np_seat_flush(s, false);
	ok(!taken(0) && !taken(1), "a flush gives them back to the arenas");
	ok(s->cache[0] && s->cache[1], "the caches stay");
	give(s, take(s));
	np_seat_flush(s, true);
	is_uint(in_depot(1), taken(1), "or to the depots");
	ok(taken(1) > 0, "where they are");
	get_up(s);
	empty_depots();
	is_uint(taken(1), 0, "nothing is lost");
}

static void test_forget(void)
{
	struct np_seat *s = sit_on_two();
	uint64_t before = taken(0) + taken(1);

	thread.seat[0] = NULL;
	np_self = &np_cache_none;
	np_seat_destroy(s, true);
	ok(before && taken(0) + taken(1) == before && !in_depot(0) &&
	   !in_depot(1), "a seat that is forgotten gives nothing back");
	is_uint(threads_on_any(), 0, "but counts no more");
	np_arena_reset(nodes.node[0].arenas[0]);
	np_arena_reset(nodes.node[1].arenas[0]);
}

static void test_leaves_nothing(void)
{
	size_t before = 0;

	for (unsigned i = 0; i < 2000; i++) {
		struct np_seat *s = sit_on_two();

		cpu = i % 7;
		look(s);
		get_up(s);
		empty_depots();
		if (i == 20)
			before = np_meta_mapped();
	}
	is_size(np_meta_mapped(), before, "2000 seats leave nothing behind");
	is_uint(taken(0) + taken(1) + taken(2) + taken(3), 0,
		"and all their pieces went home");
}

/* --- without memory --------------------------------------------------- */

static void *no_mmap(void *addr, size_t size, int prot, int flags, int fd,
		     off_t offset)
{
	(void)addr, (void)size, (void)prot, (void)flags, (void)fd, (void)offset;
	return errno = ENOMEM, MAP_FAILED;
}

/* Takes all metadata memory of a home's that is as large as this, linked. */
static void **use_up(np_home_t home, size_t size)
{
	void **all = NULL, **p;

	while ((p = np_meta_alloc(home, size))) {
		*p = all;
		all = p;
	}
	return all;
}

static void give_back(np_home_t home, size_t size, void **all)
{
	while (all) {
		void **next = *all;

		np_meta_free(home, all, size);
		all = next;
	}
}

static void test_no_memory(void)
{
	struct np_os os = np_os_linux;
	struct np_seat *s = sit(&nodes, 0), *other;
	struct np_cache *first = s->now;
	void **all;

	os.mmap = no_mmap;
	np_os = &os;
	all = use_up(3, sizeof(struct np_cache));
	cpu = 3;
	is_ptr(look(s), first, "without memory a thread goes on as it was");
	ok(!s->cache[3] && !threads_on(3), "and is not counted elsewhere");
	is_uint(np_seat_visit(s)->home, 0, "also at a visit");
	thread.fixed_home = 3;
	is_int(np_seat_settle(s), ENOMEM, "it cannot be put there either");
	is_ptr(s->now, first, "and stays");
	thread.fixed_home = -1;
	other = np_seat_create(&thread, &nodes);
	ok(!other && !threads_on(3), "nor can it sit down there");
	np_os = &np_os_linux;
	give_back(3, sizeof(struct np_cache), all);
	is_uint(look(s)->home, 3, "with memory it moves");
	get_up(s);
	is_uint(threads_on_any(), 0, "nothing is left of it");
}

int main(void)
{
	plan(66);
	make_world();
	test_create();
	test_follow();
	test_stay();
	test_sends();
	test_none();
	test_one_home();
	test_without_word();
	test_settle();
	test_flush();
	test_forget();
	test_leaves_nothing();
	test_no_memory();
	return done();
}
