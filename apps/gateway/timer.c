/*
 * timer.c - a binary heap of timers, the earliest first; the timerfd is set to its head.
 */
#include "apps/gateway/timer.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

static struct {
	struct timer **at; /* [1..nr] */
	uint32_t nr, room;
	int fd;
	uint64_t set_ns; /* what the timerfd is set to; 0: nothing */
} heap = {.fd = -1};

uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

int timers_init(void)
{
	heap.fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	return heap.fd < 0 ? -errno : heap.fd;
}

static void put(uint32_t place, struct timer *timer)
{
	heap.at[place] = timer;
	timer->place = place;
}

static void sift_up(uint32_t place, struct timer *timer)
{
	for (; place > 1 && heap.at[place / 2]->due_ns > timer->due_ns; place /= 2)
		put(place, heap.at[place / 2]);
	put(place, timer);
}

static void sift_down(uint32_t place, struct timer *timer)
{
	for (;;) {
		uint32_t child = place * 2;

		if (child < heap.nr && heap.at[child + 1]->due_ns < heap.at[child]->due_ns)
			child++;
		if (child > heap.nr || heap.at[child]->due_ns >= timer->due_ns)
			break;
		put(place, heap.at[child]);
		place = child;
	}
	put(place, timer);
}

static void clock_set(void)
{
	uint64_t due = heap.nr != 0 ? heap.at[1]->due_ns : 0;
	struct itimerspec spec = {.it_value = {.tv_sec = (time_t)(due / 1000000000U),
					       .tv_nsec = (long)(due % 1000000000U)}};

	if (due == heap.set_ns)
		return;
	heap.set_ns = due;
	timerfd_settime(heap.fd, TFD_TIMER_ABSTIME, &spec, NULL);
}

void timer_cancel(struct timer *timer)
{
	uint32_t place = timer->place;
	struct timer *last;

	if (place == 0)
		return;
	timer->place = 0;
	last = heap.at[heap.nr--];
	if (last != timer) {
		if (place > 1 && heap.at[place / 2]->due_ns > last->due_ns)
			sift_up(place, last);
		else
			sift_down(place, last);
	}
	clock_set();
}

void timer_arm(struct timer *timer, uint64_t due_ns)
{
	timer_cancel(timer);
	if (heap.nr + 2 > heap.room) {
		heap.room = heap.room != 0 ? heap.room * 2 : 64;
		heap.at = realloc(heap.at, heap.room * sizeof(struct timer *));
		if (heap.at == NULL)
			abort(); /* as h2o does where memory ends */
	}
	timer->due_ns = due_ns;
	sift_up(++heap.nr, timer);
	clock_set();
}

void timers_run(void)
{
	uint64_t count, now = now_ns();

	if (read(heap.fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		return;
	heap.set_ns = 0;
	while (heap.nr != 0 && heap.at[1]->due_ns <= now) {
		struct timer *timer = heap.at[1];

		timer_cancel(timer);
		timer->due(timer);
	}
	clock_set();
}
