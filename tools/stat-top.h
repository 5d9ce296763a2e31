/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * top: a screen that shows a report, looks again each interval, and takes keys.
 *
 *	stat-top.c	terminal, keys, bars, the loop
 *	stat-lines.c	lines of the table below the bars
 *
 *	report now  --+
 *	report before-+-> lines: a label and values --sort--> screen
 *
 * What is counted is told as a rate: what came between two reports. A row of
 * the one is found in the other by what it is of, not by its place.
 */
#ifndef NP_TOOLS_STAT_TOP_H
#define NP_TOOLS_STAT_TOP_H

#include "stat.h"

#define VALUES_MAX 6

enum shape { AS_COUNT, AS_BYTES, AS_PERMILLE };

struct column {
	const char *title;
	enum shape shape;
};

struct line {
	char label[64];
	uint64_t values[VALUES_MAX];
};

struct moment {
	struct report report;
	uint64_t ms; /* CLOCK_MONOTONIC */
};

struct lines {
	struct line *row;
	size_t n;
};

/* before: NULL at the first look. Fills all of lines. */
typedef void fill_lines(struct lines *lines, const struct moment *now,
			const struct moment *before);

/* A table. */
struct pane {
	int key; /* that shows it */
	const char *name, *label;
	struct column columns[VALUES_MAX];
	size_t ncolumns;
	fill_lines *fill;
};

extern const struct pane panes[];
extern const size_t npanes;

/* By a column, the largest first or, reverse, last. */
void lines_sort(struct lines *lines, size_t column, bool reverse);

/* What a figure grew by each second; 0 if it shrank or there is no before. */
uint64_t rate_of(const struct moment *now, const struct moment *before,
		 uint64_t value, uint64_t old);

/* Into tenths of a percent; 0 of nothing. */
uint64_t permille(uint64_t part, uint64_t whole);

#endif
