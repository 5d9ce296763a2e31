/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * depot: see depot.h.
 */
#include "depot.h"
#include "meta.h"

static void shelf_init(struct np_shelf *s, const struct np_class *row)
{
	np_lock_init(&s->lock, NP_RANK_DEPOT);
	s->size = row->size;
	s->runs = !row->nelems;
	s->most = NP_DEPOT_PIECES * s->size;
	if (s->most > NP_DEPOT_BYTES)
		s->most = NP_DEPOT_BYTES;
	if (s->runs)
		s->most = SIZE_MAX;
}

struct np_depot *np_depot_create(np_home_t home,
				 const struct np_classes *classes,
				 struct np_segment_node *node)
{
	unsigned nclasses = classes->n + 1u;
	struct np_depot *d = np_meta_alloc(home, sizeof *d + nclasses *
					   sizeof(struct np_shelf));

	if (!d)
		return NULL;
	d->home = home;
	d->nclasses = nclasses;
	d->node = node;
	np_lock_init(&d->inbox_lock, NP_RANK_INBOX);
	for (unsigned c = 0; c < nclasses; c++)
		shelf_init(&d->shelf[c], &classes->row[c]);
	return d;
}

static void push(struct np_mag **list, struct np_mag *mag)
{
	mag->next = *list;
	*list = mag;
}

static struct np_mag *pop(struct np_mag **list)
{
	struct np_mag *mag = *list;

	if (mag)
		*list = mag->next;
	return mag;
}

static void destroy_all(struct np_mag *mags)
{
	while (mags)
		np_mag_destroy(pop(&mags));
}

static void count_bytes(struct np_depot *d, size_t change)
{
	np_count_add_shared(&d->node->depot_bytes, change);
}

/* --- shelves ---------------------------------------------------------- */

/* The shelf holds so many bytes more; change wraps round below 0. */
static void add_bytes(struct np_depot *d, struct np_shelf *s, size_t change)
{
	s->bytes += change;
	count_bytes(d, change);
	if (s->runs)
		atomic_fetch_add_explicit(&d->run_bytes, change,
					  memory_order_relaxed);
}

struct np_mag *np_depot_get(struct np_depot *d, unsigned class,
			    struct np_mag *empty)
{
	struct np_shelf *s = &d->shelf[class];
	struct np_mag *mag;

	np_lock(&s->lock);
	mag = pop(&s->full);
	if (mag) {
		add_bytes(d, s, -(mag->n * s->size));
		if (s->bytes < s->low)
			s->low = s->bytes;
		if (empty)
			push(&s->empty, empty);
	}
	np_unlock(&s->lock);
	return mag;
}

bool np_depot_put(struct np_depot *d, unsigned class, struct np_mag *full,
		  struct np_mag **empty)
{
	struct np_shelf *s = &d->shelf[class];
	size_t bytes = full->n * s->size;
	bool room;

	*empty = NULL;
	np_lock(&s->lock);
	room = !s->full || s->bytes + bytes <= s->most;
	if (room) {
		push(&s->full, full);
		add_bytes(d, s, bytes);
		*empty = pop(&s->empty);
	}
	np_unlock(&s->lock);
	return room;
}

struct np_mag *np_depot_drain(struct np_depot *d, unsigned class)
{
	struct np_shelf *s = &d->shelf[class];
	struct np_mag *full, *empty;

	np_lock(&s->lock);
	full = s->full;
	empty = s->empty;
	s->full = s->empty = NULL;
	add_bytes(d, s, -s->bytes);
	s->low = 0;
	np_unlock(&s->lock);
	destroy_all(empty);
	return full;
}

struct np_mag *np_depot_tick(struct np_depot *d, unsigned class)
{
	struct np_shelf *s = &d->shelf[class];
	struct np_mag *out = NULL, *empty = NULL;

	np_lock(&s->lock);
	while (s->full && s->full->n * s->size <= s->low) {
		struct np_mag *mag = pop(&s->full);

		s->low -= mag->n * s->size;
		add_bytes(d, s, -(mag->n * s->size));
		push(&out, mag);
	}
	s->low = s->bytes;
	if (!s->full) {
		empty = s->empty;
		s->empty = NULL;
	}
	np_unlock(&s->lock);
	destroy_all(empty);
	return out;
}

void np_depot_forget(struct np_depot *d)
{
	size_t bytes = d->inbox_bytes;

	destroy_all(np_depot_receive(d));
	np_depot_received(d, bytes);
	for (unsigned c = 1; c < d->nclasses; c++)
		destroy_all(np_depot_drain(d, c));
}

void np_depot_destroy(struct np_depot *d)
{
	np_depot_forget(d);
	np_meta_free(d->home, d, sizeof *d + d->nclasses *
		     sizeof(struct np_shelf));
}

/* --- inbox ------------------------------------------------------------ */

bool np_depot_send(struct np_depot *d, struct np_mag *mag, size_t bytes)
{
	bool room;
	unsigned n;

	np_lock(&d->inbox_lock);
	n = atomic_load_explicit(&d->ninbox, memory_order_relaxed);
	room = n < NP_INBOX_MAGS && d->inbox_bytes + bytes <= NP_INBOX_BYTES;
	if (room) {
		push(&d->inbox, mag);
		d->inbox_bytes += bytes;
		atomic_store_explicit(&d->ninbox, n + 1,
				      memory_order_relaxed);
		count_bytes(d, bytes);
	}
	np_unlock(&d->inbox_lock);
	return room;
}

struct np_mag *np_depot_receive(struct np_depot *d)
{
	struct np_mag *mags;

	NP_YIELD(&d->inbox_lock);
	if (!atomic_load_explicit(&d->ninbox, memory_order_relaxed))
		return NULL;
	np_lock(&d->inbox_lock);
	mags = d->inbox;
	d->inbox = NULL;
	d->inbox_bytes = 0;
	atomic_store_explicit(&d->ninbox, 0, memory_order_relaxed);
	np_unlock(&d->inbox_lock);
	return mags;
}

void np_depot_received(struct np_depot *d, size_t bytes)
{
	count_bytes(d, -bytes);
}

/* --- fork ------------------------------------------------------------- */

void np_depot_lock_all(struct np_depot *d)
{
	np_lock_for_fork(&d->inbox_lock);
	for (unsigned c = 0; c < d->nclasses; c++)
		np_lock_for_fork(&d->shelf[c].lock);
}

void np_depot_unlock_all(struct np_depot *d)
{
	for (unsigned c = 0; c < d->nclasses; c++)
		np_unlock_for_fork(&d->shelf[c].lock);
	np_unlock_for_fork(&d->inbox_lock);
}
