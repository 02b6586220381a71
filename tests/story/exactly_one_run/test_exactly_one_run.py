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
"""A few rows of the reliability table, on a real Airflow with real signals; `make test-chaos` makes all of them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import fasteners
import pytest

from tests.story.airflow_cluster import missing_for_celery
from tests.story.chaos.causes import Cause, Executor, Mode
from tests.story.chaos.rows import CAUSES, SEAMS, cause
from tests.story.chaos.runner import LEG, Ground, Planned, chaos

# One worker makes the trials; another would only wait for them.
pytestmark = pytest.mark.xdist_group("exactly-one-run")

ROWS = [(row, mode) for row in CAUSES for mode in row.story]
SEED = 20261121
FAULTS = ("duplicates", "orphans", "extra_tries", "wrong")


@pytest.fixture(scope="session")
def records(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Make all trials in one Airflow, once for all workers of pytest."""
    base = tmp_path_factory.getbasetemp()
    # Only a worker of xdist has a directory of its own below the one of this session.
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    done = shared / "exactly-one-run.json"
    with fasteners.InterProcessLock(shared / "exactly-one-run.lock"):
        if not done.exists():
            done.write_text(json.dumps(_make(tmp_path_factory.mktemp("chaos"), "LocalExecutor")))
    found: list[dict[str, Any]] = json.loads(done.read_text())
    return found


def _make(directory: Path, executor: Executor) -> list[dict[str, Any]]:
    with chaos(Ground(directory, slots=len(ROWS), executor=executor), SEED) as arena:
        return list(arena.run([Planned(row, mode, (0,)) for row, mode in ROWS]))


def _check(row: Cause, mode: Mode, records: list[dict[str, Any]]) -> None:
    mine = [r for r in records if (r["cause"], r["mode"]) == (row.key, mode)]
    assert len(mine) == 1
    if all(record["thrown"] for record in mine):
        pytest.skip(f"nothing was hurt: {mine[0]['thrown']}")
    for record in mine:
        faults = {name: record[name] for name in FAULTS}
        assert not any(faults.values()), f"{faults}: {record}\nmust be: {row.expected(mode, LEG)}"


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("row", "mode"), ROWS, ids=[f"{row.key}-{mode}" for row, mode in ROWS])
def test_exactly_one_run(row: Cause, mode: Mode, records: list[dict[str, Any]]) -> None:
    """What the table says of a cause happens: no duplicate, no orphan, no wrong outcome, no further try."""
    _check(row, mode, records)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("promise", SEAMS)
def test_seams(promise: str, tmp_path: Path) -> None:
    """What happens between two parts of a task's life keeps each promise; one trial for every mode."""
    rows = [cause(key) for key in SEAMS[promise]]
    with chaos(Ground(tmp_path, slots=6), SEED) as arena:
        records = list(arena.run([Planned(row, mode, (0,)) for row in rows for mode in row.modes]))
    broken = [one for one in records if any(one[name] for name in FAULTS) and not one["thrown"]]
    assert not broken, json.dumps(broken, indent=1)
    assert any(not one["thrown"] for one in records), "nothing was hurt"


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.skipif(bool(missing_for_celery()), reason=f"CeleryExecutor needs {missing_for_celery()}")
def test_exactly_one_run_with_celery(tmp_path: Path) -> None:
    """The same rows hold with CeleryExecutor, redis and PostgreSQL."""
    records = _make(tmp_path, "CeleryExecutor")
    for row, mode in ROWS:
        _check(row, mode, records)
