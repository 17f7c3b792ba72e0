/*
 * Fuzz target: the whole stack behind the ring, with a listener, an established connection in some
 * state of transfer, and UDP sockets of both families with error queues. The input is a series of
 * records: a byte of what to do, a byte of length, then the bytes. Checksums are repaired, so that
 * the code behind them is reached; virtio headers and raw frames are taken as they come.
 */
#include "tests/net/harness.h"

#include "net/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static struct net_sock *udp[2];
static uint8_t tos;       /* of the next IPv4 packet */
static uint32_t seq, ack; /* what the connection expects next, learned from its packets */

static void drain(void)
{
	struct frame *frame;

	world_settle();
	while ((frame = world_take()) != NULL) {
		if (frame->bytes >= 54 && frame->data[12] == 8 && frame->data[23] == 6) {
			seq = load_be32(frame->data + 42);
			ack = load_be32(frame->data + 38) + (frame->data[47] & 2 ? 1 : 0);
		}
		free(frame);
	}
}

/* So that answers go out and are not held back for want of a MAC. */
static void neighbour_known(void)
{
	uint8_t frame[42] = {0};
	struct wire_arp *arp = (void *)(frame + 14);

	memcpy(frame, world.hosts[0].mac, 6);
	memcpy(frame + 6, world.hosts[1].mac, 6);
	frame[12] = 8;
	frame[13] = 6;
	*arp = (struct wire_arp){
		.hw_type = htons(1),
		.proto_type = htons(0x0800),
		.hw_bytes = 6,
		.proto_bytes = 4,
		.op = htons(1),
		.sender_ip = world.hosts[1].ip.s_addr,
		.target_ip = world.hosts[0].ip.s_addr,
	};
	memcpy(arp->sender_mac, world.hosts[1].mac, 6);
	world_inject(&world.hosts[0], NULL, frame, sizeof(frame));
	drain();
}

static void inject_ip4(uint8_t protocol, uint8_t *l4, size_t bytes)
{
	uint8_t frame[34 + 512] = {0};
	struct wire_ip4 *ip = (void *)(frame + 14);
	union ip_addr src = ip_addr_v4(world.hosts[1].ip.s_addr);
	union ip_addr dst = ip_addr_v4(world.hosts[0].ip.s_addr);
	uint16_t sum = 0;
	size_t at = protocol == 6 ? 16 : protocol == 17 ? 6 : 2;

	memcpy(frame, world.hosts[0].mac, 6);
	memcpy(frame + 6, world.hosts[1].mac, 6);
	frame[12] = 8;
	*ip = (struct wire_ip4){
		.version_ihl = 0x45,
		.tos = tos,
		.ttl = 64,
		.protocol = protocol,
		.total_bytes = htons((uint16_t)(20 + bytes)),
		.src = world.hosts[1].ip.s_addr,
		.dst = world.hosts[0].ip.s_addr,
	};
	ip->checksum = csum_finish(csum_add(0, ip, 20));
	if (bytes >= at + 2) {
		memcpy(l4 + at, &sum, 2);
		sum = csum_finish(
			(protocol == 1 ? 0 : csum_pseudo(&src, &dst, protocol, (uint32_t)bytes)) +
			csum_add(0, l4, bytes));
		memcpy(l4 + at, &sum, 2);
	}
	memcpy(frame + 34, l4, bytes);
	world_inject(&world.hosts[0], NULL, frame, 34 + bytes);
}

static void inject_ip6(uint8_t protocol, uint8_t *l4, size_t bytes)
{
	uint8_t frame[54 + 512] = {0};
	union ip_addr src = ip_addr_v6(&world.hosts[1].ip6);
	union ip_addr dst = ip_addr_v6(&world.hosts[0].ip6);
	uint16_t sum = 0;
	size_t at = protocol == 17 ? 6 : 2;

	memcpy(frame, world.hosts[0].mac, 6);
	memcpy(frame + 6, world.hosts[1].mac, 6);
	frame[12] = 0x86;
	frame[13] = 0xdd;
	frame[14] = 0x60;
	store_be16(frame + 18, (uint16_t)bytes);
	frame[20] = protocol;
	frame[21] = 255;
	memcpy(frame + 22, src.bytes, 16);
	memcpy(frame + 38, dst.bytes, 16);
	if (bytes >= at + 2) {
		memcpy(l4 + at, &sum, 2);
		sum = csum_finish(csum_pseudo(&src, &dst, protocol, (uint32_t)bytes) +
				  csum_add(0, l4, bytes));
		memcpy(l4 + at, &sum, 2);
	}
	memcpy(frame + 54, l4, bytes);
	world_inject(&world.hosts[0], NULL, frame, 54 + bytes);
}

