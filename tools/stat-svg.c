/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * svg: chunks as a picture, one below the other.
 *
 *	chunk 3 at 0x7f...   in q050, node 0, arena 1, 63 % taken
 *	|              -               |   of one that --chunk names: the tree,
 *	|      -       |       1       |   up to seven levels
 *	page 0   |#######|f|Ffff|......|   the pages: free, runs, and subpages
 *	     64  |...|Hhhhhhhhhhhhhhhhh|   filled as far as they are
 *
 * A row has 128 pages, or 64 where the tree stands above them. A piece may go
 * on in the next row: it is drawn as a strip in each.
 */
#include "stat.h"
#include "svg.h"

#include <inttypes.h>
#include <limits.h> /* INT_MAX */

#define LEFT 64
#define RIGHT 32
#define INNER 1088 /* 64 pages of 17 */
#define TOP 112
#define LEVEL_HEIGHT 22
#define LEVELS_SHOWN 7
#define HEADING 48
#define GAP 28
#define CHUNKS_SHOWN 64
#define LABEL_WIDTH 60 /* room that the size of elements takes */

struct drawing {
	FILE *out;
	const struct report *r;
	bool alone;	  /* with its tree */
	unsigned columns;
	double cell;	  /* a page is a square */
};

/* --- the tree --------------------------------------------------------- */

static unsigned levels_of(const struct drawing *d, const struct chunk_row *c)
{
	if (!d->alone)
		return 0;
	return c->order + 1 < LEVELS_SHOWN ? c->order + 1 : LEVELS_SHOWN;
}

static void draw_node(const struct drawing *d, const struct chunk_row *c,
		      uint32_t node, double top)
{
	unsigned depth = (unsigned)np_log2(node), value = c->tree[node];
	double width = (double)INNER / (1u << depth);
	struct svg_box box = {
		.x = LEFT + (node - (1u << depth)) * width,
		.y = top + depth * LEVEL_HEIGHT,
		.width = width,
		.height = LEVEL_HEIGHT,
	};

	svg_box(d->out, value == depth ? "nf" : value > c->order ? "nn" : "np",
		&box);
	fprintf(d->out, "<text class=\"v\" x=\"%.2f\" y=\"%.0f\">",
		box.x + width / 2, box.y + 15);
	fprintf(d->out, value > c->order ? "-</text>\n" : "%u</text>\n", value);
}

static double draw_tree(const struct drawing *d, const struct chunk_row *c,
			double y)
{
	unsigned levels = levels_of(d, c);

	for (uint32_t node = 1; node < 1u << levels; node++)
		draw_node(d, c, node, y);
	for (unsigned depth = 0; depth < levels; depth++)
		fprintf(d->out, "<text class=\"s\" x=\"%d\" y=\"%.0f\">depth "
			"%u</text>\n", LEFT - 8, y + depth * LEVEL_HEIGHT + 15,
			depth);
	return y + levels * LEVEL_HEIGHT + (levels ? 8 : 0);
}

/* --- the pages -------------------------------------------------------- */

/* The strip of n pages that lie in one row. */
static struct svg_box strip_of(const struct drawing *d, double top,
			       uint32_t first, uint32_t n)
{
	double gap = d->cell < 12 ? .4 : .8;

	return (struct svg_box){
		.x = LEFT + first % d->columns * d->cell + gap,
		.y = top + first / d->columns * d->cell + gap,
		.width = n * d->cell - 2 * gap,
		.height = d->cell - 2 * gap,
	};
}

/* The first of n pages, up to the end of their row. */
static uint32_t in_row(const struct drawing *d, uint32_t first, uint32_t n)
{
	uint32_t room = d->columns - first % d->columns;

	return n < room ? n : room;
}

static int size_class(const struct piece_row *p)
{
	unsigned shift = np_log2_up(p->size);

	return shift < FIRST_LETTER_SHIFT ? 0
	       : (int)(shift - FIRST_LETTER_SHIFT) % SVG_SIZES;
}

