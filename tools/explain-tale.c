/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * explain-tale: see explain.h.
 */
#include "explain.h"

#include "place.h"

#include <stdlib.h>
#include <string.h>

#define WORD_BITS 64

static unsigned depth_of(uint32_t node)
{
	return (unsigned)np_log2(node);
}

static size_t nnodes(const struct np_classes *t)
{
	return (size_t)2 << t->max_order;
}

static uint8_t unusable(const struct np_classes *t)
{
	return (uint8_t)(t->max_order + 1);
}

static uint8_t smaller(uint8_t a, uint8_t b)
{
	return a < b ? a : b;
}

static int list_of(const struct replay *r, const struct np_chunk *c)
{
	return (int)(c->list - r->arena->lists);
}

bool tale_init(struct tale *tale, const struct np_classes *t)
{
	*tale = (struct tale){ .nodes = malloc(nnodes(t)),
			       .nodes_was = malloc(nnodes(t)) };
	return tale->nodes && tale->nodes_was;
}

void tale_fini(struct tale *tale)
{
	free(tale->nodes);
	free(tale->nodes_was);
}

static void begin(struct tale *tale, bool is_take, uint32_t size)
{
	uint8_t *nodes = tale->nodes, *nodes_was = tale->nodes_was;

	*tale = (struct tale){ .is_there = true, .is_take = is_take,
			       .size = size, .nodes = nodes,
			       .nodes_was = nodes_was,
			       .list_was = NO_LIST, .list_now = NO_LIST };
}

/* Notes where the chunk is now; NULL: one that will be made. */
static void note_chunk(struct tale *tale, const struct replay *r,
		       const struct np_chunk *c)
{
	const struct np_classes *t = &r->classes;

	tale->chunk = c;
	tale->is_new = !c;
	tale->ordinal = c ? replay_ordinal(c) : r->nseen;
	tale->free_was = c ? c->free_bytes : t->chunk_size;
	tale->usage_was = c ? np_chunk_usage(c) : 0;
	tale->list_was = c ? list_of(r, c) : NO_LIST;
	if (c)
		memcpy(tale->nodes_was, c->tree, nnodes(t));
	for (uint32_t i = 1; !c && i < nnodes(t); i++)
		tale->nodes_was[i] = (uint8_t)depth_of(i);
	memcpy(tale->nodes, tale->nodes_was, nnodes(t));
	tale->free_now = tale->free_was;
	tale->usage_now = tale->usage_was;
	tale->list_now = tale->list_was;
}

/* As np_chunk_usage. */
static unsigned usage_of(const struct np_classes *t, size_t free_bytes)
{
	size_t percent = free_bytes * 100 / t->chunk_size;

	if (!free_bytes)
		return 100;
	return percent ? 100 - (unsigned)percent : 99;
}

/* --- the lists -------------------------------------------------------- */

/* Asks a list for a node of this depth. Returns the chunk that serves. */
static const struct np_chunk *ask(struct told_list *told,
				  const struct np_chunklist *list,
				  size_t size, unsigned depth)
{
	told->max_size = list->max_size;
	told->answer = LIST_EMPTY;
	if (list->head && size > list->max_size)
		told->answer = LIST_TOO_FULL;
	if (size > list->max_size)
		return NULL;
	for (const struct np_chunk *c = list->head; c; c = c->next) {
		if (c->tree[1] <= depth) {
			told->answer = LIST_SERVES;
			return c;
		}
		told->answer = LIST_NO_ROOM;
		if (told->ntried < TRIED_MAX) {
			told->tried[told->ntried].ordinal = replay_ordinal(c);
			told->tried[told->ntried].root = c->tree[1];
		}
		told->ntried++;
	}
	return NULL;
}

static const struct np_chunk *ask_lists(struct tale *tale,
					const struct replay *r,
					unsigned depth)
{
	static const int order[LISTS_ASKED] = {
		NP_Q050, NP_Q025, NP_Q000, NP_QINIT, NP_Q075,
	};
	const struct np_chunk *c = NULL;

	for (int i = 0; i < LISTS_ASKED; i++) {
		tale->lists[i].list = order[i];
		if (!c)
			c = ask(&tale->lists[i], &r->arena->lists[order[i]],
				tale->row->size, depth);
	}
	return c;
}

/* A chunk that got fuller moves up while its list is for emptier ones. */
static int list_above(const struct replay *r, int list, unsigned usage)
{
	const struct np_chunklist *l = &r->arena->lists[list];

	while ((int)usage >= l->max_usage)
		l = l->up;
	return (int)(l - r->arena->lists);
}

static int list_below(const struct replay *r, int list, unsigned usage)
{
	const struct np_chunklist *l = &r->arena->lists[list];

	while (l && (int)usage < l->min_usage)
		l = l->down;
	return l ? (int)(l - r->arena->lists) : NO_LIST;
}

/* --- the tree --------------------------------------------------------- */

