/*
 * devfs.c - /dev: the character devices that every program expects.
 *
 * The nodes lie in a memfs; what opening one gives is decided by its device number.  Numbers are
 * Linux's (Documentation/admin-guide/devices.txt).  Devices of the host are never reached from
 * here.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "leat/base/bits.h"
#include "libos/fs/fs.h"
#include "libos/fs/pty.h"
#include "libos/fs/tty_job.h"
#include "libos/instance.h"

#define RANDOM_CHUNK 256U
#define PTS_MAJOR 136U

static ssize_t null_read(struct file *file, struct uio *uio, uint64_t *pos)
{
	(void)file;
	(void)uio;
	(void)pos;
	return 0;
}

/* Takes everything: /dev/null and /dev/zero, and entropy that nobody needs. */
static ssize_t sink_write(struct file *file, struct uio *uio, uint64_t *pos)
{
	size_t n = uio->left;

	(void)file;
	(void)pos;
	uio_advance(uio, n);
	return (ssize_t)n;
}

static ssize_t zero_read(struct file *file, struct uio *uio, uint64_t *pos)
{
	(void)file;
	(void)pos;
	return uio_zero(uio, uio->left);
}

static ssize_t full_write(struct file *file, struct uio *uio, uint64_t *pos)
{
	(void)file;
	(void)pos;
	return uio->left > 0 ? -ENOSPC : 0;
}

static ssize_t random_read(struct file *file, struct uio *uio, uint64_t *pos)
{
	uint8_t chunk[RANDOM_CHUNK];
	ssize_t done = 0, got;

	(void)file;
	(void)pos;
	while (uio->left > 0) {
		size_t n = MIN(uio->left, sizeof(chunk));

		random_bytes(chunk, n);
		got = uio_copy_out(uio, chunk, n);
		if (got < 0)
			return done > 0 ? done : got;
		done += got;
	}
	return done;
}

static int64_t dev_lseek(struct file *file, int64_t off, int whence)
{
	(void)whence;
	(void)off;
	file->pos = 0;
	return 0;
}

/* A private mapping of /dev/zero is anonymous memory (mem(4)). */
static int zero_map_extent(struct file *file, uint64_t off, uint64_t len, int prot, bool shared,
			   struct map_extent *ret_extent)
{
	(void)file;
	(void)prot;
	if (shared)
		return -ENODEV;
	*ret_extent = (struct map_extent){.host_fd = -1, .host_off = off, .len = len};
	return 0;
}

static const struct file_ops null_ops = {.name = "null",
					 .read = null_read,
					 .write = sink_write,
					 .lseek = dev_lseek};
static const struct file_ops zero_ops = {.name = "zero",
					 .read = zero_read,
					 .write = sink_write,
					 .lseek = dev_lseek,
					 .map_extent = zero_map_extent};
static const struct file_ops full_ops = {.name = "full",
					 .read = zero_read,
					 .write = full_write,
					 .lseek = dev_lseek};
static const struct file_ops random_ops = {.name = "random",
					   .read = random_read,
					   .write = sink_write,
					   .lseek = dev_lseek};

static const struct {
	char name[12];
	uint32_t mode;
	unsigned major, minor;
} devices[] = {
	{"null", 0666, 1, 3},    {"zero", 0666, 1, 5},    {"full", 0666, 1, 7},
	{"random", 0666, 1, 8},  {"urandom", 0666, 1, 9}, {"tty", 0666, 5, 0},
	{"console", 0600, 5, 1}, {"ptmx", 0666, 5, 2},
};

static const struct {
	char name[12];
	char target[20];
} links[] = {
	{"fd", "/proc/self/fd"},
	{"stdin", "/proc/self/fd/0"},
	{"stdout", "/proc/self/fd/1"},
	{"stderr", "/proc/self/fd/2"},
};

static const struct file_ops *mem_device(unsigned minor)
{
	switch (minor) {
	case 3:
		return &null_ops;
	case 5:
		return &zero_ops;
	case 7:
		return &full_ops;
	case 8:
	case 9:
		return &random_ops;
	default:
		return NULL;
	}
}

/* /dev/tty is the session's own terminal, /dev/console the one that the instance was given. */
static int tty_open(struct file *file, unsigned dev_minor)
{
	const struct tty_job *job = tty_job_of(current()->process);

	switch (dev_minor) {
	case 0:
		if (job == NULL)
			return -ENXIO;
		return job == &instance()->console ? hostfile_tty_open(file) :
						     pty_open_by_job(file, job);
	case 1:
		return hostfile_tty_open(file);
	case 2:
		return pty_master_open(file);
	default:
		return -ENXIO;
	}
}

int chrdev_open(struct inode *inode, struct file *file)
{
	unsigned dev_major = major(inode->rdev), dev_minor = minor(inode->rdev);

	if (dev_major == 5)
		return tty_open(file, dev_minor);
	if (dev_major == PTS_MAJOR)
		return pty_slave_open(file, dev_minor);
	if (dev_major != 1 || mem_device(dev_minor) == NULL)
		return -ENXIO;
	file->ops = mem_device(dev_minor);
	file->seekable = true;
	return 0;
}

static int new_entry(struct path dev, const char *name, struct path *ret_path)
{
	*ret_path = (struct path){dev.mnt, NULL};
	return dentry_lookup(dev.dentry, name, (unsigned)strlen(name), &ret_path->dentry);
}

int devfs_populate(struct path dev)
{
	struct inode *dir = dev.dentry->inode;
	struct path at;
	int err = 0;

	for (unsigned i = 0; err == 0 && i < ARRAY_SIZE(devices); i++) {
		err = new_entry(dev, devices[i].name, &at);
		if (err != 0)
			return err;
		err = dir->ops->create(dir, at.dentry, S_IFCHR | devices[i].mode,
				       makedev(devices[i].major, devices[i].minor));
		dentry_unref(at.dentry);
	}
	for (unsigned i = 0; err == 0 && i < ARRAY_SIZE(links); i++) {
		err = new_entry(dev, links[i].name, &at);
		if (err != 0)
			return err;
		err = dir->ops->symlink(dir, at.dentry, links[i].target);
		dentry_unref(at.dentry);
	}
	return err;
}
