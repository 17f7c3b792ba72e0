/*
 * procfs.c - the machinery of /proc and /sys: look-up, listing and reading of made-up files.
 */
#include "libos/fs/proc.h"

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "leat/base/bits.h"
#include "libos/arena.h"
#include "libos/instance.h"

#define PROC_SUPER_MAGIC_NR 0x9fa0
#define STRBUF_FIRST 1024U
#define PROC_WRITE_MAX 256U
#define NUMBER_POS_BASE 0x10000U /* directory positions of numbered entries: this + number */

struct proc_inode {
	struct inode inode;
	const struct proc_entry *entry;
	struct proc_object object;
};

static const struct inode_ops proc_inode_ops;
static const struct file_ops proc_file_ops;
static const struct file_ops proc_dir_ops;

static struct proc_inode *proc_inode_of(const struct inode *inode)
{
	return container_of(inode, struct proc_inode, inode);
}

/* ---- texts ---- */

static bool strbuf_reserve(struct strbuf *buf, size_t n)
{
	size_t room = MAX(buf->room, (size_t)STRBUF_FIRST);
	char *text;

	while (room < buf->len + n)
		room *= 2;
	if (room == buf->room)
		return true;
	text = arena_alloc(room);
	if (text == NULL) {
		buf->failed = true;
		return false;
	}
	if (buf->len > 0)
		memcpy(text, buf->text, buf->len);
	arena_free(buf->text);
	buf->text = text;
	buf->room = room;
	return true;
}

void strbuf_add_bytes(struct strbuf *buf, const void *data, size_t n)
{
	if (buf->failed || !strbuf_reserve(buf, n))
		return;
	memcpy(buf->text + buf->len, data, n);
	buf->len += n;
}

