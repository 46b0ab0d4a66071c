# `make demo` runs the pipeline on simulated calls; `make test` runs the tests. Both do their own set-up.
PYTHON ?= python3
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test check format clean
.SILENT:

demo: $(VENV)/.installed
	$(BIN)/postcall demo $(ARGS)

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n auto $(ARGS)

check: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(VENV)/.python:
	$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else \
	  "postcall needs Python 3.11 to 3.13; %s is %d.%d. Try: make PYTHON=python3.12 %s" % ((sys.executable,) + v + ("$(MAKECMDGOALS)",)))'
	$(PYTHON) -m venv $(VENV) || { echo "Could not make a virtual environment; on Debian and Ubuntu: apt install python3-venv" >&2; rm -rf $(VENV); exit 1; }
	touch $@

$(VENV)/.installed: $(VENV)/.python pyproject.toml constraints.txt
	echo "Installing postcall into $(VENV) (once)…" >&2
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable . >&2
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed pyproject.toml constraints.txt
	echo "Installing the test tools into $(VENV) (once)…" >&2
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]' >&2
	touch $@
