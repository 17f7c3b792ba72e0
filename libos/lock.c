/*
 * lock.c - the instance lock: one word in the window, taken by the kthreads of all the instance's
 * processes.  Spins briefly (sections are short), then sleeps on the host.
 */
#include <linux/futex.h>
#include <stddef.h>

#include "leat/base/bits.h"
#include "libos/host.h"
#include "libos/instance.h"
#include "libos/kthread.h"

#define LOCK_SPINS 50 /* some 2 us: longer than nearly all sections */

enum { LOCK_FREE, LOCK_HELD, LOCK_WAITED };

static uint32_t *lock_word(void)
{
	return &abi_scratch_of(window())->instance_lock;
}

bool instance_trylock(void)
{
	uint32_t *word = lock_word();
	uint32_t seen = LOCK_FREE;

	/* Acquire pairs with the release of instance_unlock. */
	return __atomic_load_n(word, __ATOMIC_RELAXED) == LOCK_FREE &&
	       __atomic_compare_exchange_n(word, &seen, LOCK_HELD, false, __ATOMIC_ACQUIRE,
					   __ATOMIC_RELAXED);
}

static bool lock_spin(void)
{
	for (unsigned i = 0; i < LOCK_SPINS; i++) {
		if (instance_trylock())
			return true;
		cpu_relax();
	}
	return false;
}

/*
 * One that was woken mostly finds the lock taken again: it spins before it sleeps again, since
 * every unlock with a sleeper costs a host call.
 */
static void lock_slow(uint32_t *word)
{
	if (lock_spin())
		return;
	/* Acquire pairs with the release of instance_unlock. */
	while (__atomic_exchange_n(word, LOCK_WAITED, __ATOMIC_ACQUIRE) != LOCK_FREE) {
		host_futex(word, FUTEX_WAIT, LOCK_WAITED, NULL, 0);
		kthread_leave_if_dead();
		for (unsigned i = 0; i < LOCK_SPINS; i++) {
			if (__atomic_load_n(word, __ATOMIC_RELAXED) == LOCK_FREE)
				break;
			cpu_relax();
		}
	}
}

void instance_lock(void)
{
	uint32_t *word = lock_word();
	uint32_t seen = LOCK_FREE;

	/* Acquire pairs with the release of instance_unlock. */
	if (unlikely(!__atomic_compare_exchange_n(word, &seen, LOCK_HELD, false, __ATOMIC_ACQUIRE,
						  __ATOMIC_RELAXED)))
		lock_slow(word);
}

void instance_unlock(void)
{
	uint32_t *word = lock_word();

	/* Release pairs with the acquire of the next holder. */
	if (unlikely(__atomic_exchange_n(word, LOCK_FREE, __ATOMIC_RELEASE) == LOCK_WAITED))
		host_futex(word, FUTEX_WAKE, 1, NULL, 0);
}
