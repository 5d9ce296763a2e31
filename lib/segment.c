/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * segment: see segment.h.
 */
#include "segment.h"
#include "chunk.h"
#include "config.h"
#include "meta.h"
#include "os.h"
#include "sizeclass.h"
#include "topology.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h> /* snprintf */
#include <string.h>
#include <sys/mman.h> /* MAP_*, MREMAP_* */
#include <sys/prctl.h> /* PR_GET_NAME */
#include <unistd.h>

#define FEW 64	     /* of both where address space is scarce */
#define NAMES_MAX 1000 /* segments that one process id may make */
#define PROGRAM_SIZE sizeof((struct np_segment_header *)0)->program
#define PATH_SIZE (NP_CONFIG_PATH_MAX + 32)

/* Of all segments: written when the first is made. */
static char directory[NP_CONFIG_PATH_MAX];

static void *entry_of(const struct np_segment *s,
		      const struct np_segment_part *part, unsigned i)
{
	return s->base + part->offset + (size_t)part->stride * i;
}

struct np_segment_node *np_segment_node(const struct np_segment *s,
					unsigned home)
{
	return entry_of(s, &s->layout.nodes, home);
}

struct np_segment_arena *np_segment_arena(const struct np_segment *s,
					  unsigned index)
{
	return entry_of(s, &s->layout.arenas, index);
}

struct np_block *np_segment_block(const struct np_segment *s, unsigned i)
{
	return entry_of(s, &s->layout.blocks, i);
}

struct np_block *np_block_shared(const struct np_segment *s)
{
	return np_segment_block(s, 0);
}

/* --- layout ----------------------------------------------------------- */

static void add_part(struct np_segment_header *h, struct np_segment_part *part,
		     size_t stride, unsigned n)
{
	part->offset = (uint32_t)h->size;
	part->stride = (uint32_t)np_round_up(stride, NP_LINE);
	part->n = n;
	h->size += (size_t)part->stride * n;
}

/* The next part begins with a page: it is made sure of piece by piece. */
static void begin_page(struct np_segment_header *h)
{
	h->size = np_round_up(h->size, np_os_page_size());
}

static size_t block_stride(const struct np_classes *t)
{
	/* Rows 0..n, and the class of zero bytes. */
	return sizeof(struct np_block) +
	       (t->n + 2u) * sizeof(struct np_class_count);
}

static void lay_out(struct np_segment_header *h, const struct np_classes *t,
		    const struct np_topology *topology, unsigned narenas,
		    bool few)
{
	unsigned nchunks = few ? FEW : NP_NCHUNKS;

	h->size = np_round_up(sizeof *h, NP_LINE);
	add_part(h, &h->classes, sizeof(struct np_segment_class), t->n + 2u);
	add_part(h, &h->nodes, sizeof(struct np_segment_node),
		 topology->nnodes);
	add_part(h, &h->arenas, sizeof(struct np_segment_arena), narenas);
	add_part(h, &h->flows, sizeof(struct np_segment_flow),
		 topology->nnodes > NP_FLOWS_NODES ? 0
		 : topology->nnodes * topology->nnodes);
	add_part(h, &h->before, block_stride(t), 1);
	begin_page(h);
	add_part(h, &h->blocks, block_stride(t), few ? FEW : NP_NBLOCKS);
	begin_page(h);
	add_part(h, &h->chunks, sizeof(struct np_segment_chunk), nchunks);
	begin_page(h);
	add_part(h, &h->maps, np_segment_map_offset(t->max_order) +
		 ((size_t)1 << t->max_order), nchunks);
	begin_page(h);
}

/* --- mappings --------------------------------------------------------- */

/* The file of this number, of this process. */
static void name_file(char path[PATH_SIZE], unsigned number)
{
	snprintf(path, PATH_SIZE, "%s/%d.%u", directory, (int)getpid(),
		 number);
}

static void remove_file(const struct np_segment *s)
{
	char path[PATH_SIZE];

	name_file(path, s->number);
	unlink(path);
}

/* Makes DIR/PID.N for the first N that is free. Returns a descriptor, or -1
 * and errno. */
static int create_file(struct np_segment *s)
{
	for (s->number = 0; s->number < NAMES_MAX; s->number++) {
		char path[PATH_SIZE];
		int fd;

		name_file(path, s->number);
		fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC |
			  O_NOFOLLOW, 0600);
		if (fd >= 0 || errno != EEXIST)
			return fd;
	}
	return errno = EEXIST, -1;
}

/* Allocates whole pages of a place that is not private. Returns 0 or a positive
 * errno: the kernel's EFAULT says that to write there would end the process. */
static int allocate(enum np_segment_place place, void *p, size_t size)
{
	int error = np_os_populate(p, size);

	if (error != EFAULT)
		return error;
	return place == NP_SEGMENT_FILE ? ENOSPC : ENOMEM;
}

