/*
 * kthread.c - host threads and their vcpus.
 *
 * A kthread runs tasks only while it holds a vcpu (abi/window.h).  Without one it waits on exactly
 * one word: as the standby of a vcpu on that slot's `grant`, else on its own word in the scratch
 * area, where another kthread of the instance hands it a vcpu.  So every parked vcpu has a kthread
 * that leatd can wake, and vcpus move between the instance's host processes without leatd.
 */
#include "libos/kthread.h"

#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#include "leat/base/bits.h"
#include "libos/arena.h"
#include "libos/arena_host.h"
#include "libos/clock.h"
#include "libos/fs/vfs.h"
#include "libos/host.h"
#include "libos/instance.h"
#include "libos/netglue.h"

#define NS_PER_S 1000000000UL

static uint32_t *park_word(const struct kthread *kt)
{
	return &abi_scratch_of(window())->kthread_park[kt->index];
}

static struct abi_vcpu *slot_of(const struct kthread *kt)
{
	return abi_vcpu_of(window(), (unsigned)kt->vcpu);
}

/* ---- memory ---- */

struct hostproc *hostproc_create(void)
{
	struct hostproc *host = arena_zalloc(sizeof(*host));

	if (host == NULL)
		return NULL;
	list_init(&host->rq);
	list_init(&host->kthreads);
	list_add_tail(&instance()->hosts, &host->all_node);
	return host;
}

static int kthread_index_take(void)
{
	uint32_t *used = instance()->kthread_used;

	for (unsigned i = 0; i < ABI_MAX_KTHREADS / 32; i++) {
		if (used[i] == UINT32_MAX)
			continue;
		unsigned bit = (unsigned)__builtin_ctz(~used[i]);

		used[i] |= 1U << bit;
		return (int)(i * 32 + bit);
	}
	return -1;
}

static void kthread_free(struct kthread *kt)
{
	if (kt->self != NULL)
		instance()->kthread_used[kt->index / 32] &= ~(1U << kt->index % 32);
	page_free(kt->stack, KTHREAD_STACK_ORDER);
	page_free(kt->sigstack, KTHREAD_SIGSTACK_ORDER);
	arena_free(kt);
}

/* Memory of host threads that have ended is used again only when the host says that they are gone.
 */
static void kthread_reap_dead(void)
{
	struct list *pos, *tmp;

	list_for_each_safe(pos, tmp, &instance()->dead_kthreads) {
		struct kthread *kt = list_entry(pos, struct kthread, node);

		if (host_tgkill(kt->host_pid, kt->tid, SIGURG) != -ESRCH)
			continue;
		list_del(&kt->node);
		kthread_free(kt);
	}
}

/* Where the caller is pinned; the very first kthread has no maker. */
static unsigned this_kthread_core(void)
{
	return instance()->first_host_pid == 0 ? KTHREAD_NO_CORE : this_kthread()->core;
}

struct kthread *kthread_create(struct hostproc *host)
{
	struct kthread *kt = arena_zalloc(sizeof(*kt));
	int index;

	if (kt == NULL)
		return NULL;
	kthread_reap_dead();
	kt->stack = page_alloc(KTHREAD_STACK_ORDER);
	kt->sigstack = page_alloc(KTHREAD_SIGSTACK_ORDER);
	index = kthread_index_take();
	if (kt->stack == NULL || kt->sigstack == NULL || index < 0) {
		kthread_free(kt);
		return NULL;
	}
	kt->index = (unsigned)index;
	kt->self = kt;
	kt->host = host;
	kt->state = KT_PARKED;
	kt->vcpu = -1;
	kt->fs_base = FS_BASE_UNKNOWN;
	kt->core = this_kthread_core(); /* threads and processes inherit it */
	*park_word(kt) = 0;
	list_add_tail(&host->kthreads, &kt->node);
	host->nr_kthreads++;
	return kt;
}

