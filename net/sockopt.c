/*
 * Socket options: each is honoured, or refused with Linux's errno for a kernel that lacks it.
 */
#include <net/if.h>
#include <netinet/udp.h>

#include "net/dgram.h"
#include "net/env.h"
#include "net/tcp.h"

/* Linux's numbers, where a libc's header may lack them. */
#define OPT_SO_RXQ_OVFL 40
#define OPT_SO_INCOMING_CPU 49
#define OPT_SO_BUSY_POLL 46
#define OPT_SO_PREFER_BUSY_POLL 69
#define OPT_SO_ZEROCOPY 60
#define OPT_SO_SNDBUFFORCE 32
#define OPT_SO_RCVBUFFORCE 33
#define OPT_SO_DOMAIN 39
#define OPT_SO_PROTOCOL 38
#define OPT_SO_COOKIE 57
#define OPT_ICMP_FILTER 1
#define OPT_SOL_RAW 255
#define OPT_IPV6_MTU 24
#define OPT_SO_TIMESTAMP_NEW 63
#define OPT_SO_TIMESTAMPNS_NEW 64

#define BUF_MAX 212992u /* Linux's rmem_max and wmem_max */
#define SNDBUF_MIN 4608u
#define RCVBUF_MIN 2304u

int sockopt_int(const void *value, socklen_t value_bytes, int *ret_value)
{
	if (value_bytes < sizeof(int))
		return -EINVAL;
	__builtin_memcpy(ret_value, value, sizeof(int));
	return 0;
}

int sockopt_give(void *value, socklen_t *inout_bytes, const void *from, size_t bytes)
{
	if ((int)*inout_bytes < 0)
		return -EINVAL;
	bytes = min_size(bytes, *inout_bytes);
	memcpy(value, from, bytes);
	*inout_bytes = (socklen_t)bytes;
	return 0;
}

int sockopt_give_int(void *value, socklen_t *inout_bytes, int from)
{
	return sockopt_give(value, inout_bytes, &from, sizeof(from));
}

/* ---- SOL_SOCKET ---- */

static int set_linger(struct net_sock *s, const void *value, socklen_t bytes)
{
	struct linger linger;

	if (bytes < sizeof(linger))
		return -EINVAL;
	__builtin_memcpy(&linger, value, sizeof(linger));
	s->linger = linger.l_onoff != 0;
	if (linger.l_onoff)
		s->linger_seconds = (uint16_t)min_u32((uint32_t)linger.l_linger, 65535);
	return 0;
}

static int set_device(struct net_sock *s, const void *value, socklen_t bytes)
{
	char name[16] = {0};

	memcpy(name, value, min_size(bytes, sizeof(name) - 1));
	if (name[0] == '\0')
		s->device = 0;
	else if (memcmp(name, "lo", 3) == 0)
		s->device = NET_INDEX_LO;
	else if (memcmp(name, "eth0", 5) == 0 && s->net->dev.regs != NULL)
		s->device = NET_INDEX_ETH;
	else
		return -ENODEV;
	return 0;
}

static void set_keepalive(struct net_sock *s, bool on)
{
	s->keepalive = on;
	if (s->type != SOCK_STREAM || tcp_of(s)->state == TCP_CLOSE ||
	    tcp_of(s)->state == TCP_LISTEN)
		return;
	tcp_of(s)->keep_at = on ? s->net->now_ns + tcp_of(s)->keep_idle_s * NSEC_PER_SEC : 0;
	tcp_timer_update(tcp_of(s));
}

static void set_sndbuf(struct net_sock *s, uint32_t v, uint32_t most)
{
	s->sndbuf = max_u32(min_u32(v, most) * 2, SNDBUF_MIN);
	s->sndbuf_locked = true;
}

static void set_rcvbuf(struct net_sock *s, uint32_t v, uint32_t most)
{
	s->rcvbuf = max_u32(min_u32(v, most) * 2, RCVBUF_MIN);
	s->rcvbuf_locked = true;
}

/* On a 64-bit machine the old and the new layouts are one. A stream's bytes have no time here. */
static int set_timestamps(struct net_sock *s, bool on, bool ns)
{
	if (s->type == SOCK_STREAM)
		return -ENOPROTOOPT;
	s->timestamps = on;
	s->timestamps_ns = on && ns;
	return 0;
}

