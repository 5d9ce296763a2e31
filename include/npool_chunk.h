/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * npool_chunk.h: chunks, pages and subpages for memory that is not the pool's:
 * a file, a device, memory shared with others, a region for RDMA. A chunk
 * manages offsets 0 .. page size << max order and never touches what lies
 * there. It is the code that the pool itself runs on. npool_chunk(3) begins
 * the reference, npool_tree(7) explains the tree.
 *
 * A handle names what was handed out, within its chunk. Its bits are Netty's:
 *
 *	63	0
 *	62	1: an element of a subpage; 0: a run
 *	61..32	the element's number; 0 for a run
 *	31..0	the node of the tree that covers the run, 1 = the root
 *
 * No handle is 0. One that was freed names nothing until its place is handed
 * out again, and then it names what is there.
 *
 * Threads: none of these functions takes a lock. Calls for one chunk, or for
 * chunks of one set of lists, must not run at the same time, but those that
 * take a pointer to const may run beside each other. Different chunks have
 * nothing in common. No call blocks; none enters the kernel, unless it makes
 * or frees metadata of ours.
 *
 * Errors: whatever handle, page, class or size is passed, the answer is a
 * value; no call ends the process. A handle is returned as 0 with errno, other
 * calls return 0 or a positive errno, if nothing else is said.
 */
#ifndef NPOOL_CHUNK_H
#define NPOOL_CHUNK_H

#include <npool.h>

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef uint64_t npool_handle_t;
typedef struct npool_chunk npool_chunk_t;
typedef struct npool_chunklist npool_chunklist_t;

/* What a chunk is to be like. */
struct npool_shape {
	size_t page_size;   /* bytes: a power of two, 4 KiB .. 1 MiB */
	unsigned max_order; /* 0 .. 14; page_size << max_order: a chunk, at
			       most 1 GiB */
	unsigned classes;   /* enum npool_classes */
};

/* Bytes of metadata that are enough for a chunk of this page size and max
 * order with either table, and for a set of lists of any shape; constant
 * expressions, with some room for later releases:
 *
 *	static char meta[NPOOL_CHUNK_META(8192, 11)]; */
#define NPOOL_CHUNK_META(page_size, max_order) \
	((size_t)12288 + ((size_t)1 << (max_order)) * \
	 (64 + ((page_size) > 8192 ? (size_t)(page_size) / 128 : (size_t)64)))
#define NPOOL_CHUNKLIST_META ((size_t)12288)

/* --- npool_chunk(3) ---------------------------------------------------- */

/* Returns the bytes of metadata that a chunk of this shape needs; 0: there is
 * no such shape. */
NPOOL_API size_t npool_chunk_meta_size(const struct npool_shape *shape);

/* Makes a chunk, all free. Its metadata lies in meta, meta_size bytes at any
 * alignment, which is the chunk's until it is destroyed; meta NULL: in a piece
 * of the default pool.
 * Returns: 0, or EINVAL: there is no such shape; ENOMEM: meta_size is too
 * small, or there is no memory. *chunk is then unchanged. */
NPOOL_API int npool_chunk_create(npool_chunk_t **chunk,
				 const struct npool_shape *shape, void *meta,
				 size_t meta_size);

/* Ends the chunk, whatever is taken in it; it leaves its set of lists. NULL is
 * allowed. */
NPOOL_API void npool_chunk_destroy(npool_chunk_t *chunk);

/* Takes size bytes as the pool would: an element of the size class, or a run.
 * Returns: a handle, or 0 with EINVAL: size is 0 or above the chunk's size;
 * ENOSPC: nothing that is free can serve it; EBUSY: the chunk is in a set of
 * lists, which alone takes from it. */
NPOOL_API npool_handle_t npool_chunk_alloc(npool_chunk_t *chunk, size_t size);

/* Gives a run or an element back. The last subpage of a class that is not full
 * stays, although empty, until npool_chunk_trim or a request that finds no
 * space releases it. A chunk in a set of lists moves down if it is due, and
 * may leave the set.
 * Returns: 0, or EINVAL: the handle names nothing; nothing was changed. */
NPOOL_API int npool_chunk_free(npool_chunk_t *chunk, npool_handle_t handle);

/* Takes just what handle and length (as of npool_chunk_length) name: to build
 * a chunk up again of which this was known. Empty subpages that were kept are
 * released if something is in the way.
 * Returns: 0, or EINVAL: there can be no such handle of that length; EEXIST:
 * it, or a part of it, is taken; EBUSY as npool_chunk_alloc. */