/* A datagram or an ICMP message, the first byte says which. */
static void inject_datagram(uint8_t *bytes, size_t n)
{
	switch (n > 0 ? bytes[0] & 3 : 0) {
	case 0:
		inject_ip4(1, bytes, n);
		break;
	case 1:
		inject_ip4(17, bytes, n);
		break;
	case 2:
		inject_ip6(58, bytes, n);
		break;
	default:
		inject_ip6(n % 2 ? 44 : 17, bytes, n);
		break;
	}
}

/* Sends and receives with all that goes with it, so that errors have something to be about. */
static void use_udp(uint8_t flags)
{
	static uint8_t buffer[2048];
	struct net_sock *s = udp[flags & 1];
	struct sockaddr_storage from;
	uint8_t control[NET_CONTROL_MAX];
	struct iovec iov = {.iov_base = buffer, .iov_len = sizeof(buffer)};
	struct net_msg msg = {.iov = &iov,
			      .iov_count = 1,
			      .addr = &from,
			      .control = control,
			      .control_bytes = flags % sizeof(control)};

	sock_send(s, buffer, flags * 8u, 0);
	net_recvmsg(s, &msg, flags & 2 ? MSG_ERRQUEUE : flags & 4 ? MSG_PEEK : 0);
	net_sock_error(s);
}

/* A segment for the connection: ports and numbers are right but for small offsets from the input.
 */
static void inject_tcp(uint8_t *l4, size_t bytes)
{
	struct wire_tcp *tcp = (void *)l4;

	if (bytes < 20)
		return;
	tcp->sport = htons(5555);
	tcp->dport = htons(80);
	tcp->seq = htonl(seq + (uint32_t)(int8_t)l4[4]);
	tcp->ack = htonl(ack + (uint32_t)(int8_t)l4[8]);
	inject_ip4(6, l4, bytes);
}

static void step(uint8_t what, uint8_t *bytes, size_t n, struct net_sock **sock,
		 struct net_sock *listener)
{
	static uint8_t buffer[4096];

	tos = what >> 6;
	switch (what % 8) {
	case 0:
	case 1:
		inject_tcp(bytes, n);
		break;
	case 2:
		inject_datagram(bytes, n);
		break;
	case 3:
		world_inject(&world.hosts[0], n >= 12 ? bytes : NULL, bytes, n > 0 ? n : 1);
		break;
	case 4:
		if (*sock == NULL)
			*sock = sock_accept(listener);
		if (*sock != NULL)
			sock_send(*sock, buffer, n * 16, 0);
		break;
	case 5:
		if (*sock != NULL)
			sock_recv(*sock, buffer, n * 16, 0);
		else
			use_udp((uint8_t)n);
		break;
	case 6:
		world_run(n * 10 * MS, NULL, NULL);
		break;
	default:
		if (*sock != NULL && n > 200) {
			net_close(*sock);
			*sock = NULL;
		} else if (*sock != NULL && n > 150) {
			net_shutdown(*sock, SHUT_WR);
		}
		break;
	}
	drain();
}

static void open_udp(unsigned int i)
{
	static const char *const any[] = {"0.0.0.0", "::"}, *const peer[] = {"10.0.0.2", "fd00::2"};
	int on = 1;

	udp[i] = sock_new(&world.hosts[0], i == 0 ? AF_INET : AF_INET6, SOCK_DGRAM);
	net_setsockopt(udp[i], IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	sock_bind(udp[i], any[i], 53);
	sock_connect(udp[i], peer[i], 5353);
	net_setsockopt(udp[i], IPPROTO_IP, IP_RECVERR, &on, sizeof(on));
	net_setsockopt(udp[i], IPPROTO_IP, IP_PKTINFO, &on, sizeof(on));
	net_setsockopt(udp[i], IPPROTO_IPV6, IPV6_RECVERR, &on, sizeof(on));
	net_setsockopt(udp[i], IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on));
	net_setsockopt(udp[i], SOL_SOCKET, SO_TIMESTAMP, &on, sizeof(on));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct net_sock *listener, *sock = NULL;
	uint8_t record[256];

	world_init(1, FEATURES_ALL, false, 1500);
	world.link.delay_ns = 0;
	seq = ack = 0;
	listener = sock_listener(&world.hosts[0], 80, 4);
	open_udp(0);
	open_udp(1);
	neighbour_known();
	while (bytes >= 2) {
		size_t n = data[1] < bytes - 2 ? data[1] : bytes - 2;

		memcpy(record, data + 2, n);
		step(data[0], record, n, &sock, listener);
		data += 2 + n;
		bytes -= 2 + n;
	}
	if (sock != NULL)
		net_close(sock);
	net_close(udp[0]);
	net_close(udp[1]);
	net_close(listener);
	world_finish();
	return 0;
}
