#!/usr/bin/env bash
# Shows the main job on real packets: a service sees a workload by its public address, and by its
# private one once the service endpoint is on. Builds Postern, makes namespaces, runs real servers and
# clients in them, and removes all it made, however it ends. Exit code 0 only if everything that it
# shows was seen as Azure does it. Run as root on Debian or Ubuntu; installs what is missing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh

# The world: one VNet with two subnets, a storage service in its region, a host on the Internet.
readonly VM0=10.0.1.4 VM1=10.0.2.4 PUBLIC_VM0=20.0.0.9 PUBLIC_DEFAULT=20.200.0.1
readonly STORAGE=20.60.16.5 INTERNET=93.184.216.34
readonly NAMESPACES=(vm0 vm1 inet svc)

readonly PREFIX="postern-demo-$$"
readonly BINARY="${CARGO_TARGET_DIR:-target}/release/postern"
work=
daemon=
rows=()
all_held=yes

say() {
    printf '\n\033[1m%s\033[0m\n' "$*"
}

cleanup() {
    local status=$? name
    trap - EXIT
    trap '' INT TERM HUP
    # The daemon first, so that it can take its devices away itself.
    if [ -n "$daemon" ]; then
        kill "$daemon" 2>/dev/null || true
        timeout 10 tail --pid="$daemon" -f /dev/null || kill -KILL "$daemon" 2>/dev/null || true
    fi
    for name in "${NAMESPACES[@]}"; do
        [ -e "/run/netns/$PREFIX-$name" ] || continue
        ip netns pids "$PREFIX-$name" | xargs -r kill -KILL 2>/dev/null || true
        ip netns delete "$PREFIX-$name" || true
    done
    if [ "$status" != 0 ] && [ -s "$work/postern.log" ]; then
        printf '\nPostern said last:\n' >&2
        tail -n 20 "$work/postern.log" >&2
    fi
    [ -z "$work" ] || rm -rf "$work"
    exit "$status"
}

prepare() {
    [ "$(id -u)" = 0 ] || fail "network namespaces and TUN devices need root: run this as root"
    install_missing "cc=gcc libc6-dev" ip=iproute2 ping=iputils-ping python3=python3
    ensure_rust
    say "Building"
    cargo build --release --locked --bin postern
    if [ ! -e /dev/net/tun ]; then
        modprobe tun 2>/dev/null || true
        [ -e /dev/net/tun ] || fail "/dev/net/tun is missing: load the module tun"
    fi
}

# in_namespace NAME COMMAND...
in_namespace() {
    local name=$1
    shift
    ip netns exec "$PREFIX-$name" "$@"
}

postern() {
    "$BINARY" --socket "$work/postern.sock" "$@"
}

# wait_for FILE PATTERN SECONDS: until a line of the file matches.
wait_for() {
    local until=$((SECONDS + $3))
    until grep -qE -- "$2" "$1" 2>/dev/null; do
        [ "$SECONDS" -le "$until" ] || return 1
        sleep 0.05
    done
}

