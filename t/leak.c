/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * leak: buffers that are not released are told, with the place where they were
 * made and those where they were used; by level; at exit; never too many or too
 * few.
 */
#include "leak.h"
#include "bufs.h"
#include "child.h"
#include "conf.h"
#include "os.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>

#define TEXT_MAX 20000

/* Code in sections of their own: where a stack leads to can be told. */
#define MAKER __attribute__((noinline, section("leak_maker")))
#define USER __attribute__((noinline, section("leak_user")))
extern char __start_leak_maker[], __stop_leak_maker[];
extern char __start_leak_user[], __stop_leak_user[];

static MAKER npool_buf_t *make_here(void)
{
	npool_buf_t *b = npool_buf_new(NULL, 100, 1000);

	return b ? b : NULL; /* no tail call */
}

static MAKER void make_many(npool_buf_t **b, volatile unsigned n)
{
	for (unsigned i = 0; i < n; i++) /* volatile: one call */
		b[i] = npool_buf_new(NULL, 100, 1000);
}

static USER int use_here(npool_buf_t *b, const char *hint)
{
	return npool_buf_touch(b, hint) != b;
}

static USER void use_often(npool_buf_t *b, volatile unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		npool_buf_touch(b, NULL);
}

static void level(const char *name)
{
	if (npool_option_set(npool_default(), "leaks", name) != 0)
		bail_out("no level %s", name);
}

static char *report(void)
{
	static char text[TEXT_MAX];
	int fd = memfd_create("report", 0);
	ssize_t n;

	if (fd < 0 || npool_buf_leaks_print(fd, 0) != 0)
		bail_out("no report");
	n = pread(fd, text, sizeof text - 1, 0);
	text[n > 0 ? n : 0] = '\0';
	close(fd);
	return text;
}

/* Does the text begin with the name of this file, and what follows it? */
static bool is_in(const char *text, const char *path)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	size_t n = strlen(name);

	return !strncmp(text, name, n) && text[n] == '+';
}

/* Does a frame between the line that has `from` and the next heading lie in
 * this stretch of code? */
static bool leads_to(const char *text, const char *from, const char *begin,
		     const char *end)
{
	const char *at = strstr(text, from);
	ptrdiff_t offset;
	Dl_info us;

	if (!at || !dladdr(begin, &us) || !(at = strchr(at, '\n')))
		return false;
	while (*++at == '\t') {
		const char *open = strchr(at, '(');

		/* The C library has places of the same offset. */
		if (open && is_in(open + 1, us.dli_fname) &&
		    (open = strchr(open, '+')) &&
		    sscanf(open, "+%ti", &offset) == 1 &&
		    (const char *)us.dli_fbase + offset > begin &&
		    (const char *)us.dli_fbase + offset <= end)
			return true;
		at = strchr(at, '\n');
	}
	return false;
}

static unsigned count_of(const char *text, const char *what)
{
	unsigned n = 0;

	for (; (text = strstr(text, what)); text++)
		n++;
	return n;
}

static void has(const char *text, const char *what, const char *claim)
{
	if (!ok(strstr(text, what) != NULL, "%s", claim))
		diag("no '%s' in: %s", what, text);
}

/* Are both in the text, this one first? */
static bool stands_before(const char *text, const char *this, const char *that)
{
	const char *first = strstr(text, this), *second = strstr(text, that);

	return first && second && first < second;
}

/* --- levels ------------------------------------------------------------- */

static void test_disabled(void)
{
	npool_buf_t *b = make_here();

	is_size(npool_buf_leaks(0), 0, "disabled: nothing is watched");
	ok(atomic_load(&np_leak_unwatched) != NULL,
	   "disabled: who makes a buffer does not ask");
	is_int(use_here(b, "here"), 0, "disabled: touch does nothing");
	has(report(), ": 0 watched buffers", "disabled: a report of nothing");
	level("paranoid");
	is_size(npool_buf_leaks(0), 0, "it is about buffers to come");
	npool_buf_release(b);
	level("disabled");
	npool_buf_release(make_here());
	ok(atomic_load(&np_leak_unwatched) != NULL,
	   "disabled again: nor does he any more");
}

#define MANY (NP_LEAK_INTERVAL * 200)

