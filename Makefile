# Everything a developer runs. Needs python3 (3.11 or newer) and make; the rest is installed into .venv.

VENV := .venv
BIN := $(VENV)/bin
# Arguments for pytest, as in: make test PYTEST="-k lease -x"
PYTEST ?= -n auto --dist worksteal

# Many containers forbid Python to keep what it has compiled. The tests start hundreds of processes: each of them, and each
# worker with its rewritten assertions, would compile everything again.
unexport PYTHONDONTWRITEBYTECODE

.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help demo test test-all-pythons check check-strictly check-the-rest simulate mutate coverage bench bench-quick bench-gate faults soak release-check plans generate lock docs clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.installed-demo ## Run order fulfilment end to end; ARGS="--help" shows its options
	@$(BIN)/python -m saga_fn.demo $(ARGS)

test: $(VENV)/.installed-dev ## Run all tests; PYTEST="..." gives pytest's arguments
	@$(BIN)/python -m pytest $(PYTEST)

test-all-pythons: $(VENV)/.installed-dev ## Run all tests on every Python there is, from 3.11 on
	@$(BIN)/python -m saga_fn._tools.pythons | while read -r version python; do \
		echo "Python $$version"; \
		$(MAKE) --no-print-directory VENV=.venv-$$version PYTHON="$$python" test </dev/null || exit 1; \
	done

check: $(VENV)/.installed-dev ## Run everything that reads the code
	@$(MAKE) --no-print-directory -j 2 check-strictly check-the-rest

# It takes as long as all the others.
check-strictly: $(VENV)/.installed-dev
	$(BIN)/basedpyright

check-the-rest: $(VENV)/.installed-dev
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy
	$(BIN)/lint-imports
	$(BIN)/python -m saga_fn._tools.sql lint
	$(BIN)/python -m saga_fn._tools.sql check

simulate: $(VENV)/.installed-dev ## Run sagas in virtual time under faults; SEEDS=0-99, ARGS="--sagas 1000000"
	@$(BIN)/python -m tests.simulation --seeds $(or $(SEEDS),0-9) $(ARGS)

mutate: $(VENV)/.installed-dev ## Take each guard of the statements away in turn: tests have to fail; some minutes
	@$(BIN)/python -m tests.mutation $(ARGS)

coverage: $(VENV)/.installed-dev ## Measure how much of the core its own tests cover, by branch
	$(BIN)/python -m pytest tests/core -m "not exhaustive" --cov=saga_fn.core --cov-fail-under=100 -o timeout=600 $(PYTEST)

bench: $(VENV)/.installed-dev ## Run the benchmark, beside pgbench on the same server
	@$(BIN)/python -m tests.bench $(ARGS)

bench-quick: $(VENV)/.installed-dev ## Run the core of the benchmark in under a minute
	@$(BIN)/python -m tests.bench --quick $(ARGS)

bench-gate: $(VENV)/.installed-dev ## Say which path became slower since BEFORE=commit
	@$(BIN)/python -m tests.bench.gate $(BEFORE) $(ARGS)

plans: $(VENV)/.installed-dev ## Look at the plans of statements on tables of a million rows; some minutes
	@SAGA_FN_PLAN_ROWS=$(or $(ROWS),1000000) $(BIN)/python -m pytest -n 0 -o timeout=3600 \
		tests/sql/test_plans.py tests/sql/test_list_plans.py tests/sql/test_deletion_plans.py tests/sql/test_operation_plans.py

generate: $(VENV)/.installed-dev ## Write the typed statements again from sql/
	$(BIN)/python -m saga_fn._tools.sql generate

lock: $(VENV)/.installed-dev ## Write the versions that are installed here into constraints-dev.txt
	@$(BIN)/python -m saga_fn._tools.lock

docs: $(VENV)/.installed-docs ## Build the site into site/ from README, docs/ and the docstrings
	$(BIN)/python docs/hooks.py > llms.txt
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

faults: $(VENV)/.installed-dev ## Let 48 faults happen on real servers; under an hour. CELLS="18,15-pgbouncer", FAULTS="5,7", AT_ONCE=1
	@$(BIN)/python -m tests.faults.trial $(if $(CELLS),--cells "$(CELLS)") $(if $(FAULTS),--faults "$(FAULTS)") $(if $(AT_ONCE),--at-once $(AT_ONCE))
	@$(BIN)/python -m pytest -m fault -n auto

soak: $(VENV)/.installed-dev ## Let long faults last a minute each, kill around 10,000 bookings, tell walks every event, then half load with random kills for MINUTES=30
	@SAGA_FN_FAULTS_LONG=60 $(BIN)/python -m tests.faults.trial --cells 18 --faults 7,13,30,31,32,33
	@SAGA_FN_OUTAGE_SECONDS=60 $(BIN)/python -m pytest -n 2 tests/engine/test_outage.py
	@SAGA_FN_BOOKINGS=3400 $(BIN)/python -m pytest -n 0 tests/faults/test_transactional_crashes.py
	@SAGA_FN_WHOLE_WALKS=1 $(BIN)/python -m pytest -n auto -m exhaustive tests/core
	@$(BIN)/python -m tests.faults.soak --minutes $(or $(MINUTES),30)

release-check: $(VENV)/.installed-dev ## Try wheel and sdist bare on every Python there is
	@$(BIN)/python -m saga_fn._tools.release_check

clean: ## Remove everything that was installed or made here
	rm -rf $(VENV) .venv-* .bench dist build site .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage .durations mutants
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamp is older than pyproject.toml when requirements may have changed: then pip looks again.
$(VENV)/.installed-%: pyproject.toml | $(BIN)/python
	@echo "Installing what '$*' needs into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[$*]" $(if $(LOCKED),--constraint constraints-dev.txt)
	@touch $@

$(BIN)/python:
	@for candidate in $(or $(PYTHON),python3 python3.14 python3.13 python3.12 python3.11); do \
		"$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
		"$$candidate" -c 'import ensurepip, venv' 2>/dev/null || { lame=$$candidate; continue; }; \
		rm -rf $(VENV); exec "$$candidate" -m venv $(VENV); \
	done; \
	if [ -n "$$lame" ]; then \
		echo "$$lame cannot make a virtual environment. On Debian and Ubuntu: apt install python3-venv" >&2; \
	else \
		echo "No Python 3.11 or newer found. Install one, or name it: make PYTHON=/path/to/python3" >&2; \
	fi; exit 1
