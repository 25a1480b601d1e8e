# Slackwater. `make demo` shows the system at work, `make test` proves it. Everything installs into .venv/.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# Knobs ------------------------------------------------------------------------------------------------------------
DAYS ?= december
PYTEST_ARGS ?=
PYTEST_WORKERS ?= 2
CHAOS_ARGS ?=
BENCH_ARGS ?=
DOCS_PORT ?= 8085

VENV := .venv
PYTHON := $(VENV)/bin/python
SLACKWATER := $(VENV)/bin/slackwater
STAMP := $(VENV)/.installed

.PHONY: help
help: ## Show this help
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@printf '\nKnobs: DAYS=december|all (demo), PYTEST_ARGS="-k name" (test...), PYTEST_WORKERS=0 (test, one after the other), DOCS_PORT=8085 (docs), SLACKWATER_STACK_PORT_BASE=14200\n'

##@ Try it
.PHONY: demo up down docs
demo: setup ## Start the system, replay real sales, show the tested numbers (DAYS=all: the whole year)
	@$(SLACKWATER) demo --days $(DAYS)

up: setup ## Start the live, empty system
	@$(SLACKWATER) stack up

down: setup ## Stop the system; data stays (delete it with: slackwater stack down --delete)
	@$(SLACKWATER) stack down

docs: setup ## Make dbt's pages of the warehouse, serve them on 127.0.0.1 until Ctrl-C (the stack has to be up: make up)
	@$(SLACKWATER) docs --port $(DOCS_PORT)

##@ Prove it
.PHONY: test test-unit test-year chaos bench lint
test: setup ## All tests: unit, structure, contract, integration, end to end
	@$(PYTHON) -m pytest -m "not slow" -n $(PYTEST_WORKERS) $(PYTEST_ARGS)

test-unit: setup ## Only the tests that need no service (about a minute)
	@$(PYTHON) -m pytest -m "not slow and not integration and not e2e and not contract" -n $(PYTEST_WORKERS) $(PYTEST_ARGS)

test-year: setup ## The full year, end to end (takes long)
	@$(PYTHON) -m pytest -m "slow" $(PYTEST_ARGS)

chaos: setup ## Break the running system on purpose, 50 seeded schedules (about an hour and a half; CHAOS_ARGS="--schedules 5")
	@$(PYTHON) tests/chaos/run.py $(CHAOS_ARGS)

bench: setup ## Measure speed and size on this machine
	@$(PYTHON) tests/bench/run.py $(BENCH_ARGS)

lint: setup ## Formatting, lint, types, imports, SQL and YAML style
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports
	@$(VENV)/bin/sqlfluff lint dbt --quiet
	@$(VENV)/bin/yamllint --strict .

##@ Install it
.PHONY: setup lock clean
setup: $(STAMP) ## Install everything into .venv (needs Python 3.11, 3.12 or 3.13)
	@:

$(STAMP): requirements.lock pyproject.toml scripts/setup.sh
	@scripts/setup.sh $(VENV)

lock: setup ## Resolve pyproject.toml into requirements.lock again
	@$(VENV)/bin/uv pip compile --universal --generate-hashes --no-emit-index-url --group stack --group dev \
		--python-version 3.11 pyproject.toml --output-file requirements.lock --quiet

clean: ## Remove .venv and caches (not the stack: slackwater stack down --delete)
	@rm -rf $(VENV) build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis *.egg-info
