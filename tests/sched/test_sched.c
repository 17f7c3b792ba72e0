/*
 * The scheduler's decisions, in virtual time: who is granted what core, when, and who is asked, and
 * forced, to give it back.
 */
#include "sched/sched.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <limits.h>
#include <string.h>

#define US 1000ULL
#define MS 1000000ULL
#define MAX_VCPUS 64U

/* A vcpu as its host sees it. */
struct seat {
	struct sched_vcpu *vcpu;
	unsigned core; /* UINT_MAX: parked */
	unsigned grants, preempts, evictions, demotions;
};

static struct seat seats[MAX_VCPUS];
static struct sched *sched;
static uint64_t now;
static unsigned pokes;

static void on_grant(void *arg, unsigned core, uint64_t now_ns)
{
	struct seat *seat = arg;

	(void)now_ns;
	assert_int_equal(seat->core, UINT_MAX); /* never granted twice */
	seat->core = core;
	seat->grants++;
}

static void on_preempt(void *arg, uint64_t now_ns)
{
	(void)now_ns;
	((struct seat *)arg)->preempts++;
}

static void on_evict(void *arg, unsigned attempt, uint64_t now_ns)
{
	struct seat *seat = arg;

	(void)now_ns;
	assert_int_equal(attempt, ++seat->evictions);
}

static void on_demote(void *arg, uint64_t now_ns)
{
	(void)now_ns;
	((struct seat *)arg)->demotions++;
}

static void on_poke(void *ctx, unsigned core)
{
	(void)ctx;
	(void)core;
	pokes++;
}

static void start(unsigned nr_cores, unsigned max_granted, unsigned nr_vcpus)
{
	struct sched_config config = {
		.nr_cores = nr_cores,
		.max_granted = max_granted,
		.quantum_ns = MS,
		.host = {on_grant, on_preempt, on_evict, on_demote, on_poke, NULL},
	};

	now = MS;
	pokes = 0;
	memset(seats, 0, sizeof(seats));
	assert_int_equal(sched_create(&config, &sched), 0);
	for (unsigned i = 0; i < nr_vcpus; i++) {
		seats[i].core = UINT_MAX;
		assert_int_equal(sched_vcpu_attach(sched, &seats[i], i, 0, &seats[i].vcpu), 0);
	}
}

static int finish(void **state)
{
	(void)state;
	for (unsigned i = 0; i < MAX_VCPUS; i++)
		sched_vcpu_detach(seats[i].vcpu);
	sched_destroy(sched);
	return 0;
}

static void park(unsigned i, uint64_t deadline_ns, bool want)
{
	seats[i].core = UINT_MAX;
	sched_parked(seats[i].vcpu, deadline_ns, want, now);
}

static void work(unsigned i, unsigned waker)
{
	sched_work(seats[i].vcpu, waker, now);
}

static void test_work_grants_once(void **state)
{
	(void)state;
	start(2, 0, 2);
	work(0, UINT_MAX);
	assert_int_equal(seats[0].grants, 1);
	park(0, 0, false);
	now += US;
	work(0, 0);
	assert_int_equal(seats[0].grants, 2);
	assert_int_equal(seats[1].grants, 0);
}

/* Work that comes while the vcpu is on its way to parking is not lost. */
static void test_work_while_parking(void **state)
{
	(void)state;
	start(1, 0, 1);
	work(0, 0);
	work(0, 0);
	assert_int_equal(seats[0].grants, 1);
	park(0, 0, false);
	assert_int_equal(seats[0].grants, 2);
	park(0, 0, false);
	assert_int_equal(seats[0].grants, 2);
}

static void test_want_is_granted_again(void **state)
{
	(void)state;
	start(1, 0, 1);
	work(0, 0);
	park(0, 0, true);
	assert_int_equal(seats[0].grants, 2);
}

static void test_deadline(void **state)
{
	(void)state;
	start(1, 0, 3);
	for (unsigned i = 0; i < 3; i++)
		work(i, 0);
	park(0, now + 300 * US, false);
	park(1, now + 100 * US, false);
	park(2, 0, false);
	assert_int_equal(sched_tick(sched, 0, now), now + 100 * US);
	now += 99 * US;
	sched_tick(sched, 0, now);
	assert_int_equal(seats[1].grants, 1);
	now += US;
	sched_tick(sched, 0, now);
	assert_int_equal(seats[1].grants, 2);
	park(1, 0, false);
	assert_int_equal(sched_tick(sched, 0, now), MS + 300 * US);
	now += MS;
	assert_int_equal(sched_tick(sched, 0, now) > now, true);
	assert_int_equal(seats[0].grants, 2);
	assert_int_equal(seats[2].grants, 1);
}

