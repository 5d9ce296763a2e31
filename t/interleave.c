/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * interleave: what owners of caches, reclaimers, ending threads and ending
 * pools do at the same time, in every order: no piece is lost, none is there
 * twice, and the counters say what is true.
 *
 * The real cache.c, depot.c, seat.c and thread.c are compiled into this test
 * with their yields, locks and atomic stores in the hands of fiber.h, and a
 * few actors at a time are sent through all schedules. What a scene claims it
 * claims of each schedule:
 *
 *	every piece that an arena has given out is in one place: held by an
 *	actor, or in a magazine of a cache, a shelf or an inbox
 *	an arena misses no other
 *	np_block_cached is what the cache holds, depot_bytes what is in depots
 *	the sums that a cache goes by (loaded_bytes, ...) are right
 *	no cache is claimed, and none is busy
 *	when all has gone home nothing is left
 *
 * Memory of what is freed is overwritten, so that who uses it then falls.
 *
 * Each scene runs in a child: one that fails says in which schedule.
 */
#define NP_YIELD(what) fiber_yield(what, __func__, __LINE__)
static inline void fiber_yield(const void *what, const char *func, int line);

#include "base.h"

#undef NP_MAX_POOLS
#define NP_MAX_POOLS 2 /* who ends a thread looks for a seat in each */

#include "chunkmap.h"
#include "config.h"
#include "conf.h"
#include "fiber.h"
#include "meta.h"
#include "node.h"
#include "os.h"
#include "place.h"
#include "tap.h"

#include <signal.h>
#include <string.h>

#if defined __SANITIZE_THREAD__
#define FOLLOWS_THREADS 1
#elif defined __has_feature
#if __has_feature(thread_sanitizer)
#define FOLLOWS_THREADS 1
#endif
#endif

/* --- the library, in the hands of fiber.h ------------------------------- */

static void spoil_and_free(np_home_t home, void *p, size_t size)
{
	memset(p, 0xa5, size);
	np_meta_free(home, p, size);
}

#define np_lock(lock) fiber_lock(lock, __func__, __LINE__)
#define np_unlock(lock) fiber_unlock(lock, __func__, __LINE__)
#define np_os_barrier() fiber_barrier(__func__, __LINE__)
#define np_meta_free spoil_and_free
#define pthread_cond_wait(cond, mutex) \
	fiber_wait(&np_threads_list_lock, __func__, __LINE__)
#define pthread_cond_broadcast(cond) fiber_wake()
#define pthread_setspecific(key, value) 0 /* its destructor is called here */

#undef atomic_load_explicit
#define atomic_load_explicit(at, order)             \
	_Generic((at),                              \
		_Atomic bool *: fiber_load8,        \
		const _Atomic bool *: fiber_load8,  \
		_Atomic uint32_t *: fiber_load32,   \
		const _Atomic uint32_t *: fiber_load32, \
		const volatile uint32_t *_Atomic *: fiber_load_word, \
		const volatile uint32_t *_Atomic const *: fiber_load_word, \
		_Atomic size_t *: fiber_load64,     \
		const _Atomic size_t *: fiber_load64)(at)
#undef atomic_store_explicit
#define atomic_store_explicit(at, value, order)     \
	_Generic((at),                              \
		_Atomic bool *: fiber_store8,       \
		const volatile uint32_t *_Atomic *: fiber_store_word, \
		_Atomic uint32_t *: fiber_store32)(at, value)

#include "../lib/cache.c"
#include "../lib/seat.c"
#include "../lib/thread.c"
#define push push_mag /* cache.c has its own */
#define pop pop_mag
#include "../lib/depot.c"
#undef push
#undef pop

/* --- the world ---------------------------------------------------------- */

#define NHOMES 2
#define PIECES_MOST 64	/* in a scene */
#define HELD_MOST 16	/* by an actor */
#define MAG_PIECES 2	/* in a magazine: it is soon full */

static struct np_topology topology;
static struct np_classes classes;
static struct np_segment segment;
static struct np_nodes nodes;
static unsigned small, large; /* classes that pieces are of */

