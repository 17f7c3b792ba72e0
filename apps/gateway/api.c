/*
 * api.c - what the commands of leat ask: JSON messages on gateway.sock in the state folder, as leat
 * and leatd speak. Only root and the gateway's own user get in.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "apps/common/channel.h"
#include "apps/gateway/gateway.h"

#define BODY_MAX (64U << 20)

struct client {
	struct io io;
	struct list node;
	struct collected *invoked; /* a call whose answer it waits for */
};

static struct {
	struct io listener;
	struct list clients;
} api;

static void client_reply(struct client *client, json_t *json, const int *fds, unsigned nr)
{
	channel_send(io_fd(&client->io), json, fds, nr);
	json_decref(json);
}

static void client_error(struct client *client, const char *error)
{
	client_reply(client, json_pack("{s:s}", "error", error), NULL, 0);
}

static void client_ok(struct client *client)
{
	client_reply(client, json_pack("{s:b}", "ok", 1), NULL, 0);
}

static void client_close(struct client *client)
{
	io_close(&client->io);
	list_del(&client->node);
	if (client->invoked != NULL)
		collect_destroy(client->invoked);
	free(client);
}

static struct function *request_function(struct client *client, const json_t *json)
{
	const char *name = json_string_value(json_object_get(json, "name"));
	struct function *fn = name != NULL ? function_find(name) : NULL;
	char error[NAME_LEN_MAX + 64];

	snprintf(error, sizeof(error), "cannot find a function '%.63s'; leat functions lists all",
		 name != NULL ? name : "");
	if (fn == NULL)
		client_error(client, error);
	return fn;
}

/* ---- the requests ---- */

static void op_deploy(struct client *client, const json_t *json, const int *fds, unsigned nr)
{
	const char *path = json_string_value(json_object_get(json, "path"));
	char error[SPEC_ERROR_MAX] = "no path", text[SPEC_ERROR_MAX + 32];
	json_t *spec = path != NULL ? spec_load(path, error) : NULL;

	(void)fds;
	(void)nr;
	if (spec != NULL && function_deploy(spec, error) == 0) {
		client_reply(client,
			     json_pack("{s:b, s:O}", "ok", 1, "name",
				       json_object_get(spec, "name")),
			     NULL, 0);
	} else {
		snprintf(text, sizeof(text), "cannot deploy: %s", error);
		client_error(client, text);
	}
	json_decref(spec);
}

static void op_functions(struct client *client, const json_t *json, const int *fds, unsigned nr)
{
	json_t *all = json_array(), *reply;
	struct list *pos;
	char *text;
	int fd;

	(void)json;
	(void)fds;
	(void)nr;
	list_for_each(pos, &gw.functions) {
		const struct function *fn = list_entry(pos, struct function, node);

		if (!fn->removed)
			json_array_append_new(all, function_json(fn));
	}
	/* in a file: it may be longer than a message */
	text = json_dumps(all, JSON_COMPACT);
	json_decref(all);
	fd = memfd_create("leat-functions", MFD_CLOEXEC);
	if (text == NULL || fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text)) {
		client_error(client, "cannot list: out of memory");
	} else {
		reply = json_pack("{s:b}", "ok", 1);
		client_reply(client, reply, &fd, 1);
	}
	if (fd >= 0)
		close(fd);
	free(text);
}

static void op_undeploy(struct client *client, const json_t *json, const int *fds, unsigned nr)
{
	const struct function *fn = request_function(client, json);

	(void)fds;
	(void)nr;
	if (fn == NULL)
		return;
	if (function_undeploy(fn->spec.name) < 0)
		client_error(client, "cannot remove it: see the gateway's log");
	else
		client_ok(client);
}

static void op_logs(struct client *client, const json_t *json, const int *fds, unsigned nr)
{
	const struct function *fn = request_function(client, json);
	int files[2], sent[2];
	unsigned n = 0;

	(void)fds;
	(void)nr;
	if (fn == NULL)
		return;
	log_files(fn->log, files);
	for (int i = 0; i < 2; i++)
		if (files[i] >= 0)
			sent[n++] = files[i];
	client_reply(client, json_pack("{s:b, s:b}", "ok", 1, "running", 1), sent, n);
	while (n > 0)
		close(sent[--n]);
}

static void op_quota(struct client *client, const json_t *json, const int *fds, unsigned nr)
{
	const char *tenant = json_string_value(json_object_get(json, "tenant"));
	struct quota quota = {
		.instances = (unsigned)json_integer_value(json_object_get(json, "instances")),
		.functions = (unsigned)json_integer_value(json_object_get(json, "functions")),
		.memory_bytes = (uint64_t)json_integer_value(json_object_get(json, "memory"))};

	(void)fds;
	(void)nr;
	if (tenant == NULL || !parse_name_ok(tenant) || store_quota_put(tenant, &quota) < 0)
		client_error(client, "cannot set the quota: see the gateway's log");
	else
		client_ok(client);
}

/* All of a descriptor; NULL: too long, or unreadable. */
static char *body_read(int fd, size_t *ret_size)
{
	size_t size = 0, room = 65536;
	char *text = malloc(room + 1);
	ssize_t n = 1;

	while (text != NULL && n > 0 && size < BODY_MAX) {
		if (size == room)
			text = realloc(text, (room *= 2) + 1);
		if (text == NULL)
			break;
		n = read(fd, text + size, room - size);
		size += n > 0 ? (size_t)n : 0;
	}
	if (text != NULL && (n < 0 || size >= BODY_MAX)) {
		free(text);
		text = NULL;
	}
	*ret_size = size;
	return text;
}

