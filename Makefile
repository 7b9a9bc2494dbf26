# make demo   builds one binary and shows everything on real data
# make test   all tests, against the embedded broker

GO ?= go
BIN := bin/tidemark
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
# Packages with goroutines of their own run under the race detector.
RACE := ./processor/runtime/... ./processor/source/... ./processor/group/... ./sinks/... ./telemetry/... ./publish/...

.PHONY: demo build test crash test-kafka test-secure bench lint clean

demo: build
	$(BIN) demo $(ARGS)

build:
	$(GO) build -trimpath -ldflags "-X main.version=$(VERSION)" -o $(BIN) ./cmd/tidemark

test:
	$(GO) test $$($(GO) list ./... | grep -v -x -F "$$($(GO) list $(RACE))")
	$(GO) test -race $(RACE)
	$(GO) test -race -short ./e2e

# 200 kill -9s of running processes, 50 of members of a group and 50 of a demo
# that publishes; bench/crash.md has the figures of such a run.
crash:
	TIDEMARK_TEST_CRASHES=$${TIDEMARK_TEST_CRASHES:-200} TIDEMARK_TEST_DEMO_KILLS=$${TIDEMARK_TEST_DEMO_KILLS:-50} \
		$(GO) test -count=1 -timeout 40m -v -run TestKilled ./e2e

# The tests of the whole against a real Apache Kafka 4.1 of their own, with a
# Python client as upstream and downstream.
test-kafka: python-venv
	TIDEMARK_TEST_CRASHES=$${TIDEMARK_TEST_CRASHES:-25} TIDEMARK_TEST_PYTHON="$(CURDIR)/$(VENV)/bin/python" \
		$(KAFKA_NODE) run -- sh -c 'TIDEMARK_TEST_KAFKA=$$TIDEMARK_KAFKA $(GO) test -count=1 -timeout 3m -run TestAgainstARealBroker ./sinks ./processor/source && \
		$(GO) test -count=1 -timeout 15m ./testkit ./deploy/python ./publish ./tail ./deadletters ./e2e'
	$(MAKE) test-secure

# SCRAM, certificates, tokens and access rights against a secured Kafka 4.1.
test-secure:
	@$(KAFKA_NODE) jars >/dev/null
	TIDEMARK_TEST_SECURE=1 $(GO) test -count=1 -timeout 4m -run TestSecured ./e2e

lint:
	test -z "$$(gofmt -l $$(git ls-files '*.go'))"
	$(GO) vet ./...

clean:
	rm -rf bin

include deploy/kafka/kafka.mk
include deploy/python/python.mk
include deploy/s3/s3.mk
include e2e/clients/clients.mk
include bench/bench.mk
