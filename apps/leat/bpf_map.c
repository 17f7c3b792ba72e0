/*
 * bpf_map.c - leat bpf map: the maps of a running instance's filter.
 */
#include "apps/leat/bpf_common.h"
#include "apps/leat/leat.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apps/leat/bytes.h"

#define RECORDS_MAX 1000000U
#define BYTES_MAX 400000U /* of a key or a value: twice that fits into a message */

static const char *type_name(json_int_t type)
{
	static const char *const names[] = {
		[1] = "hash",          [2] = "array",    [6] = "percpu_array",
		[9] = "lru_hash",      [11] = "lpm",     [12] = "array_of_maps",
		[13] = "hash_of_maps", [14] = "handles", [27] = "ring",
	};
	bool known = type >= 0 && (size_t)type < sizeof(names) / sizeof(names[0]);

	return known && names[type] ? names[type] : "other";
}

static json_int_t number(json_t *json, const char *name)
{
	return json_integer_value(json_object_get(json, name));
}

static const char *text(json_t *json, const char *name)
{
	const char *value = json_string_value(json_object_get(json, name));

	return value ? value : "";
}

static int list_maps(const char *instance, const struct bpf_options *options)
{
	json_t *answer = daemon_ask(json_pack("{s:s, s:s}", "op", "filter-show", "name", instance),
				    NULL, NULL);
	json_t *maps, *map;
	size_t i;

	if (!answer)
		return 1;
	maps = json_object_get(json_object_get(answer, "filter"), "maps");
	if (options->json) {
		json_dumpf(maps ? maps : json_null(), stdout, JSON_INDENT(2) | JSON_ENCODE_ANY);
		putchar('\n');
	} else {
		json_array_foreach(maps, i, map)
		{
			printf("%-16s %-14s key %lld, value %lld bytes, %lld entries\n",
			       text(map, "name"), type_name(number(map, "type")),
			       (long long)number(map, "key_size"),
			       (long long)number(map, "value_size"),
			       (long long)number(map, "max_entries"));
		}
	}
	json_decref(answer);
	return 0;
}

static char *hex_of(const uint8_t *bytes, size_t size)
{
	char *hex = calloc(2 * size + 1, 1);
	size_t i;

	for (i = 0; hex && i < size; i++)
		snprintf(hex + 2 * i, 3, "%02x", bytes[i]);
	return hex;
}

/* MAP, or MAP@KEY: the map at this key of a map of maps. False, with a message: no such key. */
static bool name_map(json_t *request, const char *map)
{
	const char *at = strchr(map, '@');
	uint8_t bytes[512];
	size_t size = 0;
	char *hex;

	if (!at) {
		json_object_set_new(request, "map", json_string(map));
		return true;
	}
	if (!bytes_add(at + 1, bytes, sizeof(bytes), &size)) {
		fprintf(stderr, "leat: '%s' is not understood\n", at + 1);
		return false;
	}
	hex = hex_of(bytes, size);
	json_object_set_new(request, "map", json_stringn(map, (size_t)(at - map)));
	json_object_set_new(request, "inner", json_string(hex ? hex : ""));
	free(hex);
	return true;
}

static json_t *ask(const char *instance, const char *map, const char *action, const char *key,
		   const char *value)
{
	json_t *request =
		json_pack("{s:s, s:s, s:s}", "op", "map", "name", instance, "action", action);

	if (!name_map(request, map)) {
		json_decref(request);
		return NULL;
	}
	if (key)
		json_object_set_new(request, "key", json_string(key));
	if (value)
		json_object_set_new(request, "value", json_string(value));
	return daemon_ask(request, NULL, NULL);
}

/* The value of an answer or an entry; of a per-CPU map one for each dataplane thread. */
static void show_value(json_t *entry)
{
	json_t *values = json_object_get(entry, "values"), *value;
	size_t i;

	printf("%s", text(entry, "value"));
	json_array_foreach(values, i, value)
	{
		printf("%s%s", i ? " " : "", json_string_value(value));
	}
	putchar('\n');
}

static int show_entries(json_t *entries, json_t *all)
{
	json_t *entry;
	size_t i;

	json_array_foreach(entries, i, entry)
	{
		if (all) {
			json_array_append(all, entry);
		} else {
			printf("%s = ", text(entry, "key"));
			show_value(entry);
		}
	}
	return (int)i;
}

