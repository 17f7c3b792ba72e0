/*
 * The platform table, as data: which kinds of program there are, what their context holds, which
 * helpers they may call with what, which kinds of map there are. The verifier, the interpreter and
 * the compiler know nothing else about the world; a new helper or program type is a new row here.
 */
#pragma once

#include "bpf/code.h"

#define EBPF_LOOP_MAX (1u << 23) /* rounds of bpf_loop(), as on Linux */

enum ebpf_arg {
	ARG_NONE = 0,
	ARG_SCALAR,       /* any number; a pointer would leak its address */
	ARG_TRACED,       /* a number, if the format in the first argument asks for it */
	ARG_COUNT,        /* a number that decides what else happens */
	ARG_ZERO,         /* the number 0: flags of which none is known */
	ARG_MAP,          /* a map of a role that the helper takes */
	ARG_INDEX,        /* a number below the map's max_entries */
	ARG_KEY,          /* initialised memory of the map's key size */
	ARG_VALUE,        /* initialised memory of the map's value size */
	ARG_MEM,          /* initialised memory; its size is the next argument */
	ARG_MEM_OR_NULL,  /* the same, or 0 with the size 0 */
	ARG_MEM_IN_OUT,   /* initialised memory that the helper changes; its size is next */
	ARG_MEM_OUT,      /* memory that the helper fills; its size is the next argument */
	ARG_SIZE,         /* size of the memory before it, at least 1 */
	ARG_SIZE_OR_ZERO, /* the same, 0 allowed */
	ARG_CTX,          /* the program's context, unchanged */
	ARG_BUCKET,       /* a struct leat_bucket in a map's value, aligned */
	ARG_RECORD_SIZE,  /* a constant: the size of the record that is returned */
	ARG_RECORD,       /* a record of a ring; the call gives it away */
	ARG_CALLBACK,     /* a function of the program */
	ARG_CALLBACK_CTX, /* memory of the stack, or 0: what the callback gets */
	ARG_OBJECT,       /* an object of Linux's, of a kind that the helper takes */
};

enum ebpf_ret {
	RET_SCALAR = 0,
	RET_VALUE_OR_NULL,  /* a value of the map in the first argument */
	RET_RECORD_OR_NULL, /* a record of a ring, to be given away before the end */
	RET_OBJECT_OR_NULL, /* of the kind in .object */
};

/* What a map is to a program; bits of ebpf_helper.map_roles. */
enum ebpf_map_role {
	ROLE_PLAIN = 1 << 0,     /* keys and values */
	ROLE_READ_ONLY = 1 << 1, /* programs may look up only */
	ROLE_OF_MAPS = 1 << 2,   /* a lookup finds a map */
	ROLE_RING = 1 << 3,      /* records for user space */
	ROLE_HANDLES = 1 << 4,   /* opaque: named by index only */
	ROLE_EVENTS = 1 << 5,    /* Linux's way to user space */
	ROLE_SOCKETS = 1 << 6,   /* as handles, but a lookup finds an object */
};

struct ebpf_map_kind {
	uint32_t type; /* enum bpf_map_type */
	uint8_t role;
	bool runnable; /* else only verified */
};

/* NULL: no such map. */
const struct ebpf_map_kind *ebpf_map_kind_find(uint32_t type);

/* Objects that Linux's helpers hand out; bits of ebpf_helper.takes. */
enum ebpf_object_kind {
	OBJECT_SOCK_COMMON,
	OBJECT_SOCK,
	OBJECT_TCP_SOCK,
	OBJECT_XDP_SOCK,
	OBJECT_KINDS
};

struct ebpf_helper {
	const char *name;
	ebpf_helper_fn fn;  /* NULL: known to the verifier only, cannot be run here */
	uint8_t ret;        /* enum ebpf_ret */
	uint8_t args[5];    /* enum ebpf_arg */
	uint8_t map_roles;  /* of ARG_MAP */
	uint8_t object;     /* RET_OBJECT_OR_NULL: enum ebpf_object_kind */
	uint8_t takes;      /* ARG_OBJECT: bit per kind */
	bool acquires;      /* what is returned has to be released */
	bool releases;      /* the object or record that is passed */
	bool outlives;      /* what is returned stays when what was passed is released */
	bool moves_packet;  /* packet pointers die */
	bool writes_packet; /* only where packets may be written */
	bool changes_map;   /* not for read-only ones */
	int64_t rmin, rmax; /* RET_SCALAR: what it can return; both 0: anything */
};

/* By Linux's number of the helper; Leat's own (enum leat_func) are behind those. */
#define EBPF_HELPERS 256
extern const struct ebpf_helper ebpf_helpers[EBPF_HELPERS];

enum ebpf_field_kind {
	FIELD_SCALAR = 0,
	FIELD_PKT,     /* address of the packet's first byte */
	FIELD_PKT_END, /* one past its last readable byte */
	FIELD_META,    /* address of the metadata in front of the packet */
};

struct ebpf_ctx_field {
	uint16_t off;
	uint16_t size;
	uint8_t kind; /* enum ebpf_field_kind */
	bool writable;
};

/* By enum ebpf_object_kind: what may be read of an object; ends with size 0. */
extern const struct ebpf_ctx_field *const ebpf_object_fields[OBJECT_KINDS];

struct ebpf_prog_type {
	const char *section;                 /* section name, or its beginning up to a '/' */
	const struct ebpf_ctx_field *fields; /* sorted by off, ends with size 0 */
	const uint8_t *helpers;              /* allowed ones, ends with 0 */
	uint32_t cost_max;                   /* instructions on the longest path */
	bool packet_writable;
	bool classic_loads; /* the packet access of classic BPF (RFC 9669, section 5.5) */
	bool runnable;      /* else only verified: it is for Linux to run */
};

/* The whole table; see ebpf_platform_hash(). */
struct ebpf_platform {
	const struct ebpf_prog_type *types;
	size_t type_count;
	const struct ebpf_helper *helpers; /* EBPF_HELPERS of them */
	const struct ebpf_map_kind *kinds;
	size_t kind_count;
};
extern const struct ebpf_platform ebpf_platform;

/* A number that another table is most unlikely to have. */
uint64_t ebpf_platform_hash_of(const struct ebpf_platform *platform);

/* NULL: no such type. */
const struct ebpf_prog_type *ebpf_prog_type_find(const char *section);

bool ebpf_prog_type_allows(const struct ebpf_prog_type *type, int32_t helper);
