/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * record: what calls do while they are recorded, and what is then in the rings
 * (lib/trace.c, lib/record.c, lib/stack.c); read by the tool's own reader
 * (tools/rings.c, recording*.c, lives.c).
 */
#include "child.h"
#include "conf.h"
#include "lives.h"
#include "npool.h"
#include "npool_chunk.h"
#include "pool.h"
#include "record.h"
#include "rings.h"
#include "rng.h"
#include "start.h"
#include "stay.h"
#include "tap.h"
#include "tool.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#define CONF "arenas:1,decay_ms:-1"
#define NPIECES 200
#define NTHREADS 4

const char tool_name[] = "record.t";

static char ring_path[64], file_path[64];

static const struct rings_options preset = {
	.ring_size = NP_MIB, .nrings = 16, .size_max = UINT64_MAX,
};

/* --- a recording ----------------------------------------------------- */

static struct rings *rings;
static struct writer *writer;

static void begin(const struct rings_options *o)
{
	rings = rings_create(ring_path, o);
	writer = writer_open(file_path);
	np_record_start(ring_path);
}

/* Stops it; the file is there then. */
static struct written end(void)
{
	struct written w;

	np_record_stop();
	while (rings_drain(rings, writer))
		;
	w = writer_close(writer, rings_now_ns(rings));
	rings_destroy(rings);
	return w;
}

static struct reader *open_file(int *fd)
{
	*fd = open(file_path, O_RDONLY | O_CLOEXEC);
	return reader_open(*fd, file_path);
}

static void close_file(struct reader *r, int fd)
{
	if (reader_error(r))
		diag("%s", reader_error(r));
	reader_close(r);
	close(fd);
}

/* How many events of this kind the file has. */
static uint64_t count(enum np_trace_kind kind)
{
	const struct event *e;
	uint64_t n = 0;
	int fd;
	struct reader *r = open_file(&fd);

	while ((e = reader_next(r)))
		n += e->kind == kind;
	if (reader_error(r) || !reader_is_whole(r))
		n = UINT64_MAX;
	close_file(r, fd);
	return n;
}

/* The n-th call (0: the first). */
static struct event call(unsigned n)
{
	const struct event *e;
	struct event found = { .kind = NP_TRACE_NONE };
	int fd;
	struct reader *r = open_file(&fd);

	while ((e = reader_next(r)))
		if (is_call(e->kind) && !n--)
			found = *e;
	close_file(r, fd);
	return found;
}

/* --- one call after the other ---------------------------------------- */

static bool is_piece(struct event e, enum np_trace_kind kind, const void *p,
		     size_t size)
{
	return e.kind == kind && e.addr == (uintptr_t)p && e.size == size;
}

static void test_calls(void)
{
	void *small, *large, *huge, *moved, *grown;

	begin(&preset);
	small = npool_malloc(100);
	large = npool_calloc(1, 100000);
	huge = npool_malloc(20 * NP_MIB);
	moved = npool_realloc(small, 3000);
	npool_free(moved);
	grown = npool_realloc(huge, 40 * NP_MIB);
	npool_free(grown);
	npool_free(large);
	npool_free(NULL);
	is_uint(npool_malloc(SIZE_MAX / 4) == NULL, 1, "one is refused");
	end();
	ok(is_piece(call(0), NP_TRACE_ALLOC, small, 100),
	   "malloc is an ALLOC of the size that was asked for");
	ok(is_piece(call(1), NP_TRACE_ALLOC, large, 100000),
	   "so is calloc");
	ok(is_piece(call(2), NP_TRACE_ALLOC, huge, 20 * NP_MIB) &&
	   call(2).class == 0, "and a huge block, of class 0");
	ok(is_piece(call(3), NP_TRACE_MOVE, small, 3000) &&
	   is_piece(call(4), NP_TRACE_ALLOC, moved, 3000) &&
	   is_piece(call(5), NP_TRACE_FREE, small, 0),
	   "realloc to another place is MOVE, ALLOC and FREE");
	ok(is_piece(call(6), NP_TRACE_FREE, moved, 0), "free is a FREE");
	ok(is_piece(call(7), NP_TRACE_MOVE, huge, 40 * NP_MIB) &&
	   is_piece(call(8), NP_TRACE_RESIZE, grown, 40 * NP_MIB),
	   "a huge block that grows is MOVE and RESIZE");
	is_uint(count(NP_TRACE_HUGE_MAP), 2, "and its new size is told");
	ok(is_piece(call(9), NP_TRACE_FREE, grown, 0) &&
	   is_piece(call(10), NP_TRACE_FREE, large, 0),
	   "free(NULL) is nothing");
	ok(call(11).kind == NP_TRACE_NONE || call(11).kind == NP_TRACE_REFUSE,
	   "what is refused is a REFUSE, or more than any pool has");
	ok(call(0).tid == (uint32_t)gettid() && call(0).cpu != UINT32_MAX,
	   "an event says who and on which CPU");
}

