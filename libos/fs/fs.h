/*
 * fs.h - inodes, dentries, mounts and the interface between the path walk and the file systems.
 *
 * Private to libos/fs/ and the handlers in libos/sys/{file,fs}.c.  Guard of everything here: the
 * instance lock, which no function of this room releases, except where a FIFO's open sleeps.
 *
 * The dentry cache is the directory: the entries of memfs and of an overlay's upper layer are
 * pinned dentries, those read from a host directory are cached ones, which come and go (at most
 * DCACHE_MAX) and are looked at again when they are older than their super block's ttl_ns.
 */
#pragma once

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <time.h>

#include "leat/base/list.h"
#include "libos/file.h"
#include "libos/fs/vfs.h"

struct host_id;
struct inotify_watch;
struct lock_state;
struct pipe;
struct statfs;
struct super;

#define FS_NAME_MAX 255
#define FS_PATH_MAX 4096
#define FS_LINKS_MAX 40
#define DCACHE_MAX 16384

struct kstat {
	uint64_t dev;
	uint64_t ino;
	uint32_t mode;
	uint32_t nlink;
	uint32_t uid;
	uint32_t gid;
	uint64_t rdev;
	uint64_t size;
	uint64_t blocks; /* of 512 bytes */
	uint32_t blksize;
	struct timespec atime;
	struct timespec mtime;
	struct timespec ctime;
};

#define ATTR_MODE 1u
#define ATTR_UID 2u
#define ATTR_GID 4u
#define ATTR_SIZE 8u
#define ATTR_ATIME 16u
#define ATTR_MTIME 32u

struct iattr {
	unsigned valid; /* ATTR_* */
	uint32_t mode;
	uint32_t uid;
	uint32_t gid;
	uint64_t size;
	struct timespec atime;
	struct timespec mtime;
};

struct inode_ops {
	/* Gives a new dentry its inode, or leaves it negative. 0, or an errno that is not -ENOENT.
	 */
	int (*lookup)(struct inode *dir, struct dentry *dentry);
	/* Is a cached dentry older than its ttl still right? False: it is dropped and looked up. */
	bool (*revalidate)(struct dentry *dentry);
	/* All of these get a negative dentry of dir and make it positive. */
	int (*create)(struct inode *dir, struct dentry *dentry, uint32_t mode, uint64_t rdev);
	int (*mkdir)(struct inode *dir, struct dentry *dentry, uint32_t mode);
	int (*symlink)(struct inode *dir, struct dentry *dentry, const char *target);
	int (*link)(struct inode *inode, struct inode *dir, struct dentry *dentry);
	/* These get a positive one and take it out of the tree. */
	int (*unlink)(struct inode *dir, struct dentry *dentry);
	int (*rmdir)(struct inode *dir, struct dentry *dentry);
	/* flags: RENAME_NOREPLACE was checked; RENAME_EXCHANGE is left. */
	int (*rename)(struct inode *odir, struct dentry *old, struct inode *ndir,
		      struct dentry *new, unsigned flags);
	int (*tmpfile)(struct inode *dir, uint32_t mode, struct inode **ret_inode);

	/* The target in a buffer of FS_PATH_MAX: its length. */
	int (*readlink)(struct inode *inode, char *buf);
	/* A magic link: leads to a place, not to a string. Referenced. NULL: ordinary. */
	int (*follow)(struct inode *inode, struct path *ret_path);
	int (*open)(struct inode *inode, struct file *file);
	int (*getattr)(struct inode *inode, struct kstat *st); /* NULL: the inode's fields */
	int (*setattr)(struct inode *inode, const struct iattr *attr);
	long (*getxattr)(struct inode *inode, const char *name, void *buf, size_t size);
	int (*setxattr)(struct inode *inode, const char *name, const void *val, size_t size,
			int flags);
	long (*listxattr)(struct inode *inode, char *buf, size_t size);
	int (*removexattr)(struct inode *inode, const char *name);
	void (*evict)(struct inode *inode); /* last reference went: free what is the kind's, and
					       itself */
};

