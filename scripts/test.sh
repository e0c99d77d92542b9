#!/usr/bin/env bash
# Everything that is checked: formatting, lints, documentation, dependencies, and all tests, the
# end-to-end ones in network namespaces included. Run as root on Debian or Ubuntu it installs what is
# missing. With CI=true a case that cannot run fails; without, it is skipped loudly.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh

# Of the checker below; a newer one may judge differently.
readonly DENY_VERSION=0.20.2

# In the repository, so that a cache of target/ keeps them.
readonly TOOLS="$PWD/target/tools"

step() {
    printf '\n== %s (after %d s)\n' "$*" "$SECONDS"
}

ensure_deny() {
    export PATH="$TOOLS/bin:$PATH"
    [ "$(cargo-deny --version 2>/dev/null)" != "cargo-deny $DENY_VERSION" ] || return 0
    # Its own profile optimises for minutes what runs for seconds.
    CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
        CARGO_PROFILE_RELEASE_OPT_LEVEL=1 \
        cargo install --quiet --locked --root "$TOOLS" --target-dir "$TOOLS/build" \
        "cargo-deny@$DENY_VERSION"
    rm -rf "$TOOLS/build"
}

# The servers, SDKs and the az that the cases drive, from npm and PyPI, in the versions that
# tests/clients names.
ensure_clients() {
    local from=tests/clients node="$TOOLS/node"
    if ! cmp -s "$from/package.json" "$node/installed"; then
        rm -rf "$node" && mkdir -p "$node"
        cp "$from/package.json" "$node/"
        npm install --prefix "$node" --no-audit --no-fund --no-package-lock --silent
        cp "$from/package.json" "$node/installed"
    fi
    ensure_venv python "$from/requirements.txt"
    # Apart, because az pins other versions of the same SDKs. Most of what it brings is never
    # imported here: what is gets compiled when it first runs.
    ensure_venv az "$from/az.txt" --no-compile
}

# Installs what a file names into a Python of its own: NAME FILE [OPTION OF PIP...]
ensure_venv() {
    local place="$TOOLS/$1" wanted="$2"
    shift 2
    ! cmp -s "$wanted" "$place/installed" || return 0
    rm -rf "$place"
    python3 -m venv "$place"
    "$place/bin/pip" install --quiet --disable-pip-version-check "$@" -r "$wanted"
    cp "$wanted" "$place/installed"
}

check_dependencies() {
    local reason
    cargo deny --log-level error check licenses bans sources
    # The advisories are a git repository: the one check that needs a host which may be out of reach.
    if reason=$(cargo deny --log-level error fetch db 2>&1); then
        cargo deny --log-level error check advisories
    else
        printf 'SKIP advisories: the advisory database cannot be fetched: %s\n' \
            "$(tail -n 1 <<<"$reason")" >&2
    fi
}

run_tests() {
    local log result=0
    log=$(mktemp)
    # The end-to-end cases run the binary of the same profile.
    cargo build --locked --workspace
    cargo test --locked --workspace --no-fail-fast 2>&1 | tee "$log" || result=1
    # Added up over the test programs; nothing at all would be a failure too.
    awk '/^test result:/ { passed += $4; failed += $6; ignored += $8 }
        /^SKIP / { skipped++ }
        END {
            printf "\n%d passed, %d failed, %d ignored, %d skipped\n", passed, failed, ignored, skipped
            exit passed == 0 || failed > 0
        }' "$log" || result=1
    rm -f "$log"
    return "$result"
}

step "tools"
install_missing "cc=gcc libc6-dev" ip=iproute2 nft=nftables iperf3=iperf3 runc=runc \
    ping=iputils-ping ethtool=ethtool busybox=busybox-static bird=bird2 dig=bind9-dnsutils \
    dnsmasq=dnsmasq-base python3=python3 shellcheck=shellcheck git="git ca-certificates" \
    curl=curl node=nodejs npm=npm nginx=nginx-light psql=postgresql-client valgrind=valgrind
# Programs that no directory of PATH has, or a module.
[ -n "$(compgen -G '/usr/lib/postgresql/*/bin/initdb')" ] || install_missing "initdb=postgresql"
python3 -c 'import ensurepip, venv' 2>/dev/null || install_missing "venv=python3-venv"
# Of the ODBC driver that a PyPI package brings.
python3 -c 'import ctypes; ctypes.CDLL("libltdl.so.7")' 2>/dev/null ||
    install_missing "libltdl=libltdl7 libgssapi-krb5-2"
ensure_rust
ensure_deny
ensure_clients

step "formatting"
cargo fmt --all --check
shellcheck scripts/*.sh .ci/run

step "scripts"
python3 -B scripts/bench/test_pure.py
python3 -B scripts/citations.py

step "lints"
cargo clippy --locked --workspace --all-targets -- -D warnings

step "documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --quiet --locked --workspace --no-deps --document-private-items

step "dependencies"
check_dependencies

step "tests"
run_tests

step "the main job over devices of every kind"
scripts/matrix.sh --pairs

step "instructions of a hit"
scripts/instructions.sh
