/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * cache: hits count as hits; magazines grow with use, and keep within their
 * bounds; what is freed on another node goes home, in bounded
 * time and space; a cache never holds a piece of another home or class; who
 * claims it gets what it has, unless the owner is using it.
 *
 * Two nodes are invented; a thread is put on them by hand.
 */
#include "cache.h"
#include "conf.h"
#include "figures.h"
#include "npool.h"
#include "os.h"
#include "place.h"
#include "pool.h"
#include "rng.h"
#include "start.h"
#include "tap.h"

#include <pthread.h>

#define CONF "nodes:2,arenas:2,decay_ms:-1"
#define MOST 20000
#define LARGE 300000 /* of this size none is loaded */

static void *piece[MOST];

static void be_on(int home)
{
	if (np_thread_set_home(&np_topology, home) != 0)
		bail_out("no home %d", home);
}

/* Everything goes back, of both homes. */
static void clean_up(void)
{
	npool_flush_thread();
	npool_trim();
}

static const struct np_class *row(unsigned class)
{
	return &np_pool.classes.row[class];
}

static unsigned class_of(size_t size)
{
	return np_class_of(&np_pool.classes, size);
}

static void take(unsigned n, size_t size)
{
	for (unsigned i = 0; i < n; i++)
		piece[i] = npool_malloc(size);
}

static void give(unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		npool_free(piece[i]);
}

static bool is_at_home(const void *p, int home)
{
	return np_region_home(np_map_find(p)) == home;
}

/* --- what a cache may hold -------------------------------------------- */

static bool mag_valid(const struct np_mag *m, unsigned class, int home)
{
	if (!m || m->n > m->cap)
		return false;
	for (uint32_t i = 0; i < m->n; i++) {
		struct np_place place = np_place_of(m->slot[i]);

		if (!is_at_home(m->slot[i], home) || place.class != class ||
		    place.offset)
			return false;
	}
	return true;
}

/* The loaded magazine, with what the fast path has left in it; NULL: they do
 * not agree. */
static struct np_mag *look_loaded(const struct np_cache *c, unsigned class)
{
	const struct np_loaded *l = &c->loaded[class];
	struct np_mag *mag = c->mag[class];

	if (mag == &np_mag_none)
		return l->top == l->base && l->top == l->end ? mag : NULL;
	mag->n = (size_t)(l->top - l->base);
	return l->base == mag->slot && l->end == l->base + mag->cap ? mag
								   : NULL;
}

/* Does each size lead to the loaded magazine of its class? */
static bool sizes_lead(const struct np_cache *c)
{
	for (unsigned i = 0; i <= NP_LOOKUP_MAX / 16; i++)
		if (c->by_size[i] != &c->loaded[np_pool.classes.lookup[i]])
			return false;
	return true;
}

/* The bound of what loaded magazines have room for. */
static size_t loaded_bound(const struct np_cache *c)
{
	size_t most = np_cache_most(c);

	return most < NP_LOADED_LEAST ? NP_LOADED_LEAST : most;
}

/* Its own pieces only, and the sums are right and within their bounds. */
static bool cache_valid(const struct np_cache *c)
{
	size_t loaded = 0, second = 0;

	for (unsigned k = 1; k <= np_pool.classes.n; k++) {
		size_t size = row(k)->size;

		if (!mag_valid(look_loaded(c, k), k, c->home) ||
		    !mag_valid(c->second[k], k, c->home))
			return false;
		loaded += c->mag[k]->cap * size;
		second += c->second[k]->n * size;
	}
	return sizes_lead(c) && loaded == c->loaded_bytes &&
	       loaded <= loaded_bound(c) &&
	       second == np_cache_second_bytes(c) &&
	       second <= np_cache_most(c) && c->busy != NP_CACHE_BUSY &&
	       !c->claimed;
}

static bool my_caches_valid(void)
{
	const struct np_seat *s = np_me ? np_me->seat[0] : NULL;

	for (unsigned i = 0; s && i < np_pool.nodes.n; i++)
		if (s->cache[i] && !cache_valid(s->cache[i]))
			return false;
	return s && s->now == np_self;
}

/* --- small pieces ----------------------------------------------------- */

