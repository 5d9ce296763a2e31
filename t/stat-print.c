/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * What npool-stat prints for people, of a report made by hand: whatever the
 * figures and however long the names, no line is wider than 80 columns, and
 * names that differ at their ends are told apart.
 */
#include "stat.h"
#include "chunklist.h"
#include "sizeclass.h"
#include "tap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const char tool_name[] = "stat-print.t";

#define ORDER 11
#define PAGES ((size_t)1 << ORDER)
#define LAST_PID 4194304 /* of 64-bit Linux: PID_MAX_LIMIT */
#define MANY_NODES 8
#define KERNEL_NODE 1000

static char *long_command[] = {
	(char[]){ "/usr/local/libexec/a-program-whose-path-is-rather-long" },
	(char[]){ "--with=an-option-that-takes-it-beyond-any-line" }, NULL,
};

static const struct options all_views = {
	.show = ~0u & (SHOW_VERIFY * 2 - 1),
	.chunk = 2047,
	.verbose = true,
	.children = true,
	.color = COLOR_NEVER,
	.command = long_command,
};

/* --- rows ------------------------------------------------------------- */

static void fill(void *row, const struct figure *f, uint64_t value)
{
	for (; f->key; f++)
		*figure_in(row, f) = value;
}

static void name_pool(char pool[NP_POOL_NAME_SIZE], unsigned n)
{
	snprintf(pool, NP_POOL_NAME_SIZE, "connections-of-the-front-end-%02u",
		 n);
}

static void add_processes(struct report *r, uint64_t value)
{
	r->processes = get_memory(3, sizeof *r->processes);
	r->nprocesses = 3;
	r->nprograms = 1;
	for (unsigned i = 0; i < 3; i++) {
		struct process *p = &r->processes[i];

		p->pid = LAST_PID;
		p->pool_slot = i;
		name_pool(p->pool, i);
		strcpy(p->program, "a-program-of-31-bytes-or-so-all");
		strcpy(p->topology, "memory is bound to the node of its arena; "
		       "distances are those that the firmware has");
		strcpy(p->options, "first:1,second:2,third:3,fourth:4,fifth:5,"
		       "sixth:6,seventh:7,eighth:8,ninth:9,tenth:10");
		p->page_size = 8192;
		p->chunk_size = 16 * NP_MIB;
		p->class_table = "netty";
		fill(&p->total, total_figures, value);
	}
}

static void add_nodes(struct report *r, size_t n, uint64_t value)
{
	r->nnodes = n;
	r->nodes = get_memory(n, sizeof *r->nodes);
	r->nflows = n * n;
	r->flows = get_memory(n * n, sizeof *r->flows);
	for (size_t i = 0; i < n; i++) {
		fill(&r->nodes[i], node_figures, value);
		r->nodes[i].home = i;
		r->nodes[i].kernel_node = KERNEL_NODE + (int64_t)i;
		r->nodes[i].cpus = 8192; /* Linux has no more */
		r->nodes[i].threads = r->nodes[i].chunks = 4096;
	}
	for (size_t i = 0; i < n * n; i++) {
		fill(&r->flows[i], flow_figures, value);
		r->flows[i].in_use = -(value / 2);
		r->flows[i].by = i / n;
		r->flows[i].of = i % n;
	}
}

static void add_arenas(struct report *r, uint64_t value)
{
	r->narenas = 1;
	r->arenas = get_memory(1, sizeof *r->arenas);
	fill(r->arenas, arena_figures, value);
	r->arenas->arena = 1023;
	r->arenas->threads = r->arenas->chunks = 4096;
	r->arenas->peak_chunks = 4096;
}

static void add_classes(struct report *r, uint64_t value)
{
	r->nclasses = 3;
	r->classes = get_memory(3, sizeof *r->classes);
	for (unsigned i = 0; i < 3; i++) {
		fill(&r->classes[i], class_figures, value);
		r->classes[i].kind = i ? NP_NORMAL : NP_HUGE;
		r->classes[i].size = 1 << 30;
		r->classes[i].npages = PAGES;
		r->classes[i].nelems = i == 1 ? 0 : 4096;
	}
}

static void add_threads(struct report *r, uint64_t value)
{
	r->nthreads = 2;
	r->threads = get_memory(2, sizeof *r->threads);
	for (unsigned i = 0; i < 2; i++) {
		struct thread_row *t = &r->threads[i];

		fill(t, thread_figures, value);
		t->pid = LAST_PID;
		t->tid = LAST_PID;
		t->arena = 1023;
		name_pool(t->pool, i);
	}
}

/* --- chunks ----------------------------------------------------------- */

/* Free nodes of every size, many of each, as no chunk could have. */
static void grow_tree(struct chunk_row *c)
{
	c->order = ORDER;
	c->tree = get_memory(2, PAGES);
	for (uint32_t node = 1; node < 2 * PAGES; node++)
		c->tree[node] = (uint8_t)(node & 1 ? np_log2(node) : ORDER + 1);
}

static void add_pieces(struct chunk_row *c)
{
	c->npages = PAGES;
	c->cells = get_memory(PAGES + 1, 1);
	memset(c->cells, 'A', PAGES);
	c->npieces = c->subpages = c->subpage_pages = PAGES;
	c->pieces = get_memory(PAGES, sizeof *c->pieces);
	for (uint32_t i = 0; i < PAGES; i++)
		c->pieces[i] = (struct piece_row){ i, 1, 1020 * NP_KIB, 512,
						   512 };
	c->runs = c->run_pages = c->free_pages = PAGES;
}

