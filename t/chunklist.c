/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * Chunk lists: the thresholds in pages and the bounds in bytes that Netty's
 * reference names, moves by hand, and random requests against a model that
 * keeps the six lists as arrays of numbers.
 */
#include "chunklist.h"
#include "rng.h"
#include "tap.h"

#include <stdlib.h>
#include <string.h>

static const char *const names[NP_NLISTS] = { "qInit", "q000", "q025",
					      "q050", "q075", "q100" };

static struct np_classes classes;
static struct np_chunklist lists[NP_NLISTS];

static struct np_chunk *make_chunk(void)
{
	void *meta = NULL, *pages;
	size_t size = np_chunk_meta_size(&classes);

	pages = calloc((size_t)1 << classes.max_order, sizeof(uint32_t));
	if (!pages || posix_memalign(&meta, NP_LINE, size))
		bail_out("no memory");
	memset(meta, 0, size);
	return np_chunk_init(meta, &classes, pages);
}

static void free_chunk(struct np_chunk *c)
{
	free(c->pages);
	free(c);
}

static void begin(unsigned shift, unsigned order)
{
	if (np_classes_init(&classes, NP_NETTY, shift, order))
		bail_out("no classes");
	np_chunklists_init(lists, classes.chunk_size);
}

/* A chunk of which so many pages are taken, from the first on. */
static struct np_chunk *make_used(uint32_t used)
{
	struct np_chunk *c = make_chunk();

	if (used)
		np_chunk_take_run(c, used, 0, 1, NULL);
	return c;
}

/* Takes npages for a piece of that size. */
static struct np_chunk *take(struct np_chunklist *list, uint32_t npages,
			     struct np_run_request *run)
{
	*run = (struct np_run_request){ .piece = (size_t)npages
						 << classes.page_shift,
					.npages = npages,
					.entry = 1 };
	return np_chunklist_take(list, run);
}

static const char *where(const struct np_chunk *c)
{
	return c->list ? names[c->list - lists] : "none";
}

/* --- bounds and thresholds -------------------------------------------- */

static void test_bounds(void)
{
	static const size_t known[] = { 16609443, 16609443, 12582912,
					8388608,  4194304,  0 };
	bool good = true;

	begin(13, 11);
	for (int i = 0; i < NP_NLISTS; i++)
		is_size(lists[i].max_size, known[i],
			"%s of a 16 MiB chunk serves up to %zu bytes",
			names[i], known[i]);
	for (unsigned order = 0; order <= 14; order++)
		for (unsigned shift = 12; shift + order <= 30 && shift <= 20;
		     shift++) {
			size_t size = (size_t)1 << (shift + order);

			np_chunklists_init(lists, size);
			good = good && lists[NP_Q025].max_size == size / 4 * 3
			    && lists[NP_Q050].max_size == size / 2
			    && lists[NP_Q075].max_size == size / 4
			    && lists[NP_QINIT].max_size == size * 99 / 100;
		}
	ok(good, "in all geometries: 99, 75, 50 and 25 percent of a chunk");
}

/* One page after the other is taken, then given back: where the chunk was, by
 * pages in use. Returns whether it left the lists when empty, and only then. */
static bool rise_and_fall(const char *rising[2049], const char *falling[2049])
{
	struct np_chunk *c = make_chunk();
	struct np_run_request run;
	bool good = true;

	np_chunklist_add(&lists[NP_QINIT], c);
	for (unsigned used = 1; used <= 2048; used++) {
		if (take(c->list, 1, &run) != c)
			bail_out("the chunk does not serve a page");
		rising[used] = where(c);
	}
	for (unsigned used = 2048; used-- > 0; ) {
		np_chunk_give_run(c, used, 1);
		good = np_chunklist_settle(c) == (used > 0) && good;
		falling[used] = where(c);
	}
	free_chunk(c);
	return good;
}

