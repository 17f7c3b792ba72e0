/*
 * caps.c - handlers of capabilities: capget(2), capset(2), and what prctl(2) does with them.
 */
#include <errno.h>
#include <linux/prctl.h>
#include <linux/securebits.h>

#include "leat/base/bits.h"
#include "libos/instance.h"
#include "libos/prctl.h"
#include "libos/syscall.h"
#include "libos/uaccess.h"

/* The thread that a header names and the number of 32-bit words; 0 or negative errno. */
static int cap_header(struct __user_cap_header_struct *user_header, unsigned *ret_words,
		      struct task **ret_task)
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
	*ret_task = header.pid == 0 ? current() : task_find(header.pid);
	return *ret_task != NULL ? 0 : -ESRCH;
}

SYS2(capget, struct __user_cap_header_struct *, user_header, struct __user_cap_data_struct *,
     user_data)
{
	struct __user_cap_data_struct data[2] = {0};
	const struct creds *creds;
	struct task *task;
	unsigned words;
	int err = cap_header(user_header, &words, &task);

	if (err != 0)
		return user_data == NULL && err == -EINVAL ? 0 : err;
	if (user_data == NULL)
		return 0;
	creds = &task->creds;
	for (unsigned i = 0; i < 2; i++) {
		data[i].effective = (uint32_t)(creds->effective >> 32 * i);
		data[i].permitted = (uint32_t)(creds->permitted >> 32 * i);
		data[i].inheritable = (uint32_t)(creds->inheritable >> 32 * i);
	}
	return copy_to_user(user_data, data, words * sizeof(data[0]));
}

/* The rules of capset(2) for new sets. */
static bool sets_allowed(const struct creds *old, const struct creds *new)
{
	uint64_t inheritable = old->inheritable | old->permitted;

	if (!creds_capable(old, CAP_SETPCAP) && (new->inheritable & ~inheritable) != 0)
		return false;
	return (new->inheritable & ~(old->inheritable | old->bounding)) == 0 &&
	       (new->permitted & ~old->permitted) == 0 && (new->effective & ~new->permitted) == 0;
}

SYS2(capset, struct __user_cap_header_struct *, user_header, const struct __user_cap_data_struct *,
     user_data)
{
	struct __user_cap_data_struct data[2] = {0};
	struct creds new = *my_creds();
	struct task *task;
	unsigned words;
	int err = cap_header(user_header, &words, &task);

	if (err != 0)
		return err == -ESRCH ? -EPERM : err;
	if (task != current())
		return -EPERM;
	if (copy_from_user(data, user_data, words * sizeof(data[0])) != 0)
		return -EFAULT;
	new.effective = (data[0].effective | (uint64_t)data[1].effective << 32) & CAPS_ALL;
	new.permitted = (data[0].permitted | (uint64_t)data[1].permitted << 32) & CAPS_ALL;
	new.inheritable = (data[0].inheritable | (uint64_t)data[1].inheritable << 32) & CAPS_ALL;
	if (!sets_allowed(my_creds(), &new))
		return -EPERM;
	new.ambient &= new.permitted &new.inheritable;
	creds_commit(&new);
	return 0;
}

/* ---- prctl(2) ---- */

long prctl_bounding_read(uint64_t cap)
{
	if (cap > CAP_LAST_CAP_KNOWN)
		return -EINVAL;
	return (my_creds()->bounding & CAP_BIT(cap)) != 0;
}

long prctl_bounding_drop(uint64_t cap)
{
	struct creds new = *my_creds();

	if (!capable(CAP_SETPCAP))
		return -EPERM;
	if (cap > CAP_LAST_CAP_KNOWN)
		return -EINVAL;
	new.bounding &= ~CAP_BIT(cap);
	creds_commit(&new);
	return 0;
}

long prctl_set_securebits(uint64_t bits)
{
	struct creds new = *my_creds();
	unsigned old = new.securebits;

	if ((((old & SECURE_ALL_LOCKS) >> 1) & (old ^ bits)) != 0 ||
	    (old & SECURE_ALL_LOCKS & ~bits) != 0 ||
	    (bits & ~(uint64_t)(SECURE_ALL_LOCKS | SECURE_ALL_BITS)) != 0 || !capable(CAP_SETPCAP))
		return -EPERM;
	new.securebits = (unsigned)bits;
	creds_commit(&new);
	return 0;
}

long prctl_set_keepcaps(uint64_t value)
{
	struct creds new = *my_creds();

	if (value > 1)
		return -EINVAL;
	if ((new.securebits &SECBIT_KEEP_CAPS_LOCKED) != 0)
		return -EPERM;
	new.securebits &= ~(unsigned)SECBIT_KEEP_CAPS;
	new.securebits |= value != 0 ? SECBIT_KEEP_CAPS : 0;
	creds_commit(&new);
	return 0;
}

long prctl_ambient(uint64_t what, uint64_t cap, uint64_t c, uint64_t d)
{
	struct creds new = *my_creds();

	if (c != 0 || d != 0)
		return -EINVAL;
	if (what == PR_CAP_AMBIENT_CLEAR_ALL) {
		if (cap != 0)
			return -EINVAL;
		new.ambient = 0;
		creds_commit(&new);
		return 0;
	}
	if (cap > CAP_LAST_CAP_KNOWN)
		return -EINVAL;
	switch (what) {
	case PR_CAP_AMBIENT_IS_SET:
		return (new.ambient &CAP_BIT(cap)) != 0;
	case PR_CAP_AMBIENT_RAISE:
		if ((new.permitted &new.inheritable &CAP_BIT(cap)) == 0 ||
		    (new.securebits &SECBIT_NO_CAP_AMBIENT_RAISE) != 0)
			return -EPERM;
		new.ambient |= CAP_BIT(cap);
		break;
	case PR_CAP_AMBIENT_LOWER:
		new.ambient &= ~CAP_BIT(cap);
		break;
	default:
		return -EINVAL;
	}
	creds_commit(&new);
	return 0;
}
