# What a person types. Needs GNU make 4 and Python 3.11 or newer; with Node, GraphiQL needs no other host, and there is `make clients`.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup run test check schema bench soak clients graphiql lock
MAKEFLAGS += --no-print-directory

# `make test ARGS='-k orders'`: more words for what is run.
ARGS ?=
# The first of these that is 3.11 or newer makes the virtual environment; `make PYTHON=/path/to/python3.12` names one.
PYTHON ?= python3 python3.14 python3.13 python3.12 python3.11

VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check

# A stamp is newer than what it was made from, so nothing is done twice when nothing changed.
HAS_PYTHON := $(VENV)/.has-python
HAS_RUNTIME := $(VENV)/.has-runtime
HAS_TESTS := $(VENV)/.has-tests
TRIED_GRAPHIQL := $(VENV)/.tried-graphiql

help: ## say what there is to type
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: $(HAS_RUNTIME) $(TRIED_GRAPHIQL) ## make .venv, install what requirements.lock pins, fetch GraphiQL's files

run: $(HAS_RUNTIME) $(TRIED_GRAPHIQL) ## serve http://127.0.0.1:8000/graphql, with demo data the first time
	@exec $(BIN)/tradegraph serve $(ARGS)

test: $(HAS_TESTS) ## the whole suite, on SQLite and on a real PostgreSQL and Redis that it starts itself
	$(BIN)/python -m pytest -m 'not soak and not clients' -n 2 --dist loadscope $(ARGS)

check: $(HAS_TESTS) ## lint, format, types, imports between rooms, drift of schema.graphql
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/tradegraph schema --check

schema: $(HAS_RUNTIME) ## rewrite schema.graphql from the code
	$(BIN)/tradegraph schema

bench: $(HAS_TESTS) ## the benchmarks, p50 and p99
	$(BIN)/python -m tests.bench $(ARGS)

soak: $(HAS_TESTS) ## what takes longer than the suite may
	$(BIN)/python -m pytest -m soak --timeout 7200 $(ARGS)

clients: $(HAS_TESTS) $(TRIED_GRAPHIQL) tests/clients/node_modules/.package-lock.json ## real clients against a running server; needs Node
	$(BIN)/python -m pytest -m clients tests/clients $(ARGS)

tests/clients/node_modules/.package-lock.json: tests/clients/package.json tests/clients/package-lock.json
	npm ci --prefix tests/clients --no-audit --no-fund --loglevel=error
	@touch $@

graphiql: $(HAS_RUNTIME) ## fetch GraphiQL's files from npm, as setup does once
	@$(BIN)/tradegraph graphiql

# Once: where there is no Node or no network, that is said, the page loads its files from a CDN, and nobody waits again.
$(TRIED_GRAPHIQL): graph/graphiql/files.py $(HAS_RUNTIME)
	@$(BIN)/tradegraph graphiql
	@touch $@

# The written command is also each lock's first line, so it stays as it is. `make lock ARGS=--upgrade` takes newer versions.
COMPILE := uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --python-version 3.11 --extra build
lock: $(HAS_PYTHON) ## pin again what pyproject.toml asks for, with hashes
	@test -x $(VENV)/uv/bin/uv || { $(BIN)/python -m venv $(VENV)/uv && $(VENV)/uv/bin/python -m pip install --quiet uv; }
	PATH="$(CURDIR)/$(VENV)/uv/bin:$$PATH" $(COMPILE) pyproject.toml -o requirements.lock $(ARGS)
	PATH="$(CURDIR)/$(VENV)/uv/bin:$$PATH" $(COMPILE) --extra test pyproject.toml -o tests/requirements.lock $(ARGS)

$(HAS_PYTHON):
	@if ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
	  found=; \
	  for python in $(PYTHON); do \
	    if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then found=$$python; break; fi; \
	  done; \
	  if [ -z "$$found" ]; then \
	    echo 'Tradegraph needs Python 3.11 or newer: install it, or name it with `make PYTHON=/path/to/python3`.' >&2; exit 1; \
	  fi; \
	  echo "Making $(VENV) with $$("$$found" --version)"; \
	  "$$found" -m venv --clear $(VENV) || { \
	    echo "$$found cannot make a virtual environment: install its venv module (Debian, Ubuntu: python3-venv)." >&2; exit 1; }; \
	fi
	@touch $@

$(HAS_RUNTIME): requirements.lock pyproject.toml $(HAS_PYTHON)
	@echo 'Installing what requirements.lock pins (the first time: a minute or two)'
	@$(PIP_INSTALL) --require-hashes -r requirements.lock
	@$(PIP_INSTALL) --no-deps --no-build-isolation -e .
	@touch $@

$(HAS_TESTS): tests/requirements.lock $(HAS_RUNTIME)
	@echo 'Installing what tests/requirements.lock pins (the first time: a minute or two)'
	@$(PIP_INSTALL) --require-hashes -r tests/requirements.lock
	@touch $@
