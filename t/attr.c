/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * attr: what npool_create takes and what it refuses, field by field; and the
 * options of a pool that is there.
 */
#include "attr.h"
#include "conf.h"
#include "npool.h"
#include "pool.h"
#include "tap.h"

#include <errno.h>

/* --- attributes that are wrong ---------------------------------------- */


#define WRONG(field_, value_)                                        \
	do {                                                         \
		struct npool_attr a = NPOOL_ATTR_INIT;               \
		a.field_ = value_;                                   \
		is_refused(&a, #field_, #field_ " = " #value_);      \
	} while (0)

/* The message names the pool and the field. */
static void is_refused(const struct npool_attr *attr, const char *field,
		       const char *what)
{
	char text[CHILD_TEXT_MAX];
	struct catch caught = catch_begin();
	npool_t *pool = NULL;
	int error = npool_create(&pool, attr);

	catch_end(&caught, text);
	if (!ok(error == EINVAL && !pool && strstr(text, field) &&
		strstr(text, "npool_create: pool pool: "),
		"%s is refused, and named", what))
		diag("%d: %s", error, text);
}

static void test_wrong(void)
{
	WRONG(policy, 2);
	WRONG(huge_pages, 4);
	WRONG(classes, 2);
	WRONG(page_size, 2048);
	WRONG(page_size, 12288);
	WRONG(page_size, 2 << 20);
	WRONG(max_order, 15);
	WRONG(arenas, 65);
	WRONG(cache_pieces, 513);
	WRONG(cache_bytes, ((size_t)1 << 30) + 1);
	WRONG(huge_bytes, SIZE_MAX);
	WRONG(decay_ms, -2);
	WRONG(soft_limit, SIZE_MAX);
	WRONG(hard_limit, SIZE_MAX);
	WRONG(node_soft_limit, SIZE_MAX);
	WRONG(node_hard_limit, SIZE_MAX);
	WRONG(flags, 8);
}

static void test_wrong_together(void)
{
	struct npool_attr a = NPOOL_ATTR_INIT;
	char list[400];

	a.page_size = 1 << 20;
	a.max_order = 11;
	is_refused(&a, "max_order", "a chunk of 2 GiB");
	a = (struct npool_attr)NPOOL_ATTR_INIT;
	memset(list, '1', sizeof list - 1);
	list[sizeof list - 1] = '\0';
	a.nodes = list;
	is_refused(&a, "nodes", "a list of 399 bytes");
}

static void test_nodes(const char *list, bool good)
{
	struct npool_attr a = NPOOL_ATTR_INIT;
	char text[CHILD_TEXT_MAX];
	struct catch caught;
	npool_t *pool = NULL;
	int error;

	a.nodes = list;
	caught = catch_begin();
	error = npool_create(&pool, &a);
	catch_end(&caught, text);
	ok(error == (good ? 0 : EINVAL) && (good || strstr(text, "no list")),
	   "nodes '%s' %s", list, good ? "are there" : "are refused");
	npool_destroy(pool);
}

/* --- the struct's size ------------------------------------------------ */

static void test_size(void)
{
	struct {
		struct npool_attr attr;
		char more[16];
	} a = { NPOOL_ATTR_INIT, { 0 } };
	char text[CHILD_TEXT_MAX];
	struct catch caught;
	npool_t *pool;

	a.attr.size = sizeof a;
	is_int(npool_create(&pool, &a.attr), 0,
	       "a larger struct is taken if what is new is zero");
	npool_destroy(pool);
	a.more[15] = 1;
	is_int(npool_create(&pool, &a.attr), E2BIG, "if not, it is refused");
	caught = catch_begin();
	a.attr.size = 8;
	is_int(npool_create(&pool, &a.attr), EINVAL, "so is a small one");
	catch_end(&caught, text);
	ok(strstr(text, "attr->size is 8"), "and a line says so");
	is_int(npool_create(&pool, NULL), 0, "none is as good as the presets");
	npool_destroy(pool);
}

/* --- how many --------------------------------------------------------- */

static void test_most(void)
{
	npool_t *pools[NP_MAX_POOLS];
	struct npool_attr a = NPOOL_ATTR_INIT;
	unsigned n = 0, nalive = 0;

	a.max_order = 0;
	while (n < NP_MAX_POOLS && npool_create(&pools[n], &a) == 0)
		n++;
	is_uint(n, NP_MAX_POOLS - 1, "there can be %u pools", n);
	is_int(npool_create(&pools[n], &a), EAGAIN, "and no more");
	for (unsigned i = 0; i < n; i++) {
		void *p = npool_alloc(pools[i], 100, 0);

		nalive += p && np_pool_of(np_map_find(p)) == pools[i];
	}
	is_uint(nalive, n, "each piece says whose it is");
	npool_destroy(pools[5]);
	is_int(npool_create(&pools[5], &a), 0, "one goes, and one may come");
	for (unsigned i = 0; i < n; i++)
		npool_destroy(pools[i]);
}

/* --- options ---------------------------------------------------------- */

static void option_is(npool_t *pool, const char *name, const char *wanted)
{
	char text[300];
	int error = npool_option_get(pool, name, text, sizeof text);

	ok(!error && !strcmp(text, wanted), "%s is %s", name, wanted);
}

static void test_as_options(void)
{
	struct npool_attr a = NPOOL_ATTR_INIT;
	npool_t *pool;

	a.name = "a name of more than thirty-one bytes";
	a.nodes = "0,1";
	a.policy = NPOOL_INTERLEAVE;
	a.classes = NPOOL_NETTY;
	a.page_size = 4096;
	a.hard_limit = 1 << 30;
	a.flags = NPOOL_PINNED;
	a.huge_pages = NPOOL_HUGE_HUGETLB;
	if (npool_create(&pool, &a))
		bail_out("no pool");
	option_is(pool, "node_set", "0+1");
	option_is(pool, "policy", "interleave");
	option_is(pool, "classes", "netty");
	option_is(pool, "page_size", "4096");
	option_is(pool, "hard_limit", "1073741824");
	option_is(pool, "pinned", "1");
	option_is(pool, "huge_pages", "hugetlb");
	option_is(pool, "zero_on_free", "0");
	option_is(pool, "decay_ms", "10000");
	option_is(pool, "nodes", "2"); /* the process's */
	is_str(pool->name, "a name of more than thirty-one ",
	       "31 bytes of the name are kept");
	npool_destroy(pool);
}

static void test_set(void)
{
	npool_t *pool;
	char text[4];

	if (npool_create(&pool, NULL))
		bail_out("no pool");
	is_int(npool_option_set(pool, "what", "1"), ENOENT, "no such option");
	is_int(npool_option_get(pool, "what", text, 4), ENOENT, "nor to get");
	is_int(npool_option_set(pool, "page_size", "4096"), EPERM,
	       "what is fixed is not set");
	is_int(npool_option_set(pool, "check", "1"), EPERM,
	       "nor is what is fixed for the process");
	is_int(npool_option_set(pool, "decay_ms", "soon"), EINVAL,
	       "no number is refused");
	is_int(npool_option_set(pool, "hard_limit", "3X"), EINVAL,
	       "so is an unknown unit");
	is_int(npool_option_get(pool, "decay_ms", text, 4), ERANGE,
	       "no room for the value");
	is_int(npool_option_set(pool, "hard_limit", "20M"), 0,
	       "a limit is set");
	option_is(pool, "hard_limit", "20971520");
	ok(!npool_alloc(pool, 21 << 20, 0) && errno == ENOMEM, "and holds");
	is_int(npool_option_set(pool, "hard_limit", "0"), 0, "it is lifted");
	ok(npool_alloc(pool, 21 << 20, 0), "and holds no more");
	is_int(npool_option_set(pool, "decay_ms", "0"), 0, "decay at once");
	option_is(pool, "decay_ms", "0");
	is_int(npool_option_set(pool, "cache_bytes", "64K"), 0,
	       "a smaller cache");
	is_int(npool_option_set(pool, "huge_bytes", "0"), 0,
	       "no huge blocks are kept");
	npool_destroy(pool);
}

int main(int argc, char **argv)
{
	(void)argc;
	conf_restart(argv, "nodes:2");
	plan(62);
	test_wrong();
	test_wrong_together();
	test_nodes("0", true);
	test_nodes("0-1", true);
	test_nodes("1,0", true);
	test_nodes("2", false);
	test_nodes("1-0", false);
	test_nodes("x", false);
	test_nodes("0,", false);
	test_size();
	test_most();
	test_as_options();
	test_set();
	return done();
}