static void test_thresholds(void)
{
	static const struct {
		unsigned used;
		const char *list;
	} up[] = { { 1, "qInit" },    { 491, "qInit" }, { 492, "q000" },
		   { 1003, "q000" },  { 1004, "q025" }, { 1515, "q025" },
		   { 1516, "q050" },  { 2047, "q050" }, { 2048, "q100" } },
	  down[] = { { 2047, "q075" }, { 1516, "q075" }, { 1515, "q050" },
		     { 1004, "q050" }, { 1003, "q025" }, { 492, "q025" },
		     { 491, "q000" },  { 1, "q000" },	 { 0, "none" } };
	static const char *rising[2049], *falling[2049];

	begin(13, 11);
	ok(rise_and_fall(rising, falling),
	   "a chunk leaves the lists when it is empty, and only then");
	for (size_t i = 0; i < sizeof up / sizeof *up; i++)
		is_str(rising[up[i].used], up[i].list, "%u pages on the way "
		       "up: %s", up[i].used, up[i].list);
	for (size_t i = 0; i < sizeof down / sizeof *down; i++)
		is_str(falling[down[i].used], down[i].list, "%u pages on the "
		       "way down: %s", down[i].used, down[i].list);
}

/* --- moves by hand ---------------------------------------------------- */

static void test_cascade(void)
{
	static const struct {
		uint32_t used;
		const char *list;
	} add[] = { { 0, "qInit" }, { 15, "qInit" }, { 16, "q000" },
		    { 32, "q025" }, { 48, "q050" },  { 63, "q050" },
		    { 64, "q100" } },
	  drop[] = { { 63, "q075" }, { 40, "q050" }, { 31, "q025" },
		     { 15, "q000" }, { 1, "q000" },  { 0, "none" } };

	begin(13, 6);
	for (size_t i = 0; i < sizeof add / sizeof *add; i++) {
		struct np_chunk *c = make_used(add[i].used);

		np_chunklist_add(&lists[NP_QINIT], c);
		is_str(where(c), add[i].list, "%u of 64 pages, added to "
		       "qInit: ends in %s", add[i].used, add[i].list);
		np_chunklist_remove(c);
		free_chunk(c);
	}
	for (size_t i = 0; i < sizeof drop / sizeof *drop; i++) {
		struct np_chunk *c = make_used(drop[i].used);

		while (np_chunk_usage(c) < 100)
			np_chunk_take_run(c, 1, 0, 1, NULL);
		np_chunklist_add(&lists[NP_QINIT], c);
		for (uint32_t p = drop[i].used; p < 64; p++)
			np_chunk_give_run(c, p, 1);
		is_int(np_chunklist_settle(c), drop[i].used > 0,
		       "full, then %u pages at once: %s", drop[i].used,
		       drop[i].used ? "lives on" : "leaves");
		is_str(where(c), drop[i].list, "and is in %s", drop[i].list);
		free_chunk(c);
		np_chunklists_init(lists, classes.chunk_size);
	}
}

static void test_qinit(void)
{
	struct np_run_request run;
	struct np_chunk *c;

	begin(13, 6);
	c = make_chunk();
	np_chunklist_add(&lists[NP_QINIT], c);
	ok(take(&lists[NP_QINIT], 8, &run) == c && run.first == 0 &&
	   run.nclean == 8, "an empty chunk in qInit serves 8 pages, clean");
	np_chunk_give_run(c, 0, 8);
	ok(np_chunklist_settle(c) && c->list == &lists[NP_QINIT],
	   "empty again it stays: it has never been a quarter full");
	ok(take(&lists[NP_QINIT], 16, &run) == c && run.nclean == 8,
	   "of 16 pages it says that 8 hold nothing");
	np_chunk_give_run(c, 0, 16);
	np_chunklist_settle(c);
	ok(!take(&lists[NP_QINIT], 64, &run), "it does not serve a whole "
	   "chunk, that is over 99 percent (Q2)");
	ok(np_chunk_usage(c) == 0, "and was not asked");
	free_chunk(c);
}

