/*
 * launch.c - starts the launcher and speaks to it.
 */
#include "apps/leatd/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "apps/leatd/sandbox.h"

#define FINISH_MS 5000 /* how long the launcher may take to end its instances */

static _Noreturn void launcher_exec(const char *path, int fd)
{
	char *const argv[] = {(char[]){"leat-launcher"}, NULL};
	char *const envp[] = {NULL};
	int null = open("/dev/null", O_RDONLY);

	/* its stderr is leatd's, for what it says before it can speak the protocol */
	if (dup2(fd, LAUNCHER_FD) < 0 || dup2(null, 0) < 0 || dup2(2, 1) < 0)
		_exit(126);
	if (fd == LAUNCHER_FD && fcntl(fd, F_SETFD, 0) < 0)
		_exit(126);
	if (close_range(LAUNCHER_FD + 1, ~0U, 0) < 0)
		_exit(126);
	execve(path, argv, envp);
	_exit(127);
}

int launch_process(const char *path, struct launch *ret_launch)
{
	int pair[2], size = (int)LAUNCHER_MSG_MAX * 2;

	if (access(path, X_OK) < 0)
		return -errno;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	setsockopt(pair[0], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
	pid_t pid = fork();
	if (pid == 0)
		launcher_exec(path, pair[1]);
	int r = pid < 0 ? -errno : 0;
	close(pair[1]);
	if (r < 0) {
		close(pair[0]);
		return r;
	}
	*ret_launch = (struct launch){.fd = pair[0], .pid = pid, .listener = -1};
	return 0;
}

static int send_message(int fd, void *message, size_t size, enum launcher_type type, const int *fds,
			unsigned nr_fds)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(LAUNCHER_FDS_MAX * sizeof(int))] = {0};
	struct iovec iov = {.iov_base = message, .iov_len = size};
	struct msghdr hdr = {.msg_iov = &iov, .msg_iovlen = 1};

	*(struct launcher_msg *)message = (struct launcher_msg){.magic = LAUNCHER_MAGIC,
								.type = type,
								.size = (uint32_t)size,
								.nr_fds = nr_fds};
	if (nr_fds) {
		hdr.msg_control = control;
		hdr.msg_controllen = CMSG_SPACE(nr_fds * sizeof(int));
		struct cmsghdr *c = CMSG_FIRSTHDR(&hdr);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(nr_fds * sizeof(int));
		memcpy(CMSG_DATA(c), fds, nr_fds * sizeof(int));
	}
	return sendmsg(fd, &hdr, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int launch_receive(struct launch *launch, bool wait, struct launcher_reply *ret_reply, int *ret_fd)
{
	int flags = wait ? 0 : MSG_DONTWAIT, fd = -1;
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
	struct launcher_reply reply;
	struct iovec iov = {.iov_base = &reply, .iov_len = sizeof(reply)};
	struct msghdr hdr = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control,
			     .msg_controllen = sizeof(control)};
	ssize_t n;

	do
		n = recvmsg(launch->fd, &hdr, flags | MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == ECONNRESET ? 0 : -errno;
	if (n == 0)
		return 0;
	struct cmsghdr *c = CMSG_FIRSTHDR(&hdr);
	if (c && c->cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(c), sizeof(int));
	if (n != sizeof(reply) || reply.msg.magic != LAUNCHER_MAGIC) {
		if (fd >= 0)
			close(fd);
		return -EBADMSG;
	}
	*ret_reply = reply;
	*ret_fd = fd;
	return 1;
}

static int wait_ready(struct launch *launch, enum launcher_stage *ret_stage)
{
	struct launcher_reply reply;
	int fd = -1;
	int r = launch_receive(launch, true, &reply, &fd);

	if (fd >= 0)
		launch->listener = fd;

	*ret_stage = STAGE_REQUEST;
	if (r <= 0)
		return r < 0 ? r : -EPIPE;
	if (reply.msg.type == LAUNCHER_READY)
		return 0;
	*ret_stage = reply.stage;
	return reply.error > 0 ? -reply.error : -EBADMSG;
}

static int filters_build(const struct image *image, struct sandbox_program *programs)
{
	int r = sandbox_build_notify(image->text_low, image->text_high, &programs[LAUNCHER_F0]);

	if (r == 0)
		r = sandbox_build_trap(image->text_low, image->text_high, SANDBOX_BASE,
				       &programs[LAUNCHER_F1_IMAGE]);
	if (r == 0)
		r = sandbox_build_trap(image->text_low, image->text_high,
				       SANDBOX_BASE | SANDBOX_DIRECTORY,
				       &programs[LAUNCHER_F1_READ]);
	if (r == 0)
		r = sandbox_build_trap(image->text_low, image->text_high, SANDBOX_ALL,
				       &programs[LAUNCHER_F1_WRITE]);
	return r;
}

int launch_init(struct launch *launch, const struct image *image, const struct launch_pool *pool,
		enum launcher_stage *ret_stage)
{
	struct sandbox_program programs[LAUNCHER_NR_FILTERS] = {0};
	size_t size = sizeof(struct launcher_init);
	int r = filters_build(image, programs);

	*ret_stage = STAGE_FILTER;
	for (unsigned i = 0; i < LAUNCHER_NR_FILTERS; i++)
		size += programs[i].nr * sizeof(struct sock_filter);
	struct launcher_init *init = r == 0 ? calloc(1, size) : NULL;
	if (r == 0 && !init)
		r = -ENOMEM;
	if (r == 0) {
		unsigned char *at = (unsigned char *)(init + 1);
		init->text_low = image->text_low;
		init->text_high = image->text_high;
		init->uid_low = pool->uid_low;
		init->uid_count = pool->uid_count;
		init->uid_killer = pool->uid_killer;
		for (unsigned i = 0; i < LAUNCHER_NR_FILTERS; i++) {
			size_t bytes = programs[i].nr * sizeof(struct sock_filter);
			init->nr_insns[i] = programs[i].nr;
			memcpy(at, programs[i].insns, bytes);
			at += bytes;
		}
		r = send_message(launch->fd, init, size, LAUNCHER_INIT, &image->fd, 1);
	}
	if (r == 0)
		r = wait_ready(launch, ret_stage);
	for (unsigned i = 0; i < LAUNCHER_NR_FILTERS; i++)
		free(programs[i].insns);
	free(init);
	return r;
}

int launch_setup(struct launch *launch, int control_fd, const int *doorbells, uint32_t mask,
		 enum launcher_stage *ret_stage)
{
	struct launcher_setup setup = {.doorbell_mask = mask};
	unsigned nr = (unsigned)__builtin_popcount(mask);
	int fds[1 + ABI_MAX_CORES];

	*ret_stage = STAGE_REQUEST;
	fds[0] = control_fd;
	memcpy(fds + 1, doorbells, nr * sizeof(int));
	int r = send_message(launch->fd, &setup, sizeof(setup), LAUNCHER_SETUP, fds, nr + 1);
	return r < 0 ? r : wait_ready(launch, ret_stage);
}

/* ---- START: the boot block and its strings ---- */

struct block_writer {
	char *base; /* struct abi_boot */
	size_t used;
	bool overflow;
};

static uint32_t put_string(struct block_writer *w, const char *text)
{
	size_t len = strlen(text) + 1;
	uint32_t at = (uint32_t)w->used;

	if (len > LAUNCHER_BLOCK_MAX - w->used) {
		w->overflow = true;
		return 0;
	}
	memcpy(w->base + w->used, text, len);
	w->used += len;
	return at;
}

static uint32_t put_list(struct block_writer *w, char *const *list, uint32_t *ret_count)
{
	uint32_t at = (uint32_t)w->used, count = 0;

	for (; list[count]; count++)
		put_string(w, list[count]);
	*ret_count = count;
	return at;
}

static void block_fill(struct abi_boot *block, struct block_writer *w,
		       const struct launch_request *req)
{
	block->magic = ABI_MAGIC;
	block->version = ABI_VERSION;
	block->nr_vcpus = req->nr_vcpus;
	block->uid = req->uid;
	block->instance = req->instance;
	block->trace = req->trace;
	block->memory_max = req->memory_max;
	block->root_bytes = req->root_bytes;
	block->window_size = ABI_WINDOW_SIZE;
	block->launched_ns = req->launched_ns;
	block->umask = req->umask;
	block->nofile = req->nofile;
	block->stack_max = req->stack_max;
	block->user_uid = req->user.uid;
	block->user_gid = req->user.gid;
	block->nr_groups = req->user.nr_groups;
	memcpy(block->group, req->user.groups, sizeof(block->group));
	block->program_off = put_string(w, req->program);
	block->cwd_off = put_string(w, req->cwd);
	block->hostname_off = put_string(w, req->hostname);
	block->argv_off = put_list(w, req->argv, &block->argc);
	block->envp_off = put_list(w, req->envp, &block->envc);
	block->nr_volumes = req->nr_volumes;
	for (unsigned i = 0; i < req->nr_volumes; i++) {
		block->volume[i].dst_off = put_string(w, req->volumes[i].dst);
		block->volume[i].flags = req->volumes[i].read_only ? ABI_VOLUME_RO : 0;
	}
	block->size = (uint32_t)w->used;
}

static unsigned fds_fill(const struct launch_request *req, int *fds, uint32_t *ret_flags)
{
	unsigned nr = 0;

	for (int i = 0; i < 3; i++)
		fds[nr++] = req->stdio[i];
	fds[nr++] = req->window_fd;
	fds[nr++] = req->root_fd;
	if (req->exec_fd >= 0) {
		*ret_flags |= LAUNCHER_HAS_EXEC;
		fds[nr++] = req->exec_fd;
	}
	if (req->cwd_fd >= 0) {
		*ret_flags |= LAUNCHER_HAS_CWD;
		fds[nr++] = req->cwd_fd;
	}
	if (req->cgroup_fd >= 0) {
		*ret_flags |= LAUNCHER_HAS_CGROUP;
		fds[nr++] = req->cgroup_fd;
	}
	if (req->snapshot_fd >= 0) {
		*ret_flags |= LAUNCHER_HAS_SNAPSHOT;
		fds[nr++] = req->snapshot_fd;
	}
	for (unsigned i = 0; i < req->nr_volumes; i++)
		fds[nr++] = req->volumes[i].fd;
	return nr;
}

int launch_start(struct launch *launch, const struct launch_request *req)
{
	int fds[LAUNCHER_START_FDS + 4 + ABI_MAX_VOLUMES];
	size_t head = offsetof(struct launcher_start, block);

	if (req->nr_volumes > ABI_MAX_VOLUMES)
		return -E2BIG;
	struct launcher_start *start = calloc(1, head + LAUNCHER_BLOCK_MAX);
	if (!start)
		return -ENOMEM;
	struct block_writer w = {.base = (char *)&start->block, .used = sizeof(start->block)};
	block_fill(&start->block, &w, req);
	start->nproc = req->nproc;
	start->flags = req->writable ? LAUNCHER_WRITE : 0;
	unsigned nr_fds = fds_fill(req, fds, &start->flags);
	int r = w.overflow ?
			-E2BIG :
			send_message(launch->fd, start, head + w.used, LAUNCHER_START, fds, nr_fds);
	free(start);
	return r;
}

int launch_kill(struct launch *launch, uint32_t instance)
{
	struct launcher_kill kill_msg = {.instance = instance};

	return send_message(launch->fd, &kill_msg, sizeof(kill_msg), LAUNCHER_KILL, NULL, 0);
}

void launch_finish(struct launch *launch)
{
	if (launch->fd >= 0)
		close(launch->fd);
	if (launch->listener >= 0)
		close(launch->listener);
	for (int waited_ms = 0; launch->pid > 0 && waitpid(launch->pid, NULL, WNOHANG) == 0;
	     waited_ms++) {
		if (waited_ms == FINISH_MS)
			kill(launch->pid, SIGKILL);
		usleep(1000);
	}
	*launch = (struct launch){.fd = -1, .pid = 0, .listener = -1};
}

const char *launch_stage_text(enum launcher_stage stage)
{
	static const char *const text[] = {
		[STAGE_REQUEST] = "understand the request",
		[STAGE_IMAGE] = "map the instance image",
		[STAGE_FILTER] = "install the system-call filter",
		[STAGE_FORK] = "fork",
		[STAGE_SESSION] = "start a session",
		[STAGE_CGROUP] = "join the cgroup",
		[STAGE_FDS] = "arrange the descriptors",
		[STAGE_VOLUME] = "mount the volume with mapped ids",
		[STAGE_LANDLOCK] = "restrict the file system with Landlock",
		[STAGE_ROOT] = "change the root directory",
		[STAGE_LIMITS] = "set the resource limits",
		[STAGE_MAP] = "map the instance's memory",
		[STAGE_UID] = "take on the instance's uid",
		[STAGE_SECCOMP] = "install the instance's system-call filter",
		[STAGE_RUN] = "run",
	};

	return stage <= STAGE_RUN ? text[stage] : "start";
}
