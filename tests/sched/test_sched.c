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
	struct sched_instance *inst; /* NULL: a sibling of the one before */
	struct sched_vcpu *vcpu;
	unsigned core; /* UINT_MAX: parked */
	unsigned grants, preempts, evictions, demotions;
	bool demoted;
	uint64_t cpu_ns; /* as the host counts */
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
	struct seat *seat = arg;

	(void)now_ns;
	seat->demotions += !seat->demoted;
	seat->demoted = true;
}

static void on_restore(void *arg, uint64_t now_ns)
{
	(void)now_ns;
	((struct seat *)arg)->demoted = false;
}

static uint64_t on_cpu_ns(void *arg)
{
	return ((struct seat *)arg)->cpu_ns;
}

static void on_poke(void *ctx, unsigned core)
{
	(void)ctx;
	(void)core;
	pokes++;
}

static void seat_attach(unsigned i)
{
	const struct sched_instance_config config = {.id = i + 1, .tenant = 1};

	seats[i] = (struct seat){.core = UINT_MAX};
	assert_int_equal(sched_instance_attach(sched, &config, &seats[i].inst), 0);
	assert_int_equal(sched_vcpu_attach(seats[i].inst, &seats[i], 0, &seats[i].vcpu), 0);
}

static void start(unsigned nr_cores, unsigned max_granted, unsigned nr_vcpus)
{
	struct sched_config config = {
		.nr_cores = nr_cores,
		.max_granted = max_granted,
		.quantum_ns = MS,
		.host = {on_grant, on_preempt, on_evict, on_demote, on_restore, on_cpu_ns, on_poke,
			 NULL},
	};

	now = MS;
	pokes = 0;
	memset(seats, 0, sizeof(seats));
	assert_int_equal(sched_create(&config, &sched), 0);
	for (unsigned i = 0; i < nr_vcpus; i++)
		seat_attach(i);
}

