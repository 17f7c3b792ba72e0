/*
 * Kinds of rings: split and packed, chains in the ring and in indirect tables, each both ways and
 * many times around; and packed rings and tables that lie.
 */
#include "tests/dpu/fixture.h"

#include <stdlib.h>
#include <string.h>

static uint8_t frame[70000], got[70000];
static struct virtio_net_hdr_mrg_rxbuf hdr;

/* A frame from one to the other arrives as it was sent, and its buffers come back. */
static void exchange(unsigned from, unsigned to, size_t payload, size_t cut)
{
	size_t bytes = fixture_frame(from, to, payload, frame);

	assert_true(driver_send(&fx.driver[from], 0, NULL, frame, bytes, cut));
	assert_int_equal(fixture_round(), 1);
	assert_int_equal(driver_receive(&fx.driver[to], 0, &hdr, got, sizeof(got)), bytes);
	assert_memory_equal(got, frame, bytes);
	assert_int_equal(driver_reclaim(&fx.driver[from], 0), 1);
}

static void test_around(void **state)
{
	(void)state;
	srandom(7);
	for (unsigned i = 0; i < 2000; i++) {
		fx.driver[A].indirect = random() % 2;
		fx.driver[B].indirect = random() % 2;
		exchange(A, B, 20 + (size_t)random() % 1400, 30 + (size_t)random() % 1500);
		exchange(B, A, 20 + (size_t)random() % 1400, 30 + (size_t)random() % 1500);
	}
	assert_int_equal(fixture_queue_stats(A).tx_reason, DPU_REASON_NONE);
	assert_int_equal(fixture_queue_stats(A).rx_reason, DPU_REASON_NONE);
}

/* Many at once: shown together, in their order, over the ring's end. */
static void test_batches(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 50; round++) {
		for (uint8_t i = 0; i < 20; i++) {
			size_t bytes = fixture_frame(A, B, 100, frame);

			frame[50] = i;
			assert_true(driver_send(&fx.driver[A], 0, NULL, frame, bytes, 200));
		}
		assert_int_equal(fixture_round(), 20);
		for (uint8_t i = 0; i < 20; i++) {
			assert_int_equal(driver_receive(&fx.driver[B], 0, &hdr, got, sizeof(got)),
					 142);
			assert_int_equal(got[50], i);
		}
		assert_int_equal(driver_reclaim(&fx.driver[A], 0), 20);
	}
}

/* A frame of 60 KB into buffers of 2 KB: mergeable buffers, one header. */
static void test_merged(void **state)
{
	const struct virtio_net_hdr tso = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
					   .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
					   .gso_size = 1448,
					   .csum_start = 34,
					   .csum_offset = 16,
					   .hdr_len = 54};

	(void)state;
	for (unsigned i = 0; i < 20; i++) {
		size_t bytes = fixture_frame(A, B, 60000, frame);

		frame[14 + 9] = 6;
		frame[34 + 12] = 0x50;
		fx.driver[A].indirect = i % 2;
		assert_true(driver_send(&fx.driver[A], 0, &tso, frame, bytes, 2048));
		assert_int_equal(fixture_round(), 1);
		assert_int_equal(driver_receive(&fx.driver[B], 0, &hdr, got, sizeof(got)), bytes);
		assert_memory_equal(got, frame, bytes);
		assert_true(hdr.num_buffers == 30);
		assert_int_equal(hdr.hdr.gso_type, VIRTIO_NET_HDR_GSO_TCPV4);
		assert_int_equal(driver_reclaim(&fx.driver[A], 0), 1);
	}
}

/* used_event or the driver's event structure tells whether it has seen what it was given. */
static void test_unseen(void **state)
{
	size_t bytes = fixture_frame(A, B, 30, frame);

	(void)state;
	fixture_round(); /* the rings are bound */
	for (unsigned i = 0; i < 100; i++) {
		assert_false(dpu_rxq_unseen(fx.port[B], 0));
		assert_false(dpu_txq_pending(fx.port[A], 0));
		assert_true(driver_send(&fx.driver[A], 0, NULL, frame, bytes, 100));
		assert_true(dpu_txq_pending(fx.port[A], 0));
		fixture_round();
		assert_false(dpu_txq_pending(fx.port[A], 0));
		assert_true(dpu_rxq_unseen(fx.port[B], 0));
		assert_int_equal(driver_receive(&fx.driver[B], 0, &hdr, got, sizeof(got)), bytes);
		driver_reclaim(&fx.driver[A], 0);
	}
}

