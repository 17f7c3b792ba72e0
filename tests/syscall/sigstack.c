/* sigaltstack: handlers there, nested, its flags and errors; SIGSEGV of an overflowing stack. */
#include "t.h"
#include <setjmp.h>
#include <sys/resource.h>

static char stack[65536];
static sigjmp_buf env;

static bool on_stack(void)
{
	char here;

	return &here >= stack && &here < stack + sizeof(stack);
}

static void on(int sig)
{
	stack_t ss;

	say("%s on the stack: %d", sigabbrev_np(sig), on_stack());
	sigaltstack(NULL, &ss);
	say("flags %d", ss.ss_flags);
	ss.ss_flags = 0;
	ss.ss_sp = stack;
	ss.ss_size = sizeof(stack);
	if (on_stack())
		SHOW(sigaltstack(&ss, NULL));
	if (sig == SIGUSR1)
		raise(SIGUSR2);
}

static void on_overflow(int sig)
{
	say("%s on the stack: %d", sigabbrev_np(sig), on_stack());
	siglongjmp(env, 1);
}

__attribute__((noinline)) static int deep(int n)
{
	volatile char frame[4096];

	frame[0] = (char)n;
	return deep(n + 1) + frame[0];
}

int main(void)
{
	struct sigaction sa = {.sa_handler = on, .sa_flags = SA_ONSTACK};
	struct rlimit rl = {1 << 20, 1 << 20};
	stack_t ss = {.ss_sp = stack, .ss_size = sizeof(stack)}, old;

	SHOW(sigaltstack(NULL, &old));
	SHOW(old.ss_flags);
	sigaction(SIGUSR1, &sa, NULL);
	sa.sa_flags = 0;
	sigaction(SIGUSR2, &sa, NULL);
	raise(SIGUSR1);
	SHOW(sigaltstack(&ss, &old));
	raise(SIGUSR1);
	SHOW(sigaltstack(NULL, &old));
	YES(old.ss_sp == stack && old.ss_size == sizeof(stack));
	ss.ss_size = 100;
	SHOW(sigaltstack(&ss, NULL));
	ss.ss_size = sizeof(stack);
	ss.ss_flags = 0x40;
	SHOW(sigaltstack(&ss, NULL));
	SHOW(sigaltstack(BAD, NULL));

	sa.sa_handler = on_overflow;
	sa.sa_flags = SA_ONSTACK;
	sigaction(SIGSEGV, &sa, NULL);
	setrlimit(RLIMIT_STACK, &rl);
	if (!sigsetjmp(env, 1))
		deep(0);
	if (!sigsetjmp(env, 1))
		deep(0);
	ss.ss_flags = SS_DISABLE;
	SHOW(sigaltstack(&ss, NULL));
	raise(SIGUSR1);
	return 0;
}
