/*
 * Rings of drivers that lie: each lie stops the queue that tells it, with its reason, and no other;
 * and packets that are rewritten while they are in flight.
 */
#include "tests/dpu/fixture.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static uint8_t frame[70000], got[70000];
static struct virtio_net_hdr_mrg_rxbuf hdr;

static void send_good(void)
{
	size_t bytes = fixture_frame(A, B, 100, frame);

	assert_true(driver_send(&fx.driver[A], 0, NULL, frame, bytes, 50));
}

/* A's transmit queue is stopped for this reason; B's two queues and A's other one go on. */
static void tx_stopped(enum dpu_reason reason)
{
	struct dpu_queue_stats stats;
	size_t bytes = fixture_frame(B, A, 30, frame);

	fixture_round();
	stats = fixture_queue_stats(A);
	assert_string_equal(dpu_reason_name(stats.tx_reason), dpu_reason_name(reason));
	assert_int_equal(stats.rx_reason, DPU_REASON_NONE);
	assert_int_equal(fx.driver[A].dev->device_reason, reason);
	assert_true(fx.driver[A].dev->device_status & ABI_NET_S_NEEDS_RESET);
	assert_int_equal(driver_receive(&fx.driver[B], 0, &hdr, got, sizeof(got)), 0);
	assert_true(driver_send(&fx.driver[B], 0, NULL, frame, bytes, 50));
	assert_int_equal(fixture_round(), 1);
	assert_int_equal(driver_receive(&fx.driver[A], 0, &hdr, got, sizeof(got)), bytes);
	assert_int_equal(fixture_queue_stats(B).tx_reason, DPU_REASON_NONE);
}

static struct driver_queue *tx(void)
{
	return &fx.driver[A].tx[0];
}

static void test_avail_jump(void **state)
{
	(void)state;
	tx()->avail->idx = DRIVER_RING + 1;
	tx_stopped(DPU_REASON_AVAIL);
}

static void test_avail_backwards(void **state)
{
	(void)state;
	send_good();
	assert_int_equal(fixture_round(), 1);
	assert_true(driver_receive(&fx.driver[B], 0, &hdr, got, sizeof(got)) > 0);
	tx()->avail->idx--;
	tx_stopped(DPU_REASON_AVAIL);
}

static void test_head_out_of_range(void **state)
{
	(void)state;
	tx()->avail->ring[0] = DRIVER_RING;
	tx()->avail->idx = 1;
	tx_stopped(DPU_REASON_INDEX);
}

static void test_next_out_of_range(void **state)
{
	(void)state;
	send_good();
	tx()->desc[1].next = 0xffff;
	tx_stopped(DPU_REASON_INDEX);
}

static void test_loop(void **state)
{
	(void)state;
	send_good();
	tx()->desc[1].next = 0;
	tx_stopped(DPU_REASON_CHAIN);
}

static void test_self_loop(void **state)
{
	(void)state;
	send_good();
	tx()->desc[0].next = 0;
	tx_stopped(DPU_REASON_CHAIN);
}

static void test_out_of_window(void **state)
{
	(void)state;
	send_good();
	tx()->desc[1].addr = DRIVER_WINDOW_BYTES - 1;
	tx_stopped(DPU_REASON_RANGE);
}

static void test_address_overflow(void **state)
{
	(void)state;
	send_good();
	tx()->desc[1].addr = UINT64_MAX - 10;
	tx_stopped(DPU_REASON_RANGE);
}

static void test_length_overflow(void **state)
{
	(void)state;
	send_good();
	tx()->desc[1].len = UINT32_MAX;
	tx_stopped(DPU_REASON_RANGE);
}

/* The control words are not for packets: reading them out or having them written over. */
static void test_control_words(void **state)
{
	(void)state;
	send_good();
	tx()->desc[1].addr = ABI_VCPUS_OFF;
	tx_stopped(DPU_REASON_RANGE);
}

