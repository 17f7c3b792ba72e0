/*
 * sysv_msg.c - System V semaphores and message queues, POSIX message queues.
 */
#include <mqueue.h>
#include <poll.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>

#include "t.h"

#define KEY 0x4c656174

static void on_signal(int sig)
{
	(void)sig;
}

static int op1(int id, int num, int op, int flags)
{
	struct sembuf sb = {(unsigned short)num, (short)op, (short)flags};

	return semop(id, &sb, 1);
}

static void semaphores(void)
{
	struct sembuf two[2] = {{0, -1, 0}, {1, -1, IPC_NOWAIT}};
	unsigned short values[3] = {1, 2, 3};
	struct timespec ts = {0, 20000000};
	struct sembuf sb = {0, -100, 0};
	struct semid_ds ds;
	int id, status;
	pid_t pid;

	SHOW(semget(KEY, 3, 0));
	SHOW((id = semget(KEY, 3, IPC_CREAT | IPC_EXCL | 0600)) >= 0);
	SHOW(semget(KEY, 3, IPC_CREAT | IPC_EXCL | 0600));
	YES(semget(KEY, 0, 0) == id);
	SHOW(semget(KEY, 4, 0));
	SHOW(semget(IPC_PRIVATE, 0, 0600));
	SHOW(semget(IPC_PRIVATE, -1, 0600));
	SHOW(semget(IPC_PRIVATE, 99999, 0600));
	SHOW(semctl(id, 0, SETALL, values));
	memset(values, 0, sizeof(values));
	SHOW(semctl(id, 0, GETALL, values));
	say("%d %d %d", values[0], values[1], values[2]);
	SHOW(semctl(id, 1, SETVAL, 7));
	SHOW(semctl(id, 1, GETVAL));
	SHOW(semctl(id, 1, SETVAL, 40000));
	SHOW(semctl(id, 3, GETVAL));
	SHOW(semctl(id, -1, GETVAL));
	YES(semctl(id, 1, GETPID) == getpid());
	SHOW(op1(id, 0, -1, 0));
	SHOW(semctl(id, 0, GETVAL));
	SHOW(op1(id, 0, -1, IPC_NOWAIT));
	SHOW(op1(id, 0, 0, 0));
	SHOW(op1(id, 1, 0, IPC_NOWAIT));
	SHOW(op1(id, 1, 32767, 0));
	SHOW(op1(id, 5, 1, 0));
	SHOW(semop(id, two, 0));
	SHOW(semop(id, two, 501));
	SHOW(semop(id, BAD, 1));
	SHOW(semop(-1, two, 1));
	semctl(id, 0, SETVAL, 1);
	semctl(id, 1, SETVAL, 0);
	SHOW(semop(id, two, 2));
	SHOW(semctl(id, 0, GETVAL));
	SHOW(semtimedop(id, &sb, 1, &ts));
	ts.tv_nsec = -1;
	SHOW(semtimedop(id, &sb, 1, &ts));
	pid = fork();
	if (!pid) {
		sleep_ms(50);
		SHOW(semctl(id, 2, GETNCNT));
		SHOW(semctl(id, 2, GETZCNT));
		op1(id, 2, 5, SEM_UNDO);
		sleep_ms(50);
		_exit(0);
	}
	SHOW(op1(id, 2, -8, 0));
	SHOW(semctl(id, 2, GETVAL));
	waitpid(pid, &status, 0);
	SHOW(semctl(id, 2, GETVAL));
	pid = fork();
	if (!pid) {
		semctl(id, 0, SETVAL, 4);
		op1(id, 0, -3, SEM_UNDO);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	SHOW(semctl(id, 0, GETVAL));
	ualarm(30000, 0);
	SHOW(op1(id, 2, -100, 0));
	SHOW(semctl(id, 0, IPC_STAT, &ds));
	say("mode %o nsems %d otime %d", ds.sem_perm.mode, (int)ds.sem_nsems, ds.sem_otime != 0);
	ds.sem_perm.mode = 0640;
	SHOW(semctl(id, 0, IPC_SET, &ds));
	semctl(id, 0, IPC_STAT, &ds);
	say("mode %o", ds.sem_perm.mode);
	SHOW(semctl(id, 0, IPC_STAT, BAD));
	SHOW(semctl(id, 0, 999, 0));
	pid = fork();
	if (!pid) {
		sleep_ms(50);
		semctl(id, 0, IPC_RMID);
		_exit(0);
	}
	SHOW(op1(id, 2, -100, 0));
	waitpid(pid, &status, 0);
	SHOW(op1(id, 2, 1, 0));
	SHOW(semctl(id, 0, IPC_RMID));
}

struct msg {
	long type;
	char text[64];
};

static int send(int q, long type, const char *text, int flags)
{
	struct msg m = {type, ""};

	strcpy(m.text, text);
	return msgsnd(q, &m, strlen(text), flags);
}

static void receive(int q, size_t n, long type, int flags)
{
	struct msg m = {0, ""};
	ssize_t got = msgrcv(q, &m, n, type, flags);

	if (got < 0)
		say("receive type %ld: %s", type, strerrorname_np(errno));
	else
		say("receive type %ld: %zd '%.*s' of type %ld", type, got, (int)got, m.text,
		    m.type);
}

static void queues(void)
{
	struct msqid_ds ds;
	char big[9000] = "";
	int q, status;
	pid_t pid;

	SHOW(msgget(KEY, 0));
	SHOW((q = msgget(KEY, IPC_CREAT | 0600)) >= 0);
	SHOW(msgget(KEY, IPC_CREAT | IPC_EXCL | 0600));
	SHOW(send(q, 3, "three", 0));
	SHOW(send(q, 1, "one", 0));
	SHOW(send(q, 2, "two", 0));
	SHOW(send(q, 1, "another one", 0));
	SHOW(send(q, 0, "zero", 0));
	SHOW(msgctl(q, IPC_STAT, &ds));
	say("%d messages, %d bytes of %d", (int)ds.msg_qnum, (int)ds.__msg_cbytes,
	    (int)ds.msg_qbytes);
	YES(ds.msg_lspid == getpid());
	receive(q, 64, 1, 0);
	receive(q, 64, -2, 0);
	receive(q, 64, 3, MSG_EXCEPT);
	receive(q, 2, 0, 0);
	receive(q, 2, 0, MSG_NOERROR);
	receive(q, 64, 0, IPC_NOWAIT);
	receive(q, 64, 9, IPC_NOWAIT);
	*(long *)big = 1;
	SHOW(msgsnd(q, big, 8192, 0));
	SHOW(msgsnd(q, big, 8193, 0));
	SHOW(msgsnd(q, big, 8192, 0));
	SHOW(msgsnd(q, big, 1, IPC_NOWAIT));
	ualarm(30000, 0);
	SHOW(msgsnd(q, big, 1, 0));
	pid = fork();
	if (!pid) {
		sleep_ms(50);
		msgrcv(q, big, 9000, 0, 0);
		_exit(0);
	}
	SHOW(msgsnd(q, big, 1, 0));
	waitpid(pid, &status, 0);
	SHOW(msgrcv(q, big, 9000, 0, 0));
	SHOW(msgrcv(q, big, 9000, 0, 0));
	SHOW(msgsnd(q, BAD, 1, 0));
	SHOW(msgrcv(q, big, (size_t)-1, 0, 0));
	ualarm(30000, 0);
	receive(q, 64, 0, 0);
	send(q, 1, "x", 0);
	SHOW(msgrcv(q, BAD, 10, 0, 0));
	ds.msg_qbytes = 100;
	SHOW(msgctl(q, IPC_SET, &ds));
	SHOW(msgsnd(q, big, 101, IPC_NOWAIT));
	pid = fork();
	if (!pid) {
		sleep_ms(50);
		msgctl(q, IPC_RMID, NULL);
		_exit(0);
	}
	receive(q, 64, 0, 0);
	waitpid(pid, &status, 0);
	SHOW(msgctl(q, IPC_RMID, NULL));
	SHOW(msgctl(-1, IPC_STAT, &ds));
}

static void posix(void)
{
	struct mq_attr attr = {.mq_maxmsg = 3, .mq_msgsize = 32}, old;
	struct sigevent sev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
	struct timespec ts;
	struct pollfd pfd;
	char buf[64];
	unsigned prio;
	int q, status;
	pid_t pid;

	SHOW(mq_open("/leat-t", O_RDWR));
	SHOW((q = mq_open("/leat-t", O_RDWR | O_CREAT | O_EXCL, 0600, &attr)) >= 0);
	SHOW(mq_open("/leat-t", O_RDWR | O_CREAT | O_EXCL, 0600, &attr));
	SHOW(mq_open("/a/b", O_RDWR | O_CREAT, 0600, &attr));
	SHOW(fcntl(q, F_GETFD));
	SHOW(mq_getattr(q, &old));
	say("%ld %ld %ld %ld", old.mq_flags, old.mq_maxmsg, old.mq_msgsize, old.mq_curmsgs);
	SHOW(mq_send(q, "low", 3, 1));
	SHOW(mq_send(q, "high", 4, 9));
	SHOW(mq_send(q, "high two", 8, 9));
	SHOW(mq_send(q, buf, 33, 0));
	SHOW(mq_send(q, buf, 3, 40000));
	attr.mq_flags = O_NONBLOCK;
	SHOW(mq_setattr(q, &attr, &old));
	SHOW(mq_send(q, "x", 1, 0));
	pfd = (struct pollfd){q, POLLIN | POLLOUT, 0};
	SHOW(poll(&pfd, 1, 0));
	say("%#x", pfd.revents);
	SHOW(mq_receive(q, buf, 3, &prio));
	for (int i = 0; i < 4; i++) {
		ssize_t n = mq_receive(q, buf, sizeof(buf), &prio);

		say("%zd '%.*s' %d", n, n < 0 ? 0 : (int)n, buf,
		    n < 0 ? errno == EAGAIN : (int)prio);
	}
	attr.mq_flags = 0;
	mq_setattr(q, &attr, NULL);
	clock_gettime(CLOCK_REALTIME, &ts);
	SHOW(mq_timedreceive(q, buf, sizeof(buf), NULL, &ts));
	ts.tv_nsec = 1000000000;
	SHOW(mq_timedreceive(q, buf, sizeof(buf), NULL, &ts));
	ualarm(30000, 0);
	SHOW(mq_receive(q, buf, sizeof(buf), NULL));
	signal(SIGUSR1, on_signal);
	SHOW(mq_notify(q, &sev));
	pid = fork();
	if (!pid) {
		SHOW(mq_notify(q, &sev));
		sleep_ms(30);
		mq_send(q, "hey", 3, 0);
		_exit(0);
	}
	SHOW(pause());
	waitpid(pid, &status, 0);
	SHOW(mq_receive(q, buf, sizeof(buf), NULL));
	SHOW(mq_notify(q, NULL));
	SHOW(mq_unlink("/leat-t"));
	SHOW(mq_unlink("/leat-t"));
	SHOW(mq_send(q, "still", 5, 0));
	SHOW(mq_receive(q, buf, sizeof(buf), NULL));
	SHOW(mq_send(0, "x", 1, 0));
	SHOW(close(q));
	SHOW(mq_send(q, "x", 1, 0));
}

int main(void)
{
	struct sigaction sa = {.sa_handler = on_signal};

	sigaction(SIGALRM, &sa, NULL);
	semaphores();
	queues();
	posix();
	return 0;
}
