/*
 * syscall.h - how handlers are written, and the table's type.
 *
 * A handler is SYSn(name, type, arg, ...) { ... return result or negative errno; }.  It defines
 * sys_name() with six longs, the table's one prototype, and an inline function with the real types.
 */
#pragma once

#include <stdint.h>

typedef long (*syscall_fn)(long, long, long, long, long, long);

/* Flags of syscalls.def. */
#define SC_NOLOCK 1u /* runs without the instance lock: touches nothing shared */
#define SC_FULL 2u   /* needs the full register frame (fork, clone, exec, sigreturn) */

struct syscall_desc {
	const char *name;
	syscall_fn fn;
	uint16_t flags;
	uint8_t nr_args;
	const char *args; /* types for --trace, one letter each: see trace.c */
};

#define SYSCALL_MAX 512
extern const struct syscall_desc syscall_table[SYSCALL_MAX];

#define SYSCALL(nr, name, group, status, flags, nargs, args, note)                                 \
	long sys_##name(long, long, long, long, long, long);
#include "libos/syscalls.def"
#undef SYSCALL

#define SYS_U __attribute__((unused)) long
#define SYS0(name)                                                                                 \
	static inline long do_##name(void);                                                        \
	long sys_##name(SYS_U a, SYS_U b, SYS_U c, SYS_U d, SYS_U e, SYS_U f)                      \
	{                                                                                          \
		return do_##name();                                                                \
	}                                                                                          \
	static inline long do_##name(void)
#define SYS1(name, t1, n1)                                                                         \
	static inline long do_##name(t1 n1);                                                       \
	long sys_##name(long a, SYS_U b, SYS_U c, SYS_U d, SYS_U e, SYS_U f)                       \
	{                                                                                          \
		return do_##name((t1)a);                                                           \
	}                                                                                          \
	static inline long do_##name(t1 n1)
#define SYS2(name, t1, n1, t2, n2)                                                                 \
	static inline long do_##name(t1 n1, t2 n2);                                                \
	long sys_##name(long a, long b, SYS_U c, SYS_U d, SYS_U e, SYS_U f)                        \
	{                                                                                          \
		return do_##name((t1)a, (t2)b);                                                    \
	}                                                                                          \
	static inline long do_##name(t1 n1, t2 n2)
#define SYS3(name, t1, n1, t2, n2, t3, n3)                                                         \
	static inline long do_##name(t1 n1, t2 n2, t3 n3);                                         \
	long sys_##name(long a, long b, long c, SYS_U d, SYS_U e, SYS_U f)                         \
	{                                                                                          \
		return do_##name((t1)a, (t2)b, (t3)c);                                             \
	}                                                                                          \
	static inline long do_##name(t1 n1, t2 n2, t3 n3)
#define SYS4(name, t1, n1, t2, n2, t3, n3, t4, n4)                                                 \
	static inline long do_##name(t1 n1, t2 n2, t3 n3, t4 n4);                                  \
	long sys_##name(long a, long b, long c, long d, SYS_U e, SYS_U f)                          \
	{                                                                                          \
		return do_##name((t1)a, (t2)b, (t3)c, (t4)d);                                      \
	}                                                                                          \
	static inline long do_##name(t1 n1, t2 n2, t3 n3, t4 n4)
#define SYS5(name, t1, n1, t2, n2, t3, n3, t4, n4, t5, n5)                                         \
	static inline long do_##name(t1 n1, t2 n2, t3 n3, t4 n4, t5 n5);                           \
	long sys_##name(long a, long b, long c, long d, long e, SYS_U f)                           \
	{                                                                                          \
		return do_##name((t1)a, (t2)b, (t3)c, (t4)d, (t5)e);                               \
	}                                                                                          \
	static inline long do_##name(t1 n1, t2 n2, t3 n3, t4 n4, t5 n5)
#define SYS6(name, t1, n1, t2, n2, t3, n3, t4, n4, t5, n5, t6, n6)                                 \
	static inline long do_##name(t1 n1, t2 n2, t3 n3, t4 n4, t5 n5, t6 n6);                    \
	long sys_##name(long a, long b, long c, long d, long e, long f)                            \
	{                                                                                          \
		return do_##name((t1)a, (t2)b, (t3)c, (t4)d, (t5)e, (t6)f);                        \
	}                                                                                          \
	static inline long do_##name(t1 n1, t2 n2, t3 n3, t4 n4, t5 n5, t6 n6)
