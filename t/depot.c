/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * depot: full magazines are exchanged for empty ones, whole; shelves and the
 * inbox are bounded in magazines and bytes, and count what they hold; a tick
 * takes what nobody needed since the last; threads that exchange at once lose
 * nothing and get nothing twice.
 *
 * The pieces are numbers here: a depot never looks at them.
 */
#include "config.h"
#include "depot.h"
#include "faultos.h"
#include "meta.h"
#include "rng.h"
#include "sizeclass.h"
#include "tap.h"
#include "topology.h"

#include <pthread.h>
#include <string.h>

#define HOME 1
#define CLASS 3
#define SIZE ((size_t)classes.row[CLASS].size)

static struct np_topology topology;
static struct np_classes classes;
static struct np_segment segment;
static struct np_segment_node *node;
static struct np_depot *depot;

/* The table, as if it had only so many rows, or more. */
static const struct np_classes *rows(unsigned n)
{
	static struct np_classes t;

	t = classes;
	t.n = (uint16_t)n;
	return &t;
}

static struct np_mag *magazine(uint32_t n)
{
	struct np_mag *m = np_mag_create(HOME, 64);

	if (!m)
		bail_out("no memory");
	for (m->n = 0; m->n < n; m->n++)
		m->slot[m->n] = (void *)(uintptr_t)(m->n + 1);
	return m;
}

static uint64_t counted(void)
{
	return np_count_get(&node->depot_bytes);
}

static unsigned length(const struct np_mag *m)
{
	unsigned n = 0;

	for (; m; m = m->next)
		n++;
	return n;
}

static void destroy_all(struct np_mag *m)
{
	while (m) {
		struct np_mag *next = m->next;

		np_mag_destroy(m);
		m = next;
	}
}

/* --- shelves ---------------------------------------------------------- */

static void test_exchange(void)
{
	struct np_mag *a = magazine(64), *b = magazine(10), *mine, *other;

	mine = magazine(0);
	ok(!np_depot_get(depot, CLASS, mine),
	   "an empty shelf gives nothing");
	ok(np_depot_put(depot, CLASS, a, &other) && !other,
	   "and takes a magazine; it did not keep the empty one");
	is_uint(counted(), 64 * SIZE, "its bytes count");
	ok(np_depot_put(depot, CLASS, b, &other) && !other,
	   "it takes another, that is not full");
	is_uint(counted(), 74 * SIZE, "its bytes count too");
	is_ptr(np_depot_get(depot, CLASS + 1, mine), NULL,
	       "the shelf beside it has nothing");
	is_ptr(np_depot_get(depot, CLASS, mine), b,
	       "the last one comes out first");
	is_ptr(np_depot_get(depot, CLASS, NULL), a,
	       "then the other, also for nothing");
	ok(a->n == 64 && b->n == 10 && a->slot[63] == (void *)64,
	   "with their pieces");
	is_uint(counted(), 0, "nothing counts any more");
	ok(np_depot_put(depot, CLASS, a, &other) && other == mine,
	   "an empty one that was left is handed out in exchange");
	ok(np_depot_put(depot, CLASS, b, &other) && !other,
	   "once");
	np_mag_destroy(mine);
	is_uint(length(mine = np_depot_drain(depot, CLASS)), 2,
		"draining takes both");
	is_uint(counted(), 0, "and their bytes");
	destroy_all(mine);
}

/* Magazines of 64 that a shelf takes; the one too many is handed in again. */
static unsigned shelf_takes(unsigned class, unsigned most, struct np_mag **m)
{
	struct np_mag *empty;
	unsigned n = 0;

	while (*m = magazine(64), n < most &&
	       np_depot_put(depot, class, *m, &empty))
		n++;
	return n;
}

