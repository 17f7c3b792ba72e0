/*
 * op_list.c - requests that look: ps, inspect, logs, uplink.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "apps/leatd/leatd.h"
#include "apps/leatd/sandbox.h"
#include "leat/abi/filter.h"

/* The instance that the request names; NULL: the client has been told. */
struct instance *request_instance(struct leatd *leatd, struct client *client,
				  const struct request *req)
{
	const char *name = json_string_value(json_object_get(req->json, "name"));
	struct instance *inst = name != NULL ? instance_find(leatd, name) : NULL;

	if (inst == NULL)
		client_error(client, "cannot find an instance '%s'; leat ps -a lists all",
			     name != NULL ? name : "");
	return inst;
}

static json_t *exit_json(const struct instance *inst)
{
	if (inst->state != INSTANCE_EXITED)
		return json_null();
	return json_integer(WIFEXITED(inst->status) ? WEXITSTATUS(inst->status) :
						      128 + WTERMSIG(inst->status));
}

static json_t *instance_json(const struct instance *inst)
{
	bool running = inst->state == INSTANCE_RUNNING;
	uint64_t end_ns = running ? loop_now_ns() : inst->exited_ns;
	char ip[INET_ADDRSTRLEN] = "", ip6[INET6_ADDRSTRLEN] = "";

	if (running) {
		inet_ntop(AF_INET, &inst->ip_be, ip, sizeof(ip));
		inet_ntop(AF_INET6, inst->ip6, ip6, sizeof(ip6));
	}
	return json_pack(
		"{s:s, s:i, s:s, s:s, s:s, s:s, s:i, s:i, s:i, s:i, s:I, s:I, s:o, s:s, s:I, s:f, "
		"s:O, s:O, s:O}",
		"name", inst->name, "id", (int)inst->id, "state", running ? "running" : "exited",
		"ip", ip, "ip6", ip6, "tenant", inst->tenant_name, "pid",
		running ? (int)inst->pid : 0, "cpus", (int)inst->nr_vcpus, "guaranteed_cpus",
		(int)inst->guaranteed, "weight", (int)inst->weight, "tag_word",
		(json_int_t)inst->tag, "memory", (json_int_t)inst->memory_bytes, "exit_code",
		exit_json(inst), "reason", inst->reason, "started", (json_int_t)inst->started_time,
		"age", (double)(end_ns - inst->started_ns) / 1e9, "command",
		json_object_get(inst->request, "argv"), "ports",
		json_object_get(inst->request, "ports"), "tags",
		json_object_get(inst->request, "tags"));
}

void op_ps(struct leatd *leatd, struct client *client, const struct request *req)
{
	json_t *list = json_array();
	struct list *pos;

	(void)req;
	list_for_each(pos, &leatd->instances) {
		const struct instance *inst = list_entry(pos, struct instance, node);

		if (!inst->removed)
			json_array_append_new(list, instance_json(inst));
	}
	client_reply(client, json_pack("{s:b, s:o}", "ok", 1, "instances", list), NULL, 0);
}

/* ---- inspect ---- */

json_t *drops_json(const uint64_t drops[DPU_DROP_COUNT], bool all)
{
	json_t *json = json_object();

	for (unsigned i = 0; i < DPU_DROP_COUNT; i++)
		if (all || drops[i] != 0)
			json_object_set_new(json, dpu_drop_name(i),
					    json_integer((json_int_t)drops[i]));
	return json;
}

json_t *packets_json(const struct dpu_port_stats *port)
{
	return json_pack("{s:I, s:I, s:o, s:o}", "egress_runs", (json_int_t)port->egress_runs,
			 "ingress_runs", (json_int_t)port->ingress_runs, "dropped_sent",
			 drops_json(port->drops_tx, false), "dropped_received",
			 drops_json(port->drops_rx, false));
}

static json_t *queue_json(const struct dp_instance_stats *stats, unsigned i)
{
	const struct dpu_queue_stats *q = &stats->queue[i];
	const struct sched_vcpu_stats *v = &stats->vcpu[i];

	return json_pack(
		"{s:i, s:I, s:I, s:I, s:I, s:I, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}",
		"vcpu", (int)i, "tx_packets", (json_int_t)q->tx_packets, "tx_bytes",
		(json_int_t)q->tx_bytes, "rx_packets", (json_int_t)q->rx_packets, "rx_bytes",
		(json_int_t)q->rx_bytes, "tx_waits", (json_int_t)q->tx_waits, "tx_state",
		dpu_reason_name(q->tx_reason), "rx_state", dpu_reason_name(q->rx_reason), "grants",
		(json_int_t)v->grants, "preempts", (json_int_t)v->preempts, "evictions",
		(json_int_t)v->evictions, "demotions", (json_int_t)v->demotions, "moves",
		(json_int_t)v->moves, "core_ns", (json_int_t)v->cpu_ns, "delay_ns",
		(json_int_t)(v->grants != 0 ? v->delay_ns_sum / v->grants : 0), "delay_ns_max",
		(json_int_t)v->delay_ns_max);
}

