# What the scripts share. Sourced, not run.
# shellcheck shell=bash

fail() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# install_missing COMMAND=PACKAGES...: installs the Debian packages of every command that is not there.
install_missing() {
    local pair packages=()
    for pair in "$@"; do
        if ! command -v "${pair%%=*}" >/dev/null; then
            read -r -a more <<<"${pair#*=}"
            packages+=("${more[@]}")
        fi
    done
    [ "${#packages[@]}" -gt 0 ] || return 0
    command -v apt-get >/dev/null || fail "missing, and there is no apt-get to install: ${packages[*]}"
    [ "$(id -u)" = 0 ] || fail "missing: ${packages[*]}; install them, or run this as root"
    printf 'installing %s\n' "${packages[*]}"
    export DEBIAN_FRONTEND=noninteractive
    (
        # The servers among them are for namespaces of the tests: none is to start on this machine.
        policy=/usr/sbin/policy-rc.d
        if [ ! -e "$policy" ]; then
            trap 'rm -f "$policy"' EXIT
            printf '#!/bin/sh\nexit 101\n' >"$policy"
            chmod +x "$policy"
        fi
        apt-get update -qq
        apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
    )
}

# The value of `KEY = "VALUE"` in a TOML file.
toml_value() {
    sed -n "s/^$2 *= *\"\([^\"]*\)\".*/\1/p" "$1" | head -n 1
}

# Whether version $1 is $2 or newer.
at_least() {
    [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]
}

# Makes `cargo` work in the current directory: the one that is there, rustup's, or Debian's if new enough.
ensure_rust() {
    local needed channel home candidate version
    needed=$(toml_value Cargo.toml rust-version)
    channel=$(toml_value rust-toolchain.toml channel)
    # Under sudo, the user's toolchain serves; what the build fetches stays root's own.
    for home in "$HOME" "$(getent passwd "${SUDO_USER:-root}" | cut -d: -f6)"; do
        if ! command -v cargo >/dev/null && [ -x "$home/.cargo/bin/cargo" ]; then
            export PATH="$home/.cargo/bin:$PATH" RUSTUP_HOME="${RUSTUP_HOME:-$home/.rustup}"
        fi
    done
    if ! command -v cargo >/dev/null && ! command -v rustup >/dev/null; then
        [ "$(id -u)" = 0 ] || fail "no cargo: install Rust $needed or newer (https://rustup.rs)"
        apt-get update -qq
        candidate=$(apt-cache policy cargo | sed -n 's/^ *Candidate: *//p')
        if at_least "${candidate:-0}" "$needed"; then
            install_missing "cargo=cargo rustc" cargo-fmt=rustfmt cargo-clippy=rust-clippy
        elif apt-cache policy rustup | grep -q 'Candidate: *[0-9]'; then
            install_missing "rustup=rustup ca-certificates"
        else
            fail "this release has cargo ${candidate:-none} and no rustup package; Postern needs" \
                "Rust $needed or newer: install it from https://rustup.rs and run this again"
        fi
    fi
    if command -v rustup >/dev/null && ! cargo --version >/dev/null 2>&1; then
        rustup toolchain install "$channel" --profile minimal --component rustfmt,clippy
    fi
    version=$(cargo --version | cut -d' ' -f2)
    at_least "$version" "$needed" || fail "cargo $version is too old; Postern needs Rust $needed or newer"
}
