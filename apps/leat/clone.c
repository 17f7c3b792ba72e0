/*
 * clone.c - makes a run request from a snapshot: the same program, root, volumes and limits, with
 * what the caller wants otherwise.
 */
#include "apps/leat/clone.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "apps/common/snapshot.h"
#include "apps/leat/leat.h"

#define ERROR_MAX 512

/* Taken from the snapshot as they are, unless the caller has set them. */
static const char *const inherited[] = {"program", "argv", "cwd",     "umask",  "nofile",
					"stack",   "uid",  "gid",     "groups", "memory",
					"tenant",  "env",  "hostname"};

static void inherit(struct run_request *run, const json_t *from)
{
	for (size_t i = 0; i < sizeof(inherited) / sizeof(inherited[0]); i++) {
		json_t *value = json_object_get(from, inherited[i]);
		json_t *have = json_object_get(run->json, inherited[i]);

		if (value != NULL && (have == NULL || strcmp(inherited[i], "env") == 0))
			json_object_set(run->json, inherited[i], value);
	}
	json_object_update_missing(json_object_get(run->json, "limits"),
				   json_object_get(from, "limits"));
	json_object_update_missing(json_object_get(run->json, "tags"),
				   json_object_get(from, "tags"));
}

/* An object's file is not kept: the caller gives it again. */
static int filter_inherit(struct run_request *run, const json_t *from)
{
	const char *kind = json_string_value(json_object_get(from, "filter"));

	if (kind == NULL ||
	    strcmp(json_string_value(json_object_get(run->json, "filter")), "default") != 0)
		return 0;
	if (strcmp(kind, "object") == 0)
		return leat_error("cannot clone: the instance had a filter of its own; give "
				  "--filter FILE, default or none");
	return run_set_filter(run, kind);
}

static int volumes_inherit(struct run_request *run, const json_t *from)
{
	char text[2 * PATH_MAX + 8];
	json_t *volume;
	int code = 0;
	size_t i;

	json_array_foreach(json_object_get(from, "volumes"), i, volume)
	{
		const char *src = json_string_value(json_object_get(volume, "src"));
		const char *dst = json_string_value(json_object_get(volume, "dst"));

		if (src == NULL || dst == NULL || strchr(src, ':') != NULL)
			return leat_error("cannot clone: it is not known where the volume %s was",
					  dst != NULL ? dst : "");
		snprintf(text, sizeof(text), "%s:%s:ro", src, dst);
		if (code == 0)
			code = run_add_volume(run, text);
	}
	return code;
}

/* The very image that the snapshot was taken of. */
static int image_inherit(struct run_request *run, const char *path, const json_t *identity)
{
	json_t *found;
	int code = image_open(path, &run->image);

	if (code != 0)
		return code;
	found = image_identity(&run->image);
	if (!json_equal(found, identity))
		code = leat_error("cannot clone: the image %s has changed since the snapshot",
				  path);
	json_decref(found);
	return code;
}

int clone_prepare(struct run_request *run, const char *dir)
{
	char error[ERROR_MAX], program[PATH_MAX] = "", cwd[PATH_MAX] = "/", rootfs[PATH_MAX],
			       image[PATH_MAX];
	const char *text;
	json_t *from, *paths;
	int fd, code;

	if (snapshot_open(dir, &fd, &from, error, sizeof(error)) < 0)
		return leat_error("%s", error);
	run_put_role(run, "snapshot", fd);
	inherit(run, from);
	paths = json_object_get(from, "paths");
	if ((text = json_string_value(json_object_get(paths, "exec"))) != NULL)
		snprintf(program, sizeof(program), "%s", text);
	if ((text = json_string_value(json_object_get(from, "cwd"))) != NULL)
		snprintf(cwd, sizeof(cwd), "%s", text);
	if ((text = json_string_value(json_object_get(paths, "rootfs"))) != NULL) {
		snprintf(rootfs, sizeof(rootfs), "%s", text);
		run->rootfs = rootfs;
	}
	if ((text = json_string_value(json_object_get(paths, "image"))) != NULL) {
		snprintf(image, sizeof(image), "%s", text);
		run->image_name = image;
	}
	run->workdir = cwd;
	json_object_set_new(run->json, "detach", json_boolean(run->detach));
	code = filter_inherit(run, from);
	if (code == 0)
		code = volumes_inherit(run, from);
	if (code == 0 && run->image_name != NULL)
		code = image_inherit(run, image, json_object_get(paths, "image_is"));
	if (code == 0)
		code = run_put_places(run, program);
	json_decref(from);
	run->rootfs = run->workdir = run->image_name = NULL;
	return code;
}
