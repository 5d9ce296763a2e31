/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * The reader of npool-stat, on segments of this very process: it counts what
 * the program did, exactly; it takes off what a forked child has inherited;
 * and whatever is done to a segment's bytes, it reads on or says what is
 * wrong, and never faults.
 *
 * The pool reads NPOOL_CONF before main(), so the test makes a folder and
 * then executes itself anew with the option that names it. Small chunks keep
 * the segment small.
 */
#include "child.h"
#include "npool.h"
#include "place.h"
#include "rng.h"
#include "sizeclass.h"
#include "stat.h"
#include "tap.h"
#include "tick.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

const char tool_name[] = "stat-read.t";

#define DIR_ENV "NPOOL_TEST_STAT_DIR"
#define CONF "page_size:8192,max_order:6,classes:fine,nodes:0,check:0"
#define CHUNK_PAGES 64

static char *dir_path; /* the process's own segments */
static int dir, lab;   /* it, and a folder for spoilt copies */
static char mine[32];  /* PID.0 */

/* --- start and end ---------------------------------------------------- */

static void begin(char **argv)
{
	const char *tmp = getenv("TMPDIR");
	char *path, *conf;

	dir_path = getenv(DIR_ENV);
	if (dir_path)
		return;
	path = format_text("%s/npool-stat-test.XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(path))
		bail_out("%s: %s", path, strerror(errno));
	conf = format_text(CONF ",segment:%s", path);
	setenv(DIR_ENV, path, 1);
	setenv("NPOOL_CONF", conf, 1);
	execv("/proc/self/exe", argv);
	bail_out("cannot execute the test anew: %s", strerror(errno));
}

static void open_dirs(void)
{
	snprintf(mine, sizeof mine, "%d.0", (int)getpid());
	dir = open(dir_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 || mkdirat(dir, "lab", 0700) != 0)
		bail_out("%s: %s", dir_path, strerror(errno));
	lab = openat(dir, "lab", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* Removes all segments from a folder. */
static void empty(int folder)
{
	struct segment_name *names;
	ssize_t n = segment_names(folder, &names);

	for (ssize_t i = 0; i < n; i++)
		unlinkat(folder, names[i].text, 0);
	free(names);
}

static void remove_dirs(void)
{
	empty(lab);
	empty(dir);
	unlinkat(dir, "lab", AT_REMOVEDIR);
	rmdir(dir_path);
}

/* --- reading ---------------------------------------------------------- */

static const struct options all_options = {
	.show = SHOW_REPORT | SHOW_THREADS | SHOW_PAGES,
	.verbose = true,
	.color = COLOR_ALWAYS,
};

static struct report read_report(int folder)
{
	struct report r = { .options = &all_options };
	struct samples samples = { 0 };

	report_read(&r, folder, &samples);
	samples_free(&samples);
	return r;
}

static struct segment_name my_name(void)
{
	struct segment_name name = { .pid = getpid(), .number = 0 };

	memcpy(name.text, mine, sizeof mine);
	return name;
}

static const struct class_row *class_of(const struct report *r, size_t size)
{
	static const struct class_row none;

	for (size_t i = 0; i < r->nclasses; i++)
		if (r->classes[i].size == npool_good_size(size))
			return &r->classes[i];
	return &none;
}

static const struct class_row *class_huge(const struct report *r)
{
	static const struct class_row none;
	const struct class_row *last = r->classes + r->nclasses - 1;

	return r->nclasses && last->kind == NP_HUGE ? last : &none;
}

/* --- figures ---------------------------------------------------------- */

#define SMALLS 1000
#define RUNS 7
#define HUGES 3

static void *smalls[SMALLS], *runs[RUNS], *huges[HUGES];

static size_t take(void **pieces, size_t n, size_t size)
{
	size_t bytes = 0;

	for (size_t i = 0; i < n; i++) {
		pieces[i] = npool_malloc(size);
		if (!pieces[i])
			bail_out("no memory");
		memset(pieces[i], 1, size);
		bytes += npool_usable_size(pieces[i]);
	}
	return bytes;
}

static void give(void **pieces, size_t n)
{
	for (size_t i = 0; i < n; i++)
		npool_free(pieces[i]);
}

static void test_pieces(const struct report *r, size_t bytes)
{
	uint64_t node_used = 0;

	is_uint(r->nprocesses, 1, "one process is seen");
	is_uint(r->by_life[LIFE_RUNNING], 1, "it runs");
	is_uint(r->total.allocs, SMALLS + RUNS + HUGES,
		"every allocation is counted");
	is_uint(r->total.frees, 0, "none is freed");
	is_uint(r->total.hits + r->total.misses, r->total.allocs,
		"each was a hit or a miss");
	is_uint(class_of(r, 300)->live, SMALLS, "pieces of 300 bytes are live");
	is_uint(class_of(r, 40000)->live, RUNS, "pieces of 40000 bytes too");
	is_uint(class_of(r, 300)->live_bytes, SMALLS * npool_good_size(300),
		"their bytes are those of the class");
	is_uint(class_huge(r)->live, HUGES, "huge blocks are live");
	is_uint(r->total.huge_blocks, HUGES, "and counted as such");
	is_uint(r->total.used, bytes, "used is what the program holds");
	for (size_t i = 0; i < r->nnodes; i++)
		node_used += r->nodes[i].used;
	is_uint(node_used, bytes, "the nodes' shares make the whole");
	is_uint(r->total.taken, r->total.used + r->total.cached,
		"what is taken is used or cached");
}

/* The same counters, read by the library in the process itself. */
static void test_against_stats(const struct report *r)
{
	struct npool_figures s = { .size = sizeof s };

	npool_stats(&s);
	is_uint(r->total.used, s.used, "npool_stats: used");
	is_uint(r->total.cached, s.cached, "npool_stats: cached");
	is_uint(r->total.reserved, s.reserved, "npool_stats: reserved");
	is_uint(r->total.peak_taken, s.peak_taken, "npool_stats: peak_taken");
	is_uint(r->total.chunks, s.chunks, "npool_stats: chunks");
	is_uint(r->total.huge_blocks, s.huge_blocks,
		"npool_stats: huge_blocks");
	is_uint(r->total.allocs, s.allocs, "npool_stats: allocs");
	is_uint(r->total.frees, s.frees, "npool_stats: frees");
	is_uint(r->total.hits, s.hits, "npool_stats: hits");
	is_uint(r->total.depot_gets, s.depot_gets, "npool_stats: depot_gets");
	is_uint(r->total.depot_puts, s.depot_puts, "npool_stats: depot_puts");
	is_uint(r->total.threads, s.threads, "npool_stats: threads");
}

static void test_pages(const struct report *r)
{
	const struct pages *p = &r->total.pages;
	bool known = r->nnodes && r->nodes[0].kernel_node >= 0;

	if (r->sample_error) {
		skip(2, "move_pages: %s", strerror(r->sample_error));
		return;
	}
	if (!known) {
		is_uint(p->asked, 0, "nodes without a number are not asked");
		skip(1, "the nodes' numbers are not known");
		return;
	}
	ok(p->resident && p->resident <= p->asked,
	   "pages that were written to are in memory");
	ok(p->local <= p->resident && (r->nnodes > 1 ||
				       p->local == p->resident),
	   "with one node, all of them are on it");
}

/* --- views ------------------------------------------------------------ */

/* All caches, and what is in none of them, make the whole. */
static void test_threads(const struct report *r)
{
	struct thread_row sum = { 0 };
	uint64_t depots = 0, own = 0;

	for (size_t i = 0; i < r->nthreads; i++) {
		const struct thread_row *t = &r->threads[i];

		sum.allocs += t->allocs;
		sum.frees += t->frees;
		sum.hits += t->hits;
		sum.misses += t->misses;
		sum.cached += t->cached;
		own += t->tid == (uint64_t)gettid() ? t->allocs : 0;
	}
	for (size_t i = 0; i < r->nnodes; i++)
		depots += r->nodes[i].depot_bytes;
	is_uint(sum.allocs, r->total.allocs, "threads: allocs add up");
	is_uint(sum.frees, r->total.frees, "frees");
	is_uint(sum.hits, r->total.hits, "hits");
	is_uint(sum.misses, r->total.misses, "misses");
	is_uint(sum.cached + depots, r->total.cached, "what is cached too");
	is_uint(own, r->total.allocs, "all was by this thread");
}

/* Bytes of the pieces that the chunk's arena has handed out. */
static uint64_t handed_out(const struct chunk_row *c)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < c->npieces; i++)
		bytes += (uint64_t)c->pieces[i].size *
			 (c->pieces[i].nelems ? c->pieces[i].taken : 1);
	return bytes;
}

static void test_chunk_sums(const struct report *r)
{
	uint64_t taken = 0, nchunks = 0, nhuge = 0, npages = 0;

	for (size_t i = 0; i < r->nchunks; i++) {
		const struct chunk_row *c = &r->chunks[i];

		nhuge += c->list == LIST_HUGE;
		nchunks += c->list != LIST_HUGE;
		taken += c->list == LIST_HUGE ? c->size : handed_out(c);
		npages += c->run_pages + c->subpage_pages + c->free_pages;
	}
	is_uint(nchunks, r->total.chunks, "every chunk is told");
	is_uint(nhuge, r->total.huge_blocks, "and every huge block");
	is_uint(npages, nchunks * CHUNK_PAGES, "with every page");
	is_uint(taken, r->total.taken,
		"runs, elements and huge blocks are what is taken");
}

/* Down to nodes that were taken whole the trees are the same. */
static bool same_tree(const struct chunk_row *row, const struct np_chunk *c,
		      uint32_t node)
{
	if (node >= 2 * CHUNK_PAGES)
		return true;
	if (row->tree[node] != c->tree[node])
		return false;
	return c->tree[node] > c->classes->max_order ||
	       (same_tree(row, c, 2 * node) && same_tree(row, c, 2 * node + 1));
}

/* Fills as they are in the subpages themselves. */
static bool same_fills(const struct chunk_row *row, const struct np_chunk *c)
{
	for (size_t i = 0; i < row->npieces; i++) {
		const struct piece_row *p = &row->pieces[i];
		const struct np_subpage *sp;

		if (!p->nelems)
			continue;
		sp = np_chunk_subpage(c, p->first);
		if (sp->first != p->first || sp->elem_size != p->size ||
		    sp->max_elems - sp->avail != p->taken)
			return false;
	}
	return true;
}

static void test_chunk(const struct report *r, const void *piece)
{
	const struct np_chunk *c = np_place_of(piece).chunk;
	const struct chunk_row *row = NULL;

	for (size_t i = 0; i < r->nchunks; i++)
		if (r->chunks[i].base == (uintptr_t)c->base)
			row = &r->chunks[i];
	if (!row)
		bail_out("there is no row of the chunk");
	is_uint(row->list, c->list->name, "a chunk is told with its list");
	is_uint(chunk_taken(row), (c->classes->chunk_size - c->free_bytes) /
		row->page_size, "its taken pages");
	ok(same_tree(row, c, 1), "its tree");
	is_uint(chunk_largest(row), np_chunk_best(c)
		? 1u << (np_chunk_best(c) - 1) : 0, "its largest free run");
	ok(same_fills(row, c), "and how far each subpage is filled");
}

static void test_views(void)
{
	struct report r = read_report(dir);

	test_threads(&r);
	test_chunk_sums(&r);
	test_chunk(&r, smalls[0]);
	test_chunk(&r, runs[RUNS - 1]);
	report_free(&r);
}

/* Every page that the kernel has of the pool, asked for one by one. */
static void test_places(void)
{
	struct samples samples = { .all = true };
	struct report r = { .options = &all_options };
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t asked = 0, wanted = 0, found = 0;

	report_read(&r, dir, &samples);
	for (size_t i = 0; i < r.nchunks; i++)
		wanted += r.chunks[i].size / page;
	for (size_t i = 0; i < r.nplaces; i++) {
		asked += r.places[i].pages;
		found += r.places[i].found == NOT_IN_MEMORY ? 0
			 : r.places[i].pages;
	}
	if (r.sample_error) {
		skip(2, "move_pages: %s", strerror(r.sample_error));
	} else {
		is_uint(asked, wanted, "every page is asked for");
		ok(found * page >= RUNS * 40000 + HUGES * 1000000 &&
		   found < asked, "those that were touched are in memory, and "
		   "asking has touched no other (%" PRIu64 " of %" PRIu64 ")",
		   found, asked);
	}
	report_free(&r);
	samples_free(&samples);
}

/* --- all of them ------------------------------------------------------ */

static void test_figures(void)
{
	struct report r;
	size_t bytes = take(smalls, SMALLS, 300);

	bytes += take(runs, RUNS, 40000);
	bytes += take(huges, HUGES, 1000000);
	r = read_report(dir);
	test_pieces(&r, bytes);
	test_against_stats(&r);
	test_pages(&r);
	report_free(&r);
	test_views();
	test_places();
	give(huges, HUGES);
	give(runs, RUNS);
	r = read_report(dir);
	is_uint(r.total.used, SMALLS * npool_good_size(300),
		"what was freed is no longer used");
	is_uint(r.total.huge_bytes, 0, "no huge block is left");
	is_uint(class_of(&r, 40000)->frees, RUNS, "runs were freed");
	report_free(&r);
}

/* --- forks ------------------------------------------------------------ */

#define CHILD_ALLOCS 5
#define CHILD_FREES 2

static void child_works(void *arg)
{
	void *pieces[CHILD_ALLOCS];

	(void)arg;
	take(pieces, CHILD_ALLOCS, 300);
	give(pieces, CHILD_FREES);
	give(smalls, 1);
}

static void test_fork(void)
{
	struct report before = read_report(dir), r;
	struct child c = child_run(child_works, NULL);
	const struct process *p;

	ok(child_exited(&c, 0), "a forked child allocates and frees");
	r = read_report(dir);
	is_uint(r.nprocesses, 2, "the child has a segment of its own");
	is_uint(r.by_life[LIFE_GONE], 1, "it has left without exit()");
	is_uint(r.total.allocs, before.total.allocs + CHILD_ALLOCS,
		"only the child's own allocations are added");
	is_uint(r.total.frees, before.total.frees + CHILD_FREES + 1,
		"and its own frees");
	is_uint(r.total.hits + r.total.misses, r.total.allocs,
		"each was a hit or a miss");
	p = r.processes[0].pid == getpid() ? &r.processes[1] : r.processes;
	is_uint(p->parent, (uint64_t)getpid(), "it names its parent");
	is_uint(p->total.used, before.total.used +
		(CHILD_ALLOCS - CHILD_FREES - 1) * npool_good_size(300),
		"it holds what it has inherited and taken");
	is_uint(r.total.forks, 1, "one fork is counted");
	report_free(&before);
	report_free(&r);
}

/* --- pools of the process's own --------------------------------------- */

#define HELD 500
#define LIMIT ((size_t)1 << 20)

static const struct process *pool_of(const struct report *r, const char *name)
{
	for (size_t i = 0; i < r->nprocesses; i++)
		if (!strcmp(r->processes[i].pool, name))
			return &r->processes[i];
	bail_out("there is no pool %s", name);
}

/* What the table says. Freed by the caller. */
static char *print_table(const struct options *options, const struct report *r)
{
	struct report as = *r;
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		bail_out("no memory");
	as.options = options;
	table_print(out, &as);
	fclose(out);
	return text;
}

static npool_t *make_pool(const char *name, size_t limit)
{
	struct npool_attr attr = NPOOL_ATTR_INIT;
	npool_t *pool;
	int error;

	attr.name = name;
	attr.arenas = 1;
	attr.max_order = 6;
	attr.hard_limit = limit;
	error = npool_create(&pool, &attr);
	if (error)
		bail_out("npool_create: %s", strerror(error));
	return pool;
}

static void test_pool_figures(const struct process *p, npool_t *pool)
{
	struct npool_figures s = { .size = sizeof s };

	npool_pool_stats(pool, &s);
	is_uint(p->total.used, s.used, "npool_pool_stats: used");
	is_uint(p->total.cached, s.cached, "npool_pool_stats: cached");
	is_uint(p->total.charged, s.charged, "npool_pool_stats: charged");
	is_uint(p->total.reserved, s.reserved, "npool_pool_stats: reserved");
	is_uint(p->total.allocs, s.allocs, "npool_pool_stats: allocs");
	is_uint(p->total.frees, s.frees, "npool_pool_stats: frees");
	is_uint(p->total.refused, s.refused, "npool_pool_stats: refused");
	is_uint(p->total.hits, s.hits, "npool_pool_stats: hits");
	is_uint(p->total.chunks, s.chunks, "npool_pool_stats: chunks");
}

static void test_pool_table(const struct report *r)
{
	static const struct options plain = { .show = SHOW_REPORT };
	char *text = print_table(&plain, r);

	ok(strstr(text, " pid pool ") && strstr(text, " tight "),
	   "the table of pools has it");
	ok(!strstr(text, " default "), "and not the default pool");
	free(text);
	text = print_table(&all_options, r);
	ok(strstr(text, " tight ") && strstr(text, " default "),
	   "verbose it has both");
	free(text);
}

/* Takes pieces until the limit says no. */
static size_t fill(npool_t *pool, void **pieces, size_t n)
{
	size_t taken = 0;

	while (taken < n && (pieces[taken] = npool_alloc(pool, 10000, 0)))
		taken++;
	return taken;
}

/* A file that says that it is of the pool that another file is of. */
static void test_twin(size_t nprocesses)
{
	char twin[sizeof mine + 8], pools[sizeof mine + 8];
	struct catch c = catch_begin();
	char text[CHILD_TEXT_MAX];
	struct report r;

	snprintf(pools, sizeof pools, "%d.1", (int)getpid());
	snprintf(twin, sizeof twin, "%d.2", (int)getpid());
	if (linkat(dir, pools, dir, twin, 0) != 0)
		bail_out("linkat: %s", strerror(errno));
	r = read_report(dir);
	unlinkat(dir, twin, 0);
	catch_end(&c, text);
	is_uint(r.nprocesses, nprocesses, "no pool is there twice");
	ok(r.nskipped == 1 && strstr(text, "another one is of the same pool"),
	   "who says so is told");
	report_free(&r);
}

static void test_pools(void)
{
	struct report before = read_report(dir), r;
	npool_t *pool = make_pool("tight", LIMIT);
	const struct process *p;
	void *pieces[HELD];
	size_t n = fill(pool, pieces, HELD);

	np_tick(pool);
	r = read_report(dir);
	p = pool_of(&r, "tight");
	is_uint(r.nprocesses, before.nprocesses + 1, "a pool has a segment");
	is_uint(r.nprograms, before.nprograms, "and is no program");
	is_uint(r.by_life[LIFE_RUNNING], before.by_life[LIFE_RUNNING],
		"nor one that runs");
	ok(p->pool_slot > 0 && p->pid == getpid() && !p->program_number,
	   "it is another pool of the same program");
	ok(n > 0 && n < HELD && p->total.refused > 0,
	   "requests that its limit refused are counted");
	ok(p->total.charged > LIMIT / 2 && p->total.charged <= LIMIT,
	   "what is charged is near the limit, and not above");
	ok(strstr(p->options, "hard_limit:1048576"), "its options are its own");
	is_uint(pool_of(&r, "default")->pool_slot, 0,
		"what is always there is called default");
	is_uint(r.total.used, before.total.used + p->total.used,
		"the totals have what both hold");
	test_pool_figures(p, pool);
	test_pool_table(&r);
	test_twin(r.nprocesses);
	report_free(&r);
	npool_destroy(pool);
	r = read_report(dir);
	is_uint(r.nprocesses, before.nprocesses, "destroyed it is gone");
	is_uint(r.total.used, before.total.used, "and counts no more");
	report_free(&r);
	report_free(&before);
}

/* What idle caches lost to others is not cached there any more. */
static void test_reclaimed(void)
{
	struct npool_figures s = { .size = sizeof s };
	npool_t *pool = make_pool("idle", 0);
	void *pieces[HELD];
	struct report r;

	for (size_t i = 0; i < HELD; i++)
		pieces[i] = npool_alloc(pool, 3000, 0);
	give(pieces, HELD);
	npool_pool_trim(pool);
	npool_pool_stats(pool, &s);
	r = read_report(dir);
	is_uint(pool_of(&r, "idle")->total.cached, s.cached,
		"a trim takes from the caches, and both say how much");
	is_uint(pool_of(&r, "idle")->total.used, 0, "nothing is used");
	report_free(&r);
	npool_destroy(pool);
}

#define BEYOND 40 /* chunks for which a segment has no room */

static size_t chunks_shown(const struct report *r, const char *pool)
{
	size_t n = 0;

	for (size_t i = 0; i < r->nchunks; i++)
		n += !strcmp(r->chunks[i].pool, pool);
	return n;
}

/* Is it told in the report, and below each view of chunks, that some are not
 * there? */
static unsigned count_told(const struct report *r, const char *says)
{
	static const unsigned shows[] = { SHOW_REPORT, SHOW_LISTS, SHOW_CHUNK,
					  SHOW_MAP, SHOW_VERIFY };
	unsigned n = 0;

	for (size_t i = 0; i < sizeof shows / sizeof *shows; i++) {
		struct options options = { .show = shows[i] };
		char *text = print_table(&options, r);

		n += strstr(text, says) != NULL;
		free(text);
	}
	return n;
}

static void test_unseen(void)
{
	static void *chunks[NP_NCHUNKS + BEYOND];
	npool_t *pool = make_pool("many", 0);
	struct report r;
	size_t n = sizeof chunks / sizeof *chunks;

	for (size_t i = 0; i < n; i++) {
		chunks[i] = npool_alloc(pool, CHUNK_PAGES * 8192, 0);
		if (!chunks[i])
			bail_out("no memory for %zu chunks", n);
	}
	r = read_report(dir);
	is_uint(pool_of(&r, "many")->total.chunks, n, "all chunks are counted");
	is_uint(chunks_shown(&r, "many"), NP_NCHUNKS, "so many are shown");
	is_uint(pool_of(&r, "many")->total.chunks_unseen, BEYOND,
		"the others are known to be there");
	is_uint(count_told(&r, "40 chunks "), 5, "which every view of chunks "
		"tells");
	report_free(&r);
	give(chunks, BEYOND);
	npool_pool_trim(pool);
	r = read_report(dir);
	is_uint(pool_of(&r, "many")->total.chunks_unseen + chunks_shown(
			&r, "many"), NP_NCHUNKS, "as many as there are");
	report_free(&r);
	give(chunks + BEYOND, NP_NCHUNKS);
	npool_pool_trim(pool);
	r = read_report(dir);
	ok(!pool_of(&r, "many")->total.chunks_unseen &&
	   !count_told(&r, "no room"), "and none when they have gone");
	report_free(&r);
	npool_destroy(pool);
}

/* --- a copy to spoil -------------------------------------------------- */

static char *original;
static size_t original_size;
static int copy = -1; /* the file lab/PID.0 */

static void make_original(void)
{
	int fd = openat(dir, mine, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) != 0)
		bail_out("%s: %s", mine, strerror(errno));
	original_size = (size_t)st.st_size;
	original = get_memory(original_size, 1);
	if (pread(fd, original, original_size, 0) != (ssize_t)original_size)
		bail_out("%s cannot be read", mine);
	close(fd);
}

