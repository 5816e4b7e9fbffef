# Everything works from a clone with python3 (>= 3.11) and make; nothing is installed outside .venv.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install -qq -c constraints.txt
TEST_EXTRAS := harness,offline-encoder,lora,generation,postgresql,ray,tensorboard,web,test,notebooks,docs,dev
LOWEST_EXTRAS := harness,lora,generation,postgresql,tensorboard,web,hub,test
LOWEST_TESTS := outcomes predictors readers tasks features figures encoding training runs web

.PHONY: help quickstart test check lint docs notebooks types unit browser dist audit lowest benchmarks clean

help:
	@echo "make quickstart   install the core, answer for a demo task, compare predictors on shipped outcomes"
	@echo "make test         install everything and run all checks and tests"
	@echo "make check        the same (ruff, import-linter, site, mypy, doctests, tests, notebooks, dist)"
	@echo "make docs         build the documentation site, build/site/index.html"
	@echo "make notebooks    run the notebooks and store their outputs, which the site shows"
	@echo "make dist         build wheel and sdist, check them, try the wheel in a bare environment"
	@echo "make audit        look up known vulnerabilities of what is installed (needs the network)"
	@echo "make lowest       test with the lowest versions that pyproject.toml allows (downloads 3 GB)"
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

unit: $(VENV)/.test browser
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n logical --maxprocesses 8 --dist loadfile

# The tests of the web page drive the system's Chromium; where it cannot be installed they are skipped, but not in CI.
browser:
	@command -v chromium > /dev/null || { command -v apt-get > /dev/null && [ "$$(id -u)" = 0 ] \
	    && apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium > /dev/null; } \
	    || echo "no chromium: the page is not tested in a browser"

# The wheel is tried with the core's dependencies alone, outside the clone.
dist: $(VENV)/.test
	rm -rf dist
	$(BIN)/python -m build --no-isolation
	$(BIN)/python -m twine check --strict dist/*
	@set -e; bare=$$(mktemp -d); trap 'rm -rf "$$bare"' EXIT; set -x; \
	$(PYTHON) -m venv "$$bare"; \
	"$$bare/bin/python" -m pip --disable-pip-version-check install -qq -c constraints.txt dist/*.whl; \
	cd "$$bare"; bin/transfer-meta --version; bin/transfer-meta recommend demo:topic --mode text --top 3

# --strict: what the service does not know is an error; without it an audit that looked up nothing ends well.
# The service knows releases, not builds (+cpu) of them.
audit: $(VENV)/.test
	@work=$$(mktemp -d) || exit 1; trap 'rm -rf "$$work"' EXIT; \
	$(BIN)/python -m pip freeze --exclude-editable | sed 's/+[a-z0-9.]*$$//' > "$$work/installed"; \
	$(BIN)/pip-audit --strict --disable-pip --no-deps --progress-spinner off --requirement "$$work/installed" \
	    2> "$$work/notes"; status=$$?; \
	if [ $$status -ne 0 ] && ! grep -q '^Found' "$$work/notes"; then echo "error: not audited (is there a network?):" \
	    "$$(tail -n 1 "$$work/notes" | cut -c 1-200)" >&2; else tail -n 1 "$$work/notes"; fi; exit $$status

# With Python 3.11, for which all the lowest versions have wheels; in an environment of its own (--seed:
# with setuptools, which torch's compiler imports).
lowest: $(VENV)/.test
	$(BIN)/uv venv --quiet --clear --seed --python 3.11 $(VENV)/lowest
	$(BIN)/uv pip install --quiet --python $(VENV)/lowest --resolution lowest-direct -e '.[$(LOWEST_EXTRAS)]'
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(VENV)/lowest/bin/python -m pytest -p no:cacheprovider \
	    -n logical --maxprocesses 8 --dist loadfile $(addprefix tests/,$(LOWEST_TESTS))

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
