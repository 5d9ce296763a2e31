/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * replay: see replay.h.
 */
#include "replay.h"

#include "meta.h"
#include "os.h" /* NP_ANYWHERE */
#include "place.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define SIZE_LIMIT INT32_MAX /* a Java int */
#define SHRINK_MIN 512 /* Netty: below, shrinking in place is by 16 only */

const char *const replay_list_names[NP_NLISTS] = {
	"qInit", "q000", "q025", "q050", "q075", "q100",
};

int replay_complain(const struct replay *r, int code, const char *what,
		    const char *which)
{
	fflush(stdout);
	fprintf(stderr, "npool-trace: %s:%lu: %s%s%s\n", r->trace.name,
		r->trace.line, what, *which ? ": " : "", which);
	return code;
}

/* --- memory ----------------------------------------------------------- */

static int take_huge(struct replay *r, struct buffer *b, size_t size)
{
	bool zero;

	b->p = np_huge_alloc(&r->huge, &r->owner, size, NP_SLOT_SIZE, &zero);
	b->max_length = (uint32_t)size;
	b->ordinal = r->nseen++;
	b->is_huge = true;
	r->huge_allocs++;
	r->huge_bytes += size;
	return b->p ? REPLAY_OK : REPLAY_FAILED;
}

static int take_memory(struct replay *r, struct buffer *b, uint32_t size)
{
	unsigned class = np_class_of(&r->classes, size);

	b->length = size;
	b->is_huge = false;
	r->has_cache = true;
	if (!class)
		return take_huge(r, b, size);
	/* A chunk is made for a piece in it, so it is seen at once; counting
	 * on from what was seen, the arena gives it the number we want. */
	r->arena->nchunks_made = r->nseen;
	if (np_arena_take(r->arena, class, 1, &b->p) != 1)
		return REPLAY_FAILED;
	r->nseen = r->arena->nchunks_made;
	b->max_length = r->classes.row[class].size;
	return REPLAY_OK;
}

static void put_memory(struct replay *r, const struct buffer *b)
{
	if (b->is_huge) {
		np_huge_free(&r->huge, np_map_find(b->p));
		r->huge_frees++;
		r->huge_bytes -= b->length;
	} else {
		np_arena_put(r->arena, &b->p, 1);
	}
}

static bool fits_in_place(const struct buffer *b, uint32_t size)
{
	if (size == b->length)
		return true;
	if (b->is_huge || size > b->max_length)
		return false;
	return size > b->length ||
	       (size > b->max_length / 2 &&
		(b->max_length > SHRINK_MIN || size + 16 > b->max_length));
}

/* --- what is printed -------------------------------------------------- */

uint64_t replay_handle(const struct replay *r, const struct buffer *b)
{
	struct np_place place = np_place_of(b->p);
	const struct np_class *row = &r->classes.row[place.class];

	return row->nelems ? np_handle_element(place.chunk, place.first,
					       row->npages, place.slot)
			   : np_handle_run(place.chunk, place.first,
					   row->npages);
}

static void print_place(const struct replay *r, const struct buffer *b,
			FILE *out)
{
	struct np_place place;
	uint64_t handle = 0, offset = 0, ordinal = b->ordinal;

	if (!b->p) {
		fputs(" -> empty\n", out);
		return;
	}
	if (!b->is_huge) {
		place = np_place_of(b->p);
		handle = replay_handle(r, b);
		offset = (uintptr_t)b->p - (uintptr_t)place.chunk->base;
		ordinal = replay_ordinal(place.chunk);
	}
	fprintf(out, " -> chunk=%" PRIu64 "%s handle=0x%016" PRIx64
		" offset=%" PRIu64 " length=%u maxLength=%u\n", ordinal,
		b->is_huge ? "(huge)" : "", handle, offset, b->length,
		b->max_length);
}

static void print_lists(const struct replay *r, FILE *out)
{
	fputc('l', out);
	for (int i = 0; i < NP_NLISTS; i++) {
		const char *gap = "";

		fprintf(out, " %s[", replay_list_names[i]);
		for (struct np_chunk *c = r->arena->lists[i].head; c;
		     c = c->next, gap = " ")
			fprintf(out, "%s%" PRIu64 ":%u%%:%zu", gap,
				replay_ordinal(c), np_chunk_usage(c),
				c->free_bytes);
		fputc(']', out);
	}
	fputc('\n', out);
}

