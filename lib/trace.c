/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * trace: see trace.h.
 */
#include "trace.h"
#include "lock.h"
#include "os.h"
#include "stack.h"

#include <errno.h>
#include <fcntl.h>    /* open */
#include <string.h>
#include <sys/mman.h> /* MAP_* */
#include <sys/stat.h> /* fstat */
#include <unistd.h>   /* getpid, gettid */

#define ROOM 1024 /* bytes that an event and what comes with it may take */
#define RING_SIZE_MIN ((uint64_t)16 * ROOM)
#define RING_SIZE_MAX ((uint64_t)1 << 30)
#define TIME_MASK (((uint64_t)1 << NP_TRACE_TIME_BITS) - 1)
#define GAP ((uint64_t)1 << NP_TRACE_GAP_SHIFT)
#define NO_CPU UINT32_MAX

NP_USED_AT_START _Atomic bool np_trace_is_on, np_is_watched;
bool np_trace_picks;

/* Who writes a ring, and how far he is: nothing of it is read from the file.
 * Number 0 is guarded by `lock`, others are their thread's. */
static struct tracer {
	struct np_trace_event *events;
	struct np_trace_ring *ring;
	uint64_t size;		/* of the ring: not that of the file, which
				   may be another one by then */
	uint64_t head;
	uint64_t room;		/* head may grow up to here, as far as known */
	uint64_t last;		/* time of the last event; 0: none yet */
	uint64_t lost;		/* events since one was written */
	uint64_t all_lost;
	uint32_t tid;		/* as the ring says */
	uint32_t cpu;		/* likewise */
	uint32_t until_stack;	/* ALLOCs */
	unsigned attachment;	/* to which it belongs */
} tracers[NP_TRACE_RINGS_MAX];

static bool taken[NP_TRACE_RINGS_MAX]; /* by a thread; guarded by `lock` */

/* Written by np_trace_attach; base and size stay, to be used again. */
static struct {
	struct np_trace_header *header;	/* NULL: no file */
	struct np_trace_header copy;	/* what was found to be good */
	char *base;
	size_t size;
	_Atomic unsigned attachment;	/* counts them. Release: the rest is
					   written; acquire by who uses it */
} file;

/* Guards ring 0, and who has which of the others. */
static struct np_lock lock = NP_LOCK_INIT(NP_RANK_TRACE);

static _Thread_local struct tracer *mine
	__attribute__((tls_model("initial-exec")));
static _Thread_local uint32_t my_tid
	__attribute__((tls_model("initial-exec")));
/* It will say when it ends. */
static _Thread_local bool is_known
	__attribute__((tls_model("initial-exec")));

/* --- the file -------------------------------------------------------- */

/* Can the process live with what the header says of a file of this size? */
static bool is_sound(const struct np_trace_header *h, uint64_t size)
{
	uint64_t page = np_os_page_size();

	return h->magic == NP_TRACE_MAGIC && h->version == NP_TRACE_VERSION &&
	       h->nrings >= 2 && h->nrings <= NP_TRACE_RINGS_MAX &&
	       h->ring_size >= RING_SIZE_MIN && h->ring_size <= RING_SIZE_MAX &&
	       np_is_pow2(h->ring_size) && h->ring_offset >= sizeof *h &&
	       h->ring_offset % page == 0 && h->ring_stride % page == 0 &&
	       h->ring_stride >= h->ring_size + NP_TRACE_EVENTS_AT &&
	       h->ring_stride <= 2 * RING_SIZE_MAX &&
	       h->maps_offset >= sizeof *h && h->maps_offset % page == 0 &&
	       h->maps_room % page == 0 && h->maps_offset <= h->ring_offset &&
	       h->maps_room <= h->ring_offset - h->maps_offset &&
	       h->ring_offset <= size &&
	       (size - h->ring_offset) / h->ring_stride >= h->nrings;
}

/* Its own file, or that of the program which became this one. */
static bool is_for_us(struct np_trace_header *h)
{
	uint32_t pid = 0, own = (uint32_t)getpid();

	return atomic_compare_exchange_strong_explicit(
		       &h->pid, &pid, own, memory_order_relaxed,
		       memory_order_relaxed) || pid == own;
}

static int read_header(int fd, struct np_trace_header *h, size_t *size)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return errno;
	if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() ||
	    pread(fd, h, sizeof *h, 0) != sizeof *h ||
	    !is_sound(h, (uint64_t)st.st_size))
		return EINVAL;
	*size = h->ring_offset + h->nrings * h->ring_stride;
	return 0;
}