/* What belongs to a thread, while another fiber runs. */
static struct being {
	struct np_thread *me;
	struct np_cache *self;
	enum life life;
	void *held[HELD_MOST];
	unsigned nheld;
} being[FIBERS_MAX + 1];

static void fiber_changes(unsigned from, unsigned to)
{
	being[from].me = np_me;
	being[from].self = np_self;
	being[from].life = life;
	np_me = being[to].me;
	np_self = being[to].self;
	life = being[to].life;
}

static unsigned prepared; /* the fiber that is prepared for its scene */

static struct being *self(void)
{
	return &being[fibers.now == FIBER_SEARCH
			      ? prepared
			      : (unsigned)(fibers.now - fibers.fiber)];
}

static struct np_cache *my_cache(void)
{
	return np_thread_cache(&nodes);
}

static size_t size_of(unsigned class)
{
	return classes.row[class].size;
}

static void make_world(void)
{
	static struct np_config config;
	struct np_segment_pool shown = { .name = "interleave",
					 .config = &config,
					 .classes = &classes,
					 .topology = &topology,
					 .narenas = NHOMES };
	struct np_nodes_plan plan = { .topology = &topology,
				      .classes = &classes,
				      .segment = &segment,
				      .name = "interleave",
				      .arenas = 1,
				      .policies = NP_ALL_POLICIES,
				      .decay_ms = -1 };

	np_config_preset(&config);
	np_topology_init(&topology, NHOMES);
	np_meta_init(&topology);
	if (np_map_init() || np_classes_init(&classes, NP_NETTY, 13, 7) ||
	    np_segment_create(&segment, NULL, &shown) ||
	    np_nodes_create(&nodes, &plan))
		bail_out("nothing to start with");
	nodes.cache_pieces = MAG_PIECES;
	nodes.cache_bytes = 32 * NP_MIB;
	small = np_class_of(&classes, 64);
	large = np_class_of(&classes, 2 * NP_LOADED_MAX);
	can_reclaim = true;
	fibers.lock[0] = &np_threads_list_lock;
	fibers.lock[1] = &np_claim_lock;
}

/* --- pieces in the hands of actors --------------------------------------- */

static void hold(void *p)
{
	struct being *b = self();

	if (!p)
		fiber_fail("there is no piece");
	for (unsigned i = 0; i <= FIBERS_MAX; i++)
		for (unsigned k = 0; k < being[i].nheld; k++)
			if (being[i].held[k] == p)
				fiber_fail("%p is handed out twice", p);
	if (b->nheld == HELD_MOST)
		fiber_fail("an actor holds too many pieces");
	b->held[b->nheld++] = p;
}

/* As npool_malloc; where the fast path would find nothing it is left out, since
 * each step of it multiplies the schedules. */
static void take(unsigned class)
{
	struct np_cache *c = my_cache();
	const struct np_loaded *l = &c->loaded[class];
	void *p = NULL;

	if (l->top != l->base || (!np_loaded_has_place(l) &&
				  c->second[class]->n))
		p = np_cache_hit(c, class, false);
	hold(p ? p : np_cache_take(c, class));
}

/* As npool_free; likewise. */
static void give(void)
{
	struct being *b = self();
	void *p = b->held[--b->nheld];
	const struct np_region *r = np_map_find(p);
	unsigned class = np_region_entry(r, p) & NP_PAGE_CLASS;
	struct np_cache *c = my_cache();
	const struct np_loaded *l = &c->loaded[class];
	bool is_full = np_loaded_has_place(l) && l->top == l->end;

	if (is_full || !np_cache_keep(c, p, r, np_region_tag(r), false))
		np_cache_give(c, p, class, r);
}

static void take_n(unsigned class, unsigned n)
{
	while (n--)
		take(class);
}

static void give_n(unsigned n)
{
	while (n--)
		give();
}

