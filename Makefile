# Each target does all of its own set-up; python3 with venv and pip is enough.
PYTHON ?= python3
VENV := .venv
READY := $(VENV)/.ready

.PHONY: demo test lint unit clean

demo: $(READY)  ## find, cut out and follow objects in a rendered clip
	$(VENV)/bin/maskreel demo

test: lint unit  ## lint, types, import contracts and every test that needs no GPU

lint: $(READY)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/pyright
	$(VENV)/bin/lint-imports

unit: $(READY)
	$(VENV)/bin/pytest -m "not gpu" $(PYTEST_OPTIONS)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV)
