/*
 * The facade of sched/: the core scheduler, which decides what vcpu runs on what core.
 *
 * It knows nothing of windows, threads or clocks: events go in, with the time at which they
 * happened, decisions come out through struct sched_host. So it runs in virtual time in tests and
 * in the simulator, and in leatd's dataplane threads, alike. Nothing is ever scanned but the vcpus
 * that hold a core: an idle instance costs nothing.
 *
 * What is decided is a policy's: the built-in one, or verified eBPF (leat/abi/policy.h), whose
 * every answer is checked. What is done is the mechanism's, and the same under every policy.
 *
 * Threads: every function may be called by any thread; one lock inside, held for O(log n) and a
 * policy's proved worst case at most. The callbacks of struct sched_host run under it and must not
 * call back. Functions return 0 (or what is said) or a negative errno.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "leat/abi/policy.h"
#include "leat/abi/sched_trace.h"

#define SCHED_MAX_CORES LEAT_SCHED_CORES_MAX
#define SCHED_MAX_VCPUS 65536U
#define SCHED_MAX_TENANTS 65536U
#define SCHED_MAX_POLICIES 8U /* that are remembered */
#define SCHED_NEVER UINT64_MAX
#define SCHED_WEIGHT 100U /* default; of instances and tenants */
#define SCHED_WEIGHT_MAX 10000U

struct ebpf_instance;
struct ebpf_object;
struct sched;
struct sched_instance;
struct sched_policy;
struct sched_vcpu;

/* Decisions. `arg` is the vcpu's, given at attach. */
struct sched_host {
	/* Let it run on this core. It was parked, and is granted until sched_parked() is told. */
	void (*grant)(void *arg, unsigned core, uint64_t now_ns);
	/* Ask it to give its core back. */
	void (*preempt)(void *arg, uint64_t now_ns);
	/* It was asked and did not: take the core away by force. `attempt` counts from 1. */
	void (*evict)(void *arg, unsigned attempt, uint64_t now_ns);
	/* It computes while others on its core have work: let it have what they leave. */
	void (*demote)(void *arg, uint64_t now_ns);
	/* As before, whether or not it still holds the core. */
	void (*restore)(void *arg, uint64_t now_ns);
	/* CPU time that its instance has used, by the host's count; 0: not known. */
	uint64_t (*cpu_ns)(void *arg);
	/* Somebody has to look at this core's state soon: wake its dataplane thread. */
	void (*poke)(void *ctx, unsigned core);
	void *ctx; /* for poke */
};

struct sched_config {
	unsigned nr_cores;
	unsigned max_granted; /* vcpus at once on a core; 0: the default */
	uint64_t quantum_ns;  /* 0: the default */
	struct sched_host host;
};

int sched_create(const struct sched_config *config, struct sched **ret_sched);
void sched_destroy(struct sched *sched); /* NULL is allowed */

/* Where a core lies: the next hardware thread of the same core (a ring), and its NUMA node. */
void sched_core_place(struct sched *sched, unsigned core, unsigned sibling, unsigned node);
/* Whether it may be used: nobody is granted a core that is gone. */
void sched_core_use(struct sched *sched, unsigned core, bool use, uint64_t now_ns);

/* ---- who there is ---- */

struct sched_instance_config {
	uint32_t id; /* > 0 */
	uint32_t tenant;
	uint32_t tag;
	uint32_t function_tag;
	uint32_t weight;     /* within its tenant; 0: SCHED_WEIGHT */
	uint32_t guaranteed; /* vcpus that have a core whenever they have work */
};

int sched_instance_attach(struct sched *sched, const struct sched_instance_config *config,
			  struct sched_instance **ret_inst);
/* After its vcpus. NULL is allowed. */
void sched_instance_detach(struct sched_instance *inst);
/* Tags and weight from now on; id, tenant and guarantee stay. */
void sched_instance_set(struct sched_instance *inst, const struct sched_instance_config *config);
/* Kept, also when the tenant has no instance. -ENOSPC. */
int sched_tenant_set(struct sched *sched, uint32_t tenant, uint32_t tag, uint32_t weight);

int sched_vcpu_attach(struct sched_instance *inst, void *arg, unsigned index,
		      struct sched_vcpu **ret_vcpu);
/* No callback for it any more when it returns. NULL is allowed. */
void sched_vcpu_detach(struct sched_vcpu *vcpu);

/* ---- policies ---- */

/*
 * A policy of an object that is verified and prepared. Refused, with a sentence in `error`: -EINVAL
 * no hook or one of an unknown name, -E2BIG a hook whose longest path is over its budget, -ENOTSUP
 * maps that differ by thread.
 */
int sched_policy_create(struct ebpf_object *object, const char *name, char *error,
			size_t error_bytes, struct sched_policy **ret_policy);
void sched_policy_destroy(struct sched_policy *policy); /* one that was not loaded */
/* Its programs and maps; while the caller knows that it is remembered. */
struct ebpf_instance *sched_policy_programs(struct sched_policy *policy);

/*
 * From the next decision on; takes the policy over. -EPERM: its init says no, and it is destroyed.
 * NULL: the built-in one. Costs the same however many vcpus there are.
 */
int sched_policy_load(struct sched *sched, struct sched_policy *policy, uint64_t now_ns);
/* Back to the one that was there before the last load. -ENOENT: there was none. */
int sched_policy_rollback(struct sched *sched, uint64_t now_ns);