NPOOL_API int npool_chunk_claim(npool_chunk_t *chunk, npool_handle_t handle,
				size_t length);

/* Releases the subpages that are empty. In a set, the chunk then moves down,
 * and may leave it.
 * Returns: the bytes that are free since. */
NPOOL_API size_t npool_chunk_trim(npool_chunk_t *chunk);

/* Returns where the handle's bytes begin in the chunk, or -1 with EINVAL: it
 * names nothing. */
NPOOL_API ptrdiff_t npool_chunk_offset(const npool_chunk_t *chunk,
				       npool_handle_t handle);

/* Returns how many bytes may be used there, or 0 with EINVAL: it names
 * nothing. */
NPOOL_API size_t npool_chunk_length(const npool_chunk_t *chunk,
				    npool_handle_t handle);

/* Returns the handle of the run or element that has the byte at offset, which
 * need not be its first; or 0 with ENOENT: it is nobody's; EINVAL: it is
 * beyond the chunk. */
NPOOL_API npool_handle_t npool_chunk_handle(const npool_chunk_t *chunk,
					    size_t offset);

/* Return the bytes of the chunk, and of its free pages. */
NPOOL_API size_t npool_chunk_size(const npool_chunk_t *chunk);
NPOOL_API size_t npool_chunk_free_bytes(const npool_chunk_t *chunk);

/* Returns the share that is used in percent, rounded up: 100 = full, and only
 * then. */
NPOOL_API unsigned npool_chunk_usage(const npool_chunk_t *chunk);

/* Returns the value of a node of the tree, 1 .. (2 << max order) - 1: the
 * depth of the shallowest free node in its subtree, max order + 1 if there is
 * none. Below a node that was taken whole the values are those of a free
 * subtree. -1 with EINVAL: there is no such node. */
NPOOL_API int npool_chunk_node(const npool_chunk_t *chunk, uint32_t node);

/* Returns 1 if all that must hold of the chunk's metadata does, else 0. Looks
 * at everything: for tests. */
NPOOL_API int npool_chunk_valid(const npool_chunk_t *chunk);

/* A pointer that is the caller's; NULL at first. */
NPOOL_API void npool_chunk_set_user(npool_chunk_t *chunk, void *user);
NPOOL_API void *npool_chunk_user(const npool_chunk_t *chunk);

/* --- npool_page(3) ----------------------------------------------------- */

enum npool_page_state {
	NPOOL_PAGE_FREE,
	NPOOL_PAGE_RUN,
	NPOOL_PAGE_SUBPAGE,
};

/* What a page is part of. */
struct npool_page {
	unsigned state;	     /* enum npool_page_state */
	unsigned size_class; /* 0: free */
	size_t first;	     /* its first page; of free ones the page itself */
	size_t npages;	     /* its pages; of free ones, as many as follow */
	size_t size;	     /* bytes of the run, or of each element; 0: free */
	size_t nelems;	     /* elements of a subpage, else 0 */
	size_t used;	     /* of those, taken */
	uint32_t node;	     /* that covers it: the handle of a run; 0: free */
};

/* Is called with what the walk has come to. Returns 0 to go on. */
typedef int npool_page_fn(const struct npool_page *page, void *arg);

/* Takes a run of npages pages, or of the pages that size bytes need. With
 * NPOOL_NETTY it is rounded up to a power of two.
 * Returns: as npool_chunk_alloc. */
NPOOL_API npool_handle_t npool_page_alloc(npool_chunk_t *chunk,
					  size_t npages);
NPOOL_API npool_handle_t npool_page_alloc_bytes(npool_chunk_t *chunk,
						size_t size);

/* Says what page number `page` is part of.
 * Returns: 0, or EINVAL: the chunk has no such page. */
NPOOL_API int npool_page_look(const npool_chunk_t *chunk, size_t page,
			      struct npool_page *seen);

/* Calls fn for each run, each subpage and each stretch of free pages, from the
 * first page to the last, until it returns something else than 0. fn must not
 * change the chunk.
 * Returns: what fn returned last. */
NPOOL_API int npool_page_walk(const npool_chunk_t *chunk, npool_page_fn *fn,
			      void *arg);

/* --- npool_subpage(3) -------------------------------------------------- */

/* A row of the table of size classes. */
struct npool_class {
	size_t size;   /* bytes of an element, or of the run */
	size_t npages; /* pages of the run, or of the run that is cut up */
	size_t nelems; /* elements of a subpage; 0: the class is a run */
};

