# A real Apache Kafka for tests. Included by the Makefile at the root; run from there.
#   make kafka-start    start the shared node, print its address
#   make kafka-stop     stop it and remove its data
#   make kafka-jars     only fetch what they need, into .cache/kafka
#   make kafka-test     the tests of the harness itself (a minute)
# One command against a node of its own:  $(KAFKA_NODE) run -- go test ./sinks/...

KAFKA_NODE := go run ./deploy/kafka/node

.PHONY: kafka-jars kafka-start kafka-stop kafka-test

kafka-jars:
	@$(KAFKA_NODE) jars

kafka-start:
	@$(KAFKA_NODE) start

kafka-stop:
	@$(KAFKA_NODE) stop

kafka-test:
	TIDEMARK_TEST_NODE=1 go test -count=1 ./deploy/kafka/...
