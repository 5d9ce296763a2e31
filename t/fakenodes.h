/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * fakenodes: a kernel of two nodes, for machines of one. Each page in memory is
 * on node 0, but those of one stretch that were told to be on node 1 whenever
 * they are in memory. They can be brought to node 0, as many as that has room
 * for. All else is the table of t/faultos.h, so that a call can be made to
 * fail.
 *
 *	fakenodes_begin(p, size);
 *	fakenodes_spill(p, size, true);
 *	... np_os_look, np_os_fetch
 *	fakenodes_end();
 *
 * Threads: one.
 *
 * Source: do_pages_move and do_pages_stat in the kernel's mm/migrate.c.
 */
#ifndef FAKENODES_H
#define FAKENODES_H

#include "faultos.h"

#include <string.h>
#include <sys/mman.h>

#define FAKENODES_PAGES (1 << 15)

static struct {
	struct np_os table;
	uintptr_t base;	/* of the stretch */
	size_t npages;
	bool away[FAKENODES_PAGES]; /* by page of the stretch */
	size_t room;	/* pages that node 0 has room for */
	bool busy;	/* pages cannot be moved */
	unsigned asks, moves; /* calls */
} fakenodes;

static inline size_t fakenodes_page(const void *p)
{
	return ((uintptr_t)p - fakenodes.base) / np_os_page_size();
}

static inline bool fakenodes_is_away(const void *p)
{
	size_t page = fakenodes_page(p);

	return (uintptr_t)p >= fakenodes.base && page < fakenodes.npages &&
	       fakenodes.away[page];
}

static inline int fakenodes_node(void *p)
{
	unsigned char resident = 0;
	uintptr_t page = (uintptr_t)p & ~(np_os_page_size() - 1);

	if (mincore((void *)page, 1, &resident) || !(resident & 1))
		return -ENOENT;
	return fakenodes_is_away(p) ? 1 : 0;
}

/* Returns whether the page stays where it is, and says nothing then. */
static inline bool fakenodes_stays(void *p, int node, int *status)
{
	int now = fakenodes_node(p);

	if (now == node || now < 0) {
		*status = now;
		return false;
	}
	if (fakenodes.busy) {
		*status = -EBUSY;
		return false;
	}
	if (node != 0 || !fakenodes.room)
		return true;
	fakenodes.room--;
	fakenodes.away[fakenodes_page(p)] = false;
	*status = node;
	return false;
}

static inline int fakenodes_move_pages(pid_t pid, unsigned long count,
				       void **pages, const int *nodes,
				       int *status, int flags)
{
	int stay = 0;

	(void)pid;
	(void)flags;
	if (faultos_hit(FAULTOS_MOVE_PAGES))
		return -1;
	if (nodes)
		fakenodes.moves++;
	else
		fakenodes.asks++;
	for (unsigned long i = 0; i < count; i++)
		if (nodes)
			stay += fakenodes_stays(pages[i], nodes[i],
						&status[i]);
		else
			status[i] = fakenodes_node(pages[i]);
	return stay;
}

/* From here on nodes are as told; none of [p, p + size) is on node 1 yet. */
static inline void fakenodes_begin(const void *p, size_t size)
{
	faultos_begin();
	fakenodes.table = faultos_table;
	fakenodes.table.move_pages = fakenodes_move_pages;
	fakenodes.base = (uintptr_t)p;
	fakenodes.npages = size / np_os_page_size();
	if (fakenodes.npages > FAKENODES_PAGES)
		fakenodes.npages = FAKENODES_PAGES;
	memset(fakenodes.away, 0, sizeof fakenodes.away);
	fakenodes.room = SIZE_MAX;
	fakenodes.busy = false;
	fakenodes.asks = fakenodes.moves = 0;
	np_os = &fakenodes.table;
}

static inline void fakenodes_end(void)
{
	faultos_end();
}

/* Pages of [p, p + size) are on node 1 (or, not away, 0). */
static inline void fakenodes_spill(const void *p, size_t size, bool away)
{
	size_t first = fakenodes_page(p);
	size_t end = fakenodes_page((const char *)p + size - 1) + 1;

	for (size_t i = first; i < end && i < fakenodes.npages; i++)
		fakenodes.away[i] = away;
}

/* Bytes of [p, p + size) that are in memory, on node 1. */
static inline size_t fakenodes_away(void *p, size_t size)
{
	size_t page = np_os_page_size(), bytes = 0;

	for (size_t at = 0; at < size; at += page)
		if (fakenodes_node((char *)p + at) == 1)
			bytes += page;
	return bytes;
}

#endif
