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
"""The paths that limit a snapshot."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Sequence

__all__ = ["is_below", "normalised"]


def normalised(include: Sequence[str]) -> list[bytes]:
    """Return the limits as git knows paths; none when one of them is the whole directory.

    :param include: as the author wrote them.
    """
    paths = {posixpath.normpath(path.strip()) for path in include}
    return [] if "." in paths else sorted(os.fsencode(path) for path in paths)


def is_below(path: bytes, include: Sequence[bytes]) -> bool:
    """Return whether *path* is one of *include* or lies in one of them."""
    return any(path == limit or path.startswith(limit + b"/") for limit in include)
