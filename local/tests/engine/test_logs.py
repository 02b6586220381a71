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
"""Logs that are long: what is printed arrives, and no reader waits for another."""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path

import pytest

from databricks_air_local import LocalAirRuntime
from databricks_air_local.engine.streams import Record, Stream
from databricks_air_local.script.log_faults import LogFaults
from wire import Client

LINES = 400_000
ALL = 2**62


def _stream(path: Path, faults: LogFaults | None = None) -> Stream:
    return Stream(path / "node_0.jsonl", "run-0-0", faults or LogFaults())


def _read(stream: Stream, since: int = 0, until: int = ALL, *, ascending: bool = True) -> list[Record]:
    return list(stream.select(since, until, ascending=ascending, start=None, now=1e9))


def _bytes_read() -> int:
    """Return how many bytes this process has read from files so far, as Linux counts them."""
    counts = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(counts["rchar"])


@pytest.fixture(scope="module")
def long_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a log of many lines, a second of it after the other."""
    path = tmp_path_factory.mktemp("log")
    stream = _stream(path)
    for second in range(LINES // 1000):
        stream.extend([(f"line {second} {number}", 0) for number in range(1000)], now=float(second))
    return path


def test_a_long_log_is_opened_at_once(long_log: Path) -> None:
    """The first read after a restart does not wait for the whole file."""
    before = _bytes_read()

    assert len(_stream(long_log)) == LINES
    assert _bytes_read() - before < 200_000 < (long_log / "node_0.jsonl").stat().st_size // 100


def test_a_late_line_of_a_long_log_is_found_at_once(long_log: Path) -> None:
    """A reader that asks for the newest lines does not pay for the older ones."""
    stream = _stream(long_log)
    since = (LINES // 1000 - 1) * 10**9
    before = _bytes_read()

    found = _read(stream, since)

    assert [record.body for record in found[:1]] == [f"line {LINES // 1000 - 1} 0"]
    assert len(found) == 1000
    assert _bytes_read() - before < 400_000
    assert next(iter(_read(stream, 7 * 10**9, 8 * 10**9))).body == "line 7 0"


def test_chunks_of_a_long_log_are_the_text(tmp_path: Path) -> None:
    """The chunks of a log hold all of its text once, and are the same when the log was opened again."""
    stream = _stream(tmp_path, LogFaults(duplicate_every=7, disorder_every=5))
    stream.extend([(f"{number} " + "x" * 1000, 0) for number in range(10_000)], now=1.0)

    again = _stream(tmp_path)
    chunks = [again.chunk(index) for index in range(len(again.chunk_sizes()))]

    assert stream.chunk_sizes() == again.chunk_sizes() == [len(chunk) for chunk in chunks]
    assert [len(chunk) // 1024**2 for chunk in chunks] == [4, 4, 1]
    numbers = [int(line.split()[0]) for line in b"".join(chunks).splitlines()]
    assert sorted(numbers) == list(range(10_000))


@pytest.mark.parametrize("seed", range(8))
def test_a_server_that_died_while_it_wrote(tmp_path: Path, seed: int) -> None:
    """Wherever a file was cut, what is whole in the log is read, and the next lines follow it."""
    chance = random.Random(seed)
    stream = _stream(tmp_path)
    for number in range(3):
        stream.extend([(f"{number}-{line}", 0) for line in range(1500)], now=float(number))
    stream.insert("late", 0.5)
    whole = (tmp_path / "node_0.jsonl").read_bytes()
    for name in chance.sample(["node_0.index", "node_0.blocks", "node_0.jsonl"], chance.randint(1, 3)):
        path = tmp_path / name
        path.write_bytes(path.read_bytes()[: chance.randrange(path.stat().st_size)])
    left = (tmp_path / "node_0.jsonl").read_bytes().count(b"\n")

    again = _stream(tmp_path)
    again.extend([("next", 0)], now=9.0)

    assert [record.body for record in _read(again)] == [
        *[f"{n}-{m}" for n in range(3) for m in range(1500)][:left],
        *(["late"] if left > 4500 else []),
        "next",
    ]
    assert _read(again) == _read(_stream(tmp_path)) == _read(_stream(tmp_path), ascending=False)[::-1]
    assert len(whole) >= (tmp_path / "node_0.jsonl").stat().st_size - 100
    assert {record.body for record in _read(again, 10**9, 2 * 10**9)} <= {f"1-{m}" for m in range(1500)}


def test_what_never_was_is_not_there(air: LocalAirRuntime, client: Client) -> None:
    """An attempt or a node that does not exist is a 404, which clients take at once; asking leaves nothing."""
    run_id = client.submit("echo one")
    client.wait(run_id)
    path = f"/api/2.0/ai-training/workflows/by-run-id/{run_id}/logs"

    for number in range(1, 600):
        assert client.get(path, **{"ref.attempt_number": number}).status == 404
    assert client.get(path, **{"filter.node_index": 1}).status == 404
    assert client.get(path, **{"ref.attempt_number": -1}).status == 404

    assert client.logs(run_id) == ["one"]
    assert len(air.workspace.records.streams) == 1


def test_all_of_a_long_output_is_taken_in_one_round(client: Client) -> None:
    """A command that prints much is not held up by how often the server looks."""
    started = time.monotonic()
    run, _ = client.execute("head -c 30000000 /dev/zero | tr '\\0' 'x' | fold -w 1000; echo; echo end")

    assert run["state"]["result_state"] == "SUCCESS"
    newest = client.get(
        f"/api/2.0/ai-training/workflows/by-run-id/{run['run_id']}/logs", ascending="false", page_size=1
    ).json["log_records"]
    assert [record["body"] for record in newest] == ["end"]
    assert time.monotonic() - started < 30


def test_lines_are_whole_however_they_are_read(client: Client) -> None:
    """No line of a long output is broken in two, also when it is read after the command ended."""
    run_id = client.submit("seq 1000000 1200000")
    client.wait(run_id)
    path = f"/api/2.0/ai-training/workflows/by-run-id/{run_id}/logs"

    lines, token = [], ""
    while True:
        answer = client.get(path, page_size=2000, page_token=token).json
        lines += [record["body"] for record in answer["log_records"]]
        token = answer.get("next_page_token", "")
        if not token:
            break

    assert lines == [str(number) for number in range(1_000_000, 1_200_001)]


def test_others_are_answered_beside_a_long_output(air: LocalAirRuntime, client: Client) -> None:
    """Between two turns of the server's loop, of which a request needs a few, it takes one piece of the output."""
    run_id = client.submit("head -c 60000000 /dev/zero | tr '\\0' 'x' | fold -w 200; sleep 1")
    client.wait(run_id, lambda run: run["state"]["life_cycle_state"] == "RUNNING")
    stream = air.workspace.records.streams.get(run_id, 0, 0)

    async def watch() -> list[int]:
        grown, run = [], air.workspace.runs.find(run_id)
        while run.active:
            before = stream.consumed
            await asyncio.sleep(0)
            grown.append(stream.consumed - before)
        return grown

    assert air._loop is not None
    grown = asyncio.run_coroutine_threadsafe(watch(), air._loop).result()

    assert max(grown) <= 64 * 1024 + 200  # and the line that the piece before it broke off
    assert sum(grown) > 10_000_000
