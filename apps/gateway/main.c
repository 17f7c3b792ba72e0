/*
 * main.c - leat-gateway: options, the loop, and the end.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "apps/common/paths.h"
#include "apps/gateway/gateway.h"
#include "apps/leat/leat.h"

#define GATEWAY_VERSION "0.1.0"
#define DRAIN_MS 30000
#define IO_TIMEOUT_MS (24ULL * 3600 * 1000) /* calls have deadlines of their own */
#define BODY_MAX_DEFAULT (16ULL << 20)

struct gateway gw;

struct options {
	char address[64];
	uint16_t port;
	const char *password_file;
	bool auth;
	uint64_t body_max;
};

static const char help[] =
	"usage: leat-gateway [OPTION]...\n"
	"Serves functions over HTTP/1.1 and h2c; leat deploy hands them in.\n"
	"\n"
	"  --listen [IP:]PORT        127.0.0.1:8080\n"
	"  --data-dir DIR            deployments, secrets and asynchronous calls\n"
	"                            (/var/lib/leat, or $LEAT_DATA_DIR)\n"
	"  --basic-auth-file FILE    password of the user admin (basic-auth-password in the data\n"
	"                            folder, made when it is not there)\n"
	"  --no-auth                 no password for the management routes\n"
	"  --max-body SIZE           longest body of a request (16M)\n"
	"  --help, --version\n";

/* ---- descriptors in h2o's loop ---- */

static void io_ready(h2o_socket_t *sock, const char *error)
{
	struct io *io = sock->data;

	(void)error;
	io->ready(io);
}

void io_watch(struct io *io, int fd, void (*ready)(struct io *io))
{
	io->sock = h2o_evloop_socket_create(gw.loop, fd, H2O_SOCKET_FLAG_DONT_READ);
	io->sock->data = io;
	io->ready = ready;
	h2o_socket_read_start(io->sock, io_ready);
}

void io_close(struct io *io)
{
	if (io->sock == NULL)
		return;
	h2o_socket_read_stop(io->sock);
	h2o_socket_close(io->sock);
	io->sock = NULL;
}

int io_fd(const struct io *io)
{
	return h2o_socket_get_fd(io->sock);
}

void random_hex(char *text, size_t digits)
{
	unsigned char bytes[32];

	if (digits > sizeof(bytes) || getrandom(bytes, digits, 0) != (ssize_t)digits)
		abort(); /* ids and passwords that can be guessed are none */
	for (size_t i = 0; i < digits; i++)
		text[i] = "0123456789abcdef"[bytes[i] & 15];
	text[digits] = '\0';
}

void log_event(const char *event, json_t *fields)
{
	char time_text[40], *text;
	struct timespec now;
	struct tm tm;
	json_t *line;

	if (fields == NULL) /* something in it is no UTF-8 */
		fields = json_object();
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	strftime(time_text, sizeof(time_text), "%Y-%m-%dT%H:%M:%S", &tm);
	line = json_pack("{s:o, s:s}", "time",
			 json_sprintf("%s.%03ldZ", time_text, now.tv_nsec / 1000000), "event",
			 event);
	json_object_update(line, fields);
	text = json_dumps(line, JSON_COMPACT);
	if (text != NULL)
		fprintf(stderr, "%s\n", text);
	free(text);
	json_decref(line);
	json_decref(fields);
}

/* ---- the end ---- */

static struct io signal_io, timer_io;
static bool stopped;
static struct timer drain_timer;
static uint64_t drain_until_ns;

static void drain_due(struct timer *timer)
{
	bool late = now_ns() >= drain_until_ns;

	if (gw.in_flight == 0 || late)
		stopped = functions_drain() || late;
	if (!stopped)
		timer_arm_ms(timer, 20);
}

static void signal_ready(struct io *io)
{
	struct signalfd_siginfo info;

	if (read(io_fd(io), &info, sizeof(info)) != sizeof(info))
		return;
	if (gw.draining) { /* asked twice */
		stopped = true;
		return;
	}
	gw.draining = true;
	server_stop();
	drain_until_ns = now_ns() + DRAIN_MS * 1000000ULL;
	drain_timer.due = drain_due;
	timer_arm_ms(&drain_timer, 0);
}

static void timer_ready(struct io *io)
{
	(void)io;
	timers_run();
}

/* ---- the beginning ---- */

static int listen_parse(const char *text, struct options *options)
{
	const char *port = strrchr(text, ':');
	uint64_t n;

	strcpy(options->address, "127.0.0.1");
	if (port != NULL) {
		if ((size_t)(port - text) >= sizeof(options->address))
			return -EINVAL;
		snprintf(options->address, sizeof(options->address), "%.*s", (int)(port - text),
			 text);
		text = port + 1;
	}
	if (parse_number(text, 1, 65535, &n) < 0)
		return -EINVAL;
	options->port = (uint16_t)n;
	return 0;
}

static int option_take(struct options *options, int option, const char *value)
{
	switch (option) {
	case 'l':
		if (listen_parse(value, options) == 0)
			return 0;
		fprintf(stderr, "leat-gateway: cannot use --listen %s: [IP:]PORT\n", value);
		return -EINVAL;
	case 'd':
		snprintf(gw.data_dir, sizeof(gw.data_dir), "%s", value);
		return 0;
	case 'b':
		options->password_file = value;
		return 0;
	case 'n':
		options->auth = false;
		return 0;
	case 'm':
		if (parse_size(value, &options->body_max) == 0)
			return 0;
		fprintf(stderr, "leat-gateway: cannot use --max-body %s: a size, e.g. 16M\n",
			value);
		return -EINVAL;
	case 'h':
		fputs(help, stdout);
		return 1;
	case 'v':
		puts("leat-gateway " GATEWAY_VERSION);
		return 1;
	default:
		fputs("leat-gateway: see leat-gateway --help\n", stderr);
		return -EINVAL;
	}
}

