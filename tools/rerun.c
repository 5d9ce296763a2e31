/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * rerun: see rerun.h.
 */
#include "rerun.h"
#include "report.h"
#include "tool.h"

#include "arena.h"
#include "meta.h"
#include "os.h"
#include "piece.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h> /* MAP_FAILED */
#include <time.h>

#define OPS 65536 /* that are done at once */
#define PEAK_STEP 64 /* a peak is looked at when it has grown by 1 in so many */
#define TOUCH_STEP 4096
#define NS_A_MS 1000000

enum op_kind { OP_ALLOC, OP_FREE, OP_REALLOC, OP_CPU };

/* What a thread does. */
struct op {
	uint64_t size;	/* asked for; or the CPU */
	uint64_t ms;	/* since the recording began */
	uint32_t slot;	/* of the piece */
	uint32_t from;	/* of the one that is resized; may be the same */
	uint16_t ring;	/* the thread's */
	uint8_t kind;	/* enum op_kind */
	uint8_t pool;	/* recorded slot */
};

struct slot {
	void *p;	/* NULL: it was refused, or is no more */
	uint64_t size;	/* SLOT_SIZE of it: asked for; above it the pool and
			   SLOT_USED. Of a free slot: the next free one */
};

#define SLOT_SIZE (((uint64_t)1 << 48) - 1) /* above RERUN_MOST */
#define SLOT_POOL_SHIFT 48
#define SLOT_USED ((uint64_t)1 << 63)

struct played_pool {
	struct np_pool *pool;	 /* NULL: not made yet */
	bool is_told;		 /* the recording says what it is */
	struct np_config config; /* as recorded */
};

/* Of a ring: it is one thread's at a time. */
struct played_thread {
	struct np_thread *thread; /* NULL: it has done nothing yet */
	uint32_t cpu;		  /* where it is: the library looks here */
	bool has_moved;		  /* since its last call */
	uint32_t tid;
	unsigned number;	  /* counts those that made calls, from 1 */
};

struct rerun {
	const struct rerun_options *o;
	struct reader *reader;
	struct lives lives;
	struct machine machine;
	bool is_settled;	/* np_topology is there */
	int code;		/* READ_OK, or why a pool cannot be made */
	struct played_pool pools[NP_MAX_POOLS];
	struct played_thread threads[RECORDING_RINGS];
	const struct np_option *options[256]; /* by recorded number */
	struct op *ops;
	unsigned nops;
	struct slot *slots;	/* [0] is none */
	uint32_t nslots, free_slot;
	uint64_t held;		/* bytes asked for, of slots */
	uint64_t looked_at;	/* the highest of them that was looked at */
	struct outcome out;
};

/* --- the kernel, as the pools see it ----------------------------------- */

static uint32_t played_cpu;
static uint64_t played_ms;
static bool was_mapped; /* something, since somebody looked */

static int play_getcpu(unsigned *cpu, unsigned *node)
{
	if (cpu)
		*cpu = played_cpu;
	if (node)
		*node = 0;
	return 0;
}

static uint64_t play_now_ms(void)
{
	return played_ms;
}

static void *play_mmap(void *addr, size_t size, int prot, int flags, int fd,
		       off_t offset)
{
	was_mapped = true;
	return np_os_linux.mmap(addr, size, prot, flags, fd, offset);
}

static void *play_mremap(void *addr, size_t old_size, size_t new_size,
			 int flags, void *new_addr)
{
	was_mapped = true;
	return np_os_linux.mremap(addr, old_size, new_size, flags, new_addr);
}

static struct np_os played_os;

static void start_library(void)
{
	static bool is_started; /* the fuzzer comes again */

	played_os = np_os_linux;
	played_os.getcpu = play_getcpu;
	played_os.now_ms = play_now_ms;
	played_os.mmap = play_mmap;
	played_os.mremap = play_mremap;
	np_os = &played_os;
	if (is_started)
		return;
	np_meta_init(NULL);
	if (np_map_init() != 0 || np_threads_init() != 0)
		give_up(EXIT_SELF, "out of memory");
	is_started = true;
}

