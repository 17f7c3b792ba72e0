/*
 * gateway.h - what the parts of leat-gateway share: functions, their instances, and calls.
 *
 * One thread runs everything, on h2o's event loop; nothing here needs a lock.
 */
#pragma once

#include <h2o.h>
#include <h2o/http1client.h>
#include <jansson.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "apps/gateway/keepwarm.h"
#include "apps/gateway/metrics.h"
#include "apps/gateway/spec.h"
#include "apps/gateway/template.h"
#include "apps/gateway/timer.h"
#include "leat/base/list.h"

#define REASON_MAX 512U
#define CALL_ID_MAX 64U

/* ---- main.c: the loop and descriptors ---- */

struct io {
	h2o_socket_t *sock; /* NULL: none */
	void (*ready)(struct io *io);
};

struct gateway {
	h2o_globalconf_t config;
	h2o_context_t ctx;
	h2o_loop_t *loop;
	h2o_http1client_ctx_t client_ctx;
	h2o_timeout_t io_timeout;
	struct list functions; /* by name */
	char data_dir[256], state_dir[256];
	uint64_t start_ns;
	bool draining;
	char password[72]; /* of the management routes; "": none asked */
	unsigned in_flight;
};

extern struct gateway gw;

/* The descriptor becomes the watcher's. Level-triggered: ready is called while there is input. */
void io_watch(struct io *io, int fd, void (*ready)(struct io *io));
void io_close(struct io *io);
int io_fd(const struct io *io);

/* Unpredictable lower-case hexadecimal digits, at most 32, and a NUL. */
void random_hex(char *text, size_t digits);

/* A line of the gateway's own log, as JSON; takes the reference. */
void log_event(const char *event, json_t *fields);

/* ---- function.c ---- */

struct function {
	struct list node;
	struct spec spec;
	char revision[20];
	struct list instances; /* oldest first */
	struct list queue;     /* of calls, oldest first */
	unsigned queued, nr_starting, nr_ready, running;
	unsigned floor;    /* instances that are kept: `min`, or what /system/scale-function said */
	unsigned failures; /* starts that failed in a row */
	struct timer scale_timer;   /* the queue's head has waited for long */
	struct timer idle_timer;    /* nothing to do for long */
	struct timer prewarm_timer; /* a call is expected */
	uint64_t idle_since_ns;     /* 0: busy */
	struct keepwarm keepwarm;
	struct metrics metrics;
	struct template template;
	struct function_log *log;
	char last_error[REASON_MAX]; /* names the instance and says why */
	int64_t last_error_time, created_time;
	bool removed; /* undeployed; goes when its last instance has */
};

