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
"""What tests of Dags need of Airflow: a home and a database of their own, and the Dags folder on Python's path."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

__all__ = ["AirflowHome"]


class AirflowHome:
    """An Airflow home that begins empty and is removed at the end.

    Airflow reads its settings when it is first imported, so this is made before any test is.

    :param dags: the Dags folder.
    """

    def __init__(self, dags: Path) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="airflow-tests-"))
        self._migrated = False
        self._database = self._directory / "airflow.db"
        for name in [name for name in os.environ if name.startswith("AIRFLOW__")]:
            del os.environ[name]  # of the machine: a database above all
        os.environ.update(
            AIRFLOW_HOME=str(self._directory),
            AIRFLOW__CORE__DAGS_FOLDER=str(dags),
            AIRFLOW__CORE__LOAD_EXAMPLES="False",
            AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=f"sqlite:///{self._database}",
            AIRFLOW__USAGE_DATA_COLLECTION__ENABLED="False",
        )
        sys.path.insert(0, str(dags))

    def migrate(self, kept: Path) -> None:
        """Make the database, once; that of an earlier session is copied, where there is one of this Airflow.

        :param kept: a directory that stays.
        :raises RuntimeError: with what Airflow said, when it cannot be made.
        """
        if self._migrated:
            return
        self._migrated = True
        old = kept / f"airflow-{_airflow_version()}.db"
        if old.exists():
            shutil.copy(old, self._database)
            return
        done = subprocess.run(
            [sys.executable, "-m", "airflow", "db", "migrate"], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"airflow db migrate failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        part = kept / uuid.uuid4().hex  # others, beside this one, may just do the same
        shutil.copy(self._database, part)
        part.replace(old)

    def remove(self) -> None:
        """Remove it."""
        shutil.rmtree(self._directory, ignore_errors=True)


def _airflow_version() -> str:
    for name in ("apache-airflow-core", "apache-airflow"):
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return "none"
