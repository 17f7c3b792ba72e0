/*
 * op_sched.c - requests about the core scheduler: its policy, shares and tags, its trace.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "apps/leatd/leatd.h"
#include "apps/leatd/log.h"

#define ERROR_MAX 8192
#define PRINTED_MAX 100U /* lines that a policy printed, in one answer */
#define LINE_BYTES 256U

static void reply_ok(struct client *client)
{
	client_reply(client, json_pack("{s:b}", "ok", 1), NULL, 0);
}

/* ---- policies ---- */

void op_sched_load(struct leatd *leatd, struct client *client, const struct request *req)
{
	const char *name = json_string_value(json_object_get(req->json, "name"));
	const struct filter_source source = {.kind = "object",
					     .noun = "policy",
					     .object_fd = req->nr_fds > 0 ? req->fds[0] : -1,
					     .signature_fd = req->nr_fds > 1 ? req->fds[1] : -1};
	struct ebpf_object *object = NULL;
	char error[ERROR_MAX] = "";
	uint64_t ns = 0;

	if (name == NULL || filter_load(leatd, &source, error, sizeof(error), &object) < 0) {
		client_error(client, "%s", *error ? error : "cannot load a policy without a name");
		return;
	}
	if (dataplane_policy_load(object, name, error, sizeof(error), &ns) < 0) {
		client_error(client, "cannot use the policy: %s", error);
	} else {
		log_line(LOG_INFO, "policy %s loaded", name);
		client_reply(client, json_pack("{s:b, s:I}", "ok", 1, "swap_ns", (json_int_t)ns),
			     NULL, 0);
	}
	ebpf_object_unref(object);
}

void op_sched_rollback(struct leatd *leatd, struct client *client, const struct request *req)
{
	int r = dataplane_policy_rollback();

	(void)leatd;
	(void)req;
	if (r < 0)
		client_error(client, "cannot go back: no policy was loaded");
	else
		reply_ok(client);
}

static json_t *hooks_json(const struct sched_policy_info *info)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < LEAT_SCHED_HOOKS; i++)
		if (info->hook[i].there)
			json_array_append_new(list,
					      json_pack("{s:s, s:I, s:I, s:I, s:I, s:I}", "hook",
							sched_hook_name(i), "longest_path",
							(json_int_t)info->hook[i].cost, "budget",
							(json_int_t)info->hook[i].budget, "asked",
							(json_int_t)info->hook[i].asked, "passed",
							(json_int_t)info->hook[i].passed, "bad",
							(json_int_t)info->hook[i].bad));
	return list;
}

static json_t *policies_json(void)
{
	struct sched_policy_info *infos = calloc(SCHED_MAX_POLICIES + 1, sizeof(*infos));
	unsigned nr = infos != NULL ? dataplane_policy_list(infos) : 0;
	json_t *list = json_array();

	for (unsigned i = 0; i < nr; i++)
		json_array_append_new(list, json_pack("{s:i, s:s, s:b, s:s, s:I, s:o}", "number",
						      (int)infos[i].number, "name", infos[i].name,
						      "active", infos[i].active, "reason",
						      infos[i].reason, "rescues",
						      (json_int_t)infos[i].rescues, "hooks",
						      hooks_json(&infos[i])));
	free(infos);
	return list;
}

static json_t *cores_json(void)
{
	json_t *list = json_array();
	struct leat_sched_core core;

	for (unsigned i = 0; dataplane_sched_core_get(i, &core) == 0; i++)
		json_array_append_new(list,
				      json_pack("{s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i}",
						"core", (int)i, "granted", (int)core.granted,
						"waiting", (int)core.waiting, "computing",
						(int)core.computing, "busy_permille",
						(int)core.busy_permille, "crowded_permille",
						(int)core.crowded_permille, "delay_us",
						(int)core.delay_us, "sibling", (int)core.sibling,
						"node", (int)core.node));
	return list;
}

/* "printed": take the lines that the policy has printed too. */
void op_sched_list(struct leatd *leatd, struct client *client, const struct request *req)
{
	json_t *json = json_pack("{s:b, s:o, s:o}", "ok", 1, "policies", policies_json(), "cores",
				 cores_json());
	json_t *lines = json_array();
	char line[LINE_BYTES];
	int64_t n;

	(void)leatd;
	for (unsigned i = 0;
	     json_is_true(json_object_get(req->json, "printed")) && i < PRINTED_MAX &&
	     (n = dataplane_policy_printed(line, sizeof(line))) >= 0;
	     i++)
		json_array_append_new(lines,
				      json_stringn(line, n < LINE_BYTES ? (size_t)n : LINE_BYTES));
	json_object_set_new(json, "printed", lines);
	client_reply(client, json, NULL, 0);
}

