/*
 * dataplane.c - the dataplane as a whole: its threads, its control page, its uplink.
 */
#include "apps/leatd/dataplane_private.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bpf/bpf.h"

#define UPLINK_WAIT_MS 5000
#define NETNS_TRIES 64U /* leatd's beside each other */
#define LINGER_NS 50000U
#define SLICE_NS 100000U /* the kernel's least */

struct dp dp = {.control_fd = -1,
		.netns_fd = -1,
		.netns_lock_fd = -1,
		.control = PTHREAD_MUTEX_INITIALIZER};

void dp_log(const char *format, ...)
{
	char line[256];
	va_list args;

	if (!dp.config.log)
		return;
	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	dp.config.log(line);
}

/* ---- control page ---- */

/* Only our mapping, made first, can write: later writable ones are sealed off. */
static int control_page_make(void)
{
	int fd = memfd_create("leat-control", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	void *page;

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, ABI_PAGE_SIZE))
		goto fail;
	page = mmap(NULL, ABI_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (page == MAP_FAILED)
		goto fail;
	if (fcntl(fd, F_ADD_SEALS,
		  F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL)) {
		munmap(page, ABI_PAGE_SIZE);
		goto fail;
	}
	dp.control_page = page;
	dp.control_fd = fd;
	dp.control_page->magic = ABI_MAGIC;
	dp.control_page->version = ABI_VERSION;
	dp.control_page->linger_ns = LINGER_NS;
	return 0;
fail:
	close(fd);
	return -errno;
}

/* ---- cores ---- */

static int core_prepare(unsigned index, unsigned cpu)
{
	struct dp_core *core = &dp.core[index];
	struct epoll_event event = {.events = EPOLLIN};

	*core = (struct dp_core){.index = index, .cpu = cpu, .pub = &dp.control_page->core[cpu]};
	core->doorbell_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	core->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	event.data.fd = core->doorbell_fd;
	if (core->doorbell_fd < 0 || core->epoll_fd < 0 ||
	    epoll_ctl(core->epoll_fd, EPOLL_CTL_ADD, core->doorbell_fd, &event))
		return -errno;
	return 0;
}

static int cores_prepare(void)
{
	cpu_set_t set;
	int r;

	if (sched_getaffinity(0, sizeof(set), &set))
		return -errno;
	for (unsigned cpu = 0; cpu < ABI_MAX_CORES; cpu++) {
		if (!CPU_ISSET(cpu, &set))
			continue;
		r = core_prepare(dp.nr_cores, cpu);
		if (r)
			return r;
		dp.nr_cores++;
		dp.control_page->nr_cores = cpu + 1;
	}
	return dp.nr_cores ? 0 : -ENODEV;
}