/* Options of SOL_SOCKET that take an int. */
static int set_socket_int(struct net_sock *s, int name, int v)
{
	switch (name) {
	case SO_REUSEADDR:
		s->reuse_addr = v != 0;
		return 0;
	case SO_REUSEPORT:
		s->reuse_port = v != 0;
		return 0;
	case SO_BROADCAST:
		s->broadcast = v != 0;
		return 0;
	case SO_KEEPALIVE:
		set_keepalive(s, v != 0);
		return 0;
	case SO_OOBINLINE:
		s->oob_inline = v != 0;
		return 0;
	case SO_DONTROUTE:
		s->dont_route = v != 0;
		return 0;
	case SO_SNDBUF:
		set_sndbuf(s, (uint32_t)v, BUF_MAX);
		return 0;
	case SO_RCVBUF:
		set_rcvbuf(s, (uint32_t)v, BUF_MAX);
		return 0;
	case OPT_SO_SNDBUFFORCE:
		set_sndbuf(s, (uint32_t)v, TCP_SND_MAX);
		return 0;
	case OPT_SO_RCVBUFFORCE:
		set_rcvbuf(s, (uint32_t)v, TCP_RCV_MAX);
		return 0;
	case SO_RCVLOWAT:
		s->rcvlowat = v <= 0 ? 1 : (uint32_t)v;
		return 0;
	case SO_PRIORITY:
		s->priority = (uint32_t)v;
		return 0;
	case SO_MARK:
		s->mark = (uint32_t)v;
		return 0;
	case SO_TIMESTAMP:
	case OPT_SO_TIMESTAMP_NEW:
		return set_timestamps(s, v != 0, false);
	case SO_TIMESTAMPNS:
	case OPT_SO_TIMESTAMPNS_NEW:
		return set_timestamps(s, v != 0, true);
	case SO_NO_CHECK:
		return v == 0 ? 0 : -EOPNOTSUPP;
	case OPT_SO_BUSY_POLL:
	case OPT_SO_PREFER_BUSY_POLL:
	case OPT_SO_INCOMING_CPU:
		return v >= 0 ? 0 : -EINVAL; /* hints: the stack polls anyway */
	default:
		return -ENOPROTOOPT;
	}
}

static int set_socket(struct net_sock *s, int name, const void *value, socklen_t bytes)
{
	int v;

	if (name == SO_LINGER)
		return set_linger(s, value, bytes);
	if (name == SO_BINDTODEVICE)
		return set_device(s, value, bytes);
	if (sockopt_int(value, bytes, &v) != 0)
		return -EINVAL;
	return set_socket_int(s, name, v);
}

static bool sock_listens(const struct net_sock *s)
{
	return s->type == SOCK_STREAM && tcp_of(s)->state == TCP_LISTEN;
}

static int get_socket_int(struct net_sock *s, int name, int *ret)
{
	switch (name) {
	case SO_REUSEADDR:
		*ret = s->reuse_addr;
		break;
	case SO_REUSEPORT:
		*ret = s->reuse_port;
		break;
	case SO_BROADCAST:
		*ret = s->broadcast;
		break;
	case SO_KEEPALIVE:
		*ret = s->keepalive;
		break;
	case SO_OOBINLINE:
		*ret = s->oob_inline;
		break;
	case SO_DONTROUTE:
		*ret = s->dont_route;
		break;
	case SO_SNDBUF:
		*ret = (int)s->sndbuf;
		break;
	case SO_RCVBUF:
		*ret = (int)s->rcvbuf;
		break;
	case SO_RCVLOWAT:
		*ret = (int)s->rcvlowat;
		break;
	case SO_SNDLOWAT:
		*ret = 1;
		break;
	case SO_PRIORITY:
		*ret = (int)s->priority;
		break;
	case SO_MARK:
		*ret = (int)s->mark;
		break;
	case SO_TIMESTAMP:
		*ret = s->timestamps && !s->timestamps_ns;
		break;
	case SO_TIMESTAMPNS:
		*ret = s->timestamps && s->timestamps_ns;
		break;
	case SO_NO_CHECK:
	case OPT_SO_BUSY_POLL:
	case OPT_SO_ZEROCOPY:
		*ret = 0;
		break;
	case SO_TYPE:
		*ret = s->type;
		break;
	case OPT_SO_DOMAIN:
		*ret = s->family;
		break;
	case OPT_SO_PROTOCOL:
		*ret = s->protocol;
		break;
	case SO_ACCEPTCONN:
		*ret = sock_listens(s);
		break;
	case SO_ERROR:
		*ret = -net_error_take(s);
		break;
	case OPT_SO_INCOMING_CPU:
		*ret = (int)net_env_vcpu();
		break;
	default:
		return -ENOPROTOOPT;
	}
	return 0;
}

