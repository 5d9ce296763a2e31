/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * npool_buf.h: buffers: counted, grown, sliced, without copying. What Netty's
 * ByteBuf is to a server in Java. npool_buf(3) begins the reference;
 * npool_buf_get(3), npool_buf_slice(3), npool_buf_composite(3) and
 * npool_buf_io(3) have the rest.
 *
 *	| read already | to be read | to be written |   may be grown   |
 *	0    <=     reader   <=   writer   <=   capacity   <=   max capacity
 *
 * Threads: the count may be changed by any thread at any time; the last
 * release may come on any, and the memory goes home. For all else a buffer is
 * one thread's at a time, with the views that share its bytes; functions that
 * take a pointer to const may run beside each other. None may be called by a
 * signal handler that may have interrupted another. A call may block or enter
 * the kernel only as npool_malloc(3) and npool_free(3) may.
 *
 * Errors: what can come from outside, an index or a length, is answered by
 * ERANGE, and nothing was changed. A buffer that is used behind its last
 * release ends the process, with a message, as long as its header was not
 * used again; so do more than 2^28 references.
 *
 * Source: Netty's ByteBuf, 4.1.48: indices, growth, views, the count.
 */
#ifndef NPOOL_BUF_H
#define NPOOL_BUF_H

#include <npool.h>

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h> /* ssize_t */

