/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * bufdata: what is done to the bytes of a buffer (buf.h): copied in and out,
 * as numbers, searched, compared, printed. All of it goes from span to span.
 */
#include "buf.h"

#include <errno.h>
#include <stdio.h> /* snprintf */
#include <string.h>

/* --- bytes ------------------------------------------------------------ */

/* The n bytes are there. */
static void copy_out(const npool_buf_t *b, size_t index, uint8_t *to, size_t n)
{
	while (n) {
		size_t some = n;
		const uint8_t *p = np_buf_span(b, index, &some);

		memcpy(to, p, some);
		to += some, index += some, n -= some;
	}
}

static void copy_in(npool_buf_t *b, size_t index, const uint8_t *from,
		    size_t n)
{
	while (n) {
		size_t some = n;
		uint8_t *p = np_buf_span(b, index, &some);

		memcpy(p, from, some);
		from += some, index += some, n -= some;
	}
}

/* May n bytes be read? A view's root may have shrunk. */
static bool can_read(const npool_buf_t *b, size_t n)
{
	return n <= npool_buf_readable(b) && np_buf_has(b, b->reader, n);
}

/* Makes room for n bytes to be written. */
static int make_room(npool_buf_t *b, size_t n)
{
	int error = npool_buf_ensure_writable(b, n);

	if (!error && !np_buf_has(b, b->writer, n))
		error = ERANGE;
	return error;
}

int npool_buf_get(const npool_buf_t *buf, size_t index, void *bytes, size_t n)
{
	NP_BUF_CHECK(buf);
	if (!np_buf_has(buf, index, n))
		return ERANGE;
	copy_out(buf, index, bytes, n);
	return 0;
}

int npool_buf_set(npool_buf_t *buf, size_t index, const void *bytes, size_t n)
{
	NP_BUF_CHECK(buf);
	if (!np_buf_has(buf, index, n))
		return ERANGE;
	copy_in(buf, index, bytes, n);
	return 0;
}

int npool_buf_read(npool_buf_t *buf, void *bytes, size_t n)
{
	NP_BUF_CHECK(buf);
	if (!can_read(buf, n))
		return ERANGE;
	copy_out(buf, buf->reader, bytes, n);
	buf->reader += (uint32_t)n;
	return 0;
}

int npool_buf_write(npool_buf_t *buf, const void *bytes, size_t n)
{
	int error = make_room(buf, n);

	if (error)
		return error;
	copy_in(buf, buf->writer, bytes, n);
	buf->writer += (uint32_t)n;
	return 0;
}

int npool_buf_write_from(npool_buf_t *buf, npool_buf_t *from, size_t n)
{
	int error;

	NP_BUF_CHECK(from);
	error = can_read(from, n) ? make_room(buf, n) : ERANGE;
	if (error)
		return error;
	while (n) {
		size_t some = n;
		const uint8_t *p = np_buf_span(from, from->reader, &some);

		copy_in(buf, buf->writer, p, some);
		buf->writer += (uint32_t)some;
		from->reader += (uint32_t)some;
		n -= some;
	}
	return 0;
}

/* --- numbers ---------------------------------------------------------- */

#define NUMBER_BYTES 8u

/* Byte i of a number, counted from the lowest, is at this place. */
static unsigned place(unsigned i, unsigned nbytes, bool big)
{
	return big ? nbytes - 1 - i : i;
}

static uint64_t decode(const uint8_t *p, unsigned nbytes, bool big)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < nbytes; i++)
		value |= (uint64_t)p[place(i, nbytes, big)] << 8 * i;
	return value;
}

static void encode(uint8_t *p, unsigned nbytes, bool big, uint64_t value)
{
	for (unsigned i = 0; i < nbytes; i++)
		p[place(i, nbytes, big)] = (uint8_t)(value >> 8 * i);
}

static bool is_width(unsigned nbytes)
{
	return nbytes - 1 < NUMBER_BYTES;
}