static void print_four(const np_count_t *count, uint64_t huge, FILE *out)
{
	fprintf(out, "t/s/n/h=%" PRIu64 "/%" PRIu64 "/%" PRIu64 "/%" PRIu64,
		np_count_get(&count[NP_TINY]), np_count_get(&count[NP_SMALL]),
		np_count_get(&count[NP_NORMAL]), huge);
}

static void print_counters(const struct replay *r, FILE *out)
{
	const struct np_segment_arena *n = r->arena->count;

	fputs("s alloc ", out);
	print_four(n->allocs, r->huge_allocs, out);
	fputs(" dealloc ", out);
	print_four(n->frees, r->huge_frees, out);
	fprintf(out, " activeBytes=%" PRIu64 "\n",
		np_count_get(&n->reserved) + r->huge_bytes);
}

void replay_print(const struct replay *r, const struct replay_op *op,
		  FILE *out)
{
	switch (op->kind) {
	case 'a':
	case 'c':
		fprintf(out, "%c %s %u", op->kind, op->id, op->size);
		print_place(r, buffers_at(&r->buffers, op->number), out);
		break;
	case 'f':
		fprintf(out, "f %s\n", op->id);
		break;
	case 'l':
		print_lists(r, out);
		break;
	case 's':
		print_counters(r, out);
		break;
	default:
		fputs(r->has_cache ? "t true\n" : "t false\n", out);
	}
}

/* --- lines ------------------------------------------------------------ */

static bool parse_size(const char *text, uint32_t *size)
{
	uint64_t value = 0;

	if (!*text)
		return false;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return false;
		value = value * 10 + (uint64_t)(*text - '0');
		if (value > SIZE_LIMIT)
			return false;
	}
	*size = (uint32_t)value;
	return true;
}

static int read_alloc(struct replay *r, struct replay_op *op)
{
	static const char *const bad_size =
		"a size is a number from 0 to 2147483647";
	char **field = r->trace.field;
	bool is_there;

	op->limit = SIZE_LIMIT;
	if (r->trace.nfields < 3 || r->trace.nfields > 4)
		return replay_complain(r, REPLAY_MALFORMED,
				       "wanted: a ID SIZE [MAX]", "");
	if (!parse_size(field[2], &op->size))
		return replay_complain(r, REPLAY_MALFORMED, bad_size,
				       field[2]);
	if (r->trace.nfields == 4 && !parse_size(field[3], &op->limit))
		return replay_complain(r, REPLAY_MALFORMED, bad_size,
				       field[3]);
	if (op->size > op->limit)
		return replay_complain(r, REPLAY_MALFORMED,
				       "SIZE is above MAX", field[2]);
	op->number = buffers_add(&r->buffers, op->id, &is_there);
	if (!op->number)
		return replay_complain(r, REPLAY_FAILED, "out of memory",
				       op->id);
	if (is_there)
		return replay_complain(r, REPLAY_MALFORMED,
				       "ID is live already", op->id);
	buffers_at(&r->buffers, op->number)->limit = op->limit;
	op->takes = op->limit != 0;
	return REPLAY_OK;
}

static int read_capacity(struct replay *r, struct replay_op *op)
{
	struct buffer *b;

	if (r->trace.nfields != 3 || !parse_size(r->trace.field[2], &op->size))
		return replay_complain(r, REPLAY_MALFORMED,
				       "wanted: c ID NEWCAP, a number from 0 "
				       "to 2147483647", "");
	op->number = buffers_find(&r->buffers, op->id);
	if (!op->number)
		return replay_complain(r, REPLAY_MALFORMED, "ID is not live",
				       op->id);
	b = buffers_at(&r->buffers, op->number);
	if (!b->p || op->size > b->limit)
		return replay_complain(r, REPLAY_MALFORMED,
				       "NEWCAP is above the buffer's MAX",
				       r->trace.field[2]);
	op->old = *b;
	op->takes = op->gives = !fits_in_place(b, op->size);
	return REPLAY_OK;
}

static int read_free(struct replay *r, struct replay_op *op)
{
	if (r->trace.nfields != 2)
		return replay_complain(r, REPLAY_MALFORMED, "wanted: f ID",
				       "");
	op->number = buffers_find(&r->buffers, op->id);
	if (!op->number)
		return replay_complain(r, REPLAY_MALFORMED, "ID is not live",
				       op->id);
	op->old = *buffers_at(&r->buffers, op->number);
	op->gives = op->old.p != NULL;
	return REPLAY_OK;
}

