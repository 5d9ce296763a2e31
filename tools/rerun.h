/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * rerun: npool-trace replay of a recording: does to pools of this process what
 * the recording says was done, with other options, on another machine, and
 * says what came of it beside what was recorded.
 *
 *	event --lives--> what of a piece changed --> operation
 *	                                             | when there are many, or
 *	                                             v something else happens
 *	               pools, as their threads, at the recorded time
 *
 * The pools are the library's own. One thread acts as all threads of the
 * recording, in turn: it becomes the one whose operation is next (thread.h),
 * with the seats and caches that it has, on the CPU that it was on. The clock
 * that the pools look at is the recording's, and so is the CPU (os.h). So a
 * replay takes no longer than its work does, nobody waits for anybody, and it
 * comes out the same each time. Nobody writes to the pieces; with --touch, a
 * byte to each system page.
 *
 * Operations name pieces by slots. A slot is a piece of the recording, from its
 * birth to its death; in it stands where the piece lies in this process.
 *
 * The machine is told by the recording (NODE), or made up: then what is said of
 * it is a model. The pools bind nothing in either case.
 *
 * Owner: the tool's one thread.
 */
#ifndef NP_TOOLS_RERUN_H
#define NP_TOOLS_RERUN_H

#include "lives.h"

#include "config.h"
#include "pool.h"

#define RERUN_MOST ((uint64_t)1 << 40) /* bytes of pieces at a time: more is
				refused, so that no file makes the tool take
				all memory for what describes chunks */
#define RERUN_NODES_MOST 64 /* of a machine that is made up */

struct rerun_options {
	const char *conf;  /* as NPOOL_CONF; NULL: as recorded */
	unsigned nodes;	   /* 0: the recorded machine */
	unsigned cpus;	   /* of each of them; 0: as many as there were in all,
			      by the nodes */
	const char *map;   /* "tid=node,..."; NULL: nobody's */
	bool touch;
	bool json;
	bool quiet;
	bool suggest;	   /* rerun_suggest is meant */
	bool is_trial;	   /* of that: nobody asked for conf, so that it may not
			      fit is not said */
};

/* Reads "N" or "NxC". Returns false if it is neither. */
bool rerun_read_nodes(const char *text, struct rerun_options *options);

/* Prints to standard output. Returns an exit code of report.h. */
int rerun(int fd, const char *name, const struct rerun_options *options);

/* Looks for better options than those, and prints what it found. The same. fd:
 * a file, not a pipe: it is read some thirty times. */
int rerun_suggest(int fd, const char *name,
		  const struct rerun_options *options);

/* --- the machine ------------------------------------------------------- */

struct machine {
	struct { uint32_t tid; unsigned node; } *map;
	size_t nmap;
	unsigned nodes, cpus;	  /* made up; nodes 0: as recorded */
	unsigned recorded;	  /* nodes that were told of */
	uint16_t cpus_of[NP_MAX_NODES]; /* of those */
};

/* Reads the options. recorded_cpus: of the recording's machine. Returns false,
 * and has said why, if they are no good. */
bool machine_init(struct machine *m, const struct rerun_options *options,
		  unsigned recorded_cpus);

/* A program begins: its machine will be told. */
void machine_forget(struct machine *m);

/* The recording tells of a node. */
void machine_add(struct machine *m, unsigned home, uint64_t ncpus);

/* Makes np_topology of it. */
void machine_settle(const struct machine *m);

/* The CPU here of a thread that was on that one. number: counts threads. */
uint32_t machine_cpu(const struct machine *m, uint32_t tid, unsigned number,
		     uint32_t cpu, unsigned home);

void machine_fini(struct machine *m);

/* --- what comes out ----------------------------------------------------- */

/* Of the recording, and of the replay. */
struct side {
	uint64_t allocs, frees, reallocs, refused; /* calls */
	uint64_t mapped, chunks, chunks_peak;	   /* chunks: in all, now, at
						      most */
	uint64_t reserved_peak;		/* bytes, with huge blocks */
	uint64_t asked, used, reserved; /* bytes, at the peak of what was
					   asked for */
	uint64_t refills, flushes;	/* of caches */
	uint64_t sent, rehomes;		/* pieces sent home; threads that
					   moved */
	uint64_t decayed;		/* bytes given back */
};

/* Of the replay alone, at the peak: reserved is the sum of asked and these. */
struct waste {
	uint64_t rounding;
	uint64_t cached;   /* in caches and depots */
	uint64_t elements; /* of subpages, that nobody has */
	uint64_t tails;	   /* of subpages, that are no element's */
	uint64_t pages;	   /* that are free, and blocks that are kept */
	uint64_t charged;  /* bytes: what may be in memory; no part of the
			      sum */
};

struct node_sum {
	uint64_t reserved_peak;	      /* bytes, of the replay */
	uint64_t recorded_sent, sent; /* pieces, by threads there */
};

struct outcome {
	const struct rerun_options *options;
	const char *name;
	bool modelled;
	unsigned nodes, cpus, pools, threads;
	uint64_t events, time_ns, lost;
	struct side recorded, replayed;
	struct waste waste;
	uint64_t hits, misses;		 /* of caches */
	struct node_sum node[NP_MAX_NODES];
	uint64_t strangers, replaced, poolless, over, nonsense; /* not done */
	uint64_t run_ns;		 /* what the replayed calls took */
};

/* A replay. Says only what is wrong. Returns as rerun; if there is nothing to
 * print, out->events is 0. */
int outcome_get(struct outcome *out, int fd, const char *name,
		const struct rerun_options *options);

/* What a call took, in the mean: CPU time of this thread. */
double outcome_ns_a_call(const struct outcome *o);

void outcome_print(const struct outcome *o);
void outcome_print_json(const struct outcome *o);

#endif
