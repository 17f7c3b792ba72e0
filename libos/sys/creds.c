/*
 * creds.c - handlers of user and group ids and capabilities, as the instance sees them.
 *
 * Inside an instance uid 0 has the capabilities over the instance's own objects; the host sees one
 * unprivileged uid whatever happens here.  See credentials(7), setresuid(2), capabilities(7).
 */
#include <errno.h>
#include <linux/capability.h>
#include <string.h>

#include "leat/base/bits.h"
#include "libos/instance.h"
#include "libos/syscall.h"
#include "libos/uaccess.h"

static struct creds *my_creds(void)
{
	return &current()->process->creds;
}

static bool capable(unsigned cap)
{
	return (creds_effective(my_creds()) >> cap & 1) != 0;
}

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

SYS3(setresuid, unsigned, r, unsigned, e, unsigned, s)
{
	struct creds *c = my_creds();

	if (!capable(CAP_SETUID) &&
	    !(id_allowed(r, c->uid, c->euid, c->suid) && id_allowed(e, c->uid, c->euid, c->suid) &&
	      id_allowed(s, c->uid, c->euid, c->suid)))
		return -EPERM;
	c->uid = r == ~0U ? c->uid : r;
	c->euid = e == ~0U ? c->euid : e;
	c->suid = s == ~0U ? c->suid : s;
	c->fsuid = c->euid;
	return 0;
}

SYS3(setresgid, unsigned, r, unsigned, e, unsigned, s)
{
	struct creds *c = my_creds();

	if (!capable(CAP_SETGID) &&
	    !(id_allowed(r, c->gid, c->egid, c->sgid) && id_allowed(e, c->gid, c->egid, c->sgid) &&
	      id_allowed(s, c->gid, c->egid, c->sgid)))
		return -EPERM;
	c->gid = r == ~0U ? c->gid : r;
	c->egid = e == ~0U ? c->egid : e;
	c->sgid = s == ~0U ? c->sgid : s;
	c->fsgid = c->egid;
	return 0;
}

SYS1(setuid, unsigned, id)
{
	struct creds *c = my_creds();

	if (id == ~0U)
		return -EINVAL;
	if (capable(CAP_SETUID))
		c->uid = c->suid = id;
	else if (id != c->uid && id != c->suid)
		return -EPERM;
	c->euid = c->fsuid = id;
	return 0;
}

SYS1(setgid, unsigned, id)
{
	struct creds *c = my_creds();

	if (id == ~0U)
		return -EINVAL;
	if (capable(CAP_SETGID))
		c->gid = c->sgid = id;
	else if (id != c->gid && id != c->sgid)
		return -EPERM;
	c->egid = c->fsgid = id;
	return 0;
}

SYS2(setreuid, unsigned, r, unsigned, e)
{
	struct creds *c = my_creds();
	bool new_saved = r != ~0U || (e != ~0U && e != c->uid);

	if (!capable(CAP_SETUID) &&
	    !((r == ~0U || r == c->uid || r == c->euid) && id_allowed(e, c->uid, c->euid, c->suid)))
		return -EPERM;
	c->uid = r == ~0U ? c->uid : r;
	c->euid = e == ~0U ? c->euid : e;
	c->suid = new_saved ? c->euid : c->suid;
	c->fsuid = c->euid;
	return 0;
}

SYS2(setregid, unsigned, r, unsigned, e)
{
	struct creds *c = my_creds();
	bool new_saved = r != ~0U || (e != ~0U && e != c->gid);

	if (!capable(CAP_SETGID) &&
	    !((r == ~0U || r == c->gid || r == c->egid) && id_allowed(e, c->gid, c->egid, c->sgid)))
		return -EPERM;
	c->gid = r == ~0U ? c->gid : r;
	c->egid = e == ~0U ? c->egid : e;
	c->sgid = new_saved ? c->egid : c->sgid;
	c->fsgid = c->egid;
	return 0;
}

/* setfsuid and setfsgid return the old id and tell of no error (setfsuid(2)). */
SYS1(setfsuid, unsigned, id)
{
	struct creds *c = my_creds();
	unsigned old = c->fsuid;

	if (capable(CAP_SETUID) || id_allowed(id, c->uid, c->euid, c->suid))
		c->fsuid = id == ~0U ? c->fsuid : id;
	return old;
}

SYS1(setfsgid, unsigned, id)
{
	struct creds *c = my_creds();
	unsigned old = c->fsgid;

	if (capable(CAP_SETGID) || id_allowed(id, c->gid, c->egid, c->sgid))
		c->fsgid = id == ~0U ? c->fsgid : id;
	return old;
}

