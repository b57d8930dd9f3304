#!/usr/bin/env bash
# Runs every fuzz target of the module for the given time each, two at once, and fails if one of them found something.
# Usage, from the top of the repository: tools/fuzz.sh 20s
set -euo pipefail
duration=${1:?usage: tools/fuzz.sh DURATION}

fuzz_one() { # package target
	local log
	log=$(mktemp)
	if go test -run='^$' -fuzz="^$2\$" -fuzztime="$duration" -fuzzminimizetime=5x -parallel=2 "$1" >"$log" 2>&1 </dev/null; then
		echo "fuzz $1 $2: $(grep -o 'execs: [0-9]*' "$log" | tail -1), nothing found"
		rm -f "$log"
	else
		echo "fuzz $1 $2: FAILED"
		cat "$log"
		rm -f "$log"
		return 1
	fi
}
export -f fuzz_one
export duration

# `go test -list` prints the names of a package's targets and then a line with the package.
targets=$(go test -list='^Fuzz' ./... | awk '/^Fuzz/ { names[n++] = $1 } /^ok/ { for (i = 0; i < n; i++) print $2, names[i]; n = 0 }')
if [[ -z $targets ]]; then
	echo "no fuzz targets" >&2
	exit 1
fi
xargs -P 2 -L 1 bash -c 'fuzz_one "$0" "$1"' <<<"$targets"
