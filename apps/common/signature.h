/*
 * signature.h - Ed25519 signatures of filters, by OpenSSL. Keys are PEM files as "openssl genpkey
 * -algorithm ed25519" and "openssl pkey -pubout" write them; a signature is the 64 bytes of
 * "openssl pkeyutl -sign -rawin", in a file of its own: F.bpf.o.sig beside F.bpf.o.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIGNATURE_BYTES 64
#define SIGNATURE_SUFFIX ".sig"
#define DIGEST_BYTES 32

struct signature_key;

/* 0, a negative errno if the file cannot be read, -EKEYREJECTED: it holds no such key of Ed25519.
 */
int signature_key_read(const char *path, bool is_private, struct signature_key **ret_key);
void signature_key_free(struct signature_key *key); /* NULL is allowed */

bool signature_is_valid(const struct signature_key *key, const void *bytes, size_t size,
			const uint8_t signature[SIGNATURE_BYTES]);

/* 0 or -EIO. */
int signature_make(const struct signature_key *key, const void *bytes, size_t size,
		   uint8_t ret_signature[SIGNATURE_BYTES]);

/* SHA-256 of two pieces, one behind the other: 0 or -EIO. */
int signature_digest(const void *first, size_t first_size, const void *second, size_t second_size,
		     uint8_t ret_digest[DIGEST_BYTES]);
