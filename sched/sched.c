/*
 * sched.c - who there is, and the events.
 *
 *	parked --work, deadline--> waiting --room on a core--> granted --it gives back--> parked
 *
 * Only granted vcpus are ever looked at. A deadline lies in the heap of the core that the vcpu ran
 * on last, so that that core's dataplane thread knows when to wake. Tenants and instances have no
 * time of their own at hand when they come: their records say 0.
 */
#include "sched/private.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

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

static bool config_ok(const struct sched_config *config)
{
	const struct sched_host *host = &config->host;

	return config->nr_cores > 0 && config->nr_cores <= SCHED_MAX_CORES && host->grant &&
	       host->preempt && host->evict && host->demote && host->restore && host->cpu_ns &&
	       host->poke;
}

int sched_create(const struct sched_config *config, struct sched **ret_sched)
{
	struct sched *sched;
	int r;

	if (!config_ok(config))
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
	list_init(&sched->vcpus);
	list_init(&sched->instances);
	for (unsigned i = 0; i < SCHED_TENANT_BUCKETS; i++)
		list_init(&sched->tenants[i]);
	for (unsigned i = 0; i < config->nr_cores; i++) {
		list_init(&sched->core[i].granted);
		list_init(&sched->core[i].held);
		list_init(&sched->core[i].arrived);
		sched->core[i].sibling = i;
		bit_set(sched->idle, i, true);
		bit_set(sched->allowed, i, true);
	}
	*ret_sched = sched;
	return 0;
}

void sched_destroy(struct sched *sched)
{
	struct list *pos, *tmp;

	if (!sched)
		return;
	sched_policies_free(sched);
	for (unsigned i = 0; i < sched->config.nr_cores; i++) {
		sched_heap_finish(&sched->core[i].deadlines);
		for (unsigned kind = 0; kind < SCHED_KINDS; kind++)
			sched_heap_finish(&sched->core[i].waiting[kind]);
	}
	for (unsigned i = 0; i < SCHED_TENANT_BUCKETS; i++)
		list_for_each_safe(pos, tmp, &sched->tenants[i])
			free(list_entry(pos, struct sched_tenant, node));
	pthread_mutex_destroy(&sched->lock);
	free(sched);
}

void sched_core_place(struct sched *sched, unsigned core, unsigned sibling, unsigned node)
{
	if (core >= sched->config.nr_cores || sibling >= sched->config.nr_cores)
		return;
	pthread_mutex_lock(&sched->lock);
	sched->core[core].sibling = sibling;
	sched->core[core].node = node;
	pthread_mutex_unlock(&sched->lock);
}

/* ---- who there is ---- */

static struct sched_tenant *tenant_get_locked(struct sched *sched, uint32_t id)
{
	struct list *bucket = &sched->tenants[id % SCHED_TENANT_BUCKETS], *pos;
	struct sched_tenant *tenant;

	list_for_each(pos, bucket) {
		tenant = list_entry(pos, struct sched_tenant, node);
		if (tenant->id == id)
			return tenant;
	}
	tenant = sched->nr_tenants < SCHED_MAX_TENANTS ? calloc(1, sizeof(*tenant)) : NULL;
	if (!tenant)
		return NULL;
	tenant->id = id;
	tenant->weight = SCHED_WEIGHT;
	list_add_tail(bucket, &tenant->node);
	sched->nr_tenants++;
	return tenant;
}

int sched_tenant_set(struct sched *sched, uint32_t tenant, uint32_t tag, uint32_t weight)
{
	struct sched_tenant *found;

	pthread_mutex_lock(&sched->lock);
	found = tenant_get_locked(sched, tenant);
	if (found) {
		found->tag = tag;
		found->weight = weight ? MIN(weight, SCHED_WEIGHT_MAX) : SCHED_WEIGHT;
		sched_trace_tenant(sched, found, 0);
	}
	pthread_mutex_unlock(&sched->lock);
	return found ? 0 : -ENOSPC;
}

static void config_take(struct sched_instance *inst, const struct sched_instance_config *config)
{
	inst->config = *config;
	inst->config.weight = config->weight ? MIN(config->weight, SCHED_WEIGHT_MAX) : SCHED_WEIGHT;
}

int sched_instance_attach(struct sched *sched, const struct sched_instance_config *config,
			  struct sched_instance **ret_inst)
{
	struct sched_instance *inst = calloc(1, sizeof(*inst));

