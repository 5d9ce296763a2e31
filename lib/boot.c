/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * boot: see boot.h.
 */
#include "boot.h"

#include <stdatomic.h>

#define ROOM (128 * NP_KIB) /* libnuma takes 50 KiB, and 1 KiB for each node */
#define ALIGN_MAX ((size_t)4096)

struct head {
	size_t size;
	uintptr_t self;
};

static _Alignas(ALIGN_MAX) char memory[ROOM];
/* Atomic: acquire, release: who gets bytes again sees what the one before did
 * with them. */
static NP_USED_AT_START atomic_size_t used;

static struct head *head_of(const void *p)
{
	return (struct head *)((uintptr_t)p - sizeof(struct head));
}

void *np_boot_alloc(size_t size, size_t align)
{
	size_t at = atomic_load_explicit(&used, memory_order_relaxed);
	size_t start;

	if (align < sizeof(struct head))
		align = sizeof(struct head);
	if (size > ROOM || align > ALIGN_MAX)
		return NULL;
	do {
		start = np_round_up(at + sizeof(struct head), align);
		if (start > ROOM || size > ROOM - start)
			return NULL;
	} while (!atomic_compare_exchange_weak_explicit(
		&used, &at, np_round_up(start + size, sizeof(struct head)),
		memory_order_acq_rel, memory_order_relaxed));
	*head_of(memory + start) = (struct head){
		.size = size, .self = (uintptr_t)memory + start };
	return memory + start;
}

bool np_boot_owns(const void *p)
{
	return (uintptr_t)p - (uintptr_t)memory < ROOM;
}

/* Whatever p is, its head lies in the stretch: a piece has one before it. */
static bool is_live(const void *p)
{
	uintptr_t at = (uintptr_t)p - (uintptr_t)memory;

	return at % sizeof(struct head) == 0 && at >= sizeof(struct head) &&
	       head_of(p)->self == (uintptr_t)p;
}

size_t np_boot_size(const void *p, const char *what)
{
	if (!is_live(p))
		np_die("%s(%p): not a live piece: it lies among those that "
		       "were allocated before the pool started", what, p);
	return head_of(p)->size;
}

void np_boot_free(void *p)
{
	size_t end = (size_t)((char *)p - memory) + np_boot_size(p, "free");

	end = np_round_up(end, sizeof(struct head));
	head_of(p)->self = 0;
	/* Only if it is the last one. */
	atomic_compare_exchange_strong_explicit(
		&used, &end, (size_t)((char *)head_of(p) - memory),
		memory_order_acq_rel, memory_order_relaxed);
}

bool np_boot_used(void)
{
	return atomic_load_explicit(&used, memory_order_relaxed) > 0;
}
