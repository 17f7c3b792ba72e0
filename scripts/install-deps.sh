#!/bin/sh
# Installs the Debian 12 packages that the build, the tests and the demo need, and only those that
# are missing: with everything there it asks dpkg once and returns. Needs root only to install.
set -eu

BUILD="build-essential meson ninja-build pkg-config python3 clang musl-tools linux-libc-dev
	libdpdk-dev libbpf-dev libseccomp-dev libjansson-dev libcmocka-dev libjemalloc-dev
	libelf-dev zlib1g-dev libh2o-evloop-dev libssl-dev libsqlite3-dev libyaml-dev
	libncurses-dev libarchive-dev"
RUN="erofs-utils iproute2 redis-server redis-tools memcached nginx-light wrk dpdk
	openvswitch-switch-dpdk"
TEST="busybox-static golang-go sqlite3 git perl xz-utils make procps file clang-format clang-tidy
	bind9-dnsutils bsdutils netcat-openbsd curl strace tmux runc crun awscli prometheus iputils-ping
	libpython3.11-testsuite stress-ng tshark umoci skopeo
	mmdebstrap autoconf automake libtool cmake"

missing() {
	for p in "$@"; do
		case "$(dpkg-query -W -f '${db:Status-Status}\n' "$p" 2>/dev/null)" in
		*installed*) ;;
		*) echo "$p" ;;
		esac
	done
}

all_installed() {
	[ "$(dpkg-query -W -f '${db:Status-Status}\n' "$@" 2>/dev/null | grep -cx installed)" -ge $# ]
}

# shellcheck disable=SC2086
set -- $BUILD $RUN $TEST
all_installed "$@" && exit 0
want=$(missing "$@")
[ -n "$want" ] || exit 0

# shellcheck disable=SC2086
echo "install-deps: installing:" $want
if [ "$(id -u)" != 0 ]; then
	echo "install-deps: not root; run: apt-get install $(echo $want)" >&2
	exit 1
fi
export DEBIAN_FRONTEND=noninteractive
export RUNLEVEL=1 # packages with a daemon (redis-server) are not to start it
apt-get update -q || echo "install-deps: apt-get update failed; trying with what is known" >&2
# shellcheck disable=SC2086
apt-get install -q -y --no-install-recommends $want
echo "install-deps: done"
