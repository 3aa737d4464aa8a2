# The one command surface. `make help` lists the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
# The newest-named interpreter that is 3.11 or later; PYTHON=... overrides.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo $$p; break; }; done)
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r
ARGS ?=
# Where the functions that sam local invoke runs find the compose services.
COMPOSE_NETWORK ?= ikirere
COMPOSE_ENDPOINT ?= http://localstack:4566
# Inputs of the heavier checks: a script that starts LocalStack on a port, and the packages' interpreter.
LOCALSTACK_SERVER ?= ../shared/tools/localstack-host/run
PYTHON313 ?= $(shell $(MAKE) --silent --no-print-directory -C functions print-python 2>/dev/null)
# Tests mostly wait for services, so more of them run at once than there are cores.
TEST_JOBS ?= 4
PYTEST = $(BIN)/python -m pytest
PARALLEL = --numprocesses $(TEST_JOBS) --dist loadscope
# Tests that need no service and no browser.
UNIT_TESTS = tests/core tests/transform tests/infrastructure tests/command_line/test_rendering.py

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z -]+:.*##' $(MAKEFILE_LIST) | sort | awk -F':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

.PHONY: run
run: $(VENV)/ready ## Run the pipeline here, embedded: no Docker, no account (ARGS="--weather synthetic")
	@$(BIN)/ikirere run $(ARGS)

.PHONY: test
test: lint ## Lint, type-check and run every test
	$(PYTEST) $(PARALLEL) $(ARGS)

.PHONY: check
check: lint ## Lint, type-check and run the unit tests, which need no service: under a minute
	$(PYTEST) --numprocesses 2 --dist loadscope $(UNIT_TESTS) -m "not slow" $(ARGS)

.PHONY: local-env
local-env: $(VENV)/ready ## Write .aws-sam/env.json for sam local invoke: what the functions deployed to LocalStack have
	@mkdir -p .aws-sam && $(BIN)/python events/environment.py $(COMPOSE_ENDPOINT) > .aws-sam/env.json

.PHONY: invoke-ingest invoke-transform invoke-model
invoke-ingest invoke-transform invoke-model: invoke-%: local-env ## sam local invoke of a function against the compose network (needs the SAM CLI, Docker and `sam build`)
	sam local invoke $(shell f=$*; echo $${f^})Function --event events/$*.json --env-vars .aws-sam/env.json \
		--docker-network $(COMPOSE_NETWORK) --parameter-overrides AwsEndpointUrl=$(COMPOSE_ENDPOINT) DatabaseSecret=ikirere/database $(ARGS)

FAULTS = PYTHONPATH=.:tests $(BIN)/python -m faults
RUNS ?= 300
FIRST ?= 1

.PHONY: test-faults
test-faults: $(VENV)/dev-ready ## Random histories with faults against an oracle (RUNS=300; FIRST=1001 for others; SEED=17 replays and shrinks one)
	$(FAULTS) histories --runs $(RUNS) --first $(FIRST) $(if $(SEED),--seed $(SEED)) $(ARGS)

.PHONY: test-broken-rules
test-broken-rules: $(VENV)/dev-ready ## In which of 20 histories each deliberately broken rule is found
	$(FAULTS) broken-rules $(ARGS)

.PHONY: test-readers
test-readers: $(VENV)/dev-ready ## Readers that poll the mart during 50 loads
	$(FAULTS) readers $(ARGS)

.PHONY: test-kills
test-kills: $(VENV)/dev-ready ## kill -9 of a process, or all, at 50 random moments of `ikirere run`
	$(FAULTS) kills $(ARGS)

.PHONY: test-oracles
test-oracles: $(VENV)/oracles-ready ## Values and files against xclim, MetPy, DuckDB and frictionless, in a virtual environment of its own
	$(VENV)/oracles/bin/python -m pytest tests/oracles $(ARGS)

.PHONY: test-metabase
test-metabase: $(VENV)/dev-ready ## The dashboards' queries against Metabase's own schema (needs npx)
	METABASE_CLI=1 $(PYTEST) tests/metabase $(ARGS)

