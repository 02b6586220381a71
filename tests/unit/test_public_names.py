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
"""The names that users, and their metadata databases, rely on."""

from __future__ import annotations

import ast
import inspect
import json
import pkgutil
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import airflow.providers.databricks_air as package
from airflow.providers.databricks_air.operators.air import AirCancelRunOperator, AirRunOperator
from airflow.providers.databricks_air.sensors.air import AirRunSensor
from airflow.providers.databricks_air.triggers.air import AirRunTrigger
from airflow.providers.databricks_air.version_compat import AIRFLOW_V_3_1_PLUS

PACKAGE = "airflow.providers.databricks_air"
ROOT = Path(__file__).resolve().parents[2]
SOURCES = {
    PACKAGE: ROOT / "src" / PACKAGE.replace(".", "/"),
    "databricks_air_local": ROOT / "local/src/databricks_air_local",
}

# What a user imports. A name leaves this list only after a release that warned about it.
PUBLIC = {
    "": {"__version__"},
    "exceptions": {
        "AirConfigError",
        "AirRunCancelledError",
        "AirRunFailedError",
        "AirRunFailedForGoodError",
        "AirRunInterruptedError",
        "AirRunTimeoutError",
        "AirServiceError",
    },
    "hooks.air": {"AirRuntimeHook"},
    "links.air": {"AirMlflowExperimentLink", "AirMlflowRunLink", "AirRunLink"},
    "operators.air": {"AirCancelRunOperator", "AirOrphanRunsOperator", "AirRunOperator"},
    "run": {"AirError", "ConfigError", "FieldError", "RunConfig", "SnapshotError", "load_run_config"},
    "sensors.air": {"AirRunSensor"},
    "triggers.air": {"AirRunTrigger"},
}
# Exported for other rooms of this package, not for users.
INTERNAL = {
    "hooks.air": {"credentials_from"},
    "links.air": {"LINKS", "MLFLOW_EXPERIMENT_URL_KEY", "MLFLOW_URL_KEY", "RUN_PAGE_URL_KEY"},
}

TRIGGER_PATH = "airflow.providers.databricks_air.triggers.air.AirRunTrigger"
TRIGGER_ARGUMENTS: dict[str, Any] = {
    "run_id": 42,
    "databricks_air_conn_id": "other",
    "polling_interval": 5.0,
    "deadline": 1_800_000_000.0,
    "queue_timeout": 60.0,
    "on_kill": "detach",
    "on_clear": "adopt",
    "log_nodes": [0, 2],
    "metrics_interval": 30.0,
    "experiment_access": [{"group_name": "ml", "permission_level": "CAN_READ"}],
}


def _modules() -> list[str]:
    found = pkgutil.walk_packages(package.__path__, f"{PACKAGE}.")
    return sorted(
        module.name for module in found if not module.ispkg and not module.name.endswith("__main__")
    )


@pytest.mark.parametrize("module", sorted(PUBLIC))
def test_public_names_are_these(module: str) -> None:
    """A public module exports the pinned names and no others."""
    exported = set(import_module(f"{PACKAGE}.{module}".rstrip(".")).__all__)
    assert exported - INTERNAL.get(module, set()) == PUBLIC[module]


@pytest.mark.parametrize("name", [name for name in _modules() if not name.endswith("get_provider_info")])
def test_every_module_says_what_it_exports(name: str) -> None:
    """Each module has an ``__all__`` of names that exist, each once."""
    if ".plugin." in name and not AIRFLOW_V_3_1_PLUS:
        pytest.skip("the pages in Airflow need 3.1")
    module = import_module(name)
    assert [item for item in module.__all__ if not hasattr(module, item)] == []
    assert len(set(module.__all__)) == len(module.__all__)


def test_trigger_rows_of_older_releases_can_be_read() -> None:
    """The trigger's class path and arguments stay: they are stored in users' metadata databases."""
    trigger = AirRunTrigger(**TRIGGER_ARGUMENTS)
    path, arguments = trigger.serialize()
    assert path == TRIGGER_PATH
    assert TRIGGER_ARGUMENTS.items() <= arguments.items()
    assert json.loads(json.dumps(arguments)) == arguments
    assert AirRunTrigger(**arguments).serialize() == (path, arguments)


@pytest.mark.parametrize("operator", [AirRunOperator, AirCancelRunOperator, AirRunSensor, AirRunTrigger])
def test_every_argument_is_documented(operator: Any) -> None:
    """The class docstring describes each argument of the constructor."""
    names = [
        name for name in inspect.signature(operator.__init__).parameters if name not in {"self", "kwargs"}
    ]
    text = inspect.getdoc(operator) or ""
    assert [name for name in names if f":param {name}:" not in text] == []


@pytest.mark.parametrize("operator", [AirRunOperator, AirCancelRunOperator, AirRunSensor])
def test_template_fields_are_marked(operator: type) -> None:
    """The docstring says ``(templated)`` for exactly the template fields."""
    paragraphs = (inspect.getdoc(operator) or "").split(":param ")[1:]
    marked = {text.split(":")[0] for text in paragraphs if "(templated)" in text}
    # One field is no argument: it shows what the others come to.
    assert marked == set(operator.template_fields) - {"effective_config"}  # type: ignore[attr-defined]


def _exports(path: Path) -> set[str] | None:
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            return set(ast.literal_eval(node.value))
    return None


def _modules_here() -> dict[str, Path]:
    found = {}
    for name, folder in SOURCES.items():
        for path in folder.rglob("*.py"):
            parts = path.relative_to(folder).with_suffix("").parts
            found[".".join([name, *(part for part in parts if part != "__init__")])] = path
    return found


def test_what_others_import_is_exported() -> None:
    """No module of ours, no test and no script imports a name that its module does not list in ``__all__``."""
    modules = _modules_here()
    readers = [
        path
        for folder in ("src", "local", "tests", "scripts", "benchmarks")
        for path in (ROOT / folder).rglob("*.py")
    ]
    hidden = {
        f"{path.relative_to(ROOT)} imports {alias.name} of {node.module}"
        for path in readers
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module in modules
        for alias in node.names
        if f"{node.module}.{alias.name}" not in modules
        and alias.name not in (_exports(modules[node.module]) or {alias.name})
    }
    assert sorted(hidden) == []
