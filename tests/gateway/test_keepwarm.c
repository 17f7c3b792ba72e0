/*
 * test_keepwarm.c - the histogram of idle times: when it is used, and what it says.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "apps/gateway/keepwarm.h"

#define BIN_MS 1000
#define FIXED_MS 7777

static void test_fixed_without_samples(void **state)
{
	struct keepwarm kw;
	struct keepwarm_window w;

	(void)state;
	keepwarm_init(&kw, BIN_MS);
	w = keepwarm_decide(&kw, KEEPWARM_HISTOGRAM, FIXED_MS);
	assert_int_equal(w.prewarm_ms, 0);
	assert_int_equal(w.keep_ms, FIXED_MS);
}

static void test_periodic(void **state)
{
	struct keepwarm kw;
	struct keepwarm_window w;

	(void)state;
	keepwarm_init(&kw, BIN_MS);
	for (int i = 0; i < 50; i++)
		keepwarm_observe(&kw, 60000 + (unsigned)i * 10);
	w = keepwarm_decide(&kw, KEEPWARM_HISTOGRAM, FIXED_MS);
	/* gone meanwhile, back before the earliest, kept past the latest */
	assert_in_range(w.prewarm_ms, 30000, 59999);
	assert_in_range(w.keep_ms, 60500, 75000);
	w = keepwarm_decide(&kw, KEEPWARM_FIXED, FIXED_MS);
	assert_int_equal(w.keep_ms, FIXED_MS);
	w = keepwarm_decide(&kw, KEEPWARM_NONE, FIXED_MS);
	assert_int_equal(w.keep_ms, 0);
}

static void test_short_gaps_do_not_prewarm(void **state)
{
	struct keepwarm kw;
	struct keepwarm_window w;

	(void)state;
	keepwarm_init(&kw, BIN_MS);
	for (int i = 0; i < 100; i++)
		keepwarm_observe(&kw, (unsigned)i % 3);
	w = keepwarm_decide(&kw, KEEPWARM_HISTOGRAM, FIXED_MS);
	assert_int_equal(w.prewarm_ms, 0);
	assert_in_range(w.keep_ms, BIN_MS, 2 * BIN_MS);
}

static void test_flat_and_far_are_no_use(void **state)
{
	struct keepwarm kw;

	(void)state;
	keepwarm_init(&kw, BIN_MS);
	for (unsigned i = 0; i < KEEPWARM_BINS; i++)
		keepwarm_observe(&kw, i * BIN_MS);
	assert_int_equal(keepwarm_decide(&kw, KEEPWARM_HISTOGRAM, FIXED_MS).keep_ms, FIXED_MS);
	keepwarm_init(&kw, BIN_MS);
	for (unsigned i = 0; i < 20; i++)
		keepwarm_observe(&kw, 5 * BIN_MS);
	for (unsigned i = 0; i < 30; i++)
		keepwarm_observe(&kw, (KEEPWARM_BINS + i) * BIN_MS);
	assert_int_equal(keepwarm_decide(&kw, KEEPWARM_HISTOGRAM, FIXED_MS).keep_ms, FIXED_MS);
}

static void test_counters_age(void **state)
{
	struct keepwarm kw;

	(void)state;
	keepwarm_init(&kw, BIN_MS);
	for (unsigned i = 0; i < 1U << 20; i++)
		keepwarm_observe(&kw, i % 2 != 0 ? UINT64_MAX : 3 * BIN_MS);
	assert_true(kw.total + kw.beyond <= 1U << 16);
	assert_int_equal(kw.bins[3], kw.total);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fixed_without_samples),
		cmocka_unit_test(test_periodic),
		cmocka_unit_test(test_short_gaps_do_not_prewarm),
		cmocka_unit_test(test_flat_and_far_are_no_use),
		cmocka_unit_test(test_counters_age),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
