/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * fiber: a few actors in one thread, and all orders in which their steps can
 * happen.
 *
 * An actor is a fiber (makecontext(3); from there on jumps, as swapcontext
 * asks the kernel for the signal mask each time). It runs until its next
 * yield, where the search says who goes on; a step is what lies between two
 * yields. The search is depth first and keeps nothing but the choices it
 * made: each schedule begins anew.
 *
 *	do {
 *		... make the world, fiber_add() the actors
 *		fiber_run();
 *		... look at the world, and clean it up
 *	} while (fiber_next());
 *
 * Locks that are held across yields are modelled: who wants one that is taken
 * cannot be chosen, and when nobody can be chosen that is a deadlock. Others
 * are real ones: nobody yields while holding one.
 *
 * Delayed: atomic stores wait in a buffer, oldest first, as on x86-64, and
 * the search says when each is seen by others. Locks drain the buffer of who
 * takes or drops them, the barrier drains everybody's.
 *
 * Reduced: of schedules that differ only in the order of neighbouring steps
 * that touch different things, one is enough (sleep sets). A step touches
 * what its yield names, and what its actor owns.
 *
 * Source: P. Godefroid, "Partial-Order Methods for the Verification of
 * Concurrent Systems", 1996 (stateless search, sleep sets); P. Sewell et al.,
 * "x86-TSO", 2010.
 */
#ifndef FIBER_H
#define FIBER_H

#include "base.h"
#include "lock.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <ucontext.h>

#if defined __SANITIZE_ADDRESS__
#define FIBER_ASAN 1
#elif defined __has_feature
#if __has_feature(address_sanitizer)
#define FIBER_ASAN 1
#endif
#endif
#ifdef FIBER_ASAN
#include <sanitizer/common_interface_defs.h>
#endif

#define FIBERS_MAX 4
#define FIBER_STACK ((size_t)128 << 10)
#define FIBER_STEPS 400	 /* of a schedule, at most */
#define FIBER_LOCKS 2	 /* modelled ones */
#define FIBER_DELAYED 8	 /* stores in a buffer, at most */

struct fiber_store {
	void *at;
	uint64_t value;
	size_t size;
	const void *what; /* the thing that it is a part of */
};

struct fiber {
	const char *name;
	void (*run)(void);
	const void *own;	    /* what all its steps touch */
	bool touches_all;	    /* they touch everything */
	/* Of the step that comes next. */
	const void *what;	    /* it touches this */
	const struct np_lock *wants; /* it takes this modelled lock */
	bool drained;		    /* it drains its own buffer */
	bool barrier;		    /* it drains all buffers */
	bool waits;		    /* it has to be woken first */
	const char *func;	    /* where that is */
	int line;
	bool ended;
	struct fiber_store delayed[FIBER_DELAYED];
	unsigned ndelayed;
	ucontext_t context;	    /* where it begins */
	bool begun;		    /* and since then: */
	void *place[5];		    /* __builtin_setjmp */
	char *stack;
	const void *stack_bottom;   /* as the sanitizer says */
	size_t stack_size;
};

/* A choice that was made: sets of fibers as bits, and in the upper half, of
 * buffers whose oldest store is seen now. */
struct fiber_choice {
	unsigned could;	 /* who could go on */
	unsigned asleep; /* of them: already seen elsewhere */
	unsigned done;	 /* tried here */
	unsigned pick;
};

struct fiber_step {
	const char *name, *func;
	int line;
};

static struct {
	struct fiber fiber[FIBERS_MAX + 1]; /* the last one is the search */
	unsigned n;
	struct fiber *now;
	bool reduced, delayed;
	const struct np_lock *lock[FIBER_LOCKS];
	const struct fiber *holder[FIBER_LOCKS];
	struct fiber_choice choice[FIBER_STEPS];
	unsigned nchoices;	/* that the search goes back over */
	unsigned depth;		/* choices of this schedule */
	unsigned sleeping;	/* set of fibers */
	bool cut;		/* what follows was seen elsewhere */
	struct fiber_step step[FIBER_STEPS];
	unsigned nsteps;
	unsigned long nschedules; /* that ended, and were not cut */
} fibers;

