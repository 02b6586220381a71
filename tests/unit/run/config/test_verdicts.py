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
"""Random configurations: the loader, the JSON Schema and the service agree, or the reason is known."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from airflow.providers.databricks_air.run import ConfigError, RunConfig, load_run_config
from airflow.providers.databricks_air.run.config.schema.json_schema import json_schema
from airflow.providers.databricks_air.run.launch.payload import submit_body
from databricks_air_local.api.jobs.submission import check_submission
from tests.unit.run.config.schema.test_json_schema import Validator
from tests.unit.run.run_documents import broken, valid

SCHEMA = Validator(json_schema())
QUICK = settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
LONG = settings(max_examples=10_000, deadline=None, suppress_health_check=list(HealthCheck))

#: What the loader refuses and no JSON Schema sees, by a part of what is told.
UNSEEN = {
    "is used twice": "names are compared with each other",
    "is not a node of this run": "ranks are compared with the number of nodes",
    "already belongs to container": "ranks are compared with each other",
    "no container runs on node": "ranks are compared with the number of nodes",
    "is in env_variables and in secrets": "the keys of two mappings are compared",
    "is not a multiple of": "digits in quotes are not calculated with",
    "is less than": "digits in quotes are not calculated with",
    "is more than": "digits in quotes are not calculated with",
    "is too large": "digits in quotes are not calculated with",
    "the number is too large": "JSON has no largest number",
    "two keys have the same text": "JSON has one kind of keys",
    "levels deep": "JSON Schema has no limit of depth",
    ".0' may only hold": "JSON does not part 2.0, which is no name, from 2, which is one",
    "does not exist": "the file of an older form is looked for",
}


def verdict(document: Any) -> tuple[RunConfig | None, list[str]]:
    """Return what the loader makes of *document*, and what it tells."""
    try:
        return load_run_config(document), []
    except ConfigError as error:
        return None, [item.message for item in error.errors]


def service_refuses(config: RunConfig) -> str:
    """Return what the local AI Runtime says about the submission of *config*; empty when it takes it."""
    body = json.loads(json.dumps(submit_body(config, launch_dir="/Workspace/x", token="t" * 64)))
    try:
        check_submission(body, lambda path: True)
    except Exception as refusal:  # noqa: BLE001  # whatever it says is the answer
        return str(refusal) or repr(refusal)
    return ""


def agree(document: Any) -> None:
    """Fail when the three verdicts differ without a known reason."""
    try:
        plain = json.loads(json.dumps(document))
    except (TypeError, ValueError, RecursionError):
        return
    config, told = verdict(document)
    seen = SCHEMA.is_valid(plain)
    if config is not None:
        assert seen, [error.message for error in SCHEMA.iter_errors(plain)]
        assert service_refuses(config) == ""
    elif seen:
        assert any(part in message for message in told for part in UNSEEN), told


@QUICK
@given(valid())
def test_what_is_valid_is_valid_everywhere(document: dict[str, Any]) -> None:
    """A configuration that loads is taken by the JSON Schema and, as a submission, by the service."""
    agree(document)


@QUICK
@given(broken())
def test_verdicts_agree(document: Any) -> None:
    """A configuration with anything in the place of some values has one verdict, or a reason that is known."""
    agree(document)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", ["valid", "broken"])
def test_verdicts_agree_at_length(kind: str) -> None:
    """The verdicts agree on 10,000 configurations of each kind."""
    LONG(given({"valid": valid, "broken": broken}[kind]())(agree))()
