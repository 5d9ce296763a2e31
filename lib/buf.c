/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * buf: see buf.h. Counts, indices, capacity and views; what is done to bytes is
 * in bufdata.c.
 */
#include "buf.h"
#include "leak.h"
#include "npool_objpool.h"

#include <errno.h>
#include <pthread.h> /* pthread_setcancelstate */
#include <string.h>

#define ONE NP_BUF_ONE
#define WATCHED_KEPT 256 /* headers, of each node: they are large */
#define FULL (1u << 31) /* of a count: no more of them */
#define MOST_REFS (FULL / ONE) /* 2^28 */

#define GROW_LEAST 64	     /* bytes: the smallest capacity grown to */
#define GROW_STEP (4 * NP_MIB) /* from here on in steps of this */

void np_buf_die(const npool_buf_t *buf, const char *function, const char *what)
{
	np_die("%s(%p): %s", function, (const void *)buf, what);
}

/* --- headers ---------------------------------------------------------- */

/* The header of a buffer that is watched. */
struct watched {
	npool_buf_t buf;
	struct np_leak leak;
};

static struct np_leak *leak_of(npool_buf_t *b)
{
	return &((struct watched *)(void *)b)->leak;
}

/* Headers, [1]: of watched buffers. Release by who made the recycler, acquire
 * by who uses it. */
static npool_objpool_t *_Atomic headers[2];

static npool_objpool_t *make_headers(bool watched)
{
	struct npool_objpool_attr attr = NPOOL_OBJPOOL_ATTR_INIT;
	npool_objpool_t *mine, *none = NULL;

	attr.name = "npool_buf";
	attr.object_size = sizeof(npool_buf_t);
	if (watched) {
		attr.object_size = sizeof(struct watched);
		attr.max_kept = WATCHED_KEPT;
	}
	errno = npool_objpool_create(&mine, &attr);
	if (errno)
		return NULL;
	if (atomic_compare_exchange_strong_explicit(&headers[watched], &none,
						    mine, memory_order_release,
						    memory_order_acquire))
		return mine;
	npool_objpool_destroy(mine);
	return none;
}

static inline void begin(npool_buf_t *b, uint32_t refs, enum np_buf_kind kind,
			 size_t capacity, size_t max)
{
	atomic_store_explicit(&b->refs, refs, memory_order_relaxed);
	atomic_store_explicit(&b->views, NULL, memory_order_relaxed);
	b->kind = (uint8_t)kind;
	b->bytes = NULL;
	b->reader = b->writer = 0;
	b->capacity = (uint32_t)capacity;
	b->max = (uint32_t)max;
	b->marked_reader = b->marked_writer = 0;
}

/* For a buffer that is watched. */
static npool_buf_t *take_watched(enum np_buf_kind kind, size_t capacity,
				 size_t max)
{
	static const char *const names[] = {
		[NP_BUF_POOLED] = "a buffer",
		[NP_BUF_WRAPPED] = "wrapped memory",
		[NP_BUF_COMPOSITE] = "a composite buffer",
		[NP_BUF_VIEW] = "a retained view",
	};
	npool_objpool_t *op = atomic_load_explicit(&headers[1],
						   memory_order_acquire);
	npool_buf_t *b;

	if (!op)
		op = make_headers(true);
	b = op ? npool_objpool_get(op) : NULL;
	if (!b)
		return NULL;
	begin(b, ONE | NP_BUF_WATCHED, kind, capacity, max);
	np_leak_begin(leak_of(b), b, names[kind], capacity);
	return b;
}

/* The recycler of the others: the first one asks for it, and everyone does
 * while some are watched. */
static __attribute__((noinline, cold)) npool_objpool_t *plain_headers(void)
{
	npool_objpool_t *op = atomic_load_explicit(&headers[0],
						   memory_order_acquire);

	if (!op)
		op = make_headers(false);
	if (op)
		np_leak_let_pass(op);
	return op;
}

