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
"""``provider.yaml``, what is generated from it, and the schemas that Airflow ships."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import airflow
import jsonschema
import pytest
import yaml

from airflow.providers.databricks_air import __version__
from airflow.providers.databricks_air.get_provider_info import get_provider_info
from airflow.providers.databricks_air.hooks.air import AirRuntimeHook
from airflow.providers.databricks_air.hooks.form import FORM_FIELDS, LABELS
from scripts import provider_info as generator

ROOT = Path(__file__).resolve().parents[2]
DISTRIBUTION = "airflow-provider-databricks-air"


def _schema(name: str) -> dict[str, Any]:
    return json.loads((Path(airflow.__file__).parent / name).read_text(encoding="utf-8"))


def _document() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "provider.yaml").read_text(encoding="utf-8"))


def _names(value: object) -> list[str]:
    if isinstance(value, dict):
        return [name for item in value.values() for name in _names(item)]
    if isinstance(value, list):
        return [name for item in value for name in _names(item)]
    return [value] if isinstance(value, str) and value.startswith("airflow.") else []


def test_generated_module_is_up_to_date() -> None:
    """``get_provider_info.py`` is what the script makes of ``provider.yaml`` today."""
    assert generator.TARGET.read_text(encoding="utf-8") == generator.module_text()
    assert get_provider_info() == generator.provider_info()


def test_provider_yaml_is_valid_in_the_newest_schema() -> None:
    """``provider.yaml`` satisfies the newest Airflow's development schema, which forbids unknown keys."""
    if airflow.__version__.startswith("2."):
        pytest.skip("Airflow 2's development schema demands a key that Airflow 3's forbids")
    jsonschema.validate(_document(), _schema("provider.yaml.schema.json"))


def test_provider_info_is_valid_at_run_time() -> None:
    """The generated metadata satisfies the schema that this leg's Airflow checks at start."""
    jsonschema.validate(get_provider_info(), _schema("provider_info.schema.json"))


def test_entry_point_returns_the_provider_info() -> None:
    """Airflow finds the package by its entry point and under the name of its distribution."""
    (entry,) = importlib.metadata.distribution(DISTRIBUTION).entry_points.select(
        group="apache_airflow_provider"
    )
    info = entry.load()()
    assert info["package-name"] == DISTRIBUTION
    assert info == get_provider_info()


@pytest.mark.parametrize("name", sorted(set(_names(get_provider_info()))))
def test_every_declared_name_can_be_imported(name: str) -> None:
    """Each module, class and function that the metadata names exists."""
    if importlib.util.find_spec(name.rpartition(".")[0]) is None:
        pytest.fail(f"{name}: no such package")
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        module, _, attribute = name.rpartition(".")
        assert hasattr(importlib.import_module(module), attribute)


def test_connection_form_is_the_same_in_every_airflow() -> None:
    """Airflow up to 3.1 asks the hook for the form, later ones ask ``provider.yaml``; both say the same."""
    (declared,) = get_provider_info()["connection-types"]
    behaviour = AirRuntimeHook.get_ui_field_behaviour()
    assert {
        key.replace("-", "_"): value for key, value in declared["ui-field-behaviour"].items()
    } == behaviour
    assert declared["connection-type"] == AirRuntimeHook.conn_type
    assert declared["hook-name"] == AirRuntimeHook.hook_name


def test_airflow_collects_the_form() -> None:
    """The fields arrive in whatever Airflow is installed here, and it calls nothing about them deprecated."""
    program = """if True:
        import json, sys, warnings
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            from airflow.providers_manager import ProvidersManager
            manager = ProvidersManager()
            fields = [name for name in manager.connection_form_widgets if "databricks_air" in name]
            behaviour = manager.field_behaviours["databricks_air"]
        told = [str(each.message) for each in caught if "databricks_air" in str(each.message)]
        json.dump([fields, behaviour, told], sys.stderr)
    """
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    fields, behaviour, told = json.loads(done.stderr.splitlines()[-1])
    assert {name.rpartition("__")[2] for name in fields} == set(FORM_FIELDS)
    assert behaviour["relabeling"] == LABELS
    assert told == []


def test_versions_agree() -> None:
    """The version is one: package, ``provider.yaml``, changelog and installed metadata."""
    changelog = (ROOT / "docs/changelog.rst").read_text(encoding="utf-8")
    assert _document()["versions"][0] == __version__
    assert f"\n{__version__}\n{'-' * len(__version__)}\n" in changelog
    assert importlib.metadata.version(DISTRIBUTION) == __version__
