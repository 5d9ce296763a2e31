/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * JSON: the report for programs, made by jansson. All figures are integers,
 * sizes in bytes; what is not known is null. npool-stat(1) lists the keys; a
 * later version may add some, and changes "format" when one goes or means
 * something else.
 */
#include "stat.h"
#include "sizeclass.h" /* enum np_kind */

#ifdef HAVE_JANSSON

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#define FORMAT 1

bool json_is_there(void)
{
	return true;
}

/* --- values ----------------------------------------------------------- */

static json_t *number(uint64_t n)
{
	return json_integer(n > INT64_MAX ? INT64_MAX : (json_int_t)n);
}

/* What is no UTF-8 cannot be told exactly. */
static json_t *string(const char *text)
{
	json_t *value = json_string(text);
	char *clean;

	if (value)
		return value;
	clean = format_text("%s", text);
	make_printable(clean);
	value = json_string(clean);
	free(clean);
	return value;
}

/* json_object_set_new and its like take a NULL as a failure that the whole
 * then shows: see json_print. */
static bool failed;

static void put(json_t *object, const char *key, json_t *value)
{
	if (json_object_set_new(object, key, value) != 0)
		failed = true;
}

static void append(json_t *array, json_t *value)
{
	if (json_array_append_new(array, value) != 0)
		failed = true;
}

static void put_figures(json_t *object, const void *row,
			const struct figure *f)
{
	for (; f->key; f++) {
		uint64_t value = *figure_in(row, f);

		put(object, f->key, f->fold == FOLD_NET
		    ? json_integer((json_int_t)value) : number(value));
	}
}

static json_t *node_number(int64_t kernel_node)
{
	return kernel_node < 0 ? json_null() : json_integer(kernel_node);
}

/* --- rows ------------------------------------------------------------- */

static json_t *nodes(const struct report *r)
{
	json_t *all = json_array();

	for (size_t i = 0; i < r->nnodes; i++) {
		json_t *one = json_object();

		put(one, "node", number(r->nodes[i].home));
		put(one, "kernel_node", node_number(r->nodes[i].kernel_node));
		put_figures(one, &r->nodes[i], node_figures);
		append(all, one);
	}
	return all;
}

static json_t *flows(const struct report *r)
{
	json_t *all = json_array();

	for (size_t i = 0; i < r->nflows; i++) {
		const struct flow_row *f = &r->flows[i];
		json_t *one = json_object();

		put(one, "by_node", number(f->by));
		put(one, "by_kernel_node", node_number(f->by_kernel));
		put(one, "of_node", number(f->of));
		put(one, "of_kernel_node", node_number(f->of_kernel));
		put_figures(one, f, flow_figures);
		append(all, one);
	}
	return all;
}

static json_t *arenas(const struct report *r)
{
	json_t *all = json_array();

	for (size_t i = 0; i < r->narenas; i++) {
		json_t *one = json_object();

		put(one, "arena", number(r->arenas[i].arena));
		put(one, "node", number(r->arenas[i].home));
		put(one, "kernel_node", node_number(r->arenas[i].kernel_node));
		put_figures(one, &r->arenas[i], arena_figures);
		append(all, one);
	}
	return all;
}

static json_t *classes(const struct report *r)
{
	json_t *all = json_array();

	for (size_t i = 0; i < r->nclasses; i++) {
		const struct class_row *c = &r->classes[i];
		bool is_huge = c->kind == NP_HUGE;
		json_t *one = json_object();

		put(one, "kind", string(kind_names[c->kind]));
		put(one, "size", is_huge ? json_null() : number(c->size));
		put(one, "pages", is_huge ? json_null() : number(c->npages));
		put(one, "elements",
		    c->nelems ? number(c->nelems) : json_null());
		put_figures(one, c, class_figures);
		append(all, one);
	}
	return all;
}

static json_t *processes(const struct report *r)
{
	json_t *all = json_array();

	for (size_t i = 0; i < r->nprocesses; i++) {
		const struct process *p = &r->processes[i];
		json_t *one = json_object();

		put(one, "pid", json_integer(p->pid));
		put(one, "program_number", number(p->program_number));
		put(one, "parent",
		    p->parent ? number(p->parent) : json_null());
		put(one, "program", string(p->program));
		put(one, "pool", string(p->pool));
		put(one, "state", string(life_names[p->life]));
		put(one, "page_size", number(p->page_size));
		put(one, "chunk_size", number(p->chunk_size));
		put(one, "class_table", string(p->class_table));
		put(one, "topology", string(p->topology));
		put(one, "options", string(p->options));
		put_figures(one, &p->total, total_figures);
		append(all, one);
	}
	return all;
}

