/*
 * oci.h - OCI image layouts (github.com/opencontainers/image-spec, image-layout.md): folders with
 * an index, and blobs by their digests, as umoci and skopeo make them.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* Is the folder one? */
bool oci_is_layout(const char *dir);

/*
 * Lays an image out: its layers over one another in the empty folder root_fd, its configuration in
 * *ret_config.  ref: the image's name in the index, NULL: the only one.  Every blob is verified. 0,
 * or an exit code after the user has been told.
 */
int oci_unpack(const char *dir, const char *ref, int root_fd, json_t **ret_config);

/*
 * Applies one layer, an archive that libarchive reads from fd, below root_fd; nothing outside is
 * touched, whatever names and links it has.  *inout_bytes: what may still be written.  0, or a
 * negative errno with a sentence in error.
 */
#define OCI_ERROR_MAX 512U
int oci_layer_apply(int fd, int root_fd, uint64_t *inout_bytes, char error[OCI_ERROR_MAX]);
