/*
 * The world: environment, device side, link.
 */
#include "tests/net/harness.h"

#include <netinet/tcp.h>
#include <sys/mman.h>

#include "net/env.h"
#include "net/wire.h"

#define WINDOW_BYTES (ABI_BUFS_OFF + HOST_POOL_PAGES * 4096ul)

struct world world;

/* ---- what net/ asks of its embedder ---- */

void *net_env_alloc(size_t bytes)
{
	world.allocated += bytes;
	return calloc(1, bytes);
}

void *net_env_alloc_raw(size_t bytes)
{
	void *ptr = malloc(bytes);

	world.allocated += bytes;
	memset(ptr, 0xaa, bytes);
	return ptr;
}

void net_env_free(void *ptr, size_t bytes)
{
	if (ptr != NULL)
		world.allocated -= bytes;
	free(ptr);
}

uint64_t net_env_now_ns(void)
{
	return world.now_ns;
}

uint64_t net_env_realtime_ns(void)
{
	return world.now_ns + WORLD_EPOCH_NS;
}

uint32_t world_random(void)
{
	/* xorshift64* */
	world.random ^= world.random >> 12;
	world.random ^= world.random << 25;
	world.random ^= world.random >> 27;
	return (uint32_t)((world.random * 0x2545f4914f6cdd1dull) >> 32);
}

void net_env_random(void *dst, size_t bytes)
{
	uint8_t *at = dst;

	for (size_t i = 0; i < bytes; i++)
		at[i] = (uint8_t)world_random();
}

/* The first page stands for memory that the program does not have. */
int net_env_copy_in(void *dst, const void *user_src, size_t bytes)
{
	if ((uintptr_t)user_src < 4096 && bytes > 0)
		return -EFAULT;
	memcpy(dst, user_src, bytes);
	return 0;
}

int net_env_copy_out(void *user_dst, const void *src, size_t bytes)
{
	if ((uintptr_t)user_dst < 4096 && bytes > 0)
		return -EFAULT;
	memcpy(user_dst, src, bytes);
	return 0;
}

void net_env_sock_event(struct net_sock *sock, void *owner, uint32_t events)
{
	(void)sock;
	(void)owner;
	world.events = events;
	world.event_count++;
}

unsigned int net_env_vcpu(void)
{
	return 0;
}

void net_env_kick(struct net *net, unsigned int vcpu)
{
	(void)net;
	(void)vcpu;
}

/* ---- the device side ---- */

struct ring {
	struct vring_desc {
		uint64_t addr;
		uint32_t len;
		uint16_t flags, next;
	} * desc;
	struct {
		uint16_t flags, idx, ring[];
	} * avail;
	struct {
		uint16_t flags, idx;
		struct {
			uint32_t id, len;
		} ring[];
	} * used;
	uint16_t size;
};

static struct ring ring_of(struct host *host, unsigned int queue)
{
	struct abi_netq *q = &abi_netdev_of(host->window)->queue[queue];
	struct ring ring = {.size = (uint16_t)q->size};

	ring.desc = (void *)(host->window + q->desc_off);
	ring.avail = (void *)(host->window + q->avail_off);
	ring.used = (void *)(host->window + q->used_off);
	return ring;
}

bool world_inject(struct host *host, const uint8_t *vnet, const void *frame, size_t bytes)
{
	static const uint8_t none[12];
	struct ring ring = ring_of(host, 0);
	uint16_t ready = (uint16_t)(ring.avail->idx - host->rx_seen);
	uint16_t first = host->rx_used;
	uint8_t *count_at = NULL;
	uint16_t buffers = 0;
	size_t done = 0;
	bool begun = false;

	while (!begun || done < bytes) {
		struct vring_desc *desc;
		size_t room, part;
		uint8_t *at;
		uint16_t id;

		if (buffers == ready) {
			host->rx_full++;
			return false;
		}
		id = ring.avail->ring[(uint16_t)(host->rx_seen + buffers) % ring.size];
		desc = &ring.desc[id];
		at = host->window + desc->addr;
		room = desc->len;
		ring.used->ring[(uint16_t)(first + buffers) % ring.size].id = id;
		if (!begun) {
			memcpy(at, vnet != NULL ? vnet : none, 12);
			count_at = at + 10;
			at += 12;
			room -= 12;
		}
		part = bytes - done < room ? bytes - done : room;
		memcpy(at, (const uint8_t *)frame + done, part);
		ring.used->ring[(uint16_t)(first + buffers) % ring.size].len =
			(uint32_t)(part + (begun ? 0 : 12));
		done += part;
		begun = true;
		buffers++;
	}
	memcpy(count_at, &buffers, 2);
	host->rx_seen = (uint16_t)(host->rx_seen + buffers);
	host->rx_used = (uint16_t)(first + buffers);
	__atomic_store_n(&ring.used->idx, host->rx_used, __ATOMIC_RELEASE);
	host->frames_in++;
	return true;
}