/* --- figures ----------------------------------------------------------- */

typedef void pool_call(struct rerun *r, struct np_pool *pool);

static void each_pool(struct rerun *r, pool_call *call)
{
	for (unsigned i = 0; i < NP_MAX_POOLS; i++)
		if (r->pools[i].pool)
			call(r, r->pools[i].pool);
}

/* What is mapped now, of all pools. */
struct mapped {
	uint64_t chunks, reserved;
};

static void add_chunks(struct np_arena *a, void *mapped)
{
	((struct mapped *)mapped)->chunks += np_count_get(&a->count->chunks);
}

/* Only mapping makes it more. */
static void note_mapped(struct rerun *r)
{
	struct side *s = &r->out.replayed;
	struct mapped all = { 0 };

	was_mapped = false;
	for (unsigned home = 0; home < np_topology.nnodes; home++) {
		struct node_sum *sum = &r->out.node[home];
		uint64_t bytes = 0;

		for (unsigned i = 0; i < NP_MAX_POOLS; i++)
			if (r->pools[i].pool)
				bytes += np_count_get(&np_segment_node(
					&r->pools[i].pool->segment,
					home)->reserved);
		all.reserved += bytes;
		if (bytes > sum->reserved_peak)
			sum->reserved_peak = bytes;
	}
	for (unsigned i = 0; i < NP_MAX_POOLS; i++)
		if (r->pools[i].pool)
			np_nodes_each_arena(&r->pools[i].pool->nodes,
					    add_chunks, &all);
	s->chunks = all.chunks;
	if (all.chunks > s->chunks_peak)
		s->chunks_peak = all.chunks;
	if (all.reserved > s->reserved_peak)
		s->reserved_peak = all.reserved;
}

/* What chunks hold, of all pools. */
struct held {
	uint64_t runs;	/* bytes */
	uint64_t tails;
	uint64_t taken; /* bytes of pieces that arenas have handed out */
};

static void add_chunk(struct held *h, const struct np_chunk *c)
{
	const struct np_classes *t = c->classes;
	uint32_t n = np_chunk_npages(c);

	h->runs += t->chunk_size - c->free_bytes;
	for (uint32_t i = 0; i < n;) {
		const struct np_class *row = &t->row[c->pages[i] &
						     NP_PAGE_CLASS];

		if (c->pages[i] & NP_PAGE_SUBPAGE)
			h->tails += ((uint64_t)row->npages << t->page_shift) -
				    (uint64_t)row->nelems * row->size;
		i += c->pages[i] ? row->npages : 1;
	}
}

static size_t add_region(struct np_arena *a, struct np_region *region,
			 void *held)
{
	(void)a;
	for (uint32_t i = 0; i < region->nchunks; i++) {
		const struct np_chunk *c = atomic_load_explicit(
			&region->chunks[i], memory_order_relaxed);

		if (c)
			add_chunk(held, c);
	}
	return 0;
}

static void add_arena(struct np_arena *a, void *held)
{
	((struct held *)held)->taken += np_count_get(&a->count->taken);
	np_arena_pass(a, add_region, held);
}

static struct npool_figures figures_of(struct np_pool *pool)
{
	struct npool_figures f = { .size = sizeof f };

	npool_pool_stats(pool, &f);
	return f;
}

static void add_waste(struct rerun *r, struct np_pool *pool)
{
	struct waste *w = &r->out.waste;
	struct side *s = &r->out.replayed;
	struct npool_figures f = figures_of(pool);
	struct held h = { 0 };
	uint64_t huge;

	np_lock(&pool->lock);
	np_nodes_each_arena(&pool->nodes, add_arena, &h);
	np_unlock(&pool->lock);
	s->used += f.used;
	s->reserved += f.reserved;
	w->cached += f.cached;
	w->charged += f.charged;
	w->tails += h.tails;
	/* Taken of a pool is of its arenas and its huge blocks. */
	huge = sub_u64(f.used + f.cached, h.taken);
	w->elements += sub_u64(h.runs, h.taken + h.tails);
	w->pages += sub_u64(f.reserved, h.runs + huge);
}

