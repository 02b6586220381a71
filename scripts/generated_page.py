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
"""A page of the documentation that is made from the sources: written, or only compared."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

__all__ = ["write_or_check"]


def write_or_check(target: Path, text: str, program: str, arguments: Collection[str]) -> int:
    """Write a page, or with ``--check`` say whether it is current; return the exit code.

    :param target: the page.
    :param text: what it should be.
    :param program: what makes it, from the root of the repository.
    :param arguments: of the command line.
    """
    if "--check" not in arguments:
        target.write_text(text, encoding="utf-8")
        return 0
    if target.exists() and target.read_text(encoding="utf-8") == text:
        return 0
    print(f"{target.name} is not current: run python -m {program}")
    return 1