/* ---- the link ---- */

static void frame_enqueue(struct frame *frame)
{
	struct frame **at = &world.queue;

	while (*at != NULL && ((*at)->at_ns < frame->at_ns ||
			       ((*at)->at_ns == frame->at_ns && (*at)->order < frame->order)))
		at = &(*at)->next;
	frame->next = *at;
	*at = frame;
}

static bool dice(unsigned int permille)
{
	return permille != 0 && world_random() % 1000 < permille;
}

static struct frame *frame_copy(const struct frame *from)
{
	struct frame *copy = malloc(sizeof(*copy) + from->bytes);

	memcpy(copy, from, sizeof(*copy) + from->bytes);
	return copy;
}

/* RFC 3168 5: a router marks instead of dropping. IPv4 only. */
static void link_mark(struct frame *frame)
{
	uint8_t *ip = frame->data + 14;
	uint16_t sum;

	if (frame->bytes < 34 || ip[0] != 0x45 || (ip[1] & ECN_MASK) == 0 ||
	    !dice(world.link.ce_permille))
		return;
	ip[1] |= ECN_CE;
	ip[10] = ip[11] = 0;
	sum = csum_finish(csum_add(0, ip, 20));
	memcpy(ip + 10, &sum, 2);
	world.ce_marks[frame->from]++;
}

static void link_send(struct frame *frame)
{
	const struct link_model *link = &world.link;

	if ((link->inspect != NULL &&
	     !link->inspect(frame->from, frame->data, frame->bytes, link->arg)) ||
	    dice(link->loss_permille)) {
		free(frame);
		return;
	}
	link_mark(frame);
	frame->order = world.order++;
	frame->at_ns = world.now_ns + link->delay_ns;
	if (link->jitter_ns != 0)
		frame->at_ns += world_random() % link->jitter_ns;
	if (dice(link->reorder_permille))
		frame->at_ns += link->delay_ns / 2 + world_random() % (link->delay_ns + 1);
	if (dice(link->corrupt_permille) && frame->bytes > 34)
		frame->data[14 + world_random() % (frame->bytes - 14)] ^=
			(uint8_t)(1u << world_random() % 8);
	if (dice(link->duplicate_permille)) {
		struct frame *copy = frame_copy(frame);

		copy->order = world.order++;
		frame_enqueue(copy);
	}
	frame_enqueue(frame);
}

void world_offer(unsigned int from, const uint8_t *vnet, const void *data, size_t bytes)
{
	struct frame *frame = calloc(1, sizeof(*frame) + bytes);

	if (vnet != NULL)
		memcpy(frame->vnet, vnet, sizeof(frame->vnet));
	memcpy(frame->data, data, bytes);
	frame->bytes = bytes;
	frame->from = from;
	frame->to = !from;
	link_send(frame);
}

/* The chain that starts at `head`, in one piece. */
static struct frame *chain_read(const struct host *host, const struct ring *ring, uint16_t head)
{
	struct frame *frame;
	size_t total = 0, at = 0;

	for (uint16_t id = head;; id = ring->desc[id].next) {
		assert_in_range(ring->desc[id].addr, ABI_RINGS_OFF, ABI_WINDOW_SIZE);
		total += ring->desc[id].len;
		assert_true(total < 70000);
		if (!(ring->desc[id].flags & 1))
			break;
	}
	assert_true(ring->desc[head].len >= sizeof(frame->vnet));
	frame = malloc(sizeof(*frame) + total);
	*frame = (struct frame){.bytes = total - sizeof(frame->vnet)};
	for (uint16_t id = head;; id = ring->desc[id].next) {
		const uint8_t *from = host->window + ring->desc[id].addr;
		size_t bytes = ring->desc[id].len;

		if (id == head) {
			memcpy(frame->vnet, from, sizeof(frame->vnet));
			from += sizeof(frame->vnet);
			bytes -= sizeof(frame->vnet);
		}
		memcpy(frame->data + at, from, bytes);
		at += bytes;
		if (!(ring->desc[id].flags & 1))
			return frame;
	}
}

