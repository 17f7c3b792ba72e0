/*
 * proc_root.c - /proc itself: what programs read about the system, showing the instance's own
 * share.
 */
#include <asm/hwcap2.h>
#include <errno.h>
#include <string.h>

#include <cpuid.h>

#include "leat/base/bits.h"
#include "libos/clock.h"
#include "libos/cputime.h"
#include "libos/fs/proc.h"
#include "libos/instance.h"
#include "libos/meminfo.h"
#include "libos/timespec.h"

#define USER_HZ 100UL
#define CPUID_BRAND_FIRST 0x80000002U
#define CPUID_BRAND_LAST 0x80000004U

/* ---- cpuinfo ---- */

static void cpu_vendor(char vendor[13])
{
	unsigned eax, ebx, ecx, edx;

	__cpuid(0, eax, ebx, ecx, edx);
	memcpy(vendor, &ebx, 4);
	memcpy(vendor + 4, &edx, 4);
	memcpy(vendor + 8, &ecx, 4);
	vendor[12] = '\0';
}

static void cpu_brand(char brand[49])
{
	unsigned regs[4], max;

	memset(brand, 0, 49);
	__cpuid(0x80000000U, max, regs[1], regs[2], regs[3]);
	for (unsigned leaf = CPUID_BRAND_FIRST; leaf <= CPUID_BRAND_LAST && leaf <= max; leaf++) {
		__cpuid(leaf, regs[0], regs[1], regs[2], regs[3]);
		memcpy(brand + (leaf - CPUID_BRAND_FIRST) * 16, regs, 16);
	}
}

/* Names of feature bits, in the kernel's spelling, that programs look for. */
struct cpu_flag {
	char name[16];
	uint8_t leaf; /* 1: leaf 1, 7: leaf 7 */
	uint8_t reg;  /* 1 ebx, 2 ecx, 3 edx */
	uint8_t bit;
};

static const struct cpu_flag cpu_flags[] = {
	{"fpu", 1, 3, 0},         {"tsc", 1, 3, 4},          {"msr", 1, 3, 5},
	{"cx8", 1, 3, 8},         {"cmov", 1, 3, 15},        {"clflush", 1, 3, 19},
	{"mmx", 1, 3, 23},        {"fxsr", 1, 3, 24},        {"sse", 1, 3, 25},
	{"sse2", 1, 3, 26},       {"ht", 1, 3, 28},          {"pni", 1, 2, 0},
	{"pclmulqdq", 1, 2, 1},   {"ssse3", 1, 2, 9},        {"fma", 1, 2, 12},
	{"cx16", 1, 2, 13},       {"sse4_1", 1, 2, 19},      {"sse4_2", 1, 2, 20},
	{"movbe", 1, 2, 22},      {"popcnt", 1, 2, 23},      {"aes", 1, 2, 25},
	{"xsave", 1, 2, 26},      {"avx", 1, 2, 28},         {"f16c", 1, 2, 29},
	{"rdrand", 1, 2, 30},     {"hypervisor", 1, 2, 31},  {"fsgsbase", 7, 1, 0},
	{"bmi1", 7, 1, 3},        {"avx2", 7, 1, 5},         {"bmi2", 7, 1, 8},
	{"erms", 7, 1, 9},        {"avx512f", 7, 1, 16},     {"avx512dq", 7, 1, 17},
	{"rdseed", 7, 1, 18},     {"adx", 7, 1, 19},         {"avx512ifma", 7, 1, 21},
	{"clflushopt", 7, 1, 23}, {"clwb", 7, 1, 24},        {"avx512cd", 7, 1, 28},
	{"sha_ni", 7, 1, 29},     {"avx512bw", 7, 1, 30},    {"avx512vl", 7, 1, 31},
	{"avx512vbmi", 7, 2, 1},  {"gfni", 7, 2, 8},         {"vaes", 7, 2, 9},
	{"vpclmulqdq", 7, 2, 10}, {"avx512_vnni", 7, 2, 11}, {"fsrm", 7, 3, 4},
};

