/* The helpers of a filter, as clang's code calls them, in the interpreter and compiled. */
#include "helpers.h"

#include "bpf/bpf.h"
#include "leat/abi/filter.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define FRAME 64
#define ROOM 32

struct fixture {
	struct ebpf_object *obj;
	struct ebpf_instance *inst;
	struct leat_pkt_ctx ctx;
	uint8_t bytes[ROOM + FRAME];
};

static int64_t tag_of(void *arg, uint32_t ipv4)
{
	return ipv4 == 77 ? (int64_t) * (uint32_t *)arg : -ENOENT;
}

static void setup(struct fixture *f, enum ebpf_engine engine)
{
	static uint32_t tag = 0xabcd;
	static uint8_t elf[1 << 18];
	const struct ebpf_host host = {.tag_of = tag_of, .arg = &tag};
	FILE *file = fopen(FILTERS "/../../tests/bpf/helpers.bpf.o", "r");
	char log[EBPF_LOG_SIZE];

	assert_non_null(file);
	if (ebpf_object_open(elf, fread(elf, 1, sizeof(elf), file), log, sizeof(log), &f->obj) ||
	    ebpf_object_verify(f->obj, log, sizeof(log)))
		fail_msg("%s", log);
	fclose(file);
	assert_int_equal(ebpf_object_prepare(f->obj, engine), 0);
	assert_true(ebpf_object_prog_writes_packet(f->obj, LEAT_SEC_EGRESS));
	assert_int_equal(ebpf_instance_create(f->obj, &f->inst), 0);
	ebpf_instance_set_host(f->inst, &host);
}

static void teardown(struct fixture *f)
{
	ebpf_instance_destroy(f->inst);
	ebpf_object_unref(f->obj);
}

/* A frame of zeros for a case; the caller fills in the rest before run(). */
static void prepare(struct fixture *f, enum helper_case which, uint32_t port)
{
	memset(f->bytes, 0, sizeof(f->bytes));
	f->ctx = (struct leat_pkt_ctx){
		.data = (uintptr_t)f->bytes + ROOM,
		.data_end = (uintptr_t)f->bytes + ROOM + FRAME,
		.len = FRAME,
		.headroom = ROOM,
		.tag = which,
		.port = port,
	};
}

static uint32_t run(struct fixture *f)
{
	return (uint32_t)ebpf_prog_run(ebpf_instance_prog(f->inst, LEAT_SEC_EGRESS), &f->ctx);
}

static int64_t result(struct fixture *f)
{
	int64_t value;

	assert_int_equal(ebpf_map_lookup(ebpf_instance_map(f->inst, "result"), &(uint32_t){0},
					 &value),
			 0);
	return value;
}

static int64_t run_case(struct fixture *f, enum helper_case which, uint32_t port)
{
	prepare(f, which, port);
	assert_int_equal(run(f), LEAT_PASS);
	return result(f);
}

static void check_loops(struct fixture *f)
{
	const int64_t nested = 0 + 0 + (0 + 1) + (0 + 1 + 2) + 0; /* sums of 0, 1, 2, 3, 4 rounds */

	/* all rounds, and an early end */
	assert_int_equal(run_case(f, CASE_LOOPS, 99), (20 << 16) + 190 + nested + 6);
	assert_int_equal(run_case(f, CASE_LOOPS, 3), (4 << 16) + 6 + nested + 6);
	assert_int_equal(run_case(f, CASE_LOOPS, 0), (1 << 16) + 0 + nested + 6);
}

static void check_maps(struct fixture *f)
{
	struct ebpf_map *second = ebpf_instance_map(f->inst, "second");
	struct ebpf_map *outer = ebpf_instance_map(f->inst, "outer");
	uint32_t key = 1;
	uint64_t value;

	assert_int_equal(run_case(f, CASE_MAPS, 0), 1);
	assert_int_equal(run_case(f, CASE_MAPS, 2), 1);
	assert_int_equal(run_case(f, CASE_MAPS, 2), 2);
	assert_int_equal(ebpf_map_lookup(second, &key, &value), 0);
	assert_int_equal(value, 2);
	assert_int_equal(run_case(f, CASE_MAPS, 1), 0); /* nothing there */
	assert_int_equal(run_case(f, CASE_MAPS, 3), 0); /* beyond it */
	assert_int_equal(ebpf_map_inner_create(outer, &key), 0);
	assert_int_equal(run_case(f, CASE_MAPS, 1), 1);
	assert_int_equal(ebpf_map_inner_remove(outer, &key), 0);
	assert_int_equal(run_case(f, CASE_MAPS, 1), 0);
	assert_int_equal(ebpf_map_lookup(ebpf_instance_map(f->inst, "percpu"), &key, &value), 0);
	assert_int_equal(value, 7);
}

