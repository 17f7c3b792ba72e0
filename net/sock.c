/*
 * The socket calls of the facade: checks that all kinds share, then to the kind.
 */
#include <net/if.h>
#include <poll.h>
#include <sys/ioctl.h>

#include "net/dgram.h"
#include "net/env.h"
#include "net/tcp.h"

/* ---- events and errors ---- */

void sock_event(struct net_sock *sock, uint32_t events)
{
	if (sock->owner != NULL && events != 0)
		net_env_sock_event(sock, sock->owner, events);
}

void sock_set_error(struct net_sock *sock, int error)
{
	sock->error = error;
	sock_event(sock, POLLERR | POLLIN | POLLOUT);
}

int net_error_take(struct net_sock *sock)
{
	int error = sock->error;

	sock->error = 0;
	return -error;
}

int net_sock_error(struct net_sock *sock)
{
	return net_error_take(sock);
}

void sock_host_unreachable(struct net *net, const union ip_addr *hop)
{
	struct list *pos, *tmp;

	list_for_each_safe(pos, tmp, &net->socks) {
		struct net_sock *sock = container_of(pos, struct net_sock, all);
		const union ip_addr *to;

		if (sock->type == SOCK_STREAM) {
			tcp_host_unreachable(sock, hop);
			continue;
		}
		if (!sock->connected || ip_is_local(net, &sock->remote))
			continue;
		to = ip_next_hop(net, &sock->remote);
		if (to != NULL && ip_addr_equal(to, hop))
			sock_set_error(sock, EHOSTUNREACH);
	}
}

void sock_wait_tx(struct net_sock *sock)
{
	if (list_empty(&sock->wait))
		list_add_tail(&sock->net->waiters, &sock->wait);
}

/* ---- addresses ---- */

void sock_name_out(const struct net_sock *sock, const union ip_addr *addr, uint16_t port,
		   struct sockaddr_storage *ret_addr, socklen_t *ret_bytes)
{
	if (sock->family == AF_INET) {
		struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = port};

		in.sin_addr.s_addr = ip_addr_is_v4(addr) ? ip_addr_to_v4(addr) : 0;
		__builtin_memcpy(ret_addr, &in, sizeof(in));
		*ret_bytes = sizeof(in);
		return;
	}
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = port};

	__builtin_memcpy(&in6.sin6_addr, addr->bytes, 16);
	if (ip_addr_is_linklocal6(addr))
		in6.sin6_scope_id = NET_INDEX_ETH;
	__builtin_memcpy(ret_addr, &in6, sizeof(in6));
	*ret_bytes = sizeof(in6);
}

int sock_name_in(const struct net_sock *sock, const struct sockaddr *addr, socklen_t addr_bytes,
		 union ip_addr *ret_addr, uint16_t *ret_port)
{
	struct sockaddr_in6 in6;
	struct sockaddr_in in;

	if (addr_bytes < sizeof(addr->sa_family))
		return -EINVAL;
	if (sock->family == AF_INET || addr->sa_family == AF_INET) {
		if (addr_bytes < sizeof(in))
			return -EINVAL;
		__builtin_memcpy(&in, addr, sizeof(in));
		/* an IPv6 socket sends datagrams to IPv4 addresses too, unless it may not */
		if (in.sin_family != AF_INET || (sock->family == AF_INET6 && sock->v6only))
			return -EAFNOSUPPORT;
		*ret_addr = ip_addr_v4(in.sin_addr.s_addr);
		*ret_port = in.sin_port;
		return 0;
	}
	if (addr->sa_family != AF_INET6)
		return -EAFNOSUPPORT;
	/* RFC 2133's shorter address, without the scope, is good too */
	if (addr_bytes < 24)
		return -EINVAL;
	in6.sin6_scope_id = 0;
	__builtin_memcpy(&in6, addr, min_size(addr_bytes, sizeof(in6)));
	*ret_addr = ip_addr_v6(&in6.sin6_addr);
	*ret_port = in6.sin6_port;
	if (sock->v6only && ip_addr_is_v4(ret_addr))
		return -ENETUNREACH;
	/* a link-local address means nothing without its link (ipv6(7)) */
	if (ip_addr_is_linklocal6(ret_addr)) {
		uint32_t link = in6.sin6_scope_id != 0 ? in6.sin6_scope_id : sock->device;

		if (link == 0)
			return -EINVAL;
		if (link != NET_INDEX_ETH)
			return link == NET_INDEX_LO ? -ENETUNREACH : -ENODEV;
	}
	return 0;
}

int net_getsockname(struct net_sock *sock, struct sockaddr_storage *ret_addr, socklen_t *ret_bytes)
{
	sock_name_out(sock, &sock->local, sock->lport, ret_addr, ret_bytes);
	return 0;
}

