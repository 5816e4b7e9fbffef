# Everything works from a clone with python3 (>= 3.11) and make; nothing is installed outside .venv.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install -qq -c constraints.txt
TEST_EXTRAS := harness,offline-encoder,lora,postgresql,ray,tensorboard,test,notebooks,docs,dev

.PHONY: help quickstart test check lint docs notebooks types unit dist benchmarks clean

help:
	@echo "make quickstart   install the core, answer for a demo task, compare predictors on shipped outcomes"
	@echo "make test         install everything and run all checks and tests"
	@echo "make check        the same (ruff, import-linter, site, mypy, doctests, tests, notebooks, dist)"
	@echo "make docs         build the documentation site, build/site/index.html"
	@echo "make notebooks    run the notebooks and store their outputs, which the site shows"
	@echo "make dist         build wheel and sdist, check them, try the wheel in a bare environment"
	@echo "make benchmarks   measure speed and memory (tests/performance)"

quickstart: $(VENV)/.core
	$(BIN)/transfer-meta quickstart --out quickstart

test: check

check: lint docs types unit dist

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

# The variable silences a notice about another generator of sites.
docs: $(VENV)/.test
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

notebooks: $(VENV)/.test
	HF_HUB_OFFLINE=1 $(BIN)/python docs/generate/run_notebooks.py notebooks/*.ipynb

types: $(VENV)/.test
	$(BIN)/mypy

unit: $(VENV)/.test
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n logical --maxprocesses 8 --dist loadfile

# The wheel is tried with the core's dependencies alone, outside the clone.
dist: $(VENV)/.test
	rm -rf dist
	$(BIN)/python -m build --no-isolation
	$(BIN)/python -m twine check --strict dist/*
	@set -e; bare=$$(mktemp -d); trap 'rm -rf "$$bare"' EXIT; set -x; \
	$(PYTHON) -m venv "$$bare"; \
	"$$bare/bin/python" -m pip --disable-pip-version-check install -qq -c constraints.txt dist/*.whl; \
	cd "$$bare"; bin/transfer-meta --version; bin/transfer-meta recommend demo:topic --mode text --top 3

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
