/*
 * dataplane_thread.c - the loop of a core's dataplane thread, and how it shares the core.
 *
 *	nobody holds the core	poll everybody's rings for a moment after the last work, then sleep
 *	another core polls	sleep: it serves our rings too, and rings us before it stops
 *	all here give way	take turns with the kthreads by sched_yield
 *	somebody does not	sleep with a short timer, rung when frames wait
 *
 * Figures behind this: docs/dataplane.md.
 */
#include "apps/leatd/dataplane_limit.h"
#include "apps/leatd/dataplane_private.h"
#include "apps/leatd/dataplane_wish.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "bpf/bpf.h"

#define POLL_NS 60000U           /* an idle core polls so long after the last work */
#define POLLER_AFTER_NS 200000U  /* frames for so long: worth another core's polling */
#define UPLINK_ACTIVE_NS 100000U /* read the uplink in every round so long after the last frame */
#define UPLINK_EVERY_NS 20000U   /* else so often while we are awake */
#define UPLINK_BUDGET 32U
#define ASSISTED_NS 50000U /* a held core whose rings another one polls looks so often */
#define NAP_MIN_NS 50000U  /* timer of a sleeping thread whose core is held */
#define NAP_MAX_NS 400000U
#define YIELD_LONG_NS 300000U /* a yield that took so long met somebody who does not give way */
#define POLL_GAP_NS 60000U    /* a poller that was away so long shares its core with others */
#define AVOID_MIN_NS 2000000U /* yielding or polling is avoided so long after it met them, */
#define AVOID_MAX_NS 16000000U
#define AVOID_SHARE 16U /* and so often as long as it took: at most a 16th of the time is lost */

static void class_set(struct dp_core *core, bool fifo)
{
	const struct sched_param param = {.sched_priority = 1};

	if (core->fifo == fifo)
		return;
	/* where real-time is refused (some cgroups), the normal class has to do */
	if (!fifo)
		dp_class_other(0);
	else
		sched_setscheduler(0, SCHED_FIFO, &param);
	core->fifo = fifo;
}

static void publish(struct dp_core *core, enum abi_dp_state state, uint64_t wake_ns)
{
	core->pub->wake_ns = wake_ns;
	/* seq_cst: pairs with the fence of who publishes frames and then reads the state */
	__atomic_store_n(&core->pub->state, state, __ATOMIC_SEQ_CST);
}

/* The part of the round that serves the uplink; a read costs 0.3 us even when nothing is there. */
static unsigned uplink_round(struct dp_core *core, uint64_t now_ns)
{
	static _Atomic(uint64_t) looked_ns, active_ns;
	uint64_t looked = atomic_load_explicit(&looked_ns, memory_order_relaxed);
	uint64_t active = atomic_load_explicit(&active_ns, memory_order_relaxed);
	unsigned n;

	if (!core->rung && now_ns - active > UPLINK_ACTIVE_NS && now_ns - looked < UPLINK_EVERY_NS)
		return 0;
	atomic_store_explicit(&looked_ns, now_ns, memory_order_relaxed);
	n = dpu_uplink_poll(dp.dpu, core->index, UPLINK_BUDGET);
	if (n)
		atomic_store_explicit(&active_ns, now_ns, memory_order_relaxed);
	return n;
}

/* It met somebody who does not give way: not again for a while, longer each time that it recurs. */
static void avoid(struct dp_avoid *avoid, uint64_t took_ns, uint64_t now_ns)
{
	if (now_ns - avoid->until_ns > avoid->for_ns)
		avoid->for_ns = 0; /* it went well for as long as it was avoided */
	avoid->for_ns = MIN(MAX(avoid->for_ns * 2, (uint64_t)AVOID_MIN_NS), (uint64_t)AVOID_MAX_NS);
	avoid->for_ns = MAX(avoid->for_ns, took_ns * AVOID_SHARE);
	avoid->until_ns = now_ns + avoid->for_ns;
}

static bool avoided(const struct dp_avoid *avoid, uint64_t now_ns)
{
	return now_ns < avoid->until_ns;
}

static void tick(struct dp_core *core, uint64_t now_ns)
{
	struct leat_sched_core view;

	if (now_ns < atomic_load_explicit(&core->tick_ns, memory_order_relaxed))
		return;
	atomic_store_explicit(&core->tick_ns, SCHED_NEVER, memory_order_relaxed);
	uint64_t next_ns = sched_tick(dp.sched, core->index, now_ns);
	uint64_t never = SCHED_NEVER;

	/* unless somebody asked for an earlier one meanwhile */
	atomic_compare_exchange_strong(&core->tick_ns, &never, next_ns);
	if (sched_core_get(dp.sched, core->index, &view))
		return;
	core->pub->waiting = view.waiting;
	/* kthreads that linger would take turns in vain, or from others on the host */
	core->pub->spinner = (view.flags & LEAT_CORE_SPINNER) ||
			     avoided(&core->yield_avoid, now_ns) ||
			     avoided(&core->poll_avoid, now_ns);
	core->pub->grants = view.granted;
}

