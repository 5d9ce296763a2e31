/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * explain-text: a step, told line by line.
 *
 *	line 12: a C 16384             the trace's
 *	  depth    11 - (14 - 13) = 10     what it comes to: a word, and
 *	           ...                     more under it
 *	a C 16384 -> chunk=0 ...       what replay prints
 *
 * Only lines of the first and of the last kind begin in the first column.
 */
#include "explain.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#define TEXT_COLUMN 11
#define WIDTH 79

/* A line that begins with a word, or goes on below it. */
static void say(FILE *out, const char *word, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static void say(FILE *out, const char *word, const char *fmt, ...)
{
	va_list args;

	fprintf(out, "  %-*s", TEXT_COLUMN - 2, word);
	va_start(args, fmt);
	vfprintf(out, fmt, args);
	va_end(args);
	fputc('\n', out);
}

static const char *plural(uint32_t n)
{
	return n == 1 ? "" : "s";
}

/* --- size ------------------------------------------------------------- */

static void say_size(FILE *out, const struct tale *tale)
{
	static const char *const kinds[NP_KINDS] = {
		"tiny", "small", "normal", "huge",
	};
	const struct np_class *row = tale->row;

	if (!row)
		say(out, "size", "%u is more than a chunk: huge, memory of "
		    "its own without a tree", tale->size);
	else if (!row->size)
		say(out, "size", "0 bytes: a page of which nothing can be "
		    "handed out twice");
	else if (row->nelems)
		say(out, "size", "%u -> %u, %s: an element of a page that is "
		    "cut into %u", tale->size, row->size, kinds[row->kind],
		    row->nelems);
	else
		say(out, "size", "%u -> %u, %s: a run of %u page%s",
		    tale->size, row->size, kinds[row->kind],
		    (unsigned)row->npages, plural(row->npages));
}

static void say_piece(FILE *out, const struct tale *tale)
{
	const struct np_class *row = tale->row;

	if (!row)
		say(out, "piece", "huge, chunk %" PRIu64 ": unmapped",
		    tale->ordinal);
	else if (row->nelems)
		say(out, "piece", "chunk %" PRIu64 ", page %u, element %u of "
		    "%u, %u bytes each", tale->ordinal, tale->first,
		    tale->subpage.slot, row->nelems, row->size);
	else
		say(out, "piece", "chunk %" PRIu64 ", page %u: a run of %u "
		    "page%s, node %u", tale->ordinal, tale->first,
		    (unsigned)row->npages, plural(row->npages),
		    tale->tree.node.node);
}

/* --- lists ------------------------------------------------------------ */

static int list_text(char *text, size_t size, const struct told_list *l)
{
	const char *name = replay_list_names[l->list];
	int n;

	switch (l->answer) {
	case LIST_EMPTY:
		return snprintf(text, size, "%s is empty", name);
	case LIST_TOO_FULL:
		return snprintf(text, size, "%s serves %zu bytes at most",
				name, l->max_size);
	case LIST_SERVES:
	case LIST_NO_ROOM:
		break;
	default:
		return snprintf(text, size, "%s is not asked", name);
	}
	n = snprintf(text, size, "%s", name);
	for (uint32_t i = 0; i < l->ntried && i < TRIED_MAX; i++)
		n += snprintf(text + n, size - (size_t)n, "%s chunk %" PRIu64
			      " says %u", i ? "," : ":", l->tried[i].ordinal,
			      l->tried[i].root);
	if (l->ntried > TRIED_MAX)
		n += snprintf(text + n, size - (size_t)n, ", %u more no less",
			      l->ntried - TRIED_MAX);
	if (l->answer == LIST_SERVES)
		n += snprintf(text + n, size - (size_t)n, "%s",
			      l->ntried ? ", the next one serves" : " serves");
	return n;
}

static void say_lists(FILE *out, const struct tale *tale)
{
	int column = TEXT_COLUMN;

	fprintf(out, "  %-*s", TEXT_COLUMN - 2, "lists");
	for (int i = 0; i < LISTS_ASKED; i++) {
		char text[512];
		int n = list_text(text, sizeof text, &tale->lists[i]);

		if (i && column + n + 2 > WIDTH) {
			fprintf(out, ";\n%*s", TEXT_COLUMN, "");
			column = TEXT_COLUMN;
		} else if (i) {
			fputs("; ", out);
		}
		fputs(text, out);
		column += n + 2;
	}
	fputc('\n', out);
}

static void say_usage(FILE *out, const struct tale *tale)
{
	char end[128] = "";

	if (tale->is_gone)
		snprintf(end, sizeof end, "; it is empty and leaves %s: "
			 "unmapped", replay_list_names[tale->list_was]);
	else if (tale->is_new)
		snprintf(end, sizeof end, "; it enters %s",
			 replay_list_names[tale->list_now]);
	else if (tale->list_now != tale->list_was)
		snprintf(end, sizeof end, "; from %s to %s",
			 replay_list_names[tale->list_was],
			 replay_list_names[tale->list_now]);
	else
		snprintf(end, sizeof end, "; it stays in %s",
			 replay_list_names[tale->list_now]);
	say(out, "chunk", "%" PRIu64 ": %zu -> %zu bytes free, %u -> %u %% "
	    "used%s", tale->ordinal, tale->free_was, tale->free_now,
	    tale->usage_was, tale->usage_now, end);
}

/* --- tree ------------------------------------------------------------- */

static void say_down(FILE *out, const struct told_tree *tree)
{
	say(out, "down", " node  says");
	for (unsigned i = 0; i < tree->nvisits; i++) {
		const struct told_visit *v = &tree->visit[i];

		if (!i)
			say(out, "", "%5u  %4u  root, <= %u: there is such a "
			    "run", v->node, v->value, tree->depth);
		else if (v->is_right)
			say(out, "", "%5u  %4u  right: left %u says %u, > %u",
			    v->node, v->value, v->node - 1, v->left_value,
			    tree->depth);
		else
			say(out, "", "%5u  %4u  left, <= %u", v->node,
			    v->value, tree->depth);
	}
}

static void say_up(FILE *out, const struct told_tree *tree)
{
	if (tree->nparents)
		say(out, "up", " node   was   now");
	for (unsigned i = 0; i < tree->nparents; i++) {
		const struct told_node *p = &tree->parent[i];
		const char *same = p->was == p->now ? ", as before" : "";

		if (p->is_merged)
			say(out, "", "%5u  %4u  %4u  both halves are free: "
			    "merged%s", p->node, p->was, p->now, same);
		else
			say(out, "", "%5u  %4u  %4u  the smaller of %u and "
			    "%u%s", p->node, p->was, p->now, p->left,
			    p->right, same);
	}
	if (!tree->nparents)
		say(out, "stop", "the root has no parent");
	else if (!tree->stop)
		say(out, "stop", "nowhere: each parent has changed, up to the "
		    "root");
	else
		say(out, "stop", "could be at node %u, which says what it "
		    "said; goes on to the root", tree->stop);
}

static void say_taken(FILE *out, const struct tale *tale)
{
	const struct told_node *n = &tale->tree.node;
	unsigned order = (unsigned)np_log2(tale->npages);

	say(out, "taken", "node %u: %u -> %u, nothing is free", n->node,
	    n->was, n->now);
	say_up(out, &tale->tree);
	say(out, "page", "(%u - 2^%u) * %u = %u", n->node, tale->tree.depth,
	    1u << order, tale->first);
}

static void say_tree(FILE *out, const struct tale *tale,
		     const struct np_classes *t)
{
	unsigned shift = t->page_shift;
	unsigned log = shift + (unsigned)np_log2(tale->npages);

	if (!tale->is_take) {
		say(out, "given", "node %u: %u -> %u, its own depth: free",
		    tale->tree.node.node, tale->tree.node.was,
		    tale->tree.node.now);
		say_up(out, &tale->tree);
		return;
	}
	say(out, "depth", "%u - (log2 %zu - %u) = %u - (%u - %u) = %u",
	    (unsigned)t->max_order, (size_t)tale->npages << shift, shift,
	    (unsigned)t->max_order, log, shift, tale->tree.depth);
	say_lists(out, tale);
	if (tale->is_new)
		say(out, "chunk", "%" PRIu64 " is new: all of its %u pages "
		    "are free", tale->ordinal, 1u << t->max_order);
	say_down(out, &tale->tree);
	say_taken(out, tale);
}

/* --- subpage ---------------------------------------------------------- */

static void say_pool(FILE *out, const struct tale *tale)
{
	if (tale->pool_size)
		say(out, "pool", "of %u bytes: %u subpage%s, the first is page "
		    "%u of chunk %" PRIu64, tale->row->size, tale->pool_size,
		    plural(tale->pool_size), tale->first, tale->ordinal);
	else
		say(out, "pool", "of %u bytes: no subpage has a free element; "
		    "one is made of a run", tale->row->size);
}

static void say_element(FILE *out, const struct tale *tale)
{
	const struct told_subpage *s = &tale->subpage;

	if (!tale->row->size)
		say(out, "element", "always 0, however often it is taken");
	else if (s->is_new)
		say(out, "element", "0: all %u are free", s->nelems);
	else if (s->last_was != NP_NO_ELEMENT)
		say(out, "element", "%u: it was freed last", s->slot);
	else
		say(out, "element", "%u: the lowest that is free", s->slot);
}

static void say_bits(FILE *out, const struct told_subpage *s)
{
	say(out, "bits", "word %u: %016" PRIx64 " -> %016" PRIx64 " (bit %u)",
	    s->word, s->bits_was, s->bits_now, s->slot % 64);
	say(out, "free", "%u -> %u of %u elements; freed last: %s",
	    s->avail_was, s->avail_now, s->nelems,
	    s->last_now == NP_NO_ELEMENT ? "none" : "this one");
	if (s->is_last)
		say(out, "pool", "the subpage is empty, but stays as the last "
		    "of its pool");
	else if (s->leaves && s->avail_now)
		say(out, "pool", "the subpage is empty and leaves; its run "
		    "goes back to the tree");
	else if (s->leaves)
		say(out, "pool", "the subpage is full and leaves");
	else if (s->joins)
		say(out, "pool", "the subpage enters at the front");
}

/* --- the whole -------------------------------------------------------- */

static void say_handle(FILE *out, const struct tale *tale,
		       const struct np_classes *t)
{
	unsigned order = (unsigned)np_log2(tale->npages);
	uint64_t node = ((uint64_t)tale->first + (1u << t->max_order)) >>
			order;

	if (tale->row->nelems)
		say(out, "offset", "%u * %u + %u * %u = %" PRIu64, tale->first,
		    1u << t->page_shift, tale->subpage.slot, tale->row->size,
		    ((uint64_t)tale->first << t->page_shift) +
		    (uint64_t)tale->subpage.slot * tale->row->size);
	else
		say(out, "offset", "%u * %u = %" PRIu64, tale->first,
		    1u << t->page_shift,
		    (uint64_t)tale->first << t->page_shift);
	if (tale->row->nelems)
		say(out, "handle", "1 << 62 | %u << 32 | %" PRIu64 " = 0x%016"
		    PRIx64, tale->subpage.slot, node, (uint64_t)1 << 62 |
		    (uint64_t)tale->subpage.slot << 32 | node);
	else
		say(out, "handle", "%" PRIu64 " = 0x%016" PRIx64, node, node);
}

static void say_tale(FILE *out, const struct replay *r,
		     const struct tale *tale, bool with_tree)
{
	if (tale->is_take)
		say_size(out, tale);
	else
		say_piece(out, tale);
	if (!tale->row)
		return;
	if (tale->is_take && tale->row->nelems)
		say_pool(out, tale);
	if (tale->is_take && tale->tree.is_changed)
		say_tree(out, tale, &r->classes);
	if (tale->is_take && tale->row->nelems)
		say_element(out, tale);
	if (tale->row->nelems && tale->row->size)
		say_bits(out, &tale->subpage);
	if (!tale->is_take && !tale->row->size)
		say(out, "free", "nothing: a page of zero bytes never comes "
		    "back");
	if (!tale->is_take && tale->tree.is_changed)
		say_tree(out, tale, &r->classes);
	if (tale->tree.is_changed && with_tree)
		tree_print(out, r, tale);
	if (tale->tree.is_changed)
		say_usage(out, tale);
	if (tale->is_take)
		say_handle(out, tale, &r->classes);
}

static void say_in_place(FILE *out, const struct replay_op *op)
{
	say(out, "stays", "%u of the %u bytes of its piece are used: %s",
	    op->size, op->old.max_length,
	    op->size == op->old.length ? "nothing changes"
	    : op->size > op->old.length ? "it has room to grow"
	    : "more than half");
}

static void say_move(FILE *out, const struct replay_op *op)
{
	const struct buffer *b = &op->old;

	say(out, "moves", "%s", b->is_huge ? "a huge buffer does whenever its "
					     "size changes"
	    : op->size > b->max_length ? "its piece is too small"
	    : "its piece is too large");
}

void text_print(FILE *out, const struct replay *r, const struct step *step,
		bool with_tree)
{
	const struct replay_op *op = &step->op;

	fprintf(out, "line %lu: %s\n", step->line, step->text);
	if (op->kind == 'c' && !op->takes)
		say_in_place(out, op);
	else if (op->kind == 'c')
		say_move(out, op);
	else if (strchr("af", op->kind) && !op->takes && !op->gives)
		say(out, "empty", "it has no memory");
	if (step->take.is_there)
		say_tale(out, r, &step->take, with_tree);
	if (step->take.is_there && step->give.is_there)
		say(out, "then", "the old piece is given back");
	if (step->give.is_there)
		say_tale(out, r, &step->give, with_tree);
	fprintf(out, "%s\n", step->result);
}
