/*
 * run.c - programs as instances on the real dataplane, without leatd's control thread: a tool for
 * measuring and profiling.
 *
 *	dpu-run [-c VCPUS] [-p HOST:GUEST] [-s] [-t] LAUNCHER IMAGE FILTER PROGRAM [ARG...] [--
 *PROGRAM [ARG...]]...
 *
 * The programs get 10.99.0.2, 10.99.0.3, ... in their order, each starts when the one before it has
 *run for half a second, and when the last one ends the others are killed. -p publishes a port of
 *the first one; -s prints what passed through the queues, -t traces calls.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "apps/leatd/dataplane.h"
#include "apps/leatd/launch.h"
#include "bpf/bpf.h"

#define INSTANCES_MAX 8U
#define UID_LOW 1900000U
#define ARGS_MAX 64
#define START_MS 500

struct instance {
	char *argv[ARGS_MAX + 1];
	struct dp_instance *dp;
	bool gone;
	int status;
};

static struct instance instances[INSTANCES_MAX];
static unsigned nr_instances, nr_started;
static struct launch launch;
static unsigned nr_vcpus = 1;
static bool trace;
static struct ebpf_object *filter;

static void die(const char *what, int r)
{
	fprintf(stderr, "dpu-run: %s: %s\n", what, strerror(r < 0 ? -r : r));
	exit(1);
}

static void log_line(const char *line)
{
	fprintf(stderr, "dataplane: %s\n", line);
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000U + (uint64_t)ts.tv_nsec;
}

static struct ebpf_object *filter_read(const char *path)
{
	static char elf[1 << 20], log[EBPF_LOG_SIZE];
	FILE *file = fopen(path, "rb");
	struct ebpf_object *object;
	size_t size;

	if (!file)
		die(path, errno);
	size = fread(elf, 1, sizeof(elf), file);
	fclose(file);
	if (ebpf_object_load(elf, size, log, sizeof(log), &object)) {
		fputs(log, stderr);
		exit(1);
	}
	return object;
}

static int window_create(void)
{
	int fd = memfd_create("leat-window", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, ABI_WINDOW_SIZE) ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		die("window", errno);
	return fd;
}

static void setup(const char *image_path)
{
	struct launch_pool pool = {UID_LOW, 1000, UID_LOW + 1000};
	struct dataplane_config config = {
		.netns = "leat-run",
		.uplink_name = "leat0",
		.uplink_ip_be = htonl(0x0a630001),
		.uplink_prefix = 16,
		.log = log_line,
	};
	int doorbells[ABI_MAX_CORES];
	enum launcher_stage stage;
	struct image image;
	uint32_t mask = 0;
	unsigned nr = 0;
	int r = image_open(image_path, &image);

	if (!r)
		r = launch_init(&launch, &image, &pool, &stage);
	if (r)
		die("image", r);
	r = dataplane_start(&config);
	if (r)
		die("dataplane", r);
	for (unsigned cpu = 0; cpu < ABI_MAX_CORES; cpu++) {
		if (dataplane_doorbell_fd(cpu) < 0)
			continue;
		doorbells[nr++] = dataplane_doorbell_fd(cpu);
		mask |= 1U << cpu;
	}
	r = launch_setup(&launch, dataplane_control_fd(), doorbells, mask, &stage);
	if (r)
		die(launch_stage_text(stage), r);
	dataplane_uplink_wait(5000);
}

static void instance_start(unsigned i)
{
	char *const envp[] = {(char[]){"PATH=/usr/bin:/bin"}, (char[]){"HOME=/"}, NULL};
	struct dp_instance_config config = {
		.id = 1 + i,
		.tenant = 1,
		.nr_vcpus = nr_vcpus,
		.window_fd = window_create(),
		.mac = {2, 0x1e, 0xa7, 0, 0, (uint8_t)(1 + i)},
		.mtu = 1500,
		.ipv4_be = htonl(0x0a630002 + i),
		.gateway_be = htonl(0x0a630001),
		.prefix_len = 16,
		.filter = filter,
	};
	struct launch_request req = {
		.instance = 1 + i,
		.uid = UID_LOW + i,
		.nr_vcpus = nr_vcpus,
		.nproc = 256,
		.nofile = 1024,
		.umask = 022,
		.trace = trace,
		.stack_max = 8U << 20,
		.launched_ns = now_ns(),
		.program = instances[i].argv[0],
		.cwd = "/",
		.hostname = "leat",
		.argv = instances[i].argv,
		.envp = envp,
		.stdio = {0, 1, 2},
		.window_fd = config.window_fd,
		.root_fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC),
		.exec_fd = -1,
		.cwd_fd = -1,
		.cgroup_fd = -1,
		.snapshot_fd = -1,
	};
	int r = dataplane_instance_add(&config, &instances[i].dp);

	if (!r) {
		dataplane_instance_block(instances[i].dp)->trace = trace;
		r = launch_start(&launch, &req);
	}
	if (r)
		die(instances[i].argv[0], r);
	close(req.root_fd);
	close(config.window_fd);
	nr_started++;
}

static void reply_handle(void)
{
	struct launcher_reply reply;
	struct instance *inst;
	int fd = -1;

	if (launch_receive(&launch, true, &reply, &fd) != 1)
		die("the launcher is gone", EPIPE);
	inst = reply.instance ? &instances[reply.instance - 1] : NULL;
	if (reply.msg.type == LAUNCHER_STARTED)
		dataplane_instance_set_process(inst->dp, (int)reply.pid,
					       UID_LOW + reply.instance - 1);
	else if (reply.msg.type == LAUNCHER_FAILED)
		die(launch_stage_text(reply.stage), reply.error);
	else if (reply.msg.type == LAUNCHER_EXITED)
		inst->status = reply.status;
	else if (reply.msg.type == LAUNCHER_GONE)
		inst->gone = true;
	if (fd >= 0)
		close(fd);
}

/* A host call that the sandbox forbids: says which, and ends that instance. */
static void violation_handle(void)
{
	struct seccomp_notif notif;

	memset(&notif, 0, sizeof(notif));
	if (ioctl(launch.listener, SECCOMP_IOCTL_NOTIF_RECV, &notif))
		return;
	fprintf(stderr, "dpu-run: forbidden call %d (%llx, %llx, %llx, %llx) at %llx in %u\n",
		notif.data.nr, notif.data.args[0], notif.data.args[1], notif.data.args[2],
		notif.data.args[3], notif.data.instruction_pointer, notif.pid);
	for (unsigned i = 0; i < nr_started; i++)
		launch_kill(&launch, 1 + i);
}

