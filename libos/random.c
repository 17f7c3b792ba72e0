/*
 * random.c - the libOS's random numbers: ChaCha20 with fast key erasure.
 *
 * The key starts from the launcher's random bytes; each request replaces it (so that an old output
 * tells nothing later), and rdrand is mixed in where the CPU has it (so that two instances cloned
 * from one image part ways).  Guard: the instance lock.
 */
#include <cpuid.h>
#include <string.h>

#include "leat/base/bits.h"
#include "libos/instance.h"

#define CHACHA_ROUNDS 20
#define CHACHA_BLOCK 64U

static inline uint32_t rotate_left(uint32_t v, unsigned n)
{
	return v << n | v >> (32 - n);
}

static void quarter_round(uint32_t x[16], unsigned a, unsigned b, unsigned c, unsigned d)
{
	x[a] += x[b];
	x[d] = rotate_left(x[d] ^ x[a], 16);
	x[c] += x[d];
	x[b] = rotate_left(x[b] ^ x[c], 12);
	x[a] += x[b];
	x[d] = rotate_left(x[d] ^ x[a], 8);
	x[c] += x[d];
	x[b] = rotate_left(x[b] ^ x[c], 7);
}

/* RFC 8439 section 2.3, with a 64-bit counter and a 64-bit nonce. */
static void chacha_block(const uint32_t key[8], uint64_t counter, uint64_t nonce, uint32_t out[16])
{
	uint32_t in[16] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574};

	memcpy(in + 4, key, 32);
	memcpy(in + 12, &counter, 8);
	memcpy(in + 14, &nonce, 8);
	memcpy(out, in, sizeof(in));
	for (unsigned i = 0; i < CHACHA_ROUNDS; i += 2) {
		quarter_round(out, 0, 4, 8, 12);
		quarter_round(out, 1, 5, 9, 13);
		quarter_round(out, 2, 6, 10, 14);
		quarter_round(out, 3, 7, 11, 15);
		quarter_round(out, 0, 5, 10, 15);
		quarter_round(out, 1, 6, 11, 12);
		quarter_round(out, 2, 7, 8, 13);
		quarter_round(out, 3, 4, 9, 14);
	}
	for (unsigned i = 0; i < 16; i++)
		out[i] += in[i];
}

/* 0 where the CPU has none: the key alone decides then. */
static uint64_t hardware_random(void)
{
	unsigned eax, ebx, ecx, edx;
	unsigned long value;
	unsigned char ok;

	if (__get_cpuid(1, &eax, &ebx, &ecx, &edx) == 0 || (ecx & bit_RDRND) == 0)
		return 0;
	__asm__ volatile("rdrand %0; setc %1" : "=r"(value), "=qm"(ok) : : "cc");
	return ok ? value : 0;
}

void random_bytes(void *buf, size_t n)
{
	uint32_t key[8], block[16];
	uint64_t nonce = hardware_random();
	unsigned char *p = buf;

	memcpy(key, instance()->random_key, sizeof(key));
	chacha_block(key, 0, nonce, block);
	memcpy(instance()->random_key, block, sizeof(key));
	for (uint64_t counter = 1; n > 0; counter++) {
		size_t part = MIN(n, CHACHA_BLOCK);

		chacha_block(key, counter, nonce, block);
		memcpy(p, block, part);
		p += part;
		n -= part;
	}
}

uint64_t random_u64(void)
{
	uint64_t v;

	random_bytes(&v, sizeof(v));
	return v;
}