int net_getpeername(struct net_sock *sock, struct sockaddr_storage *ret_addr, socklen_t *ret_bytes)
{
	if (sock->type == SOCK_STREAM) {
		uint8_t state = tcp_of(sock)->state;

		if (state == TCP_CLOSE || state == TCP_LISTEN || state == TCP_SYN_SENT)
			return -ENOTCONN;
	} else if (!sock->connected) {
		return -ENOTCONN;
	}
	sock_name_out(sock, &sock->remote, sock->rport, ret_addr, ret_bytes);
	return 0;
}

/* ---- life ---- */

static int protocol_check(int family, int type, int protocol)
{
	bool icmp = protocol == (family == AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6);

	if (protocol < 0 || protocol >= 256)
		return -EINVAL;
	switch (type) {
	case SOCK_STREAM:
		return protocol == 0 || protocol == IPPROTO_TCP ? IPPROTO_TCP : -EPROTONOSUPPORT;
	case SOCK_DGRAM:
		if (icmp)
			return protocol;
		if (protocol == IPPROTO_UDPLITE)
			return protocol;
		return protocol == 0 || protocol == IPPROTO_UDP ? IPPROTO_UDP : -EPROTONOSUPPORT;
	case SOCK_RAW:
		/* others would need protocols that this stack does not pass on */
		return icmp ? protocol : -EPROTONOSUPPORT;
	default:
		return -ESOCKTNOSUPPORT;
	}
}

int net_socket(struct net *net, int family, int type, int protocol, void *owner,
	       struct net_sock **ret_sock)
{
	struct net_sock *sock = NULL;

	if (family != AF_INET && family != AF_INET6)
		return -EAFNOSUPPORT;
	protocol = protocol_check(family, type, protocol);
	if (protocol < 0)
		return protocol;
	net_enter(net);
	if (type == SOCK_STREAM) {
		struct tcp_sock *ts = tcp_alloc(net, (uint8_t)family);

		if (ts != NULL)
			sock = &ts->s;
	} else {
		sock = dgram_create(net, (uint8_t)family, (uint8_t)type, (uint8_t)protocol);
	}
	if (sock == NULL)
		return -ENOBUFS;
	sock->local = family == AF_INET ? ip_addr_v4(0) : ip_addr_any6();
	sock->owner = owner;
	*ret_sock = sock;
	return 0;
}

void net_sock_set_owner(struct net_sock *sock, void *owner)
{
	sock->owner = owner;
}

void net_close(struct net_sock *sock)
{
	struct net *net = sock->net;

	net_enter(net);
	if (sock->type == SOCK_STREAM)
		tcp_close(sock);
	else
		dgram_destroy(sock);
	net_leave(net);
}

unsigned int net_linger_seconds(const struct net_sock *sock)
{
	const struct tcp_sock *ts = tcp_of(sock);

	if (sock->type != SOCK_STREAM || !sock->linger || ts->rcvq.bytes != 0 ||
	    (ts->state != TCP_ESTABLISHED && ts->state != TCP_CLOSE_WAIT && !net_lingering(sock)))
		return 0;
	return sock->linger_seconds;
}

bool net_lingering(const struct net_sock *sock)
{
	uint8_t state = tcp_of(sock)->state;

	return state == TCP_FIN_WAIT1 || state == TCP_CLOSING || state == TCP_LAST_ACK;
}

int net_bind(struct net_sock *sock, const struct sockaddr *addr, socklen_t addr_bytes)
{
	union ip_addr ip;
	uint16_t port;
	int rc;

	if (addr_bytes < sizeof(addr->sa_family))
		return -EINVAL;
	if (sock->family == AF_INET6 && addr->sa_family != AF_INET6)
		return addr_bytes < 24 ? -EINVAL : -EAFNOSUPPORT;
	rc = sock_name_in(sock, addr, addr_bytes, &ip, &port);
	if (rc != 0)
		return rc == -ENETUNREACH ? -EADDRNOTAVAIL : rc;
	if (sock->bound || (sock->type == SOCK_STREAM && tcp_of(sock)->state != TCP_CLOSE))
		return -EINVAL;
	if (!ip_addr_is_any(&ip) && !ip_is_local(sock->net, &ip) &&
	    (sock->type == SOCK_STREAM ||
	     (!ip_addr_is_multicast(&ip) && !ip_is_broadcast(sock->net, &ip))))
		return -EADDRNOTAVAIL;
	if (sock->type == SOCK_RAW) {
		sock->local = ip;
		sock->addr_bound = !ip_addr_is_any(&ip);
		return 0;
	}
	rc = port_bind(sock, &ip, port);
	if (rc != 0)
		return rc;
	sock->addr_bound = !ip_addr_is_any(&ip);
	sock->port_bound = port != 0;
	return 0;
}

