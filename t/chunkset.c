/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * npool_chunk.h, several chunks in lists: beside an arena that is asked the
 * same, handle by handle and list by list; on the golden traces, where the
 * real Netty has said what is right; what happens when there are no more
 * chunks, or wrong ones; chunks that come and go with what is taken in them.
 */
#include "arena.h"
#include "handle.h"
#include "meta.h"
#include "os.h"
#include "rng.h"
#include "tap.h"

#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIVE_MAX 3000
#define CHUNKS_MAX 4096

/* --- a supply that counts --------------------------------------------- */

static struct supply {
	struct npool_shape shape;
	uint64_t nmade, ngone;
	uint64_t number[CHUNKS_MAX]; /* by the order in which they are made */
} supply;

static npool_chunk_t *more(void *arg)
{
	struct supply *s = arg;
	npool_chunk_t *c;

	if (s->nmade == CHUNKS_MAX || npool_chunk_create(&c, &s->shape, NULL, 0))
		return NULL;
	s->number[s->nmade] = s->nmade;
	npool_chunk_set_user(c, &s->number[s->nmade++]);
	return c;
}

static void less(npool_chunk_t *c, void *arg)
{
	struct supply *s = arg;

	if (npool_chunklist_of(c) == -1 && !npool_chunk_usage(c))
		s->ngone++;
	npool_chunk_destroy(c);
}

static uint64_t number_of(const npool_chunk_t *c)
{
	return *(const uint64_t *)npool_chunk_user(c);
}

static npool_chunklist_t *make_set(const struct npool_shape *shape)
{
	static const struct npool_supply calls = { more, less, &supply };
	npool_chunklist_t *set;

	memset(&supply, 0, sizeof supply);
	supply.shape = *shape;
	if (npool_chunklist_create(&set, shape, &calls, NULL, 0))
		bail_out("no set");
	return set;
}

static void free_set(npool_chunklist_t *set)
{
	for (unsigned i = NPOOL_QINIT; i <= NPOOL_Q100; i++)
		while (npool_chunklist_first(set, i))
			npool_chunk_destroy(npool_chunklist_first(set, i));
	npool_chunklist_destroy(set);
}

/* --- beside an arena -------------------------------------------------- */

static struct np_classes classes;
static struct np_arena arena;
static struct np_owner owner = { .bind_node = NP_ANYWHERE, .pool = "test" };

struct twin {
	void *p;
	npool_chunk_t *chunk;
	npool_handle_t handle;
};

static npool_handle_t handle_in_arena(void *p, uint64_t *number)
{
	struct np_place place = np_place_of(p);
	const struct np_class *row = &classes.row[place.class];

	*number = place.chunk->serial;
	return row->nelems ? np_handle_element(place.chunk, place.first,
					       row->npages, place.slot)
			   : np_handle_run(place.chunk, place.first,
					   row->npages);
}

static bool same_lists(const npool_chunklist_t *set)
{
	for (unsigned i = 0; i < NP_NLISTS; i++) {
		const struct np_chunk *a = arena.lists[i].head;
		const npool_chunk_t *c = npool_chunklist_first(set, i);

		for (; a && c; a = a->next, c = npool_chunklist_next(c))
			if (a->serial != number_of(c) ||
			    a->free_bytes != npool_chunk_free_bytes(c) ||
			    npool_chunklist_of(c) != (int)i)
				return false;
		if (a || c)
			return false;
	}
	return true;
}

static bool take_twin(npool_chunklist_t *set, struct twin *t, size_t size)
{
	uint64_t number;

	t->handle = npool_chunklist_alloc(set, size, &t->chunk);
	if (np_arena_take(&arena, np_class_of(&classes, size), 1, &t->p) != 1)
		bail_out("no memory");
	return handle_in_arena(t->p, &number) == t->handle && t->handle &&
	       number_of(t->chunk) == number;
}