/* ---- shares and tags ---- */

static void instance_share(struct leatd *leatd, struct client *client, const struct request *req)
{
	const json_t *tag = json_object_get(req->json, "tag");
	const json_t *weight = json_object_get(req->json, "weight");
	struct instance *inst = request_instance(leatd, client, req);

	if (inst == NULL)
		return;
	if (inst->state != INSTANCE_RUNNING) {
		client_error(client, "cannot change the share of '%s': it has ended", inst->name);
		return;
	}
	if (tag != NULL)
		inst->tag = (uint32_t)json_integer_value(tag);
	if (weight != NULL)
		inst->weight = (uint32_t)json_integer_value(weight);
	dataplane_instance_set_share(inst->dp, inst->tag, instance_function_tag(inst),
				     inst->weight);
	reply_ok(client);
}

static void function_share(struct leatd *leatd, struct client *client, const char *name,
			   const struct request *req)
{
	struct list *pos;

	if (json_object_get(req->json, "weight") != NULL) {
		client_error(client, "cannot give a function a weight: its instances and its "
				     "tenant have one");
		return;
	}
	json_object_set(leatd->function_tags, name, json_object_get(req->json, "tag"));
	list_for_each(pos, &leatd->instances) {
		struct instance *inst = list_entry(pos, struct instance, node);

		if (inst->state == INSTANCE_RUNNING)
			dataplane_instance_set_share(inst->dp, inst->tag,
						     instance_function_tag(inst), inst->weight);
	}
	reply_ok(client);
}

static void tenant_share(struct leatd *leatd, struct client *client, const char *name,
			 const struct request *req)
{
	json_t *shares = json_object_get(leatd->tenant_shares, name);
	const char *kept;
	uint32_t number;

	if (!parse_name_ok(name) || tenant_number(leatd, name, &number, &kept) < 0) {
		client_error(client, "cannot use the tenant '%s'", name);
		return;
	}
	if (shares == NULL) {
		shares = json_pack("{s:i, s:i}", "tag", 0, "weight", (int)SCHED_WEIGHT);
		json_object_set_new(leatd->tenant_shares, name, shares);
	}
	if (json_object_get(req->json, "tag") != NULL)
		json_object_set(shares, "tag", json_object_get(req->json, "tag"));
	if (json_object_get(req->json, "weight") != NULL)
		json_object_set(shares, "weight", json_object_get(req->json, "weight"));
	if (dataplane_tenant_set_share(number,
				       (uint32_t)json_integer_value(json_object_get(shares, "tag")),
				       (uint32_t)json_integer_value(
					       json_object_get(shares, "weight"))) < 0)
		client_error(client, "cannot set the share of '%s': too many tenants", name);
	else
		reply_ok(client);
}

/* kind: instance, tenant or function; its name; a tag, a weight, or both. */
void op_sched_share(struct leatd *leatd, struct client *client, const struct request *req)
{
	const char *kind = json_string_value(json_object_get(req->json, "kind"));
	const char *name = json_string_value(json_object_get(req->json, "name"));
	const json_t *tag = json_object_get(req->json, "tag");
	const json_t *weight = json_object_get(req->json, "weight");

	if (kind == NULL || name == NULL || (tag == NULL && weight == NULL) ||
	    (tag != NULL &&
	     (json_integer_value(tag) < 0 || json_integer_value(tag) > UINT32_MAX)) ||
	    (weight != NULL &&
	     (json_integer_value(weight) < 1 || json_integer_value(weight) > SCHED_WEIGHT_MAX)))
		client_error(client, "cannot understand the request: tags are numbers of 32 bits, "
				     "weights from 1 to 10000");
	else if (strcmp(kind, "tenant") == 0)
		tenant_share(leatd, client, name, req);
	else if (strcmp(kind, "function") == 0)
		function_share(leatd, client, name, req);
	else
		instance_share(leatd, client, req);
}

/* ---- trace ---- */

void op_sched_trace(struct leatd *leatd, struct client *client, const struct request *req)
{
	int fd, r = dataplane_sched_trace_start(&fd);

	(void)leatd;
	(void)req;
	if (r < 0) {
		client_error(client, "cannot trace the scheduler: %s",
			     r == -EBUSY ? "somebody does already" : strerror(-r));
		return;
	}
	client->traces = true;
	client_reply(client, json_pack("{s:b}", "ok", 1), &fd, 1);
}

void client_trace_end(struct client *client)
{
	if (client->traces)
		dataplane_sched_trace_stop();
	client->traces = false;
}
