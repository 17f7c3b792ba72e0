/*
 * source.c - where instances come from: leatd clones the function's template, or runs its program
 * in full.
 *
 * Each instance is a foreground run on a channel of its own: leatd tells its end there, and ends it
 * when the channel closes, so that a killed gateway leaves nothing behind. Instances are spoken to
 * at their own addresses: sockets are made in the uplink's network namespace, a descriptor of which
 * leatd hands out.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "apps/common/channel.h"
#include "apps/gateway/gateway.h"
#include "apps/leat/clone.h"
#include "apps/leat/leat.h"
#include "apps/leat/run.h"

#define FUNCTION_DIR "/function"
#define SECRETS_DIR "/var/openfaas/secrets"

static struct {
	struct io leatd; /* kept open: a private leatd stays, and its end is noticed */
	int netns_fd, host_netns_fd;
} source = {.netns_fd = -1, .host_netns_fd = -1};

static char last_error[REASON_MAX];

/* What apps/leat/run.c and daemon.c have to say: for the caller of source_start. */
int leat_error(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(last_error, sizeof(last_error), format, ap);
	va_end(ap);
	return EXIT_LEAT;
}

/* ---- leatd ---- */

static void leatd_lost(void)
{
	io_close(&source.leatd);
	if (source.netns_fd >= 0)
		close(source.netns_fd);
	source.netns_fd = -1;
	runtime_closed();
}

static void leatd_ready(struct io *io)
{
	int fds[CHANNEL_FDS_MAX];
	json_t *message = NULL;
	unsigned nr = 0;
	int r = channel_receive(io_fd(io), false, &message, fds, &nr);

	if (r == 1) {
		json_decref(message);
		while (nr > 0)
			close(fds[--nr]);
	} else if (r != -EAGAIN) {
		leatd_lost();
	}
}

static int leatd_connect(void)
{
	int fds[CHANNEL_FDS_MAX], fd;
	unsigned nr = 0;
	json_t *request, *answer;

	if (source.leatd.sock != NULL)
		return 0;
	fd = daemon_connect(true);
	if (fd < 0)
		return -ECONNREFUSED;
	request = json_pack("{s:s}", "op", "uplink");
	answer = daemon_call(fd, request, NULL, 0, fds, &nr);
	json_decref(request);
	json_decref(answer);
	if (answer == NULL || nr != 1) {
		close(fd);
		return -EPROTO;
	}
	source.netns_fd = fds[0];
	io_watch(&source.leatd, fd, leatd_ready);
	return 0;
}

void source_net_enter(void)
{
	if (source.host_netns_fd < 0)
		source.host_netns_fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (source.netns_fd >= 0)
		setns(source.netns_fd, CLONE_NEWNET);
}

void source_net_leave(void)
{
	/* outside its own namespace the gateway would serve the wrong network: never go on there */
	if (source.netns_fd >= 0 && setns(source.host_netns_fd, CLONE_NEWNET) < 0)
		abort();
}

/* ---- the request ---- */

static void env_add(struct run_request *run, const char *name, const char *value)
{
	json_array_append_new(json_object_get(run->json, "env"),
			      json_sprintf("%s=%s", name, value));
}

static void env_number(struct run_request *run, const char *name, uint64_t n)
{
	json_array_append_new(json_object_get(run->json, "env"),
			      json_sprintf("%s=%llu", name, (unsigned long long)n));
}

static int lambda_env(struct run_request *run, const struct function *fn)
{
	const char *region = "us-east-1";
	unsigned port;

	if (runtime_listen(&port) < 0)
		return leat_error("cannot offer the Lambda Runtime API: %s", strerror(errno));
	json_array_append_new(json_object_get(run->json, "env"),
			      json_sprintf("AWS_LAMBDA_RUNTIME_API=10.99.0.1:%u", port));
	env_add(run, "AWS_LAMBDA_FUNCTION_NAME", fn->spec.name);
	env_add(run, "AWS_LAMBDA_FUNCTION_VERSION", "$LATEST");
	env_number(run, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
		   fn->spec.memory_bytes != 0 ? fn->spec.memory_bytes >> 20 : 1024);
	env_add(run, "AWS_REGION", region);
	env_add(run, "AWS_DEFAULT_REGION", region);
	env_add(run, "LAMBDA_TASK_ROOT", FUNCTION_DIR);
	env_add(run, "LAMBDA_RUNTIME_DIR", FUNCTION_DIR);
	env_add(run, "_HANDLER", "index.handler");
	return 0;
}

