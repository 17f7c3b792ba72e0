/*
 * unix_opt.c - socket options and ioctls of AF_UNIX.  See socket(7), unix(7).
 */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "leat/base/bits.h"
#include "libos/timespec.h"
#include "libos/unix.h"

#define SIOCOUTQ_CMD 0x5411
#define UNIX_BUFFER_MIN 2304U
#define UNIX_BUFFER_MAX (4U << 20)

/* Options that mean nothing here but that Linux keeps for any socket. */
static bool option_is_plain(int name)
{
	return name == SO_REUSEADDR || name == SO_KEEPALIVE || name == SO_BROADCAST ||
	       name == SO_DONTROUTE || name == SO_OOBINLINE || name == SO_REUSEPORT;
}

static int set_timeout(uint64_t *timeout_ns, const void *value, unsigned len)
{
	struct timeval tv;

	if (len < sizeof(tv))
		return -EINVAL;
	memcpy(&tv, value, sizeof(tv));
	if (tv.tv_usec < 0 || tv.tv_usec >= 1000000)
		return -EDOM;
	*timeout_ns = tv.tv_sec < 0 ? 0 : timeval_to_ns(&tv);
	return 0;
}

/* The kernel doubles what is asked, for its own overhead, and programs see that. */
static unsigned buffer_size(int asked)
{
	unsigned bytes = asked < 0 ? 0 : (unsigned)asked;

	bytes = MIN(bytes, UNIX_BUFFER_MAX / 2) * 2;
	return MAX(UNIX_BUFFER_MIN, bytes);
}

int unix_setsockopt(struct file *file, int level, int name, const void *value, unsigned len)
{
	struct unix_sock *sock = file->data;
	int n;

	if (level != SOL_SOCKET)
		return -EOPNOTSUPP;
	if (name == SO_RCVTIMEO)
		return set_timeout(&sock->rcv_timeout_ns, value, len);
	if (name == SO_SNDTIMEO)
		return set_timeout(&sock->snd_timeout_ns, value, len);
	if (len < sizeof(n))
		return -EINVAL;
	memcpy(&n, value, sizeof(n));
	if (option_is_plain(name)) {
		sock->plain_options &= ~(1U << name);
		sock->plain_options |= (uint32_t)(n != 0) << name;
		return 0;
	}
	switch (name) {
	case SO_PASSCRED:
		sock->passcred = n != 0;
		return 0;
	case SO_SNDBUF:
		sock->sndbuf = buffer_size(n);
		return 0;
	case SO_RCVBUF:
		sock->rcvbuf = buffer_size(n);
		return 0;
	default:
		return -ENOPROTOOPT;
	}
}

static int put_option(void *value, unsigned *len, const void *data, unsigned size)
{
	*len = MIN(*len, size);
	memcpy(value, data, *len);
	return 0;
}

static int option_int(struct unix_sock *sock, int name, int *ret_value)
{
	switch (name) {
	case SO_TYPE:
		*ret_value = sock->type;
		return 0;
	case SO_DOMAIN:
		*ret_value = AF_UNIX;
		return 0;
	case SO_PROTOCOL:
		*ret_value = 0;
		return 0;
	case SO_ERROR:
		*ret_value = sock->error;
		sock->error = 0;
		return 0;
	case SO_ACCEPTCONN:
		*ret_value = sock->state == UNIX_LISTENING;
		return 0;
	case SO_PASSCRED:
		*ret_value = sock->passcred;
		return 0;
	case SO_SNDBUF:
		*ret_value = (int)sock->sndbuf;
		return 0;
	case SO_RCVBUF:
		*ret_value = (int)sock->rcvbuf;
		return 0;
	default:
		if (!option_is_plain(name))
			return -ENOPROTOOPT;
		*ret_value = (sock->plain_options >> name) & 1;
		return 0;
	}
}

int unix_getsockopt(struct file *file, int level, int name, void *value, unsigned *len)
{
	struct unix_sock *sock = file->data;
	struct timeval tv;
	int n, err;

	if (level != SOL_SOCKET)
		return -EOPNOTSUPP;
	if (name == SO_RCVTIMEO || name == SO_SNDTIMEO) {
		tv = ns_to_timeval(name == SO_RCVTIMEO ? sock->rcv_timeout_ns :
							 sock->snd_timeout_ns);
		return put_option(value, len, &tv, sizeof(tv));
	}
	if (name == SO_PEERCRED) {
		const struct unix_cred none = {.uid = ~0U, .gid = ~0U};

		return put_option(value, len, sock->peer_cred.pid != 0 ? &sock->peer_cred : &none,
				  sizeof(struct unix_cred));
	}
	err = option_int(sock, name, &n);
	return err != 0 ? err : put_option(value, len, &n, sizeof(n));
}

long unix_ioctl(struct file *file, unsigned cmd, unsigned long arg)
{
	const struct unix_sock *sock = file->data;
	size_t n;

	switch (cmd) {
	case FIONREAD:
		if (sock->state == UNIX_LISTENING)
			return -EINVAL;
		n = sock->rx_bytes;
		if (!unix_is_stream(sock) && !list_empty(&sock->rx))
			n = list_entry(sock->rx.next, struct unix_msg, node)->len;
		return put_user_u32((uint32_t *)arg, (uint32_t)n);
	case SIOCOUTQ_CMD:
		return put_user_u32((uint32_t *)arg,
				    sock->peer != NULL ? (uint32_t)sock->peer->rx_bytes : 0);
	default:
		return -ENOTTY;
	}
}
