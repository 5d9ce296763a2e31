/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * stat: the words that the files of npool-stat share.
 *
 *	npool-stat.c   options, and what is done in which order
 *	stat-run.c     the folder of the segments, and the command
 *	stat-proc.c    target: a process, and the places of its segments
 *	stat-read.c    view: one segment, checked and copied
 *	stat-copy.c    copying what may go away
 *	stat-sample.c  sample: on which node the pages of a process are
 *	stat-sum.c     report: all views added up
 *	stat-live.c    reports of processes that run; their list, their rates
 *	stat-chunk.c   chunks: their pages, pieces and trees
 *	stat-place.c   places: where all pages are, for --verify
 *	stat-map.c     chunks as text
 *	stat-table.c   the report for people
 *	stat-view.c    the views that have tables of their own
 *	stat-cell.c    figures in it
 *	stat-svg.c     chunks as a picture
 *	stat-json.c    the report for programs
 *	stat-top.c     the report on a screen, with stat-lines.c: stat-top.h
 *	stat-metrics.c the report for Prometheus
 *	command.c      the command: its environment, signals and end
 *	tool.c         messages, memory, text
 *
 *	DIR/PID.N ---view--> report --+-> tables, pictures
 *	live PID --+-view----^        +-> JSON
 *	           +-sample--^
 *
 * A figure is a uint64_t in a row (a process, node, arena or class), and a
 * `struct figure` says which: its name in JSON and in npool-stat(1), where in
 * the row it is, and how the figures of several processes make one. So a new
 * figure is a field, a line in a table of figures, and a line in the page.
 *
 * Nothing here is shared between threads: there is one.
 */
#ifndef NP_TOOLS_STAT_H
#define NP_TOOLS_STAT_H

#include "command.h"
#include "segment.h"
#include "tool.h"

#include <stdio.h>
#include <sys/types.h> /* pid_t, ino_t */

/* Bytes: no segment of a real process comes near it. */
#define SEGMENT_MAX ((uint64_t)1 << 28)

/* What is shown: bits. */
enum {
	SHOW_REPORT = 1,
	SHOW_NODES = 2,
	SHOW_ARENAS = 4,
	SHOW_CLASSES = 8,
	SHOW_THREADS = 16,
	SHOW_LISTS = 32,
	SHOW_CHUNK = 64,
	SHOW_MAP = 128,
	SHOW_VERIFY = 256,
	SHOW_PAGES = SHOW_LISTS | SHOW_CHUNK | SHOW_MAP, /* needs page maps */
};

enum color { COLOR_AUTO, COLOR_ALWAYS, COLOR_NEVER };

struct options {
	bool json, verbose, metrics, top, children;
	enum color color;     /* AUTO is none of them when it is printed */
	unsigned show;	      /* SHOW_ */
	uint64_t chunk;	      /* --chunk: its number, or an address in it */
	const char *svg_file; /* --svg, or NULL */
	const char *output;   /* -o, or NULL */
	const char *face;     /* --face, or NULL */
	const char *read_dir; /* --read, or NULL */
	char **command;	      /* ends with NULL; NULL: none is run */
	const char *target;   /* a process id or a name, or NULL */
	uint64_t interval_ms; /* between two looks; 0: one is enough */
	uint64_t count;	      /* of lines of rates; 0: without end */
	FILE *out, *svg;      /* svg: NULL without --svg */
};

/* --- figures ---------------------------------------------------------- */

enum fold {
	FOLD_ADD,  /* of all processes */
	FOLD_MOST, /* of the process with the most */
	FOLD_NET,  /* of all processes; it may be below 0, as an int64_t is */
};

struct figure {
	const char *key;
	size_t offset; /* of a uint64_t in the row */
	enum fold fold;
};

/* What move_pages said of a sample of pages. */
struct pages {
	uint64_t asked;	   /* looked at */
	uint64_t resident; /* of them in memory */
	uint64_t local;	   /* of those on their home's node */
};

/* What is told of all, and of each process. Bytes unless it says otherwise.
 * Peaks are sums of the nodes' peaks. */
struct total {
	uint64_t allocs, frees, hits, misses;	/* pieces */
	uint64_t depot_gets, depot_puts;	/* magazines */
	uint64_t fills, flushes;		/* visits to an arena */
	uint64_t foreign_frees, foreign_bytes;
	uint64_t rehomes, forks, abandoned;
	uint64_t threads, peak_threads;
	uint64_t chunks;
	uint64_t reserved, peak_reserved, taken, peak_taken;
	uint64_t used, cached, purged;
	uint64_t huge_blocks, huge_bytes;
	uint64_t hugetlb_got, hugetlb_missed; /* regions of chunks */
	uint64_t chunks_unseen; /* chunks and huge blocks that are there and
				   have no entry in their segment */
	uint64_t caches_unseen; /* thread caches that ever had none */
	uint64_t charged, refused, pressures, reclaims;
	uint64_t spilled, spilled_ms, brought_home;
	struct pages pages;
};