/* Maps it, where the last one was if that is as large. */
static char *map_file(int fd, size_t size)
{
	bool again = file.base && size == file.size;
	void *p = np_os->mmap(again ? file.base : NULL, size,
			      PROT_READ | PROT_WRITE,
			      MAP_SHARED | (again ? MAP_FIXED : 0), fd, 0);

	return p == MAP_FAILED ? NULL : p;
}

static char *ring_at(unsigned i)
{
	return file.base + file.copy.ring_offset + i * file.copy.ring_stride;
}

/* What is allocated for a ring before it is used. */
static size_t ring_bytes(void)
{
	return np_round_up(file.copy.ring_size + NP_TRACE_EVENTS_AT,
			   np_os_page_size());
}

/* The tool looks at rings up to the highest that was used. Release: what is
 * there of it can be read. */
static void show_ring(unsigned i)
{
	struct np_trace_header *h = file.header;
	uint32_t n = h ? atomic_load_explicit(&h->rings_used,
					      memory_order_relaxed) : i + 1;

	while (n <= i && !atomic_compare_exchange_weak_explicit(
		       &h->rings_used, &n, i + 1, memory_order_release,
		       memory_order_relaxed))
		;
}

static void set_tracer(unsigned i, unsigned attachment)
{
	struct tracer *t = &tracers[i];
	char *ring = ring_at(i);

	memset(t, 0, sizeof *t);
	t->ring = (struct np_trace_ring *)(void *)ring;
	t->events = (struct np_trace_event *)(void *)
		    (ring + NP_TRACE_EVENTS_AT);
	t->size = file.copy.ring_size;
	/* The program that became this one may have begun. */
	t->head = atomic_load_explicit(&t->ring->head, memory_order_relaxed) &
		  ~(uint64_t)(sizeof *t->events - 1);
	t->room = t->head;
	t->cpu = NO_CPU;
	t->until_stack = 1;
	t->attachment = attachment;
}

/* For who names the addresses of stacks: the process may be gone by then. What
 * does not fit is left out. */
static void show_maps(void)
{
	char *to = file.base + file.copy.maps_offset;
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	size_t size = 0;
	ssize_t n;

	while (fd >= 0 && (n = read(fd, to + size,
				    file.copy.maps_room - size)) > 0)
		size += (size_t)n;
	if (fd >= 0)
		close(fd);
	/* Release: pairs with the acquire of the tool. */
	atomic_store_explicit(&file.header->maps_size, (uint32_t)size,
			      memory_order_release);
}

int np_trace_attach(int fd)
{
	struct np_trace_header h;
	unsigned n = atomic_load_explicit(&file.attachment,
					  memory_order_relaxed) + 1;
	size_t size = 0;
	char *p;
	int error = read_header(fd, &h, &size);

	if (error)
		return error;
	p = map_file(fd, size);
	if (!p)
		return errno;
	file.base = p;
	file.size = size;
	file.copy = h;
	np_trace_picks = h.size_min || h.size_max < SIZE_MAX;
	error = np_os_populate(p, np_os_page_size());
	if (!error)
		error = np_os_populate(ring_at(0), ring_bytes());
	if (!error && !is_for_us((struct np_trace_header *)(void *)p))
		error = EPERM;
	if (error) {
		np_trace_detach();
		return error;
	}
	file.header = (struct np_trace_header *)(void *)p;
	if (h.stack_every) {
		np_stack_prepare();
		if (np_os_populate(p + h.maps_offset, h.maps_room) == 0)
			show_maps();
	}
	np_lock(&lock);
	set_tracer(0, n);
	np_unlock(&lock);
	show_ring(0);
	atomic_store_explicit(&file.header->state, NP_TRACE_RECORDS,
			      memory_order_relaxed);
	atomic_store_explicit(&file.attachment, n, memory_order_release);
	return 0;
}

/* Who is writing now goes on in memory that nobody reads: it takes the place
 * of the file at once. */
void np_trace_detach(void)
{
	if (!file.base)
		return;
	if (file.header)
		atomic_store_explicit(&file.header->state, NP_TRACE_STOPPED,
				      memory_order_relaxed);
	file.header = NULL;
	if (np_os->mmap(file.base, file.size, PROT_READ | PROT_WRITE,
			MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS |
			MAP_NORESERVE, -1, 0) != file.base)
		np_warn("the file of a recording stays mapped: %s",
			strerrordesc_np(errno));
}