/* A class served by an arena past the cache. */
static void test_many(void)
{
	void *pieces[NPIECES];

	begin(&preset);
	npool_alloc_many(npool_default(), 50, 0, pieces, NPIECES);
	npool_free_many(pieces, NPIECES);
	end();
	is_uint(count(NP_TRACE_ALLOC), NPIECES, "a batch is so many ALLOCs");
	is_uint(count(NP_TRACE_FREE), NPIECES, "and FREEs");
}

/* --- chunk and handle ------------------------------------------------ */

/* The library's own idea of a handle, as npool_chunk.h has it. */
static uint64_t handle_of(const void *p)
{
	struct np_place place = np_place_of(p);
	const struct np_class *row =
		&place.chunk->classes->row[place.class];
	unsigned order = np_log2_up(row->npages);
	uint64_t node = ((uint64_t)1 << (place.chunk->classes->max_order -
					 order)) + (place.first >> order);

	return row->nelems ? (uint64_t)1 << 62 | (uint64_t)place.slot << 32 |
			     node
			   : node;
}

static void test_handles(void)
{
	struct rng rng = rng_seed(7);
	void *p[NPIECES];
	uint64_t handle[NPIECES], base[NPIECES];
	unsigned n = 0, good = 0;
	const struct event *e;
	struct lives lives;
	struct reader *r;
	int fd;

	begin(&preset);
	for (unsigned i = 0; i < NPIECES; i++) {
		p[i] = npool_malloc(1 + rng_log(&rng, 1000000));
		handle[i] = handle_of(p[i]);
		base[i] = (uintptr_t)np_place_of(p[i]).chunk->base;
	}
	for (unsigned i = 0; i < NPIECES; i++)
		npool_free(p[i]);
	end();
	lives_init(&lives);
	r = open_file(&fd);
	while ((e = reader_next(r))) {
		lives_apply(&lives, e);
		if (e->kind != NP_TRACE_ALLOC || n == NPIECES)
			continue;
		good += lives_handle(&lives, e) == handle[n] &&
			lives_chunk(&lives, e) == base[n] &&
			lives_home(&lives, e) == 0;
		n++;
	}
	close_file(r, fd);
	is_uint(good, NPIECES, "chunk, handle and home are told of any piece");
	is_uint(lives.n + lives.strangers, 0, "all of them lived and died");
	lives_free(&lives);
}

/* --- it changes nothing ---------------------------------------------- */

/* Where a sequence of requests was placed, as a number. Chunks lie at random
 * addresses. */
static uint64_t placement(uint64_t seed)
{
	struct rng rng = rng_seed(seed);
	void *p[NPIECES] = { NULL };
	uint64_t hash = 0;

	for (unsigned op = 0; op < 30000; op++) {
		unsigned i = (unsigned)rng_below(&rng, NPIECES);
		size_t size = 1 + rng_log(&rng, 300000);

		if (p[i] && rng_chance(&rng, 20)) {
			p[i] = npool_realloc(p[i], size);
		} else if (p[i]) {
			npool_free(p[i]);
			p[i] = NULL;
			continue;
		} else if (rng_chance(&rng, 10)) {
			p[i] = npool_aligned_alloc(64, size);
		} else {
			p[i] = rng_chance(&rng, 30) ? npool_calloc(1, size)
						    : npool_malloc(size);
		}
		hash = (hash ^ ((uintptr_t)p[i] & (NP_SLOT_SIZE - 1))) *
		       UINT64_C(0x9e3779b97f4a7c15);
	}
	return hash;
}

static uint64_t *shared_result;