static void test_hits(void)
{
	struct npool_figures before, after;

	npool_free(npool_malloc(100));
	before = figures();
	for (int i = 0; i < 1000; i++)
		npool_free(npool_malloc(100));
	after = figures();
	is_uint(after.hits - before.hits, 1000, "1000 pairs are 1000 hits");
	is_uint(after.allocs - before.allocs, 1000, "and 1000 allocs");
	is_uint(after.frees - before.frees, 1000, "and 1000 frees");
	is_uint(after.depot_gets + after.depot_puts,
		before.depot_gets + before.depot_puts,
		"the depot sees none of them");
}

/* The largest magazine that a class may have: Netty's numbers, and a part of
 * the bound. */
static uint32_t most_of(unsigned class)
{
	static const uint32_t entries[] = { 512, 256, 64 };
	size_t size = row(class)->size;
	size_t part = loaded_bound(np_self) / (size <= 4096 ? 16 : 8);
	uint32_t fit = (uint32_t)(part / size);

	return fit < entries[row(class)->kind] ? fit
					       : entries[row(class)->kind];
}

static size_t first_of(size_t size)
{
	size_t n = 64 * NP_KIB / size;

	return n < 1 ? 1 : n < NP_MAG_FIRST ? n : NP_MAG_FIRST;
}

static void test_growth(size_t size)
{
	unsigned class = class_of(size);
	size_t first, last;

	clean_up();
	npool_free(npool_malloc(size));
	first = np_self->mag[class]->cap;
	is_uint(first, first_of(size), "%zu bytes: a first magazine is small",
		size);
	for (int i = 0; i < 50; i++) {
		take(3000, size);
		give(3000);
	}
	last = np_self->mag[class]->cap;
	is_uint(last, most_of(class), "with use it grows to its bound");
	ok(my_caches_valid(), "and the cache is valid");
}

/* Of a class that has no loaded one. */
static void test_growth_of_second(size_t size)
{
	unsigned class = class_of(size);
	size_t most = np_cache_most(np_self) / 8 / size;

	clean_up();
	npool_free(npool_malloc(size));
	is_uint(np_self->mag[class]->cap, 0, "%zu bytes: none is loaded", size);
	is_uint(np_self->second[class]->cap, first_of(size),
		"a first magazine is small");
	for (int i = 0; i < 50; i++) {
		take(100, size);
		give(100);
	}
	is_uint(np_self->second[class]->cap, most < 64 ? most : 64,
		"with use it grows to its bound");
	ok(my_caches_valid(), "and the cache is valid");
}

static void set_bound(const char *bytes)
{
	if (npool_option_set(&np_pool, "cache_bytes", bytes))
		bail_out("no option cache_bytes");
}

/* One piece of each of many sizes. */
static void take_sizes_to(size_t most)
{
	for (size_t size = 16; size <= most;
	     size += size < 4096 ? 96 : size / 8) {
		take(1, size);
		give(1);
	}
}

/* Of so many sizes none has a loaded magazine; of few, each. */
static void test_crowd(void)
{
	struct npool_figures before;

	clean_up();
	set_bound("1M");
	for (int round = 0; round < 10; round++)
		take_sizes_to(64 * NP_KIB);
	ok(np_self->crowded && !np_self->loaded_bytes && my_caches_valid(),
	   "more classes than there is room for: none is loaded");
	take_sizes_to(4096);
	before = figures();
	take_sizes_to(4096);
	is_uint(figures().allocs - figures().hits, before.allocs - before.hits,
		"all are served by second magazines");
	for (int i = 0; i < 1100; i++) {
		take(2000, 64);
		give(2000);
	}
	ok(!np_self->crowded && np_self->mag[class_of(64)]->cap &&
	   my_caches_valid(), "when one is left, it is loaded again");
	set_bound("16M");
}

/* Pairs of each of the sizes that a chunk may have room for, and a batch, which
 * visits the slow path at any rate. */
static void use_all_sizes(npool_t *pool, size_t most)
{
	for (size_t size = 16; size <= most; size += 16 + size / 16)
		for (int i = 0; i < 3; i++)
			npool_free(npool_alloc(pool, size, 0));
	for (int i = 0; i < 1000; i++)
		piece[i] = npool_alloc(pool, 64, 0);
	give(1000);
}

