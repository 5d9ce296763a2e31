/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * replay: the arena is the library's own, with the policies that Netty does
 * not have switched off by name, so that what is compared with the real Netty
 * is what runs in production. What is written here is only what stands above
 * an arena in Netty: buffers with a capacity, in place or moved; the grammar
 * of traces (npool-trace(1)); and the numbers by which chunks are called.
 */
#include "replay.h"

#include "arena.h"
#include "huge.h"
#include "meta.h"
#include "os.h"

#include <errno.h>
#include <inttypes.h>
#include <search.h> /* tsearch */
#include <stdlib.h>
#include <string.h>

#define SIZE_LIMIT INT32_MAX /* a Java int */
#define FIELDS_MAX 4
#define SHRINK_MIN 512	/* Netty: below, shrinking in place is by 16 only */

/* A live buffer. */
struct buffer {
	char *id;
	void *p;	   /* NULL: the empty buffer */
	size_t length;	   /* capacity now */
	size_t max_length; /* what its memory holds */
	size_t limit;	   /* the most it may be resized to */
	uint64_t ordinal;  /* of its chunk */
	bool is_huge;
};

struct replay {
	const char *name;
	unsigned long line;
	struct np_classes classes;
	struct np_owner owner;
	struct np_arena *arena;
	struct np_huge huge;
	void *buffers;	    /* tsearch tree by id */
	uint64_t *ordinals; /* by the chunk's serial, 0 = not seen, else + 1 */
	size_t nserials;
	uint64_t nseen;
	uint64_t huge_allocs, huge_frees, huge_bytes;
	bool has_cache;	    /* somebody has allocated */
};

static int complain(const struct replay *r, int code, const char *what,
		    const char *which)
{
	fflush(stdout);
	fprintf(stderr, "npool-trace: %s:%lu: %s%s%s\n", r->name, r->line,
		what, *which ? ": " : "", which);
	return code;
}

/* --- buffers by name -------------------------------------------------- */

static int compare_buffers(const void *a, const void *b)
{
	return strcmp(((const struct buffer *)a)->id,
		      ((const struct buffer *)b)->id);
}

static struct buffer *find_buffer(const struct replay *r, char *id)
{
	struct buffer key = { .id = id };
	struct buffer **found = tfind(&key, &r->buffers, compare_buffers);

	return found ? *found : NULL;
}

static struct buffer *add_buffer(struct replay *r, const char *id)
{
	struct buffer *b = calloc(1, sizeof *b);

	if (b)
		b->id = strdup(id);
	if (b && b->id && tsearch(b, &r->buffers, compare_buffers))
		return b;
	if (b)
		free(b->id);
	free(b);
	return NULL;
}

static void free_buffer(void *buffer)
{
	struct buffer *b = buffer;

	free(b->id);
	free(b);
}

/* --- chunks by number ------------------------------------------------- */

/* The number of the chunk, counted in the order in which they are seen;
 * UINT64_MAX: no memory. */
static uint64_t ordinal_of(struct replay *r, uint64_t serial)
{
	if (serial >= r->nserials) {
		size_t n = 2 * (size_t)serial + 64;
		uint64_t *more = realloc(r->ordinals, n * sizeof *more);

		if (!more)
			return UINT64_MAX;
		memset(more + r->nserials, 0,
		       (n - r->nserials) * sizeof *more);
		r->ordinals = more;
		r->nserials = n;
	}
	if (!r->ordinals[serial])
		r->ordinals[serial] = ++r->nseen;
	return r->ordinals[serial] - 1;
}

/* --- memory ----------------------------------------------------------- */

static int take_memory(struct replay *r, struct buffer *b, size_t size)
{
	unsigned class = np_class_of(&r->classes, size);
	struct np_place place;

	b->length = size;
	b->is_huge = !class;
	r->has_cache = true;
	if (!class) {
		bool zero;

		b->p = np_huge_alloc(&r->huge, &r->owner, size, NP_SLOT_SIZE,
				     &zero);
		b->max_length = size;
		b->ordinal = r->nseen++;
		r->huge_allocs++;
		r->huge_bytes += size;
		return b->p ? REPLAY_OK : REPLAY_FAILED;
	}
	if (np_arena_take(r->arena, class, 1, &b->p) != 1)
		return REPLAY_FAILED;
	place = np_place_of(b->p);
	b->max_length = r->classes.row[class].size;
	b->ordinal = ordinal_of(r, place.chunk->serial);
	return b->ordinal == UINT64_MAX ? REPLAY_FAILED : REPLAY_OK;
}

