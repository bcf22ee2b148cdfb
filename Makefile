# make        the whole method on the embedded demo, ending with the path of the report
# make test   the tests
# Needs Python 3.11 or newer (PYTHON=...) and nothing else; what is installed goes to .venv, in this folder.

PYTHON ?= python3
BIN := .venv/bin
# Snakemake takes the programs that it starts from PATH.
export PATH := $(CURDIR)/$(BIN):$(PATH)
CORES ?= $(shell $(PYTHON) -c "import os; print(len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count())")

.PHONY: demo test lint clean
.DEFAULT_GOAL := demo

demo: .venv/installed
	@snakemake --profile profiles/demo --cores $(CORES)
	@echo "$(CURDIR)/results/report/index.html"

test: .venv/installed-for-tests lint
	@python -m pytest

lint: .venv/installed-for-tests
	@ruff check . && ruff format --check . && snakefmt --check Snakefile rules
	@snakemake --lint --configfile config.yaml profiles/demo/experiment.yaml

# The virtual environment is made anew if its interpreter is gone, and brought up to date when pyproject.toml changes.
.venv/installed: pyproject.toml
	@$(PYTHON) -c "import sys; sys.exit('Python 3.11 or newer is needed: make PYTHON=...') if sys.version_info < (3, 11) else None"
	@test -x $(BIN)/python || $(PYTHON) -m venv --clear .venv
	@$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	@$(BIN)/python -c "import tomllib; print('\n'.join(tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies']))" > .venv/requirements.txt
	$(BIN)/python -m pip install --quiet --requirement .venv/requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps --group without-torchaudio
	@touch $@

.venv/installed-for-tests: .venv/installed
	$(BIN)/python -m pip install --quiet --group test
	@touch $@

clean:
	rm -rf .venv .snakemake resources results logs benchmarks checkpoints
