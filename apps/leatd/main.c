/*
 * main.c - leatd: options, start, and end.
 *
 * Order matters: the launcher is a process of its own before there are threads or memory worth
 * copying, then the dataplane, then the control socket: whoever can connect finds everything ready.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "apps/common/paths.h"
#include "apps/leatd/leatd.h"
#include "apps/leatd/log.h"
#include "leat/base/bits.h"

#define LEAT_VERSION "0.1.0"
#define IDLE_NS 30000000000ULL /* a private leatd's patience */

struct options {
	const char *state_dir;
	const char *netns;
	const char *signer; /* NULL: filters need no signature */
	bool private;
};

static const char help[] =
	"usage: leatd [OPTION]...\n"
	"Runs instances for leat: launcher, software DPU and core scheduler.\n"
	"\n"
	"  --state-dir DIR     where socket, lock and logs are (/run/leat, or $LEAT_STATE_DIR)\n"
	"  --netns NAME        network namespace of the uplink (leat, or $LEAT_NETNS)\n"
	"  --require-signed KEY.pub  takes only filters that this key of Ed25519 has signed\n"
	"  --private           ends when it had no instance for 30 s\n"
	"  --log-level LEVEL   error, warn, info or debug (info)\n"
	"  --help, --version\n";

static int option_log_level(const char *name)
{
	enum log_level level;

	if (log_level_parse(name, &level) < 0) {
		fprintf(stderr, "leatd: no log level '%s'; one of error, warn, info, debug\n",
			name);
		return -EINVAL;
	}
	log_init(level);
	return 0;
}

/* 0: go on; 1: done; -EINVAL. */
static int options_parse(int argc, char **argv, struct options *ret_options)
{
	static const struct option table[] = {
		{"state-dir", required_argument, NULL, 's'},
		{"netns", required_argument, NULL, 'n'},
		{"require-signed", required_argument, NULL, 'r'},
		{"private", no_argument, NULL, 'p'},
		{"log-level", required_argument, NULL, 'l'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'v'},
		{NULL, 0, NULL, 0},
	};
	int c;

	*ret_options =
		(struct options){.state_dir = paths_state_dir(), .netns = getenv("LEAT_NETNS")};
	if (ret_options->netns == NULL || *ret_options->netns == '\0')
		ret_options->netns = "leat";
	log_init(LOG_INFO);
	while ((c = getopt_long(argc, argv, "", table, NULL)) != -1) {
		switch (c) {
		case 's':
			ret_options->state_dir = optarg;
			break;
		case 'n':
			ret_options->netns = optarg;
			break;
		case 'r':
			ret_options->signer = optarg;
			break;
		case 'p':
			ret_options->private = true;
			break;
		case 'l':
			if (option_log_level(optarg) < 0)
				return -EINVAL;
			break;
		case 'h':
			fputs(help, stdout);
			return 1;
		case 'v':
			puts("leatd " LEAT_VERSION);
			return 1;
		default:
			fputs("leatd: see leatd --help\n", stderr);
			return -EINVAL;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "leatd: '%s' is no option; see leatd --help\n", argv[optind]);
		return -EINVAL;
	}
	return 0;
}

/* ---- ends ---- */

static void signal_ready(struct loop_source *source, uint32_t events)
{
	struct leatd *leatd = container_of(source, struct leatd, signal_source);
	struct signalfd_siginfo info;

	(void)events;
	if (read(source->fd, &info, sizeof(info)) != sizeof(info) || info.ssi_signo == SIGCHLD)
		return;
	log_line(LOG_INFO, "ending: signal %u", info.ssi_signo);
	leatd->loop.stop = true;
}

static int signals_start(struct leatd *leatd)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGCHLD);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	signal(SIGPIPE, SIG_IGN);
	leatd->signal_source =
		(struct loop_source){signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK), signal_ready};
	if (leatd->signal_source.fd < 0)
		return -errno;
	return loop_add(&leatd->loop, &leatd->signal_source);
}

static void idle_due(struct loop_timer *timer)
{
	struct leatd *leatd = container_of(timer, struct leatd, idle_timer);

	if (list_empty(&leatd->clients) && list_empty(&leatd->ports) &&
	    instance_count(leatd) == 0) {
		log_line(LOG_INFO, "ending: nothing to do");
		leatd->loop.stop = true;
		return;
	}
	leatd_idle_check(leatd);
}

void leatd_idle_check(struct leatd *leatd)
{
	if (leatd->private)
		loop_timer_arm(&leatd->loop, &leatd->idle_timer, loop_now_ns() + IDLE_NS);
}

/* ---- start ---- */

static void dataplane_log(const char *line)
{
	log_line(LOG_WARN, "%s", line);
}

static int fail(const char *what, int error)
{
	log_line(LOG_ERROR, "cannot %s: %s", what, strerror(-error));
	return error;
}

static int launcher_begin(struct leatd *leatd)
{
	const struct launch_pool pool = {.uid_low = leatd->state.uid_low,
					 .uid_count = STATE_UIDS,
					 .uid_killer = leatd->state.uid_killer};
	char path[PATH_MAX];
	enum launcher_stage stage;
	int r = paths_find_program("leat-launcher", path, sizeof(path));

	if (r == 0)
		r = launch_process(path, &leatd->launch);
	if (r < 0)
		return fail("start leat-launcher", r);
	r = paths_find_program("leat-image", path, sizeof(path));
	if (r == 0)
		r = image_open(path, &leatd->image);
	if (r < 0)
		return fail("open leat-image", r);
	r = launch_init(&leatd->launch, &leatd->image, &pool, &stage);
	if (r < 0)
		return fail(launch_stage_text(stage), r);
	leatd->launch_source = (struct loop_source){leatd->launch.fd, instance_launcher_ready};
	leatd->listener_source = (struct loop_source){leatd->launch.listener, violation_ready};
	return 0;
}

