/* sigaction, sigprocmask, kill, tgkill, sigpending, sigsuspend, sigwait, sigqueue, ordering, masks.
 */
#include "t.h"
#include <sys/syscall.h>

static volatile int count, last_value, last_code, nested;

static void on(int sig, siginfo_t *si, void *ctx)
{
	(void)sig;
	(void)ctx;
	count++;
	last_value = si->si_value.sival_int;
	last_code = si->si_code;
}

static void on_nested(int sig)
{
	static int depth;

	depth++;
	if (depth > nested)
		nested = depth;
	if (sig == SIGUSR1) {
		raise(SIGUSR1);
		raise(SIGUSR2);
	}
	depth--;
	count++;
}

static void order(int sig, siginfo_t *si, void *ctx)
{
	(void)ctx;
	say("  %s value %d", sig < 32 ? sigabbrev_np(sig) : "RT", si->si_value.sival_int);
}

int main(void)
{
	struct sigaction sa = {.sa_sigaction = on, .sa_flags = SA_SIGINFO}, old;
	struct timespec soon = {0, 20000000};
	sigset_t set, was, pend;
	union sigval v;
	siginfo_t si;
	int sig, st;
	pid_t pid;

	SHOW(sigaction(SIGUSR1, &sa, &old));
	YES(old.sa_handler == SIG_DFL);
	SHOW(sigaction(SIGUSR1, NULL, &old));
	YES(old.sa_sigaction == on && (old.sa_flags & SA_SIGINFO));
	SHOW(sigaction(SIGKILL, &sa, NULL));
	SHOW(sigaction(SIGSTOP, &sa, NULL));
	SHOW(sigaction(0, &sa, NULL));
	SHOW(sigaction(65, &sa, NULL));
	SHOW(kill(getpid(), SIGUSR1));
	SHOW(count);
	SHOW(last_code);
	SHOW(raise(SIGUSR1));
	SHOW(last_code);
	v.sival_int = 42;
	SHOW(sigqueue(getpid(), SIGUSR1, v));
	SHOW(last_value);
	YES(last_code == SI_QUEUE);
	SHOW(kill(getpid(), 0));
	SHOW(kill(getpid(), 99));
	SHOW(kill(99999999, 0));
	SHOW(kill(getpid(), -1));
	SHOW(syscall(SYS_tgkill, getpid(), 99999, SIGUSR1));
	SHOW(syscall(SYS_tgkill, -1, 1, SIGUSR1));

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGKILL);
	SHOW(sigprocmask(SIG_BLOCK, &set, &was));
	SHOW(sigismember(&was, SIGUSR1));
	sigprocmask(SIG_BLOCK, NULL, &was);
	SHOW(sigismember(&was, SIGUSR1));
	SHOW(sigismember(&was, SIGKILL));
	SHOW(sigprocmask(77, &set, NULL));
	SHOW(syscall(SYS_rt_sigprocmask, SIG_BLOCK, &set, NULL, 7));
	SHOW(syscall(SYS_rt_sigprocmask, SIG_BLOCK, BAD, NULL, 8));
	count = 0;
	kill(getpid(), SIGUSR1);
	kill(getpid(), SIGUSR1);
	SHOW(count);
	SHOW(sigpending(&pend));
	SHOW(sigismember(&pend, SIGUSR1));
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	SHOW(count);

	/* realtime signals queue, in order; lower numbers first */
	sa.sa_sigaction = order;
	sigaction(SIGRTMIN + 1, &sa, NULL);
	sigaction(SIGRTMIN + 2, &sa, NULL);
	sigaction(SIGUSR2, &sa, NULL);
	sigfillset(&set);
	sigprocmask(SIG_BLOCK, &set, &was);
	for (int i = 0; i < 3; i++) {
		v.sival_int = i;
		sigqueue(getpid(), SIGRTMIN + 2, v);
		sigqueue(getpid(), SIGRTMIN + 1, v);
	}
	v.sival_int = 9;
	sigqueue(getpid(), SIGUSR2, v);
	sigfillset(&set);
	sigdelset(&set, SIGRTMIN + 1);
	sigdelset(&set, SIGRTMIN + 2);
	sigdelset(&set, SIGUSR2);
	say("delivery:");
	SHOW(sigsuspend(&set));
	sigprocmask(SIG_SETMASK, &was, NULL);

	/* sigwait and friends */
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGRTMIN);
	sigprocmask(SIG_BLOCK, &set, NULL);
	kill(getpid(), SIGUSR1);
	SHOW(sigwait(&set, &sig));
	SHOW(sig);
	v.sival_int = 5;
	sigqueue(getpid(), SIGRTMIN, v);
	YES(sigwaitinfo(&set, &si) == SIGRTMIN);
	SHOW(si.si_value.sival_int);
	YES(si.si_pid == getpid());
	SHOW(sigtimedwait(&set, &si, &soon));
	pid = fork();
	if (pid == 0) {
		sleep_ms(30);
		kill(getppid(), SIGUSR1);
		_exit(0);
	}
	SHOW(sigwaitinfo(&set, &si));
	YES(si.si_pid == pid && si.si_code == SI_USER);
	waitpid(pid, &st, 0);
	sigprocmask(SIG_UNBLOCK, &set, NULL);

	/* SA_RESETHAND, SA_NODEFER, sa_mask */
	count = 0;
	struct sigaction sb = {.sa_handler = on_nested};
	sigemptyset(&sb.sa_mask);
	sigaddset(&sb.sa_mask, SIGUSR2);
	sigaction(SIGUSR1, &sb, NULL);
	sigaction(SIGUSR2, &sb, NULL);
	/* its own signal and SIGUSR2 wait until it returns; then forever, so reset USR1 */
	sb.sa_flags = SA_RESETHAND;
	sigaction(SIGUSR1, &sb, NULL);
	signal(SIGUSR2, on_nested);
	pid = fork();
	if (pid == 0) {
		raise(SIGUSR1);
		_exit(count * 10 + nested);
	}
	waitpid(pid, &st, 0);
	show_status("nested", st);

	int fatal[] = {SIGHUP,  SIGINT,  SIGTERM,  SIGKILL, SIGALRM,
		       SIGUSR2, SIGCHLD, SIGWINCH, SIGURG};
	for (size_t i = 0; i < sizeof(fatal) / sizeof(*fatal); i++) {
		pid = fork();
		if (pid == 0) {
			signal(fatal[i], SIG_DFL);
			kill(getpid(), fatal[i]);
			_exit(0);
		}
		waitpid(pid, &st, 0);
		show_status(sigabbrev_np(fatal[i]), st);
	}
	signal(SIGTERM, SIG_IGN);
	SHOW(raise(SIGTERM));
	return 0;
}