void kthread_forget_all(struct hostproc *host)
{
	struct instance *inst = instance();
	struct list *pos, *tmp;

	list_for_each_safe(pos, tmp, &host->kthreads)
		kthread_free(list_entry(pos, struct kthread, node));
	list_for_each_safe(pos, tmp, &inst->dead_kthreads)
		kthread_free(list_entry(pos, struct kthread, node));
	list_init(&host->kthreads);
	list_init(&inst->dead_kthreads);
	host->nr_kthreads = 0;
	host->nr_running = 0;
	host->pid = 0;
	memset(inst->vcpu_holder, 0, sizeof(inst->vcpu_holder));
	inst->vcpus_off = 0;
	inst->nr_lingering = 0;
	inst->ticker = NULL;
	inst->ticker_deadline_ns = UINT64_MAX;
	inst->first_host_pid = 0;
}

void kthread_destroy(struct kthread *kt)
{
	list_del(&kt->node);
	kt->host->nr_kthreads--;
	kthread_free(kt);
}

/* ---- starting ---- */

static void *kthread_stack_top(const struct kthread *kt)
{
	return (char *)kt->stack + (ABI_PAGE_SIZE << KTHREAD_STACK_ORDER);
}

void kthread_adopt(struct kthread *kt)
{
	stack_t ss = {.ss_sp = kt->sigstack, .ss_size = ABI_PAGE_SIZE << KTHREAD_SIGSTACK_ORDER};

	gs_base_set(kt);
	host_sigaltstack(&ss, NULL);
	kt->host_pid = (int)host_getpid();
	kt->tid = (int)host_gettid();
}

/* %gs still points to the maker's kthread: it is set before anything looks at it. */
void kthread_main(void *arg)
{
	struct kthread *kt = arg;
	uint64_t none = 0;

	kthread_adopt(kt);
	host_sigprocmask(SIG_SETMASK, &none, NULL);
	if (kt->state == KT_HELPER)
		kt->helper(kt->helper_arg);
	instance_lock();
	if (kt->host->pid == 0)
		kt->host->pid = kt->host_pid;
	sched_loop(kt);
}

static int kthread_start(struct kthread *kt)
{
	long tid;
	int err = arena_share();

	if (err != 0)
		return err;
	tid = host_clone_thread(kthread_stack_top(kt), kthread_main, kt);
	if (tid < 0)
		return (int)tid;
	kt->tid = (int)tid; /* as it will find itself: for kthread_end_others before that */
	return 0;
}

/* ---- ending ---- */

void kthread_leave_if_dead(void)
{
	struct kthread *kt = this_kthread();

	if (likely(__atomic_load_n(&kt->state, __ATOMIC_RELAXED) != KT_DEAD))
		return;
	/* Release pairs with the acquire in kthread_end_others. */
	__atomic_store_n(&kt->gone, true, __ATOMIC_RELEASE);
	host_exit_thread(0);
}

void kthread_end_others(struct kthread *kt)
{
	struct list *pos;

	list_for_each(pos, &kt->host->kthreads) {
		struct kthread *other = list_entry(pos, struct kthread, node);

		if (other == kt)
			continue;
		if (other->lingering)
			instance()->nr_lingering--;
		__atomic_store_n(&other->state, KT_DEAD, __ATOMIC_RELAXED);
	}
	list_for_each(pos, &kt->host->kthreads) {
		struct kthread *other = list_entry(pos, struct kthread, node);

		while (other != kt && !__atomic_load_n(&other->gone, __ATOMIC_ACQUIRE)) {
			host_tgkill((int)host_getpid(), other->tid, SIGURG); /* out of its wait */
			host_sched_yield();
		}
	}
}

int kthread_spawn_helper(void (*fn)(void *), void *arg, struct kthread **ret_kt)
{
	struct kthread *kt = kthread_create(this_kthread()->host);
	int err;

	if (kt == NULL)
		return -ENOMEM;
	kt->host->nr_kthreads--; /* not one of those that run tasks */
	kt->state = KT_HELPER;
	kt->helper = fn;
	kt->helper_arg = arg;
	err = kthread_start(kt);
	if (err != 0) {
		list_del(&kt->node);
		kthread_free(kt);
		return err;
	}
	*ret_kt = kt;
	return 0;
}

