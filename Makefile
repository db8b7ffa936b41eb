# Every command of this repository. `make` alone lists them.
#
# Paths are relative, so a checkout may live in a folder with spaces. Tools are called as `python -m tool`, so a checkout
# may be moved. Variables given to make (ONCE=1 DATA=folder OWNER=address) reach the programs through the environment.

PYTHON ?= python3
# Whoever names a Python, on the command line or in the environment, gets that one or none.
NAMED := $(filter-out file,$(origin PYTHON))
SHELL := /bin/sh
PY := .venv/bin/python
PIP := $(PY) -m pip --quiet --quiet --disable-pip-version-check --no-input install --require-hashes
# Mail and names are Unicode whatever the terminal's locale is.
export PYTHONUTF8 ?= 1

# Pure tests: a process for each core. The others: one more, each with a storage emulator of its own, since some of them
# wait. Above four they gain little and cost memory.
PURE := --numprocesses logical --maxprocesses 4 --dist worksteal
PARALLEL := --numprocesses auto --maxprocesses 4 --dist worksteal

RUNTIME := .venv/runtime.stamp
ADMIN := .venv/admin.stamp
TOOLS := .venv/tools.stamp
AZURITE := dev/node_modules/azurite.stamp

.DEFAULT_GOAL := help
.PHONY: help run test check bench soak lock azurite clean named

help:
	@echo 'make TARGET, where TARGET is one of'
	@awk 'BEGIN { FS = ":.*## " } /^[a-z]+:.*## / { printf "  %-8s %s\n", $$1, $$2 }' Makefile

run: $(RUNTIME) $(ADMIN) $(AZURITE) ## the sample firm, end to end, until Ctrl-C (ONCE=1 ends after the first sync; DATA=folder takes your mail; OWNER=address)
	@exec $(PY) -m dev.run

test: $(TOOLS) $(AZURITE) ## every test (ARGS="-k capture" narrows them)
ifdef ARGS
	@$(PY) -m pytest $(ARGS)
else
	@$(PY) -m pytest $(PURE) --cov --cov-report=term tests/core tests/wire
	@$(PY) -m pytest $(PARALLEL) tests/contracts tests/functions tests/stories tests/web tests/admin tests/machines tests/foreign
endif

check: $(TOOLS) ## style, format and types
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy

bench: $(TOOLS) $(AZURITE) ## the figures of docs/performance.md, as a table and JSON (ARGS="--only cold" measures one)
	@exec $(PY) -m bench $(ARGS)

soak: $(TOOLS) $(AZURITE) ## the generated tests with many more examples: minutes, not seconds
	@SOAK=1 HYPOTHESIS_PROFILE=soak $(PY) -m pytest tests/core tests/contracts tests/machines $(ARGS)

lock: $(TOOLS) ## resolve the pinned requirements again after an edit of requirements/*.in (UPGRADE=1 takes newer releases)
	@for one in 'runtime.in requirements.txt 3.11' 'admin.in requirements/admin.txt 3.11' \
	    'dev.in requirements/dev.txt 3.11' \
	    'functions-runtime.in requirements/functions-runtime.txt 3.13 --no-deps'; do \
	  set -- $$one; from=requirements/$$1 to=$$2 python=$$3; shift 3; \
	  UV_CUSTOM_COMPILE_COMMAND='make lock' $(PY) -m uv pip compile --quiet --universal --generate-hashes \
	    --no-emit-index-url --no-emit-find-links $(if $(UPGRADE),--upgrade) \
	    --python-version $$python "$$@" $$from --output-file $$to || exit 1; \
	done
	@cd dev && npm install --package-lock-only --omit-lockfile-registry-resolved --loglevel=error --no-audit --no-fund

azurite: $(AZURITE) ## the storage emulator alone on its usual ports, for `func start` (data in .data/azurite)
	@mkdir -p .data/azurite
	@exec node dev/node_modules/azurite/dist/src/azurite.js --silent --disableTelemetry --skipApiVersionCheck \
	  --location .data/azurite --blobHost 127.0.0.1 --queueHost 127.0.0.1 --tableHost 127.0.0.1

clean: ## remove what make installed, all caches and the demo's data
	@rm -rf .venv dev/node_modules .data .hypothesis .mypy_cache .ruff_cache .pytest_cache .coverage
	@find sync dev tests bench -type d -name __pycache__ -not -path '*/node_modules/*' -prune -exec rm -rf {} + 2>/dev/null || true

$(PY):
	@python=; for one in "$(PYTHON)" $(if $(NAMED),,python3.13 python3.12 python3.11); do \
	  if "$$one" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then \
	    python=$$one; break; \
	  fi; \
	done; \
	if [ -z "$$python" ]; then \
	  found=$$("$(PYTHON)" --version 2>&1) || found='no Python that starts'; \
	  echo "Accord needs Python 3.11, 3.12 or 3.13. $(PYTHON) is $$found; name another one: make PYTHON=/path/to/python" >&2; \
	  exit 1; \
	fi; \
	echo "Making .venv with $$("$$python" --version 2>&1)."; \
	"$$python" -m venv --clear .venv || { \
	  rm -rf .venv; \
	  echo "$$python cannot make a virtual environment. On Debian and Ubuntu: apt-get install python3-venv" >&2; \
	  exit 1; \
	}

ifeq ($(origin PYTHON),command line)
$(PY): | named
endif

named:
	@which='import sys; print(sys.version_info[:3], sys.base_prefix)'; \
	if [ -x $(PY) ] && [ "$$("$(PYTHON)" -c "$$which" 2>/dev/null)" != "$$($(PY) -c "$$which")" ]; then \
	  echo ".venv was made with another Python than $(PYTHON): remove .venv, or name no Python." >&2; \
	  exit 1; \
	fi

$(RUNTIME): requirements.txt | $(PY)
	@echo 'Installing the pinned requirements.'
	@$(PIP) -r requirements.txt
	@touch $@

$(ADMIN): requirements/admin.txt $(RUNTIME)
	@echo 'Installing the pinned requirements of the command line.'
	@$(PIP) -r requirements/admin.txt
	@touch $@

# Microsoft's worker library says Python 3.13 or newer, yet its check of function_app.py runs on 3.11 and 3.12 too.
$(TOOLS): requirements/dev.txt requirements/functions-runtime.txt $(RUNTIME) $(ADMIN)
	@echo 'Installing the pinned tools for tests and checks.'
	@$(PIP) -r requirements/dev.txt
	@$(PIP) --no-deps --ignore-requires-python -r requirements/functions-runtime.txt
	@touch $@

$(AZURITE): dev/package.json dev/package-lock.json
	@version=$$(node -p 'process.versions.node' 2>/dev/null) || { \
	  echo 'The storage emulator needs Node 18 or newer, and there is no node here. See https://nodejs.org' >&2; exit 1; }; \
	if [ "$${version%%.*}" -lt 18 ]; then \
	  echo "The storage emulator needs Node 18 or newer; this is Node $$version." >&2; exit 1; fi; \
	command -v npm >/dev/null || { echo 'The storage emulator is installed by npm, and there is no npm here.' >&2; exit 1; }
	@echo 'Installing the storage emulator.'
	@cd dev && npm ci --loglevel=error --no-audit --no-fund --no-progress >/dev/null
	@touch $@
