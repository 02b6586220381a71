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
"""Waiting for a condition instead of for a duration."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_for(ask: Callable[[], T | None], what: str, timeout: float = 180.0, every: float = 0.5) -> T:
    """Return the first true answer of *ask*.

    :param ask: returns something false until the condition holds.
    :param what: completes the sentence "waited 180 s for ...".
    :param timeout: seconds; generous, since the machines that run this are slow and shared.
    :param every: seconds between two questions.
    :raises TimeoutError: if the condition does not hold in time.
    """
    end = time.monotonic() + timeout
    while True:
        answer = ask()
        if answer:
            return answer
        if time.monotonic() > end:
            raise TimeoutError(f"waited {timeout:.0f} s for {what}; the last answer was {answer!r}")
        time.sleep(every)
