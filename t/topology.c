/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * topology: invented nodes, the machine as it is, and machines that are made
 * up. For those this program stands in for libnuma: it defines the functions
 * that lib/topology.c asks, which tell of `machine`, or, without one, pass the
 * question on to the libnuma behind it.
 */
#include "os.h"
#include "rng.h"
#include "tap.h"
#include "topology.h"

#include <errno.h>
#include <sched.h> /* sched_getaffinity */
#include <string.h>

#ifdef HAVE_LIBNUMA
#include <dlfcn.h>
#include <numa.h>
#include <numaif.h>
#endif

static struct np_topology topology;

/* --- invented --------------------------------------------------------- */

static bool is_dealt_out(unsigned nodes)
{
	const struct np_topology *t = &topology;
	unsigned cpus = 0;

	if (t->nnodes != nodes || t->binds || !t->note || !t->ncpus)
		return false;
	for (unsigned i = 0; i < nodes; i++) {
		if (np_topology_bind_to(t, (np_home_t)i) != -1 ||
		    t->kernel_node[i] != -1)
			return false;
		if (t->cpus_of[i] != (t->ncpus + nodes - 1 - i) / nodes)
			return false;
		cpus += t->cpus_of[i];
	}
	for (unsigned cpu = 0; cpu < t->ncpus; cpu++)
		if (np_topology_home(t, cpu) != cpu % nodes)
			return false;
	return cpus == t->ncpus;
}

static void test_invented(void)
{
	bool good = true;

	for (unsigned nodes = 1; nodes <= 64; nodes++) {
		memset(&topology, 0xa5, sizeof topology);
		np_topology_init(&topology, nodes);
		good = good && is_dealt_out(nodes);
	}
	ok(good, "1 to 64 nodes: the CPUs are dealt out, nothing is bound");
	is_uint(np_topology_home(&topology, topology.ncpus), 0,
		"a CPU that nobody knew of is at home on node 0");
	is_uint(np_topology_home(&topology, UINT32_MAX), 0,
		"however large its number");
}

/* What nobody knows is as far as usual; each has a number of its own. */
static void test_invented_numbers(void)
{
	bool far = true, found = true;

	np_topology_init(&topology, 3);
	for (np_home_t a = 0; a < 3; a++) {
		found = found && np_topology_number(&topology, a) == a &&
			np_topology_find(&topology, a) == a;
		for (np_home_t b = 0; b < 3; b++)
			far = far && np_topology_distance(&topology, a, b) ==
					     (a == b ? 10 : 20);
	}
	ok(far, "invented nodes are 20 from each other, 10 from themselves");
	ok(found, "users call them 0, 1 and 2");
	is_uint(np_topology_find(&topology, 3), NP_NO_NODE,
		"there is no node 3");
	is_uint(np_topology_find(&topology, -1), NP_NO_NODE, "and none of -1");
}

/* --- the machine as it is --------------------------------------------- */

static void test_machine(void)
{
	const struct np_topology *t = &topology;
	bool good = true;
	unsigned sum = 0;
	cpu_set_t mine;

	ok(np_topology_ready(), "the machine can be asked in main");
	memset(&topology, 0xa5, sizeof topology);
	np_topology_init(&topology, 0);
	diag("%u nodes, %u CPUs: %s", t->nnodes, t->ncpus, t->note);
	ok(t->nnodes >= 1 && t->nnodes <= NP_MAX_NODES, "it has a node");
	ok(t->note && *t->note, "and a sentence that says why");
	ok(t->nnodes > 1 || !t->binds, "to one node nothing is bound");
	for (unsigned i = 0; i < t->nnodes; i++)
		sum += t->cpus_of[i];
	is_uint(sum, t->ncpus, "each CPU belongs to one node");
	CPU_ZERO(&mine);
	sched_getaffinity(0, sizeof mine, &mine);
	for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &mine))
			good = good && np_topology_home(t, cpu) < t->nnodes;
	ok(good, "each CPU that we may run on has a home");
	ok(np_topology_home(t, np_os_cpu()) < t->nnodes,
	   "the one we run on, too");
}

#ifdef HAVE_LIBNUMA

/* Do homes agree with what libnuma says of each CPU? */
static void test_agreement(void)
{
	const struct np_topology *t = &topology;
	bool good = true;

	if (t->nnodes == 1) {
		skip(1, "needs two NUMA nodes");
		return;
	}
	for (unsigned cpu = 0; cpu < t->ncpus; cpu++) {
		int node = numa_node_of_cpu((int)cpu);

		if (node >= 0 && numa_node_size64(node, NULL) > 0)
			good = good && t->kernel_node[np_topology_home(t, cpu)]
				       == node;
	}
	ok(good, "a CPU is at home on the node that libnuma names");
}

