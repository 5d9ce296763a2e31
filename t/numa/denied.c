/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * denied: the system calls of NUMA fail, as in containers. The pool works as
 * on one node, says why, and asks once. Where its pages lie is looked at from
 * outside, in the numa_maps of the process that must not ask: what a thread
 * writes to first is on its node, as the kernel does by itself.
 *
 * Where move_pages alone is denied memory is bound all the same, but nobody sees
 * what spills, and nothing can be promised.
 *
 *	denied.t			the test
 *	denied.t --run CMD ...		runs a command like that
 *
 * Source: HACKING: NUMA rule 9.
 */
#include "../conf.h"
#include "deny.h"
#include "nodes.h"
#include "npool.h"
#include "pool.h" /* np_topology */

#include <fcntl.h>
#include <sys/wait.h>

#define BYTES (24 << 20) /* of one thread, in pieces that are fresh */
#define PIECE (3 << 20)
#define PAGES_OF_OTHERS 16 /* data of the pool beside it, in one mapping */

/* --- the process that must not ask ------------------------------------ */

static void *fill(void *arg)
{
	(void)arg;
	for (size_t n = 0; n < BYTES; n += PIECE) {
		void *p = npool_malloc(PIECE);

		must(p);
		touch(p, PIECE);
	}
	return NULL;
}

static void *free_what_is_not_mine(void *p)
{
	npool_free(p);
	return NULL;
}

static void no_promise(int migrates)
{
	struct npool_attr attr = NPOOL_ATTR_INIT;
	size_t moved, left;
	npool_t *pool;

	attr.flags = NPOOL_STRICT;
	must(npool_create(&pool, &attr) == ENOTSUP);
	must(npool_migrate_home(npool_default(), &moved, &left) == migrates);
	must(!moved && !left);
}

/* Without move_pages alone. */
static int run_blind(const char *node)
{
	static struct lies by_policy[NODES_MAX];
	struct lies *l = &by_policy[atoi(node)];

	must(syscall(SYS_move_pages, 0, 0, NULL, NULL, NULL, 0) == -1 &&
	     errno == EPERM);
	nodes_look();
	nodes_run(atoi(node), fill, NULL);
	must(np_topology.binds && !np_topology.sees);
	fprintf(stderr, "note: %s\n", np_topology.note);
	must(strstr(np_topology.note, "move_pages is denied"));
	no_promise(EPERM);
	npool_trim();
	lies_by_policy(by_policy);
	must(l->pages >= BYTES / (size_t)sysconf(_SC_PAGESIZE));
	must(l->on[atoi(node)] == l->pages);
	return 0;
}

/* All goes on; then it waits to be looked at. */
static int run_denied(const char *node)
{
	struct npool_attr attr = NPOOL_ATTR_INIT;
	npool_t *pool;
	char c;

	must(syscall(SYS_get_mempolicy, NULL, NULL, 0, NULL, 0) == -1 &&
	     errno == EPERM);
	nodes_look();
	nodes_run(atoi(node), fill, NULL);
	must(!np_topology.binds && np_topology.nnodes == 1);
	fprintf(stderr, "note: %s\n", np_topology.note);
	must(strstr(np_topology.note, "denied"));
	no_promise(0);
	nodes_run(numa.id[0], free_what_is_not_mine, npool_malloc(100));
	must(npool_create(&pool, &attr) == 0);
	npool_free(npool_alloc(pool, 100, 0));
	npool_destroy(pool);
	attr.policy = NPOOL_INTERLEAVE;
	must(npool_create(&pool, &attr) == 0);
	npool_free(npool_alloc(pool, 1 << 20, 0));
	npool_destroy(pool);
	must(write(STDOUT_FILENO, "", 1) == 1);
	must(read(STDIN_FILENO, &c, 1) == 0);
	return 0;
}

/* --- who looks -------------------------------------------------------- */

/* The child's mapping that has most pages. */
static struct lies look_at(pid_t pid)
{
	char path[64], line[4096];
	struct lies most = { 0 };
	FILE *f;

	snprintf(path, sizeof path, "/proc/%d/numa_maps", pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof line, f)) {
		struct lies l = { 0 };

		lies_add_line(&l, line);
		if (l.pages > most.pages)
			most = l;
	}
	if (f)
		fclose(f);
	return most;
}

static pid_t start_denied(int node, int *to, int *from)
{
	int in[2], out[2];
	char text[16];
	pid_t pid;

	if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC))
		bail_out("no pipe");
	snprintf(text, sizeof text, "%d", node);
	pid = fork();
	if (pid == 0) {
		dup2(in[0], STDIN_FILENO);
		dup2(out[1], STDOUT_FILENO);
		if (!deny_numa(DENY_ERROR))
			_exit(77);
		execl("/proc/self/exe", "denied", "--denied", text,
		      (char *)NULL);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	*to = in[1];
	*from = out[0];
	return pid;
}

static void test_node(int node)
{
	int to, from, status;
	struct lies lies = { 0 };
	pid_t pid = start_denied(node, &to, &from);
	char c, text[256];
	size_t wrong;

	if (read(from, &c, 1) == 1)
		lies = look_at(pid);
	close(to);
	close(from);
	waitpid(pid, &status, 0);
	ok(status == 0, "node %d: without the calls everything works (0x%x)",
	   node, (unsigned)status);
	wrong = lies.pages - lies.on[node];
	ok(lies.pages >= BYTES / (size_t)sysconf(_SC_PAGESIZE) &&
	   wrong <= PAGES_OF_OTHERS, "what a thread of node %d writes first: "
	   "%zu of %zu pages elsewhere", node, wrong, lies.pages);
	diag("%s", lies_text(&lies, text, sizeof text));
}

static void be_blind(void *node)
{
	static const int calls[] = { SYS_move_pages };

	if (!deny_calls(calls, 1, DENY_ERROR))
		_exit(77);
	execl("/proc/self/exe", "denied", "--blind", (char *)node,
	      (char *)NULL);
	_exit(127);
}

static void test_blind(int node)
{
	char text[16];
	struct child c;

	snprintf(text, sizeof text, "%d", node);
	c = child_run(be_blind, text);
	ok(child_exited(&c, 0), "node %d: without move_pages memory is bound",
	   node);
	diag("status 0x%x; %s", (unsigned)c.status, c.text);
}

int main(int argc, char **argv)
{
	if (argc > 2 && !strcmp(argv[1], "--blind"))
		return run_blind(argv[2]);
	if (argc > 2 && !strcmp(argv[1], "--denied"))
		return run_denied(argv[2]);
	if (argc > 2 && !strcmp(argv[1], "--run")) {
		if (!deny_numa(DENY_ERROR))
			bail_out("seccomp does not work");
		execvp(argv[2], argv + 2);
		bail_out("cannot run %s", argv[2]);
	}
	conf_restart(argv, "");
	nodes_need(2);
	plan(2 * numa.n + 1);
	for (unsigned i = 0; i < numa.n; i++)
		test_node(numa.id[i]);
	test_blind(numa.id[numa.n - 1]);
	return done();
}
