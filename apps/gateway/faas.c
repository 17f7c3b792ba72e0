/*
 * faas.c - the routes of OpenFaaS' gateway below /system/: deploy, list, scale, delete, info, logs
 * and secrets, with its JSON.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "apps/gateway/gateway.h"
#include "apps/leat/image.h"

#define NAMESPACE_DEFAULT "default"
#define TAIL_MAX 10000U

static bool method_is(const h2o_req_t *req, const char *name)
{
	return h2o_memis(req->method.base, req->method.len, name, strlen(name));
}

/* The first of the keys that is there. */
static const char *text_of(const json_t *json, const char *key, const char *other)
{
	const char *text = json_string_value(json_object_get(json, key));

	return text != NULL || other == NULL ? text :
					       json_string_value(json_object_get(json, other));
}

static json_t *body_json(h2o_req_t *req)
{
	json_t *json = json_loadb(req->entity.base, req->entity.len, 0, NULL);

	if (!json_is_object(json)) {
		json_decref(json);
		json = NULL;
		reply_error(req, 400, "the body is no JSON object");
	}
	return json;
}

/* ---- deploy ---- */

static void command_set(json_t *spec, const char *process)
{
	json_t *list = json_array();
	char *copy = strdup(process), *save = NULL;

	for (char *word = strtok_r(copy, " ", &save); word != NULL;
	     word = strtok_r(NULL, " ", &save))
		json_array_append_new(list, json_string(word));
	free(copy);
	json_object_set_new(spec, "command", list);
}

static void number_set(json_t *spec, const char *key, const char *text)
{
	uint64_t n;

	if (text != NULL && parse_number(text, 0, 100000, &n) == 0)
		json_object_set_new(spec, key, json_integer((json_int_t)n));
}

static void memory_set(json_t *spec, const char *text)
{
	char size[32];
	size_t n;

	if (text == NULL || *text == '\0')
		return;
	/* Kubernetes writes Mi where we write M */
	n = strlen(text);
	snprintf(size, sizeof(size), "%.*s", (int)(n - (text[n - 1] == 'i')), text);
	json_object_set_new(spec, "memory", json_string(size));
}

static void maps_set(json_t *spec, const json_t *from)
{
	static const char *const keys[][2] = {{"envVars", "env"},
					      {"labels", "labels"},
					      {"annotations", "annotations"}};
	json_t *labels = json_object_get(from, "labels");

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		json_t *map = json_object_get(from, keys[i][0]);

		if (!json_is_object(map))
			continue;
		if (json_is_object(json_object_get(spec, keys[i][1])))
			json_object_update(json_object_get(spec, keys[i][1]), map);
		else
			json_object_set(spec, keys[i][1], map);
	}
	number_set(spec, "min", text_of(labels, "com.openfaas.scale.min", NULL));
	number_set(spec, "max", text_of(labels, "com.openfaas.scale.max", NULL));
}

/* `image` is a function's folder, with or without an f.yaml; or an image's name in the store. */
static json_t *spec_of(const json_t *from, char error[SPEC_ERROR_MAX])
{
	const char *image = text_of(from, "image", NULL);
	const char *process = text_of(from, "envProcess", "fprocess");
	const char *namespace = text_of(from, "namespace", NULL);
	const char *name = text_of(from, "service", "serviceName");
	json_t *secrets = json_object_get(from, "secrets"), *spec;
	char path[4200];

	if (name == NULL || image == NULL ||
	    (image[0] != '/' && !images_name_ok(image) && !digest_ok(image))) {
		snprintf(error, SPEC_ERROR_MAX, "%s",
			 name == NULL ? "'service' names no function" :
					"'image' must be the path of a folder, or an image");
		return NULL;
	}
	snprintf(path, sizeof(path), "%.4000s/f.yaml", image);
	if (image[0] != '/')
		spec = json_pack("{s:s}", "image", image);
	else
		spec = access(path, F_OK) == 0 ? spec_load(path, error) :
						 json_pack("{s:s}", "dir", image);
	if (!json_is_object(spec)) {
		json_decref(spec);
		return NULL;
	}
	json_object_set_new(spec, "name", json_string(name));
	if (namespace != NULL && *namespace != '\0')
		json_object_set_new(spec, "tenant", json_string(namespace));
	if (process != NULL && *process != '\0')
		command_set(spec, process);
	if (json_is_array(secrets))
		json_object_set(spec, "secrets", secrets);
	memory_set(spec, text_of(json_object_get(from, "limits"), "memory", NULL));
	maps_set(spec, from);
	return spec;
}

