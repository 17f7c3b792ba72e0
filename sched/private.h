/*
 * private.h - the scheduler's state, shared by its files. All of it is guarded by sched.lock but
 * for what says otherwise.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "bpf/bpf.h"
#include "leat/base/bits.h"
#include "leat/base/list.h"
#include "sched/heap.h"
#include "sched/sched.h"

#define SCHED_MAX_GRANTED 8U      /* default: kthreads that take turns on a core */
#define SCHED_MAX_COMPUTING 1U    /* of them: that compute without giving way */
#define SCHED_QUANTUM_NS 2000000U /* default */
#define SCHED_GRACE_NS 200000U    /* from asking to evicting, then between attempts, doubled */
#define SCHED_GRACE_SHIFT_MAX 6U
#define SCHED_SPINNER_NS 300000U      /* nobody who gives way takes so long from turn to turn */
#define SCHED_BUSY_WINDOW_NS 4000000U /* the memory of the busy and crowded shares */
#define SCHED_FOLD_NS 200000U         /* samples are folded into them in portions of so long */
#define SCHED_SAMPLE_MAX_NS 500000U   /* a sample speaks for no longer than that */
#define SCHED_BALANCE_NS 1000000U     /* at most one move of a vcpu in that time */
#define SCHED_HOLDS_PER_TICK 8U       /* held back ones that are thought of again */
#define SCHED_HOLD_MAX_NS 10000000U   /* nobody is held back for longer */

/* A vcpu is demoted for its own CPU time only, while others work, and not for good. */
#define SCHED_GUILT_PERCENT 90U         /* of half a quantum */
#define SCHED_DEMOTE_AFTER_NS 20000000U /* of computing: a server's busy moments are shorter */
#define SCHED_DEAF_NS 400000U           /* ran for so long after it was asked to give way */
#define SCHED_DEMOTED_LOOK_NS 10000000U /* does it get on, and is it still in anybody's way? */
#define SCHED_DEMOTED_SHARE 10U   /* one that gets less than the 10th part of a core is spared, */
#define SCHED_SPARED_NS 40000000U /* for so long */

/* One who waited so long, and saw later ones overtake it, is granted next whatever the policy says.
 */
#define SCHED_STARVE_NS 200000000U
#define SCHED_RESCUES_MAX 8U /* of one policy; then it is fallen back from, */
#define SCHED_BAD_MAX 16U    /* as after so many bad answers */

enum sched_state {
	SCHED_PARKED,
	SCHED_HELD,    /* has work, and no core beyond its guarantee yet */
	SCHED_WAITING, /* has work and no core */
	SCHED_GRANTED,
};

struct sched_tenant {
	struct list node; /* in sched.tenants */
	uint32_t id;
	uint32_t tag;
	uint32_t weight;
	uint64_t cpu_ns;
};

struct sched_instance {
	struct list node; /* in sched.instances */
	struct sched *sched;
	struct sched_instance_config config;
	struct sched_tenant *tenant;
	uint64_t cpu_ns;
	unsigned nr_granted;
	unsigned nr_active;     /* waiting or granted */
	unsigned nr_guaranteed; /* of them, within the guarantee */
};

struct sched_vcpu {
	struct list all; /* in sched.vcpus */
	struct sched *sched;
	struct sched_instance *inst;
	void *arg;
	uint32_t number; /* in traces */
	unsigned index;  /* within the instance */
	enum sched_state state;
	unsigned core;      /* held back or waiting for it, or holding it */
	unsigned last_core; /* UINT_MAX: never ran */
	unsigned move_to;   /* UINT_MAX, or where it is to run next */
	struct list node;   /* in core.granted, core.held, or core.arrived */
	struct sched_heap_node deadline;
	struct sched_heap_node rank; /* in core.waiting[] */
	uint64_t arrival;            /* core.grants[] when it began to wait, and */
	unsigned ahead;              /* how many of its kind waited then */
	uint64_t work_ns;            /* since when it has work without a core */
	uint64_t granted_ns;
	uint64_t granted_cpu_ns; /* what the host said then, of one that computes */
	uint64_t asked_ns;       /* 0: was not asked to give its core back */
	uint64_t asked_cpu_ns;   /* what the host said then */
	uint64_t extended_ns;    /* may go on until then, says the policy */
	unsigned evictions;      /* attempts since it was asked */
	bool work_pending;       /* granted, and work came that it may not have seen */
	bool guaranteed;         /* active within the guarantee */
	bool computes;
	bool demoted;
	uint64_t computes_since_ns;
	/* As of the last tick. */
	uint64_t way_ns;
	bool has_work;
	/* What the host said of its CPU time, and when; 0: was not asked since it gave way. */
	uint64_t suspect_ns, suspect_cpu_ns;
	uint64_t demoted_ns, demoted_cpu_ns; /* since when it is looked at as a demoted one */
	uint64_t in_the_way_ns;              /* demoted, and others were last seen with work */
	uint64_t spared_ns;                  /* not demoted before then */
	/* The policy's. */
	uint32_t policy; /* number of the one that knows it */
	uint64_t policy_state;
	struct sched_vcpu_stats stats;
	/* Written by sched_sample without the lock (relaxed: each is a hint by itself). */
	_Atomic(uint64_t) gave_way_ns;
	_Atomic(uint64_t) sampled_ns;
	_Atomic(uint64_t) charge_ns;
	_Atomic(uint32_t) turns;
	atomic_uint sampled_core; /* written at a grant */
	atomic_bool working;
};

enum { SCHED_GIVES_WAY, SCHED_COMPUTES, SCHED_KINDS };

