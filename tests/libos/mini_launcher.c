/*
 * mini_launcher.c - runs a program in the instance image without leatd: a tool for trying the
 * library OS.
 *
 * usage: mini-launcher [-c VCPUS] [-l LINGER_US] [-t] [-s] [-e NAME=VALUE]... IMAGE PROGRAM
 * [ARG...]
 *
 * It plays the launcher (maps image, window, control page, boot block; installs a filter that traps
 * every system call from outside the image's text; jumps) and leatd's core scheduler (grants vcpus
 * when they are wanted or due).  There is no confinement and no network.  Static, since the image
 * is jumped to from here.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "apps/launcher/vdso.h"
#include "leat/abi/boot.h"
#include "leat/abi/control.h"
#include "leat/abi/netdev.h"
#include "leat/abi/window.h"

#define NS_PER_S 1000000000UL
#define SCAN_MS 20 /* a look at all slots even if no doorbell rings */
#define ENV_MAX 64
#define NOFILE 1024
#define MEMORY_MAX (4UL << 30)
#define STACK_BYTES (8UL << 20)

struct options {
	unsigned vcpus;
	unsigned linger_us;
	bool trace;
	bool statistics; /* a line on stderr at the end */
	const char *env[ENV_MAX];
	unsigned nr_env;
	const char *image;
	char **argv;
};

struct image {
	uint64_t entry, text_low, text_high;
};

static void die(const char *what)
{
	fprintf(stderr, "mini-launcher: %s: %s\n", what, strerror(errno));
	exit(125);
}

static void *map_at(uint64_t addr, size_t len, int prot, int flags, int fd, off_t off)
{
	void *p = mmap((void *)addr, len, prot, flags | MAP_FIXED, fd, off);

	if (p == MAP_FAILED)
		die("mmap");
	return p;
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

/* ---- the image ---- */

static void image_segment(int fd, const Elf64_Phdr *ph, struct image *image)
{
	uint64_t skew = ph->p_vaddr % ABI_PAGE_SIZE;
	int prot = PROT_READ | ((ph->p_flags & PF_X) != 0 ? PROT_EXEC : 0);

	map_at(ph->p_vaddr - skew, ph->p_memsz + skew, prot, MAP_PRIVATE, fd,
	       (off_t)(ph->p_offset - skew));
	if ((ph->p_flags & PF_X) == 0)
		return;
	image->text_low = ph->p_vaddr - skew;
	image->text_high = (ph->p_vaddr + ph->p_memsz + ABI_PAGE_SIZE - 1) & ~(ABI_PAGE_SIZE - 1);
}

static void image_map(const char *path, struct image *image)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	Elf64_Phdr ph[16];
	Elf64_Ehdr eh;

	if (fd < 0 || read(fd, &eh, sizeof(eh)) != sizeof(eh) || eh.e_phnum > 16)
		die(path);
	if (pread(fd, ph, eh.e_phnum * sizeof(ph[0]), (off_t)eh.e_phoff) < 0)
		die(path);
	for (unsigned i = 0; i < eh.e_phnum; i++)
		if (ph[i].p_type == PT_LOAD)
			image_segment(fd, &ph[i], image);
	image->entry = eh.e_entry;
	close(fd);
}

/* ---- the boot block ---- */

static uint32_t put_string(struct abi_boot *boot, const char *s)
{
	uint32_t off = boot->size;

	memcpy((char *)boot + off, s, strlen(s) + 1);
	boot->size += (uint32_t)strlen(s) + 1;
	return off;
}

static void boot_fill(const struct options *opt, const struct image *image, const struct vdso *vdso,
		      bool has_exec)
{
	struct abi_boot *boot = map_at(ABI_BOOT_BASE, ABI_BOOT_SIZE, PROT_READ | PROT_WRITE,
				       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char cwd[4096];

	boot->magic = ABI_MAGIC;
	boot->version = ABI_VERSION;
	boot->size = sizeof(*boot);
	boot->nr_vcpus = opt->vcpus;
	boot->uid = getuid();
	boot->instance = 1;
	boot->exec_fd = has_exec ? ABI_FD_EXEC : -1;
	boot->memory_max = MEMORY_MAX;
	boot->trace = opt->trace;
	boot->hwcap2 = getauxval(AT_HWCAP2);
	boot->host_vdso = vdso->header;
	boot->window_size = ABI_WINDOW_SIZE;
	boot->text_low = image->text_low;
	boot->text_high = image->text_high;
	boot->launched_ns = now_ns();
	if (getrandom(boot->random, sizeof(boot->random), 0) < 0)
		die("getrandom");
	boot->program_off = put_string(boot, opt->argv[0]);
	boot->cwd_off = put_string(boot, getcwd(cwd, sizeof(cwd)) != NULL ? cwd : "/");
	boot->hostname_off = put_string(boot, "mini");
	boot->argv_off = boot->size;
	for (char **a = opt->argv; *a != NULL; a++, boot->argc++)
		put_string(boot, *a);
	boot->envp_off = boot->size;
	for (boot->envc = 0; boot->envc < opt->nr_env; boot->envc++)
		put_string(boot, opt->env[boot->envc]);
	boot->umask = 022;
	boot->nofile = NOFILE;
	boot->stack_max = STACK_BYTES;
}

/* ---- the instance ---- */

static void filter_install(const struct image *image)
{
	uint32_t high = (uint32_t)(image->text_low >> 32);
	struct sock_filter insns[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, instruction_pointer) + 4),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, high, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, instruction_pointer)),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, (uint32_t)image->text_low, 0, 1),
		BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, (uint32_t)image->text_high, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = {.len = sizeof(insns) / sizeof(insns[0]), .filter = insns};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
	    syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog) != 0)
		die("seccomp");
}