static void write_at(const void *bytes, size_t size, size_t offset)
{
	if (pwrite(copy, bytes, size, (off_t)offset) != (ssize_t)size)
		bail_out("the copy cannot be written");
}

static void make_copy(void)
{
	copy = openat(lab, mine, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (copy < 0)
		bail_out("%s: %s", mine, strerror(errno));
	write_at(original, original_size, 0);
}

static struct view *open_copy(char *why, size_t size)
{
	struct segment_name name = my_name();

	*why = '\0';
	return view_open(lab, &name, why, size);
}

/* --- the map ---------------------------------------------------------- */

static unsigned class_like(const struct view *v, size_t size)
{
	for (unsigned c = 1; c < v->nclasses; c++)
		if (v->classes[c].size == npool_good_size(size))
			return c;
	bail_out("no class for %zu bytes", size);
}

/* A page map by hand: two subpages of 300 bytes, a free page, a run of 40000
 * bytes, another, and a class that is not there. */
static void draw_map(const struct view *v, unsigned chunk, char *wanted)
{
	unsigned c300 = class_like(v, 300), c40000 = class_like(v, 40000);
	uint8_t map[CHUNK_PAGES] = { 0 };
	size_t n300 = v->classes[c300].npages;
	size_t n40000 = v->classes[c40000].npages, at = 0;

	memset(wanted, '.', CHUNK_PAGES);
	wanted[CHUNK_PAGES] = '\0';
	for (size_t i = 0; i < 2 * n300; i++, at++) {
		map[at] = (uint8_t)c300;
		wanted[at] = i % n300 ? 'f' : 'F';
	}
	at++;
	for (size_t i = 0; i < 2 * n40000; i++, at++) {
		map[at] = (uint8_t)c40000;
		wanted[at] = i % n40000 ? '=' : '#';
	}
	map[at] = 255;
	wanted[at] = '?';
	write_at(map, sizeof map, v->head.maps.offset +
		 (size_t)v->head.maps.stride * chunk +
		 np_segment_map_offset(v->head.max_order));
}

static const struct chunk_row *chunk_at(const struct report *r, uint64_t base)
{
	for (size_t i = 0; i < r->nchunks; i++)
		if (r->chunks[i].base == base)
			return &r->chunks[i];
	bail_out("there is no row of the chunk");
}

static unsigned first_chunk(const struct view *v)
{
	for (unsigned i = 0; i < v->nchunks; i++)
		if (view_map_pages(v, i))
			return i;
	bail_out("the segment has no chunk");
}

static void test_map(void)
{
	char why[200], wanted[CHUNK_PAGES + 1];
	struct view *v = open_copy(why, sizeof why);
	unsigned chunk = first_chunk(v);
	uint64_t base = np_count_get(&v->chunks[chunk].base);
	const struct chunk_row *p;
	struct report r;

	is_uint(view_map_pages(v, chunk), CHUNK_PAGES,
		"a chunk's map has a byte a page");
	draw_map(v, chunk, wanted);
	r = read_report(lab);
	p = chunk_at(&r, base);
	is_str(p->cells, wanted, "runs and subpages are told apart");
	is_uint(p->runs, 2, "runs side by side are two");
	is_uint(p->subpages, 2, "subpages side by side are two");
	is_uint(p->run_pages + p->subpage_pages + p->free_pages + 1,
		CHUNK_PAGES, "every page is one of them, or unknown");
	report_free(&r);
	view_close(v);
	make_copy();
}

/* --- what is refused -------------------------------------------------- */

static void refused(const char *says, const char *claim)
{
	char why[200];
	struct view *v = open_copy(why, sizeof why);

	if (!ok(!v && strstr(why, says), "%s", claim))
		diag("seen '%s', wanted '%s'", why, says);
	view_close(v);
}

/* Writes a wrong value, and claims that it is refused. */
static void spoil(size_t offset, size_t size, uint64_t value, const char *says,
		  const char *claim)
{
	write_at(&value, size, offset);
	refused(says, claim);
	write_at(original + offset, size, offset);
}

#define HEAD(field) offsetof(struct np_segment_header, field)
#define SPOIL(field, value, says, claim)                           \
	spoil(HEAD(field),                                         \
	      sizeof ((struct np_segment_header *)0)->field,       \
	      value, says, claim)

/* Names that have no end, and what no terminal should see. */
static void test_names_in_header(void)
{
	char wild[NP_POOL_NAME_SIZE], why[200];
	struct view *v;

	memset(wild, '\33', sizeof wild);
	write_at(wild, sizeof wild, HEAD(pool));
	v = open_copy(why, sizeof why);
	ok(v && strlen(v->head.pool) == sizeof wild - 1 &&
	   !strchr(v->head.pool, '\33'), "a pool's name is cut and printable");
	view_close(v);
	write_at(original + HEAD(pool), sizeof wild, HEAD(pool));
	write_at("\377\377\377\377", 4, HEAD(pool_slot));
	v = open_copy(why, sizeof why);
	ok(v, "a pool of any number is read");
	view_close(v);
	write_at(original + HEAD(pool_slot), 4, HEAD(pool_slot));
}

static void test_header(void)
{
	uint32_t big = UINT32_MAX;

	SPOIL(magic, 7, "no magic", "another magic number is refused");
	SPOIL(magic, 0, "not finished", "so is none");
	SPOIL(version, 1, "version 1", "an older version is refused");
	SPOIL(version, 77, "version 77", "and a newer one");
	SPOIL(header_size, 8, "header", "a header too small is refused");
	SPOIL(header_size, big, "header", "and one over the end");
	SPOIL(size, original_size + 1, "cut off", "a short file is refused");
	SPOIL(size, UINT64_MAX, "cut off", "and a size beyond all files");
	SPOIL(size, 9, "header", "a size below the header is refused");
	SPOIL(pid, 1, "process 1", "another process's is refused");
	SPOIL(page_size, 0, "page size", "a page size of 0 is refused");
	SPOIL(page_size, 12288, "page size", "one that is no power of two");
	SPOIL(page_size, 1u << 31, "page size", "and one of 2 GiB");
	SPOIL(max_order, 64, "max order", "a max order of 64 is refused");
	SPOIL(class_table, 9, "class table", "an unknown table is refused");
	SPOIL(state, 0, "state", "an unknown state is refused");
	SPOIL(classes.n, 999, "classes", "999 classes are refused");
	SPOIL(nodes.n, big, "nodes", "too many nodes are refused");
	SPOIL(arenas.offset, 1, "arenas", "arenas in the header are refused");
	SPOIL(arenas.stride, 8, "arenas", "arenas too small are refused");
	SPOIL(blocks.offset, big, "blocks", "blocks beyond the end");
	SPOIL(blocks.stride, big, "blocks", "blocks that reach there");
	SPOIL(before.n, 2, "inherited", "two inherited blocks are refused");
	SPOIL(chunks.n, big, "chunks", "too many chunks are refused");
	SPOIL(chunks.stride, 0, "chunks", "chunks of no size are refused");
	SPOIL(maps.stride, big, "page maps", "maps beyond the end");
	SPOIL(flows.n, 8, "flows", "other than one flow each two nodes");
	SPOIL(flows.stride, 8, "flows", "flows too small are refused");
	SPOIL(flows.offset, big, "flows", "flows beyond the end");
	test_names_in_header();
}

static void test_entries(void)
{
	char why[200];
	struct view *v = open_copy(why, sizeof why);
	const struct np_segment_header *h = &v->head;
	size_t chunk = h->chunks.offset +
		       (size_t)h->chunks.stride * first_chunk(v);

	spoil(h->classes.offset + h->classes.stride +
	      offsetof(struct np_segment_class, kind), 4, 77,
	      "class 1 is of kind 77", "an unknown kind is refused");
	spoil(h->classes.offset + h->classes.stride +
	      offsetof(struct np_segment_class, npages), 4, 65,
	      "class 1 has 65 pages", "a piece over a chunk is refused");
	spoil(h->arenas.offset + offsetof(struct np_segment_arena, home), 4,
	      1024, "arena 0 is on node 1024",
	      "an arena on a node that is not there is refused");
	spoil(h->blocks.offset + offsetof(struct np_block, home), 4, 1024,
	      "block 0 is on node 1024", "and a block");
	spoil(chunk + offsetof(struct np_segment_chunk, home), 4, 1024,
	      "is on node 1024", "and a chunk");
	view_close(v);
}

static void test_file_sizes(void)
{
	if (ftruncate(copy, 0) != 0)
		bail_out("ftruncate: %s", strerror(errno));
	refused("cut off", "an empty file is refused");
	write_at(original, 100, 0);
	refused("cut off", "half a header is refused");
	write_at(original, sizeof(struct np_segment_header), 0);
	refused("cut off", "a header alone is refused");
	make_copy();
}

static void test_files(void)
{
	unlinkat(lab, mine, 0);
	refused("No such file", "a file that is gone is refused");
	if (symlinkat("/etc/passwd", lab, mine) != 0)
		bail_out("symlink: %s", strerror(errno));
	refused("symbolic link", "a symbolic link is not followed");
	unlinkat(lab, mine, 0);
	if (mkfifoat(lab, mine, 0600) != 0)
		bail_out("mkfifo: %s", strerror(errno));
	refused("not a regular file", "a FIFO is refused, at once");
	unlinkat(lab, mine, 0);
	make_copy();
	if (geteuid() == 0 && fchown(copy, 12345, (gid_t)-1) == 0)
		refused("belongs to user 12345", "another user's is refused");
	else
		skip(1, "only root can give a file away");
	unlinkat(lab, mine, 0);
	make_copy();
}

static void test_names(void)
{
	static const char *const others[] = {
		"1.0.tmp", "01.0", "1.00", "-1.0", "1", "1.", ".1", "x.0",
		"99999999999.0", "1.99999999999",
	};
	size_t n = sizeof others / sizeof *others;
	struct segment_name *names;

	for (size_t i = 0; i < n; i++)
		close(openat(lab, others[i], O_WRONLY | O_CREAT, 0600));
	is_int(segment_names(lab, &names), 1,
	       "files of other names are not looked at");
	is_str(names[0].text, mine, "the segment is");
	free(names);
	for (size_t i = 0; i < n; i++)
		unlinkat(lab, others[i], 0);
}

/* --- at random -------------------------------------------------------- */

/* A place where something is written: most are in what is not zero. */
static size_t random_place(struct rng *rng)
{
	const struct np_segment_header *h = (const void *)original;
	const struct np_segment_part *parts[] = {
		&h->classes, &h->nodes, &h->arenas, &h->before, &h->blocks,
		&h->chunks, &h->maps,
	};
	const struct np_segment_part *part;

	if (rng_chance(rng, 40))
		return rng_below(rng, sizeof *h / 4) * 4;
	part = parts[rng_below(rng, sizeof parts / sizeof *parts)];
	return part->offset + rng_log(rng, part->stride * 4u) / 4 * 4;
}

static uint32_t random_value(struct rng *rng)
{
	static const uint32_t odd[] = {
		0, 1, 2, 3, 63, 64, 65, 255, 4096, 0x7fffffff, 0x80000000,
		0xfffffffe, 0xffffffff,
	};

	if (rng_chance(rng, 50))
		return odd[rng_below(rng, sizeof odd / sizeof *odd)];
	return (uint32_t)rng_next(rng);
}

/* Reads the copy in every way there is, into nothing. */
static bool read_copy(FILE *nowhere)
{
	struct samples samples = { 0 };
	char why[200];
	struct view *v = open_copy(why, sizeof why);
	struct options options = all_options;
	struct report r = { .options = &options };

	options.metrics = true;
	if (!v)
		return false;
	samples_take(&samples, v);
	report_read(&r, lab, &samples);
	table_print(nowhere, &r);
	if (json_is_there())
		json_print(nowhere, &r);
	metrics_print(nowhere, &r);
	svg_print(nowhere, &r);
	report_free(&r);
	samples_free(&samples);
	view_close(v);
	return true;
}

/* Spoils up to four words, or cuts the file off; reads; mends. */
static bool spoil_at_random(struct rng *rng, FILE *nowhere)
{
	size_t n = 1 + rng_below(rng, 4), places[4];
	bool could, is_cut = rng_chance(rng, 5);

	for (size_t i = 0; i < n; i++) {
		uint32_t value = random_value(rng);

		places[i] = random_place(rng);
		write_at(&value, sizeof value, places[i]);
	}
	if (is_cut && ftruncate(copy, (off_t)rng_log(rng, original_size)) != 0)
		bail_out("ftruncate: %s", strerror(errno));
	could = read_copy(nowhere);
	for (size_t i = 0; !is_cut && i < n; i++)
		write_at(original + places[i], 4, places[i]);
	if (is_cut)
		make_copy();
	return could;
}

static void test_random(void)
{
	const char *level = getenv("NPOOL_TEST_LEVEL");
	unsigned rounds = level && !strcmp(level, "all") ? 50000
			: level && !strcmp(level, "check") ? 10000 : 2000;
	FILE *nowhere = fopen("/dev/null", "w");
	struct rng rng = rng_seed(4148);
	unsigned could = 0;

	if (!nowhere)
		bail_out("/dev/null: %s", strerror(errno));
	for (unsigned i = 0; i < rounds; i++)
		could += spoil_at_random(&rng, nowhere);
	diag("%u of %u spoilt segments were read", could, rounds);
	ok(could > rounds / 10, "some spoilt segments are read");
	ok(could < rounds - rounds / 10, "the others are refused");
	ok(read_copy(nowhere), "mended, it is read again");
	fclose(nowhere);
}

/* --- while it is read --------------------------------------------------- */

static atomic_bool stop_cutting;

/* Cuts the copy off and mends it, again and again; it is whole for a while. */
static void *cut(void *arg)
{
	struct rng rng = rng_seed(77);

	while (!atomic_load(&stop_cutting)) {
		if (ftruncate(copy, (off_t)rng_log(&rng, original_size)) != 0)
			abort();
		write_at(original, original_size, 0);
		usleep((useconds_t)rng_below(&rng, 10000));
	}
	return arg;
}

static void test_shrinking(void)
{
	FILE *nowhere = fopen("/dev/null", "w");
	struct catch c = catch_begin();
	char text[CHILD_TEXT_MAX];
	unsigned could = 0, n = 0;
	pthread_t t;

	if (!nowhere || pthread_create(&t, NULL, cut, NULL))
		bail_out("no thread");
	for (; n < 300 || (!could && n < 3000); n++) {
		could += read_copy(nowhere);
		usleep(1000); /* a file that is cut is refused at once */
	}
	atomic_store(&stop_cutting, true);
	pthread_join(t, NULL);
	catch_end(&c, text);
	fclose(nowhere);
	diag("%u of %u could be read", could, n);
	ok(could > 0, "a file that is cut off while it is read is read or not");
	make_copy();
}

/* The file of a process, found in its maps; and what may stand there. */
static void test_mapped(void)
{
	struct samples samples = { 0 };
	struct report r = { .options = &all_options };
	struct catch c;
	char why[200], text[CHILD_TEXT_MAX];

	ok(report_process(&r, getpid(), &samples, why, sizeof why),
	   "a process with a file is looked at");
	report_free(&r);
	r = (struct report){ .options = &all_options };
	if (renameat(dir, mine, dir, "moved") != 0 ||
	    symlinkat("moved", dir, mine) != 0)
		bail_out("rename: %s", strerror(errno));
	c = catch_begin();
	ok(!report_process(&r, getpid(), &samples, why, sizeof why),
	   "a file that has gone is not, whatever has its name");
	catch_end(&c, text);
	report_free(&r);
	unlinkat(dir, mine, 0);
	renameat(dir, "moved", dir, mine);
	samples_free(&samples);
}

int main(int argc, char **argv)
{
	(void)argc;
	begin(argv);
	plan(13 + 12 + 2 + 20 + 2 + 3 + 9 + 9 + 9 + 3 + 2 + 2 + 5 + 31 + 5 +
	     3 + 4 + 2 + 3 + 1 + 2 + 2 + 6);
	open_dirs();
	test_figures();
	test_fork();
	test_pools();
	test_reclaimed();
	test_unseen();
	make_original();
	make_copy();
	test_map();
	test_header();
	test_entries();
	test_file_sizes();
	test_files();
	test_names();
	test_random();
	test_shrinking();
	test_mapped();
	remove_dirs();
	return done();
}