#ifdef __cplusplus
extern "C" {
#endif

struct iovec;  /* <sys/uio.h> */
struct msghdr; /* <sys/socket.h> */

typedef struct npool_buf npool_buf_t;

/* The largest capacity, in bytes: 2 GiB - 1. */
#define NPOOL_BUF_MAX ((size_t)INT32_MAX)

/* Called with the memory of npool_buf_wrap when nobody needs it any more, by
 * the thread of the last release. */
typedef void npool_buf_done_fn(void *bytes, size_t size, void *arg);

/* --- npool_buf(3) ------------------------------------------------------ */

/* Returns a buffer of `initial` bytes of the pool (NULL: the default one), both
 * indices 0, which can grow to max bytes, at most NPOOL_BUF_MAX. It has one
 * reference.
 * Returns: the buffer, or NULL with EINVAL: initial is above max, or max above
 * NPOOL_BUF_MAX; ENOMEM; EAGAIN: the program is still being loaded. */
NPOOL_API npool_buf_t *npool_buf_new(npool_t *pool, size_t initial,
				     size_t max);

/* Returns a buffer of size bytes that are not the pool's and are there to be
 * read. It cannot grow. done (NULL: nothing) is called when the last reference
 * goes.
 * Returns: as npool_buf_new; EINVAL: size is above NPOOL_BUF_MAX. done is not
 * called then. */
NPOOL_API npool_buf_t *npool_buf_wrap(void *bytes, size_t size,
				      npool_buf_done_fn *done, void *arg);

/* Adds a reference. Returns buf.
 * Threads: any that has a reference. */
NPOOL_API npool_buf_t *npool_buf_retain(npool_buf_t *buf);

/* Takes one off; with the last one the buffer is gone, with the views that
 * share its count, and its memory goes home. Keeps errno.
 * Returns: 1, it was the last; else 0.
 * Threads: any. */
NPOOL_API int npool_buf_release(npool_buf_t *buf);

/* The same for n of them at once; 0: nothing. release_many ends the process if
 * there are not so many. */
NPOOL_API npool_buf_t *npool_buf_retain_many(npool_buf_t *buf, uint32_t n);
NPOOL_API int npool_buf_release_many(npool_buf_t *buf, uint32_t n);

/* Returns how many references there are; 0: it is gone. For tests: others may
 * change it. */
NPOOL_API uint32_t npool_buf_refs(const npool_buf_t *buf);

/* Return the index of the first byte to be read, and to be written; the bytes
 * it has, and may have at most; those to be read, and to be written without
 * growing. */
NPOOL_API size_t npool_buf_reader(const npool_buf_t *buf);
NPOOL_API size_t npool_buf_writer(const npool_buf_t *buf);
NPOOL_API size_t npool_buf_capacity(const npool_buf_t *buf);
NPOOL_API size_t npool_buf_max_capacity(const npool_buf_t *buf);
NPOOL_API size_t npool_buf_readable(const npool_buf_t *buf);
NPOOL_API size_t npool_buf_writable(const npool_buf_t *buf);

/* Set one index, or both at once.
 * Returns: 0, or ERANGE: not reader <= writer <= capacity. */
NPOOL_API int npool_buf_set_reader(npool_buf_t *buf, size_t reader);
NPOOL_API int npool_buf_set_writer(npool_buf_t *buf, size_t writer);
NPOOL_API int npool_buf_set_indices(npool_buf_t *buf, size_t reader,
				    size_t writer);

/* Sets both indices to 0. The bytes stay. */
NPOOL_API void npool_buf_clear(npool_buf_t *buf);

/* Keep an index, 0 at first, and go back to it; discarding moves it down.
 * Returns: 0, or ERANGE: the other index is in the way. */
NPOOL_API void npool_buf_mark_reader(npool_buf_t *buf);
NPOOL_API int npool_buf_reset_reader(npool_buf_t *buf);
NPOOL_API void npool_buf_mark_writer(npool_buf_t *buf);
NPOOL_API int npool_buf_reset_writer(npool_buf_t *buf);

/* Reads past n bytes.
 * Returns: 0, or ERANGE: there are not so many to be read. */
NPOOL_API int npool_buf_skip(npool_buf_t *buf, size_t n);

/* Makes room for n bytes behind the writer: in place as far as the piece of
 * memory goes; else to the next 64 * 2^k bytes, or above 4 MiB to the next
 * multiple of that.
 * Returns: 0; ERANGE: it may not become so large; ENOMEM. */
NPOOL_API int npool_buf_ensure_writable(npool_buf_t *buf, size_t n);

enum npool_buf_room {
	NPOOL_BUF_ENOUGH = 0, /* there was room */
	NPOOL_BUF_SHORT = 1,  /* there can be none, and nothing was changed */
	NPOOL_BUF_GROWN = 2,  /* there is room now */
	NPOOL_BUF_FULL = 3,   /* it has its max capacity now, which is less */
};

/* The same where less will do: with `force` a buffer that may not become so
 * large grows as far as it may.
 * Returns: a value of enum npool_buf_room, or -1 with ENOMEM. */
NPOOL_API int npool_buf_try_writable(npool_buf_t *buf, size_t n, int force);

/* Makes it n bytes large; indices beyond that are moved to its end.
 * Returns: 0; ERANGE: n is above the max capacity, or the buffer is a view, or
 * wrapped memory, and n is not what it has; ENOMEM. */
NPOOL_API int npool_buf_set_capacity(npool_buf_t *buf, size_t n);

/* Move the bytes that are to be read to index 0: always, or only if half of
 * the capacity has been read. */
NPOOL_API void npool_buf_discard(npool_buf_t *buf);
NPOOL_API void npool_buf_discard_some(npool_buf_t *buf);

/* --- npool_buf_leaks(3) ------------------------------------------------ */

/* Is remembered as a use of the buffer, with this word (NULL: none; up to 47
 * bytes are copied), if its uses are: option leaks, from `advanced` on. Returns
 * buf.
 * Threads: any that has a reference. */
NPOOL_API npool_buf_t *npool_buf_touch(npool_buf_t *buf, const char *hint);

/* Returns how many watched buffers are alive that were made age_ms milliseconds
 * ago, or before.
 * Threads: any. Takes as long as there are watched buffers. */
NPOOL_API size_t npool_buf_leaks(unsigned age_ms);

/* Writes a report of them: where they were made, those of one place together,
 * and by whom the oldest of each was used last. At exit it is written to
 * standard error, if there are any.
 * Returns: 0, or a positive errno of write(2).
 * Threads: any; others may make and release buffers meanwhile. */
NPOOL_API int npool_buf_leaks_print(int fd, unsigned age_ms);

/* --- npool_buf_get(3) -------------------------------------------------- */

/* Copy n bytes out of the buffer, or into it: get and set at an index, below
 * the capacity; read and write at the reader and the writer, which are moved.
 * write makes room first. bytes must not be the buffer's own.
 * Returns: 0; ERANGE: it has not so many; ENOMEM: write only. */
NPOOL_API int npool_buf_get(const npool_buf_t *buf, size_t index,
			    void *bytes, size_t n);
NPOOL_API int npool_buf_set(npool_buf_t *buf, size_t index,
			    const void *bytes, size_t n);
NPOOL_API int npool_buf_read(npool_buf_t *buf, void *bytes, size_t n);
NPOOL_API int npool_buf_write(npool_buf_t *buf, const void *bytes, size_t n);

/* Writes the next n bytes to be read of `from` to buf. The two may share
 * bytes only if these do not overlap.
 * Returns: as npool_buf_write; ERANGE also: from has not so many. */
NPOOL_API int npool_buf_write_from(npool_buf_t *buf, npool_buf_t *from,
				   size_t n);

/* The same for an unsigned number of nbytes bytes, 1 .. 8, the highest byte
 * first (be) or last (le). What is set or written may be larger: its lowest
 * bytes are taken.
 * Returns: 0; ERANGE: it has not so many bytes; EINVAL: nbytes; ENOMEM: write
 * only. *value is unchanged if it fails. */
NPOOL_API int npool_buf_get_be(const npool_buf_t *buf, size_t index,
			       unsigned nbytes, uint64_t *value);
NPOOL_API int npool_buf_get_le(const npool_buf_t *buf, size_t index,
			       unsigned nbytes, uint64_t *value);
NPOOL_API int npool_buf_set_be(npool_buf_t *buf, size_t index,
			       unsigned nbytes, uint64_t value);
NPOOL_API int npool_buf_set_le(npool_buf_t *buf, size_t index,
			       unsigned nbytes, uint64_t value);
NPOOL_API int npool_buf_read_be(npool_buf_t *buf, unsigned nbytes,
				uint64_t *value);
NPOOL_API int npool_buf_read_le(npool_buf_t *buf, unsigned nbytes,
				uint64_t *value);
NPOOL_API int npool_buf_write_be(npool_buf_t *buf, unsigned nbytes,
				 uint64_t value);
NPOOL_API int npool_buf_write_le(npool_buf_t *buf, unsigned nbytes,
				 uint64_t value);

/* Returns the address of the byte at index, behind which n can be used, until
 * the capacity changes; NULL with ERANGE: it has not so many; EXDEV: they lie
 * in several parts of a composite buffer. n 0: NULL may be the answer without
 * an error. */
NPOOL_API void *npool_buf_at(const npool_buf_t *buf, size_t index, size_t n);

/* Returns the index of the first byte of this value in from .. to - 1, or, if
 * from is above to, of the last one in to .. from - 1; -1 with ENOENT: there
 * is none; ERANGE: from or to is above the capacity. */
NPOOL_API ptrdiff_t npool_buf_index_of(const npool_buf_t *buf, size_t from,
				       size_t to, unsigned char byte);

/* Compares the bytes that are to be read, as memcmp(3): returns less than 0, 0
 * or more than 0. Of two that are equal as far as they go, the shorter one is
 * less. */
NPOOL_API int npool_buf_compare(const npool_buf_t *a, const npool_buf_t *b);

/* Writes n bytes from index as a table for people into text, which has size
 * bytes: 16 a line, in hexadecimal digits and as characters. What is too long
 * is cut off; there is always a final NUL, if size is not 0.
 * Returns: the length that it would have, without the NUL; 0 with ERANGE: it
 * has not so many bytes. */
NPOOL_API size_t npool_buf_hex_dump(const npool_buf_t *buf, size_t index,
				    size_t n, char *text, size_t size);

/* --- npool_buf_slice(3) ------------------------------------------------ */

/* Return a view of n bytes from index, to be read; or of the whole buffer,
 * with its indices. A view has indices of its own and shares the bytes. It
 * shares the count too: whoever releases it releases the buffer, and with the
 * last reference both are gone.
 * Returns: the view, or NULL with ERANGE: the buffer has not so many bytes;
 * ENOMEM. */
NPOOL_API npool_buf_t *npool_buf_slice(npool_buf_t *buf, size_t index,
				       size_t n);
NPOOL_API npool_buf_t *npool_buf_duplicate(npool_buf_t *buf);

/* The same, but the view has a count of its own, one at first, and holds one
 * reference to buf, which it gives up at its end. */
NPOOL_API npool_buf_t *npool_buf_retained_slice(npool_buf_t *buf,
						size_t index, size_t n);
NPOOL_API npool_buf_t *npool_buf_retained_duplicate(npool_buf_t *buf);

/* As npool_buf_slice and npool_buf_retained_slice of the next n bytes to be
 * read, which are then read. ERANGE: there are not so many. */
NPOOL_API npool_buf_t *npool_buf_read_slice(npool_buf_t *buf, size_t n);
NPOOL_API npool_buf_t *npool_buf_read_retained_slice(npool_buf_t *buf,
						     size_t n);

/* Returns a buffer of its own with n bytes from index, of the pool that they
 * are of (the default one, if of none), to be read. Its max capacity is that
 * of buf.
 * Returns: as npool_buf_slice. */
NPOOL_API npool_buf_t *npool_buf_copy(const npool_buf_t *buf, size_t index,
				      size_t n);

/* For who can use one pool only, as a device to which its memory has been made
 * known: returns a buffer whose bytes lie in one piece of the pool (NULL: the
 * default one). That is buf, if they do; else a copy of what is to be read, and
 * the caller's reference to buf is released.
 * Returns: as npool_buf_copy; buf is the caller's still if it is NULL. */
NPOOL_API npool_buf_t *npool_buf_to_pool(npool_buf_t *buf, npool_t *pool);

/* --- npool_buf_composite(3) -------------------------------------------- */

/* Returns a buffer that has no bytes of its own, but those of its parts, of
 * which there are none yet. It can grow to NPOOL_BUF_MAX. pool: for what is
 * written beyond its parts, and for consolidating. With more than max_parts
 * parts they are copied into one.
 * Returns: as npool_buf_new; EINVAL: max_parts is 0. */
NPOOL_API npool_buf_t *npool_buf_composite(npool_t *pool, size_t max_parts);

/* Puts the bytes of a buffer that are to be read in as part number `at`, 0 ..
 * npool_buf_nparts. The caller's reference to it becomes buf's, or is released
 * if this fails. The part's own indices do not matter from then on. What comes
 * behind is moved up; the writer stays, or is moved up by as many bytes if
 * `advance` is not 0.
 * Returns: 0; ERANGE: there is no such place, or buf would be too large;
 * EINVAL: buf is no composite buffer, or its own part; ENOMEM. */
NPOOL_API int npool_buf_add_part(npool_buf_t *buf, size_t at,
				 npool_buf_t *part, int advance);

/* As npool_buf_add_part at the end, but of a composite buffer its parts are
 * added, one by one. */
NPOOL_API int npool_buf_add_flattened(npool_buf_t *buf, npool_buf_t *from,
				      int advance);

/* Takes n parts out, from number `first` on, and releases them. Indices beyond
 * the end are moved there.
 * Returns: 0; ERANGE: there are not so many; EINVAL: no composite buffer. */
NPOOL_API int npool_buf_remove_parts(npool_buf_t *buf, size_t first,
				     size_t n);

/* Makes one part of n of them, by copying.
 * Returns: as npool_buf_remove_parts; ENOMEM: it is as it was. */
NPOOL_API int npool_buf_consolidate(npool_buf_t *buf, size_t first, size_t n);

/* Returns how many parts there are; 0: it is no composite buffer. */
NPOOL_API size_t npool_buf_nparts(const npool_buf_t *buf);

/* Returns part number i, without a reference; NULL with ERANGE: there is
 * none. */
NPOOL_API npool_buf_t *npool_buf_part(const npool_buf_t *buf, size_t i);

/* Returns the number of the part that has the byte at index; -1 with ERANGE:
 * none has. */
NPOOL_API ptrdiff_t npool_buf_find_part(const npool_buf_t *buf, size_t index);

/* --- npool_buf_io(3) --------------------------------------------------- */

/* Fills in where the bytes that are to be read lie, an entry for each stretch
 * that lies in one: niov entries and max bytes (0: any number) at most. After
 * a write of n bytes, npool_buf_skip(buf, n).
 * Returns: how many entries; 0: there is nothing to be read. */
NPOOL_API size_t npool_buf_iovec(const npool_buf_t *buf, struct iovec *iov,
				 size_t niov, size_t max);

/* Reads once from a file descriptor and writes what comes to buf: at most max
 * bytes, for which room is made; 0: as many as can be written without growing.
 * Goes on behind signals.
 * Returns: the bytes that came; 0: the end of the file; -1 with errno: EAGAIN:
 * nothing is there; ENOBUFS: max is 0, and nothing can be written; ERANGE or
 * ENOMEM: there is no room for max bytes; else as readv(2).
 * Threads: may block in the kernel; a cancellation point, as all below. */
NPOOL_API ssize_t npool_buf_readv(npool_buf_t *buf, int fd, size_t max);

/* Writes what is to be read to a file descriptor, max bytes at most (0: all),
 * and reads past it. Goes on behind signals and short writes, until all is
 * written or the descriptor takes no more.
 * Returns: the bytes that were written; an error that came behind some is told
 * by the next call; -1 with errno: EAGAIN: it takes none now; else as
 * writev(2). */
NPOOL_API ssize_t npool_buf_writev(npool_buf_t *buf, int fd, size_t max);

/* As npool_buf_readv and npool_buf_writev of all bytes, on a socket, with the
 * address, the control data and the flags of recvmsg(2) and sendmsg(2). msg
 * may be NULL; its msg_iov is not used. Control data goes with the first
 * bytes. A datagram is sent by one call, be it empty; of more than IOV_MAX
 * parts a copy is sent.
 * Returns: likewise; ENOMEM also: for that copy. */
NPOOL_API ssize_t npool_buf_recvmsg(npool_buf_t *buf, int fd,
				    struct msghdr *msg, size_t max, int flags);
NPOOL_API ssize_t npool_buf_sendmsg(npool_buf_t *buf, int fd,
				    const struct msghdr *msg, int flags);

/* How much the next read is likely to bring. All fields are the library's. */
struct npool_buf_guess {
	uint32_t index, lowest, highest; /* in a table of sizes */
	uint32_t shrink; /* the last turn was small already */
	size_t size;	 /* the guess */
	size_t total;	 /* bytes of this turn */
};

/* Begins with `initial` bytes and stays in min .. max; Netty's are 64, 1024,
 * 65536.
 * Returns: 0, or EINVAL: not 1 <= min <= initial <= max <= 1 GiB. */
NPOOL_API int npool_buf_guess_init(struct npool_buf_guess *guess, size_t min,
				   size_t initial, size_t max);

/* Returns how many bytes to make room for. */
NPOOL_API size_t npool_buf_guess_size(const struct npool_buf_guess *guess);

/* A read that had room for `room` bytes brought n. If it was full, the guess
 * goes four sizes up. */
NPOOL_API void npool_buf_guess_read(struct npool_buf_guess *guess,
				    size_t room, size_t n);

/* Nothing more is to be read for now. If the turn brought less than the next
 * smaller size, for the second time, the guess goes one size down. */
NPOOL_API void npool_buf_guess_done(struct npool_buf_guess *guess);

#ifdef __cplusplus
}
#endif

#endif