/* Before Linux 5.14 pages cannot be allocated one by one: all at once. */
static int allocate_ahead(int fd, void *p, size_t size)
{
	int error = allocate(NP_SEGMENT_FILE, p, np_os_page_size());

	return error == EINVAL ? posix_fallocate(fd, 0, (off_t)size) : error;
}

/* A mapping of a new file, or NULL with errno: there is no file then. */
static void *map_file(struct np_segment *s, size_t size)
{
	void *p = NULL;
	int error = 0, fd;

	if (size > np_os_file_limit())
		return errno = EFBIG, NULL;
	fd = create_file(s);
	if (fd < 0)
		return NULL;
	if (ftruncate(fd, (off_t)size) != 0)
		error = errno;
	if (!error && !(p = np_os_map_file(fd, size)))
		error = errno;
	if (p && (error = allocate_ahead(fd, p, size)) != 0)
		np_os_release(p, size);
	close(fd);
	if (error)
		remove_file(s);
	return error ? (errno = error, NULL) : p;
}

/* It was mapped, but there is no memory or disk for it. */
static void drop(struct np_segment *s, void *p, size_t size)
{
	np_os_release(p, size);
	if (s->place == NP_SEGMENT_FILE)
		remove_file(s);
}

static void *map_private(size_t size)
{
	void *p = np_os->mmap(NULL, size, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
			      0);

	if (p == MAP_FAILED)
		return NULL;
	np_os_label(p, size, "counters", -1);
	return p;
}

/* Where others see it. NULL with errno: there is no such place. */
static void *map_visible(struct np_segment *s, size_t size)
{
	s->place = *directory ? NP_SEGMENT_FILE : NP_SEGMENT_SHARED;
	return *directory ? map_file(s, size)
			  : np_os_map_shared(NP_SEGMENT_KEY, size);
}

static void *map_segment(struct np_segment *s, bool visible, size_t size)
{
	void *p = visible ? map_visible(s, size) : NULL;

	s->hidden = p || !visible ? 0 : errno;
	if (p)
		return p;
	s->place = NP_SEGMENT_PRIVATE;
	return map_private(size);
}

/* Makes sure that writing to [p, p + size) cannot fault. Returns 0 or a
 * positive errno. */
static int make_sure(const struct np_segment *s, void *p, size_t size)
{
	size_t page = np_os_page_size();
	uintptr_t start = (uintptr_t)p & ~(page - 1);
	uintptr_t end = np_round_up((uintptr_t)p + size, page);
	int error;

	if (s->place == NP_SEGMENT_PRIVATE)
		return 0;
	error = allocate(s->place, (void *)start, end - start);
	return error == EINVAL ? 0 : error;
}

/* --- the start -------------------------------------------------------- */

static void describe_classes(struct np_segment *s,
			     const struct np_classes *t)
{
	for (unsigned c = 1; c <= t->n + 1u; c++) {
		struct np_segment_class *d =
			entry_of(s, &s->layout.classes, c);

		d->size = t->row[c].size;
		d->npages = t->row[c].npages;
		d->nelems = t->row[c].nelems;
		d->kind = t->row[c].kind;
	}
}

static void describe_options(const struct np_config *config, char *text,
			     size_t size)
{
	size_t used = 0;

	for (size_t i = 0; i < np_noptions && used < size; i++) {
		char value[NP_CONFIG_PATH_MAX];
		int n;

		np_config_show(config, &np_options[i], value, sizeof value);
		n = snprintf(text + used, size - used, "%s%s:%s",
			     used ? "," : "", np_options[i].name, value);
		used += (size_t)n;
	}
}

