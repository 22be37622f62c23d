# Two commands serve a newcomer: `make demo` and `make test`. Each sets up .venv by itself and may be run again at any time.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Two processes; the tests of a file stay with one of them.
PARALLEL := -n 2 --dist loadfile

.PHONY: demo test test-programs test-laws test-ecosystem test-debug test-python test-campaign lint bench paper clean

demo: $(STAMP)
	$(BIN)/netsci-nn demo

test: $(STAMP)
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest $(PARALLEL)

# Tests that start whole programs, worker processes, ranks and torch's compiler: kills, signals, full disks, the pages' examples.
test-programs: $(STAMP)
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest $(PARALLEL) -m programs

test-laws: $(STAMP)
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest $(PARALLEL) -m laws tests/laws

# Lightning, Hugging Face, accelerate and ONNX, each with the real library; TESTS="-k ddp" for a part of them.
test-ecosystem: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[ecosystem]'
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest $(PARALLEL) -m ecosystem tests/ecosystem $(TESTS)

# The suite and those of programs, with bounds of arrays checked in compiled code, then with all memory that is allocated or freed
# overwritten.
CHECKED := build/bounds-checked
ALL := 'not laws and not ecosystem'
test-debug: $(STAMP)
	rm -rf $(CHECKED)
	NUMBA_BOUNDSCHECK=1 NUMBA_CACHE_DIR=$(CURDIR)/$(CHECKED) OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest $(PARALLEL) -m $(ALL)
	MALLOC_PERTURB_=165 PYTHONMALLOC=debug OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest $(PARALLEL) -m $(ALL)

# The suite under another interpreter, in a .venv-... of its own: make test-python PYTHON=python3.13
test-python:
	$(MAKE) test VENV=.venv-$(notdir $(PYTHON))

# Kills, flipped bits, damaged files, signals, hindrances and odd environments until the time is over. It resumes where
# docs/results/campaign.jsonl, or LOG, stops.
MINUTES ?= 20
test-campaign: $(STAMP)
	$(BIN)/python scripts/campaign.py --minutes $(MINUTES) $(if $(LOG),--log $(LOG))

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(STAMP)
	$(BIN)/python scripts/benchmark.py

# The brain-inspired paper: table and figures under runs/brain-inspired/. SEEDS=1 EPOCHS=2 for a smoke run; the same command resumes.
PAPER_OPTIONS = $(if $(SEEDS),--seeds $(SEEDS)) $(if $(EPOCHS),--epochs $(EPOCHS)) $(if $(DATASET),--dataset $(DATASET))
paper: $(STAMP)
	$(BIN)/python -m scripts.brain_inspired.paper $(PAPER_OPTIONS) $(if $(DATA),--data-dir $(DATA))

# torch comes first, by itself, so that the pinned build is the one that everything else finds.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed; set PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $(STAMP)

clean:
	rm -rf $(VENV) .venv-* build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
