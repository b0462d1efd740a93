# Each target does all of its own set-up; python3 with venv and pip is enough.
PYTHON ?= python3
VENV := .venv
READY := $(VENV)/.ready
WEB := .venv-web
# One thread per worker: the tests are many and small.
PYTEST := OMP_NUM_THREADS=1 $(VENV)/bin/pytest --numprocesses auto --maxprocesses 4 --dist loadfile
SHELL := /bin/bash -o pipefail
# Tests start hundreds of processes: none of them should compile PyTorch's sources once more.
export PYTHONDONTWRITEBYTECODE :=
NIGHT := runs/nightly/$(shell git rev-parse --short HEAD 2>/dev/null)

.PHONY: demo quick test lint unit sample mutants gpu nightly wheel docs clean

demo: $(READY)  ## find, cut out and follow objects in a rendered clip
	$(VENV)/bin/maskreel demo

quick: $(READY)  ## a minute: style, import contracts and the first case of every test that takes no second
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/lint-imports
	$(PYTEST) -m "not gpu and not golden and not slow and not nightly" --first-case $(PYTEST_OPTIONS)

test: $(READY)  ## lint, types, import contracts, every test but those for a GPU and for the night, a tenth of the faults
	$(MAKE) --jobs 2 lint unit
	$(MAKE) sample

lint: $(READY)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/pyright
	$(VENV)/bin/lint-imports

unit: $(READY)
	$(PYTEST) -m "not gpu and not nightly" $(PYTEST_OPTIONS)

sample: $(READY)  ## a fixed tenth of the planted faults
	$(VENV)/bin/python -m tests.mutants --sample --jobs 2

mutants: $(READY)  ## every planted fault, and whatever MUTANTS asks for, such as MUTANTS="--random 200 7"
	$(VENV)/bin/python -m tests.mutants $(MUTANTS)

gpu: $(READY)  ## eight minutes on a CUDA device; goes on where it was cut off, runs/gpu/session.jsonl
	$(VENV)/bin/python benchmarks/gpu_session.py --out runs/gpu/session.jsonl

nightly: $(NIGHT)/suite $(NIGHT)/browser $(NIGHT)/shipped $(NIGHT)/fuzz $(NIGHT)/mutants  ## all there is; goes on where it stopped

$(NIGHT)/suite: | $(VENV)/.night
	@mkdir -p $(NIGHT)
	$(PYTEST) $(PYTEST_OPTIONS) | tee $@.log
	@touch $@

$(NIGHT)/browser: | $(WEB)/.ready
	@mkdir -p $(NIGHT)
	command -v chromium || (apt-get update && apt-get install --yes --no-install-recommends chromium)
	@# Without checks of types at run time: Gradio does not see that a function is a generator through them.
	OMP_NUM_THREADS=1 $(WEB)/bin/pytest --override-ini addopts=--strict-markers -m "not gpu" \
		tests/browser tests/serve tests/cli/test_serve.py tests/docs | tee $@.log
	@touch $@

# Gradio wants an older Pillow than the tests run with, so that its page has an environment of its own.
$(WEB)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(WEB)
	grep --invert-match --extended-regexp '^(pillow|tomlkit)=' constraints.txt > $(WEB)/constraints.txt
	$(WEB)/bin/pip install --quiet --constraint $(WEB)/constraints.txt --editable '.[dev,web,docs,track]'
	@touch $@

$(NIGHT)/shipped: | $(READY)
	@mkdir -p $(NIGHT)
	MASKREEL_SHARED=absent $(PYTEST) -m golden --every-golden-file tests/golden | tee $@.log
	@touch $@

$(NIGHT)/fuzz: | $(READY)
	@mkdir -p $(NIGHT)
	$(PYTEST) -m "not gpu and not slow" --hypothesis-profile nightly | tee $@.log
	@touch $@

$(NIGHT)/mutants: | $(READY)
	@mkdir -p $(NIGHT)
	$(VENV)/bin/python -m tests.mutants --results $@.jsonl
	@touch $@

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --no-compile --constraint constraints.txt --editable '.[dev]'
	@touch $@

$(VENV)/.night: $(READY)
	$(VENV)/bin/pip install --quiet --constraint constraints.txt --editable '.[night]'
	@touch $@

wheel: $(READY)  ## dist/maskreel-VERSION.whl, with the bundled weights in it
	rm -rf dist
	$(VENV)/bin/pip wheel --quiet --no-deps --wheel-dir dist .

docs: $(VENV)/.docs  ## site/, the documentation; a warning is a failure
	NO_MKDOCS_2_WARNING=1 PYTHONPATH=src $(VENV)/bin/mkdocs build --strict --quiet

$(VENV)/.docs: $(READY)
	$(VENV)/bin/pip install --quiet --constraint constraints.txt --editable '.[docs]'
	@touch $@

clean:
	rm -rf $(VENV) $(WEB)
