/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * limit: what is charged is charged to both limits or to neither; hard limits
 * refuse to the byte, whoever races; soft ones are noticed, and told of once
 * as long as they are passed. Against a model, and in threads.
 */
#include "limit.h"
#include "rng.h"
#include "tap.h"

#include <pthread.h>

#define NO_LIMIT 0

static struct np_limit node, pool;
static const struct np_limits both = { &node, &pool };
static const struct np_limits node_only = { .node = &node };
static const struct np_limits pool_only = { .pool = &pool };
static const struct np_limits neither;

static void set(struct np_limit *limit, size_t soft, size_t hard)
{
	atomic_store(&limit->soft, soft);
	atomic_store(&limit->hard, hard);
}

/* Nothing is charged, and hard limits are these. */
static void begin(size_t node_hard, size_t pool_hard)
{
	struct np_limit *limits[] = { &node, &pool };

	for (int i = 0; i < 2; i++) {
		atomic_store(&limits[i]->charged, 0);
		atomic_store(&limits[i]->over, false);
		atomic_store(&limits[i]->told, false);
	}
	set(&node, NO_LIMIT, node_hard);
	set(&pool, NO_LIMIT, pool_hard);
}

static bool charged_is(size_t of_node, size_t of_pool)
{
	if (np_limit_charged(&node) == of_node &&
	    np_limit_charged(&pool) == of_pool)
		return true;
	diag("node %zu, wanted %zu; pool %zu, wanted %zu",
	     np_limit_charged(&node), of_node, np_limit_charged(&pool),
	     of_pool);
	return false;
}

/* --- hard limits ------------------------------------------------------ */

static void test_charge(void)
{
	begin(NO_LIMIT, NO_LIMIT);
	ok(np_limits_charge(&both, 100) && charged_is(100, 100),
	   "without limits everything is charged, to both");
	np_limits_refund(&both, 60);
	ok(charged_is(40, 40), "and refunded from both");
	np_limits_force(&both, 5);
	ok(charged_is(45, 45), "what is there already too");
	ok(np_limits_charge(&node_only, 10) && charged_is(55, 45),
	   "a node without a pool");
	ok(np_limits_charge(&pool_only, 10) && charged_is(55, 55),
	   "a pool without a node");
	np_limits_refund(&node_only, 55);
	np_limits_refund(&pool_only, 55);
	ok(charged_is(0, 0), "each is refunded alone");
	ok(np_limits_charge(&neither, SIZE_MAX) && charged_is(0, 0),
	   "who has no limits at all is served");
	np_limits_force(&neither, 7);
	np_limits_refund(&neither, 7);
	ok(charged_is(0, 0), "and charged nowhere");
	ok(!pool.over && !node.over && !pool.told && !node.told,
	   "no soft limit was passed in all that");
}

static void test_refuse(void)
{
	begin(NO_LIMIT, 1000);
	ok(!np_limits_charge(&both, 1001) && charged_is(0, 0),
	   "a byte too many is refused, and charged nowhere");
	ok(np_limits_charge(&both, 1000) && charged_is(1000, 1000),
	   "all there is is not");
	ok(!np_limits_charge(&both, 1) && charged_is(1000, 1000),
	   "then there is not a byte left");
	ok(np_limits_charge(&both, 0), "nothing is never refused");
	np_limits_refund(&both, 1);
	ok(np_limits_charge(&both, 1), "what was refunded can be had");
	np_limits_force(&both, 500);
	ok(charged_is(1500, 1500), "what is there already passes the limit");
	ok(!np_limits_charge(&both, 1) && np_limits_charge(&both, 0) &&
	   charged_is(1500, 1500), "above it all but nothing is refused");
	np_limits_refund(&both, 500);
	ok(!np_limits_charge(&both, 1), "so it is at it");
	np_limits_refund(&both, 999);
	ok(np_limits_charge(&both, 999) && !np_limits_charge(&both, 1),
	   "below it there is the difference");
	set(&pool, NO_LIMIT, 2000);
	ok(np_limits_charge(&both, 1000), "a limit can be raised");
	set(&pool, NO_LIMIT, 10);
	ok(!np_limits_charge(&both, 1) && charged_is(2000, 2000),
	   "and lowered below what is charged");
	set(&pool, NO_LIMIT, NO_LIMIT);
	ok(np_limits_charge(&both, 1) && charged_is(2001, 2001),
	   "and lifted");
}

