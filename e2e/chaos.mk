# Three processes of a group against a real Kafka of their own, under kills,
# stops, broker restarts and broken connections; bench/chaos.md has the recorded
# runs. Included by the Makefile at the root; run from there.
#   make chaos                              20 kills, any seed
#   make chaos CHAOS="kills=200 seed=7"     as many kills, the faults of that seed

CHAOS ?= kills=20

.PHONY: chaos

chaos:
	@$(KAFKA_NODE) jars >/dev/null
	TIDEMARK_TEST_CHAOS="$(CHAOS)" $(GO) test -count=1 -timeout 2h -v -run 'TestChaos$$' ./e2e
