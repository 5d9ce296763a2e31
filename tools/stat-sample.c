/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * sample: on which node the pages of a process really are.
 *
 * Memory that did not fit on its node lies elsewhere without any event that
 * could be counted, so it is found by looking: move_pages(2) without a wish
 * tells for each address the node of its page. For each process at most
 * SAMPLE_PAGES addresses are asked, spread evenly over the pages that its
 * page maps call taken; of a process with very many chunks, over every k-th
 * chunk. The last sample of a process that has something in memory is kept:
 * there is no asking after it was killed.
 *
 * The addresses come from the segment and need not be true: the worst that a
 * wrong one does is to say that no page is there.
 */
#include "stat.h"

#include <errno.h>
#include <signal.h> /* kill */
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SAMPLE_PAGES 1024  /* a call of this size takes well below 1 ms */
#define SAMPLE_CHUNKS 1024 /* page maps that are read at most */

/* What is asked of one process. */
struct question {
	const struct view *view;
	uint8_t *map;	 /* room for one */
	unsigned stride; /* of chunks: every stride-th is looked at */
	uint64_t taken;	 /* pages there are */
	uint64_t step;	 /* every step-th is asked */
	uint64_t passed; /* pages gone by */
	size_t n;
	void *page[SAMPLE_PAGES];
	uint32_t home[SAMPLE_PAGES];
	int status[SAMPLE_PAGES];
};

/* --- which pages ------------------------------------------------------ */

static bool is_huge(const struct view *v, unsigned i)
{
	return v->chunks[i].arena == NP_SEGMENT_HUGE;
}

/* A huge block has no map: all of it is taken. */
static uint64_t huge_pages(const struct view *v, unsigned i)
{
	return np_count_get(&v->chunks[i].size) / v->head.page_size;
}

static void count_taken(struct question *q, unsigned i)
{
	size_t mapped = view_map_pages(q->view, i);

	if (is_huge(q->view, i))
		q->taken = add_u64(q->taken, huge_pages(q->view, i));
	else if (view_map(q->view, i, q->map))
		for (size_t p = 0; p < mapped; p++)
			q->taken += q->map[p] != 0;
}

static void add_page(struct question *q, unsigned i, uint64_t page)
{
	const struct view *v = q->view;

	if (q->n == SAMPLE_PAGES)
		return;
	q->page[q->n] = (void *)(np_count_get(&v->chunks[i].base) +
				 page * v->head.page_size);
	q->home[q->n++] = v->chunks[i].home;
}

static void pick_huge(struct question *q, unsigned i)
{
	uint64_t n = huge_pages(q->view, i);
	uint64_t first = (q->step - q->passed % q->step) % q->step;

	for (uint64_t p = first; p < n && q->n < SAMPLE_PAGES; p += q->step)
		add_page(q, i, p);
	q->passed = add_u64(q->passed, n);
}

static void pick_taken(struct question *q, unsigned i)
{
	size_t mapped = view_map_pages(q->view, i);

	if (is_huge(q->view, i))
		pick_huge(q, i);
	else if (view_map(q->view, i, q->map))
		for (size_t p = 0; p < mapped; p++)
			if (q->map[p] && q->passed++ % q->step == 0)
				add_page(q, i, p);
}

static void for_chunks(struct question *q,
		       void (*what)(struct question *q, unsigned i))
{
	for (unsigned i = 0; i < q->view->nchunks; i += q->stride)
		if (np_count_get(&q->view->chunks[i].base))
			what(q, i);
}

static struct question *pose(const struct view *view)
{
	struct question *q = get_memory(1, sizeof *q);

	q->view = view;
	q->map = get_memory((size_t)1 << view->head.max_order, 1);
	q->stride = view->nchunks / SAMPLE_CHUNKS + 1;
	for_chunks(q, count_taken);
	q->step = q->taken / SAMPLE_PAGES + 1;
	for_chunks(q, pick_taken);
	free(q->map);
	return q;
}

