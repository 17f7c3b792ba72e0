/*
 * sched.c - vcpus between parked, waiting and granted.
 *
 *	parked --work, deadline--> waiting --room on a core--> granted --it gives back--> parked
 *
 * Only granted vcpus are ever looked at. A deadline lies in the heap of the core that the vcpu ran
 * on last, so that that core's dataplane thread knows when to wake.
 */
#include "sched/private.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>

static int lock_init(pthread_mutex_t *lock)
{
	pthread_mutexattr_t attr;
	int r;

	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT);
	r = pthread_mutex_init(lock, &attr);
	pthread_mutexattr_destroy(&attr);
	return -r;
}

int sched_create(const struct sched_config *config, struct sched **ret_sched)
{
	struct sched *sched;
	int r;

	if (config->nr_cores == 0 || config->nr_cores > SCHED_MAX_CORES || !config->host.grant ||
	    !config->host.preempt || !config->host.evict || !config->host.demote ||
	    !config->host.poke)
		return -EINVAL;
	sched = calloc(1, sizeof(*sched));
	if (!sched)
		return -ENOMEM;
	r = lock_init(&sched->lock);
	if (r) {
		free(sched);
		return r;
	}
	sched->config = *config;
	if (!sched->config.max_granted)
		sched->config.max_granted = SCHED_MAX_GRANTED;
	if (!sched->config.quantum_ns)
		sched->config.quantum_ns = SCHED_QUANTUM_NS;
	sched->policy = config->policy ? config->policy : &sched_policy_default;
	for (unsigned i = 0; i < config->nr_cores; i++) {
		list_init(&sched->core[i].granted);
		list_init(&sched->core[i].waiting);
	}
	*ret_sched = sched;
	return 0;
}

void sched_destroy(struct sched *sched)
{
	if (!sched)
		return;
	for (unsigned i = 0; i < sched->config.nr_cores; i++)
		sched_heap_finish(&sched->core[i].deadlines);
	pthread_mutex_destroy(&sched->lock);
	free(sched);
}

int sched_policy_set(struct sched *sched, const struct sched_ops *policy)
{
	if (!policy || !policy->select_core)
		return -EINVAL;
	pthread_mutex_lock(&sched->lock);
	sched->policy = policy;
	pthread_mutex_unlock(&sched->lock);
	return 0;
}

int sched_vcpu_attach(struct sched *sched, void *arg, uint32_t instance, uint32_t tag,
		      struct sched_vcpu **ret_vcpu)
{
	struct sched_vcpu *vcpu = calloc(1, sizeof(*vcpu));
	int r = vcpu ? 0 : -ENOMEM;

	pthread_mutex_lock(&sched->lock);
	if (!r && sched->nr_vcpus == SCHED_MAX_VCPUS)
		r = -ENOSPC;
	/* every vcpu might sleep until a deadline on the same core */
	for (unsigned i = 0; !r && i < sched->config.nr_cores; i++)
		r = sched_heap_reserve(&sched->core[i].deadlines, sched->nr_vcpus + 1);
	if (!r)
		sched->nr_vcpus++;
	pthread_mutex_unlock(&sched->lock);
	if (r) {
		free(vcpu);
		return r;
	}
	vcpu->sched = sched;
	vcpu->arg = arg;
	vcpu->instance = instance;
	vcpu->tag = tag;
	vcpu->last_core = UINT_MAX;
	vcpu->move_to = UINT_MAX;
	vcpu->deadline.place = SCHED_HEAP_NONE;
	list_init(&vcpu->node);
	*ret_vcpu = vcpu;
	return 0;
}

static void grant_locked(struct sched *sched, struct sched_vcpu *vcpu, unsigned core,
			 uint64_t now_ns)
{
	struct sched_core *c = &sched->core[core];
	uint64_t delay_ns = now_ns - vcpu->work_ns;

	list_del(&vcpu->node);
	list_add_tail(&c->granted, &vcpu->node);
	c->nr_granted++;
	vcpu->state = SCHED_GRANTED;
	vcpu->stats.grants++;
	vcpu->stats.moves += vcpu->last_core != UINT_MAX && vcpu->last_core != core;
	vcpu->stats.delay_ns_sum += delay_ns;
	vcpu->stats.delay_ns_max = MAX(vcpu->stats.delay_ns_max, delay_ns);
	vcpu->core = core;
	vcpu->last_core = core;
	vcpu->move_to = UINT_MAX;
	vcpu->granted_ns = now_ns;
	vcpu->asked_ns = 0;
	vcpu->evictions = 0;
	vcpu->demoted_ns = 0;
	vcpu->work_pending = false;
	atomic_store_explicit(&vcpu->gave_way_ns, now_ns, memory_order_relaxed);
	sched->config.host.grant(vcpu->arg, core, now_ns);
}

