/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * trace-read: a text trace, line by line, each cut into fields.
 *
 *	buffer  |...done...|a B 8192\0f B\0...|not read yet|
 *	                    ^ line            ^ end
 *
 * The file is read in large pieces into one buffer, which grows only for a line
 * that does not fit. A line is cut where it lies: its fields are good until
 * the next one is asked for.
 */
#ifndef NP_TOOLS_TRACE_READ_H
#define NP_TOOLS_TRACE_READ_H

#include <stdbool.h>
#include <stddef.h>

#define TRACE_FIELDS_MAX 4 /* more are not kept, but counted as one more */

struct trace {
	const char *name;	/* in messages */
	unsigned long line;	/* of the last that was read, from 1 */
	char *field[TRACE_FIELDS_MAX + 1];
	int nfields;		/* not 0, but after the last line */
	char *text;		/* the line as it was, if keep_text */
	bool keep_text;
	/* The reader's own. */
	int fd;
	int error;		/* errno of a read that failed, or 0 */
	bool has_nul;		/* there may be one in the buffer */
	bool is_over;		/* nothing more to read */
	char *buffer;
	size_t room, line_at, end;
	size_t text_room;
};

enum trace_result {
	TRACE_LINE,  /* nfields fields */
	TRACE_END,
	TRACE_NUL,   /* the line holds a NUL byte */
	TRACE_ERROR, /* error says why */
};

/* Begins to read fd, which stays the caller's. */
void trace_open(struct trace *trace, int fd, const char *name);

/* The next line that is neither blank nor a remark. */
enum trace_result trace_next(struct trace *trace);

void trace_close(struct trace *trace);

#endif
