# Each target makes .venv if need be. PYTHON picks the interpreter that .venv is made with.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/installed
DEV := .venv/installed-dev
BENCHES = $(patsubst tests/benchmarks/bench_%.py,bench-%,$(wildcard tests/benchmarks/bench_*.py))
# What a benchmark may be given (each has small inputs of its own); the head of its file says what for.
export CORPUS PACKS PEER PEER_PYTHON INDEX CATALOGUE DOWNLOADS BASE PLOT REQUESTS

.PHONY: demo test test-all lint bench tiny clean

$(BIN)/python:
	$(PYTHON) -m venv .venv

$(STAMP): pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing into .venv: the first time takes some minutes, most of them for torch"
	@$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[all]'
	@touch $@

# What the tests need beside: linters, and the libraries that results are compared with.
$(DEV): pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing into .venv, with what the tests need: the first time takes some minutes"
	@$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[all,dev]'
	@touch $(STAMP) $@

demo: $(STAMP)
	@$(BIN)/nodes demo

lint: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint
	$(BIN)/python -m pytest

test-all: lint
	$(BIN)/python -m pytest -m ''

bench: $(BENCHES)

bench-%: $(DEV)
	$(BIN)/python tests/benchmarks/bench_$*.py

# Trains plugins/tiny/models anew, in under an hour on two free cores.
tiny: $(STAMP)
	PYTHONPATH=plugins/tiny $(BIN)/python -m noderack_tiny.train

clean:
	rm -rf .venv