/* What was asked for has never been so much: looks at everything. */
static void look_at_peak(struct rerun *r)
{
	struct side *s = &r->out.replayed;

	r->looked_at = s->asked = r->held;
	s->used = s->reserved = 0;
	r->out.waste = (struct waste){ 0 };
	each_pool(r, add_waste);
	r->out.waste.rounding = sub_u64(s->used, s->asked);
	r->out.recorded.asked = r->lives.bytes;
	r->out.recorded.used = r->lives.usable;
	r->out.recorded.reserved = r->lives.in_slots;
}

static void add_made(struct np_arena *a, void *outcome)
{
	struct outcome *out = outcome;

	out->replayed.mapped += a->nchunks_made;
	out->replayed.decayed += np_count_get(&a->count->purged);
}

static void add_sent(struct outcome *out, const struct np_segment *seg,
		     unsigned i)
{
	const struct np_block *b = np_segment_block(seg, i);
	unsigned home = atomic_load_explicit(&b->home, memory_order_relaxed);

	out->replayed.refills += np_count_get(&b->fills) +
				 np_count_get(&b->depot_gets);
	out->replayed.flushes += np_count_get(&b->flushes) +
				 np_count_get(&b->depot_puts);
	out->replayed.rehomes += np_count_get(&b->rehomes);
	out->misses += np_count_get(&b->misses);
	if (i) /* block 0 is of all homes */
		out->node[home].sent += np_count_get(&b->foreign_frees);
}

/* A pool ends, or the replay does. */
static void sum_up(struct rerun *r, struct np_pool *pool)
{
	struct outcome *out = &r->out;
	struct npool_figures f = figures_of(pool);

	out->hits += f.hits;
	out->replayed.sent += f.foreign_frees;
	for (unsigned i = 0; i < pool->segment.blocks_used; i++)
		add_sent(out, &pool->segment, i);
	np_nodes_each_arena(&pool->nodes, add_made, out);
}

/* --- slots ------------------------------------------------------------- */

static uint32_t take_slot(struct rerun *r, unsigned pool, uint64_t size)
{
	uint32_t i = r->free_slot;

	if (i) {
		r->free_slot = (uint32_t)r->slots[i].size;
	} else {
		i = r->nslots ? r->nslots : 1;
		r->slots = grow(r->slots, i, sizeof *r->slots);
		r->nslots = i + 1;
	}
	r->slots[i].size = SLOT_USED | (uint64_t)pool << SLOT_POOL_SHIFT |
			   size;
	r->held += size;
	return i;
}

/* Its piece is there until the operations are done. */
static void leave_slot(struct rerun *r, uint32_t i)
{
	r->held -= r->slots[i].size & SLOT_SIZE;
	r->slots[i].size = r->free_slot;
	r->free_slot = i;
}

/* --- doing it ---------------------------------------------------------- */

static void become(struct rerun *r, unsigned ring)
{
	struct played_thread *t = &r->threads[ring];

	if (!t->thread) {
		t->thread = np_thread_create(&np_topology, &t->cpu);
		if (!t->thread)
			give_up(EXIT_SELF, "out of memory");
	}
	np_thread_become(t->thread);
	played_cpu = t->cpu;
}

static void touch(char *p, uint64_t size)
{
	for (uint64_t at = 0; p && at < size; at += TOUCH_STEP)
		p[at] = 1;
}

static void do_alloc(struct rerun *r, const struct op *op)
{
	void *p = npool_alloc(r->pools[op->pool].pool, op->size, 0);

	r->slots[op->slot].p = p;
	if (np_unlikely(!p))
		r->out.replayed.refused++;
	else if (r->o->touch)
		touch(p, op->size);
}