/* --- a thread's ring ------------------------------------------------- */

/* The first that nobody has, or 0. */
static unsigned take_ring(void)
{
	unsigned i = 1;

	np_lock(&lock);
	while (i < file.copy.nrings && taken[i])
		i++;
	if (i < file.copy.nrings)
		taken[i] = true;
	np_unlock(&lock);
	return i < file.copy.nrings ? i : 0;
}

static void release_ring(const struct tracer *t)
{
	np_lock(&lock);
	taken[t - tracers] = false;
	np_unlock(&lock);
}

/* The thread has none of this attachment yet: the one that it had in the last,
 * or another; number 0 if there is none. */
static __attribute__((noinline)) struct tracer *find_tracer(unsigned attachment)
{
	unsigned i = mine && mine != tracers ? (unsigned)(mine - tracers) : 0;

	my_tid = (uint32_t)gettid();
	if (i >= file.copy.nrings) {
		release_ring(mine);
		i = 0;
	}
	if (!i && is_known)
		i = take_ring();
	if (i && np_os_populate(ring_at(i), ring_bytes()) != 0) {
		release_ring(&tracers[i]);
		i = 0;
	}
	mine = &tracers[i];
	np_trace_fence(); /* what it did before was not recorded here */
	if (i) {
		set_tracer(i, attachment);
		show_ring(i);
	}
	return mine;
}

/* --- writing --------------------------------------------------------- */

static inline void put(struct tracer *t, uint64_t a, uint64_t b)
{
	uint64_t at = t->head & (t->size - 1);

	t->events[at / sizeof *t->events] = (struct np_trace_event){ a, b };
	t->head += sizeof *t->events;
}

static void put_number(struct tracer *t, enum np_trace_kind kind, uint64_t n,
		       uint64_t b)
{
	put(t, n << NP_TRACE_KIND_BITS | kind, b);
}

static void put_size(struct tracer *t, enum np_trace_kind kind, uint64_t home,
		     uint64_t size, uint64_t time)
{
	put(t, home << NP_TRACE_ADDR_SHIFT | kind,
	    time | size << NP_TRACE_SIZE_SHIFT);
}

/* Looks how far the tool has read. It may say anything. */
static bool find_room(struct tracer *t)
{
	/* Acquire: pairs with the tool's release. */
	uint64_t tail = atomic_load_explicit(&t->ring->tail,
					     memory_order_acquire);

	if (t->head - tail > t->size)
		return false;
	t->room = tail + t->size;
	return t->room - t->head >= ROOM;
}

static void lose(struct tracer *t)
{
	t->lost++;
	atomic_store_explicit(&t->ring->lost, ++t->all_lost,
			      memory_order_relaxed);
}

/* Makes sure that there is room; NULL: there is none. */
static inline struct tracer *begin(void)
{
	/* Acquire: pairs with the release in np_trace_attach. */
	unsigned n = atomic_load_explicit(&file.attachment,
					  memory_order_acquire);
	struct tracer *t = mine;

	if (np_unlikely(!n))
		return NULL;
	if (np_unlikely(!t || t->attachment != n))
		t = find_tracer(n);
	if (np_unlikely(t == tracers))
		np_lock(&lock);
	if (np_likely(t->room - t->head >= ROOM) || find_room(t))
		return t;
	lose(t);
	if (t == tracers)
		np_unlock(&lock);
	return NULL;
}

/* Release: who sees the head sees the events. */
static inline void end(struct tracer *t)
{
	atomic_store_explicit(&t->ring->head, t->head, memory_order_release);
	if (np_unlikely(t == tracers))
		np_unlock(&lock);
}

/* What a reader must know before the next event is written. */
static __attribute__((noinline)) void put_news(struct tracer *t, uint64_t now)
{
	if (t->lost) {
		put_number(t, NP_TRACE_LOST, t->lost, 0);
		t->lost = t->last = 0;
	}
	if (!t->last || now - t->last >= GAP)
		put_number(t, NP_TRACE_TIME, now, now & TIME_MASK);
	if (t->tid != my_tid) {
		put_size(t, NP_TRACE_THREAD, 0, my_tid, now & TIME_MASK);
		t->tid = my_tid;
		t->cpu = NO_CPU;
	}
}