/* Pieces that a thread of another home has handed to this one. */
static void be_given(np_home_t home, unsigned class, unsigned n)
{
	struct np_block *b = np_block_shared(&segment);
	void *p;

	while (n--) {
		if (np_arena_take(nodes.node[home].arenas[0], class, 1, &p) !=
		    1)
			bail_out("no memory");
		np_count_add(&b->class[class].allocs, 1);
		np_count_add(&b->in_bytes, size_of(class));
		hold(p);
	}
}

/* --- every piece in one place -------------------------------------------- */

static struct {
	void *piece[PIECES_MOST];
	unsigned n;
} found;

/* A piece lies somewhere. Returns its bytes. */
static size_t find_piece(void *p)
{
	for (unsigned i = 0; i < found.n; i++)
		if (found.piece[i] == p)
			fiber_fail("%p is in two places", p);
	if (found.n == PIECES_MOST)
		fiber_fail("there are more pieces than were made");
	found.piece[found.n++] = p;
	return size_of(np_region_entry(np_map_find(p), p) & NP_PAGE_CLASS);
}

static size_t find_in_mag(const struct np_mag *mag)
{
	size_t bytes = 0;

	for (uint32_t i = 0; mag && i < mag->n; i++)
		bytes += find_piece(mag->slot[i]);
	return bytes;
}

static size_t find_in_mags(const struct np_mag *mag)
{
	size_t bytes = 0;

	for (; mag; mag = mag->next)
		bytes += find_in_mag(mag);
	return bytes;
}

/* Both sides, if they differ. */
static void check(size_t seen, size_t wanted, const char *what)
{
	if (seen != wanted)
		fiber_fail("%s: %zd, should be %zd", what, seen, wanted);
}

static void check_cache(struct np_cache *c, void *unused)
{
	size_t bytes = 0, room = 0, seconds = 0, outgoing = 0;

	(void)unused;
	for (unsigned k = 1; k <= classes.n; k++) {
		const struct np_mag *second = c->second[k];

		bytes += find_in_mag(loaded(c, k)) + find_in_mag(second);
		room += c->mag[k]->cap * size_of(k);
		seconds += second->n * size_of(k);
	}
	for (unsigned i = 0; i < nodes.n; i++) {
		size_t n = find_in_mag(c->outgoing[i].mag);

		check(c->outgoing[i].bytes, n, "outgoing_bytes");
		outgoing += n;
	}
	check(c->claimed, false, "claimed");
	check(c->busy == NP_CACHE_BUSY, 0, "busy");
	check(c->loaded_bytes, room, "loaded_bytes");
	check(np_cache_second_bytes(c), seconds, "second_bytes");
	check((size_t)np_block_cached(&segment, &classes, c->count),
	      bytes + outgoing, "np_block_cached");
}

static void check_depot(const struct np_depot *d)
{
	size_t bytes = find_in_mags(d->inbox);

	check(d->inbox_bytes, bytes, "inbox_bytes");
	for (unsigned k = 1; k < d->nclasses; k++) {
		size_t n = find_in_mags(d->shelf[k].full);

		check(d->shelf[k].bytes, n, "bytes of a shelf");
		bytes += n;
	}
	check(np_count_get(&d->node->depot_bytes), bytes, "depot_bytes");
}

static void check_world(void)
{
	size_t taken = 0, bytes = 0;

	found.n = 0;
	for (unsigned i = 0; i <= FIBERS_MAX; i++)
		for (unsigned k = 0; k < being[i].nheld; k++)
			find_piece(being[i].held[k]);
	each_cache(nodes.slot, check_cache, NULL);
	for (unsigned i = 0; i < nodes.n; i++) {
		check_depot(nodes.node[i].depot);
		taken += np_count_get(&nodes.node[i].arenas[0]->count->taken);
	}
	for (unsigned i = 0; i < found.n; i++) {
		const void *p = found.piece[i];

		bytes += size_of(np_region_entry(np_map_find(p), p) &
				 NP_PAGE_CLASS);
	}
	check(bytes, taken, "bytes of pieces that are somewhere");
	for (unsigned i = 0; i < FIBER_LOCKS; i++)
		if (fibers.holder[i])
			fiber_fail("a lock is still held");
}

