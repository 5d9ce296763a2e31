/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * lock: see lock.h.
 */
#include "lock.h"

/* Owner thread only. */
static _Thread_local bool forking __attribute__((tls_model("initial-exec")));

#ifdef NP_DEBUG
/* The locks that this thread holds, lowest rank first. Owner thread only. */
enum { MAX_HELD = NP_RANKS };
static _Thread_local const struct np_lock *held[MAX_HELD]
	__attribute__((tls_model("initial-exec")));
static _Thread_local unsigned nheld
	__attribute__((tls_model("initial-exec")));

static void note_taken(const struct np_lock *lock)
{
	if (nheld && held[nheld - 1]->rank >= lock->rank)
		np_die("lock order: rank %d is taken while rank %d is held",
		       (int)lock->rank, (int)held[nheld - 1]->rank);
	np_assert(nheld < MAX_HELD);
	held[nheld++] = lock;
}

static void note_dropped(const struct np_lock *lock)
{
	unsigned i = nheld;

	while (i && held[i - 1] != lock)
		i--;
	if (!i)
		np_die("lock of rank %d is dropped but not held",
		       (int)lock->rank);
	for (nheld--; i <= nheld; i++)
		held[i - 1] = held[i];
}
#else
#define note_taken(lock) ((void)0)
#define note_dropped(lock) ((void)0)
#endif

void np_lock_init(struct np_lock *lock, enum np_lock_rank rank)
{
	pthread_mutex_init(&lock->mutex, NULL);
	lock->rank = rank;
}

void np_lock(struct np_lock *lock)
{
	if (np_unlikely(forking))
		return;
	note_taken(lock);
	pthread_mutex_lock(&lock->mutex);
}

bool np_trylock(struct np_lock *lock)
{
	if (np_unlikely(forking))
		return true;
	if (pthread_mutex_trylock(&lock->mutex) != 0)
		return false;
	note_taken(lock);
	return true;
}

void np_unlock(struct np_lock *lock)
{
	if (np_unlikely(forking))
		return;
	note_dropped(lock);
	pthread_mutex_unlock(&lock->mutex);
}

bool np_lock_held(const struct np_lock *lock)
{
#ifdef NP_DEBUG
	for (unsigned i = 0; i < nheld; i++)
		if (held[i] == lock)
			return true;
	return forking;
#else
	(void)lock;
	return true;
#endif
}

void np_lock_forking(bool on)
{
	forking = on;
}

void np_lock_for_fork(struct np_lock *lock)
{
	pthread_mutex_lock(&lock->mutex);
}

void np_unlock_for_fork(struct np_lock *lock)
{
	pthread_mutex_unlock(&lock->mutex);
}
