/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * draw-svg: see draw.h.
 *
 *	command
 *	when, how long, how much
 *	memory     areas, the largest behind: reserved, taken, used; a line:
 *	           asked for
 *	chunks     a row each, or several; by how much of them is used
 *	sizes      bars: how many, and how many bytes
 *	lifetimes  bars
 *	what the picture does not say, or could be misread
 *
 * Colours differ in lightness first, so that they can be told apart by whoever
 * sees hues in another way, and on paper; those of the chunks are of the scale
 * "viridis" (S. van der Walt, N. Smith, 2015), from pale to dark, or, on a dark
 * page, the other way round.
 */
#include "draw.h"
#include "report.h"
#include "svg.h"
#include "tool.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define MARGIN 12
#define LEFT 52		   /* where plots begin: numbers stand before it */
#define NARROW 700	   /* below that, one thing below the other */
#define MEMORY_HEIGHT 240
#define HEAT_HEIGHT 320	   /* at most */
#define ROW_HEIGHT 16	   /* at most */
#define BARS_HEIGHT 170
#define LEVELS 10	   /* of usage, above none */
#define CHAR_WIDTH .62	   /* of a letter's height, on average */
#define TEXT_SIZE 12
#define LINES_MOST 4

const char picture_style[] =
"text{font-family:'DejaVu Sans','Segoe UI',Helvetica,Arial,sans-serif;"
"font-size:12px;fill:#1f2933}\n"
".t{font-size:18px;font-weight:600}.h{font-size:15px;font-weight:600}\n"
".m{fill:#52606d}.s{font-size:11px;fill:#52606d}\n"
".e{text-anchor:end}.c{text-anchor:middle}\n"
".paper{fill:#fff}body{margin:0;background:#fff}\n"
".grid{stroke:#cbd2d9;stroke-width:.7}\n"
".reserved{fill:#e4e9ee}.cached{fill:#f5c451}.used{fill:#4a90c8}\n"
".asked{fill:none;stroke:#0b2545;stroke-width:1.6}\n"
".over{fill:transparent}.over:hover{fill:#8884}\n"
".u0{fill:#e4e9ee}.u1{fill:#fde725}.u2{fill:#b5de2b}.u3{fill:#6ece58}"
".u4{fill:#35b779}.u5{fill:#1f9e89}.u6{fill:#26828e}.u7{fill:#31688e}"
".u8{fill:#3e4989}.u9{fill:#482878}.u10{fill:#440154}\n"
"@media(prefers-color-scheme:dark){\n"
"text{fill:#e8edf2}.m,.s{fill:#aab7c4}.paper{fill:#14181d}"
"body{background:#14181d}.grid{stroke:#3e4c59}\n"
".reserved{fill:#323f4b}.cached{fill:#d39b22}.used{fill:#2f75b5}"
".asked{stroke:#fff}\n"
".u0{fill:#323f4b}.u1{fill:#440154}.u2{fill:#482878}.u3{fill:#3e4989}"
".u4{fill:#31688e}.u5{fill:#26828e}.u6{fill:#1f9e89}.u7{fill:#35b779}"
".u8{fill:#6ece58}.u9{fill:#b5de2b}.u10{fill:#fde725}}\n";

struct page {
	FILE *out;
	const struct picture *p;
	int width;
	double y;	  /* all above is done */
	double left, plot; /* where plots begin, and how wide they are */
	uint64_t span_ns; /* what plots show */
};

/* --- text ------------------------------------------------------------ */

/* How many characters of the text fit into a line of so many. */
static int line_length(const char *text, int most)
{
	const char *bytes, *at = text;
	int n = 0, space = 0;

	for (; *at && n <= most; n++) {
		if (*at == ' ')
			space = n;
		utf8_next(&at, &bytes);
	}
	return n <= most ? n : space ? space : most;
}

static void put_line(struct page *g, const char *class, double size,
		     const char *text, int n, bool is_cut)
{
	g->y += size * 1.35;
	fprintf(g->out, "<text class=\"%s\" x=\"%d\" y=\"%.1f\">", class,
		MARGIN, g->y);
	svg_text(g->out, text, n);
	fputs(is_cut ? "&#8230;</text>\n" : "</text>\n", g->out);
}

