/*
 * paths.c - finds Leat's files relative to the running executable.
 */
#include "apps/common/paths.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STATE_DIR_DEFAULT "/run/leat"

const char *paths_state_dir(void)
{
	const char *dir = getenv("LEAT_STATE_DIR");

	return dir && *dir ? dir : STATE_DIR_DEFAULT;
}

void paths_data_dir(char *ret_path, size_t size)
{
	const char *data = getenv("LEAT_DATA_DIR"), *state = getenv("LEAT_STATE_DIR");

	if (data != NULL && *data != '\0')
		snprintf(ret_path, size, "%s", data);
	else if (state != NULL && *state != '\0')
		snprintf(ret_path, size, "%s/data", state);
	else
		snprintf(ret_path, size, "/var/lib/leat");
}

static int find(const char *const *dirs, const char *name, char *ret_path, size_t size)
{
	char self[PATH_MAX], path[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (n <= 0)
		return -ENOENT;
	self[n] = 0;
	*strrchr(self, '/') = 0;
	for (unsigned i = 0; dirs[i]; i++) {
		int len = snprintf(path, sizeof(path), "%s%s/%s", self, dirs[i], name);
		if (len < 0 || (size_t)len >= sizeof(path) || (size_t)len >= size)
			return -ENAMETOOLONG;
		if (access(path, R_OK) == 0) {
			strcpy(ret_path, path);
			return 0;
		}
	}
	return -ENOENT;
}

int paths_find_program(const char *name, char *ret_path, size_t size)
{
	static const char *const dirs[] = {"", "/../libexec/leat", NULL};

	return find(dirs, name, ret_path, size);
}

int paths_find_filter(const char *name, char *ret_path, size_t size)
{
	/* from build/apps, from libexec/leat, from bin */
	static const char *const dirs[] = {"/../bpf/programs",
					   "/../../lib/leat/filters",
					   "/../../lib/x86_64-linux-gnu/leat/filters",
					   "/../lib/leat/filters",
					   "/../lib/x86_64-linux-gnu/leat/filters",
					   NULL};

	return find(dirs, name, ret_path, size);
}

int paths_find_leat(char *ret_path, size_t size)
{
	static const char *const dirs[] = {"", "/../../bin", NULL};

	return find(dirs, "leat", ret_path, size);
}
