/*
 * Programs for Linux as people write them and clang compiles them: what is safe should be accepted.
 * cli.py asks the kernel's verifier, too.
 */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

#include "bpf/programs/headers.h"

char LICENSE[] SEC("license") = "GPL";

#define MAP(name_, type_, key_, value_, entries)                                                   \
	struct {                                                                                   \
		__uint(type, type_);                                                               \
		__uint(max_entries, entries);                                                      \
		__type(key, key_);                                                                 \
		__type(value, value_);                                                             \
	} name_ SEC(".maps")

struct sum {
	__u64 packets, bytes;
};

struct prefix {
	__u32 bits;
	__u8 address[16];
};

struct inner {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8);
	__type(key, __u32);
	__type(value, __u32);
};

MAP(sums, BPF_MAP_TYPE_PERCPU_ARRAY, __u32, struct sum, 8);
MAP(per_host, BPF_MAP_TYPE_LRU_PERCPU_HASH, __be32, struct sum, 1024);
MAP(flows, BPF_MAP_TYPE_LRU_HASH, struct bpf_sock_tuple, __u64, 1024);
MAP(ports, BPF_MAP_TYPE_DEVMAP, __u32, __u32, 64);
MAP(cores, BPF_MAP_TYPE_CPUMAP, __u32, __u32, 8);
MAP(queues, BPF_MAP_TYPE_XSKMAP, __u32, __u32, 8);

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 1024);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct prefix);
	__type(value, __u32);
} routes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 16);
} records SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, 4);
	__uint(value_size, 4);
} events SEC(".maps");

struct inner first SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
	__uint(max_entries, 4);
	__type(key, __u32);
	__array(values, struct inner);
} tables SEC(".maps") = {.values = {[0] = &first}};

const volatile __u32 watched[8] = {22, 53, 80, 443};
const volatile int chatty;
__u64 seen[16];
static __u32 last;

#define START(ctx) ((void *)(long)(ctx)->data)
#define END(ctx) ((void *)(long)(ctx)->data_end)

/* A cursor moves over the headers; what is behind it was compared with the end. */
struct cursor {
	void *at, *end;
};

static __always_inline void *take(struct cursor *c, __u32 bytes)
{
	void *at = c->at;

	if (at + bytes > c->end)
		return 0;
	c->at = at + bytes;
	return at;
}

static __always_inline int ethernet(struct cursor *c, struct eth **ret_eth)
{
	struct eth *eth = take(c, sizeof(*eth));
	__be16 type;
	int i;

	if (!eth)
		return -1;
	*ret_eth = eth;
	type = eth->type;
#pragma unroll
	for (i = 0; i < 3; i++) {
		struct vlan *tag;

		if (type != bpf_htons(ETH_VLAN) && type != bpf_htons(ETH_QINQ))
			break;
		tag = take(c, sizeof(*tag));
		if (!tag)
			return -1;
		type = tag->type;
	}
	return bpf_ntohs(type);
}

static __always_inline int internet(struct cursor *c, struct ipv4 **ret_ip)
{
	struct ipv4 *ip = c->at;
	int header;

	if ((void *)(ip + 1) > c->end)
		return -1;
	header = (ip->version_len & 15) * 4;
	if (header < (int)sizeof(*ip) || c->at + header > c->end)
		return -1;
	c->at += header;
	*ret_ip = ip;
	return ip->proto;
}

static __always_inline int finish(struct xdp_md *xdp, __u32 action)
{
	struct sum *sum;

	if (action >= 8)
		return XDP_ABORTED;
	sum = bpf_map_lookup_elem(&sums, &action);
	if (!sum)
		return XDP_ABORTED;
	sum->packets++;
	sum->bytes += xdp->data_end - xdp->data;
	return (int)action;
}

