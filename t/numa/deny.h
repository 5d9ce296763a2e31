/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * deny: system calls that a container denies: EPERM for this process and what
 * it starts.
 *
 * Source: seccomp(2); Docker's and systemd's filters deny those of NUMA to
 * processes without CAP_SYS_NICE.
 */
#ifndef DENY_H
#define DENY_H

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#define DENY_MOST 16

/* What happens to a thread that makes one of these calls: EPERM
 * (DENY_ERROR), or the end of its process by SIGSYS (DENY_KILL). For the
 * caller, the threads that it makes and what it starts.
 * Returns false if it cannot be done. */
#define DENY_ERROR (SECCOMP_RET_ERRNO | EPERM)
#define DENY_KILL SECCOMP_RET_KILL_PROCESS

static inline bool deny_calls(const int *calls, unsigned n, unsigned action)
{
	struct sock_filter f[2 * DENY_MOST + 2] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
	};
	unsigned short len = 1;
	struct sock_fprog program = { .filter = f };

	if (n > DENY_MOST)
		return false;
	for (unsigned i = 0; i < n; i++) {
		f[len++] = (struct sock_filter)BPF_JUMP(
			BPF_JMP | BPF_JEQ | BPF_K, (unsigned)calls[i], 0, 1);
		f[len++] = (struct sock_filter)BPF_STMT(
			BPF_RET | BPF_K, action);
	}
	f[len++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K,
						SECCOMP_RET_ALLOW);
	program.len = len;
	return !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) &&
	       !prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

/* All that is about nodes. */
static inline bool deny_numa(unsigned action)
{
	static const int calls[] = { SYS_mbind, SYS_move_pages,
				     SYS_migrate_pages, SYS_set_mempolicy,
				     SYS_get_mempolicy,
				     450 /* set_mempolicy_home_node */ };

	return deny_calls(calls, sizeof calls / sizeof *calls, action);
}

#endif
