/*
 * sysv_shm.c - segments of System V shared memory: making, finding, removing.
 */
#include "libos/sysv_shm.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

#include "leat/abi/layout.h"
#include "leat/base/bits.h"
#include "libos/arena.h"
#include "libos/file.h"
#include "libos/host.h"
#include "libos/instance.h"
#include "libos/mm.h"
#include "libos/sysv.h"

static int segment_map_extent(struct file *file, uint64_t off, uint64_t len, int prot, bool shared,
			      struct map_extent *ret_extent)
{
	const struct sysv_shm *shm = file->data;

	(void)prot;
	(void)shared;
	*ret_extent = (struct map_extent){.host_fd = shm->fd, .host_off = off, .len = len};
	return 0;
}

/* The last reference went: removed, and nobody is attached any more. */
static void segment_release(struct file *file)
{
	struct sysv_shm *shm = file->data;

	host_close(shm->fd);
	instance()->nr_shared--;
	list_del(&shm->node);
	arena_free(shm);
}

static const struct file_ops segment_ops = {
	.name = "SYSV",
	.map_extent = segment_map_extent,
	.release = segment_release,
};

/* The memory and its file. 0 or negative errno. */
static int segment_init(struct sysv_shm *shm, uint64_t bytes)
{
	long r = host_memfd_create("leat-sysv", MFD_CLOEXEC);

	if (r < 0)
		return (int)r;
	shm->fd = (int)r;
	instance()->nr_shared++;
	r = host_ftruncate(shm->fd, align_up(bytes, ABI_PAGE_SIZE));
	if (r == 0) {
		shm->file = file_create(&segment_ops, shm, O_RDWR);
		r = shm->file ? 0 : -ENOMEM;
	}
	if (r < 0) {
		host_close(shm->fd);
		instance()->nr_shared--;
	}
	return (int)r;
}

int sysv_shm_create(key_t key, uint64_t bytes, int mode, struct sysv_shm **ret_shm)
{
	struct sysv *sysv = sysv_get();
	struct sysv_shm *shm = sysv ? arena_zalloc(sizeof(*shm)) : NULL;
	int r;

	if (!shm)
		return -ENOMEM;
	r = segment_init(shm, bytes);
	if (r < 0) {
		arena_free(shm);
		return r;
	}
	shm->id = sysv->next_id++;
	sysv_perm_init(&shm->ds.shm_perm, key, mode);
	shm->ds.shm_segsz = bytes;
	shm->ds.shm_ctime = sysv_now();
	shm->ds.shm_cpid = current()->process->pid;
	list_add_tail(&sysv->segments, &shm->node);
	*ret_shm = shm;
	return 0;
}

struct sysv_shm *sysv_shm_by_key(key_t key)
{
	struct sysv *sysv = sysv_get();
	struct sysv_shm *shm;
	struct list *pos;

	if (!sysv)
		return NULL;
	list_for_each(pos, &sysv->segments) {
		shm = list_entry(pos, struct sysv_shm, node);
		if (!shm->removed && shm->ds.shm_perm.__ipc_perm_key == key)
			return shm;
	}
	return NULL;
}

struct sysv_shm *sysv_shm_by_id(int id)
{
	struct sysv *sysv = sysv_get();
	struct list *pos;

	if (!sysv)
		return NULL;
	list_for_each(pos, &sysv->segments) {
		if (list_entry(pos, struct sysv_shm, node)->id == id)
			return list_entry(pos, struct sysv_shm, node);
	}
	return NULL;
}

struct sysv_shm *sysv_shm_by_file(const struct file *file)
{
	return file && file->ops == &segment_ops ? file->data : NULL;
}

struct sysv_shm *sysv_shm_by_index(unsigned index)
{
	struct sysv *sysv = sysv_get();
	struct list *pos;

	if (!sysv)
		return NULL;
	list_for_each(pos, &sysv->segments) {
		if (index-- == 0)
			return list_entry(pos, struct sysv_shm, node);
	}
	return NULL;
}

unsigned sysv_shm_count(uint64_t *ret_bytes)
{
	struct sysv *sysv = sysv_get();
	struct list *pos;
	unsigned n = 0;

	*ret_bytes = 0;
	if (!sysv)
		return 0;
	list_for_each(pos, &sysv->segments) {
		*ret_bytes += list_entry(pos, struct sysv_shm, node)->ds.shm_segsz;
		n++;
	}
	return n;
}

/* Does an earlier process of the list share its memory (vfork)? Then it was looked at. */
static bool mm_seen(const struct process *process)
{
	struct list *pos;

	list_for_each(pos, &instance()->processes) {
		const struct process *other = list_entry(pos, struct process, all_node);

		if (other == process)
			return false;
		if (other->mm == process->mm)
			return true;
	}
	return false;
}

unsigned sysv_shm_attached(const struct sysv_shm *shm)
{
	const struct vma *v;
	struct list *pos;
	unsigned n = 0;

	list_for_each(pos, &instance()->processes) {
		const struct process *process = list_entry(pos, struct process, all_node);

		if (!process->mm || mm_seen(process))
			continue;
		for (v = mm_find(process->mm, 0); v; v = mm_next(process->mm, v))
			n += v->off == 0 && sysv_shm_by_file(v->file) == shm;
	}
	return n;
}

void sysv_shm_remove(struct sysv_shm *shm)
{
	if (shm->removed)
		return;
	shm->removed = true;
	shm->ds.shm_perm.mode |= SHM_DEST;
	shm->ds.shm_perm.__ipc_perm_key = IPC_PRIVATE;
	file_unref(shm->file);
}
