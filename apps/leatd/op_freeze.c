/*
 * op_freeze.c - the request to have an instance stand still while its memory is read: it lasts
 * until the client says thaw, or as long as its connection.
 */
#include <string.h>

#include "apps/leatd/leatd.h"

#define FREEZE_POLL_NS 500000ULL
#define FREEZE_PATIENCE_NS 10000000000ULL

static struct instance *frozen_instance(const struct client *client)
{
	struct instance *inst =
		client->freezes != 0 ? instance_by_id(client->leatd, client->freezes) : NULL;

	return inst != NULL && inst->state == INSTANCE_RUNNING ? inst : NULL;
}

void client_freeze_end(struct client *client)
{
	struct instance *inst = frozen_instance(client);

	loop_timer_cancel(&client->freeze_timer);
	client->freezes = 0;
	if (inst == NULL)
		return;
	dataplane_instance_freeze(inst->dp, 0);
	inst->frozen = false;
}

static const char *result_text(uint32_t result)
{
	switch (result) {
	case ABI_FREEZE_PROCESSES:
		return "it has forked, and a snapshot holds one process";
	case ABI_FREEZE_VOLUMES:
		return "it has a writable volume";
	case ABI_FREEZE_SHARED:
		return "it has shared memory";
	case ABI_FREEZE_FILES:
		return "it uses a file that has been removed on the host";
	default:
		return "the library OS does not say why";
	}
}

static void frozen_reply(struct client *client, struct instance *inst)
{
	char image[2 * sizeof(inst->leatd->image.id) + 1];

	for (unsigned i = 0; i < sizeof(inst->leatd->image.id); i++)
		snprintf(image + (size_t)2 * i, 3, "%02x", inst->leatd->image.id[i]);
	client_reply(client,
		     json_pack("{s:b, s:i, s:i, s:s, s:O}", "ok", 1, "pid", (int)inst->pid, "vcpus",
			       (int)inst->nr_vcpus, "image", image, "request", inst->request),
		     NULL, 0);
}

static void freeze_due(struct loop_timer *timer)
{
	struct client *client = container_of(timer, struct client, freeze_timer);
	struct instance *inst = frozen_instance(client);
	const struct abi_instance *block = inst != NULL ? dataplane_instance_block(inst->dp) : NULL;

	if (inst == NULL) {
		client->freezes = 0;
		client_error(client, "cannot snapshot: the instance has ended");
	} else if (__atomic_load_n(&block->frozen, __ATOMIC_ACQUIRE) == inst->freeze_number) {
		/* The acquire pairs with the library OS's release: the result is there. */
		uint32_t result = block->frozen_result;

		if (result == ABI_FREEZE_DONE) {
			frozen_reply(client, inst);
			return;
		}
		client_error(client, "cannot snapshot '%s': %s", inst->name, result_text(result));
		client_freeze_end(client);
	} else if (loop_now_ns() > client->freeze_until_ns) {
		client_error(client, "cannot snapshot '%s': it does not come to rest", inst->name);
		client_freeze_end(client);
	} else {
		loop_timer_arm(&client->leatd->loop, timer, loop_now_ns() + FREEZE_POLL_NS);
	}
}

void op_freeze(struct leatd *leatd, struct client *client, const struct request *req)
{
	struct instance *inst = request_instance(leatd, client, req);

	if (inst == NULL)
		return;
	if (inst->state != INSTANCE_RUNNING) {
		client_error(client, "cannot snapshot '%s': it has ended", inst->name);
		return;
	}
	if (inst->frozen || client->freezes != 0) {
		client_error(client, "cannot snapshot '%s': somebody does already", inst->name);
		return;
	}
	inst->frozen = true;
	inst->freeze_number = inst->freeze_number == UINT32_MAX ? 1 : inst->freeze_number + 1;
	client->freezes = inst->id;
	client->freeze_timer.due = freeze_due;
	client->freeze_until_ns = loop_now_ns() + FREEZE_PATIENCE_NS;
	dataplane_instance_freeze(inst->dp, inst->freeze_number);
	loop_timer_arm(&leatd->loop, &client->freeze_timer, loop_now_ns() + FREEZE_POLL_NS);
}

void op_thaw(struct leatd *leatd, struct client *client, const struct request *req)
{
	(void)leatd;
	(void)req;
	client_freeze_end(client);
	client_reply(client, json_pack("{s:b}", "ok", 1), NULL, 0);
}
