/*
 * What the DPU does with frames of well-behaved drivers: delivery, offloads, filters, ARP, limits.
 */
#include "tests/bpf/helpers.h"
#include "tests/dpu/fixture.h"

#include <errno.h>
#include <string.h>

static uint8_t sent[70000], got[70000];
static struct virtio_net_hdr_mrg_rxbuf hdr;
static struct driver *segment_driver;

static void one_frame_arrives(size_t payload, size_t cut)
{
	size_t bytes = fixture_frame(A, B, payload, sent);

	assert_true(driver_send(&fx.driver[A], 0, NULL, sent, bytes, cut));
	assert_int_equal(fixture_round(), 1);
	assert_int_equal(driver_reclaim(&fx.driver[A], 0), 1);
	assert_int_equal(driver_receive(&fx.driver[B], 0, &hdr, got, sizeof(got)), bytes);
	assert_memory_equal(sent, got, bytes);
}

static void test_delivery(void **state)
{
	(void)state;
	for (size_t payload = 0; payload <= 1472; payload += 37)
		for (size_t cut = 61; cut <= 2048; cut = cut * 3)
			one_frame_arrives(payload, cut);
	assert_int_equal(fx.works[B], fixture_queue_stats(B).rx_packets);
	assert_int_equal(fx.works[A], 0);
}

/* The rings are 64 long: indices wrap many times, and pass 65536. */
static void test_ring_wrap(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 70000; i++)
		one_frame_arrives(i % 64, 1024);
	assert_int_equal(fixture_queue_stats(B).rx_packets, 70000);
}

/* Turns a frame into TCP with an unfinished checksum and segments of `gso_size`. */
static struct virtio_net_hdr make_gso(uint8_t *frame, uint16_t gso_size)
{
	struct virtio_net_hdr gso = {
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
		.hdr_len = 54,
		.gso_size = gso_size,
		.csum_start = 34,
		.csum_offset = 16,
	};

	frame[14 + 9] = 6;
	frame[34 + 12] = 5 << 4;
	return gso;
}

