/*
 * Limits and fair shares: token buckets of a port in both directions, changed while frames wait,
 * and deficit round robin between queues.
 */
#include "tests/dpu/fixture.h"

#include <errno.h>
#include <string.h>

static uint8_t frame[70000], got[70000];
static struct virtio_net_hdr_mrg_rxbuf hdr;

/* Keeps `from`'s queue filled with frames for the other one for so long; returns those that came.
 */
static unsigned pump(unsigned from, size_t payload, uint64_t ns, uint64_t step_ns)
{
	unsigned to = from == A ? B : A, came = 0;
	uint64_t end_ns = fx.now_ns + ns;
	size_t bytes = fixture_frame(from, to, payload, frame);

	while (fx.now_ns < end_ns) {
		struct driver_queue *q = &fx.driver[from].tx[0];

		driver_reclaim(&fx.driver[from], 0);
		while ((uint16_t)(q->avail->idx - q->used_seen) < q->size / 4)
			assert_true(driver_send(&fx.driver[from], 0, NULL, frame, bytes, 1000));
		fx.now_ns += step_ns;
		fixture_round();
		while (driver_receive(&fx.driver[to], 0, &hdr, got, sizeof(got)))
			came++;
	}
	return came;
}

static void limit(unsigned instance, uint64_t pps, uint64_t bytes_per_s, uint64_t burst)
{
	const struct dpu_limits limits = {
		.pps = pps,
		.bytes_per_s = bytes_per_s,
		.pps_burst = pps ? burst : 0,
		.bytes_burst = bytes_per_s ? burst : 0,
	};

	assert_int_equal(dpu_port_set_limits(fx.port[instance], &limits), 0);
}

static void test_frames_a_second(void **state)
{
	unsigned came;

	(void)state;
	limit(A, 100000, 0, 20);
	came = pump(A, 100, 100000000, 10000); /* 0.1 s */
	assert_in_range(came, 9900, 10021);
	/* nothing was lost by it */
	assert_int_equal(fixture_port_stats(B).drops_rx[DPU_DROP_LIMIT], 0);
	assert_int_equal(fixture_queue_stats(A).tx_packets, came);
	assert_true(fixture_queue_stats(A).tx_waits > 100);
}

static void test_bytes_a_second(void **state)
{
	unsigned came;

	(void)state;
	limit(A, 0, 10000000, 5000);
	came = pump(A, 958, 100000000, 10000); /* 1000 bytes each: 1 MB in 0.1 s */
	assert_in_range(came, 985, 1006);
}

/* The smaller of the two limits rules; the other direction is free of them. */
static void test_both(void **state)
{
	struct dpu_limits limits = {.pps = 1000, .bytes_per_s = 1000000000};

	(void)state;
	assert_int_equal(dpu_port_set_limits(fx.port[A], &limits), 0);
	assert_in_range(pump(A, 100, 1000000000, 50000), 1000, 1065);
	limits.pps = 1000000;
	limits.bytes_per_s = 142000;
	limits.bytes_burst = 142;
	assert_int_equal(dpu_port_set_limits(fx.port[A], &limits), 0);
	assert_in_range(pump(A, 100, 1000000000, 50000), 950, 1002);
}

static void test_what_is_received(void **state)
{
	unsigned came;
	uint64_t sent, dropped;

	(void)state;
	limit(B, 50000, 0, 10);
	came = pump(A, 100, 100000000, 10000);
	assert_in_range(came, 4900, 5011);
	sent = fixture_queue_stats(A).tx_packets;
	dropped = fixture_port_stats(B).drops_rx[DPU_DROP_LIMIT];
	assert_true(dropped > 0);
	assert_int_equal(sent, came + dropped); /* each has a reason */
}

/* A frame longer than the burst passes a full bucket, and is paid for afterwards. */
static void test_longer_than_the_burst(void **state)
{
	(void)state;
	limit(A, 0, 1000000, 100);
	assert_in_range(pump(A, 958, 100000000, 10000), 98, 102);
}

