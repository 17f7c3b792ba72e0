/* getrlimit, setrlimit, prlimit64, getrusage. */
#include "t.h"
#include <sys/resource.h>

int main(void)
{
	struct rlimit rl, was;
	struct rusage ru;
	int st;

	SHOW(getrlimit(RLIMIT_NOFILE, &was));
	YES(was.rlim_cur >= 256 && was.rlim_max >= was.rlim_cur);
	rl = (struct rlimit){100, was.rlim_max};
	SHOW(setrlimit(RLIMIT_NOFILE, &rl));
	SHOW(getrlimit(RLIMIT_NOFILE, &rl));
	SHOW(rl.rlim_cur);
	SHOW(dup2(0, 100));
	SHOW(dup2(0, 99));
	rl = (struct rlimit){10, 5};
	SHOW(setrlimit(RLIMIT_NOFILE, &rl));
	SHOW(getrlimit(99, &rl));
	SHOW(getrlimit(RLIMIT_NOFILE, BAD));
	SHOW(prlimit(0, RLIMIT_NOFILE, &was, &rl));
	SHOW(rl.rlim_cur);
	SHOW(prlimit(99999999, RLIMIT_NOFILE, NULL, &rl));
	SHOW(getrlimit(RLIMIT_STACK, &rl));
	YES(rl.rlim_cur >= 1 << 20);
	pid_t pid = fork();
	if (pid == 0) {
		rl = (struct rlimit){50, 50};
		setrlimit(RLIMIT_NOFILE, &rl);
		_exit(0);
	}
	waitpid(pid, &st, 0);
	getrlimit(RLIMIT_NOFILE, &rl);
	YES(rl.rlim_cur == was.rlim_cur);
	SHOW(getrusage(RUSAGE_SELF, &ru));
	YES(ru.ru_maxrss >= 0);
	SHOW(getrusage(RUSAGE_CHILDREN, &ru));
	SHOW(getrusage(77, &ru));
	return 0;
}
