/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * stat: the words that the files of npool-stat share.
 *
 *	npool-stat.c   options, and what is done in which order
 *	stat-run.c     the command: its environment, signals and end
 *	stat-read.c    view: one segment, checked and copied
 *	stat-sample.c  sample: on which node the pages of a process are
 *	stat-sum.c     report: all views added up
 *	stat-map.c     picture: the pages of a chunk as text
 *	stat-table.c   the report for people
 *	stat-json.c    the report for programs
 *	stat-base.c    messages, memory, text
 *
 *	DIR/PID.N --view--> report --+-> table, pictures
 *	live PID ---sample--^        +-> JSON
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

#include "segment.h"

#include <signal.h> /* sigset_t, struct sigaction */
#include <stdio.h>
#include <sys/types.h> /* pid_t, ino_t */

/* Exit codes of npool-stat's own, beside those of the command. */
enum {
	EXIT_SKIPPED = 1,  /* --read, --config: something could not be used */
	EXIT_USAGE = 2,	   /* nothing was run */
	EXIT_SELF = 125,   /* npool-stat itself failed */
	EXIT_NOT_RUN = 126, /* the command is there, but cannot be run */
	EXIT_NOT_FOUND = 127,
	EXIT_SIGNAL = 128, /* + the signal that ended the command */
};

struct options {
	bool json, map, verbose;
	const char *output;   /* -o, or NULL */
	const char *face;     /* --face, or NULL */
	const char *read_dir; /* --read, or NULL */
	char **command;	      /* ends with NULL; NULL with --read */
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
	uint64_t chunks_unseen, caches_unseen;
	uint64_t charged, refused, pressures, reclaims;
	uint64_t spilled, spilled_ms, brought_home;
	struct pages pages;
};

struct node_row {
	int64_t kernel_node; /* -1: unknown */
	uint64_t home;
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

/* A chunk's pages, a character each. */
struct picture {
	pid_t pid;
	char program[32];
	uint64_t base, size, home, arena, page_size;
	int64_t kernel_node;
	uint64_t runs, run_pages, subpages, subpage_pages, free_pages;
	size_t npages;
	char *cells; /* npages of them and a NUL; legend: stat-map.c */
};

struct skipped {
	char *name, *why;
};

extern const struct figure total_figures[], node_figures[], flow_figures[],
	arena_figures[], class_figures[]; /* each ends with a key of NULL */
extern const char *const life_names[];
extern const char *const kind_names[];

static inline uint64_t *figure_in(const void *row, const struct figure *f)
{
	return (uint64_t *)(uintptr_t)((const char *)row + f->offset);
}

/* --- view: one segment ------------------------------------------------ */

struct segment_name {
	pid_t pid;
	unsigned number;
	char text[32];
};

struct view {
	struct segment_name name;
	int fd;
	ino_t ino;
	uint64_t size; /* of the file, bytes */
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
void view_close(struct view *view);

static inline const struct np_block *view_block(const struct view *view,
						unsigned i)
{
	return (const struct np_block *)(view->blocks +
					 i * view->block_size);
}

/* Pages of the chunk's page map; 0: it has none. */
size_t view_map_pages(const struct view *view, unsigned chunk);

/* Reads view_map_pages() bytes. Returns whether it could. */
bool view_map(const struct view *view, unsigned chunk, uint8_t *map);

/* Does a process have the segment mapped? Returns -1: it may not be asked. */
int view_is_alive(const struct view *view);

/* The segments' names in the folder dir, by pid, then number. Returns how
 * many, or -1 with errno. */
ssize_t segment_names(int dir, struct segment_name **names);

/* --- sample: where pages are ------------------------------------------ */

struct sample {
	pid_t pid;
	unsigned number; /* with pid: the segment's name */
	size_t nhomes;
	struct pages *by_home;
};

struct samples {
	struct sample *row;
	size_t n;
	int error; /* of the first refusal, or 0 */
};

/* Asks for the pages of every live segment in the folder dir. */
void samples_poll(struct samples *samples, int dir);

/* Of one segment; whoever calls knows that it lives. */
void samples_take(struct samples *samples, const struct view *view);

const struct sample *samples_find(const struct samples *samples,
				  const struct segment_name *name);
void samples_free(struct samples *samples);

/* --- run: the command ------------------------------------------------- */

struct run {
	char *dir;	    /* private folder of the segments */
	int dir_fd;
	pid_t pid;
	int status;	    /* as from waitpid */
	uint64_t elapsed_ms;
	sigset_t taken;	    /* signals that npool-stat takes meanwhile */
	sigset_t mask;	    /* as it was before, */
	struct sigaction chld; /* and what SIGCHLD did */
};

/* Where the malloc face is: an absolute path, to be freed. Exits with a
 * message if it is nowhere. */
char *face_find(const char *option);

/* Makes the private folder; it goes when npool-stat exits, at the latest. */
void run_prepare(struct run *run);

/* Runs the command to its end, with samples of its pages taken meanwhile.
 * Exits with 126 or 127 if it cannot be run. */
void run_command(struct run *run, char **command, const char *face,
		 struct samples *samples);

/* Removes the folder, and lets signals do again what they did. */
void run_finish(struct run *run);

/* The exit code that tells the command's end. */
int run_exit_code(const struct run *run);

/* --- report: all segments --------------------------------------------- */

struct report {
	const struct options *options;
	const struct run *run; /* NULL: --read */
	struct process *processes;
	struct node_row *nodes;
	struct flow_row *flows;
	struct arena_row *arenas;
	struct class_row *classes;
	struct picture *pictures;
	struct skipped *skipped;
	size_t nprocesses, nnodes, nflows, narenas, nclasses, npictures, nskipped;
	size_t nprograms;  /* of the processes: default pools */
	size_t by_life[3]; /* programs, by enum life */
	struct total total;
	int sample_error;
};

/* Reads every segment of the folder dir; samples those that still live. */
void report_read(struct report *report, int dir, struct samples *samples);
void report_free(struct report *report);

/* The process of the command itself; without one, the first. NULL: none. */
const struct process *report_main(const struct report *report);

/* Adds view's pictures: of the fullest chunk, or with verbose of all. */
void pictures_add(struct report *report, const struct view *view);
void picture_print(FILE *out, const struct picture *picture);

void table_print(FILE *out, const struct report *report);

/* Can JSON be printed? Not if npool-stat was built without it. */
bool json_is_there(void);

/* Returns 0 or -1. */
int json_print(FILE *out, const struct report *report);

/* --- base ------------------------------------------------------------- */

/* Says "npool-stat: ..." on standard error. */
void complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* The same, and exits. */
_Noreturn void give_up(int code, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* Memory that is zero; ends npool-stat when there is none. */
void *get_memory(size_t n, size_t size);

/* Makes room for one more behind n rows of size bytes; that one is zero. */
void *grow(void *rows, size_t n, size_t size);

char *format_text(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Replaces by '?' what a terminal should not be sent. */
void make_printable(char *text);

static inline uint64_t add_u64(uint64_t a, uint64_t b)
{
	return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static inline uint64_t sub_u64(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

#endif
