/*
 * leatd.h - the daemon as one struct, and the parts of its control thread.
 *
 * All of this runs on the one control thread; the dataplane's threads are behind dataplane.h.
 */
#pragma once

#include <jansson.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "apps/common/channel.h"
#include "apps/common/parse.h"
#include "apps/common/signature.h"
#include "apps/leatd/cgroup.h"
#include "apps/leatd/dataplane.h"
#include "apps/leatd/image.h"
#include "apps/leatd/ipam.h"
#include "apps/leatd/launch.h"
#include "apps/leatd/loop.h"
#include "apps/leatd/pool.h"
#include "apps/leatd/state.h"
#include "bpf/bpf.h"
#include "leat/base/list.h"

#define INSTANCE_ID_MAX 0xffffffU /* three bytes of the MAC */
#define INSTANCE_PORTS_MAX 32U
#define INSTANCE_NPROC 4096U /* host threads of one instance */
#define REASON_MAX 256U
#define FILTER_PROOFS_MAX 64U
#define EXIT_LEAT 125 /* Leat's own failure */
#define TENANT_DEFAULT "default"

struct leatd;

/* The log of a detached instance: a pipe that we read, a file with an end. */
struct output {
	struct loop_source source; /* the pipe */
	struct leatd *leatd;
	uint32_t instance;
	uint64_t bytes; /* in the current file */
};

enum instance_state {
	INSTANCE_RUNNING,
	INSTANCE_EXITED,
};

struct instance {
	struct list node;
	struct leatd *leatd;
	uint32_t id;
	char name[NAME_LEN_MAX + 1];
	enum instance_state state;
	bool detached;
	bool removed;    /* not listed any more: only the uid is still out */
	bool gone;       /* no process of the uid is left */
	json_t *request; /* as it came: for inspect */
	uint32_t uid_index;
	uint32_t ip_be;
	uint8_t ip6[16];
	uint32_t tenant;
	const char *tenant_name;  /* leatd.tenants' */
	struct dpu_limits limits; /* as asked for */
	unsigned nr_vcpus;
	unsigned guaranteed; /* of them */
	uint32_t tag;        /* what filters and policies see */
	uint32_t weight;
	uint64_t memory_bytes;
	bool has_cgroup;
	unsigned sandbox;   /* SANDBOX_*: what it may ask of the host */
	const char *filter; /* "default", "none", "object" */
	struct dp_instance *dp;
	unsigned ports[INSTANCE_PORTS_MAX]; /* dataplane ids */
	unsigned nr_ports;
	uint32_t pid;
	int status;                     /* wait(2) status word, when EXITED */
	char reason[REASON_MAX];        /* why Leat ended it, "" if it ended by itself */
	uint64_t started_ns, exited_ns; /* CLOCK_MONOTONIC */
	int64_t started_time;           /* seconds since 1970 */
	struct loop_timer kill_timer;   /* leat stop's patience */
	struct loop_timer start_timer;  /* a detached start is answered when the program runs */
	bool clone;
	bool frozen; /* by a client */
	uint32_t freeze_number;
	struct output output;
};

/* A connection of leat's. */
struct client {
	struct list node;
	struct loop_source source;
	struct leatd *leatd;
	struct instance *waiting; /* tell it when this one has ended */
	bool traces;              /* it watches the scheduler */
	uint32_t captures;        /* number of the instance whose packets it watches, or 0 */
	uint32_t freezes;         /* number of the instance that stands still for it, or 0 */
	struct loop_timer freeze_timer;
	uint64_t freeze_until_ns;
	bool owner; /* its foreground: the instance goes with the connection */
};

/* A filter that was proved, by the digest of its bytes and of whom it was proved for. */
struct filter_proof {
	uint8_t digest[DIGEST_BYTES];
	struct ebpf_object *object; /* NULL: none */
	uint64_t used;              /* the clock's value then */
};

struct leatd {
	struct loop loop;
	struct state state;
	struct image image;
	struct launch launch;
	struct loop_source launch_source;
	struct loop_source listener_source; /* seccomp notifications */
	struct loop_source control_source;
	struct loop_source signal_source;
	struct loop_timer idle_timer;
	struct pool uids;
	struct ipam ipam;
	struct cgroup_root cgroup;
	int cgroup_error; /* why there is none */
	struct ebpf_object *default_filter;
	struct signature_key *signer; /* NULL: filters need no signature */
	struct filter_proof proofs[FILTER_PROOFS_MAX];
	uint64_t proof_clock;
	struct list instances; /* oldest first */
	struct list clients;
	struct list ports; /* of vhost-user frontends */
	uint32_t next_id;
	unsigned nr_cpus;
	bool private; /* ends when idle */
	int exit_code;
	json_t *tenant_shares; /* names to tag and weight */
	json_t *function_tags; /* names to numbers: what policies see of a function */
	json_t *tenants; /* names to numbers, from 1; kept for good: a number means one tenant */
};

