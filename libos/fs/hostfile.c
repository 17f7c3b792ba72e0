/*
 * hostfile.c - stdio: files over the host's descriptors 0, 1, 2 (and other inherited ones).
 *
 * A descriptor's O_NONBLOCK belongs to everyone who shares it with us, so it is neither used nor
 * changed: the host is asked with ppoll before a call that could block, and a task that must wait
 * does so in the libOS (hostio.c).
 */
#include "libos/fs/hostfile.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "leat/base/bits.h"
#include "libos/arena.h"
#include "libos/fs/fs.h"
#include "libos/fs/hostnode.h"
#include "libos/fs/tty.h"
#include "libos/fs/tty_job.h"
#include "libos/host.h"
#include "libos/hostio.h"
#include "libos/instance.h"

/* PIPE_BUF bytes never block on a descriptor that poll calls writable (pipe(7)). */
#define WRITE_CHUNK 4096u

struct hostfile {
	int fd;
	bool own_pos; /* reopened regular file: has a position of its own */
	bool blocks;  /* pipe, socket, terminal: may have to wait */
	bool tty;
};

static ssize_t piece_io(const struct hostfile *hf, void *ptr, size_t n, uint64_t pos, bool at,
			bool write)
{
	if (at)
		return write ? host_pwrite(hf->fd, ptr, n, pos) : host_pread(hf->fd, ptr, n, pos);
	return write ? host_write(hf->fd, ptr, n) : host_read(hf->fd, ptr, n);
}

/* 0: go on; -EAGAIN, -ERESTARTSYS or another errno. */
static int wait_ready(struct file *file, const struct hostfile *hf, uint32_t events)
{
	int err;

	while (!hostio_ready(hf->fd, events)) {
		if (file->flags & O_NONBLOCK)
			return -EAGAIN;
		if (hf->fd >= HOSTIO_FDS)
			return -EIO;
		err = hostio_want(hf->fd, events);
		if (err)
			return err;
		if (wait_on(hostio_queue(hf->fd), 0, WAIT_FOREVER) == -EINTR)
			return -ERESTARTSYS;
	}
	return 0;
}

static ssize_t hostfile_read(struct file *file, struct uio *uio, uint64_t *pos)
{
	struct hostfile *hf = file->data;
	bool at = file->seekable && (hf->own_pos || pos != &file->pos);
	ssize_t done = 0;
	void *ptr;
	size_t n;
	int err = hf->blocks && uio->left ? wait_ready(file, hf, POLLIN) : 0;

	if (!err && hf->tty)
		err = tty_job_check(&instance()->console, SIGTTIN);
	if (err)
		return err;
	while ((n = uio_peek(uio, &ptr, uio->left)) != 0) {
		ssize_t got;

		if (!uio->kernel && !user_range_ok(ptr, n))
			return done ? done : -EFAULT;
		got = piece_io(hf, ptr, n, *pos, at, false);
		if (got <= 0)
			return done ? done : got;
		uio_advance(uio, (size_t)got);
		done += got;
		*pos += (uint64_t)got;
		if ((size_t)got < n || hf->blocks)
			break;
	}
	return done;
}

/* One piece that does not block; bytes, or an errno. */
static ssize_t write_piece(struct file *file, struct hostfile *hf, struct uio *uio, uint64_t pos,
			   bool at)
{
	size_t room = hf->blocks ? WRITE_CHUNK : uio->left;
	ssize_t got;
	void *ptr;
	size_t n;
	int err = hf->blocks ? wait_ready(file, hf, POLLOUT) : 0;

	if (err)
		return err;
	n = uio_peek(uio, &ptr, room);
	if (!uio->kernel && !user_range_ok(ptr, n))
		return -EFAULT;
	got = piece_io(hf, ptr, n, pos, at, true);
	if (got > 0)
		uio_advance(uio, (size_t)got);
	return got;
}

static ssize_t hostfile_write(struct file *file, struct uio *uio, uint64_t *pos)
{
	struct hostfile *hf = file->data;
	bool at = file->seekable && (hf->own_pos || pos != &file->pos);
	ssize_t done = 0;
	struct stat st;

	if (hf->own_pos && (file->flags & O_APPEND) && host_fstat(hf->fd, &st) == 0)
		*pos = (uint64_t)st.st_size;
	if (hf->tty) {
		int err = tty_check_write(hf->fd);

		if (err)
			return err;
	}
	while (uio->left) {
		ssize_t got = write_piece(file, hf, uio, *pos, at);

		if (got == -EPIPE && !done)
			signal_send_task(current(), SIGPIPE, NULL);
		if (got <= 0)
			return done ? done : got;
		done += got;
		*pos += (uint64_t)got;
	}
	return done;
}

