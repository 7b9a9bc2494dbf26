# Clients of other makers, as docs/clients.md has them. Included by the Makefile at
# the root; run from there. All that is fetched lies under .cache.

CLIENTS := .cache/clients

.PHONY: clients-tools test-clients

# The stamps are written last: a folder without the right one is made anew.
clients-tools: python-venv
	@want="$$(cat examples/snippets/node/package-lock.json | cksum)"; \
	if [ "$$(cat $(CLIENTS)/node/stamp 2>/dev/null)" != "$$want" ]; then \
		rm -rf $(CLIENTS)/node && mkdir -p $(CLIENTS)/node && \
		cp examples/snippets/node/package.json examples/snippets/node/package-lock.json $(CLIENTS)/node && \
		(cd $(CLIENTS)/node && npm ci --silent --no-audit --no-fund --ignore-scripts) && \
		echo "$$want" > $(CLIENTS)/node/stamp; \
	fi
	@want="$$(cat examples/snippets/java/pom.xml | cksum)"; \
	if [ "$$(cat $(CLIENTS)/java/stamp 2>/dev/null)" != "$$want" ]; then \
		rm -rf $(CLIENTS)/java && mkdir -p $(CLIENTS)/java && \
		mvn -q -B -f examples/snippets/java/pom.xml dependency:copy-dependencies -DincludeScope=runtime \
			-DoutputDirectory="$(CURDIR)/$(CLIENTS)/java" && \
		echo "$$want" > $(CLIENTS)/java/stamp; \
	fi

CLIENTS_ENV = TIDEMARK_TEST_PYTHON="$(CURDIR)/$(VENV)/bin/python" \
	TIDEMARK_TEST_NODE_PATH="$(CURDIR)/$(CLIENTS)/node/node_modules" \
	TIDEMARK_TEST_JAVA_JARS="$(CURDIR)/$(CLIENTS)/java" \
	TIDEMARK_TEST_KAFKA_JARS="$$($(KAFKA_NODE) jars)"
CLIENTS_TEST = $(GO) test -count=1 -timeout 10m $(ARGS) ./deploy/python ./e2e/clients

# Every client against the embedded broker and then against a real Kafka. With
# ARGS=-rewrite what passed goes into docs/clients.md.
test-clients: clients-tools
	$(CLIENTS_ENV) $(CLIENTS_TEST)
	$(CLIENTS_ENV) $(KAFKA_NODE) run -- $(CLIENTS_TEST)