json_t *queues_json(const struct dp_instance_stats *stats)
{
	json_t *queues = json_array();

	for (unsigned i = 0; i < stats->nr_vcpus; i++)
		json_array_append_new(queues, queue_json(stats, i));
	return queues;
}

static json_t *library_os_json(const struct abi_instance *block)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I}", "calls", (json_int_t)block->calls, "trapped",
			 (json_int_t)block->traps, "forks", (json_int_t)block->forks, "arena_bytes",
			 (json_int_t)block->arena_bytes, "store_bytes",
			 (json_int_t)block->store_bytes);
}

static void add_running(json_t *json, struct instance *inst)
{
	struct dp_instance_stats *stats = calloc(1, sizeof(*stats));
	const struct abi_instance *block = dataplane_instance_block(inst->dp);
	json_t *queues = NULL, *limits = NULL;
	uint8_t mac[6];
	char text[24];

	if (stats != NULL) {
		dataplane_instance_stats(inst->dp, stats);
		queues = queues_json(stats);
		json_object_set_new(json, "packets", packets_json(&stats->port));
		limits = limits_json(&stats->limits);
	}
	free(stats);
	ipam_mac(inst->id, mac);
	snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2],
		 mac[3], mac[4], mac[5]);
	json_object_set_new(json, "mac", json_string(text));
	json_object_set_new(json, "uid",
			    json_integer(inst->leatd->state.uid_low + inst->uid_index));
	json_object_set_new(json, "limits", limits);
	json_object_set_new(json, "queues", queues);
	json_object_set_new(json, "library_os", library_os_json(block));
	json_object_set_new(
		json, "start_us",
		json_integer(block->started_ns > inst->started_ns ?
				     (json_int_t)((block->started_ns - inst->started_ns) / 1000) :
				     0));
}

void op_inspect(struct leatd *leatd, struct client *client, const struct request *req)
{
	struct instance *inst = request_instance(leatd, client, req);
	char *sandbox = NULL;
	json_t *json;

	if (inst == NULL)
		return;
	json = instance_json(inst);
	json_object_set_new(json, "filter", json_string(inst->filter));
	json_object_set(json, "image", json_object_get(inst->request, "image"));
	if (inst->state == INSTANCE_RUNNING)
		add_running(json, inst);
	if (sandbox_describe(inst->sandbox, &sandbox) == 0)
		json_object_set_new(json, "sandbox", json_string(sandbox));
	free(sandbox);
	client_reply(client, json_pack("{s:b, s:o}", "ok", 1, "instance", json), NULL, 0);
}

void op_logs(struct leatd *leatd, struct client *client, const struct request *req)
{
	struct instance *inst = request_instance(leatd, client, req);
	int fds[2], sent[2];
	unsigned nr = 0;

	if (inst == NULL)
		return;
	if (!inst->detached) {
		client_error(client,
			     "cannot show the log of '%s': it runs in the foreground and "
			     "prints to its own terminal",
			     inst->name);
		return;
	}
	output_drain(&inst->output);
	output_open(&inst->output, fds);
	for (int i = 0; i < 2; i++)
		if (fds[i] >= 0)
			sent[nr++] = fds[i];
	client_reply(client,
		     json_pack("{s:b, s:b}", "ok", 1, "running", inst->state == INSTANCE_RUNNING),
		     sent, nr);
	for (unsigned i = 0; i < nr; i++)
		close(sent[i]);
}

/* The uplink's network namespace, from which instances are reached at their own addresses. */
void op_uplink(struct leatd *leatd, struct client *client, const struct request *req)
{
	int fd = dataplane_uplink_netns();

	(void)leatd;
	(void)req;
	if (fd < 0)
		client_error(client, "cannot reach the instances' network: %s", strerror(-fd));
	else
		client_reply(client, json_pack("{s:b}", "ok", 1), &fd, 1);
}
