/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * os: see os.h.
 */
#include "os.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <sched.h>	    /* getcpu: the vDSO's */
#include <stdio.h>	    /* snprintf */
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h> /* getrlimit */
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <time.h>
#include <unistd.h>

#if __has_include(<sys/rseq.h>)
#include <sys/rseq.h> /* __rseq_offset, __rseq_size: glibc >= 2.35 */
#define HAVE_RSEQ 1
#endif

/* Kernel numbers that Debian 12's headers may lack. */
#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif
#define MPOL_PREFERRED 1 /* linux/mempolicy.h; here without libnuma */
#define MPOL_BIND 2
#define MPOL_INTERLEAVE 3
#ifndef MAP_HUGE_SHIFT
#define MAP_HUGE_SHIFT 26
#endif
/* This size, whichever the machine presets. */
#define HUGETLB_FLAGS (MAP_HUGETLB | 21 << MAP_HUGE_SHIFT)

/* The thread sanitizer does not see raw system calls: it is told that what
 * comes from the kernel was given to it before. */
#ifdef __has_feature
#if __has_feature(thread_sanitizer)
#define NP_TSAN 1
#endif
#endif
#if defined NP_TSAN || defined __SANITIZE_THREAD__
#include <sanitizer/tsan_interface.h>
static char kernel;
#define to_kernel() __tsan_release(&kernel)
#define from_kernel() __tsan_acquire(&kernel)
#else
#define to_kernel() ((void)0)
#define from_kernel() ((void)0)
#endif

static void *linux_mmap(void *addr, size_t size, int prot, int flags, int fd,
			off_t offset)
{
	void *p = (void *)syscall(SYS_mmap, addr, size, prot, flags, fd,
				  offset);

	from_kernel();
	return p;
}

static int linux_munmap(void *addr, size_t size)
{
	to_kernel();
	return (int)syscall(SYS_munmap, addr, size);
}

static int linux_mprotect(void *addr, size_t size, int prot)
{
	return (int)syscall(SYS_mprotect, addr, size, prot);
}

static int linux_madvise(void *addr, size_t size, int advice)
{
	return (int)syscall(SYS_madvise, addr, size, advice);
}

static void *linux_mremap(void *addr, size_t old_size, size_t new_size,
			  int flags, void *new_addr)
{
	to_kernel();
	return (void *)syscall(SYS_mremap, addr, old_size, new_size, flags,
			       new_addr);
}

static int linux_mbind(void *addr, size_t size, int mode,
		       const unsigned long *mask, unsigned long maxnode,
		       unsigned flags)
{
	return (int)syscall(SYS_mbind, addr, size, mode, mask, maxnode, flags);
}

static int linux_get_mempolicy(int *mode, unsigned long *mask,
			       unsigned long maxnode, void *addr,
			       unsigned long flags)
{
	return (int)syscall(SYS_get_mempolicy, mode, mask, maxnode, addr,
			    flags);
}

static int linux_move_pages(pid_t pid, unsigned long count, void **pages,
			    const int *nodes, int *status, int flags)
{
	return (int)syscall(SYS_move_pages, pid, count, pages, nodes, status,
			    flags);
}

static int linux_getcpu(unsigned *cpu, unsigned *node)
{
	return getcpu(cpu, node);
}

static int linux_name(void *addr, size_t size, const char *name)
{
	return prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, (unsigned long)addr,
		     size, (unsigned long)name);
}

static int linux_mlock(const void *addr, size_t size)
{
	return (int)syscall(SYS_mlock, addr, size);
}

static int linux_membarrier(int command, unsigned flags)
{
	return (int)syscall(SYS_membarrier, command, flags, 0);
}

static size_t linux_page_size(void)
{
	/* Atomic enough: each writer writes the same. */
	static NP_USED_AT_START size_t size;
	size_t seen = __atomic_load_n(&size, __ATOMIC_RELAXED);

	if (!seen) {
		seen = (size_t)sysconf(_SC_PAGESIZE);
		__atomic_store_n(&size, seen, __ATOMIC_RELAXED);
	}
	return seen;
}

