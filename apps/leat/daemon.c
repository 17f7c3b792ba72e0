/*
 * daemon.c - finding leatd, starting it when none runs, and asking it.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "apps/common/paths.h"
#include "apps/leat/leat.h"

#define START_POLL_US 2000
#define START_POLLS 5000 /* 10 s */

int exit_code_of(int status)
{
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* A socket in the state folder: a descriptor or a negative errno. */
static int state_connect(const char *name)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int n = snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/%s", paths_state_dir(), name);
	int fd;

	if (n < 0 || (size_t)n >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
		int r = -errno;

		close(fd);
		return r;
	}
	return fd;
}

int daemon_probe(void)
{
	return state_connect("leatd.sock");
}

int gateway_probe(void)
{
	return state_connect("gateway.sock");
}

static _Noreturn void daemon_exec(const char *path, const char *name, const char *option,
				  const char *log_name)
{
	char *const argv[] = {(char *)(uintptr_t)name, (char *)(uintptr_t)option, NULL};
	char log[PATH_MAX];
	int null = open("/dev/null", O_RDWR), fd;

	mkdir(paths_state_dir(), 0700);
	snprintf(log, sizeof(log), "%s/%s", paths_state_dir(), log_name);
	fd = open(log, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600);
	setsid();
	dup2(null, 0);
	dup2(null, 1);
	dup2(fd >= 0 ? fd : null, 2);
	close_range(3, ~0U, 0);
	if (chdir("/") < 0)
		_exit(EXIT_LEAT);
	execv(path, argv);
	_exit(EXIT_LEAT);
}

static void print_log_end(const char *name, const char *log_name)
{
	char log[PATH_MAX], line[512];
	FILE *file;

	snprintf(log, sizeof(log), "%s/%s", paths_state_dir(), log_name);
	file = fopen(log, "re");
	while (file != NULL && fgets(line, sizeof(line), file) != NULL)
		fprintf(stderr, "leat: %s says: %s", name, line);
	if (file != NULL)
		fclose(file);
}

/* The daemon's child is nobody's child: leat waits only until it answers. */
int daemon_launch(const char *program, const char *option, const char *log, int (*probe)(void))
{
	int fd = -ECONNREFUSED, status;
	char path[PATH_MAX];
	bool ended = false;
	pid_t pid;

	if (paths_find_program(program, path, sizeof(path)) < 0) {
		leat_error("cannot find %s beside leat; build or install it", program);
		return -1;
	}
	pid = fork();
	if (pid == 0)
		daemon_exec(path, program, option, log);
	if (pid < 0) {
		leat_error("cannot start %s: %s", program, strerror(errno));
		return -1;
	}
	for (unsigned i = 0; i < START_POLLS; i++) {
		fd = probe();
		if (fd >= 0)
			return fd;
		/* One that found another at work ends; the other may still be starting. */
		if (!ended && waitpid(pid, &status, WNOHANG) == pid) {
			ended = true;
			i = START_POLLS - START_POLLS / 10;
		}
		usleep(START_POLL_US);
	}
	leat_error("cannot start %s: %s", program,
		   ended ? "it ended at once" : "it does not answer");
	print_log_end(program, log);
	return -1;
}

int daemon_connect(bool start)
{
	int fd = daemon_probe();

	if (fd >= 0)
		return fd;
	if (fd == -EACCES || fd == -EPERM || (start && geteuid() != 0)) {
		leat_error("cannot reach leatd: it serves root only; use sudo");
		return -1;
	}
	if (!start) {
		leat_error("cannot reach leatd: none runs for %s, so there are no instances",
			   paths_state_dir());
		return -1;
	}
	return daemon_launch("leatd", "--private", "leatd.log", daemon_probe);
}

static json_t *answer_check(json_t *answer)
{
	const char *error = json_string_value(json_object_get(answer, "error"));

	if (error == NULL)
		return answer;
	leat_error("%s", error);
	json_decref(answer);
	return NULL;
}

json_t *daemon_call(int fd, const json_t *request, const int *send_fds, unsigned nr_send,
		    int *ret_fds, unsigned *ret_nr_fds)
{
	int fds[CHANNEL_FDS_MAX];
	unsigned nr_fds = 0;
	json_t *answer = NULL;
	int r = channel_send(fd, request, send_fds, nr_send);

	if (r == -E2BIG)
		leat_error("cannot ask leatd: arguments and environment are too long");
	else if (r == 0)
		r = channel_receive(fd, true, &answer, fds, &nr_fds);
	if (r <= 0) {
		if (r != -E2BIG)
			leat_error("cannot ask leatd: %s", r == 0 ? "it has ended" : strerror(-r));
		return NULL;
	}
	if (ret_fds != NULL) {
		memcpy(ret_fds, fds, nr_fds * sizeof(int));
		*ret_nr_fds = nr_fds;
	}
	return answer_check(answer);
}

json_t *daemon_ask(json_t *request, int *ret_fds, unsigned *ret_nr_fds)
{
	int fd = daemon_connect(false);
	json_t *answer = NULL;

	if (fd >= 0) {
		answer = daemon_call(fd, request, NULL, 0, ret_fds, ret_nr_fds);
		close(fd);
	}
	json_decref(request);
	return answer;
}
