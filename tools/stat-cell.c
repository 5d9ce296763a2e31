/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * cells: figures as people read them.
 *
 * Sizes have three digits and a unit of 1024 (KiB, MiB ...). Counts are exact
 * up to seven digits and then have three and a unit of 1000 (k, M, G ...).
 * What is not known is "-". Names are cut in their middle: "connecti..s-node1".
 */
#include "stat.h"

#include <inttypes.h>
#include <string.h>

#define EXACT_MAX 9999999
#define LABEL_WIDTH 12 /* of wrapped text, with the blanks before it */

/* Three digits and a unit. */
static const char *scaled(cell to, uint64_t value, double step,
			  const char *const *units)
{
	double v = (double)value;

	while (v >= 999.5 && units[1]) {
		v /= step;
		units++;
	}
	/* Between 999.5 and 1023 of a unit of 1024 is below 1 of the next. */
	snprintf(to, sizeof(cell), "%.*f %s",
		 v < 9.995 ? 2 : v < 99.95 ? 1 : 0, v, *units);
	return to;
}

const char *show_bytes(cell to, uint64_t n)
{
	static const char *const units[] = {
		"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", NULL,
	};

	if (n < 1000)
		return snprintf(to, sizeof(cell), "%" PRIu64 " B", n), to;
	return scaled(to, n, 1024, units);
}

const char *show_count(cell to, uint64_t n)
{
	static const char *const units[] = {
		"", "k", "M", "G", "T", "P", "E", NULL,
	};

	if (n <= EXACT_MAX)
		return snprintf(to, sizeof(cell), "%" PRIu64, n), to;
	return scaled(to, n, 1000, units);
}

const char *show_percent(cell to, uint64_t part, uint64_t whole)
{
	double share = whole ? (double)part / (double)whole * 100 : 0;

	if (!whole)
		return "-";
	/* All, and only all, is 100 %. */
	if (part < whole && share > 99.9)
		share = 99.9;
	snprintf(to, sizeof(cell), "%.1f%%", share);
	return to;
}

const char *show_node(cell to, int64_t node)
{
	if (node < 0)
		return "-";
	snprintf(to, sizeof(cell), "%" PRId64, node);
	return to;
}

const char *show_seconds(cell to, uint64_t ms)
{
	uint64_t s = ms / 1000;
	cell days;

	if (s < 600)
		snprintf(to, sizeof(cell), "%" PRIu64 ".%u s", s,
			 (unsigned)(ms % 1000 / 100));
	else if (s < 100 * 60)
		snprintf(to, sizeof(cell), "%" PRIu64 " min", s / 60);
	else if (s < 100 * 3600)
		snprintf(to, sizeof(cell), "%" PRIu64 " h", s / 3600);
	else
		snprintf(to, sizeof(cell), "%s d", show_count(days, s / 86400));
	return to;
}

const char *show_name(cell to, const char *name, size_t width)
{
	size_t length = strlen(name), tail = (width - 2) / 2;

	if (length <= width)
		snprintf(to, sizeof(cell), "%s", name);
	else
		snprintf(to, sizeof(cell), "%.*s..%s", (int)(width - 2 - tail),
			 name, name + length - tail);
	return to;
}

/* How much of the text stands in a line of `room` columns. */
static size_t fitting(const char *text, size_t room)
{
	size_t n = strlen(text);

	if (n <= room)
		return n;
	for (const char *sign = ", "; *sign; sign++)
		for (n = room; n; n--)
			if (text[n - 1] == *sign)
				return n;
	return room;
}

void text_print_wrapped(FILE *out, const char *label, const char *text)
{
	while (*text) {
		size_t n = fitting(text, LINE_WIDTH - LABEL_WIDTH);

		fprintf(out, "  %-*s%.*s\n", LABEL_WIDTH - 2, label, (int)n,
			text);
		label = "";
		text += n;
		text += strspn(text, " ");
	}
}
