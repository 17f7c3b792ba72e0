/*
 * What UDP, raw and ping sockets have in common.
 */
#include "net/dgram.h"

#include <netinet/udp.h>
#include <poll.h>

#include "net/env.h"

struct net_sock *dgram_create(struct net *net, uint8_t family, uint8_t type, uint8_t protocol)
{
	struct dgram_sock *ds = net_env_alloc(sizeof(*ds));

	if (ds == NULL)
		return NULL;
	ds->s.net = net;
	ds->s.family = family;
	ds->s.type = type;
	ds->s.protocol = protocol;
	ds->s.rcvbuf = DGRAM_BUF_DEFAULT;
	ds->s.sndbuf = DGRAM_BUF_DEFAULT;
	ds->s.rcvlowat = 1;
	ds->s.mcast_ttl = 1;
	ds->s.pmtu_discover = IP_PMTUDISC_WANT;
	ds->s.mcast_loop = true;
	list_init(&ds->s.wait);
	list_init(&ds->raw_link);
	list_add_tail(&net->socks, &ds->s.all);
	if (!dgram_has_ports(&ds->s))
		list_add_tail(&net->raws, &ds->raw_link);
	net->stats.sockets++;
	return &ds->s;
}

static struct dgram *dgram_pop(struct dgram_sock *ds)
{
	struct dgram *d = ds->head;

	ds->head = d->next;
	if (ds->head == NULL)
		ds->tail = NULL;
	ds->queued_bytes -= d->data.bytes + DGRAM_OVERHEAD;
	return d;
}

static void dgram_free(struct net *net, struct dgram *d)
{
	frag_list_free(&net->pool, &d->data);
	d->next = net->dgram_free;
	net->dgram_free = d;
}

void dgram_drop_all(struct net_sock *sock)
{
	struct dgram_sock *ds = dgram_of(sock);

	while (ds->head != NULL)
		dgram_free(sock->net, dgram_pop(ds));
	dgram_errors_free(ds);
}

void dgram_destroy(struct net_sock *sock)
{
	struct dgram_sock *ds = dgram_of(sock);
	struct net *net = sock->net;

	dgram_drop_all(sock);
	port_unbind(sock);
	list_del(&sock->wait);
	list_del(&sock->all);
	list_del(&ds->raw_link);
	net->stats.sockets--;
	net_env_free(ds, sizeof(*ds));
}

bool dgram_queue(struct dgram_sock *ds, struct frag_list *data, const struct dgram *from)
{
	struct net *net = ds->s.net;
	struct dgram *d = net->dgram_free;

	if (ds->queued_bytes + data->bytes + DGRAM_OVERHEAD > ds->s.rcvbuf || buf_low(&net->pool) ||
	    (ds->s.shut & SHUT_BIT_RD))
		d = NULL;
	else if (d != NULL)
		net->dgram_free = d->next;
	else
		d = net_slab_refill(net, &net->dgram_free, sizeof(*d));
	if (d == NULL) {
		ds->drops++;
		net->stats.rx_no_memory++;
		frag_list_free(&net->pool, data);
		return false;
	}
	*d = *from;
	d->next = NULL;
	d->when_ns = net->now_ns;
	d->data = *data;
	frag_list_init(data);
	if (ds->tail != NULL)
		ds->tail->next = d;
	else
		ds->head = d;
	ds->tail = d;
	ds->queued_bytes += d->data.bytes + DGRAM_OVERHEAD;
	sock_event(&ds->s, POLLIN);
	return true;
}

uint32_t dgram_next_bytes(const struct net_sock *sock)
{
	const struct dgram *d = dgram_of(sock)->head;

	return d != NULL ? d->data.bytes : 0;
}

uint32_t dgram_poll_events(const struct net_sock *sock)
{
	const struct dgram_sock *ds = dgram_of(sock);
	uint32_t events = sock->error != 0 || ds->errors != NULL ? POLLERR : 0;

	if (sock->shut & SHUT_BIT_RD)
		events |= POLLIN | POLLRDNORM | POLLRDHUP;
	if (sock->shut == (SHUT_BIT_RD | SHUT_BIT_WR))
		events |= POLLHUP;
	if (ds->head != NULL)
		events |= POLLIN | POLLRDNORM;
	if (list_empty(&sock->wait) && !buf_low(&sock->net->pool))
		events |= POLLOUT | POLLWRNORM;
	return events;
}