#define FIBER_SEARCH (&fibers.fiber[FIBERS_MAX])

/* The test's own: the thread-local things of one fiber are put away, those
 * of another one taken out. */
static void fiber_changes(unsigned from, unsigned to);

/* --- failing ----------------------------------------------------------- */

static inline void fiber_show_schedule(void)
{
	dprintf(STDERR_FILENO, "schedule %lu:\n", fibers.nschedules + 1);
	for (unsigned i = 0; i < fibers.nsteps; i++)
		dprintf(STDERR_FILENO, "  %-10s %s:%d\n", fibers.step[i].name,
			fibers.step[i].func, fibers.step[i].line);
	for (unsigned i = 0; i < fibers.n; i++)
		if (!fibers.fiber[i].ended)
			dprintf(STDERR_FILENO, "  %s is before %s:%d\n",
				fibers.fiber[i].name, fibers.fiber[i].func,
				fibers.fiber[i].line);
}

/* Ends the process, says why and in which schedule. */
static inline _Noreturn void fiber_fail(const char *fmt, ...)
	__attribute__((format(printf, 1, 2)));

static inline _Noreturn void fiber_fail(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vdprintf(STDERR_FILENO, fmt, ap);
	va_end(ap);
	dprintf(STDERR_FILENO, "\n");
	fiber_show_schedule();
	_exit(1);
}

/* --- delayed stores ---------------------------------------------------- */

static inline void fiber_store_now(const struct fiber_store *s)
{
	if (s->size == 1)
		atomic_store((_Atomic uint8_t *)s->at, (uint8_t)s->value);
	else if (s->size == 4)
		atomic_store((_Atomic uint32_t *)s->at, (uint32_t)s->value);
	else
		atomic_store((_Atomic uint64_t *)s->at, s->value);
}

/* The oldest delayed store is seen by all. */
static inline void fiber_drain_one(struct fiber *f)
{
	fiber_store_now(&f->delayed[0]);
	f->ndelayed--;
	for (unsigned i = 0; i < f->ndelayed; i++)
		f->delayed[i] = f->delayed[i + 1];
}

static inline void fiber_drain(struct fiber *f)
{
	while (f->ndelayed)
		fiber_drain_one(f);
}

static inline void fiber_store(void *at, uint64_t value, size_t size)
{
	struct fiber *f = fibers.now;
	struct fiber_store s = { at, value, size, f->what };

	if (f == FIBER_SEARCH || !fibers.delayed) {
		fiber_store_now(&s);
		return;
	}
	if (f->ndelayed == FIBER_DELAYED)
		fiber_drain_one(f);
	f->delayed[f->ndelayed++] = s;
}

/* What this fiber has stored there and others may not see. */
static inline bool fiber_find_store(const void *at, uint64_t *value)
{
	const struct fiber *f = fibers.now;

	for (unsigned i = f->ndelayed; i-- > 0; )
		if (f->delayed[i].at == at) {
			*value = f->delayed[i].value;
			return true;
		}
	return false;
}

static inline void fiber_store8(_Atomic bool *at, bool value)
{
	fiber_store(at, value, sizeof value);
}

static inline void fiber_store32(_Atomic uint32_t *at, uint32_t value)
{
	fiber_store(at, value, sizeof value);
}

static inline bool fiber_load8(const _Atomic bool *at)
{
	uint64_t value;

	return fiber_find_store((const void *)at, &value) ? value != 0
							  : atomic_load(at);
}

static inline uint32_t fiber_load32(const _Atomic uint32_t *at)
{
	uint64_t value;

	return fiber_find_store((const void *)at, &value) ? (uint32_t)value
							  : atomic_load(at);
}

static inline size_t fiber_load64(const _Atomic size_t *at)
{
	return atomic_load(at);
}