static void place_plainly(void *seed)
{
	*shared_result = placement(*(uint64_t *)seed);
}

static void place_recorded(void *seed)
{
	begin(&preset);
	*shared_result = placement(*(uint64_t *)seed);
	np_record_stop();
}

static void test_placement(void)
{
	shared_result = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	for (uint64_t seed = 1; seed <= 3; seed++) {
		struct child c = child_run(place_plainly, &seed);
		uint64_t plain = *shared_result;

		*shared_result = 0;
		ok(child_exited(&c, 0), "a sequence of requests is served");
		c = child_run(place_recorded, &seed);
		unlink(ring_path);
		ok(child_exited(&c, 0), "and once more, recorded");
		is_uint(*shared_result, plain,
			"each piece lies where it lay without a recording");
	}
}

/* --- what does not fit ----------------------------------------------- */

static void test_full(void)
{
	struct rings_options small = preset;
	struct written w;
	unsigned n = 20000;
	uint64_t told;

	small.ring_size = 65536;
	begin(&small);
	for (unsigned i = 0; i < n; i++)
		npool_free(npool_malloc(40));
	rings_drain(rings, writer);
	npool_free(npool_malloc(40));
	w = end();
	ok(w.lost > n && w.calls > 3000, "a ring that nobody empties is full");
	/* Of the TAKENs between them some are lost, too. */
	told = count(NP_TRACE_ALLOC) + count(NP_TRACE_FREE) + w.lost;
	ok(told >= 2 * n + 2 && told <= 2 * n + 2 + 2 * n / 64 + 1,
	   "each call is in the file, or counted as lost");
}

/* While nothing but the loaded magazine is used, what is taken stays. */
static void test_taken(void)
{
	struct npool_figures f = { .size = sizeof f };
	const struct event *e;
	uint64_t taken = 0, told;
	struct lives lives;
	struct reader *r;
	int fd;

	npool_free(npool_malloc(70000));
	begin(&preset);
	for (unsigned i = 0; i < 100; i++)
		npool_free(npool_malloc(40));
	end();
	npool_stats(&f);
	lives_init(&lives);
	r = open_file(&fd);
	while ((e = reader_next(r))) {
		lives_apply(&lives, e);
		taken = e->kind == NP_TRACE_TAKEN ? e->size : taken;
	}
	close_file(r, fd);
	ok(f.cached >= 70000, "there is something cached");
	is_uint(taken, f.used + f.cached, "the pool says what it has taken");
	is_uint(lives_cached(&lives), taken, "all of it is cached, or older");
	told = count(NP_TRACE_TAKEN);
	ok(told == 1 + 200 / 64 || told == 2 + 200 / 64,
	   "it says so at the start, and at each 64th call");
	lives_free(&lives);
}

static void test_sizes(void)
{
	struct rings_options some = preset;

	some.size_min = 1000;
	some.size_max = 2000;
	begin(&some);
	npool_free(npool_malloc(900));
	npool_free(npool_malloc(1500));
	npool_free(npool_malloc(5000));
	end();
	is_uint(count(NP_TRACE_ALLOC), 1, "pieces of other sizes are left out");
	is_uint(count(NP_TRACE_FREE), 1, "and so are their frees");
}

/* --- stacks ---------------------------------------------------------- */

static __attribute__((noinline)) void *ask(void)
{
	void *p = npool_malloc(77);

	__asm__ volatile("" : : "r"(p) : "memory");
	return p;
}

/* Is a call in ask() on the stack? It is short. */
static bool has_ask(struct stack s)
{
	for (uint32_t i = 0; i < s.n; i++)
		if (s.frame[i] - (uintptr_t)ask < 256)
			return true;
	return false;
}

static void test_stacks(void)
{
	struct rings_options with = preset;
	unsigned n = 0, good = 0;
	const struct event *e;
	struct reader *r;
	char *maps;
	int fd;

	with.stack_every = 4;
	begin(&with);
	for (unsigned i = 0; i < 40; i++)
		npool_free(ask());
	maps = rings_maps(rings);
	end();
	r = open_file(&fd);
	while ((e = reader_next(r)))
		if (e->kind == NP_TRACE_ALLOC &&
		    e->stack != RECORDING_NO_STACK) {
			n++;
			good += has_ask(reader_stack(r, e->stack));
		}
	is_uint(n, 10, "each fourth ALLOC has a stack");
	is_uint(good, n, "and the caller is on it");
	ok(reader_nstacks(r) <= 2, "the same stack is stored once");
	ok(strstr(maps, "record"), "the process says what it has mapped");
	free(maps);
	close_file(r, fd);
}

