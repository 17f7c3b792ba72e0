/*
 * inode.c - what all kinds of inodes share: life, attributes, permission.
 */
#include <errno.h>
#include <linux/securebits.h>
#include <string.h>
#include <unistd.h>

#include "libos/arena.h"
#include "libos/clock.h"
#include "libos/fs/fs.h"
#include "libos/inotify.h"
#include "libos/instance.h"

struct vfs *vfs_get(void)
{
	return instance()->vfs;
}

uint64_t inode_number(void)
{
	return ++vfs_get()->last_ino;
}

struct super *super_create(const char *fstype, const struct super_ops *ops, const char *source)
{
	struct super *sb = arena_zalloc(sizeof(*sb));

	if (!sb)
		return NULL;
	sb->fstype = fstype;
	sb->ops = ops;
	sb->source = source;
	sb->dev = ++vfs_get()->last_dev; /* major 0: a file system without a block device */
	sb->ttl_ns = UINT64_MAX;
	sb->host_fd = -1;
	return sb;
}

void inode_init(struct inode *inode, struct super *sb, const struct inode_ops *ops, uint32_t mode)
{
	inode->refs = 1;
	inode->sb = sb;
	inode->ops = ops;
	inode->mode = mode;
	inode->nlink = 1;
	inode->dev = sb->dev;
}

struct inode *inode_ref(struct inode *inode)
{
	inode->refs++;
	return inode;
}

void inode_unref(struct inode *inode)
{
	if (!inode || --inode->refs)
		return;
	if (inode->watches)
		inotify_inode_gone(inode);
	if (inode->locks)
		locks_inode_evict(inode);
	if (inode->pipe)
		fifo_evict(inode);
	inode->ops->evict(inode);
}

int inode_getattr(struct inode *inode, struct kstat *ret_st)
{
	if (inode->ops->getattr)
		return inode->ops->getattr(inode, ret_st);
	ret_st->dev = inode->dev;
	ret_st->ino = inode->ino;
	ret_st->mode = inode->mode;
	ret_st->nlink = inode->nlink;
	ret_st->uid = inode->uid;
	ret_st->gid = inode->gid;
	ret_st->rdev = inode->rdev;
	ret_st->size = inode->size;
	ret_st->blocks = inode->blocks;
	ret_st->blksize = 4096;
	ret_st->atime = inode->atime;
	ret_st->mtime = inode->mtime;
	ret_st->ctime = inode->ctime;
	return 0;
}

static void time_now(struct timespec *ts)
{
	uint64_t ns = clock_realtime_ns();

	ts->tv_sec = (time_t)(ns / 1000000000u);
	ts->tv_nsec = (long)(ns % 1000000000u);
}

void inode_touch_mtime(struct inode *inode)
{
	time_now(&inode->mtime);
	inode->ctime = inode->mtime;
}

void inode_touch_ctime(struct inode *inode)
{
	time_now(&inode->ctime);
}

static int time_cmp(const struct timespec *a, const struct timespec *b)
{
	if (a->tv_sec != b->tv_sec)
		return a->tv_sec < b->tv_sec ? -1 : 1;
	return a->tv_nsec < b->tv_nsec ? -1 : a->tv_nsec > b->tv_nsec;
}

/* mount(8), relatime: only if not newer than mtime and ctime, or a day old. */
void inode_touch_atime(struct inode *inode)
{
	struct timespec now;

	if (time_cmp(&inode->atime, &inode->mtime) > 0 &&
	    time_cmp(&inode->atime, &inode->ctime) > 0) {
		time_now(&now);
		if (now.tv_sec - inode->atime.tv_sec < 86400)
			return;
		inode->atime = now;
		return;
	}
	time_now(&inode->atime);
}

/* path_resolution(7): owner, then group, then others; then what capabilities override. */
static int mode_check(const struct inode *inode, int mask, unsigned uid, unsigned gid,
		      uint64_t capabilities)
{
	uint32_t mode = inode->mode;

	if (uid == inode->uid)
		mode >>= 6;
	else if (gid == inode->gid || creds_has_group(my_creds(), inode->gid))
		mode >>= 3;
	if ((mask & ~(int)mode & 7) == 0)
		return 0;
	if ((capabilities & CAP_BIT(CAP_DAC_OVERRIDE)) != 0 &&
	    (!(mask & X_OK) || S_ISDIR(inode->mode) || (inode->mode & 0111)))
		return 0;
	if ((capabilities & CAP_BIT(CAP_DAC_READ_SEARCH)) != 0 &&
	    (S_ISDIR(inode->mode) ? !(mask & W_OK) : mask == R_OK))
		return 0;
	return -EACCES;
}

int inode_permission_real(const struct inode *inode, int mask)
{
	const struct creds *creds = my_creds();
	uint64_t capabilities = creds->effective;

	if ((creds->securebits & SECBIT_NO_SETUID_FIXUP) == 0)
		capabilities = creds->uid == 0 ? creds->permitted : 0;
	return mode_check(inode, mask, creds->uid, creds->gid, capabilities);
}

int inode_permission(const struct inode *inode, int mask)
{
	const struct creds *creds = my_creds();

	return mode_check(inode, mask, creds->fsuid, creds->fsgid, creds->effective);
}

bool inode_owner_or_capable(const struct inode *inode)
{
	const struct creds *creds = my_creds();

	return creds->fsuid == inode->uid || creds_capable(creds, CAP_FOWNER);
}

int inode_may_delete(const struct inode *dir, const struct inode *victim)
{
	const struct creds *creds = my_creds();
	int err = inode_permission(dir, W_OK | X_OK);

	if (err)
		return err;
	if ((dir->mode & S_ISVTX) && creds->fsuid != dir->uid && creds->fsuid != victim->uid &&
	    !creds_capable(creds, CAP_FOWNER))
		return -EPERM;
	return 0;
}

unsigned char mode_to_dtype(uint32_t mode)
{
	return (unsigned char)((mode & S_IFMT) >> 12);
}