/* The same bounds where a chunk has fewer classes than may be loaded. */
static void test_small_chunks(unsigned max_order)
{
	struct npool_attr a = NPOOL_ATTR_INIT;
	const struct np_cache *c;
	npool_t *pool;

	a.page_size = 4096;
	a.max_order = max_order;
	a.cache_bytes = 128 * NP_KIB;
	if (npool_create(&pool, &a) != 0)
		bail_out("no pool");
	use_all_sizes(pool, (size_t)4096 << max_order);
	c = np_thread_cache_last(pool->slot);
	ok(c->loaded_bytes <= 128 * NP_KIB &&
	   (!c->crowded || !c->loaded_bytes),
	   "chunks of %u pages: loaded magazines keep to their bound, or none is "
	   "loaded", 1u << max_order);
	npool_option_set(pool, "cache_bytes", "0");
	use_all_sizes(pool, (size_t)4096 << max_order);
	ok(c->loaded_bytes <= NP_LOADED_LEAST &&
	   (!c->crowded || !c->loaded_bytes), "likewise if it is lowered");
	npool_destroy(pool);
}

/* Each class's magazines grow while it is alone. */
static void test_loaded_from_depot(void)
{
	clean_up();
	for (size_t size = 16; size < NP_LOADED_MAX; size *= 2) {
		for (int i = 0; i < 20; i++) {
			take(2000, size);
			give(2000);
		}
		npool_flush_thread();
	}
	for (size_t size = 16; size < NP_LOADED_MAX; size *= 2)
		npool_free(npool_malloc(size));
	ok(np_self->loaded_bytes && my_caches_valid(),
	   "they keep to their bound if they come full (%zu)",
	   np_self->loaded_bytes);
}

#define NGROUP 6

static void use_group(const size_t *sizes, unsigned rounds)
{
	for (unsigned i = 0; i < rounds; i++)
		for (unsigned k = 0; k < NGROUP; k++) {
			take(100, sizes[k]);
			give(100);
		}
}

/* How many of them have the largest magazine that they may have? */
static unsigned ngrown(const size_t *sizes)
{
	unsigned n = 0;

	for (unsigned k = 0; k < NGROUP; k++)
		n += np_self->mag[class_of(sizes[k])]->cap ==
		     most_of(class_of(sizes[k]));
	return n;
}

/* Some classes were in use for long, then others are: they make room. */
static void test_room_is_handed_on(void)
{
	static const size_t old[] = { 8192, 12288, 16384, 24576, 32768, 49152 },
			    new[] = { 10240, 14336, 20480, 28672, 40960, 57344 };

	clean_up();
	set_bound("1M");
	use_group(old, 50);
	is_uint(ngrown(old), NGROUP,
		"classes have all the room that they can use");
	/* The visits go on until what was refilled once is forgotten. */
	use_group(new, 200);
	is_uint(ngrown(new), NGROUP, "others that are used much get it");
	ok(ngrown(old) < NGROUP && my_caches_valid(),
	   "from those that are not");
	set_bound("16M");
}

/* A cache that may hold next to nothing. */
static void test_small_bound(void)
{
	struct npool_figures before;
	struct rng rng = rng_seed(4);
	bool valid = true;

	clean_up();
	set_bound("4K");
	before = figures();
	for (int i = 0; i < 20000; i++) {
		unsigned k = (unsigned)rng_below(&rng, 100);

		if (i >= 100)
			npool_free(piece[k]);
		piece[i < 100 ? i : (int)k] =
			npool_malloc(rng_log(&rng, 100000));
		valid = valid && (i % 100 || my_caches_valid());
	}
	ok(valid, "with cache_bytes of 4 KiB second magazines keep to it");
	give(100);
	is_uint(figures().used, before.used, "and nothing is lost");
	set_bound("0");
	clean_up();
	take(3000, 100);
	give(3000);
	npool_free(npool_malloc(100000));
	ok(!np_cache_second_bytes(np_self) && np_self->loaded_bytes &&
	   my_caches_valid(), "with 0 there are only loaded ones");
	set_bound("4M");
	clean_up();
}