static inline npool_buf_t *take_header(enum np_buf_kind kind, size_t capacity,
				       size_t max)
{
	npool_objpool_t *op = atomic_load_explicit(&np_leak_unwatched,
						   memory_order_acquire);
	npool_buf_t *b;

	if (np_unlikely(!op)) {
		/* A view that ends with its buffer cannot be forgotten. */
		if (kind != NP_BUF_SHARED && np_leak_wanted())
			return take_watched(kind, capacity, max);
		op = plain_headers();
	}
	b = op ? npool_objpool_get(op) : NULL;
	if (np_unlikely(!b))
		return NULL;
	begin(b, kind == NP_BUF_SHARED ? ONE | NP_BUF_SHARES : ONE, kind,
	      capacity, max);
	return b;
}

npool_buf_t *np_buf_take_header(enum np_buf_kind kind, size_t capacity,
				size_t max)
{
	return take_header(kind, capacity, max);
}

void np_buf_put_header(npool_buf_t *b)
{
	bool watched = atomic_load_explicit(&b->refs, memory_order_relaxed) &
		       NP_BUF_WATCHED;

	if (np_unlikely(watched))
		np_leak_end(leak_of(b));
	npool_objpool_put(atomic_load_explicit(&headers[watched],
					       memory_order_relaxed), b);
}

/* --- the count -------------------------------------------------------- */

/* Who counts for it. */
static npool_buf_t *counter(npool_buf_t *b)
{
	return b->kind == NP_BUF_SHARED ? b->owner : b;
}

void np_buf_look(const npool_buf_t *buf, const char *function,
		 const char *hint)
{
	npool_buf_t *b = counter((npool_buf_t *)(uintptr_t)buf);

	if (atomic_load_explicit(&buf->refs, memory_order_relaxed) &
	    NP_BUF_DEAD)
		np_buf_die(buf, function, "refCnt: 0");
	if (atomic_load_explicit(&b->refs, memory_order_relaxed) &
	    NP_BUF_WATCHED)
		np_leak_touch(leak_of(b), function, hint);
}

static _Noreturn __attribute__((noinline, cold)) void
die_of_count(const npool_buf_t *b, const char *function, uint32_t refs,
	     const char *change, uint32_t n)
{
	np_die("%s(%p): refCnt: %u, %s: %u", function, (const void *)b,
	       refs & NP_BUF_DEAD ? 0 : refs / ONE, change, n);
}

/* Takes n references off, 1 .. MOST_REFS. Returns whether these were the last:
 * the buffer is dead then. Acquire by who does the last: it sees what the
 * others did before theirs, which are release. */
static bool drop(npool_buf_t *b, uint32_t n, const char *function)
{
	uint32_t refs = atomic_load_explicit(&b->refs, memory_order_relaxed);
	uint32_t left;

	do {
		if (np_unlikely(refs & NP_BUF_DEAD || refs / ONE < n))
			die_of_count(b, function, refs, "decrement", n);
		left = refs - n * ONE;
		if (left < ONE)
			left |= NP_BUF_DEAD;
	} while (!atomic_compare_exchange_weak_explicit(
		&b->refs, &refs, left, memory_order_acq_rel,
		memory_order_relaxed));
	return left & NP_BUF_DEAD;
}

/* The views that end with it. */
static void end_views(npool_buf_t *b)
{
	npool_buf_t *v = atomic_exchange_explicit(&b->views, NULL,
						  memory_order_acquire);

	while (v) {
		npool_buf_t *next = atomic_load_explicit(&v->views,
							 memory_order_relaxed);

		atomic_store_explicit(&v->refs, NP_BUF_DEAD | NP_BUF_SHARES,
				      memory_order_relaxed);
		np_buf_put_header(v);
		v = next;
	}
}

