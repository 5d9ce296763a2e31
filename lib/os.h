/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * os: the kernel behind one table. Nothing else in lib/ maps, binds, advises
 * or unmaps memory. The calls are raw system calls, so neither libnuma nor an
 * interposed libc stands in between; tests replace the table to count calls
 * and to make the n-th of them fail. Of shared memory they are the C library's,
 * which knows the machines where these are one system call.
 *
 *	np_os_reserve   address space only (PROT_NONE), aligned
 *	np_os_bind      says which node its pages shall come from
 *	np_os_commit    makes it readable and writable
 *
 * in this order, so that mlockall(MCL_FUTURE) cannot populate a page before
 * its policy stands (HACKING: NUMA rule 1).
 *
 * Source: mmap(2), mbind(2), madvise(2), move_pages(2), getcpu(2), mlock(2),
 * membarrier(2), sysinfo(2), shmget(2), shmat(2); transhuge and hugetlbpage in
 * the kernel's Documentation/admin-guide/mm.
 */
#ifndef NP_OS_H
#define NP_OS_H

#include "base.h"

#include <sys/types.h>

struct shmid_ds; /* sys/shm.h */

/* Each entry has the contract of the system call of its name: -1 (or
 * MAP_FAILED, which is shmat's too) and errno on failure. */
struct np_os {
	void *(*mmap)(void *addr, size_t size, int prot, int flags, int fd,
		      off_t offset);
	int (*munmap)(void *addr, size_t size);
	int (*mprotect)(void *addr, size_t size, int prot);
	int (*madvise)(void *addr, size_t size, int advice);
	void *(*mremap)(void *addr, size_t old_size, size_t new_size,
			int flags, void *new_addr);
	int (*mbind)(void *addr, size_t size, int mode,
		     const unsigned long *mask, unsigned long maxnode,
		     unsigned flags);
	int (*get_mempolicy)(int *mode, unsigned long *mask,
			     unsigned long maxnode, void *addr,
			     unsigned long flags);
	int (*move_pages)(pid_t pid, unsigned long count, void **pages,
			  const int *nodes, int *status, int flags);
	int (*getcpu)(unsigned *cpu, unsigned *node);
	int (*name)(void *addr, size_t size, const char *name);
	int (*mlock)(const void *addr, size_t size);
	int (*membarrier)(int command, unsigned flags);
	int (*shmget)(key_t key, size_t size, int flags);
	void *(*shmat)(int id, const void *addr, int flags);
	int (*shmctl)(int id, int command, struct shmid_ds *about);
	size_t (*page_size)(void); /* sysconf(_SC_PAGESIZE) */
	uint64_t (*now_ms)(void);  /* as np_os_now_ms */
};

/* What Linux does. */
extern const struct np_os np_os_linux;

/* The table in force. Written while one thread runs, by tests, and by
 * npool-trace, which replays at the time and on the CPUs of a recording. */
extern const struct np_os *np_os;

/* Reserves size bytes of address space, no access, at a multiple of align.
 * size: a multiple of the system page. align: a power of two, at least a
 * system page.
 * Returns its address, or NULL with errno (ENOMEM).
 * Threads: any. */
void *np_os_reserve(size_t size, size_t align);

/* Reserves exactly this range. Returns false if any of it is in use. */
bool np_os_reserve_at(void *addr, size_t size);

/* The kernel's huge pages: which of them memory shall lie in. */
enum np_huge_pages {
	NP_PAGES_DEFAULT, /* as the kernel is set */
	NP_PAGES_OFF,	  /* in none */
	NP_PAGES_THP,	  /* transparent ones, where it has them */
	NP_PAGES_HUGETLB, /* those that a node keeps in reserve; what is not to
			     be had there as NP_PAGES_THP */
};

/* Bytes of one, of either kind: x86_64's, and aarch64's with pages of 4 KiB. */
#define NP_HUGE_PAGE (2 * NP_MIB)

/* As np_os_reserve, of the huge pages that nodes keep in reserve; as many are
 * set aside for this mapping, of whichever nodes have them. size and align:
 * multiples of a huge page.
 * Returns NULL: there are not so many, or the kernel has none. */
void *np_os_reserve_hugetlb(size_t size, size_t align);

/* Tells the kernel about huge pages, of memory that is not NP_PAGES_DEFAULT.
 * Returns 0 or a positive errno (EINVAL: it has no transparent ones). */
int np_os_advise(void *addr, size_t size, enum np_huge_pages pages);

/* Makes reserved memory readable and writable; its pages read as zero.
 * Returns 0 or a positive errno. */
int np_os_commit(void *addr, size_t size);

/* Where pages shall come from: a kernel node, NP_ANYWHERE, or one of the sets
 * of nodes, page by page. */
#define NP_ANYWHERE (-1)
#define NP_INTERLEAVED(set) (-2 - (int)(set)) /* set: 0 .. NP_MAX_POOLS - 1 */

/* A bit for each kernel node. */
struct np_os_nodes {
	unsigned long word[NP_MAX_NODES / (8 * sizeof(unsigned long))];
};

static inline void np_os_nodes_add(struct np_os_nodes *nodes, unsigned n)
{
	nodes->word[n / 64] |= 1ul << n % 64;
}

/* Says what NP_INTERLEAVED(set) is. Before memory is bound to it. */
void np_os_interleave(unsigned set, const struct np_os_nodes *nodes);

/* Prefers `where` for the pages of [addr, addr + size) whoever touches them
 * first; NP_ANYWHERE: nothing is called.
 * Returns 0 or a positive errno (EPERM, ENOSYS where containers deny it). */
