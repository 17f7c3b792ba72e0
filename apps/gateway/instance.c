/*
 * instance.c - the life of one instance: started, ready when its port accepts a connection (or,
 * with the Lambda contract, when its runtime asks for an event), drained, ended.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "apps/gateway/gateway.h"
#include "leat/base/bits.h"

#define PROBE_MIN_NS 1000000ULL
#define PROBE_MAX_NS 50000000ULL
#define PROBE_PATIENCE_NS 50000000ULL /* TCP's own, for a lost packet, is a second */
#define PROBE_SHARE 8 /* the next look comes after an eighth of the time that it took so far */
#define POOL_CONNECTIONS 1024
#define POOL_IDLE_MS 2000
#define STOP_MS 5000
#define SURPLUS_MS 10000
#define FLOOD_BYTES (1U << 20) /* in a second */
#define FLOOD_NS 1000000000ULL
#define DRAIN_CHUNKS 32U

static void probe(struct instance *inst);

/* ---- what it prints ---- */

static void line_end(struct instance *inst)
{
	log_line(inst->fn->log, inst->name, inst->line, inst->line_bytes);
	snprintf(inst->tail, sizeof(inst->tail), "%.*s", (int)inst->line_bytes, inst->line);
	inst->line_bytes = 0;
}

static void output_take(struct instance *inst, const char *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		if (bytes[i] == '\n' || inst->line_bytes == sizeof(inst->line))
			line_end(inst);
		if (bytes[i] != '\n')
			inst->line[inst->line_bytes++] = bytes[i];
	}
}

/* False: no more for now. */
static bool output_chunk(struct instance *inst)
{
	char chunk[65536];
	ssize_t n;

	if (inst->output.sock == NULL)
		return false;
	n = read(io_fd(&inst->output), chunk, sizeof(chunk));
	if (n > 0) {
		inst->output_bytes += (uint64_t)n;
		output_take(inst, chunk, (size_t)n);
		return true;
	}
	if (n == 0 || (errno != EAGAIN && errno != EINTR))
		io_close(&inst->output);
	return false;
}

static void output_ready(struct io *io)
{
	struct instance *inst = container_of(io, struct instance, output);
	uint64_t now = now_ns();

	output_chunk(inst);
	if (now - inst->output_since_ns > FLOOD_NS) {
		inst->output_since_ns = now;
		inst->output_bytes = 0;
	}
	if (inst->output_bytes <= FLOOD_BYTES || inst->output.sock == NULL)
		return;
	if (!inst->flooded)
		function_failed(inst->fn, "%s floods its output: it is read at %u bytes a second",
				inst->name, FLOOD_BYTES);
	inst->flooded = true;
	h2o_socket_read_stop(inst->output.sock);
	timer_arm(&inst->flood_timer, inst->output_since_ns + FLOOD_NS);
}

static void io_ready(h2o_socket_t *sock, const char *error);

static void flood_due(struct timer *timer)
{
	struct instance *inst = container_of(timer, struct instance, flood_timer);

	if (inst->output.sock != NULL)
		h2o_socket_read_start(inst->output.sock, io_ready);
}

static void io_ready(h2o_socket_t *sock, const char *error)
{
	struct io *io = sock->data;

	(void)error;
	io->ready(io);
}

/* ---- its end ---- */

static void instance_free(struct instance *inst)
{
	if (inst->pooled)
		h2o_socketpool_dispose(&inst->pool);
	free(inst);
}

static void state_set(struct instance *inst, enum instance_state state)
{
	struct function *fn = inst->fn;

	fn->nr_starting -= inst->state == INSTANCE_STARTING;
	fn->nr_ready -= inst->state == INSTANCE_READY;
	inst->state = state;
	fn->nr_starting += state == INSTANCE_STARTING;
	fn->nr_ready += state == INSTANCE_READY;
}

/* What the status says, in words. */
static void reason_complete(const struct instance *inst, int status, char reason[REASON_MAX])
{
	size_t n;

	if (reason[0] == '\0') {
		if (WIFEXITED(status))
			snprintf(reason, REASON_MAX, "exit status %d", WEXITSTATUS(status));
		else
			snprintf(reason, REASON_MAX, "ended by SIG%s%s",
				 sigabbrev_np(WTERMSIG(status)),
				 WTERMSIG(status) == SIGKILL && inst->fn->spec.memory_bytes != 0 ?
					 " (was its 'memory' enough?)" :
					 "");
	}
	n = strlen(reason);
	if (inst->tail[0] != '\0')
		snprintf(reason + n, REASON_MAX - n, "; it printed last: %s", inst->tail);
}