static void give_back(const npool_buf_t *b)
{
	int saved = errno;

	if (b->done)
		b->done(b->bytes, b->capacity, b->arg);
	errno = saved;
}

/* A dead buffer goes, and by that perhaps those whose view it is. */
static __attribute__((noinline)) int end_any(npool_buf_t *b)
{
	while (b) {
		npool_buf_t *owner = b->kind == NP_BUF_VIEW ? b->owner : NULL;

		if (atomic_load_explicit(&b->views, memory_order_relaxed))
			end_views(b);
		if (b->kind == NP_BUF_POOLED)
			npool_free(b->bytes);
		else if (b->kind == NP_BUF_WRAPPED)
			give_back(b);
		else if (b->kind == NP_BUF_COMPOSITE)
			np_parts_free(b);
		np_buf_put_header(b);
		b = owner && drop(owner, 1, "npool_buf_release") ? owner
								  : NULL;
	}
	return 1;
}

/* The same for one without marks. Most are of a pool and have no views: that
 * needs few registers. Apart, so that a release that is not the last needs
 * none. */
static __attribute__((noinline)) int end(npool_buf_t *b)
{
	if (np_unlikely(b->kind != NP_BUF_POOLED ||
			atomic_load_explicit(&b->views, memory_order_relaxed)))
		return end_any(b);
	npool_free(b->bytes);
	npool_objpool_put(atomic_load_explicit(&headers[0],
					       memory_order_relaxed), b);
	return 1;
}

/* Is it a live view without a count, or one that is watched? Looks at it. */
static void look_at_marks(npool_buf_t *buf, const char *function)
{
	uint32_t refs = atomic_load_explicit(&buf->refs, memory_order_relaxed);

	if (refs & NP_BUF_SHARES || (refs & NP_BUF_MARKS) == NP_BUF_WATCHED)
		np_buf_look(buf, function, NULL);
}

/* Adds n of them, 1 .. MOST_REFS, with all that there is to be looked at. */
static npool_buf_t *retain_many(npool_buf_t *buf, uint32_t n,
				const char *function)
{
	npool_buf_t *b = counter(buf);
	uint32_t refs;

	look_at_marks(buf, function);
	/* Relaxed: who adds one has one, and no byte is read for that. */
	refs = atomic_fetch_add_explicit(&b->refs, n * ONE,
					 memory_order_relaxed);
	if (refs & NP_BUF_DEAD)
		die_of_count(buf, function, refs, "increment", n);
	if (refs / ONE + n > MOST_REFS)
		np_buf_die(buf, function, "there are 2^28 references: "
			   "somebody does not release");
	return buf;
}

/* One was added where that needs a closer look. */
static __attribute__((noinline, cold)) npool_buf_t *
retain_again(npool_buf_t *buf)
{
	atomic_fetch_sub_explicit(&buf->refs, ONE, memory_order_relaxed);
	return retain_many(buf, 1, "npool_buf_retain");
}

npool_buf_t *npool_buf_retain(npool_buf_t *buf)
{
	uint32_t refs = atomic_fetch_add_explicit(&buf->refs, ONE,
						  memory_order_relaxed);

	if (np_unlikely(refs & (NP_BUF_MARKS | FULL)))
		return retain_again(buf);
	return buf;
}

static __attribute__((noinline)) int
release_many(npool_buf_t *buf, uint32_t n, const char *function)
{
	npool_buf_t *b = counter(buf);

	look_at_marks(buf, function);
	return drop(b, n, function) ? end_any(b) : 0;
}

int npool_buf_release(npool_buf_t *buf)
{
	uint32_t refs = atomic_load_explicit(&buf->refs, memory_order_relaxed);

	do
		if (np_unlikely(refs & NP_BUF_MARKS))
			return release_many(buf, 1, __func__);
	while (!atomic_compare_exchange_weak_explicit(
		&buf->refs, &refs, refs == ONE ? NP_BUF_DEAD : refs - ONE,
		memory_order_acq_rel, memory_order_relaxed)); /* as drop */
	return refs == ONE ? end(buf) : 0;
}