.PHONY: test-localstack
test-localstack: $(VENV)/dev-ready packages ## The pipeline on the real LocalStack: LOCALSTACK_SERVER=script PYTHON313=interpreter
	@test -x $(LOCALSTACK_SERVER) || { echo "$(LOCALSTACK_SERVER): is no script that starts LocalStack; name one: make test-localstack LOCALSTACK_SERVER=..." >&2; exit 2; }
	LOCALSTACK_SERVER=$(LOCALSTACK_SERVER) LAMBDA_PYTHON="$(PYTHON313)" $(PYTEST) tests/localstack $(ARGS)

.PHONY: test-backfill
test-backfill: $(VENV)/dev-ready ## A year of 100 cities killed three times, resumed and compared, and the quota that it fills: SEED=1
	BACKFILL_SEED=$(or $(SEED),1) $(PYTEST) -rP --show-capture=stdout tests/backfill/test_killed_backfill.py $(ARGS)

.PHONY: test-containers
test-containers: $(VENV)/dev-ready ## docker compose and sam local invoke (needs Docker, compose, the SAM CLI, python3.13)
	@for tool in docker sam; do command -v $$tool >/dev/null || { echo "$$tool is not on PATH; see docs/containers.md" >&2; exit 2; }; done
	CONTAINERS=1 PYTHON313="$(PYTHON313)" $(PYTEST) --exitfirst tests/containers $(ARGS)

.PHONY: test-packages
test-packages: $(VENV)/dev-ready packages ## Each package imported with nothing beside it, and its size (needs python3.13)
	PACKAGES=.aws-sam/build PACKAGE_PYTHON="$(PYTHON313)" $(PYTEST) tests/infrastructure/test_built_packages.py $(ARGS)

.PHONY: test-policy
test-policy: $(VENV)/policy-ready ## Scan the template with checkov, in a virtual environment of its own
	$(VENV)/policy/bin/checkov --file template.yaml --framework cloudformation --compact --quiet --skip-download $(ARGS)

.PHONY: audit
audit: $(VENV)/audit-ready ## Known vulnerabilities of every locked package, by pip-audit (needs pypi.org): exit 1 found some, 2 could not ask
	$(BIN)/python .ci/audit.py $(VENV)/audit/bin/pip-audit $(ARGS)

.PHONY: measure
measure: $(VENV)/ready ## Time, CPU, memory and storage of a daily run at 3, 100 and 10,000 cities (some minutes)
	$(BIN)/python -m benchmarks.daily_run $(ARGS)

.PHONY: bench
bench: $(VENV)/bench-ready ## Every benchmark, then docs/performance.md (an hour or two on an idle machine; ARGS="--only contest --sizes M L")
	$(BIN)/python -m benchmarks run $(ARGS)
	$(VENV)/bench/bin/python -m benchmarks render

.PHONY: bench-quick
bench-quick: $(VENV)/bench-ready ## The pipeline against baseline, dlt and floor at 72,000 rows, printed: two minutes
	$(BIN)/python -m benchmarks quick $(ARGS)

.PHONY: provision
provision: $(VENV)/ready ## Create or update the dashboards of dashboards/ in a Metabase (METABASE_URL, METABASE_EMAIL, METABASE_PASSWORD, METABASE_WAREHOUSE_URL)
	@$(BIN)/python -m dashboards.metabase.provision

.PHONY: dictionary
dictionary: $(VENV)/ready ## Write docs/data-dictionary.md from functions/core/data/dictionary/
	$(BIN)/python -m operations.dictionary_page > docs/data-dictionary.md

.PHONY: lint
lint: $(VENV)/dev-ready ## ruff, mypy, import-linter, cfn-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/cfn-lint template.yaml

.PHONY: format
format: $(VENV)/dev-ready ## Let ruff format and fix
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: down
down: ## Stop what `make run` left running
	@if [ -x $(BIN)/ikirere ]; then $(BIN)/python -m command_line down; fi

