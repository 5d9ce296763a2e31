/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * record: see record.h.
 */
#include "record.h"
#include "memcheck.h"
#include "pool.h"
#define NP_PROBES_COUNTED
#include "probe.h"

#include <errno.h>
#include <fcntl.h> /* open */
#include <stdio.h> /* snprintf */
#include <string.h>
#include <unistd.h> /* close, getpid */

#define CALLS_A_TOTAL 64 /* its sum over all nodes is worth a call or two */

/* --- who looks on ----------------------------------------------------- */

#ifdef HAVE_SDT
/* One counter for all probes of calls, at names that sys/sdt.h makes. */
#define COUNTER __attribute__((section(".probes")))
#define SAME extern __attribute__((alias("npool_alloc_semaphore")))
volatile unsigned short npool_alloc_semaphore COUNTER;
SAME volatile unsigned short npool_free_semaphore, npool_move_semaphore,
	npool_resize_semaphore, npool_refuse_semaphore;
#endif

/* What npool-trace wants is the word in its segment. */
static uint32_t word_now(void)
{
	const struct np_segment_header *h = np_pool.segment.header;

	return h ? atomic_load_explicit(&h->recording, memory_order_relaxed)
		 : 0;
}

/* Bit 0: calls are probed. Above it: the word. */
static uint64_t wanted(void)
{
	return (uint64_t)word_now() << 1 | np_is_probed();
}

/* What was wanted when somebody looked last. Relaxed: one that comes late finds
 * it done. */
static _Atomic uint64_t answered;

static uint64_t get_answered(void)
{
	return atomic_load_explicit(&answered, memory_order_relaxed);
}

/* As long as there is a reason to. */
static void hide(void)
{
	bool on = np_trace_on() || np_memcheck_on || get_answered() & 1;

	atomic_store_explicit(&np_is_watched, on, memory_order_relaxed);
	np_threads_hide(on);
}

static void set_on(bool on)
{
	atomic_store_explicit(&np_trace_is_on, on, memory_order_relaxed);
	hide();
}

/* --- what is there at the start -------------------------------------- */

void np_record_option(const struct np_pool *pool, const struct np_option *o)
{
	if (np_trace_on() && o->type != NP_OPT_TEXT)
		np_trace_write(&(struct np_trace_fields){
			.kind = NP_TRACE_OPTION, .pool = pool->slot,
			.class = (unsigned)(o - np_options),
			.size = (uint64_t)np_config_number(&pool->config, o) +
				1 });
}

void np_record_pool(struct np_pool *pool)
{
	if (!np_trace_on())
		return;
	np_trace_write(&(struct np_trace_fields){
		.kind = NP_TRACE_POOL, .pool = pool->slot,
		.class = pool->classes.page_shift,
		.first = pool->classes.max_order,
		.size = (uint64_t)pool->config.class_table });
	np_lock(&pool->lock);
	for (size_t i = 0; i < np_noptions; i++)
		np_record_option(pool, &np_options[i]);
	np_unlock(&pool->lock);
}

void np_record_reset(const struct np_pool *pool, bool ends)
{
	if (np_trace_on())
		np_trace_write(&(struct np_trace_fields){
			.kind = NP_TRACE_RESET, .pool = pool->slot,
			.size = ends });
}

static void tell_nodes(const struct np_topology *t)
{
	for (unsigned home = 0; home < t->nnodes; home++)
		np_trace_write(&(struct np_trace_fields){
			.kind = NP_TRACE_NODE, .class = home & 0xff,
			.first = home >> 8, .size = t->cpus_of[home] });
}

static size_t tell_region(struct np_arena *arena, struct np_region *r,
			  void *unused)
{
	(void)unused;
	for (uint32_t i = 0; i < r->nchunks; i++) {
		struct np_chunk *c = atomic_load_explicit(
			&r->chunks[i], memory_order_relaxed);

		if (c)
			np_trace_bytes(NP_TRACE_MAP, arena->owner.tag,
				       (uintptr_t)c->base,
				       arena->classes->chunk_size);
	}
	return 0;
}

static void tell_arena(struct np_arena *arena, void *unused)
{
	(void)unused;
	np_arena_pass(arena, tell_region, NULL);
}

/* Not known from calls: what is cached. */
static void tell_taken(const struct np_pool *pool)
{
	const struct np_segment *s = &pool->segment;
	uint64_t bytes = 0;

	if (np_pool_stage(pool) != NP_AWAKE)
		return;
	for (unsigned i = 0; i < s->layout.nodes.n; i++)
		bytes += np_count_get(&np_segment_node(s, i)->taken);
	np_trace_write(&(struct np_trace_fields){
		.kind = NP_TRACE_TAKEN, .pool = pool->slot, .size = bytes });
}

/* The pool's lock keeps others from going through its regions. */
static void tell_pool(struct np_pool *pool, void *unused)
{
	(void)unused;
	np_record_pool(pool);
	np_lock(&pool->lock);
	np_nodes_each_arena(&pool->nodes, tell_arena, NULL);
	np_unlock(&pool->lock);
	np_huge_tell(&pool->huge);
	tell_taken(pool);
}

/* --- start and stop -------------------------------------------------- */

/* Returns 0 or a positive errno, as np_trace_attach. */
static int attach(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	int error = fd < 0 ? errno : np_trace_attach(fd);

	if (fd >= 0)
		close(fd);
	return error;
}

