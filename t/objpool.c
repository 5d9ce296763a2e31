/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * objpool: a recycler hands out what came back, whoever brought it, loses
 * nothing, keeps no more than it may, calls its hooks in pairs, and tells what
 * is put twice. Claims that begin with the name of a test of Netty's
 * RecyclerTest ask what that asks.
 */
#include "chunkmap.h"
#include "conf.h"
#include "figures.h"
#include "npool_objpool.h"
#include "rng.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#define OWN 60 /* objects that a thread keeps at most */
#define MANY 900

static _Atomic unsigned nmade, ndestroyed;

static int construct(void *object, void *arg)
{
	memset(object, 0x5a, (size_t)(uintptr_t)arg);
	nmade++;
	return 0;
}

static void destruct(void *object, void *arg)
{
	(void)object, (void)arg;
	ndestroyed++;
}

static struct npool_objpool_attr attr_of(size_t object_size, size_t max_kept)
{
	struct npool_objpool_attr a = NPOOL_OBJPOOL_ATTR_INIT;

	a.object_size = object_size;
	a.max_kept = max_kept;
	a.construct = construct;
	a.destruct = destruct;
	a.arg = (void *)(uintptr_t)object_size;
	return a;
}

static npool_objpool_t *create(size_t object_size, size_t max_kept)
{
	struct npool_objpool_attr a = attr_of(object_size, max_kept);
	npool_objpool_t *op;

	if (npool_objpool_create(&op, &a) != 0)
		bail_out("no recycler");
	nmade = ndestroyed = 0;
	return op;
}

static struct npool_objpool_figures seen(npool_objpool_t *op)
{
	struct npool_objpool_figures f = { .size = sizeof f };

	if (npool_objpool_stats(op, &f) != 0)
		bail_out("no figures");
	return f;
}

static void destroy(npool_objpool_t *op, const char *what)
{
	is_int(npool_objpool_destroy(op), 0, "%s: it can be destroyed", what);
	is_uint(ndestroyed, nmade, "%s: and so are all objects", what);
}

struct many {
	npool_objpool_t *op;
	unsigned n;
	void *object[MANY];
};

static void *get_many(void *arg)
{
	struct many *m = arg;

	for (unsigned i = 0; i < m->n; i++)
		m->object[i] = npool_objpool_get(m->op);
	return NULL;
}

static void *put_many(void *arg)
{
	struct many *m = arg;

	for (unsigned i = 0; i < m->n; i++)
		npool_objpool_put(m->op, m->object[i]);
	return NULL;
}

struct call {
	void *(*body)(void *);
	void *arg;
};

static void *on_node_0(void *arg)
{
	const struct call *call = arg;

	npool_thread_set_node(0);
	return call->body(call->arg);
}

/* Calls body in a thread of its own, which ends before this returns. */
static void elsewhere(void *(*body)(void *), void *arg)
{
	struct call call = { body, arg };
	pthread_t thread;

	if (pthread_create(&thread, NULL, on_node_0, &call) != 0)
		bail_out("no thread");
	pthread_join(thread, NULL);
}

static bool all_differ(const struct many *m)
{
	for (unsigned i = 0; i < m->n; i++)
		for (unsigned k = 0; k < i; k++)
			if (m->object[i] == m->object[k])
				return false;
	return true;
}

/* --- Netty's ------------------------------------------------------------ */

static void test_recycle(void)
{
	npool_objpool_t *op = create(40, 100);
	unsigned char *a = npool_objpool_get(op), *b;

	ok(a && (uintptr_t)a % 16 == 0, "an object is at a multiple of 16");
	is_uint(a[0] + a[39], 2 * 0x5a, "it is constructed");
	a[0] = 7;
	npool_objpool_put(op, a);
	b = npool_objpool_get(op);
	is_ptr(b, a, "testRecycle: the same object comes back");
	is_uint(b[0], 7, "as it was put");
	is_uint(nmade, 1, "it was constructed once");
	npool_objpool_put(op, b);
	npool_objpool_put(op, NULL);
	destroy(op, "testRecycle");
}