static int finish(void **state)
{
	(void)state;
	for (unsigned i = 0; i < MAX_VCPUS; i++)
		sched_vcpu_detach(seats[i].vcpu);
	for (unsigned i = 0; i < MAX_VCPUS; i++)
		sched_instance_detach(seats[i].inst);
	memset(seats, 0, sizeof(seats));
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

/*
 * One who never gives way, and gets `cpu_permille` of a core, next to one who gives way and has
 * work in the first `busy` of each 10 steps of 100 us.
 */
static void run_beside(unsigned steps, unsigned cpu_permille, unsigned busy)
{
	for (unsigned i = 0; i < steps; i++) {
		now += 100 * US;
		seats[0].cpu_ns += 100 * US * cpu_permille / 1000;
		sched_sample(seats[0].vcpu, true, 0, now);
		sched_sample(seats[1].vcpu, i % 10 < busy, i, now);
		sched_tick(sched, 0, now);
	}
}

/* Next to others, one who computes is demoted; the others are not. */
static void test_demotion(void **state)
{
	(void)state;
	start(1, 4, 2);
	work(0, 0);
	work(1, 0);
	run_beside(150, 500, 5);
	assert_int_equal(seats[0].demotions, 0); /* a busy moment */
	run_beside(100, 500, 5);
	assert_int_equal(seats[0].demotions, 1);
	assert_true(seats[0].demoted);
	assert_int_equal(seats[1].demotions, 0);
	/* and no longer than they are there */
	run_beside(250, 900, 0);
	assert_false(seats[0].demoted);
}

/*
 * Somebody who is kept from running by others of the host is not guilty, however long it takes to
 * give way: 40 us of work in 10 ms each.
 */
static void test_no_demotion_without_cpu(void **state)
{
	(void)state;
	start(1, 4, 2);
	work(0, 0);
	work(1, 0);
	seats[0].cpu_ns = 1;
	for (unsigned i = 1; i <= 1000; i++) {
		now += 100 * US;
		seats[0].cpu_ns += 400;
		sched_sample(seats[0].vcpu, true, i / 100, now);
		sched_sample(seats[1].vcpu, i % 10 < 5, i, now);
		sched_tick(sched, 0, now);
	}
	assert_int_equal(seats[0].demotions, 0);
}

/* Demoted, and then it gets next to nothing: it is spared most of the time. */
static void test_demoted_progresses(void **state)
{
	unsigned demoted = 0;

	(void)state;
	start(1, 4, 2);
	work(0, 0);
	work(1, 0);
	for (unsigned i = 0; i < 10000; i++) {
		run_beside(1, seats[0].demoted ? 1 : 500, 10);
		demoted += seats[0].demoted;
	}
	assert_in_range(seats[0].demotions, 10, 40);
	assert_in_range(demoted, 500, 3000);
}

/* What was demoted is restored when it parks. */
static void test_parking_restores(void **state)
{
	(void)state;
	start(1, 4, 2);
	work(0, 0);
	work(1, 0);
	run_beside(250, 500, 5);
	assert_true(seats[0].demoted);
	park(0, 0, false);
	assert_false(seats[0].demoted);
}

/* Two who compute take turns on a core, a quantum each; those who give way wait for neither. */
static void test_computing_take_turns(void **state)
{
	unsigned holds[3] = {0};

	(void)state;
	start(1, 8, 4);
	for (unsigned i = 0; i < 3; i++)
		work(i, 0);
	for (unsigned step = 0; step < 3000; step++) {
		unsigned holders = 0;

		now += 100 * US;
		for (unsigned i = 0; i < 3; i++)
			holders += seats[i].core == 0;
		for (unsigned i = 0; i < 3; i++) {
			if (seats[i].core != 0)
				continue;
			holds[i]++;
			seats[i].cpu_ns += 100 * US / holders;
			sched_sample(seats[i].vcpu, true, 0, now);
			if (seats[i].preempts) {
				seats[i].preempts = 0;
				park(i, 0, true);
			}
		}
		sched_tick(sched, 0, now);
	}
	work(3, 0);
	assert_int_equal(seats[3].core, 0);
	for (unsigned i = 0; i < 3; i++)
		assert_in_range(holds[i], 800, 1300);
}

/* ---- guarantees ---- */

/* Seat `i` becomes another vcpu of the instance of seat `of`. */
static void sibling(unsigned i, unsigned of)
{
	seats[i] = (struct seat){.core = UINT_MAX};
	assert_int_equal(sched_vcpu_attach(seats[of].inst, &seats[i], 1, &seats[i].vcpu), 0);
}

static void guaranteed_attach(unsigned i, unsigned guaranteed)
{
	const struct sched_instance_config config = {.id = i + 1,
						     .tenant = 1,
						     .guaranteed = guaranteed};

	seats[i] = (struct seat){.core = UINT_MAX};
	assert_int_equal(sched_instance_attach(sched, &config, &seats[i].inst), 0);
	assert_int_equal(sched_vcpu_attach(seats[i].inst, &seats[i], 0, &seats[i].vcpu), 0);
}

/* A guaranteed vcpu goes before those who wait, and is not kept waiting for a quantum. */
static void test_guaranteed_first(void **state)
{
	(void)state;
	start(1, 1, 3);
	guaranteed_attach(3, 1);
	work(0, 0);
	work(1, 0);
	work(2, 0);
	now += 10 * US;
	work(3, 0);
	sched_tick(sched, 0, now);
	assert_int_equal(seats[0].preempts, 1);
	park(0, 0, true);
	assert_int_equal(seats[3].core, 0);
	/* and stays for its quantum */
	now += 10 * US;
	sched_tick(sched, 0, now);
	assert_int_equal(seats[3].preempts, 0);
}

/* Beyond the guarantee: a second core only if one is idle, or after a while. */
static void test_burst_is_held_back(void **state)
{
	(void)state;
	start(1, 8, 1);
	sibling(1, 0);
	work(0, 0);
	work(1, 0);
	assert_int_equal(seats[1].core, UINT_MAX);
	now += 20 * US;
	sched_tick(sched, 0, now);
	assert_int_equal(seats[1].core, UINT_MAX);
	now += 40 * US;
	sched_tick(sched, 0, now);
	assert_int_equal(seats[1].core, 0);
}

static void test_burst_to_an_idle_core(void **state)
{
	(void)state;
	start(2, 8, 1);
	sibling(1, 0);
	work(0, 0);
	work(1, 0);
	assert_int_not_equal(seats[1].core, UINT_MAX);
}

static void test_held_back_and_gone(void **state)
{
	(void)state;
	start(1, 8, 1);
	sibling(1, 0);
	work(0, 0);
	work(1, 0);
	sched_vcpu_detach(seats[1].vcpu);
	seats[1].vcpu = NULL;
	now += MS;
	sched_tick(sched, 0, now);
	assert_int_equal(seats[0].grants, 1);
}

/* A core that is gone: its waiters go elsewhere, its holders are asked, nobody comes. */
static void test_core_goes(void **state)
{
	struct leat_sched_core core;

	(void)state;
	start(2, 1, 4);
	work(0, UINT_MAX);
	work(1, UINT_MAX);
	work(2, UINT_MAX);
	work(3, UINT_MAX);
	sched_core_use(sched, 1, false, now);
	for (unsigned i = 0; i < 4; i++) {
		if (seats[i].core != 1)
			continue;
		assert_int_equal(seats[i].preempts, 1);
		park(i, 0, true);
	}
	assert_int_equal(sched_core_get(sched, 1, &core), 0);
	assert_int_equal(core.granted + core.waiting, 0);
	for (unsigned round = 0; round < 4; round++)
		for (unsigned i = 0; i < 4; i++)
			if (seats[i].core != UINT_MAX) {
				assert_int_equal(seats[i].core, 0);
				park(i, 0, false);
			}
	for (unsigned i = 0; i < 4; i++)
		assert_in_range(seats[i].grants, 1, 2);
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
			sched_instance_detach(seats[i].inst);
			seat_attach(i);
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
		struct leat_sched_core view;

		assert_int_equal(sched_core_get(sched, core, &view), 0);
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
		TEST(test_no_demotion_without_cpu),
		TEST(test_demoted_progresses),
		TEST(test_parking_restores),
		TEST(test_computing_take_turns),
		TEST(test_guaranteed_first),
		TEST(test_burst_is_held_back),
		TEST(test_burst_to_an_idle_core),
		TEST(test_held_back_and_gone),
		TEST(test_core_goes),
		TEST(test_busy_pair_spreads),
		TEST(test_quiet_pair_joins),
		TEST(test_busy_at_once_stays_apart),
		TEST(test_many_spread),
		TEST(test_chaos),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
