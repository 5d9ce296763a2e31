/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * table: the report for people, and each view, 80 columns wide. The exact
 * figures are in the JSON.
 */
#include "stat.h"
#include "sizeclass.h" /* enum np_kind */

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#define TOP_CLASSES 10

/* --- text ------------------------------------------------------------- */

static char *join(char **words)
{
	char *all = format_text("%s", words[0]);

	for (size_t i = 1; words[i]; i++) {
		char *more = format_text("%s %s", all, words[i]);

		free(all);
		all = more;
	}
	make_printable(all);
	return all;
}

static void print_running(FILE *out, const struct report *r)
{
	if (r->nprograms == 1)
		fprintf(out, "npool-stat: process %d (%s), as it is now\n",
			(int)r->processes[0].pid, r->processes[0].program);
	else
		fprintf(out, "npool-stat: %zu processes called %s, as they are "
			"now\n", r->nprograms, r->processes[0].program);
}

static void print_command(FILE *out, const struct report *r)
{
	char *command;

	if (r->is_live) {
		print_running(out, r);
		return;
	}
	if (!r->run) {
		fprintf(out, "npool-stat: segments in %s\n",
			r->options->read_dir);
		return;
	}
	command = join(r->options->command);
	fprintf(out, "npool-stat: %.60s%s\n", command,
		strlen(command) > 60 ? "..." : "");
	free(command);
	fprintf(out, "  after %" PRIu64 ".%03u s: ",
		r->run->command.elapsed_ms / 1000,
		(unsigned)(r->run->command.elapsed_ms % 1000));
	if (WIFSIGNALED(r->run->command.status))
		fprintf(out, "ended by signal %d (%s)\n",
			WTERMSIG(r->run->command.status),
			strsignal(WTERMSIG(r->run->command.status)));
	else
		fprintf(out, "exit code %d\n", WEXITSTATUS(r->run->command.status));
}

static const char *es(uint64_t n)
{
	return n == 1 ? "" : "es";
}

static void print_lives(FILE *out, const struct report *r)
{
	size_t running = r->by_life[LIFE_RUNNING];

	fprintf(out, "  %zu process%s: %zu left by exit, %zu otherwise "
		"(killed, exec, _exit)\n", r->nprograms, es(r->nprograms),
		r->by_life[LIFE_ENDED], r->by_life[LIFE_GONE]);
	if (running)
		fprintf(out, "  %zu process%s still running: counted as of "
			"now\n", running, es(running));
	if (r->nskipped)
		fprintf(out, "  %zu segment%s skipped, see the messages\n",
			r->nskipped, r->nskipped == 1 ? "" : "s");
}

static void print_setting(FILE *out, const struct report *r)
{
	const struct process *p = report_main(r);
	cell page, chunk;

	fprintf(out, "  pages of %s, chunks of %s, classes %s\n",
		show_bytes(page, p->page_size),
		show_bytes(chunk, p->chunk_size),
		p->class_table);
	text_print_wrapped(out, "topology", p->topology);
	text_print_wrapped(out, "options", p->options);
}

/* --- tables ----------------------------------------------------------- */

static void print_nodes(FILE *out, const struct report *r)
{
	fputs("\nnode kernel cpus threads chunks  reserved      used    cached"
	      "      peak on node\n", out);
	for (size_t i = 0; i < r->nnodes; i++) {
		const struct node_row *n = &r->nodes[i];
		cell node, reserved, used, cached, peak, share;

		fprintf(out, "%4" PRIu64 " %6s %4" PRIu64 " %7" PRIu64
			" %6" PRIu64 " %9s %9s %9s %9s %7s\n", n->home,
			show_node(node, n->kernel_node), n->cpus,
			n->threads, n->chunks,
			show_bytes(reserved, n->reserved),
			show_bytes(used, n->used),
			show_bytes(cached, n->cached),
			show_bytes(peak, n->peak_taken),
			show_percent(share, n->pages.local, n->pages.resident));
	}
}