static bool holds_nothing(const struct dp_core *core)
{
	return atomic_load_explicit(&core->nr_granted, memory_order_relaxed) == 0;
}

static unsigned dp_round(struct dp_core *core, uint64_t now_ns)
{
	unsigned n;

	dpu_round_begin(dp.dpu, core->index, now_ns);
	n = dp_core_scan(core, core->index, now_ns);
	/* with nothing of our own to do, we spare the others a round */
	for (unsigned i = 0; (n == 0 || core->rung) && i < dp.nr_cores; i++)
		if (i != core->index)
			n += dp_core_scan(&dp.core[i], core->index, now_ns);
	n += dp_vhost_scan(core, now_ns);
	n += dp_wish_scan(core, now_ns);
	n += dp_limit_scan(core, now_ns);
	n += uplink_round(core, now_ns);
	tick(core, now_ns);
	dp_deferred_flush();
	dpu_round_end(dp.dpu, core->index);
	core->rung = false;
	core->pub->round_ns = now_ns;
	if (n)
		core->last_work_ns = now_ns;
	return n;
}

/*
 * Sleeps until rung, until the uplink has something, or for timeout_ns. At real-time priority, so
 * that nobody delays the one round that follows: an instance that says it is parked and spins
 * included.
 */
static void sleep_rung(struct dp_core *core, uint64_t timeout_ns)
{
	struct timespec ts = {.tv_sec = (time_t)(timeout_ns / 1000000000U),
			      .tv_nsec = (long)(timeout_ns % 1000000000U)};
	struct epoll_event event[2];
	uint64_t count;
	int n;

	class_set(core, true);
	n = epoll_pwait2(core->epoll_fd, event, 2, timeout_ns == SCHED_NEVER ? NULL : &ts, NULL);
	for (int i = 0; i < n; i++) {
		core->rung = true;
		if (event[i].data.fd != core->doorbell_fd)
			continue;
		if (read(core->doorbell_fd, &count, sizeof(count)) == sizeof(count))
			dp_wish_heard(count);
		else if (errno != EAGAIN)
			dp_log("doorbell of core %u: read fails", core->cpu);
	}
}

/* Ports stay during a round only. */
static void vhost_kicks_ask(struct dp_core *core, uint64_t now_ns)
{
	dpu_round_begin(dp.dpu, core->index, now_ns);
	dp_vhost_kicks_ask();
	dpu_round_end(dp.dpu, core->index);
}

static uint64_t vhost_due_ns(struct dp_core *core, uint64_t now_ns)
{
	uint64_t due_ns;

	dpu_round_begin(dp.dpu, core->index, now_ns);
	due_ns = dp_vhost_due_ns();
	dpu_round_end(dp.dpu, core->index);
	return due_ns;
}

/* Says that it sleeps, looks once more, sleeps. */
static void sleep_until(struct dp_core *core, uint64_t now_ns, uint64_t wake_ns)
{
	publish(core, ABI_DP_SLEEP, wake_ns);
	vhost_kicks_ask(core, now_ns);
	if (dp_round(core, now_ns) == 0 && !atomic_load(&dp.stopping)) {
		uint64_t tick_ns = atomic_load_explicit(&core->tick_ns, memory_order_relaxed);

		tick_ns = MIN(tick_ns, dp_limit_due_ns());
		tick_ns = MIN(tick_ns, vhost_due_ns(core, now_ns));
		if (tick_ns < wake_ns) {
			wake_ns = tick_ns;
			publish(core, ABI_DP_SLEEP, wake_ns);
		}
		now_ns = dp_now_ns();
		if (wake_ns > now_ns)
			sleep_rung(core, wake_ns == SCHED_NEVER ? wake_ns : wake_ns - now_ns);
	}
}

/* Polling ends: those who relied on it look after their rings themselves again. */
static void polling_set(struct dp_core *core, bool polling)
{
	uint64_t one = 1;

	if (core->polling == polling)
		return;
	core->polling = polling;
	if (polling) {
		atomic_fetch_add(&dp.nr_polling, 1);
		return;
	}
	/* seq_cst: pairs with assisted_sleep; either it sees the count fall or we see it asleep */
	atomic_fetch_sub(&dp.nr_polling, 1);
	for (unsigned i = 0; i < dp.nr_cores; i++)
		if (atomic_load(&dp.core[i].assisted) &&
		    write(dp.core[i].doorbell_fd, &one, sizeof(one)) < 0)
			dp_log("doorbell of core %u does not ring", dp.core[i].cpu);
}