static json_t *threads(const struct report *r)
{
	json_t *all = json_array();

	for (size_t i = 0; i < r->nthreads; i++) {
		const struct thread_row *t = &r->threads[i];
		json_t *one = json_object();

		put(one, "pid", json_integer(t->pid));
		put(one, "pool", string(t->pool));
		put(one, "thread", t->tid ? number(t->tid) : json_null());
		put(one, "node", number(t->home));
		put(one, "kernel_node", node_number(t->kernel_node));
		put(one, "arena", number(t->arena));
		put_figures(one, t, thread_figures);
		append(all, one);
	}
	return all;
}

static json_t *places(const struct report *r)
{
	json_t *all = json_array();

	for (size_t i = 0; i < r->nplaces; i++) {
		const struct place_row *p = &r->places[i];
		json_t *one = json_object();

		put(one, "node", number(p->home));
		put(one, "kernel_node", node_number(p->kernel_node));
		put(one, "found_on_kernel_node", node_number(p->found));
		put_figures(one, p, place_figures);
		append(all, one);
	}
	return all;
}

/* --- chunks ----------------------------------------------------------- */

static json_t *tree(const struct chunk_row *c)
{
	json_t *all = json_array();

	for (size_t i = 1; c->tree && i < (size_t)2 << c->order; i++)
		append(all, json_integer(c->tree[i]));
	return all;
}

static json_t *pieces(const struct chunk_row *c)
{
	json_t *all = json_array();

	for (size_t i = 0; i < c->npieces; i++) {
		const struct piece_row *p = &c->pieces[i];
		json_t *one = json_object();

		put(one, "first_page", number(p->first));
		put(one, "pages", number(p->npages));
		put(one, "size", number(p->size));
		put(one, "elements",
		    p->nelems ? number(p->nelems) : json_null());
		put(one, "elements_taken",
		    p->nelems ? number(p->taken) : json_null());
		append(all, one);
	}
	return all;
}

static void put_pages(json_t *one, const struct report *r,
		      const struct chunk_row *c)
{
	unsigned show = r->options->show;
	bool is_chosen = show & SHOW_CHUNK && chunk_is_chosen(r, c);

	put(one, "page_size", number(c->page_size));
	put(one, "runs", number(c->runs));
	put(one, "run_pages", number(c->run_pages));
	put(one, "subpages", number(c->subpages));
	put(one, "subpage_pages", number(c->subpage_pages));
	put(one, "free_pages", number(c->free_pages));
	put(one, "largest_free_run", number(chunk_largest(c)));
	if (show & SHOW_MAP || is_chosen)
		put(one, "map", string(c->cells));
	if (is_chosen) {
		put(one, "tree", tree(c));
		put(one, "pieces", pieces(c));
	}
}

static json_t *chunk(const struct report *r, const struct chunk_row *c)
{
	json_t *one = json_object();
	bool is_huge = c->list == LIST_HUGE;

	put(one, "pid", json_integer(c->pid));
	put(one, "program", string(c->program));
	put(one, "pool", string(c->pool));
	put(one, "chunk", number(c->number));
	put(one, "address", number(c->base));
	put(one, "size", number(c->size));
	put(one, "node", number(c->home));
	put(one, "kernel_node", node_number(c->kernel_node));
	put(one, "arena", is_huge ? json_null() : number(c->arena));
	put(one, "list", string(is_huge ? "huge" : list_names[c->list]));
	put(one, "spilled", number(c->spilled));
	put(one, "spilled_ms", number(c->spilled_ms));
	if (c->npages)
		put_pages(one, r, c);
	return one;
}

static json_t *chunks(const struct report *r)
{
	bool all_of_them = r->options->show & (SHOW_LISTS | SHOW_MAP);
	json_t *all = json_array();

	for (size_t i = 0; i < r->nchunks; i++)
		if (all_of_them || chunk_is_chosen(r, &r->chunks[i]))
			append(all, chunk(r, &r->chunks[i]));
	return all;
}

/* --- what could not be read ------------------------------------------- */

static json_t *skipped(const struct report *r)
{
	json_t *all = json_array();

	for (size_t i = 0; i < r->nskipped; i++) {
		json_t *one = json_object();

		put(one, "segment", string(r->skipped[i].name));
		put(one, "reason", string(r->skipped[i].why));
		append(all, one);
	}
	return all;
}

/* --- the whole -------------------------------------------------------- */

static json_t *command(const struct report *r)
{
	json_t *words;

	if (!r->run)
		return json_null();
	words = json_array();
	for (char **word = r->options->command; *word; word++)
		append(words, string(*word));
	return words;
}

static void put_end(json_t *root, const struct run *run)
{
	bool by_signal = run && WIFSIGNALED(run->command.status);

	put(root, "exit_code", run && !by_signal
	    ? json_integer(WEXITSTATUS(run->command.status)) : json_null());
	put(root, "signal", by_signal
	    ? json_integer(WTERMSIG(run->command.status)) : json_null());
	put(root, "elapsed_ms", run ? number(run->command.elapsed_ms) : json_null());
}

