/*
 * The timer wheel. Level n has 64 slots of 64^n ticks; timers of a higher level move down when the
 * level below has gone round.
 */
#include "net/timer.h"

#define TIMER_HORIZON (1ull << (TIMER_SLOT_SHIFT * TIMER_LEVELS))

void net_wheel_init(struct net_wheel *wheel, uint64_t now_ns)
{
	wheel->now_tick = now_ns >> TIMER_TICK_SHIFT;
	wheel->armed = 0;
	for (unsigned int level = 0; level < TIMER_LEVELS; level++) {
		wheel->busy[level] = 0;
		for (unsigned int slot = 0; slot < TIMER_SLOTS; slot++)
			list_init(&wheel->slots[level][slot]);
	}
}

/* The level whose slot holds `tick`: the lowest at which it is less than one turn ahead. */
static void timer_place(struct net_wheel *wheel, struct net_timer *timer)
{
	uint64_t tick = timer->tick;
	uint64_t ahead = tick - wheel->now_tick;
	unsigned int level = 0;
	unsigned int slot;

	if (ahead >= TIMER_HORIZON) {
		/* sits in the farthest slot and is placed anew when that comes round */
		ahead = TIMER_HORIZON - 1;
		tick = wheel->now_tick + ahead;
	}
	while (level + 1 < TIMER_LEVELS && ahead >> (TIMER_SLOT_SHIFT * (level + 1)) != 0)
		level++;
	slot = (unsigned int)(tick >> (TIMER_SLOT_SHIFT * level)) % TIMER_SLOTS;
	list_add_tail(&wheel->slots[level][slot], &timer->link);
	wheel->busy[level] |= 1ull << slot;
}

void net_timer_arm(struct net_wheel *wheel, struct net_timer *timer, uint64_t deadline_ns)
{
	uint64_t tick = (deadline_ns + (1ull << TIMER_TICK_SHIFT) - 1) >> TIMER_TICK_SHIFT;

	if (tick <= wheel->now_tick)
		tick = wheel->now_tick + 1;
	if (timer->tick == tick)
		return;
	net_timer_cancel(wheel, timer);
	timer->tick = tick;
	wheel->armed++;
	timer_place(wheel, timer);
}

void net_timer_cancel(struct net_wheel *wheel, struct net_timer *timer)
{
	if (!net_timer_armed(timer))
		return;
	/* the slot's busy bit may outlive its last timer: found out when the slot comes round */
	list_del(&timer->link);
	timer->tick = 0;
	wheel->armed--;
}

/* Takes all timers out of a slot and places or fires them. */
static void timer_slot_run(struct net_wheel *wheel, struct net *net, unsigned int level,
			   unsigned int slot)
{
	struct list *head = &wheel->slots[level][slot];
	struct list due;

	wheel->busy[level] &= ~(1ull << slot);
	if (list_empty(head))
		return;
	due = *head;
	due.next->prev = &due;
	due.prev->next = &due;
	list_init(head);
	while (!list_empty(&due)) {
		struct net_timer *timer = container_of(due.next, struct net_timer, link);

		list_del(&timer->link);
		if (timer->tick > wheel->now_tick) {
			timer_place(wheel, timer);
			continue;
		}
		timer->tick = 0;
		wheel->armed--;
		timer->fire(net, timer);
	}
}

/* The first tick after now at which a slot has to be looked at; UINT64_MAX: none. */
static uint64_t timer_next_tick(const struct net_wheel *wheel)
{
	uint64_t best = UINT64_MAX;

	for (unsigned int level = 0; level < TIMER_LEVELS; level++) {
		unsigned int shift = TIMER_SLOT_SHIFT * level;
		uint64_t turn = wheel->now_tick >> shift;
		unsigned int from = (unsigned int)((turn + 1) % TIMER_SLOTS);
		uint64_t busy = wheel->busy[level];
		uint64_t rotated;
		uint64_t tick;

		if (busy == 0)
			continue;
		rotated = from == 0 ? busy : busy >> from | busy << (TIMER_SLOTS - from);
		tick = (turn + 1 + (uint64_t)__builtin_ctzll(rotated)) << shift;
		if (tick < best)
			best = tick;
	}
	return best;
}

void net_wheel_run(struct net_wheel *wheel, struct net *net, uint64_t now_ns)
{
	uint64_t target = now_ns >> TIMER_TICK_SHIFT;

	while (wheel->now_tick < target) {
		uint64_t tick = wheel->armed != 0 ? timer_next_tick(wheel) : UINT64_MAX;

		if (tick > target) {
			wheel->now_tick = target;
			return;
		}
		wheel->now_tick = tick;
		for (unsigned int level = TIMER_LEVELS; level-- > 0;) {
			unsigned int shift = TIMER_SLOT_SHIFT * level;

			if ((tick & ((1ull << shift) - 1)) != 0)
				continue;
			timer_slot_run(wheel, net, level,
				       (unsigned int)(tick >> shift) % TIMER_SLOTS);
		}
	}
}

uint64_t net_wheel_next(const struct net_wheel *wheel)
{
	uint64_t tick;

	if (wheel->armed == 0)
		return UINT64_MAX;
	tick = timer_next_tick(wheel);
	return tick == UINT64_MAX ? tick : tick << TIMER_TICK_SHIFT;
}
