/*
 * op_filter.c - requests about the filter of a running instance: what it is, what it counted, and
 * what its maps hold.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apps/leatd/leatd.h"
#include "leat/abi/filter.h"

#define DUMP_BYTES 262144U /* of keys and values in one answer */

/* ---- filter show ---- */

static json_t *programs_json(struct ebpf_instance *filter)
{
	const struct ebpf_object *object = ebpf_instance_object(filter);
	json_t *list = json_array();
	const char *name, *section;

	for (uint32_t i = 0; (name = ebpf_object_prog_name(object, i, &section)) != NULL; i++)
		json_array_append_new(list,
				      json_pack("{s:s, s:s, s:I, s:I}", "name", name, "section",
						section, "instructions",
						(json_int_t)ebpf_object_prog_size(object, name),
						"longest_path",
						(json_int_t)ebpf_object_prog_cost(object, name)));
	return list;
}

static json_t *map_json(const struct ebpf_map *map)
{
	struct ebpf_map_info info;

	ebpf_map_info(map, &info);
	return json_pack("{s:s, s:i, s:I, s:I, s:I}", "name", info.name, "type", (int)info.type,
			 "key_size", (json_int_t)info.key_size, "value_size",
			 (json_int_t)info.value_size, "max_entries", (json_int_t)info.max_entries);
}

static json_t *maps_json(struct ebpf_instance *filter)
{
	json_t *list = json_array();
	const struct ebpf_map *map;

	for (uint32_t i = 0; (map = ebpf_instance_map_at(filter, i)) != NULL; i++)
		json_array_append_new(list, map_json(map));
	return list;
}

static json_t *counters_json(struct ebpf_instance *filter)
{
	struct ebpf_map *map = ebpf_instance_map(filter, LEAT_MAP_COUNTERS);
	json_t *list = json_array();
	struct ebpf_map_info info;
	uint64_t value;

	if (map == NULL)
		return list;
	ebpf_map_info(map, &info);
	for (uint32_t i = 0; info.value_size == sizeof(value) && i < info.max_entries; i++)
		if (ebpf_map_lookup(map, &i, &value) == 0)
			json_array_append_new(list, json_integer((json_int_t)value));
	return list;
}

/* Under the dataplane's lock: the filter stays. */
static void show(struct ebpf_instance *filter, void *arg)
{
	json_t *json = arg;

	json_object_set_new(json, "engine",
			    json_string(ebpf_object_engine(ebpf_instance_object(filter))));
	json_object_set_new(json, "programs", programs_json(filter));
	json_object_set_new(json, "maps", maps_json(filter));
	json_object_set_new(json, "counters", counters_json(filter));
}

static json_t *drops_json(const uint64_t drops[DPU_DROP_COUNT])
{
	json_t *json = json_object();

	for (unsigned i = 0; i < DPU_DROP_COUNT; i++)
		if (drops[i] != 0)
			json_object_set_new(json, dpu_drop_name(i),
					    json_integer((json_int_t)drops[i]));
	return json;
}

static struct instance *running_instance(struct leatd *leatd, struct client *client,
					 const struct request *req)
{
	struct instance *inst = request_instance(leatd, client, req);

	if (inst != NULL && inst->state != INSTANCE_RUNNING) {
		client_error(client, "cannot look at the filter of '%s': it has ended", inst->name);
		return NULL;
	}
	return inst;
}

void op_filter_show(struct leatd *leatd, struct client *client, const struct request *req)
{
	struct instance *inst = running_instance(leatd, client, req);
	struct dp_instance_stats *stats;
	json_t *json;

	if (inst == NULL)
		return;
	stats = calloc(1, sizeof(*stats));
	if (stats == NULL) {
		client_error(client, "cannot look at the filter: no memory");
		return;
	}
	dataplane_instance_stats(inst->dp, stats);
	json = json_pack("{s:s, s:b, s:I, s:I, s:o, s:o}", "filter", inst->filter, "signed",
			 leatd->signer != NULL && strcmp(inst->filter, "object") == 0,
			 "egress_runs", (json_int_t)stats->port.egress_runs, "ingress_runs",
			 (json_int_t)stats->port.ingress_runs, "dropped_sent",
			 drops_json(stats->port.drops_tx), "dropped_received",
			 drops_json(stats->port.drops_rx));
	free(stats);
	dataplane_instance_filter_visit(inst->dp, show, json);
	client_reply(client, json_pack("{s:b, s:o}", "ok", 1, "filter", json), NULL, 0);
}

/* ---- maps ---- */

struct map_request {
	const char *action, *map, *key, *value; /* keys and values in hex; NULL: not given */
	json_t *reply;
	int error; /* negative errno */
	const char *problem;
};

static char *hex_of(const uint8_t *bytes, size_t size)
{
	static const char digits[] = "0123456789abcdef";
	char *hex = malloc(2 * size + 1);

	for (size_t i = 0; hex != NULL && i < size; i++) {
		hex[2 * i] = digits[bytes[i] >> 4];
		hex[2 * i + 1] = digits[bytes[i] & 15];
	}
	if (hex != NULL)
		hex[2 * size] = '\0';
	return hex;
}

