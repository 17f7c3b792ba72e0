/*
 * Raw sockets (raw(7)) and ping sockets (SOCK_DGRAM of ICMP, icmp(7)).
 */
#include "net/dgram.h"

#define ICMP_ECHO_REPLY 0u
#define ICMP_ECHO 8u
#define ICMP6_ECHO 128u
#define ICMP6_ECHO_REPLY 129u

static bool raw_wants(const struct dgram_sock *ds, const struct ip_info *info,
		      const uint8_t *header, bool lo)
{
	const struct net_sock *s = &ds->s;
	uint16_t id;

	if (s->protocol != info->protocol || (s->family == AF_INET) != ip_addr_is_v4(&info->dst))
		return false;
	if (!sock_device_ok(s, lo))
		return false;
	if (!ip_addr_is_any(&s->local) && !ip_addr_equal(&s->local, &info->dst))
		return false;
	if (s->connected && !ip_addr_equal(&s->remote, &info->src))
		return false;
	if (s->type == SOCK_DGRAM) {
		__builtin_memcpy(&id, header + 4, 2);
		return id == s->lport &&
		       header[0] == (s->family == AF_INET ? ICMP_ECHO_REPLY : ICMP6_ECHO_REPLY);
	}
	return s->protocol != PROTO_ICMP || header[0] >= 32 || !(ds->icmp_filter >> header[0] & 1);
}

/* A copy of the packet, since the stack goes on to use and change it. */
static int raw_copy(struct net *net, const struct dgram_sock *ds, const struct pkt *pkt,
		    const struct ip_info *info, struct frag_list *ret_copy)
{
	uint8_t header[IP6_BYTES];
	int rc = 0;

	if (ds->s.type == SOCK_RAW && ds->s.family == AF_INET)
		rc = frag_list_append(&net->pool, ret_copy, 0, header,
				      ip_header_rebuild(info, header));
	for (const struct frag *f = pkt->data.head; f != NULL && rc == 0; f = f->next)
		rc = frag_list_append(&net->pool, ret_copy, 0, frag_data(&net->pool, f), f->bytes);
	return rc;
}

bool raw_input(struct net *net, const struct pkt *pkt, const struct ip_info *info)
{
	struct dgram d = {.src = info->src,
			  .dst = info->dst,
			  .ttl = info->ttl,
			  .tos = info->tos,
			  .local = pkt->loopback};
	uint8_t header[ICMP_BYTES] = {0};
	bool taken = false;

	frag_list_peek(&net->pool, &pkt->data, 0, header, min_u32(pkt->data.bytes, ICMP_BYTES));
	for (struct list *node = net->raws.next; node != &net->raws; node = node->next) {
		struct dgram_sock *ds = container_of(node, struct dgram_sock, raw_link);
		struct frag_list copy = {0};

		if (!raw_wants(ds, info, header, pkt->loopback))
			continue;
		taken = true;
		if (raw_copy(net, ds, pkt, info, &copy) == 0)
			dgram_queue(ds, &copy, &d);
		frag_list_free(&net->pool, &copy);
	}
	return taken;
}

/* An error about a packet that a raw or ping socket sent. */
void raw_error(struct net *net, const struct icmp_error *error)
{
	for (struct list *node = net->raws.next; node != &net->raws; node = node->next) {
		struct dgram_sock *ds = container_of(node, struct dgram_sock, raw_link);
		const struct net_sock *s = &ds->s;

		if (s->protocol != error->protocol ||
		    (s->type == SOCK_DGRAM && s->lport != error->sport) ||
		    (s->connected && !ip_addr_equal(&s->remote, &error->dst)))
			continue;
		dgram_error_input(ds, error, 0);
	}
}

/* Ping sockets send echo requests only; the identifier is the socket's. */
static int ping_header_fill(struct dgram_sock *ds, struct dgram_send *send)
{
	struct net *net = ds->s.net;
	bool v4 = ds->s.family == AF_INET;
	uint8_t *icmp;

	if (send->l4.head == NULL || send->l4.head->bytes < ICMP_BYTES)
		return -EINVAL;
	icmp = frag_data(&net->pool, send->l4.head);
	if (icmp[0] != (v4 ? ICMP_ECHO : ICMP6_ECHO) || icmp[1] != 0)
		return -EINVAL;
	__builtin_memcpy(icmp + 4, &ds->s.lport, 2);
	return 0;
}

static void icmp_checksum_fill(struct net *net, struct dgram_send *send, uint8_t protocol)
{
	uint8_t *icmp = frag_data(&net->pool, send->l4.head);
	uint64_t sum = 0;
	uint16_t checksum;

	store_be16(icmp + 2, 0);
	if (protocol == PROTO_ICMP6)
		sum = csum_pseudo(&send->src, &send->dst, protocol, send->l4.bytes);
	checksum = csum_finish(sum + frag_list_csum(&net->pool, &send->l4, 0, send->l4.bytes));
	__builtin_memcpy(icmp + 2, &checksum, 2);
}

static int raw_send_local(struct net *net, const struct dgram_sock *ds, struct dgram_send *send)
{
	struct pkt pkt = {.csum_ok = true, .loopback = true};
	struct ip_info info = {.src = send->src,
			       .dst = send->dst,
			       .protocol = ds->s.protocol,
			       .ttl = send->ttl != 0 ? send->ttl : NET_DEFAULT_TTL,
			       .tos = send->tos};

	frag_list_join(&pkt.data, &send->l4);
	info.l4_offset = (uint16_t)ip_header_bytes(&send->dst);
	info.total_bytes = pkt.data.bytes + info.l4_offset;
	ip_deliver(net, &pkt, &info);
	frag_list_free(&net->pool, &pkt.data);
	return 0;
}

int raw_transmit(struct dgram_sock *ds, struct dgram_send *send)
{
	struct net *net = ds->s.net;
	struct ip_out ip = {
		.route = &send->route,
		.src = &send->src,
		.dst = &send->dst,
		.protocol = ds->s.protocol,
		.ttl = send->ttl,
		.tos = send->tos,
		.dont_fragment = ds->s.pmtu_discover != IP_PMTUDISC_DONT,
		.must_fit = ds->s.pmtu_discover == IP_PMTUDISC_DO ||
			    ds->s.pmtu_discover == IP_PMTUDISC_PROBE,
		.l4_bytes = send->l4.bytes,
	};
	int rc = ds->s.type == SOCK_DGRAM ? ping_header_fill(ds, send) : 0;

	if (rc != 0)
		return rc;
	if (send->l4.head == NULL)
		return 0;
	if ((ds->s.type == SOCK_DGRAM || ds->s.protocol == PROTO_ICMP6) &&
	    send->l4.head->bytes >= 4)
		icmp_checksum_fill(net, send, ds->s.protocol);
	if (send->route.local)
		return raw_send_local(net, ds, send);
	return ip_send_list(net, &ip, &send->l4);
}