struct inode {
	unsigned refs;
	uint32_t mode;
	uint32_t uid;
	uint32_t gid;
	uint32_t nlink;
	const struct inode_ops *ops;
	struct super *sb;
	uint64_t dev;
	uint64_t ino;
	uint64_t rdev;
	uint64_t size;
	uint64_t blocks;
	struct timespec atime;
	struct timespec mtime;
	struct timespec ctime;
	struct lock_state *locks;      /* flock and fcntl locks: locks.c */
	struct pipe *pipe;             /* an open FIFO: pipe.c */
	void *bound;                   /* what a socket name leads to: socket.c */
	struct inotify_watch *watches; /* inotify.c */
	unsigned writers;              /* open for writing: ETXTBSY */
	unsigned seals;                /* F_SEAL_* of a memfd */
	bool sealable;                 /* it is a memfd */
	bool linkable;                 /* made by O_TMPFILE: link(2) may give it a name */
};

#define DENTRY_HASHED 1u
#define DENTRY_PINNED                                                                              \
	2u                 /* an entry of memfs or of an upper layer: never dropped from the cache \
			    */
#define DENTRY_WHITEOUT 4u /* pinned and negative: hides a lower entry */
#define DENTRY_LOWER 8u    /* the directory's lower layer has this name */
#define DENTRY_MOUNT 16u   /* something is mounted here */
#define DENTRY_DELETED 32u
#define DENTRY_LRU 64u
#define DENTRY_NOCACHE 128u /* not kept without a user (procfs) */

struct dentry {
	unsigned refs; /* users, children included; 0: cached or pinned only */
	unsigned flags;
	uint32_t hash;
	uint32_t name_len;
	const char *name;      /* own allocation, or inline_name */
	struct dentry *parent; /* referenced; itself for a root */
	struct inode *inode;   /* NULL: negative */
	struct super *sb;
	struct dentry *hash_next;
	struct list children; /* of sibling; pinned ones in order of their cookies */
	struct list sibling;
	struct list lru;
	uint64_t cookie;     /* readdir position of a pinned entry, from DIR_FIRST_COOKIE */
	uint64_t checked_ns; /* when last seen on the host */
	unsigned nr_pinned;  /* pinned children, whiteouts too */
	uint64_t next_cookie;
	char inline_name[40];
};

#define DIR_FIRST_COOKIE 3u

struct super_ops {
	int (*statfs)(struct super *sb, struct statfs *st);
};

struct super {
	const char *fstype;
	const struct super_ops *ops;
	uint64_t dev;
	uint64_t ttl_ns; /* UINT64_MAX: cached entries never age */
	bool readonly;
	bool shared_tree; /* other processes of the host change it (volumes) */
	int host_fd;      /* hostfs and overlay: directory of the host */
	const char *source;
	void *data;
	unsigned mounts; /* of it; memory goes with the last one */
};

struct mount {
	unsigned refs;
	int id;
	struct mount *parent;
	struct dentry *mountpoint; /* in the parent; NULL for the root */
	struct dentry *root;
	struct super *sb;
	struct list node;
	bool readonly;
	bool noexec; /* no program is started from here */
	bool nodev;  /* devices are not opened here */
	bool nosuid;
};

struct path_ctx {
	unsigned refs;
	unsigned umask;
	struct path root;
	struct path cwd;
};

struct vfs {
	struct dentry **hash;
	unsigned hash_bits;
	unsigned nr_dentries;
	unsigned nr_lru;
	struct list lru;
	struct list mounts;
	struct mount *root;
	int last_mount_id;
	unsigned last_dev;
	uint64_t last_ino;
	struct super *anon_sb; /* memfds and files without a name */
	struct store *store;
	struct mount *pts;   /* /dev/pts */
	struct list ptys;    /* pty.c */
	struct list ttys;    /* of tty_job.node: every terminal */
	unsigned nr_watches; /* inotify.c */
	uint32_t rename_cookie;
	struct list open_nodes; /* of host_node.open */
	struct list idle_fds;   /* of host_node.idle, oldest first */
	unsigned nr_idle_fds;
	struct host_id *frozen_ids; /* hostnode.c: of the nodes in use, in order */
	uint8_t boot_id[16];
};

struct vfs *vfs_get(void);

/* ---- inode.c ---- */

