/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * explain-svg: the chunks as a picture, one below the other.
 *
 *	chunk 0   in q000   38 % used
 *	|              1               |   the tree: up to seven levels; each
 *	|      2       |       1       |   node is as wide as its pages
 *	|#|#|####|     |               |   the pages: free, runs, and subpages
 *	                                   filled as far as they are
 *
 * Up to 64 pages stand in one row, right below their nodes; more are cut into
 * rows. A run lies at a multiple of its length, so it is always a rectangle.
 */
#include "explain.h"

#include "place.h"
#include "svg.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define LEFT 64
#define RIGHT 32
#define INNER 1088	/* 64 pages of 17 */
#define TOP 104
#define LEVEL_HEIGHT 26
#define LEVELS_SHOWN 7
#define ONE_ROW_ORDER 6
#define ONE_ROW_HEIGHT 52
#define HEADING 44
#define GAP 48
#define CHUNKS_SHOWN 24
#define CHAR_WIDTH 7.2	/* of a label */

struct picture {
	FILE *out;
	const struct replay *r;
	unsigned order, columns, rows, levels;
	double cell, row_height;   /* a page */
	const struct np_chunk **chunks;
	size_t nchunks, nshown;
	uint32_t *owner;	   /* by first page: the run's buffer, or 0 */
};

/* --- text ------------------------------------------------------------- */

static int length_of(const char *text)
{
	const char *bytes;
	int count = 0;

	while (utf8_next(&text, &bytes) != 0)
		count++;
	return count;
}

/* --- what there is ---------------------------------------------------- */

static int by_ordinal(const void *a, const void *b)
{
	uint64_t x = replay_ordinal(*(const struct np_chunk *const *)a);
	uint64_t y = replay_ordinal(*(const struct np_chunk *const *)b);

	return x < y ? -1 : x > y;
}

/* Finds the chunks. Returns false: no memory. */
static bool collect(struct picture *p)
{
	const struct np_chunklist *lists = p->r->arena->lists;
	size_t n = 0;

	for (int i = 0; i < NP_NLISTS; i++)
		for (const struct np_chunk *c = lists[i].head; c; c = c->next)
			p->nchunks++;
	p->chunks = calloc(p->nchunks + 1, sizeof *p->chunks);
	p->owner = calloc((size_t)1 << p->order, sizeof *p->owner);
	if (!p->chunks || !p->owner)
		return false;
	for (int i = 0; i < NP_NLISTS; i++)
		for (const struct np_chunk *c = lists[i].head; c; c = c->next)
			p->chunks[n++] = c;
	qsort(p->chunks, n, sizeof *p->chunks, by_ordinal);
	p->nshown = n < CHUNKS_SHOWN ? n : CHUNKS_SHOWN;
	return true;
}

/* Whose run begins where in this chunk. */
static void find_owners(struct picture *p, const struct np_chunk *c)
{
	uint32_t i = 0, number;

	memset(p->owner, 0, ((size_t)1 << p->order) * sizeof *p->owner);
	while ((number = buffers_each(&p->r->buffers, &i)) != 0) {
		const struct buffer *b = buffers_at(&p->r->buffers, number);
		struct np_place place;

		if (!b->p || b->is_huge)
			continue;
		place = np_place_of(b->p);
		if (place.chunk == c && !(place.entry & NP_PAGE_SUBPAGE))
			p->owner[place.first] = number;
	}
}

static void measure(struct picture *p)
{
	p->order = p->r->classes.max_order;
	p->levels = p->order + 1 < LEVELS_SHOWN ? p->order + 1 : LEVELS_SHOWN;
	p->columns = 1u << p->order;
	if (p->order > ONE_ROW_ORDER)
		p->columns = p->order > 11 ? 128 : 64;
	p->rows = (1u << p->order) / p->columns;
	p->cell = (double)INNER / p->columns;
	p->row_height = p->rows == 1 ? ONE_ROW_HEIGHT : p->cell;
}

static double chunk_height(const struct picture *p)
{
	return HEADING + p->levels * LEVEL_HEIGHT + 8 +
	       p->rows * p->row_height + GAP;
}

/* --- the tree --------------------------------------------------------- */

/* Was a node above taken whole, so that nobody looks at this one? */
static bool is_below_taken(const struct np_chunk *c, uint32_t node)
{
	for (node /= 2; node; node /= 2)
		if (c->tree[node] == c->classes->max_order + 1 &&
		    c->tree[2 * node] <= c->classes->max_order)
			return true;
	return false;
}

