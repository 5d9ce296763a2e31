/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * leak: see leak.h.
 */
#include "leak.h"
#include "lock.h"
#include "os.h"
#include "stack.h"

#include <dlfcn.h> /* dladdr */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h> /* vsnprintf */
#include <string.h>
#include <sys/auxv.h> /* getauxval */
#include <unistd.h>   /* gettid */

#define PLACES 32     /* that a report tells of */
#define LINE_SIZE 512 /* bytes; names are cut */

struct npool_objpool *_Atomic np_leak_unwatched;

static NP_USED_AT_START _Atomic int level; /* enum np_leak_level */

static struct np_lock leaks_lock = NP_LOCK_INIT(NP_RANK_LEAKS);
static struct np_leak ends = { .prev = &ends, .next = &ends };

/* --- whether ---------------------------------------------------------- */

void np_leak_set_level(enum np_leak_level to)
{
	atomic_store(&level, (int)to);
	atomic_store(&np_leak_unwatched, NULL);
}

void np_leak_let_pass(struct npool_objpool *op)
{
	if (atomic_load(&level) != NP_LEAKS_DISABLED)
		return;
	atomic_store(&np_leak_unwatched, op);
	if (atomic_load(&level) != NP_LEAKS_DISABLED)
		atomic_store(&np_leak_unwatched, NULL);
}

/* One of NP_LEAK_INTERVAL, by chance: what a program does may have a period.
 * Marsaglia's xorshift32. */
static bool is_drawn(void)
{
	static _Thread_local uint32_t x
		__attribute__((tls_model("initial-exec")));

	if (!x)
		x = (uint32_t)(uintptr_t)&x * 2654435761u | 1;
	x ^= x << 13;
	x ^= x >> 17;
	x ^= x << 5;
	return x % NP_LEAK_INTERVAL == 0;
}

bool np_leak_wanted(void)
{
	/* Relaxed: a level that was just set holds from the next one on. */
	int now = atomic_load_explicit(&level, memory_order_relaxed);

	return now == NP_LEAKS_PARANOID ||
	       (now != NP_LEAKS_DISABLED && is_drawn());
}

/* --- records ---------------------------------------------------------- */

/* All but where; the stack begins at the caller's caller. No lock is held: the
 * first stack may call malloc. */
static __attribute__((noinline)) struct np_leak_record
record(const char *what, const char *hint)
{
	struct np_leak_record r = { .what = what, .ms = np_os_now_ms(),
				    .times = 1, .tid = gettid() };
	int saved = errno;

	r.nframes = (int)np_stack_take(r.frame, NP_LEAK_FRAMES);
	snprintf(r.hint, sizeof r.hint, "%s", hint ? hint : "");
	errno = saved;
	return r;
}

static bool is_same_stack(const struct np_leak_record *a,
			  const struct np_leak_record *b)
{
	return a->what == b->what && a->nframes == b->nframes &&
	       !memcmp(a->frame, b->frame,
		       (size_t)a->nframes * sizeof *a->frame);
}

/* Fowler, Noll and Vo's hash, 1a, word by word. */
static uint64_t place_of(const struct np_leak_record *r)
{
	uint64_t hash = 0xcbf29ce484222325u ^ (uintptr_t)r->what;

	for (int i = 0; i < r->nframes; i++)
		hash = (hash ^ (uintptr_t)r->frame[i]) * 0x100000001b3u;
	return hash;
}

void np_leak_begin(struct np_leak *l, const void *buf, const char *kind,
		   size_t size)
{
	l->made = record(kind, NULL);
	l->place = place_of(&l->made);
	l->buf = buf;
	l->size = size;
	l->ntouches = 0;
	np_lock(&leaks_lock);
	l->prev = ends.prev;
	l->next = &ends;
	l->prev->next = l->next->prev = l;
	np_unlock(&leaks_lock);
}

void np_leak_touch(struct np_leak *l, const char *function, const char *hint)
{
	struct np_leak_record r, *last;

	if (atomic_load_explicit(&level, memory_order_relaxed) <
	    NP_LEAKS_ADVANCED)
		return;
	r = record(function, hint);
	np_lock(&leaks_lock);
	last = &l->touch[(l->ntouches - 1) % NP_LEAK_TOUCHES];
	if (l->ntouches && is_same_stack(last, &r))
		r.times += last->times;
	else
		last = &l->touch[l->ntouches++ % NP_LEAK_TOUCHES];
	*last = r;
	np_unlock(&leaks_lock);
}

void np_leak_end(struct np_leak *l)
{
	np_lock(&leaks_lock);
	l->prev->next = l->next;
	l->next->prev = l->prev;
	np_unlock(&leaks_lock);
}

/* --- the report ------------------------------------------------------- */

struct report {
	int fd, error;
	uint64_t now, until; /* ms; what was made later is not told */
};

/* Buffers that were made by the same calls. */
struct place {
	struct np_leak oldest; /* a copy */
	size_t n, bytes;
};

static __attribute__((format(printf, 2, 3))) void
say(struct report *r, const char *format, ...)
{
	char text[LINE_SIZE];
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(text, sizeof text, format, ap);
	va_end(ap);
	if (n >= LINE_SIZE)
		n = LINE_SIZE - 1;
	if (!r->error && n > 0)
		r->error = np_os_write(r->fd, text, (size_t)n);
}

static bool is_in(uint64_t place, const uint64_t *places, unsigned n)
{
	while (n && places[n - 1] != place)
		n--;
	return n > 0;
}

