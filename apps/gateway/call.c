/*
 * call.c - one call of a function: queued, sent to an instance, answered.
 *
 * A call that an instance cannot have seen (no connection) goes back to the head of the queue. One
 * that it may have seen is sent again only if its method is idempotent and no byte has come back.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "apps/gateway/gateway.h"

#define TIMEOUTS_MAX 3U /* in a row: the instance is replaced */
#define RETRY_NS 5000000ULL

/* ---- beginning ---- */

static void id_make(char id[CALL_ID_MAX])
{
	char hex[33];

	random_hex(hex, 32);
	hex[12] = '4';
	hex[16] = "89ab"[hex[16] & 3];
	snprintf(id, CALL_ID_MAX, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16,
		 hex + 20);
}

const char *call_header(const struct call *call, const char *name, size_t *ret_size)
{
	size_t size = strlen(name);

	for (size_t i = 0; i < call->nr_headers; i++)
		if (call->headers[i].name->len == size &&
		    memcmp(call->headers[i].name->base, name, size) == 0) {
			*ret_size = call->headers[i].value.len;
			return call->headers[i].value.base;
		}
	return NULL;
}

static bool plain(const char *text, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (!((text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'z') ||
		      (text[i] >= 'A' && text[i] <= 'Z') || text[i] == '-' || text[i] == '_'))
			return false;
	return size != 0;
}

void call_init(struct call *call, const struct call_ops *ops, const char *route)
{
	char trace[33], span[17];
	struct timespec now;
	const char *text;
	size_t size;

	clock_gettime(CLOCK_REALTIME, &now);
	call->ops = ops;
	call->route = route;
	call->state = CALL_NEW;
	call->arrived_ns = now_ns();
	call->arrived_time_ns = now.tv_sec * 1000000000LL + now.tv_nsec;
	text = call_header(call, "x-call-id", &size);
	if (text != NULL && size < sizeof(call->id) && plain(text, size))
		snprintf(call->id, sizeof(call->id), "%.*s", (int)size, text);
	else if (call->id[0] == '\0')
		id_make(call->id);
	text = call_header(call, "traceparent", &size);
	if (text != NULL && size == 55 && plain(text, size)) {
		snprintf(call->traceparent, sizeof(call->traceparent), "%.*s", (int)size, text);
		return;
	}
	random_hex(trace, 32);
	random_hex(span, 16);
	snprintf(call->traceparent, sizeof(call->traceparent), "00-%s-%s-01", trace, span);
}

static void deadline_due(struct timer *timer)
{
	struct call *call = container_of(timer, struct call, deadline);
	struct instance *inst = call->inst;

	if (call->state == CALL_QUEUED) {
		call_fail(call, 504, "no instance was ready in time%s%s",
			  call->fn->last_error[0] != '\0' ? ": " : "", call->fn->last_error);
		return;
	}
	inst->timeouts++;
	function_failed(call->fn, "%s did not answer within %g s", inst->name,
			(double)call->fn->spec.timeout_ms / 1e3);
	/* a runtime cannot be told to give up; a server that never answers is replaced */
	if (call->fn->spec.contract == CONTRACT_LAMBDA || inst->timeouts >= TIMEOUTS_MAX)
		instance_kill(inst, "does not answer and was ended");
	call_fail(call, 504, "%s", call->fn->last_error);
}

void call_submit(struct call *call, struct function *fn)
{
	call->fn = fn;
	call->deadline.due = deadline_due;
	call->state = CALL_QUEUED;
	list_add_tail(&fn->queue, &call->node);
	fn->queued++;
	fn->metrics.started++;
	gw.in_flight++;
	if (gw.draining) {
		call_fail(call, 503, "the gateway is ending");
		return;
	}
	timer_arm_ms(&call->deadline, fn->spec.startup_ms + fn->spec.timeout_ms);
	function_pump(fn);
	if (call->state == CALL_QUEUED &&
	    fn->queued > fn->spec.queue +
				 fn->spec.concurrency * (fn->nr_starting != 0 ? fn->spec.max : 0)) {
		fn->metrics.rejected++;
		call_fail(call, 429, "%u calls are waiting already", fn->queued - 1);
	}
}

/* ---- end ---- */

static void call_log(const struct call *call)
{
	uint64_t end = now_ns();
	uint64_t sent = call->sent_ns != 0 ? call->sent_ns : end;

	log_event("invocation",
		  json_pack("{s:s, s:s, s:s, s:s, s:s%, s:s%, s:i, s:I, s:I, s:f, s:f, s:b, s:s}",
			    "call_id", call->id, "function", call->fn->spec.name, "instance",
			    call->inst != NULL ? call->inst->name : "", "route", call->route,
			    "method", call->method.base, call->method.len, "path", call->path.base,
			    call->path.len, "status", call->status, "bytes_in",
			    (json_int_t)call->body.len, "bytes_out", (json_int_t)call->bytes_out,
			    "queue_ms", (double)(sent - call->arrived_ns) / 1e6, "duration_ms",
			    (double)(end - call->arrived_ns) / 1e6, "cold", call->cold,
			    "traceparent", call->traceparent));
}

