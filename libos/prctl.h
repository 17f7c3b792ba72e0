/*
 * prctl.h - what prctl(2) does with capabilities (sys/caps.c): results or negative errno.
 */
#pragma once

#include <stdint.h>

long prctl_bounding_read(uint64_t cap);
long prctl_bounding_drop(uint64_t cap);
long prctl_set_securebits(uint64_t bits);
long prctl_set_keepcaps(uint64_t value);
long prctl_ambient(uint64_t what, uint64_t cap, uint64_t c, uint64_t d); /* PR_CAP_AMBIENT */