/* 0: go on; 1: done; -EINVAL. */
static int options_parse(int argc, char **argv, struct options *options)
{
	static const struct option table[] = {
		{"listen", required_argument, NULL, 'l'},
		{"data-dir", required_argument, NULL, 'd'},
		{"basic-auth-file", required_argument, NULL, 'b'},
		{"no-auth", no_argument, NULL, 'n'},
		{"max-body", required_argument, NULL, 'm'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'v'},
		{NULL, 0, NULL, 0},
	};
	int c, r = 0;

	*options = (struct options){.address = "127.0.0.1",
				    .port = 8080,
				    .auth = true,
				    .body_max = BODY_MAX_DEFAULT};
	paths_data_dir(gw.data_dir, sizeof(gw.data_dir));
	snprintf(gw.state_dir, sizeof(gw.state_dir), "%s", paths_state_dir());
	while (r == 0 && (c = getopt_long(argc, argv, "", table, NULL)) != -1)
		r = option_take(options, c, optarg);
	if (r == 0 && optind < argc) {
		fprintf(stderr, "leat-gateway: '%s' is no option\n", argv[optind]);
		r = -EINVAL;
	}
	return r;
}

static int fail(const char *what, const char *where, int error)
{
	fprintf(stderr, "leat-gateway: cannot %s %s: %s\n", what, where, strerror(-error));
	return error;
}

/* Two gateways on one store would each take the other's asynchronous calls. */
static int data_lock(void)
{
	char path[300];
	int fd;

	if ((mkdir(gw.data_dir, 0700) < 0 && errno != EEXIST) ||
	    (mkdir(gw.state_dir, 0700) < 0 && errno != EEXIST))
		return fail("make", gw.data_dir, -errno);
	snprintf(path, sizeof(path), "%s/gateway.lock", gw.data_dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return fail("open", path, -errno);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		fprintf(stderr, "leat-gateway: another one uses %s\n", gw.data_dir);
		return -EBUSY;
	}
	return 0; /* kept until we end */
}

static int password_make(const char *path)
{
	char text[33];
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600), r;

	if (fd < 0)
		return errno == EEXIST ? 0 : -errno;
	random_hex(text, 32);
	r = write(fd, text, 32) == 32 ? 0 : -EIO;
	close(fd);
	return r;
}

static int password_load(const struct options *options)
{
	char path[300];
	FILE *file;
	int r;

	snprintf(path, sizeof(path), "%s/basic-auth-password", gw.data_dir);
	if (options->password_file == NULL && (r = password_make(path)) < 0)
		return fail("make", path, r);
	if (options->password_file != NULL)
		snprintf(path, sizeof(path), "%s", options->password_file);
	file = fopen(path, "re");
	if (file == NULL || fgets(gw.password, sizeof(gw.password), file) == NULL)
		r = -errno;
	else
		r = 0;
	if (file != NULL)
		fclose(file);
	gw.password[strcspn(gw.password, "\r\n")] = '\0';
	if (r == 0 && gw.password[0] == '\0')
		r = -ENODATA;
	return r < 0 ? fail("read", path, r) : 0;
}

static int signals_start(void)
{
	struct rlimit limit;
	sigset_t set;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max; /* three descriptors an instance */
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int begin(const struct options *options)
{
	int signal_fd = signals_start(), timer_fd = timers_init(), r;
	char where[80];

	gw.start_ns = now_ns();
	list_init(&gw.functions);
	h2o_config_init(&gw.config);
	gw.config.server_name = h2o_iovec_init(H2O_STRLIT("leat"));
	gw.config.max_request_entity_size = options->body_max;
	gw.loop = h2o_evloop_create();
	h2o_timeout_init(gw.loop, &gw.io_timeout, IO_TIMEOUT_MS);
	r = data_lock();
	if (r == 0 && options->auth)
		r = password_load(options);
	if (r == 0)
		r = store_open();
	if (r < 0)
		return r;
	snprintf(where, sizeof(where), "%s:%u", options->address, options->port);
	r = server_listen(options->address, options->port);
	if (r < 0)
		return fail("listen on", where, r);
	gw.client_ctx =
		(h2o_http1client_ctx_t){.loop = gw.loop,
					.getaddr_receiver = &gw.ctx.receivers.hostinfo_getaddr,
					.io_timeout = &gw.io_timeout};
	io_watch(&signal_io, signal_fd, signal_ready);
	io_watch(&timer_io, timer_fd, timer_ready);
	templates_init();
	r = functions_load();
	if (r == 0)
		r = async_start();
	if (r == 0 && (r = api_start()) < 0)
		r = fail("serve", gw.state_dir, r);
	log_event("start", json_pack("{s:s, s:s}", "listen", where, "data", gw.data_dir));
	return r;
}

int main(int argc, char **argv)
{
	struct options options;
	int r = options_parse(argc, argv, &options);

	if (r != 0)
		return r > 0 ? EXIT_SUCCESS : EXIT_LEAT;
	if (geteuid() != 0) {
		fputs("leat-gateway: cannot run without root: it enters the instances' network\n",
		      stderr);
		return EXIT_LEAT;
	}
	if (begin(&options) < 0)
		return EXIT_LEAT;
	while (!stopped)
		h2o_evloop_run(gw.loop, INT32_MAX);
	api_stop();
	store_close();
	return EXIT_SUCCESS;
}
