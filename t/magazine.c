/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * magazine: holds as many pieces as it says, starts empty, costs no memory
 * once it is given back, and is NULL where there is none.
 */
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
		empty = empty && m->cap == cap && !m->n && !m->next;
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
		np_mag_destroy(1, m);
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
		np_mag_destroy(1, m);
	}
	ok(empty, "one that was given back comes again empty");
	is_size(np_meta_mapped(), before, "100000 of them map nothing more");
}

static void test_none(void)
{
	ok(np_mag_none.n == np_mag_none.cap && !np_mag_none.n,
	   "the magazine of those who have none is empty and full");
	np_mag_destroy(1, &np_mag_none);
	np_mag_destroy(1, NULL);
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

int main(void)
{
	plan(8);
	np_topology_init(&topology, 2);
	np_meta_init(&topology);
	test_capacities();
	test_reuse();
	test_none();
	test_no_memory();
	return done();
}
