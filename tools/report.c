/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * report: see report.h. The recording is read twice: the first time to count,
 * and to find when most was in use; the second time up to then, to see what
 * that was made of.
 */
#include "report.h"
#include "tool.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h> /* lseek */

#define SAMPLES_MOST 64	 /* of the time series; then every other is dropped */
#define SAMPLE_NS 1000000 /* between the first ones */
#define HOMES_MOST 64	 /* that are told apart */

/* What is counted of a class, a thread, a node or a call site. */
struct row {
	uint64_t key;
	uint64_t allocs, frees;
	uint64_t size;	  /* bytes asked for, of all allocs */
	uint64_t usable;  /* as rounded */
	uint64_t live;	  /* bytes asked for that live: at the peak, or end */
	uint64_t pieces;  /* that live */
	uint64_t foreign; /* frees of what another one had asked for */
};

/* Rows by a key. */
struct rows {
	struct row *row;
	size_t n;
	uint32_t *by_hash; /* number + 1 */
	size_t room;
};

/* The pool at a moment. */
struct sample {
	uint64_t time_ns, bytes, usable, reserved, pieces;
};

struct report {
	const struct report_options *options;
	struct reader *reader;
	struct symbols *symbols;
	struct lives lives;
	uint64_t start_ns;	/* of the first event: times are from there */
	uint64_t n, time_ns, lost, kinds[NP_TRACE_KINDS];
	uint64_t moved, in_place;
	uint64_t sizes[BUCKETS], size_bytes[BUCKETS], lifetimes[BUCKETS];
	struct rows classes, threads, sites, pairs;
	uint64_t flow[HOMES_MOST][HOMES_MOST]; /* frees by node, memory of */
	unsigned nhomes;
	struct row node[HOMES_MOST];
	struct sample samples[SAMPLES_MOST], peak;
	unsigned nsamples;
	uint64_t sample_ns;	/* between two */
	uint64_t peak_event;	/* its number, from 1 */
};

/* --- rows ------------------------------------------------------------ */

static uint32_t *row_place(const struct rows *rows, uint64_t key)
{
	size_t i = (size_t)(key * UINT64_C(0x9e3779b97f4a7c15) >> 32) &
		   (rows->room - 1);

	while (rows->by_hash[i] && rows->row[rows->by_hash[i] - 1].key != key)
		i = (i + 1) & (rows->room - 1);
	return &rows->by_hash[i];
}

static void make_room(struct rows *rows)
{
	free(rows->by_hash);
	rows->room = rows->room ? 2 * rows->room : 256;
	rows->by_hash = get_memory(rows->room, sizeof *rows->by_hash);
	for (size_t i = 0; i < rows->n; i++)
		*row_place(rows, rows->row[i].key) = (uint32_t)i + 1;
}

static struct row *row_of(struct rows *rows, uint64_t key)
{
	uint32_t *place;

	if (2 * rows->n >= rows->room)
		make_room(rows);
	place = row_place(rows, key);
	if (!*place) {
		rows->row = grow(rows->row, rows->n, sizeof *rows->row);
		rows->row[rows->n].key = key;
		*place = (uint32_t)++rows->n;
	}
	return &rows->row[*place - 1];
}

static void rows_free(struct rows *rows)
{
	free(rows->row);
	free(rows->by_hash);
	*rows = (struct rows){ 0 };
}

static int by_allocs(const void *a, const void *b)
{
	const struct row *x = a, *y = b;

	return x->allocs != y->allocs ? (x->allocs < y->allocs ? 1 : -1)
		: x->key < y->key ? -1 : x->key > y->key;
}

static int by_live(const void *a, const void *b)
{
	const struct row *x = a, *y = b;

	return x->live != y->live ? (x->live < y->live ? 1 : -1)
				  : by_allocs(a, b);
}

/* After this there is no row_of any more. Returns how many are to be shown. */
static size_t sorted(struct rows *rows, unsigned most,
		     int (*compare)(const void *, const void *))
{
	if (rows->n)
		qsort(rows->row, rows->n, sizeof *rows->row, compare);
	return rows->n < most ? rows->n : most;
}

static void print_left(const struct rows *rows, size_t shown)
{
	if (rows->n > shown)
		printf("  and %zu more\n", rows->n - shown);
}

/* --- counting -------------------------------------------------------- */

static uint64_t class_key(const struct piece *p)
{
	return (uint64_t)p->pool << 8 | p->class;
}

static void add_piece(struct row *row, const struct piece *p)
{
	row->live += p->size;
	row->pieces++;
}