/* Entered at the front, tried front to back. */
static void test_order(void)
{
	struct np_chunk *a, *b, *c;
	struct np_run_request run;

	begin(13, 6);
	a = make_used(20);
	b = make_used(31);
	c = make_used(20);
	np_chunklist_add(&lists[NP_Q000], a);
	np_chunklist_add(&lists[NP_Q000], b);
	np_chunklist_add(&lists[NP_Q000], c);
	ok(lists[NP_Q000].head == c && c->next == b && b->next == a,
	   "the chunk added last is the first");
	ok(take(&lists[NP_Q000], 1, &run) == c && run.first == 20,
	   "the first chunk serves");
	np_chunk_take_run(c, 32, 0, 1, NULL);
	ok(take(&lists[NP_Q000], 32, &run) == b,
	   "one that has no place is passed over");
	is_str(where(b), "q050", "and one that is due moves up");
	ok(lists[NP_Q000].head == c && c->next == a && a->prev == c &&
	   !c->prev && !a->next, "the others close up");
	np_chunklist_remove(c);
	ok(lists[NP_Q000].head == a && !c->list && !c->next,
	   "a chunk taken out is in no list");
	ok(take(&lists[NP_Q050], 33, &run) == NULL,
	   "q050 is not asked for more than half a chunk");
	ok(take(&lists[NP_Q100], 1, &run) == NULL, "nor q100 for anything");
	free_chunk(a);
	free_chunk(b);
	free_chunk(c);
}

/* Chunks that have spilled serve only who does not mind. */
static void test_spilled(void)
{
	struct np_run_request run = { .piece = 8192, .npages = 1, .entry = 1 };
	struct np_chunk *a, *b;

	begin(13, 6);
	a = make_used(20);
	b = make_used(20);
	np_chunklist_add(&lists[NP_Q000], a);
	np_chunklist_add(&lists[NP_Q000], b);
	b->spill.bytes = 4096;
	ok(np_chunklists_take(lists, &run) == b, "a chunk that has spilled");
	run.not_spilled = true;
	ok(np_chunklists_take(lists, &run) == a,
	   "is passed over by who wants none");
	a->spill.bytes = 4096;
	ok(!np_chunklists_take(lists, &run), "who gets nothing of two such");
	run.not_spilled = false;
	ok(np_chunklists_take(lists, &run) == b, "that still serve others");
	free_chunk(a);
	free_chunk(b);
}

/* --- damage ----------------------------------------------------------- */

/* Which of six lists, each with a chunk that could serve, comes first. */
static void test_lists(void)
{
	static const uint32_t used[NP_NLISTS] = { 1, 20, 40, 60, 80, 100 };
	static const int order[] = { NP_Q050, NP_Q025, NP_Q000, NP_QINIT,
				     NP_Q075 };
	struct np_chunk *chunks[NP_NLISTS];
	struct np_run_request run;

	begin(12, 7);
	for (int i = 0; i < NP_NLISTS; i++) {
		chunks[i] = make_used(used[i]);
		np_chunklist_add(&lists[i == NP_Q075 ? NP_Q075 : NP_QINIT],
				 chunks[i]);
		if (chunks[i]->list != &lists[i]) { /* its range overlaps */
			np_chunklist_remove(chunks[i]);
			np_chunklist_add(&lists[i], chunks[i]);
		}
	}
	for (int i = 0; i < 5; i++) {
		struct np_chunk *c;

		run = (struct np_run_request){ .piece = 4096, .npages = 1,
					       .entry = 1 };
		c = np_chunklists_take(lists, &run);
		ok(c == chunks[order[i]], "%s comes as number %d",
		   names[order[i]], i + 1);
		np_chunklist_remove(chunks[order[i]]);
	}
	ok(!np_chunklists_take(lists, &run), "%s never", names[NP_Q100]);
	for (int i = 0; i < NP_NLISTS; i++)
		free_chunk(chunks[i]);
}

static void test_damage(void)
{
	struct np_chunk *a, *b;

	begin(13, 6);
	a = make_used(20);
	b = make_used(24);
	np_chunklist_add(&lists[NP_Q000], a);
	np_chunklist_add(&lists[NP_Q000], b);
	ok(np_chunklists_valid(lists), "two chunks in their list are valid");
	a->list = &lists[NP_Q025];
	ok(!np_chunklists_valid(lists), "a chunk that names another is not");
	a->list = &lists[NP_Q000];
	a->prev = NULL;
	ok(!np_chunklists_valid(lists), "nor a broken link back");
	a->prev = b;
	np_chunk_take_run(a, 32, 0, 1, NULL);
	ok(!np_chunklists_valid(lists), "nor one that is too full");
	np_chunk_give_run(a, 32, 32);
	np_chunk_give_run(a, 0, 20);
	ok(!np_chunklists_valid(lists), "nor an empty one in q000");
	np_chunk_take_run(a, 1, 0, 1, NULL);
	ok(np_chunklists_valid(lists), "mended, they are valid again");
	free_chunk(a);
	free_chunk(b);
}

