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

# Everything is made inside the tree: .venv/uv, .venv/oldest and .venv/newest.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
PYTHON ?= python3
UV := .venv/uv/bin/uv
export UV_LINK_MODE ?= hardlink

.PHONY: help venv
help:  ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

venv: .venv/oldest/.done .venv/newest/.done  ## Both test environments

$(UV):
	@$(PYTHON) -m venv .venv/uv
	@.venv/uv/bin/python -m pip install --quiet --disable-pip-version-check 'uv>=0.9'

.venv/%/.done: requirements/%.txt pyproject.toml | $(UV)
	@$(UV) venv --quiet --clear --python '>=3.10,<3.13' .venv/$*
	@$(UV) pip install --quiet --python .venv/$*/bin/python -r requirements/$*.txt
	@$(UV) pip install --quiet --python .venv/$*/bin/python --no-deps --editable .
	@touch $@
