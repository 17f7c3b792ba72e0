/*
 * lambda.c - AWS Lambda's two interfaces: Invoke, for callers, and the Runtime API, for functions.
 *
 * Which instance speaks on the Runtime API is known by its address: the filter of its queue lets it
 * send with no other.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "apps/gateway/gateway.h"

#define ARN_PREFIX "arn:aws:lambda:us-east-1:000000000000:function:"

static void header_add(h2o_req_t *req, const char *name, const char *value)
{
	h2o_iovec_t copy = h2o_strdup(&req->pool, value, strlen(value));

	h2o_add_header_by_str(&req->pool, &req->res.headers, name, strlen(name), 1, NULL, copy.base,
			      copy.len);
}

static h2o_iovec_t header_of(h2o_req_t *req, const char *name)
{
	ssize_t at = h2o_find_header_by_str(&req->headers, name, strlen(name), -1);

	return at >= 0 ? req->headers.entries[at].value : (h2o_iovec_t){NULL, 0};
}

/* ---- Invoke ---- */

static void reply_exception(h2o_req_t *req, int status, const char *type, const char *message)
{
	header_add(req, "x-amzn-errortype", type);
	reply_json(req, status, json_pack("{s:s, s:s}", "Type", "User", "message", message));
}

/* What the function (or the gateway for it) failed with is an answer of 200, marked. */
static void invoke_head(struct call *call, int status, const h2o_header_t *headers, size_t nr)
{
	static h2o_iovec_t type_name = {(char *)(uintptr_t) "content-type", 12};
	static const h2o_header_t json = {&type_name,
					  NULL,
					  {(char *)(uintptr_t) "application/json", 16}};
	h2o_req_t *req = server_request(call);
	bool refused = call->own && (status == 429 || status == 503 || status == 404);

	header_add(req, "x-amzn-requestid", call->id);
	if (refused)
		header_add(req, "x-amzn-errortype",
			   status == 429 ? "TooManyRequestsException" :
			   status == 404 ? "ResourceNotFoundException" :
					   "ServiceException");
	else
		header_add(req, "x-amz-executed-version", "$LATEST");
	if (!refused && status >= 400) {
		/* a runtime's own error brings the mark along */
		if (call->own || call->fn->spec.contract != CONTRACT_LAMBDA)
			header_add(req, "x-amz-function-error", "Unhandled");
		status = 200;
	}
	if (call->own)
		server_ops()->head(call, status, &json, 1);
	else
		server_ops()->head(call, status, headers, nr);
}

static void invoke_body(struct call *call, const char *bytes, size_t size, bool last, bool broken)
{
	json_t *json;
	char *text;

	if (!call->own || broken) {
		server_ops()->body(call, bytes, size, last, broken);
		return;
	}
	while (size != 0 && bytes[size - 1] == '\n')
		size--;
	json = json_pack("{s:s%, s:s%, s:s}", "errorMessage", bytes, size, "message", bytes, size,
			 "errorType",
			 call->status == 504 ? "Sandbox.Timedout" : "Runtime.ExitError");
	text = json_dumps(json, JSON_COMPACT);
	json_decref(json);
	server_ops()->body(call, text != NULL ? text : "", text != NULL ? strlen(text) : 0, true,
			   text == NULL);
	free(text);
}

static const struct call_ops invoke_ops = {invoke_head, invoke_body};

static void invoke_event(h2o_req_t *req, struct function *fn)
{
	struct call call = {.method = h2o_iovec_init(H2O_STRLIT("POST")),
			    .path = h2o_iovec_init(H2O_STRLIT("/")),
			    .authority = req->authority,
			    .body = req->entity,
			    .headers = req->headers.entries,
			    .nr_headers = req->headers.size};

	call_init(&call, NULL, "async");
	if (async_submit(&call, fn, NULL) < 0) {
		reply_exception(req, 500, "ServiceException", "the call cannot be stored");
		return;
	}
	header_add(req, "x-amzn-requestid", call.id);
	reply_text(req, 202, "application/json", "", 0);
}

