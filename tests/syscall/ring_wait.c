/* Threads and processes that wake each other: pipe ping-pong, socket ping-pong, eventfd relay. */
#include "t.h"
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#define ROUNDS 2000

static int relay[4];

static void *pass_on(void *arg)
{
	intptr_t i = (intptr_t)arg;
	uint64_t v;

	for (int n = 0; n < ROUNDS; n++) {
		if (read(relay[i], &v, 8) != 8)
			return NULL;
		v = 1;
		if (write(relay[(i + 1) % 4], &v, 8) != 8)
			return NULL;
	}
	return arg;
}

static void ping_pong(int a, int b)
{
	int st;
	uint32_t v = 0, r;
	pid_t pid = fork();

	if (pid == 0) {
		for (int i = 0; i < ROUNDS; i++) {
			if (read(b, &v, 4) != 4)
				_exit(1);
			v++;
			if (write(b, &v, 4) != 4)
				_exit(2);
		}
		_exit(0);
	}
	for (r = 0; r < ROUNDS; r++) {
		write(a, &v, 4);
		read(a, &v, 4);
	}
	SHOW(v);
	waitpid(pid, &st, 0);
	show_status("partner", st);
}

int main(void)
{
	pthread_t t[4];
	uint64_t v = 1;
	void *r;
	int s[2], ok = 0;

	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	ping_pong(s[0], s[1]);
	for (int i = 0; i < 4; i++)
		relay[i] = eventfd(0, 0);
	for (intptr_t i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, pass_on, (void *)i);
	write(relay[0], &v, 8);
	for (int i = 0; i < 4; i++) {
		pthread_join(t[i], &r);
		ok += (intptr_t)r == i;
	}
	SHOW(ok);
	return 0;
}
