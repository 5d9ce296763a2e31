/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * view: a segment as it was when it was read.
 *
 * It belongs to a process that may write anything into it, at any time, and
 * may cut it off if it is a file: so it is copied with a guard (stat-copy.c),
 * and nothing is believed before it was checked against the segment's own size,
 * which the kernel tells. What cannot be true of a segment makes view_open()
 * and its like say what it was, and why.
 *
 * A view is copied again if counts moved from one block to another meanwhile,
 * but not for ever.
 *
 * Parts are copied entry by entry into the structs of this version: a longer
 * entry (a newer library) loses its end, a shorter one is refused.
 *
 * Source: segment.h is the layout.
 */
#include "stat.h"
#include "sizeclass.h" /* enum np_kind */

#include <ctype.h>
#include <errno.h>
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <sched.h> /* setns */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* No segment of a real process comes near these, nor SEGMENT_MAX. */
#define ENTRIES_MAX ((uint32_t)1 << 16)	 /* of a part */
#define CHUNK_SIZE_MAX ((uint64_t)1 << 30)
#define PAGE_SIZE_MIN 4096
#define PAGE_SIZE_MAX ((uint32_t)1 << 20)
#define MAX_ORDER_MAX 14
#define CLASSES_MAX (NP_MAX_CLASSES + 1) /* the rows, and that of zero bytes */

#define TRIES 11 /* to find counts at rest, in 0.1 s */

/* --- reading ---------------------------------------------------------- */

struct reader {
	struct view *view;
	char *why;
	size_t size; /* of why */
};

__attribute__((format(printf, 2, 3)))
static bool refuse(const struct reader *r, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(r->why, r->size, fmt, ap);
	va_end(ap);
	return false;
}

/* Whoever calls has checked that it is in the segment. */
static bool read_at(const struct view *view, void *to, size_t size,
		    uint64_t offset)
{
	return copy_guarded(to, view->base + offset, size);
}

static bool check_size(const struct reader *r)
{
	if (r->view->size < sizeof r->view->head)
		return refuse(r, "cut off: %" PRIu64 " bytes, the header "
			      "has %zu", r->view->size,
			      sizeof r->view->head);
	if (r->view->size > SEGMENT_MAX)
		return refuse(r, "too large: %" PRIu64 " bytes",
			      r->view->size);
	return true;
}

static bool is_of_us(const struct view *view, uid_t user)
{
	return user == view->owner || user == geteuid();
}

