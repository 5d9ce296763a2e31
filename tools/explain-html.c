/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * explain-html: one page that needs nothing beside itself. explain-page.html
 * has its looks and its script; the steps are written into it as they come:
 *
 *	{"name":"first.trace","page":8192,"order":11,"steps":[
 *	{"n":9,"t":"f B","r":"f B","x":"line 9: ...","d":[CHANGE, ...]}, ...]}
 *
 * A change is what one half did to a chunk: the nodes that were asked in vain
 * on the way down, those that were written, what the run's pages are from now
 * on, and the list that the chunk went to.
 */
#include "explain.h"
#include "svg.h"

#include <inttypes.h>
#include <string.h>

static const char *const page[] = {
#include "tools/explain-page.inc"
};

#define NLINES (sizeof page / sizeof *page)
#define DATA "@DATA@\n"

static size_t data_line(void)
{
	size_t i = 0;

	while (i < NLINES && strcmp(page[i], DATA))
		i++;
	return i;
}

/* A string, fit to stand in a script. */
static void put_string(FILE *out, const char *text)
{
	const char *bytes, *before = text;
	int n;

	fputc('"', out);
	for (; (n = utf8_next(&text, &bytes)) != 0; before = text) {
		if (n < 0 && (*before == '\n' || *before == '\t'))
			fputs(*before == '\n' ? "\\n" : "\\t", out);
		else if (n < 0)
			fputs("\\ufffd", out);
		else if (strchr("\\\"<>&", *bytes))
			fprintf(out, "\\u%04x", *bytes);
		else
			fwrite(bytes, 1, (size_t)n, out);
	}
	fputc('"', out);
}

void html_begin(FILE *out, const struct replay *r)
{
	for (size_t i = 0; i < data_line(); i++)
		fputs(page[i], out);
	fputs("{\"name\":", out);
	put_string(out, r->trace.name);
	fprintf(out, ",\"page\":%u,\"order\":%u,\"steps\":[\n",
		1u << r->classes.page_shift, (unsigned)r->classes.max_order);
}

void html_end(FILE *out)
{
	fputs("]}\n", out);
	for (size_t i = data_line() + 1; i < NLINES; i++)
		fputs(page[i], out);
}

/* --- changes ---------------------------------------------------------- */

static void put_tree(FILE *out, const struct told_tree *tree)
{
	const char *gap = "";

	fputs("\"way\":[", out);
	for (unsigned i = 0; i < tree->nvisits; i++)
		if (tree->visit[i].is_right) {
			fprintf(out, "%s%u", gap, tree->visit[i].node - 1);
			gap = ",";
		}
	fputs("],\"nodes\":[", out);
	if (tree->is_changed)
		fprintf(out, "[%u,%u]", tree->node.node, tree->node.now);
	for (unsigned i = 0; i < tree->nparents; i++)
		fprintf(out, ",[%u,%u]", tree->parent[i].node,
			tree->parent[i].now);
	fputc(']', out);
}

static void put_page(FILE *out, const struct tale *tale, const char *name)
{
	const struct told_subpage *s = &tale->subpage;

	fprintf(out, ",\"first\":%u,\"n\":%u,\"take\":%d", tale->first,
		tale->npages, tale->is_take);
	if (s->is_used)
		fprintf(out, ",\"size\":%u,\"slot\":%u,\"of\":%u",
			tale->row->size, s->slot, s->nelems);
	if (tale->tree.is_changed && !tale->is_take)
		fputs(",\"page\":\"free\"", out);
	else if (s->is_used)
		fprintf(out, ",\"page\":\"subpage\",\"fresh\":%d", s->is_new);
	else
		fputs(",\"page\":\"run\",\"name\":", out);
	if (!s->is_used && tale->is_take)
		put_string(out, name);
}

static void put_change(FILE *out, const struct tale *tale, const char *name,
		       const char *gap)
{
	fprintf(out, "%s{\"chunk\":%" PRIu64 ",", gap, tale->ordinal);
	put_tree(out, &tale->tree);
	put_page(out, tale, name);
	if (tale->is_new)
		fputs(",\"fresh_chunk\":1", out);
	if (tale->list_now != tale->list_was)
		fprintf(out, ",\"list\":%d", tale->list_now);
	fputc('}', out);
}

void html_step(FILE *out, const struct replay *r, const struct step *step,
	       const char *text, bool is_first)
{
	const struct tale *take = &step->take, *give = &step->give;
	bool has_take = take->is_there && take->row;
	const char *name = "";

	if (has_take)
		name = buffer_name(buffers_at(&r->buffers, step->op.number));
	fprintf(out, "%s{\"n\":%lu,\"t\":", is_first ? "" : ",\n", step->line);
	put_string(out, step->text);
	fputs(",\"r\":", out);
	put_string(out, step->result);
	fputs(",\"x\":", out);
	put_string(out, text);
	fputs(",\"d\":[", out);
	if (has_take)
		put_change(out, take, name, "");
	if (give->is_there && give->row)
		put_change(out, give, "", has_take ? "," : "");
	fputs("]}", out);
}
