/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * topology: see topology.h.
 */
#include "topology.h"
#include "os.h"

#include <stdio.h>  /* snprintf */
#include <string.h>
#include <unistd.h> /* access, sysconf */

#ifdef HAVE_LIBNUMA
#include <numa.h>
#include <numaif.h> /* MPOL_* */
#endif

static unsigned cpus_of_machine(void)
{
	long n = sysconf(_SC_NPROCESSORS_CONF);

	if (n < 1)
		return 1;
	return n > NP_MAX_CPUS ? NP_MAX_CPUS : (unsigned)n;
}

/* Everything on one node that nobody binds memory to. Not all of the struct is
 * cleared: most machines never use most of it. */
static void one_node(struct np_topology *t, const char *note)
{
	t->nnodes = 1;
	t->ncpus = cpus_of_machine();
	t->binds = false;
	memset(t->home_of_cpu, 0, t->ncpus * sizeof *t->home_of_cpu);
	t->cpus_of[0] = (uint16_t)t->ncpus;
	t->kernel_node[0] = -1;
	t->note = note;
}

static void invent(struct np_topology *t, unsigned nodes)
{
	one_node(t, "invented by option nodes; nothing is bound");
	t->nnodes = nodes;
	memset(t->cpus_of, 0, sizeof t->cpus_of);
	for (unsigned i = 0; i < nodes; i++)
		t->kernel_node[i] = -1;
	for (unsigned cpu = 0; cpu < t->ncpus; cpu++) {
		t->home_of_cpu[cpu] = (np_home_t)(cpu % nodes);
		t->cpus_of[cpu % nodes]++;
	}
}

#define NEAR 10 /* a node and itself, in the words of ACPI */
#define FAR 20

#ifdef HAVE_LIBNUMA

#define MODE_FLAGS 0xe000 /* MPOL_F_STATIC_NODES and its like */

/* Set by our constructor, which the loader runs after libnuma's: before that
 * libnuma's tables are empty. It has a priority, the first one that is left to
 * programs: in what is linked with libnpool.a the order of files is anybody's,
 * and the pool's own constructor, which has none, wants to find it set. */
#define BEFORE_THE_POOL 101
static NP_USED_AT_START bool constructed;

__attribute__((constructor(BEFORE_THE_POOL))) static void note_constructed(void)
{
	constructed = true;
}

bool np_topology_ready(void)
{
	return constructed && numa_all_nodes_ptr;
}

/* Which kernel nodes may serve: by kernel number. */
struct usable {
	bool node[NP_MAX_NODES];
};

/* The only node there is has memory: that file need not be read. */
static bool has_memory(int n)
{
	return numa_max_node() == 0 || numa_node_size64(n, NULL) > 0;
}

static void find_usable(struct usable *u, const struct bitmask *bound)
{
	struct bitmask *allowed = numa_get_mems_allowed();
	int max = numa_max_node();

	for (int n = 0; n <= max && n < NP_MAX_NODES; n++)
		u->node[n] = numa_bitmask_isbitset(allowed, (unsigned)n) &&
			     (!bound ||
			      numa_bitmask_isbitset(bound, (unsigned)n)) &&
			     has_memory(n);
	numa_bitmask_free(allowed);
}

/* The usable node that is nearest to n; -1: there is none, or no n. */
static int nearest(const struct usable *u, int n)
{
	int best = -1;

	if (n < 0 || n >= NP_MAX_NODES || u->node[n])
		return n < NP_MAX_NODES ? n : -1;
	for (int i = 0; i <= numa_max_node() && i < NP_MAX_NODES; i++)
		if (u->node[i] && (best < 0 ||
				   numa_distance(n, i) <
				   numa_distance(n, best)))
			best = i;
	return best;
}

/* The node of a CPU, -1: unknown. libnuma does not tell that of a CPU that is
 * offline, but it may come. */
static int node_of_cpu(unsigned cpu)
{
	int n = numa_node_of_cpu((int)cpu), max = numa_max_node();
	char path[64];

	if (n >= 0)
		return n;
	snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%u", cpu);
	if (access(path, F_OK) != 0)
		return -1;
	for (n = 0; n <= max; n++) {
		snprintf(path, sizeof path,
			 "/sys/devices/system/cpu/cpu%u/node%d", cpu, n);
		if (access(path, F_OK) == 0)
			return n;
	}
	return -1;
}

/* The node is a home, of the CPUs that are near to it. */
static void add_home(struct np_topology *t, const int *near, int node)
{
	np_home_t home = (np_home_t)t->nnodes;

	for (unsigned cpu = 0; cpu < t->ncpus; cpu++)
		if (near[cpu] == node) {
			t->home_of_cpu[cpu] = home;
			t->cpus_of[home]++;
		}
	if (t->cpus_of[home])
		t->kernel_node[t->nnodes++] = node;
}

