/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * Fuzzes the reader of npool-stat: any bytes in a segment's place, or a true
 * segment in which some words are anything, read in every way there is.
 * libFuzzer; t/fuzz/run builds it.
 */
#include "chunk.h"
#include "config.h"
#include "segment.h"
#include "sizeclass.h"
#include "stat.h"
#include "topology.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

const char tool_name[] = "npool-stat";

#define ENTRIES 4 /* blocks, chunks and maps of the true one */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int __wrap_nanosleep(const struct timespec *length, struct timespec *left);

/* Nobody moves counts here: there is nothing to wait for. */
int __wrap_nanosleep(const struct timespec *length, struct timespec *left)
{
	(void)length, (void)left;
	return 0;
}

static char *image; /* the true segment */
static size_t image_size;

/* --- the true segment ------------------------------------------------- */

/* Moves a part of few entries behind what there is. */
static void append_part(const char *from, struct np_segment_part *part)
{
	size_t bytes = (size_t)part->stride * ENTRIES;

	memcpy(image + image_size, from + part->offset, bytes);
	part->offset = (uint32_t)image_size;
	part->n = ENTRIES;
	image_size = np_round_up(image_size + bytes, NP_LINE);
}

static void use_a_little(struct np_segment *s)
{
	struct np_sight sight;

	for (int i = 1; i < ENTRIES; i++) {
		struct np_block *b = np_block_get(s, (unsigned)i % 2, 0);

		np_segment_enter(s, (void *)((uintptr_t)i << 30), 512 * NP_KIB,
				 (unsigned)i % 2, 0, &sight);
		if (sight.entry < 0)
			abort();
		np_count_set(&b->class[i].allocs, 10);
		memset(sight.map, i, (size_t)i * 5);
	}
}

static void make_image(void)
{
	static struct np_segment s;
	static struct np_topology topology;
	static struct np_config config;
	static struct np_classes classes;
	struct np_segment_pool pool = { .name = "fuzz", .config = &config,
		.classes = &classes, .topology = &topology, .narenas = 3 };
	struct np_segment_header *h;

	np_config_preset(&config);
	np_topology_init(&topology, 2);
	if (np_classes_init(&classes, NP_FINE, 13, 6) ||
	    np_segment_create(&s, NULL, &pool))
		abort();
	use_a_little(&s);
	image = malloc(s.layout.size);
	image_size = s.layout.blocks.offset;
	memcpy(image, s.base, image_size);
	h = (struct np_segment_header *)(void *)image;
	append_part(s.base, &h->blocks);
	append_part(s.base, &h->chunks);
	append_part(s.base, &h->maps);
	h->size = image_size;
}

/* --- one input -------------------------------------------------------- */

/* Eight bytes: where, and what. Most places are in the header. */
static size_t place_of(uint32_t where)
{
	size_t room = where & 1 ? image_size
				: offsetof(struct np_segment_header, program);

	return (where >> 1) % (room / 4) * 4;
}

static void spoil(char *segment, size_t length, const uint8_t *data,
		  size_t size)
{
	for (; size >= 8; data += 8, size -= 8) {
		uint32_t where, what;
		size_t at;

		memcpy(&where, data, 4);
		memcpy(&what, data + 4, 4);
		at = place_of(where);
		if (at + 4 <= length)
			memcpy(segment + at, &what, 4);
	}
}

/* As the first byte says: the bytes as they are; the true segment, spoilt;
 * and that cut off. The caller's to free. */
static char *make_segment(const uint8_t *data, size_t size, size_t *length)
{
	char *segment;

	*length = data[0] & 1 ? size - 1 : image_size;
	if (data[0] & 2)
		*length = *length * data[0] / 256;
	segment = aligned_alloc(NP_LINE, np_round_up(*length + 1, NP_LINE));
	if (!segment)
		abort();
	memcpy(segment, data[0] & 1 ? (const char *)data + 1 : image,
	       *length);
	if (!(data[0] & 1))
		spoil(segment, *length, data + 1, size - 1);
	return segment;
}

static void read_all(const struct view *view)
{
	static const struct options options = {
		.show = SHOW_REPORT | SHOW_THREADS | SHOW_PAGES,
		.verbose = true,
		.children = true,
		.metrics = true,
		.color = COLOR_ALWAYS,
	};
	static FILE *nowhere;
	struct report r = { .options = &options, .is_live = true };
	struct samples samples = { 0 };

	if (!nowhere)
		nowhere = fopen("/dev/null", "w");
	samples_take(&samples, view);
	report_add(&r, view, &samples, LIFE_RUNNING);
	table_print(nowhere, &r);
	if (json_is_there())
		json_print(nowhere, &r);
	metrics_print(nowhere, &r);
	svg_print(nowhere, &r);
	report_free(&r);
	samples_free(&samples);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct view *view;
	char *segment, why[200] = "";
	size_t length;

	if (!image)
		make_image();
	if (!size)
		return 0;
	segment = make_segment(data, size, &length);
	view = view_of(segment, length, why, sizeof why);
	if (view)
		read_all(view);
	else if (!*why || strchr(why, '\n'))
		abort(); /* one line */
	view_close(view);
	free(segment);
	return 0;
}