struct node_row {
	int64_t kernel_node; /* -1: unknown */
	uint64_t home;
	uint64_t owner; /* see owner_of() */
	uint64_t cpus, threads, chunks;
	uint64_t reserved, peak_reserved, taken, peak_taken;
	uint64_t used, cached, depot_bytes, huge_blocks, huge_bytes;
	uint64_t spilled, spilled_ms, brought_home;
	uint64_t hugetlb_got, hugetlb_missed;
	struct pages pages;
};

/* Between threads of the node `by` and memory of the node `of`. */
struct flow_row {
	int64_t by_kernel, of_kernel; /* -1: unknown */
	uint64_t by, of;	      /* homes */
	uint64_t in_use;	      /* bytes: FOLD_NET */
	uint64_t sent, sent_bytes, distance;
};

struct arena_row {
	int64_t kernel_node;
	uint64_t home, arena;
	uint64_t threads, chunks, peak_chunks, spare;
	uint64_t reserved, taken, peak_taken, purged;
	uint64_t allocs[4], frees[4]; /* by enum np_kind */
};

struct class_row {
	uint64_t owner; /* see owner_of() */
	uint64_t kind;
	uint64_t size;	       /* 0: huge */
	uint64_t npages, nelems;
	uint64_t allocs, frees;
	uint64_t live, live_bytes;
};

enum life {
	LIFE_ENDED,   /* left through exit() */
	LIFE_RUNNING,
	LIFE_GONE,    /* killed, left by _exit(), or went on with exec */
};

/* A pool of a process; what a program has without asking is its default one. */
struct process {
	pid_t pid;
	unsigned pool_slot;	 /* 0: the default pool */
	char pool[NP_POOL_NAME_SIZE];
	unsigned program_number; /* how many programs it ran before */
	uint32_t parent;	 /* pid, or 0 */
	enum life life;
	char program[32], topology[96], options[1024];
	uint64_t page_size, chunk_size;
	const char *class_table;
	struct total total;
};

/* Are both of the same pool of the same program? */
static inline bool process_is_same(const struct process *a,
				   const struct process *b)
{
	return a->pid == b->pid && a->pool_slot == b->pool_slot &&
	       a->program_number == b->program_number;
}

/* What a thread has counted, in one home of one pool. */
struct thread_row {
	pid_t pid;
	char pool[NP_POOL_NAME_SIZE];
	uint64_t tid;		/* 0: threads that ended, or had no cache */
	int64_t kernel_node;
	uint64_t home, arena;
	uint64_t allocs, frees, hits, misses, cached;
	uint64_t depot_gets, depot_puts, fills, flushes;
	uint64_t foreign_frees, foreign_bytes, rehomes;
};

/* A run or a subpage. */
struct piece_row {
	uint32_t first, npages;
	uint32_t size;		/* bytes of the run, or of an element */
	uint32_t nelems, taken; /* elements; a run has none */
};

#define LIST_HUGE UINT64_MAX
#define FIRST_LETTER_SHIFT 4 /* of cells: A is up to 16 bytes */

/* A chunk or a huge block. */
struct chunk_row {
	pid_t pid;
	char program[32], pool[NP_POOL_NAME_SIZE];
	uint64_t number;	/* of its segment's entries */
	uint64_t base, size, home, arena, page_size;
	uint64_t list;		/* enum np_chunklist_name; NP_NLISTS: spare;
				   LIST_HUGE: a huge block */
	int64_t kernel_node;
	uint64_t spilled, spilled_ms;
	uint64_t runs, run_pages, subpages, subpage_pages, free_pages;
	size_t npages;		/* 0: of a huge block, or not known */
	char *cells; /* npages of them and a NUL; legend: stat-chunk.c */
	uint8_t *tree; /* 2 << order nodes, as in chunk.h; [0] is not used */
	unsigned order;
	struct piece_row *pieces;
	size_t npieces;
};

/* Pages of the kernel's, of memory of a home, on one of its nodes. */
struct place_row {
	int64_t kernel_node; /* of the home; -1: unknown */
	uint64_t home;
	int64_t found;	     /* kernel node; NOT_IN_MEMORY */
	uint64_t pages;
};

