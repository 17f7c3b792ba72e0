/*
 * leat-launcher - forks instances for leatd.
 *
 * A process of its own, so that a start never copies leatd's mappings, threads or locks, and so
 * that one seccomp filter with one listener, installed here, is inherited by all instances.  It
 * speaks protocol.h on LAUNCHER_FD and ends, with all instances, when leatd does.
 */
#include "apps/launcher/launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

static int reply_failed(uint32_t instance, enum launcher_stage stage, int error)
{
	struct launcher_reply reply = {.msg.type = LAUNCHER_FAILED,
				       .instance = instance,
				       .stage = stage,
				       .error = -error};

	return message_send(LAUNCHER_FD, &reply, -1);
}

static int filters_copy(struct launcher *launcher, const struct launcher_init *init)
{
	const unsigned char *at = (const unsigned char *)(init + 1);
	size_t left = init->msg.size - sizeof(*init);

	for (unsigned i = 0; i < LAUNCHER_NR_FILTERS; i++) {
		uint32_t nr = init->nr_insns[i];
		size_t bytes = nr * sizeof(struct sock_filter);
		if (nr == 0 || nr > LAUNCHER_FILTER_MAX || bytes > left)
			return -EBADMSG;
		launcher->filters[i].insns = malloc(bytes);
		if (!launcher->filters[i].insns)
			return -ENOMEM;
		memcpy(launcher->filters[i].insns, at, bytes);
		launcher->filters[i].nr = nr;
		at += bytes;
		left -= bytes;
	}
	return left == 0 ? 0 : -EBADMSG;
}

/* A directory that nobody can reach and in which nothing can be made. */
static int nowhere_make(void)
{
	char path[] = "/tmp/leat-nowhere-XXXXXX";

	if (mkdtemp(path) == NULL)
		return -errno;
	int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int r = fd < 0 ? -errno : fd;
	if (rmdir(path) < 0 && r >= 0)
		r = -errno;
	return r;
}

static int handle_init(struct launcher *launcher, const struct message *msg)
{
	const struct launcher_init *init = (const struct launcher_init *)msg->head;
	struct launcher_reply ready = {.msg.type = LAUNCHER_READY};

	if (launcher->image_ready || msg->head->size < sizeof(*init) || msg->nr_fds != 1)
		return reply_failed(0, STAGE_REQUEST, -EBADMSG);
	launcher->text_low = init->text_low;
	launcher->text_high = init->text_high;
	launcher->uid_low = init->uid_low;
	launcher->uid_count = init->uid_count;
	launcher->uid_killer = init->uid_killer;
	if (init->uid_low < LAUNCHER_UID_MIN || init->uid_killer < LAUNCHER_UID_MIN ||
	    init->uid_count > LAUNCHER_INSTANCES_MAX ||
	    init->uid_killer - init->uid_low < init->uid_count)
		return reply_failed(0, STAGE_REQUEST, -EPERM);
	int r = children_sweep(launcher);
	if (r < 0)
		return reply_failed(0, STAGE_UID, r);
	launcher->nowhere_fd = nowhere_make();
	if (launcher->nowhere_fd < 0)
		return reply_failed(0, STAGE_ROOT, launcher->nowhere_fd);
	r = image_map(msg->fds[0], launcher);
	if (r < 0)
		return reply_failed(0, STAGE_IMAGE, r);
	r = filters_copy(launcher, init);
	if (r < 0)
		return reply_failed(0, STAGE_REQUEST, r);
	int listener =
		filter_install(&launcher->filters[LAUNCHER_F0], SECCOMP_FILTER_FLAG_NEW_LISTENER);
	if (listener < 0)
		return reply_failed(0, STAGE_FILTER, listener);
	launcher->image_ready = true;
	r = message_send(LAUNCHER_FD, &ready, listener);
	close(listener);
	return r;
}

/* The page of leatd's, mapped so that no instance can make it writable. */
static int control_map(int fd)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	int read_only = open(path, O_RDONLY | O_CLOEXEC);
	if (read_only < 0)
		return -errno;
	void *at = mmap((void *)ABI_CONTROL_BASE, ABI_PAGE_SIZE, PROT_READ,
			MAP_SHARED | MAP_FIXED_NOREPLACE, read_only, 0);
	int r = at == MAP_FAILED ? -errno : 0;
	close(read_only);
	return r;
}

static int handle_setup(struct launcher *launcher, const struct message *msg)
{
	const struct launcher_setup *setup = (const struct launcher_setup *)msg->head;
	struct launcher_reply ready = {.msg.type = LAUNCHER_READY};

	if (!launcher->image_ready || launcher->setup_ready || msg->head->size != sizeof(*setup) ||
	    msg->nr_fds != (unsigned)__builtin_popcount(setup->doorbell_mask) + 1)
		return reply_failed(0, STAGE_REQUEST, -EBADMSG);
	int r = control_map(msg->fds[0]);
	if (r < 0)
		return reply_failed(0, STAGE_MAP, r);
	for (unsigned cpu = 0, next = 1; cpu < ABI_MAX_CORES; cpu++)
		if ((setup->doorbell_mask & (1U << cpu)) &&
		    dup2(msg->fds[next++], (int)(ABI_FD_DOORBELL + cpu)) < 0)
			return reply_failed(0, STAGE_FDS, -errno);
	launcher->doorbell_mask = setup->doorbell_mask;
	launcher->setup_ready = true;
	return message_send(LAUNCHER_FD, &ready, -1);
}

