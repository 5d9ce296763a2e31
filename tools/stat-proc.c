/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * target: a process that runs, and where its segments are.
 *
 * What it has mapped is in /proc/PID/maps, whatever it did with its file
 * descriptors, its root and its namespaces. A line of shared memory has the
 * key with which it was made, and as inode its number:
 *
 *	7f10c8a00000-... rw-s 00000000 00:01 65538  /SYSV4e501f2c (deleted)
 *
 * and one of a file (the option `segment`) ends with /PID.N. To read it takes
 * what ptrace(2) calls PTRACE_MODE_READ. A process that is in the list of maps
 * lives: its segment needs no other sign of that.
 *
 * Source: proc_pid_maps(5), proc_pid_status(5), proc_sysvipc(5), openat2(2).
 */
#include "stat.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h> /* openat */
#include <inttypes.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/syscall.h> /* SYS_openat2 */
#include <time.h>
#include <unistd.h>

#define PLACES_MAX (2 * NP_MAX_POOLS) /* while it forks, its child's too */

/* --- a file of /proc/PID ---------------------------------------------- */

static FILE *open_proc(pid_t pid, const char *name)
{
	char path[64];

	snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
	return fopen(path, "re");
}

static void read_program(struct target *t)
{
	FILE *comm = open_proc(t->pid, "comm");

	if (!comm)
		return;
	if (fgets(t->program, sizeof t->program, comm))
		t->program[strcspn(t->program, "\n")] = '\0';
	make_printable(t->program);
	fclose(comm);
}

/* Its number in the innermost namespace of process ids that it is in. */
static void read_pid_inside(struct target *t)
{
	FILE *status = open_proc(t->pid, "status");
	char *line = NULL, *last;
	size_t room = 0;

	t->pid_inside = t->pid;
	while (status && getline(&line, &room, status) >= 0)
		if (!strncmp(line, "NSpid:", 6) &&
		    (last = strrchr(line, '\t')) != NULL)
			t->pid_inside = (pid_t)strtol(last, NULL, 10);
	free(line);
	if (status)
		fclose(status);
}

/* --- its maps --------------------------------------------------------- */

static bool is_our_key(const char *path)
{
	unsigned key;
	int end = 0;

	return sscanf(path, "/SYSV%8x (deleted)%n", &key, &end) == 1 && end &&
	       !path[end] && (key & NP_SEGMENT_KEY_MASK) == NP_SEGMENT_KEY;
}

static bool is_our_file(const struct target *t, const char *path)
{
	const char *slash = strrchr(path, '/');
	struct segment_name name;

	return slash && segment_name_parse(slash + 1, &name) &&
	       name.pid == t->pid_inside;
}

static void add_place(struct target *t, uint64_t number, const char *path)
{
	struct place *place;

	if (t->nplaces == PLACES_MAX)
		return;
	t->places = grow(t->places, t->nplaces, sizeof *t->places);
	place = &t->places[t->nplaces++];
	place->number = number;
	place->path = path ? format_text("%s", path) : NULL;
}

static bool is_our_lost_file(const struct target *t, const char *path)
{
	static const char mark[] = " (deleted)";
	size_t length = strlen(path), end = sizeof mark - 1;
	char *before;
	bool is_ours;

	if (length < end || strcmp(path + length - end, mark) != 0)
		return false;
	before = format_text("%.*s", (int)(length - end), path);
	is_ours = is_our_file(t, before);
	free(before);
	return is_ours;
}

/* "from-to rwxs offset dev inode path" */
static void look_at_line(struct target *t, char *line)
{
	char mode[5];
	uint64_t offset, number;
	const char *path;
	int at = 0;

	line[strcspn(line, "\n")] = '\0';
	if (sscanf(line, "%*s %4s %" SCNx64 " %*s %" SCNu64 " %n", mode,
		   &offset, &number, &at) != 3 || !at)
		return;
	path = line + at;
	if (strstr(path, "/libnpool") || !strncmp(path, "[anon:npool ", 12))
		t->uses_npool = true;
	if (strcmp(mode, "rw-s") != 0 || offset)
		return;
	if (is_our_key(path))
		add_place(t, number, NULL);
	else if (is_our_file(t, path))
		add_place(t, number, path);
	else if (is_our_lost_file(t, path))
		t->lost_file = true;
}

static bool say(char *why, size_t size, const char *what)
{
	snprintf(why, size, "%s", what);
	return false;
}

static bool read_maps(struct target *t, char *why, size_t size)
{
	FILE *maps = open_proc(t->pid, "maps");
	char *line = NULL;
	size_t room = 0;
	int error;

	if (!maps)
		return say(why, size, errno == ENOENT
			   ? "there is no such process" : strerror(errno));
	errno = 0;
	while (getline(&line, &room, maps) >= 0)
		look_at_line(t, line);
	error = ferror(maps) ? errno : 0;
	free(line);
	fclose(maps);
	return !error || say(why, size, error == ESRCH
			     ? "it has just ended" : strerror(error));
}

bool target_find(struct target *t, pid_t pid, char *why, size_t size)
{
	char path[40];
	struct stat st;

	*t = (struct target){ .pid = pid, .program = "?" };
	snprintf(path, sizeof path, "/proc/%d", (int)pid);
	if (stat(path, &st) != 0)
		return say(why, size, "there is no such process");
	t->owner = st.st_uid;
	read_program(t);
	read_pid_inside(t);
	if (read_maps(t, why, size))
		return true;
	target_free(t);
	return false;
}

