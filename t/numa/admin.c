/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * admin: what the administrator says counts, and the program's own affinity is
 * left alone. Children start under a memory policy, as by numactl(8), or in a
 * cpuset, and threads of every node allocate.
 *
 *	bind		only those nodes; among them a thread's own
 *	interleave	the kernel's business: as many pages on each node
 *	preferred	that node
 *	cpuset		only its nodes, also when it is made smaller while the
 *			program runs
 *	a CPU goes offline and comes back: nobody is lost
 *	CPUs that nobody knew of are of their nodes
 *
 * Source: numactl(8), cpuset(7), the kernel's cgroup-v2.rst and
 * cpu_hotplug.rst; HACKING: NUMA rule 8.
 */
#include "../conf.h"
#include "nodes.h"
#include "npool.h"
#include "pool.h" /* np_topology */

#include <linux/mempolicy.h>
#include <stdatomic.h>
#include <sys/prctl.h> /* PR_SET_THP_DISABLE */
#include <sys/stat.h> /* mkdir */

#define NPIECES 40
#define PIECE (300 << 10)
#define CGROUPS "/sys/fs/cgroup"
#define GROUP CGROUPS "/npool-test"

/* --- what children do ------------------------------------------------- */

/* What a thread got; it keeps it. */
struct got {
	void *piece[NPIECES];
	struct lies lies;
};

static void *get(void *arg)
{
	struct got *g = arg;
	cpu_set_t before, after;

	pthread_getaffinity_np(pthread_self(), sizeof before, &before);
	for (unsigned i = 0; i < NPIECES; i++) {
		must(g->piece[i] = npool_malloc(PIECE));
		touch(g->piece[i], PIECE);
		lies_add(&g->lies, g->piece[i], PIECE);
	}
	pthread_getaffinity_np(pthread_self(), sizeof after, &after);
	must(CPU_EQUAL(&before, &after));
	return NULL;
}

/* Where everything lies that threads of all nodes with CPUs get. */
static struct lies get_everywhere(void)
{
	static struct got got[NODES_MAX];
	struct lies all = { 0 };
	char text[512];

	memset(got, 0, sizeof got);
	for (int n = 0; n < NODES_MAX; n++)
		if (CPU_COUNT(&numa.cpus[n])) {
			nodes_run(n, get, &got[n]);
			lies_sum(&all, &got[n].lies);
		}
	fprintf(stderr, "threads of all nodes: %s\n",
		lies_text(&all, text, sizeof text));
	return all;
}

static void part_only_second(void)
{
	struct lies l = get_everywhere();
	/* numa.id[] are the nodes that may be used: under bind all are in it
	 * still, in a cpuset the one. */
	int node = numa.id[numa.n - 1];

	must(l.pages && l.on[node] == l.pages && !l.unknown);
}

/* Bound to all but the first node: its threads get other memory, the others
 * their own. */
static void part_bind_others(void)
{
	for (unsigned i = 0; i < numa.n; i++) {
		static struct got got;
		size_t on_first, own;

		memset(&got, 0, sizeof got);
		nodes_run(numa.id[i], get, &got);
		on_first = got.lies.on[numa.id[0]];
		own = got.lies.on[numa.id[i]];
		must(got.lies.pages && !got.lies.unknown && !on_first);
		must(i == 0 || own == got.lies.pages);
	}
}

static void part_interleave(void)
{
	struct lies l = get_everywhere();
	size_t share = l.pages / numa.n;

	must(l.pages && !l.unknown);
	for (unsigned i = 0; i < numa.n; i++)
		must(l.on[numa.id[i]] > share / 10 * 9);
	must(npool_node_of(npool_malloc(100)) == -1);
}

static char nodes_text[16];

/* The cpuset loses its first node; what comes then is on the last. */
static void part_shrink(void)
{
	int last = numa.id[numa.n - 1];
	struct lies l = get_everywhere();

	for (unsigned i = 0; i < numa.n; i++)
		must(l.on[numa.id[i]] * numa.n == l.pages);
	snprintf(nodes_text, sizeof nodes_text, "%d", last);
	must(nodes_write(GROUP "/cpuset.mems", nodes_text));
	l = get_everywhere();
	must(l.pages && !l.unknown && l.on[last] == l.pages);
	npool_trim();
	l = get_everywhere();
	must(l.on[last] == l.pages);
}