struct sched_core {
	struct list granted;
	struct list held;                       /* vcpus that are held back, oldest first */
	struct list arrived;                    /* waiting ones, oldest first */
	struct sched_heap waiting[SCHED_KINDS]; /* the same by rank */
	unsigned nr_granted;
	unsigned nr_computing; /* of the granted */
	unsigned nr_waiting;
	uint64_t grants[SCHED_KINDS]; /* so far: for the kinds do not wait for each other */
	struct sched_heap deadlines;  /* of parked vcpus that ran here last */
	unsigned busy_permille;
	unsigned crowded_permille;
	unsigned overlap_permille; /* had work while another core had some too */
	uint64_t delay_ns;         /* from work to grant, smoothed */
	unsigned sibling, node;
	bool spinner;
	bool gone;
	/* Since the last tick; written by sched_core_sample, taken by the tick, without the lock.
	 */
	_Atomic(uint64_t) sampled_ns;
	_Atomic(uint64_t) total_ns;
	_Atomic(uint64_t) busy_ns;
	_Atomic(uint64_t) crowded_ns;
	_Atomic(uint64_t) overlap_ns;
	atomic_uint nr_with_work; /* at the last sample */
};

struct sched_policy {
	uint32_t number; /* of its load */
	char name[40];
	char reason[80];
	struct ebpf_instance *programs;
	const struct ebpf_prog *hook[LEAT_SCHED_HOOKS];
	uint64_t cost[LEAT_SCHED_HOOKS];
	uint64_t asked[LEAT_SCHED_HOOKS], passed[LEAT_SCHED_HOOKS], bad[LEAT_SCHED_HOOKS];
	uint64_t nr_bad, nr_rescues;
	uint64_t loaded_ns;
};

#define SCHED_TENANT_BUCKETS 256U

struct sched {
	struct sched_config config;
	pthread_mutex_t lock; /* priority inheriting: dataplane threads differ in priority */
	struct list vcpus, instances;
	struct list tenants[SCHED_TENANT_BUCKETS];
	unsigned nr_vcpus, nr_tenants;
	uint32_t next_vcpu, next_policy;
	uint64_t balanced_ns;
	uint64_t spread_ns;
	uint64_t idle[2], allowed[2];                      /* bit per core */
	struct sched_policy *policies[SCHED_MAX_POLICIES]; /* in the order of their loading */
	unsigned nr_policies;
	struct sched_policy *policy; /* the active one; NULL: built in */
	uint64_t builtin_asked[LEAT_SCHED_HOOKS];
	void (*record)(void *ctx, const struct sched_trace_record *record);
	void *record_ctx;
	atomic_uint nr_cores_with_work;
	struct sched_core core[SCHED_MAX_CORES];
};

static inline void bit_set(uint64_t words[2], unsigned bit, bool value)
{
	uint64_t mask = 1ULL << (bit & 63);

	words[bit >> 6] = value ? words[bit >> 6] | mask : words[bit >> 6] & ~mask;
}

static inline bool bit_is_set(const uint64_t words[2], unsigned bit)
{
	return bit < 128 && words[bit >> 6] >> (bit & 63) & 1;
}

/* Everything below: the lock is held. */

/* sched.c */
void sched_release_locked(struct sched_vcpu *vcpu);

/* queue.c: from work to grant */
void sched_ready_locked(struct sched_vcpu *vcpu, unsigned waker, uint64_t now_ns);
void sched_fill_locked(struct sched *sched, unsigned core, uint64_t now_ns);
void sched_unqueue_locked(struct sched_vcpu *vcpu);
void sched_held_run_locked(struct sched *sched, unsigned core, uint64_t now_ns);
void sched_computes_set_locked(struct sched_vcpu *vcpu, bool computes, uint64_t now_ns);

/* quantum.c: who is asked to give a core back, and what becomes of those who do not */
void sched_quantum_check_locked(struct sched_vcpu *vcpu, uint64_t now_ns);
uint64_t sched_cpu_ns_locked(struct sched_vcpu *vcpu, uint64_t now_ns);
void sched_ask_locked(struct sched_vcpu *vcpu, uint64_t now_ns);
void sched_restore_locked(struct sched_vcpu *vcpu, uint64_t now_ns);

/* balance.c */
void sched_balance_locked(struct sched *sched, unsigned core, uint64_t now_ns);
void sched_core_measure_locked(struct sched *sched, unsigned core, uint64_t now_ns);
void sched_core_view_locked(const struct sched *sched, unsigned core,
			    struct leat_sched_core *ret_view);

/* policy.c */
struct sched_question {
	struct leat_sched_ctx ctx;
	struct sched *sched;
};

/* What the policy, or the built-in one, says; checked. */
uint64_t sched_decide_locked(enum leat_sched_hook hook, struct sched_vcpu *vcpu, unsigned waker,
			     unsigned core, uint64_t now_ns);
void sched_policy_detach_locked(struct sched_vcpu *vcpu, uint64_t now_ns);
void sched_policy_rescue_locked(struct sched *sched, uint64_t now_ns);
void sched_policies_free(struct sched *sched);

/* builtin.c: the same source as bpf/programs/sched_default.bpf.c */
uint64_t sched_builtin(enum leat_sched_hook hook, struct sched_question *question);

/* trace.c: NULL for what there is not */
void sched_trace(const struct sched *sched, enum sched_trace_kind kind,
		 const struct sched_vcpu *vcpu, unsigned core, uint64_t now_ns, uint64_t a,
		 uint64_t b, uint64_t c, uint64_t d);
void sched_trace_text(const struct sched *sched, enum sched_trace_kind kind, uint32_t number,
		      const char *text, uint64_t now_ns);
void sched_trace_instance(const struct sched_instance *inst, uint64_t now_ns);
void sched_trace_tenant(const struct sched *sched, const struct sched_tenant *tenant,
			uint64_t now_ns);