static void stopped(enum dpu_reason reason)
{
	struct dpu_queue_stats stats;

	fixture_round();
	stats = fixture_queue_stats(A);
	assert_string_equal(dpu_reason_name(stats.tx_reason), dpu_reason_name(reason));
	assert_int_equal(stats.rx_reason, DPU_REASON_NONE);
	assert_int_equal(driver_receive(&fx.driver[B], 0, &hdr, got, sizeof(got)), 0);
	exchange(B, A, 30, 100);
}

/* A frame in flight, and the parts of its chain. */
static struct vring_packed_desc *packed_sent(void)
{
	size_t bytes = fixture_frame(A, B, 100, frame);

	assert_true(driver_send(&fx.driver[A], 0, NULL, frame, bytes, 50));
	return fx.driver[A].tx[0].packed;
}

static void test_packed_range(void **state)
{
	(void)state;
	packed_sent()[1].addr = DRIVER_WINDOW_BYTES - 1;
	stopped(DPU_REASON_RANGE);
}

static void test_packed_control_words(void **state)
{
	(void)state;
	packed_sent()[1].addr = ABI_VCPUS_OFF;
	stopped(DPU_REASON_RANGE);
}

static void test_packed_empty(void **state)
{
	(void)state;
	packed_sent()[1].len = 0;
	stopped(DPU_REASON_EMPTY);
}

static void test_packed_write_flag(void **state)
{
	(void)state;
	packed_sent()[1].flags |= VRING_DESC_F_WRITE;
	stopped(DPU_REASON_FLAGS);
}

/* A chain that never ends goes once around the ring. */
static void test_packed_endless(void **state)
{
	struct vring_packed_desc *desc = packed_sent();

	(void)state;
	for (unsigned i = 0; i < DRIVER_RING; i++)
		desc[i] = (struct vring_packed_desc){desc[0].addr, 12, 0,
						     VRING_DESC_F_NEXT | desc[0].flags};
	stopped(DPU_REASON_CHAIN);
}

static void test_packed_layout(void **state)
{
	struct driver *driver = &fx.driver[A];

	(void)state;
	/* before its first frame: the rings are bound at the first look */
	driver->dev->queue[1].used_off = DRIVER_WINDOW_BYTES - 2;
	fixture_round();
	assert_int_equal(fixture_queue_stats(A).tx_reason, DPU_REASON_LAYOUT);
	assert_true(driver->dev->device_status & ABI_NET_S_FAILED);
}

/* Sends a frame by an indirect table, the single descriptor of which is changed by the caller. */
struct indirect {
	__u64 *addr;
	uint32_t *len;
	uint16_t *flags;
	struct vring_desc *table;
};

static struct indirect indirect_sent(void)
{
	struct driver_queue *q = &fx.driver[A].tx[0];
	size_t bytes = fixture_frame(A, B, 100, frame);

	fx.driver[A].indirect = true;
	assert_true(driver_send(&fx.driver[A], 0, NULL, frame, bytes, 50));
	if (fx.driver[A].packed)
		return (struct indirect){&q->packed[0].addr, &q->packed[0].len, &q->packed[0].flags,
					 (void *)(fx.driver[A].window + q->packed[0].addr)};
	return (struct indirect){&q->desc[0].addr, &q->desc[0].len, &q->desc[0].flags,
				 (void *)(fx.driver[A].window + q->desc[0].addr)};
}

static void test_table_of_nothing(void **state)
{
	(void)state;
	*indirect_sent().len = 0;
	stopped(DPU_REASON_INDIRECT);
}

static void test_table_of_a_half(void **state)
{
	(void)state;
	*indirect_sent().len -= 8;
	stopped(DPU_REASON_INDIRECT);
}

