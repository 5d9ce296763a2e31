/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * places: on which node all pages of a pool are, for --verify. Where
 * stat-sample.c asks for some, this asks move_pages(2) for every page of the
 * kernel's in all chunks and huge blocks, taken or free; asking touches none.
 *
 * Where that call is denied, as in containers, the kernel's list of mappings
 * by node, numa_maps, is added up instead: a mapping that begins in a chunk is
 * taken for the memory of its home.
 *
 * The addresses come from the segment and need not be true: the worst that a
 * wrong one does is to say that no page is there. A size that cannot be is cut
 * off: a process has no more than 2^47 bytes, but to ask for all of them takes
 * for ever.
 */
#include "stat.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
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

/* The row of pages of a home that were found there. */
static uint64_t *pages_of(struct asking *a, uint32_t home, int64_t found)
{
	struct place_row *p = *a->places;

	for (size_t i = 0; i < *a->n; i++)
		if (p[i].home == home && p[i].found == found)
			return &p[i].pages;
	*a->places = p = grow(p, *a->n, sizeof *p);
	p[*a->n] = (struct place_row){
		.kernel_node = a->view->nodes[home].kernel_node,
		.home = home,
		.found = found,
	};
	return &p[(*a->n)++].pages;
}

static uint64_t page_size(void)
{
	return (uint64_t)sysconf(_SC_PAGESIZE);
}

/* --- move_pages ------------------------------------------------------- */

static int ask(struct asking *a, uint64_t base, size_t n, uint32_t home)
{
	static void *page[ASKED_AT_ONCE];
	static int status[ASKED_AT_ONCE];
	for (size_t i = 0; i < n; i++)
		page[i] = (void *)(uintptr_t)(base + i * page_size());
	if (syscall(SYS_move_pages, a->view->name.pid, n, page, NULL, status,
		    0) != 0)
		return errno;
	for (size_t i = 0; i < n; i++)
		++*pages_of(a, home, status[i] < 0 ? NOT_IN_MEMORY
						   : status[i]);
	return 0;
}

static int ask_chunk(struct asking *a, const struct np_segment_chunk *c)
{
	uint64_t size = page_size();
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

static int ask_all(struct asking *a)
{
	int error = 0;

	for (unsigned i = 0; i < a->view->nchunks && !error; i++)
		if (np_count_get(&a->view->chunks[i].base))
			error = ask_chunk(a, &a->view->chunks[i]);
	return error;
}

/* --- numa_maps -------------------------------------------------------- */

/* Every page, as long as nobody says where it is. */
static void count_all(struct asking *a)
{
	for (unsigned i = 0; i < a->view->nchunks; i++) {
		const struct np_segment_chunk *c = &a->view->chunks[i];
		uint64_t *pages;

		if (!np_count_get(&c->base))
			continue;
		pages = pages_of(a, c->home, NOT_IN_MEMORY);
		*pages = add_u64(*pages, np_count_get(&c->size) / page_size());
	}
}

static const struct np_segment_chunk *chunk_at(const struct view *v,
					       uint64_t address)
{
	for (unsigned i = 0; i < v->nchunks; i++) {
		uint64_t base = np_count_get(&v->chunks[i].base);

		if (base && address - base < np_count_get(&v->chunks[i].size))
			return &v->chunks[i];
	}
	return NULL;
}

/* "7f7c00000000 prefer:0 anon=9 dirty=9 N0=7 N1=2 kernelpagesize_kB=4" */
static void take_line(struct asking *a, const char *line)
{
	const struct np_segment_chunk *c =
		chunk_at(a->view, strtoull(line, NULL, 16));
	const char *kib = strstr(line, " kernelpagesize_kB=");
	uint64_t each = kib ? strtoull(strchr(kib, '=') + 1, NULL, 10) *
			      NP_KIB / page_size() : 1;

	for (const char *at = line; c && (at = strstr(at, " N")); at++) {
		uint64_t n, *none, *there;
		int node;

		if (sscanf(at, " N%d=%" SCNu64, &node, &n) != 2)
			continue;
		there = pages_of(a, c->home, node);
		*there = add_u64(*there, n * each);
		none = pages_of(a, c->home, NOT_IN_MEMORY);
		*none = sub_u64(*none, n * each);
	}
}

static int read_numa_maps(struct asking *a)
{
	char path[40], *line = NULL;
	size_t room = 0;
	FILE *maps;

	snprintf(path, sizeof path, "/proc/%d/numa_maps",
		 (int)a->view->name.pid);
	maps = fopen(path, "re");
	if (!maps)
		return errno;
	*a->n = 0;
	count_all(a);
	while (getline(&line, &room, maps) >= 0)
		take_line(a, line);
	free(line);
	fclose(maps);
	return 0;
}

int places_ask(const struct view *view, struct place_row **places, size_t *n)
{
	struct asking a = { view, places, n, PAGES_MAX };
	int error = ask_all(&a);

	return error == EPERM || error == ENOSYS ? read_numa_maps(&a) : error;
}