static void test_simple(void)
{
	static npool_buf_t *b[MANY];
	size_t n;

	level("simple");
	for (unsigned i = 0; i < MANY; i++)
		b[i] = make_here();
	n = npool_buf_leaks(0);
	/* 200; the deviation is 14. */
	if (!ok(n >= 120 && n <= 280, "simple: one of 128 is watched"))
		diag("%zu of %d", n, MANY);
	for (unsigned i = 0; i < MANY; i++)
		use_here(b[i], "hint");
	has(report(), "a buffer", "simple: they are told");
	ok(!strstr(report(), "hint"), "simple: but not who used them");
	level("disabled");
	is_size(npool_buf_leaks(0), n, "disabled, they are still watched");
	for (unsigned i = 0; i < MANY; i++)
		npool_buf_release(b[i]);
	is_size(npool_buf_leaks(0), 0, "until they are released");
}

static void test_advanced(void)
{
	npool_buf_t *b;
	unsigned n = 0;

	level("advanced");
	do {
		b = make_here();
		if (npool_buf_leaks(0))
			break;
		npool_buf_release(b);
	} while (++n < 100 * NP_LEAK_INTERVAL);
	use_here(b, "hint");
	has(report(), "hint", "advanced: it is told who used them");
	npool_buf_release(b);
	is_size(npool_buf_leaks(0), 0, "advanced: released");
}

static void test_level(void)
{
	char text[16];

	is_int(npool_option_set(npool_default(), "leaks", "some"), EINVAL,
	       "there is no such level");
	is_int(npool_option_get(npool_default(), "leaks", text, sizeof text),
	       0, "the level can be asked for");
	is_str(text, "advanced", "and is what was set");
}

/* --- the report --------------------------------------------------------- */

static void test_places(void)
{
	npool_buf_t *b[3], *other = make(7, 7);
	const char *text;

	make_many(b, 3);
	is_size(npool_buf_leaks(0), 4, "paranoid: all are watched");
	text = report();
	has(text, "leaks: 4 watched buffers are alive", "their number");
	has(text, "leak: 3 times a buffer, 300 bytes in all",
	    "those of one place are told together");
	has(text, "leak: 1 times a buffer, 7 bytes in all", "others apart");
	ok(stands_before(text, "7 bytes", "300 bytes"), "the oldest first");
	ok(leads_to(text, "leak: 3 times", __start_leak_maker,
		    __stop_leak_maker), "by the stack of who made them");
	ok(!leads_to(text, "leak: 1 times", __start_leak_maker,
		     __stop_leak_maker), "each by its own");
	for (unsigned i = 0; i < 3; i++)
		npool_buf_release(b[i]);
	npool_buf_release(other);
	is_size(npool_buf_leaks(0), 0, "and are gone when they are released");
}

static void test_touches(void)
{
	npool_buf_t *b = make_here();
	const char *text;

	npool_buf_write(b, "hello", 5);
	use_here(b, "often");
	use_here(b, "a hint that is longer than what is kept of it, by far");
	npool_buf_retain(b);
	npool_buf_release(b);
	npool_buf_skip(b, 1);
	text = report();
	is_uint(count_of(text, ", by thread "), NP_LEAK_TOUCHES,
		"the last uses are remembered");
	has(text, "npool_buf_touch, by thread", "touch is one");
	has(text, ": a hint that is longer than what is kept of it, \n",
	    "with as much of its hint as is kept");
	ok(leads_to(text, "npool_buf_touch", __start_leak_user,
		    __stop_leak_user), "by the stack of who used it");
	ok(stands_before(text, "npool_buf_skip", "npool_buf_release") &&
	   stands_before(text, "npool_buf_release", "npool_buf_retain") &&
	   stands_before(text, "npool_buf_retain", "npool_buf_touch"),
	   "the last one first");
	ok(!strstr(text, "npool_buf_write"), "the oldest are forgotten");
	use_often(b, 7);
	has(report(), "npool_buf_touch, 7 times, by thread",
	    "the same use again and again is one");
	npool_buf_release(b);
}

/* The operand keeps the calls apart. */
#define CALL(n)                                        \
	case n:                                        \
		b = npool_buf_new(NULL, 1, 1);         \
		__asm__ volatile("# %0" : : "i"(n));   \
		break;
