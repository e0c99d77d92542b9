#!/usr/bin/env bash
# Runs the cases of the main job over every kind of device and number of workers: 1, 2 and 4 workers,
# offloads on and off, MTU 1280, 1500, 9000 and 65520. With --pairs it runs twelve of the 24
# combinations, in which every two of these values meet; scripts/test.sh does that. Run as root, after
# what scripts/test.sh installs is there.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh

# Test programs whose networks have the devices that the environment asks for.
readonly PROGRAMS="endpoint protocols"
# Combinations that run side by side.
readonly AT_ONCE=3
# WORKERS OFFLOAD MTU: every two values of different columns stand in one of these lines.
readonly PAIRS="1 on 1280
2 off 1280
4 on 1280
1 off 1500
2 on 1500
4 off 1500
1 on 9000
2 off 9000
4 on 9000
1 off 65520
2 on 65520
4 off 65520"

all_combinations() {
    local workers offload mtu
    for workers in 1 2 4; do
        for offload in on off; do
            for mtu in 1280 1500 9000 65520; do
                echo "$workers $offload $mtu"
            done
        done
    done
}

# Prints the paths of the test programs, built.
built() {
    local arguments=()
    for program in $PROGRAMS; do
        arguments+=(--test "$program")
    done
    cargo test --locked --quiet -p postern-tests "${arguments[@]}" --no-run \
        --message-format=json | sed -n 's/.*"executable":"\([^"]*\)".*/\1/p'
}

# one WORKERS OFFLOAD MTU: runs all programs in one combination and says how they ended.
one() {
    local program log result=0
    log=$(mktemp -p "$work")
    for program in "${programs[@]}"; do
        if (cd tests && POSTERN_TEST_WORKERS=$1 POSTERN_TEST_OFFLOAD=$2 POSTERN_TEST_MTU=$3 \
            "$program") >"$log" 2>&1 </dev/null; then
            printf '%s workers, offload %-3s MTU %5s: %s: %s\n' "$1" "$2," "$3" \
                "$(basename "${program%-*}")" "$(sed -n 's/^test result: //p' "$log")"
        else
            printf '%s\nFAILED with %s workers, offload %s, MTU %s: %s\n' "$(cat "$log")" \
                "$1" "$2" "$3" "$(basename "$program")"
            result=1
        fi
    done
    return "$result"
}

main() {
    local combinations=$PAIRS result=0 waiting=0 workers offload mtu
    case ${1:-} in
    --pairs) ;;
    "") combinations=$(all_combinations) ;;
    *) fail "unknown argument '$1'; accepted: --pairs" ;;
    esac
    cargo build --locked --quiet --workspace
    mapfile -t programs < <(built)
    [ "${#programs[@]}" -eq "$(wc -w <<<"$PROGRAMS")" ] || fail "not all of $PROGRAMS were built"
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    while read -r workers offload mtu; do
        # Most of their time the cases wait.
        if [ "$waiting" -ge "$AT_ONCE" ]; then
            wait -n || result=1
            waiting=$((waiting - 1))
        fi
        one "$workers" "$offload" "$mtu" &
        waiting=$((waiting + 1))
    done <<<"$combinations"
    while [ "$waiting" -gt 0 ]; do
        wait -n || result=1
        waiting=$((waiting - 1))
    done
    return "$result"
}

main "$@"
