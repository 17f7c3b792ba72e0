#!/bin/sh
# Prints C initialisers with the name of every x86-64 system call, from the kernel's own header.
# usage: gen-syscall-names.sh unistd_64.h
set -eu
sed -n 's/^#define __NR_\([a-z0-9_]*\) \([0-9][0-9]*\)$/[\2] = "\1",/p' "$1"
