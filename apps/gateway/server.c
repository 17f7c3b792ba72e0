/*
 * server.c - the HTTP side: h2o listens (HTTP/1.1 and h2c on one port), here requests are told
 * apart, become calls, and get their answers.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "apps/gateway/gateway.h"

#define BACKLOG 1024
#define ACCEPTS_AT_ONCE 64
#define BUFFER_MAX (1U << 20) /* of an answer whose reader is slow */
#define BASE64_MAX 256U

/* A request on its way through a function. In the request's pool: it goes with the request. */
struct served {
	h2o_generator_t generator;
	h2o_req_t *req;
	struct call call;
	h2o_buffer_t *out, *sending;
	bool in_flight, last, broken;
};

static struct {
	h2o_socket_t *listener;
	h2o_accept_ctx_t accept;
} server;

/* ---- answers at once ---- */

static const char *reason_of(int status)
{
	static const struct {
		int status;
		const char *text;
	} reasons[] = {
		{200, "OK"},
		{201, "Created"},
		{202, "Accepted"},
		{204, "No Content"},
		{400, "Bad Request"},
		{401, "Unauthorized"},
		{403, "Forbidden"},
		{404, "Not Found"},
		{405, "Method Not Allowed"},
		{429, "Too Many Requests"},
		{500, "Internal Server Error"},
		{502, "Bad Gateway"},
		{503, "Service Unavailable"},
		{504, "Gateway Timeout"},
	};

	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (reasons[i].status == status)
			return reasons[i].text;
	return "";
}

static void header_add(h2o_req_t *req, const char *name, const char *value)
{
	size_t size = strlen(value);
	h2o_iovec_t copy = h2o_strdup(&req->pool, value, size);

	h2o_add_header_by_str(&req->pool, &req->res.headers, name, strlen(name), 1, NULL, copy.base,
			      copy.len);
}

void reply_text(h2o_req_t *req, int status, const char *type, const char *body, size_t size)
{
	static h2o_generator_t none = {NULL, NULL};
	h2o_iovec_t copy = h2o_strdup(&req->pool, body, size);

	req->res.status = status;
	req->res.reason = reason_of(status);
	req->res.content_length = size;
	header_add(req, "content-type", type);
	h2o_start_response(req, &none);
	h2o_send(req, &copy, 1, H2O_SEND_STATE_FINAL);
}

void reply_error(h2o_req_t *req, int status, const char *format, ...)
{
	char text[REASON_MAX + 64];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text) - 1, format, ap);
	va_end(ap);
	strcat(text, "\n");
	reply_text(req, status, "text/plain", text, strlen(text));
}

void reply_json(h2o_req_t *req, int status, json_t *json)
{
	char *text = json_dumps(json, JSON_COMPACT);

	json_decref(json);
	if (text == NULL)
		reply_error(req, 500, "out of memory");
	else
		reply_text(req, status, "application/json", text, strlen(text));
	free(text);
}

/* ---- answers of functions ---- */

static void flush(struct served *served)
{
	h2o_buffer_t *full = served->out;
	h2o_iovec_t vec;
	h2o_send_state_t state = H2O_SEND_STATE_IN_PROGRESS;

	if (served->in_flight || (full->size == 0 && !served->last))
		return;
	served->out = served->sending;
	served->sending = full;
	served->in_flight = true;
	if (served->last)
		state = served->broken ? H2O_SEND_STATE_ERROR : H2O_SEND_STATE_FINAL;
	vec = h2o_iovec_init(full->bytes, full->size);
	h2o_send(served->req, &vec, full->size != 0 ? 1 : 0, state);
}

static void proceed(h2o_generator_t *generator, h2o_req_t *req)
{
	struct served *served = container_of(generator, struct served, generator);

	(void)req;
	served->in_flight = false;
	h2o_buffer_consume(&served->sending, served->sending->size);
	call_resume(&served->call);
	flush(served);
}

static void stopped(h2o_generator_t *generator, h2o_req_t *req)
{
	struct served *served = container_of(generator, struct served, generator);

	(void)req;
	call_abandon(&served->call);
}