static void *linux_shmat(int id, const void *addr, int flags)
{
	void *p = shmat(id, addr, flags);

	from_kernel();
	return p;
}

static uint64_t linux_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

const struct np_os np_os_linux = {
	.mmap = linux_mmap,
	.munmap = linux_munmap,
	.mprotect = linux_mprotect,
	.madvise = linux_madvise,
	.mremap = linux_mremap,
	.mbind = linux_mbind,
	.get_mempolicy = linux_get_mempolicy,
	.move_pages = linux_move_pages,
	.getcpu = linux_getcpu,
	.name = linux_name,
	.mlock = linux_mlock,
	.membarrier = linux_membarrier,
	.shmget = shmget,
	.shmat = linux_shmat,
	.shmctl = shmctl,
	.page_size = linux_page_size,
	.now_ms = linux_now_ms,
};

const struct np_os *np_os = &np_os_linux;

static void *reserve_at(void *addr, size_t size, int flags)
{
	/* Not MAP_NORESERVE: the kernel shall refuse at np_os_commit what it
	 * cannot have, not kill a process later. */
	void *p = np_os->mmap(addr, size, PROT_NONE,
			      flags | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

/* Cuts [base, base + total) down to size bytes at a multiple of align. A part
 * that the kernel will not unmap stays behind as bare address space. */
static void *trim_to(char *base, size_t total, size_t size, size_t align)
{
	size_t lead = (align - ((uintptr_t)base & (align - 1))) & (align - 1);
	size_t tail = total - lead - size;

	if (lead)
		np_os_release(base, lead);
	if (tail)
		np_os_release(base + lead + size, tail);
	return base + lead;
}

bool np_os_reserve_at(void *addr, size_t size)
{
	void *p = reserve_at(addr, size, MAP_FIXED_NOREPLACE);

	if (p && p != addr)
		np_os_release(p, size); /* a kernel that takes it as a hint */
	return p && p == addr;
}

static void *reserve(size_t size, size_t align)
{
	size_t total;
	char *p = reserve_at(NULL, size, 0), *below;

	/* The kernel stacks mappings: behind an aligned one comes another. */
	if (!p || !((uintptr_t)p & (align - 1)))
		return p;
	if (np_os_release(p, size) != 0)
		return NULL;
	/* It stacks them downwards: below there is room, most likely. */
	below = (char *)((uintptr_t)p & ~(align - 1));
	if (np_os_reserve_at(below, size))
		return below;
	if (__builtin_add_overflow(size, align - np_os_page_size(), &total))
		return NULL;
	p = reserve_at(NULL, total, 0);
	return p ? trim_to(p, total, size, align) : NULL;
}

void *np_os_reserve(size_t size, size_t align)
{
	int saved = errno;
	void *p = reserve(size, align);

	/* What failed on the way does not matter to who got it. */
	errno = p ? saved : ENOMEM;
	return p;
}

void *np_os_reserve_hugetlb(size_t size, size_t align)
{
	void *at = np_os_reserve(size, align), *p;

	/* Not over the reserved range: a mmap that fails may have unmapped
	 * what was there (before Linux 6.13), and others could map into it. */
	if (!at || np_os_release(at, size) != 0)
		return NULL;
	p = reserve_at(at, size, HUGETLB_FLAGS | MAP_FIXED_NOREPLACE);
	if (p && p != at) {
		np_os_release(p, size);
		return NULL;
	}
	return p;
}

int np_os_commit(void *addr, size_t size)
{
	return np_os->mprotect(addr, size, PROT_READ | PROT_WRITE) ? errno : 0;
}

/* By set; written before memory is bound to one. */
static struct np_os_nodes interleaved[NP_MAX_POOLS];

void np_os_interleave(unsigned set, const struct np_os_nodes *nodes)
{
	interleaved[set] = *nodes;
}

/* mode: of one node. */
static int bind(void *addr, size_t size, int where, int mode)
{
	struct np_os_nodes one = { { 0 } };
	const struct np_os_nodes *nodes = &one;

	if (where == NP_ANYWHERE)
		return 0;
	if (where >= NP_MAX_NODES)
		return EINVAL;
	if (where < NP_ANYWHERE) {
		mode = MPOL_INTERLEAVE;
		nodes = &interleaved[NP_INTERLEAVED(0) - where];
	} else {
		np_os_nodes_add(&one, (unsigned)where);
	}
	/* The kernel looks at maxnode - 1 bits (get_nodes in mempolicy.c). */
	return np_os->mbind(addr, size, mode, nodes->word, NP_MAX_NODES + 1,
			    0) ? errno : 0;
}

int np_os_bind(void *addr, size_t size, int where)
{
	return bind(addr, size, where, MPOL_PREFERRED);
}

int np_os_bind_only(void *addr, size_t size, int where)
{
	return bind(addr, size, where, MPOL_BIND);
}

int np_os_advise(void *addr, size_t size, enum np_huge_pages pages)
{
	int advice = pages == NP_PAGES_OFF ? MADV_NOHUGEPAGE : MADV_HUGEPAGE;

	if (pages == NP_PAGES_DEFAULT)
		return 0;
	return np_os->madvise(addr, size, advice) ? errno : 0;
}

static int make_ready(void *addr, size_t size, int where,
		      enum np_huge_pages pages)
{
	np_os_bind(addr, size, where);
	np_os_advise(addr, size, pages);
	return np_os_commit(addr, size);
}

bool np_os_restore(void *addr, size_t size, int where, enum np_huge_pages pages)
{
	errno = 0;
	if (!np_os_reserve_at(addr, size)) /* is it still there? */
		return !errno || errno == EEXIST;
	return make_ready(addr, size, where, pages) == 0;
}

int np_os_replace_hugetlb(void *addr, size_t size, int where)
{
	/* Made elsewhere and moved: in place it could fail half-way. */
	void *p = np_os_reserve(size, np_os_page_size());
	int error;

	if (!p)
		return ENOMEM;
	error = make_ready(p, size, where, NP_PAGES_THP);
	if (!error && np_os->mremap(p, size, size,
				    MREMAP_MAYMOVE | MREMAP_FIXED,
				    addr) != MAP_FAILED)
		return 0;
	error = error ? error : errno;
	np_os_release(p, size);
	np_os_restore(addr, size, where, NP_PAGES_THP);
	return error;
}

void np_os_label(void *addr, size_t size, const char *what, int node)
{
	char name[80]; /* the kernel's limit */
	int saved = errno;

	if (node >= 0)
		snprintf(name, sizeof name, "npool %s%d", what, node);
	else
		snprintf(name, sizeof name, "npool %s", what);
	np_os->name(addr, size, name);
	errno = saved;
}

/* Is it whole system pages? The kernel would round the end up, into somebody
 * else's page. */
static bool is_whole(const void *addr, size_t size)
{
	return !(((uintptr_t)addr | size) & (np_os_page_size() - 1));
}

int np_os_purge(void *addr, size_t size)
{
	if (!is_whole(addr, size))
		return EINVAL;
	if (np_os->madvise(addr, size, MADV_DONTNEED) == 0)
		return 0;
	if (errno == EINVAL &&
	    np_os->madvise(addr, size, MADV_DONTNEED_LOCKED) == 0)
		return 0;
	return errno;
}

int np_os_punch(void *addr, size_t size)
{
	if (!is_whole(addr, size))
		return EINVAL;
	return np_os->madvise(addr, size, MADV_REMOVE) ? errno : 0;
}

int np_os_release(void *addr, size_t size)
{
	return np_os->munmap(addr, size) ? errno : 0;
}

static size_t limit_of(const struct rlimit *limit)
{
	return limit->rlim_cur == RLIM_INFINITY ? SIZE_MAX
						: (size_t)limit->rlim_cur;
}

size_t np_os_address_limit(void)
{
	struct rlimit limit;

	return getrlimit(RLIMIT_AS, &limit) ? SIZE_MAX : limit_of(&limit);
}

size_t np_os_memory(void)
{
	struct sysinfo s;

	return sysinfo(&s) ? 0 : (size_t)s.totalram * s.mem_unit;
}

size_t np_os_file_limit(void)
{
	struct rlimit limit;

	return getrlimit(RLIMIT_FSIZE, &limit) ? SIZE_MAX : limit_of(&limit);
}

size_t np_os_page_size(void)
{
	return np_os->page_size();
}

unsigned np_os_cpu(void)
{
	unsigned cpu = 0;

	return np_os->getcpu(&cpu, NULL) ? 0 : cpu;
}

int np_os_node(void)
{
	unsigned node = 0;

	return np_os->getcpu(NULL, &node) ? -1 : (int)node;
}

#ifdef HAVE_RSEQ
static char *thread_pointer(void)
{
	char *tp = NULL;

#if defined __x86_64__
	__asm__("mov %%fs:0, %0" : "=r"(tp));
#elif defined __aarch64__
	__asm__("mrs %0, tpidr_el0" : "=r"(tp));
#endif
	return tp;
}

const volatile uint32_t *np_os_cpu_word(void)
{
	char *tp = thread_pointer();
	const volatile struct rseq *area;

	if (!tp || !__rseq_size)
		return NULL;
	area = (const volatile struct rseq *)(void *)(tp + __rseq_offset);
	/* Below 0: registration failed, or has not happened. */
	return (int32_t)area->cpu_id < 0 ? NULL : &area->cpu_id;
}
#else
const volatile uint32_t *np_os_cpu_word(void)
{
	return NULL;
}
#endif

int np_os_write(int fd, const char *text, size_t n)
{
	while (n) {
		ssize_t done = write(fd, text, n);

		if (done < 0 && errno != EINTR)
			return errno;
		if (done > 0) {
			text += done;
			n -= (size_t)done;
		}
	}
	return 0;
}

void *np_os_map_file(int fd, size_t size)
{
	void *p = np_os->mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED,
			      fd, 0);

	return p == MAP_FAILED ? NULL : p;
}

#define KEYS 16 /* that are tried */

/* A key is in use only while somebody is in np_os_map_shared, or if he was
 * killed there. */
static int make_shared(uint32_t key, size_t size)
{
	uint32_t first = (uint32_t)getpid();
	int id = -1;

	for (uint32_t i = 0; i < KEYS && id < 0; i++) {
		id = np_os->shmget((key_t)(key | ((first + i) & 0xffff)), size,
				   IPC_CREAT | IPC_EXCL | SHM_NORESERVE | 0600);
		if (id < 0 && errno != EEXIST)
			break;
	}
	return id;
}

void *np_os_map_shared(uint32_t key, size_t size)
{
	int id = make_shared(key, size), error;
	void *p;

	if (id < 0)
		return NULL;
	p = np_os->shmat(id, NULL, 0);
	error = errno;
	/* From here on it lasts as long as it is mapped. */
	if (np_os->shmctl(id, IPC_RMID, NULL) != 0 && p != MAP_FAILED) {
		error = errno;
		np_os_release(p, size);
		p = MAP_FAILED;
	}
	return p == MAP_FAILED ? (errno = error, NULL) : p;
}

int np_os_populate(void *addr, size_t size)
{
	if (!is_whole(addr, size))
		return EINVAL;
	return np_os->madvise(addr, size, MADV_POPULATE_WRITE) ? errno : 0;
}

int np_os_warm(void *addr, size_t size)
{
	size_t page = np_os_page_size();
	char *p = (char *)((uintptr_t)addr & ~(page - 1));
	char *end = (char *)addr + size;
	int error = np_os_populate(p, np_round_up((size_t)(end - p), page));

	if (error != EINVAL)
		return error;
	/* Others may be using what a page holds beside the range. */
	for (; p < end; p += page)
		__atomic_fetch_or(p, 0, __ATOMIC_RELAXED);
	return 0;
}

int np_os_lock(const void *addr, size_t size)
{
	return np_os->mlock(addr, size) ? errno : 0;
}

bool np_os_barrier_init(void)
{
	return np_os->membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED,
				 0) == 0;
}

