/*
 * proc_sys.c - /proc/sys and /sys: settings that programs read.
 */
#include <errno.h>
#include <string.h>

#include "leat/base/bits.h"
#include "libos/cputime.h"
#include "libos/fs/proc.h"
#include "libos/instance.h"
#include "libos/meminfo.h"

static void add_uuid(struct strbuf *buf, const uint8_t id[16])
{
	/* Version 4 (random), variant 1: RFC 9562. */
	strbuf_add(buf, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x\n",
		   id[0], id[1], id[2], id[3], id[4], id[5], (id[6] & 0x0f) | 0x40, id[7],
		   (id[8] & 0x3f) | 0x80, id[9], id[10], id[11], id[12], id[13], id[14], id[15]);
}

static int show_boot_id(const struct proc_object *object, struct strbuf *buf)
{
	(void)object;
	add_uuid(buf, vfs_get()->boot_id);
	return 0;
}

/* Moves in every clone: a program that keeps random state of its own can tell by it. */
static int show_generation(const struct proc_object *object, struct strbuf *buf)
{
	(void)object;
	strbuf_add(buf, "%u\n", instance()->generation);
	return 0;
}

static int show_uuid(const struct proc_object *object, struct strbuf *buf)
{
	uint8_t id[16];

	(void)object;
	random_bytes(id, sizeof(id));
	add_uuid(buf, id);
	return 0;
}

static int show_hostname(const struct proc_object *object, struct strbuf *buf)
{
	(void)object;
	strbuf_add(buf, "%s\n", instance()->hostname);
	return 0;
}

static int show_domainname(const struct proc_object *object, struct strbuf *buf)
{
	(void)object;
	strbuf_add(buf, "%s\n", instance()->domainname);
	return 0;
}

/* Files whose text never changes. */
#define FIXED(fn, text)                                                                            \
	static int fn(const struct proc_object *object, struct strbuf *buf)                        \
	{                                                                                          \
		(void)object;                                                                      \
		strbuf_add(buf, "%s\n", text);                                                     \
		return 0;                                                                          \
	}

FIXED(show_osrelease, UTS_RELEASE)
FIXED(show_ostype, "Linux")
FIXED(show_version, UTS_VERSION)
FIXED(show_pid_max, "4194304")
FIXED(show_threads_max, "32768")
FIXED(show_cap_last_cap, "40")
FIXED(show_ngroups_max, "64")
FIXED(show_randomize, "2")
FIXED(show_overcommit, "1")
FIXED(show_max_map_count, "65530")
FIXED(show_mmap_min_addr, "65536")
FIXED(show_somaxconn, "4096")
FIXED(show_file_max, "1048576")
FIXED(show_nr_open, "1048576")
FIXED(show_pipe_max_size, "1048576")
FIXED(show_thp, "always madvise [never]")
FIXED(show_port_range, "32768\t60999")
FIXED(show_entropy, "256")
FIXED(show_inotify_events, "16384")
FIXED(show_sem, "32000\t1024000000\t500\t32000")
FIXED(show_msgmax, "8192")
FIXED(show_msgmnb, "16384")
FIXED(show_msgmni, "32000")
FIXED(show_shmmax, "18446744073692774399")
FIXED(show_shmmni, "4096")
FIXED(show_mq_msg_max, "10")
FIXED(show_mq_msgsize_max, "8192")
FIXED(show_mq_queues_max, "256")
FIXED(show_inotify_instances, "1048576")
FIXED(show_inotify_watches, "65536")

#define FILE_ENTRY(n, f)                                                                           \
	{                                                                                          \
		.name = n, .mode = S_IFREG | 0444, .show = f                                       \
	}
#define DIR_OF(v)                                                                                  \
	{                                                                                          \
		.entries = v, .nr_entries = ARRAY_SIZE(v)                                          \
	}
#define DIR_ENTRY(n, d)                                                                            \
	{                                                                                          \
		.name = n, .mode = S_IFDIR | 0555, .dir = &d                                       \
	}