/* May a count change by n? */
static bool is_change(const npool_buf_t *buf, uint32_t n, const char *function)
{
	if (n > MOST_REFS)
		np_buf_die(buf, function, "more than 2^28 references");
	if (!n)
		np_buf_check(buf, function);
	return n > 0;
}

npool_buf_t *npool_buf_retain_many(npool_buf_t *buf, uint32_t n)
{
	return is_change(buf, n, __func__) ? retain_many(buf, n, __func__)
					   : buf;
}

int npool_buf_release_many(npool_buf_t *buf, uint32_t n)
{
	return is_change(buf, n, __func__) ? release_many(buf, n, __func__)
					   : 0;
}

uint32_t npool_buf_refs(const npool_buf_t *buf)
{
	const npool_buf_t *b = buf->kind == NP_BUF_SHARED ? buf->owner : buf;
	uint32_t refs = atomic_load_explicit(&b->refs, memory_order_relaxed);

	return refs & NP_BUF_DEAD ? 0 : refs / ONE;
}

/* --- leaks ------------------------------------------------------------ */

npool_buf_t *npool_buf_touch(npool_buf_t *buf, const char *hint)
{
	if (np_unlikely(atomic_load_explicit(&buf->refs,
					     memory_order_relaxed) &
			(NP_BUF_DEAD | NP_BUF_WATCHED)))
		np_buf_look(buf, __func__, hint);
	return buf;
}

size_t npool_buf_leaks(unsigned age_ms)
{
	return np_leak_count(age_ms);
}

int npool_buf_leaks_print(int fd, unsigned age_ms)
{
	int cancel, error;

	/* Writing is a cancellation point; this is none. */
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	error = np_leak_print(fd, age_ms);
	pthread_setcancelstate(cancel, NULL);
	return error;
}

/* --- making one ------------------------------------------------------- */

static void *take_bytes(npool_t *pool, size_t size)
{
	return pool ? npool_alloc(pool, size, 0) : npool_malloc(size);
}

npool_buf_t *npool_buf_new(npool_t *pool, size_t initial, size_t max)
{
	npool_buf_t *b;

	if (initial > max || max > NPOOL_BUF_MAX)
		return errno = EINVAL, NULL;
	b = take_header(NP_BUF_POOLED, initial, max);
	if (np_unlikely(!b))
		return NULL;
	b->pool = pool;
	if (initial && !(b->bytes = take_bytes(pool, initial))) {
		np_buf_put_header(b);
		return errno = ENOMEM, NULL;
	}
	return b;
}

npool_buf_t *npool_buf_wrap(void *bytes, size_t size, npool_buf_done_fn *done,
			    void *arg)
{
	npool_buf_t *b;

	if (size > NPOOL_BUF_MAX)
		return errno = EINVAL, NULL;
	b = take_header(NP_BUF_WRAPPED, size, size);
	if (!b)
		return NULL;
	b->bytes = bytes;
	b->writer = (uint32_t)size;
	b->done = done;
	b->arg = arg;
	return b;
}

/* --- indices ---------------------------------------------------------- */

size_t npool_buf_reader(const npool_buf_t *buf)
{
	return buf->reader;
}

size_t npool_buf_writer(const npool_buf_t *buf)
{
	return buf->writer;
}

size_t npool_buf_capacity(const npool_buf_t *buf)
{
	return buf->capacity;
}

size_t npool_buf_max_capacity(const npool_buf_t *buf)
{
	return buf->max;
}

size_t npool_buf_readable(const npool_buf_t *buf)
{
	return buf->writer - buf->reader;
}

size_t npool_buf_writable(const npool_buf_t *buf)
{
	return buf->capacity - buf->writer;
}