static void drop_piece(struct row *row, const struct piece *p)
{
	row->live -= p->size;
	row->pieces--;
}

static void count_alloc(struct row *row, const struct piece *p)
{
	row->allocs++;
	row->size += p->size;
	row->usable += p->usable;
	add_piece(row, p);
}

static void count_born(struct report *r, const struct change *c)
{
	const struct piece *p = &c->piece;
	unsigned bucket = bucket_of(p->size);

	r->sizes[bucket]++;
	r->size_bytes[bucket] += p->size;
	r->moved += c->moves;
	count_alloc(row_of(&r->classes, class_key(p)), p);
	count_alloc(row_of(&r->threads, p->tid), p);
	if (p->home < HOMES_MOST) {
		count_alloc(&r->node[p->home], p);
		r->nhomes = p->home >= r->nhomes ? p->home + 1u : r->nhomes;
	}
	if (p->stack != RECORDING_NO_STACK)
		count_alloc(row_of(&r->sites, p->stack), p);
}

static void count_died(struct report *r, const struct change *c,
		       const struct event *e)
{
	const struct piece *p = &c->piece;
	int home = lives_home(&r->lives, e);

	r->lifetimes[bucket_of(e->time_ns - p->born_ns)]++;
	row_of(&r->classes, class_key(p))->frees++;
	drop_piece(row_of(&r->classes, class_key(p)), p);
	drop_piece(row_of(&r->threads, p->tid), p);
	row_of(&r->threads, e->tid)->frees++;
	if (e->tid != p->tid) {
		struct row *pair = row_of(&r->pairs, (uint64_t)p->tid << 32 |
						     e->tid);

		pair->allocs++;
		pair->size += p->size;
		row_of(&r->threads, e->tid)->foreign++;
	}
	if (p->home < HOMES_MOST)
		drop_piece(&r->node[p->home], p);
	if (e->home < HOMES_MOST && home >= 0 && home < HOMES_MOST) {
		r->node[e->home].frees++;
		r->flow[e->home][home]++;
		r->nhomes = e->home >= r->nhomes ? e->home + 1u : r->nhomes;
		r->nhomes = (unsigned)home >= r->nhomes ? (unsigned)home + 1
							: r->nhomes;
	}
	if (p->stack != RECORDING_NO_STACK) {
		row_of(&r->sites, p->stack)->frees++;
		drop_piece(row_of(&r->sites, p->stack), p);
	}
}

static void resize_row(struct row *row, const struct change *c)
{
	row->live += c->piece.size - c->old_size;
}

static void count_resized(struct report *r, const struct change *c)
{
	const struct piece *p = &c->piece;

	r->in_place++;
	resize_row(row_of(&r->classes, class_key(p)), c);
	resize_row(row_of(&r->threads, p->tid), c);
	if (p->home < HOMES_MOST)
		resize_row(&r->node[p->home], c);
	if (p->stack != RECORDING_NO_STACK)
		resize_row(row_of(&r->sites, p->stack), c);
}

/* --- over time ------------------------------------------------------- */

static struct sample sample_now(const struct report *r)
{
	return (struct sample){ r->time_ns, r->lives.bytes, r->lives.usable,
				r->lives.reserved, r->lives.n };
}

/* As it was at the end of each interval; when there are too many, intervals
 * become twice as long. */
static void sample(struct report *r, uint64_t time_ns)
{
	while (time_ns >= (r->nsamples + 1) * r->sample_ns) {
		struct sample s = sample_now(r);

		if (r->nsamples == SAMPLES_MOST) {
			for (unsigned i = 0; i < SAMPLES_MOST / 2; i++)
				r->samples[i] = r->samples[2 * i + 1];
			r->nsamples = SAMPLES_MOST / 2;
			r->sample_ns *= 2;
			continue;
		}
		s.time_ns = (r->nsamples + 1) * r->sample_ns;
		r->samples[r->nsamples++] = s;
	}
}

static void count_event(struct report *r, const struct event *e)
{
	struct change c;

	if (!r->n)
		r->start_ns = e->time_ns;
	sample(r, e->time_ns - r->start_ns);
	r->time_ns = e->time_ns - r->start_ns;
	r->n++;
	r->kinds[e->kind]++;
	if (e->kind == NP_TRACE_LOST)
		r->lost += e->size;
	c = lives_apply(&r->lives, e);
	if (c.kind == CHANGE_BORN)
		count_born(r, &c);
	else if (c.kind == CHANGE_DIED)
		count_died(r, &c, e);
	else if (c.kind == CHANGE_RESIZED)
		count_resized(r, &c);
	if (r->lives.bytes > r->peak.bytes) {
		r->peak = sample_now(r);
		r->peak_event = r->n;
	}
}