static void check_records(struct fixture *f)
{
	struct ebpf_map *ring = ebpf_instance_map(f->inst, "ring");
	struct record record;

	assert_int_equal(run_case(f, CASE_RECORDS, 10), 4096);
	assert_int_equal(ebpf_map_ring_take(ring, &record, sizeof(record), NULL), sizeof(record));
	assert_int_equal(record.number, 10);
	assert_int_equal(record.len, FRAME);
	assert_int_equal(ebpf_map_ring_take(ring, &record, sizeof(record), NULL), sizeof(record));
	assert_int_equal(record.number, 11);
	assert_int_equal(ebpf_map_ring_take(ring, &record, sizeof(record), NULL), -ENOENT);
}

static int64_t take(struct fixture *f, uint32_t amount, uint64_t now_ns)
{
	prepare(f, CASE_BUCKET, amount);
	f->ctx.now_ns = now_ns;
	run(f);
	return result(f);
}

static void check_bucket(struct fixture *f)
{
	/* 1000 units a second, 10 at once */
	const struct leat_bucket bucket = {.rate = 1000, .burst = 10}, none = {0};
	struct ebpf_map *map = ebpf_instance_map(f->inst, "buckets");
	const uint64_t ms = 1000000, start = 5000 * ms;
	int i, passed = 0;

	ebpf_map_update(map, &(uint32_t){0}, &none, 0);
	assert_int_equal(take(f, 0, start), 0);
	ebpf_map_update(map, &(uint32_t){0}, &bucket, 0);
	assert_int_equal(take(f, 11, start), 0);
	assert_int_equal(take(f, 4, start), 1);
	assert_int_equal(take(f, 6, start), 1);
	assert_int_equal(take(f, 1, start), 0);
	assert_int_equal(take(f, 1, start + ms - 1), 0);
	assert_int_equal(take(f, 1, start + ms), 1);
	assert_int_equal(take(f, 1, start + ms), 0);
	/* asked ten times as often as allowed, one in ten passes */
	for (i = 0; i < 10000; i++)
		passed += (int)take(f, 1, start + 2 * ms + (uint64_t)i * ms / 10);
	assert_in_range(passed, 995, 1011);
	/* full again, no fuller, after a long time */
	assert_int_equal(take(f, 10, start + 1000000 * ms), 1);
	assert_int_equal(take(f, 1, start + 1000000 * ms), 0);
}

