/*
 * port.c - ports of a tenant's network for programs outside, over vhost-user: `leat port`.
 *
 * leat makes the socket, under the name that its user chose, and passes it on: leatd only accepts.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "apps/leatd/leatd.h"
#include "apps/leatd/log.h"

#define ERROR_MAX 8192
#define MTU 1500U

struct port {
	struct list node;
	struct leatd *leatd;
	uint32_t id;
	char name[NAME_LEN_MAX + 1];
	char *path;
	const char *tenant_name;
	uint32_t tenant;
	uint32_t ip_be;
	uint8_t ip6[16], mac[6];
	const char *filter;
	unsigned nr_queues;
	struct dp_vhost *dp;
	struct loop_source listener, frontend;
};

static struct port *port_find(struct leatd *leatd, const char *name)
{
	struct list *pos;

	list_for_each(pos, &leatd->ports) {
		struct port *port = list_entry(pos, struct port, node);

		if (strcmp(port->name, name) == 0)
			return port;
	}
	return NULL;
}

bool port_exists(struct leatd *leatd, const char *name)
{
	return port_find(leatd, name) != NULL;
}

bool port_has_id(struct leatd *leatd, uint32_t id)
{
	struct list *pos;

	list_for_each(pos, &leatd->ports)
		if (list_entry(pos, struct port, node)->id == id)
			return true;
	return false;
}

/* ---- frontends ---- */

static void frontend_close(struct port *port)
{
	if (port->frontend.fd < 0)
		return;
	loop_remove(&port->leatd->loop, &port->frontend);
	port->frontend.fd = -1;
	dataplane_vhost_disconnect(port->dp);
}

static void frontend_ready(struct loop_source *source, uint32_t events)
{
	struct port *port = container_of(source, struct port, frontend);
	int r = dataplane_vhost_serve(port->dp);

	(void)events;
	if (r >= 0)
		return;
	if (r != -EPIPE)
		log_line(LOG_WARN, "port %s: its frontend is disconnected: %s", port->name,
			 strerror(-r));
	frontend_close(port);
}

static void listener_ready(struct loop_source *source, uint32_t events)
{
	struct port *port = container_of(source, struct port, listener);
	int fd = accept4(source->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)events;
	if (fd < 0)
		return;
	if (port->frontend.fd >= 0 || dataplane_vhost_connect(port->dp, fd) < 0) {
		close(fd); /* one at a time */
		return;
	}
	port->frontend = (struct loop_source){fd, frontend_ready};
	if (loop_add(&port->leatd->loop, &port->frontend) < 0) {
		port->frontend.fd = -1;
		dataplane_vhost_disconnect(port->dp);
	}
}

/* ---- life ---- */

static void port_destroy(struct port *port)
{
	struct leatd *leatd = port->leatd;

	frontend_close(port);
	if (port->listener.fd >= 0) {
		loop_remove(&leatd->loop, &port->listener);
		close(port->listener.fd);
	}
	dataplane_vhost_remove(port->dp);
	if (port->ip_be)
		ipam_give(&leatd->ipam, port->ip_be);
	free(port->path);
	free(port);
}

void ports_finish(struct leatd *leatd)
{
	struct list *pos, *tmp;

	list_for_each_safe(pos, tmp, &leatd->ports) {
		struct port *port = list_entry(pos, struct port, node);

		list_del(&port->node);
		port_destroy(port);
	}
}

static int name_take(struct port *port, const char *name, char *error, size_t size)
{
	if (name == NULL) {
		snprintf(port->name, sizeof(port->name), "port-%u", port->id);
		return 0;
	}
	if (!parse_name_ok(name) || instance_find(port->leatd, name) != NULL ||
	    port_find(port->leatd, name) != NULL) {
		snprintf(error, size, "cannot use the name '%s': it is taken, or no name", name);
		return -EINVAL;
	}
	snprintf(port->name, sizeof(port->name), "%s", name);
	return 0;
}

static int address_take(struct port *port, const char *text, char *error, size_t size)
{
	struct ipam *ipam = &port->leatd->ipam;
	uint32_t ip_be = 0;
	int r;

	if (text != NULL && inet_pton(AF_INET, text, &ip_be) != 1)
		r = -EINVAL;
	else
		r = ip_be ? ipam_take_ip(ipam, ip_be) : ipam_take(ipam, &ip_be);
	if (r < 0) {
		snprintf(error, size, "cannot give that address: %s", strerror(-r));
		return r;
	}
	port->ip_be = ip_be;
	ipam_mac(port->id, port->mac);
	ipam_ip6(port->tenant, ip_be, port->ip6);
	return 0;
}

static int queues_make(struct port *port, const json_t *json, struct ebpf_object *filter)
{
	struct dp_instance_config config = {.id = port->id,
					    .tenant = port->tenant,
					    .name = port->name,
					    .nr_vcpus = port->nr_queues,
					    .window_fd = -1,
					    .mtu = MTU,
					    .ipv4_be = port->ip_be,
					    .gateway_be = htonl(IPAM_GATEWAY),
					    .prefix_len = IPAM_PREFIX,
					    .prefix6_len = IPAM_PREFIX6,
					    .filter = filter};
	int r = limits_of(json_object_get(json, "limits"), &config.limits);

	if (r < 0)
		return r;
	memcpy(config.mac, port->mac, sizeof(config.mac));
	memcpy(config.ipv6, port->ip6, sizeof(config.ipv6));
	return dataplane_vhost_add(&config, &port->dp);
}

