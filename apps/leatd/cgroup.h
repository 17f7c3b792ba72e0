/*
 * cgroup.h - the memory cgroup of an instance: version 1 or 2, whichever has the controller here.
 *
 * Only an instance with a memory limit gets one: joining costs milliseconds on version 1, and the
 * number of processes is limited by RLIMIT_NPROC of the instance's own uid.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct cgroup_root {
	char dir[160]; /* "": no memory controller that we may use */
	bool v2;
	const char *limit_file;
	const char *swap_file;
};

/* Finds the controller and makes leatd's own directory below it.  0, or why there is none. */
int cgroup_root_init(struct cgroup_root *root, uint32_t uid_low);
/* Removes leatd's directory. */
void cgroup_root_finish(struct cgroup_root *root);

/* Makes the group of an instance; *ret_procs_fd is to be joined by writing "0". */
int cgroup_create(const struct cgroup_root *root, uint32_t instance, uint64_t memory_bytes,
		  int *ret_procs_fd);
/* Once it is empty. */
void cgroup_destroy(const struct cgroup_root *root, uint32_t instance);
