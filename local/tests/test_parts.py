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
"""The small parts: routes, the clock, the store, image names."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from databricks_air_local.api.jobs.images import normalise
from databricks_air_local.http.refusals import Refusal
from databricks_air_local.page.plot import plot
from databricks_air_local.state.clock import RealClock, VirtualClock
from databricks_air_local.state.store import Store
from databricks_air_local.state.tree import Tree


async def test_a_virtual_clock_wakes_in_order() -> None:
    """Sleepers wake when the time was moved past them, and not before."""
    clock, woken = VirtualClock(start=0), []

    async def sleep(seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append(seconds)

    tasks = [asyncio.create_task(sleep(seconds)) for seconds in (20, 10)]
    await asyncio.sleep(0)
    clock.advance(10)
    await asyncio.sleep(0.01)

    assert woken == [10]
    clock.advance(10)
    await asyncio.gather(*tasks)
    assert woken == [10, 20]
    with pytest.raises(ValueError, match="forward only"):
        clock.advance(-1)
    with pytest.raises(ValueError, match="clock is real"):
        RealClock().advance(1)


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


@pytest.mark.parametrize(
    ("name", "whole"),
    [
        ("ubuntu", "docker.io/library/ubuntu:latest"),
        ("me/app:1", "docker.io/me/app:1"),
        ("ghcr.io/me/app", "ghcr.io/me/app:latest"),
        ("localhost:5000/app:2", "localhost:5000/app:2"),
        (f"a/b:1@sha256:{'0' * 64}", f"docker.io/a/b@sha256:{'0' * 64}"),
    ],
)
def test_image_names(name: str, whole: str) -> None:
    """Host, namespace and tag are filled in; a digest replaces the tag."""
    assert normalise(name) == whole


def test_what_is_no_image() -> None:
    """Anything else is refused."""
    for wrong in ("", "a b", None, 5, "../x"):
        with pytest.raises(Refusal):
            normalise(wrong)


def test_plots() -> None:
    """One point, equal values, and values that are no numbers can be drawn."""
    assert "<polyline" in plot([(0, 1.0)])
    assert "<polyline" in plot([(0, 1.0), (1, 1.0), (2, "NaN")])
    assert "<polyline" not in plot([(0, "Infinity")])
    assert plot([(n, float(n)) for n in range(5000)]).count(",") < 2500


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