/* --- random requests against the model -------------------------------- */

#define MOST_CHUNKS 64
#define MOST_RUNS 4096

/* Netty's rules over numbers of chunks. */
struct model {
	unsigned npages;
	unsigned used[MOST_CHUNKS]; /* pages, by chunk */
	int list[NP_NLISTS][MOST_CHUNKS], length[NP_NLISTS];
};

static const int least[NP_NLISTS] = { -1000, 1, 25, 50, 75, 100 };
static const int most[NP_NLISTS] = { 25, 50, 75, 100, 100, 1000 };
static const int above[NP_NLISTS] = { NP_Q000, NP_Q025, NP_Q050, NP_Q075,
				      NP_Q100, -1 };
static const int below[NP_NLISTS] = { NP_QINIT, -1, NP_Q000, NP_Q025, NP_Q050,
				      NP_Q075 };

static int model_usage(const struct model *m, int chunk)
{
	unsigned nfree = m->npages - m->used[chunk];
	int percent = (int)(nfree * 100 / m->npages);

	if (!nfree)
		return 100;
	return percent ? 100 - percent : 99;
}

static void model_push(struct model *m, int list, int chunk)
{
	memmove(m->list[list] + 1, m->list[list],
		(size_t)m->length[list]++ * sizeof(int));
	m->list[list][0] = chunk;
}

static void model_remove(struct model *m, int list, int chunk)
{
	int i = 0;

	while (m->list[list][i] != chunk)
		i++;
	memmove(m->list[list] + i, m->list[list] + i + 1,
		(size_t)(--m->length[list] - i) * sizeof(int));
}

static void model_add(struct model *m, int list, int chunk)
{
	while (model_usage(m, chunk) >= most[list])
		list = above[list];
	model_push(m, list, chunk);
}

static int model_list_of(const struct model *m, int chunk)
{
	for (int list = 0; list < NP_NLISTS; list++)
		for (int i = 0; i < m->length[list]; i++)
			if (m->list[list][i] == chunk)
				return list;
	return -1;
}

/* The chunk has got fuller. */
static void model_rise(struct model *m, int chunk)
{
	int list = model_list_of(m, chunk);

	if (model_usage(m, chunk) >= most[list]) {
		model_remove(m, list, chunk);
		model_add(m, above[list], chunk);
	}
}

/* The chunk has got emptier. Returns whether it is still in a list. */
static bool model_fall(struct model *m, int chunk)
{
	int list = model_list_of(m, chunk);

	if (model_usage(m, chunk) >= least[list])
		return true;
	model_remove(m, list, chunk);
	while (list >= 0 && model_usage(m, chunk) < least[list])
		list = below[list];
	if (list >= 0)
		model_push(m, list, chunk);
	return list >= 0;
}

static struct world {
	struct model model;
	struct np_chunk *chunk[MOST_CHUNKS]; /* NULL: none */
	struct {
		int chunk;
		uint32_t first, n;
	} runs[MOST_RUNS];
	int nruns;
	unsigned gone; /* chunks that left the lists */
} w;

static int number_of(const struct np_chunk *c)
{
	for (int i = 0; i < MOST_CHUNKS; i++)
		if (w.chunk[i] == c)
			return i;
	return -1;
}

static bool same_lists(void)
{
	for (int list = 0; list < NP_NLISTS; list++) {
		const struct np_chunk *c = lists[list].head;

		for (int i = 0; i < w.model.length[list]; i++, c = c->next)
			if (!c || number_of(c) != w.model.list[list][i])
				return false;
		if (c)
			return false;
	}
	return np_chunklists_valid(lists);
}

