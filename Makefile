# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#   http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing,
# software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY
# KIND, either express or implied.  See the License for the
# specific language governing permissions and limitations
# under the License.

# Everything that is made stays in the tree (.venv, .cache, docs/_build, dist);
# only uv's download cache is shared between trees, where the machine has a home for it.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV CONDA_PREFIX

PYTHON ?= python3
UV_VERSION := 0.13.8
UV := .venv/uv/bin/uv
BIN := .venv/newest/bin
# Airflow 2.11 runs on Python 3.10 to 3.12; one interpreter for both legs, where there is one, keeps them comparable.
LEG_PYTHON ?= >=3.10,<3.13
PYTHON_oldest = $(LEG_PYTHON)
PYTHON_newest = >=3.10,<3.15
# For each leg one more than there are processors: much of a story is waiting.
WORKERS ?= $(shell echo $$(( $$(nproc 2>/dev/null || echo 2) + 1 )))
# loadgroup: what shares a cluster or a built wheel stays in one worker.
PYTEST = python -m pytest -n $(WORKERS) --dist loadgroup -q
UV_HOME := $(or $(UV_CACHE_DIR),$(if $(XDG_CACHE_HOME),$(XDG_CACHE_HOME)/uv,$(if $(HOME),$(HOME)/.cache/uv)))
export UV_CACHE_DIR := $(shell [ -n "$(UV_HOME)" ] && mkdir -p "$(UV_HOME)" 2>/dev/null && [ -w "$(UV_HOME)" ] \
	&& echo "$(UV_HOME)" || echo "$(CURDIR)/.cache/uv")
export UV_PYTHON_DOWNLOADS ?= never
export UV_NO_PROGRESS := 1
# Importing Airflow makes its home; not in the home of whoever types make.
export AIRFLOW_HOME := $(CURDIR)/.cache/airflow
# uv trusts what the machine trusts and asks the index that pip asks, where the machine says so.
ifneq ($(wildcard /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/ca-bundle.pem /etc/ssl/cert.pem),)
export UV_SYSTEM_CERTS ?= 1
endif
ifdef PIP_INDEX_URL
export UV_DEFAULT_INDEX ?= $(PIP_INDEX_URL)
endif
# A real Airflow is half a dozen processes that import it; without bytecode each takes a minute.
export UV_COMPILE_BYTECODE := 1

define NO_PYTHON
No Python $(LEG_PYTHON) was found on this machine, and Airflow 2.11.2, the oldest leg of the tests, needs one.
Do one of these, then type the same command again:
  - install Python 3.12 so that `python3.12` is on the PATH;
  - name another interpreter:      make LEG_PYTHON=/path/to/python3.11 ...
  - let uv download one (network): make UV_PYTHON_DOWNLOADS=automatic ...
endef
export NO_PYTHON

.PHONY: help venv demo test test-quick test-long test-legs test-chaos bench check dist format lock provider-info clean \
	check-format check-lint check-types check-imports check-docs check-provider test-oldest test-newest test-local

help:  ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

demo: .venv/newest/.done  ## Run the example Dag on the local AI Runtime and show what happens
	@$(BIN)/python scripts/demo.py

test: check test-local  ## Check, then unit and story tests on the newest and the oldest Airflow
	@echo "tests: both legs side by side, since stories mostly wait; each is shown when it is done"
	@$(MAKE) --no-print-directory --keep-going -j2 --output-sync=target test-newest test-oldest

# The local AI Runtime knows no Airflow: one leg is enough, with its own settings in local/pyproject.toml.
test-local: .venv/newest/.done
	@echo "tests: the local AI Runtime"
	@cd local && ../$(BIN)/$(PYTEST) $(ARGS)

# What imports no Airflow (`plain`, see tests/conftest.py) says nothing about its version: one leg is enough.
test-newest: TESTS = not long
test-oldest: TESTS = not long and not plain
test-newest test-oldest: test-%: .venv/%/.done
	@echo "tests: the $* leg"
	@.venv/$*/bin/$(PYTEST) -m '$(TESTS)' $(ARGS)

# No cluster, no fresh environment: what tells within a minute whether a change holds.
test-quick: .venv/newest/.done  ## The unit and wire tests on the newest Airflow, without those that build or boot
	@$(BIN)/$(PYTEST) -m 'not long' --deselect tests/unit/test_wheel.py tests/unit tests/wire $(ARGS)

test-long: .venv/newest/.done .venv/oldest/.done test-chaos  ## The tests that take minutes, and the chaos table
	@HYPOTHESIS_PROFILE=explore .venv/newest/bin/$(PYTEST) -m long $(ARGS)
	@HYPOTHESIS_PROFILE=explore .venv/oldest/bin/$(PYTEST) -m 'long or plain' $(ARGS)
	@cd local && ../$(BIN)/$(PYTEST) -m long $(ARGS)

