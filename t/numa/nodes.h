/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * nodes: what the kernel says of this machine: which nodes there are, which
 * CPUs are theirs, and on which node each page of some memory lies. Nothing
 * here asks the pool.
 *
 *	nodes_need(2);
 *	nodes_run(numa.id[0], fill, &piece);		on a thread of that node
 *	lies_add(&lies, piece, size);
 *	lies_all_on(&lies, numa.id[0], "what fill() got");
 *
 * numa.id[] are the kernel's numbers of the nodes with CPUs and memory that
 * the process may use, in order.
 *
 * Threads: nodes_need before there are any; what reads, any.
 *
 * Source: move_pages(2); numa(7), numa_maps; sysfs-devices-node in the kernel's
 * Documentation/ABI.
 */
#ifndef NODES_H
#define NODES_H

#include "../tap.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NODES_MAX 256 /* the kernel's numbers are below */

struct nodes {
	unsigned n;
	int id[NODES_MAX];
	cpu_set_t cpus[NODES_MAX]; /* by kernel number; those we may run on */
	bool memory[NODES_MAX];	   /* by kernel number; may be used */
};

static struct nodes numa;

/* --- the machine ------------------------------------------------------ */

/* Calls add for each number of a list like "0-3,8". */
static inline void nodes_each(const char *list, void (*add)(int n, void *arg),
			      void *arg)
{
	char *end;

	for (;; list = end + 1) {
		long first = strtol(list, &end, 10), last = first;

		if (end == list)
			return;
		if (*end == '-')
			last = strtol(end + 1, &end, 10);
		for (; first <= last; first++)
			add((int)first, arg);
		if (*end != ',')
			return;
	}
}

/* The first line of a file that begins with `key`, without it. */
static inline bool nodes_line(const char *path, const char *key, char *line,
			      size_t size)
{
	FILE *f = fopen(path, "re");
	size_t skip = strlen(key);
	bool found = false;

	while (f && !found && fgets(line, (int)size, f))
		found = !strncmp(line, key, skip);
	if (f)
		fclose(f);
	if (found)
		memmove(line, line + skip, strlen(line + skip) + 1);
	return found;
}

/* Writes a setting of the kernel's. */
static inline bool nodes_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : write(fd, text, strlen(text));

	if (fd >= 0)
		close(fd);
	return n == (ssize_t)strlen(text);
}

static inline void nodes_add_memory(int n, void *arg)
{
	bool *memory = arg;

	if (n >= 0 && n < NODES_MAX)
		memory[n] = true;
}

static inline void nodes_add_cpu(int cpu, void *arg)
{
	cpu_set_t may;

	if (sched_getaffinity(getpid(), sizeof may, &may) == 0 &&
	    cpu >= 0 && cpu < CPU_SETSIZE && CPU_ISSET((size_t)cpu, &may))
		CPU_SET((size_t)cpu, (cpu_set_t *)arg);
}

/* Looks at the machine. Skips all if the pool was built not to. */
static inline void nodes_look(void)
{
	const char *with_numa = getenv("NPOOL_TEST_NUMA");
	bool has[NODES_MAX] = { false }, allowed[NODES_MAX] = { false };
	char line[4096], path[96];

	if (with_numa && !strcmp(with_numa, "no"))
		skip_all("needs a pool that was built with libnuma");
	memset(&numa, 0, sizeof numa);
	if (nodes_line("/sys/devices/system/node/has_memory", "", line,
		       sizeof line))
		nodes_each(line, nodes_add_memory, has);
	if (nodes_line("/proc/self/status", "Mems_allowed_list:\t", line,
		       sizeof line))
		nodes_each(line, nodes_add_memory, allowed);
	for (int n = 0; n < NODES_MAX; n++) {
		snprintf(path, sizeof path,
			 "/sys/devices/system/node/node%d/cpulist", n);
		if (nodes_line(path, "", line, sizeof line))
			nodes_each(line, nodes_add_cpu, &numa.cpus[n]);
		numa.memory[n] = has[n] && allowed[n];
		if (numa.memory[n] && CPU_COUNT(&numa.cpus[n]))
			numa.id[numa.n++] = n;
	}
}

