#!/usr/bin/env bash
# Runs every fuzz target of the module for the given time each, two at once, and fails if one of them found something.
# Usage, from the top of the repository: tools/fuzz.sh 15s
set -euo pipefail
duration=${1:?usage: tools/fuzz.sh DURATION}
binaries=$(mktemp -d)
# What a run learned the next one starts from, as with `go test -fuzz`. Short runs in CI would spend all their time on going over that.
corpus=$(go env GOCACHE)/fuzz
if [[ -n ${CI:-} ]]; then corpus=$binaries/corpus; fi
trap 'rm -rf "$binaries"' EXIT

# Each line: package directory, target.
targets=$(grep -roE --include='*_test.go' '^func Fuzz[A-Za-z0-9_]+' . | sed -E 's|/[^/]*_test.go:func | |' | sort)
if [[ -z $targets ]]; then
	echo "no fuzz targets" >&2
	exit 1
fi
build_one() { # directory
	mkdir -p "$binaries/$1"
	go test -c -fuzz=. -o "$binaries/$1/fuzz.test" "$1"
}
fuzz_one() { # directory target
	local log=$binaries/$1/$2.log status=0 execs
	(cd "$1" && "$binaries/$1/fuzz.test" -test.run='^$' -test.fuzz="^$2\$" -test.fuzztime="$duration" -test.parallel=2 \
		-test.fuzzminimizetime=5x -test.fuzzcachedir="$corpus/meshd/${1#./}") >"$log" 2>&1 </dev/null || status=$?
	execs=$(grep -o 'execs: [0-9]*' "$log" | tail -1)
	# Go's fuzzer fails now and then because an execution was under way when its time was up. That is no finding.
	if ((status)) && { grep -q 'Failing input' "$log" || ! grep -q '^ *context deadline exceeded' "$log"; }; then
		echo "fuzz $1 $2: FAILED"
		cat "$log"
		return 1
	fi
	echo "fuzz $1 $2: ${execs:-nothing beyond the inputs that are known}, nothing found"
}
export -f build_one fuzz_one
export duration binaries corpus
# Once a package: linking costs as much as a target's run finds in seconds. Two at once: a linker keeps one processor busy.
cut -d' ' -f1 <<<"$targets" | uniq | xargs -P 2 -L 1 bash -c 'build_one "$0"'
xargs -P 2 -L 1 bash -c 'fuzz_one "$0" "$1"' <<<"$targets"
