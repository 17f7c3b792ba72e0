/*
 * run_image.c - a run from an image: what its description says counts where the caller has said
 * nothing (OCI image specification, config.md).
 */
#include <stdlib.h>
#include <string.h>

#include "apps/leat/leat.h"
#include "apps/leat/run.h"

#define PATH_DEFAULT "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

static void env_take(struct run_request *run, const json_t *config)
{
	json_t *env = json_object_get(run->json, "env"), *entry;
	size_t i;

	json_array_foreach(json_object_get(config, "Env"), i, entry)
	{
		const char *text = json_string_value(entry);
		char name[256];
		size_t len = text != NULL ? strcspn(text, "=") : 0;

		if (len == 0 || len >= sizeof(name) || text[len] != '=')
			continue;
		memcpy(name, text, len);
		name[len] = '\0';
		if (!run_env_has(run, name))
			json_array_append(env, entry);
	}
	if (!run_env_has(run, "PATH"))
		json_array_append_new(env, json_string("PATH=" PATH_DEFAULT));
}

static void ports_take(struct run_request *run, json_t *config)
{
	json_t *ports = json_object_get(run->json, "ports"), *value;
	const char *key;

	if (!run->publish_all)
		return;
	json_object_foreach(json_object_get(config, "ExposedPorts"), key, value)
	{
		int digits = (int)strspn(key, "0123456789");
		const char *proto = strcmp(key + digits, "/udp") == 0 ? "/udp" : "";

		json_array_append_new(ports,
				      json_sprintf("%.*s:%.*s%s", digits, key, digits, key, proto));
	}
}

static size_t strings_add(char **argv, size_t nr, const json_t *list)
{
	const json_t *entry;
	size_t i;

	json_array_foreach(list, i, entry) if (json_is_string(entry)) argv[nr++] =
		(char *)(uintptr_t)json_string_value(entry);
	return nr;
}

/* Entrypoint and Cmd; the caller's arguments stand for Cmd, and an entry point of the caller's
 * does away with both. */
static int argv_make(const struct run_request *run, const json_t *config, char **argv,
		     char ***ret_argv)
{
	const json_t *entrypoint = json_object_get(config, "Entrypoint");
	const json_t *cmd = json_object_get(config, "Cmd");
	size_t given = 0, nr = 0;
	char **list;

	while (argv[given] != NULL)
		given++;
	list = calloc(given + json_array_size(entrypoint) + json_array_size(cmd) + 2,
		      sizeof(*list));
	if (list == NULL)
		return leat_error("out of memory");
	if (run->entrypoint == NULL)
		nr = strings_add(list, nr, entrypoint);
	else if (run->entrypoint[0] != '\0')
		list[nr++] = (char *)(uintptr_t)run->entrypoint;
	if (given != 0)
		memcpy(list + nr, argv, given * sizeof(*list));
	else if (run->entrypoint == NULL)
		nr = strings_add(list, nr, cmd);
	if (list[0] == NULL) {
		free(list);
		return leat_error("no program given, and the image %s names none", run->image_name);
	}
	*ret_argv = list;
	return 0;
}

static const char *text_of(const json_t *config, const char *key)
{
	const char *text = json_string_value(json_object_get(config, key));

	return text != NULL && *text != '\0' ? text : NULL;
}

int run_take_image(struct run_request *run, char **argv, char ***ret_argv)
{
	int code = image_open(run->image_name, &run->image);
	json_t *config;

	if (code != 0)
		return code;
	config = json_object_get(run->image.config, "config");
	json_object_set_new(run->json, "image", json_string(run->image_name));
	env_take(run, config);
	ports_take(run, config);
	if (run->workdir == NULL)
		run->workdir = text_of(config, "WorkingDir");
	if (run->user == NULL)
		run->user = text_of(config, "User");
	return argv_make(run, config, argv, ret_argv);
}
