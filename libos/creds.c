/*
 * creds.c - what changes of user ids and execve do to credentials.  See capabilities(7).
 */
#include "libos/creds.h"

#include <errno.h>
#include <linux/securebits.h>
#include <string.h>
#include <sys/stat.h>

#include "leat/base/bits.h"
#include "libos/arena.h"
#include "libos/file.h"
#include "libos/fs/fs.h"
#include "libos/instance.h"
#include "libos/task.h"

/* The capabilities about files, which follow the file system's user id. */
#define CAPS_FILES                                                                                 \
	(CAP_BIT(CAP_CHOWN) | CAP_BIT(CAP_MKNOD) | CAP_BIT(CAP_DAC_OVERRIDE) |                     \
	 CAP_BIT(CAP_DAC_READ_SEARCH) | CAP_BIT(CAP_FOWNER) | CAP_BIT(CAP_FSETID) |                \
	 CAP_BIT(CAP_LINUX_IMMUTABLE) | CAP_BIT(CAP_MAC_OVERRIDE))

const struct creds *my_creds(void)
{
	return &current()->creds;
}

bool capable(unsigned cap)
{
	return creds_capable(my_creds(), cap);
}

/* ---- groups ---- */

bool creds_has_group(const struct creds *creds, unsigned gid)
{
	const struct groups *groups = creds->groups;

	for (unsigned i = 0; groups != NULL && i < groups->nr && groups->gid[i] <= gid; i++)
		if (groups->gid[i] == gid)
			return true;
	return false;
}

/* Ascending: a comb sort, quick enough for the longest list in any order. */
static void groups_sort(struct groups *groups)
{
	size_t gap = groups->nr;
	bool swapped = true;

	while (gap > 1 || swapped) {
		gap = MAX(gap * 10 / 13, 1UL);
		swapped = false;
		for (size_t i = 0; i + gap < groups->nr; i++) {
			unsigned low = groups->gid[i], high = groups->gid[i + gap];

			if (low <= high)
				continue;
			groups->gid[i] = high;
			groups->gid[i + gap] = low;
			swapped = true;
		}
	}
}

struct groups *groups_create(const unsigned *gids, size_t nr)
{
	struct groups *groups = arena_alloc(sizeof(*groups) + nr * sizeof(groups->gid[0]));

	if (groups == NULL)
		return NULL;
	groups->refs = 1;
	groups->nr = (unsigned)nr;
	memcpy(groups->gid, gids, nr * sizeof(gids[0]));
	groups_sort(groups);
	return groups;
}

void groups_unref(struct groups *groups)
{
	if (groups != NULL && --groups->refs == 0)
		arena_free(groups);
}

/* ---- copies ---- */

void creds_copy(struct creds *to, const struct creds *from)
{
	struct groups *old = to->groups;

	if (from == NULL)
		*to = (struct creds){0};
	else
		*to = *from;
	if (to->groups != NULL)
		to->groups->refs++;
	groups_unref(old);
}

void creds_finish(struct creds *creds)
{
	groups_unref(creds->groups);
	creds->groups = NULL;
}

void creds_commit(const struct creds *new)
{
	struct task *task = current();
	struct process *process = task->process;
	bool same = new->euid == task->creds.euid &&new->egid == task->creds.egid &&new->fsuid ==
			    task->creds.fsuid &&new->fsgid == task->creds.fsgid &&
		    (new->permitted & ~task->creds.permitted) == 0;

	if (!same) { /* prctl(2), PR_SET_DUMPABLE, and PR_SET_PDEATHSIG */
		process->undumpable = true;
		task->pdeath_signal = 0;
	}
	task->creds = *new;
	if (process->leader == task)
		creds_copy(&process->creds, new);
}

/* ---- changes ---- */

static bool any_root(const struct creds *c)
{
	return c->uid == 0 || c->euid == 0 || c->suid == 0;
}

void creds_fix_setuid(struct creds *new, const struct creds *old)
{
	if ((new->securebits &SECBIT_NO_SETUID_FIXUP) != 0)
		return;
	if (any_root(old) && !any_root(new)) {
		if ((new->securebits &SECBIT_KEEP_CAPS) == 0)
			new->permitted = new->effective = 0;
		new->ambient = 0;
	}
	if (old->euid == 0 && new->euid != 0)
		new->effective = 0;
	if (old->euid != 0 && new->euid == 0)
		new->effective = new->permitted;
}

void creds_fix_setfsuid(struct creds *new, const struct creds *old)
{
	if ((new->securebits &SECBIT_NO_SETUID_FIXUP) != 0)
		return;
	if (old->fsuid == 0 && new->fsuid != 0)
		new->effective &= ~CAPS_FILES;
	if (old->fsuid != 0 && new->fsuid == 0)
		new->effective |= new->permitted &CAPS_FILES;
}

