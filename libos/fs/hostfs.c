/*
 * hostfs.c - volumes: a directory or file of the host, used as it is.
 *
 * Every call goes to the host, below a descriptor of a detached mount that maps the owner's ids to
 * the instance's (apps/launcher/volume.c).  Others change the same files, so entries are looked at
 * again at every use.  Devices, FIFOs and sockets of the host are shown but not opened.
 */
#include <errno.h>
#include <string.h>
#include <sys/statfs.h>

#include "leat/base/bits.h"
#include "libos/arena.h"
#include "libos/fs/fs.h"
#include "libos/fs/hostnode.h"
#include "libos/host.h"
#include "libos/instance.h"

#define HOST_DIR_BUFFER 4096U
#define RENAME_EXCHANGE_FLAG 2U

struct host_inode {
	struct inode inode;
	struct host_node node;
};

/* Per open directory: the host's entries come in pieces of their own size. */
struct host_dir {
	int fd; /* -1: in a clone, until it is needed */
};

struct host_dirent {
	uint64_t ino;
	int64_t off;
	uint16_t reclen;
	uint8_t type;
	char name[];
};

static const struct inode_ops hostfs_ops;
static const struct file_ops hostfs_file_ops;
static const struct file_ops hostfs_dir_ops;

static struct host_inode *host_inode_of(struct inode *inode)
{
	return container_of(inode, struct host_inode, inode);
}

static void attrs_take(struct inode *inode, const struct stat *st)
{
	inode->mode = st->st_mode;
	inode->uid = st->st_uid;
	inode->gid = st->st_gid;
	inode->nlink = (uint32_t)st->st_nlink;
	inode->dev = st->st_dev;
	inode->ino = st->st_ino;
	inode->rdev = st->st_rdev;
	inode->size = (uint64_t)st->st_size;
	inode->blocks = (uint64_t)st->st_blocks;
	inode->atime = st->st_atim;
	inode->mtime = st->st_mtim;
	inode->ctime = st->st_ctim;
}

/* Takes over path. */
static struct inode *host_inode_create(struct super *sb, char *path, const struct stat *st)
{
	struct host_inode *hi = arena_zalloc(sizeof(*hi));

	if (hi == NULL) {
		arena_free(path);
		return NULL;
	}
	inode_init(&hi->inode, sb, &hostfs_ops, st->st_mode);
	attrs_take(&hi->inode, st);
	host_node_init(&hi->node, sb->host_fd, path);
	return &hi->inode;
}

static void hostfs_evict(struct inode *inode)
{
	struct host_inode *hi = host_inode_of(inode);

	host_node_finish(&hi->node);
	arena_free(hi);
}

static char *child_path(struct inode *dir, const struct dentry *dentry)
{
	const char *path = host_inode_of(dir)->node.path;

	return path != NULL ? host_path_join(path, dentry->name) : NULL;
}

/* Looks at the host's file of the dentry's name and makes the dentry positive. */
static int take_child(struct inode *dir, struct dentry *dentry)
{
	char *path = child_path(dir, dentry);
	struct inode *inode;
	struct stat st;
	int err;

	if (path == NULL)
		return -ENAMETOOLONG;
	err = host_node_stat(dir->sb->host_fd, path, &st);
	if (err != 0) {
		arena_free(path);
		return err;
	}
	inode = host_inode_create(dir->sb, path, &st);
	if (inode == NULL)
		return -ENOMEM;
	dentry_set_inode(dentry, inode);
	return 0;
}

static int hostfs_lookup(struct inode *dir, struct dentry *dentry)
{
	int err = take_child(dir, dentry);

	return err == -ENOENT || err == -ENOTDIR ? 0 : err;
}