SEC("xdp") int count_by_action(struct xdp_md *xdp)
{
	struct cursor c = {START(xdp), END(xdp)};
	int action = XDP_PASS, proto;
	struct sum fresh = {1, 1}, *host;
	struct ipv4 *ip;
	struct eth *eth;

	if (ethernet(&c, &eth) != ETH_IPV4)
		goto out;
	proto = internet(&c, &ip);
	if (proto < 0) {
		action = XDP_DROP;
		goto out;
	}
	host = bpf_map_lookup_elem(&per_host, &ip->src);
	if (host)
		host->packets++;
	else
		bpf_map_update_elem(&per_host, &ip->src, &fresh, BPF_ANY);
	if (proto == IP_UDP) {
		struct udp *udp = take(&c, sizeof(*udp));

		if (!udp || bpf_ntohs(udp->len) < sizeof(*udp))
			action = XDP_ABORTED;
		else if (udp->dst == bpf_htons(9))
			action = XDP_DROP;
	} else if (proto == IP_TCP) {
		struct tcp *tcp = c.at;
		int len;

		if ((void *)(tcp + 1) > c.end) {
			action = XDP_ABORTED;
			goto out;
		}
		len = (tcp->offset >> 4) * 4;
		if (len < (int)sizeof(*tcp) || (void *)tcp + len > c.end)
			action = XDP_ABORTED;
	}
out:
	return finish(xdp, action);
}

/* Answers a ping: swaps both sides, changes the type, mends the checksum. */
SEC("xdp") int echo(struct xdp_md *xdp)
{
	struct cursor c = {START(xdp), END(xdp)};
	struct icmp old, *icmp;
	struct ipv4 *ip;
	struct eth *eth;
	__u8 mac[6];
	__be32 addr;
	__u32 sum;

	if (ethernet(&c, &eth) != ETH_IPV4 || internet(&c, &ip) != IP_ICMP)
		return XDP_PASS;
	icmp = take(&c, sizeof(*icmp));
	if (!icmp || icmp->type != 8)
		return XDP_PASS;
	__builtin_memcpy(mac, eth->dst, 6);
	__builtin_memcpy(eth->dst, eth->src, 6);
	__builtin_memcpy(eth->src, mac, 6);
	addr = ip->src;
	ip->src = ip->dst;
	ip->dst = addr;
	sum = (__u16)~icmp->check;
	icmp->check = 0;
	old = *icmp;
	icmp->type = 0;
	sum = bpf_csum_diff((void *)&old, sizeof(old), (void *)icmp, sizeof(*icmp), sum);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	icmp->check = (__u16)~sum;
	return XDP_TX;
}

/* Puts another IPv4 header in front. */
SEC("xdp") int encapsulate(struct xdp_md *xdp)
{
	struct eth *eth = START(xdp), *old;
	struct ipv4 *ip = (void *)(eth + 1);
	__u32 sum = 0;
	__u16 len, *word;
	int i;

	if ((void *)(ip + 1) > END(xdp) || eth->type != bpf_htons(ETH_IPV4))
		return XDP_PASS;
	len = bpf_ntohs(ip->len);
	if (bpf_xdp_adjust_head(xdp, -(int)sizeof(*ip)))
		return XDP_DROP;
	eth = START(xdp);
	ip = (void *)(eth + 1);
	old = (void *)ip + sizeof(*ip) - sizeof(*eth);
	if ((void *)(eth + 1) > END(xdp) || (void *)(ip + 1) > END(xdp) ||
	    (void *)(old + 1) > END(xdp))
		return XDP_DROP;
	__builtin_memmove(eth, old, sizeof(*eth));
	__builtin_memset(ip, 0, sizeof(*ip));
	ip->version_len = 0x45;
	ip->len = bpf_htons(len + sizeof(*ip));
	ip->ttl = 64;
	ip->proto = 4;
	ip->src = bpf_htonl(0x0a000001);
	ip->dst = bpf_htonl(0x0a000002);
	word = (void *)ip;
#pragma clang loop unroll(full)
	for (i = 0; i < 10; i++)
		sum += word[i];
	ip->check = (__u16) ~((sum & 0xffff) + (sum >> 16));
	return XDP_TX;
}