static int dataplane_begin(struct leatd *leatd, const struct options *options)
{
	const struct dataplane_config config = {.netns = options->netns,
						.uplink_name = "leat0",
						.uplink_ip_be = htonl(IPAM_GATEWAY),
						.service_ip_be = htonl(IPAM_SERVICE),
						.uplink_prefix = IPAM_PREFIX,
						.log = dataplane_log};
	int doorbells[ABI_MAX_CORES], fd;
	enum launcher_stage stage;
	uint32_t mask = 0;
	unsigned nr = 0;
	int r = dataplane_start(&config);

	if (r < 0)
		return fail("start the dataplane", r);
	for (unsigned cpu = 0; cpu < ABI_MAX_CORES; cpu++) {
		fd = dataplane_doorbell_fd(cpu);
		if (fd < 0)
			continue;
		doorbells[nr++] = fd;
		mask |= 1U << cpu;
	}
	r = launch_setup(&leatd->launch, dataplane_control_fd(), doorbells, mask, &stage);
	if (r < 0)
		return fail(launch_stage_text(stage), r);
	r = loop_add(&leatd->loop, &leatd->launch_source);
	if (r == 0)
		r = loop_add(&leatd->loop, &leatd->listener_source);
	return r < 0 ? fail("watch the launcher", r) : 0;
}

/* taskset and cpusets count: no more vcpus than cores to run them. */
static unsigned cpus_allowed(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) < 0)
		return 1;
	return MIN((unsigned)CPU_COUNT(&set), ABI_MAX_VCPUS);
}

static int leatd_begin(struct leatd *leatd, const struct options *options)
{
	int r;

	dataplane_prepare(); /* inherited by the launcher and all instances */
	leatd->private = options->private;
	leatd->nr_cpus = cpus_allowed();
	list_init(&leatd->instances);
	list_init(&leatd->clients);
	list_init(&leatd->ports);
	leatd->idle_timer.due = idle_due;
	r = loop_init(&leatd->loop);
	if (r == 0)
		r = signals_start(leatd);
	if (r == 0)
		r = pool_init(&leatd->uids, STATE_UIDS);
	if (r == 0)
		r = ipam_init(&leatd->ipam);
	leatd->tenants = json_object();
	leatd->tenant_shares = json_object();
	leatd->function_tags = json_object();
	if (r == 0 && (leatd->tenants == NULL || leatd->tenant_shares == NULL ||
		       leatd->function_tags == NULL))
		r = -ENOMEM;
	if (r < 0)
		return fail("start", r);
	if (options->signer != NULL) {
		r = filter_signer_read(leatd, options->signer);
		if (r < 0)
			return r;
	}
	r = state_open(&leatd->state, options->state_dir);
	if (r == -EBUSY)
		log_line(LOG_ERROR, "another leatd uses %s; end it, or give --state-dir",
			 options->state_dir);
	if (r < 0)
		return r == -EBUSY ? r : fail("use the state directory", r);
	outputs_clean(leatd);
	r = launcher_begin(leatd);
	if (r < 0)
		return r;
	leatd->cgroup_error = cgroup_root_init(&leatd->cgroup, leatd->state.uid_low);
	r = dataplane_begin(leatd, options);
	if (r < 0)
		return r;
	filter_load_default(leatd); /* says itself what is wrong; --filter works without */
	r = control_start(leatd);
	return r < 0 ? fail("open the control socket", r) : 0;
}

static void leatd_end(struct leatd *leatd)
{
	control_stop(leatd);
	instances_finish(leatd);
	ports_finish(leatd);
	if (leatd->launch.pid > 0)
		launch_finish(&leatd->launch);
	dataplane_stop();
	if (leatd->cgroup_error == 0)
		cgroup_root_finish(&leatd->cgroup);
	ebpf_object_unref(leatd->default_filter);
	filter_proofs_finish(leatd);
	image_close(&leatd->image);
	json_decref(leatd->tenants);
	json_decref(leatd->tenant_shares);
	json_decref(leatd->function_tags);
	ipam_finish(&leatd->ipam);
	pool_finish(&leatd->uids);
	state_close(&leatd->state);
	loop_finish(&leatd->loop);
}

int main(int argc, char **argv)
{
	static struct leatd leatd = {.launch = {.fd = -1, .listener = -1},
				     .image = {.fd = -1},
				     .control_source = {.fd = -1},
				     .state = {.dir_fd = -1, .lock_fd = -1, .uid_lock_fd = -1}};
	struct options options;
	int r = options_parse(argc, argv, &options);

	if (r != 0)
		return r > 0 ? EXIT_SUCCESS : EXIT_LEAT;
	if (geteuid() != 0) {
		fputs("leatd: cannot run without root: it makes namespaces and uids; use sudo\n",
		      stderr);
		return EXIT_LEAT;
	}
	r = leatd_begin(&leatd, &options);
	if (r == -EBUSY)
		return EXIT_LEAT;
	if (r == 0) {
		leatd_idle_check(&leatd);
		r = loop_run(&leatd.loop);
	}
	leatd_end(&leatd);
	return r < 0 ? EXIT_LEAT : leatd.exit_code;
}
