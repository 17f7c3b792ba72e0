/* What helpers.bpf.c and test_helpers.c agree on. */
#pragma once

#include <linux/types.h>

/* In the context's tag. */
enum helper_case {
	CASE_LOOPS = 1,
	CASE_MAPS,
	CASE_RECORDS,
	CASE_BUCKET,
	CASE_REWRITE,
	CASE_DIFFERENCE,
	CASE_ENDS,
	CASE_DIRECT,
	CASE_REDIRECT,
	CASE_TAG,
	CASE_TRACE,
};

/* Offsets in an untagged IPv4 frame with TCP. */
enum {
	IP_SUM = 14 + 10,
	IP_SRC = 14 + 12,
	IP_DST = 14 + 16,
	TCP = 14 + 20,
	TCP_DPORT = TCP + 2,
	TCP_SUM = TCP + 16,
};

struct record {
	__u32 number, len;
};