/* Leaves the queue or its instance; the client connection has gone or is cancelled. */
static void call_leave(struct call *call, enum call_state next)
{
	struct instance *inst = call->inst;

	timer_cancel(&call->deadline);
	if (call->client != NULL)
		h2o_http1client_cancel(call->client);
	call->client = NULL;
	free(call->request.base);
	call->request = (h2o_iovec_t){NULL};
	list_del(&call->node);
	if (call->state == CALL_QUEUED)
		call->fn->queued--;
	if (call->state == CALL_RUNNING) {
		call->fn->running--;
		inst->nr_calls--;
	}
	call->state = next;
}

void call_finish(struct call *call)
{
	bool ran = call->state == CALL_RUNNING;
	struct function *fn = call->fn;

	if (call->state == CALL_DONE)
		return;
	call_leave(call, CALL_DONE);
	gw.in_flight--;
	metrics_answer(&fn->metrics, call->status, (double)(now_ns() - call->arrived_ns) / 1e9);
	call_log(call);
	if (ran)
		instance_call_done(call->inst);
	call->inst = NULL;
	if (ran)
		function_pump(fn);
}

void call_abandon(struct call *call)
{
	if (call->state == CALL_DONE || call->state == CALL_NEW)
		return;
	if (call->status == 0)
		call->status = 499; /* the caller has gone */
	call_finish(call);
}

void call_fail(struct call *call, int status, const char *format, ...)
{
	static h2o_iovec_t type_name = {(char *)(uintptr_t) "content-type", 12};
	static h2o_iovec_t retry_name = {(char *)(uintptr_t) "retry-after", 11};
	const h2o_header_t headers[] = {
		{&type_name, NULL, {(char *)(uintptr_t) "text/plain", 10}},
		{&retry_name, NULL, {(char *)(uintptr_t) "1", 1}},
	};
	char text[REASON_MAX + NAME_LEN_MAX + 32];
	const struct call_ops *ops = call->ops;
	bool broken = call->head_sent;
	va_list ap;
	int n = snprintf(text, sizeof(text), "function '%s': ", call->fn->spec.name);

	va_start(ap, format);
	vsnprintf(text + n, sizeof(text) - (size_t)n - 1, format, ap);
	va_end(ap);
	strcat(text, "\n");
	call->own = true;
	if (!broken) {
		call->status = status;
		call->bytes_out = strlen(text);
	}
	call_finish(call);
	if (!broken)
		ops->head(call, status, headers, status == 429 || status == 503 ? 2 : 1);
	ops->body(call, broken ? "" : text, broken ? 0 : strlen(text), true, broken);
}

/* ---- the instance's answer ---- */

static void call_requeue(struct call *call)
{
	struct function *fn = call->fn;
	struct instance *inst = call->inst;

	call_leave(call, CALL_QUEUED);
	call->inst = NULL;
	list_add(&fn->queue, &call->node);
	fn->queued++;
	timer_arm_ms(&call->deadline, fn->spec.startup_ms + fn->spec.timeout_ms);
	instance_call_done(inst);
	/* not from within the caller: it may be dispatching */
	timer_arm(&fn->scale_timer, now_ns() + RETRY_NS);
}

static bool may_repeat(const struct call *call)
{
	static const char *const methods[] = {"GET", "HEAD", "OPTIONS", "PUT", "DELETE"};

	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
		if (h2o_memis(call->method.base, call->method.len, methods[i], strlen(methods[i])))
			return !call->retried && !call->head_sent;
	return false;
}

void call_instance_gone(struct call *call, const char *reason)
{
	/* it may have been the cause: it is not sent to another one */
	call_fail(call, 502, "its instance ended: %s", reason);
}

static int answer_body(h2o_http1client_t *client, const char *error)
{
	struct call *call = client->data;
	bool last = error != NULL, broken = last && error != h2o_http1client_error_is_eos;
	h2o_buffer_t *input = client->sock->input, *mine = NULL;
	const struct call_ops *ops = call->ops;

	call->bytes_out += input->size;
	if (last) {
		/* what is left is ours: the client and its socket go after this */
		h2o_buffer_init(&mine, &h2o_socket_buffer_prototype);
		client->sock->input = mine;
		mine = input;
		call->client = NULL;
		if (broken)
			function_failed(call->fn, "%s broke its answer off", call->inst->name);
		call_finish(call);
		ops->body(call, mine->bytes, mine->size, true, broken);
		h2o_buffer_dispose(&mine);
		return 0;
	}
	if (input->size != 0) {
		ops->body(call, input->bytes, input->size, false, false);
		/* the owner may have let go of the call, and the client with it */
		if (call->client == client)
			h2o_buffer_consume(&client->sock->input, client->sock->input->size);
	}
	return 0;
}

