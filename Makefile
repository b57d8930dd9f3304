# What to run when: `make test` after every change, `make check` before every commit, `make slow` before every merge.
# Everything needs only Go; the tools are pinned in tools/go.mod and built on first use.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:

TOOL    := go tool -modfile=tools/go.mod
# A test run: its events go to build/NAME.json, failures and a summary to the terminal.
TESTRUN  = mkdir -p build && $(TOOL) gotestsum --format=pkgname --hide-summary=skipped --jsonfile=build/$(1).json --
COUNT    = go run -C tools ./count
# The race detector needs a C compiler. Where there is none the tests run without it, and say so.
RACE     = $(if $(filter 1,$(shell go env CGO_ENABLED)),-race,$(info no C compiler: the tests run without the race detector))
# Simulated meshes take ten times as long under the race detector. It looks at the test of what they do on several
# processors, and at no others.
RACED    = $(filter-out meshd/simulations meshd/simulations/short,$(shell go list ./...))
AHEAD    = go test $(RACE) -timeout=25m -run=RunAhead ./simulations
# These packages run seeds: the more of them, the longer. All others are what `make slow-tests` runs.
SEEDED  := ./simulations ./simulations/short ./cmd/meshd/internal/simulate
OTHERS   = $(filter-out $(SEEDED:./%=meshd/%),$(shell go list ./...))
QUICK   ?= ./...
# The laws of the system live in these packages: what no test reaches there is a promise nobody checks.
COVERED := ./crdt ./internal/wire ./reconcile
FLOOR   := 90
T       ?= 60s
N       ?= 200000
FROM    ?= 1

.PHONY: build test clients check format lint tidy race slow slow-tests slow-ahead slow-seeds slow-mutants browser senders mutants seeds short kafka durable coverage fuzz bench vuln

build: ## bin/meshd
	go build -trimpath -o bin/meshd ./cmd/meshd

test: ## all quick tests
	$(call TESTRUN,test) -timeout=8m $(QUICK) && status=0 || status=$$?; $(COUNT) ../build/test.json; exit $$status

