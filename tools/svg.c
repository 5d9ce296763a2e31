/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * svg: see svg.h.
 */
#include "svg.h"

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

void svg_begin(FILE *out, int width, double height)
{
	fprintf(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
		"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" "
		"height=\"%.0f\" viewBox=\"0 0 %d %.0f\">\n", width, height,
		width, height);
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

void svg_text(FILE *out, const char *text)
{
	for (; *text; text++)
		if (*text == '<' || *text == '&' || *text == '>')
			fprintf(out, "&#%d;", *text);
		else
			fputc(*text, out);
}