#define CALLS(n) CALL(n) CALL(n + 1) CALL(n + 2) CALL(n + 3) CALL(n + 4) \
	CALL(n + 5) CALL(n + 6) CALL(n + 7) CALL(n + 8) CALL(n + 9)
#define NCALLS 40 /* more than a report has */

static npool_buf_t *make_at(unsigned place)
{
	npool_buf_t *b = NULL;

	switch (place) {
	CALLS(0)
	CALLS(10)
	CALLS(20)
	CALLS(30)
	}
	return b;
}

static void test_many_places(void)
{
	npool_buf_t *b[NCALLS];
	const char *text;

	for (unsigned i = 0; i < NCALLS; i++)
		b[i] = make_at(i);
	text = report();
	is_uint(count_of(text, "times a buffer"), 32, "32 places are told");
	has(text, "leaks: and 8 made elsewhere", "and how many others are");
	for (unsigned i = 0; i < NCALLS; i++)
		npool_buf_release(b[i]);
}

static void test_views(void)
{
	static char bytes[10];
	npool_buf_t *b = make_here(), *s = npool_buf_slice(b, 0, 10), *r, *c;

	is_size(npool_buf_leaks(0), 1, "a view without a count is not watched");
	npool_buf_set_writer(s, 5);
	has(report(), "npool_buf_set_indices", "its uses are its buffer's");
	r = npool_buf_retained_slice(s, 0, 4);
	is_size(npool_buf_leaks(0), 2, "a retained one is");
	npool_buf_release(s);
	has(report(), "1 times a retained view, 4 bytes", "by its kind");
	is_size(npool_buf_leaks(0), 2, "it keeps its buffer");
	is_int(npool_buf_release(r), 1, "both go");
	is_size(npool_buf_leaks(0), 0, "with it");
	c = make_composite(4);
	npool_buf_add_part(c, 0, npool_buf_wrap(bytes, 10, NULL, NULL), 1);
	has(report(), "times a composite buffer", "a composite one is watched");
	has(report(), "times wrapped memory, 10 bytes", "so is a part");
	npool_buf_release(c);
	is_size(npool_buf_leaks(0), 0, "all of it is released");
}

static void test_age(void)
{
	npool_buf_t *old = make_here(), *young = NULL;
	uint64_t began;
	size_t n;

	usleep(300000);
	do { /* until the young one is young when it is asked for */
		if (young)
			npool_buf_release(young);
		began = np_os_now_ms();
		young = make_here();
		n = npool_buf_leaks(100);
	} while (np_os_now_ms() - began >= 100);
	is_size(n, 1, "those of an age can be asked for");
	is_size(npool_buf_leaks(60000), 0, "none is older than this test");
	is_size(npool_buf_leaks(UINT32_MAX), 0, "nor than the machine");
	is_size(npool_buf_leaks(0), 2, "both are there");
	npool_buf_release(old);
	npool_buf_release(young);
}

static void test_errors(void)
{
	npool_buf_t *b = make_here();

	is_int(npool_buf_leaks_print(-1, 0), EBADF, "no file: EBADF");
	npool_buf_release(b);
}

static void release_twice(void *arg)
{
	npool_buf_t *b = make_here();

	(void)arg;
	npool_buf_release(b);
	npool_buf_release(b);
}

static void use_dead(void *arg)
{
	npool_buf_t *b = make_here();

	(void)arg;
	npool_buf_release(b);
	npool_buf_touch(b, NULL);
}

static void test_dead(void)
{
	struct child c = child_run(release_twice, NULL);

	ok(child_killed(&c, SIGABRT) && strstr(c.text, "decrement: 1"),
	   "a watched buffer that is released twice is told");
	c = child_run(use_dead, NULL);
	ok(child_killed(&c, SIGABRT) && strstr(c.text, "npool_buf_touch(0x"),
	   "so is one that is touched behind its last release");
}

/* --- threads, fork, exit ------------------------------------------------ */

#define NTHREADS 4

