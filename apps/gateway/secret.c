/*
 * secret.c - secrets as files: a folder for each function with those that it names, mounted into
 * its instances. A new value replaces the file by a rename, so that nobody reads half of it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "apps/gateway/gateway.h"

struct writing {
	const struct function *fn;
	const char *only; /* this name; NULL: all */
	const char *dir;
	unsigned written;
	int error;
};

static bool names_secret(const struct function *fn, const char *name)
{
	size_t i;
	const json_t *entry;

	json_array_foreach(json_object_get(fn->spec.json, "secrets"), i,
			   entry) if (strcmp(json_string_value(entry), name) == 0) return true;
	return false;
}

static int file_write(const char *dir, const char *name, const void *value, size_t size)
{
	char path[600], fresh[600];
	int fd, r = 0;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	/* a name that no secret can have */
	snprintf(fresh, sizeof(fresh), "%s/.new", dir);
	fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0400);
	if (fd < 0)
		return -errno;
	if ((size != 0 && write(fd, value, size) != (ssize_t)size) || rename(fresh, path) < 0)
		r = errno != 0 ? -errno : -ENOSPC;
	close(fd);
	return r;
}

static void write_one(void *arg, const char *tenant, const char *name, const void *value,
		      size_t size)
{
	struct writing *writing = arg;

	(void)tenant;
	if (!names_secret(writing->fn, name) ||
	    (writing->only != NULL && strcmp(writing->only, name) != 0))
		return;
	writing->written++;
	if (writing->error == 0)
		writing->error = file_write(writing->dir, name, value, size);
}

static void dir_of(const struct function *fn, char *dir, size_t size)
{
	snprintf(dir, size, "%s/secrets/%s", gw.state_dir, fn->spec.name);
}

int secrets_write(const struct function *fn, char *ret_dir, size_t size, char error[REASON_MAX])
{
	struct writing writing = {.fn = fn, .dir = ret_dir};
	char parent[300];

	snprintf(parent, sizeof(parent), "%s/secrets", gw.state_dir);
	mkdir(parent, 0700);
	dir_of(fn, ret_dir, size);
	if (mkdir(ret_dir, 0700) < 0 && errno != EEXIST)
		writing.error = -errno;
	store_secrets(fn->spec.tenant, write_one, &writing);
	if (writing.error < 0)
		snprintf(error, REASON_MAX, "cannot write its secrets: %s",
			 strerror(-writing.error));
	else if (writing.written < json_array_size(json_object_get(fn->spec.json, "secrets")))
		snprintf(error, REASON_MAX, "not all of its secrets are there: leat secret %s",
			 "NAME --from FILE makes one");
	else
		return 0;
	return -ENOENT;
}

void secrets_rotate(const char *tenant, const char *name)
{
	struct list *pos;
	char dir[512];

	list_for_each(pos, &gw.functions) {
		struct function *fn = list_entry(pos, struct function, node);
		struct writing writing = {.fn = fn, .only = name, .dir = dir};

		if (strcmp(fn->spec.tenant, tenant) != 0 || !names_secret(fn, name))
			continue;
		dir_of(fn, dir, sizeof(dir));
		if (access(dir, F_OK) == 0) /* else it has no instance that could see it */
			store_secrets(tenant, write_one, &writing);
		template_renew(fn); /* it may have read the old one */
		if (writing.error < 0)
			function_failed(fn, "secret %s cannot be written: %s", name,
					strerror(-writing.error));
	}
}