static bool hostfs_revalidate(struct dentry *dentry)
{
	char *path = child_path(dentry->parent->inode, dentry);
	struct stat st;
	int err;

	if (path == NULL)
		return true;
	err = host_node_stat(dentry->sb->host_fd, path, &st);
	arena_free(path);
	if (err != 0 || dentry->inode == NULL)
		return err != 0 && dentry->inode == NULL;
	if (st.st_ino != dentry->inode->ino ||
	    (st.st_mode & S_IFMT) != (dentry->inode->mode & S_IFMT))
		return false;
	attrs_take(dentry->inode, &st);
	return true;
}

/* ---- changing directories ---- */

/* Runs after the host has made the entry: the dentry becomes what is there now. */
static int entry_made(struct inode *dir, struct dentry *dentry, long err)
{
	if (err != 0)
		return (int)err;
	return take_child(dir, dentry);
}

static int hostfs_create_file(struct inode *dir, struct dentry *dentry, uint32_t mode,
			      uint64_t rdev)
{
	char *path = child_path(dir, dentry);
	long fd;

	(void)rdev;
	if (path == NULL)
		return -ENAMETOOLONG;
	fd = S_ISREG(mode) ?
		     host_openat(dir->sb->host_fd, path,
				 O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode & 07777) :
		     -EPERM; /* no devices, FIFOs or sockets on the host */
	arena_free(path);
	if (fd >= 0)
		host_close((int)fd);
	return entry_made(dir, dentry, fd < 0 ? fd : 0);
}

static int hostfs_mkdir(struct inode *dir, struct dentry *dentry, uint32_t mode)
{
	char *path = child_path(dir, dentry);
	long err =
		path != NULL ? host_mkdirat(dir->sb->host_fd, path, mode & 07777) : -ENAMETOOLONG;

	arena_free(path);
	return entry_made(dir, dentry, err);
}

static int hostfs_symlink(struct inode *dir, struct dentry *dentry, const char *target)
{
	char *path = child_path(dir, dentry);
	long err = path != NULL ? host_symlinkat(target, dir->sb->host_fd, path) : -ENAMETOOLONG;

	arena_free(path);
	return entry_made(dir, dentry, err);
}

static int hostfs_link(struct inode *inode, struct inode *dir, struct dentry *dentry)
{
	const char *old = host_inode_of(inode)->node.path;
	char *path = child_path(dir, dentry);
	long err = -ENAMETOOLONG;

	if (old == NULL)
		err = -ENOENT;
	else if (path != NULL)
		err = host_linkat(inode->sb->host_fd, old, dir->sb->host_fd, path, 0);
	arena_free(path);
	return entry_made(dir, dentry, err);
}

/* The file lives on for whoever has it open, without a name. */
static void forget_path(struct inode *inode)
{
	struct host_node *node = &host_inode_of(inode)->node;

	arena_free(node->path);
	node->path = NULL;
}

/* Removed, or another was put in its place. */
static void lose_name(struct inode *inode)
{
	inode->nlink = S_ISDIR(inode->mode) || inode->nlink == 0 ? 0 : inode->nlink - 1;
	forget_path(inode);
}

static int remove_entry(struct inode *dir, struct dentry *dentry, int flags)
{
	char *path = child_path(dir, dentry);
	long err = path != NULL ? host_unlinkat(dir->sb->host_fd, path, flags) : -ENAMETOOLONG;

	arena_free(path);
	if (err != 0)
		return (int)err;
	lose_name(dentry->inode);
	dentry_delete(dentry);
	return 0;
}

static int hostfs_unlink(struct inode *dir, struct dentry *dentry)
{
	return remove_entry(dir, dentry, 0);
}

static int hostfs_rmdir(struct inode *dir, struct dentry *dentry)
{
	return remove_entry(dir, dentry, AT_REMOVEDIR);
}

static int hostfs_rename(struct inode *odir, struct dentry *old, struct inode *ndir,
			 struct dentry *new, unsigned flags)
{
	char *from = child_path(odir, old), *to = child_path(ndir, new);
	long err = -ENAMETOOLONG;