static int digit_of(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Exactly so many bytes; NULL: not so many, or no hex. */
static uint8_t *bytes_of(const char *hex, size_t size)
{
	uint8_t *bytes = hex != NULL && strlen(hex) == 2 * size ? malloc(size + 1) : NULL;

	for (size_t i = 0; bytes != NULL && i < size; i++) {
		int high = digit_of(hex[2 * i]), low = digit_of(hex[2 * i + 1]);

		if (high < 0 || low < 0) {
			free(bytes);
			return NULL;
		}
		bytes[i] = (uint8_t)(high << 4 | low);
	}
	return bytes;
}

static void put_hex(json_t *json, const char *name, const uint8_t *bytes, size_t size)
{
	char *hex = hex_of(bytes, size);

	if (hex != NULL)
		json_object_set_new(json, name, json_string(hex));
	free(hex);
}

/* Entries behind the key (from the first if none is given), as many as fit into an answer. */
static void map_list(struct map_request *m, struct ebpf_map *map, const struct ebpf_map_info *info)
{
	uint8_t *key = bytes_of(m->key, info->key_size), *next = malloc(info->key_size);
	uint8_t *value = malloc(info->value_size);
	json_t *list = json_array();
	size_t bytes = 0;

	while (next != NULL && value != NULL && bytes < DUMP_BYTES &&
	       ebpf_map_next_key(map, key, next) == 0) {
		uint8_t *swap = key != NULL ? key : malloc(info->key_size);

		key = next;
		next = swap;
		if (ebpf_map_lookup(map, key, value) == 0) {
			json_t *entry = json_object();

			put_hex(entry, "key", key, info->key_size);
			put_hex(entry, "value", value, info->value_size);
			json_array_append_new(list, entry);
			bytes += info->key_size + info->value_size;
		}
	}
	json_object_set_new(m->reply, "entries", list);
	free(key);
	free(next);
	free(value);
}

static void map_get(struct map_request *m, struct ebpf_map *map, const struct ebpf_map_info *info,
		    const uint8_t *key)
{
	uint8_t *value = malloc(info->value_size);

	m->error = value != NULL ? ebpf_map_lookup(map, key, value) : -ENOMEM;
	if (m->error == 0)
		put_hex(m->reply, "value", value, info->value_size);
	free(value);
}

static void map_set(struct map_request *m, struct ebpf_map *map, const struct ebpf_map_info *info,
		    const uint8_t *key)
{
	uint8_t *value = bytes_of(m->value, info->value_size);

	if (strcmp(info->name, LEAT_MAP_IDENTITY) == 0)
		m->problem = "leatd says who the instance is";
	else if (value == NULL)
		m->problem = "a value has another size";
	else
		m->error = ebpf_map_update(map, key, value, 0);
	free(value);
}

static void map_change(struct ebpf_instance *filter, void *arg)
{
	struct map_request *m = arg;
	struct ebpf_map *map = ebpf_instance_map(filter, m->map);
	struct ebpf_map_info info;
	uint8_t *key;

	if (map == NULL) {
		m->problem = "the filter has no such map";
		return;
	}
	m->problem = NULL;
	ebpf_map_info(map, &info);
	json_object_set_new(m->reply, "map", map_json(map));
	if (strcmp(m->action, "list") == 0) {
		map_list(m, map, &info);
		return;
	}
	key = bytes_of(m->key, info.key_size);
	if (key == NULL)
		m->problem = "a key has another size";
	else if (strcmp(m->action, "get") == 0)
		map_get(m, map, &info, key);
	else if (strcmp(m->action, "set") == 0)
		map_set(m, map, &info, key);
	else
		m->error = ebpf_map_delete(map, key);
	free(key);
}

/* action: list, info, get, set or delete. */
void op_map(struct leatd *leatd, struct client *client, const struct request *req)
{
	struct instance *inst = running_instance(leatd, client, req);
	struct map_request m = {
		.action = json_string_value(json_object_get(req->json, "action")),
		.map = json_string_value(json_object_get(req->json, "map")),
		.key = json_string_value(json_object_get(req->json, "key")),
		.value = json_string_value(json_object_get(req->json, "value")),
		.problem = "it has no filter",
	};

	if (inst == NULL)
		return;
	if (m.action == NULL || m.map == NULL) {
		client_error(client, "cannot understand the request: no action or no map");
		return;
	}
	m.reply = json_pack("{s:b}", "ok", 1);
	dataplane_instance_filter_visit(inst->dp, map_change, &m);
	if (m.problem == NULL && m.error == 0) {
		client_reply(client, m.reply, NULL, 0);
		return;
	}
	client_error(client, "cannot %s '%s' of '%s': %s", m.action, m.map, inst->name,
		     m.problem != NULL ? m.problem : strerror(-m.error));
	json_decref(m.reply);
}
