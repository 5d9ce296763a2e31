/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * svg: what the pictures of both tools have in common: the frame, the style
 * sheet, boxes. A picture needs no other file, and no script.
 *
 *	t   title	h   heading	m   less important
 *	s   beside an axis		c, v   in the middle, v smaller
 *	f   free page	r0, r1, rt   runs, by turns, and their text
 *	b, k, bt   subpages: what is free, what is taken, text
 *	q0 .. q11   subpages by size: taken; with e: free
 *	nf, np, nn   nodes of a tree: all free, some, none
 *	old  of no account
 */
#ifndef NP_TOOLS_SVG_H
#define NP_TOOLS_SVG_H

#include <stdio.h>

#define SVG_SIZES 12 /* q0 .. q11 */

/* In px, as all lengths. */
struct svg_box {
	double x, y, width, height;
};

#define SVG_XML "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"

/* A file, with the style sheet above. */
void svg_begin(FILE *out, int width, double height);
void svg_end(FILE *out);

/* Or only the element, for who has a style of his own. */
void svg_open(FILE *out, const char *class, int width, double height);

/* class: one word or several. */
void svg_box(FILE *out, const char *class, const struct svg_box *box);

/* At most so many characters of a text in UTF-8, fit for XML. Returns how many
 * they are. */
int svg_text(FILE *out, const char *text, int most);

/* The next character of *text, in UTF-8: its bytes (1 to 4), and *text behind
 * it; 0 if there is none, -1 if it is no text or a control character. */
int utf8_next(const char **text, const char **bytes);

#endif
