/*
 * test_timer.c - the heap of timers: in order, re-armed, cancelled, and armed from a timer.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "libos/arena.h"
#include "libos/instance.h"
#include "libos/kthread.h"
#include "libos/timer.h"

#define NR 3000U

static uint64_t last_ns;
static unsigned fired;

void *arena_alloc(size_t size)
{
	return malloc(size);
}

void *arena_zalloc(size_t size)
{
	return calloc(1, size);
}

void arena_free(void *obj)
{
	free(obj);
}

void kthread_timer_armed(uint64_t deadline_ns)
{
	assert_int_equal(timers_next_ns(), deadline_ns);
}

static int setup(void **state)
{
	(void)state;
	fired = 0;
	last_ns = 0;
	return mmap((void *)ABI_ARENA_BASE, 1UL << 20, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED;
}

static void on_timer(struct timer *timer)
{
	assert_int_equal(timer->heap_index, 0);
	assert_true(timer->deadline_ns >= last_ns);
	last_ns = timer->deadline_ns;
	fired++;
}

static void test_order(void **state)
{
	static struct timer timers[NR];
	unsigned cancelled = 0, total = 0;

	(void)state;
	srand(2);
	for (unsigned i = 0; i < NR; i++) {
		timer_init(&timers[i], on_timer, NULL);
		assert_int_equal(timer_arm(&timers[i], (uint64_t)rand() % 100000 + 1), 0);
	}
	for (unsigned i = 0; i < NR; i += 3)
		assert_int_equal(timer_arm(&timers[i], (uint64_t)rand() % 100000 + 1), 0);
	for (unsigned i = 1; i < NR; i += 5, cancelled++)
		timer_cancel(&timers[i]);
	timer_cancel(&timers[1]);
	for (uint64_t now = 0; now <= 100000; now += 100) {
		unsigned n;

		while ((n = timers_run(now)) > 0)
			total += n;
		assert_true(timers_next_ns() > now);
	}
	assert_int_equal(fired, NR - cancelled);
	assert_int_equal(total, fired);
	assert_int_equal(timers_next_ns(), UINT64_MAX);
}

static void on_again(struct timer *timer)
{
	fired++;
	if (fired < 10)
		assert_int_equal(timer_arm(timer, timer->deadline_ns + 5), 0);
}

static void test_again(void **state)
{
	struct timer timer;

	(void)state;
	timer_init(&timer, on_again, NULL);
	assert_int_equal(timer_arm(&timer, 5), 0);
	timers_run(25);
	assert_int_equal(fired, 5);
	timers_run(1000);
	assert_int_equal(fired, 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_order, setup),
		cmocka_unit_test_setup(test_again, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
