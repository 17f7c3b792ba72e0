/*
 * ICMP and ICMPv6: echo, errors in both directions, neighbour discovery's messages.
 */
#include "net/stack.h"

#define ICMP_ECHO_REPLY 0u
#define ICMP_UNREACHABLE 3u
#define ICMP_ECHO 8u
#define ICMP_TIME_EXCEEDED 11u
#define ICMP_PARAMETER 12u

#define ICMP6_UNREACHABLE 1u
#define ICMP6_TOO_BIG 2u
#define ICMP6_TIME_EXCEEDED 3u
#define ICMP6_PARAMETER 4u
#define ICMP6_ECHO 128u
#define ICMP6_ECHO_REPLY 129u
#define ICMP6_NS 135u
#define ICMP6_NA 136u
#define ND_BYTES 32u /* NS or NA with one link-layer option */
#define ND_SOLICITED 0x40000000u
#define ND_OVERRIDE 0x20000000u

#define ICMP_QUOTE_BYTES 512u
#define ICMP_ERROR_INTERVAL_NS NSEC_PER_MSEC
#define ICMP_ERROR_BURST_NS (50 * NSEC_PER_MSEC)

/* RFC 1812 4.3.2.8, RFC 4443 2.4(f): errors are sent at a bounded rate. */
static bool icmp_error_allowed(struct net *net)
{
	if (net->icmp_tokens_ns + ICMP_ERROR_BURST_NS < net->now_ns)
		net->icmp_tokens_ns = net->now_ns - ICMP_ERROR_BURST_NS;
	if (net->icmp_tokens_ns + ICMP_ERROR_INTERVAL_NS > net->now_ns)
		return false;
	net->icmp_tokens_ns += ICMP_ERROR_INTERVAL_NS;
	return true;
}

/* Completes the checksum of an ICMP message in a list (checksum field at offset 2) and sends it. */
static void icmp_send(struct net *net, const union ip_addr *src, const union ip_addr *dst,
		      struct frag_list *l4, uint8_t ttl)
{
	bool v4 = ip_addr_is_v4(dst);
	uint8_t *icmp = frag_data(&net->pool, l4->head);
	struct route route;
	struct ip_out ip = {
		.route = &route,
		.src = src,
		.dst = dst,
		.protocol = v4 ? PROTO_ICMP : PROTO_ICMP6,
		.ttl = ttl,
		.l4_bytes = l4->bytes,
	};
	uint64_t sum = v4 ? 0 : csum_pseudo(src, dst, PROTO_ICMP6, l4->bytes);

	if (ip_route(net, dst, &route) != 0)
		return;
	store_be16(icmp + 2, 0);
	sum = csum_finish(sum + frag_list_csum(&net->pool, l4, 0, l4->bytes));
	__builtin_memcpy(icmp + 2, &sum, 2);
	if (route.local) {
		struct pkt pkt = {.csum_ok = true, .loopback = true};
		struct ip_info info = {.src = *src,
				       .dst = *dst,
				       .protocol = ip.protocol,
				       .ttl = NET_DEFAULT_TTL};

		frag_list_join(&pkt.data, l4);
		info.l4_offset = (uint16_t)ip_header_bytes(dst);
		info.total_bytes = pkt.data.bytes + info.l4_offset;
		ip_deliver(net, &pkt, &info);
		frag_list_free(&net->pool, &pkt.data);
		return;
	}
	ip_send_list(net, &ip, l4);
}

void icmp_send_error(struct net *net, const struct ip_info *info, const struct pkt *pkt,
		     uint8_t type, uint8_t code, uint32_t rest)
{
	uint8_t bytes[ICMP_BYTES + IP6_BYTES + ICMP_QUOTE_BYTES];
	uint32_t quoted = min_u32(pkt->data.bytes, ICMP_QUOTE_BYTES);
	struct frag_list l4 = {0};
	uint32_t at = ICMP_BYTES;

	/* RFC 1122 3.2.2: never about what went to many or came from nobody */
	if (pkt->broadcast || ip_addr_is_multicast(&info->dst) || ip_addr_is_any(&info->src) ||
	    ip_is_broadcast(net, &info->dst) || !icmp_error_allowed(net))
		return;
	bytes[0] = type;
	bytes[1] = code;
	store_be16(bytes + 2, 0);
	store_be32(bytes + 4, rest);
	at += ip_header_rebuild(info, bytes + at);
	frag_list_peek(&net->pool, &pkt->data, 0, bytes + at, quoted);
	if (frag_list_append(&net->pool, &l4, 0, bytes, at + quoted) == 0)
		icmp_send(net, &info->dst, &info->src, &l4, 0);
	frag_list_free(&net->pool, &l4);
}

/* ---- errors that come in ---- */