int npool_buf_set_indices(npool_buf_t *buf, size_t reader, size_t writer)
{
	NP_BUF_CHECK(buf);
	if (reader > writer || writer > buf->capacity)
		return ERANGE;
	buf->reader = (uint32_t)reader;
	buf->writer = (uint32_t)writer;
	return 0;
}

int npool_buf_set_reader(npool_buf_t *buf, size_t reader)
{
	return npool_buf_set_indices(buf, reader, buf->writer);
}

int npool_buf_set_writer(npool_buf_t *buf, size_t writer)
{
	return npool_buf_set_indices(buf, buf->reader, writer);
}

void npool_buf_clear(npool_buf_t *buf)
{
	npool_buf_set_indices(buf, 0, 0);
}

void npool_buf_mark_reader(npool_buf_t *buf)
{
	NP_BUF_CHECK(buf);
	buf->marked_reader = buf->reader;
}

int npool_buf_reset_reader(npool_buf_t *buf)
{
	return npool_buf_set_reader(buf, buf->marked_reader);
}

void npool_buf_mark_writer(npool_buf_t *buf)
{
	NP_BUF_CHECK(buf);
	buf->marked_writer = buf->writer;
}

int npool_buf_reset_writer(npool_buf_t *buf)
{
	return npool_buf_set_writer(buf, buf->marked_writer);
}

int npool_buf_skip(npool_buf_t *buf, size_t n)
{
	NP_BUF_CHECK(buf);
	if (n > npool_buf_readable(buf))
		return ERANGE;
	buf->reader += (uint32_t)n;
	return 0;
}

/* --- capacity --------------------------------------------------------- */

/* An exact multiple of the step gets one more, but for the first: so Netty. */
size_t np_buf_growth(size_t min, size_t max)
{
	size_t n = GROW_LEAST;

	if (min > GROW_STEP) {
		n = min / GROW_STEP * GROW_STEP;
		return n > max - GROW_STEP ? max : n + GROW_STEP;
	}
	while (n < min)
		n *= 2;
	return n < max ? n : max;
}

/* Bytes that its piece has: what it can grow to in place. */
static size_t room_of(const npool_buf_t *b)
{
	size_t room = npool_usable_size(b->bytes);

	return room < b->max ? room : b->max;
}

/* Gives it a piece for n bytes; what it had, as far as that, is kept. */
static int move_to(npool_buf_t *b, size_t n)
{
	uint8_t *bytes = NULL;

	if (!n)
		npool_free(b->bytes);
	else if (b->bytes)
		bytes = npool_realloc(b->bytes, n);
	else
		bytes = take_bytes(b->pool, n);
	if (n && !bytes)
		return ENOMEM;
	b->bytes = bytes;
	b->capacity = (uint32_t)n;
	return 0;
}

static int grow(npool_buf_t *b, size_t min)
{
	size_t room = room_of(b);

	if (min > room)
		return move_to(b, np_buf_growth(min, b->max));
	b->capacity = (uint32_t)room;
	return 0;
}

int npool_buf_ensure_writable(npool_buf_t *buf, size_t n)
{
	NP_BUF_CHECK(buf);
	if (n <= npool_buf_writable(buf))
		return 0;
	if (n > buf->max - buf->writer)
		return ERANGE;
	n += buf->writer;
	return buf->kind == NP_BUF_COMPOSITE
		? np_parts_resize(buf, np_buf_growth(n, buf->max))
		: grow(buf, n);
}

int npool_buf_try_writable(npool_buf_t *buf, size_t n, int force)
{
	bool never = n > buf->max - buf->writer;
	int error;

	NP_BUF_CHECK(buf);
	if (n <= npool_buf_writable(buf))
		return NPOOL_BUF_ENOUGH;
	if (never && (!force || buf->capacity == buf->max))
		return NPOOL_BUF_SHORT;
	error = never ? npool_buf_set_capacity(buf, buf->max)
		      : npool_buf_ensure_writable(buf, n);
	if (error)
		return errno = error, -1;
	return never ? NPOOL_BUF_FULL : NPOOL_BUF_GROWN;
}

