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
"""The local AI Runtime: the same HTTP API, run on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from databricks_air_local.runtime import LocalAirRuntime

__all__ = ["LocalAirRuntime", "__version__"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Import the server when it is asked for: the command line needs the options of this package alone."""
    if name == "LocalAirRuntime":
        from databricks_air_local.runtime import LocalAirRuntime

        return LocalAirRuntime
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
