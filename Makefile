# One environment for everything, in .venv; versions from constraints.txt.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test lint docs dist validate clean

# The two-neuron model, whose prediction is exact, and a network, predicted from its own margins.
demo: $(VENV)/.installed
	$(BIN)/critlearn run toy --activation tanh --loss mse
	$(BIN)/critlearn run two-class --data gaussians --activation softsign --loss mse

test: lint
	$(BIN)/python -m pytest -n 2

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The site, in site/; a warning is an error.
docs: $(VENV)/.installed-test
	$(BIN)/python -m mkdocs build --strict

# Wheel and sdist; both are installed into fresh environments and tried.
dist: $(VENV)/.installed-test
	rm -rf build dist
	$(BIN)/python -m build
	.ci/smoke dist/*.whl dist/*.tar.gz

validate: $(VENV)/.installed-test
	$(BIN)/python validation/toy_exponents.py
	$(BIN)/python validation/recovery.py
	$(BIN)/python validation/size_and_power.py
	$(BIN)/python validation/dependence.py
	$(BIN)/python validation/designed_losses.py
	$(BIN)/python validation/push_forward.py
	$(BIN)/python validation/round_trips.py
	$(BIN)/python validation/killed_sweeps.py
	$(BIN)/python validation/catalogue.py

clean:
	rm -rf $(VENV) build dist

$(VENV)/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) torch
	$(PIP) --editable ".[torch]"
	touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(PIP) --editable ".[test,docs,explore,lightning,ray,transformers]"
	touch $@
