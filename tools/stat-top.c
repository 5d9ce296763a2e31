/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * top: see stat-top.h.
 *
 *	npool-stat --top: perl (1234)                  every 1.0 s   12:46:56
 *	used 24.9 MiB, cached 11.6 MiB of 48.0 MiB; threads 1, chunks 3
 *	allocs 1.21 M/s, frees 1.20 M/s, hits 98.3%; on node 100.0%
 *
 *	nodes: # used, + cached, . free
 *	  0 [##########+++++.......         ]  24.9 MiB + 11.6 MiB of 48.0 MiB
 *	arenas: # taken, . free
 *	  0 [###############.......         ]  36.5 MiB of 48.0 MiB
 *
 *	     size kind      *allocs/s   frees/s      live     bytes       all
 *
 * Signals are taken only while it waits for a key, so the screen is whole when
 * one ends it, and the terminal gets back what it had.
 */
#include "stat.h"

#ifdef HAVE_NCURSES

#include "stat-top.h"

#include <curses.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ROWS_MIN 12
#define COLUMNS_MIN 60
#define COLUMN_WIDTH 10
#define LABEL_WIDTH 40	/* of a line, at most */
#define FIRST_BAR 4
#define BAR_LABEL 4	/* columns */
#define BAR_TEXT 44
#define INTERVAL_MS 1000
#define INTERVAL_MIN_MS 100
#define INTERVAL_MAX_MS 60000

enum { PAIR_USED = 1, PAIR_CACHED, PAIR_FREE };

struct top {
	const struct options *options;
	struct moment now, before;
	bool is_read, has_before; /* is there a report, and one before it? */
	char trouble[200];	  /* why there is no newer one; or "" */
	uint64_t interval_ms, due_ms;
	bool held;
	size_t pane, column, scroll;
	bool reverse;
	struct lines lines;
};

bool top_is_there(void)
{
	return true;
}

/* --- signals and time ------------------------------------------------- */

static volatile sig_atomic_t ended_by;

static void note_signal(int signal)
{
	ended_by = signal;
}

static const int ending[] = { SIGINT, SIGTERM, SIGHUP };

/* *mask: what is let through while a key is waited for. */
static void take_signals(sigset_t *mask)
{
	struct sigaction note = { .sa_handler = note_signal };
	sigset_t block;

	sigemptyset(&block);
	for (size_t i = 0; i < sizeof ending / sizeof *ending; i++) {
		sigaddset(&block, ending[i]);
		sigaction(ending[i], &note, NULL);
	}
	sigprocmask(SIG_BLOCK, &block, mask);
	for (size_t i = 0; i < sizeof ending / sizeof *ending; i++)
		sigdelset(mask, ending[i]);
}

/* --- looking ---------------------------------------------------------- */

static bool read_folder(struct top *t, struct report *r,
			struct samples *samples)
{
	const char *dir_name = t->options->read_dir;
	int dir = open(dir_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (dir < 0) {
		snprintf(t->trouble, sizeof t->trouble, "%s: %s", dir_name,
			 strerror(errno));
		return false;
	}
	report_read(r, dir, samples);
	close(dir);
	if (!r->nprocesses)
		snprintf(t->trouble, sizeof t->trouble, "%s: there is no "
			 "segment that can be read", dir_name);
	return r->nprocesses > 0;
}

static bool read_processes(struct top *t, struct report *r,
			   struct samples *samples)
{
	if (t->options->target)
		return report_named(r, t->options->target, samples, t->trouble,
				    sizeof t->trouble);
	report_all(r, samples);
	if (!r->nprocesses)
		snprintf(t->trouble, sizeof t->trouble,
			 "no process uses npool");
	return r->nprocesses > 0;
}

static void look(struct top *t)
{
	struct samples samples = { 0 };
	struct moment next = { .report = { .options = t->options } };
	bool was_read;

	t->due_ms = now_ms() + t->interval_ms;
	t->trouble[0] = '\0';
	was_read = t->options->read_dir
		? read_folder(t, &next.report, &samples)
		: read_processes(t, &next.report, &samples);
	samples_free(&samples);
	if (!was_read) {
		report_free(&next.report);
		return;
	}
	next.ms = now_ms();
	if (t->has_before)
		report_free(&t->before.report);
	t->has_before = t->is_read;
	t->before = t->now;
	t->now = next;
	t->is_read = true;
}

/* --- drawing ---------------------------------------------------------- */

/* Text that does not go on in the next row. */
__attribute__((format(printf, 3, 4)))
static void put(int y, int x, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	if (x < COLS)
		mvaddnstr(y, x, text, COLS - x);
}

static void draw_title(const struct top *t)
{
	const struct report *r = &t->now.report;
	char clock[16];
	time_t now = time(NULL);
	struct tm tm;

	localtime_r(&now, &tm);
	strftime(clock, sizeof clock, "%H:%M:%S", &tm);
	attron(A_BOLD);
	if (t->is_read && r->nprograms == 1)
		put(0, 0, "npool-stat --top: %s (%d)", r->processes[0].program,
		    (int)r->processes[0].pid);
	else
		put(0, 0, "npool-stat --top: %zu programs", r->nprograms);
	put(0, COLS - 32, "%s every %3u.%u s  %s", t->held ? "HELD" : "    ",
	    (unsigned)(t->interval_ms / 1000),
	    (unsigned)(t->interval_ms % 1000 / 100), clock);
	attroff(A_BOLD);
}

static void draw_totals(const struct top *t)
{
	const struct total *now = &t->now.report.total;
	const struct moment *before = t->has_before ? &t->before : NULL;
	struct total since = totals_since(&t->now.report, &t->before.report,
					  t->before.ms);
	cell a, b, c, d;

	put(1, 0, "used %s, cached %s of %s; threads %" PRIu64 ", chunks %"
	    PRIu64 ", huge %" PRIu64, show_bytes(a, now->used),
	    show_bytes(b, now->cached), show_bytes(c, now->reserved),
	    now->threads, now->chunks, now->huge_blocks);
	put(2, 0, "allocs %s/s, frees %s/s, hits %s; on node %s",
	    show_count(a, rate_of(&t->now, before, since.allocs, 0)),
	    show_count(b, rate_of(&t->now, before, since.frees, 0)),
	    show_percent(c, now->hits, now->allocs),
	    show_percent(d, now->pages.local, now->pages.resident));
	if (*t->trouble) {
		attron(A_REVERSE);
		put(3, 0, "%s", t->trouble);
		attroff(A_REVERSE);
	}
}

/* --- bars ------------------------------------------------------------- */

static int part_of(uint64_t part, uint64_t whole, int width)
{
	if (!whole)
		return 0;
	return (int)((double)(part < whole ? part : whole) / (double)whole *
		     width + .5);
}

static void draw_part(int y, int from, int to, char sign, int pair)
{
	attron(COLOR_PAIR(pair));
	for (int x = from; x < to; x++)
		mvaddch(y, x, (chtype)sign);
	attroff(COLOR_PAIR(pair));
}

/* What is used, then what is used or cached, then what is reserved, of most. */
static void draw_bar(int y, uint64_t number, uint64_t used, uint64_t taken,
		     uint64_t reserved, uint64_t most)
{
	int left = BAR_LABEL + 1, width = COLS - left - 1 - BAR_TEXT;
	int one = part_of(used, most, width), two = part_of(taken, most, width);

	put(y, 0, "%3" PRIu64 " [", number);
	draw_part(y, left, left + one, '#', PAIR_USED);
	draw_part(y, left + one, left + two, '+', PAIR_CACHED);
	draw_part(y, left + two, left + part_of(reserved, most, width), '.',
		  PAIR_FREE);
	put(y, left + width, "]");
}

static int draw_nodes(const struct top *t, int y, size_t shown)
{
	const struct report *r = &t->now.report;
	uint64_t most = 0;

	for (size_t i = 0; i < r->nnodes; i++)
		if (r->nodes[i].reserved > most)
			most = r->nodes[i].reserved;
	put(y++, 0, "nodes: # used, + cached, . free%20s%zu of %zu", "", shown,
	    r->nnodes);
	for (size_t i = 0; i < shown; i++, y++) {
		const struct node_row *n = &r->nodes[i];
		cell used, cached, reserved, share;

		draw_bar(y, n->home, n->used, n->taken, n->reserved, most);
		put(y, COLS - BAR_TEXT + 1, "%8s + %8s of %8s %9s",
		    show_bytes(used, n->used), show_bytes(cached, n->cached),
		    show_bytes(reserved, n->reserved),
		    show_percent(share, n->pages.local, n->pages.resident));
	}
	return y;
}

/* Arenas that were ever used. */
static size_t count_arenas(const struct report *r)
{
	size_t n = 0;

	for (size_t i = 0; i < r->narenas; i++)
		n += r->arenas[i].peak_chunks > 0;
	return n;
}

static int draw_arenas(const struct top *t, int y, size_t shown)
{
	const struct report *r = &t->now.report;
	uint64_t most = 0;
	size_t drawn = 0;

	for (size_t i = 0; i < r->narenas; i++)
		if (r->arenas[i].reserved > most)
			most = r->arenas[i].reserved;
	put(y++, 0, "arenas: # taken, . free%28s%zu of %zu", "", shown,
	    count_arenas(r));
	for (size_t i = 0; i < r->narenas && drawn < shown; i++) {
		const struct arena_row *a = &r->arenas[i];
		cell taken, reserved;

		if (!a->peak_chunks)
			continue;
		draw_bar(y, a->arena, a->taken, a->taken, a->reserved, most);
		put(y++, COLS - BAR_TEXT + 1, "%8s of %8s, node %" PRIu64
		    ", threads %" PRIu64, show_bytes(taken, a->taken),
		    show_bytes(reserved, a->reserved), a->home, a->threads);
		drawn++;
	}
	return y;
}

/* A third of the screen for both, each up to a half of it. */
static int draw_bars(const struct top *t, int y)
{
	size_t room = (size_t)(LINES - y) / 3, half = room / 2;
	size_t nodes = t->now.report.nnodes;
	size_t arenas = count_arenas(&t->now.report);

	if (nodes > half && nodes + arenas > room)
		nodes = arenas < half ? room - arenas : half;
	if (nodes + arenas > room)
		arenas = room - nodes;
	y = draw_nodes(t, y, nodes);
	return draw_arenas(t, y, arenas);
}

/* --- the table -------------------------------------------------------- */

static const char *show(cell to, enum shape shape, uint64_t value)
{
	switch (shape) {
	case AS_BYTES: return show_bytes(to, value);
	case AS_PERMILLE:
		snprintf(to, sizeof(cell), "%" PRIu64 ".%u%%", value / 10,
			 (unsigned)(value % 10));
		return to;
	case AS_COUNT: break;
	}
	return show_count(to, value);
}

/* Where the first column begins. */
static int columns_at(const struct pane *pane)
{
	int x = COLS - (int)pane->ncolumns * COLUMN_WIDTH;

	return x < LABEL_WIDTH ? x : LABEL_WIDTH;
}

static void draw_table_head(const struct top *t, int y)
{
	const struct pane *pane = &panes[t->pane];
	int x = columns_at(pane);

	attron(A_REVERSE);
	put(y, 0, "%-*s", COLS, pane->label);
	for (size_t i = 0; i < pane->ncolumns; i++, x += COLUMN_WIDTH) {
		char title[COLUMN_WIDTH];

		snprintf(title, sizeof title, "%s%s",
			 i == t->column ? "*" : "", pane->columns[i].title);
		put(y, x, "%*s", COLUMN_WIDTH, title);
	}
	attroff(A_REVERSE);
}

static void draw_line(const struct top *t, int y, const struct line *line)
{
	const struct pane *pane = &panes[t->pane];
	int x = columns_at(pane);

	put(y, 0, "%.*s", x, line->label);
	for (size_t i = 0; i < pane->ncolumns; i++, x += COLUMN_WIDTH) {
		cell value;

		put(y, x, "%*s", COLUMN_WIDTH,
		    show(value, pane->columns[i].shape, line->values[i]));
	}
}

static void draw_table(struct top *t, int y)
{
	const struct pane *pane = &panes[t->pane];
	size_t room = (size_t)(LINES - 2 - y);

	free(t->lines.row);
	t->lines = (struct lines){ 0 };
	pane->fill(&t->lines, &t->now, t->has_before ? &t->before : NULL);
	lines_sort(&t->lines, t->column, t->reverse);
	if (t->scroll + room > t->lines.n)
		t->scroll = t->lines.n > room ? t->lines.n - room : 0;
	draw_table_head(t, y++);
	for (size_t i = 0; i < room && t->scroll + i < t->lines.n; i++)
		draw_line(t, y++, &t->lines.row[t->scroll + i]);
}

static void draw(struct top *t)
{
	erase();
	if (LINES < ROWS_MIN || COLS < COLUMNS_MIN) {
		put(0, 0, "needs %d x %d", COLUMNS_MIN, ROWS_MIN);
	} else {
		draw_title(t);
		draw_totals(t);
		draw_table(t, draw_bars(t, FIRST_BAR) + 1);
		put(LINES - 1, 0, "q quit  c classes  t threads  a arenas  "
		    "p pools  <> r sort  +- time  _ hold");
	}
	refresh();
}

/* --- keys ------------------------------------------------------------- */

static void choose_pane(struct top *t, size_t pane)
{
	t->pane = pane % npanes;
	t->column = t->scroll = 0;
	t->reverse = false;
}

static void choose_column(struct top *t, size_t step)
{
	t->column = (t->column + step) % panes[t->pane].ncolumns;
	t->scroll = 0;
}

static void choose_interval(struct top *t, bool longer)
{
	uint64_t ms = longer ? t->interval_ms * 2 : t->interval_ms / 2;

	t->interval_ms = ms < INTERVAL_MIN_MS ? INTERVAL_MIN_MS
		       : ms > INTERVAL_MAX_MS ? INTERVAL_MAX_MS : ms;
	t->due_ms = now_ms() + t->interval_ms;
}

static void scroll_by(struct top *t, bool down, size_t n)
{
	if (down)
		t->scroll += n;
	else
		t->scroll = t->scroll > n ? t->scroll - n : 0;
}

static void take_key_of_table(struct top *t, int key)
{
	switch (key) {
	case '>': case KEY_RIGHT: choose_column(t, 1); break;
	case '<': case KEY_LEFT:
		choose_column(t, panes[t->pane].ncolumns - 1);
		break;
	case 'r': t->reverse = !t->reverse; break;
	case KEY_DOWN: scroll_by(t, true, 1); break;
	case KEY_UP: scroll_by(t, false, 1); break;
	case KEY_NPAGE: scroll_by(t, true, (size_t)LINES / 2); break;
	case KEY_PPAGE: scroll_by(t, false, (size_t)LINES / 2); break;
	}
}

/* Returns whether to go on. */
static bool take_key(struct top *t, int key)
{
	for (size_t i = 0; i < npanes; i++)
		if (panes[i].key == key)
			choose_pane(t, i);
	switch (key) {
	case 'q': return false;
	case '\t': choose_pane(t, t->pane + 1); break;
	case '+': choose_interval(t, true); break;
	case '-': choose_interval(t, false); break;
	case ' ': case '_':
		t->held = !t->held;
		t->due_ms = now_ms();
		break;
	default: take_key_of_table(t, key);
	}
	return true;
}

/* --- the loop --------------------------------------------------------- */

/* Until a key, a signal, another size, or the next look. Returns false if the
 * terminal has gone. */
static bool wait_for_key(const struct top *t, const sigset_t *mask)
{
	uint64_t left = t->held ? INTERVAL_MAX_MS
				: sub_u64(t->due_ms, now_ms());
	struct timespec timeout = { .tv_sec = (time_t)(left / 1000),
				    .tv_nsec = (long)(left % 1000) * 1000000 };
	struct pollfd in = { .fd = STDIN_FILENO, .events = POLLIN };

	return ppoll(&in, 1, &timeout, mask) < 0
		? errno == EINTR : !(in.revents & (POLLHUP | POLLERR));
}

static void run(struct top *t, const sigset_t *mask)
{
	bool going = true;
	int key;

	look(t);
	while (going && !ended_by) {
		draw(t);
		going = wait_for_key(t, mask);
		while (going && (key = getch()) != ERR)
			going = take_key(t, key);
		if (going && !t->held && now_ms() >= t->due_ms)
			look(t);
	}
}

static void forget(struct top *t)
{
	if (t->is_read)
		report_free(&t->now.report);
	if (t->has_before)
		report_free(&t->before.report);
	free(t->lines.row);
}

static void begin_colours(void)
{
	const char *no = getenv("NO_COLOR");

	if (!has_colors() || (no && *no) || start_color() == ERR)
		return;
	use_default_colors();
	init_pair(PAIR_USED, COLOR_GREEN, -1);
	init_pair(PAIR_CACHED, COLOR_YELLOW, -1);
	init_pair(PAIR_FREE, COLOR_BLUE, -1);
}

/* Messages would go all over the screen. Returns where they went. */
static int silence(void)
{
	int was = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);

	if (nowhere >= 0) {
		dup2(nowhere, STDERR_FILENO);
		close(nowhere);
	}
	return was;
}

int top_run(const struct options *o)
{
	struct top t = { .options = o, .interval_ms = INTERVAL_MS };
	sigset_t mask;
	SCREEN *screen;
	int was;

	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
		give_up(EXIT_USAGE, "--top needs a terminal");
	if (o->interval_ms)
		t.interval_ms = o->interval_ms;
	screen = newterm(NULL, stdout, stdin);
	if (!screen)
		give_up(EXIT_USAGE, "--top: the terminal's type, '%s', is not "
			"known", getenv("TERM") ? getenv("TERM") : "");
	take_signals(&mask);
	was = silence();
	cbreak();
	noecho();
	nodelay(stdscr, TRUE);
	keypad(stdscr, TRUE);
	curs_set(0);
	begin_colours();
	run(&t, &mask);
	endwin();
	delscreen(screen);
	forget(&t);
	if (was >= 0)
		dup2(was, STDERR_FILENO);
	return ended_by ? EXIT_SIGNAL + ended_by : EXIT_SUCCESS;
}

#else /* !HAVE_NCURSES */

bool top_is_there(void)
{
	return false;
}

int top_run(const struct options *o)
{
	(void)o;
	return EXIT_SELF;
}

#endif
