/*
 * The facade of sched/: the core scheduler, which decides what vcpu runs on what core.
 *
 * It knows nothing of windows, threads or clocks: events go in, with the time at which they
 * happened, decisions come out through struct sched_host. So it runs in virtual time in tests and
 * in leatd's dataplane threads alike. Nothing is ever scanned but the vcpus that hold a core: an
 * idle instance costs nothing.
 *
 * Threads: every function may be called by any thread; one lock inside, held for O(log n) at most.
 * The callbacks of struct sched_host run under it and must not call back. Functions return 0 (or
 * what is said) or a negative errno.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define SCHED_MAX_CORES 32U
#define SCHED_MAX_VCPUS 65536U
#define SCHED_NEVER UINT64_MAX

struct sched;
struct sched_vcpu;

/* Decisions. `arg` is the vcpu's, given at attach. */
struct sched_host {
	/* Let it run on this core. It was parked, and is granted until sched_parked() is told. */
	void (*grant)(void *arg, unsigned core, uint64_t now_ns);
	/* Ask it to give its core back. */
	void (*preempt)(void *arg, uint64_t now_ns);
	/* It was asked and did not: take the core away by force. `attempt` counts from 1. */
	void (*evict)(void *arg, unsigned attempt, uint64_t now_ns);
	/*
	 * It does not give way to others on its core: let it have what they leave, until its next
	 * grant. Said again after each quantum; the host knows better whether it runs at all.
	 */
	void (*demote)(void *arg, uint64_t now_ns);
	/* Somebody has to look at this core's state soon: wake its dataplane thread. */
	void (*poke)(void *ctx, unsigned core);
	void *ctx; /* for poke */
};

/* What a policy may see of a core and a vcpu. */
struct sched_core_view {
	unsigned granted;          /* vcpus that hold this core */
	unsigned waiting;          /* vcpus that wait for it */
	unsigned busy_permille;    /* share of recent time in which somebody there had work */
	unsigned crowded_permille; /* in which more than one had: the core does not keep up */
	bool spinner;              /* somebody there does not give way */
};

struct sched_vcpu_view {
	unsigned last_core; /* UINT_MAX: never ran */
	uint32_t instance;
	uint32_t tag;
};

/* A policy: decides where and what next; the mechanism checks what it says. */
struct sched_ops {
	const char *name;
	/* The core for a vcpu that has work; `waker` is where the event came from, or UINT_MAX. */
	unsigned (*select_core)(const struct sched_core_view *cores, unsigned nr_cores,
				const struct sched_vcpu_view *vcpu, unsigned waker);
};

extern const struct sched_ops sched_policy_default;

struct sched_config {
	unsigned nr_cores;
	unsigned max_granted; /* vcpus at once on a core; 0: the default */
	uint64_t quantum_ns;  /* 0: the default */
	struct sched_host host;
	const struct sched_ops *policy; /* NULL: the default */
};

int sched_create(const struct sched_config *config, struct sched **ret_sched);
void sched_destroy(struct sched *sched); /* NULL is allowed */

/* The policy for the next decisions. */
int sched_policy_set(struct sched *sched, const struct sched_ops *policy);

int sched_vcpu_attach(struct sched *sched, void *arg, uint32_t instance, uint32_t tag,
		      struct sched_vcpu **ret_vcpu);
/* No callback for it any more when it returns. NULL is allowed. */
void sched_vcpu_detach(struct sched_vcpu *vcpu);

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

void sched_core_view_get(struct sched *sched, unsigned core, struct sched_core_view *ret_view);

struct sched_vcpu_stats {
	uint64_t grants;
	uint64_t preempts;     /* polite ones */
	uint64_t evictions;    /* by force */
	uint64_t moves;        /* grants on another core than before */
	uint64_t delay_ns_sum; /* from work to grant */
	uint64_t delay_ns_max;
};

void sched_vcpu_stats_get(struct sched_vcpu *vcpu, struct sched_vcpu_stats *ret_stats);