/* A paragraph, in as many lines as it takes, but LINES_MOST at most. */
static void put_text(struct page *g, const char *class, double size,
		     const char *text)
{
	int most = (int)((g->width - 2 * MARGIN) / (size * CHAR_WIDTH)) - 1;
	const char *bytes;

	for (int line = 1; *text && line <= LINES_MOST; line++) {
		int n = line_length(text, most);

		put_line(g, class, size, text, n, line == LINES_MOST &&
			 line_length(text, n + 1) > n);
		while (n--)
			utf8_next(&text, &bytes);
		while (*text == ' ')
			text++;
	}
}

static void put_heading(struct page *g, const char *text)
{
	g->y += 18;
	put_text(g, "h", 15, text);
}

/* Short and ASCII. */
static void put_at(struct page *g, const char *class, double x, double y,
		   const char *text)
{
	fprintf(g->out, "<text class=\"%s\" x=\"%.1f\" y=\"%.1f\">%s</text>\n",
		class, x, y, text);
}

/* --- axes ------------------------------------------------------------ */

/* To a whole number. */
static double round_up(double x)
{
	double whole = (double)(uint64_t)x;

	return whole < x ? whole + 1 : whole;
}

/* 1, 2, 5, 10 ...: the least that is not below; it is above 0. */
static double round_step(double least)
{
	double power = 1;

	while (power > least)
		power /= 10;
	while (power * 10 <= least)
		power *= 10;
	return least <= power ? power : least <= 2 * power ? 2 * power
		: least <= 5 * power ? 5 * power : 10 * power;
}

static const struct unit {
	double size;
	const char *name;
} times[] = {
	{ 1, "ns" }, { 1e3, "us" }, { 1e6, "ms" }, { 1e9, "s" },
}, sizes[] = {
	{ 1, "bytes" }, { 1024., "KiB" }, { 1048576., "MiB" },
	{ 1073741824., "GiB" }, { 1099511627776., "TiB" },
};

#define NTIMES (sizeof times / sizeof *times)
#define NSIZES (sizeof sizes / sizeof *sizes)

/* The largest in which this is a number that is not too small. */
static const struct unit *unit_for(const struct unit *units, size_t n,
				   double value)
{
	while (n > 1 && value < 2 * units[n - 1].size)
		n--;
	return &units[n - 1];
}

static void put_grid(struct page *g, double x1, double y1, double x2, double y2)
{
	fprintf(g->out, "<line class=\"grid\" x1=\"%.1f\" y1=\"%.1f\" "
		"x2=\"%.1f\" y2=\"%.1f\"/>", x1, y1, x2, y2);
}

/* Lines and numbers from 0 to `most`, which is at y. */
static void put_y_axis(struct page *g, double y, double height, double most,
		       double step, double unit)
{
	char text[32];

	for (double v = 0; v <= most * 1.0001; v += step) {
		double at = y + height - height * v / most;

		put_grid(g, g->left, at, g->left + g->plot, at);
		snprintf(text, sizeof text, "%g", v / unit);
		put_at(g, "s e", g->left - 6, at + 4, text);
	}
}

static double x_of(const struct page *g, double ns)
{
	return g->left + g->plot * ns / (double)g->span_ns;
}

/* Below a plot that ends at g->y. */
static void put_time_axis(struct page *g)
{
	double span = (double)g->span_ns;
	const struct unit *unit = unit_for(times, NTIMES, span);
	double step = round_step(span / g->plot * 70);
	char text[64];

	for (double t = 0; t <= span * 1.0001; t += step) {
		put_grid(g, x_of(g, t), g->y, x_of(g, t), g->y + 5);
		snprintf(text, sizeof text, "%g", t / unit->size);
		put_at(g, t + step / 2 > span && t > 0 ? "s e" : "s c",
		       x_of(g, t), g->y + 17, text);
	}
	snprintf(text, sizeof text, "time since the first event (%s)",
		 unit->name);
	put_at(g, "s c", g->left + g->plot / 2, g->y + 32, text);
	g->y += 36;
}