static uint32_t hostfile_poll(struct file *file, struct poll_table *table)
{
	struct hostfile *hf = file->data;
	uint32_t want = 0, got;

	if ((file->flags & O_ACCMODE) != O_WRONLY)
		want |= POLLIN;
	if ((file->flags & O_ACCMODE) != O_RDONLY)
		want |= POLLOUT;
	if (!hf->blocks)
		return POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM;
	got = hostio_ready(hf->fd, want | POLLRDHUP);
	if (table && hf->fd < HOSTIO_FDS) {
		if (table->queue)
			table->queue(table, file, hostio_queue(hf->fd));
		hostio_want(hf->fd, want & ~got);
	}
	if (got & POLLIN)
		got |= POLLRDNORM;
	if (got & POLLOUT)
		got |= POLLWRNORM;
	return got;
}

static int64_t hostfile_lseek(struct file *file, int64_t off, int whence)
{
	struct hostfile *hf = file->data;
	struct stat st;

	if (!file->seekable)
		return -ESPIPE;
	if (!hf->own_pos) {
		int64_t at = host_lseek(hf->fd, off, whence);

		if (at >= 0)
			file->pos = (uint64_t)at;
		return at;
	}
	if (host_fstat(hf->fd, &st))
		return -EIO;
	return generic_lseek(file, off, whence, (uint64_t)st.st_size);
}

static long hostfile_ioctl(struct file *file, unsigned cmd, unsigned long arg)
{
	struct hostfile *hf = file->data;
	int n;

	if (hf->tty)
		return tty_ioctl(hf->fd, cmd, arg);
	if (cmd == FIONREAD) {
		long err = host_ioctl(hf->fd, FIONREAD, (uintptr_t)&n);

		return err ? err : copy_to_user((void *)arg, &n, sizeof(n));
	}
	return -ENOTTY;
}

static int hostfile_map(struct file *file, uint64_t off, uint64_t len, int prot, bool shared,
			struct map_extent *ret)
{
	struct hostfile *hf = file->data;

	(void)prot;
	(void)shared;
	if (hf->blocks || !file->seekable)
		return -ENODEV;
	ret->host_fd = hf->fd;
	ret->host_off = off;
	ret->len = len;
	ret->host_flags = 0;
	return 0;
}

static int hostfile_fsync(struct file *file, bool data_only)
{
	struct hostfile *hf = file->data;

	return (int)(data_only ? host_fdatasync(hf->fd) : host_fsync(hf->fd));
}

static int hostfile_truncate(struct file *file, uint64_t size)
{
	struct hostfile *hf = file->data;

	return (int)host_ftruncate(hf->fd, size);
}

static int hostfile_fallocate(struct file *file, int mode, uint64_t off, uint64_t len)
{
	struct hostfile *hf = file->data;

	return (int)host_fallocate(hf->fd, mode, off, len);
}

static int hostfile_getattr(struct file *file, struct kstat *st)
{
	struct hostfile *hf = file->data;
	struct stat host;
	int err = (int)host_fstat(hf->fd, &host);

	if (err)
		return err;
	st->dev = host.st_dev;
	st->ino = host.st_ino;
	st->mode = host.st_mode;
	st->nlink = (uint32_t)host.st_nlink;
	st->uid = host_uid_shown(host.st_uid);
	st->gid = host_uid_shown(host.st_gid);
	st->rdev = host.st_rdev;
	st->size = (uint64_t)host.st_size;
	st->blocks = (uint64_t)host.st_blocks;
	st->blksize = (uint32_t)host.st_blksize;
	st->atime = host.st_atim;
	st->mtime = host.st_mtim;
	st->ctime = host.st_ctim;
	return 0;
}

static void hostfile_release(struct file *file)
{
	arena_free(file->data);
}