static void op_secret(struct client *client, const json_t *json, const int *fds, unsigned nr)
{
	const char *tenant = json_string_value(json_object_get(json, "tenant"));
	const char *name = json_string_value(json_object_get(json, "name"));
	size_t size = 0;
	char *value = nr == 1 ? body_read(fds[0], &size) : NULL;
	int r = -EINVAL;

	if (tenant != NULL && name != NULL && parse_name_ok(name) && parse_name_ok(tenant))
		r = value != NULL ? store_secret_put(tenant, name, value, size) :
				    store_secret_remove(tenant, name);
	free(value);
	if (r < 0) {
		client_error(client,
			     r == -ENOENT ? "there is no such secret" : "cannot store the secret");
		return;
	}
	secrets_rotate(tenant, name);
	client_ok(client);
}

/* ---- invoke ---- */

static void invoked(struct collected *collected)
{
	struct client *client = collected->owner;
	int fd = memfd_create("leat-answer", MFD_CLOEXEC);
	size_t size = collected->answer->size;

	client->invoked = NULL;
	if (fd < 0 || write(fd, collected->answer->bytes, size) != (ssize_t)size)
		client_error(client, "cannot pass the answer on: out of memory");
	else
		client_reply(client,
			     json_pack("{s:b, s:i, s:O, s:b, s:s, s:f}", "ok", 1, "status",
				       collected->call.status, "headers", collected->answer_headers,
				       "broken", collected->broken, "call_id", collected->call.id,
				       "seconds",
				       (double)(now_ns() - collected->call.arrived_ns) / 1e9),
			     &fd, 1);
	if (fd >= 0)
		close(fd);
	collect_destroy(collected);
}

static void op_invoke(struct client *client, const json_t *json, const int *fds, unsigned nr)
{
	struct function *fn = request_function(client, json);
	size_t size = 0;
	char *body;

	if (fn == NULL)
		return;
	body = nr == 1 ? body_read(fds[0], &size) : calloc(1, 1);
	if (body == NULL || client->invoked != NULL) {
		free(body);
		client_error(client, "cannot invoke: the data cannot be read, or are too long");
		return;
	}
	client->invoked = collect_create(json_incref(json_object_get(json, "request")), body, size,
					 "cli", NULL);
	client->invoked->owner = client;
	client->invoked->done = invoked;
	if (json_is_true(json_object_get(json, "async"))) {
		int r = async_submit(&client->invoked->call, fn, NULL);

		if (r < 0)
			client_error(client, "cannot store the call");
		else
			client_reply(client,
				     json_pack("{s:b, s:s}", "ok", 1, "call_id",
					       client->invoked->call.id),
				     NULL, 0);
		collect_destroy(client->invoked);
		client->invoked = NULL;
		return;
	}
	call_submit(&client->invoked->call, fn);
}

/* ---- the socket ---- */

static const struct {
	const char *name;
	void (*run)(struct client *client, const json_t *json, const int *fds, unsigned nr);
} ops[] = {
	{"deploy", op_deploy}, {"functions", op_functions}, {"undeploy", op_undeploy},
	{"invoke", op_invoke}, {"logs", op_logs},           {"secret", op_secret},
	{"quota", op_quota},
};

static void request_run(struct client *client, const json_t *json, const int *fds, unsigned nr)
{
	const char *name = json_string_value(json_object_get(json, "op"));

	for (size_t i = 0; name != NULL && i < sizeof(ops) / sizeof(ops[0]); i++)
		if (strcmp(ops[i].name, name) == 0) {
			ops[i].run(client, json, fds, nr);
			return;
		}
	client_error(client, "cannot understand the request: leat and leat-gateway are of "
			     "different versions");
}

static void client_ready(struct io *io)
{
	struct client *client = container_of(io, struct client, io);
	int fds[CHANNEL_FDS_MAX], r;
	json_t *json = NULL;
	unsigned nr = 0;

	r = channel_receive(io_fd(io), false, &json, fds, &nr);
	if (r == -EAGAIN)
		return;
	if (r <= 0) {
		client_close(client);
		return;
	}
	request_run(client, json, fds, nr);
	json_decref(json);
	while (nr > 0)
		close(fds[--nr]);
}

static bool peer_allowed(int fd)
{
	struct ucred cred;
	socklen_t size = sizeof(cred);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &size) == 0 &&
	       (cred.uid == 0 || cred.uid == geteuid());
}

static void api_accept(struct io *io)
{
	int fd = accept4(io_fd(io), NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct client *client = fd >= 0 && peer_allowed(fd) ? calloc(1, sizeof(*client)) : NULL;

	if (client == NULL) {
		if (fd >= 0)
			close(fd);
		return;
	}
	list_add_tail(&api.clients, &client->node);
	io_watch(&client->io, fd, client_ready);
}

int api_start(void)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	mode_t old = umask(0177);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), r = 0;
	int n = snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/gateway.sock", gw.state_dir);

	list_init(&api.clients);
	if (n < 0 || (size_t)n >= sizeof(addr.sun_path))
		r = -ENAMETOOLONG;
	else
		unlink(addr.sun_path); /* of a dead one: the lock on the data is ours */
	if (r == 0 &&
	    (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(fd, 64) < 0))
		r = -errno;
	umask(old);
	if (r == 0)
		io_watch(&api.listener, fd, api_accept);
	else if (fd >= 0)
		close(fd);
	return r;
}

void api_stop(void)
{
	char path[300];

	snprintf(path, sizeof(path), "%s/gateway.sock", gw.state_dir);
	unlink(path);
	io_close(&api.listener);
}
