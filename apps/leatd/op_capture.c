/*
 * op_capture.c - the request to watch an instance's packets: it lasts as long as its connection.
 */
#include <errno.h>
#include <string.h>

#include "apps/leatd/leatd.h"

#define SNAP_MAX 262144

void op_capture(struct leatd *leatd, struct client *client, const struct request *req)
{
	struct instance *inst = request_instance(leatd, client, req);
	json_int_t snap = json_integer_value(json_object_get(req->json, "snap"));
	int fd, r;

	if (inst == NULL)
		return;
	if (inst->state != INSTANCE_RUNNING) {
		client_error(client, "cannot capture from '%s': it has ended", inst->name);
		return;
	}
	if (snap < 1 || snap > SNAP_MAX)
		snap = SNAP_MAX;
	r = dataplane_instance_capture_start(inst->dp, (uint32_t)snap, &fd);
	if (r < 0) {
		client_error(client, "cannot capture from '%s': %s", inst->name,
			     r == -EBUSY ? "somebody does already" : strerror(-r));
		return;
	}
	client->captures = inst->id;
	client_reply(client, json_pack("{s:b}", "ok", 1), &fd, 1);
}

void client_capture_end(struct client *client)
{
	struct instance *inst =
		client->captures != 0 ? instance_by_id(client->leatd, client->captures) : NULL;

	if (inst != NULL && inst->state == INSTANCE_RUNNING)
		dataplane_instance_capture_stop(inst->dp);
	client->captures = 0;
}