/* Is the piece worth being kept for n bytes, fewer than it has? */
static bool stays(size_t n, size_t room)
{
	return n > room / 2 && (room > 512 || n + 16 > room);
}

static uint32_t lower(uint32_t index, uint32_t limit)
{
	return index < limit ? index : limit;
}

void np_buf_clip(npool_buf_t *b)
{
	b->writer = lower(b->writer, b->capacity);
	b->reader = lower(b->reader, b->writer);
}

static int resize(npool_buf_t *b, size_t n)
{
	size_t room = npool_usable_size(b->bytes);

	if (n > room || (n < b->capacity && !stays(n, room)))
		return move_to(b, n);
	b->capacity = (uint32_t)n;
	return 0;
}

int npool_buf_set_capacity(npool_buf_t *buf, size_t n)
{
	int error;

	NP_BUF_CHECK(buf);
	if (n == buf->capacity)
		return 0;
	if (n > buf->max || np_buf_is_view(buf) || buf->kind == NP_BUF_WRAPPED)
		return ERANGE;
	error = buf->kind == NP_BUF_COMPOSITE ? np_parts_resize(buf, n)
					      : resize(buf, n);
	np_buf_clip(buf);
	return error;
}

#define PORTION 256 /* bytes that are moved at once from part to part */

/* Moves n bytes, which are there, down to index 0. */
static void move_down(npool_buf_t *b, size_t from, size_t n)
{
	uint8_t portion[PORTION];
	size_t some;

	if (np_buf_root(b)->kind != NP_BUF_COMPOSITE) {
		if (n)
			memmove(np_buf_span(b, 0, &n), np_buf_span(b, from, &n),
				n);
		return;
	}
	for (size_t to = 0; to < n; to += some) {
		some = n - to < PORTION ? n - to : PORTION;
		npool_buf_get(b, from + to, portion, some);
		npool_buf_set(b, to, portion, some);
	}
}

void npool_buf_discard(npool_buf_t *buf)
{
	uint32_t n = buf->reader;
	size_t left = npool_buf_readable(buf);

	NP_BUF_CHECK(buf);
	if (!n)
		return;
	if (buf->kind == NP_BUF_COMPOSITE)
		np_parts_discard(buf, n);
	else if (np_buf_has(buf, n, left))
		move_down(buf, n, left);
	buf->reader = 0;
	buf->writer -= n;
	buf->marked_reader -= lower(n, buf->marked_reader);
	buf->marked_writer -= lower(n, buf->marked_writer);
}

void npool_buf_discard_some(npool_buf_t *buf)
{
	if (buf->reader && (buf->reader == buf->writer ||
			    buf->reader >= buf->capacity / 2))
		npool_buf_discard(buf);
	else
		NP_BUF_CHECK(buf);
}

/* --- views ------------------------------------------------------------ */

/* A view of n bytes, which are there. retained: with a count of its own. */
static npool_buf_t *make_view(npool_buf_t *b, size_t index, size_t n,
			      bool retained)
{
	npool_buf_t *owner = counter(b), *v;

	v = take_header(retained ? NP_BUF_VIEW : NP_BUF_SHARED, n, n);
	if (!v)
		return NULL;
	v->root = np_buf_is_view(b) ? b->root : b;
	v->offset = (uint32_t)index + (np_buf_is_view(b) ? b->offset : 0);
	v->owner = owner;
	v->writer = (uint32_t)n;
	if (retained) {
		npool_buf_retain(owner);
	} else {
		npool_buf_t *next = atomic_load_explicit(&owner->views,
							 memory_order_relaxed);

		if (np_unlikely(atomic_load_explicit(&owner->refs,
						     memory_order_relaxed) &
				NP_BUF_WATCHED))
			atomic_fetch_or_explicit(&v->refs, NP_BUF_WATCHED,
						 memory_order_relaxed);
		do
			atomic_store_explicit(&v->views, next,
					      memory_order_relaxed);
		while (!atomic_compare_exchange_weak_explicit(
			&owner->views, &next, v, memory_order_release,
			memory_order_relaxed));
	}
	return v;
}

