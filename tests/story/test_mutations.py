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
"""The promise of exactly one run is guarded: what it rests on cannot be taken away unnoticed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = Path("src/airflow/providers/databricks_air")
FINDER = "tests/unit/lifecycle/test_find_or_submit.py"


@dataclass(frozen=True)
class Mutation:
    """Something that the promise rests on, and how to take it away.

    :param name: what it is.
    :param file: where it is, inside the package.
    :param line: what stands there.
    :param without: what stands there without it.
    :param guard: the test that must fail then, as arguments of pytest; or a row of the chaos table.
    """

    name: str
    file: str
    line: str
    without: str
    guard: tuple[str, ...]

    @property
    def command(self) -> list[str]:
        """The guard as a command."""
        if self.guard[0] == "--cause":
            return [sys.executable, "-m", "tests.story.chaos", "--trials", "1", "--slots", "1", *self.guard]
        # A guard may fail by waiting for ever.
        limit = ("--timeout=60", "--timeout-method=thread")
        return [sys.executable, "-m", "pytest", "-q", "-x", *limit, *self.guard]


MUTATIONS = (
    Mutation(
        "token",
        "lifecycle/find_or_submit.py",
        "token or known or self.identity.of_life(life).token(generation),",
        "token or __import__('secrets').token_hex(32),",
        (f"{FINDER}::test_a_second_worker_of_the_same_try_ends_up_on_the_same_run",),
    ),
    Mutation(
        "life in the token",
        "lifecycle/identity.py",
        'life="" if is_any_life else _life(context, policy, forgets)',
        'life=""',
        ("--cause", "clear-finished", "--mode", "sync"),
    ),
    Mutation(
        "store",
        "lifecycle/record.py",
        "value = self._patiently(lambda store: store.get(STORE_KEY))",
        "value = None",
        (f"{FINDER}::test_a_clear_starts_a_fresh_run_and_ends_the_old_one",),
    ),
    Mutation(
        "state query of the worker",
        "lifecycle/worker.py",
        "seen = None if timed_out else ask_with_limit(self._ask, ASK_SECONDS)",
        "seen = None",
        ("--cause", "mark-failed", "--mode", "sync"),
    ),
    Mutation(
        "state query of the trigger",
        "lifecycle/verdict.py",
        '        return Verdict(True, f"the task instance was set to {seen.state}")\n    if on_clear == "adopt":',
        '        pass\n    if on_clear == "adopt":',
        ("--cause", "mark-failed", "--mode", "deferrable"),
    ),
    Mutation(
        "deadline",
        "operators/air.py",
        "deadline=deadline_of(context, timeout.total_seconds()) if timeout is not None else None,",
        "deadline=None,",
        ("tests/story/test_first_run.py::test_execution_timeout_of_a_deferred_task_is_a_timeout",),
    ),
)


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("mutation", MUTATIONS, ids=[one.name for one in MUTATIONS])
def test_a_guard_fails_without_what_it_guards(mutation: Mutation, tmp_path: Path) -> None:
    """With one line taken away, the test that is named for it fails; and it fails because of that line."""
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    source = tmp_path / PACKAGE / mutation.file
    whole = source.read_text()
    assert whole.count(mutation.line) == 1
    env = {**os.environ, "PYTHONPATH": str(tmp_path / "src"), "PYTEST_ADDOPTS": ""}
    source.write_text(whole.replace(mutation.line, mutation.without))
    answer = subprocess.run(mutation.command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert answer.returncode == 1, answer.stdout + answer.stderr