static void disposed(void *data)
{
	struct served *served = data;

	call_abandon(&served->call);
	h2o_buffer_dispose(&served->out);
	h2o_buffer_dispose(&served->sending);
}

static void own_headers(struct served *served)
{
	const struct call *call = &served->call;
	char text[64];

	header_add(served->req, "x-call-id", call->id);
	snprintf(text, sizeof(text), "%lld", (long long)call->arrived_time_ns);
	header_add(served->req, "x-start-time", text);
	snprintf(text, sizeof(text), "%.6f", (double)(now_ns() - call->arrived_ns) / 1e9);
	header_add(served->req, "x-duration-seconds", text);
}

static void served_head(struct call *call, int status, const h2o_header_t *headers, size_t nr)
{
	struct served *served = container_of(call, struct served, call);
	h2o_req_t *req = served->req;

	req->res.status = status;
	req->res.reason = reason_of(status);
	for (size_t i = 0; i < nr; i++) {
		h2o_iovec_t name = *headers[i].name, value = headers[i].value;

		if (h2o_memis(name.base, name.len, H2O_STRLIT("content-length"))) {
			char *end = NULL;
			h2o_iovec_t text = h2o_strdup(&req->pool, value.base, value.len);
			unsigned long long n = strtoull(text.base, &end, 10);

			if (*end == '\0' && text.len != 0)
				req->res.content_length = n;
			continue;
		}
		if (request_hop_by_hop(name.base, name.len) ||
		    h2o_memis(name.base, name.len, H2O_STRLIT("x-call-id")) ||
		    h2o_memis(name.base, name.len, H2O_STRLIT("x-start-time")) ||
		    h2o_memis(name.base, name.len, H2O_STRLIT("x-duration-seconds")) ||
		    h2o_memis(name.base, name.len, H2O_STRLIT("server")) ||
		    h2o_memis(name.base, name.len, H2O_STRLIT("date")))
			continue;
		name = h2o_strdup(&req->pool, name.base, name.len);
		value = h2o_strdup(&req->pool, value.base, value.len);
		h2o_add_header_by_str(&req->pool, &req->res.headers, name.base, name.len, 1, NULL,
				      value.base, value.len);
	}
	own_headers(served);
	h2o_start_response(req, &served->generator);
}

static void served_body(struct call *call, const char *bytes, size_t size, bool last, bool broken)
{
	struct served *served = container_of(call, struct served, call);
	h2o_iovec_t room;

	if (size != 0) {
		room = h2o_buffer_reserve(&served->out, size);
		memcpy(room.base, bytes, size);
		served->out->size += size;
	}
	served->last = last;
	served->broken = broken;
	if (!last && served->out->size > BUFFER_MAX)
		call_pause(call);
	flush(served);
}

static const struct call_ops served_ops = {served_head, served_body};

const struct call_ops *server_ops(void)
{
	return &served_ops;
}

h2o_req_t *server_request(struct call *call)
{
	return container_of(call, struct served, call)->req;
}

void server_call(h2o_req_t *req, struct function *fn, const char *route, h2o_iovec_t path,
		 const struct call_ops *ops)
{
	struct served *served = h2o_mem_alloc_shared(&req->pool, sizeof(*served), disposed);
	struct call *call = &served->call;

	memset(served, 0, sizeof(*served));
	served->req = req;
	served->generator = (h2o_generator_t){proceed, stopped};
	h2o_buffer_init(&served->out, &h2o_socket_buffer_prototype);
	h2o_buffer_init(&served->sending, &h2o_socket_buffer_prototype);
	list_init(&call->node);
	call->method = req->method;
	call->path = path;
	call->authority = req->authority;
	call->body = req->entity;
	call->headers = req->headers.entries;
	call->nr_headers = req->headers.size;
	call_init(call, ops, route);
	call_submit(call, fn);
}

/* ---- which route ---- */

bool iovec_starts(h2o_iovec_t text, const char *prefix)
{
	size_t size = strlen(prefix);

	return text.len >= size && memcmp(text.base, prefix, size) == 0;
}