/* --- legends --------------------------------------------------------- */

/* What begins at *x, or on the next line. */
static void put_key(struct page *g, double *x, const char *class,
		    const char *text)
{
	double width = 26 + TEXT_SIZE * CHAR_WIDTH * (double)strlen(text);

	if (*x + width > g->width) {
		*x = MARGIN;
		g->y += 18;
	}
	if (strcmp(class, "asked"))
		fprintf(g->out, "<rect class=\"%s\" x=\"%.1f\" y=\"%.1f\" "
			"width=\"14\" height=\"12\"/>", class, *x, g->y + 3);
	else
		fprintf(g->out, "<path class=\"%s\" d=\"M%.1f %.1fh14\"/>",
			class, *x, g->y + 9);
	put_at(g, "m", *x + 19, g->y + 14, text);
	*x += width;
}

/* --- memory ---------------------------------------------------------- */

static double begin_of(const struct page *g, unsigned column)
{
	double ns = (double)g->p->column_ns * column;

	return ns < (double)g->span_ns ? ns : (double)g->span_ns;
}

/* What a layer shows of a moment; it is above those below. */
enum layer { RESERVED, TAKEN, USED, ASKED };

static uint64_t height_of(const struct moment *m, enum layer layer)
{
	uint64_t taken = add_u64(m->used, m->cached);

	switch (layer) {
	case RESERVED:
		return m->reserved > m->used ? m->reserved : m->used;
	case TAKEN:
		return taken < m->reserved ? taken : height_of(m, RESERVED);
	case USED:
		return m->used;
	default:
		return m->asked;
	}
}

static double most_bytes(const struct picture *p)
{
	uint64_t most = 1;

	for (unsigned i = 0; i < p->ncolumns; i++) {
		uint64_t n = height_of(&p->column[i], RESERVED);

		most = n > most ? n : most;
	}
	return (double)most;
}

/* An area, or a line. */
static void put_layer(struct page *g, enum layer layer, const char *class,
		      double y, double most)
{
	fprintf(g->out, "<path class=\"%s\" d=\"M%.1f %.1f", class, g->left,
		y + MEMORY_HEIGHT);
	for (unsigned i = 0; i < g->p->ncolumns; i++) {
		double v = (double)height_of(&g->p->column[i], layer);

		fprintf(g->out, "%c%.1fH%.1f", 'V',
			y + MEMORY_HEIGHT * (1 - v / most),
			x_of(g, begin_of(g, i + 1)));
	}
	if (layer != ASKED)
		fprintf(g->out, "V%.1fZ", y + MEMORY_HEIGHT);
	fputs("\"/>\n", g->out);
}

/* Numbers, where the pointer rests. */
static void put_moments(struct page *g, double y)
{
	for (unsigned i = 0; i < g->p->ncolumns; i++) {
		const struct moment *m = &g->p->column[i];
		double x = x_of(g, begin_of(g, i));

		fprintf(g->out, "<rect class=\"over\" x=\"%.1f\" y=\"%.1f\" "
			"width=\"%.1f\" height=\"%d\"><title>from %s: %s asked "
			"for in %" PRIu64 " pieces,", x, y,
			x_of(g, begin_of(g, i + 1)) - x, MEMORY_HEIGHT,
			in_time((uint64_t)begin_of(g, i)), in_bytes(m->asked),
			m->pieces);
		fprintf(g->out, " %s used,", in_bytes(m->used));
		if (g->p->knows_cached)
			fprintf(g->out, " %s cached,", in_bytes(m->cached));
		fprintf(g->out, " %s reserved</title></rect>\n",
			in_bytes(m->reserved));
	}
}