SEC("xdp") int route(struct xdp_md *xdp)
{
	struct eth *eth = START(xdp);
	struct ipv4 *ip = (void *)(eth + 1);
	struct bpf_fib_lookup fib;
	__u32 sum;

	if ((void *)(ip + 1) > END(xdp) || eth->type != bpf_htons(ETH_IPV4) || ip->ttl <= 1)
		return XDP_PASS;
	__builtin_memset(&fib, 0, sizeof(fib));
	fib.family = 2;
	fib.l4_protocol = ip->proto;
	fib.tot_len = bpf_ntohs(ip->len);
	fib.ipv4_src = ip->src;
	fib.ipv4_dst = ip->dst;
	fib.ifindex = xdp->ingress_ifindex;
	if (bpf_fib_lookup(xdp, &fib, sizeof(fib), 0) != BPF_FIB_LKUP_RET_SUCCESS)
		return XDP_PASS;
	sum = ip->check + bpf_htons(0x0100);
	ip->check = (__u16)(sum + (sum >= 0xffff));
	ip->ttl--;
	__builtin_memcpy(eth->dst, fib.dmac, 6);
	__builtin_memcpy(eth->src, fib.smac, 6);
	return bpf_redirect_map(&ports, fib.ifindex, 0);
}

SEC("xdp") int to_user_space(struct xdp_md *xdp)
{
	__u32 queue = xdp->rx_queue_index, core = bpf_get_smp_processor_id();

	if (bpf_map_lookup_elem(&queues, &queue))
		return bpf_redirect_map(&queues, queue, 0);
	return bpf_redirect_map(&cores, core & 7, 0);
}

/* The labels of a DNS name. */
SEC("xdp") int names(struct xdp_md *xdp)
{
	struct cursor c = {START(xdp), END(xdp)};
	__u32 i, labels = 0;
	struct ipv4 *ip;
	struct eth *eth;

	if (ethernet(&c, &eth) != ETH_IPV4 || internet(&c, &ip) != IP_UDP || !take(&c, 20))
		return XDP_PASS;
	for (i = 0; i < 40; i++) {
		__u8 *len = c.at;

		if ((void *)(len + 1) > c.end || *len == 0)
			break;
		if (*len > 63)
			return XDP_DROP;
		labels++;
		c.at += 1 + *len;
	}
	seen[labels & 15]++;
	return labels > 10 ? XDP_DROP : XDP_PASS;
}

__attribute__((noinline)) int watched_index(__u16 port)
{
	int i;

	for (i = 0; i < 8; i++)
		if (watched[i] == port)
			return i;
	return -1;
}

static __attribute__((noinline)) __u32 mixed(const __u32 *words, __u32 count, __u32 seed)
{
	__u32 i;

	for (i = 0; i < count && i < 8; i++) {
		seed += words[i];
		seed = (seed << 13 | seed >> 19) * 0x9e3779b1u;
	}
	return seed;
}

/* Behind the extension headers; -1: not to be found. */
static __attribute__((noinline)) int upper_header(struct xdp_md *xdp, __u32 *ret_offset)
{
	struct ipv6 *ip = START(xdp) + sizeof(struct eth);
	void *end = END(xdp);
	__u32 offset = sizeof(struct eth) + sizeof(*ip);
	__u8 next;
	int i;

	if ((void *)(ip + 1) > end)
		return -1;
	next = ip->next;
	for (i = 0; i < 6; i++) {
		struct ip6_ext *ext;

		switch (next) {
		case IP6_HOP:
		case IP6_ROUTING:
		case IP6_DEST:
		case IP6_FRAGMENT:
			break;
		case 59:
			return -1;
		default:
			*ret_offset = offset;
			return next;
		}
		if (offset > 1000)
			return -1;
		ext = START(xdp) + offset;
		if ((void *)(ext + 1) > end)
			return -1;
		offset += next == IP6_FRAGMENT ? 8 : (ext->len + 1) * 8;
		next = ext->next;
	}
	return -1;
}

struct round {
	__u64 sum;
	__u32 count;
	__u8 bytes[64];
};

static long add_byte(__u32 i, void *arg)
{
	struct round *round = arg;

	if (i >= sizeof(round->bytes))
		return 1;
	round->sum += round->bytes[i & 63];
	round->count = i;
	return 0;
}