/* Starts what the store has. */
int functions_load(void);
struct function *function_find(const char *name);
/* Deploys or replaces: 0, or an errno with a sentence. Takes a reference of json on success. */
int function_deploy(json_t *json, char error[SPEC_ERROR_MAX]);
int function_undeploy(const char *name);
void function_scale(struct function *fn, unsigned replicas);
void function_failed(struct function *fn, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* Something changed: dispatches what can be, starts what is needed. */
void function_pump(struct function *fn);
/* Instances asked to end; true when none is left. */
bool functions_drain(void);
/* As `leat functions --json` shows it. */
json_t *function_json(const struct function *fn);

/* ---- instance.c ---- */

enum instance_state {
	INSTANCE_STARTING,
	INSTANCE_TEMPLATE, /* as that, but for a template: it takes no calls */
	INSTANCE_READY,
	INSTANCE_DRAINING, /* no new calls; ends with its last one */
	INSTANCE_ENDING,   /* was told to */
	INSTANCE_GONE,     /* has ended; somebody still refers to it */
};

struct instance {
	struct list node; /* in fn->instances */
	struct function *fn;
	char name[NAME_LEN_MAX + 1];
	enum instance_state state;
	uint32_t ip_be;
	uint64_t memory_bytes;
	char tenant[NAME_LEN_MAX + 1];
	struct list calls; /* running on it */
	unsigned nr_calls;
	bool cloned;       /* from a template */
	bool up;           /* for a template: its port has accepted a connection */
	bool served;       /* a call has been answered */
	unsigned timeouts; /* calls in a row that took too long */
	struct io control; /* leatd's channel: its end is the instance's end */
	struct io output;  /* what it prints */
	uint64_t output_bytes, output_since_ns;
	bool flooded;
	char tail[256]; /* the last line that it printed */
	char line[1024];
	size_t line_bytes;
	struct timer timer; /* next look at its port, or the end of patience */
	struct timer flood_timer;
	h2o_socketpool_t pool;
	bool pooled;
	h2o_socketpool_connect_request_t *probing;
	uint64_t start_ns, launched_ns, ready_ns;
	/* the Lambda contract: an instance that waits for its next event */
	h2o_req_t *next;
};

/* NULL: it could not be started, and function_failed was told. */
struct instance *instance_start(struct function *fn);
/* One that becomes the function's template. */
struct instance *instance_start_template(struct function *fn);
/* No more calls; stops when it has none. */
void instance_drain(struct instance *inst);
/* TERM, and KILL after a while. */
void instance_stop(struct instance *inst);
void instance_kill(struct instance *inst, const char *why);
void instance_ready(struct instance *inst);
struct instance *instance_by_ip(uint32_t ip_be);
/* A call has left it. */
void instance_call_done(struct instance *inst);

/* ---- source.c: where instances come from ---- */

/*
 * Starts an instance, from the function's template if it has one, else in full: asks leatd and
 * watches its end. The one place that knows how an instance comes to be.  0 or a negative errno
 * with a sentence in error.
 */
int source_start(struct instance *inst, char error[REASON_MAX]);
/* Sends a signal. */
void source_signal(struct instance *inst, int sig);
/* Sockets towards instances are made between these two. */
void source_net_enter(void);
void source_net_leave(void);
/* Reads one message of the instance's channel. 1: started, 2: it has ended, 0: nothing. */
int source_receive(struct instance *inst, int *ret_status, char reason[REASON_MAX]);

/* ---- call.c ---- */

struct call;

struct call_ops {
	void (*head)(struct call *call, int status, const h2o_header_t *headers, size_t nr);
	/* `last` ends the answer; `broken` says that the instance did not. */
	void (*body)(struct call *call, const char *bytes, size_t size, bool last, bool broken);
};

enum call_state { CALL_NEW, CALL_QUEUED, CALL_RUNNING, CALL_DONE };

struct call {
	struct list node; /* in fn->queue or inst->calls */
	const struct call_ops *ops;
	struct function *fn;
	struct instance *inst;
	enum call_state state;
	char id[CALL_ID_MAX];
	char traceparent[64];
	const char *route; /* "function", "invoke", "async", "cli" */
	h2o_iovec_t method, path, authority, body;
	const h2o_header_t *headers;
	size_t nr_headers;
	uint64_t arrived_ns, sent_ns, answered_ns;
	int64_t arrived_time_ns; /* since 1970 */
	bool cold, retried, head_sent;
	bool own; /* the answer is the gateway's, not the function's */
	int status;
	uint64_t bytes_out;
	struct timer deadline;
	h2o_http1client_t *client;
	h2o_iovec_t request; /* head of the request to the instance */
	h2o_socket_cb paused;
};

/* Times, ids, and the trace; the rest of the fields is the caller's. */
void call_init(struct call *call, const struct call_ops *ops, const char *route);
/* Queues and runs. The answer may come before this returns. */
void call_submit(struct call *call, struct function *fn);
/* The caller does not want the answer any more. */
void call_abandon(struct call *call);
/* An answer of the gateway's own. Ends the call. */
void call_fail(struct call *call, int status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* Runs it on an instance that has a place. */
void call_dispatch(struct call *call, struct instance *inst);
/* The instance has ended. */
void call_instance_gone(struct call *call, const char *reason);
/* The answer's reader is slow, or ready again. */
void call_pause(struct call *call);
void call_resume(struct call *call);
/* Lambda: the runtime's answer. */
void call_answer(struct call *call, int status, const char *type, const char *error,
		 h2o_iovec_t body);
/* All of it was delivered. */
void call_finish(struct call *call);
const char *call_header(const struct call *call, const char *name, size_t *ret_size);

/* request.c: the head of a request to an instance; pure. -EINVAL: cannot be sent. */
int request_build(const struct call *call, h2o_iovec_t *ret_head);
bool request_hop_by_hop(const char *name, size_t size);

/* ---- server.c, routes ---- */

int server_listen(const char *address, uint16_t port);
void server_stop(void);
/* Answers at once. */
void reply_text(h2o_req_t *req, int status, const char *type, const char *body, size_t size);
void reply_error(h2o_req_t *req, int status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* Takes the reference. */
void reply_json(h2o_req_t *req, int status, json_t *json);
/* An HTTP request as a call of fn; the answer goes to req. */
void server_call(h2o_req_t *req, struct function *fn, const char *route, h2o_iovec_t path,
		 const struct call_ops *ops);
/* The request that a call of server_call answers. */
h2o_req_t *server_request(struct call *call);
const struct call_ops *server_ops(void);
bool iovec_starts(h2o_iovec_t text, const char *prefix);
/* Cuts the next part of a path: "NAME/rest?q" -> NAME; 0, or -EINVAL. */
int path_name(h2o_iovec_t *path, char ret_name[NAME_LEN_MAX + 1]);

void route_faas(h2o_req_t *req, h2o_iovec_t path);   /* below /system/ */
void route_invoke(h2o_req_t *req, h2o_iovec_t path); /* AWS Lambda's Invoke */
void route_runtime(h2o_req_t *req);                  /* the Runtime API */
/* The Runtime API's listener in the instances' network. */
int runtime_listen(unsigned *ret_port);
void runtime_closed(void);
void runtime_deliver(struct call *call, struct instance *inst);

/* ---- log.c: what functions print ---- */

struct function_log *log_open(const char *name);
void log_close(struct function_log *log);
void log_line(struct function_log *log, const char *instance, const char *text, size_t size);
/* The older and the current file for reading, -1: none. */
void log_files(const struct function_log *log, int ret_fds[2]);
/* Follows: called for each line until log_unfollow. */
struct log_follower {
	struct list node;
	void (*line)(struct log_follower *follower, const char *line, size_t size);
};
void log_follow(struct function_log *log, struct log_follower *follower);
void log_unfollow(struct log_follower *follower);
/* One line of a log file as JSON; NULL: none. */
json_t *log_parse(const char *function, const char *line, size_t size);

/* ---- store.c ---- */

int store_open(void);
void store_close(void);
int store_put(const char *name, const json_t *spec, int64_t created);
int store_remove(const char *name);
void store_functions(void (*each)(const char *name, json_t *spec, int64_t created));

struct job {
	char id[CALL_ID_MAX], function[NAME_LEN_MAX + 1];
	json_t *request; /* method, path, headers, callback */
	char *body;
	size_t body_bytes;
	unsigned attempts;
	int status; /* of the answer, when the callback is due; 0: the call is */
	int64_t due_ms;
};
int store_job_put(const struct job *job);
/* Its next state: a new time for the call, or the answer for the callback. */
int store_job_update(const struct job *job);
int store_job_remove(const char *id);
/* Jobs that are due and not taken yet, at most nr; they count as taken until updated. */
unsigned store_jobs_due(int64_t now_ms, struct job *jobs, unsigned nr);
int64_t store_job_next(void); /* when the next one is due, -1: none */
unsigned store_jobs_of(const char *function);
void job_finish(struct job *job);

int store_secret_put(const char *tenant, const char *name, const void *value, size_t size);
int store_secret_remove(const char *tenant, const char *name);
/* value NULL ends nothing: each is called for every secret of the tenant (NULL: of all). */
void store_secrets(const char *tenant,
		   void (*each)(void *arg, const char *tenant, const char *name, const void *value,
				size_t size),
		   void *arg);

struct quota {
	unsigned instances, functions; /* 0: no limit */
	uint64_t memory_bytes;
};
int store_quota_put(const char *tenant, const struct quota *quota);
struct quota store_quota(const char *tenant);

/* ---- async.c ---- */

int async_start(void);
/* Accepts a call: 0 once it is stored. */
int async_submit(const struct call *call, struct function *fn, const char *callback);

/* ---- secret.c: secrets as files ---- */

/* Writes the secrets that fn names; ret_dir is its folder. 0, or an errno with a sentence. */
int secrets_write(const struct function *fn, char *ret_dir, size_t size, char error[REASON_MAX]);
/* A secret was changed: functions that name it get the new file. */
void secrets_rotate(const char *tenant, const char *name);

/* ---- load.c ---- */

/* Reads f.yaml (or the one in a folder) as the description of a function; NULL: error says why. */
json_t *spec_load(const char *path, char error[SPEC_ERROR_MAX]);

/* ---- collect.c: a call whose answer is kept in memory ---- */

struct collected {
	struct call call;
	json_t *request; /* method, path, headers (a list of pairs), owned */
	h2o_header_t *list;
	h2o_iovec_t *names;
	char *body; /* owned */
	json_t *answer_headers;
	h2o_buffer_t *answer;
	bool broken;
	void (*done)(struct collected *collected);
	void *owner;
};

/* Takes the request's reference and the body. done is called once; then the caller destroys it. */
struct collected *collect_create(json_t *request, char *body, size_t size, const char *route,
				 const char *id);
void collect_destroy(struct collected *collected);
json_t *collect_request(const struct call *call);

/* ---- api.c: the commands of leat, on a socket in the state folder ---- */

int api_start(void);
void api_stop(void);