	if (from != NULL && to != NULL)
		err = host_renameat2(odir->sb->host_fd, from, ndir->sb->host_fd, to, flags);
	arena_free(from);
	if (err != 0) {
		arena_free(to);
		return (int)err;
	}
	/* Paths of everything below change too: cached names are looked up again. */
	dcache_drop_children(old);
	if ((flags & RENAME_EXCHANGE_FLAG) != 0) {
		arena_free(to);
		forget_path(old->inode);
		forget_path(new->inode);
		dentry_delete(old);
		dentry_delete(new);
		return 0;
	}
	if (new->inode != NULL)
		lose_name(new->inode);
	forget_path(old->inode);
	host_inode_of(old->inode)->node.path = to;
	return dentry_move(old, new);
}

static int hostfs_readlink(struct inode *inode, char *buf)
{
	const struct host_node *node = &host_inode_of(inode)->node;

	if (node->path == NULL)
		return -ENOENT;
	return (int)host_readlinkat(node->root_fd, node->path, buf, FS_PATH_MAX - 1);
}

/* ---- attributes ---- */

static int hostfs_getattr(struct inode *inode, struct kstat *ret_st)
{
	struct host_node *node = &host_inode_of(inode)->node;
	struct stat st;
	int err = node->fd >= 0      ? host_node_fstat(node, &st) :
		  node->path != NULL ? host_node_stat(node->root_fd, node->path, &st) :
				       -ENOENT;

	if (err == 0)
		attrs_take(inode, &st);
	else if (node->path != NULL)
		return err;
	*ret_st = (struct kstat){.dev = inode->dev,
				 .ino = inode->ino,
				 .mode = inode->mode,
				 .nlink = inode->nlink,
				 .uid = inode->uid,
				 .gid = inode->gid,
				 .rdev = inode->rdev,
				 .size = inode->size,
				 .blocks = inode->blocks,
				 .blksize = 4096,
				 .atime = inode->atime,
				 .mtime = inode->mtime,
				 .ctime = inode->ctime};
	return 0;
}

static int set_size(struct host_node *node, uint64_t size)
{
	int err = host_node_open(node, true);

	if (err != 0)
		return err;
	err = (int)host_ftruncate(node->fd, size);
	host_node_close(node);
	return err;
}

/* Ids: the instance's 0 is its host uid, which the mount maps to the volume's owner. */
static unsigned host_id(uint32_t id)
{
	return id == 0 ? instance()->boot->uid : id;
}

static int hostfs_setattr(struct inode *inode, const struct iattr *attr)
{
	struct host_node *node = &host_inode_of(inode)->node;
	struct timespec ts[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_OMIT}};
	long err = 0;

	if (node->path == NULL)
		return -ENOENT;
	if ((attr->valid & ATTR_SIZE) != 0)
		err = set_size(node, attr->size);
	if (err == 0 && (attr->valid & (ATTR_UID | ATTR_GID)) != 0)
		err = host_fchownat(node->root_fd, node->path,
				    (attr->valid & ATTR_UID) != 0 ? host_id(attr->uid) : ~0U,
				    (attr->valid & ATTR_GID) != 0 ? host_id(attr->gid) : ~0U,
				    AT_SYMLINK_NOFOLLOW);
	if (err == 0 && (attr->valid & ATTR_MODE) != 0 && !S_ISLNK(inode->mode))
		err = host_fchmodat(node->root_fd, node->path, attr->mode & 07777);
	if ((attr->valid & ATTR_ATIME) != 0)
		ts[0] = attr->atime;
	if ((attr->valid & ATTR_MTIME) != 0)
		ts[1] = attr->mtime;
	if (err == 0 && (attr->valid & (ATTR_ATIME | ATTR_MTIME)) != 0)
		err = host_utimensat(node->root_fd, node->path, ts, AT_SYMLINK_NOFOLLOW);
	return (int)err;
}

