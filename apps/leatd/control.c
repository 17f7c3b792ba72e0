/*
 * control.c - the control socket: connections of leat's, requests, answers.
 *
 * Only root and leatd's own user get in: by the socket's mode, and by what the kernel says of the
 * peer.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "apps/leatd/leatd.h"
#include "apps/leatd/log.h"

#define ERROR_MAX 8192

static const struct {
	const char *name;
	void (*run)(struct leatd *leatd, struct client *client, const struct request *req);
} ops[] = {
	{"run", op_run},
	{"ps", op_ps},
	{"inspect", op_inspect},
	{"signal", op_signal},
	{"stop", op_stop},
	{"rm", op_rm},
	{"logs", op_logs},
	{"filter", op_filter},
	{"limit", op_limit},
	{"filter-show", op_filter_show},
	{"map", op_map},
	{"uplink", op_uplink},
	{"capture", op_capture},
	{"stats", op_stats},
	{"freeze", op_freeze},
	{"thaw", op_thaw},
	{"port-add", op_port_add},
	{"port-rm", op_port_rm},
	{"ports", op_ports},
	{"sched-load", op_sched_load},
	{"sched-list", op_sched_list},
	{"sched-rollback", op_sched_rollback},
	{"sched-share", op_sched_share},
	{"sched-trace", op_sched_trace},
};

void client_reply(struct client *client, json_t *reply, const int *fds, unsigned nr_fds)
{
	int r = channel_send(client->source.fd, reply, fds, nr_fds);

	if (r < 0 && r != -EPIPE)
		log_line(LOG_DEBUG, "cannot answer a client: %s", strerror(-r));
	json_decref(reply);
}

void client_error(struct client *client, const char *format, ...)
{
	char text[ERROR_MAX];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	client_reply(client, json_pack("{s:s}", "error", text), NULL, 0);
}

static void client_close(struct client *client)
{
	struct instance *inst = client->waiting;

	client_capture_end(client);
	client_freeze_end(client);
	client_trace_end(client);
	loop_remove(&client->leatd->loop, &client->source);
	close(client->source.fd);
	list_del(&client->node);
	/* A foreground instance does not outlive its leat. */
	if (client->owner && inst != NULL && inst->state == INSTANCE_RUNNING)
		instance_end(inst, "its leat has gone");
	leatd_idle_check(client->leatd);
	free(client);
}

static void request_run(struct client *client, const struct request *req)
{
	const char *name = json_string_value(json_object_get(req->json, "op"));

	for (size_t i = 0; name != NULL && i < sizeof(ops) / sizeof(ops[0]); i++) {
		if (strcmp(ops[i].name, name) == 0) {
			ops[i].run(client->leatd, client, req);
			return;
		}
	}
	client_error(client,
		     "cannot understand the request '%s': leat and leatd are of different versions",
		     name != NULL ? name : "");
}

static void client_ready(struct loop_source *source, uint32_t events)
{
	struct client *client = container_of(source, struct client, source);
	int fds[CHANNEL_FDS_MAX];
	struct request req = {.fds = fds};
	int r;

	(void)events;
	r = channel_receive(source->fd, false, &req.json, fds, &req.nr_fds);
	if (r == -EAGAIN)
		return;
	if (r <= 0) {
		client_close(client);
		return;
	}
	request_run(client, &req);
	for (unsigned i = 0; i < req.nr_fds; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	json_decref(req.json);
}

static bool peer_allowed(int fd)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return false;
	return cred.uid == 0 || cred.uid == geteuid();
}

static void control_ready(struct loop_source *source, uint32_t events)
{
	struct leatd *leatd = container_of(source, struct leatd, control_source);
	struct client *client;
	int fd = accept4(source->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)events;
	if (fd < 0)
		return;
	client = peer_allowed(fd) ? calloc(1, sizeof(*client)) : NULL;
	if (client == NULL) {
		close(fd);
		return;
	}
	client->leatd = leatd;
	client->source = (struct loop_source){fd, client_ready};
	list_add_tail(&leatd->clients, &client->node);
	if (loop_add(&leatd->loop, &client->source) < 0)
		client_close(client);
}

int control_start(struct leatd *leatd)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	mode_t old = umask(0177);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int r = 0;

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/leatd.sock", leatd->state.dir);
	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(fd, 64) < 0)
		r = -errno;
	umask(old);
	if (r == 0) {
		leatd->control_source = (struct loop_source){fd, control_ready};
		r = loop_add(&leatd->loop, &leatd->control_source);
	}
	if (r < 0 && fd >= 0)
		close(fd);
	return r;
}

void control_stop(struct leatd *leatd)
{
	struct list *pos, *tmp;

	if (leatd->control_source.fd < 0)
		return;
	loop_remove(&leatd->loop, &leatd->control_source);
	close(leatd->control_source.fd);
	leatd->control_source.fd = -1;
	list_for_each_safe(pos, tmp, &leatd->clients)
		client_close(list_entry(pos, struct client, node));
}

/* ---- who waits for an instance ---- */

void clients_tell_end(struct leatd *leatd, struct instance *inst)
{
	struct list *pos;

	list_for_each(pos, &leatd->clients) {
		struct client *client = list_entry(pos, struct client, node);

		if (client->waiting != inst)
			continue;
		client->waiting = NULL;
		client_reply(client,
			     json_pack("{s:s, s:s, s:i, s:s}", "event", "exit", "name", inst->name,
				       "status", inst->status, "reason", inst->reason),
			     NULL, 0);
	}
}

void clients_tell_failure(struct leatd *leatd, struct instance *inst, const char *error)
{
	struct list *pos;

	list_for_each(pos, &leatd->clients) {
		struct client *client = list_entry(pos, struct client, node);

		if (client->waiting != inst)
			continue;
		client->waiting = NULL;
		client_error(client, "%s", error);
	}
}
