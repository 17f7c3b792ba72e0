/*
 * server.c - a function in C: a small HTTP/1.1 server on $PORT that answers with the sum of the
 * numbers in the body.
 */
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define REQUEST_MAX 65536

/* The body's length by its header, 0 without. */
static size_t body_length(const char *head)
{
	const char *line = strcasestr(head, "\ncontent-length:");

	return line != NULL ? strtoul(line + strlen("\ncontent-length:"), NULL, 10) : 0;
}

static void answer(int fd, const char *body)
{
	char text[256], out[512];
	double sum = 0;
	int n;

	while (*body != '\0') {
		char *end;
		double number = strtod(body, &end);

		sum += end != body ? number : 0;
		body = end != body ? end : body + 1;
	}
	n = snprintf(text, sizeof(text), "{\"sum\": %g}\n", sum);
	n = snprintf(out, sizeof(out),
		     "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
		     "\r\n%s",
		     n, text);
	if (write(fd, out, (size_t)n) != n)
		perror("write");
}

/* One connection: request after request, until the gateway closes it. */
static void serve(int fd)
{
	static char request[REQUEST_MAX + 1];
	size_t have = 0;

	for (;;) {
		char *end = memmem(request, have, "\r\n\r\n", 4);
		ssize_t n;

		request[have] = '\0';
		if (end != NULL) {
			size_t size = (size_t)(end - request) + 4, body = body_length(request);

			if (body > REQUEST_MAX - size)
				return;
			if (have >= size + body) {
				answer(fd, request + size);
				have = 0; /* the gateway sends one request at a time */
				continue;
			}
		}
		n = have < REQUEST_MAX ? read(fd, request + have, REQUEST_MAX - have) : 0;
		if (n <= 0)
			return;
		have += (size_t)n;
	}
}

int main(void)
{
	const char *port = getenv("PORT");
	struct sockaddr_in addr = {.sin_family = AF_INET};
	int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1;

	signal(SIGPIPE, SIG_IGN);
	addr.sin_port = htons((uint16_t)atoi(port != NULL ? port : "8080"));
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(listener, (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
	    listen(listener, 16) < 0) {
		perror("listen");
		return 1;
	}
	for (;;) {
		int fd = accept(listener, NULL, NULL);

		if (fd < 0)
			continue;
		serve(fd);
		close(fd);
	}
}
