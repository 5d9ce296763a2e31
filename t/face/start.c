/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * For t/face-start.t: is the pool there when main begins, and after the first
 * call of malloc? It is if the process has mapped 16 MiB somewhere. Prints
 * "asleep" or "awake" for each, without a call of malloc of its own.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LARGE 0x1000000ul

static char text[65536];

static void say(const char *word)
{
	if (write(STDOUT_FILENO, word, strlen(word)) < 0)
		_exit(1);
}

static void read_maps(void)
{
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	size_t got = 0;
	ssize_t n;

	if (fd < 0)
		_exit(1);
	while ((n = read(fd, text + got, sizeof text - 1 - got)) > 0)
		got += (size_t)n;
	text[got] = '\0';
	close(fd);
}

/* Says whether a mapping is large, other than of a file. */
static void look(void)
{
	int awake = 0;

	read_maps();
	for (char *line = text; *line; line = strchr(line, '\n') + 1) {
		char *end;
		unsigned long from = strtoul(line, &end, 16);
		unsigned long to = strtoul(end + 1, &end, 16);
		size_t length = strcspn(line, "\n");

		if (to - from >= LARGE && !memchr(line, '/', length) &&
		    !memchr(line, '[', length))
			awake = 1;
	}
	say(awake ? "awake\n" : "asleep\n");
}

int main(void)
{
	void *volatile p;

	look();
	p = malloc(1);
	look();
	free(p);
	return 0;
}
