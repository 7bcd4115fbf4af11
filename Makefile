# `make demo`, `make demo-filemaker` and `make test` try the project; `make import`, `make decide`, `make copy` and
# `make publish` are a month's work.
PYTHON ?= python3
# Another folder of programs, `make BIN=/path/to/bin decide`, is used as it is.
BIN := .venv/bin
# One worker more than there are processors, because some tests wait.
PYTEST := $(BIN)/python -m pytest --dist worksteal -n $(shell expr $$(nproc 2>/dev/null || getconf _NPROCESSORS_ONLN) + 1)
# Compiled modules are kept, regardless of the environment: without them, dbt takes seconds longer to start.
export PYTHONDONTWRITEBYTECODE :=

# A month's work goes step by step, even with `make -j`.
.NOTPARALLEL:
.PHONY: setup setup-spark import decide review copy publish query docs demo demo-filemaker check test test-spark fuzz faults lint bench spark-cluster lock clean

setup: $(if $(filter .venv/bin,$(BIN)),.venv/ready) profiles.yml
	@mkdir -p -m 700 data target logs
	@chmod 700 data target logs

.venv/ready: requirements-dev.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps --no-compile \
		-r requirements-dev.txt
	@touch $@

setup-spark: setup $(if $(filter .venv/bin,$(BIN)),.venv/spark-ready)  ## what `dbt build --target spark` needs, but for Java

.venv/spark-ready: requirements-spark.txt .venv/ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps --no-compile \
		-r requirements-spark.txt
	@touch $@

profiles.yml:
	install -m 600 profiles.yml.example profiles.yml

import: setup  ## from FileMaker's containers into the dump, by the Data API, for a clinic that has no dump yet
	@echo $(BIN)/python scripts/import_filemaker_images.py
	@$(BIN)/python scripts/import_filemaker_images.py; code=$$?; test $$code -gt 1 || { echo; \
	echo "Before 'make decide', open some of the new objects in the dump, and check that each shows the picture of its record at"; \
	echo "full size. import_results.csv in the data folder says which records are not in the dump or not marked, and why."; }; \
	exit $$code

decide: setup  ## convert, list, export, build; then what copying would do
	$(BIN)/python scripts/convert_fm_tab_to_csv.py
	$(BIN)/python scripts/list_s3_objects.py
	$(BIN)/python scripts/export_nexus_records.py
	$(BIN)/python scripts/build_marts.py
	-$(BIN)/python scripts/copy_objects.py --dry-run
	@echo
	@echo "Before 'make copy', check the summary, and what it counts: 'make review' shows findings, changes, and what is skipped"
	@echo "and unmatched, with the pictures and with what to do. Enter records that must wait into held_images.csv in the data"
	@echo "folder, and run 'make decide' again."

review: setup  ## pages that show the pictures and what became of them, for the data folder in use
	$(BIN)/python scripts/build_review_site.py

copy: setup  ## copy and verify; then what publishing would do
	$(BIN)/python scripts/copy_objects.py
	-$(BIN)/python scripts/publish_to_nexus.py --dry-run
	@echo
	@echo "Before 'make publish', open some of the new copies in S3, and check that each shows what its record says. Enter"
	@echo "records that must not be published into held_images.csv in the data folder: publishing reads it again."

publish: setup  ## insert the images whose copy is verified into Nexus
	$(BIN)/python scripts/publish_to_nexus.py
	@echo
	@echo "Now look at some patients in Nexus. After the next 'make decide', all of this is already_linked. README.md says how"
	@echo "to undo it."

query: setup  ## ask the marts in DuckDB's shell, on a copy; or SQL="select …" to be answered at once
	@$(BIN)/python scripts/query_marts.py $(if $(SQL),"$$SQL")

docs: setup  ## dbt's documentation of all tables and columns, as one page
	$(BIN)/python scripts/document_marts.py

demo: setup  ## the whole job on a synthetic clinic, twice
	$(BIN)/python -m demo

demo-filemaker: setup  ## the import from FileMaker into an empty dump, and the job after it, on a smaller synthetic clinic
	DEMO_FOLDER=demo-filemaker $(BIN)/python -m demo.filemaker

check: setup  ## the tests that need no server and no whole dbt build: under a minute
	$(PYTEST) -m "not fuzz and not slow" --ignore=tests/spark

test: setup  ## every test except the fuzzing
	$(PYTEST) -m "not fuzz" --ignore=tests/spark
	@$(MAKE) --no-print-directory test-spark

test-spark: setup  ## the target spark, in one process, if `make setup-spark` and Java have made it possible
	$(BIN)/python -m pytest -rs tests/spark || test $$? -eq 5  # nothing could be tried, as it says

fuzz: setup  ## 200 random data folders against a second implementation of the rules
	$(BIN)/python -m pytest -m fuzz

faults: setup  ## copying, with thousands of kills and broken requests
	PYTHONPATH=scripts $(BIN)/python -m tests.copying.copy_faults
	PYTHONPATH=scripts $(BIN)/python -m tests.copying.shard_faults

lint: setup  ## style, types, and dependencies between rooms
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PYTHONPATH=scripts:. $(BIN)/lint-imports
	$(BIN)/sqlfluff lint models analyses tests/dbt
	@! grep -rnE '^.{81,}$$' models analyses macros tests/dbt --include=*.sql || (echo "SQL lines have at most 80 columns"; false)

bench: setup  ## speed and memory, compared with other ways to do the same
	PYTHONPATH=scripts $(BIN)/python -m benchmarks

spark-cluster: setup-spark  ## a million rows on a standalone Spark cluster, compared with DuckDB
	PYTHONPATH=scripts $(BIN)/python -m benchmarks.spark_cluster

lock: setup  ## pin the dependencies in requirements*.in again; needs uv
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-strip-extras --no-emit-index-url --no-header --upgrade -q \
		requirements-dev.in -o requirements-dev.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-strip-extras --no-emit-index-url --no-header -q \
		-c requirements-dev.txt requirements.in -o requirements.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-strip-extras --no-emit-index-url --no-header -q \
		-c requirements-dev.txt requirements-spark.in -o requirements-spark.txt

clean:  ## remove what builds leave behind; never data/
	rm -rf target logs manifest.csv .pytest_cache .hypothesis .ruff_cache .mypy_cache .import_linter_cache
