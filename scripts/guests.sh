#!/usr/bin/env bash
# Builds guests from source into build/guests/NAME.wasm, each only when its sources
# are newer.
#
#   scripts/guests.sh            all of them
#   scripts/guests.sh NAME...    some: go-processor rust-processor c-processor original-form
#
# Each language takes the first toolchain that works:
#   Go    the one that builds wasmton
#   Rust  rustup's target wasm32-wasip1, added if need be; else Debian's Rust, installed if need be
#   C     the SDK at $WASI_SDK_PATH; else clang with wasi-libc, Debian's installed if need be;
#         else zig from PyPI, in .tools
# "Installed if need be" means: by root, through apt-get. GUEST_RUST=rustup|debian and
# GUEST_C=clang|sdk|zig insist on one.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

out=$root/build/guests
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

sources() {
	case $1 in
	original-form) echo e2e/testdata/guests/original-form ;;
	*) echo "examples/$1" ;;
	esac
}

# --- Go ---------------------------------------------------------------------------------

build_go() { # directory, output
	have go || die "Go is needed to build $1, and is not on the PATH"
	(cd "$1" && GOOS=wasip1 GOARCH=wasm go build -trimpath -buildmode=c-shared -o "$2" .)
}

# --- Rust -------------------------------------------------------------------------------

rustup_target() {
	local target=wasm32-wasip1
	have cargo && have rustc || return 1
	[ -d "$(rustc --print sysroot)/lib/rustlib/$target/lib" ] && return
	have rustup || return 1
	say "adding Rust's target $target"
	limited 300 rustup target add "$target" < /dev/null >&2
}

# The name that Debian's Rust gives the target: it changed with Rust 1.78.
debian_target() {
	local target
	[ -x /usr/bin/cargo ] && [ -x /usr/bin/rustc ] || return 1
	for target in wasm32-wasip1 wasm32-wasi; do
		[ ! -d "/usr/lib/rustlib/$target/lib" ] || { echo "$target"; return; }
	done
	return 1
}

debian_rust() {
	[ -n "$(debian_target || true)" ] || apt_install rustc cargo lld wasi-libc libstd-rust-dev-wasm32
}

rust_route=
choose_rust() {
	[ -z "$rust_route" ] || return 0
	case ${GUEST_RUST:-any} in
	any | rustup) ! rustup_target || rust_route=rustup ;;
	esac
	case ${GUEST_RUST:-any} in
	any | debian) [ -n "$rust_route" ] || ! debian_rust || rust_route=debian ;;
	esac
	[ -n "$rust_route" ] || die "no Rust that compiles to Wasm. Install rustup and run: rustup target add wasm32-wasip1
(on Debian and Ubuntu, root can instead install: rustc cargo lld wasi-libc libstd-rust-dev-wasm32)"
}

