/*
 * dpu.c - the generator of `leat bench dpu`: one core of DPDK that sends frames on one virtio-user
 * port and receives them on another. Who forwards between the two sockets is measured.
 *
 *	bench-dpu CPU BYTES SECONDS PATH MAC IP PATH MAC IP
 *
 * Prints received frames a second and the share of the sent ones that did not arrive. Frames are
 * UDP over IPv4 from the first port's addresses to the second's, so that a filter lets them pass;
 * every received one is looked at, and its last bytes must be what was sent.
 */
#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_ether.h>
#include <rte_mbuf.h>

#define BURST 32U
#define QUEUE 1024U
#define BUFFERS 8191U
#define HEADERS (sizeof(struct rte_ether_hdr) + sizeof(struct iphdr) + sizeof(struct udphdr))
#define MARK 0x1ea7da7aU

struct side {
	const char *path;
	struct rte_ether_addr mac;
	uint32_t ip_be;
};

static uint8_t frame[1518];
static uint16_t frame_bytes;

static void die(const char *what)
{
	fprintf(stderr, "bench-dpu: cannot %s\n", what);
	exit(1);
}

static uint16_t ip_sum(const struct iphdr *ip)
{
	const uint8_t *bytes = (const uint8_t *)ip;
	uint32_t sum = 0;

	for (unsigned i = 0; i < sizeof(*ip); i += 2)
		sum += (uint32_t)bytes[i] << 8 | bytes[i + 1];
	sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t) ~(sum + (sum >> 16)));
}

static void frame_make(const struct side *from, const struct side *to)
{
	struct rte_ether_hdr eth = {.dst_addr = to->mac,
				    .src_addr = from->mac,
				    .ether_type = htons(RTE_ETHER_TYPE_IPV4)};
	struct iphdr ip = {.version = 4,
			   .ihl = 5,
			   .ttl = 64,
			   .protocol = IPPROTO_UDP,
			   .tot_len = htons((uint16_t)(frame_bytes - sizeof(eth))),
			   .saddr = from->ip_be,
			   .daddr = to->ip_be};
	struct udphdr udp = {.uh_sport = htons(9),
			     .uh_dport = htons(9),
			     .uh_ulen = htons((uint16_t)(frame_bytes - sizeof(eth) - sizeof(ip)))};
	const uint32_t mark = MARK;

	ip.check = ip_sum(&ip);
	memcpy(frame, &eth, sizeof(eth));
	memcpy(frame + sizeof(eth), &ip, sizeof(ip));
	memcpy(frame + sizeof(eth) + sizeof(ip), &udp, sizeof(udp));
	memcpy(frame + frame_bytes - sizeof(mark), &mark, sizeof(mark));
}

/* Every buffer to be sent has the frame once and for all. */
static void buffer_fill(struct rte_mempool *pool, void *arg, void *object, unsigned index)
{
	struct rte_mbuf *mbuf = object;

	(void)pool;
	(void)arg;
	(void)index;
	memcpy((uint8_t *)mbuf->buf_addr + RTE_PKTMBUF_HEADROOM, frame, frame_bytes);
}

static void eal_start(const char *cpu, const struct side side[2])
{
	char program[] = "bench-dpu", no_huge[] = "--no-huge", mem[] = "-m", megabytes[] = "128",
	     no_pci[] = "--no-pci", no_shconf[] = "--no-shconf", no_telemetry[] = "--no-telemetry",
	     log[] = "--log-level=*:error", lcores_option[] = "--lcores", lcores[32],
	     device[2][320], mac[RTE_ETHER_ADDR_FMT_SIZE];
	char *argv[] = {program,   no_huge,      mem, megabytes,     no_pci,
			no_shconf, no_telemetry, log, lcores_option, lcores,
			device[0], device[1],    NULL};

	snprintf(lcores, sizeof(lcores), "0@%s", cpu);
	for (unsigned i = 0; i < 2; i++) {
		rte_ether_format_addr(mac, sizeof(mac), &side[i].mac);
		snprintf(device[i], sizeof(device[i]),
			 "--vdev=net_virtio_user%u,path=%s,mac=%s,queue_size=%u", i, side[i].path,
			 mac, QUEUE);
	}
	if (rte_eal_init((int)(sizeof(argv) / sizeof(argv[0])) - 1, argv) < 0)
		die("start DPDK");
	if (rte_eth_dev_count_avail() != 2)
		die("connect to both ports");
}