static int get_number(const npool_buf_t *b, size_t index, unsigned nbytes,
		      bool big, uint64_t *value)
{
	uint8_t raw[NUMBER_BYTES];

	if (!is_width(nbytes))
		return EINVAL;
	if (!np_buf_has(b, index, nbytes))
		return ERANGE;
	copy_out(b, index, raw, nbytes);
	*value = decode(raw, nbytes, big);
	return 0;
}

static int set_number(npool_buf_t *b, size_t index, unsigned nbytes, bool big,
		      uint64_t value)
{
	uint8_t raw[NUMBER_BYTES];

	if (!is_width(nbytes))
		return EINVAL;
	if (!np_buf_has(b, index, nbytes))
		return ERANGE;
	encode(raw, nbytes, big, value);
	copy_in(b, index, raw, nbytes);
	return 0;
}

static int read_number(npool_buf_t *b, unsigned nbytes, bool big,
		       uint64_t *value)
{
	int error = is_width(nbytes) && nbytes > npool_buf_readable(b)
		? ERANGE : get_number(b, b->reader, nbytes, big, value);

	if (!error)
		b->reader += nbytes;
	return error;
}

static int write_number(npool_buf_t *b, unsigned nbytes, bool big,
			uint64_t value)
{
	int error = is_width(nbytes) ? npool_buf_ensure_writable(b, nbytes)
				     : EINVAL;

	if (!error)
		error = set_number(b, b->writer, nbytes, big, value);
	if (!error)
		b->writer += nbytes;
	return error;
}

int npool_buf_get_be(const npool_buf_t *buf, size_t index, unsigned nbytes,
		     uint64_t *value)
{
	NP_BUF_CHECK(buf);
	return get_number(buf, index, nbytes, true, value);
}

int npool_buf_get_le(const npool_buf_t *buf, size_t index, unsigned nbytes,
		     uint64_t *value)
{
	NP_BUF_CHECK(buf);
	return get_number(buf, index, nbytes, false, value);
}

int npool_buf_set_be(npool_buf_t *buf, size_t index, unsigned nbytes,
		     uint64_t value)
{
	NP_BUF_CHECK(buf);
	return set_number(buf, index, nbytes, true, value);
}

int npool_buf_set_le(npool_buf_t *buf, size_t index, unsigned nbytes,
		     uint64_t value)
{
	NP_BUF_CHECK(buf);
	return set_number(buf, index, nbytes, false, value);
}

int npool_buf_read_be(npool_buf_t *buf, unsigned nbytes, uint64_t *value)
{
	NP_BUF_CHECK(buf);
	return read_number(buf, nbytes, true, value);
}

int npool_buf_read_le(npool_buf_t *buf, unsigned nbytes, uint64_t *value)
{
	NP_BUF_CHECK(buf);
	return read_number(buf, nbytes, false, value);
}

int npool_buf_write_be(npool_buf_t *buf, unsigned nbytes, uint64_t value)
{
	NP_BUF_CHECK(buf);
	return write_number(buf, nbytes, true, value);
}

int npool_buf_write_le(npool_buf_t *buf, unsigned nbytes, uint64_t value)
{
	NP_BUF_CHECK(buf);
	return write_number(buf, nbytes, false, value);
}

/* --- looking ---------------------------------------------------------- */

void *npool_buf_at(const npool_buf_t *buf, size_t index, size_t n)
{
	size_t span;
	void *p;

	NP_BUF_CHECK(buf);
	if (!np_buf_has(buf, index, n))
		return errno = ERANGE, NULL;
	span = n;
	p = n ? np_buf_span(buf, index, &span) : NULL;
	return span < n ? (errno = EXDEV, NULL) : p;
}

static ptrdiff_t find_first(const npool_buf_t *b, size_t from, size_t to,
			    int byte)
{
	while (from < to) {
		size_t some = to - from;
		const uint8_t *p = np_buf_span(b, from, &some);
		const uint8_t *found = memchr(p, byte, some);

		if (found)
			return (ptrdiff_t)from + (found - p);
		from += some;
	}
	return -1;
}

