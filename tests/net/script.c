/*
 * The peer's side of a script.
 */
#include "tests/net/script.h"

struct host *const host = &world.hosts[0];
struct net_sock *sock, *listener;
uint32_t his, mine;
uint16_t his_port, my_port = 5555;
uint32_t clock_ms = 1000, echo_ms;
bool with_ts;
uint16_t my_window = 65535, my_urgent;
uint8_t my_tos;
struct got got;

void put_ip(uint8_t *frame, size_t l4_bytes, uint8_t protocol)
{
	struct wire_eth *eth = (void *)frame;
	struct wire_ip4 *ip = (void *)(frame + 14);

	memcpy(eth->dst, host->mac, 6);
	memcpy(eth->src, world.hosts[1].mac, 6);
	eth->type = htons(0x0800);
	*ip = (struct wire_ip4){.version_ihl = 0x45,
				.tos = my_tos,
				.ttl = 64,
				.protocol = protocol,
				.total_bytes = htons((uint16_t)(20 + l4_bytes)),
				.src = world.hosts[1].ip.s_addr,
				.dst = host->ip.s_addr};
	ip->checksum = csum_finish(csum_add(0, ip, 20));
}

void send_raw(const uint8_t *frame, size_t bytes)
{
	assert_true(world_inject(host, NULL, frame, bytes));
	world_settle();
}

void send_options(uint8_t flags, uint32_t seq, uint32_t ack, const void *options,
		  size_t option_bytes, const void *data, size_t bytes)
{
	uint8_t frame[2000] = {0};
	struct wire_tcp *tcp = (void *)(frame + 34);
	union ip_addr src = ip_addr_v4(world.hosts[1].ip.s_addr);
	union ip_addr dst = ip_addr_v4(host->ip.s_addr);
	size_t l4 = 20 + option_bytes + bytes;

	put_ip(frame, l4, 6);
	*tcp = (struct wire_tcp){.sport = htons(my_port),
				 .dport = his_port,
				 .seq = htonl(seq),
				 .ack = htonl(ack),
				 .flags = flags,
				 .window = htons(my_window),
				 .urgent = htons(my_urgent),
				 .offset = (uint8_t)((20 + option_bytes) / 4 << 4)};
	memcpy(tcp + 1, options, option_bytes);
	if (bytes != 0)
		memcpy((uint8_t *)(tcp + 1) + option_bytes, data, bytes);
	tcp->checksum =
		csum_finish(csum_pseudo(&src, &dst, 6, (uint32_t)l4) + csum_add(0, tcp, l4));
	send_raw(frame, 34 + l4);
}

void send_seg(uint8_t flags, uint32_t seq, uint32_t ack, const void *data, size_t bytes)
{
	uint8_t options[12] = {1, 1, 8, 10};

	store_be32(options + 4, clock_ms);
	store_be32(options + 8, echo_ms);
	send_options(flags, seq, ack, options, with_ts ? 12 : 0, data, bytes);
}

bool take(void)
{
	struct frame *frame;

	world_settle();
	while ((frame = world_take()) != NULL) {
		const struct wire_eth *eth = (const void *)frame->data;

		if (eth->type == htons(0x0806)) {
			struct wire_arp *arp = (void *)(frame->data + 14);
			uint8_t reply[42];
			struct wire_arp *to = (void *)(reply + 14);

			memcpy(reply, frame->data, 42);
			memcpy(reply, host->mac, 6);
			memcpy(reply + 6, world.hosts[1].mac, 6);
			to->op = htons(2);
			to->sender_ip = arp->target_ip;
			to->target_ip = arp->sender_ip;
			memcpy(to->sender_mac, world.hosts[1].mac, 6);
			send_raw(reply, 42);
		} else if (frame->data[23] == 6) {
			size_t header;

			memcpy(&got.tcp, frame->data + 34, 20);
			header = (got.tcp.offset >> 4) * 4u;
			wire_tcp_options_parse(frame->data + 54, header - 20, &got.options);
			got.seq = ntohl(got.tcp.seq);
			got.ack = ntohl(got.tcp.ack);
			got.flags = got.tcp.flags;
			got.tos = frame->data[15];
			got.bytes = frame->bytes - 34 - header;
			memcpy(got.data, frame->data + 34 + header, got.bytes);
			free(frame);
			return true;
		}
		free(frame);
		world_settle();
	}
	return false;
}

void expect(uint8_t flags, uint32_t seq, uint32_t ack, size_t bytes)
{
	assert_true(take());
	assert_int_equal(got.flags & ~TCP_FLAG_PSH, flags);
	assert_int_equal(got.seq, seq);
	if (flags & TCP_FLAG_ACK)
		assert_int_equal(got.ack, ack);
	assert_int_equal(got.bytes, bytes);
}

void expect_nothing(void)
{
	assert_false(take());
}

void run(uint64_t ns)
{
	world_run(ns, NULL, NULL);
}

const uint8_t syn_options[20] = {2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 3, 232, 0, 0, 0, 0, 1, 3, 3, 0};

int script_setup(void **state)
{
	(void)state;
	world_init(11, FEATURES_PLAIN, false, 1500);
	world.link.delay_ns = 0;
	with_ts = false;
	my_window = 65535;
	clock_ms = 1000;
	echo_ms = 0;
	my_tos = 0;
	sock = listener = NULL;
	/* so that the stack knows our MAC without asking */
	{
		uint8_t arp[42] = {0};
		struct wire_arp *a = (void *)(arp + 14);

		memset(arp, 0xff, 6);
		memcpy(arp + 6, world.hosts[1].mac, 6);
		arp[12] = 8;
		arp[13] = 6;
		a->hw_type = htons(1);
		a->proto_type = htons(0x0800);
		a->hw_bytes = 6;
		a->proto_bytes = 4;
		a->op = htons(1);
		memcpy(a->sender_mac, world.hosts[1].mac, 6);
		a->sender_ip = world.hosts[1].ip.s_addr;
		a->target_ip = host->ip.s_addr;
		send_raw(arp, 42);
		expect_nothing();
	}
	return 0;
}

int script_teardown(void **state)
{
	(void)state;
	if (sock != NULL)
		net_close(sock);
	if (listener != NULL)
		net_close(listener);
	world_finish();
	return 0;
}

void accept_one(bool modern)
{
	listener = sock_listener(host, 80, 5);
	his_port = htons(80);
	mine = 1000;
	if (modern)
		send_options(SYN, mine, 0, syn_options, sizeof(syn_options), NULL, 0);
	else
		send_seg(SYN, mine, 0, NULL, 0);
	mine++;
	assert_true(take());
	assert_int_equal(got.flags, SYN | ACK);
	assert_int_equal(got.ack, mine);
	his = got.seq + 1;
	with_ts = modern;
	send_seg(ACK, mine, his, NULL, 0);
	sock = sock_accept(listener);
	assert_non_null(sock);
	assert_int_equal(sock_state(sock), TCP_ESTABLISHED);
	expect_nothing();
}
