/*
 * filter.c - filters: from an object file to something that the DPU runs.
 */
#include "apps/leatd/leatd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "apps/common/paths.h"
#include "apps/leatd/log.h"

#define DEFAULT_FILTER "antispoof.bpf.o"
#define OBJECT_MAX (8U << 20) /* bytes of an object file */

/* The whole file: mapped files could change under the verifier. */
static int file_read(int fd, void **ret_bytes, size_t *ret_size)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if (st.st_size > OBJECT_MAX)
		return -EFBIG;
	void *bytes = malloc((size_t)st.st_size + 1);
	if (!bytes)
		return -ENOMEM;
	ssize_t n = pread(fd, bytes, (size_t)st.st_size, 0);
	if (n != st.st_size) {
		free(bytes);
		return n < 0 ? -errno : -EIO;
	}
	*ret_bytes = bytes;
	*ret_size = (size_t)n;
	return 0;
}

static int object_load(int fd, char *error, size_t error_size, struct ebpf_object **ret_object)
{
	char report[EBPF_LOG_SIZE] = "";
	void *bytes = NULL;
	size_t size = 0;
	int r = file_read(fd, &bytes, &size);

	if (r < 0) {
		snprintf(error, error_size, "cannot read the filter: %s", strerror(-r));
		return r;
	}
	r = ebpf_object_load(bytes, size, report, sizeof(report), ret_object);
	free(bytes);
	if (r < 0)
		snprintf(error, error_size, "cannot use the filter: %s%s%s", strerror(-r),
			 *report ? "\n" : "", report);
	return r;
}

int filter_load(struct leatd *leatd, const char *kind, int object_fd, char *error,
		size_t error_size, struct ebpf_object **ret_object)
{
	if (strcmp(kind, "none") == 0) {
		*ret_object = NULL;
		return 0;
	}
	if (strcmp(kind, "default") == 0) {
		if (!leatd->default_filter) {
			snprintf(error, error_size,
				 "cannot use the default filter: it did not load (see the log)");
			return -ENOENT;
		}
		*ret_object = ebpf_object_ref(leatd->default_filter);
		return 0;
	}
	if (strcmp(kind, "object") != 0 || object_fd < 0) {
		snprintf(error, error_size, "cannot understand the filter of the request");
		return -EINVAL;
	}
	return object_load(object_fd, error, error_size, ret_object);
}

int filter_load_default(struct leatd *leatd)
{
	char path[PATH_MAX], error[EBPF_LOG_SIZE + 128];
	int r = paths_find_filter(DEFAULT_FILTER, path, sizeof(path));

	if (r < 0) {
		log_line(LOG_ERROR, "cannot find the default filter %s", DEFAULT_FILTER);
		return r;
	}
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		r = -errno;
		log_line(LOG_ERROR, "cannot open %s: %s", path, strerror(-r));
		return r;
	}
	r = object_load(fd, error, sizeof(error), &leatd->default_filter);
	close(fd);
	if (r < 0)
		log_line(LOG_ERROR, "%s: %s", path, error);
	return r;
}
