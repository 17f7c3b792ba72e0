/*
 * foreground.c - leat stands for the program: its signals, its end, its exit status.
 */
#include "apps/leat/foreground.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "apps/leat/leat.h"

static int signals_open(void)
{
	static const int forwarded[] = {SIGINT,  SIGTERM, SIGHUP,  SIGQUIT,
					SIGUSR1, SIGUSR2, SIGWINCH};
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(forwarded) / sizeof(forwarded[0]); i++)
		sigaddset(&set, forwarded[i]);
	/* Ctrl-Z is for the job control of a shell inside. */
	if (isatty(STDIN_FILENO))
		sigaddset(&set, SIGTSTP);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -1;
	signal(SIGPIPE, SIG_IGN);
	return signalfd(-1, &set, SFD_CLOEXEC);
}

static void signal_forward(int fd, int signal_fd, const char *name)
{
	struct signalfd_siginfo info;
	json_t *request;

	if (read(signal_fd, &info, sizeof(info)) != sizeof(info))
		return;
	request = json_pack("{s:s, s:s, s:i, s:b}", "op", "signal", "name", name, "signal",
			    (int)info.ssi_signo, "quiet", 1);
	channel_send(fd, request, NULL, 0);
	json_decref(request);
}

/* The exit code that leatd's message means; the user is told what Leat has to say. */
static int end_take(json_t *message)
{
	const char *error = json_string_value(json_object_get(message, "error"));
	const char *reason = json_string_value(json_object_get(message, "reason"));

	if (error != NULL)
		return leat_error("%s", error);
	if (reason != NULL && *reason != '\0') {
		leat_error("the instance was ended: %s", reason);
		return EXIT_LEAT;
	}
	return exit_code_of((int)json_integer_value(json_object_get(message, "status")));
}

static int foreground(int fd, int signal_fd, const char *name)
{
	struct pollfd fds[2] = {{.fd = fd, .events = POLLIN}, {.fd = signal_fd, .events = POLLIN}};
	int unused[CHANNEL_FDS_MAX], code, r;
	unsigned nr;
	json_t *message;

	for (;;) {
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			return leat_error("cannot wait: %s", strerror(errno));
		if (fds[1].revents != 0)
			signal_forward(fd, signal_fd, name);
		if (fds[0].revents == 0)
			continue;
		r = channel_receive(fd, true, &message, unused, &nr);
		if (r <= 0)
			return leat_error("leatd has ended, and the instance with it");
		code = end_take(message);
		json_decref(message);
		return code;
	}
}

int run_send(struct run_request *run)
{
	int fd = daemon_connect(true), signal_fd = -1, code = EXIT_LEAT;
	const char *name;
	json_t *answer;

	if (fd < 0)
		return EXIT_LEAT;
	if (!run->detach)
		signal_fd = signals_open();
	answer = daemon_call(fd, run->json, run->fds, run->nr_fds, NULL, NULL);
	if (answer != NULL) {
		name = json_string_value(json_object_get(answer, "name"));
		if (json_object_get(answer, "event") != NULL) { /* a clone that did not come up */
			code = end_take(answer);
		} else if (run->detach) {
			puts(name != NULL ? name : "");
			code = 0;
		} else {
			code = foreground(fd, signal_fd, name);
		}
		json_decref(answer);
	}
	close(fd);
	return code;
}