/* --- CPUs ------------------------------------------------------------- */

static atomic_bool stop;
static atomic_ulong nloops;

static void *churn(void *arg)
{
	(void)arg;
	while (!stop) {
		void *p[50];

		for (unsigned i = 0; i < 50; i++)
			must(p[i] = npool_malloc(100 * (i + 1)));
		for (unsigned i = 0; i < 50; i++)
			npool_free(p[i]);
		nloops++;
	}
	return NULL;
}

/* The last CPU of the last node. */
static int last_cpu(void)
{
	int cpu = CPU_SETSIZE;

	while (--cpu > 0)
		if (CPU_ISSET((size_t)cpu, &numa.cpus[numa.id[numa.n - 1]]))
			break;
	return cpu;
}

static void wait_for_loops(void)
{
	unsigned long seen = nloops;

	while (nloops < seen + 20)
		usleep(1000);
}

/* Threads run on a CPU that goes away and comes back. */
static void part_hotplug(void)
{
	int node = numa.id[numa.n - 1], cpu = last_cpu();
	static struct got got;
	char path[64];
	pthread_t t[2];

	snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/online",
		 cpu);
	for (unsigned i = 0; i < 2; i++)
		t[i] = nodes_start(node, churn, NULL);
	for (unsigned round = 0; round < 3; round++) {
		wait_for_loops();
		must(nodes_write(path, "0"));
		wait_for_loops();
		must(nodes_write(path, "1"));
	}
	stop = true;
	for (unsigned i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	nodes_run(node, get, &got);
	must(got.lies.pages && got.lies.on[node] == got.lies.pages);
}

/* The CPU is away when the pool starts, and comes then. */
static void part_late_cpu(void)
{
	static struct got got;
	char text[256];
	int node;

	must(npool_owns(npool_malloc(1)));
	must(nodes_write(getenv("NPOOL_TEST_CPU"), "1"));
	nodes_look();
	node = numa.id[numa.n - 1];
	nodes_run(node, get, &got);
	fprintf(stderr, "a CPU of node %d that came late: %s\n", node,
		lies_text(&got.lies, text, sizeof text));
	must(got.lies.pages && got.lies.on[node] == got.lies.pages);
}

/* --- how they start --------------------------------------------------- */

struct policy {
	const char *part;
	int mode;
	unsigned long mask;
};

static void start_with_policy(void *arg)
{
	const struct policy *p = arg;
	struct conf_start s = { "", p->part };

	if (syscall(SYS_set_mempolicy, p->mode, &p->mask,
		    8 * sizeof p->mask + 1))
		_exit(77);
	/* A huge page would be interleaved as one. */
	prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
	conf_start(&s);
}

static void test_policy(const char *claim, struct policy p)
{
	struct child c = child_run(start_with_policy, &p);

	ok(child_exited(&c, 0), "%s", claim);
	diag("status 0x%x; %s", (unsigned)c.status, c.text);
}

static unsigned long mask_of(unsigned from, unsigned to)
{
	unsigned long mask = 0;

	for (unsigned i = from; i < to; i++)
		mask |= numa.id[i] < 64 ? 1ul << numa.id[i] : 0;
	return mask;
}

static void test_policies(void)
{
	unsigned n = numa.n;

	test_policy("bind to one node: all is there",
		    (struct policy){ "only-second", MPOL_BIND,
				     mask_of(n - 1, n) });
	test_policy("bind to all but one: each node its own, none on that",
		    (struct policy){ "bind-others", MPOL_BIND,
				     mask_of(1, n) });
	test_policy("preferred: all is there",
		    (struct policy){ "only-second", MPOL_PREFERRED,
				     mask_of(n - 1, n) });
	test_policy("interleave: as many pages on each node",
		    (struct policy){ "interleave", MPOL_INTERLEAVE,
				     mask_of(0, n) });
}