/* Where a cache looks for its CPU: of a recording, which no scene has. */
static inline const volatile uint32_t *
fiber_load_word(const volatile uint32_t *_Atomic const *at)
{
	return atomic_load(at);
}

static inline void fiber_store_word(const volatile uint32_t *_Atomic *at,
				    const volatile uint32_t *value)
{
	atomic_store(at, value);
}

/* --- who can go on ----------------------------------------------------- */

static inline unsigned fiber_bit(const struct fiber *f)
{
	return 1u << (f - fibers.fiber);
}

/* The bit of its buffer. */
static inline unsigned fiber_store_bit(const struct fiber *f)
{
	return fiber_bit(f) << 16;
}

static inline const struct fiber **fiber_holder(const struct np_lock *lock)
{
	for (unsigned i = 0; i < FIBER_LOCKS; i++)
		if (fibers.lock[i] == lock)
			return &fibers.holder[i];
	return NULL;
}

static inline bool fiber_can(const struct fiber *f, unsigned buffers)
{
	return !f->ended && !f->waits &&
	       !(f->wants && *fiber_holder(f->wants)) &&
	       !(f->drained && f->ndelayed) && !(f->barrier && buffers);
}

static inline unsigned fiber_enabled(void)
{
	unsigned set = 0;

	for (unsigned i = 0; i < fibers.n; i++)
		if (fibers.fiber[i].ndelayed)
			set |= fiber_store_bit(&fibers.fiber[i]);
	for (unsigned i = 0; i < fibers.n; i++)
		if (fiber_can(&fibers.fiber[i], set >> 16))
			set |= fiber_bit(&fibers.fiber[i]);
	return set;
}

/* --- choosing ---------------------------------------------------------- */

/* What may come next: a step of a fiber, or its oldest store is seen. */
struct fiber_move {
	const struct fiber *fiber;
	const void *what;
	bool touches_all;
};

static inline struct fiber_move fiber_move(unsigned bit)
{
	unsigned n = np_log2(bit);
	const struct fiber *f = &fibers.fiber[n % 16];

	if (n >= 16)
		return (struct fiber_move){ f, f->delayed[0].what, false };
	/* A barrier is held up by any store. */
	return (struct fiber_move){ f, f->what, f->touches_all ||
				    (f->barrier && fibers.delayed) };
}

static inline bool fiber_touches(const struct fiber_move *m, const void *what)
{
	return what && (m->fiber->own == what || m->what == what);
}

static inline bool fiber_independent(const struct fiber_move *a,
				     const struct fiber_move *b)
{
	return fibers.reduced && a->fiber != b->fiber && !a->touches_all &&
	       !b->touches_all && !fiber_touches(a, b->fiber->own) &&
	       !fiber_touches(a, b->what);
}

/* Those of the set that still sleep when this one was chosen. */
static inline unsigned fiber_still_asleep(unsigned set, unsigned pick)
{
	struct fiber_move picked = fiber_move(pick);
	unsigned still = 0;

	while (set) {
		unsigned bit = set & -set;
		struct fiber_move m = fiber_move(bit);

		if (fiber_independent(&m, &picked))
			still |= bit;
		set &= ~bit;
	}
	return still;
}

static inline unsigned fiber_lowest(unsigned set)
{
	return set & -set;
}

/* Who goes on first where this is tried for the first time. */
static inline unsigned fiber_first(unsigned set)
{
	unsigned now = fiber_bit(fibers.now);

	return set & now ? now : fiber_lowest(set);
}