/* The function's own come first: what is there already is not set again. */
static int env_put(struct run_request *run, const struct function *fn)
{
	json_t *env = json_object_get(fn->spec.json, "env"), *value;
	const char *key;

	if (fn->spec.contract == CONTRACT_LAMBDA) {
		int code = lambda_env(run, fn);

		if (code != 0)
			return code;
	} else {
		env_number(run, "PORT", fn->spec.port);
	}
	env_add(run, "K_SERVICE", fn->spec.name);
	env_add(run, "K_CONFIGURATION", fn->spec.name);
	env_add(run, "K_REVISION", fn->revision);
	/* an image has its own */
	if (json_object_get(env, "PATH") == NULL && run->image_name == NULL)
		env_add(run, "PATH", "/usr/local/bin:/usr/bin:/bin");
	if (json_object_get(env, "HOME") == NULL && run->image_name == NULL)
		env_add(run, "HOME", "/tmp");
	json_object_foreach(env, key, value) env_add(run, key, json_string_value(value));
	return 0;
}

static int volume_put(struct run_request *run, const char *dir, const char *place)
{
	char text[4200];

	/* SRC:DST: a colon would be taken for the separator */
	if (strchr(dir, ':') != NULL || strlen(dir) > 4000)
		return leat_error("cannot use the folder %s: its name has a colon", dir);
	snprintf(text, sizeof(text), "%s:%s:ro", dir, place);
	return run_add_volume(run, text);
}

static int places_put(struct run_request *run, const struct function *fn)
{
	const char *dir = json_string_value(json_object_get(fn->spec.json, "dir"));
	char secrets[512], error[REASON_MAX];
	int code = 0;

	run->rootfs = json_string_value(json_object_get(fn->spec.json, "rootfs"));
	if (dir != NULL || run->image_name == NULL)
		run->workdir = dir != NULL ? FUNCTION_DIR : "/";
	if (dir != NULL)
		code = volume_put(run, dir, FUNCTION_DIR);
	if (code == 0 && json_array_size(json_object_get(fn->spec.json, "secrets")) != 0) {
		if (secrets_write(fn, secrets, sizeof(secrets), error) < 0)
			return leat_error("%s", error);
		code = volume_put(run, secrets, SECRETS_DIR);
	}
	return code;
}

static int command_put(struct run_request *run, const struct function *fn)
{
	const json_t *command = json_object_get(fn->spec.json, "command");
	size_t n = json_array_size(command);
	char **argv = calloc(n + 1, sizeof(*argv)), program[4096];
	int code;

	if (argv == NULL)
		return leat_error("out of memory");
	for (size_t i = 0; i < n; i++)
		argv[i] = (char *)(uintptr_t)json_string_value(json_array_get(command, i));
	if (n > 0 && run->image_name != NULL)
		run->entrypoint = "";                  /* the command is all of it */
	if (n > 0 && strncmp(argv[0], "./", 2) == 0) { /* of the function's folder, wherever we are
							*/
		snprintf(program, sizeof(program), FUNCTION_DIR "/%s", argv[0] + 2);
		argv[0] = program;
	}
	code = run_prepare(run, argv);
	free(argv);
	return code;
}

static int full_start(struct run_request *run, const struct function *fn)
{
	int code;

	run->image_name = json_string_value(json_object_get(fn->spec.json, "image"));
	code = env_put(run, fn);
	if (code == 0)
		code = places_put(run, fn);
	return code == 0 ? command_put(run, fn) : code;
}

