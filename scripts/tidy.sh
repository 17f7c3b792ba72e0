#!/bin/sh
# clang-tidy over every source file of ours that the build folder compiles.
set -eu
BUILD=${1:-build}
ROOT=$(cd "$(dirname "$0")/.." && pwd)
cd "$ROOT"
git ls-files '*.c' | grep -v -e '^tests/syscall/' -e '^bpf/programs/' -e '^tests/.*bpf\.c$' |
	xargs -P "$(nproc)" -n 4 clang-tidy --quiet -p "$BUILD" --warnings-as-errors='*'