/* Small ones to a chunk's size; phases that grow and phases that shrink. */
static unsigned same_decisions(npool_chunklist_t *set, unsigned nops)
{
	static struct twin live[LIVE_MAX];
	struct rng rng = rng_seed(classes.max_order);
	unsigned nlive = 0, i;
	bool same = true;

	for (i = 0; i < nops && same; i++) {
		unsigned want = i / 400 % 2 ? 35 : 62;

		if (nlive < LIVE_MAX && (!nlive || rng_chance(&rng, want))) {
			size_t size = rng_log(&rng, classes.chunk_size);

			same = take_twin(set, &live[nlive++], size);
		} else {
			struct twin *t = &live[rng_below(&rng, nlive)];

			np_arena_put(&arena, &t->p, 1);
			same = !npool_chunk_free(t->chunk, t->handle);
			*t = live[--nlive];
		}
		same &= same_lists(set);
		if (i % 100 == 0)
			same &= npool_chunklist_valid(set);
	}
	while (nlive--) {
		np_arena_put(&arena, &live[nlive].p, 1);
		same &= !npool_chunk_free(live[nlive].chunk,
					  live[nlive].handle);
	}
	return same && same_lists(set) ? i : 0;
}

static void test_beside_arena(size_t page_size, unsigned order, unsigned table)
{
	struct npool_shape shape = { page_size, order, table };
	npool_chunklist_t *set = make_set(&shape);
	const unsigned nops = 6000;

	if (np_classes_init(&classes, (enum np_class_table)table,
			    np_log2(page_size), order))
		bail_out("no such geometry");
	memset(&arena, 0, sizeof arena);
	np_arena_init(&arena, &classes, &owner, 0, 0, -1);
	is_uint(same_decisions(set, nops), nops,
		"pages of %zu, order %u, %s: decides as an arena does",
		page_size, order, table == NPOOL_FINE ? "fine" : "netty");
	is_uint(supply.nmade, arena.nchunks_made, "by as many chunks");
	is_uint(supply.nmade - supply.ngone,
		np_count_get(&arena.count->chunks), "of which as many went");
	np_arena_fini(&arena);
	free_set(set);
}

/* --- golden traces ---------------------------------------------------- */

/* A buffer of Netty's: what stands above the chunks. */
struct buffer {
	char id[32];
	npool_chunk_t *chunk; /* NULL: huge */
	npool_handle_t handle;
	size_t length, max_length;
	uint64_t ordinal;
};

struct trace {
	npool_chunklist_t *set;
	struct buffer live[LIVE_MAX];
	unsigned nlive;
	uint64_t nseen; /* ordinals count huge ones too */
};

static bool take_buffer(struct trace *t, struct buffer *b, size_t size)
{
	bool is_huge = size >
		supply.shape.page_size << supply.shape.max_order;
	uint64_t made = supply.nmade;

	b->chunk = NULL;
	b->handle = 0;
	b->length = b->max_length = size;
	if (is_huge) {
		b->ordinal = t->nseen++;
		return true;
	}
	b->handle = npool_chunklist_alloc(t->set, size, &b->chunk);
	if (!b->handle)
		return false;
	if (supply.nmade > made)
		*(uint64_t *)npool_chunk_user(b->chunk) = t->nseen++;
	b->ordinal = number_of(b->chunk);
	b->max_length = npool_chunk_length(b->chunk, b->handle);
	return true;
}

static bool free_buffer(const struct buffer *b)
{
	return !b->chunk || !npool_chunk_free(b->chunk, b->handle);
}

static bool stays(const struct buffer *b, size_t size)
{
	if (size == b->length)
		return true;
	if (!b->chunk || size > b->max_length)
		return false;
	return size > b->length || (size > b->max_length / 2 &&
		(b->max_length > 512 || size + 16 > b->max_length));
}

static struct buffer *buffer_named(struct trace *t, const char *id)
{
	for (unsigned i = 0; i < t->nlive; i++)
		if (!strcmp(t->live[i].id, id))
			return &t->live[i];
	return NULL;
}

static void print_buffer(const struct buffer *b, char op, size_t size,
			 char *text, size_t room)
{
	snprintf(text, room, "%c %s %zu -> chunk=%llu%s handle=0x%016llx "
		 "offset=%td length=%zu maxLength=%zu\n", op, b->id, size,
		 (unsigned long long)b->ordinal, b->chunk ? "" : "(huge)",
		 (unsigned long long)b->handle,
		 b->chunk ? npool_chunk_offset(b->chunk, b->handle) : 0,
		 b->length, b->max_length);
}

