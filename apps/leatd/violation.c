/*
 * violation.c - a forbidden host call from a library OS's text: one line, and that instance ends.
 *
 * The caller is stopped in the call and stays stopped until it is dead.  Its pid comes from the
 * kernel; its uid says which instance it belongs to.
 */
#include "apps/leatd/leatd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "apps/leatd/log.h"
#include "apps/leatd/sandbox.h"

/* The real uid of a process, 0 when it cannot be told: never an instance's. */
static uint32_t process_uid(uint32_t pid)
{
	char path[64], text[1024];

	snprintf(path, sizeof(path), "/proc/%u/status", pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = 0;
	const char *line = strstr(text, "\nUid:");
	return line ? (uint32_t)strtoul(line + 5, NULL, 10) : 0;
}

void violation_ready(struct loop_source *source, uint32_t events)
{
	struct leatd *leatd = container_of(source, struct leatd, listener_source);
	struct seccomp_notif notif = {0};

	(void)events;
	if (ioctl(source->fd, SECCOMP_IOCTL_NOTIF_RECV, &notif) < 0)
		return; /* it died meanwhile */
	uint32_t uid = process_uid(notif.pid);
	/* still the same process, so that the uid was its own */
	if (ioctl(source->fd, SECCOMP_IOCTL_NOTIF_ID_VALID, &notif.id) < 0)
		return;
	struct instance *inst = instance_by_uid(leatd, uid);
	char *name = sandbox_call_name(notif.data.nr);
	const unsigned long long *args = (const unsigned long long *)notif.data.args;
	char call[160];
	snprintf(call, sizeof(call), "%s(0x%llx, 0x%llx, 0x%llx, 0x%llx, 0x%llx, 0x%llx) at 0x%llx",
		 name ? name : "call", args[0], args[1], args[2], args[3], args[4], args[5],
		 (unsigned long long)notif.data.instruction_pointer);
	free(name);
	if (inst) {
		log_line(LOG_WARN, "instance %s: forbidden host call %s; it is ended", inst->name,
			 call);
		instance_end(inst, "forbidden host call %s", call);
		return;
	}
	log_line(LOG_WARN, "process %u of uid %u: forbidden host call %s", notif.pid, uid, call);
	struct seccomp_notif_resp resp = {.id = notif.id, .error = -EPERM};
	ioctl(source->fd, SECCOMP_IOCTL_NOTIF_SEND, &resp);
}
