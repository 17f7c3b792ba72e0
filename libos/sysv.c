/*
 * sysv.c - owners and rights of System V's objects.  See sysvipc(7).
 */
#include "libos/sysv.h"

#include <errno.h>

#include "libos/arena.h"
#include "libos/clock.h"
#include "libos/instance.h"

#define NS_PER_S 1000000000UL

struct sysv *sysv_get(void)
{
	struct instance *inst = instance();
	struct sysv *sysv = inst->sysv;

	if (sysv != NULL)
		return sysv;
	sysv = arena_zalloc(sizeof(*sysv));
	if (sysv == NULL)
		return NULL;
	list_init(&sysv->segments);
	list_init(&sysv->sems);
	list_init(&sysv->queues);
	list_init(&sysv->mqueues);
	inst->sysv = sysv;
	return sysv;
}

bool sysv_may(const struct ipc_perm *perm, unsigned rights)
{
	const struct creds *creds = my_creds();
	unsigned mode = perm->mode;

	if (creds_capable(creds, CAP_IPC_OWNER))
		return true;
	if (creds->euid == perm->uid || creds->euid == perm->cuid)
		mode >>= 6;
	else if (creds->egid == perm->gid || creds->egid == perm->cgid)
		mode >>= 3;
	return (mode & rights) == rights;
}

bool sysv_owns(const struct ipc_perm *perm)
{
	unsigned euid = my_creds()->euid;

	return capable(CAP_SYS_ADMIN) || euid == perm->uid || euid == perm->cuid;
}

unsigned sysv_rights(int flags)
{
	unsigned mode = (unsigned)flags;

	return (mode >> 6 | mode >> 3 | mode) & 6;
}

void sysv_perm_init(struct ipc_perm *perm, key_t key, int mode)
{
	const struct creds *creds = my_creds();

	*perm = (struct ipc_perm){.__ipc_perm_key = key,
				  .uid = creds->euid,
				  .gid = creds->egid,
				  .cuid = creds->euid,
				  .cgid = creds->egid,
				  .mode = (mode_t)mode & 0777};
}

int sysv_perm_set(struct ipc_perm *perm, const struct ipc_perm *from)
{
	if (!sysv_owns(perm))
		return -EPERM;
	perm->uid = from->uid;
	perm->gid = from->gid;
	perm->mode = (perm->mode & ~(mode_t)0777) | (from->mode & 0777);
	return 0;
}

time_t sysv_now(void)
{
	return (time_t)(clock_realtime_ns() / NS_PER_S);
}