void target_free(struct target *t)
{
	for (size_t i = 0; i < t->nplaces; i++)
		free(t->places[i].path);
	free(t->places);
	t->places = NULL;
	t->nplaces = 0;
}

/* --- its files --------------------------------------------------------- */

/* Before Linux 5.6 links are followed into our own root. */
static int open_below(int root, const char *path, int flags)
{
	struct open_how how = { .flags = (unsigned)flags,
				.resolve = RESOLVE_IN_ROOT };
	int fd = (int)syscall(SYS_openat2, root, path, &how, sizeof how);

	return fd < 0 && errno == ENOSYS ? openat(root, path, flags) : fd;
}

int target_open(pid_t pid, const char *path, int flags)
{
	char root_path[40];
	int root, fd, saved;

	snprintf(root_path, sizeof root_path, "/proc/%d/root", (int)pid);
	root = open(root_path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return -1;
	fd = open_below(root, path + strspn(path, "/"), flags | O_CLOEXEC);
	saved = errno;
	close(root);
	errno = saved;
	return fd;
}

/* --- its age ---------------------------------------------------------- */

/* In clock ticks, since the machine started. Its name, which may be anything,
 * ends with the last bracket; it is field 2, and this is field 22. */
static uint64_t start_of(pid_t pid)
{
	FILE *stat = open_proc(pid, "stat");
	unsigned long long ticks = 0;
	char *line = NULL, *at;
	size_t room = 0;

	if (stat && getline(&line, &room, stat) >= 0 &&
	    (at = strrchr(line, ')')) != NULL &&
	    sscanf(at, ") %*c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s "
		   "%*s %*s %*s %*s %*s %*s %llu", &ticks) != 1)
		ticks = 0;
	free(line);
	if (stat)
		fclose(stat);
	return ticks;
}

uint64_t target_age_ms(pid_t pid)
{
	uint64_t ticks = start_of(pid), second = (uint64_t)sysconf(_SC_CLK_TCK);
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return sub_u64((uint64_t)now.tv_sec * 1000 +
		       (uint64_t)now.tv_nsec / 1000000,
		       ticks / second * 1000 + ticks % second * 1000 / second);
}

/* --- what is left of those that ended --------------------------------- */

/* A line of /proc/sysvipc/shm. */
struct shared {
	int key, id;
	unsigned mode;
	uint64_t size;
	int creator, last; /* pids: who made it, and who attached to it last */
	unsigned users;
	uint64_t resident, swapped; /* bytes */
};

static bool read_shared(const char *line, struct shared *s)
{
	return sscanf(line, "%d %d %o %" SCNu64 " %d %d %u %*s %*s %*s %*s "
		      "%*s %*s %*s %" SCNu64 " %" SCNu64, &s->key, &s->id,
		      &s->mode, &s->size, &s->creator, &s->last, &s->users,
		      &s->resident, &s->swapped) == 9;
}

/* Who is killed between making shared memory and saying that it shall end with
 * him leaves it behind: nobody has written to it. Others may use a key like
 * ours, and keep what nobody has attached: so it must be of our making in all
 * that the kernel tells, and without a page, so that there is nothing in it to
 * lose. To attach and look would be seen by those others. */
static bool was_left(const struct shared *s)
{
	return ((unsigned)s->key & NP_SEGMENT_KEY_MASK) == NP_SEGMENT_KEY &&
	       s->mode == 0600 && !s->users &&
	       s->size >= NP_NBLOCKS * sizeof(struct np_block) &&
	       s->size <= SEGMENT_MAX && !s->resident && !s->swapped &&
	       (!s->last || s->last == s->creator) && s->creator > 0 &&
	       kill(s->creator, 0) != 0 && errno == ESRCH;
}

void targets_clean(void)
{
	FILE *all = fopen("/proc/sysvipc/shm", "re");
	struct shared s;
	char *line = NULL;
	size_t room = 0;

	while (all && getline(&line, &room, all) >= 0)
		if (read_shared(line, &s) && was_left(&s))
			shmctl(s.id, IPC_RMID, NULL);
	free(line);
	if (all)
		fclose(all);
}

/* --- all of them ------------------------------------------------------ */

/* Of another user's process the maps cannot be read in any case. */
static bool may_look(int proc, const char *name)
{
	struct stat st;

	return !geteuid() || (fstatat(proc, name, &st, 0) == 0 &&
			      st.st_uid == geteuid());
}

static int compare_pids(const void *a, const void *b)
{
	const pid_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

size_t target_pids(pid_t **pids)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	size_t n = 0;

	*pids = NULL;
	if (!proc)
		give_up(EXIT_SELF, "/proc: %s", strerror(errno));
	while ((entry = readdir(proc))) {
		long pid = strtol(entry->d_name, NULL, 10);

		if (!isdigit((unsigned char)*entry->d_name) || pid <= 0 ||
		    pid > INT_MAX || pid == getpid() ||
		    !may_look(dirfd(proc), entry->d_name))
			continue;
		*pids = grow(*pids, n, sizeof **pids);
		(*pids)[n++] = (pid_t)pid;
	}
	closedir(proc);
	if (n)
		qsort(*pids, n, sizeof **pids, compare_pids);
	return n;
}
