/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * export-pprof: a profile.proto, written by hand: a message is a sequence of
 * fields, each a tag and a number, or a tag, a length and so many bytes.
 */
#include "export.h"
#include "tool.h"

#include <stdlib.h>
#include <string.h>

/* Numbers of fields, as profile.proto has them. */
enum {
	PROFILE_SAMPLE_TYPE = 1, PROFILE_SAMPLE = 2, PROFILE_LOCATION = 4,
	PROFILE_FUNCTION = 5, PROFILE_STRING_TABLE = 6,
	PROFILE_DEFAULT_SAMPLE_TYPE = 14,
	VALUE_TYPE_TYPE = 1, VALUE_TYPE_UNIT = 2,
	SAMPLE_LOCATION_ID = 1, SAMPLE_VALUE = 2,
	LOCATION_ID = 1, LOCATION_ADDRESS = 3, LOCATION_LINE = 4,
	LINE_FUNCTION_ID = 1, LINE_LINE = 2,
	FUNCTION_ID = 1, FUNCTION_NAME = 2, FUNCTION_SYSTEM_NAME = 3,
	FUNCTION_FILENAME = 4,
};

enum { WIRE_NUMBER = 0, WIRE_BYTES = 2 };

struct message {
	char *text;
	size_t size;
	FILE *file;
};

/* It stays where it is: the stream knows its text and size. */
static void message_begin(struct message *m)
{
	m->file = open_text(&m->text, &m->size);
}

static void put(FILE *f, uint64_t n)
{
	for (; n >= 0x80; n >>= 7)
		putc((int)(n & 0x7f) | 0x80, f);
	putc((int)n, f);
}

static void put_number(FILE *f, unsigned field, uint64_t n)
{
	put(f, field << 3 | WIRE_NUMBER);
	put(f, n);
}

static void put_bytes(FILE *f, unsigned field, const char *bytes, size_t n)
{
	put(f, field << 3 | WIRE_BYTES);
	put(f, n);
	fwrite(bytes, 1, n, f);
}

/* Puts the message into a field of another one, and ends it. */
static void put_message(FILE *f, unsigned field, struct message *m)
{
	fclose(m->file);
	put_bytes(f, field, m->text, m->size);
	free(m->text);
}

/* --- strings and locations ------------------------------------------- */

/* Numbered from 1 in the order in which they came; strings from 0. */
struct names {
	char **string;
	size_t nstrings;
	uint64_t *address; /* of locations, each with a function of its own */
	size_t naddresses;
};

static uint64_t string_number(struct names *n, char *text)
{
	n->string = grow(n->string, n->nstrings, sizeof *n->string);
	n->string[n->nstrings] = text;
	return n->nstrings++;
}

static uint64_t copy_string(struct names *n, const char *text)
{
	return string_number(n, format_text("%s", text));
}

static uint64_t location_number(struct names *n, uint64_t address)
{
	for (size_t i = 0; i < n->naddresses; i++)
		if (n->address[i] == address)
			return i + 1;
	n->address = grow(n->address, n->naddresses, sizeof *n->address);
	n->address[n->naddresses++] = address;
	return n->naddresses;
}

/* "function (file:line)", as symbols_name has it, in its parts. */
static uint64_t put_function(FILE *out, struct names *n, size_t id,
			     const char *name)
{
	const char *file = strstr(name, " (");
	const char *colon = file ? strrchr(file, ':') : NULL;
	uint64_t line = 0, text;
	struct message m;

	message_begin(&m);
	text = colon ? string_number(n, format_text("%.*s",
						    (int)(file - name), name))
		     : copy_string(n, name);
	put_number(m.file, FUNCTION_ID, id);
	put_number(m.file, FUNCTION_NAME, text);
	put_number(m.file, FUNCTION_SYSTEM_NAME, text);
	if (colon) {
		put_number(m.file, FUNCTION_FILENAME,
			   string_number(n, format_text("%.*s",
					(int)(colon - file - 2), file + 2)));
		line = strtoul(colon + 1, NULL, 10);
	}
	put_message(out, PROFILE_FUNCTION, &m);
	return line;
}

static void put_locations(struct exporter *x, FILE *out, struct names *n)
{
	for (size_t i = 0; i < n->naddresses; i++) {
		const char *name = symbols_name(x->symbols, n->address[i]);
		uint64_t at = put_function(out, n, i + 1, name);
		struct message line, m;

		message_begin(&line);
		message_begin(&m);
		put_number(line.file, LINE_FUNCTION_ID, i + 1);
		put_number(line.file, LINE_LINE, at);
		put_number(m.file, LOCATION_ID, i + 1);
		put_number(m.file, LOCATION_ADDRESS, n->address[i]);
		put_message(m.file, LOCATION_LINE, &line);
		put_message(out, PROFILE_LOCATION, &m);
	}
}

/* --- samples --------------------------------------------------------- */

static void put_type(FILE *out, struct names *n, const char *type,
		     const char *unit)
{
	struct message m;

	message_begin(&m);
	put_number(m.file, VALUE_TYPE_TYPE, copy_string(n, type));
	put_number(m.file, VALUE_TYPE_UNIT, copy_string(n, unit));
	put_message(out, PROFILE_SAMPLE_TYPE, &m);
}

static void put_sample(struct exporter *x, FILE *out, struct names *n,
		       uint32_t number)
{
	const struct stack_sum *sum = &x->stacks[number];
	struct stack s = reader_stack(x->reader, number);
	struct message m;

	message_begin(&m);
	for (uint32_t i = symbols_skip_own(x->symbols, s); i < s.n; i++)
		put_number(m.file, SAMPLE_LOCATION_ID,
			   location_number(n, s.frame[i]));
	put_number(m.file, SAMPLE_VALUE, sum->allocs);
	put_number(m.file, SAMPLE_VALUE, sum->bytes);
	put_number(m.file, SAMPLE_VALUE, sum->live);
	put_number(m.file, SAMPLE_VALUE, sum->live_bytes);
	put_message(out, PROFILE_SAMPLE, &m);
}

void pprof_end(struct exporter *x)
{
	struct names n = { 0 };

	copy_string(&n, ""); /* number 0 has to be */
	put_type(stdout, &n, "alloc_objects", "count");
	put_type(stdout, &n, "alloc_space", "bytes");
	put_type(stdout, &n, "inuse_objects", "count");
	put_type(stdout, &n, "inuse_space", "bytes");
	for (uint32_t i = 0; i < x->nstacks; i++)
		if (x->stacks[i].allocs)
			put_sample(x, stdout, &n, i);
	put_locations(x, stdout, &n);
	put_number(stdout, PROFILE_DEFAULT_SAMPLE_TYPE,
		   copy_string(&n, "alloc_space"));
	for (size_t i = 0; i < n.nstrings; i++) {
		put_bytes(stdout, PROFILE_STRING_TABLE, n.string[i],
			  strlen(n.string[i]));
		free(n.string[i]);
	}
	free(n.string);
	free(n.address);
}