static void test_gso_passes_whole(void **state)
{
	struct virtio_net_hdr gso;
	size_t bytes;

	(void)state;
	bytes = fixture_frame(A, B, 50000, sent);
	gso = make_gso(sent, 1448);
	assert_true(driver_send(&fx.driver[A], 0, &gso, sent, bytes, 2048));
	assert_int_equal(fixture_round(), 1);
	assert_int_equal(driver_receive(&fx.driver[B], 0, &hdr, got, sizeof(got)), bytes);
	assert_memory_equal(sent, got, bytes);
	assert_int_equal(hdr.num_buffers, (bytes + 12 + 2047) / 2048);
	assert_int_equal(hdr.hdr.gso_type, VIRTIO_NET_HDR_GSO_TCPV4);
	assert_int_equal(hdr.hdr.gso_size, 1448);
	assert_int_equal(hdr.hdr.hdr_len, 54);
	assert_int_equal(hdr.hdr.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
	assert_int_equal(fixture_port_stats(A).egress_runs, 1);
	assert_int_equal(fixture_port_stats(B).ingress_runs, 1);
}

/* The sum of 16-bit words, folded. */
static uint32_t words_sum(const uint8_t *data, size_t bytes, uint32_t sum)
{
	for (size_t i = 0; i < bytes; i++)
		sum += i % 2 ? data[i] : (uint32_t)data[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static uint32_t be32_at(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* `got` is the segment of the frame in `sent` whose payload begins at offset, all sums right. */
static void segment_check(size_t offset, size_t payload, unsigned index, bool last)
{
	size_t l4_bytes = 20 + payload;

	assert_int_equal(driver_receive(segment_driver, 0, &hdr, got, sizeof(got)), 54 + payload);
	assert_int_equal(hdr.hdr.gso_type, VIRTIO_NET_HDR_GSO_NONE);
	assert_int_equal(hdr.hdr.flags, 0);
	assert_int_equal(got[16] << 8 | got[17], 20 + l4_bytes);
	assert_int_equal(got[18] << 8 | got[19], (sent[18] << 8 | sent[19]) + index);
	assert_int_equal(words_sum(got + 14, 20, 0), 0xffff);
	assert_int_equal(be32_at(got + 38), be32_at(sent + 38) + offset);
	assert_int_equal(got[47] & 1, last ? sent[47] & 1 : 0); /* FIN */
	assert_int_equal(words_sum(got + 34, l4_bytes,
				   words_sum(got + 26, 8, 6 + (uint32_t)l4_bytes)),
			 0xffff);
	assert_memory_equal(got + 54, sent + 54 + offset, payload);
}

/* A receiver that did not agree to uncut frames and unfinished sums gets neither. */
static void test_receiver_without_tso(void **state)
{
	struct dpu_port_config config = {
		.id = 9,
		.tenant = 1,
		.mtu = 1500,
		.ipv4_be = 0x0900630a,
		.prefix_len = 16,
		.nr_queue_pairs = 1,
		.window_bytes = DRIVER_WINDOW_BYTES,
		.mac = {2, 0x1e, 0xa7, 0, 0, 9},
		.owner = &(unsigned){B},
	};
	struct virtio_net_hdr gso;
	struct dpu_port_stats stats;
	struct dpu_port *port;
	struct driver driver;
	size_t bytes;

	(void)state;
	assert_int_equal(driver_create(&driver), 0);
	config.window = driver.window;
	assert_int_equal(dpu_port_attach(fx.dpu, &config, &port), 0);
	assert_int_equal(dpu_port_set_filter(port, fx.filter), 0);
	driver.dev->device_features &= ~(uint64_t)(ABI_NET_F_GUEST_TSO4 | ABI_NET_F_GUEST_TSO6);
	segment_driver = &driver;
	driver_start(&driver, 32);
	for (unsigned round = 0; round < 10; round++) {
		size_t payload = 4988 + round; /* odd ones too */

		bytes = fixture_frame(A, B, 12 + payload, sent);
		gso = make_gso(sent, 1448);
		memcpy(sent, config.mac, 6);
		memcpy(sent + 30, &config.ipv4_be, 4);
		sent[47] = 0x19; /* ACK, PSH, FIN */
		sent[50] = sent[51] = 0;
		assert_true(driver_send(&fx.driver[A], 0, &gso, sent, bytes, 1000 + round));
		assert_int_equal(fixture_round(), 1);
		for (unsigned i = 0; i < 4; i++)
			segment_check(i * 1448, i < 3 ? 1448 : payload - 3 * 1448, i, i == 3);
		assert_int_equal(driver_receive(&driver, 0, &hdr, got, sizeof(got)), 0);
		driver_reclaim(&fx.driver[A], 0);
	}
	dpu_port_stats_get(port, &stats);
	assert_int_equal(stats.drops_rx[DPU_DROP_OFFLOAD], 0);
	dpu_port_detach(port);
	driver_destroy(&driver);
}

/* Offload requests that the frame does not bear out. */
static void test_offload_lies(void **state)
{
	struct virtio_net_hdr good, bad;
	size_t bytes;

	(void)state;
	bytes = fixture_frame(A, B, 4000, sent);
	good = make_gso(sent, 1448);
	for (unsigned i = 0; i < 8; i++) {
		bad = good;
		switch (i) {
		case 0:
			bad.gso_type = VIRTIO_NET_HDR_GSO_UDP;
			break;
		case 1:
			bad.gso_type = VIRTIO_NET_HDR_GSO_TCPV6;
			break;
		case 2:
			bad.gso_size = 0;
			break;
		case 3:
			bad.gso_size = 1461;
			break;
		case 4:
			bad.csum_start = 30;
			break;
		case 5:
			bad.csum_offset = 6;
			break;
		case 6:
			bad.flags = 0;
			break;
		case 7:
			bad.gso_type = VIRTIO_NET_HDR_GSO_NONE;
			break;
		}
		assert_true(driver_send(&fx.driver[A], 0, &bad, sent, bytes, 2048));
		assert_int_equal(fixture_round(), 1);
		assert_int_equal(driver_receive(&fx.driver[B], 0, &hdr, got, sizeof(got)), 0);
	}
	bad = (struct virtio_net_hdr){.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 65000};
	bytes = fixture_frame(A, B, 100, sent);
	assert_true(driver_send(&fx.driver[A], 0, &bad, sent, bytes, 2048));
	assert_int_equal(fixture_round(), 1);
	assert_int_equal(driver_receive(&fx.driver[B], 0, &hdr, got, sizeof(got)), 0);
	assert_int_equal(fixture_port_stats(A).drops_tx[DPU_DROP_OFFLOAD], 7);
	assert_int_equal(fixture_port_stats(A).drops_tx[DPU_DROP_LENGTH], 2);
	assert_int_equal(fixture_queue_stats(A).tx_reason, DPU_REASON_NONE);
}

static void test_no_filter_no_traffic(void **state)
{
	(void)state;
	one_frame_arrives(10, 100);
	assert_int_equal(dpu_port_set_filter(fx.port[A], NULL), 0);
	for (unsigned i = 0; i < 10; i++) {
		size_t bytes = fixture_frame(A, B, 10, sent);

		assert_true(driver_send(&fx.driver[A], 0, NULL, sent, bytes, 100));
		assert_int_equal(fixture_round(), 1);
	}
	assert_int_equal(driver_receive(&fx.driver[B], 0, &hdr, got, sizeof(got)), 0);
	assert_int_equal(fixture_port_stats(A).drops_tx[DPU_DROP_NO_FILTER], 10);
	assert_int_equal(dpu_port_set_filter(fx.port[A], fx.filter), 0);
	driver_reclaim(&fx.driver[A], 0);
	one_frame_arrives(10, 100);

	/* and the receiver's counts as much */
	assert_int_equal(dpu_port_set_filter(fx.port[B], NULL), 0);
	assert_true(driver_send(&fx.driver[A], 0, NULL, sent, fixture_frame(A, B, 10, sent), 100));
	assert_int_equal(fixture_round(), 1);
	assert_int_equal(driver_receive(&fx.driver[B], 0, &hdr, got, sizeof(got)), 0);
	assert_int_equal(fixture_port_stats(B).drops_rx[DPU_DROP_NO_FILTER], 1);
}

/* The programs count by themselves: as many executions as packets, on both sides. */
static void test_packets_equal_executions(void **state)
{
	struct virtio_net_hdr gso;
	size_t bytes;

	(void)state;
	for (unsigned i = 0; i < 100; i++)
		one_frame_arrives(i, 1000);
	bytes = fixture_frame(A, B, 30000, sent);
	gso = make_gso(sent, 1448);
	assert_true(driver_send(&fx.driver[A], 0, &gso, sent, bytes, 2048));
	fixture_round();
	assert_int_equal(fixture_queue_stats(A).tx_packets, 101);
	assert_int_equal(fixture_counter(A, LEAT_COUNT_EGRESS), 101);
	assert_int_equal(fixture_port_stats(A).egress_runs, 101);
	assert_int_equal(fixture_queue_stats(B).rx_packets, 101);
	assert_int_equal(fixture_counter(B, LEAT_COUNT_INGRESS), 101);
	assert_int_equal(fixture_counter(A, LEAT_COUNT_PASS_EGRESS), 101);
}

static void test_spoofed_source(void **state)
{
	size_t bytes = fixture_frame(A, B, 20, sent);

	(void)state;
	sent[14 + 15] = 77; /* last byte of the source address */
	assert_true(driver_send(&fx.driver[A], 0, NULL, sent, bytes, 100));
	fixture_round();
	bytes = fixture_frame(A, B, 20, sent);
	sent[11] = 77; /* source MAC */
	assert_true(driver_send(&fx.driver[A], 0, NULL, sent, bytes, 100));
	fixture_round();
	assert_int_equal(driver_receive(&fx.driver[B], 0, &hdr, got, sizeof(got)), 0);
	assert_int_equal(fixture_port_stats(A).drops_tx[DPU_DROP_EGRESS], 2);
	assert_int_equal(fixture_counter(A, LEAT_COUNT_DROP_IPV4), 1);
	assert_int_equal(fixture_counter(A, LEAT_COUNT_DROP_MAC), 1);
}

/* A receiver without buffers holds its sender back for a moment, then the frame is dropped. */
static void test_slow_receiver(void **state)
{
	size_t bytes = fixture_frame(A, B, 1000, sent);
	struct dpu_port_stats stats;

	(void)state;
	for (unsigned i = 0; i < 32; i++) {
		assert_true(driver_send(&fx.driver[A], 0, NULL, sent, bytes, 2000));
		assert_int_equal(fixture_round(), 1);
	}
	assert_true(driver_send(&fx.driver[A], 0, NULL, sent, bytes, 2000));
	assert_int_equal(fixture_round(), 0);
	assert_int_equal(fixture_port_stats(A).egress_runs, 32); /* judged when it goes, not before
								  */
	assert_int_equal(driver_receive(&fx.driver[B], 0, &hdr, got, sizeof(got)), bytes);
	assert_int_equal(fixture_round(), 1);
	assert_true(driver_send(&fx.driver[A], 0, NULL, sent, bytes, 2000));
	assert_int_equal(fixture_round(), 0);
	fx.now_ns += 10000000;
	assert_int_equal(fixture_round(), 1);
	stats = fixture_port_stats(B);
	assert_int_equal(stats.drops_rx[DPU_DROP_RX_FULL], 1);
	assert_int_equal(fixture_queue_stats(B).rx_packets, 33);
}

static void arp_request(unsigned from, uint32_t target_ip, uint8_t *frame)
{
	static const uint8_t start[] = {0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, 1};
	uint32_t ip = fixture_ip(from);

	memset(frame, 0, 60);
	memset(frame, 0xff, 6);
	fixture_mac(from, frame + 6);
	memcpy(frame + 12, start, sizeof(start));
	fixture_mac(from, frame + 22);
	memcpy(frame + 28, &ip, 4);
	memcpy(frame + 38, &target_ip, 4);
}

static void test_arp_is_answered(void **state)
{
	uint8_t mac[6];
	uint32_t ip = fixture_ip(B);

	(void)state;
	arp_request(A, ip, sent);
	assert_true(driver_send(&fx.driver[A], 0, NULL, sent, 60, 100));
	assert_int_equal(fixture_round(), 1);
	assert_int_equal(driver_receive(&fx.driver[A], 0, &hdr, got, sizeof(got)), 60);
	fixture_mac(B, mac);
	assert_memory_equal(got + 22, mac, 6);
	assert_memory_equal(got + 28, &ip, 4);
	assert_int_equal(got[21], 2);
	assert_int_equal(driver_receive(&fx.driver[B], 0, &hdr, got, sizeof(got)), 0);
	assert_int_equal(fx.works[B], 0);
}

/* Link-local addresses hold the MAC that they are asked for. */
static void nd_question(unsigned from, unsigned about, uint8_t *frame)
{
	uint8_t mac[6];

	memset(frame, 0, 86);
	frame[0] = frame[1] = 0x33;
	frame[2] = 0xff;
	fixture_mac(from, mac);
	memcpy(frame + 6, mac, 6);
	frame[12] = 0x86;
	frame[13] = 0xdd;
	frame[14] = 0x60;
	frame[19] = 32;
	frame[20] = 58;
	frame[21] = 255;
	for (unsigned i = 0; i < 2; i++) {
		uint8_t *ip = frame + (i == 0 ? 22 : 62);

		fixture_mac(i == 0 ? from : about, mac);
		ip[0] = 0xfe;
		ip[1] = 0x80;
		ip[8] = mac[0] ^ 2;
		memcpy(ip + 9, mac + 1, 2);
		ip[11] = 0xff;
		ip[12] = 0xfe;
		memcpy(ip + 13, mac + 3, 3);
	}
	frame[38] = 0xff;
	frame[54] = 135;
	frame[78] = frame[79] = 1; /* the asker's MAC */
	fixture_mac(from, frame + 80);
}

static void test_nd_is_answered(void **state)
{
	uint32_t sum = 32 + 58;
	uint8_t mac[6];

	(void)state;
	nd_question(A, B, sent);
	assert_true(driver_send(&fx.driver[A], 0, NULL, sent, 86, 100));
	assert_int_equal(fixture_round(), 1);
	assert_int_equal(driver_receive(&fx.driver[A], 0, &hdr, got, sizeof(got)), 86);
	fixture_mac(B, mac);
	assert_memory_equal(got + 6, mac, 6);
	assert_int_equal(got[54], 136);
	assert_int_equal(got[58], 0x60);              /* an answer, that overrides */
	assert_memory_equal(got + 22, sent + 62, 16); /* from who was asked for */
	assert_memory_equal(got + 38, sent + 22, 16);
	assert_memory_equal(got + 62, sent + 62, 16);
	assert_int_equal(got[78], 2);
	assert_memory_equal(got + 80, mac, 6);
	for (unsigned i = 22; i < 86; i += 2)
		sum += (uint32_t)got[i] << 8 | got[i + 1];
	assert_int_equal((sum & 0xffff) + (sum >> 16), 0xffff);
	assert_int_equal(driver_receive(&fx.driver[B], 0, &hdr, got, sizeof(got)), 0);
	assert_int_equal(fx.works[B], 0);
}

static void test_other_tenant(void **state)
{
	struct dpu_port_config config = {
		.id = 9,
		.tenant = 2,
		.mtu = 1500,
		.ipv4_be = 0x0900630a,
		.prefix_len = 16,
		.nr_queue_pairs = 1,
		.window_bytes = DRIVER_WINDOW_BYTES,
		.owner = &fx.now_ns,
		.mac = {2, 0x1e, 0xa7, 0, 0, 9},
	};
	struct ebpf_object *passall;
	struct dpu_port *port;
	struct driver driver;
	size_t bytes;

	(void)state;
	assert_int_equal(driver_create(&driver), 0);
	config.window = driver.window;
	assert_int_equal(dpu_port_attach(fx.dpu, &config, &port), 0);
	assert_int_equal(dpu_port_set_filter(port, fx.filter), 0);
	driver_start(&driver, 8);
	arp_request(A, config.ipv4_be, sent);
	assert_true(driver_send(&fx.driver[A], 0, NULL, sent, 60, 100));
	fixture_round();
	assert_int_equal(fixture_port_stats(A).drops_tx[DPU_DROP_TENANT], 1);
	bytes = fixture_frame(A, B, 20, sent);
	memcpy(sent, config.mac, 6);
	assert_true(driver_send(&fx.driver[A], 0, NULL, sent, bytes, 100));
	fixture_round();
	assert_int_equal(fixture_port_stats(A).drops_tx[DPU_DROP_TENANT], 2);
	/* the switch itself refuses, whatever the filters say */
	passall = fixture_filter("passall");
	assert_int_equal(dpu_port_set_filter(port, passall), 0);
	assert_int_equal(dpu_port_set_filter(fx.port[A], passall), 0);
	ebpf_object_unref(passall);
	assert_true(driver_send(&fx.driver[A], 0, NULL, sent, bytes, 100));
	fixture_round();
	assert_int_equal(fixture_port_stats(A).drops_tx[DPU_DROP_TENANT], 3);
	memset(sent, 0xff, 6);
	assert_true(driver_send(&fx.driver[A], 0, NULL, sent, bytes, 100));
	fixture_round();
	assert_int_equal(driver_receive(&driver, 0, &hdr, got, sizeof(got)), 0);
	/* the broadcast reached the sender's own tenant */
	assert_int_equal(driver_receive(&fx.driver[B], 0, &hdr, got, sizeof(got)), bytes);
	dpu_port_detach(port);
	driver_destroy(&driver);
}

/*
 * The address of A was another's, whose MAC B still knows: the frame arrives all the same, and B is
 * told.
 */
static void test_stale_neighbour(void **state)
{
	static const uint8_t old[6] = {2, 0x1e, 0xa7, 0, 0, 0x77};
	uint32_t ip = fixture_ip(A);
	uint8_t mac[6];
	size_t bytes = fixture_frame(B, A, 100, sent);

	(void)state;
	fixture_mac(A, mac);
	memcpy(sent, old, 6);
	assert_true(driver_send(&fx.driver[B], 0, NULL, sent, bytes, 200));
	fixture_round();
	assert_int_equal(driver_receive(&fx.driver[A], 0, &hdr, got, sizeof(got)), bytes);
	assert_memory_equal(got, mac, 6);
	assert_memory_equal(got + 6, sent + 6, bytes - 6);
	assert_int_equal(driver_receive(&fx.driver[B], 0, &hdr, got, sizeof(got)), 60);
	assert_memory_equal(got + 12, "\x08\x06", 2);
	assert_memory_equal(got + 20, "\0\2", 2); /* a reply */
	assert_memory_equal(got + 22, mac, 6);
	assert_memory_equal(got + 28, &ip, 4);
	/* nobody's address goes out as before */
	sent[33] ^= 0x55;
	assert_true(driver_send(&fx.driver[B], 0, NULL, sent, bytes, 200));
	fixture_round();
	assert_int_equal(driver_receive(&fx.driver[A], 0, &hdr, got, sizeof(got)), 0);
	assert_int_equal(fixture_port_stats(B).drops_tx[DPU_DROP_NO_PORT], 1);
}

static void test_attach_refuses(void **state)
{
	struct dpu_port_config config = {
		.id = 3,
		.tenant = 1,
		.mtu = 1500,
		.ipv4_be = fixture_ip(A),
		.prefix_len = 16,
		.nr_queue_pairs = 1,
		.window_bytes = DRIVER_WINDOW_BYTES,
		.mac = {2, 0x1e, 0xa7, 0, 0, 9},
	};
	struct dpu_port *port = NULL;

	(void)state;
	config.window = fx.driver[A].window;
	assert_int_equal(dpu_port_attach(fx.dpu, &config, &port), -17); /* EEXIST: the address */
	config.ipv4_be = 0x0900630a;
	fixture_mac(B, config.mac);
	assert_int_equal(dpu_port_attach(fx.dpu, &config, &port), -17); /* the MAC */
	config.mac[0] = 1;
	assert_int_equal(dpu_port_attach(fx.dpu, &config, &port), -22); /* a group address */
	assert_null(port);
}

/* A third instance, C, whose filter does what its tag says (tests/bpf/helpers.bpf.c). */
struct third {
	struct dpu_port *port;
	struct driver driver;
	struct ebpf_object *filter, *passall;
};

static void third_attach(struct third *c, uint32_t tag)
{
	static unsigned owner = A;
	struct dpu_port_config config = {
		.id = 9,
		.tenant = 1,
		.tag = tag,
		.mtu = 1500,
		.ipv4_be = 0x0900630a,
		.prefix_len = 16,
		.nr_queue_pairs = 1,
		.window_bytes = DRIVER_WINDOW_BYTES,
		.mac = {2, 0x1e, 0xa7, 0, 0, 9},
		.owner = &owner,
	};

	c->filter = fixture_filter("../../tests/bpf/helpers");
	c->passall = fixture_filter("passall");
	assert_int_equal(driver_create(&c->driver), 0);
	config.window = c->driver.window;
	assert_int_equal(dpu_port_attach(fx.dpu, &config, &c->port), 0);
	assert_int_equal(dpu_port_set_filter(c->port, c->filter), 0);
	assert_int_equal(dpu_port_set_filter(fx.port[B], c->passall), 0);
	driver_start(&c->driver, 32);
}

static void third_detach(struct third *c)
{
	dpu_port_detach(c->port);
	driver_destroy(&c->driver);
	ebpf_object_unref(c->filter);
	ebpf_object_unref(c->passall);
}

static void third_send(struct third *c, const struct virtio_net_hdr *gso, size_t bytes)
{
	dpu_round_begin(fx.dpu, 0, fx.now_ns);
	assert_true(driver_send(&c->driver, 0, gso, sent, bytes, 2048));
	assert_int_equal(dpu_txq_poll(c->port, 0, 0, 32), 1);
	dpu_round_end(fx.dpu, 0);
	assert_int_equal(driver_reclaim(&c->driver, 0), 1);
}

static uint64_t third_drops(const struct third *c, enum dpu_drop reason)
{
	struct dpu_port_stats stats;

	dpu_port_stats_get(c->port, &stats);
	return stats.drops_tx[reason];
}

/* A frame for nobody's address goes where the handle leads, and only within the tenant. */
static void test_redirect(void **state)
{
	size_t bytes = fixture_frame(A, B, 300, sent);
	struct third c;

	(void)state;
	third_attach(&c, CASE_REDIRECT);
	memset(sent, 0x42, 6);
	third_send(&c, NULL, bytes);
	assert_int_equal(third_drops(&c, DPU_DROP_EGRESS), 1);
	assert_int_equal(dpu_port_handle_set(c.port, "nothing", 0, 2), -ENOENT);
	assert_int_equal(dpu_port_handle_set(c.port, "result", 0, 2), -ENOENT);
	assert_int_equal(dpu_port_handle_set(c.port, "handles", 0, 77), -EPERM);
	assert_int_equal(dpu_port_handle_set(c.port, "handles", 4, 2), -E2BIG);
	assert_int_equal(dpu_port_handle_set(c.port, "handles", 0, 2), 0);
	third_send(&c, NULL, bytes);
	assert_int_equal(driver_receive(&fx.driver[B], 0, &hdr, got, sizeof(got)), bytes);
	assert_memory_equal(sent, got, bytes);
	/* also away from the one that it is addressed to */
	assert_int_equal(dpu_port_handle_set(c.port, "handles", 0, 1), 0);
	fixture_mac(B, sent);
	third_send(&c, NULL, bytes);
	assert_int_equal(driver_receive(&fx.driver[B], 0, &hdr, got, sizeof(got)), 0);
	assert_int_equal(fixture_port_stats(A).drops_rx[DPU_DROP_INGRESS], 1);
	assert_int_equal(dpu_port_handle_set(c.port, "handles", 0, 0), 0);
	third_send(&c, NULL, bytes);
	assert_int_equal(third_drops(&c, DPU_DROP_EGRESS), 2);
	third_detach(&c);
}

/* What the filter writes is what arrives, the payload behind the head unchanged. */
static void test_rewrite(void **state)
{
	static const uint8_t address[] = {10, 99, 99, 99};
	struct virtio_net_hdr gso;
	struct third c;
	size_t bytes;

	(void)state;
	third_attach(&c, CASE_REWRITE);
	bytes = fixture_frame(A, B, 20000, sent);
	gso = make_gso(sent, 1448);
	third_send(&c, &gso, bytes);
	assert_int_equal(driver_receive(&fx.driver[B], 0, &hdr, got, sizeof(got)), bytes);
	assert_memory_equal(got + 30, address, 4);
	assert_int_equal(got[36] << 8 | got[37], 8080);
	assert_memory_equal(sent + 54, got + 54, bytes - 54);
	assert_int_equal(hdr.hdr.csum_start, 34);
	third_detach(&c);
}

/* A destination that the filter wrote is looked up again. */
static void test_rewritten_destination(void **state)
{
	size_t bytes = fixture_frame(A, B, 300, sent);
	struct third c;

	(void)state;
	third_attach(&c, CASE_DIRECT);
	third_send(&c, NULL, bytes);
	assert_int_equal(driver_receive(&fx.driver[B], 0, &hdr, got, sizeof(got)), 0);
	assert_int_equal(third_drops(&c, DPU_DROP_NO_PORT), 1);
	third_detach(&c);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_delivery),
		TEST(test_ring_wrap),
		TEST(test_gso_passes_whole),
		TEST(test_receiver_without_tso),
		TEST(test_offload_lies),
		TEST(test_no_filter_no_traffic),
		TEST(test_packets_equal_executions),
		TEST(test_spoofed_source),
		TEST(test_slow_receiver),
		TEST(test_arp_is_answered),
		TEST(test_nd_is_answered),
		TEST(test_other_tenant),
		TEST(test_stale_neighbour),
		TEST(test_attach_refuses),
		TEST(test_redirect),
		TEST(test_rewrite),
		TEST(test_rewritten_destination),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
