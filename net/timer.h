/*
 * A hierarchical timer wheel: arming and cancelling are a few stores, whatever the number of timers.
 * One tick is 2^20 ns (about a millisecond); a timer never fires early.
 */
#pragma once

#include "net/util.h"

#define TIMER_TICK_SHIFT 20u
#define TIMER_LEVELS 4u
#define TIMER_SLOTS 64u
#define TIMER_SLOT_SHIFT 6u

struct net;

struct timer {
	struct list link;
	uint64_t tick; /* 0 while not armed */
	void (*fire)(struct net *net, struct timer *timer);
};

struct timer_wheel {
	uint64_t now_tick; /* every tick up to this one has been run */
	uint64_t armed;	   /* timers in the wheel */
	uint64_t busy[TIMER_LEVELS];
	struct list slots[TIMER_LEVELS][TIMER_SLOTS];
};

void timer_wheel_init(struct timer_wheel *wheel, uint64_t now_ns);
void timer_arm(struct timer_wheel *wheel, struct timer *timer, uint64_t deadline_ns);
void timer_cancel(struct timer_wheel *wheel, struct timer *timer);
void timer_wheel_run(struct timer_wheel *wheel, struct net *net, uint64_t now_ns);

/* Nothing fires before this time; UINT64_MAX if nothing is armed. */
uint64_t timer_wheel_next(const struct timer_wheel *wheel);

static inline void timer_init(struct timer *timer, void (*fire)(struct net *, struct timer *))
{
	list_init(&timer->link);
	timer->tick = 0;
	timer->fire = fire;
}

static inline bool timer_armed(const struct timer *timer)
{
	return timer->tick != 0;
}

static inline uint64_t timer_deadline_ns(const struct timer *timer)
{
	return timer->tick << TIMER_TICK_SHIFT;
}
