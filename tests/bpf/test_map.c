/* Maps by themselves: definitions, hash tables against a model, LRU, longest prefixes, threads. */
#include "bpf/map.h"
#include "bpf/ring.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
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
		{{.name = "", BPF_MAP_TYPE_ARRAY, 4, 1, 1}, 0},
		{{.name = "", BPF_MAP_TYPE_ARRAY, 8, 1, 1}, -EINVAL},
		{{.name = "", BPF_MAP_TYPE_ARRAY, 4, 0, 1}, -EINVAL},
		{{.name = "", BPF_MAP_TYPE_ARRAY, 4, 1, 0}, -EINVAL},
		{{.name = "", BPF_MAP_TYPE_ARRAY, 4, 8, UINT32_MAX}, -EINVAL},
		{{.name = "", BPF_MAP_TYPE_ARRAY, 4, UINT32_MAX, 1}, -EINVAL},
		{{.name = "", BPF_MAP_TYPE_HASH, 0, 8, 1}, -EINVAL},
		{{.name = "", BPF_MAP_TYPE_HASH, 513, 8, 1}, -EINVAL},
		{{.name = "", BPF_MAP_TYPE_HASH, 512, 8, 1}, 0},
		{{.name = "", BPF_MAP_TYPE_LPM_TRIE, 4, 8, 1}, -EINVAL},
		{{.name = "", BPF_MAP_TYPE_LPM_TRIE, 36, 8, 1}, 0},
		{{.name = "", BPF_MAP_TYPE_LPM_TRIE, 37, 8, 1}, -EINVAL},
		{{.name = "", BPF_MAP_TYPE_RINGBUF, 0, 0, 4096}, 0},
		{{.name = "", BPF_MAP_TYPE_RINGBUF, 0, 0, 4095}, -EINVAL},
		{{.name = "", BPF_MAP_TYPE_RINGBUF, 0, 0, 2048}, -EINVAL},
		{{.name = "", BPF_MAP_TYPE_RINGBUF, 4, 0, 4096}, -EINVAL},
		{{.name = "", BPF_MAP_TYPE_DEVMAP, 4, 4, 4}, 0},
		{{.name = "", BPF_MAP_TYPE_DEVMAP, 4, 8, 4}, -EINVAL},
		{{.name = "", BPF_MAP_TYPE_ARRAY_OF_MAPS, 4, 4, 4}, -EINVAL},
		{{.name = "", BPF_MAP_TYPE_STACK_TRACE, 4, 8, 4}, -ENOTSUP},
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
	static const struct ebpf_map_def def = {.name = "", BPF_MAP_TYPE_HASH, 6, 12, 40};
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
	static const struct ebpf_map_def def = {.name = "", BPF_MAP_TYPE_LRU_HASH, 4, 4, 8};
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
	static const struct ebpf_map_def def = {.name = "", BPF_MAP_TYPE_LPM_TRIE, 8, 4, 8};
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
	static const struct ebpf_map_def def = {.name = "", BPF_MAP_TYPE_LRU_HASH, 4, 4, 16};
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

/* Each thread finds its own copy; the control side writes all. */
static void test_percpu(void **state)
{
	static const struct ebpf_map_def def = {.name = "", BPF_MAP_TYPE_PERCPU_ARRAY, 4, 8, 3};
	struct ebpf_map *map;
	uint32_t key = 2, cpu;
	uint64_t value = 7;

	(void)state;
	assert_int_equal(ebpf_cpus_set(0), -EINVAL);
	assert_int_equal(ebpf_cpus_set(EBPF_CPUS_MAX + 1), -EINVAL);
	assert_int_equal(ebpf_cpus_set(4), 0);
	map = make(&def);
	assert_int_equal(ebpf_cpus_set(1), 0);
	assert_int_equal(ebpf_map_update(map, &key, &value, 0), 0);
	for (cpu = 0; cpu < 6; cpu++) {
		ebpf_thread_cpu_set(cpu); /* 4 and 5 share copy 0 */
		*(uint64_t *)ebpf_map_find(map, &key) += cpu;
	}
	ebpf_thread_cpu_set(0);
	for (cpu = 0; cpu < 4; cpu++) {
		assert_int_equal(ebpf_map_lookup_copy(map, &key, cpu, &value), 0);
		assert_int_equal(value, cpu ? 7 + cpu : 7 + 4 + 5);
	}
	assert_int_equal(ebpf_map_lookup_copy(map, &key, 4, &value), -EINVAL);
	key = 3;
	assert_null(ebpf_map_find(map, &key));
	ebpf_map_destroy(map);
}