static int fd_at(const struct request *req, const char *key)
{
	const json_t *index = json_object_get(req->json, key);
	json_int_t i = json_is_integer(index) ? json_integer_value(index) : -1;

	return i >= 0 && (unsigned)i < req->nr_fds ? req->fds[i] : -1;
}

static int port_make(struct port *port, const struct request *req, char *error, size_t size)
{
	const char *filter = json_string_value(json_object_get(req->json, "filter"));
	const struct filter_source source = {.kind = filter ? filter : "default",
					     .object_fd = fd_at(req, "filter_fd"),
					     .signature_fd = fd_at(req, "signature_fd"),
					     .tenant = port->tenant};
	struct ebpf_object *object;
	int r = name_take(port, json_string_value(json_object_get(req->json, "name")), error, size);

	if (r == 0)
		r = address_take(port, json_string_value(json_object_get(req->json, "ip")), error,
				 size);
	if (r == 0)
		r = filter_load(port->leatd, &source, error, size, &object);
	if (r < 0)
		return r;
	port->filter = source.kind[0] == 'd' ? "default" :
		       source.kind[0] == 'n' ? "none" :
					       "object";
	r = queues_make(port, req->json, object);
	ebpf_object_unref(object);
	if (r < 0)
		snprintf(error, size, "cannot make the port's queues: %s", strerror(-r));
	return r;
}

/* The listener is a descriptor of the request's; what we keep is a copy. */
static int port_listen(struct port *port, const struct request *req)
{
	int fd = fd_at(req, "listener");
	int type = 0, listens = 0;
	socklen_t len = sizeof(type);

	if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) ||
	    getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) || type != SOCK_STREAM ||
	    !listens)
		return -EINVAL;
	fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0 || fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		return -errno;
	port->listener = (struct loop_source){fd, listener_ready};
	return loop_add(&port->leatd->loop, &port->listener);
}

static json_t *port_json(struct port *port)
{
	char ip[INET_ADDRSTRLEN], ip6[INET6_ADDRSTRLEN], mac[18];
	struct dp_instance_stats stats;

	inet_ntop(AF_INET, &port->ip_be, ip, sizeof(ip));
	inet_ntop(AF_INET6, port->ip6, ip6, sizeof(ip6));
	snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", port->mac[0], port->mac[1],
		 port->mac[2], port->mac[3], port->mac[4], port->mac[5]);
	dataplane_vhost_stats(port->dp, &stats);
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:b, s:o, s:o, s:o}", "name",
			 port->name, "tenant", port->tenant_name, "ip", ip, "ip6", ip6, "mac", mac,
			 "path", port->path, "filter", port->filter, "connected",
			 port->frontend.fd >= 0, "limits", limits_json(&stats.limits), "queues",
			 queues_json(&stats), "packets", packets_json(&stats.port));
}

void op_port_add(struct leatd *leatd, struct client *client, const struct request *req)
{
	const char *tenant = json_string_value(json_object_get(req->json, "tenant"));
	const char *path = json_string_value(json_object_get(req->json, "path"));
	json_int_t queues = json_integer_value(json_object_get(req->json, "queues"));
	struct port *port = calloc(1, sizeof(*port));
	char error[ERROR_MAX] = "cannot make a port: out of memory";
	int r = -ENOMEM;

	if (port == NULL) {
		client_error(client, "%s", error);
		return;
	}
	*port = (struct port){.leatd = leatd,
			      .id = instance_id_next(leatd),
			      .nr_queues = queues >= 1 && queues <= (json_int_t)ABI_MAX_VCPUS ?
						   (unsigned)queues :
						   1,
			      .path = path ? strdup(path) : NULL,
			      .listener = {.fd = -1},
			      .frontend = {.fd = -1}};
	if (port->path != NULL)
		r = tenant_number(leatd, tenant ? tenant : TENANT_DEFAULT, &port->tenant,
				  &port->tenant_name);
	if (r == 0)
		r = port_make(port, req, error, sizeof(error));
	if (r == 0) {
		r = port_listen(port, req);
		if (r < 0)
			snprintf(error, sizeof(error), "cannot listen: %s", strerror(-r));
	}
	if (r < 0) {
		port_destroy(port);
		client_error(client, "%s", error);
		return;
	}
	list_add_tail(&leatd->ports, &port->node);
	client_reply(client, port_json(port), NULL, 0);
}

void op_port_rm(struct leatd *leatd, struct client *client, const struct request *req)
{
	const char *name = json_string_value(json_object_get(req->json, "name"));
	struct port *port = name ? port_find(leatd, name) : NULL;
	json_t *reply;

	if (port == NULL) {
		client_error(client, "cannot find a port '%s'", name ? name : "");
		return;
	}
	reply = port_json(port);
	list_del(&port->node);
	port_destroy(port);
	client_reply(client, reply, NULL, 0);
	leatd_idle_check(leatd);
}

void op_ports(struct leatd *leatd, struct client *client, const struct request *req)
{
	json_t *list = json_array();
	struct list *pos;

	(void)req;
	list_for_each(pos, &leatd->ports) {
		json_array_append_new(list, port_json(list_entry(pos, struct port, node)));
	}
	client_reply(client, json_pack("{s:o}", "ports", list), NULL, 0);
}
