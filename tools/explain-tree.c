/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * explain-tree: the tree of a chunk as text, before and after. What was
 * written stands in brackets.
 *
 *	              0                        [1]
 *	      1               1        [2]              1
 *
 * Up to 16 pages it is drawn whole. Of a larger one: the path from the root to
 * the node, with the brother of each node on it.
 */
#include "explain.h"

#include <string.h>

#define WHOLE_ORDER_MAX 4
#define CELL 4	   /* columns of a leaf */
#define ROW_MAX 80
#define INDENT 11

static bool is_written(const struct told_tree *tree, uint32_t node)
{
	uint32_t i = tree->node.node;

	while (i > node)
		i /= 2;
	return i == node;
}

/* --- whole ------------------------------------------------------------ */

/* The nodes of one depth, each above the middle of its leaves. Blanks behind
 * the last are kept, so that something can stand beside it. */
static void draw_row(char *row, const uint8_t *nodes, unsigned depth,
		     unsigned order, const struct told_tree *marked)
{
	int width = CELL << order;

	memset(row, ' ', (size_t)width);
	row[width] = '\0';
	for (uint32_t i = 0; i < 1u << depth; i++) {
		uint32_t node = (1u << depth) + i;
		int middle = (int)(2 * i + 1) * width >> (depth + 1);

		row[middle] = (char)('0' + nodes[node]);
		if (marked && is_written(marked, node)) {
			row[middle - 1] = '[';
			row[middle + 1] = ']';
		}
	}
}

static void trim(char *row)
{
	size_t n = strlen(row);

	while (n && row[n - 1] == ' ')
		n--;
	row[n] = '\0';
}

static void draw_rows(FILE *out, const char *word, const uint8_t *nodes,
		      unsigned order, const struct told_tree *marked)
{
	char row[ROW_MAX];

	for (unsigned d = 0; d <= order; d++) {
		draw_row(row, nodes, d, order, marked);
		trim(row);
		fprintf(out, "  %-*s%s\n", INDENT - 2, d ? "" : word, row);
	}
}

static void draw_beside(FILE *out, const struct tale *tale, unsigned order)
{
	char was[ROW_MAX], now[ROW_MAX];

	for (unsigned d = 0; d <= order; d++) {
		draw_row(was, tale->nodes_was, d, order, NULL);
		draw_row(now, tale->nodes, d, order, &tale->tree);
		trim(now);
		fprintf(out, "  %-*s%s  %s  %s\n", INDENT - 2,
			d ? "" : "tree", was, d ? "  " : "->", now);
	}
}

/* --- round the path --------------------------------------------------- */

static void draw_node(FILE *out, const struct tale *tale, uint32_t node,
		      unsigned order, unsigned indent)
{
	unsigned depth = (unsigned)np_log2(node);
	uint32_t n = 1u << (order - depth);
	uint32_t first = (node << (order - depth)) - (1u << order);
	bool written = is_written(&tale->tree, node);

	fprintf(out, "  %-*s%*s%u: ", INDENT - 2, node == 1 ? "tree" : "",
		(int)(2 * indent), "", node);
	if (written)
		fprintf(out, "%u -> [%u]", tale->nodes_was[node],
			tale->nodes[node]);
	else
		fprintf(out, "%u", tale->nodes[node]);
	if (n == 1)
		fprintf(out, "  (page %u)\n", first);
	else
		fprintf(out, "  (pages %u to %u)\n", first, first + n - 1);
}

static void draw_path(FILE *out, const struct tale *tale, unsigned order)
{
	uint32_t node = tale->tree.node.node;
	unsigned depth = (unsigned)np_log2(node);
	uint32_t later[LEVELS_MAX]; /* right brothers, drawn on the way back */
	unsigned d;

	draw_node(out, tale, 1, order, 0);
	for (d = 1; d <= depth; d++) {
		uint32_t on_path = node >> (depth - d);

		later[d] = on_path & 1 ? 0 : on_path + 1;
		if (on_path & 1)
			draw_node(out, tale, on_path - 1, order, d);
		draw_node(out, tale, on_path, order, d);
	}
	for (d = depth; d >= 1; d--)
		if (later[d])
			draw_node(out, tale, later[d], order, d);
}

void tree_print(FILE *out, const struct replay *r, const struct tale *tale)
{
	unsigned order = r->classes.max_order;

	if (order > WHOLE_ORDER_MAX) {
		draw_path(out, tale, order);
	} else if (2 * (CELL << order) + 2 * INDENT <= ROW_MAX + INDENT) {
		draw_beside(out, tale, order);
	} else {
		draw_rows(out, "before", tale->nodes_was, order, NULL);
		draw_rows(out, "after", tale->nodes, order, &tale->tree);
	}
}
