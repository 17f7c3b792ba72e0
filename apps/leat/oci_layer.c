/*
 * oci_layer.c - one layer over those before it (OCI image specification, layer.md).
 *
 * A layer is read twice: first its whiteouts take away what older layers have, then its entries are
 * made.  The folder of each entry is looked up with openat2 and RESOLVE_IN_ROOT, so that no link
 * leads out; the last name is never followed.
 */
#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "apps/leat/oci.h"

#define WHITEOUT ".wh."
#define WHITEOUT_META ".wh..wh."
#define WHITEOUT_OPAQUE ".wh..wh..opq"
#define READ_BLOCK 65536U
#define REMOVE_DEPTH 512U

struct layer {
	int root_fd;
	uint64_t *left; /* bytes that may still be written */
	char *error;
	struct dir_time *times; /* of directories: set at the end, since entries change them */
	size_t nr_times, room_times;
};

/* Of a folder: said by an entry, or had before others were put into it or taken from it. */
struct dir_time {
	char *path;
	struct timespec mtime;
	bool said;
};

static int fail(const struct layer *layer, int err, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static int fail(const struct layer *layer, int err, const char *format, ...)
{
	va_list ap;
	size_t n;

	va_start(ap, format);
	vsnprintf(layer->error, OCI_ERROR_MAX, format, ap);
	va_end(ap);
	n = strlen(layer->error);
	if (err != -EINVAL)
		snprintf(layer->error + n, OCI_ERROR_MAX - n, ": %s", strerror(-err));
	return err;
}

/* ---- names ---- */

/* A path without "." and empty parts; -EINVAL: it has "..", or is too long. */
static int path_clean(const char *path, char ret_path[PATH_MAX])
{
	size_t used = 0;

	while (*path != '\0') {
		size_t len = strcspn(path, "/");

		if (len == 2 && path[0] == '.' && path[1] == '.')
			return -EINVAL;
		if (len > 0 && !(len == 1 && path[0] == '.')) {
			if (used + len + 2 > PATH_MAX)
				return -EINVAL;
			if (used != 0)
				ret_path[used++] = '/';
			memcpy(ret_path + used, path, len);
			used += len;
		}
		path += len + (path[len] == '/');
	}
	ret_path[used] = '\0';
	return 0;
}

static int dir_open(int root_fd, const char *path)
{
	struct open_how how = {.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC,
			       .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
	long fd = syscall(SYS_openat2, root_fd, *path != '\0' ? path : ".", &how, sizeof(how));

	return fd < 0 ? -errno : (int)fd;
}

static int time_keep(struct layer *layer, const char *path, struct timespec mtime, bool said)
{
	if (!said && layer->nr_times > 0 &&
	    strcmp(layer->times[layer->nr_times - 1].path, path) == 0)
		return 0;
	if (layer->nr_times == layer->room_times) {
		size_t room = layer->room_times != 0 ? layer->room_times * 2 : 64;
		struct dir_time *more = realloc(layer->times, room * sizeof(*more));

		if (more == NULL)
			return -ENOMEM;
		layer->times = more;
		layer->room_times = room;
	}
	path = strdup(path);
	if (path == NULL)
		return -ENOMEM;
	layer->times[layer->nr_times++] = (struct dir_time){(char *)(uintptr_t)path, mtime, said};
	return 0;
}

/* The folder of an entry, and the entry's own name; the folder's time will be as it is now. */
static int parent_open(struct layer *layer, const char *path, const char **ret_name)
{
	const char *slash = strrchr(path, '/');
	char part[PATH_MAX];
	struct stat st;
	int fd, r;

	*ret_name = slash != NULL ? slash + 1 : path;
	snprintf(part, sizeof(part), "%.*s", slash != NULL ? (int)(slash - path) : 0, path);
	fd = dir_open(layer->root_fd, part);
	if (fd < 0)
		return fd;
	r = fstat(fd, &st) < 0 ? -errno : time_keep(layer, part, st.st_mtim, false);
	if (r == 0)
		return fd;
	close(fd);
	return r;
}

/* One missing folder, with the time of the entry that wants it. */
static int folder_make(struct layer *layer, const char *path, struct timespec mtime)
{
	const char *name;
	int above = parent_open(layer, path, &name), r;

	if (above < 0)
		return above;
	r = mkdirat(above, name, 0755) < 0 ? -errno : time_keep(layer, path, mtime, false);
	close(above);
	return r == -EEXIST ? 0 : r;
}

/* As parent_open; what is missing of the folder is made. */
static int parent_make(struct layer *layer, const char *path, struct timespec mtime,
		       const char **ret_name)
{
	int fd = parent_open(layer, path, ret_name), r = 0;
	char part[PATH_MAX];

	if (fd != -ENOENT)
		return fd;
	strcpy(part, path);
	for (char *slash = strchr(part, '/'); r == 0 && slash != NULL;
	     slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		r = folder_make(layer, part, mtime);
		*slash = '/';
	}
	return r < 0 ? r : parent_open(layer, path, ret_name);
}

/* ---- removing ---- */

static int remove_entry(int dir_fd, const char *name, unsigned depth);

static int remove_children(int fd, unsigned depth)
{
	DIR *dir = fdopendir(dup(fd));
	const struct dirent *entry;
	int r = 0;

	if (dir == NULL)
		return -errno;
	rewinddir(dir);
	while (r == 0 && (entry = readdir(dir)) != NULL)
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			r = remove_entry(fd, entry->d_name, depth + 1);
	closedir(dir);
	return r;
}

/* A tree or a file; one that is not there is as good as removed. */
static int remove_entry(int dir_fd, const char *name, unsigned depth)
{
	int fd, r;

	if (unlinkat(dir_fd, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return -errno;
	if (depth > REMOVE_DEPTH)
		return -ELOOP;
	fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = remove_children(fd, depth);
	close(fd);
	return r == 0 && unlinkat(dir_fd, name, AT_REMOVEDIR) < 0 ? -errno : r;
}

/* ---- the first reading ---- */

static int whiteout_take(struct layer *layer, struct archive_entry *entry)
{
	const char *given = archive_entry_pathname(entry), *name;
	char path[PATH_MAX];
	int fd, r;

	if (given == NULL || path_clean(given, path) < 0)
		return fail(layer, -EINVAL, "it has an entry with a bad name: %s",
			    given != NULL ? given : "(not UTF-8)");
	name = strrchr(path, '/') != NULL ? strrchr(path, '/') + 1 : path;
	if (strncmp(name, WHITEOUT, strlen(WHITEOUT)) != 0)
		return 0;
	fd = parent_open(layer, path, &name);
	if (fd == -ENOENT || fd == -ENOTDIR)
		return 0; /* nothing there to hide */
	if (fd < 0)
		return fail(layer, fd, "cannot apply %s", given);
	r = 0;
	if (strcmp(name, WHITEOUT_OPAQUE) == 0)
		r = remove_children(fd, 0);
	else if (strncmp(name, WHITEOUT_META, strlen(WHITEOUT_META)) != 0 &&
		 strcmp(name + strlen(WHITEOUT), "") != 0 &&
		 strcmp(name + strlen(WHITEOUT), ".") != 0 &&
		 strcmp(name + strlen(WHITEOUT), "..") != 0)
		r = remove_entry(fd, name + strlen(WHITEOUT), 0);
	close(fd);
	return r < 0 ? fail(layer, r, "cannot apply %s", given) : 0;
}

/* ---- the second reading: making entries ---- */

static int hardlink_make(struct layer *layer, const char *target, int dir_fd, const char *name)
{
	char path[PATH_MAX];
	const char *old;
	int fd, r;

	if (path_clean(target, path) < 0 || *path == '\0')
		return -EINVAL;
	fd = parent_open(layer, path, &old);
	if (fd < 0)
		return fd;
	r = linkat(fd, old, dir_fd, name, 0) < 0 ? -errno : 0;
	close(fd);
	return r;
}

static int file_make(struct layer *layer, struct archive *archive, struct archive_entry *entry,
		     int dir_fd, const char *name)
{
	int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	const void *block;
	size_t bytes;
	la_int64_t off;
	int r = fd < 0 ? -errno : 0, got = ARCHIVE_OK;

	while (r == 0 &&
	       (got = archive_read_data_block(archive, &block, &bytes, &off)) == ARCHIVE_OK) {
		ssize_t done = bytes > *layer->left ? -1 : pwrite(fd, block, bytes, off);

		if (done < 0)
			r = bytes > *layer->left ? -EFBIG : -errno;
		else if (done != (ssize_t)bytes)
			r = -ENOSPC;
		else
			*layer->left -= bytes;
	}
	if (r == 0 && got != ARCHIVE_EOF)
		r = -EUCLEAN;
	/* holes at the end are no blocks */
	if (r == 0 && ftruncate(fd, archive_entry_size(entry)) < 0)
		r = -errno;
	if (fd >= 0)
		close(fd);
	return r;
}

static int node_make(struct layer *layer, struct archive *archive, struct archive_entry *entry,
		     int dir_fd, const char *name)
{
	const char *link = archive_entry_symlink(entry);
	mode_t type = archive_entry_filetype(entry);

	switch (type) {
	case AE_IFREG:
		return file_make(layer, archive, entry, dir_fd, name);
	case AE_IFDIR:
		return mkdirat(dir_fd, name, 0700) < 0 && errno != EEXIST ? -errno : 0;
	case AE_IFLNK:
		if (link == NULL || *link == '\0')
			return -EUCLEAN;
		return symlinkat(link, dir_fd, name) < 0 ? -errno : 0;
	case AE_IFCHR:
	case AE_IFBLK:
	case AE_IFIFO:
	case AE_IFSOCK:
		return mknodat(dir_fd, name, type | 0600, archive_entry_rdev(entry)) < 0 ? -errno :
											   0;
	default:
		return -EUCLEAN;
	}
}

static int xattrs_set(struct archive_entry *entry, int dir_fd, const char *name)
{
	char path[PATH_MAX];
	const char *key;
	const void *value;
	size_t bytes;

	snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", dir_fd, name);
	archive_entry_xattr_reset(entry);
	while (archive_entry_xattr_next(entry, &key, &value, &bytes) == ARCHIVE_OK)
		/* overlayfs's own are no part of what a layer says */
		if (strncmp(key, "trusted.overlay.", 16) != 0 &&
		    lsetxattr(path, key, value, bytes, 0) < 0)
			return -errno;
	return 0;
}

static struct timespec mtime_of(struct archive_entry *entry)
{
	return (struct timespec){archive_entry_mtime(entry), archive_entry_mtime_nsec(entry)};
}

/* Owner before mode, which loses its set-id bits to a change of owner. */
static int attrs_set(struct layer *layer, struct archive_entry *entry, const char *path, int dir_fd,
		     const char *name)
{
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, mtime_of(entry)};
	bool link = archive_entry_filetype(entry) == AE_IFLNK;
	int r;

	if (fchownat(dir_fd, name, (uid_t)archive_entry_uid(entry), (gid_t)archive_entry_gid(entry),
		     AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (!link && fchmodat(dir_fd, name, archive_entry_perm(entry), 0) < 0)
		return -errno;
	r = xattrs_set(entry, dir_fd, name);
	if (r == 0 && archive_entry_filetype(entry) == AE_IFDIR)
		return time_keep(layer, path, times[1], true);
	if (r == 0 && utimensat(dir_fd, name, times, AT_SYMLINK_NOFOLLOW) < 0)
		r = -errno;
	return r;
}

/* What is in the way goes, unless both are directories. */
static int place_clear(struct archive_entry *entry, int dir_fd, const char *name)
{
	struct stat st;

	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (S_ISDIR(st.st_mode) && archive_entry_hardlink(entry) == NULL &&
	    archive_entry_filetype(entry) == AE_IFDIR)
		return 0;
	return remove_entry(dir_fd, name, 0);
}

static int entry_make(struct layer *layer, struct archive *archive, struct archive_entry *entry)
{
	const char *given = archive_entry_pathname(entry), *name;
	const char *hardlink = archive_entry_hardlink(entry);
	char path[PATH_MAX];
	int fd, r;

	path_clean(given, path); /* seen once: it is good */
	name = strrchr(path, '/') != NULL ? strrchr(path, '/') + 1 : path;
	if (strncmp(name, WHITEOUT, strlen(WHITEOUT)) == 0)
		return 0;
	fd = parent_make(layer, path, mtime_of(entry), &name);
	if (fd < 0)
		return fail(layer, fd, "cannot make the folder of %s", given);
	if (*path == '\0') {
		name = "."; /* the root itself */
		r = archive_entry_filetype(entry) == AE_IFDIR ? 0 : -EUCLEAN;
	} else {
		r = place_clear(entry, fd, name);
		if (r == 0)
			r = hardlink != NULL ? hardlink_make(layer, hardlink, fd, name) :
					       node_make(layer, archive, entry, fd, name);
	}
	if (r == 0 && hardlink == NULL)
		r = attrs_set(layer, entry, path, fd, name);
	close(fd);
	return r < 0 ? fail(layer, r, "cannot make %s", given) : 0;
}

/* ---- both ---- */

static struct archive *archive_make(void)
{
	struct archive *archive = archive_read_new();

	if (archive != NULL) {
		archive_read_support_filter_gzip(archive);
		archive_read_support_filter_zstd(archive);
		archive_read_support_format_tar(archive);
		archive_read_support_format_empty(archive);
	}
	return archive;
}

static int layer_read(struct layer *layer, int fd, bool whiteouts)
{
	struct archive *archive = archive_make();
	struct archive_entry *entry;
	int r = 0, got = ARCHIVE_FATAL;

	if (archive == NULL)
		return fail(layer, -ENOMEM, "cannot read it");
	if (lseek(fd, 0, SEEK_SET) < 0 ||
	    archive_read_open_fd(archive, fd, READ_BLOCK) != ARCHIVE_OK)
		r = fail(layer, -EINVAL, "it is no tar archive: %s", archive_error_string(archive));
	while (r == 0 && (got = archive_read_next_header(archive, &entry)) <= ARCHIVE_OK) {
		if (got < ARCHIVE_WARN) {
			r = fail(layer, -EINVAL, "its archive is damaged: %s",
				 archive_error_string(archive));
			break;
		}
		r = whiteouts ? whiteout_take(layer, entry) : entry_make(layer, archive, entry);
	}
	archive_read_free(archive);
	return r;
}

static int time_set(const struct layer *layer, const struct dir_time *time)
{
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, time->mtime};
	int fd = dir_open(layer->root_fd, time->path), r;

	if (fd == -ENOENT || fd == -ENOTDIR)
		return 0; /* replaced by a later entry of the same layer */
	r = fd < 0 || futimens(fd, times) < 0 ? -errno : 0;
	if (fd >= 0)
		close(fd);
	return r;
}

/* What was there first counts, unless an entry says something: then the last one. */
static int times_set(const struct layer *layer)
{
	int r = 0;

	for (size_t i = layer->nr_times; i-- > 0 && r == 0;)
		if (!layer->times[i].said)
			r = time_set(layer, &layer->times[i]);
	for (size_t i = 0; i < layer->nr_times && r == 0; i++)
		if (layer->times[i].said)
			r = time_set(layer, &layer->times[i]);
	return r < 0 ? fail(layer, r, "cannot set the times of folders") : 0;
}

int oci_layer_apply(int fd, int root_fd, uint64_t *inout_bytes, char error[OCI_ERROR_MAX])
{
	struct layer layer = {.root_fd = root_fd, .left = inout_bytes, .error = error};
	int r = layer_read(&layer, fd, true);

	if (r == 0)
		r = layer_read(&layer, fd, false);
	if (r == 0)
		r = times_set(&layer);
	for (size_t i = 0; i < layer.nr_times; i++)
		free(layer.times[i].path);
	free(layer.times);
	return r;
}