/* --- made up ---------------------------------------------------------- */

#define MOST_NODES 1024

static struct machine {
	int max_node;
	bool no_numa;
	bool has_memory[MOST_NODES], allowed[MOST_NODES];
	int node_of_cpu[NP_MAX_CPUS]; /* -1: unknown */
	uint8_t distance[64][64];     /* by node number modulo 64 */
	/* What the process was started with. */
	int mode, policy_error;
	bool bound[MOST_NODES];
	int mbind_error, move_pages_error;
	int node_now; /* of the CPU that the caller runs on; -1: no word */
} *machine;

/* The next definition of the function that this one hides. */
#define PASS_ON(result, name, parameters, ...)                             \
	do {                                                               \
		result (*next_) parameters =                               \
			(result (*) parameters)dlsym(RTLD_NEXT, name);     \
		if (!next_)                                                \
			bail_out("libnuma has no %s", name);               \
		return next_(__VA_ARGS__);                                 \
	} while (0)

int numa_available(void)
{
	if (machine)
		return machine->no_numa ? -1 : 0;
	PASS_ON(int, "numa_available", (void));
}

int numa_max_node(void)
{
	if (machine)
		return machine->max_node;
	PASS_ON(int, "numa_max_node", (void));
}

int numa_node_of_cpu(int cpu)
{
	if (machine)
		return machine->node_of_cpu[cpu];
	PASS_ON(int, "numa_node_of_cpu", (int), cpu);
}

int numa_distance(int a, int b)
{
	if (machine) /* as libnuma: 0 for what it does not know */
		return a < 0 || b < 0 ? 0 : machine->distance[a % 64][b % 64];
	PASS_ON(int, "numa_distance", (int, int), a, b);
}

long long numa_node_size64(int node, long long *nfree)
{
	if (machine)
		return machine->has_memory[node] ? 1 << 30 : 0;
	PASS_ON(long long, "numa_node_size64", (int, long long *), node,
		nfree);
}

struct bitmask *numa_get_mems_allowed(void)
{
	if (machine) {
		struct bitmask *mask = numa_bitmask_alloc(MOST_NODES);

		for (unsigned n = 0; n < MOST_NODES; n++)
			if (machine->allowed[n])
				numa_bitmask_setbit(mask, n);
		return mask;
	}
	PASS_ON(struct bitmask *, "numa_get_mems_allowed", (void));
}

struct bitmask *numa_allocate_nodemask(void)
{
	if (machine)
		return numa_bitmask_alloc(MOST_NODES);
	PASS_ON(struct bitmask *, "numa_allocate_nodemask", (void));
}

static int machine_policy(int *mode, unsigned long *mask,
			  unsigned long maxnode, void *addr,
			  unsigned long flags)
{
	(void)addr, (void)flags;
	if (machine->policy_error) {
		errno = machine->policy_error;
		return -1;
	}
	*mode = machine->mode;
	for (unsigned long n = 0; n + 1 < maxnode && n < MOST_NODES; n++)
		if (machine->bound[n])
			mask[n / 64] |= 1ul << n % 64;
	return 0;
}

static int machine_mbind(void *addr, size_t size, int mode,
			 const unsigned long *mask, unsigned long maxnode,
			 unsigned flags)
{
	(void)addr, (void)size, (void)mode, (void)mask, (void)maxnode;
	(void)flags;
	errno = machine->mbind_error;
	return errno ? -1 : 0;
}

static int machine_move_pages(pid_t pid, unsigned long count, void **pages,
			      const int *nodes, int *status, int flags)
{
	(void)pid, (void)pages, (void)nodes, (void)flags;
	for (unsigned long i = 0; i < count; i++)
		status[i] = -ENOENT;
	errno = machine->move_pages_error;
	return errno ? -1 : 0;
}

static int machine_getcpu(unsigned *on, unsigned *node)
{
	if (on)
		*on = 0;
	if (node)
		*node = (unsigned)machine->node_now;
	return machine->node_now < 0 ? -1 : 0;
}

/* The home of a CPU that is plugged in later, on this node. */
static unsigned home_of_late(struct machine *m, int node)
{
	struct np_os os = np_os_linux;
	unsigned home;

	os.getcpu = machine_getcpu;
	machine = m;
	m->node_now = node;
	np_os = &os;
	home = np_topology_home(&topology, topology.ncpus);
	np_os = &np_os_linux;
	machine = NULL;
	return home;
}

