/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * map: chunks as text. 64 pages a row, a character a page (stat-chunk.c has
 * the legend); on a terminal in colours, one for what is free, one for runs,
 * and one for each size of elements.
 *
 *	depth 0  |               3               |  above it, of one chunk that
 *	depth 1  |       -       |       3       |  is shown alone, the upper
 *	      0  |#===#===FfFf....               |  levels of its tree
 */
#include "stat.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define ROW_PAGES 64
#define LEVELS_SHOWN 7 /* 64 nodes in the last */
#define LETTERS 26

/* --- colours ---------------------------------------------------------- */

static bool is_coloured(const struct report *r)
{
	return r->options->color == COLOR_ALWAYS;
}

static bool is_letter(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

/* Of the 256 colours of terminals, such that neighbours in size differ. */
static int colour_of(char sign)
{
	static const int of_size[] = {
		226, 214, 208, 203, 205, 170, 141, 80, 84, 120, 156, 192,
	};
	int n = (int)(sizeof of_size / sizeof *of_size);

	if (sign == '.')
		return 240;
	if (is_letter(sign))
		return of_size[((sign | 0x20) - 'a') % n];
	return sign == '?' ? 196 : 75;
}

static void put_cells(FILE *out, const char *cells, size_t n, bool in_colour)
{
	int now = -1;

	for (size_t i = 0; i < n; i++) {
		int wanted = colour_of(cells[i]);

		if (in_colour && wanted != now)
			fprintf(out, "\33[38;5;%dm", wanted);
		now = wanted;
		fputc(cells[i], out);
	}
	if (in_colour && n)
		fputs("\33[0m", out);
}

/* --- the head --------------------------------------------------------- */

void chunk_print_title(FILE *out, const struct chunk_row *c, const char *what)
{
	char whose[128];
	cell program;
	int n = snprintf(whose, sizeof whose, "of %s (process %d, pool %s)",
			 show_name(program, c->program, 15), (int)c->pid,
			 c->pool);

	fprintf(out, "\n%s%s%s\n", what, strlen(what) + 1 + (size_t)n >
		LINE_WIDTH ? "\n  " : " ", whose);
}

static void print_head(FILE *out, const struct chunk_row *c)
{
	cell node, taken, size;
	char chunk[48];

	snprintf(chunk, sizeof chunk, "chunk %" PRIu64 " at 0x%" PRIx64,
		 c->number, c->base);
	chunk_print_title(out, c, chunk);
	fprintf(out, "  node %" PRIu64 " (kernel: %s), ", c->home,
		show_node(node, c->kernel_node));
	if (c->list == LIST_HUGE) {
		fprintf(out, "a huge block of %s\n", show_bytes(size, c->size));
		return;
	}
	fprintf(out, "arena %" PRIu64 ", %s; %" PRIu64 " of %zu pages taken "
		"(%s)\n", c->arena, list_names[c->list], chunk_taken(c),
		c->npages, show_percent(taken, chunk_taken(c), c->npages));
	fprintf(out, "  %" PRIu64 " runs on %" PRIu64 " pages, %" PRIu64
		" subpages on %" PRIu64 " pages, %" PRIu64 " pages free\n\n",
		c->runs, c->run_pages, c->subpages, c->subpage_pages,
		c->free_pages);
}

/* --- the tree --------------------------------------------------------- */

static char digit_of(const struct chunk_row *c, uint8_t value)
{
	return value > c->order ? '-' : "0123456789abcdef"[value];
}

static void print_level(FILE *out, const struct chunk_row *c, unsigned depth,
			size_t width)
{
	char row[ROW_PAGES + 1];
	size_t n = (size_t)1 << depth, each = width / n;

	memset(row, ' ', sizeof row);
	for (size_t i = 0; i < n; i++)
		row[i * each + each / 2] = digit_of(c, c->tree[n + i]);
	while (row[width - 1] == ' ')
		width--;
	row[width] = '\0';
	fprintf(out, "%5s%2u  %s\n", depth ? "" : "depth", depth, row);
}

/* Free nodes that are no part of a larger one, by their pages. */
static void print_free_runs(FILE *out, const struct chunk_row *c)
{
	const char *comma = "";
	char *text;
	size_t size;
	FILE *runs = open_text(&text, &size);

	for (unsigned depth = 0; depth <= c->order; depth++) {
		uint32_t n = 1u << depth, found = 0;

		for (uint32_t i = n; i < 2 * n; i++)
			found += c->tree[i] == depth &&
				 (i == 1 || c->tree[i / 2] != depth - 1);
		if (!found)
			continue;
		fprintf(runs, "%s%u of %u", comma, found,
			1u << (c->order - depth));
		comma = ", ";
	}
	fputs(*comma ? " pages" : "none", runs);
	fclose(runs);
	text_print_wrapped(out, "free runs", text);
	fputc('\n', out);
	free(text);
}

static void print_tree(FILE *out, const struct chunk_row *c)
{
	size_t npages = (size_t)1 << c->order;
	size_t width = npages < ROW_PAGES ? npages : ROW_PAGES;

	fputs("the tree: at each node the depth of the shallowest that is "
	      "free, - for none\n", out);
	for (unsigned d = 0; d <= c->order && d < LEVELS_SHOWN; d++)
		print_level(out, c, d, width);
	print_free_runs(out, c);
}

/* --- the pages -------------------------------------------------------- */

static bool is_row_free(const struct chunk_row *c, size_t first)
{
	return strspn(c->cells + first, ".") >= ROW_PAGES;
}

static void print_row(FILE *out, const struct report *r,
		      const struct chunk_row *c, size_t at)
{
	size_t left = c->npages - at;

	fprintf(out, "%7zu  ", at);
	put_cells(out, c->cells + at, left < ROW_PAGES ? left : ROW_PAGES,
		  is_coloured(r));
	fputc('\n', out);
}

/* Of rows that are wholly free, one after the other, one is printed. */
static void print_rows(FILE *out, const struct report *r,
		       const struct chunk_row *c)
{
	size_t left_out = 0;

	for (size_t at = 0; at < c->npages; at += ROW_PAGES) {
		bool is_last = at + ROW_PAGES >= c->npages;

		if (at && !is_last && is_row_free(c, at) &&
		    is_row_free(c, at - ROW_PAGES)) {
			left_out++;
			continue;
		}
		if (left_out)
			fprintf(out, "%7s  (%zu rows more like this)\n", "",
				left_out);
		left_out = 0;
		print_row(out, r, c, at);
	}
}

static void print_legend(FILE *out, const struct report *r, const char *cells,
			 const char *says)
{
	fputs("  ", out);
	put_cells(out, cells, strlen(cells), is_coloured(r));
	fprintf(out, "%*s%s\n", 5 - (int)strlen(cells), "", says);
}

/* The letters that occur, and what they say. */
static void print_letters(FILE *out, const struct report *r,
			  const struct chunk_row *c)
{
	for (unsigned n = 0; n < LETTERS; n++) {
		char cells[] = { (char)('A' + n), (char)('a' + n), '\0' };
		char says[80];

		if (!strchr(c->cells, *cells))
			continue;
		snprintf(says, sizeof says, "subpage: first page, others; "
			 "elements of up to %" PRIu64 " bytes",
			 (uint64_t)1 << (FIRST_LETTER_SHIFT + n));
		print_legend(out, r, cells, says);
	}
}

static void print_pages(FILE *out, const struct report *r,
			const struct chunk_row *c)
{
	char says[80];

	print_rows(out, r, c);
	fputc('\n', out);
	snprintf(says, sizeof says, "free page of %" PRIu64 " bytes",
		 c->page_size);
	print_legend(out, r, ".", says);
	if (c->runs)
		print_legend(out, r, "#==", "run: first page, others");
	print_letters(out, r, c);
	if (strchr(c->cells, '?'))
		print_legend(out, r, "?", "page of an unknown class");
}

void map_print(FILE *out, const struct report *r, const struct chunk_row *c)
{
	print_head(out, c);
	if (c->npages)
		print_pages(out, r, c);
}

/* --- a chunk alone ---------------------------------------------------- */

#define SUBPAGES_A_LINE 3

static void print_subpages(FILE *out, const struct chunk_row *c)
{
	unsigned n = 0;

	if (!c->subpages)
		return;
	fputs("\nsubpages: first page, elements that are taken (in use or in "
	      "caches) and all", out);
	for (size_t i = 0; i < c->npieces; i++) {
		const struct piece_row *p = &c->pieces[i];
		cell size;

		if (!p->nelems)
			continue;
		fprintf(out, "%s%5u %4u/%-4u x %8s",
			n % SUBPAGES_A_LINE ? "" : "\n", p->first, p->taken,
			p->nelems, show_bytes(size, p->size));
		n++;
	}
	fputc('\n', out);
}

void chunk_print(FILE *out, const struct report *r, const struct chunk_row *c)
{
	print_head(out, c);
	if (!c->npages)
		return;
	print_tree(out, c);
	print_pages(out, r, c);
	print_subpages(out, c);
}
