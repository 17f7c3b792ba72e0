/*
 * snapshot.h - snapshots as files: the folder that `leat snapshot` makes, and its checks.
 *
 *   memory         leat/abi/snapshot.h
 *   request.json   what the instance was run with: how a clone is to be run
 *   checked        of which memory file, by inode and times, all bytes were found right
 */
#pragma once

#include <jansson.h>
#include <stddef.h>

#include "leat/abi/snapshot.h"

#define SNAPSHOT_MEMORY "memory"
#define SNAPSHOT_REQUEST "request.json"
#define SNAPSHOT_CHECKED "checked"

/*
 * Reads header and table and checks them against themselves, the host and, if it is not NULL, the
 * image (32 bytes).  -EINVAL: error says why it cannot be used.  Does not read the pages.
 */
int snapshot_head_check(int fd, const uint8_t *image_id, struct abi_snapshot *ret_head, char *error,
			size_t error_size);

/*
 * Opens a folder's memory and reads its request.  Pages are read and compared with their sum only
 * if that was not done since they were written.  -EINVAL: error says what is wrong.
 */
int snapshot_open(const char *dir, int *ret_fd, json_t **ret_request, char *error,
		  size_t error_size);

/* All bytes of the memory file were found right: later ones need not look again. */
void snapshot_mark_checked(int dir_fd, int fd);

/* The running host's, 16 bytes: 0 or negative errno. */
int snapshot_boot_id(uint8_t ret_id[16]);