static int get_socket(struct net_sock *s, int name, void *value, socklen_t *bytes)
{
	int v, rc;

	if (name == SO_LINGER) {
		struct linger linger = {.l_onoff = s->linger, .l_linger = s->linger_seconds};

		return sockopt_give(value, bytes, &linger, sizeof(linger));
	}
	if (name == SO_BINDTODEVICE) {
		const char *device = s->device == NET_INDEX_LO ? "lo" : "eth0";

		return sockopt_give(value, bytes, device,
				    s->device == 0            ? 0 :
				    s->device == NET_INDEX_LO ? 3 :
								5);
	}
	if (name == OPT_SO_COOKIE) {
		uint64_t cookie = (uintptr_t)s >> 4;

		return sockopt_give(value, bytes, &cookie, sizeof(cookie));
	}
	rc = get_socket_int(s, name, &v);
	return rc != 0 ? rc : sockopt_give_int(value, bytes, v);
}

/* ---- IPPROTO_IP ---- */

static int set_group4(struct net_sock *s, const void *value, socklen_t bytes, bool join)
{
	struct ip_mreq mreq;
	union ip_addr group;

	if (s->type == SOCK_STREAM)
		return -EPROTO;
	if (bytes < sizeof(mreq))
		return -EINVAL;
	__builtin_memcpy(&mreq, value, sizeof(mreq));
	group = ip_addr_v4(mreq.imr_multiaddr.s_addr);
	return dgram_group(s, &group, join);
}

static int set_ttl(uint8_t *at, int v, uint8_t standard)
{
	if (v != -1 && (v < 1 || v > 255))
		return -EINVAL;
	*at = v == -1 ? standard : (uint8_t)v;
	return 0;
}

static int set_ip(struct net_sock *s, int name, const void *value, socklen_t bytes)
{
	int v = 0;

	if (name == IP_ADD_MEMBERSHIP || name == IP_DROP_MEMBERSHIP)
		return set_group4(s, value, bytes, name == IP_ADD_MEMBERSHIP);
	if (name == IP_MULTICAST_IF)
		return bytes >= sizeof(struct in_addr) ? 0 : -EINVAL; /* there is one interface */
	/* ip(7): a single byte is as good as an int */
	if (bytes >= sizeof(int))
		__builtin_memcpy(&v, value, sizeof(v));
	else if (bytes >= 1)
		v = *(const uint8_t *)value;
	switch (name) {
	case IP_TOS:
		/* the two bits of ECN are TCP's own */
		s->tos = (uint8_t)(s->type == SOCK_STREAM ? v & ~(int)ECN_MASK : v);
		return 0;
	case IP_TTL:
		return set_ttl(&s->ttl, v, 0);
	case IP_MULTICAST_TTL:
		return s->type == SOCK_STREAM ? -EINVAL : set_ttl(&s->mcast_ttl, v, 1);
	case IP_MULTICAST_LOOP:
		s->mcast_loop = v != 0;
		return 0;
	case IP_PKTINFO:
		s->pktinfo = v != 0;
		return 0;
	case IP_RECVTTL:
		s->recv_ttl = v != 0;
		return 0;
	case IP_RECVTOS:
		s->recv_tos = v != 0;
		return 0;
	case IP_RECVERR:
		s->recv_error = v != 0;
		return 0;
	case IP_MTU_DISCOVER:
		if (v < IP_PMTUDISC_DONT || v > IP_PMTUDISC_PROBE)
			return -EINVAL;
		s->pmtu_discover = (uint8_t)v;
		return 0;
	default:
		return -ENOPROTOOPT;
	}
}

static int get_mtu(struct net_sock *s)
{
	struct route route;

	if (s->type == SOCK_STREAM ? s->rport == 0 : !s->connected)
		return -ENOTCONN;
	return ip_route(s->net, &s->remote, &route) == 0 ? (int)route.mtu : -ENOTCONN;
}

static int get_ip(struct net_sock *s, int name, void *value, socklen_t *bytes)
{
	int v;

	switch (name) {
	case IP_TOS:
		v = s->tos;
		break;
	case IP_TTL:
		v = s->ttl != 0 ? s->ttl : (int)NET_DEFAULT_TTL;
		break;
	case IP_MULTICAST_TTL:
		v = s->mcast_ttl;
		break;
	case IP_MULTICAST_LOOP:
		v = s->mcast_loop;
		break;
	case IP_PKTINFO:
		v = s->pktinfo;
		break;
	case IP_RECVTTL:
		v = s->recv_ttl;
		break;
	case IP_RECVTOS:
		v = s->recv_tos;
		break;
	case IP_RECVERR:
		v = s->recv_error;
		break;
	case IP_MTU_DISCOVER:
		v = s->pmtu_discover;
		break;
	case IP_OPTIONS:
		return sockopt_give(value, bytes, "", 0);
	case IP_MTU:
		v = get_mtu(s);
		if (v < 0)
			return v;
		break;
	default:
		return -ENOPROTOOPT;
	}
	return sockopt_give_int(value, bytes, v);
}

