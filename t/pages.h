/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * pages: what the kernel says of memory: is it mapped, is it there?
 *
 * Source: mincore(2), proc(5).
 */
#ifndef PAGES_H
#define PAGES_H

#include "os.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h> /* mincore */
#include <unistd.h>

/* How many system pages of [p, p + size) are in memory. p is a page's start.
 */
static inline size_t pages_resident(const void *p, size_t size)
{
	size_t page = np_os_linux.page_size(), n = 0;
	unsigned char in[256];

	for (size_t at = 0; at < size; at += sizeof in * page) {
		size_t left = size - at;
		size_t k = left < sizeof in * page ? (left + page - 1) / page
						   : sizeof in;

		if (mincore((char *)(uintptr_t)p + at, k * page, in) != 0)
			continue;
		for (size_t i = 0; i < k; i++)
			n += in[i] & 1;
	}
	return n;
}

/* Is any of it mapped at all, be it without access? */
static inline bool pages_mapped(const void *p, size_t size)
{
	size_t page = np_os_linux.page_size();
	unsigned char in;

	for (size_t at = 0; at < size; at += page)
		if (mincore((char *)(uintptr_t)p + at, page, &in) == 0)
			return true;
	return false;
}

/* The line of /proc/self/smaps that begins with key, of the mapping that p lies
 * in. Returns false if there is none. */
static inline bool pages_smaps(const void *p, const char *key, char *line,
			       size_t size)
{
	FILE *smaps = fopen("/proc/self/smaps", "re");
	unsigned long from, to, at = (unsigned long)p;
	bool here = false, found = false;

	while (smaps && !found && fgets(line, (int)size, smaps)) {
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			here = at >= from && at < to;
		found = here && !strncmp(line, key, strlen(key));
	}
	if (smaps)
		fclose(smaps);
	return found;
}

/* Has this mapping this flag (" lo" = locked; the kernel's Documentation/
 * filesystems/proc)? */
static inline bool pages_flag(const void *p, const char *flag)
{
	char line[512];

	return pages_smaps(p, "VmFlags:", line, sizeof line) &&
	       strstr(line, flag);
}

/* Bytes of the process in memory. Uses no malloc: it must not change what it
 * measures. */
static inline size_t pages_rss(void)
{
	char text[128];
	int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
	unsigned long size = 0, resident = 0;

	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = '\0';
	sscanf(text, "%lu %lu", &size, &resident);
	return resident * np_os_linux.page_size();
}

#endif
