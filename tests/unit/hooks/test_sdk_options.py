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
"""Every option of the Databricks SDK's configuration: it works, in both modes, or is refused by its name."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("databricks.sdk.core")

from databricks.sdk.core import Config

from airflow.providers.databricks_air.api.http.errors import ApiError
from airflow.providers.databricks_air.api.sign_in.credentials import SdkCredentials
from airflow.providers.databricks_air.exceptions import AirConfigError
from airflow.providers.databricks_air.hooks.air import AirRuntimeHook
from airflow.providers.databricks_air.hooks.sign_in import METHODS, Method
from databricks_air_local import LocalAirRuntime

OPTIONS = sorted(attribute.name for attribute in Config.attributes())
# What says where and how, not who.
FRAME = {"host", "auth_type", "workspace_id"}
VALUES = {"scopes": "all-apis,sql", "google_credentials": "{}", "azure_environment": "PUBLIC"}


def taken(option: str) -> list[tuple[str, Method]]:
    """Return the ways to sign in that have an option."""
    return [(name, way) for name, way in METHODS.items() if option in {*way.needs, *way.may}]


def credentials(monkeypatch: pytest.MonkeyPatch, host: str, extra: dict[str, Any]) -> tuple[Any, Any]:
    """Return what worker and triggerer make of a connection."""
    connection = {"conn_type": "databricks_air", "host": host, "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_TRAINING", json.dumps(connection))
    hook = AirRuntimeHook("training")
    return hook.get_credentials(), asyncio.run(hook.aget_credentials())


@pytest.mark.parametrize("option", [name for name in OPTIONS if name not in FRAME])
def test_an_option_works_or_is_refused(option: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Worker and triggerer give it to the SDK under its name; what no way to sign in has is an error that names it."""
    ways = taken(option)
    if not ways:
        extra = {"auth_type": "oauth-m2m", "client_id": "a", "client_secret": "b", option: "1"}
        with pytest.raises(AirConfigError, match=f"'{option}'"):
            credentials(monkeypatch, "https://a.example.com", extra)
        return
    for name, way in ways:
        fields = {field: VALUES.get(field, "x") for field in {*way.needs, option}}
        both = credentials(monkeypatch, "https://a.example.com", {"auth_type": name, **fields})
        if name == "pat":
            assert [one.token for one in both] == ["x", "x"]
            continue
        for one in both:
            assert one.fields[option] == fields[option], name


@pytest.fixture(scope="module")
def air(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAirRuntime]:
    """A workspace."""
    with LocalAirRuntime(tmp_path_factory.mktemp("air")) as runtime:
        yield runtime


@pytest.mark.parametrize(
    "option", sorted({name for way in METHODS.values() for name in (*way.needs, *way.may)})
)
def test_an_option_that_the_sdk_does_not_know(option: str, air: LocalAirRuntime) -> None:
    """A field of ours that the installed SDK is too old for is refused by its name, never dropped in silence."""
    name, way = taken(option)[0]
    fields = {field: VALUES.get(field, "x") for field in {*way.needs, option}}
    fields |= {"auth_type": way.auth_type or name, "host": air.url}
    try:
        found = getattr(SdkCredentials(fields, origin="connection 'training'").config, option)
    except ApiError as error:
        # Nobody gives tokens for these fields; what counts is what is called unknown.
        assert (f"does not know {option} of connection" in str(error)) == (option not in OPTIONS)
    else:
        assert found


def test_a_profile_does_not_turn_verification_off(air: LocalAirRuntime, tmp_path: Path) -> None:
    """A profile may be made for other programs: certificates are verified whatever it says."""
    file = tmp_path / "databrickscfg"
    file.write_text(f"[training]\nhost = {air.url}\ntoken = {air.token}\nskip_verify = true\n")
    assert SdkCredentials({"profile": "training", "config_file": str(file)}).config.skip_verify is False