/* A name, NAME:QUALIFIER or an ARN, percent-encoded or not. */
static int invoke_name(h2o_req_t *req, h2o_iovec_t *path, char name[NAME_LEN_MAX + 1])
{
	h2o_iovec_t part = *path;
	size_t at = 0;
	char *text, *colon;

	while (at < path->len && path->base[at] != '/')
		at++;
	part.len = at;
	*path = h2o_iovec_init(path->base + at, path->len - at);
	part = h2o_strdup(&req->pool, part.base, part.len);
	for (char *escape = part.base; (escape = strcasestr(escape, "%3a")) != NULL; escape++) {
		*escape = ':';
		memmove(escape + 1, escape + 3, strlen(escape + 3) + 1);
	}
	text = strstr(part.base, "function:");
	text = text != NULL ? text + strlen("function:") : part.base;
	colon = strchr(text, ':');
	if (colon != NULL)
		*colon = '\0';
	if (strlen(text) > NAME_LEN_MAX)
		return -EINVAL;
	strcpy(name, text);
	return 0;
}

void route_invoke(h2o_req_t *req, h2o_iovec_t path)
{
	h2o_iovec_t type = header_of(req, "x-amz-invocation-type");
	char name[NAME_LEN_MAX + 1] = "", text[NAME_LEN_MAX + 64];
	struct function *fn = NULL;

	if (invoke_name(req, &path, name) == 0)
		fn = function_find(name);
	snprintf(text, sizeof(text), "Function not found: " ARN_PREFIX "%.40s", name);
	if (fn == NULL)
		reply_exception(req, 404, "ResourceNotFoundException", text);
	else if (!iovec_starts(path, "/invocations") ||
		 !h2o_memis(req->method.base, req->method.len, H2O_STRLIT("POST")))
		reply_exception(req, 404, "UnknownOperationException",
				"only Invoke is served here");
	else if (h2o_memis(type.base, type.len, H2O_STRLIT("Event")))
		invoke_event(req, fn);
	else if (h2o_memis(type.base, type.len, H2O_STRLIT("DryRun")))
		reply_text(req, 204, "application/json", "", 0);
	else
		server_call(req, fn, "invoke", h2o_iovec_init(H2O_STRLIT("/")), &invoke_ops);
}

/* ---- the Runtime API ---- */

/* A request for the next event that waits; in the request's pool. */
struct waiting {
	h2o_req_t *req;
	uint32_t ip_be;
};

static void waiting_gone(void *data)
{
	struct waiting *waiting = data;
	struct instance *inst = instance_by_ip(waiting->ip_be);

	if (inst != NULL && inst->next == waiting->req)
		inst->next = NULL;
}

static struct instance *runtime_instance(h2o_req_t *req, uint32_t *ret_ip)
{
	struct sockaddr_storage peer = {0};
	const struct sockaddr_in *addr = (const struct sockaddr_in *)&peer;
	struct instance *inst;

	if (req->conn->callbacks->get_peername(req->conn, (struct sockaddr *)&peer) == 0 ||
	    peer.ss_family != AF_INET)
		return NULL;
	*ret_ip = addr->sin_addr.s_addr;
	inst = instance_by_ip(addr->sin_addr.s_addr);
	return inst != NULL && inst->fn->spec.contract == CONTRACT_LAMBDA ? inst : NULL;
}

