/* execve from a process with threads, pending signals, ignored signals, alternate stack and maps.
 */
#include "t.h"
#include <pthread.h>
#include <sys/mman.h>

static void *sleeper(void *arg)
{
	(void)arg;
	for (;;)
		sleep_ms(1000);
	return NULL;
}

static void on(int sig)
{
	(void)sig;
}

static int second(void)
{
	struct sigaction sa;
	sigset_t set;
	stack_t ss;

	sigaction(SIGUSR1, NULL, &sa);
	YES(sa.sa_handler == SIG_DFL);
	sigaction(SIGUSR2, NULL, &sa);
	YES(sa.sa_handler == SIG_IGN);
	sigprocmask(SIG_BLOCK, NULL, &set);
	YES(sigismember(&set, SIGHUP));
	sigpending(&set);
	YES(sigismember(&set, SIGHUP));
	sigaltstack(NULL, &ss);
	SHOW(ss.ss_flags);
	say("pid kept: %s", atoi(getenv("PID")) == getpid() ? "yes" : "no");
	say("cwd kept: %s", access("here", F_OK) == 0 ? "yes" : "no");
	SHOW(umask(0));
	SHOW(fcntl(100, F_GETFD));
	SHOW(fcntl(101, F_GETFD));
	return 8;
}

static void *exec_from_thread(void *arg)
{
	static char *args[] = {"second", "second", NULL};
	static char pid[32], *env[] = {pid, NULL};

	snprintf(pid, sizeof(pid), "PID=%d", getpid());
	execve(arg, args, env);
	return NULL;
}

int main(int argc, char **argv)
{
	static char self[4096], stack[65536];
	stack_t ss = {.ss_sp = stack, .ss_size = sizeof(stack)};
	pthread_t t;
	sigset_t set;
	int st;

	if (argc > 1 && !strcmp(argv[1], "second"))
		return second();
	MUST(readlink("/proc/self/exe", self, sizeof(self) - 1));
	scratch();
	put_file("here", "");
	signal(SIGUSR1, on);
	signal(SIGUSR2, SIG_IGN);
	sigaltstack(&ss, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	umask(026);
	dup2(0, 100);
	dup3(0, 101, O_CLOEXEC);
	mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pid_t pid = fork();
	if (pid == 0) {
		raise(SIGHUP);
		for (int i = 0; i < 3; i++)
			pthread_create(&t, NULL, sleeper, NULL);
		exec_from_thread(self);
		_exit(1);
	}
	waitpid(pid, &st, 0);
	show_status("from main", st);
	pid = fork();
	if (pid == 0) {
		raise(SIGHUP);
		pthread_create(&t, NULL, sleeper, NULL);
		pthread_create(&t, NULL, exec_from_thread, self);
		sleeper(NULL);
	}
	waitpid(pid, &st, 0);
	show_status("from a thread", st);
	return 0;
}