static void start_in_cpuset(void *arg)
{
	const struct policy *p = arg;
	struct conf_start s = { "", p->part };
	char list[256] = "";
	size_t used = 0;

	for (unsigned i = 0; i < numa.n; i++)
		if (numa.id[i] < 64 && p->mask >> numa.id[i] & 1)
			used += (size_t)snprintf(list + used,
						 sizeof list - used, "%s%d",
						 used ? "," : "", numa.id[i]);
	if (!nodes_write(GROUP "/cpuset.mems", list) ||
	    !nodes_write(GROUP "/cgroup.procs", "0"))
		_exit(77);
	conf_start(&s);
}

static void test_cpuset(const char *claim, struct policy p)
{
	struct child c = child_run(start_in_cpuset, &p);

	ok(child_exited(&c, 0), "%s", claim);
	diag("status 0x%x; %s", (unsigned)c.status, c.text);
}

static void test_cpusets(void)
{
	if (!nodes_write(CGROUPS "/cgroup.subtree_control", "+cpuset") ||
	    (mkdir(GROUP, 0755) && errno != EEXIST)) {
		skip(3, "needs to make cpusets: root and cgroup2");
		return;
	}
	test_cpuset("a cpuset of one node: all is there",
		    (struct policy){ "only-second", 0,
				     mask_of(numa.n - 1, numa.n) });
	test_cpuset("a cpuset without the first node: each its own, none on "
		    "that", (struct policy){ "cpuset-others", 0,
					     mask_of(1, numa.n) });
	test_cpuset("a cpuset that loses a node: it gets no more from there",
		    (struct policy){ "shrink", 0, mask_of(0, numa.n) });
	rmdir(GROUP);
}

static void test_cpus(void)
{
	char path[64];
	struct child c;

	snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/online",
		 last_cpu());
	if (access(path, W_OK)) {
		skip(2, "needs to take CPUs offline: root");
		return;
	}
	conf_ok("", "hotplug", "a CPU that goes and comes back loses nobody");
	setenv("NPOOL_TEST_CPU", path, 1);
	nodes_write(path, "0");
	c = conf_run("", "late-cpu");
	nodes_write(path, "1");
	ok(child_exited(&c, 0), "one that comes when the pool is there is of "
	   "its node");
	diag("%s", c.text);
}

/* CPUs that nobody knew of at the start, as those that are plugged in later;
 * here the pool is made to forget all. */
static void part_unknown(void)
{
	npool_free(npool_malloc(1));
	np_topology.ncpus = 0;
	for (unsigned i = 0; i < numa.n; i++) {
		static struct got got;

		memset(&got, 0, sizeof got);
		nodes_run(numa.id[i], get, &got);
		must(got.lies.pages && !got.lies.unknown);
		must(got.lies.on[numa.id[i]] == got.lies.pages);
	}
}

/* The first node may not be used, but its CPUs may. */
static void part_cpuset_others(void)
{
	for (int n = 0; n < NODES_MAX; n++) {
		static struct got got;

		memset(&got, 0, sizeof got);
		if (!CPU_COUNT(&numa.cpus[n]))
			continue;
		nodes_run(n, get, &got);
		must(got.lies.pages && !got.lies.unknown);
		must(!numa.memory[n] || got.lies.on[n] == got.lies.pages);
	}
}

static const struct {
	const char *name;
	void (*run)(void);
} parts[] = {
	{ "only-second", part_only_second },
	{ "bind-others", part_bind_others },
	{ "interleave", part_interleave },
	{ "cpuset-others", part_cpuset_others },
	{ "shrink", part_shrink },
	{ "hotplug", part_hotplug },
	{ "late-cpu", part_late_cpu },
	{ "unknown", part_unknown },
};

int main(int argc, char **argv)
{
	if (argc > 1) {
		nodes_look();
		for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
			if (!strcmp(argv[1], parts[i].name))
				parts[i].run();
		return 0;
	}
	conf_restart(argv, "");
	nodes_need(2);
	plan(4 + 3 + 2 + 1);
	test_policies();
	test_cpusets();
	test_cpus();
	conf_ok("", "unknown", "a CPU that nobody knew of is of its node");
	return done();
}
