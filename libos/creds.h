/*
 * creds.h - user and group ids and capabilities, as the instance sees them.
 *
 * Inside an instance they rule over the instance's own objects; the host sees one unprivileged uid
 * whatever happens here.  Each task has its own, as on Linux; libc keeps those of a process equal.
 * See credentials(7) and capabilities(7).  Guard: the instance lock.
 */
#pragma once

#include <linux/capability.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct file;
struct process;
struct task;

#define CAPS_ALL ((2ULL << CAP_LAST_CAP_KNOWN) - 1)
#define CAP_LAST_CAP_KNOWN 40 /* CAP_CHECKPOINT_RESTORE */
#define CAP_BIT(cap) (1ULL << (cap))
#define GROUPS_MAX 65536

/* Supplementary groups, in ascending order; shared, never changed. */
struct groups {
	unsigned refs;
	unsigned nr;
	unsigned gid[];
};

struct creds {
	unsigned uid, euid, suid, fsuid;
	unsigned gid, egid, sgid, fsgid;
	struct groups *groups; /* NULL: none */
	uint64_t permitted, effective, inheritable, bounding, ambient;
	unsigned securebits;
	bool no_new_privs;
};

/* Of the current task. */
const struct creds *my_creds(void);
bool capable(unsigned cap);

static inline bool creds_capable(const struct creds *creds, unsigned cap)
{
	return (creds->effective & CAP_BIT(cap)) != 0;
}

/* Is gid one of the supplementary groups? */
bool creds_has_group(const struct creds *creds, unsigned gid);

/* NULL: out of arena. */
struct groups *groups_create(const unsigned *gids, size_t nr);
void groups_unref(struct groups *groups);

/*
 * A task gets a copy of `from` (NULL: of nobody's).  What others see of a process is what its
 * leader has, and stays when the leader has ended.
 */
void creds_copy(struct creds *to, const struct creds *from);
void creds_finish(struct creds *creds);

/* The current task has `new` from now on: takes over its reference to the groups. */
void creds_commit(const struct creds *new);

/* What a change of user ids does to the capabilities of `new` (capabilities(7)). */
void creds_fix_setuid(struct creds *new, const struct creds *old);
void creds_fix_setfsuid(struct creds *new, const struct creds *old);

/*
 * What execve(2) of the file makes of the current task's credentials: set-user-ID bits, file
 * capabilities; the groups' reference is borrowed.  0 or -EPERM.
 */
int creds_for_exec(struct file *file, struct creds *ret_new, bool *ret_secure);

/* The first program's, all of them or none. */
void creds_init_caps(struct creds *creds);

/* May the current task look into the process (ptrace(2), "Ptrace access mode checking")? */
bool may_look_into(const struct process *process);
