/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * die: one line on standard error, whatever its length, and errno kept; then
 * the end, or not.
 */
#include "base.h"
#include "child.h"
#include "tap.h"

#include <errno.h>
#include <signal.h>

static char text[CHILD_TEXT_MAX];

static void die(void *arg)
{
	np_die("%s is wrong: %d", (char *)arg, 42);
}

/* What np_warn writes of a message of n times the letter x. */
static size_t warned_length(size_t n)
{
	char message[2000];
	struct catch c;

	memset(message, 'x', n);
	message[n] = '\0';
	c = catch_begin();
	np_warn("%s", message);
	catch_end(&c, text);
	return strlen(text);
}

static void test_warn(void)
{
	struct catch c = catch_begin();
	bool lines = true;

	errno = ERANGE;
	np_warn("%s is %d", "answer", 42);
	catch_end(&c, text);
	is_str(text, "libnpool: answer is 42\n", "a warning is one line that "
	       "says whose it is");
	c = catch_begin();
	close(STDERR_FILENO);
	errno = ERANGE;
	np_warn("nobody hears this");
	is_int(errno, ERANGE, "it keeps errno, also where it cannot be said");
	catch_end(&c, text);
	is_size(warned_length(100), 111, "a message is written whole");
	for (size_t n = 480; n < 520; n++) {
		size_t length = warned_length(n);

		lines = lines && text[length - 1] == '\n' &&
			strchr(text, '\n') == text + length - 1 &&
			(length == n + 11 || length >= 500);
	}
	ok(lines, "or cut, but then it ends in a newline too");
	is_size(warned_length(1999), warned_length(1000),
		"there is a longest line");
}

static void test_die(void)
{
	char what[] = "this";
	struct child c = child_run(die, what);

	ok(child_killed(&c, SIGABRT), "np_die aborts");
	is_str(c.text, "libnpool: this is wrong: 42\n", "with its last words");
}

int main(void)
{
	plan(5 + 2);
	test_warn();
	test_die();
	return done();
}