static void test_roll_back(void)
{
	begin(100, 50);
	ok(np_limits_charge(&both, 50) && !np_limits_charge(&both, 10) &&
	   charged_is(50, 50),
	   "the pool refuses what its node would serve: the node is as "
	   "before");
	np_limits_refund(&both, 50);
	begin(50, 100);
	ok(np_limits_charge(&both, 50) && !np_limits_charge(&both, 10) &&
	   charged_is(50, 50), "the node refuses what the pool would serve: "
	   "so is the pool");
	ok(np_limits_charge(&pool_only, 10) && charged_is(50, 60),
	   "another node still has some");
	begin(100, 50);
	set(&node, 60, 100);
	np_limits_force(&both, 50);
	ok(!np_limits_charge(&both, 20) && !pool.over,
	   "a charge that was rolled back has passed no soft limit");
}

/* Numbers near the end of what there are. */
static void test_overflow(void)
{
	static const size_t most[] = { SIZE_MAX, SIZE_MAX - 99, PTRDIFF_MAX };
	bool refused = true;

	begin(NO_LIMIT, 1000);
	np_limits_charge(&both, 100);
	for (size_t i = 0; i < sizeof most / sizeof *most; i++)
		refused = refused && !np_limits_charge(&both, most[i]) &&
			  np_limit_is_hit(&pool, most[i]) &&
			  charged_is(100, 100);
	ok(refused, "a charge that would wrap the sum is refused");
	begin(NO_LIMIT, SIZE_MAX);
	np_limits_charge(&both, 100);
	ok(!np_limits_charge(&both, SIZE_MAX - 99) && charged_is(100, 100),
	   "also where the limit is the largest number");
	ok(np_limits_charge(&both, SIZE_MAX - 100) &&
	   charged_is(SIZE_MAX, SIZE_MAX), "which can be reached");
	np_limits_refund(&both, SIZE_MAX);
	ok(charged_is(0, 0), "and refunded");
}

static void test_hit(void)
{
	begin(NO_LIMIT, 1000);
	ok(!np_limit_is_hit(&node, SIZE_MAX), "no limit is never hit");
	np_limits_charge(&both, 600);
	ok(!np_limit_is_hit(&pool, 400), "the rest does not hit it");
	ok(np_limit_is_hit(&pool, 401), "a byte more does");
	ok(charged_is(600, 600), "to ask costs nothing");
	np_limits_charge(&both, 400);
	ok(!np_limit_is_hit(&pool, 0) && np_limit_is_hit(&pool, 1),
	   "at it nothing but a byte does");
	np_limits_force(&both, 1);
	ok(np_limit_is_hit(&pool, 0), "above it even nothing");
}

/* --- soft limits ------------------------------------------------------ */

static void test_soft(void)
{
	begin(NO_LIMIT, NO_LIMIT);
	ok(!np_limit_is_over(&pool), "without a soft limit none is passed");
	set(&pool, 100, NO_LIMIT);
	ok(np_limits_charge(&both, 100) && !np_limit_is_over(&pool) &&
	   !pool.over, "at it, it is not passed");
	ok(np_limits_charge(&both, 1) && np_limit_is_over(&pool),
	   "a byte more is served, and passes it");
	ok(pool.over, "which is noted at the pool");
	atomic_store(&pool.over, false);
	np_limits_refund(&both, 1);
	ok(!np_limit_is_over(&pool) && !pool.over, "below it is well again");
	np_limits_force(&both, 1);
	ok(pool.over, "what is there already is noted too");
	atomic_store(&pool.over, false);
	np_limits_charge(&both, 1);
	ok(pool.over, "and again as long as it is passed");
	begin(NO_LIMIT, 50);
	set(&pool, 10, 50);
	ok(!np_limits_charge(&both, 51) && !pool.over,
	   "what is refused passes nothing");
	set(&node, 100, NO_LIMIT);
	set(&pool, 1000, NO_LIMIT);
	ok(np_limits_charge(&both, 101) && np_limit_is_over(&node) &&
	   !np_limit_is_over(&pool) && pool.over && !node.over,
	   "a node's limit is noted at its pool");
	atomic_store(&pool.over, false);
	ok(np_limits_charge(&pool_only, 1) && !pool.over,
	   "but not when others are charged");
	ok(np_limits_charge(&node_only, 1) && !pool.over && !node.over,
	   "nor where there is no pool to note it");
	set(&pool, 50, NO_LIMIT);
	np_limits_force(&both, 0);
	ok(pool.over, "a limit that was lowered is looked at for nothing");
}

