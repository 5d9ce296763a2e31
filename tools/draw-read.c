/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * draw-read: see draw.h.
 */
#include "draw.h"
#include "tool.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define COLUMN_NS 1000 /* of the first ones */

struct lane {
	struct cell is; /* size 0: free */
	uint8_t pool;
};

struct drawing {
	struct picture *p;
	struct lives lives;
	uint64_t start_ns;   /* of the first event: times are from there */
	struct moment most;  /* of the column that is open */
	struct lane *lanes;
	size_t nlanes, lowest; /* none below `lowest` is free */
	unsigned shift;	     /* log2 of the lanes of a row */
	struct cell rows[PICTURE_ROWS]; /* sums of lanes */
};

/* --- columns --------------------------------------------------------- */

static struct moment moment_of(const struct drawing *d)
{
	const struct lives *l = &d->lives;

	return (struct moment){ l->bytes, l->usable, lives_cached(l),
				l->reserved, l->n };
}

void picture_halve(struct picture *p)
{
	unsigned n = (p->ncolumns + 1) / 2;

	for (unsigned i = 0; i < n; i++) {
		unsigned a = 2 * i, b = a + 1 < p->ncolumns ? a + 1 : a;

		p->column[i] = p->column[b].used >= p->column[a].used
			? p->column[b] : p->column[a];
		for (unsigned row = 0; row < p->nrows; row++)
			p->heat[row][i] = p->heat[row][b];
	}
	p->ncolumns = n;
	p->column_ns *= 2;
}

static void close_column(struct drawing *d)
{
	struct picture *p = d->p;

	for (unsigned row = 0; row < PICTURE_ROWS; row++)
		p->heat[row][p->ncolumns] = d->rows[row];
	p->column[p->ncolumns++] = d->most;
	d->most = moment_of(d);
}

/* Columns that end before this time are closed, and there is room for one. */
static void advance(struct drawing *d, uint64_t time_ns)
{
	struct picture *p = d->p;

	while (time_ns / p->column_ns > p->ncolumns) {
		close_column(d);
		if (p->ncolumns == PICTURE_COLUMNS)
			picture_halve(p);
	}
}

/* --- rows ------------------------------------------------------------ */

static void add_cell(struct cell *to, const struct cell *from)
{
	to->used += from->used;
	to->size += from->size;
}

/* Each row is for twice as many lanes: of one column, whose cells are so far
 * from each other. */
static void pair_up(struct cell *first, size_t stride)
{
	for (unsigned row = 0; row < PICTURE_ROWS; row++) {
		struct cell sum = { 0, 0 };

		if (row < PICTURE_ROWS / 2) {
			add_cell(&sum, &first[2 * row * stride]);
			add_cell(&sum, &first[(2 * row + 1) * stride]);
		}
		first[row * stride] = sum;
	}
}

static void pair_rows(struct drawing *d)
{
	struct picture *p = d->p;

	pair_up(d->rows, 1);
	for (unsigned i = 0; i < p->ncolumns; i++)
		pair_up(&p->heat[0][i], PICTURE_COLUMNS);
	d->shift++;
	p->nrows = PICTURE_ROWS / 2;
}

static void set_lane(struct drawing *d, size_t i, struct cell now)
{
	struct lane *lane = &d->lanes[i];
	struct cell *row = &d->rows[i >> d->shift];

	row->used += now.used - lane->is.used;
	row->size += now.size - lane->is.size;
	lane->is = now;
}

static size_t take_lane(struct drawing *d)
{
	size_t i = d->lowest;

	while (i < d->nlanes && d->lanes[i].is.size)
		i++;
	if (i == d->nlanes)
		d->lanes = grow(d->lanes, d->nlanes++, sizeof *d->lanes);
	d->lowest = i + 1;
	while (i >> d->shift >= PICTURE_ROWS)
		pair_rows(d);
	if (d->p->nrows <= i >> d->shift)
		d->p->nrows = (unsigned)(i >> d->shift) + 1;
	return i;
}

/* --- chunks ---------------------------------------------------------- */

static void chunk_comes(struct drawing *d, const struct event *e)
{
	struct region *r = lives_region(&d->lives, e);

	if (!r || !r->size)
		return;
	if (!r->lane)
		r->lane = (uint32_t)take_lane(d) + 1;
	d->lanes[r->lane - 1].pool = e->pool;
	set_lane(d, r->lane - 1, (struct cell){ 0, r->size });
	d->p->nchunks++;
}

