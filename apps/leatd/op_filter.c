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
#include "leat/base/bits.h"

#define DUMP_BYTES 262144U  /* of keys and values in one answer */
#define RECORD_BYTES 65536U /* of a record of a ring; the rest of a longer one is lost */

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
			 drops_json(stats->port.drops_tx, false), "dropped_received",
			 drops_json(stats->port.drops_rx, false));
	free(stats);
	dataplane_instance_filter_visit(inst->dp, show, json);
	client_reply(client, json_pack("{s:b, s:o}", "ok", 1, "filter", json), NULL, 0);
}

/* ---- maps ---- */

struct map_request {
	const char *action, *map, *key, *value; /* keys and values in hex; NULL: not given */
	const char *inner;                      /* the map at this key of the map of maps */
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

/* The value at a key: one, or one for each dataplane thread. 0 or a negative errno. */
static int put_value(json_t *json, struct ebpf_map *map, const struct ebpf_map_info *info,
		     const uint8_t *key)
{
	uint8_t *value = malloc(info->value_size);
	json_t *values = info->copies > 1 ? json_array() : NULL;
	int r = value != NULL ? 0 : -ENOMEM;

	for (uint32_t copy = 0; copy < info->copies && r == 0; copy++) {
		char *hex = NULL;

		r = ebpf_map_lookup_copy(map, key, copy, value);
		if (r == 0 && values != NULL)
			json_array_append_new(values,
					      json_string(hex = hex_of(value, info->value_size)));
		else if (r == 0)
			put_hex(json, "value", value, info->value_size);
		free(hex);
	}
	if (r == 0 && values != NULL)
		json_object_set(json, "values", values);
	json_decref(values);
	free(value);
	return r;
}

/* One entry; NULL: it went away, or there is no map at this key of a map of maps. */
static json_t *entry_json(struct ebpf_map *map, const struct ebpf_map_info *info,
			  const uint8_t *key)
{
	json_t *entry = json_object();
	int r = 0;

	put_hex(entry, "key", key, info->key_size);
	if (ebpf_map_inner(map, key) != NULL)
		json_object_set_new(entry, "value", json_string("map"));
	else
		r = put_value(entry, map, info, key);
	if (r == 0)
		return entry;
	json_decref(entry);
	return NULL;
}

/* Entries behind the key (from the first if none is given), as many as fit into an answer. */
static void map_list(struct map_request *m, struct ebpf_map *map, const struct ebpf_map_info *info)
{
	uint8_t *key = bytes_of(m->key, info->key_size), *next = malloc(info->key_size);
	json_t *list = json_array(), *entry;
	size_t bytes = 0;

	while (next != NULL && bytes < DUMP_BYTES && ebpf_map_next_key(map, key, next) == 0) {
		uint8_t *swap = key != NULL ? key : malloc(info->key_size);

		key = next;
		next = swap;
		entry = entry_json(map, info, key);
		if (entry != NULL) {
			json_array_append_new(list, entry);
			bytes += info->key_size + info->value_size * info->copies;
		}
	}
	json_object_set_new(m->reply, "entries", list);
	free(key);
	free(next);
}

/* The records that wait in a ring, as many as fit into an answer; they are gone from it then. */
static void map_take(struct map_request *m, struct ebpf_map *map)
{
	uint8_t *record = malloc(RECORD_BYTES);
	json_t *list = json_array();
	uint64_t lost = 0;
	size_t bytes = 0;
	int64_t n = record != NULL ? 0 : -ENOMEM;

	while (n >= 0 && bytes < DUMP_BYTES) {
		n = ebpf_map_ring_take(map, record, RECORD_BYTES, &lost);
		if (n >= 0) {
			char *hex = hex_of(record, MIN((size_t)n, (size_t)RECORD_BYTES));

			json_array_append_new(list, json_string(hex != NULL ? hex : ""));
			bytes += (size_t)n + 1;
			free(hex);
		}
	}
	if (n < 0 && n != -ENOENT)
		m->error = (int)n;
	json_object_set_new(m->reply, "records", list);
	json_object_set_new(m->reply, "lost", json_integer((json_int_t)lost));
	free(record);
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

/* One entry, by its key. */
static void map_entry(struct map_request *m, struct ebpf_map *map, const struct ebpf_map_info *info)
{
	uint8_t *key = bytes_of(m->key, info->key_size);

	if (key == NULL)
		m->problem = "a key has another size";
	else if (strcmp(m->action, "get") == 0)
		m->error = put_value(m->reply, map, info, key);
	else if (strcmp(m->action, "set") == 0)
		map_set(m, map, info, key);
	else if (strcmp(m->action, "create") == 0)
		m->error = ebpf_map_inner_create(map, key);
	else if (strcmp(m->action, "remove") == 0)
		m->error = ebpf_map_inner_remove(map, key);
	else if (strcmp(m->action, "delete") == 0)
		m->error = ebpf_map_delete(map, key);
	else
		m->problem = "there is no such action";
	free(key);
}

/* The map that is meant: the filter's, or one that is in it; NULL with the problem. */
static struct ebpf_map *map_meant(struct map_request *m, struct ebpf_instance *filter)
{
	struct ebpf_map *map = ebpf_instance_map(filter, m->map);
	struct ebpf_map_info info;
	uint8_t *key;

	m->problem = "the filter has no such map";
	if (map == NULL || m->inner == NULL)
		return map;
	ebpf_map_info(map, &info);
	key = bytes_of(m->inner, info.key_size);
	map = key != NULL ? ebpf_map_inner(map, key) : NULL;
	m->problem = "it has no map at this key";
	free(key);
	return map;
}

static void map_change(struct ebpf_instance *filter, void *arg)
{
	struct map_request *m = arg;
	struct ebpf_map *map = map_meant(m, filter);
	struct ebpf_map_info info;

	if (map == NULL)
		return;
	m->problem = NULL;
	ebpf_map_info(map, &info);
	json_object_set_new(m->reply, "map", map_json(map));
	if (strcmp(m->action, "info") == 0)
		return;
	if (strcmp(m->action, "list") == 0)
		map_list(m, map, &info);
	else if (strcmp(m->action, "take") == 0)
		map_take(m, map);
	else
		map_entry(m, map, &info);
}

/* action: info, list, get, set, delete; take (rings); create, remove (maps of maps). */
void op_map(struct leatd *leatd, struct client *client, const struct request *req)
{
	struct instance *inst = running_instance(leatd, client, req);
	struct map_request m = {
		.action = json_string_value(json_object_get(req->json, "action")),
		.map = json_string_value(json_object_get(req->json, "map")),
		.key = json_string_value(json_object_get(req->json, "key")),
		.value = json_string_value(json_object_get(req->json, "value")),
		.inner = json_string_value(json_object_get(req->json, "inner")),
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
