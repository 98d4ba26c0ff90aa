# Every target makes what it needs, .venv included: `make demo` on a fresh machine is the whole set-up.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
BIN := .venv/bin
ARGS :=

# What the tests start, each as a plain process on a free port of 127.0.0.1.
TEST_PACKAGES := mosquitto mosquitto-clients influxdb nginx-light 'chromium|chromium-browser' fonts-wqy-microhei fontconfig systemd

LOCK := $(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes \
	--no-header --no-annotate --quiet --extra build

.PHONY: help demo test fuzz lint types bench lock format wheel clean

help: ## show this
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | expand -t 10

demo: ## a neighbourhood in trouble, on this machine, with nothing else to set up; Ctrl-C ends it
	@.ci/environment demo
	@exec $(BIN)/lilong demo $(ARGS)

# The faults run alone: they kill servers and measure, and want both cores.
test: ## everything but the benchmarks; installs the servers it needs with apt (ARGS="-k store" picks some)
	@.ci/packages $(TEST_PACKAGES)
	@.ci/environment dev
ifeq ($(ARGS),)
	@$(BIN)/python -m pytest -q -n 2 --dist loadfile --ignore tests/faults
	@$(BIN)/python -m pytest -q tests/faults
else
	@$(BIN)/python -m pytest $(ARGS)
endif

# atheris is no dependency: it has wheels for Linux only, and the fuzzing says when it goes without.
fuzz: ## bytes at random against every codec and device model, for a minute (ARGS="--seconds 600")
	@.ci/environment dev
	@$(BIN)/python -c 'import atheris' 2>/dev/null || $(BIN)/python -m pip install --quiet --require-hashes \
		--only-binary :all: --no-deps -r tests/fuzz/requirements.txt || echo 'atheris cannot be had here'
	@$(BIN)/python -m tests.fuzz $(ARGS)

lint: ## ruff: mistakes and format
	@.ci/environment dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: ## mypy, strict
	@.ci/environment dev
	@$(BIN)/mypy

bench: ## rates, latencies and memory against references run on this machine; fails nothing on time
	@.ci/packages $(TEST_PACKAGES)
	@.ci/environment dev
	@$(BIN)/python -m tests.benchmarks $(ARGS)

format: ## let ruff put the format right
	@.ci/environment dev
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

lock: ## resolve the dependencies anew into the requirements*.lock files
	@.ci/environment dev
	@$(LOCK) -o requirements.lock
	@$(LOCK) --extra demo -o requirements-demo.lock
	@$(LOCK) --extra demo --extra dev -o requirements-dev.lock

wheel: ## dist/lilong-*.whl
	@.ci/environment demo
	@$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .

clean: ## forget .venv, caches and what was built
	@rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
