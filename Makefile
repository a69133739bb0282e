# On a fresh machine `make run` and `make test` need make and a Python 3.11 to 3.13, nothing else: they make .venv when it is missing.
# Kept to what GNU make 3.81 (macOS) and a plain /bin/sh understand.

PYTHON ?=# the Python to make .venv with; empty: the newest suitable one
ARGS   ?=# what follows the command: make run ARGS="planner=mcts seed=3"

BIN       = .venv/bin
INSTALLED = .venv/.installed
# Two at a time, since a test computes on one thread; a file's tests stay together, since they share what they compiled.
PYTEST    = $(BIN)/python -m pytest --numprocesses=2 --dist=loadfile
UV_LOCK   = UV_PYTHON_DOWNLOADS=never $(BIN)/uv pip compile pyproject.toml --quiet --python $(BIN)/python --universal --python-version 3.11 \
            --generate-hashes --no-emit-index-url --no-header --no-annotate $(ARGS)

# A Python that was uninstalled since leaves a .venv that cannot run, whatever the stamp says.
$(shell [ -x $(BIN)/python ] || rm -f $(INSTALLED))

.PHONY: help run test test-fast test-faults product lint format lock clean

help: ## Print this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' Makefile | while IFS='|' read -r target does; do printf '  make %-11s %s\n' "$$target" "$$does"; done
	@echo '  ARGS="..." is handed on, PYTHON=/path/to/python makes .venv with that one (after make clean).'

run: $(INSTALLED) ## Run the main job, or another: make run ARGS="planner=mcts seed=3"
	@$(BIN)/python run.py $(ARGS)

test: $(INSTALLED) ## Run every test that CI runs
	$(PYTEST) --durations=50 $(ARGS)

test-fast: $(INSTALLED) ## Run the tests that neither train, start processes nor compile every combination
	$(PYTEST) -m "not slow" $(ARGS)

test-faults: $(INSTALLED) ## Kill, starve and deceive runs, hundreds of times, and print the table of docs/runs.md (an hour)
	$(PYTEST) tests/faults --faults=whole $(ARGS)

product: $(INSTALLED) ## Run every planner in every model with every kind of action, and print the table
	$(BIN)/python benchmarks/product.py $(ARGS)

lint: $(INSTALLED) ## Check style, types and the arrows between the rooms
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(INSTALLED) ## Mend style where ruff can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# The small lock is held to the versions of the large one. What is locked stays until asked: make lock ARGS=--upgrade.
lock: $(INSTALLED) ## Resolve both locks again after a change to pyproject.toml; ARGS=--upgrade for the newest of everything
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "uv>=0.9,<1"
	$(UV_LOCK) --all-extras --output-file requirements-all.lock
	$(UV_LOCK) --extra test --extra dev --constraint requirements-all.lock --output-file requirements.lock

clean: ## Remove .venv, caches and build products; never a run
	rm -rf .venv build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find mbrl tests benchmarks hydra_plugins -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

$(INSTALLED): requirements.lock pyproject.toml
	@sh .ci/venv "$(PYTHON)"
