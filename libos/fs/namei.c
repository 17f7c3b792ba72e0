/*
 * namei.c - from a path to a place: the walk (path_resolution(7)).
 *
 * The walk goes over all components but the last; whoever called decides what the last one means,
 * and when that is a symbolic link to be followed, the walk goes on with the link's text.
 */
#include "libos/fs/namei.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "leat/base/bits.h"
#include "libos/arena.h"
#include "libos/instance.h"

static int walk_start(struct walk *w, int dirfd, const char *name)
{
	struct path_ctx *fs = current()->process->fs;
	struct file *file;

	w->root = fs->root;
	if (*name == '/' && !(w->flags & (LOOKUP_IN_ROOT | LOOKUP_BENEATH))) {
		w->cur = path_ref(w->root);
		return 0;
	}
	if (dirfd == AT_FDCWD) {
		w->cur = path_ref(fs->cwd);
	} else {
		file = fd_get(dirfd);
		if (!file)
			return -EBADF;
		if (!file->path.dentry || (*name && !S_ISDIR(file->path.dentry->inode->mode)))
			return *name ? -ENOTDIR : -ENOENT;
		w->cur = path_ref(file->path);
	}
	if (w->flags & (LOOKUP_IN_ROOT | LOOKUP_BENEATH))
		w->root = path_ref(w->cur);
	return 0;
}

int walk_init(struct walk *w, int dirfd, const char *name, unsigned flags)
{
	memset(w, 0, offsetof(struct walk, rest));
	w->flags = flags;
	if (!*name && !(flags & LOOKUP_EMPTY))
		return -ENOENT;
	return walk_start(w, dirfd, name);
}

int walk_init_at(struct walk *w, struct path base, unsigned flags)
{
	memset(w, 0, offsetof(struct walk, rest));
	w->flags = flags;
	w->root = current() ? current()->process->fs->root : base;
	w->cur = path_ref(base);
	return 0;
}

void walk_finish(struct walk *w)
{
	unsigned i;

	if (w->cur.dentry) {
		path_unref(w->cur);
		if (w->flags & (LOOKUP_IN_ROOT | LOOKUP_BENEATH))
			path_unref(w->root);
	}
	for (i = 0; i < w->nr_bufs; i++)
		arena_free(w->bufs[i]);
	memset(&w->cur, 0, sizeof(w->cur));
	w->nr_bufs = 0;
}

static void walk_set(struct walk *w, struct path to)
{
	struct path old = w->cur;

	w->cur = to;
	path_unref(old);
}

/* What is mounted on *path (referenced) replaces it. */
static int mounts_descend(const struct walk *w, struct path *path)
{
	while (unlikely(path->dentry->flags & DENTRY_MOUNT)) {
		struct mount *mnt = mount_at(path);
		struct path top;

		if (!mnt)
			return 0;
		if (w->flags & LOOKUP_NO_XDEV)
			return -EXDEV;
		top.mnt = mnt;
		top.dentry = mnt->root;
		top = path_ref(top);
		path_unref(*path);
		*path = top;
	}
	return 0;
}

static int walk_dotdot(struct walk *w)
{
	struct path up = path_ref(w->cur);
	int err;

	if (path_equal(up, w->root)) {
		path_unref(up);
		return w->flags & LOOKUP_BENEATH ? -EXDEV : 0;
	}
	while (up.dentry == up.mnt->root && up.mnt->parent) {
		struct path out = {up.mnt->parent, up.mnt->mountpoint};

		if (w->flags & LOOKUP_NO_XDEV) {
			path_unref(up);
			return -EXDEV;
		}
		out = path_ref(out);
		path_unref(up);
		up = out;
		if (path_equal(up, w->root))
			break;
	}
	if (!path_equal(up, w->root)) {
		struct dentry *parent = dentry_ref(up.dentry->parent);

		dentry_unref(up.dentry);
		up.dentry = parent;
	}
	err = mounts_descend(w, &up);
	if (err) {
		path_unref(up);
		return err;
	}
	walk_set(w, up);
	return 0;
}

static int walk_may_search(const struct walk *w)
{
	const struct inode *inode = w->cur.dentry->inode;

	if (!S_ISDIR(inode->mode))
		return -ENOTDIR;
	if (!current())
		return 0;
	if (w->flags & LOOKUP_REAL_IDS)
		return inode_permission_real(inode, X_OK);
	return inode_permission(inode, X_OK);
}

int walk_child(struct walk *w, const char *name, unsigned len, struct path *ret_path)
{
	struct path next = {w->cur.mnt, NULL};
	int err = walk_may_search(w);

	if (!err)
		err = dentry_lookup(w->cur.dentry, name, len, &next.dentry);
	if (err)
		return err;
	mount_ref(next.mnt);
	err = mounts_descend(w, &next);
	if (err) {
		path_unref(next);
		return err;
	}
	*ret_path = next;
	return 0;
}

/* Keeps text until the walk ends. */
static int walk_keep(struct walk *w, char *text)
{
	if (w->nr_bufs == FS_LINKS_MAX) {
		arena_free(text);
		return -ELOOP;
	}
	w->bufs[w->nr_bufs++] = text;
	return 0;
}

static int link_text(struct walk *w, struct inode *inode, const char **ret_text)
{
	char *buf = arena_alloc(FS_PATH_MAX);
	int len, err;

	if (!buf)
		return -ENOMEM;
	len = inode->ops->readlink(inode, buf);
	if (len < 0) {
		arena_free(buf);
		return len;
	}
	buf[len] = 0;
	err = walk_keep(w, buf);
	if (err)
		return err;
	if (len == 0)
		return -ENOENT;
	*ret_text = buf;
	return 0;
}

