/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * Fuzzes npool_buf.h: any calls with any numbers on some buffers, views and
 * composite buffers, against a model in which a buffer is a list of cells, and
 * those that share bytes share cells. The pieces that buffers are made of come
 * from malloc (--wrap), so that the address sanitizer knows each byte of them.
 * libFuzzer; t/fuzz/run builds it.
 */
#include "buf.h"

#include <errno.h>
#include <malloc.h> /* malloc_usable_size */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NBUFS 8
#define MAX 300	       /* capacity of a buffer at most */
#define NCELLS 400000u /* of one input; then it ends */

#define must(x) \
	((x) ? (void)0 : (fprintf(stderr, "line %d: %s\n", __LINE__, #x), \
			  abort()))

/* --- pieces ------------------------------------------------------------- */

void *__wrap_npool_malloc(size_t size);
void *__wrap_npool_alloc(npool_t *pool, size_t size, unsigned flags);
void *__wrap_npool_realloc(void *p, size_t size);
void __wrap_npool_free(void *p);
size_t __wrap_npool_usable_size(void *p);

void *__wrap_npool_malloc(size_t size)
{
	return malloc(size);
}

void *__wrap_npool_alloc(npool_t *pool, size_t size, unsigned flags)
{
	(void)pool, (void)flags;
	return malloc(size);
}

void *__wrap_npool_realloc(void *p, size_t size)
{
	return realloc(p, size);
}

void __wrap_npool_free(void *p)
{
	free(p);
}

size_t __wrap_npool_usable_size(void *p)
{
	return malloc_usable_size(p);
}

/* --- the model ---------------------------------------------------------- */

static uint8_t cells[NCELLS];
static unsigned ncells;

static struct model {
	npool_buf_t *buf; /* NULL: none */
	uint8_t **cell;	  /* [MAX * NBUFS] */
	size_t n, max;	  /* capacity, max capacity */
	size_t reader, writer, marked_reader, marked_writer;
	npool_buf_t *counter; /* buf; of a view without a count: whose it is */
	bool composite, view;
	bool shared;	  /* its bytes may be another's too: it does not shrink */
} model[NBUFS];

#define ROOM ((size_t)MAX * 64)

struct input {
	const uint8_t *p;
	size_t left;
};

static unsigned number(struct input *in)
{
	if (!in->left)
		return 0;
	in->left--;
	return *in->p++;
}

/* Mostly one that is likely to fit, sometimes any. */
static size_t size(struct input *in)
{
	unsigned x = number(in);

	if (x == 255)
		return SIZE_MAX - number(in);
	if (x == 254)
		return (size_t)number(in) << 24;
	return x < 200 ? x % 24 : x;
}

/* The bytes behind the old capacity are new: fills them on both sides. */
static void grown(struct model *m)
{
	size_t n = npool_buf_capacity(m->buf);

	must(n <= ROOM);
	for (size_t i = m->n; i < n; i++) {
		uint8_t byte = (uint8_t)(ncells * 7);

		m->cell[i] = &cells[ncells++];
		*m->cell[i] = byte;
		must(!npool_buf_set(m->buf, i, &byte, 1));
	}
	m->n = n;
}

static void look(const struct model *m)
{
	uint8_t bytes[ROOM];

	must(npool_buf_capacity(m->buf) == m->n);
	must(npool_buf_reader(m->buf) == m->reader);
	must(npool_buf_writer(m->buf) == m->writer);
	must(npool_buf_refs(m->buf) >= 1);
	must(!npool_buf_get(m->buf, 0, bytes, m->n));
	for (size_t i = 0; i < m->n; i++)
		must(bytes[i] == *m->cell[i]);
	must(npool_buf_get(m->buf, m->n, bytes, 1) == ERANGE);
}

static void look_at_all(void)
{
	for (unsigned i = 0; i < NBUFS; i++)
		if (model[i].buf)
			look(&model[i]);
}

/* --- making and ending -------------------------------------------------- */

static struct model *free_model(void)
{
	for (unsigned i = 0; i < NBUFS; i++)
		if (!model[i].buf)
			return &model[i];
	return NULL;
}

static void enter(struct model *m, npool_buf_t *buf)
{
	uint8_t **cell = m->cell;

	*m = (struct model){ .buf = buf, .cell = cell, .counter = buf };
}

/* The reference is somebody else's now: views without a count may end. */
static void leave(struct model *m)
{
	npool_buf_t *counter = m->buf;

	m->buf = NULL;
	for (unsigned i = 0; i < NBUFS; i++)
		if (model[i].buf && model[i].counter == counter)
			model[i].buf = NULL;
}

static void end(struct model *m)
{
	npool_buf_t *buf = m->buf;
	bool counts = m->counter == buf;

	if (!counts) {
		m->buf = NULL;
		return;
	}
	leave(m);
	npool_buf_release(buf);
}

static void create(struct input *in)
{
	struct model *m = free_model();
	size_t initial = size(in), max = size(in) * 4;
	npool_buf_t *b;

	if (!m)
		return;
	if (max > MAX && max <= NPOOL_BUF_MAX)
		max = MAX;
	b = npool_buf_new(NULL, initial, max);
	must(!b == (initial > max || max > NPOOL_BUF_MAX));
	if (!b)
		return;
	enter(m, b);
	m->max = max;
	grown(m);
}

static void create_composite(void)
{
	struct model *m = free_model();

	if (!m)
		return;
	/* It must be known when they are copied: consolidate() alone does. */
	enter(m, npool_buf_composite(NULL, SIZE_MAX));
	must(m->buf);
	m->composite = true;
	m->max = NPOOL_BUF_MAX;
}

static void view(struct model *of, struct input *in, unsigned how)
{
	size_t index = size(in), n = size(in);
	bool fits = index <= of->n && n <= of->n - index;
	bool retained = how & 1, reads = how & 2;
	struct model *m = free_model();
	npool_buf_t *b;

	if (!m)
		return;
	if (reads) {
		index = of->reader;
		fits = n <= of->writer - of->reader;
		b = retained ? npool_buf_read_retained_slice(of->buf, n)
			     : npool_buf_read_slice(of->buf, n);
	} else {
		b = retained ? npool_buf_retained_slice(of->buf, index, n)
			     : npool_buf_slice(of->buf, index, n);
	}
	must(!b == !fits);
	if (!b)
		return;
	enter(m, b);
	m->n = m->max = m->writer = n;
	m->view = m->shared = of->shared = true;
	if (!retained)
		m->counter = of->counter;
	memcpy(m->cell, of->cell + index, n * sizeof *m->cell);
	if (reads)
		of->reader += n;
	/* What owns the bytes must not shrink either. */
	for (unsigned i = 0; i < NBUFS; i++)
		if (model[i].buf == b->root)
			model[i].shared = true;
}

static void copy(struct model *of, struct input *in)
{
	size_t index = size(in), n = size(in);
	struct model *m = free_model();
	npool_buf_t *b;

	if (!m)
		return;
	b = npool_buf_copy(of->buf, index, n);
	must(!b == !(index <= of->n && n <= of->n - index));
	if (!b)
		return;
	enter(m, b);
	m->max = npool_buf_max_capacity(b);
	grown(m);
	for (size_t i = 0; i < n; i++) {
		*m->cell[i] = *of->cell[index + i];
		must(!npool_buf_set(b, i, m->cell[i], 1));
	}
	m->writer = n;
}

/* --- parts -------------------------------------------------------------- */

static void add_part(struct model *c, struct model *part, unsigned how)
{
	size_t n = part->writer - part->reader, at = c->n;
	bool fits = c->composite && c->n + n <= ROOM && c != part &&
		    !c->shared && part->counter == part->buf &&
		    np_buf_root(part->buf) != c->buf &&
		    (!part->composite || how & 1);
	uint8_t *bytes[ROOM];

	if (!fits)
		return;
	memcpy(bytes, part->cell + part->reader, n * sizeof *bytes);
	/* Its bytes are seen by two now, or it is gone. */
	part->shared = true;
	for (unsigned i = 0; i < NBUFS; i++)
		if (model[i].buf == np_buf_root(part->buf))
			model[i].shared = true;
	npool_buf_retain(part->buf);
	must(!(how & 1 ? npool_buf_add_flattened(c->buf, part->buf, how & 2)
		       : npool_buf_add_part(c->buf, how & 4 ? 0 :
					    npool_buf_nparts(c->buf),
					    part->buf, how & 2)));
	if (!(how & 1) && how & 4)
		at = 0;
	memmove(c->cell + at + n, c->cell + at, (c->n - at) * sizeof *bytes);
	memcpy(c->cell + at, bytes, n * sizeof *bytes);
	c->n += n;
	if (how & 2)
		c->writer += n;
}

static void consolidate(struct model *c)
{
	size_t n = npool_buf_nparts(c->buf);

	if (c->shared || n < 2)
		return;
	must(!npool_buf_consolidate(c->buf, 0, n));
	for (size_t i = 0; i < c->n; i++) {
		cells[ncells] = *c->cell[i];
		c->cell[i] = &cells[ncells++];
	}
}

/* --- the rest ----------------------------------------------------------- */

static void set_indices(struct model *m, size_t reader, size_t writer)
{
	int error = npool_buf_set_indices(m->buf, reader, writer);

	must(!error == (reader <= writer && writer <= m->n));
	if (!error)
		m->reader = reader, m->writer = writer;
}

static void set_capacity(struct model *m, size_t n)
{
	bool can = n <= m->max && (!m->view || n == m->n);

	if (n > MAX && n <= NPOOL_BUF_MAX)
		return;
	if (m->shared && n < m->n)
		return;
	must(!npool_buf_set_capacity(m->buf, n) == can);
	if (!can)
		return;
	if (n < m->n)
		m->n = n;
	grown(m);
	if (m->writer > n)
		m->writer = n;
	if (m->reader > m->writer)
		m->reader = m->writer;
}

static void discard(struct model *m)
{
	size_t by = m->reader;
	uint8_t bytes[ROOM];

	if (m->composite && m->shared)
		return;
	npool_buf_discard(m->buf);
	for (size_t i = by; i < m->writer; i++)
		bytes[i - by] = *m->cell[i];
	if (m->composite) {
		m->n -= by;
		memmove(m->cell, m->cell + by, m->n * sizeof *m->cell);
	} else {
		for (size_t i = 0; i < m->writer - by; i++)
			*m->cell[i] = bytes[i];
	}
	m->reader = 0;
	m->writer -= by;
	m->marked_reader -= m->marked_reader < by ? m->marked_reader : by;
	m->marked_writer -= m->marked_writer < by ? m->marked_writer : by;
}

static void write_number(struct model *m, struct input *in)
{
	unsigned nbytes = number(in) % 10, big = number(in) & 1;
	uint64_t value = number(in) * UINT64_C(0x0123456789abcdef);
	size_t end_index = m->writer + nbytes;
	int wanted = nbytes - 1 > 7 ? EINVAL : end_index > m->max ? ERANGE : 0;

	if (m->n + MAX > ROOM)
		return;
	must((big ? npool_buf_write_be(m->buf, nbytes, value)
		  : npool_buf_write_le(m->buf, nbytes, value)) == wanted);
	if (wanted)
		return;
	for (size_t i = m->n; i < end_index; i++)
		m->cell[i] = &cells[ncells++];
	if (m->n < end_index)
		m->n = end_index;
	/* From the first byte to the last: a byte can be there twice. */
	for (unsigned i = 0; i < nbytes; i++)
		*m->cell[m->writer + i] =
			(uint8_t)(value >> 8 * (big ? nbytes - 1 - i : i));
	m->writer = end_index;
	grown(m);
}

static void read_number(struct model *m, struct input *in)
{
	unsigned nbytes = 1 + number(in) % 8, big = number(in) & 1;
	bool can = nbytes <= m->writer - m->reader;
	uint64_t value, wanted = 0;

	must(!(big ? npool_buf_read_be(m->buf, nbytes, &value)
		   : npool_buf_read_le(m->buf, nbytes, &value)) == can);
	if (!can)
		return;
	for (unsigned i = 0; i < nbytes; i++)
		wanted |= (uint64_t)*m->cell[m->reader + (big ? nbytes - 1 - i
							      : i)] << 8 * i;
	must(value == wanted);
	m->reader += nbytes;
}

static void set_bytes(struct model *m, struct input *in)
{
	size_t index = size(in), n = number(in) % 32;
	uint8_t bytes[32];
	bool can = index <= m->n && n <= m->n - index;

	for (size_t i = 0; i < n; i++)
		bytes[i] = (uint8_t)(number(in) + i);
	must(!npool_buf_set(m->buf, index, bytes, n) == can);
	for (size_t i = 0; can && i < n; i++)
		*m->cell[index + i] = bytes[i];
}

static void search(struct model *m, struct input *in)
{
	size_t from = size(in), to = size(in);
	unsigned char byte = (unsigned char)number(in);
	ptrdiff_t wanted = -1;
	bool can = from <= m->n && to <= m->n;

	if (from <= to)
		for (size_t i = from; can && i < to && wanted < 0; i++)
			wanted = *m->cell[i] == byte ? (ptrdiff_t)i : -1;
	else
		for (size_t i = from; can && i > to && wanted < 0; i--)
			wanted = *m->cell[i - 1] == byte ? (ptrdiff_t)i - 1 : -1;
	errno = 0;
	must(npool_buf_index_of(m->buf, from, to, byte) == wanted);
	must(errno == (!can ? ERANGE : wanted < 0 ? ENOENT : 0));
}

static void compare(const struct model *a, const struct model *b)
{
	size_t na = a->writer - a->reader, nb = b->writer - b->reader;
	int wanted = (na > nb) - (na < nb);
	int seen = npool_buf_compare(a->buf, b->buf);

	for (size_t i = na < nb ? na : nb; i-- > 0; ) {
		int x = *a->cell[a->reader + i], y = *b->cell[b->reader + i];

		wanted = x != y ? x - y : wanted;
	}
	must((seen > 0) - (seen < 0) == (wanted > 0) - (wanted < 0));
}

static void mark(struct model *m)
{
	npool_buf_mark_reader(m->buf);
	npool_buf_mark_writer(m->buf);
	m->marked_reader = m->reader;
	m->marked_writer = m->writer;
}

static void reset(struct model *m)
{
	bool can = m->marked_reader <= m->writer;

	must(!npool_buf_reset_reader(m->buf) == can);
	if (can)
		m->reader = m->marked_reader;
	can = m->marked_writer >= m->reader && m->marked_writer <= m->n;
	must(!npool_buf_reset_writer(m->buf) == can);
	if (can)
		m->writer = m->marked_writer;
}

static void step(struct input *in)
{
	unsigned what = number(in), which = number(in);
	struct model *m = &model[which % NBUFS];
	struct model *other = &model[which / NBUFS % NBUFS];

	if (!m->buf) {
		what & 1 ? create(in) : create_composite();
		return;
	}
	switch (what % 20) {
	case 0:
		end(m);
		break;
	case 1:
		set_capacity(m, size(in));
		break;
	case 2:
	case 3:
		write_number(m, in);
		break;
	case 4:
		read_number(m, in);
		break;
	case 5:
		set_bytes(m, in);
		break;
	case 6:
		search(m, in);
		break;
	case 7:
		if (other->buf)
			compare(m, other);
		break;
	case 8:
		discard(m);
		break;
	case 9:
		mark(m);
		break;
	case 10:
		reset(m);
		break;
	case 11:
		set_indices(m, size(in), size(in));
		break;
	case 12:
	case 13:
		view(m, in, what / 20);
		break;
	case 14:
		copy(m, in);
		break;
	case 15:
	case 16:
	case 17:
		if (other->buf)
			add_part(m, other, what / 20);
		break;
	case 18:
		consolidate(m);
		break;
	default:
		set_indices(m, m->reader, m->n);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes)
{
	struct input in = { data, nbytes };

	ncells = 0;
	for (unsigned i = 0; i < NBUFS; i++)
		if (!model[i].cell)
			model[i].cell = calloc(ROOM, sizeof *model[i].cell);
	while (in.left && ncells < NCELLS - 8 * ROOM) {
		step(&in);
		look_at_all();
	}
	for (unsigned i = 0; i < NBUFS; i++)
		if (model[i].buf)
			end(&model[i]);
	return 0;
}
