/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * tap: what a test program in C is written with. It prints the Test Anything
 * Protocol: a plan, then one line a claim, which Automake's driver and prove
 * both read.
 *
 *	int main(void)
 *	{
 *		plan(2);
 *		is_size(np_round_up(5, 4), 8, "5 is rounded up to 8");
 *		ok(np_is_pow2(8), "8 is a power of two");
 *		return done();
 *	}
 *
 * Each description is a format of printf and states the claim. A claim that
 * does not hold is followed by both sides and by its place in the source.
 * The first argument of each is_*() is what was seen, the second what was
 * wanted. All of them return whether the claim held.
 *
 * Threads: any may call; one lock orders the lines and the numbers. A forked
 * child must not make claims (the numbers are the parent's): it says what it
 * saw by its exit status. Nothing is left in a stdio buffer between calls.
 *
 * Source: testanything.org, version 12.
 */
#ifndef TAP_H
#define TAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TAP_FORMAT(n) __attribute__((format(printf, n, n + 1)))

/* How many claims will be made. The first call of a program, or of none:
 * done() then counts them. */
void plan(unsigned nclaims);

/* Ends the program: nothing of it can be tried here. why: what the machine
 * lacks ("needs two NUMA nodes"); what a package would cure names it ("needs
 * the package mandoc"), since such a skip is an error in CI. */
_Noreturn void skip_all(const char *why, ...) TAP_FORMAT(1);

/* Ends the program and the whole run: nothing more makes sense. */
_Noreturn void bail_out(const char *why, ...) TAP_FORMAT(1);

/* Counts n claims as skipped. why: as in skip_all. */
void skip(unsigned n, const char *why, ...) TAP_FORMAT(2);

/* A remark for the person who reads the log. */
void diag(const char *fmt, ...) TAP_FORMAT(1);

/* The end. Returns the program's exit status: 0 if every claim held and there
 * were as many as planned, else 1. */
int done(void);

#define ok(held, ...) \
	tap_ok(__FILE__, __LINE__, held, __VA_ARGS__)
#define is_int(seen, wanted, ...) \
	tap_is_int(__FILE__, __LINE__, seen, wanted, __VA_ARGS__)
#define is_uint(seen, wanted, ...) \
	tap_is_uint(__FILE__, __LINE__, seen, wanted, __VA_ARGS__)
#define is_size(seen, wanted, ...) \
	tap_is_uint(__FILE__, __LINE__, seen, wanted, __VA_ARGS__)
#define is_hex(seen, wanted, ...) \
	tap_is_hex(__FILE__, __LINE__, seen, wanted, __VA_ARGS__)
#define is_ptr(seen, wanted, ...) \
	tap_is_ptr(__FILE__, __LINE__, seen, wanted, __VA_ARGS__)
#define is_str(seen, wanted, ...) \
	tap_is_str(__FILE__, __LINE__, seen, wanted, __VA_ARGS__)

/* Behind the macros; NULL is a string like any other. */
bool tap_ok(const char *file, int line, bool held, const char *fmt, ...)
	TAP_FORMAT(4);
bool tap_is_int(const char *file, int line, intmax_t seen, intmax_t wanted,
		const char *fmt, ...) TAP_FORMAT(5);
bool tap_is_uint(const char *file, int line, uintmax_t seen, uintmax_t wanted,
		 const char *fmt, ...) TAP_FORMAT(5);
bool tap_is_hex(const char *file, int line, uintmax_t seen, uintmax_t wanted,
		const char *fmt, ...) TAP_FORMAT(5);
bool tap_is_ptr(const char *file, int line, const volatile void *seen,
		const volatile void *wanted, const char *fmt, ...)
	TAP_FORMAT(5);
bool tap_is_str(const char *file, int line, const char *seen,
		const char *wanted, const char *fmt, ...) TAP_FORMAT(5);

#endif
