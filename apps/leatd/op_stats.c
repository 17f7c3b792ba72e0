/*
 * op_stats.c - the request for everybody's counters: cores, uplink, instances, a page at a time.
 */
#include <arpa/inet.h>
#include <stdlib.h>

#include "apps/leatd/leatd.h"

#define PAGE 500U /* instances in one message, which has a greatest length */

static json_t *core_json(unsigned cpu)
{
	static const char *const states[] = {
		[ABI_DP_ABSENT] = "absent",
		[ABI_DP_POLL] = "polls",
		[ABI_DP_YIELD] = "yields",
		[ABI_DP_SLEEP] = "sleeps",
	};
	struct abi_core core;

	dataplane_core_get(cpu, &core);
	if (core.state == ABI_DP_ABSENT || core.state > ABI_DP_SLEEP)
		return NULL;
	return json_pack("{s:i, s:s, s:i, s:i}", "cpu", (int)cpu, "state", states[core.state],
			 "grants", (int)core.grants, "waiting", (int)core.waiting);
}

static json_t *cores_json(void)
{
	json_t *list = json_array();

	for (unsigned cpu = 0; cpu < ABI_MAX_CORES; cpu++) {
		json_t *core = core_json(cpu);

		if (core != NULL)
			json_array_append_new(list, core);
	}
	return list;
}

static json_t *uplink_json(void)
{
	struct dpu_uplink_stats stats;

	dataplane_uplink_stats(&stats);
	return json_pack("{s:I, s:I, s:I, s:I, s:o}", "tx_packets", (json_int_t)stats.tx_packets,
			 "tx_bytes", (json_int_t)stats.tx_bytes, "rx_packets",
			 (json_int_t)stats.rx_packets, "rx_bytes", (json_int_t)stats.rx_bytes,
			 "drops", drops_json(stats.drops, true));
}

/* The sums over queues and vcpus. */
static json_t *instance_stats_json(const struct instance *inst, struct dp_instance_stats *stats)
{
	struct dpu_queue_stats sum = {0};
	uint64_t grants = 0, delay_ns = 0;
	char ip[INET_ADDRSTRLEN];

	dataplane_instance_stats(inst->dp, stats);
	for (unsigned i = 0; i < stats->nr_vcpus; i++) {
		sum.tx_packets += stats->queue[i].tx_packets;
		sum.tx_bytes += stats->queue[i].tx_bytes;
		sum.rx_packets += stats->queue[i].rx_packets;
		sum.rx_bytes += stats->queue[i].rx_bytes;
		sum.tx_waits += stats->queue[i].tx_waits;
		grants += stats->vcpu[i].grants;
		delay_ns += stats->vcpu[i].delay_ns_sum;
	}
	inet_ntop(AF_INET, &inst->ip_be, ip, sizeof(ip));
	return json_pack("{s:s, s:i, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:i, s:o, s:o}",
			 "name", inst->name, "id", (int)inst->id, "tenant", inst->tenant_name, "ip",
			 ip, "tx_packets", (json_int_t)sum.tx_packets, "tx_bytes",
			 (json_int_t)sum.tx_bytes, "rx_packets", (json_int_t)sum.rx_packets,
			 "rx_bytes", (json_int_t)sum.rx_bytes, "tx_waits", (json_int_t)sum.tx_waits,
			 "grants", (json_int_t)grants, "delay_ns", (json_int_t)delay_ns, "cores",
			 (int)stats->nr_held, "drops_sent", drops_json(stats->port.drops_tx, true),
			 "drops_received", drops_json(stats->port.drops_rx, true));
}

/* "after": the number of the last instance of the page before. They are listed oldest first. */
void op_stats(struct leatd *leatd, struct client *client, const struct request *req)
{
	json_int_t after = json_integer_value(json_object_get(req->json, "after"));
	struct dp_instance_stats *stats = calloc(1, sizeof(*stats));
	json_t *list = json_array();
	bool more = false, started = after == 0;
	struct list *pos;

	list_for_each(pos, &leatd->instances) {
		struct instance *inst = list_entry(pos, struct instance, node);

		if (started && stats != NULL && inst->state == INSTANCE_RUNNING) {
			more = json_array_size(list) == PAGE;
			if (more)
				break;
			json_array_append_new(list, instance_stats_json(inst, stats));
		}
		started |= (json_int_t)inst->id == after;
	}
	free(stats);
	client_reply(client,
		     json_pack("{s:b, s:I, s:b, s:o, s:o, s:o}", "ok", 1, "now_ns",
			       (json_int_t)loop_now_ns(), "more", more, "cores", cores_json(),
			       "uplink", uplink_json(), "instances", list),
		     NULL, 0);
}
