# `make run` and `make test` need make and a Python 3.11 to 3.13, nothing else: they create .venv when it is missing.
# Works with GNU make 3.81 (macOS) and a plain /bin/sh.

PYTHON ?=# the Python to create .venv with; empty: the newest suitable one
ARGS   ?=# appended to the command: make run ARGS="planner=mcts seed=3"

BIN       = .venv/bin
INSTALLED = .venv/.installed
# Two processes, since a test computes on one thread; the tests of a file share compiled programs, so they stay together.
PYTEST    = $(BIN)/python -m pytest --numprocesses=2 --dist=loadfile --no-loadscope-reorder
UV_LOCK   = UV_PYTHON_DOWNLOADS=never $(BIN)/uv pip compile pyproject.toml --quiet --python $(BIN)/python --universal --python-version 3.11 \
            --generate-hashes --no-emit-index-url --no-header --no-annotate $(ARGS)

# If the Python of .venv was uninstalled, the stamp must not count.
$(shell [ -x $(BIN)/python ] || rm -f $(INSTALLED))

.PHONY: help run test test-extras test-fast test-faults test-fuzz product lint format lock clean

help: ## Print this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' Makefile | while IFS='|' read -r target does; do printf '  make %-11s %s\n' "$$target" "$$does"; done
	@echo '  ARGS="..." is appended to the command; PYTHON=/path/to/python creates .venv with that one (after make clean).'

run: $(INSTALLED) ## Run the main job, or another: make run ARGS="planner=mcts seed=3"
	@$(BIN)/python run.py $(ARGS)

test: $(INSTALLED) ## Run the tests of the core (10 minutes on two cores)
	$(PYTEST) -m "not extras" --durations=20 $(ARGS)

test-extras: $(INSTALLED) ## Run the tests that need the extras (Slurm, Ray, Optuna, TensorBoard) or Chromium
	$(PYTEST) -m extras --durations=20 $(ARGS)

test-fast: $(INSTALLED) ## Run the tests that neither train nor start processes
	$(PYTEST) -m "not slow and not extras" $(ARGS)

test-faults: $(INSTALLED) ## Kill runs and break their files hundreds of times, and print the table of docs/runs.md (one to two hours)
	$(PYTEST) tests/faults --faults=whole $(ARGS)

test-fuzz: $(INSTALLED) ## Give 10 000 wrong and right values to every setting (two hours): make test-fuzz ARGS="--number=500 --seed=1"
	$(BIN)/python -m tests.fuzz $(ARGS)

product: $(INSTALLED) ## Run every planner in every model with every kind of action
	$(BIN)/python benchmarks/product.py $(ARGS)

lint: $(INSTALLED) ## Check style, types and the layers of packages
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(INSTALLED) ## Fix style where ruff can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# The small lock takes its versions from the large one. Versions change only with ARGS=--upgrade.
lock: $(INSTALLED) ## Resolve both locks after a change to pyproject.toml; ARGS=--upgrade for the newest versions
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "uv>=0.9,<1"
	$(UV_LOCK) --all-extras --output-file requirements-all.lock
	$(UV_LOCK) --extra test --extra dev --constraint requirements-all.lock --output-file requirements.lock

clean: ## Remove .venv, caches and build products; runs stay
	rm -rf .venv build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find mbrl tests benchmarks hydra_plugins -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

$(INSTALLED): requirements.lock pyproject.toml
	@sh .ci/venv "$(PYTHON)"