static void do_free(struct rerun *r, const struct op *op)
{
	void *p = r->slots[op->slot].p;

	r->slots[op->slot].p = NULL;
	if (p)
		npool_free(p);
}

/* As npool_realloc, but nothing is copied. */
static void do_realloc(struct rerun *r, const struct op *op)
{
	void *p = r->slots[op->from].p, *q;
	size_t usable;

	if (!p) {
		do_alloc(r, op);
		return;
	}
	r->slots[op->from].p = NULL;
	usable = np_piece_usable(p, "realloc");
	if (!np_piece_resize(p, usable, op->size, &q)) {
		q = npool_alloc(r->pools[op->pool].pool, op->size, 0);
		if (q)
			npool_free(p);
		else
			q = p;
		r->out.replayed.refused += q == p && op->size > usable;
	}
	if (r->o->touch)
		touch(q, op->size < usable ? op->size
					   : np_piece_usable(q, "realloc"));
	r->slots[op->slot].p = q;
}

static void move(struct rerun *r, const struct op *op)
{
	struct played_thread *t = &r->threads[op->ring];

	t->cpu = played_cpu = (uint32_t)op->size;
	t->has_moved = true;
}

/* Its next call notices. The library's fast path does so only where it is built
 * with libnuma, and a model shall not depend on that. */
static void follow(struct rerun *r, const struct op *op)
{
	const struct np_pool *pool = r->pools[op->pool].pool;
	struct np_seat *seat = pool ? np_me->seat[pool->slot] : NULL;

	r->threads[op->ring].has_moved = false;
	if (seat)
		np_seat_visit(seat);
}

static void do_op(struct rerun *r, const struct op *op)
{
	if (op->kind != OP_CPU && r->threads[op->ring].has_moved)
		follow(r, op);
	switch ((enum op_kind)op->kind) {
	case OP_ALLOC:
		do_alloc(r, op);
		break;
	case OP_FREE:
		do_free(r, op);
		break;
	case OP_REALLOC:
		do_realloc(r, op);
		break;
	case OP_CPU:
		move(r, op);
		break;
	}
}

/* Others may run meanwhile. */
static uint64_t clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* Does all that is to be done. */
static void run(struct rerun *r)
{
	uint64_t began = clock_ns();
	unsigned ring = RECORDING_RINGS;

	for (unsigned i = 0; i < r->nops; i++) {
		const struct op *op = &r->ops[i];

		if (op->ring != ring)
			become(r, ring = op->ring);
		played_ms = op->ms;
		do_op(r, op);
		if (np_unlikely(was_mapped))
			note_mapped(r);
	}
	r->nops = 0;
	r->out.run_ns += clock_ns() - began;
}

static struct op *add_op(struct rerun *r, const struct event *e,
			 enum op_kind kind)
{
	struct op *op;

	if (r->nops == OPS)
		run(r);
	op = &r->ops[r->nops++];
	*op = (struct op){ .ms = e->time_ns / NS_A_MS, .ring = e->ring,
			   .kind = (uint8_t)kind, .pool = e->pool };
	return op;
}

/* --- pools ------------------------------------------------------------- */

/* Is the option in the text of --conf? */
static bool is_chosen(const char *conf, const struct np_option *o)
{
	const char *at = conf;
	size_t n = strlen(o->name);

	while (at && *at) {
		if (!strncmp(at, o->name, n) && at[n] == ':')
			return true;
		at += strcspn(at, ",");
		at += *at == ',';
	}
	return false;
}

/* Some would make the replay touch memory, or ask the machine for what it has
 * not got: they count only if they are chosen. */
static bool is_played(const struct np_option *o)
{
	return strcmp(o->name, "zero_on_free") && strcmp(o->name, "strict") &&
	       strcmp(o->name, "huge_pages") &&
	       o->scope != NP_OPT_PROCESS && o->scope != NP_OPT_PROCESS_LIVE;
}

/* With a chunk in each, those of all pools and nodes shall not come to more
 * than RERUN_MOST, as long as a node has one. */