static const struct proc_entry random_entries[] = {
	FILE_ENTRY("boot_id", show_boot_id),
	FILE_ENTRY("entropy_avail", show_entropy),
	FILE_ENTRY("generation", show_generation),
	FILE_ENTRY("uuid", show_uuid),
};
static const struct proc_dir random_dir = DIR_OF(random_entries);

static const struct proc_entry kernel_entries[] = {
	FILE_ENTRY("cap_last_cap", show_cap_last_cap),
	FILE_ENTRY("domainname", show_domainname),
	FILE_ENTRY("hostname", show_hostname),
	FILE_ENTRY("msgmax", show_msgmax),
	FILE_ENTRY("msgmnb", show_msgmnb),
	FILE_ENTRY("msgmni", show_msgmni),
	FILE_ENTRY("ngroups_max", show_ngroups_max),
	FILE_ENTRY("osrelease", show_osrelease),
	FILE_ENTRY("ostype", show_ostype),
	FILE_ENTRY("pid_max", show_pid_max),
	DIR_ENTRY("random", random_dir),
	FILE_ENTRY("randomize_va_space", show_randomize),
	FILE_ENTRY("sem", show_sem),
	FILE_ENTRY("shmall", show_shmmax),
	FILE_ENTRY("shmmax", show_shmmax),
	FILE_ENTRY("shmmni", show_shmmni),
	FILE_ENTRY("threads-max", show_threads_max),
	FILE_ENTRY("version", show_version),
};
static const struct proc_dir kernel_dir = DIR_OF(kernel_entries);

static const struct proc_entry vm_entries[] = {
	FILE_ENTRY("max_map_count", show_max_map_count),
	FILE_ENTRY("mmap_min_addr", show_mmap_min_addr),
	FILE_ENTRY("overcommit_memory", show_overcommit),
};
static const struct proc_dir vm_dir = DIR_OF(vm_entries);

static const struct proc_entry inotify_entries[] = {
	FILE_ENTRY("max_queued_events", show_inotify_events),
	FILE_ENTRY("max_user_instances", show_inotify_instances),
	FILE_ENTRY("max_user_watches", show_inotify_watches),
};
static const struct proc_dir inotify_dir = DIR_OF(inotify_entries);

static const struct proc_entry mqueue_entries[] = {
	FILE_ENTRY("msg_default", show_mq_msg_max),
	FILE_ENTRY("msg_max", show_mq_msg_max),
	FILE_ENTRY("msgsize_default", show_mq_msgsize_max),
	FILE_ENTRY("msgsize_max", show_mq_msgsize_max),
	FILE_ENTRY("queues_max", show_mq_queues_max),
};
static const struct proc_dir mqueue_dir = DIR_OF(mqueue_entries);

static const struct proc_entry fs_entries[] = {
	FILE_ENTRY("file-max", show_file_max),
	DIR_ENTRY("inotify", inotify_dir),
	DIR_ENTRY("mqueue", mqueue_dir),
	FILE_ENTRY("nr_open", show_nr_open),
	FILE_ENTRY("pipe-max-size", show_pipe_max_size),
};
static const struct proc_dir fs_dir = DIR_OF(fs_entries);

static const struct proc_entry net_core_entries[] = {FILE_ENTRY("somaxconn", show_somaxconn)};
static const struct proc_dir net_core_dir = DIR_OF(net_core_entries);
static const struct proc_entry net_ipv4_entries[] = {
	FILE_ENTRY("ip_local_port_range", show_port_range)};
static const struct proc_dir net_ipv4_dir = DIR_OF(net_ipv4_entries);
static const struct proc_entry net_entries[] = {
	DIR_ENTRY("core", net_core_dir),
	DIR_ENTRY("ipv4", net_ipv4_dir),
};
static const struct proc_dir net_dir = DIR_OF(net_entries);

static const struct proc_entry sys_entries[] = {
	DIR_ENTRY("fs", fs_dir),
	DIR_ENTRY("kernel", kernel_dir),
	DIR_ENTRY("net", net_dir),
	DIR_ENTRY("vm", vm_dir),
};
const struct proc_dir proc_sys_dir = DIR_OF(sys_entries);

