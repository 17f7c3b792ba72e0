/*
 * shm.c - handlers of System V shared memory: shmget, shmat, shmdt, shmctl.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

#include "leat/abi/layout.h"
#include "leat/base/bits.h"
#include "libos/file.h"
#include "libos/instance.h"
#include "libos/mm.h"
#include "libos/syscall.h"
#include "libos/sysv.h"
#include "libos/sysv_shm.h"
#include "libos/uaccess.h"

#define SHMMNI 4096U
#define SHMMAX (UINT64_MAX - (1UL << 24)) /* the kernel's default */

SYS3(shmget, int, key, uint64_t, size, int, flags)
{
	struct sysv_shm *shm = key == IPC_PRIVATE ? NULL : sysv_shm_by_key(key);
	uint64_t bytes;
	int r;

	if (shm) {
		if ((flags & IPC_CREAT) && (flags & IPC_EXCL))
			return -EEXIST;
		if (size > shm->ds.shm_segsz)
			return -EINVAL;
		return sysv_may(&shm->ds.shm_perm, sysv_rights(flags)) ? shm->id : -EACCES;
	}
	if (key != IPC_PRIVATE && !(flags & IPC_CREAT))
		return -ENOENT;
	if (!size || size > SHMMAX)
		return -EINVAL;
	if ((flags & SHM_HUGETLB) || size > ABI_USER_HIGH)
		return -ENOMEM;
	if (sysv_shm_count(&bytes) >= SHMMNI)
		return -ENOSPC;
	r = sysv_shm_create(key, size, flags, &shm);
	return r < 0 ? r : shm->id;
}

SYS3(shmat, int, id, uint64_t, addr, int, flags)
{
	struct mm *mm = current()->process->mm;
	struct sysv_shm *shm = sysv_shm_by_id(id);
	int prot = PROT_READ, map = MAP_SHARED;
	int64_t at;

	if (!shm)
		return -EINVAL;
	if (!sysv_may(&shm->ds.shm_perm, (flags & SHM_RDONLY) ? 4 : 6))
		return -EACCES;
	if ((flags & SHM_REMAP) && !addr)
		return -EINVAL;
	if (addr % SHMLBA && (flags & SHM_RND))
		addr -= addr % SHMLBA;
	if (addr % SHMLBA)
		return -EINVAL;
	if (addr)
		map |= (flags & SHM_REMAP) ? MAP_FIXED : MAP_FIXED_NOREPLACE;
	if (!(flags & SHM_RDONLY))
		prot |= PROT_WRITE;
	if (flags & SHM_EXEC)
		prot |= PROT_EXEC;
	at = mm_map(mm, addr, shm->ds.shm_segsz, prot, map, shm->file, 0);
	if (at == -EEXIST)
		return -EINVAL;
	if (at >= 0) {
		shm->ds.shm_atime = sysv_now();
		shm->ds.shm_lpid = current()->process->pid;
	}
	return at;
}

SYS1(shmdt, uint64_t, addr)
{
	struct mm *mm = current()->process->mm;
	const struct vma *v = mm_find(mm, addr);
	struct sysv_shm *shm = v ? sysv_shm_by_file(v->file) : NULL;
	struct file *file;
	uint64_t end, at, next;
	int r = 0;

	if (addr % SHMLBA || !shm || v->start != addr || v->off != 0)
		return -EINVAL;
	shm->ds.shm_dtime = sysv_now();
	shm->ds.shm_lpid = current()->process->pid;
	end = addr + align_up(shm->ds.shm_segsz, ABI_PAGE_SIZE);
	/* All that is left of this attachment; the segment may go with its last page. */
	file = file_ref(shm->file);
	for (at = addr; r == 0 && at < end; at = next) {
		v = mm_find(mm, at);
		if (!v || v->start >= end)
			break;
		next = MIN(v->end, end);
		if (v->file == file && v->off == v->start - addr)
			r = mm_unmap(mm, v->start, next - v->start);
	}
	file_unref(file);
	return r;
}

static long stat_segment(struct sysv_shm *shm, void *user_buf, long result)
{
	struct shmid_ds ds = shm->ds;

	if (!sysv_may(&shm->ds.shm_perm, 4))
		return -EACCES;
	ds.shm_nattch = sysv_shm_attached(shm);
	return copy_to_user(user_buf, &ds, sizeof(ds)) < 0 ? -EFAULT : result;
}

static long set_segment(struct sysv_shm *shm, const void *user_buf)
{
	struct shmid_ds ds;
	int r;

	if (copy_from_user(&ds, user_buf, sizeof(ds)) < 0)
		return -EFAULT;
	r = sysv_perm_set(&shm->ds.shm_perm, &ds.shm_perm);
	if (r == 0)
		shm->ds.shm_ctime = sysv_now();
	return r;
}

/* IPC_INFO and SHM_INFO: the result is the highest index in use. */
static long info(int cmd, void *user_buf)
{
	struct shminfo limits = {.shmmax = SHMMAX,
				 .shmmin = 1,
				 .shmmni = SHMMNI,
				 .shmseg = SHMMNI,
				 .shmall = SHMMAX};
	struct shm_info used = {0};
	uint64_t bytes;
	unsigned n = sysv_shm_count(&bytes);
	int r;

	used.used_ids = (int)n;
	used.shm_tot = align_up(bytes, ABI_PAGE_SIZE) / ABI_PAGE_SIZE;
	used.shm_rss = used.shm_tot;
	r = cmd == IPC_INFO ? copy_to_user(user_buf, &limits, sizeof(limits)) :
			      copy_to_user(user_buf, &used, sizeof(used));
	return r < 0 ? r : n ? (long)n - 1 : 0;
}

SYS3(shmctl, int, id, int, cmd, void *, buf)
{
	struct sysv_shm *shm;

	if (cmd == IPC_INFO || cmd == SHM_INFO)
		return info(cmd, buf);
	if (cmd == SHM_STAT || cmd == SHM_STAT_ANY) {
		shm = id < 0 ? NULL : sysv_shm_by_index((unsigned)id);
		return shm ? stat_segment(shm, buf, shm->id) : -EINVAL;
	}
	shm = sysv_shm_by_id(id);
	if (!shm)
		return -EINVAL;
	switch (cmd) {
	case IPC_STAT:
		return stat_segment(shm, buf, 0);
	case IPC_SET:
		return set_segment(shm, buf);
	case IPC_RMID:
		if (!sysv_owns(&shm->ds.shm_perm))
			return -EPERM;
		sysv_shm_remove(shm);
		return 0;
	default:
		return -EINVAL;
	}
}
