/*
 * children.c - the running instances: their first processes, and their end.
 *
 * When the first process of an instance is gone, everything else of its uid is killed, and only
 * then is the uid reported GONE.  The killing is done by a helper with that effective uid, so that
 * kill(-1) finds exactly the instance; its real and saved uid are a uid of nobody, so that the
 * instance cannot signal the helper.
 */
#include "apps/launcher/launcher.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define RETRY_MS 5
#define SWEEP_ROUNDS 200 /* x RETRY_MS: how long a sweep waits for the last process */

enum child_state { CHILD_FREE, CHILD_STARTING, CHILD_RUNNING, CHILD_KILLING };

struct child {
	enum child_state state;
	uint32_t instance;
	uint32_t uid;
	pid_t pid;    /* first process, while not reaped */
	pid_t helper; /* killer under way; 0: to be started */
};

static struct child children[LAUNCHER_INSTANCES_MAX];
static unsigned nr_children;           /* no index >= this is in use */
static struct progress *progress_page; /* [LAUNCHER_INSTANCES_MAX], shared with the children */

int children_init(void)
{
	progress_page = mmap(NULL, LAUNCHER_INSTANCES_MAX * sizeof(*progress_page),
			     PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return progress_page == MAP_FAILED ? -errno : 0;
}

static struct child *child_find(uint32_t instance)
{
	for (unsigned i = 0; i < nr_children; i++)
		if (children[i].state != CHILD_FREE && children[i].instance == instance)
			return &children[i];
	return NULL;
}

/* NULL: the table is full, or the instance or its uid is there already. */
struct progress *children_add(uint32_t instance, uint32_t uid)
{
	unsigned slot = LAUNCHER_INSTANCES_MAX;

	for (unsigned i = 0; i < nr_children; i++) {
		if (children[i].state == CHILD_FREE)
			slot = i < slot ? i : slot;
		else if (children[i].instance == instance || children[i].uid == uid)
			return NULL;
	}
	if (slot == LAUNCHER_INSTANCES_MAX) {
		if (nr_children == LAUNCHER_INSTANCES_MAX)
			return NULL;
		slot = nr_children++;
	}
	children[slot] = (struct child){.state = CHILD_STARTING, .instance = instance, .uid = uid};
	progress_page[slot] = (struct progress){.stage = STAGE_FORK};
	return &progress_page[slot];
}

void children_started(uint32_t instance, pid_t pid)
{
	struct child *child = child_find(instance);

	if (child) {
		child->pid = pid;
		child->state = CHILD_RUNNING;
	}
}

static void children_trim(void)
{
	while (nr_children && children[nr_children - 1].state == CHILD_FREE)
		nr_children--;
}

void children_forget(uint32_t instance)
{
	struct child *child = child_find(instance);

	if (child)
		child->state = CHILD_FREE;
	children_trim();
}

/* Has the uid no process, not even a zombie?  (kill(-1) would not tell.) */
static bool uid_is_empty(uint32_t uid)
{
	errno = 0;
	return getpriority(PRIO_USER, uid) == -1 && errno == ESRCH;
}

static _Noreturn void helper_run(uint32_t killer, uint32_t uid)
{
	uid_t r, e, s;

	if (setresuid(killer, uid, killer) < 0 || getresuid(&r, &e, &s) < 0 || r != killer ||
	    e != uid || s != killer)
		_exit(1);
	/* only processes of these two uids can be reached from here */
	kill(-1, SIGKILL);
	_exit(0);
}

static pid_t helper_start(const struct launcher *launcher, uint32_t uid)
{
	pid_t pid = fork();

	if (pid == 0)
		helper_run(launcher->uid_killer, uid);
	return pid < 0 ? 0 : pid;
}

static void first_process_ended(int fd, struct child *child, int status)
{
	const struct progress *progress = &progress_page[child - children];
	struct launcher_reply reply = {
		.msg.type = LAUNCHER_EXITED,
		.instance = child->instance,
		.status = status,
		.pid = (uint32_t)child->pid,
	};

	if (progress->stage != STAGE_RUN) {
		reply.msg.type = LAUNCHER_FAILED;
		reply.stage = progress->stage;
		reply.detail = progress->detail;
		/* without an error it was killed on its way */
		reply.error = progress->error ? progress->error : EINTR;
	}
	message_send(fd, &reply, -1);
	child->pid = 0;
	child->state = CHILD_KILLING; /* children_retry does it */
}

void children_reap(int fd)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		for (unsigned i = 0; i < nr_children; i++) {
			struct child *child = &children[i];
			if (child->state == CHILD_RUNNING && child->pid == pid) {
				first_process_ended(fd, child, status);
				break;
			}
			if (child->state == CHILD_KILLING && child->helper == pid) {
				child->helper = 0;
				break;
			}
		}
		/* else an orphan of some instance: as its reaper we have nothing to report */
	}
}