/* fd: of the file, whatever it is. */
static bool map_file(const struct reader *r, int fd)
{
	struct view *view = r->view;
	struct stat st;
	void *p;

	if (fstat(fd, &st) != 0)
		return refuse(r, "%s", strerror(errno));
	if (!S_ISREG(st.st_mode))
		return refuse(r, "not a regular file");
	if (!is_of_us(view, st.st_uid))
		return refuse(r, "belongs to user %u", (unsigned)st.st_uid);
	view->ino = st.st_ino;
	view->size = (uint64_t)st.st_size;
	if (!check_size(r))
		return false;
	p = mmap(NULL, view->size, view->is_writable ? PROT_READ | PROT_WRITE
						     : PROT_READ,
		 MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return refuse(r, "%s", strerror(errno));
	view->base = p;
	return true;
}

static bool open_file(const struct reader *r, int dir)
{
	int fd = openat(dir, r->view->name.text, O_RDONLY | O_NOFOLLOW |
			O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	bool mapped;

	if (fd < 0)
		return refuse(r, "%s", strerror(errno));
	mapped = map_file(r, fd);
	close(fd);
	return mapped;
}

/* Before it is attached, which other programs would see: what is not removed
 * yet is theirs, or just being made. */
static bool check_shared(const struct reader *r, const struct shmid_ds *about)
{
	const struct ipc_perm *perm = &about->shm_perm;

	if (!(perm->mode & SHM_DEST))
		return refuse(r, "%s", "");
	if ((perm->mode & 0777) != 0600)
		return refuse(r, "has the mode 0%o, not 0600",
			      perm->mode & 0777u);
	if (!is_of_us(r->view, perm->uid) && !is_of_us(r->view, perm->cuid))
		return refuse(r, "belongs to user %u", (unsigned)perm->uid);
	return true;
}

/* System V shared memory, of the namespace that we are in. */
static bool attach(const struct reader *r, int id)
{
	struct shmid_ds about;
	void *p;

	if (shmctl(id, IPC_STAT, &about) != 0)
		return refuse(r, "%s", strerror(errno));
	if (!check_shared(r, &about))
		return false;
	r->view->size = about.shm_segsz;
	if (!check_size(r))
		return false;
	p = shmat(id, NULL, r->view->is_writable ? 0 : SHM_RDONLY);
	if (p == (void *)-1)
		return refuse(r, "%s", strerror(errno));
	r->view->base = p;
	r->view->is_attached = true;
	return true;
}

/* --- the header ------------------------------------------------------- */

static bool check_words(const struct reader *r)
{
	const struct np_segment_header *h = &r->view->head;

	/* Of a child that is just being forked, say; or the parent's, which a
	 * child has mapped that came by vfork(2), _Fork(3) or clone(2). */
	if (r->view->is_live && (!h->magic || (h->magic == NP_SEGMENT_MAGIC &&
	    h->pid != (uint32_t)r->view->pid_inside)))
		return refuse(r, "%s", "");
	if (!h->magic)
		return refuse(r, "not finished: its process had just started");
	if (h->magic != NP_SEGMENT_MAGIC)
		return refuse(r, "not a segment: no magic number");
	if (h->version != NP_SEGMENT_VERSION)
		return refuse(r, "of version %u; this %s reads %d",
			      h->version, tool_name, NP_SEGMENT_VERSION);
	if (h->header_size < sizeof *h || h->header_size > h->size)
		return refuse(r, "a header of %u bytes", h->header_size);
	if (h->size > r->view->size)
		return refuse(r, "cut off: %" PRIu64 " of %" PRIu64 " bytes",
			      r->view->size, h->size);
	if (h->pid != (uint32_t)r->view->pid_inside)
		return refuse(r, "says that it is of process %u", h->pid);
	return true;
}

static bool check_geometry(const struct reader *r)
{
	const struct np_segment_header *h = &r->view->head;
	uint32_t state = h->state;

	if (h->page_size < PAGE_SIZE_MIN || h->page_size > PAGE_SIZE_MAX ||
	    !np_is_pow2(h->page_size))
		return refuse(r, "a page size of %u", h->page_size);
	if (h->max_order > MAX_ORDER_MAX ||
	    (uint64_t)h->page_size << h->max_order > CHUNK_SIZE_MAX)
		return refuse(r, "a max order of %u", h->max_order);
	if (h->class_table != NP_NETTY && h->class_table != NP_FINE)
		return refuse(r, "an unknown class table, %u",
			      h->class_table);
	if (state != NP_SEGMENT_LIVE && state != NP_SEGMENT_ENDED)
		return refuse(r, "in an unknown state, %u", state);
	return true;
}

/* Does a part lie between the header and the segment's end? stride: the
 * least that an entry must have. */
static bool check_part(const struct reader *r, const char *name,
		       const struct np_segment_part *part, size_t stride,
		       uint32_t most)
{
	const struct np_segment_header *h = &r->view->head;
	/* Of 32 bits each, so this does not overflow. */
	uint64_t end = part->offset + (uint64_t)part->stride * part->n;

	if (part->n > most)
		return refuse(r, "%u %s; at most %u can be", part->n, name,
			      most);
	if (part->offset % sizeof(uint64_t) || part->stride % sizeof(uint64_t))
		return refuse(r, "%s that are not aligned: %u bytes, at %u",
			      name, part->stride, part->offset);
	if (part->stride < stride)
		return refuse(r, "%s of %u bytes, less than %zu", name,
			      part->stride, stride);
	if (part->offset < h->header_size || end > h->size)
		return refuse(r, "%s at bytes %u to %" PRIu64 ", outside of "
			      "the segment's %" PRIu64, name, part->offset,
			      end, h->size);
	return true;
}

static size_t block_size(const struct np_segment_header *h)
{
	return sizeof(struct np_block) +
	       h->classes.n * sizeof(struct np_class_count);
}

/* There may be none. */
static bool check_flows(const struct reader *r)
{
	const struct np_segment_header *h = &r->view->head;
	uint64_t most = (uint64_t)h->nodes.n * h->nodes.n;

	if (!h->flows.n)
		return true;
	if (h->flows.n != most)
		return refuse(r, "%u flows between %u nodes", h->flows.n,
			      h->nodes.n);
	return check_part(r, "flows", &h->flows,
			  sizeof(struct np_segment_flow), ENTRIES_MAX);
}

static bool check_parts(const struct reader *r)
{
	const struct np_segment_header *h = &r->view->head;

	return check_part(r, "classes", &h->classes,
			  sizeof(struct np_segment_class), CLASSES_MAX) &&
	       check_part(r, "nodes", &h->nodes,
			  sizeof(struct np_segment_node), NP_MAX_NODES) &&
	       check_part(r, "arenas", &h->arenas,
			  sizeof(struct np_segment_arena), ENTRIES_MAX) &&
	       check_part(r, "inherited blocks", &h->before, block_size(h),
			  1) &&
	       check_part(r, "blocks", &h->blocks, block_size(h),
			  ENTRIES_MAX) &&
	       check_part(r, "chunks", &h->chunks,
			  sizeof(struct np_segment_chunk), ENTRIES_MAX) &&
	       check_part(r, "page maps", &h->maps, 0, ENTRIES_MAX) &&
	       check_flows(r);
}

static bool read_header(const struct reader *r)
{
	struct np_segment_header *h = &r->view->head;

	if (!read_at(r->view, h, sizeof *h, 0))
		return refuse(r, "cut off while it was read");
	/* Before the parts: with moves_ended comes what has moved. */
	atomic_thread_fence(memory_order_acquire);
	h->program[sizeof h->program - 1] = '\0';
	h->pool[sizeof h->pool - 1] = '\0';
	h->topology[sizeof h->topology - 1] = '\0';
	h->options[sizeof h->options - 1] = '\0';
	make_printable(h->program);
	make_printable(h->pool);
	make_printable(h->topology);
	make_printable(h->options);
	return check_words(r) && check_geometry(r) && check_parts(r);
}

/* --- the parts -------------------------------------------------------- */

/* Copies n entries, of each at most size bytes. */
static void *copy_part(const struct view *view,
		       const struct np_segment_part *part, size_t size,
		       uint32_t n)
{
	char *raw = get_memory(n, part->stride);
	char *rows = get_memory(n, size);

	if (!read_at(view, raw, (size_t)n * part->stride, part->offset)) {
		free(raw);
		free(rows);
		return NULL;
	}
	for (uint32_t i = 0; i < n; i++)
		memcpy(rows + i * size, raw + (size_t)i * part->stride, size);
	free(raw);
	return rows;
}

/* Entries in use: a count that the process may have taken beyond the end. */
static unsigned in_use(const np_count_t *count,
		       const struct np_segment_part *part)
{
	uint64_t n = np_count_get(count);

	return n < part->n ? (unsigned)n : part->n;
}

/* Blocks are aligned to cache lines, so their copies stand at multiples of
 * one. */
static void *copy_blocks(const struct view *view,
			 const struct np_segment_part *part, unsigned n)
{
	size_t size = block_size(&view->head);
	char *raw = copy_part(view, part, size, n);
	char *blocks = NULL;

	if (raw)
		blocks = aligned_alloc(NP_LINE, (n + 1u) * view->block_size);
	if (raw && !blocks)
		give_up(EXIT_SELF, "out of memory");
	for (unsigned i = 0; raw && i < n; i++)
		memcpy(blocks + i * view->block_size, raw + i * size, size);
	free(raw);
	return blocks;
}

static bool copy_parts(const struct reader *r)
{
	struct view *v = r->view;
	const struct np_segment_header *h = &v->head;

	v->nclasses = h->classes.n;
	v->nnodes = h->nodes.n;
	v->narenas = h->arenas.n;
	v->nblocks = in_use(&h->blocks_used, &h->blocks);
	v->nchunks = in_use(&h->chunks_used, &h->chunks);
	v->block_size = np_round_up(block_size(h), NP_LINE);
	v->classes = copy_part(v, &h->classes, sizeof *v->classes,
			       v->nclasses);
	v->nodes = copy_part(v, &h->nodes, sizeof *v->nodes, v->nnodes);
	v->arenas = copy_part(v, &h->arenas, sizeof *v->arenas, v->narenas);
	v->chunks = copy_part(v, &h->chunks, sizeof *v->chunks, v->nchunks);
	if (h->flows.n)
		v->flows = copy_part(v, &h->flows, sizeof *v->flows,
				     h->flows.n);
	v->blocks = copy_blocks(v, &h->blocks, v->nblocks);
	v->before = copy_blocks(v, &h->before, h->before.n);
	if (!v->classes || !v->nodes || !v->arenas || !v->chunks ||
	    !v->blocks || !v->before || (h->flows.n && !v->flows))
		return refuse(r, "cut off while it was read");
	return true;
}

static bool check_classes(const struct reader *r)
{
	const struct view *v = r->view;
	uint32_t most = 1u << v->head.max_order;

	for (unsigned i = 0; i < v->nclasses; i++) {
		const struct np_segment_class *c = &v->classes[i];

		if (c->kind >= NP_KINDS)
			return refuse(r, "class %u is of kind %u", i, c->kind);
		if (c->npages > most)
			return refuse(r, "class %u has %u pages, a chunk %u",
				      i, c->npages, most);
	}
	return true;
}

static bool check_homes(const struct reader *r)
{
	const struct view *v = r->view;

	for (unsigned i = 0; i < v->narenas; i++)
		if (v->arenas[i].home >= v->nnodes)
			return refuse(r, "arena %u is on node %u of %u", i,
				      v->arenas[i].home, v->nnodes);
	for (unsigned i = 0; i < v->nblocks; i++)
		if (view_block(v, i)->home >= v->nnodes)
			return refuse(r, "block %u is on node %u of %u", i,
				      view_block(v, i)->home, v->nnodes);
	for (unsigned i = 0; i < v->nchunks; i++) {
		uint32_t home = v->chunks[i].home;

		if (np_count_get(&v->chunks[i].base) && home >= v->nnodes)
			return refuse(r, "chunk %u is on node %u of %u", i,
				      home, v->nnodes);
	}
	return true;
}

static void drop_parts(struct view *view)
{
	free(view->classes);
	free(view->nodes);
	free(view->arenas);
	free(view->chunks);
	free(view->flows);
	free(view->blocks);
	free(view->before);
	view->classes = NULL;
	view->nodes = NULL;
	view->arenas = NULL;
	view->chunks = NULL;
	view->flows = NULL;
	view->blocks = NULL;
	view->before = NULL;
}

/* Did no counts move from block to block since the header was read? */
static bool is_whole(const struct view *view)
{
	uint64_t begun;

	/* Behind the parts: who saw any of a move sees that it has begun. */
	atomic_thread_fence(memory_order_acquire);
	return read_at(view, &begun, sizeof begun,
		       offsetof(struct np_segment_header, moves_begun)) &&
	       begun == np_count_get(&view->head.moves_ended);
}

/* Whoever moves counts may have lost his CPU: from 0.1 ms to 51 ms. */
static void wait_a_little(unsigned tries)
{
	struct timespec moment = { .tv_nsec = 100000l << (tries - 1) };

	nanosleep(&moment, NULL);
}

static bool copy_all(const struct reader *r)
{
	for (unsigned n = 1;; n++) {
		if (!read_header(r) || !copy_parts(r) || !check_classes(r) ||
		    !check_homes(r))
			return false;
		if (n == TRIES || is_whole(r->view))
			return true;
		drop_parts(r->view);
		wait_a_little(n);
	}
}

/* The view, if there is one, or NULL. */
static struct view *finish(const struct reader *r, bool is_mapped)
{
	if (is_mapped && copy_all(r))
		return r->view;
	view_close(r->view);
	return NULL;
}

struct view *view_open(int dir, const struct segment_name *name, char *why,
		       size_t size)
{
	struct view *view = get_memory(1, sizeof *view);
	struct reader r = { view, why, size };

	view->name = *name;
	view->pid_inside = name->pid;
	view->owner = geteuid();
	return finish(&r, open_file(&r, dir));
}

/* Opens the file of a process by its path there, where a symbolic link, a FIFO
 * or a device may stand by now: nothing is opened before it is known to be a
 * regular file with the inode of the one that the process has mapped. That can
 * be another file of another file system, which the process then shows for its
 * segment: it is read as such, with no belief in it. */
static bool open_mapped(const struct reader *r, const struct place *place)
{
	int handle = target_open(r->view->name.pid, place->path,
				 O_PATH | O_NOFOLLOW), fd = -1;
	char *path = format_text("/proc/self/fd/%d", handle);
	struct stat st;
	bool mapped = false;

	if (handle < 0 || fstat(handle, &st) != 0)
		refuse(r, "%s", strerror(errno));
	else if (!S_ISREG(st.st_mode) || st.st_ino != place->number)
		refuse(r, "%s is another file by now", place->path);
	else if ((fd = open(path, (r->view->is_writable ? O_RDWR : O_RDONLY) |
				  O_CLOEXEC | O_NONBLOCK)) < 0)
		refuse(r, "%s", strerror(errno));
	else
		mapped = map_file(r, fd);
	if (fd >= 0)
		close(fd);
	if (handle >= 0)
		close(handle);
	free(path);
	return mapped;
}

/* Goes into the namespace that a process's shared memory is in. *back: where
 * to go afterwards, or -1: it is our own. */
static bool enter_namespace(const struct reader *r, int *back)
{
	char path[40];
	struct stat theirs, ours;
	int fd, error;

	*back = -1;
	snprintf(path, sizeof path, "/proc/%d/ns/ipc",
		 (int)r->view->name.pid);
	if (stat(path, &theirs) != 0 || stat("/proc/self/ns/ipc", &ours) != 0)
		return refuse(r, "%s: %s", path, strerror(errno));
	if (theirs.st_ino == ours.st_ino)
		return true;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	*back = open("/proc/self/ns/ipc", O_RDONLY | O_CLOEXEC);
	error = fd < 0 || *back < 0 || setns(fd, CLONE_NEWIPC) != 0 ? errno : 0;
	if (fd >= 0)
		close(fd);
	if (!error)
		return true;
	if (*back >= 0)
		close(*back);
	return refuse(r, "in a container (another IPC namespace), where root "
		      "alone can look: %s", strerror(error));
}

static void leave_namespace(int back)
{
	if (back < 0)
		return;
	if (setns(back, CLONE_NEWIPC) != 0)
		give_up(EXIT_SELF, "cannot leave an IPC namespace: %s",
			strerror(errno));
	close(back);
}

/* Its number is the one of the process's namespace. */
static bool attach_mapped(const struct reader *r, const struct place *place)
{
	int back;
	bool attached;

	if (place->number > INT_MAX)
		return refuse(r, "there is no such shared memory");
	if (!enter_namespace(r, &back))
		return false;
	attached = attach(r, (int)place->number);
	leave_namespace(back);
	return attached;
}

static struct view *look(const struct target *target, const struct place *place,
			 bool is_writable, char *why, size_t size)
{
	struct view *view = get_memory(1, sizeof *view);
	struct reader r = { view, why, size };

	view->name.pid = target->pid;
	view->name.number = (unsigned)place->number;
	snprintf(view->name.text, sizeof view->name.text, "of process %d",
		 (int)target->pid);
	view->is_live = true;
	view->is_writable = is_writable;
	view->pid_inside = target->pid_inside;
	view->owner = target->owner;
	view = finish(&r, place->path ? open_mapped(&r, place)
				      : attach_mapped(&r, place));
	/* Its name now; that of its start is in the segment. */
	if (view)
		memcpy(view->head.program, target->program,
		       sizeof view->head.program);
	return view;
}

struct view *view_look(const struct target *target, const struct place *place,
		       char *why, size_t size)
{
	return look(target, place, false, why, size);
}

struct view *view_take(const struct target *target, const struct place *place,
		       char *why, size_t size)
{
	return look(target, place, true, why, size);
}

struct view *view_of(const void *base, size_t size, char *why, size_t room)
{
	struct view *view = get_memory(1, sizeof *view);
	struct reader r = { view, why, room };

	view->base = base;
	view->size = size;
	view->is_borrowed = true;
	view->pid_inside = view->name.pid = getpid();
	snprintf(view->name.text, sizeof view->name.text, "in memory");
	return finish(&r, check_size(&r));
}

void view_close(struct view *view)
{
	if (!view)
		return;
	if (view->base && view->is_attached)
		shmdt(view->base);
	else if (view->base && !view->is_borrowed)
		munmap((void *)(uintptr_t)view->base, view->size);
	drop_parts(view);
	free(view);
}

/* --- page maps -------------------------------------------------------- */

size_t view_map_pages(const struct view *view, unsigned chunk)
{
	const struct np_segment_header *h = &view->head;
	const struct np_segment_chunk *c = &view->chunks[chunk];
	uint64_t npages = np_count_get(&c->size) / h->page_size;

	if (!np_count_get(&c->base) || c->arena == NP_SEGMENT_HUGE ||
	    chunk >= h->maps.n)
		return 0;
	if (npages > (uint64_t)1 << h->max_order ||
	    np_segment_map_offset(h->max_order) + npages > h->maps.stride)
		return 0;
	return npages;
}

static uint64_t entry_of_maps(const struct view *view, unsigned chunk)
{
	const struct np_segment_part *maps = &view->head.maps;

	return maps->offset + (uint64_t)maps->stride * chunk;
}

bool view_map(const struct view *view, unsigned chunk, uint8_t *map)
{
	return read_at(view, map, view_map_pages(view, chunk),
		       entry_of_maps(view, chunk) +
		       np_segment_map_offset(view->head.max_order));
}

bool view_fill(const struct view *view, unsigned chunk, uint16_t *fill)
{
	return read_at(view, fill, view_map_pages(view, chunk) * sizeof *fill,
		       entry_of_maps(view, chunk));
}

/* --- whose it is ------------------------------------------------------ */

/* Is a line of /proc/PID/maps the segment's? "from-to rwxs offset dev inode
 * path"; the device's number is not that of stat(2) on every file system, so
 * the path's end is compared as well. */
static bool is_line_of(const char *line, const struct view *view)
{
	char tail[sizeof view->name.text + 1];
	uint64_t ino;
	int at = 0;

	if (sscanf(line, "%*s %*s %*s %*s %" SCNu64 " %n", &ino, &at) != 1 ||
	    !at || ino != view->ino)
		return false;
	snprintf(tail, sizeof tail, "/%s", view->name.text);
	return strstr(line + at, tail) != NULL;
}

int view_is_alive(const struct view *view)
{
	char path[40], *line = NULL;
	size_t room = 0;
	int alive = 0;
	FILE *maps;

	snprintf(path, sizeof path, "/proc/%d/maps", (int)view->name.pid);
	maps = fopen(path, "re");
	if (!maps)
		return errno == EACCES || errno == EPERM ? -1 : 0;
	while (!alive && getline(&line, &room, maps) >= 0)
		alive = is_line_of(line, view);
	if (!alive && ferror(maps) && (errno == EACCES || errno == EPERM))
		alive = -1;
	free(line);
	fclose(maps);
	return alive;
}

/* --- the folder ------------------------------------------------------- */

bool segment_name_parse(const char *text, struct segment_name *name)
{
	unsigned long pid, number;
	char *end;

	if (!isdigit((unsigned char)*text) ||
	    strlen(text) >= sizeof name->text)
		return false;
	pid = strtoul(text, &end, 10);
	if (*end != '.' || !isdigit((unsigned char)end[1]) || pid > INT_MAX)
		return false;
	number = strtoul(end + 1, &end, 10);
	if (*end || number > UINT_MAX)
		return false;
	name->pid = (pid_t)pid;
	name->number = (unsigned)number;
	snprintf(name->text, sizeof name->text, "%lu.%lu", pid, number);
	return !strcmp(name->text, text);
}

static int compare_names(const void *a, const void *b)
{
	const struct segment_name *x = a, *y = b;

	if (x->pid != y->pid)
		return x->pid < y->pid ? -1 : 1;
	return (x->number > y->number) - (x->number < y->number);
}

ssize_t segment_names(int dir, struct segment_name **names)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *stream = fd < 0 ? NULL : fdopendir(fd);
	struct segment_name name;
	struct dirent *entry;
	size_t n = 0;

	*names = NULL;
	if (!stream) {
		if (fd >= 0)
			close(fd);
		return -1;
	}
	while ((entry = readdir(stream)))
		if (segment_name_parse(entry->d_name, &name)) {
			*names = grow(*names, n, sizeof name);
			(*names)[n++] = name;
		}
	closedir(stream);
	if (n)
		qsort(*names, n, sizeof name, compare_names);
	return (ssize_t)n;
}
