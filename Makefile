# Everything starts here: `make run` needs Python 3.11 or 3.12, pip and make, and brings the rest.

ifneq ($(filter run bench test soak lint format install lock,$(MAKECMDGOALS)),)
SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))
# A name on the PATH may be a shim for a Python that is not there, so each is tried by running it.
PYTHON ?= $(shell for p in python3.11 python3.12 python3 python; do \
	$$p -c '$(SUPPORTED)' >/dev/null 2>&1 && command -v $$p && break; done)
ifneq ($(shell $(or $(PYTHON),false) -c '$(SUPPORTED)' >/dev/null 2>&1 && echo yes),yes)
$(error This needs Python 3.11 or 3.12, and $(if $(PYTHON),$(PYTHON) is not one,none is on the PATH): \
get one from your system's packages (e.g. apt-get install python3.11 python3.11-venv) or from python.org, \
then run make again or name it as make PYTHON=/path/to/python3.11)
endif
endif

VENV := .venv/bin/python
export PYTHONPATH := $(CURDIR)
unexport PYTHONDONTWRITEBYTECODE # packages are compiled by their first import, which would then be each one
.DEFAULT_GOAL := help
.PHONY: help install run test soak bench lint format lock

help:
	@echo 'make run      start Airflow and MLflow, run the whole loop on the bundled roofing domain, stay up until Ctrl-C'
	@echo '  ONCE=1      end after the run'
	@echo "  DAY=2       the bundled sites' second day: new, changed and deleted pages and posts"
	@echo '  PORT=8080, MLFLOW_PORT=5000   ports of the two UIs on this machine (the usual, or the next free ones)'
	@echo 'make test     the tests that need nothing but this environment'
	@echo 'make soak     a hundred nights that are cut off and raced, with copies of held-out rows planted; nights killed'
	@echo '              after each durable write, where make test takes every third'
	@echo '  NIGHTS=100, SEED=1   how many, and which'
	@echo 'make bench    every benchmark, against its named peer'
	@echo 'make lint     check style and imports, and that the JSON Schema is current'
	@echo 'make format   put the style right'
	@echo 'make install  only make the environment .venv (the others do so by themselves)'
	@echo 'make lock     write requirements.txt anew from requirements.in'
	@echo 'SOVEREIGN_STATE=/path   where data, models and secrets are kept (state/ here by default)'
	@echo 'PYTHON=/path/to/python  the Python to use, 3.11 or 3.12'

install:
	@$(PYTHON) tools/install.py .venv requirements.txt

run: install
	@exec $(VENV) -m sovereign_tasks run roofing --up $(if $(ONCE),--once) $(if $(DAY),--day $(DAY)) \
		$(if $(PORT),--port $(PORT)) $(if $(MLFLOW_PORT),--mlflow-port $(MLFLOW_PORT))

test: install
	@exec $(VENV) -m pytest --dist worksteal -n $$($(VENV) -c 'import os; print(min(os.cpu_count(), 3) + 1)') # some wait

soak: install
	@SOVEREIGN_SOAK_NIGHTS=$(or $(NIGHTS),100) SOVEREIGN_SOAK_SEED=$(or $(SEED),1) \
		$(VENV) -m pytest -m 'not browser' -k 'killed or cut_off' \
		tests/unit/stages tests/integration/test_moves.py

bench: install
	@$(PYTHON) tools/install.py .venv-bench benchmarks/requirements-peers.txt .venv
	@status=0; for script in benchmarks/*.py; do \
		echo "$$script"; \
		found=$$(.venv-bench/bin/python "$$script") || { status=1; echo "  failed"; }; \
		printf '%s\n' "$$found" | tail -n 1; \
	done; exit $$status

lint: install
	@$(VENV) -m ruff check . && $(VENV) -m ruff format --check . \
		&& $(VENV) -m sovereign_tasks schema | cmp - config/model.schema.json

format: install
	@$(VENV) -m ruff check --fix . && $(VENV) -m ruff format .

lock: install
	@$(VENV) tools/lock.py
