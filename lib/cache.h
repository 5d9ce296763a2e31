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
 * It has two parts.
 *
 *	private   loaded[]: of some classes up to NP_PRIVATE_MAX. The owner's
 *	          alone, without any fence; nobody can take it from an idle
 *	          thread, so all loaded magazines together have room for
 *	          NP_LOADED_BYTES at most
 *	shared    second[] and outgoing[]: pieces of a share of the pool's
 *	          cache_bytes at most. A visit costs some instructions more
 *
 * Who has a loaded magazine: those that were refilled lately, if there is room
 * for them all. In a crowd nobody has one for a while, and all are served from
 * the shared part: if some were and others not, each call would be a branch
 * that the CPU cannot foresee, which costs more than the visit.
 *
 * Magazines start small and double when they are refilled often, while the
 * bounds allow; what a class has no room for any more goes to the depot.
 *
 * The owner says that it is busy while it uses the shared part, by a plain
 * store, and looks at `claimed` then. Who wants to empty the caches of others
 * (a reclaimer: trim, tick, pressure) sets `claimed`, issues a membarrier(2),
 * and looks at `busy`:
 *
 *	owner                     reclaimer, with the claim lock held
 *	  busy = BUSY               claimed = true
 *	  (compiler barrier)        membarrier: the owner's CPU has passed a
 *	  claimed? then wait        full fence since
 *	  ... use ...               BUSY? then leave it alone
 *	  busy = LEFT, release      acquire: ... empty it ...
 *	                            claimed = false, release
 *
 * Either the owner sees the claim, or the reclaimer sees it busy; the fence
 * that this takes is paid by the reclaimer. Who looks makes SEEN of LEFT, and
 * the owner's next use LEFT of that: a tick that still finds it SEEN knows
 * that the cache is idle.
 *
 * A class that was never used has np_mag_none, which serves nothing and takes
 * nothing: the fast path needs no test for it. That path is short of time, not
 * of instructions: from the piece that is freed to the place where the next
 * malloc finds it are three loads that wait for each other (slot of the map,
 * class of the page, top of the magazine), and each more is felt.
 *
 * A piece that goes to the shared part has often not been touched for long: its
 * first line is asked for then, and is there when the piece is handed out
 * again. The private part is left without: what comes and goes fast is near.
 *
 * Every call looks at the CPU number (cpu_now); when it is another one
 * np_seat_follow decides whether the thread has changed its node.
 *
 * Owner: the thread; of the shared part also a reclaimer, as above. A forked
 * child abandons the caches of threads that it does not have.
 *
 * Source: J. Bonwick & J. Adams, "Magazines and Vmem", USENIX 2001; the
 * bounds are Netty's (PoolThreadCache); membarrier(2) for the asymmetric
 * fence.
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

#define NP_PRIVATE_MAX NP_LOOKUP_MAX
#define NP_SMALL_MAX (32 * NP_KIB) /* these an arena hands out by the dozen */
#define NP_LOADED_BYTES (64 * NP_KIB)
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

/* Pieces of another home, of any class. */
struct np_outgoing {
	struct np_mag *mag;
	size_t bytes;
};

enum np_cache_busy {
	NP_CACHE_LEFT,
	NP_CACHE_BUSY, /* the owner uses the shared part */
	NP_CACHE_SEEN, /* left, and not used since a reclaimer looked */
};

struct np_cache {
	/* The fast path reads these. What a free needs of the map is here too:
	 * a cache that serves none at once, as where pages and chunks are not
	 * the preset ones, knows no slots. */
	const volatile uint32_t *_Atomic cpu_now; /* where the CPU's number
					     stands. Relaxed: written by the
					     thread, and by who hides the
					     cache (seat.h), with the lock of
					     the thread list held */
	_Atomic bool hidden;		  /* likewise */
	uint32_t cpu;			  /* what it was */
	const _Atomic np_slot_t *slots;
	size_t first_slot, nslots;
	np_slot_t slot_tag;		  /* of pieces that may be pushed */
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
	/* Of the slow path. Owner thread only. */
	struct np_mag *mag[NP_MAX_CLASSES]; /* loaded[] has its pieces; its n
				     is right where cache.c has looked */
	size_t loaded_bytes;	  /* that loaded magazines could hold */
	bool crowded;		  /* no class is to have a loaded magazine */
	unsigned private_hand;	  /* class that is unloaded next */
	unsigned nslow;		  /* visits to the slow path */
	unsigned in_use;	  /* class that this visit is about: none takes
				     its room */
	uint8_t refills[NP_MAX_CLASSES]; /* lately; 0: not in use */
	uint64_t allocs_then[NP_MAX_CLASSES]; /* as counted when the node last
				     grew: who has more is in use */
	/* Owner: atomic; busy is written by the owner, or, from LEFT to SEEN,
	 * by who holds the claim lock, as claimed is. */
	_Alignas(NP_LINE) _Atomic uint32_t busy; /* enum np_cache_busy */
	_Atomic bool claimed;
	/* The shared part: whoever is busy, or has claimed it. */
	unsigned shared_hand;	  /* class that is pushed out next */
	ptrdiff_t shared_room;	  /* bytes: shared_most less what second
				     magazines hold; below 0 if the bound was
				     lowered since */
	size_t shared_most;	  /* np_cache_most, as the last visit to the
				     slow path found it */
	struct np_mag *second[NP_MAX_CLASSES];
	struct np_outgoing *outgoing; /* [nodes->n], by home */
};

