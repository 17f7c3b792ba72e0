/*
 * A stateful security group: the rules of secgroup judge who may begin; a connection that began is
 * remembered, and its packets pass in both directions while it lives, ICMP errors about it too.
 *
 * A TCP connection begins with a SYN. How long one lives without a packet follows RFC 5382 (TCP),
 * RFC 4787 (UDP) and RFC 5508 (ICMP). The table is an LRU hash: when it is full, the connection
 * that was quiet for long goes first.
 */
#include "antispoof.h"
#include "rules.h"

#define SECOND_NS 1000000000ULL
#define TCP_OPENING_NS (240 * SECOND_NS)
#define TCP_OPEN_NS (7440 * SECOND_NS)
#define TCP_CLOSED_NS (10 * SECOND_NS)
#define UDP_NS (300 * SECOND_NS)
#define OTHER_NS (60 * SECOND_NS)

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10

#define ICMP_UNREACHABLE 3
#define ICMP_EXCEEDED 11
#define ICMP_PROBLEM 12
#define ICMP6_ERROR_FIRST 1 /* unreachable, too big, exceeded, problem */
#define ICMP6_ERROR_LAST 4

#define BOTH (LEAT_CONN_EGRESS | LEAT_CONN_INGRESS)
#define BOTH_FIN (LEAT_CONN_FIN_EGRESS | LEAT_CONN_FIN_INGRESS)

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct leat_conn_key);
	__type(value, struct leat_conn);
} connections SEC(".maps");

static __always_inline void conn_key(struct leat_conn_key *key, const struct flow *flow)
{
	key->local = flow->local;
	key->remote = flow->remote;
	key->local_port = (__u16)flow->local_port;
	key->remote_port = (__u16)flow->remote_port;
	key->proto = (__u8)flow->proto;
}

static __always_inline __u64 conn_life_ns(__u8 proto, __u32 flags)
{
	if (proto == IP_UDP)
		return UDP_NS;
	if (proto != IP_TCP)
		return OTHER_NS;
	if ((flags & LEAT_CONN_RESET) || (flags & BOTH_FIN) == BOTH_FIN)
		return TCP_CLOSED_NS;
	return (flags & BOTH) == BOTH ? TCP_OPEN_NS : TCP_OPENING_NS;
}

static __always_inline int conn_lives(const struct leat_conn *conn, __u8 proto, __u64 now_ns)
{
	__u64 age_ns = now_ns - conn->seen_ns;

	/* another thread's round may have begun later than this one */
	return (__s64)age_ns < 0 || age_ns < conn_life_ns(proto, conn->flags);
}

/* What a packet says about its connection. */
static __always_inline __u32 conn_flags(const struct flow *flow, __u32 direction)
{
	int egress = direction == LEAT_RULE_EGRESS;
	__u32 flags = egress ? LEAT_CONN_EGRESS : LEAT_CONN_INGRESS;

	if (flow->tcp_flags & TCP_FIN)
		flags |= egress ? LEAT_CONN_FIN_EGRESS : LEAT_CONN_FIN_INGRESS;
	if (flow->tcp_flags & TCP_RST)
		flags |= LEAT_CONN_RESET;
	return flags;
}

/* May this packet begin a connection? */
static __always_inline int conn_may_begin(const struct flow *flow)
{
	if (flow->proto != IP_TCP)
		return 1;
	return (flow->tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) == TCP_SYN;
}

static __always_inline int is_error(const struct flow *flow)
{
	if (flow->proto == IP_ICMP)
		return flow->type == ICMP_UNREACHABLE || flow->type == ICMP_EXCEEDED ||
		       flow->type == ICMP_PROBLEM;
	return flow->proto == IP_ICMP6 && flow->type >= ICMP6_ERROR_FIRST &&
	       flow->type <= ICMP6_ERROR_LAST;
}

/*
 * The packet that an ICMP error is about went the other way: its addresses and ports are the
 * connection's. Only IP headers without options and extensions: senders of errors quote those.
 */