/* ---- IPPROTO_IPV6 ---- */

static int set_group6(struct net_sock *s, const void *value, socklen_t bytes, bool join)
{
	struct ipv6_mreq mreq;
	union ip_addr group;

	if (s->type == SOCK_STREAM)
		return -EPROTO;
	if (bytes < sizeof(mreq))
		return -EINVAL;
	__builtin_memcpy(&mreq, value, sizeof(mreq));
	group = ip_addr_v6(&mreq.ipv6mr_multiaddr);
	return dgram_group(s, &group, join);
}

static int set_ip6(struct net_sock *s, int name, const void *value, socklen_t bytes)
{
	int v;

	if (name == IPV6_JOIN_GROUP || name == IPV6_LEAVE_GROUP)
		return set_group6(s, value, bytes, name == IPV6_JOIN_GROUP);
	if (sockopt_int(value, bytes, &v) != 0)
		return -EINVAL;
	switch (name) {
	case IPV6_V6ONLY:
		if (s->bound || s->lport != 0)
			return -EINVAL;
		s->v6only = v != 0;
		return 0;
	case IPV6_UNICAST_HOPS:
		return set_ttl(&s->ttl, v, 0);
	case IPV6_MULTICAST_HOPS:
		return set_ttl(&s->mcast_ttl, v, 1);
	case IPV6_MULTICAST_LOOP:
		s->mcast_loop = v != 0;
		return 0;
	case IPV6_MULTICAST_IF:
		return v >= 0 && v <= 2 ? 0 : -ENODEV;
	case IPV6_RECVPKTINFO:
		s->pktinfo6 = v != 0;
		return 0;
	case IPV6_RECVHOPLIMIT:
		s->recv_hops6 = v != 0;
		return 0;
	case IPV6_RECVERR:
		s->recv_error6 = v != 0;
		return 0;
	case IPV6_RECVTCLASS:
		s->recv_class6 = v != 0;
		return 0;
	case IPV6_TCLASS:
		if (v < -1 || v > 255)
			return -EINVAL;
		s->tos = v == -1 ? 0 : (uint8_t)v;
		if (s->type == SOCK_STREAM)
			s->tos &= (uint8_t)~ECN_MASK;
		return 0;
	case IPV6_MTU_DISCOVER:
		if (v < IP_PMTUDISC_DONT || v > IP_PMTUDISC_PROBE)
			return -EINVAL;
		s->pmtu_discover = (uint8_t)v;
		return 0;
	case IPV6_CHECKSUM: /* RFC 3542 3.1: ICMPv6's checksum is always ours */
		return -EINVAL;
	default:
		return -ENOPROTOOPT;
	}
}

static int get_ip6(struct net_sock *s, int name, void *value, socklen_t *bytes)
{
	int v;

	switch (name) {
	case IPV6_V6ONLY:
		v = s->v6only;
		break;
	case IPV6_UNICAST_HOPS:
		v = s->ttl != 0 ? s->ttl : (int)NET_DEFAULT_TTL;
		break;
	case IPV6_MULTICAST_HOPS:
		v = s->mcast_ttl;
		break;
	case IPV6_MULTICAST_LOOP:
		v = s->mcast_loop;
		break;
	case IPV6_RECVPKTINFO:
		v = s->pktinfo6;
		break;
	case IPV6_RECVHOPLIMIT:
		v = s->recv_hops6;
		break;
	case IPV6_RECVERR:
		v = s->recv_error6;
		break;
	case IPV6_RECVTCLASS:
		v = s->recv_class6;
		break;
	case IPV6_TCLASS:
		v = s->tos;
		break;
	case IPV6_MTU_DISCOVER:
		v = s->pmtu_discover;
		break;
	case OPT_IPV6_MTU:
		v = get_mtu(s);
		if (v < 0)
			return v;
		break;
	default:
		return -ENOPROTOOPT;
	}
	return sockopt_give_int(value, bytes, v);
}

/* ---- all levels ---- */

static int set_udp(struct net_sock *s, int name, const void *value, socklen_t bytes)
{
	int v;

	if (sockopt_int(value, bytes, &v) != 0)
		return -EINVAL;
	if (name != UDP_SEGMENT)
		return -ENOPROTOOPT; /* UDP_CORK, UDP_ENCAP, UDP_GRO */
	if (v < 0 || v > UINT16_MAX)
		return -EINVAL;
	s->segment_bytes = (uint16_t)v;
	return 0;
}