struct record {
	__u64 time_ns;
	__u32 len, type;
	__u8 first[64];
};

static __always_inline int report(struct xdp_md *xdp, const struct round *round, __u32 type)
{
	struct record *record;

	record = bpf_ringbuf_reserve(&records, sizeof(*record), 0);
	if (!record)
		return XDP_PASS;
	record->time_ns = bpf_ktime_get_ns();
	record->len = xdp->data_end - xdp->data;
	record->type = type;
	__builtin_memcpy(record->first, round->bytes, sizeof(record->first));
	if (chatty)
		bpf_printk("%u bytes, sum %llu, 100%%", record->len, round->sum);
	if (round->sum)
		bpf_ringbuf_submit(record, 0);
	else
		bpf_ringbuf_discard(record, 0);
	return XDP_PASS;
}

SEC("xdp") int functions(struct xdp_md *xdp)
{
	struct round round = {};
	struct eth *eth = START(xdp);
	__u32 words[8] = {}, offset = 0, *verdict;
	struct prefix prefix = {};
	int index;
	__u32 i;

	if ((void *)(eth + 1) > END(xdp))
		return XDP_DROP;
	switch (bpf_ntohs(eth->type)) {
	case ETH_IPV4: {
		struct ipv4 *ip = (void *)(eth + 1);
		struct tcp *tcp = (void *)(ip + 1);

		if ((void *)(tcp + 1) > END(xdp) || ip->version_len != 0x45)
			return XDP_PASS;
		prefix.bits = 32;
		__builtin_memcpy(prefix.address, &ip->src, 4);
		words[0] = ip->src;
		words[1] = ip->dst;
		words[2] = tcp->src;
		index = watched_index(bpf_ntohs(tcp->dst));
		if (index >= 0 && index < 16)
			seen[index]++;
		break;
	}
	case ETH_IPV6: {
		struct ipv6 *ip = (void *)(eth + 1);

		if ((void *)(ip + 1) > END(xdp) || upper_header(xdp, &offset) < 0)
			return XDP_DROP;
		prefix.bits = 128;
		__builtin_memcpy(prefix.address, ip->src, 16);
		__builtin_memcpy(words, ip->src, 32);
		break;
	}
	case ETH_ARP:
		return XDP_PASS;
	case 0x8847:
	case 0x8848:
		return XDP_DROP;
	case 0x8864:
		return XDP_TX;
	default:
		return XDP_ABORTED;
	}
	verdict = bpf_map_lookup_elem(&routes, &prefix);
	if (verdict && *verdict == XDP_DROP)
		return XDP_DROP;
	last = mixed(words, 8, last);
	for (i = 0; i < sizeof(round.bytes); i++) {
		if (START(xdp) + i + 1 > END(xdp))
			break;
		round.bytes[i] = *(__u8 *)(START(xdp) + i);
	}
	bpf_loop(i & 63, add_byte, &round, 0);
	return report(xdp, &round, eth->type);
}

SEC("xdp") int sample(struct xdp_md *xdp)
{
	struct {
		__u16 magic, len;
	} head = {0x1234, (__u16)(xdp->data_end - xdp->data)};
	__u64 bytes = head.len < 64 ? head.len : 64;
	__u32 *meta;

	bpf_perf_event_output(xdp, &events, BPF_F_CURRENT_CPU | bytes << 32, &head, sizeof(head));
	if (bpf_xdp_adjust_meta(xdp, -(int)sizeof(*meta)))
		return XDP_ABORTED;
	meta = (void *)(long)xdp->data_meta;
	if ((void *)(meta + 1) > START(xdp))
		return XDP_ABORTED;
	*meta = xdp->ingress_ifindex;
	return XDP_PASS;
}