/* --- between nodes ---------------------------------------------------- */

#define MATRIX_MOST 6 /* nodes that have room beside each other */

static const char *net_bytes(cell to, uint64_t n)
{
	cell amount;

	if ((int64_t)n >= 0)
		return show_bytes(to, n);
	snprintf(to, sizeof(cell), "-%s", show_bytes(amount, -n));
	return to;
}

static void print_places(FILE *out, const struct report *r)
{
	fputs("\nnode  pages asked  in memory  on node    spilled  known for"
	      "  brought home\n", out);
	for (size_t i = 0; i < r->nnodes; i++) {
		const struct node_row *n = &r->nodes[i];
		const struct pages *p = &n->pages;
		cell asked, resident, local, spilled, known, brought;

		fprintf(out, "%4" PRIu64 " %12s %10s %8s %10s %10s %13s\n",
			n->home, show_count(asked, p->asked),
			show_percent(resident, p->resident, p->asked),
			show_percent(local, p->local, p->resident),
			show_bytes(spilled, n->spilled),
			n->spilled ? show_seconds(known, n->spilled_ms) : "-",
			show_bytes(brought, n->brought_home));
	}
}

static const char *in_use(cell to, const struct flow_row *f)
{
	return net_bytes(to, f->in_use);
}

static const char *sent(cell to, const struct flow_row *f)
{
	return f->by == f->of ? "-" : show_count(to, f->sent);
}

static const char *distance(cell to, const struct flow_row *f)
{
	return show_count(to, f->distance);
}

typedef const char *flow_cell(cell to, const struct flow_row *f);

/* Rows of flows are sorted: a line of the matrix for each `by`. */
static void print_matrix(FILE *out, const struct report *r, const char *title,
			 flow_cell *show)
{
	cell text;

	fprintf(out, "\n%s\n  by\\of", title);
	for (size_t i = 0; i < r->nflows && r->flows[i].by == r->flows[0].by;
	     i++)
		fprintf(out, " %10" PRIu64, r->flows[i].of);
	for (size_t i = 0; i < r->nflows; i++) {
		const struct flow_row *f = &r->flows[i];

		if (!i || f->by != f[-1].by)
			fprintf(out, "\n%7" PRIu64, f->by);
		fprintf(out, " %10s", show(text, f));
	}
	fputs("\n", out);
}

/* Where there are too many for a matrix: those that are not zero. */
static void print_flow_list(FILE *out, const struct report *r)
{
	fputs("\n   by   of      in use   sent home             distance\n",
	      out);
	for (size_t i = 0; i < r->nflows; i++) {
		const struct flow_row *f = &r->flows[i];
		cell use, pieces, size;

		if (f->in_use || f->sent)
			fprintf(out, "%5" PRIu64 "%5" PRIu64
				" %11s %11s %9s %9" PRIu64 "\n", f->by, f->of,
				net_bytes(use, f->in_use),
				show_count(pieces, f->sent),
				show_bytes(size, f->sent_bytes), f->distance);
	}
}

static void print_between_nodes(FILE *out, const struct report *r)
{
	if (r->nnodes < 2)
		return;
	print_places(out, r);
	if (r->nflows > MATRIX_MOST * MATRIX_MOST) {
		print_flow_list(out, r);
		return;
	}
	if (!r->nflows)
		return;
	print_matrix(out, r, "memory in use: by threads of a node, of a node "
		     "(below 0: freed for others)", in_use);
	print_matrix(out, r, "pieces freed by threads of a node that went home "
		     "to another", sent);
	print_matrix(out, r, "distances", distance);
}

/* --- arenas ----------------------------------------------------------- */

/* Machines with many CPUs have many arenas, most of them unused. */
static bool is_shown(const struct report *r, const struct arena_row *a)
{
	uint64_t any = a->threads | a->peak_chunks | a->peak_taken;

	return r->options->verbose || any;
}

