/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * magazine: see magazine.h.
 */
#include "magazine.h"
#include "arena.h"
#include "meta.h"

struct np_mag np_mag_none;

static size_t mag_size(size_t cap)
{
	return sizeof(struct np_mag) + cap * sizeof(void *);
}

struct np_mag *np_mag_create(np_home_t home, size_t cap)
{
	struct np_mag *mag = np_meta_alloc(home, mag_size(cap));

	if (mag) {
		mag->cap = cap;
		mag->home = home;
	}
	return mag;
}

void np_mag_destroy(struct np_mag *mag)
{
	if (mag && mag != &np_mag_none)
		np_meta_free(mag->home, mag, mag_size(mag->cap));
}

void np_mags_to_arenas(struct np_mag *mags)
{
	while (mags) {
		struct np_mag *mag = mags;

		mags = mag->next;
		np_arenas_put(mag->slot, mag->n);
		np_mag_destroy(mag);
	}
}
