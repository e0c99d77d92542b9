#!/usr/bin/env bash
# Runs the daemon in namespaces of its own under mixed traffic, endpoint switches, API writes, NICs that come
# and go and floods in short bursts, for as many seconds as it is told (an hour), and says whether memory,
# descriptors, threads, flows, leases and the growth of the log are flat over the second half. Exit code 0
# only if they are and the daemon stopped cleanly. Run as root on Debian or Ubuntu; installs what is missing.
# POSTERN_BINARY names a program that is built already.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh

readonly SECONDS_TO_RUN=${1:-3600}
readonly NAMESPACES=(vm0 vm1 vm2 inet svc)
readonly PREFIX="postern-soak-$$"
binary=${POSTERN_BINARY:-}
work=
daemon=

cleanup() {
    local status=$? name
    trap - EXIT
    trap '' INT TERM HUP
    if [ -n "$daemon" ]; then
        kill "$daemon" 2>/dev/null || true
        timeout 10 tail --pid="$daemon" -f /dev/null || kill -KILL "$daemon" 2>/dev/null || true
    fi
    for name in "${NAMESPACES[@]}"; do
        [ -e "/run/netns/$PREFIX-$name" ] || continue
        ip netns pids "$PREFIX-$name" | xargs -r kill -KILL 2>/dev/null || true
        ip netns delete "$PREFIX-$name" || true
    done
    if [ "$status" != 0 ] && [ -n "$work" ] && [ -s "$work/postern.log" ]; then
        printf '\nPostern said last:\n' >&2
        tail -n 20 "$work/postern.log" >&2
    fi
    [ -z "$work" ] || rm -rf "$work"
    exit "$status"
}

in_namespace() {
    local name=$1
    shift
    ip netns exec "$PREFIX-$name" "$@"
}

postern() {
    "$binary" --socket "$work/postern.sock" --log warn "$@"
}

wait_for() {
    local until=$((SECONDS + $3))
    until grep -qE -- "$2" "$1" 2>/dev/null; do
        [ "$SECONDS" -le "$until" ] || return 1
        sleep 0.05
    done
}

# config FILE [with-vm2]: idle flows end within seconds, so that a short run comes to a level too.
config() {
    cat >"$1" <<EOF
location = "koreacentral"
[settings]
maxFlows = 20000
[timers]
tcpHalfOpen = "2s"
tcpIdle = "5s"
tcpClosing = "3s"
tcpFinHold = "3s"
tcpRstHold = "2s"
udpIdle = "3s"
udpHold = "2s"
icmpIdle = "2s"
tombstone = "2s"
[internet]
namespace = "$PREFIX-inet"
addresses = ["93.184.216.34/24"]
[defaultOutbound]
publicIPAddress = "20.200.0.1"
[[virtualNetwork]]
name = "VNet1"
addressPrefixes = ["10.0.0.0/16"]
[[virtualNetwork.subnet]]
name = "subnet1"
addressPrefix = "10.0.1.0/24"
[[virtualNetwork.subnet]]
name = "subnet2"
addressPrefix = "10.0.2.0/24"
[[networkInterface]]
name = "vm0"
virtualNetwork = "VNet1"
subnet = "subnet1"
privateIPAddress = "10.0.1.4"
publicIPAddress = "20.0.0.9"
namespace = "$PREFIX-vm0"
[[networkInterface]]
name = "vm1"
virtualNetwork = "VNet1"
subnet = "subnet2"
privateIPAddress = "10.0.2.4"
namespace = "$PREFIX-vm1"
[[service]]
name = "contoso"
service = "Microsoft.Storage"
address = "20.60.16.5"
namespace = "$PREFIX-svc"
EOF
    [ "${2:-}" = with-vm2 ] || return 0
    cat >>"$1" <<EOF
[[networkInterface]]
name = "vm2"
virtualNetwork = "VNet1"
subnet = "subnet2"
privateIPAddress = "10.0.2.5"
namespace = "$PREFIX-vm2"
EOF
}