int net_listen(struct net_sock *sock, int backlog)
{
	if (sock->type != SOCK_STREAM)
		return -EOPNOTSUPP;
	net_enter(sock->net);
	return tcp_listen(sock, backlog);
}

int net_accept(struct net_sock *sock, struct net_sock **ret_sock)
{
	if (sock->type != SOCK_STREAM)
		return -EOPNOTSUPP;
	return tcp_accept(sock, ret_sock);
}

int net_connect(struct net_sock *sock, const struct sockaddr *addr, socklen_t addr_bytes)
{
	struct net *net = sock->net;
	union ip_addr ip;
	uint16_t port;
	int rc;

	if (addr_bytes < sizeof(addr->sa_family))
		return -EINVAL;
	net_enter(net);
	if (addr->sa_family == AF_UNSPEC) {
		rc = sock->type == SOCK_STREAM ? tcp_disconnect(sock) : dgram_disconnect(sock);
	} else {
		rc = sock_name_in(sock, addr, addr_bytes, &ip, &port);
		if (rc == 0)
			rc = sock->type == SOCK_STREAM ? tcp_connect(sock, &ip, port) :
							 dgram_connect(sock, &ip, port);
	}
	net_leave(net);
	return rc;
}

ssize_t net_sendmsg(struct net_sock *sock, const struct net_msg *msg, int flags)
{
	struct net *net = sock->net;
	ssize_t rc;

	net_enter(net);
	rc = sock->type == SOCK_STREAM ? tcp_sendmsg(sock, msg, flags) :
					 dgram_sendmsg(sock, msg, flags);
	net_leave(net);
	return rc;
}

ssize_t net_recvmsg(struct net_sock *sock, struct net_msg *msg, int flags)
{
	struct net *net = sock->net;
	ssize_t rc;

	msg->flags = 0;
	if (sock->type != SOCK_STREAM)
		return flags & MSG_ERRQUEUE ? dgram_recv_error(sock, msg, flags) :
					      dgram_recvmsg(sock, msg, flags);
	if (flags & MSG_ERRQUEUE)
		return -EAGAIN; /* TCP puts nothing there */
	msg->control_bytes = 0;
	net_enter(net);
	rc = tcp_recvmsg(sock, msg, flags);
	net_leave(net);
	return rc;
}

int net_shutdown(struct net_sock *sock, int how)
{
	struct net *net = sock->net;
	int rc = 0;

	if (how < SHUT_RD || how > SHUT_RDWR)
		return -EINVAL;
	net_enter(net);
	if (sock->type == SOCK_STREAM) {
		rc = tcp_shutdown(sock, how);
	} else if (!sock->connected) {
		rc = -ENOTCONN;
	} else {
		sock->shut |= how == SHUT_RD ? SHUT_BIT_RD :
			      how == SHUT_WR ? SHUT_BIT_WR :
					       SHUT_BIT_RD | SHUT_BIT_WR;
		sock_event(sock, POLLIN | POLLOUT | POLLRDHUP);
	}
	net_leave(net);
	return rc;
}

uint32_t net_poll_events(const struct net_sock *sock)
{
	return sock->type == SOCK_STREAM ? tcp_poll_events(sock) : dgram_poll_events(sock);
}

/* ---- ioctl ---- */

static int ioctl_int(unsigned long arg, int value)
{
	return net_env_copy_out((void *)arg, &value, sizeof(value));
}

static int ioctl_queue(struct net_sock *sock, unsigned long request, unsigned long arg)
{
	const struct tcp_sock *ts = tcp_of(sock);

	if (sock->type != SOCK_STREAM)
		return ioctl_int(arg, request == FIONREAD ? (int)dgram_next_bytes(sock) : 0);
	if (ts->state == TCP_LISTEN)
		return -EINVAL;
	return ioctl_int(arg, (int)(request == FIONREAD ? ts->rcvq.bytes : ts->sndq.bytes));
}

static int ioctl_at_mark(const struct net_sock *sock, unsigned long arg)
{
	const struct tcp_sock *ts = tcp_of(sock);

	if (sock->type != SOCK_STREAM)
		return -ENOTTY;
	return ioctl_int(arg, ts->urgent && ts->copied_seq == ts->rcv_urgent);
}

