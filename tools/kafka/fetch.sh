#!/usr/bin/env bash
# Fetches the artifacts of a Kafka broker into build/kafka. Needs Java 17 and Maven; says so and succeeds without them:
# the tests that need a broker then skip.
set -euo pipefail
cd "$(dirname "$0")/../.."
lib=$PWD/build/kafka
if [[ -e $lib/complete ]]; then exit 0; fi
for tool in java mvn; do
	if ! command -v "$tool" >/dev/null; then
		echo "no $tool here: the tests with a real Kafka broker are skipped"
		exit 0
	fi
done
mvn -q -B -f tools/kafka/pom.xml dependency:copy-dependencies -DoutputDirectory="$lib" -DincludeScope=runtime
touch "$lib/complete"