static void bound_arenas(struct np_config *k)
{
	int64_t chunks = (int64_t)RERUN_MOST /
			 (k->page_size << k->max_order);
	int64_t most = chunks / NP_MAX_POOLS / (int64_t)np_topology.nnodes;
	int64_t n = 0;

	for (unsigned i = 0; i < np_topology.nnodes; i++) {
		unsigned here = np_node_narenas(&np_topology, (np_home_t)i,
						(unsigned)k->arenas);

		n = here > n ? here : n;
	}
	if (n > most)
		k->arenas = most > 1 ? most : 1;
}

/* Returns 0 or a positive errno. */
static int make_pool(struct rerun *r, struct played_pool *p,
		     const struct np_config *config)
{
	struct npool_attr attr = { .size = sizeof attr, .name = "replay" };
	int error = np_pool_create(&p->pool, config, &attr);

	if (error && error != EAGAIN) { /* no more than 63 at a time */
		complain("a pool cannot be made: %s", strerror(error));
		r->code = READ_FAILED;
	}
	r->out.pools += !error;
	return error;
}

static void refuse_conf(struct rerun *r)
{
	if (!r->o->is_trial)
		complain("--conf: page_size << max_order of a pool is over "
			 "1 GiB; what is not named is as recorded");
	r->code = READ_DAMAGED;
}

/* The pool of this event, made if need be; NULL: it was not told of. */
static struct np_pool *pool_of(struct rerun *r, const struct event *e)
{
	struct played_pool *p = &r->pools[e->pool];
	struct np_config config = p->config;

	if (p->pool || !p->is_told)
		return p->pool;
	np_config_read(&config, r->o->conf);
	p->is_told = np_config_geometry_fits(&config);
	if (!p->is_told) {
		refuse_conf(r);
		return NULL;
	}
	bound_arenas(&config);
	run(r);
	played_ms = e->time_ns / NS_A_MS;
	p->is_told = make_pool(r, p, &config) == 0;
	return p->pool;
}

static void end_pool(struct rerun *r, unsigned slot)
{
	struct played_pool *p = &r->pools[slot];

	if (p->pool) {
		sum_up(r, p->pool);
		np_pool_destroy(p->pool);
	}
	*p = (struct played_pool){ .pool = NULL };
}

static void begin_pool(struct rerun *r, const struct event *e)
{
	struct played_pool *p = &r->pools[e->pool];
	struct np_config *k = &p->config;

	if (p->pool) { /* it has not ended */
		r->out.nonsense++;
		return;
	}
	np_config_preset(k);
	p->is_told = true;
	if (e->size > NP_FINE || e->class > 20 ||
	    !np_config_set_number(k, np_config_find("page_size"),
				  (int64_t)1 << e->class) ||
	    !np_config_set_number(k, np_config_find("max_order"), e->first) ||
	    !np_config_geometry_fits(k)) {
		np_config_preset(k);
		r->out.nonsense++;
		return;
	}
	k->class_table = (int64_t)e->size;
}

/* What the recording's numbers of options mean: "option NUMBER NAME". */
static void read_options(struct rerun *r)
{
	for (unsigned i = 0; i < sizeof r->options / sizeof *r->options; i++) {
		char *key = format_text("option %u", i);
		char *name = reader_value(r->reader, key);

		r->options[i] = name ? np_config_find(name) : NULL;
		free(name);
		free(key);
	}
}

static void set_option(struct rerun *r, const struct event *e)
{
	const struct np_option *o = r->options[e->class];
	struct played_pool *p = &r->pools[e->pool];
	struct np_config config = p->config;
	char text[32];

	if (!o || o->type == NP_OPT_TEXT || !p->is_told ||
	    (!is_played(o) && strcmp(o->name, "check")))
		return;
	/* It checks each free at the call, which takes the caches away. */
	if (!strcmp(o->name, "check")) {
		if (e->size == 2)
			p->config.cache_pieces = 0;
		return;
	}
	if (!np_config_set_number(&config, o, (int64_t)(e->size - 1)) ||
	    !np_config_geometry_fits(&config)) {
		r->out.nonsense++;
		return;
	}
	p->config = config;
	if (!p->pool || o->scope != NP_OPT_LIVE || is_chosen(r->o->conf, o))
		return;
	run(r);
	np_config_show(&p->config, o, text, sizeof text);
	np_pool_set_option(p->pool, o->name, text);
}