static int request_make(struct run_request *run, struct instance *inst)
{
	struct function *fn = inst->fn;
	const char *dir = inst->state == INSTANCE_TEMPLATE ? NULL : template_dir(fn);

	json_object_set_new(run->json, "name", json_string(inst->name));
	json_object_set_new(json_object_get(run->json, "tags"), "function",
			    json_string(fn->spec.name));
	json_object_set_new(json_object_get(run->json, "tags"), "tenant",
			    json_string(fn->spec.tenant));
	if (fn->spec.cpus != 0)
		json_object_set_new(run->json, "cpus", json_integer(fn->spec.cpus));
	if (fn->spec.memory_bytes != 0)
		json_object_set_new(run->json, "memory",
				    json_integer((json_int_t)fn->spec.memory_bytes));
	inst->cloned = dir != NULL && clone_prepare(run, dir) == 0;
	if (inst->cloned)
		return 0;
	if (dir != NULL) {
		template_drop(fn, "%s", last_error);
		return leat_error("%s", fn->template.reason);
	}
	return full_start(run, fn);
}

static void output_watch(struct instance *inst, int fd);

int source_start(struct instance *inst, char error[REASON_MAX])
{
	struct run_request run;
	int out[2] = {-1, -1}, null = -1, fd = -1, code = leatd_connect() < 0;

	run_init(&run);
	if (code == 0 &&
	    (pipe2(out, O_CLOEXEC) < 0 || (null = open("/dev/null", O_RDWR | O_CLOEXEC)) < 0))
		code = leat_error("cannot make a pipe: %s", strerror(errno));
	run.stdio[0] = null;
	run.stdio[1] = run.stdio[2] = out[1];
	if (code == 0)
		code = request_make(&run, inst);
	if (code == 0 && (fd = daemon_probe()) < 0)
		code = leat_error("cannot reach leatd: %s", strerror(-fd));
	if (code == 0 && channel_send(fd, run.json, run.fds, run.nr_fds) < 0)
		code = leat_error("cannot ask leatd: arguments and environment are too long");
	run_finish(&run);
	if (null >= 0)
		close(null);
	if (out[1] >= 0)
		close(out[1]);
	if (code != 0) {
		if (fd >= 0)
			close(fd);
		if (out[0] >= 0)
			close(out[0]);
		snprintf(error, REASON_MAX, "%s", last_error);
		return -EIO;
	}
	fcntl(fd, F_SETFL, O_NONBLOCK);
	io_watch(&inst->control, fd, inst->control.ready);
	output_watch(inst, out[0]);
	return 0;
}

static void output_watch(struct instance *inst, int fd)
{
	fcntl(fd, F_SETFL, O_NONBLOCK);
	io_watch(&inst->output, fd, inst->output.ready);
}

void source_signal(struct instance *inst, int sig)
{
	json_t *request = json_pack("{s:s, s:s, s:i, s:b}", "op", "signal", "name", inst->name,
				    "signal", sig, "quiet", 1);

	if (inst->control.sock != NULL)
		channel_send(io_fd(&inst->control), request, NULL, 0);
	json_decref(request);
}

int source_receive(struct instance *inst, int *ret_status, char reason[REASON_MAX])
{
	int fds[CHANNEL_FDS_MAX], r;
	const char *text, *ip;
	json_t *message = NULL;
	unsigned nr = 0;

	*ret_status = 0;
	r = channel_receive(io_fd(&inst->control), false, &message, fds, &nr);
	if (r == -EAGAIN)
		return 0;
	if (r <= 0) {
		snprintf(reason, REASON_MAX, "leatd has ended");
		return 2;
	}
	while (nr > 0)
		close(fds[--nr]);
	text = json_string_value(json_object_get(message, "error"));
	ip = json_string_value(json_object_get(message, "ip"));
	if (text != NULL) {
		snprintf(reason, REASON_MAX, "%s", text);
		r = 2;
	} else if (json_object_get(message, "event") != NULL) {
		text = json_string_value(json_object_get(message, "reason"));
		snprintf(reason, REASON_MAX, "%s", text != NULL ? text : "");
		*ret_status = (int)json_integer_value(json_object_get(message, "status"));
		r = 2;
	} else if (ip != NULL && inet_pton(AF_INET, ip, &inst->ip_be) == 1) {
		r = 1;
	}
	json_decref(message);
	return r;
}
