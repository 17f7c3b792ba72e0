/*
 * bench_script.c - benchmarks that are scripts, bench-NAME.py beside Leat's other programs.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "apps/common/paths.h"
#include "apps/leat/bench.h"
#include "apps/leat/leat.h"

#define PYTHON "/usr/bin/python3"
#define ARGS_MAX 64

int bench_script(int argc, char **argv)
{
	char file[64], path[PATH_MAX], self[PATH_MAX], python[] = PYTHON;
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *args[ARGS_MAX + 2] = {python, path};

	snprintf(file, sizeof(file), "bench-%.40s.py", argv[0]);
	if (n <= 0 || paths_find_program(file, path, sizeof(path)) != 0)
		return leat_error("cannot find %s beside leat's other programs", file);
	if (argc > ARGS_MAX)
		return leat_error("too many arguments");
	self[n] = '\0';
	setenv("LEAT_EXE", self, 1);
	memcpy(args + 2, argv + 1, (size_t)(argc - 1) * sizeof(*args));
	execv(python, args);
	return leat_error("cannot run %s: %s", python, strerror(errno));
}
