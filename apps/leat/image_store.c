/*
 * image_store.c - images by name: content under its digest, names that point to it.
 *
 * A file comes into sight by rename when it is complete and on the disk, so that a reader sees
 * either nothing or all of it; whoever changes names holds a lock on the folder.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "apps/common/paths.h"
#include "apps/leat/image.h"
#include "apps/leat/leat.h"

#define CONTENT_DIR "sha256"
#define NAMES_DIR "names"
#define SLASH_AS '@' /* in the file of a name; no name has it */

/* ---- places ---- */

static void images_path(char ret_path[PATH_MAX], const char *dir, const char *file,
			const char *suffix)
{
	char data[PATH_MAX / 2];

	paths_data_dir(data, sizeof(data));
	snprintf(ret_path, PATH_MAX, "%s/images/%s%s%.300s%s", data, dir, *file ? "/" : "", file,
		 suffix);
}

static void content_path(char ret_path[PATH_MAX], const char *digest)
{
	images_path(ret_path, CONTENT_DIR, digest + strlen(DIGEST_PREFIX), ".erofs");
}

/* With a tag, and slashes out of the way. */
static void name_path(char ret_path[PATH_MAX], const char *name)
{
	char file[256];

	snprintf(file, sizeof(file), "%s%s", name, strchr(name, ':') != NULL ? "" : ":latest");
	for (char *c = file; *c != '\0'; c++)
		if (*c == '/')
			*c = SLASH_AS;
	images_path(ret_path, NAMES_DIR, file, "");
}

bool images_name_ok(const char *name)
{
	static const char alnum[] = "abcdefghijklmnopqrstuvwxyz0123456789";
	const char *tag = strchr(name, ':');
	size_t len = tag != NULL ? (size_t)(tag - name) : strlen(name), i;

	if (len == 0 || strlen(name) > 200 || strchr(alnum, name[0]) == NULL ||
	    strchr(alnum, name[len - 1]) == NULL)
		return false;
	for (i = 0; i < len; i++)
		if (strchr(alnum, name[i]) == NULL &&
		    (strchr("._-/", name[i]) == NULL || (name[i] == '/' && name[i + 1] == '/')))
			return false;
	if (tag == NULL)
		return true;
	len = strlen(++tag);
	return len > 0 && strchr(".-", tag[0]) == NULL &&
	       strspn(tag, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") ==
		       len;
}

static int dirs_make(void)
{
	static const char *const dirs[] = {CONTENT_DIR, NAMES_DIR};
	char path[PATH_MAX];

	for (size_t i = 0; i < 2; i++) {
		images_path(path, dirs[i], "", "");
		for (char *c = path + 1; *c != '\0'; c++) {
			if (*c != '/')
				continue;
			*c = '\0';
			if (mkdir(path, 0755) < 0 && errno != EEXIST)
				return leat_error("cannot make the store of images %s: %s", path,
						  strerror(errno));
			*c = '/';
		}
		if (mkdir(path, 0755) < 0 && errno != EEXIST)
			return leat_error("cannot make the store of images %s: %s", path,
					  strerror(errno));
	}
	return 0;
}

/* A descriptor to be closed, which lets the lock go. */
static int images_lock(void)
{
	char path[PATH_MAX];
	int fd;

	if (dirs_make() != 0)
		return -1;
	images_path(path, NAMES_DIR, "", "");
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || flock(fd, LOCK_EX) < 0) {
		leat_error("cannot lock the store of images %s: %s", path, strerror(errno));
		if (fd >= 0)
			close(fd);
		return -1;
	}
	return fd;
}

/* ---- looking up ---- */

/* What a name's file holds. 0 or negative errno; -EUCLEAN: no digest. */
static int name_read(const char *path, char ret_digest[DIGEST_TEXT_MAX])
{
	FILE *file = fopen(path, "re");
	size_t got;

	if (file == NULL)
		return -errno;
	got = fread(ret_digest, 1, DIGEST_TEXT_MAX - 1, file);
	ret_digest[got] = '\0';
	ret_digest[strcspn(ret_digest, "\n")] = '\0';
	fclose(file);
	return digest_ok(ret_digest) ? 0 : -EUCLEAN;
}