#define NOT_IN_MEMORY (-1)

struct skipped {
	char *name, *why;
};

extern const struct figure total_figures[], node_figures[], flow_figures[],
	arena_figures[], class_figures[], thread_figures[],
	place_figures[]; /* each ends with a key of NULL */
extern const char *const life_names[];
extern const char *const kind_names[];
extern const char *const list_names[]; /* the spare chunks' too */

static inline uint64_t *figure_in(const void *row, const struct figure *f)
{
	return (uint64_t *)(uintptr_t)((const char *)row + f->offset);
}

/* --- target: a process ------------------------------------------------ */

/* Of a segment, as a line of /proc/PID/maps has it. */
struct place {
	uint64_t number; /* of the shared memory, or the file's inode */
	char *path;	 /* of the file, seen by the process; NULL: none */
};

struct target {
	pid_t pid, pid_inside; /* here, and in its own namespace */
	uid_t owner;
	char program[32];      /* its name now */
	bool uses_npool;       /* as far as its maps tell */
	bool lost_file;        /* it counts in a file that was removed */
	struct place *places;
	size_t nplaces;
};

/* Looks for the segments of a process. Returns false if it cannot be looked
 * at; why then says so, in at most size bytes. */
bool target_find(struct target *target, pid_t pid, char *why, size_t size);
void target_free(struct target *target);

/* Opens what the process of this number, as it is here, has at an absolute
 * path; flags: of open(2). Symbolic links lead to where they lead in the
 * process's root: it may be a container, which nobody believes. Returns a
 * descriptor, closed on exec, or -1 with errno. */
int target_open(pid_t pid, const char *path, int flags);

/* Milliseconds since the process started. */
uint64_t target_age_ms(pid_t pid);

/* Removes shared memory that processes left which were killed while they made
 * it, of this user (root: of all); if it has no page, for it could be another
 * program's. */
void targets_clean(void);

/* The process ids of this user (root: of all), in order, but for our own. */
size_t target_pids(pid_t **pids);

/* --- view: one segment ------------------------------------------------ */

/* Copies size bytes that may vanish meanwhile; `from` is a multiple of 8.
 * Returns whether all were there. */
bool copy_guarded(void *to, const void *from, size_t size);

struct segment_name {
	pid_t pid;
	unsigned number;
	char text[32];
};

struct view {
	struct segment_name name;
	pid_t pid_inside; /* the process in its own namespace */
	uid_t owner;	  /* whose file it may be, beside our own */
	ino_t ino;	  /* of a file */
	const char *base; /* the segment itself: read by copy_guarded() */
	bool is_live;	  /* of a process that has it mapped */
	bool is_attached; /* shared memory, not a file */
	bool is_borrowed; /* the memory is somebody else's */
	bool is_writable; /* base, for who has more to do than to read */
	uint64_t size;	  /* as the kernel has it, bytes */
	struct np_segment_header head; /* strings end and are printable */
	unsigned nclasses, nnodes, narenas, nblocks, nchunks;
	struct np_segment_class *classes;
	struct np_segment_node *nodes;
	struct np_segment_arena *arenas;
	struct np_segment_chunk *chunks;
	struct np_segment_flow *flows; /* nnodes * nnodes, or NULL */
	char *blocks;
	struct np_block *before; /* head.before.n of them */
	size_t block_size;
};

/* Opens and copies the segment name of the folder dir, but for its page maps.
 * Returns NULL if it is none that can be trusted; why then says, in at most
 * size bytes, what is wrong with it. */
struct view *view_open(int dir, const struct segment_name *name, char *why,
		       size_t size);

/* The same of a segment that a process has mapped. *why is empty where there is
 * nothing to complain of: it is not the process's own, or not yet. */
struct view *view_look(const struct target *target, const struct place *place,
		       char *why, size_t size);

/* The same, and its base can be written to. */
struct view *view_take(const struct target *target, const struct place *place,
		       char *why, size_t size);

/* The same of any memory, which stays its owner's; as of this process. */
struct view *view_of(const void *base, size_t size, char *why, size_t room);

void view_close(struct view *view);

static inline const struct np_block *view_block(const struct view *view,
						unsigned i)
{
	return (const struct np_block *)(view->blocks +
					 i * view->block_size);
}

/* Pages of the chunk's page map; 0: it has none. */
size_t view_map_pages(const struct view *view, unsigned chunk);

/* Reads view_map_pages() bytes: of each page the class. Returns whether it
 * could. */
