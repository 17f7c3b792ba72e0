/*
 * A hierarchical timer wheel: arming and cancelling are a few stores, whatever the number of
 * timers. One tick is 2^20 ns (about a millisecond); a timer never fires early.
 */
#pragma once

#include "net/util.h"

#define TIMER_TICK_SHIFT 20u
#define TIMER_LEVELS 4u
#define TIMER_SLOTS 64u
#define TIMER_SLOT_SHIFT 6u

struct net;

struct net_timer {
	struct list link;
	uint64_t tick; /* 0 while not armed */
	void (*fire)(struct net *net, struct net_timer *timer);
};

struct net_wheel {
	uint64_t now_tick; /* every tick up to this one has been run */
	uint64_t armed;    /* timers in the wheel */
	uint64_t busy[TIMER_LEVELS];
	struct list slots[TIMER_LEVELS][TIMER_SLOTS];
};

void net_wheel_init(struct net_wheel *wheel, uint64_t now_ns);
void net_timer_arm(struct net_wheel *wheel, struct net_timer *timer, uint64_t deadline_ns);
void net_timer_cancel(struct net_wheel *wheel, struct net_timer *timer);
void net_wheel_run(struct net_wheel *wheel, struct net *net, uint64_t now_ns);

/* Nothing fires before this time; UINT64_MAX if nothing is armed. */
uint64_t net_wheel_next(const struct net_wheel *wheel);

static inline void net_timer_init(struct net_timer *timer,
				  void (*fire)(struct net *, struct net_timer *))
{
	list_init(&timer->link);
	timer->tick = 0;
	timer->fire = fire;
}

static inline bool net_timer_armed(const struct net_timer *timer)
{
	return timer->tick != 0;
}

static inline uint64_t net_timer_deadline_ns(const struct net_timer *timer)
{
	return timer->tick << TIMER_TICK_SHIFT;
}
