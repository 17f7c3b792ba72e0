/*
 * sched.c - which task runs next on a kthread, sleeping and waking, and what a kthread does
 * meanwhile.
 *
 * Every kthread has a loop of its own on its own stack: a task that blocks switches to the loop,
 * the loop switches to the next task.  The instance lock is held across switches.  A task runs only
 * on kthreads of its host process, so the queue of runnable tasks is per host process.
 */
#include <errno.h>
#include <string.h>

#include "leat/base/bits.h"
#include "libos/arena.h"
#include "libos/clock.h"
#include "libos/freeze.h"
#include "libos/host.h"
#include "libos/instance.h"
#include "libos/kthread.h"
#include "libos/netglue.h"
#include "libos/xstate.h"

/* entry.S */
void context_switch(uint64_t *ret_old_sp, uint64_t new_sp);

#define EAGER_FOR_NS 50000UL    /* what another core costs: a grant, and caches */
#define LINGER_CHECKS 8U        /* looks at the hints between two yields */
#define YIELD_LONG_NS 1000000UL /* a yield that took so long met others who do not give way: */
#define LINGER_SHARE 16U        /* none for so often as long: little time is lost */
#define STEAL_AFTER_NS 20000UL  /* a task that queues for so long has a waker that goes on */

/* ---- the queue ---- */

/* In front of which entry a task of that priority waits: behind its equals. */
static struct list *rq_place(struct list *rq, int priority)
{
	struct list *pos;

	if (likely(priority == 0))
		return rq;
	list_for_each(pos, rq)
		if (list_entry(pos, struct task, rq_node)->rt_priority < priority)
			return pos;
	return rq;
}

void sched_enqueue(struct task *task)
{
	struct hostproc *host = task->process->host;

	task->state = TASK_RUNNABLE;
	task->queued_tick = instance()->ticks;
	list_add_tail(rq_place(&host->rq, task->rt_priority), &task->rq_node);
	instance()->nr_runnable++;
}

/* A runnable task of a higher priority than one that runs takes its kthread's turn. */
void sched_preempt_lower(const struct task *task)
{
	struct kthread *lowest = NULL;
	struct list *pos;

	if (likely(task->rt_priority == 0))
		return;
	list_for_each(pos, &task->process->host->kthreads) {
		struct kthread *kt = list_entry(pos, struct kthread, node);

		if (kt->current != NULL && kt->current->rt_priority < task->rt_priority &&
		    (lowest == NULL || kt->current->rt_priority < lowest->current->rt_priority))
			lowest = kt;
	}
	if (lowest == NULL)
		return;
	lowest->slice_ends_ns = 1; /* over */
	if (lowest == this_kthread())
		__atomic_store_n(&lowest->need_resched, 1, __ATOMIC_RELAXED);
	else
		kthread_kick(lowest);
}

static struct task *sched_pop(struct hostproc *host)
{
	struct task *task;

	if (list_empty(&host->rq))
		return NULL;
	task = list_entry(host->rq.next, struct task, rq_node);
	list_del(&task->rq_node);
	instance()->nr_runnable--;
	instance()->nr_popped++;
	instance()->steal_now = false;
	return task;
}

void sched_set_priority(struct task *task, int priority)
{
	struct hostproc *host = task->process->host;
	bool lower = priority < task->rt_priority;

	task->rt_priority = priority;
	if (task->state == TASK_RUNNABLE) {
		list_del(&task->rq_node);
		list_add_tail(rq_place(&host->rq, priority), &task->rq_node);
		sched_preempt_lower(task);
	} else if (lower && task->state == TASK_RUNNING && !list_empty(&host->rq)) {
		sched_preempt_lower(list_entry(host->rq.next, struct task, rq_node));
	}
}

/*
 * Mostly the waker blocks soon and its kthread goes on with the woken task: that is cheaper than
 * another core.  Another one is wanted where tasks queue up, where the waker is no task that could
 * block, and where it was seen to go on for long after it had woken somebody (ticker.c).
 */
static bool wake_wants_core(const struct hostproc *host, bool backlog)
{
	struct kthread *kt = this_kthread();
	struct task *waker = kt->current;

	if (kt->state == KT_HELPER)
		return true;
	if (waker != NULL && waker->eager_wakes > 0 && waker->process->host == host) {
		waker->eager_wakes--;
		waker->eager_ns = clock_monotonic_ns();
		return true;
	}
	return backlog;
}

void task_wake(struct task *task)
{
	struct hostproc *host = task->process->host;
	bool backlog;

	task->woken = true;
	if (task->state != TASK_SLEEPING)
		return;
	backlog = !list_empty(&host->rq);
	timer_cancel(&task->sleep_timer);
	sched_enqueue(task);
	sched_preempt_lower(task);
	if (instance()->nr_lingering > 0)
		instance()->steal_now =
			host != this_kthread()->host || wake_wants_core(host, backlog);
	else if (wake_wants_core(host, backlog))
		vcpu_want(host);
	if (this_kthread()->state == KT_HELPER)
		ticker_cover();
}

