/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * Which pieces of a recording live: when a pool is reset, beside many pieces of
 * another one.
 */
#include "tap.h"
#include "lives.h"
#include "tool.h"

#define MANY 200000  /* pieces of the default pool */
#define RESETS 20000 /* of another one */
#define EACH 10	     /* pieces that a reset throws away */
#define FIRST ((uint64_t)1 << 32) /* address */

const char tool_name[] = "lives.t";

static struct change apply(struct lives *l, unsigned kind, unsigned pool,
			   uint64_t addr, uint64_t size)
{
	const struct event e = { .kind = (uint8_t)kind, .pool = (uint8_t)pool,
				 .addr = addr, .size = size,
				 .stack = RECORDING_NO_STACK };

	return lives_apply(l, &e);
}

static void be_born(struct lives *l, unsigned pool, uint64_t first, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		apply(l, NP_TRACE_ALLOC, pool, first + i * 16, 16);
}

static size_t count_table(const struct lives *l)
{
	size_t n = 0;

	for (size_t i = 0; i < l->room; i++)
		n += lives_has(l, &l->table[i]);
	return n;
}

static void test_reset(void)
{
	struct lives l;

	lives_init(&l);
	be_born(&l, 0, FIRST, 3);
	be_born(&l, 1, 2 * FIRST, 5);
	apply(&l, NP_TRACE_RESET, 1, 0, 0);
	is_uint(l.n, 3, "a pool is reset: pieces of another live");
	is_uint(l.bytes, 48, "with their bytes");
	is_uint(count_table(&l), 3, "and are in the table");
	is_uint(l.gone, 5, "its own are gone");
	apply(&l, NP_TRACE_FREE, 1, 2 * FIRST, 0);
	is_uint(l.strangers, 1, "to free one of them makes no sense");
	be_born(&l, 1, 2 * FIRST, 1);
	is_uint(l.replaced, 0, "one that is born in its place replaces none");
	is_int(apply(&l, NP_TRACE_FREE, 1, 2 * FIRST, 0).kind, CHANGE_DIED,
	       "and can be freed");
	apply(&l, NP_TRACE_MOVE, 1, 2 * FIRST + 16, 0);
	is_int(apply(&l, NP_TRACE_RESIZE, 1, 2 * FIRST + 16, 32).kind,
	       CHANGE_NONE, "one that is gone is not resized");
	apply(&l, NP_TRACE_START, 0, 0, 0);
	is_uint(l.n + l.bytes + l.usable + count_table(&l), 0,
		"another program begins with none");
	is_uint(l.gone, 8, "all are gone");
	lives_free(&l);
}

static void test_resets(void)
{
	struct lives l;
	const struct piece *table;
	unsigned rebuilt = 0;

	lives_init(&l);
	be_born(&l, 0, FIRST, MANY);
	for (unsigned i = 0; i < RESETS; i++) {
		/* Not always in the same places. */
		be_born(&l, 1, 2 * FIRST + i % 1024 * 4096, EACH);
		table = l.table;
		apply(&l, NP_TRACE_RESET, 1, 0, 0);
		rebuilt += l.table != table;
	}
	is_uint(rebuilt, 0, "a reset does not go through what lives in another "
		"pool: the table stays");
	is_uint(l.n, MANY, "all of that lives");
	is_uint(l.gone, (uint64_t)EACH * RESETS, "all others are gone");
	is_uint(count_table(&l), MANY, "the table says the same");
	ok(l.room <= 4 * MANY, "and is no larger for them");
	lives_free(&l);
}

int main(void)
{
	plan(15);
	test_reset();
	test_resets();
	return done();
}
