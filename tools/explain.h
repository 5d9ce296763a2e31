/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * explain: why each request of a trace was placed where it was.
 *
 *	explain.c	the steps, one after the other
 *	explain-tale.c	tale: what a half of a step will do; is held against
 *			what it did
 *	explain-text.c	the tale as text
 *	explain-tree.c	the tree as text
 *	explain-svg.c	the chunks as a picture
 *	explain-html.c	all steps as a page, with explain-page.html
 *
 *	trace --replay--> operation --tale_foresee--> tale -+-> text, tree
 *	                     | done                         +-> page
 *	                     +-------tale_check---> same?
 *
 * A tale is foreseen from the arena's own data (its lists, trees and bitmaps)
 * before the arena does the work. Then the work is done by the arena that the
 * library has, and every number of the tale, and each byte of the chunk's
 * tree, is compared with what is there. If one differs, the explanation is
 * wrong, and npool-trace says so and ends. So the arena needs no hook, and what
 * is told is what happened.
 *
 * Nothing here is shared between threads: there is one.
 */
#ifndef NP_TOOLS_EXPLAIN_H
#define NP_TOOLS_EXPLAIN_H

#include "replay.h"

#define LEVELS_MAX 15	/* of a tree: max order 14 */
#define LISTS_ASKED 5	/* q100 never is */
#define TRIED_MAX 6	/* chunks without room that are told one by one */
#define NO_LIST (-1)

struct explain_options {
	bool tree;
	const char *svg, *html; /* files, or NULL */
};

/* --- tale ------------------------------------------------------------- */

enum list_answer {
	LIST_NOT_ASKED, /* one before it could serve */
	LIST_EMPTY,
	LIST_TOO_FULL,	/* it serves no piece of this size */
	LIST_NO_ROOM,	/* none of its chunks has such a node */
	LIST_SERVES,
};

struct told_list {
	int list; /* enum np_chunklist_name */
	enum list_answer answer;
	size_t max_size;
	uint32_t ntried; /* chunks that have no room */
	struct {
		uint64_t ordinal;
		uint8_t root;
	} tried[TRIED_MAX];
};

/* A node on the way down; if its left brother was looked at first and could
 * not serve, that one's value. */
struct told_visit {
	uint32_t node;
	uint8_t value, left_value;
	bool is_right;
};

/* A node that is written. */
struct told_node {
	uint32_t node;
	uint8_t was, now;
	uint8_t left, right; /* values of the children, by then */
	bool is_merged;	     /* both children are wholly free */
};

struct told_tree {
	bool is_changed;
	unsigned depth;	     /* wanted */
	unsigned nvisits, nparents;
	struct told_visit visit[LEVELS_MAX];
	struct told_node node;
	struct told_node parent[LEVELS_MAX];
	uint32_t stop;	     /* the first parent that stays as it was, or 0 */
};

struct told_subpage {
	bool is_used;
	bool is_new;	     /* made of the run that was just taken */
	uint32_t slot, nelems;
	uint32_t avail_was, avail_now;
	uint32_t last_was, last_now; /* freed last, or NP_NO_ELEMENT */
	uint32_t word;	     /* of the bitmap */
	uint64_t bits_was, bits_now;
	bool joins, leaves;  /* the pool */
	bool is_last;	     /* is empty, and stays as the last of the pool */
};

struct tale {
	bool is_there;
	bool is_take;
	uint32_t size;	     /* asked for */
	const struct np_class *row; /* NULL: huge */
	uint32_t pool_size;  /* subpages in the pool of the class, before */
	uint64_t ordinal;
	bool is_new, is_gone; /* the chunk */
	struct told_list lists[LISTS_ASKED];
	struct told_tree tree;
	struct told_subpage subpage;
	uint32_t first, npages; /* the run */
	int list_was, list_now;
	unsigned usage_was, usage_now;
	size_t free_was, free_now;
	/* Of the foreseeing. */
	const struct np_chunk *chunk; /* NULL: a new one */
	uint8_t *nodes;	     /* the tree as it will be */
	uint8_t *nodes_was;  /* and as it was */
};

/* Makes room for the trees. Returns whether it could. */
bool tale_init(struct tale *tale, const struct np_classes *classes);
void tale_fini(struct tale *tale);

/* Foresees what taking size bytes, or giving back the buffer b, will do. */
void tale_foresee_take(struct tale *tale, const struct replay *r,
		       uint32_t size);
void tale_foresee_give(struct tale *tale, const struct replay *r,
		       const struct buffer *b);

/* It was done; b: what was taken. Is it all as foreseen? Returns NULL, or what
 * is not. */
const char *tale_check(const struct tale *tale, const struct replay *r,
		       const struct buffer *b);

/* --- step ------------------------------------------------------------- */

struct step {
	unsigned long line;
	const char *text;    /* of the trace */
	char *result;	     /* what replay prints, without its newline */
	struct replay_op op;
	struct tale take, give;
};

/* --- what is made of it ----------------------------------------------- */

/* The step, told; with_tree: and drawn. */
void text_print(FILE *out, const struct replay *r, const struct step *step,
		bool with_tree);

/* The tree of a tale: whole if it is small, else round the path. */
void tree_print(FILE *out, const struct replay *r, const struct tale *tale);

/* All chunks as they are now. Returns false: no memory. */
bool svg_print(FILE *out, const struct replay *r);

/* The page: its begin, each step (text: as text_print has it), its end. */
void html_begin(FILE *out, const struct replay *r);
void html_step(FILE *out, const struct replay *r, const struct step *step,
	       const char *text, bool is_first);
void html_end(FILE *out);

/* All of it. Returns an exit code. */
int explain(int fd, const char *name, const struct explain_options *options,
	    const struct replay_options *replay);

#endif
