/*
 * test_launcher.c - the launcher, end to end, with an image of probes: the start path, every
 * property of the confinement seen from inside and outside, bad requests, and the end of an
 * instance.
 *
 * argv: launcher, probe image.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "apps/leatd/image.h"
#include "apps/leatd/launch.h"

/* A pool far from every leatd's. */
#define POOL_UID 1900000U
#define POOL_KILLER 1899999U
#define WAIT_MS 10000

static const char *launcher_path, *image_path;
static struct launch launch;
static uint32_t next_instance = 1;
static char volume_dir[] = "/tmp/leat-test-XXXXXX";

static int window_create(void)
{
	int fd = memfd_create("window", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, ABI_WINDOW_SIZE), 0);
	return fd;
}

static int control_create(void)
{
	int fd = memfd_create("control", MFD_CLOEXEC);
	struct abi_control control = {.magic = ABI_MAGIC, .version = ABI_VERSION, .nr_cores = 1};

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, ABI_PAGE_SIZE), 0);
	assert_int_equal(pwrite(fd, &control, sizeof(control), 0), sizeof(control));
	return fd;
}

static void launcher_up(void)
{
	struct launch_pool pool = {POOL_UID, 1000, POOL_KILLER};
	enum launcher_stage stage;
	struct image image;
	int control = control_create(), doorbell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	assert_int_equal(launch_process(launcher_path, &launch), 0);
	assert_int_equal(image_open(image_path, &image), 0);
	assert_int_equal(launch_init(&launch, &image, &pool, &stage), 0);
	assert_true(launch.listener >= 0);
	assert_int_equal(launch_setup(&launch, control, &doorbell, 1, &stage), 0);
	image_close(&image);
	close(control);
	close(doorbell);
}

static int setup(void **state)
{
	(void)state;
	launcher_up();
	assert_non_null(mkdtemp(volume_dir));
	return 0;
}

static int teardown(void **state)
{
	char path[128];

	(void)state;
	launch_finish(&launch);
	snprintf(path, sizeof(path), "%s/made", volume_dir);
	unlink(path);
	rmdir(volume_dir);
	return 0;
}

/* ---- starting probes ---- */

struct probe {
	char *argv[3];
	int out;
	bool volume, writable;
	uint32_t nproc;
	uint32_t id;
	int error; /* of launch_start */
};

static void probe_start(struct probe *p)
{
	static char *const envp[] = {NULL};
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int window = window_create();
	int dir = open(volume_dir, O_PATH | O_CLOEXEC);
	struct launch_request req = {
		.instance = p->id = next_instance++,
		.uid = POOL_UID + next_instance % 1000,
		.nr_vcpus = 1,
		.nproc = p->nproc ? p->nproc : 16,
		.nofile = 1024,
		.umask = 022,
		.writable = p->writable,
		.program = p->argv[0],
		.cwd = "/",
		.hostname = "h",
		.argv = p->argv,
		.envp = envp,
		.stdio = {null, p->out > 0 ? p->out : null, null},
		.window_fd = window,
		.root_fd = root,
		.exec_fd = -1,
		.cwd_fd = -1,
		.cgroup_fd = -1,
		.snapshot_fd = -1,
		.nr_volumes = p->volume,
		.volumes = {{dir, "/v", !p->writable}},
	};

	p->error = launch_start(&launch, &req);
	close(null);
	close(root);
	close(window);
	close(dir);
}

static bool reply_wait(struct launcher_reply *reply)
{
	struct pollfd polled = {.fd = launch.fd, .events = POLLIN};

	for (;;) {
		int fd = -1;
		if (poll(&polled, 1, WAIT_MS) != 1 ||
		    launch_receive(&launch, true, reply, &fd) != 1)
			return false;
		if (reply->msg.type != LAUNCHER_STARTED)
			return true;
		assert_true(fd < 0 && reply->pid > 1);
	}
}

