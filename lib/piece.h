/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * piece: what is done to a piece that somebody holds: it comes back, when it
 * cannot just be pushed to the loaded magazine; its size is asked for, or
 * changed. Its pool is found by its address.
 *
 * Owner: a piece is its holder's, who holds no lock.
 */
#ifndef NP_PIECE_H
#define NP_PIECE_H

#include "base.h"

/* Frees a piece of any pool. Keeps errno. Ends the process if p is no piece
 * of any, or is found to be none that is live. */
void np_piece_free(void *p);

/* Frees many, past the caches. Keeps errno. */
void np_piece_free_many(void *const *pieces, size_t n);

/* The bytes that may be used at p. `what` wants to know: it is named if p is
 * no piece. */
size_t np_piece_usable(const void *p, const char *what);

/* Makes the piece, of which np_piece_usable bytes may be used, size bytes large
 * where it is, or moves its pages, if that can be and is worth it. Returns
 * whether it did, and where it is now in *moved. */
bool np_piece_resize(void *p, size_t usable, size_t size, void **moved);

#endif