/* A number that no CPU has: of a cache whose cpu_now is here the fast paths
 * think that it has moved. */
extern const volatile uint32_t np_cpu_none;

/* The cache of a thread that has none: it is barred, and not looked at
 * further. */
extern struct np_cache np_cache_none;

/* Fills in a cache for this node. Returns 0 or ENOMEM. */
int np_cache_init(struct np_cache *cache, const struct np_nodes *nodes,
		  struct np_node *node, struct np_arena *arena,
		  struct np_seat *seat);

/* Has the CPU changed since the cache looked, or is it hidden? */
static inline bool np_cache_moved(const struct np_cache *cache)
{
	return *atomic_load_explicit(&cache->cpu_now, memory_order_relaxed) !=
	       cache->cpu;
}

/* Shall a fast path leave it alone? Without libnuma there are no nodes but
 * invented ones, and it is enough that visits to the slow path look. */
static inline bool np_cache_barred(const struct np_cache *cache)
{
#ifdef NP_FAST_LOOKS
	return np_cache_moved(cache);
#else
	return atomic_load_explicit(&cache->hidden, memory_order_relaxed);
#endif
}

/* Begins to use the shared part. Returns false if it is claimed: try again
 * behind np_cache_wait. Owner thread only. */
static inline bool np_cache_enter(struct np_cache *cache)
{
	NP_YIELD(cache);
	atomic_store_explicit(&cache->busy, NP_CACHE_BUSY,
			      memory_order_relaxed);
	/* The reclaimer's membarrier makes a fence of this. */
	atomic_signal_fence(memory_order_seq_cst);
	NP_YIELD(cache);
	/* Acquire: pairs with the release of np_cache_unclaim. */
	if (np_likely(!atomic_load_explicit(&cache->claimed,
					    memory_order_acquire)))
		return true;
	NP_YIELD(cache);
	atomic_store_explicit(&cache->busy, NP_CACHE_LEFT,
			      memory_order_release);
	return false;
}

/* Release: pairs with the acquire of np_cache_steal. */
static inline void np_cache_leave(struct np_cache *cache)
{
	NP_YIELD(cache);
	atomic_store_explicit(&cache->busy, NP_CACHE_LEFT,
			      memory_order_release);
}

static inline size_t np_cache_size_of(const struct np_cache *cache,
				      unsigned class)
{
	return cache->nodes->classes->row[class].size;
}

/* Bytes that second magazines hold. */
static inline size_t np_cache_shared_bytes(const struct np_cache *cache)
{
	return cache->shared_most - (size_t)cache->shared_room;
}

/* The most that the shared part may hold: of cache_bytes an equal share for all
 * threads of the arena, but NP_SHARE_LEAST at least. */
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

/* May the piece be pushed to the magazines of this cache? Then *class is its
 * class. */
static inline bool np_cache_finds(const struct np_cache *cache, const void *p,
				  unsigned *class)
{
	size_t n = ((uintptr_t)p >> NP_SLOT_SHIFT) - cache->first_slot;
	size_t page = (uintptr_t)p % NP_SLOT_SIZE >> NP_PRESET_PAGE_SHIFT;
	np_slot_t slot;

	if (np_unlikely(n >= cache->nslots))
		return false;
	/* Acquire: as in np_map_find. */
	slot = atomic_load_explicit(&cache->slots[n], memory_order_acquire) ^
	       cache->slot_tag;
	if (np_unlikely(slot >> NP_SLOT_TAG_SHIFT))
		return false;
	*class = ((const uint32_t *)(slot + NP_REGION_TABLE))[page] &
		 NP_PAGE_CLASS;
	return true;
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
	np_count_one(&l->count->frees);
	*l->top++ = p;
}

