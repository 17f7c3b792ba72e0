/*
 * UDP (RFC 768), and UDP-Lite (RFC 3828): the same with the checksum's coverage instead of the
 * length.
 */
#include "net/dgram.h"

#include <poll.h>

/* ---- which socket ---- */

static int udp_score(const struct dgram_sock *ds, const struct dgram *d, uint16_t dport)
{
	const struct net_sock *s = &ds->s;

	if (s->protocol != d->protocol || s->lport != dport || !sock_device_ok(s, d->local))
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

	for (struct net_sock *s = net->binds[port_bucket(d->protocol, dport)]; s != NULL;
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

/* udplite(7): what the receiver asks of the checksum's coverage. */
static bool coverage_ok(const struct dgram_sock *ds, const struct dgram *d)
{
	if (!ds->recv_coverage_set || !d->partial)
		return true;
	return ds->recv_coverage != 0 && d->coverage >= ds->recv_coverage;
}

static void udp_queue(struct net *net, struct dgram_sock *ds, struct frag_list *data,
		      const struct dgram *d)
{
	if (coverage_ok(ds, d))
		dgram_queue(ds, data, d);
	else
		frag_list_free(&net->pool, data);
}

/* One copy for each socket that listens to the group or broadcast. */
static void udp_deliver_many(struct net *net, const struct frag_list *data, const struct dgram *d,
			     uint16_t dport)
{
	for (struct net_sock *s = net->binds[port_bucket(d->protocol, dport)]; s != NULL;
	     s = s->bind_next) {
		struct frag_list copy = {0};

		if (udp_score(dgram_of(s), d, dport) < 0 || !coverage_ok(dgram_of(s), d))
			continue;
		if (frag_list_share(&net->pool, &copy, data, 0, data->bytes) == 0)
			dgram_queue(dgram_of(s), &copy, d);
		else
			frag_list_free(&net->pool, &copy);
	}
}

/* ---- input ---- */

static bool udp_checksum_ok(const struct net *net, const struct pkt *pkt,
			    const struct ip_info *info, uint16_t checksum, const struct dgram *d,
			    uint32_t bytes)
{
	if (pkt->csum_ok)
		return true;
	/* RFC 768: zero means none; IPv6 (RFC 8200 8.1) and UDP-Lite have no such thing */
	if (checksum == 0)
		return d->protocol == PROTO_UDP && ip_addr_is_v4(&info->dst);
	return csum_fold(csum_pseudo(&info->src, &info->dst, d->protocol, bytes) +
			 frag_list_csum(&net->pool, &pkt->data, 0,
					d->partial ? d->coverage : bytes)) == 0xffff;
}

/* The bytes that the header speaks of; false: it lies. */
static bool udp_length(const struct pkt *pkt, const struct wire_udp *udp, struct dgram *d,
		       uint32_t *ret_bytes)
{
	uint32_t field = be16(udp->bytes);

	if (d->protocol == PROTO_UDPLITE) {
		*ret_bytes = pkt->data.bytes;
		if (field == 0)
			field = pkt->data.bytes;
		d->partial = field < pkt->data.bytes;
		d->coverage = (uint16_t)field;
	} else {
		*ret_bytes = field;
	}
	return field >= UDP_BYTES && field <= pkt->data.bytes;
}

void udp_input(struct net *net, struct pkt *pkt, const struct ip_info *info)
{
	struct dgram d = {.src = info->src,
			  .dst = info->dst,
			  .ttl = info->ttl,
			  .tos = info->tos,
			  .protocol = info->protocol,
			  .local = pkt->loopback};
	struct dgram_sock *ds;
	struct wire_udp udp;
	uint32_t bytes;

	if (pkt->data.bytes < UDP_BYTES) {
		net->stats.rx_malformed++;
		return;
	}
	frag_list_peek(&net->pool, &pkt->data, 0, &udp, UDP_BYTES);
	if (!udp_length(pkt, &udp, &d, &bytes)) {
		net->stats.rx_malformed++;
		return;
	}
	if (!udp_checksum_ok(net, pkt, info, udp.checksum, &d, bytes)) {
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
	udp_queue(net, ds, &pkt->data, &d);
}

void udp_error(struct net *net, const struct icmp_error *error)
{
	/* what we sent from src:sport to dst:dport came back: find the sender */
	const struct dgram d = {.src = error->dst,
				.dst = error->src,
				.sport = error->dport,
				.protocol = error->protocol};
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
		.protocol = ds->s.protocol,
		.type = v4 ? 3 : 1,
		.code = v4 ? 3 : 4,
		.offender = send->dst,
		.quote = quote,
		.quote_bytes = min_u32(send->l4.bytes, sizeof(quote)),
	};

	frag_list_peek(&ds->s.net->pool, &send->l4, 0, quote, error.quote_bytes);
	dgram_error_input(ds, &error, 0);
}

/* How a datagram of ours looks to whoever gets it here. */
static struct dgram udp_dgram_of(const struct dgram_sock *ds, const struct dgram_send *send)
{
	struct dgram d = {.src = send->src,
			  .dst = send->dst,
			  .sport = ds->s.lport,
			  .ttl = send->ttl,
			  .tos = send->tos,
			  .protocol = ds->s.protocol,
			  .local = true};

	d.partial = ds->send_coverage != 0 && ds->send_coverage < send->l4.bytes;
	d.coverage = ds->send_coverage;
	return d;
}

/* To a socket of this instance: no packet is made. */
static int udp_send_local(struct dgram_sock *ds, struct dgram_send *send)
{
	struct net *net = ds->s.net;
	struct dgram d = udp_dgram_of(ds, send);
	struct dgram_sock *to = udp_lookup(net, &d, send->dport);

	if (d.ttl == 0)
		d.ttl = NET_DEFAULT_TTL;
	net->stats.tx_packets++;
	frag_list_pull(&net->pool, &send->l4, UDP_BYTES);
	if (to != NULL)
		udp_queue(net, to, &send->l4, &d);
	else
		udp_refuse_local(ds, send);
	return 0;
}

/* Fills in the header at the list's start, with the checksum or its beginning. */
static void udp_header_fill(struct dgram_sock *ds, struct dgram_send *send, bool offload)
{
	struct net *net = ds->s.net;
	struct wire_udp *udp = (void *)frag_data(&net->pool, send->l4.head);
	uint64_t sum = csum_pseudo(&send->src, &send->dst, ds->s.protocol, send->l4.bytes);
	uint32_t covered = send->l4.bytes;

	udp->sport = ds->s.lport;
	udp->dport = send->dport;
	udp->bytes = be16((uint16_t)send->l4.bytes);
	udp->checksum = 0;
	if (offload) {
		udp->checksum = csum_fold(sum);
		return;
	}
	if (ds->s.protocol == PROTO_UDPLITE) {
		if (ds->send_coverage != 0)
			covered = min_u32(covered, ds->send_coverage);
		udp->bytes = covered == send->l4.bytes ? 0 : be16((uint16_t)covered);
	}
	sum += frag_list_csum(&net->pool, &send->l4, 0, covered);
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
	bool offload = fits && ds->s.protocol == PROTO_UDP && (net->dev.features & ABI_NET_F_CSUM);
	struct ip_out ip = {
		.route = &send->route,
		.src = &send->src,
		.dst = &send->dst,
		.protocol = ds->s.protocol,
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
		struct dgram d = udp_dgram_of(ds, send);

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
