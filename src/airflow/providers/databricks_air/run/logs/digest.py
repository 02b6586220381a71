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
"""Which records were printed already, in a few bytes a record; read back beside the records themselves.

A position in a log is a time, but records appear late, so a time alone either repeats or loses lines.
The exact answer is the set of ids of the last seconds, which is too big to store often when a log is
busy. A digest keeps, for groups of about four ids each, how many there were and the sum of them. Whoever
resumes reads the same seconds again and compares group by group: equal groups were printed completely,
and in a group with more members the late ones are those whose sum is the difference.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Collection, Iterable
from hashlib import blake2b
from math import comb
from typing import NamedTuple

__all__ = ["Digest", "Recalled", "printed_of", "record_key"]

GROUP_SIZE = 4
MOST_GROUPS = 1536
KEPT_FROM = 4000
"""Keys; below what ``MOST_GROUPS`` groups of ``GROUP_SIZE`` hold."""
MOST_STEPS = 3000
SUM_MASK = (1 << 48) - 1
_GROUP = struct.Struct("<HIH")
# A copy costs a third of what a new one does.
_new_hash = blake2b(digest_size=8).copy
_from_bytes = int.from_bytes


class Recalled(NamedTuple):
    """What a digest says about the records of its seconds.

    :param printed: keys of the records that were printed.
    :param doubtful: how many records are in groups that cannot be told; they count as not printed.
    """

    printed: set[int]
    doubtful: int


def record_key(identity: str) -> int:
    """Return the 64-bit key of a record, the same in every process.

    :param identity: the record's id, or what stands for it.
    """
    hashed = _new_hash()
    hashed.update(identity.encode("utf-8", "surrogatepass"))
    return _from_bytes(hashed.digest(), "little")


class Digest:
    """The digest of a set of keys that grows and shrinks, at hand at any time."""

    def __init__(self) -> None:
        # Of a small set it is made when somebody asks for it; that costs less than to keep it.
        self._counts: list[int] = []
        self._sums: list[int] = []

    def add(self, keys: Iterable[int], whole: Collection[int]) -> None:
        """Take in keys that were not in the set before.

        :param whole: the set with them.
        """
        if not self._counts:
            if len(whole) < KEPT_FROM:
                return
            self._counts, self._sums, keys = [0] * MOST_GROUPS, [0] * MOST_GROUPS, whole
        counts, sums = self._counts, self._sums
        for key in keys:
            group = key % MOST_GROUPS
            counts[group] += 1
            sums[group] += key

    def remove(self, keys: Iterable[int]) -> None:
        """Drop keys that are in the set."""
        if not self._counts:
            return
        counts, sums = self._counts, self._sums
        for key in keys:
            group = key % MOST_GROUPS
            counts[group] -= 1
            sums[group] -= key

    def text(self, keys: Collection[int]) -> str:
        """Return the digest: 11 characters for four keys, 16 KiB at most.

        :param keys: the same set.
        """
        groups = len(keys) // GROUP_SIZE + 1
        if groups >= MOST_GROUPS:
            return _packed(self._counts, self._sums)
        counts, sums = [0] * groups, [0] * groups
        for key in keys:
            counts[key % groups] += 1
            sums[key % groups] += key
        return _packed(counts, sums)


def _packed(counts: list[int], sums: list[int]) -> str:
    cells = (
        _GROUP.pack(count & 0xFFFF, total & 0xFFFFFFFF, (total & SUM_MASK) >> 32)
        for count, total in zip(counts, sums, strict=True)
    )
    return base64.b64encode(b"".join(cells)).decode("ascii")


def printed_of(digest: str, keys: Iterable[int]) -> Recalled:
    """Return which of the keys were printed when the digest was made.

    :param digest: made by ``Digest``.
    :param keys: the keys of every record that the same seconds have now.
    :raises ValueError: when the text is not a digest.
    """
    try:
        cells = list(_GROUP.iter_unpack(base64.b64decode(digest, validate=True)))
    except struct.error as error:
        raise ValueError(str(error)) from None
    members: list[list[int]] = [[] for _ in cells]
    for key in set(keys):
        members[key % len(cells)].append(key)
    printed: set[int] = set()
    doubtful = 0
    for (count, low, high), found in zip(cells, members, strict=True):
        old = _printed_in(found, count, high << 32 | low)
        if old is None:
            doubtful += len(found)
        else:
            printed |= old
    return Recalled(printed, doubtful)


def _printed_in(found: list[int], count: int, total: int) -> set[int] | None:
    """Return the members that were printed, ``count`` with that sum; None when it cannot be told."""
    late = len(found) - count
    if late < 0:
        # The service has forgotten records meanwhile; what it still has is older than the digest.
        return set(found)
    if count == 0:
        return set()
    missing = (sum(found) - total) & SUM_MASK
    if late == 0:
        return set(found) if missing == 0 else None
    smaller = min(count, late)
    if comb(len(found), smaller - 1) > MOST_STEPS:
        return None
    part = _with_sum(found, smaller, total if smaller == count else missing)
    if part is None:
        return None
    return set(part) if smaller == count else set(found).difference(part)


def _with_sum(numbers: list[int], size: int, total: int) -> tuple[int, ...] | None:
    """Return ``size`` of the numbers whose sum is ``total`` modulo 2**48, or None."""
    if size == 1:
        return next(((number,) for number in numbers if number & SUM_MASK == total), None)
    if size == 2:
        places = {number & SUM_MASK: place for place, number in enumerate(numbers)}
        for place, number in enumerate(numbers):
            other = places.get((total - number) & SUM_MASK, place)
            if other != place:
                return number, numbers[other]
        return None
    for place, number in enumerate(numbers):
        rest = _with_sum(numbers[place + 1 :], size - 1, (total - number) & SUM_MASK)
        if rest is not None:
            return (number, *rest)
    return None
