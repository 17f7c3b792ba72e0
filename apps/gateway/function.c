/*
 * function.c - functions: deployed, replaced, scaled from nothing to many and back.
 *
 * A call waits in its function's queue until an instance has a place. From nothing one instance is
 * started at once; more are started when the head of the queue has waited for `delay`.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "apps/gateway/gateway.h"
#include "leat/base/bits.h"

#define STARTS_MAX 3U /* that fail in a row: then the callers are told */
#define RETRY_MS 1000
#define PREWARM_STOP_MS 1000

struct function *function_find(const char *name)
{
	struct list *pos;

	list_for_each(pos, &gw.functions) {
		struct function *fn = list_entry(pos, struct function, node);

		if (!fn->removed && strcmp(fn->spec.name, name) == 0)
			return fn;
	}
	return NULL;
}

void function_failed(struct function *fn, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(fn->last_error, sizeof(fn->last_error), format, ap);
	va_end(ap);
	fn->last_error_time = time(NULL);
	log_event("failure",
		  json_pack("{s:s, s:s%}", "function", fn->spec.name, "reason", fn->last_error,
			    strnlen(fn->last_error, sizeof(fn->last_error))));
}

/* ---- quotas ---- */

struct usage {
	unsigned instances, functions;
	uint64_t memory_bytes;
};

static struct usage tenant_usage(const char *tenant)
{
	struct usage usage = {0};
	struct list *f, *i;

	list_for_each(f, &gw.functions) {
		const struct function *fn = list_entry(f, struct function, node);

		usage.functions += !fn->removed && strcmp(fn->spec.tenant, tenant) == 0;
		list_for_each(i, &fn->instances) {
			const struct instance *inst = list_entry(i, struct instance, node);

			if (strcmp(inst->tenant, tenant) != 0 || inst->state == INSTANCE_TEMPLATE)
				continue;
			usage.instances++;
			usage.memory_bytes += inst->memory_bytes;
		}
	}
	return usage;
}

/* May the tenant have one more instance of this function? Else the reason is noted. */
static bool quota_allows(struct function *fn)
{
	struct quota quota = store_quota(fn->spec.tenant);
	struct usage usage = tenant_usage(fn->spec.tenant);

	if (quota.instances != 0 && usage.instances >= quota.instances)
		function_failed(fn, "%s waits: tenant %s has its %u instances", fn->spec.name,
				fn->spec.tenant, quota.instances);
	else if (quota.memory_bytes != 0 &&
		 usage.memory_bytes + fn->spec.memory_bytes > quota.memory_bytes)
		function_failed(fn, "%s waits: tenant %s has no memory left for it", fn->spec.name,
				fn->spec.tenant);
	else
		return true;
	return false;
}

/* ---- scaling ---- */

static struct call *queue_head(const struct function *fn)
{
	return list_empty(&fn->queue) ? NULL : list_entry(fn->queue.next, struct call, node);
}

static void queue_fail(struct function *fn, int status, const char *reason)
{
	struct call *call;

	while ((call = queue_head(fn)) != NULL)
		call_fail(call, status, "%s", reason);
}

/* The fullest that has a place: so that the others may go. */
static struct instance *instance_pick(const struct function *fn)
{
	struct instance *best = NULL;
	struct list *pos;

	list_for_each(pos, &fn->instances) {
		struct instance *inst = list_entry(pos, struct instance, node);

		if (inst->state != INSTANCE_READY || inst->nr_calls >= fn->spec.concurrency ||
		    (fn->spec.contract == CONTRACT_LAMBDA && inst->next == NULL))
			continue;
		if (best == NULL || inst->nr_calls > best->nr_calls)
			best = inst;
	}
	return best;
}

/* How many instances there should be now; sets the timer for a later look. */
static unsigned instances_wanted(struct function *fn)
{
	const struct call *head = queue_head(fn);
	unsigned want = fn->floor, total = fn->nr_starting + fn->nr_ready;
	uint64_t due;

	if (head != NULL && total == 0)
		want = MAX(want, 1U);
	if (head != NULL && total != 0) {
		due = head->arrived_ns + fn->spec.delay_ms * 1000000U;
		if (now_ns() >= due)
			want = MAX(want, fn->nr_ready + (fn->queued + fn->spec.concurrency - 1) /
								fn->spec.concurrency);
		else if (total < fn->spec.max)
			timer_arm(&fn->scale_timer, due);
	}
	return MIN(want, MAX(fn->spec.max, fn->floor));
}

static void scale(struct function *fn)
{
	unsigned want;

	if (fn->removed || gw.draining)
		return;
	if (fn->failures >= STARTS_MAX) {
		if (fn->queued != 0) {
			fn->failures = 0; /* the next caller tries again */
			queue_fail(fn, 502, fn->last_error);
		}
		if (fn->floor != 0)
			timer_arm_ms(&fn->scale_timer, RETRY_MS);
		return;
	}
	want = instances_wanted(fn);
	while (fn->nr_starting + fn->nr_ready < want && fn->failures < STARTS_MAX) {
		if (!quota_allows(fn)) {
			if (fn->nr_starting + fn->nr_ready == 0 && fn->queued != 0) {
				fn->metrics.rejected += fn->queued;
				queue_fail(fn, 429, fn->last_error);
			} else {
				timer_arm_ms(&fn->scale_timer, RETRY_MS);
			}
			return;
		}
		instance_start(fn);
	}
	if (fn->failures >= STARTS_MAX)
		timer_arm_ms(&fn->scale_timer, 0); /* not from within the caller's dispatch */
}