static void reset_pool(struct rerun *r, const struct event *e)
{
	struct np_pool *pool = r->pools[e->pool].pool;

	run(r);
	for (uint32_t i = 1; i < r->nslots; i++)
		if (r->slots[i].size >> SLOT_POOL_SHIFT ==
		    (SLOT_USED >> SLOT_POOL_SHIFT | e->pool)) {
			r->slots[i].p = NULL;
			leave_slot(r, i);
		}
	if (e->size)
		end_pool(r, e->pool);
	else if (pool)
		np_pool_reset(pool);
}

/* --- threads ----------------------------------------------------------- */

static void end_thread(struct rerun *r, unsigned ring)
{
	struct played_thread *t = &r->threads[ring];

	if (t->thread) {
		become(r, ring);
		np_thread_destroy(t->thread);
	}
	*t = (struct played_thread){ .thread = NULL };
}

/* Ring 0 is of all that have none, which are taken for one. */
static void set_thread(struct rerun *r, const struct event *e)
{
	struct played_thread *t = &r->threads[e->ring];

	if (t->tid == e->size || (t->tid && !e->ring))
		return;
	run(r);
	end_thread(r, e->ring);
	if (!e->size)
		return;
	t->tid = (uint32_t)e->size;
}

static void settle(struct rerun *r)
{
	if (r->is_settled)
		return;
	machine_settle(&r->machine);
	r->is_settled = true;
	r->out.nodes = np_topology.nnodes;
	r->out.cpus = 0;
	for (unsigned i = 0; i < np_topology.nnodes; i++)
		r->out.cpus += np_topology.cpus_of[i];
}

static void set_cpu(struct rerun *r, const struct event *e)
{
	struct played_thread *t = &r->threads[e->ring];

	settle(r);
	if (!t->number) /* its first call */
		t->number = ++r->out.threads;
	add_op(r, e, OP_CPU)->size =
		machine_cpu(&r->machine, t->tid, t->number - 1,
			    (uint32_t)e->size, e->home);
}

/* Another program, of the same process. */
static void begin_program(struct rerun *r)
{
	run(r);
	for (unsigned i = 0; i < RECORDING_RINGS; i++)
		end_thread(r, i);
	for (unsigned i = 0; i < NP_MAX_POOLS; i++)
		end_pool(r, i);
	r->nslots = r->free_slot = 0;
	r->held = 0;
	r->is_settled = false;
	machine_forget(&r->machine);
	r->out.recorded.chunks = 0;
}

/* --- calls ------------------------------------------------------------- */

/* What to ask for to get a piece like the recorded one: that was of a larger
 * class than its size if it was to be aligned. */
static uint64_t size_of(const struct rerun *r, const struct event *e)
{
	const struct np_classes *t = r->lives.classes[e->pool];
	unsigned class = t ? np_class_of(t, e->size ? e->size : 1) : 0;

	return class && class < e->class && e->class <= t->n
		? t->row[e->class].size : e->size;
}

/* Has the pool room for so much, as far as a replay allows it? */
static bool is_played_size(struct rerun *r, uint64_t size)
{
	if (size <= RERUN_MOST && r->held <= RERUN_MOST - size)
		return true;
	r->out.over++;
	return false;
}

static void free_lost(struct rerun *r, const struct event *e, uint32_t slot)
{
	if (!slot)
		return;
	add_op(r, e, OP_FREE)->slot = slot;
	leave_slot(r, slot);
}

