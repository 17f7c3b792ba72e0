/*
 * spec.c - checks a function's description. Every key is known or refused: a typing mistake is
 * never a silent default.
 */
#include "apps/gateway/spec.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DURATION_MAX_MS (7ULL * 86400 * 1000)
#define STRINGS_MAX 256U

static int refuse(char *error, const char *format, ...) __attribute__((format(printf, 2, 3)));

static int refuse(char *error, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(error, SPEC_ERROR_MAX, format, ap);
	va_end(ap);
	return -EINVAL;
}

static int duration_text(const char *text, uint64_t *ret_ms)
{
	static const struct {
		const char *unit;
		double ms;
	} units[] = {{"ms", 1}, {"s", 1e3}, {"m", 6e4}, {"h", 3.6e6}, {"", 1e3}};
	char *end;
	double n = strtod(text, &end);

	if (end == text || !(n >= 0))
		return -EINVAL;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (strcmp(end, units[i].unit) == 0 && n * units[i].ms <= (double)DURATION_MAX_MS) {
			*ret_ms = (uint64_t)(n * units[i].ms + 0.5);
			return 0;
		}
	return -EINVAL;
}

int spec_duration(const json_t *value, uint64_t *ret_ms)
{
	double n = json_number_value(value);

	if (json_is_string(value))
		return duration_text(json_string_value(value), ret_ms);
	if (!json_is_number(value) || n < 0 || n * 1e3 > (double)DURATION_MAX_MS)
		return -EINVAL;
	*ret_ms = (uint64_t)(n * 1e3 + 0.5);
	return 0;
}

/* ---- kinds of values ---- */

struct number_key {
	const char *key;
	size_t offset;
	unsigned low, high, none;
};

static const struct number_key number_keys[] = {
	{"port", offsetof(struct spec, port), 1, 65535, 8080},
	{"concurrency", offsetof(struct spec, concurrency), 1, 10000, 1},
	{"queue", offsetof(struct spec, queue), 0, 100000, 100},
	{"cpus", offsetof(struct spec, cpus), 1, 32, 0},
	{"min", offsetof(struct spec, min), 0, 1000, 0},
	{"max", offsetof(struct spec, max), 1, 10000, 8},
	{"retries", offsetof(struct spec, retries), 0, 100, 3},
};

static const struct {
	const char *key;
	size_t offset;
	uint64_t none;
} duration_keys[] = {
	{"timeout", offsetof(struct spec, timeout_ms), 30000},
	{"startup", offsetof(struct spec, startup_ms), 30000},
	{"delay", offsetof(struct spec, delay_ms), 50},
	{"idle", offsetof(struct spec, idle_ms), 300000},
	{"bin", offsetof(struct spec, bin_ms), 60000},
};

static int numbers_take(struct spec *spec, char *error)
{
	for (size_t i = 0; i < sizeof(number_keys) / sizeof(number_keys[0]); i++) {
		const struct number_key *k = &number_keys[i];
		const json_t *value = json_object_get(spec->json, k->key);
		json_int_t n = value != NULL ? json_integer_value(value) : k->none;
		unsigned *field = (unsigned *)(void *)((char *)spec + k->offset);

		if (value != NULL && (!json_is_integer(value) || n < k->low || n > k->high))
			return refuse(error, "'%s' must be a number from %u to %u", k->key, k->low,
				      k->high);
		*field = (unsigned)n;
	}
	if (spec->min > spec->max)
		return refuse(error, "'min' is more than 'max'");
	for (size_t i = 0; i < sizeof(duration_keys) / sizeof(duration_keys[0]); i++) {
		const json_t *value = json_object_get(spec->json, duration_keys[i].key);
		uint64_t *field = (uint64_t *)(void *)((char *)spec + duration_keys[i].offset);

		*field = duration_keys[i].none;
		if (value != NULL && spec_duration(value, field) < 0)
			return refuse(error, "'%s' must be a time, e.g. 500ms, 30s or 5m",
				      duration_keys[i].key);
	}
	if (spec->timeout_ms == 0 || spec->startup_ms == 0 || spec->bin_ms == 0)
		return refuse(error, "'timeout', 'startup' and 'bin' must be more than 0");
	return 0;
}

/* One of the words; without the key the first one. */
static int word_take(const struct spec *spec, const char *key, const char *const *words,
		     unsigned *ret_which, char *error)
{
	const json_t *value = json_object_get(spec->json, key);
	char list[128] = "";

	*ret_which = 0;
	if (value == NULL)
		return 0;
	for (unsigned i = 0; words[i] != NULL; i++) {
		snprintf(list + strlen(list), sizeof(list) - strlen(list), "%s%s",
			 i != 0 ? ", " : "", words[i]);
		*ret_which = i;
		if (json_is_string(value) && strcmp(json_string_value(value), words[i]) == 0)
			return 0;
	}
	return refuse(error, "'%s' must be one of %s", key, list);
}

static int words_take(struct spec *spec, char *error)
{
	static const char *const contracts[] = {"http", "lambda", NULL};
	static const char *const policies[] = {"histogram", "fixed", "none", NULL};
	unsigned which;
	int r = word_take(spec, "contract", contracts, &which, error);

	if (r < 0)
		return r;
	spec->contract = (enum contract)which;
	if (spec->contract == CONTRACT_LAMBDA && spec->concurrency != 1)
		return refuse(error, "'concurrency' is 1 with the contract lambda");
	r = word_take(spec, "keepwarm", policies, &which, error);
	spec->policy = (enum keepwarm_policy)which;
	return r;
}

static bool strings_ok(const json_t *list)
{
	size_t i;
	const json_t *entry;

	json_array_foreach(list, i, entry) if (!json_is_string(entry)) return false;
	return json_is_array(list) && json_array_size(list) <= STRINGS_MAX;
}

