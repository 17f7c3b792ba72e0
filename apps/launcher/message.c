/*
 * message.c - messages of the pair between leatd and the launcher: receive, check, answer.
 */
#include "apps/launcher/launcher.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static _Alignas(16) unsigned char buffer[LAUNCHER_MSG_MAX];

static void take_fds(struct msghdr *hdr, struct message *msg)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(hdr); c; c = CMSG_NXTHDR(hdr, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n && msg->nr_fds < LAUNCHER_FDS_MAX; i++)
			memcpy(&msg->fds[msg->nr_fds++], CMSG_DATA(c) + i * sizeof(int),
			       sizeof(int));
	}
}

/* 0 at the end of the stream, 1 with a message, or a negative errno; its descriptors are ours. */
int message_receive(int fd, struct message *ret_msg)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(LAUNCHER_FDS_MAX * sizeof(int))];
	struct iovec iov = {.iov_base = buffer, .iov_len = sizeof(buffer)};
	struct msghdr hdr = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control,
			     .msg_controllen = sizeof(control)};
	struct message msg = {.head = (struct launcher_msg *)buffer};

	ssize_t n = recvmsg(fd, &hdr, MSG_CMSG_CLOEXEC);
	if (n < 0)
		return -errno;
	take_fds(&hdr, &msg);
	if (n == 0 && msg.nr_fds == 0)
		return 0;
	*ret_msg = msg;
	if ((hdr.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) || (size_t)n < sizeof(*msg.head) ||
	    msg.head->magic != LAUNCHER_MAGIC || msg.head->size != (size_t)n ||
	    msg.head->nr_fds != msg.nr_fds) {
		message_close_fds(ret_msg);
		return -EBADMSG;
	}
	return 1;
}

void message_close_fds(struct message *msg)
{
	for (unsigned i = 0; i < msg->nr_fds; i++)
		close(msg->fds[i]);
	msg->nr_fds = 0;
}

int message_send(int fd, struct launcher_reply *reply, int extra_fd)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec iov = {.iov_base = reply, .iov_len = sizeof(*reply)};
	struct msghdr hdr = {.msg_iov = &iov, .msg_iovlen = 1};

	reply->msg.magic = LAUNCHER_MAGIC;
	reply->msg.size = sizeof(*reply);
	reply->msg.nr_fds = extra_fd >= 0;
	if (extra_fd >= 0) {
		hdr.msg_control = control;
		hdr.msg_controllen = sizeof(control);
		struct cmsghdr *c = CMSG_FIRSTHDR(&hdr);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &extra_fd, sizeof(int));
	}
	if (sendmsg(fd, &hdr, MSG_NOSIGNAL) < 0)
		return -errno;
	return 0;
}
