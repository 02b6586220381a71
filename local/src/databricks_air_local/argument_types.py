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
"""What the options of the command may be: each reads a text and says what is wrong with it."""

from __future__ import annotations

import argparse
import math

__all__ = ["count", "port", "seconds", "size"]

_UNITS = {"K": 1024, "M": 1024**2, "G": 1024**3}


def seconds(text: str) -> float:
    """Return a length of time in seconds, zero or more.

    :raises argparse.ArgumentTypeError: when the text is none.
    """
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r}: must be a number that is not negative")
    return number


def port(text: str) -> int:
    """Return a port; 0 stands for a free one.

    :raises argparse.ArgumentTypeError: when the text is none.
    """
    number = int(text) if text.isascii() and text.isdigit() else -1
    if not 0 <= number < 65536:
        raise argparse.ArgumentTypeError(f"{text!r}: must be a number from 0 to 65535")
    return number


def count(text: str) -> int:
    """Return a whole number of at least 1.

    :raises argparse.ArgumentTypeError: when the text is none.
    """
    number = int(text) if text.isascii() and text.isdigit() else 0
    if not 1 <= number < 10_000:
        raise argparse.ArgumentTypeError(f"{text!r}: must be a number that is at least 1")
    return number


def size(text: str) -> int:
    """Return bytes of a number with a unit, such as ``4G``.

    :raises argparse.ArgumentTypeError: when the text is none.
    """
    number, unit = text[:-1], text[-1:].upper()
    if unit not in _UNITS or not number.isascii() or not number.isdigit() or not int(number):
        raise argparse.ArgumentTypeError(
            f"{text!r}: must be a number and one of {', '.join(_UNITS)}, such as 4G"
        )
    return int(number) * _UNITS[unit]