/* A queue that would wait for minutes goes on when its limit is lifted. */
static void test_changed_while_waiting(void **state)
{
	(void)state;
	limit(A, 0, 10, 1);
	assert_int_equal(pump(A, 958, 10000000, 10000), 1);
	assert_true(dpu_txq_pending(fx.port[A], 0));
	assert_true(dpu_txq_ready_ns(fx.port[A], 0) > fx.now_ns + 10000000000);
	limit(A, 0, 0, 0);
	assert_int_equal(dpu_txq_ready_ns(fx.port[A], 0), 0);
	assert_true(fixture_round() > 0);
}

static void test_refused(void **state)
{
	const struct dpu_limits too_much = {.pps = DPU_LIMIT_MAX + 1};
	const struct dpu_limits most = {.pps = DPU_LIMIT_MAX,
					.bytes_per_s = DPU_LIMIT_MAX,
					.pps_burst = UINT64_MAX,
					.bytes_burst = UINT64_MAX};
	struct dpu_limits now;

	(void)state;
	assert_int_equal(dpu_port_set_limits(fx.port[A], &too_much), -ERANGE);
	assert_int_equal(dpu_port_set_limits(fx.port[A], &most), 0);
	dpu_port_limits_get(fx.port[A], &now);
	assert_int_equal(now.pps_burst, DPU_LIMIT_BURST_MAX);
	assert_true(pump(A, 100, 1000000, 10000) > 100);
}

/* 31 frames of 60000 bytes from one buffer; their false sender address has them dropped. */
static void send_long(void)
{
	struct driver_queue *q = &fx.driver[A].tx[0];
	struct virtio_net_hdr gso = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
				     .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
				     .gso_size = 1400,
				     .csum_start = 34,
				     .csum_offset = 16};
	uint8_t *buffer = (uint8_t *)fx.driver[A].window + ABI_BUFS_OFF;
	uint16_t n = 31;

	fixture_frame(A, B, 60000, frame);
	frame[11]++;
	frame[14 + 9] = 6; /* TCP, a header of 20 bytes */
	frame[14 + 20 + 12] = 0x50;
	memset(buffer, 0, DRIVER_HDR_BYTES);
	memcpy(buffer, &gso, sizeof(gso));
	memcpy(buffer + DRIVER_HDR_BYTES, frame, 60042);
	for (uint16_t i = 0; i < n; i++) {
		q->desc[i] = (struct vring_desc){ABI_BUFS_OFF, DRIVER_HDR_BYTES + 60042, 0, 0};
		q->avail->ring[i] = i;
	}
	__atomic_store_n(&q->avail->idx, n, __ATOMIC_RELEASE);
}

static unsigned poll_of(unsigned instance)
{
	unsigned n;

	fx.now_ns += 1000;
	dpu_round_begin(fx.dpu, 0, fx.now_ns);
	n = dpu_txq_poll(fx.port[instance], 0, 0, 64);
	dpu_round_end(fx.dpu, 0);
	return n;
}

/* Each poll lets a queue have the same share of the DPU, in long frames or in short ones. */
static void test_shares(void **state)
{
	size_t bytes = fixture_frame(B, A, 100, frame);
	unsigned taken = 0, polls = 0, most = 0;

	(void)state;
	for (unsigned i = 0; i < 16; i++)
		assert_true(driver_send(&fx.driver[B], 0, NULL, frame, bytes, 1000));
	send_long();
	while (taken < 31) {
		unsigned n = poll_of(A);

		assert_in_range(n, 1, 5); /* 256 KiB are four of them and a bit */
		most = n > most ? n : most;
		taken += n;
		polls++;
		assert_true(taken * 60042UL <= polls * 262144UL + 60042UL);
	}
	assert_int_equal(most, 5);
	assert_int_equal(fixture_port_stats(A).drops_tx[DPU_DROP_EGRESS], 31);
	assert_int_equal(poll_of(B), 16);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_frames_a_second),
		TEST(test_bytes_a_second),
		TEST(test_both),
		TEST(test_what_is_received),
		TEST(test_longer_than_the_burst),
		TEST(test_changed_while_waiting),
		TEST(test_refused),
		TEST(test_shares),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
