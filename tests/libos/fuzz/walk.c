/*
 * walk.c - looks at everything in an EROFS image: each inode once, breadth first.
 */
#include "tests/libos/fuzz/walk.h"

#include <string.h>
#include <sys/stat.h>

#include "libos/fs/erofs.h"

#define NODES_MAX 256U
#define ENTRIES_MAX 512U
#define READ_MAX (256U << 10)

struct walk {
	const struct erofs *fs;
	uint64_t todo[NODES_MAX];
	unsigned nr_todo;
	unsigned nr_entries;
	struct erofs_inode *dir;
	struct walk_result *result;
};

static void add(struct walk *w, const void *bytes, size_t n)
{
	const uint8_t *p = bytes;

	while (n-- > 0)
		w->result->sum = w->result->sum * 31 + *p++;
}

static int see_entry(const struct erofs_dirent *entry, void *arg)
{
	struct walk *w = arg;
	struct erofs_dirent found;

	add(w, entry->name, entry->name_len);
	erofs_dir_find(w->fs, w->dir, entry->name, entry->name_len, &found);
	if (w->nr_todo < NODES_MAX && entry->name[0] != '.')
		w->todo[w->nr_todo++] = entry->nid;
	return ++w->nr_entries == ENTRIES_MAX;
}

static int see_xattr(const struct erofs_xattr *xattr, void *arg)
{
	struct walk *w = arg;

	add(w, xattr->prefix, strlen(xattr->prefix));
	add(w, xattr->name, xattr->name_len);
	add(w, xattr->value, xattr->value_bytes);
	return 0;
}

static void see_data(struct walk *w, const struct erofs_inode *inode)
{
	static uint8_t buf[READ_MAX];
	int64_t got = erofs_read(w->fs, inode, buf, sizeof(buf), 0);

	w->result->errors += got < 0;
	if (got > 0)
		add(w, buf, (size_t)got);
	/* somewhere in the middle, and the end */
	if (inode->size > 2) {
		got = erofs_read(w->fs, inode, buf, 4096, inode->size / 2);
		got = got < 0 ? got : erofs_read(w->fs, inode, buf, 1, inode->size - 1);
		w->result->errors += got < 0;
	}
}

int erofs_walk(const void *base, size_t size, struct walk_result *ret_result)
{
	struct erofs fs;
	struct erofs_inode inode;
	struct walk w = {.fs = &fs, .dir = &inode, .result = ret_result};
	const char *why = NULL;
	int err = erofs_open(base, size, &fs, &why);

	memset(ret_result, 0, sizeof(*ret_result));
	if (err)
		return err;
	w.todo[w.nr_todo++] = fs.root_nid;
	for (unsigned i = 0; i < w.nr_todo; i++) {
		err = erofs_inode_get(&fs, w.todo[i], &inode);
		ret_result->nodes++;
		if (err) {
			ret_result->errors++;
			continue;
		}
		add(&w, &inode.mode, sizeof(inode.mode));
		add(&w, &inode.size, sizeof(inode.size));
		add(&w, &inode.uid, sizeof(inode.uid));
		w.nr_entries = 0;
		if (S_ISDIR(inode.mode))
			ret_result->errors += erofs_dir_each(&fs, &inode, see_entry, &w) < 0;
		else if (S_ISREG(inode.mode) || S_ISLNK(inode.mode))
			see_data(&w, &inode);
		ret_result->errors += erofs_xattr_each(&fs, &inode, see_xattr, &w) < 0;
	}
	return 0;
}