/* --- threads --------------------------------------------------------- */

static void *_Atomic exchange[NPIECES];
static _Atomic bool over;

/* Pieces go from thread to thread. */
static void *trade(void *seed)
{
	struct rng rng = rng_seed(*(unsigned *)seed);

	for (unsigned i = 0; i < 20000; i++) {
		void *p = npool_malloc(1 + rng_below(&rng, 2000));

		npool_free(atomic_exchange(
			&exchange[rng_below(&rng, NPIECES)], p));
	}
	return NULL;
}

static void *drain(void *unused)
{
	while (!over)
		rings_drain(rings, writer);
	return unused;
}

static void test_threads(void)
{
	unsigned seed[NTHREADS];
	pthread_t t[NTHREADS], drainer;
	const struct event *e;
	struct lives lives;
	uint64_t time_ns = 0, back = 0, tids = 0, ends = 0;
	struct reader *r;
	int fd;

	over = false;
	begin(&(struct rings_options){ .ring_size = 4 * NP_MIB,
				       .nrings = NTHREADS + 2, /* the main one too */
				       .size_max = UINT64_MAX });
	pthread_create(&drainer, NULL, drain, NULL);
	for (unsigned i = 0; i < NTHREADS; i++) {
		seed[i] = i;
		pthread_create(&t[i], NULL, trade, &seed[i]);
	}
	for (unsigned i = 0; i < NTHREADS; i++)
		pthread_join(t[i], NULL);
	for (unsigned i = 0; i < NPIECES; i++)
		npool_free(atomic_exchange(&exchange[i], NULL));
	over = true;
	pthread_join(drainer, NULL);
	is_uint(end().lost, 0, "nothing is lost while somebody drains");
	lives_init(&lives);
	r = open_file(&fd);
	while ((e = reader_next(r))) {
		lives_apply(&lives, e);
		back += e->time_ns < time_ns;
		time_ns = e->time_ns;
		tids += e->kind == NP_TRACE_THREAD && e->size;
		ends += e->kind == NP_TRACE_THREAD && !e->size;
	}
	close_file(r, fd);
	is_uint(back, 0, "events are told in the order of their times");
	ok(tids >= NTHREADS, "each thread has said who it is");
	is_uint(ends, NTHREADS, "and that it ends");
	is_uint(count(NP_TRACE_ALLOC), NTHREADS * 20000,
		"all ALLOCs are there");
	is_uint(lives.strangers + lives.replaced, 0,
		"each piece is born before another thread frees it, and dies "
		"before its place is another's");
	is_uint(lives.n, 0, "and none is left");
	lives_free(&lives);
}

/* --- what there is --------------------------------------------------- */

/* Counts options of the pool, and those that are as it has them. */
static void check_option(const struct event *e, const struct np_config *k,
			 unsigned *n, unsigned *good)
{
	const struct np_option *o = &np_options[e->class];

	++*n;
	*good += e->class < np_noptions && o->type != NP_OPT_TEXT &&
		 (int64_t)e->size - 1 == np_config_number(k, o);
}

static unsigned count_numbers(void)
{
	unsigned n = 0;

	for (size_t i = 0; i < np_noptions; i++)
		n += np_options[i].type != NP_OPT_TEXT;
	return n;
}