/* A piece of the second magazine, or NULL: it is empty or claimed. The class,
 * which has no loaded one, may be 0, which is empty. */
static inline void *np_cache_pop_second(struct np_cache *cache,
					unsigned class)
{
	struct np_mag *mag;
	size_t n;
	void *p;

	np_assert(!np_loaded_has_place(&cache->loaded[class]));
	if (!np_cache_enter(cache))
		return NULL;
	mag = cache->second[class];
	NP_YIELD(cache);
	n = mag->n;
	if (np_unlikely(!n)) {
		np_cache_leave(cache);
		return NULL;
	}
	p = mag->slot[n - 1];
	mag->n = n - 1;
	cache->shared_room += (ptrdiff_t)mag->size;
	np_count_one(&mag->count->allocs);
	np_cache_leave(cache);
	if (!p) /* nor does a caller need to look */
		__builtin_unreachable();
	return p;
}

/* The same of any class; NULL too if it has a loaded one, which serves it. */
static inline void *np_cache_pop(struct np_cache *cache, unsigned class)
{
	return np_loaded_has_place(&cache->loaded[class])
		? NULL : np_cache_pop_second(cache, class);
}

/* Keeps a piece of the cache's home in the second magazine, or returns false:
 * there is no room, or it is claimed, or the class has a loaded one. class 0
 * has no room. */
static inline bool np_cache_push(struct np_cache *cache, void *p,
				 unsigned class)
{
	struct np_mag *mag;
	ptrdiff_t room;
	size_t n;
	bool fits;

	if (np_loaded_has_place(&cache->loaded[class]) ||
	    !np_cache_enter(cache))
		return false;
	mag = cache->second[class];
	NP_YIELD(cache);
	n = mag->n;
	room = cache->shared_room - (ptrdiff_t)mag->size;
	fits = room >= 0 && n < mag->cap;
	if (np_likely(fits)) {
		__builtin_prefetch(p, 1); /* see the head of this file */
		mag->slot[n] = p;
		mag->n = n + 1;
		cache->shared_room = room;
		np_count_one(&mag->count->frees);
	}
	np_cache_leave(cache);
	return fits;
}

/* Keeps a piece of another home until it is sent there, or returns false: it
 * has to be sent now, or there is no magazine yet, or it is claimed. class: 0
 * is refused. */
static inline bool np_cache_push_outgoing(struct np_cache *cache, void *p,
					  unsigned class, np_home_t home)
{
	struct np_outgoing *out = &cache->outgoing[home];
	struct np_mag *mag;
	size_t bytes;
	bool room;

	if (!class || !np_cache_enter(cache))
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
	np_cache_leave(cache);
	return room;
}

/* What the fast path does: a piece of the loaded magazine or, if that has none,
 * as np_cache_pop. */
static inline void *np_cache_hit(struct np_cache *cache, unsigned class)
{
	struct np_loaded *l = &cache->loaded[class];
	void *p;

	if (l->top == l->base)
		return np_cache_pop(cache, class);
	p = np_loaded_pop(l);
	if (!p) /* nor does a caller need to look */
		__builtin_unreachable();
	return p;
}

/* The same with a piece that comes back, of whichever home of the pool: keeps
 * it, or returns false. cache: may be NULL. */
static inline bool np_cache_keep(struct np_cache *cache, void *p,
				 const struct np_region *region, np_tag_t tag)
{
	struct np_loaded *l;
	unsigned class;

	if (!cache || cache->tag == NP_NO_TAG)
		return false;
	class = np_region_entry(region, p) & NP_PAGE_CLASS;
	if (cache->tag != tag)
		return np_cache_push_outgoing(cache, p, class,
					      np_tag_home(tag));
	l = &cache->loaded[class];
	if (l->top == l->end)
		return np_cache_push(cache, p, class);
	np_loaded_push(l, p);
	return true;
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
 * np_cache_unclaim. */
extern struct np_lock np_claim_lock;

/* Claims it; with only_idle not if it was used since the last time that it
 * was asked. Returns whether it did. */
bool np_cache_claim(struct np_cache *cache, bool only_idle);

/* After np_os_barrier(): empties the shared part of a claimed cache, unless
 * its owner is using it. Its magazines are pushed to *loot, linked by next.
 * Ends the claim. Returns whether anything was in it. */
bool np_cache_steal(struct np_cache *cache, struct np_mag **loot);

#endif
