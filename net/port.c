/*
 * Ports, and the hashes by which sockets are found.
 */
#include "net/env.h"
#include "net/tcp.h"

/* ---- hashes ---- */

static uint64_t mix(uint64_t a, uint64_t b)
{
	__extension__ unsigned __int128 product = (unsigned __int128)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

uint64_t net_hash(const struct net *net, const union ip_addr *a, const union ip_addr *b,
		  uint32_t ports)
{
	uint64_t hash = mix(a->halves[1] ^ net->secret[0], b->halves[1] ^ net->secret[1]);

	if ((a->halves[0] | b->halves[0]) != 0)
		hash ^= mix(a->halves[0] ^ net->secret[2], b->halves[0] ^ net->secret[3]);
	return mix(hash ^ net->secret[2], ports ^ net->secret[3]);
}

static inline uint64_t rotl(uint64_t v, unsigned int by)
{
	return v << by | v >> (64 - by);
}

static void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rotl(v[1], 13) ^ v[0];
	v[0] = rotl(v[0], 32);
	v[2] += v[3];
	v[3] = rotl(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotl(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotl(v[1], 17) ^ v[2];
	v[2] = rotl(v[2], 32);
}

uint64_t net_hash_strong(const struct net *net, const union ip_addr *a, const union ip_addr *b,
			 uint32_t ports)
{
	const uint64_t words[6] = {a->halves[0], a->halves[1], b->halves[0],
				   b->halves[1], ports,        40ull << 56};
	uint64_t v[4] = {
		net->secret[0] ^ 0x736f6d6570736575ull,
		net->secret[1] ^ 0x646f72616e646f6dull,
		net->secret[0] ^ 0x6c7967656e657261ull,
		net->secret[1] ^ 0x7465646279746573ull,
	};

	for (unsigned int i = 0; i < ARRAY_COUNT(words); i++) {
		v[3] ^= words[i];
		sip_round(v);
		sip_round(v);
		v[0] ^= words[i];
	}
	v[2] ^= 0xff;
	for (unsigned int i = 0; i < 4; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* ---- the table of bound sockets ---- */

uint32_t port_bucket(uint8_t protocol, uint16_t port_be)
{
	return (be16(port_be) ^ (protocol * 0x9du)) % NET_BIND_BUCKETS;
}

bool sock_takes(const struct net_sock *sock, const union ip_addr *dst)
{
	if (ip_addr_is_any6(&sock->local))
		return !ip_addr_is_v4(dst) || (!sock->v6only && sock->family == AF_INET6);
	if (ip_addr_is_any(&sock->local))
		return ip_addr_is_v4(dst);
	return ip_addr_equal(&sock->local, dst);
}

static bool addresses_overlap(const struct net_sock *bound, const struct net_sock *sock,
			      const union ip_addr *addr)
{
	bool bound_any = ip_addr_is_any(&bound->local);
	bool any = ip_addr_is_any(addr);
	bool bound_v4 = ip_addr_is_v4(&bound->local);
	bool v4 = ip_addr_is_v4(addr);

	if (!bound_any && !any)
		return ip_addr_equal(&bound->local, addr);
	if (bound_v4 == v4)
		return true;
	/* one is of IPv6: it concerns IPv4 if it is the wildcard of a dual-stack socket */
	if (!v4)
		return any && !sock->v6only;
	return bound_any && !bound->v6only;
}

static bool port_conflict(const struct net_sock *sock, const union ip_addr *addr, uint16_t port)
{
	const struct net *net = sock->net;

	for (const struct net_sock *s = net->binds[port_bucket(sock->protocol, port)]; s != NULL;
	     s = s->bind_next) {
		if (s == sock || s->protocol != sock->protocol || s->lport != port ||
		    !addresses_overlap(s, sock, addr))
			continue;
		if (s->reuse_port && sock->reuse_port)
			continue;
		if (s->reuse_addr && sock->reuse_addr &&
		    !(s->type == SOCK_STREAM && tcp_of(s)->state == TCP_LISTEN))
			continue;
		return true;
	}
	return false;
}

bool port_taken(const struct net *net, uint8_t protocol, uint16_t port_be)
{
	for (const struct net_sock *s = net->binds[port_bucket(protocol, port_be)]; s != NULL;
	     s = s->bind_next)
		if (s->protocol == protocol && s->lport == port_be)
			return true;
	return false;
}

bool port_listen_conflict(const struct net_sock *sock)
{
	const struct net *net = sock->net;

	for (const struct net_sock *s = net->binds[port_bucket(PROTO_TCP, sock->lport)]; s != NULL;
	     s = s->bind_next)
		if (s != sock && s->protocol == PROTO_TCP && s->lport == sock->lport &&
		    tcp_of(s)->state == TCP_LISTEN && addresses_overlap(s, sock, &sock->local) &&
		    !(s->reuse_port && sock->reuse_port))
			return true;
	return false;
}

static int port_pick(const struct net_sock *sock, const union ip_addr *addr, uint16_t *ret_port)
{
	uint32_t count = NET_EPHEMERAL_HIGH - NET_EPHEMERAL_LOW + 1;
	uint32_t start;

	net_env_random(&start, sizeof(start));
	for (uint32_t i = 0; i < count; i++) {
		uint16_t port = be16((uint16_t)(NET_EPHEMERAL_LOW + (start + i) % count));

		if (!port_taken(sock->net, sock->protocol, port) &&
		    !port_conflict(sock, addr, port)) {
			*ret_port = port;
			return 0;
		}
	}
	return -EADDRINUSE;
}

int port_bind(struct net_sock *sock, const union ip_addr *addr, uint16_t port_be)
{
	struct net_sock **bucket;

	if (port_be != 0) {
		if (port_conflict(sock, addr, port_be))
			return -EADDRINUSE;
	} else {
		int rc = port_pick(sock, addr, &port_be);

		if (rc != 0)
			return rc;
	}
	sock->local = *addr;
	sock->lport = port_be;
	bucket = &sock->net->binds[port_bucket(sock->protocol, port_be)];
	sock->bind_next = *bucket;
	*bucket = sock;
	sock->bound = true;
	return 0;
}

void port_unbind(struct net_sock *sock)
{
	struct net_sock **at;

	if (!sock->bound) {
		sock->lport = 0;
		return;
	}
	at = &sock->net->binds[port_bucket(sock->protocol, sock->lport)];
	while (*at != sock)
		at = &(*at)->bind_next;
	*at = sock->bind_next;
	sock->bound = false;
}
