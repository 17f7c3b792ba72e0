/*
 * oci.c - the way from an OCI layout's index to the layers and the configuration of one image.
 */
#include "apps/leat/oci.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "apps/leat/image.h"
#include "apps/leat/leat.h"
#include "leat/abi/layout.h"

#define JSON_MAX (4U << 20) /* bytes of an index, a manifest or a configuration */
#define INDEX_DEPTH 3U
#define LAYERS_MAX 256U
#define REF_NAME "org.opencontainers.image.ref.name"

bool oci_is_layout(const char *dir)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/oci-layout", dir);
	return access(path, R_OK) == 0;
}

static const char *text_of(const json_t *json, const char *key)
{
	const char *text = json_string_value(json_object_get(json, key));

	return text != NULL ? text : "";
}

/* ---- blobs ---- */

/* What a descriptor points to, opened and verified; -1: the user has been told. */
static int blob_open(const char *dir, const json_t *descriptor)
{
	const char *digest = text_of(descriptor, "digest");
	json_int_t size = json_integer_value(json_object_get(descriptor, "size"));
	char path[PATH_MAX], found[DIGEST_TEXT_MAX];
	struct stat st;
	int fd, r;

	if (!digest_ok(digest)) {
		leat_error("cannot use the image in %s: no digest that Leat knows: '%s'", dir,
			   digest);
		return -1;
	}
	snprintf(path, sizeof(path), "%s/blobs/sha256/%s", dir, digest + strlen(DIGEST_PREFIX));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0) {
		leat_error("cannot use the image in %s: blob %s: %s", dir, digest, strerror(errno));
		if (fd >= 0)
			close(fd);
		return -1;
	}
	r = S_ISREG(st.st_mode) && st.st_size == size ? digest_file(fd, found) : -EUCLEAN;
	if (r < 0 || strcmp(found, digest) != 0) {
		leat_error("cannot use the image in %s: blob %s is damaged: %s", dir, digest,
			   r < 0 && r != -EUCLEAN ? strerror(-r) :
			   r < 0                  ? "its size is not the one in the manifest" :
						    "its content has another digest");
		close(fd);
		return -1;
	}
	return fd;
}

static json_t *json_read(int fd, const char *what)
{
	char *text = malloc(JSON_MAX);
	ssize_t got = text != NULL ? pread(fd, text, JSON_MAX, 0) : -1;
	json_error_t error;
	json_t *json = NULL;

	if (got < 0 || got == JSON_MAX)
		leat_error("cannot read %s: %s", what, got < 0 ? strerror(errno) : "too long");
	else if ((json = json_loadb(text, (size_t)got, 0, &error)) == NULL)
		leat_error("cannot read %s: %s", what, error.text);
	else if (!json_is_object(json))
		leat_error("cannot read %s: not a JSON object", what);
	free(text);
	if (!json_is_object(json)) {
		json_decref(json);
		return NULL;
	}
	return json;
}

static json_t *blob_json(const char *dir, const json_t *descriptor, const char *what)
{
	int fd = blob_open(dir, descriptor);
	json_t *json;

	if (fd < 0)
		return NULL;
	json = json_read(fd, what);
	close(fd);
	return json;
}

/* ---- which image ---- */

static bool is_index(const json_t *descriptor)
{
	const char *type = text_of(descriptor, "mediaType");

	return strstr(type, "image.index") != NULL || strstr(type, "manifest.list") != NULL;
}

static bool is_for_us(const json_t *descriptor)
{
	const json_t *platform = json_object_get(descriptor, "platform");

	return platform == NULL || (strcmp(text_of(platform, "os"), "linux") == 0 &&
				    strcmp(text_of(platform, "architecture"), "amd64") == 0);
}

static bool has_ref(const json_t *descriptor, const char *ref)
{
	const json_t *annotations = json_object_get(descriptor, "annotations");

	return ref == NULL || strcmp(text_of(annotations, REF_NAME), ref) == 0;
}

/* The one entry that fits, borrowed; NULL: the user has been told. */
static json_t *entry_choose(const char *dir, const json_t *index, const char *ref)
{
	json_t *entry, *chosen = NULL;
	size_t i;

	json_array_foreach(json_object_get(index, "manifests"), i, entry)
	{
		if (!has_ref(entry, ref) || !is_for_us(entry))
			continue;
		if (chosen != NULL) {
			leat_error("cannot use the image in %s: it has several images; say which "
				   "with --ref NAME",
				   dir);
			return NULL;
		}
		chosen = entry;
	}
	if (chosen == NULL)
		leat_error("cannot use the image in %s: it has no image%s%s for linux/amd64", dir,
			   ref != NULL ? " named " : "", ref != NULL ? ref : "");
	return chosen;
}

static json_t *manifest_find(const char *dir, const char *ref)
{
	char path[PATH_MAX];
	json_t *index, *entry, *json = NULL;
	bool again;
	int fd;

	snprintf(path, sizeof(path), "%s/index.json", dir);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		leat_error("cannot open %s: %s", path, strerror(errno));
		return NULL;
	}
	index = json_read(fd, path);
	close(fd);
	for (unsigned depth = 0; index != NULL && depth < INDEX_DEPTH; depth++) {
		entry = entry_choose(dir, index, depth == 0 ? ref : NULL);
		again = entry != NULL && is_index(entry);
		json = entry != NULL ? blob_json(dir, entry, "the image's manifest") : NULL;
		json_decref(index);
		if (!again)
			return json;
		index = json;
	}
	if (index != NULL)
		leat_error("cannot use the image in %s: its indexes do not end", dir);
	json_decref(index);
	return NULL;
}

/* ---- layers ---- */

static int layers_apply(const char *dir, const json_t *manifest, int root_fd)
{
	const json_t *layers = json_object_get(manifest, "layers"), *layer;
	uint64_t left = ABI_ROOT_MAX;
	char error[OCI_ERROR_MAX];
	size_t i;

	if (!json_is_array(layers) || json_array_size(layers) > LAYERS_MAX)
		return leat_error("cannot use the image in %s: no list of at most %u layers", dir,
				  LAYERS_MAX);
	json_array_foreach(layers, i, layer)
	{
		int fd = blob_open(dir, layer), r;

		if (fd < 0)
			return EXIT_LEAT;
		r = oci_layer_apply(fd, root_fd, &left, error);
		close(fd);
		if (r < 0)
			return leat_error("cannot unpack layer %zu of the image in %s: %s", i + 1,
					  dir, error);
	}
	return 0;
}

int oci_unpack(const char *dir, const char *ref, int root_fd, json_t **ret_config)
{
	json_t *manifest = manifest_find(dir, ref), *config;
	int code;

	if (manifest == NULL)
		return EXIT_LEAT;
	config = blob_json(dir, json_object_get(manifest, "config"), "the image's configuration");
	code = config == NULL ? EXIT_LEAT : layers_apply(dir, manifest, root_fd);
	json_decref(manifest);
	if (code != 0)
		json_decref(config);
	else
		*ret_config = config;
	return code;
}
