/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * magazine: holds as many pieces as it says, starts empty, costs no memory
 * once it is given back, and is NULL where there is none; and its pieces find
 * their arenas.
 */
#include "arena.h"
#include "faultos.h"
#include "magazine.h"
#include "meta.h"
#include "tap.h"
#include "topology.h"

#define NCAPS (NP_MAG_MOST + 1)

static struct np_topology topology;

/* All of them at once, each filled with its own addresses. */
static void test_capacities(void)
{
	static struct np_mag *mags[NCAPS];
	bool empty = true, kept = true;

	for (uint32_t cap = 1; cap < NCAPS; cap++) {
		struct np_mag *m = np_mag_create(1, cap);

		if (!m)
			bail_out("no memory");
		empty = empty && m->cap == cap && !m->n && !m->next &&
			m->home == 1;
		while (m->n < m->cap) {
			m->slot[m->n] = &m->slot[m->n];
			m->n++;
		}
		mags[cap] = m;
	}
	ok(empty, "magazines for 1 to %u pieces start empty", NP_MAG_MOST);
	for (uint32_t cap = 1; cap < NCAPS; cap++) {
		struct np_mag *m = mags[cap];

		kept = kept && m->n == cap;
		for (uint32_t i = 0; i < cap; i++)
			kept = kept && m->slot[i] == &m->slot[i];
		np_mag_destroy(m);
	}
	ok(kept, "they hold them all, and no one else's");
}

static void test_reuse(void)
{
	size_t before = np_meta_mapped();
	bool empty = true;

	for (int i = 0; i < 100000; i++) {
		struct np_mag *m = np_mag_create(1, NP_MAG_FIRST);

		empty = empty && m && !m->n && m->cap == NP_MAG_FIRST;
		m->n = 5;
		np_mag_destroy(m);
	}
	ok(empty, "one that was given back comes again empty");
	is_size(np_meta_mapped(), before, "100000 of them map nothing more");
}

/* What one home gave back the other does not get. */
static void test_homes(void)
{
	struct np_mag *m[2], *again;

	for (np_home_t home = 0; home < 2; home++)
		m[home] = np_mag_create(home, 100);
	ok(m[0] && m[1] && m[0]->home == 0 && m[1]->home == 1,
	   "a magazine knows whose memory it is");
	np_mag_destroy(m[0]);
	again = np_mag_create(1, 100);
	ok(again != m[0], "its home has it back, and no other");
	np_mag_destroy(again);
	again = np_mag_create(0, 100);
	is_ptr(again, m[0], "who asks there gets it");
	np_mag_destroy(again);
	np_mag_destroy(m[1]);
}

static void test_none(void)
{
	ok(np_mag_none.n == np_mag_none.cap && !np_mag_none.n,
	   "the magazine of those who have none is empty and full");
	np_mag_destroy(&np_mag_none);
	np_mag_destroy(NULL);
	ok(!np_mag_none.n && !np_mag_none.cap,
	   "destroying it, or NULL, does nothing");
}

static void test_no_memory(void)
{
	struct np_mag *m = NULL;
	unsigned n = 0;

	faultos_begin();
	faultos_fail(1, ENOMEM);
	while (!faultos_failed() && n++ < 10000) {
		errno = 0;
		m = np_mag_create(0, NP_MAG_MOST);
	}
	ok(!m && errno == ENOMEM, "without memory: NULL and ENOMEM");
	faultos_end();
	m = np_mag_create(0, NP_MAG_MOST);
	ok(m && !m->n, "and it works again when there is some");
}

/* --- back into arenas ------------------------------------------------- */

#define NARENAS 3
#define NPIECES 64

static struct np_arena arenas[NARENAS];

/* Bytes of pieces that they have handed out. */
static size_t taken(void)
{
	size_t sum = 0;

	for (int i = 0; i < NARENAS; i++)
		sum += np_count_get(&arenas[i].count->taken);
	return sum;
}

/* A magazine of pieces of all arenas and of two classes, before `next`. */
static struct np_mag *make_mixed(const struct np_classes *classes,
				 struct np_mag *next)
{
	struct np_mag *m = np_mag_create(0, NPIECES);

	if (!m)
		bail_out("no memory");
	for (; m->n < NPIECES; m->n++)
		if (np_arena_take(&arenas[m->n % NARENAS],
				  np_class_of(classes,
					      m->n % 2 ? 64 : 40000),
				  1, &m->slot[m->n]) != 1)
			bail_out("no memory");
	m->next = next;
	return m;
}

static void test_to_arenas(void)
{
	static const struct np_owner owner = { .bind_node = NP_ANYWHERE,
					       .pool = "x" };
	static struct np_classes classes;
	struct np_mag *mags, *first;
	bool empty = true;

	if (np_map_init() || np_classes_init(&classes, NP_FINE, 13, 11))
		bail_out("nothing to start with");
	for (unsigned i = 0; i < NARENAS; i++)
		np_arena_init(&arenas[i], &classes, &owner, i,
			      NP_ALL_POLICIES, -1);
	first = make_mixed(&classes, NULL);
	mags = make_mixed(&classes, make_mixed(&classes, first));
	is_size(taken(), 3 * NPIECES / 2 * (64 + 40 * NP_KIB),
		"three magazines of pieces of three arenas");
	np_mags_to_arenas(mags);
	for (int i = 0; i < NARENAS; i++)
		empty = empty && !np_count_get(&arenas[i].count->taken);
	ok(empty, "each arena gets its own back, and all of them");
	is_ptr(np_mag_create(0, NPIECES), first, "the last magazine is free "
	       "again");
	np_mags_to_arenas(NULL);
	np_mags_to_arenas(np_mag_create(0, 8));
	ok(!taken(), "no magazine, or an empty one, is none");
	for (int i = 0; i < NARENAS; i++)
		np_arena_fini(&arenas[i]);
}

int main(void)
{
	plan(15);
	np_topology_init(&topology, 2);
	np_meta_init(&topology);
	test_capacities();
	test_reuse();
	test_homes();
	test_none();
	test_no_memory();
	test_to_arenas();
	return done();
}