/* --- what is answered ------------------------------------------------- */

static void note_page(struct sample *s, const struct view *view,
		      uint32_t home, int status)
{
	struct pages *pages = &s->by_home[home];

	pages->asked++;
	pages->resident += status >= 0;
	pages->local += status >= 0 &&
			status == view->nodes[home].kernel_node;
}

static struct sample *sample_of(struct samples *samples,
				const struct view *view)
{
	struct sample *s =
		(struct sample *)(uintptr_t)samples_find(samples,
							 &view->name);

	if (s && s->nhomes == view->nnodes)
		return s;
	if (!s) {
		samples->row = grow(samples->row, samples->n, sizeof *s);
		s = &samples->row[samples->n++];
	}
	free(s->by_home);
	s->pid = view->name.pid;
	s->number = view->name.number;
	s->nhomes = view->nnodes;
	s->by_home = get_memory(s->nhomes, sizeof *s->by_home);
	return s;
}

/* What is a refusal, and not the end of the process. ESRCH: it has just ended.
 * EINVAL: nobody has waited for it yet, but its memory is gone. */
static void note_error(struct samples *samples, int error)
{
	if (error && !samples->error && error != ESRCH && error != EINVAL)
		samples->error = error;
}

static bool is_any_resident(const struct question *q)
{
	for (size_t i = 0; i < q->n; i++)
		if (q->status[i] >= 0)
			return true;
	return false;
}

/* The last that is whole, and has something in memory, is kept: a process may
 * end while it is asked. */
static void take_places(struct samples *samples, const struct view *view)
{
	struct place_row *places = NULL;
	size_t n = 0, in_memory = 0;
	int error = places_ask(view, &places, &n);
	struct sample *s;

	note_error(samples, error);
	for (size_t i = 0; i < n; i++)
		in_memory += places[i].found != NOT_IN_MEMORY;
	if (error || !in_memory) {
		free(places);
		return;
	}
	s = sample_of(samples, view);
	free(s->places);
	s->places = places;
	s->nplaces = n;
}

void samples_take(struct samples *samples, const struct view *view)
{
	struct question *q = pose(view);
	struct sample *s;

	if (q->n && syscall(SYS_move_pages, view->name.pid, q->n, q->page,
			    NULL, q->status, 0) != 0) {
		note_error(samples, errno);
	} else if (is_any_resident(q)) {
		s = sample_of(samples, view);
		memset(s->by_home, 0, s->nhomes * sizeof *s->by_home);
		for (size_t i = 0; i < q->n; i++)
			note_page(s, view, q->home[i], q->status[i]);
	}
	free(q);
	if (samples->all)
		take_places(samples, view);
}

static void poll_one(struct samples *samples, int dir,
		     const struct segment_name *name)
{
	char why[200];
	struct view *view;

	if (kill(name->pid, 0) != 0 && errno == ESRCH)
		return;
	view = view_open(dir, name, why, sizeof why);
	if (view && view->head.state == NP_SEGMENT_LIVE) {
		int alive = view_is_alive(view);

		if (alive > 0)
			samples_take(samples, view);
		else if (alive < 0 && !samples->error)
			samples->error = EACCES;
	}
	view_close(view);
}

void samples_poll(struct samples *samples, int dir)
{
	struct segment_name *names;
	ssize_t n = segment_names(dir, &names);

	for (ssize_t i = 0; i < n; i++)
		poll_one(samples, dir, &names[i]);
	free(names);
}

const struct sample *samples_find(const struct samples *samples,
				  const struct segment_name *name)
{
	for (size_t i = 0; i < samples->n; i++)
		if (samples->row[i].pid == name->pid &&
		    samples->row[i].number == name->number)
			return &samples->row[i];
	return NULL;
}

void samples_free(struct samples *samples)
{
	for (size_t i = 0; i < samples->n; i++) {
		free(samples->row[i].by_home);
		free(samples->row[i].places);
	}
	free(samples->row);
	memset(samples, 0, sizeof *samples);
}
