/*
 * memfs.h - inodes whose attributes live in the arena: memfs, and the overlay, which is a memfs
 * whose directories and files may have something read-only below them: a directory of the host
 * (overlay.c) or an image (imgfs.c).
 */
#pragma once

#include "libos/fs/fs.h"
#include "libos/fs/hostnode.h"
#include "libos/fs/store.h"

struct xattr {
	struct list node;
	size_t size;
	char *value;
	char name[];
};

struct mem_inode;

typedef int (*lower_entry_fn)(const char *name, unsigned len, uint64_t ino, unsigned char type,
			      void *arg);

/* How the bytes of a lower layer are had. */
struct lower_ops {
	int (*open)(struct mem_inode *mi); /* a regular file, for reading; paired with close */
	void (*close)(struct mem_inode *mi);
	ssize_t (*read)(struct mem_inode *mi, struct uio *uio, uint64_t off);
	int64_t (*pread)(struct mem_inode *mi, void *buf, uint64_t n, uint64_t off);
	/* -EMEDIUMTYPE: the bytes do not lie in whole pages. */
	int (*map)(struct mem_inode *mi, uint64_t off, uint64_t len, struct map_extent *ret);
	/* Each entry, "." and ".." too; stops when fn returns non-zero, and returns that. */
	int (*dir_each)(struct mem_inode *dir, lower_entry_fn fn, void *arg);
	int (*xattrs_load)(struct mem_inode *mi); /* only where xattrs_lower is set */
};

struct mem_inode {
	struct inode inode;
	struct store_map map;  /* regular: data, unless data_lower */
	struct store_map dead; /* blocks cut off while someone may have them mapped */
	char *target;          /* symbolic link */
	struct list xattrs;
	unsigned opens; /* open files of a regular file */
	bool mapped;    /* by someone since it was last closed by everyone */

	/* Overlay. A memfs inode is `upper` with no lower. */
	bool upper;        /* attributes are ours: the host's are not looked at again */
	bool data_lower;   /* regular: the bytes are still the lower file's */
	bool has_lower;    /* something lies below: a file's data, or a directory to merge with */
	bool xattrs_lower; /* extended attributes have not been read from below yet */
	const struct lower_ops *below;
	struct host_node lower; /* of the host */
	uint64_t nid;           /* of an image */
	uint64_t checked_ns;    /* attributes of a lower inode: when read */
	struct dentry *alias;   /* while not upper: the one name of it */
};

static inline struct mem_inode *mem_inode_of(struct inode *inode)
{
	return container_of(inode, struct mem_inode, inode);
}

extern const struct file_ops mem_file_ops;
extern const struct file_ops mem_dir_ops;
extern const struct super_ops mem_super_ops;

/* A new upper inode, times now, owned by the current task. NULL: out of arena. */
struct mem_inode *mem_inode_create(struct super *sb, const struct inode_ops *ops, uint32_t mode);
void mem_inode_evict(struct inode *inode);

/* Inode operations, used by memfs and by the overlay as they are. */
int mem_create(struct inode *dir, struct dentry *dentry, uint32_t mode, uint64_t rdev);
int mem_mkdir(struct inode *dir, struct dentry *dentry, uint32_t mode);
int mem_symlink(struct inode *dir, struct dentry *dentry, const char *target);
int mem_link(struct inode *inode, struct inode *dir, struct dentry *dentry);
int mem_unlink(struct inode *dir, struct dentry *dentry);
int mem_rmdir(struct inode *dir, struct dentry *dentry);
int mem_rename(struct inode *odir, struct dentry *old, struct inode *ndir, struct dentry *new,
	       unsigned flags);
int mem_tmpfile(struct inode *dir, uint32_t mode, struct inode **ret_inode);
int mem_readlink(struct inode *inode, char *buf);
int mem_open(struct inode *inode, struct file *file);
int mem_getattr(struct inode *inode, struct kstat *st);
int mem_setattr(struct inode *inode, const struct iattr *attr);
long mem_getxattr(struct inode *inode, const char *name, void *buf, size_t size);
int mem_setxattr(struct inode *inode, const char *name, const void *val, size_t size, int flags);
long mem_listxattr(struct inode *inode, char *buf, size_t size);
int mem_removexattr(struct inode *inode, const char *name);
void mem_xattrs_free(struct mem_inode *mi);

/* memfile.c */
int mem_truncate(struct mem_inode *mi, uint64_t size);
int mem_file_open(struct mem_inode *mi, struct file *file);

/* memdir.c: lists pinned entries from the file's position. Null dentry fields are not shown. */
int mem_dir_emit(struct file *file, struct dirent_sink *sink);
int64_t mem_dir_lseek(struct file *file, int64_t off, int whence);

/* ---- overlay.c: called with any mem_inode, does nothing to one without a lower layer ---- */

/* The inode's attributes (and its name) are ours from now on. */
void overlay_make_upper(struct inode *inode);

/* The bytes too: copied into the store. */
int overlay_copy_data(struct mem_inode *mi, uint64_t size);

/* Is the directory empty as the program sees it? 0, -ENOTEMPTY or another errno. */
int overlay_dir_empty(struct dentry *dentry);

/* After an entry went: hides the lower layer's entry of this name, if it has one. */
int overlay_whiteout(struct dentry *parent, const char *name, unsigned len);

/* lower_ops.dir_each of a directory of the host. */
int overlay_host_dir_each(struct mem_inode *dir, lower_entry_fn fn, void *arg);

int overlay_dir_open(struct mem_inode *mi, struct file *file);
void overlay_dir_resume(struct file *file); /* in a clone; any file */
void overlay_refresh(struct mem_inode *mi); /* attributes of a lower inode, if they are old */