/* ---- instance.c: the life of an instance ---- */

enum fd_role {
	ROLE_STDIN,
	ROLE_STDOUT,
	ROLE_STDERR,
	ROLE_ROOT,
	ROLE_EXEC,
	ROLE_CWD,
	ROLE_FILTER,
	ROLE_SIGNATURE,
	ROLE_SNAPSHOT,
	ROLE_COUNT
};

/* What a request asks for; texts are the request's. */
struct instance_spec {
	json_t *request;
	const char *name; /* NULL: choose one */
	const char *hostname;
	char *program, *cwd;
	char **argv, **envp; /* NULL at the end */
	unsigned cpus;
	unsigned guaranteed;
	uint32_t weight; /* 0: the default */
	uint64_t memory_bytes;
	uint32_t ip_be;  /* 0: any */
	uint8_t ip6[16]; /* all zero: the one that goes with the IPv4 address */
	uint32_t umask, nofile;
	uint64_t stack_bytes;
	struct launch_user user;
	bool detach, trace;
	const char *filter;
	const char *tenant;
	uint32_t tag;
	struct dpu_limits limits;
	int fds[ROLE_COUNT]; /* -1: none */
	unsigned nr_volumes;
	struct {
		int fd;
		const char *dst;
		bool read_only;
	} volumes[ABI_MAX_VOLUMES];
	unsigned nr_ports;
	struct publish ports[INSTANCE_PORTS_MAX];
};

/* Where a filter comes from. */
struct filter_source {
	const char *kind; /* "default", "none", "object" */
	int object_fd;    /* -1: none */
	int signature_fd; /* -1: none */
	uint32_t tenant;  /* whose it will be */
	const char *noun; /* in sentences for the user; NULL: "filter" */
};

/* On failure `error` holds a sentence for the user ("cannot X: reason"). */
int instance_create(struct leatd *leatd, const struct instance_spec *spec, char *error,
		    size_t error_size, struct instance **ret_inst);
