#!/usr/bin/env bash
# Runs every fuzz target of the module for the given time each, two at once, and fails if one of them found something.
# Usage, from the top of the repository: tools/fuzz.sh 15s
set -euo pipefail
duration=${1:?usage: tools/fuzz.sh DURATION}
binaries=$(mktemp -d)
corpus=$(go env GOCACHE)/fuzz # as `go test -fuzz` does: what a run learned, the next one starts from
trap 'rm -rf "$binaries"' EXIT

# Each line: package directory, target.
targets=$(grep -roE --include='*_test.go' '^func Fuzz[A-Za-z0-9_]+' . | sed -E 's|/[^/]*_test.go:func | |' | sort)
if [[ -z $targets ]]; then
	echo "no fuzz targets" >&2
	exit 1
fi
while read -r dir; do # once a package: linking costs as much as a target's run finds in seconds
	mkdir -p "$binaries/$dir"
	go test -c -fuzz=. -o "$binaries/$dir/fuzz.test" "$dir"
done < <(cut -d' ' -f1 <<<"$targets" | uniq)

fuzz_one() { # directory target
	local log=$binaries/$1/$2.log status=0 execs
	(cd "$1" && "$binaries/$1/fuzz.test" -test.run='^$' -test.fuzz="^$2\$" -test.fuzztime="$duration" -test.parallel=2 \
		-test.fuzzminimizetime=5x -test.fuzzcachedir="$corpus/meshd/${1#./}") >"$log" 2>&1 </dev/null || status=$?
	execs=$(grep -o 'execs: [0-9]*' "$log" | tail -1) || execs="no count of executions"
	# Go's fuzzer fails now and then because an execution was under way when its time was up. That is no finding.
	if ((status)) && { grep -q 'Failing input' "$log" || ! grep -q '^ *context deadline exceeded' "$log"; }; then
		echo "fuzz $1 $2: FAILED"
		cat "$log"
		return 1
	fi
	echo "fuzz $1 $2: $execs, nothing found"
}
export -f fuzz_one
export duration binaries corpus
xargs -P 2 -L 1 bash -c 'fuzz_one "$0" "$1"' <<<"$targets"
