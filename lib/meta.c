/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * meta: see meta.h.
 */
#include "meta.h"
#include "lock.h"
#include "os.h"
#include "topology.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#define BLOCK_SIZE (256 * NP_KIB)
#define OWN_MAPPING_MIN (16 * NP_KIB)
#define KEPT_MAX (64 * NP_KIB)
#define NKEPT 8
#define MIN_SHIFT 6 /* 64 bytes, a cache line */
#define NSIZES 17   /* 64, 96, 128, 192 ... 16 KiB */

struct free_block {
	struct free_block *next;
};

/* A mapping that was given back: of no bytes if there is none. */
struct kept {
	void *p;
	size_t size;
};

/* Metadata of one home. All guarded by lock. */
struct shelf {
	_Alignas(NP_LINE) struct np_lock lock;
	char *block, *end; /* what is left of the current block */
	struct free_block *free[NSIZES];
	struct kept kept[NKEPT];
};

static struct shelf shelves[NP_MAX_NODES];
static unsigned nshelves; /* in use; the others cost no memory */
/* Atomic: set once more while early threads allocate. */
static const struct np_topology *_Atomic topology;
static atomic_size_t mapped; /* Atomic, relaxed: a statistic. */

/* 0: 64, 1: 96, 2: 128, 3: 192, ... */
static unsigned size_index(size_t size)
{
	unsigned lg;

	if (size <= (size_t)1 << MIN_SHIFT)
		return 0;
	lg = np_log2(size - 1);
	return 2 * (lg - MIN_SHIFT) + (size > (size_t)3 << (lg - 1) ? 2 : 1);
}

static size_t size_of_index(unsigned i)
{
	return (size_t)(i % 2 ? 3 : 2) << (MIN_SHIFT - 1 + i / 2);
}

static void *map(np_home_t home, size_t size)
{
	void *p = np_os_reserve(size, np_os_page_size());
	const struct np_topology *t = topology;

	if (!p)
		return NULL;
	if (t)
		np_os_bind(p, size, np_topology_bind_to(t, home));
	if (np_os_commit(p, size) != 0) {
		np_os_release(p, size);
		return errno = ENOMEM, NULL;
	}
	np_os_label(p, size, "metadata", -1);
	atomic_fetch_add_explicit(&mapped, size, memory_order_relaxed);
	return p;
}

void np_meta_init(const struct np_topology *t)
{
	unsigned n = t ? t->nnodes : 1;

	for (; nshelves < n; nshelves++)
		np_lock_init(&shelves[nshelves].lock, NP_RANK_META);
	topology = t;
}

/* Sizes are taken from a block in whole cache lines. */
static size_t cut_size(unsigned i)
{
	return np_round_up(size_of_index(i), NP_LINE);
}

static void keep_free(struct shelf *s, void *p, unsigned i)
{
	struct free_block *b = p;

	b->next = s->free[i];
	s->free[i] = b;
}

/* What is left of the block is cut up, the largest pieces first. */
static void use_up(struct shelf *s)
{
	for (unsigned i = NSIZES; i-- > 0;)
		while ((size_t)(s->end - s->block) >= cut_size(i)) {
			keep_free(s, s->block, i);
			s->block += cut_size(i);
		}
}

static void *cut(struct shelf *s, np_home_t home, size_t size)
{
	char *p;

	if (!s->block || (size_t)(s->end - s->block) < size) {
		p = map(home, BLOCK_SIZE);
		if (!p)
			return NULL;
		use_up(s);
		s->block = p;
		s->end = p + BLOCK_SIZE;
	}
	p = s->block;
	s->block += size;
	return p;
}

/* --- mappings of their own ---------------------------------------------- */

static void *take_kept(struct shelf *s, size_t size)
{
	void *p = NULL;

	np_lock(&s->lock);
	for (unsigned i = 0; !p && i < NKEPT; i++)
		if (s->kept[i].size == size) {
			p = s->kept[i].p;
			s->kept[i].size = 0;
		}
	np_unlock(&s->lock);
	return p;
}

/* Returns whether there was a place for it. */
static bool keep(struct shelf *s, void *p, size_t size)
{
	unsigned i = 0;

	np_lock(&s->lock);
	while (i < NKEPT && s->kept[i].size)
		i++;
	if (i < NKEPT)
		s->kept[i] = (struct kept){ p, size };
	np_unlock(&s->lock);
	return i < NKEPT;
}

static void *alloc_mapping(np_home_t home, size_t size)
{
	size_t rounded = np_round_up(size, np_os_page_size());
	void *p = size <= KEPT_MAX ? take_kept(&shelves[home], rounded) : NULL;

	return p ? memset(p, 0, size) : map(home, rounded);
}

static void free_mapping(np_home_t home, void *p, size_t size)
{
	size_t rounded = np_round_up(size, np_os_page_size());

	if (size <= KEPT_MAX && keep(&shelves[home], p, rounded))
		return;
	if (np_os_release(p, rounded) == 0)
		atomic_fetch_sub_explicit(&mapped, rounded,
					  memory_order_relaxed);
	else
		np_os_purge(p, rounded); /* the address space is lost */
}

/* --- either ------------------------------------------------------------- */

void *np_meta_alloc(np_home_t home, size_t size)
{
	struct shelf *s = &shelves[home];
	unsigned i = size_index(size);
	struct free_block *b;
	void *fresh = NULL;

	if (size > PTRDIFF_MAX)
		return errno = ENOMEM, NULL;
	if (size >= OWN_MAPPING_MIN)
		return alloc_mapping(home, size);
	np_lock(&s->lock);
	b = s->free[i];
	if (b)
		s->free[i] = b->next;
	else
		fresh = cut(s, home, cut_size(i));
	np_unlock(&s->lock);
	/* What nobody has had yet is zero, and better left alone. */
	return b ? memset(b, 0, size) : fresh;
}

void np_meta_free(np_home_t home, void *p, size_t size)
{
	struct shelf *s = &shelves[home];

	if (size >= OWN_MAPPING_MIN) {
		free_mapping(home, p, size);
		return;
	}
	np_lock(&s->lock);
	keep_free(s, p, size_index(size));
	np_unlock(&s->lock);
}

size_t np_meta_mapped(void)
{
	return atomic_load_explicit(&mapped, memory_order_relaxed);
}

void np_meta_lock_all(void)
{
	for (unsigned i = 0; i < nshelves; i++)
		np_lock_for_fork(&shelves[i].lock);
}

void np_meta_unlock_all(void)
{
	for (unsigned i = 0; i < nshelves; i++)
		np_unlock_for_fork(&shelves[i].lock);
}
