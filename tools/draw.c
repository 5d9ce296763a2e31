/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * draw: see draw.h. A page of HTML has the picture twice, wide and narrow, and
 * shows the one that fits: text stays legible, and no script is needed.
 */
#include "draw.h"
#include "report.h"
#include "svg.h"
#include "tool.h"

#include <errno.h>
#include <limits.h> /* INT_MAX */
#include <stdlib.h>
#include <string.h>

#define WIDE 1000     /* px */
#define NARROW 400
#define NARROW_COLUMNS 200

static bool ends_with(const char *path, const char *end)
{
	size_t n = strlen(path), k = strlen(end);

	return n > k && !strcmp(path + n - k, end);
}

bool draw_knows(const char *path)
{
	return ends_with(path, ".svg") || ends_with(path, ".html");
}

static void print_svg(FILE *out, const struct picture *p)
{
	char *style = format_text("<style>%s</style>\n", picture_style);

	fputs(SVG_XML, out);
	picture_print(out, p, "wide", WIDE, style);
	free(style);
}

static void print_html(FILE *out, struct picture *p)
{
	fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n"
	      "<meta charset=\"utf-8\">\n"
	      "<meta name=\"viewport\" content=\"width=device-width\">\n"
	      "<meta name=\"color-scheme\" content=\"light dark\">\n<title>",
	      out);
	svg_text(out, p->command && *p->command ? p->command : p->name,
		 INT_MAX);
	fputs("</title>\n<style>\n", out);
	fputs(picture_style, out);
	fprintf(out, "svg{display:block;max-width:100%%;height:auto;"
		"margin:0 auto}\n.narrow{display:none}\n"
		"@media(max-width:%dpx){.wide{display:none}"
		".narrow{display:block}}\n</style>\n</head>\n<body>\n",
		WIDE * 4 / 5);
	picture_print(out, p, "wide", WIDE, "");
	while (p->ncolumns > NARROW_COLUMNS)
		picture_halve(p);
	picture_print(out, p, "narrow", NARROW, "");
	fputs("</body>\n</html>\n", out);
}

static int write_picture(struct picture *p, const char *path)
{
	FILE *out = fopen(path, "we");
	bool failed;

	if (out) {
		if (ends_with(path, ".svg"))
			print_svg(out, p);
		else
			print_html(out, p);
		failed = ferror(out);
		if (fclose(out) == 0 && !failed)
			return READ_OK;
	}
	complain("%s: %s", path, strerror(errno));
	return READ_FAILED;
}

/* Of a file that is damaged what stands before that is drawn; of one that is no
 * recording nothing. */
int draw(int fd, const char *name, const char *path)
{
	struct picture *p = get_memory(1, sizeof *p);
	struct reader *r = reader_open(fd, name);
	int code, written = READ_OK;

	p->name = name;
	picture_read(p, r);
	code = read_result(r);
	if (code == READ_OK || p->events)
		written = write_picture(p, path);
	picture_free(p);
	free(p);
	reader_close(r);
	return code == READ_OK ? written : code;
}