/* --- all goes home -------------------------------------------------------- */

static void give_up_held(struct being *b)
{
	struct np_block *block = np_block_shared(&segment);

	while (b->nheld) {
		void *p = b->held[--b->nheld];
		unsigned class = np_region_entry(np_map_find(p), p) &
				 NP_PAGE_CLASS;

		np_count_add(&block->class[class].frees, 1);
		np_count_add(&block->out_bytes, size_of(class));
		np_arenas_put(&p, 1);
	}
}

static void empty_depot(struct np_depot *d)
{
	size_t bytes = d->inbox_bytes;

	np_mags_to_arenas(np_depot_receive(d));
	np_depot_received(d, bytes);
	for (unsigned class = 1; class < d->nclasses; class++)
		np_mags_to_arenas(np_depot_drain(d, class));
}

static void clean_up(void)
{
	for (unsigned i = 0; i < fibers.n; i++) {
		give_up_held(&being[i]);
		fiber_changes(FIBERS_MAX, i);
		if (np_me)
			thread_ended(np_me);
		fiber_changes(i, FIBERS_MAX);
		memset(&being[i], 0, sizeof being[i]);
	}
	for (unsigned i = 0; i < nodes.n; i++) {
		empty_depot(nodes.node[i].depot);
		check(np_count_get(&nodes.node[i].arenas[0]->count->taken), 0,
		      "taken when all has gone home");
		check(np_count_get(&nodes.node[i].depot->node->depot_bytes),
		      0, "depot_bytes then");
		check(nodes.node[i].arenas[0]->nthreads, 0, "threads then");
	}
	check((size_t)np_block_cached(&segment, &classes,
				      np_block_shared(&segment)),
	      0, "bytes that block 0 says are cached then");
	if (threads || leaving[nodes.slot])
		fiber_fail("a thread is still there");
}

/* --- actors --------------------------------------------------------------- */

struct actor {
	const char *name;
	int home;		/* of its thread; -1: it has no cache */
	void (*prepare)(void);	/* before the scene begins */
	void (*run)(void);
	bool touches_all;	/* it touches other threads' things */
};

static void nothing(void)
{
}

/* It has sent one home. */
static void send_foreign(void)
{
	be_given(1, small, 2);
	give();
	np_cache_send_all(my_cache());
}

/* Its loaded magazine and its second one are full. */
static void fill_both(void)
{
	take_n(small, 2 * MAG_PIECES);
	give_n(2 * MAG_PIECES);
}

/* The same, and it holds others. */
static void fill_and_hold(void)
{
	take_n(small, 3 * MAG_PIECES);
	give_n(2 * MAG_PIECES);
}

/* The loaded one is empty, the second one full. */
static void fill_second(void)
{
	fill_both();
	take_n(small, MAG_PIECES);
}

/* Both are empty, and the depot has one. */
static void fill_depot(void)
{
	take_n(small, 3 * MAG_PIECES);
	give_n(3 * MAG_PIECES);
	take_n(small, 2 * MAG_PIECES);
}

/* Two large pieces of room, one of them taken. */
static void fill_large(void)
{
	take_n(large, 2);
	give_n(1);
}

/* One large piece, one foreign one, a full small second magazine. */
static void fill_all(void)
{
	fill_both();
	take(large);
	give();
	be_given(1, small, 2);
	give();
}

static void hold_foreign(void)
{
	be_given(1, small, 1);
}

/* The slow path alone, as give_slowly. */
static void take_slowly(void)
{
	hold(np_cache_take(my_cache(), small));
}

static void take_and_give(void)
{
	take(small);
	give();
}

static void give_one(void)
{
	give();
}

static void take_one(void)
{
	take(small);
}

static void take_past_second(void)
{
	for (unsigned i = 0; i < MAG_PIECES + 1; i++)
		take_slowly();
}

static void large_out_and_in(void)
{
	take(large);
	give();
}

static void give_slowly(void)
{
	struct being *b = self();
	void *p = b->held[--b->nheld];
	struct np_region *r = np_map_find(p);

	np_cache_give(my_cache(), p, np_region_entry(r, p) & NP_PAGE_CLASS, r);
}