/* The time, in its place in word b. Not before that of the ring's last event,
 * but perhaps before what precedes is done. */
static inline uint64_t stamp_early(struct tracer *t)
{
	uint64_t now = np_trace_ticks(file.copy.by_clock);

	if (np_unlikely(now < t->last)) /* read ahead, or CPUs differ */
		now = t->last;
	if (np_unlikely(now - t->last >= GAP || t->lost || t->tid != my_tid))
		put_news(t, now);
	t->last = now;
	return now & TIME_MASK;
}

/* The same, when what precedes is done. */
static inline uint64_t stamp(struct tracer *t)
{
	np_trace_fence();
	return stamp_early(t);
}

static inline void put_fields(struct tracer *t, const struct np_trace_fields *f,
		       uint64_t time)
{
	uint64_t size = f->size;

	if (np_unlikely(size > NP_TRACE_SIZE_MAX)) {
		put_number(t, NP_TRACE_WIDE, size, time);
		size = 0;
	}
	put(t, (f->addr / 16) << NP_TRACE_ADDR_SHIFT |
	    (uint64_t)f->class << NP_TRACE_CLASS_SHIFT |
	    (uint64_t)f->pool << NP_TRACE_POOL_SHIFT | f->kind,
	    time | (uint64_t)f->first << NP_TRACE_FIRST_SHIFT |
	    size << NP_TRACE_SIZE_SHIFT);
}

void np_trace_write(const struct np_trace_fields *f)
{
	struct tracer *t = begin();

	if (!t)
		return;
	put_fields(t, f, stamp(t));
	end(t);
}

static __attribute__((noinline)) void put_stack(struct tracer *t,
						uint64_t time)
{
	void *frame[NP_TRACE_STACK_MAX + 1] = { NULL };
	unsigned n = np_stack_take(frame, NP_TRACE_STACK_MAX);

	put_size(t, NP_TRACE_STACK, 0, n, time);
	for (unsigned i = 0; i < n; i += 2)
		put(t, (uintptr_t)frame[i], (uintptr_t)frame[i + 1]);
}

static bool wants_stack(struct tracer *t, const struct np_trace_fields *f)
{
	if (f->kind != NP_TRACE_ALLOC || --t->until_stack)
		return false;
	t->until_stack = file.copy.stack_every;
	return true;
}

bool np_trace_is_picked(size_t piece_size)
{
	return piece_size >= file.copy.size_min &&
	       piece_size <= file.copy.size_max;
}

void np_trace_call(const struct np_trace_fields *f, uint32_t cpu,
		   np_home_t home, bool hit)
{
	struct tracer *t = begin();
	uint64_t time;

	if (!t)
		return;
	/* In ring 0 the last event may be another thread's, and one that is
	 * lost was not waited for. */
	time = hit && t != tracers && !t->lost ? stamp_early(t) : stamp(t);
	if (np_unlikely(cpu != t->cpu)) {
		put_size(t, NP_TRACE_CPU, home, cpu, time);
		t->cpu = cpu;
	}
	if (np_unlikely(file.copy.stack_every) && wants_stack(t, f))
		put_stack(t, time);
	put_fields(t, f, time);
	end(t);
}

/* --- the thread's life ------------------------------------------------ */

void np_trace_thread_begins(void)
{
	is_known = true;
	mine = NULL;
}

/* Its ring says so, if it is one of the recording that is on. */
static void put_end(void)
{
	struct tracer *t = mine;

	if (!np_trace_on() ||
	    t->attachment != atomic_load_explicit(&file.attachment,
						  memory_order_relaxed))
		return;
	t = begin();
	if (!t)
		return;
	put_size(t, NP_TRACE_THREAD, 0, 0, stamp(t));
	t->tid = 0;
	end(t);
}

void np_trace_thread_ended(void)
{
	if (mine && mine != tracers) {
		put_end();
		release_ring(mine);
	}
	mine = NULL;
	is_known = false;
}

/* --- fork ------------------------------------------------------------ */

void np_trace_lock(void)
{
	np_lock_for_fork(&lock);
}

void np_trace_unlock(void)
{
	np_unlock_for_fork(&lock);
}

void np_trace_forked(void)
{
	atomic_store_explicit(&np_trace_is_on, false, memory_order_relaxed);
	file.header = NULL; /* its state is the parent's */
	np_trace_detach();
	memset(taken, 0, sizeof taken);
	mine = NULL;
}