/* The records of a ring, one a line, until there is none; with --json how many were lost, too. */
static int take_records(const char *instance, const char *map, const struct bpf_options *options)
{
	json_t *all = json_array(), *answer, *record, *lost = NULL;
	size_t i, count, taken = 0;

	do {
		answer = ask(instance, map, "take", NULL, NULL);
		count = json_array_size(json_object_get(answer, "records"));
		taken += count;
		json_array_foreach(json_object_get(answer, "records"), i, record)
		{
			if (options->json)
				json_array_append(all, record);
			else
				puts(json_string_value(record));
		}
		json_decref(lost);
		lost = json_incref(json_object_get(answer, "lost"));
		json_decref(answer);
		/* a ring that fills faster than it is read would keep us for ever */
	} while (count && taken < RECORDS_MAX);
	if (options->json && lost) {
		json_t *root = json_pack("{s:O, s:O}", "records", all, "lost", lost);

		json_dumpf(root, stdout, JSON_INDENT(2));
		putchar('\n');
		json_decref(root);
	}
	json_decref(all);
	i = lost ? 0 : 1;
	json_decref(lost);
	return (int)i;
}

/* A part at a time: each goes on behind the last key of the one before. */
static int list_entries(const char *instance, const char *map, const struct bpf_options *options)
{
	json_t *all = options->json ? json_array() : NULL, *answer, *entries, *last;
	json_int_t left = -1;
	char *key = NULL;
	int count, status = 1;

	do {
		answer = ask(instance, map, "list", key, NULL);
		if (!answer)
			break;
		entries = json_object_get(answer, "entries");
		if (left < 0) /* a map that changes meanwhile could begin anew for ever */
			left = 2 * number(json_object_get(answer, "map"), "max_entries");
		count = show_entries(entries, all);
		left -= count;
		last = json_array_get(entries, json_array_size(entries) - 1);
		free(key);
		key = count ? strdup(text(last, "key")) : NULL;
		json_decref(answer);
		status = 0;
	} while (key && left > 0);
	free(key);
	if (all && !status) {
		json_dumpf(all, stdout, JSON_INDENT(2));
		putchar('\n');
	}
	json_decref(all);
	return status;
}

/* Words up to @end or the last one, as hex; NULL: not understood. */
static char *hex_words(char **words, const char *end, char ***ret_next)
{
	static uint8_t bytes[BYTES_MAX];
	size_t size = 0;

	for (; *words && (!end || strcmp(*words, end) != 0); words++)
		if (!bytes_add(*words, bytes, sizeof(bytes), &size)) {
			fprintf(stderr, "leat: '%s' is not understood, or too long\n", *words);
			return NULL;
		}
	*ret_next = words;
	return hex_of(bytes, size);
}

/* A value may leave out zero bytes at its end: a list of rules, say. */
static char *padded(char *hex, json_int_t value_size)
{
	size_t size = strlen(hex), whole = 2 * (size_t)value_size;
	char *longer;

	if (size >= whole || !(longer = realloc(hex, whole + 1)))
		return hex;
	memset(longer + size, '0', whole - size);
	longer[whole] = '\0';
	return longer;
}

/* The map's value size, -1 with a message. */
static json_int_t value_size_of(const char *instance, const char *map)
{
	json_t *answer = ask(instance, map, "info", NULL, NULL);
	json_int_t size = answer ? number(json_object_get(answer, "map"), "value_size") : -1;

	json_decref(answer);
	return size;
}

static int change(const char *instance, const char *map, const char *action, char **words)
{
	bool set = strcmp(action, "set") == 0;
	char **rest, *key = hex_words(words, set ? "=" : NULL, &rest), *value = NULL;
	json_t *answer = NULL;
	int status = 1;

	if (key && set && *rest) {
		json_int_t size = value_size_of(instance, map);

		value = size < 0 ? NULL : hex_words(rest + 1, NULL, &rest);
		if (value)
			value = padded(value, size);
	}
	if (key && (!set || value))
		answer = ask(instance, map, action, key, value);
	if (answer) {
		if (strcmp(action, "get") == 0)
			show_value(answer);
		status = 0;
	}
	json_decref(answer);
	free(key);
	free(value);
	return status;
}

int bpf_map(int argc, char **argv, const struct bpf_options *options)
{
	static const char *const actions[] = {"get", "set", "delete", "create", "remove"};
	const char *action = argc > 2 ? argv[2] : "list";
	bool known = false;
	size_t i;

	if (argc < 1)
		return bpf_usage();
	if (argc == 1)
		return list_maps(argv[0], options);
	if (strcmp(action, "list") == 0 && argc <= 3)
		return list_entries(argv[0], argv[1], options);
	if (strcmp(action, "take") == 0 && argc == 3)
		return take_records(argv[0], argv[1], options);
	for (i = 0; i < sizeof(actions) / sizeof(actions[0]); i++)
		known |= strcmp(action, actions[i]) == 0;
	if (argc < 4 || !known)
		return bpf_usage();
	return change(argv[0], argv[1], action, argv + 3);
}
