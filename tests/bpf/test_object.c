/*
 * The facade: loading, refusing, instances with maps of their own, maps from outside, programs in
 * several threads; and objects that are damaged in every way.
 */
#include "bpf/bpf.h"
#include "bpf/platform.h"
#include "leat/abi/filter.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint8_t elf[1 << 20];
static char log_text[EBPF_LOG_SIZE];

static size_t read_filter(const char *name)
{
	char path[4096];
	size_t size;
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", FILTERS, name);
	file = fopen(path, "r");
	assert_non_null(file);
	size = fread(elf, 1, sizeof(elf), file);
	fclose(file);
	assert_true(size > 0 && size < sizeof(elf));
	return size;
}

static struct ebpf_object *load(const char *name)
{
	struct ebpf_object *obj;
	size_t size = read_filter(name);

	if (ebpf_object_load(elf, size, log_text, sizeof(log_text), &obj))
		fail_msg("%s", log_text);
	return obj;
}

static uint64_t counter(struct ebpf_instance *inst, uint32_t index)
{
	uint64_t value;

	assert_int_equal(ebpf_map_lookup(ebpf_instance_map(inst, LEAT_MAP_COUNTERS), &index,
					 &value),
			 0);
	return value;
}

static void test_order(void **state)
{
	struct ebpf_object *obj;
	struct ebpf_instance *inst;
	size_t size = read_filter("passall.bpf.o");

	(void)state;
	assert_int_equal(ebpf_object_open(elf, size, log_text, sizeof(log_text), &obj), 0);
	/* nothing runs before it is verified and prepared */
	assert_int_equal(ebpf_instance_create(obj, &inst), -EACCES);
	assert_int_equal(ebpf_object_prepare(obj, EBPF_ENGINE_AUTO), -EACCES);
	assert_int_equal(ebpf_object_verify(obj, log_text, sizeof(log_text)), 0);
	assert_int_equal(ebpf_instance_create(obj, &inst), -EACCES);
	assert_int_equal(ebpf_object_prepare(obj, EBPF_ENGINE_INTERPRETER), 0);
	assert_string_equal(ebpf_object_engine(obj), "interpreter");
	assert_int_equal(ebpf_object_prepare(obj, EBPF_ENGINE_AUTO), -EALREADY);
	assert_true(ebpf_object_has_prog(obj, LEAT_SEC_EGRESS));
	assert_true(ebpf_object_has_prog(obj, "ingress"));
	assert_false(ebpf_object_has_prog(obj, "leat/sched"));
	assert_true(ebpf_object_prog_cost(obj, LEAT_SEC_EGRESS) > 10);
	assert_int_equal(ebpf_object_prog_cost(obj, "nobody"), 0);
	assert_int_equal(ebpf_instance_create(obj, &inst), 0);
	assert_null(ebpf_instance_prog(inst, "nobody"));
	assert_null(ebpf_instance_map(inst, "nobody"));
	ebpf_object_unref(obj); /* the instance holds its own reference */
	assert_int_equal(counter(inst, LEAT_COUNT_EGRESS), 0);
	ebpf_instance_destroy(inst);
	ebpf_instance_destroy(NULL);
	ebpf_object_unref(NULL);
}

static void test_instances_are_apart(void **state)
{
	struct ebpf_object *obj = load("passall.bpf.o");
	struct ebpf_instance *a, *b;
	struct leat_pkt_ctx ctx = {0};

	(void)state;
	assert_string_equal(ebpf_object_engine(obj), "compiler");
	assert_int_equal(ebpf_instance_create(obj, &a), 0);
	assert_int_equal(ebpf_instance_create(obj, &b), 0);
	assert_int_equal(ebpf_prog_run(ebpf_instance_prog(a, LEAT_SEC_EGRESS), &ctx), LEAT_PASS);
	assert_int_equal(ebpf_prog_run(ebpf_instance_prog(a, LEAT_SEC_EGRESS), &ctx), LEAT_PASS);
	assert_int_equal(ebpf_prog_run(ebpf_instance_prog(b, LEAT_SEC_INGRESS), &ctx), LEAT_PASS);
	assert_int_equal(counter(a, LEAT_COUNT_EGRESS), 2);
	assert_int_equal(counter(a, LEAT_COUNT_INGRESS), 0);
	assert_int_equal(counter(b, LEAT_COUNT_EGRESS), 0);
	assert_int_equal(counter(b, LEAT_COUNT_INGRESS), 1);
	ebpf_instance_destroy(a);
	ebpf_instance_destroy(b);
	ebpf_object_unref(obj);
}

