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
"""What the pages tell to type, typed."""

from __future__ import annotations

import pytest

from tests.pages import Block, name
from tests.story.pages.reader import Reader, cases, commands

pytestmark = pytest.mark.plain


@pytest.mark.parametrize("block", cases(slow=False), ids=name)
def test_what_is_typed_works(reader: Reader, block: Block) -> None:
    """Every shell block can be typed as it stands, in a folder with what the page has shown above it."""
    reader.follow(block)
    reader.type(commands(block))