static void test_length_zero(void **state)
{
	(void)state;
	send_good();
	tx()->desc[1].len = 0;
	tx_stopped(DPU_REASON_EMPTY);
}

static void test_shorter_than_header(void **state)
{
	(void)state;
	send_good();
	tx()->desc[0].len = 11;
	tx()->desc[0].flags = 0;
	tx_stopped(DPU_REASON_EMPTY);
}

static void test_write_flag(void **state)
{
	(void)state;
	send_good();
	tx()->desc[1].flags |= VRING_DESC_F_WRITE;
	tx_stopped(DPU_REASON_FLAGS);
}

static void test_indirect(void **state)
{
	(void)state;
	send_good();
	tx()->desc[0].flags |= VRING_DESC_F_INDIRECT;
	tx_stopped(DPU_REASON_FLAGS);
}

/* Buffers may lie one upon the other: that is the driver's own business. */
static void test_header_only(void **state)
{
	(void)state;
	send_good();
	tx()->desc[0].flags = 0;
	assert_int_equal(fixture_round(), 1);
	assert_int_equal(fixture_port_stats(A).drops_tx[DPU_DROP_LENGTH], 1);
	assert_int_equal(fixture_queue_stats(A).tx_reason, DPU_REASON_NONE);
}

static void test_huge_frame(void **state)
{
	struct driver_queue *q = tx();

	(void)state;
	send_good();
	q->desc[1].len = 1 << 20;
	q->desc[1].addr = ABI_BUFS_OFF;
	q->desc[1].flags = 0;
	assert_int_equal(fixture_round(), 1);
	assert_int_equal(fixture_port_stats(A).drops_tx[DPU_DROP_LENGTH], 1);
}

/* The same for receive queues: the sender, the other way and other instances go on. */
static void rx_stopped(enum dpu_reason reason)
{
	size_t bytes;

	send_good();
	fixture_round();
	fx.now_ns += 1000000;
	fixture_round();
	assert_string_equal(dpu_reason_name(fixture_queue_stats(B).rx_reason),
			    dpu_reason_name(reason));
	assert_int_equal(fixture_queue_stats(A).tx_reason, DPU_REASON_NONE);
	assert_int_equal(fixture_port_stats(B).drops_rx[DPU_DROP_RX_DOWN], 1);
	bytes = fixture_frame(B, A, 30, frame);
	assert_true(driver_send(&fx.driver[B], 0, NULL, frame, bytes, 50));
	assert_int_equal(fixture_round(), 1);
	assert_int_equal(driver_receive(&fx.driver[A], 0, &hdr, got, sizeof(got)), bytes);
}

static void test_rx_avail_jump(void **state)
{
	(void)state;
	fx.driver[B].rx[0].avail->idx += 1000;
	rx_stopped(DPU_REASON_AVAIL);
}

static void test_rx_read_only(void **state)
{
	(void)state;
	fx.driver[B].rx[0].desc[0].flags = 0;
	rx_stopped(DPU_REASON_FLAGS);
}

static void test_rx_into_control_words(void **state)
{
	(void)state;
	fx.driver[B].rx[0].desc[0].addr = ABI_VCPUS_OFF;
	rx_stopped(DPU_REASON_RANGE);
}

static void test_rx_no_room_for_header(void **state)
{
	(void)state;
	fx.driver[B].rx[0].desc[0].len = 4;
	rx_stopped(DPU_REASON_EMPTY);
}

static void test_rx_loop(void **state)
{
	(void)state;
	fx.driver[B].rx[0].desc[0].flags |= VRING_DESC_F_NEXT;
	fx.driver[B].rx[0].desc[0].next = 0;
	rx_stopped(DPU_REASON_CHAIN);
}

