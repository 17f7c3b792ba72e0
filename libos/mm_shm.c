/*
 * mm_shm.c - the memory behind MAP_SHARED | MAP_ANONYMOUS.
 *
 * A memfd of its own, wrapped in a file that has no name: host descriptors are shared by all
 * processes of the instance, so the mapping stays one object across fork.
 */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/mman.h>

#include "leat/abi/layout.h"
#include "libos/file.h"
#include "libos/host.h"
#include "libos/instance.h"
#include "libos/mm_internal.h"

static int shm_fd(const struct file *file)
{
	return (int)(intptr_t)file->data;
}

static int shm_map_extent(struct file *file, uint64_t off, uint64_t len, int prot, bool shared,
			  struct map_extent *ret_extent)
{
	(void)prot;
	(void)shared;
	*ret_extent = (struct map_extent){.host_fd = shm_fd(file), .host_off = off, .len = len};
	return 0;
}

static void shm_release(struct file *file)
{
	host_close(shm_fd(file));
	instance()->nr_shared--;
}

static const struct file_ops shm_ops = {
	.name = "shared memory",
	.map_extent = shm_map_extent,
	.release = shm_release,
};

struct file *shm_create(uint64_t bytes)
{
	long fd = host_memfd_create("leat-shared", MFD_CLOEXEC);
	struct file *file = NULL;

	if (fd < 0)
		return NULL;
	if (host_ftruncate((int)fd, bytes) == 0)
		file = file_create(&shm_ops, (void *)(intptr_t)fd, O_RDWR);
	if (!file)
		host_close((int)fd);
	else
		instance()->nr_shared++;
	return file;
}