/* STARTED, EXITED (or FAILED), then GONE; returns the wait status. */
static int probe_end(const struct probe *p)
{
	struct launcher_reply reply;
	int status;

	assert_true(reply_wait(&reply));
	if (reply.msg.type == LAUNCHER_FAILED)
		print_message("stage %s: %s\n", launch_stage_text(reply.stage),
			      strerror(reply.error));
	assert_int_equal(reply.msg.type, LAUNCHER_EXITED);
	assert_int_equal(reply.instance, p->id);
	status = reply.status;
	assert_true(reply_wait(&reply));
	assert_int_equal(reply.msg.type, LAUNCHER_GONE);
	assert_int_equal(reply.instance, p->id);
	return status;
}

static int run(const char *what, const char *arg, bool volume, bool writable)
{
	struct probe p = {.argv = {strdup(what), arg ? strdup(arg) : NULL},
			  .volume = volume,
			  .writable = writable};

	probe_start(&p);
	assert_int_equal(p.error, 0);
	int status = probe_end(&p);
	free(p.argv[0]);
	free(p.argv[1]);
	return status;
}

#define assert_exits(status, code)                                                                 \
	do {                                                                                       \
		int status_ = (status);                                                            \
		assert_true(WIFEXITED(status_));                                                   \
		assert_int_equal(WEXITSTATUS(status_), code);                                      \
	} while (0)

#define assert_dies(status, sig)                                                                   \
	do {                                                                                       \
		int status_ = (status);                                                            \
		assert_true(WIFSIGNALED(status_));                                                 \
		assert_int_equal(WTERMSIG(status_), sig);                                          \
	} while (0)

/* ---- the start path ---- */

static void test_hello(void **state)
{
	int pipe_fds[2];
	char text[16] = "";

	(void)state;
	assert_int_equal(pipe(pipe_fds), 0);
	struct probe p = {.argv = {(char[]){"hello"}}, .out = pipe_fds[1]};
	probe_start(&p);
	assert_exits(probe_end(&p), 7);
	assert_int_equal(read(pipe_fds[0], text, sizeof(text)), 6);
	assert_string_equal(text, "hello\n");
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

static void test_boot_block(void **state)
{
	(void)state;
	assert_exits(run("boot", NULL, false, false), 0);
}

/* ---- what the filters say ---- */

static void test_call_from_outside_traps(void **state)
{
	(void)state;
	assert_dies(run("outside", NULL, false, false), SIGSYS);
}

/* The signal by which int $0x80 ends a process without any filter; 0: this kernel answers it. */
static int int80_signal(void)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		long r = 20; /* getpid there */

		signal(SIGSEGV, SIG_DFL); /* not the test framework's */
		__asm__ volatile("int $0x80" : "+a"(r) : : "memory");
		_exit(r > 0 ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) || (WIFEXITED(status) && WEXITSTATUS(status) == 0));
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

/* Where the kernel has no i386 entry at all, the instruction is a fault before any filter. */
static void test_foreign_abi_dies(void **state)
{
	int native = int80_signal();

	(void)state;
	assert_dies(run("x32", NULL, false, false), SIGSYS);
	assert_dies(run("int80", NULL, false, false), native ? native : SIGSYS);
}

/* A forbidden call stops at the listener, which learns all about it. */
static void forbidden(int nr)
{
	char number[16];
	struct pollfd polled = {.fd = launch.listener, .events = POLLIN};
	struct seccomp_notif notif;

	snprintf(number, sizeof(number), "%d", nr);
	struct probe p = {.argv = {(char[]){"call"}, number}};
	probe_start(&p);
	assert_int_equal(poll(&polled, 1, WAIT_MS), 1);
	memset(&notif, 0, sizeof(notif));
	assert_int_equal(ioctl(launch.listener, SECCOMP_IOCTL_NOTIF_RECV, &notif), 0);
	assert_int_equal(notif.data.nr, nr);
	assert_true(notif.data.instruction_pointer >= ABI_IMAGE_BASE);
	assert_int_equal(launch_kill(&launch, p.id), 0);
	assert_dies(probe_end(&p), SIGKILL);
}