bool np_os_barrier(void)
{
	int saved = errno;
	bool done = np_os->membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED,
				      0) == 0;

	errno = saved;
	return done;
}

/* --- where pages are -------------------------------------------------- */

#define MPOL_MF_MOVE 2	/* linux/mempolicy.h: pages that only we have */
#define LOOK_AT_ONCE 256 /* pages: 4 KiB of stack */

/* Pages that are asked about together. */
struct look {
	size_t n;
	void *page[LOOK_AT_ONCE];
	int node[LOOK_AT_ONCE]; /* or what is wrong with it: below 0 */
};

/* Fills it with pages from *at on, and moves on. */
static void pick(struct look *l, uintptr_t *at, uintptr_t end, size_t step)
{
	for (l->n = 0; l->n < LOOK_AT_ONCE && *at < end; *at += step)
		l->page[l->n++] = (void *)*at;
}

static int ask(struct look *l)
{
	return np_os->move_pages(0, l->n, l->page, NULL, l->node, 0) ? errno
								     : 0;
}

/* Leaves those that are in memory and not on the node. */
static void keep_away(struct look *l, int node)
{
	size_t n = 0;

	for (size_t i = 0; i < l->n; i++)
		if (l->node[i] >= 0 && l->node[i] != node)
			l->page[n++] = l->page[i];
	l->n = n;
}

