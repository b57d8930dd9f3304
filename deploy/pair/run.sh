#!/usr/bin/env bash
# Two nodes scrape the same target and answer as if one did: deploy/pair/run.sh [path of meshd, default bin/meshd].
# Needs python3, which plays the target, and curl. Everything is in a temporary directory and on ports of PORT (18900) to PORT+4.
set -euo pipefail
meshd=${1:-bin/meshd}
port=${PORT:-18900}
dir=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait; rm -rf "$dir"' EXIT

mkdir "$dir/target"
sold() { printf '# TYPE sold_total counter\nsold_total{shop="a"} %d\nsold_total{shop="b"} %d\n' "$1" "$2" >"$dir/new" && mv "$dir/new" "$dir/target/metrics.txt"; }
sold 40 2
python3 -m http.server "$port" --bind 127.0.0.1 --directory "$dir/target" >/dev/null 2>&1 &
cat >"$dir/scrape.yaml" <<EOF
global: {scrape_interval: 1s, scrape_timeout: 1s}
scrape_configs:
- {job_name: shop, metrics_path: /metrics.txt, static_configs: [{targets: ["127.0.0.1:$port"]}]}
EOF
http=($((port + 1)) $((port + 2)))
mesh=($((port + 3)) $((port + 4)))
node() { # number
	exec "$meshd" run --node "n$1" --region eu --data "$dir/n$1" --statsd off --scrape "$dir/scrape.yaml" \
		--http "127.0.0.1:${http[$1]}" --listen "127.0.0.1:${mesh[$1]}" --join "127.0.0.1:${mesh[0]}" >"$dir/n$1.log" 2>&1
}
node 0 &
node 1 &
second=$!

total() { curl -s "http://127.0.0.1:${http[$1]}/v1/total?metric=sold_total" | sed -n 's/.*"value_exact":"\([^"]*\)".*/\1/p'; }
want() { # total
	local n got
	for n in 0 1; do
		for _ in {1..300}; do
			got=$(total "$n" || true)
			[[ $got == "$1" ]] && break
			sleep 0.1
		done
		echo "n$n: sold_total = $got"
		[[ $got == "$1" ]] || { echo "want $1"; cat "$dir"/*.log; exit 1; }
	done
}

echo "two nodes scrape a target that sold 42"
want 42
echo "the second is killed; the target sells 58 more; the second comes back"
kill -9 "$second" && wait "$second" 2>/dev/null || true
sold 50 50
node 1 &
want 100