/* The place of the oldest buffer that is not of those places. p->n 0: there is
 * none. */
static void find_place(struct place *p, const struct report *r,
		       const uint64_t *told, unsigned ntold)
{
	p->n = p->bytes = 0;
	np_lock(&leaks_lock);
	for (struct np_leak *l = ends.next; l != &ends; l = l->next) {
		if (l->made.ms > r->until || is_in(l->place, told, ntold))
			continue;
		if (!p->n)
			p->oldest = *l;
		if (l->place == p->oldest.place) {
			p->n++;
			p->bytes += l->size;
		}
	}
	np_unlock(&leaks_lock);
}

static const void *home_of(const void *address)
{
	Dl_info info;

	return dladdr(address, &info) ? info.dli_fbase : NULL;
}

/* "main+0x1c (server+0x123c)": the second one is for addr2line(1). */
static void say_frame(struct report *r, int number, const void *address)
{
	Dl_info info;
	const char *file;

	if (!dladdr(address, &info) || !info.dli_fname) {
		say(r, "\t#%d %p\n", number, address);
		return;
	}
	file = strrchr(info.dli_fname, '/');
	file = file ? file + 1 : info.dli_fname;
	say(r, "\t#%d %s", number, info.dli_sname ? info.dli_sname : "?");
	if (info.dli_sname)
		say(r, "+%#tx", (const char *)address -
		    (const char *)info.dli_saddr);
	say(r, " (%s+%#tx)\n", file, (const char *)address -
	    (const char *)info.dli_fbase);
}

/* Our own frames come first, and tell nothing. Linked into the program they
 * cannot be told from its own. */
static int first_of(const struct np_leak_record *record)
{
	const void *us = home_of(&leaks_lock);
	int first = 0;

	if (us == home_of((void *)getauxval(AT_ENTRY)))
		return 0;
	while (first < record->nframes && home_of(record->frame[first]) == us)
		first++;
	return first < record->nframes ? first : 0;
}

static void say_stack(struct report *r, const struct np_leak_record *record)
{
	int first = first_of(record);

	for (int i = first; i < record->nframes; i++)
		say_frame(r, i - first, record->frame[i]);
}

static void say_touch(struct report *r, const struct np_leak_record *t)
{
	say(r, "    %s", t->what);
	if (t->times > 1)
		say(r, ", %" PRIu32 " times", t->times);
	say(r, ", by thread %d, %.1f s ago%s%s\n", t->tid,
	    (double)(r->now - t->ms) / 1000, *t->hint ? ": " : "", t->hint);
	say_stack(r, t);
}

static void say_place(struct report *r, const struct place *p)
{
	const struct np_leak *l = &p->oldest;

	say(r, "libnpool: leak: %zu times %s, %zu bytes in all; the oldest, "
	    "%p, was made %.1f s ago by thread %d:\n", p->n, l->made.what,
	    p->bytes, l->buf, (double)(r->now - l->made.ms) / 1000,
	    l->made.tid);
	say_stack(r, &l->made);
	if (l->ntouches)
		say(r, "  and used last by\n");
	for (uint64_t i = 0; i < NP_LEAK_TOUCHES && i < l->ntouches; i++)
		say_touch(r, &l->touch[(l->ntouches - 1 - i) %
				       NP_LEAK_TOUCHES]);
}

static uint64_t until_of(uint64_t now, uint64_t age_ms)
{
	return age_ms < now ? now - age_ms : 0;
}

static size_t count_until(uint64_t until)
{
	size_t n = 0;

	np_lock(&leaks_lock);
	for (struct np_leak *l = ends.next; l != &ends; l = l->next)
		n += l->made.ms <= until;
	np_unlock(&leaks_lock);
	return n;
}

size_t np_leak_count(uint64_t age_ms)
{
	return count_until(until_of(np_os_now_ms(), age_ms));
}

int np_leak_print(int fd, uint64_t age_ms)
{
	struct report r = { .fd = fd, .now = np_os_now_ms() };
	uint64_t told[PLACES];
	unsigned ntold = 0;
	struct place p;
	size_t left;

	r.until = until_of(r.now, age_ms);
	left = count_until(r.until);
	say(&r, "libnpool: leaks: %zu watched buffers are alive\n", left);
	while (ntold < PLACES && (find_place(&p, &r, told, ntold), p.n)) {
		say_place(&r, &p);
		told[ntold++] = p.oldest.place;
		left -= p.n < left ? p.n : left;
	}
	if (left)
		say(&r, "libnpool: leaks: and %zu made elsewhere\n", left);
	return r.error;
}

/* The program's own destructors have run. */
__attribute__((destructor)) static void tell_at_exit(void)
{
	if (atomic_load_explicit(&level, memory_order_relaxed) !=
	    NP_LEAKS_DISABLED && np_leak_count(0))
		np_leak_print(STDERR_FILENO, 0);
}

/* --- fork ------------------------------------------------------------- */

void np_leaks_lock(void)
{
	np_lock_for_fork(&leaks_lock);
}

void np_leaks_unlock(void)
{
	np_unlock_for_fork(&leaks_lock);
}

/* Those of the parent are its own to release; the child may end before. */
void np_leaks_forked(void)
{
	for (struct np_leak *l = ends.next, *next; l != &ends; l = next) {
		next = l->next;
		l->prev = l->next = l;
	}
	ends.prev = ends.next = &ends;
}
