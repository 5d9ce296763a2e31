/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * faultos: the kernel's table (lib/os.h) with a counter before each call, and
 * one call of your choice that fails.
 *
 *	faultos_begin();
 *	for (unsigned n = 1; faultos_fail(n, ENOMEM), p = thing_create(),
 *	     faultos_failed(); n++)
 *		... p is NULL, and faultos_mapped() is what it was before
 *	faultos_fail(0, 0);
 *	... p is made: it takes n - 1 calls
 *	faultos_end();
 *
 * Mapped are the bytes that were mmap()ed or shmat()ed and not munmap()ed since
 * faultos_begin. A munmap that is made to fail leaves its range mapped, as
 * the kernel would: faultos_failed() tells which call it was.
 *
 * Threads: any may make calls; begin, fail and end only while there is one.
 */
#ifndef FAULTOS_H
#define FAULTOS_H

#include "meta.h"
#include "os.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/shm.h>

enum faultos_call {
	FAULTOS_NONE,
	FAULTOS_MMAP,
	FAULTOS_MUNMAP,
	FAULTOS_MPROTECT,
	FAULTOS_MADVISE,
	FAULTOS_MREMAP,
	FAULTOS_MBIND,
	FAULTOS_GET_MEMPOLICY,
	FAULTOS_MOVE_PAGES,
	FAULTOS_GETCPU,
	FAULTOS_NAME,
	FAULTOS_MLOCK,
	FAULTOS_MEMBARRIER,
	FAULTOS_SHMGET,
	FAULTOS_SHMAT,
	FAULTOS_SHMCTL,
	FAULTOS_CALLS,
};

static struct {
	atomic_ulong calls;	       /* since faultos_fail */
	atomic_ulong count[FAULTOS_CALLS]; /* of each, since faultos_begin */
	unsigned long fail_at;	       /* 0: none */
	int error;
	_Atomic enum faultos_call failed; /* NONE: not yet */
	atomic_size_t mapped;
	void *hint;		       /* where mmap puts what may lie anywhere,
					  if there is room; NULL: as it likes */
	bool hugetlb;		       /* ordinary pages stand for the huge ones
					  of a reserve; false: it has none */
} faultos;

/* Counts a call. Shall it fail? errno is then set. */
static inline bool faultos_hit(enum faultos_call call)
{
	unsigned long n = atomic_fetch_add(&faultos.calls, 1) + 1;

	atomic_fetch_add(&faultos.count[call], 1);
	if (n != faultos.fail_at)
		return false;
	atomic_store(&faultos.failed, call);
	errno = faultos.error;
	return true;
}

static inline void *faultos_mmap(void *addr, size_t size, int prot, int flags,
				 int fd, off_t offset)
{
	void *p;

	if (faultos_hit(FAULTOS_MMAP))
		return MAP_FAILED;
	if (flags & MAP_HUGETLB && !faultos.hugetlb) {
		errno = ENOMEM;
		return MAP_FAILED;
	}
	if (flags & MAP_HUGETLB)
		flags &= ~(MAP_HUGETLB |
			   (int)((unsigned)MAP_HUGE_MASK << MAP_HUGE_SHIFT));
	p = np_os_linux.mmap(addr ? addr : faultos.hint, size, prot, flags,
			     fd, offset);
	if (p != MAP_FAILED)
		atomic_fetch_add(&faultos.mapped,
				 np_round_up(size, np_os_page_size()));
	return p;
}

static inline int faultos_munmap(void *addr, size_t size)
{
	if (faultos_hit(FAULTOS_MUNMAP))
		return -1;
	if (np_os_linux.munmap(addr, size))
		return -1;
	atomic_fetch_sub(&faultos.mapped,
			 np_round_up(size, np_os_page_size()));
	return 0;
}

static inline int faultos_mprotect(void *addr, size_t size, int prot)
{
	return faultos_hit(FAULTOS_MPROTECT)
		? -1 : np_os_linux.mprotect(addr, size, prot);
}

static inline int faultos_madvise(void *addr, size_t size, int advice)
{
	return faultos_hit(FAULTOS_MADVISE)
		? -1 : np_os_linux.madvise(addr, size, advice);
}

static inline void *faultos_mremap(void *addr, size_t old_size,
				   size_t new_size, int flags, void *new_addr)
{
	void *p;

	if (faultos_hit(FAULTOS_MREMAP))
		return MAP_FAILED;
	p = np_os_linux.mremap(addr, old_size, new_size, flags, new_addr);
	if (p == MAP_FAILED)
		return p;
	if (flags & MREMAP_FIXED && !(flags & MREMAP_DONTUNMAP))
		atomic_fetch_sub(&faultos.mapped, new_size); /* the target's */
	atomic_fetch_add(&faultos.mapped, new_size - old_size);
	return p;
}

static inline int faultos_mbind(void *addr, size_t size, int mode,
				const unsigned long *mask,
				unsigned long maxnode, unsigned flags)
{
	return faultos_hit(FAULTOS_MBIND)
		? -1 : np_os_linux.mbind(addr, size, mode, mask, maxnode,
					 flags);
}