/* The bound is lowered while second magazines are full, and raised again. */
static void test_bound_lowered(void)
{
	bool valid = true;

	clean_up();
	for (int i = 0; i < 20; i++) {
		take(3000, 64);
		give(3000);
	}
	ok(np_cache_second_bytes(np_self) > 0, "second magazines hold some");
	set_bound("0");
	take(3000, 64);
	ok(my_caches_valid(), "with no room for it any more it is used up");
	set_bound("4M");
	for (int i = 0; i < 6; i++) {
		give(3000);
		valid = valid && my_caches_valid();
		take(3000, 64);
	}
	ok(valid && my_caches_valid(), "with room again it goes on");
	give(3000);
	clean_up();
	is_uint(figures().used + figures().cached, 0, "nothing is lost");
}

static void test_depot(void)
{
	struct npool_figures before, after;

	clean_up();
	take(2000, 100);
	give(2000);
	npool_flush_thread();
	before = figures();
	ok(before.cached > 0, "a cache that is given up goes to the depot");
	take(500, 100);
	after = figures();
	ok(after.depot_gets > before.depot_gets, "and is taken from there");
	is_uint(after.used + after.cached, before.used + before.cached,
		"without a visit to an arena");
	give(500);
	clean_up();
	is_uint(figures().cached, 0, "trimmed there is nothing");
}

/* --- large pieces ----------------------------------------------------- */

static void test_large(void)
{
	static const size_t sizes[] = { 40000, 65536, 300000, NP_MIB,
					4 * NP_MIB };
	struct npool_figures before;
	bool cached = true;

	clean_up();
	for (unsigned i = 0; i < 5; i++) {
		npool_free(npool_malloc(sizes[i]));
		before = figures();
		npool_free(npool_malloc(sizes[i]));
		cached = cached && figures().hits == before.hits + 1 &&
			 my_caches_valid();
	}
	ok(cached, "pieces up to 4 MiB are cached");
	npool_free(npool_malloc(4 * NP_MIB + 1));
	before = figures();
	npool_free(npool_malloc(4 * NP_MIB + 1));
	is_uint(figures().hits, before.hits, "larger ones are not");
	for (size_t size = 40000; size < NP_MIB; size += size / 8) {
		take(100, size);
		give(100);
	}
	ok(np_cache_second_bytes(np_self) > np_cache_most(np_self) / 2 &&
	   my_caches_valid(), "of many sizes 4 MiB are kept there at most (%zu)",
	   np_cache_second_bytes(np_self));
	before = figures();
	ok(before.cached > 100 * NP_MIB, "the depot has the rest");
	for (int round = 0; round < 2; round++)
		for (size_t size = 40000; size < NP_MIB; size += size / 8) {
			take(100, size);
			give(100);
		}
	ok(figures().reserved <= before.reserved + figures().chunk_size,
	   "from which requests are served");
	before = figures();
	/* Of another size: what the depot holds goes back first. */
	take(20, 3 * NP_MIB);
	is_uint(figures().reserved, before.reserved,
		"no chunk is mapped while the depot holds runs");
	ok(figures().cached < before.cached / 2, "but these go back");
	give(20);
	npool_free(npool_malloc(40000));
	before = figures();
	for (int i = 0; i < 30; i++)
		npool_free(npool_malloc(40000));
	is_uint(figures().hits - before.hits, 30, "a pair is a hit then");
	clean_up();
	is_uint(figures().cached, 0, "trimmed there is nothing");
}

/* Runs that nobody needs, in chunks with pages that nobody has touched. */
static void test_cached_before_growth(void)
{
	struct npool_figures before;
	size_t some;

	clean_up();
	take(384, 64 * NP_KIB);
	give(384);
	some = np_cache_second_bytes(np_self);
	ok(some > 0, "a cache has some runs (%zu bytes)", some);
	before = figures();
	is_uint(before.cached / NP_MIB, 24, "and a depot has the rest");
	take(1792, 4096);
	is_uint(figures().reserved, before.reserved,
		"7 MiB of another size have room in the chunks");
	ok(figures().cached < before.cached / 4,
	   "but pages of those runs are used first");
	ok(np_cache_second_bytes(np_self) < some && my_caches_valid(),
	   "the cache's too (%zu)", np_cache_second_bytes(np_self));
	give(1792);
	clean_up();
}

static bool push(struct np_cache *c, void *p, unsigned class)
{
	bool kept;

	np_cache_enter(c, true);
	kept = np_second_push(c, p, class);
	np_cache_leave(c);
	return kept;
}