/* Fields common to all kinds; one reference. The caller allocated it. */
void inode_init(struct inode *inode, struct super *sb, const struct inode_ops *ops, uint32_t mode);
struct inode *inode_ref(struct inode *inode);
void inode_unref(struct inode *inode);
uint64_t inode_number(void);
struct super *super_create(const char *fstype, const struct super_ops *ops, const char *source);

int inode_getattr(struct inode *inode, struct kstat *ret_st);
void inode_touch_mtime(struct inode *inode); /* mtime and ctime are now */
void inode_touch_ctime(struct inode *inode);
void inode_touch_atime(struct inode *inode); /* as relatime does */

/* mask of R_OK, W_OK, X_OK by the current task's file-system ids. 0 or -EACCES. */
int inode_permission(const struct inode *inode, int mask);
int inode_permission_real(const struct inode *inode, int mask); /* by real ids: access(2) */
bool inode_owner_or_capable(const struct inode *inode);
/* May the current task remove this entry of dir (sticky bit)? */
int inode_may_delete(const struct inode *dir, const struct inode *victim);

/* ---- dcache.c ---- */

int dcache_init(struct vfs *vfs);

/* A negative, unhashed dentry with one reference; parent NULL: a root. NULL: out of arena. */
struct dentry *dentry_create(struct super *sb, struct dentry *parent, const char *name,
			     unsigned len);
struct dentry *dentry_ref(struct dentry *dentry);
void dentry_unref(struct dentry *dentry);
struct dentry *dcache_find(struct dentry *parent, const char *name, unsigned len);
void dentry_hash(struct dentry *dentry);
void dentry_unhash(struct dentry *dentry);
void dentry_set_inode(struct dentry *dentry, struct inode *inode); /* takes over the reference */
void dentry_pin(struct dentry *dentry);
void dentry_unpin(struct dentry *dentry);

/*
 * The entry went away: a dentry that others use keeps its inode and leaves the tree, one that
 * nobody else uses stays as a negative entry.
 */
void dentry_delete(struct dentry *dentry);

/* Moves old to the place and name of new, which leaves the tree. 0 or -ENOMEM. */
int dentry_move(struct dentry *old, struct dentry *new);
/* Both change places. */
int dentry_exchange(struct dentry *a, struct dentry *b);
/* Drops cached entries below a directory that nobody uses. */
void dcache_drop_children(struct dentry *dir);
bool dentry_is_below(const struct dentry *dentry, const struct dentry *ancestor);

/* The child of that name, positive or negative; referenced. */
int dentry_lookup(struct dentry *parent, const char *name, unsigned len,
		  struct dentry **ret_dentry);

/* ---- mount.c ---- */

int mount_add(struct super *sb, struct dentry *root, const struct path *at,
	      struct mount **ret_mount);
struct mount *mount_ref(struct mount *mnt);
void mount_unref(struct mount *mnt);
struct mount *mount_at(const struct path *at); /* NULL: nothing mounted */

/* MS_RDONLY, MS_NOEXEC, MS_NODEV, MS_NOSUID of mount(2). */
void mount_set_flags(struct mount *mnt, unsigned long flags);

/* What lies at `from` is seen at `at` too; all: with what is mounted below it. 0 or -ENOMEM. */
int mount_clone(struct path from, const struct path *at, bool all);
/* -ELOOP: to a place below itself. */
int mount_move_to(struct mount *mnt, const struct path *at);
/* Takes over the path, the root of the mount. lazy: even if it is in use. Else -EBUSY. */
int mount_detach(struct path path, bool lazy);
/* pivot_root(2), checked. */
int mount_pivot(struct path root, struct path new_root, struct path put_old);
struct path path_ref(struct path path);
void path_unref(struct path path);
static inline bool path_equal(struct path a, struct path b)
{
	return a.mnt == b.mnt && a.dentry == b.dentry;
}

static inline bool path_is_readonly(struct path path)
{
	return path.mnt->readonly || path.mnt->sb->readonly;
}

/*
 * Writes the path's name as seen from root into the end of buf; returns its start, or NULL when it
 * is too long.  " (deleted)" and "(unreachable)" as Linux has them.
 */
char *path_print(struct path path, struct path root, char *buf, unsigned size);

/* ---- namei.c ---- */