static void put_memory(struct page *g)
{
	double most = most_bytes(g->p), step, x = MARGIN;
	const struct unit *unit = unit_for(sizes, NSIZES, most);
	char text[64];

	step = unit->size * round_step(most / unit->size / 5);
	step = step < 1 ? 1 : step; /* byte */
	most = step * round_up(most / step);
	snprintf(text, sizeof text, "Memory over time (%s)", unit->name);
	put_heading(g, text);
	g->y += 4;
	put_key(g, &x, "asked", "asked for");
	put_key(g, &x, "used", "used: rounded to size classes");
	if (g->p->knows_cached)
		put_key(g, &x, "cached", "cached");
	put_key(g, &x, "reserved", "reserved, else free");
	g->y += 30;
	put_layer(g, RESERVED, "reserved", g->y, most);
	if (g->p->knows_cached)
		put_layer(g, TAKEN, "cached", g->y, most);
	put_layer(g, USED, "used", g->y, most);
	put_layer(g, ASKED, "asked", g->y, most);
	put_y_axis(g, g->y, MEMORY_HEIGHT, most, step, unit->size);
	put_moments(g, g->y);
	g->y += MEMORY_HEIGHT;
	put_time_axis(g);
}

/* --- chunks ---------------------------------------------------------- */

/* -1: nothing is mapped; 0: nothing is used. */
static int level_of(const struct cell *c)
{
	double part = c->size ? (double)c->used / (double)c->size : 0;

	if (!c->size)
		return -1;
	return part >= 1 ? LEVELS : (int)round_up(part * LEVELS);
}

static void put_level(struct page *g, int level, double row_height)
{
	bool is_open = false;

	for (unsigned row = 0; row < g->p->nrows; row++)
		for (unsigned i = 0, end; i < g->p->ncolumns; i = end) {
			const struct cell *c = g->p->heat[row];
			double x = x_of(g, begin_of(g, i));

			end = i + 1;
			if (level_of(&c[i]) != level)
				continue;
			while (end < g->p->ncolumns &&
			       level_of(&c[end]) == level)
				end++;
			if (!is_open)
				fprintf(g->out, "<path class=\"u%d\" d=\"",
					level);
			is_open = true;
			fprintf(g->out, "M%.1f %.1fH%.1fv%.2fH%.1fZ", x,
				g->y + row * row_height,
				x_of(g, begin_of(g, end)), row_height * .94,
				x);
		}
	if (is_open)
		fputs("\"/>\n", g->out);
}

static void put_scale(struct page *g)
{
	double x = MARGIN;

	put_at(g, "m", x, g->y + 14, "used: none");
	x += 80;
	for (int level = 0; level <= LEVELS; level++, x += 16)
		fprintf(g->out, "<rect class=\"u%d\" x=\"%.1f\" y=\"%.1f\" "
			"width=\"16\" height=\"12\"><title>%s%d "
			"%%</title></rect>\n", level, x, g->y + 3,
			level ? "up to " : "", level * 100 / LEVELS);
	put_at(g, "m", x + 8, g->y + 14, "all of it");
	g->y += 30;
}

static void put_chunks(struct page *g)
{
	const struct picture *p = g->p;
	double height = p->nrows ? (double)HEAT_HEIGHT / p->nrows : 0;
	unsigned step;
	char text[80];

	snprintf(text, sizeof text, p->lanes_a_row > 1
		 ? "Chunks over time: a row for %u of them"
		 : "Chunks over time: a row each", p->lanes_a_row);
	put_heading(g, text);
	g->y += 4;
	if (!p->nrows) {
		put_text(g, "m", TEXT_SIZE, "None was mapped.");
		return;
	}
	put_scale(g);
	height = height < ROW_HEIGHT ? height : ROW_HEIGHT;
	for (int level = 0; level <= LEVELS; level++)
		put_level(g, level, height);
	step = (unsigned)round_step(13 / height > 1 ? 13 / height : 1);
	for (unsigned row = 0; row < p->nrows; row += step) {
		snprintf(text, sizeof text, "%u", row * p->lanes_a_row);
		put_at(g, "s e", g->left - 6,
		       g->y + row * height + height / 2 + 4, text);
	}
	g->y += p->nrows * height;
	put_time_axis(g);
}

/* --- bars ------------------------------------------------------------ */

struct bars {
	const uint64_t *n, *bytes; /* [BUCKETS]; bytes: NULL, or of each */
	const char *what;	   /* of n */
	bool are_times;
	unsigned first, end;	   /* buckets with something in them */
};