static ptrdiff_t find_last(const npool_buf_t *b, size_t from, size_t to,
			   int byte)
{
	ptrdiff_t last = -1;

	while (from < to) {
		size_t some = to - from;
		const uint8_t *p = np_buf_span(b, from, &some);
		const uint8_t *found = memrchr(p, byte, some);

		if (found)
			last = (ptrdiff_t)from + (found - p);
		from += some;
	}
	return last;
}

ptrdiff_t npool_buf_index_of(const npool_buf_t *buf, size_t from, size_t to,
			     unsigned char byte)
{
	bool down = from > to;
	size_t low = down ? to : from, high = down ? from : to;
	ptrdiff_t found;

	NP_BUF_CHECK(buf);
	if (!np_buf_has(buf, low, high - low))
		return errno = ERANGE, -1;
	found = down ? find_last(buf, low, high, byte)
		     : find_first(buf, low, high, byte);
	if (found < 0)
		errno = ENOENT;
	return found;
}

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* What of its readable bytes is there: a view's root may have shrunk. */
static size_t there(const npool_buf_t *b)
{
	size_t skipped = b->reader + (np_buf_is_view(b) ? b->offset : 0);
	size_t capacity = np_buf_root(b)->capacity;
	size_t n = least(npool_buf_readable(b),
			 capacity - least(skipped, capacity));

	return np_buf_has(b, b->reader, n) ? n : 0;
}

int npool_buf_compare(const npool_buf_t *a, const npool_buf_t *b)
{
	size_t left, na, nb;

	NP_BUF_CHECK(a);
	NP_BUF_CHECK(b);
	na = there(a);
	nb = there(b);
	left = least(na, nb);
	for (size_t done = 0, some; done < left; done += some) {
		size_t some_a = left - done, some_b = left - done;
		const uint8_t *pa = np_buf_span(a, a->reader + done, &some_a);
		const uint8_t *pb = np_buf_span(b, b->reader + done, &some_b);
		int order;

		some = least(some_a, some_b);
		order = memcmp(pa, pb, some);
		if (order)
			return order;
	}
	return (na > nb) - (na < nb);
}

/* --- for people ------------------------------------------------------- */

#define LINE_BYTES 16
#define LINE_MAX_TEXT 80

/* One line: "00000010  68 65 6c ...  |hel|". Returns its length. */
static size_t dump_line(char *line, size_t index, const uint8_t *p, size_t n)
{
	size_t at = (size_t)snprintf(line, LINE_MAX_TEXT, "%08zx ", index);

	for (size_t i = 0; i < LINE_BYTES; i++)
		at += (size_t)snprintf(line + at, LINE_MAX_TEXT - at,
				       i < n ? " %02x" : "   ",
				       i < n ? p[i] : 0);
	at += (size_t)snprintf(line + at, LINE_MAX_TEXT - at, "  |");
	for (size_t i = 0; i < n; i++)
		line[at++] = p[i] >= ' ' && p[i] < 0x7f ? (char)p[i] : '.';
	line[at++] = '|';
	line[at++] = '\n';
	return at;
}

size_t npool_buf_hex_dump(const npool_buf_t *buf, size_t index, size_t n,
			  char *text, size_t size)
{
	size_t length = 0;

	NP_BUF_CHECK(buf);
	if (size)
		*text = '\0';
	if (!np_buf_has(buf, index, n))
		return errno = ERANGE, 0;
	for (size_t done = 0; done < n; done += LINE_BYTES) {
		size_t some = least(n - done, LINE_BYTES), line_length, fits;
		uint8_t bytes[LINE_BYTES];
		char line[LINE_MAX_TEXT];

		copy_out(buf, index + done, bytes, some);
		line_length = dump_line(line, index + done, bytes, some);
		fits = length + 1 < size ? size - length - 1 : 0;
		if (fits) {
			memcpy(text + length, line, least(fits, line_length));
			text[length + least(fits, line_length)] = '\0';
		}
		length += line_length;
	}
	return length;
}