static void chunk_goes(struct drawing *d, const struct event *e)
{
	struct region *r = lives_region(&d->lives, e);
	size_t i;

	if (!r || !r->lane)
		return;
	i = r->lane - 1;
	set_lane(d, i, (struct cell){ 0, 0 });
	d->lowest = i < d->lowest ? i : d->lowest;
	r->lane = 0;
}

/* All of a pool are empty. */
static void pool_is_reset(struct drawing *d, unsigned pool)
{
	for (size_t i = 0; i < d->nlanes; i++)
		if (d->lanes[i].pool == pool)
			set_lane(d, i, (struct cell){ 0, d->lanes[i].is.size });
}

static void all_go(struct drawing *d)
{
	for (size_t i = 0; i < d->nlanes; i++)
		set_lane(d, i, (struct cell){ 0, 0 });
	d->lowest = 0;
}

/* In the chunk that the event is about so many bytes more are used, and so many
 * less. What was lost is not to make it less than none. */
static void use(struct drawing *d, const struct event *e, uint64_t more,
		uint64_t less)
{
	const struct region *r = lives_region(&d->lives, e);
	struct cell now;

	if (!r || !r->lane)
		return;
	now = d->lanes[r->lane - 1].is;
	now.used = sub_u64(add_u64(now.used, more), less);
	set_lane(d, r->lane - 1, now);
}

/* --- events ---------------------------------------------------------- */

static void apply(struct drawing *d, const struct event *e)
{
	struct change c = lives_apply(&d->lives, e);
	struct picture *p = d->p;

	if (c.kind == CHANGE_BORN) {
		p->sizes[bucket_of(c.piece.size)]++;
		p->size_bytes[bucket_of(c.piece.size)] += c.piece.size;
		use(d, e, c.piece.usable, c.old_usable);
	} else if (c.kind == CHANGE_DIED) {
		p->lifetimes[bucket_of(e->time_ns - c.piece.born_ns)]++;
		use(d, e, 0, c.piece.usable);
	} else if (c.kind == CHANGE_RESIZED) {
		use(d, e, c.piece.usable, c.old_usable);
	} else if (e->kind == NP_TRACE_MAP) {
		chunk_comes(d, e);
	} else if (e->kind == NP_TRACE_UNMAP) {
		chunk_goes(d, e);
	} else if (e->kind == NP_TRACE_RESET) {
		pool_is_reset(d, e->pool);
	} else if (e->kind == NP_TRACE_START) {
		all_go(d);
	}
}

static void draw_event(struct drawing *d, const struct event *e)
{
	struct picture *p = d->p;
	struct moment now;

	if (!p->events++)
		d->start_ns = e->time_ns;
	p->span_ns = e->time_ns - d->start_ns;
	if (e->kind == NP_TRACE_LOST)
		p->lost += e->size;
	advance(d, p->span_ns);
	apply(d, e);
	now = moment_of(d);
	if (now.used >= d->most.used)
		d->most = now;
	if (now.asked > p->peak.asked) {
		p->peak = now;
		p->peak_ns = p->span_ns;
	}
}

static void read_info(struct picture *p, const struct reader *r)
{
	char *sizes = reader_value(r, "sizes");

	p->command = reader_value(r, "command");
	p->began = reader_value(r, "began");
	if (!sizes || sscanf(sizes, "%" SCNu64 " %" SCNu64, &p->size_min,
			     &p->size_max) != 2) {
		p->size_min = 0;
		p->size_max = UINT64_MAX;
	}
	free(sizes);
}

void picture_read(struct picture *p, struct reader *r)
{
	struct drawing d = { .p = p };
	const struct event *e;

	p->column_ns = COLUMN_NS;
	lives_init(&d.lives);
	while ((e = reader_next(r)))
		draw_event(&d, e);
	if (p->events)
		close_column(&d);
	read_info(p, r);
	p->is_whole = reader_is_whole(r);
	p->knows_cached = d.lives.knows_taken;
	p->strangers = d.lives.strangers;
	p->lanes_a_row = 1u << d.shift;
	lives_free(&d.lives);
	free(d.lanes);
}

void picture_free(struct picture *p)
{
	free(p->command);
	free(p->began);
}