static double share(const uint64_t *n, unsigned i)
{
	double all = 0;

	for (unsigned k = 0; k < BUCKETS; k++)
		all += (double)n[k];
	return all > 0 ? 100 * (double)n[i] / all : 0;
}

static void find_ends(struct bars *b)
{
	b->end = BUCKETS;
	while (b->first < BUCKETS && !b->n[b->first])
		b->first++;
	while (b->end > b->first && !b->n[b->end - 1])
		b->end--;
}

/* "64", "4K", "1.0us": the most that a bucket has. */
static void name_bucket(char *text, size_t size, const struct bars *b,
			unsigned i)
{
	static const char *const letters[] = { "", "K", "M", "G", "T", "P",
					       "E" };
	double value = (double)((uint64_t)1 << i);
	const struct unit *unit = &times[NTIMES - 1];

	if (!i) {
		snprintf(text, size, "0");
	} else if (b->are_times) {
		while (unit > times && value < unit->size)
			unit--;
		value /= unit->size;
		snprintf(text, size, value < 10 && unit > times
			 ? "%.1f%s" : "%.0f%s", value, unit->name);
	} else {
		snprintf(text, size, "%u%s", 1u << i % 10, letters[i / 10]);
	}
}

static void put_bar(struct page *g, const char *class, const struct bars *b,
		    const uint64_t *n, unsigned i, double x, double width,
		    double most)
{
	double height = BARS_HEIGHT * share(n, i) / most;
	char name[16];

	name_bucket(name, sizeof name, b, i);
	fprintf(g->out, "<rect class=\"%s\" x=\"%.1f\" y=\"%.2f\" "
		"width=\"%.1f\" height=\"%.2f\"><title>up to %s: %" PRIu64
		"%s, %.2f %%</title></rect>\n", class, x,
		g->y + BARS_HEIGHT - height, width, height, name, n[i],
		n == b->bytes ? " bytes" : "", share(n, i));
}

static void put_all_bars(struct page *g, const struct bars *b, double most)
{
	double slot = g->plot / (b->end - b->first);
	unsigned every = (unsigned)round_up(44 / slot);
	double width = (slot > 40 ? 40 : slot) * .8 / (b->bytes ? 2 : 1);
	char name[16];

	for (unsigned i = b->first; i < b->end; i++) {
		double middle = g->left + slot * (i - b->first + .5);

		put_bar(g, "used", b, b->n, i,
			middle - (b->bytes ? width : width / 2), width, most);
		if (b->bytes)
			put_bar(g, "cached", b, b->bytes, i, middle, width,
				most);
		if ((i - b->first) % every)
			continue;
		name_bucket(name, sizeof name, b, i);
		put_at(g, "s c", middle, g->y + BARS_HEIGHT + 16, name);
	}
}

static double larger(double a, double b)
{
	return a > b ? a : b;
}

static double most_share(const struct bars *b)
{
	double most = 0;

	for (unsigned i = b->first; i < b->end; i++) {
		most = larger(most, share(b->n, i));
		if (b->bytes)
			most = larger(most, share(b->bytes, i));
	}
	return most;
}

/* Ends at the same height whether there is something or not. */
static void put_histogram(struct page *g, struct bars *b)
{
	double x = g->left - LEFT + MARGIN, most, step;

	find_ends(b);
	g->y += 4;
	put_key(g, &x, "used", b->what);
	if (b->bytes)
		put_key(g, &x, "cached", "% of bytes");
	g->y += 30;
	if (b->end > b->first) {
		most = most_share(b);
		step = round_step(most / 4);
		most = step * round_up(most / step);
		put_y_axis(g, g->y, BARS_HEIGHT, most, step, 1);
		put_all_bars(g, b, most);
	} else {
		put_at(g, "m", g->left, g->y + 14, "none");
	}
	put_at(g, "s c", g->left + g->plot / 2, g->y + BARS_HEIGHT + 32,
	       b->are_times ? "from alloc to free, up to"
			    : "bytes, up to (K: 1024)");
	g->y += BARS_HEIGHT + 36;
}