write_traffic() {
    cat >"$work/traffic.py" <<'EOF'
"""What runs in the namespaces: servers, clients of every kind, floods."""
import os, random, socket, struct, sys, threading, time


def serve(address, port):
    def talk(client):
        try:
            while data := client.recv(65536):
                client.sendall(data)
        except OSError:
            pass
        client.close()

    def echo():
        datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        datagrams.bind((address, int(port)))
        while True:
            data, peer = datagrams.recvfrom(2048)
            try:
                datagrams.sendto(data, peer)
            except OSError:
                pass

    threading.Thread(target=echo, daemon=True).start()
    with socket.create_server((address, int(port)), backlog=128) as listener:
        print("listening", flush=True)
        while True:
            threading.Thread(target=talk, args=(listener.accept()[0],), daemon=True).start()


def once(to):
    """One connection: short, large, reset, half-closed, or left alone for a while."""
    kind = random.randrange(6)
    if kind == 5:
        datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        datagrams.settimeout(0.5)
        for _ in range(5):
            datagrams.sendto(os.urandom(random.randrange(1, 1400)), to)
            datagrams.recv(2048)
        return datagrams.close()
    client = socket.create_connection(to, timeout=2)
    size = 400_000 if kind == 1 else 300
    client.sendall(bytes(size))
    if kind == 2:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    elif kind == 3:
        client.shutdown(socket.SHUT_WR)
    elif kind == 4:
        time.sleep(random.random())
    left = size if kind != 2 else 0
    while left > 0 and (data := client.recv(65536)):
        left -= len(data)
    client.close()


def clients(*servers):
    servers = [(name.split(":")[0], int(name.split(":")[1])) for name in servers]
    print("open", flush=True)
    while True:
        try:
            once(random.choice(servers))
        except OSError:
            time.sleep(0.05)


def flood(seconds, *servers):
    """Opens as many flows as it can: raw datagrams and handshakes that end at once."""
    until = time.monotonic() + float(seconds)
    while time.monotonic() < until:
        datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for _ in range(200):
            name = random.choice(servers).split(":")[0]
            try:
                datagrams.sendto(b"x", (name, random.randrange(1, 65536)))
            except OSError:
                pass
        datagrams.close()


globals()[sys.argv[1]](*sys.argv[2:])
EOF
    cat >"$work/judge.py" <<'EOF'
"""Reads the samples, and says of each number whether it is flat over the second half."""
import sys

lines = [line.split() for line in open(sys.argv[1])]
names, rows = lines[0], [[float(word) for word in line] for line in lines[1:]]
# What a number may rise by over the half, as a part of its mean and at least.
slack = {"rss_kib": (0.05, 6144), "descriptors": (0.1, 8), "threads": (0.1, 3)}
failed = False
half = rows[len(rows) // 2:]
print(f"{len(rows)} samples; over the second half:")
for at, name in enumerate(names):
    if name == "seconds":
        continue
    xs, ys = [row[0] for row in half], [row[at] for row in half]
    mean_x, mean = sum(xs) / len(xs), sum(ys) / len(ys)
    below = sum((x - mean_x) ** 2 for x in xs) or 1
    slope = sum((x - mean_x) * (y - mean) for x, y in zip(xs, ys)) / below
    rise = slope * (xs[-1] - xs[0])
    if name == "log_bytes":
        first = rows[len(rows) // 2][at] - rows[0][at]
        second = rows[-1][at] - rows[len(rows) // 2][at]
        is_flat = second <= first * 1.5 + 8192
        print(f"  {name:12} grew by {first:.0f}, then by {second:.0f}: {'steady' if is_flat else 'GROWS FASTER'}")
    elif name not in slack:
        # Floods make them rise and fall: their peaks must not grow.
        early, late = (max(part) for part in (ys[: len(ys) // 2], ys[len(ys) // 2 :]))
        is_flat = late <= early * 1.25 + 2000
        print(f"  {name:12} peaked at {early:.0f}, then at {late:.0f}: {'flat' if is_flat else 'NOT FLAT'}")
    else:
        part, least = slack[name]
        is_flat = rise <= max(part * mean, least)
        print(f"  {name:12} mean {mean:.0f}, rise {rise:+.0f}: {'flat' if is_flat else 'NOT FLAT'}")
        parts = [rows[len(rows) * n // 8 : len(rows) * (n + 1) // 8] for n in range(8)]
        print(f"    by eighths of the run: {[round(sum(row[at] for row in rows) / max(len(rows), 1)) for rows in parts]}")
    failed |= not is_flat
sys.exit(failed)
EOF
}

# stay NAME VERB ...: a server or clients that stay.
stay() {
    local name=$1 log="$work/$1-$2.log"
    shift
    in_namespace "$name" python3 "$work/traffic.py" "$@" >"$log" 2>&1 &
    wait_for "$log" '^(listening|open)' 30 || fail "$name: $* does not start: $(cat "$log")"
}

start() {
    local name
    for name in "${NAMESPACES[@]}"; do
        ip netns add "$PREFIX-$name"
        ip -n "$PREFIX-$name" link set lo up
    done
    config "$work/without.toml"
    config "$work/with.toml" with-vm2
    cp "$work/with.toml" "$work/postern.toml"
    write_traffic
    # As a shell of a user's: the daemon has to raise it by itself.
    ulimit -Sn 256
    "$binary" --socket "$work/postern.sock" run -c "$work/postern.toml" --state-dir "$work/state" \
        >"$work/postern.log" 2>&1 &
    daemon=$!
    wait_for "$work/postern.log" ready 60 || fail "Postern does not become ready"
    awk '/^Max open files/ { exit $4 == $5 ? 0 : 1 }' "/proc/$daemon/limits" ||
        fail "the daemon did not raise its limit of descriptors"
    stay svc serve 20.60.16.5 443
    stay inet serve 93.184.216.34 443
    stay vm0 serve 10.0.1.4 22
    stay vm0 clients 20.60.16.5:443 93.184.216.34:443
    stay vm1 clients 20.60.16.5:443 93.184.216.34:443 10.0.1.4:22
    stay inet clients 20.0.0.9:22 20.60.16.5:443
}

# How many flows and leases there are.
levels() {
    postern stats -o json | python3 -c 'import json, sys
stats = json.load(sys.stdin)
print(stats["flows"]["count"], sum(pool[kind] for pool in stats["snat"] for kind in ("tcp", "udp", "icmp")))'
}

# One number of each kind, as they are now.
sample() {
    local rss
    rss=$(awk '/^VmRSS/ { print $2 }' "/proc/$daemon/status")
    printf '%s %s %s %s %s %s\n' "$SECONDS" "$rss" "$(find "/proc/$daemon/fd" -mindepth 1 | wc -l)" \
        "$(find "/proc/$daemon/task" -mindepth 1 -maxdepth 1 | wc -l)" \
        "$(levels)" "$(stat -c %s "$work/postern.log")" >>"$work/samples"
}

# may WHAT COMMAND...: a command that has to succeed.
may() {
    local what=$1
    shift
    "$@" >"$work/last" 2>&1 || fail "$what: $(cat "$work/last")"
}

round() {
    local count=$1
    may "endpoint" postern endpoint enable VNet1/subnet1 Microsoft.Storage
    printf '{"location": "koreacentral", "properties": {"addressSpace": {"addressPrefixes": ["172.%s.0.0/16"]}}}' \
        "$((16 + count % 8))" >"$work/network.json"
    may "a network" postern arm PUT "$NETWORK/soak$((count % 8))?api-version=2024-05-01" --body "$work/network.json"
    case $((count % 4)) in
    0) may "a NIC goes" postern apply "$work/without.toml" ;;
    1) in_namespace vm1 python3 "$work/traffic.py" flood 0.4 93.184.216.34 20.60.16.5 || true ;;
    2) may "a NIC comes" postern apply "$work/with.toml" ;;
    3) in_namespace inet python3 "$work/traffic.py" flood 0.4 20.0.0.9 20.200.0.1 || true ;;
    esac
    may "a network goes" postern arm DELETE "$NETWORK/soak$((count % 8))?api-version=2024-05-01"
    may "endpoint" postern endpoint disable VNet1/subnet1 Microsoft.Storage
}

# Ends all traffic; within the timers of the configuration nothing may be left of it.
drain() {
    local name until=$((SECONDS + 60))
    for name in "${NAMESPACES[@]}"; do
        ip netns pids "$PREFIX-$name" | grep -vx "$daemon" | xargs -r kill -KILL 2>/dev/null || true
    done
    until [ "$(levels)" = "0 0" ]; do
        [ "$SECONDS" -le "$until" ] || fail "flows and leases are left without traffic: $(levels)"
        sleep 1
    done
}

[[ $SECONDS_TO_RUN =~ ^[0-9]+$ ]] || fail "$SECONDS_TO_RUN is no number of seconds; accepted: such as 60"
[ "$(id -u)" = 0 ] || fail "network namespaces and TUN devices need root: run this as root"
install_missing ip=iproute2 python3=python3
if [ -z "$binary" ]; then
    ensure_rust
    cargo build --release --locked --bin postern
    binary="${CARGO_TARGET_DIR:-target}/release/postern"
fi
trap cleanup EXIT
work=$(mktemp -d)
readonly GROUP=/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/soak
readonly NETWORK=$GROUP/providers/Microsoft.Network/virtualNetworks
start
printf '{"location": "koreacentral"}' >"$work/group.json"
may "a resource group" postern arm PUT "$GROUP?api-version=2021-04-01" --body "$work/group.json"
printf 'seconds rss_kib descriptors threads flows leases log_bytes\n' >"$work/samples"
until=$((SECONDS + SECONDS_TO_RUN))
count=0
while [ "$SECONDS" -lt "$until" ]; do
    round "$count"
    sample
    count=$((count + 1))
    kill -0 "$daemon" 2>/dev/null || fail "the daemon is gone"
done
printf '%s rounds in %s s\n' "$count" "$SECONDS_TO_RUN"
status=0
python3 "$work/judge.py" "$work/samples" || status=1
drain
printf 'nothing is left without traffic\n'
kill "$daemon"
timeout 20 tail --pid="$daemon" -f /dev/null || fail "the daemon does not stop"
wait "$daemon" || fail "the daemon ended with an error"
daemon=
if grep -nE 'panicked|ERROR' "$work/postern.log"; then
    fail "the log has errors"
fi
[ "$status" = 0 ] || fail "not flat"
printf 'flat\n'
