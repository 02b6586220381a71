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
"""The form of a connection as this Airflow serves it to its page: by the hook's methods, or from provider.yaml."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from airflow.providers.databricks_air.hooks.form import FORM_FIELDS, LABELS, PLACEHOLDERS

pytestmark = pytest.mark.long

# In a process of its own: Airflow 3 puts stand-ins for flask and wtforms where others would find them.
AIRFLOW_3 = """
import json, sys, warnings

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    from airflow.api_fastapi.app import create_app, get_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
    from starlette.testclient import TestClient

    with TestClient(create_app("core"), base_url="http://127.0.0.1") as client:
        token = get_auth_manager().generate_jwt(SimpleAuthManagerUser(username="admin", role="admin"))
        answer = client.get("/ui/connections/hook_meta", headers={"Authorization": f"Bearer {token}"})
form = next(one for one in answer.json() if one["connection_type"] == "databricks_air")
standard = {name: one for name, one in form["standard_fields"].items() if one}
extra = {name: one["schema"].get("title") or one.get("label") for name, one in form["extra_fields"].items()}
"""
AIRFLOW_2 = """
import json, sys, warnings

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    from airflow.providers_manager import ProvidersManager

    manager = ProvidersManager()
    prefix = "extra__databricks_air__"
    fields = {name: one.field for name, one in manager.connection_form_widgets.items() if name.startswith(prefix)}
    behaviour = manager.field_behaviours["databricks_air"]
names = {"schema": "url_schema"}
standard = {}
for name in behaviour["hidden_fields"]:
    standard.setdefault(names.get(name, name), {})["hidden"] = True
for kind, word in (("relabeling", "title"), ("placeholders", "placeholder")):
    for name, text in behaviour[kind].items():
        standard.setdefault(name, {})[word] = text
extra = {name.removeprefix(prefix): str(field.args[0]) for name, field in fields.items()}
"""
TELL = """
ours = [str(one.message) for one in caught if "databricks_air" in f"{one.message} {one.filename}"]
print(json.dumps({"standard": standard, "extra": extra, "warnings": ours}))
"""


def served(home: Path) -> dict[str, Any]:
    """Return what the page gets, and what Airflow warned of."""
    from airflow import __version__ as version

    env = {
        **os.environ,
        "AIRFLOW__API_AUTH__JWT_SECRET": "a-secret-for-tests-" * 4,
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin",
    }
    script = (AIRFLOW_2 if version.startswith("2.") else AIRFLOW_3) + TELL
    done = subprocess.run(
        [sys.executable, "-c", script], env=env, cwd=home, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_the_form_is_served(airflow_db: Path, tmp_path: Path) -> None:
    """All fields with their labels and placeholders, the schema hidden, and no warning that names us."""
    form = served(tmp_path)
    assert form["extra"] == FORM_FIELDS
    assert form["standard"]["url_schema"]["hidden"]
    assert {name: form["standard"][name]["title"] for name in LABELS} == LABELS
    assert {name: form["standard"][name]["placeholder"] for name in PLACEHOLDERS} == PLACEHOLDERS
    assert form["warnings"] == []
