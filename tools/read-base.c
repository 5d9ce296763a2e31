/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * read-base: what all that read a recording share; see report.h.
 */
#include "report.h"
#include "tool.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define TURNS 4

static char *next_text(void)
{
	static char text[TURNS][32];
	static unsigned turn;

	return text[turn++ % TURNS];
}

const char *in_bytes(uint64_t n)
{
	static const char *const units[] = { "KiB", "MiB", "GiB", "TiB" };
	double value = (double)n / 1024;
	char *text = next_text();
	size_t i = 0;

	if (n < 1024) {
		snprintf(text, 32, "%" PRIu64 " B", n);
		return text;
	}
	for (; value >= 1024 && i + 1 < sizeof units / sizeof *units; i++)
		value /= 1024;
	snprintf(text, 32, "%.1f %s", value, units[i]);
	return text;
}

const char *in_time(uint64_t ns)
{
	char *text = next_text();

	if (ns < 1000)
		snprintf(text, 32, "%" PRIu64 " ns", ns);
	else if (ns < 1000000)
		snprintf(text, 32, "%.1f us", (double)ns / 1e3);
	else if (ns < 1000000000)
		snprintf(text, 32, "%.1f ms", (double)ns / 1e6);
	else
		snprintf(text, 32, "%.2f s", (double)ns / 1e9);
	return text;
}

uint64_t site_of(struct reader *r, struct symbols *s, uint32_t stack)
{
	struct stack st;

	if (stack == RECORDING_NO_STACK)
		return 0;
	st = reader_stack(r, stack);
	return st.n ? st.frame[symbols_skip_own(s, st)] : 0;
}

int read_result(const struct reader *r)
{
	if (reader_error(r)) {
		complain("%s", reader_error(r));
		return READ_DAMAGED;
	}
	if (!reader_is_whole(r))
		complain("the recording was cut off: what is there was read");
	return READ_OK;
}

int written_result(int code)
{
	if (fflush(stdout) != EOF && !ferror(stdout))
		return code;
	complain("cannot write: %s", strerror(errno));
	return READ_FAILED;
}
