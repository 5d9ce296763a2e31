/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * The harness: command line, contestants, rows; see harness.h.
 */
#include "harness.h"

#include <dlfcn.h>
#include <getopt.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_MS 30
#define MAX_ROWS 128

_Noreturn void fail(const char *what, const char *which)
{
	dprintf(STDERR_FILENO, "harness: %s: %s\n", what, which);
	_exit(1);
}

/* ---- Contestants ---- */

struct face face = { malloc, calloc, realloc, free };

/* The null allocator: a thread always gets the same bytes, so that what is left
 * is the harness's own cost. As large as the largest piece that is written to
 * as a whole, by a program of one thread; others get a line each. */
static char null_pieces[(size_t)128 << 20];
static _Atomic size_t null_used;
static _Thread_local char *null_piece;

static void *null_alloc(size_t size)
{
	(void)size;
	if (!null_piece)
		null_piece = null_pieces + atomic_fetch_add(&null_used, 64);
	return null_piece;
}

static void *null_zalloc(size_t n, size_t size)
{
	return null_alloc(n * size);
}

static void *null_resize(void *p, size_t size)
{
	(void)size;
	return p;
}

static void null_release(void *p)
{
	(void)p;
}

static const struct face null_face = { null_alloc, null_zalloc, null_resize,
				       null_release };

static void *symbol(void *library, const char *name)
{
	void *found = dlsym(library, name);

	if (!found)
		fail(name, dlerror());
	return found;
}

/* npool.h, in a process whose malloc is the C library's. */
static void face_npool(const char *path)
{
	void *library = dlopen(path, RTLD_NOW);

	if (!library)
		fail("npool", dlerror());
	*(void **)&face.alloc = symbol(library, "npool_malloc");
	*(void **)&face.zalloc = symbol(library, "npool_calloc");
	*(void **)&face.resize = symbol(library, "npool_realloc");
	*(void **)&face.release = symbol(library, "npool_free");
	*(void **)&bufs.make = symbol(library, "npool_buf_new");
	*(void **)&bufs.retain = symbol(library, "npool_buf_retain");
	*(void **)&bufs.release = symbol(library, "npool_buf_release");
}

/* ---- Rows ---- */

static struct row rows[MAX_ROWS];
static unsigned nrows;

struct row *row_add(const char *kind, work_fn *work)
{
	struct row *r = &rows[nrows++];

	if (nrows > MAX_ROWS)
		fail("too many rows", kind);
	r->kind = kind;
	r->work = work;
	r->unit = "pair";
	r->threads = 1;
	return r;
}

char *size_text(char *text, size_t size)
{
	static const char *const units[] = { "", "K", "M", "G" };
	unsigned u = 0;

	for (; size >= 1024 && size % 1024 == 0; u++)
		size /= 1024;
	snprintf(text, 8, "%u%s", (unsigned)(size & 0xfff), units[u]);
	return text;
}

/* For the driver: name, kind, unit, cpu or wall, quick or full. Two threads
 * that wait for each other, without using a CPU, are slow by the wall's clock
 * only; where more threads than CPUs take turns, that clock says nothing. */
static void list_rows(void)
{
	for (unsigned i = 0; i < nrows; i++)
		printf("%s\t%s\t%s\t%s\t%s\n", rows[i].name, rows[i].kind,
		       rows[i].unit, rows[i].threads == 2 ? "wall" : "cpu",
		       rows[i].quick ? "quick" : "full");
}

static const struct row *find_row(const char *name)
{
	for (unsigned i = 0; i < nrows; i++)
		if (strcmp(rows[i].name, name) == 0)
			return &rows[i];
	fail("no such row, --rows lists them", name);
}

/* ---- One sample ---- */

/* KiB that the process had in memory at most; not getrusage's figure, which
 * begins with that of the process that started this one. */
static long peak_kib(void)
{
	char text[4096], *at;
	FILE *status = fopen("/proc/self/status", "re");
	size_t n;

	if (!status)
		return 0;
	n = fread(text, 1, sizeof text - 1, status);
	fclose(status);
	text[n] = '\0';
	at = strstr(text, "VmHWM:");
	return at ? strtol(at + strlen("VmHWM:"), NULL, 10) : 0;
}

static void run(const struct row *row, double ms)
{
	struct meter m;
	double pairs;
	long peak;

	meter_init(&m, CLOCK_PROCESS_CPUTIME_ID, ms * 1e6);
	row->work(row, &m);
	peak = peak_kib();
	pairs = (double)m.pairs;
	printf("pairs %.0f cpu %.3f wall %.3f rss %ld\n", pairs,
	       m.cpu_ns / pairs, m.wall_ns / pairs, peak);
}

/* ---- From the top ---- */

static const char usage_text[] =
	"usage: harness [-m MS] [-s FILE] [-0 | -n LIBRARY] ROW\n"
	"       harness --rows\n"
	"       harness [-p LIBRARY] --run COMMAND [ARG...]\n"
	"\n"
	"Takes one sample of a row of the bench on this process's malloc, and\n"
	"prints pairs, nanoseconds of CPU and of wall time a pair, and the\n"
	"peak of resident memory in KiB. bench/bench runs and compares.\n"
	"\n"
	"  -m, --ms MS          CPU time to measure, default 30\n"
	"  -s, --sizes FILE     lines \"size<TAB>count\" for mix websocket\n"
	"  -0, --null           no allocator: the harness's own cost\n"
	"  -n, --npool LIBRARY  npool.h of this libnpool.so\n"
	"  -p, --preload LIBRARY  of the command\n"
	"      --rows           lists name, kind, unit, clock, quick or full\n"
	"      --run            runs a command; the last line on standard\n"
	"                       error is its CPU and wall seconds, peak KiB\n";

static const struct option options[] = {
	{ "ms", required_argument, NULL, 'm' },
	{ "sizes", required_argument, NULL, 's' },
	{ "null", no_argument, NULL, '0' },
	{ "npool", required_argument, NULL, 'n' },
	{ "preload", required_argument, NULL, 'p' },
	{ "rows", no_argument, NULL, 'l' },
	{ "run", no_argument, NULL, 'r' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

int main(int argc, char **argv)
{
	const char *preload = NULL;
	double ms = DEFAULT_MS;
	bool is_list = false, is_command = false;
	int c;

	while ((c = getopt_long(argc, argv, "+m:s:0n:p:h", options, NULL)) > 0)
		switch (c) {
		case 'm': ms = strtod(optarg, NULL); break;
		case 's': sizes_path = optarg; break;
		case '0': face = null_face; break;
		case 'n': face_npool(optarg); break;
		case 'p': preload = optarg; break;
		case 'l': is_list = true; break;
		case 'r': is_command = true; break;
		case 'h': fputs(usage_text, stdout); return 0;
		default: fputs(usage_text, stderr); return 2;
		}
	rows_single();
	rows_buf();
	rows_mix();
	rows_threads();
	if (is_list) {
		list_rows();
		return 0;
	}
	if (is_command && optind < argc)
		return command_run(argv + optind, preload);
	if (is_command || optind != argc - 1 || !(ms > 0)) {
		fputs(usage_text, stderr);
		return 2;
	}
	run(find_row(argv[optind]), ms);
	return 0;
}