SYS2(getgroups, int, size, unsigned *, user_groups)
{
	const struct creds *c = my_creds();

	if (size < 0 || (size > 0 && (unsigned)size < c->nr_groups))
		return -EINVAL;
	if (size > 0 && copy_to_user(user_groups, c->groups, c->nr_groups * sizeof(unsigned)) != 0)
		return -EFAULT;
	return (long)c->nr_groups;
}

SYS2(setgroups, size_t, nr, const unsigned *, user_groups)
{
	struct creds *c = my_creds();
	unsigned groups[ARRAY_SIZE(c->groups)];

	if (!capable(CAP_SETGID))
		return -EPERM;
	if (nr > ARRAY_SIZE(groups))
		return -EINVAL;
	if (copy_from_user(groups, user_groups, nr * sizeof(unsigned)) != 0)
		return -EFAULT;
	memcpy(c->groups, groups, nr * sizeof(unsigned));
	c->nr_groups = (unsigned)nr;
	return 0;
}

/* ---- capabilities: those that uid 0 has not given up, none for others ---- */

static int cap_header(struct __user_cap_header_struct *user_header, unsigned *ret_words)
{
	struct __user_cap_header_struct header;

	if (copy_from_user(&header, user_header, sizeof(header)) != 0)
		return -EFAULT;
	switch (header.version) {
	case _LINUX_CAPABILITY_VERSION_1:
		*ret_words = 1;
		break;
	case _LINUX_CAPABILITY_VERSION_2:
	case _LINUX_CAPABILITY_VERSION_3:
		*ret_words = 2;
		break;
	default:
		header.version = _LINUX_CAPABILITY_VERSION_3;
		return copy_to_user(user_header, &header, sizeof(header)) != 0 ? -EFAULT : -EINVAL;
	}
	if (header.pid < 0)
		return -EINVAL;
	return header.pid == 0 || process_find(header.pid) != NULL ? 0 : -ESRCH;
}

/* Of the process that a header names, which exists and was readable a moment ago. */
static struct creds *cap_creds(const struct __user_cap_header_struct *user_header)
{
	struct __user_cap_header_struct header = {0};
	struct process *process;

	if (copy_from_user(&header, user_header, sizeof(header)) != 0 || header.pid == 0)
		return my_creds();
	process = process_find(header.pid);
	return process != NULL ? &process->creds : my_creds();
}

SYS2(capget, struct __user_cap_header_struct *, user_header, struct __user_cap_data_struct *,
     user_data)
{
	struct __user_cap_data_struct data[2] = {0};
	const struct creds *creds;
	unsigned words;
	int err = cap_header(user_header, &words);

	if (err != 0)
		return user_data == NULL && err == -EINVAL ? 0 : err;
	if (user_data == NULL)
		return 0;
	creds = cap_creds(user_header);
	for (unsigned i = 0; i < 2; i++) {
		data[i].effective = (uint32_t)(creds_effective(creds) >> 32 * i);
		data[i].permitted = (uint32_t)(creds_permitted(creds) >> 32 * i);
		data[i].inheritable = (uint32_t)(creds->inheritable >> 32 * i);
	}
	return copy_to_user(user_data, data, words * sizeof(data[0]));
}

/* Permitted ones can only be given up; of those, any may be effective. */
SYS2(capset, struct __user_cap_header_struct *, user_header, const struct __user_cap_data_struct *,
     user_data)
{
	struct __user_cap_data_struct data[2] = {0};
	struct creds *creds = my_creds();
	uint64_t effective, permitted, inheritable;
	unsigned words;
	int err = cap_header(user_header, &words);

	if (err != 0)
		return err;
	if (cap_creds(user_header) != creds)
		return -EPERM;
	if (copy_from_user(data, user_data, words * sizeof(data[0])) != 0)
		return -EFAULT;
	effective = (data[0].effective | (uint64_t)data[1].effective << 32) & CAPS_ALL;
	permitted = (data[0].permitted | (uint64_t)data[1].permitted << 32) & CAPS_ALL;
	inheritable = (data[0].inheritable | (uint64_t)data[1].inheritable << 32) & CAPS_ALL;
	if ((permitted & ~creds_permitted(creds)) != 0 || (effective & ~permitted) != 0 ||
	    (inheritable & ~(creds->inheritable | creds_permitted(creds))) != 0)
		return -EPERM;
	creds->permitted_gone = CAPS_ALL & ~permitted;
	creds->effective_gone = CAPS_ALL & ~effective;
	creds->inheritable = inheritable;
	return 0;
}
