# Two commands do all the set-up: `make demo` and `make test`.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check
export PYTHONWARNINGS ?=

.PHONY: demo test check lint types imports bench clean help
.DEFAULT_GOAL := help

help:  ## what can be made
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

$(BIN)/python:
	@echo "Creating $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.run: pyproject.toml | $(BIN)/python
	@echo "Installing selfloop ..."
	@$(PIP) --editable .
	@touch $@

$(VENV)/.dev: pyproject.toml | $(BIN)/python
	@echo "Installing selfloop and its development tools ..."
	@$(PIP) --editable ".[dev]"
	@touch $@ $(VENV)/.run

demo: $(VENV)/.run  ## the main job on the sample data; prints where the report is
	@$(BIN)/selfloop demo

test: $(VENV)/.dev  ## all tests
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --quiet --numprocesses auto --dist loadfile --no-loadscope-reorder

check: lint types imports  ## lint, types, import rules

lint: $(VENV)/.dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(VENV)/.dev
	@$(BIN)/mypy

imports: $(VENV)/.dev
	@$(BIN)/lint-imports

bench: $(VENV)/.dev  ## speed beside pandas + lifetimes + networkx on the same work
	@$(BIN)/python benchmarks/run.py

clean:  ## remove the environment and what runs have made
	@rm -rf $(VENV) out .pytest_cache .mypy_cache .ruff_cache .hypothesis