static void add_chunks(struct report *r, uint64_t value)
{
	r->nchunks = 2;
	r->chunks = get_memory(2, sizeof *r->chunks);
	for (unsigned i = 0; i < 2; i++) {
		struct chunk_row *c = &r->chunks[i];

		c->pid = LAST_PID;
		strcpy(c->program, r->processes->program);
		name_pool(c->pool, i);
		c->number = 2047;
		c->base = UINT64_C(0x7fffffffffff);
		c->size = 16 * NP_MIB;
		c->arena = 1023;
		c->page_size = 8192;
		c->kernel_node = KERNEL_NODE;
		c->spilled = value;
		c->list = i ? LIST_HUGE : NP_NLISTS;
		if (!i) {
			add_pieces(c);
			grow_tree(c);
		}
	}
}

/* Pages of a home on every other node. */
static void add_places(struct report *r, uint64_t value)
{
	r->nplaces = MANY_NODES;
	r->places = get_memory(MANY_NODES, sizeof *r->places);
	for (int i = 0; i < MANY_NODES; i++)
		r->places[i] = (struct place_row){
			.kernel_node = KERNEL_NODE,
			.found = KERNEL_NODE + i,
			.pages = value,
		};
}

/* --- printing --------------------------------------------------------- */

static size_t widest(const char *text)
{
	size_t most = 0;

	for (const char *line = text; *line; ) {
		size_t n = strcspn(line, "\n");

		if (n > LINE_WIDTH)
			diag("%zu: %.*s", n, (int)n, line);
		most = n > most ? n : most;
		line += n + (line[n] == '\n');
	}
	return most;
}

static char *printed(const struct report *r)
{
	struct listed listed[2] = {
		{ .pid = LAST_PID, .nodes = MANY_NODES, .total = r->total },
		{ .pid = LAST_PID, .why = (char[]){ "counts in a file that "
			"was removed (npool-stat ended?)" } },
	};
	char *text;
	size_t size;
	FILE *out = open_text(&text, &size);

	strcpy(listed[0].program, r->processes->program);
	strcpy(listed[1].program, r->processes->program);
	table_print(out, r);
	list_print(out, listed, 2);
	if (fclose(out) != 0)
		bail_out("cannot print into memory");
	return text;
}

static struct report report_of(size_t nnodes, uint64_t value)
{
	struct report r = { .options = &all_views, .is_live = true,
			    .sample_error = ENOSYS };

	fill(&r.total, total_figures, value);
	add_processes(&r, value);
	add_nodes(&r, nnodes, value);
	add_arenas(&r, value);
	add_classes(&r, value);
	add_threads(&r, value);
	add_chunks(&r, value);
	add_places(&r, value);
	return r;
}

static void test_width(size_t nnodes, uint64_t value, const char *what)
{
	struct report r = report_of(nnodes, value);
	char *text = printed(&r);
	size_t width = widest(text);

	ok(width <= LINE_WIDTH && width > LINE_WIDTH / 2,
	   "%zu nodes, figures of %s: no line is wider than %d columns",
	   nnodes, what, LINE_WIDTH);
	for (int i = 0; i <= MANY_NODES; i++) {
		char node[16];

		snprintf(node, sizeof node, " on %d", KERNEL_NODE + i);
		if (i && !strstr(text, node) != (i == MANY_NODES))
			bail_out("pages of node %d are not told", i);
	}
	free(text);
	report_free(&r);
}

static void test_command(void)
{
	struct run run = { .command = { .pid = LAST_PID,
					.elapsed_ms = UINT64_C(99999999999) } };
	struct report r = report_of(2, 1);
	char *text;

	r.is_live = false;
	r.run = &run;
	text = printed(&r);
	is_uint(widest(text) > LINE_WIDTH, false, "nor with a long command");
	free(text);
	report_free(&r);
}

/* --- names ------------------------------------------------------------ */

static void test_names(void)
{
	cell a, b;

	is_str(show_name(a, "exactly-15-long", 15), "exactly-15-long",
	       "a name that fits is whole");
	is_str(show_name(a, "sixteen-bytes-16", 15), "sixteen..tes-16",
	       "of a longer one the middle is left out");
	ok(strcmp(show_name(a, "connections-of-the-front-end-01", 15),
		  show_name(b, "connections-of-the-front-end-02", 15)) != 0,
	   "those that differ at their ends are told apart");
}

static void test_wrapped(void)
{
	static const char words[] = "a word and another, "
		"then some more of them that go on and on until no line has "
		"room, and so";
	char *text;
	size_t size;
	FILE *out = open_text(&text, &size);

	text_print_wrapped(out, "label", words);
	fclose(out);
	is_str(text, "  label     a word and another,\n"
	       "            then some more of them that go on and on until no "
	       "line has room,\n"
	       "            and so\n",
	       "text is broken behind commas, and no blank is left");
	free(text);
}

int main(void)
{
	plan(4 + 1 + 3 + 1);
	test_width(3, 9999999, "seven digits");
	test_width(3, UINT64_MAX, "64 bits");
	test_width(MANY_NODES, 9999999, "seven digits");
	test_width(MANY_NODES, UINT64_MAX, "64 bits");
	test_command();
	test_names();
	test_wrapped();
	return done();
}
