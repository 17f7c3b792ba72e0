/*
 * dataplane_netns.c - the uplink's network namespace and its TAP.
 *
 * The namespace is named as `ip netns add` names one, so that `ip netns exec leat ...` works.
 * dp_netns_open and dp_tap_open change the calling thread's namespace: call them on a thread of
 * their own.
 *
 * Who makes a namespace holds a lock on a file beside its name. The kernel drops the lock with the
 * process, so that the next leatd knows which names a killed one left, and removes them.
 */
#include "apps/leatd/dataplane_private.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define NETNS_DIR "/run/netns"
#define LOCK_DIR "/run/lock/leat"
#define LOCK_PREFIX "netns-"
#define LOCK_TRIES 16

/* As iproute2 does: mounts made in it are seen by all that share it. */
static int netns_dir_prepare(void)
{
	if (mkdir(NETNS_DIR, 0755) && errno != EEXIST)
		return -errno;
	if (mount("", NETNS_DIR, "none", MS_SHARED | MS_REC, NULL) == 0)
		return 0;
	if (errno != EINVAL)
		return -errno;
	if (mount(NETNS_DIR, NETNS_DIR, "none", MS_BIND | MS_REC, NULL) ||
	    mount("", NETNS_DIR, "none", MS_SHARED | MS_REC, NULL))
		return -errno;
	return 0;
}

static int netns_make(const char *path)
{
	int fd, r;

	r = netns_dir_prepare();
	if (r)
		return r;
	fd = open(path, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	close(fd);
	if (unshare(CLONE_NEWNET) == 0 &&
	    mount("/proc/thread-self/ns/net", path, "none", MS_BIND, NULL) == 0)
		return 0;
	r = -errno;
	unlink(path);
	return r;
}

static int interface_up(const char *name)
{
	struct ifreq ifr = {0};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int r = 0;

	if (fd < 0)
		return -errno;
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	ifr.ifr_flags = IFF_UP;
	if (ioctl(fd, SIOCSIFFLAGS, &ifr))
		r = -errno;
	close(fd);
	return r;
}

/* ---- the locks of names ---- */

/* A lock file that is still there once it is locked; -EWOULDBLOCK: its holder lives. */
static int lock_open(const char *path, int flags)
{
	struct stat st;

	for (int i = 0; i < LOCK_TRIES; i++) {
		int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | flags, 0600);

		if (fd < 0)
			return -errno;
		if (flock(fd, LOCK_EX | LOCK_NB)) {
			close(fd);
			return -EWOULDBLOCK;
		}
		if (fstat(fd, &st) == 0 && st.st_nlink > 0)
			return fd;
		close(fd); /* removed between open and lock */
	}
	return -EWOULDBLOCK;
}

static void lock_path(const char *name, char *path, size_t size)
{
	snprintf(path, size, LOCK_DIR "/" LOCK_PREFIX "%s", name);
}

/* A directory of root's own, as apps/leatd/state.c has it. */
static int name_lock(const char *name)
{
	char path[128];

	if ((mkdir("/run/lock", 01777) && errno != EEXIST) ||
	    (mkdir(LOCK_DIR, 0700) && errno != EEXIST))
		return -errno;
	lock_path(name, path, sizeof(path));
	return lock_open(path, O_CREAT);
}

static void name_unlock(const char *name, int lock_fd)
{
	char path[128];

	lock_path(name, path, sizeof(path));
	unlink(path); /* still locked: nobody else can be at it */
	close(lock_fd);
}

static void name_remove(const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), NETNS_DIR "/%s", name);
	umount2(path, MNT_DETACH);
	unlink(path);
}