/* ---- addresses ---- */

/* Gives an unbound socket a port; raw sockets have none. */
static int dgram_autobind(struct net_sock *sock)
{
	if (sock->bound || sock->type == SOCK_RAW)
		return 0;
	return port_bind(sock, &sock->local, 0);
}

int dgram_connect(struct net_sock *sock, const union ip_addr *addr, uint16_t port)
{
	union ip_addr to = *addr;
	struct route route;
	int rc;

	if (ip_addr_is_any6(&to))
		to = ip_addr_loopback6();
	else if (ip_addr_is_any(&to))
		to = ip_addr_v4(be32(INADDR_LOOPBACK));
	rc = ip_route(sock->net, &to, &route);
	if (rc == 0 && !sock_device_ok(sock, route.local))
		rc = -ENETUNREACH;
	if (rc == 0 && route.broadcast && !ip_addr_is_multicast(&to) && !sock->broadcast)
		rc = -EACCES;
	if (rc == 0)
		rc = dgram_autobind(sock);
	if (rc != 0)
		return rc;
	if (!sock->addr_bound)
		sock->local = route.src;
	sock->remote = to;
	sock->rport = port;
	sock->connected = true;
	return 0;
}

int dgram_disconnect(struct net_sock *sock)
{
	sock->connected = false;
	sock->remote = ip_addr_any6();
	sock->rport = 0;
	if (!sock->addr_bound)
		sock->local = sock->family == AF_INET ? ip_addr_v4(0) : ip_addr_any6();
	if (!sock->port_bound) {
		port_unbind(sock);
		sock->lport = 0;
	}
	return 0;
}

bool dgram_joined(const struct dgram_sock *ds, const union ip_addr *group)
{
	for (unsigned int i = 0; i < ds->group_count; i++)
		if (ip_addr_equal(&ds->groups[i], group))
			return true;
	return false;
}

int dgram_group(struct net_sock *sock, const union ip_addr *group, bool join)
{
	struct dgram_sock *ds = dgram_of(sock);

	if (!ip_addr_is_multicast(group))
		return -EINVAL;
	for (unsigned int i = 0; i < ds->group_count; i++) {
		if (!ip_addr_equal(&ds->groups[i], group))
			continue;
		if (join)
			return -EADDRINUSE;
		ds->groups[i] = ds->groups[--ds->group_count];
		return 0;
	}
	if (!join)
		return -EADDRNOTAVAIL;
	if (ds->group_count == DGRAM_GROUPS)
		return -ENOBUFS;
	ds->groups[ds->group_count++] = *group;
	return 0;
}

/* ---- send ---- */

/* The kernel's struct cmsghdr; libc's may have an int for the length. */
struct control_header {
	uint64_t bytes;
	int level, type;
};

static int control_int(const uint8_t *data, size_t bytes, int least, int most, int *ret_value)
{
	if (bytes < sizeof(int))
		return -EINVAL;
	__builtin_memcpy(ret_value, data, sizeof(int));
	return *ret_value < least || *ret_value > most ? -EINVAL : 0;
}

static int control_ip(const struct control_header *header, const uint8_t *data,
		      struct dgram_send *send, union ip_addr *ret_src)
{
	size_t bytes = header->bytes - sizeof(*header);
	struct in_pktinfo info;
	int v, rc;

	switch (header->type) {
	case IP_PKTINFO:
		if (bytes < sizeof(info))
			return -EINVAL;
		__builtin_memcpy(&info, data, sizeof(info));
		*ret_src = ip_addr_v4(info.ipi_spec_dst.s_addr);
		return 0;
	case IP_TTL:
		rc = control_int(data, bytes, 1, 255, &v);
		if (rc == 0)
			send->ttl = (uint8_t)v;
		return rc;
	case IP_TOS:
		/* ip(7): an int, or the byte itself */
		if (bytes == 1) {
			send->tos = *data;
			return 0;
		}
		rc = control_int(data, bytes, 0, 255, &v);
		if (rc == 0)
			send->tos = (uint8_t)v;
		return rc;
	default:
		return -EINVAL;
	}
}