write_peer() {
    cat >"$work/peer.py" <<'EOF'
"""Servers and clients of the demo: what they print is what they see."""
import socket, struct, sys, threading, time


def say(*words):
    print(*words, flush=True)


def address(words):
    return words[0], int(words[1])


def serve(*words):
    """Tells every client the address that it has here, and echoes."""
    def talk(client, peer):
        try:
            client.sendall(f"{peer[0]} {peer[1]}\n".encode())
            while data := client.recv(4096):
                client.sendall(data)
            say("closed", *peer)
        except ConnectionResetError:
            say("reset", *peer)

    with socket.create_server(address(words), backlog=64) as listener:
        say("listening")
        while True:
            threading.Thread(target=talk, args=listener.accept(), daemon=True).start()


def connect(words):
    client = socket.create_connection(address(words), timeout=5)
    stream = client.makefile("rw")
    return client, stream, stream.readline().split()


def ask(*words):
    """Connects once; prints the source that the server sees."""
    say(connect(words)[2][0])


def idle(*words):
    """Holds a connection in silence; says how it ends."""
    client, _, seen = connect(words)
    say("open", *seen)
    client.settimeout(None)
    try:
        say("closed" if client.recv(1) == b"" else "data")
    except ConnectionResetError:
        say("reset")


def talk(*words):
    """Holds a connection and has a line echoed ten times a second; says when it fails."""
    client, stream, seen = connect(words)
    say("open", *seen)
    count = 0
    try:
        while True:
            count += 1
            stream.write(f"line {count}\n")
            stream.flush()
            if stream.readline() != f"line {count}\n":
                return say("closed")
            say("echoed", count)
            time.sleep(0.1)
    except OSError as error:
        say("cut", error)


def pings(*words):
    """Prints the source of every ping that arrives."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    say("listening")
    while True:
        packet = listener.recv(2048)
        if packet[(packet[0] & 15) * 4] == 8:
            say("ping", socket.inet_ntoa(packet[12:16]))


globals()[sys.argv[1]](*sys.argv[2:])
EOF
}

write_config() {
    cat >"$work/postern.toml" <<EOF
location = "koreacentral"

[internet]
namespace = "$PREFIX-inet"
addresses = ["$INTERNET/24"]

[defaultOutbound]
publicIPAddress = "$PUBLIC_DEFAULT"

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
privateIPAddress = "$VM0"
publicIPAddress = "$PUBLIC_VM0"
namespace = "$PREFIX-vm0"

[[networkInterface]]
name = "vm1"
virtualNetwork = "VNet1"
subnet = "subnet2"
privateIPAddress = "$VM1"
namespace = "$PREFIX-vm1"

[[service]]
name = "contoso"
service = "Microsoft.Storage"
address = "$STORAGE"
namespace = "$PREFIX-svc"
EOF
}

# peer NAME LOG VERB ...: starts a server or a client that stays, and waits for its first words.
peer() {
    local name=$1 log="$work/$2.log"
    shift 2
    in_namespace "$name" python3 "$work/peer.py" "$@" >"$log" 2>&1 &
    wait_for "$log" '^(listening|open)' 10 || fail "$name: $* does not start: $(cat "$log")"
}

start() {
    local name
    for name in "${NAMESPACES[@]}"; do
        ip netns add "$PREFIX-$name"
        ip -n "$PREFIX-$name" link set lo up
    done
    write_config
    write_peer
    # Not through the function: the signal that stops it must reach the program itself.
    "$BINARY" --socket "$work/postern.sock" run -c "$work/postern.toml" --state-dir "$work/state" \
        >"$work/postern.log" 2>&1 &
    daemon=$!
    wait_for "$work/postern.log" ready 10 || fail "Postern does not become ready"
    peer svc storage serve "$STORAGE" 443
    peer svc pings pings
    peer inet internet serve "$INTERNET" 443
}

# The source that the storage service sees on a new connection from a workload.
source_seen() {
    in_namespace "$1" python3 "$work/peer.py" ask "$STORAGE" 443 || echo "no connection"
}

# record WHAT SEEN EXPECTED: a row of the table.
record() {
    local held=yes
    if [ "$2" != "$3" ]; then
        held=NO
        all_held=no
    fi
    printf '  %s: %s\n' "$1" "$2"
    rows+=("$(printf '%-52s %-15s %-15s %s' "$1" "$2" "$3" "$held")")
}

# How the idle connection of this log has ended, once it has; a switch is over when it is reported.
ending() {
    wait_for "$work/$1.log" '^(reset|closed|data)' 1 || true
    tail -n 1 "$work/$1.log" | cut -d' ' -f1
}

# Whether the connection to the Internet echoes on, from now.
internet_goes_on() {
    local echoed
    echoed=$(sed -n 's/^echoed //p' "$work/vm0-internet.log" | tail -n 1)
    if wait_for "$work/vm0-internet.log" "^echoed $((echoed + 3))\$" 3; then
        echo "goes on"
    else
        tail -n 1 "$work/vm0-internet.log"
    fi
}

ping_source() {
    : >"$work/answered"
    in_namespace vm0 ping -n -c 1 -W 3 "$STORAGE" >"$work/answered" || true
    grep -q ' 1 received' "$work/answered" || { echo "no answer"; return; }
    # The service's kernel answers before the listener beside it has said what it saw.
    wait_for "$work/pings.log" '^ping' 3 || { echo "not seen"; return; }
    sed -n 's/^ping //p' "$work/pings.log" | tail -n 1
}

switch_endpoint() {
    say "postern endpoint $1 VNet1/subnet1 Microsoft.Storage"
    postern endpoint "$1" VNet1/subnet1 Microsoft.Storage
}

show() {
    say "The endpoint is off"
    record "off: source of vm0 at the service" "$(source_seen vm0)" "$PUBLIC_VM0"
    record "off: source of its sibling vm1" "$(source_seen vm1)" "$PUBLIC_DEFAULT"
    peer vm0 vm0-public idle "$STORAGE" 443
    peer vm0 vm0-internet talk "$INTERNET" 443
    echo "  vm0 holds a connection to the service and one to the Internet"

    switch_endpoint enable
    record "on: the open connection to the service" "$(ending vm0-public)" reset
    record "on: the connection to the Internet" "$(internet_goes_on)" "goes on"
    record "on: source of vm0 at the service" "$(source_seen vm0)" "$VM0"
    record "on: source of its sibling vm1" "$(source_seen vm1)" "$PUBLIC_DEFAULT"
    record "on: source of a ping of vm0 at the service" "$(ping_source)" "$PUBLIC_VM0"
    peer vm0 vm0-private idle "$STORAGE" 443

    switch_endpoint disable
    record "off again: the open connection to the service" "$(ending vm0-private)" reset
    record "off again: the connection to the Internet" "$(internet_goes_on)" "goes on"
    record "off again: source of vm0 at the service" "$(source_seen vm0)" "$PUBLIC_VM0"
}

stop() {
    local left
    kill "$daemon"
    wait "$daemon" || fail "Postern ended with $?"
    daemon=
    left=$(ip -n "$PREFIX-vm0" -o link | grep -vc ': lo:' || true)
    record "stopped: devices left in vm0" "$left" 0
}

prepare
work=$(mktemp -d)
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
SECONDS=0
start
show
stop

say "What was seen ($SECONDS s)"
printf '%-52s %-15s %-15s %s\n' "" seen expected held
printf '%s\n' "${rows[@]}"
[ "$all_held" = yes ] || fail "not everything held"