/* libc's areas will be unmapped: the kernel must forget them. */
static void libc_forget(void)
{
	char *rseq = (char *)__builtin_thread_pointer() + __rseq_offset;

	if (__rseq_size != 0 && syscall(SYS_rseq, rseq, 32, RSEQ_FLAG_UNREGISTER, RSEQ_SIG) != 0)
		die("rseq");
	syscall(SYS_set_robust_list, NULL, 24);
	syscall(SYS_set_tid_address, NULL);
}

static void place_fd(int fd, int at)
{
	if (fd >= 0 && dup2(fd, at) < 0)
		die("dup2");
}

static _Noreturn void instance_run(const struct options *opt, const struct image *image,
				   int window_fd, int control_fd, int bell)
{
	int exec_fd = strchr(opt->argv[0], '/') != NULL ? open(opt->argv[0], O_RDONLY) : -1;
	int root_fd = open("/", O_PATH | O_DIRECTORY);
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	struct vdso vdso;

	if (vdso_find(&vdso) != 0)
		die("vDSO");
	map_at(ABI_WINDOW_BASE, ABI_WINDOW_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, window_fd, 0);
	map_at(ABI_CONTROL_BASE, ABI_PAGE_SIZE, PROT_READ, MAP_SHARED, control_fd, 0);
	boot_fill(opt, image, &vdso, exec_fd >= 0);
	for (long core = 0; core < cores; core++)
		place_fd(bell, ABI_FD_DOORBELL + (int)core);
	/* The sources may lie where they go: high numbers first. */
	window_fd = fcntl(window_fd, F_DUPFD, 900);
	root_fd = fcntl(root_fd, F_DUPFD, 900);
	exec_fd = exec_fd < 0 ? -1 : fcntl(exec_fd, F_DUPFD, 900);
	place_fd(window_fd, ABI_FD_WINDOW);
	place_fd(root_fd, ABI_FD_ROOT);
	place_fd(exec_fd, ABI_FD_EXEC);
	close_range(900, ~0U, 0);
	if (vdso_move(&vdso) != 0)
		die("vDSO");
	libc_forget();
	filter_install(image);
	__asm__ volatile("movq %0, %%rsp\n\tjmp *%1"
			 :
			 : "r"(ABI_BOOT_BASE + ABI_BOOT_SIZE), "r"(image->entry), "D"(ABI_BOOT_BASE)
			 : "memory");
	__builtin_unreachable();
}

/* ---- leatd ---- */

static void grant(struct abi_vcpu *slot, unsigned core)
{
	slot->core = core;
	slot->granted_ns = now_ns();
	/* Release pairs with the acquire in kthread_wait: core is valid. */
	__atomic_store_n(&slot->grant, slot->grant + 1, __ATOMIC_RELEASE);
	syscall(SYS_futex, &slot->grant, FUTEX_WAKE, 1, NULL, NULL, 0);
}

/* SIGINT and SIGTERM are the program's, as with leat run: set by the handler, taken by leatd_run.
 */
static volatile sig_atomic_t outside_signal;

static void on_signal(int sig)
{
	outside_signal = sig;
}

static void pass_signal(void *window, const struct options *opt, pid_t pid)
{
	for (unsigned v = 0; v < opt->vcpus; v++) {
		struct abi_vcpu *slot = abi_vcpu_of(window, v);

		if (slot->grant == slot->parked_grant && slot->state != ABI_VCPU_OFF)
			grant(slot, slot->core);
		else
			slot->preempt = slot->grant;
	}
	kill(pid, SIGURG);
}

/* Grants what is wanted or due; returns the next deadline. */
static uint64_t scan(void *window, unsigned vcpus, unsigned cores)
{
	uint64_t now = now_ns(), next = UINT64_MAX;

	for (unsigned v = 0; v < vcpus; v++) {
		struct abi_vcpu *slot = abi_vcpu_of(window, v);
		/* Acquire pairs with the release of parked_grant in kthread_give_back. */
		uint32_t parked = __atomic_load_n(&slot->parked_grant, __ATOMIC_ACQUIRE);

		if (parked != slot->grant)
			continue;
		if (slot->state == ABI_VCPU_WANT ||
		    (slot->state == ABI_VCPU_PARKED && slot->deadline_ns != 0 &&
		     slot->deadline_ns <= now))
			grant(slot, v % cores);
		else if (slot->state == ABI_VCPU_PARKED && slot->deadline_ns != 0 &&
			 slot->deadline_ns < next)
			next = slot->deadline_ns;
	}
	return next;
}

