/*
 * filter.c - filters: from an object file to something that the DPU runs.
 *
 * What was proved once is kept: the same bytes for the same tenant, by the same verifier and
 * platform table, are neither proved nor compiled again while this leatd runs.
 */
#include "apps/leatd/leatd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "apps/common/paths.h"
#include "apps/leatd/log.h"

#define DEFAULT_FILTER "antispoof.bpf.o"
#define OBJECT_MAX (8U << 20) /* bytes of an object file */

/* The whole file: mapped files could change under the verifier. */
static int file_read(int fd, void **ret_bytes, size_t *ret_size)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if (st.st_size > OBJECT_MAX)
		return -EFBIG;
	void *bytes = malloc((size_t)st.st_size + 1);
	if (!bytes)
		return -ENOMEM;
	ssize_t n = pread(fd, bytes, (size_t)st.st_size, 0);
	if (n != st.st_size) {
		free(bytes);
		return n < 0 ? -errno : -EIO;
	}
	*ret_bytes = bytes;
	*ret_size = (size_t)n;
	return 0;
}

static const char *noun_of(const struct filter_source *source)
{
	return source->noun ? source->noun : "filter";
}

/* ---- what was proved ---- */

static struct filter_proof *proof_find(struct leatd *leatd, const uint8_t *digest)
{
	for (unsigned i = 0; i < FILTER_PROOFS_MAX; i++) {
		struct filter_proof *proof = &leatd->proofs[i];

		if (proof->object && memcmp(proof->digest, digest, DIGEST_BYTES) == 0)
			return proof;
	}
	return NULL;
}

/* In the place of the one that was not used for longest. */
static void proof_keep(struct leatd *leatd, const uint8_t *digest, struct ebpf_object *object)
{
	struct filter_proof *oldest = &leatd->proofs[0];

	for (unsigned i = 1; i < FILTER_PROOFS_MAX; i++)
		if (leatd->proofs[i].used < oldest->used)
			oldest = &leatd->proofs[i];
	ebpf_object_unref(oldest->object);
	memcpy(oldest->digest, digest, DIGEST_BYTES);
	oldest->object = ebpf_object_ref(object);
	oldest->used = ++leatd->proof_clock;
}

void filter_proofs_finish(struct leatd *leatd)
{
	for (unsigned i = 0; i < FILTER_PROOFS_MAX; i++)
		ebpf_object_unref(leatd->proofs[i].object);
	signature_key_free(leatd->signer);
}

/* What a proof is of: the object, whose slice it reaches, and who proved it. */
static int proof_digest(const struct filter_source *source, const void *bytes, size_t size,
			uint8_t ret_digest[DIGEST_BYTES])
{
	const uint64_t with[] = {source->tenant, EBPF_VERIFIER_VERSION, ebpf_platform_hash()};

	return signature_digest(bytes, size, with, sizeof(with), ret_digest);
}

static int object_prove(struct leatd *leatd, const struct filter_source *source, const void *bytes,
			size_t size, char *error, size_t error_size,
			struct ebpf_object **ret_object)
{
	char report[EBPF_LOG_SIZE] = "";
	uint8_t digest[DIGEST_BYTES];
	struct filter_proof *proof;
	int r = proof_digest(source, bytes, size, digest);

	proof = r ? NULL : proof_find(leatd, digest);
	if (proof) {
		proof->used = ++leatd->proof_clock;
		*ret_object = ebpf_object_ref(proof->object);
		log_line(LOG_DEBUG, "filter: proved before");
		return 0;
	}
	if (!r)
		r = ebpf_object_load(bytes, size, report, sizeof(report), ret_object);
	if (r < 0)
		snprintf(error, error_size, "cannot use the %s: %s%s%s", noun_of(source),
			 strerror(-r), *report ? "\n" : "", report);
	else
		proof_keep(leatd, digest, *ret_object);
	return r;
}

/* ---- whose it is ---- */

static int signature_read(int fd, uint8_t ret_signature[SIGNATURE_BYTES])
{
	void *bytes = NULL;
	size_t size = 0;
	int r = file_read(fd, &bytes, &size);

	if (r == 0 && size != SIGNATURE_BYTES)
		r = -EINVAL;
	if (r == 0)
		memcpy(ret_signature, bytes, SIGNATURE_BYTES);
	free(bytes);
	return r;
}

