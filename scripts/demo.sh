#!/bin/bash
# The demonstration: redis in one instance, redis-benchmark in another one, then both natively on
# loopback, in turns; prints requests per second and the ratio. usage: demo.sh [BUILD]
set -eu
BUILD=$(cd "${1:-build}" && pwd)
LEAT=$BUILD/apps/leat
REQUESTS=${REQUESTS:-100000}
ROUNDS=${ROUNDS:-3}
IP=10.99.0.77
PORT=$((20000 + $$ % 20000))

step() { printf '\n== %s\n' "$*"; }

LEAT_STATE_DIR=$(mktemp -d /tmp/leat-demo.XXXXXX)
LEAT_NETNS=leat-demo-$$
export LEAT_STATE_DIR LEAT_NETNS
native_pid=

cleanup() {
	"$LEAT" stop demo-redis >/dev/null 2>&1 || true
	"$LEAT" rm demo-redis >/dev/null 2>&1 || true
	[ -z "$native_pid" ] || kill "$native_pid" 2>/dev/null || true
	# the daemon that the first `leat run` started: its pid is in the state folder
	[ ! -s "$LEAT_STATE_DIR/lock" ] || kill "$(cat "$LEAT_STATE_DIR/lock")" 2>/dev/null || true
	rm -rf "$LEAT_STATE_DIR"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# rate TEST CLIENTS REQUESTS COMMAND...: requests per second of one run
rate() {
	local t=$1 c=$2 n=$3
	shift 3
	"$@" -t "$t" -c "$c" -n "$n" --csv | tail -1 | cut -d'"' -f4
}

median() { sort -n | awk '{v[NR] = $1} END {print v[int((NR + 1) / 2)]}'; }

step "a program in an instance"
"$LEAT" run -- /bin/echo "hello from an instance"

step "redis-server in an instance at $IP"
"$LEAT" run -d --name demo-redis --ip "$IP" -p "127.0.0.1:$PORT:6379" -- \
	/usr/bin/redis-server --save '' --protected-mode no
for _ in $(seq 100); do
	[ "$("$LEAT" run -- /usr/bin/redis-cli -h "$IP" ping 2>/dev/null)" = PONG ] && break
	sleep 0.1
done
"$LEAT" ps
echo "from the host, through the published port $PORT:"
redis-cli -p "$PORT" set greeting "hello through the DPU"
redis-cli -p "$PORT" get greeting

step "redis-server natively on port $((PORT + 1))"
/usr/bin/redis-server --save '' --protected-mode no --port $((PORT + 1)) >/dev/null &
native_pid=$!
for _ in $(seq 100); do
	[ "$(redis-cli -p $((PORT + 1)) ping 2>/dev/null)" = PONG ] && break
	sleep 0.1
done

step "redis-benchmark: $ROUNDS rounds each, native and instance to instance in turns"
printf '%-28s %12s %12s %8s\n' "" native leat ratio
for spec in "set 50 $REQUESTS" "get 50 $REQUESTS" "get 1 $((REQUESTS / 4))"; do
	set -- $spec
	: >"$LEAT_STATE_DIR/native" >"$LEAT_STATE_DIR/leat"
	for _ in $(seq "$ROUNDS"); do
		rate "$1" "$2" "$3" redis-benchmark -p $((PORT + 1)) >>"$LEAT_STATE_DIR/native"
		rate "$1" "$2" "$3" "$LEAT" run -- /usr/bin/redis-benchmark -h "$IP" \
			>>"$LEAT_STATE_DIR/leat"
	done
	awk -v what="$1, $2 clients, requests/s" -v n="$(median <"$LEAT_STATE_DIR/native")" \
		-v l="$(median <"$LEAT_STATE_DIR/leat")" \
		'BEGIN {printf "%-28s %12.0f %12.0f %7.2fx\n", what, n, l, l / n}'
done
step "done"