/* Asks the made-up machine. */
static void ask(struct machine *m)
{
	struct np_os os = np_os_linux;

	os.get_mempolicy = machine_policy;
	os.mbind = machine_mbind;
	os.move_pages = machine_move_pages;
	machine = m;
	np_os = &os;
	memset(&topology, 0xa5, sizeof topology);
	np_topology_init(&topology, 0);
	np_os = &np_os_linux;
	machine = NULL;
}

/* A machine whose CPUs alternate between two nodes with memory. */
static struct machine *two_nodes(int a, int b)
{
	static struct machine m;

	memset(&m, 0, sizeof m);
	m.max_node = b;
	m.has_memory[a] = m.has_memory[b] = true;
	for (int n = 0; n < MOST_NODES; n++)
		m.allowed[n] = true;
	for (int cpu = 0; cpu < NP_MAX_CPUS; cpu++)
		m.node_of_cpu[cpu] = cpu % 2 ? b : a;
	memset(m.distance, 20, sizeof m.distance);
	for (int n = 0; n < 64; n++)
		m.distance[n][n] = 10;
	m.mode = MPOL_DEFAULT;
	return &m;
}

/* Nothing is bound, and everything is on one node. */
static bool is_one_node(void)
{
	const struct np_topology *t = &topology;

	for (unsigned cpu = 0; cpu < t->ncpus; cpu++)
		if (np_topology_home(t, cpu))
			return false;
	return t->nnodes == 1 && !t->binds && t->cpus_of[0] == t->ncpus &&
	       np_topology_bind_to(t, 0) == -1;
}

static bool notes(const char *word)
{
	if (!strstr(topology.note, word))
		diag("the note is: %s", topology.note);
	return strstr(topology.note, word);
}

/* Homes 0 and 1 are these kernel nodes, and bound to them; there are more of
 * memory alone. */
static bool is_two_nodes_and(unsigned more, int a, int b)
{
	const struct np_topology *t = &topology;

	for (unsigned i = 0; i < more; i++)
		if (!np_topology_named_only(t, 2 + i))
			return false;
	return t->nnodes == 2 + more && t->binds &&
	       !np_topology_named_only(t, 0) &&
	       np_topology_bind_to(t, 0) == a &&
	       np_topology_bind_to(t, 1) == b &&
	       np_topology_home(t, 0) == 0 && np_topology_home(t, 1) == 1 &&
	       t->cpus_of[0] == (t->ncpus + 1) / 2 &&
	       t->cpus_of[1] == t->ncpus / 2;
}

static bool is_two_nodes(int a, int b)
{
	return is_two_nodes_and(0, a, b);
}

static void test_nodes(void)
{
	struct machine *m;

	ask(two_nodes(0, 1));
	ok(is_two_nodes(0, 1) && notes("bound"), "two nodes: each is bound");
	ask(two_nodes(3, 8));
	ok(is_two_nodes(3, 8), "with gaps between their numbers");
	ask(two_nodes(70, 1023));
	ok(is_two_nodes(70, 1023), "and numbers above 64");
	m = two_nodes(0, 2);
	m->max_node = 5;
	m->has_memory[1] = m->has_memory[5] = true;
	ask(m);
	ok(is_two_nodes_and(2, 0, 2) &&
	   topology.kernel_node[2] == 1 && topology.kernel_node[3] == 5,
	   "nodes of memory only stand behind the others");
	m = two_nodes(0, 2);
	m->has_memory[2] = false;
	m->has_memory[1] = m->has_memory[3] = true;
	m->max_node = 3;
	m->distance[2][3] = 12;
	ask(m);
	ok(is_two_nodes_and(1, 0, 3), "a CPU of a node without memory belongs to the "
	   "nearest one");
	m = two_nodes(0, 2);
	memset(m->distance, 0, sizeof m->distance);
	ask(m);
	ok(is_two_nodes(0, 2), "without distances a node is nearest to itself");
	m = two_nodes(0, 2);
	m->allowed[2] = false;
	ask(m);
	ok(is_one_node() || (topology.nnodes == 1 && !topology.binds),
	   "a node that the cpuset denies is none of ours");
	is_int(topology.kernel_node[0], 0, "the other one is");
	m = two_nodes(0, 2);
	m->node_of_cpu[1] = -1;
	ask(m);
	ok(topology.nnodes >= 1 && np_topology_home(&topology, 1) <
	   topology.nnodes, "a CPU of which nobody knows has a home");
}