static void *pop(struct np_cache *c, unsigned class)
{
	void *p;

	np_cache_enter(c, true);
	p = np_second_pop(c, class);
	np_cache_leave(c);
	return p;
}

/* The inline ways of pieces of which none is loaded. */
static void test_second_inline(void)
{
	unsigned class = class_of(LARGE), small = class_of(100);
	struct np_cache *c;
	uint64_t frees;
	void *p, *q;

	clean_up();
	p = npool_malloc(LARGE);
	q = npool_malloc(LARGE);
	c = np_self;
	ok(!push(c, p, class),
	   "a class that has no magazine yet takes no piece that way");
	npool_free(p);
	ok(!push(c, q, class), "nor one that has a full one");
	is_ptr(pop(c, class), p, "what is in it comes out");
	frees = np_count_get(&c->count->class[class].frees);
	ok(push(c, q, class), "then there is room");
	is_uint(np_count_get(&c->count->class[class].frees), frees + 1,
		"which counts");
	ok(my_caches_valid(), "the cache is valid");
	is_ptr(pop(c, class), q, "it comes out again");
	ok(!pop(c, class), "then nothing");
	npool_free(npool_malloc(100));
	ok(look_loaded(c, small)->n && !pop(c, small) &&
	   !push(c, p, small),
	   "a class with a loaded magazine does not go that way");
	npool_free(p);
	npool_free(q);
	is_uint(np_cache_size_of(c, class), row(class)->size,
		"a cache knows the sizes");
	clean_up();
}

/* --- claims ----------------------------------------------------------- */

/* Pieces in loaded and second magazines, and one of home 0 that waits. */
static struct np_cache *fill_cache(void)
{
	clean_up();
	be_on(0);
	take(1, 100);
	be_on(1);
	npool_free(piece[0]);
	take(500, 1000);
	give(500);
	npool_free(npool_malloc(LARGE));
	return np_self;
}

static size_t pieces_in(const struct np_mag *mag)
{
	size_t n = 0;

	for (; mag; mag = mag->next)
		n += mag->n;
	return n;
}

static void test_claim(void)
{
	struct np_cache *c = fill_cache();
	unsigned small = class_of(1000), large = class_of(LARGE);
	size_t loaded = look_loaded(c, small)->n, second = c->second[small]->n;
	struct np_mag *loot = NULL;
	uint64_t bytes = np_count_get(&c->count->reclaimed_bytes);

	ok(loaded && second && c->second[large]->n == 1 && c->outgoing[0].mag->n,
	   "a cache has pieces in all places");
	np_lock(&np_claim_lock);
	ok(np_cache_claim(c, false), "it is claimed");
	ok(!np_cache_enter(c, true) && c->busy != NP_CACHE_BUSY,
	   "its owner is not let in, and not busy");
	ok(!np_cache_enter(c, false) && c->busy != NP_CACHE_BUSY,
	   "nor is its fast path");
	ok(!np_cache_steal(c, false, &loot) && !loot && !c->claimed,
	   "where the kernel makes no barrier, nothing is taken");
	ok(np_cache_claim(c, false) && np_cache_steal(c, np_os_barrier(), &loot),
	   "there was something in it");
	np_unlock(&np_claim_lock);
	is_uint(pieces_in(loot), loaded + second + 1 + 1,
		"its magazines, the large piece and the foreign one");
	is_uint(np_count_get(&c->count->reclaimed_bytes) - bytes,
		(loaded + second) * row(small)->size + row(large)->size +
		row(class_of(100))->size, "their bytes are counted");
	ok(!look_loaded(c, small)->n && !np_cache_second_bytes(c) &&
	   !c->second[large]->n && !c->outgoing[0].mag->n &&
	   !c->outgoing[0].bytes && my_caches_valid(), "it is empty");
	np_mags_to_arenas(loot);
	ok(np_cache_enter(c, true), "the owner is let in again");
	np_cache_leave(c);
	take(200, 1000);
	give(200);
	ok(my_caches_valid(), "and goes on");
	clean_up();
	is_uint(figures().used + figures().cached, 0, "nothing is lost");
}