static void test_told(void)
{
	struct npool_attr attr = NPOOL_ATTR_INIT;
	unsigned homes = 0, cpus = 0, n = 0, good = 0, others = 0;
	uint64_t resets[2] = { 0 };
	const struct event *e, *before = NULL;
	struct event last = { .kind = NP_TRACE_NONE };
	struct reader *r;
	npool_t *pool;
	int fd;

	attr.cache_bytes = 12345;
	begin(&preset);
	if (npool_create(&pool, &attr))
		bail_out("no pool");
	npool_option_set(pool, "cache_bytes", "54321");
	npool_reset(pool);
	npool_destroy(pool);
	end();
	r = open_file(&fd);
	while ((e = reader_next(r))) {
		if (e->kind == NP_TRACE_NODE) {
			homes += e->home == homes;
			cpus += (unsigned)e->size;
		} else if (e->kind == NP_TRACE_OPTION && !e->pool) {
			check_option(e, &np_pool.config, &n, &good);
		} else if (e->kind == NP_TRACE_OPTION) {
			others++;
			last = *e;
		} else if (e->kind == NP_TRACE_RESET) {
			before = &last;
			resets[e->size & 1]++;
		}
	}
	close_file(r, fd);
	is_uint(homes, np_topology.nnodes, "each node is told");
	is_uint(cpus, np_topology.cpus_of[0], "with its CPUs");
	is_uint(n, count_numbers(), "and each option that is a number");
	is_uint(good, n, "as the pool has it");
	is_uint(others, n + 1, "of a pool that is made too, and a change");
	ok(before && !strcmp(np_options[last.class].name, "cache_bytes") &&
	   last.size == 54322, "to the new value");
	ok(resets[0] == 1 && resets[1] == 1,
	   "a pool that is reset is told from one that ends");
}

/* --- on and off ------------------------------------------------------ */