static void test_forbidden_calls_are_reported(void **state)
{
	static const int calls[] = {
		SYS_socket,
		SYS_execve,
		SYS_ptrace,
		SYS_io_uring_setup,
		SYS_clone3,
		SYS_openat2,
		SYS_kill,
		SYS_prctl,
		SYS_seccomp,
		SYS_setresuid,
		SYS_bpf,
		SYS_perf_event_open,
		SYS_mount,
		SYS_pidfd_open,
		SYS_fork,
		SYS_dup,
		SYS_process_vm_writev,
		SYS_unshare,
		SYS_keyctl,
		SYS_userfaultfd,
	};

	(void)state;
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		forbidden(calls[i]);
}

static void test_write_needs_a_writable_volume(void **state)
{
	(void)state;
	assert_dies(run("write", "etc/hostname", false, false), SIGSYS);
	assert_dies(run("call", "263", false, false), SIGSYS); /* unlinkat */
	assert_dies(run("volume-create", "made", true, false), SIGSYS);
}

/* ---- files ---- */

static void test_root_shows_only_listed_directories(void **state)
{
	static const char *const hidden[] = {"proc/self/status",
					     "proc",
					     "sys/kernel",
					     "dev/null",
					     "run",
					     "home",
					     "../proc/1/status",
					     "etc/../proc/1/status",
					     "."};

	(void)state;
	assert_exits(run("open", "etc/passwd", false, false), 0);
	assert_exits(run("open", "usr/bin", false, false), 0);
	for (size_t i = 0; i < sizeof(hidden) / sizeof(hidden[0]); i++)
		assert_exits(run("open", hidden[i], false, false), EACCES);
	assert_exits(run("open", "etc/shadow", false, false), EACCES);
}

static void test_write_of_host_files_is_refused(void **state)
{
	(void)state;
	/* with a writable volume the call exists, and still opens nothing of the host */
	assert_exits(run("write", "etc/passwd", true, true), EACCES);
	assert_exits(run("write", "tmp", true, true), EISDIR);
}

static void test_volume_files_are_the_owners(void **state)
{
	char path[128];
	struct stat st, dir;

	(void)state;
	assert_exits(run("volume-create", "made", true, true), 0);
	snprintf(path, sizeof(path), "%s/made", volume_dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(stat(volume_dir, &dir), 0);
	assert_int_equal(st.st_uid, dir.st_uid);
	assert_int_equal(st.st_gid, dir.st_gid);
	/* 0600 and 0700: readable because the instance is the owner there */
	assert_exits(run("volume-read", "made", true, false), 0);
	assert_exits(run("volume-read", "../etc/passwd", true, false), ENOENT);
	assert_exits(run("volume-read", "..", true, false), 0); /* its own root again */
}

static void test_set_id_is_refused(void **state)
{
	struct pollfd polled = {.fd = launch.listener, .events = POLLIN};
	struct probe p = {.argv = {(char[]){"set-id"}, (char[]){"made"}},
			  .volume = true,
			  .writable = true};

	(void)state;
	probe_start(&p);
	assert_int_equal(poll(&polled, 1, WAIT_MS), 1);
	assert_int_equal(launch_kill(&launch, p.id), 0);
	assert_dies(probe_end(&p), SIGKILL);
}

static void test_shared_objects_are_guarded(void **state)
{
	struct pollfd polled = {.fd = launch.listener, .events = POLLIN};
	struct probe p = {.argv = {(char[]){"doorbell"}}};

	(void)state;
	assert_exits(run("control", NULL, false, false), EACCES);
	probe_start(&p);
	assert_int_equal(poll(&polled, 1, WAIT_MS), 1);
	assert_int_equal(launch_kill(&launch, p.id), 0);
	assert_dies(probe_end(&p), SIGKILL);
}

static void test_signals_reach_nobody_else(void **state)
{
	char pid[16];

	(void)state;
	snprintf(pid, sizeof(pid), "%d", getpid());
	assert_exits(run("kill", pid, false, false), EPERM);
}

/* ---- seen from outside ---- */

static pid_t probe_pid(uint32_t uid)
{
	char path[64], text[2048], want[64];

	snprintf(want, sizeof(want), "\nUid:\t%u\t%u\t%u\t%u\n", uid, uid, uid, uid);
	for (int round = 0; round < 1000; round++, usleep(1000)) {
		snprintf(path, sizeof(path), "/proc/%d/task/%d/children", launch.pid, launch.pid);
		FILE *f = fopen(path, "r");
		long pid;
		while (f && fscanf(f, "%ld", &pid) == 1) {
			snprintf(path, sizeof(path), "/proc/%ld/status", pid);
			FILE *status = fopen(path, "r");
			size_t n = status ? fread(text, 1, sizeof(text) - 1, status) : 0;
			text[n] = 0;
			if (status)
				fclose(status);
			/* both filters in: it runs */
			if (strstr(text, want) && strstr(text, "Seccomp_filters:\t2")) {
				fclose(f);
				return (pid_t)pid;
			}
		}
		if (f)
			fclose(f);
	}
	return -1;
}

static void test_process_has_no_rights(void **state)
{
	static const char *const lines[] = {
		"\nCapInh:\t0000000000000000",
		"\nCapPrm:\t0000000000000000",
		"\nCapEff:\t0000000000000000",
		"\nCapBnd:\t0000000000000000",
		"\nCapAmb:\t0000000000000000",
		"\nNoNewPrivs:\t1",
		"\nSeccomp:\t2",
		"\nGroups:\t \n",
	};
	char path[64], text[4096];
	struct probe p = {.argv = {(char[]){"sleep"}}};

	(void)state;
	probe_start(&p);
	pid_t pid = probe_pid(POOL_UID + next_instance % 1000);
	assert_true(pid > 0);
	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	FILE *f = fopen(path, "r");
	assert_non_null(f);
	text[fread(text, 1, sizeof(text) - 1, f)] = 0;
	fclose(f);
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		if (!strstr(text, lines[i]))
			fail_msg("missing:%s in\n%s", lines[i], text);
	assert_int_equal(getpgid(pid), pid);
	assert_int_equal(getsid(pid), getsid(0)); /* one scheduling group: docs/dataplane.md */
	/* stdio, window, root, one doorbell: nothing else */
	for (int fd = 0; fd < 400; fd++) {
		char target[256];
		snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, fd);
		bool open_ = readlink(path, target, sizeof(target)) >= 0;
		if (open_ != (fd <= ABI_FD_ROOT || fd == ABI_FD_DOORBELL))
			fail_msg("descriptor %d is %s", fd, open_ ? "open" : "closed");
	}
	assert_int_equal(launch_kill(&launch, p.id), 0);
	assert_dies(probe_end(&p), SIGKILL);
}