/* The first chunk that the model would take 2^k pages from; -1: none. That a
 * chunk has a place its tree says, which t/chunk.c has tested. */
static int expected_chunk(const int order[], unsigned k)
{
	size_t size = classes.chunk_size;
	size_t piece = (size_t)1 << (k + classes.page_shift);

	for (int o = 0; o < 5; o++) {
		int list = order[o];
		int min = least[list] < 1 ? 1 : least[list];

		if (piece > size * (size_t)(100 - min) / 100)
			continue;
		for (int i = 0; i < w.model.length[list]; i++) {
			int chunk = w.model.list[list][i];

			if (w.chunk[chunk]->tree[1] <= classes.max_order - k)
				return chunk;
		}
	}
	return -1;
}

static bool random_take(unsigned k)
{
	static const int order[] = { NP_Q050, NP_Q025, NP_Q000, NP_QINIT,
				     NP_Q075 };
	int wanted = expected_chunk(order, k), chunk;
	struct np_run_request run;
	struct np_chunk *c = NULL;

	for (int o = 0; !c && o < 5; o++)
		c = take(&lists[order[o]], 1u << k, &run);
	chunk = c ? number_of(c) : number_of(NULL);
	if (c ? chunk != wanted : wanted >= 0)
		return diag("chunk %d, wanted %d", chunk, wanted), false;
	if (chunk < 0)
		return true; /* as many chunks as there may be */
	w.model.used[chunk] += 1u << k;
	if (c) {
		model_rise(&w.model, chunk);
	} else {
		w.chunk[chunk] = make_chunk();
		run.first = np_chunk_take_run(w.chunk[chunk], 1u << k, 0, 1,
					      NULL);
		np_chunklist_add(&lists[NP_QINIT], w.chunk[chunk]);
		model_add(&w.model, NP_QINIT, chunk);
	}
	w.runs[w.nruns].chunk = chunk;
	w.runs[w.nruns].first = run.first;
	w.runs[w.nruns++].n = 1u << k;
	return true;
}

static bool random_give(int i)
{
	int chunk = w.runs[i].chunk;
	struct np_chunk *c = w.chunk[chunk];
	bool stays, wanted;

	np_chunk_give_run(c, w.runs[i].first, w.runs[i].n);
	w.model.used[chunk] -= w.runs[i].n;
	w.runs[i] = w.runs[--w.nruns];
	stays = np_chunklist_settle(c);
	wanted = model_fall(&w.model, chunk);
	if (!stays) {
		free_chunk(c);
		w.chunk[chunk] = NULL;
		w.gone++;
	}
	return stays == wanted;
}

static bool random_requests(unsigned order)
{
	struct rng rng = rng_seed(order);
	bool good = true, filling = true;

	begin(12, order);
	memset(&w, 0, sizeof w);
	w.model.npages = 1u << order;
	for (unsigned op = 0; good && op < 20000; op++) {
		if (rng_chance(&rng, 1))
			filling = !filling;
		if (w.nruns == MOST_RUNS || (w.nruns &&
		    rng_chance(&rng, filling ? 35 : 65)))
			good = random_give((int)rng_below(&rng,
						(uint64_t)w.nruns));
		else
			good = random_take((unsigned)rng_below(&rng,
							       order + 1u));
		good = good && same_lists();
	}
	while (good && w.nruns)
		good = random_give(w.nruns - 1) && same_lists();
	for (int i = 0; i < MOST_CHUNKS; i++)
		if (w.chunk[i])
			free_chunk(w.chunk[i]);
	return good && (order < 2 || w.gone > 100);
}

static void test_random(void)
{
	for (unsigned order = 0; order <= 7; order++)
		ok(random_requests(order), "max order %u: 20000 requests "
		   "leave the same chunks in the same order as the model",
		   order);
}

int main(void)
{
	plan(7 + 19 + 7 + 12 + 5 + 6 + 8 + 6 + 8 + 4);
	test_bounds();
	test_thresholds();
	test_cascade();
	test_qinit();
	test_order();
	test_spilled();
	test_lists();
	test_damage();
	test_random();
	return done();
}