static void print_arena_memory(FILE *out, const struct report *r)
{
	size_t idle = 0;

	fputs("\narena node threads chunks  peak  reserved     taken      peak"
	      "    purged\n", out);
	for (size_t i = 0; i < r->narenas; i++) {
		const struct arena_row *a = &r->arenas[i];
		cell reserved, taken, peak, purged;

		if (!is_shown(r, a)) {
			idle++;
			continue;
		}
		fprintf(out, "%5" PRIu64 " %4" PRIu64 " %7" PRIu64 " %6" PRIu64
			" %5" PRIu64 " %9s %9s %9s %9s\n", a->arena, a->home,
			a->threads, a->chunks, a->peak_chunks,
			show_bytes(reserved, a->reserved),
			show_bytes(taken, a->taken),
			show_bytes(peak, a->peak_taken),
			show_bytes(purged, a->purged));
	}
	if (idle)
		fprintf(out, "      %zu more, never used (-v shows them)\n",
			idle);
}

static void print_arena_pieces(FILE *out, const struct report *r)
{
	fputs("\narena node       tiny (pieces)      small (pieces)     "
	      "normal (pieces)\n                out      back       out"
	      "      back       out      back\n", out);
	for (size_t i = 0; i < r->narenas; i++) {
		const struct arena_row *a = &r->arenas[i];
		cell c[6];

		if (!is_shown(r, a))
			continue;
		fprintf(out, "%5" PRIu64 " %4" PRIu64
			"  %9s %9s %9s %9s %9s %9s\n", a->arena, a->home,
			show_count(c[0], a->allocs[NP_TINY]),
			show_count(c[1], a->frees[NP_TINY]),
			show_count(c[2], a->allocs[NP_SMALL]),
			show_count(c[3], a->frees[NP_SMALL]),
			show_count(c[4], a->allocs[NP_NORMAL]),
			show_count(c[5], a->frees[NP_NORMAL]));
	}
}

/* --- totals ----------------------------------------------------------- */

/* One line a group of totals: label, then "words value" pairs. */
static void print_calls(FILE *out, const struct total *t)
{
	cell a, b, c;

	fprintf(out, "\ncalls     allocations %s, frees %s\n",
		show_count(a, t->allocs), show_count(b, t->frees));
	fprintf(out, "caches    hits %s of allocations (%s), misses %s\n",
		show_percent(a, t->hits, t->allocs), show_count(b, t->hits),
		show_count(c, t->misses));
	fprintf(out, "depots    magazines got %s, put %s\n",
		show_count(a, t->depot_gets), show_count(b, t->depot_puts));
	fprintf(out, "arenas    visits to fill %s, to flush %s\n",
		show_count(a, t->fills), show_count(b, t->flushes));
	fprintf(out, "nodes     foreign frees %s (%s), rehomed threads %s\n",
		show_count(a, t->foreign_frees),
		show_bytes(b, t->foreign_bytes),
		show_count(c, t->rehomes));
	fprintf(out, "pressure  refused %s, owners called %s; idle caches "
		"emptied %s\n", show_count(a, t->refused),
		show_count(b, t->pressures), show_count(c, t->reclaims));
}

static void print_memory(FILE *out, const struct total *t)
{
	cell a, b, c, d;

	fprintf(out, "memory    reserved %s (peak %s), taken %s (peak %s)\n",
		show_bytes(a, t->reserved), show_bytes(b, t->peak_reserved),
		show_bytes(c, t->taken), show_bytes(d, t->peak_taken));
	fprintf(out, "          used %s, cached %s, purged %s\n",
		show_bytes(a, t->used), show_bytes(b, t->cached),
		show_bytes(c, t->purged));
	fprintf(out, "huge      blocks %s (%s)\n",
		show_count(a, t->huge_blocks),
		show_bytes(b, t->huge_bytes));
	if (t->hugetlb_got || t->hugetlb_missed)
		fprintf(out, "hugetlb   chunks in pages of a reserve %s, in "
			"others for want %s\n",
			show_count(a, t->hugetlb_got),
			show_count(b, t->hugetlb_missed));
	fprintf(out, "threads   %s, peak %s; forks %s, caches "
		"abandoned %s\n", show_count(a, t->threads),
		show_count(b, t->peak_threads), show_count(c, t->forks),
		show_count(d, t->abandoned));
}

