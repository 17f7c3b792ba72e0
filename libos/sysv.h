/*
 * sysv.h - what System V's shared memory, semaphores and message queues have in common.
 *
 * Guard: the instance lock.
 */
#pragma once

#include <stdbool.h>
#include <sys/ipc.h>
#include <time.h>

#include "leat/base/list.h"

struct process;

struct sysv {
	struct list segments; /* sysv_shm.c */
	struct list sems;     /* sysv_sem.c */
	struct list queues;   /* sysv_msg.c */
	struct list mqueues;  /* mqueue.c: POSIX queues with a name */
	int next_id;          /* ids are not used twice */
};

/* The instance's; NULL: out of arena. */
struct sysv *sysv_get(void);

/* Has the current process these rights (04 read, 02 write) to the object? May it change it? */
bool sysv_may(const struct ipc_perm *perm, unsigned rights);
bool sysv_owns(const struct ipc_perm *perm);

/* The rights that the mode bits of a *get call ask for. */
unsigned sysv_rights(int flags);

void sysv_perm_init(struct ipc_perm *perm, key_t key, int mode);
/* IPC_SET: 0 or -EPERM. */
int sysv_perm_set(struct ipc_perm *perm, const struct ipc_perm *from);
time_t sysv_now(void);

/* sysv_sem.c: a process ends, and its SEM_UNDO operations are undone. */
void sysv_sem_exit(const struct process *process);