static int leatd_run(const struct options *opt, void *window, int bell, pid_t pid)
{
	struct abi_instance *abi = abi_instance_of(window);
	unsigned cores = (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
	struct pollfd pfd = {.fd = bell, .events = POLLIN};
	uint64_t rings, next, now;
	int status;

	signal(SIGINT, on_signal);
	signal(SIGTERM, on_signal);
	while (waitpid(pid, &status, WNOHANG) == 0) {
		struct timespec ts = {.tv_nsec = SCAN_MS * 1000000L};

		if (outside_signal != 0) {
			/* Release pairs with the instance's exchange. */
			__atomic_fetch_or(&abi->ext_signals, 1UL << (outside_signal - 1),
					  __ATOMIC_RELEASE);
			outside_signal = 0;
			pass_signal(window, opt, pid);
		}

		next = scan(window, opt->vcpus, cores);
		now = now_ns();
		if (next < now + SCAN_MS * 1000000UL)
			ts.tv_nsec = next <= now ? 0 : (long)(next - now);
		if (ppoll(&pfd, 1, &ts, NULL) > 0 && read(bell, &rings, sizeof(rings)) < 0)
			die("doorbell");
	}
	kill(-pid, SIGKILL); /* what is left of it, as the real launcher does by uid */
	if (opt->statistics)
		fprintf(stderr, "calls %lu traps %lu forks %lu arena %lu KiB store %lu KiB\n",
			abi->calls, abi->traps, abi->forks, abi->arena_bytes >> 10,
			abi->store_bytes >> 10);
	if (abi->state != ABI_STATE_EXITED) {
		fprintf(stderr, "mini-launcher: the instance died: status %#x\n", status);
		return 125;
	}
	status = (int)abi->exit_status;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int memfd(const char *name, size_t size)
{
	int fd = memfd_create(name, MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, (off_t)size) != 0)
		die(name);
	return fd;
}

static void parse(int argc, char **argv, struct options *opt)
{
	int c;

	opt->vcpus = (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
	opt->linger_us = 20;
	opt->env[opt->nr_env++] = "PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin";
	opt->env[opt->nr_env++] = "HOME=/root";
	while ((c = getopt(argc, argv, "+c:l:tse:")) != -1) {
		if (c == 'c')
			opt->vcpus = (unsigned)atoi(optarg);
		else if (c == 'l')
			opt->linger_us = (unsigned)atoi(optarg);
		else if (c == 't')
			opt->trace = true;
		else if (c == 's')
			opt->statistics = true;
		else if (c == 'e' && opt->nr_env < ENV_MAX)
			opt->env[opt->nr_env++] = optarg;
		else
			exit(125);
	}
	if (argc - optind < 2 || opt->vcpus == 0 || opt->vcpus > ABI_MAX_VCPUS) {
		fprintf(stderr,
			"usage: mini-launcher [-c VCPUS] [-l LINGER_US] [-t] [-s] [-e NAME=VALUE] "
			"IMAGE PROGRAM [ARG...]\n");
		exit(125);
	}
	opt->image = argv[optind];
	opt->argv = argv + optind + 1;
}

int main(int argc, char **argv)
{
	struct options opt = {0};
	struct image image = {0};
	int window_fd, control_fd, bell;
	struct abi_control *control;
	void *window;
	pid_t pid;

	parse(argc, argv, &opt);
	image_map(opt.image, &image);
	window_fd = memfd("window", ABI_WINDOW_SIZE);
	control_fd = memfd("control", ABI_PAGE_SIZE);
	bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	window = mmap(NULL, ABI_WINDOW_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, window_fd, 0);
	control = mmap(NULL, ABI_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, control_fd, 0);
	if (bell < 0 || window == MAP_FAILED || control == MAP_FAILED)
		die("mmap");
	control->magic = ABI_MAGIC;
	control->version = ABI_VERSION;
	control->nr_cores = (uint32_t)sysconf(_SC_NPROCESSORS_ONLN);
	control->linger_ns = opt.linger_us * 1000UL;
	for (unsigned i = 0; i < control->nr_cores && i < ABI_MAX_CORES; i++) {
		control->core[i].state = ABI_DP_SLEEP;
		control->core[i].wake_ns = UINT64_MAX;
	}
	abi_instance_of(window)->magic = ABI_MAGIC;
	abi_instance_of(window)->version = ABI_VERSION;
	abi_instance_of(window)->nr_vcpus = opt.vcpus;
	abi_instance_of(window)->id = 1;
	abi_instance_of(window)->trace = opt.trace;
	pid = fork();
	if (pid < 0)
		die("fork");
	setpgid(pid, 0); /* in both, so that it is done when either goes on */
	if (pid == 0)
		instance_run(&opt, &image, window_fd, control_fd, bell);
	return leatd_run(&opt, window, bell, pid);
}