static void print_lists(const struct trace *t, char *text, size_t room)
{
	static const char *const names[] = { "qInit", "q000", "q025",
					     "q050", "q075", "q100" };
	size_t n = (size_t)snprintf(text, room, "l");

	for (unsigned i = NPOOL_QINIT; i <= NPOOL_Q100 && n < room; i++) {
		const npool_chunk_t *c = npool_chunklist_first(t->set, i);
		const char *gap = "";

		n += (size_t)snprintf(text + n, room - n, " %s[", names[i]);
		for (; c && n < room; c = npool_chunklist_next(c), gap = " ")
			n += (size_t)snprintf(text + n, room - n,
				"%s%llu:%u%%:%zu", gap,
				(unsigned long long)number_of(c),
				npool_chunk_usage(c), npool_chunk_free_bytes(c));
		if (n < room)
			n += (size_t)snprintf(text + n, room - n, "]");
	}
	if (n < room)
		snprintf(text + n, room - n, "\n");
}

/* One line of a trace; *text: what is to be printed, "" if it is not ours to
 * say (counters, thread caches). */
static bool do_line(struct trace *t, const char *line, char *text, size_t room)
{
	char op, id[32] = "";
	size_t size = 0;
	int n = sscanf(line, " %c %31s %zu", &op, id, &size);
	struct buffer *b = buffer_named(t, id), old;

	*text = '\0';
	if (n < 1 || op == '#')
		return true;
	if (op == 'l')
		print_lists(t, text, room);
	if (op == 'f' && b) {
		snprintf(text, room, "f %s\n", id);
		old = *b;
		*b = t->live[--t->nlive];
		return free_buffer(&old);
	}
	if (op == 'a') {
		if (t->nlive == LIVE_MAX)
			return false;
		b = &t->live[t->nlive++];
		memcpy(b->id, id, sizeof id);
		if (!take_buffer(t, b, size))
			return false;
		print_buffer(b, op, size, text, room);
	}
	if (op == 'c' && b) {
		old = *b;
		if (stays(b, size))
			b->length = size;
		else if (!take_buffer(t, b, size) || !free_buffer(&old))
			return false;
		print_buffer(b, op, size, text, room);
	}
	return true;
}

/* The next line of the recording that is one of those that we print. */
static bool next_recorded(FILE *out, char *line, size_t room)
{
	while (fgets(line, (int)room, out))
		if (strchr("acfl", *line) && !strstr(line, "-> empty"))
			return true;
	return false;
}

/* Runs the trace; returns how many lines agreed, or 0 when one did not. */
static unsigned run_trace(struct trace *t, FILE *in, FILE *out)
{
	static char line[65536], text[65536], wanted[65536];
	unsigned agreed = 0;

	while (fgets(line, sizeof line, in)) {
		if (!do_line(t, line, text, sizeof text)) {
			diag("failed: %s", line);
			return 0;
		}
		if (!*text)
			continue;
		if (!next_recorded(out, wanted, sizeof wanted) ||
		    strcmp(text, wanted)) {
			is_str(text, wanted, "as Netty printed it");
			return 0;
		}
		agreed++;
	}
	return next_recorded(out, wanted, sizeof wanted) ? 0 : agreed;
}

/* Requests of 0 bytes, which Netty serves (its quirk Q1), are refused here; a
 * MAX of 0 makes a buffer without memory. */
static bool has_zero(FILE *in)
{
	char line[65536], id[32];
	bool zero = false;

	while (fgets(line, sizeof line, in)) {
		char op;
		size_t size;

		if (sscanf(line, " %c %31s %zu", &op, id, &size) == 3 &&
		    strchr("ac", op) && !size)
			zero = true;
	}
	rewind(in);
	return zero;
}

static struct npool_shape shape_of(FILE *in)
{
	struct npool_shape shape = { 8192, 11, NPOOL_NETTY };
	char line[256];
	const char *at;