void creds_init_caps(struct creds *creds)
{
	creds->bounding = CAPS_ALL;
	creds->permitted = creds->effective = creds->euid == 0 ? CAPS_ALL : 0;
}

/* ---- execve ---- */

/* The attribute security.capability; false: the file has none that counts. */
static bool file_caps(const struct inode *inode, uint64_t *ret_permitted, uint64_t *ret_inheritable,
		      bool *ret_effective)
{
	struct vfs_ns_cap_data data = {0};
	long n = inode->ops->getxattr == NULL ?
			 -EOPNOTSUPP :
			 inode->ops->getxattr((struct inode *)(uintptr_t)inode,
					      "security.capability", &data, sizeof(data));
	uint32_t revision = data.magic_etc & VFS_CAP_REVISION_MASK;

	if (!((n == XATTR_CAPS_SZ_2 && revision == VFS_CAP_REVISION_2) ||
	      (n == XATTR_CAPS_SZ_3 && revision == VFS_CAP_REVISION_3 && data.rootid == 0)))
		return false;
	*ret_permitted =
		(data.data[0].permitted | (uint64_t)data.data[1].permitted << 32) & CAPS_ALL;
	*ret_inheritable =
		(data.data[0].inheritable | (uint64_t)data.data[1].inheritable << 32) & CAPS_ALL;
	*ret_effective = (data.magic_etc & VFS_CAP_FLAGS_EFFECTIVE) != 0;
	return true;
}

static bool on_nosuid_mount(const struct file *file)
{
	return file->path.mnt != NULL && file->path.mnt->nosuid;
}

/* Set-user-ID and set-group-ID bits; scripts' do not count. */
static void apply_set_ids(struct file *file, struct creds *new)
{
	const struct inode *inode = file->inode;
	char magic[2] = {0};

	if (inode == NULL || (inode->mode & (S_ISUID | S_ISGID)) == 0 || new->no_new_privs ||
	    on_nosuid_mount(file) ||
	    file_pread_kernel(file, magic, sizeof(magic), 0) != sizeof(magic) ||
	    (magic[0] == '#' && magic[1] == '!'))
		return;
	if ((inode->mode & S_ISUID) != 0)
		new->euid = inode->uid;
	if ((inode->mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP))
		new->egid = inode->gid;
}

/* P'(permitted) before the ambient ones are added, and whether they are effective too. */
static int apply_caps(struct file *file, const struct creds *old, struct creds *new,
		      bool *ret_has_file_caps, bool *ret_effective)
{
	uint64_t permitted = 0, inheritable = 0;
	bool effective = false;
	bool has = file->inode != NULL && !on_nosuid_mount(file) &&
		   file_caps(file->inode, &permitted, &inheritable, &effective);

	new->permitted = (old->bounding & permitted) | (old->inheritable & inheritable);
	if (has && effective && (permitted & ~new->permitted) != 0)
		return -EPERM;
	*ret_has_file_caps = has;
	*ret_effective = effective;
	if ((new->securebits &SECBIT_NOROOT) != 0)
		return 0;
	if (has && new->uid != 0 && new->euid == 0)
		return 0; /* set-user-ID root with capabilities of its own: those count */
	if (new->uid == 0 || new->euid == 0)
		new->permitted = old->bounding | old->inheritable;
	*ret_effective = effective || new->euid == 0;
	return 0;
}

int creds_for_exec(struct file *file, struct creds *ret_new, bool *ret_secure)
{
	const struct creds *old = my_creds();
	struct creds new = *old;
	bool has_file_caps, effective, set_id;
	int err;

	apply_set_ids(file, &new);
	err = apply_caps(file, old, &new, &has_file_caps, &effective);
	if (err != 0)
		return err;
	if (new.no_new_privs)
		new.permitted &= old->permitted;
	set_id = new.euid != old->uid || new.egid != old->gid;
	new.suid = new.fsuid = new.euid;
	new.sgid = new.fsgid = new.egid;
	if (has_file_caps || set_id)
		new.ambient = 0;
	new.permitted |= new.ambient;
	new.effective = effective ? new.permitted : new.ambient;
	new.securebits &= ~(unsigned)SECBIT_KEEP_CAPS;
	*ret_secure =
		set_id || (new.uid != 0 && (effective || (new.permitted & ~new.ambient) != 0));
	*ret_new = new;
	return 0;
}

/* ---- looking into others ---- */

bool may_look_into(const struct process *process)
{
	const struct creds *me = my_creds(), *it = &process->creds;

	if (process == current()->process || creds_capable(me, CAP_SYS_PTRACE))
		return true;
	return me->uid == it->uid && me->uid == it->euid && me->uid == it->suid &&
	       me->gid == it->gid && me->gid == it->egid && me->gid == it->sgid &&
	       !process->undumpable && (it->permitted & ~me->permitted) == 0;
}
