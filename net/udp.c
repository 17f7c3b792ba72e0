/*
 * UDP (RFC 768).
 */
#include "net/dgram.h"

#include <poll.h>

/* ---- which socket ---- */

static int udp_score(const struct dgram_sock *ds, const struct dgram *d, uint16_t dport)
{
	const struct net_sock *s = &ds->s;

	if (s->protocol != PROTO_UDP || s->lport != dport || !sock_device_ok(s, d->local))
		return -1;
	if (ip_addr_is_multicast(&d->dst)) {
		if (!dgram_joined(ds, &d->dst))
			return -1;
	} else if (!sock_takes(s, &d->dst) && !ip_is_broadcast(s->net, &d->dst)) {
		return -1;
	}
	if (!s->connected)
		return ip_addr_is_any(&s->local) ? ip_addr_is_v4(&s->local) : 2;
	if (s->rport != d->sport || !ip_addr_equal(&s->remote, &d->src))
		return -1;
	return 4;
}

static struct dgram_sock *udp_lookup(const struct net *net, const struct dgram *d, uint16_t dport)
{
	struct dgram_sock *best = NULL;
	int best_score = -1;
	uint32_t same = 0;

	for (struct net_sock *s = net->binds[port_bucket(PROTO_UDP, dport)]; s != NULL;
	     s = s->bind_next) {
		int score = udp_score(dgram_of(s), d, dport);

		if (score < 0 || score < best_score)
			continue;
		if (score > best_score)
			same = 0;
		same++;
		best_score = score;
		/* SO_REUSEPORT spreads flows evenly over equals */
		if (same == 1 ||
		    net_hash(net, &d->src, &d->dst, (uint32_t)d->sport << 16 | same) % same == 0)
			best = dgram_of(s);
	}
	return best;
}

/* One copy for each socket that listens to the group or broadcast. */
static void udp_deliver_many(struct net *net, const struct frag_list *data, const struct dgram *d,
			     uint16_t dport)
{
	for (struct net_sock *s = net->binds[port_bucket(PROTO_UDP, dport)]; s != NULL;
	     s = s->bind_next) {
		struct frag_list copy = {0};

		if (udp_score(dgram_of(s), d, dport) < 0)
			continue;
		if (frag_list_share(&net->pool, &copy, data, 0, data->bytes) == 0)
			dgram_queue(dgram_of(s), &copy, d);
		else
			frag_list_free(&net->pool, &copy);
	}
}

/* ---- input ---- */

static bool udp_checksum_ok(const struct net *net, const struct pkt *pkt,
			    const struct ip_info *info, uint16_t checksum, uint32_t bytes)
{
	/* RFC 768: zero means none; IPv6 has no such thing (RFC 8200 8.1) */
	if (pkt->csum_ok || (checksum == 0 && ip_addr_is_v4(&info->dst)))
		return true;
	return checksum != 0 &&
	       csum_fold(csum_pseudo(&info->src, &info->dst, PROTO_UDP, bytes) +
			 frag_list_csum(&net->pool, &pkt->data, 0, bytes)) == 0xffff;
}

void udp_input(struct net *net, struct pkt *pkt, const struct ip_info *info)
{
	struct dgram d = {.src = info->src,
			  .dst = info->dst,
			  .ttl = info->ttl,
			  .tos = info->tos,
			  .local = pkt->loopback};
	struct dgram_sock *ds;
	struct wire_udp udp;
	uint32_t bytes;

	if (pkt->data.bytes < UDP_BYTES) {
		net->stats.rx_malformed++;
		return;
	}
	frag_list_peek(&net->pool, &pkt->data, 0, &udp, UDP_BYTES);
	bytes = be16(udp.bytes);
	if (bytes < UDP_BYTES || bytes > pkt->data.bytes) {
		net->stats.rx_malformed++;
		return;
	}
	if (!udp_checksum_ok(net, pkt, info, udp.checksum, bytes)) {
		net->stats.rx_checksum++;
		return;
	}
	d.sport = udp.sport;
	if (ip_addr_is_multicast(&d.dst) || ip_is_broadcast(net, &d.dst)) {
		frag_list_trim(&net->pool, &pkt->data, bytes);
		frag_list_pull(&net->pool, &pkt->data, UDP_BYTES);
		udp_deliver_many(net, &pkt->data, &d, udp.dport);
		return;
	}
	ds = udp_lookup(net, &d, udp.dport);
	if (ds == NULL) {
		bool v4 = ip_addr_is_v4(&d.dst);

		net->stats.rx_no_socket++;
		icmp_send_error(net, info, pkt, v4 ? 3 : 1, v4 ? 3 : 4, 0);
		return;
	}
	frag_list_trim(&net->pool, &pkt->data, bytes);
	frag_list_pull(&net->pool, &pkt->data, UDP_BYTES);
	dgram_queue(ds, &pkt->data, &d);
}

void udp_error(struct net *net, const struct icmp_error *error)
{
	/* what we sent from src:sport to dst:dport came back: find the sender */
	const struct dgram d = {.src = error->dst, .dst = error->src, .sport = error->dport};
	struct dgram_sock *ds = udp_lookup(net, &d, error->sport);

	if (ds != NULL)
		dgram_error_input(ds, error, UDP_BYTES);
}

/* ---- output ---- */

