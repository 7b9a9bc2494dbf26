# The bench: see bench/README.md.
#   make bench         2 M orders over 100 k and 1 M customers, embedded broker; ten minutes
#   make bench-kafka   the same against a real Apache Kafka 4.1 (Java 17 and Maven fetch what they need)
#   make bench-micro   go test -bench; compare two runs with benchstat
# ARGS go to `tidemark-bench suite`: ARGS="--customers 10m --rates 1000,50000 --only latency"

BENCH := bin/tidemark-bench

.PHONY: bench bench-kafka bench-micro bench-build

bench-build: build
	$(GO) build -trimpath -o $(BENCH) ./bench/cmd/tidemark-bench

bench: bench-build
	$(BENCH) suite $(ARGS)

bench-kafka: bench-build
	$(BENCH) suite --broker kafka $(ARGS)

bench-micro:
	$(GO) test -run '^$$' -bench . -benchmem $(ARGS) ./bench/micro
