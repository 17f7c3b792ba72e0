/*
 * policy.c - who decides: policies come and go, are asked, and are not believed.
 *
 * What the built-in policy would say takes the place of every answer that is out of range. After
 * some of those, or some vcpus that had to be rescued from it, a policy is asked no more.
 */
#include "sched/private.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/bpf.h>

static const struct {
	const char *name;
	uint64_t budget; /* instructions on the longest path */
} hooks[LEAT_SCHED_HOOKS] = {
	[LEAT_SCHED_INIT] = {"init", 100000},
	[LEAT_SCHED_EXIT] = {"exit", 100000},
	[LEAT_SCHED_ATTACH] = {"attach", 2000},
	[LEAT_SCHED_DETACH] = {"detach", 2000},
	[LEAT_SCHED_CONGESTED] = {"congested", 2000},
	/* these may look at every core */
	[LEAT_SCHED_SELECT_CORE] = {"select_core", 20000},
	[LEAT_SCHED_PICK_NEXT] = {"pick_next", 2000},
	[LEAT_SCHED_BALANCE] = {"balance", 20000},
	[LEAT_SCHED_QUANTUM_EXPIRED] = {"quantum_expired", 2000},
};

const char *sched_hook_name(unsigned hook)
{
	return hook < LEAT_SCHED_HOOKS ? hooks[hook].name : "?";
}

/* ---- coming ---- */

static int hook_find(const char *section)
{
	size_t n = strlen(LEAT_SEC_SCHED);

	if (strncmp(section, LEAT_SEC_SCHED, n) != 0 || section[n] != '/')
		return -1;
	for (unsigned i = 0; i < LEAT_SCHED_HOOKS; i++)
		if (strcmp(section + n + 1, hooks[i].name) == 0)
			return (int)i;
	return -1;
}

__attribute__((format(printf, 4, 5))) static int refuse(int code, char *error, size_t error_bytes,
							const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(error, error_bytes, format, args);
	va_end(args);
	return code;
}

static int hooks_check(const struct ebpf_object *object, struct sched_policy *policy, char *error,
		       size_t error_bytes)
{
	const char *name, *section;
	uint32_t i;

	for (i = 0; (name = ebpf_object_prog_name(object, i, &section)); i++) {
		int hook = hook_find(section);

		if (hook < 0)
			return refuse(-EINVAL, error, error_bytes,
				      "its section %s is no hook of a policy", section);
		policy->cost[hook] = ebpf_object_prog_cost(object, section);
		if (policy->cost[hook] > hooks[hook].budget)
			return refuse(-E2BIG, error, error_bytes,
				      "its hook %s may take %llu instructions, %llu are allowed",
				      hooks[hook].name, (unsigned long long)policy->cost[hook],
				      (unsigned long long)hooks[hook].budget);
	}
	return i ? 0 : refuse(-EINVAL, error, error_bytes, "it has no hooks");
}

static int maps_check(const struct ebpf_instance *programs, char *error, size_t error_bytes)
{
	const struct ebpf_map *map;
	struct ebpf_map_info info;

	for (uint32_t i = 0; (map = ebpf_instance_map_at(programs, i)); i++) {
		ebpf_map_info(map, &info);
		if (info.type == BPF_MAP_TYPE_PERCPU_ARRAY)
			return refuse(
				-ENOTSUP, error, error_bytes,
				"its map %s has a value for each thread: any thread may ask a "
				"policy, one at a time",
				info.name);
	}
	return 0;
}

int sched_policy_create(struct ebpf_object *object, const char *name, char *error,
			size_t error_bytes, struct sched_policy **ret_policy)
{
	struct sched_policy *policy = calloc(1, sizeof(*policy));
	char section[64];
	int r;

	if (!policy)
		return refuse(-ENOMEM, error, error_bytes, "no memory");
	snprintf(policy->name, sizeof(policy->name), "%s", name);
	r = hooks_check(object, policy, error, error_bytes);
	if (!r) {
		r = ebpf_instance_create(object, &policy->programs);
		if (r)
			refuse(r, error, error_bytes, "%s", strerror(-r));
	}
	if (!r)
		r = maps_check(policy->programs, error, error_bytes);
	if (r) {
		sched_policy_destroy(policy);
		return r;
	}
	for (unsigned i = 0; i < LEAT_SCHED_HOOKS; i++) {
		snprintf(section, sizeof(section), LEAT_SEC_SCHED "/%s", hooks[i].name);
		policy->hook[i] = ebpf_instance_prog(policy->programs, section);
	}
	*ret_policy = policy;
	return 0;
}

