/*
 * The heap of deadlines against a plain search, with random insertions and removals.
 */
#include "sched/heap.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#define NODES 300U
#define STEPS 200000U

static uint64_t random_next(uint64_t *x)
{
	*x = *x * 6364136223846793005ULL + 1442695040888963407ULL;
	return *x >> 33;
}

static uint64_t earliest(const struct sched_heap_node *nodes)
{
	uint64_t min = UINT64_MAX;

	for (unsigned i = 0; i < NODES; i++)
		if (nodes[i].place != SCHED_HEAP_NONE && nodes[i].key < min)
			min = nodes[i].key;
	return min;
}

static void test_random(void **state)
{
	static struct sched_heap_node nodes[NODES];
	struct sched_heap heap = {0};
	uint64_t x = 1;

	(void)state;
	for (unsigned i = 0; i < NODES; i++)
		nodes[i].place = SCHED_HEAP_NONE;
	assert_int_equal(sched_heap_reserve(&heap, NODES), 0);
	for (unsigned step = 0; step < STEPS; step++) {
		struct sched_heap_node *node = &nodes[random_next(&x) % NODES];

		if (node->place == SCHED_HEAP_NONE)
			sched_heap_insert(&heap, node, random_next(&x) % 1000);
		else
			sched_heap_remove(&heap, node);
		if (step % 16)
			continue;
		if (heap.nr)
			assert_int_equal(sched_heap_first(&heap)->key, earliest(nodes));
		else
			assert_null(sched_heap_first(&heap));
	}
	sched_heap_finish(&heap);
}

static void test_removing_twice(void **state)
{
	struct sched_heap_node node = {.place = SCHED_HEAP_NONE};
	struct sched_heap heap = {0};

	(void)state;
	assert_int_equal(sched_heap_reserve(&heap, 1), 0);
	sched_heap_remove(&heap, &node);
	sched_heap_insert(&heap, &node, 5);
	sched_heap_remove(&heap, &node);
	sched_heap_remove(&heap, &node);
	assert_int_equal(heap.nr, 0);
	sched_heap_finish(&heap);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_removing_twice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