void np_record_start(const char *path)
{
	int error = attach(path);

	if (error) {
		/* A child of the process that is recorded, say. */
		if (error != EPERM)
			np_warn("nothing is recorded into %s: %s", path,
				error == EINVAL
				? "it is no file that npool-trace has made"
				: strerrordesc_np(error));
		return;
	}
	np_trace_write(&(struct np_trace_fields){
		.kind = NP_TRACE_START, .size = (uint64_t)getpid() });
	tell_nodes(&np_topology);
	set_on(true);
	np_pools_each(tell_pool, NULL);
}

/* The thread that does what is wanted. Acquire and release: one after the
 * other. */
static atomic_flag is_answering = ATOMIC_FLAG_INIT;

static void start_wanted(void)
{
	char path[64];

	snprintf(path, sizeof path, NP_TRACE_FILE_OF "%d", (int)getpid());
	/* Who spoils the word shall not fill a log. */
	if (access(path, R_OK | W_OK) == 0)
		np_record_start(path);
}

/* What is wanted is looked at with the flag held: what the caller has seen may
 * have been answered since, and something else be wanted. */
static void answer(void)
{
	int saved = errno, cancel;
	uint64_t now, before;

	if (atomic_flag_test_and_set_explicit(&is_answering,
					      memory_order_acquire))
		return;
	now = wanted();
	/* Opening files is a cancellation point; malloc is none. */
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	before = atomic_exchange_explicit(&answered, now,
					  memory_order_relaxed);
	if (now >> 1 != before >> 1) {
		if (np_trace_on())
			np_record_stop();
		if (now >> 1 & 1)
			start_wanted();
	}
	hide();
	pthread_setcancelstate(cancel, NULL);
	atomic_flag_clear_explicit(&is_answering, memory_order_release);
	errno = saved;
}

__attribute__((noinline)) void np_record_probed(void)
{
	if (wanted() != get_answered())
		answer();
}

/* Not at the probes' counter, as long as calls were not probed. */
void np_record_look(void)
{
	if (np_unlikely((uint64_t)word_now() << 1 != get_answered()))
		np_record_probed();
}

void np_record_prepare(void)
{
	np_memcheck_init();
	if (np_memcheck_on)
		hide();
}

void np_record_stop(void)
{
	set_on(false);
	np_trace_detach();
}

/* Another thread may have been about to answer: nothing of that is sure. If the
 * word in the child's segment is an older one, the next look finds that out. */
void np_record_forked(void)
{
	np_trace_forked();
	atomic_store_explicit(&answered, wanted(), memory_order_relaxed);
	hide();
	atomic_flag_clear_explicit(&is_answering, memory_order_relaxed);
}

/* --- calls ----------------------------------------------------------- */

static size_t bytes_of(const struct np_region *r, unsigned class)
{
	return class ? np_pool_of(r)->classes.row[class].size : r->block_size;
}

/* A probe each. free has a size too, which is 0: as many arguments as
 * others. */
static void probe(enum np_trace_kind kind, unsigned slot, const void *p,
		  size_t size)
{
	switch (kind) {
	case NP_TRACE_ALLOC:
		NP_PROBE(alloc, slot, p, size);
		break;
	case NP_TRACE_FREE:
		NP_PROBE(free, slot, p, size);
		break;
	case NP_TRACE_MOVE:
		NP_PROBE(move, slot, p, size);
		break;
	case NP_TRACE_RESIZE:
		NP_PROBE(resize, slot, p, size);
		break;
	default:
		break;
	}
}

/* Now and then the pool says what it has taken: each thread does. */
static void count_call(const struct np_region *r)
{
	static _Thread_local unsigned calls
		__attribute__((tls_model("initial-exec")));

	if (++calls % CALLS_A_TOTAL == 0)
		tell_taken(np_pool_of(r));
}

static inline void record_piece(enum np_trace_kind kind,
				const struct np_region *r, const void *p,
				size_t size, bool hit)
{
	unsigned slot = np_tag_slot(np_region_tag(r));
	uint32_t entry, cpu;

	probe(kind, slot, p, size);
	if (!np_trace_on())
		return;
	count_call(r);
	entry = np_region_entry(r, p);
	if (np_unlikely(np_trace_picks) &&
	    !np_trace_is_picked(bytes_of(r, entry & NP_PAGE_CLASS)))
		return;
	cpu = np_thread_cpu_now();
	np_trace_call(&(struct np_trace_fields){
			      .kind = kind, .pool = slot,
			      .class = entry & NP_PAGE_CLASS,
			      .first = (entry >> NP_PAGE_OFFSET_SHIFT) % 32,
			      .addr = (uintptr_t)p, .size = size },
		      cpu, np_topology_home(&np_topology, cpu), hit);
}

void np_record_piece(enum np_trace_kind kind, const void *p, size_t size,
		     bool hit)
{
	const struct np_region *r = np_map_find(p);

	if (r) /* else boot.h */
		record_piece(kind, r, p, size, hit);
}

void np_record_free(const struct np_region *r, const void *p)
{
	record_piece(NP_TRACE_FREE, r, p, 0, false);
}

void np_record_refused(unsigned slot, size_t size)
{
	NP_PROBE(refuse, slot, size);
	if (np_trace_on())
		np_trace_write(&(struct np_trace_fields){
			.kind = NP_TRACE_REFUSE, .pool = slot, .size = size });
}