static void add_cpu_flags(struct strbuf *buf)
{
	unsigned one[4], seven[4];

	__cpuid(1, one[0], one[1], one[2], one[3]);
	__cpuid_count(7, 0, seven[0], seven[1], seven[2], seven[3]);
	if ((instance()->hwcap2 & HWCAP2_FSGSBASE) == 0)
		seven[1] &= ~1U; /* the CPU may have it: the kernel does not let programs use it */
	strbuf_add(buf, "flags\t\t:");
	for (unsigned i = 0; i < ARRAY_SIZE(cpu_flags); i++) {
		const unsigned *regs = cpu_flags[i].leaf == 1 ? one : seven;

		if ((regs[cpu_flags[i].reg] >> cpu_flags[i].bit & 1) != 0)
			strbuf_add(buf, " %s", cpu_flags[i].name);
	}
	strbuf_add(buf, " syscall nx lm constant_tsc rep_good nopl\n");
}

static int show_cpuinfo(const struct proc_object *object, struct strbuf *buf)
{
	unsigned nr = instance()->boot->nr_vcpus;
	unsigned eax, ebx, ecx, edx, family, model;
	char vendor[13], brand[49];

	(void)object;
	cpu_vendor(vendor);
	cpu_brand(brand);
	__cpuid(1, eax, ebx, ecx, edx);
	family = (eax >> 8 & 15) + ((eax >> 8 & 15) == 15 ? eax >> 20 & 255 : 0);
	model = (eax >> 4 & 15) | (eax >> 12 & 0xf0);
	for (unsigned cpu = 0; cpu < nr; cpu++) {
		strbuf_add(buf,
			   "processor\t: %u\nvendor_id\t: %s\ncpu family\t: %u\nmodel\t\t: %u\n",
			   cpu, vendor, family, model);
		strbuf_add(buf,
			   "model name\t: %s\nstepping\t: %u\nphysical id\t: 0\nsiblings\t: %u\n",
			   brand, eax & 15, nr);
		strbuf_add(buf, "core id\t\t: %u\ncpu cores\t: %u\napicid\t\t: %u\nfpu\t\t: yes\n",
			   cpu, nr, cpu);
		strbuf_add(buf, "cpuid level\t: 13\nwp\t\t: yes\n");
		add_cpu_flags(buf);
		strbuf_add(buf, "clflush size\t: 64\ncache_alignment\t: 64\n"
				"address sizes\t: 48 bits physical, 48 bits virtual\n\n");
	}
	return 0;
}

/* ---- memory and time ---- */

static int show_meminfo(const struct proc_object *object, struct strbuf *buf)
{
	struct meminfo mem;

	(void)object;
	meminfo_get(&mem);
	strbuf_add(buf,
		   "MemTotal:       %8lu kB\nMemFree:        %8lu kB\nMemAvailable:   %8lu kB\n",
		   (unsigned long)(mem.total_bytes / 1024), (unsigned long)(mem.free_bytes / 1024),
		   (unsigned long)(mem.free_bytes / 1024));
	strbuf_add(buf, "Buffers:        %8u kB\nCached:         %8lu kB\nSwapCached:     %8u kB\n",
		   0U, (unsigned long)(mem.shared_bytes / 1024), 0U);
	strbuf_add(buf, "SwapTotal:      %8u kB\nSwapFree:       %8u kB\nShmem:          %8lu kB\n",
		   0U, 0U, (unsigned long)(mem.shared_bytes / 1024));
	strbuf_add(buf, "HugePages_Total:   %5u\nHugePages_Free:    %5u\nHugepagesize:   %8u kB\n",
		   0U, 0U, 2048U);
	return 0;
}