static void test_drop_all(void **state)
{
	struct ebpf_object *obj = load("dropall.bpf.o");
	struct ebpf_instance *inst;
	struct leat_pkt_ctx ctx = {0};

	(void)state;
	assert_int_equal(ebpf_instance_create(obj, &inst), 0);
	assert_int_equal(ebpf_prog_run(ebpf_instance_prog(inst, LEAT_SEC_EGRESS), &ctx), LEAT_DROP);
	assert_int_equal(counter(inst, LEAT_COUNT_EGRESS), 1);
	assert_int_equal(counter(inst, LEAT_COUNT_PASS_EGRESS), 0);
	ebpf_instance_destroy(inst);
	ebpf_object_unref(obj);
}

#define THREADS 4
#define RUNS 20000

static void *run_many(void *arg)
{
	struct leat_pkt_ctx ctx = {0};
	int i;

	for (i = 0; i < RUNS; i++)
		ebpf_prog_run(arg, &ctx);
	return NULL;
}

/* Executions are counted exactly, however many threads run the filter. */
static void test_threads(void **state)
{
	struct ebpf_object *obj = load("passall.bpf.o");
	struct ebpf_instance *inst;
	pthread_t threads[THREADS];
	const struct ebpf_prog *prog;
	int i;

	(void)state;
	assert_int_equal(ebpf_instance_create(obj, &inst), 0);
	prog = ebpf_instance_prog(inst, LEAT_SEC_EGRESS);
	for (i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, run_many,
						(void *)(uintptr_t)prog),
				 0);
	for (i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(counter(inst, LEAT_COUNT_EGRESS), THREADS * RUNS);
	ebpf_instance_destroy(inst);
	ebpf_object_unref(obj);
}

static void test_array(void **state)
{
	struct ebpf_object *obj = load("passall.bpf.o");
	struct ebpf_instance *inst;
	struct ebpf_map_info info;
	struct ebpf_map *map;
	uint32_t key = 31, next;
	uint64_t value = 99;

	(void)state;
	assert_int_equal(ebpf_instance_create(obj, &inst), 0);
	map = ebpf_instance_map(inst, LEAT_MAP_COUNTERS);
	ebpf_map_info(map, &info);
	assert_string_equal(info.name, LEAT_MAP_COUNTERS);
	assert_int_equal(info.type, BPF_MAP_TYPE_ARRAY);
	assert_int_equal(info.value_size, 8);
	assert_int_equal(info.max_entries, LEAT_COUNT_MAX);
	assert_int_equal(ebpf_map_update(map, &key, &value, BPF_ANY), 0);
	assert_int_equal(ebpf_map_update(map, &key, &value, BPF_NOEXIST), -EEXIST);
	assert_int_equal(ebpf_map_update(map, &key, &value, 4), -EINVAL);
	assert_int_equal(ebpf_map_delete(map, &key), -EINVAL);
	assert_int_equal(counter(inst, 31), 99);
	assert_int_equal(ebpf_map_next_key(map, &key, &next), -ENOENT);
	key = 32;
	assert_int_equal(ebpf_map_lookup(map, &key, &value), -ENOENT);
	assert_int_equal(ebpf_map_update(map, &key, &value, BPF_ANY), -E2BIG);
	assert_int_equal(ebpf_map_next_key(map, NULL, &next), 0);
	assert_int_equal(next, 0);
	ebpf_instance_destroy(inst);
	ebpf_object_unref(obj);
}