static void test_claim_of_busy(void)
{
	struct np_cache *c = fill_cache();
	size_t second = c->second[class_of(1000)]->n;
	struct np_mag *loot = NULL;

	np_cache_enter(c, true);
	np_lock(&np_claim_lock);
	ok(np_cache_claim(c, false), "a busy cache can be claimed");
	ok(!np_cache_steal(c, np_os_barrier(), &loot) && !loot,
	   "but nothing is taken from it");
	np_unlock(&np_claim_lock);
	is_uint(c->second[class_of(1000)]->n, second, "it has what it had");
	ok(!c->claimed, "and is not claimed any more");
	np_cache_leave(c);
	ok(my_caches_valid(), "when its owner leaves it is valid");
}

static void test_claim_of_idle(void)
{
	struct np_cache *c = fill_cache();
	struct np_mag *loot = NULL;

	np_lock(&np_claim_lock);
	ok(!np_cache_claim(c, true), "one that was just used is not idle");
	np_unlock(&np_claim_lock);
	npool_free(npool_malloc(1000));
	np_lock(&np_claim_lock);
	ok(!np_cache_claim(c, true) && !c->claimed,
	   "a hit in between: it is in use again");
	ok(np_cache_claim(c, true), "until nobody came for a while");
	ok(np_cache_steal(c, np_os_barrier(), &loot), "it is emptied");
	ok(!np_cache_claim(c, false) && !np_cache_claim(c, true) && !c->claimed,
	   "and then left alone");
	np_unlock(&np_claim_lock);
	np_mags_to_arenas(loot);
	npool_free(npool_malloc(LARGE));
	np_lock(&np_claim_lock);
	ok(!np_cache_claim(c, true) && !c->claimed,
	   "a large piece in between is use of it too");
	ok(np_cache_claim(c, true), "until nobody came for a while");
	loot = NULL;
	np_cache_steal(c, np_os_barrier(), &loot);
	np_unlock(&np_claim_lock);
	is_uint(pieces_in(loot), 1, "then that piece is taken");
	np_mags_to_arenas(loot);
	clean_up();
}

/* --- past the cache --------------------------------------------------- */

static void test_counting(void)
{
	struct np_cache *c;
	struct npool_figures before;
	unsigned class = class_of(100);
	void *p[10];

	clean_up();
	npool_free(npool_malloc(1));
	c = np_self;
	before = figures();
	if (np_arena_take(c->arena, class, 10, p) != 10)
		bail_out("no memory");
	np_cache_count_taken(c, class, 10);
	is_uint(figures().used - before.used, 10 * row(class)->size,
		"what the caller takes past the cache is used");
	is_uint(figures().allocs - before.allocs, 10, "and was handed out");
	is_uint(figures().hits, before.hits, "not as hits");
	is_uint(figures().cached, before.cached, "nor is it cached");
	np_cache_count_given(c, class, 10);
	np_arenas_put(p, 10);
	is_uint(figures().used, before.used, "given past it, it is not used");
	is_uint(figures().cached, before.cached, "nor cached");
}

/* --- other homes ------------------------------------------------------ */

static void test_foreign(void)
{
	struct npool_figures before, after;
	bool at_home = true;

	clean_up();
	be_on(0);
	take(1000, 100);
	before = figures();
	be_on(1);
	give(1000);
	after = figures();
	is_uint(after.used, before.used - 1000 * row(class_of(100))->size,
		"pieces freed on another home are not used any more");
	np_cache_send_all(np_self);
	after = figures();
	is_uint(after.foreign_frees - before.foreign_frees, 1000,
		"and count as foreign when they have been sent");
	ok(np_self->home == 1 && my_caches_valid(),
	   "they are in no cache of that home");
	for (int i = 0; i < 1000; i++)
		at_home = at_home && is_at_home(piece[i] = npool_malloc(100),
						1);
	ok(at_home, "nor handed out there");
	give(1000);
	be_on(0);
	before = figures();
	take(800, 100);
	for (int i = 0; i < 800; i++)
		at_home = at_home && is_at_home(piece[i], 0);
	after = figures();
	ok(at_home, "at home they are handed out again");
	ok(after.used - before.used <= before.cached - after.cached + 65536,
	   "from what had come home");
	give(800);
	clean_up();
	is_uint(figures().cached, 0, "trimmed there is nothing");
}

static size_t in_outgoing(int home)
{
	return np_self->outgoing[home].mag->n;
}

