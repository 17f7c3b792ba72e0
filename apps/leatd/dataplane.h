/*
 * The facade of leatd's dataplane: the threads in which DPU and core scheduler take their rounds,
 * the uplink, and published ports.
 *
 * leatd's control thread calls everything here; the functions may be called by several threads.
 * They wait for rounds in progress (some 10 us) but never for an instance. Functions return 0 (or
 * what is said) or a negative errno.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "leat/abi/control.h"
#include "leat/abi/window.h"
#include "net/dpu/dpu.h"
#include "sched/sched.h"

struct ebpf_object;
struct dp_instance;

struct dataplane_config {
	/* Network namespace of the uplink, made if absent; "leat". Another leatd has it: "leat-2"
	 * ... */
	const char *netns;
	const char *uplink_name; /* "leat0" */
	uint32_t uplink_ip_be;   /* 10.99.0.1 */
	unsigned uplink_prefix;  /* 16 */
	uint32_t service_ip_be;  /* where the DPU answers for names; 0: nowhere */
	/* Called (on any thread) with one line when something goes wrong later, e.g. the uplink. */
	void (*log)(const char *line);
};

/*
 * To be called first of all, before the launcher is started, which inherits what this sets: a
 * session of the process's own, since instances and dataplane threads take turns on a core only
 * within one, and short time slices, so that whoever is woken need not wait for the slice of
 * somebody who computes.
 */
void dataplane_prepare(void);

/*
 * Starts one thread per core of the calling process's affinity mask, named leat-dp/CORE, and
 * returns at once: netns, TAP and DPDK come up behind (dataplane_uplink_state). May be called once,
 * after the launcher was forked. Blocks all signals in its threads.
 */
int dataplane_start(const struct dataplane_config *config);

/* Stops the threads and undoes what start made (netns and TAP only if start made them). */
void dataplane_stop(void);

/* 0: the uplink works; -EINPROGRESS: it is coming up; otherwise what failed. */
int dataplane_uplink_state(void);
/* Waits until that is no longer -EINPROGRESS, at most timeout_ms. */
int dataplane_uplink_wait(int timeout_ms);

/* Its network namespace, once it is there: a descriptor that stays ours, or a negative errno. */
int dataplane_uplink_netns(void);

/* The namespace that is used in fact, once the uplink is up. */
const char *dataplane_netns(void);

/* The control page's memfd, to be mapped read-only by instances. Sealed against all but leatd. */
int dataplane_control_fd(void);

/* Dataplane threads, and the host cpu of each: abi_core index = host cpu number. */
unsigned dataplane_nr_cores(void);
/* The eventfd to be inherited as ABI_FD_DOORBELL + cpu, -ENOENT: no dataplane thread on that cpu.
 */
int dataplane_doorbell_fd(unsigned cpu);

/* What its thread says of the core with that number; ABI_DP_ABSENT: it has none. */
void dataplane_core_get(unsigned cpu, struct abi_core *ret_core);

void dataplane_uplink_stats(struct dpu_uplink_stats *ret_stats);

/* ---- instances ---- */

struct dp_instance_config {
	uint32_t id;     /* > 0 */
	uint32_t tenant; /* > 0 */
	uint32_t tag;
	const char *name; /* within the tenant, by DNS; NULL: none */
	uint32_t function_tag;
	uint32_t weight;     /* of its share of cores; 0: the default */
	unsigned guaranteed; /* vcpus that have a core whenever they have work */
	unsigned nr_vcpus;   /* 1 .. ABI_MAX_VCPUS */
	int window_fd;       /* sealed memfd (F_SEAL_SHRINK | GROW | SEAL); duplicated */
	uint8_t mac[6];
	uint16_t mtu;     /* 1500 */
	uint32_t ipv4_be; /* 0: no network */
	uint8_t ipv6[16]; /* all zero: link-local only */
	uint32_t prefix6_len;
	uint32_t gateway_be;
	uint32_t prefix_len;
	struct ebpf_object *filter; /* verified and prepared; NULL: the queues carry nothing */
	struct dpu_limits limits;
};

/*
 * Maps the window, writes leatd's words of abi_instance, abi_netdev and abi_vcpu, and grants vcpu 0
 * for the first time, so that the instance may be launched before or after. -EINVAL: the window is
 * not sealed or too small; -EEXIST: id, MAC or address in use; -EDQUOT: more cores are guaranteed
 * than there are.
 */
int dataplane_instance_add(const struct dp_instance_config *config, struct dp_instance **ret_inst);

/* When it returns nothing touches the window any more. NULL is allowed. */
void dataplane_instance_remove(struct dp_instance *inst);

/*
 * The instance's first host process, whose threads may be preempted by force, and the uid that they
 * all must have and nobody else has.
 */
void dataplane_instance_set_process(struct dp_instance *inst, int pid, uint32_t uid);

/* Replaces the filter between two packets; NULL: the queues carry nothing. */
int dataplane_instance_set_filter(struct dp_instance *inst, struct ebpf_object *filter);

/* Takes effect between two packets. -ERANGE. */
int dataplane_instance_set_limits(struct dp_instance *inst, const struct dpu_limits *limits);