#define LOOKUP_FOLLOW 1u
#define LOOKUP_DIRECTORY 2u
#define LOOKUP_EMPTY 4u
#define LOOKUP_NO_SYMLINKS 8u /* openat2 */
#define LOOKUP_NO_MAGICLINKS 16u
#define LOOKUP_NO_XDEV 32u
#define LOOKUP_BENEATH 64u
#define LOOKUP_IN_ROOT 128u
#define LOOKUP_REAL_IDS 256u /* access(2) */

int path_lookup(int dirfd, const char *name, unsigned flags, struct path *ret_path);
int path_lookup_at(struct path base, const char *name, unsigned flags, struct path *ret_path);

struct open_how_k {
	unsigned flags;
	uint32_t mode;
	unsigned lookup; /* LOOKUP_* of openat2 */
	bool exec;       /* for execve */
};
int path_open(int dirfd, const char *name, const struct open_how_k *how, struct file **ret_file);

/* Opens what a path (already walked) leads to. flags: O_*. */
int path_open_at(struct path path, unsigned flags, struct file **ret_file);

/* ---- dirops.c: the calls that change directories; names are libOS memory ---- */

int path_mknod(int dirfd, const char *name, uint32_t mode, uint64_t rdev, struct path *ret_path);
int path_mkdir(int dirfd, const char *name, uint32_t mode);
int path_symlink(const char *target, int dirfd, const char *name);
int path_link(int odirfd, const char *old, int ndirfd, const char *new, int flags);
int path_unlink(int dirfd, const char *name);
int path_rmdir(int dirfd, const char *name);
int path_rename(int odirfd, const char *old, int ndirfd, const char *new, unsigned flags);
int path_setattr(struct path path, struct iattr *attr);
int inode_setattr(struct inode *inode, struct iattr *attr);
int file_truncate(struct file *file, uint64_t size);

/* mkdir -p of one directory by the libOS itself at start-up: 0755, no permission checks. */
int path_make_dir(struct path base, const char *name, struct path *ret_path);
int path_make_file(struct path base, const char *name, struct path *ret_path);

/* resolver.c */
void resolver_init(void);

/* ---- the kinds ---- */

/* Where getdents writes; add returns false when the entry does not fit. */
struct dirent_sink {
	void *user_buf;
	size_t size;
	size_t used;
	bool old_format; /* getdents(2): type in the last byte */
	bool kernel;     /* user_buf is libOS memory */
	int error;       /* -EFAULT */
};
bool dirent_add(struct dirent_sink *sink, const char *name, unsigned len, uint64_t ino,
		uint64_t next_off, unsigned char type);

/* Seeking for files with inode->size. */
int64_t generic_lseek(struct file *file, int64_t off, int whence, uint64_t size);
unsigned char mode_to_dtype(uint32_t mode);

int overlay_mount_root(struct vfs *vfs, int host_fd);

/* The same over an image mapped at base. A damaged one: said in the log, -EUCLEAN. */
int imgfs_mount_root(struct vfs *vfs, const void *base, uint64_t bytes);

/* Frees the tree below root: nobody has it mounted or open any more. */
void memfs_drop(struct dentry *root);
/* An empty memfs: its super block and root dentry. */
int memfs_create(const char *fstype, uint32_t root_mode, struct super **ret_sb,
		 struct dentry **ret_root);
int hostfs_create(int host_fd, bool readonly, struct super **ret_sb, struct dentry **ret_root);
void hostfs_dir_resume(struct file *file); /* in a clone; any file */
int procfs_create(struct super **ret_sb, struct dentry **ret_root);
int sysfs_create(struct super **ret_sb, struct dentry **ret_root);
int devfs_populate(struct path dev);

/* devfs.c: gives a file on a character device its operations. -ENXIO: no such device. */
int chrdev_open(struct inode *inode, struct file *file);

/* ../pipe.c: open of a FIFO; may sleep. */
int fifo_open(struct inode *inode, struct file *file);
void fifo_evict(struct inode *inode);

/* hostfile.c: the terminal among the instance's stdio. -ENXIO: there is none. */
int hostfile_tty_open(struct file *file);

/* locks.c */
void locks_file_closed(struct file *file); /* last reference: its flock goes */
void locks_fd_closed(struct file *file);   /* an fd of the current process: its fcntl locks go */
void locks_inode_evict(struct inode *inode);
