/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * The index of long lists: two sets of lists get the same random requests, one
 * with an index and one that walks, and must answer the same to the page. Runs
 * are also taken without telling the lists, and memory for the index fails.
 */
#include "chunklist.h"
#include "faultos.h"
#include "meta.h"
#include "rng.h"
#include "tap.h"

#include <stdlib.h>
#include <string.h>

enum { INDEXED, WALKED, NSETS };

#define MOST_CHUNKS 1500
#define MOST_RUNS 20000

static struct np_classes classes;
static struct np_chunklist lists[NSETS][NP_NLISTS];

/* Twins: the same number in both sets. */
static struct np_chunk *chunk[NSETS][MOST_CHUNKS];
static unsigned nchunks; /* numbers given out; those of chunks that left are
			    used again */
static struct {
	unsigned chunk;
	uint32_t first, npages;
} run[MOST_RUNS];
static unsigned nruns;

static struct np_chunk *make_chunk(uint64_t number)
{
	size_t size = np_chunk_meta_size(&classes);
	void *meta = NULL, *pages;
	struct np_chunk *c;

	pages = calloc((size_t)1 << classes.max_order, sizeof(uint32_t));
	if (!pages || posix_memalign(&meta, NP_LINE, size))
		bail_out("no memory");
	memset(meta, 0, size);
	c = np_chunk_init(meta, &classes, pages);
	c->serial = number;
	return c;
}

static void free_chunk(struct np_chunk *c)
{
	free(c->pages);
	free(c);
}

static void begin(unsigned order)
{
	if (np_classes_init(&classes, NP_NETTY, 12, order))
		bail_out("no classes");
	for (int s = 0; s < NSETS; s++)
		np_chunklists_init(lists[s], classes.chunk_size);
	np_chunklists_index(lists[INDEXED], 0);
	memset(chunk, 0, sizeof chunk);
	nchunks = nruns = 0;
}

static void end(void)
{
	for (int s = 0; s < NSETS; s++)
		for (unsigned i = 0; i < nchunks; i++)
			if (chunk[s][i]) {
				np_chunklist_remove(chunk[s][i]);
				free_chunk(chunk[s][i]);
			}
}

static bool has_index(void)
{
	for (int i = 0; i < NP_NLISTS; i++)
		if (lists[INDEXED][i].index.size)
			return true;
	return false;
}

/* Do both sets have the same chunks, in the same order? */
static bool same_lists(void)
{
	for (int i = 0; i < NP_NLISTS; i++) {
		const struct np_chunk *a = lists[INDEXED][i].head;
		const struct np_chunk *b = lists[WALKED][i].head;

		for (; a && b && a->serial == b->serial; b = b->next)
			a = a->next;
		if (a || b)
			return false;
	}
	return np_chunklists_valid(lists[INDEXED]) &&
	       np_chunklists_valid(lists[WALKED]);
}

/* --- requests --------------------------------------------------------- */

static void note_run(unsigned number, uint32_t first, uint32_t npages)
{
	run[nruns].chunk = number;
	run[nruns].first = first;
	run[nruns++].npages = npages;
}

/* A new pair of twins, from which npages are taken. */
static void take_from_new(uint32_t npages)
{
	unsigned number = 0;

	while (chunk[0][number])
		number++;
	if (number >= nchunks)
		nchunks = number + 1;
	for (int s = 0; s < NSETS; s++) {
		struct np_chunk *c = make_chunk(number);

		chunk[s][number] = c;
		np_chunk_take_run(c, npages, 0, 1, NULL);
		np_chunklist_add(&lists[s][NP_QINIT], c);
	}
	note_run(number, 0, npages);
}

static bool random_take(struct rng *rng, bool may_grow)
{
	uint32_t npages = (uint32_t)rng_log(rng, (uint64_t)1
						 << classes.max_order);
	unsigned align = (unsigned)rng_below(rng, classes.max_order + 1u);
	struct np_run_request r[NSETS];
	struct np_chunk *c[NSETS];

	for (int s = 0; s < NSETS; s++) {
		r[s] = (struct np_run_request){
			.piece = (size_t)npages << classes.page_shift,
			.npages = npages,
			.align_order = rng_below(rng, 4) ? 0 : align,
			.entry = 1,
		};
		r[s].align_order = r[0].align_order;
		c[s] = np_chunklists_take(lists[s], &r[s]);
	}
	if (!c[0] && !c[1] && may_grow)
		take_from_new(npages);
	if (!c[0] || !c[1])
		return c[0] == c[1];
	note_run((unsigned)c[0]->serial, r[0].first, npages);
	return c[0]->serial == c[1]->serial && r[0].first == r[1].first;
}

static bool random_give(struct rng *rng)
{
	unsigned i = (unsigned)rng_below(rng, nruns), n = run[i].chunk;
	bool stays[NSETS];

	for (int s = 0; s < NSETS; s++) {
		np_chunk_give_run(chunk[s][n], run[i].first, run[i].npages);
		stays[s] = np_chunklist_settle(chunk[s][n]);
		if (stays[s])
			continue;
		free_chunk(chunk[s][n]);
		chunk[s][n] = NULL;
	}
	run[i] = run[--nruns];
	return stays[0] == stays[1];
}