/* ---- open files ---- */

static int node_dir_open(const struct host_node *node)
{
	if (node->path == NULL)
		return -ENOENT;
	return (int)host_openat(node->root_fd, node->path,
				O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
}

static int dir_open(struct host_inode *hi, struct file *file)
{
	struct host_dir *dir = arena_alloc(sizeof(*dir));
	int fd;

	if (dir == NULL)
		return -ENOMEM;
	fd = node_dir_open(&hi->node);
	if (fd < 0) {
		arena_free(dir);
		return fd;
	}
	dir->fd = fd;
	file->data = dir;
	file->ops = &hostfs_dir_ops;
	file->seekable = true;
	return 0;
}

static int hostfs_open(struct inode *inode, struct file *file)
{
	struct host_inode *hi = host_inode_of(inode);
	int err;

	if (S_ISDIR(inode->mode))
		return dir_open(hi, file);
	if (!S_ISREG(inode->mode))
		return -ENXIO;
	err = host_node_open(&hi->node, (file->flags & O_ACCMODE) != O_RDONLY);
	if (err != 0)
		return err;
	file->ops = &hostfs_file_ops;
	file->seekable = true;
	return 0;
}

static struct host_node *node_of(const struct file *file)
{
	return &host_inode_of(file->inode)->node;
}

static ssize_t hostfs_read(struct file *file, struct uio *uio, uint64_t *pos)
{
	ssize_t got = host_node_read(node_of(file), uio, *pos);

	if (got > 0)
		*pos += (uint64_t)got;
	return got;
}

static ssize_t hostfs_write(struct file *file, struct uio *uio, uint64_t *pos)
{
	struct host_node *node = node_of(file);
	struct stat st;
	ssize_t got;

	if ((file->flags & O_APPEND) != 0 && host_node_fstat(node, &st) == 0)
		*pos = (uint64_t)st.st_size;
	got = host_node_write(node, uio, *pos);
	if (got > 0)
		*pos += (uint64_t)got;
	return got;
}

static int64_t hostfs_lseek(struct file *file, int64_t off, int whence)
{
	struct stat st;
	int err = host_node_fstat(node_of(file), &st);

	return err != 0 ? err : generic_lseek(file, off, whence, (uint64_t)st.st_size);
}

static int hostfs_map_extent(struct file *file, uint64_t off, uint64_t len, int prot, bool shared,
			     struct map_extent *ret_extent)
{
	(void)prot;
	(void)shared;
	*ret_extent =
		(struct map_extent){.host_fd = node_of(file)->fd, .host_off = off, .len = len};
	return 0;
}

static int hostfs_fsync(struct file *file, bool data_only)
{
	int fd = node_of(file)->fd;

	return (int)(data_only ? host_fdatasync(fd) : host_fsync(fd));
}

static int hostfs_truncate(struct file *file, uint64_t size)
{
	return (int)host_ftruncate(node_of(file)->fd, size);
}

static int hostfs_fallocate(struct file *file, int mode, uint64_t off, uint64_t len)
{
	return (int)host_fallocate(node_of(file)->fd, mode, off, len);
}

static void hostfs_release(struct file *file)
{
	host_node_close(node_of(file));
}

static const struct file_ops hostfs_file_ops = {
	.name = "file",
	.read = hostfs_read,
	.write = hostfs_write,
	.lseek = hostfs_lseek,
	.map_extent = hostfs_map_extent,
	.fsync = hostfs_fsync,
	.truncate = hostfs_truncate,
	.fallocate = hostfs_fallocate,
	.release = hostfs_release,
};

/* ---- directories ---- */

static int dir_fd(struct file *file)
{
	struct host_dir *dir = file->data;

	if (dir->fd >= 0)
		return dir->fd;
	dir->fd = node_dir_open(&host_inode_of(file->inode)->node);
	if (dir->fd >= 0)
		host_lseek(dir->fd, (int64_t)file->pos, SEEK_SET);
	return dir->fd;
}

static int64_t dir_lseek(struct file *file, int64_t off, int whence)
{
	int fd = dir_fd(file);
	int64_t at = fd < 0 ? fd : host_lseek(fd, off, whence);

	if (at >= 0)
		file->pos = (uint64_t)at;
	return at;
}

/* Passes the host's records on; one that does not fit any more is read again next time. */
static int dir_getdents(struct file *file, struct dirent_sink *sink)
{
	uint8_t buf[HOST_DIR_BUFFER] __attribute__((aligned(8)));
	long got, at = 0;
	int fd = dir_fd(file);

	if (fd < 0)
		return fd;
	got = host_getdents64(fd, buf, sizeof(buf));
	while (got > 0 && at < got) {
		const struct host_dirent *de = (const struct host_dirent *)(buf + at);

		if (!dirent_add(sink, de->name, (unsigned)strlen(de->name), de->ino,
				(uint64_t)de->off, de->type)) {
			host_lseek(fd, (int64_t)file->pos, SEEK_SET);
			return sink->error;
		}
		file->pos = (uint64_t)de->off;
		at += de->reclen;
	}
	return got < 0 ? (int)got : sink->error;
}

static int dir_fsync(struct file *file, bool data_only)
{
	int fd = dir_fd(file);

	if (fd < 0)
		return fd;
	return (int)(data_only ? host_fdatasync(fd) : host_fsync(fd));
}

static void dir_release(struct file *file)
{
	struct host_dir *dir = file->data;

	if (dir->fd >= 0)
		host_close(dir->fd);
	arena_free(dir);
}

static const struct file_ops hostfs_dir_ops = {
	.name = "directory",
	.lseek = dir_lseek,
	.getdents = dir_getdents,
	.fsync = dir_fsync,
	.release = dir_release,
};

void hostfs_dir_resume(struct file *file)
{
	if (file->ops == &hostfs_dir_ops)
		((struct host_dir *)file->data)->fd = -1;
}

static const struct inode_ops hostfs_ops = {
	.lookup = hostfs_lookup,
	.revalidate = hostfs_revalidate,
	.create = hostfs_create_file,
	.mkdir = hostfs_mkdir,
	.symlink = hostfs_symlink,
	.link = hostfs_link,
	.unlink = hostfs_unlink,
	.rmdir = hostfs_rmdir,
	.rename = hostfs_rename,
	.readlink = hostfs_readlink,
	.open = hostfs_open,
	.getattr = hostfs_getattr,
	.setattr = hostfs_setattr,
	.evict = hostfs_evict,
};

static int hostfs_statfs(struct super *sb, struct statfs *st)
{
	return (int)host_fstatfs(sb->host_fd, st);
}

static const struct super_ops hostfs_super_ops = {.statfs = hostfs_statfs};

int hostfs_create(int host_fd, bool readonly, struct super **ret_sb, struct dentry **ret_root)
{
	struct super *sb = super_create("hostfs", &hostfs_super_ops, "volume");
	struct dentry *root = sb != NULL ? dentry_create(sb, NULL, "/", 1) : NULL;
	char *path = root != NULL ? host_path_join(".", ".") : NULL;
	struct stat st;
	int err;

	if (path == NULL)
		return -ENOMEM;
	sb->host_fd = host_fd;
	sb->readonly = readonly;
	sb->shared_tree = true;
	sb->ttl_ns = 0;
	err = (int)host_fstat(host_fd, &st);
	if (err != 0)
		return err;
	st.st_uid = host_uid_shown(st.st_uid);
	st.st_gid = host_uid_shown(st.st_gid);
	root->inode = host_inode_create(sb, path, &st);
	if (root->inode == NULL)
		return -ENOMEM;
	*ret_sb = sb;
	*ret_root = root;
	return 0;
}
