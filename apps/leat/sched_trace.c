/*
 * sched_trace.c - leat sched trace: what the scheduler is told and what it decides, as lines or
 * into a file; and that file read again.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "apps/leat/leat.h"
#include "apps/leat/sched_cmd.h"

#define LOOK_MS 20
#define RECORDS_MAX (1ULL << 26) /* of a file */

static volatile sig_atomic_t interrupted;

static void on_signal(int sig)
{
	(void)sig;
	interrupted = 1;
}

/* ---- records as text ---- */

static const struct {
	const char *name;
	const char *numbers; /* a name for each of a, b, c, d */
} kinds[] = {
	[SCHED_TRACE_CONFIG] = {"config", "places quantum_ns vcpus last"},
	[SCHED_TRACE_CORE] = {"core", "sibling node gone"},
	[SCHED_TRACE_POLICY] = {"policy", NULL},
	[SCHED_TRACE_TENANT] = {"tenant", "tag weight cpu_ns"},
	[SCHED_TRACE_INSTANCE] = {"instance", "tag function_tag weight guaranteed"},
	[SCHED_TRACE_INSTANCE_GONE] = {"instance_gone", ""},
	[SCHED_TRACE_ATTACH] = {"attach", "index"},
	[SCHED_TRACE_DETACH] = {"detach", ""},
	[SCHED_TRACE_WORK] = {"work", ""},
	[SCHED_TRACE_PARKED] = {"parked", "deadline_ns want ran_ns"},
	[SCHED_TRACE_HOLDER] = {"holder", "gave_way_ns ran_ns has_work"},
	[SCHED_TRACE_TICK] = {"tick", "sampled_ns busy_ns crowded_ns overlap_ns"},
	[SCHED_TRACE_CPU] = {"cpu", "used_ns"},
	[SCHED_TRACE_GRANT] = {"GRANT", "delay_ns rank"},
	[SCHED_TRACE_PREEMPT] = {"PREEMPT", ""},
	[SCHED_TRACE_EVICT] = {"EVICT", "attempt"},
	[SCHED_TRACE_DEMOTE] = {"DEMOTE", ""},
	[SCHED_TRACE_RESTORE] = {"RESTORE", ""},
	[SCHED_TRACE_MOVE] = {"MOVE", ""},
	[SCHED_TRACE_HOLD] = {"HOLD", ""},
	[SCHED_TRACE_BAD] = {"BAD", "hook answer"},
	[SCHED_TRACE_RESCUE] = {"RESCUE", ""},
	[SCHED_TRACE_FALLBACK] = {"FALLBACK", NULL},
};

#define NR_KINDS (sizeof(kinds) / sizeof(kinds[0]))

int sched_record_text(const struct sched_trace_record *record, char *buf, size_t size)
{
	const uint64_t values[] = {record->a, record->b, record->c, record->d};
	const char *name = record->kind < NR_KINDS ? kinds[record->kind].name : NULL;
	FILE *out = fmemopen(buf, size, "w");
	int n;

	if (out == NULL)
		return -1;
	fprintf(out, "%" PRIu64 ".%09" PRIu64 " %s", record->time_ns / 1000000000,
		record->time_ns % 1000000000, name != NULL ? name : "?");
	if (record->core != SCHED_TRACE_NO_CORE)
		fprintf(out, " core=%u", record->core);
	if (record->vcpu != 0)
		fprintf(out, " vcpu=%" PRIu32, record->vcpu);
	if (record->instance != 0)
		fprintf(out, " instance=%" PRIu32, record->instance);
	if (name != NULL && kinds[record->kind].numbers == NULL)
		fprintf(out, " %.40s", record->text);
	else if (name != NULL) {
		const char *at = kinds[record->kind].numbers;

		for (unsigned i = 0; *at != '\0'; i++) {
			n = (int)strcspn(at, " ");
			fprintf(out, " %.*s=%" PRIu64, n, at, values[i]);
			at += at[n] == ' ' ? n + 1 : n;
		}
	}
	n = (int)ftell(out);
	fclose(out);
	return n;
}

/* ---- files ---- */

struct sched_trace_record *sched_trace_read(const char *path, size_t *ret_nr, uint64_t *ret_dropped)
{
	struct sched_trace_record *records = NULL;
	struct sched_trace_file header;
	FILE *file = fopen(path, "rbe");
	size_t nr = 0, room = 0;

	if (file == NULL) {
		leat_error("cannot open %s: %s", path, strerror(errno));
		return NULL;
	}
	if (fread(&header, sizeof(header), 1, file) != 1 || header.magic != SCHED_TRACE_MAGIC ||
	    header.version != SCHED_TRACE_VERSION) {
		leat_error("%s is no trace of this version", path);
		fclose(file);
		return NULL;
	}
	while (room < RECORDS_MAX) {
		struct sched_trace_record *more;

		room = room != 0 ? 2 * room : 65536;
		more = realloc(records, room * sizeof(*records));
		if (more == NULL)
			break;
		records = more;
		nr += fread(records + nr, sizeof(*records), room - nr, file);
		if (nr < room)
			break;
	}
	fclose(file);
	if (records == NULL)
		leat_error("cannot read %s: no memory", path);
	*ret_nr = nr;
	*ret_dropped = header.dropped;
	return records;
}