/* --- the text -------------------------------------------------------- */

static double percent(uint64_t part, uint64_t all)
{
	return all ? 100.0 * (double)part / (double)all : 0;
}

static double rate(const struct report *r, uint64_t n)
{
	return r->time_ns ? (double)n * 1e9 / (double)r->time_ns : 0;
}

static void print_head(const struct report *r, const char *name)
{
	char *command = reader_value(r->reader, "command");
	char *began = reader_value(r->reader, "began");

	printf("recording  %s\n", name);
	if (command)
		printf("command    %s\n", command);
	if (began)
		printf("began      %s\n", began);
	printf("time       %s\n", in_time(r->time_ns));
	printf("events     %" PRIu64 ", and %" PRIu64 " lost (%.3f %%)\n", r->n,
	       r->lost, percent(r->lost, r->n + r->lost));
	free(command);
	free(began);
}

static void print_calls(const struct report *r)
{
	const uint64_t *k = r->kinds;

	printf("\ncalls\n");
	printf("  alloc    %12" PRIu64 "  %12.0f a second\n",
	       k[NP_TRACE_ALLOC], rate(r, k[NP_TRACE_ALLOC]));
	printf("  free     %12" PRIu64 "  %12.0f a second\n",
	       k[NP_TRACE_FREE], rate(r, k[NP_TRACE_FREE]));
	printf("  realloc  %12" PRIu64 "  %" PRIu64 " in place, %" PRIu64
	       " moved\n", k[NP_TRACE_MOVE], r->in_place, r->moved);
	printf("  refused  %12" PRIu64 "\n", k[NP_TRACE_REFUSE]);
	if (r->lives.strangers || r->lives.replaced)
		printf("  of pieces that nobody saw born %" PRIu64
		       ", die %" PRIu64 "\n", r->lives.strangers,
		       r->lives.replaced);
	printf("\nslow ways  refill %" PRIu64 "  flush %" PRIu64 "  home %"
	       PRIu64 "  rehome %" PRIu64 "  chunks %" PRIu64 " mapped %"
	       PRIu64 " unmapped\n           moves between lists %" PRIu64
	       "  decay %" PRIu64 "  spill %" PRIu64 "  huge %" PRIu64
	       " mapped %" PRIu64 " unmapped\n", k[NP_TRACE_REFILL],
	       k[NP_TRACE_FLUSH], k[NP_TRACE_HOME], k[NP_TRACE_REHOME],
	       k[NP_TRACE_MAP], k[NP_TRACE_UNMAP], k[NP_TRACE_LIST],
	       k[NP_TRACE_DECAY], k[NP_TRACE_SPILL], k[NP_TRACE_HUGE_MAP],
	       k[NP_TRACE_HUGE_UNMAP]);
}

static uint64_t sum(const uint64_t *n)
{
	uint64_t all = 0;

	for (unsigned i = 0; i < BUCKETS; i++)
		all += n[i];
	return all;
}

static void print_sizes(const struct report *r)
{
	uint64_t all = sum(r->sizes), bytes = sum(r->size_bytes);

	printf("\nsizes asked for\n"
	       "       up to        allocs       %%         bytes       %%\n");
	for (unsigned i = 0; i < BUCKETS; i++)
		if (r->sizes[i])
			printf("  %10s  %12" PRIu64 "  %6.2f  %12s  %6.2f\n",
			       in_bytes((uint64_t)1 << i), r->sizes[i],
			       percent(r->sizes[i], all),
			       in_bytes(r->size_bytes[i]),
			       percent(r->size_bytes[i], bytes));
}

static void print_lifetimes(const struct report *r)
{
	uint64_t all = sum(r->lifetimes), below = 0;

	printf("\nlifetimes of what was freed\n"
	       "       up to         frees       %%   %% so far\n");
	for (unsigned i = 0; i < BUCKETS; i++) {
		below += r->lifetimes[i];
		if (r->lifetimes[i])
			printf("  %10s  %12" PRIu64 "  %6.2f     %6.2f\n",
			       in_time((uint64_t)1 << i), r->lifetimes[i],
			       percent(r->lifetimes[i], all),
			       percent(below, all));
	}
}

static uint64_t class_size(const struct report *r, uint64_t key)
{
	const struct np_classes *t = r->lives.classes[key >> 8];

	return key & 0xff && t ? t->row[key & 0xff].size : 0;
}