/* Another source address, through the helpers for checksums. */
SEC("tc") int translate(struct __sk_buff *skb)
{
	const __u32 ip_at = sizeof(struct eth), src_at = ip_at + 12, check_at = ip_at + 10;
	__be32 from, to = bpf_htonl(0x0a000001);
	__u8 proto;

	if (bpf_skb_load_bytes(skb, ip_at + 9, &proto, 1) ||
	    bpf_skb_load_bytes(skb, src_at, &from, 4))
		return TC_ACT_SHOT;
	if (proto == IP_TCP)
		bpf_l4_csum_replace(skb, ip_at + 20 + 16, from, to, BPF_F_PSEUDO_HDR | 4);
	bpf_l3_csum_replace(skb, check_at, from, to, 4);
	bpf_skb_store_bytes(skb, src_at, &to, 4, 0);
	return bpf_redirect(skb->ifindex, 0);
}

SEC("tc") int listeners_only(struct __sk_buff *skb)
{
	struct eth *eth = START(skb);
	struct ipv4 *ip = (void *)(eth + 1);
	struct tcp *tcp = (void *)(ip + 1);
	struct bpf_sock_tuple tuple;
	__u64 one = 1, *count;
	struct bpf_sock *sock;
	int verdict = TC_ACT_OK;

	if ((void *)(tcp + 1) > END(skb))
		return TC_ACT_SHOT;
	__builtin_memset(&tuple, 0, sizeof(tuple));
	tuple.ipv4.saddr = ip->src;
	tuple.ipv4.daddr = ip->dst;
	tuple.ipv4.sport = tcp->src;
	tuple.ipv4.dport = tcp->dst;
	sock = bpf_sk_lookup_tcp(skb, &tuple, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS, 0);
	if (sock) {
		if (sock->state != 10)
			verdict = TC_ACT_SHOT;
		bpf_sk_release(sock);
	}
	count = bpf_map_lookup_elem(&flows, &tuple);
	if (count)
		__sync_fetch_and_add(count, 1);
	else
		bpf_map_update_elem(&flows, &tuple, &one, BPF_ANY);
	skb->mark = (__u32)verdict;
	skb->cb[0] = tcp->dst;
	return verdict;
}

SEC("tc") int pull_and_sum(struct __sk_buff *skb)
{
	void *data = START(skb);
	__u32 sum = 0, i;

	if (data + 128 > END(skb)) {
		if (bpf_skb_pull_data(skb, 128))
			return TC_ACT_OK;
		data = START(skb);
		if (data + 128 > END(skb))
			return TC_ACT_OK;
	}
	for (i = 0; i < 128; i++)
		sum += ((__u8 *)data)[i];
	skb->tc_classid = sum;
	if (skb->vlan_present)
		return bpf_skb_vlan_pop(skb) ? TC_ACT_SHOT : TC_ACT_OK;
	bpf_skb_vlan_push(skb, bpf_htons(ETH_VLAN), 100);
	return TC_ACT_OK;
}

SEC("tc") int tables_and_tunnels(struct __sk_buff *skb)
{
	__u32 table = skb->ifindex, key = skb->protocol, one = 1, *count;
	struct bpf_tunnel_key tunnel = {.remote_ipv4 = 0x0a000001, .tunnel_id = 7};
	void *inner = bpf_map_lookup_elem(&tables, &table);
	__u8 bytes[64];
	__u32 len;

	if (!inner)
		return TC_ACT_OK;
	count = bpf_map_lookup_elem(inner, &key);
	if (count)
		__sync_fetch_and_add(count, 1);
	else
		bpf_map_update_elem(inner, &key, &one, 0);
	len = skb->len;
	if (len < 1)
		return TC_ACT_OK;
	if (len > sizeof(bytes))
		len = sizeof(bytes);
	if (bpf_skb_load_bytes(skb, 0, bytes, len))
		return TC_ACT_OK;
	skb->priority = bytes[0];
	if (bpf_skb_set_tunnel_key(skb, &tunnel, sizeof(tunnel), BPF_F_ZERO_CSUM_TX))
		return TC_ACT_SHOT;
	return bpf_skb_adjust_room(skb, 8, BPF_ADJ_ROOM_MAC, 0) ? TC_ACT_SHOT : TC_ACT_OK;
}

SEC("socket") int tcp_only(struct __sk_buff *skb)
{
	__u8 proto = 0;

	bpf_skb_load_bytes(skb, sizeof(struct eth) + 9, &proto, 1);
	return proto == IP_TCP ? (int)skb->len : 0;
}
