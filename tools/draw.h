/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * draw: npool-trace draw: a recording as a picture of its whole time.
 *
 *	events --picture_read--> struct picture --picture_print--> SVG
 *
 * A picture is of one size, whatever was recorded: when there are more columns
 * (intervals of time), every two become one; when there are more rows of
 * chunks, each row is for twice as many. So one pass over the events makes it,
 * in the memory that the pieces alive need.
 *
 * A chunk has a lane from its MAP to its UNMAP, the lowest that is free; a row
 * is a lane, or 2, 4, 8 ... neighbours.
 */
#ifndef NP_TOOLS_DRAW_H
#define NP_TOOLS_DRAW_H

#include "lives.h"

#include <stdio.h>

#define PICTURE_COLUMNS 400
#define PICTURE_ROWS 64

/* All pools at a moment, in bytes. */
struct moment {
	uint64_t asked, used, cached, reserved;
	uint64_t pieces;
};

/* Chunks of a row, in bytes. */
struct cell {
	uint64_t used, size;
};

struct picture {
	const char *name;	/* of the file */
	char *command, *began;	/* as it says; NULL: it does not */
	uint64_t size_min, size_max; /* of pieces that were recorded */
	uint64_t span_ns, events, lost;
	uint64_t strangers;	/* frees of pieces that nobody saw born */
	bool is_whole, knows_cached;
	struct moment peak;	/* when most was asked for */
	uint64_t peak_ns;
	unsigned ncolumns, nrows, lanes_a_row;
	uint64_t column_ns;	/* an interval; the last may be shorter */
	struct moment column[PICTURE_COLUMNS]; /* when most was used in it */
	struct cell heat[PICTURE_ROWS][PICTURE_COLUMNS]; /* at its end */
	uint64_t nchunks;	/* that were mapped */
	uint64_t sizes[BUCKETS], size_bytes[BUCKETS], lifetimes[BUCKETS];
};

/* Fills in all but the name, up to the end of what can be read. */
void picture_read(struct picture *p, struct reader *reader);
void picture_free(struct picture *p);

/* Half as many columns. */
void picture_halve(struct picture *p);

/* The element svg, of this class and width (px): as high as it needs to be.
 * style: stands in it first; "" for none. */
void picture_print(FILE *out, const struct picture *p, const char *class,
		   int width, const char *style);

extern const char picture_style[];

/* Draws the recording in fd into a file that ends in .svg or .html. name: in
 * messages. Returns an exit code. */
int draw(int fd, const char *name, const char *path);

/* Can it draw a file of this name? */
bool draw_knows(const char *path);

#endif
