/*
 * creds.c - handlers of user and group ids and capabilities, as the instance sees them.
 *
 * See creds.h, credentials(7), setresuid(2), capabilities(7).
 */
#include <errno.h>
#include <linux/capability.h>

#include "leat/base/bits.h"
#include "libos/arena.h"
#include "libos/instance.h"
#include "libos/syscall.h"
#include "libos/uaccess.h"

SYS0(getuid)
{
	return my_creds()->uid;
}

SYS0(geteuid)
{
	return my_creds()->euid;
}

SYS0(getgid)
{
	return my_creds()->gid;
}

SYS0(getegid)
{
	return my_creds()->egid;
}

static int put_three(unsigned *user_a, unsigned *user_b, unsigned *user_c, unsigned a, unsigned b,
		     unsigned c)
{
	if (put_user_u32(user_a, a) != 0 || put_user_u32(user_b, b) != 0)
		return -EFAULT;
	return put_user_u32(user_c, c);
}

SYS3(getresuid, unsigned *, user_r, unsigned *, user_e, unsigned *, user_s)
{
	const struct creds *c = my_creds();

	return put_three(user_r, user_e, user_s, c->uid, c->euid, c->suid);
}

SYS3(getresgid, unsigned *, user_r, unsigned *, user_e, unsigned *, user_s)
{
	const struct creds *c = my_creds();

	return put_three(user_r, user_e, user_s, c->gid, c->egid, c->sgid);
}

/* May `id` be taken by an unprivileged process with these three? -1 means "leave". */
static bool id_allowed(unsigned id, unsigned r, unsigned e, unsigned s)
{
	return id == ~0U || id == r || id == e || id == s;
}

static long commit_uids(struct creds *new)
{
	new->fsuid = new->euid;
	creds_fix_setuid(new, my_creds());
	creds_commit(new);
	return 0;
}

static long commit_gids(struct creds *new)
{
	new->fsgid = new->egid;
	creds_commit(new);
	return 0;
}

SYS3(setresuid, unsigned, r, unsigned, e, unsigned, s)
{
	const struct creds *c = my_creds();
	struct creds new = *c;

	if (!capable(CAP_SETUID) &&
	    !(id_allowed(r, c->uid, c->euid, c->suid) && id_allowed(e, c->uid, c->euid, c->suid) &&
	      id_allowed(s, c->uid, c->euid, c->suid)))
		return -EPERM;
	new.uid = r == ~0U ? c->uid : r;
	new.euid = e == ~0U ? c->euid : e;
	new.suid = s == ~0U ? c->suid : s;
	return commit_uids(&new);
}

SYS3(setresgid, unsigned, r, unsigned, e, unsigned, s)
{
	const struct creds *c = my_creds();
	struct creds new = *c;

	if (!capable(CAP_SETGID) &&
	    !(id_allowed(r, c->gid, c->egid, c->sgid) && id_allowed(e, c->gid, c->egid, c->sgid) &&
	      id_allowed(s, c->gid, c->egid, c->sgid)))
		return -EPERM;
	new.gid = r == ~0U ? c->gid : r;
	new.egid = e == ~0U ? c->egid : e;
	new.sgid = s == ~0U ? c->sgid : s;
	return commit_gids(&new);
}

SYS1(setuid, unsigned, id)
{
	const struct creds *c = my_creds();
	struct creds new = *c;

	if (id == ~0U)
		return -EINVAL;
	if (capable(CAP_SETUID))
		new.uid = new.suid = id;
	else if (id != c->uid && id != c->suid)
		return -EPERM;
	new.euid = id;
	return commit_uids(&new);
}

SYS1(setgid, unsigned, id)
{
	const struct creds *c = my_creds();
	struct creds new = *c;

	if (id == ~0U)
		return -EINVAL;
	if (capable(CAP_SETGID))
		new.gid = new.sgid = id;
	else if (id != c->gid && id != c->sgid)
		return -EPERM;
	new.egid = id;
	return commit_gids(&new);
}