static void replay_born(struct rerun *r, const struct event *e,
			const struct change *c)
{
	uint32_t from = c->from == c->lost ? 0 : c->from;
	uint64_t size = size_of(r, e);
	struct op *op;

	r->out.recorded.allocs += !c->from;
	r->out.recorded.reallocs += c->from != 0;
	free_lost(r, e, c->lost);
	if (!pool_of(r, e)) {
		r->out.poolless++;
		return;
	}
	if (!is_played_size(r, size))
		return;
	op = add_op(r, e, from ? OP_REALLOC : OP_ALLOC);
	op->slot = *c->mark = take_slot(r, e->pool, size);
	op->from = from;
	op->size = size;
	r->out.replayed.allocs += !from;
	r->out.replayed.reallocs += from != 0;
}

static void replay_resized(struct rerun *r, const struct event *e,
			   const struct change *c)
{
	struct slot *s;
	struct op *op;

	r->out.recorded.reallocs++;
	free_lost(r, e, c->lost);
	if (!*c->mark || !is_played_size(r, e->size))
		return;
	s = &r->slots[*c->mark];
	r->held += e->size - (s->size & SLOT_SIZE);
	s->size = (s->size & ~SLOT_SIZE) | e->size;
	op = add_op(r, e, OP_REALLOC);
	op->slot = op->from = *c->mark;
	op->pool = s->size >> SLOT_POOL_SHIFT & (NP_MAX_POOLS - 1);
	op->size = e->size;
	r->out.replayed.reallocs++;
}

/* Of a realloc that moved the piece, it was taken with the new one. */
static void replay_died(struct rerun *r, const struct event *e,
			const struct change *c)
{
	r->out.recorded.frees += !c->moves;
	if (!c->piece.mark)
		return;
	add_op(r, e, OP_FREE)->slot = c->piece.mark;
	leave_slot(r, c->piece.mark);
	r->out.replayed.frees += !c->moves;
}

static void replay_call(struct rerun *r, const struct event *e)
{
	struct change c = lives_apply(&r->lives, e);

	settle(r);
	r->out.recorded.refused += e->kind == NP_TRACE_REFUSE;
	if (c.kind == CHANGE_BORN)
		replay_born(r, e, &c);
	else if (c.kind == CHANGE_RESIZED)
		replay_resized(r, e, &c);
	else if (c.kind == CHANGE_DIED)
		replay_died(r, e, &c);
	if (r->held > r->looked_at + r->looked_at / PEAK_STEP) {
		run(r);
		look_at_peak(r);
	}
}

/* --- events ------------------------------------------------------------ */

/* What the recorded pools did, for the other side of the table. */
static void count_recorded(struct rerun *r, const struct event *e)
{
	struct side *s = &r->out.recorded;
	uint64_t bytes = e->size << NP_TRACE_UNIT_SHIFT;

	s->refills += e->kind == NP_TRACE_REFILL;
	s->flushes += e->kind == NP_TRACE_FLUSH;
	s->rehomes += e->kind == NP_TRACE_REHOME;
	if (e->kind == NP_TRACE_DECAY)
		s->decayed += bytes;
	if (e->kind == NP_TRACE_HOME) {
		s->sent += e->size;
		r->out.node[e->home % NP_MAX_NODES].recorded_sent += e->size;
	}
	if (e->kind == NP_TRACE_MAP) {
		s->mapped++;
		s->chunks++;
	} else if (e->kind == NP_TRACE_UNMAP && s->chunks) {
		s->chunks--;
	}
	if (s->chunks > s->chunks_peak)
		s->chunks_peak = s->chunks;
	if (r->lives.in_slots > s->reserved_peak)
		s->reserved_peak = r->lives.in_slots;
}

