/*
 * What net/ needs from whoever embeds it: the library OS in an instance, the harness in a test.
 * net/ calls these and nothing else from outside (besides memcpy and its kin).
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct net;
struct net_sock;

/* Memory for sockets and tables: zeroed, 16-aligned; NULL when the instance's limit is reached. */
void *net_env_alloc(size_t bytes);
/* The same with undefined contents: memory that is never used shall stay untouched. */
void *net_env_alloc_raw(size_t bytes);
void net_env_free(void *ptr, size_t bytes);

/* CLOCK_MONOTONIC in nanoseconds. */
uint64_t net_env_now_ns(void);

/* CLOCK_REALTIME in nanoseconds. */
uint64_t net_env_realtime_ns(void);

void net_env_random(void *dst, size_t bytes);

/* Copies from and to the program's memory: 0 or -EFAULT. */
int net_env_copy_in(void *dst, const void *user_src, size_t bytes);
int net_env_copy_out(void *user_dst, const void *src, size_t bytes);

/*
 * `sock` has become ready for `events` (POLLIN | POLLOUT | POLLERR | POLLHUP | POLLRDHUP).
 * Called with the embedder's lock held, from inside net_* calls; it must not call back into net.
 */
void net_env_sock_event(struct net_sock *sock, void *owner, uint32_t events);

/* Index of the queue pair of the vcpu that runs now. */
unsigned int net_env_vcpu(void);

/* Packets were published on the TX ring of `vcpu`: ring the doorbell if the DPU sleeps. */
void net_env_kick(struct net *net, unsigned int vcpu);