int hostproc_fork(struct hostproc **ret_host)
{
	struct hostproc *host = hostproc_create();
	struct kthread *kt = host == NULL ? NULL : kthread_create(host);
	uint64_t all = UINT64_MAX, old;
	long pid = -EAGAIN; /* out of kthreads or of arena: fork(2) knows both as this */

	if (kt == NULL)
		goto fail;
	pid = arena_share();
	if (pid != 0)
		goto fail;
	/* Until it has its own %gs and signal stack, the child must not run a handler. */
	host_sigprocmask(SIG_SETMASK, &all, &old);
	pid = host_clone_process(kthread_stack_top(kt), kthread_main, kt);
	host_sigprocmask(SIG_SETMASK, &old, NULL);
	if (pid < 0)
		goto fail;
	host->pid = (int)pid;
	abi_instance_of(window())->forks++;
	*ret_host = host;
	return 0;
fail:
	if (kt != NULL)
		kthread_destroy(kt);
	if (host != NULL)
		list_del(&host->all_node);
	arena_free(host);
	return (int)pid;
}

void kthread_helper_wait(struct kthread *kt, uint64_t timeout_ns)
{
	struct timespec ts = {.tv_sec = (time_t)(timeout_ns / NS_PER_S),
			      .tv_nsec = (long)(timeout_ns % NS_PER_S)};
	uint32_t *word = park_word(kt);

	/* Acquire pairs with the release in kthread_helper_wake. */
	if (__atomic_exchange_n(word, 0, __ATOMIC_ACQUIRE) == 0)
		host_futex(word, FUTEX_WAIT, 0, timeout_ns == UINT64_MAX ? NULL : &ts, 0);
	kthread_leave_if_dead();
}

void kthread_helper_wake(struct kthread *kt)
{
	uint32_t *word = park_word(kt);

	/* Release pairs with the acquire in kthread_helper_wait. */
	if (__atomic_exchange_n(word, 1, __ATOMIC_RELEASE) == 0)
		host_futex(word, FUTEX_WAKE, 1, NULL, 0);
}

void kthread_kick(struct kthread *kt)
{
	/* Read by entry.S on the way back to the program. */
	__atomic_store_n(&kt->need_resched, 1, __ATOMIC_RELAXED);
	if (kt != this_kthread() && kt->tid != 0)
		host_tgkill(kt->host_pid, kt->tid, SIGURG);
}

/* ---- vcpus ---- */

/* leatd should look at this slot when it is due: rings only if it would look later. */
static void doorbell(const struct abi_vcpu *slot, uint64_t due_ns)
{
	unsigned core = slot->core % ABI_MAX_CORES;
	const struct abi_core *dp = &control_page()->core[core];
	uint64_t one = 1;

	if (__atomic_load_n(&dp->state, __ATOMIC_ACQUIRE) != ABI_DP_SLEEP || dp->wake_ns <= due_ns)
		return;
	host_write(ABI_FD_DOORBELL + (int)core, &one, sizeof(one));
}

/*
 * A parked vcpu is wanted.  While something of the instance runs, leatd sees that in its next round
 * there; otherwise nobody looks at this window until told.
 */
static void doorbell_wish(const struct abi_vcpu *slot)
{
	const struct abi_control *control = control_page();
	unsigned core = slot->core % ABI_MAX_CORES;
	uint64_t wish = ABI_BELL_WISH;

	for (unsigned v = 0; v < instance()->boot->nr_vcpus; v++) {
		const struct kthread *kt = instance()->vcpu_holder[v];

		if (kt != NULL && kt->state == KT_RUNNING) {
			doorbell(abi_vcpu_of(window(), v), 0);
			return;
		}
	}
	while (core > 0 && control->core[core].state == ABI_DP_ABSENT)
		core--;
	host_write(ABI_FD_DOORBELL + (int)core, &wish, sizeof(wish));
}

bool kthread_preempt_asked(const struct kthread *kt)
{
	return kt->vcpu >= 0 && kt->state == KT_RUNNING &&
	       __atomic_load_n(&slot_of(kt)->preempt, __ATOMIC_RELAXED) == kt->grant;
}

void kthread_publish(struct kthread *kt)
{
	struct abi_instance *abi = abi_instance_of(window());
	struct arena_stats arena;
	struct vfs_stats vfs = {0};

	arena_stats_get(&arena);
	if (instance()->vfs != NULL) /* not yet there at the very start */
		vfs_stats_get(&vfs);
	abi->arena_bytes = arena.taken_bytes;
	abi->store_bytes = vfs.store_bytes;
	abi->calls += kt->calls;
	abi->traps += kt->traps;
	kt->calls = 0;
	kt->traps = 0;
}