static void icmp_error_dispatch(struct net *net, const struct wire_quote *quote,
				const struct ip_info *info, struct icmp_error *error)
{
	error->offender = info->src;
	error->quote = quote->l4;
	error->quote_bytes = quote->l4_bytes;
	error->src = quote->src;
	error->dst = quote->dst;
	error->sport = quote->sport;
	error->dport = quote->dport;
	error->seq = quote->seq;
	error->protocol = quote->protocol;
	if (!ip_is_local(net, &quote->src))
		return;
	if (quote->protocol == PROTO_TCP)
		tcp_error(net, error);
	else if (quote->protocol == PROTO_UDP || quote->protocol == PROTO_UDPLITE)
		udp_error(net, error);
	else if (!list_empty(&net->raws))
		raw_error(net, error);
}

static void icmp_error_input(struct net *net, const uint8_t *data, size_t bytes,
			     const struct ip_info *info)
{
	/* by code of "unreachable"; Linux's icmp_err_convert */
	static const struct {
		uint8_t error;
		bool hard;
	} unreachable[] = {
		{ENETUNREACH, false},  {EHOSTUNREACH, false}, {ENOPROTOOPT, true},
		{ECONNREFUSED, true},  {EMSGSIZE, false},     {EOPNOTSUPP, false},
		{ENETUNREACH, true},   {EHOSTDOWN, true},     {ENONET, true},
		{ENETUNREACH, true},   {EHOSTUNREACH, true},  {ENETUNREACH, false},
		{EHOSTUNREACH, false}, {EHOSTUNREACH, true},  {EHOSTUNREACH, true},
		{EHOSTUNREACH, true},
	};
	struct icmp_error error = {.type = data[0], .code = data[1]};
	struct wire_quote quote;

	if (wire_quote4_parse(data + ICMP_BYTES, bytes - ICMP_BYTES, &quote) != 0)
		return;
	switch (error.type) {
	case ICMP_UNREACHABLE:
		if (error.code >= ARRAY_COUNT(unreachable))
			return;
		error.error = unreachable[error.code].error;
		error.hard = unreachable[error.code].hard;
		if (error.code == 4)
			error.mtu = load_be16(data + 6);
		break;
	case ICMP_TIME_EXCEEDED:
		error.error = EHOSTUNREACH;
		break;
	case ICMP_PARAMETER:
		error.error = EPROTO;
		error.hard = true;
		break;
	default:
		return;
	}
	icmp_error_dispatch(net, &quote, info, &error);
}

static void icmp_echo_answer(struct net *net, struct pkt *pkt, const struct ip_info *info,
			     uint8_t reply)
{
	if (pkt->broadcast || ip_addr_is_multicast(&info->dst))
		return;
	frag_data(&net->pool, pkt->data.head)[0] = reply;
	icmp_send(net, &info->dst, &info->src, &pkt->data, 0);
}

void icmp_input(struct net *net, struct pkt *pkt, const struct ip_info *info)
{
	const struct frag *head = pkt->data.head;
	const uint8_t *data;

	if (head == NULL || head->bytes < ICMP_BYTES) {
		net->stats.rx_malformed++;
		return;
	}
	if (!pkt->csum_ok &&
	    csum_fold(frag_list_csum(&net->pool, &pkt->data, 0, pkt->data.bytes)) != 0xffff) {
		net->stats.rx_checksum++;
		return;
	}
	data = frag_data(&net->pool, head);
	if (data[0] == ICMP_ECHO && data[1] == 0)
		icmp_echo_answer(net, pkt, info, ICMP_ECHO_REPLY);
	else
		icmp_error_input(net, data, head->bytes, info);
}

/* ---- ICMPv6 ---- */

static void nd_send(struct net *net, const union ip_addr *src, const union ip_addr *dst,
		    uint8_t type, uint32_t flags, const union ip_addr *target)
{
	uint8_t bytes[ND_BYTES] = {type};
	struct frag_list l4 = {0};
	bool solicit = type == ICMP6_NS;

	store_be32(bytes + 4, flags);
	__builtin_memcpy(bytes + 8, target->bytes, 16);
	bytes[24] = solicit ? 1 : 2; /* source or target link-layer address */
	bytes[25] = 1;
	__builtin_memcpy(bytes + 26, net->mac, 6);
	if (frag_list_append(&net->pool, &l4, 0, bytes, sizeof(bytes)) == 0)
		icmp_send(net, src, dst, &l4, 255);
	frag_list_free(&net->pool, &l4);
}

void icmp6_send_ns(struct net *net, const union ip_addr *target, const uint8_t *mac)
{
	union ip_addr group = {.bytes = {0xff, 2, [11] = 1, [12] = 0xff}};

	__builtin_memcpy(group.bytes + 13, target->bytes + 13, 3);
	/* RFC 4861 7.3.3: a neighbour whose MAC is known is asked alone */
	nd_send(net, ip_source(net, target), mac != NULL ? target : &group, ICMP6_NS, 0, target);
}

