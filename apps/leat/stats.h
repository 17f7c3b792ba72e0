/*
 * stats.h - everybody's counters as leatd tells them: for leat stats and leat top.
 */
#pragma once

#include <jansson.h>

/* {"now_ns", "cores", "uplink", "instances"}: all pages in one.  NULL: the user has been told. */
json_t *stats_fetch(int fd);
/* The member's number, 0 if it has none. */
json_int_t stats_number(const json_t *json, const char *key);
/* All of an object's numbers together. */
json_int_t stats_sum(json_t *json);