	if (!inst)
		return -ENOMEM;
	inst->sched = sched;
	config_take(inst, config);
	pthread_mutex_lock(&sched->lock);
	inst->tenant = tenant_get_locked(sched, config->tenant);
	if (inst->tenant) {
		list_add_tail(&sched->instances, &inst->node);
		sched_trace_instance(inst, 0);
	}
	pthread_mutex_unlock(&sched->lock);
	if (!inst->tenant) {
		free(inst);
		return -ENOSPC;
	}
	*ret_inst = inst;
	return 0;
}

void sched_instance_set(struct sched_instance *inst, const struct sched_instance_config *config)
{
	struct sched_instance_config now = *config;

	pthread_mutex_lock(&inst->sched->lock);
	now.id = inst->config.id;
	now.tenant = inst->config.tenant;
	now.guaranteed = inst->config.guaranteed;
	config_take(inst, &now);
	sched_trace_instance(inst, 0);
	pthread_mutex_unlock(&inst->sched->lock);
}

void sched_instance_detach(struct sched_instance *inst)
{
	if (!inst)
		return;
	pthread_mutex_lock(&inst->sched->lock);
	list_del(&inst->node);
	if (inst->sched->record) {
		struct sched_trace_record record = {.kind = SCHED_TRACE_INSTANCE_GONE,
						    .instance = inst->config.id};

		inst->sched->record(inst->sched->record_ctx, &record);
	}
	pthread_mutex_unlock(&inst->sched->lock);
	free(inst);
}

/* Every vcpu might sleep until a deadline on the same core, or wait for it. */
static int heaps_reserve_locked(struct sched *sched)
{
	int r = 0;

	for (unsigned i = 0; !r && i < sched->config.nr_cores; i++) {
		r = sched_heap_reserve(&sched->core[i].deadlines, sched->nr_vcpus + 1);
		for (unsigned kind = 0; !r && kind < SCHED_KINDS; kind++)
			r = sched_heap_reserve(&sched->core[i].waiting[kind], sched->nr_vcpus + 1);
	}
	return r;
}

int sched_vcpu_attach(struct sched_instance *inst, void *arg, unsigned index,
		      struct sched_vcpu **ret_vcpu)
{
	struct sched_vcpu *vcpu = calloc(1, sizeof(*vcpu));
	struct sched *sched = inst->sched;
	int r = vcpu ? 0 : -ENOMEM;

	pthread_mutex_lock(&sched->lock);
	if (!r && sched->nr_vcpus == SCHED_MAX_VCPUS)
		r = -ENOSPC;
	if (!r)
		r = heaps_reserve_locked(sched);
	if (!r) {
		vcpu->sched = sched;
		vcpu->inst = inst;
		vcpu->arg = arg;
		vcpu->index = index;
		vcpu->last_core = UINT_MAX;
		vcpu->move_to = UINT_MAX;
		vcpu->deadline.place = SCHED_HEAP_NONE;
		vcpu->rank.place = SCHED_HEAP_NONE;
		list_init(&vcpu->node);
		vcpu->number = ++sched->next_vcpu;
		list_add_tail(&sched->vcpus, &vcpu->all);
		sched->nr_vcpus++;
		sched_trace(sched, SCHED_TRACE_ATTACH, vcpu, UINT_MAX, 0, index, 0, 0, 0);
	}
	pthread_mutex_unlock(&sched->lock);
	if (r) {
		free(vcpu);
		return r;
	}
	*ret_vcpu = vcpu;
	return 0;
}

/* ---- events ---- */

void sched_work(struct sched_vcpu *vcpu, unsigned waker_core, uint64_t now_ns)
{
	struct sched *sched = vcpu->sched;

	pthread_mutex_lock(&sched->lock);
	if (vcpu->state == SCHED_PARKED) {
		sched_trace(sched, SCHED_TRACE_WORK, vcpu, waker_core, now_ns, 0, 0, 0, 0);
		sched_ready_locked(vcpu, waker_core, now_ns);
	} else if (vcpu->state == SCHED_GRANTED && !vcpu->work_pending) {
		sched_trace(sched, SCHED_TRACE_WORK, vcpu, waker_core, now_ns, 0, 0, 0, 0);
		vcpu->work_pending = true; /* it may be parking just now */
	}
	pthread_mutex_unlock(&sched->lock);
}

static void charge_locked(struct sched_vcpu *vcpu, uint64_t ns)
{
	vcpu->stats.cpu_ns += ns;
	vcpu->inst->cpu_ns += ns;
	vcpu->inst->tenant->cpu_ns += ns;
}