void kthread_give_back(struct kthread *kt, bool want)
{
	struct abi_vcpu *slot = slot_of(kt);
	uint64_t next_ns = timers_next_ns();

	kthread_publish(kt);
	kt->state = KT_STANDBY;
	kt->host->nr_running--;
	slot->deadline_ns = next_ns == UINT64_MAX ? 0 : next_ns;
	slot->state = want ? ABI_VCPU_WANT : ABI_VCPU_PARKED;
	slot->parks++;
	slot->yields++;
	/* Release: leatd reads deadline and state when it sees this (window.h). */
	__atomic_store_n(&slot->parked_grant, kt->grant, __ATOMIC_RELEASE);
	if (want || next_ns != UINT64_MAX)
		doorbell(slot, want ? 0 : next_ns);
}

void kthread_hand_over(struct kthread *kt, struct kthread *to)
{
	to->vcpu = kt->vcpu;
	to->grant = kt->grant;
	to->state = KT_RUNNING;
	to->host->nr_running++;
	instance()->vcpu_holder[to->vcpu] = to;
	kt->vcpu = -1;
	kt->state = KT_PARKED;
	kt->host->nr_running--;
	/* The lock covers the rest: kthread_wait looks at the state. */
	__atomic_store_n(park_word(to), 1, __ATOMIC_RELEASE);
	kthread_wake_handed(kt); /* one that an earlier hand-over left, or it would be forgotten */
	kt->wake_word = park_word(to);
}

void kthread_wake_handed(struct kthread *kt)
{
	if (kt->wake_word != NULL)
		host_futex(kt->wake_word, FUTEX_WAKE, 1, NULL, 0);
	kt->wake_word = NULL;
}

struct kthread *hostproc_parked_kthread(struct hostproc *host)
{
	struct list *pos;

	list_for_each(pos, &host->kthreads) {
		struct kthread *kt = list_entry(pos, struct kthread, node);

		if (kt->state == KT_PARKED)
			return kt;
	}
	return NULL;
}

/* kt becomes the one that waits for the vcpu's next grant. */
static void kthread_make_standby(struct kthread *kt, unsigned vcpu)
{
	struct abi_vcpu *slot = abi_vcpu_of(window(), vcpu);

	kt->state = KT_STANDBY;
	kt->vcpu = (int)vcpu;
	if ((instance()->vcpus_off >> vcpu & 1) != 0) /* a grant of meanwhile is none */
		__atomic_store_n(&slot->parked_grant,
				 __atomic_load_n(&slot->grant, __ATOMIC_ACQUIRE), __ATOMIC_RELEASE);
	instance()->vcpus_off &= ~(1U << vcpu);
	kt->grant = slot->parked_grant;
	instance()->vcpu_holder[vcpu] = kt;
	__atomic_store_n(park_word(kt), 1, __ATOMIC_RELEASE);
	host_futex(park_word(kt), FUTEX_WAKE, 1, NULL, 0);
}

void kthread_standby_first(struct kthread *kt)
{
	abi_vcpu_of(window(), 0)->state = ABI_VCPU_WANT;
	kthread_make_standby(kt, 0);
	doorbell(slot_of(kt), 0);
}

/*
 * Nobody waits for the vcpu any more.  A grant that was on its way is given back; one that comes
 * later leatd takes back by itself (window.h).  What lies in its queue another kthread takes.
 */
static void vcpu_switch_off(unsigned vcpu)
{
	struct abi_vcpu *slot = abi_vcpu_of(window(), vcpu);

	instance()->vcpus_off |= 1U << vcpu;
	slot->deadline_ns = 0;
	slot->state = ABI_VCPU_OFF;
	/* Release: leatd reads deadline and state when it sees this. */
	__atomic_store_n(&slot->parked_grant, __atomic_load_n(&slot->grant, __ATOMIC_ACQUIRE),
			 __ATOMIC_RELEASE);
}