.PHONY: clean
clean: down ## Remove the virtual environment and all state
	rm -rf $(VENV) .ikirere .pytest_cache .mypy_cache .ruff_cache

.PHONY: lock
LOCK = uv pip compile --universal --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --no-header -q
EXTRA = $(BIN)/python -c "import sys, tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['optional-dependencies'][sys.argv[1]], sep='\n')"
lock: ## Resolve pyproject.toml into the hashed lock files (needs uv)
	$(LOCK) --python-version 3.11 pyproject.toml --extra lock -o requirements.txt
	$(LOCK) --python-version 3.11 pyproject.toml --extra lock --extra dev -c requirements.txt -o requirements-dev.txt
	for package in functions/ingest functions/transform functions/model functions/backfill; do \
		$(EXTRA) "$$(basename $$package)" | $(LOCK) --python-version 3.13 - -c requirements.txt -o $$package/requirements.txt || exit 1; \
	done
	$(EXTRA) bench | $(LOCK) --python-version 3.11 - -o benchmarks/requirements.txt
	$(EXTRA) oracles | $(LOCK) --python-version 3.11 - -c requirements-dev.txt -o tests/oracles/requirements.txt

.PHONY: packages
packages: ## The Lambda packages in .aws-sam/build, as sam build makes them (needs python3.13, no SAM CLI)
	@for function in Ingest Transform Model Backfill; do \
		$(MAKE) --no-print-directory -C functions build-$${function}Function ARTIFACTS_DIR=$(CURDIR)/.aws-sam/build/$${function}Function PYTHON313="$(PYTHON313)" || exit 1; \
	done

.PHONY: python
python:
ifeq ($(strip $(PYTHON)),)
	@echo "ikirere needs Python 3.11 or later and found none; install one, or name it: make run PYTHON=/path/to/python3.13" >&2; exit 2
else
	@$(PYTHON) -c 'import sys; v = "%d.%d" % sys.version_info[:2]; sys.version_info < (3, 11) and sys.exit("ikirere needs Python 3.11 or later; $(PYTHON) is " + v + ". Name another: make run PYTHON=/path/to/python3.13")'
endif

$(VENV)/locked: requirements.txt | python
	@echo "Installing into $(VENV) (once, about a minute) ..."
	@$(PYTHON) -m venv --clear $(VENV)
	@$(INSTALL) requirements.txt
	@touch $@

$(VENV)/ready: pyproject.toml $(VENV)/locked
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/policy-ready: | $(VENV)/ready
	@echo "Installing checkov ..."
	@$(PYTHON) -m venv --clear $(VENV)/policy
	@$(VENV)/policy/bin/python -m pip install --quiet --disable-pip-version-check checkov==3.3.30
	@touch $@

$(VENV)/audit-ready: | $(VENV)/ready
	@echo "Installing pip-audit ..."
	@$(PYTHON) -m venv --clear $(VENV)/audit
	@$(VENV)/audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit==2.10.1
	@touch $@

$(VENV)/oracles-ready: tests/oracles/requirements.txt requirements-dev.txt | $(VENV)/ready
	@echo "Installing xclim, metpy, duckdb and frictionless into $(VENV)/oracles ..."
	@$(PYTHON) -m venv --clear $(VENV)/oracles
	@$(VENV)/oracles/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt -r tests/oracles/requirements.txt
	@touch $@

$(VENV)/bench-ready: benchmarks/requirements.txt | $(VENV)/ready
	@echo "Installing dlt and matplotlib into $(VENV)/bench ..."
	@$(PYTHON) -m venv --clear $(VENV)/bench
	@$(VENV)/bench/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r benchmarks/requirements.txt
	@touch $@

$(VENV)/dev-ready: requirements-dev.txt $(VENV)/locked | $(VENV)/ready
	@echo "Installing the test tools ..."
	@$(INSTALL) requirements-dev.txt
	@touch $@
