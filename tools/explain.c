/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * explain: see explain.h.
 */
#include "explain.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What is written to: the text, and the files that were asked for. */
struct outputs {
	const struct explain_options *options;
	bool quiet;
	FILE *html;
	bool has_step;
};

/* --- a step ----------------------------------------------------------- */

static int disagree(const struct replay *r, const char *what)
{
	return replay_complain(r, REPLAY_FAILED, "this is a bug: what was "
			       "foreseen is not what happened", what);
}

/* Does the line, with both halves foreseen and checked. */
static int do_step(struct replay *r, struct step *step)
{
	const struct replay_op *op = &step->op;
	const char *wrong = NULL;

	step->take.is_there = step->give.is_there = false;
	if (op->takes)
		tale_foresee_take(&step->take, r, op->size);
	if (replay_take(r, op) != REPLAY_OK)
		return REPLAY_FAILED;
	if (op->takes)
		wrong = tale_check(&step->take, r,
				   buffers_at(&r->buffers, op->number));
	if (wrong)
		return disagree(r, wrong);
	if (op->gives)
		tale_foresee_give(&step->give, r, &op->old);
	replay_give(r, op);
	if (op->gives)
		wrong = tale_check(&step->give, r, &op->old);
	return wrong ? disagree(r, wrong) : REPLAY_OK;
}

/* What replay says of it. Returns whether there was memory. */
static bool note_result(struct replay *r, struct step *step)
{
	size_t size = 0;
	FILE *out = open_memstream(&step->result, &size);

	if (!out)
		return false;
	replay_print(r, &step->op, out);
	if (fclose(out) != 0 || !size)
		return false;
	step->result[size - 1] = '\0';
	return true;
}

/* The step as text; NULL: no memory. */
static char *note_text(const struct replay *r, const struct step *step,
		       bool with_tree)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	text_print(out, r, step, with_tree);
	if (fclose(out) == 0)
		return text;
	free(text);
	return NULL;
}

static bool write_step(struct outputs *to, const struct replay *r,
		       const struct step *step)
{
	char *text = note_text(r, step, to->options->tree);

	if (text && !to->quiet)
		fputs(text, stdout);
	if (text && to->html)
		html_step(to->html, r, step, text, !to->has_step);
	to->has_step = true;
	free(text);
	return text != NULL;
}

/* --- files ------------------------------------------------------------ */

static int file_error(const char *path)
{
	fflush(stdout);
	fprintf(stderr, "npool-trace: %s: %s\n", path, strerror(errno));
	return REPLAY_FAILED;
}

static FILE *open_file(const char *path)
{
	FILE *out = fopen(path, "we");

	if (!out)
		file_error(path);
	return out;
}

static int close_file(FILE *out, const char *path)
{
	bool failed = fflush(out) != 0 || ferror(out);

	if (failed)
		file_error(path);
	if (fclose(out) != 0 && !failed)
		return file_error(path);
	return failed ? REPLAY_FAILED : REPLAY_OK;
}

static int write_svg(const struct replay *r, const char *path)
{
	FILE *out = open_file(path);

	if (!out)
		return REPLAY_FAILED;
	if (!svg_print(out, r)) {
		fclose(out);
		errno = ENOMEM;
		return file_error(path);
	}
	return close_file(out, path);
}

/* --- the whole -------------------------------------------------------- */

static int one_step(struct replay *r, struct step *step, struct outputs *to)
{
	int code = replay_read(r, &step->op);

	if (code != REPLAY_OK)
		return code;
	step->line = r->trace.line;
	step->text = r->trace.text;
	code = do_step(r, step);
	if (code != REPLAY_OK)
		return code;
	if (!note_result(r, step) || !write_step(to, r, step))
		code = replay_complain(r, REPLAY_FAILED, "out of memory", "");
	free(step->result);
	step->result = NULL;
	replay_done(r, &step->op);
	return code;
}

static int all_steps(struct replay *r, struct outputs *to)
{
	struct step step = { 0 };
	int code = REPLAY_OK;

	if (!tale_init(&step.take, &r->classes) ||
	    !tale_init(&step.give, &r->classes))
		code = replay_complain(r, REPLAY_FAILED, "out of memory", "");
	if (to->html)
		html_begin(to->html, r);
	while (code == REPLAY_OK)
		code = one_step(r, &step, to);
	if (to->html)
		html_end(to->html);
	tale_fini(&step.take);
	tale_fini(&step.give);
	if ((fflush(stdout) || ferror(stdout)) && code == REPLAY_END)
		code = replay_complain(r, REPLAY_FAILED, "cannot write",
				       strerror(errno));
	return code == REPLAY_END ? REPLAY_OK : code;
}

int explain(int fd, const char *name, const struct explain_options *options,
	    const struct replay_options *replay)
{
	struct outputs to = { .options = options, .quiet = replay->quiet };
	struct replay r;
	int code, closed = REPLAY_OK;

	if (options->html && !(to.html = open_file(options->html)))
		return REPLAY_FAILED;
	code = replay_open(&r, fd, name, replay);
	r.trace.keep_text = true;
	if (code == REPLAY_OK)
		code = all_steps(&r, &to);
	if (code == REPLAY_OK && options->svg)
		code = write_svg(&r, options->svg);
	if (to.html)
		closed = close_file(to.html, options->html);
	replay_close(&r);
	return code == REPLAY_OK ? closed : code;
}