/*
 * Reports the ended instances whose uid is empty, and kills on where it is not.  Returns how long
 * poll may sleep (ms), -1: until something comes.
 */
int children_retry(const struct launcher *launcher, int fd)
{
	int timeout_ms = -1;

	for (unsigned i = 0; i < nr_children; i++) {
		struct child *child = &children[i];
		if (child->state != CHILD_KILLING || child->helper)
			continue;
		if (uid_is_empty(child->uid)) {
			struct launcher_reply reply = {.msg.type = LAUNCHER_GONE,
						       .instance = child->instance};
			child->state = CHILD_FREE;
			message_send(fd, &reply, -1);
			continue;
		}
		child->helper = helper_start(launcher, child->uid);
		timeout_ms = RETRY_MS;
	}
	children_trim();
	return timeout_ms;
}

void children_kill(uint32_t instance)
{
	struct child *child = child_find(instance);

	/* the others of its uid follow when this one is reaped */
	if (child && child->state == CHILD_RUNNING)
		kill(child->pid, SIGKILL);
}

/* Kills what is left of a uid, now.  Returns whether nothing was left. */
static bool uid_kill(const struct launcher *launcher, uint32_t uid)
{
	if (uid_is_empty(uid))
		return true;
	pid_t pid = helper_start(launcher, uid);
	if (pid)
		waitpid(pid, NULL, 0);
	return false;
}

/* The end of leatd: every instance goes with it. */
void children_kill_all(const struct launcher *launcher)
{
	for (unsigned i = 0; i < nr_children; i++)
		if (children[i].state == CHILD_RUNNING)
			kill(children[i].pid, SIGKILL);
	for (int round = 0; round < SWEEP_ROUNDS; round++) {
		bool empty = true;
		for (unsigned i = 0; i < nr_children; i++)
			if (children[i].state != CHILD_FREE && !uid_kill(launcher, children[i].uid))
				empty = false;
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		if (empty)
			return;
		usleep(RETRY_MS * 1000);
	}
}

static bool process_uid(const char *pid, uint32_t *ret_uid)
{
	char path[64], text[1024];

	snprintf(path, sizeof(path), "/proc/%.16s/status", pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	ssize_t n = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[n > 0 ? n : 0] = 0;
	const char *line = strstr(text, "\nUid:");
	if (!line)
		return false;
	*ret_uid = (uint32_t)strtoul(line + 5, NULL, 10);
	return true;
}

/* What a launcher that was killed left behind in our pool of uids: found in /proc, and killed. */
int children_sweep(const struct launcher *launcher)
{
	for (int round = 0; round < SWEEP_ROUNDS; round++) {
		DIR *proc = opendir("/proc");
		struct dirent *entry;
		bool empty = true;
		if (!proc)
			return -errno;
		while ((entry = readdir(proc))) {
			uint32_t uid;
			if (entry->d_name[0] < '1' || entry->d_name[0] > '9' ||
			    !process_uid(entry->d_name, &uid) || uid < launcher->uid_low ||
			    uid - launcher->uid_low >= launcher->uid_count)
				continue;
			empty = false;
			uid_kill(launcher, uid);
		}
		closedir(proc);
		if (empty)
			return 0;
		usleep(RETRY_MS * 1000);
	}
	return -EBUSY;
}
