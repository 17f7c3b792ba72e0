/*
 * image.h - root file systems as files: EROFS images with a description behind them.
 *
 * Behind the file system lie the description (JSON, as an OCI image's configuration: Entrypoint,
 * Cmd, Env, WorkingDir, User, ExposedPorts) and a footer that says where; an EROFS image made by
 * mkfs.erofs alone has neither, and an empty description.
 *
 * Images by name lie in a store: content by its SHA-256, names as small files that hold a digest.
 */
#pragma once

#include <jansson.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "libos/fs/erofs.h"

#define DIGEST_PREFIX "sha256:"
#define DIGEST_HEX_LEN 64U
#define DIGEST_TEXT_MAX (sizeof(DIGEST_PREFIX) + DIGEST_HEX_LEN)

struct image_footer {
	char magic[8]; /* "LEATIMG1" */
	uint64_t config_off;
	uint64_t config_bytes;
	uint8_t config_sha256[32];
	uint64_t reserved;
};

_Static_assert(sizeof(struct image_footer) == 64, "the footer's layout");

#define IMAGE_MAGIC "LEATIMG1"
#define IMAGE_CONFIG_MAX (1U << 20)

struct image {
	int fd;
	const void *base; /* the file, mapped for reading */
	size_t bytes;
	struct erofs fs;
	json_t *config;
	char path[PATH_MAX];
};

/* All of these return 0, or an exit code after the user has been told, if not said otherwise. */

/* A file's path: it begins with / or ./ or ../, or ends in .erofs. NULL is none. */
bool images_is_file(const char *name);

/* The path of such a file, or of what a name or digest of the store means. */
int image_find(const char *name, char ret_path[PATH_MAX]);
int image_open(const char *name, struct image *ret_image);
void image_close(struct image *image); /* of zeroes: harmless */

/* Which file it is, and that it was not written to: equal for the same one. */
json_t *image_identity(const struct image *image);

/* A regular file in it, at a path without links: malloc'ed, NUL at the end. NULL: there is none. */
char *image_read(const struct image *image, const char *path, size_t *ret_bytes);

/* Puts description and footer at the end of a file that mkfs.erofs made. 0 or negative errno. */
int image_describe(int fd, const json_t *config);

/* ---- digests ---- */

/* Of all bytes of the file, from its beginning. 0 or negative errno. */
int digest_file(int fd, char ret_digest[DIGEST_TEXT_MAX]);
bool digest_ok(const char *text);

/* ---- the store ---- */

/* NAME[:TAG], in lower case as registries have them; the tag is "latest" if none is given. */
bool images_name_ok(const char *name);

/* A new file in the store's folder, to be filled; its path to be given to images_add or unlinked.
 */
int images_temporary(char ret_path[PATH_MAX], int *ret_fd);

/* Takes the file in under its digest, and lets name (NULL: none) point to it. */
int images_add(const char *path, int fd, const char *name, char ret_digest[DIGEST_TEXT_MAX]);

struct images_entry {
	char name[256]; /* with its tag */
	char digest[DIGEST_TEXT_MAX];
	uint64_t bytes;
	int64_t made; /* seconds since 1970 */
};

/* Every name, and every content without one ("<none>"): *ret_list is to be freed. */
int images_list(struct images_entry **ret_list, size_t *ret_nr);

/* A name goes, and its content with the last one; of a digest all names go. */
int images_remove(const char *name);