static bool string_map_ok(json_t *map)
{
	const char *key;
	json_t *value;

	json_object_foreach(map, key, value) if (!json_is_string(value) ||
						 strchr(key, '=') != NULL) return false;
	return json_is_object(map) && json_object_size(map) <= STRINGS_MAX;
}

static int lists_take(const struct spec *spec, char *error)
{
	static const char *const maps[] = {"env", "labels", "annotations"};
	const json_t *command = json_object_get(spec->json, "command");
	bool image = json_object_get(spec->json, "image") != NULL;
	const json_t *secrets = json_object_get(spec->json, "secrets");
	size_t i;
	const json_t *secret;

	if (!(command == NULL && image) && (!strings_ok(command) || json_array_size(command) == 0 ||
					    json_string_length(json_array_get(command, 0)) == 0))
		return refuse(error, "'command' must be a list of strings, the program first");
	if (secrets != NULL && !strings_ok(secrets))
		return refuse(error, "'secrets' must be a list of names");
	json_array_foreach(secrets, i, secret) if (
		!parse_name_ok(json_string_value(
			secret))) return refuse(error, "'%s' is no name of a secret",
						json_string_value(secret));
	for (i = 0; i < sizeof(maps) / sizeof(maps[0]); i++) {
		json_t *map = json_object_get(spec->json, maps[i]);

		if (map != NULL && !string_map_ok(map))
			return refuse(error, "'%s' must map names to strings", maps[i]);
	}
	return 0;
}

static int name_take(const struct spec *spec, const char *key, const char *none, char *ret_name,
		     char *error)
{
	const json_t *value = json_object_get(spec->json, key);
	const char *name = value != NULL ? json_string_value(value) : none;

	/* instances are called NAME-N: there must be room for that */
	if (name == NULL || !parse_name_ok(name) || strlen(name) > NAME_LEN_MAX - 12)
		return refuse(error,
			      "'%s' must be a name: letters, digits, '_', '.', '-', at most %u",
			      key, NAME_LEN_MAX - 12);
	strcpy(ret_name, name);
	return 0;
}

static int paths_take(const struct spec *spec, char *error)
{
	static const char *const keys[] = {"dir", "rootfs"};
	const json_t *memory = json_object_get(spec->json, "memory");
	const json_t *template = json_object_get(spec->json, "template");
	const json_t *warm = json_object_get(spec->json, "warm");
	const json_t *image = json_object_get(spec->json, "image");

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		const json_t *value = json_object_get(spec->json, keys[i]);
		const char *text = json_string_value(value);

		if (value != NULL && (text == NULL || text[0] != '/'))
			return refuse(error, "'%s' must be an absolute path", keys[i]);
	}
	if (template != NULL && !json_is_boolean(template))
		return refuse(error, "'template' must be true or false");
	if (warm != NULL && (!json_is_string(warm) || json_string_value(warm)[0] != '/' ||
			     strpbrk(json_string_value(warm), " \r\n") != NULL))
		return refuse(error, "'warm' must be a path to ask for, e.g. /");
	if (image != NULL && json_string_length(image) == 0)
		return refuse(error, "'image' must name an image: a file, NAME[:TAG] or a digest");
	if (image != NULL && json_object_get(spec->json, "rootfs") != NULL)
		return refuse(error, "'image' and 'rootfs' exclude each other");
	if (memory != NULL && !json_is_string(memory))
		return refuse(error, "'memory' must be a size, e.g. 128M");
	return 0;
}

static int memory_take(struct spec *spec, char *error)
{
	const char *text = json_string_value(json_object_get(spec->json, "memory"));

	if (text == NULL)
		return 0;
	if (parse_size(text, &spec->memory_bytes) < 0 || spec->memory_bytes < 4U << 20)
		return refuse(error, "'memory' must be a size of at least 4M, e.g. 128M");
	return 0;
}

static int keys_check(json_t *json, char *error)
{
	static const char *const others[] = {
		"name",   "tenant", "contract",    "keepwarm", "command",
		"env",    "labels", "annotations", "secrets",  "dir",
		"rootfs", "memory", "template",    "warm",     "image",
	};
	const char *key;
	json_t *value;

	json_object_foreach(json, key, value)
	{
		bool known = false;

		for (size_t i = 0; i < sizeof(number_keys) / sizeof(number_keys[0]); i++)
			known |= strcmp(key, number_keys[i].key) == 0;
		for (size_t i = 0; i < sizeof(duration_keys) / sizeof(duration_keys[0]); i++)
			known |= strcmp(key, duration_keys[i].key) == 0;
		for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
			known |= strcmp(key, others[i]) == 0;
		if (!known)
			return refuse(error, "there is no key '%s'", key);
	}
	return 0;
}

int spec_init(struct spec *spec, json_t *json, char error[SPEC_ERROR_MAX])
{
	int r;

	*spec = (struct spec){.json = json};
	if (!json_is_object(json))
		return refuse(error, "the description of a function is a map of keys");
	r = keys_check(json, error);
	if (r == 0)
		r = name_take(spec, "name", NULL, spec->name, error);
	if (r == 0)
		r = name_take(spec, "tenant", "default", spec->tenant, error);
	if (r == 0)
		r = numbers_take(spec, error);
	if (r == 0)
		r = words_take(spec, error);
	if (r == 0)
		r = lists_take(spec, error);
	if (r == 0)
		r = paths_take(spec, error);
	if (r == 0)
		r = memory_take(spec, error);
	if (r == 0)
		json_incref(json);
	return r;
}

void spec_finish(struct spec *spec)
{
	json_decref(spec->json);
	spec->json = NULL;
}
