/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * rings: see rings.h.
 */
#include "rings.h"
#include "tool.h"

#include <errno.h>
#include <fcntl.h> /* open */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h> /* mmap */
#include <time.h>
#include <unistd.h>

#define HEADER_SIZE ((size_t)64 << 10) /* the largest system page */
#define TIME_MASK (((uint64_t)1 << NP_TRACE_TIME_BITS) - 1)
#define MAPS_SIZE ((size_t)256 << 10)
#define ROUND_MOST ((uint64_t)64 << 20) /* bytes of rings */
#define SECOND_NS 1000000000
#define CALIBRATE_NS 20000000 /* until ticks and ns can be compared */

/* What was read of a ring so far. */
struct ring {
	struct np_trace_ring *shared;
	const struct np_trace_event *events;
	uint64_t tail;	/* bytes */
	uint64_t ticks;	/* of the last event */
	uint64_t wide;	/* the size that the next event has; 0: its own */
};

struct rings {
	char *path;
	struct np_trace_header *header;
	size_t size;	/* of the file */
	uint64_t mask;	/* of positions, within a ring */
	unsigned n;
	bool by_clock;
	struct ring *ring;
	/* How ticks become ns since the start. */
	uint64_t first_ticks, first_ns;
	double ns_a_tick;
	uint64_t round_ns; /* when the last round ended */
	bool new_stacks;
	rings_pool_call *on_pool;
	void *arg;
};

/* --- time ------------------------------------------------------------ */

/* What the process takes where there are no ticks. */
static uint64_t clock_ns(void)
{
	return np_trace_ticks(true);
}

/* Does the machine's counter run evenly, in sleep too, on all CPUs alike? The
 * kernel says so by a flag of each CPU. */
static bool has_steady_ticks(void)
{
#ifdef __x86_64__
	FILE *f = fopen("/proc/cpuinfo", "r");
	char *line = NULL;
	size_t room = 0;
	bool found = false;

	while (f && !found && getline(&line, &room, f) > 0)
		found = !strncmp(line, "flags", 5) &&
			strstr(line, " nonstop_tsc");
	free(line);
	if (f)
		fclose(f);
	return found;
#else
	return true;
#endif
}

/* How long is a tick? Sleeps once; later rounds know it better. */
static void calibrate(struct rings *r)
{
	struct timespec pause = { .tv_nsec = CALIBRATE_NS };

	r->first_ticks = np_trace_ticks(r->by_clock);
	r->first_ns = clock_ns();
	r->ns_a_tick = 1;
	if (r->by_clock)
		return;
	nanosleep(&pause, NULL);
	r->ns_a_tick = (double)(clock_ns() - r->first_ns) /
		(double)(np_trace_ticks(r->by_clock) - r->first_ticks);
}

/* Never goes back: a tick's length is corrected from round to round. */
static uint64_t ns_of(struct rings *r, uint64_t ticks)
{
	return ticks > r->first_ticks
		? (uint64_t)((double)(ticks - r->first_ticks) * r->ns_a_tick)
		: 0;
}

/* --- the file -------------------------------------------------------- */