static int threads_start(void)
{
	sigset_t all, before;
	int r = 0;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	for (unsigned i = 0; !r && i < dp.nr_cores; i++) {
		r = -pthread_create(&dp.core[i].thread, NULL, dp_thread_main, &dp.core[i]);
		dp.core[i].running = !r;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return r;
}

/* ---- uplink ---- */

static void uplink_watch(int fd)
{
	/* one sleeping core is enough for a frame from outside */
	struct epoll_event event = {.events = EPOLLIN | EPOLLEXCLUSIVE, .data.fd = fd};

	for (unsigned i = 0; i < dp.nr_cores; i++)
		if (epoll_ctl(dp.core[i].epoll_fd, EPOLL_CTL_ADD, fd, &event))
			dp_log("core %u cannot wait for the uplink: %s", dp.core[i].cpu,
			       strerror(errno));
}

/*
 * Enters the namespace and makes the TAP. Where the TAP of another leatd is already there, a
 * namespace of our own beside it: NAME-2, NAME-3, ... Returns the TAP's descriptor.
 */
static int netns_and_tap_make(void)
{
	int fd = -EBUSY;

	dp_netns_sweep();
	for (unsigned i = 1; i <= NETNS_TRIES && fd == -EBUSY; i++) {
		if (i == 1)
			snprintf(dp.netns, sizeof(dp.netns), "%s", dp.config.netns);
		else
			snprintf(dp.netns, sizeof(dp.netns), "%s-%u", dp.config.netns, i);
		if (dp.netns_fd >= 0)
			close(dp.netns_fd);
		dp.netns_fd = dp_netns_open(dp.netns, &dp.netns_lock_fd);
		if (dp.netns_fd < 0)
			return dp.netns_fd;
		fd = dp_tap_open(dp.config.uplink_name, dp.config.uplink_ip_be,
				 dp.config.uplink_prefix);
	}
	return fd;
}

static int uplink_make(void)
{
	struct dpu_uplink *uplink;
	int fd, r;

	fd = netns_and_tap_make();
	if (fd < 0)
		return fd;
	r = dpu_eal_start();
	if (!r)
		r = dpu_uplink_attach_tap(dp.dpu, fd, &uplink);
	if (r) {
		close(fd);
		return r;
	}
	atomic_store(&dp.uplink, uplink);
	uplink_watch(fd);
	return 0;
}

/* On a thread of its own: it changes its namespace, and DPDK pins it. */
static void *uplink_main(void *arg)
{
	int r = uplink_make();

	(void)arg;
	if (r)
		dp_log("uplink %s in network namespace %s: %s", dp.config.uplink_name, dp.netns,
		       strerror(-r));
	/* release: pairs with the acquire in dataplane_uplink_state, for netns_fd */
	atomic_store_explicit(&dp.uplink_state, r, memory_order_release);
	return NULL;
}

int dataplane_uplink_state(void)
{
	return atomic_load_explicit(&dp.uplink_state, memory_order_acquire);
}

int dataplane_uplink_wait(int timeout_ms)
{
	const struct timespec nap = {.tv_nsec = 1000000};
	uint64_t until_ns = dp_now_ns() + (uint64_t)timeout_ms * 1000000U;

	while (dataplane_uplink_state() == -EINPROGRESS && dp_now_ns() < until_ns)
		nanosleep(&nap, NULL);
	return dataplane_uplink_state();
}

int dataplane_uplink_netns(void)
{
	int r = dataplane_uplink_wait(UPLINK_WAIT_MS);

	return r < 0 ? r : dp.netns_fd;
}

/* ---- start and stop ---- */

/* struct sched_attr of the kernel, version 0; glibc has none. */
struct slice_attr {
	uint32_t size;
	uint32_t policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime_ns; /* for SCHED_OTHER: the slice (Linux 6.12) */
	uint64_t deadline_ns;
	uint64_t period_ns;
};

int dp_class_other(int tid)
{
	struct slice_attr attr = {.size = sizeof(attr),
				  .policy = SCHED_OTHER,
				  .runtime_ns = SLICE_NS};

	return syscall(SYS_sched_setattr, tid, &attr, 0) ? -errno : 0;
}

void dataplane_prepare(void)
{
	/* a leader already is what we want to be */
	if (setsid() < 0 && getsid(0) != getpid())
		dp_log("no session of our own: instances will not take turns well");
	(void)dp_class_other(0); /* older kernels have one slice for all, which will do */
}

static int start(void)
{
	struct dpu_config dpu_config = {
		.ops = {.work = dp_work, .steer = dp_steer, .kick_fd = dp_kick_fd}};
	struct sched_config sched_config = {0};
	int r;

	r = control_page_make();
	if (!r)
		r = cores_prepare();
	if (r)
		return r;
	dpu_config.nr_cores = dp.nr_cores;
	ebpf_cpus_set(MIN(dp.nr_cores, (unsigned)EBPF_CPUS_MAX));
	dpu_config.service_ip_be = dp.config.service_ip_be;
	sched_config.nr_cores = dp.nr_cores;
	dp_sched_host_init(&sched_config.host);
	r = dpu_create(&dpu_config, &dp.dpu);
	if (!r)
		r = sched_create(&sched_config, &dp.sched);
	if (!r)
		r = dpu_sigbus_guard();
	if (!r)
		r = dp_enforcer_start();
	if (!r)
		r = threads_start();
	if (!r) {
		atomic_store(&dp.uplink_state, -EINPROGRESS);
		r = -pthread_create(&dp.uplink_thread, NULL, uplink_main, NULL);
		if (r)
			atomic_store(&dp.uplink_state, r);
	}
	return r;
}

int dataplane_start(const struct dataplane_config *config)
{
	int r;

	if (dp.dpu)
		return -EALREADY;
	dp.config = *config;
	r = start();
	if (r)
		dataplane_stop();
	return r;
}

static void cores_stop(void)
{
	uint64_t one = 1;

	atomic_store(&dp.stopping, true);
	for (unsigned i = 0; i < dp.nr_cores; i++)
		if (write(dp.core[i].doorbell_fd, &one, sizeof(one)) < 0)
			dp_log("doorbell of core %u does not ring", dp.core[i].cpu);
	for (unsigned i = 0; i < dp.nr_cores; i++) {
		if (dp.core[i].running)
			pthread_join(dp.core[i].thread, NULL);
		close(dp.core[i].doorbell_fd);
		close(dp.core[i].epoll_fd);
	}
	dp.nr_cores = 0;
}

void dataplane_stop(void)
{
	proxy_stop();
	if (dp.uplink_thread)
		pthread_join(dp.uplink_thread, NULL);
	dpu_uplink_detach(atomic_exchange(&dp.uplink, NULL));
	cores_stop();
	dataplane_sched_trace_stop();
	dp_enforcer_stop();
	sched_destroy(dp.sched);
	dpu_destroy(dp.dpu);
	if (dp.netns_fd >= 0)
		close(dp.netns_fd);
	if (dp.netns_lock_fd >= 0)
		dp_netns_remove(dp.netns, dp.netns_lock_fd);
	if (dp.control_page)
		munmap(dp.control_page, ABI_PAGE_SIZE);
	if (dp.control_fd >= 0)
		close(dp.control_fd);
	dp.sched = NULL;
	dp.dpu = NULL;
	dp.control_page = NULL;
	dp.control_fd = -1;
	dp.netns_fd = -1;
	dp.netns_lock_fd = -1;
	dp.uplink_thread = 0;
	atomic_store(&dp.stopping, false);
}

const char *dataplane_netns(void)
{
	return dataplane_uplink_state() == 0 ? dp.netns : dp.config.netns;
}

int dataplane_control_fd(void)
{
	return dp.control_fd;
}

unsigned dataplane_nr_cores(void)
{
	return dp.nr_cores;
}

void dataplane_core_get(unsigned cpu, struct abi_core *ret_core)
{
	const struct abi_core *core = &dp.control_page->core[cpu];

	*ret_core = (struct abi_core){
		.state = __atomic_load_n(&core->state, __ATOMIC_RELAXED),
		.grants = __atomic_load_n(&core->grants, __ATOMIC_RELAXED),
		.waiting = __atomic_load_n(&core->waiting, __ATOMIC_RELAXED),
	};
}

void dataplane_uplink_stats(struct dpu_uplink_stats *ret_stats)
{
	dpu_uplink_stats_get(dp.dpu, ret_stats);
}

int dataplane_doorbell_fd(unsigned cpu)
{
	for (unsigned i = 0; i < dp.nr_cores; i++)
		if (dp.core[i].cpu == cpu)
			return dp.core[i].doorbell_fd;
	return -ENOENT;
}
