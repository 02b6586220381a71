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
"""A few rows of the chaos table, on a real Airflow with real signals; `make test-long` makes all of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import fasteners
import pytest

from tests.story.chaos.causes import CAUSES, Cause, Mode
from tests.story.chaos.runner import LEG, Planned, chaos

ROWS = [(row, mode) for row in CAUSES if row.story for mode in row.modes]
SEED = 20261121


@pytest.fixture(scope="session")
def records(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Make all trials in one Airflow, once for all workers of pytest."""
    shared = tmp_path_factory.getbasetemp().parent
    done = shared / "exactly-one-run.json"
    with fasteners.InterProcessLock(shared / "exactly-one-run.lock"):
        if not done.exists():
            done.write_text(json.dumps(_make(tmp_path_factory.mktemp("chaos"))))
    found: list[dict[str, Any]] = json.loads(done.read_text())
    return found


def _make(directory: Path) -> list[dict[str, Any]]:
    with chaos(directory, SEED, slots=6) as arena:
        return arena.run([Planned(row, mode, row.story) for row, mode in ROWS])


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("row", "mode"), ROWS, ids=[f"{row.key}-{mode}" for row, mode in ROWS])
def test_exactly_one_run(row: Cause, mode: Mode, records: list[dict[str, Any]]) -> None:
    """What the table says of a cause happens: no duplicate, no orphan, no wrong outcome."""
    mine = [r for r in records if (r["cause"], r["mode"]) == (row.key, mode)]
    assert len(mine) == len(row.story)
    for record in mine:
        faults = {name: record[name] for name in ("duplicates", "orphans", "wrong")}
        assert faults == dict.fromkeys(faults, 0), f"{record}\nmust be: {row.expected(mode, LEG)}"