static void add_pages(struct np_os_pages *pages, const struct look *l,
		      int node)
{
	size_t size = np_os_page_size();

	for (size_t i = 0; i < l->n; i++) {
		pages->seen += l->node[i] >= 0 ? size : 0;
		pages->away += l->node[i] >= 0 && l->node[i] != node ? size
								      : 0;
	}
}

int np_os_look(const void *addr, size_t size, size_t step, int node,
	       struct np_os_pages *pages)
{
	uintptr_t at = (uintptr_t)addr, end = at + size;
	struct look l;
	int error = 0;

	while (!error && at < end) {
		pick(&l, &at, end, step);
		error = ask(&l);
		if (!error)
			add_pages(pages, &l, node);
	}
	return error;
}

/* Moves the pages. What it returns and what it says of each page differs from
 * kernel to kernel: whoever calls looks again. Returns why some may stay. */
static int move_all(struct look *l, int node)
{
	int nodes[LOOK_AT_ONCE];
	int why = ENOMEM;

	for (size_t i = 0; i < l->n; i++) {
		nodes[i] = node;
		l->node[i] = -ENOMEM; /* it is said of what it cannot take */
	}
	if (np_os->move_pages(0, l->n, l->page, nodes, l->node,
			      MPOL_MF_MOVE) < 0 && errno != ENOMEM)
		return errno;
	for (size_t i = 0; i < l->n; i++)
		if (l->node[i] == -EBUSY || l->node[i] == -EACCES)
			why = EBUSY;
	return why;
}

