/*
 * quantum.c - who is asked to give a core back, and what becomes of those who do not give way.
 *
 * Guilt is CPU time: a vcpu that does not give way may be kept from running by somebody else on the
 * host, so the host is asked what its instance used before it counts as one that computes. One that
 * computes while others on its core have work is demoted, to what they leave; not while nobody is
 * in need of that, and not when it then gets next to nothing: the others may be the host's own.
 */
#include "sched/private.h"

uint64_t sched_cpu_ns_locked(struct sched_vcpu *vcpu, uint64_t now_ns)
{
	uint64_t cpu_ns = vcpu->sched->config.host.cpu_ns(vcpu->arg);

	sched_trace(vcpu->sched, SCHED_TRACE_CPU, vcpu, vcpu->core, now_ns, cpu_ns, 0, 0, 0);
	return cpu_ns;
}

/* CPU time since it was `before`; 0 also where one of the two is not known. */
static uint64_t cpu_ns_since(struct sched_vcpu *vcpu, uint64_t before_ns, uint64_t now_ns)
{
	uint64_t cpu_ns = sched_cpu_ns_locked(vcpu, now_ns);

	return before_ns && cpu_ns > before_ns ? cpu_ns - before_ns : 0;
}

/* Did it use up half a quantum of CPU time, the other half being over, without giving way? */
static void suspect_locked(struct sched_vcpu *vcpu, uint64_t now_ns)
{
	uint64_t half_ns = vcpu->sched->config.quantum_ns / 2;

	if (now_ns - vcpu->way_ns < half_ns) {
		vcpu->suspect_ns = 0;
		/* one who was known to compute has run for a while, and given way */
		if (vcpu->computes && now_ns - vcpu->granted_ns >= 2 * half_ns &&
		    cpu_ns_since(vcpu, vcpu->granted_cpu_ns, now_ns) >= half_ns)
			sched_computes_set_locked(vcpu, false, now_ns);
		return;
	}
	if (vcpu->computes)
		return;
	/* of one whose process had no name yet when it was suspected, nothing is known so far */
	if (!vcpu->suspect_ns || !vcpu->suspect_cpu_ns) {
		vcpu->suspect_cpu_ns = sched_cpu_ns_locked(vcpu, now_ns);
		vcpu->suspect_ns = now_ns;
	} else if (now_ns - vcpu->suspect_ns >= half_ns) {
		sched_computes_set_locked(vcpu,
					  cpu_ns_since(vcpu, vcpu->suspect_cpu_ns, now_ns) >=
						  half_ns * SCHED_GUILT_PERCENT / 100,
					  now_ns);
		vcpu->suspect_ns = now_ns; /* its CPU time goes on counting from where it did */
	}
}

/* Has another instance, one that gives way or is guaranteed its core, work here? */
static bool is_in_the_way(const struct sched_vcpu *vcpu)
{
	struct list *pos;

	list_for_each(pos, &vcpu->sched->core[vcpu->core].granted) {
		const struct sched_vcpu *other = list_entry(pos, struct sched_vcpu, node);

		if (other->inst != vcpu->inst && other->has_work &&
		    (!other->computes || (other->guaranteed && !vcpu->guaranteed)))
			return true;
	}
	return false;
}

void sched_restore_locked(struct sched_vcpu *vcpu, uint64_t now_ns)
{
	vcpu->demoted = false;
	sched_trace(vcpu->sched, SCHED_TRACE_RESTORE, vcpu, vcpu->core, now_ns, 0, 0, 0, 0);
	vcpu->sched->config.host.restore(vcpu->arg, now_ns);
}

static void demote_locked(struct sched_vcpu *vcpu, uint64_t now_ns)
{
	vcpu->demoted = true;
	vcpu->demoted_ns = now_ns;
	vcpu->in_the_way_ns = now_ns;
	vcpu->demoted_cpu_ns = sched_cpu_ns_locked(vcpu, now_ns);
	vcpu->stats.demotions++;
	sched_trace(vcpu->sched, SCHED_TRACE_DEMOTE, vcpu, vcpu->core, now_ns, 0, 0, 0, 0);
	vcpu->sched->config.host.demote(vcpu->arg, now_ns);
}

