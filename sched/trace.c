/*
 * trace.c - records of what the scheduler was told and what it decided (leat/abi/sched_trace.h).
 */
#include "sched/private.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

void sched_trace(const struct sched *sched, enum sched_trace_kind kind,
		 const struct sched_vcpu *vcpu, unsigned core, uint64_t now_ns, uint64_t a,
		 uint64_t b, uint64_t c, uint64_t d)
{
	struct sched_trace_record record;

	if (!sched->record)
		return;
	record = (struct sched_trace_record){
		.time_ns = now_ns,
		.kind = (uint16_t)kind,
		.core = core < SCHED_MAX_CORES ? (uint16_t)core : SCHED_TRACE_NO_CORE,
		.vcpu = vcpu ? vcpu->number : 0,
		.instance = vcpu ? vcpu->inst->config.id : 0,
		.a = a,
		.b = b,
		.c = c,
		.d = d,
	};
	sched->record(sched->record_ctx, &record);
}

void sched_trace_text(const struct sched *sched, enum sched_trace_kind kind, uint32_t number,
		      const char *text, uint64_t now_ns)
{
	struct sched_trace_record record = {.time_ns = now_ns,
					    .kind = (uint16_t)kind,
					    .instance = number};

	if (!sched->record)
		return;
	snprintf(record.text, sizeof(record.text), "%s", text);
	sched->record(sched->record_ctx, &record);
}

void sched_trace_instance(const struct sched_instance *inst, uint64_t now_ns)
{
	const struct sched_instance_config *config = &inst->config;
	struct sched_trace_record record = {
		.time_ns = now_ns,
		.kind = SCHED_TRACE_INSTANCE,
		.vcpu = config->tenant,
		.instance = config->id,
		.a = config->tag,
		.b = config->function_tag,
		.c = config->weight,
		.d = config->guaranteed,
	};

	if (inst->sched->record)
		inst->sched->record(inst->sched->record_ctx, &record);
}

void sched_trace_tenant(const struct sched *sched, const struct sched_tenant *tenant,
			uint64_t now_ns)
{
	struct sched_trace_record record = {
		.time_ns = now_ns,
		.kind = SCHED_TRACE_TENANT,
		.vcpu = tenant->id,
		.a = tenant->tag,
		.b = tenant->weight,
		.c = tenant->cpu_ns,
	};

	if (sched->record)
		sched->record(sched->record_ctx, &record);
}

/* With nobody there, what was measured before is of no use: a replay begins like this too. */
static void measured_forget_locked(struct sched *sched)
{
	sched->balanced_ns = 0;
	sched->spread_ns = 0;
	for (unsigned i = 0; i < sched->config.nr_cores; i++) {
		struct sched_core *c = &sched->core[i];

		c->busy_permille = 0;
		c->crowded_permille = 0;
		c->overlap_permille = 0;
		c->delay_ns = 0;
		c->spinner = false;
	}
}

/* All that is there, as the events by which it came. */
static void snapshot_locked(const struct sched *sched, uint64_t now_ns)
{
	struct list *pos;

	sched_trace(sched, SCHED_TRACE_CONFIG, NULL, sched->config.nr_cores, now_ns,
		    sched->config.max_granted, sched->config.quantum_ns, sched->nr_vcpus,
		    sched->next_vcpu);
	for (unsigned i = 0; i < sched->config.nr_cores; i++)
		sched_trace(sched, SCHED_TRACE_CORE, NULL, i, now_ns, sched->core[i].sibling,
			    sched->core[i].node, sched->core[i].gone, 0);
	for (unsigned i = 0; i < SCHED_TENANT_BUCKETS; i++)
		list_for_each(pos, &sched->tenants[i])
			sched_trace_tenant(sched, list_entry(pos, struct sched_tenant, node),
					   now_ns);
	sched_trace_text(sched, SCHED_TRACE_POLICY, sched->policy ? sched->policy->number : 0,
			 sched->policy ? sched->policy->name : "", now_ns);
	list_for_each(pos, &sched->instances)
		sched_trace_instance(list_entry(pos, struct sched_instance, node), now_ns);
	list_for_each(pos, &sched->vcpus) {
		const struct sched_vcpu *vcpu = list_entry(pos, struct sched_vcpu, all);

		sched_trace(sched, SCHED_TRACE_ATTACH, vcpu, UINT_MAX, now_ns, vcpu->index, 0, 0,
			    0);
	}
}

int sched_trace_set(struct sched *sched,
		    void (*record)(void *ctx, const struct sched_trace_record *record), void *ctx,
		    uint64_t now_ns)
{
	int r = 0;

	pthread_mutex_lock(&sched->lock);
	if (record && sched->record) {
		r = -EBUSY;
	} else {
		sched->record = record;
		sched->record_ctx = ctx;
		if (record && sched->nr_vcpus == 0)
			measured_forget_locked(sched);
		if (record)
			snapshot_locked(sched, now_ns);
	}
	pthread_mutex_unlock(&sched->lock);
	return r;
}