static void print_class_name(const struct report *r, uint64_t key)
{
	uint64_t size = class_size(r, key);

	if (key >> 8)
		printf("  pool %2" PRIu64, key >> 8);
	else
		printf("  default");
	if (size)
		printf("  %10" PRIu64, size);
	else
		printf("  %10s", "huge");
}

static void print_classes(struct report *r)
{
	size_t n = sorted(&r->classes, r->options->most, by_allocs);

	printf("\nsize classes\n"
	       "  pool           size        allocs    a second         frees"
	       "     rounding\n");
	for (size_t i = 0; i < n; i++) {
		const struct row *row = &r->classes.row[i];

		print_class_name(r, row->key);
		printf("  %12" PRIu64 "  %10.0f  %12" PRIu64 "  %8.2f %%\n",
		       row->allocs, rate(r, row->allocs), row->frees,
		       percent(row->usable - row->size, row->usable));
	}
	print_left(&r->classes, n);
}

static void print_threads(struct report *r)
{
	size_t n = sorted(&r->threads, r->options->most, by_allocs);

	printf("\nthreads\n"
	       "         tid        allocs    a second         frees"
	       "   of others'\n");
	for (size_t i = 0; i < n; i++) {
		const struct row *row = &r->threads.row[i];

		printf("  %10" PRIu64 "  %12" PRIu64 "  %10.0f  %12" PRIu64
		       "  %11" PRIu64 "\n", row->key, row->allocs,
		       rate(r, row->allocs), row->frees, row->foreign);
	}
	print_left(&r->threads, n);
}

static void print_pairs(struct report *r)
{
	size_t n = sorted(&r->pairs, r->options->most, by_allocs);

	if (!n)
		return;
	printf("\nwho frees whose\n"
	       "    asked by    freed by        pieces         bytes\n");
	for (size_t i = 0; i < n; i++) {
		const struct row *row = &r->pairs.row[i];

		printf("  %10" PRIu64 "  %10" PRIu64 "  %12" PRIu64 "  %12s\n",
		       row->key >> 32, row->key & UINT32_MAX, row->allocs,
		       in_bytes(row->size));
	}
	print_left(&r->pairs, n);
}

/* Nodes are told by their homes (npool_numa(7)): what the kernel calls them is
 * not recorded. */
static void print_nodes(const struct report *r)
{
	printf("\nnodes (homes), and frees by threads there of memory of\n"
	       "        home        allocs    a second");
	for (unsigned of = 0; of < r->nhomes; of++)
		printf("  %8s %2u", "home", of);
	printf("\n");
	for (unsigned by = 0; by < r->nhomes; by++) {
		printf("  %10u  %12" PRIu64 "  %10.0f", by,
		       r->node[by].allocs, rate(r, r->node[by].allocs));
		for (unsigned of = 0; of < r->nhomes; of++)
			printf("  %11" PRIu64, r->flow[by][of]);
		printf("\n");
	}
}

static void print_sample(const struct sample *s)
{
	uint64_t outside = s->reserved > s->usable ? s->reserved - s->usable
						   : 0;

	printf("  %10s  %10" PRIu64 "  %10s  %10s  %10s  %7.2f %%  %6.2f %%\n",
	       in_time(s->time_ns), s->pieces, in_bytes(s->bytes),
	       in_bytes(s->usable), in_bytes(s->reserved),
	       percent(s->usable - s->bytes, s->usable),
	       percent(outside, s->reserved));
}

/* in_time and in_bytes have four buffers: enough for a row. */
static void print_times(const struct report *r)
{
	unsigned step = r->nsamples / 16 + 1;
	struct sample end = sample_now(r);

	printf("\nover time\n"
	       "        time      pieces   asked for     rounded    reserved"
	       "   rounding  outside\n");
	for (unsigned i = step - 1; i < r->nsamples; i += step)
		print_sample(&r->samples[i]);
	print_sample(&end);
}

/* Adds up the call sites of stacks. */
static void sites_of_stacks(struct report *r, struct rows *sites)
{
	for (size_t i = 0; i < r->sites.n; i++) {
		const struct row *from = &r->sites.row[i];
		struct row *to = row_of(sites,
					site_of(r->reader, r->symbols,
						(uint32_t)from->key));

		to->allocs += from->allocs;
		to->frees += from->frees;
		to->size += from->size;
		to->live += from->live;
		to->pieces += from->pieces;
	}
}