static void test_disable(void)
{
	npool_objpool_t *op = create(40, 0);
	void *a = npool_objpool_get(op);

	npool_objpool_put(op, a);
	is_uint(ndestroyed, 1, "testRecycleDisable: nothing is kept");
	npool_objpool_put(op, npool_objpool_get(op));
	is_uint(nmade, 2, "testRecycleDisable: the next one is new");
	destroy(op, "testRecycleDisable");
}

static void test_max_capacity(size_t max)
{
	static struct many m;

	m = (struct many){ .op = create(24, max), .n = MANY };
	get_many(&m);
	put_many(&m);
	ok(seen(m.op).kept <= max + OWN && seen(m.op).kept + 30 > max,
	   "testMaxCapacity: of %u objects about %zu are kept", MANY, max);
	elsewhere(get_many, &m);
	elsewhere(put_many, &m);
	ok(seen(m.op).kept <= max + OWN, "testMaxCapacityWithRecycle"
	   "AtDifferentThread: and no more if another puts them (%zu)", max);
	destroy(m.op, "testMaxCapacity");
}

static void test_different_thread(void)
{
	static struct many m;
	void *first;

	m = (struct many){ .op = create(24, 1000), .n = 1 };
	get_many(&m);
	first = m.object[0];
	elsewhere(put_many, &m);
	get_many(&m);
	is_ptr(m.object[0], first, "testRecycleAtDifferentThread: what another "
	       "thread put comes back to the first");
	put_many(&m);
	m.n = MANY;
	get_many(&m);
	elsewhere(put_many, &m);
	nmade = 0;
	get_many(&m);
	is_uint(nmade, 0, "of %u objects that another thread put all are used "
		"again", MANY);
	ok(all_differ(&m), "each of them once");
	put_many(&m);
	is_int(npool_objpool_destroy(m.op), 0, "nothing is out");
}

static void test_thread_ends(void)
{
	static struct many m;

	m = (struct many){ .op = create(24, 1000), .n = 5 };
	elsewhere(get_many, &m);
	put_many(&m);
	is_uint(seen(m.op).kept, 5, "testThreadCanBeCollectedEvenIfHandled"
		"ObjectIsReferenced: objects outlive the thread that got them");
	destroy(m.op, "a thread that ended");
}

/* --- misuse ------------------------------------------------------------- */

static void put_twice(void *arg)
{
	npool_objpool_t *op = arg;
	void *p = npool_objpool_get(op);

	npool_objpool_put(op, p);
	npool_objpool_put(op, p);
}

static void put_twice_elsewhere(void *arg)
{
	struct many m = { .op = arg, .n = 1 };

	get_many(&m);
	put_many(&m);
	elsewhere(put_many, &m);
}

static npool_objpool_t *other;

static void put_to_other(void *arg)
{
	npool_objpool_put(other, npool_objpool_get(arg));
}

static void put_destroyed(void *arg)
{
	void *p = npool_objpool_get(arg);

	npool_objpool_put(arg, p);
	npool_objpool_trim(arg);
	npool_objpool_put(arg, p);
}

static void dies(void (*body)(void *), void *arg, const char *text,
		 const char *what)
{
	struct child c = child_run(body, arg);

	if (!ok(child_killed(&c, SIGABRT) && strstr(c.text, text), "%s", what))
		diag("%s", c.text);
}

static void test_misuse(void)
{
	npool_objpool_t *op = create(40, 100);

	other = create(40, 100);
	dies(put_twice, op, "npool_objpool_put(objects, 0x",
	     "testMultipleRecycle: a second put ends the process");
	dies(put_twice, op, "it was put already", "and says why");
	dies(put_twice_elsewhere, op, "it was put already",
	     "testMultipleRecycleAtDifferentThread: so does one by another "
	     "thread");
	dies(put_to_other, op, "it is of another recycler",
	     "an object of another recycler ends the process");
	dies(put_destroyed, op, "was destroyed",
	     "and so does one that was destroyed");
	destroy(op, "misuse");
	destroy(other, "misuse, the other one");
}

static void is_refused(struct npool_objpool_attr a, int error,
		       const char *what)
{
	char text[CHILD_TEXT_MAX];
	npool_objpool_t *op = NULL;
	struct catch c = catch_begin();
	int seen_error = npool_objpool_create(&op, &a);

	catch_end(&c, text);
	is_int(seen_error, error, "%s is refused", what);
	ok(!op && (error != EINVAL || strstr(text, "npool_objpool_create: ")),
	   "%s: told", what);
}

