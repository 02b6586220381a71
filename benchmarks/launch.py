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
"""What a launch costs, beside the ``air run`` command of the ``databricks-air`` package, on one local server.

Run ``python benchmarks/launch.py`` with the interpreter of ``.venv/newest``. The peer gets an environment of its own
below ``.venv/peer``. Every line is one measurement: ours, the peer's, their ratio, the bar, and whether it is held;
the exit code is 1 when one is missed. ``benchmarks/fleet.py`` has the same rows in its table.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from fleet_parts.table import Row

from airflow.providers.databricks_air.api.http.client import SyncClient
from airflow.providers.databricks_air.api.http.credentials import TokenCredentials
from airflow.providers.databricks_air.api.launch.launch import launch
from airflow.providers.databricks_air.run import load_run_config
from airflow.providers.databricks_air.run.code.snapshot import take_snapshot
from airflow.providers.databricks_air.run.config.run_config import CodeSource
from databricks_air_local import LocalAirRuntime

if TYPE_CHECKING:
    from databricks_air_local.remote import Recorded

TREE = Path(__file__).resolve().parent.parent
PEER = TREE / ".venv" / "peer"
PEER_VERSION = "1.2.1"
LATENCY = 0.05
FAR = 0.5
"""A latency in seconds at which the round trips are counted: what is sent together is sent within it."""
MEBIBYTE = 1024 * 1024
PACKED = (1, 20, 200)
CONFIG = """\
experiment_name: demo
compute: {{accelerator_type: GPU_1xA10, num_accelerators: 1}}
command: "true"
env_variables: {{A: "1"}}
parameters: {{lr: 0.1}}
code_source:
  type: snapshot
  snapshot: {{root_path: {root}{pin}}}
"""
PEER_PACKING = """\
import sys, time
from pathlib import Path
import cli.utils
started = time.perf_counter()
cli.utils.create_plain_tarball(Path(sys.argv[1]), sys.argv[2])
print(time.perf_counter() - started)
"""


def main() -> int:
    """Measure everything."""
    found = []
    for row in rows():
        print(" | ".join(row.cells()), flush=True)
        found.append(row)
    return int(any(row.verdict == "missed" for row in found))


def rows() -> Iterator[Row]:
    """Give the measurements, one after the other."""
    make_peer()
    with tempfile.TemporaryDirectory(prefix="air-benchmark-") as name:
        directory = Path(name)
        yield from round_trips(directory)
        for size in PACKED:
            yield from packing(directory / str(size), size)
        yield unchanged(directory)


def make_peer() -> None:
    """Make the peer's environment, once."""
    if (PEER / "bin" / "air").exists():
        return
    uv = TREE / ".venv" / "uv" / "bin" / "uv"
    subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, PEER], check=True)
    package = f"databricks-air=={PEER_VERSION}"
    subprocess.run(
        [uv, "pip", "install", "--quiet", "--python", PEER / "bin" / "python", package], check=True
    )


def round_trips(directory: Path) -> Iterator[Row]:
    """Measure the way from the first request to the answer of submit, with latency on every request."""
    code = directory / "code"
    for number in range(300):
        path = code / f"part{number % 10}" / f"module{number}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"VALUE = {number}\n" * 50)
    commit = committed(code)
    pinned = directory / "pinned.yaml"
    pinned.write_text(CONFIG.format(root=code, pin=f", git: {{commit: {commit}}}"))
    changed = directory / "changed.yaml"
    changed.write_text(CONFIG.format(root=code, pin=""))
    cases = (("an unchanged snapshot", pinned, 3), ("300 changed files", changed, 4))

    def both(air: LocalAirRuntime, config: Path) -> tuple[list[Recorded], list[Recorded]]:
        (code / "part0" / "module0.py").write_text(f"VALUE = {time.time_ns()}\n")
        return ours(air, config), peers(air, config)

    for latency in (FAR, LATENCY):
        with LocalAirRuntime(directory / f"server{latency}", latency=latency) as air:
            air.on("*").succeeds()
            # The first launch of a machine, and into a home, has a step more of each.
            both(air, changed)
            both(air, pinned)
            for what, config, limit in cases:
                mine, theirs = both(air, config)
                if latency == FAR:
                    depths = (critical_path(each, latency) for each in (mine, theirs))
                    yield Row(f"launch with {what}", "round trips", *depths, most=limit)
                else:
                    took = (seconds(each, latency) for each in (mine, theirs))
                    yield Row(f"launch with {what}, 50 ms latency", "seconds", *took)