static void print_sites(struct report *r)
{
	struct rows sites = { 0 };
	size_t n;

	if (!r->sites.n)
		return;
	sites_of_stacks(r, &sites);
	n = sorted(&sites, r->options->most, by_allocs);
	printf("\ncall sites (of what was recorded with a stack)\n"
	       "      allocs    a second         frees         bytes\n");
	for (size_t i = 0; i < n; i++) {
		const struct row *row = &sites.row[i];

		printf("%12" PRIu64 "  %10.0f  %12" PRIu64 "  %12s  %s\n",
		       row->allocs, rate(r, row->allocs), row->frees,
		       in_bytes(row->size),
		       symbols_name(r->symbols, row->key));
	}
	print_left(&sites, n);
	rows_free(&sites);
}

/* --- the peak -------------------------------------------------------- */

/* Reads up to the peak. Returns false: it cannot be read again. */
static bool read_to_peak(struct report *r, int fd, const char *name,
			 struct rows *classes, struct rows *sites)
{
	struct reader *again;
	const struct event *e;

	if (lseek(fd, 0, SEEK_SET) != 0)
		return false;
	again = reader_open(fd, name);
	lives_free(&r->lives);
	lives_init(&r->lives);
	for (uint64_t i = 0; i < r->peak_event && (e = reader_next(again)); i++)
		lives_apply(&r->lives, e);
	for (size_t i = 0; i < r->lives.room; i++) {
		const struct piece *p = &r->lives.table[i];

		if (!lives_has(&r->lives, p))
			continue;
		add_piece(row_of(classes, class_key(p)), p);
		if (p->stack != RECORDING_NO_STACK)
			add_piece(row_of(sites,
					 site_of(r->reader, r->symbols,
						 p->stack)), p);
	}
	reader_close(again);
	return true;
}

static void print_peak_classes(struct report *r, struct rows *classes)
{
	size_t n = sorted(classes, r->options->most, by_live);

	printf("  pool           size        pieces     asked for       %%\n");
	for (size_t i = 0; i < n; i++) {
		const struct row *row = &classes->row[i];

		print_class_name(r, row->key);
		printf("  %12" PRIu64 "  %12s  %6.2f\n", row->pieces,
		       in_bytes(row->live), percent(row->live, r->peak.bytes));
	}
	print_left(classes, n);
}

static void print_peak_sites(struct report *r, struct rows *sites)
{
	size_t n = sorted(sites, r->options->most, by_live);

	if (n)
		printf("        pieces     asked for       %%  call site\n");
	for (size_t i = 0; i < n; i++) {
		const struct row *row = &sites->row[i];

		printf("  %12" PRIu64 "  %12s  %6.2f  %s\n", row->pieces,
		       in_bytes(row->live), percent(row->live, r->peak.bytes),
		       symbols_name(r->symbols, row->key));
	}
	print_left(sites, n);
}

static bool print_peak(struct report *r, int fd, const char *name)
{
	struct rows classes = { 0 }, sites = { 0 };
	bool good;

	printf("\npeak: %s asked for, %s rounded, in %" PRIu64
	       " pieces at %s; made of\n", in_bytes(r->peak.bytes),
	       in_bytes(r->peak.usable), r->peak.pieces,
	       in_time(r->peak.time_ns));
	good = read_to_peak(r, fd, name, &classes, &sites);
	if (good) {
		print_peak_classes(r, &classes);
		print_peak_sites(r, &sites);
	} else {
		complain("%s: %s; the peak needs a file that can be read twice",
			 name, strerror(errno));
	}
	rows_free(&classes);
	rows_free(&sites);
	return good;
}

/* --- all of it ------------------------------------------------------- */

static void print_all(struct report *r, const char *name)
{
	print_head(r, name);
	print_calls(r);
	print_sizes(r);
	print_lifetimes(r);
	print_classes(r);
	print_threads(r);
	print_pairs(r);
	print_nodes(r);
	print_sites(r);
	print_times(r);
}

int report(int fd, const char *name, const struct report_options *options)
{
	struct report *r = get_memory(1, sizeof *r);
	const struct event *e;
	int code;

	r->options = options;
	r->sample_ns = SAMPLE_NS;
	r->reader = reader_open(fd, name);
	lives_init(&r->lives);
	while ((e = reader_next(r->reader)))
		count_event(r, e);
	r->symbols = symbols_open(reader_maps(r->reader));
	code = read_result(r->reader);
	if (r->n) {
		print_all(r, name);
		if (!print_peak(r, fd, name) && code == READ_OK)
			code = READ_FAILED;
	}
	lives_free(&r->lives);
	rows_free(&r->classes);
	rows_free(&r->threads);
	rows_free(&r->sites);
	rows_free(&r->pairs);
	symbols_close(r->symbols);
	reader_close(r->reader);
	free(r);
	return written_result(code);
}
