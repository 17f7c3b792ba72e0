/*
 * spec.h - what a function is: the fields of f.yaml and of the OpenFaaS routes, checked.
 */
#pragma once

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "apps/common/parse.h"
#include "apps/gateway/keepwarm.h"

#define SPEC_ERROR_MAX 256U

enum contract {
	CONTRACT_HTTP,  /* any HTTP server on $PORT */
	CONTRACT_LAMBDA /* the AWS Lambda Runtime API */
};

struct spec {
	json_t *json; /* as it was given, complete: what the store keeps */
	char name[NAME_LEN_MAX + 1];
	char tenant[NAME_LEN_MAX + 1];
	enum contract contract;
	unsigned port, concurrency, queue, cpus, min, max, retries;
	uint64_t memory_bytes; /* 0: no limit */
	uint64_t timeout_ms, startup_ms;
	uint64_t delay_ms; /* queueing delay that asks for another instance */
	enum keepwarm_policy policy;
	uint64_t idle_ms, bin_ms;
};

/* 0, or -EINVAL with a sentence. Takes a reference of json on success. */
int spec_init(struct spec *spec, json_t *json, char error[SPEC_ERROR_MAX]);
void spec_finish(struct spec *spec);

/* "1.5s", "200ms", "5m", "1h", or a number of seconds: 0 or -EINVAL. */
int spec_duration(const json_t *value, uint64_t *ret_ms);

/* yaml.c: one YAML document as JSON; NULL: error has a sentence. */
json_t *yaml_parse(const char *text, size_t size, char error[SPEC_ERROR_MAX]);
