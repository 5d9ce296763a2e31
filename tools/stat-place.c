/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * places: on which node all pages of a pool are, for --verify. Where
 * stat-sample.c asks for some, this asks move_pages(2) for every page of the
 * kernel's in all chunks and huge blocks, taken or free; asking touches none.
 *
 * The addresses come from the segment and need not be true: the worst that a
 * wrong one does is to say that no page is there. A size that cannot be is cut
 * off: a process has no more than 2^47 bytes, but to ask for all of them takes
 * for ever.
 */
#include "stat.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ASKED_AT_ONCE 4096
#define PAGES_MAX ((uint64_t)1 << 28) /* of all: 1 TiB */

const struct figure place_figures[] = {
	{ "pages", offsetof(struct place_row, pages), FOLD_ADD },
	{ NULL, 0, FOLD_ADD },
};

int compare_places(const void *a, const void *b)
{
	const struct place_row *x = a, *y = b;

	if (x->home != y->home)
		return x->home < y->home ? -1 : 1;
	if (x->kernel_node != y->kernel_node)
		return x->kernel_node < y->kernel_node ? -1 : 1;
	return (x->found > y->found) - (x->found < y->found);
}

struct asking {
	const struct view *view;
	struct place_row **places;
	size_t *n;
	uint64_t left; /* of PAGES_MAX */
};

static void note(struct asking *a, uint32_t home, int status)
{
	int64_t found = status < 0 ? NOT_IN_MEMORY : status;
	struct place_row *p = *a->places;

	for (size_t i = 0; i < *a->n; i++)
		if (p[i].home == home && p[i].found == found) {
			p[i].pages++;
			return;
		}
	*a->places = grow(p, *a->n, sizeof *p);
	(*a->places)[(*a->n)++] = (struct place_row){
		.kernel_node = a->view->nodes[home].kernel_node,
		.home = home,
		.found = found,
		.pages = 1,
	};
}

static int ask(struct asking *a, uint64_t base, size_t n, uint32_t home)
{
	static void *page[ASKED_AT_ONCE];
	static int status[ASKED_AT_ONCE];
	uint64_t size = (uint64_t)sysconf(_SC_PAGESIZE);

	for (size_t i = 0; i < n; i++)
		page[i] = (void *)(uintptr_t)(base + i * size);
	if (syscall(SYS_move_pages, a->view->name.pid, n, page, NULL, status,
		    0) != 0)
		return errno;
	for (size_t i = 0; i < n; i++)
		note(a, home, status[i]);
	return 0;
}

static int ask_chunk(struct asking *a, const struct np_segment_chunk *c)
{
	uint64_t size = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t n = np_count_get(&c->size) / size, at = np_count_get(&c->base);
	int error = 0;

	if (n > a->left)
		n = a->left;
	a->left -= n;
	while (n && !error) {
		size_t now = n < ASKED_AT_ONCE ? (size_t)n : ASKED_AT_ONCE;

		error = ask(a, at, now, c->home);
		at += now * size;
		n -= now;
	}
	return error;
}

int places_ask(const struct view *view, struct place_row **places, size_t *n)
{
	struct asking a = { view, places, n, PAGES_MAX };
	int error = 0;

	for (unsigned i = 0; i < view->nchunks && !error; i++)
		if (np_count_get(&view->chunks[i].base))
			error = ask_chunk(&a, &view->chunks[i]);
	return error;
}