static void answer_cold(struct call *call)
{
	struct metrics *metrics = &call->fn->metrics;

	if (!call->cold || call->inst == NULL)
		return;
	metrics_cold(metrics, COLD_ANSWER,
		     (double)(call->answered_ns - call->inst->ready_ns) / 1e9);
	metrics_cold(metrics, COLD_TOTAL, (double)(call->answered_ns - call->arrived_ns) / 1e9);
}

static void head_pass(struct call *call, int status, const h2o_header_t *headers, size_t nr)
{
	call->answered_ns = now_ns();
	call->status = status;
	call->inst->timeouts = 0;
	answer_cold(call);
	call->head_sent = true;
	call->ops->head(call, status, headers, nr);
}

static void head_failed(struct call *call, const char *error)
{
	call->client = NULL;
	if (may_repeat(call) && call->inst->state == INSTANCE_READY) {
		call->retried = true;
		call_requeue(call);
		return;
	}
	function_failed(call->fn, "%s gave no valid HTTP answer: %s%s%s", call->inst->name, error,
			call->inst->tail[0] != '\0' ? "; it printed last: " : "", call->inst->tail);
	call_fail(call, 502, "%s", call->fn->last_error);
}

static h2o_http1client_body_cb answer_head(h2o_http1client_t *client, const char *error, int minor,
					   int status, h2o_iovec_t message, h2o_header_t *headers,
					   size_t nr, int rlen)
{
	struct call *call = client->data;
	const struct call_ops *ops = call->ops;
	bool last = error == h2o_http1client_error_is_eos;

	(void)minor;
	(void)message;
	(void)rlen;
	if (error != NULL && !last) {
		head_failed(call, error);
		return NULL;
	}
	if (status < 200 || status > 599) {
		call->client = NULL;
		call_fail(call, 502, "%s answered with the status %d", call->inst->name, status);
		return NULL;
	}
	head_pass(call, status, headers, nr);
	if (!last)
		return answer_body;
	call->client = NULL;
	call_finish(call);
	ops->body(call, "", 0, true, false);
	return NULL;
}

static h2o_http1client_head_cb connected(h2o_http1client_t *client, const char *error,
					 h2o_iovec_t **ret_bufs, size_t *ret_nr, int *ret_is_head)
{
	struct call *call = client->data;
	static h2o_iovec_t bufs[2]; /* read before this returns to the loop */

	if (error != NULL) {
		call->client = NULL;
		call_requeue(call);
		return NULL;
	}
	bufs[0] = call->request;
	bufs[1] = call->body;
	*ret_bufs = bufs;
	*ret_nr = call->body.len != 0 ? 2 : 1;
	*ret_is_head = h2o_memis(call->method.base, call->method.len, H2O_STRLIT("HEAD"));
	return answer_head;
}

void call_dispatch(struct call *call, struct instance *inst)
{
	struct function *fn = call->fn;

	list_del(&call->node);
	fn->queued--;
	fn->running++;
	inst->nr_calls++;
	call->inst = inst;
	call->state = CALL_RUNNING;
	call->cold = !inst->served && inst->nr_calls == 1;
	call->sent_ns = now_ns();
	list_add_tail(&inst->calls, &call->node);
	timer_arm_ms(&call->deadline, fn->spec.timeout_ms);
	if (fn->spec.contract == CONTRACT_LAMBDA) {
		runtime_deliver(call, inst);
		return;
	}
	if (request_build(call, &call->request) < 0) {
		call_fail(call, 400, "the request has bytes that HTTP/1.1 cannot carry");
		return;
	}
	source_net_enter();
	h2o_http1client_connect_with_pool(&call->client, call, &gw.client_ctx, &inst->pool,
					  connected);
	source_net_leave();
}

void call_answer(struct call *call, int status, const char *type, const char *error,
		 h2o_iovec_t body)
{
	static h2o_iovec_t type_name = {(char *)(uintptr_t) "content-type", 12};
	static h2o_iovec_t size_name = {(char *)(uintptr_t) "content-length", 14};
	static h2o_iovec_t error_name = {(char *)(uintptr_t) "x-amz-function-error", 20};
	char size[24];
	const h2o_header_t headers[] = {
		{&type_name, NULL, {(char *)(uintptr_t)type, strlen(type)}},
		{&size_name, NULL, {size, (size_t)snprintf(size, sizeof(size), "%zu", body.len)}},
		{&error_name, NULL, {(char *)(uintptr_t)error, strlen(error)}},
	};
	const struct call_ops *ops = call->ops;

	head_pass(call, status, headers, *error != '\0' ? 3 : 2);
	call->bytes_out = body.len;
	call_finish(call);
	ops->body(call, body.base, body.len, true, false);
}

/* ---- a slow reader ---- */

void call_pause(struct call *call)
{
	if (call->client == NULL || call->paused != NULL || call->client->sock == NULL)
		return;
	call->paused = call->client->sock->_cb.read;
	h2o_socket_read_stop(call->client->sock);
}

void call_resume(struct call *call)
{
	if (call->client != NULL && call->paused != NULL)
		h2o_socket_read_start(call->client->sock, call->paused);
	call->paused = NULL;
}
