/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * svg: see svg.h.
 */
#include "svg.h"

#include <stdint.h>
#include <string.h>

static const char style[] =
"<style>\n"
"text{font-family:'DejaVu Sans','Segoe UI',Helvetica,Arial,sans-serif;"
"font-size:12px;fill:#1f2933}\n"
".t{font-size:20px;font-weight:600}\n"
".h{font-size:15px;font-weight:600}\n"
".m{fill:#5f6c7a}\n"
".s{font-size:10px;fill:#7a8794;text-anchor:end}\n"
".c{text-anchor:middle}\n"
".v{font-size:11px;text-anchor:middle}\n"
".f{fill:#e8ecf0}\n"
".r0{fill:#3a78b8}\n"
".r1{fill:#4a88c4}\n"
".rt{fill:#fff;text-anchor:middle}\n"
".b{fill:#fdeccb;stroke:#d9a441;stroke-width:.8}\n"
".k{fill:#efa72e}\n"
".bt{fill:#553a05;text-anchor:middle}\n"
".nf{fill:#cdebd5;stroke:#fff}\n"
".np{fill:#f1f4da;stroke:#fff}\n"
".nn{fill:#c3cad3;stroke:#fff}\n"
".old{opacity:.3}\n";

/* Hues go round by steps that are far apart, so that neighbours in size differ;
 * blue is left to the runs. */
static const int hues[SVG_SIZES] = {
	40, 130, 0, 280, 80, 170, 320, 20, 150, 300, 60, 345,
};

static void put_sizes(FILE *out)
{
	for (int i = 0; i < SVG_SIZES; i++)
		fprintf(out, ".q%d{fill:hsl(%d,62%%,52%%)}"
			".q%d.e{fill:hsl(%d,55%%,88%%)}\n", i, hues[i], i,
			hues[i]);
}

void svg_open(FILE *out, const char *class, int width, double height)
{
	fprintf(out, "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"%s\" "
		"width=\"%d\" height=\"%.0f\" viewBox=\"0 0 %d %.0f\">\n",
		class, width, height, width, height);
}

void svg_begin(FILE *out, int width, double height)
{
	fputs(SVG_XML, out);
	svg_open(out, "chunks", width, height);
	fputs(style, out);
	put_sizes(out);
	fputs("</style>\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>"
	      "\n", out);
}

void svg_end(FILE *out)
{
	fputs("</svg>\n", out);
}

void svg_box(FILE *out, const char *class, const struct svg_box *b)
{
	fprintf(out, "<rect class=\"%s\" x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" "
		"height=\"%.2f\" rx=\"2\"/>", class, b->x, b->y, b->width,
		b->height);
}

/* --- text ------------------------------------------------------------- */

int utf8_next(const char **text, const char **bytes)
{
	const unsigned char *p = (const unsigned char *)*text;
	uint32_t c = *p, least;
	int n = c < 0x80 ? 1 : c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3
		: c < 0xf5 ? 4 : 0;

	if (!c)
		return 0;
	*bytes = *text;
	*text += 1;
	if (n == 1)
		return c < ' ' || c == 0x7f ? -1 : 1;
	if (!n)
		return -1;
	least = n == 2 ? 0x80 : n == 3 ? 0x800 : 0x10000;
	c &= 0x7fu >> n;
	for (int i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return -1;
		c = c << 6 | (p[i] & 0x3f);
	}
	/* Controls, surrogates, and what is no character of XML. */
	if (c < least || c < 0xa0 || c > 0x10ffff ||
	    (c >= 0xd800 && c < 0xe000) || (c & 0xfffe) == 0xfffe)
		return -1;
	*text += n - 1;
	return n;
}

int svg_text(FILE *out, const char *text, int most)
{
	const char *bytes;
	int n, count = 0;

	while (count < most && (n = utf8_next(&text, &bytes)) != 0) {
		count++;
		if (n < 0)
			fputs("&#xfffd;", out);
		else if (strchr("<&>", *bytes))
			fprintf(out, "&#%d;", *bytes);
		else
			fwrite(bytes, 1, (size_t)n, out);
	}
	return count;
}