/* Side by side, if there is room. */
static void put_histograms(struct page *g)
{
	struct bars asked = { g->p->sizes, g->p->size_bytes,
			      "% of allocations", false, 0, 0 };
	struct bars lives = { g->p->lifetimes, NULL, "% of frees", true, 0,
			      0 };
	struct page half = *g;

	if (g->width >= NARROW)
		half.plot = (g->width - 2 * LEFT - 3 * MARGIN) / 2.;
	put_heading(&half, "Sizes asked for");
	put_histogram(&half, &asked);
	if (g->width >= NARROW) {
		half.left = g->width - MARGIN - half.plot;
		half.y = g->y + 18 + 15 * 1.35;
		put_at(&half, "h", half.left - LEFT + MARGIN, half.y,
		       "Lifetimes of what was freed");
	} else {
		put_heading(&half, "Lifetimes of what was freed");
	}
	put_histogram(&half, &lives);
	g->y = half.y;
}

/* --- words ----------------------------------------------------------- */

static void put_format(struct page *g, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static void put_format(struct page *g, const char *fmt, ...)
{
	va_list ap;
	char *text;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		give_up(EXIT_SELF, "out of memory");
	va_end(ap);
	put_text(g, "m", TEXT_SIZE, text);
	free(text);
}

static void put_head(struct page *g)
{
	const struct picture *p = g->p;

	put_text(g, "t", 18, p->command && *p->command ? p->command : p->name);
	put_format(g, "%s%s%s; %s; %" PRIu64 " events, %" PRIu64 " lost "
		   "(%.3f %%)", p->name, p->began ? ", began " : "",
		   p->began ? p->began : "", in_time(p->span_ns), p->events,
		   p->lost, p->lost ? 100. * (double)p->lost /
		   ((double)p->lost + (double)p->events) : 0);
	put_format(g, "peak: %s asked for, %s used, in %" PRIu64 " pieces, at "
		   "%s; %" PRIu64 " chunk%s", in_bytes(p->peak.asked),
		   in_bytes(p->peak.used), p->peak.pieces,
		   in_time(p->peak_ns), p->nchunks, p->nchunks == 1 ? "" : "s");
}

static void put_notes(struct page *g)
{
	const struct picture *p = g->p;
	bool is_part = p->size_min || p->size_max < UINT64_MAX;

	g->y += 14;
	if (!p->is_whole)
		put_format(g, "The recording was cut off: the picture ends "
			   "where it ends.");
	if (p->lost)
		put_format(g, "Events were lost: pieces that were freed then "
			   "seem to live, until others lie in their places.");
	if (is_part)
		put_format(g, "Only pieces of %" PRIu64 " to %" PRIu64
			   " bytes were recorded.", p->size_min, p->size_max);
	if (p->strangers)
		put_format(g, "%" PRIu64 " pieces were freed that the "
			   "recording did not see born.", p->strangers);
	if (!p->knows_cached)
		put_format(g, "What is cached is not shown: the recording does "
			   "not say it.");
	else if (is_part || p->strangers)
		put_format(g, "What was not recorded counts as cached.");
	put_format(g, "Memory is shown as it was when most was used in each "
		   "%s; chunks as they were at its end. A huge block has no "
		   "row.", in_time(p->column_ns));
}

/* --- the whole ------------------------------------------------------- */

static void put_all(struct page *g)
{
	put_head(g);
	if (g->p->events) {
		put_memory(g);
		put_chunks(g);
		put_histograms(g);
		put_notes(g);
	} else {
		put_format(g, "There are no events in it.");
	}
	g->y += MARGIN;
}

void picture_print(FILE *out, const struct picture *p, const char *class,
		   int width, const char *style)
{
	char *text;
	size_t size;
	struct page g = { .out = open_text(&text, &size), .p = p,
			  .width = width, .y = MARGIN, .left = LEFT,
			  .plot = width - LEFT - 2 * MARGIN,
			  .span_ns = p->span_ns ? p->span_ns : p->column_ns };

	put_all(&g);
	fclose(g.out);
	svg_open(out, class, width, g.y);
	fputs(style, out);
	fputs("<rect class=\"paper\" width=\"100%\" height=\"100%\"/>\n", out);
	fwrite(text, 1, size, out);
	svg_end(out);
	free(text);
}