int walk_link(struct walk *w, struct path link, const char **ret_text)
{
	struct inode *inode = link.dentry->inode;
	struct path to;
	int err;

	if (w->flags & LOOKUP_NO_SYMLINKS)
		return -ELOOP;
	if (++w->nr_links > FS_LINKS_MAX)
		return -ELOOP;
	inode_touch_atime(inode);
	if (inode->ops->follow) {
		if (w->flags & (LOOKUP_NO_MAGICLINKS | LOOKUP_IN_ROOT | LOOKUP_BENEATH))
			return -ELOOP;
		err = inode->ops->follow(inode, &to);
		if (err == 0) {
			walk_set(w, to);
			*ret_text = NULL;
			return 0;
		}
		if (err != -ENOLINK) /* -ENOLINK: this one has text after all */
			return err;
	}
	err = link_text(w, inode, ret_text);
	if (err)
		return err;
	if (**ret_text == '/') {
		if (w->flags & LOOKUP_BENEATH)
			return -EXDEV;
		walk_set(w, path_ref(w->root));
	}
	return 0;
}

/* One component in the middle. 0, or 1 with *ret_text: a link whose text comes next. */
static int walk_middle(struct walk *w, const char *name, unsigned len, const char **ret_text)
{
	struct path next;
	int err = walk_child(w, name, len, &next);

	if (err)
		return err;
	if (!next.dentry->inode) {
		err = -ENOENT;
	} else if (S_ISLNK(next.dentry->inode->mode)) {
		err = walk_link(w, next, ret_text);
		if (!err && *ret_text)
			err = 1;
	} else {
		walk_set(w, next);
		return 0;
	}
	path_unref(next);
	return err;
}

static const char *skip_slashes(const char *p)
{
	while (*p == '/')
		p++;
	return p;
}

static unsigned component_len(const char *p)
{
	const char *q = p;

	while (*q && *q != '/')
		q++;
	return (unsigned)(q - p);
}

static int dots_of(const char *p, unsigned len)
{
	if (p[0] != '.' || len > 2 || (len == 2 && p[1] != '.'))
		return 0;
	return (int)len;
}

static void walk_last_set(struct walk *w, const char *p, unsigned len, bool slash)
{
	w->last = p;
	w->last_len = len;
	w->last_dots = len ? dots_of(p, len) : 1;
	w->trailing_slash |= slash;
}

int walk_path(struct walk *w, const char *p)
{
	const char *text;
	unsigned depth = 0, len;
	int err;

	for (;;) {
		const char *next;

		p = skip_slashes(p);
		len = component_len(p);
		next = skip_slashes(p + len);
		if (!*next && depth == 0) {
			walk_last_set(w, p, len, p[len] == '/' || len == 0);
			return 0;
		}
		err = 0;
		if (len == 0 || dots_of(p, len) == 1)
			err = walk_may_search(w);
		else if (dots_of(p, len) == 2)
			err = walk_may_search(w) ?: walk_dotdot(w);
		else
			err = walk_middle(w, p, len, &text);
		if (err < 0)
			return err;
		if (err == 1) {
			if (*next)
				w->rest[depth++] = next;
			p = text;
			continue;
		}
		p = *next || depth == 0 ? next : w->rest[--depth];
	}
}

/* The last component, as a place that exists. 0, or 1: a link, go on with *ret_text. */
static int walk_last(struct walk *w, const char **ret_text)
{
	struct path next;
	bool follow = (w->flags & LOOKUP_FOLLOW) || w->trailing_slash;
	int err;

	if (w->last_dots) {
		if (w->last_len == 0)
			return 0;
		err = walk_may_search(w);
		return err || w->last_dots == 1 ? err : walk_dotdot(w);
	}
	err = walk_child(w, w->last, w->last_len, &next);
	if (err)
		return err;
	if (!next.dentry->inode) {
		path_unref(next);
		return -ENOENT;
	}
	if (S_ISLNK(next.dentry->inode->mode) && follow) {
		err = walk_link(w, next, ret_text);
		path_unref(next);
		return err ? err : *ret_text != NULL;
	}
	walk_set(w, next);
	return 0;
}

static int walk_whole(struct walk *w, const char *name, struct path *ret_path)
{
	int err;

	do {
		err = walk_path(w, name);
		if (!err)
			err = walk_last(w, &name);
	} while (err == 1);
	if (err)
		return err;
	if (((w->flags & LOOKUP_DIRECTORY) || (w->trailing_slash && w->last_len)) &&
	    !S_ISDIR(w->cur.dentry->inode->mode))
		return -ENOTDIR;
	*ret_path = path_ref(w->cur);
	return 0;
}

int path_lookup(int dirfd, const char *name, unsigned flags, struct path *ret_path)
{
	struct walk w;
	int err = walk_init(&w, dirfd, name, flags);

	if (!err && *name)
		err = walk_whole(&w, name, ret_path);
	else if (!err)
		*ret_path = path_ref(w.cur);
	walk_finish(&w);
	return err;
}

int path_lookup_at(struct path base, const char *name, unsigned flags, struct path *ret_path)
{
	struct walk w;
	int err = walk_init_at(&w, base, flags);

	if (!err)
		err = walk_whole(&w, name, ret_path);
	walk_finish(&w);
	return err;
}