/* Nobody listens there: what ICMP would say. */
static void udp_refuse_local(struct dgram_sock *ds, const struct dgram_send *send)
{
	bool v4 = ip_addr_is_v4(&send->dst);
	uint8_t quote[DGRAM_ERROR_BYTES];
	struct icmp_error error = {
		.src = send->src,
		.dst = send->dst,
		.sport = ds->s.lport,
		.dport = send->dport,
		.error = ECONNREFUSED,
		.hard = true,
		.protocol = PROTO_UDP,
		.type = v4 ? 3 : 1,
		.code = v4 ? 3 : 4,
		.offender = send->dst,
		.quote = quote,
		.quote_bytes = min_u32(send->l4.bytes, sizeof(quote)),
	};

	frag_list_peek(&ds->s.net->pool, &send->l4, 0, quote, error.quote_bytes);
	dgram_error_input(ds, &error, 0);
}

/* To a socket of this instance: no packet is made. */
static int udp_send_local(struct dgram_sock *ds, struct dgram_send *send)
{
	struct net *net = ds->s.net;
	struct dgram d = {.src = send->src,
			  .dst = send->dst,
			  .sport = ds->s.lport,
			  .ttl = send->ttl != 0 ? send->ttl : NET_DEFAULT_TTL,
			  .tos = send->tos,
			  .local = true};
	struct dgram_sock *to = udp_lookup(net, &d, send->dport);

	net->stats.tx_packets++;
	frag_list_pull(&net->pool, &send->l4, UDP_BYTES);
	if (to != NULL)
		dgram_queue(to, &send->l4, &d);
	else
		udp_refuse_local(ds, send);
	return 0;
}

/* Fills in the header at the list's start, with the checksum or its beginning. */
static void udp_header_fill(struct dgram_sock *ds, struct dgram_send *send, bool offload)
{
	struct net *net = ds->s.net;
	struct wire_udp *udp = (void *)frag_data(&net->pool, send->l4.head);
	uint64_t sum = csum_pseudo(&send->src, &send->dst, PROTO_UDP, send->l4.bytes);

	udp->sport = ds->s.lport;
	udp->dport = send->dport;
	udp->bytes = be16((uint16_t)send->l4.bytes);
	udp->checksum = 0;
	if (offload) {
		udp->checksum = csum_fold(sum);
		return;
	}
	sum += frag_list_csum(&net->pool, &send->l4, 0, send->l4.bytes);
	udp->checksum = csum_finish(sum);
	if (udp->checksum == 0)
		udp->checksum = 0xffff;
}

static int udp_transmit_one(struct dgram_sock *ds, struct dgram_send *send)
{
	struct net *net = ds->s.net;
	bool many = ip_addr_is_multicast(&send->dst);
	uint8_t discover = ds->s.pmtu_discover;
	bool fits = send->l4.bytes + ip_header_bytes(&send->dst) <= send->route.mtu;
	bool offload = fits && (net->dev.features & ABI_NET_F_CSUM);
	struct ip_out ip = {
		.route = &send->route,
		.src = &send->src,
		.dst = &send->dst,
		.protocol = PROTO_UDP,
		.ttl = send->ttl,
		.tos = send->tos,
		.dont_fragment = discover != IP_PMTUDISC_DONT,
		.must_fit = discover == IP_PMTUDISC_DO || discover == IP_PMTUDISC_PROBE,
		.l4_bytes = send->l4.bytes,
		.csum_offset = offload ? offsetof(struct wire_udp, checksum) : 0,
	};
	int rc;

	if (send->route.local)
		return udp_send_local(ds, send);
	udp_header_fill(ds, send, offload);
	rc = ip_send_list(net, &ip, &send->l4);
	if (rc == 0 && many && ds->s.mcast_loop) {
		struct dgram d = {.src = send->src,
				  .dst = send->dst,
				  .sport = ds->s.lport,
				  .ttl = send->ttl,
				  .tos = send->tos,
				  .local = true};

		frag_list_pull(&net->pool, &send->l4, UDP_BYTES);
		udp_deliver_many(net, &send->l4, &d, send->dport);
	}
	return rc;
}

/* UDP_SEGMENT (udp(7)): one call, datagrams of that size each; the last may be shorter. */
int udp_transmit(struct dgram_sock *ds, struct dgram_send *send)
{
	static const uint8_t header[UDP_BYTES];
	struct net *net = ds->s.net;
	uint32_t bytes = send->l4.bytes - UDP_BYTES;
	uint32_t step = send->segment_bytes;
	int rc = 0;

	if (step == 0 || bytes <= step)
		return udp_transmit_one(ds, send);
	if (step + UDP_BYTES + ip_header_bytes(&send->dst) > send->route.mtu ||
	    bytes > step * UDP_SEGMENTS_MAX)
		return -EINVAL;
	for (uint32_t at = 0; at < bytes && rc == 0; at += step) {
		struct dgram_send one = *send;

		frag_list_init(&one.l4);
		rc = frag_list_append(&net->pool, &one.l4, 0, header, UDP_BYTES);
		if (rc == 0)
			rc = frag_list_share(&net->pool, &one.l4, &send->l4, UDP_BYTES + at,
					     min_u32(step, bytes - at));
		if (rc == 0)
			rc = udp_transmit_one(ds, &one);
		frag_list_free(&net->pool, &one.l4);
		/* what was sent is sent */
		if (rc != 0 && at != 0)
			return 0;
	}
	return rc;
}