struct instance *instance_find(struct leatd *leatd, const char *name);
struct instance *instance_by_id(struct leatd *leatd, uint32_t id);
struct instance *instance_by_uid(struct leatd *leatd, uint32_t uid);
void instance_signal(struct instance *inst, int sig);
/* The tag word that policies see of its function, 0: it is none. */
uint32_t instance_function_tag(const struct instance *inst);
/* TERM now, KILL after the timeout. */
void instance_stop(struct instance *inst, uint64_t timeout_ns);
/* Ended by Leat: the reason is kept and told. */
void instance_end(struct instance *inst, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
int instance_set_filter(struct instance *inst, const struct filter_source *source, char *error,
			size_t error_size);
/* Takes an exited one off the list. */
void instance_remove(struct instance *inst);
void instance_launcher_ready(struct loop_source *source, uint32_t events);
unsigned instance_count(const struct leatd *leatd);
void instances_finish(struct leatd *leatd);

uint32_t instance_id_next(struct leatd *leatd);
/* The tenant's number, which it keeps as long as leatd runs; *ret_name is leatd's own text. */
int tenant_number(struct leatd *leatd, const char *name, uint32_t *ret_number,
		  const char **ret_name);

/* ---- port.c ---- */

bool port_exists(struct leatd *leatd, const char *name);
bool port_has_id(struct leatd *leatd, uint32_t id);
void ports_finish(struct leatd *leatd);

/* ---- filter.c ---- */

/*
 * Reads, checks the signature where one is required, verifies and compiles; *ret_object is the
 * caller's.
 */
int filter_load(struct leatd *leatd, const struct filter_source *source, char *error,
		size_t error_size, struct ebpf_object **ret_object);
/* The default filter, from beside the executable. */
int filter_load_default(struct leatd *leatd);
/* The public key by which filters must be signed from now on; says itself what is wrong. */
int filter_signer_read(struct leatd *leatd, const char *path);
void filter_proofs_finish(struct leatd *leatd);

/* ---- output.c ---- */

void outputs_clean(struct leatd *leatd);
/* Makes log and pipe; *ret_write_fd is the instance's end. */
int output_start(struct output *output, struct leatd *leatd, uint32_t instance, int *ret_write_fd);
void output_stop(struct output *output);
void output_remove(struct output *output);
/* Reads what is still in the pipe: the writers are gone. */
void output_drain(struct output *output);
/* The older and the current file for reading, -1: none. */
void output_open(const struct output *output, int ret_fds[2]);

/* ---- control.c ---- */

int control_start(struct leatd *leatd);
void control_stop(struct leatd *leatd);
void client_error(struct client *client, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* Takes the reference. */
void client_reply(struct client *client, json_t *reply, const int *fds, unsigned nr_fds);
/* To everyone who waits for it. */
void clients_tell_end(struct leatd *leatd, struct instance *inst);
void clients_tell_failure(struct leatd *leatd, struct instance *inst, const char *error);

/* ---- main.c ---- */

/* A private leatd with nothing to do ends after a while: called when something has ended. */
void leatd_idle_check(struct leatd *leatd);

/* ---- op_*.c: requests ---- */

struct request {
	json_t *json;
	int *fds;
	unsigned nr_fds;
};

/* The instance that the request names; NULL: the client has been told. */
struct instance *request_instance(struct leatd *leatd, struct client *client,
				  const struct request *req);

void op_run(struct leatd *leatd, struct client *client, const struct request *req);
void op_ps(struct leatd *leatd, struct client *client, const struct request *req);
void op_inspect(struct leatd *leatd, struct client *client, const struct request *req);
void op_signal(struct leatd *leatd, struct client *client, const struct request *req);
void op_stop(struct leatd *leatd, struct client *client, const struct request *req);
void op_rm(struct leatd *leatd, struct client *client, const struct request *req);
void op_logs(struct leatd *leatd, struct client *client, const struct request *req);
void op_capture(struct leatd *leatd, struct client *client, const struct request *req);
void op_stats(struct leatd *leatd, struct client *client, const struct request *req);
void op_limit(struct leatd *leatd, struct client *client, const struct request *req);
void op_filter(struct leatd *leatd, struct client *client, const struct request *req);
void op_uplink(struct leatd *leatd, struct client *client, const struct request *req);
void op_filter_show(struct leatd *leatd, struct client *client, const struct request *req);
void op_port_add(struct leatd *leatd, struct client *client, const struct request *req);
void op_port_rm(struct leatd *leatd, struct client *client, const struct request *req);
void op_ports(struct leatd *leatd, struct client *client, const struct request *req);
void op_map(struct leatd *leatd, struct client *client, const struct request *req);

void op_sched_load(struct leatd *leatd, struct client *client, const struct request *req);
void op_sched_list(struct leatd *leatd, struct client *client, const struct request *req);
void op_sched_rollback(struct leatd *leatd, struct client *client, const struct request *req);
void op_sched_share(struct leatd *leatd, struct client *client, const struct request *req);
void op_sched_trace(struct leatd *leatd, struct client *client, const struct request *req);

/* ---- op_sched.c ---- */

/* The client goes: its trace of the scheduler, if it has one, ends. */
void client_trace_end(struct client *client);

/* ---- op_capture.c ---- */

/* The client goes: its capture, if it has one, ends. */
void client_capture_end(struct client *client);

/* ---- op_freeze.c ---- */

void op_freeze(struct leatd *leatd, struct client *client, const struct request *req);
void op_thaw(struct leatd *leatd, struct client *client, const struct request *req);
/* The client goes: the instance that it stopped goes on. */
void client_freeze_end(struct client *client);

/* ---- op_list.c ---- */

json_t *queues_json(const struct dp_instance_stats *stats);
json_t *packets_json(const struct dpu_port_stats *port);

/* ---- op_limit.c ---- */

/* What a request says of limits, over those that are there: 0 or -EINVAL. */
int limits_of(const json_t *json, struct dpu_limits *inout);
json_t *limits_json(const struct dpu_limits *limits);
/* What was dropped, by reason; `all`: the reasons that did not occur, too. */
json_t *drops_json(const uint64_t drops[DPU_DROP_COUNT], bool all);

/* ---- violation.c ---- */

void violation_ready(struct loop_source *source, uint32_t events);