/*
 * Copies of the instance's packets into a ring (leat/abi/capture.h); *ret_fd stays the dataplane's.
 * -EBUSY: one at a time.
 */
int dataplane_instance_capture_start(struct dp_instance *inst, uint32_t snap_bytes, int *ret_fd);
void dataplane_instance_capture_stop(struct dp_instance *inst);

/* Bit n-1 asks the program for signal n: abi_instance.ext_signals, and a grant. */
void dataplane_instance_signal(struct dp_instance *inst, uint64_t signal_bits);

/* Asks it to stand still (abi_instance.freeze), or, with 0, to go on. */
void dataplane_instance_freeze(struct dp_instance *inst, uint32_t number);

/* The window as leatd sees it: for state, exit_status, statistics, trace. */
struct abi_instance *dataplane_instance_block(struct dp_instance *inst);

struct dp_instance_stats {
	struct dpu_port_stats port;
	struct dpu_limits limits;
	struct dpu_queue_stats queue[ABI_MAX_VCPUS];
	struct sched_vcpu_stats vcpu[ABI_MAX_VCPUS];
	uint32_t vcpu_state[ABI_MAX_VCPUS]; /* enum abi_vcpu_state, as the instance says */
	unsigned nr_vcpus;
	unsigned nr_held; /* vcpus that hold a core now */
};

void dataplane_instance_stats(struct dp_instance *inst, struct dp_instance_stats *ret_stats);

/* Calls @visit with the filter, which stays meanwhile; -ENOENT: there is none. */
struct ebpf_instance;
int dataplane_instance_filter_visit(struct dp_instance *inst,
				    void (*visit)(struct ebpf_instance *filter, void *arg),
				    void *arg);

/* The filter's own counter (enum leat_counter), -ENOENT without filter or map. */
int dataplane_instance_filter_counter(struct dp_instance *inst, uint32_t index,
				      uint64_t *ret_value);

/* ---- ports of vhost-user frontends ---- */

/*
 * As an instance, but for its window: nr_vcpus is the number of queue pairs. One frontend at a time
 * connects; its socket is owned from then on, and is to be served when it is readable, until that
 * fails. Filters, limits and statistics are those of a port.
 */
struct dp_vhost;
int dataplane_vhost_add(const struct dp_instance_config *config, struct dp_vhost **ret_vhost);
void dataplane_vhost_remove(struct dp_vhost *vhost); /* NULL is allowed */
int dataplane_vhost_connect(struct dp_vhost *vhost, int fd);
int dataplane_vhost_serve(struct dp_vhost *vhost);
void dataplane_vhost_disconnect(struct dp_vhost *vhost);
void dataplane_vhost_stats(struct dp_vhost *vhost, struct dp_instance_stats *ret_stats);

/* ---- the core scheduler's policy (sched/sched.h) ---- */

/* Tag words and weight of an instance from now on; of a tenant, whether or not it has any. */
void dataplane_instance_set_share(struct dp_instance *inst, uint32_t tag, uint32_t function_tag,
				  uint32_t weight);
int dataplane_tenant_set_share(uint32_t tenant, uint32_t tag, uint32_t weight);

/*
 * A verified and prepared object becomes the policy between two rounds; *ret_ns: for how long
 * decisions had to wait for that. -EPERM and what sched_policy_create() says, with a sentence in
 * `error`.
 */
int dataplane_policy_load(struct ebpf_object *object, const char *name, char *error,
			  size_t error_bytes, uint64_t *ret_ns);
int dataplane_policy_rollback(void);
unsigned dataplane_policy_list(struct sched_policy_info ret_info[SCHED_MAX_POLICIES + 1]);
/* -ENOENT: no such core. */
int dataplane_sched_core_get(unsigned core, struct leat_sched_core *ret_core);
int64_t dataplane_policy_printed(char *buf, size_t size);

/*
 * Everything that the scheduler is told and decides, into a ring (leat/abi/sched_trace.h); *ret_fd
 * stays the dataplane's. -EBUSY: one at a time.
 */
int dataplane_sched_trace_start(int *ret_fd);
void dataplane_sched_trace_stop(void);

/* ---- published ports (-p) ---- */

enum dp_publish_proto { DP_PUBLISH_TCP, DP_PUBLISH_UDP };

struct dp_publish {
	enum dp_publish_proto proto;
	uint32_t host_ip_be; /* 127.0.0.1 unless the user says otherwise */
	uint16_t host_port;
	uint32_t guest_ip_be;
	uint16_t guest_port;
};

/*
 * Listens at once, so that -EADDRINUSE, -EACCES, -EADDRNOTAVAIL are the caller's. The id is > 0.
 * On failure `error` gets a line for the user.
 */
int dataplane_publish(const struct dp_publish *publish, char *error, size_t error_bytes,
		      unsigned *ret_id);
/* Stops listening and ends the connections through it. */
void dataplane_unpublish(unsigned id);

struct dp_publish_stats {
	uint64_t connections, active, failed;
	uint64_t bytes_in, bytes_out; /* to and from the instance */
};

int dataplane_publish_stats(unsigned id, struct dp_publish_stats *ret_stats);
