# Everything works from a clone with python3 (>= 3.11) and make; nothing is installed outside .venv.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install -qq -c constraints.txt
TEST_EXTRAS := harness,offline-encoder,lora,postgresql,ray,tensorboard,test,notebooks,dev

.PHONY: help quickstart test check lint types unit benchmarks report clean

help:
	@echo "make quickstart   install the core and run the main job on the shipped outcomes"
	@echo "make test         install everything and run all checks and tests"
	@echo "make check        the same (ruff, import-linter, mypy, doctests, tests, notebooks)"
	@echo "make benchmarks   measure speed and memory (tests/performance)"

quickstart: $(VENV)/.core
	$(BIN)/transfer-meta quickstart --out quickstart

test: check

check: lint types unit

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(VENV)/.test
	$(BIN)/mypy

unit: $(VENV)/.test
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n logical --maxprocesses 8 --dist loadfile

benchmarks: $(VENV)/.test
	@for script in tests/performance/*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

clean:
	rm -rf $(VENV) quickstart build dist

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.core: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) -e .
	@touch $@

# torch comes first and by name: as a dependency of a dependency it could resolve to another build.
$(VENV)/.test: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) torch
	$(PIP) -e '.[$(TEST_EXTRAS)]'
	@touch $@ $(VENV)/.core
