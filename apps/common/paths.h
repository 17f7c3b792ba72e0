/*
 * paths.h - where Leat's own files are: beside the running executable, in the build tree or
 * installed.
 */
#pragma once

#include <stddef.h>

/* The state directory: $LEAT_STATE_DIR, or /run/leat. */
const char *paths_state_dir(void);

/*
 * What survives a restart: $LEAT_DATA_DIR, else "data" in $LEAT_STATE_DIR if that is set, else
 * /var/lib/leat.
 */
void paths_data_dir(char *ret_path, size_t size);

/* leat itself, for a daemon: beside it or in bin. 0 or -ENOENT. */
int paths_find_leat(char *ret_path, size_t size);

/* leatd, leat-launcher, leat-image: 0 or -ENOENT, -ENAMETOOLONG. */
int paths_find_program(const char *name, char *ret_path, size_t size);

/* A filter of the base library, e.g. "antispoof.bpf.o". */
int paths_find_filter(const char *name, char *ret_path, size_t size);
