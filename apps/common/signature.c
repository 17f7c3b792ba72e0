/*
 * signature.c - Ed25519 signatures of filters, by OpenSSL.
 */
#include "apps/common/signature.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>

/* The library's own EVP_PKEY under a name of ours. */
static EVP_PKEY *pkey_of(const struct signature_key *key)
{
	return (EVP_PKEY *)(uintptr_t)key;
}

/* Nobody is asked for a pass phrase: an encrypted key is refused. */
static int no_phrase(char *buf, int size, int rwflag, void *arg)
{
	(void)buf;
	(void)size;
	(void)rwflag;
	(void)arg;
	return -1;
}

int signature_key_read(const char *path, bool is_private, struct signature_key **ret_key)
{
	FILE *file = fopen(path, "re");
	EVP_PKEY *key;

	if (!file)
		return -errno;
	key = is_private ? PEM_read_PrivateKey(file, NULL, no_phrase, NULL) :
			   PEM_read_PUBKEY(file, NULL, no_phrase, NULL);
	fclose(file);
	if (!key || EVP_PKEY_get_base_id(key) != EVP_PKEY_ED25519) {
		EVP_PKEY_free(key);
		return -EKEYREJECTED;
	}
	*ret_key = (struct signature_key *)key;
	return 0;
}

void signature_key_free(struct signature_key *key)
{
	if (key)
		EVP_PKEY_free(pkey_of(key));
}

bool signature_is_valid(const struct signature_key *key, const void *bytes, size_t size,
			const uint8_t signature[SIGNATURE_BYTES])
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool valid = ctx && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, pkey_of(key)) == 1 &&
		     EVP_DigestVerify(ctx, signature, SIGNATURE_BYTES, bytes, size) == 1;

	EVP_MD_CTX_free(ctx);
	return valid;
}

int signature_make(const struct signature_key *key, const void *bytes, size_t size,
		   uint8_t ret_signature[SIGNATURE_BYTES])
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	uint8_t signature[SIGNATURE_BYTES];
	size_t n = sizeof(signature);
	bool made = ctx && EVP_DigestSignInit(ctx, NULL, NULL, NULL, pkey_of(key)) == 1 &&
		    EVP_DigestSign(ctx, signature, &n, bytes, size) == 1 && n == sizeof(signature);

	EVP_MD_CTX_free(ctx);
	if (!made)
		return -EIO;
	for (n = 0; n < sizeof(signature); n++)
		ret_signature[n] = signature[n];
	return 0;
}

int signature_digest(const void *first, size_t first_size, const void *second, size_t second_size,
		     uint8_t ret_digest[DIGEST_BYTES])
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool made = ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1 &&
		    EVP_DigestUpdate(ctx, first, first_size) == 1 &&
		    EVP_DigestUpdate(ctx, second, second_size) == 1 &&
		    EVP_DigestFinal_ex(ctx, ret_digest, NULL) == 1;

	EVP_MD_CTX_free(ctx);
	return made ? 0 : -EIO;
}