static void draw_subpage_strip(const struct drawing *d,
			       const struct piece_row *p,
			       const struct svg_box *strip)
{
	struct svg_box fill = *strip;
	char class[8];

	snprintf(class, sizeof class, "q%d e", size_class(p));
	svg_box(d->out, class, strip);
	fill.height = strip->height * p->taken / p->nelems;
	fill.y = strip->y + strip->height - fill.height;
	snprintf(class, sizeof class, "q%d", size_class(p));
	if (p->taken)
		svg_box(d->out, class, &fill);
}

static void put_label(const struct drawing *d, const struct piece_row *p,
		      const struct svg_box *strip)
{
	cell text;

	if (!d->alone || strip->width < LABEL_WIDTH)
		return;
	fprintf(d->out, "<text class=\"%s\" x=\"%.2f\" y=\"%.2f\">%s</text>",
		p->nelems ? "v" : "v rt", strip->x + strip->width / 2,
		strip->y + strip->height / 2 + 4, show_bytes(text, p->size));
}

static void draw_piece(const struct drawing *d, const struct piece_row *p,
		       double top)
{
	cell size;

	fprintf(d->out, "<g><title>page %u, %u long: ", p->first, p->npages);
	if (p->nelems)
		fprintf(d->out, "a subpage of %s, %u of %u taken",
			show_bytes(size, p->size), p->taken, p->nelems);
	else
		fprintf(d->out, "a run of %s", show_bytes(size, p->size));
	fputs("</title>", d->out);
	for (uint32_t done = 0, n; done < p->npages; done += n) {
		struct svg_box strip;

		n = in_row(d, p->first + done, p->npages - done);
		strip = strip_of(d, top, p->first + done, n);
		if (p->nelems)
			draw_subpage_strip(d, p, &strip);
		else
			svg_box(d->out, p->first / p->npages % 2 ? "r1" : "r0",
				&strip);
		if (!done)
			put_label(d, p, &strip);
	}
	fputs("</g>\n", d->out);
}

/* Pages that are free or unknown, from `first` on: a stretch of a row. */
static uint32_t draw_rest(const struct drawing *d, const struct chunk_row *c,
			  uint32_t first, double top)
{
	uint32_t most = in_row(d, first, (uint32_t)c->npages - first), n = 1;
	char sign = c->cells[first];
	struct svg_box strip;

	if (sign != '.' && sign != '?')
		return 1;
	while (n < most && c->cells[first + n] == sign)
		n++;
	strip = strip_of(d, top, first, n);
	svg_box(d->out, sign == '.' ? "f" : "nn", &strip);
	fputc('\n', d->out);
	return n;
}

static uint32_t rows_of(const struct drawing *d, const struct chunk_row *c)
{
	return ((uint32_t)c->npages + d->columns - 1) / d->columns;
}

static void draw_pages(const struct drawing *d, const struct chunk_row *c,
		       double top)
{
	uint32_t step = d->cell < 12 ? 2 : 1; /* rows with a number */

	for (uint32_t row = 0; row < rows_of(d, c); row += step)
		fprintf(d->out, "<text class=\"s\" x=\"%d\" y=\"%.2f\">%s%u"
			"</text>\n", LEFT - 8, top + (row + .5) * d->cell + 3.5,
			row ? "" : "page ", row * d->columns);
	for (uint32_t i = 0; i < c->npages; )
		i += draw_rest(d, c, i, top);
	for (size_t i = 0; i < c->npieces; i++)
		draw_piece(d, &c->pieces[i], top);
}

/* --- the whole -------------------------------------------------------- */

static bool is_drawn(const struct drawing *d, const struct chunk_row *c)
{
	return c->npages && (!d->alone || chunk_is_chosen(d->r, c));
}

static double height_of(const struct drawing *d, const struct chunk_row *c)
{
	return HEADING + levels_of(d, c) * LEVEL_HEIGHT + 8 +
	       rows_of(d, c) * d->cell + GAP;
}