	while (fgets(line, sizeof line, in)) {
		if (strncmp(line, "# args:", 7))
			continue;
		if ((at = strstr(line, "--page-size ")))
			shape.page_size = strtoul(at + 12, NULL, 10);
		if ((at = strstr(line, "--max-order ")))
			shape.max_order = (unsigned)strtoul(at + 12, NULL, 10);
	}
	rewind(in);
	return shape;
}

static unsigned ngolden; /* traces that were run */

static void test_golden(const char *path)
{
	static struct trace t;
	const char *name = strrchr(path, '/') + 1;
	char out_path[4096];
	FILE *in = fopen(path, "re"), *out;
	struct npool_shape shape;
	unsigned agreed;

	snprintf(out_path, sizeof out_path, "%.*s.out",
		 (int)(strlen(path) - strlen(".trace")), path);
	out = fopen(out_path, "re");
	if (!in || !out)
		bail_out("%s: cannot be read", path);
	shape = shape_of(in);
	memset(&t, 0, sizeof t);
	t.set = make_set(&shape);
	if (has_zero(in)) {
		diag("%s is left out: it asks for 0 bytes", name);
	} else {
		ngolden++;
		agreed = run_trace(&t, in, out);
		ok(agreed && npool_chunklist_valid(t.set),
		   "%s: %u lines as Netty printed them", name, agreed);
	}
	fclose(in);
	fclose(out);
	free_set(t.set);
}

static void test_all_golden(void)
{
	const char *top = getenv("abs_top_srcdir");
	const char *here = strrchr(__FILE__, '/');
	char pattern[4096];
	glob_t found;

	if (top)
		snprintf(pattern, sizeof pattern, "%s/t/golden/*.trace", top);
	else /* from the build folder, as it was compiled */
		snprintf(pattern, sizeof pattern, "%.*s/golden/*.trace",
			 (int)(here - __FILE__), __FILE__);
	if (glob(pattern, 0, NULL, &found))
		bail_out("no traces: %s", pattern);
	for (size_t i = 0; i < found.gl_pathc; i++)
		test_golden(found.gl_pathv[i]);
	globfree(&found);
	ok(ngolden > 10, "%u golden traces were run", ngolden);
}

/* --- what a set does -------------------------------------------------- */

static const struct npool_shape small = { 4096, 3, NPOOL_NETTY };

static npool_chunk_t *make(const struct npool_shape *shape)
{
	npool_chunk_t *c;

	if (npool_chunk_create(&c, shape, NULL, 0))
		bail_out("no chunk");
	return c;
}

static char meta[NPOOL_CHUNKLIST_META];

static void test_fixed(void)
{
	npool_chunklist_t *set = NULL;
	npool_chunk_t *c = make(&small), *other = NULL, *got = NULL;
	npool_handle_t h;

	is_int(npool_chunklist_create(&set, &small, NULL, meta, 100), ENOMEM,
	       "too little metadata is refused");
	is_int(npool_chunklist_create(&set, &small, NULL, meta, sizeof meta),
	       0, "a set can lie in static memory");
	ok(!npool_chunklist_alloc(set, 16, &got) && errno == ENOSPC && !got,
	   "without chunks and a supply there is no space");
	ok(!npool_chunklist_alloc(set, 0, &got) && errno == EINVAL,
	   "0 bytes are refused");
	ok(!npool_chunklist_alloc(set, 32769, &got) && errno == EINVAL,
	   "more than a chunk too");
	is_int(npool_chunklist_of(c), -1, "a chunk is in no list at first");
	is_int(npool_chunklist_remove(c), EINVAL, "and cannot leave one");
	is_int(npool_chunklist_add(set, c), 0, "it enters");
	is_int(npool_chunklist_of(c), NPOOL_QINIT, "qInit");
	is_int(npool_chunklist_add(set, c), EBUSY, "once");
	h = npool_chunklist_alloc(set, 5000, &got);
	ok(h && got == c, "and serves");
	ok(!npool_chunk_alloc(c, 16) && errno == EBUSY &&
	   !npool_page_alloc(c, 1) && errno == EBUSY &&
	   !npool_subpage_alloc(c, 1) && errno == EBUSY &&
	   npool_chunk_claim(c, 15, 4096) == EBUSY,
	   "only by its set");
	ok(!npool_chunklist_alloc(set, 32768, &got) && errno == ENOSPC,
	   "what no chunk has is not to be had");
	is_int(npool_chunk_free(c, h), 0, "it is freed by its chunk");
	is_int(npool_chunklist_of(c), NPOOL_QINIT, "which stays in qInit");
	h = npool_chunklist_alloc(set, 16384, &got);
	is_int(npool_chunklist_of(c), NPOOL_Q025, "half used: q025");
	is_int(npool_chunk_free(c, h), 0, "empty again");
	is_int(npool_chunklist_of(c), NPOOL_QINIT,
	       "without `less` it goes back to qInit");
	npool_chunk_free(c, npool_chunklist_alloc(set, 64, &got));
	h = npool_chunklist_alloc(set, 16384, &got);
	ok(h && npool_chunklist_alloc(set, 16384, &got),
	   "without a supply, an empty subpage makes room");
	npool_chunk_free(c, 2);
	npool_chunk_free(c, 3);
	ok(!npool_chunklist_first(set, 6) && !npool_chunklist_next(c),
	   "there is no seventh list, and no chunk behind the last");
	npool_chunklist_destroy(set);
	is_int(npool_chunklist_of(c), -1, "a set's end sets chunks free");
	ok(npool_chunk_alloc(c, 16) && npool_chunk_valid(c),
	   "on their own again");
	npool_chunk_destroy(c);
	npool_chunk_destroy(other);
	npool_chunklist_destroy(NULL);
}