/* The clock since which everything here counts is the host's. */
static int show_uptime(const struct proc_object *object, struct strbuf *buf)
{
	uint64_t up = clock_monotonic_ns(), all = up * instance()->boot->nr_vcpus,
		 busy = cputime_of_instance();
	uint64_t idle = all > busy ? all - busy : 0;

	(void)object;
	strbuf_add(buf, "%lu.%02lu %lu.%02lu\n", (unsigned long)(up / NS_PER_S),
		   (unsigned long)(up % NS_PER_S / 10000000), (unsigned long)(idle / NS_PER_S),
		   (unsigned long)(idle % NS_PER_S / 10000000));
	return 0;
}

/* Between tasks, on all vcpus. */
static uint64_t switches(void)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < instance()->boot->nr_vcpus; i++)
		sum += abi_vcpu_of(window(), i)->switches;
	return sum;
}

static int show_stat(const struct proc_object *object, struct strbuf *buf)
{
	unsigned nr = instance()->boot->nr_vcpus;
	uint64_t up = clock_monotonic_ns(), busy = cputime_of_instance();
	unsigned long tick = NS_PER_S / USER_HZ;
	unsigned long user = (unsigned long)(busy / tick);
	unsigned long idle = (unsigned long)((up * nr > busy ? up * nr - busy : 0) / tick);

	(void)object;
	strbuf_add(buf, "cpu  %lu 0 0 %lu 0 0 0 0 0 0\n", user, idle);
	for (unsigned cpu = 0; cpu < nr; cpu++)
		strbuf_add(buf, "cpu%u %lu 0 0 %lu 0 0 0 0 0 0\n", cpu, user / nr, idle / nr);
	strbuf_add(buf,
		   "intr 0\nctxt %lu\nbtime %lu\nprocesses %d\nprocs_running %u\nprocs_blocked 0\n",
		   (unsigned long)switches(),
		   (unsigned long)((clock_realtime_ns() - up) / NS_PER_S), instance()->last_tid,
		   instance()->nr_runnable + 1);
	return 0;
}

static int show_loadavg(const struct proc_object *object, struct strbuf *buf)
{
	(void)object;
	strbuf_add(buf, "0.00 0.00 0.00 %u/%u %d\n", instance()->nr_runnable + 1,
		   instance()->nr_tasks, instance()->last_tid);
	return 0;
}

/* There is one cgroup, and no controller of version 1. */
static int show_cgroups(const struct proc_object *object, struct strbuf *buf)
{
	(void)object;
	strbuf_add(buf, "#subsys_name\thierarchy\tnum_cgroups\tenabled\n"
			"cpu\t0\t1\t1\nmemory\t0\t1\t1\npids\t0\t1\t1\n");
	return 0;
}

static int show_swaps(const struct proc_object *object, struct strbuf *buf)
{
	(void)object;
	strbuf_add(buf, "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n");
	return 0;
}

/* No disk, no partition. */
static int show_partitions(const struct proc_object *object, struct strbuf *buf)
{
	(void)object;
	strbuf_add(buf, "major minor  #blocks  name\n\n");
	return 0;
}

static int show_nothing(const struct proc_object *object, struct strbuf *buf)
{
	(void)object;
	(void)buf;
	return 0;
}

static int show_vmstat(const struct proc_object *object, struct strbuf *buf)
{
	struct meminfo info;

	(void)object;
	meminfo_get(&info);
	strbuf_add(buf,
		   "nr_free_pages %lu\nnr_shmem %lu\npgpgin 0\npgpgout 0\npswpin 0\npswpout 0\n",
		   (unsigned long)(info.free_bytes / ABI_PAGE_SIZE),
		   (unsigned long)(info.shared_bytes / ABI_PAGE_SIZE));
	return 0;
}

static int show_version(const struct proc_object *object, struct strbuf *buf)
{
	(void)object;
	strbuf_add(buf, "Linux version %s (leat) %s\n", UTS_RELEASE, UTS_VERSION);
	return 0;
}