/* Fills the free places of a core from its queue. */
static void fill_locked(struct sched *sched, unsigned core, uint64_t now_ns)
{
	struct sched_core *c = &sched->core[core];

	while (c->nr_waiting && c->nr_granted < sched->config.max_granted) {
		struct sched_vcpu *vcpu = list_entry(c->waiting.next, struct sched_vcpu, node);

		c->nr_waiting--;
		grant_locked(sched, vcpu, core, now_ns);
	}
}

static unsigned core_choose_locked(struct sched *sched, struct sched_vcpu *vcpu, unsigned waker)
{
	struct sched_core_view views[SCHED_MAX_CORES];
	struct sched_vcpu_view view = {vcpu->last_core, vcpu->instance, vcpu->tag};
	unsigned core;

	if (vcpu->move_to < sched->config.nr_cores)
		return vcpu->move_to;
	for (unsigned i = 0; i < sched->config.nr_cores; i++)
		sched_core_view_locked(&sched->core[i], &views[i]);
	core = sched->policy->select_core(views, sched->config.nr_cores, &view, waker);
	return core < sched->config.nr_cores ? core : 0; /* a policy may be wrong, never harmful */
}

/* A parked vcpu has work now. */
static void ready_locked(struct sched *sched, struct sched_vcpu *vcpu, unsigned waker,
			 uint64_t now_ns)
{
	struct sched_core *c;

	if (vcpu->last_core != UINT_MAX)
		sched_heap_remove(&sched->core[vcpu->last_core].deadlines, &vcpu->deadline);
	vcpu->work_ns = now_ns;
	vcpu->core = core_choose_locked(sched, vcpu, waker);
	vcpu->state = SCHED_WAITING;
	c = &sched->core[vcpu->core];
	list_add_tail(&c->waiting, &vcpu->node);
	c->nr_waiting++;
	fill_locked(sched, vcpu->core, now_ns);
	if (vcpu->core != waker)
		sched->config.host.poke(sched->config.host.ctx, vcpu->core);
}

void sched_work(struct sched_vcpu *vcpu, unsigned waker_core, uint64_t now_ns)
{
	struct sched *sched = vcpu->sched;

	pthread_mutex_lock(&sched->lock);
	if (vcpu->state == SCHED_PARKED)
		ready_locked(sched, vcpu, waker_core, now_ns);
	else if (vcpu->state == SCHED_GRANTED)
		vcpu->work_pending = true; /* it may be parking just now */
	pthread_mutex_unlock(&sched->lock);
}

/* Off its core; the place is not filled yet. */
static void release_locked(struct sched *sched, struct sched_vcpu *vcpu)
{
	list_del(&vcpu->node);
	if (--sched->core[vcpu->core].nr_granted == 0) /* nobody is sampled there any more */
		atomic_store_explicit(&sched->core[vcpu->core].has_work, false,
				      memory_order_relaxed);
	vcpu->state = SCHED_PARKED;
}

void sched_parked(struct sched_vcpu *vcpu, uint64_t deadline_ns, bool want, uint64_t now_ns)
{
	struct sched *sched = vcpu->sched;
	unsigned core;

	pthread_mutex_lock(&sched->lock);
	if (vcpu->state != SCHED_GRANTED)
		goto out;
	core = vcpu->core;
	release_locked(sched, vcpu);
	if (want || vcpu->work_pending || (deadline_ns && deadline_ns <= now_ns)) {
		fill_locked(sched, core, now_ns); /* those who waited come first */
		ready_locked(sched, vcpu, core, now_ns);
	} else {
		if (deadline_ns)
			sched_heap_insert(&sched->core[core].deadlines, &vcpu->deadline,
					  deadline_ns);
		fill_locked(sched, core, now_ns);
	}
out:
	pthread_mutex_unlock(&sched->lock);
}

