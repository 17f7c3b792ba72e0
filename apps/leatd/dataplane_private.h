/*
 * dataplane_private.h - what the files of the dataplane share.
 *
 * Locks, in the order in which they nest: dp.control (control threads only), then the scheduler's
 * and the DPU's own. A dp_core's scan lock is only ever tried.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "apps/leatd/dataplane.h"
#include "leat/abi/window.h"
#include "leat/base/bits.h"

#define DP_MAX_GRANTED                                                                             \
	64U /* places for granted vcpus on a core; the scheduler's limit is lower                  \
	     */
#define DP_VHOSTS_MAX 64U
#define DP_NO_CORE UINT32_MAX

struct dp_vcpu {
	struct dp_instance *inst;
	unsigned index;
	struct sched_vcpu *sched;
	struct abi_vcpu *slot; /* in the window */
	/* leatd's own copy of slot->grant: an instance may write over that one. Moved by grants
	 * only. */
	_Atomic(uint32_t) grant;
	_Atomic(uint32_t) core; /* dataplane core index while granted, or DP_NO_CORE */
	uint32_t sent; /* frames that it was seen to send; guarded by its core's scan lock */
	atomic_bool limit_waits; /* on the list of dataplane_limit.c */
};

#define DP_PROCESSES 64U /* of one instance that are looked at in one go */

struct dp_instance {
	uint32_t id;
	void *window;
	size_t window_bytes;
	struct dpu_port *port;
	unsigned nr_vcpus;
	struct dp_vcpu vcpu[ABI_MAX_VCPUS];
	_Atomic(uint32_t) rx_vcpu; /* where frames go now: a hint */
	atomic_bool dying;
	struct sched_instance *sched;
	unsigned guaranteed;
	/* Host processes whose CPU time is the instance's: found by the enforcer; 0: no more. */
	atomic_int process[DP_PROCESSES];
	_Atomic(uint64_t) forks_seen; /* abi_instance.forks when they were */
	/* Guarded by the enforcer's lock. */
	int pid; /* 0: not known yet */
	uint32_t uid;
	struct dp_instance *enforce_next;
	unsigned enforce; /* enum dp_enforce bits that wait; also read without the lock */
};

enum dp_enforce {
	DP_ENFORCE_SIGNAL = 1,  /* the preempt signal to its running threads */
	DP_ENFORCE_DEMOTE = 2,  /* SCHED_IDLE for them */
	DP_ENFORCE_RESTORE = 4, /* SCHED_OTHER for all */
	DP_ENFORCE_LOOK = 8,    /* find its processes */
};

/* Something that does not pay at present. */
struct dp_avoid {
	uint64_t until_ns;
	uint64_t for_ns;
};

struct dp_core {
	unsigned index;
	unsigned cpu;
	struct abi_core *pub; /* in the control page */
	int doorbell_fd;
	int epoll_fd;
	pthread_t thread;
	bool running;
	atomic_uint scan_lock;
	_Atomic(uint64_t) scanned_ns;
	unsigned scan_first; /* place that is looked at first; guarded by scan_lock */
	_Atomic(struct dp_vcpu *) granted[DP_MAX_GRANTED];
	atomic_uint nr_places; /* one past the highest place ever used */
	_Atomic(uint32_t) nr_granted;
	_Atomic(uint64_t) tick_ns; /* when sched_tick is due */
	atomic_bool called;        /* another core wants it to poll */
	atomic_bool assisted;      /* held, and asleep because another core polls its rings */
	/* The thread's own. */
	bool fifo;
	bool polling; /* counted in dp.nr_polling */
	uint64_t last_work_ns;
	uint64_t busy_since_ns; /* there was work again and again since */
	uint64_t called_ns;     /* when it last called another core to poll */
	uint64_t last_uplink_ns;
	uint64_t polled_ns;
	struct dp_avoid poll_avoid, yield_avoid;
	uint64_t nap_ns;
	bool rung;
};

struct dp {
	struct dataplane_config config;
	unsigned nr_cores;
	struct dp_core core[SCHED_MAX_CORES];
	struct dpu *dpu;
	struct sched *sched;
	struct abi_control *control_page;
	int control_fd;
	pthread_mutex_t control;
	unsigned guaranteed; /* vcpus; guarded by control */
	atomic_bool stopping;
	atomic_uint nr_polling; /* idle cores that poll everybody's rings */
	_Atomic(struct dpu_uplink *) uplink;
	_Atomic(int) uplink_state;
	pthread_t uplink_thread;
	int netns_lock_fd; /* of a namespace that we made, or -1 */
	char netns[64];
	int netns_fd; /* guarded by uplink_state: valid once that is 0 */
};

extern struct dp dp;

static inline uint64_t dp_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000U + (uint64_t)ts.tv_nsec;
}

void dp_log(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* dataplane.c */
/*
 * The normal class for a thread (0: the caller) with the slice that all of us have: between threads
 * with different slices a yield does not pass the core on as it should (docs/dataplane.md), and
 * sched_setscheduler would give it the kernel's.
 */
int dp_class_other(int tid);

/* dataplane_grant.c */
void dp_sched_host_init(struct sched_host *ret_host);
/* The core's thread looks at its vcpus soon; takes effect with dp_deferred_flush. */
void dp_poke(unsigned core);
void dp_deferred_flush(void);
unsigned dp_core_scan(struct dp_core *core, unsigned by_core, uint64_t now_ns);
void dp_work(void *owner, unsigned queue, unsigned core, uint64_t now_ns);
unsigned dp_vcpu_awaited(const struct dp_instance *inst);
unsigned dp_steer(void *owner, uint32_t flow_hash);
void dp_vcpu_unplace(struct dp_vcpu *vcpu);

/* dataplane_instance.c */
/* What the DPU wants to know of a port; window and owner are left to the caller. */
void dp_port_config(const struct dp_instance_config *config, struct dpu_port_config *ret_port);

/* dataplane_vhost.c: in a round */
unsigned dp_vhost_scan(struct dp_core *core, uint64_t now_ns);
void dp_vhost_kicks_ask(void);
/* When a port at its limits may send again. */
uint64_t dp_vhost_due_ns(void);
void dp_kick_fd(void *owner, unsigned queue, int fd);

/* dataplane_thread.c */
void *dp_thread_main(void *core);

/* dataplane_netns.c */
/* Removes namespaces of leatds that were killed. */
void dp_netns_sweep(void);
int dp_netns_open(const char *name, int *ret_lock_fd);
void dp_netns_remove(const char *name, int lock_fd);
int dp_tap_open(const char *name, uint32_t ip_be, unsigned prefix);

/* dataplane_enforce.c */
int dp_enforcer_start(void);
void dp_enforcer_stop(void);
void dp_enforce(struct dp_instance *inst, unsigned what);
/* CPU time of the instance's processes, 0: not known. */
uint64_t dp_instance_cpu_ns(struct dp_instance *inst);
void dp_enforce_forget(struct dp_instance *inst);

/* proxy.c */
void proxy_stop(void);
