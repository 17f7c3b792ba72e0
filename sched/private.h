/*
 * private.h - the scheduler's state, shared by its files. All of it is guarded by sched.lock but
 * for what says otherwise.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "leat/base/bits.h"
#include "leat/base/list.h"
#include "sched/heap.h"
#include "sched/sched.h"

#define SCHED_MAX_GRANTED 8U      /* default: kthreads that take turns on a core */
#define SCHED_QUANTUM_NS 2000000U /* default */
#define SCHED_GRACE_NS 200000U    /* from asking to evicting, then between attempts, doubled */
#define SCHED_GRACE_SHIFT_MAX 6U
#define SCHED_SPINNER_NS 300000U      /* nobody who gives way takes so long from turn to turn */
#define SCHED_BUSY_WINDOW_NS 4000000U /* the memory of the busy and crowded shares */
#define SCHED_FOLD_NS 200000U         /* samples are folded into them in portions of so long */
#define SCHED_SAMPLE_MAX_NS 500000U   /* a sample speaks for no longer than that */
#define SCHED_BALANCE_NS 1000000U     /* at most one move of a vcpu in that time */
#define SCHED_SETTLE_NS 50000000U     /* no consolidation so soon after spreading */
#define SCHED_SPREAD_PERMILLE 250U    /* crowded: spread */
#define SCHED_JOIN_PERMILLE 950U      /* busy, of both together, */
#define SCHED_OVERLAP_PERMILLE 150U   /* and so seldom at the same time: join */

enum sched_state {
	SCHED_PARKED,
	SCHED_WAITING, /* has work and no core */
	SCHED_GRANTED,
};

struct sched_vcpu {
	struct sched *sched;
	void *arg;
	uint32_t instance;
	uint32_t tag;
	enum sched_state state;
	unsigned core;      /* waiting for it, or holding it */
	unsigned last_core; /* UINT_MAX: never ran */
	unsigned move_to;   /* UINT_MAX, or where it is to run next */
	struct list node;   /* in core.granted or core.waiting */
	struct sched_heap_node deadline;
	uint64_t work_ns; /* since when it has work without a core */
	uint64_t granted_ns;
	uint64_t asked_ns;   /* 0: was not asked to give its core back */
	uint64_t demoted_ns; /* when it was last said not to give way */
	unsigned evictions;  /* attempts since it was asked */
	bool work_pending;   /* granted, and work came that it may not have seen */
	/* Written by sched_sample without the lock (relaxed: each is a hint by itself). */
	_Atomic(uint64_t) gave_way_ns;
	_Atomic(uint32_t) turns;
	struct sched_vcpu_stats stats;
};

struct sched_core {
	struct list granted;
	struct list waiting;
	unsigned nr_granted;
	unsigned nr_waiting;
	struct sched_heap deadlines; /* of parked vcpus that ran here last */
	unsigned busy_permille;
	unsigned crowded_permille;
	unsigned overlap_permille; /* had work while another core had some too */
	bool spinner;
	/* Since the last tick; written by sched_core_sample, taken by the tick, without the lock.
	 */
	_Atomic(uint64_t) sampled_ns;
	_Atomic(uint64_t) total_ns;
	_Atomic(uint64_t) busy_ns;
	_Atomic(uint64_t) crowded_ns;
	_Atomic(uint64_t) overlap_ns;
	_Atomic(bool) has_work; /* at the last sample */
};

struct sched {
	struct sched_config config;
	pthread_mutex_t lock; /* priority inheriting: dataplane threads differ in priority */
	const struct sched_ops *policy;
	unsigned nr_vcpus;
	uint64_t balanced_ns;
	uint64_t spread_ns;
	struct sched_core core[SCHED_MAX_CORES];
};

/* balance.c; the lock is held */
void sched_balance_locked(struct sched *sched, unsigned core, uint64_t now_ns);
void sched_core_measure_locked(struct sched *sched, unsigned core, uint64_t now_ns);
void sched_core_view_locked(const struct sched_core *core, struct sched_core_view *ret_view);
