/*
 * proc_net.c - /proc/net: sockets, interfaces, addresses and routes, as ss, netstat and others read
 * them. Sockets have no inode numbers here.
 */
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/stat.h>

#include "leat/base/bits.h"
#include "libos/fs/proc.h"
#include "libos/instance.h"
#include "net/net.h"

#define RTF_UP 1U
#define RTF_GATEWAY 2U
#define TABLE_COLUMNS 149

/* ---- sockets ---- */

struct table {
	struct strbuf *buf;
	int family, protocol;
	unsigned count;
};

static void endpoint_add(struct strbuf *buf, const struct sockaddr_storage *addr)
{
	if (addr->ss_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)addr;

		strbuf_add(buf, "%08X:%04X", in->sin_addr.s_addr,
			   (unsigned)__builtin_bswap16(in->sin_port));
		return;
	}
	const struct sockaddr_in6 *in6 = (const void *)addr;

	for (unsigned i = 0; i < 4; i++) {
		uint32_t word;

		memcpy(&word, &in6->sin6_addr.s6_addr[4 * i], sizeof(word));
		strbuf_add(buf, "%08X", word);
	}
	strbuf_add(buf, ":%04X", (unsigned)__builtin_bswap16(in6->sin6_port));
}

static void socket_add(const struct net_sock_info *info, void *arg)
{
	struct table *table = arg;
	struct strbuf *buf = table->buf;
	size_t start = buf->len;

	if (info->family != table->family || info->protocol != table->protocol)
		return;
	strbuf_add(buf, "%4u: ", table->count++);
	endpoint_add(buf, &info->local);
	strbuf_add(buf, " ");
	endpoint_add(buf, &info->remote);
	strbuf_add(buf, " %02X %08X:%08X 00:00000000 00000000     0        0 0", info->tcp_state,
		   info->tx_queue_bytes, info->rx_queue_bytes);
	/* Linux pads the shorter lines */
	while (!buf->failed && buf->len - start < TABLE_COLUMNS)
		strbuf_add(buf, " ");
	strbuf_add(buf, "\n");
}

static int table_show(struct strbuf *buf, int family, int protocol)
{
	struct table table = {.buf = buf, .family = family, .protocol = protocol};

	strbuf_add(buf,
		   "  sl  local_address %srem_address %s  st tx_queue rx_queue tr tm->when "
		   "retrnsmt   uid  timeout inode\n",
		   family == AF_INET6 ? "                        " : "",
		   family == AF_INET6 ? "                        " : "");
	net_sock_walk(instance()->net, socket_add, &table);
	return 0;
}

static int show_tcp(const struct proc_object *object, struct strbuf *buf)
{
	(void)object;
	return table_show(buf, AF_INET, IPPROTO_TCP);
}

static int show_tcp6(const struct proc_object *object, struct strbuf *buf)
{
	(void)object;
	return table_show(buf, AF_INET6, IPPROTO_TCP);
}

static int show_udp(const struct proc_object *object, struct strbuf *buf)
{
	(void)object;
	return table_show(buf, AF_INET, IPPROTO_UDP);
}

static int show_udp6(const struct proc_object *object, struct strbuf *buf)
{
	(void)object;
	return table_show(buf, AF_INET6, IPPROTO_UDP);
}

static int show_udplite(const struct proc_object *object, struct strbuf *buf)
{
	(void)object;
	return table_show(buf, AF_INET, IPPROTO_UDPLITE);
}

static int show_udplite6(const struct proc_object *object, struct strbuf *buf)
{
	(void)object;
	return table_show(buf, AF_INET6, IPPROTO_UDPLITE);
}

/* ---- interfaces, addresses, routes ---- */

static int show_dev(const struct proc_object *object, struct strbuf *buf)
{
	(void)object;
	strbuf_add(buf,
		   "Inter-|   Receive                                                |  Transmit\n"
		   " face |bytes    packets errs drop fifo frame compressed multicast|bytes    "
		   "packets errs drop fifo colls carrier compressed\n");
	for (unsigned i = 1; i <= 2; i++) {
		struct net_if info;

		if (net_if_get(instance()->net, i, &info) != 0)
			continue;
		strbuf_add(buf, "%6s: %7lu %7lu    0    0    0     0          0         0 ",
			   info.name, info.rx_bytes, info.rx_packets);
		strbuf_add(buf, "%8lu %7lu    0    0    0     0       0          0\n",
			   info.tx_bytes, info.tx_packets);
	}
	return 0;
}

static void inet6_add(struct strbuf *buf, const struct net_if *info, const struct in6_addr *ip,
		      unsigned bits, unsigned scope)
{
	for (unsigned i = 0; i < 16; i++)
		strbuf_add(buf, "%02x", ip->s6_addr[i]);
	/* 0x80: IFA_F_PERMANENT */
	strbuf_add(buf, " %02x %02x %02x 80 %8s\n", info->index, bits, scope, info->name);
}

static int show_if_inet6(const struct proc_object *object, struct strbuf *buf)
{
	(void)object;
	for (unsigned i = 1; i <= 2; i++) {
		struct net_if info;

		if (net_if_get(instance()->net, i, &info) != 0)
			continue;
		if (info.prefix6_bits != 0)
			inet6_add(buf, &info, &info.ip6, info.prefix6_bits, i == 1 ? 0x10 : 0x20);
		if (info.prefix6_global_bits != 0)
			inet6_add(buf, &info, &info.ip6_global, info.prefix6_global_bits, 0);
	}
	return 0;
}

static int show_route(const struct proc_object *object, struct strbuf *buf)
{
	uint32_t gateway = net_gateway(instance()->net).s_addr;
	struct net_if info;
	uint32_t mask;

	(void)object;
	strbuf_add(buf, "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\t"
			"Window\tIRTT\n");
	if (net_if_get(instance()->net, 2, &info) != 0)
		return 0;
	mask = info.prefix_bits == 0 ? 0 : __builtin_bswap32(~0U << (32 - info.prefix_bits));
	if (gateway != 0)
		strbuf_add(buf, "%s\t00000000\t%08X\t%04X\t0\t0\t0\t00000000\t0\t0\t0\n", info.name,
			   gateway, RTF_UP | RTF_GATEWAY);
	strbuf_add(buf, "%s\t%08X\t00000000\t%04X\t0\t0\t0\t%08X\t0\t0\t0\n", info.name,
		   info.ip.s_addr & mask, RTF_UP, mask);
	return 0;
}

static const struct proc_entry net_entries[] = {
	{.name = "dev", .mode = S_IFREG | 0444, .show = show_dev},
	{.name = "if_inet6", .mode = S_IFREG | 0444, .show = show_if_inet6},
	{.name = "route", .mode = S_IFREG | 0444, .show = show_route},
	{.name = "tcp", .mode = S_IFREG | 0444, .show = show_tcp},
	{.name = "tcp6", .mode = S_IFREG | 0444, .show = show_tcp6},
	{.name = "udp", .mode = S_IFREG | 0444, .show = show_udp},
	{.name = "udp6", .mode = S_IFREG | 0444, .show = show_udp6},
	{.name = "udplite", .mode = S_IFREG | 0444, .show = show_udplite},
	{.name = "udplite6", .mode = S_IFREG | 0444, .show = show_udplite6},
};
const struct proc_dir proc_net_dir = {.entries = net_entries,
				      .nr_entries = ARRAY_SIZE(net_entries)};
