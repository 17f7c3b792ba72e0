#!/bin/bash
# Deploys the functions of apps/functions, calls each cold and warm, and prints a table of latencies
# in ms. A language that is not installed is named and left out. usage: demo-functions.sh [BUILD]
set -eu
ROOT=$(cd "$(dirname "$0")/.." && pwd)
BUILD=$(cd "${1:-build}" && pwd)
LEAT=$BUILD/apps/leat
WARM=${WARM:-20}
PORT=$((20000 + $$ % 20000))
WORK=$(mktemp -d /tmp/leat-functions.XXXXXX)
export LEAT_STATE_DIR=$WORK/state LEAT_NETNS=leat-functions-$$
gateway=

cleanup() {
	[ -z "$gateway" ] || kill "$gateway" 2>/dev/null || true
	[ -z "$gateway" ] || wait "$gateway" 2>/dev/null || true
	# the daemon that the gateway started: its pid is in the state folder
	[ ! -s "$LEAT_STATE_DIR/lock" ] || kill "$(cat "$LEAT_STATE_DIR/lock")" 2>/dev/null || true
	rm -rf "$WORK"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# prepare LANGUAGE: what has to be compiled; fails with a reason on standard output
prepare() {
	case $1 in
	c) gcc -O2 -D_GNU_SOURCE -static -o server server.c ;;
	python) [ -x /usr/bin/python3 ] || { echo "python3 is not installed" && false; } ;;
	node) command -v node >/dev/null || { echo "node is not installed" && false; } ;;
	go)
		command -v go >/dev/null || { echo "go is not installed" && false; }
		GOCACHE=$WORK/go-cache GO111MODULE=off go build -o server main.go
		;;
	java)
		command -v javac >/dev/null || { echo "javac is not installed" && false; }
		javac Server.java
		;;
	shell) command -v curl >/dev/null || { echo "curl is not installed" && false; } ;;
	esac
}

# call NAME: one call; its time in ms, or nothing when it failed
call() {
	curl -sS -f -o "$WORK/answer" -w '%{time_total}\n' --max-time 120 -d 'one two 3' \
		"http://127.0.0.1:$PORT/function/$1" | awk '{printf "%.2f\n", $1 * 1000}'
}

mkdir -p "$LEAT_STATE_DIR"
chmod 755 "$WORK"
cp -r "$ROOT/apps/functions" "$WORK/functions"
"$BUILD/apps/leat-gateway" --listen "$PORT" 2>"$WORK/gateway.log" &
gateway=$!
for _ in $(seq 200); do
	curl -s -o /dev/null "http://127.0.0.1:$PORT/healthz" && break
	sleep 0.05
done
"$LEAT" run -- /bin/true # the daemon's own start is no function's

failed=0
printf '%-14s %10s %12s %10s  %s\n' function 'cold ms' 'warm median' 'warm max' answer
for language in c go python node java shell; do
	cd "$WORK/functions/$language"
	if ! why=$(prepare "$language" 2>&1); then
		printf '%-14s left out: %s\n' "$language" "$why"
		continue
	fi
	"$LEAT" deploy . >/dev/null
	cold=$(call "demo-$language" || true)
	if [ -z "$cold" ]; then
		printf '%-14s failed: %s\n' "$language" "$("$LEAT" functions | grep "demo-$language")"
		failed=1
		continue
	fi
	for _ in $(seq "$WARM"); do call "demo-$language"; done | sort -n >"$WORK/warm"
	printf '%-14s %10s %12s %10s  %s\n' "$language" "$cold" \
		"$(awk '{v[NR] = $1} END {print v[int((NR + 1) / 2)]}' "$WORK/warm")" \
		"$(tail -1 "$WORK/warm")" "$(head -c 40 "$WORK/answer" | tr '\n' ' ')"
	"$LEAT" undeploy "demo-$language"
done
exit $failed