static void draw_node(const struct picture *p, const struct np_chunk *c,
		      uint32_t node, double top)
{
	unsigned depth = (unsigned)np_log2(node);
	double width = (double)INNER / (1u << depth);
	double left = LEFT + (node - (1u << depth)) * width;
	double y = top + depth * LEVEL_HEIGHT;
	unsigned value = c->tree[node];
	const char *class = value == depth ? "nf" : value > p->order ? "nn"
								     : "np";

	fprintf(p->out, "<g%s><rect class=\"%s\" x=\"%.2f\" y=\"%.0f\" "
		"width=\"%.2f\" height=\"%d\"><title>node %u says %u</title>"
		"</rect>", is_below_taken(c, node) ? " class=\"old\"" : "",
		class, left, y, width, LEVEL_HEIGHT, node, value);
	if (width >= 90)
		fprintf(p->out, "<text class=\"c\" x=\"%.2f\" y=\"%.0f\">"
			"<tspan class=\"m\">%u:</tspan> %u</text>",
			left + width / 2, y + 17, node, value);
	else
		fprintf(p->out, "<text class=\"v\" x=\"%.2f\" y=\"%.0f\">%u"
			"</text>", left + width / 2, y + 17, value);
	fputs("</g>\n", p->out);
}

static double draw_tree(const struct picture *p, const struct np_chunk *c,
			double y)
{
	for (uint32_t node = 1; node < 1u << p->levels; node++)
		draw_node(p, c, node, y);
	for (unsigned d = 0; d < p->levels; d++)
		fprintf(p->out, "<text class=\"s\" x=\"%d\" y=\"%.0f\">depth "
			"%u</text>\n", LEFT - 8,
			y + d * LEVEL_HEIGHT + 17, d);
	return y + p->levels * LEVEL_HEIGHT + 8;
}

/* --- the pages -------------------------------------------------------- */

/* Where n pages from first lie, less a gap round them. */
static struct svg_box box_of(const struct picture *p, double top,
			     uint32_t first, uint32_t n)
{
	double gap = p->cell < 12 ? .5 : 1;
	uint32_t across = n < p->columns ? n : p->columns;

	return (struct svg_box){
		.x = LEFT + first % p->columns * p->cell + gap,
		.y = top + first / p->columns * p->row_height + gap,
		.width = across * p->cell - 2 * gap,
		.height = n / across * p->row_height - 2 * gap,
	};
}

static void draw_subpage(const struct picture *p, const struct np_chunk *c,
			 uint32_t first, const struct svg_box *b)
{
	const struct np_subpage *sp = np_chunk_subpage(c, first);
	uint32_t used = sp->max_elems - sp->avail;
	double part = sp->elem_size ? (double)used / sp->max_elems : 0;
	struct svg_box fill = *b;

	fill.height = b->height * part;
	fill.y = b->y + b->height - fill.height;
	fprintf(p->out, "<g><title>page %u: a subpage of %u bytes, %u of %u "
		"used</title>", first, sp->elem_size, used, sp->max_elems);
	svg_box(p->out, "b", b);
	if (used && sp->elem_size)
		svg_box(p->out, "k", &fill);
	if (b->width >= 64 && b->height >= 40) {
		fprintf(p->out, "<text class=\"bt\" x=\"%.2f\" y=\"%.2f\">%u "
			"B</text>", b->x + b->width / 2, b->y + 20,
			sp->elem_size);
		fprintf(p->out, "<text class=\"bt\" x=\"%.2f\" y=\"%.2f\">%u "
			"of %u</text>", b->x + b->width / 2, b->y + 37, used,
			sp->max_elems);
	}
	fputs("</g>\n", p->out);
}

static void draw_run(const struct picture *p, uint32_t first, uint32_t n,
		     const struct svg_box *b)
{
	uint32_t number = p->owner[first];
	const char *name = number ? buffer_name(buffers_at(&p->r->buffers,
							   number)) : "?";
	int length = length_of(name);

	fputs("<g><title>", p->out);
	svg_text(p->out, name, 64);
	fprintf(p->out, ": a run, page %u", first);
	if (n > 1)
		fprintf(p->out, " to %u", first + n - 1);
	fputs("</title>", p->out);
	svg_box(p->out, first / n % 2 ? "r1" : "r0", b);
	if (length <= 64 && b->width >= length * CHAR_WIDTH + 4 &&
	    b->height >= 14) {
		fprintf(p->out, "<text class=\"rt\" x=\"%.2f\" y=\"%.2f\">",
			b->x + b->width / 2, b->y + b->height / 2 + 4.5);
		svg_text(p->out, name, length);
		fputs("</text>", p->out);
	}
	fputs("</g>\n", p->out);
}