static int fetch_some(struct look *l, int node, struct np_os_pages *pages)
{
	struct np_os_pages left = { 0 };
	size_t was_away;
	int error = ask(l), why;

	if (error)
		return error;
	add_pages(pages, l, node);
	keep_away(l, node);
	if (!l->n)
		return 0;
	was_away = l->n * np_os_page_size();
	why = move_all(l, node);
	error = ask(l);
	if (error)
		return error;
	add_pages(&left, l, node);
	pages->away -= was_away - left.away;
	pages->moved += was_away - left.away;
	return left.away ? why : 0;
}

int np_os_fetch(void *addr, size_t size, int node, struct np_os_pages *pages)
{
	uintptr_t at = (uintptr_t)addr, end = at + size;
	int error = 0;

	while (at < end) {
		struct look l;
		int now;

		pick(&l, &at, end, np_os_page_size());
		now = fetch_some(&l, node, pages);
		if (now == EPERM || now == ENOSYS)
			return now;
		if (now)
			error = now;
	}
	return error;
}

int np_os_place(void *addr, size_t size, int node)
{
	size_t page = np_os_page_size();
	uintptr_t start = (uintptr_t)addr & ~(page - 1);
	struct np_os_pages pages = { 0 };
	int error = np_os_warm(addr, size);

	if (error)
		return error;
	return np_os_fetch((void *)start, (uintptr_t)addr + size - start,
			   node, &pages);
}