/* Deals the CPUs out to the usable nodes that are nearest to them. Homes
 * ascend with the kernel's numbers; those of memory alone stand behind the
 * others. */
static bool deal_cpus(struct np_topology *t, struct usable *u)
{
	static int near[NP_MAX_CPUS]; /* kernel node; the pool starts once */
	int max = numa_max_node();
	bool served;

	for (unsigned cpu = 0; cpu < t->ncpus; cpu++) {
		near[cpu] = nearest(u, node_of_cpu(cpu));
		t->home_of_cpu[cpu] = NP_NO_NODE;
	}
	memset(t->cpus_of, 0, sizeof t->cpus_of);
	t->nnodes = 0;
	for (int n = 0; n <= max && n < NP_MAX_NODES; n++) {
		unsigned before = t->nnodes;

		add_home(t, near, n);
		if (t->nnodes > before)
			u->node[n] = false; /* it is there */
	}
	served = t->nnodes > 0;
	for (int n = 0; n <= max && n < NP_MAX_NODES; n++)
		if (u->node[n])
			t->kernel_node[t->nnodes++] = n;
	return served;
}

/* Does the kernel let memory be bound, and tell where it lies? */
static void probe(struct np_topology *t)
{
	size_t size = np_os_page_size();
	void *p = np_os_reserve(size, size);
	struct np_os_pages pages = { 0 };

	if (!p)
		return;
	t->binds = np_os_bind(p, size, t->kernel_node[0]) == 0;
	t->sees = np_os_look(p, size, size, t->kernel_node[0], &pages) == 0;
	np_os_release(p, size);
}

/* Asks libnuma for the nodes among `bound` (NULL: all). */
static void ask_nodes(struct np_topology *t, const struct bitmask *bound)
{
	static struct usable u; /* 1 KiB; the pool starts once */

	find_usable(&u, bound);
	if (!deal_cpus(t, &u)) {
		one_node(t, "no node has both CPUs and memory near by");
		return;
	}
	if (t->nnodes == 1) {
		t->note = "one node; nothing needs to be bound";
		return;
	}
	numa_distance(0, 0); /* reads its table now, while it may call malloc */
	probe(t);
	if (!t->binds)
		one_node(t, "mbind is denied; one logical node");
	else if (!t->sees)
		t->note = "memory is bound to the node of its arena; "
			  "move_pages is denied: spills are not found";
	else
		t->note = "memory is bound to the node of its arena";
}

static void ask_machine(struct np_topology *t)
{
	struct bitmask *bound = numa_allocate_nodemask();
	int mode = MPOL_DEFAULT;

	if (np_os->get_mempolicy(&mode, bound->maskp, bound->size + 1, NULL,
				 0) != 0) {
		one_node(t, "get_mempolicy is denied; one logical node");
		numa_bitmask_free(bound);
		return;
	}
	mode &= ~MODE_FLAGS;
	if (mode == MPOL_DEFAULT || mode == MPOL_LOCAL)
		ask_nodes(t, NULL);
	else if (mode == MPOL_BIND)
		ask_nodes(t, bound);
	else
		one_node(t, "the process has a memory policy of its own; "
			 "nothing is bound");
	numa_bitmask_free(bound);
}

void np_topology_init(struct np_topology *t, unsigned nodes)
{
	one_node(t, "no NUMA on this machine");
	if (nodes)
		invent(t, nodes);
	else if (numa_available() >= 0)
		ask_machine(t);
}

static int kernel_distance(int a, int b)
{
	int distance = numa_distance(a, b);

	return distance > 0 ? distance : FAR; /* 0: it does not know */
}

#else /* !HAVE_LIBNUMA */

static int kernel_distance(int a, int b)
{
	(void)a;
	(void)b;
	return FAR;
}

bool np_topology_ready(void)
{
	return true;
}

void np_topology_init(struct np_topology *t, unsigned nodes)
{
	one_node(t, "built without libnuma");
	if (nodes)
		invent(t, nodes);
}

#endif

int np_topology_distance(const struct np_topology *t, unsigned a, unsigned b)
{
	if (a == b)
		return NEAR;
	if (t->kernel_node[a] < 0 || t->kernel_node[b] < 0)
		return FAR;
	return kernel_distance(t->kernel_node[a], t->kernel_node[b]);
}

np_home_t np_topology_home_late(const struct np_topology *t)
{
	int node = t->binds ? np_os_node() : -1;
	unsigned best = 0;

	for (unsigned i = 0; node >= 0 && i < t->nnodes; i++) {
		if (t->kernel_node[i] == node)
			return (np_home_t)i;
		if (t->cpus_of[i] &&
		    kernel_distance(node, t->kernel_node[i]) <
		    kernel_distance(node, t->kernel_node[best]))
			best = i;
	}
	return (np_home_t)best;
}