SYS2(setreuid, unsigned, r, unsigned, e)
{
	const struct creds *c = my_creds();
	struct creds new = *c;
	bool new_saved = r != ~0U || (e != ~0U && e != c->uid);

	if (!capable(CAP_SETUID) &&
	    !((r == ~0U || r == c->uid || r == c->euid) && id_allowed(e, c->uid, c->euid, c->suid)))
		return -EPERM;
	new.uid = r == ~0U ? c->uid : r;
	new.euid = e == ~0U ? c->euid : e;
	new.suid = new_saved ? new.euid : c->suid;
	return commit_uids(&new);
}

SYS2(setregid, unsigned, r, unsigned, e)
{
	const struct creds *c = my_creds();
	struct creds new = *c;
	bool new_saved = r != ~0U || (e != ~0U && e != c->gid);

	if (!capable(CAP_SETGID) &&
	    !((r == ~0U || r == c->gid || r == c->egid) && id_allowed(e, c->gid, c->egid, c->sgid)))
		return -EPERM;
	new.gid = r == ~0U ? c->gid : r;
	new.egid = e == ~0U ? c->egid : e;
	new.sgid = new_saved ? new.egid : c->sgid;
	return commit_gids(&new);
}

/* setfsuid and setfsgid return the old id and tell of no error (setfsuid(2)). */
SYS1(setfsuid, unsigned, id)
{
	const struct creds *c = my_creds();
	struct creds new = *c;
	unsigned old = c->fsuid;

	if (id == ~0U ||
	    !(capable(CAP_SETUID) || id == c->fsuid || id_allowed(id, c->uid, c->euid, c->suid)))
		return old;
	new.fsuid = id;
	creds_fix_setfsuid(&new, c);
	creds_commit(&new);
	return old;
}

SYS1(setfsgid, unsigned, id)
{
	const struct creds *c = my_creds();
	struct creds new = *c;
	unsigned old = c->fsgid;

	if (id == ~0U ||
	    !(capable(CAP_SETGID) || id == c->fsgid || id_allowed(id, c->gid, c->egid, c->sgid)))
		return old;
	new.fsgid = id;
	creds_commit(&new);
	return old;
}

SYS2(getgroups, int, size, unsigned *, user_groups)
{
	const struct groups *groups = my_creds()->groups;
	unsigned nr = groups == NULL ? 0 : groups->nr;

	if (size < 0 || (size > 0 && (unsigned)size < nr))
		return -EINVAL;
	if (size > 0 && nr > 0 &&
	    copy_to_user(user_groups, groups->gid, nr * sizeof(unsigned)) != 0)
		return -EFAULT;
	return (long)nr;
}

/* Copied from the program; NULL: -ENOMEM or -EFAULT in ret_err. */
static struct groups *groups_import(const unsigned *user_groups, size_t nr, int *ret_err)
{
	unsigned *gids = arena_alloc((nr + 1) * sizeof(*gids));
	struct groups *groups = NULL;

	*ret_err = -ENOMEM;
	if (gids == NULL)
		return NULL;
	*ret_err = copy_from_user(gids, user_groups, nr * sizeof(*gids)) != 0 ? -EFAULT : -ENOMEM;
	if (*ret_err == -ENOMEM)
		groups = groups_create(gids, nr);
	arena_free(gids);
	return groups;
}

SYS2(setgroups, size_t, nr, const unsigned *, user_groups)
{
	struct creds new = *my_creds();
	int err;

	if (!capable(CAP_SETGID))
		return -EPERM;
	if (nr > GROUPS_MAX)
		return -EINVAL;
	new.groups = groups_import(user_groups, nr, &err);
	if (new.groups == NULL)
		return err;
	groups_unref(my_creds()->groups);
	creds_commit(&new);
	return 0;
}
