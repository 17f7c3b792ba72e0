/*
 * meminfo.h - the instance's memory as its programs see it: the limit and what is used of it.
 */
#pragma once

#include <stdint.h>

struct process;

struct meminfo {
	uint64_t total_bytes; /* --memory, or the host's */
	uint64_t free_bytes;
	uint64_t shared_bytes; /* memfs data */
	uint64_t arena_bytes;
};

/* Reads the resident sizes of the instance's host processes: costs a few host calls. */
void meminfo_get(struct meminfo *ret_info);

/* Resident bytes of one process's own memory. */
uint64_t meminfo_process_rss(const struct process *process);