static void scale_due(struct timer *timer)
{
	struct function *fn = container_of(timer, struct function, scale_timer);

	if (fn->failures >= STARTS_MAX && fn->queued == 0)
		fn->failures = STARTS_MAX - 1; /* one more try for those that are always there */
	function_pump(fn);
}

/* ---- idle ---- */

static void instances_drain(struct function *fn, unsigned keep)
{
	struct list *pos, *tmp;

	list_for_each_safe(pos, tmp, &fn->instances) {
		struct instance *inst = list_entry(pos, struct instance, node);

		if (inst->state != INSTANCE_READY && inst->state != INSTANCE_STARTING)
			continue;
		if (keep > 0)
			keep--;
		else
			instance_drain(inst);
	}
}

static void idle_due(struct timer *timer)
{
	struct function *fn = container_of(timer, struct function, idle_timer);

	if (fn->idle_since_ns != 0)
		instances_drain(fn, fn->floor);
}

static void prewarm_due(struct timer *timer)
{
	struct function *fn = container_of(timer, struct function, prewarm_timer);
	struct keepwarm_window window =
		keepwarm_decide(&fn->keepwarm, fn->spec.policy, fn->spec.idle_ms);

	if (fn->idle_since_ns == 0 || fn->removed || gw.draining)
		return;
	if (fn->nr_starting + fn->nr_ready == 0 && quota_allows(fn))
		instance_start(fn);
	timer_arm(&fn->idle_timer, fn->idle_since_ns + window.keep_ms * 1000000U);
}

static void idle_begin(struct function *fn)
{
	struct keepwarm_window window =
		keepwarm_decide(&fn->keepwarm, fn->spec.policy, fn->spec.idle_ms);

	fn->idle_since_ns = now_ns();
	if (window.prewarm_ms > PREWARM_STOP_MS) {
		timer_arm_ms(&fn->idle_timer, PREWARM_STOP_MS);
		timer_arm_ms(&fn->prewarm_timer, window.prewarm_ms);
	} else {
		timer_arm_ms(&fn->idle_timer, window.keep_ms);
	}
}

static void idle_end(struct function *fn)
{
	if (fn->idle_since_ns == 0)
		return;
	keepwarm_observe(&fn->keepwarm, (now_ns() - fn->idle_since_ns) / 1000000U);
	fn->idle_since_ns = 0;
	timer_cancel(&fn->idle_timer);
	timer_cancel(&fn->prewarm_timer);
}

static void function_free(struct function *fn)
{
	timer_cancel(&fn->scale_timer);
	timer_cancel(&fn->idle_timer);
	timer_cancel(&fn->prewarm_timer);
	template_drop(fn, "the function was removed");
	list_del(&fn->node);
	log_close(fn->log);
	spec_finish(&fn->spec);
	free(fn);
}

void function_pump(struct function *fn)
{
	struct instance *inst;

	if (fn->removed) {
		if (list_empty(&fn->instances) && fn->running == 0 && fn->queued == 0)
			function_free(fn);
		return;
	}
	while (fn->queued != 0 && (inst = instance_pick(fn)) != NULL)
		call_dispatch(queue_head(fn), inst);
	scale(fn);
	if (fn->queued + fn->running != 0)
		idle_end(fn);
	else if (fn->idle_since_ns == 0 && fn->nr_ready + fn->nr_starting != 0)
		idle_begin(fn);
}

void function_scale(struct function *fn, unsigned replicas)
{
	fn->floor = replicas;
	if (replicas < fn->nr_ready + fn->nr_starting)
		instances_drain(fn, replicas);
	function_pump(fn);
}

/* ---- deployment ---- */

static struct function *function_create(void)
{
	struct function *fn = calloc(1, sizeof(*fn));

	if (fn == NULL)
		return NULL;
	list_init(&fn->instances);
	list_init(&fn->queue);
	fn->scale_timer.due = scale_due;
	fn->idle_timer.due = idle_due;
	fn->prewarm_timer.due = prewarm_due;
	return fn;
}

static void function_insert(struct function *fn)
{
	struct list *pos;

	list_for_each(pos, &gw.functions)
		if (strcmp(list_entry(pos, struct function, node)->spec.name, fn->spec.name) > 0)
			break;
	list_add_tail(pos, &fn->node);
}

/* Gives fn its new description; what runs by the old one is drained. */
static void function_set(struct function *fn, struct spec *spec, int64_t created)
{
	if (fn->spec.json != NULL) {
		instances_drain(fn, 0);
		spec_finish(&fn->spec);
	}
	fn->spec = *spec;
	fn->floor = spec->min;
	fn->failures = 0;
	fn->created_time = created;
	fn->last_error[0] = '\0';
	random_hex(fn->revision, 8);
	template_renew(fn);
	if (fn->keepwarm.bin_ms != spec->bin_ms)
		keepwarm_init(&fn->keepwarm, spec->bin_ms);
}