#define UDPLITE_SEND_CSCOV 10 /* <linux/udp.h> */
#define UDPLITE_RECV_CSCOV 11

/* udplite(7): bytes that the checksum covers, or has to cover. */
static int set_udplite(struct net_sock *s, int name, const void *value, socklen_t bytes)
{
	struct dgram_sock *ds = dgram_of(s);
	int v;

	if (name != UDPLITE_SEND_CSCOV && name != UDPLITE_RECV_CSCOV)
		return set_udp(s, name, value, bytes);
	if (sockopt_int(value, bytes, &v) != 0)
		return -EINVAL;
	if (v != 0 && v < (int)UDP_BYTES)
		v = UDP_BYTES;
	else if (v > UINT16_MAX)
		v = UINT16_MAX;
	if (name == UDPLITE_SEND_CSCOV) {
		ds->send_coverage = (uint16_t)v;
	} else {
		ds->recv_coverage = (uint16_t)v;
		ds->recv_coverage_set = true;
	}
	return 0;
}

static int get_udplite(const struct net_sock *s, int name, void *value, socklen_t *inout_bytes)
{
	const struct dgram_sock *ds = dgram_of(s);

	switch (name) {
	case UDPLITE_SEND_CSCOV:
		return sockopt_give_int(value, inout_bytes, ds->send_coverage);
	case UDPLITE_RECV_CSCOV:
		return sockopt_give_int(value, inout_bytes, ds->recv_coverage);
	case UDP_SEGMENT:
		return sockopt_give_int(value, inout_bytes, s->segment_bytes);
	default:
		return -ENOPROTOOPT;
	}
}

static int set_raw(struct net_sock *s, int name, const void *value, socklen_t bytes)
{
	if (s->type != SOCK_RAW || s->protocol != PROTO_ICMP || name != OPT_ICMP_FILTER)
		return -ENOPROTOOPT;
	memcpy(&dgram_of(s)->icmp_filter, value, min_size(bytes, sizeof(uint32_t)));
	return 0;
}

int net_setsockopt(struct net_sock *sock, int level, int name, const void *value,
		   socklen_t value_bytes)
{
	int rc = -ENOPROTOOPT;

	net_enter(sock->net);
	if (level == SOL_SOCKET)
		rc = set_socket(sock, name, value, value_bytes);
	else if (level == IPPROTO_IP)
		rc = set_ip(sock, name, value, value_bytes);
	else if (level == IPPROTO_IPV6 && sock->family == AF_INET6)
		rc = set_ip6(sock, name, value, value_bytes);
	else if (level == IPPROTO_TCP && sock->type == SOCK_STREAM)
		rc = tcp_setsockopt(sock, name, value, value_bytes);
	else if (level == IPPROTO_UDP && sock->protocol == PROTO_UDP)
		rc = set_udp(sock, name, value, value_bytes);
	else if (level == IPPROTO_UDPLITE && sock->protocol == PROTO_UDPLITE)
		rc = set_udplite(sock, name, value, value_bytes);
	else if (level == OPT_SOL_RAW)
		rc = set_raw(sock, name, value, value_bytes);
	net_leave(sock->net);
	return rc;
}

int net_getsockopt(struct net_sock *sock, int level, int name, void *value, socklen_t *inout_bytes)
{
	if (level == SOL_SOCKET)
		return get_socket(sock, name, value, inout_bytes);
	if (level == IPPROTO_IP)
		return get_ip(sock, name, value, inout_bytes);
	if (level == IPPROTO_IPV6 && sock->family == AF_INET6)
		return get_ip6(sock, name, value, inout_bytes);
	if (level == IPPROTO_TCP && sock->type == SOCK_STREAM)
		return tcp_getsockopt(sock, name, value, inout_bytes);
	if (level == IPPROTO_UDP && sock->protocol == PROTO_UDP && name == UDP_SEGMENT)
		return sockopt_give_int(value, inout_bytes, sock->segment_bytes);
	if (level == IPPROTO_UDPLITE && sock->protocol == PROTO_UDPLITE)
		return get_udplite(sock, name, value, inout_bytes);
	if (level == OPT_SOL_RAW && sock->type == SOCK_RAW && name == OPT_ICMP_FILTER)
		return sockopt_give(value, inout_bytes, &dgram_of(sock)->icmp_filter, 4);
	return -ENOPROTOOPT;
}
