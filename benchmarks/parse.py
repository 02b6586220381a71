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
"""What parsing a Dag file with 50 tasks costs: ``AirRunOperator`` beside ``EmptyOperator``.

Each file is executed in processes of its own, in turns, where Airflow and both operators are imported already, as in a
Dag processor that has parsed a file before; the time is that of executing the file, the processor's own work left out::

    python benchmarks/parse.py [turns]

Most of the difference is Airflow's own: it wraps the constructor of each class, and looks for XComs in each template
field. ``PlainOperator`` shows it: a ``BaseOperator`` with our arguments and template fields, which it only assigns.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from inspect import signature
from pathlib import Path

from airflow.providers.databricks_air.operators.air import AirRunOperator

TASKS = 50
TURNS = 9
LIMIT = 1.1

HEAD = """
from datetime import datetime
from airflow.providers.common.compat.sdk import DAG
{imported}
with DAG("measured", schedule=None, start_date=datetime(2026, 1, 1)):
    for number in range({tasks}):
        {task}
"""
# Airflow 2 has it in its core.
EMPTY = (
    "airflow.providers.standard.operators.empty"
    if find_spec("airflow.providers.standard")
    else "airflow.operators.empty"
)
GIVEN = 'task_id=f"train_{number}", config_path="train.yaml", deferrable=True'
SIDES = {
    "AirRunOperator": (
        "from airflow.providers.databricks_air.operators.air import AirRunOperator",
        f"AirRunOperator({GIVEN})",
    ),
    "PlainOperator": ("from plain_operator import PlainOperator", f"PlainOperator({GIVEN})"),
    "EmptyOperator": (
        f"from {EMPTY} import EmptyOperator",
        'EmptyOperator(task_id=f"train_{number}")',
    ),
}
NAMES = [name for name in signature(AirRunOperator.__init__).parameters if name not in {"self", "kwargs"}]
PLAIN = f"""
from airflow.providers.common.compat.sdk import BaseOperator
class PlainOperator(BaseOperator):
    template_fields = {AirRunOperator.template_fields!r}
    effective_config = None
    def __init__(self, *, {", ".join(f"{name}=None" for name in NAMES)}, **kwargs):
        super().__init__(**kwargs)
        {"; ".join(f"self.{name}_ = {name}" if name == "on_kill" else f"self.{name} = {name}" for name in NAMES)}
"""
# The best of several executions in a process: what else the machine does only ever adds.
PROGRAM = """
import sys, time, runpy
runpy.run_path(sys.argv[1])
best = float("inf")
for _ in range(10):
    start = time.process_time()
    runpy.run_path(sys.argv[1])
    best = min(best, time.process_time() - start)
print(best)
"""


def once(path: Path) -> float:
    """Return the processor seconds that executing a Dag file takes at best."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, str(path)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(path.parent)},
    )
    return float(done.stdout.split()[-1])


def main() -> int:
    """Measure both in turns, print the ratio, and fail when it is above the limit."""
    turns = int(sys.argv[1]) if len(sys.argv) > 1 else TURNS
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "plain_operator.py").write_text(PLAIN)
        paths = {}
        for name, (imported, task) in SIDES.items():
            paths[name] = Path(folder) / f"{name.lower()}.py"
            paths[name].write_text(HEAD.format(imported=imported, tasks=TASKS, task=task))
        seconds = [{name: once(path) for name, path in paths.items()} for _ in range(turns)]
    ratio, plain = (
        statistics.median(each["AirRunOperator"] / each[other] for each in seconds)
        for other in ("EmptyOperator", "PlainOperator")
    )
    print(f"{f'a Dag file with {TASKS} tasks of':<32}{'seconds':>9}")
    for name in SIDES:
        print(f"{name:<32}{statistics.median(each[name] for each in seconds):>9.4f}")
    print(f"beside PlainOperator {plain:.2f}")
    print(f"ratio {ratio:.2f}, limit {LIMIT}{'' if ratio <= LIMIT else '  MISSED'}")
    return int(ratio > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
