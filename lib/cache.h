/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * cache: a thread's free pieces of one home of one pool, in magazines.
 *
 *	malloc   pop from loaded[class], or, if the class has none, from
 *	         second[class]
 *	         empty: swap the two, or get a magazine from the depot, or fill
 *	         one from the arena
 *	free     mine:     push to loaded[class], or, if the class has none, to
 *	                   second[class]
 *	                   full: swap the two, or put the second into the depot,
 *	                   or back to the arenas
 *	         not mine: push to outgoing[home], sent to that home's inbox
 *
 * Loaded magazines, of classes up to NP_LOADED_MAX, may have room for as much
 * as the thread's share of the pool's cache_bytes, or for NP_LOADED_LEAST.
 * Second ones may hold as much as that share, whatever they have room for: a
 * class of which there is but a piece now and then takes nothing from others.
 * So there is more to do for a piece that goes to a second one.
 *
 * Who has a loaded magazine: those that were refilled lately, if there is room
 * for them all. In a crowd nobody has one for a while, and all are served from
 * the second ones: if some were and others not, each call would be a branch
 * that the CPU cannot foresee, which costs more.
 *
 * Magazines start small and double when they are refilled often, while the
 * bounds allow; what a class has no room for any more goes to the depot.
 *
 * The owner says that it is busy while it uses the cache, by a plain store, and
 * looks whether it is claimed then: the slow path at `claimed`, the fast path,
 * which has to look there anyway, at cpu_now, which leads to no CPU then. Who
 * wants to empty the caches of others (a reclaimer: trim, tick, pressure) sets
 * both, issues a membarrier(2), and looks at `busy`:
 *
 *	owner                     reclaimer, with the claim lock held
 *	  busy = BUSY               claimed = true, cpu_now = &np_cpu_none
 *	  (compiler barrier)        membarrier: the owner's CPU has passed a
 *	  claimed? then wait        full fence since
 *	  ... use ...               BUSY? then leave it alone
 *	  busy = LEFT, release      acquire: ... empty it ...
 *	                            claimed = false, cpu_now = ..., release
 *
 * Either the owner sees the claim, or the reclaimer sees it busy; the fence
 * that this takes is paid by the reclaimer, and if the kernel refuses it,
 * nothing is taken. Who looks makes SEEN of LEFT, and the owner's next use LEFT
 * of that: a tick that still finds it SEEN knows that the cache is idle. Who
 * has emptied it makes EMPTY of SEEN, and leaves it alone until it is used.
 *
 * A class that was never used has np_mag_none, which serves nothing and takes
 * nothing: the fast path needs no test for it. That path is short of time, not
 * of instructions: from the piece that is freed to the place where the next
 * malloc finds it are two loads that wait for each other (class of the page,
 * top of the magazine), and each more is felt.
 *
 * A piece that comes back has often not been touched for long: its first line
 * is asked for then, and is there when the piece is handed out again.
 *
 * Every call looks at the CPU number (cpu_now); when it is another one
 * np_seat_follow decides whether the thread has changed its node.
 *
 * Owner: the thread while it is busy, or a reclaimer who has claimed it, as
 * above. A forked child abandons the caches of threads that it does not have.
 *
 * Source: J. Bonwick & J. Adams, "Magazines and Vmem", USENIX 2001; the
 * bounds of pieces are Netty's (PoolThreadCache); membarrier(2) for the
 * asymmetric fence.
 */
#ifndef NP_CACHE_H
#define NP_CACHE_H

#include "base.h"
#include "chunkmap.h"
#include "magazine.h"
#include "node.h"
#include "segment.h"

#if defined HAVE_LIBNUMA && !defined NP_BLIND /* t/steps.c: what it costs */
#define NP_FAST_LOOKS
#endif

#define NP_LOADED_MAX (256 * NP_KIB) /* larger pieces have second ones alone */
#define NP_SMALL_MAX (32 * NP_KIB) /* these an arena hands out by the dozen */
#define NP_LOADED_LEAST (64 * NP_KIB) /* room that there always is for them */
#define NP_SHARE_LEAST (4 * NP_MIB)
#define NP_LARGE_PIECE_MAX (4 * NP_MIB) /* larger ones are not cached */
#define NP_OUTGOING_PIECES 64
#define NP_OUTGOING_BYTES (64 * NP_KIB)

struct np_seat;

/* A loaded magazine, as the fast path sees it. Without one all three are the
 * same. */
struct np_loaded {
	void **top;   /* behind the last piece in it */
	void **base;  /* where that is when it is empty */
	void **end;   /* when it is full */
	struct np_class_count *count;
};

_Static_assert(sizeof(struct np_loaded) == 1 << NP_KNOWN_CLASS_SHIFT,
	       "the page map leads to the class's at once");

