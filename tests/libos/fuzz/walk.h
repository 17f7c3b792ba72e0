/* walk.h - looks at everything in an EROFS image, as far as it goes. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct walk_result {
	unsigned nodes;  /* looked at */
	unsigned errors; /* of which something was damaged */
	uint64_t sum;    /* of all names, attributes and bytes */
};

/* Opens and walks; 0 or what erofs_open says. Bounded, whatever the image says. */
int erofs_walk(const void *base, size_t size, struct walk_result *ret_result);
