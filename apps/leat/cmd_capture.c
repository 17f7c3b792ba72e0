/*
 * cmd_capture.c - leat capture: an instance's packets as pcapng (draft-ietf-opsawg-pcapng).
 *
 * leatd hands over a ring (leat/abi/capture.h); packets are taken out of it and written as they
 * come.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "apps/common/parse.h"
#include "apps/leat/leat.h"
#include "leat/abi/capture.h"

#define SNAP_DEFAULT 262144U
#define LOOK_MS 5 /* an empty ring is looked at so often */
#define BLOCK_MAX (262144U + 64U)

/* Block types and options of pcapng. */
#define PCAPNG_SECTION 0x0a0d0d0aU
#define PCAPNG_INTERFACE 1U
#define PCAPNG_PACKET 6U
#define PCAPNG_LINK_ETHERNET 1U
#define OPT_END 0U
#define OPT_IF_NAME 2U
#define OPT_IF_TSRESOL 9U
#define OPT_EPB_FLAGS 2U

static const char help[] =
	"usage: leat capture [-w FILE] [-s BYTES] [-c COUNT] NAME\n"
	"Writes what an instance sends and receives, as pcapng, to FILE or to standard output,\n"
	"until interrupted, until the instance ends, or for COUNT packets. Packets that\n"
	"come faster than they can be written are counted and left out.\n"
	"\n"
	"  -s BYTES   of each packet at most\n"
	"\n"
	"leat capture web | tshark -r -\n";

struct capture {
	struct dpu_capture_ring *ring;
	const uint8_t *data;
	FILE *out;
	uint64_t tail;
	uint64_t packets, most;
};

static volatile sig_atomic_t interrupted;

static void on_signal(int sig)
{
	(void)sig;
	interrupted = 1;
}

/* ---- pcapng ---- */

struct block {
	uint8_t bytes[BLOCK_MAX];
	uint32_t length;
};

static void put(struct block *block, const void *from, size_t bytes)
{
	memcpy(block->bytes + block->length, from, bytes);
	block->length += (uint32_t)bytes;
	while (block->length % 4 != 0)
		block->bytes[block->length++] = 0;
}

static void put_u32(struct block *block, uint32_t value)
{
	put(block, &value, sizeof(value));
}

static void put_option(struct block *block, uint16_t code, const void *value, uint16_t bytes)
{
	const uint16_t head[2] = {code, bytes};

	put(block, head, sizeof(head));
	put(block, value, bytes);
}

static void block_begin(struct block *block, uint32_t type)
{
	block->length = 0;
	put_u32(block, type);
	put_u32(block, 0);
}

/* Its length goes to both ends of it. */
static bool block_write(struct block *block, FILE *out)
{
	uint32_t length = block->length + 4;

	memcpy(block->bytes + 4, &length, sizeof(length));
	put_u32(block, length);
	return fwrite(block->bytes, length, 1, out) == 1;
}

static bool header_write(const struct capture *capture, const char *name)
{
	static struct block block;
	const uint16_t version[2] = {1, 0}, link[2] = {PCAPNG_LINK_ETHERNET, 0};
	const uint64_t unknown = UINT64_MAX;
	const uint8_t nanoseconds = 9;

	block_begin(&block, PCAPNG_SECTION);
	put_u32(&block, 0x1a2b3c4d);
	put(&block, version, sizeof(version));
	put(&block, &unknown, sizeof(unknown));
	if (!block_write(&block, capture->out))
		return false;
	block_begin(&block, PCAPNG_INTERFACE);
	put(&block, link, sizeof(link));
	put_u32(&block, capture->ring->snap_bytes);
	put_option(&block, OPT_IF_NAME, name, (uint16_t)strlen(name));
	put_option(&block, OPT_IF_TSRESOL, &nanoseconds, 1);
	put_u32(&block, OPT_END);
	return block_write(&block, capture->out);
}

/* ---- the ring ---- */

static void ring_read(const struct capture *capture, uint64_t at, void *to, size_t bytes)
{
	size_t offset = at % DPU_CAPTURE_RING;
	size_t first = bytes < DPU_CAPTURE_RING - offset ? bytes : DPU_CAPTURE_RING - offset;

	memcpy(to, capture->data + offset, first);
	memcpy((uint8_t *)to + first, capture->data, bytes - first);
}

static bool packet_write(const struct capture *capture, const struct dpu_capture_record *record)
{
	static struct block block;
	static uint8_t packet[BLOCK_MAX];

	ring_read(capture, capture->tail + sizeof(*record), packet, record->bytes);
	block_begin(&block, PCAPNG_PACKET);
	put_u32(&block, 0);
	put_u32(&block, (uint32_t)(record->time_ns >> 32));
	put_u32(&block, (uint32_t)record->time_ns);
	put_u32(&block, record->bytes);
	put_u32(&block, record->length);
	put(&block, packet, record->bytes);
	/* the lowest two bits: 1 inbound, 2 outbound */
	put_option(&block, OPT_EPB_FLAGS, &record->direction, 4);
	put_u32(&block, OPT_END);
	return block_write(&block, capture->out);
}