static void deploy(h2o_req_t *req)
{
	char error[SPEC_ERROR_MAX] = "";
	json_t *from = body_json(req), *spec;
	const char *name;
	int r;

	if (from == NULL)
		return;
	name = text_of(from, "service", "serviceName");
	spec = spec_of(from, error);
	if (method_is(req, "PUT") && name != NULL && function_find(name) == NULL) {
		reply_error(req, 404, "there is no function '%.64s'", name);
	} else {
		r = spec != NULL ? function_deploy(spec, error) : -EINVAL;
		if (r == 0)
			reply_text(req, 202, "text/plain", "", 0);
		else
			reply_error(req,
				    r == -EDQUOT ? 403 :
				    r == -EINVAL ? 400 :
						   500,
				    "%s", error);
	}
	json_decref(spec);
	json_decref(from);
}

static void undeploy(h2o_req_t *req)
{
	json_t *from = body_json(req);
	const char *name;

	if (from == NULL)
		return;
	name = text_of(from, "functionName", "service");
	if (name == NULL || function_undeploy(name) < 0)
		reply_error(req, 404, "there is no function '%.64s'", name != NULL ? name : "");
	else
		reply_text(req, 202, "text/plain", "", 0);
	json_decref(from);
}

/* ---- list ---- */

static json_t *status_json(const struct function *fn)
{
	json_t *env = json_object_get(fn->spec.json, "env");
	json_t *labels = json_object_get(fn->spec.json, "labels");
	json_t *annotations = json_object_get(fn->spec.json, "annotations");
	json_t *command = json_object_get(fn->spec.json, "command");
	const char *image = text_of(fn->spec.json, "image", NULL);
	const char *dir = image != NULL ? image : text_of(fn->spec.json, "dir", "rootfs");
	uint64_t calls = 0;
	char created[32];
	struct tm tm;
	time_t time = fn->created_time;

	for (unsigned i = 0; i < fn->metrics.nr_codes; i++)
		calls += fn->metrics.codes[i].seconds.count;
	gmtime_r(&time, &tm);
	strftime(created, sizeof(created), "%Y-%m-%dT%H:%M:%SZ", &tm);
	return json_pack("{s:s, s:s, s:s, s:s, s:I, s:i, s:i, s:o, s:o, s:o, s:s}", "name",
			 fn->spec.name, "namespace", fn->spec.tenant, "image",
			 dir != NULL ? dir : "", "envProcess",
			 command != NULL ? json_string_value(json_array_get(command, 0)) : "",
			 "invocationCount", (json_int_t)calls, "replicas",
			 (int)(fn->nr_ready + fn->nr_starting), "availableReplicas",
			 (int)fn->nr_ready, "envVars",
			 env != NULL ? json_incref(env) : json_object(), "labels",
			 labels != NULL ? json_incref(labels) : json_object(), "annotations",
			 annotations != NULL ? json_incref(annotations) : json_object(),
			 "createdAt", created);
}

/* The value of a key in the query, percent-decoding left alone: names need none. */
static bool query_value(const h2o_req_t *req, const char *key, char *value, size_t size)
{
	size_t n = strlen(key), at;

	value[0] = '\0';
	if (req->query_at == SIZE_MAX)
		return false;
	for (at = req->query_at; at < req->path.len; at++) {
		const char *text = req->path.base + at + 1;
		size_t left = req->path.len - at - 1, len;

		if ((req->path.base[at] != '?' && req->path.base[at] != '&') || left <= n ||
		    memcmp(text, key, n) != 0 || text[n] != '=')
			continue;
		for (len = 0; n + 1 + len < left && text[n + 1 + len] != '&'; len++)
			;
		snprintf(value, size, "%.*s", (int)len, text + n + 1);
		return true;
	}
	return false;
}

static void list(h2o_req_t *req)
{
	json_t *all = json_array();
	char namespace[NAME_LEN_MAX + 1];
	struct list *pos;

	query_value(req, "namespace", namespace, sizeof(namespace));
	list_for_each(pos, &gw.functions) {
		const struct function *fn = list_entry(pos, struct function, node);

		if (!fn->removed &&
		    (namespace[0] == '\0' || strcmp(namespace, fn->spec.tenant) == 0))
			json_array_append_new(all, status_json(fn));
	}
	reply_json(req, 200, all);
}

static void route_functions(h2o_req_t *req)
{
	if (method_is(req, "GET"))
		list(req);
	else if (method_is(req, "POST") || method_is(req, "PUT"))
		deploy(req);
	else if (method_is(req, "DELETE"))
		undeploy(req);
	else
		reply_error(req, 405, "GET, POST, PUT or DELETE");
}

static struct function *named(h2o_req_t *req, h2o_iovec_t path)
{
	char name[NAME_LEN_MAX + 1] = "";
	struct function *fn = path_name(&path, name) == 0 ? function_find(name) : NULL;

	if (fn == NULL)
		reply_error(req, 404, "there is no function '%s'", name);
	return fn;
}

