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
"""What a log line looks like when it is printed."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow.providers.databricks_air.run.logs.lines import log_records
from airflow.providers.databricks_air.run.logs.text import LONGEST_LINE, safe_lines


@pytest.mark.parametrize(
    ("body", "lines"),
    [
        ("loss 0.25 — größer, 损失", ["loss 0.25 — größer, 损失"]),
        ("", [""]),
        ("a\tb", ["a\tb"]),
        ("100% %s {x} \\n", ["100% %s {x} \\n"]),
        ("\x1b[31mred\x1b[0m", ["\x1b[31mred\x1b[0m"]),
        ("\x1b[2J\x1b]0;title\x07", ["\\x1b[2J\\x1b]0;title\\x07"]),
        (" 10%|#  | 1/10\r 20%|## | 2/10\r", [" 20%|## | 2/10"]),
        ("one\ntwo\n", ["one", "two"]),
        ("nul\x00bell\x07", ["nul\\x00bell\\x07"]),
        ("half a pair \ud800", ["half a pair \\ud800"]),
        ("turned \u202eround", ["turned \\u202eround"]),
        ("next\x85line\u2028sep", ["next\\x85line\\u2028sep"]),
    ],
)
def test_ordinary_text_is_unchanged_and_what_disturbs_a_log_becomes_visible(
    body: str, lines: list[str]
) -> None:
    """Text, tabs and colours stay; control characters, line ends and reversals are shown as escapes."""
    assert lines == safe_lines(body)


def test_a_very_long_line_is_cut_and_says_how_long_it_was() -> None:
    """A megabyte on one line does not flood the log."""
    (line,) = safe_lines("x" * 1_000_000)

    assert line.endswith("[cut: the line has 1,000,000 characters]")
    assert len(line) < LONGEST_LINE + 100


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(alphabet=st.characters(), max_size=200))
def test_any_text_can_be_written_as_one_line_a_piece(body: str) -> None:
    """Whatever a record holds, its lines can be encoded and no reader finds a line end in them."""
    for line in safe_lines(body):
        assert line.encode("utf-8").decode().splitlines() in ([line], [])


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(
        st.sampled_from(["time_unix_nano", "body", "record_id"]), st.none() | st.integers() | st.text()
    )
)
def test_a_record_with_wrong_fields_is_still_a_record(raw: dict[str, object]) -> None:
    """A field that is missing or of another type is empty; it never ends the reading."""
    ((time_ns, _, body),) = log_records([raw])

    assert isinstance(body, str)
    assert isinstance(time_ns, int)