static json_t *totals(const struct report *r)
{
	json_t *all = json_object();

	put(all, "processes", number(r->nprograms));
	put(all, "processes_ended", number(r->by_life[LIFE_ENDED]));
	put(all, "processes_gone", number(r->by_life[LIFE_GONE]));
	put(all, "processes_running", number(r->by_life[LIFE_RUNNING]));
	put_figures(all, &r->total, total_figures);
	return all;
}

static int print_whole(FILE *out, json_t *root, size_t flags)
{
	int status;

	if (failed)
		give_up(EXIT_SELF, "out of memory");
	status = json_dumpf(root, out, flags);
	fputc('\n', out);
	json_decref(root);
	return status;
}

static void put_views(json_t *root, const struct report *r)
{
	static const struct {
		unsigned show;
		const char *key;
		json_t *(*rows)(const struct report *r);
	} views[] = {
		{ SHOW_REPORT | SHOW_NODES, "nodes", nodes },
		{ SHOW_REPORT | SHOW_NODES, "flows", flows },
		{ SHOW_REPORT | SHOW_ARENAS, "arenas", arenas },
		{ SHOW_REPORT | SHOW_CLASSES, "classes", classes },
		{ SHOW_THREADS, "threads", threads },
		{ SHOW_VERIFY, "places", places },
		{ SHOW_PAGES, "chunks", chunks },
	};

	for (size_t i = 0; i < sizeof views / sizeof *views; i++)
		if (r->options->show & views[i].show)
			put(root, views[i].key, views[i].rows(r));
}

int json_print(FILE *out, const struct report *r)
{
	json_t *root = json_object();

	put(root, "format", json_integer(FORMAT));
	put(root, "npool_version", string(PACKAGE_VERSION));
	put(root, "command", command(r));
	put_end(root, r->run);
	put(root, "pages_error", r->sample_error
	    ? string(strerror(r->sample_error)) : json_null());
	put(root, "totals", totals(r));
	put(root, "processes", processes(r));
	put(root, "skipped", skipped(r));
	put_views(root, r);
	return print_whole(out, root, JSON_INDENT(2));
}

/* --- processes that run ------------------------------------------------ */

static json_t *listed(const struct listed *row)
{
	json_t *one = json_object();

	put(one, "pid", json_integer(row->pid));
	put(one, "program", string(row->program));
	put(one, "reason", row->why ? string(row->why) : json_null());
	if (row->why)
		return one;
	put(one, "pools", number(row->pools));
	put(one, "nodes", number(row->nodes));
	put_figures(one, &row->total, total_figures);
	return one;
}

int json_print_list(FILE *out, const struct listed *list, size_t n)
{
	json_t *root = json_object(), *all = json_array();

	for (size_t i = 0; i < n; i++)
		append(all, listed(&list[i]));
	put(root, "format", json_integer(FORMAT));
	put(root, "npool_version", string(PACKAGE_VERSION));
	put(root, "processes", all);
	return print_whole(out, root, JSON_INDENT(2));
}

/* Of what is counted; the rest are states. */
static json_t *per_seconds(const struct rates *r)
{
	static const struct { const char *key; size_t offset; } counted[] = {
#define COUNTED(field) { #field, offsetof(struct total, field) }
		COUNTED(allocs), COUNTED(frees), COUNTED(hits),
		COUNTED(misses), COUNTED(depot_gets), COUNTED(depot_puts),
		COUNTED(fills), COUNTED(flushes), COUNTED(foreign_frees),
		COUNTED(foreign_bytes), COUNTED(rehomes), COUNTED(purged),
		COUNTED(refused), COUNTED(reclaims),
#undef COUNTED
	};
	json_t *all = json_object();

	for (size_t i = 0; i < sizeof counted / sizeof *counted; i++) {
		struct figure f = { .offset = counted[i].offset };

		put(all, counted[i].key,
		    number(per_second(*figure_in(&r->since, &f),
				      r->elapsed_ms)));
	}
	return all;
}

int json_print_rates(FILE *out, const struct rates *r)
{
	json_t *root = json_object(), *now = json_object();

	put_figures(now, r->now, total_figures);
	put(root, "format", json_integer(FORMAT));
	put(root, "elapsed_ms", number(r->elapsed_ms));
	put(root, "totals", now);
	put(root, "per_second", per_seconds(r));
	return print_whole(out, root, JSON_COMPACT);
}

#else /* !HAVE_JANSSON */

int json_print_list(FILE *out, const struct listed *list, size_t n)
{
	(void)out, (void)list, (void)n;
	return -1;
}

int json_print_rates(FILE *out, const struct rates *r)
{
	(void)out, (void)r;
	return -1;
}

bool json_is_there(void)
{
	return false;
}

int json_print(FILE *out, const struct report *report)
{
	(void)out;
	(void)report;
	return -1;
}

#endif