/* Cut short at every point and with single bits flipped: an error or an object, never a crash. */
static void test_damage(void **state)
{
	size_t size = read_filter("passall.bpf.o"), i;
	uint8_t *copy = malloc(size + 1);
	struct ebpf_object *obj;
	unsigned int seed = 1;
	int opened = 0;

	(void)state;
	for (i = 0; i < size; i += 1 + size / 200) {
		memcpy(copy, elf, size);
		if (ebpf_object_load(copy, i, log_text, sizeof(log_text), &obj) == 0)
			ebpf_object_unref(obj);
	}
	for (i = 0; i < 2000; i++) {
		memcpy(copy, elf, size);
		copy[(size_t)rand_r(&seed) % size] ^= (uint8_t)(1u << rand_r(&seed) % 8);
		if (ebpf_object_load(copy, size, log_text, sizeof(log_text), &obj) == 0) {
			opened++;
			ebpf_object_unref(obj);
		}
	}
	print_message("%d of 2000 damaged objects are still safe programs\n", opened);
	assert_int_equal(ebpf_object_load("", 0, log_text, sizeof(log_text), &obj), -EINVAL);
	assert_int_equal(ebpf_object_load("not ELF", 7, NULL, 0, &obj), -EINVAL);
	free(copy);
}

static void test_features(void **state)
{
	struct ebpf_object *obj = load("../../tests/bpf/features.bpf.o");
	struct ebpf_instance *inst;
	uint8_t packet[4] = {1, 2, 3, 4};
	struct leat_pkt_ctx ctx = {
		.data = (uintptr_t)packet,
		.data_end = (uintptr_t)packet + sizeof(packet),
		.len = 60,
		.port = 3,
		.tag = 5,
	};
	uint32_t key[2] = {3, 1}, next[2];
	uint64_t stats[2], total, flow;
	const struct ebpf_prog *egress;
	struct ebpf_map *flows;

	(void)state;
	assert_int_equal(ebpf_instance_create(obj, &inst), 0);
	egress = ebpf_instance_prog(inst, LEAT_SEC_EGRESS);
	flows = ebpf_instance_map(inst, "flows");
	assert_int_equal(ebpf_map_lookup(flows, key, stats), -ENOENT);
	assert_int_equal(ebpf_prog_run(egress, &ctx), LEAT_PASS);
	assert_int_equal(ebpf_prog_run(egress, &ctx), LEAT_PASS);
	ctx.len = 101;
	assert_int_equal(ebpf_prog_run(egress, &ctx), LEAT_DROP);
	assert_int_equal(ebpf_map_lookup(flows, key, stats), 0);
	assert_int_equal(stats[0], 3);
	assert_int_equal(stats[1], 60 + 60 + 101);
	assert_int_equal(ebpf_map_lookup(ebpf_instance_map(inst, ".bss"), &(uint32_t){0}, &total),
			 0);
	assert_int_equal(total, 60 + 60 + 101);
	assert_int_equal(ebpf_map_lookup(ebpf_instance_map(inst, "marks"), &(uint32_t){1}, &total),
			 0);
	assert_int_equal(total, 3);
	assert_int_equal(ebpf_map_lookup(ebpf_instance_map(inst, "marks"), &(uint32_t){3}, &total),
			 0);
	assert_int_equal(total, 9);
	/* a full table refuses new keys and keeps the old ones */
	for (ctx.port = 0; ctx.port < 40; ctx.port++)
		ebpf_prog_run(egress, &ctx);
	for (flow = 0; ebpf_map_next_key(flows, flow ? key : NULL, next) == 0; flow++)
		memcpy(key, next, sizeof(key));
	assert_int_equal(flow, 16);
	assert_int_equal(ebpf_map_delete(flows, key), 0);
	assert_int_equal(ebpf_map_delete(flows, key), -ENOENT);
	/* 7 + 1 + 2 + 3 + 4 + 2 * table[5] */
	assert_int_equal((uint32_t)ebpf_prog_run(ebpf_instance_prog(inst, LEAT_SEC_INGRESS), &ctx),
			 17 + 2 * 8);
	ebpf_instance_destroy(inst);
	ebpf_object_unref(obj);
}