/* Its owner was told: when is he told again? */
static void test_told(void)
{
	begin(NO_LIMIT, NO_LIMIT);
	set(&pool, 100, NO_LIMIT);
	np_limits_charge(&both, 300);
	atomic_store(&pool.told, true);
	np_limits_refund(&both, 100);
	ok(pool.told, "not while it is passed still");
	np_limits_refund(&both, 100);
	ok(!pool.told, "but when it was reached from above");
	np_limits_charge(&both, 100);
	atomic_store(&pool.told, true);
	set(&pool, 250, NO_LIMIT);
	np_limits_force(&both, 0);
	ok(!pool.told, "or raised above what is charged");
	set(&pool, 150, NO_LIMIT);
	atomic_store(&pool.told, true);
	np_limits_force(&both, 0);
	ok(pool.told, "not if that is not enough");
	set(&pool, NO_LIMIT, NO_LIMIT);
	np_limits_refund(&both, 1);
	ok(!pool.told, "or lifted");
	set(&node, 100, NO_LIMIT);
	atomic_store(&node.told, true);
	atomic_store(&pool.told, true);
	set(&pool, 1, NO_LIMIT);
	np_limits_refund(&both, 99);
	ok(!node.told && pool.told, "each limit for itself");
}

/* --- random charges against a model ----------------------------------- */

static bool would_pass(size_t charged, size_t hard, size_t bytes)
{
	return hard && charged + bytes > hard;
}

static void test_random(void)
{
	struct rng rng = rng_seed(3);
	size_t of_node = 0, of_pool = 0, nrefused = 0;
	bool good = true;

	begin(NO_LIMIT, NO_LIMIT);
	for (int op = 0; good && op < 100000; op++) {
		size_t bytes = (size_t)rng_log(&rng, 1000);
		bool alone = rng_chance(&rng, 30), served;

		if (rng_chance(&rng, 1)) {
			set(&node, 0, rng_chance(&rng, 20) ? NO_LIMIT :
			    (size_t)rng_log(&rng, 20000));
			set(&pool, 0, rng_chance(&rng, 20) ? NO_LIMIT :
			    (size_t)rng_log(&rng, 20000));
		}
		if (rng_chance(&rng, 45) && of_node >= bytes) {
			np_limits_refund(&both, bytes);
			of_node -= bytes;
			of_pool -= bytes;
			continue;
		}
		if (alone && of_pool - of_node >= bytes &&
		    rng_chance(&rng, 60)) {
			np_limits_refund(&pool_only, bytes);
			of_pool -= bytes;
			continue;
		}
		served = !would_pass(of_pool, pool.hard, bytes) &&
			 (alone || !would_pass(of_node, node.hard, bytes));
		good = np_limits_charge(alone ? &pool_only : &both, bytes) ==
		       served;
		of_pool += served ? bytes : 0;
		of_node += served && !alone ? bytes : 0;
		nrefused += !served;
		good = good && charged_is(of_node, of_pool);
	}
	ok(good, "100000 random charges of two nodes, and refunds, are as in "
	   "the model");
	ok(nrefused > 1000 && nrefused < 90000, "some were refused (%zu)",
	   nrefused);
}

/* --- threads ---------------------------------------------------------- */

#define NTHREADS 4
#define NROUNDS 500000
#define HARD 1000

