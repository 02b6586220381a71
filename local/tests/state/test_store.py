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
"""What is kept, and what a death of the server leaves."""

from __future__ import annotations

from pathlib import Path

from databricks_air_local.state.clock import RealClock
from databricks_air_local.state.store import Store
from databricks_air_local.state.tree import Tree


def test_ids_are_never_given_twice(tmp_path: Path) -> None:
    """A store that was opened again goes on with greater numbers."""
    first = Store(tmp_path)
    given = [first.next_id() for _ in range(1500)]
    first.close()

    second = Store(tmp_path)

    assert second.next_id() > max(given)
    assert len(set(given)) == len(given)


def test_uploads_that_were_cut_short_are_swept(tmp_path: Path) -> None:
    """Contents that nothing names are removed, the others stay."""
    store = Store(tmp_path)
    kept, lost = store.write_blob(b"kept"), store.write_blob(b"lost")

    store.sweep_blobs({kept.name})

    assert (kept.exists(), lost.exists()) == (True, False)


def test_a_file_grows_behind_what_is_known_of_it(tmp_path: Path) -> None:
    """What a server wrote and died before it could note is written again, not twice."""
    store = Store(tmp_path)
    tree = Tree(store, RealClock(), "volumes")
    entry = tree.append("/log.txt", b"one\n")
    with tree.blob(entry).open("ab") as file:
        file.write(b"two\n")

    tree.append("/log.txt", b"two\nthree\n")

    assert tree.read("/log.txt") == b"one\ntwo\nthree\n"
    assert tree.get("/log.txt").size == len(tree.read("/log.txt"))
