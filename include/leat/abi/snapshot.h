/*
 * snapshot.h - the file that `leat snapshot` writes and an instance maps when it is cloned.
 *
 * A header page; the pages of memory, page-aligned; and behind them the table of runs: which bytes
 * of the file belong at which address, ascending.  Three parts of the address space are in it: what
 * the program has (only pages that differ from the file that lies under them), the arena, and the
 * store of memfs.  Numbers are little-endian.
 */
#pragma once

#include <stdint.h>

#include "leat/abi/boot.h"

#define ABI_SNAPSHOT_MAGIC 0x70616e737461656cUL /* "leatsnap" */
#define ABI_SNAPSHOT_VERSION 1U
#define ABI_SNAPSHOT_RUNS_MAX (1U << 17)

struct abi_snapshot {
	uint64_t magic;
	uint32_t version;
	uint32_t nr_vcpus;
	uint8_t image_id[32]; /* SHA-256 of the leat-image whose state it is */
	uint8_t boot_id[16];  /* the host's: its clock goes on only until it reboots */
	uint64_t file_bytes;
	uint64_t runs_off;
	uint32_t nr_runs;
	uint32_t table_crc; /* CRC-32 (zlib) of this header, with this field 0, and of the table */
	uint32_t pages_crc; /* CRC-32 of everything between header page and table */
	uint32_t request_crc; /* CRC-32 of the text of the request, which lies in another file */
};

struct abi_snapshot_run {
	uint64_t addr;
	uint64_t file_off;
	uint64_t bytes;
};

_Static_assert(sizeof(struct abi_snapshot) == 96, "snapshot header layout");