static void test_too_large(void)
{
	npool_objpool_t *op = create(PTRDIFF_MAX - 16, 8);

	errno = 0;
	ok(!npool_objpool_get(op) && errno == ENOMEM,
	   "the largest object that can be asked for: ENOMEM");
	destroy(op, "the largest object");
}

static void test_attr(void)
{
	struct {
		struct npool_objpool_attr a;
		char more[8];
	} newer = { attr_of(8, 8), { 0 } };
	struct npool_objpool_attr a = attr_of(8, 8);
	npool_objpool_t *op;

	is_refused(attr_of(0, 8), EINVAL, "object_size 0");
	is_refused(attr_of(SIZE_MAX - 15, 8), EINVAL, "object_size that wraps");
	a.size = 8;
	is_refused(a, EINVAL, "a struct that is too small");
	newer.a.size = sizeof newer;
	is_int(npool_objpool_create(&op, &newer.a), 0,
	       "a larger struct is taken");
	npool_objpool_destroy(op);
	newer.more[7] = 1;
	is_int(npool_objpool_create(&op, &newer.a), E2BIG,
	       "but not if it asks for what is not known");
	is_int(npool_objpool_stats(NULL, &(struct npool_objpool_figures){
		.size = 8 }), EINVAL, "figures that are too small are refused");
}

static void test_slots(void)
{
	static npool_objpool_t *op[257];
	struct npool_objpool_attr a = attr_of(8, 8);
	unsigned n = 0;
	int error;

	while (n < 257 && !(error = npool_objpool_create(&op[n], &a)))
		n++;
	ok(n >= 250 && n <= 256 && error == EAGAIN, "256 recyclers, no more");
	while (n)
		npool_objpool_destroy(op[--n]);
	is_int(npool_objpool_create(&op[0], &a), 0,
	       "a slot is used again");
	npool_objpool_destroy(op[0]);
}

/* --- hooks and memory --------------------------------------------------- */

static int fail(void *object, void *arg)
{
	(void)object;
	return arg ? EPERM : 0;
}

static void test_hooks(void)
{
	struct npool_objpool_attr a = attr_of(64, 10);
	npool_objpool_t *op;

	a.construct = fail;
	npool_objpool_create(&op, &a);
	errno = 0;
	ok(!npool_objpool_get(op) && errno == EPERM,
	   "an object that cannot be constructed is none");
	is_uint(seen(op).made + seen(op).gets, 0, "and not counted");
	is_int(npool_objpool_destroy(op), 0, "nor out");
}

static npool_objpool_t *inner;

/* Hooks may use recyclers, their own as well. */
static int get_inner(void *object, void *arg)
{
	(void)arg;
	*(void **)object = npool_objpool_get(inner);
	return 0;
}

static void put_inner(void *object, void *arg)
{
	(void)arg;
	npool_objpool_put(inner, *(void **)object);
}

static void test_nested(void)
{
	static struct many m;
	struct npool_objpool_attr a = attr_of(64, 100);

	inner = create(24, 50);
	a.construct = get_inner;
	a.destruct = put_inner;
	npool_objpool_create(&m.op, &a);
	m.n = 500;
	get_many(&m);
	put_many(&m);
	npool_objpool_trim(m.op);
	is_uint(seen(m.op).kept, 0, "hooks use another recycler: nothing kept");
	is_uint(seen(inner).gets, seen(inner).puts, "nor out");
	is_int(npool_objpool_destroy(m.op), 0, "it is destroyed");
	destroy(inner, "the inner one");
}

static void test_busy(void)
{
	npool_objpool_t *op = create(24, 10);
	void *p = npool_objpool_get(op);

	is_int(npool_objpool_destroy(op), EBUSY,
	       "a recycler of which an object is out is not destroyed");
	npool_objpool_put(op, p);
	is_uint(npool_objpool_trim(op), 1, "trim destroys what is kept");
	is_uint(seen(op).kept, 0, "all of it");
	destroy(op, "busy");
	is_int(npool_objpool_destroy(NULL), 0, "NULL is allowed");
}