/* The parents of the node that was written, up to the root. */
static void foresee_parents(struct tale *tale)
{
	struct told_tree *tree = &tale->tree;
	uint8_t *nodes = tale->nodes;

	for (uint32_t i = tree->node.node; i > 1; i /= 2) {
		struct told_node *up = &tree->parent[tree->nparents++];
		uint8_t depth = (uint8_t)depth_of(i);

		up->node = i / 2;
		up->was = nodes[i / 2];
		up->left = nodes[i & ~1u];
		up->right = nodes[i | 1u];
		up->is_merged = !tale->is_take && up->left == depth &&
				up->right == depth;
		up->now = up->is_merged ? (uint8_t)(depth - 1)
					: smaller(up->left, up->right);
		nodes[i / 2] = up->now;
		if (up->now == up->was && !tree->stop)
			tree->stop = up->node;
	}
}

static void foresee_node(struct tale *tale, uint32_t node, uint8_t now)
{
	tale->tree.is_changed = true;
	tale->tree.node = (struct told_node){ .node = node, .now = now,
					      .was = tale->nodes[node] };
	tale->nodes[node] = now;
	foresee_parents(tale);
}

/* The way down to the leftmost free node of the wanted depth. */
static void walk_down(struct tale *tale, const struct np_classes *t)
{
	struct told_tree *tree = &tale->tree;
	uint32_t node = 1;

	tree->visit[tree->nvisits++] = (struct told_visit){
		.node = 1, .value = tale->nodes[1],
	};
	while (depth_of(node) < tree->depth) {
		struct told_visit *v = &tree->visit[tree->nvisits++];

		node *= 2;
		v->left_value = tale->nodes[node];
		v->is_right = v->left_value > tree->depth;
		node += v->is_right;
		v->node = node;
		v->value = tale->nodes[node];
	}
	foresee_node(tale, node, unusable(t));
}

/* --- runs ------------------------------------------------------------- */

static void foresee_run(struct tale *tale, const struct replay *r)
{
	const struct np_classes *t = &r->classes;
	unsigned order = np_log2_up(tale->npages);
	const struct np_chunk *c;

	tale->tree.depth = t->max_order - order;
	c = ask_lists(tale, r, tale->tree.depth);
	note_chunk(tale, r, c);
	walk_down(tale, t);
	tale->first = (tale->tree.node.node << order) - (1u << t->max_order);
	tale->free_now -= (size_t)tale->npages << t->page_shift;
	tale->usage_now = usage_of(t, tale->free_now);
	tale->list_now = list_above(r, c ? tale->list_was : NP_QINIT,
				    tale->usage_now);
}

static void foresee_return(struct tale *tale, const struct replay *r)
{
	const struct np_classes *t = &r->classes;
	unsigned order = np_log2_up(tale->npages);
	uint32_t node = (tale->first + (1u << t->max_order)) >> order;

	tale->tree.depth = t->max_order - order;
	foresee_node(tale, node, (uint8_t)tale->tree.depth);
	tale->free_now += (size_t)tale->npages << t->page_shift;
	tale->usage_now = usage_of(t, tale->free_now);
	tale->list_now = list_below(r, tale->list_was, tale->usage_now);
	tale->is_gone = tale->list_now == NO_LIST;
}

/* --- subpages --------------------------------------------------------- */

static uint32_t pool_size(const struct replay *r, unsigned class)
{
	const struct np_ring *head = &r->arena->pools[class];
	uint32_t n = 0;

	for (const struct np_ring *l = head->next; l != head; l = l->next)
		n++;
	return n;
}

static void note_bits(struct told_subpage *s, const struct np_subpage *sp)
{
	s->word = s->slot / WORD_BITS;
	s->bits_was = s->bits_now = sp ? sp->bitmap[s->word] : 0;
}

static uint32_t lowest_clear(const struct np_subpage *sp)
{
	uint32_t slot = 0;

	while (np_subpage_is_taken(sp, slot))
		slot++;
	return slot;
}

/* sp: the first of the pool; NULL: one of the run that was foreseen. */
static void foresee_element(struct tale *tale, const struct np_subpage *sp)
{
	struct told_subpage *s = &tale->subpage;

	s->is_used = true;
	s->is_new = s->joins = !sp;
	s->nelems = tale->row->nelems;
	s->avail_was = s->avail_now = sp ? sp->avail : s->nelems;
	s->last_was = s->last_now = sp ? sp->next_avail : 0;
	if (tale->row->size && s->last_was != NP_NO_ELEMENT)
		s->slot = s->last_was;
	else if (tale->row->size && sp)
		s->slot = lowest_clear(sp);
	note_bits(s, sp);
	if (!tale->row->size)
		return; /* no bytes: nothing is taken */
	s->last_now = NP_NO_ELEMENT;
	s->avail_now--;
	s->bits_now |= (uint64_t)1 << s->slot % WORD_BITS;
	s->leaves = !s->avail_now;
}