static void test_distances(void)
{
	struct machine *m = two_nodes(3, 8);

	m->distance[3][8] = 31;
	m->distance[8][3] = 17;
	ask(m);
	machine = m;
	is_int(np_topology_distance(&topology, 0, 1), 31,
	       "a distance is the firmware's");
	is_int(np_topology_distance(&topology, 1, 0), 17,
	       "which may differ the other way");
	m->distance[8][8] = 99;
	is_int(np_topology_distance(&topology, 1, 1), 10,
	       "but 10 is the same node");
	m->distance[3][8] = 0;
	is_int(np_topology_distance(&topology, 0, 1), 20,
	       "what it does not know is as far as usual");
	machine = NULL;
}

static void test_numbers(void)
{
	ask(two_nodes(3, 8));
	ok(np_topology_number(&topology, 0) == 3 &&
	   np_topology_number(&topology, 1) == 8,
	   "users call a node by the kernel's number");
	ok(np_topology_find(&topology, 3) == 0 &&
	   np_topology_find(&topology, 8) == 1, "and find it by that");
	ok(np_topology_find(&topology, 0) == NP_NO_NODE &&
	   np_topology_find(&topology, 1) == NP_NO_NODE &&
	   np_topology_find(&topology, -1) == NP_NO_NODE,
	   "not by our own");
}

static void test_none(void)
{
	struct machine *m = two_nodes(0, 1);

	m->no_numa = true;
	ask(m);
	ok(is_one_node() && notes("no NUMA"), "no NUMA: one node");
	m = two_nodes(0, 1);
	m->has_memory[0] = m->has_memory[1] = false;
	ask(m);
	ok(is_one_node(), "no node with memory: one node");
	m = two_nodes(0, 1);
	m->policy_error = EPERM;
	ask(m);
	ok(is_one_node() && notes("get_mempolicy"),
	   "get_mempolicy denied: one node");
	m = two_nodes(0, 1);
	m->mbind_error = EPERM;
	ask(m);
	ok(is_one_node() && notes("mbind"), "mbind denied: one node");
	m = two_nodes(0, 1);
	m->mbind_error = ENOSYS;
	ask(m);
	ok(is_one_node() && notes("mbind"), "mbind unknown: one node");
	ok(!np_topology_is_sure(&topology), "where nothing is sure");
	m->mbind_error = 0;
	ask(m);
	ok(topology.sees && np_topology_is_sure(&topology),
	   "where both work it is sure where memory lies");
	m->move_pages_error = EPERM;
	ask(m);
	ok(is_two_nodes(0, 1) && !topology.sees && notes("move_pages") &&
	   !np_topology_is_sure(&topology),
	   "move_pages denied: bound, but nobody sees");
}

static void test_late(void)
{
	struct machine *m = two_nodes(3, 7);

	m->distance[5][3] = 30;
	m->distance[5][7] = 20;
	ask(m);
	is_uint(home_of_late(m, 3), 0, "a CPU that comes later, on node 3");
	is_uint(home_of_late(m, 7), 1, "on node 7");
	is_uint(home_of_late(m, 5), 1, "on one without memory: the nearest");
	is_uint(home_of_late(m, -1), 0, "on one that the kernel does not say");
	m->mbind_error = EPERM;
	ask(m);
	is_uint(home_of_late(m, 7), 0, "where nothing is bound there is one");
}

/* The administrator's policy counts, with flags in its upper bits or not. */
static void test_policies(void)
{
	static const struct {
		int mode;
		bool ours;
		const char *name;
	} policies[] = { { MPOL_DEFAULT, true, "default" },
			 { 4 /* MPOL_LOCAL */, true, "local" },
			 { MPOL_INTERLEAVE, false, "interleave" },
			 { MPOL_INTERLEAVE | 1 << 15, false,
			   "interleave (static)" },
			 { MPOL_PREFERRED, false, "preferred" },
			 { 5, false, "preferred many" },
			 { 6, false, "weighted interleave" } };
	struct machine *m;

	for (size_t i = 0; i < sizeof policies / sizeof *policies; i++) {
		m = two_nodes(0, 1);
		m->mode = policies[i].mode;
		ask(m);
		if (policies[i].ours)
			ok(is_two_nodes(0, 1), "%s: all nodes, each bound",
			   policies[i].name);
		else
			ok(is_one_node() && notes("policy"),
			   "%s: one node, nothing bound", policies[i].name);
	}
	m = two_nodes(1, 4);
	m->has_memory[2] = true;
	m->mode = MPOL_BIND | 1 << 15;
	m->bound[2] = m->bound[4] = true;
	m->distance[1][2] = 15;
	ask(m);
	ok(is_two_nodes(2, 4), "bind: those nodes only, and the others' CPUs "
	   "go to the nearest");
	m->bound[4] = false;
	ask(m);
	ok(topology.nnodes == 1 && topology.kernel_node[0] == 2,
	   "bind to one node: that one");
	ok(np_topology_is_sure(&topology), "which is sure");
}

