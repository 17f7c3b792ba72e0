/* bpf_common.h - what the sub-commands of leat bpf share. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/bpf.h"
#include "leat/abi/filter.h"

/* Exit codes of leat bpf: 0 yes, 1 no (refused, a test failed, a file that is not there). */
#define BPF_USAGE 2

struct bpf_options {
	bool json, kernel, quick;
	enum ebpf_engine engine;
	const char *packet; /* hex */
	const char *only;
	const char *key; /* file of a key */
};

int bpf_usage(void);

double bpf_now_us(void);

/* A whole file, NULL with a message if it cannot be read; free() it. */
uint8_t *bpf_read_file(const char *path, size_t *ret_size);

/*
 * Opens and verifies; NULL with the reason in @log, or, if that is empty, already printed.
 * @ret_safe and @ret_us are of the verification.
 */
struct ebpf_object *bpf_open(const char *path, char *log, size_t log_size, bool *ret_safe,
			     double *ret_us);

/* bpf_open() made ready to run; NULL with everything printed. */
struct ebpf_object *bpf_ready(const char *path, enum ebpf_engine engine, double *ret_us);

/* The enum leat_counter of that name ("drop_ipv4", "user0"), -1 if there is none. */
int bpf_counter_index(const char *name);
/* NULL behind the last. @buf: for the names of the filter's own. */
const char *bpf_counter_name(uint32_t index, char buf[16]);

int bpf_verify(int argc, char **argv, const struct bpf_options *options);
int bpf_disasm(int argc, char **argv, const struct bpf_options *options);
int bpf_run(int argc, char **argv, const struct bpf_options *options);
int bpf_test(int argc, char **argv, const struct bpf_options *options);
int bpf_bench(int argc, char **argv, const struct bpf_options *options);
int bpf_conformance(int argc, char **argv, const struct bpf_options *options);
int bpf_sign(int argc, char **argv, const struct bpf_options *options);
int bpf_map(int argc, char **argv, const struct bpf_options *options);