/* ---- the end ---- */

static void test_fork_bomb_is_bounded_and_cleaned_up(void **state)
{
	struct probe p = {.argv = {(char[]){"bomb"}}, .nproc = 100};

	(void)state;
	probe_start(&p);
	assert_exits(probe_end(&p), 0);
	/* GONE means that the uid has no process any more: nobody is left below the launcher */
	char path[64];
	long pid;
	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", launch.pid, launch.pid);
	FILE *f = fopen(path, "r");
	assert_non_null(f);
	assert_int_not_equal(fscanf(f, "%ld", &pid), 1);
	fclose(f);
}

static void test_many_at_once(void **state)
{
	enum { MANY = 100 };
	unsigned exited = 0, gone = 0;
	struct launcher_reply reply;
	struct timespec a, b;

	(void)state;
	clock_gettime(CLOCK_MONOTONIC, &a);
	for (int i = 0; i < MANY; i++) {
		struct probe p = {.argv = {(char[]){"boot"}}};
		probe_start(&p);
		assert_int_equal(p.error, 0);
	}
	while (gone < MANY && reply_wait(&reply)) {
		exited += reply.msg.type == LAUNCHER_EXITED && reply.status == 0;
		gone += reply.msg.type == LAUNCHER_GONE;
	}
	clock_gettime(CLOCK_MONOTONIC, &b);
	assert_int_equal(exited, MANY);
	assert_int_equal(gone, MANY);
	print_message("%d starts: %.0f us each\n", MANY,
		      ((double)(b.tv_sec - a.tv_sec) * 1e6 +
		       (double)(b.tv_nsec - a.tv_nsec) / 1e3) /
			      MANY);
}

/* ---- requests that no leatd would send ---- */