void strbuf_add(struct strbuf *buf, const char *fmt, ...)
{
	char line[512];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = fmt_vprint(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (n > 0)
		strbuf_add_bytes(buf, line, MIN((size_t)n, sizeof(line) - 1));
}

void strbuf_finish(struct strbuf *buf)
{
	arena_free(buf->text);
	*buf = (struct strbuf){0};
}

/* ---- objects ---- */

struct process *proc_process(const struct proc_object *object)
{
	return process_find(object->pid);
}

struct task *proc_task(const struct proc_object *object)
{
	struct process *process;

	if (object->tid != 0)
		return task_find(object->tid);
	process = proc_process(object);
	return process != NULL ? process->leader : NULL;
}

/* ---- inodes ---- */

static uint64_t proc_ino(const struct proc_entry *entry, const struct proc_object *object)
{
	uint64_t h = (uint64_t)(uintptr_t)entry;

	h = (h ^ (uint32_t)object->pid) * 0x9e3779b97f4a7c15UL;
	h = (h ^ (uint32_t)object->tid) * 0x9e3779b97f4a7c15UL;
	h = (h ^ (uint32_t)(object->fd + 1)) * 0x9e3779b97f4a7c15UL;
	return (h >> 20) | 1;
}

static struct inode *proc_inode_create(struct super *sb, const struct proc_entry *entry,
				       const struct proc_object *object)
{
	struct proc_inode *pi = arena_zalloc(sizeof(*pi));
	const struct process *process = object->pid != 0 ? process_find(object->pid) : NULL;

	if (pi == NULL)
		return NULL;
	inode_init(&pi->inode, sb, &proc_inode_ops, entry->mode);
	pi->inode.ino = proc_ino(entry, object);
	pi->inode.nlink = S_ISDIR(entry->mode) ? 2 : 1;
	pi->entry = entry;
	pi->object = *object;
	if (process != NULL) {
		pi->inode.uid = process->creds.euid;
		pi->inode.gid = process->creds.egid;
	}
	inode_touch_mtime(&pi->inode);
	pi->inode.atime = pi->inode.mtime;
	return &pi->inode;
}

static void proc_evict(struct inode *inode)
{
	arena_free(proc_inode_of(inode));
}

/* A decimal number without leading zeros, or -1. */
static int parse_number(const char *name, unsigned len)
{
	int n = 0;

	if (len == 0 || len > 9 || (name[0] == '0' && len > 1))
		return -1;
	for (unsigned i = 0; i < len; i++) {
		if (name[i] < '0' || name[i] > '9')
			return -1;
		n = n * 10 + (name[i] - '0');
	}
	return n;
}

static const struct proc_entry *static_child(const struct proc_dir *dir,
					     const struct dentry *dentry)
{
	for (unsigned i = 0; i < dir->nr_entries; i++)
		if (strlen(dir->entries[i].name) == dentry->name_len &&
		    memcmp(dir->entries[i].name, dentry->name, dentry->name_len) == 0)
			return &dir->entries[i];
	return NULL;
}

static int child_number(const struct proc_dir *dir, const struct dentry *dentry)
{
	unsigned skip = dir->prefix != NULL ? (unsigned)strlen(dir->prefix) : 0;

	if (dentry->name_len < skip || (skip > 0 && memcmp(dentry->name, dir->prefix, skip) != 0))
		return -1;
	return parse_number(dentry->name + skip, dentry->name_len - skip);
}

static int proc_lookup(struct inode *inode, struct dentry *dentry)
{
	const struct proc_inode *pi = proc_inode_of(inode);
	const struct proc_dir *dir = pi->entry->dir;
	const struct proc_entry *entry = static_child(dir, dentry);
	struct proc_object child = pi->object;
	int number = child_number(dir, dentry);

	dentry->flags |= DENTRY_NOCACHE;
	if (entry == NULL && number >= 0 && dir->find != NULL)
		entry = dir->find(&pi->object, number, &child);
	if (entry == NULL)
		return 0;
	dentry->inode = proc_inode_create(inode->sb, entry, &child);
	return dentry->inode != NULL ? 0 : -ENOMEM;
}

static bool proc_revalidate(struct dentry *dentry)
{
	(void)dentry;
	return false;
}

static int proc_readlink(struct inode *inode, char *buf)
{
	const struct proc_inode *pi = proc_inode_of(inode);

	return pi->entry->readlink(&pi->object, buf);
}

static int proc_follow(struct inode *inode, struct path *ret_path)
{
	const struct proc_inode *pi = proc_inode_of(inode);

	if (pi->entry->follow == NULL)
		return -ENOLINK; /* an ordinary link: by its text */
	return pi->entry->follow(&pi->object, ret_path);
}

int proc_fd_of(const struct inode *inode)
{
	const struct proc_object *object = &proc_inode_of(inode)->object;

	if (inode->ops != &proc_inode_ops || !S_ISLNK(inode->mode) ||
	    object->pid != current()->process->pid)
		return -1;
	return object->fd;
}

bool proc_is_process(const struct inode *inode, struct proc_object *ret_object)
{
	if (inode->ops != &proc_inode_ops || proc_inode_of(inode)->entry != &proc_pid_entry)
		return false;
	*ret_object = proc_inode_of(inode)->object;
	return true;
}

/* ---- reading ---- */

static int proc_open(struct inode *inode, struct file *file)
{
	const struct proc_inode *pi = proc_inode_of(inode);
	struct strbuf *buf;
	int err;

	if (S_ISDIR(inode->mode)) {
		file->ops = &proc_dir_ops;
		file->seekable = true;
		return 0;
	}
	buf = arena_zalloc(sizeof(*buf));
	if (buf == NULL)
		return -ENOMEM;
	err = pi->entry->show != NULL ? pi->entry->show(&pi->object, buf) : 0;
	if (err == 0 && buf->failed)
		err = -ENOMEM;
	if (err != 0) {
		strbuf_finish(buf);
		arena_free(buf);
		return err;
	}
	file->data = buf;
	file->ops = &proc_file_ops;
	file->seekable = true;
	return 0;
}

/* Read again from the start: the contents are made anew, as top and others expect of one open file.
 */
static int proc_refresh(struct file *file)
{
	const struct proc_inode *pi = proc_inode_of(file->inode);
	struct strbuf *buf = file->data;

	if (pi->entry->show == NULL)
		return 0;
	buf->len = 0;
	return pi->entry->show(&pi->object, buf);
}

static ssize_t proc_read(struct file *file, struct uio *uio, uint64_t *pos)
{
	const struct strbuf *buf = file->data;
	int err = *pos == 0 ? proc_refresh(file) : 0;
	ssize_t got;

	if (err != 0)
		return err;
	if (*pos >= buf->len)
		return 0;
	got = uio_copy_out(uio, buf->text + *pos, MIN(buf->len - *pos, uio->left));
	if (got > 0)
		*pos += (uint64_t)got;
	return got;
}

static ssize_t proc_write(struct file *file, struct uio *uio, uint64_t *pos)
{
	const struct proc_inode *pi = proc_inode_of(file->inode);
	char text[PROC_WRITE_MAX];
	size_t n = MIN(uio->left, sizeof(text) - 1);
	int err;

	if (pi->entry->store == NULL)
		return -EINVAL;
	if (uio_copy_in(uio, text, n) != (ssize_t)n)
		return -EFAULT;
	text[n] = '\0';
	err = pi->entry->store(&pi->object, text, n);
	if (err != 0)
		return err;
	*pos += n;
	return (ssize_t)n;
}

static int64_t proc_lseek(struct file *file, int64_t off, int whence)
{
	return whence == SEEK_SET || whence == SEEK_CUR ? generic_lseek(file, off, whence, 0) :
							  -EINVAL;
}

static void proc_release(struct file *file)
{
	strbuf_finish(file->data);
	arena_free(file->data);
}

static const struct file_ops proc_file_ops = {
	.name = "file",
	.read = proc_read,
	.write = proc_write,
	.lseek = proc_lseek,
	.release = proc_release,
};

/* ---- directories ---- */

static bool emit_number(const struct proc_inode *pi, struct dirent_sink *sink, int number)
{
	struct proc_object child = pi->object;
	const struct proc_entry *entry = pi->entry->dir->find(&pi->object, number, &child);
	const char *prefix = pi->entry->dir->prefix;
	char name[32];

	if (entry == NULL)
		return true; /* gone meanwhile */
	fmt_print(name, sizeof(name), "%s%d", prefix != NULL ? prefix : "", number);
	return dirent_add(sink, name, (unsigned)strlen(name), proc_ino(entry, &child),
			  NUMBER_POS_BASE + (unsigned)number + 1, mode_to_dtype(entry->mode));
}

/* Positions: 0 and 1 are the dots, then the table, then numbers from NUMBER_POS_BASE. */
static int proc_getdents(struct file *file, struct dirent_sink *sink)
{
	const struct proc_inode *pi = proc_inode_of(file->inode);
	const struct proc_dir *dir = pi->entry->dir;
	int number;

	for (; file->pos < 2; file->pos++)
		if (!dirent_add(sink, "..", (unsigned)file->pos + 1, pi->inode.ino, file->pos + 1,
				DT_DIR))
			return sink->error;
	for (; file->pos < dir->nr_entries + 2; file->pos++) {
		const struct proc_entry *entry = &dir->entries[file->pos - 2];

		if (!dirent_add(sink, entry->name, (unsigned)strlen(entry->name),
				proc_ino(entry, &pi->object), file->pos + 1,
				mode_to_dtype(entry->mode)))
			return sink->error;
	}
	if (dir->next == NULL)
		return sink->error;
	file->pos = MAX(file->pos, (uint64_t)NUMBER_POS_BASE);
	for (;;) {
		number = dir->next(&pi->object, (int)(file->pos - NUMBER_POS_BASE));
		if (number < 0 || !emit_number(pi, sink, number))
			return sink->error;
		file->pos = NUMBER_POS_BASE + (unsigned)number + 1;
	}
}

static const struct file_ops proc_dir_ops = {
	.name = "directory",
	.lseek = proc_lseek,
	.getdents = proc_getdents,
};

static int proc_setattr(struct inode *inode, const struct iattr *attr)
{
	const struct proc_inode *pi = proc_inode_of(inode);

	/* O_TRUNC on a file that takes writes means nothing; the rest cannot be changed. */
	return pi->entry->store != NULL && attr->valid == ATTR_SIZE ? 0 : -EPERM;
}

/* Nothing is ever made here: proc(5) says that there is no such place. */
static int proc_create(struct inode *dir, struct dentry *dentry, uint32_t mode, uint64_t rdev)
{
	(void)dir;
	(void)dentry;
	(void)mode;
	(void)rdev;
	return -ENOENT;
}

static int proc_mkdir(struct inode *dir, struct dentry *dentry, uint32_t mode)
{
	return proc_create(dir, dentry, mode, 0);
}

static const struct inode_ops proc_inode_ops = {
	.create = proc_create,
	.mkdir = proc_mkdir,
	.lookup = proc_lookup,
	.revalidate = proc_revalidate,
	.readlink = proc_readlink,
	.follow = proc_follow,
	.open = proc_open,
	.setattr = proc_setattr,
	.evict = proc_evict,
};

static int proc_statfs(struct super *sb, struct statfs *st)
{
	(void)sb;
	memset(st, 0, sizeof(*st));
	st->f_type = PROC_SUPER_MAGIC_NR;
	st->f_bsize = 4096;
	st->f_frsize = 4096;
	st->f_namelen = FS_NAME_MAX;
	return 0;
}

static const struct super_ops proc_super_ops = {.statfs = proc_statfs};

int proc_tree_create(const char *fstype, const struct proc_entry *root_entry, struct super **ret_sb,
		     struct dentry **ret_root)
{
	const struct proc_object none = {.fd = -1};
	struct super *sb = super_create(fstype, &proc_super_ops, fstype);
	struct dentry *root = sb != NULL ? dentry_create(sb, NULL, "/", 1) : NULL;

	if (root == NULL)
		return -ENOMEM;
	sb->ttl_ns = 0;
	root->inode = proc_inode_create(sb, root_entry, &none);
	if (root->inode == NULL)
		return -ENOMEM;
	*ret_sb = sb;
	*ret_root = root;
	return 0;
}