/* The child is ours and not reaped, so that its pid is still its own. */
static int report_started(uint32_t instance, pid_t pid)
{
	struct launcher_reply reply = {.msg.type = LAUNCHER_STARTED,
				       .instance = instance,
				       .pid = (uint32_t)pid};

	return message_send(LAUNCHER_FD, &reply, -1);
}

static int handle_start(struct launcher *launcher, const struct message *msg)
{
	const struct launcher_start *req = (const struct launcher_start *)msg->head;
	int r = start_check(launcher, msg);

	if (r < 0) {
		bool named = msg->head->size >= sizeof(*req);
		return reply_failed(named ? req->block.instance : 0, STAGE_REQUEST, r);
	}
	struct progress *progress = children_add(req->block.instance, req->block.uid);
	if (!progress)
		return reply_failed(req->block.instance, STAGE_REQUEST, -EBUSY);
	int ruleset = start_ruleset(launcher, req, msg->fds);
	pid_t pid = fork();
	if (pid == 0)
		start_child(launcher, req, msg->fds, ruleset, progress);
	if (pid < 0) {
		r = -errno;
		children_forget(req->block.instance);
		return reply_failed(req->block.instance, STAGE_FORK, r);
	}
	children_started(req->block.instance, pid);
	return report_started(req->block.instance, pid);
}

static int handle_kill(const struct message *msg)
{
	const struct launcher_kill *req = (const struct launcher_kill *)msg->head;

	if (msg->head->size != sizeof(*req) || msg->nr_fds != 0)
		return reply_failed(0, STAGE_REQUEST, -EBADMSG);
	children_kill(req->instance);
	return 0;
}

static int handle(struct launcher *launcher, const struct message *msg)
{
	switch (msg->head->type) {
	case LAUNCHER_INIT:
		return handle_init(launcher, msg);
	case LAUNCHER_SETUP:
		return handle_setup(launcher, msg);
	case LAUNCHER_START:
		return handle_start(launcher, msg);
	case LAUNCHER_KILL:
		return handle_kill(msg);
	default:
		return reply_failed(0, STAGE_REQUEST, -EBADMSG);
	}
}

/* Returns false when leatd is gone. */
static bool serve_message(struct launcher *launcher)
{
	struct message msg;
	int r = message_receive(LAUNCHER_FD, &msg);

	if (r == 0)
		return false;
	if (r == -EBADMSG)
		return reply_failed(0, STAGE_REQUEST, r) == 0;
	if (r < 0)
		return r == -EINTR || r == -EAGAIN;
	r = handle(launcher, &msg);
	message_close_fds(&msg);
	return r == 0;
}

static void serve(struct launcher *launcher, int signal_fd)
{
	struct pollfd polled[2] = {{.fd = LAUNCHER_FD, .events = POLLIN},
				   {.fd = signal_fd, .events = POLLIN}};
	struct signalfd_siginfo info;

	for (;;) {
		if (poll(polled, 2, children_retry(launcher, LAUNCHER_FD)) < 0 && errno != EINTR)
			return;
		while (read(signal_fd, &info, sizeof(info)) == sizeof(info))
			if (info.ssi_signo == SIGTERM)
				return;
		children_reap(LAUNCHER_FD);
		if (polled[0].revents && !serve_message(launcher))
			return;
	}
}

/* A session of its own, default signal actions, and its two signals in a descriptor. */
static int signals_prepare(void)
{
	sigset_t set;

	for (int sig = 1; sig < NSIG; sig++)
		if (sig != SIGKILL && sig != SIGSTOP)
			signal(sig, SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	if (sigprocmask(SIG_SETMASK, &set, NULL) < 0 || prctl(PR_SET_PDEATHSIG, SIGTERM) < 0 ||
	    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
		return -errno;
	return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

int main(void)
{
	static struct launcher launcher;
	int type, size = (int)LAUNCHER_MSG_MAX;
	socklen_t len = sizeof(type);

	if (getsockopt(LAUNCHER_FD, SOL_SOCKET, SO_TYPE, &type, &len) < 0 ||
	    type != SOCK_SEQPACKET || geteuid() != 0) {
		fprintf(stderr, "leat-launcher: started by leatd only\n");
		return 2;
	}
	setsockopt(LAUNCHER_FD, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	int signal_fd = signals_prepare();
	int r = signal_fd < 0 ? -errno : privilege_prepare();
	if (r == 0)
		r = vdso_find(&launcher.vdso);
	if (r == 0)
		r = children_init();
	launcher.landlock_abi = landlock_abi();
	launcher.pid = getpid();
	if (r < 0) {
		fprintf(stderr, "leat-launcher: cannot prepare: %s\n", strerror(-r));
		return 1;
	}
	serve(&launcher, signal_fd);
	children_kill_all(&launcher);
	return 0;
}