static void test_outgoing_is_bounded(void)
{
	size_t most = 0, bytes = 0;

	clean_up();
	be_on(0);
	take(2000, 3000);
	be_on(1);
	for (int i = 0; i < 2000; i++) {
		npool_free(piece[i]);
		if (in_outgoing(0) > most)
			most = in_outgoing(0);
		if (np_self->outgoing[0].bytes > bytes)
			bytes = np_self->outgoing[0].bytes;
	}
	ok(most < NP_OUTGOING_PIECES && bytes < NP_OUTGOING_BYTES,
	   "an outgoing magazine waits for so many pieces or bytes");
	be_on(0);
	take(1, 100);
	be_on(1);
	npool_free(piece[0]);
	ok(in_outgoing(0) > 0, "a single piece waits");
	for (int i = 0; i < 200 && in_outgoing(0); i++) {
		void *p = npool_malloc(5 * NP_MIB); /* a slow visit */

		npool_free(p);
	}
	is_uint(in_outgoing(0), 0, "but not for ever: some visits");
	clean_up();
}

/* Nobody of home 0 takes anything out of its inbox. */
static void test_inbox_is_bounded(size_t size, unsigned n)
{
	struct npool_figures s;

	clean_up();
	be_on(0);
	take(n, size);
	be_on(1);
	give(n);
	s = figures();
	ok(s.cached <= 2 * NP_DEPOT_BYTES + NP_OUTGOING_BYTES,
	   "%u pieces of %zu bytes for a home where nobody is: %zu wait", n,
	   size, (size_t)s.cached);
	is_uint(s.used, 0, "none is in use");
	clean_up();
	is_uint(figures().cached, 0, "trimmed none waits");
}

static void test_trim_gets_mail(void)
{
	clean_up();
	be_on(0);
	take(64, 100);
	be_on(1);
	give(64);
	ok(figures().cached > 0, "mail that nobody has read");
	npool_trim();
	npool_flush_thread();
	npool_trim();
	is_uint(figures().cached, 0, "is emptied by a trim");
	is_uint(figures().chunks, 0, "and its chunk is gone");
}

/* --- a producer and a consumer ---------------------------------------- */

#define RING 256
#define NPIECES 200000

static _Atomic(void *) ring[RING];
static _Atomic unsigned ended;
static unsigned strangers; /* pieces of the wrong home that it got */

static void *produce(void *arg)
{
	struct rng rng = rng_seed(1);
	unsigned n = *(unsigned *)arg;

	be_on(0);
	for (unsigned i = 0; i < n; i++) {
		char *p = npool_malloc(rng_log(&rng, 20000));

		strangers += !is_at_home(p, 0);
		*p = 'p';
		while (atomic_load_explicit(&ring[i % RING],
					    memory_order_relaxed))
			sched_yield();
		atomic_store_explicit(&ring[i % RING], p,
				      memory_order_release);
	}
	ended += !my_caches_valid();
	return NULL;
}

static void *consume(void *arg)
{
	unsigned n = *(unsigned *)arg;

	be_on(1);
	for (unsigned i = 0; i < n; i++) {
		char *p;

		while (!(p = atomic_exchange_explicit(&ring[i % RING], NULL,
						      memory_order_acquire)))
			sched_yield();
		ended += *p != 'p';
		npool_free(p);
	}
	ended += !my_caches_valid();
	return NULL;
}

static bool shelves_at_home(void)
{
	for (unsigned h = 0; h < np_pool.nodes.n; h++) {
		const struct np_depot *d = np_pool.nodes.node[h].depot;

		for (unsigned k = 1; k < d->nclasses; k++)
			for (const struct np_mag *m = d->shelf[k].full; m;
			     m = m->next)
				if (!mag_valid(m, k, (int)h))
					return false;
	}
	return true;
}

static void test_producer(void)
{
	unsigned n = conf_by_level(1, 1, 20) * NPIECES;
	struct npool_figures before, after;
	pthread_t t[2];

	clean_up();
	before = figures();
	if (pthread_create(&t[0], NULL, produce, &n) ||
	    pthread_create(&t[1], NULL, consume, &n))
		bail_out("no thread");
	pthread_join(t[0], NULL);
	pthread_join(t[1], NULL);
	after = figures();
	is_uint(after.foreign_frees - before.foreign_frees, n,
		"%u pieces are made on home 0 and freed on home 1", n);
	is_uint(ended, 0, "their contents arrive, and the caches are valid");
	is_uint(strangers, 0, "the producer gets none that is not of its home");
	is_uint(after.used, before.used, "none is in use");
	ok(shelves_at_home(), "each shelf holds pieces of its home alone");
	ok(after.peak_taken < 64 * NP_MIB,
	   "they are used again and again (peak %zu)",
	   (size_t)after.peak_taken);
	clean_up();
	is_uint(figures().cached, 0, "trimmed nothing is left");
	is_uint(figures().chunks, 0, "of chunks neither");
}