# Hours, or about as many MINUTES as are given; the records stay in .cache/chaos, and the table is made of those of this
# commit, whatever they say. redis-server, which CeleryExecutor needs, is a package of the system: without it those
# trials are left out by name.
CHAOS ?= --slots 8
MINUTES ?=
test-chaos: .venv/newest/.done .venv/oldest/.done .venv/between/.done .venv/stock/.done .venv/celery/.done  ## The chaos table of docs/reliability.rst alone; MINUTES=25 bounds it
	@rm -rf .cache/chaos; failed=0; \
	run() { leg=$$1; share=$$2; shift 2; \
		limit=$${MINUTES:+--minutes $$(( $${MINUTES:-0} * share / 100 ))}; \
		.venv/$$leg/bin/python -W ignore -m tests.story.chaos --records .cache/chaos/$$leg.json $$limit "$$@" $(CHAOS) \
		|| failed=1; }; export MINUTES="$(MINUTES)"; \
	run newest 52; \
	run celery 16 --executor CeleryExecutor --schedulers 2 --triggerers 2; \
	run oldest 12 --trials 5; \
	run between 12 --trials 3; \
	run stock 8 --stock --cause kill-at-submit --cause eviction --cause clear-submit --trials 5; \
	$(BIN)/python -m tests.story.chaos.publish .cache/chaos/*.json; exit $$failed

# An environment and three runs for each; LEGS="3.2.2-3.13 3.1.8-3.10" tries these only. What cannot be tried is named.
LEGS ?=
test-legs: .venv/newest/.done  ## A smoke on other versions of Airflow and Python, into docs/legs.inc (network)
	@$(BIN)/python -m scripts.legs $(LEGS)

# Each says what it misses; the target fails if any of them does.
bench: .venv/stock/.done  ## The benchmarks, ours beside the peer where there is one (network, once)
	@failed=0; for file in benchmarks/*.py; do \
		echo "== $$file"; .venv/stock/bin/python -W ignore $$file || failed=1; done; exit $$failed

check: .venv/newest/.done  ## Format, lint, types, import walls, docs; offline
	@$(MAKE) --no-print-directory --keep-going -j2 --output-sync=target \
		check-types check-docs check-imports check-format check-lint check-provider

check-format: .venv/newest/.done
	@$(BIN)/ruff format --quiet --check . || { echo "ruff format: type 'make format'"; exit 1; }

check-lint: .venv/newest/.done
	@$(BIN)/ruff check --quiet .

check-imports: .venv/newest/.done
	@$(BIN)/lint-imports --cache-dir .cache/import-linter >.cache/import-linter.log || { cat .cache/import-linter.log; exit 1; }

check-types: .venv/newest/.done
	@$(BIN)/mypy --no-error-summary src local scripts tests benchmarks

check-docs: .venv/newest/.done
	@$(BIN)/sphinx-build -W --keep-going -q -b html -d .cache/doctrees docs docs/_build

check-provider: .venv/newest/.done
	@$(BIN)/python scripts/provider_info.py --check

format: .venv/newest/.done  ## Format the code and fix what can be fixed
	@$(BIN)/ruff check --quiet --fix-only . && $(BIN)/ruff format --quiet .

provider-info: .venv/newest/.done  ## Make get_provider_info.py from provider.yaml
	@$(BIN)/python scripts/provider_info.py

lock: $(UV)  ## Compile requirements/*.in to *.txt again (network)
	@for leg in newest oldest beside-newest beside-oldest between stock celery; do \
		$(UV) pip compile --quiet --upgrade --universal --python-version 3.10 --no-header \
			requirements/$$leg.in -o requirements/$$leg.txt; done

dist: $(UV)  ## Wheel and sdist of both distributions, into dist/ (network)
	@rm -rf dist && $(UV) build --quiet --out-dir dist . && $(UV) build --quiet --out-dir dist local && ls dist

clean:  ## Remove everything that was made here, environments included
	@rm -rf .venv .cache build dist docs/_build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

venv: .venv/oldest/.done .venv/newest/.done  ## Both test environments

$(UV):
	@echo "environment: uv $(UV_VERSION)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
		|| { echo "$(PYTHON) is older than Python 3.10: make PYTHON=/path/to/python3.12 ..."; exit 1; }
	@$(PYTHON) -m venv --clear .venv/uv \
		|| { echo "'$(PYTHON) -m venv' does not work: install the venv package of your Python"; exit 1; }
	@.venv/uv/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

# An environment of one leg, with this package as a link to src.
.venv/newest/.done .venv/oldest/.done .venv/between/.done .venv/stock/.done .venv/celery/.done: .venv/%/.done: requirements/%.txt pyproject.toml local/pyproject.toml | $(UV)
	@echo "environment: $(@D) ($$(grep -m1 -o '^apache-airflow==[0-9.]*' $<))"
	@mkdir -p .cache
	@[ -x $(@D)/bin/python ] || $(UV) venv --quiet --clear --python '$(LEG_PYTHON)' $(@D) 2>/dev/null \
		|| $(UV) venv --quiet --clear --python '$(PYTHON_$*)' $(@D) || { echo "$$NO_PYTHON"; exit 1; }
	@$(UV) pip sync --quiet --offline --python $(@D)/bin/python $< 2>/dev/null \
		|| $(UV) pip sync --quiet --python $(@D)/bin/python $<
	@$(UV) pip install --quiet --python $(@D)/bin/python --no-deps --no-build-isolation --editable . --editable local
	@touch $@
