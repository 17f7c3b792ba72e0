/*
 * model.c - two instances that talk to each other through the real dataplane, without a libOS: the
 * benchmark by which modes and limits of the dataplane threads were chosen.
 *
 *	dpu-model FILTER.bpf.o [in-flight] [client-ns] [server-ns] [seconds]
 *
 * Each instance is a process with one kthread: it takes frames, works, answers, lingers, parks, as
 * window.h says. Prints requests a second, the mean round trip, and what the two spent.
 */
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "apps/leatd/dataplane.h"
#include "bpf/bpf.h"
#include "tests/dpu/driver.h"
#include "tests/dpu/kthread.h"

#define FRAME_BYTES 100U

struct shared {
	atomic_uint go, stop;
	_Atomic(uint64_t) requests, parks, yields;
};

static struct shared *shared;
static const struct abi_control *control;
static unsigned in_flight = 50;
static uint64_t work_ns[2] = {2200, 2700};

static void burn(uint64_t ns)
{
	uint64_t until = kthread_now_ns() + ns;

	while (kthread_now_ns() < until)
		;
}

static uint32_t ip_of(unsigned i)
{
	return 0x0000630aU | (2 + i) << 24;
}

static void frame_make(unsigned from, uint8_t *f)
{
	uint32_t src = ip_of(from), dst = ip_of(!from);
	const uint8_t head[] = {2, 0x1e, 0xa7, 0, 0, (uint8_t)(1 + !from),
				2, 0x1e, 0xa7, 0, 0, (uint8_t)(1 + from),
				8, 0,    0x45, 0, 0, FRAME_BYTES - 14};

	memset(f, 0, FRAME_BYTES);
	memcpy(f, head, sizeof(head));
	f[22] = 64;
	f[23] = 17;
	memcpy(f + 26, &src, 4);
	memcpy(f + 30, &dst, 4);
}

/* ---- an instance ---- */

struct model {
	unsigned who;
	struct driver *driver;
	struct kthread kt;
	uint8_t frame[FRAME_BYTES];
	uint64_t requests;
};

static unsigned take(struct model *model)
{
	struct virtio_net_hdr_mrg_rxbuf hdr;
	uint8_t got[DRIVER_BUFFER_BYTES];
	unsigned n = 0;

	while (n < 16 && driver_receive(model->driver, 0, &hdr, got, sizeof(got))) {
		burn(work_ns[model->who]);
		driver_send(model->driver, 0, NULL, model->frame, FRAME_BYTES, 1024);
		n++;
	}
	driver_reclaim(model->driver, 0);
	return n;
}

static bool pending(void *arg)
{
	const struct driver_queue *rx = &((struct driver *)arg)->rx[0];

	return __atomic_load_n(&rx->used->idx, __ATOMIC_RELAXED) != rx->used_seen;
}

static void model_run(struct model *model)
{
	struct kthread *kt = &model->kt;

	while (!atomic_load_explicit(&shared->stop, memory_order_relaxed)) {
		unsigned n = take(model);

		if (n) {
			model->requests += n;
			kthread_give_way(kt);
		} else {
			kthread_idle(kt, pending, model->driver, kthread_now_ns() + 100000000U);
		}
		if (kthread_preempt_asked(kt))
			kthread_park(kt, 0, true);
	}
}

static void instance_main(unsigned who, struct driver *driver, const struct driver *other)
{
	struct model model = {.who = who, .driver = driver};

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	kthread_init(&model.kt, control, driver->window);
	kthread_wait_grant(&model.kt);
	driver_start(driver, DRIVER_RING);
	while (!__atomic_load_n(&other->dev->driver_status, __ATOMIC_ACQUIRE))
		usleep(1000);
	frame_make(who, model.frame);
	for (unsigned i = 0; who == 0 && i < in_flight; i++)
		driver_send(driver, 0, NULL, model.frame, FRAME_BYTES, 1024);
	model_run(&model);
	if (who == 0)
		atomic_store(&shared->requests, model.requests);
	atomic_fetch_add(&shared->parks, model.kt.parks);
	atomic_fetch_add(&shared->yields, model.kt.yields);
	_exit(0);
}

/* ---- leatd's part ---- */

static void log_line(const char *line)
{
	fprintf(stderr, "dataplane: %s\n", line);
}

static struct ebpf_object *filter_load(const char *path)
{
	static char elf[1 << 20], log[EBPF_LOG_SIZE];
	FILE *file = fopen(path, "rb");
	struct ebpf_object *object;
	size_t size;