static void test_shelf_bounds(void)
{
	unsigned large = np_class_of(&classes, 4000), run;
	size_t size = classes.row[large].size;
	struct np_mag *m, *empty;

	is_uint(shelf_takes(CLASS, 10000, &m), NP_DEPOT_PIECES / 64,
		"a shelf holds NP_DEPOT_PIECES");
	ok(m->n == 64, "what it refuses it leaves alone");
	is_uint(counted(), NP_DEPOT_PIECES * SIZE, "nor does it count");
	ok(np_depot_put(depot, CLASS + 1, m, &empty),
	   "the shelf beside it has room");
	destroy_all(np_depot_drain(depot, CLASS + 1));
	destroy_all(np_depot_drain(depot, CLASS));
	is_uint(shelf_takes(large, 10000, &m), NP_DEPOT_BYTES / (64 * size),
		"or NP_DEPOT_BYTES, if that is less");
	np_mag_destroy(m);
	ok(!np_depot_has_runs(depot), "elements are no runs");
	destroy_all(np_depot_drain(depot, large));
	run = np_class_of(&classes, 64 * NP_KIB);
	is_uint(shelf_takes(run, 1000, &m), 1000, "of runs it holds any");
	ok(np_depot_has_runs(depot), "and knows that it has some");
	np_mag_destroy(m);
	destroy_all(np_depot_drain(depot, run));
	ok(!np_depot_has_runs(depot), "or none any more");
	is_uint(counted(), 0, "drained, nothing counts");
}

static void test_empties_freed(void)
{
	struct np_mag *empty;
	size_t before = 0;

	for (int round = 0; round < 2000; round++) {
		for (int i = 0; i < 5; i++)
			np_depot_put(depot, CLASS, magazine(1), &empty);
		for (int i = 0; i < 5; i++)
			np_mag_destroy(np_depot_get(depot, CLASS,
						    magazine(0)));
		destroy_all(np_depot_drain(depot, CLASS));
		if (round == 10)
			before = np_meta_mapped();
	}
	is_size(np_meta_mapped(), before,
		"draining frees the empty ones: nothing leaks");
}

/* --- ticks ------------------------------------------------------------ */

static void put(uint32_t n)
{
	struct np_mag *empty;

	if (!np_depot_put(depot, CLASS, magazine(n), &empty))
		bail_out("the shelf is full");
	np_mag_destroy(empty);
}

static struct np_mag *get(void)
{
	return np_depot_get(depot, CLASS, NULL);
}

/* How many magazines a tick takes. */
static unsigned tick(void)
{
	struct np_mag *old = np_depot_tick(depot, CLASS);
	unsigned n = length(old);

	destroy_all(old);
	return n;
}

static void test_tick(void)
{
	is_uint(tick(), 0, "a tick takes nothing from an empty shelf");
	for (int i = 0; i < 5; i++)
		put(10);
	is_uint(tick(), 0, "nor what has just come");
	is_uint(counted(), 50 * SIZE, "which counts");
	for (int i = 0; i < 3; i++)
		np_mag_destroy(get());
	for (int i = 0; i < 3; i++)
		put(10);
	is_uint(tick(), 2, "of five of which three were needed it takes two");
	is_uint(counted(), 30 * SIZE, "the others count");
	is_uint(tick(), 3, "when none was needed it takes all");
	is_uint(counted(), 0, "then nothing counts");
	is_uint(tick(), 0, "and nothing is there");
}

/* What is needed is counted in bytes: magazines are not all full. */
static void test_tick_bytes(void)
{
	struct np_mag *mag;

	put(64);
	put(3);
	put(20);
	is_uint(tick(), 0, "three magazines of 87 pieces come");
	mag = get(); /* of 20: 67 lay there all the time */
	is_uint(tick(), 2, "what is smaller than what lay there goes");
	is_uint(counted(), 0, "and counts no more");
	np_mag_destroy(mag);
	put(64);
	put(64);
	is_uint(tick(), 0, "two large ones come");
	np_mag_destroy(get());
	put(3);
	is_uint(tick(), 1, "64 pieces were not needed: the small one goes");
	is_uint(counted(), 64 * SIZE, "but not a large one besides");
	is_uint(tick(), 1, "until the next");
}

