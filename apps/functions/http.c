/*
 * http PORT - a small HTTP function: answers every request with one line and closes.
 *
 * It does one request at a time, as a function of a serverless platform does.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define REQUEST_MAX 4096

static const char answer[] = "HTTP/1.1 200 OK\r\n"
			     "Content-Type: text/plain\r\n"
			     "Content-Length: 6\r\n"
			     "Connection: close\r\n"
			     "\r\n"
			     "hello\n";

static int listen_on(int port)
{
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
	int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(fd, 16) < 0)
		return -1;
	return fd;
}

static void serve(int fd)
{
	char request[REQUEST_MAX + 1];
	size_t used = 0;

	while (used < REQUEST_MAX) {
		ssize_t n = read(fd, request + used, REQUEST_MAX - used);

		if (n <= 0)
			return;
		used += (size_t)n;
		request[used] = 0;
		if (strstr(request, "\r\n\r\n"))
			break;
	}
	if (write(fd, answer, sizeof(answer) - 1) < 0)
		perror("http: write");
}

int main(int argc, char **argv)
{
	int port = argc > 1 ? atoi(argv[1]) : 8080;
	int listener = listen_on(port);

	if (listener < 0) {
		perror("http: listen");
		return 1;
	}
	signal(SIGPIPE, SIG_IGN);
	for (;;) {
		int fd = accept(listener, NULL, NULL);

		if (fd < 0)
			continue;
		serve(fd);
		close(fd);
	}
}