/* Takes what a host has put on its TX ring. True if there was anything. */
static bool host_pump(unsigned int index)
{
	struct host *host = &world.hosts[index];
	struct ring ring = ring_of(host, 1);
	bool any = false;

	if (host->hold_tx)
		return false;
	while (host->tx_seen != __atomic_load_n(&ring.avail->idx, __ATOMIC_ACQUIRE)) {
		uint16_t head = ring.avail->ring[host->tx_seen % ring.size];
		struct frame *frame = chain_read(host, &ring, head);

		ring.used->ring[host->tx_used % ring.size].id = head;
		ring.used->ring[host->tx_used % ring.size].len = 0;
		host->tx_used++;
		host->tx_seen++;
		__atomic_store_n(&ring.used->idx, host->tx_used, __ATOMIC_RELEASE);
		host->frames_out++;
		frame->from = index;
		frame->to = !index;
		any = true;
		link_send(frame);
	}
	return any;
}

static void frame_deliver(struct frame *frame)
{
	struct host *host = &world.hosts[frame->to];

	if (host->net != NULL) {
		world_inject(host, frame->vnet, frame->data, frame->bytes);
		free(frame);
		return;
	}
	frame->next = NULL;
	if (world.captured_tail != NULL)
		world.captured_tail->next = frame;
	else
		world.captured = frame;
	world.captured_tail = frame;
}

struct frame *world_take(void)
{
	struct frame *frame = world.captured;

	if (frame == NULL)
		return NULL;
	world.captured = frame->next;
	if (world.captured == NULL)
		world.captured_tail = NULL;
	return frame;
}

/* ---- time ---- */

void world_settle(void)
{
	bool again = true;

	while (again) {
		again = false;
		for (unsigned int i = 0; i < 2; i++) {
			struct host *host = &world.hosts[i];

			if (host->net == NULL)
				continue;
			net_flush(host->net, 0);
			while (net_poll(host->net, 0, 64) > 0)
				again = true;
			again |= host_pump(i);
		}
		while (world.queue != NULL && world.queue->at_ns <= world.now_ns) {
			struct frame *frame = world.queue;

			world.queue = frame->next;
			frame_deliver(frame);
			again = true;
		}
	}
}

bool world_run(uint64_t ns, bool (*step)(void *arg), void *arg)
{
	uint64_t end = world.now_ns + ns;

	for (;;) {
		uint64_t next = end;

		world_settle();
		if (step != NULL && step(arg))
			return true;
		world_settle();
		for (unsigned int i = 0; i < 2; i++) {
			uint64_t deadline = NET_NO_DEADLINE;

			if (world.hosts[i].net != NULL)
				deadline = net_next_deadline(world.hosts[i].net);
			if (deadline < next)
				next = deadline;
		}
		if (world.queue != NULL && world.queue->at_ns < next)
			next = world.queue->at_ns;
		if (world.now_ns >= end)
			return false;
		if (next <= world.now_ns)
			next = world.now_ns + 1;
		world.now_ns = next;
		for (unsigned int i = 0; i < 2; i++)
			if (world.hosts[i].net != NULL)
				net_timers_run(world.hosts[i].net, world.now_ns);
	}
}

/* ---- life ---- */