static void give_both(void)
{
	give_slowly();
	give_slowly();
}

/* The fast path alone. */
static void try_take_small(void)
{
	void *p = np_cache_hit(my_cache(), small, false);

	if (p)
		hold(p);
}

/* The same: if there is no way in the piece stays. */
static void try_give_large(void)
{
	struct being *b = self();
	void *p = b->held[b->nheld - 1];
	const struct np_region *r = np_map_find(p);

	if (np_cache_keep(my_cache(), p, r, np_region_tag(r), false))
		b->nheld--;
}

/* To another home. */
static void move(void)
{
	if (np_thread_set_home(&topology, 1))
		fiber_fail("a thread cannot move");
}

/* And back, where its cache still is. */
static void move_about(void)
{
	move();
	if (np_thread_set_home(&topology, 0))
		fiber_fail("a thread cannot move");
}

static void give_and_send(void)
{
	give();
	np_cache_send_all(my_cache());
}

/* It has moved, and its old cache is full. */
static void fill_and_move(void)
{
	fill_all();
	move();
}

/* As behind NP_STAY visits. */
static void leave_old(void)
{
	leave_others(np_me->seat[nodes.slot]);
}

static void end_thread(void)
{
	thread_ended(np_me);
}

static void give_and_end(void)
{
	give();
	thread_ended(np_me);
}

static void reclaim_all(void)
{
	np_threads_reclaim(&nodes, false);
}

static void reclaim_idle_twice(void)
{
	np_threads_reclaim(&nodes, true);
	np_threads_reclaim(&nodes, true);
}

/* As np_pool_empty_inbox and np_pool_trim. */
static void trim_depot(struct np_depot *d)
{
	struct np_mag *mail = np_depot_receive(d);
	size_t bytes = 0;

	for (const struct np_mag *m = mail; m; m = m->next)
		bytes += m->n * size_of(small);
	np_mags_to_arenas(mail);
	np_depot_received(d, bytes);
	np_mags_to_arenas(np_depot_drain(d, small));
}

static void trim(void)
{
	for (unsigned i = 0; i < nodes.n; i++)
		trim_depot(nodes.node[i].depot);
}

static void tick_depot(void)
{
	for (int i = 0; i < 2; i++)
		np_mags_to_arenas(np_depot_tick(nodes.node[0].depot, small));
}

static void forget_pool(void)
{
	np_threads_forget(&nodes);
}

/* The rest of np_pool_reset, which keeps reclaimers out until it is done. All
 * pieces are free then. */
static void reset_pool(void)
{
	for (unsigned i = 0; i < nodes.n; i++)
		np_depot_forget(nodes.node[i].depot);
	for (unsigned i = 0; i < nodes.n; i++)
		np_arena_reset(nodes.node[i].arenas[0]);
	np_segment_forget(&segment, &classes);
	for (unsigned i = 0; i <= FIBERS_MAX; i++)
		being[i].nheld = 0;
}

/* --- scenes --------------------------------------------------------------- */

struct scene {
	const char *claim;
	struct actor actor[FIBERS_MAX];
	void (*after)(void);
	bool reduced, delayed;	/* as fiber.h has them */
	bool is_long;		/* for the level `all` */
};

#define RECLAIMER { "reclaimer", -1, nothing, reclaim_all, false }

