/*
 * timer.c - the heap of timers: entry 0 is unused, so that heap_index 0 means "not armed".
 */
#include "libos/timer.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "libos/arena.h"
#include "libos/instance.h"
#include "libos/kthread.h"

#define TIMER_HEAP_FIRST 64U
#define TIMER_RUN_MAX                                                                              \
	256U /* a periodic timer that is always due shall not hold the lock for ever */

struct timer_heap {
	uint32_t nr;   /* armed timers: slot[1..nr] */
	uint32_t room; /* slots */
	struct timer **slot;
};

static void heap_put(struct timer_heap *heap, uint32_t i, struct timer *timer)
{
	heap->slot[i] = timer;
	timer->heap_index = i;
}

static void heap_up(struct timer_heap *heap, uint32_t i)
{
	struct timer *timer = heap->slot[i];

	for (; i > 1 && heap->slot[i / 2]->deadline_ns > timer->deadline_ns; i /= 2)
		heap_put(heap, i, heap->slot[i / 2]);
	heap_put(heap, i, timer);
}

static void heap_down(struct timer_heap *heap, uint32_t i)
{
	struct timer *timer = heap->slot[i];
	uint32_t child;

	while ((child = 2 * i) <= heap->nr) {
		if (child < heap->nr &&
		    heap->slot[child + 1]->deadline_ns < heap->slot[child]->deadline_ns)
			child++;
		if (heap->slot[child]->deadline_ns >= timer->deadline_ns)
			break;
		heap_put(heap, i, heap->slot[child]);
		i = child;
	}
	heap_put(heap, i, timer);
}

static struct timer_heap *heap_get(void)
{
	if (instance()->timers == NULL)
		instance()->timers = arena_zalloc(sizeof(struct timer_heap));
	return instance()->timers;
}

static int heap_grow(struct timer_heap *heap)
{
	uint32_t room = heap->room == 0 ? TIMER_HEAP_FIRST : heap->room * 2;
	struct timer **slot = arena_alloc(room * sizeof(struct timer *));

	if (slot == NULL)
		return -ENOMEM;
	if (heap->slot != NULL)
		memcpy(slot, heap->slot, heap->room * sizeof(struct timer *));
	arena_free(heap->slot);
	heap->slot = slot;
	heap->room = room;
	return 0;
}

void timer_init(struct timer *timer, void (*func)(struct timer *), void *data)
{
	timer->deadline_ns = 0;
	timer->heap_index = 0;
	timer->func = func;
	timer->data = data;
}

int timer_arm(struct timer *timer, uint64_t deadline_ns)
{
	struct timer_heap *heap = heap_get();

	if (heap == NULL)
		return -ENOMEM;
	timer_cancel(timer);
	if (heap->nr + 2 > heap->room && heap_grow(heap) != 0)
		return -ENOMEM;
	timer->deadline_ns = deadline_ns;
	heap->nr++;
	heap_put(heap, heap->nr, timer);
	heap_up(heap, heap->nr);
	if (timer->heap_index == 1)
		kthread_timer_armed(deadline_ns);
	return 0;
}

void timer_cancel(struct timer *timer)
{
	struct timer_heap *heap = instance()->timers;
	uint32_t i = timer->heap_index;
	struct timer *last;

	if (i == 0)
		return;
	timer->heap_index = 0;
	last = heap->slot[heap->nr--];
	if (last == timer)
		return;
	heap_put(heap, i, last);
	heap_up(heap, i);
	heap_down(heap, last->heap_index);
}

unsigned timers_run(uint64_t now_ns)
{
	struct timer_heap *heap = instance()->timers;
	unsigned n = 0;

	if (heap == NULL)
		return 0;
	while (heap->nr > 0 && heap->slot[1]->deadline_ns <= now_ns && n < TIMER_RUN_MAX) {
		struct timer *timer = heap->slot[1];

		timer_cancel(timer);
		timer->func(timer);
		n++;
	}
	return n;
}

uint64_t timers_next_ns(void)
{
	const struct timer_heap *heap = instance()->timers;

	return heap == NULL || heap->nr == 0 ? UINT64_MAX : heap->slot[1]->deadline_ns;
}
