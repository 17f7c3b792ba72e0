/*
 * heap.c - see heap.h.
 */
#include "sched/heap.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

void sched_heap_finish(struct sched_heap *heap)
{
	free(heap->node);
	*heap = (struct sched_heap){0};
}

int sched_heap_reserve(struct sched_heap *heap, uint32_t nr)
{
	uint32_t capacity = heap->capacity ? heap->capacity : 16;
	struct sched_heap_node **node;

	if (nr <= heap->capacity)
		return 0;
	while (capacity < nr)
		capacity *= 2;
	node = realloc(heap->node, capacity * sizeof(*node));
	if (!node)
		return -ENOMEM;
	heap->node = node;
	heap->capacity = capacity;
	return 0;
}

static void put(struct sched_heap *heap, uint32_t place, struct sched_heap_node *node)
{
	heap->node[place] = node;
	node->place = place;
}

static bool before(const struct sched_heap_node *a, const struct sched_heap_node *b)
{
	return a->key < b->key || (a->key == b->key && a->order < b->order);
}

static void sift_up(struct sched_heap *heap, uint32_t place, struct sched_heap_node *node)
{
	while (place > 0) {
		uint32_t parent = (place - 1) / 2;

		if (!before(node, heap->node[parent]))
			break;
		put(heap, place, heap->node[parent]);
		place = parent;
	}
	put(heap, place, node);
}

static void sift_down(struct sched_heap *heap, uint32_t place, struct sched_heap_node *node)
{
	for (;;) {
		uint32_t child = 2 * place + 1;

		if (child >= heap->nr)
			break;
		if (child + 1 < heap->nr && before(heap->node[child + 1], heap->node[child]))
			child++;
		if (!before(heap->node[child], node))
			break;
		put(heap, place, heap->node[child]);
		place = child;
	}
	put(heap, place, node);
}

void sched_heap_insert(struct sched_heap *heap, struct sched_heap_node *node, uint64_t key)
{
	node->key = key;
	node->order = heap->inserted++;
	sift_up(heap, heap->nr++, node);
}

void sched_heap_remove(struct sched_heap *heap, struct sched_heap_node *node)
{
	uint32_t place = node->place;
	struct sched_heap_node *last;

	if (place == SCHED_HEAP_NONE)
		return;
	node->place = SCHED_HEAP_NONE;
	last = heap->node[--heap->nr];
	if (last == node)
		return;
	if (place > 0 && before(last, heap->node[(place - 1) / 2]))
		sift_up(heap, place, last);
	else
		sift_down(heap, place, last);
}

struct sched_heap_node *sched_heap_first(const struct sched_heap *heap)
{
	return heap->nr ? heap->node[0] : NULL;
}