void task_interrupt(struct task *task)
{
	if (task->state == TASK_SLEEPING && task->interruptible)
		task_wake(task);
}

void task_kick(struct task *task)
{
	if (task->state == TASK_RUNNING && task->kthread != NULL)
		kthread_kick(task->kthread);
}

/* ---- switching ---- */

void sched_switch_out(struct task *task)
{
	struct kthread *kt = this_kthread();
	uint64_t now_ns = clock_monotonic_ns();

	task->fs_base = fs_base_read();
	task->run_ns += now_ns - task->switched_in_ns;
	/* It blocked soon after all: its kthread would have gone on with whom it woke. */
	if (task->eager_ns != 0 && now_ns - task->eager_ns < EAGER_FOR_NS)
		task->eager_wakes = 0;
	task->eager_ns = 0;
	task->xstate_kthread = kt;
	task->kthread = NULL;
	kt->current = NULL;
	context_switch(&task->ksp, kt->loop_sp);
}

/* The registers' vector state goes to its owner's memory, so that anybody may use them. */
void sched_vectors_save(struct kthread *kt)
{
	struct task *owner = kt->vector_owner;

	if (owner != NULL && owner->xstate_kthread == kt && !owner->xstate_saved) {
		xstate_save(owner->xstate);
		owner->xstate_saved = true;
	}
}

static void sched_vectors_load(struct kthread *kt, struct task *task)
{
	if (kt->vector_owner == task && task->xstate_kthread == kt) {
		task->xstate_saved = false;
		return;
	}
	sched_vectors_save(kt);
	if (task->xstate_saved && xstate_restore(task->xstate) != 0)
		panic("task %d: bad vector state", task->tid);
	kt->vector_owner = task;
	task->xstate_saved = false;
	task->xstate_kthread = kt;
}

static void sched_run(struct kthread *kt, struct task *task)
{
	sched_vectors_load(kt, task);
	fs_base_write(task->fs_base);
	task->state = TASK_RUNNING;
	task->kthread = kt;
	task->switched_in_ns = clock_monotonic_ns();
	kt->kstack_top = (uint64_t)(uintptr_t)task->regs;
	kt->current = task;
	kt->in_trap = 0;
	kt->slice_ends_ns = 0;
	__atomic_store_n(&kt->need_resched, signal_pending(task) ? 1U : 0U, __ATOMIC_RELAXED);
	abi_vcpu_of(window(), (unsigned)kt->vcpu)->switches++;
	ticker_cover();
	context_switch(&kt->loop_sp, task->ksp);
}

/* ---- sleeping ---- */

static void sleep_expired(struct timer *timer)
{
	struct task *task = timer->data;

	task->timed_out = true;
	if (task->state == TASK_SLEEPING)
		task_wake(task);
}

static int sleep_common(uint64_t deadline_ns, bool interruptible)
{
	struct task *task = current();

	if (interruptible && signal_pending(task))
		return -EINTR;
	if (task->woken) {
		task->woken = false;
		return 0;
	}
	task->timed_out = false;
	if (deadline_ns != WAIT_FOREVER) {
		if (deadline_ns <= clock_monotonic_ns())
			return -ETIMEDOUT;
		task->sleep_timer.func = sleep_expired;
		task->sleep_timer.data = task;
		if (timer_arm(&task->sleep_timer, deadline_ns) != 0)
			return -ENOMEM;
	}
	task->interruptible = interruptible;
	task->state = TASK_SLEEPING;
	sched_switch_out(task);
	timer_cancel(&task->sleep_timer);
	task->woken = false;
	if (interruptible && signal_pending(task))
		return -EINTR;
	return task->timed_out ? -ETIMEDOUT : 0;
}

int task_sleep(uint64_t deadline_ns)
{
	return sleep_common(deadline_ns, true);
}

int task_sleep_uninterruptible(uint64_t deadline_ns)
{
	return sleep_common(deadline_ns, false);
}

/* ---- events from outside ---- */

/* The terminal's foreground; without a terminal, or when it was given up, the first program. */
static int outside_pgid(void)
{
	const struct tty_job *console = &instance()->console;

	return console->pgid != 0 ? console->pgid : instance()->init->pgid;
}

