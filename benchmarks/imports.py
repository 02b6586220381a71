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
"""What a Dag file pays for importing the operator: ours beside the stock operator of the Databricks provider.

Each is imported in processes of its own, in turns, after what every Dag file imports anyway (Airflow's SDK)::

    python benchmarks/imports.py [turns]

The peer is ``apache-airflow-providers-databricks``; without it there is nothing to compare with.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from importlib.util import find_spec

OURS = "airflow.providers.databricks_air.operators.air"
PEER = "airflow.providers.databricks.operators.databricks"
TURNS = 9
LIMIT = 0.1

PROGRAM = """
import sys, time
from airflow.providers.common.compat.sdk import BaseHook, BaseOperator, BaseOperatorLink, XCom, conf
before, start = set(sys.modules), time.perf_counter()
import {module}
print(time.perf_counter() - start, len(set(sys.modules) - before))
"""


def once(module: str) -> tuple[float, int]:
    """Import *module* in a process of its own; return the seconds that it adds, and the modules."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM.format(module=module)],
        capture_output=True,
        text=True,
        check=True,
    )
    seconds, modules = done.stdout.split()[-2:]
    return float(seconds), int(modules)


def main() -> int:
    """Measure both in turns, print the ratio, and fail when it is above the limit."""
    if find_spec("airflow.providers.databricks") is None:
        print("apache-airflow-providers-databricks is not installed here: nothing to compare with")
        return 0
    turns = int(sys.argv[1]) if len(sys.argv) > 1 else TURNS
    pairs = [(once(OURS), once(PEER)) for _ in range(turns + 1)][1:]
    ours, peer = (statistics.median(pair[side][0] for pair in pairs) for side in (0, 1))
    ratio = statistics.median(own[0] / other[0] for own, other in pairs)
    print(f"{'import of':<56}{'seconds':>9}{'modules':>9}")
    print(f"{OURS:<56}{ours:>9.4f}{pairs[0][0][1]:>9}")
    print(f"{PEER:<56}{peer:>9.4f}{pairs[0][1][1]:>9}")
    print(f"ratio {ratio:.2f}, limit {LIMIT}{'' if ratio <= LIMIT else '  MISSED'}")
    return int(ratio > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