/* The name of the process, which is that of its first thread. */
static void read_program(char name[PROGRAM_SIZE])
{
	int fd;
	ssize_t n;

	if (gettid() == getpid() && prctl(PR_GET_NAME, name) == 0)
		return;
	fd = open("/proc/self/comm", O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? 0 : read(fd, name, PROGRAM_SIZE - 1);
	if (fd >= 0)
		close(fd);
	name[n > 0 ? n : 0] = '\0';
	name[strcspn(name, "\n")] = '\0';
}

static void describe_pool(struct np_segment_header *h,
			  const struct np_segment_pool *pool)
{
	const struct np_classes *t = pool->classes;

	h->version = NP_SEGMENT_VERSION;
	h->header_size = sizeof *h;
	h->pid = (uint32_t)getpid();
	h->page_size = 1u << t->page_shift;
	h->max_order = t->max_order;
	h->class_table = (uint32_t)pool->config->class_table;
	h->pool_slot = pool->slot;
	snprintf(h->pool, sizeof h->pool, "%s", pool->name);
	snprintf(h->topology, sizeof h->topology, "%s", pool->topology->note);
	read_program(h->program);
	describe_options(pool->config, h->options, sizeof h->options);
	np_count_set(&h->blocks_used, 1);
	atomic_store_explicit(&h->state, NP_SEGMENT_LIVE,
			      memory_order_relaxed);
}

static struct np_segment_flow *flow_of(const struct np_segment *s,
				       unsigned by, unsigned home)
{
	return s->layout.flows.n
		? entry_of(s, &s->layout.flows, by * s->layout.nodes.n + home)
		: NULL;
}

static void describe_distances(const struct np_segment *s,
			       const struct np_topology *topology, unsigned by)
{
	for (unsigned i = 0; i < topology->nnodes; i++) {
		struct np_segment_flow *flow = flow_of(s, by, i);

		if (flow)
			flow->distance = (uint32_t)np_topology_distance(
				topology, by, i);
	}
}

static void describe_nodes(struct np_segment *s,
			   const struct np_topology *topology)
{
	for (unsigned i = 0; i < topology->nnodes; i++) {
		struct np_segment_node *node = np_segment_node(s, i);

		node->kernel_node = topology->kernel_node[i];
		node->cpus = topology->cpus_of[i];
		describe_distances(s, topology, i);
	}
}

/* Who asked for a file is told on standard error; else npool_stats_print tells,
 * since a machine without shared memory would have it said by each program. */
static void warn_of_hidden(const struct np_segment *s, const char *pool)
{
	if (*directory && s->hidden)
		np_warn("no segment of counters in %s: %s; npool-stat will "
			"not see pool %s of this process", directory,
			strerrordesc_np(s->hidden), pool);
}

/* Maps room for the layout, where others see it if there can be any. */
static bool map_layout(struct np_segment *s, struct np_segment_header *h,
		       const struct np_segment_pool *pool, bool visible)
{
	int error;

	lay_out(h, pool->classes, pool->topology, pool->narenas, false);
	s->base = map_segment(s, visible, h->size);
	warn_of_hidden(s, pool->name);
	if (!s->base) {
		lay_out(h, pool->classes, pool->topology, pool->narenas, true);
		s->base = map_private(h->size);
	}
	if (!s->base)
		return false;
	/* All that the start writes, up to block 0. */
	error = make_sure(s, s->base, h->blocks.offset + h->blocks.stride);
	if (!error)
		return true;
	drop(s, s->base, h->size);
	s->place = NP_SEGMENT_PRIVATE;
	s->hidden = error;
	warn_of_hidden(s, pool->name);
	s->base = map_private(h->size);
	return s->base != NULL;
}

/* Last: a reader that sees the magic sees the rest. */
static void show(struct np_segment_header *h)
{
	atomic_thread_fence(memory_order_release);
	h->magic = NP_SEGMENT_MAGIC;
}

int np_segment_create(struct np_segment *s, const char *dir,
		      const struct np_segment_pool *pool)
{
	struct np_segment_header h = { 0 };

	if (dir)
		snprintf(directory, sizeof directory, "%s", dir);
	np_lock_init(&s->lock, NP_RANK_SEGMENT);
	memset(&s->free_blocks, 0, sizeof s->free_blocks);
	memset(&s->free_chunks, 0, sizeof s->free_chunks);
	memset(s->mapped, 0, sizeof s->mapped);
	atomic_store_explicit(&s->blocks_used, 1, memory_order_relaxed);
	atomic_store_explicit(&s->chunks_used, 0, memory_order_relaxed);
	if (!map_layout(s, &h, pool, dir != NULL))
		return ENOMEM;
	describe_pool(&h, pool);
	memcpy(&s->layout, &h, sizeof h);
	memcpy(s->base, &h, sizeof h);
	describe_classes(s, pool->classes);
	describe_nodes(s, pool->topology);
	s->header = (struct np_segment_header *)(void *)s->base;
	show(s->header);
	return 0;
}

void np_segment_destroy(struct np_segment *s)
{
	if (s->place == NP_SEGMENT_FILE)
		remove_file(s);
	np_os_release(s->base, s->layout.size);
	s->header = NULL;
}

/* --- flows ------------------------------------------------------------ */

void np_segment_flow(const struct np_segment *s, unsigned by, unsigned home,
		     uint64_t bytes)
{
	struct np_segment_flow *flow = flow_of(s, by, home);

	if (flow)
		np_count_add_shared(&flow->taken, bytes);
}

void np_segment_flow_cross(const struct np_segment *s, unsigned by,
			   unsigned home, uint64_t bytes)
{
	if (by == home)
		return;
	np_segment_flow(s, by, home, bytes);
	np_segment_flow(s, by, by, -bytes);
}

void np_segment_sent(const struct np_segment *s, unsigned by, unsigned home,
		     uint64_t n, uint64_t bytes)
{
	struct np_segment_flow *flow = flow_of(s, by, home);

	np_segment_flow_cross(s, by, home, -bytes);
	if (!flow)
		return;
	np_count_add_shared(&flow->sent, n);
	np_count_add_shared(&flow->sent_bytes, bytes);
}

/* --- blocks ----------------------------------------------------------- */

#define KEPT 128 /* entries behind the last one that keep their memory */

/* Entries that are handed out. Guarded by the segment's lock. */
struct entries {
	const struct np_segment_part *part;
	const struct np_segment_part *more; /* goes back with it; or NULL */
	_Atomic unsigned *used;
	np_count_t *shown; /* where readers see how many are used */
	struct np_segment_free *free;
};

static struct entries blocks_of(struct np_segment *s)
{
	return (struct entries){
		.part = &s->layout.blocks,
		.used = &s->blocks_used,
		.shown = &s->header->blocks_used,
		.free = &s->free_blocks,
	};
}

static struct entries chunks_of(struct np_segment *s)
{
	return (struct entries){
		.part = &s->layout.chunks,
		.more = &s->layout.maps,
		.used = &s->chunks_used,
		.shown = &s->header->chunks_used,
		.free = &s->free_chunks,
	};
}

static void use_entries(const struct entries *e, unsigned n)
{
	atomic_store_explicit(e->used, n, memory_order_relaxed);
	np_count_set(e->shown, n);
}

static bool get_bit(const uint64_t *bits, unsigned i)
{
	return bits[i / 64] >> i % 64 & 1;
}

static void set_bit(uint64_t *bits, unsigned i, bool yes)
{
	uint64_t bit = UINT64_C(1) << i % 64;

	bits[i / 64] = yes ? bits[i / 64] | bit : bits[i / 64] & ~bit;
}

/* The first free entry of those that are used, or -1. */
static int find_free(const struct np_segment_free *set)
{
	for (unsigned w = 0; w < sizeof set->bits / sizeof *set->bits; w++)
		if (set->bits[w])
			return (int)(w * 64) + __builtin_ctzll(set->bits[w]);
	return -1;
}

static bool make_entry_sure(const struct np_segment *s,
			    const struct entries *e, unsigned i)
{
	if (i < e->free->sure)
		return true;
	if (make_sure(s, entry_of(s, e->part, i), e->part->stride))
		return false;
	e->free->sure = i + 1;
	return true;
}

/* An entry that is free and can be written to; -1: none. */
static int take_entry(const struct np_segment *s, const struct entries *e)
{
	unsigned n = atomic_load_explicit(e->used, memory_order_relaxed);
	int i = find_free(e->free);

	if (i >= 0) {
		set_bit(e->free->bits, (unsigned)i, false);
		return i;
	}
	if (n >= e->part->n || !make_entry_sure(s, e, n))
		return -1;
	use_entries(e, n + 1);
	return (int)n;
}

/* Gives the whole pages of these entries back; they read as zero. */
static bool purge(const struct np_segment *s,
		  const struct np_segment_part *part, unsigned from,
		  unsigned to)
{
	size_t page = np_os_page_size();
	uintptr_t start = np_round_up((uintptr_t)entry_of(s, part, from),
				      page);
	uintptr_t end = (uintptr_t)entry_of(s, part, to) & ~(page - 1);

	if (start >= end)
		return true;
	return (s->place == NP_SEGMENT_PRIVATE
		? np_os_purge((void *)start, end - start)
		: np_os_punch((void *)start, end - start)) == 0;
}

static void put_entry(const struct np_segment *s, const struct entries *e,
		      unsigned i)
{
	unsigned n = atomic_load_explicit(e->used, memory_order_relaxed);
	struct np_segment_free *set = e->free;

	set_bit(set->bits, i, true);
	while (n && get_bit(set->bits, n - 1))
		set_bit(set->bits, --n, false);
	use_entries(e, n);
	if (set->sure > n + KEPT && purge(s, e->part, n, set->sure) &&
	    (!e->more || purge(s, e->more, n, set->sure)))
		set->sure = n;
}

static bool in_segment(const struct np_segment *s, const void *p)
{
	return (uintptr_t)p - (uintptr_t)s->base < s->layout.size;
}

/* Others may be reading its counts. */
static void clear_block(const struct np_segment *s, struct np_block *b)
{
	np_count_t *counts[] = {
		&b->misses, &b->depot_gets, &b->depot_puts, &b->fills,
		&b->flushes, &b->in_bytes, &b->out_bytes, &b->foreign_frees,
		&b->foreign_bytes, &b->reclaimed_bytes, &b->rehomes,
	};

	atomic_store_explicit(&b->live, 0, memory_order_relaxed);
	for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
		np_count_set(counts[i], 0);
	for (size_t c = 0; c < s->layout.classes.n; c++) {
		np_count_set(&b->class[c].allocs, 0);
		np_count_set(&b->class[c].frees, 0);
	}
}

struct np_block *np_block_get(struct np_segment *s, unsigned home,
			      unsigned arena)
{
	const struct entries blocks = blocks_of(s);
	struct np_block *b;
	int i;

	np_lock(&s->lock);
	i = take_entry(s, &blocks);
	np_unlock(&s->lock);
	if (i >= 0) {
		b = entry_of(s, blocks.part, (unsigned)i);
	} else {
		b = np_meta_alloc((np_home_t)home, blocks.part->stride);
		np_count_add_shared(&s->header->caches_unseen, 1);
	}
	if (!b)
		return NULL;
	/* All zero: never used, or cleared when it was put back. */
	atomic_store_explicit(&b->tid, (uint32_t)gettid(),
			      memory_order_relaxed);
	atomic_store_explicit(&b->home, home, memory_order_relaxed);
	atomic_store_explicit(&b->arena, arena, memory_order_relaxed);
	atomic_store_explicit(&b->live, 1, memory_order_relaxed);
	return b;
}

/* Adds the counters of one block to another's, which others may add to. */
static void add_counts(const struct np_segment *s, struct np_block *to,
		       const struct np_block *from)
{
	size_t nclasses = s->layout.classes.n;

	np_count_add_shared(&to->misses, np_count_get(&from->misses));
	np_count_add_shared(&to->depot_gets, np_count_get(&from->depot_gets));
	np_count_add_shared(&to->depot_puts, np_count_get(&from->depot_puts));
	np_count_add_shared(&to->fills, np_count_get(&from->fills));
	np_count_add_shared(&to->flushes, np_count_get(&from->flushes));
	np_count_add_shared(&to->in_bytes, np_count_get(&from->in_bytes));
	np_count_add_shared(&to->out_bytes, np_count_get(&from->out_bytes));
	np_count_add_shared(&to->foreign_frees,
			    np_count_get(&from->foreign_frees));
	np_count_add_shared(&to->foreign_bytes,
			    np_count_get(&from->foreign_bytes));
	np_count_add_shared(&to->reclaimed_bytes,
			    np_count_get(&from->reclaimed_bytes));
	np_count_add_shared(&to->rehomes, np_count_get(&from->rehomes));
	for (size_t c = 0; c < nclasses; c++) {
		np_count_add_shared(&to->class[c].allocs,
				    np_count_get(&from->class[c].allocs));
		np_count_add_shared(&to->class[c].frees,
				    np_count_get(&from->class[c].frees));
	}
}

/* Bytes that a thread took, less those it gave back. */
static uint64_t held_by(const struct np_segment *s, const struct np_block *b)
{
	uint64_t bytes = 0;

	for (unsigned c = 1; c < s->layout.classes.n; c++) {
		const struct np_segment_class *class =
			entry_of(s, &s->layout.classes, c);

		bytes += class->size * (np_count_get(&b->class[c].allocs) -
					np_count_get(&b->class[c].frees));
	}
	return bytes;
}

/* What is written in between is seen by nobody who does not see the begin, and
 * by everybody who sees the end. */
static void begin_move(struct np_segment_header *h)
{
	np_count_add_shared(&h->moves_begun, 1);
	atomic_thread_fence(memory_order_release);
}

static void end_move(struct np_segment_header *h)
{
	atomic_fetch_add_explicit(&h->moves_ended, 1, memory_order_release);
}

void np_block_put(struct np_segment *s, struct np_block *b, unsigned home)
{
	const struct entries blocks = blocks_of(s);
	size_t stride = blocks.part->stride;
	uintptr_t first = (uintptr_t)entry_of(s, blocks.part, 0);

	begin_move(s->header);
	add_counts(s, np_block_shared(s), b);
	np_segment_flow(s, home, home, held_by(s, b));
	if (in_segment(s, b))
		clear_block(s, b);
	end_move(s->header);
	if (!in_segment(s, b)) {
		np_meta_free((np_home_t)home, b, stride);
		return;
	}
	np_lock(&s->lock);
	put_entry(s, &blocks, (unsigned)(((uintptr_t)b - first) / stride));
	np_unlock(&s->lock);
}

int64_t np_block_cached(const struct np_segment *s,
			const struct np_classes *t, const struct np_block *b)
{
	int64_t bytes = 0; /* of frees, less those of allocs */

	for (unsigned c = 1; c < s->layout.classes.n; c++)
		bytes += (int64_t)(np_count_get(&b->class[c].frees) -
				   np_count_get(&b->class[c].allocs)) *
			 (int64_t)t->row[c].size;
	return bytes + (int64_t)(np_count_get(&b->in_bytes) -
				 np_count_get(&b->out_bytes) -
				 np_count_get(&b->foreign_bytes) -
				 np_count_get(&b->reclaimed_bytes));
}

void np_segment_forget(struct np_segment *s, const struct np_classes *t)
{
	struct np_block *b = np_block_shared(s);

	for (unsigned c = 0; c < s->layout.classes.n; c++)
		np_count_set(&b->class[c].frees,
			     np_count_get(&b->class[c].allocs));
	np_count_add(&b->out_bytes, (uint64_t)np_block_cached(s, t, b));
	for (unsigned i = 0; i < s->layout.flows.n; i++) {
		struct np_segment_flow *flow =
			entry_of(s, &s->layout.flows, i);

		np_count_set(&flow->taken, 0);
	}
}

/* --- chunks ----------------------------------------------------------- */

static int take_chunk(struct np_segment *s, bool mapped)
{
	const struct entries chunks = chunks_of(s);
	int i = take_entry(s, &chunks);

	if (i >= 0 && mapped && make_sure(s, entry_of(s, chunks.more,
						      (unsigned)i),
					  chunks.more->stride)) {
		put_entry(s, &chunks, (unsigned)i);
		return -1;
	}
	if (i >= 0)
		set_bit(s->mapped, (unsigned)i, mapped);
	return i;
}

/* A number for a chunk, or -1: there is no segment yet, or no room. mapped: it
 * needs a page map. */
static int number_chunk(struct np_segment *s, bool mapped)
{
	struct np_segment_header *h = s ? s->header : NULL;
	int i;

	if (!h)
		return -1;
	np_lock(&s->lock);
	i = take_chunk(s, mapped);
	np_unlock(&s->lock);
	if (i < 0)
		np_count_add_shared(&h->chunks_unseen, 1);
	return i;
}

static void show_pages(const struct np_segment *s, unsigned i,
		       struct np_sight *sight)
{
	char *pages = entry_of(s, &s->layout.maps, i);

	memset(pages, 0, s->layout.maps.stride);
	sight->fill = (void *)pages;
	sight->map = (uint8_t *)pages +
		     np_segment_map_offset(s->layout.max_order);
}

void np_segment_enter(struct np_segment *s, const void *base, size_t size,
		      unsigned home, unsigned arena, struct np_sight *sight)
{
	bool mapped = arena != NP_SEGMENT_HUGE;
	int i = number_chunk(s, mapped);
	struct np_segment_chunk *c;

	*sight = (struct np_sight){ .entry = i };
	if (i < 0)
		return;
	c = entry_of(s, &s->layout.chunks, (unsigned)i);
	if (mapped)
		show_pages(s, (unsigned)i, sight);
	sight->list = &c->list;
	np_count_set(&c->size, size);
	np_count_set(&c->spilled, 0);
	atomic_store_explicit(&c->home, home, memory_order_relaxed);
	atomic_store_explicit(&c->arena, arena, memory_order_relaxed);
	np_count_set(&c->base, (uintptr_t)base);
}

void np_segment_resize(struct np_segment *s, int i, size_t size)
{
	struct np_segment_chunk *c;

	if (i < 0)
		return;
	c = entry_of(s, &s->layout.chunks, (unsigned)i);
	np_count_set(&c->size, size);
}

void np_segment_spilled(struct np_segment *s, int i,
			const struct np_spill *spill)
{
	struct np_segment_chunk *c;

	if (i < 0)
		return;
	c = entry_of(s, &s->layout.chunks, (unsigned)i);
	np_count_set(&c->spilled_ms, spill->since_ms);
	np_count_set(&c->spilled, spill->bytes);
}

uint64_t np_segment_spill_age(const struct np_segment *s)
{
	uint64_t now = np_count_get(&s->header->looked_ms), oldest = now;

	for (unsigned i = 0; i < s->chunks_used; i++) {
		const struct np_segment_chunk *c =
			entry_of(s, &s->layout.chunks, i);
		uint64_t ms = np_count_get(&c->spilled_ms);

		if (np_count_get(&c->base) && np_count_get(&c->spilled) &&
		    ms < oldest)
			oldest = ms;
	}
	return now - oldest;
}

void np_segment_leave(struct np_segment *s, int i)
{
	struct np_segment_chunk *c;
	struct entries chunks;

	if (i < 0)
		return;
	chunks = chunks_of(s);
	c = entry_of(s, &s->layout.chunks, (unsigned)i);
	np_count_set(&c->base, 0);
	np_lock(&s->lock);
	set_bit(s->mapped, (unsigned)i, false);
	put_entry(s, &chunks, (unsigned)i);
	np_unlock(&s->lock);
}

/* --- fork ------------------------------------------------------------- */

/* Bytes of the segment. */
struct stretch {
	size_t offset, size;
};

/* What of the segment is in use, in its order: up to the blocks, the blocks,
 * the chunks, and each run of page maps. Whole pages, none of them twice. */
struct used {
	unsigned part; /* the next of the first three */
	unsigned map;  /* and of the maps */
	struct stretch now;
};

static struct stretch used_part(const struct np_segment *s, unsigned part)
{
	const struct np_segment_header *h = &s->layout;

	switch (part) {
	case 0:
		return (struct stretch){ 0, h->blocks.offset };
	case 1:
		return (struct stretch){ h->blocks.offset,
					 (size_t)h->blocks.stride *
					 s->blocks_used };
	default:
		return (struct stretch){ h->chunks.offset,
					 (size_t)h->chunks.stride *
					 s->chunks_used };
	}
}

/* The next maps that stand side by side; of size 0 behind the last. */
static struct stretch used_maps(const struct np_segment *s, unsigned *map)
{
	size_t stride = s->layout.maps.stride;
	unsigned first;

	while (*map < s->chunks_used && !get_bit(s->mapped, *map))
		++*map;
	first = *map;
	while (*map < s->chunks_used && get_bit(s->mapped, *map))
		++*map;
	return (struct stretch){ s->layout.maps.offset + stride * first,
				 stride * (*map - first) };
}

/* Begin with a struct of zeros. */
static bool next_used(const struct np_segment *s, struct used *used)
{
	size_t page = np_os_page_size();
	size_t done = used->now.offset + used->now.size, end;
	struct stretch raw = used->part < 3 ? used_part(s, used->part++)
					    : used_maps(s, &used->map);

	if (used->part == 3 && !raw.size)
		return false;
	end = np_round_up(raw.offset + raw.size, page);
	used->now.offset = raw.offset & ~(page - 1);
	if (used->now.offset < done)
		used->now.offset = done;
	used->now.size = end - used->now.offset;
	return true;
}

/* Makes sure that the used part of a segment at p can be written to. Returns 0
 * or a positive errno. */
static int make_used_sure(const struct np_segment *s, char *p)
{
	struct used used = { 0 };
	int error = 0;

	while (!error && next_used(s, &used))
		error = make_sure(s, p + used.now.offset, used.now.size);
	return error;
}

/* All but the magic number: what is still the parent's in many words shall not
 * be taken for a segment. Other threads count meanwhile. */
static void copy_used(const struct np_segment *s, char *to, const char *from)
{
	struct used used = { 0 };

	while (next_used(s, &used)) {
		size_t skip = used.now.offset ? 0 : sizeof s->layout.magic;
		size_t at = used.now.offset + skip;

		np_segment_copy(to + at, from + at, used.now.size - skip);
	}
}

/* Shared memory for the child, in which it can go on. NULL with errno. */
static char *map_for_child(const struct np_segment *s)
{
	char *p = np_os_map_shared(NP_SEGMENT_KEY, s->layout.size);
	int error = p ? make_used_sure(s, p) : errno;

	if (!error)
		return p;
	if (p)
		np_os_release(p, s->layout.size);
	return errno = error, NULL;
}

void np_segment_fork_begins(struct np_segment *s)
{
	if (!s->header || s->place == NP_SEGMENT_PRIVATE)
		return;
	s->snapshot_place = NP_SEGMENT_SHARED;
	if (s->place == NP_SEGMENT_SHARED &&
	    !(s->snapshot = map_for_child(s)))
		s->snapshot_hidden = errno;
	if (!s->snapshot) {
		s->snapshot_place = NP_SEGMENT_PRIVATE;
		s->snapshot = map_private(s->layout.size);
	}
	if (s->snapshot)
		copy_used(s, s->snapshot, s->base);
}

void np_segment_fork_ends(struct np_segment *s)
{
	if (s->snapshot)
		np_os_release(s->snapshot, s->layout.size);
	s->snapshot = NULL;
}

/* Private memory takes the place of these bytes of the segment, and reads as
 * zero. */
static bool replace(const struct np_segment *s, struct stretch part)
{
	char *at = s->base + part.offset;

	return !part.size ||
	       np_os->mmap(at, part.size, PROT_READ | PROT_WRITE,
			   MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS |
			   MAP_NORESERVE, -1, 0) == at;
}

/* The same, with what stands there: by way of a buffer, piece by piece. */
static bool replace_used(const struct np_segment *s, struct stretch part)
{
	static char buffer[64 * NP_KIB]; /* the child has one thread */

	while (part.size) {
		struct stretch now = { part.offset, part.size < sizeof buffer
						    ? part.size
						    : sizeof buffer };
		char *at = s->base + now.offset;

		memcpy(buffer, at, now.size);
		if (!replace(s, now))
			return false;
		memcpy(at, buffer, now.size);
		part.offset += now.size;
		part.size -= now.size;
	}
	return true;
}

/* Where there is no room for a second segment beside this one (RLIMIT_AS). */
static bool become_private(const struct np_segment *s)
{
	struct used used = { 0 };
	size_t done = 0;

	while (next_used(s, &used)) {
		struct stretch gap = { done, used.now.offset - done };

		if (!replace(s, gap) || !replace_used(s, used.now))
			return false;
		done = used.now.offset + used.now.size;
	}
	return replace(s, (struct stretch){ done,
					 s->layout.size - done });
}

/* Moves a segment to where the parent's is mapped. */
static bool move_to_base(const struct np_segment *s, char *p)
{
	size_t size = s->layout.size;

	return np_os->mremap(p, size, size, MREMAP_MAYMOVE | MREMAP_FIXED,
			     s->base) != MAP_FAILED;
}

/* Returns 0 or a positive errno. */
static int go_on_in_file(struct np_segment *s)
{
	size_t size = s->layout.size;
	char *p = map_file(s, size);
	int error = p ? make_used_sure(s, p) : errno;

	if (!error) {
		copy_used(s, p, s->snapshot ? s->snapshot : s->base);
		error = move_to_base(s, p) ? 0 : errno;
	}
	if (error && p)
		drop(s, p, size);
	return error;
}

/* hidden: why nobody shall see it, if it is private. */
static bool go_on_in_memory(struct np_segment *s, int hidden)
{
	char *p = s->snapshot;

	s->place = p ? s->snapshot_place : NP_SEGMENT_PRIVATE;
	s->hidden = s->place == NP_SEGMENT_PRIVATE ? hidden : 0;
	s->snapshot = NULL;
	return p ? move_to_base(s, p) : become_private(s);
}

/* The parent's segment must not see the child's counts. */
static void leave_parents_segment(struct np_segment *s)
{
	bool is_file = s->place == NP_SEGMENT_FILE;
	int error = is_file ? go_on_in_file(s) : s->snapshot_hidden;

	if (is_file && !error)
		return;
	if (!go_on_in_memory(s, error))
		np_die("a forked child found no memory for its counters");
	warn_of_hidden(s, s->layout.pool);
}

/* Sums over processes must not count the parent's events again. */
static void forget_events(struct np_segment *s)
{
	struct np_segment_header *h = s->header;
	np_count_t *events[] = {
		&h->forks, &h->abandoned, &h->caches_unseen, &h->refused,
		&h->pressures, &h->reclaims,
		/* No thread of the child's is between the two. */
		&h->moves_begun, &h->moves_ended,
	};

	for (size_t i = 0; i < sizeof events / sizeof *events; i++)
		np_count_set(events[i], 0);
	for (unsigned i = 0; i < s->layout.nodes.n; i++)
		np_count_set(&np_segment_node(s, i)->brought_home, 0);
	for (unsigned i = 0; i < s->layout.flows.n; i++) {
		struct np_segment_flow *flow =
			entry_of(s, &s->layout.flows, i);

		np_count_set(&flow->sent, 0);
		np_count_set(&flow->sent_bytes, 0);
	}
	for (unsigned i = 0; i < s->layout.arenas.n; i++) {
		struct np_segment_arena *a = np_segment_arena(s, i);

		np_count_set(&a->purged, 0);
		for (unsigned kind = 0; kind < NP_KINDS; kind++) {
			np_count_set(&a->allocs[kind], 0);
			np_count_set(&a->frees[kind], 0);
		}
	}
}

void np_segment_forked(struct np_segment *s)
{
	struct np_segment_header *h = s->header;
	struct np_segment_header *l = &s->layout;
	struct np_block *before;

	if (!h)
		return;
	if (s->place != NP_SEGMENT_PRIVATE)
		leave_parents_segment(s);
	/* Of the child's, what is used is sure, and no more. */
	s->free_blocks.sure = s->blocks_used;
	s->free_chunks.sure = s->chunks_used;
	before = entry_of(s, &l->before, 0);
	memset(before, 0, l->before.stride);
	for (unsigned i = 0; i < s->blocks_used; i++)
		add_counts(s, before, np_segment_block(s, i));
	h->parent = l->pid;
	h->pid = l->pid = (uint32_t)getpid();
	forget_events(s);
	atomic_store_explicit(&h->state, NP_SEGMENT_LIVE,
			      memory_order_relaxed);
	show(h);
}

/* --- the end ---------------------------------------------------------- */

#define SAMPLE 64 /* pages looked at in each chunk */

/* Asks where up to SAMPLE pages of the chunk are, evenly spread. */
static void sample_chunk(struct np_segment *s,
			 const struct np_segment_chunk *c)
{
	struct np_segment_header *h = s->header;
	unsigned home = atomic_load_explicit(&c->home, memory_order_relaxed);
	size_t size = np_count_get(&c->size), page = np_os_page_size();
	size_t step = np_round_up(size / SAMPLE, page);
	void *pages[SAMPLE];
	int status[SAMPLE];
	unsigned n = 0;

	for (size_t at = 0; at < size && n < SAMPLE; at += step ? step : page)
		pages[n++] = (char *)np_count_get(&c->base) + at;
	if (home >= s->layout.nodes.n ||
	    np_os->move_pages(0, n, pages, NULL, status, 0) != 0)
		return;
	np_count_add(&h->pages_asked, n);
	for (unsigned i = 0; i < n; i++) {
		np_count_add(&h->pages_resident, status[i] >= 0);
		np_count_add(&h->pages_local,
			     status[i] >= 0 && status[i] ==
			     np_segment_node(s, home)->kernel_node);
	}
}

void np_segment_ended(struct np_segment *s)
{
	struct np_segment_header *h = s->header;

	if (!h || s->place != NP_SEGMENT_FILE ||
	    s->layout.pid != (uint32_t)getpid())
		return;
	for (unsigned i = 0; i < s->chunks_used; i++) {
		struct np_segment_chunk *c =
			entry_of(s, &s->layout.chunks, i);

		if (np_count_get(&c->base))
			sample_chunk(s, c);
	}
	atomic_store_explicit(&h->state, NP_SEGMENT_ENDED,
			      memory_order_relaxed);
}
