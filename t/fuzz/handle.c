/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * Fuzzes npool_chunk.h: any calls with any numbers, on a chunk alone and on two
 * chunks of a set, against a map that knows, for each 16 bytes, which handle
 * they were handed out by. libFuzzer; t/fuzz/run builds it.
 */
#include "handle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GRAIN 16
#define ORDER_MAX 4
#define GRAINS ((4096u << ORDER_MAX) / GRAIN)
#define NCHUNKS 3 /* the first one is alone; the others may be in the set */

#define must(x) \
	((x) ? (void)0 : (fprintf(stderr, "line %d: %s\n", __LINE__, #x), \
			  abort()))

static char meta[NCHUNKS][NPOOL_CHUNK_META(4096, ORDER_MAX)];
static char set_meta[NPOOL_CHUNKLIST_META];
static npool_chunk_t *chunk[NCHUNKS];
static npool_chunklist_t *set;
static npool_handle_t owner[NCHUNKS][GRAINS];
static npool_handle_t last; /* handed out last, of any chunk */

struct input {
	const uint8_t *p;
	size_t left;
};

static uint64_t number(struct input *in, size_t nbytes)
{
	uint64_t value = 0;

	for (; nbytes && in->left; nbytes--, in->left--)
		value = value << 8 | *in->p++;
	return value;
}

static int index_of(const npool_chunk_t *c)
{
	return (int)(intptr_t)npool_chunk_user(c);
}

static void mark(int i, size_t at, size_t n, npool_handle_t from,
		 npool_handle_t to)
{
	must(at % GRAIN == 0 && n % GRAIN == 0 && n);
	must(at + n <= npool_chunk_size(chunk[i]));
	for (size_t k = at / GRAIN; k < (at + n) / GRAIN; k++) {
		must(owner[i][k] == from);
		owner[i][k] = to;
	}
}

static void taken(int i, npool_handle_t h, size_t size)
{
	ptrdiff_t at;

	if (!h)
		return;
	at = npool_chunk_offset(chunk[i], h);
	must(at >= 0 && npool_chunk_length(chunk[i], h) >= size);
	mark(i, (size_t)at, npool_chunk_length(chunk[i], h), 0, h);
	last = h;
}

static void give(int i, npool_handle_t h)
{
	ptrdiff_t at = npool_chunk_offset(chunk[i], h);
	size_t n = npool_chunk_length(chunk[i], h);
	int error = npool_chunk_free(chunk[i], h);

	must((at < 0) == (error != 0) && (at < 0) == !n);
	if (at >= 0)
		mark(i, (size_t)at, n, h, 0);
}

static void claim(int i, npool_handle_t h, size_t length)
{
	if (npool_chunk_claim(chunk[i], h, length))
		return;
	must(npool_chunk_length(chunk[i], h) == length);
	taken(i, h, length);
}

static int add_pages(const struct npool_page *page, void *arg)
{
	*(size_t *)arg += page->npages;
	return 0;
}

static void look(int i, uint64_t at)
{
	size_t size = npool_chunk_size(chunk[i]), npages = 0;
	struct npool_class row;
	struct npool_page page;
	uint64_t words[4];

	must(npool_chunk_handle(chunk[i], at) ==
	     (at < size ? owner[i][at / GRAIN] : 0));
	must((npool_chunk_node(chunk[i], (uint32_t)at) < 0) ==
	     (!(uint32_t)at || (uint32_t)at >= 2 * size / 4096));
	must(!npool_page_look(chunk[i], at, &page) == (at < size / 4096));
	npool_subpage_bitmap(chunk[i], at, words, at % 5);
	npool_subpage_class(chunk[i], (unsigned)at, &row);
	npool_page_walk(chunk[i], add_pages, &npages);
	must(npages == size / 4096);
	must(npool_chunk_valid(chunk[i]) && npool_chunklist_valid(set));
}

static void from_set(size_t size)
{
	npool_chunk_t *c = NULL;
	npool_handle_t h = npool_chunklist_alloc(set, size, &c);

	must(!h == !c);
	if (h)
		taken(index_of(c), h, size);
}

static void step(struct input *in)
{
	unsigned what = (unsigned)number(in, 1);
	int i = (int)(what >> 4) % NCHUNKS;

	switch (what & 15) {
	case 0:
	case 1: {
		size_t size = number(in, 2);

		taken(i, npool_chunk_alloc(chunk[i], size), size);
		break;
	}
	case 2:
		taken(i, npool_page_alloc(chunk[i], number(in, 1)), 1);
		break;
	case 3:
		taken(i, npool_page_alloc_bytes(chunk[i], number(in, 3)), 1);
		break;
	case 4:
		taken(i, npool_subpage_alloc(chunk[i],
					     (unsigned)number(in, 1)), 1);
		break;
	case 5:
	case 6:
		from_set(number(in, 2));
		break;
	case 7: /* what was handed out here, if anything was */
	case 8:
		give(i, owner[i][number(in, 2) % GRAINS]);
		break;
	case 9:
		give(i, number(in, 8));
		break;
	case 10:
		give(i, last ^ (npool_handle_t)1 << number(in, 1) % 64);
		break;
	case 11:
		claim(i, number(in, 2) << 32 | number(in, 1) |
		      (npool_handle_t)(what >> 7) << 62, number(in, 2));
		break;
	case 12:
		claim(i, last, number(in, 2));
		break;
	case 13:
		npool_chunk_trim(chunk[i]);
		npool_chunklist_trim(set);
		break;
	case 14:
		if (i && npool_chunklist_add(set, chunk[i]))
			npool_chunklist_remove(chunk[i]);
		break;
	default:
		look(i, number(in, 1 + what % 2 * 3));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	unsigned head = (unsigned)number(&in, 1);
	struct npool_shape shape = { 4096, head % (ORDER_MAX + 1), head >> 7 };

	memset(owner, 0, sizeof owner);
	must(!npool_chunklist_create(&set, &shape, NULL, set_meta,
				     sizeof set_meta));
	for (int i = 0; i < NCHUNKS; i++) {
		must(!npool_chunk_create(&chunk[i], &shape, meta[i],
					 sizeof meta[i]));
		npool_chunk_set_user(chunk[i], (void *)(intptr_t)i);
		if (i)
			npool_chunklist_add(set, chunk[i]);
	}
	while (in.left)
		step(&in);
	for (int i = 0; i < NCHUNKS; i++) {
		look(i, 0);
		for (size_t k = 0; k < GRAINS; k++)
			if (owner[i][k])
				give(i, owner[i][k]);
		npool_chunk_trim(chunk[i]);
		must(npool_chunk_free_bytes(chunk[i]) ==
		     npool_chunk_size(chunk[i]));
		npool_chunk_destroy(chunk[i]);
	}
	npool_chunklist_destroy(set);
	return 0;
}
