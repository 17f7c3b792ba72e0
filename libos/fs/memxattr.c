/*
 * memxattr.c - extended attributes of files in memory: user.*, and trusted.* and security.* for
 * root.
 */
#include <errno.h>
#include <string.h>

#include "libos/arena.h"
#include "libos/fs/memfs.h"
#include "libos/instance.h"

#define XATTR_CREATE_FLAG 1
#define XATTR_REPLACE_FLAG 2

void mem_xattrs_free(struct mem_inode *mi)
{
	struct list *pos, *tmp;

	list_for_each_safe(pos, tmp, &mi->xattrs) {
		struct xattr *x = list_entry(pos, struct xattr, node);

		arena_free(x->value);
		arena_free(x);
	}
	list_init(&mi->xattrs);
}

static bool has_prefix(const char *name, const char *prefix)
{
	return strncmp(name, prefix, strlen(prefix)) == 0 && name[strlen(prefix)];
}

/* xattr(7): which name spaces there are, and who may use them. */
static int name_check(const struct inode *inode, const char *name, bool write)
{
	if (has_prefix(name, "user.")) {
		if (S_ISREG(inode->mode) || S_ISDIR(inode->mode))
			return 0;
		return write ? -EPERM : -ENODATA;
	}
	if (has_prefix(name, "trusted."))
		return capable(CAP_SYS_ADMIN) ? 0 : write ? -EPERM : -ENODATA;
	if (strcmp(name, "security.capability") == 0)
		return !write || capable(CAP_SETFCAP) ? 0 : -EPERM;
	if (has_prefix(name, "security."))
		return !write || capable(CAP_SYS_ADMIN) ? 0 : -EPERM;
	return -EOPNOTSUPP;
}

/* What the lower layer has becomes ours with the first look at it. */
static int xattrs_load(struct mem_inode *mi)
{
	int err = mi->xattrs_lower ? mi->below->xattrs_load(mi) : 0;

	if (!err)
		mi->xattrs_lower = false;
	return err;
}

static struct xattr *xattr_find(struct mem_inode *mi, const char *name)
{
	struct list *pos;

	list_for_each(pos, &mi->xattrs) {
		struct xattr *x = list_entry(pos, struct xattr, node);

		if (strcmp(x->name, name) == 0)
			return x;
	}
	return NULL;
}

long mem_getxattr(struct inode *inode, const char *name, void *buf, size_t size)
{
	struct mem_inode *mi = mem_inode_of(inode);
	int err = name_check(inode, name, false);
	struct xattr *x;

	if (!err)
		err = xattrs_load(mi);
	if (err)
		return err;
	x = xattr_find(mi, name);
	if (!x)
		return -ENODATA;
	if (size == 0)
		return (long)x->size;
	if (size < x->size)
		return -ERANGE;
	memcpy(buf, x->value, x->size);
	return (long)x->size;
}

int mem_setxattr(struct inode *inode, const char *name, const void *val, size_t size, int flags)
{
	struct mem_inode *mi = mem_inode_of(inode);
	int err = name_check(inode, name, true);
	struct xattr *x;
	char *value;

	if (!err)
		err = xattrs_load(mi);
	if (err)
		return err;
	x = xattr_find(mi, name);
	if (x && (flags & XATTR_CREATE_FLAG))
		return -EEXIST;
	if (!x && (flags & XATTR_REPLACE_FLAG))
		return -ENODATA;
	value = arena_alloc(size + 1);
	if (!value)
		return -ENOSPC;
	memcpy(value, val, size);
	if (!x) {
		x = arena_zalloc(sizeof(*x) + strlen(name) + 1);
		if (!x) {
			arena_free(value);
			return -ENOSPC;
		}
		memcpy(x->name, name, strlen(name) + 1);
		list_add_tail(&mi->xattrs, &x->node);
	}
	overlay_make_upper(inode);
	arena_free(x->value);
	x->value = value;
	x->size = size;
	inode_touch_ctime(inode);
	return 0;
}

long mem_listxattr(struct inode *inode, char *buf, size_t size)
{
	struct mem_inode *mi = mem_inode_of(inode);
	bool all = capable(CAP_SYS_ADMIN);
	size_t used = 0;
	struct list *pos;
	int err = xattrs_load(mi);

	if (err)
		return err;
	list_for_each(pos, &mi->xattrs) {
		struct xattr *x = list_entry(pos, struct xattr, node);
		size_t len = strlen(x->name) + 1;

		if (has_prefix(x->name, "trusted.") && !all)
			continue;
		if (size) {
			if (used + len > size)
				return -ERANGE;
			memcpy(buf + used, x->name, len);
		}
		used += len;
	}
	return (long)used;
}

int mem_removexattr(struct inode *inode, const char *name)
{
	struct mem_inode *mi = mem_inode_of(inode);
	int err = name_check(inode, name, true);
	struct xattr *x;

	if (!err)
		err = xattrs_load(mi);
	if (err)
		return err;
	x = xattr_find(mi, name);
	if (!x)
		return -ENODATA;
	overlay_make_upper(inode);
	list_del(&x->node);
	arena_free(x->value);
	arena_free(x);
	inode_touch_ctime(inode);
	return 0;
}
