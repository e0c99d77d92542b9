#!/usr/bin/env bash
# Compares Postern with other forwarders on the same packets: the kernel with nftables SNAT over veth,
# a TUN without offload, Open vSwitch in userspace, slirp4netns, pasta, and the endpoints alone. All in
# the same namespaces with the same MTU, in turns, the translation verified at the receiver before each
# measurement. Leaves tables, every sample as JSON, and a picture under target/bench/. Run as root.
#
#   scripts/bench.sh            five rounds of 10 s, up to 45 minutes
#   scripts/bench.sh --quick    up to 3 minutes once built; too short to quote
#   scripts/bench.sh --help     which peers and columns there are, and how to choose some
#
# docs/benchmarks.md says what is measured, and what cannot be compared.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh

[ "$(id -u)" = 0 ] || fail "network namespaces and TUN devices need root: run this as root"
install_missing "cc=gcc libc6-dev" ip=iproute2 nft=nftables iperf3=iperf3 python3=python3 \
    ethtool=ethtool sysctl=procps
# A peer that cannot be had costs its rows and nothing else.
for peer in ovs-vswitchd=openvswitch-switch slirp4netns=slirp4netns pasta=passt; do
    (install_missing "$peer") || printf 'NOT AVAILABLE: %s: its rows stay empty\n' "${peer#*=}" >&2
done
ensure_rust
target=${CARGO_TARGET_DIR:-target}
cargo build --release --locked --bin postern
cargo build --release --locked -p postern-tests --example load
export PYTHONDONTWRITEBYTECODE=1
exec python3 scripts/bench --postern "$target/release/postern" --load "$target/release/examples/load" \
    --out target/bench "$@"
