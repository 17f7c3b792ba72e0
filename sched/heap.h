/*
 * heap.h - the vcpus of a core by deadline or by rank: a binary heap whose elements know their
 * place. Of those with the same key the one that was inserted first comes first.
 */
#pragma once

#include <stdint.h>

#define SCHED_HEAP_NONE UINT32_MAX

struct sched_heap_node {
	uint64_t key;
	uint64_t order; /* of insertion into this heap */
	uint32_t place; /* SCHED_HEAP_NONE: not in a heap */
};

struct sched_heap {
	struct sched_heap_node **node;
	uint32_t nr;
	uint32_t capacity;
	uint64_t inserted;
};

void sched_heap_finish(struct sched_heap *heap);
/* Makes room for `nr` elements, so that inserting cannot fail. 0 or -ENOMEM. */
int sched_heap_reserve(struct sched_heap *heap, uint32_t nr);
void sched_heap_insert(struct sched_heap *heap, struct sched_heap_node *node, uint64_t key);
void sched_heap_remove(struct sched_heap *heap, struct sched_heap_node *node);
/* NULL when empty. */
struct sched_heap_node *sched_heap_first(const struct sched_heap *heap);