/* --- random machines -------------------------------------------------- */

static void random_machine(struct machine *m, struct rng *rng)
{
	static const int modes[] = { MPOL_DEFAULT, MPOL_BIND };
	unsigned nnodes = 1 + (unsigned)rng_below(rng, 8);

	memset(m, 0, sizeof *m);
	m->max_node = (int)(nnodes - 1 + rng_below(rng, 40));
	m->mode = modes[rng_below(rng, 2)];
	for (unsigned i = 0; i < nnodes; i++) {
		size_t n = rng_below(rng, (uint64_t)m->max_node + 1);

		m->has_memory[n] = rng_chance(rng, 80);
		m->allowed[n] = rng_chance(rng, 90);
		m->bound[n] = rng_chance(rng, 60);
	}
	for (int cpu = 0; cpu < NP_MAX_CPUS; cpu++)
		m->node_of_cpu[cpu] =
			(int)rng_below(rng, (uint64_t)m->max_node + 1);
	for (int a = 0; a < 64; a++)
		for (int b = 0; b < 64; b++)
			m->distance[a][b] = (uint8_t)(a == b ? 10 :
				11 + rng_below(rng, 5));
}

static bool usable(const struct machine *m, int node)
{
	return m->has_memory[node] && m->allowed[node] &&
	       (m->mode != MPOL_BIND || m->bound[node]);
}

/* The kernel node that a CPU's memory shall be on; -1: there is none. */
static int expected_node(const struct machine *m, unsigned cpu)
{
	int own = m->node_of_cpu[cpu], best = -1;

	if (usable(m, own))
		return own;
	for (int n = 0; n <= m->max_node; n++)
		if (usable(m, n) && (best < 0 || m->distance[own % 64][n % 64]
				     < m->distance[own % 64][best % 64]))
			best = n;
	return best;
}

static bool is_as_expected(const struct machine *m)
{
	const struct np_topology *t = &topology;
	unsigned counted[MOST_NODES] = { 0 };

	if (expected_node(m, 0) < 0)
		return is_one_node();
	for (unsigned cpu = 0; cpu < t->ncpus; cpu++) {
		np_home_t home = np_topology_home(t, cpu);

		if (home >= t->nnodes ||
		    t->kernel_node[home] != expected_node(m, cpu))
			return false;
		counted[home]++;
	}
	for (unsigned i = 0; i < t->nnodes; i++)
		if (t->cpus_of[i] != counted[i] ||
		    !usable(m, t->kernel_node[i]) ||
		    (i && !counted[i] == !counted[i - 1] &&
		     t->kernel_node[i] <= t->kernel_node[i - 1]) ||
		    (i && counted[i] && !counted[i - 1]))
			return false;
	return t->binds == (t->nnodes > 1);
}

static void test_random_machines(void)
{
	static struct machine m;
	struct rng rng = rng_seed(3);
	bool good = true;
	int n;

	for (n = 0; good && n < 500; n++) {
		random_machine(&m, &rng);
		ask(&m);
		good = is_as_expected(&m);
	}
	ok(good, "%d machines: each CPU is at home on the nearest usable node, "
	   "homes ascend, those without CPUs last", n);
}

static void test_made_up(void)
{
	np_topology_init(&topology, 0);
	test_agreement();
	if (topology.ncpus < 2) {
		skip(39, "needs two CPUs");
	} else {
		test_nodes();
		test_distances();
		test_numbers();
		test_none();
		test_policies();
		test_late();
	}
	test_random_machines();
}

#else

static void test_made_up(void)
{
	skip(41, "needs libnuma");
}

#endif

int main(void)
{
	plan(3 + 4 + 7 + 1 + 9 + 4 + 3 + 8 + 10 + 5 + 1);
	test_invented();
	test_invented_numbers();
	test_machine();
	test_made_up();
	return done();
}