/* Register blocks that no queue can be made of. */
static void block_refused(struct abi_netq bad, uint64_t features, enum dpu_reason reason)
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
	};
	struct dpu_queue_stats stats;
	struct driver driver;
	struct dpu_port *port;

	assert_int_equal(driver_create(&driver), 0);
	config.window = driver.window;
	assert_int_equal(dpu_port_attach(fx.dpu, &config, &port), 0);
	driver.dev->queue[0] = bad;
	driver.dev->queue[1] = bad;
	driver.dev->driver_features = features;
	driver.dev->driver_status = ABI_NET_S_DRIVER_OK;
	dpu_round_begin(fx.dpu, 0, 1);
	assert_int_equal(dpu_txq_poll(port, 0, 0, 64), 0);
	dpu_round_end(fx.dpu, 0);
	assert_int_equal(driver.dev->device_status, ABI_NET_S_FAILED);
	assert_int_equal(driver.dev->device_reason, reason);
	assert_int_equal(dpu_port_queue_stats_get(port, 0, &stats), 0);
	assert_int_equal(stats.tx_reason, reason);
	dpu_port_detach(port);
	driver_destroy(&driver);
}

static void test_register_blocks(void **state)
{
	const uint64_t ok = ABI_F_VERSION_1 | ABI_NET_F_GUEST_CSUM;
	const struct abi_netq good = {64, 0, ABI_RINGS_OFF, ABI_RINGS_OFF + 4096,
				      ABI_RINGS_OFF + 6144};
	struct abi_netq bad;

	(void)state;
	bad = good, bad.size = 0;
	block_refused(bad, ok, DPU_REASON_SIZE);
	bad = good, bad.size = 48;
	block_refused(bad, ok, DPU_REASON_SIZE);
	bad = good, bad.size = 1U << 31;
	block_refused(bad, ok, DPU_REASON_SIZE);
	bad = good, bad.desc_off = 0;
	block_refused(bad, ok, DPU_REASON_LAYOUT);
	bad = good, bad.desc_off += 8;
	block_refused(bad, ok, DPU_REASON_LAYOUT);
	bad = good, bad.avail_off = UINT64_MAX - 1;
	block_refused(bad, ok, DPU_REASON_LAYOUT);
	bad = good, bad.used_off = DRIVER_WINDOW_BYTES - 64;
	block_refused(bad, ok, DPU_REASON_LAYOUT);
	block_refused(good, ABI_F_VERSION_1, DPU_REASON_FEATURES);
	block_refused(good, ok | 1ULL << 60, DPU_REASON_FEATURES);
}

/* Anything at all in the rings: nothing but stopped queues comes of it. */
static void test_random_rings(void **state)
{
	uint64_t x = 0x1ea71ea7;

	(void)state;
	for (unsigned i = 0; i < 20000; i++) {
		struct driver *driver = &fx.driver[i & 1];
		struct driver_queue *q = i & 2 ? &driver->rx[0] : &driver->tx[0];
		uint8_t *bytes;

		x = x * 6364136223846793005ULL + 1442695040888963407ULL;
		bytes = (uint8_t *)(i & 4 ? (void *)q->avail : (void *)q->desc);
		bytes[(x >> 33) % (i & 4 ? 132 : 1024)] ^= (uint8_t)(1U << ((x >> 56) & 7));
		fixture_round();
		if (i % 64 == 63) {
			fixture_teardown(NULL);
			fixture_setup(NULL);
		}
	}
}

/* ---- rewriting in flight ---- */

#define SENT 60000U

/* The last byte of the source address of the one frame that send_in_place() publishes. */
static volatile uint8_t *source_byte(void)
{
	return (uint8_t *)fx.driver[A].window + tx()->buffers_off + 5 * DRIVER_BUFFER_BYTES + 14 +
	       15;
}