static void expect_refused(const void *message, size_t size)
{
	struct launcher_reply reply;

	assert_int_equal(send(launch.fd, message, size, 0), size);
	assert_true(reply_wait(&reply));
	assert_int_equal(reply.msg.type, LAUNCHER_FAILED);
	assert_int_equal(reply.stage, STAGE_REQUEST);
}

static void test_bad_requests(void **state)
{
	struct launcher_start start = {.msg = {LAUNCHER_MAGIC, LAUNCHER_START, sizeof(start), 0},
				       .nproc = 1};
	struct launcher_kill kill_msg = {.msg = {LAUNCHER_MAGIC, LAUNCHER_KILL, 17, 0}};
	struct launcher_msg msg = {LAUNCHER_MAGIC, 99, sizeof(msg), 0};
	struct launcher_init init = {.msg = {LAUNCHER_MAGIC, LAUNCHER_INIT, sizeof(init), 0}};

	(void)state;
	expect_refused("x", 1);
	expect_refused(&msg, sizeof(msg));
	expect_refused(&start, sizeof(start)); /* no descriptors, no block */
	expect_refused(&kill_msg, sizeof(kill_msg));
	expect_refused(&init, sizeof(init)); /* a second INIT */
	assert_exits(run("boot", NULL, false, false), 0);
}

static void test_foreign_uid_is_refused(void **state)
{
	static char *const none[] = {NULL};
	char *argv[] = {(char[]){"boot"}, NULL};
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct launch_request req = {
		.instance = next_instance++,
		.uid = 0,
		.nr_vcpus = 1,
		.nproc = 1,
		.program = "x",
		.cwd = "/",
		.hostname = "h",
		.argv = argv,
		.envp = none,
		.stdio = {null, null, null},
		.window_fd = null,
		.root_fd = null,
		.exec_fd = -1,
		.cwd_fd = -1,
		.cgroup_fd = -1,
		.snapshot_fd = -1,
	};
	struct launcher_reply reply;

	(void)state;
	assert_int_equal(launch_start(&launch, &req), 0);
	assert_true(reply_wait(&reply));
	assert_int_equal(reply.msg.type, LAUNCHER_FAILED);
	assert_int_equal(reply.error, EPERM);
	close(null);
}

static void test_missing_image(void **state)
{
	struct image image;

	(void)state;
	assert_int_equal(image_open("/nonexistent", &image), -ENOENT);
	assert_int_equal(image_open("/bin/true", &image), -ENOEXEC);
}

/* When leatd dies, its instances do. */
static void test_instances_end_with_leatd(void **state)
{
	struct probe p = {.argv = {(char[]){"sleep"}}};

	(void)state;
	probe_start(&p);
	pid_t pid = probe_pid(POOL_UID + next_instance % 1000);
	assert_true(pid > 0);
	launch_finish(&launch);
	assert_int_equal(kill(pid, 0), -1);
	launcher_up();
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hello),
		cmocka_unit_test(test_boot_block),
		cmocka_unit_test(test_call_from_outside_traps),
		cmocka_unit_test(test_foreign_abi_dies),
		cmocka_unit_test(test_forbidden_calls_are_reported),
		cmocka_unit_test(test_write_needs_a_writable_volume),
		cmocka_unit_test(test_root_shows_only_listed_directories),
		cmocka_unit_test(test_write_of_host_files_is_refused),
		cmocka_unit_test(test_volume_files_are_the_owners),
		cmocka_unit_test(test_set_id_is_refused),
		cmocka_unit_test(test_shared_objects_are_guarded),
		cmocka_unit_test(test_signals_reach_nobody_else),
		cmocka_unit_test(test_process_has_no_rights),
		cmocka_unit_test(test_fork_bomb_is_bounded_and_cleaned_up),
		cmocka_unit_test(test_many_at_once),
		cmocka_unit_test(test_bad_requests),
		cmocka_unit_test(test_foreign_uid_is_refused),
		cmocka_unit_test(test_missing_image),
		cmocka_unit_test(test_instances_end_with_leatd),
	};

	if (argc < 3 || geteuid() != 0)
		return 77; /* skipped */
	launcher_path = argv[1];
	image_path = argv[2];
	return cmocka_run_group_tests_name("launcher", tests, setup, teardown);
}
