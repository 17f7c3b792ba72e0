/*
 * op_change.c - requests that change an instance: signal, stop, rm, filter.
 */
#include <signal.h>
#include <string.h>

#include "apps/leatd/leatd.h"

#define ERROR_MAX 8192
#define STOP_MS_DEFAULT 10000
#define STOP_MS_MAX 3600000

static void reply_ok(struct client *client)
{
	client_reply(client, json_pack("{s:b}", "ok", 1), NULL, 0);
}

/* Without an answer: a foreground leat sends these while it waits for the end. */
void op_signal(struct leatd *leatd, struct client *client, const struct request *req)
{
	json_int_t sig = json_integer_value(json_object_get(req->json, "signal"));
	bool quiet = json_is_true(json_object_get(req->json, "quiet"));
	struct instance *inst;

	if (quiet) {
		const char *name = json_string_value(json_object_get(req->json, "name"));

		inst = name != NULL ? instance_find(leatd, name) : NULL;
	} else {
		inst = request_instance(leatd, client, req);
	}
	if (inst == NULL)
		return;
	if (sig < 1 || sig > 64) {
		client_error(client, "cannot send signal %d: 1 to 64", (int)sig);
		return;
	}
	if (inst->state != INSTANCE_RUNNING && !quiet) {
		client_error(client, "cannot signal '%s': it has ended", inst->name);
		return;
	}
	instance_signal(inst, (int)sig);
	if (!quiet)
		reply_ok(client);
}

void op_stop(struct leatd *leatd, struct client *client, const struct request *req)
{
	struct instance *inst = request_instance(leatd, client, req);
	const json_t *timeout = json_object_get(req->json, "timeout_ms");
	json_int_t ms = json_is_integer(timeout) ? json_integer_value(timeout) : STOP_MS_DEFAULT;

	if (inst == NULL)
		return;
	if (inst->state == INSTANCE_EXITED) {
		reply_ok(client);
		return;
	}
	if (ms < 0 || ms > STOP_MS_MAX)
		ms = STOP_MS_DEFAULT;
	client->waiting = inst;
	instance_stop(inst, (uint64_t)ms * 1000000ULL);
}

void op_rm(struct leatd *leatd, struct client *client, const struct request *req)
{
	struct instance *inst = request_instance(leatd, client, req);

	if (inst == NULL)
		return;
	if (inst->state == INSTANCE_RUNNING) {
		if (!json_is_true(json_object_get(req->json, "force"))) {
			client_error(client,
				     "cannot remove '%s': it runs; leat stop it first, or use -f",
				     inst->name);
			return;
		}
		inst->detached = false; /* goes when it has ended */
		client->waiting = inst;
		instance_signal(inst, SIGKILL);
		return;
	}
	instance_remove(inst);
	reply_ok(client);
	leatd_idle_check(leatd);
}

void op_filter(struct leatd *leatd, struct client *client, const struct request *req)
{
	struct instance *inst = request_instance(leatd, client, req);
	const char *kind = json_string_value(json_object_get(req->json, "filter"));
	char error[ERROR_MAX];

	if (inst == NULL)
		return;
	if (inst->state != INSTANCE_RUNNING || kind == NULL) {
		client_error(client, "cannot set the filter of '%s': it has ended", inst->name);
		return;
	}
	const struct filter_source source = {.kind = kind,
					     .object_fd = req->nr_fds > 0 ? req->fds[0] : -1,
					     .signature_fd = req->nr_fds > 1 ? req->fds[1] : -1,
					     .tenant = inst->tenant};

	if (instance_set_filter(inst, &source, error, sizeof(error)) < 0)
		client_error(client, "%s", error);
	else
		reply_ok(client);
}
