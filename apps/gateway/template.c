/*
 * template.c - templates: an instance of a new function is started, warmed by a request if the
 * function names one, and snapshotted by `leat snapshot`, which ends it too.
 *
 * One template is made at a time.  Whatever goes wrong costs nothing but speed: instances start in
 * full then, and the reason is logged and shown.
 */
#include "apps/gateway/template.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "apps/common/paths.h"
#include "apps/common/snapshot.h"
#include "apps/gateway/gateway.h"
#include "apps/leat/leat.h"

#define SETTLE_MS 20 /* from the end of the warm request to the snapshot */
#define QUIET_MS 100 /* an answer whose connection stays open has ended, when nothing comes */
#define NEXT_MS 0

extern char **environ;

/* The one that is being made. */
static struct {
	struct function *fn; /* NULL: none, or it has gone meanwhile */
	struct timer timer;  /* the program has settled; or the next one's turn */
	h2o_socket_t *sock;  /* of the warm request */
	struct io child;     /* a pidfd of leat snapshot */
	pid_t pid;           /* 0: it does not run */
	int error_fd;        /* what it says */
} making = {.error_fd = -1};

/* ---- the folder ---- */

static void folder_path(char *path, size_t size)
{
	snprintf(path, size, "%s/templates", gw.data_dir);
}

static void folder_remove(const char *dir)
{
	static const char *const files[] = {SNAPSHOT_MEMORY, SNAPSHOT_REQUEST, SNAPSHOT_CHECKED,
					    SNAPSHOT_MEMORY ".new"};
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	for (size_t i = 0; fd >= 0 && i < sizeof(files) / sizeof(files[0]); i++)
		unlinkat(fd, files[i], 0);
	if (fd >= 0)
		close(fd);
	rmdir(dir);
}