	if (!file) {
		perror(path);
		exit(1);
	}
	size = fread(elf, 1, sizeof(elf), file);
	fclose(file);
	if (ebpf_object_load(elf, size, log, sizeof(log), &object)) {
		fputs(log, stderr);
		exit(1);
	}
	return object;
}

static struct dp_instance *instance_add(unsigned i, const struct driver *driver,
					struct ebpf_object *filter)
{
	struct dp_instance_config config = {
		.id = 1 + i,
		.tenant = 1,
		.nr_vcpus = 1,
		.window_fd = driver->fd,
		.mac = {2, 0x1e, 0xa7, 0, 0, (uint8_t)(1 + i)},
		.mtu = 1500,
		.ipv4_be = ip_of(i),
		.prefix_len = 16,
		.filter = filter,
	};
	struct dp_instance *inst;
	int r = dataplane_instance_add(&config, &inst);

	if (r) {
		fprintf(stderr, "instance %u: %s\n", i, strerror(-r));
		exit(1);
	}
	return inst;
}

static double seconds_of(struct timeval tv)
{
	return (double)tv.tv_sec + (double)tv.tv_usec / 1e6;
}

static void report(uint64_t requests, double seconds)
{
	struct rusage own, kids;

	getrusage(RUSAGE_SELF, &own);
	getrusage(RUSAGE_CHILDREN, &kids);
	printf("in_flight %u: %.0f requests/s, round trip %.1f us, parks %llu, yields each %.2f, "
	       "cpu: instances %.2f dataplane %.2f cores\n",
	       in_flight, (double)requests / seconds, seconds * 1e6 * in_flight / (double)requests,
	       (unsigned long long)shared->parks, (double)shared->yields / (double)requests,
	       (seconds_of(kids.ru_utime) + seconds_of(kids.ru_stime)) / seconds,
	       (seconds_of(own.ru_utime) + seconds_of(own.ru_stime)) / seconds);
}

int main(int argc, char **argv)
{
	struct dataplane_config config = {.netns = "leat-model",
					  .uplink_name = "leat0",
					  .uplink_ip_be = 0x0100630a,
					  .uplink_prefix = 16,
					  .log = log_line};
	double seconds = argc > 5 ? atof(argv[5]) : 2;
	struct dp_instance *inst[2];
	struct ebpf_object *filter;
	struct driver driver[2];
	pid_t pid[2];

	if (argc < 2) {
		fprintf(stderr, "usage: %s FILTER [in-flight [client-ns server-ns [seconds]]]\n",
			argv[0]);
		return 2;
	}
	if (argc > 2)
		in_flight = (unsigned)atoi(argv[2]);
	if (argc > 3)
		work_ns[0] = (uint64_t)atol(argv[3]);
	if (argc > 4)
		work_ns[1] = (uint64_t)atol(argv[4]);
	filter = filter_load(argv[1]);
	shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED || dataplane_start(&config)) {
		fprintf(stderr, "no dataplane\n");
		return 1;
	}
	if (dataplane_uplink_wait(5000))
		fprintf(stderr, "no uplink\n");
	control = mmap(NULL, 4096, PROT_READ, MAP_SHARED, dataplane_control_fd(), 0);
	for (unsigned i = 0; i < 2; i++) {
		if (driver_create(&driver[i]))
			return 1;
		inst[i] = instance_add(i, &driver[i], filter);
	}
	for (unsigned i = 2; i-- > 0;) {
		pid[i] = fork();
		if (pid[i] == 0)
			instance_main(i, &driver[i], &driver[!i]);
	}
	usleep((useconds_t)(seconds * 1e6));
	atomic_store(&shared->stop, 1);
	for (unsigned i = 0; i < 2; i++) {
		dataplane_instance_signal(inst[i], 1);
		waitpid(pid[i], NULL, 0);
	}
	report(shared->requests, seconds);
	for (unsigned i = 0; i < 2; i++) {
		struct dp_instance_stats stats;

		dataplane_instance_stats(inst[i], &stats);
		printf("  instance %u: grants %llu moves %llu preempts %llu evictions %llu "
		       "rx_full %llu "
		       "tx_reason %s\n",
		       i, (unsigned long long)stats.vcpu[0].grants,
		       (unsigned long long)stats.vcpu[0].moves,
		       (unsigned long long)stats.vcpu[0].preempts,
		       (unsigned long long)stats.vcpu[0].evictions,
		       (unsigned long long)stats.port.drops_rx[DPU_DROP_RX_FULL],
		       dpu_reason_name(stats.queue[0].tx_reason));
		dataplane_instance_remove(inst[i]);
	}
	dataplane_stop();
	ebpf_object_unref(filter);
	return 0;
}
