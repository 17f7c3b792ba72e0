/*
 * The contract between the core scheduler and the eBPF programs that decide for it.
 *
 * A policy is a set of functions in sections LEAT_SEC_SCHED "/" HOOK, each taking a struct
 * leat_sched_ctx and returning a number whose meaning is the hook's. The scheduler checks every
 * answer; one that is out of range, like a hook that is not there, means the built-in policy.
 * Everything here is ABI: fields are only ever appended.
 */
#pragma once

#include <linux/types.h>

#define LEAT_SEC_SCHED "leat/sched"

enum leat_sched_hook {
	LEAT_SCHED_INIT,        /* the policy was loaded: 0, or it is refused */
	LEAT_SCHED_EXIT,        /* it will be asked no more */
	LEAT_SCHED_ATTACH,      /* a vcpu came */
	LEAT_SCHED_DETACH,      /* a vcpu went */
	LEAT_SCHED_CONGESTED,   /* work waits too long: may it have a core? 0 no, 1 yes */
	LEAT_SCHED_SELECT_CORE, /* the core for a vcpu that has work */
	LEAT_SCHED_PICK_NEXT,   /* for one of those that wait for a core: its rank, lowest first */
	LEAT_SCHED_BALANCE,     /* where a waiting vcpu should move: a core */
	LEAT_SCHED_QUANTUM_EXPIRED, /* ns that it may go on for, 0: give the core back */
	LEAT_SCHED_HOOKS,
};

/* What a policy sees: a vcpu, a core, the machine. All of it is read-only. */
struct leat_sched_ctx {
	__u64 now_ns;
	__u64 delay_ns;         /* for how long the vcpu has waited for a core */
	__u64 ran_ns;           /* for how long it has held this one */
	__u64 quantum_ns;       /* the scheduler's own */
	__u64 idle_cores;       /* bit per core: nobody holds it */
	__u64 allowed_cores;    /* bit per core: the vcpu may run there */
	__u32 hook;             /* enum leat_sched_hook */
	__u32 instance;         /* the vcpu's, 0 if the hook has none */
	__u32 tenant;           /* its tenant */
	__u32 tag;              /* its tag word */
	__u32 vcpu;             /* number of it within the instance */
	__u32 last_core;        /* where it ran last; UINT32_MAX: nowhere */
	__u32 waker;            /* core that its work came from; UINT32_MAX: none */
	__u32 core;             /* the core that is asked about; UINT32_MAX: none */
	__u32 granted;          /* vcpus that hold that core */
	__u32 waiting;          /* vcpus that wait for it */
	__u32 busy_permille;    /* share of recent time in which somebody there had work */
	__u32 crowded_permille; /* in which more than one had */
	__u32 nr_cores;
	__u32 reserved;
};

_Static_assert(sizeof(struct leat_sched_ctx) == 104, "struct leat_sched_ctx is ABI");
