/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * magazine: a bounded stack of free pieces, all of one home; of one class
 * too, unless it is an outgoing one. Its memory comes from that home.
 *
 * Owner: whoever holds it: a thread cache, a depot, nobody else. Its n is
 * written by the owner and may be read by others as a statistic only.
 *
 * Source: J. Bonwick & J. Adams, "Magazines and Vmem", USENIX 2001.
 */
#ifndef NP_MAGAZINE_H
#define NP_MAGAZINE_H

#include "base.h"

struct np_class_count;

struct np_mag {
	size_t n;	  /* pieces in it */
	size_t cap;	  /* pieces that fit */
	struct np_class_count *count; /* in a cache: where it counts */
	size_t size;	  /* in a cache: bytes of a piece */
	struct np_mag *next; /* in a depot */
	np_home_t home;	  /* whose memory it is; written once */
	void *slot[];	  /* [0..n) */
};

#define NP_MAG_FIRST 8u	 /* pieces of a class's first magazine */
#define NP_MAG_MOST 512u /* pieces of the largest */

/* An empty magazine for cap pieces, or NULL with ENOMEM. */
struct np_mag *np_mag_create(np_home_t home, size_t cap);

/* Its pieces, if it has some, are nobody's then. NULL and np_mag_none may be
 * handed in. */
void np_mag_destroy(struct np_mag *mag);

/* Puts the pieces of magazines, linked by next, back into their arenas, and
 * frees the magazines. NULL: none. */
void np_mags_to_arenas(struct np_mag *mags);

/* A magazine that is empty and full at once: it serves nothing and takes
 * nothing, so that who has none needs no test. Never written. */
extern struct np_mag np_mag_none;

#endif