static inline int faultos_get_mempolicy(int *mode, unsigned long *mask,
					unsigned long maxnode, void *addr,
					unsigned long flags)
{
	return faultos_hit(FAULTOS_GET_MEMPOLICY)
		? -1 : np_os_linux.get_mempolicy(mode, mask, maxnode, addr,
						 flags);
}

static inline int faultos_move_pages(pid_t pid, unsigned long count,
				     void **pages, const int *nodes,
				     int *status, int flags)
{
	return faultos_hit(FAULTOS_MOVE_PAGES)
		? -1 : np_os_linux.move_pages(pid, count, pages, nodes,
					      status, flags);
}

static inline int faultos_getcpu(unsigned *cpu, unsigned *node)
{
	return faultos_hit(FAULTOS_GETCPU) ? -1
					   : np_os_linux.getcpu(cpu, node);
}

static inline int faultos_name(void *addr, size_t size, const char *name)
{
	return faultos_hit(FAULTOS_NAME)
		? -1 : np_os_linux.name(addr, size, name);
}

static inline int faultos_mlock(const void *addr, size_t size)
{
	return faultos_hit(FAULTOS_MLOCK)
		? -1 : np_os_linux.mlock(addr, size);
}

static inline int faultos_membarrier(int command, unsigned flags)
{
	return faultos_hit(FAULTOS_MEMBARRIER)
		? -1 : np_os_linux.membarrier(command, flags);
}

static inline int faultos_shmget(key_t key, size_t size, int flags)
{
	return faultos_hit(FAULTOS_SHMGET)
		? -1 : np_os_linux.shmget(key, size, flags);
}

static inline void *faultos_shmat(int id, const void *addr, int flags)
{
	struct shmid_ds about;
	void *p;

	if (faultos_hit(FAULTOS_SHMAT) ||
	    np_os_linux.shmctl(id, IPC_STAT, &about) != 0)
		return MAP_FAILED;
	p = np_os_linux.shmat(id, addr, flags);
	if (p != MAP_FAILED)
		atomic_fetch_add(&faultos.mapped,
				 np_round_up(about.shm_segsz,
					     np_os_page_size()));
	return p;
}

static inline int faultos_shmctl(int id, int command, struct shmid_ds *about)
{
	bool failed = faultos_hit(FAULTOS_SHMCTL);
	int status = np_os_linux.shmctl(id, command, about);

	/* What shall be removed is, in any case: it would outlive the test. */
	if (failed)
		errno = faultos.error;
	return failed ? -1 : status;
}

static inline size_t faultos_page_size(void)
{
	return np_os_linux.page_size();
}

static inline uint64_t faultos_now_ms(void)
{
	return np_os_linux.now_ms();
}

static const struct np_os faultos_table = {
	.mmap = faultos_mmap,
	.munmap = faultos_munmap,
	.mprotect = faultos_mprotect,
	.madvise = faultos_madvise,
	.mremap = faultos_mremap,
	.mbind = faultos_mbind,
	.get_mempolicy = faultos_get_mempolicy,
	.move_pages = faultos_move_pages,
	.getcpu = faultos_getcpu,
	.name = faultos_name,
	.mlock = faultos_mlock,
	.membarrier = faultos_membarrier,
	.shmget = faultos_shmget,
	.shmat = faultos_shmat,
	.shmctl = faultos_shmctl,
	.page_size = faultos_page_size,
	.now_ms = faultos_now_ms,
};

/* From the next call on, the n-th fails with this errno; 0: none. */
static inline void faultos_fail(unsigned long n, int error)
{
	atomic_store(&faultos.calls, 0);
	atomic_store(&faultos.failed, FAULTOS_NONE);
	faultos.fail_at = n;
	faultos.error = error;
}

static inline void faultos_begin(void)
{
	faultos_fail(0, 0);
	for (int i = 0; i < FAULTOS_CALLS; i++)
		atomic_store(&faultos.count[i], 0);
	atomic_store(&faultos.mapped, 0);
	faultos.hint = NULL;
	faultos.hugetlb = false;
	np_os = &faultos_table;
}

static inline void faultos_end(void)
{
	np_os = &np_os_linux;
}

/* Which call was made to fail since faultos_fail; NONE: none yet. */
static inline enum faultos_call faultos_failed(void)
{
	return atomic_load(&faultos.failed);
}

static inline size_t faultos_mapped(void)
{
	return atomic_load(&faultos.mapped);
}

static inline unsigned long faultos_count(enum faultos_call call)
{
	return atomic_load(&faultos.count[call]);
}

/* Metadata that is kept serves without a call (meta.h): takes all of it that so
 * many homes have, for good. Returns its bytes. Leaves no call to fail. */
static inline size_t faultos_use_up_kept(unsigned nhomes)
{
	size_t bytes = 0;

	for (unsigned home = 0; home < nhomes; home++)
		for (size_t size = 16 * NP_KIB; size <= 64 * NP_KIB;
		     size += np_os_page_size()) {
			faultos_fail(1, ENOMEM);
			while (np_meta_alloc((np_home_t)home, size))
				bytes += size;
		}
	faultos_fail(0, 0);
	return bytes;
}

#endif