static inline unsigned fiber_choose(unsigned could)
{
	struct fiber_choice *c = &fibers.choice[fibers.depth];

	if (fibers.cut)
		return fiber_first(could);
	if (fibers.depth < fibers.nchoices) {
		if (c->could != could)
			fiber_fail("a schedule is not what it was before");
	} else if (!(could & ~fibers.sleeping)) {
		fibers.cut = true;
		return fiber_first(could);
	} else {
		*c = (struct fiber_choice){
			.could = could,
			.asleep = could & fibers.sleeping,
			.pick = fiber_first(could & ~fibers.sleeping),
		};
		fibers.nchoices++;
	}
	if (++fibers.depth == FIBER_STEPS)
		fiber_fail("a schedule does not end");
	fibers.sleeping = fiber_still_asleep(c->asleep | c->done, c->pick);
	return c->pick;
}

/* The next choices that were not tried; false: there are none. */
static inline bool fiber_next(void)
{
	while (fibers.nchoices) {
		struct fiber_choice *c = &fibers.choice[fibers.nchoices - 1];
		unsigned left;

		c->done |= c->pick;
		left = c->could & ~c->asleep & ~c->done;
		if (left) {
			c->pick = fiber_lowest(left);
			return true;
		}
		fibers.nchoices--;
	}
	return false;
}

/* --- changing over ----------------------------------------------------- */

#ifdef FIBER_ASAN
static inline void fiber_arrived(struct fiber *from)
{
	__sanitizer_finish_switch_fiber(NULL, &from->stack_bottom,
					&from->stack_size);
}
#else
#define fiber_arrived(from) ((void)(from))
#endif

static struct fiber *fiber_came_from;

/* The compiler's own jumps: those of C11 may not go from stack to stack, and
 * a fortified build checks it. Not inlined: a function may not hold both. */
static __attribute__((noinline)) _Noreturn void fiber_enter(struct fiber *f)
{
	if (f->begun)
		__builtin_longjmp(f->place, 1);
	f->begun = true;
	setcontext(&f->context);
	abort();
}

static inline void fiber_leave_for(struct fiber *to)
{
	struct fiber *from = fibers.now;

	fibers.now = to;
	fiber_came_from = from;
	from->begun = true;
	if (__builtin_setjmp(from->place) == 0)
		fiber_enter(to);
}

static inline void fiber_switch(struct fiber *to)
{
	struct fiber *from = fibers.now;

	if (from == to)
		return;
	fiber_changes((unsigned)(from - fibers.fiber),
		      (unsigned)(to - fibers.fiber));
#ifdef FIBER_ASAN
	void *fake;

	__sanitizer_start_switch_fiber(&fake, to->stack_bottom,
				       to->stack_size);
	fiber_leave_for(to);
	__sanitizer_finish_switch_fiber(fake, &fiber_came_from->stack_bottom,
					&fiber_came_from->stack_size);
#else
	fiber_leave_for(to);
#endif
}

static inline void fiber_note(const struct fiber *f, const char *func)
{
	if (fibers.nsteps == FIBER_STEPS)
		fiber_fail("a schedule does not end");
	fibers.step[fibers.nsteps++] = (struct fiber_step){
		f->name, func ? func : f->func, func ? 0 : f->line
	};
}

/* Chooses until some fiber goes on; the search if all have ended. */
static inline void fiber_go_on(void)
{
	unsigned could, pick;
	struct fiber *f;

	while ((could = fiber_enabled())) {
		pick = fiber_choose(could);
		f = &fibers.fiber[np_log2(pick) % 16];
		if (pick < 1u << 16) {
			fiber_note(f, NULL);
			fiber_switch(f);
			return;
		}
		fiber_note(f, "(its store is seen)");
		fiber_drain_one(f);
	}
	for (unsigned i = 0; i < fibers.n; i++)
		if (!fibers.fiber[i].ended)
			fiber_fail("deadlock");
	fiber_switch(FIBER_SEARCH);
}

/* Before the first choice each fiber runs to its first yield. */
static bool fiber_starting;

static inline void fiber_pause(void)
{
	if (fiber_starting)
		fiber_switch(FIBER_SEARCH);
	else
		fiber_go_on();
}

