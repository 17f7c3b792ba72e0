/*
 * Fuzz target: the whole stack behind the ring, with a listener, an established connection in some
 * state of transfer, and a UDP socket. The input is a series of records: a byte of what to do, a
 * byte of length, then the bytes. Checksums are repaired, so that the code behind them is reached;
 * virtio headers and raw frames are taken as they come.
 */
#include "tests/net/harness.h"

#include "net/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

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

	switch (what % 8) {
	case 0:
	case 1:
		inject_tcp(bytes, n);
		break;
	case 2:
		inject_ip4(n > 0 && bytes[0] & 1 ? 17 : 1, bytes, n);
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct net_sock *listener, *udp, *sock = NULL;
	uint8_t record[256];

	world_init(1, FEATURES_ALL, false, 1500);
	world.link.delay_ns = 0;
	seq = ack = 0;
	listener = sock_listener(&world.hosts[0], 80, 4);
	udp = sock_new(&world.hosts[0], AF_INET, SOCK_DGRAM);
	sock_bind(udp, "0.0.0.0", 53);
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
	net_close(udp);
	net_close(listener);
	world_finish();
	return 0;
}
