# make setup: .venv with everything.  make demo: from a seed to a report.  make test: what every change must pass.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
unexport PYTHONDONTWRITEBYTECODE  # compiling torch again in every process would take minutes

BIN := .venv/bin
STAMP := .venv/.setup-done

.PHONY: help setup demo test check format test-all build bundle clean

help:  ## what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 12

setup: $(STAMP)  ## .venv from pyproject.toml and constraints.txt; nothing to do when they have not changed

$(STAMP): pyproject.toml constraints.txt overrides.txt tools/setup.sh
	@tools/setup.sh
	@touch $@

demo: setup  ## toys, demonstrations, training, evaluation and a report: runs/demo/report.html (ARGS="key=value ...")
	@$(BIN)/cezanne demo $(ARGS)

test: check  ## check, then the fast tests
	@$(BIN)/python -m pytest -q -n 2 -m "not slow and not gpu and not hardware"

check: setup  ## lint, layout and types: no findings
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/pyright --warnings

format: setup  ## mend what can be mended
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

test-all: check  ## check, then every test that this machine can run
	@$(BIN)/python -m pytest -q -n 2 -m "not hardware"

build: setup  ## the wheel, then a smoke test of it in a fresh environment
	@tools/build.sh

bundle: setup  ## bundle/ for servers without a network (HAS=FILE, ROBOTS=panda,ur5e, FULL=1: docs/servers.md)
	@$(BIN)/python -m tools.bundle $(if $(FULL),--full) $(if $(HAS),--has "$(HAS)") $(if $(ROBOTS),--robots "$(ROBOTS)")

clean:  ## removes what was built; keeps .venv, data and runs
	@rm -rf build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