/* The next step of this fiber touches this. */
static inline void fiber_yield(const void *what, const char *func, int line)
{
	struct fiber *f = fibers.now;

	if (f == FIBER_SEARCH)
		return;
	f->what = what;
	f->func = func;
	f->line = line;
	fiber_pause();
	f->wants = NULL;
	f->drained = f->barrier = false;
}

/* --- locks and the barrier --------------------------------------------- */

static inline void fiber_lock(struct np_lock *lock, const char *func,
			      int line)
{
	const struct fiber **holder = fiber_holder(lock);
	struct fiber *f = fibers.now;

	if (f != FIBER_SEARCH) {
		f->drained = true;
		f->wants = holder ? lock : NULL;
		fiber_yield(lock, func, line);
	}
	if (!holder)
		np_lock(lock);
	else if (*holder)
		fiber_fail("a lock is taken twice");
	else
		*holder = f;
}

static inline void fiber_unlock(struct np_lock *lock, const char *func,
				int line)
{
	const struct fiber **holder = fiber_holder(lock);

	if (!holder) {
		fiber_drain(fibers.now);
		np_unlock(lock);
		return;
	}
	fibers.now->drained = true;
	fiber_yield(lock, func, line);
	fibers.now->drained = false;
	if (*holder != fibers.now)
		fiber_fail("a lock is dropped that is not held");
	*holder = NULL;
}

static inline bool fiber_barrier(const char *func, int line)
{
	fibers.now->barrier = true;
	fiber_yield(NULL, func, line);
	fibers.now->barrier = false;
	return true;
}

/* As pthread_cond_wait and pthread_cond_broadcast, of one condition. */
static inline void fiber_wait(struct np_lock *lock, const char *func,
			      int line)
{
	struct fiber *f = fibers.now;

	if (f == FIBER_SEARCH)
		fiber_fail("nobody is there to wait for");
	*fiber_holder(lock) = NULL;
	f->waits = true;
	f->wants = lock;
	fiber_yield(lock, func, line);
	*fiber_holder(lock) = f;
}

static inline void fiber_wake(void)
{
	for (unsigned i = 0; i < fibers.n; i++)
		fibers.fiber[i].waits = false;
}

/* --- a schedule --------------------------------------------------------- */

/* A fiber lives on from schedule to schedule: a context is made once. */
static inline void fiber_main(void)
{
	fiber_arrived(fiber_came_from);
	for (;;) {
		fibers.now->run();
		fibers.now->ended = true;
		fiber_pause();
	}
}

static inline void fiber_make(struct fiber *f)
{
	f->stack = malloc(FIBER_STACK);
	if (!f->stack || getcontext(&f->context) != 0)
		fiber_fail("no memory for a fiber");
	f->stack_bottom = f->stack;
	f->stack_size = FIBER_STACK;
	f->context.uc_stack.ss_sp = f->stack;
	f->context.uc_stack.ss_size = FIBER_STACK;
	f->context.uc_link = NULL;
	makecontext(&f->context, fiber_main, 0);
}

/* The next fiber of this schedule: runs nothing yet. */
static inline struct fiber *fiber_add(const char *name, void (*run)(void))
{
	struct fiber *f = &fibers.fiber[fibers.n++];

	if (!f->stack)
		fiber_make(f);
	f->name = name;
	f->run = run;
	f->own = f->what = NULL;
	f->touches_all = false;
	f->wants = NULL;
	f->waits = f->drained = f->barrier = f->ended = false;
	f->ndelayed = 0;
	return f;
}

/* Forgets the fibers of the last schedule. */
static inline void fiber_begin(void)
{
	fibers.n = fibers.depth = fibers.nsteps = fibers.sleeping = 0;
	fibers.cut = false;
	fibers.now = FIBER_SEARCH;
}

static inline void fiber_run(void)
{
	fiber_starting = true;
	for (unsigned i = 0; i < fibers.n; i++)
		fiber_switch(&fibers.fiber[i]);
	fiber_starting = false;
	fiber_go_on();
	fibers.nschedules += !fibers.cut;
}

#endif
