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
"""A running local AI Runtime for tests of Dags: pytest knows the fixture ``air`` where this is installed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import pytest

if TYPE_CHECKING:
    from databricks_air_local.airflow_home import AirflowHome
    from databricks_air_local.runtime import LocalAirRuntime

__all__ = ["air", "air_fixture"]

_HOME: pytest.StashKey[AirflowHome] = pytest.StashKey()
Scope = Literal["session", "package", "module", "class", "function"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the setting ``air_dags_folder``."""
    words = "Airflow's Dags folder: tests import Dags from it, in an Airflow home and database of their own"
    parser.addini("air_dags_folder", words)


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Make the Airflow home before anything imports Airflow, where the setting asks for it."""
    folder = early_config.getini("air_dags_folder")
    if folder:
        from databricks_air_local.airflow_home import AirflowHome

        early_config.stash[_HOME] = AirflowHome(early_config.rootpath / folder)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the Airflow home."""
    home = config.stash.get(_HOME, None)
    if home is not None:
        home.remove()


def air_fixture(scope: Scope = "function", conn_id: str = "databricks_air_default", **options: Any) -> Any:
    """Return a fixture: a server, which is an Airflow connection while the fixture lives.

    In a ``conftest.py``: ``air = air_fixture(scope="session", conn_id="gpu", clock="virtual")``.

    :param scope: how long one server serves.
    :param conn_id: the connection that it is.
    :param options: of ``LocalAirRuntime``.
    """

    @pytest.fixture(scope=scope)
    def running(pytestconfig: pytest.Config) -> Iterator[LocalAirRuntime]:
        """Start a server and make it an Airflow connection."""
        home = pytestconfig.stash.get(_HOME, None)
        if home is not None:
            home.migrate(pytestconfig.cache.mkdir("databricks-air-local"))
        with _served(conn_id, options) as runtime:
            yield runtime

    return running


@contextmanager
def _served(conn_id: str, options: dict[str, Any]) -> Iterator[LocalAirRuntime]:
    # Every pytest of the environment loads this module, also those that never ask for the server.
    from databricks_air_local.runtime import LocalAirRuntime

    name = f"AIRFLOW_CONN_{conn_id.upper()}"
    before = os.environ.get(name)
    with LocalAirRuntime(**options) as runtime:
        os.environ[name] = runtime.connection_uri
        try:
            yield runtime
        finally:
            os.environ.pop(name)
            if before is not None:
                os.environ[name] = before


air = air_fixture()
