# All the set-up there is: `make test` and `make demo` make a virtual environment in
# .venv (again whenever pyproject.toml changes) and need nothing else but Python 3.11+.

PYTHON ?= $(shell for v in python3.13 python3.12 python3.11 python3; do \
	command -v $$v >/dev/null 2>&1 && $$v -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 11))' \
	2>/dev/null && { echo $$v; break; }; done)
VENV ?= .venv
BIN = $(VENV)/bin
READY = $(VENV)/.ready
TESTS ?= tests
# Six at a time on two processors: tests wait more than they work. Whole files, the longest first.
PARALLEL ?= -n 6 --dist loadfile --no-loadscope-reorder

# Six pytests that compile each test file anew take half a minute of processor more.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup demo check test faults crashpoints realsize lint requirements docs man pictures bench clean

help:  ## What there is to make
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

$(READY): pyproject.toml tests/tinyagents/pyproject.toml
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or later with ensurepip was found."; \
	  echo "On Debian: apt-get install python3 python3-venv"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	@# bjdata comes with crossbar and is built against numpy 1; beside numpy 2 its compiled
	@# half prints a page of warnings in every process that imports autobahn.
	PYBJDATA_NO_EXTENSION=1 $(BIN)/python -m pip install --quiet -e '.[dev]' -e ./tests/tinyagents
	touch $@

setup: $(READY)  ## Make the virtual environment

demo: $(READY)  ## A real router, the manager and a few real agents, live (DEMO_ARGS="--duration 20")
	$(BIN)/hostmanager demo $(DEMO_ARGS)

check: lint  ## The quick check, under a minute: lint and those of tests/unit that take no time
	$(BIN)/python -m pytest -q -n 2 -m "not slow and not exhaustive" $(TEST_ARGS) tests/unit

test: $(READY)  ## All tests (TESTS=tests/sim: some; TEST_ARGS="-k name"; RECORD=1: measure files)
	$(if $(RECORD),HM_TEST_RECORD=1) $(BIN)/python -m pytest $(PARALLEL) $(TEST_ARGS) $(TESTS)

faults: $(READY)  ## Ten minutes of random faults (FAULTS_ARGS="--seed 7 --seconds 60")
	$(BIN)/python -m tests.faults $(FAULTS_ARGS)

crashpoints: $(READY)  ## The manager killed before each call that changes something (CRASHPOINTS_ARGS="--only update")
	$(BIN)/python -m tests.crashpoints $(CRASHPOINTS_ARGS)

realsize: $(READY)  ## A host of 55 instances of socs: ten minutes, as root
	HOSTMANAGER_REALSIZE=1 $(BIN)/python -m pytest -s $(TEST_ARGS) tests/integration/realsize

lint: $(READY)  ## Style, types, import rules, declared dependencies, names, what tests look into
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry --no-ansi src
	$(BIN)/python .ci/doubled_names.py src/hostmanager
	$(BIN)/python .ci/tests_from_outside.py tests

$(VENV)/.docs-ready: $(READY)
	$(BIN)/python -m pip install --quiet -e '.[docs]'
	touch $@

man: $(READY)  ## Manual pages of all commands, in build/man (a wheel has them)
	$(BIN)/python docs/man_pages.py build/man "$$($(BIN)/hostmanager version)"

docs: $(VENV)/.docs-ready  ## The documentation as a site, in build/docs; a warning is an error
	$(BIN)/python -m sphinx --fail-on-warning --keep-going -q docs build/docs

pictures: $(READY)  ## The pictures of the page in docs/pictures anew (needs chromium)
	$(BIN)/python docs/make_pictures.py

requirements: $(READY)  ## requirements.txt anew, with hashes (all of it newer: REQUIREMENTS_ARGS=--upgrade)
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
	  --no-emit-index-url --custom-compile-command "make requirements" $(REQUIREMENTS_ARGS) \
	  --output-file requirements.txt pyproject.toml

bench: $(READY)  ## Ours beside the reference, in one run (BENCH_ARGS="--quick")
	$(BIN)/python -m bench $(BENCH_ARGS)

clean:  ## Remove the virtual environment and caches
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage*
