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
"""Tests of the Dag in nightly.py against the local AI Runtime: nothing is mocked, and no training runs."""

from __future__ import annotations

import pytest
from nightly import dag

from databricks_air_local import LocalAirRuntime


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look ten times a second: the Dag looks every 30 seconds."""
    monkeypatch.setattr(dag.get_task("train"), "polling_interval", 0.1)


def test_a_good_night(air: LocalAirRuntime) -> None:
    """The Dag succeeds when its training does."""
    air.on("nightly").succeeds(after=0.3, logs=["epoch 1"], metrics={"loss": [1.0, 0.5]})

    run = dag.test()

    assert run.state == "success"
    (submitted,) = air.runs()
    assert submitted["body"]["tasks"][0]["max_retries"] == 1


def test_a_retry_of_the_platform(air: LocalAirRuntime) -> None:
    """A second attempt that succeeds is enough."""
    air.on("nightly").fails(exit_code=137).succeeds()

    assert dag.test().state == "success"


def test_a_bad_night(air: LocalAirRuntime) -> None:
    """The Dag fails when every attempt does."""
    air.on("nightly").fails(message="GPU fell off the bus")

    run = dag.test()

    assert run.state == "failed"
    assert air.runs_alive == []
