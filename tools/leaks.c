/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * leaks: what was still alive when a recording ended, by who had asked for it;
 * see report.h.
 */
#include "report.h"
#include "tool.h"

#include <inttypes.h>
#include <stdlib.h>

/* What one stack has left behind. */
struct leak {
	uint32_t stack;
	uint64_t pieces, bytes;
	uint64_t oldest_ns, youngest_ns; /* when they were born */
};

struct leaks {
	struct leak *row; /* [n], by number of the stack; the last has none */
	uint32_t n;
	uint64_t pieces, bytes;
	uint64_t end_ns;
};

static void add(struct leaks *l, const struct piece *p)
{
	uint32_t i = p->stack < l->n - 1 ? p->stack : l->n - 1;
	struct leak *leak = &l->row[i];

	if (!leak->pieces || p->born_ns < leak->oldest_ns)
		leak->oldest_ns = p->born_ns;
	if (!leak->pieces || p->born_ns > leak->youngest_ns)
		leak->youngest_ns = p->born_ns;
	leak->stack = p->stack;
	leak->pieces++;
	leak->bytes += p->size;
	l->pieces++;
	l->bytes += p->size;
}

static void collect(struct leaks *l, const struct lives *lives,
		    uint32_t nstacks, uint64_t older_ns)
{
	l->n = nstacks + 1;
	l->row = get_memory(l->n, sizeof *l->row);
	for (size_t i = 0; i < lives->room; i++) {
		const struct piece *p = &lives->table[i];

		if (lives_has(lives, p) && l->end_ns - p->born_ns >= older_ns)
			add(l, p);
	}
}

static int by_bytes(const void *a, const void *b)
{
	const struct leak *x = a, *y = b;

	return x->bytes != y->bytes ? (x->bytes < y->bytes ? 1 : -1)
		: x->pieces != y->pieces ? (x->pieces < y->pieces ? 1 : -1)
		: x->stack < y->stack ? -1 : x->stack > y->stack;
}

static void print_stack(struct reader *r, struct symbols *s, uint32_t number)
{
	struct stack stack;
	uint32_t i;

	if (number == RECORDING_NO_STACK) {
		printf("    (no stack: record with --stacks)\n");
		return;
	}
	stack = reader_stack(r, number);
	for (i = symbols_skip_own(s, stack); i < stack.n; i++)
		printf("    %s\n", symbols_name(s, stack.frame[i]));
}

static void print_leak(struct reader *r, struct symbols *s,
		       const struct leak *leak, uint64_t end_ns)
{
	printf("\n%s in %" PRIu64 " piece%s, %s to %s old\n",
	       in_bytes(leak->bytes), leak->pieces,
	       leak->pieces == 1 ? "" : "s",
	       in_time(end_ns - leak->youngest_ns),
	       in_time(end_ns - leak->oldest_ns));
	print_stack(r, s, leak->stack);
}

static void print(struct leaks *l, struct reader *r, unsigned most)
{
	struct symbols *s = symbols_open(reader_maps(r));
	uint32_t i = 0;

	qsort(l->row, l->n, sizeof *l->row, by_bytes);
	printf("never freed: %s in %" PRIu64 " piece%s\n", in_bytes(l->bytes),
	       l->pieces, l->pieces == 1 ? "" : "s");
	for (; i < l->n && i < most && l->row[i].pieces; i++)
		print_leak(r, s, &l->row[i], l->end_ns);
	if (i < l->n && l->row[i].pieces)
		printf("\nand more; --most shows them\n");
	symbols_close(s);
}

int leaks(int fd, const char *name, const struct leak_options *options)
{
	struct reader *r = reader_open(fd, name);
	struct leaks l = { 0 };
	struct lives lives;
	const struct event *e;
	int code;

	lives_init(&lives);
	while ((e = reader_next(r))) {
		lives_apply(&lives, e);
		l.end_ns = e->time_ns;
	}
	code = read_result(r);
	if (code == READ_OK) {
		collect(&l, &lives, reader_nstacks(r), options->older_ns);
		print(&l, r, options->most);
		code = l.pieces ? READ_FAILED : READ_OK;
	}
	free(l.row);
	lives_free(&lives);
	reader_close(r);
	return written_result(code);
}