static void wait_for(unsigned i, int timeout_ms)
{
	struct pollfd fds[2] = {{launch.fd, POLLIN, 0}, {launch.listener, POLLIN, 0}};
	uint64_t until_ns = now_ns() + (uint64_t)timeout_ms * 1000000U;

	while (!instances[i].gone) {
		int left_ms = timeout_ms < 0 ? -1 : (int)((until_ns - now_ns()) / 1000000U);

		if (timeout_ms >= 0 && now_ns() >= until_ns)
			return;
		if (poll(fds, 2, left_ms) <= 0)
			return;
		if (fds[0].revents)
			reply_handle();
		if (fds[1].revents)
			violation_handle();
	}
}

static void stats_print(unsigned i)
{
	struct dp_instance_stats stats;

	dataplane_instance_stats(instances[i].dp, &stats);
	for (unsigned v = 0; v < stats.nr_vcpus; v++)
		fprintf(stderr,
			"%s vcpu %u: tx %llu rx %llu %s %s, grants %llu moves %llu preempts %llu "
			"evictions %llu delay %.1f us\n",
			instances[i].argv[0], v, (unsigned long long)stats.queue[v].tx_packets,
			(unsigned long long)stats.queue[v].rx_packets,
			dpu_reason_name(stats.queue[v].tx_reason),
			dpu_reason_name(stats.queue[v].rx_reason),
			(unsigned long long)stats.vcpu[v].grants,
			(unsigned long long)stats.vcpu[v].moves,
			(unsigned long long)stats.vcpu[v].preempts,
			(unsigned long long)stats.vcpu[v].evictions,
			stats.vcpu[v].grants ? (double)stats.vcpu[v].delay_ns_sum / 1e3 /
						       (double)stats.vcpu[v].grants :
					       0);
	for (unsigned d = 0; d < DPU_DROP_COUNT; d++)
		if (stats.port.drops_tx[d] || stats.port.drops_rx[d])
			fprintf(stderr, "  dropped %s: tx %llu rx %llu\n", dpu_drop_name(d),
				(unsigned long long)stats.port.drops_tx[d],
				(unsigned long long)stats.port.drops_rx[d]);
}

static void publish(const char *text)
{
	struct dp_publish what = {
		.host_ip_be = htonl(INADDR_LOOPBACK),
		.host_port = (uint16_t)atoi(text),
		.guest_ip_be = htonl(0x0a630002),
		.guest_port = (uint16_t)atoi(strchr(text, ':') ? strchr(text, ':') + 1 : text),
	};
	char error[128];
	unsigned id;

	if (dataplane_publish(&what, error, sizeof(error), &id)) {
		fprintf(stderr, "dpu-run: %s\n", error);
		exit(1);
	}
}

static void programs_parse(char **argv)
{
	unsigned n = 0;

	nr_instances = 1;
	for (; *argv; argv++) {
		if (strcmp(*argv, "--") == 0 && nr_instances < INSTANCES_MAX) {
			nr_instances++;
			n = 0;
		} else if (n < ARGS_MAX) {
			instances[nr_instances - 1].argv[n++] = *argv;
		}
	}
}

int main(int argc, char **argv)
{
	const char *port = NULL;
	bool stats = false;
	int option, r;

	while ((option = getopt(argc, argv, "+c:p:st")) > 0) {
		if (option == 'c')
			nr_vcpus = (unsigned)atoi(optarg);
		else if (option == 'p')
			port = optarg;
		else if (option == 't')
			trace = true;
		else if (option == 's')
			stats = true;
	}
	if (argc - optind < 4) {
		fprintf(stderr, "usage: see the source\n");
		return 2;
	}
	setsid(); /* one scheduling group: docs/dataplane.md; fails for a leader, which is as good
		   */
	r = launch_process(argv[optind], &launch);
	if (r)
		die(argv[optind], r);
	filter = filter_read(argv[optind + 2]);
	programs_parse(argv + optind + 3);
	setup(argv[optind + 1]);
	if (port)
		publish(port);
	for (unsigned i = 0; i < nr_instances; i++) {
		instance_start(i);
		wait_for(i, i + 1 < nr_instances ? START_MS : -1);
	}
	for (unsigned i = 0; i < nr_instances; i++) {
		if (!instances[i].gone)
			launch_kill(&launch, 1 + i);
		wait_for(i, 2000);
		if (stats)
			stats_print(i);
		dataplane_instance_remove(instances[i].dp);
	}
	launch_finish(&launch);
	dataplane_stop();
	ebpf_object_unref(filter);
	r = instances[nr_instances - 1].status;
	return WIFEXITED(r) ? WEXITSTATUS(r) : 128 + WTERMSIG(r);
}
