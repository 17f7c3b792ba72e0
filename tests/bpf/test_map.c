/* Maps by themselves: definitions, hash tables against a model, LRU, longest prefixes, threads. */
#include "bpf/map.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static struct ebpf_map *make(const struct ebpf_map_def *def)
{
	struct ebpf_map *map;

	assert_int_equal(ebpf_map_create(def, &map), 0);
	return map;
}

static void test_definitions(void **state)
{
	static const struct {
		struct ebpf_map_def def;
		int err;
	} cases[] = {
		{{"", BPF_MAP_TYPE_ARRAY, 4, 1, 1, false, NULL}, 0},
		{{"", BPF_MAP_TYPE_ARRAY, 8, 1, 1, false, NULL}, -EINVAL},
		{{"", BPF_MAP_TYPE_ARRAY, 4, 0, 1, false, NULL}, -EINVAL},
		{{"", BPF_MAP_TYPE_ARRAY, 4, 1, 0, false, NULL}, -EINVAL},
		{{"", BPF_MAP_TYPE_ARRAY, 4, 8, UINT32_MAX, false, NULL}, -EINVAL},
		{{"", BPF_MAP_TYPE_ARRAY, 4, UINT32_MAX, 1, false, NULL}, -EINVAL},
		{{"", BPF_MAP_TYPE_HASH, 0, 8, 1, false, NULL}, -EINVAL},
		{{"", BPF_MAP_TYPE_HASH, 513, 8, 1, false, NULL}, -EINVAL},
		{{"", BPF_MAP_TYPE_HASH, 512, 8, 1, false, NULL}, 0},
		{{"", BPF_MAP_TYPE_LPM_TRIE, 4, 8, 1, false, NULL}, -EINVAL},
		{{"", BPF_MAP_TYPE_LPM_TRIE, 36, 8, 1, false, NULL}, 0},
		{{"", BPF_MAP_TYPE_LPM_TRIE, 37, 8, 1, false, NULL}, -EINVAL},
		{{"", BPF_MAP_TYPE_RINGBUF, 0, 0, 4096, false, NULL}, -ENOTSUP},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(ebpf_map_def_check(&cases[i].def), cases[i].err);
}

#define KEYS 64

/* Random operations on a hash map of 40 entries, beside an array that knows the answers. */
static void test_hash(void **state)
{
	static const struct ebpf_map_def def = {"", BPF_MAP_TYPE_HASH, 6, 12, 40, false, NULL};
	struct ebpf_map *map = make(&def);
	uint8_t model[KEYS][12];
	bool there[KEYS] = {false};
	unsigned int seed = 1, count = 0, i, n;

	(void)state;
	for (i = 0; i < 20000; i++) {
		uint8_t k = (uint8_t)(rand_r(&seed) % KEYS), key[6] = {k, 1, 2, 3, 4, k};
		uint8_t value[12], next[6];
		int flags = rand_r(&seed) % 3, err;

		memset(value, rand_r(&seed), sizeof(value));
		switch (rand_r(&seed) % 3) {
		case 0:
			err = ebpf_map_update(map, key, value, (uint64_t)flags);
			if (there[k] && flags == BPF_NOEXIST)
				assert_int_equal(err, -EEXIST);
			else if (!there[k] && flags == BPF_EXIST)
				assert_int_equal(err, -ENOENT);
			else if (!there[k] && count == 40)
				assert_int_equal(err, -E2BIG);
			else
				assert_int_equal(err, 0);
			if (err)
				break;
			count += !there[k];
			there[k] = true;
			memcpy(model[k], value, sizeof(value));
			break;
		case 1:
			assert_int_equal(ebpf_map_delete(map, key), there[k] ? 0 : -ENOENT);
			count -= there[k];
			there[k] = false;
			break;
		default:
			assert_int_equal(ebpf_map_lookup(map, key, value), there[k] ? 0 : -ENOENT);
			if (there[k])
				assert_memory_equal(value, model[k], sizeof(value));
		}
		if (i % 100)
			continue;
		for (n = 0; ebpf_map_next_key(map, n ? next : NULL, next) == 0; n++)
			assert_true(there[next[0]]);
		assert_int_equal(n, count);
	}
	ebpf_map_destroy(map);
}

static void test_lru(void **state)
{
	static const struct ebpf_map_def def = {"", BPF_MAP_TYPE_LRU_HASH, 4, 4, 8, false, NULL};
	struct ebpf_map *map = make(&def);
	uint32_t key, value, favourite = 3, found = 0;

	(void)state;
	for (key = 0; key < 8; key++)
		assert_int_equal(ebpf_map_update(map, &key, &key, 0), 0);
	/* never full, and what is asked for all the time stays */
	for (key = 100; key < 1100; key++) {
		assert_non_null(ebpf_map_find(map, &favourite));
		assert_int_equal(ebpf_map_update(map, &key, &key, 0), 0);
		assert_int_equal(ebpf_map_lookup(map, &key, &value), 0);
		assert_int_equal(value, key);
	}
	assert_int_equal(ebpf_map_lookup(map, &favourite, &value), 0);
	assert_int_equal(value, favourite);
	for (key = 0; key < 1100; key++)
		found += ebpf_map_find(map, &key) != NULL;
	assert_int_equal(found, 8);
	ebpf_map_destroy(map);
}

struct prefix {
	uint32_t bits;
	uint8_t ip[4];
};

static int lpm_value(struct ebpf_map *map, uint8_t a, uint8_t b, uint8_t c, uint8_t d)
{
	struct prefix key = {32, {a, b, c, d}};
	uint32_t value;

	return ebpf_map_lookup(map, &key, &value) ? -1 : (int)value;
}

static void lpm_add(struct ebpf_map *map, uint32_t bits, uint8_t a, uint8_t b, uint8_t c, uint8_t d,
		    uint32_t value)
{
	struct prefix key = {bits, {a, b, c, d}};

	assert_int_equal(ebpf_map_update(map, &key, &value, 0), 0);
}

static void test_lpm(void **state)
{
	static const struct ebpf_map_def def = {"", BPF_MAP_TYPE_LPM_TRIE, 8, 4, 8, false, NULL};
	struct ebpf_map *map = make(&def);
	struct prefix key = {33, {10, 0, 0, 0}};
	uint32_t value = 1;

	(void)state;
	assert_int_equal(ebpf_map_update(map, &key, &value, 0), -EINVAL);
	assert_int_equal(ebpf_map_delete(map, &key), -EINVAL);
	assert_int_equal(lpm_value(map, 10, 0, 0, 1), -1);
	lpm_add(map, 8, 10, 99, 99, 99, 8); /* bits behind the prefix do not count */
	lpm_add(map, 15, 10, 1, 0, 0, 15);
	lpm_add(map, 32, 10, 1, 2, 3, 32);
	assert_int_equal(lpm_value(map, 11, 0, 0, 0), -1);
	assert_int_equal(lpm_value(map, 10, 200, 0, 0), 8);
	assert_int_equal(lpm_value(map, 10, 0, 255, 255), 15); /* 10.0/15 covers 10.0 and 10.1 */
	assert_int_equal(lpm_value(map, 10, 1, 2, 4), 15);
	assert_int_equal(lpm_value(map, 10, 2, 0, 0), 8);
	assert_int_equal(lpm_value(map, 10, 1, 2, 3), 32);
	lpm_add(map, 0, 0, 0, 0, 0, 0);
	assert_int_equal(lpm_value(map, 11, 0, 0, 0), 0);
	key = (struct prefix){8, {10, 0, 0, 0}};
	assert_int_equal(ebpf_map_delete(map, &key), 0);
	assert_int_equal(ebpf_map_delete(map, &key), -ENOENT);
	assert_int_equal(lpm_value(map, 10, 200, 0, 0), 0);
	ebpf_map_destroy(map);
}

static void *work(void *arg)
{
	struct ebpf_map *map = arg;
	unsigned int seed = (unsigned int)(uintptr_t)&seed;
	int i;

	for (i = 0; i < 20000; i++) {
		uint32_t key = (uint32_t)rand_r(&seed) % 32, value = key * 3;

		if (rand_r(&seed) & 1)
			ebpf_map_update(map, &key, &value, 0);
		else if (rand_r(&seed) & 1)
			ebpf_map_delete(map, &key);
		else if (ebpf_map_lookup(map, &key, &value) == 0 && value % 3)
			return map; /* a value that nobody wrote */
	}
	return NULL;
}

static void test_threads(void **state)
{
	static const struct ebpf_map_def def = {"", BPF_MAP_TYPE_LRU_HASH, 4, 4, 16, false, NULL};
	struct ebpf_map *map = make(&def);
	pthread_t threads[3];
	void *result;
	int i;

	(void)state;
	for (i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, work, map), 0);
	for (i = 0; i < 3; i++) {
		pthread_join(threads[i], &result);
		assert_null(result);
	}
	ebpf_map_destroy(map);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_definitions), cmocka_unit_test(test_hash),
		cmocka_unit_test(test_lru),         cmocka_unit_test(test_lpm),
		cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