static void replay_event(struct rerun *r, const struct event *e)
{
	r->out.events++;
	r->out.time_ns = e->time_ns;
	if (is_call(e->kind)) {
		replay_call(r, e);
		return;
	}
	if (e->kind == NP_TRACE_LOST)
		r->out.lost += e->size;
	if (e->kind == NP_TRACE_START)
		begin_program(r);
	else if (e->kind == NP_TRACE_NODE)
		machine_add(&r->machine, e->home, e->size);
	else if (e->kind == NP_TRACE_POOL)
		begin_pool(r, e);
	else if (e->kind == NP_TRACE_OPTION)
		set_option(r, e);
	else if (e->kind == NP_TRACE_RESET)
		reset_pool(r, e);
	else if (e->kind == NP_TRACE_THREAD)
		set_thread(r, e);
	else if (e->kind == NP_TRACE_CPU)
		set_cpu(r, e);
	lives_apply(&r->lives, e);
	count_recorded(r, e);
}

/* --- the whole --------------------------------------------------------- */

/* Are the options of --conf good, and for a pool? */
static bool check_conf(const struct rerun_options *o)
{
	struct np_config config;

	np_config_preset(&config);
	if (np_config_read(&config, o->conf)) {
		complain("--conf is written as NPOOL_CONF: npool_options(7)");
		return false;
	}
	for (size_t i = 0; i < np_noptions; i++) {
		const struct np_option *option = &np_options[i];

		if ((option->scope == NP_OPT_PROCESS ||
		     option->scope == NP_OPT_PROCESS_LIVE) &&
		    is_chosen(o->conf, option)) {
			complain("--conf: %s is an option of a process, not "
				 "of a pool%s", option->name,
				 strcmp(option->name, "nodes") ? ""
				 : ": see --nodes");
			return false;
		}
	}
	return true;
}

static unsigned recorded_cpus(const struct rerun *r)
{
	char *text = reader_value(r->reader, "cpus");
	unsigned long n = text ? strtoul(text, NULL, 10) : 1;

	free(text);
	return n < NP_MAX_CPUS ? (unsigned)n : NP_MAX_CPUS;
}

static void finish(struct rerun *r)
{
	struct outcome *out = &r->out;

	run(r);
	out->strangers = r->lives.strangers;
	out->replaced = r->lives.replaced;
	note_mapped(r);
	each_pool(r, sum_up);
}

static void clean_up(struct rerun *r)
{
	begin_program(r);
	machine_fini(&r->machine);
	lives_free(&r->lives);
	reader_close(r->reader);
	free(r->ops);
	free(r->slots);
	np_os = &np_os_linux;
}

static struct rerun *begin(int fd, const char *name,
			   const struct rerun_options *o)
{
	struct rerun *r = get_memory(1, sizeof *r);

	r->o = r->out.options = o;
	r->out.name = name;
	r->out.modelled = o->nodes != 0;
	r->reader = reader_open(fd, name);
	r->ops = get_memory(OPS, sizeof *r->ops);
	lives_init(&r->lives);
	start_library();
	read_options(r);
	return r;
}

static int replay_all(struct rerun *r)
{
	const struct event *e;

	if (!machine_init(&r->machine, r->o, recorded_cpus(r)))
		return READ_DAMAGED;
	while ((e = reader_next(r->reader))) {
		replay_event(r, e);
		if (r->code != READ_OK)
			return r->code;
	}
	return read_result(r->reader);
}

int outcome_get(struct outcome *out, int fd, const char *name,
		const struct rerun_options *o)
{
	struct rerun *r;
	int code;

	if (!check_conf(o)) {
		out->events = 0;
		return READ_DAMAGED;
	}
	r = begin(fd, name, o);
	code = replay_all(r);
	finish(r);
	*out = r->out;
	if (r->code != READ_OK)
		out->events = 0;
	clean_up(r);
	free(r);
	return code;
}

int rerun(int fd, const char *name, const struct rerun_options *o)
{
	struct outcome *out = get_memory(1, sizeof *out);
	int code = outcome_get(out, fd, name, o);

	if (out->events && !o->quiet)
		(o->json ? outcome_print_json : outcome_print)(out);
	free(out);
	return written_result(code);
}
