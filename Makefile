# `make quickstart` and `make test` work on a fresh machine: both make the environment first.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
RUNS ?= runs/quickstart

# Bytecode is kept, also where the shell says PYTHONDONTWRITEBYTECODE: a process that compiles torch, Lightning and timm
# anew takes 11 CPU seconds more to start, and tests and studies start many.
export PYTHONDONTWRITEBYTECODE :=

LOWEST ?= .venv-lowest
FAST := -m "not slow and not gpu"

# numpy's products would start a thread per core in each of the two processes, and wait for each other
ONE := OMP_NUM_THREADS=1 $(BIN)/python

.PHONY: help quickstart test test-all test-lowest coverage mutants types docs map lint format bench bench-quick bench-gpu clean

help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

quickstart: $(VENV)/installed ## four tasks on the embedded images at equal FLOPs, evaluated and exported, one table
	$(BIN)/ssl-patches study experiments/tasks_embedded out=$(RUNS) workers=2
	@echo; $(BIN)/ssl-patches compare $(RUNS)

test: $(VENV)/installed ## what every push runs; COVERAGE=1 prints the lines that it leaves out, in twice the time
	$(ONE) -m pytest -n 2 --dist loadfile $(FAST) $(if $(COVERAGE),--cov=ssl_patches --cov-report=term:skip-covered)

test-all: $(VENV)/installed ## the slow and GPU tests too
	$(ONE) -m pytest -n 2 --dist loadfile

coverage: ## make test COVERAGE=1
	$(MAKE) test COVERAGE=1

test-lowest: ## the tests of every push with the oldest versions that pyproject.toml allows
	$(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet --disable-pip-version-check uv
	$(LOWEST)/bin/uv pip install --quiet --python $(LOWEST)/bin/python --resolution lowest-direct -e ".[dev]"
	OMP_NUM_THREADS=1 $(LOWEST)/bin/python -m pytest -n 2 --dist loadfile $(FAST)

MUTANTS := $(abspath .mutants)
MODULE ?= run_dir
COUNT ?= 60
SEED ?= 20
CR := cd $(MUTANTS)/tree && PATH="$(abspath $(BIN)):$(MUTANTS)/site/bin:$$PATH" PYTHONPATH=".:$(MUTANTS)/site" OMP_NUM_THREADS=1

mutants: $(VENV)/installed ## what tests miss of MODULE=run_dir: COUNT=60 changes by cosmic-ray, drawn by SEED=20; up to an hour
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade --target $(MUTANTS)/site "cosmic-ray>=8.7,<9"
	rm -rf $(MUTANTS)/tree && mkdir -p $(MUTANTS)/tree && git archive HEAD | tar -x -C $(MUTANTS)/tree
	$(CR) cosmic-ray init --force benchmarks/mutants/$(MODULE).toml ../$(MODULE).sqlite
	$(CR) python benchmarks/mutants/sample.py ../$(MODULE).sqlite $(COUNT) $(SEED)
	$(CR) python benchmarks/mutants/execute.py benchmarks/mutants/$(MODULE).toml ../$(MODULE).sqlite
	$(CR) cr-report --show-diff --surviving-only ../$(MODULE).sqlite

types: $(VENV)/installed ## mypy, without an error in the whole package
	$(BIN)/mypy

map: $(VENV)/installed ## write docs/architecture.md and its map again
	$(BIN)/python docs/architecture_page.py

docs: $(VENV)/installed ## the pages in docs/_build/html; a warning is an error
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet docs docs/_build/html
	@echo "docs/_build/html/index.html"

lint: $(VENV)/installed ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/installed ## mend what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench-quick: $(VENV)/installed ## a minute on a free core: one line of the step beside peers
	$(ONE) benchmarks/step.py --batch 32 --rounds 5 --minutes 1

bench: $(VENV)/installed ## ten minutes: two lines, transformers too, input, sampler, what the framework costs, scaling
	$(ONE) benchmarks/step.py --hugging-face --rounds 7 --minutes 3 --lines "ViT-T/4 @32" "ViT-S/16 @224"
	$(ONE) benchmarks/input.py
	$(ONE) benchmarks/sampler.py
	$(ONE) benchmarks/framework.py --minutes 1
	$(ONE) benchmarks/scaling.py --real --minutes 3

bench-gpu: $(VENV)/installed ## where a GPU is
	$(BIN)/python benchmarks/gpu.py

# uv, because pip takes four times as long; plain `pip install -c constraints.txt -e .[dev]` does the same
$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python -c constraints.txt -e ".[dev]"
	@touch $@

clean: ## remove the environments, runs and what was built
	rm -rf $(VENV) $(LOWEST) runs dist build docs/_build
