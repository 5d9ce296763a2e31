/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * symbols: see symbols.h.
 */
#include "symbols.h"
#include "tool.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#ifdef HAVE_LIBDW
#include <elfutils/libdw.h>
#include <elfutils/libdwfl.h>
#endif

#define OWN_LIBRARY "libnpool" /* its file's name begins so */

struct mapping {
	uint64_t start, end, offset;
	char *file; /* without its folder */
};

/* What was asked for once. */
struct named {
	uint64_t address; /* 0: none */
	char *name;
	bool is_own;
};

struct symbols {
	struct mapping *mappings;
	size_t nmappings;
	struct named *known; /* open addressing */
	size_t room, n;
#ifdef HAVE_LIBDW
	Dwfl *dwfl;
#endif
};

/* --- mappings -------------------------------------------------------- */

/* A recording may come from anywhere: only plain files shall be opened. */
static bool is_file(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

/* Returns whether libdwfl may see the line. */
static bool add_mapping(struct symbols *s, const char *line)
{
	struct mapping m;
	const char *path = strchr(line, '/');
	const char *name = path ? strrchr(path, '/') : NULL;

	if (!name || sscanf(line, "%" SCNx64 "-%" SCNx64 " %*s %" SCNx64,
			    &m.start, &m.end, &m.offset) != 3 ||
	    m.start >= m.end)
		return false;
	m.file = format_text("%s", name + 1);
	make_printable(m.file);
	s->mappings = grow(s->mappings, s->nmappings, sizeof m);
	s->mappings[s->nmappings++] = m;
	return is_file(path);
}

/* Returns what of the text is for libdwfl, to be freed. */
static char *read_mappings(struct symbols *s, const char *maps)
{
	char *good = format_text("%s\n", maps), *end = good;

	while (*maps) {
		size_t n = strcspn(maps, "\n");
		char *line = format_text("%.*s", (int)n, maps);

		if (add_mapping(s, line))
			end += sprintf(end, "%s\n", line);
		free(line);
		maps += n + (maps[n] == '\n');
	}
	*end = '\0';
	return good;
}

static const struct mapping *mapping_of(const struct symbols *s,
					uint64_t address)
{
	for (size_t i = 0; i < s->nmappings; i++)
		if (address >= s->mappings[i].start &&
		    address < s->mappings[i].end)
			return &s->mappings[i];
	return NULL;
}

/* --- by libdwfl ------------------------------------------------------ */

#ifdef HAVE_LIBDW
static void open_dwfl(struct symbols *s, const char *maps)
{
	static char *debuginfo_path; /* the usual one */
	static const Dwfl_Callbacks callbacks = {
		.find_elf = dwfl_linux_proc_find_elf,
		.find_debuginfo = dwfl_standard_find_debuginfo,
		.debuginfo_path = &debuginfo_path,
	};
	size_t size = strlen(maps);
	FILE *f = size ? fmemopen((void *)(uintptr_t)maps, size, "r") : NULL;

	s->dwfl = f ? dwfl_begin(&callbacks) : NULL;
	if (s->dwfl) {
		dwfl_linux_proc_maps_report(s->dwfl, f);
		dwfl_report_end(s->dwfl, NULL, NULL);
	}
	if (f)
		fclose(f);
}

/* The file of an address and its line there, or NULL.  dwfl_module_getsrc
 * finds the compile unit by .debug_aranges, which clang does not write; then
 * each unit is asked. */
static const char *source_of(Dwfl_Module *m, uint64_t address, int *line)
{
	Dwfl_Line *at = dwfl_module_getsrc(m, address);
	Dwarf_Die *unit = NULL;
	Dwarf_Addr bias;

	if (at)
		return dwfl_lineinfo(at, NULL, line, NULL, NULL, NULL);
	while ((unit = dwfl_module_nextcu(m, unit, &bias))) {
		Dwarf_Line *l = dwarf_haspc(unit, address - bias) == 1
				? dwarf_getsrc_die(unit, address - bias) : NULL;

		if (l && !dwarf_lineno(l, line))
			return dwarf_linesrc(l, NULL, NULL);
	}
	return NULL;
}

/* "function (file:line)", or NULL. */
static char *name_by_dwfl(struct symbols *s, uint64_t address)
{
	Dwfl_Module *m = s->dwfl ? dwfl_addrmodule(s->dwfl, address) : NULL;
	const char *function = m ? dwfl_module_addrname(m, address) : NULL;
	const char *file;
	int line = 0;

	if (!function)
		return NULL;
	file = source_of(m, address, &line);
	return file ? format_text("%s (%s:%d)", function, file, line)
		    : format_text("%s", function);
}

static void close_dwfl(struct symbols *s)
{
	if (s->dwfl)
		dwfl_end(s->dwfl);
}
#else
static void open_dwfl(struct symbols *s, const char *maps)
{
	(void)s;
	(void)maps;
}

static char *name_by_dwfl(struct symbols *s, uint64_t address)
{
	(void)s;
	(void)address;
	return NULL;
}

static void close_dwfl(struct symbols *s)
{
	(void)s;
}
#endif

/* --- names ----------------------------------------------------------- */

static bool begins(const char *text, const char *head)
{
	return !strncmp(text, head, strlen(head));
}

static struct named look_up(struct symbols *s, uint64_t address)
{
	const struct mapping *m = mapping_of(s, address - 1);
	/* The call stands before the address that it returns to. */
	char *name = name_by_dwfl(s, address - 1);
	struct named n = { .address = address };

	/* Linked statically it has no file of its own. */
	n.is_own = (m && begins(m->file, OWN_LIBRARY)) ||
		   (name && (begins(name, "npool_") || begins(name, "np_")));
	if (name && strchr(name, '('))
		n.name = name;
	else if (name)
		n.name = format_text("%s in %s", name, m ? m->file : "?");
	else if (m)
		n.name = format_text("%s+0x%" PRIx64, m->file,
				     address - 1 - m->start + m->offset);
	else
		n.name = format_text("0x%" PRIx64, address - 1);
	if (n.name != name)
		free(name);
	make_printable(n.name);
	return n;
}

static struct named *place_of(const struct symbols *s, uint64_t address)
{
	size_t i = (size_t)(address * UINT64_C(0x9e3779b97f4a7c15) >> 32) &
		   (s->room - 1);

	while (s->known[i].address && s->known[i].address != address)
		i = (i + 1) & (s->room - 1);
	return &s->known[i];
}

static void double_room(struct symbols *s)
{
	struct named *old = s->known;
	size_t n = s->room;

	s->room = n ? 2 * n : 256;
	s->known = get_memory(s->room, sizeof *s->known);
	for (size_t i = 0; i < n; i++)
		if (old[i].address)
			*place_of(s, old[i].address) = old[i];
	free(old);
}

static const struct named *find(struct symbols *s, uint64_t address)
{
	static const struct named nowhere = { .name = (char *)"?" };
	struct named *n;

	if (!address)
		return &nowhere;
	if (2 * s->n >= s->room)
		double_room(s);
	n = place_of(s, address);
	if (!n->address) {
		*n = look_up(s, address);
		s->n++;
	}
	return n;
}

const char *symbols_name(struct symbols *s, uint64_t address)
{
	return find(s, address)->name;
}

bool symbols_is_own(struct symbols *s, uint64_t address)
{
	return find(s, address)->is_own;
}

uint32_t symbols_skip_own(struct symbols *s, struct stack stack)
{
	uint32_t i = 0;

	while (i < stack.n && symbols_is_own(s, stack.frame[i]))
		i++;
	/* All of it: something is better than nothing. */
	return i < stack.n ? i : 0;
}

struct symbols *symbols_open(const char *maps)
{
	struct symbols *s = get_memory(1, sizeof *s);
	char *good = read_mappings(s, maps);

	open_dwfl(s, good);
	free(good);
	return s;
}

void symbols_close(struct symbols *s)
{
	close_dwfl(s);
	for (size_t i = 0; i < s->nmappings; i++)
		free(s->mappings[i].file);
	for (size_t i = 0; i < s->room; i++)
		free(s->known[i].name);
	free(s->mappings);
	free(s->known);
	free(s);
}