static int read_op(struct replay *r, struct replay_op *op)
{
	const char *name = r->trace.field[0];
	int n = r->trace.nfields;

	op->kind = name[0];
	op->takes = op->gives = false;
	op->id = r->trace.field[1];
	if (!name[1] && op->kind == 'a')
		return n == 1 ? replay_complain(r, REPLAY_MALFORMED,
						"wanted: a ID SIZE [MAX]", "")
			      : read_alloc(r, op);
	if (!name[1] && op->kind == 'c')
		return read_capacity(r, op);
	if (!name[1] && op->kind == 'f')
		return read_free(r, op);
	if (!name[1] && n == 1 && strchr("lst", op->kind))
		return REPLAY_OK;
	return replay_complain(r, REPLAY_MALFORMED, "no such operation; there "
			       "are a, c, f, t, l and s", name);
}

int replay_read(struct replay *r, struct replay_op *op)
{
	switch (trace_next(&r->trace)) {
	case TRACE_LINE:
		return read_op(r, op);
	case TRACE_END:
		return REPLAY_END;
	case TRACE_NUL:
		return replay_complain(r, REPLAY_MALFORMED,
				       "the line holds a NUL byte", "");
	default:
		return replay_complain(r, REPLAY_FAILED, "cannot read",
				       strerror(r->trace.error));
	}
}

/* --- operations ------------------------------------------------------- */

int replay_take(struct replay *r, const struct replay_op *op)
{
	struct buffer *b;

	if (op->kind == 'c' && !op->takes)
		buffers_at(&r->buffers, op->number)->length = op->size;
	if (!op->takes)
		return REPLAY_OK;
	b = buffers_at(&r->buffers, op->number);
	if (take_memory(r, b, op->size) == REPLAY_OK)
		return REPLAY_OK;
	return replay_complain(r, REPLAY_FAILED, "out of memory", op->id);
}

void replay_give(struct replay *r, const struct replay_op *op)
{
	if (op->gives)
		put_memory(r, &op->old);
}

void replay_done(struct replay *r, const struct replay_op *op)
{
	if (op->kind == 'f')
		buffers_remove(&r->buffers, op->number);
}

/* --- the whole -------------------------------------------------------- */

int replay_open(struct replay *r, int fd, const char *name,
		const struct replay_options *options)
{
	*r = (struct replay){ .owner = { .bind_node = NP_ANYWHERE,
					 .pool = "replay" } };
	trace_open(&r->trace, fd, name);
	np_meta_init(NULL);
	r->arena = aligned_alloc(_Alignof(struct np_arena), sizeof *r->arena);
	if (!r->arena || np_map_init() != 0 ||
	    np_classes_init(&r->classes, NP_NETTY, options->page_shift,
			    options->max_order) != 0) {
		free(r->arena);
		r->arena = NULL;
		return replay_complain(r, REPLAY_FAILED, "out of memory", "");
	}
	memset(r->arena, 0, sizeof *r->arena);
	np_huge_init(&r->huge, 0, false);
	np_arena_init(r->arena, &r->classes, &r->owner, 0, 0, -1);
	return REPLAY_OK;
}

void replay_close(struct replay *r)
{
	if (r->arena) {
		np_arena_fini(r->arena);
		np_huge_fini(&r->huge);
	}
	buffers_fini(&r->buffers);
	trace_close(&r->trace);
	free(r->arena);
}

int replay_netty(int fd, const char *name,
		 const struct replay_options *options)
{
	struct replay r;
	struct replay_op op;
	int code = replay_open(&r, fd, name, options);

	while (code == REPLAY_OK) {
		code = replay_read(&r, &op);
		if (code == REPLAY_OK)
			code = replay_take(&r, &op);
		if (code != REPLAY_OK)
			break;
		replay_give(&r, &op);
		if (!options->quiet)
			replay_print(&r, &op, stdout);
		replay_done(&r, &op);
	}
	if ((fflush(stdout) || ferror(stdout)) && code == REPLAY_END)
		code = replay_complain(&r, REPLAY_FAILED, "cannot write",
				       strerror(errno));
	replay_close(&r);
	return code == REPLAY_END ? REPLAY_OK : code;
}
