/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * buffers: the live buffers of a trace, by name.
 *
 *	slots    |hash, 3|       |hash, 1|hash, 2|       |   a power of two
 *	buffers  | - | B | A | X |free| ...                  numbers from 1
 *
 * Open addressing: a name's slot is its hash's place or one soon behind it,
 * with no empty slot between. Slots that a removal leaves are filled again by
 * what stands behind, so nothing is left of names that are gone: memory is
 * that of the most buffers that lived at a time.
 *
 * Source: D. Knuth, The Art of Computer Programming, volume 3, 6.4,
 * algorithms L and R.
 */
#ifndef NP_TOOLS_BUFFERS_H
#define NP_TOOLS_BUFFERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BUFFER_NAME_INSIDE 16 /* with its NUL; a longer one has memory */

struct buffer {
	union {
		char inside[BUFFER_NAME_INSIDE];
		char *apart;
	} name;
	uint32_t name_size;  /* without NUL */
	uint32_t hash;	     /* of the name */
	uint32_t length;     /* capacity now */
	uint32_t max_length; /* what its memory holds */
	uint32_t limit;	     /* the most it may be resized to */
	void *p;	     /* NULL: the empty buffer */
	uint64_t ordinal;    /* of its chunk, if it is huge */
	bool is_huge;
};

struct buffers {
	struct buffer_slot *slots;
	struct buffer *buffers; /* by number; [0] is not used */
	uint32_t nslots, room;	/* of the two */
	uint32_t used;		/* the highest number so far */
	uint32_t nlive;
	uint32_t free;		/* a number that is free, or 0; the next one
				   stands in its `length` */
};

/* The buffer's number, or 0: there is none of this name. */
uint32_t buffers_find(const struct buffers *all, const char *name);

/* Adds one, all else zero; or finds it, if the name *is_there. Returns 0: no
 * memory. */
uint32_t buffers_add(struct buffers *all, const char *name, bool *is_there);

/* Goes through all: the number of the next one at or behind slot *i, which then
 * is the slot behind it; 0: no more. */
uint32_t buffers_each(const struct buffers *all, uint32_t *i);

void buffers_remove(struct buffers *all, uint32_t number);
void buffers_fini(struct buffers *all);

/* Good until one is added. */
static inline struct buffer *buffers_at(const struct buffers *all,
					uint32_t number)
{
	return &all->buffers[number];
}

static inline const char *buffer_name(const struct buffer *b)
{
	return b->name_size < BUFFER_NAME_INSIDE ? b->name.inside
						 : b->name.apart;
}

#endif