/* The core is held, but another one polls for us: kthreads need neither ring nor yield. */
static void assisted_sleep(struct dp_core *core)
{
	publish(core, ABI_DP_POLL, 0);
	atomic_store(&core->assisted, true);
	if (atomic_load(&dp.nr_polling))
		sleep_rung(core, ASSISTED_NS);
	atomic_store(&core->assisted, false);
}

static void idle_core(struct dp_core *core, uint64_t now_ns)
{
	if (atomic_exchange_explicit(&core->called, false, memory_order_relaxed))
		core->last_work_ns = now_ns;
	if (core->polling && now_ns - core->polled_ns > POLL_GAP_NS)
		avoid(&core->poll_avoid, now_ns - core->polled_ns, now_ns);
	core->polled_ns = now_ns;
	if (now_ns - core->last_work_ns < POLL_NS && !avoided(&core->poll_avoid, now_ns)) {
		class_set(core, false);
		polling_set(core, true);
		publish(core, ABI_DP_POLL, 0);
		cpu_relax();
		return;
	}
	polling_set(core, false);
	sleep_until(core, now_ns, atomic_load_explicit(&core->tick_ns, memory_order_relaxed));
}

/* Frames keep coming while another core sleeps with nothing to do: have it poll for all. */
static void poller_call(struct dp_core *core, uint64_t now_ns)
{
	uint64_t one = 1;

	if (now_ns - core->busy_since_ns < POLLER_AFTER_NS || now_ns - core->called_ns < POLL_NS)
		return;
	core->called_ns = now_ns;
	for (unsigned i = 0; i < dp.nr_cores; i++) {
		struct dp_core *other = &dp.core[i];

		if (other == core || !holds_nothing(other))
			continue;
		atomic_store(&other->called, true);
		if (write(other->doorbell_fd, &one, sizeof(one)) < 0)
			dp_log("doorbell of core %u does not ring", other->cpu);
		return;
	}
}

static void held_core(struct dp_core *core, uint64_t now_ns, unsigned n)
{
	uint64_t after_ns;

	polling_set(core, false);
	if (atomic_load_explicit(&dp.nr_polling, memory_order_relaxed)) {
		assisted_sleep(core);
		return;
	}
	if (avoided(&core->yield_avoid, now_ns) || core->pub->spinner) {
		core->nap_ns = n ? NAP_MIN_NS : MIN(core->nap_ns * 2, (uint64_t)NAP_MAX_NS);
		core->nap_ns = MAX(core->nap_ns, (uint64_t)NAP_MIN_NS);
		sleep_until(core, now_ns, now_ns + core->nap_ns);
		return;
	}
	if (now_ns - core->last_work_ns > POLL_NS)
		core->busy_since_ns = now_ns;
	poller_call(core, now_ns);
	class_set(core, false);
	publish(core, ABI_DP_YIELD, 0);
	sched_yield();
	after_ns = dp_now_ns();
	if (after_ns - now_ns > YIELD_LONG_NS)
		avoid(&core->yield_avoid, after_ns - now_ns, after_ns);
}

static void thread_prepare(const struct dp_core *core)
{
	cpu_set_t set;
	sigset_t signals;
	char name[16];

	snprintf(name, sizeof(name), "leat-dp/%u", core->cpu);
	pthread_setname_np(pthread_self(), name);
	CPU_ZERO(&set);
	CPU_SET(core->cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
	prctl(PR_SET_TIMERSLACK, 1UL, 0, 0, 0);
	sigfillset(&signals);
	sigdelset(&signals, SIGBUS);
	/* a SIGBUS that is blocked would end the process instead of coming to its handler */
	pthread_sigmask(SIG_SETMASK, &signals, NULL);
}

void *dp_thread_main(void *arg)
{
	struct dp_core *core = arg;
	uint64_t now_ns;
	unsigned n;

	thread_prepare(core);
	ebpf_thread_cpu_set(core->index);
	while (!atomic_load_explicit(&dp.stopping, memory_order_relaxed)) {
		now_ns = dp_now_ns();
		n = dp_round(core, now_ns);
		if (holds_nothing(core))
			idle_core(core, now_ns);
		else
			held_core(core, now_ns, n);
	}
	publish(core, ABI_DP_ABSENT, 0);
	return NULL;
}
