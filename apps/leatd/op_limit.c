/*
 * op_limit.c - what an instance may send and receive a second: from and to JSON, and the request to
 * change it. Bits in requests, bytes in the DPU.
 */
#include <errno.h>
#include <string.h>

#include "apps/leatd/leatd.h"

#define BURST_MAX ((json_int_t)8 << 20) /* DPU_LIMIT_BURST_MAX, in each unit of the DPU's */

/* A number that is there replaces *inout; 0 or -EINVAL. */
static int take(const json_t *json, const char *key, json_int_t divisor, json_int_t max,
		uint64_t *inout)
{
	const json_t *value = json_object_get(json, key);
	json_int_t n = json_integer_value(value);

	if (value == NULL)
		return 0;
	if (!json_is_integer(value) || n < 0 || n / divisor > max)
		return -EINVAL;
	/* a limit too small for the unit is a limit all the same */
	*inout = (uint64_t)(n > 0 && n < divisor ? 1 : n / divisor);
	return 0;
}

int limits_of(const json_t *json, struct dpu_limits *inout)
{
	struct dpu_limits limits = *inout;
	int r;

	if (json == NULL)
		return 0;
	/* a new rate comes with its own burst, or the default one */
	if (json_object_get(json, "pps") != NULL)
		limits.pps_burst = 0;
	if (json_object_get(json, "bps") != NULL)
		limits.bytes_burst = 0;
	r = take(json, "pps", 1, DPU_LIMIT_MAX, &limits.pps);
	if (r == 0)
		r = take(json, "pps_burst", 1, BURST_MAX, &limits.pps_burst);
	if (r == 0)
		r = take(json, "bps", 8, DPU_LIMIT_MAX, &limits.bytes_per_s);
	if (r == 0)
		r = take(json, "bps_burst", 8, BURST_MAX, &limits.bytes_burst);
	if (r == 0)
		*inout = limits;
	return r;
}

json_t *limits_json(const struct dpu_limits *limits)
{
	json_t *json = json_object();

	if (limits->pps != 0) {
		json_object_set_new(json, "pps", json_integer((json_int_t)limits->pps));
		json_object_set_new(json, "pps_burst", json_integer((json_int_t)limits->pps_burst));
	}
	if (limits->bytes_per_s != 0) {
		json_object_set_new(json, "bps", json_integer((json_int_t)limits->bytes_per_s * 8));
		json_object_set_new(json, "bps_burst",
				    json_integer((json_int_t)limits->bytes_burst * 8));
	}
	return json;
}

void op_limit(struct leatd *leatd, struct client *client, const struct request *req)
{
	struct instance *inst = request_instance(leatd, client, req);
	struct dpu_limits limits;
	int r;

	if (inst == NULL)
		return;
	if (inst->state != INSTANCE_RUNNING) {
		client_error(client, "cannot limit '%s': it has ended", inst->name);
		return;
	}
	limits = inst->limits;
	r = limits_of(json_object_get(req->json, "limits"), &limits);
	if (r == 0)
		r = dataplane_instance_set_limits(inst->dp, &limits);
	if (r < 0) {
		client_error(client, "cannot limit '%s': %s", inst->name, strerror(-r));
		return;
	}
	inst->limits = limits;
	client_reply(client, json_pack("{s:b}", "ok", 1), NULL, 0);
}
