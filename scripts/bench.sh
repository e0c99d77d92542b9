#!/usr/bin/env bash
# Compares Postern with the kernel on the same packets: iperf3 from one namespace to another, by
# Postern's public source and by the kernel's forwarding with nftables SNAT over veth, in the same
# namespaces with the same MTU, in turns. Prints every sample, medians and their ratio. Before each
# run the translation is verified at the receiver. Run as root; ROUNDS and SECONDS_EACH change the
# length. Times of a shared machine are noisy: quote ratios, with their samples.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh

readonly ROUNDS=${ROUNDS:-5} SECONDS_EACH=${SECONDS_EACH:-5} MTU=1500
readonly PREFIX="postern-bench-$$"
readonly VM="$PREFIX-vm" INET="$PREFIX-inet" ROUTER="$PREFIX-router"
# What the server is called and the source that it must see, by path.
readonly POSTERN_TO=93.184.216.34 POSTERN_SOURCE=20.200.0.1
readonly KERNEL_TO=93.184.217.34 KERNEL_SOURCE=20.200.1.1
work=
daemon=

cleanup() {
    local status=$? name
    trap - EXIT
    trap '' INT TERM HUP
    [ -z "$daemon" ] || { kill "$daemon" 2>/dev/null; wait "$daemon" 2>/dev/null; } || true
    for name in "$VM" "$INET" "$ROUTER"; do
        [ -e "/run/netns/$name" ] || continue
        ip netns pids "$name" | xargs -r kill -KILL 2>/dev/null || true
        ip netns delete "$name" || true
    done
    [ -z "$work" ] || rm -rf "$work"
    exit "$status"
}

# The kernel's path: vm - router with SNAT - inet, over veth with its default offloads.
make_kernel_path() {
    ip -n "$VM" link add kernel0 mtu "$MTU" type veth peer name vm netns "$ROUTER" mtu "$MTU"
    ip -n "$INET" link add kernel0 mtu "$MTU" type veth peer name inet netns "$ROUTER" mtu "$MTU"
    ip -n "$VM" address add 10.99.0.2/24 dev kernel0
    ip -n "$ROUTER" address add 10.99.0.1/24 dev vm
    ip -n "$ROUTER" address add 93.184.217.1/24 dev inet
    ip -n "$INET" address add "$KERNEL_TO/24" dev kernel0
    ip -n "$VM" link set kernel0 up
    ip -n "$INET" link set kernel0 up
    ip -n "$ROUTER" link set vm up
    ip -n "$ROUTER" link set inet up
    ip -n "$VM" route add "$KERNEL_TO" via 10.99.0.1
    ip -n "$INET" route add "$KERNEL_SOURCE" via 93.184.217.1
    ip netns exec "$ROUTER" sysctl -qw net.ipv4.ip_forward=1
    ip netns exec "$ROUTER" nft -f - <<EOF
table ip nat {
    chain postrouting {
        type nat hook postrouting priority srcnat
        oifname "inet" snat to $KERNEL_SOURCE
    }
}
EOF
}

make_postern_path() {
    cat >"$work/bench.toml" <<EOF
location = "koreacentral"
[internet]
namespace = "$INET"
addresses = ["$POSTERN_TO/24"]
mtu = $MTU
[defaultOutbound]
publicIPAddress = "$POSTERN_SOURCE"
[[virtualNetwork]]
name = "VNet1"
addressPrefixes = ["10.0.0.0/16"]
[[virtualNetwork.subnet]]
name = "subnet1"
addressPrefix = "10.0.1.0/24"
[[networkInterface]]
name = "vm"
virtualNetwork = "VNet1"
subnet = "subnet1"
privateIPAddress = "10.0.1.4"
namespace = "$VM"
mtu = $MTU
EOF
    "${CARGO_TARGET_DIR:-target}/release/postern" --socket "$work/postern.sock" \
        run -c "$work/bench.toml" --state-dir "$work/state" 2>"$work/postern.log" &
    daemon=$!
    for _ in $(seq 100); do
        ! grep -q ready "$work/postern.log" || return 0
        kill -0 "$daemon" 2>/dev/null || break
        sleep 0.1
    done
    cat "$work/postern.log" >&2
    fail "postern does not start"
}

# verify TO SOURCE: connects once, and the server must see that source.
verify() {
    local seen
    seen=$(ip netns exec "$INET" python3 - "$1" <<'EOF' &
import socket, sys
with socket.create_server((sys.argv[1], 5100)) as server:
    server.settimeout(10)
    print(server.accept()[1][0])
EOF
        sleep 0.5
        ip netns exec "$VM" python3 -c "import socket; socket.create_connection(('$1', 5100), 5)"
        wait)
    [ "$seen" = "$2" ] || fail "the server at $1 sees the source '$seen', not $2: nothing measured"
}

# measure TO ARGUMENT...: bits per second as received.
measure() {
    local to=$1
    shift
    ip netns exec "$VM" iperf3 -J -t "$SECONDS_EACH" -O 1 -c "$to" "$@" |
        python3 -c "import json, sys
end = json.load(sys.stdin)['end']
print(end.get('sum_received', end.get('sum'))['bits_per_second'])"
}

report() {
    python3 - "$work/samples" <<'EOF'
import statistics, sys
rows = {}
for line in open(sys.argv[1]):
    mode, path, rate = line.rstrip("\n").split("|")
    rows.setdefault(mode, {}).setdefault(path, []).append(float(rate) / 1e9)
print(f"\n{'Gbit/s':24}{'postern':>24}{'nftables SNAT':>24}{'ratio':>8}{'per round':>16}")
for mode, paths in rows.items():
    cells = [f"{statistics.median(s):.2f} ({min(s):.2f}-{max(s):.2f})" for s in paths.values()]
    ratios = [a / b for a, b in zip(*paths.values())]
    spread = f"{min(ratios):.2f}-{max(ratios):.2f}"
    print(f"{mode:24}{cells[0]:>24}{cells[1]:>24}{statistics.median(ratios):8.2f}{spread:>16}")
EOF
}

main() {
    local round mode arguments
    [ "$(id -u)" = 0 ] || fail "network namespaces and TUN devices need root: run this as root"
    install_missing "cc=gcc libc6-dev" ip=iproute2 nft=nftables iperf3=iperf3 python3=python3
    ensure_rust
    cargo build --release --locked --bin postern
    trap cleanup EXIT
    trap 'exit 130' INT TERM HUP
    work=$(mktemp -d)
    for name in "$VM" "$INET" "$ROUTER"; do
        ip netns add "$name"
        ip -n "$name" link set lo up
    done
    make_kernel_path
    make_postern_path
    ip netns exec "$INET" iperf3 -s -D
    for round in $(seq "$ROUNDS"); do
        verify "$POSTERN_TO" "$POSTERN_SOURCE"
        verify "$KERNEL_TO" "$KERNEL_SOURCE"
        while IFS='|' read -r mode arguments; do
            for path in postern kernel; do
                if [ "$path" = postern ]; then to=$POSTERN_TO; else to=$KERNEL_TO; fi
                # shellcheck disable=SC2086 # the arguments are words
                rate=$(measure "$to" $arguments </dev/null)
                echo "$mode|$path|$rate" >>"$work/samples"
                printf 'round %d  %-22s %-8s %6.2f Gbit/s\n' "$round" "$mode" "$path" \
                    "$(python3 -c "print($rate / 1e9)")"
            done
        done <<'EOF'
TCP, 1 stream|-P 1
TCP, 1 stream, back|-P 1 -R
TCP, 4 streams|-P 4
EOF
    done
    report
}

main