static void test_tick_empties(void)
{
	struct np_mag *full, *empty;

	put(1);
	put(1);
	np_mag_destroy(np_depot_get(depot, CLASS, magazine(0)));
	tick();
	ok(np_depot_put(depot, CLASS, full = magazine(1), &empty) &&
	   empty, "a tick that leaves full magazines leaves empty ones");
	is_ptr(np_depot_get(depot, CLASS, empty), full,
	       "which are exchanged");
	np_mag_destroy(full);
	tick();
	is_uint(tick(), 0, "when all full ones have gone");
	ok(np_depot_put(depot, CLASS, magazine(1), &empty) && !empty,
	   "the empty ones have too");
	destroy_all(np_depot_drain(depot, CLASS));
}

/* --- inbox ------------------------------------------------------------ */

static void test_inbox(void)
{
	struct np_mag *m, *mail;
	unsigned n = 0;

	ok(!np_depot_receive(depot), "there is no mail at first");
	while (m = magazine(2), n < 1000 && np_depot_send(depot, m, 2 * SIZE))
		n++;
	is_uint(n, NP_INBOX_MAGS, "an inbox holds so many magazines");
	ok(m->n == 2, "what it refuses it leaves alone");
	is_uint(counted(), NP_INBOX_MAGS * 2 * SIZE, "what it holds counts");
	mail = np_depot_receive(depot);
	is_uint(length(mail), NP_INBOX_MAGS, "it is received whole");
	ok(!np_depot_receive(depot), "and once");
	is_uint(counted(), NP_INBOX_MAGS * 2 * SIZE,
		"it counts until it has gone elsewhere");
	np_depot_received(depot, NP_INBOX_MAGS * 2 * SIZE);
	is_uint(counted(), 0, "then no more");
	ok(np_depot_send(depot, m, 2 * SIZE), "there is room again");
	destroy_all(mail);
	destroy_all(np_depot_receive(depot));
	np_depot_received(depot, 2 * SIZE);
}

static void test_inbox_bytes(void)
{
	unsigned n = 0;
	struct np_mag *m;

	while (m = magazine(1), n < 1000 &&
	       np_depot_send(depot, m, NP_INBOX_BYTES / 4))
		n++;
	is_uint(n, 4, "an inbox holds NP_INBOX_BYTES");
	np_mag_destroy(m);
	destroy_all(np_depot_receive(depot));
	np_depot_received(depot, NP_INBOX_BYTES);
	is_uint(counted(), 0, "received, nothing counts");
}

/* --- threads ---------------------------------------------------------- */

#define NTHREADS 4
#define NOPS 20000
#define NMAGS 32 /* so many pieces are about, one in a magazine */

/* Pieces are bits: each exists once. Returns those that it holds at the
 * end. */
static void *exchange(void *arg)
{
	struct rng rng = rng_seed((uintptr_t)arg);
	uint64_t held = (uint64_t)0xff << 8 * (uintptr_t)arg;

	for (int op = 0; op < NOPS; op++) {
		bool by_mail = rng_chance(&rng, 50);
		struct np_mag *m, *empty = NULL;

		if (held && rng_chance(&rng, 60)) {
			m = magazine(0);
			m->slot[m->n++] = (void *)(uintptr_t)(held & -held);
			if (by_mail ? np_depot_send(depot, m, SIZE)
				    : np_depot_put(depot, CLASS, m,
						   &empty))
				held &= held - 1;
			else
				np_mag_destroy(m);
			np_mag_destroy(empty);
			continue;
		}
		m = by_mail ? np_depot_receive(depot)
			    : np_depot_get(depot, CLASS, NULL);
		if (by_mail)
			np_depot_received(depot, length(m) * SIZE);
		else if (m)
			m->next = NULL; /* ours alone now */
		for (struct np_mag *i = m; i; i = i->next)
			held += (uintptr_t)i->slot[0];
		destroy_all(m);
	}
	return (void *)(uintptr_t)held;
}