int np_os_bind(void *addr, size_t size, int where);

/* The same, and from no other node: touching a page there faults when the
 * node has none left. For pages of a reserve that np_os_populate takes at
 * once, which then fails instead. */
int np_os_bind_only(void *addr, size_t size, int where);

/* Names the range in /proc/PID/maps, where the kernel can: "npool WHAT", with
 * the node's number behind it if that is not below 0. Keeps errno. */
void np_os_label(void *addr, size_t size, const char *what, int node);

/* Maps the target of a mremap that failed again, if it is gone, as it can be
 * before Linux 6.17. Returns false if there is no memory for that. */
bool np_os_restore(void *addr, size_t size, int where,
		   enum np_huge_pages pages);

/* Gives huge pages of a reserve back: ordinary memory, with NP_PAGES_THP, takes
 * their place and reads as zero. Merely purged, they would be taken anew by
 * who touches them, and that ends the process if none is left.
 * Returns 0 or a positive errno: they are still there. */
int np_os_replace_hugetlb(void *addr, size_t size, int where);

/* Gives the pages back, keeps the range: it reads as zero again. Locked pages
 * need the newer advice, which is tried second.
 * Returns 0 or a positive errno; EINVAL if these are not whole system pages. */
int np_os_purge(void *addr, size_t size);

/* The same for a mapping that others share, of memory or a file: they see
 * zeroes, too. Returns 0 or a positive errno; EOPNOTSUPP if the file system
 * cannot. */
int np_os_punch(void *addr, size_t size);

/* Unmaps. Returns 0 or a positive errno: the range is then still mapped. */
int np_os_release(void *addr, size_t size);

/* The bytes of address space that the process may map (RLIMIT_AS), or
 * SIZE_MAX. */
size_t np_os_address_limit(void);

/* The bytes of memory that the machine has, or 0: it is not told. */
size_t np_os_memory(void);

/* The bytes that a file may have (RLIMIT_FSIZE), or SIZE_MAX. Who asks for a
 * larger one is sent a signal that ends the process. */
size_t np_os_file_limit(void);

/* The size of a system page, in bytes. */
size_t np_os_page_size(void);

/* The CPU that this thread runs on, or 0 if nobody tells. */
unsigned np_os_cpu(void);

/* The kernel's number of the node of that CPU, or -1. */
int np_os_node(void);

/* The word in which the kernel keeps this thread's CPU number (rseq(2)), or
 * NULL if it keeps none. Valid until the thread ends. */
const volatile uint32_t *np_os_cpu_word(void);

/* Milliseconds of a clock that never goes back; coarse and cheap. */
static inline uint64_t np_os_now_ms(void)
{
	return np_os->now_ms();
}

/* Writes all n bytes of text; goes on behind signals. Returns 0 or a positive
 * errno. */
int np_os_write(int fd, const char *text, size_t n);

/* A shared, readable and writable mapping of fd.
 * Returns NULL with errno. */
void *np_os_map_file(int fd, size_t size);

/* New System V shared memory of this process, readable and writable, that reads
 * as zero. Its key has the upper 16 bits of `key`, which others see in the
 * process's maps; processes of the same user can attach it until the last one
 * that has it mapped unmaps it, or ends. np_os_release unmaps it.
 * Returns NULL with errno: ENOSPC, there are too many; ENOSYS or EPERM, the
 * kernel or a container has none. */
void *np_os_map_shared(uint32_t key, size_t size);

/* Allocates the pages of [addr, addr + size), so that touching them cannot
 * fault. Returns 0 or a positive errno (EINVAL before Linux 5.14, and if these
 * are not whole system pages; EFAULT or ENOMEM: the policy's nodes have no
 * more). */
int np_os_populate(void *addr, size_t size);

/* The same with kernels that cannot be told to: by writing to each page, which
 * leaves what it holds. The range may begin and end within a page. */
int np_os_warm(void *addr, size_t size);

/* Where system pages are, in bytes. */
struct np_os_pages {
	size_t seen;  /* in memory */
	size_t away;  /* of them on another node than they were asked about */
	size_t moved; /* of them brought to that node by np_os_fetch */
};

/* Adds to *pages where those of [addr, addr + size) are: asks the kernel about
 * one page every `step` bytes, which are whole pages.
 * Returns 0 or a positive errno (EPERM, ENOSYS where containers deny it). */
int np_os_look(const void *addr, size_t size, size_t step, int node,
	       struct np_os_pages *pages);

/* Brings pages of [addr, addr + size) that are elsewhere to the node. The
 * kernel makes room there by dropping page cache, and ends no process for it.
 * Adds to *pages what np_os_look would say afterwards.
 * Returns 0, or a positive errno if some stay away: ENOMEM, there is no room;
 * EBUSY, they are in use by the kernel or another process; or as np_os_look. */
int np_os_fetch(void *addr, size_t size, int node, struct np_os_pages *pages);

/* Brings all pages of the range into memory, on this node. The range may begin
 * and end within a page. Returns 0, or as np_os_fetch: then some of them may be
 * in memory, somewhere. */
int np_os_place(void *addr, size_t size, int node);

/* Keeps the pages in memory. Returns 0 or a positive errno. */
int np_os_lock(const void *addr, size_t size);

/* Makes np_os_barrier work. Returns false where the kernel denies it. Again
 * in a forked child. */
bool np_os_barrier_init(void);

/* Every running thread of the process passes a full memory barrier before
 * this returns; those that do not run have passed one. Returns false where the
 * kernel has not done it, although it said that it would: it lacks memory, or a
 * filter of system calls has come since. Keeps errno. */
bool np_os_barrier(void);

#endif