/* ---- /sys ---- */

static int show_cpu_range(const struct proc_object *object, struct strbuf *buf)
{
	unsigned nr = instance()->boot->nr_vcpus;

	(void)object;
	if (nr == 1)
		strbuf_add(buf, "0\n");
	else
		strbuf_add(buf, "0-%u\n", nr - 1);
	return 0;
}

static int show_memory_max(const struct proc_object *object, struct strbuf *buf)
{
	(void)object;
	if (instance()->boot->memory_max == 0)
		strbuf_add(buf, "max\n");
	else
		strbuf_add(buf, "%lu\n", (unsigned long)instance()->boot->memory_max);
	return 0;
}

static int show_cpu_max(const struct proc_object *object, struct strbuf *buf)
{
	(void)object;
	strbuf_add(buf, "%u 100000\n", instance()->boot->nr_vcpus * 100000);
	return 0;
}

static int show_memory_current(const struct proc_object *object, struct strbuf *buf)
{
	struct meminfo info;

	(void)object;
	meminfo_get(&info);
	strbuf_add(buf, "%lu\n", (unsigned long)(info.total_bytes - info.free_bytes));
	return 0;
}

static int show_cpu_stat(const struct proc_object *object, struct strbuf *buf)
{
	unsigned long us = (unsigned long)(cputime_of_instance() / 1000);

	(void)object;
	strbuf_add(buf, "usage_usec %lu\nuser_usec %lu\nsystem_usec 0\n", us, us);
	return 0;
}

static int show_pids_current(const struct proc_object *object, struct strbuf *buf)
{
	(void)object;
	strbuf_add(buf, "%u\n", instance()->nr_tasks);
	return 0;
}

static int show_cgroup_procs(const struct proc_object *object, struct strbuf *buf)
{
	struct list *pos;

	(void)object;
	list_for_each(pos, &instance()->processes)
		strbuf_add(buf, "%d\n", list_entry(pos, struct process, all_node)->pid);
	return 0;
}

FIXED(show_controllers, "cpu memory pids")
FIXED(show_max, "max")
FIXED(show_zero, "0")
FIXED(show_one, "1")
FIXED(show_empty_line, "")

/*
 * Each processor is a core of its own in one package: that is how vcpus may be used.  In their
 * directories object->fd is the processor's number.
 */
static int show_own_number(const struct proc_object *object, struct strbuf *buf)
{
	strbuf_add(buf, "%d\n", object->fd);
	return 0;
}

static int show_own_mask(const struct proc_object *object, struct strbuf *buf)
{
	strbuf_add(buf, "%x\n", 1U << object->fd);
	return 0;
}

static int show_all_mask(const struct proc_object *object, struct strbuf *buf)
{
	(void)object;
	strbuf_add(buf, "%x\n", (unsigned)((1UL << instance()->boot->nr_vcpus) - 1));
	return 0;
}

static int show_kernel_max(const struct proc_object *object, struct strbuf *buf)
{
	(void)object;
	strbuf_add(buf, "%u\n", ABI_MAX_VCPUS - 1);
	return 0;
}

static const struct proc_entry topology_entries[] = {
	FILE_ENTRY("core_cpus", show_own_mask),
	FILE_ENTRY("core_cpus_list", show_own_number),
	FILE_ENTRY("core_id", show_own_number),
	FILE_ENTRY("core_siblings", show_all_mask),
	FILE_ENTRY("core_siblings_list", show_cpu_range),
	FILE_ENTRY("die_id", show_zero),
	FILE_ENTRY("package_cpus", show_all_mask),
	FILE_ENTRY("package_cpus_list", show_cpu_range),
	FILE_ENTRY("physical_package_id", show_zero),
	FILE_ENTRY("thread_siblings", show_own_mask),
	FILE_ENTRY("thread_siblings_list", show_own_number),
};
static const struct proc_dir topology_dir = DIR_OF(topology_entries);
static const struct proc_entry one_cpu_entries[] = {
	FILE_ENTRY("online", show_one),
	DIR_ENTRY("topology", topology_dir),
};
static const struct proc_dir one_cpu_dir = DIR_OF(one_cpu_entries);
static const struct proc_entry one_cpu_entry = DIR_ENTRY("", one_cpu_dir);