def committed(code: Path) -> str:
    """Make *code* a repository with one commit and return its id."""
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.com"]
    for arguments in (["init", "-q"], ["add", "."], [*identity, "commit", "-qm", "all"]):
        subprocess.run(["git", *arguments], cwd=code, check=True)
    return subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=code, check=True, capture_output=True, text=True
    ).stdout.strip()


def ours(air: LocalAirRuntime, config: Path) -> list[Recorded]:
    """Launch a run with this package and return the requests up to submit."""
    air.clear_requests()
    client = SyncClient(TokenCredentials(air.url, air.token))
    launch(client, load_run_config(config), token=f"benchmark-{time.time_ns()}")
    client.close()
    return up_to_submit(air.requests())


def peers(air: LocalAirRuntime, config: Path) -> list[Recorded]:
    """Launch a run with the peer and return the requests up to submit."""
    air.clear_requests()
    environment = {
        **os.environ,
        "DATABRICKS_HOST": air.url,
        "DATABRICKS_TOKEN": air.token,
        "HOME": str(config.parent),
    }
    subprocess.run([PEER / "bin" / "air", "run", config], env=environment, check=True, capture_output=True)
    return up_to_submit(air.requests())


def up_to_submit(requests: list[Recorded]) -> list[Recorded]:
    """Return the requests until the submission."""
    last = next(index for index, request in enumerate(requests) if request.path.endswith("/jobs/runs/submit"))
    return requests[: last + 1]


def ended(request: Recorded, latency: float) -> float:
    """Return when the answer of a request was sent."""
    return request.time + request.duration + latency


def critical_path(requests: list[Recorded], latency: float) -> int:
    """Return the length of the longest chain of requests that wait for each other."""
    chains: list[int] = []
    for index, request in enumerate(requests):
        before = [chains[i] for i in range(index) if ended(requests[i], latency) <= request.time + 0.001]
        chains.append(1 + max(before, default=0))
    return chains[-1]


def seconds(requests: list[Recorded], latency: float) -> float:
    """Return the seconds from the first request to the answer of the last."""
    return ended(requests[-1], latency) - requests[0].time


def packing(directory: Path, megabytes: int) -> Iterator[Row]:
    """Measure the packing of so many MiB of source and binaries, the look at the tree included."""
    tree, archive = directory / "tree", directory / "archive.tar.gz"
    fill(tree, megabytes * MEBIBYTE)

    def mine() -> float:
        with timed() as elapsed, archive.open("wb") as file:
            take_snapshot(CodeSource(root_path=str(tree)), directory).write_archive(file)
        return elapsed()

    def theirs() -> float:
        command = [str(part) for part in (PEER / "bin" / "python", "-c", PEER_PACKING, tree, archive)]
        return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])

    mine()
    times = 3 if megabytes < 100 else 1
    own = min(mine() for _ in range(times))
    packed = archive.stat().st_size / MEBIBYTE
    peer = min(theirs() for _ in range(times))
    what = f"packing {megabytes} MiB of code"
    yield Row(what, "seconds", own, peer, share=3.0, is_inverse=True)
    yield Row(what, "MiB of the archive", packed, archive.stat().st_size / MEBIBYTE, share=1.1)


def fill(tree: Path, size: int) -> int:
    """Copy installed packages, source and binaries, until there are *size* bytes."""
    total = 0
    packages = Path(sysconfig.get_paths()["purelib"])
    for file in sorted(packages.rglob("*")):
        # A single file of half the size would measure the compression alone.
        is_fit = file.is_file() and "__pycache__" not in file.parts and file.stat().st_size <= size / 4
        if total >= size or not is_fit:
            continue
        target = tree / file.relative_to(packages)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
        total += target.stat().st_size
    return total


def unchanged(directory: Path) -> Row:
    """Measure the second look at 10,000 files."""
    tree = directory / "many"
    for number in range(10_000):
        path = tree / f"d{number % 300}" / f"f{number}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"x = {number}\n" * (number % 200 + 1))
    source = CodeSource(root_path=str(tree))
    take_snapshot(source, directory)
    # Files that were written a moment ago are not trusted yet; the second look remembers them.
    take_snapshot(source, directory)

    def look() -> float:
        with timed() as elapsed:
            take_snapshot(source, directory)
        return elapsed()

    found = statistics.median(look() for _ in range(5)) * 1000
    return Row("local work for 10,000 unchanged files", "ms", found, most=300.0)


@contextmanager
def timed() -> Iterator[Callable[[], float]]:
    """Give a function that returns the seconds that the block took."""
    started = time.perf_counter()
    end: list[float] = []
    yield lambda: end[0] - started
    end.append(time.perf_counter())


if __name__ == "__main__":
    sys.exit(main())
