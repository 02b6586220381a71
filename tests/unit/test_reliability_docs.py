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
"""The published tables say what the tests demand."""

from __future__ import annotations

import pytest

from tests.story.chaos.causes import CAUSES, LEGS
from tests.story.chaos.publish import DOCS, what_happens


def test_the_documentation_is_made_from_the_table() -> None:
    """`python -m tests.story.chaos.publish` has been typed since the table last changed."""
    assert (DOCS / "what-happens.inc").read_text() == what_happens()


@pytest.mark.parametrize("row", CAUSES, ids=lambda row: row.key)
def test_every_row_is_whole(row) -> None:
    """A row's exceptions are about modes that it is tried in, and every cell says something."""
    assert {mode for mode, _ in row.exceptions} <= set(row.modes)
    assert all(row.expected(mode, leg).words for mode in row.modes for leg in LEGS)