static int function_add(struct spec *spec, int64_t created)
{
	struct function *fn = function_find(spec->name);

	if (fn == NULL) {
		fn = function_create();
		if (fn == NULL)
			return -ENOMEM;
		function_set(fn, spec, created);
		fn->log = log_open(fn->spec.name);
		function_insert(fn);
	} else {
		function_set(fn, spec, created);
	}
	function_pump(fn);
	return 0;
}

int function_deploy(json_t *json, char error[SPEC_ERROR_MAX])
{
	int64_t now = time(NULL);
	const char *dir;
	struct quota quota;
	struct spec spec;
	int r = spec_init(&spec, json, error);

	if (r < 0)
		return r;
	dir = json_string_value(json_object_get(json, "dir"));
	quota = store_quota(spec.tenant);
	if (dir != NULL && access(dir, R_OK | X_OK) < 0) {
		snprintf(error, SPEC_ERROR_MAX, "cannot use the folder %.150s: %s", dir,
			 strerror(errno));
		r = -EINVAL;
	} else if (quota.functions != 0 && function_find(spec.name) == NULL &&
		   tenant_usage(spec.tenant).functions >= quota.functions) {
		snprintf(error, SPEC_ERROR_MAX, "tenant %s has its %u functions", spec.tenant,
			 quota.functions);
		r = -EDQUOT;
	} else if (store_put(spec.name, json, now) < 0) {
		snprintf(error, SPEC_ERROR_MAX, "cannot store it: see the gateway's log");
		r = -EIO;
	}
	if (r == 0)
		r = function_add(&spec, now);
	if (r < 0)
		spec_finish(&spec);
	return r;
}

static void function_load(const char *name, json_t *json, int64_t created)
{
	char error[SPEC_ERROR_MAX];
	struct spec spec;

	if (spec_init(&spec, json, error) < 0)
		log_event("load", json_pack("{s:s, s:s}", "function", name, "error", error));
	else if (function_add(&spec, created) < 0)
		spec_finish(&spec);
}

int functions_load(void)
{
	store_functions(function_load);
	return 0;
}

int function_undeploy(const char *name)
{
	struct function *fn = function_find(name);

	if (fn == NULL)
		return -ENOENT;
	if (store_remove(name) < 0)
		return -EIO;
	queue_fail(fn, 404, "the function was removed");
	fn->removed = true;
	template_drop(fn, "the function was removed");
	fn->floor = 0;
	instances_drain(fn, 0);
	function_pump(fn);
	return 0;
}

bool functions_drain(void)
{
	struct list *pos;
	bool none = true;

	list_for_each(pos, &gw.functions) {
		struct function *fn = list_entry(pos, struct function, node);

		template_drop(fn, "the gateway ends");
		instances_drain(fn, 0);
		none = none && list_empty(&fn->instances);
	}
	return none;
}

/* ---- shown ---- */

static const char *state_name(enum instance_state state)
{
	static const char *const names[] = {"starting", "template", "ready",
					    "draining", "ending",   "gone"};

	return names[state];
}

static uint64_t answers(const struct function *fn)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < fn->metrics.nr_codes; i++)
		n += fn->metrics.codes[i].seconds.count;
	return n;
}

json_t *function_json(const struct function *fn)
{
	json_t *instances = json_array();
	struct list *pos;

	list_for_each(pos, &fn->instances) {
		const struct instance *inst = list_entry(pos, struct instance, node);

		json_array_append_new(instances,
				      json_pack("{s:s, s:s, s:i, s:f}", "name", inst->name, "state",
						state_name(inst->state), "calls",
						(int)inst->nr_calls, "age",
						(double)(now_ns() - inst->start_ns) / 1e9));
	}
	return json_pack("{s:s, s:s, s:s, s:s, s:{s:s, s:s%}, s:I, s:i, s:i, s:i, s:i, s:I, s:I, "
			 "s:I, s:s%, s:I, s:o, s:O}",
			 "name", fn->spec.name, "tenant", fn->spec.tenant, "contract",
			 fn->spec.contract == CONTRACT_LAMBDA ? "lambda" : "http", "revision",
			 fn->revision, "template", "state", template_state_name(fn), "reason",
			 fn->template.reason, strnlen(fn->template.reason, TEMPLATE_REASON_MAX),
			 "created", (json_int_t)fn->created_time, "ready", (int)fn->nr_ready,
			 "starting", (int)fn->nr_starting, "queued", (int)fn->queued, "running",
			 (int)fn->running, "calls", (json_int_t)answers(fn), "starts",
			 (json_int_t)fn->metrics.starts, "rejected",
			 (json_int_t)fn->metrics.rejected, "last_error", fn->last_error,
			 strnlen(fn->last_error, REASON_MAX), "last_error_time",
			 (json_int_t)fn->last_error_time, "instances", instances, "spec",
			 fn->spec.json);
}
