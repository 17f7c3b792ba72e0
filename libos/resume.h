/*
 * resume.h - the start of a clone (design section 10), and what its parts ask of each other.
 */
#pragma once

#include <stdint.h>

#include "leat/abi/boot.h"
#include "leat/abi/snapshot.h"

struct mm;

/* From the launcher's jump, on the boot stack: the tasks of the snapshot go on. */
_Noreturn void resume(const struct abi_boot *boot);

/* Maps the parts of the snapshot that lie in [low, high), over what is there. 0 or negative errno.
 */
int resume_map_runs(uint64_t low, uint64_t high, int prot);

/* mm_resume.c: the program's memory: each mapping anew, and what it had written over it. */
int mm_resume(struct mm *mm);