static int control_ip6(const struct control_header *header, const uint8_t *data,
		       struct dgram_send *send, union ip_addr *ret_src)
{
	size_t bytes = header->bytes - sizeof(*header);
	struct in6_pktinfo info;
	int v, rc;

	switch (header->type) {
	case IPV6_PKTINFO:
		if (bytes < sizeof(info))
			return -EINVAL;
		__builtin_memcpy(&info, data, sizeof(info));
		if (info.ipi6_ifindex > NET_INDEX_ETH)
			return -ENODEV;
		*ret_src = ip_addr_v6(&info.ipi6_addr);
		return 0;
	case IPV6_HOPLIMIT:
		rc = control_int(data, bytes, -1, 255, &v);
		if (rc == 0 && v >= 0)
			send->ttl = (uint8_t)v;
		return rc;
	case IPV6_TCLASS:
		rc = control_int(data, bytes, -1, 255, &v);
		if (rc == 0)
			send->tos = v < 0 ? 0 : (uint8_t)v;
		return rc;
	default:
		return -EINVAL;
	}
}

/* One control message of a send. 0, -EINVAL for what is not understood. */
static int control_take(const struct net_sock *sock, const struct control_header *header,
			const uint8_t *data, struct dgram_send *send, union ip_addr *ret_src)
{
	if (header->level == IPPROTO_IP)
		return control_ip(header, data, send, ret_src);
	if (header->level == IPPROTO_IPV6 && sock->family == AF_INET6)
		return control_ip6(header, data, send, ret_src);
	if (header->level == IPPROTO_UDP && header->type == UDP_SEGMENT &&
	    sock->protocol == PROTO_UDP &&
	    header->bytes == sizeof(*header) + sizeof(send->segment_bytes)) {
		__builtin_memcpy(&send->segment_bytes, data, sizeof(send->segment_bytes));
		return 0;
	}
	return -EINVAL;
}

/* Walks the control messages of a send; *ret_src is left alone if none names a source. */
static int control_parse(const struct net_sock *sock, const struct net_msg *msg,
			 struct dgram_send *send, union ip_addr *ret_src)
{
	const uint8_t *at = msg->control;
	size_t left = msg->control != NULL ? msg->control_bytes : 0;

	while (left >= sizeof(struct control_header)) {
		struct control_header header;
		size_t step;
		int rc;

		__builtin_memcpy(&header, at, sizeof(header));
		if (header.bytes < sizeof(header) || header.bytes > left)
			return -EINVAL;
		rc = control_take(sock, &header, at + sizeof(header), send, ret_src);
		if (rc != 0)
			return rc;
		step = min_size((header.bytes + 7) & ~7ul, left);
		at += step;
		left -= step;
	}
	return 0;
}

/* A source from the control data must be an address of this instance; any means none. */
static int send_source(const struct net_sock *sock, const struct net_msg *msg,
		       struct dgram_send *send)
{
	union ip_addr src = ip_addr_any6();
	int rc = control_parse(sock, msg, send, &src);

	if (rc != 0 || ip_addr_is_any(&src))
		return rc;
	if (!ip_is_local(sock->net, &src))
		return -EINVAL;
	send->src = src;
	return 0;
}

static int send_addresses(struct net_sock *sock, const struct net_msg *msg, struct dgram_send *send)
{
	int rc;

	if (msg->addr != NULL && msg->addr_bytes != 0) {
		rc = sock_name_in(sock, (const struct sockaddr *)msg->addr, msg->addr_bytes,
				  &send->dst, &send->dport);
		if (rc != 0)
			return rc;
		if (send->dport == 0 && dgram_has_ports(sock))
			return -EINVAL;
	} else if (sock->connected) {
		send->dst = sock->remote;
		send->dport = sock->rport;
	} else {
		return -EDESTADDRREQ;
	}
	if (ip_addr_is_any6(&send->dst))
		send->dst = ip_addr_loopback6();
	else if (ip_addr_is_any(&send->dst))
		send->dst = ip_addr_v4(be32(INADDR_LOOPBACK));
	rc = ip_route(sock->net, &send->dst, &send->route);
	if (rc != 0)
		return rc;
	if (!sock_device_ok(sock, send->route.local))
		return -ENETUNREACH;
	if (send->route.broadcast && !ip_addr_is_multicast(&send->dst) && !sock->broadcast)
		return -EACCES;
	send->src = ip_addr_is_any(&sock->local) ? send->route.src : sock->local;
	send->ttl = ip_addr_is_multicast(&send->dst) ? sock->mcast_ttl : sock->ttl;
	send->tos = sock->tos;
	send->segment_bytes = sock->segment_bytes;
	rc = send_source(sock, msg, send);
	if (rc != 0)
		return rc;
	/* a socket bound to a loopback address reaches nothing else, nor one family the other */
	if (ip_addr_is_v4(&send->src) != ip_addr_is_v4(&send->dst) ||
	    (ip_addr_is_loopback(&send->src) && !send->route.local))
		return -EINVAL;
	return 0;
}

