/*
 * memfile.c - the bytes of regular files in memory; those of an overlay's lower layer until the
 * first write.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "leat/base/bits.h"
#include "libos/arena.h"
#include "libos/fs/memfs.h"
#include "libos/instance.h"

#define FALLOC_KEEP_SIZE 1
#define FALLOC_PUNCH_HOLE 2
#define FALLOC_ZERO_RANGE 16

/* F_SEAL_* of <linux/fcntl.h>. */
#define SEAL_SHRINK 2u
#define SEAL_GROW 4u
#define SEAL_WRITE 8u
#define SEAL_FUTURE_WRITE 16u

#define FILE_MAX ABI_STORE_MAX

int mem_file_open(struct mem_inode *mi, struct file *file)
{
	int err = 0;

	if (mi->data_lower)
		err = mi->below->open(mi);
	if (err)
		return err;
	file->ops = &mem_file_ops;
	file->seekable = true;
	/* whether this open holds the lower file is remembered in the file */
	file->data = mi->data_lower ? mi : NULL;
	mi->opens++;
	return 0;
}

static void mem_release(struct file *file)
{
	struct mem_inode *mi = mem_inode_of(file->inode);

	if (file->data)
		mi->below->close(mi);
	if (--mi->opens == 0) {
		mi->mapped = false;
		store_map_finish(vfs_get()->store, &mi->dead);
	}
}

static ssize_t mem_read(struct file *file, struct uio *uio, uint64_t *pos)
{
	struct mem_inode *mi = mem_inode_of(file->inode);
	ssize_t got;

	if (mi->data_lower) {
		got = mi->below->read(mi, uio, *pos);
	} else {
		if (*pos >= mi->inode.size)
			return 0;
		got = store_read(&mi->map, uio, *pos, mi->inode.size - *pos);
		if (!(file->flags & O_NOATIME))
			inode_touch_atime(&mi->inode);
	}
	if (got > 0)
		*pos += (uint64_t)got;
	return got;
}

/* RLIMIT_FSIZE (setrlimit(2)): the room left below the limit, or -EFBIG with SIGXFSZ sent. */
static int64_t limit_room(uint64_t pos, uint64_t n)
{
	const struct rlimit *rl = current() ? current()->process->rlimits : NULL;
	uint64_t limit = rl ? rl[RLIMIT_FSIZE].rlim_cur : RLIM64_INFINITY;

	if (limit != RLIM64_INFINITY && pos + n > limit) {
		if (pos >= limit) {
			signal_send_task(current(), SIGXFSZ, NULL);
			return -EFBIG;
		}
		n = limit - pos;
	}
	if (pos >= FILE_MAX)
		return -EFBIG;
	return (int64_t)MIN(n, FILE_MAX - pos);
}

/* A write takes away the set-user-ID bits (inode(7)) unless CAP_FSETID is there. */
static void drop_suid(struct inode *inode)
{
	if (!(inode->mode & 06000) || capable(CAP_FSETID))
		return;
	inode->mode &= ~(uint32_t)S_ISUID;
	if (inode->mode & S_IXGRP)
		inode->mode &= ~(uint32_t)S_ISGID;
}

static ssize_t mem_write(struct file *file, struct uio *uio, uint64_t *pos)
{
	struct mem_inode *mi = mem_inode_of(file->inode);
	int64_t room;
	ssize_t done;
	int err;

	if (mi->inode.seals & (SEAL_WRITE | SEAL_FUTURE_WRITE))
		return -EPERM;
	overlay_make_upper(&mi->inode);
	err = overlay_copy_data(mi, mi->inode.size);
	if (err)
		return err;
	if (file->flags & O_APPEND)
		*pos = mi->inode.size;
	if (uio->left == 0)
		return 0;
	room = limit_room(*pos, uio->left);
	if (room < 0)
		return room;
	if ((mi->inode.seals & SEAL_GROW) && *pos + (uint64_t)room > mi->inode.size)
		return -EPERM;
	done = store_write(vfs_get()->store, &mi->map, uio, *pos, (uint64_t)room);
	if (done <= 0)
		return done;
	*pos += (uint64_t)done;
	mi->inode.size = MAX(mi->inode.size, *pos);
	drop_suid(&mi->inode);
	inode_touch_mtime(&mi->inode);
	return done;
}

int mem_truncate(struct mem_inode *mi, uint64_t size)
{
	struct store *store = vfs_get()->store;
	uint64_t old = mi->inode.size;
	int64_t room;
	int err;

	if (size < old && (mi->inode.seals & (SEAL_SHRINK | SEAL_WRITE)))
		return -EPERM;
	if (size > old && (mi->inode.seals & SEAL_GROW))
		return -EPERM;
	if (size > old) {
		room = limit_room(old, size - old);
		if (room < (int64_t)(size - old))
			return -EFBIG;
	}
	err = overlay_copy_data(mi, MIN(size, old));
	if (err)
		return err;
	if (size < old) {
		/* blocks that a mapping may still show must not be given to another file */
		if (mi->mapped)
			store_map_move(&mi->map,
				       (uint32_t)((size + STORE_BLOCK - 1) >> STORE_BLOCK_SHIFT),
				       &mi->dead);
		store_map_punch(store, &mi->map, size, UINT64_MAX - size);
	}
	mi->inode.size = size;
	return 0;
}

