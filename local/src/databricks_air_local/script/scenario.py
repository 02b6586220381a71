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
"""A file that says what goes wrong and what runs do, for ``--faults``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import yaml

from databricks_air_local.script.behaviours import Behaviours, check_plan
from databricks_air_local.script.faults import Fault, Faults
from databricks_air_local.script.journal import Journal
from databricks_air_local.script.log_faults import LogFaults

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Scenario", "Script", "check_config_errors"]

_PARTS = ("faults", "behaviours", "logs", "config_errors")


class Scenario:
    """What a YAML or JSON file describes: a list of faults, or a mapping.

    The mapping holds ``faults`` (see ``faults.Fault``), ``behaviours`` (see ``behaviours.Behaviours``),
    ``logs`` (see ``log_faults.LogFaults``) and ``config_errors`` (entries with ``path``, ``message``, ``code``).
    """

    def __init__(self, document: object) -> None:
        if document is not None and not isinstance(document, (Mapping, list)):
            raise ValueError(f"{document!r}: must be a list of faults, or a mapping of {', '.join(_PARTS)}")
        parts: Mapping[str, Any] = document if isinstance(document, Mapping) else {"faults": document}
        for name, part in parts.items():
            if name not in _PARTS:
                raise ValueError(f"{name!r}: not one of {', '.join(_PARTS)}")
            if name != "logs" and not isinstance(part or [], list):
                raise ValueError(f"{name!r}: {part!r} must be a list")
        self.faults = [Fault.parse(item) for item in parts.get("faults") or ()]
        self.behaviours = list(parts.get("behaviours") or ())
        for plan in self.behaviours:
            check_plan(plan)
        self.logs = LogFaults.parse(parts.get("logs") or {})
        self.config_errors = check_config_errors(parts.get("config_errors") or [])

    @classmethod
    def load(cls, path: Path) -> Scenario:
        """Read a file.

        :raises ValueError: naming the file and what is wrong with it.
        """
        try:
            return cls(yaml.safe_load(path.read_text()))
        except OSError as error:
            raise ValueError(f"--faults {path}: {error.strerror}") from None
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise ValueError(f"--faults {path}: line {line}: {error.problem}") from None
        except (ValueError, TypeError, yaml.YAMLError) as error:
            raise ValueError(f"--faults {path}: {error}") from None


class Script:
    """What is in force: a scenario to begin with, and what a test said since.

    ``logs`` are the faults of streams that begin from now on, ``config_errors`` what config:validate answers.
    """

    def __init__(self, scenario: Scenario | None = None) -> None:
        self.faults = Faults()
        self.behaviours = Behaviours()
        self.journal = Journal()
        self.logs = scenario.logs if scenario else LogFaults()
        self.config_errors = scenario.config_errors if scenario else []
        for fault in scenario.faults if scenario else ():
            self.faults.add(fault)
        for plan in scenario.behaviours if scenario else ():
            self.behaviours.add(plan)

    def clear_faults(self) -> None:
        """Let requests, logs and config:validate be as they should be."""
        self.faults.clear()
        self.logs = LogFaults()
        self.config_errors = []


def check_config_errors(errors: object) -> list[dict[str, str]]:
    """Return what config:validate shall answer.

    :raises ValueError: when it is not a list of mappings with ``path``, ``message`` and ``code``.
    """
    if not isinstance(errors, list):
        raise ValueError(f"config_errors: {errors!r} must be a list")
    for item in errors:
        known = isinstance(item, dict) and set(item) <= {"path", "message", "code"}
        if not known or not all(isinstance(value, str) for value in item.values()):
            raise ValueError(f"config_errors: {item!r} must be a mapping of path, message and code to text")
    return errors