void sched_vcpu_detach(struct sched_vcpu *vcpu)
{
	struct sched *sched;

	if (!vcpu)
		return;
	sched = vcpu->sched;
	pthread_mutex_lock(&sched->lock);
	if (vcpu->state == SCHED_GRANTED) {
		release_locked(sched, vcpu);
		if (sched->core[vcpu->core].nr_waiting)
			sched->config.host.poke(sched->config.host.ctx, vcpu->core);
	} else if (vcpu->state == SCHED_WAITING) {
		list_del(&vcpu->node);
		sched->core[vcpu->core].nr_waiting--;
	} else if (vcpu->last_core != UINT_MAX) {
		sched_heap_remove(&sched->core[vcpu->last_core].deadlines, &vcpu->deadline);
	}
	sched->nr_vcpus--;
	pthread_mutex_unlock(&sched->lock);
	free(vcpu);
}

/* Takes no lock: it is called for every granted vcpu in every round. */
void sched_sample(struct sched_vcpu *vcpu, bool has_work, uint32_t turns, uint64_t now_ns)
{
	if (!has_work || atomic_load_explicit(&vcpu->turns, memory_order_relaxed) != turns) {
		atomic_store_explicit(&vcpu->turns, turns, memory_order_relaxed);
		atomic_store_explicit(&vcpu->gave_way_ns, now_ns, memory_order_relaxed);
	}
}

static void deadlines_run_locked(struct sched *sched, unsigned core, uint64_t now_ns)
{
	struct sched_heap *heap = &sched->core[core].deadlines;
	struct sched_heap_node *node;

	while ((node = sched_heap_first(heap)) && node->deadline_ns <= now_ns) {
		struct sched_vcpu *vcpu = container_of(node, struct sched_vcpu, deadline);

		ready_locked(sched, vcpu, core, now_ns);
	}
}

/* Asks, then forces, a vcpu whose quantum is over while others wait. */
static void quantum_check_locked(struct sched *sched, struct sched_vcpu *vcpu, uint64_t now_ns)
{
	struct sched_core *c = &sched->core[vcpu->core];
	uint64_t way_ns = atomic_load_explicit(&vcpu->gave_way_ns, memory_order_relaxed);
	uint64_t grace_ns = (uint64_t)SCHED_GRACE_NS << MIN(vcpu->evictions, SCHED_GRACE_SHIFT_MAX);

	if (c->nr_waiting && !vcpu->asked_ns) {
		if (now_ns - vcpu->granted_ns < sched->config.quantum_ns)
			return;
		vcpu->asked_ns = now_ns;
		vcpu->stats.preempts++;
		sched->config.host.preempt(vcpu->arg, now_ns);
	} else if (vcpu->asked_ns && now_ns - vcpu->asked_ns >= grace_ns) {
		vcpu->asked_ns = now_ns;
		vcpu->evictions++;
		vcpu->stats.evictions++;
		sched->config.host.evict(vcpu->arg, vcpu->evictions, now_ns);
	} else if (c->nr_granted > 1 &&
		   now_ns - MAX(way_ns, vcpu->demoted_ns) >= sched->config.quantum_ns) {
		vcpu->demoted_ns = now_ns;
		sched->config.host.demote(vcpu->arg, now_ns);
	}
}

uint64_t sched_tick(struct sched *sched, unsigned core, uint64_t now_ns)
{
	struct sched_core *c = &sched->core[core];
	uint64_t next_ns = SCHED_NEVER;
	struct sched_heap_node *first;
	struct list *pos, *tmp;

	pthread_mutex_lock(&sched->lock);
	deadlines_run_locked(sched, core, now_ns);
	fill_locked(sched, core, now_ns);
	sched_core_measure_locked(sched, core, now_ns);
	list_for_each_safe(pos, tmp, &c->granted)
		quantum_check_locked(sched, list_entry(pos, struct sched_vcpu, node), now_ns);
	sched_balance_locked(sched, core, now_ns);
	first = sched_heap_first(&c->deadlines);
	if (first)
		next_ns = first->deadline_ns;
	if (c->nr_granted)
		next_ns = MIN(next_ns, now_ns + SCHED_GRACE_NS);
	pthread_mutex_unlock(&sched->lock);
	return next_ns;
}

void sched_core_view_get(struct sched *sched, unsigned core, struct sched_core_view *ret_view)
{
	pthread_mutex_lock(&sched->lock);
	sched_core_view_locked(&sched->core[core], ret_view);
	pthread_mutex_unlock(&sched->lock);
}

void sched_vcpu_stats_get(struct sched_vcpu *vcpu, struct sched_vcpu_stats *ret_stats)
{
	pthread_mutex_lock(&vcpu->sched->lock);
	*ret_stats = vcpu->stats;
	pthread_mutex_unlock(&vcpu->sched->lock);
}