/* Work before the deadline takes the deadline away. */
static void test_deadline_is_forgotten(void **state)
{
	(void)state;
	start(1, 0, 1);
	work(0, 0);
	park(0, now + MS, false);
	work(0, 0);
	park(0, 0, false);
	assert_int_equal(sched_tick(sched, 0, now), SCHED_NEVER);
	now += 2 * MS;
	sched_tick(sched, 0, now);
	assert_int_equal(seats[0].grants, 2);
}

static void test_idle_needs_nothing(void **state)
{
	(void)state;
	start(2, 0, 10);
	assert_int_equal(sched_tick(sched, 0, now), SCHED_NEVER);
	work(3, 0);
	park(3, 0, false);
	assert_int_equal(sched_tick(sched, 0, now), SCHED_NEVER);
	assert_int_equal(sched_tick(sched, 1, now), SCHED_NEVER);
}

/* A full core: the next waits, is granted in order, and the holder is asked after its quantum. */
static void test_quantum(void **state)
{
	(void)state;
	start(1, 1, 3);
	work(0, 0);
	work(1, 0);
	work(2, 0);
	assert_int_equal(seats[1].grants + seats[2].grants, 0);
	now += MS - US;
	sched_tick(sched, 0, now);
	assert_int_equal(seats[0].preempts, 0);
	now += US;
	sched_tick(sched, 0, now);
	assert_int_equal(seats[0].preempts, 1);
	park(0, 0, true);
	assert_int_equal(seats[1].grants, 1);
	park(1, 0, false);
	assert_int_equal(seats[2].grants, 1);
	park(2, 0, false);
	assert_int_equal(seats[0].grants, 2);
}

/* Nobody waits: nobody is asked. */
static void test_alone_is_left_alone(void **state)
{
	(void)state;
	start(1, 1, 1);
	work(0, 0);
	for (unsigned i = 0; i < 100; i++) {
		now += MS;
		sched_sample(seats[0].vcpu, true, 0, now - MS / 2);
		sched_tick(sched, 0, now);
	}
	assert_int_equal(seats[0].preempts + seats[0].evictions + seats[0].demotions, 0);
}

/* Asked and deaf: forced, again and again, ever less often. */
static void test_eviction(void **state)
{
	unsigned ticks = 0;

	(void)state;
	start(1, 1, 2);
	work(0, 0);
	work(1, 0);
	while (seats[0].evictions < 5 && ticks++ < 1000) {
		now += 100 * US;
		sched_tick(sched, 0, now);
	}
	assert_int_equal(seats[0].preempts, 1);
	assert_in_range(ticks, 50, 100);
	park(0, 0, true);
	assert_int_equal(seats[1].grants, 1);
}

/* Next to others, one who never gives way is demoted, once a quantum; the others are not. */
static void test_demotion(void **state)
{
	(void)state;
	start(1, 4, 2);
	work(0, 0);
	work(1, 0);
	for (unsigned i = 0; i < 100; i++) {
		now += 100 * US;
		sched_sample(seats[0].vcpu, true, 0, now);
		sched_sample(seats[1].vcpu, true, i, now);
		sched_tick(sched, 0, now);
	}
	assert_in_range(seats[0].demotions, 8, 10); /* 10 ms in quanta of 1 */
	assert_int_equal(seats[1].demotions, 0);
}

/* What the samples of both cores say, for some time; nobody gives its core back when not asked. */
static void run(unsigned nr_vcpus, uint64_t for_ns, bool (*has_work)(unsigned i, unsigned step))
{
	uint64_t until = now + for_ns;

	for (unsigned step = 0; now < until; step++) {
		unsigned working[2] = {0};

		now += 10 * US;
		for (unsigned i = 0; i < nr_vcpus; i++) {
			if (seats[i].core == UINT_MAX)
				continue;
			if (seats[i].preempts + seats[i].evictions > 0) {
				seats[i].preempts = 0;
				seats[i].evictions = 0;
				park(i, 0, true);
				continue;
			}
			sched_sample(seats[i].vcpu, has_work(i, step), step, now);
			working[seats[i].core] += has_work(i, step);
		}
		for (unsigned core = 0; core < 2; core++)
			sched_core_sample(sched, core, working[core], now);
		sched_tick(sched, 0, now);
		sched_tick(sched, 1, now);
	}
}

static bool always(unsigned i, unsigned step)
{
	(void)i;
	(void)step;
	return true;
}

/* Request and answer: one of the two works at any time, two fifths of the time each. */
static bool in_turns(unsigned i, unsigned step)
{
	return step % 5 / 2 == i;
}

static void test_busy_pair_spreads(void **state)
{
	(void)state;
	start(2, 0, 2);
	work(0, 0);
	work(1, 0);
	run(2, 100 * MS, always);
	assert_int_not_equal(seats[0].core, seats[1].core);
}

