/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * picture: the pages of a chunk as text, a character a page, 64 a row.
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

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define ROW_PAGES 64
#define FIRST_LETTER_SHIFT 4 /* A: up to 16 bytes */
#define FREE '.'
#define RUN '#'
#define RUN_ON '='
#define UNKNOWN '?'

/* --- making ----------------------------------------------------------- */

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

/* Draws what begins at page `first`. Returns how many pages it has. */
static size_t draw_piece(struct picture *p, const struct view *v,
			 const uint8_t *map, size_t first)
{
	const struct np_segment_class *c = &v->classes[map[first]];
	char head = UNKNOWN, tail = UNKNOWN;
	size_t n = 1;

	if (!map[first]) {
		head = FREE;
		p->free_pages++;
	} else if (map[first] < v->nclasses && c->npages) {
		n = stretch(map, p->npages, first, c->npages);
		head = c->nelems ? letter_of(c->size) : RUN;
		tail = c->nelems ? lower(head) : RUN_ON;
		*(c->nelems ? &p->subpages : &p->runs) += 1;
		*(c->nelems ? &p->subpage_pages : &p->run_pages) += n;
	}
	memset(p->cells + first, tail, n);
	p->cells[first] = head;
	return n;
}

static void draw(struct picture *p, const struct view *v, unsigned i,
		 const uint8_t *map)
{
	const struct np_segment_chunk *c = &v->chunks[i];

	p->pid = v->name.pid;
	memcpy(p->program, v->head.program, sizeof p->program);
	p->base = np_count_get(&c->base);
	p->size = np_count_get(&c->size);
	p->home = c->home;
	p->arena = c->arena;
	p->kernel_node = v->nodes[c->home].kernel_node;
	p->page_size = v->head.page_size;
	p->cells = get_memory(p->npages + 1, 1);
	for (size_t at = 0; at < p->npages; )
		at += draw_piece(p, v, map, at);
}

static uint64_t taken(const struct picture *p)
{
	return p->npages - p->free_pages;
}

/* Keeps the picture, or only the fuller one of it and the last. */
static void keep(struct report *r, struct picture *p)
{
	if (r->npictures && !r->options->verbose) {
		if (taken(p) <= taken(r->pictures)) {
			free(p->cells);
			return;
		}
		free(r->pictures[0].cells);
		r->pictures[0] = *p;
		return;
	}
	r->pictures = grow(r->pictures, r->npictures, sizeof *p);
	r->pictures[r->npictures++] = *p;
}

void pictures_add(struct report *r, const struct view *v)
{
	uint8_t *map = get_memory((size_t)1 << v->head.max_order, 1);

	for (unsigned i = 0; i < v->nchunks; i++) {
		struct picture p = { .npages = view_map_pages(v, i) };

		if (!p.npages || !view_map(v, i, map))
			continue;
		draw(&p, v, i, map);
		keep(r, &p);
	}
	free(map);
}

/* --- printing --------------------------------------------------------- */

static void print_head(FILE *out, const struct picture *p)
{
	char node[24] = "-";

	if (p->kernel_node >= 0)
		snprintf(node, sizeof node, "%" PRId64, p->kernel_node);
	fprintf(out, "chunk 0x%" PRIx64 " of %s (process %d)\n", p->base,
		p->program, (int)p->pid);
	fprintf(out, "  node %" PRIu64 " (kernel: %s), arena %" PRIu64 ", "
		"%" PRIu64 " of %zu pages taken (%" PRIu64 " %%)\n", p->home,
		node, p->arena, taken(p), p->npages,
		taken(p) * 100 / p->npages);
	fprintf(out, "  %" PRIu64 " runs on %" PRIu64 " pages, %" PRIu64
		" subpages on %" PRIu64 " pages, %" PRIu64 " pages free\n\n",
		p->runs, p->run_pages, p->subpages, p->subpage_pages,
		p->free_pages);
}

static bool is_row_free(const struct picture *p, size_t first)
{
	return strspn(p->cells + first, ".") >= ROW_PAGES;
}

/* Of rows that are wholly free, one after the other, one is printed. */
static void print_rows(FILE *out, const struct picture *p)
{
	size_t left_out = 0;

	for (size_t at = 0; at < p->npages; at += ROW_PAGES) {
		bool is_last = at + ROW_PAGES >= p->npages;

		if (at && !is_last && is_row_free(p, at) &&
		    is_row_free(p, at - ROW_PAGES)) {
			left_out++;
			continue;
		}
		if (left_out)
			fprintf(out, "%7s  (%zu rows more like this)\n", "",
				left_out);
		left_out = 0;
		fprintf(out, "%7zu  %.*s\n", at, ROW_PAGES, p->cells + at);
	}
}

/* The letters that occur, and what they say. */
static void print_letters(FILE *out, const struct picture *p)
{
	for (unsigned n = 0; n < 26; n++) {
		char letter = (char)('A' + n);
		uint64_t size = (uint64_t)1 << (FIRST_LETTER_SHIFT + n);

		if (!strchr(p->cells, letter))
			continue;
		fprintf(out, "  %c%c   subpage: first page, others; elements "
			"of up to %" PRIu64 " bytes\n", letter, lower(letter),
			size);
	}
}

void picture_print(FILE *out, const struct picture *p)
{
	fputc('\n', out);
	print_head(out, p);
	print_rows(out, p);
	fprintf(out, "\n  .    free page of %" PRIu64 " bytes\n",
		p->page_size);
	if (p->runs)
		fputs("  #==  run: first page, others\n", out);
	print_letters(out, p);
	if (strchr(p->cells, UNKNOWN))
		fputs("  ?    page of an unknown class\n", out);
}