static void test_threads(void)
{
	pthread_t threads[NTHREADS];
	uint64_t all = 0;
	struct np_mag *m;

	for (uintptr_t i = 0; i < NTHREADS; i++)
		if (pthread_create(&threads[i], NULL, exchange, (void *)i))
			bail_out("no thread");
	for (int i = 0; i < NTHREADS; i++) {
		void *held;

		pthread_join(threads[i], &held);
		all += (uintptr_t)held;
	}
	m = np_depot_receive(depot);
	np_depot_received(depot, length(m) * SIZE);
	for (struct np_mag *i = m; i; i = i->next)
		all += (uintptr_t)i->slot[0];
	destroy_all(m);
	m = np_depot_drain(depot, CLASS);
	for (struct np_mag *i = m; i; i = i->next)
		all += (uintptr_t)i->slot[0];
	destroy_all(m);
	is_hex(all, ((uint64_t)1 << NMAGS) - 1,
	       "%d pieces that %d threads exchange are each there once",
	       NMAGS, NTHREADS);
	is_uint(counted(), 0, "and none is counted where it is not");
}

/* --- making one ------------------------------------------------------- */

static void test_create(void)
{
	struct np_depot *d;
	bool clean = true;

	faultos_begin();
	faultos_fail(1, ENOMEM);
	errno = 0;
	d = np_depot_create(HOME, rows(250), node);
	ok(!d && errno == ENOMEM, "no memory: NULL and ENOMEM");
	faultos_fail(0, 0);
	d = np_depot_create(HOME, rows(250), node);
	for (unsigned c = 0; c < d->nclasses; c++)
		clean = clean && (uintptr_t)&d->shelf[c] % NP_LINE == 0 &&
			!d->shelf[c].full && !d->shelf[c].bytes;
	ok(d->nclasses == 251 && clean,
	   "else empty shelves, each on cache lines of its own");
	faultos_end();
	np_depot_lock_all(d);
	np_depot_unlock_all(d);
	ok(!np_depot_get(d, 250, NULL), "all its locks come free again");
	np_depot_destroy(d);
}

/* --- the end ---------------------------------------------------------- */

static void fill(struct np_depot *d)
{
	struct np_mag *empty;

	for (unsigned class = 1; class < d->nclasses; class++) {
		np_depot_put(d, class, magazine(5), &empty);
		np_depot_put(d, class, magazine(5), &empty);
		np_mag_destroy(np_depot_get(d, class, magazine(0)));
	}
	np_depot_send(d, magazine(7), 7 * SIZE);
	np_depot_send(d, magazine(2), 2 * SIZE);
}

static void test_forget(void)
{
	struct np_depot *d = np_depot_create(HOME, rows(7), node);
	size_t bytes = 9 * SIZE; /* in the inbox */

	fill(d);
	for (unsigned class = 1; class <= 7; class++)
		bytes += (size_t)5 * classes.row[class].size;
	is_uint(counted(), bytes,
		"seven shelves and an inbox hold something");
	np_depot_forget(d);
	is_uint(counted(), 0, "a depot that forgets holds nothing");
	ok(!np_depot_receive(d) && !np_depot_get(d, 7, NULL),
	   "and gives nothing");
	fill(d);
	is_uint(counted(), bytes, "it can be filled again");
	np_depot_destroy(d);
	is_uint(counted(), 0, "one that ends holds nothing either");
}

static void test_ends(void)
{
	size_t before = 0;

	for (int round = 0; round < 1000; round++) {
		struct np_depot *d = np_depot_create(HOME, rows(99), node);

		fill(d);
		np_depot_destroy(d);
		if (round == 10)
			before = np_meta_mapped();
	}
	is_size(np_meta_mapped(), before, "1000 depots leave nothing behind");
}

int main(void)
{
	struct np_config config;
	struct np_segment_pool shown = { .name = "test",
					 .config = &config,
					 .classes = &classes,
					 .topology = &topology,
					 .narenas = 1 };

	plan(66);
	np_config_preset(&config);
	np_topology_init(&topology, 2);
	np_meta_init(&topology);
	if (np_classes_init(&classes, NP_FINE, 13, 11) ||
	    np_segment_create(&segment, NULL, &shown))
		bail_out("nothing to start with");
	node = np_segment_node(&segment, HOME);
	depot = np_depot_create(HOME, &classes, node);
	if (!depot)
		bail_out("no depot");
	test_exchange();
	test_shelf_bounds();
	test_empties_freed();
	test_tick();
	test_tick_bytes();
	test_tick_empties();
	test_inbox();
	test_inbox_bytes();
	test_threads();
	test_create();
	test_forget();
	test_ends();
	return done();
}