/* One that is demoted, every now and then: does it get on, and is there still a reason? */
static void demoted_look_locked(struct sched_vcpu *vcpu, uint64_t now_ns)
{
	uint64_t for_ns = now_ns - vcpu->demoted_ns, cpu_ns, used_ns;

	if (is_in_the_way(vcpu))
		vcpu->in_the_way_ns = now_ns;
	if (for_ns < SCHED_DEMOTED_LOOK_NS)
		return;
	cpu_ns = sched_cpu_ns_locked(vcpu, now_ns);
	used_ns = cpu_ns > vcpu->demoted_cpu_ns ? cpu_ns - vcpu->demoted_cpu_ns : 0;
	vcpu->demoted_ns = now_ns;
	vcpu->demoted_cpu_ns = cpu_ns;
	if (used_ns < for_ns / SCHED_DEMOTED_SHARE)
		vcpu->spared_ns = now_ns + SCHED_SPARED_NS;
	if (now_ns < vcpu->spared_ns || now_ns - vcpu->in_the_way_ns >= SCHED_DEMOTED_LOOK_NS)
		sched_restore_locked(vcpu, now_ns);
	else /* said again: a sibling's restoration may have undone it */
		vcpu->sched->config.host.demote(vcpu->arg, now_ns);
}

void sched_ask_locked(struct sched_vcpu *vcpu, uint64_t now_ns)
{
	if (vcpu->asked_ns)
		return;
	vcpu->asked_ns = now_ns;
	vcpu->asked_cpu_ns = sched_cpu_ns_locked(vcpu, now_ns);
	vcpu->stats.preempts++;
	sched_trace(vcpu->sched, SCHED_TRACE_PREEMPT, vcpu, vcpu->core, now_ns, 0, 0, 0, 0);
	vcpu->sched->config.host.preempt(vcpu->arg, now_ns);
}

/* Would its place be of use to somebody? */
static bool is_waited_for(const struct sched_vcpu *vcpu)
{
	const struct sched_core *c = &vcpu->sched->core[vcpu->core];

	if (c->nr_granted >= vcpu->sched->config.max_granted && c->nr_waiting)
		return true;
	return vcpu->computes &&
	       (c->nr_computing > SCHED_MAX_COMPUTING || c->waiting[SCHED_COMPUTES].nr);
}

/* Is the first of those who wait guaranteed a core, and this one not? */
static bool is_before_guaranteed(const struct sched_vcpu *vcpu)
{
	const struct sched_core *c = &vcpu->sched->core[vcpu->core];

	for (unsigned kind = 0; kind < SCHED_KINDS; kind++) {
		const struct sched_heap_node *first = sched_heap_first(&c->waiting[kind]);

		if (first && first->key == 0 && !vcpu->guaranteed)
			return true;
	}
	return false;
}

/* Its time is up, and others wait: it is asked, unless the policy lets it go on. */
static void expire_locked(struct sched_vcpu *vcpu, uint64_t now_ns)
{
	uint64_t ran_ns = now_ns - vcpu->granted_ns, more_ns = 0;

	if (now_ns < vcpu->extended_ns)
		return;
	if (!is_before_guaranteed(vcpu)) {
		if (ran_ns < vcpu->sched->config.quantum_ns)
			return;
		if (ran_ns < LEAT_SCHED_EXTEND_MAX_NS)
			more_ns = sched_decide_locked(LEAT_SCHED_QUANTUM_EXPIRED, vcpu,
						      LEAT_SCHED_NO_CORE, vcpu->core, now_ns);
	}
	if (more_ns)
		vcpu->extended_ns = now_ns + more_ns;
	else
		sched_ask_locked(vcpu, now_ns);
}

static void evict_locked(struct sched_vcpu *vcpu, uint64_t now_ns)
{
	vcpu->asked_ns = now_ns;
	vcpu->evictions++;
	vcpu->stats.evictions++;
	sched_trace(vcpu->sched, SCHED_TRACE_EVICT, vcpu, vcpu->core, now_ns, vcpu->evictions, 0, 0,
		    0);
	vcpu->sched->config.host.evict(vcpu->arg, vcpu->evictions, now_ns);
	/* deaf, or did it not run? */
	if (vcpu->evictions > 1 && !vcpu->demoted && now_ns >= vcpu->spared_ns &&
	    cpu_ns_since(vcpu, vcpu->asked_cpu_ns, now_ns) >= SCHED_DEAF_NS)
		demote_locked(vcpu, now_ns);
}

void sched_quantum_check_locked(struct sched_vcpu *vcpu, uint64_t now_ns)
{
	uint64_t grace_ns = (uint64_t)SCHED_GRACE_NS << MIN(vcpu->evictions, SCHED_GRACE_SHIFT_MAX);

	suspect_locked(vcpu, now_ns);
	if (!vcpu->asked_ns && is_waited_for(vcpu))
		expire_locked(vcpu, now_ns);
	else if (vcpu->asked_ns && now_ns - vcpu->asked_ns >= grace_ns)
		evict_locked(vcpu, now_ns);
	if (vcpu->demoted)
		demoted_look_locked(vcpu, now_ns);
	else if (vcpu->computes && now_ns - vcpu->computes_since_ns >= SCHED_DEMOTE_AFTER_NS &&
		 now_ns >= vcpu->spared_ns && is_in_the_way(vcpu))
		demote_locked(vcpu, now_ns);
}
