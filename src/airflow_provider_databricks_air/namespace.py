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
"""Imports this package as Python does where Airflow is not installed.

``airflow`` is a namespace of many distributions, and Airflow's own has an ``__init__.py``: importing anything below it
imports Airflow's core first, which takes 0.6 s (2.11) to 1.5 s (3.3), more than half of that even with
``_AIRFLOW__AS_LIBRARY``. A command that asks Airflow for nothing need not wait for it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

__all__ = ["leave_airflow_out"]

_PACKAGE = "airflow.providers.databricks_air"
_NAMESPACES = ("airflow", "airflow.providers")


class _Namespace:
    """A finder for ``sys.meta_path``: above this package there are only namespaces, beside it there is nothing."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the namespace that *name* is; None for what the other finders know.

        :raises ModuleNotFoundError: for any other part of Airflow, which works only after its own start.
        """
        if name in _NAMESPACES:
            # Without a loader it is a namespace package (PEP 420).
            spec = ModuleSpec(name, None, is_package=True)
            spec.submodule_search_locations = [str(self._root.joinpath(*name.split(".")))]
            return spec
        if name.startswith("airflow.") and not f"{name}.".startswith(f"{_PACKAGE}."):
            raise ModuleNotFoundError(f"{name}: this command runs without Airflow", name=name)
        return None


def leave_airflow_out() -> None:
    """Import ``airflow.providers.databricks_air`` without Airflow from now on, in this process.

    Does nothing where Airflow is imported already.
    """
    if _NAMESPACES[0] not in sys.modules:
        sys.meta_path.insert(0, _Namespace(Path(__file__).resolve().parents[1]))