/* Bytes of address space in use. */
static size_t count_mapped(void)
{
	FILE *f = fopen("/proc/self/statm", "re");
	size_t pages = 0;

	if (!f || fscanf(f, "%zu", &pages) != 1)
		bail_out("/proc/self/statm cannot be read");
	fclose(f);
	return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static void test_again(void)
{
	size_t before = 0;
	unsigned good = 0;

	for (unsigned i = 0; i < 10; i++) {
		begin(&preset);
		npool_free(npool_malloc(123));
		good += np_thread_cache_now(0) == NULL;
		end();
		good += count(NP_TRACE_ALLOC) == 1;
		npool_free(npool_malloc(123));
		good += np_thread_cache_now(0) != NULL;
		if (i == 1) /* what the first ones have made stays */
			before = count_mapped();
	}
	is_uint(good, 30, "ten recordings, and between them none");
	/* A sanitizer keeps what was freed. */
	ok(CONF_SANITIZED || count_mapped() < before + preset.nrings * preset.ring_size,
	   "all have been in the same place");
}

#ifdef HAVE_SDT

/* A tracer listens, before, while and after calls are recorded. */
static void test_probed(void)
{
	npool_alloc_semaphore = 1;
	np_record_probed();
	ok(!np_thread_cache_now(0), "while calls are probed caches are hidden");
	npool_free(npool_malloc(123));
	begin(&preset);
	npool_free(npool_malloc(123));
	end();
	is_uint(count(NP_TRACE_ALLOC), 1, "they can be recorded meanwhile");
	npool_free(npool_malloc(123));
	ok(!np_thread_cache_now(0), "then caches are still hidden");
	npool_alloc_semaphore = 0;
	npool_free(npool_malloc(123));
	ok(np_thread_cache_now(0), "until nobody listens");
}
#else
static void test_probed(void)
{
	skip(4, "there are no probes");
}
#endif

#ifdef HAVE_SDT

/* Another thread is about to show the caches while this one forks: it has
 * answered, and waits for the list of threads, which who forks has locked. */
static _Atomic bool forks, is_caught;

static void *answer_late(void *unused)
{
	while (!forks)
		;
	np_record_look();
	return unused;
}

/* Runs with all locks held: registered before the library's, it comes after
 * them. */
static void catch_answer(void)
{
	if (!is_caught)
		return;
	npool_alloc_semaphore = 0;
	forks = true;
	while (np_watched())
		;
}

__attribute__((constructor(101))) static void register_first(void)
{
	if (pthread_atfork(catch_answer, NULL, NULL))
		abort();
}

static void in_caught_child(void *unused)
{
	(void)unused;
	must(np_thread_cache_now(0));
	npool_alloc_semaphore = 1;
	np_record_probed();
	must(!np_thread_cache_now(0));
	npool_alloc_semaphore = 0;
	npool_free(npool_malloc(123));
	must(np_thread_cache_now(0));
}

static void test_fork_answering(void)
{
	struct child c;
	pthread_t t;

	npool_alloc_semaphore = 1;
	np_record_probed();
	if (pthread_create(&t, NULL, answer_late, NULL))
		bail_out("no thread");
	is_caught = true;
	c = child_run(in_caught_child, NULL);
	is_caught = false;
	pthread_join(t, NULL);
	ok(child_exited(&c, 0), "forked while another thread answers, a child "
	   "answers for itself");
	ok(np_thread_cache_now(0), "and its parent goes on");
}
#else
static void test_fork_answering(void)
{
	skip(2, "there are no probes");
}
#endif

static void in_child(void *unused)
{
	(void)unused;
	npool_free(npool_malloc(4321));
	must(!np_trace_on());
	must(np_thread_cache_now(0));
}

static void test_fork(void)
{
	struct child c;

	begin(&preset);
	npool_free(npool_malloc(123));
	c = child_run(in_child, NULL);
	npool_free(npool_malloc(123));
	end();
	ok(child_exited(&c, 0), "a forked child runs, and is not recorded");
	is_uint(count(NP_TRACE_ALLOC), 2, "its parent still is");
}

/* --- files that are none --------------------------------------------- */

static void start_with(const void *data, size_t size, char *text)
{
	int fd = open(ring_path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	struct catch c;

	if (write(fd, data, size) != (ssize_t)size)
		bail_out("%s cannot be written", ring_path);
	close(fd);
	c = catch_begin();
	np_record_start(ring_path);
	catch_end(&c, text);
	unlink(ring_path);
}

static void test_bad_files(void)
{
	struct np_trace_header h, good = {
		.magic = NP_TRACE_MAGIC, .version = NP_TRACE_VERSION,
		.nrings = 2, .ring_offset = 65536, .ring_stride = 131072,
		.ring_size = 65536, .maps_offset = 4096,
		.maps_room = 4096, .size_max = UINT64_MAX,
	};
	char text[CHILD_TEXT_MAX];
	uint64_t *fields[] = { &h.magic, &h.ring_offset, &h.ring_stride,
			       &h.ring_size, &h.maps_offset, &h.maps_room };
	unsigned refused = 0, n = 0;

	start_with("no header", 9, text);
	ok(strstr(text, "npool-trace has made") && !np_trace_on(),
	   "a file that is too short is refused with a message");
	start_with(&good, sizeof good, text);
	ok(!np_trace_on(), "and one that has no room for its rings");
	for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
		for (uint64_t bad = 1; bad; bad = bad << 7) {
			h = good;
			*fields[i] ^= bad;
			n++;
			start_with(&h, sizeof h, text);
			refused += !np_trace_on();
		}
	is_uint(refused, n, "any bit of the header may be wrong");
	np_record_start("/nonexistent/ring");
	ok(!np_trace_on(), "no file, no recording");
}

static void test_foreign(void)
{
	struct np_trace_header *h;
	char text[CHILD_TEXT_MAX];
	struct catch c;
	int fd;

	rings = rings_create(ring_path, &preset);
	fd = open(ring_path, O_RDWR);
	h = mmap(NULL, sizeof *h, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	h->pid = (uint32_t)getppid();
	c = catch_begin();
	np_record_start(ring_path);
	catch_end(&c, text);
	ok(!np_trace_on() && !*text, "what is for another process is left to "
	   "it, silently");
	munmap(h, sizeof *h);
	close(fd);
	rings_destroy(rings);
}

int main(int argc, char **argv)
{
	cpu_set_t all;

	(void)argc;
	conf_restart(argv, CONF);
	plan(11 + 2 + 2 + 9 + 2 + 4 + 2 + 4 + 7 + 7 + 4 + 2 + 2 + 2 + 4 + 1);
	snprintf(ring_path, sizeof ring_path, "/dev/shm/npool-record.%d",
		 (int)getpid());
	snprintf(file_path, sizeof file_path, "/dev/shm/npool-record.%d.npt",
		 (int)getpid());
	npool_free(npool_malloc(1));
	test_calls();
	test_many();
	test_handles();
	test_placement();
	test_full();
	test_taken();
	test_sizes();
	test_stacks();
	test_threads();
	test_told();
	all = stay_begin();
	test_again();
	test_probed();
	test_fork();
	test_fork_answering();
	stay_end(&all);
	test_bad_files();
	test_foreign();
	unlink(ring_path);
	unlink(file_path);
	return done();
}