clients: ## the doors with clients that others wrote, and PromQL with Prometheus' own tests, in modules of their own
	mkdir -p build && status=0; for module in ingest/clients query/conformance; do \
		$(TOOL) gotestsum --format=pkgname --hide-summary=skipped --jsonfile=build/$${module#*/}.json --raw-command -- go -C $$module test -json -timeout=8m ./... || status=1; done; \
		$(COUNT) ../build/clients.json ../build/conformance.json; exit $$status

check: format lint tidy race clients ## what every commit passes

format:
	@unformatted=$$($(TOOL) gofumpt -l .); \
	if [[ -n $$unformatted ]]; then echo "not formatted (run: $(TOOL) gofumpt -w .):"; echo "$$unformatted"; exit 1; fi

lint:
	go vet -tags=slow ./...
	$(TOOL) golangci-lint run ./...

tidy:
	go mod tidy -diff
	go -C tools mod tidy -diff
	go -C ingest/clients mod tidy -diff
	go -C ingest/senders mod tidy -diff
	go -C query/conformance mod tidy -diff
	go -C web/browser mod tidy -diff

race: ## all quick tests, under the race detector
	$(call TESTRUN,race) $(RACE) -timeout=15m $(RACED)
	$(AHEAD)
	$(call TESTRUN,seeds) -timeout=8m ./simulations ./simulations/short

# Two steps at once: tests with real processes wait much, and others compute meanwhile. Fuzzing keeps all processors busy for as long as
# it is told to, so that it finds less beside something else.
slow: ## race detector, scenarios with real processes, 600 large seeds, mutants, the page in a browser, clients of others, real senders, coverage, fuzzing; goes on after a failure
	status=0; $(MAKE) --no-print-directory --keep-going --jobs=2 slow-tests slow-seeds slow-ahead slow-mutants browser clients senders coverage || status=1; \
	tools/fuzz.sh 8s || status=1; exit $$status

slow-tests: kafka
	$(call TESTRUN,slow) $(RACE) -tags=slow -timeout=45m $(OTHERS) && status=0 || status=$$?; $(COUNT) ../build/slow.json; exit $$status

slow-ahead:
	$(AHEAD)

# Of lower priority than tests of programs that wait for each other beside it.
slow-seeds:
	$(call TESTRUN,slow-seeds) -exec='nice -n 2' -tags=slow -timeout=90m $(SEEDED) && status=0 || status=$$?; $(COUNT) ../build/slow-seeds.json; exit $$status

short: ## N=200000 short schedules; FROM is the first seed. With `-tags mutants -run Mutants` its mutants, see docs/testing.md
	go test -timeout=3h ./simulations/short -run Schedules -v -schedules $(N) -from $(FROM)

slow-mutants: ## every planted fault must be noticed once; shows by what
	mkdir -p build && rm -f build/mutants-*.md
	export MESHD_MUTANT_TABLES=$(CURDIR)/build; $(call TESTRUN,mutants) -tags=mutants -count=1 -timeout=30m -run='Mutants|TestShrink' \
		./simulations ./simulations/short ./internal/mutant && status=0 || status=$$?; \
		cat build/mutants-*.md; $(COUNT) ../build/mutants.json; exit $$status

browser: ## the page in a real browser, which is installed on Debian if there is none; pictures go to build/
	command -v chromium google-chrome chromium-browser headless-shell >/dev/null || { apt-get update -qq && apt-get install -qqy --no-install-recommends chromium; }
	mkdir -p build && $(TOOL) gotestsum --format=pkgname --jsonfile=build/browser.json --raw-command -- go -C web/browser test -json -count=1 -timeout=8m ./... \
		&& status=0 || status=$$?; $(COUNT) ../build/browser.json; exit $$status

senders: ## running nodes with a Prometheus server, promtool, curl and the receiver suite of remote write 2.0, built from their modules: one minute, two more when nothing is cached
	mkdir -p build && $(TOOL) gotestsum --format=pkgname --jsonfile=build/senders.json --raw-command -- go -C ingest/senders test -json -count=1 -timeout=12m ./... \
		&& status=0 || status=$$?; $(COUNT) ../build/senders.json; exit $$status

mutants: ## how often seeds notice each planted fault: writes the tables into docs/testing.md, in about half an hour
	go test -tags=mutants -count=1 -timeout=3h -v -run='^TestMutantsAreKilled$$' ./simulations -args -publish $(MUTANTS)
	go test -tags=mutants -count=1 -timeout=3h -v -run='^TestMutantsAreKilled$$' ./simulations/short -args -publish $(MUTANTS)

seeds: ## N=10000 seeds of large meshes from seed FROM, with a line of progress
	go test -count=1 -timeout=24h -v -run='^TestSeeds$$' ./simulations -args -seeds $(N) -small 0 -biased 0 -from $(FROM) -progress

KILLS   ?= 100
AWAY    ?= 60s

kafka: ## a real Kafka broker for the slow tests, from its published artifacts; says so where it cannot be had
	tools/kafka/fetch.sh

durable: kafka ## KILLS=100 random kills of hubs, logs and replays, half of them with Kafka, and AWAY=60s without a broker, under load
	REQUIRE_KAFKA=1 go test -count=1 -timeout=1h -tags=slow -v -run='KilledAtRandom|NeverPauses|EveryDisk' ./cmd/meshd -args -kills $$(($(KILLS) / 2)) -away $(AWAY)

coverage:
	@mkdir -p build && go test -timeout=10m -cover $(COVERED) | tee build/coverage.txt
	@awk -v floor=$(FLOOR) '/coverage:/ { n++; sub(/.*coverage: /, ""); if ($$1 + 0 < floor) low = 1 } \
		END { if (low || n < $(words $(COVERED))) { print "coverage is below " floor "%"; exit 1 } }' build/coverage.txt

fuzz: ## every fuzz target for T=60s
	tools/fuzz.sh $(T)

bench: ## every benchmark, for benchstat
	mkdir -p build && go test -run='^$$' -bench=. -benchmem -count=6 ./... | tee build/bench.txt
	$(TOOL) benchstat build/bench.txt

vuln: ## known vulnerabilities in what we import (asks the network)
	$(TOOL) govulncheck ./...