/* Those of an earlier gateway. */
static void folders_clean(void)
{
	char path[320], dir[PATH_MAX];
	struct dirent *entry;
	DIR *list;

	folder_path(path, sizeof(path));
	mkdir(path, 0700);
	list = opendir(path);
	while (list != NULL && (entry = readdir(list)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(dir, sizeof(dir), "%s/%s", path, entry->d_name);
		folder_remove(dir);
	}
	if (list != NULL)
		closedir(list);
}

/* ---- states ---- */

static void report(const struct function *fn)
{
	log_event("template", json_pack("{s:s, s:s, s:s%}", "function", fn->spec.name, "state",
					template_state_name(fn), "reason", fn->template.reason,
					strnlen(fn->template.reason, TEMPLATE_REASON_MAX)));
}

const char *template_state_name(const struct function *fn)
{
	static const char *const names[] = {"none", "wanted", "starting", "taking", "ready"};

	return names[fn->template.state];
}

const char *template_dir(const struct function *fn)
{
	return fn->template.state == TEMPLATE_READY ? fn->template.dir : NULL;
}

static void warm_close(void)
{
	if (making.sock != NULL)
		h2o_socket_close(making.sock);
	making.sock = NULL;
}

/* What is being made for fn is given up; leat snapshot, if it runs, is awaited all the same. */
static void making_leave(struct function *fn)
{
	struct instance *inst = fn->template.inst;

	if (making.fn != fn)
		return;
	warm_close();
	making.fn = NULL;
	fn->template.inst = NULL;
	if (inst != NULL)
		source_signal(inst, SIGKILL);
	if (making.pid == 0)
		timer_arm_ms(&making.timer, NEXT_MS);
}

void template_drop(struct function *fn, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(fn->template.reason, sizeof(fn->template.reason), format, ap);
	va_end(ap);
	making_leave(fn);
	if (fn->template.dir[0] != '\0')
		folder_remove(fn->template.dir);
	fn->template.dir[0] = '\0';
	if (fn->template.state != TEMPLATE_NONE) {
		fn->template.state = TEMPLATE_NONE;
		report(fn);
	}
}

void template_renew(struct function *fn)
{
	const json_t *wanted = json_object_get(fn->spec.json, "template");

	template_drop(fn, "there is a new description");
	fn->template.reason[0] = '\0';
	if (!json_is_true(wanted)) {
		snprintf(fn->template.reason, TEMPLATE_REASON_MAX, "not wanted");
		return;
	}
	if (fn->spec.contract == CONTRACT_LAMBDA) {
		snprintf(fn->template.reason, TEMPLATE_REASON_MAX,
			 "a Lambda runtime waits on a connection, which clones lose");
		return;
	}
	fn->template.state = TEMPLATE_WANTED;
	if (making.fn == NULL && making.pid == 0)
		timer_arm_ms(&making.timer, NEXT_MS);
}

/* ---- leat snapshot ---- */

static void taken(struct io *io)
{
	struct function *fn = making.fn;
	char text[TEMPLATE_REASON_MAX] = "";
	ssize_t n = read(making.error_fd, text, sizeof(text) - 1);
	int status = 0;

	waitpid(making.pid, &status, 0);
	io_close(io);
	close(making.error_fd);
	making.error_fd = -1;
	making.pid = 0;
	making.fn = NULL;
	timer_arm_ms(&making.timer, NEXT_MS);
	if (fn == NULL)
		return;
	if (n > 0)
		text[strcspn(text, "\n")] = '\0';
	if (status != 0) {
		making.fn = fn;
		template_drop(fn, "%s", text[0] != '\0' ? text : "leat snapshot failed");
		return;
	}
	fn->template.state = TEMPLATE_READY;
	report(fn);
}

static _Noreturn void leat_exec(const struct function *fn, const char *leat, int error_fd)
{
	char *const argv[] = {(char[]){"leat"},
			      (char[]){"snapshot"},
			      (char[]){"--stop"},
			      (char *)(uintptr_t)fn->template.inst->name,
			      (char[]){"-o"},
			      (char *)(uintptr_t)fn->template.dir,
			      NULL};
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (dup2(open("/dev/null", O_RDWR), 0) < 0 || dup2(0, 1) < 0 || dup2(error_fd, 2) < 0)
		_exit(EXIT_LEAT);
	close_range(3, ~0U, 0);
	execve(leat, argv, environ);
	_exit(EXIT_LEAT);
}

static void take(struct function *fn)
{
	char leat[PATH_MAX];
	int pair[2], pidfd;

	if (paths_find_leat(leat, sizeof(leat)) < 0 || pipe2(pair, O_CLOEXEC | O_NONBLOCK) < 0) {
		template_drop(fn, "cannot find leat beside leat-gateway");
		return;
	}
	fn->template.state = TEMPLATE_TAKING;
	making.pid = fork();
	if (making.pid == 0)
		leat_exec(fn, leat, pair[1]);
	close(pair[1]);
	pidfd = making.pid > 0 ? (int)syscall(SYS_pidfd_open, making.pid, 0) : -1;
	if (pidfd < 0) {
		close(pair[0]);
		making.pid = 0;
		template_drop(fn, "cannot run leat snapshot: %s", strerror(errno));
		return;
	}
	making.error_fd = pair[0];
	io_watch(&making.child, pidfd, taken);
}

/* ---- its instance ---- */

static void settle(void)
{
	warm_close();
	timer_arm_ms(&making.timer, SETTLE_MS);
}

static void warm_read(h2o_socket_t *sock, const char *error)
{
	h2o_buffer_consume(&sock->input, sock->input->size);
	if (error != NULL)
		settle();
	else
		timer_arm_ms(&making.timer, QUIET_MS);
}

static void warm_written(h2o_socket_t *sock, const char *error)
{
	if (error != NULL)
		settle();
	else
		h2o_socket_read_start(sock, warm_read);
}

void template_instance_up(struct instance *inst, h2o_socket_t *sock)
{
	const char *path = json_string_value(json_object_get(inst->fn->spec.json, "warm"));
	static char request[1024];
	h2o_iovec_t buf = {.base = request};

	making.sock = sock;
	if (path == NULL) {
		settle();
		return;
	}
	buf.len = (size_t)snprintf(request, sizeof(request),
				   "GET %.900s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
				   "User-Agent: leat-gateway\r\n\r\n",
				   path);
	h2o_socket_write(sock, &buf, 1, warm_written);
}

void template_instance_ended(struct instance *inst, const char *reason)
{
	struct function *fn = inst->fn;

	if (fn->template.inst != inst)
		return;
	fn->template.inst = NULL;
	if (fn->template.state == TEMPLATE_STARTING)
		template_drop(fn, "its instance ended: %s", reason);
}

static void start(struct function *fn)
{
	char unique[9];

	making.fn = fn;
	random_hex(unique, 8);
	folder_path(fn->template.dir, sizeof(fn->template.dir));
	snprintf(fn->template.dir + strlen(fn->template.dir),
		 sizeof(fn->template.dir) - strlen(fn->template.dir), "/%.60s-%s", fn->spec.name,
		 unique);
	fn->template.state = TEMPLATE_STARTING;
	fn->template.inst = instance_start_template(fn);
	if (fn->template.inst == NULL && fn->template.state == TEMPLATE_STARTING)
		template_drop(fn, "it could not be started: %s", fn->last_error);
}

static void next(void)
{
	struct list *pos;

	if (gw.draining)
		return;
	list_for_each(pos, &gw.functions) {
		struct function *fn = list_entry(pos, struct function, node);

		if (!fn->removed && fn->template.state == TEMPLATE_WANTED) {
			start(fn);
			return;
		}
	}
}

static void timer_due(struct timer *timer)
{
	struct function *fn = making.fn;

	(void)timer;
	if (making.pid != 0)
		return;
	if (fn == NULL)
		next();
	else if (making.sock != NULL)
		settle();
	else if (fn->template.inst != NULL)
		take(fn);
}

void templates_init(void)
{
	making.timer.due = timer_due;
	folders_clean();
}
