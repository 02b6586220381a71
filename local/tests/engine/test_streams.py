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
"""Streams of log records: pages, times, and files that end in the middle."""

from __future__ import annotations

from pathlib import Path

import pytest

from databricks_air_local.engine.streams import Record, Stream
from databricks_air_local.script.log_faults import LogFaults

ALL = 2**62


def _stream(path: Path, faults: LogFaults | None = None) -> Stream:
    return Stream(path / "node_0.jsonl", "run-0-0", faults or LogFaults())


def _read(
    stream: Stream, *, ascending: bool = True, start: int | None = None, now: float = 1e9
) -> list[Record]:
    return list(stream.select(0, ALL, ascending=ascending, start=start, now=now))


def test_a_stream_is_the_same_after_it_was_opened_again(tmp_path: Path) -> None:
    """Times, texts and ids of records are stable."""
    stream = _stream(tmp_path)
    stream.extend([("one", 4), ("two ☃", 10)], now=5.0)

    again = _stream(tmp_path)

    assert _read(again) == _read(stream)
    assert again.consumed == 10
    again.extend([("three", 16)], now=4.0)
    times = [record.time for record in _read(again)]
    assert times == sorted(set(times))
    assert len({record.record_id for record in _read(again)}) == 3


def test_a_torn_record_is_cut_off(tmp_path: Path) -> None:
    """A record that was half written when the server died is dropped; the next one is whole."""
    stream = _stream(tmp_path)
    stream.extend([("one", 4)], now=5.0)
    with (tmp_path / "node_0.jsonl").open("ab") as file:
        file.write(b'{"t": 5000000001, "b": "tw')

    again = _stream(tmp_path)
    again.extend([("two", 8)], now=6.0)

    assert [record.body for record in _read(_stream(tmp_path))] == ["one", "two"]


def test_both_directions_and_a_start(tmp_path: Path) -> None:
    """A page goes on where the one before ended, upwards and downwards."""
    stream = _stream(tmp_path)
    stream.extend([(str(n), n) for n in range(5)], now=5.0)

    assert [record.body for record in _read(stream, start=3)] == ["3", "4"]
    assert [record.body for record in _read(stream, ascending=False)] == ["4", "3", "2", "1", "0"]
    assert [record.body for record in _read(stream, ascending=False, start=1)] == ["1", "0"]
    assert _read(stream, start=99) == []


def test_bounds_of_time(tmp_path: Path) -> None:
    """The lower bound counts, the upper one does not."""
    stream = _stream(tmp_path)
    for second in (1, 2, 3):
        stream.extend([(str(second), 0)], now=float(second))

    found = stream.select(2 * 10**9, 3 * 10**9, ascending=True, start=None, now=9.0)

    assert [record.body for record in found] == ["2"]


def test_late_records_keep_their_time(tmp_path: Path) -> None:
    """A late record is invisible until its time has come, also for a server that was started again."""
    stream = _stream(tmp_path, LogFaults(late=10, late_every=2))
    stream.extend([("one", 0), ("two", 0), ("three", 0)], now=5.0)

    again = _stream(tmp_path)

    assert [record.body for record in _read(again, now=6.0)] == ["one", "three"]
    assert [record.body for record in _read(again, now=16.0)] == ["one", "two", "three"]


@pytest.mark.parametrize("wrong", [{"late": -1}, {"late_every": 1.5}, {"record_ids": 1}, {"lat": 1}, []])
def test_wrong_faults_are_named(wrong: object) -> None:
    """Mistakes in a description name the field."""
    with pytest.raises(ValueError, match="log fault"):
        LogFaults.parse(wrong)