static void test_quiet_pair_joins(void **state)
{
	unsigned grants;

	(void)state;
	start(2, 0, 2);
	work(0, 0);
	work(1, 0);
	run(2, 100 * MS, always);
	assert_int_not_equal(seats[0].core, seats[1].core);
	run(2, 200 * MS, in_turns);
	assert_int_equal(seats[0].core, seats[1].core);
	/* and it is not sent to and fro */
	grants = seats[0].grants + seats[1].grants;
	run(2, 200 * MS, in_turns);
	assert_int_equal(seats[0].grants + seats[1].grants, grants);
}

/* Half of the time each, but at once: one core would do, but both would wait for each other. */
static bool at_once(unsigned i, unsigned step)
{
	(void)i;
	return step % 2;
}

static void test_busy_at_once_stays_apart(void **state)
{
	unsigned grants;

	(void)state;
	start(2, 0, 2);
	work(0, 0);
	work(1, 0);
	run(2, 100 * MS, always);
	grants = seats[0].grants + seats[1].grants;
	run(2, 200 * MS, at_once);
	assert_int_not_equal(seats[0].core, seats[1].core);
	assert_int_equal(seats[0].grants + seats[1].grants, grants);
}

/* Many on one core: both cores get their share. */
static void test_many_spread(void **state)
{
	unsigned on[2] = {0};

	(void)state;
	start(2, 16, 8);
	for (unsigned i = 0; i < 8; i++)
		work(i, 0);
	run(8, 200 * MS, always);
	for (unsigned i = 0; i < 8; i++)
		on[seats[i].core]++;
	assert_in_range(on[0], 3, 5);
}

static unsigned wrong_core(const struct sched_core_view *cores, unsigned nr_cores,
			   const struct sched_vcpu_view *vcpu, unsigned waker)
{
	(void)cores;
	(void)vcpu;
	(void)waker;
	return nr_cores + 1000;
}

static void test_wrong_policy(void **state)
{
	static const struct sched_ops wrong = {.name = "wrong", .select_core = wrong_core};

	(void)state;
	start(2, 0, 1);
	assert_int_equal(sched_policy_set(sched, &wrong), 0);
	work(0, 0);
	assert_int_equal(seats[0].grants, 1);
	assert_in_range(seats[0].core, 0, 1);
	assert_int_equal(sched_policy_set(sched, NULL), -22);
}

/* Seeded chaos: no vcpu is granted twice, none with work is forgotten, detaching at any time is
 * fine. */
static void test_chaos(void **state)
{
	uint64_t x = 0x1ea7;

	(void)state;
	start(2, 3, 32);
	for (unsigned step = 0; step < 300000; step++) {
		unsigned i, what;

		x = x * 6364136223846793005ULL + 1442695040888963407ULL;
		i = (x >> 33) % 32;
		what = (x >> 50) % 8;
		now += (x >> 20) % (20 * US);
		if (what == 0 && (x >> 40) % 64 == 0) {
			sched_vcpu_detach(seats[i].vcpu);
			seats[i].core = UINT_MAX;
			seats[i].evictions = 0;
			assert_int_equal(sched_vcpu_attach(sched, &seats[i], i, 0, &seats[i].vcpu),
					 0);
		} else if (what < 3) {
			work(i, what - 1);
		} else if (what < 6 && seats[i].core != UINT_MAX) {
			seats[i].evictions = 0;
			park(i, what == 4 ? now + 50 * US : 0, what == 5);
		} else {
			sched_tick(sched, what & 1, now);
		}
	}
	/* everybody who waits gets its turn */
	for (unsigned i = 0; i < 32; i++)
		work(i, 0);
	for (unsigned round = 0; round < 100; round++) {
		for (unsigned i = 0; i < 32; i++)
			if (seats[i].core != UINT_MAX)
				park(i, 0, false);
		sched_tick(sched, 0, now);
		sched_tick(sched, 1, now);
	}
	for (unsigned core = 0; core < 2; core++) {
		struct sched_core_view view;

		sched_core_view_get(sched, core, &view);
		assert_int_equal(view.granted + view.waiting, 0);
	}
}

#define TEST(name) cmocka_unit_test_teardown(name, finish)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_work_grants_once),
		TEST(test_work_while_parking),
		TEST(test_want_is_granted_again),
		TEST(test_deadline),
		TEST(test_deadline_is_forgotten),
		TEST(test_idle_needs_nothing),
		TEST(test_quantum),
		TEST(test_alone_is_left_alone),
		TEST(test_eviction),
		TEST(test_demotion),
		TEST(test_busy_pair_spreads),
		TEST(test_quiet_pair_joins),
		TEST(test_busy_at_once_stays_apart),
		TEST(test_many_spread),
		TEST(test_wrong_policy),
		TEST(test_chaos),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
