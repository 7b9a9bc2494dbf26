# A schema registry of another maker for tests: Apicurio, from Maven Central, with its
# Confluent-compatible API. Included by the Makefile at the root; run from there.
#   make test-registry    the registry client against it

.PHONY: test-registry

test-registry:
	deploy/registry/run.sh .cache/registry $(GO) test -count=1 -run TestAnotherMakersRegistry -v ./schemas/registry
