#!/usr/bin/env bash
# scripts/tools.sh [demo] : looks for the tools that the tests need, or only for
# those of the demo. As root it installs what is missing through apt-get; else it
# names all of it at once. The guests' toolchains are scripts/guests.sh's matter,
# the linter's is the Makefile's.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

missing=()

# need WHAT PACKAGES TEST... : where TEST fails, installs PACKAGES and asks again.
need() {
	local what=$1 packages=$2
	shift 2
	! "$@" || return 0
	# shellcheck disable=SC2086 # several packages
	if [ -z "$packages" ] || ! apt_install $packages || ! "$@"; then
		missing+=("$what")
	fi
}

c_compiler() {
	local cc
	cc=$(go env CC 2> /dev/null) || cc=cc
	have "${cc%% *}"
}

java17() {
	local version
	version=$(java -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p')
	[ "${version:-0}" -ge 17 ]
}

need "Go 1.26 or newer (go), see https://go.dev/dl" "" have go
need "a C compiler, for wasmtime is linked through cgo (on Debian: gcc libc6-dev)" "gcc libc6-dev" c_compiler
if [ "${1:-}" != demo ]; then
	need "Java 17 or newer (java), which runs Kafka" openjdk-17-jre-headless java17
	need "Maven (mvn), which fetches Kafka" maven have mvn
fi

[ ${#missing[@]} = 0 ] || die "missing on this machine:
$(printf '  - %s\n' "${missing[@]}")"