static void test_shapes(void)
{
	static const struct npool_shape others[] = {
		{ 8192, 3, NPOOL_NETTY }, { 4096, 4, NPOOL_NETTY },
		{ 4096, 3, NPOOL_FINE },
	};
	npool_chunklist_t *set = make_set(&small), *second = make_set(&small);
	npool_chunk_t *got = NULL, *c = make(&small);

	for (int i = 0; i < 3; i++) {
		npool_chunk_t *other = make(&others[i]);

		is_int(npool_chunklist_add(set, other), EINVAL,
		       "a chunk of another shape is refused");
		npool_chunk_destroy(other);
	}
	is_int(npool_chunklist_add(second, c), 0, "one chunk");
	is_int(npool_chunklist_add(set, c), EBUSY, "is in one set");
	supply.shape = others[2];
	ok(!npool_chunklist_alloc(set, 100, &got) && errno == EINVAL && !got,
	   "a supply of another shape is an error");
	npool_chunk_destroy(c);
	ok(!npool_chunklist_first(second, NPOOL_QINIT),
	   "a chunk that is destroyed leaves its set");
	npool_chunklist_destroy(set);
	npool_chunklist_destroy(second);
}

static npool_chunk_t *offer; /* what the next call of `give_offer` returns */

static npool_chunk_t *give_offer(void *arg)
{
	(void)arg;
	return offer;
}

/* Subpages that are not full move with their chunk, from ring to ring. */
static void test_used_chunks(void)
{
	static const struct npool_supply calls = { give_offer, NULL, NULL };
	npool_chunklist_t *set;
	npool_chunk_t *a = make(&small), *b = make(&small), *got = NULL;
	npool_handle_t first = npool_chunk_alloc(a, 2048), h;

	for (int i = 0; i < 4; i++)
		npool_page_alloc(b, 2);
	if (npool_chunklist_create(&set, &small, &calls, NULL, 0))
		bail_out("no set");
	is_int(npool_chunklist_add(set, b), 0, "a full chunk enters");
	is_int(npool_chunklist_of(b), NPOOL_Q100, "q100");
	is_int(npool_chunklist_add(set, a), 0, "a used one too");
	h = npool_chunklist_alloc(set, 2048, &got);
	ok(got == a && h == (first | (npool_handle_t)1 << 32),
	   "its subpage serves the set");
	ok(npool_chunklist_valid(set), "the set is valid");
	npool_chunk_free(a, h);
	is_int(npool_chunklist_remove(a), 0, "it leaves");
	ok(npool_chunk_alloc(a, 2048) == h && npool_chunk_valid(a),
	   "and takes its subpage along");
	offer = a;
	ok(!npool_chunklist_alloc(set, 32768, &got) && errno == ENOSPC,
	   "a supply of a used chunk may not suffice");
	is_int(npool_chunklist_of(a), NPOOL_QINIT, "the set has it all the same");
	offer = b;
	ok(!npool_chunklist_alloc(set, 32768, &got) && errno == EBUSY,
	   "a supply of what the set has is an error");
	npool_chunk_free(a, h);
	npool_chunk_free(a, first);
	is_size(npool_chunklist_trim(set), 4096, "a trim releases its subpage");
	is_int(npool_chunklist_of(a), NPOOL_QINIT, "empty, it stays in qInit");
	is_size(npool_chunklist_trim(set), 0, "a second one finds nothing");
	npool_chunk_destroy(a);
	npool_chunklist_destroy(set);
	is_uint(npool_chunk_usage(b), 100, "what was taken stays so");
	npool_chunk_destroy(b);
}