static void put_memory(struct replay *r, const struct buffer *b)
{
	if (b->is_huge) {
		np_huge_free(&r->huge, np_map_find(b->p));
		r->huge_frees++;
		r->huge_bytes -= b->length;
	} else if (b->p) {
		np_arena_put(r->arena, &b->p, 1);
	}
}

static bool fits_in_place(const struct buffer *b, size_t size)
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

static void print_place(const struct replay *r, const struct buffer *b)
{
	struct np_place place;
	uint64_t handle = 0, offset = 0;

	if (!b->p) {
		puts(" -> empty");
		return;
	}
	place = np_place_of(b->p);
	if (!b->is_huge) {
		const struct np_class *row = &r->classes.row[place.class];

		handle = row->nelems
			? np_handle_element(place.chunk, place.first,
					    row->npages, place.slot)
			: np_handle_run(place.chunk, place.first, row->npages);
		offset = (uintptr_t)b->p - (uintptr_t)place.chunk->base;
	}
	printf(" -> chunk=%" PRIu64 "%s handle=0x%016" PRIx64 " offset=%"
	       PRIu64 " length=%zu maxLength=%zu\n", b->ordinal,
	       b->is_huge ? "(huge)" : "", handle, offset, b->length,
	       b->max_length);
}

static int print_lists(struct replay *r)
{
	static const char *const names[NP_NLISTS] = {
		"qInit", "q000", "q025", "q050", "q075", "q100",
	};

	putchar('l');
	for (int i = 0; i < NP_NLISTS; i++) {
		const char *gap = "";

		printf(" %s[", names[i]);
		for (struct np_chunk *c = r->arena->lists[i].head; c;
		     c = c->next, gap = " ")
			printf("%s%" PRIu64 ":%u%%:%zu", gap,
			       ordinal_of(r, c->serial), np_chunk_usage(c),
			       c->free_bytes);
		putchar(']');
	}
	putchar('\n');
	return REPLAY_OK;
}

static int print_counters(const struct replay *r)
{
	const struct np_segment_arena *n = r->arena->count;

	printf("s alloc t/s/n/h=%" PRIu64 "/%" PRIu64 "/%" PRIu64 "/%" PRIu64,
	       np_count_get(&n->allocs[NP_TINY]),
	       np_count_get(&n->allocs[NP_SMALL]),
	       np_count_get(&n->allocs[NP_NORMAL]), r->huge_allocs);
	printf(" dealloc t/s/n/h=%" PRIu64 "/%" PRIu64 "/%" PRIu64 "/%" PRIu64,
	       np_count_get(&n->frees[NP_TINY]),
	       np_count_get(&n->frees[NP_SMALL]),
	       np_count_get(&n->frees[NP_NORMAL]), r->huge_frees);
	printf(" activeBytes=%" PRIu64 "\n",
	       np_count_get(&n->reserved) + r->huge_bytes);
	return REPLAY_OK;
}

/* --- operations ------------------------------------------------------- */

static bool parse_size(const char *text, size_t *size)
{
	unsigned long long value;

	if (!*text || strspn(text, "0123456789") != strlen(text))
		return false;
	errno = 0;
	value = strtoull(text, NULL, 10);
	*size = (size_t)value;
	return !errno && value <= SIZE_LIMIT;
}

static int do_alloc(struct replay *r, char **field, int n)
{
	size_t size, limit = SIZE_LIMIT;
	struct buffer *b;

	if (n < 3 || n > 4)
		return complain(r, REPLAY_MALFORMED, "wanted: a ID SIZE [MAX]",
				"");
	if (!parse_size(field[2], &size) ||
	    (n == 4 && !parse_size(field[3], &limit)))
		return complain(r, REPLAY_MALFORMED,
				"a size is a number from 0 to 2147483647",
				field[2]);
	if (size > limit)
		return complain(r, REPLAY_MALFORMED, "SIZE is above MAX",
				field[2]);
	if (find_buffer(r, field[1]))
		return complain(r, REPLAY_MALFORMED, "ID is live already",
				field[1]);
	b = add_buffer(r, field[1]);
	if (!b || (limit && take_memory(r, b, size) != REPLAY_OK))
		return complain(r, REPLAY_FAILED, "out of memory", field[1]);
	b->limit = limit;
	printf("a %s %zu", b->id, size);
	print_place(r, b);
	return REPLAY_OK;
}

