#!/usr/bin/env bash
# Counts the instructions that a packet of a live flow takes, under valgrind, and compares them with
# dataplane/benches/instructions.txt: a rise of more than 5% fails. With --record the file is written
# anew. Seconds differ from machine to machine and from run to run; instructions do not.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly BASELINE=dataplane/benches/instructions.txt
# As many packets as the program sends while it is counted.
readonly PACKETS=1000
readonly CASES="tcp-unchanged tcp-shared-source tcp-over-ipv6 udp-instance-address"

program=$(cargo bench --locked --quiet -p postern-dataplane --bench instructions --no-run \
    --message-format=json | sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | tail -n 1)

# Prints the instructions for one packet of a case.
count() {
    valgrind --tool=callgrind --callgrind-out-file=/dev/null --collect-atstart=no \
        --toggle-collect='*::counted' "$program" "$1" 2>&1 |
        awk -v packets="$PACKETS" '/Collected :/ { print int($NF / packets + 0.5) }'
}

record() {
    printf '# Instructions for one packet of a live flow; see scripts/instructions.sh.\n'
    for case in $CASES; do
        printf '%s %s\n' "$case" "$(count "$case")"
    done
}

if [ "${1:-}" = --record ]; then
    record >"$BASELINE"
    cat "$BASELINE"
    exit
fi

result=0
for case in $CASES; do
    before=$(awk -v case="$case" '$1 == case { print $2 }' "$BASELINE")
    now=$(count "$case")
    printf '%s: %s instructions, recorded are %s\n' "$case" "${now:-no}" "${before:-none}"
    if [ -z "$now" ] || [ -z "$before" ] || [ $((now * 100)) -gt $((before * 105)) ]; then
        result=1
    fi
done
if [ "$result" != 0 ]; then
    printf 'A hit takes over 5%% more instructions than recorded, or was not counted. If that has a reason, run\n%s\n' \
        "scripts/instructions.sh --record and state the reason in the commit that changes $BASELINE." >&2
fi
exit "$result"
