/*
 * bpf_sign.c - leat bpf sign: F.bpf.o.sig, for a leatd that requires signatures.
 */
#include "apps/common/signature.h"
#include "apps/leat/bpf_common.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int write_signature(const char *path, const uint8_t *signature)
{
	FILE *file = fopen(path, "w");
	bool ok = file && fwrite(signature, SIGNATURE_BYTES, 1, file) == 1;

	if (file && fclose(file))
		ok = false;
	if (!ok)
		fprintf(stderr, "leat: cannot write %s: %s\n", path, strerror(errno));
	return ok ? 0 : 1;
}

static int sign(const char *path, const struct signature_key *key)
{
	char sig_path[PATH_MAX];
	uint8_t signature[SIGNATURE_BYTES];
	uint8_t *bytes;
	size_t size;
	int r;

	snprintf(sig_path, sizeof(sig_path), "%s" SIGNATURE_SUFFIX, path);
	bytes = bpf_read_file(path, &size);
	if (!bytes)
		return 1;
	r = signature_make(key, bytes, size, signature);
	free(bytes);
	if (r) {
		fprintf(stderr, "leat: cannot sign %s\n", path);
		return 1;
	}
	return write_signature(sig_path, signature);
}

int bpf_sign(int argc, char **argv, const struct bpf_options *options)
{
	struct signature_key *key = NULL;
	int status = 0, i, r;

	if (argc < 1 || !options->key)
		return bpf_usage();
	r = signature_key_read(options->key, true, &key);
	if (r) {
		fprintf(stderr, "leat: %s: %s\n", options->key,
			r == -EKEYREJECTED ? "no private key of Ed25519 in PEM, without a phrase" :
					     strerror(-r));
		return 1;
	}
	for (i = 0; i < argc; i++)
		status |= sign(argv[i], key);
	signature_key_free(key);
	return status;
}