static void sched_ext_signals(void)
{
	uint64_t *word = &abi_instance_of(window())->ext_signals;
	uint64_t set;

	if (likely(__atomic_load_n(word, __ATOMIC_RELAXED) == 0))
		return;
	/* Acquire pairs with leatd's fetch_or(release). */
	set = __atomic_exchange_n(word, 0, __ATOMIC_ACQUIRE);
	for (; set != 0; set &= set - 1) {
		int sig = __builtin_ctzl(set) + 1;

		if (sig <= NR_SIGNALS)
			signal_send_pgrp(outside_pgid(), sig, NULL);
	}
}

/* The queues of vcpus that are off may hold frames from before. */
static void sched_poll_off(void)
{
	for (uint32_t off = instance()->vcpus_off; off != 0; off &= off - 1) {
		unsigned vcpu = (unsigned)__builtin_ctz(off);

		if (net_glue_pending(vcpu))
			net_glue_poll(vcpu);
	}
}

void sched_poll(struct kthread *kt)
{
	uint64_t next_ns = timers_next_ns();

	sched_ext_signals();
	if (kt->vcpu >= 0)
		net_glue_poll((unsigned)kt->vcpu);
	sched_poll_off();
	if (next_ns != UINT64_MAX)
		timers_run(clock_monotonic_ns());
}

/* ---- other host processes of the instance ---- */

/* One that has runnable tasks and a kthread to be handed a vcpu; round-robin. */
static struct kthread *sched_other_host(const struct kthread *kt)
{
	struct list *hosts = &instance()->hosts;
	struct list *pos, *tmp;

	if (instance()->nr_runnable == 0)
		return NULL;
	list_for_each_safe(pos, tmp, hosts) {
		struct hostproc *host = list_entry(pos, struct hostproc, all_node);
		struct kthread *parked;

		if (host == kt->host || list_empty(&host->rq) || host->dead)
			continue;
		parked = hostproc_parked_kthread(host);
		if (parked == NULL)
			continue;
		list_del(&host->all_node);
		list_add_tail(hosts, &host->all_node);
		return parked;
	}
	return NULL;
}

void sched_want_for_waiting(const struct hostproc *served, uint64_t min_ticks)
{
	const struct task *first;
	struct list *pos;

	if (instance()->nr_runnable == 0)
		return;
	list_for_each(pos, &instance()->hosts) {
		struct hostproc *host = list_entry(pos, struct hostproc, all_node);

		if (host == served || list_empty(&host->rq))
			continue;
		first = list_entry(host->rq.next, struct task, rq_node);
		if (instance()->ticks - first->queued_tick >= min_ticks)
			vcpu_want(host);
	}
}

/*
 * The kthread blocks: mostly the fastest way on is its own vcpu, since the next task wants what
 * this one has just written or forked.  Whoever still waits then gets another one.
 */
static bool sched_hand_over(struct kthread *kt)
{
	struct kthread *to = sched_other_host(kt);

	if (to == NULL)
		return false;
	sched_vectors_save(kt);
	kthread_hand_over(kt, to);
	sched_want_for_waiting(to->host, 0);
	return true;
}

/* ---- no work ---- */

/* What one who lingers has seen of the queues. */
struct linger {
	uint64_t popped;   /* instance()->nr_popped when it last changed */
	uint64_t since_ns; /* a task has waited since then; 0: none waits */
};

/* Without the lock, so hints only: races are harmless. */
static bool sched_task_left(struct linger *linger, uint64_t now_ns)
{
	const struct instance *inst = instance();
	unsigned nr = __atomic_load_n(&inst->nr_runnable, __ATOMIC_RELAXED);
	uint64_t popped = __atomic_load_n(&inst->nr_popped, __ATOMIC_RELAXED);

	if (nr == 0) {
		linger->since_ns = 0;
		return false;
	}
	if (nr > 1 || __atomic_load_n(&inst->steal_now, __ATOMIC_RELAXED))
		return true;
	if (linger->since_ns == 0 || linger->popped != popped) {
		linger->since_ns = now_ns;
		linger->popped = popped;
	}
	return now_ns - linger->since_ns >= STEAL_AFTER_NS;
}

/* Cheap looks without the lock: is it worth taking it? */
static bool sched_hint(const struct kthread *kt, unsigned vcpu)
{
	return net_glue_pending(vcpu) ||
	       __atomic_load_n(&abi_instance_of(window())->ext_signals, __ATOMIC_RELAXED) != 0 ||
	       freeze_asked() || kthread_preempt_asked(kt);
}

/*
 * Polls without the lock until something may have happened or until_ns; gives way meanwhile.  Its
 * host process may end in that time: then another kthread has passed the vcpu on (hostproc_end).
 */