static const struct proc_entry *find_cpu(const struct proc_object *object, int number,
					 struct proc_object *ret_child)
{
	if ((unsigned)number >= instance()->boot->nr_vcpus)
		return NULL;
	*ret_child = *object;
	ret_child->fd = number;
	return &one_cpu_entry;
}

static int next_cpu(const struct proc_object *object, int from)
{
	(void)object;
	return (unsigned)from < instance()->boot->nr_vcpus ? from : -1;
}

static const struct proc_entry cpu_entries[] = {
	FILE_ENTRY("isolated", show_empty_line), FILE_ENTRY("kernel_max", show_kernel_max),
	FILE_ENTRY("offline", show_empty_line),  FILE_ENTRY("online", show_cpu_range),
	FILE_ENTRY("possible", show_cpu_range),  FILE_ENTRY("present", show_cpu_range),
};
static const struct proc_dir cpu_dir = {.entries = cpu_entries,
					.nr_entries = ARRAY_SIZE(cpu_entries),
					.prefix = "cpu",
					.find = find_cpu,
					.next = next_cpu};
static const struct proc_entry system_entries[] = {DIR_ENTRY("cpu", cpu_dir)};
static const struct proc_dir system_dir = DIR_OF(system_entries);
static const struct proc_entry devices_entries[] = {DIR_ENTRY("system", system_dir)};
static const struct proc_dir devices_dir = DIR_OF(devices_entries);

static const struct proc_entry cgroup_entries[] = {
	FILE_ENTRY("cgroup.controllers", show_controllers),
	FILE_ENTRY("cgroup.procs", show_cgroup_procs),
	FILE_ENTRY("cpu.max", show_cpu_max),
	FILE_ENTRY("cpu.stat", show_cpu_stat),
	FILE_ENTRY("memory.current", show_memory_current),
	FILE_ENTRY("memory.high", show_max),
	FILE_ENTRY("memory.max", show_memory_max),
	FILE_ENTRY("memory.swap.max", show_zero),
	FILE_ENTRY("pids.current", show_pids_current),
	FILE_ENTRY("pids.max", show_max),
};
static const struct proc_dir cgroup_dir = DIR_OF(cgroup_entries);
static const struct proc_entry sysfs_fs_entries[] = {DIR_ENTRY("cgroup", cgroup_dir)};
static const struct proc_dir sysfs_fs_dir = DIR_OF(sysfs_fs_entries);

static const struct proc_entry thp_entries[] = {FILE_ENTRY("enabled", show_thp)};
static const struct proc_dir thp_dir = DIR_OF(thp_entries);
static const struct proc_entry sysfs_mm_entries[] = {DIR_ENTRY("transparent_hugepage", thp_dir)};
static const struct proc_dir sysfs_mm_dir = DIR_OF(sysfs_mm_entries);
static const struct proc_entry sysfs_kernel_entries[] = {DIR_ENTRY("mm", sysfs_mm_dir)};
static const struct proc_dir sysfs_kernel_dir = DIR_OF(sysfs_kernel_entries);

static const struct proc_entry sysfs_entries[] = {
	DIR_ENTRY("devices", devices_dir),
	DIR_ENTRY("fs", sysfs_fs_dir),
	DIR_ENTRY("kernel", sysfs_kernel_dir),
};
static const struct proc_dir sysfs_dir = DIR_OF(sysfs_entries);
static const struct proc_entry sysfs_root = {.name = "", .mode = S_IFDIR | 0555, .dir = &sysfs_dir};

int sysfs_create(struct super **ret_sb, struct dentry **ret_root)
{
	return proc_tree_create("sysfs", &sysfs_root, ret_sb, ret_root);
}