static void instance_ended(struct instance *inst, int status, char reason[REASON_MAX])
{
	struct function *fn = inst->fn;
	enum instance_state before = inst->state;
	struct list *pos, *tmp;

	for (unsigned i = 0; i < DRAIN_CHUNKS && output_chunk(inst); i++)
		;
	if (inst->line_bytes != 0)
		line_end(inst);
	reason_complete(inst, status, reason);
	state_set(inst, INSTANCE_GONE);
	io_close(&inst->control);
	io_close(&inst->output);
	timer_cancel(&inst->timer);
	timer_cancel(&inst->flood_timer);
	if (inst->probing != NULL)
		h2o_socketpool_cancel_connect(inst->probing);
	inst->probing = NULL;
	inst->next = NULL; /* its connection ends by itself */
	list_del(&inst->node);
	if (before == INSTANCE_TEMPLATE) {
		template_instance_ended(inst, reason);
	} else if (before == INSTANCE_STARTING && inst->cloned) {
		template_drop(fn, "a clone ended before it was ready: %s", reason);
	} else if (before == INSTANCE_STARTING) {
		fn->failures++;
		fn->metrics.failed_starts++;
		function_failed(fn, "%s ended before it was ready: %s", inst->name, reason);
	} else if (before == INSTANCE_READY) {
		function_failed(fn, "%s ended: %s", inst->name, reason);
	}
	list_for_each_safe(pos, tmp, &inst->calls)
		call_instance_gone(list_entry(pos, struct call, node), reason);
	instance_free(inst);
	function_pump(fn);
}

static bool is_starting(const struct instance *inst)
{
	return inst->state == INSTANCE_STARTING || (inst->state == INSTANCE_TEMPLATE && !inst->up);
}

static void control_ready(struct io *io)
{
	struct instance *inst = container_of(io, struct instance, control);
	char reason[REASON_MAX];
	int status;

	switch (source_receive(inst, &status, reason)) {
	case 1:
		inst->launched_ns = now_ns();
		metrics_cold(&inst->fn->metrics, COLD_LAUNCH,
			     (double)(inst->launched_ns - inst->start_ns) / 1e9);
		if (inst->fn->spec.contract == CONTRACT_HTTP && is_starting(inst))
			probe(inst);
		break;
	case 2:
		instance_ended(inst, status, reason);
		break;
	default:
		break;
	}
}

void instance_stop(struct instance *inst)
{
	if (inst->state == INSTANCE_ENDING)
		return;
	state_set(inst, INSTANCE_ENDING);
	source_signal(inst, SIGTERM);
	timer_arm_ms(&inst->timer, STOP_MS);
}

void instance_kill(struct instance *inst, const char *why)
{
	bool starting = inst->state == INSTANCE_STARTING;

	function_failed(inst->fn, "%s %s%s%s", inst->name, why,
			inst->tail[0] != '\0' ? "; it printed last: " : "", inst->tail);
	state_set(inst, INSTANCE_ENDING);
	source_signal(inst, SIGKILL);
	timer_arm_ms(&inst->timer, STOP_MS);
	if (starting) {
		inst->fn->failures++;
		inst->fn->metrics.failed_starts++;
		function_pump(inst->fn);
	}
}

void instance_drain(struct instance *inst)
{
	if (inst->nr_calls == 0)
		instance_stop(inst);
	else if (inst->state != INSTANCE_ENDING)
		state_set(inst, INSTANCE_DRAINING);
}

void instance_call_done(struct instance *inst)
{
	inst->served = true;
	if (inst->state == INSTANCE_DRAINING && inst->nr_calls == 0)
		instance_stop(inst);
	else if (inst->state == INSTANCE_READY && inst->nr_calls == 0)
		timer_arm_ms(&inst->timer, SURPLUS_MS);
}

/* ---- its beginning ---- */

void instance_ready(struct instance *inst)
{
	struct function *fn = inst->fn;

	if (inst->state != INSTANCE_STARTING)
		return;
	inst->ready_ns = now_ns();
	metrics_cold(&fn->metrics, COLD_BOOT, (double)(inst->ready_ns - inst->launched_ns) / 1e9);
	state_set(inst, INSTANCE_READY);
	timer_arm_ms(&inst->timer, SURPLUS_MS);
	fn->failures = 0;
	function_pump(fn);
}

static void probe_done(h2o_socket_t *sock, const char *error, void *data)
{
	struct instance *inst = data;
	uint64_t now = now_ns(), wait;

	inst->probing = NULL;
	if (error == NULL && sock != NULL && inst->state == INSTANCE_TEMPLATE) {
		inst->up = true;
		timer_arm_ms(&inst->timer, inst->fn->spec.startup_ms);
		template_instance_up(inst, sock);
		return;
	}
	if (error == NULL && sock != NULL) {
		h2o_socketpool_return(&inst->pool, sock); /* the first call takes it */
		instance_ready(inst);
		return;
	}
	wait = (now - inst->launched_ns) / PROBE_SHARE;
	timer_arm(&inst->timer, now + MIN(MAX(wait, PROBE_MIN_NS), PROBE_MAX_NS));
}