void sched_policy_destroy(struct sched_policy *policy)
{
	if (!policy)
		return;
	ebpf_instance_destroy(policy->programs);
	free(policy);
}

struct ebpf_instance *sched_policy_programs(struct sched_policy *policy)
{
	return policy->programs;
}

void sched_policies_free(struct sched *sched)
{
	for (unsigned i = 0; i < sched->nr_policies; i++)
		sched_policy_destroy(sched->policies[i]);
}

/* ---- asking ---- */

/* The helper behind leat_core_get(). */
static int64_t core_get(void *arg, const void *ctx, uint32_t core, void *to, size_t size)
{
	struct sched *sched = arg;
	struct leat_sched_core view;

	(void)ctx;
	memset(to, 0, size);
	if (core >= sched->config.nr_cores)
		return -ENOENT;
	sched_core_view_locked(sched, core, &view);
	memcpy(to, &view, MIN(size, sizeof(view)));
	return 0;
}

static void question_vcpu(struct leat_sched_ctx *ctx, const struct sched_vcpu *vcpu,
			  uint64_t now_ns)
{
	const struct sched_instance *inst = vcpu->inst;

	ctx->delay_ns =
		vcpu->state != SCHED_GRANTED && now_ns > vcpu->work_ns ? now_ns - vcpu->work_ns : 0;
	ctx->ran_ns = vcpu->state == SCHED_GRANTED ? now_ns - vcpu->granted_ns : 0;
	ctx->cpu_ns = vcpu->stats.cpu_ns;
	ctx->instance_cpu_ns = inst->cpu_ns;
	ctx->tenant_cpu_ns = inst->tenant->cpu_ns;
	ctx->state = vcpu->policy_state;
	ctx->instance = inst->config.id;
	ctx->tenant = inst->config.tenant;
	ctx->tag = inst->config.tag;
	ctx->tenant_tag = inst->tenant->tag;
	ctx->function_tag = inst->config.function_tag;
	ctx->vcpu = vcpu->index;
	ctx->flags = (vcpu->computes ? LEAT_SCHED_COMPUTES : 0) |
		     (vcpu->guaranteed ? LEAT_SCHED_GUARANTEED : 0);
	ctx->weight = inst->config.weight;
	ctx->tenant_weight = inst->tenant->weight;
	ctx->guaranteed = inst->config.guaranteed;
	ctx->held = inst->nr_granted;
	ctx->last_core = vcpu->last_core;
}

static void question_fill(struct sched_question *question, struct sched *sched,
			  enum leat_sched_hook hook, const struct sched_vcpu *vcpu, unsigned waker,
			  unsigned core, uint64_t now_ns)
{
	*question = (struct sched_question){
		.sched = sched,
		.ctx = {.now_ns = now_ns,
			.quantum_ns = sched->config.quantum_ns,
			.since_spread_ns = now_ns - sched->spread_ns,
			.idle_cores = sched->idle[0],
			.idle_cores_high = sched->idle[1],
			.allowed_cores = sched->allowed[0],
			.allowed_cores_high = sched->allowed[1],
			.hook = hook,
			.last_core = LEAT_SCHED_NO_CORE,
			.waker = waker < sched->config.nr_cores ? waker : LEAT_SCHED_NO_CORE,
			.core = core,
			.nr_cores = sched->config.nr_cores},
	};
	if (vcpu)
		question_vcpu(&question->ctx, vcpu, now_ns);
}

static uint64_t policy_run(struct sched_policy *policy, enum leat_sched_hook hook,
			   struct sched_question *question, struct sched_vcpu *vcpu)
{
	uint64_t answer;

	policy->asked[hook]++;
	answer = ebpf_prog_run(policy->hook[hook], &question->ctx);
	if (vcpu)
		vcpu->policy_state = question->ctx.state;
	return answer;
}

/* Before the first question about a vcpu that is new to the policy; so a swap costs nothing. */
static void policy_meet_locked(struct sched_policy *policy, struct sched_vcpu *vcpu,
			       uint64_t now_ns)
{
	struct sched_question question;

	if (vcpu->policy == policy->number)
		return;
	vcpu->policy = policy->number;
	vcpu->policy_state = 0;
	if (!policy->hook[LEAT_SCHED_ATTACH])
		return;
	question_fill(&question, vcpu->sched, LEAT_SCHED_ATTACH, vcpu, LEAT_SCHED_NO_CORE,
		      LEAT_SCHED_NO_CORE, now_ns);
	policy_run(policy, LEAT_SCHED_ATTACH, &question, vcpu);
}