static void test_ring(void **state)
{
	static const struct ebpf_map_def def = {.name = "", BPF_MAP_TYPE_RINGBUF, 0, 0, 4096};
	struct ebpf_map *map = make(&def);
	struct ebpf_ring *ring = ebpf_map_ring(map);
	uint64_t record, lost, next = 0, expected = 0, round;
	uint8_t big[2048] = {0}, buf[2048];
	void *busy;

	(void)state;
	assert_int_equal(ebpf_map_ring_take(map, buf, sizeof(buf), &lost), -ENOENT);
	/* many rounds around the ring, with lengths that do not divide it */
	for (round = 0; round < 1000; round++) {
		uint32_t size = (uint32_t)(8 + round * 13 % 100);

		memcpy(big, &next, sizeof(next));
		while (ebpf_ring_put(ring, big, size) == 0) {
			next++;
			memcpy(big, &next, sizeof(next));
		}
		while (ebpf_map_ring_take(map, &record, sizeof(record), NULL) == size)
			assert_int_equal(record, expected++);
		assert_int_equal(expected, next);
	}
	assert_int_equal(ebpf_map_ring_take(map, buf, sizeof(buf), &lost), -ENOENT);
	assert_int_equal(lost, 1000);
	/* a busy record holds up those behind it; a discarded one is not seen */
	busy = ebpf_ring_reserve(ring, 8);
	assert_non_null(busy);
	assert_int_equal(ebpf_ring_put(ring, big, 16), 0);
	assert_int_equal(ebpf_map_ring_take(map, buf, sizeof(buf), NULL), -ENOENT);
	ebpf_ring_commit(busy, true);
	assert_int_equal(ebpf_map_ring_take(map, buf, 4, NULL), 16);
	/* half of the ring, no more */
	assert_int_equal(ebpf_ring_put(ring, big, sizeof(big)), 0);
	assert_int_equal(ebpf_map_ring_take(map, buf, sizeof(buf), NULL), sizeof(big));
	assert_null(ebpf_ring_reserve(ring, sizeof(big) + 1));
	/* a ring has no keys */
	assert_int_equal(ebpf_map_update(map, "", "", 0), -EINVAL);
	assert_int_equal(ebpf_map_lookup(map, "", buf), -EINVAL);
	assert_int_equal(ebpf_map_delete(map, ""), -EINVAL);
	assert_int_equal(ebpf_map_next_key(map, NULL, buf), -EINVAL);
	ebpf_map_destroy(map);
}

static void check_outer(uint32_t type)
{
	static struct ebpf_map_def inner = {.name = "", BPF_MAP_TYPE_HASH, 4, 8, 4};
	static const struct ebpf_map_def other = {.name = "", BPF_MAP_TYPE_HASH, 4, 16, 4};
	struct ebpf_map_def def = {.name = "", type, 4, 4, 4, .inner = &inner};
	struct ebpf_map *map = make(&def), *stranger = make(&other), *found;
	uint32_t key = 3, small = 1;
	uint64_t value = 5;

	assert_null(ebpf_map_inner(map, &key));
	assert_null(ebpf_map_find_for_program(map, &key));
	assert_int_equal(ebpf_map_inner_create(map, &key), 0);
	assert_int_equal(ebpf_map_inner_create(map, &key), -EEXIST);
	found = ebpf_map_inner(map, &key);
	assert_non_null(found);
	assert_ptr_equal(ebpf_map_find_for_program(map, &key), found);
	assert_int_equal(ebpf_map_update(found, &small, &value, 0), 0);
	/* its address is nobody's business, and no program's map gets in from outside */
	assert_int_equal(ebpf_map_lookup(map, &key, &value), -EINVAL);
	assert_int_equal(ebpf_map_update(map, &key, &stranger, 0), -EINVAL);
	assert_int_equal(ebpf_map_inner_set(map, 0, stranger), -EINVAL);
	assert_int_equal(ebpf_map_inner_remove(map, &key), 0);
	assert_int_equal(ebpf_map_inner_remove(map, &key), -ENOENT);
	assert_null(ebpf_map_find_for_program(map, &key));
	/* a program that found it before may go on with it */
	assert_int_equal(ebpf_map_lookup(found, &small, &value), 0);
	assert_int_equal(value, 5);
	ebpf_map_destroy(stranger);
	ebpf_map_destroy(map);
}

static void test_map_of_maps(void **state)
{
	(void)state;
	check_outer(BPF_MAP_TYPE_ARRAY_OF_MAPS);
	check_outer(BPF_MAP_TYPE_HASH_OF_MAPS);
}

#define CHURNS 100000
#define STAYING 16

/* Keys come and go beside those that stay. */
static void *churn(void *arg)
{
	struct ebpf_map *map = arg;
	uint64_t i, key, value[2] = {0};

	for (i = 0; i < CHURNS; i++) {
		key = STAYING + i * 7 % 32;
		if (i & 1)
			ebpf_map_delete(map, &key);
		else
			ebpf_map_update(map, &key, value, 0);
	}
	return NULL;
}

/* A program's lookup takes no lock: it finds what is there, and nothing else, all the same. */
static void test_found_while_others_come_and_go(void **state)
{
	static const struct ebpf_map_def def = {.name = "", BPF_MAP_TYPE_HASH, 8, 16, 64};
	struct ebpf_map *map;
	pthread_t threads[2];
	uint64_t key, value[2] = {0}, i;
	const uint64_t *found;
	int tries;

	(void)state;
	map = make(&def);
	for (key = 0; key < STAYING; key++) {
		value[0] = key * 3;
		assert_int_equal(ebpf_map_update(map, &key, value, 0), 0);
	}
	for (i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, churn, map), 0);
	for (i = 0; i < CHURNS; i++) {
		key = i % STAYING;
		/* one who is taken off his core in the middle of a change keeps others out */
		for (tries = 0; !(found = ebpf_map_find(map, &key)) && tries < 10000; tries++)
			sched_yield();
		assert_non_null(found);
		assert_int_equal(found[0], key * 3);
		key += 1000;
		assert_null(ebpf_map_find(map, &key));
	}
	for (i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	ebpf_map_destroy(map);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_found_while_others_come_and_go),
		cmocka_unit_test(test_definitions),
		cmocka_unit_test(test_hash),
		cmocka_unit_test(test_lru),
		cmocka_unit_test(test_lpm),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_percpu),
		cmocka_unit_test(test_ring),
		cmocka_unit_test(test_map_of_maps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
