# Works with GNU make 4.3 and with the 3.81 of macOS. Programs are run as modules, never as console
# scripts: those start with the interpreter's path, which may hold a space or belong to a moved checkout.

# The Python that .venv is made with: `make run PYTHON3=python3.12`; else the newest on the PATH.
PYTHON3 :=
PYTHON := .venv/bin/python
VERSION = $(shell "$(1)" -c 'import platform; print(platform.python_version())' 2>/dev/null)
WORKS := $(if $(filter $(if $(PYTHON3),$(call VERSION,$(PYTHON3)),%),$(call VERSION,$(PYTHON))),works)
PIP := $(PYTHON) -m pip --quiet --disable-pip-version-check --no-input

PEERS := benchmarks/peers
LOCKS := requirements.txt requirements-embedded.txt requirements-otel.txt requirements-dev.txt $(PEERS)/requirements.txt
# A process for each core; one that is done takes tests from the end of what another has before it.
PYTEST := $(PYTHON) -m pytest --numprocesses=auto --dist=worksteal
# Two processes for each core, where slow tests are among the others: they wait for other programs.
SHARED = --numprocesses=$(shell $(PYTHON) -c 'import os; print(2 * (os.cpu_count() or 2))')
NODE_MODULES := tests/clients/node_modules/.package-lock.json

# A Python that can make a virtual environment; Debian ships venv apart from python3.
FIND_PYTHON = python=; bare=; \
    for name in $(if $(PYTHON3),"$(PYTHON3)",python3.14 python3.13 python3.12 python3.11 python3); do \
        "$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
        "$$name" -c 'import ensurepip, venv' 2>/dev/null && { python=$$name; break; }; \
        bare=$$name; \
    done; \
    if [ -z "$$python" ]; then \
        if [ -n "$$bare" ]; then echo "$$bare lacks venv: install the package python3-venv." >&2; \
        else echo "Python 3.11 or later is needed, and $(or $(PYTHON3),what the PATH has) is none." >&2; fi; \
        exit 1; \
    fi

# Tests bring their own settings, so that none of the developer's reaches them.
ISOLATED = unset APP_ENV DATABASE_URL DATABASE_URL_UNPOOLED JWT_SECRET JWT_SECRETS_ACCEPTED \
    JWT_JWKS_URL JWT_ISSUER JWT_AUDIENCE JWT_SCOPES DB_POOL_SIZE DB_MAX_OVERFLOW DB_POOL_TIMEOUT DB_CONNECT_TIMEOUT \
    DB_STATEMENT_TIMEOUT REQUEST_DEADLINE SHUTDOWN_GRACE MAX_BODY_BYTES CORS_ORIGINS \
    TRUSTED_HOSTS TRUSTED_PROXIES RATELIMIT_STORAGE_URI RATELIMIT_PER_USER \
    RATELIMIT_PER_ADDRESS QUOTA_ROWS QUOTA_BYTES MAIL_URL MAIL_FROM MAIL_TEXTS PUBLIC_URL GRIP_URL \
    WEBHOOK_ALLOW_NETWORKS WORKER_HEALTH_FILE \
    METRICS_TOKEN PORT WEB_CONCURRENCY WEB_THREADS LOG_LEVEL OTEL_PROPAGATORS \
    OTEL_TRACES_EXPORTER OTEL_EXPORTER_OTLP_ENDPOINT OTEL_EXPORTER_OTLP_TRACES_ENDPOINT; \
    export FLASK_SKIP_DOTENV=1

.PHONY: help run reset test test-slow check format lock clean audit rig faults bench bench-quick bench-scale bench-bulk clients contract smoke FORCE
.NOTPARALLEL:

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' Makefile

# As a directory, which spares the start an import of the whole application. With a database of one's
# own, the embedded one is not installed.
run: .venv/.requirements.txt ## start the service with its database; Ctrl-C stops both
	@! $(PYTHON) app/dev/embedded --is-used || $(MAKE) --silent .venv/.requirements-embedded.txt
	@exec $(PYTHON) app/dev/embedded $(PYTHON) -m app.dev.development

reset: .venv/.requirements.txt ## drop the development database; asks first, CONFIRM=yes does not
	@exec $(PYTHON) app/dev/embedded --reset $(if $(filter yes,$(CONFIRM)),--yes)

test: .venv/.requirements-dev.txt ## run all tests except the slow ones; ARGS="-k name" selects among all
	@$(ISOLATED); exec $(PYTEST) $(or $(ARGS),-m "not slow")

test-slow: .venv/.requirements-dev.txt ## run the tests that take long or need other programs
	@$(ISOLATED); exec $(PYTEST) $(SHARED) -m slow $(ARGS)

smoke: ## what a first user does, in a fresh copy: install, start, create, list; PYTHON3=python3.11 chooses
	@$(ISOLATED); $(FIND_PYTHON); exec "$$python" -m tests.smoke

rig: .venv/.requirements-dev.txt ## start the service with a simulated Neon, to try what it survives
	@exec $(PYTHON) -m tests.rig

faults: .venv/.requirements-dev.txt ## inject faults under load, and count what was acknowledged and is lost; ARGS=--quick for less
	@$(ISOLATED); exec $(PYTHON) -m tests.faults $(ARGS)

bench: .venv/.requirements-dev.txt $(PEERS)/.venv/.requirements.txt ## the service beside its alternatives, for the READMEs: 15 minutes
	@$(ISOLATED); exec $(PYTHON) -m benchmarks --write $(ARGS)

