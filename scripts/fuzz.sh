#!/usr/bin/env bash
# scripts/fuzz.sh TIME : runs each fuzz target of the project for TIME, such as 30s.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

for package in $(go list ./...); do
	for target in $(go test -list '^Fuzz' "$package" | grep '^Fuzz' || true); do
		say "$package $target"
		go test -run '^$' -fuzz "^$target\$" -fuzztime "$1" "$package"
	done
done