static void draw_chunk(const struct drawing *d, const struct chunk_row *c,
		       double y)
{
	cell share, free;

	fprintf(d->out, "<text class=\"h\" x=\"%d\" y=\"%.0f\">chunk %" PRIu64
		"<tspan class=\"m\" font-weight=\"400\" dx=\"14\">at 0x%"
		PRIx64 ", node %" PRIu64 ", arena %" PRIu64 ", %s, %s taken, "
		"%s free; ", LEFT, y + 28, c->number, c->base, c->home,
		c->arena, list_names[c->list],
		show_percent(share, chunk_taken(c), c->npages),
		show_bytes(free, c->free_pages * c->page_size));
	svg_text(d->out, c->program, INT_MAX);
	fprintf(d->out, " (%d), pool ", (int)c->pid);
	svg_text(d->out, c->pool, INT_MAX);
	fputs("</tspan></text>\n", d->out);
	draw_pages(d, c, draw_tree(d, c, y + HEADING - 8));
}

static void draw_mark(FILE *out, const char *class, int x, double height)
{
	struct svg_box box = { LEFT + x, 86 - height, 16, height };

	svg_box(out, class, &box);
}

static void draw_words(FILE *out, int x, const char *words)
{
	fprintf(out, "<text class=\"m\" x=\"%d\" y=\"83\">%s</text>\n",
		LEFT + x + 22, words);
}

static void draw_legend(const struct drawing *d)
{
	draw_mark(d->out, "f", 0, 16);
	draw_words(d->out, 0, "free pages");
	draw_mark(d->out, "r0", 105, 16);
	draw_words(d->out, 105, "run");
	for (int i = 0; i < SVG_SIZES; i++) {
		char class[8];

		snprintf(class, sizeof class, "q%d e", i);
		draw_mark(d->out, class, 170 + 16 * i, 16);
		snprintf(class, sizeof class, "q%d", i);
		draw_mark(d->out, class, 170 + 16 * i, 8);
	}
	draw_words(d->out, 170 + 16 * (SVG_SIZES - 1),
		   "subpages, elements up to 16, 32, 64 ... bytes; filled as "
		   "far as they are taken");
	if (!d->alone)
		return;
	draw_mark(d->out, "nf", 850, 16);
	draw_words(d->out, 850, "node: all free");
	draw_mark(d->out, "np", 965, 16);
	draw_words(d->out, 965, "some");
	draw_mark(d->out, "nn", 1030, 16);
	draw_words(d->out, 1030, "none");
}

/* The height of those that are drawn. Returns how many there are in all. */
static size_t measure(const struct drawing *d, double *height)
{
	size_t n = 0;

	*height = TOP + 24;
	for (size_t i = 0; i < d->r->nchunks; i++)
		if (is_drawn(d, &d->r->chunks[i]) && n++ < CHUNKS_SHOWN)
			*height += height_of(d, &d->r->chunks[i]);
	return n;
}

void svg_print(FILE *out, const struct report *r)
{
	struct drawing d = { .out = out, .r = r };
	double height, y = TOP;
	size_t n, shown = 0;
	cell unseen;

	d.alone = r->options->show & SHOW_CHUNK;
	d.columns = d.alone ? 64 : 128;
	d.cell = (double)INNER / d.columns;
	n = measure(&d, &height);
	svg_begin(out, LEFT + INNER + RIGHT, height);
	fprintf(out, "<text class=\"t\" x=\"%d\" y=\"44\">%zu chunk%s%s",
		LEFT, n, n == 1 ? "" : "s", n > CHUNKS_SHOWN
		? ", of which the first 64 are drawn" : "");
	if (r->total.chunks_unseen)
		fprintf(out, "; %s more cannot be seen",
			show_count(unseen, r->total.chunks_unseen));
	fputs("</text>\n", out);
	draw_legend(&d);
	for (size_t i = 0; i < r->nchunks && shown < CHUNKS_SHOWN; i++)
		if (is_drawn(&d, &r->chunks[i])) {
			draw_chunk(&d, &r->chunks[i], y);
			y += height_of(&d, &r->chunks[i]);
			shown++;
		}
	svg_end(out);
}