/* Looks at the machine, and skips all if it has fewer nodes. */
static inline void nodes_need(unsigned n)
{
	nodes_look();
	if (numa.n < n)
		skip_all("needs %u NUMA nodes with CPUs and memory", n);
}

/* How far b is from a, as the kernel has it from the firmware. */
static inline int nodes_distance(int a, int b)
{
	char path[64], line[4096], *at = line;
	long d = 0;

	snprintf(path, sizeof path,
		 "/sys/devices/system/node/node%d/distance", a);
	if (!nodes_line(path, "", line, sizeof line))
		bail_out("no %s", path);
	for (int i = 0; i <= b; i++) /* one for each node online: dense */
		d = strtol(at, &at, 10);
	return (int)d;
}

/* --- threads ---------------------------------------------------------- */

/* Puts the caller on the CPUs of the node. */
static inline void nodes_sit(int node)
{
	if (pthread_setaffinity_np(pthread_self(), sizeof numa.cpus[node],
				   &numa.cpus[node]))
		bail_out("a thread cannot be put on node %d", node);
}

/* Starts a thread that runs on the node from its first instruction on. */
static inline pthread_t nodes_start(int node, void *(*body)(void *), void *arg)
{
	pthread_attr_t attr;
	pthread_t t;

	pthread_attr_init(&attr);
	pthread_attr_setaffinity_np(&attr, sizeof numa.cpus[node],
				    &numa.cpus[node]);
	if (pthread_create(&t, &attr, body, arg))
		bail_out("no thread");
	pthread_attr_destroy(&attr);
	return t;
}

/* The same, and waits for its end. */
static inline void nodes_run(int node, void *(*body)(void *), void *arg)
{
	pthread_join(nodes_start(node, body, arg), NULL);
}

/* --- where memory lies ------------------------------------------------ */

struct lies {
	size_t pages;		/* in memory: the sum of on[] */
	size_t absent;		/* not in memory, not touched yet */
	size_t unknown;		/* the kernel does not say */
	size_t on[NODES_MAX];	/* by kernel number */
};

#define LIES_AT_ONCE 512

/* Adds the system pages that [p, p + size) has a part in. */
static inline void lies_add(struct lies *l, const void *p, size_t size)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	uintptr_t at = (uintptr_t)p / page * page, end = (uintptr_t)p + size;
	void *address[LIES_AT_ONCE];
	int node[LIES_AT_ONCE];

	while (at < end) {
		size_t n = 0;

		for (; n < LIES_AT_ONCE && at < end; at += page)
			address[n++] = (void *)at;
		if (syscall(SYS_move_pages, 0, n, address, NULL, node, 0)) {
			l->unknown += n;
			continue;
		}
		for (size_t i = 0; i < n; i++) {
			if (node[i] >= 0 && node[i] < NODES_MAX) {
				l->on[node[i]]++;
				l->pages++;
			} else if (node[i] == -ENOENT || node[i] == -EFAULT) {
				l->absent++;
			} else {
				l->unknown++;
			}
		}
	}
}

static inline void lies_sum(struct lies *to, const struct lies *from)
{
	to->pages += from->pages;
	to->absent += from->absent;
	to->unknown += from->unknown;
	for (int n = 0; n < NODES_MAX; n++)
		to->on[n] += from->on[n];
}

/* Adds " N0=12 N1=3" of a line of numa_maps. */
static inline void lies_add_line(struct lies *l, const char *line)
{
	for (const char *at = line; (at = strstr(at, " N")); at += 2) {
		int node;
		size_t pages;

		if (sscanf(at, " N%d=%zu", &node, &pages) == 2 &&
		    node >= 0 && node < NODES_MAX) {
			l->on[node] += pages;
			l->pages += pages;
		}
	}
}