static const struct file_ops hostfile_ops = {
	.name = "host",
	.read = hostfile_read,
	.write = hostfile_write,
	.poll = hostfile_poll,
	.lseek = hostfile_lseek,
	.ioctl = hostfile_ioctl,
	.map_extent = hostfile_map,
	.fsync = hostfile_fsync,
	.truncate = hostfile_truncate,
	.fallocate = hostfile_fallocate,
	.getattr = hostfile_getattr,
	.release = hostfile_release,
};

bool hostfile_is(const struct file *file)
{
	return file->ops == &hostfile_ops;
}

static void kind_take(struct file *file, struct hostfile *hf, const struct stat *st)
{
	hf->tty = S_ISCHR(st->st_mode) && tty_is(hf->fd);
	hf->blocks = hf->tty || S_ISFIFO(st->st_mode) || S_ISSOCK(st->st_mode);
	file->seekable = S_ISREG(st->st_mode) || S_ISBLK(st->st_mode);
}

void hostfile_resume(struct file *file)
{
	struct stat st;

	if (host_fstat(((struct hostfile *)file->data)->fd, &st) == 0)
		kind_take(file, file->data, &st);
}

int hostfile_create(int fd, unsigned flags, struct file **ret_file)
{
	struct hostfile *hf;
	struct stat st;
	int err = (int)host_fstat(fd, &st);

	if (err)
		return err;
	hf = arena_zalloc(sizeof(*hf));
	*ret_file = hf ? file_create(&hostfile_ops, hf, flags) : NULL;
	if (!*ret_file) {
		arena_free(hf);
		return -ENOMEM;
	}
	hf->fd = fd;
	kind_take(*ret_file, hf, &st);
	return 0;
}

int hostfile_reopen(struct file *file, unsigned flags, struct file **ret_file)
{
	struct hostfile *hf = file->data, *copy;
	unsigned have = file->flags & O_ACCMODE, want = flags & O_ACCMODE;
	int err;

	/* the host would check the file's mode; what this descriptor cannot do we cannot get */
	if (have != O_RDWR && have != want)
		return -EACCES;
	err = hostfile_create(hf->fd, flags & ~(unsigned)(O_CREAT | O_EXCL | O_TRUNC), ret_file);
	if (err)
		return err;
	copy = (*ret_file)->data;
	copy->own_pos = (*ret_file)->seekable;
	if ((flags & O_TRUNC) && copy->own_pos)
		return (int)host_ftruncate(hf->fd, 0);
	return 0;
}

int hostfile_tty_open(struct file *file)
{
	struct hostfile *hf;

	for (int fd = 0; fd < HOSTIO_FDS; fd++) {
		if (!tty_is(fd))
			continue;
		hf = arena_zalloc(sizeof(*hf));
		if (!hf)
			return -ENOMEM;
		hf->fd = fd;
		hf->tty = true;
		hf->blocks = true;
		file->data = hf;
		file->ops = &hostfile_ops;
		file->seekable = false;
		return 0;
	}
	return -ENXIO;
}

int vfs_open_host_fd(int host_fd, const char *path, struct file **ret_file)
{
	struct dentry *dentry;
	int err = hostfile_create(host_fd, O_RDONLY, ret_file);

	if (err)
		return err;
	dentry = dentry_create(vfs_get()->anon_sb, NULL, path, (unsigned)strlen(path));
	if (!dentry) {
		file_unref(*ret_file);
		return -ENOMEM;
	}
	((struct hostfile *)(*ret_file)->data)->own_pos = true;
	(*ret_file)->path.mnt = mount_ref(vfs_get()->root);
	(*ret_file)->path.dentry = dentry;
	return 0;
}

int vfs_stdio_open(struct fdtable *table)
{
	static const unsigned access[] = {O_RDONLY, O_WRONLY, O_RDWR, O_RDWR};
	struct file *file;
	int err;

	for (int fd = 0; fd < HOSTIO_FDS; fd++) {
		long flags = host_fcntl(fd, F_GETFL, 0);

		if (flags < 0)
			continue;
		err = hostfile_create(fd, access[flags & O_ACCMODE] | ((unsigned)flags & O_APPEND),
				      &file);
		if (err)
			return err;
		if (((struct hostfile *)file->data)->tty) {
			instance()->console.sid = current()->process->sid;
			instance()->console.pgid = current()->process->pgid;
		}
		err = fdtable_set(table, fd, file);
		if (err) {
			file_unref(file);
			return err;
		}
	}
	return 0;
}