static int ioctl_ifconf(const struct net *net, unsigned long arg)
{
	struct ifconf conf;
	int used = 0;

	if (net_env_copy_in(&conf, (const void *)arg, sizeof(conf)) != 0)
		return -EFAULT;
	for (unsigned int i = 1; i <= 2; i++) {
		struct ifreq req = {0};
		struct sockaddr_in in = {.sin_family = AF_INET};
		struct net_if info;

		if (net_if_get(net, i, &info) != 0)
			continue;
		if (conf.ifc_buf != NULL) {
			if (conf.ifc_len - used < (int)sizeof(req))
				break;
			memcpy(req.ifr_name, info.name, sizeof(info.name));
			in.sin_addr = info.ip;
			memcpy(&req.ifr_addr, &in, sizeof(in));
			if (net_env_copy_out(conf.ifc_buf + used, &req, sizeof(req)) != 0)
				return -EFAULT;
		}
		used += (int)sizeof(req);
	}
	conf.ifc_len = used;
	return net_env_copy_out((void *)arg, &conf, sizeof(conf));
}

static void ifreq_addr(struct ifreq *req, uint32_t ip_be)
{
	struct sockaddr_in in = {.sin_family = AF_INET};

	in.sin_addr.s_addr = ip_be;
	memcpy(&req->ifr_addr, &in, sizeof(in));
}

/* Fills the answer of SIOCGIF*. 0 or negative errno. */
static int ifreq_fill(unsigned long request, const struct net_if *info, struct ifreq *req)
{
	uint32_t mask = info->prefix_bits == 0 ? 0 : be32(~0u << (32 - info->prefix_bits));

	switch (request) {
	case SIOCGIFFLAGS:
		req->ifr_flags = (short)info->flags;
		return 0;
	case SIOCGIFADDR:
		ifreq_addr(req, info->ip.s_addr);
		return 0;
	case SIOCGIFNETMASK:
		ifreq_addr(req, mask);
		return 0;
	case SIOCGIFBRDADDR:
		ifreq_addr(req, info->flags & IFF_BROADCAST ? info->ip.s_addr | ~mask : 0);
		return 0;
	case SIOCGIFMTU:
		req->ifr_mtu = (int)info->mtu;
		return 0;
	case SIOCGIFINDEX:
		req->ifr_ifindex = (int)info->index;
		return 0;
	case SIOCGIFMETRIC:
		req->ifr_metric = 0;
		return 0;
	case SIOCGIFTXQLEN:
		req->ifr_qlen = 1000;
		return 0;
	case SIOCGIFHWADDR:
		memset(&req->ifr_hwaddr, 0, sizeof(req->ifr_hwaddr));
		/* ARPHRD_LOOPBACK, ARPHRD_ETHER */
		req->ifr_hwaddr.sa_family = info->index == NET_INDEX_LO ? 772 : 1;
		memcpy(req->ifr_hwaddr.sa_data, info->mac, 6);
		return 0;
	case SIOCGIFNAME:
		memcpy(req->ifr_name, info->name, sizeof(info->name));
		return 0;
	default:
		return -EPERM; /* the interface is Leat's to change */
	}
}

static int ioctl_ifreq(const struct net *net, unsigned long request, unsigned long arg)
{
	struct net_if info;
	struct ifreq req;
	int rc;

	if (net_env_copy_in(&req, (const void *)arg, sizeof(req)) != 0)
		return -EFAULT;
	for (unsigned int i = 1; i <= 2; i++) {
		if (net_if_get(net, i, &info) != 0)
			continue;
		if (request == SIOCGIFNAME ? req.ifr_ifindex != (int)i :
					     memcmp(req.ifr_name, info.name, 5) != 0)
			continue;
		rc = ifreq_fill(request, &info, &req);
		return rc != 0 ? rc : net_env_copy_out((void *)arg, &req, sizeof(req));
	}
	return -ENODEV;
}

int net_ioctl(struct net_sock *sock, unsigned long request, unsigned long arg)
{
	switch (request) {
	case FIONREAD:
	case TIOCOUTQ:
		return ioctl_queue(sock, request, arg);
	case SIOCATMARK:
		return ioctl_at_mark(sock, arg);
	case SIOCGIFCONF:
		return ioctl_ifconf(sock->net, arg);
	case SIOCGIFFLAGS:
	case SIOCGIFADDR:
	case SIOCGIFNETMASK:
	case SIOCGIFBRDADDR:
	case SIOCGIFMTU:
	case SIOCGIFINDEX:
	case SIOCGIFMETRIC:
	case SIOCGIFTXQLEN:
	case SIOCGIFHWADDR:
	case SIOCGIFNAME:
	case SIOCSIFFLAGS:
	case SIOCSIFADDR:
	case SIOCSIFNETMASK:
	case SIOCSIFBRDADDR:
	case SIOCSIFMTU:
	case SIOCSIFHWADDR:
	case SIOCSIFTXQLEN:
		return ioctl_ifreq(sock->net, request, arg);
	default:
		return -NET_ENOIOCTLCMD;
	}
}
