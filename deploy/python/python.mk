# The Python environment of the tests that play an upstream or a downstream program.
# Included by the Makefile at the root; run from there. Use: .cache/venv/bin/python

PYTHON ?= python3
VENV := .cache/venv

.PHONY: python-venv

# The stamp is written last: a venv without the right one is made anew.
python-venv:
	@want="$$(cksum < deploy/python/requirements.txt) $$($(PYTHON) -V)"; \
	if [ "$$(cat $(VENV)/stamp 2>/dev/null)" != "$$want" ]; then \
		rm -rf $(VENV) && \
		$(PYTHON) -m venv $(VENV) && \
		$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r deploy/python/requirements.txt && \
		echo "$$want" > $(VENV)/stamp; \
	fi

.PHONY: python-test

# Against the broker that TIDEMARK_KAFKA names, else the embedded one.
python-test: python-venv
	TIDEMARK_TEST_PYTHON="$(CURDIR)/$(VENV)/bin/python" go test -count=1 ./deploy/python/...