static void sched_linger(struct kthread *kt, uint64_t until_ns)
{
	unsigned vcpu = (unsigned)kt->vcpu;
	struct abi_vcpu *slot = abi_vcpu_of(window(), vcpu);
	uint64_t timer_ns = timers_next_ns();
	struct linger linger = {0};
	uint64_t yielded_ns = 0; /* when it last gave way */

	instance()->nr_lingering++;
	kt->lingering = true;
	slot->state = ABI_VCPU_LINGER;
	instance_unlock();
	for (;;) {
		uint64_t now_ns = clock_monotonic_ns();

		if (yielded_ns != 0 && now_ns - yielded_ns >= YIELD_LONG_NS) {
			kt->no_linger_until_ns = now_ns + (now_ns - yielded_ns) * LINGER_SHARE;
			break;
		}
		if (now_ns >= until_ns || now_ns >= timer_ns || sched_hint(kt, vcpu) ||
		    sched_task_left(&linger, now_ns))
			break;
		for (unsigned i = 0; i < LINGER_CHECKS && !sched_hint(kt, vcpu) &&
				     !sched_task_left(&linger, now_ns);
		     i++)
			cpu_relax();
		slot->yields++;
		yielded_ns = now_ns;
		host_sched_yield();
	}
	instance_lock();
	kt->lingering = false;
	instance()->nr_lingering--;
	slot->state = ABI_VCPU_RUNNING;
}

/* How long it may poll: only where everyone on the core gives way, and briefly if somebody waits.
 */
static uint64_t sched_linger_ns(const struct kthread *kt)
{
	const struct abi_control *control = control_page();
	const struct abi_core *core = &control->core[kt->core % ABI_MAX_CORES];

	if (kt->core == KTHREAD_NO_CORE || core->spinner != 0 ||
	    clock_monotonic_ns() < kt->no_linger_until_ns)
		return 0;
	return core->waiting != 0 ? control->linger_ns / 4 : control->linger_ns;
}

static void sched_idle(struct kthread *kt)
{
	uint64_t until_ns = 0;

	if (kt->host->nr_kthreads > 1)
		sched_vectors_save(kt);
	for (;;) {
		sched_poll(kt);
		if (!list_empty(&kt->host->rq) || instance()->exiting || freeze_asked() ||
		    sched_hand_over(kt))
			return;
		if (until_ns == 0)
			until_ns = clock_monotonic_ns() + sched_linger_ns(kt);
		if (kthread_preempt_asked(kt) || clock_monotonic_ns() >= until_ns)
			break;
		sched_want_for_waiting(NULL, 0);
		sched_linger(kt, until_ns);
	}
	sched_want_for_waiting(NULL, 0);
	kthread_give_back(kt, false);
}

/* ---- the loop ---- */

static bool slice_over(const struct kthread *kt)
{
	return kt->slice_ends_ns != 0 && kt->slice_ends_ns <= clock_monotonic_ns();
}

_Noreturn void sched_loop(struct kthread *kt)
{
	bool turn = false; /* the last task had its time: others first */

	for (;;) {
		struct task *task;

		if (kt->state != KT_RUNNING)
			kthread_wait(kt);
		if (instance()->exiting) {
			instance_unlock();
			host_exit_group(0);
		}
		if (unlikely(freeze_asked())) {
			freeze_point(kt);
			continue;
		}
		if (kthread_preempt_asked(kt)) {
			/* a signal from outside is a grant and this: do not park over it */
			sched_ext_signals();
			sched_vectors_save(kt);
			kthread_give_back(kt, instance()->nr_runnable != 0);
			continue;
		}
		if (turn && sched_hand_over(kt)) {
			turn = false;
			continue;
		}
		task = sched_pop(kt->host);
		if (task == NULL) {
			sched_idle(kt);
			continue;
		}
		sched_run(kt, task);
		turn = kt->slice_ends_ns != 0;
		if (kt->dead_task != NULL) {
			if (kt->vector_owner == kt->dead_task)
				kt->vector_owner = NULL;
			task_destroy(kt->dead_task);
			kt->dead_task = NULL;
			if (kt->host->dead)
				hostproc_end(kt);
		}
	}
}

static void sched_requeue(struct task *task)
{
	sched_enqueue(task);
	sched_switch_out(task);
}

void task_yield(void)
{
	struct kthread *kt = this_kthread();

	sched_poll(kt);
	if (instance()->nr_runnable == 0) {
		/* Nobody here: perhaps another instance on this core. */
		abi_vcpu_of(window(), (unsigned)kt->vcpu)->yields++;
		instance_unlock();
		host_sched_yield();
		instance_lock();
		return;
	}
	kt->slice_ends_ns = 1;
	sched_requeue(kt->current);
}

void sched_safe_point(struct kthread *kt)
{
	sched_poll(kt);
	if (kthread_preempt_asked(kt) || unlikely(freeze_asked())) {
		sched_requeue(kt->current);
	} else if (slice_over(kt)) {
		if (instance()->nr_runnable == 0)
			kt->slice_ends_ns = 0;
		else
			sched_requeue(kt->current);
	}
}
