/*
 * image.c - an image file: what it is checked for before it is used, its description, its files.
 */
#include "apps/leat/image.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "apps/leat/leat.h"
#include "leat/abi/layout.h"

#define COPY_CHUNK (1U << 20)
#define PAGE 4096U

/* ---- digests ---- */

static void digest_text(const unsigned char hash[32], char ret_digest[DIGEST_TEXT_MAX])
{
	strcpy(ret_digest, DIGEST_PREFIX);
	for (unsigned i = 0; i < 32; i++)
		sprintf(ret_digest + strlen(DIGEST_PREFIX) + (size_t)2 * i, "%02x", hash[i]);
}

int digest_file(int fd, char ret_digest[DIGEST_TEXT_MAX])
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	unsigned char *buf = malloc(COPY_CHUNK), hash[32];
	ssize_t got = 0;
	off_t off = 0;
	int r = ctx && buf && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) ? 0 : -ENOMEM;

	while (r == 0 && (got = pread(fd, buf, COPY_CHUNK, off)) > 0) {
		EVP_DigestUpdate(ctx, buf, (size_t)got);
		off += got;
	}
	if (r == 0 && got < 0)
		r = -errno;
	if (r == 0 && EVP_DigestFinal_ex(ctx, hash, NULL))
		digest_text(hash, ret_digest);
	EVP_MD_CTX_free(ctx);
	free(buf);
	return r;
}

bool digest_ok(const char *text)
{
	size_t head = strlen(DIGEST_PREFIX);

	return strncmp(text, DIGEST_PREFIX, head) == 0 &&
	       strspn(text + head, "0123456789abcdef") == DIGEST_HEX_LEN &&
	       strlen(text) == head + DIGEST_HEX_LEN;
}

static void sha256(const void *bytes, size_t n, unsigned char ret_hash[32])
{
	EVP_Digest(bytes, n, ret_hash, NULL, EVP_sha256(), NULL);
}

/* ---- the description ---- */

int image_describe(int fd, const json_t *config)
{
	struct image_footer footer = {.magic = IMAGE_MAGIC};
	char *text = json_dumps(config, JSON_COMPACT | JSON_SORT_KEYS);
	off_t end = lseek(fd, 0, SEEK_END);
	int r = text == NULL ? -ENOMEM : end < 0 ? -errno : 0;

	if (r == 0) {
		footer.config_off = ((uint64_t)end + PAGE - 1) / PAGE * PAGE;
		footer.config_bytes = strlen(text);
		sha256(text, footer.config_bytes, footer.config_sha256);
		if (footer.config_bytes > IMAGE_CONFIG_MAX)
			r = -E2BIG;
		else if (pwrite(fd, text, footer.config_bytes, (off_t)footer.config_off) !=
				 (ssize_t)footer.config_bytes ||
			 pwrite(fd, &footer, sizeof(footer),
				(off_t)(footer.config_off + footer.config_bytes)) != sizeof(footer))
			r = -EIO;
	}
	free(text);
	return r;
}

/* The description of an image without one is empty; a damaged one is NULL. */
static json_t *config_read(const struct image *image)
{
	const char *base = image->base;
	struct image_footer footer;
	unsigned char hash[32];
	json_t *config;

	if (image->bytes < image->fs.size + sizeof(footer))
		return json_object();
	memcpy(&footer, base + image->bytes - sizeof(footer), sizeof(footer));
	if (memcmp(footer.magic, IMAGE_MAGIC, sizeof(footer.magic)) != 0)
		return json_object();
	if (footer.config_bytes > IMAGE_CONFIG_MAX || footer.config_off < image->fs.size ||
	    footer.config_off > image->bytes - sizeof(footer) ||
	    footer.config_bytes != image->bytes - sizeof(footer) - footer.config_off)
		return NULL;
	sha256(base + footer.config_off, footer.config_bytes, hash);
	if (memcmp(hash, footer.config_sha256, sizeof(hash)) != 0)
		return NULL;
	config = json_loadb(base + footer.config_off, footer.config_bytes, 0, NULL);
	if (!json_is_object(config)) {
		json_decref(config);
		return NULL;
	}
	return config;
}

/* ---- opening ---- */

static int image_map(struct image *image, const char *name)
{
	struct stat st;

	if (fstat(image->fd, &st) < 0)
		return leat_error("cannot use the image %s: %s", name, strerror(errno));
	if (!S_ISREG(st.st_mode) || st.st_size == 0)
		return leat_error("cannot use the image %s: it is not an EROFS image", name);
	if ((uint64_t)st.st_size > ABI_ROOT_MAX)
		return leat_error("cannot use the image %s: it is larger than 128 GiB", name);
	image->bytes = (size_t)st.st_size;
	image->base = mmap(NULL, image->bytes, PROT_READ, MAP_SHARED, image->fd, 0);
	if (image->base == MAP_FAILED) {
		image->base = NULL;
		return leat_error("cannot map the image %s: %s", name, strerror(errno));
	}
	return 0;
}

int image_open(const char *name, struct image *ret_image)
{
	struct image image = {.fd = -1};
	const char *why;
	int code = image_find(name, image.path);

	if (code == 0) {
		image.fd = open(image.path, O_RDONLY | O_CLOEXEC);
		if (image.fd < 0)
			code = leat_error("cannot open the image %s: %s", name, strerror(errno));
	}
	if (code == 0)
		code = image_map(&image, name);
	if (code == 0 && erofs_open(image.base, image.bytes, &image.fs, &why) < 0)
		code = leat_error("cannot use the image %s: %s", name, why);
	if (code == 0) {
		image.config = config_read(&image);
		if (image.config == NULL)
			code = leat_error("cannot use the image %s: its description is damaged",
					  name);
	}
	if (code != 0)
		image_close(&image);
	else
		*ret_image = image;
	return code;
}

json_t *image_identity(const struct image *image)
{
	struct stat st;

	if (fstat(image->fd, &st) < 0)
		return json_null();
	return json_sprintf("%lu %ld.%09ld %lld", (unsigned long)st.st_ino, st.st_mtim.tv_sec,
			    st.st_mtim.tv_nsec, (long long)st.st_size);
}

void image_close(struct image *image)
{
	if (image->base == NULL && image->config == NULL && image->fd <= 0)
		return;
	if (image->base != NULL)
		munmap((void *)(uintptr_t)image->base, image->bytes);
	if (image->fd >= 0)
		close(image->fd);
	json_decref(image->config);
	*image = (struct image){.fd = -1};
}

char *image_read(const struct image *image, const char *path, size_t *ret_bytes)
{
	struct erofs_inode inode;
	struct erofs_dirent entry;
	char *text;
	int r = erofs_inode_get(&image->fs, image->fs.root_nid, &inode);

	while (r == 0 && *path != '\0') {
		size_t len = strcspn(path, "/");

		if (len > 0)
			r = S_ISDIR(inode.mode) ? erofs_dir_find(&image->fs, &inode, path,
								 (unsigned)len, &entry) :
						  -ENOTDIR;
		if (r == 0 && len > 0)
			r = erofs_inode_get(&image->fs, entry.nid, &inode);
		path += len + (path[len] == '/');
	}
	if (r < 0 || !S_ISREG(inode.mode) || inode.size > image->bytes)
		return NULL;
	text = malloc(inode.size + 1);
	if (text == NULL ||
	    erofs_read(&image->fs, &inode, text, inode.size, 0) != (int64_t)inode.size) {
		free(text);
		return NULL;
	}
	text[inode.size] = '\0';
	*ret_bytes = inode.size;
	return text;
}