/* As npool_chunk_alloc does of a chunk that is in a set: the lists are not
 * told. */
static void take_untold(struct rng *rng)
{
	unsigned n = (unsigned)rng_below(rng, nchunks);
	uint32_t first = NP_NO_PAGE;

	for (int s = 0; s < NSETS && chunk[s][n]; s++)
		if (chunk[s][n]->list != &lists[s][NP_Q100])
			first = np_chunk_take_run(chunk[s][n], 1, 0, 1, NULL);
	if (first != NP_NO_PAGE)
		note_run(n, first, 1);
}

/* Fills and empties in turn: lists of hundreds of chunks, most of which can
 * serve nothing large. */
static bool random_requests(unsigned order, bool untold)
{
	struct rng rng = rng_seed(order);
	bool good = true, filling = true, indexed = false;

	begin(order);
	for (unsigned op = 0; good && op < 60000; op++) {
		if (op % 12000 == 0)
			filling = op % 24000 == 0;
		if (nruns && (nruns == MOST_RUNS ||
			      rng_chance(&rng, filling ? 35 : 70)))
			good = random_give(&rng);
		else
			good = random_take(&rng, nchunks < MOST_CHUNKS);
		if (untold && nchunks && nruns < MOST_RUNS &&
		    rng_chance(&rng, 10))
			take_untold(&rng);
		indexed = indexed || has_index();
		if (op % 64 == 0 && !untold)
			good = good && same_lists();
	}
	end();
	return good && indexed;
}

static void test_random(void)
{
	for (unsigned order = 0; order <= 6; order++)
		ok(random_requests(order, false), "max order %u: 60000 "
		   "requests get the same pages with an index as without",
		   order);
	ok(random_requests(4, true), "and so they do when runs are taken "
	   "without telling the lists");
}

/* --- growing ---------------------------------------------------------- */

/* n chunks of 16 pages, three quarters full, enter the indexed list q050. */
static void fill(unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct np_chunk *c = make_chunk(i);

		np_chunk_take_run(c, 8, 0, 1, NULL);
		np_chunk_take_run(c, 2, 0, 1, NULL);
		chunk[INDEXED][nchunks++] = c;
		np_chunklist_add(&lists[INDEXED][NP_Q050], c);
	}
}

/* The number of the chunk that serves npages, or -1. */
static int serve(uint32_t npages)
{
	struct np_run_request r = { .piece = (size_t)npages << 12,
				    .npages = npages, .entry = 1 };
	struct np_chunk *c = np_chunklist_take(&lists[INDEXED][NP_Q050], &r);

	return c ? (int)c->serial : -1;
}

static void test_size(void)
{
	struct np_chunkindex *ix = &lists[INDEXED][NP_Q050].index;

	begin(4);
	fill(NP_INDEX_FROM);
	is_uint(ix->size, 0, "%u chunks are walked", NP_INDEX_FROM);
	fill(1);
	is_uint(ix->size, 128, "one more, and there is an index");
	fill(1000 - NP_INDEX_FROM - 1);
	is_uint(ix->size, 2048, "for 1000 chunks it has 2048 places");
	ok(np_chunklists_valid(lists[INDEXED]), "and is valid");
	/* One that leaves and one that enters, again and again. */
	for (unsigned i = 0; i < 5000; i++) {
		struct np_chunk *c = chunk[INDEXED][i % 1000];

		np_chunklist_remove(c);
		np_chunklist_add(&lists[INDEXED][NP_Q050], c);
	}
	is_uint(ix->size, 2048, "with 1000 chunks it stays so, whoever comes "
		"and goes");
	ok(np_chunklists_valid(lists[INDEXED]), "and is valid");
	end();
	is_uint(ix->size, 0, "an empty list has no index");
}

/* --- without memory --------------------------------------------------- */

static void test_no_memory(void)
{
	struct np_chunkindex *ix = &lists[INDEXED][NP_Q050].index;
	size_t mapped;

	begin(4);
	fill(512);
	is_uint(ix->size, 512, "the index has no place left");
	faultos_begin();
	faultos_use_up_kept(1);
	faultos_fail(1, ENOMEM);
	errno = 0;
	fill(1);
	is_uint(ix->size, 0, "without memory for more there is none");
	is_int(errno, 0, "which nobody hears of");
	is_int(serve(4), 0, "the newest chunk, at the front, serves");
	fill(1);
	is_uint(ix->size, 2048, "the next chunk gets it an index again");
	ok(np_chunklists_valid(lists[INDEXED]), "which is valid");
	faultos_end();
	end();
	mapped = np_meta_mapped();
	begin(4);
	fill(1200);
	end();
	is_size(np_meta_mapped(), mapped, "an index gives its memory back");
}

int main(void)
{
	np_meta_init(NULL);
	plan(8 + 7 + 7);
	test_random();
	test_size();
	test_no_memory();
	return done();
}
