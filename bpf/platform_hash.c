/*
 * One number for the whole platform table: a proof that was made with another table is none. Made
 * of what the rows say, not of where things are in memory. (FNV-1a: against mistakes, nobody
 * chooses the rows who should not.)
 */
#include "bpf/platform.h"

#include <string.h>

static void mix(uint64_t *hash, uint64_t number)
{
	int i;

	for (i = 0; i < 8; i++)
		*hash = (*hash ^ (uint8_t)(number >> (8 * i))) * 0x100000001b3u;
}

static void mix_text(uint64_t *hash, const char *text)
{
	size_t i, len = text ? strlen(text) : 0;

	mix(hash, len);
	for (i = 0; i < len; i++)
		mix(hash, (uint8_t)text[i]);
}

static void mix_fields(uint64_t *hash, const struct ebpf_ctx_field *field)
{
	for (; field->size; field++) {
		mix(hash, field->off);
		mix(hash, field->size);
		mix(hash, field->kind);
		mix(hash, field->writable);
	}
}

static void mix_type(uint64_t *hash, const struct ebpf_prog_type *type)
{
	const uint8_t *helper;

	mix_text(hash, type->section);
	mix_fields(hash, type->fields);
	for (helper = type->helpers; *helper; helper++)
		mix(hash, *helper);
	mix(hash, type->cost_max);
	mix(hash, type->packet_writable);
	mix(hash, type->classic_loads);
	mix(hash, type->runnable);
}

static void mix_helper(uint64_t *hash, const struct ebpf_helper *helper)
{
	size_t i;

	mix_text(hash, helper->name);
	mix(hash, helper->fn != NULL);
	mix(hash, helper->ret);
	for (i = 0; i < sizeof(helper->args); i++)
		mix(hash, helper->args[i]);
	mix(hash, helper->map_roles);
	mix(hash, helper->object);
	mix(hash, helper->takes);
	mix(hash, helper->acquires);
	mix(hash, helper->releases);
	mix(hash, helper->outlives);
	mix(hash, helper->moves_packet);
	mix(hash, helper->writes_packet);
	mix(hash, helper->changes_map);
	mix(hash, (uint64_t)helper->rmin);
	mix(hash, (uint64_t)helper->rmax);
}

uint64_t ebpf_platform_hash_of(const struct ebpf_platform *platform)
{
	uint64_t hash = 0xcbf29ce484222325u;
	size_t i;

	for (i = 0; i < platform->type_count; i++)
		mix_type(&hash, &platform->types[i]);
	for (i = 0; i < EBPF_HELPERS; i++)
		mix_helper(&hash, &platform->helpers[i]);
	for (i = 0; i < platform->kind_count; i++) {
		mix(&hash, platform->kinds[i].type);
		mix(&hash, platform->kinds[i].role);
		mix(&hash, platform->kinds[i].runnable);
	}
	for (i = 0; i < OBJECT_KINDS; i++)
		mix_fields(&hash, ebpf_object_fields[i]);
	return hash;
}

uint64_t ebpf_platform_hash(void)
{
	return ebpf_platform_hash_of(&ebpf_platform);
}