static void foresee_put(struct tale *tale, const struct np_subpage *sp,
			uint32_t slot)
{
	struct told_subpage *s = &tale->subpage;
	bool is_alone;

	s->is_used = true;
	s->nelems = tale->row->nelems;
	s->slot = slot;
	s->avail_was = s->avail_now = sp->avail;
	s->last_was = s->last_now = sp->next_avail;
	note_bits(s, sp);
	if (!tale->row->size)
		return;
	s->last_now = slot;
	s->avail_now++;
	s->bits_now &= ~((uint64_t)1 << slot % WORD_BITS);
	s->joins = !s->avail_was;
	is_alone = tale->pool_size + s->joins == 1;
	s->is_last = s->avail_now == s->nelems && is_alone;
	s->leaves = s->avail_now == s->nelems && !is_alone;
}

/* --- the whole -------------------------------------------------------- */

void tale_foresee_take(struct tale *tale, const struct replay *r,
		       uint32_t size)
{
	unsigned class = np_class_of(&r->classes, size);
	const struct np_subpage *sp = NULL;

	begin(tale, true, size);
	if (!class) {
		tale->ordinal = r->nseen;
		return;
	}
	tale->row = &r->classes.row[class];
	tale->npages = tale->row->npages;
	if (tale->row->nelems) {
		tale->pool_size = pool_size(r, class);
		sp = np_ring_first(&r->arena->pools[class]);
	}
	if (sp) {
		note_chunk(tale, r, sp->chunk);
		tale->first = sp->first;
	} else {
		foresee_run(tale, r);
	}
	if (tale->row->nelems)
		foresee_element(tale, sp);
}

void tale_foresee_give(struct tale *tale, const struct replay *r,
		       const struct buffer *b)
{
	struct np_place place;

	begin(tale, false, b->length);
	if (b->is_huge) {
		tale->ordinal = b->ordinal;
		return;
	}
	place = np_place_of(b->p);
	tale->row = &r->classes.row[place.class];
	tale->npages = tale->row->npages;
	tale->first = place.first;
	note_chunk(tale, r, place.chunk);
	if (tale->row->nelems) {
		tale->pool_size = pool_size(r, place.class);
		foresee_put(tale, np_chunk_subpage(place.chunk, place.first),
			    place.slot);
	}
	if (!tale->row->nelems || tale->subpage.leaves)
		foresee_return(tale, r);
}

/* --- was it so? ------------------------------------------------------- */

/* The chunk of this number; NULL: it is in no list. */
static const struct np_chunk *find_chunk(const struct replay *r,
					 uint64_t ordinal)
{
	for (int i = 0; i < NP_NLISTS; i++)
		for (const struct np_chunk *c = r->arena->lists[i].head; c;
		     c = c->next)
			if (replay_ordinal(c) == ordinal)
				return c;
	return NULL;
}

static const char *check_subpage(const struct tale *tale,
				 const struct np_chunk *c)
{
	const struct told_subpage *s = &tale->subpage;
	const struct np_subpage *sp = np_chunk_subpage(c, tale->first);

	if (!(c->pages[tale->first] & NP_PAGE_SUBPAGE))
		return "the page is no subpage";
	if (sp->avail != s->avail_now || sp->max_elems != s->nelems)
		return "the free elements differ";
	if (sp->next_avail != s->last_now)
		return "the element that was freed last differs";
	if (sp->bitmap[s->word] != s->bits_now)
		return "the bitmap differs";
	return NULL;
}

static const char *check_buffer(const struct tale *tale,
				const struct np_chunk *c,
				const struct buffer *b)
{
	struct np_place place = np_place_of(b->p);

	if (place.chunk != c)
		return "the chunk differs";
	if (place.first != tale->first)
		return "the page differs";
	if (place.slot != tale->subpage.slot)
		return "the element differs";
	return NULL;
}

const char *tale_check(const struct tale *tale, const struct replay *r,
		       const struct buffer *b)
{
	const struct np_chunk *c = find_chunk(r, tale->ordinal);
	const char *wrong = NULL;

	if (!tale->row)
		return tale->is_take && b->ordinal != tale->ordinal
			? "the huge block's number differs" : NULL;
	if (tale->is_gone)
		return c ? "the chunk is still there" : NULL;
	if (!c)
		return "the chunk is not there";
	if (memcmp(c->tree + 1, tale->nodes + 1, nnodes(&r->classes) - 1))
		return "the tree differs";
	if (c->free_bytes != tale->free_now)
		return "the free bytes differ";
	if (list_of(r, c) != tale->list_now)
		return "the list differs";
	if (tale->subpage.is_used && !(!tale->is_take && tale->tree.is_changed))
		wrong = check_subpage(tale, c);
	if (!wrong && tale->is_take)
		wrong = check_buffer(tale, c, b);
	return wrong;
}