/* Pieces of another home, of any class. */
struct np_outgoing {
	struct np_mag *mag;
	size_t bytes;
};

enum np_cache_busy {
	NP_CACHE_LEFT,
	NP_CACHE_BUSY, /* the owner uses it */
	NP_CACHE_SEEN, /* left, and not used since a reclaimer looked */
	NP_CACHE_EMPTY, /* nor since one emptied it: there is nothing to take */
};

struct np_cache {
	/* The fast path's. What a free needs of the page map is here too: a
	 * cache that serves none at once, as where pages are not the preset
	 * ones, knows no page. */
	_Atomic uint32_t busy;		  /* enum np_cache_busy. Written by the
					     owner, or, from LEFT to SEEN and
					     from SEEN to EMPTY, by who holds
					     the claim lock */
	uint32_t cpu;			  /* what it was */
	const volatile uint32_t *_Atomic cpu_now; /* where the CPU's number
					     stands. Written with the lock of
					     the thread list held, by the
					     thread, or by who hides the cache:
					     a recording, or who claims it */
	_Atomic bool hidden;		  /* likewise */
	_Atomic bool claimed;		  /* the claim lock */
	const _Atomic uint32_t *known;	  /* the page map */
	size_t first_page, npages;
	uint32_t known_tag;		  /* of pieces that may be pushed */
	np_tag_t tag;			  /* whose; NP_NO_TAG: nobody's */
	struct np_block *count;
	struct np_loaded *by_size[NP_LOOKUP_MAX / 16 + 1]; /* loaded[] of the
					     class for (size + 15) / 16 */
	struct np_loaded loaded[NP_MAX_CLASSES];
	/* Written once. */
	const struct np_nodes *nodes;
	struct np_node *node;
	struct np_arena *arena;
	struct np_seat *seat;
	np_home_t home;
	/* What cpu_now is while nobody hides the cache, and whether a recording
	 * does. Written as that is. */
	const volatile uint32_t *cpu_word;
	bool watched;
	/* The slow path's. */
	struct np_mag *mag[NP_MAX_CLASSES]; /* loaded[] has its pieces; its n
				     is right where cache.c has looked */
	size_t loaded_bytes;	  /* that loaded magazines could hold */
	bool crowded;		  /* no class is to have a loaded magazine */
	unsigned loaded_hand;	  /* class that is unloaded next */
	unsigned nslow;		  /* visits to the slow path */
	unsigned in_use;	  /* class that this visit is about: none takes
				     its room */
	uint8_t refills[NP_MAX_CLASSES]; /* lately; 0: not in use */
	uint64_t allocs_then[NP_MAX_CLASSES]; /* as counted when the node last
				     grew: who has more is in use */
	unsigned second_hand;	  /* class that is pushed out next */
	ptrdiff_t second_room;	  /* bytes: most less what second magazines
				     hold; below 0 if that was lowered since */
	size_t most;		  /* np_cache_most, as the last visit to the
				     slow path found it */
	struct np_mag *second[NP_MAX_CLASSES];
	struct np_outgoing *outgoing; /* [nodes->n], by home */
};

/* A number that no CPU has: of a cache whose cpu_now is here the fast paths
 * think that it has moved. */
extern const volatile uint32_t np_cpu_none;

/* The cache of a thread that has none: it is barred. All write that they are
 * busy with it, and nobody looks. */
extern struct np_cache np_cache_none;

/* Fills in a cache for this node. Returns 0 or ENOMEM. */
int np_cache_init(struct np_cache *cache, const struct np_nodes *nodes,
		  struct np_node *node, struct np_arena *arena,
		  struct np_seat *seat);

/* Has the CPU changed since the cache looked, or is it hidden? Acquire, here
 * and below: pairs with the release of who ends a claim. */
static inline bool np_cache_moved(const struct np_cache *cache)
{
	return *atomic_load_explicit(&cache->cpu_now, memory_order_acquire) !=
	       cache->cpu;
}

/* Shall a fast path leave it alone? Without libnuma there are no nodes but
 * invented ones, and it is enough that visits to the slow path look. */
static inline bool np_cache_barred(const struct np_cache *cache)
{
#ifdef NP_FAST_LOOKS
	return np_cache_moved(cache);
#else
	return atomic_load_explicit(&cache->hidden, memory_order_acquire);
#endif
}

/* Ends what np_cache_enter begins. Release: pairs with the acquire of
 * np_cache_steal. */
static inline void np_cache_leave(struct np_cache *cache)
{
	NP_YIELD(cache);
	atomic_store_explicit(&cache->busy, NP_CACHE_LEFT,
			      memory_order_release);
}

