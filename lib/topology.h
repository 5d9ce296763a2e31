/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * topology: which nodes there are, and on which of them a CPU's memory shall
 * lie. The only user of libnuma.
 *
 * Nodes are counted densely from 0 here ("home"); the kernel's numbers, which
 * may have gaps, are in `kernel_node`. Counted are the nodes with memory that
 * the process may use. A CPU of a node without memory belongs to the nearest
 * one. A node of memory alone (CXL) has no CPUs, stands behind the others, and
 * serves only who names it. A CPU that was not there at the start, if it comes,
 * is of the node that the kernel then says.
 *
 * The administrator's policy at the start counts:
 *
 *	default, or bind to some nodes   those nodes, each bound by us
 *	interleave, preferred, others    one logical node, nothing is bound
 *	mbind denied (containers)        one logical node, nothing is bound
 *	move_pages alone denied          those nodes; nobody sees what spills
 *	no libnuma, no NUMA              one node, nothing is bound
 *
 * An invented topology (option `nodes`) deals the CPUs out to n nodes that
 * the kernel does not know, and binds nothing.
 *
 * Constant once made: any thread may read it.
 *
 * Source: numa(3), set_mempolicy(2), mbind(2), cpuset(7).
 */
#ifndef NP_TOPOLOGY_H
#define NP_TOPOLOGY_H

#include "base.h"

#define NP_MAX_CPUS 8192 /* the kernel's CONFIG_NR_CPUS at most */

struct np_topology {
	unsigned nnodes;
	unsigned ncpus;			 /* CPUs known: 0..ncpus-1 */
	bool binds;			 /* memory is bound to nodes */
	bool sees;			 /* the kernel tells where it lies */
	const char *note;		 /* why it is as it is, a sentence */
	int kernel_node[NP_MAX_NODES];	 /* by home; -1: unknown */
	uint16_t cpus_of[NP_MAX_NODES];	 /* by home: how many CPUs */
	np_home_t home_of_cpu[NP_MAX_CPUS]; /* NP_NO_NODE: not known */
};

/* Can the machine be asked yet? Not before libnuma's constructor has run. */
bool np_topology_ready(void);

/* Asks the machine, or invents `nodes` nodes (0 = asks). Calls libnuma, which
 * calls malloc: the caller holds no lock. */
void np_topology_init(struct np_topology *topology, unsigned nodes);

/* How far b is from a, as the firmware says; 10 = the same node. */
int np_topology_distance(const struct np_topology *topology, unsigned a,
			 unsigned b);

/* What users call a home: the kernel's number where it is known, else its own.
 */
static inline int np_topology_number(const struct np_topology *topology,
				     np_home_t home)
{
	int n = topology->kernel_node[home];

	return n < 0 ? home : n;
}

/* The home that has this number, or NP_NO_NODE. */
static inline np_home_t np_topology_find(const struct np_topology *topology,
					 int number)
{
	for (unsigned i = 0; i < topology->nnodes; i++)
		if (np_topology_number(topology, (np_home_t)i) == number)
			return (np_home_t)i;
	return NP_NO_NODE;
}

/* Is it a node of memory alone? Not in an invented topology. */
static inline bool np_topology_named_only(const struct np_topology *topology,
					  unsigned home)
{
	return !topology->cpus_of[home] && topology->kernel_node[home] >= 0;
}

/* Can it be promised that memory lies on its home? Bound memory may not, so it
 * has to be looked at; of a single node it always does. */
static inline bool np_topology_is_sure(const struct np_topology *topology)
{
	return topology->binds ? topology->sees
			       : topology->nnodes == 1 &&
				 topology->kernel_node[0] >= 0;
}

/* The home of a CPU that nobody knew of at the start, and that the caller runs
 * on: as its node says. */
np_home_t np_topology_home_late(const struct np_topology *topology);

/* The home of memory for this CPU, which the caller runs on. */
static inline np_home_t np_topology_home(const struct np_topology *topology,
					 unsigned cpu)
{
	np_home_t home = cpu < topology->ncpus ? topology->home_of_cpu[cpu]
					       : NP_NO_NODE;

	return home == NP_NO_NODE ? np_topology_home_late(topology) : home;
}

/* The node to bind this home's memory to; -1: nothing is bound. */
static inline int np_topology_bind_to(const struct np_topology *topology,
				      np_home_t home)
{
	return topology->binds ? topology->kernel_node[home] : -1;
}

#endif
