/* System V shared memory: keys, attachments across fork, removal, permissions, errors. */
#include "t.h"
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>

#define KEY 0x1ea7

static void show_stat(int id)
{
	struct shmid_ds ds;

	SHOW(shmctl(id, IPC_STAT, &ds));
	say("size %zu attached %lu mode %o uid %u own %d", ds.shm_segsz,
	    (unsigned long)ds.shm_nattch, ds.shm_perm.mode, ds.shm_perm.uid,
	    ds.shm_cpid == getpid());
}

static void sharing(void)
{
	int id = shmget(KEY, 10000, IPC_CREAT | IPC_EXCL | 0640), st;
	char *a, *b;
	pid_t pid;

	YES(id >= 0);
	SHOW(shmget(KEY, 10000, IPC_CREAT | IPC_EXCL | 0640));
	YES(shmget(KEY, 100, 0) == id);
	SHOW(shmget(KEY, 20000, 0));
	show_stat(id);
	a = shmat(id, NULL, 0);
	b = shmat(id, NULL, SHM_RDONLY);
	YES(a != (void *)-1 && b != (void *)-1 && a != b);
	show_stat(id);
	strcpy(a + 9000, "hello");
	say("%s", b + 9000);
	pid = fork();
	if (pid == 0) {
		show_stat(id);
		SHOW(shmdt(b));
		show_stat(id);
		strcpy(a + 9000, "child");
		_exit(0);
	}
	waitpid(pid, &st, 0);
	say("%s", b + 9000);
	show_stat(id);
	SHOW(shmctl(id, IPC_RMID, NULL));
	SHOW(shmget(KEY, 100, 0));
	show_stat(id);
	SHOW(shmdt(a));
	say("%s", b + 9000);
	SHOW(shmdt(b));
	SHOW(shmdt(b));
	SHOW(shmctl(id, IPC_STAT, (struct shmid_ds *)&st));
	SHOW(shmat(id, NULL, 0) == (void *)-1 ? -1 : 0);
}

static void placing(void)
{
	int id = shmget(IPC_PRIVATE, 8192, 0600);
	char *hole = mmap(NULL, 65536, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *p;

	SHOW(shmat(id, hole, 0) == (void *)-1 ? -1 : 0);
	SHOW(shmat(id, hole + 1, 0) == (void *)-1 ? -1 : 0);
	p = shmat(id, hole + 4097, SHM_RND | SHM_REMAP);
	YES(p == hole + 4096);
	p[0] = 'x';
	SHOW(munmap(p + 4096, 4096));
	SHOW(shmdt(p + 4096));
	SHOW(shmdt(p));
	SHOW(shmat(id, NULL, SHM_REMAP) == (void *)-1 ? -1 : 0);
	SHOW(shmctl(id, IPC_RMID, NULL));
	SHOW(shmctl(id, IPC_RMID, NULL));
}

static void rights(void)
{
	int id = shmget(IPC_PRIVATE, 100, 0400), st;
	struct shmid_ds ds;
	pid_t pid;

	SHOW(shmctl(id, IPC_STAT, &ds));
	ds.shm_perm.mode = 0604;
	SHOW(shmctl(id, IPC_SET, &ds));
	show_stat(id);
	pid = fork();
	if (pid == 0) {
		MUST(setgid(12345));
		MUST(setuid(12345));
		SHOW(shmat(id, NULL, 0) == (void *)-1 ? -1 : 0);
		SHOW(shmat(id, NULL, SHM_RDONLY) == (void *)-1 ? -1 : 0);
		SHOW(shmctl(id, IPC_RMID, NULL));
		SHOW(shmctl(id, IPC_SET, &ds));
		_exit(0);
	}
	waitpid(pid, &st, 0);
	SHOW(shmctl(id, IPC_RMID, NULL));
}

int main(void)
{
	sharing();
	placing();
	rights();
	SHOW(shmget(KEY + 1, 100, 0));
	SHOW(shmget(IPC_PRIVATE, 0, 0600));
	SHOW(shmctl(123456, IPC_STAT, NULL));
	SHOW(shmdt((void *)0x1000));
	return 0;
}
