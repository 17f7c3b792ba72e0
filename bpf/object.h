/* The insides of an object, for the files of bpf/ that make it, prove it, compile it and run it. */
#pragma once

#include "bpf/bpf.h"
#include "bpf/code.h"
#include "bpf/map.h"
#include "bpf/platform.h"

#include <stdatomic.h>

#define EBPF_PROGS_MAX 32
#define EBPF_LOG_LINE 256

/* One line of source, from BTF. */
struct ebpf_line {
	char *file;
	char *text;
	uint32_t number;
};

struct ebpf_object {
	atomic_uint refs;
	struct ebpf_map_def maps[EBPF_MAPS_MAX];
	uint32_t map_count;
	struct ebpf_code progs[EBPF_PROGS_MAX];
	uint32_t prog_count;
	struct ebpf_line *lines;
	uint32_t line_count;
	bool verified;
	bool prepared;
	const char *engine;
};

/* Frees what a program owns. */
void ebpf_code_finish(struct ebpf_code *code);

/* Notes that a program was refused as a whole. */
void ebpf_refuse(struct ebpf_code *code, const char *reason, const char *cure);

/* Program by section or function name, or NULL. */
const struct ebpf_code *ebpf_object_find(const struct ebpf_object *obj, const char *name);

/* Fills an empty object from ELF bytes; the object is destroyed by its caller on failure. */
int ebpf_object_read(const void *elf, size_t size, struct ebpf_object *obj, char *log,
		     size_t log_size);

/* printf into a caller's log; NULL and size 0 are allowed. */
__attribute__((format(printf, 3, 4))) void ebpf_log_set(char *log, size_t log_size,
							const char *format, ...);