static void test_table_outside(void **state)
{
	(void)state;
	*indirect_sent().addr = DRIVER_WINDOW_BYTES - 16;
	stopped(DPU_REASON_RANGE);
}

static void test_table_of_control_words(void **state)
{
	(void)state;
	*indirect_sent().addr = 0;
	stopped(DPU_REASON_RANGE);
}

static void test_table_too_long(void **state)
{
	struct indirect sent = indirect_sent();

	(void)state;
	*sent.len = 4000 * sizeof(*sent.table);
	for (uint16_t i = 0; i < 4000; i++)
		sent.table[i] =
			(struct vring_desc){sent.table[0].addr, 12,
					    (uint16_t)(fx.driver[A].packed ? 0 : VRING_DESC_F_NEXT),
					    (uint16_t)(fx.driver[A].packed ? 0 : i + 1)};
	stopped(DPU_REASON_CHAIN);
}

static void test_table_in_a_table(void **state)
{
	struct indirect sent = indirect_sent();
	uint16_t *flags = fx.driver[A].packed ? &((struct vring_packed_desc *)sent.table)[1].flags :
						&sent.table[1].flags;

	(void)state;
	*flags |= VRING_DESC_F_INDIRECT;
	stopped(DPU_REASON_FLAGS);
}

static void test_table_and_next(void **state)
{
	(void)state;
	*indirect_sent().flags |= VRING_DESC_F_NEXT;
	stopped(DPU_REASON_FLAGS);
}

static void test_table_element_outside(void **state)
{
	(void)state;
	indirect_sent().table[1].addr = UINT64_MAX - 20;
	stopped(DPU_REASON_RANGE);
}

/* Anything at all in the ring, its events and its tables: it ends, and hurts nobody else. */
static void test_random_bytes(void **state)
{
	struct driver_queue *q = &fx.driver[A].tx[0];
	unsigned stops = 0;

	(void)state;
	srandom(3);
	for (unsigned i = 0; i < 20000; i++) {
		uint8_t *ring =
			(uint8_t *)(fx.driver[A].packed ? (void *)q->packed : (void *)q->desc);
		uint8_t *table = (uint8_t *)fx.driver[A].window + q->tables_off;

		fx.driver[A].indirect = i & 1;
		(void)driver_send(&fx.driver[A], 0, NULL, frame, fixture_frame(A, B, 100, frame),
				  50);
		for (unsigned n = (unsigned)random() % 4; n; n--) {
			ring[(size_t)random() % 1024] = (uint8_t)random();
			table[(size_t)random() % 4096] = (uint8_t)random();
		}
		fixture_round();
		while (driver_receive(&fx.driver[B], 0, &hdr, got, sizeof(got)))
			;
		if (fixture_queue_stats(A).tx_reason == DPU_REASON_NONE)
			continue;
		stops++;
		exchange(B, A, 40, 100);
		/* a fresh instance in its place */
		dpu_port_detach(fx.port[A]);
		driver_destroy(&fx.driver[A]);
		fixture_attach_again(A);
		q = &fx.driver[A].tx[0];
	}
	assert_true(stops > 100);
	assert_int_equal(fixture_queue_stats(B).rx_reason, DPU_REASON_NONE);
}

#define SPLIT(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
#define PACKED(name) cmocka_unit_test_setup_teardown(name, fixture_setup_packed, fixture_teardown)
#define BOTH(name) SPLIT(name), PACKED(name)

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(test_around),           BOTH(test_batches),
		BOTH(test_merged),           BOTH(test_unseen),
		PACKED(test_packed_range),   PACKED(test_packed_control_words),
		PACKED(test_packed_empty),   PACKED(test_packed_write_flag),
		PACKED(test_packed_endless), PACKED(test_packed_layout),
		BOTH(test_table_of_nothing), BOTH(test_table_of_a_half),
		BOTH(test_table_outside),    BOTH(test_table_of_control_words),
		BOTH(test_table_too_long),   BOTH(test_table_in_a_table),
		BOTH(test_table_and_next),   BOTH(test_table_element_outside),
		BOTH(test_random_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