static void print_pages(FILE *out, const struct report *r)
{
	const struct pages *p = &r->total.pages;
	cell a, b, c;

	fprintf(out, "pages     asked %s, in memory %s, of them on their node "
		"%s\n", show_count(a, p->asked), show_count(b, p->resident),
		show_percent(c, p->local, p->resident));
	if (r->sample_error)
		fprintf(out, "          not all could be asked: %s\n",
			strerror(r->sample_error));
	if (r->total.chunks_unseen)
		fprintf(out, "          %s chunks have no room in their "
			"segment and are not asked\n",
			show_count(a, r->total.chunks_unseen));
	if (r->total.caches_unseen)
		fprintf(out, "          %s caches had no room in their "
			"segment: counted at their end\n",
			show_count(a, r->total.caches_unseen));
}

/* --- classes ---------------------------------------------------------- */

static int by_allocs(const void *a, const void *b)
{
	const struct class_row *x = *(const struct class_row *const *)a;
	const struct class_row *y = *(const struct class_row *const *)b;

	if (x->allocs != y->allocs)
		return x->allocs < y->allocs ? 1 : -1;
	return (x > y) - (x < y);
}

static void print_class(FILE *out, const struct class_row *c)
{
	cell size, allocs, frees, live, live_bytes, n;

	fprintf(out, "%9s %-6s %9s %9s %9s %9s  ",
		c->kind == NP_HUGE ? "-" : show_count(size, c->size),
		kind_names[c->kind], show_count(allocs, c->allocs),
		show_count(frees, c->frees), show_count(live, c->live),
		show_bytes(live_bytes, c->live_bytes));
	if (c->kind == NP_HUGE)
		fputs("blocks of their own\n", out);
	else if (!c->nelems)
		fprintf(out, "run, %s page%s\n", show_count(n, c->npages),
			c->npages == 1 ? "" : "s");
	else
		fprintf(out, "%" PRIu64 " on %" PRIu64 " page%s\n", c->nelems,
			c->npages, c->npages == 1 ? "" : "s");
}

/* The classes with most allocations, or all in the order of their sizes. */
static void print_classes(FILE *out, const struct report *r, bool all)
{
	const struct class_row **rows;
	size_t n = r->nclasses;

	if (!n)
		return;
	rows = get_memory(n, sizeof *rows);
	for (size_t i = 0; i < n; i++)
		rows[i] = &r->classes[i];
	if (!all)
		qsort(rows, n, sizeof *rows, by_allocs);
	if (!all && n > TOP_CLASSES)
		n = TOP_CLASSES;
	fputs("\n     size kind   allocated     freed      live     bytes  "
	      "made of\n", out);
	for (size_t i = 0; i < n; i++)
		print_class(out, rows[i]);
	if (n < r->nclasses)
		fprintf(out, "          %zu more classes (-v shows all, in the "
			"order of size)\n", r->nclasses - n);
	free(rows);
}

/* --- processes -------------------------------------------------------- */

static void print_processes(FILE *out, const struct report *r)
{
	fputs("\n    pid program          state   allocated      used    cached"
	      "      peak on node\n", out);
	for (size_t i = 0; i < r->nprocesses; i++) {
		const struct process *p = &r->processes[i];
		cell program, allocs, used, cached, peak, share;

		if (p->pool_slot)
			continue;
		fprintf(out, "%7d %-15s  %-7s %9s %9s %9s %9s %7s\n",
			(int)p->pid, show_name(program, p->program, 15),
			life_names[p->life],
			show_count(allocs, p->total.allocs),
			show_bytes(used, p->total.used),
			show_bytes(cached, p->total.cached),
			show_bytes(peak, p->total.peak_taken),
			show_percent(share, p->total.pages.local,
				p->total.pages.resident));
	}
}

