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
"""What holds for every input of ``load_run_config``, however odd."""

from __future__ import annotations

import contextlib
import resource
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow.providers.databricks_air.run import ConfigError, load_run_config
from tests.unit.run.run_documents import NONSENSE, OVERRIDES, YAML_LIKE, broken, valid

if TYPE_CHECKING:
    from collections.abc import Iterator

SECONDS = 2.0
MEBIBYTES = 100
QUICK = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
LONG = settings(max_examples=25_000, deadline=None, suppress_health_check=list(HealthCheck))
NOWHERE = Path("/nonexistent")

ANYTHING = {
    "broken documents": broken(),
    "nonsense in Python": NONSENSE,
    "text like YAML": YAML_LIKE,
    "bytes": st.binary(max_size=200),
}


@contextlib.contextmanager
def bounded() -> Iterator[None]:
    """Fail when the block takes too much time, or the peak of memory grows by too much, of this process."""
    before, start = _peak(), time.process_time()
    yield
    assert time.process_time() - start < SECONDS
    assert _peak() - before < MEBIBYTES * 2**20


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _survives(source: Any, overrides: Any) -> None:
    with bounded():
        try:
            config = load_run_config(source, overrides=overrides, base_dir=NOWHERE)
        except ConfigError as error:
            told = error.errors
        else:
            told = ()
            assert load_run_config(config.to_yaml()) == config
    assert all(error.message for error in told)


def _round_trip(document: dict[str, Any]) -> None:
    config = load_run_config(document)
    again = load_run_config(config.to_yaml())
    assert again == config
    assert again.to_yaml() == config.to_yaml()


@QUICK
@given(valid())
def test_what_the_models_accept_round_trips_through_yaml(document: dict[str, Any]) -> None:
    """A mapping that loads gives a document that loads to the same configuration."""
    _round_trip(document)


@pytest.mark.parametrize("kind", ANYTHING)
def test_nothing_but_config_errors(kind: str) -> None:
    """Whatever the input, the loader answers with a configuration or a ConfigError, in bounded time."""
    QUICK(given(ANYTHING[kind], OVERRIDES)(_survives))()


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_what_the_models_accept_round_trips_through_yaml_at_length() -> None:
    """A mapping that loads gives a document that loads to the same configuration, in 25,000 cases."""
    LONG(given(valid())(_round_trip))()


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", ANYTHING)
def test_nothing_but_config_errors_at_length(kind: str) -> None:
    """The loader answers 25,000 inputs of each kind with a configuration or a ConfigError."""
    LONG(given(ANYTHING[kind], OVERRIDES)(_survives))()
