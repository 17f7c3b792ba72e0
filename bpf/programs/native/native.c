/* A filter of the base library as C functions: see bpf/bpf_helpers.h beside this file. */
#include <stddef.h>

#include FILTER