static int show_filesystems(const struct proc_object *object, struct strbuf *buf)
{
	(void)object;
	strbuf_add(buf, "nodev\tproc\nnodev\tsysfs\nnodev\ttmpfs\nnodev\toverlay\n");
	return 0;
}

/* ---- links to the current process ---- */

static int link_self(const struct proc_object *object, char *buf)
{
	(void)object;
	return fmt_print(buf, FS_NAME_MAX, "%d", current()->process->pid);
}

static int link_thread_self(const struct proc_object *object, char *buf)
{
	(void)object;
	return fmt_print(buf, FS_NAME_MAX, "%d/task/%d", current()->process->pid,
			 task_number(current()));
}

static int link_mounts(const struct proc_object *object, char *buf)
{
	(void)object;
	return fmt_print(buf, FS_NAME_MAX, "self/mounts");
}

static int link_net(const struct proc_object *object, char *buf)
{
	(void)object;
	return fmt_print(buf, FS_NAME_MAX, "self/net");
}

/* ---- processes ---- */

static const struct proc_entry *find_process(const struct proc_object *object, int number,
					     struct proc_object *ret_child)
{
	const struct task *task = task_find(number);

	(void)object;
	/* A thread's number works too, though it is not listed (proc(5)). */
	if (process_find(number) == NULL) {
		if (task == NULL)
			return NULL;
		number = task->process->pid;
	}
	*ret_child = (struct proc_object){.pid = number, .fd = -1};
	return &proc_pid_entry;
}

static int next_process(const struct proc_object *object, int from)
{
	struct list *pos;
	int best = -1;

	(void)object;
	list_for_each(pos, &instance()->processes) {
		int pid = list_entry(pos, struct process, all_node)->pid;

		if (pid >= from && (best < 0 || pid < best))
			best = pid;
	}
	return best;
}

static const struct proc_entry root_entries[] = {
	{.name = "cgroups", .mode = S_IFREG | 0444, .show = show_cgroups},
	{.name = "cpuinfo", .mode = S_IFREG | 0444, .show = show_cpuinfo},
	{.name = "diskstats", .mode = S_IFREG | 0444, .show = show_nothing},
	{.name = "filesystems", .mode = S_IFREG | 0444, .show = show_filesystems},
	{.name = "loadavg", .mode = S_IFREG | 0444, .show = show_loadavg},
	{.name = "meminfo", .mode = S_IFREG | 0444, .show = show_meminfo},
	{.name = "mounts", .mode = S_IFLNK | 0777, .readlink = link_mounts},
	{.name = "net", .mode = S_IFLNK | 0777, .readlink = link_net},
	{.name = "partitions", .mode = S_IFREG | 0444, .show = show_partitions},
	{.name = "self", .mode = S_IFLNK | 0777, .readlink = link_self},
	{.name = "stat", .mode = S_IFREG | 0444, .show = show_stat},
	{.name = "swaps", .mode = S_IFREG | 0444, .show = show_swaps},
	{.name = "sys", .mode = S_IFDIR | 0555, .dir = &proc_sys_dir},
	{.name = "thread-self", .mode = S_IFLNK | 0777, .readlink = link_thread_self},
	{.name = "uptime", .mode = S_IFREG | 0444, .show = show_uptime},
	{.name = "version", .mode = S_IFREG | 0444, .show = show_version},
	{.name = "vmstat", .mode = S_IFREG | 0444, .show = show_vmstat},
};
static const struct proc_dir root_dir = {.entries = root_entries,
					 .nr_entries = ARRAY_SIZE(root_entries),
					 .find = find_process,
					 .next = next_process};
static const struct proc_entry root_entry = {.name = "", .mode = S_IFDIR | 0555, .dir = &root_dir};

int procfs_create(struct super **ret_sb, struct dentry **ret_root)
{
	return proc_tree_create("proc", &root_entry, ret_sb, ret_root);
}
