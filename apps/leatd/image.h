/*
 * image.h - the instance image as leatd hands it to the launcher.
 */
#pragma once

#include <stdint.h>

struct image {
	int fd; /* sealed copy: a later build or upgrade does not change running instances */
	uint64_t text_low;
	uint64_t text_high;
	uint8_t id[32]; /* SHA-256 of the file: snapshots belong to it */
};

/* -ENOEXEC: not an instance image. */
int image_open(const char *path, struct image *ret_image);
void image_close(struct image *image);