static void make_file(struct rings *r, const struct np_trace_header *h,
		      uid_t owner)
{
	int fd = open(r->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	void *p;

	if (fd < 0 || ftruncate(fd, (off_t)r->size) != 0)
		give_up(EXIT_SELF, "%s: %s", r->path, strerror(errno));
	p = mmap(NULL, r->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	/* Allocated, not only touched: a full disk is an error here. */
	if (owner != geteuid() && fchown(fd, owner, (gid_t)-1) != 0)
		give_up(EXIT_SELF, "%s: %s", r->path, strerror(errno));
	if (p == MAP_FAILED ||
	    (errno = posix_fallocate(fd, 0, (off_t)sizeof *h)) != 0)
		give_up(EXIT_SELF, "%s: %s", r->path, strerror(errno));
	close(fd);
	r->header = p;
	*r->header = *h;
}

struct rings *rings_create(const char *path, const struct rings_options *o)
{
	struct rings *r = get_memory(1, sizeof *r);
	struct np_trace_header h = {
		.magic = NP_TRACE_MAGIC,
		.version = NP_TRACE_VERSION,
		.nrings = o->nrings,
		.ring_offset = HEADER_SIZE + MAPS_SIZE,
		.maps_offset = HEADER_SIZE,
		.maps_room = MAPS_SIZE,
		.ring_stride = o->ring_size + HEADER_SIZE,
		.ring_size = o->ring_size,
		.size_min = o->size_min,
		.size_max = o->size_max,
		.stack_every = o->stack_every,
		.pid = o->pid,
	};

	r->path = format_text("%s", path);
	r->n = o->nrings;
	r->mask = o->ring_size - 1;
	r->size = h.ring_offset + h.nrings * h.ring_stride;
	h.by_clock = r->by_clock = !has_steady_ticks();
	make_file(r, &h, o->owner);
	r->ring = get_memory(r->n, sizeof *r->ring);
	for (unsigned i = 0; i < r->n; i++) {
		char *at = (char *)r->header + h.ring_offset +
			   i * h.ring_stride;

		r->ring[i].shared = (struct np_trace_ring *)(void *)at;
		r->ring[i].events = (struct np_trace_event *)(void *)
				    (at + NP_TRACE_EVENTS_AT);
	}
	calibrate(r);
	return r;
}

void rings_destroy(struct rings *r)
{
	munmap(r->header, r->size);
	unlink(r->path);
	free(r->path);
	free(r->ring);
	free(r);
}

bool rings_are_used(const struct rings *r)
{
	return atomic_load_explicit(&r->header->state,
				    memory_order_relaxed) != NP_TRACE_WAITS;
}

bool rings_are_over(const struct rings *r)
{
	return atomic_load_explicit(&r->header->state,
				    memory_order_relaxed) == NP_TRACE_STOPPED;
}

uint64_t rings_now_ns(const struct rings *r)
{
	return r->round_ns;
}

char *rings_maps(const struct rings *r)
{
	/* Acquire: pairs with the process's release. */
	uint32_t size = atomic_load_explicit(&r->header->maps_size,
					     memory_order_acquire);

	return format_text("%.*s", (int)(size < MAPS_SIZE ? size : MAPS_SIZE),
			   (const char *)r->header + HEADER_SIZE);
}

bool rings_have_new_stacks(const struct rings *r)
{
	return r->new_stacks;
}

void rings_on_pool(struct rings *r, rings_pool_call *call, void *arg)
{
	r->on_pool = call;
	r->arg = arg;
}

/* --- events ---------------------------------------------------------- */

/* Acquire: pairs with the writer's release. A head that cannot be is taken for
 * an empty ring. */
static uint64_t head_of(const struct rings *r, const struct ring *ring)
{
	uint64_t head = atomic_load_explicit(&ring->shared->head,
					     memory_order_acquire);

	head &= ~(uint64_t)(sizeof *ring->events - 1);
	return head - ring->tail > r->mask + 1 ? ring->tail : head;
}

/* Rings that nobody has taken are not in memory, and shall not be. Acquire:
 * pairs with the process's release. */
static unsigned rings_used(const struct rings *r)
{
	unsigned n = atomic_load_explicit(&r->header->rings_used,
					  memory_order_acquire);

	return n < r->n ? n : r->n;
}

static uint64_t pending(const struct rings *r, const struct ring *ring)
{
	return head_of(r, ring) - ring->tail;
}

unsigned rings_fullest(const struct rings *r)
{
	uint64_t most = 0;

	for (unsigned i = 0; i < rings_used(r); i++) {
		uint64_t n = pending(r, &r->ring[i]);

		most = n > most ? n : most;
	}
	return (unsigned)(most * 100 / (r->mask + 1));
}

static const struct np_trace_event *event_at(const struct rings *r,
					     const struct ring *ring,
					     uint64_t at)
{
	return &ring->events[(at & r->mask) / sizeof *ring->events];
}

static unsigned kind_of(const struct np_trace_event *e)
{
	return e->a & ((1u << NP_TRACE_KIND_BITS) - 1);
}

/* The time of an event, which is not before the last one. */
static uint64_t ticks_at(const struct ring *ring,
			 const struct np_trace_event *e)
{
	if (kind_of(e) == NP_TRACE_TIME)
		return e->a >> NP_TRACE_KIND_BITS;
	if (kind_of(e) == NP_TRACE_LOST)
		return ring->ticks;
	return ring->ticks + ((e->b - ring->ticks) & TIME_MASK);
}

/* The return addresses behind a STACK at `at`. Returns its number, and moves
 * on. */
static uint32_t read_stack(struct rings *r, const struct ring *ring,
			   struct writer *w, uint32_t n, uint64_t *at)
{
	uint64_t frame[NP_TRACE_STACK_MAX + 1];

	for (uint32_t i = 0; i < n; i += 2) {
		const struct np_trace_event *e = event_at(r, ring, *at);

		frame[i] = e->a;
		frame[i + 1] = e->b;
		*at += sizeof *e;
	}
	return writer_stack(w, frame, n);
}

static struct event fields_of(const struct np_trace_event *e)
{
	return (struct event){
		.kind = (uint8_t)kind_of(e),
		.pool = e->a >> NP_TRACE_POOL_SHIFT & (NP_MAX_POOLS - 1),
		.class = e->a >> NP_TRACE_CLASS_SHIFT & 0xff,
		.addr = e->a >> NP_TRACE_ADDR_SHIFT << 4,
		.first = e->b >> NP_TRACE_FIRST_SHIFT & 0x1f,
		.size = e->b >> NP_TRACE_SIZE_SHIFT,
		.stack = RECORDING_NO_STACK,
	};
}

/* Writes the event at *at, and moves on, behind its stack too. Returns false:
 * it is not all there. */
static bool take_event(struct rings *r, struct ring *ring, struct writer *w,
		       uint64_t *at, uint64_t head)
{
	const struct np_trace_event *from = event_at(r, ring, *at);
	struct event e = fields_of(from);

	e.time_ns = ns_of(r, ring->ticks);
	if (e.time_ns < r->round_ns)
		e.time_ns = r->round_ns;
	*at += sizeof *from;
	if (e.kind == NP_TRACE_WIDE) {
		ring->wide = from->a >> NP_TRACE_KIND_BITS;
		return true;
	}
	if (ring->wide)
		e.size = ring->wide;
	ring->wide = 0;
	if (e.kind == NP_TRACE_LOST)
		e.size = from->a >> NP_TRACE_KIND_BITS;
	if (e.kind == NP_TRACE_CPU)
		e.home = (uint16_t)(e.addr >> 4) % NP_MAX_NODES;
	if (e.kind == NP_TRACE_STACK) {
		if (e.size > NP_TRACE_STACK_MAX ||
		    (e.size + 1) / 2 * sizeof *from > head - *at)
			return false;
		e.stack = read_stack(r, ring, w, (uint32_t)e.size, at);
	}
	if (e.kind == NP_TRACE_POOL && r->on_pool)
		r->on_pool(r->arg, e.pool, (unsigned)e.size, e.class, e.first);
	if (e.kind < NP_TRACE_KINDS &&
	    event_kinds[e.kind].layout != LAYOUT_NONE)
		writer_event(w, &e);
	return true;
}

/* Writes what is not later than now. Returns how many. */
static uint64_t drain_ring(struct rings *r, struct ring *ring,
			   struct writer *w, uint64_t now)
{
	uint64_t head = head_of(r, ring), at = ring->tail, n = 0;

	while (at != head) {
		uint64_t ticks = ticks_at(ring, event_at(r, ring, at));

		if (ticks > now)
			break;
		if (ticks > ring->ticks)
			ring->ticks = ticks;
		n++;
		if (!take_event(r, ring, w, &at, head))
			at = head;
	}
	ring->tail = at;
	/* Release: pairs with the acquire of the writer, who goes on there. */
	atomic_store_explicit(&ring->shared->tail, at, memory_order_release);
	return n;
}

/* When was what lies so many bytes behind the tail written? */
static uint64_t ticks_behind(const struct rings *r, struct ring ring,
			     uint64_t bytes)
{
	uint64_t end = ring.tail + bytes;

	while (ring.tail < end) {
		const struct np_trace_event *e = event_at(r, &ring, ring.tail);
		uint64_t ticks = ticks_at(&ring, e);

		ring.ticks = ticks > ring.ticks ? ticks : ring.ticks;
		ring.tail += sizeof *e;
		if (kind_of(e) == NP_TRACE_STACK)
			ring.tail += ((e->b >> NP_TRACE_SIZE_SHIFT) + 1) / 2 *
				     sizeof *e;
	}
	return ring.ticks;
}

/* Now; or, if that would be too much for a frame, when none of the rings had
 * more than its share: a round must end at one time in all of them. */
static uint64_t time_of_round(const struct rings *r)
{
	uint64_t now = np_trace_ticks(r->by_clock), all = 0;
	unsigned n;

	np_trace_fence(); /* not later than the rings are looked at */
	n = rings_used(r);
	for (unsigned i = 0; i < n; i++)
		all += pending(r, &r->ring[i]);
	for (unsigned i = 0; all > ROUND_MOST && i < n; i++) {
		uint64_t share = ROUND_MOST / n, ticks;

		if (pending(r, &r->ring[i]) <= share)
			continue;
		ticks = ticks_behind(r, r->ring[i], share);
		now = ticks < now ? ticks : now;
	}
	return now;
}

/* The longer it is, the better it is known. */
static void correct(struct rings *r)
{
	uint64_t ns = clock_ns() - r->first_ns;

	if (!r->by_clock && ns > SECOND_NS)
		r->ns_a_tick = (double)ns /
			(double)(np_trace_ticks(r->by_clock) - r->first_ticks);
}

uint64_t rings_drain(struct rings *r, struct writer *w)
{
	uint64_t now = time_of_round(r), n = 0;
	uint32_t before = writer_nstacks(w);

	writer_round(w, r->round_ns);
	for (unsigned i = 0; i < rings_used(r); i++) {
		if (!pending(r, &r->ring[i]))
			continue;
		writer_section(w, i);
		n += drain_ring(r, &r->ring[i], w, now);
	}
	writer_round_ends(w);
	r->new_stacks = writer_nstacks(w) != before;
	if (ns_of(r, now) > r->round_ns)
		r->round_ns = ns_of(r, now);
	correct(r);
	return n;
}
