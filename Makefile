# make demo   builds one binary and shows everything on real data
# make test   all tests, against the embedded broker

GO ?= go
BIN := bin/tidemark
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
# Packages with goroutines of their own run under the race detector.
RACE := ./processor/runtime/... ./processor/source/... ./processor/group/... ./sinks/... ./telemetry/... ./publish/...

.PHONY: demo build test test-race test-kafka bench lint clean

demo: build
	$(BIN) demo $(ARGS)

build:
	$(GO) build -trimpath -ldflags "-X main.version=$(VERSION)" -o $(BIN) ./cmd/tidemark

test:
	$(GO) test $$($(GO) list ./... | grep -v -x -F "$$($(GO) list $(RACE))")
	$(GO) test -race $(RACE)

lint:
	test -z "$$(gofmt -l $$(git ls-files '*.go'))"
	$(GO) vet ./...

clean:
	rm -rf bin

include deploy/kafka/kafka.mk
include deploy/python/python.mk
include bench/bench.mk
