/*
 * bpf_native.c - a filter of the base library as gcc made it of the same C.
 *
 * The other half of bpf/programs/native/bpf/bpf_helpers.h: fills in helpers and maps.
 */
#include "apps/leat/bpf_native.h"

#include <dlfcn.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HELPERS 256
#define MAP_IN_PLACE_OF 0    /* pointers of the variable: "type" */
#define VALUES_IN_PLACE_OF 3 /* "value" */

struct bpf_native {
	void *library;
};

static bool bind_map(void *library, struct ebpf_map *map)
{
	struct ebpf_map_info info;
	const uint32_t zero = 0;
	void **variable;

	ebpf_map_info(map, &info);
	if (strchr(info.name, '.'))
		return true; /* globals: they are the library's own */
	variable = dlsym(library, info.name);
	if (!variable)
		return false;
	variable[MAP_IN_PLACE_OF] = map;
	if (info.type != BPF_MAP_TYPE_ARRAY)
		return true;
	/* the compiler steps from value to value by sizeof, Leat's arrays by multiples of 8 */
	if (info.value_size % 8 != 0)
		return false;
	variable[VALUES_IN_PLACE_OF] = (void *)(uintptr_t)ebpf_helper_find(
		BPF_FUNC_map_lookup_elem)((uintptr_t)map, (uintptr_t)&zero, 0, 0, 0, NULL);
	return true;
}

static bool bind_all(void *library, struct ebpf_object *obj, struct ebpf_instance *inst)
{
	ebpf_helper_fn *helpers = dlsym(library, "native_helpers");
	const struct ebpf_env **env = dlsym(library, "native_env");
	const char *first = ebpf_object_prog_name(obj, 0, NULL);
	struct ebpf_map *map;
	uint32_t i;

	if (!helpers || !env || !first)
		return false;
	for (i = 0; i < HELPERS; i++)
		helpers[i] = ebpf_helper_find((int32_t)i);
	*env = ebpf_instance_prog(inst, first)->env;
	for (i = 0; (map = ebpf_instance_map_at(inst, i)); i++)
		if (!bind_map(library, map))
			return false;
	return true;
}

struct bpf_native *bpf_native_open(const char *path, struct ebpf_object *obj,
				   struct ebpf_instance *inst)
{
	struct bpf_native *native = calloc(1, sizeof(*native));

	if (native)
		native->library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!native || !native->library) {
		fprintf(stderr, "leat: %s\n", native ? dlerror() : "no memory");
		free(native);
		return NULL;
	}
	if (!bind_all(native->library, obj, inst)) {
		fprintf(stderr, "leat: %s was made of another filter\n", path);
		bpf_native_close(native);
		return NULL;
	}
	return native;
}

void bpf_native_close(struct bpf_native *native)
{
	if (native)
		dlclose(native->library);
	free(native);
}

bpf_native_fn bpf_native_find(const struct bpf_native *native, const char *name)
{
	return (bpf_native_fn)(uintptr_t)dlsym(native->library, name);
}