static struct rte_mempool *port_start(uint16_t port)
{
	const struct rte_eth_conf conf = {0};
	char name[16];
	struct rte_mempool *pool;

	snprintf(name, sizeof(name), "pool%u", port);
	pool = rte_pktmbuf_pool_create(name, BUFFERS, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE,
				       SOCKET_ID_ANY);
	if (!pool || rte_eth_dev_configure(port, 1, 1, &conf) ||
	    rte_eth_rx_queue_setup(port, 0, QUEUE, SOCKET_ID_ANY, NULL, pool) ||
	    rte_eth_tx_queue_setup(port, 0, QUEUE, SOCKET_ID_ANY, NULL) || rte_eth_dev_start(port))
		die("start a port");
	return pool;
}

static unsigned send_burst(struct rte_mempool *pool)
{
	struct rte_mbuf *mbuf[BURST];
	uint16_t n;

	if (rte_pktmbuf_alloc_bulk(pool, mbuf, BURST))
		return 0;
	for (unsigned i = 0; i < BURST; i++)
		mbuf[i]->pkt_len = mbuf[i]->data_len = frame_bytes;
	n = rte_eth_tx_burst(0, 0, mbuf, BURST);
	for (unsigned i = n; i < BURST; i++)
		rte_pktmbuf_free(mbuf[i]);
	return n;
}

/* Frames of ours; what else comes (announcements of a switch) is not counted. */
static unsigned receive_burst(void)
{
	struct rte_mbuf *mbuf[BURST];
	uint16_t n = rte_eth_rx_burst(1, 0, mbuf, BURST);
	unsigned ours = 0;

	for (unsigned i = 0; i < n; i++) {
		uint32_t mark;

		memcpy(&mark, rte_pktmbuf_mtod(mbuf[i], uint8_t *) + frame_bytes - sizeof(mark),
		       sizeof(mark));
		ours += mbuf[i]->pkt_len == frame_bytes && mark == MARK;
		rte_pktmbuf_free(mbuf[i]);
	}
	return ours;
}

/* Sends and receives for a while; returns frames a second. */
static double run(struct rte_mempool *pool, double seconds, double *ret_lost)
{
	uint64_t hz = rte_get_tsc_hz(), start = rte_rdtsc(), now = start;
	uint64_t end = start + (uint64_t)(seconds * (double)hz), sent = 0, received = 0;

	do {
		sent += send_burst(pool);
		received += receive_burst();
		now = rte_rdtsc();
	} while (now < end);
	*ret_lost = sent > received ? (double)(sent - received) / (double)sent : 0;
	return (double)received * (double)hz / (double)(now - start);
}

int main(int argc, char **argv)
{
	struct side side[2];
	struct rte_mempool *pool;
	double seconds, rate, lost;

	if (argc != 10) {
		fputs("usage: bench-dpu CPU BYTES SECONDS PATH MAC IP PATH MAC IP\n", stderr);
		return 1;
	}
	frame_bytes = (uint16_t)atoi(argv[2]);
	seconds = atof(argv[3]);
	if (frame_bytes < HEADERS + sizeof(uint32_t) || frame_bytes > sizeof(frame))
		die("make such frames");
	for (unsigned i = 0; i < 2; i++) {
		side[i].path = argv[4 + 3 * i];
		if (rte_ether_unformat_addr(argv[5 + 3 * i], &side[i].mac) ||
		    inet_pton(AF_INET, argv[6 + 3 * i], &side[i].ip_be) != 1)
			die("read the addresses");
	}
	frame_make(&side[0], &side[1]);
	eal_start(argv[1], side);
	pool = port_start(0);
	rte_mempool_obj_iter(pool, buffer_fill, NULL);
	port_start(1);
	run(pool, 0.5, &lost);
	rate = run(pool, seconds, &lost);
	printf("%.0f %.4f\n", rate, lost);
	fflush(stdout);
	/* stopping the ports would ask a forwarder that shares its core with its own control
	 * thread, and may wait for it for long; it sees us go */
	_exit(0);
}