/* --- random ----------------------------------------------------------- */

/* Hops between homes; what one thread leaves another one frees. */
static void *hop(void *arg)
{
	static _Atomic(void *) shared[64];
	struct rng rng = rng_seed((uintptr_t)arg);
	uintptr_t bad = 0;

	for (int i = 0; i < 20000; i++) {
		size_t size = rng_log(&rng, 300000);
		void *p = arg ? npool_malloc(size) : NULL;

		npool_free(atomic_exchange(&shared[rng_below(&rng, 64)], p));
		if (rng_chance(&rng, 1))
			be_on((int)rng_below(&rng, 3) - 1);
		if (i % 5000 == 0)
			bad += !my_caches_valid();
	}
	return (void *)bad;
}

static void test_hoppers(void)
{
	pthread_t t[4];
	uintptr_t bad = 0;

	for (uintptr_t i = 0; i < 4; i++)
		if (pthread_create(&t[i], NULL, hop, (void *)(i + 1)))
			bail_out("no thread");
	for (int i = 0; i < 4; i++) {
		void *b;

		pthread_join(t[i], &b);
		bad += (uintptr_t)b;
	}
	hop(NULL); /* frees what is left */
	is_uint(bad, 0, "threads hop about and their caches are valid");
	is_uint(figures().used, 0, "all they had is freed");
	ok(shelves_at_home(), "what is cached is at home");
	clean_up();
	is_uint(figures().cached, 0, "trimmed nothing is left");
}

/* --- misuse ----------------------------------------------------------- */

/* Frees a piece twice on another home, and visits its own. */
static void free_twice(void *arg)
{
	size_t size = *(size_t *)arg;
	void *p;

	be_on(0);
	p = npool_malloc(size);
	be_on(1);
	npool_free(p);
	npool_free(p);
	be_on(0);
	take(1, 3000); /* a miss: receives what was sent home */
	npool_flush_thread();
	npool_trim();
}

static void test_free_twice(void)
{
	static size_t sizes[] = { 100, 40000, 5 * NP_MIB, 16 * NP_MIB };

	for (unsigned i = 0; i < 4; i++) {
		struct child c = child_run(free_twice, &sizes[i]);

		if (!ok(child_killed(&c, SIGABRT) &&
			strstr(c.text, ": double free: "),
			"%zu bytes freed twice on another home: found out",
			sizes[i]))
			diag("status 0x%x: %s", (unsigned)c.status, c.text);
	}
}

int main(int argc, char **argv)
{
	(void)argc;
	conf_restart(argv, CONF);
	plan(161);
	if (!np_start())
		bail_out("the pool does not wake");
	test_producer();
	be_on(1);
	test_hits();
	test_growth(16);
	test_growth(64);
	test_growth(1000);
	test_growth(2048);
	test_growth(4096);
	test_growth(8192);
	test_growth(NP_LOADED_MAX);
	test_growth_of_second(2 * NP_LOADED_MAX);
	test_growth_of_second(NP_MIB);
	test_crowd();
	for (unsigned order = 0; order <= 6; order++)
		test_small_chunks(order);
	test_loaded_from_depot();
	test_room_is_handed_on();
	test_small_bound();
	test_bound_lowered();
	test_depot();
	test_large();
	test_cached_before_growth();
	test_second_inline();
	test_claim();
	test_claim_of_busy();
	test_claim_of_idle();
	test_counting();
	test_foreign();
	test_outgoing_is_bounded();
	test_inbox_is_bounded(100, MOST);
	test_inbox_is_bounded(30000, 500);
	test_inbox_is_bounded(300000, 100);
	test_inbox_is_bounded(16 * NP_MIB, 20);
	test_trim_gets_mail();
	test_hoppers();
	clean_up();
	test_free_twice();
	return done();
}