bool view_map(const struct view *view, unsigned chunk, uint8_t *map);

/* The same, of 16 bits: how many elements of the subpage that begins at a page
 * are taken. */
bool view_fill(const struct view *view, unsigned chunk, uint16_t *fill);

/* Does a process have the segment mapped? Returns -1: it may not be asked. */
int view_is_alive(const struct view *view);

/* PID.N, as the library writes it: no sign, no leading zero. */
bool segment_name_parse(const char *text, struct segment_name *name);

/* The segments' names in the folder dir, by pid, then number. Returns how
 * many, or -1 with errno. */
ssize_t segment_names(int dir, struct segment_name **names);

/* --- sample: where pages are ------------------------------------------ */

struct sample {
	pid_t pid;
	unsigned number; /* with pid: the segment's name */
	size_t nhomes;
	struct pages *by_home;
	struct place_row *places; /* if all pages were asked for */
	size_t nplaces;
};

struct samples {
	struct sample *row;
	size_t n;
	int error; /* of the first refusal, or 0 */
	bool all;  /* all pages are asked for, for the places */
};

/* Asks for the pages of every live segment in the folder dir. */
void samples_poll(struct samples *samples, int dir);

/* Of one segment; whoever calls knows that it lives. */
void samples_take(struct samples *samples, const struct view *view);

const struct sample *samples_find(const struct samples *samples,
				  const struct segment_name *name);
void samples_free(struct samples *samples);

/* Asks for all pages of a segment's chunks and huge blocks. Returns 0 or the
 * errno of move_pages(2). */
int places_ask(const struct view *view, struct place_row **places, size_t *n);

int compare_places(const void *a, const void *b);

/* --- run: the command ------------------------------------------------- */

struct run {
	char *dir;	    /* private folder of the segments */
	int dir_fd;
	struct command command;
};

/* Makes the private folder; it goes when npool-stat exits, at the latest. */
void run_prepare(struct run *run);

/* Runs the command to its end, with samples of its pages taken meanwhile.
 * Exits with 126 or 127 if it cannot be run. */
void run_command(struct run *run, char **command, const char *face,
		 struct samples *samples);

/* Removes the folder, and lets signals do again what they did. */
void run_finish(struct run *run);

/* --- report: all segments --------------------------------------------- */

struct report {
	const struct options *options;
	const struct run *run; /* NULL: no command */
	bool is_live;	       /* all of it is of processes that run */
	struct process *processes;
	struct node_row *nodes;
	struct flow_row *flows;
	struct arena_row *arenas;
	struct class_row *classes;
	struct thread_row *threads;
	struct chunk_row *chunks; /* if what is shown needs them */
	struct place_row *places;
	struct skipped *skipped;
	size_t nprocesses, nnodes, nflows, narenas, nclasses, nthreads, nchunks,
		nplaces, nskipped;
	size_t nprograms;  /* of the processes: default pools */
	size_t by_life[3]; /* programs, by enum life */
	struct total total;
	int sample_error;
};

/* Reads every segment of the folder dir; samples those that still live. */
void report_read(struct report *report, int dir, struct samples *samples);

/* Is there a segment of the same pool of the same program already? No process
 * has two; in one that says so, nobody could tell them apart. */
bool report_has(const struct report *report, const struct view *view);

/* The process, or rather pool, that a row of nodes or classes is of; NULL: of
 * all, but where options->metrics keeps them apart. */
static inline const struct process *owner_of(const struct report *r,
					     uint64_t owner)
{
	return owner ? &r->processes[owner - 1] : NULL;
}

/* Adds a view, of a pool that the report does not have. */
void report_add(struct report *report, const struct view *view,
		const struct samples *samples, enum life life);

/* Complains of a segment that cannot be read. */
void report_skip(struct report *report, const char *name, const char *why);

void report_free(struct report *report);

/* The process of the command itself; without one, the first. NULL: none. */
const struct process *report_main(const struct report *report);

/* Sorts n rows and makes one of those that compare equal. Returns how many
 * are left. */
size_t fold_rows(void *rows, size_t n, size_t size,
		 int (*compare)(const void *a, const void *b),
		 const struct figure *figures);

/* Adds view's chunks and huge blocks. */
void chunks_add(struct report *report, const struct view *view);
void chunks_free(struct report *report);

/* Says how many chunks the views cannot show, if there are any. */
void chunks_print_unseen(FILE *out, const struct report *report);

/* Is it the one that --chunk names? */
bool chunk_is_chosen(const struct report *report, const struct chunk_row *c);