struct sched_policy_info {
	uint32_t number; /* of its load, from 1; 0: the built-in one */
	char name[40];
	bool active;
	char reason[80]; /* why it was fallen back from, or "" */
	uint64_t loaded_ns;
	uint64_t rescues; /* vcpus that it would have let starve */
	struct {
		bool there;
		uint64_t cost;   /* instructions of the longest path */
		uint64_t budget; /* that it may have */
		uint64_t asked;
		uint64_t passed; /* LEAT_SCHED_DEFAULT */
		uint64_t bad;
	} hook[LEAT_SCHED_HOOKS];
};

/* Those remembered, oldest first, the built-in one before them. Returns how many. */
unsigned sched_policy_list(struct sched *sched,
			   struct sched_policy_info ret_info[SCHED_MAX_POLICIES + 1]);
const char *sched_hook_name(unsigned hook);
/* A line that the active policy printed; as ebpf_instance_trace(). */
int64_t sched_policy_printed(struct sched *sched, char *buf, size_t size);

/* ---- events ---- */

/*
 * There is work for it (packets, a signal, its wish): grants or queues it. Told of a vcpu that
 * holds a core (because it may be parking at this moment), it is granted again once it has parked.
 */
void sched_work(struct sched_vcpu *vcpu, unsigned waker_core, uint64_t now_ns);

/* It gave its core back. deadline_ns 0: sleeps until work; want: has work already. */
void sched_parked(struct sched_vcpu *vcpu, uint64_t deadline_ns, bool want, uint64_t now_ns);

/*
 * What a vcpu that holds a core was seen doing; `turns` moves when it gives way, or does anything
 * else that somebody who computes without end does not do.
 */
void sched_sample(struct sched_vcpu *vcpu, bool has_work, uint32_t turns, uint64_t now_ns);

/* How many of those who hold the core were seen to have work. Calls for one core must not overlap.
 */
void sched_core_sample(struct sched *sched, unsigned core, unsigned nr_with_work, uint64_t now_ns);

/*
 * Runs what is due on this core: deadlines, quanta, waiting vcpus, balance. Returns when to call
 * again at the latest, SCHED_NEVER: not before the next event.
 */
uint64_t sched_tick(struct sched *sched, unsigned core, uint64_t now_ns);

/* ---- looking ---- */

/* -ENOENT: no such core. */
int sched_core_get(struct sched *sched, unsigned core, struct leat_sched_core *ret_core);

struct sched_vcpu_stats {
	uint64_t grants;
	uint64_t preempts;     /* polite ones */
	uint64_t evictions;    /* by force */
	uint64_t demotions;    /* to what others leave */
	uint64_t moves;        /* grants on another core than before */
	uint64_t rescues;      /* grants that the policy would not have given */
	uint64_t delay_ns_sum; /* from work to grant */
	uint64_t delay_ns_max;
	uint64_t cpu_ns; /* core time charged */
};

void sched_vcpu_stats_get(struct sched_vcpu *vcpu, struct sched_vcpu_stats *ret_stats);

/*
 * Every event and decision from now on, beginning with all that is there, to `record`, which runs
 * under the lock. NULL: no more. -EBUSY: somebody records already.
 */
int sched_trace_set(struct sched *sched,
		    void (*record)(void *ctx, const struct sched_trace_record *record), void *ctx,
		    uint64_t now_ns);

/* ---- the simulator: the same scheduler in virtual time ---- */

struct sched_sim_config {
	unsigned nr_cores;
	unsigned nr_instances;
	unsigned nr_hogs;    /* of them: compute without end; tag bit 0 is set */
	unsigned nr_deaf;    /* of the hogs: do not hear polite requests */
	unsigned nr_tenants; /* instances go round; tenant n has the weight n * SCHED_WEIGHT */
	uint64_t seed;
	uint64_t duration_ns;
	uint64_t service_ns;         /* mean of a request */
	unsigned load_permille;      /* of the cores, by requests */
	struct sched_policy *policy; /* taken over; NULL: the built-in one */
	void (*record)(void *ctx, const struct sched_trace_record *record); /* or NULL */
	void *record_ctx;
};

#define SCHED_SIM_TENANTS 64U

struct sched_sim_result {
	uint64_t requests; /* answered */
	uint64_t latency_ns_p50, latency_ns_p99, latency_ns_max;
	uint64_t hog_wait_ns_max; /* longest time without a core of somebody who computes */
	uint64_t busy_permille;   /* of all cores */
	uint64_t hog_permille;    /* of all cores, by those who compute */
	uint64_t tenant_hog_permille[SCHED_SIM_TENANTS]; /* of what hogs got; tenants from 1 at [0]
							  */
	uint64_t grants, preempts, evictions, demotions, moves;
	uint64_t decisions;
	uint64_t digest;                 /* of their order */
	struct sched_policy_info policy; /* the one at the end */
};

/* -EINVAL, -ENOMEM, or what sched_policy_load() says. */
int sched_simulate(const struct sched_sim_config *config, struct sched_sim_result *ret_result);

struct sched_replay_result {
	uint64_t events;
	uint64_t decisions;  /* recorded */
	uint64_t same;       /* of them, from the first on, that came again in the same order */
	uint64_t differs_at; /* number of the first record that did not, if same < decisions */
	struct sched_trace_record expected, got; /* there */
};

/*
 * Feeds a trace's events to the scheduler and compares what it decides. `policy`, taken over, takes
 * the place of each policy in the trace that is not the built-in one; NULL: there is none. -EINVAL:
 * no trace, or it begins in the middle.
 */
int sched_replay(const struct sched_trace_record *records, size_t nr, struct sched_policy *policy,
		 struct sched_replay_result *ret_result);
