# One vocabulary for people, habits and CI. `make help` says what each word does.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.SUFFIXES:

export MLOPS_HOME ?= $(CURDIR)/.mlops
export DAGSTER_HOME := $(MLOPS_HOME)/dagster
export LISTEN ?= 127.0.0.1
export UI_PORT ?= 3000
export MLFLOW_PORT ?= 5000
export ENDPOINT_PORT ?= 3001
export ENDPOINT_GRPC_PORT ?= 3002
export CODE_PORT ?= 4266
# The day on which the example's first start happens, where it is not the one in its YAML: make run REPLAY=2013-02-01
export REPLAY ?=
# Where links between the two lead.
export MLOPS_DAGSTER_URL ?= http://localhost:$(UI_PORT)
export MLOPS_MLFLOW_URL ?= http://localhost:$(MLFLOW_PORT)
export MLOPS_ENDPOINT_URL ?= http://localhost:$(ENDPOINT_PORT)
include infra/run/quiet.env
export $(shell sed -n 's/^\([A-Z_]*\)=.*/\1/p' infra/run/quiet.env)

BIN := .venv/bin
export VIRTUAL_ENV := $(CURDIR)/.venv
READY := .venv/.made-from-lock
INSTANCE := $(DAGSTER_HOME)/dagster.yaml
WORKERS ?= auto
TESTS ?= tests
PYTEST ?=
SCENARIO ?= year
PACE ?= 0
DEMO ?=

.PHONY: help run demo test check format simulate bench coverage shell lock clean

help: ## what can be made
	@echo "make <word> [VARIABLE=value]"
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 14
	@echo "Variables: UI_PORT=$(UI_PORT) MLFLOW_PORT=$(MLFLOW_PORT) CODE_PORT=$(CODE_PORT) LISTEN=$(LISTEN)"
	@echo "           ENDPOINT_PORT=$(ENDPOINT_PORT) ENDPOINT_GRPC_PORT=$(ENDPOINT_GRPC_PORT)"
	@echo "           MLOPS_HOME=$(MLOPS_HOME) PYTHON=<a Python 3.11 to 3.13>"

run: $(READY) $(INSTANCE) ## start everything: Dagster on 3000, MLflow on 5000, the endpoint on 3001; Ctrl-C stops it
	@exec $(BIN)/python -m infra.run

demo: $(READY) $(INSTANCE) ## replay the year against a running `make run` (SCENARIO=faults, PACE=seconds a day, DEMO=--help)
	@exec $(BIN)/python -W ignore::DeprecationWarning -u -m infra.demo $(SCENARIO) --pace $(PACE) $(DEMO)

test: check ## everything that must hold: `make check`, then the tests
	@$(BIN)/python -m pytest -n $(WORKERS) -m "not simulation" $(PYTEST) $(TESTS)

check: $(READY) $(INSTANCE) ## lint, format, types, layers, YAML declarations
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/pyright
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/dg check toml
	@$(BIN)/dg check yaml
	@$(BIN)/dg check defs

format: $(READY) ## bring the code into its form
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

simulate: $(READY) $(INSTANCE) ## the long simulations of decisions and processes
	@$(BIN)/python -m pytest -n $(WORKERS) -m simulation $(PYTEST) $(TESTS)

bench: $(READY) $(INSTANCE) ## ratios against their goals, one script after the other
	@for script in tests/benchmarks/bench_*.py; do echo "== $$script"; $(BIN)/python $$script; done

coverage: $(READY) $(INSTANCE) ## the tests, with the lines they miss
	@$(BIN)/python -m pytest -n $(WORKERS) -m "not simulation" --cov --cov-report=term $(TESTS)

shell: $(READY) $(INSTANCE) ## a shell in which dagster, dg, mlflow and feast work on this project
	@VIRTUAL_ENV="$(CURDIR)/.venv" PATH="$(CURDIR)/$(BIN):$$PATH" exec $${SHELL:-bash}

UV := $(BIN)/uv pip compile --quiet --no-header --no-annotate --no-emit-index-url --no-emit-find-links $(LOCK)

lock: $(READY) ## make the locks anew from pyproject.toml (LOCK=--upgrade for newer versions)
	@$(UV) pyproject.toml --output-file requirements.lock
	@$(UV) pyproject.toml --group dev --constraint requirements.lock --output-file requirements-dev.lock
	@$(UV) --group serving --constraint requirements.lock --output-file requirements-serving.lock

clean: ## remove environment and caches; .mlops, the state, stays
	@rm -rf .venv .pytest_cache .ruff_cache .hypothesis .import_linter_cache .coverage .coverage.* htmlcov build dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): requirements-dev.lock
	@infra/environment.sh $<
	@touch $@

# A link, so that a change of the project's file counts at once.
$(INSTANCE):
	@mkdir -p $(@D)
	@ln -sfn $(CURDIR)/dagster.yaml $@