/* Writes what is there. False: it cannot be written. */
static bool ring_drain(struct capture *capture)
{
	/* acquire: pairs with the DPU's release */
	uint64_t head = __atomic_load_n(&capture->ring->head, __ATOMIC_ACQUIRE);

	while (capture->tail != head && capture->packets < capture->most) {
		struct dpu_capture_record record;

		ring_read(capture, capture->tail, &record, sizeof(record));
		if (!packet_write(capture, &record))
			return false;
		capture->packets++;
		capture->tail += sizeof(record) + (record.bytes + 7ULL) / 8 * 8;
		/* release: the DPU may write there again */
		__atomic_store_n(&capture->ring->tail, capture->tail, __ATOMIC_RELEASE);
	}
	return fflush(capture->out) == 0;
}

static int watch(struct capture *capture)
{
	struct pollfd reader = {.fd = fileno(capture->out)}; /* gone: POLLERR */
	bool ended = false;

	while (!interrupted && !ended && capture->packets < capture->most) {
		/* read before the packets: what came before the end is then seen */
		ended = __atomic_load_n(&capture->ring->ended, __ATOMIC_ACQUIRE);
		if (!ring_drain(capture))
			return errno == EPIPE ? 0 : leat_error("cannot write: %s", strerror(errno));
		if (!ended && poll(&reader, 1, LOOK_MS) > 0)
			break;
	}
	if (!ring_drain(capture) && errno != EPIPE)
		return leat_error("cannot write: %s", strerror(errno));
	fprintf(stderr, "%llu packets captured, %llu dropped\n",
		(unsigned long long)capture->packets,
		(unsigned long long)__atomic_load_n(&capture->ring->dropped, __ATOMIC_RELAXED));
	return 0;
}

static int capture_run(struct capture *capture, const char *name, uint32_t snap)
{
	const struct sigaction stop = {.sa_handler = on_signal}, ignore = {.sa_handler = SIG_IGN};
	size_t bytes = DPU_CAPTURE_DATA_OFF + DPU_CAPTURE_RING;
	int fds[CHANNEL_FDS_MAX], fd = daemon_connect(false), code = EXIT_LEAT;
	unsigned nr_fds = 0;
	json_t *request, *answer;
	void *map;

	if (fd < 0)
		return EXIT_LEAT;
	request = json_pack("{s:s, s:s, s:i}", "op", "capture", "name", name, "snap", (int)snap);
	answer = daemon_call(fd, request, NULL, 0, fds, &nr_fds);
	json_decref(request);
	json_decref(answer);
	if (answer == NULL || nr_fds != 1)
		return EXIT_LEAT;
	map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fds[0], 0);
	if (map == MAP_FAILED)
		return leat_error("cannot map the capture: %s", strerror(errno));
	capture->ring = map;
	capture->data = (const uint8_t *)map + DPU_CAPTURE_DATA_OFF;
	sigaction(SIGINT, &stop, NULL);
	sigaction(SIGTERM, &stop, NULL);
	sigaction(SIGPIPE, &ignore, NULL);
	if (!header_write(capture, name) || fflush(capture->out) != 0)
		leat_error("cannot write: %s", strerror(errno));
	else
		code = watch(capture);
	close(fd); /* ends it in leatd */
	return code;
}

int cmd_capture(int argc, char **argv)
{
	static const struct option options[] = {
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	struct capture capture = {.out = stdout, .most = UINT64_MAX};
	uint64_t snap = SNAP_DEFAULT;
	const char *file = NULL;
	int c;

	while ((c = getopt_long(argc, argv, "w:s:c:", options, NULL)) != -1) {
		if (c == 'h') {
			fputs(help, stdout);
			return 0;
		}
		if (c == 'w')
			file = optarg;
		else if (c == 's' && parse_number(optarg, 1, SNAP_DEFAULT, &snap) == 0)
			continue;
		else if (c != 'c' || parse_number(optarg, 1, INT64_MAX, &capture.most) < 0)
			return leat_error("see leat capture --help");
	}
	if (optind + 1 != argc)
		return leat_error("give the name of one instance; see leat capture --help");
	if (file == NULL && isatty(STDOUT_FILENO))
		return leat_error("packets are not for a terminal: give -w FILE, or pipe them on");
	if (file != NULL) {
		capture.out = fopen(file, "we");
		if (capture.out == NULL)
			return leat_error("cannot write %s: %s", file, strerror(errno));
	}
	return capture_run(&capture, argv[optind], (uint32_t)snap);
}
