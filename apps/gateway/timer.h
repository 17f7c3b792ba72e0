/*
 * timer.h - the gateway's timers: a heap behind one timerfd.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct timer {
	uint64_t due_ns; /* CLOCK_MONOTONIC */
	uint32_t place;  /* in the heap, from 1; 0: not armed */
	void (*due)(struct timer *timer);
};

uint64_t now_ns(void);

/* The descriptor to watch, or a negative errno. */
int timers_init(void);
/* The descriptor is readable. */
void timers_run(void);

void timer_arm(struct timer *timer, uint64_t due_ns);
static inline void timer_arm_ms(struct timer *timer, uint64_t ms)
{
	timer_arm(timer, now_ns() + ms * 1000000U);
}
/* Harmless on one that is not armed. */
void timer_cancel(struct timer *timer);
static inline bool timer_armed(const struct timer *timer)
{
	return timer->place != 0;
}
