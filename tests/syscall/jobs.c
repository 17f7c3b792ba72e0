/* Stopping and continuing: what the parent sees, process groups, orphans. */
#include "t.h"

#include <signal.h>
#include <sys/prctl.h>

static void on_cont(int sig)
{
	(void)sig;
	say("continued");
}

static pid_t child_that_waits(void)
{
	pid_t pid = fork();

	MUST(pid);
	if (pid == 0) {
		setpgid(0, 0);
		for (;;)
			pause();
	}
	setpgid(pid, pid);
	return pid;
}

static void wait_show(const char *what, pid_t pid, int options)
{
	int status = 0;
	pid_t got = waitpid(pid, &status, options);

	if (got == pid)
		show_status(what, status);
	else
		say("%s: %d", what, got);
}

static void stop_and_continue(int sig)
{
	siginfo_t info = {0};
	pid_t pid = child_that_waits();

	say("with %s", sigabbrev_np(sig));
	SHOW(waitpid(pid, NULL, WNOHANG | WUNTRACED | WCONTINUED));
	MUST(kill(pid, sig));
	SHOW(waitid(P_PID, (id_t)pid, &info, WSTOPPED | WNOWAIT));
	SHOW(info.si_code == CLD_STOPPED ? info.si_status : -1);
	wait_show("stopped", pid, WUNTRACED);
	SHOW(waitpid(pid, NULL, WNOHANG | WUNTRACED)); /* reported once */
	MUST(kill(pid, SIGTERM));                      /* waits for it to go on */
	SHOW(waitpid(pid, NULL, WNOHANG));
	MUST(kill(pid, SIGCONT));
	wait_show("at last", pid, 0);
}

static void continued(void)
{
	siginfo_t info = {0};
	pid_t pid = child_that_waits();

	MUST(kill(pid, SIGSTOP));
	wait_show("stopped", pid, WUNTRACED);
	MUST(kill(pid, SIGCONT));
	SHOW(waitid(P_PID, (id_t)pid, &info, WCONTINUED | WNOWAIT));
	SHOW(info.si_code == CLD_CONTINUED ? info.si_status : -1);
	wait_show("continued", pid, WCONTINUED);
	SHOW(waitpid(pid, NULL, WNOHANG | WCONTINUED));
	MUST(kill(pid, SIGSTOP));
	MUST(kill(pid, SIGKILL)); /* a stopped process dies all the same */
	wait_show("killed", pid, 0);
}

/* A stop that is pending goes when SIGCONT comes, and the other way round. */
static void opposites(void)
{
	sigset_t set, pending;

	sigemptyset(&set);
	sigaddset(&set, SIGTSTP);
	sigaddset(&set, SIGCONT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	raise(SIGTSTP);
	raise(SIGCONT);
	sigpending(&pending);
	SHOW(sigismember(&pending, SIGTSTP));
	SHOW(sigismember(&pending, SIGCONT));
	raise(SIGTSTP);
	sigpending(&pending);
	SHOW(sigismember(&pending, SIGTSTP));
	SHOW(sigismember(&pending, SIGCONT));
	signal(SIGTSTP, SIG_IGN);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	signal(SIGTSTP, SIG_DFL);
}

static void handler_of_cont(void)
{
	pid_t pid = fork();

	MUST(pid);
	if (pid == 0) {
		signal(SIGCONT, on_cont);
		raise(SIGSTOP);
		say("after the stop");
		_exit(3);
	}
	wait_show("stopped", pid, WUNTRACED);
	MUST(kill(pid, SIGCONT));
	wait_show("ended", pid, 0);
}

/* Nobody in the session could continue it: only SIGSTOP stops there. */
static void orphaned_group(void)
{
	pid_t pid = fork();
	int status;

	MUST(pid);
	if (pid == 0) {
		setsid();
		raise(SIGTSTP);
		raise(SIGTTIN);
		raise(SIGTTOU);
		say("not stopped");
		_exit(4);
	}
	MUST(waitpid(pid, &status, WUNTRACED));
	show_status("of a session of its own", status);
}

static void on_hup(int sig)
{
	(void)sig;
	_exit(5);
}

/* The parent of a stopped group ends: SIGHUP and SIGCONT. */
static void newly_orphaned(void)
{
	int status;
	pid_t pid;

	MUST(prctl(PR_SET_CHILD_SUBREAPER, 1));
	pid = fork();
	MUST(pid);
	if (pid == 0) {
		pid_t inner;

		setsid();
		inner = fork();
		if (inner == 0) {
			setpgid(0, 0);
			signal(SIGHUP, on_hup);
			raise(SIGSTOP);
			for (;;)
				pause();
		}
		waitpid(inner, &status, WUNTRACED);
		show_status("the inner one", status);
		_exit(0);
	}
	wait_show("the middle one", pid, 0);
	MUST(wait(&status));
	show_status("the orphan", status);
	MUST(prctl(PR_SET_CHILD_SUBREAPER, 0));
}

static volatile int chld_code;

static void on_chld(int sig, siginfo_t *info, void *context)
{
	chld_code = info->si_code;
}

/* The signal may come a little after wait(2) has told. */
static void until_notice(int code)
{
	while (chld_code != code)
		sleep_ms(1);
	say("noticed");
}

static void notices(void)
{
	struct sigaction action = {.sa_sigaction = on_chld, .sa_flags = SA_SIGINFO | SA_RESTART};
	pid_t pid;

	sigaction(SIGCHLD, &action, NULL);
	pid = child_that_waits();
	MUST(kill(pid, SIGSTOP));
	wait_show("stopped", pid, WUNTRACED);
	until_notice(CLD_STOPPED);
	MUST(kill(pid, SIGCONT));
	wait_show("continued", pid, WCONTINUED);
	until_notice(CLD_CONTINUED);
	action.sa_flags |= SA_NOCLDSTOP;
	sigaction(SIGCHLD, &action, NULL);
	chld_code = 0;
	MUST(kill(pid, SIGSTOP));
	wait_show("stopped", pid, WUNTRACED);
	SHOW(chld_code);
	MUST(kill(pid, SIGKILL));
	wait_show("killed", pid, 0);
	until_notice(CLD_KILLED);
}

int main(void)
{
	stop_and_continue(SIGSTOP);
	stop_and_continue(SIGTSTP);
	stop_and_continue(SIGTTIN);
	stop_and_continue(SIGTTOU);
	continued();
	opposites();
	handler_of_cont();
	orphaned_group();
	newly_orphaned();
	notices();
	return 0;
}
