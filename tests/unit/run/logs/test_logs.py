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
"""Every line once and in order, whatever the service does and wherever the reading is taken up again."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow.providers.databricks_air.api.logs.stream import LogStream
from airflow.providers.databricks_air.run.logs.lines import LogLine
from tests.unit.run.logs.bad_service import BadService, Stored, poll, run_of, said

LATENESS = 20.0
Feeds = dict[tuple[int, int], list[Stored]]


@st.composite
def feeds(draw: st.DrawFn) -> Feeds:
    """Draw what two nodes write in two attempts that overlap."""
    with_ids = draw(st.booleans())
    made: Feeds = {}
    for node in (0, 1):
        for attempt in (0, 1):
            steps = draw(
                st.lists(
                    st.tuples(
                        st.sampled_from([0.0, 0.0, 0.001, 0.4, 2.0, 12.0]),
                        st.sampled_from([0.0, 0.0, 0.0, 0.3, 5.0, LATENESS]),
                        st.sampled_from([0.0, 0.0, 0.0, 0.0, 3600.0]),
                    ),
                    max_size=40,
                )
            )
            time, records = attempt * 15.0, []
            for number, (gap, late, jump) in enumerate(steps):
                time += gap
                body = f"{node}.{attempt}.{number}"
                # A clock that is an hour ahead, for one line.
                records.append(Stored(body, time + jump, time + late, f"id-{body}" if with_ids else ""))
            made[node, attempt] = records
    return made


def read_all(service: BadService, *, resume: float, interval: float) -> list[list[LogLine]]:
    """Read to the end; take the reading up from its stored position with that probability."""
    stream = LogStream(1, (0, 1), now=service.now)
    last = max((r.visible for records in service.records.values() for r in records), default=0.0)
    first_attempt = [r for feed, records in service.records.items() if feed[1] == 0 for r in records]
    retried = max((min(r.time, r.visible) for r in first_attempt), default=0.0)
    polls: list[list[LogLine]] = []
    while not stream.drained:
        over = service.clock > last
        run = run_of(2 if over or service.clock >= retried else 1, terminal=over, ended=last)
        polls.append(poll(stream, run, service.answer))
        if over:
            # Misfortune must end, or no reading could.
            service.misfortune = 0.0
        if service.draw.random() < resume and not stream.drained:
            stream = LogStream(1, (0, 1), json.loads(json.dumps(stream.cursor)), now=service.now)
        service.clock += interval if stream.next_delay else 0.05
    return polls


MISFORTUNES = {
    "records": feeds(),
    "seed": st.integers(0, 2**32),
    "resume": st.sampled_from([0.0, 0.2, 1.0]),
    "misfortune": st.sampled_from([0.0, 0.1, 0.3]),
    "interval": st.sampled_from([1.0, 2.0, 5.0]),
}


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(**MISFORTUNES)
def test_every_line_comes_exactly_once(
    records: Feeds, seed: int, resume: float, misfortune: float, interval: float
) -> None:
    """Late, duplicate, shuffled, nameless, failing, empty and overlapping: each line is printed once."""
    check_that_every_line_comes_once(records, seed, resume, misfortune, interval)


@pytest.mark.long
@pytest.mark.timeout(3600)
@settings(max_examples=2_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(**MISFORTUNES)
def test_every_line_comes_exactly_once_in_thousands_of_cases(
    records: Feeds, seed: int, resume: float, misfortune: float, interval: float
) -> None:
    """The same in many more cases: the rarest faults need a hundred lines and three coincidences."""
    check_that_every_line_comes_once(records, seed, resume, misfortune, interval)


def check_that_every_line_comes_once(
    records: Feeds, seed: int, resume: float, misfortune: float, interval: float
) -> None:
    """Read to the end and compare with what was written."""
    service = BadService(records, Random(seed), misfortune)

    lines = [line for each in read_all(service, resume=resume, interval=interval) for line in said(each)]

    expected = Counter(f"[node {r.body[0]}] {r.body}" for each in records.values() for r in each)
    assert expected == Counter(line.text for line in lines)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(records=feeds(), seed=st.integers(0, 2**32), resume=st.sampled_from([0.0, 0.5]))
def test_lines_that_are_not_late_come_in_the_order_of_their_times(
    records: Feeds, seed: int, resume: float
) -> None:
    """A node's lines of an attempt keep their order; equal times keep the order in which they were stored."""
    service = BadService(records, Random(seed), misfortune=0.0)
    late = {r.body for each in records.values() for r in each if r.visible > r.time}
    ahead = {r.body for each in records.values() for r in each if r.time > r.visible}

    printed: dict[tuple[int, int], list[str]] = defaultdict(list)
    for each in read_all(service, resume=resume, interval=2.0):
        for line in said(each):
            printed[line.node, line.attempt].append(line.text.removeprefix(f"[node {line.node}] "))

    for feed, texts in printed.items():
        in_order = [r.body for r in records[feed] if r.body not in late | ahead]
        assert in_order == [text for text in texts if text not in late | ahead]


@pytest.mark.parametrize("resume", [0.0, 0.3])
def test_a_busy_log_is_complete_although_most_readings_go_back_only_a_little(resume: float) -> None:
    """300 lines a second, one in twenty up to 20 s late: each is printed once, also over resumes."""
    draw = Random(7)
    times = [number / 300 for number in range(8_000)]
    records = [
        Stored(f"line {number}", time, time + (draw.uniform(0, LATENESS) if draw.random() < 0.05 else 0.0))
        for number, time in enumerate(times)
    ]
    service = BadService({(0, 0): records}, draw, misfortune=0.02, page_size=1000)

    lines = [line for each in read_all(service, resume=resume, interval=2.0) for line in said(each)]

    assert Counter(f"[node 0] {r.body}" for r in records) == Counter(line.text for line in lines)


def test_a_position_is_small_even_in_a_busy_log() -> None:
    """A position behind 100,000 lines in 30 s takes less than 20 KiB; one in a quiet log less than 1 KiB."""
    for count, limit in ((100_000, 20_000), (100, 1_000)):
        records = [Stored(f"line {n}", n * 30 / count, 0.0, f"id-{n}") for n in range(count)]
        service = BadService({(0, 0): records}, Random(1), misfortune=0.0, page_size=10_000, clock=31.0)
        stream = LogStream(1, (0,), now=service.now)
        poll(stream, run_of(), service.answer)
        while not stream.next_delay:
            poll(stream, run_of(), service.answer)

        assert len(json.dumps(stream.cursor)) < limit
