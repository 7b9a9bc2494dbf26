# The bench: see bench/README.md.
#   make bench         2 M orders over 100 k and 1 M customers, embedded broker; ten minutes
#   make bench-kafka   the same against a real Apache Kafka 4.1 (Java 17 and Maven fetch what they need)
#   make bench-micro   go test -bench; compare two runs with benchstat
#   make bench-peers   Tidemark and Kafka Streams 4.1 in turn on the same topic of a real Apache Kafka 4.1
# ARGS go to `tidemark-bench suite`: ARGS="--customers 10m --rates 1000,50000 --only latency"

BENCH := bin/tidemark-bench

.PHONY: bench bench-kafka bench-peers bench-micro bench-build

bench-build: build
	$(GO) build -trimpath -o $(BENCH) ./bench/cmd/tidemark-bench

bench: bench-build
	$(BENCH) suite $(ARGS)

bench-kafka: bench-build
	$(BENCH) suite --broker kafka $(ARGS)

bench-peers: bench-build
	$(BENCH) suite --broker kafka --only peers $(ARGS)

bench-micro:
	$(GO) test -run '^$$' -bench . -benchmem $(ARGS) ./bench/micro