/* A frame of A's in one buffer, the same each time; its source address is left as it is there. */
static void send_in_place(size_t bytes)
{
	struct driver_queue *q = tx();
	uint8_t *buffer = (uint8_t *)fx.driver[A].window + q->buffers_off;
	uint16_t idx = q->avail->idx;

	memset(buffer + 4 * DRIVER_BUFFER_BYTES, 0, DRIVER_HDR_BYTES);
	memcpy(buffer + 5 * DRIVER_BUFFER_BYTES, frame, 29);
	memcpy(buffer + 5 * DRIVER_BUFFER_BYTES + 30, frame + 30, bytes - 30);
	q->desc[4] = (struct vring_desc){q->buffers_off + 4 * DRIVER_BUFFER_BYTES, DRIVER_HDR_BYTES,
					 VRING_DESC_F_NEXT, 5};
	q->desc[5] = (struct vring_desc){q->buffers_off + 5 * DRIVER_BUFFER_BYTES, (uint32_t)bytes,
					 0, 0};
	q->avail->ring[idx % q->size] = 4;
	__atomic_store_n(&q->avail->idx, (uint16_t)(idx + 1), __ATOMIC_RELEASE);
}

static void source_to_false(void)
{
	*source_byte() = 77;
}

static void source_to_true(void)
{
	*source_byte() = 2;
}

/* Between the look at a frame and the filters' judgement its address changes: too late. */
static void test_rewritten_before_judgement(void **state)
{
	size_t bytes = fixture_frame(A, B, 200, frame);

	(void)state;
	fx.in_flight = source_to_false;
	source_to_true();
	send_in_place(bytes);
	assert_int_equal(fixture_round(), 1);
	assert_int_equal(*source_byte(), 77); /* it was rewritten in flight */
	assert_int_equal(driver_receive(&fx.driver[B], 0, &hdr, got, sizeof(got)), bytes);
	assert_memory_equal(got, frame, bytes);

	fx.in_flight = source_to_true;
	source_to_false();
	send_in_place(bytes);
	assert_int_equal(fixture_round(), 1);
	assert_int_equal(*source_byte(), 2);
	assert_int_equal(driver_receive(&fx.driver[B], 0, &hdr, got, sizeof(got)), 0);
	assert_int_equal(fixture_port_stats(A).drops_tx[DPU_DROP_EGRESS], 1);
}

static atomic_bool rewriting;

/* Flips the source address in the buffer between true and false as fast as it can. */
static void *rewriter(void *arg)
{
	(void)arg;
	while (atomic_load_explicit(&rewriting, memory_order_relaxed)) {
		source_to_false();
		source_to_true();
	}
	return NULL;
}

/*
 * The same by a thread that runs, or does not, as the machine likes: whatever arrives bears A's
 * address, and the rest was refused by A's filter. How many of each is chance.
 */
static void test_rewritten_in_flight(void **state)
{
	size_t bytes = fixture_frame(A, B, 200, frame);
	unsigned arrived = 0;
	pthread_t thread;

	(void)state;
	atomic_store(&rewriting, true);
	assert_int_equal(pthread_create(&thread, NULL, rewriter, NULL), 0);
	for (unsigned i = 0; i < SENT; i++) {
		send_in_place(bytes);
		assert_int_equal(fixture_round(), 1);
		if (driver_receive(&fx.driver[B], 0, &hdr, got, sizeof(got))) {
			assert_int_equal(got[14 + 15], 2); /* A's address, whatever was written */
			arrived++;
		}
	}
	atomic_store(&rewriting, false);
	pthread_join(thread, NULL);
	assert_int_equal(fixture_port_stats(A).drops_tx[DPU_DROP_EGRESS], SENT - arrived);
}

/* ---- a window whose memory is gone ---- */

