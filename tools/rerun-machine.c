/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * rerun-machine: nodes and CPUs for a replay, and who is on which; see rerun.h.
 */
#include "rerun.h"
#include "tool.h"

#include "meta.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ARENAS_MOST 1024 /* of a pool, however many nodes a file tells of */

/* Digits alone, up to most. Moves on. */
static bool read_number(const char **at, unsigned long most, unsigned *n)
{
	char *end;
	unsigned long value;

	if (**at < '0' || **at > '9')
		return false;
	errno = 0;
	value = strtoul(*at, &end, 10);
	*at = end;
	*n = (unsigned)value;
	return !errno && value <= most;
}

bool rerun_read_nodes(const char *text, struct rerun_options *o)
{
	if (!read_number(&text, RERUN_NODES_MOST, &o->nodes) || !o->nodes)
		return false;
	if (*text == 'x') {
		text++;
		if (!read_number(&text, NP_MAX_CPUS / RERUN_NODES_MOST,
				 &o->cpus) || !o->cpus)
			return false;
	}
	return !*text;
}

/* --- the options ------------------------------------------------------- */

static bool read_map(struct machine *m, const char *text, unsigned nodes)
{
	const char *at = text;

	do {
		m->map = grow(m->map, m->nmap, sizeof *m->map);
		if (!read_number(&at, UINT32_MAX, &m->map[m->nmap].tid) ||
		    *at++ != '=' ||
		    !read_number(&at, nodes - 1, &m->map[m->nmap].node)) {
			complain("--map wants THREAD=NODE,..., nodes 0 to %u, "
				 "not %s", nodes - 1, text);
			return false;
		}
		m->nmap++;
	} while (*at == ',' && *++at);
	if (*at)
		complain("--map: what is %s?", at);
	return !*at;
}

bool machine_init(struct machine *m, const struct rerun_options *o,
		  unsigned recorded_cpus)
{
	*m = (struct machine){ .nodes = o->nodes, .cpus = o->cpus };
	if (o->map && !o->nodes) {
		complain("--map wants --nodes");
		return false;
	}
	if (o->nodes && !o->cpus)
		m->cpus = (recorded_cpus + o->nodes - 1) / o->nodes;
	if (m->cpus > NP_MAX_CPUS / RERUN_NODES_MOST)
		m->cpus = NP_MAX_CPUS / RERUN_NODES_MOST;
	if (o->nodes && !m->cpus)
		m->cpus = 1;
	return !o->map || read_map(m, o->map, o->nodes);
}

void machine_fini(struct machine *m)
{
	free(m->map);
}

/* --- what the recording tells ------------------------------------------ */

void machine_forget(struct machine *m)
{
	m->recorded = 0;
}

/* They are told in order. */
void machine_add(struct machine *m, unsigned home, uint64_t ncpus)
{
	if (home != m->recorded || home >= NP_MAX_NODES)
		return;
	m->cpus_of[m->recorded++] =
		(uint16_t)(ncpus < NP_MAX_CPUS ? ncpus : NP_MAX_CPUS);
}

static void settle_made_up(const struct machine *m)
{
	struct np_topology *t = &np_topology;

	t->nnodes = m->nodes;
	t->ncpus = m->nodes * m->cpus;
	for (unsigned i = 0; i < m->nodes; i++)
		t->cpus_of[i] = (uint16_t)m->cpus;
	for (unsigned cpu = 0; cpu < t->ncpus; cpu++)
		t->home_of_cpu[cpu] = (np_home_t)(cpu / m->cpus);
}

/* Which CPU is of which node is told when a thread is on it. */
static void settle_recorded(const struct machine *m)
{
	struct np_topology *t = &np_topology;
	unsigned most;

	t->nnodes = m->recorded ? m->recorded : 1;
	t->ncpus = NP_MAX_CPUS;
	most = ARENAS_MOST / t->nnodes;
	for (unsigned i = 0; i < t->nnodes; i++)
		t->cpus_of[i] = m->cpus_of[i] < most || !m->recorded
			? m->cpus_of[i] : (uint16_t)most;
	for (unsigned cpu = 0; cpu < t->ncpus; cpu++)
		t->home_of_cpu[cpu] = NP_NO_NODE;
}

void machine_settle(const struct machine *m)
{
	memset(&np_topology, 0, sizeof np_topology);
	np_topology.note = "replayed; nothing is bound";
	for (unsigned i = 0; i < NP_MAX_NODES; i++)
		np_topology.kernel_node[i] = -1;
	if (m->nodes)
		settle_made_up(m);
	else
		settle_recorded(m);
	np_meta_init(&np_topology);
}

/* --- who is where ------------------------------------------------------ */

/* Who is named is there; else the recorded homes are taken, as far as there are
 * so many; those of one node are dealt out. */
static unsigned node_of(const struct machine *m, uint32_t tid, unsigned number,
			unsigned home)
{
	for (size_t i = 0; i < m->nmap; i++)
		if (m->map[i].tid == tid)
			return m->map[i].node;
	return (m->recorded > 1 ? home : number) % m->nodes;
}

uint32_t machine_cpu(const struct machine *m, uint32_t tid, unsigned number,
		     uint32_t cpu, unsigned home)
{
	struct np_topology *t = &np_topology;

	if (m->nodes)
		return node_of(m, tid, number, home) * m->cpus +
		       number % m->cpus;
	if (cpu < t->ncpus && t->home_of_cpu[cpu] == NP_NO_NODE &&
	    home < t->nnodes)
		t->home_of_cpu[cpu] = (np_home_t)home;
	return cpu;
}