bool images_is_file(const char *name)
{
	size_t len = name != NULL ? strlen(name) : 0;

	return len > 0 &&
	       (name[0] == '/' || strncmp(name, "./", 2) == 0 || strncmp(name, "../", 3) == 0 ||
		(len > 6 && strcmp(name + len - 6, ".erofs") == 0));
}

int image_find(const char *name, char ret_path[PATH_MAX])
{
	char digest[DIGEST_TEXT_MAX], path[PATH_MAX];
	int r;

	if (images_is_file(name)) {
		snprintf(ret_path, PATH_MAX, "%s", name);
		return 0;
	}
	if (digest_ok(name)) {
		content_path(ret_path, name);
		return access(ret_path, R_OK) == 0 ?
			       0 :
			       leat_error("no image %s; leat image ls lists them", name);
	}
	if (!images_name_ok(name))
		return leat_error("cannot use the image '%s': a file, NAME[:TAG] or " DIGEST_PREFIX
				  "...",
				  name);
	name_path(path, name);
	r = name_read(path, digest);
	if (r == -ENOENT)
		return leat_error("no image %s; leat image ls lists them", name);
	if (r < 0)
		return leat_error("cannot use the image %s: its name in the store is damaged",
				  name);
	content_path(ret_path, digest);
	return 0;
}

/* ---- taking in ---- */

int images_temporary(char ret_path[PATH_MAX], int *ret_fd)
{
	if (dirs_make() != 0)
		return EXIT_LEAT;
	images_path(ret_path, CONTENT_DIR, ".new-XXXXXX", "");
	*ret_fd = mkostemp(ret_path, O_CLOEXEC);
	if (*ret_fd < 0)
		return leat_error("cannot make a file in the store of images: %s", strerror(errno));
	return 0;
}

static int dir_sync(const char *dir)
{
	char path[PATH_MAX];
	int fd, r;

	images_path(path, dir, "", "");
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = fd < 0 || fsync(fd) < 0 ? -errno : 0;
	if (fd >= 0)
		close(fd);
	return r;
}

static int name_write(const char *name, const char *digest)
{
	char path[PATH_MAX], temporary[PATH_MAX];
	FILE *file;
	bool ok;
	int fd;

	name_path(path, name);
	images_path(temporary, NAMES_DIR, ".new-XXXXXX", "");
	fd = mkostemp(temporary, O_CLOEXEC);
	file = fd < 0 ? NULL : fdopen(fd, "w");
	if (file == NULL)
		return leat_error("cannot write to the store of images: %s", strerror(errno));
	fchmod(fd, 0644);
	fprintf(file, "%s\n", digest);
	ok = fflush(file) == 0 && fsync(fd) == 0;
	ok = fclose(file) == 0 && ok && rename(temporary, path) == 0 && dir_sync(NAMES_DIR) == 0;
	if (!ok) {
		unlink(temporary);
		return leat_error("cannot write to the store of images: %s", strerror(errno));
	}
	return 0;
}

int images_add(const char *path, int fd, const char *name, char ret_digest[DIGEST_TEXT_MAX])
{
	char place[PATH_MAX];
	int r = digest_file(fd, ret_digest), lock, code = 0;

	if (r == 0 && (fchmod(fd, 0444) < 0 || fsync(fd) < 0))
		r = -errno;
	if (r < 0)
		return leat_error("cannot take the image in: %s", strerror(-r));
	lock = images_lock();
	if (lock < 0)
		return EXIT_LEAT;
	content_path(place, ret_digest);
	if (rename(path, place) < 0 || dir_sync(CONTENT_DIR) < 0)
		code = leat_error("cannot take the image in: %s", strerror(errno));
	if (code == 0 && name != NULL)
		code = name_write(name, ret_digest);
	close(lock);
	return code;
}

/* ---- listing ---- */

struct listing {
	struct images_entry *entries;
	size_t nr, room;
};

static int listing_put(struct listing *list, const char *name, const char *digest)
{
	struct images_entry *entry;
	char path[PATH_MAX];
	struct stat st;

	if (list->nr == list->room) {
		size_t room = list->room != 0 ? list->room * 2 : 32;
		struct images_entry *more = realloc(list->entries, room * sizeof(*more));

		if (more == NULL)
			return -ENOMEM;
		list->entries = more;
		list->room = room;
	}
	entry = &list->entries[list->nr++];
	*entry = (struct images_entry){0};
	snprintf(entry->name, sizeof(entry->name), "%s", name);
	for (char *c = entry->name; *c != '\0'; c++)
		if (*c == SLASH_AS)
			*c = '/';
	snprintf(entry->digest, sizeof(entry->digest), "%s", digest);
	content_path(path, digest);
	if (stat(path, &st) == 0) {
		entry->bytes = (uint64_t)st.st_size;
		entry->made = st.st_mtim.tv_sec;
	}
	return 0;
}

