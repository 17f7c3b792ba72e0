/*
 * test_erofs.c - the EROFS reader on kept images: what is refused at once, and that a change of any
 * byte, or a cut anywhere, is survived.
 *
 * argv: the images.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libos/fs/erofs.h"
#include "tests/libos/fuzz/walk.h"

#define IMAGE_MAX (1U << 20)

static struct image {
	const char *name;
	uint8_t *bytes;
	size_t size;
} images[16];
static unsigned nr_images;

static struct image *image_named(const char *part)
{
	for (unsigned i = 0; i < nr_images; i++)
		if (strstr(images[i].name, part))
			return &images[i];
	fail_msg("no image %s", part);
	return NULL;
}

/* In a block of exactly its size, so that the sanitizer sees a step beyond it. */
static uint8_t *copy_of(const struct image *image, size_t size)
{
	uint8_t *copy = malloc(size);

	memcpy(copy, image->bytes, size);
	return copy;
}

static void checksum_fix(uint8_t *bytes)
{
	uint32_t sum = erofs_checksum(bytes);

	memcpy(bytes + EROFS_SUPER_CHECKSUM_AT, &sum, sizeof(sum));
}

static void test_good(void **state)
{
	struct walk_result result;

	(void)state;
	for (unsigned i = 0; i < nr_images; i++) {
		if (strstr(images[i].name, "bad"))
			continue;
		assert_int_equal(erofs_walk(images[i].bytes, images[i].size, &result), 0);
		assert_int_equal(result.errors, 0);
		assert_true(result.nodes > 5);
	}
}

/* The same tree in every layout: the same names, attributes and bytes. */
static void test_layouts_agree(void **state)
{
	static const char *const names[] = {"plain", "inline", "chunks"};
	struct walk_result first, result;

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		struct image *image = image_named(names[i]);

		assert_int_equal(erofs_walk(image->bytes, image->size, &result), 0);
		if (i == 0)
			first = result;
		assert_int_equal(result.nodes, first.nodes);
		assert_true(result.sum == first.sum);
	}
}

static void expect(const uint8_t *bytes, size_t size, int err, const char *why_part)
{
	struct erofs fs;
	const char *why = NULL;

	assert_int_equal(erofs_open(bytes, size, &fs, &why), err);
	assert_non_null(strstr(why, why_part));
}

static void test_refused(void **state)
{
	struct image *plain = image_named("plain"), *lz4 = image_named("lz4-bad");
	uint8_t *copy = copy_of(plain, plain->size);

	(void)state;
	expect(lz4->bytes, lz4->size, -EOPNOTSUPP, "compressed");
	expect(copy, 100, -EUCLEAN, "not an EROFS");
	expect(copy, plain->size - 4096, -EUCLEAN, "cut off");
	copy[EROFS_SUPER_TIME_AT] ^= 1;
	expect(copy, plain->size, -EUCLEAN, "checksum");
	copy[EROFS_SUPER_TIME_AT] ^= 1;
	copy[EROFS_SUPER_AT + 12] = 16;
	expect(copy, plain->size, -EUCLEAN, "block size");
	copy[EROFS_SUPER_AT + 12] = 12;
	copy[EROFS_SUPER_AT + 80] |= 8;
	checksum_fix(copy);
	expect(copy, plain->size, -EOPNOTSUPP, "other devices");
	copy[EROFS_SUPER_AT + 80] = 0;
	copy[EROFS_SUPER_AT + 8] &= ~1;
	expect(copy, plain->size, -EOPNOTSUPP, "no checksum");
	copy[EROFS_SUPER_AT + 8] |= 1;
	copy[EROFS_SUPER_AT + 14] += 3;
	checksum_fix(copy);
	expect(copy, plain->size, -EUCLEAN, "root directory");
	free(copy);
}

/* Whatever is changed, the reader ends, and stays within the image. */
static void test_any_byte(void **state)
{
	static const uint8_t flips[] = {0x01, 0xff};
	struct walk_result result;

	(void)state;
	for (unsigned i = 0; i < nr_images; i++) {
		if (!strstr(images[i].name, "inline") && !strstr(images[i].name, "chunks"))
			continue;
		uint8_t *copy = copy_of(&images[i], images[i].size);
		size_t end = images[i].size < 8192 ? images[i].size : 8192;

		for (size_t at = EROFS_SUPER_AT; at < end; at++) {
			for (unsigned f = 0; f < 2; f++) {
				/* zeroes of padding are all alike */
				if (copy[at] == 0 && at % 16 && f)
					continue;
				copy[at] ^= flips[f];
				if (copy[EROFS_SUPER_AT + 12] >= 9 &&
				    copy[EROFS_SUPER_AT + 12] <= 12)
					checksum_fix(copy);
				erofs_walk(copy, images[i].size, &result);
				copy[at] ^= flips[f];
			}
		}
		free(copy);
	}
}

static void test_any_cut(void **state)
{
	struct walk_result result;

	(void)state;
	for (unsigned i = 0; i < nr_images; i++) {
		for (size_t size = 0; size < images[i].size; size += 2039) {
			uint8_t *copy = copy_of(&images[i], size);
			uint32_t blocks = (uint32_t)(size / 4096);

			erofs_walk(copy, size, &result);
			if (size >= 4096) { /* as if the image were that short */
				memcpy(copy + EROFS_SUPER_AT + 36, &blocks, sizeof(blocks));
				checksum_fix(copy);
				erofs_walk(copy, size, &result);
			}
			free(copy);
		}
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),    cmocka_unit_test(test_layouts_agree),
		cmocka_unit_test(test_refused), cmocka_unit_test(test_any_byte),
		cmocka_unit_test(test_any_cut),
	};
	int failed;

	for (int i = 1; i < argc && nr_images < 16; i++) {
		FILE *file = fopen(argv[i], "r");
		struct image *image = &images[nr_images++];

		if (!file) {
			perror(argv[i]);
			return 1;
		}
		image->name = argv[i];
		image->bytes = malloc(IMAGE_MAX);
		image->size = fread(image->bytes, 1, IMAGE_MAX, file);
		fclose(file);
	}
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	while (nr_images > 0)
		free(images[--nr_images].bytes);
	return failed;
}
