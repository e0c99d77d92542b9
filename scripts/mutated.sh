#!/usr/bin/env bash
# Sends packets with structured faults through an engine with everything, a hundred million by default, in
# release mode on one core; dataplane/tests/mutated says what is checked. Prints the seed and what became
# of them. Arguments: how many, and the first seed; without a seed, a new one each time.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export POSTERN_PACKETS=${1:-100000000}
export POSTERN_SEED=${2:-$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}
printf 'POSTERN_PACKETS=%s POSTERN_SEED=%s\n' "$POSTERN_PACKETS" "$POSTERN_SEED"
exec cargo test --release --locked -p postern-dataplane --test mutated -- --nocapture