static bool listing_has(const struct listing *list, const char *digest)
{
	for (size_t i = 0; i < list->nr; i++)
		if (strcmp(list->entries[i].digest, digest) == 0)
			return true;
	return false;
}

static int each_file(const char *dir, int (*fn)(const char *file, void *arg), void *arg)
{
	char path[PATH_MAX];
	const struct dirent *entry;
	DIR *stream;
	int r = 0;

	images_path(path, dir, "", "");
	stream = opendir(path);
	if (stream == NULL)
		return errno == ENOENT ? 0 : -errno;
	while (r == 0 && (entry = readdir(stream)) != NULL)
		if (entry->d_name[0] != '.')
			r = fn(entry->d_name, arg);
	closedir(stream);
	return r;
}

static int name_put(const char *file, void *arg)
{
	char path[PATH_MAX], digest[DIGEST_TEXT_MAX];

	images_path(path, NAMES_DIR, file, "");
	return name_read(path, digest) < 0 ? 0 : listing_put(arg, file, digest);
}

static int content_put(const char *file, void *arg)
{
	char digest[DIGEST_TEXT_MAX];

	snprintf(digest, sizeof(digest), DIGEST_PREFIX "%.64s", file);
	return !digest_ok(digest) || listing_has(arg, digest) ? 0 :
								listing_put(arg, "<none>", digest);
}

static int entry_compare(const void *a, const void *b)
{
	const struct images_entry *left = a, *right = b;

	return strcmp(left->name, right->name);
}

int images_list(struct images_entry **ret_list, size_t *ret_nr)
{
	struct listing list = {0};
	int r = each_file(NAMES_DIR, name_put, &list);

	if (r == 0)
		r = each_file(CONTENT_DIR, content_put, &list);
	if (r < 0) {
		free(list.entries);
		return leat_error("cannot list the images: %s", strerror(-r));
	}
	if (list.nr > 1)
		qsort(list.entries, list.nr, sizeof(*list.entries), entry_compare);
	*ret_list = list.entries;
	*ret_nr = list.nr;
	return 0;
}

/* ---- removing ---- */

static int names_drop(const struct images_entry *list, size_t nr, const char *digest)
{
	char path[PATH_MAX];

	for (size_t i = 0; i < nr; i++) {
		if (strcmp(list[i].digest, digest) != 0 || list[i].name[0] == '<')
			continue;
		name_path(path, list[i].name);
		if (unlink(path) < 0)
			return leat_error("cannot remove %s: %s", list[i].name, strerror(errno));
	}
	return 0;
}

static int remove_locked(const char *name)
{
	char path[PATH_MAX], digest[DIGEST_TEXT_MAX];
	struct images_entry *list = NULL;
	size_t nr = 0, left = 0;
	int code = images_list(&list, &nr);

	if (code == 0 && digest_ok(name)) {
		strcpy(digest, name);
		code = names_drop(list, nr, digest);
	} else if (code == 0) {
		name_path(path, name);
		if (!images_name_ok(name) || name_read(path, digest) < 0)
			code = leat_error("no image %s; leat image ls lists them", name);
		else if (unlink(path) < 0)
			code = leat_error("cannot remove %s: %s", name, strerror(errno));
		for (size_t i = 0; code == 0 && i < nr; i++)
			left += strcmp(list[i].digest, digest) == 0;
	}
	/* with the last name goes the content; who runs it has it open */
	content_path(path, code == 0 ? digest : DIGEST_PREFIX);
	if (code == 0 && left <= 1 && unlink(path) < 0)
		code = leat_error("no image %s; leat image ls lists them", name);
	free(list);
	return code;
}

int images_remove(const char *name)
{
	int lock = images_lock(), code;

	if (lock < 0)
		return EXIT_LEAT;
	code = remove_locked(name);
	close(lock);
	return code;
}
