/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * chunks: what a chunk's page map and fills say, in three forms.
 *
 *	cells   a character a page
 *	pieces  its runs and subpages, from the first page on
 *	tree    as it is in chunk.h, made anew from the free pages: below a node
 *	        that was taken whole all nodes say so
 *
 * The cells:
 *
 *	.     free
 *	#==   a run: its first page, the others
 *	Dd    a subpage: its first page, the others; the letter tells the
 *	      size of its elements, A = up to 16 bytes, B = 32, C = 64 ...
 *	?     of a class that the segment does not describe
 *
 * The page map has only the class of each page. Where a run or subpage
 * begins follows from it: pieces of a class are equally long, so a stretch of
 * pages of one class is cut into its lengths from the left.
 */
#include "stat.h"
#include "chunklist.h" /* NP_NLISTS */

#include <stdlib.h>
#include <string.h>

#define FREE '.'
#define RUN '#'
#define RUN_ON '='
#define UNKNOWN '?'

const char *const list_names[] = {
	"qInit", "q000", "q025", "q050", "q075", "q100", "spare",
};

/* --- cells and pieces ------------------------------------------------- */

static char letter_of(uint32_t size)
{
	unsigned shift = np_log2_up(size);
	unsigned n = shift > FIRST_LETTER_SHIFT ? shift - FIRST_LETTER_SHIFT
						: 0;

	return (char)('A' + (n < 26 ? n : 25));
}

static char lower(char letter)
{
	return (char)(letter - 'A' + 'a');
}

/* How many pages from `first` on are of its class, at most `most`. */
static size_t stretch(const uint8_t *map, size_t npages, size_t first,
		      size_t most)
{
	size_t n = 1;

	while (n < most && first + n < npages && map[first + n] == map[first])
		n++;
	return n;
}

static void add_piece(struct chunk_row *row, const struct np_segment_class *c,
		      size_t first, size_t n, uint32_t taken)
{
	struct piece_row piece = {
		.first = (uint32_t)first,
		.npages = (uint32_t)n,
		.size = c->size,
		.nelems = c->nelems,
		.taken = taken < c->nelems ? taken : c->nelems,
	};

	row->pieces = grow(row->pieces, row->npieces, sizeof piece);
	row->pieces[row->npieces++] = piece;
	*(c->nelems ? &row->subpages : &row->runs) += 1;
	*(c->nelems ? &row->subpage_pages : &row->run_pages) += n;
}

/* Enters what begins at page `first`. Returns how many pages it has. */
static size_t enter_piece(struct chunk_row *row, const struct view *v,
			  const uint8_t *map, const uint16_t *fill,
			  size_t first)
{
	const struct np_segment_class *c = &v->classes[map[first]];
	char head = UNKNOWN, tail = UNKNOWN;
	size_t n = 1;

	if (!map[first]) {
		head = FREE;
		row->free_pages++;
	} else if (map[first] < v->nclasses && c->npages) {
		n = stretch(map, row->npages, first, c->npages);
		head = c->nelems ? letter_of(c->size) : RUN;
		tail = c->nelems ? lower(head) : RUN_ON;
		add_piece(row, c, first, n, fill[first]);
	}
	memset(row->cells + first, tail, n);
	row->cells[first] = head;
	return n;
}

/* --- the tree --------------------------------------------------------- */

static void grow_tree(struct chunk_row *row)
{
	uint32_t n;

	row->order = np_log2_up(row->npages);
	n = 1u << row->order;
	row->tree = get_memory(2, n);
	for (uint32_t i = 0; i < n; i++)
		row->tree[n + i] = (uint8_t)(row->order + (i >= row->npages ||
						row->cells[i] != FREE));
	for (uint32_t i = n - 1; i; i--) {
		uint8_t l = row->tree[2 * i], r = row->tree[2 * i + 1];
		unsigned depth = (unsigned)np_log2(i);

		row->tree[i] = l == depth + 1 && r == l ? (uint8_t)depth
			       : l < r ? l : r;
	}
}

uint64_t chunk_largest(const struct chunk_row *c)
{
	if (!c->npages || c->tree[1] > c->order)
		return 0;
	return (uint64_t)1 << (c->order - c->tree[1]);
}

/* --- all chunks of a segment ------------------------------------------- */

static void read_pages(struct chunk_row *row, const struct view *v, unsigned i)
{
	uint8_t *map;
	uint16_t *fill;

	row->npages = view_map_pages(v, i);
	map = get_memory(row->npages, sizeof *map);
	fill = get_memory(row->npages, sizeof *fill);
	if (!view_map(v, i, map) || !view_fill(v, i, fill))
		row->npages = 0;
	row->cells = get_memory(row->npages + 1, 1);
	for (size_t at = 0; at < row->npages; )
		at += enter_piece(row, v, map, fill, at);
	if (row->npages)
		grow_tree(row);
	free(map);
	free(fill);
}

static uint64_t list_of(const struct np_segment_chunk *c)
{
	uint32_t list = c->list;

	if (c->arena == NP_SEGMENT_HUGE)
		return LIST_HUGE;
	return list < NP_NLISTS ? list : NP_NLISTS;
}

static void add_chunk(struct report *r, const struct view *v, unsigned i)
{
	const struct np_segment_chunk *c = &v->chunks[i];
	struct chunk_row row = {
		.pid = v->name.pid,
		.number = i,
		.base = np_count_get(&c->base),
		.size = np_count_get(&c->size),
		.home = c->home,
		.arena = c->arena,
		.list = list_of(c),
		.kernel_node = v->nodes[c->home].kernel_node,
		.page_size = v->head.page_size,
		.spilled = np_count_get(&c->spilled),
	};

	if (row.spilled)
		row.spilled_ms = sub_u64(np_count_get(&v->head.looked_ms),
					 np_count_get(&c->spilled_ms));
	memcpy(row.program, v->head.program, sizeof row.program);
	memcpy(row.pool, v->head.pool, sizeof row.pool);
	read_pages(&row, v, i);
	r->chunks = grow(r->chunks, r->nchunks, sizeof row);
	r->chunks[r->nchunks++] = row;
}

void chunks_add(struct report *r, const struct view *v)
{
	for (unsigned i = 0; i < v->nchunks; i++)
		if (np_count_get(&v->chunks[i].base))
			add_chunk(r, v, i);
}

void chunks_free(struct report *r)
{
	for (size_t i = 0; i < r->nchunks; i++) {
		free(r->chunks[i].cells);
		free(r->chunks[i].tree);
		free(r->chunks[i].pieces);
	}
	free(r->chunks);
}

bool chunk_is_chosen(const struct report *r, const struct chunk_row *c)
{
	uint64_t chosen = r->options->chunk;

	return chosen == c->number || chosen - c->base < c->size;
}
