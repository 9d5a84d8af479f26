# One environment for everything, in .venv; versions from constraints.txt.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
AUDIT := $(VENV)/audit/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo test test-fast lint docs dist audit lock validate clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1	/p' $(MAKEFILE_LIST) | expand -t 12

# The two-neuron model, whose prediction is exact, and a network on real data, predicted from its own state.
demo: $(VENV)/.installed ## train, measure and predict twice, in two minutes
	$(BIN)/critlearn run toy --activation tanh --loss mse
	$(BIN)/critlearn run two-class

test: lint ## linter, type checker and the whole test suite
	$(BIN)/python -m pytest -n 2 --durations=40 --durations-min=3

# While one works; marks are given in pyproject.toml.
test-fast: $(VENV)/.installed-test ## tests that need no browser, no Ray and little time: two minutes on two cores
	$(BIN)/python -m pytest -n 2 -m "not slow and not browser and not ray"

lint: $(VENV)/.installed-test ## linter and type checker
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The site, in site/; a warning is an error.
docs: $(VENV)/.installed-test ## the documentation, in site/
	$(BIN)/python -m mkdocs build --strict

# Wheel and sdist; both are installed into fresh environments and tried.
dist: $(VENV)/.installed-test ## wheel and sdist, tried in fresh environments
	rm -rf build dist
	$(BIN)/python -m build
	.ci/smoke dist/*.whl dist/*.tar.gz

# Bandit looks at the code; pip-audit asks for known holes of what is pinned, and needs a network.
audit: $(AUDIT)/bandit ## known weaknesses of the code and of what it is installed with
	$(AUDIT)/bandit --quiet --configfile pyproject.toml --recursive src
	$(AUDIT)/pip-audit --strict --disable-pip --no-deps --requirement constraints.txt

# Again after each change of constraints.txt; PyTorch, whose builds differ from machine to machine, is left out.
lock: $(AUDIT)/bandit ## requirements.lock: the pinned versions with the hashes of their files
	echo '# Made by make lock. pip install --require-hashes --no-deps -r requirements.lock, then critlearn with --no-deps.' > $(VENV)/requirements.lock
	echo 'torch; python_version < "0"' | $(AUDIT)/uv pip compile --quiet --generate-hashes --no-header --no-annotate \
		--python $(BIN)/python --no-emit-index-url --no-emit-find-links --overrides - --constraints constraints.txt --all-extras pyproject.toml >> $(VENV)/requirements.lock
	mv $(VENV)/requirements.lock requirements.lock

validate: $(VENV)/.installed-test ## the long statistical checks, which write tables of the documentation
	$(BIN)/python validation/toy_exponents.py
	$(BIN)/python validation/recovery.py
	$(BIN)/python validation/size_and_power.py
	$(BIN)/python validation/published_data_sets.py
	$(BIN)/python validation/grades.py
	$(BIN)/python validation/equilibrium_states.py
	$(BIN)/python validation/dependence.py
	$(BIN)/python validation/designed_losses.py
	$(BIN)/python validation/push_forward.py
	$(BIN)/python validation/round_trips.py
	$(BIN)/python validation/inversions.py
	$(BIN)/python validation/caustics.py
	$(BIN)/python validation/random_graphs.py
	$(BIN)/python validation/killed_sweeps.py
	$(BIN)/python validation/hostile_files.py
	$(BIN)/python validation/attacks.py
	$(BIN)/python validation/catalogue.py
	$(BIN)/python validation/label_errors.py
	$(BIN)/python validation/modes.py
	$(BIN)/python validation/ladder.py
	$(BIN)/python validation/ladder_calibration.py
	$(BIN)/python validation/dynamics.py
	$(BIN)/python validation/learning_dynamics.py
	place=$$(mktemp -d) && $(BIN)/critlearn reproduce --quick --processes 2 --store $$place/store --out $$place

clean: ## remove the environment and what was built
	rm -rf $(VENV) build dist

$(VENV)/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) torch
	$(PIP) --editable ".[torch]"
	touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(PIP) --editable ".[test,docs,explore,lightning,ray,transformers]"
	touch $@

# Tools that look at an environment stand outside it.
$(AUDIT)/bandit: $(VENV)/.installed
	$(PYTHON) -m venv $(VENV)/audit
	$(AUDIT)/python -m pip install --quiet --disable-pip-version-check bandit pip-audit uv
