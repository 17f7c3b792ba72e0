/*
 * op_run.c - the request to run a program: from JSON to an instance.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apps/common/snapshot.h"
#include "apps/common/text.h"
#include "apps/leatd/leatd.h"

#define ERROR_MAX 8192
#define NOFILE_DEFAULT 1048576U
#define STACK_DEFAULT (8U << 20)
#define START_POLL_NS 1000000ULL /* of a detached start */
#define CLONE_POLL_NS 200000ULL  /* of a clone: whoever waits for it wants it at once */
#define START_PATIENCE_NS 2000000000ULL

static const char *const role_names[ROLE_COUNT] = {"stdin",  "stdout",    "stderr",
						   "root",   "exec",      "cwd",
						   "filter", "signature", "snapshot"};

/* A list of strings with NULL at the end, in one piece; NULL: no list of strings. */
static char **strings_of(const json_t *list)
{
	size_t n = json_array_size(list), bytes = (n + 1) * sizeof(char *);
	char **v, *text;

	if (!json_is_array(list))
		return NULL;
	for (size_t i = 0; i < n; i++) {
		if (!json_is_string(json_array_get(list, i)))
			return NULL;
		bytes += json_string_length(json_array_get(list, i)) + 1;
	}
	v = calloc(1, bytes);
	if (v == NULL)
		return NULL;
	text = (char *)(v + n + 1);
	for (size_t i = 0; i < n; i++) {
		v[i] = text;
		text_to_bytes(json_string_value(json_array_get(list, i)), text);
		text += strlen(text) + 1;
	}
	return v;
}

/* The same of one path; NULL: no string. */
static char *path_of(const json_t *json)
{
	char *path = json_is_string(json) ? strdup(json_string_value(json)) : NULL;

	if (path != NULL)
		text_to_bytes(path, path);
	return path;
}

static int fd_of(const struct request *req, const json_t *index)
{
	json_int_t i = json_is_integer(index) ? json_integer_value(index) : -1;

	return i >= 0 && (unsigned)i < req->nr_fds ? req->fds[i] : -1;
}

static uint64_t number_of(const json_t *json, const char *key, uint64_t none)
{
	const json_t *value = json_object_get(json, key);

	return json_is_integer(value) && json_integer_value(value) >= 0 ?
		       (uint64_t)json_integer_value(value) :
		       none;
}

static int volumes_of(const struct request *req, struct instance_spec *spec)
{
	const json_t *list = json_object_get(req->json, "volumes");
	size_t n = json_array_size(list);

	if (n > ABI_MAX_VOLUMES)
		return -E2BIG;
	for (size_t i = 0; i < n; i++) {
		const json_t *v = json_array_get(list, i);

		spec->volumes[i].fd = fd_of(req, json_object_get(v, "fd"));
		spec->volumes[i].dst = json_string_value(json_object_get(v, "dst"));
		spec->volumes[i].read_only = json_is_true(json_object_get(v, "ro"));
		if (spec->volumes[i].fd < 0 || spec->volumes[i].dst == NULL ||
		    spec->volumes[i].dst[0] != '/')
			return -EINVAL;
	}
	spec->nr_volumes = (unsigned)n;
	return 0;
}

static int ports_of(const json_t *json, struct instance_spec *spec)
{
	const json_t *list = json_object_get(json, "ports");
	size_t n = json_array_size(list);

	if (n > INSTANCE_PORTS_MAX)
		return -E2BIG;
	for (size_t i = 0; i < n; i++) {
		const char *text = json_string_value(json_array_get(list, i));

		if (text == NULL || parse_publish(text, &spec->ports[i]) < 0)
			return -EINVAL;
	}
	spec->nr_ports = (unsigned)n;
	return 0;
}

static int texts_of(const json_t *json, struct instance_spec *spec)
{
	const char *ip = json_string_value(json_object_get(json, "ip"));

	spec->name = json_string_value(json_object_get(json, "name"));
	spec->program = path_of(json_object_get(json, "program"));
	spec->cwd = path_of(json_object_get(json, "cwd"));
	spec->hostname = json_string_value(json_object_get(json, "hostname"));
	spec->filter = json_string_value(json_object_get(json, "filter"));
	spec->argv = strings_of(json_object_get(json, "argv"));
	spec->envp = strings_of(json_object_get(json, "env"));
	if (ip != NULL && inet_pton(AF_INET, ip, &spec->ip_be) != 1 &&
	    inet_pton(AF_INET6, ip, spec->ip6) != 1)
		return -EINVAL;
	if (spec->program == NULL || spec->cwd == NULL || spec->filter == NULL ||
	    spec->argv == NULL || spec->argv[0] == NULL || spec->envp == NULL)
		return -EINVAL;
	return 0;
}

static int user_of(const json_t *json, struct launch_user *user)
{
	const json_t *list = json_object_get(json, "groups");

	user->uid = (uint32_t)number_of(json, "uid", 0);
	user->gid = (uint32_t)number_of(json, "gid", 0);
	if (json_array_size(list) > ABI_MAX_GROUPS)
		return -E2BIG;
	user->nr_groups = (unsigned)json_array_size(list);
	for (unsigned i = 0; i < user->nr_groups; i++)
		user->groups[i] = (uint32_t)json_integer_value(json_array_get(list, i));
	return 0;
}