static void route_scale(h2o_req_t *req, h2o_iovec_t path)
{
	struct function *fn = named(req, path);
	json_t *from = fn != NULL ? body_json(req) : NULL;
	json_int_t n;

	if (from == NULL)
		return;
	n = json_integer_value(json_object_get(from, "replicas"));
	if (!json_is_integer(json_object_get(from, "replicas")) || n < 0 || n > 1000) {
		reply_error(req, 400, "'replicas' must be a number from 0 to 1000");
	} else {
		function_scale(fn, (unsigned)n);
		reply_text(req, 202, "text/plain", "", 0);
	}
	json_decref(from);
}

/* ---- logs ---- */

struct tail {
	h2o_generator_t generator;
	h2o_req_t *req;
	struct log_follower follower;
	char name[NAME_LEN_MAX + 1];
	h2o_buffer_t *out, *sending;
	bool in_flight, last;
};

static void tail_flush(struct tail *tail)
{
	h2o_buffer_t *full = tail->out;
	h2o_iovec_t vec;

	if (tail->in_flight || (full->size == 0 && !tail->last))
		return;
	tail->out = tail->sending;
	tail->sending = full;
	tail->in_flight = true;
	vec = h2o_iovec_init(full->bytes, full->size);
	h2o_send(tail->req, &vec, full->size != 0 ? 1 : 0,
		 tail->last ? H2O_SEND_STATE_FINAL : H2O_SEND_STATE_IN_PROGRESS);
}

static void tail_proceed(h2o_generator_t *generator, h2o_req_t *req)
{
	struct tail *tail = container_of(generator, struct tail, generator);

	(void)req;
	tail->in_flight = false;
	h2o_buffer_consume(&tail->sending, tail->sending->size);
	tail_flush(tail);
}

static void tail_stopped(h2o_generator_t *generator, h2o_req_t *req)
{
	struct tail *tail = container_of(generator, struct tail, generator);

	(void)req;
	log_unfollow(&tail->follower);
}

static void tail_disposed(void *data)
{
	struct tail *tail = data;

	log_unfollow(&tail->follower);
	h2o_buffer_dispose(&tail->out);
	h2o_buffer_dispose(&tail->sending);
}

static void tail_put(struct tail *tail, const char *line, size_t size)
{
	json_t *json = log_parse(tail->name, line, size);
	char *text = json != NULL ? json_dumps(json, JSON_COMPACT) : NULL;
	h2o_iovec_t room;
	size_t n;

	json_decref(json);
	if (text == NULL)
		return; /* no UTF-8 */
	n = strlen(text);
	room = h2o_buffer_reserve(&tail->out, n + 1);
	memcpy(room.base, text, n);
	room.base[n] = '\n';
	tail->out->size += n + 1;
	free(text);
}

static void tail_line(struct log_follower *follower, const char *line, size_t size)
{
	struct tail *tail = container_of(follower, struct tail, follower);

	/* a reader that does not read loses lines, not the gateway's memory */
	if (line == NULL)
		tail->last = true;
	else if (tail->out->size < 1U << 20)
		tail_put(tail, line, size);
	tail_flush(tail);
}

/* The last n lines of both files. */
static void tail_files(struct tail *tail, struct function_log *log, unsigned n)
{
	char *text = NULL, *at;
	size_t size = 0, room = 0;
	int fds[2];

	log_files(log, fds);
	for (int i = 0; i < 2; i++) {
		ssize_t got = 1;

		while (fds[i] >= 0 && got > 0) {
			if (size + 65536 > room)
				text = realloc(text, room = size + (1U << 20));
			if (text == NULL)
				abort(); /* as h2o does where memory ends */
			got = read(fds[i], text + size, 65536);
			size += got > 0 ? (size_t)got : 0;
		}
		if (fds[i] >= 0)
			close(fds[i]);
	}
	at = text + size;
	for (unsigned lines = 0; at > text; at--)
		if (at[-1] == '\n' && lines++ == n)
			break;
	while (text != NULL && at < text + size) {
		char *end = memchr(at, '\n', (size_t)(text + size - at));

		if (end == NULL)
			break;
		tail_put(tail, at, (size_t)(end - at) + 1);
		at = end + 1;
	}
	free(text);
}