static pthread_barrier_t start;
static atomic_size_t held;	 /* by all threads: never more than charged */
static atomic_ulong ntoo_much, nserved;
static struct np_limit nodes[2]; /* of the pool */
static unsigned numbers[NTHREADS];

/* Holds some, at times so much that nobody else can have any. */
static void *hold_some(void *arg)
{
	unsigned number = *(unsigned *)arg;
	const struct np_limits limits = { &nodes[number % 2], &pool };
	struct rng rng = rng_seed(number);
	unsigned long served = 0;
	size_t mine = 0;

	pthread_barrier_wait(&start);
	for (int i = 0; i < NROUNDS; i++) {
		size_t bytes = rng_chance(&rng, 70) ? HARD :
			       (size_t)rng_log(&rng, HARD);

		if (np_limits_charge(&limits, bytes)) {
			served++;
			mine += bytes;
			if (atomic_fetch_add(&held, bytes) + bytes > HARD)
				atomic_fetch_add(&ntoo_much, 1);
		}
		if (rng_chance(&rng, 40))
			continue;
		atomic_fetch_sub(&held, mine);
		np_limits_refund(&limits, mine);
		mine = 0;
	}
	atomic_fetch_sub(&held, mine);
	np_limits_refund(&limits, mine);
	atomic_fetch_add(&nserved, served);
	return NULL;
}

static void test_threads(void)
{
	pthread_t threads[NTHREADS];

	begin(NO_LIMIT, HARD);
	pthread_barrier_init(&start, NULL, NTHREADS);
	for (unsigned i = 0; i < NTHREADS; i++) {
		numbers[i] = i;
		if (pthread_create(&threads[i], NULL, hold_some, &numbers[i]))
			bail_out("no thread");
	}
	for (int i = 0; i < NTHREADS; i++)
		pthread_join(threads[i], NULL);
	pthread_barrier_destroy(&start);
	is_uint(ntoo_much, 0, "%d threads of two nodes never hold more than "
		"the pool's hard limit", NTHREADS);
	ok(nserved > NROUNDS / 10 && nserved < NTHREADS * NROUNDS,
	   "many of their charges were served (%lu), not all", nserved);
	ok(!np_limit_charged(&pool) && !np_limit_charged(&nodes[0]) &&
	   !np_limit_charged(&nodes[1]),
	   "when all is refunded nothing is charged");
}

#define NASKED 1000000

static atomic_bool over;
static atomic_ulong nasked, ngot;

/* Asks for what no limit can serve. */
static void *ask_too_much(void *arg)
{
	unsigned long got = 0;

	pthread_barrier_wait(&start);
	while (!atomic_load(&over)) {
		for (int i = 0; i < 64; i++)
			got += np_limits_charge(&both, i % 2 ? HARD + 1
							     : SIZE_MAX / 2);
		atomic_fetch_add(&nasked, 64);
	}
	atomic_fetch_add(&ngot, got);
	return arg;
}

static void test_greedy(void)
{
	pthread_t threads[2];
	unsigned long nrounds = 0;
	bool served = true;

	begin(NO_LIMIT, HARD);
	pthread_barrier_init(&start, NULL, 3);
	for (int i = 0; i < 2; i++)
		if (pthread_create(&threads[i], NULL, ask_too_much, NULL))
			bail_out("no thread");
	pthread_barrier_wait(&start);
	while (served && (nrounds < 300000 || atomic_load(&nasked) < NASKED)) {
		served = np_limits_charge(&both, HARD);
		if (served)
			np_limits_refund(&both, HARD);
		nrounds++;
	}
	atomic_store(&over, true);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	pthread_barrier_destroy(&start);
	ok(served, "who stays below the limit is served (%lu times), however "
	   "often others ask for more than it (%lu times)", nrounds, nasked);
	is_uint(ngot, 0, "who are never served");
	ok(charged_is(0, 0), "and nothing of it is left");
}

int main(void)
{
	plan(9 + 12 + 4 + 4 + 6 + 12 + 6 + 2 + 3 + 3);
	test_charge();
	test_refuse();
	test_roll_back();
	test_overflow();
	test_hit();
	test_soft();
	test_told();
	test_random();
	test_threads();
	test_greedy();
	return done();
}