/* Adds to lies[n] the pages of all mappings of the process that prefer node
 * n. Returns how many mappings prefer a node. */
static inline unsigned lies_by_policy(struct lies lies[NODES_MAX])
{
	FILE *f = fopen("/proc/self/numa_maps", "re");
	char line[4096];
	unsigned n = 0;
	int node;

	while (f && fgets(line, sizeof line, f)) {
		const char *policy = strchr(line, ' ');

		if (policy && sscanf(policy, " prefer:%d", &node) == 1 &&
		    node >= 0 && node < NODES_MAX) {
			lies_add_line(&lies[node], line);
			n++;
		}
	}
	if (f)
		fclose(f);
	return n;
}

/* "node 0: 512, node 1: 3" */
static inline const char *lies_text(const struct lies *l, char *text,
				    size_t size)
{
	size_t used = 0;

	text[0] = '\0';
	for (int n = 0; n < NODES_MAX && used < size; n++)
		if (l->on[n])
			used += (size_t)snprintf(text + used, size - used,
						 "%snode %d: %zu",
						 used ? ", " : "", n,
						 l->on[n]);
	return text;
}

/* Claims that there are pages, and that all of them lie on this node. */
static inline bool lies_all_on(const struct lies *l, int node,
			       const char *what)
{
	char text[512];

	if (ok(l->pages && !l->unknown && l->on[node] == l->pages,
	       "%s: %.1f %% of %zu pages on node %d", what,
	       100. * (double)l->on[node] /
		       (double)(l->pages ? l->pages : 1), l->pages, node))
		return true;
	diag("%s; %zu absent, %zu unknown", lies_text(l, text, sizeof text),
	     l->absent, l->unknown);
	return false;
}

/* Writes to each system page of it. */
static inline void touch(void *p, size_t size)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	for (size_t at = 0; at < size; at += page)
		((volatile char *)p)[at] = 1;
	if (size)
		((volatile char *)p)[size - 1] = 1;
}

/* --- full nodes ------------------------------------------------------- */

/* Bytes of the node that nobody uses. */
static inline size_t nodes_free(int node)
{
	char path[64], key[64], line[128];

	snprintf(path, sizeof path, "/sys/devices/system/node/node%d/meminfo",
		 node);
	snprintf(key, sizeof key, "Node %d MemFree:", node);
	return nodes_line(path, key, line, sizeof line)
		? strtoul(line, NULL, 10) * 1024 : 0;
}

/* The first node, to be filled, and the nearest to it of the others. Returns
 * false if there is none. */
static inline bool nodes_nearest(int *first, int *near)
{
	*first = numa.id[0];
	*near = -1;
	for (unsigned i = 1; i < numa.n; i++)
		if (*near < 0 || nodes_distance(*first, numa.id[i]) <
				 nodes_distance(*first, *near))
			*near = numa.id[i];
	return *near >= 0;
}

struct nodes_hog {
	void *p;
	size_t size;
};

static inline void *nodes_touch_hog(void *arg)
{
	struct nodes_hog *hog = arg;

	touch(hog->p, hog->size);
	return NULL;
}

/* Takes bytes of the node away, until they are unmapped. */
static inline struct nodes_hog nodes_hog(int node, size_t bytes)
{
	struct nodes_hog hog = { .size = bytes };

	hog.p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (hog.p == MAP_FAILED)
		bail_out("no %zu bytes", bytes);
	nodes_run(node, nodes_touch_hog, &hog);
	return hog;
}

/* Reads the file until less than `scarce` bytes of the node are free. The
 * caller sits there. */
static inline void nodes_fill_cache(int node, const char *path, size_t scarce)
{
	static char buffer[1 << 20];
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	while (nodes_free(node) > scarce &&
	       read(fd, buffer, sizeof buffer) > 0)
		;
	if (fd >= 0)
		close(fd);
}

#endif
