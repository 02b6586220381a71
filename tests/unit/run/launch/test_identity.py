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
"""Who asks for a run, and the names made from it."""

from __future__ import annotations

from dataclasses import astuple, replace
from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from airflow.providers.databricks_air.run.launch.artifacts import Artifact
from airflow.providers.databricks_air.run.launch.identity import TaskIdentity, launch_directory

CONFIG: Any = SimpleNamespace(experiment_name="demo", mlflow_run_name=None)
identities = st.builds(
    TaskIdentity, st.text(), st.text(), st.text(), st.text(), st.integers(-1, 3), st.text(max_size=3)
)


@given(identities, st.integers(0, 9))
def test_a_token_fits_the_api(identity: TaskIdentity, generation: int) -> None:
    """A token is 64 hex characters, and the same every time."""
    token = identity.token(generation)
    assert len(token) == 64
    assert set(token) <= set("0123456789abcdef")
    assert token == replace(identity).token(generation)


@given(identities, identities, st.integers(0, 3), st.integers(0, 3))
def test_tokens_differ_when_anything_differs(a: TaskIdentity, b: TaskIdentity, m: int, n: int) -> None:
    """Two tokens are equal only for the same identity and generation."""
    assert (a.token(m) == b.token(n)) == ((astuple(a), m) == (astuple(b), n))


def test_the_token_is_pinned() -> None:
    """The recipe never changes: a new release must find the runs that the old one submitted."""
    identity = TaskIdentity("dag", "manual__1", "/2026-01-01T00:00:00+00:00", "train", -1, "2")
    assert identity.token(0) == ("d9e8c98140f1919ec3232059d434ac1256730c7859326439e2377a85a2854852")


def test_a_repeated_launch_writes_to_the_same_directory() -> None:
    """Order of the artifacts does not matter; their content and the token do."""
    one, two = Artifact("command.sh", b"echo"), Artifact("env_vars.json", b"[]")
    directory = launch_directory("/home", CONFIG, "t", [one, two])
    assert directory == launch_directory("/home", CONFIG, "t", [two, one])
    assert directory.startswith("/home/.air/cli_launch/demo/demo_")
    assert directory != launch_directory("/home", CONFIG, "u", [one, two])
    assert directory != launch_directory("/home", CONFIG, "t", [one])
    assert directory != launch_directory("/home", CONFIG, "t", [replace(one, content=b"echo2"), two])