/* Those that programs have made, if there are any. */
static void print_pools(FILE *out, const struct report *r)
{
	if (r->nprograms == r->nprocesses)
		return;
	fputs("\n    pid pool                 allocated      used    cached"
	      "      peak   refused\n", out);
	for (size_t i = 0; i < r->nprocesses; i++) {
		const struct process *p = &r->processes[i];
		cell pool, allocs, used, cached, peak, refused;

		if (!p->pool_slot && !r->options->verbose)
			continue;
		fprintf(out, "%7d %-20s %9s %9s %9s %9s %9s\n",
			(int)p->pid, show_name(pool, p->pool, 20),
			show_count(allocs, p->total.allocs),
			show_bytes(used, p->total.used),
			show_bytes(cached, p->total.cached),
			show_bytes(peak, p->total.peak_taken),
			show_count(refused, p->total.refused));
	}
}

static void print_legend(FILE *out, const struct report *r)
{
	if (r->nprocesses < 2)
		return;
	fprintf(out, "\nEvents are added up over all processes and their "
		"pools; sizes too, each as it\n%s. Peaks are those of the one "
		"with the highest.\n", r->is_live ? "is now"
		: "was at its end");
}

/* --- the whole -------------------------------------------------------- */

static void print_report(FILE *out, const struct report *r)
{
	if (!r->is_live)
		print_lives(out, r);
	print_setting(out, r);
	print_nodes(out, r);
	print_between_nodes(out, r);
	print_arena_memory(out, r);
	print_arena_pieces(out, r);
	print_calls(out, &r->total);
	print_memory(out, &r->total);
	print_pages(out, r);
	print_classes(out, r, r->options->verbose);
	if (r->options->verbose || r->options->children)
		print_processes(out, r);
	print_pools(out, r);
	print_legend(out, r);
}

/* Those that are a part of the report. */
static void print_parts(FILE *out, const struct report *r)
{
	if (r->options->show & SHOW_NODES) {
		print_nodes(out, r);
		print_between_nodes(out, r);
	}
	if (r->options->show & SHOW_ARENAS) {
		print_arena_memory(out, r);
		print_arena_pieces(out, r);
	}
	if (r->options->show & SHOW_CLASSES)
		print_classes(out, r, true);
}

static void print_chosen_chunks(FILE *out, const struct report *r)
{
	size_t n = 0;

	for (size_t i = 0; i < r->nchunks; i++)
		if (chunk_is_chosen(r, &r->chunks[i])) {
			chunk_print(out, r, &r->chunks[i]);
			n++;
		}
	if (!n)
		fprintf(out, "\nthere is no chunk 0x%" PRIx64 "; --lists shows "
			"which there are\n", r->options->chunk);
}

static void print_views(FILE *out, const struct report *r)
{
	unsigned show = r->options->show;

	if (show & SHOW_THREADS)
		threads_print(out, r);
	if (show & SHOW_LISTS)
		lists_print(out, r);
	if (show & SHOW_VERIFY)
		places_print(out, r);
	if (show & SHOW_CHUNK)
		print_chosen_chunks(out, r);
	for (size_t i = 0; show & SHOW_MAP && i < r->nchunks; i++)
		map_print(out, r, &r->chunks[i]);
	if (show & (SHOW_PAGES | SHOW_VERIFY))
		chunks_print_unseen(out, r);
}

void table_print(FILE *out, const struct report *r)
{
	print_command(out, r);
	if (!r->nprocesses && r->nskipped) {
		fputs("  no segment could be read, see the messages\n", out);
		return;
	}
	if (!r->nprocesses) {
		fputs("  no process used the malloc face: programs that are "
		      "statically linked, run\n  set-user-ID or bring their "
		      "own malloc cannot\n", out);
		return;
	}
	if (r->options->show & SHOW_REPORT)
		print_report(out, r);
	else
		print_parts(out, r);
	print_views(out, r);
}
