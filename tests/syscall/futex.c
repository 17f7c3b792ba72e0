/* futex(2) by hand: wait, wake, timeouts, bitset, requeue, errors; between processes too. */
#include "t.h"
#include <linux/futex.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>

static uint32_t word, other;
static int woken;

static long futex(uint32_t *addr, int op, uint32_t val, void *timeout, uint32_t *addr2,
		  uint32_t val3)
{
	return syscall(SYS_futex, addr, op, val, timeout, addr2, val3);
}

static void *waiter(void *arg)
{
	(void)arg;
	while (futex(&word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0) == -1 && errno == EINTR)
		;
	__atomic_add_fetch(&woken, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

static void *bit_waiter(void *arg)
{
	futex(&word, FUTEX_WAIT_BITSET_PRIVATE, 0, NULL, NULL, (uint32_t)(uintptr_t)arg);
	__atomic_add_fetch(&woken, (int)(uintptr_t)arg, __ATOMIC_SEQ_CST);
	return NULL;
}

int main(void)
{
	struct timespec ts = {0, 20000000}, bad = {0, -1}, abs;
	pthread_t t[4];
	uint32_t *shared;
	int st, n;
	pid_t pid;

	SHOW(futex(&word, FUTEX_WAIT, 1, NULL, NULL, 0));
	SHOW(futex(&word, FUTEX_WAIT, 0, &ts, NULL, 0));
	SHOW(futex(&word, FUTEX_WAIT, 0, &bad, NULL, 0));
	SHOW(futex(BAD, FUTEX_WAIT, 0, NULL, NULL, 0));
	SHOW(futex((uint32_t *)((char *)&word + 1), FUTEX_WAIT, 0, NULL, NULL, 0));
	SHOW(futex(&word, FUTEX_WAKE, 1, NULL, NULL, 0));
	SHOW(futex(&word, 99, 1, NULL, NULL, 0));
	SHOW(futex(&word, FUTEX_WAIT_BITSET, 0, &ts, NULL, 0));
	clock_gettime(CLOCK_MONOTONIC, &abs);
	abs.tv_nsec += 20000000;
	if (abs.tv_nsec >= 1000000000) {
		abs.tv_nsec -= 1000000000;
		abs.tv_sec++;
	}
	SHOW(futex(&word, FUTEX_WAIT_BITSET, 0, &abs, NULL, 1));

	for (int i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, waiter, NULL);
	sleep_ms(50);
	SHOW(futex(&word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0));
	sleep_ms(20);
	SHOW(woken);
	/* one woken, the others move to the other word */
	SHOW(futex(&word, FUTEX_CMP_REQUEUE_PRIVATE, 1, (void *)10UL, &other, 5));
	SHOW(futex(&word, FUTEX_CMP_REQUEUE_PRIVATE, 1, (void *)10UL, &other, 0));
	SHOW(futex(&word, FUTEX_WAKE_PRIVATE, 10, NULL, NULL, 0));
	SHOW(futex(&other, FUTEX_WAKE_PRIVATE, 10, NULL, NULL, 0));
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	SHOW(woken);

	woken = 0;
	pthread_create(&t[0], NULL, bit_waiter, (void *)1);
	pthread_create(&t[1], NULL, bit_waiter, (void *)2);
	sleep_ms(50);
	SHOW(futex(&word, FUTEX_WAKE_BITSET_PRIVATE, 10, NULL, NULL, 2));
	pthread_join(t[1], NULL);
	SHOW(woken);
	SHOW(futex(&word, FUTEX_WAKE_BITSET_PRIVATE, 10, NULL, NULL, 0xffffffff));
	pthread_join(t[0], NULL);
	SHOW(woken);

	shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid = fork();
	if (pid == 0) {
		while (__atomic_load_n(shared, __ATOMIC_SEQ_CST) == 0)
			futex(shared, FUTEX_WAIT, 0, NULL, NULL, 0);
		_exit(9);
	}
	sleep_ms(30);
	__atomic_store_n(shared, 1, __ATOMIC_SEQ_CST);
	n = (int)futex(shared, FUTEX_WAKE, 1, NULL, NULL, 0);
	YES(n == 1 || n == 0);
	waitpid(pid, &st, 0);
	show_status("between processes", st);
	return 0;
}
