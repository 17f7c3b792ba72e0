/*
 * snapshot.h - writing the memory of an instance that stands still into a snapshot's file.
 */
#pragma once

#include "apps/common/snapshot.h"

struct snapshot_stats {
	uint64_t bytes; /* of memory */
	uint32_t runs;
};

/*
 * Reads the memory of host process pid and writes DIR/memory whole, by way of another name.  head
 * has what only the caller knows: nr_vcpus, image_id, request_crc.  0 or a negative errno.
 */
int snapshot_write(int dir_fd, int pid, struct abi_snapshot *head,
		   struct snapshot_stats *ret_stats);
