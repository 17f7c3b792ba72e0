/*
 * Reassembly of IP fragments: few datagrams at a time, each bounded in size, pieces and time, so
 * that fragments that never complete cost a fixed amount. Overlaps end the datagram (RFC 5722; the
 * same for IPv4, where nothing honest overlaps either).
 */
#include "net/stack.h"

#define REASSEMBLY_NS (30 * NSEC_PER_SEC)
#define REASSEMBLY_MAX_BYTES 65535u
#define REASSEMBLY_MAX_FRAGS 128u

static void reassembly_drop(struct net *net, struct reassembly *r)
{
	frag_list_free(&net->pool, &r->frags);
	r->busy = false;
}

/* RFC 792, RFC 4443 3.3: told if the first fragment has come, which the error quotes. */
static void reassembly_expire(struct net *net, struct reassembly *r)
{
	bool v4 = ip_addr_is_v4(&r->key.dst);
	struct frag *first = r->frags.head;

	if (first != NULL && first->seq == 0) {
		struct pkt pkt = {.data = r->frags};

		icmp_send_error(net, &r->key, &pkt, v4 ? 11 : 3, 1, 0);
	}
	reassembly_drop(net, r);
}

static void reassembly_timer_fire(struct net *net, struct net_timer *timer)
{
	uint64_t next = UINT64_MAX;

	for (unsigned int i = 0; i < NET_REASSEMBLIES; i++) {
		struct reassembly *r = &net->reassemblies[i];

		if (!r->busy)
			continue;
		if (r->deadline_ns <= net->now_ns)
			reassembly_expire(net, r);
		else
			next = min_u64(next, r->deadline_ns);
	}
	if (next != UINT64_MAX)
		net_timer_arm(&net->wheel, timer, next);
}

void reassembly_init(struct net *net)
{
	net_timer_init(&net->reassembly_timer, reassembly_timer_fire);
}

void reassembly_finish(struct net *net)
{
	for (unsigned int i = 0; i < NET_REASSEMBLIES; i++)
		reassembly_drop(net, &net->reassemblies[i]);
}

static bool reassembly_same(const struct ip_info *a, const struct ip_info *b)
{
	return a->frag_id == b->frag_id && a->protocol == b->protocol &&
	       ip_addr_equal(&a->src, &b->src) && ip_addr_equal(&a->dst, &b->dst);
}

/* The datagram's place; a new one takes a free place or the oldest. */
static struct reassembly *reassembly_get(struct net *net, const struct ip_info *info)
{
	struct reassembly *pick = &net->reassemblies[0];

	for (unsigned int i = 0; i < NET_REASSEMBLIES; i++) {
		struct reassembly *r = &net->reassemblies[i];

		if (r->busy && reassembly_same(&r->key, info))
			return r;
		if (!r->busy)
			pick = r;
		else if (pick->busy && r->deadline_ns < pick->deadline_ns)
			pick = r;
	}
	reassembly_drop(net, pick);
	*pick = (struct reassembly){.busy = true, .key = *info};
	pick->deadline_ns = net->now_ns + REASSEMBLY_NS;
	if (!net_timer_armed(&net->reassembly_timer))
		net_timer_arm(&net->wheel, &net->reassembly_timer, pick->deadline_ns);
	return pick;
}

/* Puts the fragment's frags in their place. False when they overlap others. */
static bool reassembly_insert(struct reassembly *r, struct pkt *pkt, uint32_t offset)
{
	uint32_t end = offset + pkt->data.bytes;
	struct frag *before = NULL;
	struct frag *after = r->frags.head;

	while (after != NULL && after->seq < offset) {
		before = after;
		after = after->next;
	}
	if ((before != NULL && before->seq + before->bytes > offset) ||
	    (after != NULL && after->seq < end))
		return false;
	for (struct frag *f = pkt->data.head; f != NULL; f = f->next) {
		f->seq = offset;
		offset += f->bytes;
	}
	pkt->data.tail->next = after;
	if (after == NULL)
		r->frags.tail = pkt->data.tail;
	if (before != NULL)
		before->next = pkt->data.head;
	else
		r->frags.head = pkt->data.head;
	r->frags.bytes += pkt->data.bytes;
	frag_list_init(&pkt->data);
	return true;
}

bool reassembly_add(struct net *net, struct pkt *pkt, struct ip_info *info)
{
	uint32_t end = info->frag_offset + pkt->data.bytes;
	struct reassembly *r;

	if (pkt->data.bytes == 0 || end > REASSEMBLY_MAX_BYTES ||
	    (info->more_fragments && pkt->data.bytes % 8 != 0)) {
		net->stats.rx_malformed++;
		return false;
	}
	if (info->frag_offset == 0 && !info->more_fragments)
		return true; /* an atomic fragment (RFC 6946) */
	r = reassembly_get(net, info);
	if ((r->total_bytes != 0 && end > r->total_bytes) ||
	    (!info->more_fragments && r->frags.tail != NULL &&
	     r->frags.tail->seq + r->frags.tail->bytes > end) ||
	    ++r->count > REASSEMBLY_MAX_FRAGS || !reassembly_insert(r, pkt, info->frag_offset)) {
		reassembly_drop(net, r);
		net->stats.rx_malformed++;
		return false;
	}
	if (!info->more_fragments)
		r->total_bytes = end;
	if (r->total_bytes == 0 || r->frags.bytes != r->total_bytes)
		return false;
	pkt->data = r->frags;
	/* the pieces were summed one by one at most: the whole has to be checked */
	pkt->csum_ok = false;
	frag_list_init(&r->frags);
	r->busy = false;
	info->fragment = false;
	info->frag_offset = 0;
	return true;
}