/* Begins to use it. slow: for the slow path, which may use a cache that is
 * hidden, but not one that is claimed. Returns false if the caller has to leave
 * it alone; the slow path tries again behind np_cache_wait. Owner thread only,
 * likewise below. */
static inline bool np_cache_enter(struct np_cache *cache, bool slow)
{
	NP_YIELD(cache);
	atomic_store_explicit(&cache->busy, NP_CACHE_BUSY,
			      memory_order_relaxed);
	/* The reclaimer's membarrier makes a fence of this. */
	atomic_signal_fence(memory_order_seq_cst);
	NP_YIELD(cache);
	if (np_likely(slow ? !atomic_load_explicit(&cache->claimed,
						   memory_order_acquire)
			   : !np_cache_barred(cache)))
		return true;
	np_cache_leave(cache);
	return false;
}

static inline size_t np_cache_size_of(const struct np_cache *cache,
				      unsigned class)
{
	return cache->nodes->classes->row[class].size;
}

/* Bytes that second magazines hold. */
static inline size_t np_cache_second_bytes(const struct np_cache *cache)
{
	return cache->most - (size_t)cache->second_room;
}

/* What second magazines may hold, and loaded ones have room for: of cache_bytes
 * an equal share for all threads of the arena, but NP_SHARE_LEAST at least. */
static inline size_t np_cache_most(const struct np_cache *cache)
{
	size_t all = atomic_load_explicit(&cache->nodes->cache_bytes,
					  memory_order_relaxed);
	uint32_t n;

	if (all <= NP_SHARE_LEAST)
		return all;
	n = atomic_load_explicit(&cache->arena->nthreads,
				 memory_order_relaxed);
	return all / NP_SHARE_LEAST <= n ? NP_SHARE_LEAST : all / n;
}

/* The loaded magazine of the piece's class, if it may be pushed to those of
 * this cache, or NULL. */
static inline struct np_loaded *np_cache_finds(struct np_cache *cache,
					       const void *p)
{
	uint32_t known;
	size_t n = ((uintptr_t)p >> NP_PRESET_PAGE_SHIFT) - cache->first_page;

	if (np_unlikely(n >= cache->npages))
		return NULL;
	/* Relaxed: as it was written, see chunk.c. */
	known = atomic_load_explicit(&cache->known[n], memory_order_relaxed) ^
		cache->known_tag;
	if (np_unlikely(known >= 1u << NP_KNOWN_TAG_SHIFT))
		return NULL;
	/* That is the class, times the size of one. */
	return (struct np_loaded *)(void *)((char *)cache->loaded + known);
}

static inline bool np_loaded_has_place(const struct np_loaded *l)
{
	return l->end != l->base;
}

/* It is not empty. */
static inline void *np_loaded_pop(struct np_loaded *l)
{
	np_count_one(&l->count->allocs);
	return *--l->top;
}

/* It is not full. */
static inline void np_loaded_push(struct np_loaded *l, void *p)
{
	__builtin_prefetch(p, 1); /* see the head of this file */
	np_count_one(&l->count->frees);
	*l->top++ = p;
}

/* The next five: the cache is entered. */

/* A piece of the second magazine, or NULL: it is empty, or the class has a
 * loaded one, which serves it. The class may be 0, which is empty. */
static inline void *np_second_pop(struct np_cache *cache, unsigned class)
{
	struct np_mag *mag = cache->second[class];
	size_t n;
	void *p;

	NP_YIELD(cache);
	n = mag->n;
	if (np_unlikely(!n) || np_loaded_has_place(&cache->loaded[class]))
		return NULL;
	p = mag->slot[n - 1];
	mag->n = n - 1;
	cache->second_room += (ptrdiff_t)mag->size;
	np_count_one(&mag->count->allocs);
	if (!p) /* nor does a caller need to look */
		__builtin_unreachable();
	return p;
}

/* Keeps a piece of the cache's home in the second magazine, or returns false:
 * there is no room, or the class has a loaded one. class 0 has no room. */
static inline bool np_second_push(struct np_cache *cache, void *p,
				  unsigned class)
{
	struct np_mag *mag = cache->second[class];
	ptrdiff_t room;
	size_t n;

	NP_YIELD(cache);
	n = mag->n;
	room = cache->second_room - (ptrdiff_t)mag->size;
	if (room < 0 || n >= mag->cap ||
	    np_loaded_has_place(&cache->loaded[class]))
		return false;
	__builtin_prefetch(p, 1); /* see the head of this file */
	mag->slot[n] = p;
	mag->n = n + 1;
	cache->second_room = room;
	np_count_one(&mag->count->frees);
	return true;
}

/* A piece of the class from either magazine, or NULL. */
static inline void *np_cache_pop(struct np_cache *cache, unsigned class)
{
	struct np_loaded *l = &cache->loaded[class];
	void *p;

	if (l->top == l->base)
		return np_second_pop(cache, class);
	NP_YIELD(cache);
	p = np_loaded_pop(l);
	if (!p) /* likewise */
		__builtin_unreachable();
	return p;
}