int path_name(h2o_iovec_t *path, char ret_name[NAME_LEN_MAX + 1])
{
	size_t n = 0;

	while (n < path->len && path->base[n] != '/' && path->base[n] != '?')
		n++;
	if (n == 0 || n > NAME_LEN_MAX)
		return -EINVAL;
	memcpy(ret_name, path->base, n);
	ret_name[n] = '\0';
	path->base += n;
	path->len -= n;
	return 0;
}

/* What the function sees: at least "/". */
static h2o_iovec_t path_rest(h2o_req_t *req, h2o_iovec_t rest)
{
	return rest.len != 0 && rest.base[0] == '/' ?
		       rest :
		       h2o_concat(&req->pool, h2o_iovec_init(H2O_STRLIT("/")), rest);
}

static void route_async(h2o_req_t *req, struct function *fn, h2o_iovec_t path)
{
	struct call call = {.method = req->method,
			    .path = path,
			    .authority = req->authority,
			    .body = req->entity,
			    .headers = req->headers.entries,
			    .nr_headers = req->headers.size};
	size_t size = 0;
	const char *text;
	h2o_iovec_t callback = {NULL};

	call_init(&call, NULL, "async");
	text = call_header(&call, "x-callback-url", &size);
	if (text != NULL)
		callback = h2o_strdup(&req->pool, text, size);
	if (async_submit(&call, fn, callback.base) < 0) {
		reply_error(req, 503, "the call cannot be stored");
		return;
	}
	header_add(req, "x-call-id", call.id);
	reply_text(req, 202, "text/plain", "", 0);
}

static void route_function(h2o_req_t *req, h2o_iovec_t path, bool async)
{
	char name[NAME_LEN_MAX + 1] = "";
	char *dot;
	struct function *fn = NULL;

	if (path_name(&path, name) == 0) {
		fn = function_find(name);
		/* NAME.NAMESPACE, as OpenFaaS' clients may say */
		if (fn == NULL && (dot = strrchr(name, '.')) != NULL) {
			*dot = '\0';
			fn = function_find(name);
		}
	}
	if (fn == NULL)
		reply_error(req, 404, "there is no function '%s'", name);
	else if (async)
		route_async(req, fn, path_rest(req, path));
	else
		server_call(req, fn, "function", path_rest(req, path), &served_ops);
}

static bool authorized(h2o_req_t *req)
{
	char text[160];
	ssize_t at = h2o_find_header(&req->headers, H2O_TOKEN_AUTHORIZATION, -1);
	h2o_iovec_t value, plain;
	unsigned difference = 0;

	if (gw.password[0] == '\0')
		return true;
	if (at < 0)
		return false;
	value = req->headers.entries[at].value;
	if (!iovec_starts(value, "Basic ") || value.len > BASE64_MAX)
		return false;
	plain = h2o_decode_base64url(&req->pool, value.base + 6, value.len - 6);
	/* base64url has no padding: try again without it */
	while (plain.base == NULL && value.len > 6 && value.base[value.len - 1] == '=') {
		value.len--;
		plain = h2o_decode_base64url(&req->pool, value.base + 6, value.len - 6);
	}
	snprintf(text, sizeof(text), "admin:%s", gw.password);
	if (plain.base == NULL || plain.len != strlen(text))
		return false;
	for (size_t i = 0; i < plain.len; i++)
		difference |= (unsigned char)(plain.base[i] ^ text[i]);
	return difference == 0;
}

static void route_metrics(h2o_req_t *req)
{
	size_t size = 0;
	char *text = metrics_print(&size);

	reply_text(req, text != NULL ? 200 : 500, "text/plain; version=0.0.4",
		   text != NULL ? text : "", size);
	free(text);
}

static h2o_iovec_t after(h2o_iovec_t path, const char *prefix)
{
	return h2o_iovec_init(path.base + strlen(prefix), path.len - strlen(prefix));
}