static const struct scene scenes[] = {
	{ .claim = "an owner exchanges magazines, a reclaimer comes",
	  .actor = { { "owner", 0, fill_second, take_slowly, false },
		     RECLAIMER } },
	{ .claim = "a small piece goes out and in, a reclaimer comes",
	  .actor = { { "owner", 0, fill_both, take_and_give, false },
		     RECLAIMER } },
	{ .claim = "an owner hands a magazine to the depot, a reclaimer comes",
	  .actor = { { "owner", 0, fill_and_hold, give_one, false },
		     RECLAIMER } },
	{ .claim = "an owner refills from the depot, a reclaimer comes",
	  .actor = { { "owner", 0, fill_depot, take_one, false },
		     RECLAIMER },
	  .reduced = true },
	{ .claim = "a large piece goes in, a reclaimer comes",
	  .actor = { { "owner", 0, fill_large, give_one, false },
		     RECLAIMER } },
	{ .claim = "a large piece goes out and in, a reclaimer comes",
	  .actor = { { "owner", 0, fill_large, large_out_and_in, false },
		     RECLAIMER },
	  .reduced = true },
	{ .claim = "an owner frees and sends a foreign piece, a reclaimer "
		   "comes",
	  .actor = { { "owner", 0, hold_foreign, give_and_send, false },
		     RECLAIMER } },
	{ .claim = "a foreign piece is sent home, where the owner looks for "
		   "it, a reclaimer comes",
	  .actor = { { "sender", 0, hold_foreign, give_and_send, false },
		     { "receiver", 1, nothing, take_one, false },
		     RECLAIMER },
	  .reduced = true },
	{ .claim = "mail comes home, where the owner and a trim look for it",
	  .actor = { { "sender", 0, send_foreign, give_and_send, false },
		     { "receiver", 1, nothing, take_one, false },
		     { "trim", -1, nothing, trim, false } },
	  .reduced = true },
	{ .claim = "two owners exchange a magazine through the depot, a "
		   "reclaimer comes",
	  .actor = { { "giver", 0, fill_and_hold, give_one, false },
		     { "taker", 0, nothing, take_one, false },
		     RECLAIMER },
	  .reduced = true },
	{ .claim = "two owners exchange through the depot, which is trimmed",
	  .actor = { { "giver", 0, fill_and_hold, give_one, false },
		     { "taker", 0, nothing, take_one, false },
		     { "trim", -1, nothing, trim, false } },
	  .reduced = true },
	{ .claim = "two owners exchange through the depot, which ticks",
	  .actor = { { "giver", 0, fill_and_hold, give_one, false },
		     { "taker", 0, nothing, take_one, false },
		     { "tick", -1, nothing, tick_depot, false } },
	  .reduced = true },
	{ .claim = "a thread goes to another home, a reclaimer comes",
	  .actor = { { "mover", 0, fill_all, move, true },
		     RECLAIMER } },
	{ .claim = "a thread goes to another home and back, a reclaimer "
		   "comes",
	  .actor = { { "mover", 0, fill_all, move_about, true },
		     RECLAIMER },
	  .is_long = true },
	{ .claim = "a thread leaves the cache of its old home, a reclaimer "
		   "comes",
	  .actor = { { "mover", 0, fill_and_move, leave_old, true },
		     RECLAIMER } },
	{ .claim = "a thread ends, a reclaimer comes",
	  .actor = { { "thread", 0, fill_all, end_thread, false },
		     RECLAIMER } },
	{ .claim = "a thread frees and ends, another one takes, a reclaimer "
		   "comes",
	  .actor = { { "thread", 0, fill_and_hold, give_and_end, false },
		     { "taker", 0, nothing, take_one, false },
		     RECLAIMER },
	  .reduced = true },
	{ .claim = "two threads end, a reclaimer comes",
	  .actor = { { "thread", 0, fill_both, end_thread, false },
		     { "other", 0, fill_all, end_thread, false },
		     RECLAIMER },
	  .reduced = true },
	{ .claim = "a pool ends, a reclaimer comes",
	  .actor = { { "idle", 0, fill_all, nothing, false },
		     { "ender", -1, nothing, forget_pool, true },
		     RECLAIMER },
	  .after = reset_pool },
	{ .claim = "a pool ends while a thread ends, a reclaimer comes",
	  .actor = { { "thread", 0, fill_all, end_thread, false },
		     { "ender", -1, nothing, forget_pool, true },
		     RECLAIMER },
	  .after = reset_pool,
	  .reduced = true },
	{ .claim = "two reclaimers come, an owner exchanges",
	  .actor = { { "owner", 0, fill_second, take_slowly, false },
		     RECLAIMER,
		     RECLAIMER },
	  .reduced = true },
	{ .claim = "two ticks look for idle caches, an owner exchanges",
	  .actor = { { "owner", 0, fill_second, take_slowly, false },
		     { "ticks", -1, nothing, reclaim_idle_twice, false } },
	  .reduced = true },
	{ .claim = "stores are delayed: an owner exchanges, a reclaimer comes",
	  .actor = { { "owner", 0, fill_second, take_slowly, false },
		     RECLAIMER },
	  .delayed = true,
	  .reduced = true },
	{ .claim = "stores are delayed: a small piece goes out, a reclaimer "
		   "comes",
	  .actor = { { "owner", 0, fill_both, try_take_small, false },
		     RECLAIMER },
	  .delayed = true,
	  .reduced = true },
	{ .claim = "stores are delayed: a large piece goes in, a reclaimer "
		   "comes",
	  .actor = { { "owner", 0, fill_large, try_give_large, false },
		     RECLAIMER },
	  .delayed = true,
	  .reduced = true },
	{ .claim = "stores are delayed: a large piece goes in whatever it "
		   "takes, a reclaimer comes",
	  .actor = { { "owner", 0, fill_large, give_slowly, false },
		     RECLAIMER },
	  .delayed = true,
	  .reduced = true,
	  .is_long = true },
	{ .claim = "two owners exchange two magazines through the depot, a "
		   "reclaimer comes",
	  .actor = { { "giver", 0, fill_and_hold, give_both, false },
		     { "taker", 0, nothing, take_past_second, false },
		     RECLAIMER },
	  .reduced = true,
	  .is_long = true },
};