void dp_netns_sweep(void)
{
	DIR *dir = opendir(LOCK_DIR);
	struct dirent *entry;
	char path[320];

	while (dir && (entry = readdir(dir))) {
		const char *name = entry->d_name + strlen(LOCK_PREFIX);
		int fd;

		if (strncmp(entry->d_name, LOCK_PREFIX, strlen(LOCK_PREFIX)) != 0)
			continue;
		snprintf(path, sizeof(path), LOCK_DIR "/%s", entry->d_name);
		fd = lock_open(path, 0);
		if (fd < 0)
			continue;
		name_remove(name);
		name_unlock(name, fd);
	}
	if (dir)
		closedir(dir);
}

/*
 * Enters the namespace, which is made if it is not there. Returns a descriptor of it; *ret_lock_fd
 * is for dp_netns_remove, -1 if it was there.
 */
int dp_netns_open(const char *name, int *ret_lock_fd)
{
	char path[128];
	int fd, r, lock_fd = -1;

	snprintf(path, sizeof(path), NETNS_DIR "/%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0 && setns(fd, CLONE_NEWNET)) {
		/* a leftover: its mount is gone */
		close(fd);
		fd = -1;
		unlink(path);
	}
	if (fd < 0) {
		lock_fd = name_lock(name);
		if (lock_fd < 0)
			return lock_fd;
		r = netns_make(path);
		fd = r ? r : open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0) {
			r = r ? r : -errno;
			name_unlock(name, lock_fd);
			return r;
		}
		interface_up("lo");
	}
	*ret_lock_fd = lock_fd;
	return fd;
}

void dp_netns_remove(const char *name, int lock_fd)
{
	name_remove(name);
	name_unlock(name, lock_fd);
}

static int address_set(const char *name, uint32_t ip_be, unsigned prefix)
{
	struct ifreq ifr = {0};
	struct sockaddr_in *addr = (struct sockaddr_in *)&ifr.ifr_addr;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int r = 0;

	if (fd < 0)
		return -errno;
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	addr->sin_family = AF_INET;
	addr->sin_addr.s_addr = ip_be;
	if (ioctl(fd, SIOCSIFADDR, &ifr))
		r = -errno;
	addr->sin_addr.s_addr = prefix ? htonl(~0U << (32 - prefix)) : 0;
	if (!r && ioctl(fd, SIOCSIFNETMASK, &ifr))
		r = -errno;
	close(fd);
	return r;
}

/* Gives a setting of the calling thread's network namespace a value; it may not exist. */
static void sysctl_set(const char *path, char value)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (write(fd, &value, 1) < 0)
		dp_log("cannot set %s", path);
	close(fd);
}

/*
 * The kernel's own IPv6 chatter on the TAP has nobody to hear it. Forwarding is on although there
 * is nowhere to forward to: so whoever asks for an address beyond is told that it is unreachable (a
 * resolver fails at once) instead of hearing nothing.
 */
static void sysctls_set(const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/disable_ipv6", name);
	sysctl_set(path, '1');
	sysctl_set("/proc/sys/net/ipv4/ip_forward", '1');
	/* every query of every resolver is answered, not one a second */
	sysctl_set("/proc/sys/net/ipv4/icmp_ratelimit", '0');
}

static int tap_configure(int fd, const char *name, uint32_t ip_be, unsigned prefix)
{
	int hdr_bytes = 12; /* struct virtio_net_hdr_mrg_rxbuf */
	int r;

	if (ioctl(fd, TUNSETVNETHDRSZ, &hdr_bytes) ||
	    ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6))
		return -errno;
	sysctls_set(name);
	r = address_set(name, ip_be, prefix);
	return r ? r : interface_up(name);
}

/*
 * A TAP in the calling thread's namespace, up, with its address. It goes with its descriptor, which
 * is returned. -EBUSY: somebody else has it.
 */
int dp_tap_open(const char *name, uint32_t ip_be, unsigned prefix)
{
	struct ifreq ifr = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	int r;

	if (fd < 0)
		return -errno;
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	r = ioctl(fd, TUNSETIFF, &ifr) ? -errno : tap_configure(fd, name, ip_be, prefix);
	if (r) {
		close(fd);
		return r;
	}
	return fd;
}
