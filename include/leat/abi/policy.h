/*
 * The contract between the core scheduler and the eBPF programs that decide for it.
 *
 * A policy is a set of functions in sections LEAT_SEC_SCHED "/" HOOK, each taking a struct
 * leat_sched_ctx and returning a number whose meaning is the hook's (docs/policies.md). The
 * scheduler checks every answer; one that is out of range, like a hook that is not there, means the
 * built-in policy. Everything here is ABI: fields are only ever appended.
 *
 * Programs see no clock but now_ns and no chance at all: the same events get the same decisions.
 */
#pragma once

#include <linux/types.h>

#define LEAT_SEC_SCHED "leat/sched"

/* Decisions that are not the policy's: what the built-in one says. Every hook may return it. */
#define LEAT_SCHED_DEFAULT (~0ULL)

#define LEAT_SCHED_NO_CORE 0xffffffffU
#define LEAT_SCHED_CORES_MAX 128
#define LEAT_SCHED_EXTEND_MAX_NS 100000000ULL /* what quantum_expired may grant at once */

enum leat_sched_hook {
	LEAT_SCHED_INIT,      /* the policy was loaded: 0, or it is refused */
	LEAT_SCHED_EXIT,      /* it will be asked no more */
	LEAT_SCHED_ATTACH,    /* a vcpu came, or is new to this policy; before its first question */
	LEAT_SCHED_DETACH,    /* a vcpu went */
	LEAT_SCHED_CONGESTED, /* beyond its guarantee: may it have a core? 0 not yet, 1 yes */
	LEAT_SCHED_SELECT_CORE, /* the core for a vcpu that has work */
	LEAT_SCHED_PICK_NEXT,   /* for one that begins to wait for a core: its rank, lowest first */
	LEAT_SCHED_BALANCE, /* of one that holds ctx->core: where it should be; there: it stays */
	LEAT_SCHED_QUANTUM_EXPIRED, /* ns that it may go on for, 0: give the core back */
	LEAT_SCHED_HOOKS,
};

enum leat_sched_flags {
	LEAT_SCHED_COMPUTES = 1 << 0,   /* it used its last quantum up without giving way */
	LEAT_SCHED_GUARANTEED = 1 << 1, /* within what its instance is guaranteed */
};

/* What a policy sees: a vcpu, and where it is. Only `state` may be written. */
struct leat_sched_ctx {
	__u64 now_ns;
	__u64 delay_ns;        /* for how long the vcpu has waited for a core */
	__u64 ran_ns;          /* for how long it has held this one */
	__u64 quantum_ns;      /* the scheduler's own */
	__u64 cpu_ns;          /* core time that it used since it was attached; */
	__u64 instance_cpu_ns; /* that its instance used; */
	__u64 tenant_cpu_ns;   /* that its tenant used */
	__u64 since_spread_ns; /* since a vcpu was last sent away from a crowded core */
	__u64 idle_cores;      /* bit per core: nobody holds it; cores 0 to 63 */
	__u64 idle_cores_high; /* cores 64 to 127 */
	__u64 allowed_cores;   /* bit per core: it is there, and the vcpu may run on it */
	__u64 allowed_cores_high;
	__u64 state;         /* the policy's own word for this vcpu, 0 at first */
	__u32 hook;          /* enum leat_sched_hook */
	__u32 instance;      /* the vcpu's, 0 if the hook has none */
	__u32 tenant;        /* its tenant */
	__u32 tag;           /* the instance's tag word */
	__u32 tenant_tag;    /* its tenant's */
	__u32 function_tag;  /* its function's; 0: it is none */
	__u32 vcpu;          /* number of it within the instance */
	__u32 flags;         /* enum leat_sched_flags */
	__u32 weight;        /* of the instance within its tenant; 100 unless set */
	__u32 tenant_weight; /* of the tenant */
	__u32 guaranteed;    /* cores that the instance is guaranteed */
	__u32 held;          /* vcpus of the instance that hold a core */
	__u32 last_core;     /* where it ran last; LEAT_SCHED_NO_CORE: nowhere */
	__u32 waker;         /* core that its work came from; LEAT_SCHED_NO_CORE: none */
	__u32 core;          /* the core that is asked about; LEAT_SCHED_NO_CORE: none */
	__u32 nr_cores;
	__u64 zero; /* always 0, but the verifier does not know: see leat_search_core() */
};

_Static_assert(sizeof(struct leat_sched_ctx) == 176, "struct leat_sched_ctx is ABI");

enum leat_sched_core_flags {
	LEAT_CORE_SPINNER = 1 << 0, /* somebody there does not give way */
	LEAT_CORE_GONE = 1 << 1,    /* it is not to be used */
};

/* A core, as leat_core_get() (leat/abi/policy_helpers.h) tells of it. */
struct leat_sched_core {
	__u32 granted;          /* vcpus that hold it */
	__u32 waiting;          /* vcpus that wait for it, and give way when they have it */
	__u32 computing;        /* of those that hold it: LEAT_SCHED_COMPUTES */
	__u32 flags;            /* enum leat_sched_core_flags */
	__u32 busy_permille;    /* share of recent time in which somebody there had work */
	__u32 crowded_permille; /* in which more than one had: the core does not keep up */
	__u32 overlap_permille; /* in which somebody had work, and on another core too */
	__u32 delay_us;         /* from work to core, lately */
	__u32 sibling; /* the next hardware thread of the same core, in a ring; or itself */
	__u32 node;    /* NUMA node */
	__u32 tags;    /* tag words of the instances that hold it, or-ed */
	__u32 tenant;  /* whose vcpus hold it; 0: nobody's; ~0: several tenants' */
};

_Static_assert(sizeof(struct leat_sched_core) == 48, "struct leat_sched_core is ABI");

/* Number of the scheduler's helper, beside those of enum leat_func. */
#define LEAT_FUNC_core_get 248