static void draw_pages(const struct picture *p, const struct np_chunk *c,
		       double y)
{
	const struct np_classes *t = c->classes;
	uint32_t npages = 1u << p->order, n;
	uint32_t step = p->row_height < 12 ? 4 : 1; /* rows with a number */

	for (uint32_t row = 0; row < p->rows && p->rows > 1; row += step)
		fprintf(p->out, "<text class=\"s\" x=\"%d\" y=\"%.2f\">%s%u"
			"</text>\n", LEFT - 8, y + (row + .5) * p->row_height +
			3.5, row ? "" : "page ", row * p->columns);
	for (uint32_t i = 0; i < npages; i += n) {
		uint32_t entry = c->pages[i];
		struct svg_box b;

		n = entry ? t->row[entry & NP_PAGE_CLASS].npages : 1;
		b = box_of(p, y, i, n);
		if (!entry) {
			svg_box(p->out, "f", &b);
			fputc('\n', p->out);
		} else if (entry & NP_PAGE_SUBPAGE) {
			draw_subpage(p, c, i, &b);
		} else {
			draw_run(p, i, n, &b);
		}
	}
	for (uint32_t i = 0; i < npages && p->cell >= 30; i++)
		fprintf(p->out, "<text class=\"v m\" x=\"%.2f\" y=\"%.2f\">p%u"
			"</text>\n", LEFT + (i + .5) * p->cell,
			y + p->row_height + 16, i);
}

/* --- the whole -------------------------------------------------------- */

static void put_size(FILE *out, size_t bytes)
{
	if (bytes >= NP_MIB)
		fprintf(out, "%.4g MiB", (double)bytes / (double)NP_MIB);
	else
		fprintf(out, "%.4g KiB", (double)bytes / (double)NP_KIB);
}

static void draw_chunk(struct picture *p, const struct np_chunk *c, double y)
{
	find_owners(p, c);
	fprintf(p->out, "<text class=\"h\" x=\"%d\" y=\"%.0f\">chunk %" PRIu64
		"<tspan class=\"m\" font-weight=\"400\" dx=\"14\">in %s, "
		"%u %% used, ", LEFT, y + 26, replay_ordinal(c),
		replay_list_names[c->list - p->r->arena->lists],
		np_chunk_usage(c));
	put_size(p->out, c->free_bytes);
	fputs(" of ", p->out);
	put_size(p->out, c->classes->chunk_size);
	fputs(" free</tspan></text>\n", p->out);
	y = draw_tree(p, c, y + HEADING - 4);
	draw_pages(p, c, y);
}

static void draw_legend(FILE *out)
{
	static const struct {
		const char *class, *text;
		int x;
	} row[] = {
		{ "f", "free page", 0 },
		{ "r0", "run", 105 },
		{ "b", "subpage, filled as far as it is used", 170 },
		{ "nf", "node: all free", 440 },
		{ "np", "some free", 565 },
		{ "nn", "nothing free", 665 },
		{ "nf old", "nobody looks there", 782 },
	};

	for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
		int x = LEFT + row[i].x;

		fprintf(out, "<rect class=\"%s\" x=\"%d\" y=\"70\" "
			"width=\"16\" height=\"16\" rx=\"2\"/>"
			"<text class=\"m\" x=\"%d\" y=\"83\">%s</text>\n",
			row[i].class, x, x + 22, row[i].text);
	}
	fprintf(out, "<rect class=\"k\" x=\"%d\" y=\"79\" width=\"16\" "
		"height=\"7\" rx=\"2\"/>\n", LEFT + 170);
}

static void draw_all(struct picture *p)
{
	double step = chunk_height(p), y = TOP;
	double height = TOP + (double)p->nshown * step + 24;
	FILE *out = p->out;

	svg_begin(out, LEFT + INNER + RIGHT, height);
	fprintf(out, "<text class=\"t\" x=\"%d\" y=\"44\">", LEFT);
	svg_text(out, p->r->trace.name, 80);
	fprintf(out, "<tspan class=\"m\" font-size=\"14\" font-weight=\"400\" "
		"dx=\"14\">at its end: %zu chunk%s of %u page%s</tspan>"
		"</text>\n", p->nchunks, p->nchunks == 1 ? "" : "s",
		1u << p->order, p->order ? "s" : "");
	draw_legend(out);
	for (size_t i = 0; i < p->nshown; i++, y += step)
		draw_chunk(p, p->chunks[i], y);
	if (p->nshown < p->nchunks)
		fprintf(out, "<text class=\"m\" x=\"%d\" y=\"%.0f\">and %zu "
			"more</text>\n", LEFT, y, p->nchunks - p->nshown);
	svg_end(out);
}

bool svg_print(FILE *out, const struct replay *r)
{
	struct picture p = { .out = out, .r = r };
	bool done;

	measure(&p);
	done = collect(&p);
	if (done)
		draw_all(&p);
	free(p.chunks);
	free(p.owner);
	return done;
}
