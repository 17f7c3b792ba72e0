/*
 * heap.h - the parked vcpus of a core by deadline: a binary heap whose elements know their place.
 */
#pragma once

#include <stdint.h>

#define SCHED_HEAP_NONE UINT32_MAX

struct sched_heap_node {
	uint64_t deadline_ns;
	uint32_t place; /* SCHED_HEAP_NONE: not in a heap */
};

struct sched_heap {
	struct sched_heap_node **node;
	uint32_t nr;
	uint32_t capacity;
};

void sched_heap_finish(struct sched_heap *heap);
/* Makes room for `nr` elements, so that inserting cannot fail. 0 or -ENOMEM. */
int sched_heap_reserve(struct sched_heap *heap, uint32_t nr);
void sched_heap_insert(struct sched_heap *heap, struct sched_heap_node *node, uint64_t deadline_ns);
void sched_heap_remove(struct sched_heap *heap, struct sched_heap_node *node);
/* NULL when empty. */
struct sched_heap_node *sched_heap_first(const struct sched_heap *heap);