static void route_logs(h2o_req_t *req)
{
	char name[NAME_LEN_MAX + 1], text[16];
	struct function *fn;
	struct tail *tail;
	uint64_t n = 100;

	query_value(req, "name", name, sizeof(name));
	fn = function_find(name);
	if (fn == NULL) {
		reply_error(req, 404, "there is no function '%s'", name);
		return;
	}
	if (query_value(req, "tail", text, sizeof(text)))
		parse_number(text, 0, TAIL_MAX, &n);
	tail = h2o_mem_alloc_shared(&req->pool, sizeof(*tail), tail_disposed);
	memset(tail, 0, sizeof(*tail));
	tail->req = req;
	tail->generator = (h2o_generator_t){tail_proceed, tail_stopped};
	tail->follower.line = tail_line;
	list_init(&tail->follower.node);
	strcpy(tail->name, name);
	h2o_buffer_init(&tail->out, &h2o_socket_buffer_prototype);
	h2o_buffer_init(&tail->sending, &h2o_socket_buffer_prototype);
	tail_files(tail, fn->log, (unsigned)n);
	tail->last = !(query_value(req, "follow", text, sizeof(text)) &&
		       (strcmp(text, "true") == 0 || strcmp(text, "1") == 0));
	if (!tail->last)
		log_follow(fn->log, &tail->follower);
	req->res.status = 200;
	req->res.reason = "";
	h2o_add_header_by_str(&req->pool, &req->res.headers, H2O_STRLIT("content-type"), 1, NULL,
			      H2O_STRLIT("application/x-ndjson"));
	h2o_start_response(req, &tail->generator);
	tail_flush(tail);
}

/* ---- secrets ---- */

static void secret_append(void *arg, const char *tenant, const char *name, const void *value,
			  size_t size)
{
	(void)value;
	(void)size;
	json_array_append_new(arg, json_pack("{s:s, s:s}", "name", name, "namespace", tenant));
}

static void secret_put(h2o_req_t *req, const json_t *from, const char *tenant, const char *name)
{
	json_t *value = json_object_get(from, "value"), *raw = json_object_get(from, "rawValue");
	h2o_iovec_t bytes;

	if (json_is_string(raw)) { /* base64 */
		char *text = strdup(json_string_value(raw));

		text[strcspn(text, "=")] = '\0';
		bytes = h2o_decode_base64url(&req->pool, text, strlen(text));
		free(text);
	} else {
		bytes = h2o_iovec_init(json_string_value(value), json_string_length(value));
	}
	if (bytes.base == NULL) {
		reply_error(req, 400, "'value' must be a string");
	} else if (store_secret_put(tenant, name, bytes.base, bytes.len) < 0) {
		reply_error(req, 500, "the secret cannot be stored");
	} else {
		secrets_rotate(tenant, name);
		reply_text(req, method_is(req, "POST") ? 201 : 200, "text/plain", "", 0);
	}
}

static void route_secrets(h2o_req_t *req)
{
	char namespace[NAME_LEN_MAX + 1];
	json_t *from, *all;
	const char *name, *tenant;

	if (method_is(req, "GET")) {
		query_value(req, "namespace", namespace, sizeof(namespace));
		all = json_array();
		store_secrets(namespace[0] != '\0' ? namespace : NULL, secret_append, all);
		reply_json(req, 200, all);
		return;
	}
	from = body_json(req);
	if (from == NULL)
		return;
	name = text_of(from, "name", NULL);
	tenant = text_of(from, "namespace", NULL);
	if (tenant == NULL || *tenant == '\0')
		tenant = NAMESPACE_DEFAULT;
	if (name == NULL || !parse_name_ok(name))
		reply_error(req, 400, "'name' names no secret");
	else if (method_is(req, "POST") || method_is(req, "PUT"))
		secret_put(req, from, tenant, name);
	else if (!method_is(req, "DELETE"))
		reply_error(req, 405, "GET, POST, PUT or DELETE");
	else if (store_secret_remove(tenant, name) < 0)
		reply_error(req, 404, "there is no secret '%s'", name);
	else
		reply_text(req, 202, "text/plain", "", 0);
	json_decref(from);
}

/* ---- which route ---- */

static void route_info(h2o_req_t *req)
{
	reply_json(req, 200,
		   json_pack("{s:{s:s, s:s, s:s, s:{s:s, s:s}}, s:s}", "provider", "provider",
			     "leat", "name", "leat", "orchestration", "leat", "version", "release",
			     "0.1.0", "sha", "", "arch", "x86_64"));
}

void route_faas(h2o_req_t *req, h2o_iovec_t path)
{
	struct function *fn;

	if (iovec_starts(path, "functions")) {
		route_functions(req);
	} else if (iovec_starts(path, "function/")) {
		path = h2o_iovec_init(path.base + 9, path.len - 9);
		fn = named(req, path);
		if (fn != NULL)
			reply_json(req, 200, status_json(fn));
	} else if (iovec_starts(path, "scale-function/")) {
		route_scale(req, h2o_iovec_init(path.base + 15, path.len - 15));
	} else if (iovec_starts(path, "info")) {
		route_info(req);
	} else if (iovec_starts(path, "logs")) {
		route_logs(req);
	} else if (iovec_starts(path, "secrets")) {
		route_secrets(req);
	} else {
		reply_error(req, 404, "there is no such route");
	}
}
