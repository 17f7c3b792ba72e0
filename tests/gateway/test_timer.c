/*
 * test_timer.c - the heap of timers against a sorted list: random arming and cancelling.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "apps/gateway/timer.h"

#define TIMERS 300

static struct timer timers[TIMERS];
static uint64_t last_ns;
static unsigned fired;

static void fire(struct timer *timer)
{
	assert_true(timer->due_ns >= last_ns);
	assert_false(timer_armed(timer));
	last_ns = timer->due_ns;
	fired++;
}

static void test_order(void **state)
{
	unsigned armed = 0;

	(void)state;
	assert_true(timers_init() >= 0);
	srandom(7);
	for (unsigned i = 0; i < TIMERS; i++)
		timers[i].due = fire;
	for (unsigned i = 0; i < 20000; i++) {
		struct timer *t = &timers[(unsigned)random() % TIMERS];

		if (random() % 3 == 0)
			timer_cancel(t);
		else
			timer_arm(t, 1 + (uint64_t)random() % 100000); /* long ago: due at once */
	}
	for (unsigned i = 0; i < TIMERS; i++)
		armed += timer_armed(&timers[i]);
	timers_run();
	assert_int_equal(fired, armed);
	timers_run();
	assert_int_equal(fired, armed);
}

static void test_later_stays(void **state)
{
	(void)state;
	fired = 0;
	timer_arm(&timers[0], now_ns() + 3600000000000ULL);
	timers_run();
	assert_int_equal(fired, 0);
	timer_cancel(&timers[0]);
	timer_cancel(&timers[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_later_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
