/*
 * fuzz_erofs.c - libFuzzer target: any bytes as an EROFS image, as they are and with a checksum
 * that is right, so that changes get behind it.
 */
#include <stdlib.h>
#include <string.h>

#include "libos/fs/erofs.h"
#include "tests/libos/fuzz/walk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct walk_result result;
	uint8_t *copy = malloc(size);
	uint32_t sum;

	memcpy(copy, data, size);
	if (erofs_walk(copy, size, &result) < 0 && size >= 4096 && copy[12 + EROFS_SUPER_AT] >= 9 &&
	    copy[12 + EROFS_SUPER_AT] <= 12) {
		sum = erofs_checksum(copy);
		memcpy(copy + EROFS_SUPER_CHECKSUM_AT, &sum, sizeof(sum));
		erofs_walk(copy, size, &result);
	}
	free(copy);
	return 0;
}