static void *make_and_use(void *arg)
{
	for (unsigned i = 0; i < 300; i++) {
		npool_buf_t *b = make_here();

		npool_buf_retain(arg);
		use_here(arg, "shared");
		npool_buf_release(arg);
		npool_buf_write(b, "x", 1);
		npool_buf_release(b);
		if (i == 100)
			level("simple");
		if (i == 200)
			level("paranoid");
	}
	return NULL;
}

static void test_threads(void)
{
	pthread_t thread[NTHREADS];
	npool_buf_t *b = make_here();

	for (unsigned i = 0; i < NTHREADS; i++)
		pthread_create(&thread[i], NULL, make_and_use, b);
	for (unsigned i = 0; i < 20; i++)
		report();
	for (unsigned i = 0; i < NTHREADS; i++)
		pthread_join(thread[i], NULL);
	is_size(npool_buf_leaks(0), 1, "threads at once: what is left is known");
	is_uint(npool_buf_refs(b), 1, "and was released as often as retained");
	npool_buf_release(b);
	is_size(npool_buf_leaks(0), 0, "then nothing is");
}

static void *switch_often(void *last)
{
	for (unsigned i = 0; i < 200; i++)
		level(i % 2 ? "paranoid" : "disabled");
	level(last);
	return NULL;
}

/* Does what the option says hold for a buffer that is made now? */
static bool level_is_in_force(void)
{
	npool_buf_t *b = make_here();
	size_t watched = npool_buf_leaks(0);
	char said[20];

	npool_buf_release(b);
	if (npool_option_get(npool_default(), "leaks", said, sizeof said) != 0)
		bail_out("no option leaks");
	return watched == !strcmp(said, "paranoid");
}

static void test_switches(void)
{
	static char last[2][9] = { "disabled", "paranoid" };
	pthread_t thread[NTHREADS];
	bool good = true;

	for (unsigned round = 0; round < 50; round++) {
		for (unsigned i = 0; i < NTHREADS; i++)
			pthread_create(&thread[i], NULL, switch_often,
				       last[i % 2]);
		for (unsigned i = 0; i < NTHREADS; i++)
			pthread_join(thread[i], NULL);
		good = good && level_is_in_force();
	}
	ok(good, "switched by threads at once: what the option says holds");
	level("paranoid");
}

static npool_buf_t *inherited;

static void in_child(void *arg)
{
	(void)arg;
	must(npool_buf_leaks(0) == 0);
	npool_buf_touch(inherited, "child");
	npool_buf_release(inherited);
	inherited = make_here();
	must(npool_buf_leaks(0) == 1);
	npool_buf_release(inherited);
	must(npool_buf_leaks(0) == 0);
}

static void test_fork(void)
{
	struct child c;

	inherited = make_here();
	c = child_run(in_child, NULL);
	if (!ok(child_exited(&c, 0), "a child begins anew"))
		diag("%s", c.text);
	is_size(npool_buf_leaks(0), 1, "the parent has what it had");
	npool_buf_release(inherited);
}

static void test_exit(void)
{
	struct child c = conf_run("leaks:paranoid", "leak");

	ok(child_exited(&c, 0) &&
	   strstr(c.text, "libnpool: leaks: 1 watched buffers are alive"),
	   "at exit what was not released is told");
	has(c.text, "a buffer, 100 bytes in all", "with what it is");
	c = conf_run("leaks:paranoid", "clean");
	is_str(c.text, "", "and nothing if all was");
	c = conf_run("leaks:disabled", "leak");
	is_str(c.text, "", "nor if none is watched");
	c = conf_run("leaks:paranoid", "late");
	is_str(c.text, "", "the program's own handlers come first");
}

static npool_buf_t *late;

static void release_late(void)
{
	npool_buf_release(late);
}

static int part(const char *name)
{
	late = make_here();
	if (!strcmp(name, "clean"))
		npool_buf_release(late);
	if (!strcmp(name, "late"))
		atexit(release_late);
	return !late;
}

int main(int argc, char **argv)
{
	if (argc > 1)
		return part(argv[1]);
	conf_restart(argv, "leaks:disabled");
	test_disabled();
	test_simple();
	test_advanced();
	test_level();
	level("paranoid");
	test_places();
	test_touches();
	test_many_places();
	test_views();
	test_age();
	test_errors();
	test_dead();
	test_threads();
	test_switches();
	test_fork();
	test_exit();
	return done();
}