static int do_capacity(struct replay *r, char **field, int n)
{
	struct buffer *b, old;
	size_t size;

	if (n != 3 || !parse_size(field[2], &size))
		return complain(r, REPLAY_MALFORMED, "wanted: c ID NEWCAP, "
				"a number from 0 to 2147483647", "");
	b = find_buffer(r, field[1]);
	if (!b)
		return complain(r, REPLAY_MALFORMED, "ID is not live",
				field[1]);
	if (!b->p || size > b->limit)
		return complain(r, REPLAY_MALFORMED,
				"NEWCAP is above the buffer's MAX", field[2]);
	old = *b;
	if (fits_in_place(b, size)) {
		b->length = size;
	} else {
		if (take_memory(r, b, size) != REPLAY_OK)
			return complain(r, REPLAY_FAILED, "out of memory",
					field[1]);
		put_memory(r, &old);
	}
	printf("c %s %zu", b->id, size);
	print_place(r, b);
	return REPLAY_OK;
}

static int do_free(struct replay *r, char **field, int n)
{
	struct buffer *b;

	if (n != 2)
		return complain(r, REPLAY_MALFORMED, "wanted: f ID", "");
	b = find_buffer(r, field[1]);
	if (!b)
		return complain(r, REPLAY_MALFORMED, "ID is not live",
				field[1]);
	put_memory(r, b);
	tdelete(b, &r->buffers, compare_buffers);
	free_buffer(b);
	printf("f %s\n", field[1]);
	return REPLAY_OK;
}

static int do_line(struct replay *r, char *text)
{
	char *field[FIELDS_MAX + 1], *rest = NULL;
	int n = 0;

	if (*text == '#')
		return REPLAY_OK;
	for (char *f = strtok_r(text, " \t\r\n", &rest);
	     f && n <= FIELDS_MAX; f = strtok_r(NULL, " \t\r\n", &rest))
		field[n++] = f;
	if (!n)
		return REPLAY_OK;
	if (!strcmp(field[0], "a"))
		return do_alloc(r, field, n);
	if (!strcmp(field[0], "c"))
		return do_capacity(r, field, n);
	if (!strcmp(field[0], "f"))
		return do_free(r, field, n);
	if (n == 1 && !strcmp(field[0], "l"))
		return print_lists(r);
	if (n == 1 && !strcmp(field[0], "s"))
		return print_counters(r);
	if (n == 1 && !strcmp(field[0], "t")) {
		puts(r->has_cache ? "t true" : "t false");
		return REPLAY_OK;
	}
	return complain(r, REPLAY_MALFORMED, "no such operation; there are "
			"a, c, f, t, l and s", field[0]);
}

/* --- the whole -------------------------------------------------------- */

static int replay_lines(struct replay *r, FILE *in)
{
	char *text = NULL;
	size_t room = 0;
	int code = REPLAY_OK;
	ssize_t size;

	while (code == REPLAY_OK && (size = getline(&text, &room, in)) >= 0) {
		r->line++;
		if (strlen(text) != (size_t)size)
			code = complain(r, REPLAY_MALFORMED,
					"the line holds a NUL byte", "");
		else
			code = do_line(r, text);
	}
	free(text);
	if (code == REPLAY_OK && ferror(in))
		code = complain(r, REPLAY_FAILED, "cannot read",
				strerror(errno));
	if ((fflush(stdout) || ferror(stdout)) && code == REPLAY_OK)
		code = complain(r, REPLAY_FAILED, "cannot write",
				strerror(errno));
	return code;
}

int replay_netty(FILE *in, const char *name, unsigned page_shift,
		 unsigned max_order)
{
	struct replay r = { .name = name,
			    .owner = { .bind_node = NP_ANYWHERE,
				       .pool = "replay" } };
	int code = REPLAY_FAILED;

	np_meta_init(NULL);
	r.arena = aligned_alloc(_Alignof(struct np_arena), sizeof *r.arena);
	if (r.arena && np_map_init() == 0 &&
	    np_classes_init(&r.classes, NP_NETTY, page_shift,
			    max_order) == 0) {
		memset(r.arena, 0, sizeof *r.arena);
		np_huge_init(&r.huge, 0, false);
		np_arena_init(r.arena, &r.classes, &r.owner, 0, 0, -1);
		code = replay_lines(&r, in);
		np_arena_fini(r.arena);
	} else {
		complain(&r, REPLAY_FAILED, "out of memory", "");
	}
	tdestroy(r.buffers, free_buffer);
	free(r.ordinals);
	free(r.arena);
	return code;
}