void kthread_pass_on(struct kthread *kt)
{
	struct list *pos;
	unsigned vcpu = (unsigned)kt->vcpu;
	bool running = kt->state == KT_RUNNING;
	struct kthread *to = NULL;

	if (kt->vcpu < 0)
		return;
	list_for_each(pos, &instance()->hosts) {
		struct hostproc *host = list_entry(pos, struct hostproc, all_node);
		struct kthread *parked = host->dead ? NULL : hostproc_parked_kthread(host);

		if (parked != NULL && (to == NULL || !list_empty(&host->rq)))
			to = parked;
	}
	if (to != NULL && running) {
		kthread_hand_over(kt, to);
		if (kt != this_kthread())
			kthread_wake_handed(kt); /* nobody else will */
		return;
	}
	if (running)
		kthread_give_back(kt, false);
	kt->state = KT_PARKED;
	kt->vcpu = -1;
	instance()->vcpu_holder[vcpu] = NULL;
	if (to != NULL)
		kthread_make_standby(to, vcpu);
	else
		vcpu_switch_off(vcpu);
}

static _Noreturn void kthread_leave(void)
{
	instance_unlock();
	kthread_wake_handed(this_kthread());
	host_exit_group(0);
}

/* It holds a vcpu now: goes to the core that leatd chose. */
static void kthread_got_vcpu(struct kthread *kt)
{
	struct abi_vcpu *slot = slot_of(kt);
	unsigned core = slot->core;

	slot->state = ABI_VCPU_RUNNING;
	kt->slice_ends_ns = 0;
	if (core != kt->core && host_setaffinity(core) == 0)
		kt->core = core;
}

void kthread_wait(struct kthread *kt)
{
	uint32_t *word, seen;

	while (kt->state != KT_RUNNING) {
		if (instance()->exiting)
			kthread_leave();
		if (kt->state == KT_STANDBY) {
			word = &slot_of(kt)->grant;
			/* Acquire pairs with leatd's release: core is valid when it moved. */
			seen = __atomic_load_n(word, __ATOMIC_ACQUIRE);
			if (seen != kt->grant) {
				kt->grant = seen;
				kt->state = KT_RUNNING;
				kt->host->nr_running++;
				break;
			}
		} else {
			word = park_word(kt);
			seen = 0;
			__atomic_store_n(word, 0, __ATOMIC_RELAXED);
		}
		instance_unlock();
		kthread_wake_handed(kt);
		host_futex(word, FUTEX_WAIT, seen, NULL, 0);
		instance_lock();
	}
	/* A grant that was there already, or a vcpu handed back: the lock was never free meanwhile.
	 */
	kthread_wake_handed(kt);
	kthread_got_vcpu(kt);
}

/* A kthread of the current host process to run one more task, made if need be; NULL: no way. */
static struct kthread *kthread_for(struct hostproc *host)
{
	struct kthread *kt = hostproc_parked_kthread(host);

	if (kt != NULL)
		return kt;
	if (host != this_kthread()->host || host->nr_kthreads >= instance()->boot->nr_vcpus)
		return NULL;
	kt = kthread_create(host);
	if (kt != NULL && kthread_start(kt) != 0) {
		kthread_destroy(kt);
		kt = NULL;
	}
	return kt;
}

void vcpu_want(struct hostproc *host)
{
	struct instance *inst = instance();
	struct kthread *best = NULL, *kt;
	int off = -1;

	for (unsigned v = 0; v < inst->boot->nr_vcpus; v++) {
		kt = inst->vcpu_holder[v];
		if (kt == NULL && off < 0)
			off = (int)v;
		else if (kt != NULL && kt->state == KT_STANDBY &&
			 (best == NULL || kt->host == host))
			best = kt;
	}
	if (best != NULL) {
		if (best->host != host && kthread_for(host) == NULL)
			return;
		slot_of(best)->state = ABI_VCPU_WANT;
		doorbell_wish(slot_of(best));
	} else if (off >= 0) {
		kt = kthread_for(host);
		if (kt == NULL)
			return;
		abi_vcpu_of(window(), (unsigned)off)->state = ABI_VCPU_WANT;
		kthread_make_standby(kt, (unsigned)off);
		doorbell_wish(slot_of(kt));
	}
}