/* ---- watching ---- */

struct watch {
	struct sched_trace_ring *ring;
	const struct sched_trace_record *records;
	uint64_t tail;
	FILE *file; /* NULL: lines */
	bool decisions_only;
};

static bool record_write(const struct watch *watch, const struct sched_trace_record *record)
{
	char line[512];

	if (watch->file != NULL)
		return fwrite(record, sizeof(*record), 1, watch->file) == 1;
	if (watch->decisions_only && record->kind < SCHED_TRACE_DECISIONS)
		return true;
	sched_record_text(record, line, sizeof(line));
	return puts(line) >= 0;
}

static bool ring_drain(struct watch *watch)
{
	/* acquire: pairs with leatd's release */
	uint64_t head = __atomic_load_n(&watch->ring->head, __ATOMIC_ACQUIRE);

	while (watch->tail != head) {
		if (!record_write(watch, &watch->records[watch->tail % SCHED_TRACE_RECORDS]))
			return false;
		/* release: leatd may write there again */
		__atomic_store_n(&watch->ring->tail, ++watch->tail, __ATOMIC_RELEASE);
	}
	return fflush(watch->file != NULL ? watch->file : stdout) == 0;
}

static bool header_write(const struct watch *watch, uint64_t dropped)
{
	const struct sched_trace_file header = {SCHED_TRACE_MAGIC, SCHED_TRACE_VERSION, dropped};

	return watch->file == NULL ||
	       (fseek(watch->file, 0, SEEK_SET) == 0 &&
		fwrite(&header, sizeof(header), 1, watch->file) == 1 && fflush(watch->file) == 0);
}

static int watch_run(struct watch *watch, int daemon_fd)
{
	struct pollfd daemon = {.fd = daemon_fd, .events = POLLIN}; /* gone: POLLHUP */
	uint64_t dropped;

	if (!header_write(watch, 0))
		return leat_error("cannot write: %s", strerror(errno));
	while (!interrupted) {
		if (!ring_drain(watch))
			return errno == EPIPE ? 0 : leat_error("cannot write: %s", strerror(errno));
		if (poll(&daemon, 1, LOOK_MS) > 0)
			break;
	}
	dropped = __atomic_load_n(&watch->ring->dropped, __ATOMIC_RELAXED);
	if (!ring_drain(watch) || !header_write(watch, dropped))
		return leat_error("cannot write: %s", strerror(errno));
	fprintf(stderr, "%" PRIu64 " records, %" PRIu64 " dropped\n", watch->tail, dropped);
	return 0;
}

static int trace_start(struct watch *watch)
{
	const struct sigaction stop = {.sa_handler = on_signal}, ignore = {.sa_handler = SIG_IGN};
	int fds[CHANNEL_FDS_MAX], fd = daemon_connect(false), code;
	json_t *request, *answer;
	unsigned nr_fds = 0;
	void *map;

	if (fd < 0)
		return EXIT_LEAT;
	request = json_pack("{s:s}", "op", "sched-trace");
	answer = daemon_call(fd, request, NULL, 0, fds, &nr_fds);
	json_decref(request);
	json_decref(answer);
	if (answer == NULL || nr_fds != 1)
		return EXIT_LEAT;
	map = mmap(NULL,
		   SCHED_TRACE_DATA_OFF + SCHED_TRACE_RECORDS * sizeof(struct sched_trace_record),
		   PROT_READ | PROT_WRITE, MAP_SHARED, fds[0], 0);
	if (map == MAP_FAILED)
		return leat_error("cannot map the trace: %s", strerror(errno));
	watch->ring = map;
	watch->records = (const struct sched_trace_record *)((char *)map + SCHED_TRACE_DATA_OFF);
	sigaction(SIGINT, &stop, NULL);
	sigaction(SIGTERM, &stop, NULL);
	sigaction(SIGPIPE, &ignore, NULL);
	code = watch_run(watch, fd);
	close(fd); /* ends it in leatd */
	return code;
}

int sched_trace_command(int argc, char **argv)
{
	static const struct option options[] = {
		{"decisions", no_argument, NULL, 'd'},
		{NULL, 0, NULL, 0},
	};
	struct watch watch = {0};
	const char *path = NULL;
	int c, code;

	while ((c = getopt_long(argc, argv, "w:", options, NULL)) != -1) {
		if (c == 'd')
			watch.decisions_only = true;
		else if (c == 'w')
			path = optarg;
		else
			return leat_error("see leat sched --help");
	}
	if (optind != argc || (path != NULL && watch.decisions_only))
		return leat_error("see leat sched --help");
	if (path != NULL) {
		watch.file = fopen(path, "wbe");
		if (watch.file == NULL)
			return leat_error("cannot write %s: %s", path, strerror(errno));
	}
	code = trace_start(&watch);
	if (watch.file != NULL && fclose(watch.file) != 0 && code == 0)
		code = leat_error("cannot write %s: %s", path, strerror(errno));
	return code;
}