static void test_limit(void)
{
	struct npool_attr pa = NPOOL_ATTR_INIT;
	struct npool_objpool_attr a = attr_of(100000, 100);
	static struct many m;
	npool_t *pool;
	unsigned n = 0;

	pa.hard_limit = 32 << 20;
	npool_create(&pool, &pa);
	a.pool = pool;
	nmade = ndestroyed = 0;
	npool_objpool_create(&m.op, &a);
	while (n < MANY && (m.object[n] = npool_objpool_get(m.op)))
		n++;
	ok(n > 10 && n < MANY && errno == ENOMEM,
	   "above the pool's hard limit there is no object");
	for (m.n = 0; m.n < n; m.n++)
		npool_objpool_put(m.op, m.object[m.n]);
	destroy(m.op, "limit");
	is_uint(figures_of(pool).used, 0, "its memory is the pool's again");
	npool_destroy(pool);
}

/* What is freed to such a pool never takes the fast path; nodes are nodes all
 * the same. */
static void test_clearing(void)
{
	struct npool_attr pa = NPOOL_ATTR_INIT;
	struct npool_objpool_attr a = attr_of(24, 1000);
	static struct many m;
	npool_t *pool;

	pa.flags = NPOOL_ZERO_ON_FREE;
	npool_create(&pool, &pa);
	a.pool = pool;
	nmade = ndestroyed = 0;
	npool_objpool_create(&m.op, &a);
	m.n = MANY;
	get_many(&m);
	elsewhere(put_many, &m);
	get_many(&m);
	is_uint(nmade, MANY, "of a pool that clears its pieces, too, objects "
		"come back");
	put_many(&m);
	destroy(m.op, "a pool that clears");
	npool_destroy(pool);
}

/* --- nodes -------------------------------------------------------------- */

static void *on_node_1(void *arg)
{
	npool_thread_set_node(1);
	return put_many(arg);
}

static int home_of(const void *p)
{
	return np_region_home(np_map_find(p));
}

static void test_nodes(void)
{
	static struct many m;
	unsigned wrong = 0;

	m = (struct many){ .op = create(24, 1000), .n = 70 };
	get_many(&m);
	for (unsigned i = 0; i < m.n; i++)
		wrong += home_of(m.object[i]) != 0;
	is_uint(wrong, 0, "objects are of the node of their thread");
	elsewhere(on_node_1, &m);
	npool_thread_set_node(1);
	nmade = 0;
	npool_objpool_put(m.op, npool_objpool_get(m.op));
	is_uint(nmade, 1, "what came back is not on the node of who put it");
	npool_thread_set_node(0);
	get_many(&m);
	is_uint(nmade, 1, "but home again, all of it");
	put_many(&m);
	npool_thread_set_node(1);
	m.n = 1;
	get_many(&m);
	is_int(home_of(m.object[0]), 1, "a thread that moves leaves its "
	       "objects behind");
	put_many(&m);
	npool_thread_set_node(0);
	is_int(npool_objpool_destroy(m.op), 0, "nothing is out");
}

/* --- threads ------------------------------------------------------------ */

#define NTHREADS 4
#define NSLOTS 64

static struct {
	npool_objpool_t *op;
	_Atomic(unsigned *) slot[NSLOTS];
	_Atomic unsigned wrong;
} race;

/* Objects wander from thread to thread through the slots. Each is marked while
 * somebody has it. */
static void *wander(void *arg)
{
	struct rng rng = rng_seed((uintptr_t)arg);

	for (unsigned i = 0; i < 20000; i++) {
		unsigned *mine = npool_objpool_get(race.op);

		race.wrong += *mine != 0x5a5a5a5a;
		*mine = (unsigned)(uintptr_t)arg;
		if (i % 64 == 0)
			npool_thread_set_node((int)rng_below(&rng, 3) - 1);
		if (i % 4000 == 3999)
			npool_objpool_trim(race.op);
		race.wrong += *mine != (unsigned)(uintptr_t)arg;
		*mine = 0x5a5a5a5a;
		mine = atomic_exchange(&race.slot[rng_below(&rng, NSLOTS)],
				       mine);
		if (mine)
			npool_objpool_put(race.op, mine);
	}
	return NULL;
}