/* Off its core; the place is not filled yet. */
void sched_release_locked(struct sched_vcpu *vcpu)
{
	struct sched *sched = vcpu->sched;
	struct sched_core *c = &sched->core[vcpu->core];

	list_del(&vcpu->node);
	c->nr_computing -= vcpu->computes;
	vcpu->inst->nr_granted--;
	vcpu->inst->nr_active--;
	vcpu->inst->nr_guaranteed -= vcpu->guaranteed;
	vcpu->guaranteed = false;
	if (--c->nr_granted == 0) { /* nobody is sampled there any more */
		bit_set(sched->idle, vcpu->core, true);
		if (atomic_exchange_explicit(&c->nr_with_work, 0, memory_order_relaxed))
			atomic_fetch_sub_explicit(&sched->nr_cores_with_work, 1,
						  memory_order_relaxed);
	}
	vcpu->state = SCHED_PARKED;
}

void sched_parked(struct sched_vcpu *vcpu, uint64_t deadline_ns, bool want, uint64_t now_ns)
{
	struct sched *sched = vcpu->sched;
	uint64_t charge_ns;
	unsigned core;

	pthread_mutex_lock(&sched->lock);
	if (vcpu->state != SCHED_GRANTED)
		goto out;
	core = vcpu->core;
	charge_ns = atomic_exchange_explicit(&vcpu->charge_ns, 0, memory_order_relaxed);
	sched_trace(sched, SCHED_TRACE_PARKED, vcpu, core, now_ns, deadline_ns, want, charge_ns, 0);
	charge_locked(vcpu, charge_ns);
	sched_release_locked(vcpu);
	if (vcpu->demoted)
		sched_restore_locked(vcpu, now_ns);
	if (!vcpu->asked_ns)
		vcpu->computes = false; /* it came to an end by itself */
	if (want || vcpu->work_pending || (deadline_ns && deadline_ns <= now_ns)) {
		sched_ready_locked(vcpu, core, now_ns); /* in line with those who wait */
		sched_fill_locked(sched, core, now_ns);
	} else {
		if (deadline_ns)
			sched_heap_insert(&sched->core[core].deadlines, &vcpu->deadline,
					  deadline_ns);
		sched_fill_locked(sched, core, now_ns);
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
	sched_trace(sched, SCHED_TRACE_DETACH, vcpu, UINT_MAX, 0, 0, 0, 0, 0);
	if (vcpu->state == SCHED_GRANTED) {
		sched_release_locked(vcpu);
		if (sched->core[vcpu->core].nr_waiting)
			sched->config.host.poke(sched->config.host.ctx, vcpu->core);
	} else if (vcpu->state == SCHED_WAITING) {
		sched_unqueue_locked(vcpu);
		vcpu->inst->nr_active--;
		vcpu->inst->nr_guaranteed -= vcpu->guaranteed;
	} else if (vcpu->state == SCHED_HELD) {
		list_del(&vcpu->node);
	} else if (vcpu->last_core != UINT_MAX) {
		sched_heap_remove(&sched->core[vcpu->last_core].deadlines, &vcpu->deadline);
	}
	sched_policy_detach_locked(vcpu, 0);
	list_del(&vcpu->all);
	sched->nr_vcpus--;
	pthread_mutex_unlock(&sched->lock);
	free(vcpu);
}

/* Takes no lock: it is called for every granted vcpu in every round. */
void sched_sample(struct sched_vcpu *vcpu, bool has_work, uint32_t turns, uint64_t now_ns)
{
	uint64_t before = atomic_exchange_explicit(&vcpu->sampled_ns, now_ns, memory_order_relaxed);

	if (has_work && now_ns > before) {
		/* those who hold the core share it */
		unsigned core = atomic_load_explicit(&vcpu->sampled_core, memory_order_relaxed);
		unsigned with_work = atomic_load_explicit(&vcpu->sched->core[core].nr_with_work,
							  memory_order_relaxed);
		uint64_t dt_ns = MIN(now_ns - before, (uint64_t)SCHED_SAMPLE_MAX_NS);

		atomic_fetch_add_explicit(&vcpu->charge_ns, dt_ns / MAX(with_work, 1U),
					  memory_order_relaxed);
	}
	atomic_store_explicit(&vcpu->working, has_work, memory_order_relaxed);
	if (!has_work || atomic_load_explicit(&vcpu->turns, memory_order_relaxed) != turns) {
		atomic_store_explicit(&vcpu->turns, turns, memory_order_relaxed);
		atomic_store_explicit(&vcpu->gave_way_ns, now_ns, memory_order_relaxed);
	}
}

static void deadlines_run_locked(struct sched *sched, unsigned core, uint64_t now_ns)
{
	struct sched_heap *heap = &sched->core[core].deadlines;
	struct sched_heap_node *node;

	while ((node = sched_heap_first(heap)) && node->key <= now_ns)
		sched_ready_locked(container_of(node, struct sched_vcpu, deadline), core, now_ns);
}

/* What was sampled of those who hold the core, as decisions see it until the next tick. */
static void holders_take_locked(struct sched *sched, struct sched_core *c, uint64_t now_ns)
{
	struct list *pos;

	list_for_each(pos, &c->granted) {
		struct sched_vcpu *vcpu = list_entry(pos, struct sched_vcpu, node);
		uint64_t charge_ns =
			atomic_exchange_explicit(&vcpu->charge_ns, 0, memory_order_relaxed);

		vcpu->way_ns = atomic_load_explicit(&vcpu->gave_way_ns, memory_order_relaxed);
		vcpu->has_work = atomic_load_explicit(&vcpu->working, memory_order_relaxed);
		charge_locked(vcpu, charge_ns);
		sched_trace(sched, SCHED_TRACE_HOLDER, vcpu, vcpu->core, now_ns, vcpu->way_ns,
			    charge_ns, vcpu->has_work, 0);
	}
}

uint64_t sched_tick(struct sched *sched, unsigned core, uint64_t now_ns)
{
	struct sched_core *c = &sched->core[core];
	uint64_t next_ns = SCHED_NEVER;
	struct sched_heap_node *first;
	struct list *pos, *tmp;

	pthread_mutex_lock(&sched->lock);
	holders_take_locked(sched, c, now_ns);
	sched_core_measure_locked(sched, core, now_ns);
	deadlines_run_locked(sched, core, now_ns);
	sched_held_run_locked(sched, core, now_ns);
	sched_fill_locked(sched, core, now_ns);
	list_for_each_safe(pos, tmp, &c->granted)
		sched_quantum_check_locked(list_entry(pos, struct sched_vcpu, node), now_ns);
	sched_balance_locked(sched, core, now_ns);
	first = sched_heap_first(&c->deadlines);
	if (first)
		next_ns = first->key;
	if (c->nr_granted || !list_empty(&c->held))
		next_ns = MIN(next_ns, now_ns + SCHED_GRACE_NS);
	pthread_mutex_unlock(&sched->lock);
	return next_ns;
}

void sched_core_use(struct sched *sched, unsigned core, bool use, uint64_t now_ns)
{
	struct sched_core *c = &sched->core[core];
	struct list *pos, *tmp;

	pthread_mutex_lock(&sched->lock);
	c->gone = !use;
	bit_set(sched->allowed, core, use);
	sched_trace(sched, SCHED_TRACE_CORE, NULL, core, now_ns, c->sibling, c->node, c->gone, 0);
	/* those who wait for it wait elsewhere; those who hold it are asked */
	list_for_each_safe(pos, tmp, &c->arrived) {
		struct sched_vcpu *vcpu = list_entry(pos, struct sched_vcpu, node);

		if (use)
			break;
		sched_unqueue_locked(vcpu);
		vcpu->inst->nr_active--;
		vcpu->inst->nr_guaranteed -= vcpu->guaranteed;
		vcpu->guaranteed = false;
		vcpu->state = SCHED_PARKED;
		sched_ready_locked(vcpu, UINT_MAX, now_ns);
	}
	list_for_each(pos, &c->granted)
		if (!use)
			sched_ask_locked(list_entry(pos, struct sched_vcpu, node), now_ns);
	pthread_mutex_unlock(&sched->lock);
}

/* ---- looking ---- */

int sched_core_get(struct sched *sched, unsigned core, struct leat_sched_core *ret_core)
{
	if (core >= sched->config.nr_cores)
		return -ENOENT;
	pthread_mutex_lock(&sched->lock);
	sched_core_view_locked(sched, core, ret_core);
	pthread_mutex_unlock(&sched->lock);
	return 0;
}

void sched_vcpu_stats_get(struct sched_vcpu *vcpu, struct sched_vcpu_stats *ret_stats)
{
	pthread_mutex_lock(&vcpu->sched->lock);
	*ret_stats = vcpu->stats;
	pthread_mutex_unlock(&vcpu->sched->lock);
}