void runtime_deliver(struct call *call, struct instance *inst)
{
	h2o_req_t *req = inst->next;
	char deadline[32], arn[NAME_LEN_MAX + sizeof(ARN_PREFIX)];
	struct timespec now;

	inst->next = NULL;
	clock_gettime(CLOCK_REALTIME, &now);
	snprintf(deadline, sizeof(deadline), "%lld",
		 (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000 +
			 (long long)call->fn->spec.timeout_ms);
	snprintf(arn, sizeof(arn), ARN_PREFIX "%s", call->fn->spec.name);
	header_add(req, "lambda-runtime-aws-request-id", call->id);
	header_add(req, "lambda-runtime-deadline-ms", deadline);
	header_add(req, "lambda-runtime-invoked-function-arn", arn);
	header_add(req, "traceparent", call->traceparent);
	/* an event is JSON: nothing is an empty one */
	if (call->body.len != 0)
		reply_text(req, 200, "application/json", call->body.base, call->body.len);
	else
		reply_text(req, 200, "application/json", "{}", 2);
}

static void runtime_next(h2o_req_t *req, struct instance *inst, uint32_t ip_be)
{
	struct waiting *waiting = h2o_mem_alloc_shared(&req->pool, sizeof(*waiting), waiting_gone);

	*waiting = (struct waiting){req, ip_be};
	while (!list_empty(&inst->calls))
		call_fail(list_entry(inst->calls.next, struct call, node), 502,
			  "%s asked for the next event before it answered this one", inst->name);
	if (inst->state != INSTANCE_STARTING && inst->state != INSTANCE_READY)
		return; /* it is told to end, and waits until then */
	inst->next = req;
	if (inst->state == INSTANCE_STARTING)
		instance_ready(inst);
	else
		function_pump(inst->fn);
}

static void runtime_accepted(h2o_req_t *req)
{
	reply_text(req, 202, "application/json", "{\"status\":\"OK\"}\n", 16);
}

/* /runtime/invocation/ID/response or /error */
static void runtime_answer(h2o_req_t *req, struct instance *inst, h2o_iovec_t path)
{
	char id[NAME_LEN_MAX + 1], type[128];
	h2o_iovec_t given = header_of(req, "content-type");
	struct call *call = NULL;
	bool error;

	if (path_name(&path, id) == 0 && !list_empty(&inst->calls))
		call = list_entry(inst->calls.next, struct call, node);
	error = iovec_starts(path, "/error");
	if (call == NULL || strcmp(call->id, id) != 0) {
		reply_json(req, 400,
			   json_pack("{s:s, s:s}", "errorMessage",
				     "no such request is running here", "errorType",
				     "InvalidRequestID"));
		return;
	}
	snprintf(type, sizeof(type), "%.*s", (int)given.len, given.len != 0 ? given.base : "");
	runtime_accepted(req);
	call_answer(call, error ? 500 : 200, type[0] != '\0' ? type : "application/json",
		    error ? "Unhandled" : "", req->entity);
}

static void runtime_init_error(h2o_req_t *req, struct instance *inst)
{
	json_t *json = json_loadb(req->entity.base, req->entity.len, 0, NULL);
	const char *message = json_string_value(json_object_get(json, "errorMessage"));
	char why[REASON_MAX];

	snprintf(why, sizeof(why), "failed to initialise: %.400s",
		 message != NULL ? message : "it gave no message");
	json_decref(json);
	runtime_accepted(req);
	instance_kill(inst, why);
}

void route_runtime(h2o_req_t *req)
{
	static const char base[] = "/2018-06-01/runtime/";
	uint32_t ip_be = 0;
	struct instance *inst = runtime_instance(req, &ip_be);
	h2o_iovec_t path = req->path;

	if (inst == NULL || !iovec_starts(path, base)) {
		reply_error(req, inst == NULL ? 403 : 404, "not served here");
		return;
	}
	path = h2o_iovec_init(path.base + sizeof(base) - 1, path.len - (sizeof(base) - 1));
	if (iovec_starts(path, "invocation/next"))
		runtime_next(req, inst, ip_be);
	else if (iovec_starts(path, "invocation/"))
		runtime_answer(req, inst, h2o_iovec_init(path.base + 11, path.len - 11));
	else if (iovec_starts(path, "init/error"))
		runtime_init_error(req, inst);
	else
		reply_error(req, 404, "not served here");
}