static void test_memory_gone(void **state)
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
	};
	int fd = memfd_create("unsealed", MFD_CLOEXEC);
	struct dpu_queue_stats stats;
	struct driver driver = {.fd = fd};
	struct dpu_port *port;

	(void)state;
	assert_int_equal(dpu_sigbus_guard(), 0);
	assert_int_equal(ftruncate(fd, DRIVER_WINDOW_BYTES), 0);
	driver.window = mmap(NULL, DRIVER_WINDOW_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	driver.dev = abi_netdev_of(driver.window);
	config.window = driver.window;
	assert_int_equal(dpu_port_attach(fx.dpu, &config, &port), 0);
	assert_int_equal(dpu_port_set_filter(port, fx.filter), 0);
	driver_start(&driver, 8);
	dpu_round_begin(fx.dpu, 0, 1);
	assert_int_equal(dpu_txq_poll(port, 0, 0, 64), 0); /* binds the rings */
	assert_int_equal(ftruncate(fd, 0), 0);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(dpu_txq_poll(port, 0, 0, 64), 0);
	dpu_round_end(fx.dpu, 0);
	assert_int_equal(dpu_port_queue_stats_get(port, 0, &stats), 0);
	assert_int_equal(stats.tx_reason, DPU_REASON_FAULT);
	dpu_port_detach(port);
	driver_destroy(&driver);
}

/* ---- an instance goes while the others are busy ---- */

static atomic_bool rounds_go_on;

static void *rounds(void *arg)
{
	unsigned core = 1;
	struct timespec ts;

	(void)arg;
	while (atomic_load(&rounds_go_on)) {
		clock_gettime(CLOCK_MONOTONIC, &ts);
		dpu_round_begin(fx.dpu, core,
				(uint64_t)ts.tv_sec * 1000000000U + (uint64_t)ts.tv_nsec);
		dpu_txq_poll(fx.port[A], 0, core, 64);
		dpu_round_end(fx.dpu, core);
		usleep(1);
	}
	return NULL;
}

static void test_removed_under_load(void **state)
{
	struct dpu_port_config config = {
		.id = 2,
		.tenant = 1,
		.mtu = 1500,
		.ipv4_be = fixture_ip(B),
		.prefix_len = 16,
		.nr_queue_pairs = 1,
		.window_bytes = DRIVER_WINDOW_BYTES,
	};
	pthread_t thread;

	(void)state;
	config.owner = &(unsigned){B};
	atomic_store(&rounds_go_on, true);
	assert_int_equal(pthread_create(&thread, NULL, rounds, NULL), 0);
	for (unsigned i = 0; i < 200; i++) {
		driver_reclaim(&fx.driver[A], 0);
		if (tx()->used_seen == tx()->avail->idx)
			for (unsigned n = 0; n < 8; n++)
				send_good();
		dpu_port_detach(fx.port[B]);
		driver_destroy(&fx.driver[B]);
		assert_int_equal(driver_create(&fx.driver[B]), 0);
		config.window = fx.driver[B].window;
		fixture_mac(B, config.mac);
		assert_int_equal(dpu_port_attach(fx.dpu, &config, &fx.port[B]), 0);
		assert_int_equal(dpu_port_set_filter(fx.port[B], i & 1 ? fx.filter : NULL), 0);
		driver_start(&fx.driver[B], 32);
		usleep(100);
	}
	atomic_store(&rounds_go_on, false);
	pthread_join(thread, NULL);
	assert_int_equal(fixture_queue_stats(A).tx_reason, DPU_REASON_NONE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_avail_jump),
		TEST(test_avail_backwards),
		TEST(test_head_out_of_range),
		TEST(test_next_out_of_range),
		TEST(test_loop),
		TEST(test_self_loop),
		TEST(test_out_of_window),
		TEST(test_address_overflow),
		TEST(test_length_overflow),
		TEST(test_control_words),
		TEST(test_length_zero),
		TEST(test_shorter_than_header),
		TEST(test_write_flag),
		TEST(test_indirect),
		TEST(test_header_only),
		TEST(test_huge_frame),
		TEST(test_rx_avail_jump),
		TEST(test_rx_read_only),
		TEST(test_rx_into_control_words),
		TEST(test_rx_no_room_for_header),
		TEST(test_rx_loop),
		TEST(test_register_blocks),
		TEST(test_random_rings),
		cmocka_unit_test_setup_teardown(test_rewritten_before_judgement,
						fixture_setup_pairs, fixture_teardown),
		TEST(test_rewritten_in_flight),
		TEST(test_memory_gone),
		TEST(test_removed_under_load),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