/* Keeps a piece of the cache's home in either, or returns false. */
static inline bool np_cache_push(struct np_cache *cache, void *p,
				 unsigned class)
{
	struct np_loaded *l = &cache->loaded[class];

	if (l->top == l->end)
		return np_second_push(cache, p, class);
	NP_YIELD(cache);
	np_loaded_push(l, p);
	return true;
}

/* Keeps a piece of another home until it is sent there, or returns false: it
 * has to be sent now, or there is no magazine yet. class: 0 is refused. */
static inline bool np_cache_push_outgoing(struct np_cache *cache, void *p,
					  unsigned class, np_home_t home)
{
	struct np_outgoing *out = &cache->outgoing[home];
	struct np_mag *mag;
	size_t bytes;
	bool room;

	if (!class)
		return false;
	mag = out->mag;
	NP_YIELD(cache);
	bytes = out->bytes + np_cache_size_of(cache, class);
	room = mag->n + 1 < mag->cap && bytes < NP_OUTGOING_BYTES;
	if (room) {
		out->bytes = bytes;
		np_count_one(&cache->count->class[class].frees);
		mag->slot[mag->n++] = p;
	}
	return room;
}

/* What the fast path does: a piece of the class, or NULL. slow: as for
 * np_cache_enter. */
static inline void *np_cache_hit(struct np_cache *cache, unsigned class,
				 bool slow)
{
	void *p;

	if (!np_cache_enter(cache, slow))
		return NULL;
	p = np_cache_pop(cache, class);
	np_cache_leave(cache);
	return p;
}

/* The same with a piece that comes back, of whichever home of the pool: keeps
 * it, or returns false. cache: may be NULL. */
static inline bool np_cache_keep(struct np_cache *cache, void *p,
				 const struct np_region *region, np_tag_t tag,
				 bool slow)
{
	unsigned class;
	bool kept;

	if (!cache || cache->tag == NP_NO_TAG ||
	    !np_cache_enter(cache, slow))
		return false;
	class = np_region_entry(region, p) & NP_PAGE_CLASS;
	kept = cache->tag == tag
		? np_cache_push(cache, p, class)
		: np_cache_push_outgoing(cache, p, class, np_tag_home(tag));
	np_cache_leave(cache);
	return kept;
}

/* A piece of the class, or NULL with ENOMEM. The loaded magazine need not be
 * empty. */
void *np_cache_take(struct np_cache *cache, unsigned class);

/* Takes back a piece of the class that lies in the region, whatever its home.
 */
void np_cache_give(struct np_cache *cache, void *p, unsigned class,
		   const struct np_region *region);

/* Counts n pieces of the class (0: huge blocks) that the caller took from, or
 * gave to, an arena past the cache. */
void np_cache_count_taken(struct np_cache *cache, unsigned class, unsigned n);
void np_cache_count_given(struct np_cache *cache, unsigned class, unsigned n);

/* Sends all outgoing magazines home. */
void np_cache_send_all(struct np_cache *cache);

/* Empties the cache: whole magazines into the depot if to_depot, the rest to
 * the arenas, outgoing ones home. */
void np_cache_flush(struct np_cache *cache, bool to_depot);

/* Flushes it, and frees what it is made of but itself. */
void np_cache_fini(struct np_cache *cache);

/* The same, but the pieces in it are nobody's any more: its pool is reset or
 * destroyed. */
void np_cache_forget(struct np_cache *cache);

/* --- reclaiming -------------------------------------------------------- */

/* Waits until nobody claims caches. */
void np_cache_wait(void);

/* Who claims caches holds this lock from the first np_cache_claim to the last
 * np_cache_steal. */
extern struct np_lock np_claim_lock;

/* Claims it, unless it was not used since it was emptied; with only_idle not if
 * it was used since the last time that it was asked. Returns whether it did. */
bool np_cache_claim(struct np_cache *cache, bool only_idle);

/* Where the fast path shall look whether the thread has moved, and whether it
 * shall see the cache as one that has: a recording is on. The lock of the
 * thread list is held, or nobody else knows the cache. */
void np_cache_watch(struct np_cache *cache,
		    const volatile uint32_t *cpu_word, bool watched);

/* Empties a claimed cache, unless its owner is using it, or np_os_barrier(),
 * which the caller has called since (fenced: what it returned), has failed: who
 * uses it cannot be seen then. Its magazines are pushed to *loot, linked by
 * next. Ends the claim. Returns whether anything was in it. */
bool np_cache_steal(struct np_cache *cache, bool fenced, struct np_mag **loot);

#endif
