/*
 * call.c - rings the eventfds of vhost-user frontends, which may not block us.
 *
 * Who shares an eventfd with us can fill it and make it blocking, and a write would wait for ever.
 * The kernel's own way of ringing does not: the completion of an asynchronous read that asks for it
 * (IOCB_FLAG_RESFD). So one byte is read from an empty file.
 */
#include "net/dpu/private.h"

#include <errno.h>
#include <linux/aio_abi.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define EVENTS 64

/* Made by the first frontend that asks; the control thread is the only one that makes it. */
static aio_context_t context;
static int empty_fd = -1;

int dpu_call_prepare(void)
{
	if (context)
		return 0;
	if (empty_fd < 0)
		empty_fd = memfd_create("leat-call", MFD_CLOEXEC);
	if (empty_fd < 0 || syscall(SYS_io_setup, EVENTS, &context))
		return -errno;
	return 0;
}

static void events_reap(void)
{
	struct io_event event[EVENTS];
	struct timespec none = {0};

	syscall(SYS_io_getevents, context, 0, EVENTS, event, &none);
}

void dpu_call(int fd)
{
	char byte;
	struct iocb iocb = {
		.aio_lio_opcode = IOCB_CMD_PREAD,
		.aio_fildes = (uint32_t)empty_fd,
		.aio_buf = (uintptr_t)&byte,
		.aio_nbytes = 1,
		.aio_flags = IOCB_FLAG_RESFD,
		.aio_resfd = (uint32_t)fd,
	};
	struct iocb *list[] = {&iocb};

	if (syscall(SYS_io_submit, context, 1, list) == 1) {
		events_reap();
		return;
	}
	events_reap();
	syscall(SYS_io_submit, context, 1, list);
}
