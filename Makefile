# A thin front for meson: every target is one or two commands that HACKING.md also names.
BUILD ?= build
JOBS ?= $(shell nproc)

.PHONY: all build check check-full demo demo-functions asan tsan fuzz bench fmt tidy install deps clean

all: build

deps:
	@scripts/install-deps.sh

build: deps
	@[ -f $(BUILD)/build.ninja ] || meson setup $(BUILD)
	@ninja -C $(BUILD) -j$(JOBS)

check: build
	@scripts/check.py $(BUILD)

# With the slow tests: soaks, all of the limits, thousands of packets.
check-full: build
	@scripts/check.py --full $(BUILD)

demo: build
	@scripts/demo.sh $(BUILD)

demo-functions: build
	@scripts/demo-functions.sh $(BUILD)

# AddressSanitizer and UBSan on everything that runs as a plain process; the image stays as it is.
asan: deps
	@[ -f build-asan/build.ninja ] || \
		meson setup build-asan -Db_sanitize=address,undefined -Db_lundef=false
	@ninja -C build-asan -j$(JOBS)
	@scripts/check.py --unit build-asan

tsan: deps
	@[ -f build-tsan/build.ninja ] || meson setup build-tsan -Db_sanitize=thread -Db_lundef=false
	@ninja -C build-tsan -j$(JOBS)
	@scripts/check.py --unit build-tsan

fuzz: deps
	@[ -f build-fuzz/build.ninja ] || CC=clang meson setup build-fuzz -Dfuzz=true -Dimage=false
	@ninja -C build-fuzz -j$(JOBS)
	@scripts/check.py --suite fuzz build-fuzz

bench: build
	@scripts/bench.py --build $(BUILD) $(BENCH_ARGS)

fmt:
	@git ls-files '*.c' '*.h' | xargs clang-format -i

tidy: build
	@scripts/tidy.sh $(BUILD)

install: build
	@meson install -C $(BUILD) --no-rebuild

clean:
	rm -rf build build-asan build-tsan build-fuzz
