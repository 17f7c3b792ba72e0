/*
 * dataplane_netns.c - the uplink's network namespace and its TAP.
 *
 * The namespace is named as `ip netns add` names one, so that `ip netns exec leat ...` works. Both
 * functions change the calling thread's namespace: call them on a thread of their own.
 */
#include "apps/leatd/dataplane_private.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define NETNS_DIR "/run/netns"

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

/* Enters the namespace, which is made if it is not there. Returns a descriptor of it. */
int dp_netns_open(const char *name, bool *ret_made)
{
	char path[128];
	bool made = false;
	int fd, r;

	snprintf(path, sizeof(path), NETNS_DIR "/%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0 && setns(fd, CLONE_NEWNET)) {
		/* a leftover: its mount is gone */
		close(fd);
		fd = -1;
		unlink(path);
	}
	if (fd < 0) {
		r = netns_make(path);
		if (r)
			return r;
		made = true;
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			return -errno;
		interface_up("lo");
	}
	*ret_made = made;
	return fd;
}

void dp_netns_remove(const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), NETNS_DIR "/%s", name);
	umount2(path, MNT_DETACH);
	unlink(path);
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