static __always_inline int inner_key(struct leat_conn_key *key, const struct flow *flow, void *end,
				     int outgoing)
{
	const void *inner = flow->upper;
	struct flow about = {};
	int kind;

	if (!inner)
		return 0;
	inner = opaque(inner + sizeof(struct icmp));
	if (flow->proto == IP_ICMP) {
		const struct ipv4 *ip = inner;

		if ((void *)(ip + 1) > end || ip->version_len != 0x45)
			return 0;
		kind = flow_ipv4(&about, ip, end, !outgoing);
	} else {
		const struct ipv6 *ip = inner;

		if ((void *)(ip + 1) > end || flow_is_extension(ip->next))
			return 0;
		kind = flow_ipv6(&about, ip, end, !outgoing);
	}
	if (kind != FLOW_PORTS || is_error(&about))
		return 0;
	conn_key(key, &about);
	return 1;
}

static __always_inline int judge_error(const struct flow *flow, const struct leat_pkt_ctx *ctx,
				       int outgoing)
{
	struct leat_conn_key key = {};
	const struct leat_conn *conn;

	if (!inner_key(&key, flow, packet_end(ctx), outgoing))
		return drop(LEAT_COUNT_DROP_POLICY);
	conn = bpf_map_lookup_elem(&connections, &key);
	if (!conn || !conn_lives(conn, key.proto, ctx->now_ns))
		return drop(LEAT_COUNT_DROP_POLICY);
	return LEAT_PASS;
}

/* Later fragments, and protocols without ports: a connection of the two addresses. */
static __always_inline int judge(const struct leat_pkt_ctx *ctx, __u32 direction)
{
	int outgoing = direction == LEAT_RULE_EGRESS;
	struct leat_conn_key key = {};
	struct flow flow = {};
	struct leat_conn *conn, fresh;
	int kind = flow_read(&flow, ctx, outgoing);

	if (kind == FLOW_LINK)
		return LEAT_PASS;
	if (kind == FLOW_UNREADABLE)
		return drop(LEAT_COUNT_DROP_SHORT);
	if (kind == FLOW_PORTS && is_error(&flow))
		return judge_error(&flow, ctx, outgoing);
	conn_key(&key, &flow);
	fresh.flags = conn_flags(&flow, direction);
	conn = bpf_map_lookup_elem(&connections, &key);
	if (conn && conn_lives(conn, key.proto, ctx->now_ns)) {
		/* a closed one does not live on because somebody goes on sending */
		if (conn_life_ns(key.proto, conn->flags) != TCP_CLOSED_NS)
			conn->seen_ns = ctx->now_ns;
		if ((conn->flags & fresh.flags) != fresh.flags)
			__sync_fetch_and_or(&conn->flags, fresh.flags);
		return LEAT_PASS;
	}
	if (!conn_may_begin(&flow) || !rules_pass(&flow, direction))
		return drop(LEAT_COUNT_DROP_POLICY);
	fresh.seen_ns = ctx->now_ns;
	fresh.reserved = 0;
	bpf_map_update_elem(&connections, &key, &fresh, BPF_ANY);
	return LEAT_PASS;
}

SEC(LEAT_SEC_EGRESS) int egress(struct leat_pkt_ctx *ctx)
{
	count(LEAT_COUNT_EGRESS);
	if (antispoof_egress(ctx) != LEAT_PASS || judge(ctx, LEAT_RULE_EGRESS) != LEAT_PASS)
		return LEAT_DROP;
	return pass(LEAT_COUNT_PASS_EGRESS);
}

SEC(LEAT_SEC_INGRESS) int ingress(struct leat_pkt_ctx *ctx)
{
	count(LEAT_COUNT_INGRESS);
	if (antispoof_ingress(ctx) != LEAT_PASS || judge(ctx, LEAT_RULE_INGRESS) != LEAT_PASS)
		return LEAT_DROP;
	return pass(LEAT_COUNT_PASS_INGRESS);
}
