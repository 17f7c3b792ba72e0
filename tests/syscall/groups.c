/* Process groups and sessions: getpgid, setpgid, setsid, kill of a group, wait for a group, stops.
 */
#include "t.h"

static volatile int got;

static void on(int sig)
{
	got = sig;
}

int main(void)
{
	pid_t pid, a, b;
	int st;

	SHOW(setpgid(0, 0) == 0 || errno == EPERM);
	YES(getpgid(0) == getpgrp());
	SHOW(getpgid(99999999));
	SHOW(setpgid(99999999, 0));
	SHOW(setpgid(0, -1));
	YES(getsid(0) > 0);

	pid = fork();
	if (pid == 0) {
		SHOW(setsid() == getpid());
		YES(getsid(0) == getpid() && getpgrp() == getpid());
		SHOW(setsid());
		SHOW(setpgid(0, 0));
		_exit(0);
	}
	waitpid(pid, &st, 0);
	show_status("session leader", st);

	a = fork();
	if (a == 0) {
		setpgid(0, 0);
		for (;;)
			pause();
	}
	setpgid(a, a);
	b = fork();
	if (b == 0) {
		setpgid(0, a);
		for (;;)
			pause();
	}
	SHOW(setpgid(b, a));
	YES(getpgid(b) == a);
	SHOW(waitpid(-a, &st, WNOHANG));
	SHOW(killpg(a, SIGTERM));
	for (int i = 0; i < 2; i++) {
		YES(waitpid(-a, &st, 0) > 0);
		show_status("of the group", st);
	}
	SHOW(waitpid(-a, &st, 0));
	SHOW(killpg(a, 0));

	/* signal to one's own group */
	pid = fork();
	if (pid == 0) {
		setpgid(0, 0);
		signal(SIGUSR1, on);
		kill(0, SIGUSR1);
		_exit(got);
	}
	waitpid(pid, &st, 0);
	show_status("own group", st);

	/* stop and go on */
	int p[2];
	MUST(pipe(p));
	pid = fork();
	if (pid == 0) {
		char c;

		raise(SIGSTOP);
		_exit(read(p[0], &c, 1) == 1 ? 11 : 12);
	}
	SHOW(waitpid(pid, &st, WUNTRACED) == pid);
	show_status("stop", st);
	SHOW(waitpid(pid, &st, WNOHANG | WUNTRACED));
	SHOW(kill(pid, SIGCONT));
	SHOW(waitpid(pid, &st, WCONTINUED) == pid);
	show_status("go on", st);
	write(p[1], "x", 1);
	SHOW(waitpid(pid, &st, 0) == pid);
	show_status("end", st);
	/* SIGCHLD ignored: no zombies */
	signal(SIGCHLD, SIG_IGN);
	if (fork() == 0)
		_exit(0);
	SHOW(wait(&st));
	signal(SIGCHLD, on);
	got = 0;
	pid = fork();
	if (pid == 0)
		_exit(0);
	while (waitpid(pid, &st, 0) == -1 && errno == EINTR)
		;
	SHOW(got);
	return 0;
}