#define NSCENES (sizeof scenes / sizeof *scenes)

static unsigned long *counted; /* schedules of a scene; shared with it */

static void act(const struct actor *a)
{
	struct fiber *f = fiber_add(a->name, a->run);

	prepared = (unsigned)(f - fibers.fiber);
	fiber_changes(FIBERS_MAX, prepared);
	np_me = NULL;
	np_self = &np_cache_none;
	life = LIFE_NEW;
	if (a->home >= 0) {
		if (np_thread_set_home(&topology, a->home) || !my_cache())
			bail_out("no memory");
		f->own = my_cache();
	}
	f->touches_all = a->touches_all;
	a->prepare();
	fiber_changes(prepared, FIBERS_MAX);
}

static void killed(int signal)
{
	fiber_fail("killed by signal %d", signal);
}

static void play(void *arg)
{
	const struct scene *s = arg;

	signal(SIGABRT, killed);
	signal(SIGSEGV, killed);
	signal(SIGBUS, killed);
	fibers.reduced = s->reduced;
	fibers.delayed = s->delayed;
	do {
		fiber_begin();
		for (unsigned i = 0; i < FIBERS_MAX && s->actor[i].name; i++)
			act(&s->actor[i]);
		fiber_run();
		if (s->after)
			s->after();
		check_world();
		clean_up();
	} while (fiber_next());
	*counted = fibers.nschedules;
}

static void test_scene(const struct scene *s)
{
	struct scene copy = *s;
	struct child c;

	*counted = 0;
	c = child_run(play, &copy);
	if (!ok(child_exited(&c, 0), "%s: %lu schedules%s", s->claim,
		*counted, s->reduced ? " that differ" : ""))
		diag("status 0x%x: %s", (unsigned)c.status, c.text);
}

/* Is it for this level? */
static bool is_on(const struct scene *s)
{
	return !s->is_long || conf_by_level(0, 0, 1);
}

int main(void)
{
	unsigned n = 0;

#ifdef FOLLOWS_THREADS
	skip_all("needs a sanitizer that can follow fibers");
#endif
	for (unsigned i = 0; i < NSCENES; i++)
		n += is_on(&scenes[i]);
	plan(n);
	make_world();
	counted = mmap(NULL, sizeof *counted, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (counted == MAP_FAILED)
		bail_out("no memory");
	for (unsigned i = 0; i < NSCENES; i++)
		if (is_on(&scenes[i]))
			test_scene(&scenes[i]);
	return done();
}
