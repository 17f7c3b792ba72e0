/*
 * channel.h - what leat and leatd say to each other: one JSON object and descriptors a message, on
 * AF_UNIX SOCK_SEQPACKET.  docs/man/leatd.8 lists the messages.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#define CHANNEL_MSG_MAX (1U << 20) /* bytes of one message */
#define CHANNEL_FDS_MAX 64U

/* 0 or a negative errno; -E2BIG: too long.  Does not take the reference. */
int channel_send(int fd, const json_t *msg, const int *fds, unsigned nr_fds);

/*
 * 1 with a message, 0 at the end of the stream, or a negative errno: -EBADMSG is no JSON object,
 * -EAGAIN nothing there when wait is false.  The descriptors are the caller's, close-on-exec.
 */
int channel_receive(int fd, bool wait, json_t **ret_msg, int *ret_fds, unsigned *ret_nr_fds);