/* The tag "word": what filters and policies see, a number; 0: there is none. */
static int tag_of(const json_t *json, uint32_t *ret_tag)
{
	const char *text =
		json_string_value(json_object_get(json_object_get(json, "tags"), "word"));
	uint64_t word = 0;

	if (text != NULL && parse_number(text, 0, UINT32_MAX, &word) < 0)
		return -EINVAL;
	*ret_tag = (uint32_t)word;
	return 0;
}

static int share_of(const json_t *json, struct instance_spec *spec)
{
	spec->cpus = (unsigned)number_of(json, "cpus", 0);
	spec->guaranteed = (unsigned)number_of(json, "guaranteed", 0);
	spec->weight = (uint32_t)number_of(json, "weight", 0);
	if (spec->cpus > ABI_MAX_VCPUS || spec->weight > SCHED_WEIGHT_MAX ||
	    (spec->guaranteed && spec->guaranteed > spec->cpus))
		return -EINVAL;
	return tag_of(json, &spec->tag);
}

/* 0, or -EINVAL: leat would not send that. argv and envp are to be freed in any case. */
static int spec_parse(const struct request *req, struct instance_spec *spec)
{
	const json_t *json = req->json, *roles = json_object_get(json, "fds");
	int r = texts_of(json, spec);

	spec->request = req->json;
	spec->memory_bytes = number_of(json, "memory", 0);
	spec->umask = (uint32_t)number_of(json, "umask", 022);
	spec->nofile = (uint32_t)number_of(json, "nofile", NOFILE_DEFAULT);
	spec->stack_bytes = number_of(json, "stack", STACK_DEFAULT);
	spec->detach = json_is_true(json_object_get(json, "detach"));
	spec->trace = json_is_true(json_object_get(json, "trace"));
	spec->tenant = json_string_value(json_object_get(json, "tenant"));
	if (spec->tenant == NULL)
		spec->tenant = TENANT_DEFAULT;
	if (!parse_name_ok(spec->tenant) ||
	    limits_of(json_object_get(json, "limits"), &spec->limits) < 0)
		r = -EINVAL;
	for (unsigned i = 0; i < ROLE_COUNT; i++)
		spec->fds[i] = fd_of(req, json_object_get(roles, role_names[i]));
	for (unsigned i = ROLE_STDIN; i <= ROLE_ROOT; i++)
		if (spec->fds[i] < 0)
			r = -EINVAL;
	if (share_of(json, spec) < 0 || user_of(json, &spec->user) < 0)
		r = -EINVAL;
	if (r == 0)
		r = volumes_of(req, spec);
	return r < 0 ? r : ports_of(json, spec);
}

/* A clone has as many vcpus as the snapshot. */
static int snapshot_of(const struct leatd *leatd, struct instance_spec *spec, char *error,
		       size_t size)
{
	struct abi_snapshot head;
	int r;

	if (spec->fds[ROLE_SNAPSHOT] < 0)
		return 0;
	r = snapshot_head_check(spec->fds[ROLE_SNAPSHOT], leatd->image.id, &head, error, size);
	if (r == 0)
		spec->cpus = head.nr_vcpus;
	return r;
}

static json_t *started_reply(const struct instance *inst)
{
	char ip[INET_ADDRSTRLEN];

	inet_ntop(AF_INET, &inst->ip_be, ip, sizeof(ip));
	return json_pack("{s:b, s:s, s:i, s:s}", "ok", 1, "name", inst->name, "id", (int)inst->id,
			 "ip", ip);
}

static void start_poll(struct instance *inst)
{
	loop_timer_arm(&inst->leatd->loop, &inst->start_timer,
		       loop_now_ns() + (inst->clone ? CLONE_POLL_NS : START_POLL_NS));
}

/* Answers those who wait for a detached start, or for a clone, once the program runs. */
static void start_due(struct loop_timer *timer)
{
	struct instance *inst = container_of(timer, struct instance, start_timer);
	const struct abi_instance *block = dataplane_instance_block(inst->dp);
	struct list *pos;

	/* Acquire pairs with the library OS's release. */
	if (__atomic_load_n(&block->state, __ATOMIC_ACQUIRE) == ABI_STATE_BOOT &&
	    loop_now_ns() - inst->started_ns < START_PATIENCE_NS) {
		start_poll(inst);
		return;
	}
	list_for_each(pos, &inst->leatd->clients) {
		struct client *client = list_entry(pos, struct client, node);

		if (client->waiting != inst)
			continue;
		if (inst->detached)
			client->waiting = NULL;
		client_reply(client, started_reply(inst), NULL, 0);
	}
}

void op_run(struct leatd *leatd, struct client *client, const struct request *req)
{
	struct instance_spec spec = {0};
	char error[ERROR_MAX] = "cannot start: out of memory";
	struct instance *inst;
	int r = spec_parse(req, &spec);

	if (r < 0) {
		client_error(
			client,
			"cannot understand the request: leat and leatd are of different versions");
	} else if (snapshot_of(leatd, &spec, error, sizeof(error)) < 0) {
		client_error(client, "%s", error);
	} else if (instance_create(leatd, &spec, error, sizeof(error), &inst) < 0) {
		client_error(client, "%s", error);
	} else {
		client->waiting = inst;
		client->owner = !spec.detach;
		inst->start_timer.due = start_due;
		inst->clone = spec.fds[ROLE_SNAPSHOT] >= 0;
		if (spec.detach || inst->clone)
			start_poll(inst);
		else
			client_reply(client, started_reply(inst), NULL, 0);
	}
	free(spec.argv);
	free(spec.envp);
	free(spec.program);
	free(spec.cwd);
}
