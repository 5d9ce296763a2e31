/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * background: see background.h.
 */
#include "background.h"
#include "lock.h"
#include "os.h"
#include "pool.h"
#include "tick.h"

#include <signal.h>
#include <time.h>

#define STACK_SIZE (128 * NP_KIB) /* it calls nobody but us and the kernel */
#define QUIET_TICKS 5 /* that gave nothing back, until it sleeps for long: a
			 cache is found idle in one, emptied in the next, the
			 pages become aged in a third and go in a fourth */
#define LEAST_MS 10   /* it does not tick more often than this */
#define RETRY_MS 1000 /* until it is tried again to start it */

_Atomic int np_background_state;

/* Guards changes of the state; the condition tells the thread of one. */
static struct np_lock state_lock = NP_LOCK_INIT(NP_RANK_BACKGROUND);
static pthread_cond_t changed;
static bool have_cond;	   /* guarded by state_lock, like the rest */
static uint64_t not_before_ms; /* when it may start */
static bool has_failed;	       /* it could not be started last time */
static unsigned thread_number; /* which one is to run; others end */

static int state(void)
{
	return atomic_load_explicit(&np_background_state,
				    memory_order_relaxed);
}

static void set_state(enum np_background s)
{
	atomic_store_explicit(&np_background_state, s, memory_order_relaxed);
}

/* --- the thread -------------------------------------------------------- */

struct round {
	uint64_t now_ms, next_ms; /* the earliest tick to come; 0: none */
	bool is_busy;		  /* somebody came since the last round */
	bool is_over;		  /* no pool has anything left to give back */
};

static void tick_pool(struct np_pool *pool, void *arg)
{
	struct round *r = arg;
	size_t bytes = 0;
	uint64_t next;

	if (!atomic_load_explicit(&pool->tick_ms, memory_order_relaxed))
		return;
	if (r->is_busy)
		pool->quiet_ticks = 0;
	if (np_tick_if_due(pool, r->now_ms, &bytes))
		pool->quiet_ticks = bytes ? 0 : pool->quiet_ticks + 1;
	if (pool->quiet_ticks < QUIET_TICKS)
		r->is_over = false;
	next = atomic_load_explicit(&pool->next_tick_ms,
				    memory_order_relaxed);
	if (!r->next_ms || next < r->next_ms)
		r->next_ms = next;
}

/* Waits for a change until `ms` of the monotonic clock; 0: for ever. */
static void wait_until(uint64_t ms)
{
	struct timespec t = { .tv_sec = (time_t)(ms / 1000),
			      .tv_nsec = (long)(ms % 1000) * 1000000 };

	if (ms)
		pthread_cond_timedwait(&changed, &state_lock.mutex, &t);
	else
		pthread_cond_wait(&changed, &state_lock.mutex);
}

/* Is this thread still the one that is to run? */
static bool is_wanted(unsigned number)
{
	return number == thread_number && state() != NP_BACKGROUND_OFF;
}

/* Begins a round. Visits from here on are seen by the next. Returns false if
 * this thread is not wanted any more. */
static bool begin(struct round *r, unsigned number)
{
	bool wanted;

	*r = (struct round){ .now_ms = np_os_now_ms(), .is_over = true };
	np_lock(&state_lock);
	wanted = is_wanted(number);
	if (wanted) {
		r->is_busy = state() == NP_BACKGROUND_BUSY;
		set_state(NP_BACKGROUND_AWAKE);
	}
	np_unlock(&state_lock);
	return wanted;
}

/* Sleeps until the next tick; if nothing is left to do until somebody comes. */
static void rest(const struct round *r, unsigned number)
{
	uint64_t until = r->next_ms;

	if (until < r->now_ms + LEAST_MS)
		until = r->now_ms + LEAST_MS;
	np_lock(&state_lock);
	if (is_wanted(number)) {
		if (r->is_over && state() == NP_BACKGROUND_AWAKE)
			set_state(NP_BACKGROUND_ASLEEP);
		wait_until(state() == NP_BACKGROUND_ASLEEP ? 0 : until);
	}
	np_unlock(&state_lock);
}

static void *run(void *arg)
{
	unsigned number = (unsigned)(uintptr_t)arg;
	struct round r;

	pthread_setname_np(pthread_self(), "npool");
	while (begin(&r, number)) {
		np_pools_each(tick_pool, &r);
		rest(&r, number);
	}
	return NULL;
}

/* --- starting it ------------------------------------------------------- */

static bool start(unsigned number)
{
	sigset_t all, before;
	pthread_attr_t attr;
	pthread_t thread;
	int error;

	sigfillset(&all);
	if (pthread_attr_init(&attr) != 0)
		return false;
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&thread, &attr, run,
			       (void *)(uintptr_t)number);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	return !error;
}

static void make_cond(void)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&changed, &attr);
	pthread_condattr_destroy(&attr);
	have_cond = true;
}

/* Not while the program is being loaded, nor before it has begun: it may
 * want to do what only a process of one thread may. */
static bool may_start(void)
{
	return np_os_now_ms() >= not_before_ms ||
	       (!has_failed &&
		np_count_get(&np_pool.segment.header->threads) > 1);
}

void np_background_act(void)
{
	unsigned number = 0;

	np_lock(&state_lock);
	if (state() == NP_BACKGROUND_WANTED) {
		if (may_start())
			number = ++thread_number;
	} else if (state() == NP_BACKGROUND_ASLEEP) {
		pthread_cond_broadcast(&changed);
	}
	if (number || state() > NP_BACKGROUND_BUSY)
		set_state(NP_BACKGROUND_BUSY);
	np_unlock(&state_lock);
	/* This may call malloc: no lock is held. */
	if (number && !start(number)) {
		np_lock(&state_lock);
		not_before_ms = np_os_now_ms() + RETRY_MS;
		has_failed = true;
		if (number == thread_number)
			set_state(NP_BACKGROUND_WANTED);
		np_unlock(&state_lock);
	}
}

void np_background_set(bool on)
{
	np_lock(&state_lock);
	if (!have_cond)
		make_cond();
	if (on && state() == NP_BACKGROUND_OFF) {
		not_before_ms = np_os_now_ms() + NP_BACKGROUND_AFTER_MS;
		set_state(NP_BACKGROUND_WANTED);
	} else if (!on && state() != NP_BACKGROUND_OFF) {
		set_state(NP_BACKGROUND_OFF);
		thread_number++;
		pthread_cond_broadcast(&changed);
	}
	np_unlock(&state_lock);
}

/* --- fork -------------------------------------------------------------- */

void np_background_lock(void)
{
	np_lock_for_fork(&state_lock);
}

void np_background_unlock(void)
{
	np_unlock_for_fork(&state_lock);
}

void np_background_forked(void)
{
	if (have_cond)
		make_cond();
	if (state() == NP_BACKGROUND_OFF)
		return;
	/* Most children only want to go on to another program. */
	not_before_ms = np_os_now_ms() + NP_BACKGROUND_AFTER_MS;
	set_state(NP_BACKGROUND_WANTED);
}
