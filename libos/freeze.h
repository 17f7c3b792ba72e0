/*
 * freeze.h - standing still while a snapshot is taken (window.h: abi_instance.freeze).
 */
#pragma once

#include <stdbool.h>

struct kthread;

/* Has leatd asked, and has that not been answered yet? Needs no lock. */
bool freeze_asked(void);

/*
 * From a kthread's own loop, with the lock, when freeze_asked().  The last kthread that holds a
 * vcpu stands still in here until leatd lets it go on; the others give their vcpu back.
 */
void freeze_point(struct kthread *kt);