static void test_race(void)
{
	pthread_t thread[NTHREADS];

	race.op = create(24, 200);
	for (uintptr_t i = 0; i < NTHREADS; i++)
		pthread_create(&thread[i], NULL, wander, (void *)i);
	for (unsigned i = 0; i < NTHREADS; i++)
		pthread_join(thread[i], NULL);
	for (unsigned i = 0; i < NSLOTS; i++)
		npool_objpool_put(race.op, race.slot[i]);
	is_uint(race.wrong, 0, "no object is two threads' at once");
	is_uint(seen(race.op).gets, NTHREADS * 20000, "every get is counted");
	is_uint(seen(race.op).puts, NTHREADS * 20000, "every put is");
	destroy(race.op, "a race");
}

/* A key's destructor may come behind the recycler's own. */
static pthread_key_t late_key;
static npool_objpool_t *late_op;
static unsigned rounds;

static void late(void *object)
{
	void *next = npool_objpool_get(late_op);

	npool_objpool_put(late_op, object);
	if (rounds++ < 2)
		pthread_setspecific(late_key, next);
	else
		npool_objpool_put(late_op, next);
}

static void *use_late(void *arg)
{
	pthread_setspecific(late_key, npool_objpool_get(late_op));
	return arg;
}

static void test_late(void)
{
	late_op = create(24, 100);
	pthread_key_create(&late_key, late);
	elsewhere(use_late, NULL);
	is_uint(rounds, 3, "destructors of others get and put");
	destroy(late_op, "late calls");
}

/* --- fork --------------------------------------------------------------- */

static _Atomic bool stop;

static void *churn(void *arg)
{
	struct many m = { .op = arg, .n = 100 };

	while (!stop) {
		get_many(&m);
		put_many(&m);
	}
	return NULL;
}

static void in_child(void *arg)
{
	struct many m = { .op = arg, .n = 200 };

	stop = true;
	get_many(&m);
	must(all_differ(&m));
	if (CHILD_STARTS)
		elsewhere(put_many, &m);
	else
		put_many(&m);
	npool_objpool_trim(m.op);
	get_many(&m);
	put_many(&m);
}

static void test_fork(void)
{
	npool_objpool_t *op = create(24, 300);
	pthread_t thread[2];
	unsigned failed = 0;

	for (unsigned i = 0; i < 2; i++)
		pthread_create(&thread[i], NULL, churn, op);
	for (unsigned i = 0; i < 40; i++) {
		struct child c = child_run(in_child, op);

		if (!child_exited(&c, 0) && failed++ == 0)
			diag("%s", c.text);
	}
	stop = true;
	for (unsigned i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	is_uint(failed, 0, "forked children get and put");
	destroy(op, "forks");
}

static _Atomic int step; /* 1: the thread has put its objects; 2: it may end */

static void *keep(void *arg)
{
	npool_thread_set_node(0);
	get_many(arg);
	put_many(arg);
	step = 1;
	while (step != 2)
		usleep(1000);
	return NULL;
}

/* What the thread kept is not there for the child. */
static void destroy_in_child(void *op)
{
	must(npool_objpool_destroy(op) == 0);
	must(ndestroyed == 0);
}

static void test_abandoned(void)
{
	static struct many m;
	pthread_t thread;
	struct child c;

	m = (struct many){ .op = create(24, 100), .n = 10 };
	pthread_create(&thread, NULL, keep, &m);
	while (step != 1)
		usleep(1000);
	c = child_run(destroy_in_child, m.op);
	ok(child_exited(&c, 0), "a child does not touch what threads kept that "
	   "are not there");
	step = 2;
	pthread_join(thread, NULL);
	destroy(m.op, "the parent");
}

int main(int argc, char **argv)
{
	(void)argc;
	conf_restart(argv, "nodes:2");
	if (npool_thread_set_node(0) != 0)
		bail_out("no node 0");
	test_recycle();
	test_disable();
	test_max_capacity(300);
	test_max_capacity(1);
	test_different_thread();
	test_thread_ends();
	test_misuse();
	test_too_large();
	test_attr();
	test_slots();
	test_hooks();
	test_nested();
	test_busy();
	test_limit();
	test_clearing();
	test_nodes();
	test_race();
	test_late();
	test_fork();
	test_abandoned();
	return done();
}
