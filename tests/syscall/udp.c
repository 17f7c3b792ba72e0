/* UDP over loopback: datagrams, truncation, connect, refusal, peeking, msg, broadcast rules. */
#include "t.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

static int bound(struct sockaddr_in *ret_addr)
{
	socklen_t len = sizeof(*ret_addr);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	*ret_addr = (struct sockaddr_in){.sin_family = AF_INET};
	ret_addr->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	MUST(bind(fd, (struct sockaddr *)ret_addr, sizeof(*ret_addr)));
	MUST(getsockname(fd, (struct sockaddr *)ret_addr, &len));
	return fd;
}

int main(void)
{
	static char big[70000];
	struct sockaddr_in aa, ba, from;
	socklen_t len = sizeof(from);
	struct timeval tv = {1, 0};
	struct pollfd pfd;
	char buf[100], one[3], two[10];
	struct iovec iov[2] = {{one, 3}, {two, 10}};
	struct msghdr msg = {.msg_name = &from,
			     .msg_namelen = sizeof(from),
			     .msg_iov = iov,
			     .msg_iovlen = 2};
	int a = bound(&aa), b = bound(&ba);

	setsockopt(b, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	SHOW(sendto(a, "one", 3, 0, (struct sockaddr *)&ba, sizeof(ba)));
	SHOW(sendto(a, "two", 3, 0, (struct sockaddr *)&ba, sizeof(ba)));
	SHOW(sendto(a, "", 0, 0, (struct sockaddr *)&ba, sizeof(ba)));
	SHOW(recvfrom(b, buf, 100, MSG_PEEK, (struct sockaddr *)&from, &len));
	YES(from.sin_port == aa.sin_port && len == sizeof(from));
	SHOW(recv(b, buf, 100, 0));
	say("%.3s", buf);
	SHOW(recv(b, buf, 1, MSG_TRUNC));
	SHOW(recv(b, buf, 100, 0));
	SHOW(recv(b, buf, 100, MSG_DONTWAIT));
	SHOW(sendto(a, "scattered", 9, 0, (struct sockaddr *)&ba, sizeof(ba)));
	SHOW(recvmsg(b, &msg, 0));
	say("%.3s %.6s", one, two);
	SHOW(msg.msg_flags);
	iov[1].iov_len = 2;
	sendto(a, "scattered", 9, 0, (struct sockaddr *)&ba, sizeof(ba));
	SHOW(recvmsg(b, &msg, 0));
	YES(msg.msg_flags & MSG_TRUNC);
	SHOW(sendto(a, big, sizeof(big), 0, (struct sockaddr *)&ba, sizeof(ba)));
	SHOW(sendto(a, big, 60000, 0, (struct sockaddr *)&ba, sizeof(ba)));
	SHOW(recv(b, big, sizeof(big), 0));
	SHOW(send(a, "x", 1, 0));
	SHOW(connect(a, (struct sockaddr *)&ba, sizeof(ba)));
	SHOW(send(a, "connected", 9, 0));
	SHOW(recv(b, buf, 100, 0));
	/* only the peer is heard */
	int c = bound(&from);
	SHOW(sendto(c, "stranger", 8, 0, (struct sockaddr *)&aa, sizeof(aa)));
	SHOW(sendto(b, "friend", 6, 0, (struct sockaddr *)&aa, sizeof(aa)));
	SHOW(recv(a, buf, 100, 0));
	say("%.6s", buf);
	SHOW(recv(a, buf, 100, MSG_DONTWAIT));
	pfd = (struct pollfd){b, POLLIN | POLLOUT, 0};
	SHOW(poll(&pfd, 1, 0));
	SHOW(pfd.revents);
	/* nobody there: the refusal comes back to a connected socket */
	close(b);
	SHOW(send(a, "x", 1, 0));
	sleep_ms(20);
	SHOW(send(a, "x", 1, 0));
	from.sin_family = AF_UNSPEC;
	SHOW(connect(a, (struct sockaddr *)&from, sizeof(from)));
	SHOW(getpeername(a, (struct sockaddr *)&from, &len));
	SHOW(listen(a, 1));
	SHOW(accept(a, NULL, NULL));
	from = ba;
	from.sin_port = 0;
	SHOW(sendto(a, "x", 1, 0, (struct sockaddr *)&from, sizeof(from)));
	from.sin_addr.s_addr = INADDR_BROADCAST;
	from.sin_port = htons(9);
	SHOW(sendto(a, "x", 1, 0, (struct sockaddr *)&from, sizeof(from)));
	SHOW(sendto(a, BAD, 5, 0, (struct sockaddr *)&ba, sizeof(ba)));
	return 0;
}