/* RFC 1071 over bytes and an initial sum. */
static uint16_t checksum(const uint8_t *bytes, uint32_t len, uint32_t sum)
{
	uint32_t i;

	for (i = 0; i + 1 < len; i += 2)
		sum += (uint32_t)(bytes[i] << 8 | bytes[i + 1]);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

static uint32_t pseudo_sum(const uint8_t *frame)
{
	uint32_t i, sum = 6 + FRAME - TCP;

	for (i = IP_SRC; i < IP_SRC + 8; i += 2)
		sum += (uint32_t)(frame[i] << 8 | frame[i + 1]);
	return sum;
}

static void make_tcp(uint8_t *frame, uint32_t seed)
{
	uint16_t sum;
	uint32_t i;

	for (i = 14; i < FRAME; i++)
		frame[i] = (uint8_t)(seed * 7 + i * i * 31);
	frame[14] = 0x45;
	memset(frame + IP_SUM, 0, 2);
	memset(frame + TCP_SUM, 0, 2);
	sum = checksum(frame + 14, 20, 0);
	memcpy(frame + IP_SUM, &sum, 2);
	sum = checksum(frame + TCP, FRAME - TCP, pseudo_sum(frame));
	memcpy(frame + TCP_SUM, &sum, 2);
}

static void check_rewrite(struct fixture *f, enum helper_case which)
{
	static const uint8_t wanted[] = {10, 99, 99, 99};
	uint8_t *frame = f->bytes + ROOM;
	uint32_t seed;

	for (seed = 0; seed < 300; seed++) {
		prepare(f, which, 0);
		make_tcp(frame, seed);
		assert_int_equal(run(f), LEAT_PASS);
		assert_int_equal(result(f), 0);
		assert_memory_equal(frame + IP_DST, wanted, 4);
		/* a right checksum sums up to nothing */
		assert_int_equal(checksum(frame + 14, 20, 0), 0);
		assert_int_equal(checksum(frame + TCP, FRAME - TCP, pseudo_sum(frame)), 0);
	}
	/* too short for it: an error, and nothing written behind the end */
	prepare(f, which, 0);
	f->ctx.data_end = f->ctx.data + IP_DST + 3;
	run(f);
	assert_true(result(f) < 0);
	assert_int_equal(frame[IP_DST + 3], 0);
}

/* Of an unfinished checksum only the pseudo header's part is there, and is kept right. */
static void check_partial(struct fixture *f)
{
	uint8_t *frame = f->bytes + ROOM;
	uint16_t sum, wanted;

	prepare(f, CASE_REWRITE, 0);
	f->ctx.flags = LEAT_PKT_CSUM_PARTIAL;
	make_tcp(frame, 5);
	sum = (uint16_t)~checksum(NULL, 0, pseudo_sum(frame));
	memcpy(frame + TCP_SUM, &sum, 2);
	run(f);
	assert_int_equal(result(f), 0);
	wanted = (uint16_t)~checksum(NULL, 0, pseudo_sum(frame));
	memcpy(&sum, frame + TCP_SUM, 2);
	assert_int_equal(sum, wanted);
}

static void check_ends_once(struct fixture *f, int head, int tail, int64_t expected)
{
	prepare(f, CASE_ENDS, (uint32_t)head);
	f->ctx.peer_tenant = (uint32_t)tail;
	run(f);
	assert_int_equal(result(f), expected);
	if (expected)
		return;
	assert_int_equal(f->ctx.data, (uintptr_t)f->bytes + (uintptr_t)(ROOM + head));
	assert_int_equal(f->ctx.data_end, (uintptr_t)f->bytes + (uintptr_t)(ROOM + FRAME + tail));
	assert_int_equal(f->ctx.len, FRAME - head + tail);
	assert_int_equal(f->ctx.headroom, ROOM + head);
}

static void check_ends(struct fixture *f)
{
	check_ends_once(f, 0, 0, 0);
	check_ends_once(f, -4, 0, 0);
	check_ends_once(f, -ROOM, -50, 0);
	check_ends_once(f, 4, -10, 0);
	check_ends_once(f, FRAME - 14, 0, 0);
	check_ends_once(f, FRAME - 13, 0, -EINVAL);
	check_ends_once(f, -ROOM - 1, 0, -EINVAL);
	check_ends_once(f, INT32_MIN, 0, -EINVAL);
	check_ends_once(f, INT32_MAX, 0, -EINVAL);
	check_ends_once(f, 0, 1, -EINVAL);
	check_ends_once(f, 0, -FRAME + 13, -EINVAL);
	check_ends_once(f, 0, INT32_MIN, -EINVAL);
	/* a tail behind what can be read goes first */
	prepare(f, CASE_ENDS, 0);
	f->ctx.len = 1000;
	f->ctx.peer_tenant = (uint32_t)-936;
	run(f);
	assert_int_equal(f->ctx.len, FRAME);
	assert_int_equal(f->ctx.data_end - f->ctx.data, FRAME);
}

static void check_redirect(struct fixture *f)
{
	struct ebpf_map *handles = ebpf_instance_map(f->inst, "handles");
	uint32_t key = 2, handle = 1234;

	prepare(f, CASE_REDIRECT, 2);
	assert_int_equal(run(f), LEAT_DROP);
	assert_int_equal(f->ctx.redirect, 0);
	assert_int_equal(ebpf_map_update(handles, &key, &handle, 0), 0);
	assert_int_equal(run(f), LEAT_REDIRECT);
	assert_int_equal(f->ctx.redirect, 1234);
	prepare(f, CASE_REDIRECT, 4);
	assert_int_equal(run(f), LEAT_PASS);
}

static void check_trace(struct fixture *f)
{
	char line[128];
	uint64_t lost;
	int64_t n;
	int i, lines = 0;

	prepare(f, CASE_TRACE, 80);
	f->ctx.now_ns = 0xabcdef0123;
	run(f);
	n = ebpf_instance_trace(f->inst, line, sizeof(line), &lost);
	assert_true(n > 0 && n < (int64_t)sizeof(line));
	line[n] = '\0';
	assert_string_equal(line, "port 80, time abcdef0123, -1%\n");
	assert_int_equal(ebpf_instance_trace(f->inst, line, sizeof(line), &lost), -ENOENT);
	/* a program that prints for every packet is held back */
	for (i = 0; i < 100000; i++)
		run(f);
	while (ebpf_instance_trace(f->inst, line, sizeof(line), &lost) > 0)
		lines++;
	assert_true(lines > 0 && lines < 50000);
	assert_int_equal(lines + (int)lost, 100000);
}

static void check_all(enum ebpf_engine engine)
{
	struct fixture f;

	setup(&f, engine);
	check_loops(&f);
	check_maps(&f);
	check_records(&f);
	check_bucket(&f);
	check_rewrite(&f, CASE_REWRITE);
	check_rewrite(&f, CASE_DIFFERENCE);
	check_partial(&f);
	check_ends(&f);
	check_redirect(&f);
	assert_int_equal(run_case(&f, CASE_TAG, 77), 0xabcd);
	assert_int_equal(run_case(&f, CASE_TAG, 78), -ENOENT);
	prepare(&f, CASE_DIRECT, 0);
	f.bytes[ROOM + 12] = 9;
	run(&f);
	assert_int_equal(f.bytes[ROOM], 0xee);
	assert_int_equal(f.bytes[ROOM + 13], 9);
	check_trace(&f);
	teardown(&f);
}

static void test_interpreter(void **state)
{
	(void)state;
	check_all(EBPF_ENGINE_INTERPRETER);
}

static void test_compiler(void **state)
{
	(void)state;
	check_all(EBPF_ENGINE_COMPILER);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_interpreter),
		cmocka_unit_test(test_compiler),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
