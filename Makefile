# Two commands do everything: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
# One worker more than there are processors, because some tests wait.
PYTEST := $(BIN)/python -m pytest --dist worksteal -n $(shell expr $$(nproc 2>/dev/null || getconf _NPROCESSORS_ONLN) + 1)
# Compiled modules are kept, regardless of the environment: without them, dbt takes seconds longer to start.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: setup demo check test fuzz faults lint bench lock clean

setup: .venv/ready profiles.yml
	@mkdir -p -m 700 data target logs
	@chmod 700 data target logs

.venv/ready: requirements-dev.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps --no-compile \
		-r requirements-dev.txt
	@touch $@

profiles.yml:
	install -m 600 profiles.yml.example profiles.yml

demo: setup  ## the whole job on a synthetic clinic, twice
	$(BIN)/python -m demo

check: setup  ## the tests that need no server and no whole dbt build: under a minute
	$(PYTEST) -m "not fuzz and not slow"

test: setup  ## every test except the fuzzing
	$(PYTEST) -m "not fuzz"

fuzz: setup  ## 200 random data folders against a second implementation of the rules
	$(BIN)/python -m pytest -m fuzz

faults: setup  ## copying, with thousands of kills and broken requests
	PYTHONPATH=scripts $(BIN)/python -m tests.copying.copy_faults

lint: setup  ## style, types, and dependencies between rooms
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PYTHONPATH=scripts:. $(BIN)/lint-imports
	$(BIN)/sqlfluff lint models tests/dbt
	@! grep -rnE '^.{81,}$$' models macros tests/dbt --include=*.sql || (echo "SQL lines have at most 80 columns"; false)

bench: setup  ## speed and memory, compared with other ways to do the same
	PYTHONPATH=scripts $(BIN)/python -m benchmarks

lock: setup  ## pin the dependencies in requirements*.in again; needs uv
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-strip-extras --no-emit-index-url --no-header --upgrade -q \
		requirements-dev.in -o requirements-dev.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-strip-extras --no-emit-index-url --no-header -q \
		-c requirements-dev.txt requirements.in -o requirements.txt

clean:  ## remove what builds leave behind; never data/
	rm -rf target logs manifest.csv .pytest_cache .hypothesis .ruff_cache .mypy_cache .import_linter_cache
