# shellcheck shell=bash
# What the scripts share. To be sourced; leaves the shell in the project's root.
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit
root=$PWD

say() { echo "$*" >&2; }
die() { say "${0##*/}: $*"; exit 1; }
have() { command -v "$1" > /dev/null; }

# limited SECONDS COMMAND... : COMMAND, cut off after SECONDS where the machine can do that.
limited() {
	if have timeout; then timeout "$@"; else "${@:2}"; fi
}

# apt_install PACKAGE... : true when Debian's or Ubuntu's packages are there afterwards.
# It is for root only, which on such a machine means a container or a CI runner.
apt_install() {
	[ "$(id -u)" = 0 ] && have apt-get || return 1
	local log=$root/build/apt.log
	mkdir -p "${log%/*}"
	say "installing $*"
	apt_get() { DEBIAN_FRONTEND=noninteractive apt-get -q -y "$@" < /dev/null >> "$log" 2>&1; }
	apt_get install --no-install-recommends "$@" && return
	# Most often the machine's list of packages is old or empty.
	apt_get update && apt_get install --no-install-recommends "$@" && return
	say "apt-get could not install them; it said:"
	tail -5 "$log" >&2
	return 1
}