static int signer_check(const struct leatd *leatd, const struct filter_source *source,
			const void *bytes, size_t size, char *error, size_t error_size)
{
	uint8_t signature[SIGNATURE_BYTES];

	if (!leatd->signer)
		return 0;
	if (source->signature_fd < 0) {
		snprintf(error, error_size,
			 "cannot use the %s: it is not signed, and leatd requires that: there "
			 "is no file of its name with " SIGNATURE_SUFFIX " (leat bpf sign)",
			 noun_of(source));
		return -EKEYREJECTED;
	}
	if (signature_read(source->signature_fd, signature) < 0) {
		snprintf(error, error_size,
			 "cannot use the %s: its signature is not a file of %d bytes",
			 noun_of(source), SIGNATURE_BYTES);
		return -EKEYREJECTED;
	}
	if (!signature_is_valid(leatd->signer, bytes, size, signature)) {
		snprintf(error, error_size,
			 "cannot use the %s: its signature is not of these bytes by the key "
			 "that leatd requires",
			 noun_of(source));
		return -EKEYREJECTED;
	}
	return 0;
}

int filter_signer_read(struct leatd *leatd, const char *path)
{
	int r = signature_key_read(path, false, &leatd->signer);

	if (r < 0)
		log_line(LOG_ERROR, "cannot use the key %s: %s", path,
			 r == -EKEYREJECTED ? "it is no public key of Ed25519 in PEM" :
					      strerror(-r));
	return r;
}

/* ---- all of it ---- */

static int object_load(struct leatd *leatd, const struct filter_source *source, bool trusted,
		       char *error, size_t error_size, struct ebpf_object **ret_object)
{
	void *bytes = NULL;
	size_t size = 0;
	int r = file_read(source->object_fd, &bytes, &size);

	if (r < 0) {
		snprintf(error, error_size, "cannot read the %s: %s", noun_of(source),
			 strerror(-r));
		return r;
	}
	if (!trusted)
		r = signer_check(leatd, source, bytes, size, error, error_size);
	if (r == 0)
		r = object_prove(leatd, source, bytes, size, error, error_size, ret_object);
	free(bytes);
	return r;
}

int filter_load(struct leatd *leatd, const struct filter_source *source, char *error,
		size_t error_size, struct ebpf_object **ret_object)
{
	if (strcmp(source->kind, "none") == 0) {
		*ret_object = NULL;
		return 0;
	}
	if (strcmp(source->kind, "default") == 0) {
		if (!leatd->default_filter) {
			snprintf(error, error_size,
				 "cannot use the default filter: it did not load (see the log)");
			return -ENOENT;
		}
		*ret_object = ebpf_object_ref(leatd->default_filter);
		return 0;
	}
	if (strcmp(source->kind, "object") != 0 || source->object_fd < 0) {
		snprintf(error, error_size, "cannot understand the filter of the request");
		return -EINVAL;
	}
	return object_load(leatd, source, false, error, error_size, ret_object);
}

int filter_load_default(struct leatd *leatd)
{
	struct filter_source source = {.kind = "object", .signature_fd = -1};
	char path[PATH_MAX], error[EBPF_LOG_SIZE + 128];
	int r = paths_find_filter(DEFAULT_FILTER, path, sizeof(path));

	if (r < 0) {
		log_line(LOG_ERROR, "cannot find the default filter %s", DEFAULT_FILTER);
		return r;
	}
	source.object_fd = open(path, O_RDONLY | O_CLOEXEC);
	if (source.object_fd < 0) {
		r = -errno;
		log_line(LOG_ERROR, "cannot open %s: %s", path, strerror(-r));
		return r;
	}
	/* a part of the installation, as leatd itself is */
	r = object_load(leatd, &source, true, error, sizeof(error), &leatd->default_filter);
	close(source.object_fd);
	if (r < 0)
		log_line(LOG_ERROR, "%s: %s", path, error);
	return r;
}