/* A trim may empty a chunk that is not in qInit: it leaves. */
static void test_trim_to_end(void)
{
	npool_chunklist_t *set = make_set(&small);
	npool_handle_t h[12];
	npool_chunk_t *c;

	for (int i = 0; i < 12; i++)
		h[i] = npool_chunklist_alloc(set, i < 4 ? 4096 : 512, &c);
	is_int(npool_chunklist_of(c), NPOOL_Q025, "5 of 8 pages: q025");
	for (int i = 0; i < 12; i++)
		npool_chunk_free(c, h[i]);
	is_int(npool_chunklist_of(c), NPOOL_Q000, "an empty subpage holds it");
	is_size(npool_chunklist_trim(set), 4096, "a trim releases that");
	is_uint(supply.ngone, 1, "and the chunk has left");
	ok(!npool_chunklist_first(set, NPOOL_Q000), "its list is empty");
	free_set(set);
}

static void test_damage(void)
{
	npool_chunklist_t *set = make_set(&small), *other = make_set(&small);
	npool_chunk_t *c;
	npool_handle_t h = npool_chunklist_alloc(set, 64, &c);
	struct np_subpage *sp = np_chunk_subpage(c->chunk, 0);
	struct np_ring *rings = c->rings;
	struct np_chunklist *list = c->chunk->list;

	ok(npool_chunklist_valid(set), "a set is valid");
	c->rings = c->own;
	ok(!npool_chunklist_valid(set), "not if a chunk uses its own rings");
	c->rings = rings;
	c->set = other;
	ok(!npool_chunklist_valid(set), "not if a chunk knows another set");
	c->set = set;
	c->chunk->free_bytes -= 4096;
	ok(!npool_chunklist_valid(set), "not if a chunk is not");
	c->chunk->free_bytes += 4096 + 16 * 4096;
	ok(!npool_chunklist_valid(set), "not if a list is not");
	c->chunk->free_bytes -= 16 * 4096;
	sp->ring.prev = &sp->ring;
	ok(!npool_chunklist_valid(set), "not if a ring is broken");
	sp->ring.prev = &rings[sp->class];
	np_subpage_move(sp, &rings[sp->class + 1]);
	ok(!npool_chunklist_valid(set), "not if a subpage is in a wrong one");
	np_subpage_move(sp, &rings[sp->class]);
	np_chunklist_remove(c->chunk);
	c->set = other;
	ok(!npool_chunklist_valid(set), "not if it is of a foreign chunk");
	c->set = set;
	np_chunklist_add(list, c->chunk);
	ok(npool_chunklist_valid(set) && !npool_chunk_free(c, h),
	   "put right it is valid again, and works");
	free_set(set);
	npool_chunklist_destroy(other);
}

/* No plan: a golden trace is a claim. */
int main(void)
{
	np_meta_init(NULL);
	if (np_map_init())
		bail_out("no map");
	for (unsigned table = NPOOL_NETTY; table <= NPOOL_FINE; table++) {
		test_beside_arena(4096, 0, table);
		test_beside_arena(4096, 2, table);
		test_beside_arena(8192, 4, table);
		test_beside_arena(16384, 6, table);
		test_beside_arena(8192, 11, table);
	}
	test_all_golden();
	test_fixed();
	test_shapes();
	test_used_chunks();
	test_trim_to_end();
	test_damage();
	return done();
}
