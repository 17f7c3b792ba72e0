/*
 * load.c - f.yaml from the disk: paths in it are relative to its folder, which is the function's.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "apps/gateway/gateway.h"
#include "apps/leat/image.h"

#define FILE_MAX_BYTES (1U << 20)

static json_t *file_parse(const char *path, char *error)
{
	char *text = malloc(FILE_MAX_BYTES);
	FILE *file = fopen(path, "re");
	json_t *json = NULL;
	size_t size;

	if (file == NULL || text == NULL) {
		snprintf(error, SPEC_ERROR_MAX, "cannot open %.180s: %s", path, strerror(errno));
	} else {
		size = fread(text, 1, FILE_MAX_BYTES, file);
		if (size == FILE_MAX_BYTES)
			snprintf(error, SPEC_ERROR_MAX, "%.180s is too long", path);
		else
			json = yaml_parse(text, size, error);
	}
	if (file != NULL)
		fclose(file);
	free(text);
	return json;
}

/* A relative path of the description, from its folder. */
static void path_complete(json_t *json, const char *key, const char *folder)
{
	const char *text = json_string_value(json_object_get(json, key));
	char path[PATH_MAX * 2 + 2], real[PATH_MAX];

	if (text == NULL || text[0] == '/')
		return;
	snprintf(path, sizeof(path), "%s/%s", folder, text);
	json_object_set_new(json, key, json_string(realpath(path, real) != NULL ? real : path));
}

json_t *spec_load(const char *path, char error[SPEC_ERROR_MAX])
{
	char file[PATH_MAX + 8], folder[PATH_MAX], *slash;
	struct stat st;
	json_t *json;

	if (realpath(path, folder) == NULL || stat(folder, &st) < 0) {
		snprintf(error, SPEC_ERROR_MAX, "cannot open %.180s: %s", path, strerror(errno));
		return NULL;
	}
	snprintf(file, sizeof(file), S_ISDIR(st.st_mode) ? "%s/f.yaml" : "%s", folder);
	if (!S_ISDIR(st.st_mode)) {
		slash = strrchr(folder, '/');
		slash[slash == folder] = '\0';
	}
	json = file_parse(file, error);
	if (json == NULL || !json_is_object(json))
		return json;
	if (json_object_get(json, "dir") == NULL && json_object_get(json, "image") == NULL)
		json_object_set_new(json, "dir", json_string(folder));
	path_complete(json, "dir", folder);
	path_complete(json, "rootfs", folder);
	if (images_is_file(json_string_value(json_object_get(json, "image"))))
		path_complete(json, "image", folder);
	return json;
}