bench-quick: .venv/.requirements-dev.txt ## the service beside the least it could cost: a minute; ARGS="--operations get"
	@$(ISOLATED); exec $(PYTHON) -m benchmarks floor service --rounds=1 --seconds=1 $(ARGS)

bench-scale: .venv/.requirements-dev.txt ## requests in 10 thousand and in 10 million rows; ARGS="--sizes 10000,1000000" for less
	@$(ISOLATED); exec $(PYTHON) -m benchmarks.scale $(ARGS)

bench-bulk: .venv/.requirements-dev.txt ## bulk requests beside the same SQL on a bare cursor: 2 minutes
	@$(ISOLATED); exec $(PYTHON) -m benchmarks.bulk --write $(ARGS)

clients: .venv/.requirements-dev.txt $(NODE_MODULES) ## generate clients from the contract, lint it, and call the service with them
	@$(ISOLATED); exec $(PYTHON) -m pytest tests/test_clients.py tests/test_generators.py tests/test_contract_lint.py $(ARGS)

contract: .venv/.requirements-dev.txt ## keep the contract of a release, unless it breaks clients of the last one
	@$(ISOLATED); exec $(PYTHON) -m tests.compatibility

check: .venv/.requirements-dev.txt ## what CI runs: format, lint, layers, types, tests with coverage, audit
	@$(PYTHON) -m ruff format --check
	@$(PYTHON) -m ruff check
	@$(PYTHON) -c 'from importlinter.cli import lint_imports_command; lint_imports_command()' --no-cache
	@$(PYTHON) -m mypy --strict app wsgi.py gunicorn.conf.py
	@$(MAKE) --no-print-directory test ARGS='$(SHARED) --cov=app --cov-report=term-missing:skip-covered'
	@$(MAKE) --no-print-directory audit

format: .venv/.requirements-dev.txt ## format the code and mend what lint can mend
	@$(PYTHON) -m ruff format
	@$(PYTHON) -m ruff check --fix

# A report is only written once every package has been looked up. Without one, the reason tells a
# service out of reach from a fault of our own.
audit: .venv/.requirements-dev.txt ## look for known weaknesses in what is pinned
	@rm -f .venv/audit.json; code=0; \
	output=$$($(PYTHON) -m pip_audit --requirement requirements.txt --requirement requirements-otel.txt \
	    --require-hashes --disable-pip \
	    --progress-spinner off --format json --output .venv/audit.json 2>&1) || code=$$?; \
	if [ -s .venv/audit.json ] && grep -q '"vulns"' .venv/audit.json; then \
	    echo "$$output"; \
	    [ $$code -eq 0 ] || $(PYTHON) -m json.tool .venv/audit.json | grep -B 3 -A 3 '"id":'; \
	    exit $$code; \
	elif [ -s .venv/audit.json ] || echo "$$output" \
	    | grep -Eq 'requests\.exceptions\.|urllib3\.exceptions\.|Could not connect|ServiceError|ConnectionError'; then \
	    echo "Audit skipped: the vulnerability service is out of reach (offline?)."; \
	else echo "$$output"; exit 1; fi

lock: .venv/.requirements-dev.txt ## pin the dependencies of pyproject.toml; ARGS=--upgrade for new versions
	@compile() { UV_CUSTOM_COMPILE_COMMAND="make lock" $(PYTHON) -m uv pip compile --quiet --universal \
	    --fork-strategy fewest --python-version 3.11 --generate-hashes --no-strip-extras --no-emit-index-url \
	    --no-emit-find-links $(ARGS) "$$@"; }; \
	compile pyproject.toml --output-file requirements.txt && \
	for extra in embedded otel; do \
	    $(PYTHON) -c 'import sys, tomllib; project = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
	        print(*project["optional-dependencies"][sys.argv[1]], sep="\n")' $$extra \
	        | compile - --constraints requirements.txt --output-file requirements-$$extra.txt || exit; \
	done && \
	compile pyproject.toml --all-extras --constraints requirements.txt \
	    --constraints requirements-embedded.txt --constraints requirements-otel.txt \
	    --output-file requirements-dev.txt && \
	compile $(PEERS)/requirements.in --output-file $(PEERS)/requirements.txt && \
	$(PYTHON) .ci/pin_extras.py $(LOCKS)

clean: ## remove .venv and every cache; the database stays
	@rm -rf .venv $(PEERS)/.venv tests/clients/node_modules .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# An interpreter that was upgraded away leaves a .venv that looks whole and runs nothing.
ifneq ($(WORKS),works)
.venv/.created: FORCE
endif
.venv/.created:
	@$(FIND_PYTHON); echo "Creating .venv with $$python"; "$$python" -m venv --clear .venv && touch $@

# The stamp comes last, so that an interrupted installation is done again.
.venv/.%: % .venv/.created
	@echo "Installing $<"
	@$(PIP) install --require-hashes --requirement $<
	@touch $@

# The benchmark's peers need what the service does not.
$(PEERS)/.venv/.requirements.txt: $(PEERS)/requirements.txt .venv/.created
	@echo "Installing $<"
	@$(PYTHON) -m venv --clear $(PEERS)/.venv
	@$(subst $(PYTHON),$(PEERS)/$(PYTHON),$(PIP)) install --require-hashes --requirement $<
	@touch $@

# The programs on Node.js that the tests of clients take; without npm these tests are skipped.
$(NODE_MODULES): tests/clients/package-lock.json
	@echo "Installing $<"
	@cd tests/clients && npm ci --loglevel=error --no-progress
	@touch $@