/* Returns the class that serves size bytes, 1 .. 255; 0: none. */
NPOOL_API unsigned npool_subpage_class_of(const npool_chunk_t *chunk,
					  size_t size);

/* Says what the class is.
 * Returns: 0, or EINVAL: there is no such class. */
NPOOL_API int npool_subpage_class(const npool_chunk_t *chunk,
				  unsigned size_class,
				  struct npool_class *row);

/* Takes an element of the class.
 * Returns: as npool_chunk_alloc; EINVAL: no class that has elements. */
NPOOL_API npool_handle_t npool_subpage_alloc(npool_chunk_t *chunk,
					     unsigned size_class);

/* Copies the bitmap of the subpage that `page` is part of, at most nwords
 * words: bit k % 64 of words[k / 64] is 1 if element k is taken. Words behind
 * it are set to 0.
 * Returns: how many elements the subpage has, or 0 with EINVAL: the page is
 * not part of one. */
NPOOL_API size_t npool_subpage_bitmap(const npool_chunk_t *chunk, size_t page,
				      uint64_t *words, size_t nwords);

/* --- npool_chunklist(3) ------------------------------------------------ */

/* The six lists: chunks by usage. */
enum npool_list {
	NPOOL_QINIT,
	NPOOL_Q000,
	NPOOL_Q025,
	NPOOL_Q050,
	NPOOL_Q075,
	NPOOL_Q100,
};

/* Where a set gets chunks from. Either function may be NULL; neither may call
 * the set. */
struct npool_supply {
	/* Returns a chunk of the set's shape, in no set, for a request that no
	 * other can serve; NULL: there is none. */
	npool_chunk_t *(*more)(void *arg);
	/* The chunk is empty and has left the set: it may be destroyed. NULL:
	 * such a chunk stays, in qInit. */
	void (*less)(npool_chunk_t *chunk, void *arg);
	void *arg;
};

/* Makes a set of six empty lists for chunks of this shape. supply may be NULL.
 * meta: as of npool_chunk_create, NPOOL_CHUNKLIST_META bytes.
 * Returns: as npool_chunk_create. */
NPOOL_API int npool_chunklist_create(npool_chunklist_t **set,
				     const struct npool_shape *shape,
				     const struct npool_supply *supply,
				     void *meta, size_t meta_size);

/* Ends the set. Its chunks are in none afterwards, and otherwise as they were;
 * `less` is not called. NULL is allowed. */
NPOOL_API void npool_chunklist_destroy(npool_chunklist_t *set);

/* Puts a chunk, which may be used already, into qInit or the list above that
 * its usage asks for.
 * Returns: 0, or EINVAL: it has another shape; EBUSY: it is in a set. */
NPOOL_API int npool_chunklist_add(npool_chunklist_t *set,
				  npool_chunk_t *chunk);

/* Takes the chunk, with all that is taken in it, out of its set.
 * Returns: 0, or EINVAL: it is in none. */
NPOOL_API int npool_chunklist_remove(npool_chunk_t *chunk);

/* Takes size bytes in Netty's order: from the first subpage of the class, else
 * from a chunk of q050, q025, q000, qInit, q075, else from one that `more`
 * gives. *chunk is set to the one that the handle is of.
 * Returns: as npool_chunk_alloc; EINVAL also: what `more` gave has another
 * shape; EBUSY: it is in a set. *chunk is unchanged if it fails. */
NPOOL_API npool_handle_t npool_chunklist_alloc(npool_chunklist_t *set,
					       size_t size,
					       npool_chunk_t **chunk);

/* Releases the empty subpages of all chunks of the set.
 * Returns: the bytes that are free since. */
NPOOL_API size_t npool_chunklist_trim(npool_chunklist_t *set);

/* Returns the list that the chunk is in (enum npool_list), or -1: none. */
NPOOL_API int npool_chunklist_of(const npool_chunk_t *chunk);

/* Return the first chunk of a list, and the one behind a chunk in its list;
 * NULL: there is none. */
NPOOL_API npool_chunk_t *npool_chunklist_first(const npool_chunklist_t *set,
					       unsigned list);
NPOOL_API npool_chunk_t *npool_chunklist_next(const npool_chunk_t *chunk);

/* Returns 1 if all that must hold of the lists and their chunks does, else
 * 0. */
NPOOL_API int npool_chunklist_valid(const npool_chunklist_t *set);

#ifdef __cplusplus
}
#endif

#endif