static ssize_t msg_bytes(const struct net_msg *msg)
{
	size_t bytes = 0;

	for (unsigned int i = 0; i < msg->iov_count; i++) {
		if (msg->iov[i].iov_len > UDP_MAX_PAYLOAD)
			return -EMSGSIZE;
		bytes += msg->iov[i].iov_len;
	}
	return bytes > UDP_MAX_PAYLOAD ? -EMSGSIZE : (ssize_t)bytes;
}

static int send_copy(struct net *net, const struct net_msg *msg, struct frag_list *l4)
{
	for (unsigned int i = 0; i < msg->iov_count; i++) {
		uint32_t bytes = (uint32_t)msg->iov[i].iov_len;
		int n = bytes == 0 ? 0 :
				     frag_list_append_user(&net->pool, l4, 0, msg->iov[i].iov_base,
							   bytes);

		if (n < 0)
			return n;
		if ((uint32_t)n < bytes)
			return buf_low(&net->pool) ? -ENOBUFS : -EFAULT;
	}
	return 0;
}

ssize_t dgram_sendmsg(struct net_sock *sock, const struct net_msg *msg, int flags)
{
	static const uint8_t udp_header[UDP_BYTES];
	struct net *net = sock->net;
	struct dgram_send send = {.dport = 0};
	ssize_t bytes = msg_bytes(msg);
	int rc;

	if (flags & MSG_OOB)
		return -EOPNOTSUPP;
	if (sock->error != 0)
		return net_error_take(sock);
	if (sock->shut & SHUT_BIT_WR)
		return -EPIPE;
	if (bytes < 0)
		return bytes;
	rc = send_addresses(sock, msg, &send);
	if (rc == 0)
		rc = dgram_autobind(sock);
	if (rc != 0)
		return rc;
	if (dgram_has_ports(sock))
		rc = frag_list_append(&net->pool, &send.l4, 0, udp_header, UDP_BYTES);
	if (rc == 0)
		rc = send_copy(net, msg, &send.l4);
	if (rc == 0)
		rc = dgram_has_ports(sock) ? udp_transmit(dgram_of(sock), &send) :
					     raw_transmit(dgram_of(sock), &send);
	if (rc == -EMSGSIZE)
		dgram_too_big(dgram_of(sock), &send);
	frag_list_free(&net->pool, &send.l4);
	if (rc == -ENOBUFS)
		rc = -EAGAIN;
	if (rc == -EAGAIN)
		sock_wait_tx(sock);
	return rc != 0 ? rc : bytes;
}

/* ---- receive ---- */

void dgram_control_put(struct net_msg *msg, size_t room, int level, int type, const void *data,
		       size_t bytes)
{
	struct control_header header = {.bytes = sizeof(header) + bytes,
					.level = level,
					.type = type};
	uint8_t *at = (uint8_t *)msg->control + msg->control_bytes;
	size_t aligned = (header.bytes + 7) & ~7ul;

	if (room - msg->control_bytes < header.bytes) {
		msg->flags |= MSG_CTRUNC;
		return;
	}
	memcpy(at, &header, sizeof(header));
	memcpy(at + sizeof(header), data, bytes);
	msg->control_bytes += min_size(aligned, room - msg->control_bytes);
}

/* When it arrived, on the clock of the wall. */
static void control_time(const struct net_sock *sock, const struct dgram *d, struct net_msg *msg,
			 size_t room)
{
	uint64_t at_ns = net_env_realtime_ns() - (net_env_now_ns() - d->when_ns);
	struct {
		int64_t seconds, fraction;
	} at = {.seconds = (int64_t)(at_ns / NSEC_PER_SEC),
		.fraction = (int64_t)(at_ns % NSEC_PER_SEC)};

	if (!sock->timestamps)
		return;
	if (!sock->timestamps_ns)
		at.fraction /= 1000;
	dgram_control_put(msg, room, SOL_SOCKET,
			  sock->timestamps_ns ? SO_TIMESTAMPNS : SO_TIMESTAMP, &at, sizeof(at));
}

