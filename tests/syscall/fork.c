/* fork, wait4, waitpid, waitid: copies of memory, shared descriptors, statuses, orphans, errors. */
#include "t.h"
#include <sys/resource.h>

static int in_data = 1;

static void orphan(void)
{
	int p[2], st;
	char c = 0;
	pid_t pid;

	MUST(pipe(p));
	pid = fork();
	if (pid == 0) {
		pid_t parent = getpid();

		if (fork() == 0) {
			while (getppid() == parent)
				sleep_ms(1);
			write(p[1], "r", 1);
			_exit(0);
		}
		_exit(3);
	}
	close(p[1]);
	waitpid(pid, &st, 0);
	show_status("parent of the orphan", st);
	SHOW(read(p[0], &c, 1));
	say("reparented: %c", c);
	SHOW(waitpid(-1, &st, 0));
	close(p[0]);
}

int main(void)
{
	int on_stack = 1, st, fd;
	int *heap = malloc(sizeof(int));
	struct rusage ru;
	siginfo_t si;
	pid_t pid, kids[4];
	off_t at;

	scratch();
	*heap = 1;
	SHOW(waitpid(-1, &st, 0));
	SHOW(wait4(-1, &st, WNOHANG, NULL));
	SHOW(waitpid(1, &st, 0));

	pid = fork();
	if (pid == 0) {
		in_data = on_stack = *heap = 2;
		_exit(in_data + on_stack + *heap);
	}
	YES(pid > 1);
	YES(wait4(pid, &st, 0, &ru) == pid);
	show_status("child", st);
	say("%d %d %d", in_data, on_stack, *heap);
	SHOW(waitpid(pid, &st, 0));

	/* the offset is shared with the child */
	fd = open("f", O_CREAT | O_RDWR, 0600);
	pid = fork();
	if (pid == 0) {
		write(fd, "child", 5);
		_exit(0);
	}
	waitpid(pid, &st, 0);
	at = lseek(fd, 0, SEEK_CUR);
	SHOW(at);
	close(fd);

	for (int i = 0; i < 4; i++) {
		kids[i] = fork();
		if (kids[i] == 0)
			_exit(10 + i);
	}
	int sum = 0;
	for (int i = 0; i < 4; i++) {
		waitpid(kids[3 - i], &st, 0);
		sum += WEXITSTATUS(st);
	}
	SHOW(sum);

	pid = fork();
	if (pid == 0) {
		raise(SIGTERM);
		_exit(0);
	}
	MUST(waitid(P_PID, (id_t)pid, &si, WEXITED | WNOWAIT));
	YES(si.si_pid == pid);
	YES(si.si_code == CLD_KILLED);
	SHOW(si.si_status);
	SHOW(si.si_signo);
	waitpid(pid, &st, 0);
	show_status("terminated", st);

	pid = fork();
	if (pid == 0) {
		pid = fork();
		if (pid == 0) {
			if (fork() == 0)
				_exit(0);
			wait(&st);
			_exit(21);
		}
		waitpid(pid, &st, 0);
		_exit(WEXITSTATUS(st) + 1);
	}
	waitpid(pid, &st, 0);
	show_status("grandchild + 1", st);
	orphan();
	SHOW(waitid(P_ALL, 0, &si, 0));
	SHOW(wait4(-1, &st, 0x40000000 | 0x100, NULL));
	return 0;
}
