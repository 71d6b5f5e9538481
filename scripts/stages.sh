#!/usr/bin/env bash
# scripts/stages.sh TARGET... : makes one target after the other, with a headline
# each, and ends with how long each took. The first failure ends it.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

took=()
began=$SECONDS
for target; do
	printf '\n=== %s\n' "$target"
	start=$SECONDS
	if ! "${MAKE:-make}" --no-print-directory "$target"; then
		printf '\n=== %s failed after %d s; to run it alone: make %s\n' "$target" $((SECONDS - start)) "$target"
		exit 1
	fi
	took+=("$(printf '%-12s %4d s' "$target" $((SECONDS - start)))")
done
printf '\n=== all passed\n'
printf '%s\n' "${took[@]}"
printf '%-12s %4d s\n' total $((SECONDS - began))
