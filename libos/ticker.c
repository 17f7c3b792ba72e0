/*
 * ticker.c - a helper thread that gives time its due while kthreads run the program's code.
 *
 * A kthread sees timers and other tasks only when the program enters the libOS.  A program that
 * computes without a call would keep both waiting, so while tasks wait for a kthread, or a timer is
 * pending, this host thread sleeps until the next tick or deadline, and then kicks kthreads by the
 * preemption signal or asks leatd for one more vcpu.  Otherwise it does not exist or sleeps for
 * good: it costs an idle instance nothing.  (A host timer a kthread would need three more host
 * calls.)
 */
#include "leat/base/bits.h"
#include "libos/clock.h"
#include "libos/instance.h"
#include "libos/kthread.h"

#define TICK_NS 1000000UL  /* while tasks wait */
#define WAIT_TICKS 2U      /* one whole tick */
#define SLICE_NS 4000000UL /* of a task while others wait */
#define EAGER_WAKES 64U    /* after a task kept others waiting for a tick */
#define MISSES_MAX 16U     /* ticks left to whoever holds the lock, in a row */
/* Ticks without anybody waiting, so that it is not woken a thousand times a second. */
#define TICKS_MORE 16U

/* Did a task wait for a whole tick there, while this one went on? */
static bool keeps_waiting(const struct kthread *kt)
{
	const struct list *rq = &kt->host->rq;
	const struct task *first;

	if (list_empty(rq))
		return false;
	first = list_entry(rq->next, struct task, rq_node);
	return instance()->ticks - first->queued_tick >= WAIT_TICKS;
}

/* Tasks wait for their turn: asks for one more vcpu, and ends the slices that are over. */
static void tick_slices(uint64_t now_ns)
{
	struct instance *inst = instance();

	for (unsigned v = 0; v < inst->boot->nr_vcpus; v++) {
		struct kthread *kt = inst->vcpu_holder[v];

		if (kt == NULL || kt->state != KT_RUNNING || kt->current == NULL)
			continue;
		if (keeps_waiting(kt))
			kt->current->eager_wakes = EAGER_WAKES;
		if (kt->slice_ends_ns == 0)
			kt->slice_ends_ns = now_ns + SLICE_NS;
		else if (now_ns >= kt->slice_ends_ns)
			kthread_kick(kt);
	}
	sched_want_for_waiting(NULL, WAIT_TICKS);
}

/* Somebody has to come and run the timers. */
static void tick_timers(void)
{
	struct instance *inst = instance();

	for (unsigned v = 0; v < inst->boot->nr_vcpus; v++) {
		struct kthread *kt = inst->vcpu_holder[v];

		if (kt != NULL && kt->state == KT_RUNNING) {
			kthread_kick(kt);
			return;
		}
	}
}

static bool tick_anybody_runs(void)
{
	struct instance *inst = instance();

	for (unsigned v = 0; v < inst->boot->nr_vcpus; v++) {
		struct kthread *kt = inst->vcpu_holder[v];

		if (kt != NULL && kt->state == KT_RUNNING && kt->current != NULL)
			return true;
	}
	return false;
}

/* One round; returns when the next is due. */
static uint64_t tick(uint64_t now_ns, unsigned *inout_ticks)
{
	uint64_t next_ns = timers_next_ns();

	instance()->ticks++;
	if (instance()->nr_runnable > 0) {
		*inout_ticks = TICKS_MORE;
		tick_slices(now_ns);
		if (next_ns <= now_ns)
			tick_timers();
		return now_ns + TICK_NS;
	}
	if (*inout_ticks > 0 && next_ns > now_ns) {
		--*inout_ticks;
		return now_ns + TICK_NS;
	}
	/* Where nobody runs, the parked vcpu's deadline brings somebody. */
	if (!tick_anybody_runs())
		return UINT64_MAX;
	if (next_ns > now_ns)
		return next_ns;
	tick_timers();
	return now_ns + TICK_NS;
}

/* With the lock. */
static void tick_take(uint64_t now_ns)
{
	struct instance *inst = instance();

	__atomic_store_n(&inst->tick_due, false, __ATOMIC_RELAXED);
	inst->ticker_deadline_ns = tick(now_ns, &inst->ticks_more);
}

void ticker_catch_up(void)
{
	if (unlikely(__atomic_load_n(&instance()->tick_due, __ATOMIC_RELAXED)))
		tick_take(clock_monotonic_ns());
}

/*
 * While programs mostly are in system calls the lock is hardly ever free, and every unlock with
 * somebody asleep on it costs a host call.  So who holds it makes the tick on his way out.
 */
static void ticker_run(void *arg)
{
	struct kthread *kt = this_kthread();
	struct instance *inst = instance();
	unsigned misses = 0;

	(void)arg;
	for (;;) {
		uint64_t now_ns = clock_monotonic_ns(), next_ns;

		if (!instance_trylock() && ++misses < MISSES_MAX) {
			__atomic_store_n(&inst->tick_due, true, __ATOMIC_RELAXED);
			kthread_helper_wait(kt, TICK_NS);
			continue;
		}
		if (misses == MISSES_MAX)
			instance_lock();
		misses = 0;
		tick_take(now_ns);
		next_ns = inst->ticker_deadline_ns;
		instance_unlock();
		kthread_helper_wait(kt, next_ns == UINT64_MAX ? UINT64_MAX : next_ns - now_ns);
	}
}

/* The ticker must look at `deadline_ns` at the latest. */
static void ticker_start(uint64_t deadline_ns)
{
	struct instance *inst = instance();

	inst->ticker_deadline_ns = deadline_ns;
	if (inst->ticker != NULL)
		kthread_helper_wake(inst->ticker);
	else if (kthread_spawn_helper(ticker_run, NULL, &inst->ticker) != 0)
		inst->ticker_deadline_ns = UINT64_MAX; /* no memory: tried again at the next need */
}

void ticker_cover(void)
{
	struct instance *inst = instance();
	uint64_t next_ns = timers_next_ns();

	if (inst->nr_runnable > 0 && inst->ticker_deadline_ns == UINT64_MAX)
		ticker_start(0);
	else if (next_ns < inst->ticker_deadline_ns)
		ticker_start(next_ns);
}

/* A task that goes on running set a timer; the task's own timeouts are seen by whoever runs next.
 */
void kthread_timer_armed(uint64_t deadline_ns)
{
	struct task *task = current();

	if (deadline_ns < instance()->ticker_deadline_ns && task != NULL &&
	    task->sleep_timer.heap_index != 1)
		__atomic_store_n(&this_kthread()->need_resched, 1, __ATOMIC_RELAXED);
}
