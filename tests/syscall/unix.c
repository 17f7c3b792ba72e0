/* AF_UNIX: socketpair, stream and datagram, names, SCM_RIGHTS, credentials, errors. */
#include "t.h"
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

static void pass_fd(int via, int fd)
{
	char c = 'f', space[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec iov = {&c, 1};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = space,
			     .msg_controllen = sizeof(space)};
	struct cmsghdr *cm = CMSG_FIRSTHDR(&msg);

	cm->cmsg_level = SOL_SOCKET;
	cm->cmsg_type = SCM_RIGHTS;
	cm->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cm), &fd, sizeof(int));
	SHOW(sendmsg(via, &msg, 0));
}

static int take_fd(int via)
{
	char c = 0, space[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec iov = {&c, 1};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = space,
			     .msg_controllen = sizeof(space)};
	struct cmsghdr *cm;
	int fd = -1;

	SHOW(recvmsg(via, &msg, MSG_CMSG_CLOEXEC));
	cm = CMSG_FIRSTHDR(&msg);
	if (cm && cm->cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(cm), sizeof(int));
	return fd;
}

static void pairs(void)
{
	char buf[100];
	int s[2], p[2], fd, st;

	SHOW(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	SHOW(write(s[0], "ab", 2));
	SHOW(write(s[0], "cd", 2));
	SHOW(read(s[1], buf, 100));
	SHOW(write(s[1], "back", 4));
	SHOW(read(s[0], buf, 100));
	MUST(pipe(p));
	pass_fd(s[0], p[1]);
	close(p[1]);
	fd = take_fd(s[1]);
	SHOW(fcntl(fd, F_GETFD));
	SHOW(write(fd, "through", 7));
	close(fd);
	SHOW(read(p[0], buf, 100));
	SHOW(read(p[0], buf, 100));
	pid_t pid = fork();
	if (pid == 0) {
		close(s[0]);
		fd = open("/dev/null", O_RDONLY);
		pass_fd(s[1], fd);
		_exit(0);
	}
	close(s[1]);
	waitpid(pid, &st, 0);
	fd = take_fd(s[0]);
	SHOW(read(fd, buf, 10));
	SHOW(read(s[0], buf, 10));
	SHOW(send(s[0], "x", 1, MSG_NOSIGNAL));
	close(s[0]);
	SHOW(socketpair(AF_UNIX, SOCK_DGRAM, 0, s));
	SHOW(write(s[0], "ab", 2));
	SHOW(write(s[0], "cd", 2));
	SHOW(read(s[1], buf, 100));
	SHOW(read(s[1], buf, 1));
	SHOW(recv(s[1], buf, 1, MSG_DONTWAIT));
	close(s[0]);
	close(s[1]);
	SHOW(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, s));
	SHOW(write(s[0], "ab", 2));
	SHOW(write(s[0], "cd", 2));
	SHOW(read(s[1], buf, 100));
	close(s[0]);
	SHOW(read(s[1], buf, 100));
	SHOW(read(s[1], buf, 100));
	SHOW(socketpair(AF_INET, SOCK_STREAM, 0, s));
	SHOW(socketpair(AF_UNIX, SOCK_STREAM, 0, BAD));
}

static void names(void)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX, .sun_path = "sock"}, out;
	socklen_t len = sizeof(un);
	struct ucred cred;
	struct stat st;
	char buf[10];
	int l, a, b, other;

	SHOW(l = socket(AF_UNIX, SOCK_STREAM, 0));
	a = socket(AF_UNIX, SOCK_STREAM, 0);
	SHOW(connect(a, (struct sockaddr *)&un, sizeof(un)));
	SHOW(bind(l, (struct sockaddr *)&un, sizeof(un)));
	SHOW(stat("sock", &st));
	SHOW(S_ISSOCK(st.st_mode));
	SHOW(connect(a, (struct sockaddr *)&un, sizeof(un)));
	SHOW(listen(l, 2));
	SHOW(connect(a, (struct sockaddr *)&un, sizeof(un)));
	SHOW(b = accept(l, (struct sockaddr *)&out, &len));
	SHOW(len);
	len = sizeof(out);
	SHOW(getpeername(a, (struct sockaddr *)&out, &len));
	say("%s", out.sun_path);
	len = sizeof(cred);
	SHOW(getsockopt(b, SOL_SOCKET, SO_PEERCRED, &cred, &len));
	YES(cred.pid == getpid() && cred.uid == getuid());
	SHOW(write(a, "hi", 2));
	SHOW(read(b, buf, 10));
	other = socket(AF_UNIX, SOCK_STREAM, 0);
	SHOW(bind(other, (struct sockaddr *)&un, sizeof(un)));
	SHOW(open("sock", O_RDWR));
	SHOW(unlink("sock"));
	SHOW(connect(other, (struct sockaddr *)&un, sizeof(un)));
	/* an abstract name */
	un.sun_path[0] = 0;
	memcpy(un.sun_path + 1, "leat-test", 9);
	len = offsetof(struct sockaddr_un, sun_path) + 10;
	close(l);
	l = socket(AF_UNIX, SOCK_STREAM, 0);
	SHOW(bind(l, (struct sockaddr *)&un, len));
	SHOW(listen(l, 1));
	SHOW(connect(other, (struct sockaddr *)&un, len));
}

int main(void)
{
	scratch();
	pairs();
	names();
	return 0;
}