/* libbpf and our own reader agree on the maps of sound objects. */
static void test_against_libbpf(void **state)
{
	static const char *const files[] = {"antispoof.bpf.o", "passall.bpf.o",
					    "../../tests/bpf/features.bpf.o"};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		struct ebpf_object *obj = load(files[i]);
		size_t size = read_filter(files[i]);
		struct bpf_object *theirs = bpf_object__open_mem(elf, size, NULL);
		struct ebpf_instance *inst;
		struct bpf_map *map;

		assert_non_null(theirs);
		assert_int_equal(ebpf_instance_create(obj, &inst), 0);
		bpf_object__for_each_map(map, theirs)
		{
			const char *name = bpf_map__name(map), *dot = strchr(name, '.');
			struct ebpf_map_info info;

			/* theirs are named OBJECT.rodata, ours .rodata */
			assert_non_null(ebpf_instance_map(inst, dot ? dot : name));
			ebpf_map_info(ebpf_instance_map(inst, dot ? dot : name), &info);
			assert_int_equal(info.type, bpf_map__type(map));
			assert_int_equal(info.key_size, bpf_map__key_size(map));
			assert_int_equal(info.value_size, bpf_map__value_size(map));
			assert_int_equal(info.max_entries, bpf_map__max_entries(map));
		}
		bpf_object__close(theirs);
		ebpf_instance_destroy(inst);
		ebpf_object_unref(obj);
	}
}

static void test_disassembly(void **state)
{
	struct ebpf_object *obj = load("passall.bpf.o");
	char text[8192];
	int n;

	(void)state;
	n = ebpf_object_disasm(obj, LEAT_SEC_EGRESS, text, sizeof(text));
	assert_true(n > 100 && n < (int)sizeof(text));
	assert_non_null(strstr(text, "call map_lookup_elem"));
	assert_non_null(strstr(text, "map counters"));
	assert_non_null(strstr(text, "; __u64 *counter = bpf_map_lookup_elem"));
	assert_int_equal(ebpf_object_disasm(obj, LEAT_SEC_EGRESS, NULL, 0), n);
	assert_int_equal(ebpf_object_disasm(obj, "nobody", text, sizeof(text)), -ENOENT);
	ebpf_object_unref(obj);
}

/* A proof is kept under a hash of the platform table: each row changes it. */
static void test_platform_hash(void **state)
{
	static struct ebpf_helper helpers[EBPF_HELPERS];
	struct ebpf_prog_type types[8];
	struct ebpf_map_kind kinds[32];
	struct ebpf_platform other = ebpf_platform;
	uint64_t hash = ebpf_platform_hash();

	(void)state;
	assert_true(ebpf_platform.type_count <= 8 && ebpf_platform.kind_count <= 32);
	memcpy(helpers, ebpf_helpers, sizeof(helpers));
	memcpy(types, ebpf_platform.types, ebpf_platform.type_count * sizeof(types[0]));
	memcpy(kinds, ebpf_platform.kinds, ebpf_platform.kind_count * sizeof(kinds[0]));
	other.helpers = helpers;
	other.types = types;
	other.kinds = kinds;
	assert_true(ebpf_platform_hash_of(&other) == hash);
	helpers[BPF_FUNC_map_update_elem].changes_map = false;
	assert_true(ebpf_platform_hash_of(&other) != hash);
	helpers[BPF_FUNC_map_update_elem].changes_map = true;
	helpers[BPF_FUNC_ktime_get_ns].rmax = 5;
	assert_true(ebpf_platform_hash_of(&other) != hash);
	helpers[BPF_FUNC_ktime_get_ns].rmax = 0;
	types[0].cost_max++;
	assert_true(ebpf_platform_hash_of(&other) != hash);
	types[0].cost_max--;
	kinds[0].role = ROLE_RING;
	assert_true(ebpf_platform_hash_of(&other) != hash);
	kinds[0].role = ebpf_platform.kinds[0].role;
	other.type_count--;
	assert_true(ebpf_platform_hash_of(&other) != hash);
	other.type_count++;
	assert_true(ebpf_platform_hash_of(&other) == hash);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_platform_hash),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_instances_are_apart),
		cmocka_unit_test(test_drop_all),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_array),
		cmocka_unit_test(test_damage),
		cmocka_unit_test(test_features),
		cmocka_unit_test(test_against_libbpf),
		cmocka_unit_test(test_disassembly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
