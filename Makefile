# make demo   builds one binary and shows everything on real data
# make test   all tests, against the embedded broker

GO ?= go
BIN := bin/tidemark
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
# Packages with goroutines of their own run under the race detector.
RACE := ./processor/runtime/... ./processor/source/... ./processor/group/... ./sinks/... ./telemetry/... ./publish/...

.PHONY: demo build test crash test-kafka test-secure bench lint lint-go staticcheck lint-vulnerabilities lint-licences verify-deploy fuzz fuzz-soak clean

demo: build
	$(BIN) demo $(ARGS)

build:
	$(GO) build -trimpath -ldflags "-X main.version=$(VERSION)" -o $(BIN) ./cmd/tidemark

test:
	$(GO) test $$($(GO) list ./... | grep -v -x -F "$$($(GO) list $(RACE))")
	$(GO) test -race $(RACE)
	$(GO) test -race -short ./e2e

# Whole processors under a simulated network, disk and clock, one history for
# each seed; bench/sim.md has the recorded runs. SEEDS: how many, FROM: the first.
.PHONY: sim
sim:
	$(GO) test -count=1 -timeout 0 -v -run 'TestSeeds$$' ./processor/sim -args -seeds=$${SEEDS:-200} -from=$${FROM:-1}

# 200 kill -9s of running processes, 50 of members of a group and 50 of a demo
# that publishes; bench/crash.md has the figures of such a run.
crash:
	TIDEMARK_TEST_CRASHES=$${TIDEMARK_TEST_CRASHES:-200} TIDEMARK_TEST_DEMO_KILLS=$${TIDEMARK_TEST_DEMO_KILLS:-50} \
		$(GO) test -count=1 -timeout 40m -v -run TestKilled ./e2e

# The tests of the whole against a real Apache Kafka 4.1 of their own, with a
# Python client as upstream and downstream, then twenty kills amid chaos.
test-kafka: python-venv
	TIDEMARK_TEST_CRASHES=$${TIDEMARK_TEST_CRASHES:-8} TIDEMARK_TEST_PYTHON="$(CURDIR)/$(VENV)/bin/python" \
		$(KAFKA_NODE) run -- sh -c 'TIDEMARK_TEST_KAFKA=$$TIDEMARK_KAFKA $(GO) test -count=1 -timeout 3m -run TestAgainstARealBroker ./sinks ./processor/source && \
		$(GO) test -count=1 -timeout 15m ./testkit ./deploy/python ./publish ./tail ./deadletters ./e2e'
	$(MAKE) test-secure
	$(MAKE) chaos CHAOS="kills=20"

# SCRAM, certificates, tokens and access rights against a secured Kafka 4.1.
test-secure:
	@$(KAFKA_NODE) jars >/dev/null
	TIDEMARK_TEST_SECURE=1 $(GO) test -count=1 -timeout 4m -run TestSecured ./e2e

# The last two fetch what they need through the module proxy, at fixed versions.
lint: lint-go lint-vulnerabilities lint-licences

lint-go:
	test -z "$$(gofmt -l $$(git ls-files '*.go'))"
	$(GO) vet ./...

# Not part of lint: it takes more than a minute on two cores.
staticcheck:
	$(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2 -checks SA*,-SA1019 ./...

lint-vulnerabilities:
	GO="$(GO)" sh deploy/ci/vulnerabilities.sh

lint-licences:
	$(GO) run -C deploy/ci/licences . -root "$(CURDIR)"

# The files under deploy/ against the parsers of the programs that read them, in
# modules of their own, since these need much.
verify-deploy:
	$(GO) test -C deploy/ci/licences ./...
	$(GO) test -C deploy/verify ./...
	$(GO) test -C deploy/verify/otlp ./...

# All fuzz targets in turn, FUZZTIME each; FUZZ chooses some. bench/fuzz.md adds up.
FUZZTIME ?= 10s
fuzz:
	$(GO) run ./deploy/ci/fuzz -time $(FUZZTIME) -only '$(FUZZ)' -record bench/fuzz.md -keep 20

# The same targets inside one process, N executions each of inputs that the kept
# ones are changed into; SEED decides which. Counted apart in bench/fuzz.md.
fuzz-soak:
	$(GO) run ./deploy/ci/fuzz -soak $${N:-100000} -seed $${SEED:-1} -only '$(FUZZ)' -record bench/fuzz.md

clean:
	rm -rf bin

include deploy/kafka/kafka.mk
include deploy/python/python.mk
include deploy/s3/s3.mk
include deploy/registry/registry.mk
include e2e/chaos.mk
include e2e/clients/clients.mk
include bench/bench.mk