/* Prints "WHAT of PROGRAM (process ID, pool POOL)", in two lines if it is too
 * long for one. */
void chunk_print_title(FILE *out, const struct chunk_row *c, const char *what);

/* Taken pages. */
static inline uint64_t chunk_taken(const struct chunk_row *c)
{
	return c->npages - c->free_pages;
}

/* Pages of the largest free run; 0: none. */
uint64_t chunk_largest(const struct chunk_row *c);

/* Print a chunk's pages, and more of it. */
void map_print(FILE *out, const struct report *r, const struct chunk_row *c);
void chunk_print(FILE *out, const struct report *r, const struct chunk_row *c);

/* The chunks, or those that --chunk names. */
void svg_print(FILE *out, const struct report *report);

void table_print(FILE *out, const struct report *report);

/* Views that are no part of the report. */
void threads_print(FILE *out, const struct report *report);
void lists_print(FILE *out, const struct report *report);
void places_print(FILE *out, const struct report *report);

/* --- JSON ------------------------------------------------------------- */

/* Is there --top? Not if npool-stat was built without ncurses. */
bool top_is_there(void);

/* Shows reports on the terminal, until it is told to end. Returns the exit
 * code. */
int top_run(const struct options *options);

/* For Prometheus; needs options->metrics. */
void metrics_print(FILE *out, const struct report *report);

/* Can JSON be printed? Not if npool-stat was built without it. */
bool json_is_there(void);

/* Returns 0 or -1. */
int json_print(FILE *out, const struct report *report);

/* --- live: processes that run ------------------------------------------ */

/* Adds all segments that a process has mapped, as they are now. Complains of
 * those that cannot be read. Returns whether there was one; if not, why says
 * what is the matter, in at most size bytes. */
bool report_target(struct report *report, const struct target *target,
		   struct samples *samples, char *why, size_t size);

/* The same of a process id. */
bool report_process(struct report *report, pid_t pid, struct samples *samples,
		    char *why, size_t size);

/* The same of what the operand of npool-stat says: a process id, or the name of
 * one or more. */
bool report_named(struct report *report, const char *name,
		  struct samples *samples, char *why, size_t size);

/* The same of all that use npool; there may be none. */
void report_all(struct report *report, struct samples *samples);

/* A line of the list. */
struct listed {
	pid_t pid;
	char program[32];
	size_t nodes, pools;
	struct total total; /* of all its pools */
	char *why;	    /* it cannot be read; NULL: it was */
};

/* What was counted between two reports, by those that are in the later one:
 * what others had counted has gone with them. Who was there at before_ms
 * (CLOCK_MONOTONIC), when the earlier one was made, and is not in it, is left
 * out; if that one is empty, all since their starts is told. */
struct total totals_since(const struct report *now,
			  const struct report *before, uint64_t before_ms);

/* What happened between two looks. */
struct rates {
	uint64_t elapsed_ms;
	const struct total *now; /* as it is */
	struct total since;	 /* what was counted since then */
};

/* The processes that use npool, each as it is now. */
size_t list_read(struct listed **list, const struct options *options);
void list_print(FILE *out, const struct listed *list, size_t n);
void list_free(struct listed *list, size_t n);

/* Prints a line each interval, until there is nothing more to be read. Returns
 * the exit code. */
int rates_watch(FILE *out, const struct options *options);

/* Each returns 0 or -1. */
int json_print_list(FILE *out, const struct listed *list, size_t n);
int json_print_rates(FILE *out, const struct rates *rates);

/* --- cells: figures as people read them -------------------------------- */

typedef char cell[24];

/* Three digits and a unit of 1024; exact below 1000. */
const char *show_bytes(cell to, uint64_t n);

/* Exact up to seven digits, then three and a unit of 1000. */
const char *show_count(cell to, uint64_t n);

/* "-" if there is no whole; 100.0% if it is all, and only then. */
const char *show_percent(cell to, uint64_t part, uint64_t whole);

/* "-" if it is unknown: below 0. */
const char *show_node(cell to, int64_t kernel_node);

/* Of less than ten minutes with a tenth; else whole minutes, hours or days. */
const char *show_seconds(cell to, uint64_t ms);

/* A name in at most width columns, fewer than a cell has: of a longer one the
 * middle is left out, since names differ at their ends. */
const char *show_name(cell to, const char *name, size_t width);

#define LINE_WIDTH 80 /* columns: no line for people is wider */

/* Prints text behind a label, broken behind commas or, without any, blanks. */
void text_print_wrapped(FILE *out, const char *label, const char *text);

#endif
