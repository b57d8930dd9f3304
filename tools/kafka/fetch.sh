#!/usr/bin/env bash
# Fetches the artifacts of a Kafka broker into build/kafka. Needs Java 17 and Maven, which are installed on Debian if they
# are missing. Where they cannot be had it says so and succeeds: the tests that need a broker then skip.
set -euo pipefail
cd "$(dirname "$0")/../.."
lib=$PWD/build/kafka
if [[ -e $lib/complete ]]; then exit 0; fi
if ! command -v java >/dev/null || ! command -v mvn >/dev/null; then
	{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qqy --no-install-recommends default-jre-headless maven; } >/dev/null 2>&1 || true
fi
for tool in java mvn; do
	if ! command -v "$tool" >/dev/null; then
		echo "no $tool here, and it cannot be installed: THE TESTS WITH A REAL KAFKA BROKER ARE SKIPPED"
		exit 0
	fi
done
if ! mvn -q -B -f tools/kafka/pom.xml dependency:copy-dependencies -DoutputDirectory="$lib" -DincludeScope=runtime; then
	echo "the artifacts of Kafka cannot be fetched: THE TESTS WITH A REAL KAFKA BROKER ARE SKIPPED"
	exit 0
fi
touch "$lib/complete"