static npool_buf_t *slice(npool_buf_t *b, size_t index, size_t n,
			  bool retained)
{
	if (!np_buf_has(b, index, n))
		return errno = ERANGE, NULL;
	return make_view(b, index, n, retained);
}

npool_buf_t *npool_buf_slice(npool_buf_t *buf, size_t index, size_t n)
{
	NP_BUF_CHECK(buf);
	return slice(buf, index, n, false);
}

npool_buf_t *npool_buf_retained_slice(npool_buf_t *buf, size_t index, size_t n)
{
	NP_BUF_CHECK(buf);
	return slice(buf, index, n, true);
}

static npool_buf_t *read_slice(npool_buf_t *b, size_t n, bool retained)
{
	npool_buf_t *v;

	if (n > npool_buf_readable(b))
		return errno = ERANGE, NULL;
	v = slice(b, b->reader, n, retained);
	if (v)
		b->reader += (uint32_t)n;
	return v;
}

npool_buf_t *npool_buf_read_slice(npool_buf_t *buf, size_t n)
{
	NP_BUF_CHECK(buf);
	return read_slice(buf, n, false);
}

npool_buf_t *npool_buf_read_retained_slice(npool_buf_t *buf, size_t n)
{
	NP_BUF_CHECK(buf);
	return read_slice(buf, n, true);
}

static npool_buf_t *duplicate(npool_buf_t *b, bool retained)
{
	npool_buf_t *v = slice(b, 0, b->capacity, retained);

	if (v) {
		v->reader = b->reader;
		v->writer = b->writer;
	}
	return v;
}

npool_buf_t *npool_buf_duplicate(npool_buf_t *buf)
{
	NP_BUF_CHECK(buf);
	return duplicate(buf, false);
}

npool_buf_t *npool_buf_retained_duplicate(npool_buf_t *buf)
{
	NP_BUF_CHECK(buf);
	return duplicate(buf, true);
}

/* --- copies ----------------------------------------------------------- */

static npool_buf_t *copy_to(npool_t *pool, const npool_buf_t *b, size_t index,
			    size_t n)
{
	npool_buf_t *copy;

	if (!np_buf_has(b, index, n))
		return errno = ERANGE, NULL;
	copy = npool_buf_new(pool, n, b->max);
	if (!copy)
		return NULL;
	npool_buf_get(b, index, copy->bytes, n);
	copy->writer = (uint32_t)n;
	return copy;
}

npool_buf_t *npool_buf_copy(const npool_buf_t *buf, size_t index, size_t n)
{
	const npool_buf_t *root = np_buf_root(buf);

	NP_BUF_CHECK(buf);
	return copy_to(root->kind == NP_BUF_WRAPPED ? NULL : root->pool, buf,
		       index, n);
}

/* Are its bytes those of one piece of the pool? */
static bool lies_in(const npool_buf_t *b, const npool_t *pool)
{
	const npool_buf_t *root = np_buf_root(b);
	const npool_t *its = root->pool;

	return root->kind == NP_BUF_POOLED &&
	       (its == pool || (its ? its : npool_default()) ==
			       (pool ? pool : npool_default()));
}

npool_buf_t *npool_buf_to_pool(npool_buf_t *buf, npool_t *pool)
{
	npool_buf_t *copy;

	NP_BUF_CHECK(buf);
	if (lies_in(buf, pool))
		return buf;
	copy = copy_to(pool, buf, buf->reader, npool_buf_readable(buf));
	if (copy)
		npool_buf_release(buf);
	return copy;
}
