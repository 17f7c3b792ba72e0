/*
 * Idle connections by the thousand. usage: idle server PORT COUNT | idle client ADDRESS PORT COUNT
 *
 * The server accepts COUNT connections, says "all COUNT", and echoes what comes. The client makes
 * COUNT connections, says "made COUNT", checks the echo on some of them and then keeps them all.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static void check(int ok, const char *what)
{
	if (ok)
		return;
	printf("%s: %s\n", what, strerror(errno));
	exit(1);
}

static void watch(int poller, int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

	check(epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event) == 0, "epoll_ctl");
}

static void echo(int fd)
{
	char data[64];
	ssize_t n = read(fd, data, sizeof(data));

	if (n <= 0)
		close(fd);
	else
		check(write(fd, data, (size_t)n) == n, "write");
}

static void serve(int port, int count)
{
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	int poller = epoll_create1(0), made = 0, fd;
	struct epoll_event events[256];

	check(bind(listener, (void *)&addr, sizeof(addr)) == 0, "bind");
	check(listen(listener, 4096) == 0, "listen");
	watch(poller, listener);
	printf("up\n");
	for (;;) {
		int n = epoll_wait(poller, events, 256, -1);

		for (int i = 0; i < n; i++) {
			if (events[i].data.fd != listener) {
				echo(events[i].data.fd);
				continue;
			}
			while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
				watch(poller, fd);
				if (++made == count)
					printf("all %d\n", made);
			}
			check(errno == EAGAIN, "accept");
		}
	}
}

static void connect_all(const char *ip, int port, int count)
{
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	int *fds = calloc((size_t)count, sizeof(*fds));
	char byte;

	check(fds != NULL && inet_pton(AF_INET, ip, &addr.sin_addr) == 1, "arguments");
	for (int i = 0; i < count; i++) {
		fds[i] = socket(AF_INET, SOCK_STREAM, 0);
		check(fds[i] >= 0, "socket");
		check(connect(fds[i], (void *)&addr, sizeof(addr)) == 0, "connect");
	}
	printf("made %d\n", count);
	for (int i = 0; i < count; i += 997) {
		check(write(fds[i], "x", 1) == 1, "write");
		check(read(fds[i], &byte, 1) == 1 && byte == 'x', "echo");
	}
	printf("echoed\n");
	pause();
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc == 4 && strcmp(argv[1], "server") == 0)
		serve(atoi(argv[2]), atoi(argv[3]));
	else if (argc == 5 && strcmp(argv[1], "client") == 0)
		connect_all(argv[2], atoi(argv[3]), atoi(argv[4]));
	return 2;
}