/* The link-layer address in option `type` of a neighbour message, or NULL. */
static const uint8_t *nd_option(const uint8_t *data, size_t bytes, uint8_t type)
{
	size_t at = 24;

	while (at + 8 <= bytes) {
		size_t length = data[at + 1] * 8u;

		if (length == 0 || length > bytes - at)
			return NULL;
		if (data[at] == type)
			return data + at + 2;
		at += length;
	}
	return NULL;
}

/* Somebody asks for our address; from :: it is somebody who wants it (RFC 4862 5.4.3). */
static void nd_solicited(struct net *net, const uint8_t *mac, const union ip_addr *target,
			 const struct ip_info *info)
{
	const union ip_addr all_nodes = {.bytes = {0xff, 2, [15] = 1}};

	if (ip_addr_is_any6(&info->src)) {
		if (mac == NULL && ip_addr_is_multicast(&info->dst))
			nd_send(net, target, &all_nodes, ICMP6_NA, ND_OVERRIDE, target);
		return;
	}
	if (mac != NULL)
		neigh_learn(net, &info->src, mac, true);
	nd_send(net, target, &info->src, ICMP6_NA, ND_SOLICITED | ND_OVERRIDE, target);
}

/* RFC 4861 7.2.3 - 7.2.5. */
static void nd_input(struct net *net, const uint8_t *data, size_t bytes, const struct ip_info *info)
{
	union ip_addr target;
	const uint8_t *mac;

	if (bytes < 24 || info->ttl != 255 || data[1] != 0)
		return;
	target = ip_addr_v6(data + 8);
	if (ip_addr_is_multicast(&target) || ip_addr_is_any6(&target))
		return;
	if (data[0] == ICMP6_NS && ip_is_local(net, &target)) {
		nd_solicited(net, nd_option(data, bytes, 1), &target, info);
	} else if (data[0] == ICMP6_NA) {
		mac = nd_option(data, bytes, 2);
		/* 7.1.2: an answer to many is none to a question */
		if (ip_addr_is_multicast(&info->dst) && (data[4] & NEIGH_FLAG_SOLICITED))
			return;
		if (ip_is_local(net, &target))
			net->stats.addr_conflicts++; /* who hands out addresses has erred */
		else
			neigh_advertised(net, &target, mac, data[4]);
	}
}

static void icmp6_error_input(struct net *net, const uint8_t *data, size_t bytes,
			      const struct ip_info *info)
{
	static const uint8_t unreachable[] = {ENETUNREACH,  EACCES, EHOSTUNREACH, EHOSTUNREACH,
					      ECONNREFUSED, EACCES, EACCES};
	struct icmp_error error = {.type = data[0], .code = data[1]};
	struct wire_quote quote;

	if (wire_quote6_parse(data + ICMP_BYTES, bytes - ICMP_BYTES, &quote) != 0)
		return;
	switch (error.type) {
	case ICMP6_UNREACHABLE:
		if (error.code >= ARRAY_COUNT(unreachable))
			return;
		error.error = unreachable[error.code];
		error.hard = error.code == 1 || error.code >= 4;
		break;
	case ICMP6_TOO_BIG:
		error.error = EMSGSIZE;
		error.mtu = load_be32(data + 4);
		break;
	case ICMP6_PARAMETER:
		error.error = EPROTO;
		error.hard = true;
		break;
	default:
		error.error = EHOSTUNREACH;
		break;
	}
	icmp_error_dispatch(net, &quote, info, &error);
}

void icmp6_input(struct net *net, struct pkt *pkt, const struct ip_info *info)
{
	const struct frag *head = pkt->data.head;
	const uint8_t *data;
	uint64_t sum;

	if (head == NULL || head->bytes < ICMP_BYTES) {
		net->stats.rx_malformed++;
		return;
	}
	sum = csum_pseudo(&info->src, &info->dst, PROTO_ICMP6, pkt->data.bytes) +
	      frag_list_csum(&net->pool, &pkt->data, 0, pkt->data.bytes);
	if (!pkt->csum_ok && csum_fold(sum) != 0xffff) {
		net->stats.rx_checksum++;
		return;
	}
	data = frag_data(&net->pool, head);
	if (data[0] == ICMP6_ECHO && data[1] == 0)
		icmp_echo_answer(net, pkt, info, ICMP6_ECHO_REPLY);
	else if (data[0] == ICMP6_NS || data[0] == ICMP6_NA)
		nd_input(net, data, head->bytes, info);
	else if (data[0] < 128)
		icmp6_error_input(net, data, head->bytes, info);
}
