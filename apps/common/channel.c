/*
 * channel.c - JSON messages with descriptors.
 */
#include "apps/common/channel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int channel_send(int fd, const json_t *msg, const int *fds, unsigned nr_fds)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(CHANNEL_FDS_MAX * sizeof(int))] = {0};
	int size = (int)CHANNEL_MSG_MAX * 2, r = 0;
	char *text = json_dumps(msg, JSON_COMPACT);

	if (!text)
		return -ENOMEM;
	struct iovec iov = {.iov_base = text, .iov_len = strlen(text)};
	struct msghdr hdr = {.msg_iov = &iov, .msg_iovlen = 1};
	if (iov.iov_len > CHANNEL_MSG_MAX || nr_fds > CHANNEL_FDS_MAX)
		r = -E2BIG;
	if (r == 0 && nr_fds) {
		hdr.msg_control = control;
		hdr.msg_controllen = CMSG_SPACE(nr_fds * sizeof(int));
		struct cmsghdr *c = CMSG_FIRSTHDR(&hdr);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(nr_fds * sizeof(int));
		memcpy(CMSG_DATA(c), fds, nr_fds * sizeof(int));
	}
	if (r == 0 && iov.iov_len > 65536)
		setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
	while (r == 0 && sendmsg(fd, &hdr, MSG_NOSIGNAL) < 0)
		if (errno != EINTR)
			r = -errno;
	free(text);
	return r;
}

static unsigned take_fds(struct msghdr *hdr, int *fds)
{
	unsigned nr = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(hdr); c; c = CMSG_NXTHDR(hdr, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n && nr < CHANNEL_FDS_MAX; i++)
			memcpy(&fds[nr++], CMSG_DATA(c) + i * sizeof(int), sizeof(int));
	}
	return nr;
}

int channel_receive(int fd, bool wait, json_t **ret_msg, int *ret_fds, unsigned *ret_nr_fds)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(CHANNEL_FDS_MAX * sizeof(int))];
	int fds[CHANNEL_FDS_MAX];
	char *text = malloc(CHANNEL_MSG_MAX);
	struct iovec iov = {.iov_base = text, .iov_len = CHANNEL_MSG_MAX};
	struct msghdr hdr = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control,
			     .msg_controllen = sizeof(control)};
	json_t *msg = NULL;
	ssize_t n;

	if (!text)
		return -ENOMEM;
	do
		n = recvmsg(fd, &hdr, MSG_CMSG_CLOEXEC | (wait ? 0 : MSG_DONTWAIT));
	while (n < 0 && errno == EINTR);
	int r = n < 0 ? -errno : n > 0;
	unsigned nr = n > 0 ? take_fds(&hdr, fds) : 0;
	if (r == 1) {
		if (!(hdr.msg_flags & (MSG_TRUNC | MSG_CTRUNC)))
			msg = json_loadb(text, (size_t)n, 0, NULL);
		if (!json_is_object(msg))
			r = -EBADMSG;
	}
	free(text);
	if (r == 1) {
		*ret_msg = msg;
		memcpy(ret_fds, fds, nr * sizeof(int));
		*ret_nr_fds = nr;
		return 1;
	}
	json_decref(msg);
	while (nr)
		close(fds[--nr]);
	return r;
}