build_rust() { # directory, output
	local name=${1##*/} target=wasm32-wasip1
	choose_rust
	export CARGO_TARGET_DIR=$root/build/cargo-$rust_route
	if [ "$rust_route" = rustup ]; then
		(cd "$1" && cargo build --quiet --locked --release --target "$target")
	else
		target=$(debian_target)
		(cd "$1" && debian_cargo "$name" build --quiet --locked --release --target "$target")
	fi
	cp "$CARGO_TARGET_DIR/$target/release/${name//-/_}.wasm" "$2"
}

# debian_cargo NAME ARGUMENT... : Debian's cargo. Before version 1.70 it can't read the
# registry of today, so a newer one, rustup's, has to fetch the crates for it.
debian_cargo() {
	local name=$1 offline=()
	shift
	if ! sparse /usr/bin/cargo; then
		if ! have cargo || ! sparse cargo; then
			die "Debian's cargo is too old to fetch crates; with another of 1.70 or newer on the PATH it would do"
		fi
		local vendored=$root/build/crates/$name
		cargo vendor --quiet --locked "$vendored" > /dev/null
		offline=(--offline
			--config 'source.crates-io.replace-with="vendored"'
			--config "source.vendored.directory=\"$vendored\"")
	fi
	PATH=/usr/bin:$PATH /usr/bin/cargo "$@" "${offline[@]}"
}

sparse() { # cargo
	local major minor
	IFS=' .' read -r _ major minor _ < <("$1" --version)
	[ "$major" -gt 1 ] || [ "$minor" -ge 70 ]
}

# --- C ----------------------------------------------------------------------------------

# c_works COMPILER... : true when it makes a module from a program that uses the C library.
c_works() {
	printf '#include <stdio.h>\nint run(void) { return puts("hello"); }\n' > "$work/probe.c"
	"$@" -mexec-model=reactor -o "$work/probe.wasm" "$work/probe.c" > "$work/probe.log" 2>&1
}

with_zig() {
	local venv=$root/.tools/zig
	if [ ! -x "$venv/bin/python" ] || ! "$venv/bin/python" -c 'import ziglang' 2> /dev/null; then
		have python3 || return 1
		say "installing zig into .tools"
		python3 -m venv "$venv" && "$venv/bin/python" -m pip --quiet install ziglang==0.14.1 >&2 || return 1
	fi
	export ZIG_GLOBAL_CACHE_DIR=$root/.cache/zig ZIG_LOCAL_CACHE_DIR=$root/.cache/zig
	cc=("$venv/bin/python" -m ziglang cc -target wasm32-wasi)
	c_works "${cc[@]}"
}

with_clang() {
	cc=(clang --target=wasm32-wasi)
	have clang && c_works "${cc[@]}" && return
	apt_install clang lld wasi-libc libclang-rt-dev-wasm32 && c_works "${cc[@]}"
}

with_sdk() {
	[ -n "${WASI_SDK_PATH:-}" ] || return 1
	cc=("$WASI_SDK_PATH/bin/clang")
	c_works "${cc[@]}"
}

cc=()
choose_c() {
	[ ${#cc[@]} = 0 ] || return 0
	case ${GUEST_C:-any} in
	any) ! with_sdk || return 0; ! with_clang || return 0; ! with_zig || return 0 ;;
	clang | sdk | zig) ! "with_$GUEST_C" || return 0 ;;
	esac
	[ ! -s "$work/probe.log" ] || tail -5 "$work/probe.log" >&2
	die "no C compiler that compiles to Wasm. One of these will do: python3 with pip (fetches zig);
\$WASI_SDK_PATH set to a wasi-sdk; on Debian and Ubuntu, root can install: clang lld wasi-libc libclang-rt-dev-wasm32"
}

build_c() { # directory, output
	choose_c
	"${cc[@]}" -Os -Wall -Wextra -Werror -mexec-model=reactor -Wl,--strip-debug -o "$2" "$1"/processor.c "$1"/json.c
}

# ----------------------------------------------------------------------------------------

fresh() { # directory, output
	[ -e "$2" ] && [ -z "$(find "$1" "$root/scripts/guests.sh" -type f -newer "$2" ! -path '*/target/*' -print -quit)" ]
}

[ $# -gt 0 ] || set -- go-processor rust-processor c-processor original-form
mkdir -p "$out"
for name; do
	dir=$root/$(sources "$name")
	[ -d "$dir" ] || die "no such guest: $name"
	! fresh "$dir" "$out/$name.wasm" || continue
	say "building $name"
	made=$work/$name.wasm
	if [ -e "$dir/go.mod" ]; then
		build_go "$dir" "$made"
	elif [ -e "$dir/Cargo.toml" ]; then
		build_rust "$dir" "$made"
	else
		build_c "$dir" "$made"
	fi
	# Renamed into place, so that nobody ever reads half a module.
	mv "$made" "$out/.$name.new" && mv "$out/.$name.new" "$out/$name.wasm"
done