static void control_pktinfo(const struct net_sock *sock, const struct dgram *d, struct net_msg *msg,
			    size_t room)
{
	int index = d->local ? NET_INDEX_LO : NET_INDEX_ETH;

	if (sock->pktinfo && ip_addr_is_v4(&d->dst)) {
		struct in_pktinfo info = {.ipi_ifindex = index};

		info.ipi_addr.s_addr = ip_addr_to_v4(&d->dst);
		info.ipi_spec_dst = info.ipi_addr;
		dgram_control_put(msg, room, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info));
	}
	if (sock->pktinfo6) {
		struct in6_pktinfo info = {.ipi6_ifindex = (unsigned int)index};

		__builtin_memcpy(&info.ipi6_addr, d->dst.bytes, 16);
		dgram_control_put(msg, room, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof(info));
	}
}

static void control_fill(const struct net_sock *sock, const struct dgram *d, struct net_msg *msg)
{
	size_t room = msg->control_bytes;
	int ttl = d->ttl, class = d->tos;

	msg->control_bytes = 0;
	if (msg->control == NULL)
		return;
	control_time(sock, d, msg, room);
	control_pktinfo(sock, d, msg, room);
	if (sock->recv_ttl && ip_addr_is_v4(&d->dst))
		dgram_control_put(msg, room, IPPROTO_IP, IP_TTL, &ttl, sizeof(ttl));
	if (sock->recv_tos && ip_addr_is_v4(&d->dst))
		dgram_control_put(msg, room, IPPROTO_IP, IP_TOS, &d->tos, 1);
	if (sock->recv_hops6 && !ip_addr_is_v4(&d->dst))
		dgram_control_put(msg, room, IPPROTO_IPV6, IPV6_HOPLIMIT, &ttl, sizeof(ttl));
	if (sock->recv_class6 && !ip_addr_is_v4(&d->dst))
		dgram_control_put(msg, room, IPPROTO_IPV6, IPV6_TCLASS, &class, sizeof(class));
}

ssize_t dgram_copy_out(const struct net *net, const struct frag_list *data,
		       const struct net_msg *msg)
{
	const struct frag *f = data->head;
	uint32_t offset = 0;
	ssize_t done = 0;

	for (unsigned int i = 0; i < msg->iov_count; i++) {
		uint8_t *to = msg->iov[i].iov_base;
		size_t left = msg->iov[i].iov_len;

		while (left > 0 && f != NULL) {
			size_t part = min_size(left, f->bytes - offset);

			if (net_env_copy_out(to, frag_data(&net->pool, f) + offset, part) != 0)
				return -EFAULT;
			to += part;
			left -= part;
			done += (ssize_t)part;
			offset += (uint32_t)part;
			if (offset == f->bytes) {
				f = f->next;
				offset = 0;
			}
		}
	}
	return done;
}

ssize_t dgram_recvmsg(struct net_sock *sock, struct net_msg *msg, int flags)
{
	struct dgram_sock *ds = dgram_of(sock);
	struct net *net = sock->net;
	struct dgram *d = ds->head;
	ssize_t done;

	msg->addr_bytes = 0;
	if (flags & MSG_OOB)
		return -EOPNOTSUPP;
	if (sock->error != 0)
		return net_error_take(sock);
	if (d == NULL) {
		msg->control_bytes = 0;
		return sock->shut & SHUT_BIT_RD ? 0 : -EAGAIN;
	}
	done = dgram_copy_out(net, &d->data, msg);
	if (msg->addr != NULL)
		sock_name_out(sock, &d->src, d->sport, msg->addr, &msg->addr_bytes);
	control_fill(sock, d, msg);
	if (done >= 0 && (uint32_t)done < d->data.bytes)
		msg->flags |= MSG_TRUNC;
	if (done >= 0 && (flags & MSG_TRUNC))
		done = d->data.bytes;
	if (!(flags & MSG_PEEK))
		dgram_free(net, dgram_pop(ds));
	return done;
}
