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
"""How long it takes to look at a tree of code and to pack it, beside ``tar -czf``, and how large the archive is.

``python benchmarks/snapshot.py [MEGABYTES…]`` makes trees of Python-like files, 8 KiB each in the mean, below a
temporary directory. Each time is the least of three, in a process of its own.
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SIZES = (1, 20, 200)
MEAN = 8192
TRIES = 3
OURS = """\
import sys, time
from pathlib import Path
from airflow.providers.databricks_air.run.config.run_config import CodeSource
from airflow.providers.databricks_air.run.code.snapshot import take_snapshot
started = time.perf_counter()
snapshot = take_snapshot(CodeSource(root_path=sys.argv[1]), Path("/"))
looked = time.perf_counter()
with open(sys.argv[2], "wb") as file:
    snapshot.write_archive(file)
print(looked - started, time.perf_counter() - looked)
"""


def make_tree(root: Path, megabytes: int) -> None:
    """Write files of words, numbers and punctuation that compress about as well as code."""
    chance = random.Random(megabytes)  # noqa: S311 - nothing is kept secret
    words = [
        "".join(chance.choices("abcdefghijklmnopqrstuvwxyz_", k=chance.randint(2, 12))) for _ in range(4000)
    ]
    left, number = megabytes * 1_000_000, 0
    while left > 0:
        lines, size = [], 0
        goal = chance.randint(1000, 2 * MEAN - 1000)
        while size < goal:
            name, *rest = chance.choices(words, k=chance.randint(3, 9))
            line = f"{'    ' * chance.randint(0, 3)}{name} = {rest[0]}({', '.join(rest[1:])}, {chance.random():.4f})"
            lines.append(line)
            size += len(line) + 1
        path = root / f"package{number % 97}" / f"module{number}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines) + "\n")
        left, number = left - size, number + 1


def ours(root: Path, archive: Path) -> tuple[float, float]:
    """Return the seconds for looking and for packing, without the start of the process."""
    done = subprocess.run(
        [sys.executable, "-c", OURS, str(root), str(archive)], check=True, capture_output=True, text=True
    )
    looking, packing = map(float, done.stdout.split())
    return looking, packing


def tar(root: Path, archive: Path) -> float:
    """Return the seconds of the command that the peer runs."""
    started = time.perf_counter()
    subprocess.run(["tar", "-czf", str(archive), "-C", str(root.parent), root.name], check=True)
    return time.perf_counter() - started


def measure(directory: Path, megabytes: int) -> str:
    """Return one line of the table."""
    root, archive, other = directory / "code", directory / "ours.tar.gz", directory / "other.tar.gz"
    make_tree(root, megabytes)
    files = sum(1 for path in root.rglob("*") if path.is_file())
    looking, packing = min((ours(root, archive) for _ in range(TRIES)), key=sum)
    peer = min(tar(root, other) for _ in range(TRIES))
    ratio = archive.stat().st_size / other.stat().st_size
    return (
        f"{megabytes:5} {files:6} | {looking:.3f} {packing:.3f} {looking + packing:.3f} | {peer:.3f}"
        f" | {peer / packing:10.1f} | {ratio:.3f}"
    )


def main(sizes: list[int]) -> None:
    """Print one line for each size."""
    print("   MB  files | look  pack  sum [s] | tar [s] | tar : pack | archive : tar's")
    for megabytes in sizes:
        with tempfile.TemporaryDirectory() as directory:
            print(measure(Path(directory), megabytes), flush=True)


if __name__ == "__main__":
    main([int(argument) for argument in sys.argv[1:]] or list(SIZES))