static int on_request(h2o_handler_t *self, h2o_req_t *req)
{
	h2o_iovec_t path = req->path;

	(void)self;
	if (iovec_starts(path, "/function/")) {
		route_function(req, after(path, "/function/"), false);
	} else if (iovec_starts(path, "/async-function/")) {
		route_function(req, after(path, "/async-function/"), true);
	} else if (iovec_starts(path, "/2015-03-31/functions/")) {
		route_invoke(req, after(path, "/2015-03-31/functions/"));
	} else if (iovec_starts(path, "/system/")) {
		if (authorized(req)) {
			route_faas(req, after(path, "/system/"));
		} else {
			header_add(req, "www-authenticate", "Basic realm=\"leat\"");
			reply_error(req, 401, "the management routes ask for a password");
		}
	} else if (iovec_starts(path, "/metrics")) {
		route_metrics(req);
	} else if (iovec_starts(path, "/healthz")) {
		reply_text(req, gw.draining ? 503 : 200, "text/plain", "OK", 2);
	} else {
		reply_error(req, 404, "there is no such route");
	}
	return 0;
}

static int on_runtime_request(h2o_handler_t *self, h2o_req_t *req)
{
	(void)self;
	route_runtime(req);
	return 0;
}

/* ---- listening ---- */

static void on_accept(h2o_socket_t *listener, const char *error)
{
	h2o_accept_ctx_t *ctx = listener->data;

	for (unsigned i = 0; error == NULL && i < ACCEPTS_AT_ONCE; i++) {
		h2o_socket_t *sock = h2o_evloop_socket_accept(listener);

		if (sock == NULL)
			return;
		h2o_accept(ctx, sock);
	}
}

static int listen_at(const char *address, uint16_t port)
{
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd, one = 1, r;

	if (inet_pton(AF_INET, address, &addr.sin_addr) != 1)
		return -EINVAL;
	fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(fd, BACKLOG) < 0) {
		r = -errno;
		close(fd);
		return r;
	}
	return fd;
}

static void host_add(const char *name, uint16_t port, int (*on_req)(h2o_handler_t *, h2o_req_t *))
{
	h2o_hostconf_t *host =
		h2o_config_register_host(&gw.config, h2o_iovec_init(name, strlen(name)), port);
	h2o_pathconf_t *path = h2o_config_register_path(host, "/", 0);
	h2o_handler_t *handler = h2o_create_handler(path, sizeof(*handler));

	handler->on_req = on_req;
}

int server_listen(const char *address, uint16_t port)
{
	int fd = listen_at(address, port);

	if (fd < 0)
		return fd;
	host_add("gateway", 65535, on_request);
	host_add("runtime", 65535, on_runtime_request);
	h2o_context_init(&gw.ctx, gw.loop, &gw.config);
	server.accept.ctx = &gw.ctx;
	server.accept.hosts = gw.config.hosts;
	server.listener = h2o_evloop_socket_create(gw.loop, fd, H2O_SOCKET_FLAG_DONT_READ);
	server.listener->data = &server.accept;
	h2o_socket_read_start(server.listener, on_accept);
	return 0;
}

void server_stop(void)
{
	if (server.listener != NULL) {
		h2o_socket_read_stop(server.listener);
		h2o_socket_close(server.listener);
		h2o_context_request_shutdown(&gw.ctx);
	}
	server.listener = NULL;
}

/* ---- the Runtime API's listener, in the instances' network ---- */

static struct {
	h2o_socket_t *listener;
	h2o_accept_ctx_t accept;
	unsigned port;
} runtime;

int runtime_listen(unsigned *ret_port)
{
	struct sockaddr_in addr;
	socklen_t size = sizeof(addr);
	int fd;

	if (runtime.listener == NULL) {
		source_net_enter();
		fd = listen_at("10.99.0.1", 0);
		source_net_leave();
		if (fd < 0) {
			errno = -fd;
			return fd;
		}
		getsockname(fd, (struct sockaddr *)&addr, &size);
		runtime.port = ntohs(addr.sin_port);
		runtime.accept.ctx = &gw.ctx;
		runtime.accept.hosts = gw.config.hosts + 1;
		runtime.listener = h2o_evloop_socket_create(gw.loop, fd, H2O_SOCKET_FLAG_DONT_READ);
		runtime.listener->data = &runtime.accept;
		h2o_socket_read_start(runtime.listener, on_accept);
	}
	*ret_port = runtime.port;
	return 0;
}

void runtime_closed(void)
{
	if (runtime.listener != NULL) {
		h2o_socket_read_stop(runtime.listener);
		h2o_socket_close(runtime.listener);
	}
	runtime.listener = NULL;
}