void sched_policy_detach_locked(struct sched_vcpu *vcpu, uint64_t now_ns)
{
	struct sched_policy *policy = vcpu->sched->policy;
	struct sched_question question;

	if (!policy || vcpu->policy != policy->number || !policy->hook[LEAT_SCHED_DETACH])
		return;
	question_fill(&question, vcpu->sched, LEAT_SCHED_DETACH, vcpu, LEAT_SCHED_NO_CORE,
		      LEAT_SCHED_NO_CORE, now_ns);
	policy_run(policy, LEAT_SCHED_DETACH, &question, vcpu);
}

static bool is_allowed(const struct sched *sched, enum leat_sched_hook hook, uint64_t answer,
		       unsigned core)
{
	switch (hook) {
	case LEAT_SCHED_CONGESTED:
		return answer <= 1;
	case LEAT_SCHED_SELECT_CORE:
		return answer < sched->config.nr_cores &&
		       bit_is_set(sched->allowed, (unsigned)answer);
	case LEAT_SCHED_BALANCE:
		return answer == core || (answer < sched->config.nr_cores &&
					  bit_is_set(sched->allowed, (unsigned)answer));
	case LEAT_SCHED_QUANTUM_EXPIRED:
		return answer <= LEAT_SCHED_EXTEND_MAX_NS;
	default:
		return true; /* every number is a rank */
	}
}

__attribute__((format(printf, 3, 4))) static void fall_back_locked(struct sched *sched,
								   uint64_t now_ns,
								   const char *format, ...)
{
	struct sched_policy *policy = sched->policy;
	va_list args;

	va_start(args, format);
	vsnprintf(policy->reason, sizeof(policy->reason), format, args);
	va_end(args);
	sched_trace_text(sched, SCHED_TRACE_FALLBACK, policy->number, policy->reason, now_ns);
	sched->policy = NULL;
}

void sched_policy_rescue_locked(struct sched *sched, uint64_t now_ns)
{
	if (sched->policy && ++sched->policy->nr_rescues >= SCHED_RESCUES_MAX)
		fall_back_locked(sched, now_ns, "it starved vcpus that waited for a core %u times",
				 SCHED_RESCUES_MAX);
}

/* 0 where every allowed core has gone: somewhere it has to wait. */
static uint64_t core_or_first(const struct sched *sched, uint64_t answer)
{
	return answer < sched->config.nr_cores ? answer : 0;
}

uint64_t sched_decide_locked(enum leat_sched_hook hook, struct sched_vcpu *vcpu, unsigned waker,
			     unsigned core, uint64_t now_ns)
{
	struct sched *sched = vcpu->sched;
	struct sched_policy *policy = sched->policy;
	struct sched_question question;
	uint64_t answer;

	if (policy && policy->hook[hook]) {
		policy_meet_locked(policy, vcpu, now_ns);
		question_fill(&question, sched, hook, vcpu, waker, core, now_ns);
		answer = policy_run(policy, hook, &question, vcpu);
		if (answer != LEAT_SCHED_DEFAULT && is_allowed(sched, hook, answer, core))
			return answer;
		if (answer == LEAT_SCHED_DEFAULT) {
			policy->passed[hook]++;
		} else {
			policy->bad[hook]++;
			sched_trace(sched, SCHED_TRACE_BAD, vcpu, core, now_ns, hook, answer, 0, 0);
			if (++policy->nr_bad >= SCHED_BAD_MAX)
				fall_back_locked(sched, now_ns, "it gave %u bad answers, %s: %llu",
						 SCHED_BAD_MAX, hooks[hook].name,
						 (unsigned long long)answer);
		}
	}
	sched->builtin_asked[hook]++;
	question_fill(&question, sched, hook, vcpu, waker, core, now_ns);
	answer = sched_builtin(hook, &question);
	return hook == LEAT_SCHED_SELECT_CORE ? core_or_first(sched, answer) : answer;
}

/* ---- loading and going back ---- */

static uint64_t policy_tell_locked(struct sched *sched, struct sched_policy *policy,
				   enum leat_sched_hook hook, uint64_t now_ns)
{
	struct sched_question question;

	if (!policy || !policy->hook[hook])
		return 0;
	question_fill(&question, sched, hook, NULL, LEAT_SCHED_NO_CORE, LEAT_SCHED_NO_CORE, now_ns);
	return policy_run(policy, hook, &question, NULL);
}

/* The policy is the last one remembered from now on; returns one that is forgotten for it. */
static struct sched_policy *policy_remember_locked(struct sched *sched, struct sched_policy *policy)
{
	struct sched_policy *forgotten = NULL;

