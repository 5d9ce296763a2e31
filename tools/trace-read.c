/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * trace-read: see trace-read.h.
 */
#include "trace-read.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h> /* read */

#define ROOM ((size_t)256 << 10)

void trace_open(struct trace *t, int fd, const char *name)
{
	*t = (struct trace){ .fd = fd, .name = name };
}

void trace_close(struct trace *t)
{
	free(t->buffer);
	free(t->text);
}

/* Makes room behind the line that has begun, for at least one byte and the one
 * that ends it. Returns whether it could. */
static bool make_room(struct trace *t)
{
	size_t room = t->room ? t->room : ROOM;
	char *more;

	if (t->line_at) {
		t->end -= t->line_at;
		memmove(t->buffer, t->buffer + t->line_at, t->end);
		t->line_at = 0;
	}
	if (t->end + 2 > room / 2)
		room *= 2;
	if (room == t->room)
		return true;
	more = realloc(t->buffer, room);
	if (!more)
		return false;
	t->buffer = more;
	t->room = room;
	return true;
}

/* Reads what comes next. Returns whether anything did. */
static bool fill(struct trace *t)
{
	ssize_t n = -1;

	if (t->is_over)
		return false;
	if (!make_room(t)) {
		t->error = ENOMEM;
		return false;
	}
	do
		n = read(t->fd, t->buffer + t->end, t->room - 1 - t->end);
	while (n < 0 && errno == EINTR);
	if (n <= 0) {
		t->error = n ? errno : 0;
		t->is_over = true;
		return false;
	}
	if (memchr(t->buffer + t->end, 0, (size_t)n))
		t->has_nul = true;
	t->end += (size_t)n;
	return true;
}

/* The next line, ended by NUL, without its newline; NULL: there is none. */
static char *next_line(struct trace *t, size_t *size)
{
	size_t seen = 0;
	char *start, *newline;

	for (;;) {
		start = t->buffer ? t->buffer + t->line_at : NULL;
		newline = start ? memchr(start + seen, '\n',
					 t->end - t->line_at - seen) : NULL;
		if (newline)
			break;
		seen = t->end - t->line_at;
		if (fill(t))
			continue;
		if (t->error || !seen)
			return NULL;
		newline = t->buffer + t->end; /* the last one has no end */
		break;
	}
	start = t->buffer + t->line_at;
	*size = (size_t)(newline - start);
	*newline = '\0';
	t->line_at += *size + (t->line_at + *size < t->end);
	t->line++;
	return start;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static void cut(struct trace *t, char *p)
{
	t->nfields = 0;
	while (t->nfields <= TRACE_FIELDS_MAX) {
		while (is_blank(*p))
			p++;
		if (!*p)
			return;
		t->field[t->nfields++] = p;
		while (*p && !is_blank(*p))
			p++;
		if (*p)
			*p++ = '\0';
	}
}

static bool keep(struct trace *t, const char *line, size_t size)
{
	char *more = t->text;

	if (size + 1 > t->text_room)
		more = realloc(t->text, size + 1);
	if (!more)
		return false;
	if (size + 1 > t->text_room)
		t->text_room = size + 1;
	t->text = memcpy(more, line, size + 1);
	return true;
}

enum trace_result trace_next(struct trace *t)
{
	size_t size = 0;
	char *line;

	t->nfields = 0;
	while ((line = next_line(t, &size))) {
		if (t->has_nul && strlen(line) != size)
			return TRACE_NUL;
		if (*line == '#')
			continue;
		if (t->keep_text && !keep(t, line, size)) {
			t->error = ENOMEM;
			return TRACE_ERROR;
		}
		cut(t, line);
		if (t->nfields)
			return TRACE_LINE;
	}
	return t->error ? TRACE_ERROR : TRACE_END;
}