static void pool_make(struct instance *inst)
{
	struct sockaddr_in addr = {.sin_family = AF_INET,
				   .sin_port = htons((uint16_t)inst->fn->spec.port),
				   .sin_addr.s_addr = inst->ip_be};

	h2o_socketpool_init_by_address(&inst->pool, (struct sockaddr *)&addr, sizeof(addr), 0,
				       POOL_CONNECTIONS);
	h2o_socketpool_set_timeout(&inst->pool, gw.loop, POOL_IDLE_MS);
	inst->pooled = true;
}

static void probe(struct instance *inst)
{
	if (!inst->pooled)
		pool_make(inst);
	/* sooner than a slow answer would be unfair */
	timer_arm(&inst->timer,
		  now_ns() + MAX(PROBE_PATIENCE_NS, (now_ns() - inst->launched_ns) / PROBE_SHARE));
	source_net_enter();
	h2o_socketpool_connect(&inst->probing, &inst->pool, gw.loop,
			       &gw.ctx.receivers.hostinfo_getaddr, probe_done, inst);
	source_net_leave();
}

static void starting_due(struct instance *inst)
{
	char why[REASON_MAX];
	uint64_t limit_ns = inst->start_ns + inst->fn->spec.startup_ms * 1000000U;

	if (now_ns() >= limit_ns) {
		if (inst->probing != NULL)
			h2o_socketpool_cancel_connect(inst->probing);
		inst->probing = NULL;
		if (inst->fn->spec.contract == CONTRACT_HTTP)
			snprintf(why, sizeof(why),
				 "was not ready within %g s: nothing accepts "
				 "connections on port %u",
				 (double)inst->fn->spec.startup_ms / 1e3, inst->fn->spec.port);
		else
			snprintf(why, sizeof(why),
				 "was not ready within %g s: it asked the "
				 "Runtime API for no event",
				 (double)inst->fn->spec.startup_ms / 1e3);
		instance_kill(inst, why);
	} else if (inst->fn->spec.contract == CONTRACT_HTTP && inst->launched_ns != 0) {
		if (inst->probing != NULL) { /* a lost packet: do not wait for TCP's own patience */
			h2o_socketpool_cancel_connect(inst->probing);
			inst->probing = NULL;
		}
		probe(inst);
	} else {
		timer_arm(&inst->timer, limit_ns);
	}
}

static void timer_due(struct timer *timer)
{
	struct instance *inst = container_of(timer, struct instance, timer);
	struct function *fn = inst->fn;

	switch (inst->state) {
	case INSTANCE_STARTING:
		starting_due(inst);
		break;
	case INSTANCE_TEMPLATE:
		if (inst->up)
			template_drop(fn, "its warm request was not answered in time");
		else
			starting_due(inst);
		break;
	case INSTANCE_READY: /* idle, and others are there */
		if (inst->nr_calls == 0 && fn->nr_ready > MAX(fn->floor, 1U))
			instance_stop(inst);
		break;
	case INSTANCE_ENDING:
		source_signal(inst, SIGKILL);
		timer_arm_ms(&inst->timer, STOP_MS);
		break;
	default:
		break;
	}
}

static struct instance *start(struct function *fn, enum instance_state state)
{
	struct instance *inst = calloc(1, sizeof(*inst));
	char error[REASON_MAX], unique[9];

	if (inst == NULL)
		return NULL;
	inst->fn = fn;
	inst->state = state == INSTANCE_TEMPLATE ? state : INSTANCE_GONE;
	inst->start_ns = now_ns();
	inst->memory_bytes = fn->spec.memory_bytes;
	inst->control.ready = control_ready;
	inst->output.ready = output_ready;
	inst->timer.due = timer_due;
	inst->flood_timer.due = flood_due;
	list_init(&inst->calls);
	snprintf(inst->tenant, sizeof(inst->tenant), "%s", fn->spec.tenant);
	random_hex(unique, 8);
	snprintf(inst->name, sizeof(inst->name), "%.51s-%s", fn->spec.name, unique);
	fn->metrics.starts += state == INSTANCE_STARTING;
	if (source_start(inst, error) < 0) {
		fn->failures++;
		fn->metrics.failed_starts++;
		function_failed(fn, "%s: %s", inst->name, error);
		free(inst);
		return NULL;
	}
	list_add_tail(&fn->instances, &inst->node);
	state_set(inst, state);
	timer_arm_ms(&inst->timer, fn->spec.startup_ms);
	return inst;
}

struct instance *instance_start(struct function *fn)
{
	return start(fn, INSTANCE_STARTING);
}

struct instance *instance_start_template(struct function *fn)
{
	return start(fn, INSTANCE_TEMPLATE);
}

struct instance *instance_by_ip(uint32_t ip_be)
{
	struct list *f, *i;

	list_for_each(f, &gw.functions) {
		struct function *fn = list_entry(f, struct function, node);

		list_for_each(i, &fn->instances) {
			struct instance *inst = list_entry(i, struct instance, node);

			if (inst->ip_be == ip_be && inst->state != INSTANCE_GONE)
				return inst;
		}
	}
	return NULL;
}