	if (sched->nr_policies == SCHED_MAX_POLICIES) {
		forgotten = sched->policies[0];
		sched->nr_policies--;
		memmove(sched->policies, sched->policies + 1,
			sched->nr_policies * sizeof(struct sched_policy *));
	}
	sched->policies[sched->nr_policies++] = policy;
	return forgotten;
}

static void policy_activate_locked(struct sched *sched, struct sched_policy *policy,
				   uint64_t now_ns)
{
	policy_tell_locked(sched, sched->policy, LEAT_SCHED_EXIT, now_ns);
	sched->policy = policy;
	if (policy) {
		policy->number = ++sched->next_policy;
		policy->loaded_ns = now_ns;
		policy->reason[0] = '\0';
		policy->nr_bad = 0;
		policy->nr_rescues = 0;
	}
	sched_trace_text(sched, SCHED_TRACE_POLICY, policy ? policy->number : 0,
			 policy ? policy->name : "", now_ns);
}

int sched_policy_load(struct sched *sched, struct sched_policy *policy, uint64_t now_ns)
{
	struct ebpf_host host = {.core_get = core_get, .arg = sched};
	struct sched_policy *forgotten = NULL;
	int r = 0;

	if (policy)
		ebpf_instance_set_host(policy->programs, &host);
	pthread_mutex_lock(&sched->lock);
	if (policy_tell_locked(sched, policy, LEAT_SCHED_INIT, now_ns) != 0)
		r = -EPERM;
	if (!r) {
		policy_activate_locked(sched, policy, now_ns);
		if (policy)
			forgotten = policy_remember_locked(sched, policy);
	}
	pthread_mutex_unlock(&sched->lock);
	sched_policy_destroy(r ? policy : forgotten);
	return r;
}

int sched_policy_rollback(struct sched *sched, uint64_t now_ns)
{
	struct sched_policy *last = NULL, *before = NULL;
	int r = 0;

	pthread_mutex_lock(&sched->lock);
	if (sched->nr_policies == 0) {
		r = -ENOENT;
	} else {
		before = sched->policies[sched->nr_policies - 1];
		/* unless the built-in one was loaded behind it */
		if (sched->policy || before->reason[0]) {
			last = before;
			before = --sched->nr_policies ? sched->policies[sched->nr_policies - 1] :
							NULL;
		}
		/* its maps are as it left them; it hears of everybody again */
		if (policy_tell_locked(sched, before, LEAT_SCHED_INIT, now_ns) != 0)
			before = NULL;
		policy_activate_locked(sched, before, now_ns);
	}
	pthread_mutex_unlock(&sched->lock);
	sched_policy_destroy(last);
	return r;
}

/* ---- looking ---- */

static void info_fill(const struct sched *sched, const struct sched_policy *policy,
		      struct sched_policy_info *ret_info)
{
	*ret_info = (struct sched_policy_info){.active = sched->policy == policy};
	snprintf(ret_info->name, sizeof(ret_info->name), "%s", policy ? policy->name : "built-in");
	for (unsigned i = 0; i < LEAT_SCHED_HOOKS; i++) {
		ret_info->hook[i].budget = hooks[i].budget;
		ret_info->hook[i].there = policy ? policy->hook[i] != NULL : true;
		ret_info->hook[i].cost = policy ? policy->cost[i] : 0;
		ret_info->hook[i].asked = policy ? policy->asked[i] : sched->builtin_asked[i];
		ret_info->hook[i].passed = policy ? policy->passed[i] : 0;
		ret_info->hook[i].bad = policy ? policy->bad[i] : 0;
	}
	if (!policy)
		return;
	ret_info->number = policy->number;
	ret_info->loaded_ns = policy->loaded_ns;
	ret_info->rescues = policy->nr_rescues;
	snprintf(ret_info->reason, sizeof(ret_info->reason), "%s", policy->reason);
}

unsigned sched_policy_list(struct sched *sched,
			   struct sched_policy_info ret_info[SCHED_MAX_POLICIES + 1])
{
	unsigned nr;

	pthread_mutex_lock(&sched->lock);
	info_fill(sched, NULL, &ret_info[0]);
	nr = sched->nr_policies;
	for (unsigned i = 0; i < nr; i++)
		info_fill(sched, sched->policies[i], &ret_info[i + 1]);
	pthread_mutex_unlock(&sched->lock);
	return nr + 1;
}

int64_t sched_policy_printed(struct sched *sched, char *buf, size_t size)
{
	int64_t n = -ENOENT;

	pthread_mutex_lock(&sched->lock);
	if (sched->policy)
		n = ebpf_instance_trace(sched->policy->programs, buf, size, NULL);
	pthread_mutex_unlock(&sched->lock);
	return n;
}
