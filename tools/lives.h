/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * lives: which pieces are alive, event by event of a recording; how large the
 * pool is, and whose memory a piece is.
 *
 *	events --lives_apply--> a piece was born, died, or has another size
 *
 * A recording need not be complete: it may have begun late, events may be lost,
 * and sizes left out. So a piece may die that nobody saw born (`strangers`), or
 * be born where one lives (`replaced`, the old one died unseen).
 */
#ifndef NP_TOOLS_LIVES_H
#define NP_TOOLS_LIVES_H

#include "recording.h"
#include "sizeclass.h"

struct piece {
	uint64_t addr;	/* 0: none */
	uint64_t size;	/* as asked for */
	uint64_t usable; /* as rounded */
	uint64_t born_ns;
	uint64_t number; /* counts them, from 1; a realloc keeps it */
	uint32_t stack;
	uint32_t tid;	/* who asked */
	uint32_t mark;	/* the reader's own; 0 at first */
	uint16_t home;	/* the node that he was on */
	uint8_t class, pool;
	uint32_t epoch;	/* of the pool when it was born */
};

enum change_kind { CHANGE_NONE, CHANGE_BORN, CHANGE_DIED, CHANGE_RESIZED };

struct change {
	enum change_kind kind;
	struct piece piece; /* as it is now, or was when it died */
	uint64_t old_size, old_usable; /* of one that was resized; or that
				   died unseen where this one is born */
	bool moves;	/* it is the new, or the old, place of a realloc */
	uint32_t *mark;	/* the piece's, until the next event; NULL: it died */
	uint32_t from;	/* mark of the piece that it moves away from, or 0 */
	uint32_t lost;	/* mark of one that died unseen in this place, or 0 */
};

/* A chunk or a huge block. */
struct region {
	uint64_t base, size; /* size 0: it is unmapped */
	uint16_t home;
	uint32_t lane;	     /* the caller's; 0 at first */
};

/* Pieces that live. */
struct sum {
	size_t n;
	uint64_t bytes, usable; /* asked for, rounded */
};

struct lives {
	struct piece *table;	 /* open addressing, by address; those of an
				    older epoch of their pool live no more */
	size_t room, filled;	 /* of it */
	size_t n;		 /* pieces that live */
	uint64_t bytes, usable;	 /* of them: asked for, rounded */
	struct sum of_pool[NP_MAX_POOLS]; /* of them */
	uint32_t epoch[NP_MAX_POOLS]; /* counts how often all of a pool's
				    were gone at once */
	uint64_t reserved;	 /* bytes of chunks and huge blocks */
	uint64_t in_slots;	 /* the same, blocks in whole slots, as the
				    pool counts them */
	uint64_t taken_of[NP_MAX_POOLS], taken; /* bytes that the pools said
				    are in pieces, handed out or cached */
	bool knows_taken;	 /* they said so */
	uint64_t nborn;
	uint64_t strangers, replaced, gone; /* gone: with an exec or a reset */
	uint64_t moving[RECORDING_RINGS]; /* the piece that the ring's thread
				    has begun to resize, or 0 */
	struct np_classes *classes[NP_MAX_POOLS]; /* NULL: not known */
	struct region *regions;
	size_t regions_room, nregions;
};

void lives_init(struct lives *l);
void lives_free(struct lives *l);

/* What the event changes. */
struct change lives_apply(struct lives *l, const struct event *e);

/* Is it one that lives? For who goes through the table. */
static inline bool lives_has(const struct lives *l, const struct piece *p)
{
	return p->addr && p->epoch == l->epoch[p->pool];
}

/* Whose memory is at this address of a pool: its home, or -1 if that is not
 * known. */
int lives_home(const struct lives *l, const struct event *e);

/* The region that it is about or lies in; NULL: not known. */
struct region *lives_region(const struct lives *l, const struct event *e);

/* Bytes in pieces that nobody holds, as far as the recording saw. */
uint64_t lives_cached(const struct lives *l);

/* The chunk that it lies in (0: a huge block, or not known), and its handle in
 * it (npool_chunk(3)). */
uint64_t lives_chunk(const struct lives *l, const struct event *e);
uint64_t lives_handle(const struct lives *l, const struct event *e);

/* Bytes of a piece of this event, as rounded. */
uint64_t lives_usable(const struct lives *l, const struct event *e);

/* --- histograms ------------------------------------------------------- */

#define BUCKETS 64 /* by powers of two: number i holds up to 1 << i */

static inline unsigned bucket_of(uint64_t n)
{
	return n ? np_log2_up(n + (n == 1)) % BUCKETS : 0;
}

#endif
