/*
 * bpf_common.c - files, objects and names for the sub-commands of leat bpf.
 */
#include "apps/leat/bpf_common.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "apps/leat/bytes.h"

#define FILE_MAX (16u << 20)

static const char *const counter_names[LEAT_COUNT_USER] = {
	[LEAT_COUNT_EGRESS] = "egress",
	[LEAT_COUNT_INGRESS] = "ingress",
	[LEAT_COUNT_PASS_EGRESS] = "pass_egress",
	[LEAT_COUNT_PASS_INGRESS] = "pass_ingress",
	[LEAT_COUNT_DROP_SHORT] = "drop_short",
	[LEAT_COUNT_DROP_MAC] = "drop_mac",
	[LEAT_COUNT_DROP_VLAN] = "drop_vlan",
	[LEAT_COUNT_DROP_IPV4] = "drop_ipv4",
	[LEAT_COUNT_DROP_IPV6] = "drop_ipv6",
	[LEAT_COUNT_DROP_ARP] = "drop_arp",
	[LEAT_COUNT_DROP_ND] = "drop_nd",
	[LEAT_COUNT_DROP_DHCP] = "drop_dhcp",
	[LEAT_COUNT_DROP_PROTO] = "drop_proto",
	[LEAT_COUNT_DROP_TENANT] = "drop_tenant",
	[LEAT_COUNT_DROP_IDENTITY] = "drop_identity",
	[LEAT_COUNT_DROP_POLICY] = "drop_policy",
};

const char *bpf_counter_name(uint32_t index, char buf[16])
{
	if (index >= LEAT_COUNT_MAX)
		return NULL;
	if (index < LEAT_COUNT_USER)
		return counter_names[index];
	snprintf(buf, 16, "user%u", index - LEAT_COUNT_USER);
	return buf;
}

int bpf_counter_index(const char *name)
{
	char buf[16];
	uint32_t i;

	for (i = 0; i < LEAT_COUNT_MAX; i++)
		if (strcmp(bpf_counter_name(i, buf), name) == 0)
			return (int)i;
	return -1;
}

double bpf_now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

uint8_t *bpf_read_file(const char *path, size_t *ret_size)
{
	FILE *file = fopen(path, "r");
	uint8_t *bytes = file ? malloc(FILE_MAX) : NULL;

	if (bytes)
		*ret_size = fread(bytes, 1, FILE_MAX, file);
	if (!bytes || ferror(file)) {
		fprintf(stderr, "leat: %s: %s\n", path, strerror(errno));
		free(bytes);
		bytes = NULL;
	}
	if (file)
		fclose(file);
	return bytes;
}

struct ebpf_object *bpf_open(const char *path, char *log, size_t log_size, bool *ret_safe,
			     double *ret_us)
{
	struct ebpf_object *obj = NULL;
	size_t size;
	uint8_t *elf = bpf_read_file(path, &size);
	double start;
	int err;

	*log = '\0';
	if (!elf)
		return NULL;
	err = ebpf_object_open(elf, size, log, log_size, &obj);
	free(elf);
	if (err)
		return NULL;
	start = bpf_now_us();
	*ret_safe = !ebpf_object_verify(obj, log, log_size);
	*ret_us = bpf_now_us() - start;
	return obj;
}

struct ebpf_object *bpf_ready(const char *path, enum ebpf_engine engine, double *ret_us)
{
	char log[EBPF_LOG_SIZE];
	bool safe = false;
	struct ebpf_object *obj = bpf_open(path, log, sizeof(log), &safe, ret_us);
	int r;

	if (!safe) {
		fputs(log, stderr);
		ebpf_object_unref(obj);
		return NULL;
	}
	r = ebpf_object_prepare(obj, engine);
	if (r) {
		fprintf(stderr, "leat: %s cannot run here: %s\n", path,
			r == -ENOTSUP ? "it is for Linux, or there is no compiler" : strerror(-r));
		ebpf_object_unref(obj);
		return NULL;
	}
	return obj;
}