static void host_init(unsigned int index, uint64_t features, uint16_t mtu, bool stack)
{
	struct host *host = &world.hosts[index];
	struct net_config config = {.prefix_bits = 24,
				    .mtu = mtu,
				    .loopback = true,
				    .buf_offset = ABI_BUFS_OFF,
				    .queue_pairs = 1,
				    .buf_bytes = (uint64_t)HOST_POOL_PAGES * 4096};

	*host = (struct host){.mac = {2, 0, 0, 0, 0, (uint8_t)(index + 1)}};
	host->ip.s_addr = htonl(0x0a000001u + index);
	host->ip6 = (struct in6_addr){.s6_addr = {0xfd, [15] = (uint8_t)(index + 1)}};
	if (!stack)
		return;
	host->window = mmap(NULL, WINDOW_BYTES, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	assert_ptr_not_equal(host->window, MAP_FAILED);
	config.ip = host->ip;
	config.gateway.s_addr = htonl(0x0a0000fe);
	memcpy(config.mac, host->mac, 6);
	config.ip6 = host->ip6;
	config.prefix6_bits = 64;
	config.window = host->window;
	config.dev = abi_netdev_of(host->window);
	config.dev->device_features = features;
	assert_int_equal(net_init(&config, &host->net), 0);
}

void world_init(uint64_t seed, uint64_t features, bool second_stack, uint16_t mtu)
{
	world = (struct world){.now_ns = 1000 * SEC,
			       .seed = seed,
			       .random = seed * 0x9e3779b97f4a7c15ull | 1};
	world.link.delay_ns = 1000;
	host_init(0, features, mtu, true);
	host_init(1, features, mtu, second_stack);
}

void world_finish(void)
{
	struct frame *frame;

	for (unsigned int i = 0; i < 2; i++) {
		net_finish(world.hosts[i].net);
		if (world.hosts[i].window != NULL)
			munmap(world.hosts[i].window, WINDOW_BYTES);
	}
	while ((frame = world_take()) != NULL)
		free(frame);
	while ((frame = world.queue) != NULL) {
		world.queue = frame->next;
		free(frame);
	}
	assert_int_equal(world.allocated, 0);
}

/* ---- sockets ---- */

struct net_sock *sock_new(struct host *host, int family, int type)
{
	struct net_sock *sock;

	assert_int_equal(net_socket(host->net, family, type, 0, host, &sock), 0);
	return sock;
}

static socklen_t address(const char *ip, uint16_t port, struct sockaddr_storage *ret)
{
	struct sockaddr_in *in = (void *)ret;
	struct sockaddr_in6 *in6 = (void *)ret;

	memset(ret, 0, sizeof(*ret));
	if (inet_pton(AF_INET, ip, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
		in->sin_port = htons(port);
		return sizeof(*in);
	}
	assert_int_equal(inet_pton(AF_INET6, ip, &in6->sin6_addr), 1);
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(port);
	return sizeof(*in6);
}

int sock_bind(struct net_sock *sock, const char *ip, uint16_t port)
{
	struct sockaddr_storage addr;
	socklen_t bytes = address(ip, port, &addr);

	return net_bind(sock, (void *)&addr, bytes);
}

int sock_connect(struct net_sock *sock, const char *ip, uint16_t port)
{
	struct sockaddr_storage addr;
	socklen_t bytes = address(ip, port, &addr);
	int rc = net_connect(sock, (void *)&addr, bytes);

	/* over loopback it is done when the call returns, which the next call says */
	if (rc == -EINPROGRESS && (strstr(ip, "127.0.0.1") != NULL || strcmp(ip, "::1") == 0))
		rc = net_connect(sock, (void *)&addr, bytes);
	return rc;
}

ssize_t sock_send(struct net_sock *sock, const void *data, size_t bytes, int flags)
{
	struct iovec iov = {.iov_base = (void *)(uintptr_t)data, .iov_len = bytes};
	struct net_msg msg = {.iov = &iov, .iov_count = 1};

	return net_sendmsg(sock, &msg, flags);
}

ssize_t sock_recv(struct net_sock *sock, void *data, size_t bytes, int flags)
{
	struct iovec iov = {.iov_base = data, .iov_len = bytes};
	struct net_msg msg = {.iov = &iov, .iov_count = 1};

	return net_recvmsg(sock, &msg, flags);
}

struct net_sock *sock_listener(struct host *host, uint16_t port, int backlog)
{
	struct net_sock *sock = sock_new(host, AF_INET, SOCK_STREAM);

	assert_int_equal(sock_bind(sock, "0.0.0.0", port), 0);
	assert_int_equal(net_listen(sock, backlog), 0);
	return sock;
}

struct net_sock *sock_accept(struct net_sock *listener)
{
	struct net_sock *sock;

	if (net_accept(listener, &sock) != 0)
		return NULL;
	net_sock_set_owner(sock, &world);
	return sock;
}

void sock_pair(struct host *from, struct host *to, uint16_t port, struct net_sock *ret_pair[2])
{
	struct net_sock *listener = sock_listener(to, port, 16);
	char ip[16];
	int rc;

	inet_ntop(AF_INET, &to->ip, ip, sizeof(ip));
	ret_pair[0] = sock_new(from, AF_INET, SOCK_STREAM);
	rc = sock_connect(ret_pair[0], ip, port);
	assert_int_equal(rc, -EINPROGRESS);
	for (unsigned int i = 0; i < 100 && sock_state(ret_pair[0]) != TCP_ESTABLISHED; i++)
		world_run(100 * MS, NULL, NULL);
	assert_int_equal(sock_state(ret_pair[0]), TCP_ESTABLISHED);
	for (unsigned int i = 0; i < 100; i++) {
		ret_pair[1] = sock_accept(listener);
		if (ret_pair[1] != NULL)
			break;
		world_run(100 * MS, NULL, NULL);
	}
	assert_non_null(ret_pair[1]);
	net_close(listener);
}

uint8_t sock_state(struct net_sock *sock)
{
	struct tcp_info info;
	socklen_t bytes = sizeof(info);

	assert_int_equal(net_getsockopt(sock, IPPROTO_TCP, TCP_INFO, &info, &bytes), 0);
	return info.tcpi_state;
}

int sock_error(struct net_sock *sock)
{
	return net_sock_error(sock);
}