static int mem_file_truncate(struct file *file, uint64_t size)
{
	struct iattr attr = {.valid = ATTR_SIZE, .size = size};

	return mem_setattr(file->inode, &attr);
}

static int mem_fallocate(struct file *file, int mode, uint64_t off, uint64_t len)
{
	struct mem_inode *mi = mem_inode_of(file->inode);
	struct store *store = vfs_get()->store;
	int err;

	if (mode & ~(FALLOC_KEEP_SIZE | FALLOC_PUNCH_HOLE | FALLOC_ZERO_RANGE))
		return -EOPNOTSUPP;
	if (off + len > FILE_MAX)
		return -EFBIG;
	if ((mode & (FALLOC_PUNCH_HOLE | FALLOC_ZERO_RANGE)) && (mi->inode.seals & SEAL_WRITE))
		return -EPERM;
	overlay_make_upper(&mi->inode);
	err = overlay_copy_data(mi, mi->inode.size);
	if (err)
		return err;
	if (mode & FALLOC_PUNCH_HOLE) {
		if (!(mode & FALLOC_KEEP_SIZE))
			return -EOPNOTSUPP;
		store_map_punch(store, &mi->map, off, len);
		inode_touch_mtime(&mi->inode);
		return 0;
	}
	if (!(mode & FALLOC_KEEP_SIZE) && (mi->inode.seals & SEAL_GROW) &&
	    off + len > mi->inode.size)
		return -EPERM;
	if (mode & FALLOC_ZERO_RANGE)
		store_map_punch(store, &mi->map, off, len);
	err = store_map_reserve(store, &mi->map, off, len, false);
	if (err)
		return err;
	if (!(mode & FALLOC_KEEP_SIZE))
		mi->inode.size = MAX(mi->inode.size, off + len);
	inode_touch_mtime(&mi->inode);
	return 0;
}

static int64_t mem_lseek(struct file *file, int64_t off, int whence)
{
	struct mem_inode *mi = mem_inode_of(file->inode);
	uint64_t size = mi->inode.size, pos = (uint64_t)off, run;
	bool want_data = whence == SEEK_DATA;

	if (!mi->upper)
		overlay_refresh(mi);
	if ((whence != SEEK_DATA && whence != SEEK_HOLE) || mi->data_lower)
		return generic_lseek(file, off, whence, mi->inode.size);
	if (off < 0 || pos >= size)
		return -ENXIO;
	while (pos < size) {
		bool data = store_map_find(&mi->map, pos, size - pos, &run) != NULL;

		if (data == want_data)
			break;
		pos += run;
	}
	if (pos >= size && want_data)
		return -ENXIO;
	file->pos = MIN(pos, size);
	return (int64_t)file->pos;
}

static int mem_map_extent(struct file *file, uint64_t off, uint64_t len, int prot, bool shared,
			  struct map_extent *ret)
{
	struct mem_inode *mi = mem_inode_of(file->inode);
	struct store *store = vfs_get()->store;
	uint64_t end = align_up(mi->inode.size, ABI_PAGE_SIZE), run;
	char *addr;
	int err;

	if (shared && (prot & PROT_WRITE)) {
		if (mi->inode.seals & (SEAL_WRITE | SEAL_FUTURE_WRITE))
			return -EPERM;
		overlay_make_upper(&mi->inode);
		err = overlay_copy_data(mi, mi->inode.size);
		if (err)
			return err;
	}
	if (mi->data_lower) {
		err = mi->below->map(mi, off, len, ret);
		if (err != -EMEDIUMTYPE)
			return err;
		err = overlay_copy_data(mi, mi->inode.size);
		if (err)
			return err;
	}
	err = store_attach(store);
	if (err)
		return err;
	mi->mapped = true;
	ret->host_fd = store_fd(store);
	ret->host_flags = 0;
	ret->len = len;
	if (off >= end) {
		ret->host_off = ABI_STORE_MAX; /* nothing is there: SIGBUS, mmap(2) */
		return 0;
	}
	/* what a shared mapping may write to, or a later write(2) must show, needs its block */
	run = MIN(len, end - off);
	err = store_map_reserve(store, &mi->map, off, run, false);
	if (err)
		return err;
	addr = store_map_find(&mi->map, off, run, &run);
	ret->host_off = (uint64_t)(addr - (char *)ABI_STORE_BASE);
	ret->len = run;
	return 0;
}

static int mem_fsync(struct file *file, bool data_only)
{
	(void)file;
	(void)data_only;
	return 0; /* memory is as durable as this file system gets */
}

const struct file_ops mem_file_ops = {
	.name = "file",
	.read = mem_read,
	.write = mem_write,
	.lseek = mem_lseek,
	.map_extent = mem_map_extent,
	.fsync = mem_fsync,
	.truncate = mem_file_truncate,
	.fallocate = mem_fallocate,
	.release = mem_release,
};
