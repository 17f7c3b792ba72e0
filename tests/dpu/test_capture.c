/*
 * A capture: what the port sends and is given, bytes and all; a full ring, a watcher that lies, its
 * end.
 */
#include "tests/dpu/fixture.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "leat/abi/capture.h"

#define MAP_BYTES ((size_t)DPU_CAPTURE_DATA_OFF + DPU_CAPTURE_RING)

static uint8_t frame[4000], got[4000], seen[4000];
static struct virtio_net_hdr_mrg_rxbuf hdr;
static struct dpu_capture_ring *ring;
static uint64_t tail;

static void start(uint32_t snap)
{
	int fd;

	assert_int_equal(dpu_port_capture_start(fx.port[A], snap, &fd), 0);
	ring = mmap(NULL, MAP_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(ring, MAP_FAILED);
	assert_int_equal(ring->magic, DPU_CAPTURE_MAGIC);
	tail = 0;
}

static void finish(void)
{
	dpu_port_capture_stop(fx.port[A]);
	assert_int_equal(ring->ended, 1);
	munmap(ring, MAP_BYTES);
}

static void ring_read(uint64_t at, void *to, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		((uint8_t *)to)[i] =
			((uint8_t *)ring)[DPU_CAPTURE_DATA_OFF + (at + i) % DPU_CAPTURE_RING];
}

/* The next record and its bytes; false: there is none. */
static bool next(struct dpu_capture_record *ret_record)
{
	if (tail == __atomic_load_n(&ring->head, __ATOMIC_ACQUIRE))
		return false;
	ring_read(tail, ret_record, sizeof(*ret_record));
	assert_true(ret_record->bytes <= sizeof(seen));
	ring_read(tail + sizeof(*ret_record), seen, ret_record->bytes);
	tail += sizeof(*ret_record) + (ret_record->bytes + 7U) / 8 * 8;
	return true;
}

static void send(unsigned from, size_t payload, size_t cut)
{
	size_t bytes = fixture_frame(from, from == A ? B : A, payload, frame);

	assert_true(driver_send(&fx.driver[from], 0, NULL, frame, bytes, cut));
	fixture_round();
	while (driver_receive(&fx.driver[from == A ? B : A], 0, &hdr, got, sizeof(got)))
		;
	driver_reclaim(&fx.driver[from], 0);
}

static void test_both_directions(void **state)
{
	struct dpu_capture_record record;
	uint64_t before = 0;

	(void)state;
	start(262144);
	for (unsigned i = 0; i < 200; i++) {
		unsigned from = i % 3 ? A : B;

		send(from, i * 7, 1 + i); /* in many pieces, too */
		if (42 + i * 7 > 63 * (1 + i))
			continue;
		assert_true(next(&record));
		assert_int_equal(record.direction,
				 from == A ? DPU_CAPTURE_SENT : DPU_CAPTURE_RECEIVED);
		assert_int_equal(record.bytes, 42 + i * 7);
		assert_int_equal(record.length, record.bytes);
		assert_memory_equal(seen, frame, record.bytes);
		assert_true(record.time_ns >= before);
		before = record.time_ns;
		assert_false(next(&record));
	}
	finish();
}

static void test_snap(void **state)
{
	struct dpu_capture_record record;

	(void)state;
	start(61);
	send(A, 1000, 700);
	assert_true(next(&record));
	assert_int_equal(record.bytes, 61);
	assert_int_equal(record.length, 1042);
	assert_memory_equal(seen, frame, 61);
	finish();
}

/* What was dropped on its way was sent all the same. */
static void test_dropped_frames(void **state)
{
	struct dpu_capture_record record;
	size_t bytes = fixture_frame(A, B, 100, frame);

	(void)state;
	start(262144);
	frame[11]++; /* a false sender */
	assert_true(driver_send(&fx.driver[A], 0, NULL, frame, bytes, 1000));
	fixture_round();
	assert_int_equal(fixture_port_stats(A).drops_tx[DPU_DROP_EGRESS], 1);
	assert_true(next(&record));
	assert_int_equal(record.direction, DPU_CAPTURE_SENT);
	finish();
}

/* Nothing is overwritten, nothing waits: the rest is counted, and room that is made is used. */
static void test_full(void **state)
{
	struct dpu_capture_record record;
	unsigned there = 0, sent = 4000;

	(void)state;
	start(262144);
	for (unsigned i = 0; i < sent; i++)
		send(A, 1400, 1500);
	while (next(&record)) {
		there++;
		assert_memory_equal(seen, frame, record.bytes);
	}
	assert_true(ring->dropped > 0);
	assert_int_equal(there + ring->dropped, sent);
	assert_int_equal(fixture_queue_stats(B).rx_packets, sent);
	__atomic_store_n(&ring->tail, tail, __ATOMIC_RELEASE);
	for (unsigned i = 0; i < 2000; i++) { /* around the end of the ring */
		send(A, 1200, 1500);
		assert_true(next(&record));
		assert_memory_equal(seen, frame, record.bytes);
		__atomic_store_n(&ring->tail, tail, __ATOMIC_RELEASE);
	}
	finish();
}

static void test_lying_watcher(void **state)
{
	const uint64_t lies[] = {UINT64_MAX, 1ULL << 63, 8, DPU_CAPTURE_RING * 3ULL};

	(void)state;
	start(262144);
	send(A, 100, 1000);
	for (unsigned i = 0; i < 4; i++) {
		ring->tail = lies[i];
		for (unsigned n = 0; n < 5000; n++)
			send(A, 1400, 1500);
	}
	assert_int_equal(fixture_queue_stats(A).tx_reason, DPU_REASON_NONE);
	finish();
}

static void test_one_at_a_time(void **state)
{
	int fd;

	(void)state;
	start(1000);
	assert_int_equal(dpu_port_capture_start(fx.port[A], 1000, &fd), -EBUSY);
	finish();
	start(1000);
	dpu_port_detach(fx.port[A]); /* the instance goes: its watcher is told */
	fx.port[A] = NULL;
	assert_int_equal(ring->ended, 1);
	munmap(ring, MAP_BYTES);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_both_directions), TEST(test_snap),
		TEST(test_dropped_frames),  TEST(test_full),
		TEST(test_lying_watcher),   TEST(test_one_at_a_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
